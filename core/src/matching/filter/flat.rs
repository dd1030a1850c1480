//! An event, flattened once for all filters.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::bounds::{EVENT_DEPTH, FLAT_BYTES};
use super::json::{Fault, Kind, Reader};
use super::number::Number;

/// None of something that is counted in `u32`.
pub(super) const NONE: u32 = u32::MAX;

/// The place of everything that stands in no array's element.
pub(super) const ROOT: u32 = 0;

/// Up to this many members of one path are searched one by one.
const NARROW: u32 = 16;

/// An event's fields by path, ready to be asked by any number of filters.
///
/// It may hold several documents: texts under a path of their own, such as the attributes of an event, and JSON under a
/// path or at the root. The path of a field is the names that lead to it, joined by dots, so `{"a": {"b": 1}}` and
/// `{"a.b": 1}` are the same. The elements of an array share its path. A member that is named twice in one object has
/// both values. Empty objects and arrays are no fields.
///
/// For each object or array in an array it is also known which element that is: see [`Filter`](super::Filter) for the
/// use of it.
///
/// # Cost
///
/// Making it is one pass over the text: O(n), or O(n log n) for objects of very many members. It holds the strings of the
/// text once, 60 bytes for each different path, 20 for each value and 40 for each number.
#[derive(Clone)]
pub struct Flat {
    /// All names and strings, one after another.
    text: String,
    pub(super) paths: Vec<Path>,
    /// The members of paths that have more than a few.
    wide: Vec<BTreeMap<Box<str>, u32>>,
    pub(super) fields: Vec<Field>,
    numbers: Vec<Number>,
    pub(super) places: Vec<Place>,
    /// Bytes that went in.
    taken: usize,
    /// Whether any path was entered twice in one place.
    repeats: bool,
    /// Whether there are arrays at or below such a path, so that two at one path can be chosen from independently.
    pub(super) tangled: bool,
}

/// One name in a path, with what stands there and below.
#[derive(Clone, Debug)]
pub(super) struct Path {
    name: Span,
    pub(super) parent: u32,
    pub(super) depth: u32,
    first_member: u32,
    last_member: u32,
    next_member: u32,
    members: u32,
    /// Which map of `wide` has the members.
    wide: u32,
    /// The member found last: arrays of like objects ask for the next one.
    latest: u32,
    first_field: u32,
    last_field: u32,
    /// In which place it was entered last.
    entered: u32,
    /// Whether it was ever entered twice in one place: a member named twice, or `a.b` beside `a`.
    twice: bool,
}

/// One value at one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    value: Stored,
    pub(super) place: u32,
    pub(super) next: u32,
}

/// An element of an array that is an object or an array itself. A place and those inside it are consecutive.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: u32,
    pub(super) depth: u32,
    /// Which array it is an element of, any number for the root.
    pub(super) array: u32,
    /// The path of that array.
    pub(super) path: u32,
    /// One above the last place inside.
    pub(super) end: u32,
}

#[derive(Clone, Copy, Debug)]
enum Stored {
    Null,
    True,
    False,
    Number(u32),
    Text(Span),
}

type Span = (u32, u32);

/// A value as tests see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    True,
    False,
    Number(&'a Number),
    Text(&'a str),
}

impl Flat {
    /// An event without fields.
    pub fn new() -> Self {
        let mut flat = Self {
            text: String::new(),
            paths: Vec::new(),
            wide: Vec::new(),
            fields: Vec::new(),
            numbers: Vec::new(),
            places: [Place { parent: ROOT, depth: 0, array: NONE, path: 0, end: 1 }].into(),
            taken: 0,
            repeats: false,
            tangled: false,
        };
        flat.add_path(NONE, (0, 0));
        flat
    }

    /// The fields of this JSON object.
    pub fn of(json: &[u8]) -> Result<Self, FlatError> {
        let start = json.iter().position(|byte| !byte.is_ascii_whitespace());
        if start.is_some_and(|at| json[at] != b'{') {
            return Err(FlatError::NoObject);
        }
        Self::new().with_json("", json)
    }

    /// Adds a string under a path, in which dots part the names: the attribute of an event, for example.
    pub fn with_text(mut self, path: &str, value: &str) -> Result<Self, FlatError> {
        self.room(path.len() + value.len())?;
        let path = self.enter(0, path, ROOT);
        let span = self.keep(value);
        self.add(path, ROOT, Stored::Text(span));
        Ok(self)
    }

    /// Adds the fields of this JSON text under a path, or at the root if the path is empty. It may be any value; at the
    /// root only an object or an array of objects has fields.
    pub fn with_json(mut self, path: &str, json: &[u8]) -> Result<Self, FlatError> {
        self.room(path.len() + json.len())?;
        let json = core::str::from_utf8(json).map_err(|error| FlatError::NotUtf8 { at: error.valid_up_to() })?;
        let path = if path.is_empty() { 0 } else { self.enter(0, path, ROOT) };
        let mut reader = Reader::new(json);
        self.text.reserve(json.len() / 2);
        self.fields.reserve(json.len() / 32);
        self.paths.reserve((json.len() / 32).min(64));
        self.value(&mut reader, path, ROOT, 0)?;
        reader.end()?;
        self.places[ROOT as usize].end = self.places.len() as u32;
        self.tangled = self.repeats && self.places[1..].iter().any(|place| self.line(place.path).any(|at| at.twice));
        Ok(self)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The path with this text, or the deepest one on the way to it, and whether it is the whole.
    pub(super) fn find(&self, path: &str) -> (u32, bool) {
        let mut at = 0;
        for name in path.split('.') {
            match self.member(at, name) {
                Some(member) => at = member,
                None => return (at, false),
            }
        }
        (at, true)
    }

    /// The member of a path, if any value or member was ever there.
    pub(super) fn member(&self, path: u32, name: &str) -> Option<u32> {
        match self.wide.get(self.paths[path as usize].wide as usize) {
            Some(wide) => wide.get(name).copied(),
            None => self.members(path).find(|member| self.name(*member) == name),
        }
    }

    /// The members of a path.
    pub(super) fn members(&self, path: u32) -> impl Iterator<Item = u32> {
        let some = |at: u32| (at != NONE).then_some(at);
        core::iter::successors(some(self.paths[path as usize].first_member), move |at| {
            some(self.paths[*at as usize].next_member)
        })
    }

    /// How many members a path has.
    pub(super) fn width(&self, path: u32) -> usize {
        self.paths[path as usize].members as usize
    }

    /// A path and those above it.
    fn line(&self, path: u32) -> impl Iterator<Item = &Path> {
        core::iter::successors(self.paths.get(path as usize), |path| self.paths.get(path.parent as usize))
    }

    /// The last name of a path.
    pub(super) fn name(&self, path: u32) -> &str {
        self.str(self.paths[path as usize].name)
    }

    /// The values at a path and the place of each, in the order of the text.
    pub(super) fn values(&self, path: u32) -> impl Iterator<Item = (Value<'_>, u32)> {
        let field = |at: u32| self.fields.get(at as usize);
        core::iter::successors(field(self.paths[path as usize].first_field), move |last| field(last.next))
            .map(|found| (self.read(found.value), found.place))
    }

    /// The value at this path, or the values in an array there.
    fn value(&mut self, reader: &mut Reader<'_>, path: u32, place: u32, depth: usize) -> Result<(), FlatError> {
        let stored = match reader.kind()? {
            kind @ (Kind::Object | Kind::Array) => return self.inside(reader, kind, path, place, depth),
            Kind::Text => {
                let text = reader.text()?;
                Stored::Text(self.keep(&text))
            }
            Kind::Number => {
                self.numbers.push(Number::read(reader.number()?));
                Stored::Number(self.numbers.len() as u32 - 1)
            }
            kind @ Kind::True => reader.word(kind).map(|()| Stored::True)?,
            kind @ Kind::False => reader.word(kind).map(|()| Stored::False)?,
            kind @ Kind::Null => reader.word(kind).map(|()| Stored::Null)?,
        };
        self.add(path, place, stored);
        Ok(())
    }

    /// What is in an object or an array. Deeper by one call for each level, of which there are at most 128.
    fn inside(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        path: u32,
        place: u32,
        depth: usize,
    ) -> Result<(), FlatError> {
        if depth == EVENT_DEPTH {
            return Err(FlatError::TooDeep { at: reader.fault("").at, max: EVENT_DEPTH });
        }
        // An array without objects and arrays needs no identity; this number is no other's.
        let array = self.places.len() as u32;
        let mut more = reader.open(kind)?;
        while more {
            if kind == Kind::Object {
                let name = reader.name()?;
                let member = self.enter(path, &name, place);
                self.value(reader, member, place, depth + 1)?;
            } else if matches!(reader.kind()?, Kind::Object | Kind::Array) {
                let element = self.places.len();
                let above = self.places[place as usize].depth;
                self.places.push(Place { parent: place, depth: above + 1, array, path, end: 0 });
                self.value(reader, path, element as u32, depth + 1)?;
                self.places[element].end = self.places.len() as u32;
            } else {
                self.value(reader, path, place, depth + 1)?;
            }
            more = reader.more(kind)?;
        }
        Ok(())
    }

    /// The path of a member, made if there is none yet. Dots in the name part it into several.
    fn enter(&mut self, path: u32, name: &str, place: u32) -> u32 {
        let mut at = path;
        for name in name.split('.') {
            let member = self.known(at, name).unwrap_or_else(|| {
                let span = self.keep(name);
                self.add_path(at, span)
            });
            self.paths[at as usize].latest = member;
            at = member;
            let entered = &mut self.paths[at as usize];
            entered.twice |= entered.entered == place;
            self.repeats |= entered.twice;
            entered.entered = place;
        }
        at
    }

    /// As [`Self::member`], but tries the one behind the latest first.
    fn known(&self, path: u32, name: &str) -> Option<u32> {
        let latest = self.paths[path as usize].latest;
        let next = if latest == NONE {
            self.paths[path as usize].first_member
        } else {
            self.paths[latest as usize].next_member
        };
        let next = if next == NONE { self.paths[path as usize].first_member } else { next };
        if next != NONE && self.name(next) == name { Some(next) } else { self.member(path, name) }
    }

    fn add_path(&mut self, parent: u32, name: Span) -> u32 {
        let added = self.paths.len() as u32;
        let above = self.paths.get(parent as usize);
        self.paths.push(Path {
            name,
            parent,
            depth: above.map_or(0, |above| above.depth + 1),
            first_member: NONE,
            last_member: NONE,
            next_member: NONE,
            members: 0,
            wide: NONE,
            latest: NONE,
            first_field: NONE,
            last_field: NONE,
            entered: NONE,
            twice: false,
        });
        if parent == NONE {
            return added;
        }
        let above = &mut self.paths[parent as usize];
        let last = core::mem::replace(&mut above.last_member, added);
        above.members += 1;
        match last {
            NONE => above.first_member = added,
            last => self.paths[last as usize].next_member = added,
        }
        self.widen(parent, added);
        added
    }

    /// Keeps the map of a path that has many members.
    fn widen(&mut self, path: u32, added: u32) {
        let entry = &self.paths[path as usize];
        let (members, wide) = (entry.members, entry.wide);
        if wide != NONE {
            let name = self.name(added).into();
            self.wide[wide as usize].insert(name, added);
        } else if members > NARROW {
            let all = self.members(path).map(|member| (self.name(member).into(), member)).collect();
            self.paths[path as usize].wide = self.wide.len() as u32;
            self.wide.push(all);
        }
    }

    fn add(&mut self, path: u32, place: u32, value: Stored) {
        let added = self.fields.len() as u32;
        self.fields.push(Field { value, place, next: NONE });
        let path = &mut self.paths[path as usize];
        match core::mem::replace(&mut path.last_field, added) {
            NONE => path.first_field = added,
            last => self.fields[last as usize].next = added,
        }
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        (start, self.text.len() as u32)
    }

    fn str(&self, (start, end): Span) -> &str {
        &self.text[Range { start: start as usize, end: end as usize }]
    }

    fn read(&self, value: Stored) -> Value<'_> {
        match value {
            Stored::Null => Value::Null,
            Stored::True => Value::True,
            Stored::False => Value::False,
            Stored::Number(at) => Value::Number(&self.numbers[at as usize]),
            Stored::Text(span) => Value::Text(self.str(span)),
        }
    }

    /// Counts so many bytes more, within the bound, so that everything can be counted in `u32`.
    fn room(&mut self, more: usize) -> Result<(), FlatError> {
        self.taken = self.taken.saturating_add(more);
        if self.taken > FLAT_BYTES {
            return Err(FlatError::TooLong { len: self.taken, max: FLAT_BYTES });
        }
        Ok(())
    }
}

const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Flat>();
    assert!(size_of::<Path>() <= 60 && size_of::<Field>() <= 20 && size_of::<Number>() <= 40);
};

impl Default for Flat {
    fn default() -> Self {
        Self::new()
    }
}

/// How much there is, and nothing of what an event says.
impl fmt::Debug for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flat").field("paths", &self.paths.len()).field("values", &self.fields.len()).finish()
    }
}

/// Why an event has no fields that filters could ask for. Positions are bytes, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlatError {
    /// It has more bytes than allowed.
    TooLong {
        /// How many bytes there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// It is no UTF-8.
    NotUtf8 {
        /// Where the first wrong byte is.
        at: usize,
    },
    /// It is no JSON.
    Syntax {
        /// Where it stops being JSON.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// It is JSON, but no object.
    NoObject,
    /// Its objects and arrays are nested deeper than allowed.
    TooDeep {
        /// Where the first one too deep begins.
        at: usize,
        /// How deep they may be.
        max: usize,
    },
}

impl From<Fault> for FlatError {
    fn from(Fault { at, expected }: Fault) -> Self {
        Self::Syntax { at, expected }
    }
}

impl fmt::Display for FlatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "has {len} bytes, at most {max} are allowed"),
            Self::NotUtf8 { at } => write!(f, "is not UTF-8 at byte {at}; JSON is text in UTF-8"),
            Self::Syntax { at, expected } => write!(f, "is not JSON at byte {at}; expected {expected}"),
            Self::NoObject => f.write_str("is no JSON object; filters ask for the members of one"),
            Self::TooDeep { at, max } => {
                write!(
                    f,
                    "is nested too deep at byte {at}; at most {max} objects and arrays in one another are allowed"
                )
            }
        }
    }
}

impl core::error::Error for FlatError {}

//! What both front ends share: reading with the path kept for errors, and collecting clauses.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::FilterError;
use super::bounds::{BRANCHES, CONDITIONS, FILTER_BYTES, FILTER_DEPTH, TERMS};
use super::clause::Clause;
use super::json::{Fault, Kind, Reader};

/// A filter in the making.
pub(super) struct Draft<'a> {
    reader: Reader<'a>,
    /// What is being read, as a JSON pointer.
    path: String,
    depth: usize,
    pub(super) clauses: Vec<Clause>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES {
            return Err(FilterError::TooLong { len: text.len(), max: FILTER_BYTES });
        }
        Ok(Self { reader: Reader::new(text), path: String::new(), depth: 0, clauses: Vec::new() })
    }

    /// The path for an error.
    pub(super) fn here(&self) -> Box<str> {
        self.path.as_str().into()
    }

    pub(super) fn expected(&self, expected: &'static str, found: &'static str) -> FilterError {
        FilterError::Expected { path: self.here(), expected, found }
    }

    pub(super) fn too_many(&self, what: &'static str, max: usize) -> FilterError {
        FilterError::TooMany { path: self.here(), what, max }
    }

    pub(super) fn kind(&mut self) -> Result<Kind, FilterError> {
        self.read(Reader::kind)
    }

    /// The next value, if it is a string.
    pub(super) fn text(&mut self, expected: &'static str) -> Result<String, FilterError> {
        match self.kind()? {
            Kind::Text => Ok(self.read(Reader::text)?.into_owned()),
            kind @ (Kind::Object | Kind::Array | Kind::Number | Kind::True | Kind::False | Kind::Null) => {
                Err(self.expected(expected, kind.name()))
            }
        }
    }

    /// The next value, if it is a number.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<&'a str, FilterError> {
        match self.kind()? {
            Kind::Number => self.read(Reader::number),
            kind @ (Kind::Object | Kind::Array | Kind::Text | Kind::True | Kind::False | Kind::Null) => {
                Err(self.expected(expected, kind.name()))
            }
        }
    }

    pub(super) fn word(&mut self, kind: Kind) -> Result<(), FilterError> {
        self.read(|reader| reader.word(kind))
    }

    /// Each member of an object, of which there must be one at least: `each` reads the value.
    pub(super) fn members(
        &mut self,
        expected: &'static str,
        mut each: impl FnMut(&mut Self, String) -> Result<(), FilterError>,
    ) -> Result<(), FilterError> {
        self.open(Kind::Object, expected)?;
        loop {
            let name = self.read(Reader::name)?.into_owned();
            let before = self.path.len();
            self.path.push('/');
            for character in name.chars() {
                match character {
                    '~' => self.path.push_str("~0"),
                    '/' => self.path.push_str("~1"),
                    other => self.path.push(other),
                }
            }
            each(self, name)?;
            self.path.truncate(before);
            if !self.read(|reader| reader.more(Kind::Object))? {
                self.depth -= 1;
                return Ok(());
            }
        }
    }

    /// Each item of an array, of which there must be one at least: `each` reads it, and knows how many came before.
    pub(super) fn items(
        &mut self,
        expected: &'static str,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), FilterError>,
    ) -> Result<(), FilterError> {
        self.open(Kind::Array, expected)?;
        for at in 0.. {
            let before = self.path.len();
            self.path.push_str(&alloc::format!("/{at}"));
            each(self, at)?;
            self.path.truncate(before);
            if !self.read(|reader| reader.more(Kind::Array))? {
                break;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The one member of an object.
    pub(super) fn single<T>(
        &mut self,
        expected: &'static str,
        mut each: impl FnMut(&mut Self, String) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        let mut found = None;
        self.members(expected, |draft, name| {
            if found.is_some() {
                return Err(FilterError::Expected { path: draft.here(), expected, found: "a second name" });
            }
            found = Some(each(draft, name)?);
            Ok(())
        })?;
        Ok(found.expect("an object has a member, or is refused"))
    }

    /// Whether the next value is an array without items; if so, it is read.
    pub(super) fn empty_array(&mut self) -> Result<bool, FilterError> {
        let mut ahead = self.reader.clone();
        let empty = self.kind()? == Kind::Array && ahead.open(Kind::Array).is_ok_and(|more| !more);
        if empty {
            self.reader = ahead;
        }
        Ok(empty)
    }

    pub(super) fn end(&mut self) -> Result<(), FilterError> {
        self.read(Reader::end)
    }

    /// Keeps a clause and gives its number.
    pub(super) fn keep(&mut self, clause: Clause) -> Result<u16, FilterError> {
        let number = u16::try_from(self.clauses.len()).map_err(|_| self.too_many("conditions", TERMS))?;
        self.clauses.push(clause);
        Ok(number)
    }

    /// Whether the branches are few and small enough, each given by its number of conditions.
    pub(super) fn bounded(&self, branches: impl Iterator<Item = usize>) -> Result<(), FilterError> {
        let mut terms = 0;
        for (before, conditions) in branches.enumerate() {
            terms += conditions;
            if before == BRANCHES {
                return Err(self.too_many("branches, each combination of alternatives counted,", BRANCHES));
            }
            if conditions > CONDITIONS {
                return Err(self.too_many("conditions that must hold together", CONDITIONS));
            }
            if terms > TERMS {
                return Err(self.too_many("conditions, counted over all branches,", TERMS));
            }
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, expected: &'static str) -> Result<(), FilterError> {
        let found = self.kind()?;
        if found != kind {
            return Err(self.expected(expected, found.name()));
        }
        if self.depth == FILTER_DEPTH {
            return Err(self.too_many("objects and arrays in one another", FILTER_DEPTH));
        }
        self.depth += 1;
        if !self.read(|reader| reader.open(kind))? {
            let found = if kind == Kind::Object { "an empty object" } else { "an empty array" };
            return Err(self.expected(expected, found));
        }
        Ok(())
    }

    fn read<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>) -> Result<T, FilterError> {
        read(&mut self.reader).map_err(|Fault { at, expected }| FilterError::Syntax { path: self.here(), at, expected })
    }
}

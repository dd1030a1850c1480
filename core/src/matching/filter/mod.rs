//! Which events a subscription wants by what they say: content filters, and an index over many.
//!
//! A [`Filter`] is written in one of two languages and kept in one form. An event is flattened once, into a [`Flat`],
//! which any number of filters can be asked about; a [`FilterIndex`] asks very many at a cost that depends on the fields
//! that they use and on how many match.
//!
//! # The pattern language of EventBridge
//!
//! [`Filter::eventbridge`] reads the [event patterns of Amazon EventBridge] as [event-ruler] 2.0.1 does. A pattern is a
//! JSON object with the shape of the event; where it has an array, the event must have one of the values:
//!
//! | in the array | wants |
//! | --- | --- |
//! | `"text"`, `true`, `null`, … | this value; a string that is an IP address also matches its other spellings |
//! | `300` | this number, however it is written |
//! | `{"exactly": "text"}` | this string |
//! | `{"prefix": "text"}`, `{"suffix": "text"}` | a string that begins or ends so; `{"prefix": {"equals-ignore-case": "text"}}` whatever the case |
//! | `{"equals-ignore-case": "text"}` | this string, whatever the case |
//! | `{"wildcard": "a*c"}` | this string, where `*` is any characters; `\*` and `\\` are a star and a backslash |
//! | `{"numeric": [">", 0, "<=", 5]}` | a number compared by `=`, `<`, `<=`, `>`, `>=`, or within a range |
//! | `{"cidr": "10.0.0.0/8"}` | a string that is an IPv4 or IPv6 address in this range |
//! | `{"anything-but": …}` | a value that is not this string or number, or none of these; or not of this `prefix`, `suffix`, `equals-ignore-case` or `wildcard`, or none of these |
//! | `{"exists": true}`, `{"exists": false}` | that the field has a value, or has none |
//!
//! All fields must match; `"$or": [{…}, {…}]` in place of a field wants one of several objects. Fields of one object
//! inside an array must be matched by one and the same element. A field that the pattern names twice in one branch has
//! the condition named last.
//!
//! It differs where exactness asks for it: numbers have no lost digits (event-ruler refuses or compares as text what a
//! binary64 cannot hold), a full-length mask such as `/32` is one address, and a quote in a prefix or suffix never
//! stands for the end of a string. In which order the absence of a field is judged next to siblings inside one array
//! goes by the names of paths one after another, not by the joined text.
//!
//! # CloudEvents
//!
//! [`Filter::cloudevents`] reads the six filter dialects of the [CloudEvents Subscriptions API] that must be supported:
//! `exact`, `prefix`, `suffix`, `all`, `any` and `not`, on attributes, which are fields at the root of the [`Flat`].
//!
//! # Filters of subscriptions
//!
//! A [`Subscription`] carries a filter [beside its types](Subscription::with_filter). To find those that want an event,
//! keep subscriptions without a filter in an [`Index`](super::Index), which streams them by type, and each of the others
//! in a [`FilterIndex`] as its filter [for its types](Filter::for_types), which waits at whichever of the two is rarer.
//!
//! # Bounds
//!
//! A filter is read in time linear in its text and the branches of its `$or`s. Asking is total: no event makes it fail,
//! panic or recurse further than the constants of [`bounds`]. With E values at the fields named, V bytes of these, T
//! tests and B branches it takes at most O(T × V) for the tests, wildcards included, and O(B × E log E) for the choice of
//! array elements. Only an event that names a member twice in one object, with arrays there, can make that choice
//! harder; it ends after [`bounds::TANGLED_STEPS`] with "does not match", even where one more choice would match.
//!
//! [event patterns of Amazon EventBridge]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
//! [event-ruler]: https://github.com/aws/event-ruler
//! [CloudEvents Subscriptions API]: https://github.com/cloudevents/spec/blob/main/subscriptions/spec.md#324-filters

pub mod bounds;

mod choice;
mod clause;
mod cloudevents;
mod draft;
mod error;
mod eventbridge;
mod flat;
mod index;
mod json;
mod network;
mod number;
mod text;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod strategy;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::Subscription;
use choice::Hits;
use clause::{Clause, by_names};
use draft::Draft;
pub use error::FilterError;
pub use flat::{Flat, FlatError};
pub use index::FilterIndex;

/// Which events are wanted by their content. See the [module](self) for the two languages.
///
/// A clone shares the whole. Two filters are equal when their language and text are, and the types that they are for.
///
/// ```
/// use postrider_core::matching::filter::{Filter, Flat};
///
/// let filter = Filter::eventbridge(r#"{"data": {"amount": [{"numeric": [">=", 100]}], "currency": ["EUR"]}}"#)?;
/// let event = Flat::new()
///     .with_text("type", "order.paid")?
///     .with_json("data", br#"{"amount": 100.00, "currency": "EUR"}"#)?;
/// assert!(filter.matches(&event));
/// assert!(Filter::cloudevents(r#"{"prefix": {"type": "order."}}"#)?.matches(&event));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Filter(Arc<Form>);

/// Where the type of an event stands in a [`Flat`], for [`Filter::for_types`] and for filters of CloudEvents.
pub const TYPE: &str = "type";

/// The language of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Language {
    /// Event patterns of Amazon EventBridge.
    EventBridge,
    /// Filters of the CloudEvents Subscriptions API.
    CloudEvents,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::EventBridge, Self::CloudEvents];

    /// The name by which a person asks for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventBridge => "eventbridge",
            Self::CloudEvents => "cloudevents",
        }
    }

    /// The language of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    /// Its number in the journal.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::EventBridge => 0,
            Self::CloudEvents => 1,
        }
    }

    /// The language with this number in the journal; `None` where a later version wrote it.
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.to_wire() == number)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The one internal form: branches of conditions, of which one must hold whole.
struct Form {
    language: Language,
    text: Box<str>,
    /// The event types that are wanted besides, if that was asked for.
    types: Option<Subscription>,
    clauses: Box<[Clause]>,
    /// Numbers of clauses, in the order of their paths.
    branches: Box<[Box<[u16]>]>,
}

impl Filter {
    /// Reads an event pattern of EventBridge.
    pub fn eventbridge(text: &str) -> Result<Self, FilterError> {
        Self::read(Language::EventBridge, text)
    }

    /// Reads the `filters` of a CloudEvents subscription: an array of filters that must all hold, or one filter. An
    /// empty array wants every event.
    pub fn cloudevents(text: &str) -> Result<Self, FilterError> {
        Self::read(Language::CloudEvents, text)
    }

    /// Reads a filter in this language: what [`Self::language`] and [`Self::as_str`] give makes an equal filter.
    pub fn read(language: Language, text: &str) -> Result<Self, FilterError> {
        let mut draft = Draft::new(text)?;
        let mut branches = match language {
            Language::EventBridge => eventbridge::read(&mut draft)?,
            Language::CloudEvents => cloudevents::read(&mut draft)?,
        };
        let clauses = used(draft.clauses, &mut branches);
        Ok(Self(Arc::new(Form { language, text: text.into(), types: None, clauses, branches: branches.into() })))
    }

    /// This filter for events of certain types only, whose type stands as a text at [`TYPE`]: so that an index can choose
    /// between what an event is and what it says. Types that it was for before count no more; a content filter that the
    /// subscription itself carries is not looked at.
    ///
    /// [`TYPE`] belongs to the type then: put JSON under a path of its own, such as `data`.
    pub fn for_types(&self, types: &Subscription) -> Self {
        let mut clauses = self.0.clauses.to_vec();
        let mut branches = self.0.branches.clone();
        if self.0.types.is_some() {
            // The clause of the types is the last.
            let last = clauses.len() - 1;
            clauses.truncate(last);
            branches.iter_mut().for_each(|branch| {
                *branch = branch.iter().copied().filter(|clause| usize::from(*clause) != last).collect();
            });
        }
        let added = u16::try_from(clauses.len()).expect("a filter has fewer clauses than bytes of text");
        clauses.push(Clause::typed(TYPE, types.patterns()));
        for branch in &mut branches {
            let at = branch.partition_point(|clause| by_names(&clauses[usize::from(*clause)].path, TYPE).is_le());
            *branch = branch[..at].iter().copied().chain([added]).chain(branch[at..].iter().copied()).collect();
        }
        let (language, text, types) = (self.0.language, self.0.text.clone(), Some(types.clone()));
        Self(Arc::new(Form { language, text, types, clauses: clauses.into(), branches }))
    }

    /// Whether the event is wanted. For the cost see [bounds](self#bounds); to ask many filters, use a [`FilterIndex`].
    pub fn matches(&self, event: &Flat) -> bool {
        let mut asked = Asked::new(self);
        (0..self.0.branches.len()).any(|branch| asked.holds(branch, event))
    }

    /// For an event that is not wanted: the path of the first field whose condition fails, in the branch of which most
    /// holds. `None` where the event is wanted, or where each condition holds but not for one and the same element of an
    /// array. For a person; it costs what [`Self::matches`] does.
    pub fn unmet(&self, event: &Flat) -> Option<&str> {
        let mut asked = Asked::new(self);
        let branches = 0..self.0.branches.len();
        if branches.clone().any(|branch| asked.holds(branch, event)) {
            return None;
        }
        let failed = branches.filter_map(|branch| asked.failed(branch, event));
        let (_, clause) = failed.min_by_key(|(rest, _)| *rest)?;
        Some(&self.0.clauses[usize::from(clause)].path)
    }

    /// The language that it is written in.
    pub fn language(&self) -> Language {
        self.0.language
    }

    /// The text that it was read from.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.language == other.language && one.text == other.text && one.types == other.types
    }
}

impl Eq for Filter {}

impl core::hash::Hash for Filter {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.0.language, &self.0.text, &self.0.types).hash(state);
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter::{:?}({})", self.0.language, self.0.text)?;
        self.0.types.as_ref().map_or(Ok(()), |types| write!(f, " for {types:?}"))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// What one event has for the conditions of one filter, as far as asked.
struct Asked<'a> {
    form: &'a Form,
    hits: Vec<Option<Hits>>,
}

impl<'a> Asked<'a> {
    fn new(filter: &'a Filter) -> Self {
        Self { form: &filter.0, hits: filter.0.clauses.iter().map(|_| None).collect() }
    }

    /// Whether all conditions of the branch hold.
    fn holds(&mut self, branch: usize, event: &Flat) -> bool {
        if self.failed(branch, event).is_some() {
            return false;
        }
        let clauses = &self.form.branches[branch];
        let hits = clauses.iter().filter_map(|clause| self.hits[usize::from(*clause)].as_ref());
        choice::together(&hits.collect::<Vec<_>>(), event)
    }

    /// The first condition of the branch that fails whatever is chosen, and how many stand behind it.
    fn failed(&mut self, branch: usize, event: &Flat) -> Option<(usize, u16)> {
        let clauses = &self.form.branches[branch];
        for (before, clause) in clauses.iter().enumerate() {
            let at = usize::from(*clause);
            let hits = self.hits[at].get_or_insert_with(|| Hits::of(&self.form.clauses[at], event));
            if *hits == Hits::Never {
                return Some((clauses.len() - before, *clause));
            }
        }
        None
    }
}

/// The clauses that some branch has, with the branches numbered anew.
fn used(clauses: Vec<Clause>, branches: &mut [Box<[u16]>]) -> Box<[Clause]> {
    let mut numbers: Vec<Option<u16>> = clauses.iter().map(|_| None).collect();
    for clause in branches.iter().flatten() {
        numbers[usize::from(*clause)] = Some(0);
    }
    for (new, number) in (0..).zip(numbers.iter_mut().flatten()) {
        *number = new;
    }
    for clause in branches.iter_mut().flatten() {
        *clause = numbers[usize::from(*clause)].expect("it is in a branch, so it was marked");
    }
    clauses.into_iter().zip(numbers).filter_map(|(clause, number)| number.map(|_| clause)).collect()
}

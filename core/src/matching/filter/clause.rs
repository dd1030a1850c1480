//! The one internal form of filters: branches of conditions on fields.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use super::super::Pattern;
use super::bounds::ALTERNATIVES;
use super::flat::Value;
use super::network::Network;
use super::number::Number;
use super::text::{Folded, Wildcard};

/// A condition on one field: that one of its values passes one of the tests, or that the field is absent where that is
/// allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    /// Names joined by dots.
    pub(super) path: Box<str>,
    /// Whether the field may be absent.
    pub(super) absent: bool,
    /// Texts that pass, in ascending order.
    pub(super) texts: Box<[Box<str>]>,
    /// The other tests, of which a value has to pass one.
    pub(super) tests: Box<[Test]>,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Anything at all.
    Exists,
    Null,
    True,
    False,
    Number(Box<Number>),
    /// A number within bounds.
    Within(Box<Bounds>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    /// A text, case aside.
    Folded(Folded),
    FoldedPrefix(Folded),
    FoldedSuffix(Folded),
    Wildcard(Box<Wildcard>),
    /// A text that is an address in this range.
    Network(Box<Network>),
    /// A text that is an event type which this pattern names.
    Type(Pattern),
    /// Anything that neither is one of these texts nor passes one of these tests.
    But(Box<But>),
}

/// See [`Test::But`]. The texts are in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct But {
    pub(super) texts: Box<[Box<str>]>,
    pub(super) tests: Box<[Test]>,
}

/// Bounds of numbers, at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: Option<Bound>,
    pub(super) high: Option<Bound>,
}

/// One bound, and whether it is inside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) at: Number,
    pub(super) inside: bool,
}

impl Clause {
    /// Whether the value passes.
    pub(super) fn passes(&self, value: Value<'_>) -> bool {
        any(&self.texts, &self.tests, value)
    }

    /// Whether the other is on the same field, and few enough alternatives come together.
    pub(super) fn joins(&self, other: &Self) -> bool {
        self.path == other.path && self.tests.len() + other.tests.len() <= ALTERNATIVES
    }

    /// Makes it the condition that it or the other holds, for the same field.
    pub(super) fn join(&mut self, other: Self) {
        self.absent |= other.absent;
        self.texts = sorted(mem::take(&mut self.texts).into_iter().chain(other.texts).collect());
        self.tests = mem::take(&mut self.tests).into_iter().chain(other.tests).collect();
    }
}

impl Clause {
    /// That the text at this path is an event type which one of the patterns names.
    pub(super) fn typed(path: &str, patterns: &[Pattern]) -> Self {
        let (exact, wild): (Vec<&Pattern>, Vec<&Pattern>) =
            patterns.iter().partition(|pattern| !pattern.as_str().contains('*'));
        Self {
            path: path.into(),
            absent: false,
            texts: sorted(exact.into_iter().map(|pattern| pattern.as_str().into()).collect()),
            tests: wild.into_iter().cloned().map(Test::Type).collect(),
        }
    }
}

impl Test {
    fn passes(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Exists, _) | (Self::Null, Value::Null) | (Self::True, Value::True) | (Self::False, Value::False) => {
                true
            }
            (Self::Number(wanted), Value::Number(found)) => **wanted == *found,
            (Self::Within(bounds), Value::Number(found)) => bounds.hold(found),
            (Self::Prefix(wanted), Value::Text(found)) => found.starts_with(&**wanted),
            (Self::Suffix(wanted), Value::Text(found)) => found.ends_with(&**wanted),
            (Self::Folded(wanted), Value::Text(found)) => wanted.is(found),
            (Self::FoldedPrefix(wanted), Value::Text(found)) => wanted.begins(found),
            (Self::FoldedSuffix(wanted), Value::Text(found)) => wanted.ends(found),
            (Self::Wildcard(wanted), Value::Text(found)) => wanted.is(found),
            (Self::Network(wanted), Value::Text(found)) => {
                Network::address(found).is_some_and(|found| wanted.holds(&found))
            }
            (Self::Type(wanted), Value::Text(found)) => wanted.matches(found),
            (Self::But(but), value) => !any(&but.texts, &but.tests, value),
            (
                Self::Null
                | Self::True
                | Self::False
                | Self::Number(_)
                | Self::Within(_)
                | Self::Prefix(_)
                | Self::Suffix(_)
                | Self::Folded(_)
                | Self::FoldedPrefix(_)
                | Self::FoldedSuffix(_)
                | Self::Wildcard(_)
                | Self::Network(_)
                | Self::Type(_),
                Value::Null | Value::True | Value::False | Value::Number(_) | Value::Text(_),
            ) => false,
        }
    }
}

impl Bounds {
    fn hold(&self, found: &Number) -> bool {
        let beyond = |bound: &Option<Bound>, wanted: Ordering| {
            bound.as_ref().is_none_or(|bound| match found.cmp(&bound.at) {
                Ordering::Equal => bound.inside,
                other => other == wanted,
            })
        };
        beyond(&self.low, Ordering::Greater) && beyond(&self.high, Ordering::Less)
    }
}

/// Each text once, in ascending order.
pub(super) fn sorted(mut texts: Vec<Box<str>>) -> Box<[Box<str>]> {
    texts.sort_unstable();
    texts.dedup();
    texts.into()
}

/// The order of paths by their names, so that all paths below one stand together.
pub(super) fn by_names(one: &str, other: &str) -> Ordering {
    one.split('.').cmp(other.split('.'))
}

fn any(texts: &[Box<str>], tests: &[Test], value: Value<'_>) -> bool {
    let listed = match value {
        Value::Text(found) => texts.binary_search_by(|text| (**text).cmp(found)).is_ok(),
        Value::Null | Value::True | Value::False | Value::Number(_) => false,
    };
    listed || tests.iter().any(|test| test.passes(value))
}

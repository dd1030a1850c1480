//! Which events an endpoint wants.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::fmt;

use super::explain::{self, Explained};
use super::filter::{Filter, Flat};
use super::{Pattern, PatternError, validate_type};
use crate::limits;

/// Which events an endpoint wants: those whose type is named by at least one of its patterns and whose content passes
/// its filter, if it has one.
///
/// The patterns are a set: sorted, each once, 1 to 256 of them. Two subscriptions are equal when their patterns and their
/// filters are. A clone shares both.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subscription {
    patterns: Arc<[Pattern]>,
    filter: Option<Filter>,
}

impl Subscription {
    /// The set of these patterns. Repeated ones count once.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self, SubscriptionError> {
        Self::collect(patterns.into_iter().map(Ok))
    }

    /// The set of the patterns with these texts. Repeated ones count once.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, SubscriptionError> {
        Self::collect(texts.into_iter().enumerate().map(|(index, text)| {
            Pattern::parse(text.as_ref()).map_err(|error| SubscriptionError::Pattern { index, error })
        }))
    }

    /// The subscription `**`, which wants every event.
    pub fn everything() -> Self {
        Self { patterns: [Pattern::everything()].into(), filter: None }
    }

    /// The same types, of which only events that pass this filter are wanted.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// Whether an event of this type and content is wanted. The cost is that of [`Self::matches`] and
    /// [`Filter::matches`]. To ask many, give a [`FilterIndex`](super::filter::FilterIndex) each filter
    /// [for the types](Filter::for_types) of its subscription.
    pub fn wants(&self, event_type: &str, content: &Flat) -> bool {
        self.matches(event_type) && self.filter.as_ref().is_none_or(|filter| filter.matches(content))
    }

    /// Whether an event of this type is wanted, as far as its type goes: the filter is not asked. A text that is no event
    /// type is not wanted.
    ///
    /// The cost is that of [`Pattern::matches`] for each pattern. To ask many subscriptions, use an
    /// [`Index`](super::Index).
    pub fn matches(&self, event_type: &str) -> bool {
        validate_type(event_type).is_ok() && self.matching(event_type).is_some()
    }

    /// The patterns in ascending order of their texts.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// What the content must pass, if there is a filter.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Says for a person why an event of this type is wanted or not, as far as its type goes. The cost is that of [`Self::matches`], some ten
    /// times; this is for diagnosis, not for delivering.
    pub fn explain(&self, event_type: &str) -> Explained {
        explain::explain(self, event_type)
    }

    /// The same with the filter asked too. The cost of [`Filter::matches`] comes on top, twice.
    pub fn explain_content(&self, event_type: &str, content: &Flat) -> Explained {
        explain::explain_content(self, event_type, content)
    }

    /// The first pattern that names this type, which was checked already.
    pub(super) fn matching(&self, event_type: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.matches_valid(event_type))
    }

    fn collect(patterns: impl Iterator<Item = Result<Pattern, SubscriptionError>>) -> Result<Self, SubscriptionError> {
        let mut set = BTreeSet::new();
        for pattern in patterns {
            set.insert(pattern?);
            if set.len() > limits::PATTERNS {
                return Err(SubscriptionError::TooMany { max: limits::PATTERNS });
            }
        }
        if set.is_empty() {
            return Err(SubscriptionError::Empty);
        }
        Ok(Self { patterns: set.into_iter().collect(), filter: None })
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")?;
        f.debug_set().entries(self.patterns.iter().map(Pattern::as_str)).finish()?;
        self.filter.as_ref().map_or(Ok(()), |filter| write!(f, " with {filter:?}"))
    }
}

/// Why a list of patterns is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// It has no patterns, so it would want nothing.
    Empty,
    /// It has more different patterns than allowed.
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// One of the texts is no pattern.
    Pattern {
        /// Which text, counted from 0.
        index: usize,
        /// What is wrong with it.
        error: PatternError,
    },
}

impl fmt::Display for SubscriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("has no patterns; use `**` for every event type"),
            Self::TooMany { max } => {
                write!(f, "has more than {max} different patterns; `*` and `**` can stand for many types")
            }
            Self::Pattern { index, error } => write!(f, "pattern {index} (counted from 0) {error}"),
        }
    }
}

impl core::error::Error for SubscriptionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Empty | Self::TooMany { .. } => None,
            Self::Pattern { error, .. } => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn patterns_are_a_set() {
        let one = Subscription::parse(["b", "a.**.**", "a.**", "b"]).unwrap();
        assert_eq!(one, Subscription::parse(["a.**", "b"]).unwrap());
        assert_eq!(format!("{one:?}"), r#"Subscription{"a.**", "b"}"#);
        assert!(one.matches("a.x") && one.matches("b") && !one.matches("b.x") && !one.matches("a."));
        assert_eq!(Subscription::new([Pattern::parse("**.**").unwrap()]).unwrap(), Subscription::everything());
    }

    #[test]
    fn a_filter_narrows_what_is_wanted() {
        let all = Subscription::parse(["order.*"]).unwrap();
        let filter = Filter::eventbridge(r#"{"data": {"total": [{"numeric": [">", 9]}]}}"#).unwrap();
        let some = all.clone().with_filter(filter.clone());
        let content =
            |total: &str| Flat::new().with_json("data", format!(r#"{{"total": {total}}}"#).as_bytes()).unwrap();
        assert!(some != all && some.filter() == Some(&filter) && all.filter().is_none());
        assert!(some.wants("order.paid", &content("10")) && !some.wants("order.paid", &content("9.0")));
        assert!(!some.wants("user.made", &content("10")) && all.wants("order.paid", &content("9")));
        assert!(
            format!("{some:?}").ends_with(r#" with Filter::EventBridge({"data": {"total": [{"numeric": [">", 9]}]}})"#)
        );
    }

    #[test]
    fn its_size_is_bounded() {
        assert_eq!(Subscription::new([]), Err(SubscriptionError::Empty));
        assert!(Subscription::parse((0..256).map(|n| n.to_string())).is_ok());
        assert_eq!(Subscription::parse((0..).map(|n| n.to_string())), Err(SubscriptionError::TooMany { max: 256 }));
        let error = Subscription::parse(["a", "b*"]).unwrap_err();
        assert_eq!(error, SubscriptionError::Pattern { index: 1, error: PatternError::Star { at: 1 } });
        assert!(error.to_string().starts_with("pattern 1 (counted from 0) has a '*' inside a segment at byte 1"));
    }
}

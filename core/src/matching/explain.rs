//! Why a subscription wants an event or does not, in words.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use super::filter::Flat;
use super::near::{self, NearMiss};
use super::{EventType, Pattern, Subscription, TypeError};

/// Why a subscription wants an event of one type, or does not. Its Display text is a sentence or two for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explained {
    /// It is wanted.
    Matched {
        /// The type.
        event_type: EventType,
        /// The first of the patterns that name it.
        pattern: Pattern,
    },
    /// It is not wanted.
    Missed {
        /// The type.
        event_type: EventType,
        /// The pattern that came closest.
        closest: Pattern,
        /// The first condition of that pattern that failed.
        failed: Mismatch,
        /// What was probably meant, where the pattern nearly names the type.
        hint: Option<NearMiss>,
    },
    /// Its type is wanted, and its content does not pass the filter.
    Filtered {
        /// The type.
        event_type: EventType,
        /// The first of the patterns that name it.
        pattern: Pattern,
        /// The path of the first field whose condition fails; `None` where each condition holds, but not for one and the
        /// same element of an array.
        unmet: Option<Box<str>>,
    },
    /// The text is no event type, so nothing matches it.
    Invalid(TypeError),
}

/// The condition of a pattern that a type does not meet. Segments are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// A segment is not the one wanted.
    Differs {
        /// Which segment of the type.
        segment: usize,
        /// What the pattern wants there.
        wanted: Box<str>,
        /// What the type has there.
        found: Box<str>,
    },
    /// The type has too few segments.
    TooShort {
        /// The first part of the pattern that is left without one.
        wanted: Box<str>,
    },
    /// The type goes on where the pattern ends.
    GoesOn {
        /// Which segment of the type.
        segment: usize,
        /// What the type has there.
        found: Box<str>,
    },
    /// The ends fit, but what the pattern wants between two `**` is not in the segments between the ends.
    Between {
        /// The parts of the pattern from the first `**` to the last, both included.
        wanted: Box<str>,
    },
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched { event_type, pattern } => write!(f, "`{event_type}` is wanted by `{pattern}`"),
            Self::Missed { event_type, closest, failed, hint } => {
                write!(f, "`{event_type}` is not wanted; the closest pattern is `{closest}`, and {failed}")?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
            }
            Self::Filtered { event_type, pattern, unmet } => {
                write!(f, "`{event_type}` is wanted by `{pattern}`, but the filter refuses its content: ")?;
                match unmet {
                    Some(path) => write!(f, "the condition on `{path}` does not hold"),
                    None => f.write_str("no one element of an array meets all conditions on it"),
                }
            }
            Self::Invalid(error) => write!(f, "no pattern matches, because the event type {error}"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { segment, wanted, found } => {
                write!(f, "segment {segment} is `{found}` where it wants `{wanted}`")
            }
            Self::TooShort { wanted } => write!(f, "the type has no segment left for its `{wanted}`"),
            Self::GoesOn { segment, found } => {
                write!(f, "the type goes on with `{found}` as segment {segment} where the pattern ends")
            }
            Self::Between { wanted } => write!(f, "nothing between its ends fits `{wanted}`"),
        }
    }
}

/// See [`Subscription::explain`].
pub(super) fn explain(subscription: &Subscription, event_type: &str) -> Explained {
    let event_type = match EventType::new(event_type) {
        Ok(event_type) => event_type,
        Err(error) => return Explained::Invalid(error),
    };
    if let Some(pattern) = subscription.matching(event_type.as_str()) {
        return Explained::Matched { event_type, pattern: pattern.clone() };
    }
    let (closest, failed, near) = subscription
        .patterns()
        .iter()
        .map(|pattern| {
            let (fits, failed) = mismatch(pattern, event_type.as_str());
            (pattern, fits, failed, near::compare(pattern, event_type.as_str()))
        })
        .min_by_key(|(_, fits, _, near)| {
            let distance = near.as_ref().map(|(distance, _)| *distance);
            (distance.is_none(), distance, Reverse(*fits))
        })
        .map(|(pattern, _, failed, near)| (pattern.clone(), failed, near))
        .expect("a subscription has at least one pattern");
    let hint = near.map(|(_, why)| NearMiss { pattern: closest.clone(), event_type: event_type.clone(), why });
    Explained::Missed { event_type, closest, failed, hint }
}

/// See [`Subscription::explain_content`].
pub(super) fn explain_content(subscription: &Subscription, event_type: &str, content: &Flat) -> Explained {
    match (explain(subscription, event_type), subscription.filter()) {
        (Explained::Matched { event_type, pattern }, Some(filter)) if !filter.matches(content) => {
            Explained::Filtered { event_type, pattern, unmet: filter.unmet(content).map(Into::into) }
        }
        (explained, _) => explained,
    }
}

/// The first condition that the type does not meet, and how many it met before. The pattern does not name the type.
///
/// The parts before the first `**` are held against the beginning of the type, those after the last against its end.
fn mismatch(pattern: &Pattern, event_type: &str) -> (usize, Mismatch) {
    let parts: Vec<&str> = pattern.parts().collect();
    let segments: Vec<&str> = event_type.split('.').collect();
    let first = parts.iter().position(|part| *part == "**");
    let last = parts.iter().rposition(|part| *part == "**");
    let head = &parts[..first.unwrap_or(parts.len())];
    let tail = last.map_or(&[][..], |last| &parts[last + 1..]);

    for (at, part) in head.iter().enumerate() {
        match segments.get(at) {
            None => return (at, Mismatch::TooShort { wanted: (*part).into() }),
            Some(found) if *part == "*" || part == found => {}
            Some(found) => return (at, differs(at, part, found)),
        }
    }
    let (Some(first), Some(last)) = (first, last) else {
        let at = head.len();
        let found = segments.get(at).expect("all parts fit, so the type that is not named has more segments");
        return (at, Mismatch::GoesOn { segment: at + 1, found: (*found).into() });
    };
    let room = segments.len() - head.len();
    for (back, part) in tail.iter().rev().enumerate() {
        if back == room {
            return (head.len() + back, Mismatch::TooShort { wanted: (*part).into() });
        }
        let at = segments.len() - 1 - back;
        if *part != "*" && *part != segments[at] {
            return (head.len() + back, differs(at, part, segments[at]));
        }
    }
    (head.len() + tail.len(), Mismatch::Between { wanted: parts[first..=last].join(".").into() })
}

fn differs(at: usize, wanted: &str, found: &str) -> Mismatch {
    Mismatch::Differs { segment: at + 1, wanted: wanted.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn explained(patterns: &[&str], event_type: &str) -> alloc::string::String {
        Subscription::parse(patterns).unwrap().explain(event_type).to_string()
    }

    #[test]
    fn a_match_names_its_pattern() {
        assert_eq!(explained(&["a.b", "order.*"], "order.paid"), "`order.paid` is wanted by `order.*`");
    }

    #[test]
    fn a_miss_names_the_closest_pattern_and_what_failed() {
        let cases = [
            (
                &["invoice.**", "order.*"][..],
                "order.item.added",
                "`order.item.added` is not wanted; the closest pattern is `order.*`, and the type goes on with `added` \
                 as segment 3 where the pattern ends (`order.*` stands for exactly one segment after `order`; \
                 `order.**` would match `order.item.added`)",
            ),
            (
                &["invoice.sent", "order.paid.*"],
                "order.refunded.late",
                "`order.refunded.late` is not wanted; the closest pattern is `order.paid.*`, and segment 2 is \
                 `refunded` where it wants `paid`",
            ),
            (
                &["a.*.**"],
                "a",
                "`a` is not wanted; the closest pattern is `a.*.**`, and the type has no segment left for its `*` \
                 (each `*` in `a.*.**` stands for exactly one segment; `a.**` would match `a`)",
            ),
            (
                &["a.**.b.**.c"],
                "a.x.c",
                "`a.x.c` is not wanted; the closest pattern is `a.**.b.**.c`, and nothing between its ends fits \
                 `**.b.**`",
            ),
            (
                &["a.**.b.c"],
                "a.c",
                "`a.c` is not wanted; the closest pattern is `a.**.b.c`, and the type has no segment left for its `b`",
            ),
            (
                &["a.**.b"],
                "a.c",
                "`a.c` is not wanted; the closest pattern is `a.**.b`, and segment 2 is `c` where it wants `b`",
            ),
            (
                &["**"],
                "a..b",
                "no pattern matches, because the event type has an empty segment at byte 2; one dot between two segments, none at the ends",
            ),
        ];
        for (patterns, event_type, sentence) in cases {
            assert_eq!(explained(patterns, event_type), sentence);
        }
    }
}

//! Patterns that nearly name a type, and what keeps them from it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::pattern::glob;
use super::{EventType, Pattern};

/// A type of more segments has no near miss, so that comparing stays cheap: a type in use has two to five.
pub(super) const SEGMENTS: usize = 32;

/// Edits (a character changed, added or left out) that make a slip of the keyboard.
const EDITS: usize = 2;

/// A pattern that does not name a type, but nearly does. Its Display text is one sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearMiss {
    /// The pattern.
    pub pattern: Pattern,
    /// The type that it does not name.
    pub event_type: EventType,
    /// What is between them.
    pub why: NearMissReason,
}

/// What is between a pattern and a type that it nearly names, most telling first. A suggestion is a pattern that would
/// name the type, unless it would be too long for a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NearMissReason {
    /// They differ only in upper and lower case.
    Case,
    /// One segment differs by at most two edits, and by at most half of its characters.
    Typo {
        /// The segment in the pattern.
        wanted: Box<str>,
        /// The segment in the type.
        found: Box<str>,
    },
    /// A `*` stands for one segment where the type has another number of them.
    Star {
        /// The pattern with `**` instead.
        suggestion: Option<Pattern>,
    },
    /// The pattern names the beginning of the type, as `order` and `order.paid`.
    Beginning {
        /// The pattern with `.**` added.
        suggestion: Option<Pattern>,
    },
    /// The pattern names the end of the type, as `paid` and `order.paid`.
    End {
        /// The pattern with `**.` in front.
        suggestion: Option<Pattern>,
    },
    /// The pattern begins with the type, as `order.paid` and `order`.
    GoesOn,
    /// The pattern ends with the type, as `order.paid` and `paid`.
    BeginsEarlier,
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, event_type, why } = self;
        let suggestion = match why {
            NearMissReason::Case => {
                write!(f, "`{pattern}` differs from `{event_type}` only in upper and lower case")?;
                &None
            }
            NearMissReason::Typo { wanted, found } => {
                write!(f, "`{pattern}` has `{wanted}` where `{event_type}` has `{found}`")?;
                &None
            }
            NearMissReason::Star { suggestion } => {
                match pattern.as_str().strip_suffix(".*") {
                    Some(before) if !before.contains('*') => {
                        write!(f, "`{pattern}` stands for exactly one segment after `{before}`")?;
                    }
                    Some(_) | None => write!(f, "each `*` in `{pattern}` stands for exactly one segment")?,
                }
                suggestion
            }
            NearMissReason::Beginning { suggestion } => {
                write!(f, "`{pattern}` names only the beginning of `{event_type}`")?;
                suggestion
            }
            NearMissReason::End { suggestion } => {
                write!(f, "`{pattern}` names only the end of `{event_type}`")?;
                suggestion
            }
            NearMissReason::GoesOn => {
                write!(f, "`{pattern}` wants further segments after `{event_type}`")?;
                &None
            }
            NearMissReason::BeginsEarlier => {
                write!(f, "`{pattern}` wants further segments before `{event_type}`")?;
                &None
            }
        };
        match suggestion {
            Some(better) => write!(f, "; `{better}` would match `{event_type}`"),
            None => Ok(()),
        }
    }
}

/// How near a pattern is, less being nearer: the kind of reason, its edits, then the exact segments that are missing.
pub(super) type Distance = (u8, usize, usize);

/// What is between this pattern and this valid type, which it does not name, and how much that is. `None` where they
/// are not alike. Of several reasons it is the most telling.
pub(super) fn compare(pattern: &Pattern, event_type: &str) -> Option<(Distance, NearMissReason)> {
    let segments: Vec<&str> = event_type.split('.').take(SEGMENTS + 1).collect();
    if segments.len() > SEGMENTS {
        return None;
    }
    let parts: Vec<&str> = pattern.parts().collect();
    let exact = parts.iter().filter(|part| !part.starts_with('*')).count();
    let found = |kind, edits, why| Some(((kind, edits, usize::MAX - exact), why));

    if glob(pattern.as_str(), event_type, str::eq_ignore_ascii_case) {
        return found(0, 0, NearMissReason::Case);
    }
    if let Some((edits, wanted, slip)) = typo(&parts, &segments) {
        return found(1, edits, NearMissReason::Typo { wanted: wanted.into(), found: slip.into() });
    }
    if let Some(suggestion) = widened(&parts, event_type) {
        return found(2, 0, NearMissReason::Star { suggestion: Pattern::parse(&suggestion).ok() });
    }
    if exact == 0 {
        return None;
    }
    let longer = format!("{pattern}.**");
    if glob(&longer, event_type, |want, found| want == found) {
        return found(3, 0, NearMissReason::Beginning { suggestion: Pattern::parse(&longer).ok() });
    }
    let longer = format!("**.{pattern}");
    if glob(&longer, event_type, |want, found| want == found) {
        return found(4, 0, NearMissReason::End { suggestion: Pattern::parse(&longer).ok() });
    }
    let further = parts.len().checked_sub(segments.len()).filter(|further| *further > 0)?;
    if aligned(&parts[..segments.len()], &segments) {
        return found(5, further, NearMissReason::GoesOn);
    }
    aligned(&parts[further..], &segments).then_some(((6, further, usize::MAX - exact), NearMissReason::BeginsEarlier))
}

/// Whether two segments are as near as a slip of the keyboard, and by how many edits.
pub(super) fn slip(wanted: &str, found: &str) -> Option<usize> {
    let most = EDITS.min(wanted.len().max(found.len()) / 2);
    if wanted.len().abs_diff(found.len()) > most {
        return None;
    }
    edits(wanted.as_bytes(), found.as_bytes()).filter(|edits| *edits <= most)
}

/// The one exact segment that is not as wanted but nearly, where all else agrees. Only for patterns with at most one
/// `**`: there, every part has one place in the type.
fn typo<'a>(parts: &[&'a str], segments: &[&'a str]) -> Option<(usize, &'a str, &'a str)> {
    let (head, tail) = match parts.iter().position(|part| *part == "**") {
        None if parts.len() == segments.len() => (parts, &parts[parts.len()..]),
        None => return None,
        Some(deep) => (&parts[..deep], &parts[deep + 1..]),
    };
    if tail.contains(&"**") || head.len() + tail.len() > segments.len() {
        return None;
    }
    let ends = segments[..head.len()].iter().chain(&segments[segments.len() - tail.len()..]);
    let mut wrong = head.iter().chain(tail).zip(ends).filter(|(part, segment)| **part != "*" && part != segment);
    let (wanted, found) = wrong.next()?;
    if wrong.next().is_some() {
        return None;
    }
    slip(wanted, found).map(|edits| (edits, *wanted, *found))
}

/// The pattern with its last `*`, else its first, else all of them as `**`, if that names the type.
fn widened(parts: &[&str], event_type: &str) -> Option<String> {
    let last = parts.iter().rposition(|part| *part == "*")?;
    let first = parts.iter().position(|part| *part == "*")?;
    let widen = |from: usize, to: usize| {
        let parts: Vec<&str> = parts
            .iter()
            .enumerate()
            .map(|(at, part)| if *part == "*" && (from..=to).contains(&at) { "**" } else { part })
            .collect();
        parts.join(".")
    };
    [(last, last), (first, first), (first, last)]
        .into_iter()
        .map(|(from, to)| widen(from, to))
        .find(|wide| glob(wide, event_type, |want, found| want == found))
}

/// Whether these parts name these segments one by one, at least one of them exactly.
fn aligned(parts: &[&str], segments: &[&str]) -> bool {
    parts.iter().zip(segments).all(|(part, segment)| *part == "*" || part == segment)
        && parts.iter().any(|part| *part != "*")
}

/// The edits between two texts, if they are at most [`EDITS`]. It looks only at the pairs of positions that are not
/// further apart than that.
fn edits(a: &[u8], b: &[u8]) -> Option<usize> {
    const WIDTH: usize = 2 * EDITS + 1;
    const FAR: usize = EDITS + 1;
    // row[w] is the edits between the first i of `a` and the first i + w - EDITS of `b`.
    let mut row: [usize; WIDTH] =
        core::array::from_fn(|w| w.checked_sub(EDITS).filter(|j| *j <= b.len()).unwrap_or(FAR));
    for i in 1..=a.len() {
        let mut next = [FAR; WIDTH];
        for w in 0..WIDTH {
            let Some(j) = (i + w).checked_sub(EDITS).filter(|j| *j <= b.len()) else { continue };
            let left_out = row.get(w + 1).map_or(FAR, |edits| edits + 1);
            let added = w.checked_sub(1).map_or(FAR, |w| next[w] + 1);
            let changed = if j == 0 { FAR } else { row[w] + usize::from(a[i - 1] != b[j - 1]) };
            next[w] = left_out.min(added).min(changed).min(FAR);
        }
        row = next;
    }
    let end = (b.len() + EDITS).checked_sub(a.len())?;
    row.get(end).copied().filter(|edits| *edits <= EDITS)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn said(pattern: &str, event_type: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let event_type = EventType::new(event_type).unwrap();
        let (_, why) = compare(&pattern, event_type.as_str())?;
        Some(NearMiss { pattern, event_type, why }.to_string())
    }

    #[test]
    fn the_reason_is_said_in_a_sentence() {
        let cases = [
            (
                "order.*",
                "order.item.added",
                "`order.*` stands for exactly one segment after `order`; `order.**` would match `order.item.added`",
            ),
            (
                "order.*",
                "order",
                "`order.*` stands for exactly one segment after `order`; `order.**` would match `order`",
            ),
            ("*.a.*", "x.y.a.b", "each `*` in `*.a.*` stands for exactly one segment; `**.a.*` would match `x.y.a.b`"),
            ("Order.*", "order.paid", "`Order.*` differs from `order.paid` only in upper and lower case"),
            ("ordr.**.paid", "order.a.paid", "`ordr.**.paid` has `ordr` where `order.a.paid` has `order`"),
            ("**.pait", "order.paid", "`**.pait` has `pait` where `order.paid` has `paid`"),
            (
                "order",
                "order.paid",
                "`order` names only the beginning of `order.paid`; `order.**` would match `order.paid`",
            ),
            ("paid", "order.paid", "`paid` names only the end of `order.paid`; `**.paid` would match `order.paid`"),
            ("order.paid.late", "order", "`order.paid.late` wants further segments after `order`"),
            ("order.paid", "paid", "`order.paid` wants further segments before `paid`"),
        ];
        for (pattern, event_type, sentence) in cases {
            assert_eq!(said(pattern, event_type).as_deref(), Some(sentence));
        }
        for (pattern, event_type) in [("a", "b"), ("order.paid", "invoice.sent"), ("x.**.y", "order.paid")] {
            assert_eq!(said(pattern, event_type), None, "{pattern} {event_type}");
        }
        assert_eq!(said("b.*", &vec!["b"; SEGMENTS + 1].join(".")), None);
    }

    proptest! {
        #[test]
        fn a_suggestion_names_the_type(
            pattern in prop::collection::vec(prop::sample::select(&["ab", "cd", "*", "**"][..]), 1..5),
            event_type in prop::collection::vec(prop::sample::select(&["ab", "cd", "Ab"][..]), 1..6),
        ) {
            let pattern = Pattern::parse(&pattern.join(".")).unwrap();
            let event_type = event_type.join(".");
            prop_assume!(!pattern.matches(&event_type));
            match compare(&pattern, &event_type) {
                Some((_, NearMissReason::Star { suggestion }
                | NearMissReason::Beginning { suggestion }
                | NearMissReason::End { suggestion })) => prop_assert!(suggestion.unwrap().matches(&event_type)),
                Some((_, NearMissReason::Case
                | NearMissReason::Typo { .. }
                | NearMissReason::GoesOn
                | NearMissReason::BeginsEarlier)) | None => {}
            }
        }

        #[test]
        fn edits_are_the_textbook_distance(a in "[ab]{0,7}", b in "[ab]{0,7}") {
            prop_assert_eq!(edits(a.as_bytes(), b.as_bytes()), Some(full(a.as_bytes(), b.as_bytes())).filter(|d| *d <= EDITS));
        }
    }

    /// The recurrence, word for word.
    fn full(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a_rest @ ..], [y, b_rest @ ..]) if x == y => full(a_rest, b_rest),
            ([_, a_rest @ ..], [_, b_rest @ ..]) => 1 + full(a_rest, b).min(full(a, b_rest)).min(full(a_rest, b_rest)),
        }
    }
}

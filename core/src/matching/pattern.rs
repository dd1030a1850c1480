//! One pattern: which types it names.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::str::Split;

use super::event_type::{char_at, in_segment};
use super::validate_type;
use crate::limits;

/// Names event types: exact segments, `*` for exactly one segment, `**` for zero or more, anywhere and several times.
///
/// A pattern is kept in its canonical form, in which a run of wildcards is its `*`s followed by at most one `**`
/// (`a.**.*.**` becomes `a.*.**`). So two patterns are equal exactly when they name the same types.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Checks the text and brings it into canonical form.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        validate(text)?;
        Ok(Self(canonical(text).into()))
    }

    /// The pattern `**`, which names every type.
    pub fn everything() -> Self {
        Self("**".into())
    }

    /// Whether the pattern names this type. A text that is no event type is named by none.
    ///
    /// It allocates nothing and compares at most P × T segments, where P and T are the segments of the pattern and of
    /// the type (at most 128 each), however many `**` there are.
    pub fn matches(&self, event_type: &str) -> bool {
        validate_type(event_type).is_ok() && self.matches_valid(event_type)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As [`Self::matches`], for a type that was checked already.
    pub(super) fn matches_valid(&self, event_type: &str) -> bool {
        glob(&self.0, event_type, |want, found| want == found)
    }

    /// The segments and wildcards from left to right.
    pub(super) fn parts(&self) -> Split<'_, char> {
        self.0.split('.')
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", &*self.0)
    }
}

/// Why a text is no pattern. Positions are bytes, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It has no characters.
    Empty,
    /// It has more bytes than allowed.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// A segment has no characters: two dots in a row, or a dot at the beginning or the end.
    EmptySegment {
        /// Where the segment should begin.
        at: usize,
    },
    /// A `*` stands inside a segment, or more than two stand together.
    Star {
        /// Where the `*` is.
        at: usize,
    },
    /// It has a character that is not allowed.
    Forbidden {
        /// Where the character begins.
        at: usize,
        /// The character.
        found: char,
    },
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty; use `**` for every event type"),
            Self::TooLong { len, max } => write!(f, "has {len} bytes, at most {max} are allowed"),
            Self::EmptySegment { at } => {
                write!(f, "has an empty segment at byte {at}; use `*` for any one segment, `**` for any number")
            }
            Self::Star { at } => write!(
                f,
                "has a '*' inside a segment at byte {at}; use `*` alone as a whole segment, or `**` for any number"
            ),
            Self::Forbidden { at, found: found @ ('#' | '>') } => {
                write!(f, "has a {found:?} at byte {at}; use `**` for any number of segments")
            }
            Self::Forbidden { at, found: found @ ('?' | '+') } => {
                write!(f, "has a {found:?} at byte {at}; use `*` for any one segment")
            }
            Self::Forbidden { at, found } => write!(
                f,
                "has a {found:?} at byte {at}; letters, digits, '_', ':', '/' and '-' are allowed, and `*` or `**` as \
                 a whole segment"
            ),
        }
    }
}

impl core::error::Error for PatternError {}

/// Whether the pattern names the type, where `same` decides whether an exact segment names a segment.
///
/// Greedy: a mismatch goes back to the latest `**` only and lets it take one segment more. That is enough, because an
/// earlier `**` that takes more leaves the later one no choice that it does not have already.
pub(super) fn glob(pattern: &str, event_type: &str, same: impl Fn(&str, &str) -> bool) -> bool {
    let mut parts = pattern.split('.');
    let mut segments = event_type.split('.');
    let mut retry = None;
    loop {
        let here = segments.clone();
        match (parts.next(), segments.next()) {
            (Some("**"), _) => {
                segments = here;
                retry = Some((parts.clone(), segments.clone()));
            }
            (Some(want), Some(found)) if want == "*" || same(want, found) => {}
            (None, None) => return true,
            // The type has ended first; a `**` that takes more would leave it even shorter.
            (Some(_), None) => return false,
            (Some(_) | None, Some(_)) => {
                let Some((after, rest)) = &mut retry else { return false };
                rest.next();
                parts = after.clone();
                segments = rest.clone();
            }
        }
    }
}

fn validate(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > limits::EVENT_TYPE_BYTES {
        return Err(PatternError::TooLong { len: text.len(), max: limits::EVENT_TYPE_BYTES });
    }
    let mut start = 0;
    for part in text.split('.') {
        match part {
            "" => return Err(PatternError::EmptySegment { at: start }),
            "*" | "**" => {}
            _ => exact(text, start, part)?,
        }
        start += part.len() + 1;
    }
    Ok(())
}

/// Checks a part that is no wildcard and begins at `start`.
fn exact(text: &str, start: usize, part: &str) -> Result<(), PatternError> {
    let Some(offset) = part.bytes().position(|byte| !in_segment(byte)) else { return Ok(()) };
    let at = start + offset;
    match char_at(text, at) {
        '*' => Err(PatternError::Star { at }),
        found => Err(PatternError::Forbidden { at, found }),
    }
}

/// Rewrites each run of wildcards as its `*`s followed by at most one `**`.
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut deep = false;
    for part in text.split('.') {
        if part == "**" {
            deep = true;
            continue;
        }
        if deep && part != "*" {
            push(&mut out, "**");
            deep = false;
        }
        push(&mut out, part);
    }
    if deep {
        push(&mut out, "**");
    }
    out
}

fn push(out: &mut String, part: &str) {
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(part);
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_take_whole_segments() {
        let cases = [
            ("order.paid", "order.paid", true),
            ("order.paid", "Order.paid", false),
            ("order.*", "order.paid", true),
            ("order.*", "order", false),
            ("order.*", "order.item.added", false),
            ("order.**", "order", true),
            ("order.**", "order.item.added", true),
            ("**.added", "added", true),
            ("**.a.**.b", "a.c.a.b.b", true),
            ("**.a.**.b", "b.a", false),
            ("**", "anything.at.all", true),
            ("**", "", false),
            ("**", "a..b", false),
        ];
        for (pattern, event_type, matches) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(event_type), matches, "{pattern} {event_type}");
        }
    }

    #[test]
    fn equal_meaning_is_equal_text() {
        for (text, canonical) in
            [("a.**.**", "a.**"), ("**.*.**.*.b", "*.*.**.b"), ("**.a.**", "**.a.**"), ("*.**", "*.**")]
        {
            assert_eq!(Pattern::parse(text).unwrap().as_str(), canonical);
        }
    }

    #[test]
    fn a_fault_is_named_with_its_place_and_its_cure() {
        let fault = |text: &str| Pattern::parse(text).unwrap_err();
        assert_eq!(fault(""), PatternError::Empty);
        assert_eq!(fault("a..b"), PatternError::EmptySegment { at: 2 });
        assert_eq!(fault("a."), PatternError::EmptySegment { at: 2 });
        assert_eq!(fault("a.or*"), PatternError::Star { at: 4 });
        assert_eq!(fault("a.***"), PatternError::Star { at: 2 });
        assert_eq!(fault("order.>"), PatternError::Forbidden { at: 6, found: '>' });
        assert_eq!(fault("ü"), PatternError::Forbidden { at: 0, found: 'ü' });
        assert_eq!(fault(&"x".repeat(257)), PatternError::TooLong { len: 257, max: 256 });
        assert!(fault("or*").to_string().contains("use `*` alone as a whole segment"));
        assert!(fault("a.#").to_string().contains("use `**`"));
    }

    #[test]
    fn many_double_stars_stay_cheap() {
        let pattern = Pattern::parse(&"**.a.".repeat(42)).map(|_| ()).unwrap_err();
        assert_eq!(pattern, PatternError::EmptySegment { at: 210 });
        let pattern = Pattern::parse(&["**.a"; 50].join(".")).unwrap();
        assert!(pattern.matches(&["a"; 128].join(".")));
        assert!(!pattern.matches(&[["a"; 127].join("."), "b".into()].join(".")));
    }

    /// What the grammar says, word for word: exponential, so for short inputs only.
    fn reference(parts: &[&str], segments: &[&str]) -> bool {
        match (parts.split_first(), segments.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((&"**", rest)), _) => (0..=segments.len()).any(|taken| reference(rest, &segments[taken..])),
            (Some(_), None) => false,
            (Some((part, rest)), Some((segment, tail))) => (*part == "*" || part == segment) && reference(rest, tail),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        #[test]
        fn matches_as_the_grammar_says(
            parts in prop::collection::vec(prop::sample::select(&["a", "b", "*", "**", "**"][..]), 1..8),
            segments in prop::collection::vec(prop::sample::select(&["a", "b", "c"][..]), 1..8),
        ) {
            let pattern = Pattern::parse(&parts.join(".")).unwrap();
            prop_assert_eq!(pattern.matches(&segments.join(".")), reference(&parts, &segments));
            let again: Vec<_> = pattern.parts().collect();
            prop_assert_eq!(reference(&again, &segments), reference(&parts, &segments));
            prop_assert_eq!(Pattern::parse(pattern.as_str()).unwrap(), pattern);
        }
    }
}

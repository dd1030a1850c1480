//! Tests of strings that are more than a comparison: without regard to case, and with wildcards.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A string compared without regard to case: each character stands for its own lower and upper case, as Unicode maps
/// them (so `ß` for `ß` and `SS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folded(Box<str>);

impl Folded {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The whole in small letters, if it is ASCII only: then it stands for the texts that give the same, and no others.
    pub(super) fn ascii(&self) -> Option<String> {
        self.0.is_ascii().then(|| self.0.to_ascii_lowercase())
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.strip(text).is_some_and(str::is_empty)
    }

    pub(super) fn begins(&self, text: &str) -> bool {
        self.strip(text).is_some()
    }

    pub(super) fn ends(&self, text: &str) -> bool {
        let mut rest = text;
        self.0.chars().rev().all(|wanted| {
            let found = strip_end(rest, wanted.to_lowercase()).or_else(|| strip_end(rest, wanted.to_uppercase()));
            found.is_some_and(|shorter| {
                rest = shorter;
                true
            })
        })
    }

    /// What is left of the text behind this beginning. The two cases of a character never begin one another, so the
    /// first that fits is the only one.
    fn strip<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.0.chars().try_fold(text, |rest, wanted| {
            strip_start(rest, wanted.to_lowercase()).or_else(|| strip_start(rest, wanted.to_uppercase()))
        })
    }
}

fn strip_start(text: &str, mut wanted: impl Iterator<Item = char>) -> Option<&str> {
    wanted.try_fold(text, |rest, wanted| rest.strip_prefix(wanted))
}

fn strip_end(text: &str, wanted: impl DoubleEndedIterator<Item = char>) -> Option<&str> {
    wanted.rev().try_fold(text, |rest, wanted| rest.strip_suffix(wanted))
}

/// A string in which each `*` stands for any characters, none included: what stands before the first `*`, between two,
/// and behind the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    head: Box<str>,
    middle: Box<[Box<str>]>,
    tail: Box<str>,
}

/// What a text with wildcards is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Globbed {
    /// It has no `*`.
    Plain(String),
    Wildcard(Wildcard),
}

/// Why a text is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GlobFault {
    /// Two `*` in a row, the first here.
    Stars(usize),
    /// A backslash before something else than `*` or a backslash.
    Escape(usize),
}

impl Wildcard {
    /// Reads a text in which `\*` and `\\` are a star and a backslash.
    pub(super) fn read(text: &str) -> Result<Globbed, GlobFault> {
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, found)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match (found, next) {
                ('*', Some('*')) => return Err(GlobFault::Stars(at)),
                ('*', _) => parts.push(core::mem::take(&mut part).into_boxed_str()),
                ('\\', Some(escaped @ ('*' | '\\'))) => {
                    part.push(escaped);
                    chars.next();
                }
                ('\\', _) => return Err(GlobFault::Escape(at)),
                (plain, _) => part.push(plain),
            }
        }
        let mut parts = parts.into_iter();
        Ok(match parts.next() {
            None => Globbed::Plain(part),
            Some(head) => Globbed::Wildcard(Self { head, middle: parts.collect(), tail: part.into() }),
        })
    }

    /// Linear in the text: the parts in the middle are found from the left, each by a linear search, and the first place
    /// of a part leaves the most for those behind.
    pub(super) fn is(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.head) else { return false };
        let Some(rest) = rest.strip_suffix(&*self.tail) else { return false };
        let mut parts = self.middle.iter();
        parts.try_fold(rest, |rest, part| Some(&rest[rest.find(&**part)? + part.len()..])).is_some()
    }

    /// Every text it stands for begins so.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// Every text it stands for ends so.
    pub(super) fn tail(&self) -> &str {
        &self.tail
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Wildcard {
        match Wildcard::read(text).unwrap() {
            Globbed::Wildcard(wildcard) => wildcard,
            Globbed::Plain(text) => panic!("{text} has no star"),
        }
    }

    #[test]
    fn escapes_and_stars_are_read() {
        assert_eq!(Wildcard::read("a\\*b\\\\"), Ok(Globbed::Plain("a*b\\".into())));
        assert_eq!(Wildcard::read("a\\"), Err(GlobFault::Escape(1)));
        assert_eq!(Wildcard::read("é\\n"), Err(GlobFault::Escape(2)));
        assert_eq!(Wildcard::read("a*b**"), Err(GlobFault::Stars(3)));
        assert!(read("a*\\**b").is("a**b") && read("a*\\**b").is("a-*-b") && !read("a*\\**b").is("a--b"));
        assert!(read("aba*ba").is("ababa") && !read("aba*ba").is("aba"), "head and tail do not overlap");
        assert!(read("*").is("") && read("*a*").is("ä a"));
    }

    #[test]
    fn long_texts_with_many_stars_stay_cheap() {
        let wildcard = read(&"a*".repeat(4000));
        assert!(wildcard.is(&"a".repeat(200_000)));
        assert!(!read(&["a"; 4000].join("*b*")).is(&"a".repeat(200_000)));
    }

    /// What a wildcard says, word for word: exponential, so for short texts only.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some(('*', rest)), _) => (0..=text.len()).any(|taken| reference(rest, &text[taken..])),
            (Some((wanted, rest)), Some((found, after))) => wanted == found && reference(rest, after),
            (Some(_), None) => false,
        }
    }

    /// No case of a character begins or ends with the other, which [`Folded`] rests on.
    #[test]
    fn cases_do_not_begin_one_another() {
        for character in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let (lower, upper): (String, String) =
                (character.to_lowercase().collect(), character.to_uppercase().collect());
            if lower != upper {
                assert!(!lower.starts_with(&upper) && !upper.starts_with(&lower), "{character}");
                assert!(!lower.ends_with(&upper) && !upper.ends_with(&lower), "{character}");
            }
        }
    }

    #[test]
    fn case_is_that_of_unicode() {
        assert!(Folded::new("straße").is("STRASSE") && Folded::new("Straße").is("sTRAßE"));
        assert!(!Folded::new("ss").is("ß") && !Folded::new("k").is("\u{212a}"));
        assert!(Folded::new("ßX").begins("SSxy") && Folded::new("aß").ends("bASS") && !Folded::new("aß").ends("ß"));
        assert!(Folded::new("").is("") && Folded::new("").begins("a") && !Folded::new("").is("a"));
        assert_eq!((Folded::new("aB").ascii().as_deref(), Folded::new("ß").ascii()), (Some("ab"), None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        #[test]
        fn wildcards_mean_what_they_say(pattern in "[ab]{0,2}\\*([ab]{1,2}\\*?){0,4}", text in "[ab]{0,10}") {
            let (all, chars): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(read(&pattern).is(&text), reference(&all, &chars));
        }
    }
}

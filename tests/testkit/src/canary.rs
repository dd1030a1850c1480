//! Canaries: values that must never be seen where anything is shown.

use std::fmt::{Debug, Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// How much of a canary is looked for: so many bytes of its beginning, and as many of its end.
const PIECE: usize = 12;

/// Secret values of a test, looked for in whatever is printed: as text, in hex, in both alphabets of base64 at any
/// offset, and as the numbers that `Debug` makes of bytes.
///
/// ```
/// use postrider_testkit::Canaries;
/// let canaries = Canaries::new().with("the token", "token-0123456789");
/// assert_eq!(canaries.find("nothing"), None);
/// assert_eq!(canaries.find("746f6b656e2d303132333435"), Some("the token in hex"));
/// ```
#[derive(Debug, Default)]
pub struct Canaries {
    needles: Vec<(String, String)>,
}

impl Canaries {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another one, of at least 12 bytes, which failures call `name`.
    ///
    /// # Panics
    /// When it is shorter: chance would find it.
    #[must_use]
    pub fn with(mut self, name: &str, canary: impl AsRef<[u8]>) -> Self {
        let canary = canary.as_ref();
        assert!(canary.len() >= PIECE, "{name} is shorter than {PIECE} bytes");
        for piece in [&canary[..PIECE], &canary[canary.len() - PIECE..]] {
            self.add(name, "as text", piece.escape_ascii().to_string());
            self.add(name, "in hex", piece.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")));
            self.add(name, "as numbers", format!("{piece:?}").trim_matches(['[', ']']).to_string());
            for offset in 0..3 {
                let text = STANDARD_NO_PAD.encode([&[0; 3][..offset], piece].concat());
                // Characters that the canary alone decides.
                let own = &text[(offset * 8).div_ceil(6)..(offset + PIECE) * 8 / 6];
                self.add(name, "in base64", own.into());
                self.add(name, "in URL-safe base64", own.replace('+', "-").replace('/', "_"));
            }
        }
        self
    }

    /// Which canary is in a text, and how it is written there.
    pub fn find(&self, text: &str) -> Option<&str> {
        let lower = text.to_ascii_lowercase();
        let written =
            |name: &str, needle: &str| text.contains(needle) || name.ends_with("hex") && lower.contains(needle);
        self.needles.iter().find(|(name, needle)| written(name, needle)).map(|(name, _)| name.as_str())
    }

    /// Asserts that none is in a text.
    ///
    /// # Panics
    /// When one is; the message says which and in what.
    #[track_caller]
    pub fn assert_none_in(&self, what: &str, text: &str) {
        if let Some(found) = self.find(text) {
            panic!("{what} shows {found}:\n{text}");
        }
    }

    /// Asserts that a value's `Debug` shows none, on one line and on many.
    ///
    /// # Panics
    /// When it does.
    #[track_caller]
    pub fn assert_dull(&self, what: &str, value: &(impl Debug + ?Sized)) {
        let mut text = format!("{value:?}\n");
        _ = write!(text, "{value:#?}");
        // Bytes on lines of their own are numbers all the same.
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.assert_none_in(what, &text);
        self.assert_none_in(what, &joined);
    }

    /// Asserts that neither a value's `Debug` nor its `Display` shows one.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn assert_mute(&self, what: &str, value: &(impl Debug + Display + ?Sized)) {
        self.assert_dull(what, value);
        self.assert_none_in(what, &value.to_string());
    }

    fn add(&mut self, name: &str, form: &str, needle: String) {
        self.needles.push((format!("{name} {form}"), needle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    #[test]
    fn every_form_is_found() {
        let bytes: Vec<u8> = (0..32).map(|n| 0xe0 + n % 31).collect();
        let canaries = Canaries::new().with("it", &bytes).with("word", "sesame-open-now");
        for before in ["", "a", "ab", "abc"] {
            let around = [before.as_bytes(), &bytes, b"tail"].concat();
            assert_eq!(canaries.find(&STANDARD.encode(&around)), Some("it in base64"), "{before}");
            assert!(canaries.find(&URL_SAFE.encode(&around)).is_some_and(|found| found.ends_with("base64")));
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(canaries.find(&hex), Some("it in hex"));
        for shown in [format!("{bytes:?}"), format!("{:?}", ::bytes::Bytes::from(bytes))] {
            assert!(canaries.find(&shown).is_some(), "{shown}");
        }
        assert_eq!(canaries.find("open sesame-open-now!"), Some("word as text"));
        assert_eq!(canaries.find("sesame"), None);
    }

    #[test]
    #[should_panic(expected = "the list shows it as numbers")]
    fn numbers_on_many_lines_are_found() {
        Canaries::new().with("it", [7; 16]).assert_dull("the list", &vec![7u8; 16]);
    }
}

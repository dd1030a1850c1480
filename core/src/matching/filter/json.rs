//! A reader of JSON text (RFC 8259), token by token, that keeps numbers as they are written.
//!
//! Every function begins where the last ended and passes white space in front of what it reads. A text with half of a
//! surrogate pair is read with U+FFFD in its place, as one may be in an event that others accept.

use alloc::borrow::Cow;
use alloc::string::String;

/// The text is no JSON: what would have been right, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which byte, counted from 0.
    pub(super) at: usize,
    pub(super) expected: &'static str,
}

/// What a value is, by its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    True,
    False,
    Null,
}

impl Kind {
    /// In words, with its article.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::True => "true",
            Self::False => "false",
            Self::Null => "null",
        }
    }
}

/// The reader. The caller keeps track of what is open, and so bounds the depth.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The kind of the next value, which stays unread.
    pub(super) fn kind(&mut self) -> Result<Kind, Fault> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            Some(_) | None => Err(self.fault("a value")),
        }
    }

    /// Opens an object or an array and says whether it has a first item.
    pub(super) fn open(&mut self, kind: Kind) -> Result<bool, Fault> {
        let (open, close, expected) =
            if kind == Kind::Object { (b'{', b'}', "an object") } else { (b'[', b']', "an array") };
        self.expect(open, expected)?;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After an item: says whether another follows, or else closes the object or the array.
    pub(super) fn more(&mut self, kind: Kind) -> Result<bool, Fault> {
        let (close, expected) = if kind == Kind::Object { (b'}', "`,` or `}`") } else { (b']', "`,` or `]`") };
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(found) if found == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) | None => Err(self.fault(expected)),
        }
    }

    /// The name of a member and the colon behind it.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("a name in quotes"));
        }
        let name = self.text()?;
        self.expect(b':', "`:`")?;
        Ok(name)
    }

    /// A string, borrowed where it has no escapes.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        if self.plain()? == b'"' {
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut out = String::from(&self.text[start..self.at - 1]);
        loop {
            out.push(self.escape()?);
            let start = self.at;
            let end = self.plain()?;
            out.push_str(&self.text[start..self.at - 1]);
            if end == b'"' {
                return Ok(Cow::Owned(out));
            }
        }
    }

    /// A number, as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, Fault> {
        self.blank();
        let start = self.at;
        self.take(|byte| byte == b'-');
        if !self.take(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.take(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.take(|byte| matches!(byte, b'e' | b'E')) {
            self.take(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// `true`, `false` or `null`, whichever `kind` says.
    pub(super) fn word(&mut self, kind: Kind) -> Result<(), Fault> {
        self.blank();
        let word = kind.name();
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault("`true`, `false` or `null`"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_some() { Err(self.fault("the end of the text")) } else { Ok(()) }
    }

    /// Which byte is next, white space passed.
    pub(super) fn fault(&mut self, expected: &'static str) -> Fault {
        self.blank();
        Fault { at: self.at, expected }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn peek(&mut self) -> Option<u8> {
        self.blank();
        self.next()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.next() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes the next byte if it is a right one.
    fn take(&mut self, right: impl Fn(u8) -> bool) -> bool {
        let found = self.next().is_some_and(right);
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.take(|byte| byte.is_ascii_digit()) {
            return Err(Fault { at: self.at, expected: "a digit" });
        }
        while self.take(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    /// Passes characters of a string up to and including the next quote or backslash, which is returned.
    fn plain(&mut self) -> Result<u8, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let (words, _) = rest.as_chunks();
        let skipped = 8 * words.iter().take_while(|word| !special(u64::from_le_bytes(**word))).count();
        let found = rest[skipped..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let Some(len) = found.map(|at| skipped + at) else {
            return Err(Fault { at: self.text.len(), expected: "`\"`" });
        };
        let found = rest[len];
        if found < 0x20 {
            return Err(Fault { at: self.at + len, expected: "`\"`, or this control character as an escape" });
        }
        self.at += len + 1;
        Ok(found)
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let fault = Fault { at: self.at - 1, expected: "an escape of JSON" };
        let byte = self.next().ok_or(fault)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit().ok_or(fault)?;
                self.pair(unit).map_err(|()| fault)?
            }
            _ => return Err(fault),
        })
    }

    /// The character of a unit, with the other half that it may need.
    fn pair(&mut self, unit: u16) -> Result<char, ()> {
        if let Some(Ok(whole)) = char::decode_utf16([unit]).next() {
            return Ok(whole);
        }
        let before = self.at;
        if unit < 0xdc00 && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let low = self.unit().ok_or(())?;
            if let Some(Ok(whole)) = char::decode_utf16([unit, low]).next() {
                return Ok(whole);
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some((unit << 4) | char::from(*digit).to_digit(16)? as u16))
    }
}

/// Whether one of the eight bytes is a quote, a backslash or a control character. Each test makes a byte's highest bit 1
/// where the byte is below a bound; a borrow from the byte beneath only comes with a hit there.
const fn special(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let quote = quote.wrapping_sub(EACH) & !quote;
    let backslash = backslash.wrapping_sub(EACH) & !backslash;
    (control | quote | backslash) & (EACH * 0x80) != 0
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    /// Reads one value whole, by recursion: the texts here are short.
    fn pass(reader: &mut Reader<'_>) -> Result<(), Fault> {
        let kind = reader.kind()?;
        match kind {
            Kind::Object | Kind::Array => {
                let mut more = reader.open(kind)?;
                while more {
                    if kind == Kind::Object {
                        reader.name()?;
                    }
                    pass(reader)?;
                    more = reader.more(kind)?;
                }
                Ok(())
            }
            Kind::Text => reader.text().map(|_| ()),
            Kind::Number => reader.number().map(|_| ()),
            Kind::True | Kind::False | Kind::Null => reader.word(kind),
        }
    }

    fn whole(text: &str) -> Result<(), Fault> {
        let mut reader = Reader::new(text);
        pass(&mut reader)?;
        reader.end()
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (text, at, expected) in [
            ("", 0, "a value"),
            ("[1,]", 3, "a value"),
            ("[01]", 2, "`,` or `]`"),
            ("[1.]", 3, "a digit"),
            ("-", 1, "a digit"),
            ("1e", 2, "a digit"),
            ("{\"a\" 1}", 5, "`:`"),
            ("{a:1}", 1, "a name in quotes"),
            ("nul", 0, "`true`, `false` or `null`"),
            ("\"a\nb\"", 2, "`\"`, or this control character as an escape"),
            ("\"\\x\"", 1, "an escape of JSON"),
            ("\"\\u12g4\"", 1, "an escape of JSON"),
            ("\"é", 3, "`\"`"),
            ("1 2", 2, "the end of the text"),
        ] {
            assert_eq!(whole(text), Err(Fault { at, expected }), "{text}");
        }
    }

    #[test]
    fn escapes_are_read() {
        let text = |json: &str| Reader::new(json).text().unwrap().to_string();
        assert_eq!(text(r#""a\"\\\/\b\f\n\r\té\u00e9""#), "a\"\\/\u{8}\u{c}\n\r\té\u{e9}");
        assert_eq!(text(r#""\ud83d\ude00!""#), "😀!");
        assert_eq!(text(r#""\ud83d-\ude00\ud83d\u0041""#), "\u{fffd}-\u{fffd}\u{fffd}A");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn eight_bytes_are_looked_at_as_one(bytes in any::<[u8; 8]>(), some in any::<[bool; 8]>()) {
            // Mostly bytes that are not special, so that both answers come.
            let bytes = core::array::from_fn(|at| if some[at] && some[0] { bytes[at] } else { bytes[at] | 0x60 });
            let one = bytes.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(special(u64::from_le_bytes(bytes)), one);
        }

        #[test]
        fn it_accepts_what_another_reader_accepts(text in r#"([\[\]{},:\-"]|-?[0-9.eE+]{1,4}|"[a\\u0-]{0,3}"|true|null| ){0,8}"#) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(whole(&text).is_ok(), theirs, "{}", text);
        }
    }
}

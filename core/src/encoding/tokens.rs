//! JSON text as a row of tokens, whose texts and numbers stay as they were written.
//!
//! The text has been found well-formed before: what is told here is its structure. Other text gives an error or a row
//! that means nothing, never a panic. Nothing recurses: nesting is counted, up to [`limits::NESTING`].

use alloc::string::String;
use alloc::vec::Vec;

use super::EncodeError;
use crate::limits;

/// One step through a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    OpenObject,
    OpenArray,
    /// The end of the innermost object or array.
    Close,
    /// The name of the member whose value follows.
    Name(Text<'a>),
    Text(Text<'a>),
    /// As it was written.
    Number(&'a str),
    Bool(bool),
    Null,
}

/// The tokens of a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    /// The objects (`true`) and arrays that are open.
    open: Vec<bool>,
    /// Whether the next text is a name.
    naming: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new(), naming: false }
    }

    /// The next token; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, EncodeError> {
        let Some(byte) = self.significant() else {
            return if self.open.is_empty() { Ok(None) } else { Err(EncodeError::Malformed { at: self.at }) };
        };
        let token = match byte {
            b'{' => return self.enter(true).map(Some),
            b'[' => return self.enter(false).map(Some),
            b'}' | b']' => {
                let matches = self.open.pop() == Some(byte == b'}');
                self.at += 1;
                if !matches {
                    return Err(EncodeError::Malformed { at: self.at - 1 });
                }
                Token::Close
            }
            b'"' => {
                let text = self.quoted()?;
                if self.naming {
                    self.naming = false;
                    return Ok(Some(Token::Name(text)));
                }
                Token::Text(text)
            }
            _ => self.word()?,
        };
        self.naming = self.open.last() == Some(&true);
        Ok(Some(token))
    }

    /// Passes the next value, whole, and gives its text. Nesting is not limited.
    pub(super) fn skip(&mut self) -> Result<&'a str, EncodeError> {
        let Some(first) = self.significant() else { return Err(EncodeError::Malformed { at: self.at }) };
        let start = self.at;
        match first {
            b'{' | b'[' => self.skip_nested()?,
            b'"' => drop(self.quoted()?),
            _ => drop(self.word()?),
        }
        self.naming = self.open.last() == Some(&true);
        Ok(&self.text[start..self.at])
    }

    /// Whether an object or array ends here.
    pub(super) fn ends(&mut self) -> bool {
        matches!(self.significant(), Some(b'}' | b']') | None)
    }

    /// How far it has come, in bytes.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    fn skip_nested(&mut self) -> Result<(), EncodeError> {
        let mut depth = 0_usize;
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(EncodeError::Malformed { at: self.at }),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes blanks and what only separates, and gives the first byte behind them.
    fn significant(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn enter(&mut self, object: bool) -> Result<Token<'a>, EncodeError> {
        if self.open.len() == limits::NESTING {
            return Err(EncodeError::TooNested);
        }
        self.open.push(object);
        self.naming = object;
        self.at += 1;
        Ok(if object { Token::OpenObject } else { Token::OpenArray })
    }

    fn quoted(&mut self) -> Result<Text<'a>, EncodeError> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(EncodeError::Malformed { at: self.at }),
            }
        }
        self.at = at + 1;
        Ok(Text(&self.text[start..at]))
    }

    fn word(&mut self) -> Result<Token<'a>, EncodeError> {
        let rest = &self.text[self.at..];
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')).count();
        let word = &rest[..len];
        let token = match word {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            "null" => Token::Null,
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Token::Number(word),
            _ => return Err(EncodeError::Malformed { at: self.at }),
        };
        self.at += len;
        Ok(token)
    }
}

/// A JSON string as it stands between its quotes, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(&'a str);

/// A character of a JSON string. JSON can write halves of surrogate pairs, which are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Char(char),
    /// A half without its other half, 0xD800 to 0xDFFF.
    Half(u16),
}

impl<'a> Text<'a> {
    /// Its characters, escapes resolved.
    pub(super) fn pieces(self) -> impl Iterator<Item = Piece> + 'a {
        Pieces { rest: self.0 }
    }

    /// What it says; halves of pairs as U+FFFD.
    pub(super) fn to_text(self) -> String {
        self.pieces().map(Piece::to_char).collect()
    }

    /// What stands between its quotes.
    pub(super) fn as_written(self) -> &'a str {
        self.0
    }

    /// Whether it says exactly this.
    pub(super) fn says(self, text: &str) -> bool {
        if self.0.contains('\\') { self.pieces().eq(text.chars().map(Piece::Char)) } else { self.0 == text }
    }
}

impl Piece {
    /// The character, or U+FFFD for half of one.
    pub(super) fn to_char(self) -> char {
        match self {
            Self::Char(c) => c,
            Self::Half(_) => char::REPLACEMENT_CHARACTER,
        }
    }
}

struct Pieces<'a> {
    rest: &'a str,
}

impl Pieces<'_> {
    /// The unit behind `\u`, and no more.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.rest.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let unit = u16::from_str_radix(digits, 16).ok()?;
        self.rest = &self.rest[4..];
        Some(unit)
    }

    /// The character of a unit, with the unit that follows where both make a pair.
    fn escaped(&mut self, unit: u16) -> Piece {
        if let Some(c) = char::from_u32(unit.into()) {
            return Piece::Char(c);
        }
        let before = self.rest;
        if unit < 0xdc00
            && let Some(rest) = self.rest.strip_prefix("\\u")
        {
            self.rest = rest;
            if let Some(low @ 0xdc00..=0xdfff) = self.unit() {
                let code = 0x1_0000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
                return Piece::Char(char::from_u32(code).expect("a pair is a character"));
            }
            self.rest = before;
        }
        Piece::Half(unit)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        self.rest = chars.as_str();
        if first != '\\' {
            return Some(Piece::Char(first));
        }
        let mut chars = self.rest.chars();
        let escape = chars.next()?;
        self.rest = chars.as_str();
        Some(match escape {
            'b' => Piece::Char('\u{8}'),
            'f' => Piece::Char('\u{c}'),
            'n' => Piece::Char('\n'),
            'r' => Piece::Char('\r'),
            't' => Piece::Char('\t'),
            'u' => match self.unit() {
                Some(unit) => self.escaped(unit),
                None => Piece::Char(char::REPLACEMENT_CHARACTER),
            },
            other => Piece::Char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<Vec<Token<'_>>, EncodeError> {
        let mut tokens = Tokens::new(text);
        let mut found = Vec::new();
        while let Some(token) = tokens.next()? {
            found.push(token);
        }
        Ok(found)
    }

    fn pieces(text: &str) -> Vec<Piece> {
        Text(text).pieces().collect()
    }

    #[test]
    fn tokens_in_their_order() {
        let text = r#" { "a" : [1.50, "x\"y", {}], "b": null, "a":true } "#;
        assert_eq!(
            all(text).unwrap(),
            [
                Token::OpenObject,
                Token::Name(Text("a")),
                Token::OpenArray,
                Token::Number("1.50"),
                Token::Text(Text("x\\\"y")),
                Token::OpenObject,
                Token::Close,
                Token::Close,
                Token::Name(Text("b")),
                Token::Null,
                Token::Name(Text("a")),
                Token::Bool(true),
                Token::Close,
            ]
        );
    }

    #[test]
    fn a_skipped_value_is_given_as_it_was_written() {
        let mut tokens = Tokens::new(r#"{"a": [1, {"]": "}\""}] , "b":-1e5}"#);
        assert_eq!(tokens.next(), Ok(Some(Token::OpenObject)));
        assert_eq!(tokens.next(), Ok(Some(Token::Name(Text("a")))));
        assert_eq!(tokens.skip(), Ok(r#"[1, {"]": "}\""}]"#));
        assert_eq!(tokens.next(), Ok(Some(Token::Name(Text("b")))));
        assert_eq!(tokens.skip(), Ok("-1e5"));
        assert_eq!((tokens.next(), tokens.next()), (Ok(Some(Token::Close)), Ok(None)));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Tokens::new(&deep).skip(), Ok(&*deep));
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(all(&nested(limits::NESTING)).map(|tokens| tokens.len()), Ok(2 * limits::NESTING));
        assert_eq!(all(&nested(limits::NESTING + 1)), Err(EncodeError::TooNested));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(Text(r#"a\n\t\r\b\f\/\\\"\u00e9\ud83d\ude00"#).to_text(), "a\n\t\r\u{8}\u{c}/\\\"é😀");
        assert_eq!(pieces(r"\ud83dx"), [Piece::Half(0xd83d), Piece::Char('x')]);
        assert_eq!(pieces(r"\ud83d\ud83d\ude00"), [Piece::Half(0xd83d), Piece::Char('😀')]);
        assert_eq!(pieces(r"\ude00\ud83d"), [Piece::Half(0xde00), Piece::Half(0xd83d)]);
        assert!(Text(r"\u0061b").says("ab") && Text("ab").says("ab") && !Text(r"\u0061b").says("a"));
        assert_eq!(Text(r"\ud800").to_text(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn strings_are_read_as_a_json_parser_reads_them(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let tokens = all(&json).unwrap();
            let [Token::Text(found)] = &tokens[..] else { panic!("{tokens:?}") };
            prop_assert_eq!(found.to_text(), text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,\\\\ua-f0-9 truenlse\u{e9}.-]{0,40}|.{0,20}") {
            let _ = all(&text);
            let _ = Tokens::new(&text).skip();
            Text(&text).pieces().for_each(drop);
        }
    }
}

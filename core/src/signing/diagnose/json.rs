//! JSON written again with other blanks, key orders and escapes, while numbers and order stay as they were.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::IgnoredAny;

/// Deeper values are left alone; it bounds the stack and the size of what is written.
const DEPTH: usize = 64;

/// Where a form of JSON has blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// None, as `JSON.stringify` and most serialisers write it.
    Minified,
    /// One after each comma and colon, as Python's `json.dumps` writes it.
    Spaced,
    /// A line for each value, indented by two.
    Indented,
}

impl Layout {
    pub(super) const ALL: [Self; 3] = [Self::Minified, Self::Spaced, Self::Indented];
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minified => "minified",
            Self::Spaced => "with a blank after each comma and colon",
            Self::Indented => "indented by two blanks",
        })
    }
}

/// How a form of JSON writes its strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strings {
    /// As they came.
    Same,
    /// Every character beyond ASCII as `\u` escapes, as Python's `json.dumps` writes them.
    Ascii,
    /// Nothing escaped that need not be.
    Plain,
}

impl Strings {
    pub(super) const ALL: [Self; 3] = [Self::Same, Self::Ascii, Self::Plain];
}

impl fmt::Display for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "",
            Self::Ascii => " and with characters beyond ASCII escaped",
            Self::Plain => " and without needless escapes",
        })
    }
}

/// A JSON value of which every token is kept as text.
pub(super) enum Node<'a> {
    Scalar(&'a str),
    Array(Vec<Self>),
    Object(Vec<(&'a str, Self)>),
}

impl<'a> Node<'a> {
    /// Reads a whole text. `None` when it is not JSON, or deeper than 64.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Tokens { rest: text }.value(0)
    }

    /// Writes the value. `None` when a string cannot be decoded (half a surrogate pair).
    pub(super) fn write(&self, layout: Layout, sorted: bool, strings: Strings) -> Option<String> {
        let mut writer = Writer { layout, sorted, strings, out: String::new() };
        writer.value(self, 0)?;
        Some(writer.out)
    }
}

/// Reads text that is known to be well-formed.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self
                .list(b'}', |tokens| {
                    let key = tokens.token()?;
                    tokens.peek()?;
                    tokens.take(1);
                    Some((key, tokens.value(depth + 1)?))
                })
                .map(Node::Object),
            b'[' => self.list(b']', |tokens| tokens.value(depth + 1)).map(Node::Array),
            _ => self.token().map(Node::Scalar),
        }
    }

    /// The items between the bracket that stands here and `close`.
    fn list<T>(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.take(1);
        let mut items = Vec::new();
        while self.peek()? != close {
            items.push(item(self)?);
            if self.peek()? == b',' {
                self.take(1);
            }
        }
        self.take(1);
        Some(items)
    }

    /// A string with its quotes, a number or a word.
    fn token(&mut self) -> Option<&'a str> {
        self.peek()?;
        let bytes = self.rest.as_bytes();
        let len = if bytes[0] == b'"' {
            let mut escaped = false;
            let close = bytes[1..].iter().position(|&b| {
                let ends = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                ends
            });
            close? + 2
        } else {
            bytes.iter().position(|b| b",]}: \t\r\n".contains(b)).unwrap_or(bytes.len())
        };
        Some(self.take(len))
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.bytes().next()
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }
}

struct Writer {
    layout: Layout,
    sorted: bool,
    strings: Strings,
    out: String,
}

impl Writer {
    fn value(&mut self, node: &Node<'_>, depth: usize) -> Option<()> {
        match node {
            Node::Scalar(text) => self.scalar(text),
            Node::Array(items) => {
                self.out.push('[');
                for (n, item) in items.iter().enumerate() {
                    self.before(n, depth + 1);
                    self.value(item, depth + 1)?;
                }
                self.close(']', items.is_empty(), depth);
                Some(())
            }
            Node::Object(members) => {
                let mut order: Vec<&(&str, Node<'_>)> = members.iter().collect();
                if self.sorted {
                    order.sort_by_key(|(key, _)| *key);
                }
                self.out.push('{');
                for (n, (key, value)) in order.into_iter().enumerate() {
                    self.before(n, depth + 1);
                    self.scalar(key)?;
                    self.out.push_str(match self.layout {
                        Layout::Minified => ":",
                        Layout::Spaced | Layout::Indented => ": ",
                    });
                    self.value(value, depth + 1)?;
                }
                self.close('}', members.is_empty(), depth);
                Some(())
            }
        }
    }

    /// What stands before the item `n` of a list.
    fn before(&mut self, n: usize, depth: usize) {
        match self.layout {
            Layout::Minified if n > 0 => self.out.push(','),
            Layout::Spaced if n > 0 => self.out.push_str(", "),
            Layout::Minified | Layout::Spaced => {}
            Layout::Indented => {
                self.out.push_str(if n > 0 { ",\n" } else { "\n" });
                self.indent(depth);
            }
        }
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if self.layout == Layout::Indented && !empty {
            self.out.push('\n');
            self.indent(depth);
        }
        self.out.push(bracket);
    }

    fn indent(&mut self, depth: usize) {
        self.out.extend(core::iter::repeat_n("  ", depth));
    }

    fn scalar(&mut self, text: &str) -> Option<()> {
        if !text.starts_with('"') || self.strings == Strings::Same {
            self.out.push_str(text);
            return Some(());
        }
        let plain: String = serde_json::from_str(text).ok()?;
        let plain = serde_json::to_string(&plain).ok()?;
        let ascii = self.strings == Strings::Ascii;
        for c in plain.chars() {
            if c.is_ascii() || !ascii {
                self.out.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                self.out.push_str(&alloc::format!("\\u{unit:04x}"));
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const TEXT: &str = " {\"b\" : [1.50, {} ,[],\t\"x\\\"],}\\u00e9\u{e9}\"] ,\"a\":{\"c\":-1e3,\"\":null}}\n";

    #[test]
    fn forms_are_those_that_serialisers_write() {
        let node = Node::parse(TEXT).unwrap();
        let write = |layout, sorted, strings| node.write(layout, sorted, strings).unwrap();
        assert_eq!(
            write(Layout::Minified, false, Strings::Same),
            "{\"b\":[1.50,{},[],\"x\\\"],}\\u00e9\u{e9}\"],\"a\":{\"c\":-1e3,\"\":null}}"
        );
        assert_eq!(
            write(Layout::Spaced, true, Strings::Ascii),
            "{\"a\": {\"\": null, \"c\": -1e3}, \"b\": [1.50, {}, [], \"x\\\"],}\\u00e9\\u00e9\"]}"
        );
        assert_eq!(
            write(Layout::Indented, false, Strings::Plain),
            "{\n  \"b\": [\n    1.50,\n    {},\n    [],\n    \"x\\\"],}\u{e9}\u{e9}\"\n  ],\n  \"a\": {\n    \"c\": -1e3,\n    \"\": null\n  }\n}"
        );
    }

    #[test]
    fn a_string_may_end_in_a_backslash() {
        let text = r#"["\\","\\\"",1]"#;
        assert_eq!(Node::parse(text).unwrap().write(Layout::Minified, false, Strings::Same).as_deref(), Some(text));
    }

    #[test]
    fn every_form_has_the_same_value() {
        let node = Node::parse(TEXT).unwrap();
        let value: Value = serde_json::from_str(TEXT).unwrap();
        for layout in Layout::ALL {
            for strings in Strings::ALL {
                let form = node.write(layout, true, strings).unwrap();
                assert_eq!(serde_json::from_str::<Value>(&form).unwrap(), value, "{form}");
            }
        }
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_left_alone() {
        for text in ["", " ", "{", "[1,]", "{\"a\"}", "nul", "\"", "1 2"] {
            assert!(Node::parse(text).is_none(), "{text}");
        }
        assert!(Node::parse(&"[".repeat(100_000)).is_none());
        let deep = |n| alloc::format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Node::parse(&deep(DEPTH + 1)).is_some());
        assert!(Node::parse(&deep(DEPTH + 2)).is_none());
        let half = Node::parse("\"\\ud800\"").unwrap();
        assert_eq!(half.write(Layout::Minified, false, Strings::Plain), None);
        assert!(half.write(Layout::Minified, false, Strings::Same).is_some());
    }
}

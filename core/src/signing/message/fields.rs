//! Structured fields (RFC 8941), as far as signatures use them: dictionaries of inner lists and of byte sequences.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Members of a dictionary that are looked at. More are refused.
const MEMBERS: usize = 64;

/// Components of one signature that are looked at. More are refused.
const COMPONENTS: usize = 64;

/// A member of `Signature-Input`: what a signature covers, and its parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Input<'h> {
    pub(super) label: &'h str,
    pub(super) components: Vec<Component<'h>>,
    pub(super) params: Vec<(&'h str, Bare<'h>)>,
}

/// A covered component: its name, and parameters that change what of it is covered.
#[derive(Debug, PartialEq)]
pub(super) struct Component<'h> {
    pub(super) name: Cow<'h, str>,
    pub(super) params: Vec<(&'h str, Bare<'h>)>,
}

/// A value that stands alone, as it is written.
#[derive(Debug, PartialEq)]
pub(super) enum Bare<'h> {
    Text(Cow<'h, str>),
    Integer(i64),
    /// A token, a boolean, a decimal or bytes: written again as it came.
    Other(&'h str),
    /// A parameter without a value.
    True,
}

/// Reads `Signature-Input`. None when it is not written as RFC 8941 demands.
pub(super) fn inputs(value: &str) -> Option<Vec<Input<'_>>> {
    dictionary(value, |reader, label| {
        reader.take(b'(')?;
        let mut components: Vec<Component<'_>> = Vec::new();
        loop {
            reader.spaces();
            if reader.skip(b')') {
                break;
            }
            let Bare::Text(name) = reader.bare()? else { return None };
            let component = Component { name, params: reader.params()? };
            if components.len() == COMPONENTS || components.contains(&component) {
                return None;
            }
            components.push(component);
            reader.peek().filter(|b| matches!(b, b' ' | b')'))?;
        }
        Some(Input { label, components, params: reader.params()? })
    })
}

/// Reads a dictionary of byte sequences: `Signature` and `Content-Digest`.
pub(super) fn bytes(value: &str) -> Option<Vec<(&str, Vec<u8>)>> {
    dictionary(value, |reader, label| {
        let Bare::Other(raw) = reader.bare()? else { return None };
        reader.params()?;
        let inner = raw.strip_prefix(':')?.strip_suffix(':')?;
        Some((label, STANDARD.decode(inner).ok()?))
    })
}

/// A string as RFC 8941 writes it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Parameters as RFC 8941 writes them.
pub(super) fn write_params(params: &[(&str, Bare<'_>)], out: &mut String) {
    for (name, value) in params {
        out.push(';');
        out.push_str(name);
        match value {
            Bare::Text(text) => out.push_str(&alloc::format!("={}", quote(text))),
            Bare::Integer(number) => out.push_str(&alloc::format!("={number}")),
            Bare::Other(raw) => out.push_str(&alloc::format!("={raw}")),
            Bare::True => {}
        }
    }
}

/// The members of a dictionary, each with its label. A label that stands twice is refused, so that no two readers take
/// two different members.
fn dictionary<'h, T>(value: &'h str, mut member: impl FnMut(&mut Reader<'h>, &'h str) -> Option<T>) -> Option<Vec<T>> {
    let mut reader = Reader { text: value.trim_matches(' '), at: 0 };
    let (mut labels, mut members) = (Vec::new(), Vec::new());
    loop {
        let label = reader.key()?;
        if labels.contains(&label) || labels.len() == MEMBERS {
            return None;
        }
        labels.push(label);
        reader.take(b'=')?;
        members.push(member(&mut reader, label)?);
        reader.blanks();
        if reader.peek().is_none() {
            return Some(members);
        }
        reader.take(b',')?;
        reader.blanks();
    }
}

struct Reader<'h> {
    text: &'h str,
    at: usize,
}

impl<'h> Reader<'h> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip(byte).then_some(())
    }

    fn spaces(&mut self) {
        while self.skip(b' ') {}
    }

    fn blanks(&mut self) {
        while self.skip(b' ') || self.skip(b'\t') {}
    }

    /// The text as long as its bytes fit.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> &'h str {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn key(&mut self) -> Option<&'h str> {
        self.peek().filter(|b| b.is_ascii_lowercase() || *b == b'*')?;
        Some(self.run(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b)))
    }

    fn params(&mut self) -> Option<Vec<(&'h str, Bare<'h>)>> {
        let mut params: Vec<(&str, Bare<'_>)> = Vec::new();
        while self.skip(b';') {
            self.spaces();
            let name = self.key()?;
            let value = if self.skip(b'=') { self.bare()? } else { Bare::True };
            if params.iter().any(|(other, _)| *other == name) {
                return None;
            }
            params.push((name, value));
        }
        Some(params)
    }

    fn bare(&mut self) -> Option<Bare<'h>> {
        let start = self.at;
        match self.peek()? {
            b'"' => self.string().map(Bare::Text),
            b':' => {
                self.at += 1;
                self.run(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
                self.take(b':')?;
                Some(Bare::Other(&self.text[start..self.at]))
            }
            b'?' => {
                self.at += 1;
                self.peek().filter(|b| matches!(b, b'0' | b'1'))?;
                self.at += 1;
                Some(Bare::Other(&self.text[start..self.at]))
            }
            b'-' | b'0'..=b'9' => {
                let text = self.run(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
                match text.parse() {
                    Ok(number) if text.len() <= 16 => Some(Bare::Integer(number)),
                    Ok(_) | Err(_) => text.parse::<f64>().ok().map(|_| Bare::Other(text)),
                }
            }
            b if b.is_ascii_alphabetic() || b == b'*' => {
                Some(Bare::Other(self.run(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b))))
            }
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Cow<'h, str>> {
        self.take(b'"')?;
        let start = self.at;
        let mut copy: Option<String> = None;
        loop {
            let at = self.at;
            let byte = self.peek().filter(|b| matches!(b, b' '..=b'~'))?;
            self.at += 1;
            match byte {
                b'"' => return Some(copy.map_or_else(|| Cow::Borrowed(&self.text[start..at]), Cow::Owned)),
                b'\\' => {
                    let escaped = self.peek().filter(|b| matches!(b, b'"' | b'\\'))?;
                    self.at += 1;
                    copy.get_or_insert_with(|| self.text[start..at].into()).push(escaped.into());
                }
                plain => {
                    if let Some(copy) = &mut copy {
                        copy.push(plain.into());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_and_written_again() {
        let text = "sig1=(\"@method\"  \"a\\\"b\";sf;key=\"x\" );created=16; keyid=\"k\\\\\";tag=tok, s2=()";
        let read = inputs(text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].components[1].name, "a\"b");
        assert_eq!(read[0].components[1].params, [("sf", Bare::True), ("key", Bare::Text("x".into()))]);
        let mut out = String::new();
        write_params(&read[0].params, &mut out);
        assert_eq!(out, ";created=16;keyid=\"k\\\\\";tag=tok");
        assert_eq!((read[1].label, read[1].components.len()), ("s2", 0));
    }

    #[test]
    fn what_is_not_written_so_is_refused() {
        for bad in [
            "",
            "a",
            "a=",
            "a=(",
            "a=(b)",
            "a=(\"b\"\"c\")",
            "a=(\"b\" \"b\")",
            "A=()",
            "a=(),",
            "a=() b=()",
            "a=(),a=()",
            "a=();x=\"",
            "a=();x=1;x=2",
            "a=(\"\u{e9}\")",
            "a=()x",
        ] {
            assert_eq!(inputs(bad), None, "{bad}");
        }
        for bad in ["a=:AAA:", "a=AAAA", "a=:AAAA", "a=:AA==:, a=:AA==:", "a=:A-==:"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(bytes("a=:AA==: ,\tb=::").unwrap(), [("a", alloc::vec![0]), ("b", Vec::new())]);
    }
}

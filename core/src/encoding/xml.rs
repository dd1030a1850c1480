//! An envelope in XML 1.0, and XML back to values; the mapping is described in the [room](super).

mod decode;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

pub use self::decode::{XmlError, decode_xml};
use super::EncodeError;
use super::tokens::{Piece, Text, Token, Tokens};
use crate::time::UnixTime;

pub(super) const CONTENT_TYPE: &str = "application/xml; charset=utf-8";

/// The payload `data`, a JSON text, in an envelope.
pub(super) fn write(event_type: &str, time: UnixTime, data: &str) -> Result<String, EncodeError> {
    let mut out = String::with_capacity(2 * data.len() + event_type.len() + 160);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event><type>");
    put_text(event_type.chars().map(Piece::Char), &mut out);
    out.push_str("</type><timestamp>");
    out.push_str(&time.to_rfc3339());
    out.push_str("</timestamp>");
    put_value(data, &mut out)?;
    out.push_str("</event>\n");
    Ok(out)
}

/// The names of elements that are open, one behind the other, and where each begins.
#[derive(Default)]
struct Names {
    text: String,
    starts: Vec<usize>,
}

impl Names {
    fn push(&mut self, write: impl FnOnce(&mut String)) {
        self.starts.push(self.text.len());
        write(&mut self.text);
    }

    fn last(&self) -> &str {
        &self.text[self.starts.last().copied().unwrap_or(0)..]
    }

    fn pop(&mut self) {
        self.text.truncate(self.starts.pop().unwrap_or(0));
    }
}

fn put_value(data: &str, out: &mut String) -> Result<(), EncodeError> {
    let mut tokens = Tokens::new(data);
    let mut names = Names::default();
    let mut named = true;
    names.push(|name| name.push_str("data"));
    while let Some(token) = tokens.next()? {
        let begins = !matches!(token, Token::Close | Token::Name(_));
        if begins && !named {
            names.push(|name| name.push_str("item"));
        }
        named = false;
        match token {
            Token::Name(text) => {
                names.push(|name| put_name(text, name));
                named = true;
            }
            Token::OpenObject => open(names.last(), "object", out),
            Token::OpenArray => open(names.last(), "array", out),
            Token::Close => close(&mut names, out),
            Token::Text(text) => {
                put(out, ["<", names.last(), ">"]);
                put_text(text.pieces(), out);
                close(&mut names, out);
            }
            Token::Number(number) => {
                open(names.last(), "number", out);
                out.push_str(number);
                close(&mut names, out);
            }
            Token::Bool(value) => {
                open(names.last(), "boolean", out);
                out.push_str(if value { "true" } else { "false" });
                close(&mut names, out);
            }
            Token::Null => {
                put(out, ["<", names.last(), " type=\"null\"/>"]);
                names.pop();
            }
        }
    }
    Ok(())
}

fn put<const N: usize>(out: &mut String, parts: [&str; N]) {
    parts.iter().for_each(|part| out.push_str(part));
}

fn open(name: &str, kind: &str, out: &mut String) {
    put(out, ["<", name, " type=\"", kind, "\">"]);
}

fn close(names: &mut Names, out: &mut String) {
    put(out, ["</", names.last(), ">"]);
    names.pop();
}

fn put_name(name: Text<'_>, out: &mut String) {
    let mut pieces = name.pieces().peekable();
    if pieces.peek().is_none() {
        out.push_str("_x_");
    }
    let is =
        |piece: Option<Piece>, letter: char| matches!(piece, Some(Piece::Char(c)) if c.eq_ignore_ascii_case(&letter));
    let mut front = name.pieces();
    let reserved = is(front.next(), 'x') && is(front.next(), 'm') && is(front.next(), 'l');
    let mut first = true;
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Char(c) if first && (reserved || !starts_name(c)) => escape(c, out),
            Piece::Char('_') if pieces.peek() == Some(&Piece::Char('x')) => escape('_', out),
            Piece::Char(c) if continues_name(c) => out.push(c),
            Piece::Char(c) => escape(c, out),
            Piece::Half(unit) => escape_unit(unit.into(), out),
        }
        first = false;
    }
}

fn starts_name(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{ff}')
}

fn continues_name(c: char) -> bool {
    starts_name(c) || matches!(c, '0'..='9' | '-' | '.')
}

fn put_text(pieces: impl Iterator<Item = Piece>, out: &mut String) {
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Char('&') => out.push_str("&amp;"),
            Piece::Char('<') => out.push_str("&lt;"),
            Piece::Char('>') => out.push_str("&gt;"),
            // A parser reads it as a line feed where it stands by itself (XML 1.0, section 2.11).
            Piece::Char('\r') => out.push_str("&#13;"),
            Piece::Char('_') if pieces.peek() == Some(&Piece::Char('x')) => escape('_', out),
            Piece::Char(c @ ('\t' | '\n')) => out.push(c),
            Piece::Char(c @ ('\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')) => escape(c, out),
            Piece::Char(c) => out.push(c),
            Piece::Half(unit) => escape_unit(unit.into(), out),
        }
    }
}

fn escape(c: char, out: &mut String) {
    escape_unit(c.into(), out);
}

fn escape_unit(code: u32, out: &mut String) {
    let width = if code > 0xffff { 8 } else { 4 };
    write!(out, "_x{code:0width$X}_").expect("a String takes every write");
}

#[cfg(test)]
mod tests;

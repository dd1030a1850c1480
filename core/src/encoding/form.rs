//! An envelope as a form, and back; the mapping is described in the [room](super).

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;

use super::tokens::{Piece, Text, Token, Tokens};
use super::{EncodeError, Payload, quote};
use crate::limits;
use crate::time::UnixTime;

pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The payload `data`, a JSON text, in an envelope.
pub(super) fn write(event_type: &str, time: UnixTime, data: &str) -> Result<String, EncodeError> {
    let most = limits::FORM_EXPANSION.saturating_mul(data.len()).saturating_add(limits::FORM_BYTES);
    let mut form =
        Form { out: String::with_capacity(2 * data.len() + event_type.len() + 64), path: String::new(), most };
    form.out.push_str("type=");
    put_pieces(event_type.chars().map(Piece::Char), &mut form.out);
    form.out.push_str("&timestamp=");
    put_pieces(time.to_rfc3339().chars().map(Piece::Char), &mut form.out);
    form.path.push_str("data");
    form.value(data)?;
    Ok(form.out)
}

struct Form {
    out: String,
    /// The name of the value that comes next.
    path: String,
    most: usize,
}

/// An object or an array that is open.
struct Level {
    /// How much of the path names it.
    len: usize,
    /// The number of the next element, of an array.
    next: Option<usize>,
    empty: bool,
}

impl Form {
    fn value(&mut self, data: &str) -> Result<(), EncodeError> {
        let mut tokens = Tokens::new(data);
        let mut levels: Vec<Level> = Vec::new();
        while let Some(token) = tokens.next()? {
            if token != Token::Close
                && let Some(level) = levels.last_mut()
            {
                level.empty = false;
                if let Some(next) = &mut level.next {
                    self.path.truncate(level.len);
                    write!(self.path, "[{next}]").expect("a String takes every write");
                    *next += 1;
                }
            }
            match token {
                Token::OpenObject => levels.push(Level { len: self.path.len(), next: None, empty: true }),
                Token::OpenArray => levels.push(Level { len: self.path.len(), next: Some(0), empty: true }),
                Token::Close => {
                    let Some(level) = levels.pop() else { return Err(EncodeError::Malformed { at: 0 }) };
                    self.path.truncate(level.len);
                    if level.empty {
                        self.name()?;
                        self.out.push_str("[]");
                    }
                }
                Token::Name(text) => {
                    self.path.truncate(levels.last().map_or(0, |level| level.len));
                    self.path.push('[');
                    put_pieces(text.pieces(), &mut self.path);
                    self.path.push(']');
                }
                Token::Text(text) => self.text(text)?,
                Token::Number(word) => self.word(word)?,
                Token::Bool(true) => self.word("true")?,
                Token::Bool(false) => self.word("false")?,
                Token::Null => self.name()?,
            }
        }
        Ok(())
    }

    fn name(&mut self) -> Result<(), EncodeError> {
        if self.out.len() + self.path.len() > self.most {
            return Err(EncodeError::TooLarge { max: self.most });
        }
        self.out.push('&');
        self.out.push_str(&self.path);
        Ok(())
    }

    fn text(&mut self, text: Text<'_>) -> Result<(), EncodeError> {
        self.name()?;
        self.out.push('=');
        put_pieces(text.pieces(), &mut self.out);
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), EncodeError> {
        self.name()?;
        self.out.push('=');
        put_pieces(word.chars().map(Piece::Char), &mut self.out);
        Ok(())
    }
}

fn put_pieces(pieces: impl Iterator<Item = Piece>, out: &mut String) {
    for piece in pieces {
        match piece.to_char() {
            c @ ('A'..='Z' | 'a'..='z' | '0'..='9' | '*' | '-' | '.' | '_') => out.push(c),
            ' ' => out.push('+'),
            c => super::percent(c, out),
        }
    }
}

/// Reads a form that was written in this way, whoever wrote it, as one JSON object: its members are the names without
/// brackets (`type`, `timestamp` and `data` of what a sender writes).
///
/// Of a name that is repeated the last value counts. Names may have [`limits::NESTING`] pairs of brackets.
pub fn decode_form(body: &[u8]) -> Result<Payload, FormError> {
    let mut tree = Tree::default();
    for (pair, bytes) in body.split(|byte| *byte == b'&').enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
        let split = bytes.iter().position(|byte| *byte == b'=');
        let (name, value) = match split {
            Some(at) => (&bytes[..at], Some(decode_text(&bytes[at + 1..], pair)?)),
            None => (bytes, None),
        };
        tree.insert(name, value, pair)?;
    }
    let mut out = Vec::with_capacity(body.len());
    tree.write_object(0, &mut out);
    Ok(Payload::json_bytes(out.into()).expect("it was written as JSON"))
}

/// Why bytes are no form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormError {
    /// A name or a value is not UTF-8.
    NotUtf8 {
        /// Which name and value, counted from 0.
        pair: usize,
    },
    /// The brackets of a name do not match, or something stands between or behind them.
    Brackets {
        /// Which name and value, counted from 0.
        pair: usize,
    },
    /// A name has too many brackets.
    TooNested {
        /// Which name and value, counted from 0.
        pair: usize,
    },
    /// A name has a value of its own and members as well.
    Mixed {
        /// Which name and value, counted from 0.
        pair: usize,
    },
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { pair } => write!(f, "pair {pair} of the form is not UTF-8"),
            Self::Brackets { pair } => write!(f, "the name of pair {pair} should look like `a[b][0]`"),
            Self::TooNested { pair } => {
                write!(f, "the name of pair {pair} has more than {} pairs of brackets", limits::NESTING)
            }
            Self::Mixed { pair } => write!(f, "the name of pair {pair} has both a value and members"),
        }
    }
}

impl core::error::Error for FormError {}

/// What names lead to. The first node is the form.
struct Tree {
    nodes: Vec<Node>,
    /// From a node and a name below it.
    ways: BTreeMap<(usize, String), usize>,
}

#[derive(Default)]
struct Node {
    name: String,
    children: Vec<usize>,
    /// `None` for one that has no value of its own, `Some(None)` for null.
    value: Option<Option<String>>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: alloc::vec![Node::default()], ways: BTreeMap::new() }
    }
}

impl Tree {
    fn insert(&mut self, name: &[u8], value: Option<String>, pair: usize) -> Result<(), FormError> {
        let front = name.iter().position(|byte| *byte == b'[').unwrap_or(name.len());
        let mut at = self.step(0, decode_text(&name[..front], pair)?);
        let mut rest = &name[front..];
        for depth in 0.. {
            if self.nodes[at].value.is_some() && !rest.is_empty() {
                return Err(FormError::Mixed { pair });
            }
            let Some(inner) = rest.strip_prefix(b"[") else { break };
            if depth == limits::NESTING {
                return Err(FormError::TooNested { pair });
            }
            let end = inner.iter().position(|byte| matches!(byte, b']' | b'['));
            let end = end.filter(|end| inner[*end] == b']').ok_or(FormError::Brackets { pair })?;
            at = self.step(at, decode_text(&inner[..end], pair)?);
            rest = &inner[end + 1..];
        }
        if !rest.is_empty() {
            return Err(FormError::Brackets { pair });
        }
        if !self.nodes[at].children.is_empty() {
            return Err(FormError::Mixed { pair });
        }
        self.nodes[at].value = Some(value);
        Ok(())
    }

    fn step(&mut self, from: usize, name: String) -> usize {
        let new = self.nodes.len();
        let to = *self.ways.entry((from, name.clone())).or_insert(new);
        if to == new {
            self.nodes.push(Node { name, ..Node::default() });
            self.nodes[from].children.push(new);
        }
        to
    }

    /// Recurses as deep as names have brackets.
    fn write(&self, at: usize, out: &mut Vec<u8>) {
        let node = &self.nodes[at];
        match &node.value {
            Some(Some(text)) => quote(text, out),
            Some(None) => out.extend_from_slice(b"null"),
            None if self.is_empty(node) => out.extend_from_slice(b"[]"),
            None if self.is_array(node) => {
                for (place, child) in node.children.iter().enumerate() {
                    out.push(if place == 0 { b'[' } else { b',' });
                    self.write(*child, out);
                }
                out.push(b']');
            }
            None => self.write_object(at, out),
        }
    }

    fn write_object(&self, at: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (place, child) in self.nodes[at].children.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            quote(&self.nodes[*child].name, out);
            out.push(b':');
            self.write(*child, out);
        }
        out.push(b'}');
    }

    fn is_empty(&self, node: &Node) -> bool {
        match node.children[..] {
            [only] => self.nodes[only].name.is_empty() && self.nodes[only].value == Some(None),
            _ => false,
        }
    }

    fn is_array(&self, node: &Node) -> bool {
        node.children.iter().enumerate().all(|(place, child)| self.nodes[*child].name == place.to_string())
    }
}

fn decode_text(bytes: &[u8], pair: usize) -> Result<String, FormError> {
    let blanks = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(super::without_percent(blanks)).map_err(|_| FormError::NotUtf8 { pair })
}

#[cfg(test)]
mod tests;

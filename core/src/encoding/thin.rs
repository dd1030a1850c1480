//! Parts of a payload, chosen by JSON Pointers.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use super::tokens::{Text, Token, Tokens};
use super::{EncodeError, Payload};
use crate::limits;

/// The parts of a payload that an endpoint is sent, where it is not sent all of it: identifiers, by which the receiver
/// asks for the rest.
///
/// Each part is named by a JSON Pointer (RFC 6901) into the payload, whatever the encoding: `/order/id`. What is chosen
/// stays where it was and as it was written, in the objects and arrays around it; everything else is left out, elements
/// of arrays too, so that those behind them move up. A pointer that leads nowhere chooses nothing, and an object of which
/// nothing is chosen is `{}`, an array `[]`, and any other payload `null`. Of repeated names all are chosen.
///
/// ```
/// use bytes::Bytes;
/// use postrider_core::encoding::{Payload, Thin};
/// let order = Payload::json_bytes(Bytes::from_static(b"{\"id\": 7, \"lines\": [{\"sku\": \"a\", \"n\": 1}], \"total\": 10.50}"))?;
/// let thin = Thin::new(["/id", "/lines/0/sku"])?;
/// assert_eq!(thin.of(&order)?.body(), "{\"id\":7,\"lines\":[{\"sku\":\"a\"}]}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Thin(Arc<[Pointer]>);

/// A JSON Pointer, as it was written, and its parts.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pointer {
    text: String,
    parts: Vec<String>,
}

impl Thin {
    /// Pointers, at least one and at most [`limits::POINTERS`], each of at most [`limits::POINTER_BYTES`].
    pub fn new(pointers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ThinError> {
        let mut parsed = Vec::new();
        for (place, text) in pointers.into_iter().enumerate() {
            if place == limits::POINTERS {
                return Err(ThinError::TooMany);
            }
            parsed.push(Pointer::parse(text.as_ref(), place)?);
        }
        if parsed.is_empty() {
            return Err(ThinError::None);
        }
        Ok(Self(parsed.into()))
    }

    /// The pointers, as they were given.
    pub fn pointers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|pointer| &*pointer.text)
    }

    /// The chosen parts of a payload, which must be JSON. At most [`limits::NESTING`] levels are entered.
    pub fn of(&self, payload: &Payload) -> Result<Payload, EncodeError> {
        let text = payload.as_json().ok_or(EncodeError::NotJson)?;
        let chosen = self.write(text)?;
        Ok(Payload::accepted(None, Bytes::from(chosen)).expect("JSON needs no content type"))
    }

    fn write(&self, text: &str) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        let all: Vec<&[String]> = self.0.iter().map(|pointer| &*pointer.parts).collect();
        if !choose(&all, &mut Tokens::new(text), &mut out)? {
            let nothing: &[u8] = match text.as_bytes().first() {
                Some(b'{') => b"{}",
                Some(b'[') => b"[]",
                _ => b"null",
            };
            out.extend_from_slice(nothing);
        }
        Ok(out)
    }
}

/// Writes what is chosen of the next value by what is left of the pointers that lead to it, and says whether that is
/// anything. It recurses as deep as pointers lead.
fn choose(wanted: &[&[String]], tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    if wanted.iter().any(|parts| parts.is_empty()) {
        out.extend_from_slice(tokens.skip()?.as_bytes());
        return Ok(true);
    }
    match tokens.next()? {
        Some(Token::OpenObject) => members(wanted, tokens, out),
        Some(Token::OpenArray) => elements(wanted, tokens, out),
        Some(Token::Text(_) | Token::Number(_) | Token::Bool(_) | Token::Null) => Ok(false),
        Some(Token::Close | Token::Name(_)) | None => Err(EncodeError::Malformed { at: tokens.place() }),
    }
}

fn members(wanted: &[&[String]], tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    let mut any = false;
    while let Some(Token::Name(name)) = tokens.next()? {
        let inner = inside(wanted, |part| name.says(part));
        any |= part(&inner, any, b'{', Some(name), tokens, out)?;
    }
    if any {
        out.push(b'}');
    }
    Ok(any)
}

fn elements(wanted: &[&[String]], tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    let mut any = false;
    let mut index = 0_u64;
    while !tokens.ends() {
        // Numbers have no leading zeros there (RFC 6901, section 4).
        let number = index.to_string();
        let inner = inside(wanted, |part| part == number);
        any |= part(&inner, any, b'[', None, tokens, out)?;
        index += 1;
    }
    tokens.next()?;
    if any {
        out.push(b']');
    }
    Ok(any)
}

/// What is left of the pointers whose next part is this one.
fn inside<'p>(wanted: &[&'p [String]], is_next: impl Fn(&str) -> bool) -> Vec<&'p [String]> {
    wanted
        .iter()
        .filter_map(|parts| parts.split_first())
        .filter(|(next, _)| is_next(next))
        .map(|(_, rest)| rest)
        .collect()
}

/// Writes what is chosen of a member or an element, behind what separates it from the last, if that is anything.
fn part(
    wanted: &[&[String]],
    any: bool,
    bracket: u8,
    name: Option<Text<'_>>,
    tokens: &mut Tokens<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, EncodeError> {
    if wanted.is_empty() {
        tokens.skip()?;
        return Ok(false);
    }
    let before = out.len();
    out.push(if any { b',' } else { bracket });
    if let Some(name) = name {
        out.push(b'"');
        out.extend_from_slice(name.as_written().as_bytes());
        out.extend_from_slice(b"\":");
    }
    let chosen = choose(wanted, tokens, out)?;
    if !chosen {
        out.truncate(before);
    }
    Ok(chosen)
}

impl Pointer {
    fn parse(text: &str, place: usize) -> Result<Self, ThinError> {
        if text.len() > limits::POINTER_BYTES {
            return Err(ThinError::TooLong { place, bytes: text.len() });
        }
        let parts = match text.strip_prefix('/') {
            None if text.is_empty() => Vec::new(),
            None => return Err(ThinError::NoSlash { place }),
            Some(rest) => rest.split('/').map(unescaped).collect::<Option<_>>().ok_or(ThinError::Escape { place })?,
        };
        Ok(Self { text: text.into(), parts })
    }
}

/// With `~1` as `/` and `~0` as `~`; there is no other escape.
fn unescaped(part: &str) -> Option<String> {
    let mut pieces = part.split('~');
    let mut out = String::from(pieces.next()?);
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(1)?;
        out.push_str(match escape {
            "0" => "~",
            "1" => "/",
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

impl fmt::Debug for Thin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Thin")?;
        f.debug_list().entries(self.pointers()).finish()
    }
}

/// Why pointers choose no parts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinError {
    /// There are none.
    None,
    /// There are too many.
    TooMany,
    /// A pointer has too many bytes.
    TooLong {
        /// Which, counted from 0.
        place: usize,
        /// How many it has.
        bytes: usize,
    },
    /// A pointer does not begin with a slash.
    NoSlash {
        /// Which, counted from 0.
        place: usize,
    },
    /// A pointer has a `~` without `0` or `1` behind it.
    Escape {
        /// Which, counted from 0.
        place: usize,
    },
}

impl fmt::Display for ThinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no pointer; at least one is needed, such as \"/id\""),
            Self::TooMany => write!(f, "there are more than {} pointers", limits::POINTERS),
            Self::TooLong { place, bytes } => {
                write!(f, "pointer {place} has {bytes} bytes, at most {} are allowed", limits::POINTER_BYTES)
            }
            Self::NoSlash { place } => write!(f, "pointer {place} should begin with a slash, such as \"/order/id\""),
            Self::Escape { place } => {
                write!(f, "pointer {place} has a `~` alone; write `~0` for a `~` and `~1` for a `/` in a name")
            }
        }
    }
}

impl core::error::Error for ThinError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    fn thin(pointers: &[&str], text: &str) -> Result<String, EncodeError> {
        let payload = Payload::json_bytes(Bytes::from(text.to_string())).unwrap();
        let thin = Thin::new(pointers).unwrap().of(&payload)?;
        Ok(String::from_utf8(thin.body().to_vec()).unwrap())
    }

    #[test]
    fn what_is_chosen_stays_as_it_was() {
        let text =
            r#"{ "id" : 7.50, "a/b": {"x": [1, {"k": "v"}, 3], "id": null}, "m~n": "t", "a/b": {"id": 1e2}, "": 0}"#;
        for (pointers, expected) in [
            (&["/id"][..], r#"{"id":7.50}"#),
            (&["/a~1b/id"], r#"{"a/b":{"id":null},"a/b":{"id":1e2}}"#),
            (&["/a~1b/x/1/k", "/a~1b/x/2"], r#"{"a/b":{"x":[{"k":"v"},3]}}"#),
            (&["/m~0n", "/"], r#"{"m~n":"t","":0}"#),
            (&["/id/deeper", "/a~1b/x/01", "/a~1b/x/-", "/none"], "{}"),
            (&["/a~1b", "/a~1b/id"], r#"{"a/b":{"x": [1, {"k": "v"}, 3], "id": null},"a/b":{"id": 1e2}}"#),
            (&[""], text),
        ] {
            assert_eq!(thin(pointers, text).unwrap(), expected, "{pointers:?}");
        }
        assert_eq!(thin(&["/0"], "[[1, 2],3]").unwrap(), "[[1, 2]]");
        assert_eq!(thin(&["/x"], "[1]").unwrap(), "[]");
        assert_eq!(thin(&["/x"], "\"text\"").unwrap(), "null");
        assert_eq!(thin(&["", "/x"], "-1.0").unwrap(), "-1.0");
        assert_eq!(thin(&["/\u{e9}"], r#"{"\u00e9": 1}"#).unwrap(), r#"{"\u00e9":1}"#);
    }

    #[test]
    fn only_json_has_parts() {
        let raw = Payload::raw("text/csv", Bytes::from_static(b"{}")).unwrap();
        assert_eq!(Thin::new([""]).unwrap().of(&raw), Err(EncodeError::NotJson));
    }

    #[test]
    fn depth_is_no_matter_where_nothing_is_entered() {
        let deep = format!("{{\"a\":{}{},\"id\":1}}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(thin(&["/id"], &deep).unwrap(), r#"{"id":1}"#);
        let nested = format!("{}1{}", "{\"\":".repeat(200), "}".repeat(200));
        assert_eq!(thin(&[&"/".repeat(limits::NESTING + 1)], &nested), Err(EncodeError::TooNested));
        assert!(thin(&[&"/".repeat(limits::NESTING)], &nested).is_ok());
    }

    #[test]
    fn faults_are_told() {
        let long = format!("/{}", "a".repeat(limits::POINTER_BYTES));
        for (pointers, expected) in [
            (vec![], "there is no pointer"),
            (vec!["/a", "id"], "pointer 1 should begin with a slash"),
            (vec!["/a~2"], "pointer 0 has a `~` alone"),
            (vec!["/a~"], "pointer 0 has a `~` alone"),
            (vec![&*long], "pointer 0 has 257 bytes, at most 256 are allowed"),
            (vec!["/a"; limits::POINTERS + 1], "there are more than 32 pointers"),
        ] {
            let error = Thin::new(&pointers).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let kept = ["", "/a~1b", "/~0"];
        assert_eq!(Thin::new(kept).unwrap().pointers().collect::<Vec<_>>(), kept);
    }

    proptest! {
        /// One pointer chooses what another reading of the same RFC finds there.
        #[test]
        fn one_pointer_finds_what_serde_json_finds(value in super::super::tests::any_json(), parts in prop::collection::vec("[ab01~/]{0,2}", 0..4)) {
            let pointer: String = parts.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect();
            let text = value.to_string();
            let chosen: Value = serde_json::from_str(&thin(&[&pointer], &text).unwrap()).unwrap();
            let Some(expected) = value.pointer(&pointer) else {
                let nothing = [serde_json::json!({}), serde_json::json!([]), Value::Null];
                prop_assert!(nothing.contains(&chosen), "{}", chosen);
                return Ok(());
            };
            // What is chosen stands alone on its way: elements have moved to the front.
            let found = parts.iter().fold(&chosen, |at, part| match at {
                Value::Object(members) => &members[part],
                Value::Array(items) => &items[0],
                other => panic!("{other}"),
            });
            prop_assert_eq!(found, expected);
        }
    }
}

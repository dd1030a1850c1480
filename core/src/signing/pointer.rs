//! Single values out of a JSON text, by pointer (RFC 6901), without making a tree of it.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The value at `pointer`, as it is written. None when the text is not JSON, when there is no such value, and when a
/// name on the way to it stands twice, so that two readers could find two values.
///
/// Pointers are ours: names in them have no `~`. Reads the text once and takes no memory for it.
pub(super) fn find<'j>(json: &'j [u8], pointer: &str) -> Option<&'j str> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let found = At { rest: pointer }.deserialize(&mut reader).ok()??;
    reader.end().ok()?;
    Some(found.get())
}

/// The same for a string, a number or a word, as text. Only a string with escapes is copied.
pub(super) fn find_text<'j>(json: &'j [u8], pointer: &str) -> Option<Cow<'j, str>> {
    text(find(json, pointer)?)
}

/// A scalar as text: what a string says, and the others as they are written.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => match serde_json::from_str::<&str>(raw) {
            Ok(plain) => Some(plain.into()),
            Err(_) => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        },
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.into()),
    }
}

/// What lies at the rest of a pointer.
struct At<'p> {
    rest: &'p str,
}

impl<'p> At<'p> {
    /// The first name of the rest, and what is behind it.
    fn step(&self) -> (&'p str, Self) {
        let path = self.rest.strip_prefix('/').unwrap_or(self.rest);
        let (name, _) = path.split_once('/').unwrap_or((path, ""));
        (name, Self { rest: &path[name.len()..] })
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        if self.rest.is_empty() {
            return serde::Deserialize::deserialize(reader).map(Some);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (name, _) = self.step();
        let mut found = None;
        while let Some(hit) = map.next_key_seed(Is(name))? {
            if !hit {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::custom("a name stands twice"));
            } else {
                found = Some(map.next_value_seed(self.step().1)?);
            }
        }
        Ok(found.flatten())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (name, _) = self.step();
        let wanted: Option<usize> = name.parse().ok();
        let mut found = None;
        for n in 0usize.. {
            if Some(n) == wanted {
                match seq.next_element_seed(self.step().1)? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a name is this one.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#" {"a":{"b":[1.50,{"c":"x\u0041"},null]},"":2,"d":true,"e":"plain","t":{"x":1,"x":2}} "#;

    #[test]
    fn values_are_found_as_they_are_written() {
        let at = |pointer| find_text(TEXT.as_bytes(), pointer);
        assert_eq!(at("/a/b/0").as_deref(), Some("1.50"));
        assert_eq!(at("/a/b/1/c").as_deref(), Some("xA"));
        assert_eq!(at("/d").as_deref(), Some("true"));
        assert!(matches!(at("/e"), Some(Cow::Borrowed("plain"))));
        assert_eq!(at("/").as_deref(), Some("2"));
        assert_eq!(find(TEXT.as_bytes(), "/a/b/1"), Some(r#"{"c":"x\u0041"}"#));
        for nothing in ["/a", "/a/b", "/a/b/2", "/a/b/3", "/a/b/x", "/f", "/d/x", "/e/0", "/a/b/0/0"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_not_found() {
        assert_eq!(find(TEXT.as_bytes(), "/t/x"), None);
        for broken in [&b"{\"a\":1"[..], b"{\"a\":1}x", b"\xff", b"", b"{\"a\":1,\"a\":1}", b"{\"\\u0061\":1,\"a\":2}"]
        {
            assert_eq!(find(broken, "/a"), None);
        }
        let deep = alloc::format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(find(deep.as_bytes(), "/a/b"), None);
    }
}

//! Single values out of a JSON text (RFC 8259), by pointer (RFC 6901), without making a tree of it and without memory.

use alloc::borrow::Cow;
use alloc::string::String;

/// Deeper texts are taken for broken. It bounds what is remembered of where a value is: one bit for each level.
const DEPTH: u32 = 127;

/// The value at `pointer`, as it is written. None when the text is not JSON, when there is no such value, and when a
/// name on the way to it stands twice, so that two readers could find two values.
///
/// Pointers are ours: names in them have no `~`. Reads the text once.
pub(super) fn find<'j>(json: &'j [u8], pointer: &str) -> Option<&'j str> {
    let mut reader = Reader { text: core::str::from_utf8(json).ok()?, at: 0 };
    let found = reader.look(pointer)?;
    reader.blanks();
    found.filter(|_| reader.at == json.len())
}

/// The same for a string, a number or a word, as text. Only a string with escapes is copied.
pub(super) fn find_text<'j>(json: &'j [u8], pointer: &str) -> Option<Cow<'j, str>> {
    text(find(json, pointer)?)
}

/// A scalar as text: what a string says, and the others as they are written.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' if raw.contains('\\') => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        b'"' => Some(raw.strip_prefix('"')?.strip_suffix('"')?.into()),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.into()),
    }
}

/// Reads a text from its beginning. Every `None` is a broken text.
struct Reader<'j> {
    text: &'j str,
    at: usize,
}

impl<'j> Reader<'j> {
    /// What lies at a pointer in the value that stands here, which is passed.
    fn look(&mut self, pointer: &str) -> Option<Option<&'j str>> {
        self.blanks();
        let path = pointer.strip_prefix('/').unwrap_or(pointer);
        let name = path.split('/').next().unwrap_or_default();
        let rest = &path[name.len()..];
        match self.peek()? {
            _ if pointer.is_empty() => {
                let start = self.at;
                self.pass()?;
                Some(Some(&self.text[start..self.at]))
            }
            b'{' => self.look_in_object(name, rest),
            b'[' => self.look_in_array(name.parse().ok(), rest),
            _ => self.pass().map(|()| None),
        }
    }

    fn look_in_object(&mut self, name: &str, rest: &str) -> Option<Option<&'j str>> {
        let (mut hits, mut found) = (0, None);
        self.take(b'{')?;
        self.blanks();
        if self.skip(b'}') {
            return Some(None);
        }
        loop {
            let key = self.name()?;
            if text(key).is_some_and(|key| key == name) {
                hits += 1;
                found = self.look(rest)?;
            } else {
                self.pass()?;
            }
            self.blanks();
            if !self.skip(b',') {
                self.take(b'}')?;
                return (hits < 2).then_some(found);
            }
        }
    }

    fn look_in_array(&mut self, wanted: Option<usize>, rest: &str) -> Option<Option<&'j str>> {
        let (mut n, mut found) = (0, None);
        self.take(b'[')?;
        self.blanks();
        if self.skip(b']') {
            return Some(None);
        }
        loop {
            if Some(n) == wanted {
                found = self.look(rest)?;
            } else {
                self.pass()?;
            }
            n += 1;
            self.blanks();
            if !self.skip(b',') {
                self.take(b']')?;
                return Some(found);
            }
        }
    }

    /// Passes a whole value.
    fn pass(&mut self) -> Option<()> {
        // Which of the levels around are objects, the innermost in the lowest bit.
        let (mut depth, mut objects) = (0, 0u128);
        loop {
            self.blanks();
            let object = self.peek()? == b'{';
            match self.peek()? {
                b'{' | b'[' => {
                    self.at += 1;
                    self.blanks();
                    if !self.skip(if object { b'}' } else { b']' }) {
                        depth += 1;
                        objects = objects << 1 | u128::from(object);
                        if depth > DEPTH {
                            return None;
                        }
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string().map(|_| ())?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            loop {
                if depth == 0 {
                    return Some(());
                }
                self.blanks();
                let object = objects & 1 == 1;
                if self.skip(b',') {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                self.take(if object { b'}' } else { b']' })?;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// The name of a member with its quotes, and its colon.
    fn name(&mut self) -> Option<&'j str> {
        self.blanks();
        let name = self.string()?;
        self.blanks();
        self.take(b':').map(|()| name)
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'j str> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(&self.text[start..self.at]),
                b'\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => (0..4).try_for_each(|_| self.digit(u8::is_ascii_hexdigit))?,
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        self.digit(u8::is_ascii_digit)?;
        while self.digit(u8::is_ascii_digit).is_some() {}
        Some(())
    }

    fn digit(&mut self, is: impl Fn(&u8) -> bool) -> Option<()> {
        self.peek().filter(is)?;
        self.at += 1;
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        word.bytes().try_for_each(|byte| self.take(byte))
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let deep = |n| alloc::format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(find(deep(128).as_bytes(), "").is_some());
        assert!(find(deep(129).as_bytes(), "").is_none());
    }

    #[test]
    fn numbers_and_words_are_those_of_json() {
        for good in ["0", "-0", "1.0", "-1.5e+3", "1E9", "true", "false", "null", "\"\\u00e9\\/\"", "[ ]", "{ }"] {
            assert_eq!(find(good.as_bytes(), ""), Some(good));
        }
        for bad in
            ["01", "+1", "1.", ".5", "1e", "-", "tru", "nul", "\"\\x\"", "\"\\u00g0\"", "\"a", "\"\t\"", "[1,]", "{,}"]
        {
            assert_eq!(find(bad.as_bytes(), ""), None, "{bad}");
        }
    }

    proptest! {
        /// Whatever is not JSON to `serde_json` is not JSON here, and the other way round.
        #[test]
        fn what_is_json_is_json_to_others(text in "[\\[\\]{}:,\"a0-9.eE+\\-\\\\utrfalsn ]{0,12}") {
            let ours = find(text.as_bytes(), "").is_some();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(ours, theirs);
        }

        /// What is found is what a reader that makes a tree finds.
        #[test]
        fn values_are_those_of_a_tree(names in prop::collection::vec("[a-c]", 1..4), text in tree()) {
            let pointer: String = names.iter().flat_map(|name| ["/", name]).collect();
            let found = find(text.as_bytes(), &pointer);
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            if let Some(found) = found {
                prop_assert_eq!(Some(&serde_json::from_str(found).unwrap()), tree.pointer(&pointer));
            } else {
                prop_assert!(tree.pointer(&pointer).is_none());
            }
        }
    }

    /// JSON objects without repeated names.
    fn tree() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(serde_json::json!(null)),
            any::<i64>().prop_map(Into::into),
            ".{0,5}".prop_map(Into::into)
        ];
        let tree = leaf.prop_recursive(4, 32, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        });
        tree.prop_map(|tree| serde_json::to_string_pretty(&tree).unwrap())
    }
}

//! XML back to values: what [`write`](super::write) wrote, and what others write.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde::de::IgnoredAny;
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::limits;

/// Elements inside one another: an envelope, and the deepest payload that it can hold with a leaf in it.
const ELEMENTS: usize = limits::NESTING + 2;

/// Reads a document of XML 1.0 in UTF-8, whoever wrote it.
///
/// An envelope as a sender writes it ([the table](crate::encoding#xml)) comes back as the same value as that of the JSON
/// envelope: an object with `type`, `timestamp` and `data`, numbers, booleans, nulls, arrays and objects what they were,
/// a half of a surrogate pair U+FFFD. It is one if every element of it fits the table; blanks between elements do not
/// matter. Of a name that is repeated the last value counts, as in JSON.
///
/// Any other document is an object whose only member is named as the root element is, and holds that:
///
/// | element | value |
/// | --- | --- |
/// | without attributes and child elements | a string: its characters, perhaps none |
/// | any other | an object |
/// | its attribute `a` | member `@a`, a string |
/// | its child element `b` | member `b` |
/// | several child elements `b` | member `b`, an array of them in their order |
/// | its characters, where there are any; beside child elements where they are not all blank | member `#text`, a string |
///
/// Names keep their prefixes, declarations of namespaces are attributes, CDATA is characters, comments and processing
/// instructions are passed over. Nothing is taken for a number or a boolean. The order of members is kept no more than
/// [`Map`] keeps it.
///
/// There are no entities but the five of XML and the numeric ones, and a document type declaration is refused, so that a
/// value is never much larger than its text. At most 130 elements are inside one another.
pub fn decode_xml(body: &[u8]) -> Result<Value, XmlError> {
    let text = core::str::from_utf8(body).map_err(|why| XmlError::NotUtf8 { at: why.valid_up_to() })?;
    let root = read(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    match envelope(&root) {
        Ok(value) => Ok(value),
        Err(Misfit::Number(text)) => Err(XmlError::Number { text }),
        Err(Misfit::Foreign) => {
            let name = root.name.clone();
            Ok(Value::Object(Map::from_iter([(name, foreign(root))])))
        }
    }
}

/// Why bytes are no XML that is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XmlError {
    /// The bytes are not UTF-8.
    NotUtf8 {
        /// The first byte that is not, counted from 0.
        at: usize,
    },
    /// The document says that it is in another encoding than UTF-8.
    Charset {
        /// Which.
        said: Box<str>,
    },
    /// It is not well-formed.
    Malformed {
        /// Behind which byte, counted from 0 and behind a byte order mark.
        at: u64,
        /// In the words of the parser.
        why: Box<str>,
    },
    /// It has no root element.
    NoRoot,
    /// Something stands beside the root element.
    Beside {
        /// Behind which byte, counted from 0 and behind a byte order mark.
        at: u64,
    },
    /// It has a document type declaration.
    DocumentType {
        /// Behind which byte, counted from 0 and behind a byte order mark.
        at: u64,
    },
    /// There is an entity other than the five of XML and the numeric ones.
    Entity {
        /// Behind which byte, counted from 0 and behind a byte order mark.
        at: u64,
    },
    /// There are too many elements inside one another.
    TooNested {
        /// Behind which byte, counted from 0 and behind a byte order mark.
        at: u64,
    },
    /// An element has the same attribute twice.
    Attribute {
        /// Behind which byte, counted from 0 and behind a byte order mark.
        at: u64,
    },
    /// A number of an envelope is larger than values hold.
    Number {
        /// As it is written.
        text: Box<str>,
    },
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { at } => write!(f, "the XML is not UTF-8 at byte {at}"),
            Self::Charset { said } => write!(f, "the XML is said to be in {said:?}, it should be in UTF-8"),
            Self::Malformed { at, why } => write!(f, "the XML is not well-formed before byte {at}: {why}"),
            Self::NoRoot => f.write_str("the XML has no element"),
            Self::Beside { at } => write!(f, "before byte {at} of the XML something stands beside the root element"),
            Self::DocumentType { at } => {
                write!(f, "before byte {at} of the XML there is a document type declaration, which is not read")
            }
            Self::Entity { at } => write!(
                f,
                "before byte {at} of the XML there is an entity other than lt, gt, amp, apos, quot and numeric ones"
            ),
            Self::TooNested { at } => {
                write!(f, "before byte {at} the XML has more than {ELEMENTS} elements inside one another")
            }
            Self::Attribute { at } => {
                write!(f, "the element that ends at byte {at} of the XML has an attribute twice")
            }
            Self::Number { text } => write!(f, "the XML has the number {text}, which is too large"),
        }
    }
}

impl core::error::Error for XmlError {}

/// An element that was read whole, or is open. At most [`ELEMENTS`] are inside one another, so it may drop by recursion.
struct Element {
    name: String,
    attributes: Map<String, Value>,
    children: Vec<Self>,
    text: String,
}

fn read(text: &str) -> Result<Element, XmlError> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event();
        let at = reader.buffer_position();
        let malformed = |why: &dyn fmt::Display| XmlError::Malformed { at, why: why.to_string().into() };
        let ended = match event.map_err(|why| malformed(&why))? {
            Event::Start(start) => {
                if open.len() == ELEMENTS {
                    return Err(XmlError::TooNested { at });
                }
                open.push(begin(&start, at)?);
                continue;
            }
            Event::Empty(_) if open.len() == ELEMENTS => return Err(XmlError::TooNested { at }),
            Event::Empty(start) => begin(&start, at)?,
            Event::End(_) => open.pop().ok_or_else(|| malformed(&"an element ends that has not begun"))?,
            Event::Text(text) => {
                put(&mut open, &text.xml10_content(), at)?;
                continue;
            }
            Event::CData(text) => {
                put(&mut open, &text.xml10_content(), at)?;
                continue;
            }
            Event::GeneralRef(reference) => {
                put(&mut open, character(&reference, at)?.encode_utf8(&mut [0; 4]), at)?;
                continue;
            }
            Event::Decl(declaration) => {
                if let Some(said) = declaration.encoding() {
                    let said = said.map_err(|why| malformed(&why))?;
                    if !["utf-8", "utf8", "us-ascii"].iter().any(|known| said.eq_ignore_ascii_case(known)) {
                        return Err(XmlError::Charset { said: said.into() });
                    }
                }
                continue;
            }
            Event::Comment(_) | Event::PI(_) => continue,
            Event::DocType(_) => return Err(XmlError::DocumentType { at }),
            Event::Eof => break,
        };
        match open.last_mut() {
            Some(outer) => outer.children.push(ended),
            None if root.is_some() => return Err(XmlError::Beside { at }),
            None => root = Some(ended),
        }
    }
    if !open.is_empty() {
        let (at, why) = (reader.buffer_position(), "an element does not end".into());
        return Err(XmlError::Malformed { at, why });
    }
    root.ok_or(XmlError::NoRoot)
}

fn begin(start: &BytesStart<'_>, at: u64) -> Result<Element, XmlError> {
    let malformed = |why: &dyn fmt::Display| XmlError::Malformed { at, why: why.to_string().into() };
    let mut attributes = Map::new();
    // The parser's own check compares each with each.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|why| malformed(&why))?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| XmlError::Entity { at })?;
        let name = attribute.key.as_ref().to_string();
        if attributes.insert(name, Value::String(value.into_owned())).is_some() {
            return Err(XmlError::Attribute { at });
        }
    }
    let name = start.name().as_ref().to_string();
    if name.is_empty() {
        return Err(malformed(&"an element has no name"));
    }
    Ok(Element { name, attributes, children: Vec::new(), text: String::new() })
}

/// Adds characters to the innermost element; beside the root there are only blanks.
fn put(open: &mut [Element], text: &str, at: u64) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if is_blank(text) => {}
        None => return Err(XmlError::Beside { at }),
    }
    Ok(())
}

fn character(reference: &BytesRef<'_>, at: u64) -> Result<char, XmlError> {
    if let Some(c) = reference.resolve_char_ref().map_err(|_| XmlError::Entity { at })? {
        return Ok(c);
    }
    Ok(match &**reference {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => return Err(XmlError::Entity { at }),
    })
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Why a document is no envelope.
enum Misfit {
    /// It is somebody else's.
    Foreign,
    /// It is, but for a number that no value holds.
    Number(Box<str>),
}

fn envelope(root: &Element) -> Result<Value, Misfit> {
    let names = ["type", "timestamp", "data"];
    let [kind, time, data] = &root.children[..] else { return Err(Misfit::Foreign) };
    let named = root.children.iter().map(|child| &*child.name).eq(names);
    let plain = [kind, time].iter().all(|text| text.attributes.is_empty() && text.children.is_empty());
    if root.name != "event" || !root.attributes.is_empty() || !is_blank(&root.text) || !named || !plain {
        return Err(Misfit::Foreign);
    }
    let values = [Value::String(unescaped(&kind.text)), Value::String(time.text.clone()), typed(data)?];
    Ok(Value::Object(names.into_iter().map(Into::into).zip(values).collect()))
}

/// The value of an element by the table. Recurses as deep as elements are inside one another.
fn typed(element: &Element) -> Result<Value, Misfit> {
    let kind = match (element.attributes.len(), element.attributes.get("type")) {
        (0, _) => "",
        (1, Some(Value::String(kind))) => kind,
        _ => return Err(Misfit::Foreign),
    };
    let Element { children, text, .. } = element;
    match kind {
        "object" if is_blank(text) => {
            let member = |child: &Element| Ok((unescaped_name(&child.name), typed(child)?));
            children.iter().map(member).collect::<Result<_, _>>().map(Value::Object)
        }
        "array" if is_blank(text) && children.iter().all(|child| child.name == "item") => {
            children.iter().map(typed).collect::<Result<_, _>>().map(Value::Array)
        }
        _ if !children.is_empty() => Err(Misfit::Foreign),
        "" => Ok(Value::String(unescaped(text))),
        "null" if text.is_empty() => Ok(Value::Null),
        "boolean" if text == "true" => Ok(Value::Bool(true)),
        "boolean" if text == "false" => Ok(Value::Bool(false)),
        "number" if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            match serde_json::from_str::<Number>(text) {
                Ok(number) => Ok(Value::Number(number)),
                Err(_) if serde_json::from_str::<IgnoredAny>(text).is_ok() => Err(Misfit::Number(text.as_str().into())),
                Err(_) => Err(Misfit::Foreign),
            }
        }
        _ => Err(Misfit::Foreign),
    }
}

fn unescaped_name(name: &str) -> String {
    if name == "_x_" { String::new() } else { unescaped(name) }
}

/// Undoes `_xHHHH_` and `_xHHHHHHHH_`. What only looks like one stands for itself.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        match code(&escape[2..]) {
            Some((code, behind)) => {
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = behind;
            }
            None => {
                out.push_str("_x");
                rest = &escape[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The number of four or eight digits before a `_`, and what is behind that.
fn code(text: &str) -> Option<(u32, &str)> {
    let (digits, behind) = text.split_once('_')?;
    let fits = matches!(digits.len(), 4 | 8) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| fits)?;
    (code <= u32::from(char::MAX)).then_some((code, behind))
}

/// The value of an element that no table of ours describes. Recurses as deep as elements are inside one another.
fn foreign(element: Element) -> Value {
    let Element { attributes, children, text, .. } = element;
    if attributes.is_empty() && children.is_empty() {
        return Value::String(text);
    }
    let is_text = !text.is_empty() && (children.is_empty() || !is_blank(&text));
    let mut members: Map<String, Value> =
        attributes.into_iter().map(|(name, value)| (["@", &name].concat(), value)).collect();
    for mut child in children {
        match members.entry(core::mem::take(&mut child.name)) {
            Entry::Vacant(place) => {
                place.insert(foreign(child));
            }
            Entry::Occupied(mut place) => match place.get_mut() {
                // No element is an array by itself.
                Value::Array(several) => several.push(foreign(child)),
                one => *one = Value::Array(alloc::vec![one.take(), foreign(child)]),
            },
        }
    }
    if is_text {
        members.insert("#text".into(), Value::String(text));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;
    use serde_json::json;

    use crate::encoding::tests::{any_json, any_text};
    use crate::encoding::xml::write;
    use crate::time::UnixTime;

    fn read(text: &str) -> Result<Value, XmlError> {
        decode_xml(text.as_bytes())
    }

    #[test]
    fn documents_of_others_have_their_mapping() {
        for (xml, value) in [
            ("<a/>", json!({ "a": "" })),
            ("\u{feff}<?xml version=\"1.0\"?>\n<a> 1 </a>\n", json!({ "a": " 1 " })),
            ("<a b='1'/>", json!({ "a": { "@b": "1" } })),
            ("<a b='&quot;&#65;'>x</a>", json!({ "a": { "@b": "\"A", "#text": "x" } })),
            ("<a><b/><c>1</c><b>2</b><b>3</b></a>", json!({ "a": { "b": ["", "2", "3"], "c": "1" } })),
            ("<a>\n <b/>\n</a>", json!({ "a": { "b": "" } })),
            ("<a>x<b/>y</a>", json!({ "a": { "b": "", "#text": "xy" } })),
            ("<a><!-- c --><?p i?><![CDATA[<&]]>&lt;&apos;</a>", json!({ "a": "<&<'" })),
            ("<n:a xmlns:n=\"u\"><n:b/></n:a>", json!({ "n:a": { "@xmlns:n": "u", "n:b": "" } })),
            ("<a>x\r\ny&#13;</a>", json!({ "a": "x\ny\r" })),
            ("<a><item>_x0041_</item></a>", json!({ "a": { "item": "_x0041_" } })),
        ] {
            assert_eq!(read(xml), Ok(value), "{xml}");
        }
    }

    /// What a little differs from an envelope is somebody else's, whole.
    #[test]
    fn an_envelope_fits_in_every_element() {
        let data = |data: &str| format!("<event><type>t</type><timestamp>s</timestamp>{data}</event>");
        let own = read(&data("<data type=\"object\">\n <a type=\"null\"/> <b>_x0041_</b></data>"));
        assert_eq!(own, Ok(json!({ "type": "t", "timestamp": "s", "data": { "a": null, "b": "A" } })));
        for foreign in [
            "<data><a/></data>",
            "<data type=\"integer\">1</data>",
            "<data type=\"number\">01</data>",
            "<data type=\"number\"> 1</data>",
            "<data type=\"number\"/>",
            "<data type=\"boolean\">1</data>",
            "<data type=\"null\">0</data>",
            "<data type=\"object\">x</data>",
            "<data type=\"array\"><other/></data>",
            "<data type=\"array\" nil=\"true\"/>",
            "<data/><data/>",
            "",
        ] {
            let value = read(&data(foreign)).unwrap();
            assert!(value.get("event").is_some_and(|event| event["type"] == "t"), "{foreign}: {value}");
        }
        let huge = read(&data("<data type=\"number\">1e999</data>"));
        assert_eq!(huge, Err(XmlError::Number { text: "1e999".into() }));
    }

    #[test]
    fn what_is_not_read_is_named() {
        use XmlError::{Attribute, Beside, Charset, DocumentType, Entity, Malformed, NoRoot, NotUtf8, TooNested};
        assert_eq!(decode_xml(b"<a>\xff</a>"), Err(NotUtf8 { at: 3 }));
        assert_eq!(read(" <!-- -->"), Err(NoRoot));
        assert_eq!(read("<a/><b/>"), Err(Beside { at: 8 }));
        assert_eq!(read("<a/>x"), Err(Beside { at: 5 }));
        assert_eq!(read("x<a/>"), Err(Beside { at: 1 }));
        assert_eq!(read("<a b='' b=''/>"), Err(Attribute { at: 14 }));
        let said = "ISO-8859-1".into();
        assert_eq!(read("<?xml version='1.0' encoding='ISO-8859-1'?><a/>"), Err(Charset { said }));
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>";
        assert_eq!(read(bomb), Err(DocumentType { at: 31 }));
        for entity in ["<a>&b;</a>", "<a c='&b;'/>", "<a>&#x110000;</a>", "<a>&#0;</a>"] {
            assert!(matches!(read(entity), Err(Entity { .. })), "{entity}");
        }
        for broken in
            ["<a>", "</a>", "<a></b>", "<a", "<a b/>", "<a b=c/>", "<>x</>", "<a>&lt</a>", "<!-- ", "<a><b></a>"]
        {
            assert!(matches!(read(broken), Err(Malformed { .. })), "{broken}: {:?}", read(broken));
        }
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(read(&deep(ELEMENTS)).is_ok());
        assert_eq!(read(&deep(ELEMENTS + 1)), Err(TooNested { at: 3 * 131 }));
        assert_eq!(read(&deep(1_000_000)), Err(TooNested { at: 3 * 131 }));
        let empty = format!("{}<b/>{}", "<a>".repeat(ELEMENTS), "</a>".repeat(ELEMENTS));
        assert!(matches!(read(&empty), Err(TooNested { .. })));
    }

    #[test]
    fn the_deepest_payload_comes_back() {
        let text = format!("{}1{}", "[".repeat(limits::NESTING), "]".repeat(limits::NESTING));
        let mut value = &read(&write("t", UnixTime::EPOCH, &text).unwrap()).unwrap()["data"];
        for _ in 0..limits::NESTING {
            value = &value[0];
        }
        assert_eq!(value, &json!(1));
    }

    #[test]
    fn ten_thousand_attributes_and_elements_take_no_time() {
        let attributes: String = (0..50_000).map(|n| format!(" a{n}=\"\"")).collect();
        let elements = "<b/>".repeat(200_000);
        let value = read(&format!("<a{attributes}>{elements}</a>")).unwrap();
        assert_eq!(value["a"]["b"].as_array().unwrap().len(), 200_000);
        assert_eq!(value["a"].as_object().unwrap().len(), 50_001);
    }

    proptest! {
        /// The law: what is written comes back as the value that the JSON of it is.
        #[test]
        fn what_is_written_comes_back(value in any_json(), event_type in any_text()) {
            let xml = write(&event_type, UnixTime::EPOCH, &value.to_string()).unwrap();
            let expected = json!({ "type": event_type, "timestamp": "1970-01-01T00:00:00.000Z", "data": value });
            prop_assert_eq!(read(&xml), Ok(expected));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_xml(&bytes);
        }

        /// Bytes that are nearly XML, and envelopes with a part cut out.
        #[test]
        fn no_text_makes_it_panic(
            parts in "(<|>|/|<a|<a>|</a>|&|;|#x?|=|'|\"|<!\\[CDATA\\[|\\]\\]>|<!--|-->|<\\?|\\?>|<!DOCTYPE| |a|1|_x){0,12}",
            value in any_json(),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            if let Err(why) = read(&parts) {
                prop_assert!(!why.to_string().is_empty());
            }
            let xml = write("t", UnixTime::EPOCH, &value.to_string()).unwrap().into_bytes();
            let (one, other) = (cut.0.index(xml.len()), cut.1.index(xml.len()));
            let _ = decode_xml(&[&xml[..one.min(other)], &xml[one.max(other)..]].concat());
        }
    }
}

//! The mapping, read back through a parser that is not ours.

use super::*;
use alloc::string::ToString;
use alloc::{format, vec};
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::encoding::quote;
use crate::encoding::tests::{any_json, any_text};

/// An element that has begun: its name, its kind and what it has so far.
struct Open {
    name: String,
    kind: String,
    text: String,
    /// Members or elements, as JSON texts.
    inner: Vec<(String, String)>,
}

fn begin(start: &BytesStart<'_>) -> Open {
    let kind = start.try_get_attribute("type").unwrap().map_or(String::new(), |kind| {
        assert_eq!(start.attributes().count(), 1);
        kind.value.to_string()
    });
    let name = start.name().as_ref().to_string();
    Open { name, kind, text: String::new(), inner: Vec::new() }
}

fn json_string(text: &str) -> String {
    let mut out = Vec::new();
    quote(text, &mut out);
    String::from_utf8(out).unwrap()
}

/// Undoes `_xHHHH_`; halves of pairs become escapes of JSON, so the result is what stands between quotes.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut plain = String::new();
    let mut rest = text;
    let flush = |plain: &mut String, out: &mut String| {
        let quoted = json_string(plain);
        out.push_str(&quoted[1..quoted.len() - 1]);
        plain.clear();
    };
    while let Some(c) = rest.chars().next() {
        let escape = rest.strip_prefix("_x").and_then(|behind| {
            let (digits, behind) = behind.split_once('_')?;
            assert!(matches!(digits.len(), 4 | 8), "{text}");
            Some((u32::from_str_radix(digits, 16).unwrap(), behind))
        });
        match escape {
            Some((code, behind)) => {
                rest = behind;
                match char::from_u32(code) {
                    Some(c) => plain.push(c),
                    None => {
                        flush(&mut plain, &mut out);
                        out.push_str(&format!("\\u{code:04x}"));
                    }
                }
            }
            None => {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    flush(&mut plain, &mut out);
    out
}

fn finish(open: &Open) -> String {
    let joined = |items: Vec<String>| items.join(",");
    match &*open.kind {
        "" => format!("\"{}\"", unescape(&open.text)),
        "number" | "boolean" => open.text.clone(),
        "null" => "null".to_string(),
        "array" => {
            assert!(open.inner.iter().all(|(name, _)| name == "item"));
            format!("[{}]", joined(open.inner.iter().map(|(_, value)| value.clone()).collect()))
        }
        "object" => {
            let member = |(name, value): &(String, String)| {
                let name = if name == "_x_" { String::new() } else { unescape(name) };
                format!("\"{name}\":{value}")
            };
            format!("{{{}}}", joined(open.inner.iter().map(member).collect()))
        }
        other => panic!("a kind {other}"),
    }
}

/// The payload, as JSON text, and the event's type, in quotes.
fn decode(xml: &str) -> (String, String) {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<Open> = Vec::new();
    let mut done = None;
    loop {
        let ended = match reader.read_event().unwrap() {
            Event::Start(start) => {
                open.push(begin(&start));
                None
            }
            Event::Empty(start) => Some(begin(&start)),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                let text = text.xml10_content();
                match open.last_mut() {
                    Some(open) => open.text.push_str(&text),
                    None => assert_eq!(text.trim(), ""),
                }
                None
            }
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref().unwrap() {
                    Some(c) => c,
                    None => match &*reference {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        other => panic!("an entity {other}"),
                    },
                };
                open.last_mut().unwrap().text.push(c);
                None
            }
            Event::Decl(_) => None,
            Event::Eof => break,
            other => panic!("{other:?}"),
        };
        let Some(ended) = ended else { continue };
        match open.last_mut() {
            Some(outer) if open_is_root(outer) && ended.name != "data" => {
                outer.inner.push((ended.name.clone(), format!("\"{}\"", unescape(&ended.text))));
            }
            Some(outer) => {
                let value = finish(&ended);
                outer.inner.push((ended.name, value));
            }
            None => done = Some(ended),
        }
    }
    let root = done.unwrap();
    let names: Vec<_> = root.inner.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((&*root.name, names), ("event", vec!["type", "timestamp", "data"]));
    (root.inner[2].1.clone(), root.inner[0].1.clone())
}

fn open_is_root(open: &Open) -> bool {
    open.name == "event" && open.kind.is_empty()
}

fn element(json: &str) -> String {
    let xml = write("t", UnixTime::EPOCH, json).unwrap();
    let start = xml.find("<data").unwrap();
    xml[start..xml.len() - "</event>\n".len()].to_string()
}

#[test]
fn the_mapping() {
    for (json, xml) in [
        ("\"\"", "<data></data>"),
        ("-1.50e+3", "<data type=\"number\">-1.50e+3</data>"),
        ("null", "<data type=\"null\"/>"),
        ("[]", "<data type=\"array\"></data>"),
        ("{}", "<data type=\"object\"></data>"),
        (
            "[[true],{}]",
            "<data type=\"array\"><item type=\"array\"><item type=\"boolean\">true</item></item><item type=\"object\"></item></data>",
        ),
        (r#"{"a":"1","a":2}"#, "<data type=\"object\"><a>1</a><a type=\"number\">2</a></data>"),
        (r#"{"":1}"#, "<data type=\"object\"><_x_ type=\"number\">1</_x_></data>"),
        (r#"{"a b:c":1}"#, "<data type=\"object\"><a_x0020_b_x003A_c type=\"number\">1</a_x0020_b_x003A_c></data>"),
        (
            r#"{"1a":1,"-":2}"#,
            "<data type=\"object\"><_x0031_a type=\"number\">1</_x0031_a><_x002D_ type=\"number\">2</_x002D_></data>",
        ),
        (
            r#"{"XmL":1,"x":2,"axml":3}"#,
            "<data type=\"object\"><_x0058_mL type=\"number\">1</_x0058_mL><x type=\"number\">2</x><axml type=\"number\">3</axml></data>",
        ),
        (
            r#"{"_x0041_":1,"größe":2}"#,
            "<data type=\"object\"><_x005F_x0041_ type=\"number\">1</_x005F_x0041_><größe type=\"number\">2</größe></data>",
        ),
        (
            r#"{"日":1,"😀":2}"#,
            "<data type=\"object\"><_x65E5_ type=\"number\">1</_x65E5_><_x0001F600_ type=\"number\">2</_x0001F600_></data>",
        ),
        (
            r#""a\u0000\r\n\t<&>\"'\ufffe\ud800_x""#,
            "<data>a_x0000_&#13;\n\t&lt;&amp;&gt;\"'_xFFFE__xD800__x005F_x</data>",
        ),
    ] {
        assert_eq!(element(json), xml);
        let (back, _) = decode(&write("t", UnixTime::EPOCH, json).unwrap());
        assert_eq!(back, json.replace(r"\ufffe", "\u{fffe}"));
    }
}

proptest! {
    /// The law: a parser that knows nothing of us and the table of the room give back the text that was written, each
    /// name, order, digit and character of it.
    #[test]
    fn xml_gives_back_what_was_put_in(value in any_json(), event_type in any_text()) {
        let text = value.to_string();
        let xml = write(&event_type, UnixTime::EPOCH, &text).unwrap();
        prop_assert!(xml.len() <= 14 * text.len() + 8 * event_type.len() + 256, "it grew to {} bytes", xml.len());
        prop_assert_eq!(decode(&xml), (text, json_string(&event_type)));
    }

    /// Half pairs are characters of no encoding, and come back all the same.
    #[test]
    fn halves_of_pairs_come_back(units in prop::collection::vec(prop_oneof![0xd800u16..0xe000, 0x20u16..0x22, Just(0x5f), Just(0x78)], 0..8)) {
        let json: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let value = format!("{{\"{json}\":\"{json}\"}}");
        let (back, _) = decode(&write("t", UnixTime::EPOCH, &value).unwrap());
        let mut tokens = Tokens::new(&back);
        tokens.next().unwrap();
        let Ok(Some(Token::Name(name))) = tokens.next() else { panic!("{back}") };
        let Ok(Some(Token::Text(text))) = tokens.next() else { panic!("{back}") };
        let quoted = format!("\"{json}\"");
        let Ok(Some(Token::Text(given))) = Tokens::new(&quoted).next() else { panic!("{json}") };
        let given: Vec<_> = given.pieces().collect();
        prop_assert_eq!(&name.pieces().collect::<Vec<_>>(), &given);
        prop_assert_eq!(&text.pieces().collect::<Vec<_>>(), &given);
    }

    /// Names are names by every edition of XML 1.0, and no text holds what XML forbids.
    #[test]
    fn names_and_texts_are_those_of_xml(text in any_text()) {
        let quoted = json_string(&text);
        let mut tokens = Tokens::new(&quoted);
        let Ok(Some(Token::Text(parsed))) = tokens.next() else { panic!("{quoted}") };
        let mut name = String::new();
        put_name(parsed, &mut name);
        prop_assert!(starts_name(name.chars().next().unwrap()) && name.chars().all(continues_name), "{}", name);
        prop_assert!(!name.to_lowercase().starts_with("xml"));
        let mut written = String::new();
        put_text(parsed.pieces(), &mut written);
        let forbidden = |c| matches!(c, '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '<' | '>' | '\u{fffe}' | '\u{ffff}');
        prop_assert!(!written.contains(forbidden), "{}", written);
    }
}

/// The payloads that grow most.
#[test]
fn xml_is_at_most_fourteen_times_as_large() {
    for json in [format!("[{}1]", "1,".repeat(10_000)), format!("{{\"{}\":1}}", " ".repeat(10_000))] {
        let xml = write("t", UnixTime::EPOCH, &json).unwrap();
        assert!((13 * json.len()..=14 * json.len() + 256).contains(&xml.len()), "{} of {}", xml.len(), json.len());
    }
}

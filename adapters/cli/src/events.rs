//! Events, one JSON object a line, or CloudEvents 1.0 in their JSON form, one a line.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use postrider_core::event::{Event, EventError, cloud_event_id};
use postrider_core::id::{EventId, IdError, TenantId};
use postrider_core::time::UnixTime;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::exit::Fault;
use crate::suggest::unknown_key;

/// A longer line is no event: the payload limit, its escapes and an envelope are well within.
const LINE_BYTES: u64 = 4 * 1024 * 1024;

const KEYS: [&str; 7] = ["type", "id", "timestamp", "data", "tenant", "key", "expires"];

/// The lines of a file, as events or as faults.
pub(crate) struct Lines<R> {
    name: String,
    reader: BufReader<R>,
    line: u64,
    buffer: Vec<u8>,
    /// Gives ids to events that have none.
    ids: Option<LineIds>,
}

impl<R: Read> Lines<R> {
    /// The lines of `reader`, which faults call `name`.
    pub(crate) fn new(name: impl Into<String>, reader: R) -> Self {
        Self { name: name.into(), reader: BufReader::new(reader), line: 0, buffer: Vec::new(), ids: None }
    }

    /// The same, with an id for each event that has none: the same one whenever the same input is read.
    pub(crate) fn with_ids(self) -> Self {
        Self { ids: Some(LineIds::default()), ..self }
    }

    /// Whether the next line can be had without waiting for whoever writes it.
    pub(crate) fn is_ready(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    /// What faults call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next event with the number of its line, or what is wrong with the line. Empty lines are passed over. `None`
    /// at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Result<(u64, Event), Fault>>> {
        loop {
            self.buffer.clear();
            if self.reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let parsed = if self.buffer.len() as u64 == LINE_BYTES && !self.buffer.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
                Err(BadLine::of_line(format!("the line is longer than {LINE_BYTES} bytes")))
            } else if self.buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            } else {
                event(&self.buffer)
            };
            let parsed = match (parsed, &mut self.ids) {
                (Ok(event), Some(ids)) if event.event_id().is_none() => Ok(event.id(ids.of(&self.buffer))),
                (parsed, _) => parsed,
            };
            let place = |bad: BadLine| self.fault(self.line, bad.key, bad.what);
            return Ok(Some(parsed.map(|event| (self.line, event)).map_err(place)));
        }
    }

    /// A fault in a line.
    pub(crate) fn fault(&self, line: u64, key: Option<String>, what: impl fmt::Display) -> Fault {
        Fault { place: Some((self.name.clone(), line)), key, what: what.to_string() }
    }
}

/// Ids for lines that bring none: what the line says, and the how-manieth it is of those that say the same.
///
/// So a file that is read again, or has grown at its end, gives the same ids; so does one whose other lines have changed.
/// Counting the equal ones takes some 40 bytes of memory for each different line without an id.
#[derive(Default)]
struct LineIds(HashMap<[u8; 16], u64>);

impl LineIds {
    /// `line_` and 32 hexadecimal digits: half of the SHA-256 over a domain, the line's own digest and its number among
    /// equal lines, counted from 0. White space around a line does not count.
    fn of(&mut self, line: &[u8]) -> String {
        let half = |hash: Sha256| -> [u8; 16] {
            let digest = hash.finalize();
            std::array::from_fn(|i| digest[i])
        };
        let content = half(Sha256::new().chain_update(line.trim_ascii()));
        let earlier = self.0.entry(content).or_default();
        let hash = Sha256::new().chain_update(b"postrider line id 1\0").chain_update(content);
        let digits = half(hash.chain_update(earlier.to_le_bytes()));
        *earlier += 1;
        format!("line_{:032x}", u128::from_be_bytes(digits))
    }
}

struct BadLine {
    key: Option<String>,
    what: String,
}

impl BadLine {
    fn of_line(what: impl Into<String>) -> Self {
        Self { key: None, what: what.into() }
    }

    fn of_key(key: &str, what: impl fmt::Display) -> Self {
        Self { key: Some(key.into()), what: what.to_string() }
    }
}

fn event(line: &[u8]) -> Result<Event, BadLine> {
    let text = std::str::from_utf8(line)
        .map_err(|why| BadLine::of_line(format!("byte {} is not UTF-8, as JSON must be", why.valid_up_to() + 1)))?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|why| BadLine::of_line(not_json(&why)))?;
    for (at, (key, _)) in fields.0.iter().enumerate() {
        if fields.0[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(BadLine::of_key(key, "the key appears twice; write it once"));
        }
    }
    if fields.raw("specversion").is_some() { fields.cloud_event() } else { fields.plain() }
}

fn not_json(error: &serde_json::Error) -> String {
    if error.is_data() {
        return "this is not a JSON object; write {\"type\": \"order.paid\", \"data\": ...}".into();
    }
    // The place that serde_json adds to its text counts lines within this one line.
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("this is not JSON at column {}: {what}; write one object a line", error.column())
}

/// The members of an object in order, their values as they were written.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> Fields<'a> {
    fn plain(&self) -> Result<Event, BadLine> {
        if let Some((key, _)) = self.0.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            return Err(BadLine::of_key(key, unknown_key(key, &KEYS)));
        }
        let data = self.raw("data").map_or("null", RawValue::get);
        let event =
            Event::json_bytes(self.required("type")?, Bytes::copy_from_slice(data.as_bytes())).map_err(fault)?;
        let event = match self.text("id")? {
            Some(id) => event.id(checked("id", EventId::new(&id))?.as_str()),
            None => event,
        };
        let event = match self.text("tenant")? {
            Some(tenant) => event.tenant(checked("tenant", TenantId::new(&tenant))?.as_str()),
            None => event,
        };
        self.expiring("expires", self.timed("timestamp", self.keyed("key", event)?)?)
    }

    /// CloudEvents 1.0.2, JSON format. Of the context attributes, `type`, `time`, `source` and `id` are carried on;
    /// the extension `partitionkey` is the ordering key, and `expirytime` says until when the event is worth sending.
    fn cloud_event(&self) -> Result<Event, BadLine> {
        let version = self.required("specversion")?;
        if version != "1.0" {
            return Err(BadLine::of_key("specversion", format!("{version:?} is not known; 1.0 is")));
        }
        let [source, id] = [self.required("source")?, self.required("id")?];
        if let Some(key) = ["source", "id"].into_iter().zip([&source, &id]).find_map(|(k, v)| v.is_empty().then_some(k))
        {
            return Err(BadLine::of_key(key, "the attribute is empty; CloudEvents demand a text"));
        }
        let event_type = self.required("type")?;
        let content_type = self.text("datacontenttype")?;
        let event = match (self.raw("data"), self.text("data_base64")?, &content_type) {
            (Some(_), Some(_), _) => {
                return Err(BadLine::of_key("data_base64", "there is data already; give one of the two"));
            }
            (None, Some(base64), content_type) => {
                let body = STANDARD.decode(base64).map_err(|why| BadLine::of_key("data_base64", why))?;
                Event::raw(event_type, content_type.as_deref().unwrap_or("application/octet-stream"), body.into())
            }
            (Some(_), None, Some(content_type)) if !is_json(content_type) => {
                let text = self.required("data").map_err(|_| {
                    BadLine::of_key(
                        "data",
                        format!("of type {content_type:?} it must be a text; use data_base64 for bytes"),
                    )
                })?;
                Event::raw(event_type, content_type, text.into())
            }
            (data, None, _) => {
                let data = data.map_or("null", RawValue::get);
                Event::json_bytes(event_type, Bytes::copy_from_slice(data.as_bytes()))
            }
        };
        let event = event.map_err(fault)?.id(cloud_event_id(&source, &id).as_str());
        self.expiring("expirytime", self.timed("time", self.keyed("partitionkey", event)?)?)
    }

    fn timed(&self, key: &str, event: Event) -> Result<Event, BadLine> {
        Ok(match self.time(key)? {
            Some(time) => event.time(time),
            None => event,
        })
    }

    fn expiring(&self, key: &str, event: Event) -> Result<Event, BadLine> {
        Ok(match self.time(key)? {
            Some(time) => event.expires(time),
            None => event,
        })
    }

    fn time(&self, key: &str) -> Result<Option<UnixTime>, BadLine> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let time = UnixTime::parse_rfc3339(&text).ok_or_else(|| {
            BadLine::of_key(key, format!("{text:?} is not an RFC 3339 time; write it like 2026-11-21T07:26:00Z"))
        })?;
        Ok(Some(time))
    }

    fn keyed(&self, key: &str, event: Event) -> Result<Event, BadLine> {
        let Some(text) = self.text(key)? else { return Ok(event) };
        let event = event.key(text);
        match event.mistake() {
            Some(EventError::Key(why)) => Err(BadLine::of_key(key, why)),
            Some(_) | None => Ok(event),
        }
    }

    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// A text; `null` is as good as none.
    fn text(&self, key: &str) -> Result<Option<String>, BadLine> {
        let Some(raw) = self.raw(key).filter(|raw| raw.get() != "null") else { return Ok(None) };
        let text = serde_json::from_str(raw.get());
        text.map(Some).map_err(|_| BadLine::of_key(key, "this is not a text; write it in quotes"))
    }

    fn required(&self, key: &str) -> Result<String, BadLine> {
        self.text(key)?.ok_or_else(|| BadLine::of_key(key, "the event has none; it is required"))
    }
}

fn checked<T>(key: &str, result: Result<T, IdError>) -> Result<T, BadLine> {
    result.map_err(|why| BadLine::of_key(key, why))
}

fn fault(error: EventError) -> BadLine {
    match error {
        EventError::Type(why) => BadLine::of_key("type", why),
        EventError::Payload(why) => BadLine::of_key("data", why),
        other => BadLine::of_line(other.to_string()),
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<Result<(u64, Event), Fault>> {
        let mut lines = Lines::new("e.ndjson", text.as_bytes());
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn fault_of(line: &str) -> String {
        read(line).remove(0).unwrap_err().to_string()
    }

    #[test]
    fn data_is_kept_byte_for_byte() {
        let data = r#"{"b":1.0, "a":"\u00e9", "b":1e400}"#;
        let events = read(&format!("\n{{\"data\": {data} , \"type\":\"order.paid\",\"id\":\"x\"}}\r\n"));
        let (line, event) = events[0].as_ref().unwrap();
        assert_eq!((*line, event.payload().body().as_ref()), (2, data.as_bytes()));
        assert_eq!(event.event_id().unwrap().as_str(), "x");
    }

    proptest! {
        #[test]
        fn no_line_panics_and_none_swallows_the_next(line in "[ -~é]{0,80}", cut in any::<prop::sample::Index>()) {
            let whole = r#"{"type":"a","id":"x","timestamp":"2026-11-21T07:26:00Z","data":[1,"\u00e9"],"key":"k"}"#;
            for first in [line.as_str(), &whole[..cut.index(whole.len())]] {
                let events = read(&format!("{first}\n{whole}\n"));
                let (line, event) = events.last().unwrap().as_ref().unwrap();
                prop_assert_eq!((*line, event.payload().body().as_ref()), (2, &br#"[1,"\u00e9"]"#[..]));
            }
        }
    }

    #[test]
    fn a_bad_line_leaves_the_others_alone() {
        let events = read("{\"type\":\"a\"}\nnonsense\n{\"type\":\"b\"}");
        assert_eq!(events.len(), 3);
        assert!(events[0].is_ok() && events[2].is_ok());
        let error = events[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("e.ndjson:2: this is not JSON at column 2: "), "{error}");
    }

    #[test]
    fn each_fault_names_its_key() {
        for (line, expected) in [
            (r#"[]"#, "e.ndjson:1: this is not a JSON object"),
            (r#"{}"#, "e.ndjson:1: type: the event has none"),
            (r#"{"type":"a..b"}"#, "e.ndjson:1: type: has an empty segment at byte 2"),
            (r#"{"type":"a","id":7}"#, "e.ndjson:1: id: this is not a text; write it in quotes"),
            (r#"{"type":"a","id":"a.b"}"#, "e.ndjson:1: id: has a '.' at byte 1"),
            (r#"{"type":"a","timestamp":"today"}"#, "e.ndjson:1: timestamp: \"today\" is not an RFC 3339 time"),
            (r#"{"type":"a","expires":"1d"}"#, "e.ndjson:1: expires: \"1d\" is not an RFC 3339 time"),
            (r#"{"type":"a","tenat":"x"}"#, "e.ndjson:1: tenat: there is no such key; did you mean `tenant`?"),
            (r#"{"type":"a","type":"b"}"#, "e.ndjson:1: type: the key appears twice"),
            (r#"{"type":"a","key":""}"#, "e.ndjson:1: key: is empty"),
            (r#"{"specversion":"0.3","type":"a"}"#, "e.ndjson:1: specversion: \"0.3\" is not known"),
            (r#"{"specversion":"1.0","type":"a","id":"1"}"#, "e.ndjson:1: source: the event has none"),
        ] {
            let error = fault_of(line);
            assert!(error.starts_with(expected), "{line}: {error}");
        }
        let error = read("\u{7f}").remove(0).unwrap_err().to_string();
        assert!(error.starts_with("e.ndjson:1: this is not JSON"), "{error}");
    }

    #[test]
    fn a_cloud_event_has_an_id_of_source_and_id() {
        let line = r#"{"specversion":"1.0","type":"a.b","source":"/s","id":"1.2","data":{"x": 1},"subject":"z"}"#;
        let (_, event) = read(line).remove(0).unwrap();
        assert_eq!(event.event_id(), Some(&cloud_event_id("/s", "1.2")));
        assert_eq!(event.payload().body().as_ref(), b"{\"x\": 1}");

        let line =
            r#"{"specversion":"1.0","type":"a","source":"s","id":"1","datacontenttype":"text/csv","data":"x,y"}"#;
        let (_, event) = read(line).remove(0).unwrap();
        assert_eq!((event.payload().is_json(), event.payload().body().as_ref()), (false, &b"x,y"[..]));

        let line = r#"{"specversion":"1.0","type":"a","source":"s","id":"1","data_base64":"AAE="}"#;
        let (_, event) = read(line).remove(0).unwrap();
        assert_eq!(event.payload().body().as_ref(), [0, 1]);
    }

    #[test]
    fn an_event_says_until_when_it_is_worth_sending() {
        let plain = r#"{"type":"a","expires":"2026-11-21T07:26:00Z"}"#;
        let cloud =
            r#"{"specversion":"1.0","type":"a","source":"s","id":"1","expirytime":"2026-11-21T08:26:00+01:00"}"#;
        for line in [plain, cloud] {
            let (_, event) = read(line).remove(0).unwrap();
            assert_eq!(event.expires_at(), UnixTime::parse_rfc3339("2026-11-21T07:26:00Z"), "{line}");
        }
        assert_eq!(read(r#"{"type":"a"}"#).remove(0).unwrap().1.expires_at(), None);
    }

    #[test]
    fn a_line_without_an_id_gets_the_same_one_again() {
        let ids = |text: &str| -> Vec<String> {
            let mut lines = Lines::new("e.ndjson", text.as_bytes()).with_ids();
            let events = std::iter::from_fn(|| lines.next().unwrap());
            events.map(|event| event.unwrap().1.event_id().unwrap().to_string()).collect()
        };
        let (a, b) = (r#"{"type":"a"}"#, r#"{"type":"b"}"#);
        let first = ids(&format!("{a}\n{b}\n{a}\n"));
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{first:?}");
        assert!(first.iter().all(|id| id.len() == 37 && id.starts_with("line_")), "{first:?}");
        // Grown at the end, with other line ends, and with an event between that brings an id.
        let again = ids(&format!("{a} \r\n{b}\r\n{{\"type\":\"a\",\"id\":\"x\"}}\n\n{a}\n{a}"));
        assert_eq!([&again[0], &again[1], &again[3]], [&first[0], &first[1], &first[2]]);
        assert_eq!(again[2], "x");
        assert!(!first.contains(&again[4]));
    }

    #[test]
    fn an_endless_line_is_passed_over() {
        let long = format!("\"{}\"\n{{\"type\":\"a\"}}\n", "x".repeat(LINE_BYTES as usize));
        let events = read(&long);
        assert_eq!(events.len(), 2);
        assert!(events[0].as_ref().unwrap_err().to_string().contains("longer than"));
        assert_eq!(events[1].as_ref().unwrap().0, 2);
    }
}

//! The endpoint file: `[[endpoint]]` tables in TOML, every fault with its line and key.

mod choices;
mod pacing;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use postrider_core::encoding::Encoding;
use postrider_core::id::EndpointKey;
use postrider_core::registration::consent::ConsentBy;
use postrider_core::registration::{Endpoint, EndpointError, Ordering, Policy};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::duration;
use crate::exit::{Fault, Refusal};
use crate::suggest::{nearest, unknown_key};

const KEYS: [&str; 29] = [
    "id",
    "url",
    "secret",
    "secrets",
    "events",
    "headers",
    "schedule",
    "max-attempts",
    "max-age",
    "rate",
    "breaker",
    "disable",
    "queue-limit",
    "timeout",
    "concurrency",
    "tenant",
    "encoding",
    "thin",
    "source",
    "ordering",
    "coalesce",
    "bearer",
    "basic",
    "consent",
    "consent_rate",
    "filter",
    "filter-language",
    "sign",
    "receipts",
];

/// A file with more than this is no endpoint file.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A URL that any policy allows, to try other settings with.
const ANYWHERE: &str = "https://example.com/";

/// An endpoint of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name with its tenant.
    pub(crate) key: EndpointKey,
    /// What it is put as.
    pub(crate) endpoint: Endpoint,
    /// Where it stands, counted from 1.
    line: u64,
}

/// Reads the file. All faults are found at once; with any, there are no endpoints.
pub(crate) fn read(path: &Path, policy: &Policy) -> Result<Vec<Entry>, Refusal> {
    let name = path.display().to_string();
    let unreadable = |why: &dyn std::fmt::Display| Refusal::new(format!("{name}: {why}"));
    let size = fs::metadata(path).map_err(|why| unreadable(&why))?.len();
    if size > FILE_BYTES {
        return Err(unreadable(&format_args!("the file has {size} bytes, at most {FILE_BYTES} are read")));
    }
    let bytes = fs::read(path).map_err(|why| unreadable(&why))?;
    let text = String::from_utf8(bytes).map_err(|why| {
        unreadable(&format_args!("byte {} is not UTF-8, as TOML must be", why.utf8_error().valid_up_to()))
    })?;
    parse(&name, &text, policy)
}

/// Reads the text of a file of this name.
pub(crate) fn parse(name: &str, text: &str, policy: &Policy) -> Result<Vec<Entry>, Refusal> {
    let mut reader = Reader { name, text, policy, faults: Vec::new() };
    let entries = reader.document();
    if reader.faults.is_empty() { Ok(entries) } else { Err(reader.faults.into()) }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    policy: &'a Policy,
    faults: Vec<Fault>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn document(&mut self) -> Vec<Entry> {
        let document = match DeTable::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                self.fault(span, None, format!("this is not TOML: {}", error.message().trim()));
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for (key, value) in document.get_ref() {
            if key.get_ref() != "endpoint" {
                self.fault(key.span(), Some(key.get_ref()), unknown_key(key.get_ref(), &["endpoint"]));
                continue;
            }
            let tables = value.get_ref().as_array().map(|array| array.iter().collect::<Vec<_>>());
            match tables.filter(|tables| tables.iter().all(|table| table.get_ref().is_table())) {
                Some(tables) => entries.extend(tables.into_iter().filter_map(|table| self.entry(table))),
                None => {
                    self.fault(key.span(), Some("endpoint"), "this is not a list; write [[endpoint]] in two brackets")
                }
            }
        }
        if entries.is_empty() && self.faults.is_empty() {
            self.fault(0..0, None, "there is no endpoint; begin each with [[endpoint]]");
        }
        self.refuse_twins(&entries);
        entries
    }

    fn entry(&mut self, value: &Value<'_>) -> Option<Entry> {
        let table = value.get_ref().as_table()?;
        let faults = self.faults.len();
        let id = self.required(value, table, "id");
        let url = self.required(value, table, "url");
        for (key, instead) in [("events", "events"), ("secret", "secrets")] {
            if !table.contains_key(key) && !table.contains_key(instead) {
                self.fault(value.span(), Some(key), missing(key));
            }
        }
        let mut endpoint = Endpoint::new(id.unwrap_or("unnamed"), url.unwrap_or(ANYWHERE));
        for (key, value) in table {
            endpoint = self.set(endpoint, table, key, value);
        }
        let ok = self.faults.len() == faults;
        let line = self.line(value.span().start);
        // What is checked here is only what no single key shows, such as too many secrets together.
        match endpoint.check(self.policy).and_then(|()| endpoint.key()) {
            Ok(key) if ok => Some(Entry { key, endpoint, line }),
            Err(why) if ok => {
                self.fault(value.span(), None, why.to_string());
                None
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// The endpoint with one key of its table. Each setting is tried on an endpoint that has nothing else, so that a
    /// fault is told of the key that has it.
    fn set(
        &mut self,
        endpoint: Endpoint,
        table: &DeTable<'_>,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Value<'_>,
    ) -> Endpoint {
        let name = key.get_ref().as_ref();
        let blank = || Endpoint::new("unnamed", ANYWHERE);
        match name {
            "id" => {
                self.strings(name, value, |text| Endpoint::new(text, ANYWHERE));
                endpoint
            }
            "url" => {
                self.strings(name, value, |text| Endpoint::new("unnamed", text));
                endpoint
            }
            "tenant" => match self.strings(name, value, |text| blank().tenant(text)) {
                Some(text) => endpoint.tenant(text),
                None => endpoint,
            },
            "secret" => match self.strings(name, value, |text| blank().secret(text)) {
                Some(text) => endpoint.secret(text),
                None => endpoint,
            },
            "secrets" => {
                self.list(name, value, |text| blank().secret(text)).into_iter().fold(endpoint, Endpoint::secret)
            }
            "events" => {
                let patterns = self.list(name, value, |text| blank().events([text]));
                if patterns.is_empty() { endpoint } else { endpoint.events(patterns) }
            }
            "headers" => self.headers(endpoint, value),
            name if pacing::KEYS.contains(&name) => self.pace(endpoint, name, value),
            "timeout" => {
                let text = self.strings(name, value, |_| blank());
                let Some(timeout) = text.and_then(|text| self.duration(name, value, text)) else { return endpoint };
                self.probe(name, value, &blank().timeout(timeout));
                endpoint.timeout(timeout)
            }
            "concurrency" => self.concurrency(endpoint, value),
            "encoding" => match self.strings(name, value, |_| blank()) {
                Some(text) => match Encoding::by_name(text) {
                    Some(encoding) => endpoint.encoding(encoding),
                    None => {
                        self.fault(value.span(), Some(name), unknown_encoding(text));
                        endpoint
                    }
                },
                None => endpoint,
            },
            "thin" => {
                let pointers = self.list(name, value, |text| blank().thin([text]));
                let all = blank().thin(&pointers);
                if pointers.is_empty() || !self.probe(name, value, &all) { endpoint } else { endpoint.thin(pointers) }
            }
            "filter" => self.filter(endpoint, table, value),
            "filter-language" => {
                self.filter_language(table, value);
                endpoint
            }
            "sign" => self.sign(endpoint, value),
            "source" => match self.strings(name, value, |text| blank().source(text)) {
                Some(text) => endpoint.source(text),
                None => endpoint,
            },
            "ordering" => match self.strings(name, value, |_| blank()) {
                Some(text) => match Ordering::parse(text) {
                    Some(ordering) => endpoint.ordering(ordering),
                    None => {
                        let names = Ordering::ALL.map(Ordering::name).join(", ");
                        self.fault(
                            value.span(),
                            Some(name),
                            format!("there is no ordering {text:?}; write one of {names}"),
                        );
                        endpoint
                    }
                },
                None => endpoint,
            },
            "coalesce" => match self.flag(name, value) {
                Some(coalesce) => endpoint.coalesce(coalesce),
                None => endpoint,
            },
            "receipts" => match self.flag(name, value) {
                Some(receipts) => endpoint.receipts(receipts),
                None => endpoint,
            },
            "bearer" => match self.strings(name, value, |text| blank().bearer(text)) {
                Some(text) => endpoint.bearer(text),
                None => endpoint,
            },
            "basic" => self.basic(endpoint, value),
            "consent" => match self.strings(name, value, |_| blank()).map(str::parse::<ConsentBy>) {
                Some(Ok(by)) => endpoint.consent(by),
                Some(Err(why)) => {
                    self.fault(value.span(), Some(name), why.to_string());
                    endpoint
                }
                None => endpoint,
            },
            "consent_rate" => {
                let number = value.get_ref().as_integer();
                let parsed = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
                match parsed.filter(|rate| *rate > 0) {
                    Some(rate) => endpoint.consent_rate(rate),
                    None => {
                        self.fault(value.span(), Some(name), "this is not a number of requests a minute, 1 at least");
                        endpoint
                    }
                }
            }
            _ => {
                self.fault(key.span(), Some(name), unknown_key(name, &KEYS));
                endpoint
            }
        }
    }

    fn headers(&mut self, endpoint: Endpoint, value: &Value<'_>) -> Endpoint {
        let Some(table) = value.get_ref().as_table() else {
            self.fault(value.span(), Some("headers"), "this is not a table; write { name = \"value\" }");
            return endpoint;
        };
        table.iter().fold(endpoint, |endpoint, (name, value)| {
            let key = format!("headers.{}", name.get_ref());
            // A header may carry a credential, so none is ever printed.
            let probe = |text: &str| Endpoint::new("unnamed", ANYWHERE).secret_header(name.get_ref(), text);
            match self.strings(&key, value, probe) {
                Some(text) => endpoint.secret_header(name.get_ref(), text),
                None => endpoint,
            }
        })
    }

    /// A user name and a password, neither of which is ever printed.
    fn basic(&mut self, endpoint: Endpoint, value: &Value<'_>) -> Endpoint {
        let table = value.get_ref().as_table();
        let part = |name: &str| table.and_then(|table| table.get(name)).and_then(|part| part.get_ref().as_str());
        let (Some(name), Some(password), Some(2)) = (part("name"), part("password"), table.map(|table| table.len()))
        else {
            let like = "this is not a name with a password; write { name = \"...\", password = \"...\" }";
            self.fault(value.span(), Some("basic"), like);
            return endpoint;
        };
        let probe = Endpoint::new("unnamed", ANYWHERE).basic(name, password);
        if self.probe("basic", value, &probe) { endpoint.basic(name, password) } else { endpoint }
    }

    fn flag(&mut self, name: &str, value: &Value<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.fault(value.span(), Some(name), "this is neither true nor false");
        }
        flag
    }

    fn concurrency(&mut self, endpoint: Endpoint, value: &Value<'_>) -> Endpoint {
        let number = value.get_ref().as_integer();
        let parsed = number.and_then(|number| u16::from_str_radix(number.as_str(), number.radix()).ok());
        match parsed.filter(|number| (1..=1024).contains(number)) {
            Some(number) => endpoint.concurrency(number),
            None => {
                self.fault(value.span(), Some("concurrency"), "this is not a whole number from 1 to 1024");
                endpoint
            }
        }
    }

    fn required<'t>(&mut self, whole: &Value<'_>, table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
        let value = table.get(key).map(Spanned::get_ref);
        if value.is_none() {
            self.fault(whole.span(), Some(key), missing(key));
        }
        value.and_then(DeValue::as_str)
    }

    /// A text, tried on an endpoint that `probe` makes of it.
    fn strings<'v>(&mut self, key: &str, value: &'v Value<'_>, probe: impl Fn(&str) -> Endpoint) -> Option<&'v str> {
        let Some(text) = value.get_ref().as_str() else {
            let found = value.get_ref().type_str();
            self.fault(value.span(), Some(key), format!("this is of type {found}; write a text in quotes"));
            return None;
        };
        self.probe(key, value, &probe(text)).then_some(text)
    }

    /// Texts, each tried on an endpoint that `probe` makes of it.
    fn list<'v>(&mut self, key: &str, value: &'v Value<'_>, probe: impl Fn(&str) -> Endpoint) -> Vec<&'v str> {
        let Some(array) = value.get_ref().as_array().filter(|array| !array.is_empty()) else {
            self.fault(value.span(), Some(key), "this is not a list with something in it; write [\"...\"]");
            return Vec::new();
        };
        let items = array.iter().enumerate();
        items.filter_map(|(at, item)| self.strings(&format!("{key}[{at}]"), item, &probe)).collect()
    }

    fn duration(&mut self, key: &str, value: &Value<'_>, text: &str) -> Option<Duration> {
        duration::parse(text).map_err(|why| self.fault(value.span(), Some(key), why)).ok()
    }

    fn probe(&mut self, key: &str, value: &Value<'_>, probe: &Endpoint) -> bool {
        match probe.check(self.policy) {
            Ok(()) => true,
            Err(why) => {
                self.fault(value.span(), Some(key), reason(&why));
                false
            }
        }
    }

    fn refuse_twins(&mut self, entries: &[Entry]) {
        let mut seen = std::collections::BTreeMap::new();
        for entry in entries {
            if let Some(first) = seen.insert(&entry.key, entry.line) {
                self.faults.push(Fault {
                    place: Some((self.name.to_string(), entry.line)),
                    key: Some("id".into()),
                    what: format!(
                        "{:?} is the id of the endpoint at line {first} already; each needs its own",
                        entry.key.id.as_str()
                    ),
                });
            }
        }
    }

    fn fault(&mut self, span: Range<usize>, key: Option<&str>, what: impl Into<String>) {
        let place = Some((self.name.to_string(), self.line(span.start)));
        self.faults.push(Fault { place, key: key.map(Into::into), what: what.into() });
    }

    fn line(&self, at: usize) -> u64 {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

/// The text of an error without the key that it begins with, because ours is more exact.
fn reason(error: &EndpointError) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or_else(|| text.clone(), |(_, why)| why.to_string())
}

fn unknown_encoding(name: &str) -> String {
    let known: Vec<_> = Encoding::ALL.into_iter().map(Encoding::name).chain(["raw"]).collect();
    match nearest(name, &known) {
        Some(meant) => format!("there is no such encoding; did you mean \"{meant}\"?"),
        None => format!("there is no such encoding; the encodings are {}", known.join(", ")),
    }
}

fn missing(key: &str) -> String {
    let like = match key {
        "id" => "id = \"acme\"",
        "url" => "url = \"https://example.com/hooks\"",
        "events" => "events = [\"order.*\"], or [\"**\"] for all",
        _ => "secret = \"whsec_...\"",
    };
    format!("the endpoint has none; write {like}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn faults(text: &str) -> Vec<String> {
        match parse("e.toml", text, &Policy::default()) {
            Ok(_) => Vec::new(),
            Err(refusal) => refusal.faults().iter().map(ToString::to_string).collect(),
        }
    }

    fn with(line: &str) -> String {
        format!(
            "[[endpoint]]\nid = \"acme\"\nurl = \"https://acme.example.com\"\nsecret = \"{SECRET}\"\nevents = [\"a.*\"]\n{line}\n"
        )
    }

    #[test]
    fn a_full_endpoint_is_read() {
        let text = with(
            "headers = { x-team = \"a\" }\nschedule = [\"0s\", \"5s\", \"5m\"]\ntimeout = \"3s\"\nconcurrency = 0x10\n\
             tenant = \"t\"\nencoding = \"cloudevents-binary\"\nthin = [\"/id\", \"/order/id\"]\nsource = \"/shop\"\n\
             receipts = true\nbearer = \"abc\"\nconsent = \"cloudevents\"\nconsent_rate = 60\n\
             filter = '{\"exact\": {\"type\": \"a.b\"}}'\nfilter-language = \"cloudevents\"\n\
             sign = [\"standard-webhooks\", \"github\", { hmac = { header = \"x-acme\", algorithm = \"sha512\", encoding = \
             \"base64\", prefix = \"v1=\", id-header = \"x-id\", timestamp-header = \"x-time\", timestamp = \"ms\", \
             type-header = \"x-type\", key = \"bytes\", content = \"{id}.{timestamp}.{url}.{body}\" } }]",
        );
        let entries = parse("e.toml", &text, &Policy::default()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].key.to_string(), "t/acme");
    }

    #[test]
    fn the_keys_that_pace_it_are_read() {
        for line in [
            "schedule = \"none\"",
            "schedule = { exponential = { base = \"30s\", factor = 1.5, cap = \"2h\", attempts = 11 } }",
            "schedule = [\"0s\", \"1m\"]\nmax-attempts = 1\nmax-age = \"1h\"",
            "rate = { per-minute = 100, burst = 10 }",
            "breaker = \"none\"\ndisable = \"never\"",
            "breaker = { attempts = 20, percent = 50, window = \"1m\", open = \"10s\", longest = \"1h\" }",
            "disable = { after = \"24h\", failures = 100 }",
            "queue-limit = \"10m\"",
        ] {
            assert_eq!(faults(&with(line)), [""; 0], "{line}");
        }
        let text = with(
            "schedule = [\"0s\", \"1m\", \"1h\"]\nmax-attempts = 2\nrate = { per-second = 5 }\nbreaker = \"none\"",
        );
        let shown = format!("{:?}", parse("e.toml", &text, &Policy::default()).unwrap()[0].endpoint);
        for part in ["max_attempts: Some(2)", "count: 5", "breaker: None"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn the_keys_of_order_are_read() {
        for (lines, ordering, coalesce) in [
            ("", "None", false),
            ("ordering = \"none\"", "None", false),
            ("ordering = \"strict\"", "Strict", false),
            ("ordering = \"skip-on-exhaust\"\ncoalesce = true", "SkipOnExhaust", true),
            ("coalesce = false\nordering = \"strict\"", "Strict", false),
        ] {
            let read = parse("e.toml", &with(lines), &Policy::default()).unwrap();
            let shown = format!("{:?}", read[0].endpoint);
            let order = format!("Order {{ ordering: {ordering}, coalesce: {coalesce} }}");
            assert!(shown.contains(&order), "{order} in {shown}");
        }
        for (lines, fault) in [
            ("ordering = \"strct\"", "e.toml:6: ordering: there is no ordering \"strct\""),
            ("ordering = true", "e.toml:6: ordering: "),
            ("ordering = \"strict\"\ncoalesce = \"yes\"", "e.toml:7: coalesce: "),
            ("coalesce = true", "e.toml:1: "),
        ] {
            let told = faults(&with(lines));
            assert!(told.len() == 1 && told[0].starts_with(fault), "{lines}: {told:?}");
        }
    }

    #[test]
    fn each_fault_names_line_and_key() {
        for (line, expected) in [
            ("sceret = \"x\"", "e.toml:6: sceret: there is no such key; did you mean `secret`?"),
            ("timeout = \"0s\"", "e.toml:6: timeout: 0ns is not within 1 ms to 60 s"),
            ("timeout = 3", "e.toml:6: timeout: this is of type integer; write a text in quotes"),
            ("concurrency = 0", "e.toml:6: concurrency: this is not a whole number from 1 to 1024"),
            (
                "encoding = \"yaml\"",
                "e.toml:6: encoding: there is no such encoding; the encodings are envelope, data, xml",
            ),
            (
                "encoding = \"cloudevent\"",
                "e.toml:6: encoding: there is no such encoding; did you mean \"cloudevents\"?",
            ),
            ("encoding = 2", "e.toml:6: encoding: this is of type integer; write a text in quotes"),
            ("thin = [\"/id\", \"id\"]", "e.toml:6: thin[1]: pointer 0 should begin with a slash"),
            ("thin = []", "e.toml:6: thin: this is not a list with something in it"),
            ("source = \"a b\"", "e.toml:6: source: it has ' ' at byte 1"),
            ("filter = '{\"data\": {\"n\": 1}}'", "e.toml:6: filter: it has a number at \"/data/n\""),
            (
                "filter-language = \"eventbrige\"",
                "e.toml:6: filter-language: there is no such language of filters; did",
            ),
            ("filter-language = \"cloudevents\"", "e.toml:6: filter-language: there is no filter that it would be"),
            ("receipts = 1", "e.toml:6: receipts: this is neither true nor false"),
            (
                "receipts = true\nsign = [\"github\"]",
                "e.toml:1: receipts: they are signed with the key of a Standard Webhooks signature; sign with",
            ),
            ("sign = []", "e.toml:6: sign: this is not a list with something in it"),
            ("sign = [\"githup\"]", "e.toml:6: sign[0]: there is no such scheme; did you mean \"github\"?"),
            ("sign = [\"github\", \"github\"]", "e.toml:6: sign: two schemes would set the header x-"),
            (
                "sign = [{ hmac = { haeder = \"x\" } }]",
                "e.toml:6: sign[0].hmac.haeder: there is no such key; did you mean `header`?",
            ),
            ("sign = [{ hmac = { header = \"host\" } }]", "e.toml:6: sign: the header host belongs to the engine"),
            (
                "sign = [{ hmac = { header = \"x-a\", content = \"{id}\" } }]",
                "e.toml:6: sign[0].hmac: the content must have",
            ),
            (
                "sign = [{ hmac = { header = \"x-a\", algorithm = \"md5\" } }]",
                "e.toml:6: sign[0].hmac.algorithm: this is none of sha256, sha512",
            ),
            ("schedule = []", "e.toml:6: schedule: this is not a list with something in it"),
            ("schedule = [\"5\"]", "e.toml:6: schedule: \"5\" has a number without a unit; write 5s"),
            ("schedule = \"never\"", "e.toml:6: schedule: there is no such schedule; write a list"),
            ("schedule = { exponental = {} }", "e.toml:6: schedule.exponental: there is no such key; did you mean"),
            (
                "schedule = { exponential = { base = \"0s\", cap = \"1h\", attempts = 4 } }",
                "e.toml:6: schedule.exponential: the base of the exponential schedule is zero",
            ),
            (
                "schedule = { exponential = { base = \"1s\", cap = \"1h\", attempts = 4, factor = 0.5 } }",
                "e.toml:6: schedule.exponential.factor: the factor 5/10",
            ),
            ("max-attempts = 0", "e.toml:6: max-attempts: the schedule has no delays"),
            ("max-age = \"0s\"", "e.toml:6: max-age: the largest age is 0ns"),
            ("rate = 5", "e.toml:6: rate: this is not a table; write { per-second = 10, burst = 20 }"),
            ("rate = { burst = 5 }", "e.toml:6: rate: it needs one of per-second"),
            ("rate = { per-hour = 0 }", "e.toml:6: rate.per-hour: the rate of 0 attempts is not within 1"),
            ("breaker = { percnt = 5 }", "e.toml:6: breaker.percnt: there is no such key; did you mean `percent`?"),
            ("breaker = { percent = 101 }", "e.toml:6: breaker: "),
            ("disable = { after = \"1s\" }", "e.toml:6: disable: the age of 1s to disable at is not within 1 min"),
            ("queue-limit = \"0s\"", "e.toml:6: queue-limit: the limit of 0ns on waiting"),
            ("headers = { host = \"x\" }", "e.toml:6: headers.host: the header host is set by the engine"),
            ("secrets = [\n\"whsec_AAAA\"]", "e.toml:7: secrets[0]: the secret's key has 3 bytes, at least 24"),
            ("tenant = \"\"", "e.toml:6: tenant: "),
            ("consent = \"yes\"", "e.toml:6: consent: consent is asked for by `none`, `challenge` or `cloudevents`"),
            ("consent_rate = 0", "e.toml:6: consent_rate: this is not a number of requests a minute"),
            ("consent_rate = 5", "e.toml:1: consent_rate: only `cloudevents` asks for a rate"),
            ("basic = { name = \"a:b\", password = \"CANARY\" }", "e.toml:6: basic: "),
            ("basic = \"a:CANARY\"", "e.toml:6: basic: this is not a name with a password"),
            ("bearer = \"CANARY CANARY\"", "e.toml:6: bearer: "),
        ] {
            let found = faults(&with(line));
            assert!(found[0].starts_with(expected), "{line}: {found:?}");
            assert!(!found.concat().contains("CANARY"), "{found:?}");
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let found = faults("[[endpoint]]\nid = \"a b\"\nurl = \"ftp://x\"\n\n[[endpont]]\n");
        let starts =
            ["e.toml:1: events:", "e.toml:1: secret:", "e.toml:2: id:", "e.toml:3: url:", "e.toml:5: endpont:"];
        for start in starts {
            assert!(found.iter().any(|fault| fault.starts_with(start)), "{start}: {found:?}");
        }
        assert_eq!(found.len(), starts.len(), "{found:?}");
    }

    #[test]
    fn two_endpoints_of_one_name_are_refused() {
        let found = faults(&[with(""), with("")].concat());
        assert_eq!(found, ["e.toml:7: id: \"acme\" is the id of the endpoint at line 1 already; each needs its own"]);
    }

    #[test]
    fn no_fault_quotes_a_secret() {
        let found = faults(&with("").replace(SECRET, "v1,whsec_CANARY_CANARY_CANARY"));
        assert!(found[0].starts_with("e.toml:4: secret: the secret begins with a signature version"), "{found:?}");
        assert!(!found[0].contains("CANARY"));
    }
}

//! The keys of an endpoint that say how its events are selected and signed.

use postrider_core::matching::filter::Language;
use postrider_core::registration::Endpoint;
use postrider_core::signing::{Custom, Dialect};
use toml::de::DeTable;

use super::{ANYWHERE, Reader, Value};
use crate::suggest::{nearest, unknown_key};

/// The keys of a described HMAC.
const HMAC_KEYS: [&str; 10] = [
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "content",
    "id-header",
    "timestamp-header",
    "timestamp",
    "type-header",
    "key",
];

impl Reader<'_> {
    pub(super) fn filter(&mut self, endpoint: Endpoint, table: &DeTable<'_>, value: &Value<'_>) -> Endpoint {
        let language = language(table);
        let probe = |text: &str| Endpoint::new("unnamed", ANYWHERE).filter(language, text);
        match self.strings("filter", value, probe) {
            Some(text) => endpoint.filter(language, text),
            None => endpoint,
        }
    }

    pub(super) fn filter_language(&mut self, table: &DeTable<'_>, value: &Value<'_>) {
        const KEY: &str = "filter-language";
        let text = self.strings(KEY, value, |_| Endpoint::new("unnamed", ANYWHERE));
        if let Some(text) = text.filter(|text| Language::by_name(text).is_none()) {
            self.fault(value.span(), Some(KEY), unknown_language(text));
        } else if !table.contains_key("filter") {
            self.fault(value.span(), Some(KEY), "there is no filter that it would be the language of");
        }
    }

    /// A list of schemes: names, and tables that describe an HMAC.
    pub(super) fn sign(&mut self, endpoint: Endpoint, value: &Value<'_>) -> Endpoint {
        let Some(array) = value.get_ref().as_array().filter(|array| !array.is_empty()) else {
            let what = "this is not a list with something in it; write [\"standard-webhooks\"]";
            self.fault(value.span(), Some("sign"), what);
            return endpoint;
        };
        let items = array.iter().enumerate();
        let dialects: Vec<_> = items.filter_map(|(at, item)| self.dialect(&format!("sign[{at}]"), item)).collect();
        let whole = dialects.len() == array.len();
        let probe = Endpoint::new("unnamed", ANYWHERE).sign(dialects.iter().cloned());
        if whole && self.probe("sign", value, &probe) { endpoint.sign(dialects) } else { endpoint }
    }

    fn dialect(&mut self, key: &str, value: &Value<'_>) -> Option<Dialect> {
        if let Some(name) = value.get_ref().as_str() {
            let dialect = Dialect::by_name(name);
            if dialect.is_none() {
                self.fault(value.span(), Some(key), unknown_scheme(name));
            }
            return dialect;
        }
        let described = value.get_ref().as_table().filter(|table| table.len() == 1);
        let Some(hmac) = described.and_then(|table| table.get("hmac")) else {
            let what = "this is neither the name of a scheme nor { hmac = { header = \"...\" } }";
            self.fault(value.span(), Some(key), what);
            return None;
        };
        self.hmac(&format!("{key}.hmac"), hmac)
    }

    fn hmac(&mut self, key: &str, value: &Value<'_>) -> Option<Dialect> {
        let Some(table) = value.get_ref().as_table() else {
            self.fault(value.span(), Some(key), "this is not a table; write { header = \"...\" }");
            return None;
        };
        let faults = self.faults.len();
        for (name, value) in table {
            let (name, at) = (name.get_ref().as_ref(), name.span());
            if !HMAC_KEYS.contains(&name) {
                self.fault(at, Some(&format!("{key}.{name}")), unknown_key(name, &HMAC_KEYS));
            } else {
                self.strings(&format!("{key}.{name}"), value, |_| Endpoint::new("unnamed", ANYWHERE));
            }
        }
        let algorithm = self.one_of(key, table, "algorithm", ["sha256", "sha512"]);
        let encoding = self.one_of(key, table, "encoding", ["hex", "base64"]);
        let unit = self.one_of(key, table, "timestamp", ["s", "ms"]);
        let form = self.one_of(key, table, "key", ["text", "bytes"]);
        let text = |name: &str| table.get(name).and_then(|value| value.get_ref().as_str()).map(str::to_string);
        let Some(header) = text("header") else {
            self.fault(value.span(), Some(&format!("{key}.header")), "the scheme has none; write header = \"x-...\"");
            return None;
        };
        let mut custom = if algorithm == "sha512" { Custom::sha512(header) } else { Custom::sha256(header) };
        if encoding == "base64" {
            custom = custom.base64();
        }
        if form == "bytes" {
            custom = custom.base64_keys();
        }
        let described = |custom: Custom, name: &str, with: fn(Custom, String) -> Custom| match text(name) {
            Some(text) => with(custom, text),
            None => custom,
        };
        custom = described(custom, "prefix", Custom::prefix);
        custom = described(custom, "id-header", Custom::id_header);
        custom = described(custom, "type-header", Custom::type_header);
        let stamp = if unit == "ms" { Custom::millis_header } else { Custom::timestamp_header };
        custom = described(custom, "timestamp-header", stamp);
        let custom = match text("content") {
            Some(content) => custom.content(&content),
            None => Ok(custom),
        };
        match custom.and_then(Dialect::hmac) {
            Ok(dialect) => (self.faults.len() == faults).then_some(dialect),
            Err(why) => {
                self.fault(value.span(), Some(key), why.to_string());
                None
            }
        }
    }

    /// One of two words, the first without any.
    fn one_of(&mut self, key: &str, table: &DeTable<'_>, name: &str, words: [&'static str; 2]) -> &'static str {
        let Some(value) = table.get(name) else { return words[0] };
        let found = value.get_ref().as_str().and_then(|text| words.into_iter().find(|word| *word == text));
        found.unwrap_or_else(|| {
            if value.get_ref().as_str().is_some() {
                self.fault(
                    value.span(),
                    Some(&format!("{key}.{name}")),
                    format!("this is none of {}", words.join(", ")),
                );
            }
            words[0]
        })
    }
}

/// The language of an endpoint's filter. One that is none is told of by its own key.
fn language(table: &DeTable<'_>) -> Language {
    let named = table.get("filter-language").and_then(|value| value.get_ref().as_str());
    named.and_then(Language::by_name).unwrap_or(Language::EventBridge)
}

fn unknown_language(name: &str) -> String {
    match nearest(name, &Language::ALL.map(Language::name)) {
        Some(meant) => format!("there is no such language of filters; did you mean \"{meant}\"?"),
        None => {
            let [one, other] = Language::ALL;
            format!("there is no such language of filters; there are {one} and {other}")
        }
    }
}

fn unknown_scheme(name: &str) -> String {
    let known = Dialect::NAMED.map(|dialect| dialect.name());
    match nearest(name, &known) {
        Some(meant) => format!("there is no such scheme; did you mean \"{meant}\"?"),
        None => format!("there is no such scheme; the schemes are {}, or {{ hmac = {{ .. }} }}", known.join(", ")),
    }
}

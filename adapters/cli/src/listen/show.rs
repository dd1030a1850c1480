//! What is printed of a webhook.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::receiver::Delivery;
use postrider_core::secret::KeyId;
use postrider_core::signing::Verified;
use postrider_core::signing::standard::{ID, TIMESTAMP};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::http::{Headers, Request, header};

/// Headers that are secrets.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-gitlab-token"];

/// A request that was accepted, and what is known of it.
pub(crate) struct Webhook<'r> {
    pub(super) request: &'r Request,
    /// Whose it is. None where nothing is verified.
    pub(super) scheme: Option<&'static str>,
    pub(super) key: Option<KeyId>,
    pub(super) id: Option<String>,
    pub(super) kind: Option<String>,
    /// When it was signed, in Unix seconds.
    pub(super) secs: Option<u64>,
    /// What the application wants of the body.
    pub(super) payload: &'r [u8],
}

impl<'r> Webhook<'r> {
    /// A request that nobody has verified, which is taken for Standard Webhooks.
    pub(super) fn unverified(request: &'r Request) -> Self {
        Self {
            request,
            scheme: None,
            key: None,
            id: text(&request.headers, ID).map(Into::into),
            kind: serde_json::from_slice(&request.body).ok().map(|envelope: Envelope| envelope.r#type),
            secs: text(&request.headers, TIMESTAMP).and_then(|secs| secs.parse().ok()),
            payload: &request.body,
        }
    }

    /// A request that was verified.
    pub(super) fn verified(request: &'r Request, scheme: &'static str, verified: &'r Verified<'_>) -> Self {
        Self {
            request,
            scheme: Some(scheme),
            key: Some(verified.key()),
            id: verified.id().map(Into::into),
            kind: verified.kind().map(Into::into),
            secs: verified.timestamp().map(|time| time.as_secs()),
            payload: verified.payload(),
        }
    }

    /// A request that was verified before it was stored.
    pub(crate) fn stored(request: &'r Request, delivery: &'r Delivery) -> Self {
        Self {
            request,
            scheme: Some(delivery.scheme().name()),
            key: Some(delivery.key()),
            id: delivery.event_id().map(Into::into),
            kind: delivery.kind().map(Into::into),
            secs: delivery.timestamp().map(|time| time.as_secs()),
            payload: delivery.payload(),
        }
    }

    /// One line for a person.
    pub(crate) fn plain(&self, answered: Option<u16>) -> String {
        let id = self.id.as_deref().unwrap_or("(no id)");
        let kind = self.kind.as_deref().unwrap_or("(no type)");
        let attempt = text(&self.request.headers, "postrider-attempt");
        let attempt = attempt.map(|n| format!(", attempt {}", n.escape_default())).unwrap_or_default();
        let answered = answered.map(|status| format!(", answered {status}")).unwrap_or_default();
        let bytes = self.request.body.len();
        // What is printed on a terminal comes from outside: nothing in it may steer the terminal.
        format!("{} {} {bytes} bytes{attempt}{answered}", id.escape_default(), kind.escape_default())
    }

    /// A JSON object in one line.
    pub(crate) fn json(&self, answered: Option<u16>) -> String {
        let headers: serde_json::Map<String, serde_json::Value> = self
            .request
            .headers
            .iter()
            .filter(|(name, _)| ["postrider-", "ce-"].iter().any(|front| name.to_ascii_lowercase().starts_with(front)))
            .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into()))
            .collect();
        let mut line = serde_json::json!({
            "id": self.id,
            "type": self.kind,
            "timestamp": self.secs,
            "headers": headers,
        });
        if let (Some(scheme), Some(key)) = (self.scheme, self.key) {
            line["scheme"] = scheme.into();
            line["key"] = key.to_string().into();
        }
        if let Some(status) = answered {
            line["answered"] = status.into();
        }
        let (key, body) = match std::str::from_utf8(&self.request.body) {
            Ok(text) => ("body", text.to_string()),
            Err(_) => ("body_base64", STANDARD.encode(&self.request.body)),
        };
        line[key] = body.into();
        line.to_string()
    }

    /// Several lines for a person: the request line, what is known, the headers, and the body laid out by its kind.
    pub(super) fn pretty(&self, whom: &dyn fmt::Display, answered: Option<u16>) -> String {
        let Self { request, .. } = self;
        let mut out = format!("{} {} from {whom}\n", request.method, safe(&request.target));
        let known = [
            ("scheme", self.scheme.map(Into::into)),
            ("key", self.key.map(|key| key.to_string())),
            ("id", self.id.clone()),
            ("type", self.kind.clone()),
            ("signed at", self.secs.map(|secs| secs.to_string())),
            ("answered", answered.map(|status| status.to_string())),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                _ = writeln!(out, "  {name:<9} {}", safe(&value));
            }
        }
        for (name, value) in &request.headers {
            let hidden = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
            let value = if hidden { "(not shown)".into() } else { safe(&String::from_utf8_lossy(value)) };
            _ = writeln!(out, "  {}: {value}", name.to_ascii_lowercase());
        }
        out.push('\n');
        for line in self.body().lines() {
            _ = writeln!(out, "  {}", safe(line));
        }
        out
    }

    fn body(&self) -> String {
        let Ok(text) = std::str::from_utf8(self.payload) else {
            return format!("({} bytes that are no text)", self.payload.len());
        };
        let form = header(&self.request.headers, "content-type").is_some_and(|kind| {
            let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            indented(text)
        } else if form {
            text.split('&').map(|pair| pair.replacen('=', " = ", 1) + "\n").collect()
        } else {
            text.into()
        }
    }
}

/// What is read of a body that is an envelope.
#[derive(Deserialize)]
struct Envelope {
    r#type: String,
}

fn text<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
    header(headers, name).and_then(|value| std::str::from_utf8(value).ok())
}

/// Text in which nothing steers a terminal or turns its direction.
fn safe(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::new();
    for c in text.chars() {
        if steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON with a line for each member, otherwise as it is written: the order of keys and the digits of numbers stay.
fn indented(json: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_not_rewritten() {
        let text = "{\"b\":[1.0,{}, [ ]],\"a\":{\"x\\\"{,\":\"\\\\\",\"n\":1e400}} ";
        let wanted = "{\n  \"b\": [\n    1.0,\n    {},\n    []\n  ],\n  \"a\": {\n    \"x\\\"{,\": \"\\\\\",\n    \"n\": 1e400\n  }\n}";
        assert_eq!(indented(text), wanted);
        assert_eq!(indented("7"), "7");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(safe("a\u{1b}[2J\u{202e}é\t"), "a\\u{1b}[2J\\u{202e}é\\t");
    }
}

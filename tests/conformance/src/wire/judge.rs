//! What a driver made of a response, compared with what a case says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::limits::ANSWER_KEPT;
use postrider_core::response::{Phase, TransportError};
use serde_json::Value;

use super::{Ended, Exchange, SHORT, Seen};
use crate::case::Case;
use crate::ops::Told;

/// The part of its time that an attempt must have lasted to have lasted until its deadline.
const MOST: f64 = 0.9;

/// The size that a response's head may have by default. An error about sizes is about the head beyond it.
const HEAD_BYTES: usize = 32 * 1024;

/// Errors about what a head says.
const OF_HEADS: [&str; 7] = [
    "status-line",
    "version",
    "content-length",
    "transfer-encoding",
    "framing-conflict",
    "unexpected-upgrade",
    "incomplete-head",
];

impl Seen {
    /// Whether what was seen is what the case says, in the driver's words.
    pub(crate) fn judge(&self, case: &Case) -> Result<Told, String> {
        let (told, open) = self.exchanges.as_ref().map_err(|why| format!("a malformed case: {why}"))?;
        if let Ended::Odd(why) = &told.ended {
            return Err(why.clone());
        }
        let bare_head = ["HEAD", "CONNECT"].contains(&case.input.maybe_text("request_method")?.unwrap_or("POST"));
        let raw = case.input.bytes("raw_b64")?;
        // What a bare head leaves on the connection belongs to the body for a driver that sent a POST.
        let reused = !bare_head && (told.reused || open.as_ref().is_some_and(|open| open.reused));
        let facts = Facts { exchange: told, reused, bare_head, head: final_head(&raw) };
        Ok(Told { passes: case.allowed().any(|expected| facts.fit(expected)), got: facts.told() })
    }
}

/// What is compared.
struct Facts<'a> {
    exchange: &'a Exchange,
    reused: bool,
    /// The response is one to a method whose responses have no body, which we never send.
    bare_head: bool,
    /// The final head with its empty line, if it has an end.
    head: Option<&'a [u8]>,
}

impl Facts<'_> {
    fn fit(&self, expected: &Value) -> bool {
        match expected["outcome"].as_str() {
            Some("response") => self.is_response(expected),
            Some("error") => !self.reused && self.is_error(expected),
            Some("need-more") => !self.reused && self.has_lasted(expected),
            _ => false,
        }
    }

    fn is_response(&self, expected: &Value) -> bool {
        let Ended::Reply { status, body } = &self.exchange.ended else { return false };
        let wanted = expected["body_b64"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let kept = |wanted: Vec<u8>| *body == wanted[..wanted.len().min(ANSWER_KEPT)];
        let same_body = self.bare_head || expected["body_b64"].is_null() || wanted.is_some_and(kept);
        let closes = expected["connection"] == "close";
        expected["status"] == *status && same_body && !(closes && self.reused)
    }

    fn is_error(&self, expected: &Value) -> bool {
        match &self.exchange.ended {
            Ended::Failed(TransportError::TimedOut(_)) | Ended::Odd(_) => false,
            Ended::Failed(_) => true,
            // The status stands, whatever becomes of the body.
            Ended::Reply { status, .. } => {
                let seen = expected.get("status_line_seen").is_none_or(|seen| *seen == *status);
                seen && self.is_in_body(expected["reason"].as_str().unwrap_or_default())
            }
        }
    }

    /// Whether an error of this name lies behind the final head: the head is sound, and the error is none about what a head
    /// says. Behind a head without chunks nothing has lines, only an end.
    fn is_in_body(&self, reason: &str) -> bool {
        let Some(head) = self.head.filter(|head| head.len() <= HEAD_BYTES && is_sound(head)) else { return false };
        let chunks = String::from_utf8_lossy(head).to_ascii_lowercase().contains("chunked");
        let of_an_end = ["truncated", "body"].iter().any(|kind| reason.starts_with(kind));
        !OF_HEADS.contains(&reason) && (chunks || of_an_end)
    }

    fn has_lasted(&self, expected: &Value) -> bool {
        let lasted = self.exchange.took >= SHORT.mul_f64(MOST);
        let so_far = match &self.exchange.ended {
            Ended::Failed(error) => *error == TransportError::TimedOut(Phase::Head),
            Ended::Reply { status, .. } => expected["status_line_seen"] == *status,
            Ended::Odd(_) => false,
        };
        lasted && so_far
    }

    /// In words that do not change from run to run.
    fn told(&self) -> String {
        let mut text = match &self.exchange.ended {
            Ended::Reply { status, body } => {
                format!("response, status {status}, body_b64 \"{}\"", STANDARD.encode(body))
            }
            Ended::Failed(error) => format!("error, {}", error.code()),
            Ended::Odd(why) => why.clone(),
        };
        if self.reused {
            text += ", and the connection was used again";
        }
        text
    }
}

/// The final head: up to the first empty line that ends no interim head (1xx other than 101).
fn final_head(raw: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let end = from + raw[from..].windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let status = raw[from..].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if status.first() != Some(&b'1') || status.starts_with(b"101") {
            return Some(&raw[from..end]);
        }
        from = end;
    }
}

/// Whether each line of a head is one by the letter: a name, a colon and a value without control characters.
fn is_sound(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let clean = |text: &str| text.chars().all(|c| c == '\t' || !c.is_ascii_control());
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    lines.next().is_some_and(clean)
        && lines.all(|line| {
            let split = line.split_once(':');
            split.is_some_and(|(name, value)| !name.is_empty() && name.chars().all(is_token) && clean(value))
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use serde_json::json;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn facts(exchange: &Exchange, reused: bool) -> Facts<'_> {
        Facts { exchange, reused, bare_head: false, head: Some(HEAD) }
    }

    fn exchange(ended: Ended, took: Duration) -> Exchange {
        Exchange { ended, took, reused: false }
    }

    fn reply(status: u16, body: &[u8]) -> Exchange {
        exchange(Ended::Reply { status, body: body.to_vec() }, Duration::ZERO)
    }

    #[test]
    fn a_response_is_its_status_and_body_and_where_it_must_its_end() {
        let reply = reply(200, b"ok");
        let fits = |reused, expected: Value| facts(&reply, reused).fit(&expected);
        let right = json!({ "outcome": "response", "status": 200, "body_b64": "b2s=", "connection": "reuse" });
        assert!(fits(true, right.clone()) && fits(false, right));
        let close = json!({ "outcome": "response", "status": 200, "body_b64": "b2s=", "connection": "close" });
        assert!(!fits(true, close.clone()) && fits(false, close));
        assert!(!fits(false, json!({ "outcome": "response", "status": 201, "body_b64": "b2s=" })));
        assert!(!fits(false, json!({ "outcome": "response", "status": 200, "body_b64": "" })));
        assert!(!fits(false, json!({ "outcome": "error", "reason": "status-line" })));
        assert!(!fits(false, json!({ "outcome": "something" })));
    }

    #[test]
    fn an_error_behind_the_head_leaves_the_status() {
        let reply = reply(200, b"a");
        let error = |reason: &str| json!({ "outcome": "error", "reason": reason });
        assert!(facts(&reply, false).fit(&error("chunk-size")));
        assert!(!facts(&reply, true).fit(&error("chunk-size")), "it was used again");
        assert!(!facts(&reply, false).fit(&error("content-length")), "that is in the head");
        assert!(facts(&reply, false).fit(&error("header")), "a trailer's, since the head is sound");
        assert!(facts(&reply, false).fit(&error("too-large")));
        let plain = Facts { head: Some(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"), ..facts(&reply, false) };
        assert!(plain.fit(&error("truncated-body")) && !plain.fit(&error("header")));
        let large = [b"HTTP/1.1 200 OK\r\nX-A: ".as_slice(), &vec![b'a'; HEAD_BYTES], b"\r\n\r\n"].concat();
        for head in
            [b"HTTP/1.1 200 OK\r\n X-A: b\r\n\r\n".as_slice(), b"HTTP/1.1 200 OK\r\nX-A: b\nc: d\r\n\r\n", &large]
        {
            let facts = Facts { head: Some(head), ..facts(&reply, false) };
            assert!(!facts.fit(&error("header")) && !facts.fit(&error("too-large")));
        }
        assert!(!facts(&reply, false).fit(&json!({ "outcome": "error", "reason": "chunk", "status_line_seen": 201 })));
        let failed = exchange(Ended::Failed(TransportError::MalformedHead), Duration::ZERO);
        assert!(facts(&failed, false).fit(&error("header")));
        let late = exchange(Ended::Failed(TransportError::TimedOut(Phase::Head)), SHORT);
        assert!(!facts(&late, false).fit(&error("header")), "it was not noticed");
    }

    #[test]
    fn what_needs_more_lasts_until_the_deadline() {
        let more = json!({ "outcome": "need-more" });
        let late = exchange(Ended::Failed(TransportError::TimedOut(Phase::Head)), SHORT);
        assert!(facts(&late, false).fit(&more));
        let early = exchange(Ended::Failed(TransportError::TimedOut(Phase::Head)), Duration::ZERO);
        assert!(!facts(&early, false).fit(&more));
        let body = json!({ "outcome": "need-more", "status_line_seen": 200 });
        let late = exchange(Ended::Reply { status: 200, body: Vec::new() }, SHORT);
        assert!(facts(&late, false).fit(&body) && !facts(&late, false).fit(&more));
    }

    #[test]
    fn the_final_head_ends_at_its_empty_line() {
        let whole = b"HTTP/1.1 200 OK\r\n\r\n".as_slice();
        assert_eq!(final_head(b"HTTP/1.1 200 OK\r\n\r\nx"), Some(whole));
        assert_eq!(final_head(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx"), Some(whole));
        assert_eq!(final_head(b"HTTP/1.1 101 S\r\n\r\nxxxx\r\n\r\n"), Some(b"HTTP/1.1 101 S\r\n\r\n".as_slice()));
        assert_eq!(final_head(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(final_head(b""), None);
        assert!(is_sound(whole) && is_sound(HEAD) && !is_sound(b"a\rb\r\n\r\n"));
    }
}

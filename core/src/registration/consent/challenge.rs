//! The challenge: an event that only the owner of an endpoint can answer rightly.
//!
//! A signed `endpoint.verify` event is posted to the endpoint as any event is, with a fresh token in its data:
//!
//! ```json
//! {"type":"endpoint.verify","timestamp":"2026-11-21T15:00:00.000Z","data":{"challenge":"TOKEN"}}
//! ```
//!
//! Consent is a status of 2xx and a body that is one of
//!
//! * the token alone, as text;
//! * a JSON string that is the token: `"TOKEN"`;
//! * a JSON object whose member `challenge` is the token: `{"challenge":"TOKEN"}`; other members are ignored.
//!
//! Blanks and line ends around each are ignored, `content-type` is not looked at, and only the first
//! [`ECHO_BYTES`] of the body are. A site that merely repeats what it is sent does not consent: it repeats the whole
//! event, in which the token does not stand where the answer has it.

use alloc::string::String;
use core::fmt;

use serde_json::Value;

use super::Token;

/// The type of the event that asks.
pub const CHALLENGE_TYPE: &str = "endpoint.verify";

/// Bytes of an answer's body that are looked at; a longer body is no echo.
pub const ECHO_BYTES: usize = 4096;

/// The data of the event that asks, as JSON text: `{"challenge":"TOKEN"}`.
///
/// It holds a secret: it is for the request alone.
pub fn challenge_data(token: &Token) -> String {
    // A token has no character that JSON would escape.
    alloc::format!("{{\"challenge\":\"{}\"}}", token.expose())
}

/// Whether an answer gives consent: its status, and what was kept of its body.
pub fn read_echo(token: &Token, status: u16, body: &[u8]) -> Result<(), EchoError> {
    if !(200..300).contains(&status) {
        return Err(EchoError::Status(status));
    }
    if body.len() > ECHO_BYTES {
        return Err(EchoError::TooLong);
    }
    let text = body.trim_ascii();
    if text.is_empty() {
        return Err(EchoError::Empty);
    }
    let echoed = match serde_json::from_slice(text) {
        Ok(Value::String(echo)) => token.is(echo.as_bytes()),
        Ok(Value::Object(members)) => match members.get("challenge") {
            Some(Value::String(echo)) => token.is(echo.as_bytes()),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
        },
        // A token of digits alone is a number to JSON.
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => token.is(text),
    };
    if echoed { Ok(()) } else { Err(EchoError::Other) }
}

/// Why an answer to a challenge is no consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know what was said")]
pub enum EchoError {
    /// The status is not 2xx.
    Status(u16),
    /// There is no body.
    Empty,
    /// The body is longer than an echo.
    TooLong,
    /// The body is not the token.
    Other,
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the challenge was answered with status {status}, 2xx is needed"),
            Self::Empty => f.write_str("the challenge was answered without a body; it must be the challenge's token"),
            Self::TooLong => {
                write!(f, "the challenge was answered with more than {ECHO_BYTES} bytes; it must be the token")
            }
            Self::Other => f.write_str("the challenge was answered with something else than its token"),
        }
    }
}

impl core::error::Error for EchoError {}

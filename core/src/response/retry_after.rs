//! The `Retry-After` field: RFC 9110 section 10.2.3.

use super::http_date;
use crate::limits::RETRY_AFTER_CAP;
use crate::time::UnixTime;
use core::time::Duration;

/// How long the receiver asked to be left alone, counted from the time of its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    asked: Option<Duration>,
}

impl Hint {
    /// What was asked for, however long; `None` when nothing was asked for, or nothing that can be read.
    pub const fn asked(self) -> Option<Duration> {
        self.asked
    }

    /// What is honoured: what was asked for, but at most [`RETRY_AFTER_CAP`].
    pub fn floor(self) -> Option<Duration> {
        self.asked.map(|asked| asked.min(RETRY_AFTER_CAP))
    }

    /// What was asked for, when it is more than is honoured.
    pub fn above_cap(self) -> Option<Duration> {
        self.asked.filter(|asked| *asked > RETRY_AFTER_CAP)
    }
}

/// Reads the `Retry-After` lines of a response that came at `wall`.
///
/// A value is a number of seconds or an HTTP-date, with spaces and tabs around it ignored. A number too large for
/// 64 bits counts as the largest; a date that has passed as zero. Dates count from `date` (the response's own `Date`,
/// if it had a valid one), since the receiver wrote both by the same clock, else from `wall`. What is neither is
/// ignored. The field may be sent only once; of several lines the longest wait is taken, so that no line's wish is
/// violated, and a list in one line is no valid value.
pub fn retry_after<'a>(values: impl IntoIterator<Item = &'a [u8]>, wall: UnixTime, date: Option<UnixTime>) -> Hint {
    let from = date.unwrap_or(wall);
    let asked = values.into_iter().filter_map(|value| {
        let value = trim(value);
        if is_number(value) {
            Some(Duration::from_secs(number(value)))
        } else {
            http_date::parse(value, wall).map(|until| until.saturating_since(from))
        }
    });
    Hint { asked: asked.max() }
}

/// The value without optional whitespace (RFC 9110 section 5.6.3) around it.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether the value is `delay-seconds`: one or more digits.
pub(super) fn is_number(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value: u64, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

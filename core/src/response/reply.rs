//! What is kept of a response.

use super::http_date;
use super::retry_after::{Hint, is_number, retry_after, trim};
use crate::time::UnixTime;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// `Retry-After` lines of one response that are kept; those after them are not looked at.
pub const RETRY_AFTER_LINES: usize = 4;

/// Header lines that are kept whole, for whoever asked in the request; see [`Reply::kept`].
const KEPT: [&str; 4] = ["webhook-allowed-origin", "webhook-allowed-rate", "postrider-key-used", "postrider-receipt"];

/// Lines of one such name that are kept: one more than anybody looks at, so that too many are seen to be.
const KEPT_LINES: usize = 5;

/// Bytes of one such line that are kept: longer ones mean nothing, and are cut to one byte more than means anything.
const KEPT_BYTES: usize = 254;

/// The status line without its reason: `HTTP/1.1 200 `, and the line's end.
const STATUS_LINE: usize = 15;

/// A response head, of which only that is kept which is read later, and perhaps the start of the body.
///
/// An adapter makes one of the final response (never of a 1xx), gives it every header line in order, and asks
/// [`exceeds`](Self::exceeds) whether the head is too large; the caps of HTTP libraries are not exact.
///
/// ```
/// use postrider_core::response::Reply;
///
/// let lines = [("content-length", "2"), ("retry-after", "120")];
/// let reply = Reply::new(429).headers(lines).with_body(b"no".as_slice().into());
/// assert_eq!(reply.status(), 429);
/// assert!(!reply.exceeds(32 * 1024));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    status: u16,
    head_bytes: usize,
    date: Option<Line>,
    retry_after: Vec<Line>,
    kept: Vec<(&'static str, Box<[u8]>)>,
    body: Option<Bytes>,
}

impl Reply {
    /// A response with this status and no header lines yet. Any number is accepted, since peers send any.
    pub const fn new(status: u16) -> Self {
        Self { status, head_bytes: STATUS_LINE, date: None, retry_after: Vec::new(), kept: Vec::new(), body: None }
    }

    /// The reply with a further header line: counted, and kept if it is read later.
    ///
    /// Names are compared without case. Of several `Date` lines the first that can be a date is kept, of
    /// `Retry-After` lines the first [`RETRY_AFTER_LINES`] that can mean something, and the first 5 of each that
    /// [`kept`](Self::kept) gives.
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.head_bytes = self.head_bytes.saturating_add(name.len()).saturating_add(value.len()).saturating_add(4);
        if name.eq_ignore_ascii_case("retry-after") {
            if self.retry_after.len() < RETRY_AFTER_LINES {
                self.retry_after.extend(Line::new(value));
            }
        } else if name.eq_ignore_ascii_case("date") && self.date.is_none() {
            self.date = Line::new(value);
        } else if let Some(name) = KEPT.into_iter().find(|kept| name.eq_ignore_ascii_case(kept))
            && self.kept.iter().filter(|(kept, _)| *kept == name).count() < KEPT_LINES
        {
            self.kept.push((name, trim(value).iter().copied().take(KEPT_BYTES).collect()));
        }
        self
    }

    /// The reply with further header lines; takes an `&http::HeaderMap` and any list of pairs.
    pub fn headers<N: AsRef<str>, V: AsRef<[u8]>>(self, lines: impl IntoIterator<Item = (N, V)>) -> Self {
        lines.into_iter().fold(self, |reply, (name, value)| reply.header(name.as_ref(), value.as_ref()))
    }

    /// The reply with the start of its body. An adapter keeps at most `Limits::response_kept` bytes.
    pub fn with_body(self, body: Bytes) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The reply with at most `max` bytes of body, and no memory held for those cut off.
    pub fn cut_body(mut self, max: usize) -> Self {
        if let Some(body) = self.body.as_mut().filter(|body| body.len() > max) {
            *body = Bytes::copy_from_slice(&body[..max]);
        }
        self
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// How large the head is: each line's name, value and 4 bytes (as HTTP/1.1 would write it), and 15 for the
    /// status line without its reason.
    pub const fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Whether the head has more than `limit` bytes. The attempt is then reported as
    /// [`HeadTooLarge`](super::TransportError::HeadTooLarge).
    pub const fn exceeds(&self, limit: usize) -> bool {
        self.head_bytes > limit
    }

    /// What was kept of the body, if anything.
    pub const fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// What the receiver says beside its status, in order: the lines of `WebHook-Allowed-Origin` and `-Rate`, which answer a
    /// handshake, of `postrider-key-used`, in which our receivers name the key that verified, and of `postrider-receipt`.
    /// Names are in lower case.
    pub fn kept(&self) -> &[(&'static str, Box<[u8]>)] {
        &self.kept
    }

    /// Whether nothing has been kept but the status.
    pub(crate) fn is_bare(&self) -> bool {
        self.date.is_none() && self.retry_after.is_empty() && self.kept.is_empty() && self.body.is_none()
    }

    /// The lines that a verdict reads, for a trace: `Date`, and those of `Retry-After`.
    pub(crate) fn lines(&self) -> (Option<&[u8]>, impl ExactSizeIterator<Item = &[u8]>) {
        (self.date.as_ref().map(Line::as_bytes), self.retry_after.iter().map(Line::as_bytes))
    }

    /// What the receiver asked for by `Retry-After`, where `wall` is the time at which the reply came.
    pub fn hint(&self, wall: UnixTime) -> Hint {
        let date = self.date.as_ref().and_then(|line| http_date::parse(line.as_bytes(), wall));
        retry_after(self.retry_after.iter().map(Line::as_bytes), wall, date)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("head_bytes", &self.head_bytes)
            .field("date", &self.date)
            .field("retry_after", &self.retry_after)
            .field("kept", &self.kept.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish()
    }
}

/// A field value that may be a date or a number of seconds. Nothing longer than the longest HTTP-date is either,
/// except for numbers with needless zeros, which are dropped, or so large that cutting digits changes nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Line {
    /// The longest HTTP-date: `Wednesday, 21-Oct-15 07:28:00 GMT`.
    const MAX: usize = 33;

    fn new(value: &[u8]) -> Option<Self> {
        let mut value = trim(value);
        if is_number(value) {
            let zeros = value.iter().take_while(|b| **b == b'0').count().min(value.len() - 1);
            value = &value[zeros..];
            value = &value[..value.len().min(Self::MAX)];
        }
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..value.len()).filter(|kept| !kept.is_empty())?.copy_from_slice(value);
        Some(Self { len: u8::try_from(value.len()).expect("at most Line::MAX"), bytes })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

//! In which order events are delivered, for those who ask for one.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::delivery::Delivery;
use super::lines::Bounds;
use crate::signing::standard;

/// Bytes of a line's name that are kept as they are. A longer one is known by its digest.
const NAME: usize = 128;

/// The order in which events are delivered, where it matters; see [`ReceiverConfig::order`](super::ReceiverConfig::order).
///
/// Events that belong together, by a key, form a line, and each has a place in it. Of a line at most one event is with the
/// application at a time, and what comes before its turn is held until what is missing has come: at most
/// [`held`](Self::held) events for at most [`hold`](Self::hold). Then the gap is told
/// ([`RecvNotice::Gap`](super::RecvNotice::Gap)) and passed. An event that is held is not acknowledged: its sender waits, and
/// if he gives up he sends it again, which finds it held or delivered. So nothing is lost whatever happens meanwhile, and
/// [`hold`](Self::hold) should be shorter than what senders wait for an answer.
///
/// Whatever comes after a later event of its line has been done is late. It is delivered, and
/// [`Delivery::is_late`] says so, unless [`drop_late`](Self::drop_late) has it answered as done instead.
///
/// The machine remembers the last place of a line as long as it lives, and of those lines that nobody is in at most
/// [`lines`](Self::lines); a store of claims ([`ReceiverConfig::claims`](super::ReceiverConfig::claims)) remembers them over
/// restarts and for several instances. Of a line that nobody remembers the first event is held like one before which
/// something is missing, unless it is the first of all.
#[derive(Clone)]
pub struct Order {
    by: By,
    hold: Duration,
    each: usize,
    all: usize,
    lines: usize,
    drop_late: bool,
}

#[derive(Clone)]
enum By {
    Headers,
    Sequence(Reader),
    Version(Reader),
}

/// What tells the line of an event and its place in it; `None` for events in no order.
type Reader = Arc<dyn Fn(&Delivery) -> Option<(String, u64)> + Send + Sync>;

/// A place in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line, with whose it is.
    pub(super) line: Arc<str>,
    pub(super) at: u64,
    /// The place that must have ended before; `None` when any order upward will do, or when this is the first.
    pub(super) after: Option<u64>,
}

impl Order {
    /// By what Postrider's senders say of events with an ordering key: `postrider-key`, `postrider-sequence` and
    /// `postrider-previous-sequence`. Events without them are in no order.
    ///
    /// The signature does not cover these headers: somebody between sender and receiver, behind TLS, can change the order, or
    /// have an event called late.
    pub fn by_headers() -> Self {
        Self::of(By::Headers)
    }

    /// By a key and a number that counts by ones from 1, which the application reads from an event. `None` for an event
    /// in no order.
    pub fn by_sequence(read: impl Fn(&Delivery) -> Option<(String, u64)> + Send + Sync + 'static) -> Self {
        Self::of(By::Sequence(Arc::new(read)))
    }

    /// By a key and a version that rises, by whatever steps (a number, a time): nothing is missing between two versions, so
    /// nothing is held but what comes while another event of its key is with the application. `None` for an event in no
    /// order.
    pub fn by_version(read: impl Fn(&Delivery) -> Option<(String, u64)> + Send + Sync + 'static) -> Self {
        Self::of(By::Version(Arc::new(read)))
    }

    fn of(by: By) -> Self {
        Self { by, hold: Duration::from_secs(5), each: 32, all: 1024, lines: 100_000, drop_late: false }
    }

    /// Sets how long an event waits for what comes before it: 5 s without it.
    #[must_use]
    pub fn hold(self, time: Duration) -> Self {
        Self { hold: time, ..self }
    }

    /// Sets how many events of a line are held (32 without it), and how many of all lines (1,024). Of a line with one more the
    /// first is passed; where that is not enough the answer is 503. Each keeps its head and its body in memory.
    #[must_use]
    pub fn held(self, each: usize, all: usize) -> Self {
        Self { each: each.max(1), all, ..self }
    }

    /// Sets how many lines that nobody is in are remembered, the most recent ones: 100,000 without it, with some 200 bytes
    /// each and the key.
    #[must_use]
    pub fn lines(self, lines: usize) -> Self {
        Self { lines, ..self }
    }

    /// Has late events answered as done without being delivered: for updates that are of no use after a newer one.
    #[must_use]
    pub fn drop_late(self) -> Self {
        Self { drop_late: true, ..self }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { hold: self.hold, each: self.each, all: self.all, lines: self.lines, late: !self.drop_late }
    }

    /// Where an event stands.
    pub(super) fn place(&self, delivery: &Delivery) -> Option<Place> {
        let (name, at, after) = match &self.by {
            By::Headers => {
                let headers = delivery.headers();
                let after = number(headers, standard::PREVIOUS_SEQUENCE);
                (text(headers, standard::KEY)?.into(), number(headers, standard::SEQUENCE)?, after)
            }
            By::Sequence(read) => {
                let (name, at) = read(delivery)?;
                (name, at, at.checked_sub(1).filter(|before| *before > 0))
            }
            By::Version(read) => {
                let (name, at) = read(delivery)?;
                (name, at, None)
            }
        };
        let after = after.filter(|before| *before < at);
        Some(Place { line: line(delivery.scope(), &name), at, after })
    }
}

/// A line is one scope's.
fn line(scope: u32, name: &str) -> Arc<str> {
    if name.len() <= NAME {
        return format!("{scope}/line/{name}").into();
    }
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().fold(format!("{scope}/line#"), |text, byte| format!("{text}{byte:02x}")).into()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut said = headers.get_all(name).iter();
    let (Some(said), None) = (said.next(), said.next()) else { return None };
    said.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let digits = text(headers, name)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            By::Headers => "headers",
            By::Sequence(_) => "sequence",
            By::Version(_) => "version",
        };
        f.debug_struct("Order")
            .field("by", &by)
            .field("hold", &self.hold)
            .field("each", &self.each)
            .field("all", &self.all)
            .field("lines", &self.lines)
            .field("drop_late", &self.drop_late)
            .finish()
    }
}

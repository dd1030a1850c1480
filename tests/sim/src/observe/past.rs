//! What a node tells of the past: questions, and answers in plain values.

use bytes::Bytes;

use super::Fate;

/// What somebody asks of a node's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// One event with all its deliveries and their attempts.
    Event {
        /// Whose.
        tenant: u32,
        /// Which.
        event: u64,
    },
    /// A page of a list of deliveries that have ended, the newest first.
    List(List<'a>),
    /// How many deliveries have ended in each way.
    Counts,
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    /// Whose deliveries.
    pub of: Of,
    /// Only those that ended so; all, if there is none.
    pub ends: &'a [Fate],
    /// Only those that ended at or after this time: milliseconds since 1970.
    pub from: u64,
    /// Only those that ended before this time.
    pub to: u64,
    /// Only those behind this place: where an earlier page ended.
    pub after: Option<Spot>,
    /// So many at most.
    pub limit: usize,
}

impl List<'_> {
    /// Whether nothing is left out by ends or times.
    pub fn is_whole(&self) -> bool {
        self.ends.is_empty() && self.from == 0 && self.to == u64::MAX
    }
}

/// Whose deliveries a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those of an endpoint.
    Endpoint(u32),
    /// Those of a tenant that were given up.
    DeadLetters(u32),
    /// Those of all tenants that were given up.
    AllDeadLetters,
}

/// The place of an ended delivery in every list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// Which of those that ended then.
    pub record: u64,
}

/// What a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recalled<'a> {
    /// What is known of an event, if anything is.
    Event(Option<Past<'a>>),
    /// A page of a list.
    Page {
        /// Its entries.
        items: &'a [Ended],
        /// Where the next page begins; `None` at the end.
        next: Option<Spot>,
    },
    /// How many deliveries are kept that have been delivered, exhausted, refused, discarded, expired, lost, superseded.
    Counts([u64; 7]),
    /// It cannot answer, and says why.
    Failed(&'a str),
}

/// An event, as history has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past<'a> {
    /// Which event.
    pub event: u64,
    /// Whose.
    pub tenant: u32,
    /// Its dotted type.
    pub event_type: &'a str,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted: u64,
    /// When the last of its deliveries ended; `None` while one has not.
    pub ended: Option<u64>,
    /// Bytes that its payload has, or had.
    pub payload_len: u64,
    /// Its payload, if that is still there.
    pub payload: Option<&'a [u8]>,
    /// It was erased, or its tenant purged.
    pub erased: bool,
    /// Its attempts, and ends of deliveries without one, the oldest first.
    pub tries: &'a [Try],
    /// Attempts that are not named.
    pub more: u64,
}

/// An attempt, or the end of a delivery without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// To which endpoint; `None` when its registration is not known any more.
    pub endpoint: Option<u32>,
    /// The how-manieth; at an end without an attempt, how many there were before.
    pub number: u16,
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// What came of it.
    pub result: Came,
    /// What followed.
    pub fate: Fate,
    /// The beginning of the answer, where it is kept.
    pub answer: Option<Bytes>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A reply with this status.
    Status(u16),
    /// No reply: a short name for why.
    Failed(&'static str),
    /// There was no attempt.
    None,
}

/// A delivery that has ended, as a list has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its place in every list.
    pub spot: Spot,
    /// Which event, `u64::MAX` for one that the node made itself; `None` when that is not known any more.
    pub event: Option<u64>,
    /// To which endpoint.
    pub endpoint: u32,
    /// How it ended.
    pub fate: Fate,
    /// Attempts made.
    pub attempts: u16,
    /// What came of the last one.
    pub result: Came,
}

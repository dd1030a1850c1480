//! What a log still knows of deliveries that have ended: questions and answers.
//!
//! # What is kept
//!
//! An event with all its attempts is kept while it is pending and for [`Retention::attempts`] after it ended, its
//! payload for [`Retention::payloads`] and never longer than the event. In lists and counts a delivery stays that long
//! after its own end, so that a list may still name a delivery of an event that is pending, and no longer the first
//! deliveries of one that has been pending for longer than that. Budgets trim by the time of the end, the oldest first.
//! What was purged or erased, and what is beyond its retention, is not shown from that moment on; it leaves the disk
//! when its segment is next rewritten. Times are those of the wall clock, and retention is as exact as that was.
//!
//! # What it costs
//!
//! Each sealed segment (64 MiB) has an index, a tenth of its size or so for events of 1 KiB, that is searched with a few
//! reads of 4 KiB and never read whole. An event costs a search in each segment that could have it, and a read for each
//! attempt shown. A page costs a search in each segment for each kind of end, where the segment has any of the time asked
//! for, and three or so reads for each entry. Counts are in memory but for the segments in which retention ends just now.
//!
//! A segment is rewritten when half of it can go, when something in it was erased, and to join small ones. The segment
//! that is being written and the last one before it are not, and neither is one that two snapshots do not stand for yet:
//! what is erased there leaves the disk later, at once with [`care::compact`](crate::care::compact).
//!
//! # What it does not do
//!
//! * Budgets count sealed segments. What ended in the segment that is being written counts once that is sealed, so the
//!   bytes of ended events may exceed a budget by up to two segments: that one, and the one whose survey is under way.
//! * Budgets trim whole groups of a sixty-fourth of a segment's ended events, by time: a little more goes than must.
//! * What a budget has trimmed is written down in the indexes that are made afterwards, and nowhere else. If a process
//!   ends between trimming and the next index, or all indexes are lost, what was trimmed and not yet rewritten is shown
//!   again until the next process has tidied, which trims the same by the same budget. What is erased or purged is in
//!   records of the log and never shown again.
//! * An outcome names a subscription, and an endpoint has another one after it was removed, disabled or told to want
//!   something else. Whose the earlier ones were is known from the record that said so, and once that was rewritten from
//!   the indexes alone. If those are lost too (a crash just after the rewriting, damage), such outcomes are shown with
//!   their event, without the endpoint's name, are counted, and are in no list.
//! * [`EventHistory`] lists the first [`PAGE`] attempts of an event and says [how many](EventHistory::total) there are;
//!   the deliveries of an event beyond those are listed by endpoint, with [`Query::Endpoint`].

mod answer;
mod compact;
mod erasures;
mod file;
mod keep;
mod marks;
mod rows;
mod shelf;
mod survey;
mod tables;
mod walk;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::Then;
use postrider_core::response::{Outcome, Profile, Reply, TransportError, verdict};
use postrider_core::secret::KeyId;
use postrider_core::signing::receipt::ReceiptCheck;
use postrider_core::time::UnixTime;

pub(crate) use self::keep::History;

/// Entries on one page, at most.
pub const PAGE: usize = 1000;

/// A question about what has ended. What is still pending is the machine's to tell; see
/// [`Sender::report`](postrider_core::sender::Sender::report) and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// One event, with its deliveries and their attempts, whether it has ended or not: [`Answer::Event`].
    Event {
        /// Whose.
        tenant: TenantId,
        /// Which; the newest of this id that is kept.
        event: EventId,
    },
    /// Ended deliveries of an endpoint, the newest first: [`Answer::Deliveries`].
    Endpoint {
        /// Which.
        endpoint: EndpointKey,
        /// Only those that ended so; all when it is empty.
        ends: Vec<End>,
        /// Only those that ended at or after this time.
        from: UnixTime,
        /// Only those that ended before this time.
        to: UnixTime,
        /// Where to go on.
        page: Paging,
    },
    /// Ended deliveries of a tenant that were given up (the dead letters), the newest first: [`Answer::Deliveries`].
    Exhausted {
        /// Whose.
        tenant: TenantId,
        /// Only those that ended at or after this time.
        from: UnixTime,
        /// Only those that ended before this time.
        to: UnixTime,
        /// Where to go on.
        page: Paging,
    },
    /// The same of all tenants: [`Answer::Deliveries`]. A page costs a search more for each tenant that has any in a
    /// segment.
    GivenUp {
        /// Only those that ended at or after this time.
        from: UnixTime,
        /// Only those that ended before this time.
        to: UnixTime,
        /// Where to go on.
        page: Paging,
    },
    /// How many deliveries are kept that ended in each way: [`Answer::Counts`].
    Counts,
    /// How far back anything is kept: [`Answer::Since`].
    Since,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows an end must show each")]
pub enum End {
    /// The receiver took it.
    Delivered = 0,
    /// No attempt was left.
    Exhausted = 1,
    /// It must not be tried again.
    Refused = 2,
    /// Its endpoint is gone or removed, or the event was cancelled.
    Discarded = 3,
    /// The event expired.
    Expired = 4,
    /// The payload could not be read back.
    Lost = 5,
    /// A newer event under the same ordering key took its place while the endpoint was down.
    Superseded = 6,
}

impl End {
    /// Every end, by number.
    pub const ALL: [Self; 7] =
        [Self::Delivered, Self::Exhausted, Self::Refused, Self::Discarded, Self::Expired, Self::Lost, Self::Superseded];

    /// The end that an outcome is; `None` for one with a retry.
    pub const fn of(then: Then) -> Option<Self> {
        match then {
            Then::Delivered => Some(Self::Delivered),
            Then::Retry(_) => None,
            Then::Exhausted => Some(Self::Exhausted),
            Then::Refused => Some(Self::Refused),
            Then::Discarded => Some(Self::Discarded),
            Then::Expired => Some(Self::Expired),
            Then::Lost => Some(Self::Lost),
            Then::Superseded => Some(Self::Superseded),
        }
    }
}

impl End {
    /// Its name, in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Refused => "refused",
            Self::Discarded => "discarded",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Which page of a long answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two fields say all there is")]
pub struct Paging {
    /// Behind this entry; from the beginning without it.
    pub after: Option<Place>,
    /// So many entries, at most [`PAGE`].
    pub limit: usize,
}

impl Default for Paging {
    fn default() -> Self {
        Self { after: None, limit: 100 }
    }
}

/// The place of an ended delivery in every list: the outcome that ended it. Stays valid while the log is open and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a pair")]
pub struct Place {
    /// When it ended.
    pub at: UnixTime,
    /// The record that says so.
    pub outcome: JournalSeq,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Query::Event`]; `None` when nothing is known of it.
    Event(Option<Box<EventHistory>>),
    /// To [`Query::Endpoint`], [`Query::Exhausted`] and [`Query::GivenUp`].
    Deliveries {
        /// The entries of this page.
        items: Vec<EndedDelivery>,
        /// Where the next page begins; `None` at the end.
        next: Option<Place>,
    },
    /// To [`Query::Counts`].
    Counts(Counts),
    /// To [`Query::Since`].
    Since(Since),
}

/// How far back a log remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Since {
    /// Payloads of events that ended before this time are gone; of later ones they are there, unless they were erased.
    pub payloads: UnixTime,
    /// What else is known of events that ended before this time is gone too.
    pub attempts: UnixTime,
}

/// An event with all its deliveries, as far as they are kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EventHistory {
    /// Its place.
    pub seq: JournalSeq,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its id.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// When it happened, by the application.
    pub time: UnixTime,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// When its last delivery ended; `None` while one is pending.
    pub ended: Option<UnixTime>,
    /// Bytes that the payload has, or had.
    pub payload_len: u32,
    /// The payload; `None` when its retention is over, or when it was erased or purged.
    pub payload: Option<Bytes>,
    /// The event that it sends again, where it is a replay.
    pub replay_of: Option<EventId>,
    /// It was erased, or its tenant purged; no longer told once that was so long ago that nothing of it is on disk.
    pub erased: bool,
    /// Its content type; `None` for JSON.
    pub content_type: Option<String>,
    /// Attempts, the oldest first; at most [`PAGE`] of them.
    pub attempts: Vec<AttemptHistory>,
    /// Attempts that are not in the list, because there are more than [`PAGE`]: the newest.
    pub more: u64,
}

impl EventHistory {
    /// How many attempts are kept in all, those included that are not in the list.
    pub const fn total(&self) -> u64 {
        (self.attempts.len() as u64).saturating_add(self.more)
    }

    /// What was published, to be published again; `None` without its payload. It has no id, expires no more, and has no
    /// ordering key.
    pub fn into_event(self) -> Option<Event> {
        let Self { tenant, event_type, time, content_type, payload, .. } = self;
        let event = match (content_type, payload?) {
            (None, payload) => Event::json_bytes(event_type, payload),
            (Some(content_type), payload) => Event::raw(event_type, &content_type, payload),
        };
        Some(event.ok()?.tenant(tenant.as_str()).time(time))
    }
}

/// One attempt, or the end of a delivery without one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttemptHistory {
    /// The record.
    pub seq: JournalSeq,
    /// The endpoint; `None` when its registration is not known any more.
    pub endpoint: Option<EndpointKey>,
    /// The how-manieth attempt of its delivery; where the delivery ended without one, how many there were before.
    pub number: u16,
    /// When it ended.
    pub at: UnixTime,
    /// How long it took.
    pub elapsed: Duration,
    /// The status of the reply.
    pub status: Option<u16>,
    /// The failure, where there was no reply.
    pub failure: Option<TransportError>,
    /// What followed.
    pub then: Then,
    /// The keys that signed it.
    pub signed: Vec<KeyId>,
    /// The beginning of the answer, where it is kept.
    pub answer: Option<Bytes>,
    /// What the answer came to as to its receipt.
    pub receipt: ReceiptCheck,
}

impl fmt::Display for AttemptHistory {
    /// In one line: when, to whom, which attempt, what followed and why, which keys signed, and where a receipt was asked
    /// for, what came of that; and one for the answer, where it is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match &self.endpoint {
            Some(endpoint) => write!(f, "{endpoint}: ")?,
            None => f.write_str("an endpoint that is not known any more: ")?,
        }
        let then = End::of(self.then).map_or("retry", End::word);
        let came: Outcome = match (self.status, self.failure) {
            (Some(status), _) => Ok(Reply::new(status)),
            (None, Some(failure)) => Err(failure),
            (None, None) => return write!(f, "{then}, without an attempt"),
        };
        let ruling = verdict(&came, Profile::StandardWebhooks, self.at);
        write!(f, "attempt {}, {:.1?}: {then}, {ruling}", self.number, self.elapsed)?;
        for (nth, key) in self.signed.iter().enumerate() {
            write!(f, "{}{key}", if nth == 0 { "; signed with " } else { ", " })?;
        }
        if self.receipt != ReceiptCheck::NotAsked {
            write!(f, "; {}", self.receipt)?;
        }
        match &self.answer {
            Some(answer) => write!(f, "\n  it answered: {}", String::from_utf8_lossy(answer).escape_debug()),
            None => Ok(()),
        }
    }
}

/// A delivery that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedDelivery {
    /// Its place in lists.
    pub place: Place,
    /// The event; `None` when it is not kept any more.
    pub event: Option<EventId>,
    /// The event's place.
    pub event_seq: JournalSeq,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// How it ended.
    pub end: End,
    /// Attempts made.
    pub attempts: u16,
    /// The last attempt's status.
    pub status: Option<u16>,
    /// The last attempt's failure, where there was no reply.
    pub failure: Option<TransportError>,
}

/// How many ended deliveries a log keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// By [`End`].
    pub ended: [u64; 7],
    /// Events that have ended and are kept.
    pub events: u64,
    /// Attempts of all events, pending ones included, and ends of deliveries without one: as many records as the log has
    /// of them, whether their retention is over or not.
    pub outcomes: u64,
    /// Bytes of payloads of ended events, as far as the log has been tidied: those that ended just now may not be
    /// counted yet.
    pub payload_bytes: u64,
}

/// How long ended events stay readable. Pending ones always do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Payloads, from the end of the event on, but not longer than attempts; zero forgets at once. 7 days.
    pub payloads: Duration,
    /// Attempts and what else is known of an event, from its end on; zero forgets at once. 30 days.
    pub attempts: Duration,
    /// Bytes of payloads of ended events that are kept, at most; the oldest ended go first. 10 GiB. On disk there may be
    /// more until it is tidied: what is gone already and waits to be rewritten, and the segment that is being written.
    pub payload_bytes: u64,
    /// Bytes of everything else of ended events that is kept, at most; the oldest ended go first. 10 GiB.
    pub attempt_bytes: u64,
}

impl Retention {
    /// Nothing is forgotten for its age or its size.
    pub const fn forever() -> Self {
        Self { payloads: Duration::MAX, attempts: Duration::MAX, payload_bytes: u64::MAX, attempt_bytes: u64::MAX }
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            payloads: Duration::from_secs(7 * DAY),
            attempts: Duration::from_secs(30 * DAY),
            payload_bytes: 10 << 30,
            attempt_bytes: 10 << 30,
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// This log keeps no history.
    NotKept,
    /// The log could not be read.
    Failed(crate::LogError),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept => f.write_str("this log keeps no history; open a directory instead"),
            Self::Failed(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for HistoryError {}

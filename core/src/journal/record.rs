//! What the journal says: one variant for each thing that happened.
//!
//! A machine is the fold of its records. Records are absolute (they say what is, not what changed), so reading one
//! twice does no harm, and a snapshot may be taken while the machine runs. An event is named by the place of its
//! [`Accepted`] record, a delivery by that place and the number of the subscription that matched.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;

use super::pacing::{HealthRecord, PacingRecord};
use super::sealed::{StoredKey, StoredValue};
use crate::id::{EndpointKey, EventId, JournalSeq, TenantId};
use crate::secret::KeyId;
use crate::seed::Seed;
use crate::time::UnixTime;

/// One record of the journal.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the format is versioned as a whole, and its one reader must know every kind"
)]
pub enum Record {
    /// The first record of a store.
    Genesis {
        /// The store's seed.
        seed: Seed,
    },
    /// The store was opened.
    Opened {
        /// How often, this time included.
        incarnation: u32,
        /// When.
        at: UnixTime,
    },
    /// An event was accepted.
    Accepted(Box<Accepted>),
    /// An endpoint is as described.
    Endpoint(Box<EndpointRecord>),
    /// An endpoint is no more.
    Removed {
        /// Which.
        endpoint: EndpointKey,
        /// When.
        at: UnixTime,
    },
    /// A delivery waits for its first attempt, because its endpoint could not take it when its turn came.
    Queued {
        /// The event.
        event: JournalSeq,
        /// The subscription.
        subscription: u32,
        /// Where it stands in a lane: the event before it there, or [`JournalSeq::ZERO`] when none is known.
        lane: Option<JournalSeq>,
    },
    /// An attempt ended, or the delivery ended without one.
    Outcome(OutcomeRecord),
    /// The fan-out of an event has passed all subscriptions up to a number; of those it has passed, the ones that are
    /// not named elsewhere are done.
    Mark(Mark),
    /// All deliveries of an event have ended.
    Ended {
        /// The event.
        event: JournalSeq,
        /// When.
        at: UnixTime,
    },
    /// An event was cancelled: nothing more is sent for it.
    Cancelled {
        /// The event.
        event: JournalSeq,
        /// When.
        at: UnixTime,
    },
    /// Everything that an application gave is forgotten of a tenant's events accepted before this record: payloads and
    /// answers.
    Purged {
        /// Whose.
        tenant: TenantId,
        /// When.
        at: UnixTime,
    },
    /// The same of one event.
    Erased {
        /// Whose.
        tenant: TenantId,
        /// Which.
        event: EventId,
        /// When.
        at: UnixTime,
    },
    /// What is left of an accepted event when its payload has gone, which only happens after it has ended. It keeps the
    /// place of the accepted record, in history and where a store was rid of what was erased before a snapshot stood for
    /// it.
    Kept(Box<Kept>),
    /// A tenant's endpoints were made equal to a list of this revision; an older one is ignored from now on.
    Synced {
        /// Whose.
        tenant: TenantId,
        /// The revision.
        revision: u64,
        /// When.
        at: UnixTime,
    },
    /// Where the consent of an endpoint's owner stands.
    Consent(Box<ConsentRecord>),
    /// What an endpoint's answers have said about its keys; written now and then.
    KeyUse(Box<KeyUseRecord>),
    /// An endpoint's health changed otherwise than by the outcomes of its attempts; in a snapshot, what it was.
    Health(Box<HealthRecord>),
    /// A snapshot begins; it stands for every record up to and including `since`.
    SnapshotBegin(SnapshotBegin),
    /// In a snapshot: an event that has not ended. Its payload stays in its accepted record.
    Event(Box<EventRecord>),
    /// In a snapshot: a delivery that waits.
    Pending {
        /// The event.
        event: JournalSeq,
        /// The subscription.
        subscription: u32,
        /// Attempts that have durable outcomes.
        attempts: u16,
        /// When it is due.
        due: Due,
        /// The lane that it stands in, where it stands in one.
        lane: Option<Laned>,
    },
    /// In a snapshot: how far a lane has come, the deliveries in it included.
    Lane {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The ordering key.
        key: Arc<str>,
        /// The last event that came into it.
        last: JournalSeq,
    },
    /// In a snapshot: an event that a repeat is recognised by.
    Remembered(Box<Remembered>),
    /// A snapshot ends; it may be used once every record up to `through` is durable.
    SnapshotEnd {
        /// The last record whose effects it may show.
        through: JournalSeq,
    },
}

/// An event as it was accepted.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct Accepted {
    /// Its id.
    pub id: EventId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its type.
    pub event_type: String,
    /// When it happened.
    pub time: UnixTime,
    /// What it carries: the content type of raw bytes, or `None` for JSON.
    pub content_type: Option<String>,
    /// The payload.
    pub payload: Bytes,
    /// The ordering key.
    pub key: Option<Arc<str>>,
    /// The idempotency key, where it is not the id.
    pub idempotency: Option<Arc<str>>,
    /// After this time it is no longer worth sending.
    pub expires: Option<UnixTime>,
    /// The digest of its content.
    pub digest: [u8; 16],
    /// Subscriptions below this number and alive at this point are meant.
    pub high_water: u32,
    /// When it was accepted.
    pub at: UnixTime,
    /// What it sends again; `None` for an event that was published.
    pub replay: Option<Box<ReplayRecord>>,
}

/// An event that sends another one again, to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct ReplayRecord {
    /// The event that is sent again.
    pub of: EventId,
    /// What tells this replay from every other one of the same event.
    pub number: u64,
    /// It is sent under the id of that event, and not under its own.
    pub keeps_id: bool,
    /// The subscription whose endpoint it goes to, and to no other.
    pub subscription: u32,
}

/// An endpoint, whole. `Debug` shows neither its keys nor the values of its headers nor the query of its URL.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct EndpointRecord {
    /// Its name.
    pub key: EndpointKey,
    /// Where it is.
    pub url: String,
    /// What it wants.
    pub patterns: Vec<String>,
    /// How its bodies are made: [`Encoding::to_wire`](crate::encoding::Encoding::to_wire).
    pub encoding: u8,
    /// Delays before the attempts.
    pub schedule: Vec<Duration>,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Attempts at once.
    pub concurrency: u16,
    /// Custom headers.
    pub headers: Vec<HeaderRecord>,
    /// Attempts keep the beginning of the answer.
    pub keep_answers: bool,
    /// Its keys.
    pub keys: Vec<KeyRecord>,
    /// Keys that must never sign again.
    pub revoked: Vec<KeyId>,
    /// Its administrative state.
    pub state: StateRecord,
    /// The number of its live subscription; `None` while new events do not match.
    pub subscription: Option<u32>,
    /// Earlier subscriptions that events accepted before their retirement still see.
    pub retired: Vec<RetiredRecord>,
    /// When this was so.
    pub at: UnixTime,
    /// The JSON Pointers that choose the parts of payloads that it is sent; none for all of them.
    pub thin: Vec<String>,
    /// The source that its CloudEvents name, where it is not the default.
    pub source: Option<String>,
    /// How events under one ordering key follow one another: [`Order::to_wire`](crate::registration::Order::to_wire).
    pub order: u8,
    /// Why it is in its state; `None` while it is as it was registered, and in records from before they said so.
    pub cause: Option<CauseRecord>,
    /// How its owner is asked for consent; `None` for not at all.
    pub consent: Option<AskRecord>,
    /// What the content of an event must pass, where there is a filter.
    pub filter: Option<FilterRecord>,
    /// The dialects in which its requests are signed; none for Standard Webhooks alone.
    pub sign: Vec<DialectRecord>,
    /// How old a delivery may be when an attempt starts, where that is bounded.
    pub max_age: Option<Duration>,
    /// How it is paced, where that is not as usual.
    pub pacing: Option<Box<PacingRecord>>,
    /// Receipts are asked for.
    pub receipts: bool,
}

/// A way of signing: [`Dialect::to_wire`](crate::signing::Dialect::to_wire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct DialectRecord {
    /// Which.
    pub number: u8,
    /// The parts of its description, where it has one.
    pub parts: Vec<String>,
}

/// A content filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct FilterRecord {
    /// Its language: [`Language::to_wire`](crate::matching::filter::Language::to_wire).
    pub language: u8,
    /// Its text.
    pub text: String,
}

impl fmt::Debug for EndpointRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            url,
            patterns,
            encoding,
            schedule,
            timeout,
            concurrency,
            headers,
            keep_answers,
            keys,
            revoked,
            state,
            subscription,
            retired,
            at,
            thin,
            source,
            order,
            cause,
            consent,
            max_age,
            pacing,
            filter,
            sign,
            receipts,
        } = self;
        f.debug_struct("EndpointRecord")
            .field("key", key)
            .field("url", &without_query(url))
            .field("patterns", patterns)
            .field("encoding", encoding)
            .field("schedule", schedule)
            .field("timeout", timeout)
            .field("concurrency", concurrency)
            .field("headers", &headers.iter().map(|header| &header.name).collect::<Vec<_>>())
            .field("keep_answers", keep_answers)
            .field("keys", keys)
            .field("revoked", revoked)
            .field("state", state)
            .field("subscription", subscription)
            .field("retired", retired)
            .field("at", at)
            .field("thin", thin)
            .field("source", source)
            .field("order", order)
            .field("cause", cause)
            .field("consent", consent)
            .field("max_age", max_age)
            .field("pacing", pacing)
            .field("filter", filter)
            .field("sign", sign)
            .field("receipts", receipts)
            .finish()
    }
}

/// A URL as it may be shown: tokens stand in queries.
fn without_query(url: &str) -> impl fmt::Debug {
    let (shown, rest) = url.split_once('?').map_or((url, ""), |(front, _)| (front, "?.."));
    fmt::from_fn(move |f| write!(f, "\"{}{rest}\"", shown.escape_debug()))
}

/// A subscription that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct RetiredRecord {
    /// Its number.
    pub number: u32,
    /// Events with a high-water mark up to this number see it.
    pub at: u32,
    /// What was wanted: patterns, one a line.
    pub patterns: String,
    /// And what the content had to pass.
    pub filter: Option<FilterRecord>,
}

/// A header that an endpoint's owner added. `Debug` shows no value.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct HeaderRecord {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: StoredValue,
}

/// A key of an endpoint's ring.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct KeyRecord {
    /// The key.
    pub secret: StoredKey,
    /// It signs no attempt that starts at or after this time.
    pub expires: Option<UnixTime>,
}

/// How an endpoint's owner is asked for consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct AskRecord {
    /// In which way: see [`ConsentBy`](crate::registration::consent::ConsentBy).
    pub by: u8,
    /// Requests a minute that are asked for.
    pub rate: Option<u32>,
}

/// Where the consent of an endpoint's owner stands, by numbers: see [`Kept`](crate::registration::consent::Kept).
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct ConsentRecord {
    /// Whose.
    pub endpoint: EndpointKey,
    /// How it is asked for.
    pub ask: AskRecord,
    /// The stage.
    pub stage: u8,
    /// Its date.
    pub since: UnixTime,
    /// What it says further.
    pub detail: (u8, u32),
    /// Asks of this round.
    pub asks: u8,
    /// Digests of the tokens whose callback URLs may be used, each with its end.
    pub tokens: Vec<([u8; 32], UnixTime)>,
    /// When this was so.
    pub at: UnixTime,
}

impl fmt::Debug for ConsentRecord {
    /// Shows how many tokens there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsentRecord")
            .field("endpoint", &self.endpoint)
            .field("ask", &self.ask)
            .field("stage", &self.stage)
            .field("since", &self.since)
            .field("detail", &self.detail)
            .field("asks", &self.asks)
            .field("tokens", &self.tokens.len())
            .field("at", &self.at)
            .finish()
    }
}

/// What an endpoint's answers have said about its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct KeyUseRecord {
    /// Whose.
    pub endpoint: EndpointKey,
    /// Keys that were named.
    pub keys: Vec<UseRecord>,
    /// The key that was named last, how often in a row and since when.
    pub run: Option<UseRecord>,
    /// Answers that named no key, several, or one that had not signed.
    pub unclear: u64,
    /// Answers that said anything about keys.
    pub heard: u64,
    /// When this was so.
    pub at: UnixTime,
}

/// How often a key was named, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct UseRecord {
    /// The key.
    pub key: KeyId,
    /// How often.
    pub count: u64,
    /// The first time.
    pub since: UnixTime,
    /// The last time.
    pub last: UnixTime,
}

/// Why an endpoint is in its state, by numbers: see [`Reason`](crate::registration::lifecycle::Reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct CauseRecord {
    /// The rule.
    pub rule: u8,
    /// What happened.
    pub event: u8,
    /// Its inputs.
    pub inputs: [u64; 2],
    /// When.
    pub at: UnixTime,
    /// How long after that something was due by itself.
    pub next: Option<Duration>,
}

/// The administrative state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct StateRecord {
    /// 0 active, 1 paused, 2 disabled, 3 gone (the receiver answered 410), 4 unverified.
    pub code: u8,
    /// Since when.
    pub since: UnixTime,
}

/// How an attempt, or a delivery without one, ended.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct OutcomeRecord {
    /// The event.
    pub event: JournalSeq,
    /// The subscription.
    pub subscription: u32,
    /// Attempts that have durable outcomes, this one included.
    pub attempts: u16,
    /// When the attempt ended.
    pub at: UnixTime,
    /// How long it took.
    pub elapsed: Duration,
    /// The status of the reply, or 0 when there was none.
    pub status: u16,
    /// The transport failure in two bytes, or (0, 0) when there was none.
    pub failure: (u8, u8),
    /// What follows.
    pub then: Then,
    /// The keys that signed the request, newest first. None when no request was made, and none when the machine ended
    /// the attempt by itself (aborted, or not reported in time): the request may then be being built on another thread,
    /// and what is recorded must not depend on which of the two is quicker.
    pub signed: Vec<KeyId>,
    /// The beginning of the answer, where the endpoint asks for it to be kept; at most
    /// [`ANSWER_KEPT`](crate::limits::ANSWER_KEPT) bytes.
    pub answer: Option<Bytes>,
    /// What the answer came to as to its receipt: [`ReceiptCheck::to_wire`](crate::signing::receipt::ReceiptCheck::to_wire),
    /// 0 where none was asked for.
    pub receipt: u8,
}

/// What history keeps of an event when its payload has gone.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct Kept {
    /// The event; the payload is empty.
    pub accepted: Accepted,
    /// Bytes that the payload had.
    pub payload_len: u32,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "plain data of a versioned format")]
pub enum Then {
    /// The delivery is done.
    Delivered,
    /// It is tried again.
    Retry(Due),
    /// Its schedule has no further attempt.
    Exhausted,
    /// It must not be tried again.
    Refused,
    /// Its endpoint is gone, removed, or was disabled too long, or the event was cancelled.
    Discarded,
    /// Its event expired.
    Expired,
    /// Its payload could not be read back.
    Lost,
    /// A newer event under the same ordering key took its place while its endpoint was down.
    Superseded,
}

/// Where a delivery stands in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct Laned {
    /// The ordering key of its event.
    pub key: Arc<str>,
    /// The event before it in the lane, or [`JournalSeq::ZERO`] when none is known.
    pub previous: JournalSeq,
}

/// A due time that survives a restart: it was so much later than the time at which it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct Due {
    /// The wall clock when it was written.
    pub written: UnixTime,
    /// How much later it is due.
    pub delay: Duration,
}

/// How far the fan-out of an event has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct Mark {
    /// The event.
    pub event: JournalSeq,
    /// The last subscription passed.
    pub through: u32,
    /// Subscriptions passed whose first attempt was in flight at that moment.
    pub open: Vec<u32>,
}

/// What a snapshot stands for.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct SnapshotBegin {
    /// The last record that it makes unnecessary.
    pub since: JournalSeq,
    /// The store's seed.
    pub seed: Seed,
    /// How often the store has been opened.
    pub incarnation: u32,
    /// The next subscription number.
    pub next_subscription: u32,
}

/// An event that has not ended.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct EventRecord {
    /// How far its fan-out has come; its `event` names the accepted record.
    pub mark: Mark,
    /// All subscriptions have been passed.
    pub passed_all: bool,
    /// It was cancelled.
    pub cancelled: bool,
    /// Everything else; the payload is left empty.
    pub accepted: Accepted,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// Subscriptions beyond the mark that are accounted for already.
    pub done: Vec<u32>,
}

/// An event that a repeat is recognised by.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct Remembered {
    /// Its place.
    pub event: JournalSeq,
    /// A digest of its tenant and its id or idempotency key.
    pub name: [u8; 16],
    /// Its id.
    pub id: EventId,
    /// The digest of its content.
    pub digest: [u8; 16],
    /// When it was accepted.
    pub at: UnixTime,
    /// Its tenant; `None` in records from before they said so. It only decides against whose limit the name counts: the
    /// name's digest covers the tenant.
    pub tenant: Option<TenantId>,
}

impl fmt::Debug for Accepted {
    /// Shows the payload's length, not the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("event_type", &self.event_type)
            .field("payload", &self.payload.len())
            .field("high_water", &self.high_water)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

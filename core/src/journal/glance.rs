//! Records as an index needs them: read without copying anything.

use core::time::Duration;

use super::body::{REPLAY_PART, read_elapsed_then, read_receipt};
use super::codec::{self, FRAME_HEAD};
use super::endpoint::KEYS;
use super::error::{CodecError, Why};
use super::kind::Kind;
use super::record::{Accepted, OutcomeRecord, Record, Then};
use super::wire::Reader;
use crate::id::{EventId, IdError, JournalSeq, TenantId};
use crate::time::UnixTime;

/// What an index of a journal keeps of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "plain data of a versioned format")]
pub enum Glance<'a> {
    /// Of [`Record::Accepted`] and [`Record::Kept`].
    Accepted(AcceptedGlance<'a>),
    /// Of [`Record::Outcome`].
    Outcome(OutcomeGlance),
    /// Of [`Record::Ended`].
    Ended {
        /// The event.
        event: JournalSeq,
        /// When.
        at: UnixTime,
    },
    /// Of every other record.
    Other,
}

/// What an index keeps of an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct AcceptedGlance<'a> {
    /// Its id; ASCII.
    pub id: &'a [u8],
    /// Whose it is; ASCII.
    pub tenant: &'a [u8],
    /// Bytes of the payload in the record.
    pub payload: usize,
    /// The id of the event that it sends again; ASCII.
    pub replay_of: Option<&'a [u8]>,
}

/// What an index keeps of an outcome, and what lists show of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct OutcomeGlance {
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
    /// Bytes of the answer, where it is kept.
    pub answer: Option<usize>,
}

impl<'a> Glance<'a> {
    /// What there is to see of a record.
    pub fn of(record: &'a Record) -> Self {
        match record {
            Record::Accepted(accepted) => Self::Accepted(AcceptedGlance::of(accepted)),
            Record::Kept(kept) => Self::Accepted(AcceptedGlance::of(&kept.accepted)),
            Record::Outcome(outcome) => Self::Outcome(OutcomeGlance::of(outcome)),
            Record::Ended { event, at } => Self::Ended { event: *event, at: *at },
            Record::Genesis { .. }
            | Record::Opened { .. }
            | Record::Endpoint(_)
            | Record::Removed { .. }
            | Record::Queued { .. }
            | Record::Mark(_)
            | Record::Cancelled { .. }
            | Record::Purged { .. }
            | Record::Erased { .. }
            | Record::SnapshotBegin(_)
            | Record::Event(_)
            | Record::Pending { .. }
            | Record::Remembered(_)
            | Record::SnapshotEnd { .. }
            | Record::Lane { .. }
            | Record::Health(_)
            | Record::Synced { .. }
            | Record::Consent(_)
            | Record::KeyUse(_) => Self::Other,
        }
    }
}

impl<'a> AcceptedGlance<'a> {
    fn of(accepted: &'a Accepted) -> Self {
        Self {
            id: accepted.id.as_str().as_bytes(),
            tenant: accepted.tenant.as_str().as_bytes(),
            payload: accepted.payload.len(),
            replay_of: accepted.replay.as_ref().map(|replay| replay.of.as_str().as_bytes()),
        }
    }
}

impl OutcomeGlance {
    fn of(outcome: &OutcomeRecord) -> Self {
        let OutcomeRecord { event, subscription, attempts, at, elapsed, status, failure, then, answer, .. } = outcome;
        Self {
            event: *event,
            subscription: *subscription,
            attempts: *attempts,
            at: *at,
            elapsed: *elapsed,
            status: *status,
            failure: *failure,
            then: *then,
            answer: answer.as_ref().map(|answer| answer.len()),
        }
    }
}

/// Reads the first frame of `bytes` as far as an index needs it, and says at which place the record is.
///
/// What [`decode`](super::decode) accepts is accepted here, and what is seen is the same. Of a text that is passed over
/// only the length is looked at, of names only that they are short enough and ASCII; the body of a record of which nothing
/// is kept is not looked at at all.
pub fn glance(bytes: &[u8]) -> Result<(JournalSeq, Glance<'_>), CodecError> {
    let head = codec::head(bytes)?;
    let r = &mut Reader::new(&bytes[..head.end], FRAME_HEAD);
    let seen = match head.kind {
        Kind::Accepted => Glance::Accepted(accepted(r, |r| r.long("payload").map(<[u8]>::len))?),
        Kind::Kept => Glance::Accepted(accepted(r, |r| r.u32("payload_len").map(|_| 0))?),
        Kind::Outcome => Glance::Outcome(outcome(r)?),
        Kind::Ended => Glance::Ended { event: r.seq("event")?, at: r.time("at")? },
        Kind::Genesis
        | Kind::Opened
        | Kind::Endpoint
        | Kind::Removed
        | Kind::Queued
        | Kind::Mark
        | Kind::Cancelled
        | Kind::SnapshotBegin
        | Kind::Event
        | Kind::Pending
        | Kind::Remembered
        | Kind::SnapshotEnd
        | Kind::Purged
        | Kind::Erased
        | Kind::Health
        | Kind::Synced
        | Kind::Consent
        | Kind::KeyUse
        | Kind::Lane => return Ok((head.seq, Glance::Other)),
    };
    r.end()?;
    Ok((head.seq, seen))
}

/// The fields as [`body`](super::body) writes them.
fn accepted<'a>(
    r: &mut Reader<'a>,
    payload: impl FnOnce(&mut Reader<'a>) -> Result<usize, CodecError>,
) -> Result<AcceptedGlance<'a>, CodecError> {
    let (id, tenant) = (ascii(r, "id", EventId::MAX)?, ascii(r, "tenant", TenantId::MAX)?);
    r.short("event_type")?;
    r.time("time")?;
    for field in ["content_type", "key", "idempotency"] {
        if r.flag(field)? {
            r.short(field)?;
        }
    }
    if r.flag("expires")? {
        r.time("expires")?;
    }
    r.raw("digest", 16)?;
    r.u32("high_water")?;
    r.time("at")?;
    let payload = payload(r)?;
    let replay_of = if r.is_over() { None } else { Some(replay(r)?) };
    Ok(AcceptedGlance { id, tenant, payload, replay_of })
}

/// The part that says what an event sends again, the only one that there is.
fn replay<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    r.checked(|r| {
        let number = r.u8("part")?;
        Ok(if number == REPLAY_PART { Ok(()) } else { Err(Why::Part { number }) })
    })?;
    let of = ascii(r, "of", EventId::MAX)?;
    r.u64("number")?;
    r.flag("keeps_id")?;
    r.u32("subscription")?;
    Ok(of)
}

fn outcome(r: &mut Reader<'_>) -> Result<OutcomeGlance, CodecError> {
    let (event, subscription, attempts) = (r.seq("event")?, r.u32("subscription")?, r.u16("attempts")?);
    let (at, status, failure) = (r.time("at")?, r.u16("status")?, (r.u8("failure")?, r.u8("failure")?));
    let (elapsed, then) = r.checked(read_elapsed_then)?;
    let signed = r.checked(|r| {
        let count = r.u16("signed")?;
        let many = Why::Many { field: "signed", count: count.into(), max: KEYS.into() };
        Ok(if count <= KEYS { Ok(count) } else { Err(many) })
    })?;
    r.raw("signed", usize::from(signed) * 8)?;
    let answer = if r.flag("answer")? { Some(r.short("answer")?.len()) } else { None };
    if !r.is_over() {
        r.checked(read_receipt)?;
    }
    Ok(OutcomeGlance { event, subscription, attempts, at, elapsed, status, failure, then, answer })
}

/// The bytes of a name.
fn ascii<'a>(r: &mut Reader<'a>, field: &'static str, max: usize) -> Result<&'a [u8], CodecError> {
    r.checked(|r| {
        let name = r.short(field)?;
        Ok(match name.len() {
            len if len > max => Err(Why::Name { field, why: IdError::TooLong { len, max } }),
            _ if name.is_ascii() => Ok(name),
            _ => Err(Why::Text { field }),
        })
    })
}

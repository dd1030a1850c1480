//! What the body of each kind of record holds, in which order. Writing and reading stand side by side.

use alloc::boxed::Box;
use bytes::Bytes;
use core::time::Duration;

use super::codec::FRAME_HEAD;
use super::endpoint::{
    KEYS, read_consent, read_endpoint, read_endpoint_key, read_key_use, write_consent, write_endpoint,
    write_endpoint_key, write_key_use,
};
use super::error::{CodecError, Why};
use super::kind::Kind;
use super::pacing::{read_health, write_health};
use super::record::{
    Accepted, Due, EventRecord, Kept, Laned, Mark, OutcomeRecord, Record, Remembered, ReplayRecord, SnapshotBegin, Then,
};
use super::wire::{Reader, Writer, nanos};
use crate::id::{EventId, IdError, TenantId};
use crate::secret::KeyId;
use crate::seed::Seed;

/// Appends the body of a record.
pub(super) fn write(record: &Record, w: &mut Writer<'_>) {
    match record {
        Record::Genesis { seed } => w.raw(&seed.to_bytes()),
        Record::Opened { incarnation, at } => {
            w.u32(*incarnation);
            w.time(*at);
        }
        Record::Accepted(accepted) => {
            write_accepted(accepted, w);
            w.long(&accepted.payload);
            write_parts(accepted, w);
        }
        Record::Endpoint(endpoint) => write_endpoint(endpoint, w),
        Record::Removed { endpoint, at } => {
            write_endpoint_key(endpoint, w);
            w.time(*at);
        }
        Record::Queued { event, subscription, lane } => {
            w.seq(*event);
            w.u32(*subscription);
            if let Some(previous) = lane {
                w.seq(*previous);
            }
        }
        Record::Outcome(outcome) => write_outcome(outcome, w),
        Record::Mark(mark) => write_mark(mark, w),
        Record::Ended { event, at } | Record::Cancelled { event, at } => {
            w.seq(*event);
            w.time(*at);
        }
        Record::SnapshotBegin(begin) => write_snapshot_begin(begin, w),
        Record::Event(event) => write_event(event, w),
        Record::Pending { event, subscription, attempts, due, lane } => {
            w.seq(*event);
            w.u32(*subscription);
            w.u16(*attempts);
            write_due(due, w);
            if let Some(Laned { key, previous }) = lane {
                w.text(key);
                w.seq(*previous);
            }
        }
        Record::Lane { endpoint, key, last } => {
            write_endpoint_key(endpoint, w);
            w.text(key);
            w.seq(*last);
        }
        Record::Remembered(remembered) => write_remembered(remembered, w),
        Record::SnapshotEnd { through } => w.seq(*through),
        Record::Purged { tenant, at } => {
            w.text(tenant.as_str());
            w.time(*at);
        }
        Record::Erased { tenant, event, at } => {
            w.text(tenant.as_str());
            w.text(event.as_str());
            w.time(*at);
        }
        Record::Kept(kept) => {
            write_accepted(&kept.accepted, w);
            w.u32(kept.payload_len);
            write_parts(&kept.accepted, w);
        }
        Record::Synced { tenant, revision, at } => {
            w.text(tenant.as_str());
            w.u64(*revision);
            w.time(*at);
        }
        Record::Consent(consent) => write_consent(consent, w),
        Record::KeyUse(uses) => write_key_use(uses, w),
        Record::Health(health) => write_health(health, w),
    }
}

/// Reads the body of a frame, to its last byte.
pub(super) fn read(kind: Kind, frame: &Bytes) -> Result<Record, CodecError> {
    let r = &mut Reader::new(frame, FRAME_HEAD);
    let record = match kind {
        Kind::Genesis => Record::Genesis { seed: Seed::from_bytes(r.array("seed")?) },
        Kind::Opened => Record::Opened { incarnation: r.u32("incarnation")?, at: r.time("at")? },
        Kind::Accepted => {
            let mut accepted = read_accepted(r)?;
            accepted.payload = frame.slice_ref(r.long("payload")?);
            read_parts(r, &mut accepted)?;
            Record::Accepted(Box::new(accepted))
        }
        Kind::Endpoint => Record::Endpoint(Box::new(read_endpoint(r)?)),
        Kind::Removed => Record::Removed { endpoint: read_endpoint_key(r)?, at: r.time("at")? },
        Kind::Queued => Record::Queued {
            event: r.seq("event")?,
            subscription: r.u32("subscription")?,
            lane: if r.is_over() { None } else { Some(r.seq("previous")?) },
        },
        Kind::Outcome => Record::Outcome(read_outcome(r)?),
        Kind::Mark => Record::Mark(read_mark(r)?),
        Kind::Ended => Record::Ended { event: r.seq("event")?, at: r.time("at")? },
        Kind::Cancelled => Record::Cancelled { event: r.seq("event")?, at: r.time("at")? },
        Kind::SnapshotBegin => Record::SnapshotBegin(read_snapshot_begin(r)?),
        Kind::Event => Record::Event(Box::new(read_event(r)?)),
        Kind::Pending => Record::Pending {
            event: r.seq("event")?,
            subscription: r.u32("subscription")?,
            attempts: r.u16("attempts")?,
            due: read_due(r)?,
            lane: if r.is_over() { None } else { Some(Laned { key: r.shared("key")?, previous: r.seq("previous")? }) },
        },
        Kind::Lane => Record::Lane { endpoint: read_endpoint_key(r)?, key: r.shared("key")?, last: r.seq("last")? },
        Kind::Remembered => Record::Remembered(Box::new(read_remembered(r)?)),
        Kind::SnapshotEnd => Record::SnapshotEnd { through: r.seq("through")? },
        Kind::Purged => Record::Purged { tenant: name(r, "tenant", TenantId::new)?, at: r.time("at")? },
        Kind::Erased => Record::Erased {
            tenant: name(r, "tenant", TenantId::new)?,
            event: name(r, "event", EventId::new)?,
            at: r.time("at")?,
        },
        Kind::Kept => {
            let mut kept = Kept { accepted: read_accepted(r)?, payload_len: r.u32("payload_len")? };
            read_parts(r, &mut kept.accepted)?;
            Record::Kept(Box::new(kept))
        }
        Kind::Synced => Record::Synced {
            tenant: name(r, "tenant", TenantId::new)?,
            revision: r.u64("revision")?,
            at: r.time("at")?,
        },
        Kind::Consent => Record::Consent(Box::new(read_consent(r)?)),
        Kind::KeyUse => Record::KeyUse(Box::new(read_key_use(r)?)),
        Kind::Health => Record::Health(Box::new(read_health(r)?)),
    };
    r.end()?;
    Ok(record)
}

/// All but the payload and the parts.
fn write_accepted(accepted: &Accepted, w: &mut Writer<'_>) {
    let Accepted {
        id,
        tenant,
        event_type,
        time,
        content_type,
        payload: _,
        key,
        idempotency,
        expires,
        digest,
        high_water,
        at,
        replay: _,
    } = accepted;
    w.text(id.as_str());
    w.text(tenant.as_str());
    w.text(event_type);
    w.time(*time);
    w.option(content_type.as_deref(), Writer::text);
    w.option(key.as_deref(), Writer::text);
    w.option(idempotency.as_deref(), Writer::text);
    w.option(*expires, Writer::time);
    w.raw(digest);
    w.u32(*high_water);
    w.time(*at);
}

/// All but the payload and the parts, which are left empty.
fn read_accepted(r: &mut Reader<'_>) -> Result<Accepted, CodecError> {
    Ok(Accepted {
        id: name(r, "id", EventId::new)?,
        tenant: name(r, "tenant", TenantId::new)?,
        event_type: r.string("event_type")?,
        time: r.time("time")?,
        content_type: r.option("content_type", |r| r.string("content_type"))?,
        payload: Bytes::new(),
        key: r.option("key", |r| r.shared("key"))?,
        idempotency: r.option("idempotency", |r| r.shared("idempotency"))?,
        expires: r.option("expires", |r| r.time("expires"))?,
        digest: r.array("digest")?,
        high_water: r.u32("high_water")?,
        at: r.time("at")?,
        replay: None,
    })
}

/// The number of the part that says what an event sends again.
pub(super) const REPLAY_PART: u8 = 2;

/// What only some events have, behind everything else: numbered parts in ascending order.
fn write_parts(accepted: &Accepted, w: &mut Writer<'_>) {
    if let Some(replay) = &accepted.replay {
        let ReplayRecord { of, number, keeps_id, subscription } = &**replay;
        w.u8(REPLAY_PART);
        w.text(of.as_str());
        w.u64(*number);
        w.flag(*keeps_id);
        w.u32(*subscription);
    }
}

fn read_parts(r: &mut Reader<'_>, accepted: &mut Accepted) -> Result<(), CodecError> {
    let mut last = 0;
    while !r.is_over() {
        last = r.checked(|r| {
            let number = r.u8("part")?;
            if number <= last || number != REPLAY_PART {
                return Ok(Err(Why::Part { number }));
            }
            accepted.replay = Some(Box::new(ReplayRecord {
                of: name(r, "of", EventId::new)?,
                number: r.u64("number")?,
                keeps_id: r.flag("keeps_id")?,
                subscription: r.u32("subscription")?,
            }));
            Ok(Ok(number))
        })?;
    }
    Ok(())
}

/// The number of the part that says what an answer came to as to its receipt; left out where none was asked for.
const RECEIPT_PART: u8 = 1;

/// The code of what follows shares a byte with the number of bytes that the time taken needs: attempts are short, and
/// this is the record that is written most.
fn write_outcome(outcome: &OutcomeRecord, w: &mut Writer<'_>) {
    let OutcomeRecord { event, subscription, attempts, at, elapsed, status, failure, then, signed, answer, receipt } =
        outcome;
    let elapsed = nanos(*elapsed);
    let width = width(elapsed);
    let (code, due) = match then {
        Then::Delivered => (0, None),
        Then::Retry(due) => (1, Some(due)),
        Then::Exhausted => (2, None),
        Then::Refused => (3, None),
        Then::Discarded => (4, None),
        Then::Expired => (5, None),
        Then::Lost => (6, None),
        Then::Superseded => (7, None),
    };
    w.seq(*event);
    w.u32(*subscription);
    w.u16(*attempts);
    w.time(*at);
    w.u16(*status);
    w.u8(failure.0);
    w.u8(failure.1);
    w.u8(code | width << 4);
    w.raw(&elapsed.to_le_bytes()[..usize::from(width)]);
    if let Some(due) = due {
        write_due(due, w);
    }
    w.few(signed, KEYS, |w, key| w.raw(&key.to_bytes()));
    w.option(answer.as_deref(), Writer::short);
    if *receipt != 0 {
        w.u8(RECEIPT_PART);
        w.u8(*receipt);
    }
}

fn read_outcome(r: &mut Reader<'_>) -> Result<OutcomeRecord, CodecError> {
    let (event, subscription, attempts) = (r.seq("event")?, r.u32("subscription")?, r.u16("attempts")?);
    let (at, status, failure) = (r.time("at")?, r.u16("status")?, (r.u8("failure")?, r.u8("failure")?));
    let (elapsed, then) = r.checked(read_elapsed_then)?;
    let signed = r.few("signed", KEYS, 8, |r| r.array("signed").map(KeyId::from_bytes))?;
    let answer = r.option("answer", |r| r.short("answer").map(Bytes::copy_from_slice))?;
    let receipt = if r.is_over() { 0 } else { r.checked(read_receipt)? };
    Ok(OutcomeRecord { event, subscription, attempts, at, elapsed, status, failure, then, signed, answer, receipt })
}

/// A part that says nothing is never written.
pub(super) fn read_receipt(r: &mut Reader<'_>) -> Result<Result<u8, Why>, CodecError> {
    Ok(match (r.u8("part")?, r.u8("receipt")?) {
        (RECEIPT_PART, receipt @ 1..) => Ok(receipt),
        (number, _) => Err(Why::Part { number }),
    })
}

pub(super) fn read_elapsed_then(r: &mut Reader<'_>) -> Result<Result<(Duration, Then), Why>, CodecError> {
    let byte = r.u8("then")?;
    let (code, width) = (byte & 0x0f, byte >> 4);
    let mut elapsed = [0; 8];
    let Some(bytes) = elapsed.get_mut(..usize::from(width)) else {
        return Ok(Err(Why::Elapsed { width }));
    };
    bytes.copy_from_slice(r.raw("elapsed", usize::from(width))?);
    let elapsed = u64::from_le_bytes(elapsed);
    if self::width(elapsed) != width {
        return Ok(Err(Why::Elapsed { width }));
    }
    let then = match code {
        0 => Then::Delivered,
        1 => Then::Retry(read_due(r)?),
        2 => Then::Exhausted,
        3 => Then::Refused,
        4 => Then::Discarded,
        5 => Then::Expired,
        6 => Then::Lost,
        7 => Then::Superseded,
        code => return Ok(Err(Why::Then { code })),
    };
    Ok(Ok((Duration::from_nanos(elapsed), then)))
}

/// How many bytes a number needs: 0 to 8.
const fn width(number: u64) -> u8 {
    8 - (number.leading_zeros() / 8) as u8
}

fn write_due(due: &Due, w: &mut Writer<'_>) {
    let Due { written, delay } = due;
    w.time(*written);
    w.duration(*delay);
}

fn read_due(r: &mut Reader<'_>) -> Result<Due, CodecError> {
    Ok(Due { written: r.time("written")?, delay: r.duration("delay")? })
}

fn write_mark(mark: &Mark, w: &mut Writer<'_>) {
    let Mark { event, through, open } = mark;
    w.seq(*event);
    w.u32(*through);
    w.many(open, |w, subscription| w.u32(*subscription));
}

fn read_mark(r: &mut Reader<'_>) -> Result<Mark, CodecError> {
    Ok(Mark { event: r.seq("event")?, through: r.u32("through")?, open: r.many("open", 4, |r| r.u32("open"))? })
}

fn write_snapshot_begin(begin: &SnapshotBegin, w: &mut Writer<'_>) {
    let SnapshotBegin { since, seed, incarnation, next_subscription } = begin;
    w.seq(*since);
    w.raw(&seed.to_bytes());
    w.u32(*incarnation);
    w.u32(*next_subscription);
}

fn read_snapshot_begin(r: &mut Reader<'_>) -> Result<SnapshotBegin, CodecError> {
    Ok(SnapshotBegin {
        since: r.seq("since")?,
        seed: Seed::from_bytes(r.array("seed")?),
        incarnation: r.u32("incarnation")?,
        next_subscription: r.u32("next_subscription")?,
    })
}

fn write_event(event: &EventRecord, w: &mut Writer<'_>) {
    let EventRecord { mark, passed_all, cancelled, accepted, payload_len, done } = event;
    write_mark(mark, w);
    w.flag(*passed_all);
    w.flag(*cancelled);
    write_accepted(accepted, w);
    w.u32(*payload_len);
    w.many(done, |w, number| w.u32(*number));
    write_parts(accepted, w);
}

fn read_event(r: &mut Reader<'_>) -> Result<EventRecord, CodecError> {
    let mut event = EventRecord {
        mark: read_mark(r)?,
        passed_all: r.flag("passed_all")?,
        cancelled: r.flag("cancelled")?,
        accepted: read_accepted(r)?,
        payload_len: r.u32("payload_len")?,
        done: r.many("done", 4, |r| r.u32("done"))?,
    };
    read_parts(r, &mut event.accepted)?;
    Ok(event)
}

fn write_remembered(remembered: &Remembered, w: &mut Writer<'_>) {
    let Remembered { event, name, id, digest, at, tenant } = remembered;
    w.seq(*event);
    w.raw(name);
    w.text(id.as_str());
    w.raw(digest);
    w.time(*at);
    if let Some(tenant) = tenant {
        w.text(tenant.as_str());
    }
}

fn read_remembered(r: &mut Reader<'_>) -> Result<Remembered, CodecError> {
    Ok(Remembered {
        event: r.seq("event")?,
        name: r.array("name")?,
        id: name(r, "id", EventId::new)?,
        digest: r.array("digest")?,
        at: r.time("at")?,
        // The field came later; who did not have it ended here.
        tenant: if r.is_over() { None } else { Some(name(r, "tenant", TenantId::new)?) },
    })
}

/// A name, checked as it was when it came in.
pub(super) fn name<'a, T>(
    r: &mut Reader<'a>,
    field: &'static str,
    new: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<T, CodecError> {
    r.checked(|r| Ok(new(r.text(field)?).map_err(|why| Why::Name { field, why })))
}

//! What the body of each kind of record holds, in which order. Writing and reading stand side by side.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::codec::FRAME_HEAD;
use super::error::{CodecError, Why};
use super::kind::Kind;
use super::record::{
    Accepted, Due, EndpointRecord, EventRecord, HeaderRecord, Kept, KeyRecord, Mark, OutcomeRecord, Record, Remembered,
    RetiredRecord, SnapshotBegin, StateRecord, Then,
};
use super::sealed::{StoredKey, StoredValue};
use super::wire::{Reader, Writer, nanos};
use crate::id::{EndpointId, EndpointKey, EventId, IdError, TenantId};
use crate::limits;
use crate::secret::{KeyId, Secret};
use crate::seed::Seed;

/// Most patterns, headers and keys of an endpoint that the format holds. They bound what a damaged frame can make a
/// reader allocate, because an item takes more memory than bytes.
const PATTERNS: u16 = 1024;
const HEADERS: u16 = 255;
const KEYS: u16 = 255;
/// Most earlier subscriptions of an endpoint that the format holds.
const RETIRED: u16 = 1024;
/// Most steps of a schedule that the format holds.
const STEPS: u16 = u16::MAX;
/// Most pointers of an endpoint that the format holds.
const POINTERS: u16 = 64;

const _: () = assert!(
    limits::PATTERNS <= PATTERNS as usize
        && limits::RETIRED <= RETIRED as usize
        && limits::CUSTOM_HEADERS <= HEADERS as usize
        && limits::CUSTOM_HEADER_BYTES <= u16::MAX as usize
        && limits::RING_KEYS <= KEYS as usize
        && limits::POINTERS <= POINTERS as usize
        && limits::SCHEDULE_STEPS <= STEPS as usize,
    "the format holds whatever the limits allow"
);

/// The forms of a key.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Parts of an endpoint that came later, each behind its number, in ascending order, left out where it says nothing: an
/// endpoint without them is written as it always was.
const THIN_PART: u8 = 1;
const SOURCE_PART: u8 = 2;

/// The forms of a header's value.
const OPEN_VALUE: u8 = 0;
const SECRET_VALUE: u8 = 1;
const SEALED_VALUE: u8 = 2;

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
        }
        Record::Endpoint(endpoint) => write_endpoint(endpoint, w),
        Record::Removed { endpoint, at } => {
            write_endpoint_key(endpoint, w);
            w.time(*at);
        }
        Record::Queued { event, subscription } => {
            w.seq(*event);
            w.u32(*subscription);
        }
        Record::Outcome(outcome) => write_outcome(outcome, w),
        Record::Mark(mark) => write_mark(mark, w),
        Record::Ended { event, at } | Record::Cancelled { event, at } => {
            w.seq(*event);
            w.time(*at);
        }
        Record::SnapshotBegin(begin) => write_snapshot_begin(begin, w),
        Record::Event(event) => write_event(event, w),
        Record::Pending { event, subscription, attempts, due } => {
            w.seq(*event);
            w.u32(*subscription);
            w.u16(*attempts);
            write_due(due, w);
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
        }
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
            Record::Accepted(Box::new(accepted))
        }
        Kind::Endpoint => Record::Endpoint(Box::new(read_endpoint(r)?)),
        Kind::Removed => Record::Removed { endpoint: read_endpoint_key(r)?, at: r.time("at")? },
        Kind::Queued => Record::Queued { event: r.seq("event")?, subscription: r.u32("subscription")? },
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
        },
        Kind::Remembered => Record::Remembered(Box::new(read_remembered(r)?)),
        Kind::SnapshotEnd => Record::SnapshotEnd { through: r.seq("through")? },
        Kind::Purged => Record::Purged { tenant: name(r, "tenant", TenantId::new)?, at: r.time("at")? },
        Kind::Erased => Record::Erased {
            tenant: name(r, "tenant", TenantId::new)?,
            event: name(r, "event", EventId::new)?,
            at: r.time("at")?,
        },
        Kind::Kept => Record::Kept(Box::new(Kept { accepted: read_accepted(r)?, payload_len: r.u32("payload_len")? })),
    };
    r.end()?;
    Ok(record)
}

/// All but the payload.
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

/// All but the payload, which is left empty.
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
    })
}

fn write_endpoint(endpoint: &EndpointRecord, w: &mut Writer<'_>) {
    let EndpointRecord {
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
        state: StateRecord { code, since },
        subscription,
        retired,
        at,
        thin,
        source,
    } = endpoint;
    write_endpoint_key(key, w);
    w.text(url);
    w.few(patterns, PATTERNS, |w, pattern| w.text(pattern));
    w.u8(*encoding);
    w.few(schedule, STEPS, |w, delay| w.duration(*delay));
    w.duration(*timeout);
    w.u16(*concurrency);
    w.few(headers, HEADERS, |w, HeaderRecord { name, value }| {
        w.text(name);
        write_value(value, w);
    });
    w.flag(*keep_answers);
    w.few(keys, KEYS, |w, KeyRecord { secret, expires }| {
        write_secret(secret, w);
        w.option(*expires, Writer::time);
    });
    w.many(revoked, |w, key| w.raw(&key.to_bytes()));
    w.u8(*code);
    w.time(*since);
    w.option(*subscription, Writer::u32);
    w.few(retired, RETIRED, |w, RetiredRecord { number, at, patterns }| {
        w.u32(*number);
        w.u32(*at);
        w.long(patterns.as_bytes());
    });
    w.time(*at);
    if !thin.is_empty() {
        w.u8(THIN_PART);
        w.few(thin, POINTERS, |w, pointer| w.text(pointer));
    }
    if let Some(source) = source {
        w.u8(SOURCE_PART);
        w.text(source);
    }
}

fn read_endpoint(r: &mut Reader<'_>) -> Result<EndpointRecord, CodecError> {
    let mut endpoint = EndpointRecord {
        key: read_endpoint_key(r)?,
        url: r.string("url")?,
        patterns: r.few("patterns", PATTERNS, 2, |r| r.string("patterns"))?,
        encoding: r.u8("encoding")?,
        schedule: r.few("schedule", STEPS, 8, |r| r.duration("schedule"))?,
        timeout: r.duration("timeout")?,
        concurrency: r.u16("concurrency")?,
        headers: r
            .few("headers", HEADERS, 5, |r| Ok(HeaderRecord { name: r.string("headers")?, value: read_value(r)? }))?,
        keep_answers: r.flag("keep_answers")?,
        keys: r.few("keys", KEYS, 5, |r| {
            Ok(KeyRecord { secret: read_secret(r)?, expires: r.option("expires", |r| r.time("expires"))? })
        })?,
        revoked: r.many("revoked", 8, |r| r.array("revoked").map(KeyId::from_bytes))?,
        state: StateRecord { code: r.u8("state")?, since: r.time("state")? },
        subscription: r.option("subscription", |r| r.u32("subscription"))?,
        retired: r.few("retired", RETIRED, 12, |r| {
            Ok(RetiredRecord { number: r.u32("retired")?, at: r.u32("retired")?, patterns: r.long_text("retired")? })
        })?,
        at: r.time("at")?,
        thin: Vec::new(),
        source: None,
    };
    let mut last = 0;
    while !r.is_over() {
        last = r.checked(|r| read_part(r, last, &mut endpoint))?;
    }
    Ok(endpoint)
}

/// Reads one of the parts that came later, behind the part `last`, and gives its number.
fn read_part(r: &mut Reader<'_>, last: u8, endpoint: &mut EndpointRecord) -> Result<Result<u8, Why>, CodecError> {
    let number = r.u8("part")?;
    let is_known = number > last
        && match number {
            THIN_PART => {
                endpoint.thin = r.few("thin", POINTERS, 2, |r| r.string("thin"))?;
                !endpoint.thin.is_empty()
            }
            SOURCE_PART => {
                endpoint.source = Some(r.string("source")?);
                true
            }
            _ => false,
        };
    Ok(if is_known { Ok(number) } else { Err(Why::Part { number }) })
}

/// The plain bytes of a secret are written only where it has no sealed form.
fn write_secret(secret: &StoredKey, w: &mut Writer<'_>) {
    let (id, sealed) = match secret {
        StoredKey::Sealed { id, bytes } => (*id, bytes),
        StoredKey::Plain(secret) => match secret.sealed() {
            Some(sealed) => (secret.id(), sealed),
            None => {
                w.u8(PLAIN);
                return w.short(secret.expose());
            }
        },
    };
    w.u8(SEALED);
    w.raw(&id.to_bytes());
    w.short(sealed);
}

fn read_secret(r: &mut Reader<'_>) -> Result<StoredKey, CodecError> {
    let sealed = r.checked(|r| match r.u8("keys")? {
        PLAIN => Ok(Ok(false)),
        SEALED => Ok(Ok(true)),
        byte => Ok(Err(Why::Form { byte })),
    })?;
    if sealed {
        let id = KeyId::from_bytes(r.array("keys")?);
        return Ok(StoredKey::Sealed { id, bytes: Bytes::copy_from_slice(r.short("keys")?) });
    }
    let secret = r.checked(|r| Ok(Secret::from_bytes_any_size(r.short("keys")?).map_err(|_| Why::NoKey)))?;
    Ok(StoredKey::Plain(secret))
}

/// The same of a header's value; its form comes last.
fn write_value(value: &StoredValue, w: &mut Writer<'_>) {
    let (bytes, form) = match value {
        StoredValue::Open(bytes) => (bytes, OPEN_VALUE),
        StoredValue::Secret { value, sealed: None } => (value, SECRET_VALUE),
        StoredValue::Secret { sealed: Some(bytes), .. } | StoredValue::Sealed(bytes) => (bytes, SEALED_VALUE),
    };
    w.short(bytes);
    w.u8(form);
}

fn read_value(r: &mut Reader<'_>) -> Result<StoredValue, CodecError> {
    // The value is copied: an endpoint lives long, and would keep a whole segment in memory.
    let bytes = Bytes::copy_from_slice(r.short("headers")?);
    r.checked(|r| {
        Ok(match r.u8("headers")? {
            OPEN_VALUE => Ok(StoredValue::Open(bytes)),
            SECRET_VALUE => Ok(StoredValue::Secret { value: bytes, sealed: None }),
            SEALED_VALUE => Ok(StoredValue::Sealed(bytes)),
            byte => Err(Why::ValueForm { byte }),
        })
    })
}

fn write_endpoint_key(key: &EndpointKey, w: &mut Writer<'_>) {
    w.text(key.tenant.as_str());
    w.text(key.id.as_str());
}

fn read_endpoint_key(r: &mut Reader<'_>) -> Result<EndpointKey, CodecError> {
    Ok(EndpointKey { tenant: name(r, "tenant", TenantId::new)?, id: name(r, "endpoint", EndpointId::new)? })
}

/// The code of what follows shares a byte with the number of bytes that the time taken needs: attempts are short, and
/// this is the record that is written most.
fn write_outcome(outcome: &OutcomeRecord, w: &mut Writer<'_>) {
    let OutcomeRecord { event, subscription, attempts, at, elapsed, status, failure, then, signed, answer } = outcome;
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
}

fn read_outcome(r: &mut Reader<'_>) -> Result<OutcomeRecord, CodecError> {
    let (event, subscription, attempts) = (r.seq("event")?, r.u32("subscription")?, r.u16("attempts")?);
    let (at, status, failure) = (r.time("at")?, r.u16("status")?, (r.u8("failure")?, r.u8("failure")?));
    let (elapsed, then) = r.checked(read_elapsed_then)?;
    let signed = r.few("signed", KEYS, 8, |r| r.array("signed").map(KeyId::from_bytes))?;
    let answer = r.option("answer", |r| r.short("answer").map(Bytes::copy_from_slice))?;
    Ok(OutcomeRecord { event, subscription, attempts, at, elapsed, status, failure, then, signed, answer })
}

fn read_elapsed_then(r: &mut Reader<'_>) -> Result<Result<(Duration, Then), Why>, CodecError> {
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
}

fn read_event(r: &mut Reader<'_>) -> Result<EventRecord, CodecError> {
    Ok(EventRecord {
        mark: read_mark(r)?,
        passed_all: r.flag("passed_all")?,
        cancelled: r.flag("cancelled")?,
        accepted: read_accepted(r)?,
        payload_len: r.u32("payload_len")?,
        done: r.many("done", 4, |r| r.u32("done"))?,
    })
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
fn name<'a, T>(
    r: &mut Reader<'a>,
    field: &'static str,
    new: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<T, CodecError> {
    r.checked(|r| Ok(new(r.text(field)?).map_err(|why| Why::Name { field, why })))
}

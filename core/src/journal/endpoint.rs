//! How an endpoint is written: what every one has, in a fixed order, then the parts that some have.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::body::name;
use super::error::{CodecError, Why};
use super::pacing::{PacingRecord, read_pacing, write_pacing};
use super::record::{
    AskRecord, CauseRecord, ConsentRecord, DialectRecord, EndpointRecord, FilterRecord, HeaderRecord, KeyRecord,
    KeyUseRecord, RetiredRecord, StateRecord, UseRecord,
};
use super::sealed::{StoredKey, StoredValue};
use super::wire::{Reader, Writer};
use crate::id::{EndpointId, EndpointKey, TenantId};
use crate::limits;
use crate::secret::{KeyId, Secret};

/// Most patterns, headers and keys of an endpoint that the format holds. They bound what a damaged frame can make a
/// reader allocate, because an item takes more memory than bytes.
const PATTERNS: u16 = 1024;
const HEADERS: u16 = 255;
pub(super) const KEYS: u16 = 255;
/// Most earlier subscriptions of an endpoint that the format holds.
const RETIRED: u16 = 1024;
/// Most steps of a schedule that the format holds.
const STEPS: u16 = u16::MAX;
/// Most tokens of a consent that the format holds.
const TOKENS: u16 = 255;
/// Most pointers of an endpoint that the format holds.
const POINTERS: u16 = 64;

/// Most dialects of an endpoint, and most parts of the description of one, that the format holds.
const DIALECTS: u16 = 64;
const DIALECT_PARTS: u16 = 64;

const _: () = assert!(
    limits::DIALECTS <= DIALECTS as usize
        && limits::PATTERNS <= PATTERNS as usize
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
/// Plain, and the private half of a key pair. A sealed one is known by its name.
const PLAIN_PAIR: u8 = 2;

/// Parts of an endpoint that came later, each behind its number, in ascending order, left out where it says nothing: an
/// endpoint without them is written as it always was.
const THIN_PART: u8 = 1;
const SOURCE_PART: u8 = 2;
const ORDER_PART: u8 = 8;
const FILTER_PART: u8 = 3;
const SIGN_PART: u8 = 4;
const AGE_PART: u8 = 5;
const PACING_PART: u8 = 6;
const RETIRED_FILTERS_PART: u8 = 9;
const CONSENT_PART: u8 = 7;
const CAUSE_PART: u8 = 10;
/// It has no fields: it is there where receipts are asked for.
const RECEIPTS_PART: u8 = 11;

/// The forms of a header's value.
const OPEN_VALUE: u8 = 0;
const SECRET_VALUE: u8 = 1;
const SEALED_VALUE: u8 = 2;

pub(super) fn write_endpoint(endpoint: &EndpointRecord, w: &mut Writer<'_>) {
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
        order,
        cause,
        consent,
        max_age,
        pacing,
        filter,
        sign,
        receipts,
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
    w.few(retired, RETIRED, |w, RetiredRecord { number, at, patterns, filter: _ }| {
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
    if let Some(filter) = filter {
        w.u8(FILTER_PART);
        write_filter(filter, w);
    }
    if !sign.is_empty() {
        w.u8(SIGN_PART);
        w.few(sign, DIALECTS, |w, DialectRecord { number, parts }| {
            w.u8(*number);
            w.few(parts, DIALECT_PARTS, |w, part| w.text(part));
        });
    }
    if let Some(age) = max_age {
        w.u8(AGE_PART);
        w.duration(*age);
    }
    if let Some(pacing) = pacing {
        w.u8(PACING_PART);
        write_pacing(pacing, w);
    }
    if let Some(ask) = consent {
        w.u8(CONSENT_PART);
        write_ask(ask, w);
    }
    if *order != 0 {
        w.u8(ORDER_PART);
        w.u8(*order);
    }
    let filters = (0..).zip(retired).filter_map(|(at, old)| Some((at, old.filter.as_ref()?)));
    let filters: Vec<(u16, &FilterRecord)> = filters.collect();
    if !filters.is_empty() {
        w.u8(RETIRED_FILTERS_PART);
        w.few(&filters, RETIRED, |w, (at, filter)| {
            w.u16(*at);
            write_filter(filter, w);
        });
    }
    if let Some(cause) = cause {
        w.u8(CAUSE_PART);
        write_cause(cause, w);
    }
    if *receipts {
        w.u8(RECEIPTS_PART);
    }
}

pub(super) fn read_endpoint(r: &mut Reader<'_>) -> Result<EndpointRecord, CodecError> {
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
            let (number, at) = (r.u32("retired")?, r.u32("retired")?);
            Ok(RetiredRecord { number, at, patterns: r.long_text("retired")?, filter: None })
        })?,
        at: r.time("at")?,
        thin: Vec::new(),
        source: None,
        order: 0,
        cause: None,
        consent: None,
        max_age: None,
        pacing: None,
        filter: None,
        sign: Vec::new(),
        receipts: false,
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
            ORDER_PART => {
                endpoint.order = r.u8("order")?;
                endpoint.order != 0
            }
            FILTER_PART => {
                endpoint.filter = Some(read_filter(r)?);
                true
            }
            SIGN_PART => {
                endpoint.sign = r.few("sign", DIALECTS, 3, |r| {
                    let number = r.u8("sign")?;
                    Ok(DialectRecord { number, parts: r.few("sign", DIALECT_PARTS, 2, |r| r.string("sign"))? })
                })?;
                !endpoint.sign.is_empty()
            }
            RETIRED_FILTERS_PART => read_retired_filters(r, &mut endpoint.retired)?,
            AGE_PART => {
                endpoint.max_age = Some(r.duration("max_age")?);
                true
            }
            PACING_PART => {
                let pacing = read_pacing(r)?;
                endpoint.pacing = Some(Box::new(pacing));
                pacing != PacingRecord::default()
            }
            CONSENT_PART => {
                endpoint.consent = Some(read_ask(r)?);
                true
            }
            CAUSE_PART => {
                endpoint.cause = Some(read_cause(r)?);
                true
            }
            RECEIPTS_PART => {
                endpoint.receipts = true;
                true
            }
            _ => false,
        };
    Ok(if is_known { Ok(number) } else { Err(Why::Part { number }) })
}

fn write_ask(ask: &AskRecord, w: &mut Writer<'_>) {
    let AskRecord { by, rate } = ask;
    w.u8(*by);
    w.option(*rate, Writer::u32);
}

fn read_ask(r: &mut Reader<'_>) -> Result<AskRecord, CodecError> {
    Ok(AskRecord { by: r.u8("consent")?, rate: r.option("consent", |r| r.u32("consent"))? })
}

pub(super) fn write_consent(consent: &ConsentRecord, w: &mut Writer<'_>) {
    let ConsentRecord { endpoint, ask, stage, since, detail: (code, number), asks, tokens, at } = consent;
    write_endpoint_key(endpoint, w);
    write_ask(ask, w);
    w.u8(*stage);
    w.time(*since);
    w.u8(*code);
    w.u32(*number);
    w.u8(*asks);
    w.few(tokens, TOKENS, |w, (digest, ends)| {
        w.raw(digest);
        w.time(*ends);
    });
    w.time(*at);
}

pub(super) fn read_consent(r: &mut Reader<'_>) -> Result<ConsentRecord, CodecError> {
    Ok(ConsentRecord {
        endpoint: read_endpoint_key(r)?,
        ask: read_ask(r)?,
        stage: r.u8("stage")?,
        since: r.time("since")?,
        detail: (r.u8("detail")?, r.u32("detail")?),
        asks: r.u8("asks")?,
        tokens: r.few("tokens", TOKENS, 40, |r| Ok((r.array("tokens")?, r.time("tokens")?)))?,
        at: r.time("at")?,
    })
}

pub(super) fn write_key_use(uses: &KeyUseRecord, w: &mut Writer<'_>) {
    let KeyUseRecord { endpoint, keys, run, unclear, heard, at } = uses;
    write_endpoint_key(endpoint, w);
    w.few(keys, KEYS, |w, uses| write_use(uses, w));
    w.option(run.as_ref(), |w, uses| write_use(uses, w));
    w.u64(*unclear);
    w.u64(*heard);
    w.time(*at);
}

pub(super) fn read_key_use(r: &mut Reader<'_>) -> Result<KeyUseRecord, CodecError> {
    Ok(KeyUseRecord {
        endpoint: read_endpoint_key(r)?,
        keys: r.few("keys", KEYS, 32, read_use)?,
        run: r.option("run", read_use)?,
        unclear: r.u64("unclear")?,
        heard: r.u64("heard")?,
        at: r.time("at")?,
    })
}

fn write_use(uses: &UseRecord, w: &mut Writer<'_>) {
    let UseRecord { key, count, since, last } = uses;
    w.raw(&key.to_bytes());
    w.u64(*count);
    w.time(*since);
    w.time(*last);
}

fn read_use(r: &mut Reader<'_>) -> Result<UseRecord, CodecError> {
    Ok(UseRecord {
        key: r.array("key").map(KeyId::from_bytes)?,
        count: r.u64("count")?,
        since: r.time("since")?,
        last: r.time("last")?,
    })
}

fn write_cause(cause: &CauseRecord, w: &mut Writer<'_>) {
    let CauseRecord { rule, event, inputs, at, next } = cause;
    w.u8(*rule);
    w.u8(*event);
    inputs.iter().for_each(|input| w.u64(*input));
    w.time(*at);
    w.option(*next, Writer::duration);
}

fn read_cause(r: &mut Reader<'_>) -> Result<CauseRecord, CodecError> {
    Ok(CauseRecord {
        rule: r.u8("cause")?,
        event: r.u8("cause")?,
        inputs: [r.u64("cause")?, r.u64("cause")?],
        at: r.time("cause")?,
        next: r.option("cause", |r| r.duration("cause"))?,
    })
}

fn write_filter(filter: &FilterRecord, w: &mut Writer<'_>) {
    w.u8(filter.language);
    w.long(filter.text.as_bytes());
}

fn read_filter(r: &mut Reader<'_>) -> Result<FilterRecord, CodecError> {
    Ok(FilterRecord { language: r.u8("filter")?, text: r.long_text("filter")? })
}

/// The filters of earlier subscriptions, each behind the place of its own, ascending. Says whether they are so.
fn read_retired_filters(r: &mut Reader<'_>, retired: &mut [RetiredRecord]) -> Result<bool, CodecError> {
    let filters = r.few("filters", RETIRED, 7, |r| Ok((usize::from(r.u16("filters")?), read_filter(r)?)))?;
    let in_order = !filters.is_empty() && filters.is_sorted_by(|(one, _), (other, _)| one < other);
    for (at, filter) in filters {
        let Some(old) = retired.get_mut(at) else { return Ok(false) };
        old.filter = Some(filter);
    }
    Ok(in_order)
}

/// The plain bytes of a secret are written only where it has no sealed form.
fn write_secret(secret: &StoredKey, w: &mut Writer<'_>) {
    let (id, sealed) = match secret {
        StoredKey::Sealed { id, bytes } => (*id, bytes),
        StoredKey::Plain(secret) => match secret.sealed() {
            Some(sealed) => (secret.id(), sealed),
            None => {
                w.u8(if secret.is_pair() { PLAIN_PAIR } else { PLAIN });
                return w.short(secret.expose());
            }
        },
    };
    w.u8(SEALED);
    w.raw(&id.to_bytes());
    w.short(sealed);
}

fn read_secret(r: &mut Reader<'_>) -> Result<StoredKey, CodecError> {
    let form = r.checked(|r| match r.u8("keys")? {
        form @ (PLAIN | SEALED | PLAIN_PAIR) => Ok(Ok(form)),
        byte => Ok(Err(Why::Form { byte })),
    })?;
    if form == SEALED {
        let id = KeyId::from_bytes(r.array("keys")?);
        return Ok(StoredKey::Sealed { id, bytes: Bytes::copy_from_slice(r.short("keys")?) });
    }
    let secret = r.checked(|r| {
        let bytes = r.short("keys")?;
        let secret =
            if form == PLAIN_PAIR { Secret::from_pair_bytes(bytes) } else { Secret::from_bytes_any_size(bytes).ok() };
        Ok(secret.ok_or(Why::NoKey))
    })?;
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

pub(super) fn write_endpoint_key(key: &EndpointKey, w: &mut Writer<'_>) {
    w.text(key.tenant.as_str());
    w.text(key.id.as_str());
}

pub(super) fn read_endpoint_key(r: &mut Reader<'_>) -> Result<EndpointKey, CodecError> {
    Ok(EndpointKey { tenant: name(r, "tenant", TenantId::new)?, id: name(r, "endpoint", EndpointId::new)? })
}

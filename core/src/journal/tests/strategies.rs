//! Records of every kind, as strategies.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use proptest::prelude::*;

use super::super::*;
use super::plain_key;
use crate::id::{EndpointId, EndpointKey, EventId, JournalSeq, TenantId};
use crate::secret::KeyId;
use crate::seed::Seed;
use crate::time::UnixTime;

pub(super) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        seed().prop_map(|seed| Record::Genesis { seed }),
        (any::<u32>(), time()).prop_map(|(incarnation, at)| Record::Opened { incarnation, at }),
        (accepted(), bytes(300)).prop_map(|(accepted, payload)| {
            Record::Accepted(Box::new(Accepted { payload: payload.into(), ..accepted }))
        }),
        endpoint().prop_map(|endpoint| Record::Endpoint(Box::new(endpoint))),
        (endpoint_key(), time()).prop_map(|(endpoint, at)| Record::Removed { endpoint, at }),
        (seq(), any::<u32>(), option(seq())).prop_map(|(event, subscription, lane)| Record::Queued {
            event,
            subscription,
            lane
        }),
        outcome().prop_map(Record::Outcome),
        mark().prop_map(Record::Mark),
        (seq(), time()).prop_map(|(event, at)| Record::Ended { event, at }),
        (seq(), time()).prop_map(|(event, at)| Record::Cancelled { event, at }),
        (seq(), seed(), any::<u32>(), any::<u32>()).prop_map(|(since, seed, incarnation, next_subscription)| {
            Record::SnapshotBegin(SnapshotBegin { since, seed, incarnation, next_subscription })
        }),
        (mark(), any::<bool>(), any::<bool>(), accepted(), any::<u32>(), list(any::<u32>())).prop_map(
            |(mark, passed_all, cancelled, accepted, payload_len, done)| {
                Record::Event(Box::new(EventRecord { mark, passed_all, cancelled, accepted, payload_len, done }))
            }
        ),
        (seq(), any::<u32>(), any::<u16>(), due(), option((text(), seq()))).prop_map(
            |(event, subscription, attempts, due, lane)| {
                let lane = lane.map(|(key, previous)| Laned { key: key.into(), previous });
                Record::Pending { event, subscription, attempts, due, lane }
            }
        ),
        (endpoint_key(), text(), seq())
            .prop_map(|(endpoint, key, last)| { Record::Lane { endpoint, key: key.into(), last } }),
        (seq(), any::<[u8; 16]>(), event_id(), any::<[u8; 16]>(), time(), proptest::option::of(tenant())).prop_map(
            |(event, name, id, digest, at, tenant)| {
                Record::Remembered(Box::new(Remembered { event, name, id, digest, at, tenant }))
            }
        ),
        seq().prop_map(|through| Record::SnapshotEnd { through }),
        (tenant(), time()).prop_map(|(tenant, at)| Record::Purged { tenant, at }),
        (tenant(), event_id(), time()).prop_map(|(tenant, event, at)| Record::Erased { tenant, event, at }),
        (accepted(), any::<u32>())
            .prop_map(|(accepted, payload_len)| Record::Kept(Box::new(Kept { accepted, payload_len }))),
        (tenant(), any::<u64>(), time()).prop_map(|(tenant, revision, at)| Record::Synced { tenant, revision, at }),
        consent().prop_map(|consent| Record::Consent(Box::new(consent))),
        key_use().prop_map(|uses| Record::KeyUse(Box::new(uses))),
        health().prop_map(|health| Record::Health(Box::new(health))),
    ]
}

pub(super) fn health() -> impl Strategy<Value = HealthRecord> {
    let (failing, breaker) = (option((time(), any::<u32>())), option((due(), any::<u8>())));
    (endpoint_key(), seq(), failing, breaker).prop_map(|(endpoint, through, failing, breaker)| HealthRecord {
        endpoint,
        through,
        failing,
        breaker,
    })
}

/// A part that says nothing is not written.
fn pacing() -> impl Strategy<Value = Option<Box<PacingRecord>>> {
    let rate = (any::<u32>(), any::<u32>(), any::<u16>());
    let rate = rate.prop_map(|(count, burst, seconds)| RateRecord { count, burst, seconds });
    let breaker = (any::<u16>(), any::<u8>(), nanos(), nanos(), nanos());
    let breaker = breaker.prop_map(|(attempts, percent, window, open, longest)| BreakerRecord {
        attempts,
        percent,
        window,
        open,
        longest,
    });
    let disable = (nanos(), any::<u32>()).prop_map(|(age, failures)| DisableRecord { age, failures });
    (option(rate), setting(breaker), setting(disable), option(nanos())).prop_map(|(rate, breaker, disable, queue)| {
        let record = PacingRecord { rate, breaker, disable, queue };
        (record != PacingRecord::default()).then(|| Box::new(record))
    })
}

fn setting<T: Clone + core::fmt::Debug + 'static>(
    given: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Setting<T>> {
    prop_oneof![Just(Setting::Usual), Just(Setting::Off), given.prop_map(Setting::Given)]
}

pub(super) fn accepted() -> impl Strategy<Value = Accepted> {
    let names = (event_id(), tenant(), text(), option(text()), option(text()), option(text()));
    let replay = (event_id(), any::<u64>(), any::<bool>(), any::<u32>());
    let replay = option(replay.prop_map(|(of, number, keeps_id, subscription)| {
        Box::new(ReplayRecord { of, number, keeps_id, subscription })
    }));
    let rest = (time(), option(time()), any::<[u8; 16]>(), any::<u32>(), time(), replay);
    (names, rest).prop_map(
        |(
            (id, tenant, event_type, content_type, key, idempotency),
            (time, expires, digest, high_water, at, replay),
        )| {
            let (key, idempotency) = (key.map(Arc::from), idempotency.map(Arc::from));
            let payload = Bytes::new();
            Accepted {
                id,
                tenant,
                event_type,
                time,
                content_type,
                payload,
                key,
                idempotency,
                expires,
                digest,
                high_water,
                at,
                replay,
            }
        },
    )
}

pub(super) fn endpoint() -> impl Strategy<Value = EndpointRecord> {
    let wants = (endpoint_key(), text(), list(text()), any::<u8>(), list(nanos()), nanos(), any::<u16>());
    let secret = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..70).prop_map(|key| plain_key(&key)),
        (any::<[u8; 8]>(), bytes(70))
            .prop_map(|(id, bytes)| StoredKey::Sealed { id: KeyId::from_bytes(id), bytes: bytes.into() }),
    ];
    let key = (secret, option(time())).prop_map(|(secret, expires)| KeyRecord { secret, expires });
    let header = (text(), bytes(40), 0..3).prop_map(|(name, value, form)| {
        let value = Bytes::from(value);
        let value = match form {
            0 => StoredValue::Open(value),
            1 => StoredValue::Secret { value, sealed: None },
            _ => StoredValue::Sealed(value),
        };
        HeaderRecord { name, value }
    });
    let rings = (list(header), list(key), list(any::<[u8; 8]>().prop_map(KeyId::from_bytes)));
    let state = (any::<u8>(), time()).prop_map(|(code, since)| StateRecord { code, since });
    let filter = || option((any::<u8>(), text()).prop_map(|(language, text)| FilterRecord { language, text }));
    let retired = (any::<u32>(), any::<u32>(), text(), filter());
    let retired = retired.prop_map(|(number, at, patterns, filter)| RetiredRecord { number, at, patterns, filter });
    let dialect = (any::<u8>(), list(text())).prop_map(|(number, parts)| DialectRecord { number, parts });
    let cause = (any::<u8>(), any::<u8>(), any::<[u64; 2]>(), time(), option(nanos()));
    let cause = cause.prop_map(|(rule, event, inputs, at, next)| CauseRecord { rule, event, inputs, at, next });
    let paced = (option(nanos()), pacing(), any::<u8>(), any::<bool>());
    let chosen = (filter(), list(dialect));
    let shape = (list(text()), option(text()), option(cause), option(ask()), paced, chosen);
    let rest = (state, option(any::<u32>()), list(retired), time(), any::<bool>(), shape);
    (wants, rings, rest).prop_map(
        |(
            (key, url, patterns, encoding, schedule, timeout, concurrency),
            (headers, keys, revoked),
            (
                state,
                subscription,
                retired,
                at,
                keep_answers,
                (thin, source, cause, consent, (max_age, pacing, order, receipts), (filter, sign)),
            ),
        )| EndpointRecord {
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
        },
    )
}

fn ask() -> impl Strategy<Value = AskRecord> {
    (any::<u8>(), option(any::<u32>())).prop_map(|(by, rate)| AskRecord { by, rate })
}

fn consent() -> impl Strategy<Value = ConsentRecord> {
    let stage = (any::<u8>(), time(), any::<(u8, u32)>(), any::<u8>());
    (endpoint_key(), ask(), stage, list((any::<[u8; 32]>(), time())), time()).prop_map(
        |(endpoint, ask, (stage, since, detail, asks), tokens, at)| ConsentRecord {
            endpoint,
            ask,
            stage,
            since,
            detail,
            asks,
            tokens,
            at,
        },
    )
}

fn key_use() -> impl Strategy<Value = KeyUseRecord> {
    let uses = || {
        let uses = (any::<[u8; 8]>(), any::<u64>(), time(), time());
        uses.prop_map(|(key, count, since, last)| UseRecord { key: KeyId::from_bytes(key), count, since, last })
    };
    (endpoint_key(), list(uses()), option(uses()), any::<u64>(), any::<u64>(), time())
        .prop_map(|(endpoint, keys, run, unclear, heard, at)| KeyUseRecord { endpoint, keys, run, unclear, heard, at })
}

pub(super) fn outcome() -> impl Strategy<Value = OutcomeRecord> {
    let then = prop_oneof![
        Just(Then::Delivered),
        due().prop_map(Then::Retry),
        Just(Then::Exhausted),
        Just(Then::Refused),
        Just(Then::Discarded),
        Just(Then::Expired),
        Just(Then::Lost),
        Just(Then::Superseded),
    ];
    let kept = (list(any::<[u8; 8]>().prop_map(KeyId::from_bytes)), option(bytes(40).prop_map(Bytes::from)));
    (seq(), any::<u32>(), any::<u16>(), time(), nanos(), any::<u16>(), any::<(u8, u8)>(), (then, kept, 0..4u8))
        .prop_map(|(event, subscription, attempts, at, elapsed, status, failure, (then, (signed, answer), receipt))| {
            OutcomeRecord { event, subscription, attempts, at, elapsed, status, failure, then, signed, answer, receipt }
        })
}

pub(super) fn mark() -> impl Strategy<Value = Mark> {
    (seq(), any::<u32>(), list(any::<u32>())).prop_map(|(event, through, open)| Mark { event, through, open })
}

pub(super) fn due() -> impl Strategy<Value = Due> {
    (time(), nanos()).prop_map(|(written, delay)| Due { written, delay })
}

pub(super) fn seq() -> impl Strategy<Value = JournalSeq> {
    number().prop_map(JournalSeq::new)
}

pub(super) fn time() -> impl Strategy<Value = UnixTime> {
    number().prop_map(UnixTime::from_millis)
}

pub(super) fn nanos() -> impl Strategy<Value = Duration> {
    number().prop_map(Duration::from_nanos)
}

/// Numbers of every width, and not only wide ones.
pub(super) fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..=64).prop_map(|(number, shift)| number.checked_shr(shift).unwrap_or(0))
}

pub(super) fn seed() -> impl Strategy<Value = Seed> {
    any::<[u8; 32]>().prop_map(Seed::from_bytes)
}

pub(super) fn event_id() -> impl Strategy<Value = EventId> {
    "[!-\\-/-~]{1,40}".prop_map(|name| EventId::new(name).unwrap())
}

pub(super) fn tenant() -> impl Strategy<Value = TenantId> {
    "[!-~]{1,20}".prop_map(|name| TenantId::new(name).unwrap())
}

pub(super) fn endpoint_key() -> impl Strategy<Value = EndpointKey> {
    (tenant(), "[!-~]{1,20}").prop_map(|(tenant, id)| EndpointKey { tenant, id: EndpointId::new(id).unwrap() })
}

pub(super) fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}

pub(super) fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

pub(super) fn list<T: Strategy>(item: T) -> impl Strategy<Value = Vec<T::Value>> {
    prop::collection::vec(item, 0..4)
}

pub(super) fn option<T: Strategy>(value: T) -> impl Strategy<Value = Option<T::Value>> {
    prop::option::of(value)
}

//! The entries of a trace, written and read.

use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use core::time::Duration;

use super::mask::{Mask, stand_in_payload};
use super::replay::TraceError;
use crate::encoding::{Payload, Thin};
use crate::event::Event;
use crate::id::{AttemptId, EndpointId, EndpointKey, EventId, JournalSeq, LoadId, TenantId};
use crate::journal::wire::{Reader, Writer};
use crate::journal::{
    self, Accepted, EndpointRecord, HeaderRecord, KeyRecord, Record, StateRecord, StoredKey, StoredValue,
};
use crate::limits::Limits;
use crate::registration::{Endpoint, Policy};
use crate::response::{Outcome, Reply, TransportError};
use crate::secret::{KeyId, Secret};
use crate::seed::Seed;
use crate::sender::{Close, Config, Input, LoadError, PersistFailure};
use crate::time::{Instant, Now, UnixTime};

/// Bytes of a payload that a replay makes a stand-in for, at most.
const MOST: usize = 64 * 1024 * 1024;

/// Kinds of entries. Below 16: the beginning; below 64: calls; from 128 on: what came of them.
pub(super) mod kind {
    pub(crate) const CONFIG: u8 = 1;
    pub(crate) const SEED: u8 = 2;
    pub(crate) const RECORD: u8 = 3;
    pub(crate) const RESTORED: u8 = 4;
    pub(crate) const MISSING: u8 = 5;
    pub(crate) const PUBLISH: u8 = 16;
    pub(crate) const PUT: u8 = 17;
    pub(crate) const PAUSE: u8 = 18;
    pub(crate) const RESUME: u8 = 19;
    pub(crate) const DISABLE: u8 = 20;
    pub(crate) const REMOVE: u8 = 21;
    pub(crate) const ADD_KEY: u8 = 22;
    pub(crate) const EXPIRE_KEY: u8 = 23;
    pub(crate) const REVOKE_KEY: u8 = 24;
    pub(crate) const CANCEL: u8 = 25;
    pub(crate) const CLOSE: u8 = 26;
    pub(crate) const PURGE: u8 = 27;
    pub(crate) const ERASE: u8 = 28;
    pub(crate) const REWRITE: u8 = 29;
    pub(crate) const TICK: u8 = 32;
    pub(crate) const COMPLETED: u8 = 33;
    pub(crate) const PERSISTED: u8 = 34;
    pub(crate) const PERSIST_FAILED: u8 = 35;
    pub(crate) const ROOM: u8 = 36;
    pub(crate) const LOADED: u8 = 37;
    pub(crate) const CREDIT: u8 = 38;
    pub(crate) const TRIMMED: u8 = 39;
    pub(crate) const RESULT: u8 = 128;
    pub(crate) const OUTPUT: u8 = 129;
}

/// A call as a trace has it.
#[derive(Debug)]
pub(super) enum Call {
    Publish(Event),
    Put(Endpoint),
    Pause(EndpointKey),
    Resume(EndpointKey),
    Disable(EndpointKey),
    Remove(EndpointKey),
    AddKey(EndpointKey, Secret),
    ExpireKey(EndpointKey, KeyId, UnixTime),
    RevokeKey(EndpointKey, KeyId),
    Cancel(TenantId, EventId),
    Rewrite(EndpointKey),
    Purge(TenantId),
    Erase(TenantId, EventId),
    /// An attempt ended, and so many keys had signed it.
    Completed(AttemptId, Outcome, u8),
    Close(Close),
    Input(Input),
}

/// Appends entries.
#[derive(Debug, Default)]
pub(super) struct Tape {
    out: BytesMut,
    last: Now,
}

impl Tape {
    pub(super) fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(super) fn w(&mut self) -> Writer<'_> {
        Writer::new(&mut self.out)
    }

    /// Begins a call.
    pub(super) fn call(&mut self, kind: u8, now: Now) -> Writer<'_> {
        let mut few = Few::new();
        few.head(kind, self.since(now));
        self.out.put_slice(few.bytes());
        self.w()
    }

    /// The clocks as differences to those of the last call.
    fn since(&mut self, now: Now) -> (u64, u64) {
        let mono = now.mono.as_nanos().wrapping_sub(self.last.mono.as_nanos());
        let wall = now.wall.as_millis().wrapping_sub(self.last.wall.as_millis());
        self.last = now;
        (zigzag(mono), zigzag(wall))
    }

    pub(super) fn digest(&mut self, kind: u8, digest: u32) {
        let [a, b, c, d] = digest.to_le_bytes();
        self.out.put_slice(&[kind, a, b, c, d]);
    }

    pub(super) fn record(&mut self, seq: JournalSeq, record: &Record) {
        journal::encode(seq, record, &mut self.out);
    }

    pub(super) fn config(&mut self, config: &Config) {
        self.out.put_u8(kind::CONFIG);
        let mut w = self.w();
        for number in numbers(&config.limits) {
            w.u64(number);
        }
        w.duration(config.limits.idempotency_window);
        w.flag(config.policy.allows_http());
        w.many(config.policy.listed(), |w, network| w.text(&network.to_string()));
    }

    /// A call without anything further.
    pub(super) fn plain(&mut self, kind: u8, now: Now) {
        self.call(kind, now);
    }

    /// A call that names an endpoint and nothing further.
    pub(super) fn named(&mut self, kind: u8, now: Now, endpoint: &EndpointKey) {
        self.endpoint(kind, now, endpoint);
    }

    /// Begins a call that names an endpoint.
    pub(super) fn endpoint(&mut self, kind: u8, now: Now, endpoint: &EndpointKey) -> Writer<'_> {
        let mut w = self.call(kind, now);
        w.text(endpoint.tenant.as_str());
        w.text(endpoint.id.as_str());
        w
    }

    /// Says whether the event could be written; one that is described wrongly changes nothing.
    pub(super) fn publish(&mut self, now: Now, event: &Event, mask: &Mask) -> bool {
        if event.mistake().is_some() {
            self.plain(kind::TICK, now);
            return false;
        }
        let parts = event.parts();
        let flags = [
            event.event_id().is_some(),
            parts.time.is_some(),
            event.payload().is_json(),
            parts.key.is_some(),
            parts.idempotency.is_some(),
            parts.expires.is_some(),
            !mask.hides(),
        ];
        let payload = event.payload().body();
        let mut few = Few::new();
        few.head(kind::PUBLISH, self.since(now));
        few.put([flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag))]);
        few.put(mask.digest(event.digest()));
        self.out.put_slice(few.bytes());
        let mut w = self.w();
        w.text(event.event_type().as_str());
        w.text(event.tenant_id().as_str());
        if let Some(id) = event.event_id() {
            w.text(id.as_str());
        }
        if let Some(time) = parts.time {
            w.time(time);
        }
        if !event.payload().is_json() {
            w.short(event.payload().content_type().as_bytes());
        }
        for key in [parts.key, parts.idempotency].into_iter().flatten() {
            w.text(key);
        }
        if let Some(expires) = parts.expires {
            w.time(expires);
        }
        if mask.hides() {
            w.u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        } else {
            w.long(payload);
        }
        true
    }

    /// Says whether the endpoint could be written; one that is described wrongly changes nothing.
    pub(super) fn put(&mut self, now: Now, endpoint: &Endpoint, policy: &Policy, mask: &mut Mask) -> bool {
        let Ok(config) = endpoint.config(policy) else {
            self.plain(kind::TICK, now);
            return false;
        };
        let headers = config
            .headers
            .iter()
            .map(|(name, value)| HeaderRecord { name: name.as_str().to_string(), value: StoredValue::of(value, None) });
        let keys = endpoint
            .secrets()
            .iter()
            .map(|secret| KeyRecord { secret: StoredKey::Plain(secret.clone()), expires: None });
        let record = EndpointRecord {
            key: config.key.clone(),
            url: config.target.as_str().to_string(),
            patterns: config.subscription.patterns().iter().map(ToString::to_string).collect(),
            encoding: config.shape.encoding.to_wire(),
            schedule: config.schedule.delays().to_vec(),
            timeout: config.timeout,
            concurrency: config.concurrency,
            headers: headers.collect(),
            keep_answers: config.keep_answers,
            keys: keys.collect(),
            revoked: Vec::new(),
            state: StateRecord { code: 0, since: UnixTime::EPOCH },
            subscription: None,
            retired: Vec::new(),
            at: UnixTime::EPOCH,
            thin: config.shape.thin.iter().flat_map(Thin::pointers).map(ToString::to_string).collect(),
            source: config.shape.source.as_ref().map(|source| source.as_str().to_string()),
        };
        let record = mask.endpoint(record);
        self.call(kind::PUT, now);
        self.record(JournalSeq::ZERO, &Record::Endpoint(alloc::boxed::Box::new(record)));
        true
    }

    /// `signed` says how many keys signed the attempt that ends.
    pub(super) fn input(&mut self, now: Now, input: &Input, signed: u8, mask: &mut Mask) {
        match input {
            Input::Tick => self.plain(kind::TICK, now),
            Input::Completed { attempt, outcome } => {
                let mut few = Few::new();
                few.head(kind::COMPLETED, self.since(now));
                few.put(attempt.incarnation().to_le_bytes());
                few.put(attempt.slot().to_le_bytes());
                few.put(attempt.turn().to_le_bytes());
                few.put([signed, u8::from(outcome.is_ok())]);
                let failure =
                    outcome.as_ref().map_or_else(|error| error.to_wire().into(), |reply| reply.status().to_le_bytes());
                few.put(failure);
                self.out.put_slice(few.bytes());
                if let Ok(reply) = outcome {
                    write_reply(reply, mask, &mut self.w());
                }
            }
            Input::Persisted(seq) => self.call(kind::PERSISTED, now).seq(*seq),
            Input::PersistFailed { from, why } => {
                let mut w = self.call(kind::PERSIST_FAILED, now);
                w.seq(*from);
                w.flag(*why == PersistFailure::Full);
            }
            Input::Room(bytes) => self.call(kind::ROOM, now).u64(*bytes),
            Input::Loaded { request, result } => {
                let mut w = self.call(kind::LOADED, now);
                w.u64(request.0);
                match result {
                    Ok(records) => {
                        w.u8(0);
                        w.u32(u32::try_from(records.len()).unwrap_or(u32::MAX));
                        for (seq, record) in records {
                            let masked = mask.record(record.clone());
                            self.record(*seq, &masked);
                        }
                    }
                    Err(LoadError::Unavailable) => w.u8(1),
                    Err(LoadError::Corrupt) => w.u8(2),
                }
            }
            Input::Credit(attempts) => self.call(kind::CREDIT, now).u32(*attempts),
            Input::Trimmed { events, before } => {
                let mut w = self.call(kind::TRIMMED, now);
                w.u64(*events);
                w.time(*before);
            }
        }
    }
}

fn write_reply(reply: &Reply, mask: &Mask, w: &mut Writer<'_>) {
    let (date, hints) = reply.lines();
    let flags = u8::from(date.is_some()) | u8::from(hints.len() > 0) << 1 | u8::from(reply.body().is_some()) << 2;
    w.u8(flags);
    if let Some(date) = date {
        w.short(date);
    }
    if hints.len() > 0 {
        w.u16(u16::try_from(hints.len()).unwrap_or(u16::MAX));
        hints.for_each(|line| w.short(line));
    }
    if let Some(body) = mask.answer(reply) {
        w.long(&body);
    }
}

/// Everything that a machine may hold, but for the one duration.
fn numbers(limits: &Limits) -> [u64; 12] {
    [
        limits.payload as u64,
        limits.events as u64,
        limits.resident as u64,
        limits.pending as u64,
        limits.endpoints as u64,
        limits.unwritten,
        limits.reports as u64,
        limits.idempotency_entries as u64,
        limits.snapshot_every,
        limits.response_kept as u64,
        limits.response_read as u64,
        limits.response_head as u64,
    ]
}

fn limits_of(numbers: [u64; 12], idempotency_window: Duration) -> Limits {
    let [payload, events, resident, pending, endpoints, unwritten, reports, entries, snapshot_every, kept, read, head] =
        numbers;
    let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        payload: size(payload),
        events: size(events),
        resident: size(resident),
        pending: size(pending),
        endpoints: size(endpoints),
        unwritten,
        reports: size(reports),
        idempotency_window,
        idempotency_entries: size(entries),
        snapshot_every,
        response_kept: size(kept),
        response_read: size(read),
        response_head: size(head),
    }
}

const fn zigzag(difference: u64) -> u64 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// A few bytes that are put together before they are appended, which is quicker than appending each.
struct Few {
    bytes: [u8; 48],
    len: usize,
}

impl Few {
    const fn new() -> Self {
        Self { bytes: [0; 48], len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += N;
    }

    fn head(&mut self, kind: u8, (mono, wall): (u64, u64)) {
        self.put([kind]);
        self.varint(mono);
        self.varint(wall);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put([number as u8 | 0x80]);
            number >>= 7;
        }
        self.put([number as u8]);
    }
}

/// Reads entries.
#[derive(Debug)]
pub(super) struct Reel {
    bytes: Bytes,
    at: usize,
    last: Now,
}

type Read<T> = Result<T, TraceError>;

impl Reel {
    pub(super) const fn new(bytes: Bytes, at: usize) -> Self {
        Self { bytes, at, last: Now { mono: Instant::ORIGIN, wall: UnixTime::EPOCH } }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The kind of the next entry; `None` at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Reads fields; the error of the codec becomes that of the trace, at its place.
    pub(super) fn fields<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, journal::CodecError>,
    ) -> Read<T> {
        let bytes = self.bytes.clone();
        let mut reader = Reader::new(&bytes, self.at);
        let value = read(&mut reader).map_err(|why| TraceError::Damaged { at: why.at })?;
        self.at = reader.at();
        Ok(value)
    }

    pub(super) fn kind(&mut self) -> Read<u8> {
        self.fields(|r| r.u8("kind"))
    }

    fn varint(&mut self) -> Read<u64> {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let byte = self.kind()?;
            if shift >= 64 {
                return Err(TraceError::Damaged { at: self.at });
            }
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok(number);
            }
        }
    }

    pub(super) fn clocks(&mut self) -> Read<Now> {
        let mono = unzigzag(self.varint()?).wrapping_add(self.last.mono.as_nanos());
        let wall = unzigzag(self.varint()?).wrapping_add(self.last.wall.as_millis());
        self.last = Now { mono: Instant::from_nanos(mono), wall: UnixTime::from_millis(wall) };
        Ok(self.last)
    }

    /// A record, with a stand-in for the payload that was left out.
    pub(super) fn record(&mut self) -> Read<(JournalSeq, Record)> {
        let mut rest = self.bytes.slice(self.at..);
        let before = rest.len();
        let (seq, record) = journal::decode(&mut rest).map_err(|why| TraceError::Damaged { at: self.at + why.at })?;
        self.at += before - rest.len();
        let record = match record {
            Record::Kept(kept) => {
                let len = usize::try_from(kept.payload_len).unwrap_or(usize::MAX);
                if len > MOST {
                    return Err(TraceError::Damaged { at: self.at });
                }
                let payload = stand_in_payload(len, kept.accepted.content_type.is_none());
                Record::Accepted(alloc::boxed::Box::new(Accepted { payload, ..kept.accepted }))
            }
            other => other,
        };
        Ok((seq, record))
    }

    pub(super) fn config(&mut self) -> Read<Config> {
        let at = self.at;
        let (numbers, window, http, networks) = self.fields(|r| {
            let mut numbers = [0; 12];
            for number in &mut numbers {
                *number = r.u64("limits")?;
            }
            Ok((numbers, r.duration("window")?, r.flag("http")?, r.many("networks", 2, |r| r.string("networks"))?))
        })?;
        let mut policy = Policy::default();
        if http {
            policy = policy.allow_http();
        }
        for network in networks {
            let damaged = TraceError::Damaged { at };
            let network = network.parse().map_err(|_| damaged.clone())?;
            policy = policy.allow(network).map_err(|_| damaged)?;
        }
        Ok(Config::new().limits(limits_of(numbers, window)).policy(policy))
    }

    pub(super) fn seed(&mut self) -> Read<Seed> {
        self.fields(|r| r.array("seed").map(Seed::from_bytes))
    }

    pub(super) fn missing(&mut self) -> Read<(JournalSeq, JournalSeq)> {
        self.fields(|r| Ok((r.seq("first")?, r.seq("last")?)))
    }

    pub(super) fn digest(&mut self) -> Read<u32> {
        self.fields(|r| r.u32("digest"))
    }

    fn key(&mut self) -> Read<EndpointKey> {
        let at = self.at;
        let (tenant, id) = self.fields(|r| Ok((r.string("tenant")?, r.string("endpoint")?)))?;
        let (Ok(tenant), Ok(id)) = (TenantId::new(tenant), EndpointId::new(id)) else {
            return Err(TraceError::Damaged { at });
        };
        Ok(EndpointKey { tenant, id })
    }

    fn key_id(&mut self) -> Read<KeyId> {
        self.fields(|r| r.array("key").map(KeyId::from_bytes))
    }

    pub(super) fn call(&mut self, of: u8) -> Read<Call> {
        let at = self.at;
        Ok(match of {
            kind::PUBLISH => Call::Publish(self.event()?),
            kind::PUT => match self.record()?.1 {
                Record::Endpoint(record) => Call::Put(endpoint_of(&record)),
                _ => return Err(TraceError::Damaged { at }),
            },
            kind::PAUSE => Call::Pause(self.key()?),
            kind::RESUME => Call::Resume(self.key()?),
            kind::DISABLE => Call::Disable(self.key()?),
            kind::REMOVE => Call::Remove(self.key()?),
            kind::ADD_KEY => {
                let key = self.key()?;
                let secret = self.fields(|r| r.short("key").map(<[u8]>::to_vec))?;
                Call::AddKey(key, Secret::from_bytes_any_size(secret).map_err(|_| TraceError::Damaged { at })?)
            }
            kind::EXPIRE_KEY => Call::ExpireKey(self.key()?, self.key_id()?, self.fields(|r| r.time("at"))?),
            kind::REVOKE_KEY => Call::RevokeKey(self.key()?, self.key_id()?),
            kind::CANCEL => {
                let (tenant, id) = self.names()?;
                Call::Cancel(tenant, id)
            }
            kind::REWRITE => Call::Rewrite(self.key()?),
            kind::PURGE => {
                let tenant = self.fields(|r| r.string("tenant"))?;
                Call::Purge(TenantId::new(tenant).map_err(|_| TraceError::Damaged { at })?)
            }
            kind::ERASE => {
                let (tenant, id) = self.names()?;
                Call::Erase(tenant, id)
            }
            kind::COMPLETED => self.completed()?,
            kind::CLOSE => Call::Close(if self.fields(|r| r.flag("how"))? { Close::Now } else { Close::Drain }),
            other => Call::Input(self.input(other)?),
        })
    }

    /// A tenant and an event.
    fn names(&mut self) -> Read<(TenantId, EventId)> {
        let at = self.at;
        let (tenant, id) = self.fields(|r| Ok((r.string("tenant")?, r.string("event")?)))?;
        let (Ok(tenant), Ok(id)) = (TenantId::new(tenant), EventId::new(id)) else {
            return Err(TraceError::Damaged { at });
        };
        Ok((tenant, id))
    }

    fn event(&mut self) -> Read<Event> {
        let at = self.at;
        let described = self.fields(|r| {
            let flags = r.u8("flags")?;
            let digest = r.array("digest")?;
            let (event_type, tenant) = (r.string("type")?, r.string("tenant")?);
            let set = |bit: u8| flags >> bit & 1 != 0;
            let id = if set(0) { Some(r.string("id")?) } else { None };
            let time = if set(1) { Some(r.time("time")?) } else { None };
            let content_type = if set(2) { None } else { Some(r.string("content_type")?) };
            let key = if set(3) { Some(r.string("key")?) } else { None };
            let idempotency = if set(4) { Some(r.string("idempotency")?) } else { None };
            let expires = if set(5) { Some(r.time("expires")?) } else { None };
            let size = usize::try_from(r.u32("payload")?).unwrap_or(usize::MAX);
            let payload = if set(6) { Some(r.raw("payload", size)?.to_vec()) } else { None };
            Ok((digest, event_type, tenant, id, time, content_type, key, idempotency, expires, size, payload))
        })?;
        let (digest, event_type, tenant, id, time, content_type, key, idempotency, expires, size, payload) = described;
        if size > MOST {
            return Err(TraceError::Damaged { at });
        }
        let payload = payload.map_or_else(|| stand_in_payload(size, content_type.is_none()), Bytes::from);
        let payload = match content_type {
            None => Payload::json_bytes(payload),
            Some(content_type) => Payload::raw(&content_type, payload),
        };
        let event = payload.ok().and_then(|payload| Event::new(&event_type, payload).ok());
        let mut event = event.ok_or(TraceError::Damaged { at })?.tenant(tenant);
        if let Some(id) = id {
            event = event.id(id);
        }
        if let Some(time) = time {
            event = event.time(time);
        }
        if let Some(key) = key {
            event = event.key(key);
        }
        if let Some(key) = idempotency {
            event = event.idempotency_key(key);
        }
        if let Some(expires) = expires {
            event = event.expires(expires);
        }
        Ok(event.with_digest(digest))
    }

    fn input(&mut self, of: u8) -> Read<Input> {
        let at = self.at;
        Ok(match of {
            kind::TICK => Input::Tick,
            kind::PERSISTED => Input::Persisted(self.fields(|r| r.seq("seq"))?),
            kind::PERSIST_FAILED => {
                let (from, full) = self.fields(|r| Ok((r.seq("from")?, r.flag("full")?)))?;
                let why = if full { PersistFailure::Full } else { PersistFailure::Broken };
                Input::PersistFailed { from, why }
            }
            kind::ROOM => Input::Room(self.fields(|r| r.u64("room"))?),
            kind::LOADED => {
                let (request, how) = self.fields(|r| Ok((r.u64("request")?, r.u8("how")?)))?;
                let result = match how {
                    0 => {
                        let count = self.fields(|r| r.u32("records"))?;
                        Ok((0..count).map(|_| self.record()).collect::<Read<Vec<_>>>()?)
                    }
                    1 => Err(LoadError::Unavailable),
                    2 => Err(LoadError::Corrupt),
                    _ => return Err(TraceError::Damaged { at }),
                };
                Input::Loaded { request: LoadId(request), result }
            }
            kind::CREDIT => Input::Credit(self.fields(|r| r.u32("credit"))?),
            kind::TRIMMED => {
                let (events, before) = self.fields(|r| Ok((r.u64("events")?, r.time("before")?)))?;
                Input::Trimmed { events, before }
            }
            _ => return Err(TraceError::Damaged { at }),
        })
    }

    fn completed(&mut self) -> Read<Call> {
        let at = self.at;
        let id = self.fields(|r| Ok([r.u32("id")?, r.u32("id")?, r.u32("id")?]))?;
        let (signed, ok) = self.fields(|r| Ok((r.u8("signed")?, r.flag("ok")?)))?;
        let attempt = AttemptId::new(id[0], id[1], id[2]);
        if !ok {
            let (variant, detail) = self.fields(|r| Ok((r.u8("failure")?, r.u8("failure")?)))?;
            let error = TransportError::from_wire(variant, detail).ok_or(TraceError::Damaged { at })?;
            return Ok(Call::Completed(attempt, Err(error), signed));
        }
        let reply = self.fields(|r| {
            let mut reply = Reply::new(r.u16("status")?);
            let flags = r.u8("flags")?;
            if flags & 1 != 0 {
                reply = reply.header("date", r.short("date")?);
            }
            let hints = if flags & 2 != 0 { r.u16("hints")? } else { 0 };
            for _ in 0..hints {
                reply = reply.header("retry-after", r.short("hints")?);
            }
            Ok(if flags & 4 != 0 { reply.with_body(Bytes::copy_from_slice(r.long("body")?)) } else { reply })
        })?;
        Ok(Call::Completed(attempt, Ok(reply), signed))
    }
}

/// An endpoint as it was put.
fn endpoint_of(record: &EndpointRecord) -> Endpoint {
    let mut endpoint = Endpoint::new(record.key.id.as_str(), &record.url)
        .tenant(record.key.tenant.as_str())
        .events(&record.patterns)
        .shape_of(record.encoding, &record.thin, record.source.as_deref())
        .keep_answers(record.keep_answers)
        .schedule(record.schedule.iter().copied())
        .timeout(record.timeout)
        .concurrency(record.concurrency);
    for HeaderRecord { name, value } in &record.headers {
        let text = |bytes: &Bytes| alloc::string::String::from_utf8_lossy(bytes).into_owned();
        endpoint = match value {
            StoredValue::Open(value) => endpoint.header(name, text(value)),
            StoredValue::Secret { value, .. } => endpoint.secret_header(name, text(value)),
            // None is written.
            StoredValue::Sealed(_) => endpoint,
        };
    }
    let keys = record.keys.iter().filter_map(|key| key.secret.secret());
    keys.fold(endpoint, |endpoint, key| endpoint.signing_key(key.clone()))
}

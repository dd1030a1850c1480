//! The entries of a trace, read.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::call::{Call, kind};
use super::mask::{of_kind, stand_in_payload};
use super::replay::TraceError;
use crate::encoding::Payload;
use crate::event::Event;
use crate::id::{AttemptId, EndpointId, EndpointKey, EventId, JournalSeq, LoadId, TenantId};
use crate::journal::wire::Reader;
use crate::journal::{self, Accepted, EndpointRecord, Record};
use crate::limits::Limits;
use crate::registration::consent::Origin;
use crate::registration::quota::Quotas;
use crate::registration::{Endpoint, Policy};
use crate::response::{Reply, TransportError};
use crate::secret::{KeyId, Secret};
use crate::seed::Seed;
use crate::sender::described::endpoint_of;
use crate::sender::{Called, Close, Config, Input, LoadError, PersistFailure, Replay, ReplayAs};
use crate::time::{Instant, Now, UnixTime};

/// Bytes of a payload that a replay makes a stand-in for, at most.
const MOST: usize = 64 * 1024 * 1024;

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
            let mut numbers = [0; 13];
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
        let mut limits = limits_of(numbers, window);
        if self.bytes.get(self.at) == Some(&kind::BOUNDS) {
            let bounds = self.fields(|r| Ok((r.u8("kind")?, r.u32("bounds")?, r.u32("bounds")?)))?;
            (_, limits.tenant_in_flight, limits.host_in_flight) = bounds;
        }
        Ok(Config::new().limits(limits).policy(policy))
    }

    /// Wishes of single tenants about operational events.
    pub(super) fn operational_of(&mut self, config: Config) -> Read<Config> {
        let at = self.at;
        let wishes = self.fields(|r| r.many("tenants", 2, |r| Ok((r.string("tenant")?, r.flag("told")?))))?;
        wishes.into_iter().try_fold(config, |config, (tenant, told)| {
            let tenant = TenantId::new(tenant).map_err(|_| TraceError::Damaged { at })?;
            Ok(config.operational_events_of(tenant, told))
        })
    }

    /// What [`Tape::identity`](super::tape::Tape::identity) wrote.
    pub(super) fn identity(&mut self, mut config: Config) -> Read<Config> {
        let at = self.at;
        let (origin, callback) = self.fields(|r| {
            Ok((r.option("origin", |r| r.string("origin"))?, r.option("callback", |r| r.string("callback"))?))
        })?;
        if let Some(origin) = origin {
            config = config.origin(Origin::new(&origin).map_err(|_| TraceError::Damaged { at })?);
        }
        match callback {
            Some(callback) => config.callback(&callback).map_err(|_| TraceError::Damaged { at }),
            None => Ok(config),
        }
    }

    /// What [`Tape::quotas`](super::tape::Tape::quotas) wrote.
    pub(super) fn quotas(&mut self, mut config: Config) -> Read<Config> {
        let at = self.at;
        let (all, of) = self.fields(|r| {
            let all = read_quotas(r)?;
            Ok((all, r.many("quotas", 5, |r| Ok((r.string("tenant")?, read_quotas(r)?)))?))
        })?;
        let damaged = || TraceError::Damaged { at };
        config = config.quotas(all.ok_or_else(damaged)?);
        for (tenant, quotas) in of {
            let tenant = TenantId::new(tenant).map_err(|_| damaged())?;
            config = config.quotas_of(tenant, quotas.ok_or_else(damaged)?);
        }
        Ok(config)
    }

    pub(super) fn seed(&mut self) -> Read<Seed> {
        self.fields(|r| r.array("seed").map(Seed::from_bytes))
    }

    pub(super) fn missing(&mut self) -> Read<(JournalSeq, JournalSeq)> {
        self.fields(|r| Ok((r.seq("first")?, r.seq("last")?)))
    }

    pub(super) fn matched(&mut self) -> Read<Vec<u32>> {
        self.fields(|r| r.many("matched", 4, |r| r.u32("matched")))
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
            kind::REPLAY => {
                let event = self.event()?;
                let (of, endpoint, fresh) =
                    self.fields(|r| Ok((r.string("of")?, r.string("endpoint")?, r.flag("fresh")?)))?;
                let (Ok(of), Ok(endpoint)) = (EventId::new(of), EndpointId::new(endpoint)) else {
                    return Err(TraceError::Damaged { at });
                };
                let how = if fresh { ReplayAs::Fresh } else { ReplayAs::Same };
                Call::Replay(Replay::of_parts(event, of, endpoint, how))
            }
            kind::PUT => match self.record()?.1 {
                Record::Endpoint(record) => Call::Put(put(&record)),
                _ => return Err(TraceError::Damaged { at }),
            },
            kind::PAUSE => Call::Pause(self.key()?),
            kind::RESUME => Call::Resume(self.key()?),
            kind::DISABLE => Call::Disable(self.key()?),
            kind::REMOVE => Call::Remove(self.key()?),
            kind::ADD_KEY | kind::ADD_PAIR => {
                let key = self.key()?;
                let bytes = self.fields(|r| r.short("key").map(<[u8]>::to_vec))?;
                if bytes.is_empty() {
                    return Err(TraceError::Damaged { at });
                }
                Call::AddKey(key, of_kind(&bytes, of == kind::ADD_PAIR))
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
            kind::SYNC => {
                let (tenant, revision, count) =
                    self.fields(|r| Ok((r.string("tenant")?, r.u64("revision")?, r.u32("endpoints")?)))?;
                let tenant = TenantId::new(tenant).map_err(|_| TraceError::Damaged { at })?;
                let entry = |_| match self.record()?.1 {
                    Record::Endpoint(record) => Ok(put(&record)),
                    _ => Err(TraceError::Damaged { at }),
                };
                Call::Sync(tenant, revision, (0..count).map(entry).collect::<Read<Vec<_>>>()?)
            }
            kind::ROTATE_KEY => {
                let endpoint = self.key()?;
                let (secret, overlap) = self.fields(|r| Ok((r.short("secret")?.to_vec(), r.duration("overlap")?)))?;
                let secret = Secret::from_bytes_any_size(secret).map_err(|_| TraceError::Damaged { at })?;
                Call::RotateKey(endpoint, secret, overlap)
            }
            kind::FINISH_ROTATION => Call::FinishRotation(self.key()?),
            kind::CALLED_BACK => {
                let (path, method, lines) = self.fields(|r| {
                    let line = |r: &mut Reader<'_>| Ok((r.string("lines")?, Bytes::copy_from_slice(r.short("lines")?)));
                    Ok((r.string("token")?, r.string("method")?, r.many("lines", 4, line)?))
                })?;
                Call::CalledBack(Called::new(&method, &path).headers(lines))
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
            if flags & 4 != 0 {
                reply = reply.with_body(Bytes::copy_from_slice(r.long("body")?));
            }
            let kept = if flags & 8 != 0 {
                r.many("kept", 4, |r| Ok((r.string("kept")?, Bytes::copy_from_slice(r.short("kept")?))))?
            } else {
                Vec::new()
            };
            Ok(reply.headers(kept))
        })?;
        Ok(Call::Completed(attempt, Ok(reply), signed))
    }
}

fn read_quotas(r: &mut Reader<'_>) -> Result<Option<Quotas>, journal::CodecError> {
    let mut number = || r.option("quotas", |r| r.u64("quotas"));
    let numbers = [number()?, number()?, number()?];
    let rate = r.option("quotas", |r| Ok((r.u32("quotas")?, r.duration("quotas")?, r.u32("quotas")?)))?;
    Ok(Quotas::from_wire(numbers, rate))
}

fn limits_of(numbers: [u64; 13], idempotency_window: Duration) -> Limits {
    let [payload, events, resident, pending, endpoints, unwritten, reports, numbers @ ..] = numbers;
    let [entries, total, snapshot_every, kept, read, head] = numbers;
    let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        payload: size(payload),
        events: size(events),
        resident: size(resident),
        pending: size(pending),
        endpoints: size(endpoints),
        unwritten,
        tenant_in_flight: u32::MAX,
        host_in_flight: u32::MAX,
        reports: size(reports),
        idempotency_window,
        idempotency_entries: size(entries),
        idempotency_total: size(total),
        snapshot_every,
        response_kept: size(kept),
        response_read: size(read),
        response_head: size(head),
    }
}

const fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// An endpoint as it was put.
fn put(record: &EndpointRecord) -> Endpoint {
    let keys = record.keys.iter().filter_map(|key| key.secret.secret());
    keys.fold(endpoint_of(record), |endpoint, key| endpoint.signing_key(key.clone()))
}

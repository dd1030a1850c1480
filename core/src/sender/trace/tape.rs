//! The entries of a trace, written.

use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

use super::call::kind;
use super::mask::Mask;
use crate::event::Event;
use crate::id::{EndpointKey, JournalSeq, TenantId};
use crate::journal::wire::Writer;
use crate::journal::{self, EndpointRecord, KeyRecord, Record, StoredKey};
use crate::limits::Limits;
use crate::registration::quota::Quotas;
use crate::registration::{self, Endpoint, Policy};
use crate::response::Reply;
use crate::secret::Secret;
use crate::sender::described::described;
use crate::sender::{Config, Input, LoadError, PersistFailure, Replay, ReplayAs};
use crate::time::Now;

/// Appends entries.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// All but the last few bytes.
    out: BytesMut,
    few: Few,
    last: Now,
}

impl Tape {
    pub(super) fn take(&mut self) -> Bytes {
        self.flush();
        self.out.split().freeze()
    }

    pub(super) fn len(&self) -> usize {
        self.out.len() + self.few.len
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.w().raw(bytes);
    }

    pub(super) fn w(&mut self) -> Writer<'_> {
        self.flush();
        Writer::new(&mut self.out)
    }

    fn flush(&mut self) {
        self.out.put_slice(&self.few.bytes[..self.few.len]);
        self.few.len = 0;
    }

    /// Where an entry of a few bytes is put together, or the beginning of a longer one.
    #[inline]
    fn few(&mut self) -> &mut Few {
        if self.few.len > Few::ROOM - Few::MOST {
            self.flush();
        }
        &mut self.few
    }

    /// Begins a call.
    pub(super) fn call(&mut self, kind: u8, now: Now) -> Writer<'_> {
        let since = self.since(now);
        self.few().head(kind, since);
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
        self.few().put([kind, a, b, c, d]);
    }

    /// What filters have answered.
    pub(super) fn matched(&mut self, answers: &[Vec<u32>]) {
        for answer in answers {
            let mut w = self.w();
            w.u8(kind::MATCHED);
            w.many(answer, |w, number| w.u32(*number));
        }
    }

    pub(super) fn record(&mut self, seq: JournalSeq, record: &Record) {
        self.flush();
        journal::encode(seq, record, &mut self.out);
    }

    pub(super) fn config(&mut self, config: &Config) {
        let mut w = self.w();
        w.u8(kind::CONFIG);
        for number in numbers(&config.limits) {
            w.u64(number);
        }
        w.duration(config.limits.idempotency_window);
        w.flag(config.policy.allows_http());
        w.many(config.policy.listed(), |w, network| w.text(&network.to_string()));
        let bounds = [config.limits.tenant_in_flight, config.limits.host_in_flight];
        if bounds != [u32::MAX; 2] {
            w.u8(kind::BOUNDS);
            bounds.into_iter().for_each(|bound| w.u32(bound));
        }
        if config.operational_events {
            w.u8(kind::OPERATIONAL);
        }
        if !config.operational_of.is_empty() {
            w.u8(kind::OPERATIONAL_OF);
            w.u32(u32::try_from(config.operational_of.len()).unwrap_or(u32::MAX));
            for (tenant, told) in &config.operational_of {
                w.text(tenant.as_str());
                w.flag(*told);
            }
        }
    }

    /// The name under which consent is asked for, and where it may be given later, for a machine that has them.
    pub(super) fn identity(&mut self, config: &Config) {
        if config.origin.is_none() && config.callback.is_none() {
            return;
        }
        let mut w = self.w();
        w.u8(kind::IDENTITY);
        w.option(config.origin.as_ref(), |w, origin| w.text(origin.as_str()));
        w.option(config.callback.as_deref(), Writer::text);
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
        self.event(kind::PUBLISH, now, event, mask)
    }

    /// The same of an event that is to be sent again, and where to.
    pub(super) fn replay(&mut self, now: Now, replay: &Replay, mask: &Mask) -> bool {
        let written = self.event(kind::REPLAY, now, replay.event(), mask);
        if written {
            let mut w = self.w();
            w.text(replay.of().as_str());
            w.text(replay.endpoint().as_str());
            w.flag(replay.how() == ReplayAs::Fresh);
        }
        written
    }

    fn event(&mut self, kind: u8, now: Now, event: &Event, mask: &Mask) -> bool {
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
        let since = self.since(now);
        let few = self.few();
        few.head(kind, since);
        few.put([flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag))]);
        few.put(mask.digest(event.digest()));
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
        let record = mask.endpoint(put(endpoint, &config));
        self.call(kind::PUT, now);
        self.record(JournalSeq::ZERO, &Record::Endpoint(alloc::boxed::Box::new(record)));
        true
    }

    /// Says whether the list could be written; one with an entry that is described wrongly changes nothing.
    pub(super) fn sync(
        &mut self,
        now: Now,
        (tenant, revision): (&TenantId, u64),
        endpoints: &[Endpoint],
        policy: &Policy,
        mask: &mut Mask,
    ) -> bool {
        let configs: Result<Vec<_>, _> = endpoints.iter().map(|endpoint| endpoint.config(policy)).collect();
        let Ok(configs) = configs else {
            self.plain(kind::TICK, now);
            return false;
        };
        let mut w = self.call(kind::SYNC, now);
        w.text(tenant.as_str());
        w.u64(revision);
        w.u32(u32::try_from(endpoints.len()).unwrap_or(u32::MAX));
        for (endpoint, config) in endpoints.iter().zip(&configs) {
            let record = mask.endpoint(put(endpoint, config));
            self.record(JournalSeq::ZERO, &Record::Endpoint(alloc::boxed::Box::new(record)));
        }
        true
    }

    /// What tenants may take up, for a machine that limits it.
    pub(super) fn quotas(&mut self, config: &Config) {
        if config.quotas == Quotas::default() && config.quotas_of.is_empty() {
            return;
        }
        let mut w = self.w();
        w.u8(kind::QUOTAS);
        write_quotas(&config.quotas, &mut w);
        w.u32(u32::try_from(config.quotas_of.len()).unwrap_or(u32::MAX));
        for (tenant, quotas) in &config.quotas_of {
            w.text(tenant.as_str());
            write_quotas(quotas, &mut w);
        }
    }

    /// `signed` says how many keys signed the attempt that ends, and what its receipt came to.
    pub(super) fn input(&mut self, now: Now, input: &Input, signed: u8, mask: &mut Mask) {
        match input {
            Input::Tick => self.plain(kind::TICK, now),
            Input::Completed { attempt, outcome } => {
                let since = self.since(now);
                let few = self.few();
                few.head(kind::COMPLETED, since);
                let mut told = [0; 16];
                told[..4].copy_from_slice(&attempt.incarnation().to_le_bytes());
                told[4..8].copy_from_slice(&attempt.slot().to_le_bytes());
                told[8..12].copy_from_slice(&attempt.turn().to_le_bytes());
                let how =
                    outcome.as_ref().map_or_else(|error| error.to_wire().into(), |reply| reply.status().to_le_bytes());
                told[12..].copy_from_slice(&[signed, u8::from(outcome.is_ok()), how[0], how[1]]);
                few.put(told);
                match outcome {
                    Ok(reply) if reply.is_bare() => few.put([0]),
                    Ok(reply) => write_reply(reply, mask, &mut self.w()),
                    Err(_) => {}
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

fn write_quotas(quotas: &Quotas, w: &mut Writer<'_>) {
    let (numbers, rate) = quotas.to_wire();
    numbers.into_iter().for_each(|number| w.option(number, Writer::u64));
    w.option(rate, |w, (count, per, burst)| {
        w.u32(count);
        w.duration(per);
        w.u32(burst);
    });
}

/// An endpoint as it is put, in a record.
fn put(endpoint: &Endpoint, config: &registration::Config) -> EndpointRecord {
    let key = |secret: &Secret| KeyRecord { secret: StoredKey::Plain(secret.clone()), expires: None };
    EndpointRecord { keys: endpoint.secrets().iter().map(key).collect(), ..described(config) }
}

fn write_reply(reply: &Reply, mask: &Mask, w: &mut Writer<'_>) {
    let (date, hints) = reply.lines();
    let kept = mask.kept(reply);
    let flags = [date.is_some(), hints.len() > 0, reply.body().is_some(), !kept.is_empty()];
    let flags = flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag));
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
    if !kept.is_empty() {
        w.many(&kept, |w, (name, value)| {
            w.text(name);
            w.short(value);
        });
    }
}

/// Everything that a machine may hold, but for the one duration.
fn numbers(limits: &Limits) -> [u64; 13] {
    [
        limits.payload as u64,
        limits.events as u64,
        limits.resident as u64,
        limits.pending as u64,
        limits.endpoints as u64,
        limits.unwritten,
        limits.reports as u64,
        limits.idempotency_entries as u64,
        limits.idempotency_total as u64,
        limits.snapshot_every,
        limits.response_kept as u64,
        limits.response_read as u64,
        limits.response_head as u64,
    ]
}

const fn zigzag(difference: u64) -> u64 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

/// A few bytes that are put together before they are appended, which is quicker than appending each.
#[derive(Debug)]
struct Few {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Default for Few {
    fn default() -> Self {
        Self { bytes: [0; Self::ROOM], len: 0 }
    }
}

impl Few {
    const ROOM: usize = 256;

    /// The longest that is put together at once: the end of an attempt has 37 bytes at most, the beginning of an event 38.
    const MOST: usize = 48;

    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += N;
    }

    #[inline]
    fn head(&mut self, kind: u8, (mono, wall): (u64, u64)) {
        self.put([kind]);
        self.varint(mono);
        self.varint(wall);
    }

    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put([number as u8 | 0x80]);
            number >>= 7;
        }
        self.put([number as u8]);
    }
}

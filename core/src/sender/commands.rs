//! Wishes about endpoints and events, the publishing of events aside.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::described::{described, filter_record};
use super::tables::{Gate, Retired, Slot, Standing};
use super::trace;
use super::transmit::{Caps, Wire};
use super::{Sender, Stage};
use crate::id::{EndpointKey, EventId, JournalSeq, TenantId};
use crate::journal::{CauseRecord, EndpointRecord, KeyRecord, Record, RetiredRecord, StateRecord, StoredKey};
use crate::limits;
use crate::registration::consent::ConsentBy;
use crate::registration::lifecycle::{self, Life};
use crate::registration::quota::Exceeded;
use crate::registration::{Config, Draft, Endpoint, EndpointError, KeyRing, RingError, State};
use crate::secret::{KeyId, Secret};
use crate::time::{Now, UnixTime};

/// What a [`put`](Sender::put) did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever reads the answer must know each")]
pub enum Put {
    /// The endpoint is new.
    Created(Change),
    /// The endpoint was there and is now as described.
    Updated(Change),
    /// The endpoint was exactly so already.
    Unchanged(Change),
}

impl Put {
    /// The record that it depends on.
    pub fn change(&self) -> Change {
        match self {
            Self::Created(change) | Self::Updated(change) | Self::Unchanged(change) => *change,
        }
    }
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The record that must be durable before the caller may be told; for a command that changed nothing, the last
    /// one about the same thing.
    pub seq: JournalSeq,
    /// Whether anything is different now.
    pub changed: bool,
}

/// Why an endpoint was not put. The endpoint comes back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PutError {
    /// It is not described correctly.
    Invalid(Box<Endpoint>, EndpointError),
    /// It is new and brings no secret; the adapter mints one.
    NoSecret(Box<Endpoint>),
    /// Its owner is to be asked for consent under a name, and this sender has none; see
    /// [`Config::origin`](super::Config::origin).
    NoOrigin(Box<Endpoint>),
    /// Its keys cannot be these.
    Ring(Box<Endpoint>, RingError),
    /// There are as many endpoints as the limit allows.
    TooMany(Box<Endpoint>),
    /// Its tenant has as many endpoints as it may have.
    Quota(Box<Endpoint>, Exceeded),
    /// What it wants was changed too often while deliveries from before wait.
    TooManyChanges(Box<Endpoint>),
    /// The log is far behind. Try again later.
    Overloaded(Box<Endpoint>),
    /// The sender is closing or closed.
    Closed(Box<Endpoint>),
    /// The sender's log has failed.
    Fenced(Box<Endpoint>),
}

impl PutError {
    /// The endpoint.
    pub fn into_endpoint(self) -> Endpoint {
        match self {
            Self::Invalid(endpoint, _)
            | Self::NoSecret(endpoint)
            | Self::NoOrigin(endpoint)
            | Self::Ring(endpoint, _)
            | Self::TooMany(endpoint)
            | Self::Quota(endpoint, _)
            | Self::TooManyChanges(endpoint)
            | Self::Overloaded(endpoint)
            | Self::Closed(endpoint)
            | Self::Fenced(endpoint) => *endpoint,
        }
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(endpoint, why) => write!(f, "endpoint {:?}: {why}", endpoint.name()),
            Self::NoSecret(endpoint) => {
                write!(
                    f,
                    "endpoint {:?}: it needs a secret; give one, or put it through an adapter, which mints one",
                    endpoint.name()
                )
            }
            Self::NoOrigin(endpoint) => {
                write!(
                    f,
                    "endpoint {:?}: its owner is asked for consent under a name; give the sender an origin",
                    endpoint.name()
                )
            }
            Self::Ring(endpoint, why) => write!(f, "endpoint {:?}: {why}", endpoint.name()),
            Self::Quota(endpoint, why) => write!(f, "endpoint {:?}: {why}", endpoint.name()),
            Self::TooMany(endpoint) => write!(f, "endpoint {:?}: there are too many endpoints", endpoint.name()),
            Self::TooManyChanges(endpoint) => {
                write!(
                    f,
                    "endpoint {:?}: what it wants was changed {} times while deliveries wait",
                    endpoint.name(),
                    limits::RETIRED
                )
            }
            Self::Overloaded(endpoint) => {
                write!(f, "endpoint {:?}: too much waits for the log; try again later", endpoint.name())
            }
            Self::Closed(endpoint) => write!(f, "endpoint {:?}: the sender is closed", endpoint.name()),
            Self::Fenced(endpoint) => {
                write!(f, "endpoint {:?}: the sender has stopped, because its log failed", endpoint.name())
            }
        }
    }
}

impl core::error::Error for PutError {}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such endpoint.
    UnknownEndpoint(EndpointKey),
    /// There is no such event that has not ended.
    UnknownEvent(EventId),
    /// The endpoint's keys do not allow it.
    Ring(RingError),
    /// A gone or disabled endpoint cannot be paused; it can be resumed or removed.
    NotActive(State),
    /// What the endpoint wants was changed too often while deliveries from before wait.
    TooManyChanges,
    /// No callback URL with this token works, or none does any more.
    UnknownCallback,
    /// The log is far behind. Try again later.
    Overloaded,
    /// The sender is closing or closed.
    Closed,
    /// The sender's log has failed.
    Fenced,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEndpoint(key) => write!(f, "there is no endpoint {key}"),
            Self::UnknownEvent(event) => write!(f, "there is no event {event} that has not ended"),
            Self::Ring(why) => write!(f, "{why}"),
            Self::NotActive(state) => write!(f, "the endpoint is {state}; resume or remove it instead"),
            Self::TooManyChanges => {
                write!(f, "the endpoint was changed {} times while deliveries wait", limits::RETIRED)
            }
            Self::UnknownCallback => f.write_str("no callback with this token works, or none does any more"),
            Self::Overloaded => f.write_str("too much waits for the log; try again later"),
            Self::Closed => f.write_str("the sender is closed"),
            Self::Fenced => f.write_str("the sender has stopped, because its log failed"),
        }
    }
}

impl core::error::Error for CommandError {}

impl Sender {
    /// Registers an endpoint, or makes the one of that name as described. Idempotent: the same content changes nothing.
    ///
    /// Without secrets an existing endpoint keeps its keys; with secrets its keys become exactly these. Its
    /// administrative state stays as it is. When it wants something else than before, events accepted from now on see
    /// the new wish, earlier ones the old.
    pub fn put(&mut self, now: Now, endpoint: Endpoint) -> Result<Put, PutError> {
        let endpoint = Box::new(endpoint);
        match self.running(now) {
            Ok(()) => {}
            Err(CommandError::Fenced) => return Err(PutError::Fenced(endpoint)),
            Err(CommandError::Overloaded) => return Err(PutError::Overloaded(endpoint)),
            Err(_) => return Err(PutError::Closed(endpoint)),
        }
        let config = match endpoint.config(&self.policy) {
            Ok(config) => config,
            Err(why) => return Err(PutError::Invalid(endpoint, why)),
        };
        self.put_config(endpoint, config)
    }

    /// The same of an endpoint of a list, when the machine has been asked whether it can.
    pub(super) fn put_checked(&mut self, endpoint: Box<Endpoint>) -> Result<Put, PutError> {
        match endpoint.config(&self.policy) {
            Ok(config) => self.put_config(endpoint, config),
            Err(why) => Err(PutError::Invalid(endpoint, why)),
        }
    }

    fn put_config(&mut self, endpoint: Box<Endpoint>, config: Config) -> Result<Put, PutError> {
        match self.endpoints.by_key.get(&config.key).copied() {
            None => self.create(endpoint, config),
            Some(at) => self.update(at, endpoint, config),
        }
    }

    fn create(&mut self, endpoint: Box<Endpoint>, config: Config) -> Result<Put, PutError> {
        if endpoint.secrets().is_empty() {
            return Err(PutError::NoSecret(endpoint));
        }
        if self.lacks_origin(&config) {
            return Err(PutError::NoOrigin(endpoint));
        }
        if self.endpoints.slab.len() >= self.limits.endpoints || !self.has_numbers() {
            return Err(PutError::TooMany(endpoint));
        }
        if let Err(why) = self.admit_endpoints(&config.key.tenant, 1, 0) {
            return Err(PutError::Quota(endpoint, why));
        }
        let mut draft = Draft::default();
        if let Err(why) = draft.replace(endpoint.secrets()).and_then(|_| draft.suits(&config.dialects, config.receipts))
        {
            return Err(PutError::Ring(endpoint, why));
        }
        let step = Life::NEW.step(self.now, lifecycle::Event::Register { consent: config.consent.is_needless() });
        let state = step.to.admin;
        let cause = (state != State::Active).then_some(step.reason);
        let subscription = Some(self.next_subscription);
        let standing = Standing { config, draft, state, cause, subscription, retired: Vec::new() };
        let (at, seq) = self.set_endpoint(None, standing);
        if step.effects.contains(&lifecycle::Effect::Ask) {
            self.begin_consent(at);
        }
        Ok(Put::Created(Change { seq, changed: true }))
    }

    fn update(&mut self, at: u32, endpoint: Box<Endpoint>, config: Config) -> Result<Put, PutError> {
        self.tidy_retired(at);
        let slot = &self.endpoints.slab[at];
        let mut draft = slot.draft.clone();
        let rekeyed = match endpoint.secrets() {
            [] => false,
            secrets => match draft.replace(secrets) {
                Ok(changed) => changed,
                Err(why) => return Err(PutError::Ring(endpoint, why)),
            },
        };
        if !rekeyed && slot.wire.config == config {
            return Ok(Put::Unchanged(Change { seq: slot.gate, changed: false }));
        }
        if self.lacks_origin(&config) {
            return Err(PutError::NoOrigin(endpoint));
        }
        draft.prune(self.now.wall);
        if let Err(why) = draft.suits(&config.dialects, config.receipts) {
            return Err(PutError::Ring(endpoint, why));
        }
        let (mut subscription, mut retired) = (slot.subscription, slot.retired.clone());
        if slot.wire.config.subscription != config.subscription && subscription.is_some() {
            if retired.len() >= limits::RETIRED || !self.has_numbers() {
                return Err(PutError::TooManyChanges(endpoint));
            }
            let wanted = slot.wire.config.subscription.clone();
            retired.extend(subscription.map(|number| Retired { number, at: self.next_subscription, wanted }));
            #[cfg(postrider_planted)]
            if crate::planted::breaks(38) {
                retired.clear();
            }
            subscription = Some(self.next_subscription + 1);
        }
        let is_void = slot.wire.config.consent != config.consent
            || (!config.consent.is_needless() && slot.wire.config.target != config.target);
        let standing = Standing { config, draft, subscription, retired, ..slot.standing() };
        let (_, seq) = self.set_endpoint(Some(at), standing);
        let seq = if is_void { self.consent_changed(at) } else { seq };
        Ok(Put::Updated(Change { seq, changed: true }))
    }

    /// Holds deliveries to an endpoint back; new events join them.
    pub fn pause(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        self.wish(at, lifecycle::Event::Pause)
    }

    /// Lets deliveries to an endpoint go on, slowly at first, and new events match it again. One that is gone is
    /// registered again by this.
    pub fn resume(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        let consent = self.endpoints.slab[at].has_consent();
        let event = match self.endpoints.slab[at].life.admin {
            State::Gone { .. } | State::Removed { .. } => lifecycle::Event::Register { consent },
            State::Unverified { .. } | State::Active | State::Paused { .. } | State::Disabled { .. } => {
                lifecycle::Event::Resume { consent }
            }
        };
        self.wish(at, event)
    }

    /// Takes an endpoint out of service: new events do not match it, what waits is held for 72 h and then discarded. One
    /// that is gone stays so.
    pub fn disable(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        match self.endpoints.slab[at].life.admin {
            State::Gone { .. } | State::Removed { .. } => Ok(self.unchanged(at)),
            State::Unverified { .. } | State::Active | State::Paused { .. } | State::Disabled { .. } => {
                self.wish(at, lifecycle::Event::Disable)
            }
        }
    }

    /// Forgets an endpoint: what waits for it is discarded, what is in flight is aborted.
    pub fn remove(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        Ok(Change { seq: self.remove_endpoint(at), changed: true })
    }

    pub(super) fn remove_endpoint(&mut self, at: u32) -> JournalSeq {
        let endpoint = self.endpoints.slab[at].key.clone();
        let seq = self.record(&Record::Removed { endpoint, at: self.now.wall });
        self.apply_removed(at, seq);
        self.hold(seq, Gate::Endpoint(at));
        seq
    }

    /// Adds a key to an endpoint's ring; it signs besides the others from the first attempt after this is durable.
    pub fn add_key(&mut self, now: Now, endpoint: &EndpointKey, secret: &Secret) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        self.rekey(at, |draft| draft.add(secret))
    }

    /// Lets a key expire: it signs no attempt that starts at or after `expires`. Another key must sign without
    /// end.
    pub fn expire_key(
        &mut self,
        now: Now,
        endpoint: &EndpointKey,
        key: KeyId,
        expires: UnixTime,
    ) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        self.rekey(at, |draft| draft.expire(key, expires))
    }

    /// Revokes a key at once and for good: no request that is not built yet is signed with it, retries included. Another
    /// key must sign without end.
    pub fn revoke_key(&mut self, now: Now, endpoint: &EndpointKey, key: KeyId) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        self.rekey(at, |draft| draft.revoke(key))
    }

    /// Writes an endpoint's record again as it is, although nothing about it has changed: for an adapter that has sealed
    /// its secrets anew, so that the log holds the new form.
    pub fn rewrite(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        self.rekey(at, |_| Ok(true))
    }

    /// Cancels an event: nothing more is sent for it, what waits is discarded, what is in flight is aborted.
    pub fn cancel(&mut self, now: Now, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.running(now)?;
        let Some(job) = self.find_event(tenant, event) else { return Err(CommandError::UnknownEvent(event.clone())) };
        let named = self.jobs.slab[job].seq;
        if self.is_void(job) {
            return Ok(Change { seq: named, changed: false });
        }
        let seq = self.record(&Record::Cancelled { event: named, at: self.now.wall });
        self.apply_cancelled(job);
        self.hold(seq, Gate::Cancel(job, named));
        Ok(Change { seq, changed: true })
    }

    pub(super) fn rekey(
        &mut self,
        at: u32,
        change: impl FnOnce(&mut Draft) -> Result<bool, RingError>,
    ) -> Result<Change, CommandError> {
        let slot = &self.endpoints.slab[at];
        let mut draft = slot.draft.clone();
        draft.prune(self.now.wall);
        if !change(&mut draft).map_err(CommandError::Ring)? {
            return Ok(self.unchanged(at));
        }
        draft.suits(&slot.wire.config.dialects, slot.wire.config.receipts).map_err(CommandError::Ring)?;
        let standing = Standing { draft, ..slot.standing() };
        let (_, seq) = self.set_endpoint(Some(at), standing);
        Ok(Change { seq, changed: true })
    }

    pub(super) fn unchanged(&self, at: u32) -> Change {
        Change { seq: self.endpoints.slab[at].gate, changed: false }
    }

    /// The endpoints of a tenant, in the order of their names.
    pub(super) fn of_tenant<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = u32> + Clone + 'a {
        let first = EndpointKey { tenant: tenant.clone(), id: super::explain::first_id() };
        let own = self.endpoints.by_key.range(first..).take_while(move |(key, _)| key.tenant == *tenant);
        own.map(|(_, at)| *at)
    }

    pub(super) fn running(&mut self, now: Now) -> Result<(), CommandError> {
        match self.phase {
            Stage::Running => {
                self.clock(now);
                if self.is_far_behind() { Err(CommandError::Overloaded) } else { Ok(()) }
            }
            Stage::Draining | Stage::Closing => {
                self.clock(now);
                Err(CommandError::Closed)
            }
            Stage::Closed => Err(CommandError::Closed),
            Stage::Fencing | Stage::Fenced => Err(CommandError::Fenced),
        }
    }

    pub(super) fn command(&mut self, now: Now, endpoint: &EndpointKey) -> Result<u32, CommandError> {
        self.running(now)?;
        let at = self.endpoints.by_key.get(endpoint).copied();
        at.ok_or_else(|| CommandError::UnknownEndpoint(endpoint.clone()))
    }

    /// Records what an endpoint is from now on, and makes it so.
    pub(super) fn set_endpoint(&mut self, at: Option<u32>, standing: Standing) -> (u32, JournalSeq) {
        if let Some(at) = at {
            self.forget_health(at, &standing.config, standing.state);
        }
        let seq = self.record(&Record::Endpoint(Box::new(self.endpoint_record(&standing))));
        let at = self.apply_endpoint(at, seq, standing);
        self.hold(seq, Gate::Endpoint(at));
        self.purge_retired();
        (at, seq)
    }

    /// An endpoint as the journal says it.
    pub(super) fn endpoint_record(&self, standing: &Standing) -> EndpointRecord {
        let Standing { config, draft, state, cause, subscription, retired } = standing;
        let (code, since) = match *state {
            State::Active => (0, self.now.wall),
            State::Paused { since } => (1, since),
            State::Disabled { since, .. } => (2, since),
            State::Gone { since } => (3, since),
            State::Unverified { since } => (4, since),
            State::Removed { .. } => unreachable!("the end of an endpoint is a record of its own"),
        };
        let key = |(secret, expires): &(_, _)| KeyRecord { secret: StoredKey::of(secret), expires: *expires };
        EndpointRecord {
            keys: draft.keys.iter().map(key).collect(),
            revoked: draft.revoked.clone(),
            state: StateRecord { code, since },
            subscription: *subscription,
            retired: retired.iter().map(retired_record).collect(),
            at: self.now.wall,
            cause: cause.as_ref().map(cause_record),
            ..described(config)
        }
    }

    /// Makes an endpoint so; the same when it happens and when it is read back.
    pub(super) fn apply_endpoint(&mut self, at: Option<u32>, seq: JournalSeq, standing: Standing) -> u32 {
        let Standing { config, draft, state, cause, subscription, retired } = standing;
        let ring = at.map_or_else(KeyRing::default, |at| self.endpoints.slab[at].wire.ring.clone());
        ring.silence_revoked(&draft);
        let highest = subscription.into_iter().chain(retired.iter().map(|retired| retired.at)).max().unwrap_or(0);
        self.next_subscription = self.next_subscription.max(highest.saturating_add(1));
        let (had_lanes, has_lanes) = (at.is_some_and(|at| self.has_lanes(at)), config.order.has_lanes());
        let (key, wants) = (config.key.clone(), config.subscription.clone());
        let policy = self.policy.clone();
        let named = self.origin.clone().filter(|_| config.consent.by == ConsentBy::CloudEvents);
        let (mark, caps) = (trace::mark(&key), Caps::of(&self.limits));
        let wire = Arc::new(Wire { config, mark, ring, policy, caps, origin: named });
        let at = at.unwrap_or_else(|| {
            let tenant = self.tenants.retain(&key.tenant);
            self.tenants[tenant].usage.count_endpoint();
            let at = self.endpoints.slab.insert(Slot::new(tenant, wire.clone(), seq));
            self.endpoints.by_key.insert(key, at);
            at
        });
        let slot = &mut self.endpoints.slab[at];
        let old = slot.subscription;
        slot.window.set_limit(wire.config.concurrency);
        slot.wire = wire;
        slot.draft = draft;
        slot.life.admin = state;
        slot.cause = cause;
        slot.subscription = subscription;
        slot.retired = retired;
        slot.gate = seq;
        let ordered = &mut self.tenants[self.endpoints.slab[at].tenant].ordered;
        *ordered = *ordered + u32::from(has_lanes) - u32::from(had_lanes);
        self.resubscribe(at, old, subscription, &wants);
        self.repace(at);
        at
    }

    fn has_lanes(&self, at: u32) -> bool {
        self.endpoints.slab[at].wire.config.order.has_lanes()
    }

    /// Whether its owner is to be asked under a name that this sender has not.
    fn lacks_origin(&self, config: &Config) -> bool {
        self.origin.is_none() && config.consent.by == ConsentBy::CloudEvents
    }

    /// Forgets an endpoint's name and what it wanted; the slot stays until nothing refers to it.
    pub(super) fn apply_removed(&mut self, at: u32, seq: JournalSeq) {
        let now = self.now;
        let slot = &mut self.endpoints.slab[at];
        slot.removed = true;
        slot.life = slot.life.step(now, lifecycle::Event::Remove).to;
        slot.key_use = None;
        slot.gate = seq;
        let (tenant, key) = (slot.tenant, slot.key.clone());
        let live = slot.subscription.take();
        let wanted = slot.wire.config.subscription.clone();
        let retired = core::mem::take(&mut slot.retired);
        self.endpoints.by_key.remove(&key);
        self.tenants[tenant].ordered -= u32::from(self.has_lanes(at));
        self.tenants[tenant].usage.endpoint_removed();
        self.endpoints.wake_at(at, None);
        self.forget_consent(at);
        if let Some(number) = live {
            self.subscriptions.remove(&number);
            if !self.restoring {
                self.tenants[tenant].unsubscribe(number, &wanted);
            }
        }
        retired.iter().for_each(|retired| self.forget_retired(retired));
    }

    /// Frees the slot of a removed endpoint to which nothing refers any more.
    pub(super) fn maybe_free(&mut self, at: u32) {
        let free = self.endpoints.slab.get(at).is_some_and(|slot| {
            slot.removed && slot.deliveries.is_empty() && slot.in_flight == 0 && slot.gate <= self.outbox.durable()
        });
        if free {
            self.endpoints.wake_at(at, None);
            self.leave_ready(at);
            let Slot { tenant, host, .. } = self.endpoints.slab[at];
            self.endpoints.slab.remove(at);
            if let Some(host) = host {
                self.hosts.release(host);
                self.wake_for_host(host);
            }
            self.tenants.release(tenant);
        }
    }
}

fn cause_record(cause: &lifecycle::Reason) -> CauseRecord {
    let lifecycle::Reason { rule, event, at, next } = *cause;
    let (event, inputs) = event.to_wire();
    CauseRecord { rule: rule.code(), event, inputs, at, next }
}

fn retired_record(retired: &Retired) -> RetiredRecord {
    let mut patterns = String::new();
    for pattern in retired.wanted.patterns() {
        if !patterns.is_empty() {
            patterns.push('\n');
        }
        patterns.push_str(pattern.as_str());
    }
    RetiredRecord { number: retired.number, at: retired.at, patterns, filter: filter_record(&retired.wanted) }
}

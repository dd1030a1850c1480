//! The sending machine: three verbs, a drain, and the rooms behind them.
//!
//! Commands may be refused, facts may not, effects are pulled. See the crate's first page for the contract and its
//! laws, and `manual` for why it is so.
//!
//! ```text
//!   publish ──> accepted record ──> durable ──> fan-out by cursor ──> Transmit ──> Completed ──> verdict
//!                                                    │ endpoint busy                  │ retry
//!                                                    └──> waits (48 bytes) <──────────┘
//! ```

mod asleep;
mod attempts;
mod bodies;
mod chores;
mod commands;
mod consent;
mod contract;
mod deliveries;
mod described;
mod drain;
mod explain;
mod fanout;
mod filters;
mod forget;
mod hosts;
mod jobs;
mod keys;
mod lanes;
mod last;
mod life;
mod load;
mod notice;
mod operational;
mod pace;
mod pending;
mod persist;
mod publish;
mod quotas;
mod repeats;
mod replay;
mod report;
mod restore;
pub mod shadow;
mod signed;
mod snapshot;
mod standing;
mod subscriptions;
mod sync;
mod tables;
mod tenants;
mod texts;
mod threads;
pub mod trace;
mod transmit;
mod turns;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

pub use commands::{Change, CommandError, Put, PutError};
pub use consent::Called;
pub use contract::{
    Input, LoadError, LoadRequest, Output, PersistBatch, PersistFailure, SnapshotPart, Wake, Watermark,
};
pub use explain::{Explanation, Page};
pub use notice::{Expiry, Notice};
pub use operational::OPERATIONAL;
pub use publish::{Receipt, Refused, Told};
pub use replay::{REPLAYED, Replay, ReplayAs, ReplayRefused};
pub use report::{DeliveryReport, EventReport, Fate, Tally};
pub use restore::{Restore, RestoreError};
pub use standing::{Because, DeliveryExplanation, Scope};
pub use sync::{SyncDone, SyncRefused};
pub use transmit::{Caps, Cleared, Denied, Purpose, Reason, Resolver, Transmit, USER_AGENT};

use crate::id::{JournalSeq, TenantId};
use crate::journal::Record;
use crate::limits::{self, Limits};
use crate::matching::Subscription;
use crate::registration::Policy;
use crate::registration::consent::{Callback, CallbackError, Origin, TOKEN_BYTES, Token};
use crate::registration::quota::Quotas;
use crate::seed::Seed;
use crate::table::HashKey;
use crate::time::{Instant, Now};
use deliveries::Deliveries;
use filters::Answers;
use hosts::Hosts;
use jobs::Jobs;
use lanes::Lanes;
use load::Loads;
use operational::Wishes;
use persist::Outbox;
use quotas::Accounts;
use repeats::Repeats;
use report::Shelf;
use snapshot::Snapshots;
use tables::{Attempts, Chore, Endpoints, Gate, Queues};
use tenants::Tenants;

/// What a sender is made with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// What it may hold.
    pub limits: Limits,
    /// Where requests may go.
    pub policy: Policy,
    /// The name under which owners of endpoints are asked for consent by CloudEvents' handshake, and that every delivery
    /// to them carries.
    pub origin: Option<Origin>,
    /// Where they may give it later, if they may; see [`callback`](Self::callback).
    callback: Option<Arc<str>>,
    /// What each tenant may take up that has no limits of its own.
    pub quotas: Quotas,
    quotas_of: BTreeMap<TenantId, Quotas>,
    /// Whether tenants are told of their endpoints and deliveries by events of their own: `endpoint.disabled`,
    /// `endpoint.recovered`, `delivery.failing` and `delivery.exhausted`, to whichever endpoints want these types.
    pub operational_events: bool,
    operational_of: BTreeMap<TenantId, bool>,
}

impl Config {
    /// The defaults: public https targets only.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// With operational events, or without, for every tenant of which [`operational_events_of`](Self::operational_events_of)
    /// says nothing.
    pub fn operational_events(mut self, publish: bool) -> Self {
        self.operational_events = publish;
        self
    }

    /// With operational events, or without, for one tenant.
    pub fn operational_events_of(mut self, tenant: TenantId, publish: bool) -> Self {
        self.operational_of.insert(tenant, publish);
        self
    }

    /// With these limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With this name of the whole sending system, such as `events.example.com`, for endpoints whose owners are asked for
    /// consent by CloudEvents' handshake. Without it none of them can be registered.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// With these limits for each tenant.
    pub fn quotas(mut self, quotas: Quotas) -> Self {
        self.quotas = quotas;
        self
    }

    /// With these limits for one tenant, in place of those for each.
    pub fn quotas_of(mut self, tenant: TenantId, quotas: Quotas) -> Self {
        self.quotas_of.insert(tenant, quotas);
        self
    }

    /// With a place at which these owners may give their consent later: an `https` URL of the application's own, such as
    /// `https://hooks.example.com/confirm`, to which `/` and a token are appended. What comes there goes to
    /// [`Sender::called_back`]. Without it, no callback is offered.
    pub fn callback(mut self, base: &str) -> Result<Self, CallbackError> {
        let longest = "x".repeat(*TOKEN_BYTES.end());
        Callback::new(base, &Token::new(&longest).expect("it is as long as a token may be"))?;
        self.callback = Some(base.into());
        Ok(self)
    }
}

/// The sending machine.
///
/// # Commands
/// [`publish`](Self::publish), [`put`](Self::put), [`pause`](Self::pause), [`resume`](Self::resume),
/// [`disable`](Self::disable), [`remove`](Self::remove), [`add_key`](Self::add_key), [`expire_key`](Self::expire_key),
/// [`revoke_key`](Self::revoke_key), [`rotate_key`](Self::rotate_key), [`finish_rotation`](Self::finish_rotation),
/// [`called_back`](Self::called_back), [`sync`](Self::sync), [`replay`](Self::replay), [`cancel`](Self::cancel), [`purge`](Self::purge), [`erase`](Self::erase),
/// [`close`](Self::close): wishes, which may be refused.
/// # Facts
/// [`handle`](Self::handle): what has happened.
/// # Effects
/// [`poll_output`](Self::poll_output): what is to be done.
/// # Getters
/// Everything else; none of them changes anything.
///
/// It is `Send` and has no thread of its own: one thread at a time drives it.
#[derive(Debug)]
pub struct Sender {
    limits: Limits,
    policy: Arc<Policy>,
    origin: Option<Origin>,
    callback: Option<Arc<str>>,
    seed: Seed,
    incarnation: u32,
    /// The record that says so.
    opened: JournalSeq,
    now: Now,
    phase: Stage,
    /// It is being folded from its records: nothing is indexed, timed or issued yet.
    restoring: bool,
    credit: u32,
    outbox: Outbox,
    tenants: Tenants,
    endpoints: Endpoints,
    hosts: Hosts,
    /// Subscription numbers to endpoints.
    subscriptions: BTreeMap<u32, u32>,
    accounts: Accounts,
    /// Digests of the tokens whose callback URLs work, to endpoints.
    callbacks: BTreeMap<[u8; 32], u32>,
    next_subscription: u32,
    /// Retired subscriptions that are still in the index of their tenant, by the mark at which they were retired and
    /// their number: the tenant, and what was wanted.
    retired: BTreeMap<(u32, u32), (u32, Subscription)>,
    jobs: Jobs,
    deliveries: Deliveries,
    lanes: Lanes,
    attempts: Attempts,
    repeats: Repeats,
    shelf: Shelf,
    queues: Queues,
    loads: Loads,
    snapshots: Snapshots,
    notices: Notices,
    /// Operational events are published.
    operational: Wishes,
    /// The outcome of an operational event is being worked on.
    quiet: bool,
    /// For whoever keeps a trace.
    answers: Answers,
    budget: u32,
    stats: Stats,
}

/// How a machine's life goes: running, then draining or closing, then over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// Starts nothing new and waits for what is in flight.
    Draining,
    /// Waits for the log only.
    Closing,
    /// The log has failed for good; tells about it, then ends.
    Fencing,
    Closed,
    Fenced,
}

/// How to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between waiting and not waiting")]
pub enum Close {
    /// Start nothing new, wait for attempts in flight.
    Drain,
    /// Abort attempts in flight; their deliveries stay pending in the journal.
    Now,
}

/// Where a machine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// It works.
    Running,
    /// It was told to close and has not finished.
    Closing,
    /// It is closed.
    Closed,
    /// Its log failed twice in a row, and it has stopped.
    Fenced,
}

/// Counters since the machine was made; a restored one begins at zero, but for `tally`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events accepted.
    pub accepted: u64,
    /// Repeats recognised.
    pub repeats: u64,
    /// Attempts started, those that ask for consent aside.
    pub attempts: u64,
    /// Times that an owner of an endpoint was asked for consent.
    pub asks: u64,
    /// How deliveries ended, and the attempts that ended. Of a restored machine, those come first that are told by the
    /// records it was made of: the outcomes behind the newest snapshot, or all when there is none. What ended before the
    /// snapshot is not counted, so it is a counter of this process and of what it replayed, not of the store.
    pub tally: Tally,
    /// Facts about things the machine does not know any more.
    pub stale: u64,
    /// Deliveries that an overdue attempt turned out to have made.
    pub late: u64,
    /// Times the monotonic clock went back.
    pub clock_regressions: u64,
    /// Drains that ended: how often the driver came by.
    pub waits: u64,
    /// Payloads read back.
    pub loaded: u64,
    /// Operational events that were not published, because as many events as the limit allows had not ended, or the log
    /// had no room.
    pub untold: u64,
    /// Steps that drains took: the work of the machine, counted. An idle poll takes one.
    pub steps: u64,
}

/// Notices on their way out, each behind the record that makes it true.
#[derive(Debug, Default)]
struct Notices {
    queue: VecDeque<(JournalSeq, Notice)>,
    folded: u64,
}

impl Sender {
    /// A machine with an empty store. Its first record is the store's first, and carries the seed.
    ///
    /// For a store that has records, see [`Restore`].
    pub fn new(config: Config, seed: Seed, now: Now) -> Self {
        let mut sender = Self::empty(config, seed, JournalSeq::ZERO, now);
        sender.record(&Record::Genesis { seed });
        sender.open(1);
        sender
    }

    fn empty(config: Config, seed: Seed, last: JournalSeq, now: Now) -> Self {
        let mut jobs = Jobs::default();
        let mut repeats = Repeats::default();
        let key = HashKey::new(seed);
        jobs.set_key(key);
        let mut lanes = Lanes::default();
        lanes.set_key(key);
        repeats.set_key(key);
        Self {
            limits: config.limits,
            policy: Arc::new(config.policy),
            origin: config.origin,
            callback: config.callback,
            seed,
            incarnation: 0,
            opened: JournalSeq::ZERO,
            now,
            phase: Stage::Running,
            restoring: false,
            credit: 64,
            outbox: Outbox::new(last),
            tenants: Tenants::default(),
            endpoints: Endpoints::default(),
            hosts: Hosts::default(),
            subscriptions: BTreeMap::new(),
            accounts: Accounts::new(config.quotas, config.quotas_of),
            callbacks: BTreeMap::new(),
            next_subscription: 1,
            retired: BTreeMap::new(),
            jobs,
            deliveries: Deliveries::default(),
            lanes,
            attempts: Attempts::default(),
            repeats,
            shelf: Shelf::new(key),
            queues: Queues::default(),
            loads: Loads::default(),
            snapshots: Snapshots::default(),
            notices: Notices::default(),
            operational: Wishes { all: config.operational_events, of: config.operational_of },
            quiet: false,
            answers: Answers::default(),
            budget: limits::DRAIN_BUDGET,
            stats: Stats::default(),
        }
    }

    fn open(&mut self, incarnation: u32) {
        self.incarnation = incarnation;
        let at = self.now.wall;
        self.opened = self.record(&Record::Opened { incarnation, at });
    }

    /// Takes note of something that has happened. Never refused: what is stale is counted and dropped, and after the
    /// machine's end nothing has an effect.
    pub fn handle(&mut self, now: Now, input: Input) {
        #[cfg(not(postrider_planted))]
        let over = self.is_over();
        #[cfg(postrider_planted)]
        let over = self.is_over() && !crate::planted::breaks(10);
        if over {
            return;
        }
        self.clock(now);
        match input {
            Input::Tick => {}
            Input::Completed { attempt, outcome } => self.completed(attempt, &outcome),
            Input::Persisted(seq) => {
                if self.outbox.acknowledge(seq) {
                    self.snapshots.note_durable(self.outbox.durable());
                } else {
                    self.stats.stale += u64::from(seq > self.outbox.durable());
                }
            }
            Input::PersistFailed { from, why } => self.persist_failed(from, why),
            Input::Room(bytes) => self.outbox.set_room(bytes),
            Input::Loaded { request, result } => self.loaded(request, result),
            Input::Credit(attempts) => self.credit = attempts,
            Input::Trimmed { events, before } => {
                self.tell(JournalSeq::ZERO, Notice::HistoryTrimmed { events, before });
            }
        }
    }

    /// Stops: publishes are refused at once. With [`Close::Drain`] attempts in flight may end first. What is pending
    /// stays in the journal. When it is done, [`Wake::Closed`] says so. Closing again can only hasten it.
    pub fn close(&mut self, now: Now, how: Close) {
        if self.is_over() {
            return;
        }
        self.clock(now);
        match (self.phase, how) {
            (Stage::Running, Close::Drain) => self.phase = Stage::Draining,
            (Stage::Running | Stage::Draining, Close::Now) => {
                self.abort_everything();
                self.phase = Stage::Closing;
            }
            (Stage::Draining | Stage::Closing | Stage::Fencing | Stage::Closed | Stage::Fenced, _) => {}
        }
    }

    /// Where the machine is in its life.
    pub fn life(&self) -> Life {
        match self.phase {
            Stage::Running => Life::Running,
            Stage::Draining | Stage::Closing | Stage::Fencing => Life::Closing,
            Stage::Closed => Life::Closed,
            Stage::Fenced => Life::Fenced,
        }
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The last record that is durable.
    pub fn durable(&self) -> JournalSeq {
        self.outbox.durable()
    }

    /// The last record that exists.
    pub fn last_record(&self) -> JournalSeq {
        self.outbox.last()
    }

    /// How often its store has been opened, this time included.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The time that it was last told, with the monotonic clock held where it went back.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Attempts in flight, with those that were given up and still hold their slots.
    pub fn in_flight(&self) -> usize {
        self.attempts.len()
    }

    /// Deliveries that wait, those whose retry is in flight included; not those that a fan-out has yet to reach.
    pub fn pending(&self) -> usize {
        self.deliveries.len()
    }

    /// Events that have not ended.
    pub fn events(&self) -> usize {
        self.jobs.slab.len()
    }

    /// Bytes of payloads in memory.
    pub fn resident(&self) -> usize {
        self.jobs.resident
    }

    /// Whether nothing is owed to anybody: every accepted event has ended.
    pub fn is_settled(&self) -> bool {
        self.jobs.slab.len() == 0
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Stage::Fencing | Stage::Closed | Stage::Fenced)
    }

    /// Lets time pass. The monotonic clock is held where it goes back.
    fn clock(&mut self, now: Now) {
        #[cfg(postrider_planted)]
        let now = if crate::planted::breaks(11) {
            let passed = now.wall.saturating_since(self.now.wall);
            Now { mono: now.mono.max(self.now.mono.saturating_add(passed)), ..now }
        } else {
            now
        };
        if now.mono < self.now.mono {
            self.stats.clock_regressions += 1;
            let by = self.now.mono.saturating_since(now.mono);
            self.now.wall = now.wall;
            self.tell(JournalSeq::ZERO, Notice::ClockWentBack { by });
        } else {
            self.now = now;
        }
    }

    fn mono(&self) -> Instant {
        self.now.mono
    }

    /// Appends a record to the journal and says where it stands.
    fn record(&mut self, record: &Record) -> JournalSeq {
        let before = self.outbox.held();
        let seq = self.outbox.push(self.now.mono, record);
        self.snapshots.note_record(self.outbox.held() - before);
        seq
    }

    /// Queues a notice behind the record that makes it true.
    fn tell(&mut self, gate: JournalSeq, notice: Notice) {
        if self.notices.queue.len() < limits::NOTICES {
            self.notices.queue.push_back((gate, notice));
        } else {
            self.notices.folded += 1;
        }
    }

    /// Holds an effect back until a record is durable.
    fn hold(&mut self, seq: JournalSeq, gate: Gate) {
        self.queues.gates.push_back((seq, gate));
    }

    fn chore(&mut self, chore: Chore) {
        self.queues.chores.push_back(chore);
    }

    /// Whether so much waits for the log that nothing may begin that would add to it.
    fn is_far_behind(&self) -> bool {
        self.outbox.held() >= self.limits.unwritten.saturating_mul(2)
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Sender>();
    is_send::<Transmit>();
    is_send::<Cleared>();
};

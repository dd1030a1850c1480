//! A node: the real machine over a store, the log's thread, and what users can ask of it.

use std::collections::VecDeque;

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::limits;
use postrider_core::sender::{
    EventReport, Fate as Told_, Input, Output, PersistBatch, PersistFailure, REPLAYED, Sender, Wake,
};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_journal::store::Tidied;

use crate::clock::NodeClock;
use crate::disk::SimDisk;
use crate::observe::{Clocks, Fate, Look, Report, Row, Seen, SimTime, Told};
use crate::profile::Class;
use crate::store::{Failure, Store};

use super::checks::Prefix;
use super::replay::Replays;
use super::{Caller, Happening, World};

/// Outputs that one drain may give before it has to let its driver go on.
const DRAIN: u32 = limits::DRAIN_BUDGET;

/// Effects of one turn of the driver, over all its rounds; more means that machine and log go round in circles.
const ROUNDS: u32 = 200_000;

/// A machine that may be up or down.
pub(super) struct Node {
    pub(super) disk: SimDisk,
    pub(super) clock: NodeClock,
    /// How many processes there have been.
    pub(super) life: u32,
    pub(super) up: Option<Process>,
    /// It stands still until then.
    pub(super) frozen: Option<SimTime>,
    /// Records that it has made, by their hashes.
    pub(super) prefix: Prefix,
    /// Bytes of its disk were damaged.
    pub(super) damaged: bool,
    /// Sectors tore when the power went, and nobody has read them since.
    pub(super) torn: bool,
    /// Its disk has lost what it had said to be durable.
    pub(super) betrayed: bool,
    /// A copy of its disk, after somebody compacted the log on it.
    pub(super) compacted: Option<SimDisk>,
}

/// A process.
pub(super) struct Process {
    pub(super) sender: Sender,
    pub(super) store: Box<dyn Store>,
    /// Batches that the log's thread has not come to.
    queue: VecDeque<PersistBatch>,
    log: Log,
    lazy: usize,
    /// When the machine is to be told the time, and which call for that is the last.
    wake: Option<SimTime>,
    turn: u64,
    /// Who waits for which record.
    waiting: VecDeque<Waiting>,
    pub(super) credit: u32,
    room: Option<u64>,
}

/// What the log's thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Idle,
    Lingering,
    Syncing,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    seq: JournalSeq,
    call: u64,
    fresh: bool,
    caller: Caller,
}

/// The clocks as the core wants them.
pub(super) fn now(clocks: Clocks) -> Now {
    Now { mono: Instant::from_nanos(clocks.mono), wall: UnixTime::from_millis(clocks.wall) }
}

/// The number in a name such as `e17`, `p3`, `t0` or, of a replay, `rpl_18`.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_prefix(REPLAYED).or_else(|| name.get(1..))?.parse().ok()
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            disk: SimDisk::new(),
            clock: NodeClock::new(),
            life: 0,
            up: None,
            frozen: None,
            prefix: Prefix::default(),
            damaged: false,
            torn: false,
            betrayed: false,
            compacted: None,
        }
    }
}

impl Process {
    pub(super) fn new(sender: Sender, store: Box<dyn Store>, credit: u32) -> Self {
        Self {
            sender,
            store,
            queue: VecDeque::new(),
            log: Log::Idle,
            lazy: 0,
            wake: None,
            turn: 0,
            waiting: VecDeque::new(),
            credit,
            room: None,
        }
    }

    /// Whether everything that the machine made is durable and nothing is owed to anybody.
    pub(super) fn is_quiet(&self) -> bool {
        self.sender.is_settled() && self.queue.is_empty() && self.log == Log::Idle && self.wake.is_none()
    }
}

impl World {
    /// Somebody waits for a record to be durable; perhaps it is.
    pub(super) fn await_record(&mut self, node: u32, seq: JournalSeq, call: u64, fresh: bool, caller: Caller) {
        let process = self.nodes[node as usize].up.as_mut().expect("it has just answered");
        let at = process.waiting.iter().rposition(|other| other.seq <= seq).map_or(0, |at| at + 1);
        process.waiting.insert(at, Waiting { seq, call, fresh, caller });
        self.drain(node);
    }

    /// The time has come for which the machine asked.
    pub(super) fn wake(&mut self, node: u32, turn: u64) {
        if let Some(process) = self.nodes[node as usize].up.as_mut().filter(|process| process.turn == turn) {
            process.wake = None;
            self.fact(node, Input::Tick);
        }
    }

    /// Does what a machine wants, until it has nothing more to say for now.
    pub(super) fn drain(&mut self, node: u32) {
        let at = node as usize;
        let (mut outputs, mut rounds) = (0, 0);
        loop {
            let owner = &mut self.nodes[at];
            let Some(process) = &mut owner.up else { return };
            let output = process.sender.poll_output();
            self.counts.effects += 1;
            outputs += 1;
            match output {
                Output::Persist(batch) => self.persist(node, batch),
                Output::Load(request) => self.load(node, &request),
                Output::Snapshot(part) => process.store.snapshot(&part),
                Output::Reclaim(mark) => {
                    owner.prefix.reclaim(mark.needed_from());
                    process.store.reclaim(mark);
                }
                Output::Transmit(transmit) => self.take_off(node, transmit),
                Output::Abort(attempt) => self.abort(node, attempt),
                Output::Notice(notice) => self.notice(node, &notice),
                Output::Wait(Wake::Ready) => outputs = 0,
                Output::Wait(wake) => {
                    self.answer_durable(node);
                    if self.feed_log(node) {
                        outputs = 0;
                        continue;
                    }
                    return self.sleep(node, wake);
                }
            }
            rounds += 1;
            if rounds > ROUNDS {
                let what = format!("a drain of {rounds} rounds comes to no end");
                return self.break_off(crate::observe::Broken::new(28, what));
            }
            if outputs > DRAIN + 1 {
                return self.break_off(crate::observe::Broken::new(28, format!("{outputs} outputs without a wait")));
            }
            if self.died_within(node) {
                return;
            }
        }
    }

    /// The machine has nothing more to do until then.
    fn sleep(&mut self, node: u32, wake: Wake) {
        let owner = &mut self.nodes[node as usize];
        let Some(process) = &mut owner.up else { return };
        let wake = match wake {
            Wake::At(mono) => Some(owner.clock.when(mono.as_nanos()).max(self.now.after(1))),
            Wake::Ready | Wake::Input => None,
            Wake::Closed => return self.ended(node),
        };
        if process.wake != wake {
            process.wake = wake;
            process.turn += 1;
            if let Some(at) = wake {
                self.schedule.at(at, Happening::Wake { node, turn: process.turn });
            }
        }
    }

    fn persist(&mut self, node: u32, batch: PersistBatch) {
        let owner = &mut self.nodes[node as usize];
        if let Err(broken) = owner.prefix.issued(&batch) {
            return self.break_off(broken);
        }
        let process = owner.up.as_mut().expect("it is being drained");
        process.queue.push_back(batch);
    }

    /// The log's thread takes what waits for it, if it has time. Whether the machine has more to do for that.
    fn feed_log(&mut self, node: u32) -> bool {
        let owner = &mut self.nodes[node as usize];
        let (life, Some(process)) = (owner.life, &mut owner.up) else { return false };
        if process.log == Log::Syncing || process.queue.is_empty() {
            return false;
        }
        let mut gating = false;
        while let Some(batch) = process.queue.pop_front() {
            if let Err(failure) = process.store.append(&batch) {
                return self.persist_failed(node, failure);
            }
            gating |= batch.is_gating();
            process.lazy += usize::try_from(batch.last().get() - batch.first().get()).expect("a batch") + 1;
        }
        if gating || process.lazy >= limits::LINGER_RECORDS {
            process.log = Log::Syncing;
            let slow = !self.healed && self.profile.classes.has(Class::SlowDisk) && self.streams.disk.once_in(200);
            let mut latency = self.streams.disk.about(self.profile.sync);
            if slow {
                self.injected.count(Class::SlowDisk);
                latency += self.streams.disk.below(30_000_000_000);
            }
            self.schedule.at(self.now.after(latency), Happening::Synced { node, life });
        } else if process.log == Log::Idle {
            process.log = Log::Lingering;
            let linger = u64::try_from(limits::LINGER.as_nanos()).expect("it is short");
            self.schedule.at(self.now.after(linger), Happening::Linger { node, life });
        }
        false
    }

    /// A write or a sync failed: what is not durable is forgotten here, and the machine gives it again.
    fn persist_failed(&mut self, node: u32, failure: Failure) -> bool {
        if self.died_within(node) {
            return false;
        }
        let now = now(self.clocks(node));
        let process = self.nodes[node as usize].up.as_mut().expect("it has just failed");
        process.queue.clear();
        process.log = Log::Idle;
        process.lazy = 0;
        let why = match failure {
            Failure::Broken => PersistFailure::Broken,
            Failure::Full => PersistFailure::Full,
        };
        process.sender.handle(now, Input::PersistFailed { from: process.sender.durable().next(), why });
        true
    }

    pub(super) fn lingered(&mut self, node: u32, life: u32) {
        let lingering = |process: &Process| process.log == Log::Lingering;
        if self.nodes[node as usize].life == life && self.nodes[node as usize].up.as_ref().is_some_and(lingering) {
            self.synced(node, life);
        }
    }

    /// The log's thread has synced what it wrote.
    pub(super) fn synced(&mut self, node: u32, life: u32) {
        let owner = &mut self.nodes[node as usize];
        let Some(process) = owner.up.as_mut().filter(|_| owner.life == life) else { return };
        process.log = Log::Idle;
        process.lazy = 0;
        match process.store.sync() {
            Ok(durable) => {
                if let Err(broken) = owner.prefix.acknowledged(durable) {
                    return self.break_off(broken);
                }
                if !self.died_within(node) {
                    self.fact(node, Input::Persisted(durable));
                    self.tell_room(node);
                }
            }
            Err(failure) => {
                if self.persist_failed(node, failure) {
                    self.drain(node);
                }
            }
        }
    }

    /// Housekeeping, now and then; and what else is done once in a while.
    pub(super) fn tidy(&mut self, node: u32, life: u32) {
        let wall = UnixTime::from_millis(self.clocks(node).wall);
        let owner = &mut self.nodes[node as usize];
        let Some(process) = owner.up.as_mut().filter(|_| owner.life == life) else { return };
        let idle = process.log == Log::Idle;
        let tidied = if idle { process.store.tidy(wall).unwrap_or(Tidied::Nothing) } else { Tidied::Nothing };
        let again = if tidied == Tidied::Nothing { 60_000_000_000 } else { 10_000_000 };
        self.schedule.at(self.now.after(again), Happening::Tidy { node, life });
        if self.died_within(node) {
            return;
        }
        if let Tidied::Trimmed { events, before } = tidied {
            self.see(&Seen::Trimmed { node, before: before.as_millis() });
            self.fact(node, Input::Trimmed { events, before });
        }
        self.tell_room(node);
    }

    /// Tells the machine how much room the log has, when that is something else than before.
    pub(super) fn tell_room(&mut self, node: u32) {
        let Some(process) = &mut self.nodes[node as usize].up else { return };
        if !self.profile.classes.has(Class::DiskFull) {
            return;
        }
        let room = process.store.room();
        if process.room != room {
            process.room = room;
            self.fact(node, Input::Room(room.unwrap_or(u64::MAX)));
        }
    }

    fn load(&mut self, node: u32, request: &postrider_core::sender::LoadRequest) {
        let fails = self.chance(Class::LoadError, 20_000);
        let now = now(self.clocks(node));
        let Some(process) = &mut self.nodes[node as usize].up else { return };
        let result = if fails {
            Err(postrider_core::sender::LoadError::Unavailable)
        } else {
            process.store.load(request.records())
        };
        process.sender.handle(now, Input::Loaded { request: request.id(), result });
    }

    /// Everybody is answered whose record is durable.
    fn answer_durable(&mut self, node: u32) {
        loop {
            let Some(process) = &mut self.nodes[node as usize].up else { return };
            let durable = process.sender.durable();
            let Some(first) = process.waiting.front().copied().filter(|first| first.seq <= durable) else { return };
            process.waiting.pop_front();
            self.answer(first.call, Told::Ok { fresh: first.fresh }, first.caller);
        }
    }

    /// Nobody who waits will be answered.
    pub(super) fn fail_waiting(&mut self, node: u32) {
        let Some(process) = &mut self.nodes[node as usize].up else { return };
        for waiting in std::mem::take(&mut process.waiting) {
            self.answer(waiting.call, Told::Lost, waiting.caller);
        }
    }

    /// The machine said that an event has ended: what does it report?
    pub(super) fn settled(&mut self, node: u32, tenant: &TenantId, event: &EventId) {
        let Some(process) = &self.nodes[node as usize].up else { return };
        let found = process.sender.report(tenant, event);
        let mut rows = Vec::new();
        let report = found.as_ref().map(|report| plain(tenant, report, &mut rows));
        let seen = Seen::Settled { node, report, event: event.as_str() };
        // The rows are a local of ours; the world does not touch them.
        self.see(&seen);
    }
}

/// A report in plain values.
fn plain<'a>(tenant: &TenantId, report: &EventReport, rows: &'a mut Vec<Row>) -> Report<'a> {
    rows.extend(report.deliveries.iter().map(|delivery| Row {
        endpoint: number(delivery.endpoint.as_str()).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX),
        fate: match delivery.fate {
            Told_::Delivered => Fate::Delivered,
            Told_::Exhausted => Fate::Exhausted,
            Told_::Refused => Fate::Refused,
            Told_::Discarded => Fate::Discarded,
            Told_::Expired => Fate::Expired,
            Told_::Lost => Fate::Lost,
            Told_::Superseded => Fate::Superseded,
            Told_::InFlight => Fate::InFlight,
            Told_::Waiting { rest } => Fate::Waiting(u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX)),
        },
        attempts: delivery.attempts,
    }));
    let tally = report.tally;
    Report {
        event: number(report.event.as_str()).unwrap_or(u64::MAX),
        tenant: number(tenant.as_str()).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX),
        settled: report.settled,
        tally: [
            tally.delivered,
            tally.exhausted,
            tally.refused,
            tally.discarded,
            tally.expired,
            tally.lost,
            tally.superseded,
        ],
        rows,
    }
}

/// The nodes as judges may look at them.
pub(super) struct Looking<'a> {
    nodes: &'a [Node],
    replays: &'a Replays,
}

impl<'a> Looking<'a> {
    pub(super) fn at(nodes: &'a [Node], replays: &'a Replays) -> Self {
        Self { nodes, replays }
    }

    fn sender(&self, node: u32) -> Option<&Sender> {
        self.nodes.get(node as usize)?.up.as_ref().map(|process| &process.sender)
    }
}

impl Look for Looking<'_> {
    fn is_up(&self, node: u32) -> bool {
        self.sender(node).is_some()
    }

    fn report(&self, node: u32, tenant: u32, event: u64, read: &mut dyn FnMut(Report<'_>)) -> bool {
        let tenant = TenantId::new(format!("t{tenant}")).expect("a name");
        let event = self.replays.id(event);
        let Some(report) = self.sender(node).and_then(|sender| sender.report(&tenant, &event)) else { return false };
        read(plain(&tenant, &report, &mut Vec::new()));
        true
    }

    fn in_flight(&self, node: u32) -> u64 {
        self.sender(node).map_or(0, |sender| sender.in_flight() as u64)
    }

    fn events(&self, node: u32) -> u64 {
        self.sender(node).map_or(0, |sender| sender.events() as u64)
    }

    fn left_on_disk(&self, node: u32, read: &mut dyn FnMut(&str, &[u8])) {
        if let Some(disk) = self.nodes.get(node as usize).and_then(|node| node.compacted.as_ref()) {
            disk.each_file(read);
        }
    }
}

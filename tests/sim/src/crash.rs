//! Every crash there is, for short stories: after each operation of the disk, with every part of what was pending, and
//! once more within the recovery from it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::limits::Limits;
use postrider_core::registration::Endpoint;
use postrider_core::response::Reply;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Config, Input, Life, Output, PersistBatch, PersistFailure, Restore, Sender, Transmit, Wake,
};
use postrider_core::time::{Instant, Now, UnixTime};

use crate::disk::SimDisk;
use crate::observe::Kept;
use crate::profile::{Profile, Scale};
use crate::rng::Rng;
use crate::store::{Failure, Opened, Store, Stores};
use crate::trace::digest_of;

/// The stories, a letter for each thing that happens.
///
/// | letter | |
/// | --- | --- |
/// | `E` | the endpoint is put, with what it wants changed if it is there |
/// | `p`, `b`, `h` | an event is published: a small one, one of 3 KiB, one of 20 KiB that fills segments |
/// | `a` | the last event is published again |
/// | `o`, `x` | the oldest attempt is answered, with 204 or with 500 |
/// | `z`, `r`, `D`, `R` | the endpoint is paused, resumed, disabled, removed |
/// | `k`, `c` | a key is added; the last event is cancelled |
/// | `t`, `T` | ten seconds pass, or a day |
/// | `s` | the store does a piece of housekeeping, `S` eight of them |
/// | `f`, `w` | the next sync fails, or the next write |
/// | `K` | the process is killed and starts again |
pub const STORIES: [&str; 20] = [
    "Epo",
    "EpppoooS",
    "Epxtoo",
    "EpfpooS",
    "EpwpooS",
    "EbbobbooS",
    "EhhhooohS",
    "EpzpprooS",
    "EppcooEpo",
    "EppRpEpoo",
    "EkppooKpo",
    "EpKpKpooK",
    "EpxTxTxTS",
    "EbbobboosSbbooSsKp",
    "EfpooKpSo",
    "EppDppTToS",
    "EpapaooaKa",
    "EhofhohoSK",
    "EpppooowpoSpo",
    "EbxbxbxtttooobS",
];

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Parts of what is pending that are tried at each crash; with at most 8 things pending, 256 are all of them.
    pub subsets: u64,
    /// One in so many first recoveries is crashed again, at each of its operations.
    pub again: u64,
    /// Stories, from the first on.
    pub stories: usize,
}

impl Effort {
    /// Everything.
    pub const ALL: Self = Self { subsets: 256, again: 1, stories: STORIES.len() };

    /// A glance.
    pub const SHORT: Self = Self { subsets: 8, again: 16, stories: STORIES.len() };
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Stories.
    pub stories: u64,
    /// Operations after which the power went.
    pub operations: u64,
    /// Recoveries from those, one for each part of what was pending.
    pub recoveries: u64,
    /// Crashes where more was pending than can be tried in every part.
    pub sampled: u64,
    /// Crashes within a recovery, each recovered from.
    pub second: u64,
}

/// Tells every story with every crash, on all cores; the first thing that is wrong ends it.
pub fn run(effort: Effort, stores: impl Fn() -> Box<dyn Stores> + Sync) -> Result<Tried, String> {
    let next = AtomicUsize::new(0);
    let sum = Mutex::new(Ok(Tried::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut stores = stores();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(story) = STORIES.get(at).filter(|_| at < effort.stories) else { return };
                    let told = tell(story, effort, &mut *stores);
                    let mut sum = sum.lock().expect("nobody panics while holding it");
                    match (&mut *sum, told) {
                        (Ok(sum), Ok(tried)) => sum.add(&tried),
                        (Ok(_), Err(why)) => *sum = Err(format!("story {story}: {why}")),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    sum.into_inner().expect("nobody panics while holding it")
}

impl Tried {
    fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.operations += other.operations;
        self.recoveries += other.recoveries;
        self.sampled += other.sampled;
        self.second += other.second;
    }
}

/// One story: first as it goes without a crash, to know how many operations there are.
fn tell(story: &str, effort: Effort, stores: &mut dyn Stores) -> Result<Tried, String> {
    let profile = profile();
    let mut tried = Tried { stories: 1, ..Tried::default() };
    let (disk, _) = live(story, None, &profile, stores)?;
    let operations = disk.operations();
    for last in 0..operations {
        let (disk, promised) = live(story, Some(last), &profile, stores)?;
        tried.operations += 1;
        let pending = disk.pending();
        let all = pending <= 8 && 1 << pending <= effort.subsets;
        tried.sampled += u64::from(!all);
        let mut rng = Rng::new(last);
        let parts = if all { 1 << pending } else { effort.subsets };
        for part in 0..parts {
            let survives = match part {
                _ if all => part,
                0 => 0,
                1 => u64::MAX,
                _ => rng.u64(),
            };
            let left = disk.deep_clone();
            left.power_loss_subset(survives);
            let place = format!("crash after operation {last}, surviving {survives:#b} of {pending}");
            tried.recoveries += 1;
            let often = tried.recoveries.is_multiple_of(effort.again);
            match recover(&left, &promised, often, &profile, stores) {
                Ok(second) => tried.second += second,
                Err(why) => {
                    let asked = history(story, last, survives, &profile, stores);
                    return Err(format!("{place}: {why}\n{asked}"));
                }
            }
        }
    }
    Ok(tried)
}

/// What the disk was asked up to a crash, for people.
fn history(story: &str, last: u64, survives: u64, profile: &Profile, stores: &mut dyn Stores) -> String {
    let disk = SimDisk::new();
    disk.keep_log();
    // That it fails is why somebody wants to know.
    let _ = live_on(&disk, story, Some(last), profile, stores);
    disk.power_loss_subset(survives);
    let _ = stores.open(&disk, profile, WALL, false);
    disk.log().join("\n")
}

/// Recovers, crashes within that at each operation if `again`, and then lets everything end. Says how many second
/// crashes there were.
fn recover(
    left: &SimDisk,
    promised: &Promised,
    again: bool,
    profile: &Profile,
    stores: &mut dyn Stores,
) -> Result<u64, String> {
    let disk = left.deep_clone();
    let before = disk.operations();
    let opened = open(&disk, profile, stores)?;
    let (operations, wanted) = (disk.operations() - before, digest_of(&opened.records));
    let second = if again { operations } else { 0 };
    for last in 0..second {
        let half = left.deep_clone();
        half.set_faults(|faults| faults.dies = Some(last));
        if stores.open(&half, profile, WALL, false).is_ok() && !half.is_dead() {
            return Err(format!("recovery did fewer than {} operations the second time", last + 1));
        }
        half.power_loss_subset(last.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7);
        let found = open(&half, profile, stores)?;
        if digest_of(&found.records) != wanted {
            return Err(format!("after a second crash at operation {last} of recovery, other records are recovered"));
        }
    }
    promised.check(opened, disk)?;
    Ok(second)
}

const WALL: UnixTime = UnixTime::from_millis(crate::clock::EPOCH);

fn open(disk: &SimDisk, profile: &Profile, stores: &mut dyn Stores) -> Result<Opened, String> {
    stores.open(disk, profile, WALL, false).map_err(|why| format!("it cannot be opened: {why:?}"))
}

fn profile() -> Profile {
    let history = Kept { payloads: 0, attempts: 0, payload_bytes: u64::MAX, attempt_bytes: u64::MAX };
    Profile { segment: 4096, snapshot: 6 * 1024, history, ..Profile::draw(0, &Scale::hours(1)) }
}

/// What people were told before the crash.
#[derive(Clone, Debug, Default)]
struct Promised {
    /// Events that producers know to be accepted.
    accepted: BTreeSet<u64>,
    /// Those that the receiver has, or that need not arrive any more.
    done: BTreeSet<u64>,
    /// Whether it is known that the endpoint is there.
    registered: bool,
    /// Whether somebody has asked for the endpoint to be removed or disabled: then anything may be discarded.
    discards: bool,
}

impl Promised {
    /// Lets a machine made of what was recovered go on with a receiver that is well: everything that was promised
    /// arrives, and nothing is left.
    fn check(&self, opened: Opened, disk: SimDisk) -> Result<(), String> {
        let none = opened.records.is_empty();
        if none && (self.registered || !self.accepted.is_empty()) {
            return Err("there is nothing, and something was promised".to_owned());
        }
        if none {
            return Ok(());
        }
        let mut node = Node::restored(opened, disk, self.clone())?;
        node.drain();
        if self.registered && !self.discards && node.sender.endpoint(&node.key).is_none() {
            return Err("the endpoint is gone".to_owned());
        }
        let _ = node.sender.resume(node.now, &node.key.clone());
        for _ in 0..200 {
            node.drain();
            if node.sender.is_settled() {
                break;
            }
            while node.answer(204) {}
            node.pass(Duration::from_secs(3600));
        }
        if !node.sender.is_settled() {
            return Err(format!("{} events do not end", node.sender.events()));
        }
        let missing = self.accepted.difference(&node.promised.done).next();
        match missing.filter(|_| !self.discards) {
            Some(event) => Err(format!("event {event} was accepted and never arrives")),
            None => Ok(()),
        }
    }
}

/// A machine over a store, without anything around it.
struct Node {
    sender: Sender,
    store: Box<dyn Store>,
    disk: SimDisk,
    now: Now,
    key: EndpointKey,
    flights: VecDeque<Transmit>,
    /// Events that wait for their record, with its number.
    waiting: Vec<(u64, postrider_core::id::JournalSeq)>,
    published: u64,
    puts: u64,
    register: Option<postrider_core::id::JournalSeq>,
    promised: Promised,
}

/// Tells a story up to an operation of the disk, after which the power goes.
fn live(
    story: &str,
    last: Option<u64>,
    profile: &Profile,
    stores: &mut dyn Stores,
) -> Result<(SimDisk, Promised), String> {
    let disk = SimDisk::new();
    let promised = live_on(&disk, story, last, profile, stores)?;
    Ok((disk, promised))
}

fn live_on(
    disk: &SimDisk,
    story: &str,
    last: Option<u64>,
    profile: &Profile,
    stores: &mut dyn Stores,
) -> Result<Promised, String> {
    disk.set_faults(|faults| faults.dies = last);
    let Ok(opened) = stores.open(disk, profile, WALL, false) else {
        return Ok(Promised::default());
    };
    let mut node = Node::new(opened, disk.clone());
    node.drain();
    for act in story.chars() {
        if disk.is_dead() {
            break;
        }
        if act == 'K' {
            disk.kill();
            let done = disk.operations();
            disk.set_faults(|faults| faults.dies = last.map(|last| last.saturating_sub(done)));
            let Ok(opened) = stores.open(disk, profile, WALL, false) else { break };
            let (published, puts, now) = (node.published, node.puts, node.now);
            node = Node::restored(opened, disk.clone(), node.promised)?;
            (node.published, node.puts, node.now.wall) = (published, puts, now.wall);
            node.drain();
        } else {
            node.act(act);
        }
    }
    Ok(node.promised)
}

fn config() -> Config {
    let mut limits = Limits::default();
    limits.snapshot_every = 6 * 1024;
    limits.resident = 2048;
    Config::new().limits(limits)
}

impl Node {
    fn new(opened: Opened, disk: SimDisk) -> Self {
        let now = Now { mono: Instant::from_millis(1), wall: WALL };
        let sender = Sender::new(config(), Seed::from_bytes([3; 32]), now);
        Self::of(sender, opened.store, disk, now, Promised::default())
    }

    fn restored(opened: Opened, disk: SimDisk, promised: Promised) -> Result<Self, String> {
        let now = Now { mono: Instant::from_millis(77), wall: WALL };
        if opened.records.is_empty() {
            return Ok(Self { promised, ..Self::new(opened, disk) });
        }
        let restored = opened.records.into_iter().fold(Restore::new(config()), Restore::record).finish(now);
        let sender = restored.map_err(|why| format!("no machine can be made: {why}"))?;
        Ok(Self::of(sender, opened.store, disk, now, promised))
    }

    fn of(sender: Sender, store: Box<dyn Store>, disk: SimDisk, now: Now, promised: Promised) -> Self {
        let key = EndpointKey::new("p0").expect("a name");
        Self {
            sender,
            store,
            disk,
            now,
            key,
            flights: VecDeque::new(),
            waiting: Vec::new(),
            published: 0,
            puts: 0,
            register: None,
            promised,
        }
    }

    fn act(&mut self, act: char) {
        let (now, key) = (self.now, self.key.clone());
        match act {
            'E' => self.put(),
            'p' => self.publish(10),
            'b' => self.publish(3000),
            'h' => self.publish(20_000),
            'a' => self.offer(self.published - 1, 10),
            'o' => drop(self.answer(204)),
            'x' => drop(self.answer(500)),
            'z' => drop(self.sender.pause(now, &key)),
            'r' => drop(self.sender.resume(now, &key)),
            'D' | 'R' => {
                self.promised.discards = true;
                drop(if act == 'D' { self.sender.disable(now, &key) } else { self.sender.remove(now, &key) });
            }
            'k' => {
                let secret = Secret::from_bytes([9; 32]).expect("32 bytes");
                drop(self.sender.add_key(now, &key, &secret));
            }
            'c' => {
                let event = EventId::new(format!("e{}", self.published - 1)).expect("a name");
                self.promised.done.insert(self.published - 1);
                drop(self.sender.cancel(now, &TenantId::default(), &event));
            }
            't' => self.pass(Duration::from_secs(10)),
            'T' => self.pass(Duration::from_secs(86_400)),
            's' => self.tidy(1),
            'S' => self.tidy(8),
            'f' => self.disk.set_faults(|faults| faults.sync_fails = Some(0)),
            'w' => self.disk.set_faults(|faults| faults.write_fails = Some(0)),
            _ => unreachable!("a letter of the table"),
        }
        self.drain();
    }

    fn tidy(&mut self, pieces: u32) {
        for _ in 0..pieces {
            // What fails here is tried again the next time.
            let _ = self.store.tidy(self.now.wall);
        }
    }

    fn put(&mut self) {
        let patterns = if self.puts.is_multiple_of(2) { ["**"] } else { ["a.**"] };
        self.puts += 1;
        let endpoint = Endpoint::new("p0", "https://p0.hooks.example.com/hook").events(patterns);
        let endpoint = endpoint.signing_key(Secret::from_bytes([8; 32]).expect("32 bytes"));
        if let Ok(put) = self.sender.put(self.now, endpoint) {
            self.register = Some(put.change().seq);
        }
    }

    fn publish(&mut self, bytes: usize) {
        self.published += 1;
        self.offer(self.published - 1, bytes);
    }

    fn offer(&mut self, event: u64, bytes: usize) {
        let payload = Bytes::from(format!("\"{}\"", "x".repeat(bytes)));
        let made = Event::json_bytes("a.b", payload).expect("made as JSON").id(format!("e{event}"));
        if let Ok(receipt) = self.sender.publish(self.now, made) {
            self.waiting.push((event, receipt.seq));
        }
    }

    /// The oldest attempt is answered; false when there is none.
    fn answer(&mut self, status: u16) -> bool {
        let Some(transmit) = self.flights.pop_front() else { return false };
        if status == 204 {
            let event = transmit.event().as_str().trim_start_matches('e').parse().expect("one of our events");
            self.promised.done.insert(event);
        }
        let outcome = Ok(Reply::new(status));
        self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome });
        self.drain();
        true
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono.saturating_add(time), wall: self.now.wall.saturating_add(time) };
        self.sender.handle(self.now, Input::Tick);
        self.drain();
    }

    /// Lets machine and store do everything that they have to do, until the power goes.
    fn drain(&mut self) {
        loop {
            let mut batches = Vec::new();
            loop {
                match self.sender.poll_output() {
                    Output::Persist(batch) => batches.push(batch),
                    Output::Load(request) => {
                        let result = self.store.load(request.records());
                        self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                    }
                    Output::Snapshot(part) => self.store.snapshot(&part),
                    Output::Reclaim(mark) => self.store.reclaim(mark),
                    Output::Transmit(transmit) => self.flights.push_back(transmit),
                    Output::Abort(attempt) => {
                        self.flights.retain(|transmit| transmit.attempt() != attempt);
                        let outcome = Err(postrider_core::response::TransportError::Aborted);
                        self.sender.handle(self.now, Input::Completed { attempt, outcome });
                    }
                    Output::Notice(_) | Output::Wait(Wake::Ready) => {}
                    Output::Wait(_) => break,
                }
            }
            if batches.is_empty() || self.disk.is_dead() || self.sender.life() != Life::Running {
                return;
            }
            self.write(&batches);
        }
    }

    /// Writes batches, makes them durable, and tells everybody who waits for that.
    fn write(&mut self, batches: &[PersistBatch]) {
        let written = batches.iter().try_for_each(|batch| self.store.append(batch)).and_then(|()| self.store.sync());
        if self.disk.is_dead() {
            return;
        }
        let input = match written {
            Ok(durable) => Input::Persisted(durable),
            Err(why) => {
                let why = if why == Failure::Full { PersistFailure::Full } else { PersistFailure::Broken };
                Input::PersistFailed { from: self.sender.durable().next(), why }
            }
        };
        self.sender.handle(self.now, input);
        let durable = self.sender.durable();
        for (event, _) in self.waiting.extract_if(.., |(_, seq)| *seq <= durable) {
            // Nobody wants what is published while there is no endpoint.
            self.promised.accepted.insert(event);
        }
        self.promised.registered |= self.register.is_some_and(|seq| seq <= durable);
    }
}

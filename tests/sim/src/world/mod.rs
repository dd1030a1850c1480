//! The world: what there is in it, and the loop that lets one thing happen after the other.

mod carry;
mod chaos;
mod checks;
mod content;
mod finish;
mod flight;
mod node;
mod operate;
mod produce;
mod recall;
mod replay;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use postrider_core::sender::Input;

use crate::heap::Schedule;
use crate::journal::Journals;
use crate::model::Model;
use crate::observe::{Broken, Clocks, Judge, Rules, SECOND, Seen, SimTime, Told, Wish};
use crate::profile::{Class, Injected, Profile, Scale};
use crate::receiver::{self, Peer};
use crate::rng::Rng;
use crate::store::Stores;
use crate::trace::Trace;

use checks::Bounds;
use content::Place;
use flight::Flights;
use node::Node;
use replay::Replays;

/// Whole-state checks come every so many events.
const SWEEP: u64 = 1000;

/// Lines of the readable trace that are kept.
const TAIL: usize = 200;

/// Makes the receiver of an endpoint: from numbers, the endpoint, and whether it may misbehave.
pub type MakePeer = Box<dyn FnMut(&mut Rng, u32, bool) -> Box<dyn Peer>>;

/// Who plays in a world besides the machine: replace a part to put one of your own into it.
pub struct Cast {
    /// Where nodes keep their records.
    pub stores: Box<dyn Stores>,
    /// Who receives. A handler of your own is a [`Peer`].
    pub peers: MakePeer,
    /// Who watches.
    pub judges: Vec<Box<dyn Judge>>,
    /// Keep the last lines of a readable trace; slow.
    pub readable: bool,
    /// Of a readable trace, keep all lines that have one of these words in them instead of the last; none for the last.
    pub about: Vec<String>,
}

impl std::fmt::Debug for Cast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cast").field("judges", &self.judges.len()).finish_non_exhaustive()
    }
}

impl Cast {
    /// The usual one.
    pub fn usual() -> Self {
        Self {
            stores: Box::new(Journals),
            peers: Box::new(receiver::draw),
            judges: vec![Box::new(Model::default())],
            readable: false,
            about: Vec::new(),
        }
    }
}

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What was broken, and when.
    pub broken: Option<(SimTime, Broken)>,
    /// The hash of everything that happened.
    pub hash: u128,
    /// How much time passed in the world.
    pub simulated: SimTime,
    /// What was counted.
    pub counts: Counts,
    /// What was injected.
    pub injected: Injected,
    /// The last lines of the readable trace, where it was asked for.
    pub tail: Vec<String>,
}

/// What was counted in a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Things that happened: taken from the schedule one by one.
    pub events: u64,
    /// Observations judged.
    pub observed: u64,
    /// Effects that machines asked for.
    pub effects: u64,
    /// Events that producers know to be accepted.
    pub accepted: u64,
    /// Replays that were accepted.
    pub replayed: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Requests that arrived.
    pub arrived: u64,
    /// Starts of nodes after the first.
    pub restarts: u64,
    /// Records that were read back at starts.
    pub recovered: u64,
}

impl Counts {
    /// Those of another seed too.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.observed += other.observed;
        self.effects += other.effects;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.attempts += other.attempts;
        self.arrived += other.arrived;
        self.restarts += other.restarts;
        self.recovered += other.recovered;
    }
}

/// Something that is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    /// A machine wanted to be told the time now.
    Wake { node: u32, turn: u64 },
    /// A producer has a new event.
    Produce,
    /// A producer offers an event, for the first time or again.
    Offer(Offer),
    /// An operator wants something.
    Operate,
    /// Somebody asks about the past.
    Read,
    /// An endpoint is to be there.
    Register { endpoint: u32, how: Register },
    /// A disaster of a class strikes.
    Chaos { class: Class, node: u32 },
    /// A disaster is over.
    Calm { class: Class, node: u32 },
    /// The power goes, shortly after somebody was told that what they wanted is done.
    Doom { node: u32, life: u32 },
    /// A process starts.
    Boot { node: u32, life: u32 },
    /// A sync ends.
    Synced { node: u32, life: u32 },
    /// Lazy records have waited long enough.
    Linger { node: u32, life: u32 },
    /// A store has time for housekeeping.
    Tidy { node: u32, life: u32 },
    /// An attempt comes to its next step.
    Flight { slot: u32, turn: u32, step: flight::Step },
    /// Faults end.
    Heal,
    /// Somebody wants an event sent again.
    Replay { replay: u64 },
    /// Look whether everything has ended.
    Settle,
}

/// How an endpoint is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    /// For the first time.
    First,
    /// When faults have ended: as it should be, with the keys that it has.
    Again,
    /// The same with a new key, since it had been removed.
    Anew,
    /// And then it is to be active.
    Resume,
}

/// An offer of an event to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    event: u64,
    born: SimTime,
    tries: u16,
    other_content: bool,
}

/// Who is to be told what became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Producer(Offer),
    Registrar { endpoint: u32, how: Register },
    Operator { node: u32 },
    Replayer { replay: u64 },
}

/// One seed's world.
pub struct World {
    profile: Profile,
    cast: Cast,
    bounds: Bounds,
    now: SimTime,
    schedule: Schedule<Happening>,
    streams: Streams,
    nodes: Vec<Node>,
    places: Vec<Place>,
    peers: Vec<Box<dyn Peer>>,
    flights: Flights,
    injected: Injected,
    counts: Counts,
    trace: Trace,
    tail: VecDeque<String>,
    broken: Option<(SimTime, Broken)>,
    healed: bool,
    until: SimTime,
    over: bool,
    calls: u64,
    attempts: u64,
    /// Inquiries so far.
    asks: u64,
    next_event: u64,
    /// Events that were offered in vain and are offered again.
    backlog: u32,
    next_key: u32,
    scratch: String,
    /// Events that somebody wished forgotten, alone or with all of their tenant.
    forgotten: Vec<u64>,
    /// A list that somebody is reading.
    walk: Option<recall::Walk>,
    /// What was sent again.
    replays: Replays,
}

/// The sources of chance, one for each part of the world.
struct Streams {
    workload: Rng,
    network: Rng,
    disk: Rng,
    operator: Rng,
    chaos: Rng,
    reader: Rng,
    replayer: Rng,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("seed", &self.profile.seed).field("now", &self.now).finish_non_exhaustive()
    }
}

impl World {
    /// The world of a seed, before anything has happened.
    pub fn new(seed: u64, scale: &Scale, cast: Cast) -> Self {
        Self::of(Profile::draw(seed, scale), cast)
    }

    /// The world of a profile.
    pub fn of(profile: Profile, mut cast: Cast) -> Self {
        let seed = profile.seed;
        let mut drawing = Rng::part(seed, "receivers");
        let hostile = profile.classes.has(Class::Hostile);
        let peers = (0..profile.endpoints).map(|endpoint| (cast.peers)(&mut drawing, endpoint, hostile)).collect();
        let mut world = Self {
            bounds: Bounds::new(&profile),
            now: SimTime(0),
            schedule: Schedule::new(Rng::part(seed, "schedule")),
            streams: Streams {
                workload: Rng::part(seed, "workload"),
                network: Rng::part(seed, "network"),
                disk: Rng::part(seed, "disk"),
                operator: Rng::part(seed, "operator"),
                chaos: Rng::part(seed, "chaos"),
                reader: Rng::part(seed, "reader"),
                replayer: Rng::part(seed, "replayer"),
            },
            nodes: (0..profile.nodes).map(|_| Node::new()).collect(),
            places: Vec::new(),
            peers,
            flights: Flights::default(),
            injected: Injected::default(),
            counts: Counts::default(),
            trace: Trace::default(),
            tail: VecDeque::new(),
            broken: None,
            healed: false,
            until: SimTime(u64::MAX),
            over: false,
            calls: 0,
            attempts: 0,
            asks: 0,
            next_event: 0,
            backlog: 0,
            next_key: 0,
            scratch: String::new(),
            forgotten: Vec::new(),
            walk: None,
            replays: Replays::default(),
            cast,
            profile,
        };
        if world.cast.readable {
            world.nodes.iter().for_each(|node| node.disk.keep_log());
        }
        world.begin();
        world
    }

    /// What the seed drew.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Lets everything happen, and says what became of it. A panic counts as a broken promise.
    pub fn run(mut self) -> Verdict {
        let lived = catch_unwind(AssertUnwindSafe(|| while self.step() {}));
        if let Err(panic) = lived {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = format!("panicked: {}", text.unwrap_or_else(|| "without a text".to_owned()));
            self.broken.get_or_insert_with(|| (self.now, Broken::new(28, what)));
        }
        self.count_disks();
        for (node, owner) in self.nodes.iter().enumerate().filter(|_| self.cast.readable) {
            let disk = owner.disk.log().into_iter().map(|line| format!("disk {node}: {line}"));
            disk.for_each(|line| self.tail.push_back(line));
        }
        Verdict {
            seed: self.profile.seed,
            broken: self.broken,
            hash: self.trace.finish(),
            simulated: self.now,
            counts: self.counts,
            injected: self.injected,
            tail: self.tail.into(),
        }
    }

    fn begin(&mut self) {
        self.make_places();
        let rules = Rules {
            seed: self.profile.seed,
            nodes: self.profile.nodes,
            credit: self.profile.credit,
            window: self.profile.window,
            remembered: self.profile.remembered,
            payload: self.profile.payload,
            tenant_bound: self.profile.tenant_bound,
            host_bound: self.profile.host_bound,
            faultless: self.profile.is_faultless(),
            rots: self.profile.classes.has(Class::Rot),
            lies: self.profile.classes.has(Class::Lies),
            jumps: self.profile.classes.has(Class::Steps),
            stalls: [Class::DiskFull, Class::LoadError, Class::Credit, Class::Tight]
                .into_iter()
                .any(|class| self.profile.classes.has(class)),
            history: self.profile.history,
        };
        self.see(&Seen::Began(&rules));
        (0..self.profile.nodes).for_each(|node| self.schedule.at(SimTime(0), Happening::Boot { node, life: 0 }));
        for endpoint in 0..self.profile.endpoints {
            self.schedule.at(SimTime(1_000_000), Happening::Register { endpoint, how: Register::First });
        }
        self.schedule.at(SimTime(2_000_000_000), Happening::Produce);
        self.schedule.at(SimTime(self.profile.fault_phase), Happening::Heal);
        self.begin_chaos();
        self.begin_operating();
        self.begin_reading();
    }

    /// Lets the next thing happen; false when it is all over.
    fn step(&mut self) -> bool {
        if self.over || self.broken.is_some() {
            return false;
        }
        let Some((at, happening)) = self.schedule.pop() else { return false };
        self.now = at;
        self.counts.events += 1;
        if let Some(later) = self.frozen_until(&happening) {
            self.schedule.at(later.after(1), happening);
            return true;
        }
        match happening {
            Happening::Wake { node, turn } => self.wake(node, turn),
            Happening::Produce => self.produce(),
            Happening::Offer(offer) => self.offer(offer),
            Happening::Operate => self.operate(),
            Happening::Read => self.read(),
            Happening::Register { endpoint, how } => self.register(endpoint, how),
            Happening::Chaos { class, node } => self.strike(class, node),
            Happening::Calm { class, node } => self.calm(class, node),
            Happening::Doom { node, life } => self.doom(node, life),
            Happening::Boot { node, life } => self.boot(node, life),
            Happening::Synced { node, life } => self.synced(node, life),
            Happening::Linger { node, life } => self.lingered(node, life),
            Happening::Tidy { node, life } => self.tidy(node, life),
            Happening::Flight { slot, turn, step } => self.fly(slot, turn, step),
            Happening::Heal => self.heal(),
            Happening::Replay { replay } => self.replay(replay),
            Happening::Settle => self.settle(),
        }
        if self.counts.events.is_multiple_of(SWEEP) {
            self.sweep();
        }
        true
    }

    /// When the node goes on that something happens to, where it stands still.
    fn frozen_until(&self, happening: &Happening) -> Option<SimTime> {
        let node = match happening {
            Happening::Wake { node, .. }
            | Happening::Chaos { node, .. }
            | Happening::Doom { node, .. }
            | Happening::Boot { node, .. }
            | Happening::Synced { node, .. }
            | Happening::Linger { node, .. }
            | Happening::Tidy { node, .. } => *node,
            Happening::Flight { slot, turn, step } => self.flights.node(*slot, *turn, *step)?,
            Happening::Offer(offer) => self.node_of_event(offer.event),
            Happening::Replay { replay } => self.node_of_event(*replay),
            Happening::Register { endpoint, .. } => self.places[*endpoint as usize].node,
            Happening::Calm { .. }
            | Happening::Produce
            | Happening::Operate
            | Happening::Read
            | Happening::Heal
            | Happening::Settle => return None,
        };
        self.nodes[node as usize].frozen
    }

    /// Something was seen: it goes into the trace, and to everybody who judges.
    fn see(&mut self, seen: &Seen<'_>) {
        self.counts.observed += 1;
        self.trace.see(self.now, seen);
        if self.cast.readable {
            let (line, about) = (format!("{} {}", self.now, readable(seen)), &self.cast.about);
            if about.is_empty() && self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            if about.is_empty() || about.iter().any(|word| line.contains(word)) {
                self.tail.push_back(line);
            }
        }
        let mut found = self.bounds.see(self.now, seen).err();
        for judge in &mut self.cast.judges {
            let wrong = judge.see(self.now, seen).err();
            found = found.or(wrong);
        }
        if let Some(broken) = found {
            self.break_off(broken);
        }
    }

    fn break_off(&mut self, broken: Broken) {
        self.broken.get_or_insert((self.now, broken));
    }

    fn sweep(&mut self) {
        let look = node::Looking::at(&self.nodes, &self.replays);
        let mut found = self.bounds.sweep(self.now, &look).err();
        for judge in &mut self.cast.judges {
            let wrong = judge.sweep(self.now, &look).err();
            found = found.or(wrong);
        }
        if let Some(broken) = found {
            self.break_off(broken);
        }
    }

    /// Whether a fault of a class happens now, that happens to some requests.
    fn network_fault(&mut self, class: Class) -> bool {
        self.chance(class, self.profile.network)
    }

    /// Whether something of a class happens, so many times in a million; counts it.
    fn chance(&mut self, class: Class, millionths: u32) -> bool {
        let strikes = !self.healed && self.profile.classes.has(class) && self.streams.network.chance(millionths);
        if strikes {
            self.injected.count(class);
        }
        strikes
    }

    fn clocks(&self, node: u32) -> Clocks {
        self.nodes[node as usize].clock.at(self.now)
    }

    /// Tells a machine something, and does what it then wants.
    fn fact(&mut self, node: u32, input: Input) {
        let now = node::now(self.clocks(node));
        if let Some(process) = &mut self.nodes[node as usize].up {
            process.sender.handle(now, input);
            self.drain(node);
        }
    }

    /// Somebody learns what became of a call.
    fn answer(&mut self, call: u64, told: Told, caller: Caller) {
        let lost = matches!(told, Told::Ok { .. }) && self.chance(Class::LostAnswers, 100_000);
        let told = if lost { Told::Lost } else { told };
        self.see(&Seen::Answered { call, told });
        match caller {
            Caller::Producer(offer) => self.offer_answered(offer, told),
            Caller::Registrar { endpoint, how } => self.registered(endpoint, how, told),
            Caller::Operator { node } if told == Told::Ok { fresh: true } => self.tempt_fate(node),
            Caller::Operator { .. } => {}
            Caller::Replayer { replay } => self.replay_answered(replay, told),
        }
    }
}

/// An observation as a line of a trace that people read; long bodies are cut.
fn readable(seen: &Seen<'_>) -> String {
    match seen {
        Seen::Departed(departure) => {
            let headers: Vec<_> = departure
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("webhook-") || name.starts_with("postrider-"))
                .map(|(name, value)| format!("{name}: {}", value.escape_ascii()))
                .collect();
            let body = &departure.body[..departure.body.len().min(60)];
            format!(
                "Departed {{ attempt: {}, to: {}:{}, {}, body: {} }}",
                departure.attempt,
                departure.address,
                departure.port,
                headers.join(", "),
                body.escape_ascii()
            )
        }
        Seen::Asked { call, node, clocks, wish: Wish::Publish(event) } => format!(
            "Asked {{ call: {call}, node: {node}, {clocks:?}, publish e{} of t{}, {}, {} bytes, expires {:?}, key {:?}, {:?} }}",
            event.event,
            event.tenant,
            event.event_type,
            event.payload.len(),
            event.expires,
            event.idempotency,
            event.replay
        ),
        Seen::Asked { call, node, clocks, wish: Wish::Put(spec) } => {
            let keys: Vec<_> = spec.keys.iter().map(|key| key.number).collect();
            let (schedule, timeout) = (spec.schedule.iter().map(|delay| delay / SECOND), spec.timeout / SECOND);
            format!(
                "Asked {{ call: {call}, node: {node}, {clocks:?}, put p{} of t{}, {:?}, {:?}, schedule {:?}, timeout \
                 {timeout}, concurrency {}, keys {keys:?} }}",
                spec.endpoint,
                spec.tenant,
                spec.patterns,
                spec.form,
                schedule.collect::<Vec<_>>(),
                spec.concurrency
            )
        }
        other => {
            let mut text = format!("{other:?}");
            if text.len() > 400 {
                let cut = text.floor_char_boundary(400);
                text.truncate(cut);
                text.push_str("..");
            }
            text
        }
    }
}

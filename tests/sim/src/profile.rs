//! What a seed brings: which kinds of fault exist in its world, how often they come, and how much is going on.

use std::fmt;

use crate::observe::{Kept, SECOND};
use crate::rng::Rng;

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;

macro_rules! classes {
    ($($name:ident $text:literal $doc:literal),* $(,)?) => {
        /// A kind of fault, or of trouble that people make. Each exists in about half of all seeds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Class {
            $(#[doc = $doc] $name),*
        }

        impl Class {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name by which a command line cuts it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

classes! {
    Kill "kill" "A process is killed.",
    Power "power" "The power goes between two events.",
    PowerInWrite "power-in-write" "The power goes within an operation of the disk.",
    PowerInRecovery "power-in-recovery" "The power goes while a node reads its log.",
    LongDown "long-down" "A node stays down for hours or days.",
    SyncError "sync-error" "A sync fails once and drops the data.",
    WriteError "write-error" "A write fails.",
    DiskFull "disk-full" "The disk is full for a while.",
    SlowDisk "slow-disk" "Syncs take up to 30 s.",
    Torn "torn" "Sectors tear when the power goes.",
    Rot "rot" "A bit of synced data flips.",
    Lies "lies" "Syncs succeed and do nothing.",
    LoadError "load-error" "Reading a payload back fails for now.",
    Refused "refused" "Connections are refused, or no route leads there.",
    Reset "reset" "Connections are reset, before or after the request.",
    Loss "loss" "Requests or answers get lost.",
    Delay "delay" "Packets take up to 60 s.",
    Tardy "tardy" "The adapter reports attempts after their deadline.",
    DnsFails "dns-fails" "Names cannot be looked up, or are not there.",
    DnsLies "dns-lies" "Names lead to private addresses, or to private and public ones.",
    Rebind "rebind" "A name leads elsewhere between look-up and dial.",
    Hostile "hostile" "Receivers misbehave.",
    Operators "operators" "Endpoints are paused, resumed, disabled and put anew.",
    Removals "removals" "Endpoints are removed and registered again.",
    Keys "keys" "Keys are added, expired and revoked.",
    Cancels "cancels" "Events are cancelled, erased, and tenants purged.",
    Closes "closes" "Nodes are closed and started again.",
    Repeats "repeats" "Producers repeat what was accepted.",
    Conflicts "conflicts" "Producers give another content under the same id or key.",
    Bursts "bursts" "Many events come at once.",
    Poison "poison" "Payloads are empty, huge, or too large.",
    Expiry "expiry" "Events expire.",
    LostAnswers "lost-answers" "Producers and operators do not get their answers.",
    Drift "drift" "Clocks run too fast or too slow.",
    Steps "steps" "Wall clocks jump.",
    Suspends "suspends" "Nodes stand still for a while.",
    Credit "credit" "What the adapter can carry changes.",
    Tight "tight" "Limits are small.",
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u64);

impl Classes {
    /// No class.
    pub const NONE: Self = Self(0);

    /// Every class.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether it is in the set.
    pub fn has(self, class: Class) -> bool {
        self.0 >> class as u32 & 1 == 1
    }

    /// The set with it.
    pub fn with(self, class: Class) -> Self {
        Self(self.0 | 1 << class as u32)
    }

    /// The set without it.
    pub fn without(self, class: Class) -> Self {
        Self(self.0 & !(1 << class as u32))
    }

    /// Those that are in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.iter().copied().filter(move |class| self.has(*class))
    }
}

/// How large a run is, and what is cut from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Hours of faults and of healing; what then is left to do comes on top.
    pub hours: u64,
    /// Classes that may exist.
    pub allowed: Classes,
    /// No more new events than this.
    pub events: u64,
    /// Nanoseconds between two events, where the seed is not to draw them.
    pub gap: Option<u64>,
    /// Nothing is drawn: one node sends one event a second, if `gap` is not something else, to one endpoint that takes
    /// each, and nothing is ever wrong. It measures what the simulator costs, and what a machine does when all is well.
    pub calm: bool,
}

impl Scale {
    /// Everything, for so many hours.
    pub fn hours(hours: u64) -> Self {
        Self { hours, allowed: Classes::ALL, events: u64::MAX, gap: None, calm: false }
    }
}

/// What a seed draws before anything happens.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The seed.
    pub seed: u64,
    /// What exists in it.
    pub classes: Classes,
    /// Nanoseconds with faults, and until no new events come.
    pub fault_phase: u64,
    /// When no new events come any more.
    pub workload: u64,
    /// No more new events than this.
    pub events: u64,
    /// Nodes, each with its own tenants.
    pub nodes: u32,
    /// Tenants, over all nodes.
    pub tenants: u32,
    /// Endpoints, over all tenants.
    pub endpoints: u32,
    /// Nanoseconds between two new events, in the mean.
    pub gap: u64,
    /// Nanoseconds between two disasters of a node, in the mean; each class draws around it.
    pub disaster: u64,
    /// Millionths of all requests that something happens to, for each class of the network.
    pub network: u32,
    /// Nanoseconds between two commands of operators, in the mean.
    pub operator: u64,
    /// Nanoseconds of a usual way through the network.
    pub latency: u64,
    /// Nanoseconds of a usual sync.
    pub sync: u64,
    /// Attempts that a node may have in flight.
    pub credit: u32,
    /// Bytes of a log segment.
    pub segment: u64,
    /// Bytes of records between two snapshots.
    pub snapshot: u64,
    /// Bytes of payloads that a node keeps in memory.
    pub resident: u64,
    /// Nanoseconds within which a repeat is recognised.
    pub window: u64,
    /// Events that may be remembered for that.
    pub remembered: u64,
    /// Bytes of a payload.
    pub payload: u64,
    /// How long what has ended stays readable.
    pub history: Kept,
    /// Nanoseconds between two questions about the past, in the mean.
    pub reads: u64,
    /// Which retry schedule endpoints get: short, medium, the default.
    pub schedule: u64,
    /// Every endpoint wants every event.
    pub wants_all: bool,
    /// Nodes tell tenants of their endpoints and deliveries.
    pub tells: bool,
    /// People ask for history.
    pub asks: bool,
    /// And have some of what they find sent again.
    pub replays: bool,
    /// Endpoints want events under one key in order, or only the newest.
    pub lanes: bool,
    /// Endpoints have rates, breakers and limits of their own.
    pub paces: bool,
    /// Owners of some endpoints are asked for consent.
    pub consents: bool,
    /// Attempts that a tenant may have in flight.
    pub tenant_bound: u32,
    /// Attempts that may be in flight from a node to a host and port.
    pub host_bound: u32,
}

impl Profile {
    /// What a seed draws.
    pub fn draw(seed: u64, scale: &Scale) -> Self {
        if scale.calm {
            return Self::calm(seed, scale);
        }
        let rng = &mut Rng::part(seed, "profile");
        let classes = draw_classes(rng).and(scale.allowed);
        let tight = classes.has(Class::Tight);
        let hours = scale.hours.max(1) * 3600 * SECOND;
        let nodes = if rng.once_in(4) { 2 } else { 1 };
        let tenants = nodes * u32::try_from(rng.between(1, 3)).expect("it is small");
        let per_tenant = u32::try_from(rng.about(4).min(24)).expect("it is small");
        let drawn_gap = *rng.pick(&[2, 5, 10, 20, 60, 120, 600]) * SECOND;
        // What bounds a tenant must leave it room for what has gathered while its receivers were down.
        let pacing = &mut Rng::part(seed, "pacing");
        let gap = scale.gap.unwrap_or(drawn_gap);
        let calm_enough = gap >= 20 * SECOND && !classes.has(Class::Bursts);
        Self {
            seed,
            classes,
            fault_phase: hours * rng.between(50, 75) / 100,
            workload: hours * rng.between(80, 95) / 100,
            events: scale.events,
            nodes,
            tenants,
            endpoints: tenants * per_tenant,
            gap,
            disaster: *rng.pick(&[600, 1800, 3600, 4 * 3600]) * SECOND,
            network: *rng.pick(&[1_000, 10_000, 50_000, 200_000]),
            operator: *rng.pick(&[60, 300, 1800]) * SECOND,
            latency: rng.between(1, 80) * 1_000_000,
            sync: rng.between(50, 8_000) * 1_000,
            credit: u32::try_from(*rng.pick(&[1, 2, 8, 64, 1024])).expect("it is small"),
            segment: (*rng.pick(&[4, 16, 64, 256]) * 1024).max(least_segment(hours / gap, per_tenant, nodes)),
            snapshot: *rng.pick(&[4, 32, 128, 1024]) * 1024,
            resident: if tight { rng.between(0, 4096) } else { 64 << 20 },
            window: if tight { rng.between(60, 3600) * SECOND } else { 24 * 3600 * SECOND },
            remembered: if tight { rng.between(16, 1024) } else { 1_000_000 },
            payload: if tight { 4096 } else { 256 * 1024 },
            schedule: rng.below(4),
            history: draw_history(seed),
            reads: *Rng::part(seed, "reads").pick(&[60, 300, 900]) * SECOND,
            wants_all: false,
            tells: rng.once_in(2),
            asks: true,
            replays: Rng::part(seed, "replays").once_in(2),
            lanes: true,
            paces: pacing.once_in(2),
            consents: Rng::part(seed, "consents").once_in(3),
            tenant_bound: if calm_enough && pacing.once_in(3) { 4 } else { u32::MAX },
            host_bound: if calm_enough && pacing.once_in(3) { 3 } else { u32::MAX },
        }
    }

    fn calm(seed: u64, scale: &Scale) -> Self {
        let hours = scale.hours.max(1) * 3600 * SECOND;
        Self {
            seed,
            classes: Classes::NONE,
            fault_phase: hours,
            workload: hours,
            events: scale.events,
            nodes: 1,
            tenants: 1,
            endpoints: 1,
            gap: scale.gap.unwrap_or(SECOND),
            disaster: hours,
            network: 0,
            operator: hours,
            latency: 20_000_000,
            sync: 1_000_000,
            credit: 1024,
            segment: 64 << 20,
            snapshot: 16 << 20,
            resident: 64 << 20,
            window: 24 * 3600 * SECOND,
            remembered: 1_000_000,
            payload: 256 * 1024,
            schedule: 2,
            history: Kept {
                payloads: 168 * HOUR,
                attempts: 672 * HOUR,
                payload_bytes: u64::MAX,
                attempt_bytes: u64::MAX,
            },
            reads: hours / 4,
            wants_all: true,
            tells: false,
            asks: true,
            replays: false,
            lanes: false,
            paces: false,
            consents: false,
            tenant_bound: u32::MAX,
            host_bound: u32::MAX,
        }
    }

    /// Whether nothing is ever wrong in this seed.
    pub fn is_faultless(&self) -> bool {
        let harmless = [Class::Repeats, Class::Bursts, Class::Drift, Class::Poison, Class::Conflicts];
        self.classes.iter().all(|class| harmless.contains(&class))
    }
}

/// How long history is kept: some for longer than the seed lasts, some not at all, some for as much as there is room.
/// Bytes of a segment with which so many events come to some hundred segments of a node, and not to many thousands: 10 GiB
/// of history in segments of 64 MiB are not more either, and many things that a log does now and then look at each segment.
fn least_segment(events: u64, per_tenant: u32, nodes: u32) -> u64 {
    let bytes = events * (600 + 200 * u64::from(per_tenant)) / u64::from(nodes);
    (bytes / 256).next_power_of_two()
}

fn draw_history(seed: u64) -> Kept {
    let rng = &mut Rng::part(seed, "history");
    let attempts = *rng.pick(&[0, HOUR / 4, 2 * HOUR, 12 * HOUR, 672 * HOUR, 672 * HOUR]);
    let payloads = *rng.pick(&[0, HOUR / 60, HOUR, 168 * HOUR, 168 * HOUR]);
    let payload_bytes = if rng.once_in(2) { *rng.pick(&[1 << 10, 16 << 10, 256 << 10]) } else { u64::MAX };
    let attempt_bytes = if rng.once_in(3) { *rng.pick(&[16 << 10, 256 << 10]) } else { u64::MAX };
    Kept { payloads, attempts, payload_bytes, attempt_bytes }
}

fn draw_classes(rng: &mut Rng) -> Classes {
    let none = rng.once_in(32);
    let mut classes = Classes::NONE;
    for class in Class::ALL {
        let there = match class {
            // Weaker promises hold where these exist, so they are rare.
            Class::Rot | Class::Lies => rng.once_in(16),
            Class::Torn => rng.once_in(4),
            Class::LongDown => rng.once_in(8),
            Class::SlowDisk | Class::Tight => rng.once_in(3),
            _ => rng.once_in(2),
        };
        if there && !none {
            classes = classes.with(*class);
        }
    }
    classes
}

/// How often each class struck.
#[derive(Clone, Copy, Debug)]
pub struct Injected([u64; Class::ALL.len()]);

impl Default for Injected {
    fn default() -> Self {
        Self([0; Class::ALL.len()])
    }
}

impl Injected {
    /// It struck.
    pub fn count(&mut self, class: Class) {
        self.0[class as usize] += 1;
    }

    /// It struck so many times.
    pub fn add(&mut self, class: Class, times: u64) {
        self.0[class as usize] += times;
    }

    /// Those of another seed too.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// Each class and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.iter().map(|class| (*class, self.0[*class as usize]))
    }
}

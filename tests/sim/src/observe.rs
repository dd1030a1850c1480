//! What can be seen from outside: the words between the world and those who judge it.
//!
//! Everything here is a plain value: numbers, text, bytes. Nothing comes from the core, so that a judge can be wrong
//! in no way in which the core is wrong. The world numbers endpoints, events, keys, attempts and calls itself; the
//! numbers never come back for another thing within a seed.

mod past;
mod spec;

use std::fmt;
use std::net::IpAddr;

pub use crate::sim_time::{Clocks, SECOND, SimTime};
pub use past::{Came, Ended, List, Of, Past, Question, Recalled, Spot, Try};
pub use spec::{Ask, Breaker, Filter, Form, Key, Pace, Place, Rate, Scheme, Spec};

/// An event as a producer submits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission<'a> {
    /// Which event: its `webhook-id` is `e` and this number, its tenant and content are the same in every repeat that
    /// is honest. Of a replay the id is `rpl_` and this number.
    pub event: u64,
    /// Whose it is.
    pub tenant: u32,
    /// Its dotted type.
    pub event_type: &'a str,
    /// Its data: JSON text.
    pub payload: &'a [u8],
    /// Milliseconds since 1970 after which it is not worth sending.
    pub expires: Option<u64>,
    /// The number of an idempotency key, where it has one.
    pub idempotency: Option<u64>,
    /// The number of an ordering key, where it has one.
    pub key: Option<u32>,
    /// What it sends again, where it is a replay.
    pub replay: Option<Replay>,
}

/// An event of its own that sends another again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The event that is sent again.
    pub of: u64,
    /// To this endpoint alone, whatever it wants.
    pub endpoint: u32,
    /// Under the id of that event, and not under its own.
    pub keeps_id: bool,
}

/// What somebody asks of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish<'a> {
    /// Take an event.
    Publish(Submission<'a>),
    /// Register an endpoint, or make the one of that number so.
    Put(&'a Spec),
    /// Hold an endpoint's deliveries back.
    Pause(u32),
    /// Let an endpoint's deliveries go.
    Resume(u32),
    /// Take an endpoint out of service.
    Disable(u32),
    /// Forget an endpoint.
    Remove(u32),
    /// Let a further key sign.
    AddKey(u32, Key),
    /// Let a key sign until the node's wall clock shows these milliseconds.
    ExpireKey(u32, Key, u64),
    /// Let a key sign never again.
    RevokeKey(u32, Key),
    /// Change over to a key; the others sign for so many milliseconds more.
    RotateKey(u32, Key, u64),
    /// Let the newest key alone sign.
    FinishRotation(u32),
    /// Send nothing more of an event.
    Cancel {
        /// Whose.
        tenant: u32,
        /// Which.
        event: u64,
    },
    /// Forget payloads and answers of all events of a tenant, and send nothing more of them.
    Purge(u32),
    /// The same of one event.
    Erase {
        /// Whose.
        tenant: u32,
        /// Which.
        event: u64,
    },
    /// Stop; `true` waits for attempts in flight.
    Close(bool),
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The node took it and has made it durable, and whoever asked knows.
    Ok {
        /// For an event: whether it is new to the node. Otherwise: whether anything is different now.
        fresh: bool,
    },
    /// The node refused it, for this reason; nothing is different.
    Refused(Refusal),
    /// Nobody knows: the node died first, or has stopped, or the answer got lost on its way. It may have been done, or
    /// not.
    Lost,
}

/// Why a wish was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The same id or idempotency key with another content, which the node has accepted.
    Conflict,
    /// The same, but the first is not durable yet.
    Unsettled,
    /// Too much is going on.
    Overloaded,
    /// The disk is full.
    Full,
    /// The payload is too large.
    TooLarge,
    /// There is no such endpoint or event.
    Unknown,
    /// The key ring does not allow it.
    Ring,
    /// The endpoint's state does not allow it.
    State,
    /// The description is wrong.
    Invalid,
    /// The node is closing or has stopped.
    Stopped,
    /// None of these.
    Other,
}

/// A request as it leaves a node.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Which attempt.
    pub attempt: u64,
    /// The address dialled.
    pub address: IpAddr,
    /// The port dialled.
    pub port: u16,
    /// The node's clocks as the request was built, which may be later than the attempt's start.
    pub clocks: Clocks,
    /// Header names in lower case and their values, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Departure<'a> {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }
}

/// How an attempt ended for the node that made it: what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A response head came.
    Status {
        /// Its status.
        status: u16,
        /// Its `Retry-After` lines and its `Date` lines, name in lower case first.
        lines: &'a [(&'a str, &'a [u8])],
        /// What was read of its body.
        body: &'a [u8],
    },
    /// No response head came.
    Failed {
        /// Why: a short name.
        why: &'static str,
        /// It can never succeed: the address is refused, or the payload cannot be expressed.
        denied: bool,
        /// The receiver may have got the request all the same.
        sent: bool,
    },
}

/// How a node died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process was killed: what it wrote is there, synced or not.
    Kill,
    /// The power went: of what was not synced any part is there.
    Power,
    /// It had closed, as it was told.
    Closed,
    /// It had stopped by itself, because its log failed twice in a row.
    Fenced,
}

/// What has become of a delivery, as a node reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver took it.
    Delivered,
    /// No attempt is left.
    Exhausted,
    /// It must not be tried again.
    Refused,
    /// Its endpoint is gone or removed, its event was cancelled, or it was held too long for a disabled endpoint.
    Discarded,
    /// The event expired.
    Expired,
    /// The payload could not be read back.
    Lost,
    /// A newer event under the same key took its place while its endpoint was down.
    Superseded,
    /// An attempt is under way.
    InFlight,
    /// It waits for an attempt, at least this many nanoseconds of the node's monotonic clock more.
    Waiting(u64),
}

impl Fate {
    /// Whether nothing more happens.
    pub fn is_final(self) -> bool {
        match self {
            Self::Delivered
            | Self::Exhausted
            | Self::Refused
            | Self::Discarded
            | Self::Expired
            | Self::Lost
            | Self::Superseded => true,
            Self::InFlight | Self::Waiting(_) => false,
        }
    }
}

/// One delivery in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// To which endpoint.
    pub endpoint: u32,
    /// What has become of it.
    pub fate: Fate,
    /// Attempts made.
    pub attempts: u16,
}

/// What a node says about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// Which event.
    pub event: u64,
    /// Whose.
    pub tenant: u32,
    /// All its deliveries have ended, durably.
    pub settled: bool,
    /// Deliveries that have been delivered, exhausted, refused, discarded, expired, lost, superseded.
    pub tally: [u64; 7],
    /// The deliveries that the node names: those that have not ended and are reached by the fan-out, and all or, of an
    /// event with more than 64, some of those that have ended.
    pub rows: &'a [Row],
}

/// Something that a node thinks worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<'a> {
    /// An attempt failed and is followed by another.
    Retrying {
        /// To which endpoint.
        endpoint: u32,
        /// Which event.
        event: u64,
        /// Which attempt failed, counted from 1.
        attempt: u16,
        /// Nanoseconds until the next is due.
        delay: u64,
    },
    /// A delivery has no attempt left.
    Exhausted {
        /// To which endpoint.
        endpoint: u32,
        /// Which event.
        event: u64,
        /// Attempts made.
        attempts: u16,
    },
    /// A delivery is not tried again.
    Refused {
        /// To which endpoint.
        endpoint: u32,
        /// Which event.
        event: u64,
    },
    /// A delivery's event expired.
    Expired {
        /// To which endpoint.
        endpoint: u32,
        /// Which event.
        event: u64,
    },
    /// A delivery's payload could not be read back.
    Lost {
        /// To which endpoint.
        endpoint: u32,
        /// Which event.
        event: u64,
    },
    /// A newer event under its key took a delivery's place.
    Superseded {
        /// To which endpoint.
        endpoint: u32,
        /// Which event.
        event: u64,
    },
    /// An endpoint answered 410.
    Gone(u32),
    /// An endpoint's breaker opened.
    Opened {
        /// Of which endpoint.
        endpoint: u32,
        /// Attempts that it looked at.
        attempts: u32,
        /// Those of them that failed.
        failures: u32,
        /// Until when, by the node's monotonic clock.
        until: u64,
    },
    /// The probe of an endpoint's breaker failed.
    Reopened {
        /// Of which endpoint.
        endpoint: u32,
        /// Until when it is open, by the node's monotonic clock.
        until: u64,
    },
    /// An endpoint's breaker closed.
    Recovered(u32),
    /// An endpoint was disabled because it keeps failing.
    Disabled {
        /// Which.
        endpoint: u32,
        /// Attempts that failed.
        failures: u32,
        /// Nanoseconds since the first of them did.
        age: u64,
    },
    /// A disabled endpoint's deliveries are discarded.
    HoldEnded(u32),
    /// Repeats of events that are older than this many nanoseconds may no longer be recognised.
    WindowShrunk(u64),
    /// What ended before this time, in milliseconds since 1970, is forgotten: there was more than there is room for.
    Trimmed(u64),
    /// Anything else, as text.
    Other(&'a str),
}

/// One thing that was seen.
#[derive(Clone, Debug)]
pub enum Seen<'a> {
    /// The first of a seed: what holds for all of it.
    Began(&'a Rules),
    /// Somebody asked a node something. What an endpoint command wants may show from now on.
    Asked {
        /// Which call.
        call: u64,
        /// Which node.
        node: u32,
        /// The node's clocks.
        clocks: Clocks,
        /// What for.
        wish: Wish<'a>,
    },
    /// Somebody was told what became of their call, or has given up. At most one for each call; a call without one at
    /// the end of a seed was lost.
    Answered {
        /// Which call.
        call: u64,
        /// What they were told.
        told: Told,
    },
    /// A node handed out an attempt: its slot is taken from now on.
    Started {
        /// Which attempt, over all nodes and restarts.
        attempt: u64,
        /// Which node.
        node: u32,
        /// The node's clocks.
        clocks: Clocks,
        /// To which endpoint.
        endpoint: u32,
        /// The event's id as the node says it.
        event: &'a str,
        /// The how-manieth of its delivery, counted from 1.
        number: u16,
        /// Nanoseconds that it may take.
        time: u64,
    },
    /// The request of an attempt leaves the node. Not seen of attempts whose address was refused or not found.
    Departed(Departure<'a>),
    /// A receiver has the whole request. Not seen when it got lost on the way.
    Arrived {
        /// Which attempt.
        attempt: u64,
        /// The application behind the receiver has the event, whatever is answered.
        took: bool,
        /// The status that is answered, if any.
        status: Option<u16>,
    },
    /// The node was told how an attempt ended. Not seen of attempts that a dying node left behind.
    Ended {
        /// Which attempt.
        attempt: u64,
        /// The node's clocks.
        clocks: Clocks,
        /// How.
        outcome: Outcome<'a>,
    },
    /// A node asks the owner of an endpoint for consent. That is no attempt of a delivery; its number is none of theirs.
    Inquired {
        /// Which inquiry.
        attempt: u64,
        /// Which node.
        node: u32,
        /// The node's clocks.
        clocks: Clocks,
        /// About which endpoint.
        endpoint: u32,
    },
    /// The node was told how that ended.
    Replied {
        /// About which endpoint.
        endpoint: u32,
        /// Which node.
        node: u32,
        /// The node's clocks.
        clocks: Clocks,
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// The owner's word is in the answer: the token of a challenge, the header of a handshake.
        word: bool,
    },
    /// The node gave an attempt up; its end follows.
    Aborted {
        /// Which attempt.
        attempt: u64,
    },
    /// The node told something.
    Noted {
        /// Which node.
        node: u32,
        /// The node's clocks.
        clocks: Clocks,
        /// What.
        note: Note<'a>,
    },
    /// The node said that all deliveries of an event have ended, and this is what it reports of it.
    Settled {
        /// Which node.
        node: u32,
        /// What it reports; `None` when it has forgotten it already.
        report: Option<Report<'a>>,
        /// Which event, as text.
        event: &'a str,
    },
    /// A node's log has forgotten what ended before this time, in milliseconds since 1970, and says so to the node, which
    /// tells it as soon as all that it has to tell before is durable.
    Trimmed {
        /// Which node.
        node: u32,
        /// What is forgotten.
        before: u64,
    },
    /// Somebody asked a node about the past.
    Read {
        /// Which node.
        node: u32,
        /// The node's clocks.
        clocks: Clocks,
        /// What was asked.
        question: Question<'a>,
        /// What it answered.
        recalled: Recalled<'a>,
        /// Of an event: the node also reports that one of its deliveries has not ended.
        pending: bool,
    },
    /// A node died. Its attempts in flight are nobody's now.
    Died {
        /// Which node.
        node: u32,
        /// How.
        how: Death,
    },
    /// A node is back and has read its log.
    Restarted {
        /// Which node.
        node: u32,
        /// Its clocks.
        clocks: Clocks,
        /// Events that it reports as lost through damage on its disk.
        lost: &'a [u64],
    },
    /// A node's log cannot be read: its disk is damaged, and it says so and where. It is given up or salvaged.
    Refused {
        /// Which node.
        node: u32,
        /// What it says.
        why: &'a str,
        /// Events that it names as lost.
        lost: &'a [u64],
        /// A sector of its disk tore when the power went, and nobody has read it since: nothing tells that from damage.
        torn: bool,
    },
    /// A node's wall clock jumped.
    Stepped {
        /// Which node.
        node: u32,
        /// By how many milliseconds.
        by: i64,
    },
    /// A node stood still: its monotonic clock did not go on, its wall clock jumped ahead.
    Suspended {
        /// Which node.
        node: u32,
        /// For how many nanoseconds.
        nanos: u64,
    },
    /// A whole sector of what a disk had made durable was changed. From now on loss is allowed where it is loud.
    Damaged {
        /// Which node's disk.
        node: u32,
    },
    /// Faults have ended: networks, disks and clocks are well, every receiver answers 204, nothing is paused or
    /// disabled by somebody, all nodes are up or come up at once.
    Healed {
        /// When everything that was accepted must have ended.
        until: SimTime,
    },
}

/// What holds for the whole of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The seed.
    pub seed: u64,
    /// How many nodes there are. Each has its own endpoints and events.
    pub nodes: u32,
    /// Attempts that one node may have in flight.
    pub credit: u32,
    /// Nanoseconds within which a repeat is recognised.
    pub window: u64,
    /// Events that may be remembered for that, of one node.
    pub remembered: u64,
    /// Bytes of a payload.
    pub payload: u64,
    /// Attempts that a tenant may have in flight.
    pub tenant_bound: u32,
    /// Attempts that may be in flight from a node to a host and port.
    pub host_bound: u32,
    /// No fault of any kind happens in this seed: nothing may be sent twice.
    pub faultless: bool,
    /// Synced data can rot in this seed.
    pub rots: bool,
    /// A disk says that it synced and has not: only what a kill leaves behind is safe.
    pub lies: bool,
    /// Wall clocks jump in this seed.
    pub jumps: bool,
    /// Until it heals, what nobody sees may keep a node waiting: room on its disk, payloads, its adapter's credit, limits.
    pub stalls: bool,
    /// How long history is kept.
    pub history: Kept,
}

/// How long what has ended can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Milliseconds for which payloads are kept, from the end of the event on; never longer than attempts.
    pub payloads: u64,
    /// Milliseconds for which all else is.
    pub attempts: u64,
    /// Bytes of payloads of ended events of which nothing is forgotten before its time.
    pub payload_bytes: u64,
    /// Bytes of all else.
    pub attempt_bytes: u64,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number in the list of invariants; 0 for a rule of the simulator itself.
    pub law: u8,
    /// What was seen, and what would have been right.
    pub what: String,
}

impl Broken {
    /// An invariant and what is wrong with it.
    pub fn new(law: u8, what: impl Into<String>) -> Self {
        Self { law, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.law, self.what)
    }
}

/// What a judge may ask the nodes that are up, as any user can.
pub trait Look {
    /// Whether a node is up.
    fn is_up(&self, node: u32) -> bool;

    /// A node's report of an event, handed to `read`; whether it has one. Reports of events that have ended are
    /// forgotten after a while.
    fn report(&self, node: u32, tenant: u32, event: u64, read: &mut dyn FnMut(Report<'_>)) -> bool;

    /// Attempts that a node has in flight.
    fn in_flight(&self, node: u32) -> u64;

    /// Events of a node that have not ended.
    fn events(&self, node: u32) -> u64;

    /// Every file of a node's disk as it is once somebody has compacted the node's log, handed to `read` with its name;
    /// nothing before the end of a seed, nor of a node from which nobody wished anything forgotten.
    fn left_on_disk(&self, node: u32, read: &mut dyn FnMut(&str, &[u8])) {
        let _ = (node, read);
    }
}

/// Who watches a world and says what is wrong.
pub trait Judge {
    /// Takes note of something, in O(1) or nearly so, and says what it breaks.
    fn see(&mut self, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken>;

    /// Looks at everything: every 1,000 events, after each restart, and before the end.
    fn sweep(&mut self, at: SimTime, look: &dyn Look) -> Result<(), Broken>;

    /// The seed is over, and everything has had its time.
    fn end(&mut self, at: SimTime, look: &dyn Look) -> Result<(), Broken>;
}

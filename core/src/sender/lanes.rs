//! Lanes: the deliveries of one ordering key to one endpoint, of which one at most is let out at a time.
//!
//! A delivery that comes into a lane is recorded as queued, whether it must wait or not, so that a restart finds every
//! lane as it was. Its first is let out and then waits like any other delivery: for its due time, its endpoint or its
//! payload. Those behind it stand in no other queue. When the first has ended, and no attempt of it is left with the
//! adapter, the next is let out. Each step is O(1); an endpoint without the option has no lane, and costs one comparison.
//!
//! An emptied lane is remembered, so that the next event can name the one before it; see
//! [`LANES`](limits::LANES).

use alloc::sync::Arc;
use bytes::{BufMut as _, BytesMut};
use core::fmt::Write as _;
use core::time::Duration;

use super::Sender;
use super::deliveries::{Deliveries, Place, Queue};
use super::notice::Notice;
use super::tables::{Chore, Slot};
use super::transmit::Decimal;
use crate::id::{EndpointKey, JournalSeq};
use crate::journal::{Laned, Then};
use crate::limits;
use crate::registration::{Ordering, State};
use crate::retry::{Link, Links, List};
use crate::signing::standard;
use crate::table::Slab;
use crate::table::{Chains, HashKey, mix};
use crate::time::Instant;

/// Deliveries that one step of superseding ends, at most.
const SUPERSEDED_AT_ONCE: u32 = 32;

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) endpoint: u32,
    /// The first record of the endpoint, which tells it from a later one in its place.
    born: JournalSeq,
    pub(crate) key: Arc<str>,
    /// The last event that came in.
    pub(crate) last: JournalSeq,
    /// The delivery that was let out.
    head: Option<u32>,
    /// Those that wait behind it.
    waiting: List<Queue>,
    /// Attempts of its deliveries that the adapter still has.
    flying: u32,
    /// The next one is not let out before this.
    rests: Option<Instant>,
    /// A chore will end what came before this event.
    supersede: Option<JournalSeq>,
    idle: Link,
}

/// A delivery that stands in a lane.
#[derive(Debug)]
struct Entry {
    delivery: u32,
    lane: u32,
    previous: JournalSeq,
}

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) slab: Slab<Lane>,
    by_name: Chains,
    entries: Slab<Entry>,
    by_delivery: Chains,
    /// Those in which nothing stands, the one first that has been so for longest.
    idle: List,
    key: HashKey,
}

/// What an attempt says of its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) key: Arc<str>,
    pub(crate) sequence: JournalSeq,
    pub(crate) previous: JournalSeq,
}

impl Tag {
    /// The headers of an attempt: `postrider-key`, `postrider-sequence` and, where it is known,
    /// `postrider-previous-sequence`.
    ///
    /// A sequence number is the event's place in the journal: it grows with each event of a lane, is never used twice and
    /// stays the same over retries and restarts, but does not count by ones. A receiver that has not seen the previous one
    /// has missed it, or will never get it. The key is percent-encoded but for visible ASCII without `%`.
    pub(super) fn each_header(&self, put: &mut impl FnMut(&str, &[u8])) {
        let mut key = BytesMut::with_capacity(self.key.len());
        for byte in self.key.bytes() {
            if byte.is_ascii_graphic() && byte != b'%' {
                key.put_u8(byte);
            } else {
                write!(key, "%{byte:02X}").expect("a buffer grows");
            }
        }
        put(standard::KEY, &key);
        let mut decimal = Decimal::default();
        put(standard::SEQUENCE, decimal.format(self.sequence.get()));
        if self.previous > JournalSeq::ZERO {
            put(standard::PREVIOUS_SEQUENCE, decimal.format(self.previous.get()));
        }
    }
}

impl Links for Slab<Lane> {
    fn link(&self, handle: u32) -> Link {
        self[handle].idle
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].idle
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.head.is_none() && self.waiting.is_empty() && self.flying == 0 && self.supersede.is_none()
    }
}

impl Lanes {
    /// Sets the key by which lanes are found; there must be none yet.
    pub(crate) fn set_key(&mut self, key: HashKey) {
        self.key = key;
    }

    fn find(&self, endpoint: u32, born: JournalSeq, key: &str) -> Option<u32> {
        self.by_name.find(self.key.hash(endpoint, key.as_bytes()), |at| {
            let lane = &self.slab[at];
            lane.endpoint == endpoint && lane.born == born && *lane.key == *key
        })
    }

    /// The lane of this name, made where there is none. It is idle until something comes in; at most `keep` idle ones are
    /// kept.
    pub(crate) fn open(&mut self, endpoint: u32, born: JournalSeq, key: &Arc<str>, keep: usize) -> u32 {
        if let Some(at) = self.find(endpoint, born, key) {
            return at;
        }
        if self.idle.len() >= keep.max(1)
            && let Some(oldest) = self.idle.pop_front(&mut self.slab)
        {
            let lane = &self.slab[oldest];
            let hash = self.key.hash(lane.endpoint, lane.key.as_bytes());
            self.by_name.remove(hash, oldest);
            self.slab.remove(oldest);
        }
        let at = self.slab.insert(Lane {
            endpoint,
            born,
            key: key.clone(),
            last: JournalSeq::ZERO,
            head: None,
            waiting: List::new(),
            flying: 0,
            rests: None,
            supersede: None,
            idle: Link::default(),
        });
        let (hash, slab) = (self.key, &self.slab);
        let hash_of = |at: u32| hash.hash(slab[at].endpoint, slab[at].key.as_bytes());
        self.by_name.insert(hash_of(at), at, hash_of);
        self.idle.push_back(&mut self.slab, at);
        at
    }

    /// Lets a delivery stand in a lane from now on, behind the others. It must not wait for anything yet.
    pub(crate) fn enter(&mut self, at: u32, delivery: u32, event: JournalSeq, previous: JournalSeq) {
        if !self.slab[at].idle.is_free() {
            self.idle.remove(&mut self.slab, at);
        }
        let lane = &mut self.slab[at];
        lane.last = lane.last.max(event);
        let entry = self.entries.insert(Entry { delivery, lane: at, previous });
        let entries = &self.entries;
        self.by_delivery.insert(mix(u64::from(delivery)), entry, |at| mix(u64::from(entries[at].delivery)));
    }

    fn entry(&self, delivery: u32) -> Option<u32> {
        self.by_delivery.find(mix(u64::from(delivery)), |at| self.entries[at].delivery == delivery)
    }

    /// Takes a delivery out for good, which waits for nothing any more; says which lane it stood in.
    fn leave(&mut self, delivery: u32) -> Option<u32> {
        let entry = self.entry(delivery)?;
        self.by_delivery.remove(mix(u64::from(delivery)), entry);
        let Entry { lane, .. } = self.entries.remove(entry).expect("it was just found");
        let head = &mut self.slab[lane].head;
        head.take_if(|head| *head == delivery);
        Some(lane)
    }

    /// Whether a delivery must wait in its lane, where it then does. Without a lane it need not.
    fn hold(&mut self, deliveries: &mut Deliveries, delivery: u32) -> bool {
        let Some(entry) = self.entry(delivery) else { return false };
        let lane = &mut self.slab[self.entries[entry].lane];
        let is_head = lane.head == Some(delivery);
        #[cfg(postrider_planted)]
        if crate::planted::breaks(52) {
            lane.head = Some(delivery);
            return false;
        }
        if lane.flying == 0 && lane.supersede.is_none() && (is_head || lane.head.is_none()) {
            lane.head = Some(delivery);
            return false;
        }
        if is_head {
            // An attempt that was given up is still with the adapter, or a chore will end it.
            lane.head = None;
            deliveries.push_front(&mut lane.waiting, delivery, Place::Laned);
        } else {
            deliveries.push_back(&mut lane.waiting, delivery, Place::Laned);
        }
        true
    }

    /// Takes a delivery out of those that wait in its lane.
    pub(crate) fn unhold(&mut self, deliveries: &mut Deliveries, delivery: u32) {
        let entry = self.entry(delivery).expect("it waits in a lane");
        let lane = &mut self.slab[self.entries[entry].lane];
        deliveries.unlane(&mut lane.waiting, delivery);
    }

    /// What an attempt of a delivery says, and the lane that it keeps busy.
    fn fly(&mut self, delivery: u32, sequence: JournalSeq) -> Option<(u32, Tag)> {
        let entry = &self.entries[self.entry(delivery)?];
        let lane = &mut self.slab[entry.lane];
        lane.flying += 1;
        Some((entry.lane, Tag { key: lane.key.clone(), sequence, previous: entry.previous }))
    }

    /// Where a delivery stands, as the journal says it.
    pub(crate) fn laned(&self, delivery: u32) -> Option<Laned> {
        let entry = &self.entries[self.entry(delivery)?];
        Some(Laned { key: self.slab[entry.lane].key.clone(), previous: entry.previous })
    }

    /// How many deliveries are before one in its lane, and the first of them, if there is a first that was let out.
    pub(crate) fn behind(&self, delivery: u32) -> Option<(&Lane, Option<u32>)> {
        let lane = &self.slab[self.entries[self.entry(delivery)?].lane];
        Some((lane, lane.head.filter(|head| *head != delivery)))
    }
}

impl Sender {
    /// The lane that the delivery of an event to an endpoint comes into, and the event before it there. None without the
    /// option or the key, and none for an event from before the option was set, which may come late.
    pub(super) fn lane_for(&mut self, job: u32, endpoint: u32) -> Option<(u32, JournalSeq)> {
        let slot = &self.endpoints.slab[endpoint];
        if !slot.wire.config.order.has_lanes() {
            return None;
        }
        let key = self.jobs.threads.key(job)?.clone();
        let lane = self.lanes.open(endpoint, slot.born, &key, limits::LANES);
        let last = self.lanes.slab[lane].last;
        (last < self.jobs.slab[job].seq).then_some((lane, last))
    }

    /// Lets a delivery that has just come wait in its lane, until it is the first.
    pub(super) fn enter_lane(&mut self, handle: u32, lane: u32, previous: JournalSeq) {
        let (job, endpoint) = (self.deliveries[handle].event, self.deliveries[handle].endpoint);
        let seq = self.jobs.slab[job].seq;
        self.lanes.enter(lane, handle, seq, previous);
        self.endpoints.slab[endpoint].laned += 1;
    }

    /// Whether a delivery that waits for nothing else must wait in its lane, where it then does.
    pub(super) fn is_held_in_lane(&mut self, handle: u32) -> bool {
        let endpoint = self.deliveries[handle].endpoint;
        self.endpoints.slab[endpoint].laned > 0 && self.lanes.hold(&mut self.deliveries, handle)
    }

    /// Lets a delivery wait for so long, and for those before it in its lane.
    pub(super) fn wait_for_turn(&mut self, handle: u32, rest: Duration) {
        let until = self.now.mono.saturating_add(rest);
        if let Some(delivery) = self.deliveries.get_mut(handle).filter(|_| !rest.is_zero()) {
            delivery.due = until;
        }
        if self.is_held_in_lane(handle) {
            return;
        }
        if rest.is_zero() {
            self.make_ready(handle);
        } else {
            self.deliveries.arm(handle, until);
        }
    }

    /// Takes a delivery that ends out of its lane; [`advance`](Self::advance) lets the next one out when it is gone.
    pub(super) fn leave_lane(&mut self, handle: u32, endpoint: u32) -> Option<u32> {
        let slot = &mut self.endpoints.slab[endpoint];
        if slot.laned == 0 {
            return None;
        }
        let lane = self.lanes.leave(handle);
        slot.laned -= u32::from(lane.is_some());
        lane
    }

    /// Lets the next one of a lane out, if it can be. An emptied lane is idle from then on.
    pub(super) fn advance(&mut self, at: u32) {
        let lane = &mut self.lanes.slab[at];
        if lane.flying > 0 || lane.head.is_some() || lane.supersede.is_some() {
            return;
        }
        let Some(next) = self.deliveries.pop_front(&mut lane.waiting) else {
            if lane.is_empty() && lane.idle.is_free() {
                lane.rests = None;
                self.lanes.idle.push_back(&mut self.lanes.slab, at);
            }
            return;
        };
        lane.head = Some(next);
        let (rests, due) = (lane.rests.take(), self.deliveries[next].due);
        match Some(rests.unwrap_or_default().max(due)).filter(|until| *until > self.now.mono) {
            Some(until) => self.deliveries.arm(next, until),
            None => self.make_ready(next),
        }
    }

    /// An attempt begins; its lane is busy until [`lane_landed`](Self::lane_landed).
    pub(super) fn fly_in_lane(&mut self, job: u32, endpoint: u32, delivery: Option<u32>) -> Option<(u32, Tag)> {
        let delivery = delivery.filter(|_| self.endpoints.slab[endpoint].laned > 0)?;
        self.lanes.fly(delivery, self.jobs.slab[job].seq)
    }

    /// The adapter has an attempt no more.
    pub(super) fn lane_landed(&mut self, lane: Option<u32>) {
        if let Some(lane) = lane {
            self.lanes.slab[lane].flying -= 1;
        }
    }

    /// What a snapshot says of a lane, where there is something to say.
    pub(super) fn lane_record(&self, at: u32) -> Option<(EndpointKey, Arc<str>, JournalSeq)> {
        let lane = self.lanes.slab.get(at).filter(|lane| lane.last > JournalSeq::ZERO)?;
        let slot = self.endpoints.slab.get(lane.endpoint)?;
        (slot.born == lane.born && !slot.removed).then(|| (slot.key.clone(), lane.key.clone(), lane.last))
    }

    /// Whether the first of a strict lane goes on although its schedule has no further attempt.
    pub(super) fn goes_on_in_lane(&self, delivery: Option<u32>, slot: &Slot) -> bool {
        slot.laned > 0
            && matches!(slot.wire.config.order.ordering, Ordering::Strict)
            && delivery.is_some_and(|delivery| self.lanes.entry(delivery).is_some())
    }

    /// A strict lane is held up by an event whose schedule has no further attempt: how many wait behind it.
    pub(super) fn blocked_behind(&self, delivery: Option<u32>) -> Option<(Arc<str>, usize)> {
        let (lane, _) = self.lanes.behind(delivery?)?;
        Some((lane.key.clone(), lane.waiting.len()))
    }

    /// A newer event has come into a lane: what waits before it ends, where the endpoint wants that and is down.
    pub(super) fn coalesce(&mut self, at: u32, newest: JournalSeq) {
        let lane = &self.lanes.slab[at];
        let slot = &self.endpoints.slab[lane.endpoint];
        if !slot.wire.config.order.coalesce {
            return;
        }
        let fails = lane.head.is_some_and(|head| {
            let delivery = &self.deliveries[head];
            delivery.attempts > 0 && delivery.place != Place::InFlight
        });
        let throttled = slot.throttled.is_some_and(|until| until > self.now.mono);
        let down = fails || throttled || slot.life.admin != State::Active || !slot.breaker.is_closed();
        let is_older = |handle: u32| self.jobs.slab[self.deliveries[handle].event].seq < newest;
        let head = lane.head.filter(|head| self.deliveries[*head].place != Place::InFlight);
        if !down || !head.or_else(|| lane.waiting.front()).is_some_and(is_older) {
            return;
        }
        let endpoint = lane.endpoint;
        let queued = self.lanes.slab[at].supersede.replace(newest).is_some();
        if !queued {
            self.chore(Chore::Supersede(endpoint, at));
        }
    }

    /// Ends what waits in a lane before the newest event, some at a time.
    pub(super) fn supersede_some(&mut self, endpoint: u32, at: u32) {
        for _ in 0..SUPERSEDED_AT_ONCE {
            let lane = &self.lanes.slab[at];
            let Some(newest) = lane.supersede else { return };
            #[cfg(postrider_planted)]
            let newest = if crate::planted::breaks(57) { newest.next() } else { newest };
            let is_older = |handle: &u32| self.jobs.slab[self.deliveries[*handle].event].seq < newest;
            let may_end = |handle: &u32| self.deliveries[*handle].place != Place::InFlight && is_older(handle);
            let head = lane.head.filter(may_end);
            let next = head.or_else(|| lane.waiting.front().filter(is_older));
            let Some(handle) = next else {
                self.lanes.slab[at].supersede = None;
                self.advance(at);
                return;
            };
            let delivery = &self.deliveries[handle];
            let (event, subscription) = (delivery.event, delivery.subscription);
            if delivery.place == Place::Timer {
                let due = delivery.due;
                let rests = &mut self.lanes.slab[at].rests;
                *rests = rests.map_or(Some(due), |rests| Some(rests.max(due)));
            }
            self.unqueue(handle);
            let names = (self.endpoints.slab[endpoint].key.clone(), self.jobs.id(event));
            let tell = |sender: &mut Self, seq| {
                let (endpoint, event) = names;
                sender.tell(seq, Notice::Superseded { endpoint, event });
            };
            self.end_telling(event, endpoint, subscription, Some(handle), Then::Superseded, tell);
        }
        self.chore(Chore::Supersede(endpoint, at));
    }
}

//! Events that have not ended: a small part of each that stays in memory, and a larger one while it is worked on.
//!
//! An event whose deliveries all wait takes 64 bytes here, its id in a place of its size, and 8 bytes by which it is
//! found; what sending it needs besides comes back with its payload.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::asleep::Asleep;
use super::deliveries::{ByEvent, Queue};
use super::filters::Matched;
use super::replay::Replays;
use super::report::{DeliveryReport, Tally};
use super::texts::Texts;
use super::threads::Threads;
use super::transmit::Prepared;
use super::turns::{TakesTurns, Turn};
use crate::id::{EventId, JournalSeq};
use crate::matching::{Cursor, EventType};
use crate::retry::{Link, Links, List};
use crate::table::Slab;
use crate::table::{Chains, HashKey};
use crate::time::{Instant, UnixTime};

/// An accepted event that has not ended: one job with a cursor over its subscriptions.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) seq: JournalSeq,
    /// The digest of its content.
    pub(crate) digest: [u8; 16],
    /// When it was accepted.
    pub(crate) at: UnixTime,
    /// What it needs while it is not at rest.
    work: Option<Box<Work>>,
    pub(crate) deliveries: List<ByEvent>,
    pub(crate) tenant: u32,
    /// Where its id is kept, together with the size of that place.
    name: u32,
    /// Attempts made for it, as far as they fit; those beyond are counted with its work.
    attempts: u16,
    /// The size of the place of its id, and two marks: see [`Job::is_cancelled`] and [`Job::is_lost`].
    size: u8,
    pub(crate) body: Body,
}

/// Of `Job::size`: nothing more is sent for the event.
const CANCELLED: u8 = 0x80;

/// Of `Job::size`: the payload cannot be read any more.
const LOST: u8 = 0x40;

/// What an event needs that is fanned out, in flight or waited for, or of which some deliveries have ended.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// The payload, when it is here.
    pub(crate) prepared: Option<Arc<Prepared>>,
    pub(crate) payload_len: u32,
    /// When the payload was last used, or, if it could not be read, when it is asked for again.
    pub(crate) since: Instant,
    /// Its neighbours among the events whose payloads are here.
    resident: Link,
    /// What it is; while its fan-out is not finished.
    pub(crate) event_type: Option<EventType>,
    pub(crate) high_water: u32,
    /// The subscriptions still to be passed; `None` when there are none.
    pub(crate) cursor: Option<Cursor>,
    /// Which subscriptions with a filter are among those to be passed.
    pub(crate) matched: Matched,
    /// The last subscription passed.
    pub(crate) through: u32,
    /// Subscriptions passed since the last mark.
    pub(crate) unmarked: u32,
    /// After a restore: subscriptions beyond the mark that are accounted for already, ascending.
    pub(crate) skip: Vec<u32>,
    pub(crate) stalled: List<Queue>,
    pub(crate) in_flight: u32,
    /// Where its fan-out stands.
    turn: Turn,
    pub(crate) tally: Tally,
    pub(crate) ended: Vec<DeliveryReport>,
}

/// Where an event's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In memory.
    Here,
    /// In the log only.
    Away,
    /// Asked for.
    Coming,
    /// It could not be read; asked for again later.
    Later,
    /// In the log only, and the fan-out has not begun since the restart: see [`Asleep`].
    Asleep,
}

/// The link between events whose payloads are here.
#[derive(Debug)]
pub(crate) enum Resident {}

/// Events that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) slab: Slab<Job>,
    names: Texts,
    by_id: Chains,
    /// They are found by their ids later: nobody asks yet.
    unindexed: bool,
    key: HashKey,
    /// When those expire that do.
    expires: BTreeMap<u32, UnixTime>,
    /// High-water marks of the events whose fan-out is not finished.
    pub(crate) unfinished: BTreeMap<JournalSeq, u32>,
    /// Events that nothing has been done for since the restart.
    pub(crate) asleep: Asleep,
    /// Those that send others again.
    pub(crate) replays: Replays,
    /// Their ordering keys, where these matter.
    pub(crate) threads: Threads,
    /// Those whose payloads are here, the one first that was used longest ago.
    residents: List<Resident>,
    /// Bytes of payloads in memory.
    pub(crate) resident: usize,
}

/// How far a fan-out has come.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    pub(crate) high_water: u32,
    /// The last subscription passed.
    pub(crate) through: u32,
    /// Subscriptions beyond it that are accounted for, ascending.
    pub(crate) skip: Vec<u32>,
    /// Who wants it by its content, where that is known.
    pub(crate) matched: Matched,
}

/// What an event begins with.
#[derive(Debug)]
pub(crate) struct Begin<'a> {
    pub(crate) seq: JournalSeq,
    pub(crate) tenant: u32,
    pub(crate) id: &'a EventId,
    pub(crate) digest: [u8; 16],
    pub(crate) at: UnixTime,
    pub(crate) expires: Option<UnixTime>,
}

impl Jobs {
    /// Sets the key by which events are found; there must be none yet.
    pub(crate) fn set_key(&mut self, key: HashKey) {
        self.key = key;
    }

    /// Takes an event up, at rest.
    pub(crate) fn insert(&mut self, begin: &Begin<'_>) -> u32 {
        let id = begin.id.as_str();
        let (name, size) = self.names.insert(id);
        let at = self.slab.insert(Job {
            seq: begin.seq,
            digest: begin.digest,
            at: begin.at,
            work: None,
            deliveries: List::new(),
            tenant: begin.tenant,
            name,
            attempts: 0,
            size,
            body: Body::Away,
        });
        if let Some(expires) = begin.expires {
            self.expires.insert(at, expires);
        }
        if !self.unindexed {
            self.add_to_index(at, self.key.hash(begin.tenant, id.as_bytes()));
        }
        at
    }

    fn add_to_index(&mut self, at: u32, hash: u64) {
        let (key, slab, names) = (self.key, &self.slab, &self.names);
        self.by_id.insert(hash, at, |at| {
            let job = &slab[at];
            key.hash(job.tenant, names.bytes(job.place()))
        });
    }

    /// Lets events be found by their ids only once [`index`](Self::index) is called: it takes less for all at once.
    pub(crate) fn index_later(&mut self) {
        self.unindexed = true;
    }

    /// Lets all events be found by their ids.
    pub(crate) fn index(&mut self) {
        if !core::mem::take(&mut self.unindexed) {
            return;
        }
        self.by_id.reserve(self.slab.len());
        for at in 0..self.slab.end() {
            if let Some(job) = self.slab.get(at) {
                self.add_to_index(at, self.key.hash(job.tenant, self.names.bytes(job.place())));
            }
        }
    }

    /// Forgets an event, which must stand in no ring.
    pub(crate) fn remove(&mut self, at: u32) -> Job {
        self.send_away(at);
        if !self.unindexed {
            let hash = self.key.hash(self.slab[at].tenant, self.names.bytes(self.slab[at].place()));
            self.by_id.remove(hash, at);
        }
        self.expires.remove(&at);
        self.replays.remove(at);
        let job = self.slab.remove(at).expect("an event ends once");
        self.names.remove(job.place());
        self.unfinished.remove(&job.seq);
        job
    }

    pub(crate) fn find(&self, tenant: u32, id: &EventId) -> Option<u32> {
        let id = id.as_str().as_bytes();
        let is_it = |at: u32| {
            let job = &self.slab[at];
            job.tenant == tenant && self.names.bytes(job.place()) == id
        };
        self.by_id.find(self.key.hash(tenant, id), is_it)
    }

    /// The id of an event, as text.
    pub(crate) fn name(&self, at: u32) -> &str {
        let job = &self.slab[at];
        self.names.get(job.place())
    }

    pub(crate) fn id(&self, at: u32) -> EventId {
        EventId::new(self.name(at)).expect("it was an id when it came")
    }

    pub(crate) fn expires(&self, at: u32) -> Option<UnixTime> {
        self.expires.get(&at).copied()
    }

    pub(crate) fn expired(&self, at: u32, wall: UnixTime) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(30) {
            return false;
        }
        self.expires(at).is_some_and(|expires| wall >= expires)
    }

    /// Keeps the payload of an event.
    pub(crate) fn bring(&mut self, at: u32, prepared: Arc<Prepared>, now: Instant) {
        let size = prepared.payload.body().len();
        let job = &mut self.slab[at];
        let work = job.work_mut();
        // An accepted record has at most 4 GiB.
        work.payload_len = u32::try_from(size).unwrap_or(u32::MAX);
        work.prepared = Some(prepared);
        work.since = now;
        self.resident += work.payload_len as usize;
        job.body = Body::Here;
        self.residents.push_back(&mut self.slab, at);
    }

    /// Notes that the payload of an event is used.
    pub(crate) fn touch(&mut self, at: u32, now: Instant) {
        if self.slab[at].body == Body::Here {
            self.residents.remove(&mut self.slab, at);
            self.residents.push_back(&mut self.slab, at);
            self.slab[at].work_mut().since = now;
        }
    }

    /// The event whose payload was used longest ago, and when that was.
    pub(crate) fn idlest(&self) -> Option<(u32, Instant)> {
        let at = self.residents.front()?;
        Some((at, self.slab[at].work().expect("a payload that is here is work").since))
    }

    /// Lets the payload of an event go, if it is here.
    pub(crate) fn send_away(&mut self, at: u32) {
        if self.slab[at].body == Body::Here {
            self.residents.remove(&mut self.slab, at);
            let job = &mut self.slab[at];
            job.body = Body::Away;
            let work = job.work_mut();
            work.prepared = None;
            self.resident -= work.payload_len as usize;
        }
    }

    /// Lets an event pass subscriptions: those that the cursor gives and `skip` does not name.
    pub(crate) fn go_on(&mut self, at: u32, event_type: EventType, cursor: Cursor, begun: Begun) {
        let job = &mut self.slab[at];
        let (seq, work) = (job.seq, job.work_mut());
        work.cursor = Some(cursor);
        work.event_type = Some(event_type);
        (work.high_water, work.through, work.skip) = (begun.high_water, begun.through, begun.skip);
        work.matched = begun.matched;
        self.unfinished.insert(seq, begun.high_water);
    }

    /// Whether the fan-out of an event need not wait for that of an earlier one under the same key.
    pub(crate) fn may_pass(&self, at: u32) -> bool {
        self.threads.is_first(at, self.slab[at].tenant)
    }

    /// Says that an event has passed all its subscriptions; gives the one under the same key whose turn it is now.
    #[must_use = "its fan-out waits for it"]
    pub(crate) fn finish(&mut self, at: u32) -> Option<u32> {
        let job = &mut self.slab[at];
        if job.body == Body::Asleep {
            job.body = Body::Away;
            self.asleep.unpark(job.seq);
        }
        if let Some(work) = &mut job.work {
            work.cursor = None;
            work.event_type = None;
            work.matched = Matched::Nobody;
            work.skip = Vec::new();
        }
        self.unfinished.remove(&job.seq);
        self.threads.finish(at, job.tenant, job.seq)
    }

    /// The same of an event whose fan-out was not begun anew.
    pub(crate) fn threads_over(&mut self, at: u32) -> Option<u32> {
        let (tenant, seq) = (self.slab[at].tenant, self.slab[at].seq);
        self.threads.finish(at, tenant, seq)
    }

    /// Lets go of what an event at rest does not need.
    pub(crate) fn rest(&mut self, at: u32) {
        let Some(job) = self.slab.get_mut(at) else { return };
        let at_rest = job.body == Body::Away && job.work.as_ref().is_some_and(|work| work.is_idle());
        if at_rest {
            job.work = None;
        }
    }
}

impl Job {
    /// Where its id is.
    const fn place(&self) -> (u32, u8) {
        (self.name, self.size & !(CANCELLED | LOST))
    }

    /// Whether it was cancelled or erased: nothing more is sent for it.
    pub(crate) const fn is_cancelled(&self) -> bool {
        self.size & CANCELLED != 0
    }

    pub(crate) const fn cancel(&mut self) {
        self.size |= CANCELLED;
    }

    /// Whether its payload cannot be read any more.
    pub(crate) const fn is_lost(&self) -> bool {
        self.size & LOST != 0
    }

    pub(crate) const fn lose(&mut self) {
        self.size |= LOST;
    }

    /// Counts an attempt.
    pub(crate) fn count_attempt(&mut self) {
        match self.attempts.checked_add(1) {
            Some(attempts) => self.attempts = attempts,
            None => self.work_mut().tally.attempts += 1,
        }
    }

    /// What it has while it is not at rest.
    pub(crate) fn work(&self) -> Option<&Work> {
        self.work.as_deref()
    }

    pub(crate) fn work_mut(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// The same with the list of its deliveries.
    pub(crate) fn stalled_mut(&mut self) -> &mut List<Queue> {
        &mut self.work_mut().stalled
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.work().map_or(0, |work| work.in_flight)
    }

    pub(crate) fn prepared(&self) -> Option<&Arc<Prepared>> {
        self.work()?.prepared.as_ref()
    }

    /// Whether all its subscriptions have been passed.
    pub(crate) fn has_passed_all(&self) -> bool {
        self.body != Body::Asleep && self.work().is_none_or(|work| work.cursor.is_none())
    }

    /// Whether all its deliveries have ended.
    pub(crate) fn is_done(&self) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(28) {
            return self.deliveries.is_empty() && self.has_passed_all();
        }
        self.deliveries.is_empty() && self.has_passed_all() && self.in_flight() == 0
    }

    /// How its deliveries ended so far.
    pub(crate) fn tally(&self) -> Tally {
        let tally = self.work().map_or_else(Tally::default, |work| work.tally);
        Tally { attempts: tally.attempts + u64::from(self.attempts), ..tally }
    }

    /// Takes what is known of its deliveries that ended.
    pub(crate) fn take_ended(&mut self) -> Vec<DeliveryReport> {
        self.work.as_mut().map(|work| core::mem::take(&mut work.ended)).unwrap_or_default()
    }
}

impl Work {
    fn is_idle(&self) -> bool {
        self.cursor.is_none()
            && self.in_flight == 0
            && self.stalled.is_empty()
            && self.turn.is_nowhere()
            && self.tally == Tally::default()
    }

    /// Whether its fan-out goes on when its turn comes.
    pub(crate) fn is_in_ring(&self) -> bool {
        self.turn.is_in_lane()
    }
}

impl TakesTurns for Job {
    fn turn(&self) -> Turn {
        self.work().map_or_else(Turn::default, |work| work.turn)
    }

    fn turn_mut(&mut self) -> &mut Turn {
        &mut self.work_mut().turn
    }

    fn tenant(&self) -> u32 {
        self.tenant
    }
}

impl Links<Resident> for Slab<Job> {
    fn link(&self, handle: u32) -> Link {
        self[handle].work().map_or(Link::FREE, |work| work.resident)
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].work_mut().resident
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_at_rest_takes_64_bytes() {
        assert_eq!(size_of::<Option<Job>>(), 64, "a free place must not cost more");
    }
}

//! Payloads that have left memory, and how they come back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::Sender;
use super::contract::{LoadError, LoadRequest, Output};
use super::deliveries::Place;
use super::drain::Step;
use super::jobs::Body;
use super::notice::Notice;
use super::tables::Chore;
use super::transmit::Prepared;
use crate::encoding::Payload;
use crate::id::{JournalSeq, LoadId};
use crate::journal::{Accepted, Record, Then};
use crate::limits;
use crate::matching::EventType;
use crate::time::Instant;

/// A load that could not be answered is asked again after this time.
const RETRY: Duration = Duration::from_secs(60);

/// Payloads asked for and not answered, at most; more wait until these are.
const AT_ONCE: usize = 256;

/// Requests for payloads.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    next: u64,
    /// Events whose payloads are to be asked for.
    wanted: VecDeque<(u32, JournalSeq)>,
    asked: BTreeMap<LoadId, Vec<(u32, JournalSeq)>>,
    /// Events whose payloads could not be had, by when to ask again.
    later: BTreeMap<(Instant, JournalSeq), u32>,
    /// Payloads asked for and not answered.
    open: usize,
    /// Which of those that wait for `open` to fall goes first: false for events, true for endpoints.
    turn: bool,
}

impl Loads {
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn retry(&mut self, now: Instant) -> Option<(u32, JournalSeq)> {
        let first = self.later.first_entry().filter(|first| first.key().0 <= now)?;
        let ((_, seq), job) = first.remove_entry();
        Some((job, seq))
    }
}

impl Sender {
    /// The payload of an event need not be asked for again.
    pub(super) fn forget_later(&mut self, at: u32) {
        let job = &self.jobs.slab[at];
        let again = job.work().expect("what could not be read is work").since;
        self.loads.later.remove(&(again, job.seq));
    }

    /// A fan-out has somebody to send to and needs its payload first.
    pub(super) fn fetch_for_scan(&mut self, at: u32) -> Step {
        if !self.fetch(at) {
            self.queues.scan_crowd.wait(&mut self.jobs.slab, at);
        }
        Step::Worked
    }

    /// A delivery could start and needs its payload first.
    pub(super) fn fetch_for_delivery(&mut self, at: u32, handle: u32) -> Step {
        let endpoint = self.deliveries[handle].endpoint;
        if self.fetch(at) {
            self.deliveries.push_back(self.jobs.slab[at].stalled_mut(), handle, Place::Stalled);
            self.endpoints.slab[endpoint].fetching += 1;
            self.wake_endpoint(endpoint);
        } else {
            let slot = &mut self.endpoints.slab[endpoint];
            self.deliveries.push_front(&mut slot.ready, handle, Place::Ready);
            self.queues.ready_crowd.wait(&mut self.endpoints.slab, endpoint);
        }
        Step::Worked
    }

    /// Has a payload asked for; `false` when too many are under way.
    fn fetch(&mut self, at: u32) -> bool {
        let job = &mut self.jobs.slab[at];
        match job.body {
            // Who is asleep asks for nothing.
            Body::Here | Body::Coming | Body::Later | Body::Asleep => true,
            Body::Away if self.loads.open >= AT_ONCE => false,
            Body::Away => {
                job.body = Body::Coming;
                self.loads.open += 1;
                self.loads.wanted.push_back((at, job.seq));
                true
            }
        }
    }

    /// The next request, with as many records as fit, without those that nobody needs any more.
    pub(super) fn next_load(&mut self) -> Step {
        if self.loads.wanted.is_empty() {
            return Step::Nothing;
        }
        let mut jobs = Vec::new();
        while jobs.len() < limits::LOAD_RECORDS
            && let Some((at, seq)) = self.loads.wanted.pop_front()
        {
            match self.jobs.slab.get(at).filter(|job| job.seq == seq) {
                Some(_) if !self.is_void(at) => jobs.push((at, seq)),
                Some(_) => {
                    self.jobs.slab[at].body = Body::Away;
                    self.loads.open -= 1;
                }
                None => self.loads.open -= 1,
            }
        }
        if jobs.is_empty() {
            return Step::Worked;
        }
        self.loads.next += 1;
        let id = LoadId(self.loads.next);
        let records = jobs.iter().map(|(_, seq)| *seq).collect();
        self.loads.asked.insert(id, jobs);
        Step::Effect(Output::Load(LoadRequest { id, records }))
    }

    /// Whether a payload can be asked for, or somebody go on who waits for that.
    pub(super) fn has_to_load(&self) -> bool {
        let crowded = !self.queues.scan_crowd.is_empty() || !self.queues.ready_crowd.is_empty();
        !self.loads.wanted.is_empty() || (self.loads.open < AT_ONCE && crowded)
    }

    /// Lets one of those go on that wait until fewer payloads are under way; says whether there was one.
    pub(super) fn admit_from_crowd(&mut self) -> bool {
        if self.loads.open >= AT_ONCE {
            return false;
        }
        let endpoints_first = self.loads.turn && !self.queues.ready_crowd.is_empty();
        if !endpoints_first && let Some(job) = self.queues.scan_crowd.admit(&mut self.jobs.slab) {
            self.loads.turn = true;
            self.scan_next(job);
            return true;
        }
        let Some(endpoint) = self.queues.ready_crowd.admit(&mut self.endpoints.slab) else { return false };
        self.loads.turn = false;
        self.wake_endpoint(endpoint);
        true
    }

    /// The log answers a request.
    pub(super) fn loaded(&mut self, request: LoadId, result: Result<Vec<(JournalSeq, Record)>, LoadError>) {
        let Some(jobs) = self.loads.asked.remove(&request) else {
            self.stats.stale += 1;
            return;
        };
        let mut found = BTreeMap::new();
        let mut failed = None;
        match result {
            Ok(records) => {
                let accepted = records.into_iter().filter_map(|(seq, record)| match record {
                    Record::Accepted(accepted) => Some((seq, accepted)),
                    _ => None,
                });
                found.extend(accepted);
            }
            Err(why) => failed = Some(why),
        }
        if failed == Some(LoadError::Unavailable) {
            self.tell(JournalSeq::ZERO, Notice::LoadFailed { records: jobs.len() });
        }
        for (at, seq) in jobs {
            self.loads.open -= 1;
            let known = self.jobs.slab.get(at).is_some_and(|job| job.seq == seq);
            match (known, found.remove(&seq)) {
                (false, _) => {}
                // What was cancelled meanwhile needs it no more; a chore ends its deliveries.
                (true, _) if self.is_void(at) => {
                    self.jobs.slab[at].body = Body::Away;
                    self.jobs.rest(at);
                }
                (true, Some(accepted)) => self.payload_came(at, &accepted),
                (true, None) if failed == Some(LoadError::Unavailable) => {
                    let again = self.now.mono.saturating_add(RETRY);
                    let job = &mut self.jobs.slab[at];
                    job.body = Body::Later;
                    job.work_mut().since = again;
                    self.loads.later.insert((again, seq), at);
                }
                (true, None) => self.payload_lost(at),
            }
        }
    }

    fn payload_came(&mut self, at: u32, accepted: &Accepted) {
        let payload = Payload::accepted(accepted.content_type.as_deref(), accepted.payload.clone());
        let (job, event_type) = (&self.jobs.slab[at], EventType::new(&accepted.event_type));
        let same = accepted.id.as_str() == self.jobs.name(at) && accepted.digest == job.digest;
        let (Some(payload), Ok(event_type), true) = (payload, event_type, same) else { return self.payload_lost(at) };
        let seq = job.seq;
        let event = Prepared::new(accepted.id.clone(), event_type, accepted.time, payload).expires(accepted.expires);
        let replay = accepted.replay.as_ref();
        #[cfg(postrider_planted)]
        let replay = replay.filter(|_| !crate::planted::breaks(58));
        let event = match replay {
            Some(replay) => event.replayed(replay),
            None => event,
        };
        self.jobs.bring(at, Arc::new(event), self.now.mono);
        self.stats.loaded += 1;
        #[cfg(postrider_planted)]
        if crate::planted::breaks(15) {
            return;
        }
        self.chore(Chore::Unstall(at, seq));
    }

    /// The payload cannot be read any more: what needs it ends as lost, and so does what is not fanned out yet.
    fn payload_lost(&mut self, at: u32) {
        let job = &mut self.jobs.slab[at];
        job.body = Body::Away;
        job.lose();
        let seq = job.seq;
        self.chore(Chore::Lose(at, seq));
    }

    /// Like `make_ready`, but before the others: it has waited longest.
    pub(super) fn make_ready_first(&mut self, handle: u32) {
        let endpoint = self.deliveries[handle].endpoint;
        let slot = &mut self.endpoints.slab[endpoint];
        slot.fetching -= 1;
        self.deliveries.push_front(&mut slot.ready, handle, Place::Ready);
        self.wake_endpoint(endpoint);
    }

    /// Ends what waits for a lost payload, a few deliveries at a time.
    pub(super) fn lose(&mut self, at: u32, seq: JournalSeq) {
        for _ in 0..32 {
            let Some(job) = self.jobs.slab.get_mut(at).filter(|job| job.seq == seq) else { return };
            let Some(handle) = self.deliveries.pop_front(job.stalled_mut()) else {
                self.scan_next(at);
                return;
            };
            let delivery = &self.deliveries[handle];
            let (endpoint, subscription) = (delivery.endpoint, delivery.subscription);
            self.endpoints.slab[endpoint].fetching -= 1;
            self.end_unsent(at, endpoint, subscription, Some(handle), Then::Lost);
            self.wake_endpoint(endpoint);
        }
        self.chore(Chore::Lose(at, seq));
    }
}

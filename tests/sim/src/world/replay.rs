//! Whoever wants an event sent again: what history gives back of it goes to one endpoint.

use std::collections::BTreeMap;

use postrider_core::event::Event;
use postrider_core::id::{EndpointId, EventId};
use postrider_core::sender::{REPLAYED, Replay, ReplayAs, ReplayRefused};
use postrider_journal::history::EventHistory;

use crate::observe::{self, Refusal, SECOND, Seen, Submission, Told, Wish};

use super::node::{now, number};
use super::produce::refusal;
use super::{Caller, Happening, World};

/// Times that somebody asks for a replay before they give up.
const TRIES: u16 = 20;

/// What was sent again in a world, or was to be: events of their own, numbered like all others.
#[derive(Debug, Default)]
pub(super) struct Replays {
    all: BTreeMap<u64, Again>,
    /// By node and by what its machine numbers them with.
    marks: BTreeMap<(u32, u64), u64>,
}

#[derive(Clone, Debug)]
struct Again {
    what: observe::Replay,
    tenant: u32,
    event_type: String,
    event: Event,
    tries: u16,
}

impl Replays {
    /// The id of an event, whatever kind it is of.
    pub(super) fn id(&self, event: u64) -> EventId {
        let prefix = if self.all.contains_key(&event) { REPLAYED } else { "e" };
        EventId::new(format!("{prefix}{event}")).expect("a name")
    }

    /// The id by which a node knows the replay that it marks so.
    pub(super) fn marked(&self, node: u32, mark: u64) -> Option<EventId> {
        self.marks.get(&(node, mark)).map(|replay| self.id(*replay))
    }

    /// Whose a replay is; nothing of other events.
    pub(super) fn tenant(&self, event: u64) -> Option<u32> {
        self.all.get(&event).map(|again| again.tenant)
    }
}

impl World {
    /// Somebody has looked at an event, and may want it sent again.
    pub(super) fn may_replay(&mut self, found: EventHistory) {
        if self.healed || !self.profile.replays || self.streams.replayer.once_in(4) {
            return;
        }
        let id = found.event.as_str();
        let Some(of) = id.strip_prefix('e').and_then(|_| number(id)).filter(|_| !found.erased) else { return };
        let event_type = found.event_type.clone();
        let Some(event) = found.into_event() else { return };
        let tenant = self.tenant_of_event(of);
        let theirs = self.places.iter().filter(|place| place.spec.tenant == tenant).map(|place| place.spec.endpoint);
        let theirs: Vec<_> = theirs.collect();
        if theirs.is_empty() {
            return;
        }
        let rng = &mut self.streams.replayer;
        let what = observe::Replay { of, endpoint: *rng.pick(&theirs), keeps_id: rng.once_in(2) };
        let replay = self.next_event;
        self.next_event += 1;
        self.replays.all.insert(replay, Again { what, tenant, event_type, event, tries: 0 });
        self.replay(replay);
    }

    /// They ask for it.
    pub(super) fn replay(&mut self, replay: u64) {
        let node = self.node_of_event(replay);
        let clocks = self.clocks(node);
        if self.nodes[node as usize].up.is_none() {
            return self.replay_later(replay);
        }
        let Some(Again { what, tenant, event_type, event, .. }) = self.replays.all.get(&replay).cloned() else {
            return;
        };
        self.calls += 1;
        let call = self.calls;
        let submission = Submission {
            event: replay,
            tenant,
            event_type: &event_type,
            payload: event.payload().body(),
            expires: None,
            idempotency: None,
            key: None,
            replay: Some(what),
        };
        self.see(&Seen::Asked { call, node, clocks, wish: Wish::Publish(submission) });
        let of = EventId::new(format!("e{}", what.of)).expect("a name");
        let endpoint = EndpointId::new(format!("p{}", what.endpoint)).expect("a name");
        let how = if what.keeps_id { ReplayAs::Same } else { ReplayAs::Fresh };
        let process = self.nodes[node as usize].up.as_mut().expect("it was just there");
        let caller = Caller::Replayer { replay };
        match process.sender.replay(now(clocks), Replay::new(event, &replay.to_string(), of, endpoint, how)) {
            Ok(receipt) => {
                if receipt.fresh {
                    self.replays.marks.insert((node, receipt.seq.get()), replay);
                }
                self.await_record(node, receipt.seq, call, receipt.fresh, caller);
            }
            Err(refused) => {
                let why = match &refused {
                    ReplayRefused::UnknownEndpoint(..) => Refusal::Unknown,
                    ReplayRefused::NotActive(..) => Refusal::State,
                    ReplayRefused::Refused(why) => refusal(why),
                    _ => Refusal::Other,
                };
                self.answer(call, Told::Refused(why), caller);
                self.drain(node);
            }
        }
    }

    fn replay_later(&mut self, replay: u64) {
        let Some(again) = self.replays.all.get_mut(&replay).filter(|again| again.tries < TRIES) else { return };
        again.tries += 1;
        let wait = self.streams.replayer.about(10 * SECOND);
        self.schedule.at(self.now.after(wait), Happening::Replay { replay });
    }

    /// They learn what became of that.
    pub(super) fn replay_answered(&mut self, replay: u64, told: Told) {
        match told {
            Told::Ok { fresh } => self.counts.replayed += u64::from(fresh),
            Told::Lost => self.replay_later(replay),
            Told::Refused(Refusal::Overloaded | Refusal::Full | Refusal::Unsettled | Refusal::Stopped) => {
                self.replay_later(replay);
            }
            Told::Refused(_) => {}
        }
    }
}

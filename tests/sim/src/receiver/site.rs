//! A receiver of some mood, with the receiving machine in front.

use super::machine::Machine;
use super::mood::{Mood, Plan};
use super::{Answer, Peer, Reaction, Request, Wire};
use crate::observe::{Key, SimTime};
use crate::rng::Rng;

/// A healed receiver answers after this time.
const PROMPT: u64 = 20_000_000;

/// A receiver.
#[derive(Debug)]
pub(super) struct Site {
    mood: Mood,
    machine: Machine,
    rng: Rng,
    healed: bool,
}

impl Site {
    pub(super) fn new(mood: Mood, rng: Rng) -> Self {
        Self { mood, machine: Machine::default(), rng, healed: false }
    }

    fn plan(&mut self, at: SimTime, request: &Request<'_>) -> Plan {
        match self.healed {
            true => Plan::good(PROMPT),
            false => self.mood.plan(&mut self.rng, at, request.wall),
        }
    }
}

impl Peer for Site {
    fn request(&mut self, at: SimTime, request: &Request<'_>) -> Reaction {
        let plan = self.plan(at, request);
        let taken = self.machine.request(at, request, plan.take);
        let wire = plan.wire.unwrap_or_else(|| Wire::Answer(Answer::status(taken.status)));
        Reaction { took: taken.has_it, delay: plan.delay, wire, complaint: taken.complaint }
    }

    fn consent(&mut self, at: SimTime, request: &Request<'_>) -> Reaction {
        if request.body.is_empty() {
            let plan = self.plan(at, request);
            let wire = plan.wire.unwrap_or_else(|| Wire::Answer(Answer::status(200)));
            return Reaction { took: plan.take, delay: plan.delay, wire, complaint: None };
        }
        self.request(at, request)
    }

    fn keys(&mut self, at: SimTime, keys: &[Key]) {
        self.machine.keys(at, keys);
    }

    fn heal(&mut self, _at: SimTime) {
        self.healed = true;
    }

    fn kind(&self) -> &'static str {
        if self.healed { "healed" } else { self.mood.name() }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::observe::SECOND;

    static BODY: Bytes = Bytes::from_static(b"{}");
    static REQUEST: Request<'static> = Request { endpoint: 1, wall: 1_767_225_600_000, headers: &[], body: &BODY };

    fn reactions(mood: Mood, count: u64) -> Vec<Reaction> {
        let mut site = Site::new(mood, Rng::new(5));
        (0..count).map(|n| site.request(SimTime(n * 60 * SECOND), &REQUEST)).collect()
    }

    fn status(reaction: &Reaction) -> Option<u16> {
        match &reaction.wire {
            Wire::Answer(answer) => Some(answer.status),
            Wire::Silence | Wire::Close | Wire::Garbage | Wire::DrippingHead | Wire::HugeHead => None,
        }
    }

    #[test]
    fn liars_lie() {
        let dropping = reactions(Mood::Dropping { millionths: 1_000_000 }, 10);
        assert!(dropping.iter().all(|one| status(one) == Some(200) && !one.took));
        let denying = reactions(Mood::Denying { millionths: 1_000_000 }, 10);
        assert!(denying.iter().all(|one| status(one) == Some(500) && one.took));
    }

    #[test]
    fn a_flapping_one_is_up_and_down_and_stays_so_for_a_while() {
        let mood = Mood::Flapping {
            up: true,
            until: SimTime(0),
            means: [600 * SECOND, 600 * SECOND],
            down: super::super::mood::Down::Status(503),
        };
        let up: Vec<_> = reactions(mood, 2000).iter().map(|one| one.took).collect();
        let changes = up.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((50..600).contains(&changes), "{changes}");
        let share = up.iter().filter(|up| **up).count();
        assert!((500..1500).contains(&share), "{share}");
    }

    #[test]
    fn a_gone_one_comes_back_and_a_healed_one_is_good() {
        let statuses: Vec<_> = reactions(Mood::Gone { after: 3 }, 1500).iter().map(status).collect();
        assert_eq!(statuses.iter().position(|one| *one == Some(410)), Some(1));
        assert_eq!(statuses[10], Some(204));
        let mut site = Site::new(Mood::Malformed, Rng::new(1));
        assert!((0..20).any(|_| status(&site.request(SimTime(0), &REQUEST)).is_none()));
        site.heal(SimTime(0));
        assert!((0..20).all(|_| status(&site.request(SimTime(0), &REQUEST)) == Some(204)));
    }

    #[test]
    fn what_is_not_signed_is_complained_about() {
        let mut site = Site::new(Mood::Good, Rng::new(1));
        site.keys(SimTime(0), &[Key { number: 1, secret: [7; 32] }]);
        let reaction = site.request(SimTime(0), &REQUEST);
        assert!(!reaction.took);
        assert_eq!(reaction.complaint.as_deref(), Some("the header webhook-id is missing"));
    }

    #[test]
    fn every_mood_is_drawn() {
        let mut rng = Rng::new(3);
        let mut names: Vec<_> = (0..2000).map(|_| Mood::draw(&mut rng).name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 13, "{names:?}");
    }
}

//! Invariant 21: with one endpoint of each hostile kind among 64, a good one waits no more than twice as long as it would
//! if all were good, and none of its deliveries is missed. Time is the world's, so nothing here depends on the machine
//! that runs it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use postrider_sim::observe::{Broken, Judge, Look, SECOND, Seen, SimTime, Told, Wish};
use postrider_sim::profile::{Profile, Scale};
use postrider_sim::receiver;
use postrider_sim::world::{Cast, World};

const ENDPOINTS: u32 = 64;

/// Events, one a second, each of which every endpoint wants.
const EVENTS: u64 = 300;

/// Draws until it seems that there are no more kinds.
const DRAWS: u32 = 2000;

/// How long first attempts to the last endpoints waited, from the submission on.
#[derive(Default)]
struct Waits {
    submitted: BTreeMap<u64, (String, SimTime)>,
    accepted: BTreeMap<String, SimTime>,
    all: Rc<RefCell<Vec<u64>>>,
    good_from: u32,
}

impl Judge for Waits {
    fn see(&mut self, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { call, wish: Wish::Publish(submission), .. } => {
                self.submitted.insert(*call, (format!("e{}", submission.event), at));
            }
            Seen::Answered { call, told: Told::Ok { fresh: true } } => {
                self.accepted.extend(self.submitted.remove(call));
            }
            Seen::Started { endpoint, event, number: 1, .. } if *endpoint >= self.good_from => {
                let known = self.accepted.get(*event).or_else(|| {
                    let mut unanswered = self.submitted.values();
                    unanswered.find(|(submitted, _)| submitted == event).map(|(_, at)| at)
                });
                let since = known.ok_or_else(|| Broken::new(2, format!("{event} was never submitted")))?;
                self.all.borrow_mut().push(at.since(*since));
            }
            _ => {}
        }
        Ok(())
    }

    fn sweep(&mut self, _: SimTime, _: &dyn Look) -> Result<(), Broken> {
        Ok(())
    }

    fn end(&mut self, _: SimTime, _: &dyn Look) -> Result<(), Broken> {
        Ok(())
    }
}

/// All kinds of receivers that are not good.
fn kinds() -> Vec<&'static str> {
    let mut rng = postrider_sim::rng::Rng::part(1, "kinds");
    let kinds: BTreeSet<_> = (0..DRAWS).map(|_| receiver::draw(&mut rng, 0, true).kind()).collect();
    kinds.into_iter().filter(|kind| *kind != "good").collect()
}

/// What good endpoints waited, in order; the first endpoints are of these kinds.
fn run(seed: u64, hostile: Vec<&'static str>, good_from: u32) -> Vec<u64> {
    let scale = Scale { calm: true, events: EVENTS, ..Scale::hours(1) };
    let profile = Profile { endpoints: ENDPOINTS, gap: SECOND, ..Profile::draw(seed, &scale) };
    let all = Rc::default();
    let mut cast = Cast::usual();
    cast.judges.push(Box::new(Waits { all: Rc::clone(&all), good_from, ..Waits::default() }));
    cast.peers = Box::new(move |rng, endpoint, _| match hostile.get(endpoint as usize) {
        Some(kind) => loop {
            let peer = receiver::draw(rng, endpoint, true);
            if peer.kind() == *kind {
                return peer;
            }
        },
        None => receiver::draw(rng, endpoint, false),
    });
    let verdict = World::of(profile, cast).run();
    assert_eq!(verdict.broken, None, "seed {seed}");
    let mut waits = all.take();
    waits.sort_unstable();
    waits
}

#[test]
fn hostile_endpoints_delay_no_other() {
    let kinds = kinds();
    assert!(kinds.len() >= 10, "{kinds:?}");
    let good_from = u32::try_from(kinds.len()).expect("they are few");
    for seed in 0..3 {
        let (without, with) = (run(seed, Vec::new(), good_from), run(seed, kinds.clone(), good_from));
        let deliveries = EVENTS as usize * (ENDPOINTS - good_from) as usize;
        assert_eq!((without.len(), with.len()), (deliveries, deliveries), "every good delivery has one first attempt");
        let p99 = |waits: &[u64]| waits[waits.len() * 99 / 100];
        assert!(p99(&with) <= 2 * p99(&without), "seed {seed}: {} ns instead of {} ns", p99(&with), p99(&without));
    }
}

//! A simulated sender with which a handler is rehearsed before the network does it: requests are lost, late, doubled and
//! out of order, sender and receiver crash, and the handler must have the same effect as if nothing had happened.
//!
//! The sender signs as a scheme says and sends again until it is answered with a success. Between it and the handler is a
//! real [`Receiver`](postrider_core::receiver::Receiver), which deduplicates while it remembers. It forgets when it
//! crashes; what the handler has done stays, as rows of a database stay. Time is virtual, and a number chooses everything
//! that goes wrong, so a run can be had again.
//!
//! A handler that remembers in the same transaction what it has done passes:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use postrider_core::receiver::{Delivery, Processed};
//! use postrider_testkit::Rehearsal;
//!
//! /// What the application keeps: orders that are paid, and the events that have had their effect.
//! #[derive(Default)]
//! struct Shop {
//!     seen: std::collections::BTreeSet<String>,
//!     paid: BTreeMap<String, u64>,
//! }
//!
//! fn handle(shop: &mut Shop, delivery: &Delivery) -> Processed {
//!     let Ok(event) = delivery.value() else { return Processed::Refuse };
//!     if shop.seen.insert(delivery.dedup_key().into_owned()) {
//!         *shop.paid.entry(event["order"].to_string()).or_default() += event["amount"].as_u64().unwrap_or(0);
//!     }
//!     Processed::Done
//! }
//!
//! let rehearsal = Rehearsal::new()
//!     .event("evt_1", r#"{"order":7,"amount":10}"#)
//!     .event("evt_2", r#"{"order":7,"amount":20}"#)
//!     .event("evt_3", r#"{"order":8,"amount":30}"#);
//! rehearsal.assert_idempotent(0..200, Shop::default, handle, |shop| shop.paid.clone());
//! ```
//!
//! One that adds whatever comes is caught, with the fewest events and troubles that show it:
//!
//! ```
//! # use postrider_core::receiver::Processed;
//! # use postrider_testkit::Rehearsal;
//! let rehearsal = Rehearsal::new().event("evt_1", "{}").event("evt_2", "{}");
//! let caught = rehearsal.check(
//!     0..200,
//!     || 0,
//!     |count, _| {
//!         *count += 1;
//!         Processed::Done
//!     },
//!     |count| *count,
//! );
//! let caught = caught.unwrap_err();
//! assert_eq!((caught.events(), caught.troubles().len()), (&["evt_1".to_string()][..], 1));
//! println!("{caught}");
//! ```

mod report;
mod story;
mod world;

use std::fmt::Debug;

use bytes::Bytes;
use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
use postrider_core::signing::{Scheme, Verifier};

pub use report::{Caught, End, Handed, Report};
pub use story::{Fault, Trouble};

use crate::signed::Provider;
use world::World;

/// Runs that looking for a shorter story may cost.
const SHRINKING: u32 = 2000;

/// What is rehearsed: the events, how they are signed and sent, and what may go wrong. See the [module](self).
#[derive(Clone, Debug)]
pub struct Rehearsal {
    provider: Provider,
    events: Vec<(String, Bytes)>,
    faults: Vec<Fault>,
    in_order: bool,
    config: fn(Verifier) -> ReceiverConfig,
}

impl Rehearsal {
    /// Of no events yet, signed as Standard Webhooks says, with every fault, sent without regard to their order.
    pub fn new() -> Self {
        Self::of(Scheme::Standard).expect("Standard Webhooks can be signed")
    }

    /// The same in another scheme; `None` where [`Provider::new`] has no key for it. Linear, Mailgun and Adyen's
    /// notifications have bodies of a shape of their own, with the body of an event as text in it
    /// ([`Provider::request`]).
    pub fn of(scheme: Scheme) -> Option<Self> {
        let provider = Provider::new(scheme)?;
        let config = |verifier: Verifier| ReceiverConfig::new(verifier);
        Some(Self { provider, events: Vec::new(), faults: Fault::ALL.to_vec(), in_order: false, config })
    }

    /// With one event more, which is sent behind those that there are. Where the scheme signs no id (GitHub), events are told
    /// apart by their bodies.
    ///
    /// # Panics
    ///
    /// When there is an event with this id.
    #[must_use]
    pub fn event(mut self, id: &str, body: impl Into<Bytes>) -> Self {
        assert!(self.events.iter().all(|(known, _)| known != id), "there is an event {id} already");
        self.events.push((id.to_owned(), body.into()));
        self
    }

    /// With no faults but these.
    #[must_use]
    pub fn faults(self, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { faults: faults.into_iter().collect(), ..self }
    }

    /// With a sender that sends an event only when the one before it has been acknowledged or refused: for a handler to which
    /// the order of events matters, and that relies on its sender for it. Even so an old event can come again behind a
    /// newer one, when the receiver has forgotten it.
    #[must_use]
    pub fn in_order(self) -> Self {
        Self { in_order: true, ..self }
    }

    /// With a receiver that is configured like the application's own. Under
    /// [`Acknowledge::Stored`](postrider_core::receiver::Acknowledge::Stored) the handler stands for what makes deliveries
    /// durable; there is no store of claims. In Standard Webhooks the requests carry
    /// `postrider-key`, `postrider-sequence` and `postrider-previous-sequence`, all events being of one key.
    #[must_use]
    pub fn receiver(self, config: fn(Verifier) -> ReceiverConfig) -> Self {
        Self { config, ..self }
    }

    /// One run, in which what this seed says goes wrong. The handler is called for each delivery as by an adapter; when it
    /// panics, the sender is asked to come again.
    pub fn run(&self, seed: u64, handler: impl FnMut(&Delivery) -> Processed) -> Report {
        self.play(&story::of(seed, self.events.len(), &self.faults), handler)
    }

    /// One run in which nothing goes wrong.
    pub fn run_without_faults(&self, handler: impl FnMut(&Delivery) -> Processed) -> Report {
        self.play(&[], handler)
    }

    /// A run for each seed, each with a state of its own, whose effect must be that of a run without faults, with every
    /// event that was acknowledged handed to the handler and none given up. Returns the number of runs.
    ///
    /// `start` makes the state that survives crashes, `handler` is what is proved, and `effect` says what of the state
    /// must be the same: not, for example, a count of calls. The bodies are said to be JSON. Faults reorder events unless they are sent
    /// [`in_order`](Self::in_order), so an effect that depends on their order is caught too.
    pub fn check<S, E: PartialEq + Debug>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        start: impl Fn() -> S,
        handler: impl Fn(&mut S, &Delivery) -> Processed,
        effect: impl Fn(&S) -> E,
    ) -> Result<usize, Box<Caught>> {
        let judge = |rehearsal: &Self, troubles: &[Trouble]| {
            let (mut calm, mut rough) = (start(), start());
            let report = rehearsal.play(&[], |delivery| handler(&mut calm, delivery));
            let panicked = || report.panics().first().map(|said| format!("the handler panicked: {said}"));
            if let Some(why) = report.is_incomplete().or_else(panicked) {
                return Some((format!("even without faults {why}"), report));
            }
            let report = rehearsal.play(troubles, |delivery| handler(&mut rough, delivery));
            let (expected, got) = (effect(&calm), effect(&rough));
            let differs = || format!("the effect is {got:?}, without faults it is {expected:?}");
            let wrong = report.is_incomplete().or_else(|| (expected != got).then(differs));
            wrong.map(|why| (why, report))
        };
        let mut runs = 0;
        for seed in seeds {
            let troubles = story::of(seed, self.events.len(), &self.faults);
            if let Some((why, report)) = judge(self, &troubles) {
                return Err(Box::new(self.shortest(Caught { seed, why, troubles, report }, judge)));
            }
            runs += 1;
        }
        Ok(runs)
    }

    /// [`check`](Self::check), for a test.
    ///
    /// # Panics
    ///
    /// When the effect of a run differs, with its seed and the shortest story that shows it.
    #[track_caller]
    pub fn assert_idempotent<S, E: PartialEq + Debug>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        start: impl Fn() -> S,
        handler: impl Fn(&mut S, &Delivery) -> Processed,
        effect: impl Fn(&S) -> E,
    ) {
        if let Err(caught) = self.check(seeds, start, handler, effect) {
            panic!("{caught}");
        }
    }

    fn play(&self, troubles: &[Trouble], handler: impl FnMut(&Delivery) -> Processed) -> Report {
        World::new(&self.provider, &self.events, self.in_order, self.config, troubles, handler).run()
    }

    /// Leaves out events and troubles as long as what is left is still wrong.
    fn shortest(&self, caught: Caught, judge: impl Fn(&Self, &[Trouble]) -> Option<(String, Report)>) -> Caught {
        let (mut least, mut best) = (self.clone(), caught);
        let mut left = SHRINKING;
        loop {
            let events = (0..least.events.len()).map(|n| least.without_event(n, &best.troubles));
            let troubles = (0..best.troubles.len()).map(|n| {
                let mut fewer = best.troubles.clone();
                fewer.remove(n);
                (least.clone(), fewer)
            });
            let mut smaller = events.chain(troubles).take(left as usize);
            let found = smaller.find_map(|(fewer, troubles)| {
                left -= 1;
                let (why, report) = judge(&fewer, &troubles)?;
                Some((fewer, Caught { seed: best.seed, why, troubles, report }))
            });
            match found {
                Some((fewer, shorter)) => (least, best) = (fewer, shorter),
                None => return best,
            }
        }
    }

    fn without_event(&self, n: usize, troubles: &[Trouble]) -> (Self, Vec<Trouble>) {
        let mut fewer = self.clone();
        fewer.events.remove(n);
        let kept = troubles.iter().filter(|trouble| trouble.event != n);
        let moved = kept.map(|trouble| Trouble { event: trouble.event - usize::from(trouble.event > n), ..*trouble });
        (fewer, moved.collect())
    }
}

impl Default for Rehearsal {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;

//! Handlers that are right pass, and those that are wrong are caught.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use postrider_core::receiver::{Acknowledge, Order};

use super::*;

fn ten() -> Rehearsal {
    let body = |n: u32| format!("{{\"order\":{},\"amount\":{n}}}", n % 3);
    (1..=10).fold(Rehearsal::new(), |all, n| all.event(&format!("evt_{n}"), body(n)))
}

/// What an application keeps.
#[derive(Default)]
struct Shop {
    seen: BTreeSet<String>,
    paid: BTreeMap<u64, u64>,
    last: BTreeMap<u64, u64>,
}

impl Shop {
    fn numbers(delivery: &Delivery) -> (u64, u64) {
        let event = delivery.value().unwrap();
        (event["order"].as_u64().unwrap(), event["amount"].as_u64().unwrap())
    }

    fn add(&mut self, delivery: &Delivery) -> Processed {
        let (order, amount) = Self::numbers(delivery);
        *self.paid.entry(order).or_default() += amount;
        Processed::Done
    }

    fn add_once(&mut self, delivery: &Delivery) -> Processed {
        if self.seen.insert(delivery.dedup_key().into_owned()) { self.add(delivery) } else { Processed::Done }
    }

    fn overwrite(&mut self, delivery: &Delivery) -> Processed {
        let (order, amount) = Self::numbers(delivery);
        self.last.insert(order, amount);
        Processed::Done
    }

    /// Amounts are versions too: they grow.
    fn overwrite_older(&mut self, delivery: &Delivery) -> Processed {
        let (order, amount) = Self::numbers(delivery);
        let last = self.last.entry(order).or_default();
        *last = amount.max(*last);
        Processed::Done
    }
}

#[test]
fn a_handler_that_remembers_passes() {
    let runs = ten().check(0..300, Shop::default, Shop::add_once, |shop| shop.paid.clone());
    assert_eq!(runs, Ok(300));
}

#[test]
fn a_handler_that_adds_is_caught_with_one_event_and_one_trouble() {
    let caught = ten().check(0..300, Shop::default, Shop::add, |shop| shop.paid.clone()).unwrap_err();
    let ([id], [trouble]) = (caught.events(), caught.troubles()) else { panic!("{caught}") };
    assert!(matches!(trouble.fault, Fault::Panic | Fault::CrashBeforeAnswer), "{caught}");
    assert_eq!((trouble.event, caught.report().times(id)), (0, 2));
    assert!(caught.why().starts_with("the effect is {"), "{caught}");
    let text = caught.to_string();
    for part in [&format!("with seed {}: ", caught.seed()), "of 1 events", id, "attempt 2"] {
        assert!(text.contains(part), "{text}");
    }
    // It is as long as it was without the shortening, and shows again by its seed.
    let again = ten().check([caught.seed()], Shop::default, Shop::add, |shop| shop.paid.clone());
    assert_eq!(again.unwrap_err(), caught);
}

/// As long as the receiver does not forget, its own memory is enough for a handler that adds.
#[test]
fn without_crashes_the_receiver_is_enough() {
    let mild = [Fault::RequestLost, Fault::AnswerLost, Fault::Duplicate, Fault::Delay, Fault::SenderCrash];
    let rehearsal = ten().faults(mild);
    rehearsal.assert_idempotent(0..300, Shop::default, Shop::add, |shop| shop.paid.clone());
    for seed in 0..300 {
        let report = rehearsal.run(seed, |_| Processed::Done);
        report.assert_each_exactly_once();
    }
}

/// Each fault by itself makes a difference that can be seen, and none loses an event.
#[test]
fn every_fault_happens() {
    for fault in Fault::ALL {
        let rehearsal = ten().faults([fault]);
        let calm = rehearsal.run_without_faults(|_| Processed::Done);
        calm.assert_each_exactly_once().assert_in_order();
        let mut differ = 0;
        for seed in 0..50 {
            let report = rehearsal.run(seed, |_| Processed::Done);
            report.assert_each_at_least_once();
            assert_eq!(report, rehearsal.run(seed, |_| Processed::Done), "{fault}: the same seed, another run");
            let times = |report: &Report| report.handed().len();
            differ += usize::from(match fault {
                Fault::Delay | Fault::RequestLost | Fault::ReceiverCrash => report.handed() != calm.handed(),
                Fault::AnswerLost | Fault::Duplicate | Fault::SenderCrash => report.told.len() > calm.told.len(),
                Fault::CrashBeforeAnswer | Fault::Panic => times(&report) > times(&calm),
            });
        }
        assert!(differ >= 40, "{fault} shows in {differ} of 50 runs");
    }
}

/// A handler to which order matters: it must compare versions, or be sent to in order by a sender that nothing forgets.
#[test]
fn order_is_seen_from_both_sides() {
    let last = |shop: &Shop| shop.last.clone();
    let caught = ten().check(0..100, Shop::default, Shop::overwrite, last).unwrap_err();
    assert_eq!(caught.events().len(), 2, "one overtakes the other: {caught}");
    ten().assert_idempotent(0..300, Shop::default, Shop::overwrite_older, last);

    let kept = [Fault::RequestLost, Fault::AnswerLost, Fault::Duplicate, Fault::Delay, Fault::Panic];
    ten().in_order().faults(kept).assert_idempotent(0..300, Shop::default, Shop::overwrite, last);
    for seed in 0..100 {
        let report = ten().in_order().run(seed, |_| Processed::Done);
        report.assert_each_at_least_once().assert_in_order();
    }
    let caught = ten().in_order().check(0..1000, Shop::default, Shop::overwrite, last);
    let caught = caught.expect_err("an old duplicate comes to a receiver that has forgotten");
    assert!(caught.troubles().iter().any(|trouble| trouble.fault == Fault::Duplicate), "{caught}");
}

/// A receiver that holds events for their order, configured as an application would.
#[test]
fn a_receiver_that_orders_makes_order_of_delays() {
    let late = ten().faults([Fault::Delay, Fault::Duplicate]);
    let ordered = late.clone().receiver(|verifier| {
        let order = Order::by_headers().hold(Duration::from_secs(60));
        ReceiverConfig::new(verifier).order(order)
    });
    let mut overtaken = 0;
    for seed in 0..100 {
        ordered.run(seed, |_| Processed::Done).assert_each_exactly_once().assert_in_order();
        let report = late.run(seed, |_| Processed::Done);
        overtaken += usize::from(
            report.handed().windows(2).any(|pair| pair[0].id.len() == pair[1].id.len() && pair[0].id > pair[1].id),
        );
    }
    assert!(overtaken > 50, "without it there is none: {overtaken}");
    ordered.assert_idempotent(0..100, Shop::default, Shop::overwrite, |shop| shop.last.clone());
}

/// One that answers when a delivery is durable: the handler stands for what makes it so.
#[test]
fn a_receiver_that_stores_can_be_rehearsed() {
    let stores = ten().receiver(|verifier| ReceiverConfig::new(verifier).acknowledge(Acknowledge::Stored));
    let pause = Processed::Later { after: Some(Duration::from_secs(1)) };
    for seed in 0..50 {
        let mut first = true;
        let once = |_: &Delivery| if std::mem::take(&mut first) { pause } else { Processed::Done };
        stores.run(seed, once).assert_each_at_least_once();
    }
}

#[test]
fn what_never_ends_well_is_reported() {
    let later = |_: &mut (), _: &Delivery| Processed::Later { after: None };
    let caught = ten().check([1], || (), later, |()| 0).unwrap_err();
    assert_eq!(caught.why(), "even without faults evt_10 was never answered with a success");
    let panics = |_: &mut (), _: &Delivery| std::panic::resume_unwind(Box::new("no such order"));
    let caught = ten().check([1], || (), panics, |()| 0).unwrap_err();
    assert!(caught.why().ends_with("the handler panicked: no such order"), "{caught}");
    assert_eq!((caught.events().len(), caught.troubles()), (1, &[][..]));
    let report = ten().run(7, |_| Processed::Refuse);
    assert_eq!(report.end("evt_1"), End::Refused);
    let report = ten().run(7, |_| Processed::Unsubscribed);
    assert_eq!(report.end("evt_10"), End::Refused);
}

/// Every scheme that can sign here; those whose requests have no id are told apart by what was signed.
#[test]
fn every_scheme_can_be_rehearsed() {
    let mut schemes = 0;
    for scheme in Scheme::ALL {
        let Some(rehearsal) = Rehearsal::of(scheme) else { continue };
        schemes += 1;
        let body = |id: &str| format!("{{\"id\":\"{id}\",\"event_id\":\"{id}\"}}");
        let rehearsal = rehearsal.event("evt_1", body("evt_1")).event("evt_2", body("evt_2"));
        for seed in 0..20 {
            rehearsal.run(seed, |_| Processed::Done).assert_each_at_least_once();
        }
    }
    assert!(schemes >= 26, "only {schemes}");
}

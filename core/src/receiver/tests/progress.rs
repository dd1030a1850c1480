//! Stores of claims, turns, and what is answered when it is durable.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use http::HeaderValue;

use super::bench::Bench;
use super::{BODY, signed, verifier};
use crate::receiver::*;
use crate::signing::standard;

fn stored() -> Bench {
    Bench::with(ReceiverConfig::new(verifier()).acknowledge(Acknowledge::Stored))
}

fn claiming() -> Bench {
    Bench::with(ReceiverConfig::new(verifier()).claims(Duration::from_secs(60)))
}

fn ordered(order: Order) -> Bench {
    Bench::with(ReceiverConfig::new(verifier()).order(order))
}

impl Bench {
    /// The claim that was asked for last.
    fn asked(&mut self) -> Claim {
        let _ = self.drain();
        match self.wishes.pop() {
            Some(RecvOutput::Claim(claim)) => claim,
            other => panic!("a claim, and not {other:?}"),
        }
    }

    fn told(&mut self) -> Commit {
        let _ = self.drain();
        match self.wishes.pop() {
            Some(RecvOutput::Commit(commit)) => commit,
            other => panic!("a commit, and not {other:?}"),
        }
    }

    fn claimed(&mut self, claim: &Claim, result: Result<Claimed, ClaimError>) {
        self.feed(RecvInput::Claimed { delivery: claim.delivery, result });
    }

    fn grant(&mut self, claim: &Claim, token: u64) {
        self.claimed(claim, Ok(Claimed::Granted { token: ClaimToken::new(token), place: None }));
    }

    /// A signed request that has a place in the line of `key`.
    fn placed(&mut self, exchange: u64, id: &str, place: u64, previous: u64) {
        let mut head = signed(id, self.now.wall);
        head.headers.insert(standard::KEY, HeaderValue::from_static("order-1"));
        head.headers.insert(standard::SEQUENCE, HeaderValue::from(place));
        if previous > 0 {
            head.headers.insert(standard::PREVIOUS_SEQUENCE, HeaderValue::from(previous));
        }
        self.head(exchange, head);
        self.body(exchange, BODY);
    }

    /// The ids of what was delivered since the last call, with a star where it is late.
    fn delivered(&mut self) -> Vec<alloc::string::String> {
        let _ = self.drain();
        let star = |delivery: &Delivery| if delivery.is_late() { "*" } else { "" };
        self.deliveries.iter().map(|one| format!("{}{}", one.webhook_id(), star(one))).collect()
    }

    fn done(&mut self, nth: usize) {
        let delivery = self.deliveries[nth].id();
        self.feed(RecvInput::Processed { delivery, result: Processed::Done });
    }
}

#[test]
fn what_is_to_be_stored_is_answered_when_it_is_durable_and_by_nothing_else() {
    let mut bench = stored();
    bench.request(1, "a");
    let _ = bench.drain();
    let delivery = bench.deliveries[0].id();
    bench.processed(Processed::Done);
    assert_eq!(bench.answered(), [], "the application's word is not enough");
    assert_eq!(bench.machine.stats().stale, 1);
    bench.feed(RecvInput::Stored { delivery, result: Ok(()) });
    assert_eq!(bench.answered(), [(1, 202, Reason::Queued)]);
    bench.request(2, "a");
    assert_eq!(bench.answered(), [(2, 202, Reason::Queued)], "it is known");

    bench.request(3, "b");
    let _ = bench.drain();
    let delivery = bench.deliveries[1].id();
    bench.feed(RecvInput::Stored { delivery, result: Err(NotStored::after(Duration::from_secs(7))) });
    assert_eq!(bench.answered(), [(3, 503, Reason::Later { after: Duration::from_secs(7) })]);
    bench.request(4, "b");
    let _ = bench.drain();
    assert_eq!(bench.deliveries.len(), 3, "it is free");
}

#[test]
fn nothing_is_stored_that_is_to_be_processed() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    let _ = bench.drain();
    let delivery = bench.deliveries[0].id();
    bench.feed(RecvInput::Stored { delivery, result: Ok(()) });
    assert_eq!((bench.answered(), bench.machine.stats().stale), (Vec::new(), 1));
}

#[test]
fn an_event_is_delivered_after_its_claim_and_answered_after_its_commit() {
    let mut bench = claiming();
    bench.request(1, "a");
    let claim = bench.asked();
    assert_eq!((&*claim.key, &claim.said, &claim.replay_of), ("0/id/a", &None, &None));
    assert_eq!((claim.signed, claim.lease), (bench.now.wall, Duration::from_secs(60)));
    assert!(bench.deliveries.is_empty());
    bench.grant(&claim, 9);
    let _ = bench.drain();
    bench.request(2, "a");
    bench.processed(Processed::Done);
    let commit = bench.told();
    assert_eq!((&*commit.key, commit.token.get(), commit.ending), ("0/id/a", 9, Ending::Done));
    assert_eq!(bench.answered(), []);
    bench.request(3, "a");
    bench.feed(RecvInput::Committed { delivery: commit.delivery, result: Ok(()) });
    let all = [(1, 204, Reason::Processed), (2, 204, Reason::Processed), (3, 204, Reason::Processed)];
    assert_eq!(bench.answered(), all);
    assert_eq!((bench.machine.in_progress(), bench.machine.remembered()), (0, 1));
}

#[test]
fn what_others_have_is_not_delivered() {
    let mut bench = claiming();
    bench.request(1, "a");
    let claim = bench.asked();
    bench.claimed(&claim, Ok(Claimed::Over(Ending::Refused)));
    assert_eq!(bench.answered(), [(1, 400, Reason::Refused)]);
    bench.request(2, "b");
    let claim = bench.asked();
    bench.claimed(&claim, Ok(Claimed::Held { lease: Duration::from_secs(9) }));
    assert_eq!(bench.answered(), [(2, 503, Reason::Elsewhere)]);
    bench.request(3, "b");
    let claim = bench.asked();
    bench.claimed(&claim, Err(ClaimError::Unavailable { why: "no network".into() }));
    assert_eq!(bench.answered(), [(3, 503, Reason::NoClaim)]);
    let told: Vec<_> = bench.notices.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["b: delivery-3 is not begun: the store of claims cannot be asked: no network"]);
    assert!(bench.deliveries.is_empty() && bench.machine.in_progress() == 0);
}

#[test]
fn a_commit_that_fails_is_told_and_changes_no_answer() {
    let mut bench = claiming();
    bench.request(1, "a");
    let claim = bench.asked();
    bench.grant(&claim, 1);
    let _ = bench.drain();
    bench.processed(Processed::Done);
    let commit = bench.told();
    bench.feed(RecvInput::Committed { delivery: commit.delivery, result: Err(ClaimError::Lost) });
    assert_eq!(bench.answered(), [(1, 204, Reason::Processed)]);
    assert!(matches!(&bench.notices[..], [RecvNotice::NotClaimed { ended: true, .. }]), "{:?}", bench.notices);

    // One that is not answered at all does not hold its sender for ever.
    bench.request(2, "b");
    let claim = bench.asked();
    bench.grant(&claim, 2);
    let _ = bench.drain();
    bench.processed(Processed::Done);
    let commit = bench.told();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.answered(), [(2, 204, Reason::Processed)]);
    bench.feed(RecvInput::Committed { delivery: commit.delivery, result: Ok(()) });
    assert_eq!(bench.answered(), []);
}

#[test]
fn a_claim_that_is_granted_too_late_is_released() {
    let mut bench = claiming();
    bench.request(1, "a");
    let claim = bench.asked();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.answered(), [(1, 503, Reason::TimedOut)]);
    bench.machine.close(bench.now);
    assert_eq!(bench.drain(), Wake::Input, "the store has yet to answer");
    bench.grant(&claim, 5);
    assert_eq!(bench.drain(), Wake::Closed);
    assert!(matches!(&bench.wishes[..], [RecvOutput::Release(release)] if release.token.get() == 5));
}

#[test]
fn what_is_wanted_again_is_released_and_what_ends_late_is_committed() {
    let mut bench = claiming();
    bench.request(1, "a");
    let claim = bench.asked();
    bench.grant(&claim, 1);
    let _ = bench.drain();
    bench.processed(Processed::Later { after: None });
    let _ = bench.drain();
    assert!(matches!(bench.wishes.pop(), Some(RecvOutput::Release(release)) if release.token.get() == 1));
    bench.request(2, "a");
    let claim = bench.asked();
    bench.grant(&claim, 2);
    let _ = bench.drain();
    bench.pass(Duration::from_secs(30));
    let _ = bench.drain();
    assert!(bench.wishes.is_empty(), "it may still end");
    bench.processed(Processed::Done);
    assert_eq!((bench.told().token.get(), bench.machine.stats().late), (2, 1));
}

#[test]
fn what_comes_too_early_waits_unanswered_for_what_is_before_it() {
    let mut bench = ordered(Order::by_headers());
    bench.placed(1, "c", 30, 20);
    bench.placed(2, "b", 20, 10);
    assert_eq!(bench.delivered(), [""; 0]);
    bench.placed(3, "a", 10, 0);
    assert_eq!(bench.delivered(), ["a"]);
    bench.done(0);
    assert_eq!(bench.delivered(), ["a", "b"]);
    bench.done(1);
    assert_eq!(bench.delivered(), ["a", "b", "c"]);
    bench.done(2);
    let answers: Vec<_> = bench.answered().into_iter().map(|(exchange, status, _)| (exchange, status)).collect();
    assert_eq!(answers, [(3, 204), (2, 204), (1, 204)]);
    assert!(bench.notices.is_empty());
}

#[test]
fn a_gap_is_told_and_passed_and_what_comes_after_it_is_late() {
    let mut bench = ordered(Order::by_headers().hold(Duration::from_secs(3)));
    bench.placed(1, "a", 10, 0);
    let _ = bench.drain();
    bench.done(0);
    bench.placed(2, "c", 30, 20);
    assert_eq!(bench.drain(), Wake::At(bench.now.mono.saturating_add(Duration::from_secs(3))));
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.delivered(), ["a", "c"]);
    let told: Vec<_> = bench.notices.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["c: at 30 of 0/line/order-1 nothing has come since 10, and it is delivered"]);
    bench.done(1);
    bench.placed(3, "b", 20, 10);
    assert_eq!(bench.delivered(), ["a", "c", "b*"]);
    assert_eq!((bench.machine.stats().gaps, bench.machine.stats().out_of_order), (1, 1));
}

#[test]
fn late_ones_are_answered_as_done_where_they_are_dropped() {
    let version = |delivery: &Delivery| delivery.headers().get(standard::SEQUENCE)?.to_str().ok()?.parse().ok();
    let order = Order::by_version(move |delivery| Some(("all".into(), version(delivery)?))).drop_late();
    let mut bench = ordered(order);
    bench.placed(1, "b", 20, 0);
    assert_eq!(bench.delivered(), ["b"]);
    bench.placed(2, "a", 10, 0);
    bench.placed(3, "c", 30, 0);
    assert_eq!(bench.delivered(), ["b"], "one at a time");
    bench.done(0);
    assert_eq!(bench.delivered(), ["b", "c"]);
    let answers = bench.answered();
    assert_eq!(answers[..], [(1, 204, Reason::Processed), (2, 204, Reason::Late)]);
    bench.placed(4, "a", 10, 0);
    assert_eq!(bench.answered(), [(4, 204, Reason::Repeat)]);
}

#[test]
fn what_is_held_takes_no_credit_and_too_many_are_not() {
    let mut bench = ordered(Order::by_headers().held(1, 2));
    bench.feed(RecvInput::Credit(1));
    bench.placed(1, "c", 30, 20);
    assert_eq!(bench.delivered(), [""; 0]);
    bench.placed(2, "a", 10, 0);
    assert_eq!(bench.delivered(), ["a"]);
    bench.placed(3, "d", 40, 30);
    assert_eq!(bench.answered(), [(3, 503, Reason::NoCredit)]);
    bench.feed(RecvInput::Credit(2));
    bench.placed(4, "d", 40, 30);
    assert_eq!(bench.answered(), [(4, 503, Reason::TooManyHeld)]);
}

#[test]
fn a_machine_that_closes_lets_nobody_wait_for_a_turn() {
    let mut bench = ordered(Order::by_headers());
    bench.placed(1, "b", 20, 10);
    assert_eq!(bench.delivered(), [""; 0]);
    bench.machine.close(bench.now);
    assert_eq!(bench.answered(), [(1, 503, Reason::Closing)]);
    assert_eq!(bench.drain(), Wake::Closed);
}

#[test]
fn the_store_remembers_the_last_place_of_a_line() {
    let mut bench =
        Bench::with(ReceiverConfig::new(verifier()).claims(Duration::from_secs(60)).order(Order::by_headers()));
    bench.placed(1, "b", 20, 10);
    let claim = bench.asked();
    assert_eq!(claim.line.as_deref(), Some("0/line/order-1"));
    bench.claimed(&claim, Ok(Claimed::Granted { token: ClaimToken::new(1), place: Some(10) }));
    assert_eq!(bench.delivered(), ["b"]);
    bench.done(0);
    let commit = bench.told();
    assert_eq!(commit.place, Some(("0/line/order-1".into(), 20)));
}

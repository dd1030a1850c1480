//! How deliveries stand, from the outside.

use alloc::string::ToString;
use core::time::Duration;

use super::*;
use crate::event::Event;
use crate::registration::{Endpoint, Ordering};
use crate::response::Reply;
use crate::retry::Rate;
use crate::secret::Secret;
use crate::sender::consent::tests::Rig;
use crate::sender::{Config, Input, Transmit};

const MINUTE: Duration = Duration::from_secs(60);

fn key() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

fn id(name: &str) -> EventId {
    EventId::new(name).unwrap()
}

fn acme() -> Endpoint {
    let endpoint = Endpoint::new("acme", "https://acme.example.com/").events(["order.*"]).concurrency(1);
    endpoint.signing_key(Secret::from_bytes([7; 32]).unwrap()).schedule([Duration::ZERO, MINUTE, MINUTE])
}

/// With this endpoint, and an event of which the first attempt is in flight.
fn rig(endpoint: Endpoint) -> (Rig, Transmit) {
    let mut rig = Rig::new(Config::new());
    rig.sender.put(rig.now, endpoint).unwrap();
    publish(&mut rig, "one");
    let mut found = rig.drain();
    assert_eq!(found.len(), 1);
    (rig, found.remove(0))
}

fn publish(rig: &mut Rig, name: &str) {
    rig.sender.publish(rig.now, Event::json("order.paid", &1).unwrap().id(name).key("k")).unwrap();
}

fn of(rig: &Rig, event: &str) -> DeliveryExplanation {
    rig.sender.explain_delivery(&key(), &id(event)).expect("it is known")
}

fn failed(rig: &mut Rig, transmit: &Transmit, status: u16) {
    rig.answer(transmit, Ok(Reply::new(status)));
    assert!(rig.drain().is_empty());
}

#[test]
fn from_the_first_attempt_to_the_last() {
    let (mut rig, first) = rig(acme());
    rig.wait(Duration::from_secs(2));
    let told = of(&rig, "one");
    assert_eq!(told.because, Because::Attempt { number: 1, since: Duration::from_secs(2) });
    assert_eq!((told.fate, told.attempts, told.schedule, told.next), (Fate::InFlight, 0, 3, None));
    assert!(told.after.is_some_and(|after| after >= MINUTE), "{told}");

    failed(&mut rig, &first, 500);
    let told = of(&rig, "one");
    assert_eq!((&told.because, told.last), (&Because::Schedule { failed: 1 }, Some(Ok(500))));
    let Fate::Waiting { rest } = told.fate else { panic!("{told}") };
    assert!((MINUTE..=MINUTE * 6 / 5).contains(&rest) && told.next == Some(rig.now.wall.saturating_add(rest)));
    let text = told.to_string();
    for part in ["one to acme: waiting 6", "attempt 1 failed, and the next is not due yet", "the last one brought 500"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        text.contains("\nnext: not before 20") && text.contains("\nwhat would change it: a status of 2xx"),
        "{text}"
    );

    rig.wait(MINUTE * 2);
    let second = rig.drain().remove(0);
    assert_eq!(of(&rig, "one").attempts, 1, "those that have ended");
    rig.answer(&second, Err(TransportError::ConnectRefused));
    assert!(rig.drain().is_empty());
    assert_eq!(of(&rig, "one").last, Some(Err(TransportError::ConnectRefused)));
    assert!(of(&rig, "one").to_string().contains("if that fails: it is given up"));
    rig.wait(MINUTE * 2);
    let third = rig.drain().remove(0);
    failed(&mut rig, &third, 404);
    let told = of(&rig, "one");
    assert_eq!((told.fate, &told.because, told.attempts), (Fate::Exhausted, &Because::Ended, 3));
    assert_eq!((told.last, told.next, told.after), (Some(Ok(404)), None, None));
    assert!(told.to_string().starts_with("one to acme: exhausted\nattempts: 3 of 3"), "{told}");
}

#[test]
fn each_rule_says_that_it_is_the_one() {
    let (mut rig, first) = rig(acme());
    publish(&mut rig, "two");
    rig.drain();
    let told = |rig: &Rig| of(rig, "one").because;
    assert_eq!(of(&rig, "two").because, Because::Concurrency { in_flight: 1 });
    rig.answer(&first, Ok(Reply::new(429).header("retry-after", b"300")));
    rig.drain();
    let Because::Throttled { rest } = told(&rig) else { panic!("{}", told(&rig)) };
    assert_eq!(rest, Duration::from_secs(300));
    assert_eq!(of(&rig, "one").fate, Fate::Waiting { rest });

    rig.sender.pause(rig.now, &key()).unwrap();
    rig.drain();
    assert!(matches!(told(&rig), Because::State { state: State::Paused { .. }, reason: Some(_) }));
    assert!(of(&rig, "one").to_string().contains("held, because the endpoint was paused"), "{}", of(&rig, "one"));
    assert_eq!(of(&rig, "one").next, None, "not by itself");
    rig.sender.resume(rig.now, &key()).unwrap();
    rig.sender.cancel(rig.now, &key().tenant, &id("one")).unwrap();
    assert_eq!(told(&rig), Because::Cancelled);
    rig.drain();
    assert_eq!(of(&rig, "one").fate, Fate::Discarded);
}

#[test]
fn order_rate_and_turns() {
    let (mut rig, first) = rig(acme().ordering(Ordering::Strict).rate(Rate::per_minute(1).unwrap()));
    publish(&mut rig, "two");
    rig.drain();
    rig.answer(&first, Ok(Reply::new(500)));
    rig.drain();
    let told = of(&rig, "two");
    assert_eq!(told.because, Because::Order { key: "k".into(), behind: Some(id("one")) });
    assert!(told.to_string().contains("one comes before it under the key 'k'"), "{told}");
    rig.sender.cancel(rig.now, &key().tenant, &id("one")).unwrap();
    rig.drain();
    assert!(matches!(of(&rig, "two").because, Because::Rate { .. }), "{}", of(&rig, "two"));
    rig.sender.handle(rig.now, Input::Credit(0));
    rig.wait(MINUTE * 2);
    rig.drain();
    assert_eq!(of(&rig, "two").because, Because::Crowded { by: Scope::Credit, in_flight: 0, most: 0 });
    assert!(rig.sender.explain_delivery(&key(), &id("three")).is_none());
    let nobody = EndpointKey::new("nobody").unwrap();
    assert!(rig.sender.explain_delivery(&nobody, &id("two")).is_none());
}

#[test]
fn bounds_that_are_wider_than_an_endpoint() {
    for by in [Scope::Tenant, Scope::Host] {
        let mut limits = limits::Limits::default();
        match by {
            Scope::Tenant => limits.tenant_in_flight = 1,
            Scope::Host | Scope::Credit => limits.host_in_flight = 1,
        }
        let mut rig = Rig::new(Config::new().limits(limits));
        let delays = [Duration::ZERO, Duration::from_secs(1), MINUTE];
        rig.sender.put(rig.now, acme().concurrency(8).schedule(delays)).unwrap();
        publish(&mut rig, "one");
        let first = rig.drain().remove(0);
        failed(&mut rig, &first, 500);
        publish(&mut rig, "two");
        let second = rig.drain().remove(0);
        rig.wait(Duration::from_secs(2));
        assert!(rig.drain().is_empty(), "{by}: one is in flight");
        let told = of(&rig, "one");
        assert_eq!(told.because, Because::Crowded { by, in_flight: 1, most: 1 }, "{told}");
        rig.answer(&second, Ok(Reply::new(204)));
        assert_eq!(rig.drain().len(), 1);
        assert!(matches!(of(&rig, "one").because, Because::Attempt { number: 2, .. }), "{}", of(&rig, "one"));
    }
}

/// What a snapshot has no place for is not made up.
#[test]
fn after_a_restart_the_count_stays() {
    let (mut rig, first) = rig(acme());
    failed(&mut rig, &first, 500);
    rig.restart();
    rig.drain();
    let told = of(&rig, "one");
    assert_eq!((told.attempts, &told.because), (1, &Because::Schedule { failed: 1 }));
    assert_eq!(told.last, Some(Ok(500)), "the record is still there");
}

//! Replays, from the outside.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::super::consent::tests::Rig;
use super::*;
use crate::limits::Limits;
use crate::registration::quota::{Quota, Quotas};
use crate::registration::{Endpoint, Ordering};
use crate::response::Reply;
use crate::secret::Secret;
use crate::sender::{CommandError, Config, Fate, Notice, OPERATIONAL, Resolver, Transmit};

const N: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new().limits(Limits { snapshot_every: 1, ..Limits::default() })
}

fn endpoint(id: &str) -> Endpoint {
    let endpoint = Endpoint::new(id, alloc::format!("https://{id}.example.com/hooks")).events(["order.*"]);
    endpoint.signing_key(Secret::from_bytes([7; 32]).unwrap())
}

fn rig(endpoints: &[&str]) -> Rig {
    let mut rig = Rig::new(config());
    for id in endpoints {
        rig.sender.put(rig.now, endpoint(id)).unwrap();
    }
    assert!(rig.drain().is_empty());
    rig
}

fn event(id: &str) -> Event {
    Event::json("order.paid", &"paid").unwrap().id(id)
}

fn id(id: &str) -> EventId {
    EventId::new(id).unwrap()
}

fn to(endpoint: &str) -> EndpointId {
    EndpointId::new(endpoint).unwrap()
}

fn key(endpoint: &str) -> EndpointKey {
    EndpointKey::new(endpoint).unwrap()
}

fn again(name: &str, of: &str, endpoint: &str) -> Replay {
    Replay::new(event("unnamed"), name, id(of), to(endpoint), ReplayAs::Same)
}

fn header(transmit: &Transmit, name: &str) -> Option<String> {
    let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
    Some(request.headers().get(name)?.to_str().unwrap().to_string())
}

fn deliver(rig: &mut Rig) -> Vec<Transmit> {
    let sent = rig.drain();
    sent.iter().for_each(|transmit| rig.answer(transmit, Ok(Reply::new(204))));
    let more = rig.drain();
    assert!(more.is_empty());
    sent
}

fn endpoints(sent: &[Transmit]) -> Vec<&str> {
    sent.iter().map(|transmit| transmit.endpoint().id.as_str()).collect()
}

/// An event that has been delivered to both goes once more to the one that is named, under its own id.
#[test]
fn it_goes_to_its_endpoint_alone_and_says_that_it_is_one() {
    let mut rig = rig(&["a", "b"]);
    rig.sender.publish(rig.now, event("order-1")).unwrap();
    assert_eq!(deliver(&mut rig).len(), 2);
    let receipt = rig.sender.replay(rig.now, again("again-1", "order-1", "b")).unwrap();
    assert_eq!((receipt.fresh, receipt.event), (true, id("rpl_again-1")));
    let sent = rig.drain();
    assert_eq!(endpoints(&sent), ["b"]);
    assert_eq!((sent[0].event(), sent[0].replay()), (&id("order-1"), Some(receipt.seq.get())));
    let request = sent[0].clear_by(Resolver::Simulation).unwrap().request();
    assert!(request.body().ends_with(b"\"data\":\"paid\"}"));
    assert_eq!(header(&sent[0], "webhook-id").unwrap(), "order-1");
    assert_eq!(header(&sent[0], "postrider-replay").unwrap(), receipt.seq.get().to_string());
    assert_eq!(header(&sent[0], "postrider-replay-of"), None);
    rig.answer(&sent[0], Ok(Reply::new(204)));
    assert!(rig.drain().is_empty() && rig.sender.is_settled());
    let report = rig.sender.report(&TenantId::default(), &id("rpl_again-1")).unwrap();
    assert_eq!(report.deliveries.iter().map(|delivery| delivery.fate).collect::<Vec<_>>(), [Fate::Delivered]);
}

#[test]
fn with_a_fresh_id_it_names_the_old_one() {
    let mut rig = rig(&["a"]);
    let replay = Replay::new(event("unnamed"), "again-1", id("order-1"), to("a"), ReplayAs::Fresh);
    let receipt = rig.sender.replay(rig.now, replay).unwrap();
    let sent = rig.drain();
    assert_eq!(header(&sent[0], "webhook-id").unwrap(), "rpl_again-1");
    assert_eq!(header(&sent[0], "postrider-replay").unwrap(), receipt.seq.get().to_string());
    assert_eq!(header(&sent[0], "postrider-replay-of").unwrap(), "order-1");
}

#[test]
fn whether_the_endpoint_wants_the_event_does_not_matter() {
    let mut rig = rig(&["a"]);
    let other = Event::json("invoice.sent", &1).unwrap();
    rig.sender.replay(rig.now, Replay::new(other, "again-1", id("invoice-1"), to("a"), ReplayAs::Same)).unwrap();
    assert_eq!(endpoints(&deliver(&mut rig)), ["a"]);
}

/// Nothing leaves before the record is durable.
#[test]
fn it_waits_for_its_record() {
    let mut rig = rig(&["a"]);
    rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    let first = rig.sender.poll_output();
    assert!(matches!(&first, crate::sender::Output::Persist(batch) if batch.is_gating()), "{first:?}");
    assert!(matches!(rig.sender.poll_output(), crate::sender::Output::Wait(_)));
}

/// The same id and content as the first one is no repeat of it, and the same replay is one of itself.
#[test]
fn it_is_repeated_by_its_own_id() {
    let mut rig = rig(&["a", "b"]);
    let first = rig.sender.publish(rig.now, event("order-1")).unwrap();
    assert_eq!(deliver(&mut rig).len(), 2);
    let replay = rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    let repeat = rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    assert_eq!((repeat.seq, repeat.fresh), (replay.seq, false));
    let published = rig.sender.publish(rig.now, event("order-1")).unwrap();
    assert_eq!((published.seq, published.fresh), (first.seq, false));
    assert_eq!(deliver(&mut rig).len(), 1);
    let elsewhere = rig.sender.replay(rig.now, again("again-1", "order-1", "b"));
    assert!(matches!(elsewhere, Err(ReplayRefused::Refused(Refused::Conflict(_)))), "{elsewhere:?}");
    let published = rig.sender.publish(rig.now, event("rpl_again-1"));
    assert!(matches!(published, Err(Refused::Conflict(_))), "{published:?}");
    rig.restart();
    let repeat = rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    assert_eq!((repeat.seq, repeat.fresh), (replay.seq, false));
}

#[test]
fn an_endpoint_that_is_unknown_or_out_of_service_is_refused() {
    let mut rig = rig(&["a"]);
    let unknown = rig.sender.replay(rig.now, again("again-1", "order-1", "x")).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no endpoint x");
    assert_eq!(unknown.into_event().event_id(), Some(&id("rpl_again-1")));
    rig.sender.disable(rig.now, &key("a")).unwrap();
    let disabled = rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap_err();
    assert!(disabled.to_string().ends_with("; resume it first"), "{disabled}");
    let Err(ReplayRefused::NotActive(replay, _)) = rig.sender.replay(rig.now, again("again-1", "order-1", "a")) else {
        panic!("it is still disabled");
    };
    rig.sender.resume(rig.now, &key("a")).unwrap();
    assert!(rig.sender.replay(rig.now, *replay).unwrap().fresh, "what came back is what was given");
    rig.sender.remove(rig.now, &key("a")).unwrap();
    let removed = rig.sender.replay(rig.now, again("again-2", "order-1", "a"));
    assert!(matches!(removed, Err(ReplayRefused::UnknownEndpoint(..))), "{removed:?}");
    assert!(rig.drain().is_empty() && rig.sender.is_settled(), "what waited was discarded");
}

#[test]
fn a_paused_endpoint_gets_it_when_it_is_resumed() {
    let mut rig = rig(&["a"]);
    rig.sender.pause(rig.now, &key("a")).unwrap();
    rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    assert!(rig.drain().is_empty());
    rig.restart();
    assert!(rig.drain().is_empty());
    rig.sender.resume(rig.now, &key("a")).unwrap();
    assert_eq!(deliver(&mut rig).len(), 1);
}

/// One, then two more with each success: the ramp of an endpoint that comes back, begun once however many wait.
#[test]
fn many_are_paced_by_a_ramp() {
    let mut rig = rig(&["a"]);
    for n in 0..20 {
        rig.sender.replay(rig.now, again(&alloc::format!("again-{n}"), &alloc::format!("order-{n}"), "a")).unwrap();
    }
    let mut sizes = Vec::new();
    let mut sent = rig.drain();
    while !sent.is_empty() {
        sizes.push(sent.len());
        sent.iter().for_each(|transmit| rig.answer(transmit, Ok(Reply::new(204))));
        sent = rig.drain();
    }
    assert_eq!(sizes, [1, 2, 8, 8, 1], "doubled with each success, up to 8 at once");
    assert!(rig.sender.is_settled());
}

/// Retries come by the schedule, the payload by a load, and every one says the same.
#[test]
fn it_is_retried_and_read_back_like_any_other() {
    let mut rig = Rig::new(Config::new().limits(Limits { resident: 0, ..Limits::default() }));
    rig.sender.put(rig.now, endpoint("a").schedule([Duration::ZERO, N, N])).unwrap();
    let receipt = rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    for number in 1..=3 {
        let sent = rig.drain();
        assert_eq!(sent.iter().map(Transmit::number).collect::<Vec<_>>(), [number]);
        assert_eq!(header(&sent[0], "webhook-id").unwrap(), "order-1");
        assert_eq!(header(&sent[0], "postrider-replay").unwrap(), receipt.seq.get().to_string());
        rig.answer(&sent[0], Ok(Reply::new(500)));
        assert!(rig.drain().is_empty());
        if number == 2 {
            rig.restart();
            assert!(rig.drain().is_empty());
        }
        rig.wait(2 * N);
    }
    assert!(rig.drain().is_empty() && rig.sender.is_settled());
    assert!(rig.sender.stats().loaded > 0);
    let exhausted = |notice: &Notice| matches!(notice, Notice::Exhausted { event, .. } if *event == id("rpl_again-1"));
    assert_eq!(rig.told.iter().filter(|notice| exhausted(notice)).count(), 1);
}

/// From the records alone and from a snapshot, at any moment: it is owed until it has ended, and to its endpoint alone.
#[test]
fn it_survives_restarts() {
    for from_snapshot in [false, true] {
        let mut rig = rig(&["a", "b"]);
        let restart = |rig: &mut Rig| if from_snapshot { rig.restart_from_snapshot() } else { rig.restart() };
        rig.sender.replay(rig.now, again("again-1", "order-1", "b")).unwrap();
        let replay = Replay::new(event("unnamed"), "again-2", id("order-2"), to("b"), ReplayAs::Fresh);
        rig.sender.replay(rig.now, replay).unwrap();
        assert_eq!(rig.drain().len(), 1, "the ramp");
        for _ in 0..2 {
            restart(&mut rig);
            let sent = rig.drain();
            assert_eq!(endpoints(&sent), ["b"]);
            assert_eq!(header(&sent[0], "webhook-id").unwrap(), "order-1");
            assert!(header(&sent[0], "postrider-replay").is_some());
        }
        restart(&mut rig);
        let sent = rig.drain();
        rig.answer(&sent[0], Ok(Reply::new(204)));
        let sent = rig.drain();
        assert_eq!(header(&sent[0], "postrider-replay-of").unwrap(), "order-2");
        rig.answer(&sent[0], Ok(Reply::new(204)));
        assert!(rig.drain().is_empty());
        restart(&mut rig);
        assert!(rig.drain().is_empty() && rig.sender.is_settled());
    }
}

/// A lane that is held up by an event which fails does not hold up its replay.
#[test]
fn it_stands_in_no_lane() {
    let mut rig = Rig::new(config());
    rig.sender.put(rig.now, endpoint("a").ordering(Ordering::Strict)).unwrap();
    rig.sender.publish(rig.now, event("order-1").key("k")).unwrap();
    let sent = rig.drain();
    assert!(header(&sent[0], "postrider-sequence").is_some());
    rig.answer(&sent[0], Ok(Reply::new(500)));
    let replay = Replay::new(event("unnamed").key("k"), "again-1", id("order-0"), to("a"), ReplayAs::Same);
    rig.sender.replay(rig.now, replay).unwrap();
    let sent = deliver(&mut rig);
    assert_eq!(header(&sent[0], "webhook-id").unwrap(), "order-0");
    assert_eq!(header(&sent[0], "postrider-sequence"), None);
    assert_eq!(rig.sender.pending(), 1);
}

#[test]
fn it_is_cancelled_by_its_own_id_and_erased_with_what_it_sends_again() {
    for from_snapshot in [None, Some(false), Some(true)] {
        let mut rig = rig(&["a"]);
        rig.sender.pause(rig.now, &key("a")).unwrap();
        rig.sender.publish(rig.now, event("order-1")).unwrap();
        for n in ["again-1", "again-2"] {
            rig.sender.replay(rig.now, again(n, "order-1", "a")).unwrap();
        }
        assert!(rig.drain().is_empty());
        match from_snapshot {
            None => {}
            Some(false) => rig.restart(),
            Some(true) => rig.restart_from_snapshot(),
        }
        let tenant = TenantId::default();
        assert!(rig.sender.cancel(rig.now, &tenant, &id("rpl_again-1")).unwrap().changed);
        assert!(rig.drain().is_empty());
        assert_eq!(rig.sender.pending(), 2, "the event itself and its other replay still wait");
        rig.sender.erase(rig.now, &tenant, &id("order-1")).unwrap();
        assert!(rig.drain().is_empty() && rig.sender.is_settled());
        let gone = rig.sender.cancel(rig.now, &tenant, &id("rpl_again-1"));
        assert_eq!(gone, Err(CommandError::UnknownEvent(id("rpl_again-1"))));
        rig.restart();
        rig.sender.resume(rig.now, &key("a")).unwrap();
        assert!(rig.drain().is_empty());
    }
}

#[test]
fn an_operational_event_that_is_sent_again_makes_no_other() {
    let mut rig = Rig::new(Config::new().operational_events(true));
    let all = endpoint("a").events(["**"]).schedule([Duration::ZERO]);
    rig.sender.put(rig.now, all).unwrap();
    let of = id(&alloc::format!("{OPERATIONAL}1"));
    rig.sender.replay(rig.now, Replay::new(event("unnamed"), "again-1", of, to("a"), ReplayAs::Fresh)).unwrap();
    let sent = rig.drain();
    rig.answer(&sent[0], Ok(Reply::new(500)));
    assert!(rig.drain().is_empty() && rig.sender.is_settled());
}

#[test]
fn it_counts_against_the_quota_of_its_tenant_until_it_has_ended() {
    let quotas = Quotas::default().pending(1);
    let mut rig = Rig::new(Config::new().quotas(quotas));
    rig.sender.put(rig.now, endpoint("a")).unwrap();
    rig.sender.replay(rig.now, again("again-1", "order-1", "a")).unwrap();
    let refused = rig.sender.replay(rig.now, again("again-2", "order-1", "a")).unwrap_err();
    let is_pending = |why: &Refused| matches!(why, Refused::Quota(_, why) if why.quota == Quota::Pending);
    assert!(refused.is_temporary() && matches!(&refused, ReplayRefused::Refused(why) if is_pending(why)), "{refused}");
    assert_eq!(deliver(&mut rig).len(), 1);
    assert!(rig.sender.replay(rig.now, again("again-2", "order-1", "a")).unwrap().fresh);
}

//! The whole sender, over real sockets.

use std::io::Write;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{self, Close, Config, DeliveryReport, Fate, Life, Notice, Refused};
use postrider_core::signing::standard::Verifier;
use postrider_driver::{Clock, Resolver};
use postrider_journal::MemoryLog;

use super::{Peer, SOON, https, request, tls_peer, trust};
use crate::{
    Builder, CommandError, Endpoint, Error, Event, Heard, MachineCommand, Policy, PublishError, PutError, Sender,
    SettledError, run_machine,
};

fn builder() -> Builder {
    Sender::builder().policy(Policy::development())
}

fn event(id: impl AsRef<str>) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": 1001 })).unwrap().id(id)
}

fn id(name: &str) -> EventId {
    EventId::new(name).unwrap()
}

/// A peer that answers every request of a connection like this.
fn keeping(answer: &'static str) -> Peer {
    Peer::new(move |mut stream| while request(&mut stream).is_some() && stream.write_all(answer.as_bytes()).is_ok() {})
}

fn silent() -> Peer {
    Peer::new(|mut stream| {
        request(&mut stream);
        thread::sleep(SOON * 2);
    })
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const NO: &str = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";

#[test]
fn an_event_is_delivered_under_a_minted_secret() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let peer = Peer::new(move |mut stream| {
        tell.lock().unwrap().send(request(&mut stream).unwrap()).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let sender = builder().volatile().unwrap();
    let acme = sender.put(Endpoint::new("acme", peer.url()).events(["order.**"])).unwrap();
    let receipt = sender.publish(event("order-1001-paid")).unwrap();
    assert_eq!(receipt.to_string(), "accepted order-1001-paid, in memory only, 1 endpoint");
    let report = sender.settled_within(receipt.event(), SOON).unwrap();
    assert!(report.settled);
    assert!(report.to_string().starts_with("acme: delivered, 204 in "), "{report}");
    let request = told.recv().unwrap();
    let verifier = Verifier::new([acme.created().unwrap()]).unwrap();
    let verified = verifier.verify(&request.headers, &request.body, Clock::start().now().wall).unwrap();
    assert_eq!(verified.id(), "order-1001-paid");
    let page = sender.endpoints(&TenantId::default(), None, 10).unwrap();
    assert_eq!(page.items.len(), 1);
    assert!(sender.explain(&event("x"), None, 10).unwrap().items[0].is_told());
    sender.close(SOON).unwrap();
}

#[test]
fn over_tls() {
    let (peer, root) = tls_peer(&["localhost"]);
    let sender = builder().roots(trust(&root)).volatile().unwrap();
    sender.put(Endpoint::new("acme", https("localhost", &peer))).unwrap();
    let receipts = sender.publish_all((0..20).map(|n| event(format!("e{n}"))));
    for receipt in receipts {
        let report = sender.settled(receipt.unwrap().event()).unwrap();
        assert_eq!(report.deliveries[0].fate, Fate::Delivered, "{report}");
    }
    // At most 8 attempts at once, 2 connections kept in between.
    assert!(peer.accepted() < 20, "{}", peer.accepted());
}

/// Eight names lead to one address, and two attempts at a time may be there.
#[test]
fn many_names_of_one_address_share_its_bound() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, peak) = (Arc::clone(&now), Arc::clone(&most));
    let peer = Peer::new(move |mut stream| {
        request(&mut stream).unwrap();
        peak.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        counter.fetch_sub(1, Ordering::SeqCst);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    });
    let resolver = Resolver::by(|_, _| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let builder = builder().resolver(resolver).concurrency_per_address(NonZeroU32::new(2).unwrap());
    let sender = builder.volatile().unwrap();
    for number in 0..8 {
        let url = format!("http://n{number}.example:{}/", peer.addr.port());
        sender.put(Endpoint::new(format!("e{number}"), url).schedule([Duration::ZERO])).unwrap();
    }
    let receipts: Vec<_> = ["first", "second"].map(|id| sender.publish(event(id)).unwrap()).into();
    for receipt in &receipts {
        let report = sender.settled_within(receipt.event(), SOON).unwrap();
        assert_eq!(report.tally.delivered, 8, "{report}");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn connections_are_kept() {
    let peer = keeping(OK);
    let sender = builder().volatile().unwrap();
    sender.put(Endpoint::new("acme", peer.url()).concurrency(1)).unwrap();
    for receipt in sender.publish_all((0..50).map(|n| event(format!("e{n}")))) {
        assert!(sender.settled_within(receipt.unwrap().event(), SOON).unwrap().settled);
    }
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn notices_tell_and_end() {
    let peer = keeping(NO);
    let sender = builder().volatile().unwrap();
    let notices = sender.notices().unwrap();
    sender.put(Endpoint::new("acme", peer.url()).schedule([Duration::ZERO, Duration::ZERO])).unwrap();
    sender.publish(event("e")).unwrap();
    let report = sender.settled(&id("e")).unwrap();
    assert_eq!(report.deliveries[0].fate, Fate::Exhausted);
    sender.close(SOON).unwrap();
    let heard: Vec<Notice> = notices.map(Result::unwrap).collect();
    let told = |wanted: fn(&Notice) -> bool| heard.iter().any(wanted);
    assert!(told(|notice| matches!(notice, Notice::Retrying { .. })), "{heard:?}");
    assert!(told(|notice| matches!(notice, Notice::Exhausted { .. })), "{heard:?}");
    assert!(told(|notice| matches!(notice, Notice::Settled { .. })), "{heard:?}");
}

#[test]
fn waiting_has_an_end() {
    let peer = keeping(NO);
    let sender = builder().volatile().unwrap();
    sender.put(Endpoint::new("acme", peer.url())).unwrap();
    sender.publish(event("e")).unwrap();
    let report = sender.settled_within(&id("e"), Duration::from_millis(200)).unwrap();
    assert!(!report.settled);
    assert!(matches!(report.deliveries[0].fate, Fate::Waiting { .. }), "{report}");
    assert!(matches!(sender.settled(&id("unknown")), Err(SettledError::Unknown(_))));
    let waiting = sender.clone();
    let waiter = thread::spawn(move || waiting.settled(&id("e")));
    thread::sleep(Duration::from_millis(50));
    sender.close(SOON).unwrap();
    assert!(matches!(waiter.join().unwrap(), Err(SettledError::Closed(_))));
}

#[test]
fn commands_are_obeyed() {
    let peer = keeping(OK);
    let sender = builder().volatile().unwrap();
    let (acme, nobody) = (EndpointKey::new("acme").unwrap(), EndpointKey::new("nobody").unwrap());
    sender.put(Endpoint::new("acme", peer.url())).unwrap();
    assert!(sender.pause(&acme).unwrap().changed);
    sender.publish(event("held")).unwrap();
    assert!(!sender.settled_within(&id("held"), Duration::from_millis(100)).unwrap().settled);
    assert_eq!(peer.accepted(), 0);
    sender.resume(&acme).unwrap();
    assert!(sender.settled_within(&id("held"), SOON).unwrap().settled);
    assert!(matches!(sender.pause(&nobody), Err(CommandError::Refused(_))));
    sender.pause(&acme).unwrap();
    sender.publish(event("dropped")).unwrap();
    sender.cancel(&TenantId::default(), &id("dropped")).unwrap();
    assert_eq!(sender.settled(&id("dropped")).unwrap().tally.discarded, 1);
    let more = Secret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    sender.add_key(&acme, more.clone()).unwrap();
    assert_eq!(sender.endpoint(&acme).unwrap().unwrap().keys.len(), 2);
    sender.revoke_key(&acme, more.id()).unwrap();
    assert_eq!(sender.endpoint(&acme).unwrap().unwrap().keys.len(), 1);
    sender.remove(&acme).unwrap();
    let told = sender.publish(event("nobody")).unwrap();
    assert_eq!(told.to_string(), "accepted nobody, in memory only, no endpoint wants it");
}

#[test]
fn removing_an_endpoint_frees_its_socket() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let peer = Peer::new(move |mut stream| {
        request(&mut stream);
        tell.lock().unwrap().send("asked").unwrap();
        request(&mut stream);
        tell.lock().unwrap().send("hung up").unwrap();
    });
    let sender = builder().volatile().unwrap();
    sender.put(Endpoint::new("acme", peer.url())).unwrap();
    sender.publish(event("e")).unwrap();
    assert_eq!(told.recv_timeout(SOON), Ok("asked"));
    let start = Instant::now();
    sender.remove(&EndpointKey::new("acme").unwrap()).unwrap();
    assert_eq!(told.recv_timeout(SOON), Ok("hung up"));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert_eq!(sender.settled(&id("e")).unwrap().tally.discarded, 1);
}

#[test]
fn closing_waits_for_attempts_and_then_stops_them() {
    let slow = Peer::new(|mut stream| {
        request(&mut stream);
        thread::sleep(Duration::from_millis(300));
        let _ = stream.write_all(OK.as_bytes());
    });
    for (peer, time, most) in [(slow, SOON, Duration::from_secs(2)), (silent(), Duration::from_millis(100), SOON)] {
        let sender = builder().volatile().unwrap();
        sender.put(Endpoint::new("acme", peer.url())).unwrap();
        sender.publish(event("e")).unwrap();
        while peer.accepted() == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        let start = Instant::now();
        sender.close(time).unwrap();
        assert!(start.elapsed() < most, "{:?}", start.elapsed());
        sender.close(Duration::ZERO).unwrap();
    }
}

#[test]
fn after_the_end_everything_comes_back() {
    let sender = builder().volatile().unwrap();
    sender.close(Duration::ZERO).unwrap();
    match sender.publish(event("e")) {
        Err(PublishError::Refused(Refused::Closed(event))) => assert_eq!(event.event_id(), Some(&id("e"))),
        other => panic!("{other:?}"),
    }
    let put = sender.put(Endpoint::new("acme", "https://acme.example/"));
    assert_eq!(put.err().and_then(PutError::into_endpoint).unwrap().name(), "acme");
    let acme = EndpointKey::new("acme").unwrap();
    assert_eq!(sender.pause(&acme), Err(CommandError::Refused(sender::CommandError::Closed)));
    assert!(matches!(sender.stats(), Err(Error::Stopped)));
}

#[test]
fn the_last_handle_closes() {
    let peer = silent();
    let sender = builder().volatile().unwrap();
    let notices = sender.notices().unwrap();
    sender.put(Endpoint::new("acme", peer.url())).unwrap();
    sender.publish(event("e")).unwrap();
    assert_eq!(notices.next_within(Duration::from_millis(10)), Heard::Nothing);
    drop(sender);
    assert_eq!(notices.next_within(SOON), Heard::Over);
}

#[test]
fn threads_are_made_for_attempts_at_most_as_many_as_may_be() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let now = Arc::new(Mutex::new((0, 0)));
    let counted = Arc::clone(&now);
    let peer = Peer::new(move |mut stream| {
        while request(&mut stream).is_some() {
            let mut count = counted.lock().unwrap();
            count.0 += 1;
            count.1 = count.1.max(count.0);
            drop(count);
            thread::sleep(Duration::from_millis(20));
            counted.lock().unwrap().0 -= 1;
            stream.write_all(OK.as_bytes()).unwrap();
            tell.lock().unwrap().send(()).unwrap();
        }
    });
    let sender = builder().concurrency(3).volatile().unwrap();
    sender.put(Endpoint::new("acme", peer.url())).unwrap();
    for receipt in sender.publish_all((0..30).map(|n| event(format!("e{n}")))) {
        receipt.unwrap();
    }
    for _ in 0..30 {
        told.recv_timeout(SOON).unwrap();
    }
    assert_eq!(now.lock().unwrap().1, 3);
}

#[test]
fn it_sleeps_when_nothing_is_due() {
    let peer = keeping(NO);
    let sender = builder().volatile().unwrap();
    for n in 0..20 {
        let far = [Duration::ZERO, Duration::from_secs(100 + n)];
        sender.put(Endpoint::new(format!("e{n}"), peer.url()).schedule(far)).unwrap();
    }
    sender.publish(event("e")).unwrap();
    let waits = |delivery: &DeliveryReport| matches!(delivery.fate, Fate::Waiting { .. });
    let all_wait = || {
        let report = sender.report(&TenantId::default(), &id("e")).unwrap().unwrap();
        report.deliveries.iter().filter(|delivery| waits(delivery)).count() == 20
    };
    let deadline = Instant::now() + SOON;
    while !all_wait() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(100));
    let before = sender.stats().unwrap().waits;
    thread::sleep(Duration::from_secs(3));
    let waits = sender.stats().unwrap().waits - before;
    assert!(waits <= 6, "{waits} times awake in 3 s");
    assert!(all_wait());
}

#[test]
fn a_machine_is_driven_and_given_back() {
    let peer = keeping(OK);
    let clock = Clock::start();
    let config = Config::new().policy(Policy::development());
    let machine = sender::Sender::new(config, Seed::from_bytes([7; 32]), clock.now());
    let (tell, commands) = mpsc::channel::<MachineCommand>();
    let thread = thread::spawn(move || run_machine(machine, MemoryLog::new(), clock, &builder(), commands));
    let url = peer.url();
    tell.send(Box::new(move |machine, now| {
        machine.put(now, Endpoint::new("acme", url).secret(super::SECRET)).unwrap();
        machine.publish(now, event("e")).unwrap();
    }))
    .unwrap();
    let deadline = Instant::now() + SOON;
    let (settled, is_settled) = mpsc::channel();
    loop {
        let settled = settled.clone();
        tell.send(Box::new(move |machine, _| settled.send(machine.is_settled()).unwrap())).unwrap();
        if is_settled.recv().unwrap() {
            break;
        }
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    tell.send(Box::new(|machine, now| machine.close(now, Close::Drain))).unwrap();
    let machine = thread.join().unwrap();
    assert_eq!((machine.life(), machine.stats().tally.delivered), (Life::Closed, 1));
}

//! The rules one by one.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::bench::Bench;
use super::{BODY, SECRET, signed, verifier};
use crate::receiver::*;
use crate::secret::Secret;
use crate::time::Instant;

#[test]
fn what_is_signed_is_delivered_and_answered_when_it_is_done() {
    let mut bench = Bench::new(|_| {});
    bench.head(1, signed("a", bench.now.wall).declared_length(BODY.len() as u64));
    assert_eq!(bench.drain(), Wake::Input);
    assert_eq!(bench.reads, [ExchangeId::new(1)]);
    bench.body(1, BODY);
    assert_eq!(bench.answered(), [], "nothing is answered before the application has said so");
    let delivery = &bench.deliveries[0];
    assert_eq!((delivery.webhook_id(), &delivery.body()[..], delivery.path()), ("a", BODY, Some("/hooks")));
    assert_eq!(delivery.key(), Secret::from_bytes(SECRET).unwrap().id());
    assert_eq!(delivery.timestamp(), Some(bench.now.wall));
    assert_eq!(delivery.headers().len(), 3);
    bench.processed(Processed::Done);
    assert_eq!(bench.answered(), [(1, 204, Reason::Processed)]);
    assert_eq!((bench.machine.exchanges(), bench.machine.in_progress(), bench.machine.remembered()), (0, 0, 1));
}

#[test]
fn each_success_has_its_status() {
    for (success, status) in
        [(Success::Ok, 200), (Success::Created, 201), (Success::Accepted, 202), (Success::NoContent, 204)]
    {
        let mut bench = Bench::new(|_| {});
        bench.machine = Receiver::new(ReceiverConfig::new(verifier()).success(success), bench.now);
        bench.request(1, "a");
        let _ = bench.drain();
        bench.processed(Processed::Done);
        bench.request(2, "a");
        assert_eq!(bench.answered(), [(1, status, Reason::Processed), (2, status, Reason::Repeat)]);
    }
}

#[test]
fn a_head_is_judged_before_a_byte_of_its_body() {
    let mut bench = Bench::new(|limits| limits.body = 100);
    bench.head(1, RequestHead::new(Method::GET, HeaderMap::new()).declared_length(1 << 60));
    bench.head(2, signed("a", bench.now.wall).declared_length(101));
    bench.head(3, signed("a", bench.now.wall).declared_length(u64::MAX));
    bench.head(4, signed("a", bench.now.wall).declared_length(100));
    let answers = [(1, 405, Reason::Method), (2, 413, Reason::TooLarge), (3, 413, Reason::TooLarge)];
    assert_eq!(bench.answered(), answers);
    assert_eq!(bench.reads, [ExchangeId::new(4)]);
    let refused = bench.machine.stats().refused;
    assert_eq!((refused.method, refused.too_large), (1, 2));
}

#[test]
fn answers_carry_what_their_status_demands() {
    let mut bench = Bench::new(|_| {});
    bench.feed(RecvInput::Credit(0));
    bench.head(1, RequestHead::new(Method::PUT, HeaderMap::new()));
    bench.head(2, signed("a", bench.now.wall));
    let _ = bench.drain();
    let headers = |at: usize| bench.answers[at].headers().map(|(name, value)| format!("{name}: {value:?}"));
    assert_eq!(headers(0).collect::<Vec<_>>(), ["allow: \"POST\"", "content-type: \"text/plain\""]);
    assert_eq!(headers(1).collect::<Vec<_>>(), ["retry-after: \"5\"", "content-type: \"text/plain\""]);
    let later = Response {
        exchange: ExchangeId::new(3),
        reason: Reason::Later { after: Duration::from_millis(61_001) },
        success: Success::Ok,
        signer: None,
    };
    assert!(later.headers().any(|(name, value)| name == "retry-after" && value == "62"), "never early");
    let done = Response { reason: Reason::Processed, ..later };
    assert_eq!((done.headers().count(), done.body()), (0, ""));
    let key = Secret::from_bytes([7; 32]).unwrap().id();
    let named: Vec<_> = Response { signer: Some(Signer { key, receipt: None }), ..done }.headers().collect();
    assert_eq!((named[0].0.as_str(), named[0].1.to_str().unwrap()), ("postrider-key-used", &*format!("{key}")));
}

#[test]
fn a_body_that_turns_out_too_long_is_answered_413() {
    let mut bench = Bench::new(|limits| limits.body = 4);
    bench.head(1, signed("a", bench.now.wall));
    bench.feed(RecvInput::BodyTooLarge { exchange: ExchangeId::new(1) });
    bench.head(2, signed("a", bench.now.wall));
    bench.body(2, b"12345");
    assert_eq!(bench.answered(), [(1, 413, Reason::TooLarge), (2, 413, Reason::TooLarge)]);
    assert!(bench.reads.is_empty(), "what has been answered is not read");
}

#[test]
fn what_is_not_verified_is_answered_alike_and_noted_exactly() {
    let mut bench = Bench::new(|_| {});
    bench.head(1, RequestHead::new(Method::POST, HeaderMap::new()));
    bench.body(1, BODY);
    bench.head(2, signed("a", bench.now.wall));
    bench.body(2, b"{\"canary\":\"9d1d\"}");
    bench.head(3, signed("a", bench.now.wall.saturating_sub(Duration::from_secs(301))));
    bench.body(3, BODY);
    let _ = bench.drain();
    let bodies: BTreeSet<_> = bench.answers.iter().map(Response::body).collect();
    assert_eq!(bodies.len(), 1);
    let answers = [(1, 400, Reason::Malformed), (2, 401, Reason::Unverified), (3, 401, Reason::Unverified)];
    assert_eq!(bench.answered(), answers);
    let whys: Vec<String> = bench.notices.iter().map(|notice| format!("{notice}")).collect();
    assert!(whys[0].contains("webhook-id is missing") && whys[1].contains("none of 1") && whys[2].contains("301s"));
    assert!(bench.deliveries.is_empty() && bench.machine.stats().refused.unverified == 3);
}

#[test]
fn repeats_wait_for_the_delivery_in_progress() {
    let mut bench = Bench::new(|limits| limits.waiters = 3);
    for exchange in 1..=4 {
        bench.request(exchange, "a");
    }
    assert_eq!(bench.answered(), [(4, 503, Reason::TooManyWaiters)]);
    bench.feed(RecvInput::Dropped(ExchangeId::new(1)));
    bench.request(5, "a");
    bench.processed(Processed::Done);
    let done = |exchange| (exchange, 204, Reason::Processed);
    assert_eq!(bench.answered(), [done(2), done(3), done(5)]);
    assert_eq!(bench.deliveries.len(), 1);
    let stats = bench.machine.stats();
    assert_eq!((stats.accepted, stats.duplicates, stats.dropped, stats.refused.busy), (1, 4, 1, 1));
}

#[test]
fn an_event_that_is_wanted_later_comes_again() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    bench.request(2, "a");
    let _ = bench.drain();
    let after = Duration::from_secs(90);
    bench.processed(Processed::Later { after: Some(after) });
    let later = Reason::Later { after };
    assert_eq!(bench.answered(), [(1, 503, later), (2, 503, later)]);
    bench.processed(Processed::Done);
    assert_eq!(bench.machine.stats().stale, 1, "a delivery ends once");
    bench.request(3, "a");
    let _ = bench.drain();
    assert_eq!(bench.deliveries.len(), 2);
    bench.processed(Processed::Later { after: None });
    assert_eq!(bench.answered(), [(3, 503, Reason::Later { after: Duration::from_secs(5) })]);
}

#[test]
fn an_event_that_is_refused_stays_refused() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    let _ = bench.drain();
    bench.processed(Processed::Refuse);
    bench.request(2, "a");
    assert_eq!(bench.answered(), [(1, 400, Reason::Refused), (2, 400, Reason::Refused)]);
    assert_eq!((bench.deliveries.len(), bench.machine.stats().refused.refused), (1, 2));
}

#[test]
fn a_delivery_has_its_time() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    let due = bench.now.mono.saturating_add(Duration::from_secs(30));
    assert_eq!(bench.drain(), Wake::At(due));
    bench.pass(Duration::from_nanos(29_999_999_999));
    assert_eq!((bench.drain(), bench.answered().len()), (Wake::At(due), 0));
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.answered(), [(1, 503, Reason::TimedOut)]);
    bench.processed(Processed::Done);
    bench.request(2, "a");
    assert_eq!(bench.answered(), [(2, 204, Reason::Repeat)], "what ended late has ended");
    let told = |late: &RecvNotice| matches!(late, RecvNotice::Late { .. } | RecvNotice::TimedOut { .. });
    assert_eq!((bench.notices.iter().filter(|notice| told(notice)).count(), bench.deliveries.len()), (2, 1));
    assert_eq!((bench.machine.stats().timed_out, bench.machine.stats().late), (1, 1));
}

#[test]
fn a_delivery_that_ends_when_its_event_is_out_again_is_stale() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    let _ = bench.drain();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.answered(), [(1, 503, Reason::TimedOut)]);
    bench.request(2, "a");
    let _ = bench.drain();
    let first = bench.deliveries[0].id();
    bench.feed(RecvInput::Processed { delivery: first, result: Processed::Done });
    assert_eq!(bench.answered(), []);
    assert_eq!((bench.machine.stats().stale, bench.machine.in_progress()), (1, 1));
    bench.processed(Processed::Done);
    assert_eq!(bench.answered(), [(2, 204, Reason::Processed)]);
}

#[test]
fn a_delivery_that_never_left_cannot_end_late() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    bench.feed(RecvInput::Credit(0));
    let _ = bench.drain();
    assert!(bench.deliveries.is_empty());
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.answered(), [(1, 503, Reason::TimedOut)]);
    assert_eq!((bench.machine.in_progress(), bench.machine.remembered()), (0, 0));
}

#[test]
fn without_credit_nothing_is_read_or_delivered() {
    let mut bench = Bench::new(|_| {});
    bench.feed(RecvInput::Credit(1));
    bench.head(1, signed("a", bench.now.wall));
    bench.head(2, signed("b", bench.now.wall));
    bench.body(1, BODY);
    bench.body(2, BODY);
    bench.head(3, signed("c", bench.now.wall));
    assert_eq!(bench.answered(), [(2, 503, Reason::NoCredit), (3, 503, Reason::NoCredit)]);
    bench.processed(Processed::Done);
    bench.request(4, "b");
    let _ = bench.drain();
    assert_eq!(bench.deliveries.len(), 2);
}

#[test]
fn exchanges_are_bounded() {
    let mut bench = Bench::new(|limits| limits.exchanges = 2);
    for exchange in 1..=3 {
        bench.head(exchange, signed("a", bench.now.wall));
    }
    assert_eq!(bench.answered(), [(3, 503, Reason::TooManyExchanges)]);
    bench.feed(RecvInput::Dropped(ExchangeId::new(1)));
    bench.head(4, signed("a", bench.now.wall));
    assert_eq!((bench.answered().len(), bench.machine.exchanges()), (0, 2));
}

#[test]
fn whoever_went_away_gets_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.head(1, signed("a", bench.now.wall));
    bench.feed(RecvInput::Dropped(ExchangeId::new(1)));
    bench.request(2, "b");
    bench.feed(RecvInput::Dropped(ExchangeId::new(2)));
    bench.head(3, RequestHead::new(Method::GET, HeaderMap::new()));
    bench.feed(RecvInput::Dropped(ExchangeId::new(3)));
    assert_eq!((bench.answered().len(), bench.reads.len(), bench.deliveries.len()), (0, 0, 1));
    bench.processed(Processed::Done);
    bench.request(4, "b");
    assert_eq!(bench.answered(), [(4, 204, Reason::Repeat)], "the delivery went on");
}

#[test]
fn ids_are_remembered_for_a_time_and_up_to_a_number() {
    let mut bench = Bench::new(|limits| (limits.ids, limits.window) = (2, Duration::from_secs(100)));
    for (exchange, id) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.pass(Duration::from_secs(1));
        bench.request(exchange, id);
        let _ = bench.drain();
        bench.processed(Processed::Done);
    }
    let _ = bench.drain();
    assert_eq!(bench.notices, [RecvNotice::WindowShrunk { age: Duration::from_secs(2) }]);
    assert_eq!((bench.machine.remembered(), bench.machine.stats().forgotten_early), (2, 1));
    bench.pass(Duration::from_nanos(98_999_999_999));
    bench.request(4, "b");
    let _ = bench.drain();
    assert_eq!(bench.deliveries.len(), 3, "still known");
    bench.pass(Duration::from_nanos(1));
    bench.request(5, "b");
    let _ = bench.drain();
    assert_eq!(bench.deliveries.len(), 4, "its window has passed");
    assert_eq!(bench.machine.stats().forgotten_early, 1);
}

#[test]
fn what_makes_no_sense_is_stale() {
    let mut bench = Bench::new(|_| {});
    bench.body(1, BODY);
    bench.feed(RecvInput::BodyTooLarge { exchange: ExchangeId::new(1) });
    bench.feed(RecvInput::Dropped(ExchangeId::new(1)));
    bench.feed(RecvInput::Processed { delivery: DeliveryId(9), result: Processed::Done });
    bench.request(2, "a");
    bench.head(2, signed("a", bench.now.wall));
    bench.body(2, BODY);
    bench.feed(RecvInput::Processed { delivery: DeliveryId(1), result: Processed::Done });
    assert_eq!(bench.machine.stats().stale, 7);
    assert_eq!((bench.answered().len(), bench.deliveries.len()), (0, 1));
}

#[test]
fn closing_answers_what_there_is_and_then_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    bench.head(2, signed("b", bench.now.wall));
    let _ = bench.drain();
    bench.machine.close(bench.now);
    bench.head(3, signed("c", bench.now.wall));
    assert_eq!(bench.answered(), [(3, 503, Reason::Closing)]);
    bench.processed(Processed::Done);
    assert_eq!((bench.answered().len(), bench.machine.life()), (1, Life::Closing));
    bench.body(2, b"forged");
    assert_eq!((bench.answered().len(), bench.drain()), (1, Wake::Closed));
    let stats = ReceiverStats { waits: 0, ..bench.machine.stats() };
    bench.request(4, "d");
    bench.feed(RecvInput::Dropped(ExchangeId::new(4)));
    bench.machine.close(bench.now);
    assert_eq!((bench.answered().len(), bench.drain()), (0, Wake::Closed));
    assert_eq!(ReceiverStats { waits: 0, ..bench.machine.stats() }, stats);
}

#[test]
fn the_clock_is_held_where_it_goes_back() {
    let mut bench = Bench::new(|_| {});
    let held = bench.now.mono;
    bench.now = Now { mono: Instant::ORIGIN, wall: bench.now.wall };
    bench.request(1, "a");
    assert_eq!(bench.drain(), Wake::At(held.saturating_add(Duration::from_secs(30))));
    assert_eq!(bench.machine.stats().clock_regressions, 2);
    assert!(matches!(bench.notices[0], RecvNotice::ClockWentBack { .. }));
    bench.now.mono = Instant::from_nanos(u64::MAX);
    bench.feed(RecvInput::Tick);
    assert_eq!(bench.answered(), [(1, 503, Reason::TimedOut)]);
    bench.request(2, "b");
    assert_eq!(bench.answered(), [(2, 503, Reason::TimedOut)], "at the end of time nothing lies ahead");
}

#[test]
fn a_long_drain_gives_the_driver_its_turn() {
    let mut bench = Bench::new(|limits| limits.exchanges = 600);
    for exchange in 0..600 {
        bench.head(exchange, signed("a", bench.now.wall));
    }
    let mut turns = Vec::from([0]);
    loop {
        let RecvOutput::Wait(wake) = bench.machine.poll_output() else {
            *turns.last_mut().unwrap() += 1;
            continue;
        };
        if wake != Wake::Ready {
            assert_eq!(wake, Wake::Input);
            break;
        }
        turns.push(0);
    }
    assert_eq!(turns, [256, 256, 88]);
}

#[test]
fn unread_notices_are_counted() {
    let mut bench = Bench::new(|limits| limits.exchanges = 2000);
    for exchange in 0..1100 {
        bench.head(exchange, RequestHead::new(Method::POST, HeaderMap::new()));
        bench.body(exchange, b"");
    }
    let _ = bench.drain();
    assert_eq!((bench.notices.len(), bench.notices.last()), (1025, Some(&RecvNotice::Folded(76))));
}

#[test]
fn debug_prints_no_payload_and_no_header() {
    let mut bench = Bench::new(|_| {});
    let mut text = format!("{:?}", RecvInput::Body { exchange: ExchangeId::new(1), body: Bytes::from_static(BODY) });
    text += &format!("{:?}", RecvInput::Head { exchange: ExchangeId::new(1), head: signed("a", bench.now.wall) });
    bench.request(1, "a");
    bench.head(2, signed("b", bench.now.wall));
    text += &format!("{:?}", bench.machine);
    let _ = bench.drain();
    text += &format!("{:?} {:?} {:?}", bench.machine, bench.deliveries, bench.notices);
    assert!(!text.contains("canary") && !text.contains("v1,"), "{text}");
    assert!(text.contains("bytes: 17"));
}

/// A marked request of an event that was done, signed `later` seconds after it.
fn replay(bench: &mut Bench, exchange: u64, number: &str, later: u64) {
    let mut head = signed("a", bench.now.wall.saturating_add(Duration::from_secs(later)));
    head.headers.insert("postrider-replay", number.parse().unwrap());
    bench.head(exchange, head);
    bench.body(exchange, BODY);
}

fn with_replays() -> Bench {
    let mut bench = Bench::new(|_| {});
    bench.machine = Receiver::new(ReceiverConfig::new(verifier()).replays(true), bench.now);
    bench.request(1, "a");
    let _ = bench.drain();
    bench.processed(Processed::Done);
    assert_eq!(bench.answered(), [(1, 204, Reason::Processed)]);
    bench
}

#[test]
fn a_replay_is_a_repeat_unless_they_are_accepted() {
    let mut bench = Bench::new(|_| {});
    bench.request(1, "a");
    let _ = bench.drain();
    bench.processed(Processed::Done);
    replay(&mut bench, 2, "7", 1);
    assert_eq!(bench.answered(), [(1, 204, Reason::Processed), (2, 204, Reason::Repeat)]);
    assert_eq!(bench.deliveries.len(), 1);
}

#[test]
fn a_replay_is_delivered_once_for_each_number() {
    let mut bench = with_replays();
    replay(&mut bench, 2, "7", 1);
    let _ = bench.drain();
    let delivery = bench.deliveries.last().unwrap();
    assert_eq!((delivery.webhook_id(), delivery.replay()), ("a", Some(7)));
    replay(&mut bench, 3, "7", 2);
    assert_eq!(bench.answered(), [], "it is in progress");
    bench.processed(Processed::Later { after: None });
    assert_eq!(bench.answered().iter().map(|(_, status, _)| *status).collect::<Vec<_>>(), [503, 503]);
    replay(&mut bench, 4, "7", 3);
    let _ = bench.drain();
    bench.processed(Processed::Done);
    replay(&mut bench, 5, "7", 4);
    replay(&mut bench, 6, "8", 5);
    assert_eq!(bench.answered(), [(4, 204, Reason::Processed), (5, 204, Reason::Repeat)]);
    bench.processed(Processed::Done);
    bench.request(7, "a");
    assert_eq!(bench.answered(), [(6, 204, Reason::Processed), (7, 204, Reason::Repeat)]);
    assert_eq!(bench.deliveries.len(), 4);
}

/// Whoever has captured a request cannot have it delivered again by marking it, or by marking it otherwise.
#[test]
fn a_captured_request_is_no_replay() {
    let mut bench = with_replays();
    replay(&mut bench, 2, "1", 0);
    replay(&mut bench, 3, "2", 0);
    assert_eq!(bench.answered(), [(2, 204, Reason::Repeat), (3, 204, Reason::Repeat)]);
    // A repeat was captured: it came here too, so marking it makes no replay of it either.
    let late = signed("a", bench.now.wall.saturating_add(Duration::from_secs(9)));
    bench.head(4, late);
    bench.body(4, BODY);
    replay(&mut bench, 5, "3", 9);
    assert_eq!(bench.answered(), [(4, 204, Reason::Repeat), (5, 204, Reason::Repeat)]);
    // So was a replay, which comes again under another number.
    replay(&mut bench, 6, "4", 10);
    let _ = bench.drain();
    bench.processed(Processed::Done);
    replay(&mut bench, 7, "5", 10);
    assert_eq!(bench.answered(), [(6, 204, Reason::Processed), (7, 204, Reason::Repeat)]);
    for mark in ["", "-1", "+1", "0x1", "1 ", "99999999999999999999", "1,2"] {
        let mut head = signed("a", bench.now.wall.saturating_add(Duration::from_secs(20)));
        head.headers.insert("postrider-replay", mark.parse().unwrap());
        bench.head(8, head);
        bench.body(8, BODY);
        assert_eq!(bench.answered(), [(8, 204, Reason::Repeat)], "{mark:?} marks nothing");
    }
    assert_eq!(bench.deliveries.len(), 2);
}

/// Nor can he where the last replay has failed: what was done before it stays done.
#[test]
fn a_captured_request_is_no_replay_after_one_that_failed() {
    let mut bench = with_replays();
    let begun = bench.now.wall;
    replay(&mut bench, 2, "7", 1);
    let _ = bench.drain();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.answered(), [(2, 503, Reason::TimedOut)]);
    let mut head = signed("a", begun);
    head.headers.insert("postrider-replay", "8".parse().unwrap());
    bench.head(3, head);
    bench.body(3, BODY);
    assert_eq!(bench.answered(), [(3, 204, Reason::Repeat)]);
    replay(&mut bench, 4, "7", 2);
    let _ = bench.drain();
    assert_eq!(bench.deliveries.len(), 3, "the replay itself is owed");
}

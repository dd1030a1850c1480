use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::secret::Secret;
use crate::signing::{SigningKey, standard};
use crate::time::{Instant, UnixTime};

const SECRET: [u8; 32] = [7; 32];
const BODY: &[u8] = b"{\"canary\":\"9d1c\"}";

/// A machine and its driver, with everything that it said.
struct Bench {
    machine: Receiver,
    now: Now,
    deliveries: Vec<Delivery>,
    answers: Vec<Response>,
    reads: Vec<ExchangeId>,
    notices: Vec<RecvNotice>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut ReceiverLimits)) -> Self {
        let now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_700_000_000) };
        let mut limits = ReceiverLimits::default();
        change(&mut limits);
        let machine = Receiver::new(ReceiverConfig::new(verifier()).limits(limits), now);
        Self { machine, now, deliveries: Vec::new(), answers: Vec::new(), reads: Vec::new(), notices: Vec::new() }
    }

    fn feed(&mut self, input: RecvInput) {
        self.machine.handle(self.now, input);
    }

    fn head(&mut self, exchange: u64, head: RequestHead) {
        self.feed(RecvInput::Head { exchange: ExchangeId::new(exchange), head });
    }

    /// A whole signed request.
    fn request(&mut self, exchange: u64, id: &str) {
        self.head(exchange, signed(id, self.now.wall));
        self.body(exchange, BODY);
    }

    fn body(&mut self, exchange: u64, body: &'static [u8]) {
        self.feed(RecvInput::Body { exchange: ExchangeId::new(exchange), body: Bytes::from_static(body) });
    }

    /// The last delivery has ended.
    fn processed(&mut self, result: Processed) {
        let delivery = self.deliveries.last().expect("there was one").id();
        self.feed(RecvInput::Processed { delivery, result });
    }

    fn pass(&mut self, by: Duration) {
        self.now = self.now.advanced(by);
        self.feed(RecvInput::Tick);
    }

    fn drain(&mut self) -> Wake {
        loop {
            match self.machine.poll_output() {
                RecvOutput::Wait(Wake::Ready) => {}
                RecvOutput::Wait(wake) => return wake,
                RecvOutput::ReadBody { exchange, cap } => {
                    assert_eq!(cap, self.machine.limits.body);
                    self.reads.push(exchange);
                }
                RecvOutput::Deliver(delivery) => self.deliveries.push(delivery),
                RecvOutput::Respond(response) => self.answers.push(response),
                RecvOutput::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// What was answered since the last call.
    fn answered(&mut self) -> Vec<(u64, u16, Reason)> {
        let _ = self.drain();
        self.answers
            .drain(..)
            .map(|answer| (answer.exchange().get(), answer.status().as_u16(), answer.reason()))
            .collect()
    }
}

fn verifier() -> Verifier {
    Verifier::new([Secret::from_bytes(SECRET).unwrap()]).unwrap()
}

fn signed(id: &str, wall: UnixTime) -> RequestHead {
    let key = SigningKey::from(&Secret::from_bytes(SECRET).unwrap());
    let mut headers = HeaderMap::new();
    headers.insert(standard::ID, HeaderValue::try_from(id).unwrap());
    headers.insert(standard::TIMESTAMP, HeaderValue::from(wall.as_secs()));
    let signature = standard::sign([&key], id, wall.as_secs(), BODY);
    headers.insert(standard::SIGNATURE, HeaderValue::try_from(signature).unwrap());
    RequestHead::new(Method::POST, headers).path("/hooks")
}

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
    assert_eq!(delivery.timestamp(), bench.now.wall);
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
    };
    assert!(later.headers().any(|(name, value)| name == "retry-after" && value == "62"), "never early");
    let done = Response { reason: Reason::Processed, ..later };
    assert_eq!((done.headers().count(), done.body()), (0, ""));
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
        match bench.machine.poll_output() {
            RecvOutput::Wait(Wake::Ready) => turns.push(0),
            RecvOutput::Wait(wake) => break assert_eq!(wake, Wake::Input),
            _ => *turns.last_mut().unwrap() += 1,
        }
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

/// What may happen, in any order.
#[derive(Clone, Copy, Debug)]
enum Op {
    Head { exchange: u64, kind: u8 },
    Body { exchange: u64, kind: u8 },
    TooLarge { exchange: u64 },
    Dropped { exchange: u64 },
    Processed { nth: usize, result: Processed },
    Credit(u32),
    Pass { mono: i64, wall: i64 },
    Drain(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let exchange = 0..12_u64;
    let result = prop_oneof![
        4 => Just(Processed::Done),
        2 => Just(Processed::Later { after: None }),
        1 => Just(Processed::Refuse),
    ];
    let millis = prop_oneof![4 => 0..40_000_i64, 1 => 0..4_000_000_i64, 1 => -60_000..0_i64];
    prop_oneof![
        8 => (exchange.clone(), 0..24_u8).prop_map(|(exchange, kind)| Op::Head { exchange, kind }),
        8 => (exchange.clone(), 0..8_u8).prop_map(|(exchange, kind)| Op::Body { exchange, kind }),
        1 => exchange.clone().prop_map(|exchange| Op::TooLarge { exchange }),
        2 => exchange.prop_map(|exchange| Op::Dropped { exchange }),
        5 => (0..6_usize, result).prop_map(|(nth, result)| Op::Processed { nth, result }),
        1 => (0..4_u32).prop_map(Op::Credit),
        2 => (millis.clone(), millis).prop_map(|(mono, wall)| Op::Pass { mono, wall }),
        6 => (0..8_usize).prop_map(Op::Drain),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Op::Close } else { Op::Drain(300) }),
    ]
}

/// What the outside knows of an exchange.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Head(Option<String>),
    /// Of the event with this id, if its signature fits.
    Body(Option<String>),
}

/// The machine, seen from outside, and everything that must be true of it.
struct World {
    machine: Receiver,
    now: Now,
    latest: Instant,
    credit: u32,
    open: BTreeMap<u64, Seen>,
    /// Deliveries made, the newest last, by id and how many ended before.
    made: Vec<(DeliveryId, String)>,
    in_progress: BTreeMap<DeliveryId, String>,
    /// When a delivery of an id ended for good, and whether it was done.
    over: BTreeMap<String, (Instant, bool)>,
    fulfilled: BTreeSet<String>,
    turn: u32,
}

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const WINDOW: Duration = Duration::from_secs(3600);

impl World {
    fn new() -> Self {
        let now = Now { mono: Instant::from_millis(100_000), wall: UnixTime::from_secs(1_700_000_000) };
        let limits = ReceiverLimits { exchanges: 8, waiters: 3, window: WINDOW, ..ReceiverLimits::default() };
        Self {
            machine: Receiver::new(ReceiverConfig::new(verifier()).limits(limits), now),
            now,
            latest: now.mono,
            credit: 64,
            open: BTreeMap::new(),
            made: Vec::new(),
            in_progress: BTreeMap::new(),
            over: BTreeMap::new(),
            fulfilled: BTreeSet::new(),
            turn: 0,
        }
    }

    fn feed(&mut self, input: RecvInput) {
        self.latest = self.latest.max(self.now.mono);
        self.machine.handle(self.now, input);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Head { exchange, kind } => self.head(exchange, kind),
            Op::Body { exchange, kind } => self.body(exchange, kind),
            Op::TooLarge { exchange } => {
                if let Some(seen @ Seen::Head(_)) = self.open.get_mut(&exchange) {
                    *seen = Seen::Body(None);
                }
                self.feed(RecvInput::BodyTooLarge { exchange: ExchangeId::new(exchange) });
            }
            Op::Dropped { exchange } => {
                self.open.remove(&exchange);
                self.feed(RecvInput::Dropped(ExchangeId::new(exchange)));
            }
            Op::Processed { nth, result } => self.processed(nth, result),
            Op::Credit(credit) => {
                self.credit = credit;
                self.feed(RecvInput::Credit(credit));
            }
            Op::Pass { mono, wall } => self.pass(mono, wall),
            Op::Drain(outputs) => {
                for _ in 0..outputs {
                    if self.poll().is_some() {
                        break;
                    }
                }
            }
            Op::Close => {
                self.latest = self.latest.max(self.now.mono);
                self.machine.close(self.now);
            }
        }
    }

    fn head(&mut self, exchange: u64, kind: u8) {
        let id = IDS[usize::from(kind % 4)];
        let head = match kind {
            0..20 => signed(id, self.now.wall),
            20 => signed(id, self.now.wall.saturating_sub(Duration::from_secs(400))),
            21 => signed(id, self.now.wall).declared_length(u64::MAX),
            22 => RequestHead::new(Method::GET, HeaderMap::new()),
            _ => RequestHead::new(Method::POST, HeaderMap::new()),
        };
        // One that is signed now may be too old when its body comes; then it may only be refused.
        let signed = (kind < 20).then(|| id.into());
        if self.machine.life() != Life::Closed {
            self.open.entry(exchange).or_insert(Seen::Head(signed));
        }
        self.feed(RecvInput::Head { exchange: ExchangeId::new(exchange), head });
    }

    fn body(&mut self, exchange: u64, kind: u8) {
        let forged = kind == 0;
        if let Some(seen) = self.open.get_mut(&exchange)
            && let Seen::Head(signed) = seen
        {
            *seen = Seen::Body(signed.take().filter(|_| !forged));
        }
        let body = if forged { Bytes::from_static(b"forged") } else { Bytes::from_static(BODY) };
        self.feed(RecvInput::Body { exchange: ExchangeId::new(exchange), body });
    }

    fn processed(&mut self, nth: usize, result: Processed) {
        let Some((delivery, id)) = self.made.iter().rev().nth(nth).cloned() else { return };
        // Whether it had timed out is not seen from here before the notice has been polled.
        let stale = self.machine.stats().stale;
        self.feed(RecvInput::Processed { delivery, result });
        self.in_progress.remove(&delivery);
        let counts = self.machine.stats().stale == stale && self.machine.life() != Life::Closed;
        match result {
            Processed::Later { .. } => {}
            Processed::Done | Processed::Refuse if !counts => {}
            Processed::Done | Processed::Refuse => {
                let before = self.over.insert(id.clone(), (self.latest, result == Processed::Done));
                assert!(before.is_none_or(|(at, _)| self.latest.saturating_since(at) >= WINDOW), "{id} ended twice");
                if result == Processed::Done {
                    self.fulfilled.insert(id);
                }
            }
        }
    }

    fn pass(&mut self, mono: i64, wall: i64) {
        let by = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let Now { mono: m, wall: w } = self.now;
        self.now = Now {
            mono: if mono < 0 { m.saturating_sub(by(mono)) } else { m.saturating_add(by(mono)) },
            wall: if wall < 0 { w.saturating_sub(by(wall)) } else { w.saturating_add(by(wall)) },
        };
        self.feed(RecvInput::Tick);
    }

    /// Takes one output and checks it; the wake when it ends the drain.
    fn poll(&mut self) -> Option<Wake> {
        self.turn += 1;
        assert!(self.turn <= limits::DRAIN_BUDGET + 1, "a drain must end");
        match self.machine.poll_output() {
            RecvOutput::ReadBody { exchange, .. } => {
                let seen = self.open.get(&exchange.get());
                assert!(matches!(seen, Some(Seen::Head(_))), "only a body that has not come is read: {seen:?}");
            }
            RecvOutput::Respond(response) => self.check_answer(&response),
            RecvOutput::Deliver(delivery) => self.check_delivery(&delivery),
            RecvOutput::Notice(RecvNotice::TimedOut { delivery, .. }) => {
                self.in_progress.remove(&delivery);
            }
            RecvOutput::Notice(notice) => assert!(!matches!(notice, RecvNotice::WindowShrunk { .. })),
            RecvOutput::Wait(wake) => {
                self.turn = 0;
                self.check_wake(wake);
                return Some(wake);
            }
        }
        None
    }

    fn check_answer(&mut self, response: &Response) {
        let seen = self.open.remove(&response.exchange().get()).expect("each exchange is answered once");
        let id = match seen {
            Seen::Head(_) => None,
            Seen::Body(id) => id,
        };
        if response.status().is_success() {
            let id = id.as_ref().expect("only what is signed succeeds");
            assert!(self.fulfilled.contains(id), "{id} is answered before it is done");
        }
        if response.reason() == Reason::Refused {
            assert!(id.is_some(), "only what is signed reaches the application");
        }
        assert_eq!(response.status() == 503, response.retry_after().is_some());
    }

    fn check_delivery(&mut self, delivery: &Delivery) {
        let id = String::from(delivery.webhook_id());
        assert_eq!(&delivery.body()[..], BODY);
        assert!(self.in_progress.values().all(|other| *other != id), "{id} is in progress already");
        assert!(self.in_progress.len() < self.credit as usize, "no more than the application can take");
        if let Some((at, _)) = self.over.get(&id) {
            assert!(self.latest.saturating_since(*at) >= WINDOW, "{id} was over and came again");
        }
        self.in_progress.insert(delivery.id(), id.clone());
        self.made.push((delivery.id(), id));
    }

    fn check_wake(&mut self, wake: Wake) {
        match wake {
            Wake::Ready => return,
            Wake::At(at) => assert!(at > self.latest, "a wake lies ahead"),
            Wake::Input => assert!(self.in_progress.is_empty(), "a delivery in progress has a deadline"),
            Wake::Closed => {
                assert!(self.open.is_empty() && self.in_progress.is_empty(), "all is answered");
            }
        }
        assert!(
            matches!(self.machine.poll_output(), RecvOutput::Wait(again) if again == wake),
            "polling is idempotent"
        );
    }

    fn drain(&mut self) -> Wake {
        loop {
            match self.poll() {
                Some(Wake::Ready) | None => {}
                Some(wake) => return wake,
            }
        }
    }

    /// Lets everything come to its end.
    fn finish(mut self) {
        let _ = self.drain();
        for (exchange, seen) in self.open.clone() {
            if matches!(seen, Seen::Head(_)) {
                self.step(Op::TooLarge { exchange });
            }
        }
        self.now.mono = self.latest.saturating_add(Duration::from_secs(30));
        self.feed(RecvInput::Tick);
        assert!(matches!(self.drain(), Wake::Input | Wake::Closed));
        assert_eq!((self.open.len(), self.in_progress.len()), (0, 0), "everybody has an answer");
        assert_eq!((self.machine.exchanges(), self.machine.in_progress()), (0, 0));
        self.machine.close(self.now);
        assert_eq!(self.drain(), Wake::Closed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_interleaving_keeps_the_rules(ops in prop::collection::vec(op(), 0..160)) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.step(op));
        world.finish();
    }

    #[test]
    fn the_same_calls_give_the_same_outputs(ops in prop::collection::vec(op(), 0..80)) {
        let run = || {
            let mut world = World::new();
            let mut log = String::new();
            for op in &ops {
                world.step(*op);
                log += &format!("{:?}\n", world.machine);
            }
            log
        };
        prop_assert_eq!(run(), run());
    }
}

//! Every interleaving of facts and partial drains, seen from outside.

mod bench;
mod dedup;
mod progress;
mod receipts;
mod rules;
mod schemes;

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
use crate::signing::{Scheme, Signer, SigningKey, Unsigned, standard};
use crate::time::{Instant, UnixTime};

const SECRET: [u8; 32] = [7; 32];
const BODY: &[u8] = b"{\"canary\":\"9d1c\"}";

fn verifier() -> standard::Verifier {
    standard::Verifier::new([Secret::from_bytes(SECRET).unwrap()]).unwrap()
}

fn signed(id: &str, wall: UnixTime) -> RequestHead {
    let key = SigningKey::from(&Secret::from_bytes(SECRET).unwrap());
    let mut headers = HeaderMap::new();
    headers.insert(standard::ID, HeaderValue::try_from(id).unwrap());
    headers.insert(standard::TIMESTAMP, HeaderValue::from(wall.as_secs()));
    let signature = standard::sign([&key], id, wall.as_secs(), BODY);
    headers.insert(standard::SIGNATURE, HeaderValue::try_from(signature).unwrap());
    RequestHead::new(Method::POST, headers).target("/hooks?token=1")
}

/// A sender of one scheme. Of the schemes one covers an id in a header, one an id in the body, one no id that it sends,
/// one has none and signs the time, and one has none and signs none.
#[derive(Clone, Debug)]
struct Source {
    scheme: Scheme,
    key: &'static str,
}

const SOURCES: [(Scheme, &str); 5] = [
    (Scheme::Standard, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
    (Scheme::Stripe, "whsec_canary"),
    (Scheme::Github, "a secret"),
    (Scheme::Zoom, "a secret"),
    (Scheme::Meta, "a secret"),
];

impl Source {
    fn verifier(&self) -> Verifier {
        Verifier::new(self.scheme, [self.key]).unwrap()
    }

    fn body(event: &str) -> Bytes {
        format!("{{\"id\":\"evt_{event}\",\"type\":\"t.{event}\",\"created\":7,\"canary\":\"9d1c\"}}").into()
    }

    /// A request with an event, under another id where `id` says one.
    fn request(&self, event: &str, id: Option<&str>, wall: UnixTime) -> (RequestHead, Bytes) {
        let body = Self::body(event);
        let id = Some(id.unwrap_or(event));
        let unsigned = Unsigned { method: "POST", url: "https://example.com/hooks", id, headers: &[], body: &body };
        let key = self.key;
        let signed = Signer::new(self.scheme, key).unwrap().sign(&unsigned, wall).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &signed.headers {
            headers.append(http::HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        (RequestHead::new(Method::POST, headers).target("/hooks?token=1"), signed.body.into())
    }

    /// What makes two requests the same event: what is signed, but where an id is signed.
    fn identity(&self, body: &[u8], signed: Option<UnixTime>) -> String {
        let body = String::from_utf8_lossy(body);
        match self.scheme {
            Scheme::Zoom => format!("{body} at {:?}", signed.map(UnixTime::as_secs)),
            _ => body.into(),
        }
    }
}

/// What may happen, in any order.
#[derive(Clone, Copy, Debug)]
enum Op {
    Head {
        exchange: u64,
        kind: u8,
    },
    Body {
        exchange: u64,
        kind: u8,
    },
    TooLarge {
        exchange: u64,
    },
    Dropped {
        exchange: u64,
    },
    Processed {
        nth: usize,
        result: Processed,
    },
    Credit(u32),
    /// The store of claims answers: as it should, or that it has failed, or that another has what is asked for.
    Answer {
        nth: usize,
        kind: u8,
    },
    Pass {
        mono: i64,
        wall: i64,
    },
    Drain(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let exchange = 0..12_u64;
    let result = prop_oneof![
        4 => Just(Processed::Done),
        2 => Just(Processed::Later { after: None }),
        1 => Just(Processed::Refuse),
        1 => Just(Processed::Queued),
        1 => Just(Processed::Unsubscribed),
    ];
    let millis = prop_oneof![4 => 0..40_000_i64, 1 => 0..4_000_000_i64, 1 => -60_000..0_i64];
    prop_oneof![
        8 => (exchange.clone(), 0..24_u8).prop_map(|(exchange, kind)| Op::Head { exchange, kind }),
        8 => (exchange.clone(), 0..8_u8).prop_map(|(exchange, kind)| Op::Body { exchange, kind }),
        1 => exchange.clone().prop_map(|exchange| Op::TooLarge { exchange }),
        2 => exchange.prop_map(|exchange| Op::Dropped { exchange }),
        5 => (0..6_usize, result).prop_map(|(nth, result)| Op::Processed { nth, result }),
        1 => (0..4_u32).prop_map(Op::Credit),
        6 => (0..3_usize, 0..8_u8).prop_map(|(nth, kind)| Op::Answer { nth, kind }),
        2 => (millis.clone(), millis).prop_map(|(mono, wall)| Op::Pass { mono, wall }),
        6 => (0..8_usize).prop_map(Op::Drain),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Op::Close } else { Op::Drain(300) }),
    ]
}

/// What the outside knows of an exchange.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    /// With the body that was signed with it, and its event.
    Head(Bytes, Option<String>),
    /// Of this event, if it was signed.
    Body(Option<String>),
}

/// What was asked of the machine.
#[derive(Clone, Copy, Debug)]
struct Mode {
    stored: bool,
    claims: bool,
    ordered: bool,
}

fn mode() -> impl Strategy<Value = Mode> {
    (prop::bool::ANY, prop::bool::ANY, prop::bool::ANY).prop_map(|(stored, claims, ordered)| Mode {
        stored,
        claims,
        ordered,
    })
}

/// A store of claims that answers when it is told to.
#[derive(Default)]
struct Store {
    asked: Vec<RecvOutput>,
    over: BTreeMap<Arc<str>, Ending>,
    /// Claims granted and neither committed nor released.
    granted: BTreeMap<ClaimToken, Arc<str>>,
    made: u64,
}

/// The machine, seen from outside, and everything that must be true of it.
struct World {
    source: Source,
    machine: Receiver,
    now: Now,
    latest: Instant,
    credit: u32,
    open: BTreeMap<u64, Seen>,
    /// Deliveries made, the newest last, each with the id of its event.
    made: Vec<(DeliveryId, String)>,
    in_progress: BTreeMap<DeliveryId, String>,
    /// When a delivery of an id ended for good, and whether it was done.
    over: BTreeMap<String, (Instant, bool)>,
    fulfilled: BTreeSet<String>,
    turn: u32,
    mode: Mode,
    store: Store,
    /// The last place of the one line that ended for good.
    last: Option<u64>,
}

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const WINDOW: Duration = Duration::from_secs(3600);

/// The place of an event in the line of them all, counted from 1.
fn place(body: &[u8]) -> u64 {
    let at = IDS.iter().position(|id| body.starts_with(format!("{{\"id\":\"evt_{id}\"").as_bytes()));
    at.expect("what was signed is one of them") as u64 + 1
}

impl World {
    fn new(source: usize, mode: Mode) -> Self {
        let (scheme, key) = SOURCES[source];
        let source = Source { scheme, key };
        let now = Now { mono: Instant::from_millis(100_000), wall: UnixTime::from_secs(1_700_000_000) };
        let limits = ReceiverLimits { exchanges: 8, waiters: 3, window: WINDOW, ..ReceiverLimits::default() };
        let mut config = ReceiverConfig::new(source.verifier()).limits(limits);
        if mode.stored {
            config = config.acknowledge(Acknowledge::Stored);
        }
        if mode.claims {
            config = config.claims(Duration::from_secs(60));
        }
        if mode.ordered {
            let place = |delivery: &Delivery| Some(("all".into(), place(delivery.body())));
            config = config.order(Order::by_sequence(place).held(2, 3));
        }
        Self {
            mode,
            store: Store::default(),
            last: None,
            machine: Receiver::new(config, now),
            source,
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
                if let Some(seen @ Seen::Head(..)) = self.open.get_mut(&exchange) {
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
            Op::Answer { nth, kind } => self.answer(nth, kind),
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
        // Whoever is on the way changes an id that is not covered, to one that nobody else has.
        let forged = format!("forged-{id}");
        let forged = (self.source.scheme == Scheme::Github && kind % 8 > 5).then_some(&*forged);
        let mut wall = self.now.wall;
        if kind == 20 {
            // Too old however far the wall clock goes back.
            wall = wall.saturating_sub(Duration::from_secs(365 * 86_400));
        }
        let (head, body) = self.source.request(id, forged, wall);
        let head = match kind {
            0..=20 => head,
            21 => head.declared_length(u64::MAX),
            22 => RequestHead::new(Method::GET, HeaderMap::new()),
            _ => RequestHead::new(Method::POST, HeaderMap::new()),
        };
        // One that is signed now may be too old when its body comes; then it may only be refused.
        let timeless = matches!(self.source.scheme, Scheme::Github | Scheme::Meta);
        let signed = (kind < 20 || kind == 20 && timeless).then(|| self.source.identity(&body, Some(wall)));
        if self.machine.life() != Life::Closed {
            self.open.entry(exchange).or_insert(Seen::Head(body, signed));
        }
        self.feed(RecvInput::Head { exchange: ExchangeId::new(exchange), head });
    }

    fn body(&mut self, exchange: u64, kind: u8) {
        let forged = kind == 0;
        let mut body = Bytes::from_static(b"forged");
        if let Some(seen) = self.open.get_mut(&exchange)
            && let Seen::Head(whole, signed) = seen
        {
            body = if forged { body } else { whole.clone() };
            *seen = Seen::Body(signed.take().filter(|_| !forged));
        }
        self.feed(RecvInput::Body { exchange: ExchangeId::new(exchange), body });
    }

    fn processed(&mut self, nth: usize, result: Processed) {
        let Some((delivery, id)) = self.made.iter().rev().nth(nth).cloned() else { return };
        // Whether it had timed out is not seen from here before the notice has been polled.
        let stale = self.machine.stats().stale;
        if self.mode.stored {
            let result = if let Processed::Later { after } = result { Err(NotStored { after }) } else { Ok(()) };
            self.feed(RecvInput::Stored { delivery, result });
        } else {
            self.feed(RecvInput::Processed { delivery, result });
        }
        self.in_progress.remove(&delivery);
        let counts = self.machine.stats().stale == stale && self.machine.life() != Life::Closed;
        match result {
            Processed::Later { .. } => {}
            Processed::Done | Processed::Queued | Processed::Refuse | Processed::Unsubscribed if !counts => {}
            Processed::Done | Processed::Queued | Processed::Refuse | Processed::Unsubscribed => {
                let taken = self.mode.stored || matches!(result, Processed::Done | Processed::Queued);
                self.last = self.last.max(Some(place(id.as_bytes())));
                let before = self.over.insert(id.clone(), (self.latest, taken));
                assert!(before.is_none_or(|(at, _)| self.latest.saturating_since(at) >= WINDOW), "{id} ended twice");
                if taken {
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

    /// The store answers something that it was asked.
    fn answer(&mut self, nth: usize, kind: u8) {
        if self.store.asked.is_empty() {
            return;
        }
        let asked = self.store.asked.remove(nth % self.store.asked.len());
        let failed = ClaimError::Unavailable { why: "a test".into() };
        match asked {
            RecvOutput::Claim(claim) => {
                let result = match (self.store.over.get(&claim.key), kind) {
                    (_, 6) => Err(failed),
                    (_, 7) => Ok(Claimed::Held { lease: Duration::from_secs(9) }),
                    (Some(ending), _) => Ok(Claimed::Over(*ending)),
                    (None, _) if self.store.granted.values().any(|key| *key == claim.key) => {
                        Ok(Claimed::Held { lease: Duration::from_secs(9) })
                    }
                    (None, _) => {
                        self.store.made += 1;
                        let token = ClaimToken::new(self.store.made);
                        self.store.granted.insert(token, claim.key);
                        Ok(Claimed::Granted { token, place: None })
                    }
                };
                self.feed(RecvInput::Claimed { delivery: claim.delivery, result });
            }
            RecvOutput::Commit(commit) => {
                let result = if kind == 6 { Err(failed) } else { Ok(()) };
                if result.is_ok() {
                    self.store.over.insert(commit.key, commit.ending);
                }
                self.feed(RecvInput::Committed { delivery: commit.delivery, result });
            }
            other => panic!("{other:?} needs no answer"),
        }
    }

    /// Takes one output and checks it; the wake when it ends the drain.
    fn poll(&mut self) -> Option<Wake> {
        self.turn += 1;
        assert!(self.turn <= limits::DRAIN_BUDGET + 1, "a drain must end");
        self.check_bounds();
        match self.machine.poll_output() {
            RecvOutput::ReadBody { exchange, .. } => {
                let seen = self.open.get(&exchange.get());
                assert!(matches!(seen, Some(Seen::Head(..))), "only a body that has not come is read: {seen:?}");
            }
            RecvOutput::Respond(response) => self.check_answer(&response),
            RecvOutput::Deliver(delivery) => {
                assert!(!self.mode.stored, "nothing is delivered that is to be stored");
                self.check_delivery(&delivery);
            }
            RecvOutput::Store(delivery) => {
                assert!(self.mode.stored, "nothing is stored that is to be delivered");
                self.check_delivery(&delivery);
            }
            RecvOutput::Claim(claim) => {
                assert!(self.mode.claims, "without a store none is asked");
                self.store.asked.push(RecvOutput::Claim(claim));
            }
            RecvOutput::Commit(commit) => {
                let granted = self.store.granted.remove(&commit.token);
                assert_eq!(granted.as_ref(), Some(&commit.key), "what was granted is committed once");
                self.store.asked.push(RecvOutput::Commit(commit));
            }
            RecvOutput::Release(release) => {
                let granted = self.store.granted.remove(&release.token);
                assert_eq!(granted.as_ref(), Some(&release.key), "what was granted is released once");
            }
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

    /// What is kept is bounded by what was asked for, whatever happens.
    fn check_bounds(&self) {
        let machine = &self.machine;
        assert!(machine.exchanges() <= machine.config.limits.exchanges);
        assert!(machine.remembered() <= machine.config.limits.ids);
        // Besides the credit, which may have been larger once, there are those that are held.
        assert!(machine.in_progress() <= 64 + 3);
        assert!(machine.with_application() <= machine.in_progress());
        assert!(machine.paces.len() <= 1 && machine.notices.queue.len() <= limits::NOTICES);
    }

    /// After its end a machine takes no notice of anything.
    fn check_inert(mut self) {
        let (stats, now) = (self.machine.stats(), self.machine.now());
        let (head, body) = self.source.request("a", None, self.now.wall);
        let exchange = ExchangeId::new(99);
        self.now.mono = self.latest.saturating_add(Duration::from_secs(9));
        for input in [
            RecvInput::Tick,
            RecvInput::Head { exchange, head },
            RecvInput::Body { exchange, body },
            RecvInput::Credit(0),
            RecvInput::Dropped(exchange),
        ] {
            self.machine.handle(self.now, input);
        }
        self.machine.close(self.now);
        let mut after = self.machine.stats();
        after.waits = stats.waits;
        assert_eq!((after, self.machine.now()), (stats, now));
        assert!(matches!(self.machine.poll_output(), RecvOutput::Wait(Wake::Closed)));
    }

    fn check_answer(&mut self, response: &Response) {
        let seen = self.open.remove(&response.exchange().get()).expect("each exchange is answered once");
        let id = match seen {
            Seen::Head(..) => None,
            Seen::Body(id) => id,
        };
        if response.status().is_success() {
            let id = id.as_ref().expect("only what is signed succeeds");
            assert!(self.fulfilled.contains(id), "{id} is answered before it is done");
        }
        if matches!(response.reason(), Reason::Refused | Reason::Unsubscribed) {
            assert!(id.is_some(), "only what is signed reaches the application");
        }
        assert_eq!(response.status() == 503, response.retry_after().is_some());
    }

    fn check_delivery(&mut self, delivery: &Delivery) {
        let id = self.source.identity(delivery.body(), delivery.timestamp());
        assert!(IDS.iter().any(|event| Source::body(event) == delivery.body()), "what was signed is delivered");
        assert!(self.in_progress.values().all(|other| *other != id), "{id} is in progress already");
        assert!(self.in_progress.len() < self.credit as usize, "no more than the application can take");
        if self.mode.ordered {
            assert!(self.in_progress.is_empty(), "one of a line at a time");
            let late = self.last.is_some_and(|last| place(id.as_bytes()) <= last);
            assert_eq!(delivery.is_late(), late, "{id}");
        }
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
            if matches!(seen, Seen::Head(..)) {
                self.step(Op::TooLarge { exchange });
            }
        }
        for _ in 0..12 {
            self.now.mono = self.latest.saturating_add(Duration::from_secs(30));
            self.feed(RecvInput::Tick);
            let _ = self.drain();
            while !self.store.asked.is_empty() {
                self.answer(0, 0);
                let _ = self.drain();
            }
        }
        assert!(matches!(self.drain(), Wake::Input | Wake::Closed));
        assert_eq!((self.open.len(), self.in_progress.len()), (0, 0), "everybody has an answer");
        assert_eq!((self.machine.exchanges(), self.machine.in_progress()), (0, 0));
        assert_eq!(self.machine.with_application(), 0);
        self.machine.close(self.now);
        assert_eq!(self.drain(), Wake::Closed);
        self.check_inert();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_interleaving_keeps_the_rules(
        source in 0..SOURCES.len(),
        mode in mode(),
        ops in prop::collection::vec(op(), 0..160),
    ) {
        let mut world = World::new(source, mode);
        ops.into_iter().for_each(|op| world.step(op));
        world.finish();
    }

    #[test]
    fn the_same_calls_give_the_same_outputs(
        source in 0..SOURCES.len(),
        mode in mode(),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let run = || {
            let mut world = World::new(source, mode);
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

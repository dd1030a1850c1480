//! How much an endpoint is given, and when it is left alone: schedules, breakers, disabling, rates, bounds on what is in
//! flight, budgets and fair turns, over a sender with virtual time.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, TenantId};
use postrider_core::limits::Limits;
use postrider_core::registration::{Circuit, Endpoint, EndpointView, State};
use postrider_core::response::{Outcome, Reply, TransportError};
use postrider_core::retry::{BreakerPolicy, DisableRule, Exhausted, Exponential, Factor, Rate, Schedule, Transition};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Expiry, Fate, Input, Notice, Output, Sender, Transmit, Wake};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_testkit::MemoryLog;
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How an endpoint answers: after how long, with which status; a status of 0 never.
type Answers = BTreeMap<String, (Duration, u16)>;

/// An attempt that began.
#[derive(Clone, Debug)]
struct Start {
    endpoint: String,
    event: String,
    number: u16,
    at: Instant,
}

/// A sender with virtual time, a log in memory, and receivers that answer as they are told.
struct Rig {
    sender: Sender,
    config: Config,
    log: MemoryLog,
    now: Now,
    wake: Wake,
    answers: Answers,
    flying: Vec<(Instant, AttemptId, Outcome, String)>,
    /// How many attempts to some endpoints together may be in flight.
    bounds: Vec<(Vec<&'static str>, usize)>,
    starts: Vec<Start>,
    notices: Vec<Notice>,
    published: BTreeMap<String, Instant>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_800_000_000) };
        let config = Config::new().limits(limits);
        let sender = Sender::new(config.clone(), Seed::from_bytes([3; 32]), now);
        let mut rig = Self {
            sender,
            config,
            log: MemoryLog::new(),
            now,
            wake: Wake::Ready,
            answers: BTreeMap::new(),
            flying: Vec::new(),
            bounds: Vec::new(),
            starts: Vec::new(),
            notices: Vec::new(),
            published: BTreeMap::new(),
        };
        rig.drain();
        rig
    }

    fn credit(&mut self, credit: u32) {
        self.sender.handle(self.now, Input::Credit(credit));
        self.drain();
    }

    /// Registers an endpoint that wants events of its own name.
    fn put(&mut self, name: &str, status: u16, change: impl FnOnce(Endpoint) -> Endpoint) {
        let url = format!("https://{name}.test-postrider.com/hooks");
        let secret = Secret::from_bytes([9; 32]).unwrap();
        let endpoint = change(Endpoint::new(name, url).events([name]).signing_key(secret));
        self.answers.insert(name.to_string(), (Duration::from_millis(10), status));
        self.sender.put(self.now, endpoint).unwrap();
        self.drain();
    }

    fn publish(&mut self, to: &str) -> String {
        self.publish_of(to, &TenantId::default())
    }

    fn publish_of(&mut self, to: &str, tenant: &TenantId) -> String {
        let id = format!("evt_{}", self.published.len());
        let event = Event::json(to, &serde_json::json!({})).unwrap().id(&id).tenant(tenant.as_str());
        self.sender.publish(self.now, event).unwrap();
        self.published.insert(id.clone(), self.now.mono);
        self.drain();
        id
    }

    fn drain(&mut self) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.append(batch);
                    let (last, _) = self.log.sync_one().unwrap();
                    self.sender.handle(self.now, Input::Persisted(last));
                }
                Output::Load(request) => {
                    let result = self.log.load(&request);
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(part) => self.log.snapshot(&part),
                Output::Reclaim(watermark) => self.log.reclaim(watermark),
                Output::Transmit(transmit) => self.carry(&transmit),
                Output::Abort(attempt) => {
                    self.flying.retain(|(_, other, ..)| *other != attempt);
                    self.sender.handle(self.now, Input::Completed { attempt, outcome: Err(TransportError::Aborted) });
                }
                Output::Notice(notice) => self.notices.push(notice),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(wake) => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    fn carry(&mut self, transmit: &Transmit) {
        let endpoint = transmit.endpoint().id.as_str().to_string();
        let (after, status) = self.answers[&endpoint];
        let (event, number) = (transmit.event().as_str().to_string(), transmit.number());
        for (names, most) in self.bounds.iter().filter(|(names, _)| names.contains(&&endpoint[..])) {
            let others = self.flying.iter().filter(|(.., name)| names.contains(&&name[..])).count();
            assert!(others < *most, "{others} attempts to {names:?} are in flight, of {most}, and one more begins");
        }
        self.starts.push(Start { endpoint: endpoint.clone(), event, number, at: self.now.mono });
        let (ends, outcome) = match status {
            0 => (transmit.deadline(), Err(TransportError::TimedOut(postrider_core::response::Phase::Head))),
            1 => (self.now.mono, Err(TransportError::LocalResources)),
            status => (self.now.mono.saturating_add(after), Ok(Reply::new(status))),
        };
        self.flying.push((ends, transmit.attempt(), outcome, endpoint));
    }

    /// Lets time pass, from one moment at which something happens to the next.
    fn advance(&mut self, by: Duration) {
        let end = self.now.advanced(by);
        loop {
            let wake = match self.wake {
                Wake::At(at) => Some(at),
                Wake::Ready | Wake::Input | Wake::Closed => None,
            };
            let next = self.flying.iter().map(|(at, ..)| *at).chain(wake).min();
            let Some(next) = next.filter(|next| *next <= end.mono) else { break };
            self.now = self.now.advanced(next.saturating_since(self.now.mono));
            while let Some(at) = self.flying.iter().position(|(at, ..)| *at <= self.now.mono) {
                let (_, attempt, outcome, _) = self.flying.remove(at);
                self.sender.handle(self.now, Input::Completed { attempt, outcome });
            }
            self.sender.handle(self.now, Input::Tick);
            self.drain();
        }
        self.now = end;
        self.sender.handle(self.now, Input::Tick);
        self.drain();
    }

    /// The process dies and comes back after so long, with a clock that begins anew.
    fn restart(&mut self, after: Duration) {
        self.flying.clear();
        self.log.cut(0);
        let wall = self.now.advanced(after).wall;
        self.now = Now { mono: Instant::from_millis(7), wall };
        self.sender = self.log.restore(self.config.clone(), self.now).unwrap();
        self.starts.clear();
        self.drain();
    }

    fn view(&self, name: &str) -> EndpointView {
        self.sender.endpoint(&key(name)).unwrap()
    }

    fn starts_of(&self, name: &str) -> Vec<&Start> {
        self.starts.iter().filter(|start| start.endpoint == name).collect()
    }

    fn fate(&self, event: &str) -> Fate {
        let id = postrider_core::id::EventId::new(event).unwrap();
        self.sender.report(&TenantId::default(), &id).unwrap().deliveries[0].fate
    }

    fn told<T: Debug>(&self, what: impl Fn(&Notice) -> Option<T>) -> T {
        let found = self.notices.iter().rev().find_map(what);
        found.unwrap_or_else(|| panic!("it was not told: {:#?}", self.notices))
    }
}

fn key(name: &str) -> EndpointKey {
    EndpointKey::new(name).unwrap()
}

fn policy(attempts: u16, percent: u8) -> BreakerPolicy {
    let policy = BreakerPolicy::DEFAULT.with_rule(attempts, percent, 5 * MINUTE).unwrap();
    policy.with_open(Duration::from_secs(30), 30 * MINUTE).unwrap()
}

// Schedules

#[test]
fn an_age_ends_what_failed_and_what_was_held() {
    let mut rig = Rig::new();
    rig.put("a", 500, |endpoint| endpoint.schedule([Duration::ZERO, HOUR, HOUR]).max_age(HOUR * 3 / 2));
    let failed = rig.publish("a");
    rig.advance(4 * HOUR);
    assert_eq!(rig.starts.len(), 2);
    assert_eq!(rig.fate(&failed), Fate::Exhausted);
    let (why, text) = rig.told(|notice| match notice {
        Notice::Exhausted { why, .. } => Some((*why, notice.to_string())),
        _ => None,
    });
    assert!(matches!(why, Exhausted::Age { max, .. } if max == HOUR * 3 / 2), "{why:?}");
    assert!(text.contains("attempts end at 5400s"), "{text}");

    rig.sender.pause(rig.now, &key("a")).unwrap();
    let held = rig.publish("a");
    rig.restart(2 * HOUR);
    rig.sender.resume(rig.now, &key("a")).unwrap();
    rig.drain();
    assert_eq!((rig.starts.len(), rig.fate(&held)), (0, Fate::Expired));
    let why = rig.told(|notice| match notice {
        Notice::Expired { why, .. } => Some(*why),
        _ => None,
    });
    assert!(matches!(why, Expiry::Age { .. }), "{why:?}");
}

#[test]
fn schedules_of_each_form_are_kept_and_cut() {
    let mut rig = Rig::new();
    let growing = Exponential { base: MINUTE, factor: Factor::DOUBLE, cap: HOUR, attempts: 9 };
    rig.put("grows", 500, |endpoint| endpoint.exponential(growing).max_attempts(3).no_breaker());
    rig.put("once", 500, |endpoint| endpoint.once());
    rig.put("made", 500, |endpoint| endpoint.retry(Schedule::once().with_max_age(HOUR).unwrap()));
    for name in ["grows", "once", "made"] {
        rig.publish(name);
    }
    rig.advance(10 * MINUTE);
    assert_eq!(["grows", "once", "made"].map(|name| rig.starts_of(name).len()), [3, 1, 1]);
    let before = ["grows", "once", "made"].map(|name| rig.view(name).schedule);
    rig.restart(HOUR);
    assert_eq!(["grows", "once", "made"].map(|name| rig.view(name).schedule), before);
    assert_eq!(before[0].delays(), [Duration::ZERO, MINUTE, 2 * MINUTE]);
    assert_eq!(before[2].max_age(), Some(HOUR));
}

#[test]
fn the_first_attempt_waits_for_its_delay() {
    let mut rig = Rig::new();
    rig.put("a", 204, |endpoint| endpoint.schedule([MINUTE, HOUR]));
    rig.publish("a");
    rig.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(rig.starts.len(), 0);
    rig.restart(Duration::ZERO);
    assert_eq!(rig.starts.len(), 0, "and so it does over a restart");
    rig.advance(Duration::from_secs(20));
    assert_eq!(rig.starts.len(), 1);
    assert!(rig.sender.is_settled());
}

// Breakers

#[test]
fn an_open_breaker_holds_and_one_delivery_is_the_probe() {
    let mut rig = Rig::new();
    rig.put("a", 500, |endpoint| endpoint.breaker(policy(4, 75)).schedule([Duration::ZERO, 10 * HOUR]));
    (0..4).for_each(|_| drop(rig.publish("a")));
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.starts.len(), 4);
    let change = rig.told(|notice| match notice {
        Notice::Breaker { change, .. } => Some((*change, notice.to_string())),
        _ => None,
    });
    assert!(matches!(change.0, Transition::Opened { attempts: 4, failures: 4, .. }), "{change:?}");
    assert!(change.1.starts_with("the breaker of a opened for 30s: 4 of 4 attempts"), "{}", change.1);

    let waiting: Vec<_> = (0..5).map(|_| rig.publish("a")).collect();
    rig.advance(Duration::from_secs(20));
    assert_eq!(rig.starts.len(), 4, "it spends no attempts while it is open");
    assert!(matches!(rig.view("a").circuit, Circuit::Open { .. }));
    assert!(rig.view("a").rests.is_some());
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.starts.len(), 5, "one is the probe");
    assert_eq!(rig.starts[4].event, waiting[0], "and it is a real delivery that waits");
    rig.advance(Duration::from_secs(59));
    assert_eq!(rig.starts.len(), 5, "after a probe that failed it rests for twice as long");

    // It survives a restart, for the rest of its time.
    rig.restart(Duration::ZERO);
    assert!(matches!(rig.view("a").circuit, Circuit::Open { .. } | Circuit::HalfOpen));
    rig.answers.insert("a".into(), (Duration::from_secs(1), 204));
    rig.advance(Duration::from_millis(500));
    assert_eq!(rig.starts.len(), 1);
    assert_eq!(rig.view("a").circuit, Circuit::Probing);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.view("a").circuit, Circuit::Closed);
    assert_eq!(rig.starts.len(), 2, "after it has recovered, one at first");
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.starts.len(), 4, "then twice as many");
    rig.advance(Duration::from_secs(3));
    for event in waiting.iter().skip(1) {
        assert_eq!(rig.fate(event), Fate::Delivered, "{event}");
    }
    let text = rig.told(|notice| matches!(notice, Notice::Breaker { .. }).then(|| notice.to_string()));
    assert!(text.contains("closed"), "{text}");
}

#[test]
fn what_tells_nothing_of_the_endpoint_opens_nothing_and_probes_again() {
    let mut rig = Rig::new();
    rig.put("a", 1, |endpoint| endpoint.breaker(policy(2, 50)).schedule([Duration::ZERO, HOUR]));
    (0..5).for_each(|_| drop(rig.publish("a")));
    rig.advance(Duration::from_secs(1));
    assert_eq!((rig.view("a").circuit, rig.view("a").failing), (Circuit::Closed, None));
    rig.answers.insert("a".into(), (Duration::ZERO, 500));
    (0..3).for_each(|_| drop(rig.publish("a")));
    rig.advance(Duration::from_secs(1));
    rig.answers.insert("a".into(), (Duration::ZERO, 1));
    let before = rig.starts.len();
    (0..3).for_each(|_| drop(rig.publish("a")));
    rig.advance(MINUTE);
    assert_eq!(rig.starts.len(), before + 3, "a probe that says nothing is followed by the next");
    assert_eq!(rig.view("a").circuit, Circuit::HalfOpen);
}

#[test]
fn another_address_and_no_breaker_begin_anew() {
    let mut rig = Rig::new();
    rig.put("a", 500, |endpoint| endpoint.breaker(policy(2, 50)).schedule([Duration::ZERO, HOUR]));
    rig.put("b", 500, |endpoint| endpoint.breaker(policy(2, 50)).schedule([Duration::ZERO, HOUR]));
    for name in ["a", "b"] {
        (0..2).for_each(|_| drop(rig.publish(name)));
    }
    rig.advance(Duration::from_secs(1));
    assert!(matches!(rig.view("a").circuit, Circuit::Open { .. }));
    let elsewhere = Endpoint::new("a", "https://elsewhere.test-postrider.com/").events(["a"]).breaker(policy(2, 50));
    rig.sender.put(rig.now, elsewhere).unwrap();
    rig.put("b", 500, |endpoint| endpoint.no_breaker());
    rig.drain();
    assert_eq!((rig.view("a").circuit, rig.view("b").circuit), (Circuit::Closed, Circuit::Closed));
    assert_eq!((rig.view("a").failing.is_none(), rig.view("b").failing.is_none()), (true, false));
    rig.restart(Duration::ZERO);
    assert_eq!((rig.view("a").circuit, rig.view("b").circuit), (Circuit::Closed, Circuit::Closed));
    assert_eq!((rig.view("a").failing.is_none(), rig.view("b").failing.is_none()), (true, false));
}

// Disabling

#[test]
fn an_endpoint_that_fails_for_too_long_is_disabled() {
    let mut rig = Rig::new();
    let rule = DisableRule::new(3 * HOUR, 3).unwrap();
    rig.put("a", 500, |endpoint| endpoint.disable_after(rule).schedule([Duration::ZERO, HOUR, HOUR, HOUR, HOUR]));
    rig.publish("a");
    rig.advance(HOUR * 3 / 2);
    assert_eq!(rig.view("a").failing.map(|(count, _)| count), Some(2));
    // Failures are folded from what ended how, over a restart and over a snapshot.
    rig.restart(HOUR);
    assert_eq!(rig.view("a").failing.map(|(count, _)| count), Some(2));
    rig.advance(MINUTE);
    assert_eq!(rig.view("a").state, State::Active, "three have failed, but not for long enough");
    rig.advance(2 * HOUR);
    let State::Disabled { .. } = rig.view("a").state else { panic!("{:?}", rig.view("a")) };
    let (reason, text) = rig.told(|notice| match notice {
        Notice::Disabled { reason, .. } => Some((*reason, notice.to_string())),
        _ => None,
    });
    assert_eq!((reason.failures, reason.rule), (4, rule));
    assert!(text.starts_with("a is disabled: all 4 attempts of the last"), "{text}");
    let starts = rig.starts.len();
    rig.advance(10 * HOUR);
    assert_eq!(rig.starts.len(), starts, "what waits is held");

    rig.answers.insert("a".into(), (Duration::ZERO, 204));
    rig.sender.resume(rig.now, &key("a")).unwrap();
    rig.drain();
    rig.advance(HOUR);
    assert_eq!((rig.starts.len(), rig.view("a").failing), (starts + 1, None));
}

#[test]
fn a_success_in_between_is_enough() {
    let mut rig = Rig::new();
    rig.put("a", 500, |endpoint| endpoint.disable_after(DisableRule::new(2 * HOUR, 3).unwrap()).no_breaker().once());
    for hour in 0..9 {
        rig.answers.insert("a".into(), (Duration::ZERO, if hour % 3 == 2 { 204 } else { 500 }));
        rig.publish("a");
        rig.advance(HOUR);
    }
    assert_eq!(rig.view("a").state, State::Active);
}

// Rates

#[test]
fn a_rate_is_kept_and_empty_after_a_restart() {
    let mut rig = Rig::new();
    rig.put("a", 204, |endpoint| endpoint.rate(Rate::per_second(10).unwrap().with_burst(3).unwrap()).concurrency(64));
    (0..30).for_each(|_| drop(rig.publish("a")));
    assert_eq!(rig.starts.len(), 3, "the burst");
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.starts.len(), 13);
    rig.restart(HOUR);
    assert_eq!(rig.starts.len(), 0, "the process that died may have used all of it a moment before");
    rig.advance(Duration::from_secs(1));
    assert!((9..=10).contains(&rig.starts.len()), "{}", rig.starts.len());
}

#[test]
fn an_idle_rate_asks_for_no_wake() {
    let mut rig = Rig::new();
    rig.put("a", 204, |endpoint| endpoint.rate(Rate::per_second(10).unwrap()));
    rig.publish("a");
    rig.advance(Duration::from_secs(100));
    assert_eq!(rig.wake, Wake::Input);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Over any stretch of time no more attempts start than the rate times its length, plus the burst.
    #[test]
    fn no_more_than_the_rate_starts(
        count in 1..50_u32,
        burst in 1..10_u32,
        gaps in prop::collection::vec(0..400_u64, 1..60),
        status in prop_oneof![Just(204_u16), Just(500)],
    ) {
        let mut rig = Rig::new();
        let rate = Rate::per_second(count).unwrap().with_burst(burst).unwrap();
        rig.put("a", status, |endpoint| {
            endpoint.rate(rate).no_breaker().concurrency(1024).schedule([0, 1, 2].map(Duration::from_secs))
        });
        for gap in gaps {
            rig.publish("a");
            rig.advance(Duration::from_millis(gap));
        }
        rig.advance(Duration::from_secs(200));
        let starts: Vec<_> = rig.starts.iter().map(|start| start.at.as_nanos()).collect();
        for (at, from) in starts.iter().enumerate() {
            for (n, to) in (1_u128..).zip(&starts[at..]) {
                let allowed = u128::from(to - from) * u128::from(count) / 1_000_000_000 + u128::from(burst);
                prop_assert!(n <= allowed, "{n} starts in {} ns, {allowed} are allowed", to - from);
            }
        }
    }
}

// What is in flight

#[test]
fn a_tenant_and_a_host_have_bounds_on_what_is_in_flight() {
    let mut limits = Limits::default();
    (limits.tenant_in_flight, limits.host_in_flight) = (5, 3);
    let mut rig = Rig::with(limits);
    let same = |endpoint: Endpoint, name: &str| {
        let secret = Secret::from_bytes([9; 32]).unwrap();
        drop(endpoint);
        Endpoint::new(name, "https://same.test-postrider.com/").events([name]).signing_key(secret)
    };
    for name in ["a", "b"] {
        rig.put(name, 204, |endpoint| same(endpoint, name));
    }
    rig.put("c", 204, |endpoint| endpoint);
    let other = TenantId::new("other").unwrap();
    rig.put("d", 204, |endpoint| endpoint.tenant("other"));
    for _ in 0..10 {
        for name in ["a", "b", "c"] {
            rig.publish(name);
        }
        rig.publish_of("d", &other);
    }
    let in_flight = |rig: &Rig, names: &[&str]| -> usize { names.iter().map(|name| rig.starts_of(name).len()).sum() };
    assert_eq!(in_flight(&rig, &["a", "b"]), 3);
    assert_eq!(in_flight(&rig, &["a", "b", "c"]), 5);
    assert_eq!(in_flight(&rig, &["d"]), 3, "another tenant has bounds of its own, and so has another host");
    assert_eq!(rig.sender.host_in_flight("same.test-postrider.com", 443), 3);
    assert_eq!(rig.sender.tenant_in_flight(&TenantId::default()), 5);
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.starts.len(), 40, "each goes out in the end");
    assert!(rig.sender.is_settled());
    assert_eq!(rig.sender.host_in_flight("same.test-postrider.com", 443), 0);
    assert_eq!(rig.sender.tenant_in_flight(&TenantId::default()), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever receivers answer, and however late, no endpoint, tenant or host has more in flight than it may, and
    /// everything ends.
    #[test]
    fn no_more_is_in_flight_than_may_be(
        (tenant, host, most) in (1..7_u32, 1..5_u32, [1..5_u16, 1..5_u16, 1..5_u16, 1..5_u16]),
        steps in prop::collection::vec(
            (0..4_usize, prop_oneof![4 => Just(204_u16), 3 => Just(500), 2 => Just(429), 1 => Just(0), 1 => Just(1)], 0..3000_u64, 0..400_u64),
            1..60,
        ),
    ) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let mut limits = Limits::default();
        (limits.tenant_in_flight, limits.host_in_flight) = (tenant, host);
        let mut rig = Rig::with(limits);
        let other = TenantId::new("other").unwrap();
        for (name, most) in NAMES.into_iter().zip(most) {
            // The first two have one host; the last is another tenant's.
            let url = if ["a", "b"].contains(&name) { "https://same.test-postrider.com/" } else { "https://own.test-postrider.com/" };
            let url = if name == "d" { "https://theirs.test-postrider.com/" } else { url };
            let secret = Secret::from_bytes([9; 32]).unwrap();
            let endpoint = Endpoint::new(name, url).events([name]).signing_key(secret).concurrency(most);
            let endpoint = endpoint.schedule([0, 1, 2].map(Duration::from_secs)).timeout(Duration::from_secs(2));
            rig.put(name, 204, |_| if name == "d" { endpoint.tenant("other") } else { endpoint });
            rig.bounds.push((vec![name], most.into()));
        }
        rig.bounds.extend([
            (vec!["a", "b"], host as usize),
            (vec!["c"], host as usize),
            (vec!["d"], host.min(tenant) as usize),
            (vec!["a", "b", "c"], tenant as usize),
        ]);
        for (to, status, after, gap) in steps {
            rig.answers.insert(NAMES[to].into(), (Duration::from_millis(after), status));
            rig.publish_of(NAMES[to], &if NAMES[to] == "d" { other.clone() } else { TenantId::default() });
            rig.advance(Duration::from_millis(gap));
        }
        rig.advance(24 * HOUR);
        prop_assert!(rig.sender.is_settled(), "{:?}", rig.sender.stats());
        prop_assert_eq!((rig.sender.tenant_in_flight(&other), rig.flying.len()), (0, 0));
    }
}

// Who goes first

/// When there is more to do than can be done, retries are at most a fifth of what starts.
#[test]
fn retries_are_a_fifth_when_there_is_too_much() {
    let mut rig = Rig::new();
    rig.put("fails", 500, |endpoint| {
        endpoint.no_breaker().never_disable().concurrency(1024).schedule([0; 60].map(Duration::from_secs))
    });
    rig.put("works", 204, |endpoint| endpoint.concurrency(1024));
    rig.credit(0);
    (0..200).for_each(|_| drop(rig.publish("fails")));
    rig.credit(200);
    rig.advance(Duration::from_millis(10));
    rig.credit(0);
    (0..4000).for_each(|_| drop(rig.publish("works")));
    let before = rig.starts.len();
    rig.credit(20);
    rig.advance(Duration::from_millis(900));
    let starts = &rig.starts[before..];
    assert!(starts.len() > 1000, "{}", starts.len());
    let retries = starts.iter().filter(|start| start.number > 1).count();
    let share = retries * 100 / starts.len();
    assert!((15..=21).contains(&share), "{retries} of {} are retries", starts.len());
}

/// A tenant with much to do does not hold up one with little, and neither does an endpoint.
#[test]
fn tenants_and_endpoints_take_turns() {
    let mut rig = Rig::new();
    let other = TenantId::new("other").unwrap();
    rig.put("many", 204, |endpoint| endpoint.concurrency(1024));
    rig.put("few", 204, |endpoint| endpoint.tenant("other"));
    rig.credit(0);
    (0..1000).for_each(|_| drop(rig.publish("many")));
    let last = rig.publish_of("few", &other);
    rig.credit(4);
    let at = rig.starts.iter().position(|start| start.event == last);
    assert!(at.is_some_and(|at| at < 3), "{at:?}");
}

/// One endpoint of 64 hangs: the others' attempts do not start later than twice as late as without it.
#[test]
fn an_endpoint_that_hangs_delays_no_other() {
    let worst = |hangs: bool| {
        let mut rig = Rig::new();
        rig.credit(64);
        let names: Vec<_> = (0..64).map(|n| format!("e{n}")).collect();
        for name in &names {
            rig.put(name, 204, |endpoint| endpoint);
            rig.answers.insert(name.clone(), (Duration::from_millis(50), 204));
        }
        if hangs {
            rig.answers.insert("e0".into(), (Duration::ZERO, 0));
        }
        for _ in 0..60 {
            for name in names.iter().flat_map(|name| [name; 4]) {
                rig.publish(name);
            }
            rig.advance(Duration::from_secs(1));
        }
        let others = rig.starts.iter().filter(|start| start.endpoint != "e0" && start.number == 1);
        let mut delays: Vec<_> = others.map(|start| start.at.saturating_since(rig.published[&start.event])).collect();
        assert_eq!(delays.len(), 63 * 4 * 60, "each was started");
        delays.sort_unstable();
        (delays[delays.len() * 99 / 100], delays[delays.len() - 1])
    };
    let ((usual, usual_worst), (hung, hung_worst)) = (worst(false), worst(true));
    assert!(hung <= 2 * usual && hung_worst <= 2 * usual_worst, "{usual:?} {usual_worst:?}, {hung:?} {hung_worst:?}");
}

// How long may it wait

#[test]
fn what_waits_too_long_for_its_endpoint_expires() {
    let mut rig = Rig::new();
    rig.put("a", 204, |endpoint| endpoint.queue_limit(MINUTE));
    rig.sender.pause(rig.now, &key("a")).unwrap();
    let early = rig.publish("a");
    rig.advance(MINUTE);
    let late = rig.publish("a");
    rig.advance(Duration::from_secs(1));
    rig.sender.resume(rig.now, &key("a")).unwrap();
    rig.drain();
    rig.advance(Duration::from_secs(1));
    assert_eq!((rig.fate(&early), rig.fate(&late)), (Fate::Expired, Fate::Delivered));
    let (why, text) = rig.told(|notice| match notice {
        Notice::Expired { why, .. } => Some((*why, notice.to_string())),
        _ => None,
    });
    assert!(matches!(why, Expiry::Queue(_)), "{why:?}");
    assert!(text.ends_with("because it waited 61s for its endpoint, at most 60s is allowed"), "{text}");
}

/// How an endpoint is paced is kept.
#[test]
fn pacing_survives_a_restart() {
    let mut rig = Rig::new();
    rig.put("a", 204, |endpoint| {
        let endpoint = endpoint.rate(Rate::per_hour(7).unwrap().with_burst(2).unwrap()).breaker(policy(20, 50));
        endpoint.disable_after(DisableRule::new(HOUR, 9).unwrap()).queue_limit(MINUTE).max_age(3 * HOUR)
    });
    rig.put("b", 204, |endpoint| endpoint.no_breaker().never_disable());
    rig.put("c", 204, |endpoint| endpoint);
    let before = ["a", "b", "c"].map(|name| (rig.view(name).pacing, rig.view(name).schedule));
    rig.restart(HOUR);
    assert_eq!(["a", "b", "c"].map(|name| (rig.view(name).pacing, rig.view(name).schedule)), before);
    let a = before[0].0;
    assert!(a.rate.is_some() && a.queue.is_some() && before[1].0.breaker.is_none() && before[1].0.disable.is_none());
}

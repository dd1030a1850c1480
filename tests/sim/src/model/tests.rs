//! Each judge finds what it is for, and nothing where nothing is wrong.

use super::*;
use crate::observe::{
    Ask, Clocks, Death, Departure, Form, Kept, Key, Note, Outcome, Pace, Place, Report, Rules, SECOND, Spec,
    Submission, Told, Wish,
};

mod past;

const KEYS: [Key; 2] = [Key { number: 0, secret: [1; 32] }, Key { number: 1, secret: [2; 32] }];
const WALL: u64 = 1_767_225_600_000;

/// A node that does what a test says, and a model that watches.
pub(super) struct Stage {
    model: Model,
    at: u64,
    booted: u64,
    calls: u64,
    attempts: u64,
    /// Nanoseconds that the wall clock is behind.
    behind: u64,
}

impl Stage {
    /// A node with an endpoint that wants everything, with two attempts 10 s apart, two at once.
    fn new() -> Self {
        Self::paced(Pace::default())
    }

    /// The same with an endpoint that is to be spared so.
    pub(super) fn paced(pace: Pace) -> Self {
        Self::of(&Spec { pace, ..spec(1) })
    }

    /// The same with an endpoint like this.
    pub(super) fn of(spec: &Spec) -> Self {
        let rules = Rules {
            seed: 1,
            nodes: 1,
            credit: 3,
            window: 24 * 3600 * SECOND,
            remembered: 1000,
            payload: 1000,
            tenant_bound: u32::MAX,
            host_bound: u32::MAX,
            faultless: false,
            rots: false,
            lies: false,
            jumps: false,
            stalls: false,
            history: Kept {
                payloads: 3_600_000,
                attempts: 7_200_000,
                payload_bytes: u64::MAX,
                attempt_bytes: u64::MAX,
            },
        };
        let mut stage = Self { model: Model::default(), at: 0, booted: 0, calls: 0, attempts: 0, behind: 0 };
        stage.ok(&Seen::Began(&rules));
        stage.ok(&Seen::Restarted { node: 0, clocks: stage.clocks(), lost: &[] });
        assert_eq!(stage.ask(Wish::Put(spec), Told::Ok { fresh: true }), Ok(()));
        stage
    }

    pub(super) fn clocks(&self) -> Clocks {
        Clocks { mono: self.at - self.booted, wall: WALL + (self.at - self.behind) / 1_000_000 }
    }

    pub(super) fn see(&mut self, seen: &Seen<'_>) -> Result<(), u8> {
        self.model.see(SimTime(self.at), seen).map_err(|broken| broken.law)
    }

    fn ok(&mut self, seen: &Seen<'_>) {
        assert_eq!(self.see(seen), Ok(()), "{seen:?}");
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.at += seconds * SECOND;
    }

    /// Sets the wall clock to be so many seconds behind.
    pub(super) fn step_back(&mut self, seconds: u64) {
        self.behind = seconds * SECOND;
    }

    pub(super) fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(super) fn ask(&mut self, wish: Wish<'_>, told: Told) -> Result<(), u8> {
        self.calls += 1;
        self.ok(&Seen::Asked { call: self.calls, node: 0, clocks: self.clocks(), wish });
        self.see(&Seen::Answered { call: self.calls, told })
    }

    pub(super) fn publish(&mut self, event: u64, payload: &[u8], told: Told) -> Result<(), u8> {
        let submission = Submission {
            event,
            tenant: 0,
            event_type: "a.b",
            payload,
            expires: None,
            idempotency: None,
            key: None,
            replay: None,
        };
        self.ask(Wish::Publish(submission), told)
    }

    pub(super) fn accept(&mut self, event: u64) {
        assert_eq!(self.publish(event, b"{}", Told::Ok { fresh: true }), Ok(()));
    }

    pub(super) fn start(&mut self, event: &str, number: u16) -> Result<(), u8> {
        self.attempts += 1;
        let clocks = self.clocks();
        let time = 20 * SECOND;
        self.see(&Seen::Started { attempt: self.attempts, node: 0, clocks, endpoint: 1, event, number, time })
    }

    pub(super) fn end(&mut self, attempt: u64, status: u16) {
        let outcome = Outcome::Status { status, lines: &[], body: &[] };
        self.ok(&Seen::Ended { attempt, clocks: self.clocks(), outcome });
    }

    fn fail(&mut self, attempt: u64, lines: &[(&str, &[u8])]) {
        let outcome = Outcome::Status { status: 500, lines, body: &[] };
        self.ok(&Seen::Ended { attempt, clocks: self.clocks(), outcome });
    }

    pub(super) fn restart(&mut self, how: Death) {
        self.ok(&Seen::Died { node: 0, how });
        self.booted = self.at;
        self.ok(&Seen::Restarted { node: 0, clocks: self.clocks(), lost: &[] });
    }

    fn depart(&mut self, event: &str, number: &str, signers: &[Key], address: &str, body: &[u8]) -> Result<(), u8> {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let secs = (self.clocks().wall / 1000).to_string();
        let sign = |key: &Key| {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key.secret).expect("any length");
            mac.update(&[event.as_bytes(), b".", secs.as_bytes(), b".", body].concat());
            format!("v1,{}", base64::encode(&mac.finalize().into_bytes()))
        };
        let signatures = signers.iter().map(sign).collect::<Vec<_>>().join(" ");
        let headers = [
            ("webhook-id", event.as_bytes()),
            ("webhook-timestamp", secs.as_bytes()),
            ("webhook-signature", signatures.as_bytes()),
            ("postrider-attempt", number.as_bytes()),
        ];
        let address = address.parse().expect("an address");
        let (attempt, clocks) = (self.attempts, self.clocks());
        self.see(&Seen::Departed(Departure { attempt, address, port: 443, clocks, headers: &headers, body }))
    }
}

pub(super) fn spec(endpoint: u32) -> Spec {
    Spec {
        endpoint,
        tenant: 0,
        host: "example.com".to_owned(),
        port: 443,
        patterns: vec!["**".to_owned()],
        filter: None,
        schemes: Vec::new(),
        form: Form::Data,
        schedule: vec![0, 10 * SECOND],
        timeout: 20 * SECOND,
        concurrency: 2,
        keeps_answers: false,
        place: Place::Anywhere,
        coalesce: false,
        pace: Pace::default(),
        ask: Ask::Nobody,
        keys: KEYS.to_vec(),
    }
}

/// What a node reports when it is asked.
struct Known(Option<bool>);

impl Look for Known {
    fn is_up(&self, _: u32) -> bool {
        true
    }

    fn report(&self, _: u32, tenant: u32, event: u64, read: &mut dyn FnMut(Report<'_>)) -> bool {
        let told = self.0.map(|settled| Report { event, tenant, settled, tally: [0; 7], rows: &[] });
        told.map(read).is_some()
    }

    fn in_flight(&self, _: u32) -> u64 {
        0
    }

    fn events(&self, _: u32) -> u64 {
        0
    }
}

const REFUSED: Told = Told::Refused(crate::observe::Refusal::Conflict);
const FRESH: Told = Told::Ok { fresh: true };
const REPEAT: Told = Told::Ok { fresh: false };

#[test]
fn an_ordinary_delivery_is_nobodys_fault() {
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.depart("e1", "1", &KEYS, "93.184.0.1", b"{}"), Ok(()));
    stage.fail(1, &[]);
    stage.wait(11);
    assert_eq!(stage.start("e1", 2), Ok(()));
    stage.end(2, 204);
    stage.ok(&Seen::Settled { node: 0, report: None, event: "e1" });
    assert_eq!(stage.publish(1, b"{}", REPEAT), Ok(()));
    assert_eq!(stage.publish(1, b"[]", REFUSED), Ok(()));
    assert_eq!(stage.model.end(SimTime(stage.at), &Known(None)).map_err(|broken| broken.law), Ok(()));
}

#[test]
fn what_is_lost_is_missed() {
    let mut stage = Stage::new();
    stage.accept(1);
    let at = SimTime(stage.at);
    let law = |stage: &mut Stage, known| stage.model.end(at, &Known(known)).map_err(|broken| broken.law);
    assert_eq!(law(&mut stage, Some(false)), Err(3), "known, and not delivered");
    assert_eq!(law(&mut stage, None), Err(1), "not known");
    assert_eq!(stage.see(&Seen::Settled { node: 0, report: None, event: "e1" }), Err(1), "ended without an attempt");
    assert_eq!(stage.see(&Seen::Restarted { node: 0, clocks: stage.clocks(), lost: &[1] }), Err(18));
}

#[test]
fn whom_a_node_forgot_before_it_was_durable_may_come_back() {
    let look = |stage: &mut Stage| {
        let at = SimTime(stage.at);
        assert_eq!(stage.model.sweep(at, &Known(None)).map_err(|broken| broken.law), Ok(()));
    };
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.end(1, 200);
    look(&mut stage);
    look(&mut stage);
    stage.restart(Death::Power);
    assert_eq!(stage.start("e1", 1), Ok(()), "nobody was told that it has settled");
    stage.end(2, 200);
    look(&mut stage);
    stage.restart(Death::Power);
    look(&mut stage);
    assert_eq!(stage.start("e1", 1), Err(4), "the log does not have it any more");
}

#[test]
fn what_was_never_owed_is_made_up() {
    let mut stage = Stage::new();
    assert_eq!(stage.start("e7", 1), Err(4));
    assert_eq!(stage.start("x7", 1), Err(2));
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.depart("e1", "1", &KEYS, "93.184.0.1", b"[]"), Err(2), "another body");
}

#[test]
fn an_end_is_an_end() {
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.end(1, 200);
    assert_eq!(stage.start("e1", 2), Err(14), "in the same life");
    stage.restart(Death::Kill);
    assert_eq!(stage.start("e1", 1), Ok(()), "its outcome may be lost");
    stage.end(3, 200);
    stage.wait(1);
    stage.accept(2);
    stage.restart(Death::Power);
    assert_eq!(stage.start("e1", 2), Err(4), "something later was durable");
}

#[test]
fn an_event_that_nobody_remembers_begins_anew() {
    let report = |settled| Seen::Settled {
        node: 0,
        event: "e1",
        report: Some(Report { event: 1, tenant: 0, settled, tally: [0; 7], rows: &[] }),
    };
    let submission = Submission {
        event: 1,
        tenant: 0,
        event_type: "a.b",
        payload: b"{}",
        expires: None,
        idempotency: None,
        key: None,
        replay: None,
    };
    let mut stage = Stage::new();
    assert_eq!(stage.publish(1, b"{}", Told::Lost), Ok(()));
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.end(1, 200);
    stage.ok(&Seen::Asked { call: 9, node: 0, clocks: stage.clocks(), wish: Wish::Publish(submission) });
    stage.ok(&report(false));
    stage.ok(&Seen::Answered { call: 9, told: FRESH });
    assert_eq!(stage.see(&report(true)), Err(1), "the delivery of its next life has not ended");
    assert_eq!(stage.start("e1", 1), Ok(()), "it is counted from the beginning");
    stage.fail(2, &[]);
    assert_eq!(stage.start("e1", 2), Err(5), "and paced");
}

#[test]
fn nothing_is_early() {
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.fail(1, &[]);
    stage.wait(9);
    assert_eq!(stage.start("e1", 2), Err(5));
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.fail(1, &[("retry-after", b"60")]);
    stage.accept(2);
    stage.wait(20);
    stage.restart(Death::Kill);
    stage.wait(20);
    assert_eq!(stage.start("e1", 2), Err(5), "a restart does not shorten it");
}

#[test]
fn not_too_many_at_once() {
    let mut stage = Stage::new();
    (1..=3).for_each(|event| stage.accept(event));
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.start("e1", 1), Err(14), "the same twice");
    let mut stage = Stage::new();
    (1..=3).for_each(|event| stage.accept(event));
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.start("e2", 1), Ok(()));
    assert_eq!(stage.start("e3", 1), Err(8));
    let mut stage = Stage::new();
    assert_eq!(stage.ask(Wish::Pause(1), FRESH), Ok(()));
    stage.accept(1);
    stage.accept(2);
    assert_eq!(stage.start("e1", 1), Err(23), "it is paused");
    assert_eq!(stage.ask(Wish::Resume(1), FRESH), Ok(()));
    assert_eq!(stage.start("e2", 1), Err(8), "slowly at first");
}

#[test]
fn attempts_are_numbered() {
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 2), Err(13));
    let mut stage = Stage::new();
    stage.accept(1);
    for number in [1, 2] {
        assert_eq!(stage.start("e1", number), Ok(()));
        stage.fail(number.into(), &[]);
        stage.wait(20);
    }
    assert_eq!(stage.start("e1", 3), Err(13), "the schedule has two");
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.fail(1, &[]);
    stage.accept(2);
    stage.restart(Death::Power);
    assert_eq!(stage.start("e1", 1), Err(13), "the first is remembered");
    // Whether the endpoint was removed is not known, and the machine ended the first attempt by itself.
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.ask(Wish::Remove(1), Told::Lost), Ok(()));
    assert_eq!(stage.ask(Wish::Put(&spec(1)), Told::Ok { fresh: false }), Ok(()));
    stage.wait(60);
    assert_eq!(stage.start("e1", 2), Ok(()), "it goes on");
}

#[test]
fn requests_are_signed_by_the_right_keys() {
    let departs = |signers: &[Key], revoked: bool, number: &str| {
        let mut stage = Stage::new();
        stage.accept(1);
        if revoked {
            assert_eq!(stage.ask(Wish::RevokeKey(1, KEYS[1]), FRESH), Ok(()));
        }
        assert_eq!(stage.start("e1", 1), Ok(()));
        stage.depart("e1", number, signers, "93.184.0.1", b"{}")
    };
    assert_eq!(departs(&KEYS, false, "1"), Ok(()));
    assert_eq!(departs(&KEYS[..1], false, "1"), Err(12), "one key has not signed");
    assert_eq!(departs(&KEYS[..1], true, "1"), Ok(()));
    assert_eq!(departs(&KEYS, true, "1"), Err(12), "a revoked one has");
    assert_eq!(departs(&KEYS, false, "2"), Err(12), "another number");
}

#[test]
fn nothing_private_is_dialled() {
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.depart("e1", "1", &KEYS, "169.254.169.254", b"{}"), Err(26));
}

#[test]
fn repeats_are_repeats() {
    let mut stage = Stage::new();
    stage.accept(1);
    assert_eq!(stage.publish(1, b"{}", FRESH), Err(14));
    assert_eq!(stage.publish(1, b"[]", REPEAT), Err(1), "other content");
    assert_eq!(stage.publish(2, b"{}", REFUSED), Err(14), "nobody else has that name");
    assert_eq!(stage.publish(3, b"{}", REPEAT), Err(1), "never submitted before");
}

#[test]
fn what_nobody_was_told_may_be_so_or_so() {
    let mut stage = Stage::new();
    assert_eq!(stage.publish(1, b"{}", Told::Lost), Ok(()));
    assert_eq!(stage.ask(Wish::Pause(1), Told::Lost), Ok(()));
    assert_eq!(stage.ask(Wish::RevokeKey(1, KEYS[1]), Told::Lost), Ok(()));
    assert_eq!(stage.start("e1", 1), Ok(()));
    assert_eq!(stage.depart("e1", "1", &KEYS[..1], "93.184.0.1", b"{}"), Ok(()));
    assert_eq!(stage.model.end(SimTime(stage.at), &Known(None)).map_err(|broken| broken.law), Ok(()));
}

#[test]
fn the_model_knows_nothing_of_the_core() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model");
    let sources = [folder.join("tests"), folder].map(|folder| std::fs::read_dir(folder).expect("the model's sources"));
    let paths = sources.into_iter().flatten().map(|entry| entry.expect("it can be read").path());
    for path in paths.filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).expect("a source");
        let crates = [["postrider", "_core"].concat(), ["postrider", "_journal"].concat()];
        assert!(crates.iter().all(|name| !text.contains(name)), "{}", path.display());
        let lines = text.lines().count();
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        assert!(is_test || lines <= 400, "{} has {lines} lines", path.display());
    }
}

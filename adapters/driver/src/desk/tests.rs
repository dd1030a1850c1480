use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider_core::limits::Limits;
use postrider_core::registration::State;
use postrider_core::response::Reply as Answered;
use postrider_core::sender::{EventReport, PersistBatch};
use postrider_core::sender::{LoadRequest, SnapshotPart, Watermark};
use postrider_journal::{Done, MemoryLog, Records, Tell};

use super::*;
use crate::error::SettledError;
use crate::facts::lock;

/// Carries nothing and remembers everything.
#[derive(Default)]
pub(super) struct Carrier {
    pub(super) carried: Vec<Transmit>,
    aborted: Vec<AttemptId>,
}

impl Carry for Carrier {
    fn transmit(&mut self, transmit: Transmit) {
        self.carried.push(transmit);
    }

    fn abort(&mut self, attempt: AttemptId) {
        self.aborted.push(attempt);
    }
}

/// A log on a disk that the test turns by hand.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<VecDeque<(PersistBatch, Done)>>>, Arc<Mutex<Option<Tell>>>);

impl Held {
    fn next(&self) -> Option<(PersistBatch, Done)> {
        lock(&self.0).pop_front()
    }

    /// Acknowledges the oldest batch, or all of them.
    fn persist_one(&self) {
        let (batch, done) = self.next().expect("a batch was handed out");
        done(Input::Persisted(batch.last()));
    }

    fn persist_all(&self) {
        while let Some((batch, done)) = self.next() {
            done(Input::Persisted(batch.last()));
        }
    }

    fn tell(&self, input: Input) {
        let tell = lock(&self.1).clone();
        tell.expect("the desk has attached itself")(input);
    }

    /// Fails the oldest batch, and with it those after it.
    fn fail(&self, why: PersistFailure) {
        let Some((batch, done)) = self.next() else { return };
        done(Input::PersistFailed { from: batch.first(), why });
        lock(&self.0).drain(..).for_each(|(_, done)| done(Input::Tick));
    }
}

impl Log for Held {
    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn records(&mut self) -> Records<'_> {
        Box::new(std::iter::empty())
    }

    fn attach(&mut self, tell: Tell) {
        *lock(&self.1) = Some(tell);
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        lock(&self.0).push_back((batch, done));
    }

    fn load(&mut self, _: LoadRequest, _: Done) {}

    fn snapshot(&mut self, _: SnapshotPart) {}

    fn reclaim(&mut self, _: Watermark) {}
}

pub(super) struct Bench {
    pub(super) desk: Desk,
    pub(super) carrier: Carrier,
}

impl Bench {
    pub(super) fn new(log: impl Log) -> Self {
        Self::with(log, Limits::default())
    }

    fn with(log: impl Log, limits: Limits) -> Self {
        Self { desk: Desk::open(log, Config::new().limits(limits)).unwrap(), carrier: Carrier::default() }
    }

    pub(super) fn run(&mut self) {
        let _ = self.until_idle();
    }

    /// Turns until nothing is due within a second, sleeping where the machine says so.
    fn until_idle(&mut self) -> Wake {
        loop {
            let wake = self.desk.turn(&mut self.carrier);
            match self.desk.clock().until(wake) {
                Some(rest) if rest < Duration::from_secs(1) => std::thread::sleep(rest),
                Some(_) | None => return wake,
            }
        }
    }

    pub(super) fn put(&mut self, endpoint: Endpoint) -> Receiver<Result<Registered, PutError>> {
        let (reply, answer) = channel();
        self.desk.put(endpoint, reply);
        answer
    }

    pub(super) fn publish(&mut self, event: Event) -> Receiver<Result<Receipt, PublishError>> {
        let (reply, answer) = channel();
        self.desk.publish(event, reply);
        answer
    }

    fn command(&mut self, command: Command) -> Receiver<Result<Change, CommandError>> {
        let (reply, answer) = channel();
        self.desk.command(command, reply);
        answer
    }

    pub(super) fn settled(&mut self, event: &str) -> (Receiver<Result<EventReport, SettledError>>, Option<Waiting>) {
        let (reply, answer) = channel();
        let event = EventId::new(event).unwrap();
        let waiting = self.desk.settled(&TenantId::default(), &event, reply);
        (answer, waiting)
    }

    pub(super) fn complete_all(&mut self, status: u16) {
        for transmit in self.carrier.carried.drain(..) {
            self.desk.facts().put(Input::Completed { attempt: transmit.attempt(), outcome: Ok(Answered::new(status)) });
        }
    }
}

pub(super) fn channel<T: Send + 'static>() -> (Reply<T>, Receiver<T>) {
    let (tell, told) = mpsc::channel();
    (Box::new(move |answer| drop(tell.send(answer))), told)
}

pub(super) fn paid(id: &str) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": 1001 })).unwrap().id(id)
}

pub(super) fn unwanted(id: &str) -> Event {
    Event::json("nobody.cares", &1).unwrap().id(id)
}

pub(super) fn acme() -> Endpoint {
    Endpoint::new("acme", "https://acme.com/hooks").events(["order.**"])
}

fn acme_key() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

#[test]
fn an_event_walks_through() {
    let mut bench = Bench::new(MemoryLog::new());
    let notices = bench.desk.notices();
    let registered = bench.put(acme());
    bench.run();
    registered.try_recv().unwrap().unwrap();

    let receipt = bench.publish(paid("order-1001-paid"));
    assert!(receipt.try_recv().is_err(), "nothing is promised before it is in the log");
    let (settled, waiting) = bench.settled("order-1001-paid");
    assert!(waiting.is_some());
    bench.run();
    let receipt = receipt.try_recv().unwrap().unwrap();
    assert_eq!(receipt.to_string(), "accepted order-1001-paid, in memory only, 1 endpoint");
    assert!(receipt.is_fresh());
    assert_eq!(bench.carrier.carried[0].event().as_str(), "order-1001-paid");
    assert!(settled.try_recv().is_err());

    bench.complete_all(200);
    bench.run();
    let report = settled.try_recv().unwrap().unwrap();
    assert_eq!((report.settled, report.tally.delivered), (true, 1));
    assert!(matches!(notices.try_next(), Heard::Notice(Notice::Settled { .. })));
    assert_eq!(notices.try_next(), Heard::Nothing);

    // What is known already is answered within the call.
    let (settled, waiting) = bench.settled("order-1001-paid");
    assert_eq!((settled.try_recv().unwrap().unwrap(), waiting), (report, None));
    let repeat = bench.publish(paid("order-1001-paid")).try_recv().unwrap().unwrap();
    assert!(!repeat.is_fresh());
    assert_eq!((repeat.seq(), repeat.event()), (receipt.seq(), receipt.event()));
    let (unknown, _) = bench.settled("order-1002-paid");
    assert!(matches!(unknown.try_recv().unwrap(), Err(SettledError::Unknown(_))));
}

#[test]
fn an_event_without_an_id_gets_one_and_a_disk_is_named_with_its_place() {
    let log = Held::default();
    let mut bench = Bench::new(log.clone());
    bench.run();
    let answer = bench.publish(Event::json("order.paid", &1).unwrap());
    bench.run();
    assert!(answer.try_recv().is_err());
    log.persist_all();
    bench.run();
    let receipt = answer.try_recv().unwrap().unwrap();
    let said = receipt.to_string();
    assert_eq!(said, format!("accepted {}, on disk at 3, no endpoint wants it", receipt.event()));
    assert!(receipt.event().as_str().starts_with("msg_"));
}

#[test]
fn a_new_endpoint_gets_a_secret_that_is_shown_once() {
    let mut bench = Bench::new(MemoryLog::new());
    let (first, second) = (bench.put(acme()), bench.put(acme()));
    assert!(first.try_recv().is_err());
    bench.run();
    let created = first.try_recv().unwrap().unwrap();
    let secret = created.created().expect("it was minted");
    assert!(!format!("{created:?}").contains(&secret.reveal()[6..]));
    let second = second.try_recv().unwrap().unwrap();
    assert!(second.created().is_none() && matches!(second.put(), Put::Unchanged(_)));
    let view = bench.desk.read(|machine| machine.endpoint(&acme_key())).unwrap();
    assert_eq!(view.keys, [(secret.id(), None)]);

    let own = Endpoint::new("own", "https://own.com/").signing_key(mint::secret().unwrap());
    let own = bench.put(own);
    bench.run();
    let own = own.try_recv().unwrap().unwrap();
    assert!(own.created().is_none() && matches!(own.put(), Put::Created(_)));
}

#[test]
fn an_endpoint_that_is_refused_comes_back_as_it_was() {
    let mut limits = Limits::default();
    limits.endpoints = 1;
    let mut bench = Bench::with(MemoryLog::new(), limits);
    let _ = bench.put(acme());
    let refused = bench.put(Endpoint::new("other", "https://other.com/")).try_recv().unwrap().unwrap_err();
    assert!(matches!(refused, PutError::Refused(NotPut::TooMany(_))));
    assert!(!refused.into_endpoint().unwrap().has_secret(), "nobody would ever learn a secret that came back");
    let refused = bench.put(Endpoint::new("other", "ftp://other.com/")).try_recv().unwrap().unwrap_err();
    assert!(matches!(refused, PutError::Refused(NotPut::Invalid(..))));
}

#[test]
fn commands_are_answered_when_they_are_durable() {
    let log = Held::default();
    let mut bench = Bench::new(log.clone());
    let _ = bench.put(acme());
    let paused = bench.command(Command::Pause(acme_key()));
    let missing = EndpointKey::new("missing").unwrap();
    let refused = bench.command(Command::Remove(missing)).try_recv().unwrap();
    assert!(matches!(refused, Err(CommandError::Refused(_))));
    bench.run();
    assert!(paused.try_recv().is_err());
    log.persist_all();
    bench.run();
    assert!(paused.try_recv().unwrap().unwrap().changed);
    let state = bench.desk.read(|machine| machine.endpoint(&acme_key()).map(|view| view.state));
    assert!(matches!(state, Some(State::Paused { .. })));
}

#[test]
fn a_log_that_breaks_once_is_forgiven_and_twice_ends_everything() {
    let log = Held::default();
    let mut bench = Bench::new(log.clone());
    bench.run();
    log.persist_all();
    let first = bench.publish(unwanted("first"));
    bench.run();
    log.fail(PersistFailure::Broken);
    bench.run();
    assert!(first.try_recv().is_err());
    log.persist_all();
    bench.run();
    assert!(first.try_recv().unwrap().is_ok());
    log.persist_all();

    let notices = bench.desk.notices();
    let lost = bench.publish(paid("lost"));
    let repeat = bench.publish(paid("lost"));
    let endpoint = bench.put(acme());
    let command = bench.command(Command::Disable(acme_key()));
    let (settled, _) = bench.settled("lost");
    for _ in 0..2 {
        bench.run();
        log.fail(PersistFailure::Broken);
    }
    assert_eq!(bench.until_idle(), Wake::Closed);
    for answer in [lost, repeat] {
        assert!(matches!(answer.try_recv().unwrap(), Err(PublishError::NotDurable(id)) if id.as_str() == "lost"));
    }
    assert!(matches!(endpoint.try_recv().unwrap(), Err(PutError::NotDurable)));
    assert_eq!(command.try_recv().unwrap(), Err(CommandError::NotDurable));
    assert!(matches!(settled.try_recv().unwrap(), Err(SettledError::Closed(_))));
    let heard: Vec<_> = std::iter::from_fn(|| Some(notices.try_next()).filter(|heard| *heard != Heard::Over)).collect();
    assert_eq!(heard.last(), Some(&Heard::Notice(Notice::Fenced)));

    // Afterwards nobody waits either.
    let refused = bench.publish(paid("late")).try_recv().unwrap().unwrap_err();
    assert!(matches!(refused, PublishError::Refused(postrider_core::sender::Refused::Fenced(_))));
    assert!(matches!(bench.settled("lost").0.try_recv().unwrap(), Err(SettledError::Closed(_))));
    assert_eq!(bench.desk.notices().try_next(), Heard::Over);
}

#[test]
fn a_log_that_is_full_says_when_there_is_room() {
    let log = Held::default();
    let mut bench = Bench::new(log.clone());
    let waits = bench.publish(unwanted("waits"));
    bench.run();
    log.fail(PersistFailure::Full);
    bench.run();
    let refused = bench.publish(unwanted("other")).try_recv().unwrap().unwrap_err();
    assert!(refused.is_temporary() && lock(&log.0).is_empty());
    log.tell(Input::Room(1 << 30));
    bench.run();
    log.persist_all();
    bench.run();
    assert!(waits.try_recv().unwrap().is_ok());
}

#[test]
fn a_log_that_drops_a_request_has_failed() {
    let log = Held::default();
    let mut bench = Bench::new(log.clone());
    let answer = bench.publish(paid("x"));
    for _ in 0..2 {
        bench.run();
        lock(&log.0).clear();
    }
    assert_eq!(bench.until_idle(), Wake::Closed);
    assert!(matches!(answer.try_recv().unwrap(), Err(PublishError::NotDurable(_))));
}

#[test]
fn whoever_waits_for_an_event_survives_notices_that_were_not_kept() {
    let log = Held::default();
    let mut bench = Bench::new(log.clone());
    let _ = (bench.put(acme()), bench.publish(paid("slow")));
    bench.run();
    log.persist_all();
    bench.run();
    assert_eq!(bench.carrier.carried.len(), 1);
    // More events end than notices are kept, and their ends are on their way to the log.
    for n in 0..1100 {
        let _ = bench.publish(unwanted(&format!("u{n}")));
    }
    bench.run();
    log.persist_all();
    bench.run();
    let (slow, _) = bench.settled("slow");
    let (late, _) = bench.settled("u1099");
    bench.complete_all(200);
    bench.run();
    assert!(lock(&log.0).len() > 1, "the ends of the many, and behind them that of the one");
    let notices = bench.desk.notices();
    while lock(&log.0).len() > 1 {
        log.persist_one();
        bench.run();
    }
    assert!(late.try_recv().unwrap().unwrap().settled);
    assert!(slow.try_recv().is_err());
    let heard: Vec<_> =
        std::iter::from_fn(|| Some(notices.try_next()).filter(|heard| *heard != Heard::Nothing)).collect();
    assert_eq!(heard.len(), NOTICES + 1);
    assert_eq!(heard.last(), Some(&Heard::Missed(1)), "what did not fit is the notice that 77 were folded");
    log.persist_all();
    bench.run();
    assert!(slow.try_recv().unwrap().unwrap().settled, "its own notice was folded before it was true");
}

#[test]
fn whoever_gives_up_is_forgotten() {
    let mut bench = Bench::new(MemoryLog::new());
    let _ = (bench.put(acme()), bench.publish(paid("x")));
    let (gone, waiting) = bench.settled("x");
    let (stays, _) = bench.settled("x");
    bench.desk.give_up(waiting.unwrap());
    assert!(matches!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected)));
    bench.run();
    bench.complete_all(200);
    bench.run();
    assert!(stays.try_recv().unwrap().is_ok());
}

#[test]
fn a_payload_that_left_memory_is_loaded_from_the_log() {
    let mut limits = Limits::default();
    limits.resident = 0;
    let log = MemoryLog::new();
    let mut bench = Bench::with(log.clone(), limits);
    let _ = (bench.put(acme()), bench.command(Command::Pause(acme_key())), bench.publish(paid("x")));
    bench.run();
    assert_eq!(bench.desk.read(Sender::resident), 0);
    assert_eq!((log.len(), bench.carrier.carried.len()), (1, 0));
    let _ = bench.command(Command::Resume(acme_key()));
    bench.run();
    assert_eq!(bench.desk.read(|machine| machine.stats().loaded), 1);
    let addr = "93.184.216.34:443".parse().unwrap();
    let body = bench.carrier.carried[0].clear(addr).unwrap().body().clone();
    assert!(body.ends_with(br#""data":{"id":1001}}"#), "{body:?}");
    bench.complete_all(200);
    bench.run();
    assert!(log.is_empty() && log.bytes() == 0, "an event that has ended is not kept");
}

#[test]
fn a_store_is_taken_up_again() {
    let log = MemoryLog::keeping();
    let mut bench = Bench::new(log.clone());
    let created = bench.put(acme());
    let _ = (bench.put(Endpoint::new("quiet", "https://quiet.com/").events(["never"])), bench.publish(paid("done")));
    bench.run();
    bench.complete_all(200);
    let _ = (bench.command(Command::Pause(acme_key())), bench.publish(paid("owed")));
    bench.run();
    let shown = |bench: &Bench| {
        let page = bench.desk.read(|machine| machine.endpoints(&TenantId::default(), None, 10));
        page.items.into_iter().map(|view| (view.key, view.target, view.keys, view.state)).collect::<Vec<_>>()
    };
    let before = shown(&bench);
    assert_eq!(before.len(), 2);
    assert_eq!(before[0].2[0].0, created.try_recv().unwrap().unwrap().created().unwrap().id());
    drop(bench);

    let mut bench = Bench::new(log);
    assert_eq!(shown(&bench), before);
    assert_eq!(bench.desk.read(|machine| (machine.incarnation(), machine.events())), (2, 1));
    bench.run();
    assert!(bench.carrier.carried.is_empty());
    let _ = bench.command(Command::Resume(acme_key()));
    let (settled, _) = bench.settled("owed");
    bench.run();
    assert_eq!(bench.carrier.carried.len(), 1);
    bench.complete_all(200);
    bench.run();
    assert_eq!(settled.try_recv().unwrap().unwrap().tally.delivered, 1);
    let repeat = bench.publish(paid("done")).try_recv().unwrap().unwrap();
    assert!(!repeat.is_fresh(), "repeats are recognised across runs");
}

#[test]
fn closing_waits_for_what_is_in_flight_and_answers_everybody() {
    let mut bench = Bench::new(MemoryLog::new());
    let _ = (bench.put(acme()), bench.publish(paid("flies")));
    bench.run();
    let (flies, _) = bench.settled("flies");
    let waits = bench.publish(unwanted("accepted just before"));
    bench.desk.close(Close::Drain);
    assert_ne!(bench.until_idle(), Wake::Closed);
    assert!(waits.try_recv().unwrap().is_err(), "a space is no id");
    bench.complete_all(200);
    assert_eq!(bench.until_idle(), Wake::Closed);
    assert!(flies.try_recv().unwrap().is_ok());
    assert_eq!(bench.until_idle(), Wake::Closed);
}

#[test]
fn closing_now_aborts_and_keeps_what_is_owed() {
    let log = MemoryLog::keeping();
    let mut bench = Bench::new(log.clone());
    let _ = (bench.put(acme()), bench.publish(paid("owed")));
    bench.run();
    let (settled, _) = bench.settled("owed");
    let last = bench.publish(unwanted("last"));
    bench.desk.close(Close::Now);
    assert_eq!(bench.until_idle(), Wake::Closed);
    assert!(last.try_recv().unwrap().is_ok(), "it was accepted, and closing writes what was");
    assert!(matches!(settled.try_recv().unwrap(), Err(SettledError::Closed(_))));
    assert_eq!(bench.carrier.aborted, [bench.carrier.carried[0].attempt()]);
    let mut again = Bench::new(log);
    again.run();
    assert_eq!(again.carrier.carried.len(), 1);
}

#[test]
fn dropping_the_desk_answers_everybody() {
    let log = Held::default();
    let mut bench = Bench::new(log);
    let (event, endpoint) = (bench.publish(paid("x")), bench.put(acme()));
    let (settled, _) = bench.settled("x");
    let notices = bench.desk.notices();
    drop(bench);
    assert!(matches!(event.try_recv().unwrap(), Err(PublishError::NotDurable(_))));
    assert!(matches!(endpoint.try_recv().unwrap(), Err(PutError::NotDurable)));
    assert!(matches!(settled.try_recv().unwrap(), Err(SettledError::Closed(_))));
    assert_eq!(notices.try_next(), Heard::Over);
}

#[test]
fn a_turn_is_bounded_and_an_idle_one_does_nothing() {
    let mut bench = Bench::new(MemoryLog::new());
    let _ = bench.put(acme().concurrency(1024));
    bench.desk.handle(Input::Credit(u32::MAX));
    bench.run();
    for n in 0..5000 {
        let _ = bench.publish(paid(&format!("e{n}")));
    }
    let mut ready = 0;
    while bench.desk.turn(&mut bench.carrier) == Wake::Ready {
        ready += 1;
    }
    assert!((10..1000).contains(&ready), "{ready} turns");
    let before = bench.desk.read(|machine| (machine.last_record(), machine.in_flight()));
    let wake = bench.until_idle();
    assert_ne!(wake, Wake::Ready);
    assert_eq!(bench.desk.read(|machine| (machine.last_record(), machine.in_flight())), before);
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Publish(u8),
        Put(u8),
        Pause,
        Remove,
        Wait(u8),
        Turn,
        Persist,
        Fail(bool),
        Lose,
        Room,
        Complete(u16),
        Close(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..6_u8).prop_map(Step::Publish),
            3 => (0..3_u8).prop_map(Step::Put),
            1 => Just(Step::Pause),
            1 => Just(Step::Remove),
            4 => (0..6_u8).prop_map(Step::Wait),
            8 => Just(Step::Turn),
            8 => Just(Step::Persist),
            1 => any::<bool>().prop_map(Step::Fail),
            1 => Just(Step::Lose),
            1 => Just(Step::Room),
            4 => prop_oneof![Just(200_u16), Just(500), Just(410)].prop_map(Step::Complete),
            1 => any::<bool>().prop_map(Step::Close),
        ]
    }

    type Calls = Arc<Mutex<Vec<u32>>>;
    type Counted<T, E> = (Reply<Result<T, E>>, Receiver<Result<T, E>>);

    /// A reply whose calls are counted, and where it arrives.
    fn counted<T: Send + 'static, E: Send + 'static>(calls: &Calls) -> Counted<T, E> {
        let (tell, told) = mpsc::channel();
        let calls = calls.clone();
        let at = {
            let mut calls = lock(&calls);
            calls.push(0);
            calls.len() - 1
        };
        let reply = Box::new(move |answer| {
            lock(&calls)[at] += 1;
            let _ = tell.send(answer);
        });
        (reply, told)
    }

    proptest! {
        /// Whatever happens in whichever order: every reply is called exactly once, and a success is said of durable
        /// records only.
        #[test]
        fn every_reply_is_called_once(steps in prop::collection::vec(step(), 1..80)) {
            let log = Held::default();
            let mut bench = Bench::new(log.clone());
            let calls = Arc::new(Mutex::new(Vec::new()));
            let mut receipts = Vec::new();
            for step in steps {
                match step {
                    Step::Publish(n) => {
                        let (reply, told) = counted(&calls);
                        bench.desk.publish(if n % 2 == 0 { paid(&format!("e{n}")) } else { unwanted(&format!("e{n}")) }, reply);
                        receipts.push(told);
                    }
                    Step::Put(n) => {
                        let patterns = if n == 0 { ["order.**"] } else { ["order.paid"] };
                        bench.desk.put(acme().events(patterns), counted(&calls).0);
                    }
                    Step::Pause => bench.desk.command(Command::Pause(acme_key()), counted(&calls).0),
                    Step::Remove => bench.desk.command(Command::Remove(acme_key()), counted(&calls).0),
                    Step::Wait(n) => {
                        let event = EventId::new(format!("e{n}")).unwrap();
                        let _ = bench.desk.settled(&TenantId::default(), &event, counted(&calls).0);
                    }
                    Step::Turn => drop(bench.desk.turn(&mut bench.carrier)),
                    Step::Persist => log.persist_all(),
                    Step::Fail(full) => log.fail(if full { PersistFailure::Full } else { PersistFailure::Broken }),
                    Step::Lose => lock(&log.0).clear(),
                    Step::Room => log.tell(Input::Room(1 << 30)),
                    Step::Complete(status) => bench.complete_all(status),
                    Step::Close(now) => bench.desk.close(if now { Close::Now } else { Close::Drain }),
                }
                let durable = bench.desk.read(Sender::durable);
                for told in &receipts {
                    if let Ok(Ok(receipt)) = told.try_recv() {
                        prop_assert!(receipt.seq() <= durable);
                    }
                }
            }
            // A log that works again owes nobody an answer, whatever was before.
            bench.desk.handle(Input::Room(1 << 30));
            for _ in 0..8 {
                bench.run();
                log.persist_all();
            }
            prop_assert!(bench.desk.waiters.is_durable());
            drop(bench);
            prop_assert!(lock(&calls).iter().all(|count| *count == 1), "{:?}", lock(&calls));
        }
    }
}

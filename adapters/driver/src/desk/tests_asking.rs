//! Questions that the log answers when it likes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use postrider_core::limits::Limits;
use postrider_core::sender::{LoadRequest, PersistBatch, SnapshotPart, Watermark};
use postrider_journal::history::{Answer, HistoryError, Query};
use postrider_journal::{Answered, Done, LogError, MemoryLog, Records};

use super::tests::{Bench, acme, channel, paid, unwanted};
use super::*;
use crate::error::SettledError;
use crate::facts::lock;
use crate::questions::{self, Question as _};

/// A log in memory whose history the test answers by hand.
#[derive(Clone, Default)]
struct Slow(MemoryLog, Arc<Mutex<VecDeque<(Query, Answered)>>>);

impl Slow {
    fn asked(&self) -> (Query, Answered) {
        lock(&self.1).pop_front().expect("the log was asked")
    }

    fn is_quiet(&self) -> bool {
        lock(&self.1).is_empty()
    }
}

impl Log for Slow {
    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn records(&mut self) -> Records<'_> {
        self.0.records()
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        self.0.append(batch, done);
    }

    fn load(&mut self, request: LoadRequest, done: Done) {
        self.0.load(request, done);
    }

    fn snapshot(&mut self, _: SnapshotPart) {}

    fn reclaim(&mut self, _: Watermark) {}

    fn history(&mut self, query: Query, done: Answered) {
        lock(&self.1).push_back((query, done));
    }
}

fn id(name: &str) -> EventId {
    EventId::new(name).unwrap()
}

fn broken() -> HistoryError {
    HistoryError::Failed(LogError::Damaged { place: "in a test".into(), why: "so it is".into() })
}

#[test]
fn an_event_that_the_machine_does_not_know_is_asked_of_the_log() {
    let log = Slow::default();
    let mut bench = Bench::new(log.clone());
    let (one, waiting) = bench.settled("old");
    let (two, _) = bench.settled("old");
    assert!(waiting.is_some() && one.try_recv().is_err());
    let (query, answered) = log.asked();
    assert_eq!(query, questions::event(&TenantId::default(), &id("old")).query());
    assert!(log.is_quiet(), "one question is enough for both");
    answered(Ok(Answer::Event(None)));
    bench.run();
    for told in [one, two] {
        assert_eq!(told.try_recv().unwrap(), Err(SettledError::Unknown(id("old"))));
    }

    let (told, _) = bench.settled("old");
    log.asked().1(Err(broken()));
    bench.run();
    let why = broken();
    assert_eq!(told.try_recv().unwrap(), Err(SettledError::Unreadable { event: id("old"), why }));
}

#[test]
fn an_event_that_is_published_meanwhile_is_waited_for() {
    let log = Slow::default();
    let mut bench = Bench::new(log.clone());
    let _ = bench.put(acme());
    let ((told, waiting), (reply, report)) = (bench.settled("order-1"), channel());
    bench.desk.report(&TenantId::default(), &id("order-1"), reply);
    let _ = bench.publish(paid("order-1"));
    for _ in 0..2 {
        log.asked().1(Ok(Answer::Event(None)));
    }
    bench.run();
    assert!(waiting.is_some() && told.try_recv().is_err());
    assert!(!report.try_recv().unwrap().unwrap().expect("the machine knows it by now").settled);
    bench.complete_all(200);
    bench.run();
    assert_eq!(told.try_recv().unwrap().unwrap().tally.delivered, 1);
}

#[test]
fn whoever_gives_up_is_not_answered() {
    let log = Slow::default();
    let mut bench = Bench::new(log.clone());
    let (told, waiting) = bench.settled("old");
    bench.desk.give_up(waiting.unwrap());
    log.asked().1(Ok(Answer::Event(None)));
    bench.run();
    assert_eq!(told.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
}

#[test]
fn reports_that_the_machine_has_no_room_for_are_the_logs() {
    let log = Slow::default();
    let mut limits = Limits::default();
    limits.reports = 0;
    let mut bench =
        Bench { desk: Desk::open(log.clone(), Config::new().limits(limits)).unwrap(), carrier: <_>::default() };
    let _ = bench.publish(unwanted("a"));
    let (told, waiting) = bench.settled("a");
    assert!(waiting.is_some());
    bench.run();
    log.asked().1(Err(HistoryError::NotKept));
    bench.run();
    assert_eq!(told.try_recv().unwrap(), Err(SettledError::Forgotten(id("a"))));
}

#[test]
fn a_question_that_is_lost_or_too_late_is_answered_all_the_same() {
    let log = Slow::default();
    let mut bench = Bench::new(log.clone());
    let ask = |desk: &mut Desk| {
        let (reply, told) = channel();
        desk.history(questions::counts().query(), reply);
        told
    };
    let told = ask(&mut bench.desk);
    drop(log.asked());
    bench.run();
    assert!(matches!(told.try_recv().unwrap(), Err(Error::History(HistoryError::Failed(_)))));

    let (open, settled) = (ask(&mut bench.desk), bench.settled("old").0);
    bench.desk.close(Close::Now);
    bench.run();
    assert!(matches!(open.try_recv().unwrap(), Err(Error::Stopped)));
    assert_eq!(settled.try_recv().unwrap(), Err(SettledError::Closed(id("old"))));
    assert!(matches!(ask(&mut bench.desk).try_recv().unwrap(), Err(Error::Stopped)));
    // What the log says now is about nothing.
    while !log.is_quiet() {
        log.asked().1(Ok(Answer::Event(None)));
    }
    bench.run();
}

#[test]
fn a_delivery_is_explained_by_the_machine_and_the_log_together() {
    let log = Slow::default();
    let mut bench = Bench::new(log.clone());
    let _ = bench.put(acme());
    let _ = bench.publish(paid("order-1"));
    bench.run();
    bench.complete_all(500);
    bench.run();
    let ask = |bench: &mut Bench, event: &str| {
        let (reply, told) = channel();
        bench.desk.explain_delivery(&EndpointKey::new("acme").unwrap(), &id(event), reply);
        told
    };
    let told = ask(&mut bench, "order-1");
    let (query, answered) = log.asked();
    assert_eq!(query, questions::event(&TenantId::default(), &id("order-1")).query());
    answered(Err(HistoryError::NotKept));
    bench.run();
    let story = told.try_recv().unwrap().unwrap().expect("the machine knows it");
    let now = story.now.clone().expect("it is the machine that knows it");
    assert!(!story.is_kept && story.attempts.is_empty());
    assert_eq!((now.attempts, now.last), (1, Some(Ok(500))), "in place of what the log does not keep");
    assert!(story.to_string().contains("what would change it: "), "{story}");

    let told = ask(&mut bench, "order-1");
    log.asked().1(Err(broken()));
    bench.run();
    assert!(matches!(told.try_recv().unwrap(), Err(Error::History(why)) if why == broken()));

    let told = ask(&mut bench, "old");
    log.asked().1(Ok(Answer::Event(None)));
    bench.run();
    assert_eq!(told.try_recv().unwrap().unwrap(), None);

    let told = ask(&mut bench, "order-1");
    bench.desk.close(Close::Now);
    bench.run();
    assert!(matches!(told.try_recv().unwrap(), Err(Error::Stopped)));
}

#[test]
fn a_log_in_memory_says_that_it_keeps_no_history() {
    let mut bench = Bench::new(MemoryLog::new());
    let (reply, told) = channel();
    bench.desk.history(questions::counts().query(), reply);
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "this log keeps no history; open a directory instead");
    let (reply, told) = channel();
    bench.desk.report(&TenantId::default(), &id("old"), reply);
    assert_eq!(told.try_recv().unwrap().unwrap(), None);
}

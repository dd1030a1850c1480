//! The judge of what a node tells of the past.

use bytes::Bytes;

use super::*;
use crate::observe::{Came, Ended, Fate, List, Of, Past, Question, Recalled, Spot, Try};

/// An event that was delivered with its first attempt and has ended.
fn delivered(stage: &mut Stage, event: u64) -> u64 {
    let name = format!("e{event}");
    stage.accept(event);
    assert_eq!(stage.start(&name, 1), Ok(()));
    stage.wait(1);
    stage.end(stage.attempts, 204);
    let report = Report { event, tenant: 0, settled: true, tally: [1, 0, 0, 0, 0, 0, 0], rows: &[] };
    stage.ok(&Seen::Settled { node: 0, report: Some(report), event: &name });
    stage.clocks().wall
}

fn tried(at: u64) -> Try {
    Try { endpoint: Some(1), number: 1, at, result: Came::Status(204), fate: Fate::Delivered, answer: None }
}

fn past(event: u64, ended: u64, tries: &[Try]) -> Past<'_> {
    Past {
        event,
        tenant: 0,
        event_type: "a.b",
        accepted: ended - 1000,
        ended: Some(ended),
        payload_len: 2,
        payload: Some(b"{}"),
        erased: false,
        tries,
        more: 0,
    }
}

impl Stage {
    fn tell(&mut self, event: u64, past: Option<Past<'_>>, pending: bool) -> Result<(), u8> {
        let (question, recalled) = (Question::Event { tenant: 0, event }, Recalled::Event(past));
        self.see(&Seen::Read { node: 0, clocks: self.clocks(), question, recalled, pending })
    }

    fn list(&mut self, list: List<'_>, items: &[Ended], next: Option<Spot>) -> Result<(), u8> {
        let (question, recalled) = (Question::List(list), Recalled::Page { items, next });
        self.see(&Seen::Read { node: 0, clocks: self.clocks(), question, recalled, pending: false })
    }
}

#[test]
fn what_happened_is_told_and_nothing_else() {
    let mut stage = Stage::new();
    let ended = delivered(&mut stage, 7);
    let right = [tried(ended)];
    assert_eq!(stage.tell(7, Some(past(7, ended, &right)), false), Ok(()));
    assert_eq!(stage.tell(7, None, false), Err(31), "it is within its retention");
    assert_eq!(stage.tell(7, Some(past(7, ended, &right)), true), Err(31), "nothing of it waits");
    assert_eq!(stage.tell(8, Some(past(8, ended, &right)), false), Err(31), "nobody submitted it");
    assert_eq!(stage.tell(7, Some(past(7, ended, &[])), false), Err(31), "its attempt is missing");
    for (what, wrong) in [
        ("number", Try { number: 2, ..tried(ended) }),
        ("time", tried(ended + 1)),
        ("status", Try { result: Came::Status(200), ..tried(ended) }),
        ("end", Try { fate: Fate::Exhausted, ..tried(ended) }),
        ("endpoint", Try { endpoint: Some(2), ..tried(ended) }),
        ("answer", Try { answer: Some(Bytes::from_static(b"ok")), ..tried(ended) }),
    ] {
        assert_eq!(stage.tell(7, Some(past(7, ended, &[wrong])), false), Err(31), "{what}");
    }
    assert_eq!(stage.tell(7, Some(past(7, ended, &[tried(ended), tried(ended)])), false), Err(31), "twice");
    let other = Past { payload: Some(b"{ }"), ..past(7, ended, &right) };
    assert_eq!(stage.tell(7, Some(other), false), Err(31), "another payload");
    let less = Past { payload: None, ..past(7, ended, &right) };
    assert_eq!(stage.tell(7, Some(less), false), Err(31), "the payload is within its retention");
    let erased = Past { erased: true, ..past(7, ended, &right) };
    assert_eq!(stage.tell(7, Some(erased), false), Err(31), "nobody wished it erased");
}

#[test]
fn what_is_over_is_gone_and_what_waits_is_not() {
    let mut stage = Stage::new();
    stage.accept(3);
    assert_eq!(stage.tell(3, None, true), Err(31), "a pending event is there");
    let ended = delivered(&mut stage, 7);
    let right = [tried(ended)];
    stage.wait(3600);
    assert_eq!(stage.tell(7, Some(past(7, ended, &right)), false), Err(31), "the payload is kept for an hour");
    let less = Past { payload: None, ..past(7, ended, &right) };
    assert_eq!(stage.tell(7, Some(less), false), Ok(()));
    stage.wait(3600);
    assert_eq!(stage.tell(7, Some(less), false), Err(31), "the event is kept for two hours");
    assert_eq!(stage.tell(7, None, false), Ok(()));
    let untold = Past { ended: None, payload: Some(b"{}"), tries: &[], ..past(3, ended, &[]) };
    assert_eq!(stage.tell(3, Some(Past { accepted: ended - 1000, ..untold }), true), Ok(()));
    assert_eq!(stage.tell(3, None, true), Err(31));
}

#[test]
fn what_was_erased_stays_so_over_a_crash() {
    let mut stage = Stage::new();
    let (ended, kept) = (delivered(&mut stage, 7), delivered(&mut stage, 8));
    let right = [tried(ended)];
    assert_eq!(stage.ask(Wish::Erase { tenant: 0, event: 7 }, Told::Lost), Ok(()));
    for erased in [false, true] {
        let payload = (!erased).then_some(b"{}".as_slice());
        assert_eq!(stage.tell(7, Some(Past { payload, erased, ..past(7, ended, &right) }), false), Ok(()), "either");
    }
    assert_eq!(stage.ask(Wish::Erase { tenant: 0, event: 7 }, Told::Ok { fresh: true }), Ok(()));
    stage.restart(Death::Power);
    let gone = Past { payload: None, erased: true, ..past(7, ended, &right) };
    assert_eq!(stage.tell(7, Some(gone), false), Ok(()));
    assert_eq!(stage.tell(7, Some(past(7, ended, &right)), false), Err(32));
    assert_eq!(stage.tell(8, Some(past(8, kept, &[tried(kept)])), false), Ok(()));
    assert_eq!(stage.ask(Wish::Purge(0), Told::Ok { fresh: true }), Ok(()));
    assert_eq!(stage.tell(8, Some(past(8, kept, &[tried(kept)])), false), Err(32));
    let later = delivered(&mut stage, 9);
    assert_eq!(stage.tell(9, Some(past(9, later, &[tried(later)])), false), Ok(()), "it came after the purge");
}

#[test]
fn pages_join_and_lack_nothing() {
    let mut stage = Stage::new();
    let ends: Vec<_> = (0..4).map(|event| delivered(&mut stage, event)).collect();
    let item = |event: u64| Ended {
        spot: Spot { at: ends[event as usize], record: 10 + event },
        event: Some(event),
        endpoint: 1,
        fate: Fate::Delivered,
        attempts: 1,
        result: Came::Status(204),
    };
    let list = List { of: Of::Endpoint(1), ends: &[], from: 0, to: u64::MAX, after: None, limit: 2 };
    let (first, second) = ([item(3), item(2)], [item(1), item(0)]);
    let (third, last) = (first[1].spot, second[1].spot);
    assert_eq!(stage.list(list, &first, Some(third)), Ok(()));
    assert_eq!(stage.list(List { after: Some(third), ..list }, &second, None), Ok(()));
    assert_eq!(stage.list(list, &first, None), Err(31), "two more are behind it");
    assert_eq!(stage.list(list, &first, Some(last)), Err(31), "the next page would begin too late");
    assert_eq!(stage.list(list, &[item(2), item(3)], Some(third)), Err(31), "the newest is first");
    assert_eq!(stage.list(List { limit: 3, ..list }, &[item(3), item(1), item(0)], Some(last)), Err(31), "a gap");
    assert_eq!(stage.list(List { after: Some(third), ..list }, &[item(2), item(1)], Some(second[0].spot)), Err(31));
    let exhausted = [Ended { fate: Fate::Exhausted, ..item(3) }];
    assert_eq!(stage.list(list, &exhausted, None), Err(31), "it was delivered");
    assert_eq!(stage.list(List { of: Of::DeadLetters(0), ..list }, &[], None), Ok(()));
    assert_eq!(
        stage.list(List { of: Of::DeadLetters(0), ..list }, &[item(3)], None),
        Err(31),
        "that is no dead letter"
    );
}

#[test]
fn attempts_without_a_name_are_told_apart_by_what_else_is_known_of_them() {
    let mut stage = Stage::new();
    assert_eq!(stage.ask(Wish::Put(&spec(2)), Told::Ok { fresh: true }), Ok(()));
    stage.accept(7);
    assert_eq!(stage.start("e7", 1), Ok(()));
    let (attempt, clocks) = (2, stage.clocks());
    stage.ok(&Seen::Started { attempt, node: 0, clocks, endpoint: 2, event: "e7", number: 1, time: 20 * SECOND });
    stage.wait(1);
    let at = stage.clocks().wall;
    let delays = [10 * SECOND, 11 * SECOND];
    for (attempt, delay) in [1, 2].into_iter().zip(delays) {
        stage.end(attempt, 500);
        let endpoint = u32::try_from(attempt).expect("it is small");
        let note = Note::Retrying { endpoint, event: 7, attempt: 1, delay };
        stage.ok(&Seen::Noted { node: 0, clocks: stage.clocks(), note });
    }
    let waits = |delay| Try { endpoint: None, result: Came::Status(500), fate: Fate::Waiting(delay), ..tried(at) };
    fn told(at: u64, tries: &[Try]) -> Option<Past<'_>> {
        Some(Past { ended: None, ..past(7, at, tries) })
    }
    let [first, second] = delays;
    for tries in [[waits(first), waits(second)], [waits(second), waits(first)]] {
        assert_eq!(stage.tell(7, told(at, &tries), true), Ok(()));
    }
    let named = [waits(second), Try { endpoint: Some(1), ..waits(first) }];
    assert_eq!(stage.tell(7, told(at, &named), true), Ok(()));
    let wrong = [waits(second), waits(second)];
    assert_eq!(stage.tell(7, told(at, &wrong), true), Err(31), "one of them waits for less");
    let wrong = [waits(first), Try { endpoint: Some(1), ..waits(first) }];
    assert_eq!(stage.tell(7, told(at, &wrong), true), Err(31), "the other one waits for longer");
}

#[test]
fn what_came_before_an_endpoint_was_disabled_may_lose_its_name_in_a_restart_alone() {
    let mut stage = Stage::new();
    let item = |event: u64, at: u64| Ended {
        spot: Spot { at, record: event },
        event: Some(event),
        endpoint: 1,
        fate: Fate::Delivered,
        attempts: 1,
        result: Came::Status(204),
    };
    let list = List { of: Of::Endpoint(1), ends: &[], from: 0, to: u64::MAX, after: None, limit: 9 };
    delivered(&mut stage, 7);
    stage.restart(Death::Power);
    assert_eq!(stage.list(list, &[], None), Err(31), "it is the same endpoint");
    delivered(&mut stage, 8);
    for wish in [Wish::Disable(1), Wish::Resume(1)] {
        assert_eq!(stage.ask(wish, Told::Ok { fresh: true }), Ok(()));
    }
    let third = delivered(&mut stage, 9);
    assert_eq!(stage.list(list, &[item(9, third)], None), Err(31), "the node has not been down since e8");
    stage.restart(Death::Power);
    assert_eq!(stage.list(list, &[item(9, third)], None), Ok(()));
    assert_eq!(stage.list(list, &[], None), Err(31), "e9 came after the endpoint was resumed");
    for wish in [Wish::Pause(1), Wish::Resume(1)] {
        assert_eq!(stage.ask(wish, Told::Ok { fresh: true }), Ok(()));
    }
    stage.restart(Death::Power);
    assert_eq!(stage.list(list, &[], None), Err(31), "a pause changes nothing");
}

#[test]
fn what_is_over_for_long_may_be_told_in_part_once_the_clock_is_set_back() {
    let mut stage = Stage::new();
    let ended = delivered(&mut stage, 7);
    let early = stage.clocks();
    let less = Past { payload: None, ..past(7, ended, &[]) };
    stage.wait(7200);
    assert_eq!(stage.tell(7, None, false), Ok(()));
    stage.ok(&Seen::Stepped { node: 0, by: -7_200_000 });
    let (question, clocks) = (Question::Event { tenant: 0, event: 7 }, stage.clocks());
    let read = |past| {
        let (clocks, recalled) = (Clocks { wall: early.wall, ..clocks }, Recalled::Event(Some(past)));
        Seen::Read { node: 0, clocks, question, recalled, pending: false }
    };
    assert_eq!(stage.see(&read(less)), Ok(()));
    let wrong = [Try { number: 2, ..tried(ended) }];
    assert_eq!(stage.see(&read(Past { tries: &wrong, ..less })), Err(31), "what is told of it must have happened");
}

#[test]
fn what_is_trimmed_without_need_is_found() {
    let mut stage = Stage::new();
    delivered(&mut stage, 7);
    let (clocks, note) = (stage.clocks(), Note::Trimmed(stage.clocks().wall));
    assert_eq!(stage.see(&Seen::Noted { node: 0, clocks, note }), Err(31), "nothing was trimmed");
    assert_eq!(stage.see(&Seen::Trimmed { node: 0, before: clocks.wall }), Err(31), "there is room for all of it");
    assert_eq!(stage.see(&Seen::Noted { node: 0, clocks, note }), Ok(()));
}

//! What is erased, what is forgotten at once, and what a crash leaves.

use std::io;

use bytes::Bytes;
use postrider_core::id::{EventId, JournalSeq};
use postrider_core::journal::{EndpointRecord, Kind, Record, ReplayRecord, Then};
use postrider_core::time::UnixTime;

use super::rig::{self, Rig, at, outcome, retry, tenant};
use crate::history::{Answer, Counts, PAGE, Paging, Query, Retention};
use crate::store::Tidied;

const WEEK: u64 = 7 * 24 * 3_600_000;

/// An event of tenant 0 with an attempt that was answered, and its end.
fn delivered(rig: &mut Rig, id: &str, payload: &[u8], answer: &str) -> JournalSeq {
    let event = rig.accept(0, id, payload);
    let mut attempt = outcome(event, 0, 1, Then::Delivered, rig.now);
    attempt.answer = Some(Bytes::from(answer.to_owned()));
    rig.write(&[Record::Outcome(attempt)]);
    rig.end(event);
    event
}

fn counts(rig: &mut Rig) -> Counts {
    match rig.ask(&Query::Counts) {
        Answer::Counts(counts) => counts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_erased_is_not_shown_any_more_and_leaves_the_disk() {
    let mut rig = Rig::new(4096, rig::retention(WEEK, 4 * WEEK));
    for n in 0..40 {
        let filler = vec![b'a' + (n % 20) as u8; 300];
        delivered(
            &mut rig,
            &format!("event-{n}"),
            &[format!("payload {n}.").as_bytes(), &filler].concat(),
            &format!("answer {n}."),
        );
    }
    // The answer to its second attempt comes after it was erased, in another segment.
    let late = rig.accept(0, "late", b"payload late.");
    let id = |id: &str| EventId::new(id).unwrap();
    for name in ["event-7", "late"] {
        rig.write(&[Record::Erased { tenant: tenant(0), event: id(name), at: at(rig.now) }]);
    }
    for n in 40..60 {
        delivered(&mut rig, &format!("event-{n}"), format!("payload {n}.").as_bytes(), "answer");
    }
    let mut attempt = outcome(late, 0, 1, retry(0), rig.now);
    attempt.answer = Some(Bytes::from_static(b"answer late."));
    rig.write(&[Record::Outcome(attempt)]);
    for name in ["event-7", "late"] {
        let erased = rig.event(0, name).unwrap();
        assert_eq!((erased.payload, erased.attempts[0].answer.clone()), (None, None), "{name}");
    }
    assert!(rig.event(0, "event-8").unwrap().payload.is_some());
    rig.settle();
    rig.tidy_all();
    assert!(!rig.is_on_disk(b"payload 7.") && !rig.is_on_disk(b"answer 7."), "at the next compaction");
    assert!(rig.is_on_disk(b"payload 8.") && rig.is_on_disk(b"answer 8."));
    assert!(rig.is_on_disk(b"payload late."), "it is still to be delivered");
    let Ok(loaded) = rig.store().load(&[late]) else { panic!("it is pending") };
    assert!(matches!(&loaded[..], [(_, Record::Accepted(event))] if event.payload == b"payload late."[..]));
    rig.end(late);
    rig.settle();
    rig.tidy_all();
    assert!(!rig.is_on_disk(b"payload late.") && !rig.is_on_disk(b"answer late."), "once it has ended");
    rig.reopen();
    let erased = rig.event(0, "event-7").unwrap();
    assert_eq!((erased.payload, erased.attempts.len(), erased.attempts[0].answer.clone()), (None, 1, None));
}

/// What an application gave with an event is in its replays too, in other segments.
#[test]
fn an_event_is_erased_with_its_replays() {
    let mut rig = Rig::new(4096, rig::retention(WEEK, 4 * WEEK));
    let id = |id: &str| EventId::new(id).unwrap();
    delivered(&mut rig, "event-1", b"payload first.", "answer first.");
    delivered(&mut rig, "event-2", b"payload other.", "answer other.");
    let filler = |rig: &mut Rig, name: &str| {
        for n in 0..40 {
            delivered(rig, &format!("{name}-{n}"), &[b'a' + n; 300], "answer");
        }
    };
    filler(&mut rig, "early");
    for of in [1, 2] {
        let mut again = rig::accepted(0, &format!("rpl_{of}"), format!("payload again {of}.").as_bytes(), rig.now);
        let of = id(&format!("event-{of}"));
        again.replay = Some(Box::new(ReplayRecord { of, number: 7, keeps_id: true, subscription: 0 }));
        let event = rig.write(&[Record::Accepted(Box::new(again))]);
        rig.end(event);
    }
    filler(&mut rig, "late");
    rig.settle();
    rig.tidy_all();
    assert!(rig.is_on_disk(b"payload again 1.") && rig.event(0, "rpl_1").unwrap().payload.is_some());
    assert_eq!(rig.event(0, "rpl_1").unwrap().replay_of, Some(id("event-1")));
    assert_eq!(rig.event(0, "event-1").unwrap().replay_of, None, "a replay is not found by the name of its event");
    rig.write(&[Record::Erased { tenant: tenant(0), event: id("event-1"), at: at(rig.now) }]);
    let shown = |rig: &mut Rig| ["event-1", "rpl_1", "rpl_2"].map(|name| rig.event(0, name).unwrap().payload.is_some());
    assert_eq!(shown(&mut rig), [false, false, true]);
    rig.settle();
    rig.tidy_all();
    assert!(!rig.is_on_disk(b"payload first.") && !rig.is_on_disk(b"payload again 1."));
    assert!(rig.is_on_disk(b"payload again 2."));
    rig.reopen();
    assert_eq!(shown(&mut rig), [false, false, true]);
}

#[test]
fn what_is_purged_is_gone_for_this_tenant_alone_and_only_up_to_then() {
    let mut rig = Rig::new(4096, rig::retention(WEEK, 4 * WEEK));
    delivered(&mut rig, "before", b"payload before.", "answer before.");
    let other = rig.accept(1, "other", b"payload other.");
    rig.end(other);
    rig.write(&[Record::Purged { tenant: tenant(0), at: at(rig.now) }]);
    delivered(&mut rig, "after", b"payload after.", "answer after.");
    rig.settle();
    rig.tidy_all();
    assert!(!rig.is_on_disk(b"payload before.") && !rig.is_on_disk(b"answer before."));
    rig.reopen();
    assert_eq!(rig.event(0, "before").unwrap().payload, None);
    assert_eq!(rig.event(0, "after").unwrap().payload.as_deref(), Some(&b"payload after."[..]));
    assert_eq!(rig.event(1, "other").unwrap().payload.as_deref(), Some(&b"payload other."[..]));
    // Its record goes too, once nothing is left that it speaks of.
    rig.now += 5 * WEEK;
    rig.settle();
    rig.tidy_all();
    assert!(!rig.is_on_disk(b"tenant-0\0") && rig.event(0, "after").is_none());
    let kinds = |rig: &mut Rig| {
        rig.reopen();
        let records = rig.store().look.all().map(|record| record.unwrap().1.kind());
        records.filter(|kind| *kind == Kind::Purged).count()
    };
    assert_eq!(kinds(&mut rig), 0);
}

#[test]
fn without_retention_nothing_stays_but_what_is_pending() {
    let mut rig = Rig::new(4096, rig::retention(0, 0));
    let pending = rig.accept(0, "pending", &[7; 500]);
    for n in 0..100 {
        delivered(&mut rig, &format!("event-{n}"), &[b'x'; 400], "answer");
    }
    // Their records are counted as long as they are there.
    let shown = Counts { outcomes: 0, ..counts(&mut rig) };
    assert_eq!((rig.event(0, "event-99"), shown), (None, Counts::default()), "at once");
    rig.settle();
    rig.tidy_all();
    assert!(rig.segment_bytes() < 4096 + 1024, "{}", rig.segment_bytes());
    assert_eq!(rig.event(0, "pending").unwrap().payload.as_deref(), Some(&[7; 500][..]));
    assert_eq!(rig.store().load(&[pending]).unwrap().len(), 1);
}

#[test]
fn a_long_list_of_attempts_is_cut_and_says_by_how_many() {
    let mut rig = Rig::new(16 * 1024, rig::retention(WEEK, WEEK));
    let event = rig.accept(0, "long", b"payload");
    for n in 0..PAGE as u16 + 37 {
        let attempt = outcome(event, 0, n + 1, retry(rig.now), rig.now);
        rig.write(&[Record::Outcome(attempt)]);
    }
    let history = rig.event(0, "long").unwrap();
    assert_eq!((history.attempts.len(), history.more), (PAGE, 37));
    assert!(history.attempts.iter().map(|attempt| attempt.number).eq(1..=PAGE as u16), "the oldest first");
}

#[test]
fn what_could_not_be_made_durable_is_not_known() {
    let mut rig = Rig::new(64 * 1024, rig::retention(WEEK, WEEK));
    delivered(&mut rig, "kept", b"payload", "answer");
    let before = (counts(&mut rig), rig.event(0, "kept"));
    let event = rig.append(&[Record::Accepted(Box::new(rig::accepted(0, "void", b"payload", rig.now)))]);
    rig.append(&[
        Record::Outcome(outcome(event, 0, 1, Then::Delivered, rig.now)),
        Record::Ended { event, at: at(rig.now) },
    ]);
    rig.append(&[Record::Purged { tenant: tenant(0), at: at(rig.now) }]);
    assert!(rig.event(0, "void").is_some());
    rig.disk.fail_at(rig.disk.ops(), io::ErrorKind::Other);
    assert!(rig.store().sync().is_err());
    assert_eq!((counts(&mut rig), rig.event(0, "kept")), before);
    assert_eq!(rig.event(0, "void"), None);
    delivered(&mut rig, "void", b"again", "answer");
    assert_eq!(rig.event(0, "void").unwrap().payload.as_deref(), Some(&b"again"[..]));
    assert_eq!(counts(&mut rig).ended[0], 2);
}

/// The world stops before every operation of tidying, and what was not synced survives in parts.
#[test]
fn a_crash_while_tidying_leaves_either_the_old_or_the_new() {
    let mut rig = Rig::new(4096, rig::retention(1_000, 5_000));
    let mut pending = Vec::new();
    for n in 0..60u8 {
        let id = format!("event-{n}");
        if n % 6 == 0 {
            pending.push((rig.accept(0, &id, &[n; 200]), n));
        } else {
            delivered(&mut rig, &id, &[n; 200], "answer");
        }
        rig.now += 40;
    }
    rig.write(&[Record::Purged { tenant: tenant(1), at: at(rig.now) }]);
    rig.settle();
    rig.now += 3_000;
    let whole = rig.disk.copy_as_is();
    let first = whole.ops();
    let mut stopped = 0;
    for op in first.. {
        rig.disk = whole.copy_as_is();
        rig.disk.stop_at(u64::MAX);
        rig.reopen();
        let expected: Vec<_> = (0..60).map(|n| rig.event(0, &format!("event-{n}"))).collect();
        let expected_counts = (counts(&mut rig).ended, counts(&mut rig).events);
        let stop = rig.disk.ops() + (op - first);
        rig.disk.stop_at(stop);
        let mut idle = false;
        for _ in 0..500 {
            let now = at(rig.now);
            idle = matches!(rig.store().tidy(now), Ok(Tidied::Nothing));
            if idle || rig.disk.ops() >= stop {
                break;
            }
        }
        let mut state = op;
        rig.disk = rig.disk.crashed(&mut || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        });
        rig.reopen();
        assert_eq!((counts(&mut rig).ended, counts(&mut rig).events), expected_counts, "operation {op}");
        for (n, expected) in expected.iter().enumerate() {
            assert_eq!(rig.event(0, &format!("event-{n}")), *expected, "operation {op}");
        }
        for (event, n) in &pending {
            let loaded = rig.store().load(&[*event]).unwrap();
            assert!(matches!(&loaded[..], [(_, Record::Accepted(read))] if read.payload[..] == [*n; 200]));
        }
        if idle {
            break;
        }
        stopped += 1;
    }
    assert!(stopped > 30, "{stopped} operations");
}

/// Pending and ended events, one of them erased, in segments that no snapshot stands for.
fn unsettled() -> (Rig, JournalSeq) {
    let mut rig = Rig::new(4096, Retention::forever());
    for n in 0..12 {
        let event = rig.accept(1, &format!("e{n}"), &[n; 700]);
        let mut outcome = outcome(event, 1, 1, Then::Delivered, rig.now);
        outcome.answer = Some(Bytes::from(vec![100 + n; 50]));
        rig.write(&[Record::Outcome(outcome)]);
        if n % 3 > 0 {
            rig.end(event);
        }
    }
    let last = rig.write(&[Record::Erased { tenant: tenant(1), event: EventId::new("e11").unwrap(), at: at(rig.now) }]);
    (rig, last)
}

#[test]
fn what_is_scrubbed_keeps_every_record_and_every_payload_that_is_owed() {
    let (mut rig, last) = unsettled();
    rig.reopen();
    let kinds = |rig: &mut Rig| {
        let records = rig.store().records().map(|record| record.unwrap());
        records.map(|(seq, record)| (seq, record.kind())).collect::<Vec<_>>()
    };
    let before = kinds(&mut rig);
    assert!(rig.is_on_disk(&[11; 700]) && rig.is_on_disk(&[111; 50]));
    rig.tidy_all();
    assert!(rig.is_on_disk(&[11; 700]), "a store that goes on leaves alone what openings read");
    let ops = rig.disk.ops();
    rig.store().scrub();
    rig.tidy_all();
    let steps = rig.disk.ops() - ops;
    assert!(!rig.is_on_disk(&[11; 700]) && !rig.is_on_disk(&[111; 50]) && rig.is_on_disk(&[10; 700]));
    rig.reopen();
    let after = kinds(&mut rig);
    let differ: Vec<_> = before.iter().zip(&after).filter(|(was, is)| was != is).map(|(_, is)| is.1).collect();
    assert_eq!((before.len(), differ), (after.len(), vec![Kind::Kept]));
    // The power goes at each operation: it is as it was, or as it was to become.
    let mut dice = super::super::crash::dice(1);
    for step in 0..=steps {
        let (mut rig, _) = unsettled();
        rig.reopen();
        rig.tidy_all();
        let pending: Vec<_> = rig.pending.iter().map(|(event, _)| *event).collect();
        rig.disk.stop_at(rig.disk.ops() + step);
        rig.store().scrub();
        let now = at(rig.now);
        while rig.store().tidy(now).is_ok_and(|did| did != Tidied::Nothing) {}
        rig.disk = rig.disk.crashed(&mut dice);
        rig.reopen();
        assert_eq!(rig.store().durable(), last, "step {step}");
        assert_eq!(kinds(&mut rig).len(), before.len(), "step {step}");
        assert_eq!(rig.store().load(&pending).unwrap().len(), pending.len(), "step {step}");
    }
}

#[test]
fn an_end_that_may_not_have_been_durable_excuses_a_payload_that_is_gone() {
    let mut rig = Rig::new(4096, rig::retention(0, WEEK));
    let event = rig.accept(1, "late", &[7; 1500]);
    (0..8).for_each(|n| _ = delivered(&mut rig, &format!("event-{n}"), &[n; 700], "ok"));
    rig.settle();
    rig.end(event);
    rig.tidy_all();
    assert!(!rig.is_on_disk(&[7; 1500]), "the snapshot has it pending, and its end is durable");
    // As a loss of power may leave it: nothing says how far the log was durable.
    rig.disk.edit("acked", |bytes| bytes.fill(0));
    rig.reopen();
    assert!(rig.event(1, "late").is_some_and(|late| late.ended.is_some() && late.payload.is_none()));
}

#[test]
fn answers_to_an_event_that_has_gone_can_be_erased() {
    let mut rig = Rig::new(4096, rig::retention(WEEK, 4 * WEEK));
    let event = rig.accept(0, "first", &[1; 3000]);
    rig.accept(0, "pending", &[2; 1200]);
    let mut attempt = outcome(event, 0, 1, Then::Delivered, rig.now);
    attempt.answer = Some(Bytes::from_static(b"the answer"));
    rig.write(&[Record::Outcome(attempt)]);
    rig.end(event);
    rig.now += 4 * WEEK - 1;
    (0..6).for_each(|n| _ = delivered(&mut rig, &format!("b{n}"), &[3; 700], "ok"));
    rig.now += 1;
    rig.settle();
    rig.tidy_all();
    assert!(rig.event(0, "first").is_none() && rig.is_on_disk(b"the answer"), "its segment has more that is kept");
    rig.write(&[Record::Purged { tenant: tenant(0), at: at(rig.now) }]);
    rig.tidy_all();
    assert!(!rig.is_on_disk(b"the answer"));
}

#[test]
fn what_an_endpoint_got_before_it_was_disabled_keeps_its_name() {
    let mut rig = Rig::new(4096, rig::retention(WEEK, 4 * WEEK));
    // Its subscription number is not that of the endpoint as snapshots describe it.
    let before = EndpointRecord { subscription: Some(7), ..rig::endpoint_record(0) };
    rig.write(&[Record::Endpoint(Box::new(before))]);
    for n in 0..40 {
        let event = rig.accept(0, &format!("event-{n}"), &[b'x'; 300]);
        rig.write(&[Record::Outcome(outcome(event, 7, 1, Then::Exhausted, rig.now))]);
        rig.end(event);
    }
    rig.write(&[Record::Endpoint(Box::new(rig::endpoint_record(0)))]);
    let (from, to, page) = (UnixTime::EPOCH, at(u64::MAX), Paging::default());
    let query = Query::Exhausted { tenant: tenant(0), from, to, page };
    let dead = |rig: &mut Rig| match rig.ask(&query) {
        Answer::Deliveries { items, .. } => items.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(dead(&mut rig), 40);
    rig.settle();
    rig.tidy_all();
    rig.reopen();
    let whole = rig.segment_bytes();
    // Their payloads go, so that each segment is rewritten by a process that has never seen the endpoint as it was.
    rig.now += WEEK;
    rig.settle();
    rig.tidy_all();
    assert!(rig.segment_bytes() < whole / 2, "they were rewritten");
    assert_eq!(dead(&mut rig), 40);
    rig.reopen();
    assert_eq!(dead(&mut rig), 40);
    assert_eq!(rig.event(0, "event-3").unwrap().attempts[0].endpoint, Some(rig::endpoint(0)));
    // An index that is lost is made again from the segment, and from what others know.
    let indexes = rig.disk.files().into_keys().filter(|name| name.ends_with(".idx")).collect::<Vec<_>>();
    assert!(indexes.len() > 1, "{indexes:?}");
    rig.disk.edit(&indexes[0], |bytes| bytes.truncate(8));
    rig.reopen();
    assert_eq!(dead(&mut rig), 40);
}

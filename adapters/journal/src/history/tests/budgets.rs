//! Bounds on bytes: of what is kept, of what is read for an answer, and of what is written to tidy.

use postrider_core::id::JournalSeq;
use postrider_core::journal::{Record, Then};

use super::rig::{self, Rig, endpoint, outcome};
use crate::history::{Answer, Paging, Query, Retention};
use crate::store::Tidied;

const WEEK: u64 = 7 * 24 * 3_600_000;

/// `count` events, delivered and ended, one a second, 16 at once.
fn deliver(rig: &mut Rig, from: usize, count: usize, len: usize) {
    for batch in (from..from + count).collect::<Vec<_>>().chunks(16) {
        let first = rig.store().last().get() + 1;
        let now = rig.now;
        let event = |n: usize| JournalSeq::new(first + n as u64);
        let accepted = batch
            .iter()
            .map(|n| Record::Accepted(Box::new(rig::accepted(0, &format!("event-{n}"), &vec![1; len], now))));
        let outcomes = (0..batch.len()).map(|n| Record::Outcome(outcome(event(n), 0, 1, Then::Delivered, now)));
        let ended = (0..batch.len()).map(|n| Record::Ended { event: event(n), at: rig::at(now) });
        let records: Vec<_> = accepted.chain(outcomes).chain(ended).collect();
        rig.write(&records);
        rig.now += 1000 * batch.len() as u64;
    }
}

/// Tidies until there is nothing to do; what was trimmed.
fn tidy(rig: &mut Rig) -> Vec<(u64, u64)> {
    let mut trimmed = Vec::new();
    loop {
        match rig.tidy() {
            Tidied::Nothing => return trimmed,
            Tidied::Worked => {}
            Tidied::Trimmed { events, before } => trimmed.push((events, before.as_millis())),
        }
    }
}

fn has_payload(rig: &mut Rig, n: usize) -> Option<bool> {
    rig.event(0, &format!("event-{n}")).map(|event| event.payload.is_some())
}

#[test]
fn payloads_beyond_their_budget_go_the_oldest_first() {
    let retention = Retention { payload_bytes: 100_000, ..rig::retention(WEEK, 4 * WEEK) };
    let mut rig = Rig::new(16 * 1024, retention);
    let pending = rig.accept(0, "pending", &[9; 1000]);
    deliver(&mut rig, 0, 400, 1000);
    rig.settle();
    let trimmed = tidy(&mut rig);
    assert!(trimmed.iter().map(|(events, _)| events).sum::<u64>() >= 300, "{trimmed:?}");
    let kept: Vec<_> = (0..400).map(|n| has_payload(&mut rig, n)).collect();
    assert!(kept.iter().all(Option::is_some), "the events themselves are kept");
    let first = kept.iter().position(|kept| *kept == Some(true)).unwrap();
    assert!(kept[first..].iter().all(|kept| *kept == Some(true)), "no gap");
    assert!((300..=330).contains(&first), "{first} were trimmed");
    assert_eq!(rig.store().load(&[pending]).unwrap().len(), 1, "a pending one never goes");
    assert!(rig.segment_bytes() < 300_000, "{}", rig.segment_bytes());
    // It stays so.
    assert_eq!(tidy(&mut rig), []);
    rig.reopen();
    assert_eq!((0..400).map(|n| has_payload(&mut rig, n)).collect::<Vec<_>>(), kept);
    rig.settle();
    assert_eq!(tidy(&mut rig), []);
}

#[test]
fn attempts_beyond_their_budget_go_with_their_events() {
    let retention = Retention { attempt_bytes: 20_000, ..rig::retention(WEEK, 4 * WEEK) };
    let mut rig = Rig::new(16 * 1024, retention);
    deliver(&mut rig, 0, 400, 100);
    rig.settle();
    assert!(!tidy(&mut rig).is_empty());
    let kept: Vec<_> = (0..400).map(|n| has_payload(&mut rig, n)).collect();
    let first = kept.iter().position(Option::is_some).unwrap();
    assert!(kept[first..].iter().all(|kept| *kept == Some(true)) && (280..=340).contains(&first), "{first}");
    assert!(rig.segment_bytes() < 80_000, "{}", rig.segment_bytes());
}

/// Reads a page of a list, and says how often the disk was read for it.
fn page(rig: &mut Rig, limit: usize) -> u64 {
    let before = rig.disk.traffic().0;
    let (from, to) = (rig::at(0), rig::at(u64::MAX));
    let page = Paging { after: None, limit };
    let query = Query::Endpoint { endpoint: endpoint(0), ends: vec![], from, to, page };
    let Answer::Deliveries { items, .. } = rig.ask(&query) else { panic!("a list was asked for") };
    assert_eq!(items.len(), limit);
    rig.disk.traffic().0 - before
}

#[test]
fn a_page_costs_a_search_in_each_segment_and_a_few_reads_for_each_entry() {
    let mut rig = Rig::new(256 * 1024, rig::retention(WEEK, 4 * WEEK));
    deliver(&mut rig, 0, 8_000, 1000);
    rig.settle();
    tidy(&mut rig);
    let segments = rig.store().look.segments().count() as u64;
    let (small, large) = (page(&mut rig, 10), page(&mut rig, 200));
    let before = rig.disk.traffic().0;
    assert!(rig.event(0, "event-4000").is_some());
    let event = rig.disk.traffic().0 - before;
    println!("{segments} segments: {small} reads for 10 entries, {large} for 200, {event} for one event");
    assert!(small < 10 * segments && large - small < 5 * 190, "{small}, {large}");
    assert!(event < 8 * segments, "{event}");
}

#[test]
fn tidying_writes_less_than_was_appended() {
    let mut rig = Rig::new(256 * 1024, rig::retention(2_000_000, 8_000_000));
    let before = rig.disk.traffic().1;
    let mut from = 0;
    for _ in 0..24 {
        deliver(&mut rig, from, 1_000, 1000);
        from += 1_000;
        rig.snapshot();
        tidy(&mut rig);
    }
    let written = rig.disk.traffic().1 - before;
    let appended = rig.store().last().get() / 3 * (1_000 + 100 + 53 + 4 * 3 + 36 + 36);
    let kept = rig.segment_bytes();
    let amplification = written as f64 / appended as f64;
    println!(
        "{appended} bytes appended, {written} written: {amplification:.2}; {kept} kept, {} of indexes",
        rig.bytes_of(".idx")
    );
    // 2,000 s of payloads and 6,000 s more of what is kept without them, at one event a second.
    assert!(amplification < 2.0, "{amplification}");
    assert!(kept < 2 * (2_000 * 1_250 + 6_000 * 260), "{kept}");
}

//! Whatever happens, the answers are those of a model that keeps everything and forgets by reading the clock.

use bytes::Bytes;
use postrider_core::id::{EventId, JournalSeq};
use postrider_core::journal::{OutcomeRecord, Record, Then};
use proptest::prelude::*;

use super::rig::{self, Rig, accepted, at, endpoint, outcome, retry, tenant};
use crate::history::{Answer, End, Paging, Place, Query};

const PAYLOADS: u64 = 2_000;
const ATTEMPTS: u64 = 6_000;
const SEGMENT: u64 = 4096;

/// One thing that happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Accept { owner: u8, id: u8, len: usize },
    Outcome { event: usize, subscription: u8, then: u8, answer: bool },
    End { event: usize },
    Purge { owner: u8 },
    Erase { event: usize },
    Wait { millis: u64 },
    Snapshot,
    Tidy { pieces: usize },
    Reopen,
    LoseIndex { which: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..2u8, 0..12u8, 0..900usize).prop_map(|(owner, id, len)| Op::Accept { owner, id, len }),
        10 => (any::<usize>(), 0..2u8, 0..8u8, any::<bool>())
            .prop_map(|(event, subscription, then, answer)| Op::Outcome { event, subscription, then, answer }),
        6 => any::<usize>().prop_map(|event| Op::End { event }),
        1 => (0..2u8).prop_map(|owner| Op::Purge { owner }),
        1 => any::<usize>().prop_map(|event| Op::Erase { event }),
        4 => (0..900u64).prop_map(|millis| Op::Wait { millis }),
        3 => Just(Op::Snapshot),
        6 => (1..30usize).prop_map(|pieces| Op::Tidy { pieces }),
        1 => Just(Op::Reopen),
        1 => any::<usize>().prop_map(|which| Op::LoseIndex { which }),
    ]
}

struct Event {
    seq: JournalSeq,
    owner: u8,
    id: String,
    payload: Vec<u8>,
    ended: Option<u64>,
    outcomes: Vec<(JournalSeq, OutcomeRecord)>,
}

#[derive(Default)]
struct Model {
    events: Vec<Event>,
    erased: Vec<(JournalSeq, u8, Option<String>)>,
}

impl Model {
    fn is_gone(event: &Event, now: u64) -> bool {
        event.ended.is_some_and(|ended| ended + ATTEMPTS <= now)
    }

    fn is_erased(&self, event: &Event) -> bool {
        self.erased.iter().any(|(seq, owner, id)| {
            event.seq < *seq && event.owner == *owner && id.as_ref().is_none_or(|id| *id == event.id)
        })
    }

    fn pick(&self, n: usize) -> Option<usize> {
        let pending: Vec<_> = (0..self.events.len()).filter(|at| self.events[*at].ended.is_none()).collect();
        (!pending.is_empty()).then(|| pending[n % pending.len()])
    }
}

fn apply(rig: &mut Rig, model: &mut Model, op: &Op) {
    match op {
        Op::Accept { owner, id, len } => {
            let id = format!("event-{id}");
            let payload: Vec<u8> = (0..*len).map(|n| (n as u64 * 31 + rig.now) as u8).collect();
            let seq = rig.accept(*owner, &id, &payload);
            model.events.push(Event { seq, owner: *owner, id, payload, ended: None, outcomes: Vec::new() });
        }
        Op::Outcome { event, subscription, then, answer } => {
            let Some(at) = model.pick(*event) else { return };
            let event = &mut model.events[at];
            let then =
                [retry(rig.now), Then::Delivered, Then::Exhausted, Then::Refused, Then::Discarded, Then::Expired]
                    [usize::from(*then).saturating_sub(2)];
            let number = event.outcomes.len() as u16 + 1;
            let subscription = u32::from(event.owner) + 2 * u32::from(*subscription);
            let mut outcome = outcome(event.seq, subscription, number, then, rig.now);
            outcome.answer = answer.then(|| Bytes::from(format!("answer {number}")));
            let seq = rig.write(&[Record::Outcome(outcome.clone())]);
            event.outcomes.push((seq, outcome));
        }
        Op::End { event } => {
            let Some(at) = model.pick(*event) else { return };
            model.events[at].ended = Some(rig.now);
            rig.end(model.events[at].seq);
        }
        Op::Purge { owner } => {
            let seq = rig.write(&[Record::Purged { tenant: tenant(*owner), at: at(rig.now) }]);
            model.erased.push((seq, *owner, None));
        }
        Op::Erase { event } => {
            if model.events.is_empty() {
                return;
            }
            let event = &model.events[event % model.events.len()];
            let id = EventId::new(&event.id).unwrap();
            let seq = rig.write(&[Record::Erased { tenant: tenant(event.owner), event: id, at: at(rig.now) }]);
            model.erased.push((seq, event.owner, Some(event.id.clone())));
        }
        Op::Wait { millis } => rig.now += millis,
        Op::Snapshot => rig.snapshot(),
        Op::Tidy { pieces } => {
            for _ in 0..*pieces {
                rig.tidy();
            }
        }
        Op::Reopen => rig.reopen(),
        Op::LoseIndex { which } => {
            let files = rig.disk.files();
            let indexes: Vec<_> = files.keys().filter(|name| name.ends_with(".idx")).collect();
            if let Some(name) = (!indexes.is_empty()).then(|| indexes[which % indexes.len()]) {
                let middle = files[name].len() / 2 / 4096 * 4096 + which % 100;
                rig.disk.edit(name, |bytes| bytes[middle] ^= 0x10);
            }
        }
    }
}

fn check(rig: &mut Rig, model: &Model) {
    for event in &model.events {
        check_event(rig, model, event);
        if event.ended.is_none() {
            let loaded = rig.store().load(&[event.seq]).unwrap();
            assert!(matches!(&loaded[..], [(_, Record::Accepted(read))] if read.payload[..] == event.payload[..]));
        }
    }
    for number in 0..4 {
        check_lists(rig, model, number);
    }
    let shown = |(_, outcome): &&(JournalSeq, OutcomeRecord)| outcome.at.as_millis() + ATTEMPTS > rig.now;
    let mut ended = [0; End::ALL.len()];
    for (_, outcome) in model.events.iter().flat_map(|event| &event.outcomes).filter(shown) {
        ended[End::of(outcome.then).map_or(0, |end| end as usize)] +=
            u64::from(outcome.then != retry(0) && End::of(outcome.then).is_some());
    }
    let events = model.events.iter().filter(|event| event.ended.is_some() && !Model::is_gone(event, rig.now)).count();
    let Answer::Counts(counts) = rig.ask(&Query::Counts) else { panic!("counts were asked for") };
    assert_eq!((counts.ended, counts.events), (ended, events as u64));
}

fn check_event(rig: &mut Rig, model: &Model, event: &Event) {
    let same = |other: &&Event| other.owner == event.owner && other.id == event.id;
    let newest = model.events.iter().rev().filter(same).find(|other| !Model::is_gone(other, rig.now));
    let found = rig.event(event.owner, &event.id);
    let Some(newest) = newest else {
        assert_eq!(found, None, "{} is gone", event.seq);
        return;
    };
    let found = found.unwrap_or_else(|| panic!("{} is kept", newest.seq));
    assert_eq!((found.seq, found.ended), (newest.seq, newest.ended.map(at)));
    assert_eq!(found.payload_len as usize, newest.payload.len());
    let erased = model.is_erased(newest);
    let kept = !erased && newest.ended.is_none_or(|ended| ended + PAYLOADS > rig.now);
    assert_eq!(found.payload.as_deref(), kept.then_some(&newest.payload[..]));
    let attempts: Vec<_> = found
        .attempts
        .iter()
        .map(|attempt| {
            (attempt.seq, attempt.endpoint.clone(), attempt.number, attempt.at, attempt.then, attempt.answer.clone())
        })
        .collect();
    let expected: Vec<_> = newest
        .outcomes
        .iter()
        .map(|(seq, outcome)| {
            let answer = outcome.answer.clone().filter(|_| !erased);
            (*seq, Some(endpoint(outcome.subscription)), outcome.attempts, outcome.at, outcome.then, answer)
        })
        .collect();
    assert_eq!(attempts, expected);
}

fn check_lists(rig: &mut Rig, model: &Model, number: u32) {
    let exhausted =
        Query::Exhausted { tenant: tenant((number % 2) as u8), from: at(0), to: at(u64::MAX), page: Paging::default() };
    check_list(rig, model, exhausted, |outcome| {
        outcome.then == Then::Exhausted && outcome.subscription % 2 == number % 2
    });
    let given_up = Query::GivenUp { from: at(0), to: at(u64::MAX), page: Paging::default() };
    check_list(rig, model, given_up, |outcome| outcome.then == Then::Exhausted);
    for ends in [vec![], vec![End::Refused, End::Delivered]] {
        let query = Query::Endpoint {
            endpoint: endpoint(number),
            ends: ends.clone(),
            from: at(rig.now.saturating_sub(5_000)),
            to: at(rig.now.saturating_sub(100)),
            page: Paging::default(),
        };
        let (from, to) = (at(rig.now.saturating_sub(5_000)), at(rig.now.saturating_sub(100)));
        check_list(rig, model, query, |outcome| {
            let end = End::of(outcome.then);
            outcome.subscription == number
                && end.is_some_and(|end| ends.is_empty() || ends.contains(&end))
                && (from..to).contains(&outcome.at)
        });
    }
}

/// Reads all pages of a list, two or three entries each.
fn check_list(rig: &mut Rig, model: &Model, mut query: Query, belongs: impl Fn(&OutcomeRecord) -> bool) {
    let mut expected: Vec<_> = Vec::new();
    for event in &model.events {
        for (seq, outcome) in event.outcomes.iter().filter(|(_, outcome)| belongs(outcome)) {
            if End::of(outcome.then).is_some() && outcome.at.as_millis() + ATTEMPTS > rig.now {
                expected.push((
                    Place { at: outcome.at, outcome: *seq },
                    Some(event.id.clone()),
                    event.seq,
                    outcome.attempts,
                ));
            }
        }
    }
    expected.sort_by_key(|(place, ..)| std::cmp::Reverse(*place));
    let mut found = Vec::new();
    loop {
        let (Query::Endpoint { page, .. } | Query::Exhausted { page, .. } | Query::GivenUp { page, .. }) = &mut query
        else {
            panic!("not a list")
        };
        page.limit = 2 + found.len() % 2;
        let limit = page.limit;
        let Answer::Deliveries { items, next } = rig.ask(&query) else { panic!("a list was asked for") };
        assert!(items.len() <= limit);
        found.extend(
            items
                .into_iter()
                .map(|item| (item.place, item.event.map(|id| id.as_str().to_owned()), item.event_seq, item.attempts)),
        );
        let (Query::Endpoint { page, .. } | Query::Exhausted { page, .. } | Query::GivenUp { page, .. }) = &mut query
        else {
            panic!("not a list")
        };
        page.after = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
}

/// Once there is nothing to tidy, what is on disk is at most twice what must be.
fn check_size(rig: &mut Rig, model: &Model) {
    rig.settle();
    rig.tidy_all();
    let mut needed = 0;
    for event in model.events.iter().filter(|event| !Model::is_gone(event, rig.now)) {
        let kept = event.ended.is_none_or(|ended| ended + PAYLOADS > rig.now && !model.is_erased(event));
        let record = accepted(event.owner, &event.id, if kept { &event.payload } else { b"" }, 0);
        needed += size(&Record::Accepted(Box::new(record))) + u64::from(event.ended.is_some()) * 36;
        needed += event.outcomes.iter().map(|(_, outcome)| size(&Record::Outcome(outcome.clone()))).sum::<u64>();
    }
    let segments = rig.disk.files().keys().filter(|name| name.ends_with(".seg")).count() as u64;
    // Headers, footers, erasures that must stay known, and the segment that is being written.
    let least = needed + 64 * (model.erased.len() as u64) + 192 * segments + 2 * SEGMENT;
    let bytes = rig.segment_bytes();
    assert!(bytes <= 2 * least, "{bytes} bytes in {segments} segments, {needed} are needed");
}

fn size(record: &Record) -> u64 {
    let mut bytes = bytes::BytesMut::new();
    postrider_core::journal::encode(JournalSeq::new(1), record, &mut bytes);
    bytes.len() as u64 + 4
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_a_model_that_keeps_everything(ops in prop::collection::vec(op(), 1..160)) {
        let mut rig = Rig::new(SEGMENT, rig::retention(PAYLOADS, ATTEMPTS));
        let mut model = Model::default();
        for op in &ops {
            apply(&mut rig, &mut model, op);
            check(&mut rig, &model);
        }
        check_size(&mut rig, &model);
        check(&mut rig, &model);
        rig.now += ATTEMPTS + 3_600_000;
        check_size(&mut rig, &model);
        check(&mut rig, &model);
    }
}

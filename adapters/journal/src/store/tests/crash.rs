//! The power fails at every operation, and what had not been synced survives in parts.

use std::collections::BTreeSet;
use std::io;

use super::*;
use crate::Disk;

/// Numbers that are the same each time.
pub(crate) fn dice(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) >> 8
    }
}

/// What is known of a store from the outside.
#[derive(Debug, Default)]
struct Ledger {
    /// The last record that a sync said is durable.
    durable: u64,
    /// The last record that was appended.
    appended: u64,
}

/// Works until the world stops; every kind of operation that a store does comes up.
fn script(disk: &Fake, options: &Options, ledger: &mut Ledger) -> Result<(), StoreError> {
    let Ok(mut store) = Store::open(disk.clone(), options.clone(), UnixTime::EPOCH) else { return Ok(()) };
    if store.last() == JournalSeq::ZERO {
        write(&mut store, seq(1), &[genesis()])?;
    }
    for round in 0..7 {
        for n in 0..3 {
            let next = store.last().get() + 1;
            let end = (next > 14 && n == 2).then(|| ended(next - 12));
            let records: Vec<_> = [accepted(next, 300)].into_iter().chain(end).collect();
            ledger.appended = ledger.appended.max(store.last().get() + records.len() as u64);
            append(&mut store, &records)?;
        }
        ledger.durable = ledger.durable.max(store.sync()?.get());
        if round % 3 == 2 {
            snapshot(&mut store, round);
        }
        while store.tidy(UnixTime::EPOCH)? != super::super::Tidied::Nothing {}
    }
    store.close()
}

fn snapshot(store: &mut Store<Fake>, number: u64) {
    snapshot_of(store, number, 300);
}

/// A snapshot as a machine makes it of what the store holds, all payloads `len` bytes long.
pub(super) fn snapshot_of(store: &mut Store<Fake>, number: u64, len: u32) {
    let durable = store.durable();
    snapshot_between(store, number, len, (durable, durable));
}

/// The same of one that was begun behind one record and ended behind another.
pub(super) fn snapshot_between(store: &mut Store<Fake>, number: u64, len: u32, place: (JournalSeq, JournalSeq)) {
    let (since, through) = place;
    let begin = Record::SnapshotBegin(journal::SnapshotBegin {
        since,
        seed: Seed::from_bytes([5; 32]),
        incarnation: 1,
        next_subscription: 1,
    });
    let pending = store.look.segments.pending().filter(|event| *event <= through);
    let events = pending.map(|event| {
        let Record::Accepted(rest) = accepted(event.get(), 0) else { unreachable!("it is one") };
        Record::Event(Box::new(journal::EventRecord {
            mark: journal::Mark { event, through: 0, open: Vec::new() },
            passed_all: true,
            cancelled: false,
            accepted: *rest,
            payload_len: len,
            done: Vec::new(),
        }))
    });
    let all: Vec<_> = [begin].into_iter().chain(events).chain([Record::SnapshotEnd { through }]).collect();
    let parts: Vec<_> = all.chunks(5).collect();
    for (at, part) in parts.iter().enumerate() {
        let mut bytes = BytesMut::new();
        part.iter().for_each(|record| journal::encode(JournalSeq::ZERO, record, &mut bytes));
        let part = super::super::snapshots::Part {
            number: number + 1,
            part: at as u32,
            is_last: at + 1 == parts.len(),
            bytes: &bytes.freeze(),
        };
        store.snapshot_part(&part);
    }
    store.reclaim_of(number + 1);
}

/// What a store holds: pending events with their payloads, and the last record.
fn content(store: &mut Store<Fake>) -> (u64, BTreeSet<u64>, Vec<(u64, journal::Kind)>) {
    let pending: Vec<_> = store.look.segments.pending().collect();
    for event in &pending {
        let loaded = store.load(&[*event]).unwrap();
        let Record::Accepted(found) = &loaded[0].1 else { panic!("{event} is no event") };
        assert_eq!(found.payload, vec![(event.get() % 251) as u8; 300]);
    }
    (store.last().get(), pending.iter().map(|event| event.get()).collect(), replay(store))
}

/// Opens what a crash left, checks it against what was promised, and says what there is.
fn check(disk: &Fake, options: &Options, ledger: &Ledger, told: &str) -> (u64, BTreeSet<u64>) {
    let store = Store::open(disk.clone(), options.clone(), UnixTime::EPOCH);
    let mut store = store.unwrap_or_else(|error| panic!("{told}: {error}"));
    let (last, pending, _) = content(&mut store);
    assert!((ledger.durable..=ledger.appended).contains(&last), "{told}: {last} of {ledger:?}");
    assert_eq!(store.gaps(), [], "{told}");
    (last, pending)
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_durable() {
    let options = options(4096);
    let whole = Fake::default();
    script(&whole, &options, &mut Ledger::default()).unwrap();
    let ops = whole.ops();
    assert!(ops > 70, "{ops}");
    for op in 0..ops {
        let (disk, mut ledger) = (Fake::default(), Ledger::default());
        disk.stop_at(op);
        let _ = script(&disk, &options, &mut ledger);
        for seed in 0..6 {
            let told = format!("crash at {op}, seed {seed}");
            let left = disk.crashed(&mut dice(seed));
            let first = check(&left.copy_as_is(), &options, &ledger, &told);
            // The same again, with a crash at each operation of recovery, and once more behind it.
            let again = left.copy_as_is();
            check(&again, &options, &ledger, &told);
            let steps = again.ops();
            assert_eq!(check(&again, &options, &ledger, &told), first, "{told}: recovering again changes nothing");
            for step in 0..steps {
                let half = left.copy_as_is();
                half.stop_at(step);
                let _ = Store::open(half.clone(), options.clone(), UnixTime::EPOCH);
                let half = half.crashed(&mut dice(seed ^ 77));
                check(&half, &options, &ledger, &format!("{told}, then at {step} of recovery"));
            }
        }
    }
}

#[test]
fn a_store_goes_on_after_a_crash() {
    let options = options(4096);
    let seeds = if std::env::var_os("POSTRIDER_LONG_TESTS").is_some() { 5_000 } else { 60 };
    for seed in 0..seeds {
        let (mut disk, mut ledger, mut roll) = (Fake::default(), Ledger::default(), dice(seed));
        for run in 0..6 {
            disk.stop_at(disk.ops() + 1 + roll() % 90);
            if roll().is_multiple_of(2) {
                let kind = if roll().is_multiple_of(2) { io::ErrorKind::Other } else { io::ErrorKind::StorageFull };
                disk.fail_at(disk.ops() + roll() % 60, kind);
            }
            let _ = script(&disk, &options, &mut ledger);
            disk = if roll() % 2 == 0 { disk.crashed(&mut roll) } else { disk.copy() };
            let (last, _) = check(&disk, &options, &ledger, &format!("seed {seed}, run {run}"));
            ledger = Ledger { durable: last, appended: last };
        }
        assert!(!disk.list().unwrap().is_empty());
    }
}

//! What a store does when nothing goes wrong, and when the disk says that something did.

use std::io;

use super::*;
use crate::store::Tidied;
use postrider_core::sender::LoadError;

#[test]
fn what_was_appended_is_replayed_and_loaded() {
    let (disk, options) = (Fake::default(), options(8192));
    let mut store = open(&disk, &options);
    assert_eq!(append(&mut store, &[genesis(), accepted(2, 100)]), Ok(seq(2)));
    for n in 3..60 {
        append(&mut store, &[accepted(n, 900)]).unwrap();
        assert_eq!(store.sync(), Ok(seq(n)));
    }
    append(&mut store, &[ended(3)]).unwrap();
    assert_eq!(store.sync(), Ok(seq(60)));
    let read = |store: &mut Store<Fake>| {
        assert_eq!(store.load(&[seq(3)]).err(), Some(LoadError::Corrupt), "it has ended");
        for n in 4..60 {
            let loaded = store.load(&[seq(n)]).unwrap();
            assert!(
                matches!(&loaded[0], (at, Record::Accepted(event)) if *at == seq(n) && event.payload[0] == n as u8)
            );
        }
    };
    read(&mut store);
    drop(store);
    let mut store = open(&disk, &options);
    assert_eq!(store.found().segments, store.look.segments().count() as u64);
    assert!(store.found().segments > 5);
    assert_eq!((store.found().last, store.found().pending, store.found().torn), (seq(60), 57, 0));
    assert_eq!(replay(&store).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
    read(&mut store);
    // It goes on in a segment of its own.
    append(&mut store, &[ended(4)]).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
    assert_eq!(open(&disk, &options).found().pending, 56);
}

#[test]
fn one_write_and_one_sync_a_batch_and_none_besides() {
    let disk = Fake::default();
    let mut store = open(&disk, &options(1 << 20));
    append(&mut store, &[genesis()]).unwrap();
    store.sync().unwrap();
    let (ops, syncs) = (disk.ops(), disk.syncs());
    for n in 0..10 {
        for _ in 0..5 {
            let next = store.last().get() + 1;
            append(&mut store, &[accepted(next, 100), accepted(next + 1, 100)]).unwrap();
        }
        store.sync().unwrap();
        assert_eq!(store.sync(), Ok(store.last()), "nothing to do");
        assert_eq!(disk.syncs() - syncs, n + 1);
    }
    // 50 writes, 10 syncs, and 10 words about what is durable.
    assert_eq!(disk.ops() - ops, 70);
    assert_eq!(disk.files()["0000000001.seg"].len(), 1 << 20, "its length does not change");
}

#[test]
fn a_batch_that_is_larger_than_a_segment_has_one_of_its_own() {
    let (disk, options) = (Fake::default(), options(4096));
    let mut store = open(&disk, &options);
    append(&mut store, &[genesis()]).unwrap();
    append(&mut store, &[accepted(2, 50_000), accepted(3, 100)]).unwrap();
    append(&mut store, &[accepted(4, 100)]).unwrap();
    assert_eq!(store.sync(), Ok(seq(4)));
    let store = open(&disk, &options);
    assert_eq!((store.found().segments, store.found().pending, store.found().last), (3, 3, seq(4)));
}

#[test]
fn what_does_not_come_next_is_not_written() {
    let disk = Fake::default();
    let mut store = open(&disk, &options(4096));
    let refused = write(&mut store, seq(2), &[genesis()]);
    assert_eq!(refused, Err(StoreError::OutOfOrder { next: seq(1), first: seq(2) }));
    append(&mut store, &[genesis()]).unwrap();
    let bytes = Bytes::from_static(b"no frames at all");
    let refused = store.append_frames(&Frames { first: seq(2), last: seq(2), bytes: &bytes });
    assert_eq!(refused, Err(StoreError::OutOfOrder { next: seq(2), first: seq(2) }));
    assert_eq!(append(&mut store, &[accepted(2, 10)]), Ok(seq(2)));
    assert_eq!((store.sync(), open(&disk, &options(4096)).found().last), (Ok(seq(2)), seq(2)));
}

/// Fails the operation `ahead` of the next one while records 4 and 5 are written, gives them once more, and says what
/// an opening finds.
fn after_failure(ahead: u64, kind: io::ErrorKind, power: bool) -> Vec<u64> {
    let (disk, options) = (Fake::default(), options(1 << 16));
    let mut store = open(&disk, &options);
    append(&mut store, &[genesis(), accepted(2, 100), accepted(3, 100)]).unwrap();
    store.sync().unwrap();
    disk.fail_at(disk.ops() + ahead, kind);
    let records = [accepted(4, 700), accepted(5, 700)];
    let one = |store: &mut Store<Fake>, n: usize| append(store, &records[n..=n]);
    let failed = one(&mut store, 0).and_then(|_| one(&mut store, 1)).and_then(|_| store.sync()).unwrap_err();
    let full = kind == io::ErrorKind::StorageFull;
    assert!(matches!(failed, StoreError::Broken { .. }) != full && (failed == StoreError::Full) == full, "{failed}");
    assert_eq!((store.durable(), store.last()), (seq(3), seq(3)));
    assert_eq!(store.load(&[seq(4)]).err(), Some(LoadError::Corrupt), "it counts no more");
    // What was issued before the machine heard of it is refused, what it issues again is taken.
    assert!(matches!(write(&mut store, seq(5), &records[1..]), Err(StoreError::OutOfOrder { .. })));
    append(&mut store, &[accepted(4, 700)]).unwrap();
    append(&mut store, &[accepted(5, 700), ended(2)]).unwrap();
    assert_eq!(store.sync(), Ok(seq(6)));
    assert_eq!(store.load(&[seq(4), seq(5)]).unwrap().len(), 2);
    append(&mut store, &[accepted(7, 10)]).unwrap();
    store.sync().unwrap();
    let mut side = 0;
    let left = if power {
        disk.crashed(&mut || {
            side += 1;
            side
        })
    } else {
        disk.copy()
    };
    let mut store = open(&left, &options);
    assert_eq!(store.load(&[seq(3), seq(4), seq(5), seq(7)]).unwrap().len(), 4);
    replay(&store).iter().map(|(seq, _)| *seq).collect()
}

#[test]
fn a_write_or_sync_that_fails_once_loses_nothing() {
    for power in [false, true] {
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            for ahead in 0..3 {
                assert_eq!(after_failure(ahead, kind, power), [1, 2, 3, 4, 5, 6, 7], "{ahead} {kind}");
            }
        }
    }
}

#[test]
fn a_sync_that_failed_is_not_tried_again() {
    let disk = Fake::default();
    let mut store = open(&disk, &options(1 << 16));
    append(&mut store, &[genesis()]).unwrap();
    store.sync().unwrap();
    append(&mut store, &[accepted(2, 100)]).unwrap();
    disk.fail_at(disk.ops(), io::ErrorKind::Other);
    store.sync().unwrap_err();
    let syncs = disk.syncs();
    assert_eq!((store.sync(), disk.syncs()), (Ok(seq(1)), syncs), "nothing that was appended counts");
    assert_eq!(disk.files()["0000000001.seg"].len() as u64, store.look.segments().next().unwrap().len);
}

#[test]
fn a_full_disk_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let (disk, options) = (Fake::default(), options(16 << 10));
    let mut store = open(&disk, &options);
    append(&mut store, &[genesis()]).unwrap();
    disk.capacity(Some(40 << 10));
    let full = loop {
        let next = store.last().get() + 1;
        match append(&mut store, &[accepted(next, 900)]).and_then(|_| store.sync()) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::Full);
    let durable = store.durable();
    assert!((35..45).contains(&durable.get()), "small segments are made of what is left: {durable}");
    assert!(store.room().unwrap() < 2000);
    assert_eq!(append(&mut store, &[accepted(durable.get() + 1, 900)]), Err(StoreError::Full), "still");
    disk.capacity(Some(80 << 10));
    assert!(store.room().unwrap() > 30 << 10);
    append(&mut store, &[accepted(durable.get() + 1, 900)]).unwrap();
    store.sync().unwrap();
    disk.capacity(None);
    assert_eq!(open(&disk, &options).found().last, durable.next());
}

#[test]
fn a_budget_is_kept_and_told_less_the_reserve() {
    let disk = Fake::default();
    let options = Options { budget: Some(50 << 10), reserve: 10 << 10, ..options(16 << 10) };
    let mut store = open(&disk, &options);
    append(&mut store, &[genesis()]).unwrap();
    let room = store.room().unwrap();
    assert!((39 << 10..40 << 10).contains(&room), "{room}");
    loop {
        let next = store.last().get() + 1;
        match append(&mut store, &[accepted(next, 500)]) {
            Ok(_) => {}
            Err(error) => break assert_eq!(error, StoreError::Full),
        }
        let used: usize = disk.files().values().map(Vec::len).sum();
        assert!(used <= 50 << 10, "{used}");
    }
    assert_eq!(store.room(), Some(0));
}

#[test]
fn what_has_ended_gives_its_space_back() {
    let (disk, options) = (Fake::default(), options(64 << 10));
    let mut store = open(&disk, &options);
    append(&mut store, &[genesis()]).unwrap();
    let used = |disk: &Fake| disk.files().values().map(Vec::len).sum::<usize>();
    let (mut most, mut kept) = (0, Vec::new());
    for round in 0..40 {
        for _ in 0..100 {
            let next = store.last().get() + 1;
            append(&mut store, &[accepted(next, 900)]).unwrap();
            if next.is_multiple_of(97) {
                kept.push(seq(next));
            } else {
                append(&mut store, &[ended(next)]).unwrap();
            }
        }
        store.sync().unwrap();
        crash::snapshot_of(&mut store, round, 900);
        while store.tidy(UnixTime::EPOCH).unwrap() == Tidied::Worked {}
        most = most.max(used(&disk));
    }
    assert!(kept.len() > 30, "{}", kept.len());
    // 40 rounds of 100 KiB went by; what is pending and what two snapshots do not stand for is there.
    assert!(most < 800 << 10, "{most}");
    let mut store = open(&disk, &options);
    assert_eq!(store.found().pending, kept.len() as u64);
    for event in kept {
        assert_eq!(store.load(&[event]).unwrap().len(), 1);
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_asked_a_few_times_only() {
    let (disk, options) = (Fake::default(), options(1 << 20));
    let mut store = open(&disk, &options);
    append(&mut store, &[genesis()]).unwrap();
    store.sync().unwrap();
    let used: usize = disk.files().values().map(Vec::len).sum();
    disk.capacity(Some(used as u64 + 20_000));
    let before = disk.ops();
    // More than there is even when the room that the first segment had reserved has been given back.
    let large = accepted(2, (1 << 20) + 40_000);
    assert_eq!(append(&mut store, &[large]), Err(StoreError::Full));
    append(&mut store, &[accepted(2, 5_000)]).unwrap();
    assert_eq!(store.sync(), Ok(seq(2)));
    assert!(disk.ops() - before < 50, "{} operations", disk.ops() - before);
}

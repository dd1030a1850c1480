//! Bytes that change behind the store's back: none goes unnoticed, and what is intact is brought back.

use std::collections::BTreeMap;

use super::crash::{dice, snapshot_between, snapshot_of};
use super::*;
use crate::store::{Damage, OpenError, Tidied};

const PAYLOAD: usize = 200;

/// A store that was closed, or killed, with segments, a compacted one among them, and two snapshots.
fn sample(clean: bool) -> Fake {
    let disk = Fake::default();
    let mut store = open(&disk, &options(8192));
    append(&mut store, &[genesis()]).unwrap();
    for round in 0..18 {
        for n in 0..6 {
            let next = store.last().get() + 1;
            let end = (next > 20 && n > 0).then(|| ended(next - 13));
            let records: Vec<_> = [accepted(next, PAYLOAD)].into_iter().chain(end).collect();
            append(&mut store, &records).unwrap();
            if n % 3 == 2 {
                store.sync().unwrap();
            }
        }
        if round == 11 || round == 14 {
            snapshot_of(&mut store, round, PAYLOAD as u32);
        }
        while store.tidy(UnixTime::EPOCH).unwrap() != Tidied::Nothing {}
    }
    let segments: Vec<_> = store.look.segments().collect();
    assert!(segments.len() > 2 && segments.iter().any(|segment| segment.compacted), "{segments:?}");
    if clean {
        store.close().unwrap();
    }
    disk
}

/// The last record and the payloads of what is pending.
type State = (u64, BTreeMap<u64, u8>);

fn state(store: &mut Store<Fake>) -> State {
    let pending: Vec<_> = store.look.segments.pending().collect();
    let mut found = BTreeMap::new();
    for event in pending {
        for (at, record) in store.load(&[event]).unwrap() {
            let Record::Accepted(accepted) = record else { panic!("{at} is no event") };
            assert_eq!((at, accepted.payload.len()), (event, PAYLOAD));
            assert!(
                accepted.payload.iter().all(|byte| u64::from(*byte) == event.get() % 251),
                "a wrong byte of {event}"
            );
            found.insert(event.get(), accepted.payload[0]);
        }
    }
    store.records().for_each(|record| drop(record.unwrap()));
    (store.last().get(), found)
}

/// What damage led to.
#[derive(Debug, PartialEq)]
enum Led {
    Nowhere,
    Found,
}

/// Opens a damaged disk: either nothing is missing, or it is refused, and salvage brings back everything that it does
/// not name as lost; and after that nothing is damaged any more.
fn check(disk: &Fake, whole: &State, told: &str) -> Led {
    let options = options(8192);
    let before = disk.files();
    let damage = match Store::open(disk.copy(), options.clone(), UnixTime::EPOCH) {
        Ok(mut store) => {
            assert_eq!(&state(&mut store), whole, "{told}: silent loss");
            return Led::Nowhere;
        }
        Err(OpenError::Corrupt(damage)) => damage,
        Err(error) => panic!("{told}: {error}"),
    };
    assert_eq!(disk.files(), before, "{told}: a refusal changes nothing");
    let mut salvaged = open(disk, &salvaging(&options));
    assert_eq!(salvaged.found().lost, damage, "{told}");
    let after = state(&mut salvaged);
    let lost = |event: &u64| damage.iter().any(|at| at.range().is_some_and(|range| range.contains(event)));
    for (event, byte) in &whole.1 {
        assert!(after.1.get(event) == Some(byte) || lost(event), "{told}: {event} is gone, told was {damage:?}");
    }
    // An event whose end was lost is pending again; nothing else comes up.
    assert!(after.1.keys().all(|event| *event <= whole.0), "{told}");
    assert!(after.0 <= whole.0, "{told}");
    let replayed: Vec<_> = replay(&salvaged).into_iter().map(|(seq, _)| seq).filter(|seq| *seq > 0).collect();
    let gaps: Vec<_> = salvaged.gaps().iter().map(|(first, last)| first.get()..=last.get()).collect();
    for two in replayed.windows(2) {
        let known = (two[0] + 1..two[1]).all(|seq| gaps.iter().any(|gap| gap.contains(&seq)));
        assert!(known, "{told}: a gap between {} and {} is not told", two[0], two[1]);
    }
    let gaps = salvaged.gaps().to_vec();
    // It goes on, and is sound from then on.
    let next = salvaged.last().get() + 1;
    append(&mut salvaged, &[accepted(next, PAYLOAD)]).unwrap();
    salvaged.sync().unwrap();
    drop(salvaged);
    let mut again = open(disk, &options);
    assert_eq!(again.gaps(), gaps, "{told}");
    let mut expected = (next, after.1);
    expected.1.insert(next, (next % 251) as u8);
    assert_eq!(state(&mut again), expected, "{told}");
    Led::Found
}

#[test]
fn no_bit_changes_silently() {
    for clean in [true, false] {
        let disk = sample(clean);
        let whole = state(&mut open(&disk.copy(), &options(8192)));
        let mut roll = dice(17);
        let (mut found, mut all) = (0, 0);
        for (name, bytes) in disk.files() {
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            for _ in 0..100 {
                let bit = roll() as usize % (written * 8);
                let damaged = disk.copy();
                damaged.edit(&name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                let led = check(&damaged, &whole, &format!("bit {bit} of {name}, clean {clean}"));
                (found, all) = (found + u32::from(led == Led::Found), all + 1);
                assert!(!name.ends_with(".seg") || led == Led::Found, "bit {bit} of {name} was not noticed");
            }
        }
        assert!(found * 3 >= all, "{found} of {all}");
    }
}

#[test]
fn no_file_is_cut_silently() {
    for clean in [true, false] {
        let disk = sample(clean);
        let whole = state(&mut open(&disk.copy(), &options(8192)));
        for (name, bytes) in disk.files() {
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            for len in (0..written).step_by(61) {
                let damaged = disk.copy();
                damaged.edit(&name, |bytes| bytes.truncate(len));
                let led = check(&damaged, &whole, &format!("{name} cut to {len}, clean {clean}"));
                assert!(!name.ends_with(".seg") || led == Led::Found, "{name} cut to {len} was not noticed");
            }
        }
    }
}

#[test]
fn stretches_of_zeros_and_noise_are_found() {
    let disk = sample(false);
    let whole = state(&mut open(&disk.copy(), &options(8192)));
    let mut roll = dice(4);
    let names: Vec<_> = disk.files().into_keys().filter(|name| name.ends_with(".seg")).collect();
    for round in 0..300 {
        let damaged = disk.copy();
        let name = &names[roll() as usize % names.len()];
        damaged.edit(name, |bytes| {
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let from = roll() as usize % written;
            let to = (from + 1 + roll() as usize % 2000).min(written);
            let noise = round % 2 == 0;
            bytes[from..to].iter_mut().for_each(|byte| *byte = if noise { roll() as u8 } else { 0 });
        });
        check(&damaged, &whole, &format!("round {round}, {name}"));
    }
}

#[test]
fn a_missing_segment_is_named_with_what_it_held() {
    let disk = sample(true);
    let whole = state(&mut open(&disk.copy(), &options(8192)));
    let names: Vec<_> = disk.files().into_keys().filter(|name| name.ends_with(".seg")).collect();
    assert!(names.len() > 2, "{names:?}");
    for name in &names {
        let damaged = disk.copy();
        crate::Disk::remove(&damaged, name).unwrap();
        assert_eq!(check(&damaged, &whole, name), Led::Found);
    }
}

#[test]
fn a_segment_of_another_store_is_not_taken() {
    let (disk, other) = (sample(true), Fake::default());
    let whole = state(&mut open(&disk.copy(), &options(8192)));
    let foreign = Options { store: crate::store::StoreId::from_bytes([8; 16]), ..options(8192) };
    let mut store = open(&other, &foreign);
    append(&mut store, &[genesis()]).unwrap();
    store.close().unwrap();
    let name = disk.files().into_keys().rfind(|name| name.ends_with(".seg")).unwrap();
    disk.edit(&name, |bytes| *bytes = other.files()["0000000001.seg"].clone());
    let Err(OpenError::Corrupt(damage)) = Store::open(disk.copy(), options(8192), UnixTime::EPOCH) else {
        panic!("it is not noticed")
    };
    assert_eq!(damage[0].damage, Damage::Foreign);
    assert_eq!(check(&disk, &whole, "foreign"), Led::Found);
}

#[test]
fn lost_events_are_named() {
    let disk = sample(true);
    // A bit in the payload of an event: its names can still be read.
    let (at, name) = disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".seg"))
        .find_map(|(name, bytes)| Some((bytes.windows(PAYLOAD).position(|part| part == [40; PAYLOAD])?, name)))
        .unwrap();
    disk.edit(&name, |bytes| bytes[at + 7] ^= 16);
    let Err(OpenError::Corrupt(damage)) = Store::open(disk.clone(), options(8192), UnixTime::EPOCH) else {
        panic!("it is not noticed")
    };
    assert_eq!(damage.len(), 1, "{damage:?}");
    // In a compacted segment its neighbours may have been gone before.
    assert!(damage[0].range().unwrap().contains(&40), "{damage:?}");
    assert_eq!(damage[0].ids.iter().map(|id| id.event.as_str()).collect::<Vec<_>>(), ["e40"]);
    let text = damage[0].to_string();
    assert!(
        text.contains("its bytes are damaged; record") && text.ends_with("among them event e40 of default"),
        "{text}"
    );
    open(&disk, &salvaging(&options(8192)));
    let lost = String::from_utf8(disk.files()["lost.txt"].clone()).unwrap();
    assert!(lost.contains("\nevent 40 default e40\n"), "{lost}");
}

#[test]
fn without_a_sound_snapshot_the_log_must_go_back_to_the_beginning() {
    let disk = Fake::default();
    let mut store = open(&disk, &options(8192));
    append(&mut store, &[genesis(), accepted(2, PAYLOAD)]).unwrap();
    store.sync().unwrap();
    snapshot_of(&mut store, 0, PAYLOAD as u32);
    drop(store);
    let spoil = |disk: &Fake| {
        for name in disk.files().into_keys().filter(|name| name.ends_with(".snap")) {
            disk.edit(&name, |bytes| bytes[80] ^= 1);
        }
    };
    spoil(&disk);
    let mut store = open(&disk, &options(8192));
    assert_eq!((store.found().snapshot, store.found().damaged_snapshots.clone()), (None, vec![1]));
    assert_eq!(state(&mut store).1.len(), 1);
    let disk = sample(true);
    spoil(&disk);
    let Err(error) = Store::open(disk, salvaging(&options(8192)), UnixTime::EPOCH) else {
        panic!("it has no beginning")
    };
    assert!(matches!(error, OpenError::NoBeginning { .. }), "{error}");
}

#[test]
fn a_snapshot_that_ends_within_a_batch_says_that_all_of_the_batch_is_durable() {
    let disk = Fake::default();
    let mut store = open(&disk, &options(8192));
    append(&mut store, &[genesis(), accepted(2, PAYLOAD)]).unwrap();
    store.sync().unwrap();
    append(&mut store, &[accepted(3, PAYLOAD), accepted(4, PAYLOAD), accepted(5, PAYLOAD)]).unwrap();
    store.sync().unwrap();
    // While it was made, records went on; the last batch of all is named by nothing behind it.
    snapshot_between(&mut store, 0, PAYLOAD as u32, (seq(2), seq(4)));
    drop(store);
    // What the file beside the log says is as old as it may be.
    disk.edit("acked", |bytes| bytes.fill(0));
    let mut store = open(&disk, &options(8192));
    assert_eq!(store.found().snapshot, Some(1));
    assert_eq!(state(&mut store).1.len(), 4);
}

#[test]
fn a_crash_while_damage_is_repaired_changes_nothing_in_the_end() {
    let disk = sample(false);
    let names: Vec<_> = disk.files().into_keys().filter(|name| name.ends_with(".seg")).collect();
    for name in &names {
        disk.edit(name, |bytes| bytes[400] ^= 4);
    }
    let options = salvaging(&options(8192));
    let whole = disk.copy();
    let expected = state(&mut open(&whole, &options));
    let ops = whole.ops();
    assert!(ops > 10);
    for op in 0..ops {
        for seed in 0..4 {
            let half = disk.copy();
            half.stop_at(op);
            let _ = Store::open(half.clone(), options.clone(), UnixTime::EPOCH);
            let half = half.crashed(&mut dice(seed));
            assert_eq!(state(&mut open(&half, &options)), expected, "a crash at {op}, seed {seed}");
        }
    }
}

#[test]
fn a_newer_format_is_refused_with_clear_words() {
    let disk = sample(true);
    let name = disk.files().into_keys().rfind(|name| name.ends_with(".seg")).unwrap();
    disk.edit(&name, |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&crc);
    });
    for options in [options(8192), salvaging(&options(8192))] {
        let Err(error) = Store::open(disk.clone(), options, UnixTime::EPOCH) else { panic!("it is not noticed") };
        assert_eq!(
            error.to_string(),
            format!("{name} has format 2 and this release reads formats up to 1: use the release that wrote it")
        );
    }
}

//! The power fails at every operation, the disk fails at every operation, and every byte is damaged once.

mod machines;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc;

use postrider_core::receiver::{ClaimToken, Ending};

use super::bytes::Head;
use super::*;
use crate::store::Recovery;
use crate::store::tests::crash::dice;
use crate::store::tests::fake::Fake;

const WINDOW: u64 = 100;

fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(millis)
}

fn options() -> ClaimOptions {
    ClaimOptions::default().limits(BookLimits::default().window(std::time::Duration::from_millis(WINDOW)))
}

fn open(disk: &Fake, now: u64) -> ClaimFile<Fake> {
    ClaimFile::open(disk.clone(), &options(), at(now)).unwrap().small(12)
}

/// The n-th event. A third of them come under an id that is not covered.
fn event(n: u64) -> Claim {
    let mut claim = Claim::new(format!("0:event {n}"), std::time::Duration::from_millis(30));
    if n.is_multiple_of(3) {
        claim.said = Some(format!("0:id {n}").into());
    }
    claim
}

fn token(claimed: &Claimed) -> Option<ClaimToken> {
    match claimed {
        Claimed::Granted { token, .. } => Some(*token),
        Claimed::Held { .. } | Claimed::Over(_) => None,
    }
}

/// What is known of a store from the outside.
#[derive(Debug, Default)]
struct Ledger {
    now: u64,
    /// Commits that were acknowledged, and when.
    acknowledged: BTreeMap<u64, u64>,
    /// Commits that were asked for.
    asked: BTreeSet<u64>,
    /// The largest token that was given.
    token: ClaimToken,
}

/// Works until the world stops. Of each four events two are committed together, one is released, and one is left held.
fn script(disk: &Fake, ledger: &mut Ledger, rounds: u64) -> Result<(), ClaimError> {
    let Ok(file) = ClaimFile::open(disk.clone(), &options(), at(ledger.now)) else { return Ok(()) };
    let mut file = file.small(12);
    let first = ledger.asked.last().map_or(0, |last| last + 10);
    for round in 0..rounds {
        ledger.now += 7;
        let (now, base) = (at(ledger.now), first + 4 * round);
        let mut granted = Vec::new();
        for n in base..base + 4 {
            let claimed = file.claim(now, &event(n))?;
            granted.extend(token(&claimed).map(|token| (n, token)));
        }
        file.write(now)?;
        assert_eq!(granted.len(), 4, "nobody has had them");
        ledger.token = granted[3].1;
        for (n, token) in &granted[..2] {
            ledger.asked.insert(*n);
            file.commit(now, &event(*n).commit(*token, Ending::Done))?;
        }
        file.release(now, &event(base + 2).release(granted[2].1));
        // A repeat of what was committed, by content that is signed anew.
        let mut repeat = event(base);
        repeat.key = format!("0:event {base} again").into();
        file.claim(now, &repeat)?;
        file.write(now)?;
        file.sync(now)?;
        ledger.acknowledged.extend([(base, ledger.now), (base + 1, ledger.now)]);
    }
    Ok(())
}

/// Opens what a crash left, and checks it against what was promised.
fn check(disk: &Fake, ledger: &Ledger, told: &str) -> BTreeSet<u64> {
    let file = ClaimFile::open(disk.clone(), &options(), at(ledger.now));
    let mut file = file.unwrap_or_else(|error| panic!("{told}: {error}"));
    let mut over = BTreeSet::new();
    for n in 0..ledger.asked.last().map_or(4, |last| last + 4) {
        match file.claim(at(ledger.now), &event(n)).unwrap() {
            Claimed::Granted { token, .. } => {
                assert!(token > ledger.token, "{told}: the token of {n} was given before")
            }
            Claimed::Held { .. } => panic!("{told}: {n} is held by nobody"),
            Claimed::Over(ending) => {
                assert!(ledger.asked.contains(&n) && ending == Ending::Done, "{told}: {n} was not committed");
                over.insert(n);
            }
        }
    }
    for (n, since) in &ledger.acknowledged {
        assert!(over.contains(n) || ledger.now - since >= WINDOW, "{told}: {n} would be delivered again");
    }
    over
}

#[test]
fn a_crash_at_any_operation_forgets_nothing_that_was_acknowledged() {
    let whole = Fake::default();
    script(&whole, &mut Ledger::default(), 70).unwrap();
    let ops = whole.ops();
    let Head::Sound(file) = bytes::read_head(&whole.files()["claims.log"]) else { panic!("it is sound") };
    assert!(ops > 120 && file > 2, "{ops} operations, file {file}");
    for op in 0..ops {
        let (disk, mut ledger) = (Fake::default(), Ledger::default());
        disk.stop_at(op);
        let _ = script(&disk, &mut ledger, 70);
        for seed in 0..6 {
            let told = format!("crash at {op}, seed {seed}");
            let left = disk.crashed(&mut dice(seed));
            let again = left.copy_as_is();
            let first = check(&again, &ledger, &told);
            let steps = again.ops();
            assert_eq!(check(&again, &ledger, &told), first, "{told}: opening again changes nothing");
            for step in 0..steps {
                let half = left.copy_as_is();
                half.stop_at(step);
                let _ = ClaimFile::open(half.clone(), &options(), at(ledger.now));
                check(&half.crashed(&mut dice(seed ^ 77)), &ledger, &format!("{told}, then at {step} of opening"));
            }
        }
    }
}

#[test]
fn a_store_goes_on_after_crashes_and_failures() {
    let seeds = if std::env::var_os("POSTRIDER_LONG_TESTS").is_some() { 5_000 } else { 100 };
    for seed in 0..seeds {
        let (mut disk, mut ledger, mut roll) = (Fake::default(), Ledger::default(), dice(seed));
        for run in 0..6 {
            disk.stop_at(disk.ops() + 1 + roll() % 120);
            if roll().is_multiple_of(2) {
                let kind = if roll().is_multiple_of(2) { io::ErrorKind::Other } else { io::ErrorKind::StorageFull };
                disk.fail_at(disk.ops() + roll() % 60, kind);
            }
            let _ = script(&disk, &mut ledger, 30);
            disk = if roll().is_multiple_of(2) { disk.crashed(&mut roll) } else { disk.copy() };
            check(&disk.copy_as_is(), &ledger, &format!("seed {seed}, run {run}"));
        }
    }
}

#[test]
fn a_disk_that_fails_once_loses_nothing_and_stops_nobody() {
    let whole = Fake::default();
    script(&whole, &mut Ledger::default(), 12).unwrap();
    let opening = {
        let disk = Fake::default();
        open(&disk, 0);
        disk.ops()
    };
    for op in opening..whole.ops() {
        let (disk, mut ledger) = (Fake::default(), Ledger::default());
        disk.fail_at(op, io::ErrorKind::Other);
        assert_eq!(script(&disk, &mut ledger, 12), Ok(()), "failure of {op}");
        assert_eq!(ledger.acknowledged.len(), 24);
        check(&disk.crashed(&mut dice(op)), &ledger, &format!("failure of {op}"));
    }
}

#[test]
fn while_the_disk_fails_nothing_is_promised_and_afterwards_nothing_is_missing() {
    let disk = Fake::default();
    let mut file = open(&disk, 0);
    let held = token(&file.claim(at(0), &event(1)).unwrap()).unwrap();
    file.write(at(0)).unwrap();
    disk.capacity(Some(0));
    // It is over for this process, and nobody is told so.
    file.commit(at(1), &event(1).commit(held, Ending::Done)).unwrap();
    let write = file.write(at(1));
    assert!(matches!(write, Err(ClaimError::Unavailable { .. })), "{write:?}");
    assert!(file.sync(at(1)).is_err() && file.claim(at(2), &event(2)).is_err());
    disk.capacity(None);
    assert!(file.claim(at(3), &event(2)).is_err(), "it is not tried all the time");
    assert!(token(&file.claim(at(1002), &event(2)).unwrap()).is_some());
    drop(file);
    let mut file = open(&disk.crashed(&mut dice(1)), 50);
    assert_eq!(file.claim(at(50), &event(1)), Ok(Claimed::Over(Ending::Done)));
}

#[test]
fn what_was_claimed_by_a_process_that_was_killed_is_owed() {
    let disk = Fake::default();
    let mut file = open(&disk, 0);
    let mine = event(3);
    assert!(token(&file.claim(at(0), &mine).unwrap()).is_some());
    file.write(at(0)).unwrap();
    let disk = disk.copy();
    let mut file = open(&disk, 1);
    let mut theirs = event(4);
    theirs.said = mine.said.clone();
    let other = token(&file.claim(at(1), &theirs).unwrap()).unwrap();
    file.commit(at(2), &theirs.commit(other, Ending::Done)).unwrap();
    file.write(at(2)).unwrap();
    let mut third = event(5);
    third.said = mine.said.clone();
    assert_eq!(file.claim(at(3), &third), Ok(Claimed::Over(Ending::Done)), "it came under the same id");
    assert!(token(&file.claim(at(3), &mine).unwrap()).is_some(), "it came first");
}

#[test]
fn every_damaged_byte_is_told_and_the_rest_can_be_saved() {
    let disk = Fake::default();
    let mut ledger = Ledger::default();
    script(&disk, &mut ledger, 5).unwrap();
    let whole = disk.files()["claims.log"].clone();
    let sound = check(&disk.copy(), &ledger, "sound");
    for at_byte in 0..whole.len() {
        let disk = disk.copy();
        disk.edit("claims.log", |bytes| bytes[at_byte] ^= 0x10);
        let before = disk.files();
        let refused = ClaimFile::open(disk.clone(), &options(), at(ledger.now)).unwrap_err();
        let OpenClaimsError::Damaged { places } = refused else { panic!("byte {at_byte}: {refused}") };
        assert!(places.len() == 1 && places[0].offset <= at_byte as u64, "byte {at_byte}: {places:?}");
        assert_eq!(disk.files(), before, "nothing was changed");
        let saved = ClaimFile::open(disk.clone(), &options().recovery(Recovery::Salvage), at(ledger.now)).unwrap();
        assert_eq!(saved.found().lost, places);
        drop(saved);
        let left = check(&disk, &Ledger { acknowledged: BTreeMap::new(), ..Ledger::default() }.asked(&ledger), "saved");
        assert!(at_byte < 32 || sound.difference(&left).count() <= 2, "byte {at_byte}: one write had two events");
    }
}

impl Ledger {
    fn asked(mut self, of: &Self) -> Self {
        (self.asked, self.now) = (of.asked.clone(), of.now);
        self
    }
}

#[test]
fn a_file_of_a_later_release_is_left_alone() {
    let disk = Fake::default();
    drop(open(&disk, 0));
    disk.edit("claims.log", |bytes| {
        bytes[8] = 9;
        let sum = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    });
    let refused = ClaimFile::open(disk, &options(), at(0)).unwrap_err();
    assert_eq!(refused, OpenClaimsError::Newer { format: 9, known: 1 });
}

fn claimed(store: &mut impl ClaimStore, claim: &Claim) -> Result<Claimed, ClaimError> {
    let (tell, told) = mpsc::channel();
    store.claim(claim.clone(), Box::new(move |claimed| tell.send(claimed).unwrap()));
    told.recv().unwrap()
}

fn committed(store: &mut impl ClaimStore, commit: Commit) -> Result<(), ClaimError> {
    let (tell, told) = mpsc::channel();
    store.commit(commit, Box::new(move |committed| tell.send(committed).unwrap()));
    told.recv().unwrap()
}

fn minute(key: &str) -> Claim {
    Claim::new(key, std::time::Duration::from_secs(60))
}

fn clones_are_one_store(mut one: impl ClaimStore + Clone) {
    let mut two = one.clone();
    let (event, other) = (minute("0:a"), minute("0:b"));
    let first = token(&claimed(&mut one, &event).unwrap()).unwrap();
    assert!(matches!(claimed(&mut two, &event), Ok(Claimed::Held { .. })));
    assert_eq!(committed(&mut one, event.commit(first, Ending::Refused)), Ok(()));
    assert_eq!(claimed(&mut two, &event), Ok(Claimed::Over(Ending::Refused)));
    let first = token(&claimed(&mut two, &other).unwrap()).unwrap();
    two.release(other.release(first));
    let second = token(&claimed(&mut one, &other).unwrap()).unwrap();
    assert_eq!(committed(&mut two, other.commit(first, Ending::Done)), Err(ClaimError::Lost));
    assert_eq!(committed(&mut one, other.commit(second, Ending::Done)), Ok(()));
}

#[test]
fn clones_in_memory_are_one_store() {
    let claims = MemoryClaims::default();
    clones_are_one_store(claims.clone());
    assert_eq!(claims.stats(), ClaimsStats { remembered: 2, ..ClaimsStats::default() });
}

#[test]
fn a_directory_is_one_store_for_its_clones_and_for_those_who_open_it_later() {
    let dir = tempfile::tempdir().unwrap();
    let claims = FileClaims::open(dir.path(), &ClaimOptions::default()).unwrap();
    clones_are_one_store(claims.clone());
    let refused = FileClaims::open(dir.path(), &ClaimOptions::default()).unwrap_err();
    assert_eq!(refused, OpenClaimsError::Busy { process: Some(std::process::id()) });
    drop(claims);
    let mut claims = FileClaims::open(dir.path(), &ClaimOptions::default()).unwrap();
    assert_eq!((claims.found().events, claims.stats().remembered), (2, 2));
    assert_eq!(claimed(&mut claims, &minute("0:a")), Ok(Claimed::Over(Ending::Refused)));
    assert_eq!(claimed(&mut claims, &minute("0:b")), Ok(Claimed::Over(Ending::Done)));
    let long = claimed(&mut claims, &minute(&"x".repeat(1025)));
    assert!(matches!(long, Err(ClaimError::Unavailable { .. })));
    #[cfg(unix)]
    for file in std::fs::read_dir(dir.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn what_was_handed_over_is_answered_and_durable_when_the_last_clone_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut claims = FileClaims::open(dir.path(), &ClaimOptions::default()).unwrap();
    let granted: Vec<_> = (0..500).map(|n| minute(&format!("0:{n}"))).collect();
    let granted: Vec<_> =
        granted.into_iter().map(|event| (token(&claimed(&mut claims, &event).unwrap()).unwrap(), event)).collect();
    let (tell, told) = mpsc::channel();
    for (token, event) in &granted {
        let tell = tell.clone();
        claims.commit(event.commit(*token, Ending::Done), Box::new(move |committed| tell.send(committed).unwrap()));
    }
    drop((claims, tell));
    assert_eq!(told.iter().filter(Result::is_ok).count(), 500);
    let mut claims = FileClaims::open(dir.path(), &ClaimOptions::default()).unwrap();
    assert!(granted.iter().all(|(_, event)| claimed(&mut claims, event) == Ok(Claimed::Over(Ending::Done))));
}

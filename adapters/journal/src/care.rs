//! What people do with the directory of a journal besides letting a sender use it: check it, copy it, give its space
//! back, bring it to the newest format.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use postrider_core::journal::FORMAT;

use crate::history::Retention;
use crate::lock::{Lock, Waiting};
use crate::store::{Corrupt, Found, Look, OpenError, acked, names, unopened};
use crate::{Disk, File, Options, StdDisk, Store};

/// Looks again so often when another process removes files meanwhile.
const TRIES: usize = 10;

/// Bytes copied at once.
const PIECE: usize = 1 << 20;

/// What a check of every byte found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What there is.
    pub found: Found,
    /// Every place of the log that is damaged.
    pub damage: Vec<Corrupt>,
    /// Snapshots that are sound.
    pub snapshots: Vec<u64>,
    /// Snapshots that are damaged.
    pub damaged_snapshots: Vec<u64>,
}

impl Verified {
    /// Whether nothing is damaged.
    pub const fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.damaged_snapshots.is_empty()
    }
}

/// Reads every byte of the journal in this directory and checks it. Changes nothing; another process may be using it.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verified, OpenError> {
    let disk = existing(dir.as_ref())?;
    again(|| {
        let look = Look::whole(disk.clone())?;
        let (mut snapshots, mut damaged_snapshots) = (Vec::new(), Vec::new());
        for (number, sound) in look.snapshots()? {
            if sound { snapshots.push(number) } else { damaged_snapshots.push(number) }
        }
        Ok(Verified { found: look.found().clone(), damage: look.damage().to_vec(), snapshots, damaged_snapshots })
    })
}

/// Copies the journal in `dir`, which another process may be using, to `to`, which is made or is empty; then checks
/// every byte of the copy, and says what is in it. The copy is that of one moment, opens by itself, and is durable. It
/// holds every record that was acknowledged before this was called, and then no gap up to [`Found::last`].
///
/// What the process says of how far its log is durable is read before anything else, the names of all files after that
/// and until they stay the same, and every file is open before the first is copied. So each of them holds at least what
/// the ones read before it speak of, although the process goes on writing, rewriting and removing meanwhile.
///
/// # Errors
///
/// [`OpenError::Corrupt`] when the copy is as damaged as the journal is; it is left as it is.
pub fn backup(dir: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Found, OpenError> {
    let (from, to) = (existing(dir.as_ref())?, to.as_ref());
    let target = StdDisk::new(to).map_err(|error| at("making", to, &error))?;
    if !target.list().map_err(|error| at("listing", to, &error))?.is_empty() {
        return Err(at("copying to", to, &io::ErrorKind::DirectoryNotEmpty.into()));
    }
    let (acked, files) = again(|| Ok((acked::Raw::read(&from), open_all(&from)?)))?;
    if let Some(acked) = acked {
        acked.write(&target).map_err(|error| at("copying", &to.join(names::ACKED), &error))?;
    }
    for (name, file) in &files {
        copy(file, name, &target).map_err(|error| at("copying", &to.join(name), &error))?;
    }
    target.sync_dir().map_err(|error| at("syncing", to, &error))?;
    let look = Look::whole(target)?;
    if look.damage().is_empty() { Ok(look.found().clone()) } else { Err(OpenError::Corrupt(look.damage().to_vec())) }
}

/// What [`compact`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Bytes of all files before.
    pub before: u64,
    /// Bytes of all files after.
    pub after: u64,
    /// Pieces of work that were done.
    pub pieces: u64,
}

/// Gives back what the journal in this directory does not need any more, until nothing is left to do. Waits for the
/// directory as [`FileLog::open`](crate::FileLog::open) does, and keeps it meanwhile.
///
/// Nothing is forgotten for its age: how long ended events are kept is for the sender to say that writes them. But no
/// file has any byte left of the payloads and answers of events that were erased, or whose tenant was purged, and that
/// have ended: those are taken out of the newest segments too, which a running sender leaves alone. An event that was
/// erased by a process that died before it could discard it ends in the next run of a sender, and leaves with the next
/// compaction.
pub fn compact(
    dir: impl AsRef<Path>,
    takeover: Duration,
    tell: &mut dyn FnMut(Waiting),
) -> Result<Compacted, OpenError> {
    let disk = existing(dir.as_ref())?;
    let _lock = Lock::take(&disk, takeover, tell)?;
    let before = bytes(&disk)?;
    let options = Options { retention: Retention::forever(), ..Options::default() };
    let store = Store::open(disk.clone(), options, crate::file_log::wall())?;
    let pieces = store.compact(crate::file_log::wall).map_err(unopened)?;
    Ok(Compacted { before, after: bytes(&disk)?, pieces })
}

/// Bytes of all files.
fn bytes(disk: &StdDisk) -> Result<u64, OpenError> {
    let names = disk.list().map_err(|error| at("listing", disk.path(), &error))?;
    Ok(names.iter().filter_map(|name| disk.open(name).and_then(|file| file.len()).ok()).sum())
}

/// The formats before and after [`upgrade`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgraded {
    /// The format that was written until now.
    pub from: u16,
    /// The format that is written from now on.
    pub to: u16,
}

/// Lets the journal in this directory be written in the newest format, which its predecessors do not read: until then
/// a release goes on in the format of the newest segment, so that one can go back. Waits for the directory as
/// [`FileLog::open`](crate::FileLog::open) does.
///
/// There is one format so far, so this checks the journal and changes nothing else.
pub fn upgrade(
    dir: impl AsRef<Path>,
    takeover: Duration,
    tell: &mut dyn FnMut(Waiting),
) -> Result<Upgraded, OpenError> {
    let disk = existing(dir.as_ref())?;
    let _lock = Lock::take(&disk, takeover, tell)?;
    let mut store = Store::open(disk, Options::default(), crate::file_log::wall())?;
    let from = store.format();
    store.upgrade();
    Ok(Upgraded { from, to: FORMAT })
}

fn existing(dir: &Path) -> Result<StdDisk, OpenError> {
    StdDisk::existing(dir).map_err(|error| at("opening", dir, &error))
}

fn at(doing: &str, path: &Path, error: &io::Error) -> OpenError {
    OpenError::io(doing, &path.display().to_string(), error)
}

/// Does it again when a file went away meanwhile.
fn again<T>(mut work: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let mut tries = 0;
    loop {
        match work() {
            Err(OpenError::Io { kind: io::ErrorKind::NotFound, .. }) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

/// Opens every file that the journal consists of at one moment. What is removed or replaced later stays readable.
fn open_all(disk: &StdDisk) -> Result<Vec<(String, <StdDisk as Disk>::File)>, OpenError> {
    let listed = || -> Result<BTreeSet<String>, OpenError> {
        let names = disk.list().map_err(|error| at("listing", disk.path(), &error))?;
        Ok(names.into_iter().filter(|name| names::is_content(name)).collect())
    };
    let names = listed()?;
    let mut files = Vec::with_capacity(names.len());
    for name in &names {
        let file = disk.open(name).map_err(|error| at("opening", &disk.path().join(name), &error))?;
        files.push((name.clone(), file));
    }
    if listed()? == names { Ok(files) } else { Err(at("copying", disk.path(), &io::ErrorKind::NotFound.into())) }
}

/// Copies a file without the zeros at its end, durably.
///
/// Another process may be appending to it, one write after the other, while this reads. A byte that is there when the
/// end is looked for has every byte before it there, too; what comes later is left out. Copied up to wherever a reader
/// gets, a file could have a hole where a write was under way and sound bytes behind it, which is damage.
fn copy(file: &impl File, name: &str, to: &StdDisk) -> io::Result<()> {
    let copy = to.create(name, 0)?;
    let (end, mut offset, mut piece) = (written(file)?, 0, vec![0; PIECE]);
    while offset < end {
        let want = usize::try_from(end - offset).map_or(PIECE, |left| left.min(PIECE));
        let read = file.read_at(offset, &mut piece[..want])?;
        if read == 0 {
            // It has been cut meanwhile: nothing behind that counts.
            break;
        }
        copy.write_at(offset, &piece[..read])?;
        offset += read as u64;
    }
    copy.sync()
}

/// Where the zeros at the end of a file begin, looked for from its end.
fn written(file: &impl File) -> io::Result<u64> {
    let (mut end, mut piece) = (file.len()?, vec![0; PIECE]);
    while end > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let read = file.read_at(start, &mut piece[..(end - start) as usize])?;
        if let Some(last) = piece[..read].iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_log::tests::{open, small};
    use crate::history::{Answer, Query};
    use postrider_core::event::Event;
    use postrider_core::id::{EventId, JournalSeq, TenantId};
    use postrider_core::journal::Record;
    use postrider_core::time::UnixTime;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    #[test]
    fn a_copy_of_a_journal_in_use_opens() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        let mut node = open(&from, small());
        node.put();
        for id in 0..600 {
            node.publish(id);
            if id % 5 == 0 {
                node.settle();
            }
        }
        node.settle();
        let found = backup(&from, &to).unwrap();
        assert_eq!((found.last, found.pending), (node.machine.last_record(), 600));
        let verified = verify(&to).unwrap();
        assert!(verified.is_sound() && !verified.snapshots.is_empty(), "{verified:?}");
        let twice = backup(&from, &to).unwrap_err();
        assert!(matches!(twice, OpenError::Io { kind: io::ErrorKind::DirectoryNotEmpty, .. }), "{twice}");
        let copy = open(&to, small());
        assert_eq!((copy.machine.events(), copy.machine.durable()), (600, found.last));
        // What the copy does, the original does not see.
        assert_eq!(verify(&from).unwrap().found.last, found.last);
    }

    fn frame(seq: JournalSeq, record: &Record) -> bytes::BytesMut {
        let mut frame = bytes::BytesMut::new();
        postrider_core::journal::encode(seq, record, &mut frame);
        frame
    }

    /// Opens a copy strictly, and says what its records are.
    fn records(copy: &Path) -> Vec<(JournalSeq, Record)> {
        let store = Store::open(StdDisk::existing(copy).unwrap(), Options::default(), UnixTime::EPOCH).unwrap();
        assert_eq!((store.found().lost.len(), store.gaps().len()), (0, 0));
        drop(store);
        Store::look(StdDisk::existing(copy).unwrap()).unwrap().all().map(Result::unwrap).collect()
    }

    #[test]
    fn each_of_20_copies_while_it_is_written_has_all_that_was_acknowledged_before() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("a");
        let mut node = open(&from, small());
        node.put();
        node.settle();
        let acknowledged = AtomicU64::new(node.machine.durable().get());
        let done = AtomicBool::new(false);
        let copies = std::thread::scope(|scope| {
            let (acknowledged, done, from) = (&acknowledged, &done, &from);
            let to = |copy| dir.path().join(format!("copy-{copy}"));
            let copies = scope.spawn(move || {
                let copy = |number| {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let found = backup(from, to(number));
                    (before, found, to(number))
                };
                let copies: Vec<_> = (0..20).map(copy).collect();
                done.store(true, Ordering::SeqCst);
                copies
            });
            let mut id = 0;
            while !done.load(Ordering::SeqCst) {
                (id..id + 10).for_each(|id| _ = node.publish(id));
                id += 10;
                node.settle();
                acknowledged.store(node.machine.durable().get(), Ordering::SeqCst);
            }
            copies.join().unwrap()
        });
        drop(node);
        let all: BTreeMap<_, _> = records(&from).into_iter().collect();
        for (before, found, copy) in copies {
            let found = found.unwrap();
            assert!(found.last.get() >= before, "{found:?}, {before} were acknowledged");
            assert!(copy.join(names::ACKED).exists());
            let copied = records(&copy);
            assert_eq!(copied.last().map(|(seq, _)| *seq), Some(found.last));
            // What was settled may have been rewritten in one and not in the other; nothing here has ended.
            assert!(copied.windows(2).all(|pair| pair[0].0.next() == pair[1].0 || pair[0].0.get() < before));
            for (seq, record) in copied {
                assert!(
                    all.get(&seq).is_none_or(|known| frame(seq, known) == frame(seq, &record)),
                    "record {seq} is another"
                );
            }
        }
    }

    #[test]
    fn damage_is_told_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("a");
        let mut node = open(&from, small());
        node.put();
        (0..50).for_each(|id| _ = node.publish(id));
        node.settle();
        assert!(matches!(upgrade(&from, Duration::ZERO, &mut |_| {}), Err(OpenError::Busy { .. })));
        drop(node);
        assert_eq!(upgrade(&from, Duration::ZERO, &mut |_| {}), Ok(Upgraded { from: 1, to: 1 }));
        let path = from.join("0000000001.seg");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[5000] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(verify(&from).unwrap().damage.len(), 1);
        assert!(matches!(backup(&from, dir.path().join("b")), Err(OpenError::Corrupt(_))));
        assert!(matches!(upgrade(&from, Duration::ZERO, &mut |_| {}), Err(OpenError::Corrupt(_))));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert!(verify(dir.path().join("none")).unwrap_err().to_string().contains("not found"));
    }

    /// Whether any file of the directory has these bytes.
    fn has(dir: &Path, needle: &str) -> bool {
        let files = std::fs::read_dir(dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| String::from_utf8_lossy(&bytes).contains(needle))
    }

    /// A journal with `events` events that have ended, their payloads `payload-ID!` and answers `answer-ID!` again and
    /// again.
    fn answered(dir: &Path, events: usize) -> crate::file_log::tests::Node {
        let mut options = small();
        options.store.retention = Retention::forever();
        let mut node = open(dir, options);
        node.put();
        for id in 0..events {
            node.answer = Some(format!("answer-{id}!").repeat(10).into());
            node.publish_of(id, format!("payload-{id}!").repeat(30).into_bytes());
            node.settle();
        }
        (0..3).for_each(|_| node.settle());
        assert_eq!(node.machine.events(), 0);
        node
    }

    #[test]
    fn after_compaction_no_byte_of_what_was_erased_is_left() {
        // One lies in the newest segment, among records that the next opening reads; the others in older ones.
        for (events, erased) in [(5, vec![1, 3]), (500, vec![3, 250, 498])] {
            let dir = tempfile::tempdir().unwrap();
            let from = dir.path().join("a");
            let mut node = answered(&from, events);
            for id in &erased {
                let event = EventId::new(format!("e{id}")).unwrap();
                node.machine.erase(node.machine.now(), &TenantId::default(), &event).unwrap();
            }
            node.settle();
            let last = node.machine.last_record();
            drop(node);
            let written = |id: usize| [format!("payload-{id}!"), format!("answer-{id}!")];
            // The log itself may have rewritten the older ones by now.
            let newest = *erased.last().unwrap();
            assert!(written(newest).iter().all(|bytes| has(&from, bytes)));
            let compacted = compact(&from, Duration::ZERO, &mut |_| {}).unwrap();
            assert!(compacted.pieces > 0, "{compacted:?}");
            for id in erased.iter().copied().chain([0, events - 1]) {
                let gone = erased.contains(&id);
                assert!(written(id).iter().all(|bytes| has(&from, bytes) != gone), "e{id}");
            }
            assert!(verify(&from).unwrap().is_sound());
            // What it did is done, and a machine goes on behind it.
            let again = compact(&from, Duration::ZERO, &mut |_| {}).unwrap();
            assert_eq!(again.after, again.before);
            let mut options = small();
            options.store.retention = Retention::forever();
            let mut node = open(&from, options);
            assert_eq!((node.machine.durable(), node.machine.events()), (last, 0));
            let payload = format!("payload-{}!", erased[0]).repeat(30);
            let repeat = Event::raw("order.paid", "text/plain", payload.into()).unwrap();
            let repeat = node.machine.publish(node.machine.now(), repeat.id(format!("e{}", erased[0]))).unwrap();
            assert!(!repeat.fresh, "it is still known");
            node.publish(events);
            node.settle();
            drop(node);
            let mut look = Store::look(StdDisk::existing(&from).unwrap()).unwrap();
            for id in 0..events {
                let (tenant, event) = (TenantId::default(), EventId::new(format!("e{id}")).unwrap());
                let asked = look.history(&Query::Event { tenant, event }, UnixTime::EPOCH).unwrap();
                let Answer::Event(Some(event)) = asked else { panic!("e{id} is not known: {asked:?}") };
                let gone = erased.contains(&id);
                assert_eq!((event.payload.is_none(), event.attempts.len()), (gone, 1), "e{id}");
                assert_eq!(event.payload_len as usize, format!("payload-{id}!").len() * 30);
                assert!(event.ended.is_some() && event.attempts[0].answer.is_none() == gone, "e{id}");
            }
        }
    }

    #[test]
    fn after_compaction_no_byte_of_a_tenant_that_was_purged_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("a");
        let mut node = answered(&from, 200);
        node.machine.purge(node.machine.now(), &TenantId::default()).unwrap();
        node.settle();
        node.answer = Some("thanks".into());
        node.publish_of(1000, b"payload of later".repeat(10));
        node.settle();
        drop(node);
        compact(&from, Duration::ZERO, &mut |_| {}).unwrap();
        assert!(!has(&from, "payload-") && !has(&from, "answer-") && has(&from, "payload of later"));
        assert_eq!(verify(&from).unwrap().damage, []);
        assert_eq!(open(&from, small()).machine.events(), 0);
    }
}

//! What people do with the directory of a journal besides letting a sender use it: check it, copy it, bring it to the
//! newest format.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use postrider_core::journal::FORMAT;

use crate::lock::{Lock, Waiting};
use crate::store::{Corrupt, Found, Look, OpenError, names};
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
/// every byte of the copy, and says what is in it. The copy is that of one moment, opens by itself, and is durable.
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
    let files = again(|| open_all(&from))?;
    for (name, file) in &files {
        copy(file, name, &target).map_err(|error| at("copying", &to.join(name), &error))?;
    }
    target.sync_dir().map_err(|error| at("syncing", to, &error))?;
    let look = Look::whole(target)?;
    if look.damage().is_empty() { Ok(look.found().clone()) } else { Err(OpenError::Corrupt(look.damage().to_vec())) }
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
fn copy(file: &impl File, name: &str, to: &StdDisk) -> io::Result<()> {
    let copy = to.create(name, 0)?;
    let (mut offset, mut piece) = (0, vec![0; PIECE]);
    loop {
        let read = file.read_at(offset, &mut piece)?;
        let written = piece[..read].iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        if written > 0 {
            copy.write_at(offset, &piece[..written])?;
        }
        offset += read as u64;
        if read < PIECE {
            return copy.sync();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_log::tests::{open, small};
    use postrider_core::id::JournalSeq;

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

    #[test]
    fn copies_while_it_is_written_are_all_of_one_moment() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("a");
        let mut node = open(&from, small());
        node.put();
        node.settle();
        let (done, stop) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            let copies = scope.spawn(|| {
                let (mut last, mut copies) = (JournalSeq::ZERO, 0);
                while !done.load(stop) || copies < 5 {
                    let to = dir.path().join(format!("copy-{copies}"));
                    let found = backup(&from, &to).unwrap();
                    assert!(found.last >= last);
                    (last, copies) = (found.last, copies + 1);
                }
                last
            });
            for id in 0..300 {
                node.publish(id);
                node.settle();
            }
            done.store(true, stop);
            assert!(copies.join().unwrap() > JournalSeq::ZERO);
        });
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
}

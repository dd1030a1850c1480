//! A disk in memory that loses, tears, refuses and lies, as far as real ones do.
//!
//! Files are made of sectors of 512 bytes. What is written can be read at once, but it is *pending* until the file is
//! synced, and so is a name until the directory is. When the power goes, of everything that is pending any part is
//! there afterwards; when only the process dies, all of it is, and it is still pending. A sync that fails drops what it
//! should have made durable: it can be read, and it is gone with the power, even after a later sync that succeeded.

mod faults;
mod inode;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_journal::{Disk, File};

use crate::rng::Rng;

pub use faults::Faults;
use inode::Inode;

/// Bytes of a sector: what a disk writes whole or not at all, unless it is told to tear.
pub const SECTOR: usize = 512;

/// A directory on a disk of its own. A clone is the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Whether the power has gone, as its state says too: asked for after every operation.
    dead: Arc<AtomicBool>,
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
}

#[derive(Clone, Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    /// Changes of names that are pending, in order.
    renames: Vec<Relink>,
    durable_names: BTreeMap<String, usize>,
    inodes: Vec<Inode>,
    faults: Faults,
    dead: Dead,
    operations: u64,
    counts: Counts,
    /// The last operations, for people.
    log: Option<VecDeque<String>>,
}

/// Whether the power has gone. A copy is of another disk.
#[derive(Debug, Default)]
struct Dead(Arc<AtomicBool>);

impl Clone for Dead {
    fn clone(&self) -> Self {
        Self(Arc::new(AtomicBool::new(self.is())))
    }
}

impl Dead {
    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, dead: bool) {
        self.0.store(dead, Ordering::Relaxed);
    }
}

/// Operations that are kept for people.
const LOG: usize = 80;

/// A file of so many bytes is given room for all of them at once.
const LARGE: usize = 1 << 20;

/// What has been injected, and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Syncs that failed.
    pub sync_failures: u64,
    /// Writes that failed.
    pub write_failures: u64,
    /// Operations refused for want of room.
    pub full: u64,
    /// Syncs that lied.
    pub lies: u64,
    /// Pending sectors that a loss of power took.
    pub sectors_lost: u64,
    /// Sectors that were torn.
    pub sectors_torn: u64,
    /// Names that a loss of power took back.
    pub names_lost: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Bytes written.
    pub written: u64,
}

/// One atomic change of the directory.
#[derive(Clone, Debug)]
struct Relink {
    unlink: Option<String>,
    link: Option<(String, usize)>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::of(State::default())
    }
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(state: State) -> Self {
        let dead = Arc::clone(&state.dead.0);
        Self { state: Arc::new(Mutex::new(state)), dead }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk with the same content, pending and durable.
    pub fn deep_clone(&self) -> Self {
        Self::of(self.state().clone())
    }

    /// Keeps the last operations, for people; slow.
    pub fn keep_log(&self) {
        self.state().log.get_or_insert_default();
    }

    /// The last operations.
    pub fn log(&self) -> Vec<String> {
        self.state().log.iter().flatten().cloned().collect()
    }

    /// Whether it is the same disk.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Changes what can go wrong.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Whether the power has gone; every operation fails until [`power_loss`](Self::power_loss).
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Operations that changed something.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What has been injected and done.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Bytes that its files take.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Sectors and names that are pending, each of which a loss of power may take.
    pub fn pending(&self) -> usize {
        let state = self.state();
        state.renames.len() + state.inodes.iter().map(Inode::pending).sum::<usize>()
    }

    /// The power goes and comes back: of everything that is pending, `rng` draws what is there.
    pub fn power_loss(&self, rng: &mut Rng) {
        // Every so often all of it or none, which hardly ever comes by drawing one by one.
        let style = rng.below(8);
        self.lose(|rng| style == 0 || (style > 1 && rng.below(2) == 0), rng);
    }

    /// The same, where bit n of `survives` says whether the n-th thing that is pending is there: first the changes of
    /// names in their order, then each file's length and its sectors.
    pub fn power_loss_subset(&self, survives: u64) {
        let mut at = 0;
        let draw = |_: &mut Rng| {
            at += 1;
            at <= 64 && survives >> (at - 1) & 1 == 1
        };
        self.lose(draw, &mut Rng::new(0));
    }

    fn lose(&self, mut survives: impl FnMut(&mut Rng) -> bool, rng: &mut Rng) {
        let mut state = self.state();
        let state = &mut *state;
        let mut names = std::mem::take(&mut state.durable_names);
        for relink in state.renames.drain(..) {
            if survives(rng) {
                relink.apply(&mut names);
            } else {
                state.counts.names_lost += 1;
            }
        }
        let tears = state.faults.tears;
        for inode in &mut state.inodes {
            inode.lose(&mut survives, rng, tears, &mut state.counts);
        }
        if state.log.is_some() {
            let line = format!("after the loss of power there are {names:?}");
            state.note(line);
        }
        state.names.clone_from(&names);
        state.durable_names = names;
        state.revive();
    }

    /// The process dies and the machine goes on: what was written is there, and pending as before.
    pub fn kill(&self) {
        let mut state = self.state();
        state.note("the process dies".to_owned());
        state.revive();
    }

    /// Changes one bit of what is durable, and says in which file and where.
    pub fn flip(&self, rng: &mut Rng) -> Option<(String, u64)> {
        let mut state = self.state();
        let state = &mut *state;
        let durable = |inode: &Inode| inode.pending.is_empty() && inode.dropped.is_empty() && !inode.bytes.is_empty();
        let candidates: Vec<_> = state.names.iter().filter(|(_, at)| durable(&state.inodes[**at])).collect();
        if candidates.is_empty() {
            return None;
        }
        let (name, at) = *rng.pick(&candidates);
        let (name, at) = (name.clone(), *at);
        let bytes = &mut state.inodes[at].bytes;
        let place = rng.index(bytes.len());
        bytes[place] ^= 1 << rng.below(8);
        Some((name, place as u64))
    }

    /// Hands every file to `read`, with its name, as it is read and without the zeros at its end.
    pub fn each_file(&self, read: &mut dyn FnMut(&str, &[u8])) {
        let state = self.state();
        state.names.iter().for_each(|(name, at)| read(name, &state.inodes[*at].bytes));
    }

    /// A digest of all files by name, as they are read.
    pub fn digest(&self) -> u128 {
        let state = self.state();
        let mut hash = crate::trace::Hasher::default();
        for (name, at) in &state.names {
            let inode = &state.inodes[*at];
            hash.bytes(name.as_bytes());
            hash.number(inode.len);
            let end = inode.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            hash.bytes(&inode.bytes[..end]);
        }
        hash.finish()
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().map(|at| self.inodes[*at].len).sum()
    }

    /// Begins an operation that changes something.
    fn operation(&mut self, what: impl FnOnce(&Self) -> String) -> io::Result<()> {
        if self.log.is_some() {
            let line =
                format!("{} {}{}", self.operations + 1, what(self), if self.dead.is() { ": no power" } else { "" });
            self.note(line);
        }
        if self.dead.is() {
            return Err(io::Error::other("the power is gone"));
        }
        Ok(())
    }

    fn note(&mut self, line: String) {
        if let Some(log) = &mut self.log {
            if log.len() == LOG {
                log.pop_front();
            }
            log.push_back(line);
        }
    }

    /// The name of a file, for people.
    fn name(&self, inode: usize) -> &str {
        self.names.iter().find(|(_, at)| **at == inode).map_or("a file without a name", |(name, _)| name)
    }

    /// Ends one, and lets the power go when its time has come: this operation is the last that is done.
    fn done(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.faults.dies {
            Some(0) => {
                self.dead.set(true);
                self.note("the power goes".to_owned());
                Err(io::Error::other("the power is gone"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead.is() { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn relink(&mut self, relink: Relink) {
        relink.apply(&mut self.names);
        self.renames.push(relink);
    }

    fn has_room(&mut self, more: u64) -> io::Result<()> {
        match self.faults.capacity {
            Some(capacity) if self.used() + more > capacity => {
                self.counts.full += 1;
                Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on the disk"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What was to fail has no meaning for the next process.
    fn revive(&mut self) {
        self.dead.set(false);
        (self.faults.dies, self.faults.sync_fails, self.faults.write_fails) = (None, None, None);
        self.forget_unlinked();
    }

    /// Whether a name may stand for the file, now or after a loss of power.
    fn is_named(&self, inode: usize) -> bool {
        let pending = self.renames.iter().filter_map(|relink| relink.link.as_ref().map(|(_, at)| at));
        let mut linked = self.names.values().chain(self.durable_names.values()).chain(pending);
        linked.any(|at| *at == inode)
    }

    /// Lets go of the bytes of a file that nobody can reach any more, if that is so.
    fn forget_removed(&mut self, inode: usize) {
        let file = &self.inodes[inode];
        if file.handles == 0 && file.is_durable() && !file.bytes.is_empty() && !self.is_named(inode) {
            self.inodes[inode] = Inode::default();
        }
    }

    /// Lets go of the bytes of files that nobody can reach any more after a restart.
    fn forget_unlinked(&mut self) {
        let mut reachable = vec![false; self.inodes.len()];
        let pending = self.renames.iter().filter_map(|relink| relink.link.as_ref().map(|(_, at)| *at));
        let linked = self.names.values().chain(self.durable_names.values()).copied();
        linked.chain(pending).for_each(|at| reachable[at] = true);
        for (inode, reachable) in self.inodes.iter_mut().zip(reachable) {
            if !reachable {
                *inode = Inode::default();
            }
        }
    }
}

impl Relink {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(name) = &self.unlink {
            names.remove(name);
        }
        if let Some((name, inode)) = &self.link {
            names.insert(name.clone(), *inode);
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, size: u64) -> io::Result<SimFile> {
        let mut state = self.state();
        state.operation(|_| format!("create {name} of {size}"))?;
        if state.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file"));
        }
        state.has_room(size)?;
        let inode = state.inodes.len();
        // Room that nobody has written to costs nothing, and a large file does not move while it grows.
        let room = usize::try_from(size).unwrap_or(0);
        let bytes = if room >= LARGE { Vec::with_capacity(room) } else { Vec::new() };
        state.inodes.push(Inode { bytes, len: size, old_len: (size > 0).then_some(0), ..Inode::default() });
        state.relink(Relink { unlink: None, link: Some((name.to_owned(), inode)) });
        state.done()?;
        state.inodes[inode].handles += 1;
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.alive()?;
        let inode = state.find(name)?;
        state.inodes[inode].handles += 1;
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation(|_| format!("rename {from} to {to}"))?;
        let inode = state.find(from)?;
        state.relink(Relink { unlink: Some(from.to_owned()), link: Some((to.to_owned(), inode)) });
        state.done()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation(|_| format!("remove {name}"))?;
        state.find(name)?;
        state.relink(Relink { unlink: Some(name.to_owned()), link: None });
        state.done()
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operation(|_| "sync the directory".to_owned())?;
        if state.faults.lies {
            state.counts.lies += 1;
        } else {
            let mut replaced = Vec::new();
            let state = &mut *state;
            for relink in state.renames.drain(..) {
                let names = relink.unlink.iter().chain(relink.link.as_ref().map(|(name, _)| name));
                replaced.extend(names.filter_map(|name| state.durable_names.get(name).copied()));
                relink.apply(&mut state.durable_names);
            }
            replaced.into_iter().for_each(|inode| state.forget_removed(inode));
        }
        state.done()
    }

    fn room(&self) -> io::Result<Option<u64>> {
        let state = self.state();
        state.alive()?;
        Ok(state.faults.capacity.map(|capacity| capacity.saturating_sub(state.used())))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        let handles = &mut state.inodes[self.inode].handles;
        // A restart forgets who had what open.
        *handles = handles.saturating_sub(1);
        state.forget_removed(self.inode);
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.alive()?;
        Ok(state.inodes[self.inode].len)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        state.alive()?;
        let inode = &state.inodes[self.inode];
        let there = inode.len.saturating_sub(offset).min(into.len() as u64);
        let there = usize::try_from(there).expect("no more than the buffer has");
        let start = usize::try_from(offset).expect("simulated files are small").min(inode.bytes.len());
        let written = (inode.bytes.len() - start).min(there);
        into[..written].copy_from_slice(&inode.bytes[start..start + written]);
        into[written..there].fill(0);
        Ok(there)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation(|state| format!("write {} at {offset}, {} bytes", state.name(self.inode), bytes.len()))?;
        let end = offset + bytes.len() as u64;
        let more = end.saturating_sub(state.inodes[self.inode].len);
        if more > 0 {
            state.has_room(more)?;
        }
        if state.faults.count_write() {
            state.counts.write_failures += 1;
            state.note("which fails".to_owned());
            // Systems copy page by page: what arrived ends where a sector ends.
            let cut = offset / SECTOR as u64 * SECTOR as u64 + state.operations % 9 * SECTOR as u64;
            let part = usize::try_from(cut.saturating_sub(offset)).unwrap_or(0).min(bytes.len());
            state.inodes[self.inode].write(offset, &bytes[..part]);
            state.done()?;
            return Err(io::Error::other("the write failed"));
        }
        state.counts.written += bytes.len() as u64;
        state.inodes[self.inode].write(offset, bytes);
        state.done()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation(|state| format!("set the length of {} to {len}", state.name(self.inode)))?;
        let more = len.saturating_sub(state.inodes[self.inode].len);
        if more > 0 {
            state.has_room(more)?;
        }
        state.inodes[self.inode].set_len(len);
        state.done()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation(|state| format!("sync {}", state.name(self.inode)))?;
        state.counts.syncs += 1;
        if state.faults.count_sync() {
            state.counts.sync_failures += 1;
            state.note("which fails".to_owned());
            state.inodes[self.inode].drop_pending();
            state.done()?;
            return Err(io::Error::other("the sync failed"));
        }
        if state.faults.lies {
            state.counts.lies += 1;
        } else {
            state.inodes[self.inode].sync();
        }
        state.done()
    }
}

#[cfg(test)]
mod tests;

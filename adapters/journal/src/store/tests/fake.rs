//! A disk in memory that forgets what was not synced, and stops the world when it is told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Disk, File};

const SECTOR: usize = 512;

/// A clone is the same disk.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names that were not synced, in order.
    changes: Vec<Change>,
    files: Vec<Inode>,
    /// Operations that changed something, or made it durable.
    ops: u64,
    /// The world stops before this operation.
    stop: Option<u64>,
    /// These operations fail, with this error.
    fail: BTreeMap<u64, io::ErrorKind>,
    /// Bytes of all files, at most.
    capacity: Option<u64>,
    syncs: u64,
    reads: u64,
    /// Bytes written.
    written: u64,
}

#[derive(Clone)]
enum Change {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
}

pub(crate) struct FakeFile {
    disk: Fake,
    at: usize,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn ops(&self) -> u64 {
        self.state().ops
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How often bytes were read, and how many bytes were written.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let state = self.state();
        (state.reads, state.written)
    }

    /// The world stops before the operation with this number.
    pub(crate) fn stop_at(&self, op: u64) {
        self.state().stop = Some(op);
    }

    /// The operation with this number fails.
    pub(crate) fn fail_at(&self, op: u64, kind: io::ErrorKind) {
        self.state().fail.insert(op, kind);
    }

    pub(crate) fn capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// A disk of its own with the same files, all of them durable.
    pub(crate) fn copy(&self) -> Self {
        let mut state = self.state().clone();
        (state.stop, state.ops, state.changes) = (None, 0, Vec::new());
        state.fail.clear();
        state.durable_names = state.names.clone();
        state.files.iter_mut().for_each(|file| file.durable = file.now.clone());
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A disk of its own in the same state, names and bytes that were not synced included.
    pub(crate) fn copy_as_is(&self) -> Self {
        let state = State { stop: None, ops: 0, fail: BTreeMap::new(), ..self.state().clone() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What a loss of power leaves: everything synced, and of the rest what `dice` says.
    pub(crate) fn crashed(&self, dice: &mut dyn FnMut() -> u64) -> Self {
        let state = self.state();
        let mut names = state.durable_names.clone();
        let keep = if state.changes.is_empty() { 0 } else { dice() as usize % (state.changes.len() + 1) };
        for change in &state.changes[..keep] {
            change.apply(&mut names);
        }
        let files = state.files.iter().map(|file| file.crashed(dice)).collect();
        let next = State { durable_names: names.clone(), names, files, ..State::default() };
        Self { state: Arc::new(Mutex::new(next)) }
    }

    /// Changes a file behind the store's back.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let at = state.names[name];
        edit(&mut state.files[at].now);
        state.files[at].durable = state.files[at].now.clone();
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, at)| (name.clone(), state.files[*at].now.clone())).collect()
    }

    /// Counts an operation and lets it fail when it must.
    fn act(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.stop.is_some_and(|stop| state.ops >= stop) {
            return Err(io::Error::other("the world has stopped"));
        }
        let op = state.ops;
        state.ops += 1;
        match state.fail.remove(&op) {
            Some(kind) => Err(kind.into()),
            None => Ok(state),
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, at) => drop(names.insert(name.clone(), *at)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(at) = names.remove(from) {
                    names.insert(to.clone(), at);
                }
            }
        }
    }
}

impl Inode {
    fn crashed(&self, dice: &mut dyn FnMut() -> u64) -> Self {
        let mut bytes = self.durable.clone();
        if self.now != self.durable {
            if self.now.len() != self.durable.len() && dice().is_multiple_of(2) {
                bytes.resize(self.now.len(), 0);
            }
            let mut at = 0;
            while at < bytes.len().min(self.now.len()) {
                let to = (at + SECTOR).min(bytes.len()).min(self.now.len());
                if bytes[at..to] != self.now[at..to] && dice().is_multiple_of(2) {
                    bytes[at..to].copy_from_slice(&self.now[at..to]);
                }
                at = to;
            }
        }
        Self { now: bytes.clone(), durable: bytes }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    fn room(&self) -> Option<u64> {
        let used: usize = self.names.values().map(|at| self.files[*at].now.len()).sum();
        self.capacity.map(|capacity| capacity.saturating_sub(used as u64))
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Disk for Fake {
    type File = FakeFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, size: u64) -> io::Result<FakeFile> {
        let mut state = self.act()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room().is_some_and(|room| room < size) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let at = state.files.len();
        state.files.push(Inode { now: vec![0; size as usize], durable: Vec::new() });
        state.change(Change::Add(name.to_owned(), at));
        Ok(FakeFile { disk: self.clone(), at })
    }

    fn open(&self, name: &str) -> io::Result<FakeFile> {
        let state = self.state();
        let at = *state.names.get(name).ok_or_else(missing)?;
        Ok(FakeFile { disk: self.clone(), at })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.act()?;
        state.names.get(from).ok_or_else(missing)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if !self.state().names.contains_key(name) {
            return Err(missing());
        }
        self.act()?.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.act()?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn room(&self) -> io::Result<Option<u64>> {
        Ok(self.state().room())
    }
}

impl File for FakeFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.at].now.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.reads += 1;
        let file = &state.files[self.at].now;
        let from = (offset as usize).min(file.len());
        let len = into.len().min(file.len() - from);
        into[..len].copy_from_slice(&file[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.act()?;
        state.written += bytes.len() as u64;
        let room = state.room();
        let file = &mut state.files[self.at].now;
        let end = offset as usize + bytes.len();
        let more = end.saturating_sub(file.len());
        if room.is_some_and(|room| room < more as u64) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.resize(file.len().max(end), 0);
        file[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.act()?.files[self.at].now.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let failed = self.disk.act().map(drop);
        let mut state = self.disk.state();
        state.syncs += 1;
        let file = &mut state.files[self.at];
        match failed {
            Ok(()) => file.durable = file.now.clone(),
            // What was to be written is dropped, and the next sync knows nothing of it.
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

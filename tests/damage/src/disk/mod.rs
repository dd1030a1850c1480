//! A disk in memory that is cheap to copy, remembers what it was before each operation, and forgets what was not synced
//! when the power goes.

mod content;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_journal::File;

pub(crate) use self::content::Content;
use crate::dice::Dice;

/// The unit that a disk writes whole.
pub(crate) const SECTOR: usize = 512;

/// A clone is the same disk; [`State::disk`] makes one of its own.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
}

/// What a disk holds, and what of it would survive.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    files: Vec<Inode>,
    names: BTreeMap<Arc<str>, usize>,
    durable_names: BTreeMap<Arc<str>, usize>,
    /// Changes of names that were not synced, in order.
    changes: Vec<Change>,
    /// What those who use it know to be durable; see [`Acked`].
    pub(crate) acked: Acked,
    ops: u64,
    /// The world stops before this operation.
    stop: Option<u64>,
    /// The next sync fails.
    fail_sync: bool,
    /// What it was before each operation, when it is watched.
    watched: Option<Vec<Still>>,
}

/// What was acknowledged when an operation began, and before the last sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// The last record.
    pub(crate) last: u64,
    /// The last record before the last sync.
    pub(crate) before: u64,
}

/// A disk as it was before an operation.
#[derive(Clone, Debug)]
pub(crate) struct Still {
    pub(crate) state: State,
    pub(crate) op: Op,
    /// The name that the operation was about.
    pub(crate) name: Arc<str>,
}

/// What was done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Rename,
    Remove,
    SyncDir,
    Write,
    SetLen,
    Sync,
    /// Nothing: it is the last moment.
    End,
}

/// What the names of files became.
#[derive(Clone, Debug)]
enum Change {
    Add(Arc<str>, usize),
    Rename(Arc<str>, Arc<str>, usize),
    Remove(Arc<str>, usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    name: Option<Arc<str>>,
    now: Arc<Content>,
    durable: Arc<Content>,
    /// Since it was synced.
    pending: Vec<Write>,
}

#[derive(Clone, Debug)]
enum Write {
    Bytes(usize, Bytes),
    Len(usize),
}

impl State {
    /// A disk that holds this, all of it durable.
    pub(crate) fn disk(&self) -> Disk {
        let mut state = self.clone();
        (state.stop, state.ops, state.watched, state.fail_sync) = (None, 0, None, false);
        state.settle();
        Disk { state: Arc::new(Mutex::new(state)) }
    }

    /// A disk after a loss of power: what was synced, and any part of the rest.
    pub(crate) fn crashed(&self, dice: &mut Dice) -> Disk {
        let mut names = self.durable_names.clone();
        let odds = Odds::draw(dice);
        for change in &self.changes {
            if odds.survives(dice) {
                change.apply(&mut names);
            }
        }
        let mut state = Self { names, files: self.files.clone(), acked: self.acked, ..Self::default() };
        for file in &mut state.files {
            file.now = if file.pending.is_empty() { file.durable.clone() } else { Arc::new(file.crashed(dice)) };
        }
        state.settle();
        Disk { state: Arc::new(Mutex::new(state)) }
    }

    fn settle(&mut self) {
        self.changes.clear();
        self.durable_names = self.names.clone();
        for file in &mut self.files {
            file.durable = file.now.clone();
            file.pending.clear();
        }
    }

    /// What a file held.
    pub(crate) fn content(&self, name: &str) -> Option<Arc<Content>> {
        self.names.get(name).map(|at| self.files[*at].now.clone())
    }
}

/// How likely it is that something survives, so that all, none and a few are as likely as half.
struct Odds(u64);

impl Odds {
    fn draw(dice: &mut Dice) -> Self {
        Self([0, 1, 4, 4, 7, 8][dice.below(6)])
    }

    fn survives(&self, dice: &mut Dice) -> bool {
        dice.roll() % 8 < self.0
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<Arc<str>, usize>) {
        match self {
            Self::Add(name, at) => drop(names.insert(name.clone(), *at)),
            Self::Rename(from, to, at) => {
                if names.get(from) == Some(at) {
                    names.remove(from);
                }
                names.insert(to.clone(), *at);
            }
            Self::Remove(name, at) => {
                if names.get(name) == Some(at) {
                    names.remove(name);
                }
            }
        }
    }
}

impl Inode {
    /// What is left of it: of each sector that was written since the sync, what it was then or after one of the writes.
    fn crashed(&self, dice: &mut Dice) -> Content {
        let odds = Odds::draw(dice);
        let mut sectors: BTreeMap<usize, usize> = BTreeMap::new();
        let mut content = Content::clone(&self.durable);
        for write in &self.pending {
            match write {
                Write::Bytes(offset, bytes) => {
                    for sector in offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR) {
                        *sectors.entry(sector).or_default() += 1;
                    }
                }
                Write::Len(_) => {}
            }
        }
        for count in sectors.values_mut() {
            *count = if odds.survives(dice) { dice.within(1, *count) } else { 0 };
        }
        for write in &self.pending {
            match write {
                Write::Len(len) if odds.survives(dice) => content.set_len(*len),
                Write::Len(_) => {}
                Write::Bytes(offset, bytes) => {
                    for (sector, left) in sectors.range_mut(offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR)) {
                        if *left > 0 {
                            *left -= 1;
                            let from = (sector * SECTOR).max(*offset);
                            let to = ((sector + 1) * SECTOR).min(offset + bytes.len());
                            content.write(from, &bytes[from - offset..to - offset]);
                        }
                    }
                }
            }
        }
        content
    }
}

impl Disk {
    /// An empty one that remembers what it was before each operation.
    pub(crate) fn watched() -> Self {
        Self { state: Arc::new(Mutex::new(State { watched: Some(Vec::new()), ..State::default() })) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every moment that it remembers, and the one it is in.
    pub(crate) fn stills(&self) -> Vec<Still> {
        let mut state = self.state();
        let mut stills = state.watched.take().unwrap_or_default();
        stills.push(Still { state: state.clone(), op: Op::End, name: Arc::from("") });
        stills
    }

    /// Everything up to this record was acknowledged.
    pub(crate) fn acked(&self, last: u64) {
        let acked = &mut self.state().acked;
        if last > acked.last {
            *acked = Acked { last, before: acked.last };
        }
    }

    /// The world stops before the operation with this number.
    pub(crate) fn stop_at(&self, op: u64) {
        self.state().stop = Some(op);
    }

    pub(crate) fn ops(&self) -> u64 {
        self.state().ops
    }

    /// Whether the next sync fails.
    pub(crate) fn fail_sync(&self, fails: bool) {
        self.state().fail_sync = fails;
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn content(&self, name: &str) -> Option<Arc<Content>> {
        self.state().content(name)
    }

    /// Puts a file there, or in the place of another, behind everybody's back.
    pub(crate) fn put(&self, name: &str, content: Content) {
        let mut state = self.state();
        let (at, content) = (state.files.len(), Arc::new(content));
        state.files.push(Inode { durable: content.clone(), now: content, ..Inode::default() });
        state.names.insert(Arc::from(name), at);
        state.durable_names.insert(Arc::from(name), at);
    }

    /// Takes a file away behind everybody's back.
    pub(crate) fn take(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Counts an operation about this file, remembers what was before it, and stops the world when it is time.
    fn act(&self, op: Op, name: &str) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.stop.is_some_and(|stop| state.ops >= stop) {
            return Err(io::Error::other("the world has stopped"));
        }
        state.ops += 1;
        if let Some(mut stills) = state.watched.take() {
            stills.push(Still { state: state.clone(), op, name: Arc::from(name) });
            state.watched = Some(stills);
        }
        Ok(state)
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl postrider_journal::Disk for Disk {
    type File = Open;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().map(|name| name.to_string()).collect())
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Open> {
        let mut state = self.act(Op::Create, name)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (at, name) = (state.files.len(), Arc::<str>::from(name));
        let mut now = Content::default();
        now.set_len(size as usize);
        let pending = vec![Write::Len(size as usize)];
        state.files.push(Inode { name: Some(name.clone()), now: Arc::new(now), pending, ..Inode::default() });
        let change = Change::Add(name, at);
        change.apply(&mut state.names);
        state.changes.push(change);
        Ok(Open { disk: self.clone(), at })
    }

    fn open(&self, name: &str) -> io::Result<Open> {
        let at = *self.state().names.get(name).ok_or_else(missing)?;
        Ok(Open { disk: self.clone(), at })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.act(Op::Rename, to)?;
        let at = *state.names.get(from).ok_or_else(missing)?;
        let change = Change::Rename(Arc::from(from), Arc::from(to), at);
        change.apply(&mut state.names);
        state.changes.push(change);
        state.files[at].name = Some(Arc::from(to));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let Some(at) = self.state().names.get(name).copied() else { return Err(missing()) };
        let mut state = self.act(Op::Remove, name)?;
        let change = Change::Remove(Arc::from(name), at);
        change.apply(&mut state.names);
        state.changes.push(change);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.act(Op::SyncDir, "")?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn room(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// A file of it.
#[derive(Debug)]
pub(crate) struct Open {
    disk: Disk,
    at: usize,
}

impl Open {
    fn act(&self, op: Op) -> io::Result<MutexGuard<'_, State>> {
        let name = self.disk.state().files[self.at].name.clone();
        self.disk.act(op, name.as_deref().unwrap_or_default())
    }
}

impl File for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.at].now.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let content = self.disk.state().files[self.at].now.clone();
        Ok(content.read(usize::try_from(offset).unwrap_or(usize::MAX), into))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.act(Op::Write)?;
        let file = &mut state.files[self.at];
        Arc::make_mut(&mut file.now).write(offset as usize, bytes);
        file.pending.push(Write::Bytes(offset as usize, Bytes::copy_from_slice(bytes)));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.act(Op::SetLen)?;
        let file = &mut state.files[self.at];
        Arc::make_mut(&mut file.now).set_len(len as usize);
        file.pending.push(Write::Len(len as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.act(Op::Sync)?;
        if std::mem::take(&mut state.fail_sync) {
            return Err(io::Error::other("the disk did not take it"));
        }
        let file = &mut state.files[self.at];
        file.durable = file.now.clone();
        file.pending.clear();
        Ok(())
    }
}

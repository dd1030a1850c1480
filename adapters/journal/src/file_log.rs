//! A log in a directory, with a thread of its own.

mod syncer;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use postrider_core::id::JournalSeq;
use postrider_core::journal::StoreId;
use postrider_core::sender::{LoadRequest, PersistBatch, SnapshotPart, Watermark};
use postrider_core::time::UnixTime;

use self::syncer::Syncer;
use self::worker::{Job, Worker};
use crate::history::Query;
use crate::lock::{Lock, Waiting};
use crate::store::{Found, OpenError, StoreError};
use crate::{Answered, Done, Durability, Log, LogError, Options, Records, StdDisk, Store, Tell};

/// How a [`FileLog`] is opened.
#[non_exhaustive]
pub struct FileOptions {
    /// How its store is kept. A new store whose [`Options::store`] is all zeros gets 16 bytes of the operating system's
    /// randomness for a name.
    pub store: Options,
    /// How long to wait for another process to let go of the directory. Not at all.
    pub takeover: Duration,
    /// Told when such a wait begins, and every second of it.
    pub tell: Option<Box<dyn FnMut(Waiting) + Send>>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { store: Options::default(), takeover: Duration::ZERO, tell: None }
    }
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOptions")
            .field("store", &self.store)
            .field("takeover", &self.takeover)
            .finish_non_exhaustive()
    }
}

/// A log in a directory: what it acknowledges survives a loss of power.
///
/// The directory is locked for as long as the log lives. Everything is done by one thread of its own, which begins with
/// the first request. It writes every batch that waits and then syncs once, whatever number of them there were; batches
/// that nothing waits for are written at once, also while a sync is under way on a second thread, so that a process
/// that is killed forgets nothing that it has handed over; they are synced with the next that something waits for, after
/// [`LINGER`](postrider_core::limits::LINGER) or with
/// [`LINGER_RECORDS`](postrider_core::limits::LINGER_RECORDS) records. Loads and questions are answered between two
/// syncs, and space is taken back, a piece at a time, when nothing else is to do.
///
/// Dropping it makes durable what was handed to it, tells so, and ends the thread.
pub struct FileLog {
    found: Found,
    gaps: Vec<(JournalSeq, JournalSeq)>,
    id: StoreId,
    /// Before the first request.
    idle: Option<(Store<StdDisk>, Lock)>,
    worker: Option<(Sender<Job>, JoinHandle<Closed>)>,
}

/// How the store was closed at the end of its thread.
type Closed = Result<(), StoreError>;

impl FileLog {
    /// Opens the store in this directory, or makes a new one there.
    pub fn open(dir: impl AsRef<Path>, options: FileOptions) -> Result<Self, OpenError> {
        let FileOptions { mut store, takeover, tell } = options;
        let shown = dir.as_ref().display().to_string();
        let disk = StdDisk::new(dir).map_err(|error| OpenError::io("opening", &shown, &error))?;
        let mut tell = tell.unwrap_or_else(|| Box::new(|_| {}));
        let lock = Lock::take(&disk, takeover, &mut tell)?;
        if store.store == StoreId::from_bytes([0; 16]) {
            store.store = mint()?;
        }
        let store = Store::open(disk, store, wall())?;
        let (found, gaps, id) = (store.found().clone(), store.gaps().to_vec(), store.id());
        Ok(Self { found, gaps, id, idle: Some((store, lock)), worker: None })
    }

    /// What opening found and did.
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// Ranges of records that are lost for good, the first and the last of each; see [`Store::gaps`].
    pub fn gaps(&self) -> &[(JournalSeq, JournalSeq)] {
        &self.gaps
    }

    /// The name of the store.
    pub const fn id(&self) -> StoreId {
        self.id
    }

    /// Makes durable what was handed to it, gives back what was reserved, and lets go of the directory.
    pub fn close(mut self) -> Result<(), StoreError> {
        match (self.idle.take(), self.stop()) {
            (Some((store, _lock)), _) => store.close(),
            (None, closed) => closed,
        }
    }

    fn ask(&mut self, job: Job) {
        if let Some((store, lock)) = self.idle.take() {
            let (jobs, queue) = mpsc::channel();
            let thread = std::thread::Builder::new().name("postrider-journal".to_owned());
            // Without a thread the request is dropped, and with it its answer: the machine is told that it failed.
            let synced = jobs.clone();
            let thread = thread.spawn(move || Worker::new(store, queue, Syncer::start(synced)).run(lock));
            self.worker = thread.ok().map(|thread| (jobs, thread));
        }
        if let Some((jobs, _)) = &self.worker {
            let _ = jobs.send(job);
        }
    }

    fn stop(&mut self) -> Result<(), StoreError> {
        let Some((jobs, thread)) = self.worker.take() else { return Ok(()) };
        let _ = jobs.send(Job::Close);
        let lost = StoreError::Broken { doing: "closing".to_owned(), kind: std::io::ErrorKind::Other };
        thread.join().unwrap_or(Err(lost))
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

impl fmt::Debug for FileLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLog").field("id", &self.id).field("found", &self.found).finish_non_exhaustive()
    }
}

impl Log for FileLog {
    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn records(&mut self) -> Records<'_> {
        match &self.idle {
            Some((store, _)) => store.records(),
            None => Box::new(std::iter::once(Err(LogError::Io {
                doing: "reading its records after the first request".to_owned(),
                kind: std::io::ErrorKind::InvalidInput,
            }))),
        }
    }

    fn attach(&mut self, tell: Tell) {
        self.ask(Job::Attach(tell));
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        self.ask(Job::Append(batch, done));
    }

    fn load(&mut self, request: LoadRequest, done: Done) {
        self.ask(Job::Load(request, done));
    }

    fn snapshot(&mut self, part: SnapshotPart) {
        self.ask(Job::Snapshot(part));
    }

    fn reclaim(&mut self, mark: Watermark) {
        self.ask(Job::Reclaim(mark));
    }

    fn history(&mut self, query: Query, done: Answered) {
        self.ask(Job::History(query, done));
    }
}

/// The time.
pub(crate) fn wall() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn mint() -> Result<StoreId, OpenError> {
    let mut name = [0; 16];
    getrandom::fill(&mut name).map_err(|_| OpenError::Io {
        doing: "asking the operating system for random bytes".to_owned(),
        kind: std::io::ErrorKind::Other,
    })?;
    Ok(StoreId::from_bytes(name))
}

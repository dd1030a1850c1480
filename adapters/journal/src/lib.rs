//! Logs that a Postrider sender writes to: the trait, one in a directory, and one in memory.
//!
//! A sender's state is the fold of its records. The machine makes them and numbers them, a [`Log`] makes them durable
//! and gives them back; it never makes, changes or reorders one. [`MemoryLog`] is what a process needs whose events may
//! die with it.
//!
//! ```
//! use postrider_core::sender::{Config, Output, Sender};
//! use postrider_core::{seed::Seed, time::Now};
//! use postrider_journal::{Log, MemoryLog};
//!
//! let mut log = MemoryLog::new();
//! let mut machine = Sender::new(Config::new(), Seed::from_bytes([7; 32]), Now::default());
//! let (tell, told) = std::sync::mpsc::channel();
//! while let Output::Persist(batch) = machine.poll_output() {
//!     let tell = tell.clone();
//!     log.append(batch, Box::new(move |input| tell.send(input).expect("the channel is open")));
//! }
//! for input in told.try_iter() {
//!     machine.handle(Now::default(), input);
//! }
//! assert_eq!(machine.durable(), machine.last_record());
//! ```

pub mod care;
pub mod claims;
mod disk;
mod file_log;
pub mod history;
mod lock;
mod memory;
pub mod seal;
mod std_disk;
pub mod store;

use std::fmt;
use std::io;
use std::sync::Arc;

use postrider_core::id::JournalSeq;
use postrider_core::journal::Record;
use postrider_core::sender::{Input, LoadRequest, PersistBatch, SnapshotPart, Watermark};

use history::{Answer, HistoryError, Query};

pub use disk::{Disk, File};
pub use file_log::{FileLog, FileOptions};
pub use lock::Waiting;
pub use memory::MemoryLog;
pub use std_disk::{StdDisk, StdFile};
pub use store::{Options, Store};

/// How a log answers a request: called once, from any thread, with the fact that ends the request.
///
/// For [`Log::append`] that is [`Input::Persisted`] with the batch's last record or [`Input::PersistFailed`] with its
/// first, for [`Log::load`] it is [`Input::Loaded`]. Dropping it without calling it is a failure of the log; a driver
/// treats it as one.
pub type Done = Box<dyn FnOnce(Input) + Send>;

/// How a log answers a question about history: called once, from any thread.
pub type Answered = Box<dyn FnOnce(Result<Answer, HistoryError>) + Send>;

/// How a log tells a fact that ends no request: [`Input::Room`]. From any thread, any number of times.
pub type Tell = Arc<dyn Fn(Input) + Send + Sync>;

/// The records that a machine is restored from, one after the other.
pub type Records<'a> = Box<dyn Iterator<Item = Result<(JournalSeq, Record), LogError>> + 'a>;

/// Where a sender's records go.
///
/// One thread at a time calls it, and none of its methods may block for long: the sender's drain waits meanwhile. A log
/// that syncs files hands batches to a thread of its own. Batches come in the order of their numbers and are made
/// durable in that order; after a failure the same records come again, with the same numbers.
pub trait Log: Send + 'static {
    /// What an acknowledgement of this log is worth.
    fn durability(&self) -> Durability;

    /// Everything that [`Restore`](postrider_core::sender::Restore) needs, read once before anything is appended: the
    /// records of the newest complete snapshot, numbered [`JournalSeq::ZERO`], then those of the log in order. Empty
    /// for a new store. Nothing comes after an error.
    fn records(&mut self) -> Records<'_>;

    /// Gives the log a way to tell how much room it has, once, before anything is appended. A log that ever answers
    /// [`Full`](postrider_core::sender::PersistFailure::Full) must keep it: the machine writes nothing more until it
    /// is told [`Input::Room`]. One without a bound need not.
    fn attach(&mut self, tell: Tell) {
        let _ = tell;
    }

    /// Makes a batch durable, all of it or none, then calls `done` with [`Input::Persisted`] or
    /// [`Input::PersistFailed`]; within this call, or later and from another thread.
    fn append(&mut self, batch: PersistBatch, done: Done);

    /// Reads records back, then calls `done` with [`Input::Loaded`]. Records that were handed to
    /// [`append`](Self::append) and have not been reclaimed can be asked for.
    fn load(&mut self, request: LoadRequest, done: Done);

    /// Writes a part of a snapshot aside. Parts come in order; part 0 begins a new snapshot and voids one without an
    /// end. A snapshot that cannot be written is as good as none: the log keeps what it has, and keeps it although a
    /// watermark allows otherwise.
    fn snapshot(&mut self, part: SnapshotPart);

    /// Frees what is no longer needed.
    fn reclaim(&mut self, mark: Watermark);

    /// Answers a question about what has ended, from any thread. Without history every question fails.
    fn history(&mut self, query: Query, done: Answered) {
        let _ = query;
        done(Err(HistoryError::NotKept));
    }
}

impl Log for Box<dyn Log> {
    fn durability(&self) -> Durability {
        (**self).durability()
    }

    fn records(&mut self) -> Records<'_> {
        (**self).records()
    }

    fn attach(&mut self, tell: Tell) {
        (**self).attach(tell);
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        (**self).append(batch, done);
    }

    fn load(&mut self, request: LoadRequest, done: Done) {
        (**self).load(request, done);
    }

    fn snapshot(&mut self, part: SnapshotPart) {
        (**self).snapshot(part);
    }

    fn reclaim(&mut self, mark: Watermark) {
        (**self).reclaim(mark);
    }

    fn history(&mut self, query: Query, done: Answered) {
        (**self).history(query, done);
    }
}

/// What an acknowledgement of a log is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The record lives as long as the process.
    Memory,
    /// The record is on disk and survives a loss of power.
    Disk,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("in memory only"),
            Self::Disk => f.write_str("on disk"),
        }
    }
}

/// Why a log cannot give its records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system did not do what was asked.
    Io {
        /// What was being done, and with which file.
        doing: String,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// What was read is not what was written.
    Damaged {
        /// Where.
        place: String,
        /// What is wrong there.
        why: String,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, kind } => write!(f, "the log failed {doing}: {kind}"),
            Self::Damaged { place, why } => write!(f, "the log is damaged {place}: {why}"),
        }
    }
}

impl std::error::Error for LogError {}

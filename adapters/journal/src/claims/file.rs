//! Claims in a directory, with a thread of their own.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{self, SendError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::worker::{Job, Worker};
use super::{
    Claim, ClaimDone, ClaimFile, ClaimOptions, ClaimStore, Claimed, ClaimsFound, ClaimsStats, Commit, OpenClaimsError,
    Release, Steady,
};
use crate::StdDisk;
use crate::lock::Lock;

/// Claims in a directory: what is over stays over when the process ends, in whatever way.
///
/// A clone is the same store, for every receiver of a process that is to deliver an event once among them. The directory is
/// locked for as long as there is one, so two processes do not share it. Everything is done by one thread, which writes
/// all that waits at once and then syncs once for every commit in it; claims are answered before that sync. See
/// [`ClaimFile`] for what is written and what a crash leaves.
///
/// When the last clone is dropped, what was handed over is made durable and answered, and the thread ends.
#[derive(Clone)]
pub struct FileClaims(Arc<Shared>);

struct Shared {
    jobs: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    found: ClaimsFound,
    stats: Arc<Mutex<ClaimsStats>>,
}

impl FileClaims {
    /// Opens the claims in this directory, or begins them there. It must be a directory of their own.
    ///
    /// # Errors
    ///
    /// [`OpenClaimsError`]; then what was there is still there.
    pub fn open(dir: impl AsRef<Path>, options: &ClaimOptions) -> Result<Self, OpenClaimsError> {
        let shown = dir.as_ref().display().to_string();
        let disk = StdDisk::new(dir).map_err(|error| OpenClaimsError::io("opening", &shown, &error))?;
        let lock = Lock::take(&disk, options.takeover, &mut |_| {}).map_err(OpenClaimsError::of)?;
        let clock = Steady::start();
        let file = ClaimFile::open(disk, options, clock.now())?;
        let (found, stats) = (file.found().clone(), Arc::new(Mutex::new(file.stats())));
        let (jobs, queue) = mpsc::channel();
        let worker = Worker::new(file, clock, Arc::clone(&stats));
        let thread = std::thread::Builder::new().name("postrider-claims".to_owned());
        let thread = thread.spawn(move || worker.run(&queue, lock));
        let thread = thread.map_err(|error| OpenClaimsError::io("starting a thread for", &shown, &error))?;
        Ok(Self(Arc::new(Shared { jobs, thread: Mutex::new(Some(thread)), found, stats })))
    }

    /// What opening found.
    pub fn found(&self) -> &ClaimsFound {
        &self.0.found
    }

    /// How much it knows.
    pub fn stats(&self) -> ClaimsStats {
        *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, job: Job) {
        if let Err(SendError(job)) = self.0.jobs.send(job) {
            job.refuse("the thread of the store of claims has ended");
        }
    }
}

impl ClaimStore for FileClaims {
    fn claim(&mut self, claim: Claim, done: ClaimDone<Claimed>) {
        self.ask(Job::Claim(claim, done));
    }

    fn commit(&mut self, commit: Commit, done: ClaimDone<()>) {
        self.ask(Job::Commit(commit, done));
    }

    fn release(&mut self, release: Release) {
        self.ask(Job::Release(release));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.jobs.send(Job::Close);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last clone may be dropped by whoever is answered, on the thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for FileClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileClaims").field("found", &self.0.found).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

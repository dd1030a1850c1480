//! The thread of a store of claims: what waits is done, written, synced once, and told.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use postrider_core::receiver::ClaimToken;

use super::store::Pending;
use super::{Claim, ClaimDone, ClaimError, ClaimFile, Claimed, ClaimsStats, Commit, Release, Steady, unavailable};
use crate::lock::Lock;
use crate::{Disk, StdDisk};

/// Jobs done before what they changed is synced, at most.
const TURN: usize = 256;

/// What the thread is asked to do.
pub(super) enum Job {
    Claim(Claim, ClaimDone<Claimed>),
    Commit(Commit, ClaimDone<()>),
    Release(Release),
    /// Nobody will ask any more.
    Close,
}

impl Job {
    /// Answers that it was not done.
    pub(super) fn refuse(self, why: &str) {
        match self {
            Self::Claim(_, done) => done(Err(unavailable(why))),
            Self::Commit(_, done) => done(Err(unavailable(why))),
            Self::Release(_) | Self::Close => {}
        }
    }
}

pub(super) struct Worker<D: Disk = StdDisk> {
    file: ClaimFile<D>,
    clock: Steady,
    stats: Arc<Mutex<ClaimsStats>>,
    claimed: Vec<(Claim, Claimed, ClaimDone<Claimed>)>,
    over: Vec<(Claimed, ClaimDone<Claimed>)>,
    committed: Vec<(Result<(), ClaimError>, ClaimDone<()>)>,
}

impl<D: Disk> Worker<D> {
    pub(super) fn new(file: ClaimFile<D>, clock: Steady, stats: Arc<Mutex<ClaimsStats>>) -> Self {
        Self { file, clock, stats, claimed: Vec::new(), over: Vec::new(), committed: Vec::new() }
    }

    /// Works until nobody can ask any more. The directory is let go of at the end.
    pub(super) fn run(mut self, jobs: &Receiver<Job>, lock: Lock) {
        let mut open = true;
        while open && let Ok(first) = jobs.recv() {
            open = self.take(first);
            for _ in 1..TURN {
                let Ok(next) = jobs.try_recv() else { break };
                open &= self.take(next);
            }
            self.end_turn();
        }
        drop(self.file);
        drop(lock);
    }

    /// False when nothing comes after it.
    fn take(&mut self, job: Job) -> bool {
        let now = self.clock.now();
        match job {
            Job::Claim(claim, done) => match self.file.claim(now, &claim) {
                Ok(claimed) if Pending::of(&claimed) == Pending::Sync => self.over.push((claimed, done)),
                Ok(claimed) => self.claimed.push((claim, claimed, done)),
                Err(error) => done(Err(error)),
            },
            Job::Commit(commit, done) => {
                let committed = self.file.commit(now, &commit);
                self.committed.push((committed, done));
            }
            Job::Release(release) => self.file.release(now, &release),
            Job::Close => return false,
        }
        true
    }

    fn end_turn(&mut self) {
        let written = self.file.write(self.clock.now());
        for (claim, claimed, done) in std::mem::take(&mut self.claimed) {
            match &written {
                Ok(()) => done(Ok(claimed)),
                Err(error) => {
                    if let Some(token) = token(&claimed) {
                        self.file.release(self.clock.now(), &claim.release(token));
                    }
                    done(Err(error.clone()));
                }
            }
        }
        let synced = written.and_then(|()| self.file.sync(self.clock.now()));
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = self.file.stats();
        self.over.drain(..).for_each(|(claimed, done)| done(synced.clone().map(|()| claimed)));
        self.committed.drain(..).for_each(|(committed, done)| done(synced.clone().and(committed)));
    }
}

/// What a claim was granted under.
const fn token(claimed: &Claimed) -> Option<ClaimToken> {
    match claimed {
        Claimed::Granted { token, .. } => Some(*token),
        Claimed::Held { .. } | Claimed::Over(_) => None,
    }
}

//! The threads that carry attempts: made when there is work, at most as many as attempts may be in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::AttemptId;
use postrider_core::response::{Outcome, TransportError};
use postrider_core::sender::{Input, Transmit};
use postrider_driver::{Carry, Clock};

use crate::carry::Carriage;
use crate::leash::Leash;

/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(10);

/// Where outcomes go; called from any thread.
pub(crate) type Tell = Box<dyn Fn(Input) + Send + Sync>;

/// How one attempt is carried.
pub(crate) trait Way: Send + Sync + 'static {
    /// Carries an attempt: blocks until its outcome is known.
    fn carry(&self, transmit: &Transmit, deadline: Instant, leash: &Arc<Leash>) -> Outcome;

    /// Lets go of what has been idle for too long, and says when to come again.
    fn expire(&self, now: Instant) -> Option<Instant>;
}

impl Way for Carriage {
    fn carry(&self, transmit: &Transmit, deadline: Instant, leash: &Arc<Leash>) -> Outcome {
        Self::carry(self, transmit, deadline, leash)
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        Self::expire(self, now)
    }
}

/// Threads that carry attempts, and the attempts that they carry. Dropping it stops both.
pub(crate) struct Crew<W>(Arc<Shared<W>>);

struct Shared<W> {
    way: W,
    clock: Clock,
    tell: Tell,
    most: usize,
    roster: Mutex<Roster>,
    work: Condvar,
}

#[derive(Default)]
struct Roster {
    jobs: VecDeque<(Transmit, Arc<Leash>)>,
    /// Of every attempt that has not been reported.
    leashes: HashMap<AttemptId, Arc<Leash>>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    dismissed: bool,
}

impl<W: Way> Crew<W> {
    /// A crew of at most `most` threads, none of them running yet. Outcomes go to `tell`.
    pub(crate) fn new(way: W, clock: Clock, tell: Tell, most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        let (roster, work) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { way, clock, tell, most, roster, work }))
    }

    /// Closes connections that have been idle for too long, and says when to come again.
    pub(crate) fn tidy(&self) -> Option<Instant> {
        self.0.way.expire(Instant::now())
    }
}

impl<W: Way> Carry for Crew<W> {
    fn transmit(&mut self, transmit: Transmit) {
        let (attempt, leash) = (transmit.attempt(), Arc::new(Leash::default()));
        let mut roster = self.0.roster();
        roster.leashes.insert(attempt, Arc::clone(&leash));
        roster.jobs.push_back((transmit, leash));
        if roster.idle >= roster.jobs.len() || roster.threads >= self.0.most {
            self.0.work.notify_one();
            return;
        }
        roster.threads += 1;
        drop(roster);
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("postrider-carry".into()).spawn(move || Hand(shared).work());
        if thread.is_err() {
            self.0.go_without();
        }
    }

    fn abort(&mut self, attempt: AttemptId) {
        let leash = self.0.roster().leashes.get(&attempt).cloned();
        if let Some(leash) = leash {
            leash.stop();
        }
    }
}

impl<W> Drop for Crew<W> {
    fn drop(&mut self) {
        let mut roster = self.0.roster();
        roster.dismissed = true;
        let leashes: Vec<_> = roster.leashes.values().cloned().collect();
        drop(roster);
        leashes.iter().for_each(|leash| leash.stop());
        self.0.work.notify_all();
    }
}

impl<W> Shared<W> {
    /// A thread could not be made. Others take the job, if there are any.
    fn go_without(&self) {
        let mut roster = self.roster();
        roster.threads -= 1;
        let stranded = if roster.threads == 0 { std::mem::take(&mut roster.jobs) } else { VecDeque::new() };
        drop(roster);
        for (transmit, _) in stranded {
            drop(Report { shared: self, attempt: transmit.attempt(), outcome: Err(TransportError::LocalResources) });
        }
    }

    /// Nothing under this lock can panic, so a poisoned one is as good as any.
    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread of the crew.
struct Hand<W>(Arc<Shared<W>>);

impl<W: Way> Hand<W> {
    fn work(self) {
        while let Some((transmit, leash)) = self.next() {
            // Reported when it is dropped, so exactly once, and also after a panic.
            let attempt = transmit.attempt();
            let mut report = Report { shared: &self.0, attempt, outcome: Err(TransportError::LocalResources) };
            let deadline = self.0.clock.std_deadline(transmit.deadline());
            report.outcome = leash.check().and_then(|()| self.0.way.carry(&transmit, deadline, &leash));
        }
    }

    fn next(&self) -> Option<(Transmit, Arc<Leash>)> {
        let mut roster = self.0.roster();
        roster.idle += 1;
        let wait = |roster: &mut Roster| roster.jobs.is_empty() && !roster.dismissed;
        let waited = self.0.work.wait_timeout_while(roster, IDLE, wait);
        (roster, _) = waited.unwrap_or_else(PoisonError::into_inner);
        roster.idle -= 1;
        roster.jobs.pop_front()
    }
}

impl<W> Drop for Hand<W> {
    fn drop(&mut self) {
        self.0.roster().threads -= 1;
    }
}

/// The outcome of an attempt on its way to the machine.
struct Report<'a, W> {
    shared: &'a Shared<W>,
    attempt: AttemptId,
    outcome: Outcome,
}

impl<W> Drop for Report<'_, W> {
    fn drop(&mut self) {
        self.shared.roster().leashes.remove(&self.attempt);
        let outcome = std::mem::replace(&mut self.outcome, Err(TransportError::Aborted));
        (self.shared.tell)(Input::Completed { attempt: self.attempt, outcome });
    }
}

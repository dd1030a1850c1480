//! Attempts in flight: each a task, each reported exactly once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::id::AttemptId;
use postrider_core::response::{Outcome, TransportError};
use postrider_core::sender::{Input, Transmit, Wake};
use postrider_driver::{Carry, Clock};
use postrider_journal::Tell;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::transport::Transport;

/// How one attempt is carried.
pub(crate) trait Way: Send + Sync + 'static {
    /// Carries an attempt, until its deadline at the latest. Dropping the future stops it.
    fn carry(&self, transmit: &Transmit) -> impl Future<Output = Outcome> + Send;

    /// The clock that the machine is told.
    fn clock(&self) -> Clock;

    /// Lets go of what has been idle for too long, and says when to come again.
    fn expire(&self) -> Option<std::time::Instant>;
}

impl Way for Transport {
    fn carry(&self, transmit: &Transmit) -> impl Future<Output = Outcome> + Send {
        Self::carry(self, transmit)
    }

    fn clock(&self) -> Clock {
        Self::clock(self)
    }

    fn expire(&self) -> Option<std::time::Instant> {
        Self::expire(self)
    }
}

/// Starts a task for each attempt and ends it when the machine says so. Dropping it ends all of them.
///
/// The machine's credit bounds how many there are.
pub(crate) struct Carrier<W> {
    way: Arc<W>,
    tell: Tell,
    runtime: Handle,
    flights: Flights,
}

/// The attempts under way; an entry goes when its attempt is reported, and has no handle for the moment before its task
/// is there.
type Flights = Arc<Mutex<HashMap<AttemptId, Option<AbortHandle>>>>;

impl<W: Way> Carrier<W> {
    /// A carrier that reports to `tell`, with its tasks on `runtime`.
    pub(crate) fn new(way: W, tell: Tell, runtime: Handle) -> Self {
        Self { way: Arc::new(way), tell, runtime, flights: Arc::default() }
    }

    /// Sleeps for as long as the machine says, or until an idle connection is to be closed.
    pub(crate) async fn rest(&self, wake: Wake) {
        let now = std::time::Instant::now();
        let due = self.way.clock().until(wake).map(|rest| now + rest);
        match due.into_iter().chain(self.way.expire()).min() {
            Some(at) if at <= now => tokio::task::yield_now().await,
            Some(at) => sleep_until(Instant::from_std(at)).await,
            None => std::future::pending().await,
        }
    }
}

impl<W: Way> Carry for Carrier<W> {
    fn transmit(&mut self, transmit: Transmit) {
        let attempt = transmit.attempt();
        lock(&self.flights).insert(attempt, None);
        let report =
            Report { attempt, outcome: None, tell: Arc::clone(&self.tell), flights: Arc::clone(&self.flights) };
        let way = Arc::clone(&self.way);
        let task = self.runtime.spawn(async move {
            let mut report = report;
            report.outcome = Some(way.carry(&transmit).await);
        });
        if let Some(flight) = lock(&self.flights).get_mut(&attempt) {
            *flight = Some(task.abort_handle());
        }
    }

    fn abort(&mut self, attempt: AttemptId) {
        // An attempt that is not there has been reported.
        let flight = lock(&self.flights).get_mut(&attempt).and_then(Option::take);
        if let Some(task) = flight {
            task.abort();
        }
    }
}

impl<W> Drop for Carrier<W> {
    fn drop(&mut self) {
        let tasks: Vec<_> = lock(&self.flights).values_mut().filter_map(Option::take).collect();
        tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Reports one attempt when it is dropped, which is when its task ends: by itself, by an abort, or with the runtime.
struct Report {
    attempt: AttemptId,
    outcome: Option<Outcome>,
    tell: Tell,
    flights: Flights,
}

impl Drop for Report {
    fn drop(&mut self) {
        lock(&self.flights).remove(&self.attempt);
        let outcome = self.outcome.take().unwrap_or(Err(TransportError::Aborted));
        (self.tell)(Input::Completed { attempt: self.attempt, outcome });
    }
}

fn lock(flights: &Flights) -> MutexGuard<'_, HashMap<AttemptId, Option<AbortHandle>>> {
    // A map's own methods do not panic half-way.
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

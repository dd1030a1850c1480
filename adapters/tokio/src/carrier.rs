//! Attempts in flight: each a task, each reported exactly once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::id::AttemptId;
use postrider_core::response::{Outcome, TransportError};
use postrider_core::sender::{Input, Transmit};
use postrider_driver::{Carry, Facts};
use tokio::task::AbortHandle;

use crate::transport::Transport;

/// Starts a task for each attempt and ends it when the machine says so. Dropping it ends all of them.
///
/// The machine's credit bounds how many there are.
pub(crate) struct Carrier {
    transport: Arc<Transport>,
    facts: Facts,
    flights: Flights,
}

/// The attempts under way; an entry goes when its attempt is reported, and has no handle for the moment before its task
/// is there.
type Flights = Arc<Mutex<HashMap<AttemptId, Option<AbortHandle>>>>;

impl Carrier {
    /// A carrier that reports to `facts`.
    pub(crate) fn new(transport: Arc<Transport>, facts: Facts) -> Self {
        Self { transport, facts, flights: Arc::default() }
    }
}

impl Carry for Carrier {
    fn transmit(&mut self, transmit: Transmit) {
        let attempt = transmit.attempt();
        lock(&self.flights).insert(attempt, None);
        let report = Report { attempt, outcome: None, facts: self.facts.clone(), flights: Arc::clone(&self.flights) };
        let transport = Arc::clone(&self.transport);
        let task = tokio::spawn(async move {
            let mut report = report;
            report.outcome = Some(transport.carry(&transmit).await);
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

impl Drop for Carrier {
    fn drop(&mut self) {
        let tasks: Vec<_> = lock(&self.flights).values_mut().filter_map(Option::take).collect();
        tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Reports one attempt when it is dropped, which is when its task ends: by itself, by an abort, or with the runtime.
struct Report {
    attempt: AttemptId,
    outcome: Option<Outcome>,
    facts: Facts,
    flights: Flights,
}

impl Drop for Report {
    fn drop(&mut self) {
        lock(&self.flights).remove(&self.attempt);
        let outcome = self.outcome.take().unwrap_or(Err(TransportError::Aborted));
        self.facts.put(Input::Completed { attempt: self.attempt, outcome });
    }
}

fn lock(flights: &Flights) -> MutexGuard<'_, HashMap<AttemptId, Option<AbortHandle>>> {
    // A map's own methods do not panic half-way.
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

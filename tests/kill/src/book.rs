//! What arrived, and when the sender was killed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Plan, Report};

/// An answer that was given less than this before a kill may not have been written down by the sender. Its outcome goes
/// to the log's file at once, but through three threads, for which a crowded machine has no time.
pub const RECORDING: Duration = Duration::from_millis(500);

/// The book of a run; a clone is the same one.
#[derive(Clone)]
pub(crate) struct Book(Arc<Mutex<State>>);

struct State {
    events: u64,
    /// The last arrival of each event.
    last: HashMap<u64, Arrival>,
    requests: u64,
    /// Arrivals of the current run of the sender.
    run: HashMap<u64, Arrival>,
    kills: Vec<Kill>,
    again: Vec<Again>,
    faults: Vec<String>,
}

#[derive(Clone, Copy)]
struct Arrival {
    /// Kills before it.
    run: usize,
    answered: Option<Instant>,
}

struct Kill {
    at: Instant,
    /// Not answered.
    open: u64,
    /// Not answered, or so shortly before that the sender may not have written the answer down.
    in_flight: u64,
    /// The events that had arrived in that run and of which the journal has no outcome.
    unrecorded: HashSet<u64>,
}

/// An event that came again after a kill.
struct Again {
    event: u64,
    kill: usize,
    /// The answer before.
    answered: Option<Instant>,
}

/// Faults kept; more of them say nothing new.
const FAULTS: usize = 10;

impl Book {
    /// An empty one for events numbered from 0 to below `events`.
    pub(crate) fn new(events: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            events,
            last: HashMap::new(),
            requests: 0,
            run: HashMap::new(),
            kills: Vec::new(),
            again: Vec::new(),
            faults: Vec::new(),
        })))
    }

    /// A request for an event has been read whole.
    pub(crate) fn arrived_one(&self, event: u64) {
        let mut state = self.state();
        let state = &mut *state;
        state.requests += 1;
        let run = state.kills.len();
        if event >= state.events {
            state.fault(format!("event {event} arrived, which is not in the input"));
        }
        if let Some(before) = state.last.insert(event, Arrival { run, answered: None }) {
            if before.run == run {
                state.fault(format!("event {event} arrived twice without a kill between"));
            } else {
                state.again.push(Again { event, kill: before.run, answered: before.answered });
            }
        }
        state.run.insert(event, Arrival { run, answered: None });
    }

    /// The answer to it has been written.
    pub(crate) fn answered(&self, event: u64) {
        let mut state = self.state();
        let now = Some(Instant::now());
        let state = &mut *state;
        for arrivals in [&mut state.last, &mut state.run] {
            if let Some(arrival) = arrivals.get_mut(&event) {
                arrival.answered = now;
            }
        }
    }

    /// Something arrived that should not.
    pub(crate) fn fault(&self, what: String) {
        self.state().fault(what);
    }

    /// The sender was killed at this time, and its connections have ended; its journal says that these events were
    /// delivered.
    pub(crate) fn killed(&self, at: Instant, recorded: &HashSet<u64>) {
        let mut state = self.state();
        let count = |before: Duration| {
            let still = |arrival: &&Arrival| arrival.answered.is_none_or(|answered| answered + before > at);
            state.run.values().filter(still).count() as u64
        };
        let (open, in_flight) = (count(Duration::ZERO), count(RECORDING));
        let unrecorded = state.run.drain().map(|(event, _)| event).filter(|event| !recorded.contains(event)).collect();
        state.kills.push(Kill { at, open, in_flight, unrecorded });
    }

    /// Events in the input.
    pub(crate) fn events(&self) -> u64 {
        self.state().events
    }

    /// Events that have arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.state().last.len() as u64
    }

    /// Requests that have arrived.
    pub(crate) fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Counts, and says what is wrong.
    pub(crate) fn judge(&self, plan: &Plan, report: &mut Report) {
        let mut state = self.state();
        let state = &mut *state;
        report.events = state.events;
        report.arrived = state.last.len() as u64;
        report.requests = state.requests;
        report.duplicates = state.again.len() as u64;
        let mut after = vec![0u64; state.kills.len()];
        for again in &state.again {
            after[again.kill] += 1;
            if !state.kills[again.kill].unrecorded.contains(&again.event) {
                let (event, number) = (again.event, again.kill + 1);
                state
                    .faults
                    .push(format!("event {event} came again although its outcome was written before kill {number}"));
            }
            let lag = again.answered.map(|answered| state.kills[again.kill].at.saturating_duration_since(answered));
            if let Some(lag) = lag.filter(|lag| !lag.is_zero()) {
                report.answered += 1;
                report.longest = report.longest.max(lag);
            }
        }
        report.in_flight = state.kills.iter().map(|kill| kill.in_flight).sum();
        let unrecorded = state.kills.iter().map(|kill| kill.unrecorded.len() as u64);
        (report.unrecorded, report.most_unrecorded) = (unrecorded.clone().sum(), unrecorded.max().unwrap_or(0));
        report.open = state.kills.iter().map(|kill| kill.open).sum();
        report.most_duplicates = after.iter().copied().max().unwrap_or(0);
        if report.arrived < report.events && report.faults.is_empty() {
            let lost: Vec<_> = (0..state.events).filter(|event| !state.last.contains_key(event)).take(5).collect();
            let count = report.events - report.arrived;
            report.faults.push(format!("{count} events never arrived, such as {lost:?}"));
        }
        if report.longest > RECORDING {
            let longest = report.longest;
            report.faults.push(format!("a request came again although it was answered {longest:?} before the kill"));
        }
        let most = u64::from(plan.concurrency) * state.kills.len() as u64;
        if report.duplicates > most {
            let duplicates = report.duplicates;
            report
                .faults
                .push(format!("{duplicates} requests came again, {most} could be in flight at all kills together"));
        }
        for (number, (kill, again)) in state.kills.iter().zip(&after).enumerate() {
            if *again > kill.in_flight {
                let (number, flying) = (number + 1, kill.in_flight);
                state.faults.push(format!("after kill {number} {again} requests came again, {flying} were in flight"));
            }
            let (unrecorded, bound) = (kill.unrecorded.len() as u64, plan.unrecorded());
            if unrecorded > bound {
                let number = number + 1;
                state
                    .faults
                    .push(format!("kill {number} found {unrecorded} requests without an outcome, {bound} at most"));
            }
        }
        report.faults.append(&mut state.faults);
        report.faults.truncate(FAULTS);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(act: impl FnOnce(&Book)) -> Report {
        let book = Book::new(2);
        act(&book);
        let mut report = Report::default();
        book.judge(&Plan::new("postrider".into(), 1), &mut report);
        report
    }

    #[test]
    fn what_was_in_flight_at_a_kill_may_come_again() {
        let report = judged(|book| {
            book.arrived_one(0);
            book.arrived_one(1);
            book.answered(1);
            book.killed(Instant::now(), &HashSet::new());
            book.arrived_one(0);
            book.arrived_one(1);
        });
        assert_eq!((report.unrecorded, report.most_unrecorded), (2, 2));
        assert_eq!((report.arrived, report.requests, report.in_flight, report.duplicates), (2, 4, 2, 2));
        assert_eq!((report.answered, report.faults.len()), (1, 0), "{report}");
    }

    #[test]
    fn what_was_answered_long_before_may_not() {
        let report = judged(|book| {
            book.arrived_one(0);
            book.arrived_one(1);
            book.answered(0);
            book.killed(Instant::now() + 2 * RECORDING, &HashSet::new());
            book.arrived_one(0);
        });
        assert_eq!(report.in_flight, 1);
        assert!(report.faults.iter().any(|fault| fault.contains("answered")), "{report}");
    }

    #[test]
    fn what_the_journal_has_an_outcome_of_may_not() {
        let report = judged(|book| {
            book.arrived_one(0);
            book.arrived_one(1);
            book.killed(Instant::now(), &HashSet::from([0]));
            book.arrived_one(1);
            book.arrived_one(0);
        });
        assert_eq!((report.unrecorded, report.duplicates, report.faults.len()), (1, 2, 1), "{report}");
        assert!(report.faults[0].contains("event 0 came again although its outcome was written"), "{report}");
    }

    #[test]
    fn a_repeat_without_a_kill_and_a_loss_are_found() {
        let report = judged(|book| {
            book.arrived_one(0);
            book.arrived_one(0);
        });
        assert!(report.faults[0].contains("1 events never arrived, such as [1]"), "{report}");
        assert!(report.faults[1].contains("twice without a kill"), "{report}");
    }
}

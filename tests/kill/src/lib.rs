//! Real processes and SIGKILL: nothing that `postrider deliver --journal` has accepted is lost, whenever it is killed.
//!
//! [`run`] starts a receiver on loopback, then the real command with a file of events and a journal, and kills it at
//! random moments; each time the same command is started again with the same arguments, until it is let finish. The
//! receiver verifies each request and counts it by its event's id:
//!
//! * each event arrives at least once;
//! * an event arrives again only if a kill came between, and only if the request before was in flight at that kill: not
//!   answered yet, or answered so shortly before ([`RECORDING`]) that the sender may not have written the answer down;
//! * after each kill only requests come again of which the journal that the kill left has no outcome: what the dead process
//!   had in flight by its own record. So for each kill, what came again is counted against what was in flight, by the
//!   receiver's book and by the sender's journal, and not only over all of them;
//! * what a dead process had in flight by its own record is bounded, too: by its concurrency, and by the outcomes that a
//!   machine gathers before it hands them to its log
//!   ([`LINGER_RECORDS`](postrider_core::limits::LINGER_RECORDS));
//! * over all kills no more requests came again than the sender may have in flight ([`Plan::concurrency`]) at each;
//! * a last run finds every line of the input accepted, and nothing left to deliver, and the journal is sound.

mod book;
mod chance;
mod receiver;
mod sender;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use book::Book;
pub use book::RECORDING;
use chance::Chance;
use receiver::Receiver;
pub use sender::build;
use sender::{Command, End};

/// What is to be done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// Times that the sender is killed.
    pub kills: u32,
    /// Events in its input.
    pub events: u32,
    /// Requests that it may have in flight.
    pub concurrency: u32,
    /// Decides the moments.
    pub seed: u64,
    /// How long the receiver thinks about a request, on average.
    pub thinking: Duration,
    /// What carries the requests: `tokio` or `blocking`.
    pub driver: String,
    /// The command `postrider`.
    pub command: PathBuf,
}

impl Plan {
    /// 200 kills while 20,000 events are delivered over tokio, with at most 32 requests in flight.
    pub fn new(command: PathBuf, seed: u64) -> Self {
        Self {
            kills: 200,
            events: 20_000,
            concurrency: 32,
            seed,
            thinking: Duration::from_millis(4),
            driver: "tokio".into(),
            command,
        }
    }
}

impl Plan {
    /// Requests of which the sender may not have written an outcome down, at most.
    pub fn unrecorded(&self) -> u64 {
        u64::from(self.concurrency) + postrider_core::limits::LINGER_RECORDS as u64
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Times that the sender was killed.
    pub kills: u32,
    /// Of these, before the first request of its run had arrived.
    pub early: u32,
    /// Events in the input.
    pub events: u64,
    /// Events that arrived.
    pub arrived: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that were not answered when a kill came, over all kills.
    pub open: u64,
    /// The same, and those answered less than [`RECORDING`] before.
    pub in_flight: u64,
    /// Requests of which the sender had written no outcome down when a kill came, over all kills.
    pub unrecorded: u64,
    /// The most of these at one kill.
    pub most_unrecorded: u64,
    /// What the sender may have had in flight by its limit: its concurrency at each kill.
    pub allowed: u64,
    /// Requests for an event that had arrived before.
    pub duplicates: u64,
    /// The most that go back to one kill.
    pub most_duplicates: u64,
    /// Of the duplicates, those whose request before had been answered when the kill came.
    pub answered: u64,
    /// How long before the kill, at most.
    pub longest: Duration,
    /// How long everything took.
    pub elapsed: Duration,
    /// What is wrong; nothing, if all is well.
    pub faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} kills, {} of them before a run's first request; {:.1?}", self.kills, self.early, self.elapsed)?;
        writeln!(f, "arrived:    {} of {} events in {} requests", self.arrived, self.events, self.requests)?;
        writeln!(
            f,
            "in flight:  {} at all kills together by the receiver's book, {} of them not answered; {} by the sender's \
             journal, {} at most at one kill; {} by its limit",
            self.in_flight, self.open, self.unrecorded, self.most_unrecorded, self.allowed
        )?;
        writeln!(
            f,
            "duplicates: {}, {} at most after one kill; {} had been answered before it, {:.1?} before at most",
            self.duplicates, self.most_duplicates, self.answered, self.longest
        )?;
        for fault in &self.faults {
            writeln!(f, "WRONG: {fault}")?;
        }
        f.write_str(if self.faults.is_empty() { "nothing was lost" } else { "this must not be" })
    }
}

/// A run with no request and no end for so long is one that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of all kills, one in so many comes at a time after the start, so that opening and recovering are hit too; the others
/// come after a number of requests.
const TIMED: u64 = 4;
/// The latest of these.
const TIMED_WITHIN: Duration = Duration::from_millis(120);

/// Does what the plan says. An error is a failure of the set-up; what is wrong with the sender is in the report.
pub fn run(plan: &Plan, mut progress: impl FnMut(u32, u64)) -> Result<Report, String> {
    let started = Instant::now();
    let book = Book::new(u64::from(plan.events));
    let receiver = Receiver::start(&book, plan.thinking, plan.seed).map_err(|why| format!("the receiver: {why}"))?;
    let command = Command::new(plan, receiver.url()).map_err(|why| format!("the files of the run: {why}"))?;
    let chance = Chance::new(plan.seed);
    let mut report = Report::default();
    while report.kills < plan.kills && report.faults.is_empty() {
        let moment = moment(&chance, &book, plan.kills - report.kills);
        let before = book.requests();
        let mut child = command.start().map_err(|why| format!("{}: {why}", plan.command.display()))?;
        let end = child.kill_at(|running| moment.has_come(running, book.requests() - before), PATIENCE);
        match end.map_err(|why| format!("killing: {why}"))? {
            End::Killed(at) => {
                receiver.drain(PATIENCE)?;
                book.killed(at, &command.recorded()?);
                report.kills += 1;
                report.early += u32::from(book.requests() == before);
                progress(report.kills, book.arrived());
            }
            End::Hung => report.faults.push(format!("a run did nothing for {PATIENCE:?}; it said: {}", child.said())),
            End::Ended(0) => {
                report.faults.push(format!("it was done after {} kills; give it more events", report.kills));
            }
            End::Ended(code) => report.faults.push(format!("a run ended with {code}: {}", child.said())),
        }
    }
    if report.faults.is_empty() {
        finish(&command, &book, &mut report)?;
    }
    report.allowed = u64::from(plan.concurrency) * u64::from(report.kills);
    book.judge(plan, &mut report);
    report.elapsed = started.elapsed();
    Ok(report)
}

/// Lets the sender finish, then sees whether another run finds anything to do.
fn finish(command: &Command, book: &Book, report: &mut Report) -> Result<(), String> {
    let last = command.finish()?;
    if last.code != Some(0) {
        report.faults.push(format!("the last run ended with {:?}: {}", last.code, last.err));
    }
    let (pending, bad) = (last.count("pending"), last.count("bad_lines"));
    if (pending, bad) != (Some(0), Some(0)) {
        report.faults.push(format!("the last run says {pending:?} events pending and {bad:?} bad lines, not 0 and 0"));
    }
    let before = book.requests();
    let again = command.finish()?;
    let (new, repeats, after) = (again.count("events"), again.count("repeats"), book.requests());
    if (again.code, new, repeats) != (Some(0), Some(0), Some(book.events())) || after != before {
        report.faults.push(format!(
            "with nothing left to do, a run ended with {:?} and says {new:?} events new and {repeats:?} repeated, and \
             {} requests came: {}",
            again.code,
            after - before,
            again.err
        ));
    }
    let verified = command.verify()?;
    if verified.code != Some(0) {
        report.faults.push(format!("journal verify ended with {:?}: {}{}", verified.code, verified.out, verified.err));
    }
    Ok(())
}

/// When the next kill comes.
enum Moment {
    After(Duration),
    Requests(u64),
}

fn moment(chance: &Chance, book: &Book, left: u32) -> Moment {
    if chance.below(TIMED) == 0 {
        return Moment::After(TIMED_WITHIN.mul_f64(chance.below(1000) as f64 / 1000.0));
    }
    // The last ones must find something left to do.
    let remaining = book.events() - book.arrived();
    let share = remaining / u64::from(left + 1);
    Moment::Requests(chance.below(2 * share + 1).min(remaining * 3 / 4))
}

impl Moment {
    /// Whether it has come for a run that has run so long and sent so many requests.
    fn has_come(&self, running: Duration, requests: u64) -> bool {
        match self {
            Self::After(time) => running >= *time,
            // At least one, or the run has only begun.
            Self::Requests(count) => requests > *count,
        }
    }
}

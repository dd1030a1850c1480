//! `postrider deliver`: events from a file to endpoints from a file, until every delivery has ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use postrider_core::event::Event;
use postrider_core::id::{EventId, TenantId};
use postrider_core::limits::Limits;
use postrider_core::sender::{EventReport, Fate, Notice, Told};
use postrider_driver::PublishError;

use crate::driver::{self, Driver, Kind};
use crate::dry_run;
use crate::endpoints::{self, Entry};
use crate::events::Lines;
use crate::exit::{Exit, Fault, Refusal, complain};
use crate::summary::Summary;
use crate::target::Allowed;
use crate::tracker::{self, Tracker};

/// Deliver events, one JSON object a line, to endpoints; exit 0 all delivered, 1 some not (listed), 2 bad input
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The endpoints: a list of TOML tables named endpoint, with id, url, secret or secrets, events; optionally
    /// headers, schedule, timeout, concurrency, tenant, encoding
    #[arg(long, value_name = "FILE.toml")]
    endpoints: PathBuf,
    /// The events: type, and optionally id, timestamp, data, tenant, key; or CloudEvents; - is stdin
    #[arg(value_name = "EVENTS.ndjson", default_value = "-")]
    events: PathBuf,
    #[command(flatten)]
    allowed: Allowed,
    /// What carries the attempts
    #[arg(long, value_enum, default_value_t)]
    driver: Kind,
    /// Attempts in flight at once, over all endpoints [default: 1024 with tokio, 64 with blocking]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    concurrency: Option<u32>,
    /// Send nothing; say who would get what, and why not
    #[arg(long)]
    dry_run: bool,
    /// Print a summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Events that have not ended, at most; more are not read before some have.
const WINDOW: usize = 10_000;

/// Deliveries that failed and events that nobody wants, listed one by one at most.
const LISTED: u64 = 1000;

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let policy = args.allowed.policy()?;
    let entries = endpoints::read(&args.endpoints, &policy)?;
    let lines = open(&args.events)?;
    if args.dry_run {
        return dry_run::run(&entries, policy, lines, args.json);
    }
    let mut limits = Limits::default();
    limits.events = WINDOW;
    // Ended events stay readable at least until they have been looked at.
    limits.reports = 2 * WINDOW;
    let driver = driver::open(args.driver, policy, limits, args.concurrency).map_err(Refusal::new)?;
    for entry in &entries {
        driver.put(entry.endpoint.clone()).map_err(Refusal::new)?;
    }
    let mut run = Run::new(&*driver, &lines, &entries)?;
    run.publish_all(lines)?;
    run.wait_for_all();
    run.notes.progress.finish_and_clear();
    let mut summary = run.notes.summary;
    summary.finish(|key| driver.tally(key));
    driver.close(Duration::from_secs(5));
    summary.print(args.json)?;
    Ok(if summary.is_clean() { Exit::Done } else { Exit::Failed })
}

fn open(path: &Path) -> Result<Lines<Box<dyn BufRead>>, Refusal> {
    if path == Path::new("-") {
        return Ok(Lines::new("stdin", Box::new(BufReader::new(io::stdin()))));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|why| Refusal::new(format!("{name}: {why}")))?;
    Ok(Lines::new(name, Box::new(BufReader::new(file))))
}

/// A delivery run: what is under way, and what has come of it.
struct Run<'a> {
    driver: &'a dyn Driver,
    /// Each event with its line.
    tracker: Tracker<'a, u64>,
    notes: Notes,
}

impl<'a> Run<'a> {
    fn new(driver: &'a dyn Driver, lines: &Lines<impl BufRead>, entries: &[Entry]) -> Result<Self, Refusal> {
        let progress = ProgressBar::new(0);
        let style = "{elapsed_precise} [{bar:40}] {human_pos} of {human_len} deliveries ended, {msg}";
        progress.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
        let summary = Summary::new(entries.iter().map(|entry| entry.key.clone()));
        let notes = Notes { file: lines.name().to_string(), listed: 0, summary, progress };
        Ok(Self { driver, tracker: Tracker::new(driver).map_err(Refusal::new)?, notes })
    }

    fn publish_all(&mut self, mut lines: Lines<impl BufRead>) -> Result<(), Refusal> {
        while let Some(next) = lines.next()? {
            match next {
                Ok((line, event)) => self.publish(line, event)?,
                Err(fault) => self.notes.bad_line(&fault),
            }
            self.hear(Duration::ZERO);
        }
        Ok(())
    }

    /// Publishes an event, as soon as there is room for it.
    fn publish(&mut self, line: u64, event: Event) -> Result<(), Refusal> {
        let tenant = event.tenant_id().clone();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            match self.driver.publish(event) {
                Ok(receipt) if receipt.is_fresh() => {
                    self.notes.accepted(line, receipt.event(), receipt.told());
                    self.tracker.add(tenant.clone(), receipt.event().clone(), line);
                }
                Ok(_) => self.notes.summary.repeats += 1,
                Err(why) if why.is_temporary() => {
                    self.hear(Duration::from_millis(20));
                    next = why.into_event();
                }
                Err(why @ PublishError::Refused(_)) => {
                    let place = Some((self.notes.file.clone(), line));
                    self.notes.bad_line(&Fault { place, key: None, what: why.to_string() });
                }
                Err(why) => return Err(Refusal::new(why)),
            }
        }
        Ok(())
    }

    fn wait_for_all(&mut self) {
        while self.tracker.len() > 0 {
            self.hear(Duration::from_millis(100));
        }
    }

    /// Takes note of what has happened; waits for something at most `timeout`.
    fn hear(&mut self, timeout: Duration) {
        let notes = &mut self.notes;
        self.tracker.hear(timeout, |told| notes.take(told));
        notes.show(self.tracker.len());
    }
}

/// What is counted, listed and shown.
struct Notes {
    file: String,
    listed: u64,
    summary: Summary,
    progress: ProgressBar,
}

impl Notes {
    fn accepted(&mut self, line: u64, event: &EventId, told: &Told) {
        self.summary.events += 1;
        match told {
            Told::Endpoints(reach) => self.progress.inc_length(reach.at_most as u64),
            Told::Nobody(_) => self.list(&format!("note: {}:{line}: {event}: {told}", self.file)),
            Told::AsBefore => {}
        }
    }

    fn take(&mut self, told: tracker::Told<u64>) {
        match told {
            tracker::Told::Ended { tenant, known: line, report: Some(report), .. } => {
                self.ended(line, &tenant, &report)
            }
            tracker::Told::Notice(Notice::Gone { endpoint }) => {
                self.say(&format!("note: {endpoint} answered 410: it gets nothing more"));
            }
            tracker::Told::Ended { .. } | tracker::Told::Notice(_) => {}
            tracker::Told::Stopped { event, known: line } => {
                self.summary.abandoned += 1;
                self.list(&format!("not delivered: {}:{line}: {event}: the sender has stopped", self.file));
            }
        }
    }

    fn ended(&mut self, line: u64, tenant: &TenantId, report: &EventReport) {
        self.summary.add(tenant, report);
        for delivery in &report.deliveries {
            match delivery.fate {
                Fate::Delivered | Fate::InFlight | Fate::Waiting { .. } => {}
                Fate::Exhausted | Fate::Refused | Fate::Discarded | Fate::Expired | Fate::Lost => {
                    self.list(&format!("not delivered: {}:{line}: {} to {delivery}", self.file, report.event));
                }
            }
        }
    }

    fn bad_line(&mut self, fault: &Fault) {
        self.summary.bad_lines += 1;
        self.say(&format!("error: {fault}"));
    }

    fn show(&self, waiting: usize) {
        let (events, tally) = (self.summary.events, &self.summary.tally);
        self.progress.set_position(tally.ended());
        self.progress.set_message(format!("{events} events, {waiting} under way, {} failed", tally.failed()));
    }

    /// Says something of which there may be very many.
    fn list(&mut self, text: &str) {
        self.listed += 1;
        match self.listed {
            ..=LISTED => self.say(text),
            n if n == LISTED + 1 => self.say("and more like these, which are only counted"),
            _ => {}
        }
    }

    fn say(&self, text: &str) {
        self.progress.suspend(|| complain!("{text}"));
    }
}

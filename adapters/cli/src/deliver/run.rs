//! A delivery run: what is under way, and what has come of it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use postrider_core::event::Event;
use postrider_core::id::{EventId, TenantId};
use postrider_core::sender::{EventReport, Fate, Notice, Refused, Told};
use postrider_driver::{PublishError, Receipt};
use serde_json::json;

use crate::driver::Driver;
use crate::endpoints::Entry;
use crate::events::Lines;
use crate::exit::{Fault, Refusal, complain};
use crate::summary::Summary;
use crate::tracker::{self, Tracker};

/// Events that have not ended, at most; more are not read before some have.
pub(super) const WINDOW: usize = 10_000;

/// Events published together, at most, so that they share a sync of the log.
pub(super) const BATCH: usize = 256;

/// Bytes of lines read before they are published, at most, and one line.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Deliveries that failed and events that nobody wants, listed one by one at most.
const LISTED: u64 = 1000;

/// A delivery run: what is under way, and what has come of it.
pub(super) struct Run<'a> {
    driver: &'a dyn Driver,
    /// Each event with where it comes from.
    tracker: Tracker<'a, Origin>,
    notes: Notes,
}

/// Where an event comes from.
#[derive(Clone, Copy)]
enum Origin {
    /// This line of the input.
    Line(u64),
    /// An earlier run.
    Before,
}

impl<'a> Run<'a> {
    /// A run that begins now. With `receipts`, each event is acknowledged on stdout, as JSON or for people.
    pub(super) fn new(
        driver: &'a dyn Driver,
        lines: &Lines<impl Read>,
        entries: &[Entry],
        receipts: Option<bool>,
    ) -> Result<Self, Refusal> {
        let progress = ProgressBar::new(0);
        let style = "{elapsed_precise} [{bar:40}] {human_pos} of {human_len} deliveries ended, {msg}";
        progress.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
        let summary = Summary::new(entries.iter().map(|entry| entry.key.clone()));
        let notes = Notes { file: lines.name().to_string(), listed: 0, receipts, summary, progress };
        Ok(Self { driver, tracker: Tracker::new(driver).map_err(Refusal::new)?, notes })
    }

    /// Takes over what an earlier run has left.
    pub(super) fn go_on(&mut self, pending: Vec<(TenantId, EventId)>) {
        let driver = self.driver;
        self.notes.summary.begin(|key| driver.tally(key), driver.stats());
        for (tenant, event) in pending {
            self.tracker.add(tenant, event, Origin::Before);
        }
    }

    /// Publishes the lines in their order, as soon as there is room for them.
    pub(super) fn publish_all(&mut self, mut lines: Lines<impl Read>) -> Result<(), Refusal> {
        let (mut batch, mut bytes) = (VecDeque::new(), 0);
        while let Some(next) = lines.next()? {
            match next {
                Ok((line, event)) => {
                    bytes += event.payload().body().len();
                    batch.push_back((line, event));
                }
                Err(fault) => self.notes.bad_line(&fault),
            }
            if batch.len() == BATCH || bytes > BATCH_BYTES || !lines.is_ready() {
                bytes = 0;
                self.publish(&mut batch)?;
            }
        }
        self.publish(&mut batch)
    }

    /// Publishes events, and waits until the fate of each is known.
    fn publish(&mut self, batch: &mut VecDeque<(u64, Event)>) -> Result<(), Refusal> {
        // Every event under way counts, so that the sender refuses none for being one too many, and order is kept.
        while self.tracker.len() + batch.len() > WINDOW.max(batch.len()) {
            self.hear(Duration::from_millis(20));
        }
        let batch = std::mem::take(batch);
        let places: Vec<_> = batch.iter().map(|(line, event)| (*line, event.tenant_id().clone())).collect();
        let published = self.driver.publish_all(batch.into_iter().map(|(_, event)| event).collect());
        for ((line, tenant), mut result) in places.into_iter().zip(published) {
            while let Some(again) = self.take(line, &tenant, result)? {
                self.hear(Duration::from_millis(20));
                result = self.driver.publish(again);
            }
        }
        self.hear(Duration::ZERO);
        Ok(())
    }

    /// Takes note of what became of a line's event; gives it back where it is to be published again.
    fn take(
        &mut self,
        line: u64,
        tenant: &TenantId,
        result: Result<Receipt, PublishError>,
    ) -> Result<Option<Event>, Refusal> {
        match result {
            Ok(receipt) => {
                self.notes.receipt(line, &receipt)?;
                if receipt.is_fresh() {
                    self.notes.accepted(line, receipt.event(), receipt.told());
                    self.tracker.add(tenant.clone(), receipt.event().clone(), Origin::Line(line));
                } else {
                    self.notes.summary.repeats += 1;
                    if self.tracker.has(tenant, receipt.event()) {
                        self.tracker.add(tenant.clone(), receipt.event().clone(), Origin::Line(line));
                    }
                }
            }
            Err(why) if why.is_temporary() => return Ok(why.into_event()),
            Err(why @ PublishError::Refused(Refused::Closed(_) | Refused::Fenced(_))) => return Err(Refusal::new(why)),
            Err(why @ PublishError::Refused(_)) => {
                let place = Some((self.notes.file.clone(), line));
                self.notes.bad_line(&Fault { place, key: None, what: why.to_string() });
            }
            Err(why) => return Err(Refusal::new(why)),
        }
        Ok(None)
    }

    /// Waits until every event has ended, and gives what has been counted.
    pub(super) fn finish(mut self) -> Summary {
        while self.tracker.len() > 0 {
            self.hear(Duration::from_millis(100));
        }
        self.notes.progress.finish_and_clear();
        self.notes.summary
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
    /// Whether receipts are printed, and if so whether as JSON.
    receipts: Option<bool>,
    summary: Summary,
    progress: ProgressBar,
}

impl Notes {
    /// Acknowledges an event, where that was asked for.
    fn receipt(&self, line: u64, receipt: &Receipt) -> io::Result<()> {
        let Some(as_json) = self.receipts else { return Ok(()) };
        let mut out = io::stdout().lock();
        match (as_json, receipt.is_fresh()) {
            (true, fresh) => {
                let (event, seq) = (receipt.event().as_str(), receipt.seq().get());
                let durability = receipt.durability().to_string();
                writeln!(
                    out,
                    "{}",
                    json!({ "line": line, "accepted": event, "seq": seq, "new": fresh, "kept": durability })
                )?;
            }
            (false, true) => writeln!(out, "{receipt}")?,
            (false, false) => writeln!(out, "{receipt}, as before")?,
        }
        out.flush()
    }

    fn accepted(&mut self, line: u64, event: &EventId, told: &Told) {
        self.summary.events += 1;
        match told {
            Told::Endpoints(reach) => self.progress.inc_length(reach.at_most as u64),
            Told::Nobody(_) | Told::Filtered(_) => self.list(&format!("note: {}:{line}: {event}: {told}", self.file)),
            Told::AsBefore => {}
        }
    }

    fn take(&mut self, told: tracker::Told<Origin>) {
        match told {
            tracker::Told::Ended { tenant, known, report, .. } => {
                self.summary.left_over += u64::from(matches!(known, Origin::Before));
                if let Some(report) = report {
                    self.ended(known, &tenant, &report);
                }
            }
            tracker::Told::Stopped { event, known } => {
                self.summary.abandoned += 1;
                let place = self.place(known);
                self.list(&format!("not delivered: {place}: {event}: the sender has stopped"));
            }
            tracker::Told::Notice(
                notice @ (Notice::Endpoint { .. }
                | Notice::JournalBroken { .. }
                | Notice::JournalFull
                | Notice::Fenced
                | Notice::LoadFailed { .. }
                | Notice::LaneBlocked { .. }
                | Notice::WindowShrunk { .. }),
            ) => self.say(&format!("note: {notice}")),
            tracker::Told::Notice(_) => {}
        }
    }

    fn ended(&mut self, from: Origin, tenant: &TenantId, report: &EventReport) {
        self.summary.add(tenant, report);
        for delivery in &report.deliveries {
            match delivery.fate {
                // What was superseded is as the endpoint wants it.
                Fate::Delivered | Fate::Superseded | Fate::InFlight | Fate::Waiting { .. } => {}
                Fate::Exhausted | Fate::Refused | Fate::Discarded | Fate::Expired | Fate::Lost => {
                    let place = self.place(from);
                    self.list(&format!("not delivered: {place}: {} to {delivery}", report.event));
                }
            }
        }
    }

    /// Where an event comes from, for a person.
    fn place(&self, from: Origin) -> String {
        match from {
            Origin::Line(line) => format!("{}:{line}", self.file),
            Origin::Before => "from before".into(),
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

//! What has come of a delivery run, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use postrider_core::id::{EndpointKey, TenantId};
use postrider_core::sender::{EventReport, Stats, Tally};
use serde_json::{Value, json};

/// Counts of a run.
pub(crate) struct Summary {
    /// Events accepted.
    pub(crate) events: u64,
    /// Lines that repeat an event, and change nothing.
    pub(crate) repeats: u64,
    /// Lines that are no event, or were refused.
    pub(crate) bad_lines: u64,
    /// Events of an earlier run that ended in this one.
    pub(crate) left_over: u64,
    /// Events that have not ended, because the sender stopped.
    pub(crate) abandoned: u64,
    /// Whether what has not ended is kept, so that another run goes on with it.
    pub(crate) durable: bool,
    /// How deliveries ended.
    pub(crate) tally: Tally,
    endpoints: BTreeMap<EndpointKey, (Tally, Duration)>,
    /// What had been counted when the run began: of each endpoint, and in all.
    before: (BTreeMap<EndpointKey, Tally>, Tally),
    started: Instant,
    elapsed: Duration,
}

impl Summary {
    /// Counts for these endpoints, from now on.
    pub(crate) fn new(endpoints: impl IntoIterator<Item = EndpointKey>) -> Self {
        Self {
            events: 0,
            repeats: 0,
            bad_lines: 0,
            left_over: 0,
            abandoned: 0,
            durable: false,
            tally: Tally::default(),
            before: Default::default(),
            endpoints: endpoints.into_iter().map(|key| (key, (Tally::default(), Duration::ZERO))).collect(),
            started: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }

    /// Counts an event that has ended.
    pub(crate) fn add(&mut self, tenant: &TenantId, report: &EventReport) {
        let (sum, ended) = (&mut self.tally, &report.tally);
        sum.delivered += ended.delivered;
        sum.exhausted += ended.exhausted;
        sum.refused += ended.refused;
        sum.discarded += ended.discarded;
        sum.expired += ended.expired;
        sum.lost += ended.lost;
        sum.superseded += ended.superseded;
        sum.attempts += ended.attempts;
        self.elapsed = self.started.elapsed();
        for delivery in &report.deliveries {
            let key = EndpointKey { tenant: tenant.clone(), id: delivery.endpoint.clone() };
            if let Some((_, last)) = self.endpoints.get_mut(&key) {
                *last = self.elapsed;
            }
        }
    }

    /// Begins the counting of a run that goes on with what a journal has; arguments as for [`finish`](Self::finish).
    pub(crate) fn begin(&mut self, of: impl Fn(&EndpointKey) -> Option<Tally>, stats: Option<Stats>) {
        self.durable = true;
        let known = self.endpoints.keys().filter_map(|key| Some((key.clone(), of(key)?)));
        self.before = (known.collect(), stats.map(tally_of).unwrap_or_default());
    }

    /// Ends the counting; `of` knows how the deliveries to each endpoint ended, `stats` how all did.
    pub(crate) fn finish(&mut self, of: impl Fn(&EndpointKey) -> Option<Tally>, stats: Option<Stats>) {
        self.elapsed = self.started.elapsed();
        if let (true, Some(stats)) = (self.durable, stats) {
            // Some may have ended before anybody looked.
            self.tally = since(&tally_of(stats), &self.before.1);
        }
        for (key, (tally, _)) in &mut self.endpoints {
            let before = self.before.0.get(key).copied().unwrap_or_default();
            *tally = since(&of(key).unwrap_or_default(), &before);
        }
    }

    /// Whether everything was delivered.
    pub(crate) fn is_clean(&self) -> bool {
        self.tally.failed() == 0 && self.bad_lines == 0 && self.abandoned == 0
    }

    /// Prints it: as one JSON object, or for people.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            writeln!(out, "{}", self.json())?;
            return out.flush();
        }
        let deliveries = self.tally.ended();
        writeln!(
            out,
            "{}, {} in {:.1?}: {}",
            counted(self.events, "event", "events"),
            counted(deliveries, "delivery", "deliveries"),
            self.elapsed,
            words(&self.tally)
        )?;
        if self.repeats > 0 {
            writeln!(
                out,
                "{}, changing nothing",
                counted(self.repeats, "line repeats an event", "lines repeat an event")
            )?;
        }
        if self.left_over > 0 {
            let text =
                counted(self.left_over, "event was left from before and has", "events were left from before and have");
            writeln!(out, "{text} ended")?;
        }
        if self.abandoned > 0 {
            let text = counted(self.abandoned, "event has not ended", "events have not ended");
            let how = if self.durable { "; run it again to go on" } else { "" };
            writeln!(out, "{text}{how}")?;
        }
        if self.bad_lines > 0 {
            writeln!(out, "{} not published, see above", counted(self.bad_lines, "line was", "lines were"))?;
        }
        for (key, (tally, _)) in &self.endpoints {
            writeln!(out, "  {key}: {}", words(tally))?;
        }
        out.flush()
    }

    fn json(&self) -> Value {
        let mut object = counts(self.events, &self.tally, self.elapsed);
        object["repeats"] = self.repeats.into();
        object["bad_lines"] = self.bad_lines.into();
        object["pending"] = self.abandoned.into();
        if self.durable {
            object["left_over"] = self.left_over.into();
        }
        let endpoints = self.endpoints.iter();
        let endpoints = endpoints.map(|(key, (tally, last))| (key.to_string(), counts(tally.ended(), tally, *last)));
        object["endpoints"] = Value::Object(endpoints.collect());
        object
    }
}

/// All counts of a sender.
fn tally_of(stats: Stats) -> Tally {
    let mut tally = stats.tally;
    tally.attempts = stats.attempts;
    tally
}

/// What has been counted since.
fn since(now: &Tally, before: &Tally) -> Tally {
    let mut tally = *now;
    tally.delivered -= before.delivered.min(now.delivered);
    tally.exhausted -= before.exhausted.min(now.exhausted);
    tally.refused -= before.refused.min(now.refused);
    tally.discarded -= before.discarded.min(now.discarded);
    tally.expired -= before.expired.min(now.expired);
    tally.lost -= before.lost.min(now.lost);
    tally.superseded -= before.superseded.min(now.superseded);
    tally.attempts -= before.attempts.min(now.attempts);
    tally
}

fn counts(events: u64, tally: &Tally, elapsed: Duration) -> Value {
    json!({
        "events": events,
        "deliveries": tally.ended(),
        "delivered": tally.delivered,
        "exhausted": tally.exhausted,
        "refused": tally.refused,
        "discarded": tally.discarded,
        "attempts": tally.attempts,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

/// A number with the word for one or for many.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn words(tally: &Tally) -> String {
    let mut text = format!("{} delivered", tally.delivered);
    let others = [
        (tally.exhausted, "exhausted"),
        (tally.refused, "refused"),
        (tally.discarded, "discarded"),
        (tally.expired, "expired"),
        (tally.lost, "lost"),
        (tally.superseded, "superseded"),
    ];
    for (count, word) in others.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {word}"));
    }
    text.push_str(&format!("; {}", counted(tally.attempts, "attempt", "attempts")));
    text
}

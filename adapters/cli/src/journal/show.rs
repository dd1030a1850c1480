//! `postrider journal show`: one event, every attempt, and what comes next.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{Accepted, EndpointRecord, OutcomeRecord, Record};
use postrider_core::limits::DISABLED_HOLD;
use postrider_core::retry::{Plan, Schedule};
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

use super::erased::Erased;
use super::read::{self, Journal, Much};
use super::state::{Event, Waiting};
use super::words;
use crate::exit::{Exit, Refusal};

/// Show one event: every attempt with its verdict, and what comes next
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The event
    #[arg(value_name = "ID")]
    id: String,
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Whose event it is; without it, whoever's
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The payload too
    #[arg(long)]
    payload: bool,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// What the log says of an event, as far as it is kept.
struct Story {
    accepted: Accepted,
    payload_len: u32,
    /// The payload is there.
    has_payload: bool,
    outcomes: Vec<(JournalSeq, OutcomeRecord)>,
    cancelled: Option<UnixTime>,
    ended: Option<UnixTime>,
}

/// Events of an id; there is more than one if several tenants use it, or if it was used again after it was forgotten.
#[derive(Default)]
struct Found {
    stories: BTreeMap<JournalSeq, Story>,
    erased: Erased,
    /// Only remembered: when it was accepted.
    remembered: BTreeMap<JournalSeq, UnixTime>,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let id = EventId::new(&args.id).map_err(|why| Refusal::new(format!("the event's id {why}")))?;
    let tenant = args.tenant.as_ref().map(TenantId::new).transpose();
    let tenant = tenant.map_err(|why| Refusal::new(format!("--tenant: {why}")))?;
    let wanted = |event: &Accepted| event.id == id && tenant.as_ref().is_none_or(|tenant| *tenant == event.tenant);
    let mut journal = read::read(&args.path, Much::All, |found: &mut Found, _, entry, record| {
        found.take(entry.key.seq, record, &id, wanted);
    })?;
    let found = std::mem::take(&mut journal.own);
    let now = words::now();
    let mut out = io::stdout().lock();
    if found.stories.is_empty() {
        let before = found.remembered.values().next_back();
        if args.json {
            writeln!(
                out,
                "{}",
                json!({ "event": id.as_str(), "known": false, "accepted": before.map(|at| at.to_rfc3339()) })
            )?;
        } else if let Some(at) = before {
            writeln!(out, "{id} was accepted at {at}; it has ended, and no more is kept of it")?;
        } else {
            writeln!(out, "{id} is not known in this journal")?;
        }
        return Ok(Exit::Failed);
    }
    for (seq, story) in &found.stories {
        let erased = found.erased.has(*seq, &story.accepted);
        let view = View { seq: *seq, story, erased, journal: &journal, now, payload: args.payload };
        if args.json { writeln!(out, "{}", view.to_json())? } else { view.show(&mut out)? }
    }
    out.flush()?;
    Ok(Exit::Done)
}

impl Found {
    fn take(&mut self, seq: JournalSeq, record: &Record, id: &EventId, wanted: impl Fn(&Accepted) -> bool) {
        self.erased.take(seq, record);
        let mut begin = |seq: JournalSeq, accepted: &Accepted, payload_len: u32, has_payload: bool| {
            let story = self.stories.entry(seq).or_insert_with(|| Story {
                accepted: accepted.clone(),
                payload_len,
                has_payload,
                outcomes: Vec::new(),
                cancelled: None,
                ended: None,
            });
            // The log may have more than the snapshot, which comes first.
            (story.accepted, story.has_payload) = (accepted.clone(), has_payload);
        };
        match record {
            Record::Accepted(accepted) if wanted(accepted) => {
                let len = u32::try_from(accepted.payload.len()).unwrap_or(u32::MAX);
                begin(seq, accepted, len, true);
            }
            Record::Kept(kept) if wanted(&kept.accepted) => begin(seq, &kept.accepted, kept.payload_len, false),
            Record::Event(event) if wanted(&event.accepted) => {
                begin(event.mark.event, &event.accepted, event.payload_len, false);
            }
            Record::Remembered(known) if known.id == *id => _ = self.remembered.insert(known.event, known.at),
            Record::Outcome(outcome) => {
                if let Some(story) = self.stories.get_mut(&outcome.event) {
                    story.outcomes.push((seq, outcome.clone()));
                }
            }
            Record::Ended { event, at } => {
                if let Some(story) = self.stories.get_mut(event) {
                    story.ended = Some(*at);
                }
            }
            Record::Cancelled { event, at } => {
                if let Some(story) = self.stories.get_mut(event) {
                    story.cancelled = Some(*at);
                }
            }
            _ => {}
        }
    }
}

/// An event with what is around it.
struct View<'v> {
    seq: JournalSeq,
    story: &'v Story,
    erased: bool,
    journal: &'v Journal<Found>,
    now: UnixTime,
    payload: bool,
}

/// What comes next for a delivery.
struct Next {
    endpoint: EndpointKey,
    /// Attempts that have failed, and those that its schedule has.
    attempts: (u16, u16),
    /// When the next attempt is due; `None` when there will be none by itself.
    due: Option<UnixTime>,
    what: String,
    change: String,
}

impl View<'_> {
    fn endpoint(&self, outcome: &OutcomeRecord) -> String {
        let owner = self.journal.state.owners.get(&outcome.subscription);
        owner.map_or_else(|| format!("subscription {}", outcome.subscription), ToString::to_string)
    }

    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let Story { accepted, outcomes, cancelled, ended, .. } = self.story;
        writeln!(out, "{} {}, tenant {}, record {}", accepted.id, accepted.event_type, accepted.tenant, self.seq)?;
        writeln!(out, "accepted {}, {}", accepted.at, self.payload_words())?;
        if let Some(at) = cancelled {
            writeln!(out, "cancelled {at}")?;
        }
        match ended {
            Some(at) => writeln!(out, "ended {at}")?,
            None => writeln!(out, "not ended")?,
        }
        if self.payload && self.has_payload() {
            writeln!(out, "{}", String::from_utf8_lossy(&accepted.payload))?;
        }
        let attempts = outcomes.iter();
        for (_, outcome) in attempts {
            self.attempt(outcome, out)?;
        }
        for next in self.next() {
            writeln!(out, "next: {}: {}; {}", next.endpoint, next.what, next.change)?;
        }
        Ok(())
    }

    fn attempt(&self, outcome: &OutcomeRecord, out: &mut impl Write) -> io::Result<()> {
        let (at, then) = (outcome.at, words::then(outcome.then));
        let endpoint = self.endpoint(outcome);
        match words::reason(outcome) {
            None => writeln!(out, "{at} {endpoint}: {then}, without an attempt")?,
            Some(reason) => {
                let (number, took) = (outcome.attempts, words::span(outcome.elapsed));
                let keys: Vec<_> = outcome.signed.iter().map(ToString::to_string).collect();
                let keys = if keys.is_empty() { String::new() } else { format!("; signed with {}", keys.join(", ")) };
                writeln!(out, "{at} {endpoint}: attempt {number}, {took}: {then}, {reason}{keys}")?;
            }
        }
        if let Some(answer) = outcome.answer.as_ref().filter(|_| !self.erased) {
            let text = String::from_utf8_lossy(answer);
            writeln!(out, "  it answered: {}", text.escape_debug())?;
        }
        Ok(())
    }

    fn has_payload(&self) -> bool {
        self.story.has_payload && !self.erased
    }

    fn payload_words(&self) -> String {
        let len = words::bytes(self.story.payload_len.into());
        match (self.erased, self.story.has_payload) {
            (true, _) => format!("{len}, which have been erased"),
            (false, true) => len,
            (false, false) => format!("{len}, which are not kept any more"),
        }
    }

    /// What comes next for each delivery that has not ended.
    fn next(&self) -> Vec<Next> {
        let Some(event) = self.journal.state.events.get(&self.seq) else { return Vec::new() };
        let endpoints = self.journal.state.endpoints.values().filter(|endpoint| endpoint.key.tenant == event.tenant);
        endpoints.filter_map(|endpoint| Some(self.next_of(event, endpoint, event.owed(endpoint)?))).collect()
    }

    fn next_of(&self, event: &Event, endpoint: &EndpointRecord, owed: Option<Waiting>) -> Next {
        let failed = owed.map_or(0, |waiting| waiting.attempts);
        let all = u16::try_from(endpoint.schedule.len()).unwrap_or(u16::MAX);
        let due = owed.map_or(UnixTime::EPOCH, |waiting| waiting.at());
        let key = endpoint.key.clone();
        let next = |due, what: String, change: String| Next {
            endpoint: key.clone(),
            attempts: (failed, all),
            due,
            what,
            change,
        };
        if event.cancelled {
            return next(None, "discarded as soon as a sender runs, because it was cancelled".into(), "nothing".into());
        }
        let held = words::state(endpoint);
        let since = endpoint.state.since;
        match endpoint.state.code {
            1 => return next(None, format!("held, the endpoint is {held}"), "resuming the endpoint lets it go".into()),
            2 => {
                let until = since.saturating_add(DISABLED_HOLD);
                let what = format!("held, the endpoint is {held}; discarded at {until}");
                return next(None, what, "resuming the endpoint before lets it go".into());
            }
            3 => {
                let what = format!("discarded as soon as a sender runs, the endpoint is {held}");
                return next(None, what, "resuming the endpoint before lets it go".into());
            }
            _ => {}
        }
        let number = failed + 1;
        let when = match (owed, due > self.now) {
            (None, _) => "as soon as its turn comes".to_owned(),
            (Some(_), true) => format!("at {due}, {}", words::distance(due, self.now)),
            (Some(_), false) => "as soon as the endpoint takes it".to_owned(),
        };
        let after = match self.delay(event, endpoint, number) {
            Some(delay) => format!("if it fails, the next one {} later", words::span(delay)),
            None => "if it fails, the delivery is exhausted".to_owned(),
        };
        let change = "a status of 2xx ends it, 410 ends all to this endpoint; pausing holds it, cancelling ends it";
        next(Some(due.max(self.now)), format!("attempt {number} of {all} {when}; {after}"), change.into())
    }

    /// The delay after attempt number `failed`, with its jitter.
    fn delay(&self, event: &Event, endpoint: &EndpointRecord, failed: u16) -> Option<Duration> {
        let schedule = Schedule::new(endpoint.schedule.iter().copied()).ok()?;
        let seed = self.journal.state.seed.as_ref()?;
        Plan::new(&schedule, seed, event.id.as_str(), &endpoint.key).delay(failed)
    }

    fn to_json(&self) -> Value {
        let Story { accepted, outcomes, cancelled, ended, payload_len, .. } = self.story;
        let attempts = outcomes.iter().map(|(seq, outcome)| {
            let answer = outcome.answer.as_ref().filter(|_| !self.erased);
            json!({
                "seq": seq.get(),
                "endpoint": self.endpoint(outcome),
                "attempt": outcome.attempts,
                "at": outcome.at.to_rfc3339(),
                "elapsed_ms": words::millis(outcome.elapsed),
                "status": (outcome.status != 0).then_some(outcome.status),
                "failure": words::failure(outcome).map(|failure| failure.code()),
                "then": words::then(outcome.then),
                "reason": words::reason(outcome),
                "keys": outcome.signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "answer": answer.map(|answer| String::from_utf8_lossy(answer).into_owned()),
            })
        });
        let next = self.next().into_iter().map(|next| {
            json!({
                "endpoint": next.endpoint.to_string(),
                "failed": next.attempts.0,
                "attempts": next.attempts.1,
                "due": next.due.map(UnixTime::to_rfc3339),
                "what": next.what,
                "change": next.change,
            })
        });
        let payload = (self.payload && self.has_payload()).then(|| String::from_utf8_lossy(&accepted.payload));
        json!({
            "event": accepted.id.as_str(),
            "known": true,
            "tenant": accepted.tenant.as_str(),
            "type": accepted.event_type,
            "seq": self.seq.get(),
            "time": accepted.time.to_rfc3339(),
            "accepted": accepted.at.to_rfc3339(),
            "cancelled": cancelled.map(UnixTime::to_rfc3339),
            "ended": ended.map(UnixTime::to_rfc3339),
            "payload_bytes": payload_len,
            "payload_kept": self.has_payload(),
            "payload": payload,
            "attempts": attempts.collect::<Vec<_>>(),
            "next": next.collect::<Vec<_>>(),
        })
    }
}

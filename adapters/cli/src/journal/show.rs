//! `postrider journal show`: one event, every attempt, and what comes next.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use postrider::journal::StdDisk;
use postrider::journal::history::{Answer, AttemptHistory, EventHistory, HistoryError, Query};
use postrider::journal::store::Look;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{EndpointRecord, Record};
use postrider_core::limits::DISABLED_HOLD;
use postrider_core::registration::State;
use postrider_core::registration::lifecycle::Cause;
use postrider_core::retry::{Plan, Schedule};
use postrider_core::sender::Because;
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

use super::read::{self, Journal, Much};
use super::state::{Event, Waiting};
use super::{asking, words};
use crate::exit::{Exit, Refusal};

/// Show one event: every attempt with its verdict, and what comes next
///
/// Of each tenant the newest event of this id that is kept. By the indexes of the journal's segments: it costs a search
/// in each of them, and reading the newest snapshot with the log behind it for what comes next. Segments without an
/// index, as the newest have none yet, are read whole.
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

/// What the newest snapshot and the log behind it say besides.
#[derive(Default)]
struct Beside {
    /// Events that were cancelled, and when.
    cancelled: BTreeMap<JournalSeq, UnixTime>,
    /// Events of the id that are only remembered: when they were accepted.
    remembered: BTreeMap<JournalSeq, UnixTime>,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let id = EventId::new(&args.id).map_err(|why| Refusal::new(format!("the event's id {why}")))?;
    let tenant = args.tenant.as_ref().map(TenantId::new).transpose();
    let tenant = tenant.map_err(|why| Refusal::new(format!("--tenant: {why}")))?;
    let journal = read::read(&args.path, Much::State, |beside: &mut Beside, _, _, record| match record {
        Record::Remembered(known) if known.id == id => _ = beside.remembered.insert(known.event, known.at),
        Record::Cancelled { event, at } => _ = beside.cancelled.insert(*event, *at),
        _ => {}
    })?;
    let found = asking::ask(&args.path, |look| of_id(look, tenant.as_ref(), &id))?;
    let now = words::now();
    let mut out = io::stdout().lock();
    if found.is_empty() {
        let before = journal.own.remembered.values().next_back();
        if args.json {
            let accepted = before.map(|at| at.to_rfc3339());
            writeln!(out, "{}", json!({ "event": id.as_str(), "known": false, "accepted": accepted }))?;
        } else if let Some(at) = before {
            writeln!(out, "{id} was accepted at {at}; it has ended, and no more is kept of it")?;
        } else {
            writeln!(out, "{id} is not known in this journal")?;
        }
        return Ok(Exit::Failed);
    }
    for story in &found {
        let view = View { story, journal: &journal, now, payload: args.payload };
        if args.json { writeln!(out, "{}", view.to_json())? } else { view.show(&mut out)? }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// The newest events of an id, of one tenant or of each, in the order of their places.
fn of_id(look: &mut Look<StdDisk>, tenant: Option<&TenantId>, id: &EventId) -> Result<Vec<EventHistory>, HistoryError> {
    asking::warn(look);
    let tenants = match tenant {
        Some(tenant) => [tenant.clone()].into(),
        None => look.tenants()?,
    };
    let mut found = Vec::new();
    for tenant in tenants {
        if let Answer::Event(event) = asking::one(look, &Query::Event { tenant, event: id.clone() })? {
            found.extend(event.map(|event| *event));
        }
    }
    found.sort_by_key(|event| event.seq);
    Ok(found)
}

/// An event with what is around it.
struct View<'v> {
    story: &'v EventHistory,
    journal: &'v Journal<Beside>,
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
    change: &'static str,
}

impl View<'_> {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let EventHistory { seq, tenant, event, event_type, accepted, ended, attempts, .. } = self.story;
        writeln!(out, "{event} {event_type}, tenant {tenant}, record {seq}")?;
        writeln!(out, "accepted {accepted}, {}", self.payload_words())?;
        if let Some(of) = &self.story.replay_of {
            writeln!(out, "sends {of} again")?;
        }
        if let Some(at) = self.journal.own.cancelled.get(seq) {
            writeln!(out, "cancelled {at}")?;
        }
        match ended {
            Some(at) => writeln!(out, "ended {at}")?,
            None => writeln!(out, "not ended")?,
        }
        if let Some(payload) = self.story.payload.as_ref().filter(|_| self.payload) {
            writeln!(out, "{}", String::from_utf8_lossy(payload))?;
        }
        for made in attempts {
            writeln!(out, "{made}")?;
        }
        if self.story.more > 0 {
            writeln!(out, "and {} newer; {} in all", self.story.more, self.story.total())?;
        }
        for next in self.next() {
            writeln!(out, "next: {}: {}; {}", next.endpoint, next.what, next.change)?;
        }
        Ok(())
    }

    fn payload_words(&self) -> String {
        let len = words::bytes(self.story.payload_len.into());
        match (self.story.erased, self.story.payload.is_some()) {
            (true, _) => format!("{len}, which have been erased"),
            (false, true) => len,
            (false, false) => format!("{len}, which are not kept any more"),
        }
    }

    /// What comes next for each delivery that has not ended.
    fn next(&self) -> Vec<Next> {
        let Some(event) = self.journal.state.events.get(&self.story.seq) else { return Vec::new() };
        let endpoints = self.journal.state.endpoints.values().filter(|endpoint| endpoint.key.tenant == event.tenant);
        endpoints.filter_map(|endpoint| Some(self.next_of(event, endpoint, event.owed(endpoint)?))).collect()
    }

    fn next_of(&self, event: &Event, endpoint: &EndpointRecord, owed: Option<Waiting>) -> Next {
        let failed = owed.map_or(0, |waiting| waiting.attempts);
        let all = u16::try_from(endpoint.schedule.len()).unwrap_or(u16::MAX);
        let due = owed.map_or(UnixTime::EPOCH, |waiting| waiting.at());
        let key = endpoint.key.clone();
        let next = |due, what: String, change: &'static str| Next {
            endpoint: key.clone(),
            attempts: (failed, all),
            due,
            what,
            change,
        };
        if event.cancelled {
            let change = Because::Cancelled.change();
            return next(None, "discarded as soon as a sender runs, because it was cancelled".into(), change);
        }
        let held = words::state(endpoint);
        let since = endpoint.state.since;
        let stopped = match endpoint.state.code {
            1 => Some((State::Paused { since }, format!("held, the endpoint is {held}"))),
            2 => {
                let until = since.saturating_add(DISABLED_HOLD);
                let what = format!("held, the endpoint is {held}; discarded at {until}");
                Some((State::Disabled { since, cause: Cause::Command }, what))
            }
            4 => Some((State::Unverified { since }, format!("held, the endpoint is {held}"))),
            3 => {
                let what = format!("discarded as soon as a sender runs, the endpoint is {held}");
                Some((State::Gone { since }, what))
            }
            _ => None,
        };
        if let Some((state, what)) = stopped {
            return next(None, what, Because::State { state, reason: None }.change());
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
        let change = Because::Schedule { failed }.change();
        next(Some(due.max(self.now)), format!("attempt {number} of {all} {when}; {after}"), change)
    }

    /// The delay after attempt number `failed`, with its jitter.
    fn delay(&self, event: &Event, endpoint: &EndpointRecord, failed: u16) -> Option<Duration> {
        let schedule = Schedule::new(endpoint.schedule.iter().copied()).ok()?;
        let seed = self.journal.state.seed.as_ref()?;
        Plan::new(&schedule, seed, event.id.as_str(), &endpoint.key).delay(failed)
    }

    fn to_json(&self) -> Value {
        let story = self.story;
        let attempts = story.attempts.iter().map(|made| {
            json!({
                "seq": made.seq.get(),
                "endpoint": endpoint(made),
                "attempt": made.number,
                "at": made.at.to_rfc3339(),
                "elapsed_ms": words::millis(made.elapsed),
                "status": made.status,
                "failure": made.failure.map(|failure| failure.code()),
                "then": words::then(made.then),
                "reason": words::reason(made.status, made.failure, made.at),
                "keys": made.signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "receipt": words::receipt(made.receipt),
                "answer": made.answer.as_ref().map(|answer| String::from_utf8_lossy(answer).into_owned()),
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
        let payload = story.payload.as_ref().filter(|_| self.payload).map(|bytes| String::from_utf8_lossy(bytes));
        json!({
            "event": story.event.as_str(),
            "known": true,
            "tenant": story.tenant.as_str(),
            "type": story.event_type,
            "seq": story.seq.get(),
            "time": story.time.to_rfc3339(),
            "accepted": story.accepted.to_rfc3339(),
            "cancelled": self.journal.own.cancelled.get(&story.seq).map(|at| at.to_rfc3339()),
            "ended": story.ended.map(UnixTime::to_rfc3339),
            "replay_of": story.replay_of.as_ref().map(|of| of.as_str()),
            "payload_bytes": story.payload_len,
            "payload_kept": story.payload.is_some(),
            "payload": payload,
            "attempts": attempts.collect::<Vec<_>>(),
            "attempts_total": story.total(),
            "next": next.collect::<Vec<_>>(),
        })
    }
}

fn endpoint(made: &AttemptHistory) -> String {
    made.endpoint.as_ref().map_or_else(|| "an endpoint that is not known any more".to_owned(), ToString::to_string)
}

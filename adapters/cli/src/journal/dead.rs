//! `postrider journal dead`: deliveries that were given up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::journal::{OutcomeRecord, Record, Then};
use serde_json::json;

use super::read::{self, Much};
use super::words;
use crate::exit::{Exit, Refusal};

/// List deliveries that were given up, the newest first
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// So many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Go on behind this record, as the page before says
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Dead {
    /// By the place of the outcome; only the newest are kept.
    given_up: BTreeMap<JournalSeq, OutcomeRecord>,
    more: bool,
}

/// The events of a page.
type Names = HashMap<JournalSeq, (TenantId, EventId)>;

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let tenant = args.tenant.as_ref().map(TenantId::new).transpose();
    let tenant = tenant.map_err(|why| Refusal::new(format!("--tenant: {why}")))?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let before = args.before.map_or(JournalSeq::new(u64::MAX), JournalSeq::new);
    let journal = read::read(&args.path, Much::All, |dead: &mut Dead, state, entry, record| {
        let Record::Outcome(outcome) = record else { return };
        let owner = state.owners.get(&outcome.subscription);
        let of_tenant = tenant.as_ref().is_none_or(|tenant| owner.is_some_and(|owner| owner.tenant == *tenant));
        if outcome.then == Then::Exhausted && of_tenant && entry.key.seq < before {
            dead.given_up.insert(entry.key.seq, outcome.clone());
            if dead.given_up.len() > limit {
                dead.more = dead.given_up.pop_first().is_some();
            }
        }
    })?;
    let names = names(args, &journal.own)?;
    let mut out = io::stdout().lock();
    for (seq, outcome) in journal.own.given_up.iter().rev() {
        let owner = journal.state.owners.get(&outcome.subscription);
        let endpoint = owner.map_or_else(|| format!("subscription {}", outcome.subscription), ToString::to_string);
        let event = names.get(&outcome.event);
        if args.json {
            let line = json!({
                "seq": seq.get(),
                "at": outcome.at.to_rfc3339(),
                "tenant": event.map(|(tenant, _)| tenant.as_str()),
                "event": event.map(|(_, id)| id.as_str()),
                "event_seq": outcome.event.get(),
                "endpoint": endpoint,
                "attempts": outcome.attempts,
                "status": (outcome.status != 0).then_some(outcome.status),
                "failure": words::failure(outcome).map(|failure| failure.code()),
                "reason": words::reason(outcome),
            });
            writeln!(out, "{line}")?;
        } else {
            let id = event.map_or_else(|| format!("event {}", outcome.event), |(_, id)| id.to_string());
            let why = words::reason(outcome).unwrap_or_else(|| "no attempt was left".into());
            let attempts = words::counted(outcome.attempts.into(), "attempt", "attempts");
            writeln!(out, "{seq} {} {id} to {endpoint}: {attempts}, the last: {why}", outcome.at)?;
        }
    }
    if let (true, Some((oldest, _)), false) = (journal.own.more, journal.own.given_up.first_key_value(), args.json) {
        writeln!(out, "and more: --before {oldest}")?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// The names of the events of a page, read again so that not every event's name is held.
fn names(args: &Args, dead: &Dead) -> Result<Names, Refusal> {
    let wanted: BTreeSet<_> = dead.given_up.values().map(|outcome| outcome.event).collect();
    let read = read::read(&args.path, Much::All, |found: &mut Names, _, entry, record| {
        let accepted = match record {
            Record::Accepted(accepted) => accepted,
            Record::Kept(kept) => &kept.accepted,
            _ => return,
        };
        if wanted.contains(&entry.key.seq) {
            found.insert(entry.key.seq, (accepted.tenant.clone(), accepted.id.clone()));
        }
    })?;
    Ok(read.own)
}

//! `postrider journal shadow`: what another filter, schedule or breaker would have done, without doing it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use postrider_core::id::{EndpointKey, TenantId};
use postrider_core::matching::filter::{Filter, Language};
use postrider_core::retry::{BreakerPolicy, Schedule};
use postrider_core::sender::shadow::{Differences, Proposal, Shadow};
use serde_json::json;

use super::read::{self, Much};
use crate::duration;
use crate::exit::{Exit, Refusal, complain};

/// Try another filter, schedule or breaker on what has happened, and say what would have been different
///
/// Nothing is changed. Events and attempts are those that the journal still holds; the whole log is read.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// The endpoint: its id, or TENANT/ID
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// A filter in place of the endpoint's; an empty text is none
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// The language of that filter
    #[arg(long, value_name = "LANGUAGE", default_value = "eventbridge", requires = "filter", value_parser = language)]
    filter_language: Language,
    /// Delays before the attempts in place of the endpoint's, such as 0s,5s,5m
    #[arg(long, value_name = "DELAYS", value_delimiter = ',', value_parser = duration::parse)]
    schedule: Vec<Duration>,
    /// A breaker that opens when so many percent of the attempts in five minutes failed
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    breaker: Option<u8>,
    /// Of at least so many attempts
    #[arg(long, value_name = "N", default_value_t = 10, requires = "breaker")]
    breaker_attempts: u16,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

fn language(text: &str) -> Result<Language, String> {
    Language::by_name(text).ok_or_else(|| "write eventbridge or cloudevents".to_owned())
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let key = match args.endpoint.split_once('/') {
        Some((tenant, id)) => TenantId::new(tenant).and_then(|tenant| Ok(EndpointKey::new(id)?.of(tenant))),
        None => EndpointKey::new(&args.endpoint),
    };
    let key = key.map_err(|why| Refusal::new(format!("ENDPOINT: {why}")))?;
    let proposal = proposal(args)?;
    let journal = read::read(&args.path, Much::All, |own: &mut Own, _, entry, record| {
        own.0.get_or_insert_with(|| Shadow::new(key.clone(), proposal.clone())).record(entry.key.seq, record);
    })?;
    journal.walked.damage.iter().for_each(|damage| complain!("warning: {damage}"));
    let known = journal.state.owners.values().any(|owner| *owner == key);
    if !known && !journal.state.endpoints.contains_key(&key) {
        return Err(Refusal::new(format!("{}: the journal has no endpoint {key}", args.path.display())));
    }
    let differences = journal.own.0.map(Shadow::differences).unwrap_or_default();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&differences))?;
    } else {
        write!(out, "{differences}")?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

#[derive(Default)]
struct Own(Option<Shadow>);

fn proposal(args: &Args) -> Result<Proposal, Refusal> {
    let mut proposal = Proposal::new();
    if let Some(text) = &args.filter {
        let filter = (!text.is_empty()).then(|| Filter::read(args.filter_language, text)).transpose();
        proposal = proposal.filter(filter.map_err(|why| Refusal::new(format!("--filter: it {why}")))?);
    }
    if !args.schedule.is_empty() {
        let schedule = Schedule::new(args.schedule.iter().copied());
        proposal = proposal.schedule(schedule.map_err(|why| Refusal::new(format!("--schedule: {why}")))?);
    }
    if let Some(percent) = args.breaker {
        let window = BreakerPolicy::DEFAULT.window();
        let policy = BreakerPolicy::DEFAULT.with_rule(args.breaker_attempts, percent, window);
        proposal = proposal.breaker(policy.map_err(|why| Refusal::new(format!("--breaker: {why}")))?);
    }
    if args.filter.is_none() && args.schedule.is_empty() && args.breaker.is_none() {
        return Err(Refusal::new("there is nothing to try; give --filter, --schedule or --breaker"));
    }
    Ok(proposal)
}

fn as_json(differences: &Differences) -> serde_json::Value {
    json!({
        "filter": differences.filter.as_ref().map(|filter| json!({
            "asked": filter.asked, "unknown": filter.unknown, "kept": filter.kept, "dropped": filter.dropped,
            "added": filter.added, "dropped_examples": filter.dropped_examples, "added_examples": filter.added_examples,
        })),
        "schedule": differences.schedule.as_ref().map(|schedule| json!({
            "deliveries": schedule.deliveries, "attempts": schedule.attempts, "new_attempts": schedule.new_attempts,
            "delivered": schedule.delivered, "lost": schedule.lost, "saved": schedule.saved,
            "waited_seconds": schedule.waited.as_secs(), "new_waited_seconds": schedule.new_waited.as_secs(),
        })),
        "breaker": differences.breaker.as_ref().map(|breaker| json!({
            "attempts": breaker.attempts, "opened": breaker.opened, "held_failures": breaker.held_failures,
            "held_successes": breaker.held_successes,
        })),
    })
}

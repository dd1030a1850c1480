//! `postrider journal dead`: deliveries that were given up.

use std::io::{self, Write};
use std::path::PathBuf;

use postrider::journal::StdDisk;
use postrider::journal::history::{Answer, EndedDelivery, HistoryError, PAGE, Paging, Place, Query};
use postrider::journal::store::Look;
use postrider_core::id::{JournalSeq, TenantId};
use postrider_core::time::UnixTime;
use serde_json::json;

use super::files::Files;
use super::{asking, words};
use crate::exit::{Exit, Refusal};

/// List deliveries that were given up, the newest first
///
/// By the indexes of the journal's segments: a page costs a search in each of them. Those without an index, as the
/// newest have none yet, are read whole.
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
    /// Go on behind this place, TIME/SEQ, as the page before says
    #[arg(long, value_name = "PLACE", value_parser = place)]
    before: Option<Place>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A place in the list, as it is written.
fn place(text: &str) -> Result<Place, String> {
    let read = text.split_once('/').and_then(|(at, seq)| {
        let (at, outcome) = (UnixTime::parse_rfc3339(at)?, JournalSeq::new(seq.parse().ok()?));
        Some(Place { at, outcome })
    });
    read.ok_or_else(|| "it is written as 2026-11-21T07:26:00.000Z/4711, a time and the number of a record".to_owned())
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let tenant = args.tenant.as_ref().map(TenantId::new).transpose();
    let tenant = tenant.map_err(|why| Refusal::new(format!("--tenant: {why}")))?;
    Files::look(&args.path)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (items, next) = asking::ask(&args.path, |look| page(look, tenant.as_ref(), args.before, limit))?;
    let mut out = io::stdout().lock();
    for item in &items {
        show(item, args.json, &mut out)?;
    }
    if let (Some(next), false) = (next, args.json) {
        writeln!(out, "and more: --before {}", written(next))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// So many entries behind a place, and where the next page begins.
fn page(
    look: &mut Look<StdDisk>,
    tenant: Option<&TenantId>,
    mut after: Option<Place>,
    limit: usize,
) -> Result<(Vec<EndedDelivery>, Option<Place>), HistoryError> {
    asking::warn(look);
    let mut all = Vec::new();
    loop {
        let page = Paging { after, limit: (limit - all.len()).min(PAGE) };
        let (from, to) = (UnixTime::EPOCH, UnixTime::from_millis(u64::MAX));
        let query = match tenant.cloned() {
            Some(tenant) => Query::Exhausted { tenant, from, to, page },
            None => Query::GivenUp { from, to, page },
        };
        let Answer::Deliveries { items, next } = asking::one(look, &query)? else { return Ok((all, None)) };
        all.extend(items);
        if next.is_none() || all.len() >= limit {
            return Ok((all, next));
        }
        after = next;
    }
}

fn written(place: Place) -> String {
    format!("{}/{}", place.at, place.outcome)
}

fn show(item: &EndedDelivery, json: bool, out: &mut impl Write) -> io::Result<()> {
    let Place { at, outcome: seq } = item.place;
    let reason = words::reason(item.status, item.failure, at);
    if json {
        let line = json!({
            "place": written(item.place),
            "seq": seq.get(),
            "at": at.to_rfc3339(),
            "tenant": item.endpoint.tenant.as_str(),
            "event": item.event.as_ref().map(|id| id.as_str()),
            "event_seq": item.event_seq.get(),
            "endpoint": item.endpoint.to_string(),
            "attempts": item.attempts,
            "status": item.status,
            "failure": item.failure.map(|failure| failure.code()),
            "reason": reason,
        });
        return writeln!(out, "{line}");
    }
    let id = item.event.as_ref().map_or_else(|| format!("event {}", item.event_seq), ToString::to_string);
    let why = reason.unwrap_or_else(|| "no attempt was left".into());
    let attempts = words::counted(item.attempts.into(), "attempt", "attempts");
    writeln!(out, "{seq} {at} {id} to {}: {attempts}, the last: {why}", item.endpoint)
}

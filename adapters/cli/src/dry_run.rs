//! `postrider deliver --dry-run`: who would get what, and why not. Nothing is sent.

use std::io::{self, Read, Write};

use postrider_core::event::Event;
use postrider_core::id::EndpointId;
use postrider_core::registration::Policy;
use postrider_core::registration::consent::Origin;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Sender};
use postrider_core::time::{Instant, Now};

use crate::deliver::sync::{by_tenant, told};
use crate::endpoints::Entry;
use crate::events::Lines;
use crate::exit::{Exit, Refusal, complain};
use crate::sign::now;
use crate::store::Store;

/// Entries asked for at once.
const PAGE: usize = 1000;

/// Reads every event and says of each endpoint of its tenant whether it would be told. With `json`, as one object for
/// each event. With a revision, first what making the endpoints equal to the file would change, of those in the journal
/// where there is one; the journal is only read.
pub(crate) fn run(
    entries: &[Entry],
    policy: Policy,
    origin: Option<Origin>,
    (sync, store): (Option<u64>, &Store),
    mut lines: Lines<impl Read>,
    json: bool,
) -> Result<Exit, Refusal> {
    let now = Now { mono: Instant::ORIGIN, wall: now() };
    // Nothing is sent, so that nothing depends on the seed.
    let config = origin.into_iter().fold(Config::new().policy(policy), Config::origin);
    let mut machine = match sync {
        Some(_) => store.machine(config.clone(), now)?,
        None => None,
    }
    .unwrap_or_else(|| Sender::new(config, Seed::from_bytes([0; 32]), now));
    match sync {
        None => {
            for entry in entries {
                machine.put(now, entry.endpoint.clone()).map_err(Refusal::new)?;
            }
        }
        Some(revision) => {
            for (tenant, list) in by_tenant(entries) {
                let done = machine.sync(now, &tenant, revision, &list).map_err(Refusal::new)?;
                complain!("{} (dry run)", told(&tenant, revision, &done.synced)?);
            }
        }
    }
    let mut exit = Exit::Done;
    let mut out = io::stdout().lock();
    while let Some(next) = lines.next()? {
        match next {
            Ok((line, event)) => show(&machine, &event, line, json, &mut out)?,
            Err(fault) => {
                complain!("error: {fault}");
                exit = Exit::Failed;
            }
        }
    }
    out.flush()?;
    Ok(exit)
}

fn show(machine: &Sender, event: &Event, line: u64, json: bool, out: &mut impl Write) -> io::Result<()> {
    let mut after: Option<EndpointId> = None;
    let mut entries = Vec::new();
    loop {
        let page = machine.explain(event, after.as_ref(), PAGE);
        entries.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let told = entries.iter().filter(|entry| entry.is_told()).count();
    let id = event.event_id().map(ToString::to_string);
    if json {
        let endpoints: Vec<_> = entries
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "endpoint": entry.endpoint.as_str(), "told": entry.is_told(), "why": entry.matching.to_string(),
                })
            })
            .collect();
        let event_type = event.event_type().as_str();
        let tenant = event.tenant_id().as_str();
        let value = serde_json::json!({
            "line": line, "id": id, "type": event_type, "tenant": tenant, "told": told, "endpoints": endpoints,
        });
        return writeln!(out, "{value}");
    }
    let id = id.unwrap_or_else(|| "(an id will be minted)".into());
    let plural = if told == 1 { "" } else { "s" };
    writeln!(out, "line {line}: {id} {}: {told} endpoint{plural}", event.event_type())?;
    for entry in &entries {
        writeln!(out, "  {} {entry}", if entry.is_told() { "+" } else { "-" })?;
    }
    Ok(())
}

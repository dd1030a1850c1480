//! `postrider replay`: what a journal keeps is sent again.
//!
//! The endpoints are those that the journal has, with their keys. While it is open, what it still owes is delivered too,
//! as by any sender that opens it. An inbox is only read, and what it keeps goes to wherever it is wanted now.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use postrider::history::End;
use postrider_core::id::{EndpointId, EndpointKey, EventId, TenantId};
use postrider_core::sender::Fate;
use postrider_core::time::UnixTime;
use postrider_driver::replays::{self, Replayed};
use serde_json::json;

use crate::deliver;
use crate::driver::{self, Driver, Kind};
use crate::duration;
use crate::exit::{Exit, Refusal, complain};
use crate::journal::files::Files;
use crate::listen::forward::{self, Forward};
use crate::listen::resend::Resend;
use crate::store::Store;
use crate::target::Allowed;

/// Send again what a journal keeps for an endpoint, or what an inbox keeps; exit 0 all delivered, 1 some not, 2 refused
///
/// With DIR, an inbox as `listen --store DIR` fills it: its webhooks, byte for byte as they came, go to --forward or --exec,
/// from the oldest to the newest; headers that were not stored (authorization, cookie) are missing. It is only read, so a
/// listener may go on using it. With --journal and --endpoint, what a sender keeps:
///
/// One event, or everything that has ended in a range of time, from the newest to the oldest and paced by a ramp. What
/// is asked for under a name is sent once under it: after an interruption, run the same command again. Requests have the
/// webhook-id of the event and say postrider-replay; with --fresh-ids they have an id of their own, and
/// postrider-replay-of names the event.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The inbox whose webhooks are sent again
    #[arg(value_name = "DIR", conflicts_with_all = ["journal", "endpoint", "tenant", "fresh_ids", "name"])]
    inbox: Option<PathBuf>,
    /// Where to send those of an inbox, each to its own path if the URL has none
    #[arg(long, value_name = "URL", value_parser = forward::parse, requires = "inbox", conflicts_with = "exec")]
    forward: Option<Forward>,
    /// What to run in a shell for each of an inbox, as `listen --exec` does
    #[arg(long, value_name = "CMD", requires = "inbox")]
    exec: Option<String>,
    /// How long --forward and --exec may take for each
    #[arg(long, value_name = "TIME", default_value = "20s", requires = "inbox", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    store: Store,
    /// The endpoint, which the journal has
    #[arg(long, value_name = "ID", required_unless_present = "inbox")]
    endpoint: Option<String>,
    /// Its tenant
    #[arg(long, value_name = "TENANT", default_value = "default")]
    tenant: String,
    /// Only this event
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "state", "dry_run"])]
    event: Option<String>,
    /// Only what ended at or after this time, such as 2026-11-21T07:26:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixTime>,
    /// Only what ended before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixTime>,
    /// Only what ended so: delivered, exhausted, refused, discarded, expired, lost or superseded (repeatable)
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Vec<End>,
    /// Under fresh ids, which name the old ones
    #[arg(long)]
    fresh_ids: bool,
    /// The name of this replay, which sends nothing twice under it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Send nothing; count what would be sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    allowed: Allowed,
    /// What carries the attempts
    #[arg(long, value_enum, default_value_t)]
    driver: Kind,
    /// Print what came of it as one JSON object
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text).ok_or_else(|| "it is written as 2026-11-21T07:26:00Z".to_owned())
}

fn state(text: &str) -> Result<End, String> {
    let known = || End::ALL.map(|end| end.to_string()).join(", ");
    End::ALL.into_iter().find(|end| end.to_string() == text).ok_or_else(|| format!("{} are known", known()))
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    if let Some(directory) = &args.inbox {
        return again(directory, args);
    }
    let Some(journal) = args.store.settings()? else {
        return Err(Refusal::new("--journal: say in which directory the journal is"));
    };
    Files::look(&journal.directory)?;
    let wrong = |option: &'static str| move |why| Refusal::new(format!("--{option}: {why}"));
    let tenant = TenantId::new(&args.tenant).map_err(wrong("tenant"))?;
    let endpoint = EndpointKey {
        tenant,
        id: EndpointId::new(args.endpoint.as_deref().unwrap_or_default()).map_err(wrong("endpoint"))?,
    };
    let event = args.event.as_ref().map(EventId::new).transpose().map_err(wrong("event"))?;
    let (policy, limits) = (args.allowed.policy()?, deliver::limits(&args.store));
    let settings = driver::Settings { policy, limits, credit: None, trace: None, origin: None };
    let driver = driver::open(args.driver, settings, &args.store)?;
    let done = match event {
        Some(event) => one(&*driver, args, &endpoint, &event),
        None => all(&*driver, args, &endpoint),
    };
    if let Err(why) = driver.close(Duration::from_secs(5)) {
        complain!("error: the journal does not have everything: {why}");
        return Ok(Exit::Failed);
    }
    done
}

/// Sends what an inbox keeps.
fn again(directory: &Path, args: &Args) -> Result<Exit, Refusal> {
    if args.forward.is_none() && args.exec.is_none() && !args.dry_run {
        return Err(Refusal::new("say where to, by --forward URL or --exec CMD; or --dry-run"));
    }
    let event = args.event.as_ref().map(EventId::new).transpose();
    let event = event.map_err(|why| Refusal::new(format!("--event: {why}")))?;
    let resend = Resend {
        directory,
        event: event.as_ref(),
        from: args.from,
        to: args.to,
        state: &args.state,
        forward: args.forward.as_ref(),
        exec: args.exec.as_deref(),
        timeout: args.timeout,
        dry_run: args.dry_run,
        json: args.json,
    };
    resend.run()
}

fn one(driver: &dyn Driver, args: &Args, endpoint: &EndpointKey, event: &EventId) -> Result<Exit, Refusal> {
    let one = replays::one(event, endpoint);
    let one = if args.fresh_ids { one.fresh_id() } else { one };
    let one = args.name.iter().fold(one, |one, name| one.named(name));
    let receipt = driver.replay(one).map_err(Refusal::new)?;
    let report = loop {
        match driver.report(&endpoint.tenant, receipt.event()) {
            Some(report) if report.settled => break report,
            Some(_) => thread::sleep(Duration::from_millis(20)),
            None => return Err(Refusal::new(format!("nothing is known any more of {}", receipt.event()))),
        }
    };
    let delivered = report.deliveries.iter().all(|delivery| delivery.fate == Fate::Delivered);
    let mut out = io::stdout().lock();
    if args.json {
        let (replay, event) = (receipt.event().as_str(), event.as_str());
        writeln!(
            out,
            "{}",
            json!({ "event": event, "replay": replay, "new": receipt.is_fresh(), "delivered": delivered })
        )?;
    } else {
        writeln!(out, "{event}, as {report}")?;
    }
    Ok(if delivered { Exit::Done } else { Exit::Failed })
}

fn all(driver: &dyn Driver, args: &Args, endpoint: &EndpointKey) -> Result<Exit, Refusal> {
    let what = replays::retained(endpoint).ended(args.state.iter().copied());
    let what = args.from.into_iter().fold(what, replays::Retained::from);
    let what = args.to.into_iter().fold(what, replays::Retained::to);
    let what = args.name.iter().fold(what, |what, name| what.named(name));
    let what = if args.fresh_ids { what.fresh_ids() } else { what };
    let told = driver.replay_all(what, args.dry_run).map_err(Refusal::new)?;
    show(&told, args)?;
    let clean = args.dry_run || told.failed == 0 && told.gone == 0 && told.refused == 0;
    Ok(if clean { Exit::Done } else { Exit::Failed })
}

fn show(told: &Replayed, args: &Args) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !args.json {
        return writeln!(out, "{told}");
    }
    let found: serde_json::Map<_, _> =
        End::ALL.iter().zip(told.found).map(|(end, count)| (end.to_string(), count.into())).collect();
    let line = json!({
        "name": told.name,
        "found": found,
        "made": told.made,
        "before": told.before,
        "delivered": told.delivered,
        "failed": told.failed,
        "gone": told.gone,
        "refused": told.refused,
    });
    writeln!(out, "{line}")
}

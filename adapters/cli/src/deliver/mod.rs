//! `postrider deliver`: events from a file to endpoints from a file, until every delivery has ended.
//!
//! With `--journal` everything accepted is in a directory before it is acknowledged, so that a run that ended in the
//! middle, however it ended, is gone on with by running the same command again. Lines whose events the journal has
//! accepted already are repeats and change nothing; what it still owes is delivered, whether the input has it or not.

mod run;
pub(crate) mod sync;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider_core::limits::Limits;
use postrider_core::registration::consent::Origin;

use crate::driver::{self, Driver, Kind};
use crate::dry_run;
use crate::endpoints::{self, Entry};
use crate::events::Lines;
use crate::exit::{Exit, Refusal, complain};
use crate::store::Store;
use crate::target::Allowed;
use run::{BATCH, Run, WINDOW};

/// Deliver events, one JSON object a line, to endpoints; exit 0 all delivered, 1 some not (listed), 2 bad input
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The endpoints: a list of TOML tables named endpoint, with id, url, secret or secrets, events; optionally
    /// headers, bearer, basic, schedule, max-attempts, max-age, rate, breaker, disable, queue-limit, timeout, concurrency,
    /// tenant, encoding, thin, source, ordering (strict or skip-on-exhaust), coalesce, consent, consent_rate, filter (an
    /// EventBridge pattern over type and data; with filter-language = "cloudevents" a filter of CloudEvents
    /// subscriptions), sign (a list of standard-webhooks, svix, github, stripe, slack, shopify, http-message-signatures,
    /// { hmac = { header = "x-..." } })
    #[arg(long, value_name = "FILE.toml")]
    endpoints: PathBuf,
    /// The events: type, and optionally id, timestamp, data, tenant, key, expires; or CloudEvents; - is stdin
    #[arg(value_name = "EVENTS.ndjson", default_value = "-")]
    events: PathBuf,
    #[command(flatten)]
    allowed: Allowed,
    /// The name under which owners are asked for consent = "cloudevents", such as events.example.com
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// What carries the attempts
    #[arg(long, value_enum, default_value_t)]
    driver: Kind,
    /// Attempts in flight at once, over all endpoints [default: 1024 with tokio, 64 with blocking]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    concurrency: Option<u32>,
    /// Make the endpoints of each tenant in the file equal to those in the file, all at once: those that are not in it are
    /// removed. A file with an older revision than the journal has seen is refused. Prints what was done; with --dry-run
    /// what would be
    #[arg(long, value_name = "REVISION")]
    sync: Option<u64>,
    /// Send nothing; say who would get what, and why not
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: Store,
    /// Keep a flight recorder in this directory, without payloads and secrets; replay-trace runs it again
    #[arg(long, value_name = "DIR")]
    trace: Option<PathBuf>,
    /// Print a line on stdout for each event, once it is as safe as it gets
    #[arg(long)]
    receipts: bool,
    /// Print a summary as one JSON object on stdout, and receipts as one each
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let policy = args.allowed.policy()?;
    let entries = endpoints::read(&args.endpoints, &policy)?;
    let origin = args.origin.as_deref().map(Origin::new).transpose();
    let origin = origin.map_err(|why| Refusal::new(format!("--origin: {why}")))?;
    let lines = open(&args.events)?;
    if args.dry_run {
        return dry_run::run(&entries, policy, origin, (args.sync, &args.store), lines, args.json);
    }
    let lines = if args.store.is_durable() { lines.with_ids() } else { lines };
    let (limits, credit, trace) = (limits(&args.store), args.concurrency, args.trace.clone());
    let settings = driver::Settings { policy, limits, credit, trace, origin };
    let driver = driver::open(args.driver, settings, &args.store)?;
    let mut run = Run::new(&*driver, &lines, &entries, args.receipts.then_some(args.json))?;
    if let Some(pending) = args.store.pending()? {
        run.go_on(pending);
    }
    match args.sync {
        None => {
            entries.iter().try_for_each(|entry| driver.put(entry.endpoint.clone()).map(drop)).map_err(Refusal::new)?
        }
        Some(revision) => sync::apply(&*driver, &entries, revision)?,
    }
    if args.store.is_durable() {
        name_others(&*driver, &entries, &args.endpoints);
    }
    run.publish_all(lines)?;
    let mut summary = run.finish();
    summary.finish(|key| driver.tally(key), driver.stats());
    let closed = driver.close(Duration::from_secs(5));
    summary.print(args.json)?;
    if let (true, Err(why)) = (args.store.is_durable(), &closed) {
        complain!("error: the journal does not have everything: {why}");
        return Ok(Exit::Failed);
    }
    Ok(if summary.is_clean() { Exit::Done } else { Exit::Failed })
}

/// What a sender may hold for this command, and for every other that goes on with a journal of it.
pub(crate) fn limits(store: &Store) -> Limits {
    let mut limits = Limits::default();
    // Ended events stay readable at least until they have been looked at.
    limits.reports = 2 * WINDOW;
    if store.is_durable() {
        // As long as the directory exists; and what it owed when it was opened is beyond the window.
        limits.idempotency_window = Duration::MAX;
        limits.idempotency_entries = usize::MAX;
        limits.reports = 4 * WINDOW;
    } else {
        limits.events = WINDOW + BATCH;
    }
    limits
}

/// Names the endpoints that the journal has from before and the file has not: they go on getting what they want.
fn name_others(driver: &dyn Driver, entries: &[Entry], file: &Path) {
    let known: BTreeSet<_> = entries.iter().map(|entry| &entry.key).collect();
    let tenants: BTreeSet<_> = known.iter().map(|key| &key.tenant).collect();
    for tenant in tenants {
        for view in driver.endpoints(tenant).into_iter().filter(|view| !known.contains(&view.key)) {
            let (key, file) = (view.key, file.display());
            complain!("note: {key} is in the journal and not in {file}; it goes on getting what it wants");
        }
    }
}

fn open(path: &Path) -> Result<Lines<Box<dyn Read>>, Refusal> {
    if path == Path::new("-") {
        return Ok(Lines::new("stdin", Box::new(io::stdin())));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|why| Refusal::new(format!("{name}: {why}")))?;
    Ok(Lines::new(name, Box::new(file)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use postrider_core::event::Event;
    use postrider_core::seed::Seed;
    use postrider_core::sender::{Config, Input, Output, Restore, Sender, Wake};
    use postrider_core::time::{Now, UnixTime};

    use super::*;

    #[derive(clap::Parser)]
    struct Options {
        #[command(flatten)]
        store: Store,
    }

    #[test]
    fn a_directory_remembers_what_it_accepted_for_as_long_as_it_exists() {
        let store = Options::parse_from(["deliver", "--journal", "somewhere"]).store;
        let limits = limits(&store);
        assert_eq!((limits.idempotency_window, limits.idempotency_entries), (Duration::MAX, usize::MAX));
        let config = Config::new().limits(limits);
        let mut now = Now { wall: UnixTime::from_secs(1_800_000_000), ..Now::default() };
        let mut machine = Sender::new(config.clone(), Seed::from_bytes([7; 32]), now);
        let event = |n: u32| Event::json("order.paid", &n).unwrap().id(format!("e{n}"));
        let mut records = Vec::new();
        let mut settle = |machine: &mut Sender, now| {
            loop {
                match machine.poll_output() {
                    Output::Persist(batch) => {
                        let frames = batch.records().map(|(_, frame)| frame);
                        records.extend(frames.map(|mut frame| postrider_core::journal::decode(&mut frame).unwrap()));
                        machine.handle(now, Input::Persisted(batch.last()));
                    }
                    Output::Wait(Wake::Ready) => {}
                    Output::Wait(_) => return,
                    _ => {}
                }
            }
        };
        assert!(machine.publish(now, event(0)).unwrap().fresh);
        settle(&mut machine, now);
        // Nobody wants it, so it has ended; ten years later other events come.
        now = now.advanced(Duration::from_secs(10 * 366 * 86_400));
        machine.handle(now, Input::Tick);
        (1..3000).for_each(|n| _ = machine.publish(now, event(n)).unwrap());
        settle(&mut machine, now);
        assert_eq!(machine.events(), 0);
        assert!(!machine.publish(now, event(0)).unwrap().fresh);
        // And after a restart.
        let restore = records.into_iter().fold(Restore::new(config), Restore::record);
        now = now.advanced(Duration::from_secs(10 * 366 * 86_400));
        let mut machine = restore.finish(now).unwrap();
        assert!(!machine.publish(now, event(0)).unwrap().fresh);
        assert!(!machine.publish(now, event(2999)).unwrap().fresh);
        let other = Event::json("order.paid", &"other").unwrap().id("e0");
        assert!(machine.publish(now, other).is_err());
    }
}

//! `postrider top`: what a journal is doing, from its files alone.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::{EndpointKey, JournalSeq};
use postrider_core::journal::{Record, Then};
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

use crate::exit::{Exit, Refusal};
use crate::journal::files::Files;
use crate::journal::read::{self, Journal, Much};
use crate::journal::state::State;
use crate::journal::walk;
use crate::journal::words;

/// Show what a journal is doing, refreshed every second, whoever holds it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Once, and not again
    #[arg(long)]
    once: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// Seconds that rates are means over, and that failures are counted for.
const RATE: u64 = 10;
const FAILING: u64 = 60;
/// Endpoints shown.
const SHOWN: usize = 10;

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let mut watch = Watch::begin(args)?;
    let screen = io::stdout().is_terminal() && !args.json && !args.once;
    loop {
        let begun = Instant::now();
        let mut out = io::stdout().lock();
        let now = words::now();
        if args.json {
            writeln!(out, "{}", watch.to_json(now))?;
        } else {
            if screen {
                write!(out, "\x1b[H\x1b[2J")?;
            }
            watch.show(now, &mut out)?;
        }
        out.flush()?;
        drop(out);
        if args.once {
            return Ok(Exit::Done);
        }
        thread::sleep(EVERY.saturating_sub(begun.elapsed()));
        watch.look(args)?;
    }
}

/// What happened in one second of the wall clock.
#[derive(Default)]
struct Second {
    at: u64,
    accepted: u64,
    delivered: u64,
    failed: BTreeMap<EndpointKey, u64>,
}

/// The last seconds, the oldest first.
#[derive(Default)]
struct Recent(VecDeque<Second>);

impl Recent {
    fn take(&mut self, state: &State, record: &Record) {
        match record {
            Record::Accepted(accepted) => self.second(accepted.at).accepted += 1,
            Record::Outcome(outcome) => match outcome.then {
                Then::Delivered => self.second(outcome.at).delivered += 1,
                Then::Retry(_) | Then::Exhausted | Then::Refused => {
                    if let Some(owner) = state.owners.get(&outcome.subscription) {
                        *self.second(outcome.at).failed.entry(owner.clone()).or_default() += 1;
                    }
                }
                Then::Discarded | Then::Expired | Then::Lost | Then::Superseded => {}
            },
            _ => {}
        }
    }

    /// The second of a time; of one that is over for long, the oldest there is.
    fn second(&mut self, at: UnixTime) -> &mut Second {
        let at = at.as_secs();
        if self.0.back().is_none_or(|last| last.at < at) {
            self.0.push_back(Second { at, ..Second::default() });
            while self.0.front().is_some_and(|first| first.at + FAILING < at) {
                self.0.pop_front();
            }
        }
        let place = self.0.iter().rposition(|second| second.at <= at).unwrap_or(0);
        &mut self.0[place]
    }

    /// Takes in what happened in seconds that are not older than the last.
    fn add(&mut self, later: Self) {
        for second in later.0 {
            let sum = self.second(UnixTime::from_secs(second.at));
            sum.accepted += second.accepted;
            sum.delivered += second.delivered;
            for (endpoint, count) in second.failed {
                *sum.failed.entry(endpoint).or_default() += count;
            }
        }
    }

    /// Something counted in each of the last whole seconds, for each of them.
    fn rate(&self, now: UnixTime, count: impl Fn(&Second) -> u64) -> f64 {
        let whole = now.as_secs();
        let seconds = self.0.iter().filter(|second| (whole.saturating_sub(RATE)..whole).contains(&second.at));
        seconds.map(count).sum::<u64>() as f64 / RATE as f64
    }

    /// Endpoints that failed in the last minute, those that failed most first.
    fn failing(&self, now: UnixTime) -> Vec<(EndpointKey, u64)> {
        let mut sums: BTreeMap<&EndpointKey, u64> = BTreeMap::new();
        let since = now.as_secs().saturating_sub(FAILING);
        for (endpoint, count) in self.0.iter().filter(|second| second.at >= since).flat_map(|second| &second.failed) {
            *sums.entry(endpoint).or_default() += count;
        }
        let mut sums: Vec<_> = sums.into_iter().map(|(endpoint, count)| (endpoint.clone(), count)).collect();
        sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        sums.truncate(SHOWN);
        sums
    }
}

/// A journal that is being watched.
struct Watch(Journal<Recent>);

impl Watch {
    fn begin(args: &Args) -> Result<Self, Refusal> {
        let read =
            read::read(&args.path, Much::State, |recent: &mut Recent, state, _, record| recent.take(state, record));
        Ok(Self(read?))
    }

    /// Reads what has been added. Where the files are no longer those that were read, everything is read again.
    fn look(&mut self, args: &Args) -> Result<(), Refusal> {
        while self.grow().unwrap_or(false) {}
        let files = Files::look(&args.path)?;
        let known = self
            .0
            .walked
            .end
            .as_ref()
            .is_some_and(|end| files.segments.last().is_some_and(|last| last.name == end.name));
        if known {
            self.0.files = files;
            return Ok(());
        }
        let last = self.0.walked.span.map_or(JournalSeq::ZERO, |(_, last)| last);
        let mut again = read::read(&args.path, Much::State, |recent: &mut Recent, state, entry, record| {
            if entry.key.seq > last {
                recent.take(state, record);
            }
        })?;
        let before = std::mem::take(&mut self.0.own);
        let new = std::mem::replace(&mut again.own, before);
        again.own.add(new);
        *self = Self(again);
        Ok(())
    }

    /// Reads on in the last segment; whether there may be more.
    fn grow(&mut self) -> io::Result<bool> {
        let Journal { files, state, walked, own, .. } = &mut self.0;
        let (Some(end), Some((first, last))) = (walked.end.clone(), walked.span) else { return Ok(false) };
        let (end, latest) = walk::grown(files, &end, last, |entry| {
            if let Some(record) = entry.record() {
                own.take(state, &record);
                state.apply(entry.key.seq, &record);
            }
        })?;
        walked.end = Some(end);
        walked.span = Some((first, latest));
        Ok(latest > last)
    }

    fn show(&self, now: UnixTime, out: &mut impl Write) -> io::Result<()> {
        let Journal { files, state, own: recent, .. } = &self.0;
        let accepted = recent.rate(now, |second| second.accepted);
        let delivered = recent.rate(now, |second| second.delivered);
        writeln!(out, "{}  {}", files.path.display(), words::bytes(files.bytes()))?;
        writeln!(out, "accepted {accepted:.1}/s, delivered {delivered:.1}/s over the last {RATE} s")?;
        match state.oldest() {
            Some(oldest) => writeln!(
                out,
                "pending {}, the oldest {} accepted {}",
                words::counted(state.events.len() as u64, "event", "events"),
                oldest.id,
                words::distance(oldest.at, now)
            )?,
            None => writeln!(out, "nothing is pending")?,
        }
        let failing = recent.failing(now);
        for (endpoint, count) in &failing {
            let state = state.endpoints.get(endpoint).map_or_else(|| "removed".into(), words::state);
            let failed = words::counted(*count, "attempt", "attempts");
            writeln!(out, "  {endpoint}: {failed} failed in the last {FAILING} s, {state}")?;
        }
        if failing.is_empty() {
            writeln!(out, "  no attempt failed in the last {FAILING} s")?;
        }
        Ok(())
    }

    fn to_json(&self, now: UnixTime) -> Value {
        let Journal { files, state, own: recent, .. } = &self.0;
        let failing = recent.failing(now);
        let failing =
            failing.iter().map(|(endpoint, count)| json!({ "endpoint": endpoint.to_string(), "failed": count }));
        let oldest = state.oldest();
        json!({
            "at": now.to_rfc3339(),
            "bytes": files.bytes(),
            "accepted_per_s": recent.rate(now, |second| second.accepted),
            "delivered_per_s": recent.rate(now, |second| second.delivered),
            "pending_events": state.events.len(),
            "oldest_pending": oldest.map(|event| json!({ "event": event.id.as_str(), "accepted": event.at.to_rfc3339() })),
            "failing": failing.collect::<Vec<_>>(),
        })
    }
}

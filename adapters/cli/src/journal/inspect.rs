//! `postrider journal inspect`: what is in a journal.

use std::io::{self, Write};
use std::path::PathBuf;

use postrider::journal::StdDisk;
use postrider::journal::history::{Answer, HistoryError, Query};
use postrider::journal::store::Look;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Record, Then};
use serde_json::{Value, json};

use super::asking;
use super::read::{self, Journal, Much};
use super::words::{self, counted};
use crate::exit::{Exit, Refusal};

/// Say what is in it: files, endpoints, what is pending, how deliveries ended, damage
///
/// Reads the newest snapshot and the log behind it, and counts the rest by the indexes of the segments. Those without
/// an index, as the newest have none yet, are read whole. Damage that shows makes it read all; `verify` reads every byte.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Read and count the whole log, record by record
    #[arg(long)]
    all: bool,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// How the log is.
struct Log {
    /// How many records it has; `None` when some were left out by compaction and the rest was not counted.
    records: Option<u64>,
    span: Option<(JournalSeq, JournalSeq)>,
    torn: u64,
    damage: Vec<String>,
}

/// How often each thing happened, as far as the log still has it.
#[derive(Default)]
struct Counts {
    accepted: u64,
    ended: u64,
    /// Attempts, and ends of deliveries without one.
    outcomes: u64,
    delivered: u64,
    retried: u64,
    exhausted: u64,
    refused: u64,
    discarded: u64,
    expired: u64,
    lost: u64,
    superseded: u64,
    remembered: u64,
}

impl Counts {
    fn take(&mut self, seq: JournalSeq, record: &Record) {
        match record {
            Record::Accepted(_) | Record::Kept(_) => self.accepted += 1,
            Record::Ended { .. } => self.ended += 1,
            Record::Remembered(_) if seq == JournalSeq::ZERO => self.remembered += 1,
            Record::Outcome(outcome) => {
                self.outcomes += 1;
                *match outcome.then {
                    Then::Delivered => &mut self.delivered,
                    Then::Retry(_) => &mut self.retried,
                    Then::Exhausted => &mut self.exhausted,
                    Then::Refused => &mut self.refused,
                    Then::Discarded => &mut self.discarded,
                    Then::Expired => &mut self.expired,
                    Then::Lost => &mut self.lost,
                    Then::Superseded => &mut self.superseded,
                } += 1;
            }
            _ => {}
        }
    }

    fn ends(&self) -> [(&'static str, u64); 7] {
        [
            ("delivered", self.delivered),
            ("exhausted", self.exhausted),
            ("refused", self.refused),
            ("discarded", self.discarded),
            ("expired", self.expired),
            ("lost", self.lost),
            ("superseded", self.superseded),
        ]
    }
}

/// Endpoints shown one by one, at most.
const SHOWN: usize = 100;

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let (journal, log) = if args.all { whole(args)? } else { indexed(args)? };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", to_json(&journal, &log))?;
    } else {
        show(&journal, &log, &mut out)?;
    }
    out.flush()?;
    Ok(if log.damage.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Reads and counts everything.
fn whole(args: &Args) -> Result<(Journal<Counts>, Log), Refusal> {
    let journal = read::read(&args.path, Much::All, |counts: &mut Counts, _, entry, record| {
        counts.take(entry.key.seq, record);
    })?;
    let walked = &journal.walked;
    let damage = walked.damage.iter().map(ToString::to_string).collect();
    let log = Log { records: Some(walked.records), span: walked.span, torn: walked.torn, damage };
    Ok((journal, log))
}

/// Reads what is pending, and asks the indexes for the rest.
fn indexed(args: &Args) -> Result<(Journal<Counts>, Log), Refusal> {
    let mut journal = read::read(&args.path, Much::State, |counts: &mut Counts, _, _, record| {
        counts.remembered += u64::from(matches!(record, Record::Remembered(_)));
    })?;
    let (log, counts) = asking::ask(&args.path, look)?;
    if !log.damage.is_empty() {
        // What is behind damage is found record by record, and counted so.
        return whole(args);
    }
    journal.own = Counts { remembered: journal.own.remembered, ..counts };
    Ok((journal, log))
}

fn look(look: &mut Look<StdDisk>) -> Result<(Log, Counts), HistoryError> {
    let segments: Vec<_> = look.segments().filter(|segment| segment.first <= segment.last).collect();
    let plain = segments.iter().all(|segment| !segment.compacted);
    let records = segments.iter().map(|segment| segment.last.get() - segment.first.get() + 1).sum();
    let (first, last) = (segments.first().map(|segment| segment.first), segments.last().map(|segment| segment.last));
    let log = Log {
        records: (plain && look.damage().is_empty()).then_some(records),
        span: first.zip(last),
        torn: look.found().torn,
        damage: look.damage().iter().map(ToString::to_string).collect(),
    };
    let pending = look.found().pending;
    let Answer::Counts(of) = asking::one(look, &Query::Counts)? else { return Err(HistoryError::NotKept) };
    let [delivered, exhausted, refused, discarded, expired, lost, superseded] = of.ended;
    let counts = Counts {
        accepted: of.events + pending,
        ended: of.events,
        outcomes: of.outcomes,
        delivered,
        retried: of.outcomes.saturating_sub(of.ended.iter().sum()),
        exhausted,
        refused,
        discarded,
        expired,
        lost,
        superseded,
        remembered: 0,
    };
    Ok((log, counts))
}

fn show(journal: &Journal<Counts>, log: &Log, out: &mut impl Write) -> io::Result<()> {
    let Journal { files, state, own: counts, .. } = journal;
    let now = words::now();
    let store = files.store().map_or_else(|| "unknown".into(), |store| store.to_string());
    let format = format(journal).map_or_else(|| "unknown".into(), |format| format.to_string());
    writeln!(
        out,
        "store      {store}, format {format}, opened {}",
        counted(state.incarnation.into(), "time", "times")
    )?;
    let (segments, snapshots) = (files.segments.len() as u64, files.snapshots.len() as u64);
    writeln!(
        out,
        "files      {}, {}, {}",
        counted(segments, "segment", "segments"),
        counted(snapshots, "snapshot", "snapshots"),
        words::bytes(files.bytes())
    )?;
    let span = log.span.map_or_else(|| "none".to_owned(), |(first, last)| format!("{first} to {last}"));
    let records = log.records.map_or(String::new(), |records| format!("{records}, "));
    let stands = journal.snapshot.as_ref().map_or(String::new(), |name| format!("; {name} stands for {}", state.since));
    writeln!(out, "records    {records}{span}{stands}")?;
    let waiting: usize = state.events.values().map(super::state::Event::waiting).sum();
    writeln!(
        out,
        "pending    {}, {} that wait",
        counted(state.events.len() as u64, "event", "events"),
        counted(waiting as u64, "delivery", "deliveries")
    )?;
    if let Some(oldest) = state.oldest() {
        writeln!(out, "oldest     {} of {}, accepted {}", oldest.id, oldest.at, words::distance(oldest.at, now))?;
    }
    let ends = counts.ends().map(|(end, count)| format!("{count} {end}")).join(", ");
    let outcomes = counted(counts.outcomes, "outcome", "outcomes");
    writeln!(
        out,
        "kept       {}, {} ended; {ends}; {outcomes}",
        counted(counts.accepted, "event", "events"),
        counts.ended
    )?;
    let by_endpoint = state.waiting_by_endpoint();
    writeln!(out, "endpoints  {}", state.endpoints.len())?;
    for (key, endpoint) in state.endpoints.iter().take(SHOWN) {
        let waiting = by_endpoint.get(key).copied().unwrap_or_default();
        writeln!(out, "  {key}: {}, {waiting} waiting, {}", words::state(endpoint), words::url(&endpoint.url))?;
    }
    if state.endpoints.len() > SHOWN {
        writeln!(out, "  and {} more; --json names all", state.endpoints.len() - SHOWN)?;
    }
    if log.torn > 0 {
        writeln!(out, "a write at the end was not finished, and nothing of it was acknowledged: it will be cut off")?;
    }
    for damage in &log.damage {
        writeln!(out, "DAMAGED    {damage}")?;
    }
    for damage in &journal.bad_snapshots {
        writeln!(out, "unusable   {damage}")?;
    }
    Ok(())
}

fn format<T>(journal: &Journal<T>) -> Option<u16> {
    let heads = journal.files.segments.iter().filter_map(|segment| segment.head.as_ref().ok());
    heads.map(|head| head.format).max()
}

fn to_json(journal: &Journal<Counts>, log: &Log) -> Value {
    let Journal { files, state, own: counts, .. } = journal;
    let by_endpoint = state.waiting_by_endpoint();
    let endpoints = state.endpoints.values().map(|endpoint| {
        let mut value = words::endpoint(endpoint);
        value["waiting"] = by_endpoint.get(&endpoint.key).copied().unwrap_or_default().into();
        value
    });
    let segments = files.segments.iter().map(|segment| {
        let head = segment.head.as_ref().ok();
        json!({
            "name": segment.name,
            "bytes": segment.bytes,
            "compacted": head.map(|head| head.compacted),
            "through": head.map(|head| head.number + u64::from(head.covers)),
        })
    });
    let damage = |damage: &[super::walk::Damage]| -> Vec<Value> {
        damage.iter().map(|damage| json!(damage.to_string())).collect()
    };
    let waiting: usize = state.events.values().map(super::state::Event::waiting).sum();
    let oldest = state.oldest();
    json!({
        "store": files.store().map(|store| store.to_string()),
        "format": format(journal),
        "opened": state.incarnation,
        "bytes": files.bytes(),
        "segments": segments.collect::<Vec<_>>(),
        "snapshots": files.snapshots.iter().map(|snapshot| json!({ "name": snapshot.name, "bytes": snapshot.bytes })).collect::<Vec<_>>(),
        "snapshot": journal.snapshot,
        "since": state.since.get(),
        "records": log.records,
        "first": log.span.map(|(first, _)| first.get()),
        "last": log.span.map(|(_, last)| last.get()),
        "pending_events": state.events.len(),
        "waiting_deliveries": waiting,
        "oldest_pending": oldest.map(|event| json!({ "event": event.id.as_str(), "accepted": event.at.to_rfc3339() })),
        "kept_events": counts.accepted,
        "ended_events": counts.ended,
        "outcomes": counts.outcomes,
        "retried": counts.retried,
        "ends": counts.ends().into_iter().map(|(end, count)| (end.to_string(), count.into())).collect::<serde_json::Map<_, _>>(),
        "remembered": counts.remembered,
        "endpoints": endpoints.collect::<Vec<_>>(),
        "torn_bytes": log.torn,
        "damage": log.damage,
        "unusable_snapshots": damage(&journal.bad_snapshots),
    })
}

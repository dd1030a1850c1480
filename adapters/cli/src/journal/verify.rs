//! `postrider journal verify`: every byte.

use std::collections::BTreeMap;
use std::io::{self, Write};

use postrider_core::id::JournalSeq;
use postrider_core::journal::Record;
use serde_json::{Value, json};

use super::Dir;
use super::read::{self, Journal, Much};
use super::walk::{self, Damage};
use super::words::{self, counted};
use crate::exit::{Exit, Refusal, complain};

/// The ids of events by their places, as far as something else than their own record tells them.
#[derive(Default)]
struct Known(BTreeMap<JournalSeq, String>);

/// Runs it.
pub(super) fn run(args: &Dir) -> Result<Exit, Refusal> {
    let journal = read::read(&args.path, Much::All, |known: &mut Known, _, _, record| match record {
        Record::Event(event) => {
            known.0.insert(event.mark.event, event.accepted.id.to_string());
        }
        Record::Remembered(event) => {
            known.0.insert(event.event, event.id.to_string());
        }
        _ => {}
    })?;
    let mut damage = journal.walked.damage.clone();
    damage.extend(snapshots(&journal)?);
    let sound = damage.is_empty();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", to_json(&journal, &damage))?;
    } else if sound {
        let (records, bytes) = (journal.walked.records, words::bytes(journal.files.bytes()));
        let segments = counted(journal.files.segments.len() as u64, "segment", "segments");
        let snapshots = counted(journal.files.snapshots.len() as u64, "snapshot", "snapshots");
        writeln!(out, "sound: {records} records in {segments}, {snapshots}; {bytes}")?;
        if journal.walked.torn > 0 {
            writeln!(
                out,
                "a write at the end was not finished, and nothing of it was acknowledged: it will be cut off"
            )?;
        }
    }
    out.flush()?;
    for damage in &damage {
        let lost = lost(damage, &journal.own);
        let lost = if lost.is_empty() { String::new() } else { format!(", with the events {}", lost.join(", ")) };
        complain!("damaged: {damage}{lost}");
    }
    Ok(if sound { Exit::Done } else { Exit::Failed })
}

/// What is wrong with snapshots. Reading stops at the newest good one; here all are read.
fn snapshots<T>(journal: &Journal<T>) -> io::Result<Vec<Damage>> {
    let mut damage = Vec::new();
    for snapshot in &journal.files.snapshots {
        match walk::snapshot(&journal.files, snapshot, |_| {}) {
            Ok(read) => damage.extend(read.err()),
            // The other process had a newer one.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
    }
    Ok(damage)
}

/// The ids of events that were accepted where records are lost, at most so many.
fn lost(damage: &Damage, known: &Known) -> Vec<String> {
    const NAMED: usize = 100;
    let Some((first, last)) = damage.lost else { return Vec::new() };
    known.0.range(first..=last).map(|(_, id)| id.clone()).take(NAMED).collect()
}

fn to_json(journal: &Journal<Known>, damage: &[Damage]) -> Value {
    let damage = damage.iter().map(|damage| {
        json!({
            "file": damage.file,
            "offset": damage.offset,
            "what": damage.what,
            "records": damage.lost.map(|(first, last)| [first.get(), last.get()]),
            "events": lost(damage, &journal.own),
        })
    });
    let damage: Vec<_> = damage.collect();
    json!({
        "sound": damage.is_empty(),
        "records": journal.walked.records,
        "batches": journal.walked.batches,
        "segments": journal.files.segments.len(),
        "snapshots": journal.files.snapshots.len(),
        "bytes": journal.files.bytes(),
        "torn_bytes": journal.walked.torn,
        "damage": damage,
    })
}

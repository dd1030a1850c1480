//! `postrider journal verify`: every byte.

use std::io::{self, Write};

use postrider_journal::care::{self, Verified};
use serde_json::{Value, json};

use super::Dir;
use super::files::Files;
use super::words::{self, counted};
use crate::exit::{Exit, Refusal, complain};
use crate::store;

/// Runs it.
pub(super) fn run(args: &Dir) -> Result<Exit, Refusal> {
    let files = Files::look(&args.path)?;
    let verified = care::verify(&args.path).map_err(|why| store::unopened(&args.path, &why, None))?;
    let found = &verified.found;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", to_json(&verified, &files))?;
    } else if verified.is_sound() {
        let (records, bytes) = (found.records, words::bytes(files.bytes()));
        let segments = counted(found.segments, "segment", "segments");
        let snapshots = counted(verified.snapshots.len() as u64, "snapshot", "snapshots");
        writeln!(out, "sound: {records} records in {segments}, {snapshots}; {bytes}")?;
        if found.torn > 0 {
            let torn = words::bytes(found.torn);
            writeln!(
                out,
                "{torn} at the end are of a write that was not finished, and not acknowledged; they will go"
            )?;
        }
    }
    out.flush()?;
    for place in &verified.damage {
        complain!("damaged: {place}");
        for event in &place.ids {
            complain!("damaged: with it event {} of {}, record {}", event.event, event.tenant, event.seq);
        }
    }
    for number in &verified.damaged_snapshots {
        complain!("damaged: snapshot {number}");
    }
    Ok(if verified.is_sound() { Exit::Done } else { Exit::Failed })
}

fn to_json(verified: &Verified, files: &Files) -> Value {
    let log = verified.damage.iter().map(|place| {
        let events = place.ids.iter().map(
            |event| json!({ "seq": event.seq.get(), "tenant": event.tenant.as_str(), "event": event.event.as_str() }),
        );
        json!({
            "segment": place.segment,
            "offset": place.offset,
            "what": place.damage.to_string(),
            "records": place.records.map(|(first, last)| [first.get(), last.get()]),
            "events": events.collect::<Vec<_>>(),
        })
    });
    let snapshots = verified.damaged_snapshots.iter().map(|number| json!({ "snapshot": number }));
    json!({
        "sound": verified.is_sound(),
        "records": verified.found.records,
        "segments": verified.found.segments,
        "snapshots": verified.snapshots,
        "pending_events": verified.found.pending,
        "bytes": files.bytes(),
        "torn_bytes": verified.found.torn,
        "damage": log.chain(snapshots).collect::<Vec<_>>(),
    })
}

//! `postrider journal verify`: every byte.

use std::io::{self, Write};

use postrider_core::id::JournalSeq;
use postrider_journal::store::Corrupt;
use postrider_journal::{StdDisk, Store};
use serde_json::{Value, json};

use super::Dir;
use super::files::Files;
use super::walk::{self, Damage};
use super::words::{self, counted};
use crate::exit::{Exit, Refusal, complain};
use crate::store;

/// What a journal was found to be.
struct Verified {
    files: Files,
    records: u64,
    /// Bytes of a write that was not finished.
    torn: u64,
    /// What is wrong with the log, as an opening would see it.
    log: Vec<Corrupt>,
    /// What is wrong with other files.
    others: Vec<Damage>,
}

/// Runs it.
pub(super) fn run(args: &Dir) -> Result<Exit, Refusal> {
    let verified = verify(args)?;
    let sound = verified.log.is_empty() && verified.others.is_empty();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", verified.to_json(sound))?;
    } else if sound {
        let (records, bytes) = (verified.records, words::bytes(verified.files.bytes()));
        let segments = counted(verified.files.segments.len() as u64, "segment", "segments");
        let snapshots = counted(verified.files.snapshots.len() as u64, "snapshot", "snapshots");
        writeln!(out, "sound: {records} records in {segments}, {snapshots}; {bytes}")?;
        if verified.torn > 0 {
            writeln!(
                out,
                "a write at the end was not finished, and nothing of it was acknowledged: it will be cut off"
            )?;
        }
    }
    out.flush()?;
    for place in &verified.log {
        complain!("damaged: {place}");
        for event in &place.ids {
            complain!("damaged: with it event {} of {}, record {}", event.event, event.tenant, event.seq);
        }
    }
    for damage in &verified.others {
        complain!("damaged: {damage}");
    }
    Ok(if sound { Exit::Done } else { Exit::Failed })
}

/// Reads so often, if files go while they are read.
const READS: usize = 10;

fn verify(args: &Dir) -> Result<Verified, Refusal> {
    let mut tries = 0;
    loop {
        let files = Files::look(&args.path)?;
        let disk = StdDisk::existing(&args.path);
        let disk = disk.map_err(|why| Refusal::new(format!("{}: {why}", args.path.display())))?;
        let look = Store::look(disk).map_err(|why| store::unopened(&args.path, &why, None))?;
        let failed = |why: io::Error| Refusal::new(format!("{}: {why}", args.path.display()));
        let walked = match walk::log(&files, JournalSeq::ZERO, |_| {}) {
            Err(why) if why.kind() == io::ErrorKind::NotFound && tries < READS => {
                tries += 1;
                continue;
            }
            walked => walked.map_err(failed)?,
        };
        let mut others = snapshots(&files).map_err(failed)?;
        // Of a segment that an opening would not use any more, too, every byte is read.
        let named: Vec<_> = look.damage().iter().map(|place| format!("{:010}.seg", place.segment)).collect();
        others.extend(walked.damage.iter().filter(|damage| !named.contains(&damage.file)).cloned());
        // Damage where another process was removing files may be none.
        let again = tries < READS && Files::look(&args.path)?.differs(&files);
        if again && !(look.damage().is_empty() && others.is_empty()) {
            tries += 1;
            continue;
        }
        let (records, torn, log) = (walked.records, look.found().torn, look.damage().to_vec());
        return Ok(Verified { files, records, torn, log, others });
    }
}

/// What is wrong with snapshots.
fn snapshots(files: &Files) -> io::Result<Vec<Damage>> {
    let mut damage = Vec::new();
    for snapshot in &files.snapshots {
        match walk::snapshot(files, snapshot, |_| {}) {
            Ok(read) => damage.extend(read.err()),
            // The other process had a newer one.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
    }
    Ok(damage)
}

impl Verified {
    fn to_json(&self, sound: bool) -> Value {
        let log = self.log.iter().map(|place| {
            let events = place.ids.iter().map(|event| {
                json!({ "seq": event.seq.get(), "tenant": event.tenant.as_str(), "event": event.event.as_str() })
            });
            json!({
                "segment": place.segment,
                "offset": place.offset,
                "what": place.damage.to_string(),
                "records": place.records.map(|(first, last)| [first.get(), last.get()]),
                "events": events.collect::<Vec<_>>(),
            })
        });
        let others = self.others.iter().map(|damage| {
            let records = damage.lost.map(|(first, last)| [first.get(), last.get()]);
            json!({ "file": damage.file, "offset": damage.offset, "what": damage.what, "records": records })
        });
        json!({
            "sound": sound,
            "records": self.records,
            "segments": self.files.segments.len(),
            "snapshots": self.files.snapshots.len(),
            "bytes": self.files.bytes(),
            "torn_bytes": self.torn,
            "damage": log.chain(others).collect::<Vec<_>>(),
        })
    }
}

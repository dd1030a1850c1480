//! `postrider journal compact`, `upgrade` and `backup`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider::journal::store::OpenError;
use postrider::journal::{Waiting, care};
use serde_json::json;

use super::files::Files;
use super::words;
use crate::exit::{Exit, Refusal, complain};
use crate::store;

/// What upkeep needs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Wait so long for another process that holds it
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    takeover: u64,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Copy a journal, whoever holds it, into a directory that is empty or not there; the copy opens
#[derive(clap::Args)]
pub(crate) struct Backup {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Where the copy goes
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Runs `compact`.
pub(super) fn compact(args: &Args) -> Result<Exit, Refusal> {
    let compacted = held(args, |path, takeover, tell| care::compact(path, takeover, tell))?;
    let (before, after) = (compacted.before, compacted.after);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "before": before, "after": after, "pieces": compacted.pieces }))?;
    } else {
        writeln!(out, "{} before, {} after", words::bytes(before), words::bytes(after))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Runs `upgrade`.
pub(super) fn upgrade(args: &Args) -> Result<Exit, Refusal> {
    let upgraded = held(args, |path, takeover, tell| care::upgrade(path, takeover, tell))?;
    let (from, to) = (upgraded.from, upgraded.to);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "from": from, "to": to }))?;
    } else if from == to {
        writeln!(out, "format {to} is the newest that this release knows; nothing to do")?;
    } else {
        writeln!(out, "format {to} is written from now on; it was {from}")?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Does something as the holder of the journal, after waiting for who has it.
fn held<T>(
    args: &Args,
    work: impl FnOnce(&Path, Duration, &mut dyn FnMut(Waiting)) -> Result<T, OpenError>,
) -> Result<T, Refusal> {
    Files::look(&args.path)?;
    let takeover = Duration::from_secs(args.takeover);
    let mut told = false;
    let done = work(&args.path, takeover, &mut |_| {
        if !std::mem::replace(&mut told, true) {
            let (path, secs) = (args.path.display(), takeover.as_secs());
            complain!("note: {path} is used by another process; waiting up to {secs} s");
        }
    });
    done.map_err(|why| store::unopened(&args.path, &why, None))
}

/// Runs `backup`.
pub(super) fn backup(args: &Backup) -> Result<Exit, Refusal> {
    Files::look(&args.path)?;
    let found = match care::backup(&args.path, &args.to) {
        Ok(found) => found,
        Err(OpenError::Corrupt(places)) => {
            complain!("error: {} is as damaged as the journal is", args.to.display());
            places.iter().for_each(|place| complain!("damaged: {place}"));
            return Ok(Exit::Failed);
        }
        Err(why) => return Err(store::unopened(&args.path, &why, None)),
    };
    let bytes = Files::look(&args.to)?.bytes();
    let mut out = io::stdout().lock();
    if args.json {
        let last = found.last.get();
        writeln!(out, "{}", json!({ "bytes": bytes, "last": last, "pending_events": found.pending }))?;
    } else {
        let pending = words::counted(found.pending, "event", "events");
        writeln!(out, "copied {} up to record {}, {pending} pending", words::bytes(bytes), found.last)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

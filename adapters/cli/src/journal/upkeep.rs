//! `postrider journal compact`, `upgrade` and `backup`.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use postrider_journal::history::Retention;
use postrider_journal::store::{OpenError, Options, Tidied};
use postrider_journal::{StdDisk, Store, care};
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
    let before = Files::look(&args.path)?.bytes();
    let failed = |why: &dyn std::fmt::Display| Refusal::new(format!("{}: {why}", args.path.display()));
    let _lock = lock(&args.path, Duration::from_secs(args.takeover))?;
    let mut store = open(&args.path)?;
    let mut pieces = 0u64;
    while store.tidy(words::now()).map_err(|why| failed(&why))? != Tidied::Nothing {
        pieces += 1;
    }
    store.close().map_err(|why| failed(&why))?;
    let after = Files::look(&args.path)?.bytes();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "before": before, "after": after, "pieces": pieces }))?;
    } else {
        writeln!(out, "{} before, {} after", words::bytes(before), words::bytes(after))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Runs `upgrade`.
pub(super) fn upgrade(args: &Args) -> Result<Exit, Refusal> {
    let takeover = Duration::from_secs(args.takeover);
    let mut told = false;
    let upgraded = care::upgrade(&args.path, takeover, &mut |_| {
        if !std::mem::replace(&mut told, true) {
            waiting(&args.path, takeover);
        }
    });
    let upgraded = upgraded.map_err(|why| store::unopened(&args.path, &why, None))?;
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

/// Opens a journal to keep it: whatever its sender keeps of what has ended is kept.
fn open(path: &Path) -> Result<Store<StdDisk>, Refusal> {
    let disk = StdDisk::existing(path).map_err(|why| Refusal::new(format!("{}: {why}", path.display())))?;
    let mut options = Options::default();
    let mut retention = Retention::default();
    (retention.payloads, retention.attempts) = (Duration::MAX, Duration::MAX);
    (retention.payload_bytes, retention.attempt_bytes) = (u64::MAX, u64::MAX);
    options.retention = retention;
    Store::open(disk, options, words::now()).map_err(|why| store::unopened(path, &why, None))
}

/// Takes the lock of a journal for as long as the file lives, after waiting for who has it.
fn lock(path: &Path, wait: Duration) -> Result<fs::File, Refusal> {
    const POLL: Duration = Duration::from_millis(100);
    let name = path.join("lock");
    let failed = |why: &dyn std::fmt::Display| Refusal::new(format!("{}: {why}", name.display()));
    // There is none in a copy that nobody has opened yet.
    Files::look(path)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name);
    let file = file.map_err(|why| failed(&why))?;
    let start = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(why)) => return Err(failed(&why)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait => {
                return Err(Refusal::new(format!(
                    "{}: another process has it, and still had it after {} s; wait longer for it by --takeover",
                    path.display(),
                    wait.as_secs()
                )));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !std::mem::replace(&mut told, true) {
            waiting(path, wait);
        }
        thread::sleep(POLL);
    }
}

fn waiting(path: &Path, wait: Duration) {
    complain!("note: {} is used by another process; waiting up to {} s", path.display(), wait.as_secs());
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

//! `postrider journal compact`, `upgrade` and `backup`.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::JournalSeq;
use postrider_core::journal::FORMAT;
use postrider_journal::history::Retention;
use postrider_journal::store::{Options, Tidied};
use postrider_journal::{StdDisk, Store};
use serde_json::json;

use super::files::Files;
use super::walk;
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

/// Runs `upgrade`. There is one format so far, so nothing is rewritten; what is of a later one is refused by name.
pub(super) fn upgrade(args: &Args) -> Result<Exit, Refusal> {
    let _lock = lock(&args.path, Duration::from_secs(args.takeover))?;
    // Says what is wrong, if anything is: a journal that is damaged is not upgraded.
    drop(open(&args.path)?);
    let files = Files::look(&args.path)?;
    let formats = files.segments.iter().filter_map(|segment| segment.head.as_ref().ok()).map(|head| head.format);
    let oldest = formats.min().unwrap_or(FORMAT);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "oldest": oldest, "format": FORMAT, "rewritten": 0 }))?;
    } else {
        writeln!(out, "format {FORMAT}, the newest that this release knows; nothing to do")?;
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
            complain!("note: {} is used by another process; waiting up to {} s", path.display(), wait.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Copies so often, if files go while they are copied.
const COPIES: usize = 10;

/// Runs `backup`.
pub(super) fn backup(args: &Backup) -> Result<Exit, Refusal> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| Refusal::new(format!("{}: {why}", path.display()));
    Files::look(&args.path)?;
    prepare(&args.to).map_err(|why| failed(&args.to, &why))?;
    let mut tries = 0;
    let bytes = loop {
        let files = Files::look(&args.path)?;
        match copy(&files, &args.to) {
            Ok(bytes) if !Files::look(&args.path)?.differs(&files) => break bytes,
            Ok(_) if tries < COPIES => {}
            Err(why) if why.kind() == io::ErrorKind::NotFound && tries < COPIES => {}
            Ok(_) => return Err(failed(&args.path, &"files come and go too fast to be copied; try again")),
            Err(why) => return Err(failed(&args.to, &why)),
        }
        tries += 1;
        empty(&args.to).map_err(|why| failed(&args.to, &why))?;
    };
    let look = StdDisk::existing(&args.to)
        .map_err(|why| failed(&args.to, &why))
        .and_then(|disk| Store::look(disk).map_err(|why| failed(&args.to, &why)))?;
    for damage in look.damage() {
        complain!("damaged: {damage}");
    }
    let (found, sound) = (look.found(), look.damage().is_empty());
    let mut out = io::stdout().lock();
    if args.json {
        let last = found.last.get();
        writeln!(out, "{}", json!({ "bytes": bytes, "last": last, "pending_events": found.pending, "sound": sound }))?;
    } else {
        let pending = words::counted(found.pending, "event", "events");
        writeln!(out, "copied {} up to record {}, {pending} pending", words::bytes(bytes), found.last)?;
    }
    out.flush()?;
    Ok(if sound { Exit::Done } else { Exit::Failed })
}

/// Makes the directory of a copy, readable for its owner alone, or sees that it is empty.
fn prepare(to: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(to) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    match fs::read_dir(to)?.next() {
        None => Ok(()),
        Some(_) => Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the directory is not empty")),
    }
}

/// Copies what a journal consists of: first what says how far the log goes, then snapshots, then the log, which only
/// grows meanwhile; of its last segment, what is sound. Says how many bytes that were.
fn copy(files: &Files, to: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for name in ["acked", "lost.txt"] {
        match fs::read(files.path.join(name)) {
            Ok(contents) => bytes += write(to, name, &contents)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
    }
    for snapshot in &files.snapshots {
        bytes += write(to, &snapshot.name, &files.read(&snapshot.name)?)?;
    }
    let Some((last, others)) = files.segments.split_last() else { return Ok(bytes) };
    for segment in others {
        bytes += write(to, &segment.name, &files.read(&segment.name)?)?;
    }
    let walked = walk::log(files, last.first.unwrap_or(JournalSeq::new(u64::MAX)), |_| {})?;
    let end = walked.end.filter(|end| end.name == last.name);
    let len = end.filter(|_| walked.damage.is_empty()).map_or(last.bytes, |end| end.offset);
    bytes += write(to, &last.name, &files.read_from(&last.name, 0, len)?)?;
    fs::File::open(to)?.sync_all()?;
    Ok(bytes)
}

fn write(to: &Path, name: &str, bytes: &[u8]) -> io::Result<u64> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(to.join(name))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(bytes.len() as u64)
}

/// Removes what a copy that failed has left.
fn empty(to: &Path) -> io::Result<()> {
    fs::read_dir(to)?.try_for_each(|entry| fs::remove_file(entry?.path()))
}

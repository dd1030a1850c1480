//! The flight recorder's files: a bounded ring of them in a directory.
//!
//! Each run of a machine writes `RRRRRRRRRR-PPPPPP.trace`: the number of the run and of the piece, both counted from 1.
//! The pieces of a run, laid one behind the other, are its trace (see [`postrider_core::sender::trace`]). When all files
//! together have more bytes than allowed, the oldest go. A run whose first piece has gone can no longer be run again:
//! give the ring room for the longest run that matters.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use postrider_core::sender::trace::Detail;

/// Bytes of one piece, as a share of all: a ring has so many pieces at least.
const PIECES: u64 = 16;

/// Bytes that a ring may take, when nothing else is said: 256 MiB.
pub const FLIGHT_BYTES: u64 = 256 << 20;

/// Whether and where a sender writes down everything that happens to it: for builders.
#[derive(Clone, Debug)]
#[must_use = "nothing is written down until a sender is made with it"]
pub struct FlightRecorder {
    dir: PathBuf,
    bytes: u64,
    detail: Detail,
}

impl FlightRecorder {
    /// Into this directory, which is made if need be, at most [`FLIGHT_BYTES`] over all runs; payloads and secrets are
    /// replaced by stand-ins of the same length.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), bytes: FLIGHT_BYTES, detail: Detail::StandIns }
    }

    /// Sets how many bytes all files may take together.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Writes payloads and secrets as they are. The files are as secret as they.
    pub fn with_everything(mut self) -> Self {
        self.detail = Detail::Everything;
        self
    }

    pub(crate) const fn detail(&self) -> Detail {
        self.detail
    }

    pub(crate) fn begin(&self) -> io::Result<Flight> {
        Flight::begin(&self.dir, self.bytes)
    }
}

/// The files that a machine's trace goes to.
#[derive(Debug)]
pub struct Flight {
    dir: PathBuf,
    limit: u64,
    run: u64,
    piece: u64,
    file: File,
    written: u64,
}

impl Flight {
    /// Begins the trace of a new run in `dir`, which is made if need be. All traces in it together take `limit` bytes at
    /// most, and one piece more.
    pub fn begin(dir: impl Into<PathBuf>, limit: u64) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        let run = pieces(&dir)?.last().map_or(0, |(run, ..)| *run) + 1;
        let file = create(&dir, run, 1)?;
        Ok(Self { dir, limit, run, piece: 1, file, written: 0 })
    }

    /// Where the trace of this run begins.
    pub fn path(&self) -> PathBuf {
        path(&self.dir, self.run, 1)
    }

    /// Appends what a [`Recorder`](postrider_core::sender::trace::Recorder) gave. After an error the trace has a hole,
    /// and whoever writes it should stop.
    pub fn write(&mut self, trace: &[u8]) -> io::Result<()> {
        if trace.is_empty() {
            return Ok(());
        }
        self.file.write_all(trace)?;
        self.written += trace.len() as u64;
        if self.written >= (self.limit / PIECES).max(1) {
            self.piece += 1;
            self.file = create(&self.dir, self.run, self.piece)?;
            self.written = 0;
            self.forget()?;
        }
        Ok(())
    }

    /// Removes the oldest pieces until the others are few enough.
    fn forget(&self) -> io::Result<()> {
        let pieces = pieces(&self.dir)?;
        let mut bytes: u64 = pieces.iter().map(|(_, _, len)| len).sum();
        for (run, piece, len) in pieces {
            if bytes <= self.limit || (run, piece) == (self.run, self.piece) {
                break;
            }
            fs::remove_file(path(&self.dir, run, piece))?;
            bytes -= len;
        }
        Ok(())
    }
}

/// Reads a trace: one file, all the pieces of the run that begins with that file, or the newest run of a directory.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when a directory holds no trace, or not the beginning of its newest run.
pub fn read_trace(from: &Path) -> io::Result<Bytes> {
    let missing = |what: String| io::Error::new(io::ErrorKind::NotFound, what);
    if !from.is_dir() {
        let mut bytes = fs::read(from)?;
        let numbers = from.file_name().and_then(|name| numbers(name.to_str()?));
        let dir = from.parent().unwrap_or_else(|| Path::new("."));
        if let Some((run, 1)) = numbers {
            append(&mut bytes, dir, run, 2)?;
        }
        return Ok(bytes.into());
    }
    let newest = pieces(from)?.last().map(|(run, ..)| *run);
    let run = newest.ok_or_else(|| missing(format!("there is no trace in {}", from.display())))?;
    let mut bytes = Vec::new();
    append(&mut bytes, from, run, 1)?;
    if bytes.is_empty() {
        let first = path(from, run, 1);
        return Err(missing(format!("{} has gone: the ring was too small for this run", first.display())));
    }
    Ok(bytes.into())
}

fn append(bytes: &mut Vec<u8>, dir: &Path, run: u64, from: u64) -> io::Result<()> {
    for piece in from.. {
        match fs::read(path(dir, run, piece)) {
            Ok(more) => bytes.extend(more),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn create(dir: &Path, run: u64, piece: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path(dir, run, piece))
}

fn path(dir: &Path, run: u64, piece: u64) -> PathBuf {
    dir.join(format!("{run:010}-{piece:06}.trace"))
}

/// All pieces with their lengths, the oldest first.
fn pieces(dir: &Path) -> io::Result<Vec<(u64, u64, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some((run, piece)) = entry.file_name().to_str().and_then(numbers) {
            found.push((run, piece, entry.metadata()?.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn numbers(name: &str) -> Option<(u64, u64)> {
    let (run, piece) = name.strip_suffix(".trace")?.split_once('-')?;
    Some((run.parse().ok()?, piece.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Flight::begin(dir.path(), 64).unwrap();
        (0..4u8).for_each(|n| first.write(&[n; 4]).unwrap());
        let whole: Vec<u8> = (0..4u8).flat_map(|n| [n; 4]).collect();
        assert_eq!(read_trace(dir.path()).unwrap(), whole);
        assert_eq!(read_trace(&first.path()).unwrap(), whole);

        let mut second = Flight::begin(dir.path(), 64).unwrap();
        (0..14u8).for_each(|n| second.write(&[n; 4]).unwrap());
        assert!(fs::metadata(first.path()).is_err(), "the first run's beginning has gone");
        assert_eq!(read_trace(dir.path()).unwrap().len(), 56);
        (0..14u8).for_each(|n| second.write(&[n; 4]).unwrap());
        let error = read_trace(dir.path()).unwrap_err();
        assert!(error.to_string().contains("too small for this run"), "{error}");
        let left: u64 = pieces(dir.path()).unwrap().iter().map(|(_, _, len)| len).sum();
        assert!((60..=68).contains(&left), "{left}");
    }

    #[test]
    fn without_a_trace_there_is_an_error_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_trace(dir.path()).unwrap_err().to_string().contains("there is no trace"));
        assert_eq!(read_trace(&dir.path().join("x")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

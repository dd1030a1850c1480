//! A store of your own in the simulator: it keeps one file on the simulated disk, and must lose nothing that it
//! acknowledged, whatever happens to the disk.
//!
//! `cargo run --release -p postrider-sim --example own_store`
//!
//! The store is as simple as one can be. It never forgets anything, it reads all of its file at a start, and its file
//! is a row of `length | checksum | frame`. A write that was not finished is cut off at the next start. Leave out the
//! `sync` in [`Store::sync`] below, and the first seeds fail.

use std::collections::BTreeMap;
use std::process::ExitCode;

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Record};
use postrider_core::sender::{LoadError, PersistBatch, SnapshotPart, Watermark};
use postrider_core::time::UnixTime;
use postrider_journal::store::Tidied;
use postrider_journal::{Disk, File};
use postrider_sim::disk::{SimDisk, SimFile};
use postrider_sim::profile::{Class, Classes, Profile, Scale};
use postrider_sim::store::{Failure, Opened, Store, Stores, Unopened};
use postrider_sim::trace::Hasher;
use postrider_sim::world::{Cast, World};

/// The name of the file.
const NAME: &str = "everything";

/// Opens the stores of nodes: one on each disk.
struct Files;

/// A store.
struct OneFile {
    file: SimFile,
    /// Where the next record goes.
    end: u64,
    /// Frames by the numbers of their records.
    frames: BTreeMap<JournalSeq, Bytes>,
}

impl Stores for Files {
    fn open(&mut self, disk: &SimDisk, _: &Profile, _: UnixTime, _: bool) -> Result<Opened, Unopened> {
        let io = |error: std::io::Error| Unopened::Io(error.to_string());
        let file = match disk.open(NAME) {
            Ok(file) => file,
            Err(_) => {
                let file = disk.create(NAME, 0).map_err(io)?;
                disk.sync_dir().map_err(io)?;
                file
            }
        };
        let mut bytes = vec![0; usize::try_from(file.len().map_err(io)?).expect("a simulated file is small")];
        file.read_at(0, &mut bytes).map_err(io)?;
        let (frames, end) = read(&Bytes::from(bytes));
        file.set_len(end).map_err(io)?;
        file.sync().map_err(io)?;
        let records = frames.values().map(decode).collect();
        Ok(Opened { store: Box::new(OneFile { file, end, frames }), records, lost: Vec::new(), missing: Vec::new() })
    }
}

impl Store for OneFile {
    fn append(&mut self, batch: &PersistBatch) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for (key, frame) in batch.records() {
            let len = u32::try_from(frame.len()).expect("a record is smaller than 4 GiB");
            bytes.extend(len.to_le_bytes());
            bytes.extend(checksum(&frame).to_le_bytes());
            bytes.extend(&frame[..]);
            self.frames.insert(key.seq, frame);
        }
        self.file.write_at(self.end, &bytes).map_err(|_| Failure::Broken)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<JournalSeq, Failure> {
        self.file.sync().map_err(|_| Failure::Broken)?;
        Ok(self.frames.keys().next_back().copied().unwrap_or(JournalSeq::ZERO))
    }

    fn load(&mut self, wanted: &[JournalSeq]) -> Result<Vec<(JournalSeq, Record)>, LoadError> {
        wanted.iter().map(|seq| self.frames.get(seq).map(decode).ok_or(LoadError::Corrupt)).collect()
    }

    fn snapshot(&mut self, _: &SnapshotPart) {}

    fn reclaim(&mut self, _: Watermark) {}

    fn tidy(&mut self, _: UnixTime) -> Result<Tidied, Failure> {
        Ok(Tidied::Nothing)
    }

    fn room(&mut self) -> Option<u64> {
        None
    }
}

/// The records of a file up to where they are whole, and where that is.
fn read(bytes: &Bytes) -> (BTreeMap<JournalSeq, Bytes>, u64) {
    let (mut frames, mut at) = (BTreeMap::new(), 0);
    while let Some(head) = bytes.get(at..at + 12) {
        let len = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let sum = u64::from_le_bytes(head[4..].try_into().expect("eight bytes"));
        let from = at + 12;
        if len == 0 || from + len > bytes.len() || checksum(&bytes[from..from + len]) != sum {
            break;
        }
        let frame = bytes.slice(from..from + len);
        frames.insert(decode(&frame).0, frame);
        at = from + len;
    }
    (frames, at as u64)
}

fn decode(frame: &Bytes) -> (JournalSeq, Record) {
    let first = Frames::new(frame.clone()).next().expect("there is one frame");
    first.expect("its checksum is right")
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = Hasher::default();
    hash.bytes(bytes);
    hash.finish() as u64
}

fn main() -> ExitCode {
    // What this store promises nothing about: a disk that fails, is full, lies or rots.
    let beyond = [Class::SyncError, Class::WriteError, Class::DiskFull, Class::Lies, Class::Rot, Class::Torn];
    let allowed = beyond.into_iter().fold(Classes::ALL, Classes::without);
    let scale = Scale { allowed, ..Scale::hours(3) };
    for seed in 0..12 {
        let cast = Cast { stores: Box::new(Files), ..Cast::usual() };
        let verdict = World::new(seed, &scale, cast).run();
        if let Some((at, broken)) = verdict.broken {
            println!("seed {seed} fails at {at}: {broken}");
            return ExitCode::FAILURE;
        }
        let counts = verdict.counts;
        println!("seed {seed} holds: {} events, {} restarts", counts.accepted, counts.restarts);
    }
    ExitCode::SUCCESS
}

//! Snapshots: written aside while the log goes on, and read at opening.

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{
    self, Batch, BatchWriter, Chain, HeadError, Kind, Record, SEGMENT_HEAD, Scan, SnapshotHead, StoreId,
};

use super::found::OpenError;
use super::segments::{discard, failed, install};
use super::{StoreError, names};
use crate::{Disk, File, LogError};

/// Snapshots that are kept: the newest, and the one before it should the newest be damaged.
const KEPT: usize = 2;

/// Bytes written between two syncs of one, so that the last sync has little to do.
const SYNC_EVERY: u64 = 4 << 20;

/// The snapshots of a store.
pub(super) struct Snapshots<D: Disk> {
    /// Those that may be used, the oldest first.
    kept: Vec<Kept>,
    /// The highest number that any ever had.
    last: u64,
    writing: Option<Writing<D>>,
    /// The newest one that was written since opening, by the machine's number.
    newest: Option<u64>,
    /// Files that are no longer needed.
    over: Vec<String>,
}

/// A snapshot that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: u64,
    /// The last record that it makes unnecessary.
    pub(super) since: JournalSeq,
}

/// A part of a snapshot, as the machine hands it out.
pub(super) struct Part<'a> {
    /// The machine's number of the snapshot.
    pub(super) number: u64,
    pub(super) part: u32,
    pub(super) is_last: bool,
    pub(super) bytes: &'a Bytes,
}

/// A snapshot that has no end yet.
struct Writing<D: Disk> {
    /// The machine's number.
    machine: u64,
    /// The next part.
    part: u32,
    number: u64,
    since: JournalSeq,
    file: D::File,
    writer: BatchWriter,
    synced: u64,
    /// Room for a part as it is written; the next one takes as much.
    room: Vec<u8>,
}

impl<D: Disk> Snapshots<D> {
    /// Those that were found, the oldest first; `last` is the highest number of any file.
    pub(super) const fn new(kept: Vec<Kept>, last: u64) -> Self {
        Self { kept, last, writing: None, newest: None, over: Vec::new() }
    }

    /// Writes a part. One that cannot be written voids its snapshot. Whether files changed.
    pub(super) fn part(&mut self, disk: &D, store: StoreId, part: &Part<'_>) -> bool {
        if part.part == 0 {
            self.void(disk);
            self.writing = self.begin(disk, store, part).ok();
        }
        let expected = self.writing.as_ref().is_some_and(|now| now.machine == part.number && now.part == part.part);
        if !expected || self.write(disk, part).is_err() {
            self.void(disk);
        }
        part.part == 0 || part.is_last
    }

    /// The machine needs nothing that this snapshot of its own stands for: says what is settled from now on, if that
    /// is the newest one and it is durable.
    pub(super) fn reclaim(&mut self, machine: u64) -> Option<JournalSeq> {
        if self.newest != Some(machine) {
            return None;
        }
        while self.kept.len() > KEPT {
            let over = self.kept.remove(0);
            self.over.push(names::snapshot(over.number));
        }
        Some(self.settled())
    }

    /// What both kept snapshots stand for. With one alone, the log must still go back to the beginning.
    pub(super) fn settled(&self) -> JournalSeq {
        if self.kept.len() < KEPT { JournalSeq::ZERO } else { self.kept[self.kept.len() - KEPT].since }
    }

    /// Removes a file that is no longer needed; whether there was one.
    pub(super) fn tidy(&mut self, disk: &D) -> bool {
        self.over.pop().inspect(|name| discard(disk, name)).is_some()
    }

    fn begin(&mut self, disk: &D, store: StoreId, part: &Part<'_>) -> Result<Writing<D>, StoreError> {
        let begin = journal::decode(&mut part.bytes.clone());
        let Ok((_, Record::SnapshotBegin(begin))) = begin else { return Err(StoreError::NotSettled) };
        self.last += 1;
        let head = SnapshotHead::new(store, self.last);
        let aside = names::aside(&names::snapshot(self.last));
        let file = disk.create(&aside, 0).and_then(|file| file.write_at(0, &head.encode()).map(|()| file));
        Ok(Writing {
            machine: part.number,
            part: 0,
            number: self.last,
            since: begin.since,
            file: file.map_err(|error| StoreError::of(&error, "writing", &aside))?,
            writer: BatchWriter::new(head.seat(), SEGMENT_HEAD as u64, Chain::START),
            synced: 0,
            room: Vec::new(),
        })
    }

    fn write(&mut self, disk: &D, part: &Part<'_>) -> Result<(), StoreError> {
        let Some(now) = &mut self.writing else { return Err(StoreError::NotSettled) };
        let name = names::snapshot(now.number);
        let (start, out) = (now.writer.offset(), &mut now.room);
        out.clear();
        // Each record gets its checksum, and records of a snapshot are short.
        out.reserve(part.bytes.len() + part.bytes.len() / 8);
        let written = match part.is_last {
            true => now.writer.write_end(part.bytes, out),
            false => now.writer.write(part.bytes, out),
        };
        written.map_err(|_| StoreError::NotSettled)?;
        let mut done = now.file.write_at(start, out);
        if done.is_ok() && !part.is_last && now.writer.offset() - now.synced >= SYNC_EVERY {
            done = now.file.sync();
            now.synced = now.writer.offset();
        }
        done.map_err(|error| StoreError::of(&error, "writing", &name))?;
        now.part += 1;
        if part.is_last {
            #[cfg(postrider_planted)]
            if postrider_core::planted::breaks(67) {
                let done = disk.rename(&names::aside(&name), &name).and_then(|()| disk.sync_dir());
                self.kept.push(Kept { number: now.number, since: now.since });
                (self.newest, self.writing) = (Some(now.machine), None);
                return done.map_err(|error| StoreError::of(&error, "making", &name));
            }
            install(disk, &now.file, &names::aside(&name), &name)?;
            self.kept.push(Kept { number: now.number, since: now.since });
            self.newest = Some(now.machine);
            self.writing = None;
        }
        Ok(())
    }

    fn void(&mut self, disk: &D) {
        if let Some(now) = self.writing.take() {
            discard(disk, &names::aside(&names::snapshot(now.number)));
        }
    }
}

/// What a sound snapshot says that opening needs to know.
pub(super) struct Summary {
    pub(super) since: JournalSeq,
    /// The last record whose effects it may show.
    pub(super) through: JournalSeq,
    /// Its pending events, in order.
    pub(super) events: Vec<JournalSeq>,
    /// The frames of its endpoints; they hold the memory of the whole snapshot.
    pub(super) endpoints: Vec<Bytes>,
}

/// The header of a snapshot; `None` when it is damaged.
pub(super) fn head<D: Disk>(disk: &D, number: u64) -> Result<Option<SnapshotHead>, OpenError> {
    let name = names::snapshot(number);
    let mut bytes = [0; SEGMENT_HEAD];
    let read = disk.open(&name).and_then(|file| file.read_at(0, &mut bytes));
    let read = read.map_err(|error| OpenError::io("reading", &name, &error))?;
    match SnapshotHead::decode(&bytes[..read]) {
        Ok(head) => Ok(Some(head)),
        Err(HeadError::Newer { format, known }) => Err(OpenError::Newer { file: name, format, known }),
        Err(_) => Ok(None),
    }
}

/// A snapshot's batches, if it is sound to its end; with damage, `None`.
pub(super) fn batches<D: Disk>(disk: &D, store: StoreId, number: u64) -> Result<Option<Scan>, OpenError> {
    let name = names::snapshot(number);
    let bytes = read_all(disk, &name).map_err(|error| match error {
        LogError::Io { doing, kind } => OpenError::Io { doing, kind },
        LogError::Damaged { place, .. } => OpenError::Io { doing: place, kind: std::io::ErrorKind::InvalidData },
    })?;
    match SnapshotHead::decode(&bytes) {
        Ok(head) if head.store == store && head.number == number => {
            let rest = bytes.slice(SEGMENT_HEAD..);
            Ok(Some(Scan::new(head.seat(), &rest, SEGMENT_HEAD as u64, Chain::START)))
        }
        Err(HeadError::Newer { format, known }) => Err(OpenError::Newer { file: name, format, known }),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Reads a snapshot to its end; `None` when it is damaged.
pub(super) fn summary<D: Disk>(disk: &D, store: StoreId, number: u64) -> Result<Option<Summary>, OpenError> {
    let Some(scan) = batches(disk, store, number)? else { return Ok(None) };
    let (events, endpoints) = (Vec::new(), Vec::new());
    let mut summary = Summary { since: JournalSeq::ZERO, through: JournalSeq::ZERO, events, endpoints };
    let (mut began, mut ended) = (false, false);
    for batch in scan {
        if ended {
            return Ok(None);
        }
        ended = batch.ends;
        for (_, mut frame) in batch.records() {
            let Ok((key, _)) = journal::peek(&frame) else { return Ok(None) };
            match key.kind {
                Kind::Event => summary.events.extend(key.event),
                Kind::Endpoint => summary.endpoints.push(frame),
                Kind::SnapshotBegin | Kind::SnapshotEnd => match journal::decode(&mut frame) {
                    Ok((_, Record::SnapshotBegin(begin))) => (began, summary.since) = (true, begin.since),
                    Ok((_, Record::SnapshotEnd { through })) => summary.through = through,
                    Ok(_) | Err(_) => return Ok(None),
                },
                Kind::Genesis
                | Kind::Opened
                | Kind::Accepted
                | Kind::Removed
                | Kind::Queued
                | Kind::Outcome
                | Kind::Mark
                | Kind::Ended
                | Kind::Cancelled
                | Kind::Pending
                | Kind::Remembered
                | Kind::Purged
                | Kind::Erased
                | Kind::Kept
                | Kind::Lane
                | Kind::Health
                | Kind::Synced
                | Kind::Consent
                | Kind::KeyUse => {}
            }
        }
    }
    summary.events.sort_unstable();
    Ok((began && ended).then_some(summary))
}

/// Where a snapshot begins, from its first part alone; `None` when that is damaged.
pub(super) fn since<D: Disk>(disk: &D, store: StoreId, number: u64) -> Option<JournalSeq> {
    let first: Batch = batches(disk, store, number).ok()??.next()?;
    let (_, mut frame) = first.records().next()?;
    match journal::decode(&mut frame) {
        Ok((_, Record::SnapshotBegin(begin))) => Some(begin.since),
        Ok(_) | Err(_) => None,
    }
}

/// The whole of a file.
pub(super) fn read_all<D: Disk>(disk: &D, name: &str) -> Result<Bytes, LogError> {
    let read = || {
        let file = disk.open(name)?;
        let len = usize::try_from(file.len()?).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        std::io::Result::Ok(Bytes::from(bytes))
    };
    read().map_err(|error| failed("reading", name, &error))
}

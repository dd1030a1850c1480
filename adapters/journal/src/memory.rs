//! A log that dies with its process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Kind};
use postrider_core::sender::{Input, LoadError, LoadRequest, PersistBatch, SnapshotPart, Watermark};

use crate::{Done, Durability, Log, LogError, Records};

/// A log in memory: acknowledges at once, within [`append`](Log::append), and never fails.
///
/// [`new`](Self::new) keeps the accepted events that have not ended, so that a machine can let go of their payloads and
/// load them again; a machine cannot be restored from it. [`keeping`](Self::keeping) keeps everything that restoring
/// needs, as a log on disk does: for tests, and for a sender that is taken down and put up again within one process.
///
/// A clone is the same log.
#[derive(Clone, Default)]
pub struct MemoryLog {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// Keep every record, not only accepted events that have not ended.
    all: bool,
    frames: BTreeMap<JournalSeq, Bytes>,
    /// Events that have not ended, where every record is kept: their accepted records stay whatever is reclaimed.
    owed: BTreeSet<JournalSeq>,
    /// Bytes of `frames`.
    bytes: usize,
    /// Parts of the newest complete snapshot.
    snapshot: Vec<Bytes>,
    /// Parts of the one that has no end yet.
    partial: Vec<Bytes>,
}

impl MemoryLog {
    /// A log that keeps the events that have not ended, and nothing else. Its memory is that of their records.
    pub fn new() -> Self {
        Self::default()
    }

    /// A log that keeps every record until it is reclaimed, so that a machine can be restored from a clone of it.
    pub fn keeping() -> Self {
        let log = Self::new();
        log.kept().all = true;
        log
    }

    /// How many records it keeps, those of snapshots aside.
    pub fn len(&self) -> usize {
        self.kept().frames.len()
    }

    /// Whether it keeps no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the records that it keeps, those of snapshots aside.
    pub fn bytes(&self) -> usize {
        self.kept().bytes
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked while holding it had not begun to change it, or had finished.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn records(&mut self) -> Records<'_> {
        let kept = self.kept();
        if !kept.all {
            return Box::new(std::iter::empty());
        }
        let parts: Vec<_> = kept.snapshot.iter().chain(kept.frames.values()).cloned().collect();
        Box::new(
            parts.into_iter().flat_map(Frames::new).map(|read| {
                read.map_err(|why| LogError::Damaged { place: "in memory".to_owned(), why: why.to_string() })
            }),
        )
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        self.kept().append(&batch);
        done(Input::Persisted(batch.last()));
    }

    fn load(&mut self, request: LoadRequest, done: Done) {
        let found: Vec<_> = {
            let kept = self.kept();
            request.records().iter().filter_map(|seq| kept.frames.get(seq).cloned()).collect()
        };
        let records = found.into_iter().flat_map(Frames::new).collect::<Result<Vec<_>, _>>();
        done(Input::Loaded { request: request.id(), result: records.map_err(|_| LoadError::Corrupt) });
    }

    fn snapshot(&mut self, part: SnapshotPart) {
        let mut kept = self.kept();
        if !kept.all {
            return;
        }
        if part.part() == 0 {
            kept.partial.clear();
        }
        kept.partial.push(part.bytes().clone());
        if part.is_last() {
            kept.snapshot = std::mem::take(&mut kept.partial);
        }
    }

    fn reclaim(&mut self, mark: Watermark) {
        let mut kept = self.kept();
        let Kept { frames, owed, bytes, .. } = &mut *kept;
        frames.retain(|seq, frame| {
            let stays = *seq >= mark.needed_from() || owed.contains(seq);
            *bytes -= if stays { 0 } else { frame.len() };
            stays
        });
    }
}

impl Kept {
    fn append(&mut self, batch: &PersistBatch) {
        for (key, frame) in batch.records() {
            if self.all && key.kind == Kind::Accepted {
                self.owed.insert(key.seq);
            } else if self.all && key.kind == Kind::Ended {
                self.owed.remove(&key.event.unwrap_or_default());
            }
            if self.all || key.kind == Kind::Accepted {
                // A small frame must not keep the memory of a large batch.
                let crowded = frame.len() * 2 < batch.bytes().len();
                let frame = if crowded { Bytes::copy_from_slice(&frame) } else { frame };
                self.bytes += frame.len();
                let replaced = self.frames.insert(key.seq, frame);
                self.bytes -= replaced.map_or(0, |old| old.len());
            } else if key.kind == Kind::Ended {
                let ended = key.event.and_then(|event| self.frames.remove(&event));
                self.bytes -= ended.map_or(0, |old| old.len());
            }
        }
    }
}

impl fmt::Debug for MemoryLog {
    /// Without the records, in which there are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        f.debug_struct("MemoryLog").field("records", &kept.frames.len()).field("bytes", &kept.bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    use postrider_core::event::Event;
    use postrider_core::journal::Record;
    use postrider_core::limits::Limits;
    use postrider_core::registration::Endpoint;
    use postrider_core::secret::Secret;
    use postrider_core::seed::Seed;
    use postrider_core::sender::{Config, Output, Restore, Sender, Wake};
    use postrider_core::time::{Instant, Now};

    fn machine() -> Sender {
        Sender::new(Config::new(), Seed::from_bytes([7; 32]), Now::default())
    }

    /// Drives a machine with the log until nothing happens any more; says what it asked for besides records.
    fn run(machine: &mut Sender, log: &mut MemoryLog) -> Vec<&'static str> {
        let (mut said, mut now) = (Vec::new(), machine.now());
        loop {
            let (tell, told) = mpsc::channel();
            let done = || -> Done {
                let tell = tell.clone();
                Box::new(move |input| tell.send(input).unwrap())
            };
            let wake = loop {
                match machine.poll_output() {
                    Output::Persist(batch) => log.append(batch, done()),
                    Output::Load(request) => log.load(request, done()),
                    Output::Snapshot(part) => {
                        said.push(if part.is_last() { "snapshot" } else { "part" });
                        log.snapshot(part);
                    }
                    Output::Reclaim(mark) => {
                        said.push("reclaim");
                        log.reclaim(mark);
                    }
                    Output::Transmit(_) => said.push("transmit"),
                    Output::Abort(_) | Output::Notice(_) => {}
                    Output::Wait(wake) => break wake,
                }
            };
            let facts: Vec<_> = told.try_iter().collect();
            match wake {
                _ if !facts.is_empty() => {}
                Wake::Ready => {}
                Wake::At(at) if at.saturating_since(now.mono) < core::time::Duration::from_secs(1) => {
                    now = Now { mono: at, ..now };
                    machine.handle(now, Input::Tick);
                }
                Wake::At(_) | Wake::Input | Wake::Closed => return said,
            }
            facts.into_iter().for_each(|fact| machine.handle(now, fact));
        }
    }

    fn publish(machine: &mut Sender, event_type: &str, id: usize) -> JournalSeq {
        let event = Event::raw(event_type, "text/plain", Bytes::from(vec![b'x'; 100])).unwrap().id(format!("e{id}"));
        machine.publish(machine.now(), event).unwrap().seq
    }

    fn put(machine: &mut Sender) {
        let endpoint = Endpoint::new("acme", "https://acme.com/").events(["order.**"]);
        let endpoint = endpoint.signing_key(Secret::from_bytes([7; 32]).unwrap());
        machine.put(machine.now(), endpoint).unwrap();
    }

    fn restore(log: &mut MemoryLog) -> Sender {
        let records = log.records().map(|record| record.unwrap());
        records.fold(Restore::new(Config::new()), Restore::record).finish(Now::default()).unwrap()
    }

    #[test]
    fn only_what_may_be_loaded_is_kept() {
        let (mut machine, mut log) = (machine(), MemoryLog::new());
        put(&mut machine);
        let owed = publish(&mut machine, "order.paid", 1);
        publish(&mut machine, "nobody.cares", 2);
        assert_eq!(run(&mut machine, &mut log), ["transmit"]);
        assert_eq!(log.kept().frames.keys().copied().collect::<Vec<_>>(), [owed]);
        let frame = log.kept().frames[&owed].clone();
        assert_eq!(log.bytes(), frame.len());
        let (seq, record) = Frames::new(frame).next().unwrap().unwrap();
        assert!(seq == owed && matches!(record, Record::Accepted(accepted) if accepted.payload.len() == 100));
        assert_eq!(log.records().count(), 0);
    }

    #[test]
    fn what_is_kept_makes_the_same_machine() {
        let (mut machine, mut log) = (machine(), MemoryLog::keeping());
        put(&mut machine);
        publish(&mut machine, "order.paid", 1);
        publish(&mut machine, "nobody.cares", 2);
        run(&mut machine, &mut log);
        let again = restore(&mut log.clone());
        assert_eq!((again.events(), again.incarnation(), machine.events()), (1, 2, 1));
        assert_eq!(again.durable(), machine.last_record());
        let endpoint = postrider_core::id::EndpointKey::new("acme").unwrap();
        assert_eq!(again.endpoint(&endpoint).unwrap().keys, machine.endpoint(&endpoint).unwrap().keys);
        let event = postrider_core::id::EventId::new("e1").unwrap();
        assert_eq!(again.schedule(&event, &endpoint), machine.schedule(&event, &endpoint), "the seed is the same");
    }

    #[test]
    fn a_snapshot_frees_what_it_stands_for() {
        let mut limits = Limits::default();
        limits.snapshot_every = 64 * 1024;
        let config = Config::new().limits(limits);
        let (mut machine, mut log) =
            (Sender::new(config, Seed::from_bytes([7; 32]), Now::default()), MemoryLog::keeping());
        put(&mut machine);
        let owed = publish(&mut machine, "order.paid", 1);
        run(&mut machine, &mut log);
        let mut said = Vec::new();
        for id in 0..2000 {
            publish(&mut machine, "nobody.cares", 10 + id);
            if id % 100 == 99 {
                said.extend(run(&mut machine, &mut log));
            }
        }
        assert!(said.windows(2).any(|two| two == ["snapshot", "reclaim"]), "{said:?}");
        // The event that is owed needs its record, though those around it are gone.
        let first: Vec<_> = log.kept().frames.keys().take(2).copied().collect();
        assert!(first[0] == owed && first[1] > JournalSeq::new(500), "{first:?}");
        let frames: usize = log.kept().frames.values().map(Bytes::len).sum();
        assert_eq!(log.bytes(), frames);
        let again = restore(&mut log);
        assert_eq!((again.events(), again.durable()), (1, machine.last_record()));
        assert_eq!(again.resident(), 0, "its payload is read when it is needed");
        assert!(again.now().mono == Instant::ORIGIN);
        let (mut again, mut log) = (again, log);
        assert!(run(&mut again, &mut log).contains(&"transmit"), "and can be");
        assert_eq!(again.stats().loaded, 1);
    }
}

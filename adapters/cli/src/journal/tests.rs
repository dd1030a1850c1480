use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{BatchWriter, Chain, SEGMENT_HEAD, SegmentHead, SnapshotHead, StoreId};
use postrider_core::limits::Limits;
use postrider_core::registration::Endpoint;
use postrider_core::response::Reply;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};
use tempfile::TempDir;

use super::read::{Journal, Much, read};

const STORE: StoreId = StoreId::from_bytes([3; 16]);

/// A machine whose records are written into files as a store writes them, a segment for each few batches.
struct Fixture {
    dir: TempDir,
    machine: Sender,
    now: Now,
    /// Finished segments, then the one that is written.
    segments: Vec<(SegmentHead, Vec<u8>)>,
    writer: BatchWriter,
    batches: usize,
    snapshot: Vec<Bytes>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_700_000_000) };
        let machine = Sender::new(Config::new().limits(limits), Seed::from_bytes([7; 32]), now);
        let head = SegmentHead::plain(STORE, 1, Chain::START);
        let writer = BatchWriter::new(head.seat(), SEGMENT_HEAD as u64, Chain::START);
        let segments = vec![(head, head.encode().to_vec())];
        Self { dir: tempfile::tempdir().unwrap(), machine, now, segments, writer, batches: 0, snapshot: Vec::new() }
    }

    fn put(&mut self, id: &str, schedule: &[u64]) {
        let endpoint = Endpoint::new(id, format!("https://{id}.com/hooks?token=query-canary-0001")).no_breaker();
        let endpoint = endpoint.signing_key(Secret::from_bytes(*b"key-canary-00000000000000000001!").unwrap());
        let endpoint = endpoint.secret_header("authorization", "Bearer header-canary-0001").events(["order.*"]);
        let endpoint = endpoint.schedule(schedule.iter().map(|secs| Duration::from_secs(*secs)));
        self.machine.put(self.now, endpoint).unwrap();
    }

    fn publish(&mut self, id: &str) {
        let event = Event::json("order.paid", &"payload-canary-0001".repeat(100)).unwrap().id(id);
        self.machine.publish(self.now, event).unwrap();
    }

    /// Drives the machine until nothing is due within `secs`; receivers answer with what `status` says of the endpoint
    /// and the number of the attempt.
    fn run(&mut self, secs: u64, status: impl Fn(&str, u16) -> u16) {
        let until = self.now.mono.saturating_add(Duration::from_secs(secs));
        loop {
            let mut facts = Vec::new();
            let wake = loop {
                match self.machine.poll_output() {
                    Output::Persist(batch) => {
                        self.append(batch.bytes());
                        facts.push(Input::Persisted(batch.last()));
                    }
                    Output::Transmit(transmit) => {
                        let status = status(transmit.endpoint().id.as_str(), transmit.number());
                        let outcome = Ok(Reply::new(status).with_body(Bytes::from_static(b"so it is")));
                        facts.push(Input::Completed { attempt: transmit.attempt(), outcome });
                    }
                    Output::Snapshot(part) => {
                        self.snapshot.push(part.bytes().clone());
                        if part.is_last() {
                            self.write_snapshot(part.number());
                        }
                    }
                    Output::Load(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
                    Output::Wait(wake) => break wake,
                }
            };
            let idle = facts.is_empty();
            facts.into_iter().for_each(|fact| self.machine.handle(self.now, fact));
            match wake {
                _ if !idle => {}
                Wake::Ready => {}
                Wake::At(at) if at <= until => {
                    self.now = self.now.advanced(at.saturating_since(self.now.mono));
                    self.machine.handle(self.now, Input::Tick);
                }
                Wake::At(_) | Wake::Input | Wake::Closed => return,
            }
        }
    }

    fn append(&mut self, frames: &Bytes) {
        if self.batches == 3 {
            let head = SegmentHead::plain(STORE, self.segments.len() as u64 + 1, self.writer.chain());
            self.writer = BatchWriter::new(head.seat(), SEGMENT_HEAD as u64, self.writer.chain());
            self.segments.push((head, head.encode().to_vec()));
            self.batches = 0;
        }
        let (_, bytes) = self.segments.last_mut().unwrap();
        self.writer.write(frames, bytes).unwrap();
        self.writer.durable(self.writer.offset());
        self.batches += 1;
    }

    fn write_snapshot(&mut self, number: u64) {
        let head = SnapshotHead::new(STORE, number);
        let mut bytes = head.encode().to_vec();
        let mut writer = BatchWriter::new(head.seat(), SEGMENT_HEAD as u64, Chain::START);
        let parts = std::mem::take(&mut self.snapshot);
        let (last, others) = parts.split_last().unwrap();
        others.iter().for_each(|part| _ = writer.write(part, &mut bytes).unwrap());
        writer.write_end(last, &mut bytes).unwrap();
        fs::write(self.dir.path().join(format!("{number:010}.snap")), bytes).unwrap();
    }

    /// Writes the segments out, with zeros behind the last one.
    fn path(&self) -> &Path {
        for (at, (head, bytes)) in self.segments.iter().enumerate() {
            let zeros = if at + 1 == self.segments.len() { 4096 } else { 0 };
            let bytes = [bytes.as_slice(), &vec![0; zeros]].concat();
            fs::write(self.dir.path().join(format!("{:010}.seg", head.number)), bytes).unwrap();
        }
        self.dir.path()
    }

    fn read(&self) -> Journal<Vec<JournalSeq>> {
        let path = self.path();
        read(path, Much::All, |seqs: &mut Vec<_>, _, entry, _| seqs.push(entry.key.seq)).unwrap()
    }
}

fn busy() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.put("acme", &[0, 5, 3600]);
    fixture.put("slow", &[0, 5]);
    for n in 0..8 {
        fixture.publish(&format!("e{n}"));
        fixture.run(1, |endpoint, _| if endpoint == "acme" { 204 } else { 500 });
    }
    fixture
}

#[test]
fn what_is_read_is_what_the_machine_has() {
    let mut fixture = busy();
    let journal = fixture.read();
    assert_eq!(journal.walked.damage, []);
    assert!(fixture.segments.len() > 3, "{}", fixture.segments.len());
    assert_eq!(journal.own.len() as u64, fixture.machine.last_record().get());
    assert_eq!(journal.walked.span, Some((JournalSeq::new(1), fixture.machine.last_record())));
    assert_eq!((journal.state.events.len(), fixture.machine.events()), (8, 8));
    let waiting: usize = journal.state.events.values().map(super::state::Event::waiting).sum();
    assert_eq!(waiting, fixture.machine.pending());
    fixture.run(60, |_, _| 500);
    let journal = fixture.read();
    assert_eq!((journal.state.events.len(), journal.walked.damage.len()), (0, 0), "they were exhausted");
}

#[test]
fn a_snapshot_and_the_log_behind_it_are_the_same_state() {
    let mut limits = Limits::default();
    limits.snapshot_every = 4096;
    let mut fixture = Fixture::with(limits);
    fixture.put("slow", &[0, 5, 60]);
    for n in 0..60 {
        fixture.publish(&format!("e{n}"));
        fixture.run(1, |_, _| 500);
    }
    let whole = fixture.read();
    assert!(whole.snapshot.is_some() && whole.state.since > JournalSeq::ZERO);
    assert_eq!(
        whole.own.iter().filter(|seq| **seq > JournalSeq::ZERO).count() as u64,
        fixture.machine.last_record().get()
    );
    let state = read(fixture.path(), Much::State, |count: &mut u64, _, _, _| *count += 1).unwrap();
    assert!(state.walked.records < whole.walked.records, "what the snapshot stands for is passed over");
    for journal in [&whole.state, &state.state] {
        assert_eq!(journal.events.len(), fixture.machine.events());
        let waiting: usize = journal.events.values().map(super::state::Event::waiting).sum();
        assert_eq!(waiting, fixture.machine.pending());
    }
    // A snapshot that is damaged is not used, and the log is read from its beginning.
    let name = whole.snapshot.unwrap();
    let file = fixture.dir.path().join(&name);
    let mut bytes = fs::read(&file).unwrap();
    bytes[200] ^= 1;
    fs::write(&file, bytes).unwrap();
    let journal = fixture.read();
    assert_eq!(journal.bad_snapshots[0].file, name);
    assert_eq!(journal.state.events.len(), fixture.machine.events());
}

#[test]
fn each_flipped_bit_is_found_and_placed() {
    let fixture = busy();
    fixture.path();
    let (head, bytes) = &fixture.segments[1];
    let name = format!("{:010}.seg", head.number);
    let file = fixture.dir.path().join(&name);
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&file, damaged).unwrap();
        let path = fixture.dir.path();
        let journal = read(path, Much::All, |_: &mut (), _, _, _| {}).unwrap();
        assert!(!journal.walked.damage.is_empty(), "bit in byte {at}");
        assert!(journal.walked.damage.iter().all(|damage| damage.file == name), "{at}: {:?}", journal.walked.damage);
        let last = journal.walked.span.unwrap().1;
        assert_eq!(last, fixture.machine.last_record(), "what is behind it is read all the same");
    }
}

#[test]
fn lost_records_and_lost_segments_are_named() {
    let fixture = busy();
    let whole = fixture.read();
    let missing = &fixture.segments[2].0;
    fs::remove_file(fixture.dir.path().join(format!("{:010}.seg", missing.number))).unwrap();
    let journal = read(fixture.dir.path(), Much::All, |_: &mut (), _, _, _| {}).unwrap();
    let damage = &journal.walked.damage[0];
    assert!(damage.what.starts_with("segment 3 is missing"), "{damage}");
    let (first, last) = damage.lost.unwrap();
    assert_eq!(last.get() - first.get() + 1, whole.walked.records - journal.walked.records);
    assert!(damage.to_string().contains(&format!("records {first} to {last} are lost")), "{damage}");
}

#[test]
fn a_torn_end_is_no_damage_and_a_cut_middle_is() {
    let mut fixture = busy();
    let before = fixture.segments.last().unwrap().1.len();
    fixture.batches = 0;
    fixture.publish("torn");
    fixture.run(1, |_, _| 204);
    let whole = fixture.read().walked.records;
    // Of the batch with the last event, only the first sectors were written when the power went.
    let (_, bytes) = fixture.segments.last_mut().unwrap();
    bytes.truncate((before / 512 + 2) * 512);
    let journal = fixture.read();
    assert!(journal.walked.damage.is_empty() && journal.walked.torn > 0, "{:?}", journal.walked.damage);
    assert!(journal.walked.records < whole);
    let mut fixture = busy();
    let (_, bytes) = &mut fixture.segments[1];
    bytes.truncate(bytes.len() - 10);
    assert!(!fixture.read().walked.damage.is_empty());
}

#[test]
fn what_was_written_and_not_acknowledged_is_void() {
    let mut fixture = busy();
    // As after a sync that failed: the segment has a batch more than the next one's header says.
    let (head, bytes) = fixture.segments[0].clone();
    let chain = fixture.segments[1].0.previous;
    let mut writer = BatchWriter::new(head.seat(), bytes.len() as u64, chain);
    let next = fixture.segments[1].1.clone();
    let seat = fixture.segments[1].0.seat();
    let again =
        postrider_core::journal::Scan::new(seat, &Bytes::from(next).slice(SEGMENT_HEAD..), SEGMENT_HEAD as u64, chain);
    let batch = again.into_iter().next().unwrap();
    let frames: Vec<Bytes> = batch.records().map(|(_, frame)| frame).collect();
    let mut longer = bytes;
    writer.write(&Bytes::from(frames.concat()), &mut longer).unwrap();
    fixture.segments[0].1 = longer;
    let journal = fixture.read();
    assert_eq!(journal.walked.damage, []);
    assert_eq!(journal.own.len() as u64, fixture.machine.last_record().get(), "each record once");
}

#[test]
fn the_end_of_a_log_that_grows_is_followed() {
    let mut fixture = busy();
    let journal = fixture.read();
    let (end, last) = (journal.walked.end.clone().unwrap(), journal.walked.span.unwrap().1);
    fixture.batches = 0;
    fixture.publish("later");
    fixture.run(1, |_, _| 204);
    fixture.path();
    let mut seen = Vec::new();
    let (end, latest) = super::walk::grown(&journal.files, &end, last, |entry| seen.push(entry.key.seq)).unwrap();
    assert_eq!((seen.first().copied(), latest), (Some(last.next()), fixture.machine.last_record()));
    let (_, same) = super::walk::grown(&journal.files, &end, latest, |_| panic!("nothing is new")).unwrap();
    assert_eq!(same, latest);
}

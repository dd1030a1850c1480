//! The laws of files: what is sound is read, what is not is never taken for it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::batch::Area;
use super::*;
use crate::id::{EventId, JournalSeq, TenantId};
use crate::time::UnixTime;

const STORE: StoreId = StoreId::from_bytes([7; 16]);
const HEAD: u64 = SEGMENT_HEAD as u64;

fn seat() -> Seat {
    SegmentHead::plain(STORE, 1, Chain::START).seat()
}

/// Frames of `count` records from the number `first` on.
fn frames(first: u64, count: u64) -> Bytes {
    let mut out = BytesMut::new();
    for seq in first..first + count {
        let record = Record::Ended { event: JournalSeq::new(seq), at: UnixTime::EPOCH };
        encode(JournalSeq::new(seq), &record, &mut out);
    }
    out.freeze()
}

#[test]
fn what_is_written_is_read() {
    let mut writer = BatchWriter::new(seat(), HEAD, Chain::START);
    let mut file = Vec::new();
    let chains: Vec<Chain> = [(1, 3), (4, 1), (5, 64)]
        .map(|(first, count)| writer.write(&frames(first, count), &mut file).unwrap())
        .to_vec();
    assert_eq!(writer.offset(), HEAD + file.len() as u64);
    file.resize(file.len() + 1000, 0);
    let mut scan = Scan::new(seat(), &file.into(), HEAD, Chain::START).behind(JournalSeq::ZERO);
    let batches: Vec<Batch> = scan.by_ref().collect();
    assert_eq!(batches.iter().map(|batch| batch.chain).collect::<Vec<_>>(), chains);
    for (batch, (first, count)) in batches.iter().zip([(1, 3), (4, 1), (5, 64)]) {
        assert_eq!((batch.first.get(), batch.last.get(), u64::from(batch.count)), (first, first + count - 1, count));
        let read: Vec<u8> = batch.records().flat_map(|(_, frame)| frame).collect();
        assert_eq!(read, frames(first, count));
    }
    let tail = scan.tail();
    assert_eq!((tail.at, tail.end, tail.chain, tail.resumes), (writer.offset(), End::Clean, writer.chain(), None));
}

#[test]
fn headers_survive() {
    let plain = SegmentHead::plain(STORE, 3, Chain::from_bytes([9; 16]));
    let compacted = SegmentHead::compacted(STORE, 3, 4, Chain::START);
    for head in [plain, compacted] {
        assert_eq!(SegmentHead::decode(&head.encode()), Ok(head));
    }
    let snapshot = SnapshotHead::new(STORE, 2);
    assert_eq!(SnapshotHead::decode(&snapshot.encode()), Ok(snapshot));
    assert_eq!(SegmentHead::decode(&snapshot.encode()), Err(HeadError::Damaged));
    assert_eq!(SegmentHead::decode(&plain.encode()[..63]), Err(HeadError::Short { have: 63 }));
    let newer = SegmentHead { format: 2, ..plain };
    assert_eq!(SegmentHead::decode(&newer.encode()), Err(HeadError::Newer { format: 2, known: FORMAT }));
}

/// A file under construction: which batches it has, and what of it was synced.
struct Written {
    writer: BatchWriter,
    file: Vec<u8>,
    batches: Vec<Batch>,
    records: Vec<(u64, Bytes)>,
    /// The last offset that a footer says was durable.
    told: u64,
    next: u64,
}

impl Written {
    fn new() -> Self {
        let writer = BatchWriter::new(seat(), HEAD, Chain::START);
        Self { writer, file: Vec::new(), batches: Vec::new(), records: Vec::new(), told: HEAD, next: 1 }
    }

    fn of(plan: &[(Vec<Vec<u8>>, bool)]) -> Self {
        let mut written = Self::new();
        for (payloads, synced) in plan {
            written.batch(payloads);
            if *synced {
                written.sync();
            }
        }
        written
    }

    fn batch(&mut self, payloads: &[Vec<u8>]) {
        let mut frames = BytesMut::new();
        for payload in payloads {
            encode(JournalSeq::new(self.next), &accepted(payload), &mut frames);
            self.next += 1;
        }
        self.writer.write(&frames.freeze(), &mut self.file).unwrap();
        let bytes = Bytes::copy_from_slice(&self.file);
        let batch = Area { seat: seat(), base: HEAD, bytes }.batch(self.at()).unwrap();
        self.told = self.told.max(batch.durable);
        self.records.extend(batch.records());
        self.batches.push(batch);
    }

    /// Where the batch lies that was just written.
    fn at(&self) -> usize {
        self.batches.last().map_or(0, |batch| (batch.end - HEAD) as usize)
    }

    fn sync(&mut self) {
        self.writer.durable(self.writer.offset());
    }

    /// Whether what a salvage gives was written there, and what no damage has touched is among it.
    fn salvaged(&self, file: &Bytes, touched: core::ops::Range<usize>) -> Result<(), TestCaseError> {
        let mut given = Vec::new();
        for piece in Salvage::new(seat(), file, HEAD, None) {
            match piece {
                Piece::Batch(batch) => given.extend(batch.records()),
                Piece::Record { offset, frame, .. } => given.push((offset, frame)),
                Piece::Lost { from, to } => prop_assert!(from < to),
            }
        }
        prop_assert!(given.iter().all(|record| self.records.contains(record)), "a record was changed or invented");
        let told = self.told_beside(&touched);
        let touched = touched.start as u64 + HEAD..touched.end as u64 + HEAD;
        for (offset, frame) in &self.records {
            let end = offset + (RECORD_CRC + frame.len()) as u64;
            let untouched = end <= touched.start || touched.end <= *offset;
            let durable = touched.start < told;
            prop_assert!(!(untouched && durable) || given.iter().any(|(at, _)| at == offset), "lost {offset}");
        }
        Ok(())
    }

    /// The last offset that a footer beside some bytes says was durable.
    fn told_beside(&self, touched: &core::ops::Range<usize>) -> u64 {
        let (from, to) = (HEAD + touched.start as u64, HEAD + touched.end as u64);
        let beside = self.batches.iter().filter(|batch| batch.end <= from || batch.end - FOOTER as u64 >= to);
        beside.map(|batch| batch.durable).max().unwrap_or(HEAD)
    }

    /// What a strict reader finds: the batches before the damage, nothing else, and where they end.
    fn strict(&self, file: &Bytes, damage: usize) -> Result<Tail, TestCaseError> {
        let mut scan = Scan::new(seat(), file, HEAD, Chain::START).behind(JournalSeq::ZERO);
        let read: Vec<_> = scan.by_ref().map(|batch| (batch.offset, batch.chain)).collect();
        let sound = self.batches.iter().filter(|batch| batch.end <= HEAD + damage as u64);
        let sound: Vec<_> = sound.map(|batch| (batch.offset, batch.chain)).collect();
        prop_assert_eq!(read, sound);
        let tail = scan.tail();
        prop_assert!(tail.at <= HEAD + damage as u64);
        Ok(tail)
    }
}

fn accepted(payload: &[u8]) -> Record {
    Record::Accepted(Box::new(Accepted {
        id: EventId::new("id").unwrap(),
        tenant: TenantId::default(),
        event_type: "order.paid".into(),
        time: UnixTime::from_secs(1_795_246_000),
        content_type: None,
        payload: Bytes::copy_from_slice(payload),
        key: None,
        idempotency: None,
        expires: None,
        digest: [9; 16],
        high_water: 3,
        at: UnixTime::from_secs(1_795_246_000),
        replay: None,
    }))
}

/// Batches of payloads without zeros, and whether each was synced before the next was written.
fn plan() -> impl Strategy<Value = Vec<(Vec<Vec<u8>>, bool)>> {
    let payload = prop::collection::vec(1u8..=255, 0..500);
    prop::collection::vec((prop::collection::vec(payload, 1..4), any::<bool>()), 1..5)
}

/// Whether the one case may be that cannot be told: the first bytes of a batch, at the very end of a sector, are zeros
/// by chance.
fn may_be_blank(file: &[u8], tail: &Tail) -> bool {
    let rest = (512 - tail.at % 512) as usize;
    let at = (tail.at - HEAD) as usize;
    rest < 4 && file[at..].iter().take(rest).all(|byte| *byte == 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every bit of a file counts: one that flips is found, at or behind the end of what is given.
    #[test]
    fn every_flipped_bit_is_found(plan in plan()) {
        let written = Written::of(&plan);
        for at in 0..written.file.len() {
            let mut file = written.file.clone();
            file[at] ^= 1 << (at % 8);
            let file = Bytes::from(file);
            let tail = written.strict(&file, at)?;
            prop_assert!(tail.end == End::Damaged || may_be_blank(&file, &tail), "{at}: {tail:?}");
            if at % 7 == 0 {
                written.salvaged(&file, at..at + 1)?;
            }
        }
    }

    /// Zeroed, doubled and misplaced sectors, and bytes of another kind: found in what a footer says was durable, never
    /// taken for records anywhere.
    #[test]
    fn every_damaged_sector_is_found(plan in plan(), from in any::<prop::sample::Index>(), zero in any::<bool>()) {
        let written = Written::of(&plan);
        let len = written.file.len();
        let from = from.index(len);
        for at in (0..len).step_by(37) {
            let mut file = written.file.clone();
            let end = (at + 512).min(len);
            for (n, byte) in file[at..end].iter_mut().enumerate() {
                *byte = if zero { 0 } else { written.file[(from + n) % len] };
            }
            let Some(first) = (at..end).find(|at| file[*at] != written.file[*at]) else { continue };
            let last = (at..end).rfind(|at| file[*at] != written.file[*at]).unwrap();
            let file = Bytes::from(file);
            let tail = written.strict(&file, first)?;
            let told = written.told_beside(&(first..last + 1));
            prop_assert!(HEAD + first as u64 >= told || tail.end == End::Damaged, "{first}: {tail:?}");
            written.salvaged(&file, first..last + 1)?;
        }
    }

    /// A crash that loses any sectors of what was not synced is never taken for damage, and nothing synced is lost.
    #[test]
    fn a_crash_is_not_damage(plan in plan(), lost in prop::collection::vec(any::<bool>(), 16), cut in any::<bool>()) {
        let written = Written::of(&plan);
        // What was written behind the last sync that a footer tells of.
        let durable = (written.told - HEAD) as usize;
        let mut file = written.file.clone();
        for (at, byte) in file.iter_mut().enumerate().skip(durable) {
            if lost[(at + HEAD as usize) / 512 % lost.len()] {
                *byte = 0;
            }
        }
        if cut {
            file.truncate(file.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1).max(durable));
        } else {
            file.resize(file.len() + 700, 0);
        }
        let first = (0..written.file.len()).find(|at| file.get(*at) != Some(&written.file[*at]));
        let file = Bytes::from(file);
        let tail = written.strict(&file, first.unwrap_or(written.file.len()))?;
        prop_assert!(tail.end != End::Damaged, "{tail:?}");
        prop_assert!(tail.at >= written.told);
        written.salvaged(&file, first.unwrap_or(file.len())..file.len())?;
    }

    /// Zeros in payloads look like sectors that did not arrive, and what is sound of them tells nothing of its sector.
    #[test]
    fn a_crash_is_not_damage_where_payloads_are_zeros(
        lens in prop::collection::vec(0usize..1400, 1..6),
        last in 1usize..700,
        lost in prop::collection::vec(any::<bool>(), 16),
    ) {
        let mut payloads: Vec<_> = lens.iter().map(|len| vec![0; *len]).collect();
        payloads.push(vec![0xFF; last]);
        let written = Written::of(&[(payloads, false)]);
        let mut file = written.file;
        for (at, byte) in file.iter_mut().enumerate() {
            if lost[(at + HEAD as usize) / 512 % lost.len()] {
                *byte = 0;
            }
        }
        let mut scan = Scan::new(seat(), &Bytes::from(file), HEAD, Chain::START);
        scan.by_ref().for_each(drop);
        prop_assert!(scan.tail().end != End::Damaged, "{:?}", scan.tail());
    }

    /// A file that ends early, anywhere: what is whole is read, and what is not is a write that was not finished.
    #[test]
    fn every_cut_is_torn(plan in plan()) {
        let written = Written::of(&plan);
        for at in 0..written.file.len() {
            let file = Bytes::copy_from_slice(&written.file[..at]);
            let tail = written.strict(&file, at)?;
            // The first bytes of a checksum may be zeros.
            let clean = file[(tail.at - HEAD) as usize..].iter().all(|byte| *byte == 0);
            prop_assert_eq!(tail.end, if clean { End::Clean } else { End::Torn }, "{}", at);
        }
    }

    /// Whoever chooses payloads may know the format, the file, the offset and all that was written; the store's name is
    /// all that they do not know. Whatever is damaged around it, nothing that they embed is taken for a record.
    #[test]
    fn what_a_payload_holds_is_no_record(guess in any::<[u8; 16]>(), copies in 1usize..5, behind in plan()) {
        prop_assume!(guess != STORE.to_bytes());
        let mut written = Written::new();
        written.batch(&[vec![1; 40]]);
        written.sync();
        // The frame begins behind the checksum, the payload behind the fields of the record.
        let mut probe = BytesMut::new();
        encode(JournalSeq::new(2), &accepted(b""), &mut probe);
        let mut inside = BatchWriter::new(
            Seat::new(StoreId::from_bytes(guess), Holds::Plain, 1),
            written.writer.offset() + (RECORD_CRC + probe.len()) as u64,
            written.writer.chain(),
        );
        let mut payload = Vec::new();
        for n in 0..copies as u64 {
            inside.write(&frames(3 + n, 1), &mut payload).unwrap();
        }
        // Sound bytes of another place, as a receiver of backups might send them in.
        payload.extend_from_slice(&written.file);
        written.batch(&[payload, vec![2; 30]]);
        written.sync();
        for (payloads, _) in &behind {
            written.batch(payloads);
        }
        let (from, to) = ((written.batches[1].offset - HEAD) as usize, (written.batches[1].end - HEAD) as usize);
        for at in from..to {
            let mut file = written.file.clone();
            file[at] ^= 0x41;
            let file = Bytes::from(file);
            let tail = written.strict(&file, at)?;
            prop_assert_eq!(tail.end, End::Damaged);
            prop_assert_eq!(tail.resumes.map(|(at, _)| at), Some(written.batches[2].offset));
            prop_assert_eq!(resync(seat(), &file, HEAD, tail.at + 1), Some(written.batches[2].offset));
            written.salvaged(&file, at..at + 1)?;
        }
    }

    /// Arbitrary bytes are read to their end without a panic, and what is read is what is there.
    #[test]
    fn arbitrary_files_are_survived(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(0xF0), any::<u8>()], 0..600)) {
        let bytes = Bytes::from(bytes);
        let mut scan = Scan::new(seat(), &bytes, HEAD, Chain::START);
        prop_assert!(scan.next().is_none(), "nobody finds a chain by chance");
        prop_assert_eq!(scan.tail().at, HEAD);
        let end = HEAD + bytes.len() as u64;
        for piece in Salvage::new(seat(), &bytes, HEAD, None) {
            let Piece::Lost { from, to } = piece else { panic!("nothing there is sound") };
            prop_assert!(HEAD <= from && from < to && to <= end);
        }
        prop_assert_eq!(SegmentHead::decode(&bytes).ok().map(|head| Bytes::copy_from_slice(&head.encode())), None);
    }
}

/// The bytes of format 1, which never change: a header, and a batch of two records behind it.
#[test]
fn the_format_is_what_it_was() {
    let head = SegmentHead::plain(STORE, 0x0102_0304, Chain::from_bytes([0xCC; 16]));
    let mut file = head.encode().to_vec();
    let mut writer = BatchWriter::new(head.seat(), HEAD, head.previous);
    writer.write(&frames(5, 2), &mut file).unwrap();
    let lines: Vec<String> =
        file.chunks(16).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    assert_eq!(lines, GOLDEN);
}

const GOLDEN: [&str; 13] = [
    "505354524c4f47000100000040000000",
    "07070707070707070707070707070707",
    "0403020100000000cccccccccccccccc",
    "cccccccccccccccc00000000b0e18eaf",
    "091b911f1c0000000901000005000000",
    "00000000050000000000000000000000",
    "00000000cd63f3791c00000009010000",
    "06000000000000000600000000000000",
    "0000000000000000b72561db38000000",
    "f0010000060000000000000002000000",
    "05000000000000004800000000000000",
    "8551041fb34b78550b823bed477b7673",
    "e4dc354e66bb0e43",
];

/// 64 records of 1 KiB cost at most 15 % more than their payloads.
#[test]
fn writing_adds_little() {
    let mut written = Written::new();
    for _ in 0..4 {
        written.batch(&vec![vec![7; 1024]; 64]);
    }
    let payloads = 4 * 64 * 1024;
    assert!(written.file.len() * 100 <= payloads * 115, "{} for {payloads}", written.file.len());
}

/// A record whose payload is zeros goes into a sector, the next one begins in its last bytes, and the sector did not
/// arrive: the first record is sound all the same, the second is not, and neither is damaged.
#[test]
fn zeros_at_the_end_of_a_payload_do_not_tell_that_their_sector_arrived() {
    for left in 1..24 {
        let mut written = Written::new();
        written.batch(&[Vec::new()]);
        let (empty, end) = (written.records[0].1.len() + RECORD_CRC, 2 * 512 - left - HEAD as usize);
        let mut written = Written::new();
        written.batch(&[vec![0; end - empty], vec![0xFF; 300]]);
        assert_eq!(written.records[1].0, 2 * 512 - left as u64);
        let mut file = written.file.clone();
        file[512 - HEAD as usize..1024 - HEAD as usize].fill(0);
        let mut scan = Scan::new(seat(), &Bytes::from(file), HEAD, Chain::START);
        assert_eq!((scan.next().map(|batch| batch.offset), scan.tail().end), (None, End::Torn), "{left} bytes");
    }
}

#[test]
fn a_batch_of_no_whole_frames_is_refused_and_changes_nothing() {
    let mut writer = BatchWriter::new(seat(), HEAD, Chain::START);
    let mut out = vec![1, 2, 3];
    for bad in [Bytes::new(), Bytes::from_static(b"no frame"), frames(1, 2).slice(..50)] {
        assert!(writer.write(&bad, &mut out).is_err());
        assert_eq!((&out[..], writer.offset(), writer.chain()), (&[1, 2, 3][..], HEAD, Chain::START));
    }
    let whole = frames(1, 2);
    let (one, other) = whole.split_at(whole.len() / 2);
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    let chain = writer.clone().write_records([one, other], &mut apart).unwrap();
    assert_eq!(writer.write(&whole, &mut together), Ok(chain));
    assert_eq!(apart, together);
}

/// A record is found by its offset alone, and only there.
#[test]
fn one_record_is_read_by_its_place() {
    let written = Written::of(&[(vec![vec![1; 20], vec![2; 30]], true), (vec![vec![3; 10]], true)]);
    for (n, (offset, frame)) in (1..).zip(&written.records) {
        let bytes = Bytes::copy_from_slice(&written.file[(offset - HEAD) as usize..]);
        assert_eq!(record_at(seat(), &bytes, *offset), Some((JournalSeq::new(n), frame.clone())));
        assert_eq!(record_at(seat(), &bytes, offset + 1), None, "another place");
        assert_eq!(record_at(Seat::new(STORE, Holds::Plain, 2), &bytes, *offset), None, "another file");
        assert_eq!(record_at(Seat::new(STORE, Holds::Compacted, 1), &bytes, *offset), None, "another kind");
        assert_eq!(record_at(seat(), &bytes.slice(..20), *offset), None, "cut");
    }
}

/// Snapshots: records without numbers, and a flag that says that nothing is missing.
#[test]
fn a_snapshot_says_where_it_ends() {
    let head = SnapshotHead::new(STORE, 1);
    let mut writer = BatchWriter::new(head.seat(), HEAD, Chain::START);
    let mut frames = BytesMut::new();
    for _ in 0..3 {
        encode(JournalSeq::ZERO, &accepted(b""), &mut frames);
    }
    let (mut file, frames) = (Vec::new(), frames.freeze());
    writer.write(&frames, &mut file).unwrap();
    writer.write_end(&frames, &mut file).unwrap();
    let read = Scan::new(head.seat(), &file.into(), HEAD, Chain::START);
    assert_eq!(read.map(|batch| (batch.count, batch.ends)).collect::<Vec<_>>(), [(3, false), (3, true)]);
}

/// The numbers of a compacted segment may have gaps and never go back; those of a plain one do neither.
#[test]
fn numbers_are_in_the_order_that_the_file_promises() {
    let read = |holds, firsts: [u64; 2]| {
        let seat = Seat::new(STORE, holds, 1);
        let mut writer = BatchWriter::new(seat, HEAD, Chain::START);
        let mut file = Vec::new();
        for first in firsts {
            writer.write(&frames(first, 2), &mut file).unwrap();
        }
        let bytes = Bytes::from(file);
        let mut scan = Scan::new(seat, &bytes, HEAD, Chain::START).behind(JournalSeq::new(firsts[0] - 1));
        (scan.by_ref().count(), scan.tail().end)
    };
    assert_eq!(read(Holds::Plain, [5, 7]), (2, End::Clean));
    assert_eq!(read(Holds::Plain, [5, 8]), (1, End::Damaged));
    assert_eq!(read(Holds::Compacted, [5, 8]), (2, End::Clean));
    assert_eq!(read(Holds::Compacted, [5, 6]), (1, End::Damaged));
}

proptest! {
    /// Headers: every flipped bit is found, and nothing but a sound header of a later release is called newer.
    #[test]
    fn a_damaged_header_is_damaged(number in 1u64.., covers in any::<u32>(), previous in any::<[u8; 16]>()) {
        let head = SegmentHead::compacted(STORE, number, covers, Chain::from_bytes(previous));
        prop_assert_eq!(SegmentHead::decode(&head.encode()), Ok(head));
        for bit in 0..SEGMENT_HEAD * 8 {
            let mut bytes = head.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHead::decode(&bytes), Err(HeadError::Damaged));
        }
    }
}

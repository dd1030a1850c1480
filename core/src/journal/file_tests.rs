//! The laws of files: what is sound is read, what is not is never taken for it.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::*;
use crate::id::JournalSeq;
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

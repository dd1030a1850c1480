//! What a reader of the journal's files does with bytes that somebody else made, as a fuzzer gives them.

use bytes::{Bytes, BytesMut};
use postrider_core::id::JournalSeq;
use postrider_core::journal::{
    BatchWriter, Chain, Holds, Piece, Record, SEGMENT_HEAD, Salvage, Scan, Seat, SegmentHead, SnapshotHead, StoreId,
    encode,
};
use postrider_core::time::UnixTime;

const BASE: u64 = SEGMENT_HEAD as u64;

/// Reads `data` as the bytes behind a header, and then as instructions to write a file and to damage it.
///
/// # Panics
///
/// When a reader breaks its promises: what is found in a file is found in each longer one that begins so, sound batches
/// written again are the same bytes, and a damaged file gives no record that was not written.
pub fn scan(data: &[u8]) {
    let _ = (SegmentHead::decode(data), SnapshotHead::decode(data));
    for holds in [Holds::Plain, Holds::Compacted, Holds::Snapshot] {
        let seat = Seat::new(StoreId::from_bytes([0; 16]), holds, 1);
        let file = Bytes::copy_from_slice(data);
        check(seat, &file);
        let given = Salvage::new(seat, &file, BASE, None).filter(|piece| !matches!(piece, Piece::Lost { .. }));
        assert_eq!(given.count(), 0, "nobody finds a chain by chance");
    }
    let (seat, whole) = written(data);
    assert_eq!(check(seat, &whole), whole.len() as u64 + BASE, "what was written is read to its end");
    if whole.is_empty() {
        return;
    }
    let records: Vec<_> = batches(seat, &whole).flat_map(|batch| batch.records()).collect();
    for chunk in data.chunks(4).take(8) {
        let mut damaged = whole.to_vec();
        let at = chunk.iter().fold(0, |at, byte| at * 251 + usize::from(*byte)) % damaged.len();
        damaged[at] ^= chunk[0] | 1;
        let damaged = Bytes::from(damaged);
        assert!(check(seat, &damaged) <= BASE + at as u64, "damage at {at} is not behind what is read");
        for piece in Salvage::new(seat, &damaged, BASE, None) {
            match piece {
                Piece::Batch(batch) => assert!(batch.records().all(|record| records.contains(&record))),
                Piece::Record { offset, frame, .. } => assert!(records.contains(&(offset, frame))),
                Piece::Lost { from, to } => assert!(from < to),
            }
        }
    }
}

/// Checks what holds of every file, and says how far it is sound.
fn check(seat: Seat, file: &Bytes) -> u64 {
    let mut writer = BatchWriter::new(seat, BASE, Chain::START);
    let mut again = Vec::new();
    for batch in batches(seat, file) {
        let frames: Vec<Bytes> = batch.records().map(|(_, frame)| frame).collect();
        writer.durable(batch.durable);
        let chain = writer.write_records(frames.iter().map(|frame| &frame[..]), &mut again);
        assert_eq!((chain, writer.offset()), (Ok(batch.chain), batch.end));
    }
    assert_eq!(again, file[..again.len()], "sound batches, written again");
    for cut in [file.len() / 3, file.len() / 2, file.len().saturating_sub(1)] {
        let shorter = batches(seat, &file.slice(..cut)).map(|batch| batch.chain);
        let longer = batches(seat, file).filter(|batch| batch.end <= BASE + cut as u64).map(|batch| batch.chain);
        assert!(shorter.eq(longer), "cut at {cut}");
    }
    let mut scan = Scan::new(seat, file, BASE, Chain::START);
    scan.by_ref().for_each(drop);
    scan.tail().at
}

fn batches(seat: Seat, file: &Bytes) -> Scan {
    Scan::new(seat, file, BASE, Chain::START)
}

/// A file of the size and shape that `data` asks for: a batch for each byte, synced or not.
fn written(data: &[u8]) -> (Seat, Bytes) {
    let seat = SegmentHead::plain(StoreId::from_bytes([1; 16]), 1, Chain::START).seat();
    let mut writer = BatchWriter::new(seat, BASE, Chain::START);
    let (mut file, mut next) = (Vec::new(), 1);
    for byte in data.iter().take(12) {
        let mut frames = BytesMut::new();
        for _ in 0..=byte % 5 {
            let (seq, at) = (JournalSeq::new(next), UnixTime::from_millis(u64::from(*byte)));
            encode(seq, &Record::Ended { event: seq, at }, &mut frames);
            next += 1;
        }
        writer.write(&frames.freeze(), &mut file).expect("these are whole frames");
        if byte % 2 == 0 {
            writer.durable(writer.offset());
        }
    }
    (seat, file.into())
}

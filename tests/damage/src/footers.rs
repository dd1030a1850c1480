//! How far the footers of a log show that it was durable.

use bytes::Bytes;
use postrider_core::journal::{FOOTER, SEGMENT_HEAD, Scan, SegmentHead};

use crate::disk::Disk;

/// The last record that an intact footer of the newest segment shows to be durable: each says how far its file was when
/// it was written. Which ones are intact in `disk` tells `written`, where all of them are. `None` when the segment is
/// not there, or has none.
pub(crate) fn shown(written: &Disk, disk: &Disk) -> Option<u64> {
    let names = written.names();
    let name = names.iter().filter(|name| name.ends_with(".seg")).max()?;
    let bytes = Bytes::from(written.content(name)?.bytes());
    let now = disk.content(name)?.bytes();
    let head = SegmentHead::decode(bytes.get(..SEGMENT_HEAD)?).ok()?;
    let scan = Scan::new(head.seat(), &bytes.slice(SEGMENT_HEAD..), SEGMENT_HEAD as u64, head.previous);
    let batches: Vec<_> = scan.collect();
    // The segment was begun when everything before it was durable.
    let before = batches.first()?.first.get() - 1;
    let intact = batches.iter().filter(|batch| {
        let footer = batch.end as usize - FOOTER..batch.end as usize;
        now.get(footer.clone()) == bytes.get(footer)
    });
    let durable = intact.map(|batch| batch.durable).max().unwrap_or(0);
    let last = batches.iter().rev().find(|batch| batch.end <= durable).map_or(before, |batch| batch.last.get());
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use postrider_core::id::JournalSeq;
    use postrider_core::journal::{self, BatchWriter, Chain, Record, StoreId};
    use postrider_core::time::UnixTime;

    use crate::disk::Content;

    fn disk(bytes: &[u8]) -> Disk {
        let (disk, mut content) = (Disk::watched(), Content::default());
        content.write(0, bytes);
        disk.put("0000000001.seg", content);
        disk
    }

    #[test]
    fn what_an_intact_footer_shows_counts() {
        let head = SegmentHead::plain(StoreId::from_bytes([7; 16]), 1, Chain::START);
        let mut writer = BatchWriter::new(head.seat(), SEGMENT_HEAD as u64, Chain::START);
        let (mut bytes, mut ends) = (head.encode().to_vec(), Vec::new());
        for seq in 1..=3 {
            let mut frame = BytesMut::new();
            let seq = JournalSeq::new(seq);
            journal::encode(seq, &Record::Ended { event: seq, at: UnixTime::EPOCH }, &mut frame);
            writer.write(&frame.freeze(), &mut bytes).expect("a whole frame");
            writer.durable(writer.offset());
            ends.push(bytes.len());
        }
        let written = disk(&bytes);
        assert_eq!(shown(&written, &written), Some(2), "the last batch is shown by none");
        let mut flip = |at: usize| {
            bytes[at] ^= 1;
            shown(&written, &disk(&bytes))
        };
        assert_eq!(flip(ends[1] + 10), Some(2), "a record");
        assert_eq!(flip(ends[2] - 1), Some(1), "the last footer");
        assert_eq!(flip(ends[1] - FOOTER), Some(0), "the one before");
        assert_eq!(shown(&written, &Disk::watched()), None);
    }
}

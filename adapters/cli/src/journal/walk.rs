//! Every record of a journal, in order, and every byte that is not what was written.

use std::fmt;
use std::io;

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{
    self, Chain, End as Ends, HeadError, Holds, Piece, Record, RecordKey, SEGMENT_HEAD, Salvage, Scan, Seat,
    SegmentHead,
};

use super::files::{Files, Segment, Snapshot};

/// A record where it lies.
pub(crate) struct Entry<'w> {
    /// What it is about; in a snapshot, its number is 0.
    pub(crate) key: RecordKey,
    /// The file that it is in.
    pub(crate) file: &'w str,
    /// Where in that file.
    pub(crate) offset: u64,
    frame: &'w Bytes,
}

impl Entry<'_> {
    /// The record itself; `None` when it is sound and yet no record, which only a fault of the writer can make.
    pub(crate) fn record(&self) -> Option<Record> {
        journal::decode(&mut self.frame.clone()).ok().map(|(_, record)| record)
    }
}

/// Something in a file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file.
    pub(crate) file: String,
    /// Where in it.
    pub(crate) offset: u64,
    /// What is wrong.
    pub(crate) what: String,
    /// Records that are lost: the first and the last.
    pub(crate) lost: Option<(JournalSeq, JournalSeq)>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)?;
        match self.lost {
            Some((first, last)) if first == last => write!(f, "; record {first} is lost"),
            Some((first, last)) => write!(f, "; records {first} to {last} are lost"),
            None => Ok(()),
        }
    }
}

/// What a walk came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walked {
    /// Records that are sound.
    pub(crate) records: u64,
    /// Batches that are sound.
    pub(crate) batches: u64,
    /// The first record and the last.
    pub(crate) span: Option<(JournalSeq, JournalSeq)>,
    /// Bytes at the end of the log of a write that was not finished; they are cut off when the store is opened.
    pub(crate) torn: u64,
    /// Everything that is wrong.
    pub(crate) damage: Vec<Damage>,
    /// Where the log goes on: the last segment, the offset in it, and the chain there.
    pub(crate) end: Option<End>,
    /// Damage behind which no record has been seen yet.
    open: Option<usize>,
}

/// Where a log that may still grow goes on.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The last segment.
    pub(crate) head: SegmentHead,
    /// The name of its file.
    pub(crate) name: String,
    /// The offset behind its last sound batch.
    pub(crate) offset: u64,
    /// The chain there.
    pub(crate) chain: Chain,
}

impl Walked {
    fn damage(&mut self, file: &str, offset: u64, what: impl fmt::Display) {
        self.open.get_or_insert(self.damage.len());
        self.damage.push(Damage { file: file.to_owned(), offset, what: what.to_string(), lost: None });
    }

    /// A record has been seen. If there was damage before it, that is what it has cost.
    fn saw(&mut self, seq: JournalSeq) {
        self.records += 1;
        if let (Some(at), Some(last)) = (self.open.take(), self.last())
            && last.next() < seq
        {
            self.damage[at].lost = Some((last.next(), JournalSeq::new(seq.get() - 1)));
        }
        self.span = Some((self.span.map_or(seq, |(first, _)| first), seq));
    }

    fn last(&self) -> Option<JournalSeq> {
        self.span.map(|(_, last)| last)
    }
}

/// Gives every sound record of the log to `each`, from the segment on that holds `from`. Fails only where a file cannot
/// be read, as one that has gone meanwhile.
pub(crate) fn log(files: &Files, from: JournalSeq, mut each: impl FnMut(&Entry<'_>)) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let start = files.segments.iter().rposition(|segment| segment.first.is_some_and(|first| first <= from));
    let start = start.unwrap_or(0);
    for at in start..files.segments.len() {
        let segment = &files.segments[at];
        if at > start {
            no_gap(&files.segments[at - 1], segment, &mut walked);
        }
        let next = files.segments.get(at + 1);
        segment_of(files, at, next, &mut walked, &mut each)?;
    }
    Ok(walked)
}

/// Segments follow one another by number.
fn no_gap(before: &Segment, segment: &Segment, walked: &mut Walked) {
    let expected = behind(before);
    if segment.number != expected {
        walked.damage(&segment.name, 0, format_args!("segment {expected} is missing before it"));
    }
}

/// The number that the segment behind one has.
fn behind(segment: &Segment) -> u64 {
    segment.number + segment.head.as_ref().map_or(0, |head| u64::from(head.covers)) + 1
}

fn segment_of(
    files: &Files,
    at: usize,
    next: Option<&Segment>,
    walked: &mut Walked,
    each: &mut impl FnMut(&Entry<'_>),
) -> io::Result<()> {
    let segment = &files.segments[at];
    let head = match &segment.head {
        Ok(head) => head,
        Err(why) => {
            // The newest file may not have been finished: nothing in it was acknowledged.
            if next.is_none() && matches!(why, HeadError::Short { .. }) {
                walked.torn += segment.bytes;
                return Ok(());
            }
            walked.damage(&segment.name, 0, why);
            // The records are bound to the store and the number, which other files and the name tell.
            if let (HeadError::Damaged, Some(store)) = (why, files.store()) {
                let seat = Seat::new(store, Holds::Plain, segment.number);
                let bytes = files.read(&segment.name)?;
                let body = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
                salvage(segment, seat, &body, SEGMENT_HEAD as u64, walked, each);
            }
            return Ok(());
        }
    };
    if head.number != segment.number || files.store().is_some_and(|store| store != head.store) {
        walked.damage(&segment.name, 0, "it is of another journal, or of another place in this one");
        return Ok(());
    }
    let bytes = files.read(&segment.name)?;
    let body = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
    let mut scan = Scan::new(head.seat(), &body, SEGMENT_HEAD as u64, head.previous);
    if let (Some(last), None) = (walked.last(), walked.open) {
        scan = scan.behind(last);
    }
    // Bytes behind the place where the next segment says that the chain goes on were never acknowledged.
    let adjacent = next.filter(|next| next.number == behind(segment) && !head.compacted);
    let goes_on = adjacent.and_then(|next| next.head.as_ref().ok()).map(|next| next.previous);
    while goes_on != Some(scan.link()) {
        let Some(batch) = scan.next() else { break };
        walked.batches += 1;
        for (offset, frame) in batch.records() {
            give(&segment.name, offset, &frame, walked, each);
        }
    }
    let (offset, chain) = (scan.offset(), scan.link());
    walked.end = Some(End { head: *head, name: segment.name.clone(), offset, chain });
    if goes_on == Some(scan.link()) {
        return Ok(());
    }
    let tail = scan.tail();
    match (tail.end, next) {
        (Ends::Clean, None) => {}
        (Ends::Clean, Some(_)) if goes_on.is_none() => {}
        (Ends::Torn, None) => walked.torn += segment.bytes - tail.at,
        (Ends::Clean, Some(next)) => {
            walked.damage(&segment.name, tail.at, format_args!("it ends before the place where {} goes on", next.name));
        }
        (Ends::Torn | Ends::Damaged, _) => salvage(segment, head.seat(), &body, tail.at, walked, each),
    }
    Ok(())
}

/// Gives what is sound behind damage, and says what is lost.
fn salvage(
    segment: &Segment,
    seat: Seat,
    body: &Bytes,
    from: u64,
    walked: &mut Walked,
    each: &mut impl FnMut(&Entry<'_>),
) {
    let known = walked.damage.len();
    let behind = usize::try_from(from).unwrap_or(usize::MAX).saturating_sub(SEGMENT_HEAD).min(body.len());
    for piece in Salvage::new(seat, &body.slice(behind..), from, walked.last()) {
        match piece {
            Piece::Lost { from, to } => {
                walked.damage(&segment.name, from, format_args!("{} bytes are not what was written", to - from));
            }
            Piece::Record { offset, frame, .. } => give(&segment.name, offset, &frame, walked, each),
            Piece::Batch(batch) => {
                walked.batches += 1;
                for (offset, frame) in batch.records() {
                    give(&segment.name, offset, &frame, walked, each);
                }
            }
        }
    }
    if walked.damage.len() == known {
        // Everything is sound in itself, or torn, and yet does not follow from what is before it.
        walked.damage(&segment.name, from, "what is here does not follow from what is before it");
    }
}

fn give(file: &str, offset: u64, frame: &Bytes, walked: &mut Walked, each: &mut impl FnMut(&Entry<'_>)) {
    let Ok((key, _)) = journal::peek(frame) else { return };
    walked.saw(key.seq);
    each(&Entry { key, file, offset, frame });
}

/// Gives every record of a snapshot to `each`, and says how many there are, or what is wrong with it. Fails only where
/// the file cannot be read.
pub(crate) fn snapshot(
    files: &Files,
    snapshot: &Snapshot,
    mut each: impl FnMut(&Entry<'_>),
) -> io::Result<Result<u64, Damage>> {
    let damage = |offset: u64, what: &dyn fmt::Display| {
        Err(Damage { file: snapshot.name.clone(), offset, what: what.to_string(), lost: None })
    };
    let head = match &snapshot.head {
        Ok(head) => head,
        Err(why) => return Ok(damage(0, why)),
    };
    let bytes = files.read(&snapshot.name)?;
    let body = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
    let mut scan = Scan::new(head.seat(), &body, SEGMENT_HEAD as u64, Chain::START);
    let (mut ended, mut records) = (false, 0);
    for batch in &mut scan {
        ended = batch.ends;
        for (offset, frame) in batch.records() {
            let Ok((key, _)) = journal::peek(&frame) else { continue };
            records += 1;
            each(&Entry { key, file: &snapshot.name, offset, frame: &frame });
        }
    }
    let tail = scan.tail();
    Ok(match tail.end {
        Ends::Clean if ended => Ok(records),
        Ends::Clean | Ends::Torn => damage(tail.at, &"it has no end"),
        Ends::Damaged => damage(tail.at, &"its bytes are not what was written"),
    })
}

/// What has been added to a log behind the place where it was left, in the same segment. Gives the new records to
/// `each` and says where the log goes on.
pub(crate) fn grown(
    files: &Files,
    end: &End,
    last: JournalSeq,
    mut each: impl FnMut(&Entry<'_>),
) -> io::Result<(End, JournalSeq)> {
    let mut most = GROWN;
    loop {
        let bytes = files.read_from(&end.name, end.offset, most)?;
        let mut scan = Scan::new(end.head.seat(), &bytes, end.offset, end.chain).behind(last);
        let mut latest = last;
        for batch in &mut scan {
            for (offset, frame) in batch.records() {
                let Ok((key, _)) = journal::peek(&frame) else { continue };
                latest = key.seq;
                each(&Entry { key, file: &end.name, offset, frame: &frame });
            }
        }
        let cut = bytes.len() as u64 == most && bytes.iter().any(|byte| *byte != 0);
        if latest == last && cut && most < LARGEST {
            // A batch may be longer than what was read.
            most *= 8;
            continue;
        }
        return Ok((End { offset: scan.offset(), chain: scan.link(), ..end.clone() }, latest));
    }
}

/// Bytes looked at first behind the end of a log, and at most.
const GROWN: u64 = 1024 * 1024;
const LARGEST: u64 = 1024 * 1024 * 1024;

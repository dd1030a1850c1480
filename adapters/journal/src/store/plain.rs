//! A keeper that keeps nothing of what has ended.

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::SegmentHead;
use postrider_core::time::UnixTime;

use super::StoreError;
use super::keeper::{Keeper, Tidied};
use super::segments::{Location, Rewrite, Sealed, Segments};
use crate::Disk;
use crate::history::{Answer, HistoryError, Query};

/// Bytes that one piece of work reads and writes, about.
const PIECE: u64 = 1 << 20;

/// Bytes of what a run of segments still has to keep, at most.
const RUN: u64 = 64 << 20;

/// Rewriting a run must free at least so many bytes.
const WORTH: u64 = 64 << 10;

/// Takes back the space of everything but pending events: whole segments at the old end, and elsewhere segments of
/// which little is needed, by writing that again.
pub(crate) struct Plain<D: Disk> {
    work: Option<Work<D>>,
}

/// A run that is being rewritten.
struct Work<D: Disk> {
    rewrite: Rewrite<D>,
    /// The segments of the run.
    from: Vec<u64>,
    /// The last event that was looked at.
    done: JournalSeq,
}

impl<D: Disk> Plain<D> {
    pub(crate) const fn new() -> Self {
        Self { work: None }
    }

    fn go_on(&mut self, segments: &mut Segments<D>) -> Result<(), StoreError> {
        let Some(mut work) = self.work.take() else { return Ok(()) };
        match work.piece(segments) {
            Ok(true) => self.work = Some(work),
            Ok(false) => drop(segments.replace(work.rewrite)?),
            Err(error) => {
                work.rewrite.discard(segments);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl<D: Disk> Work<D> {
    /// Writes the next pending events again; whether there may be more.
    fn piece(&mut self, segments: &mut Segments<D>) -> Result<bool, StoreError> {
        let (mut frames, mut bytes) = (Vec::new(), 0);
        for number in &self.from {
            let places: Vec<_> = segments.pending_of(*number).filter(|(event, _)| *event > self.done).collect();
            for (event, offset) in places {
                if bytes >= PIECE {
                    break;
                }
                // A record that cannot be read any more stays where it is, with its run: what loads it is told.
                let (_, frame) = segments.frame(*number, offset).map_err(|_| StoreError::NotSettled)?;
                self.done = event;
                bytes += frame.len() as u64;
                frames.push(frame);
            }
        }
        if frames.is_empty() {
            return Ok(false);
        }
        self.rewrite.push(&frames)?;
        Ok(true)
    }
}

impl<D: Disk> Keeper<D> for Plain<D> {
    fn found(&mut self, _: &D, _: &SegmentHead, _: u64) -> Option<Sealed> {
        None
    }

    fn note(&mut self, _: &Bytes, _: Location) {}

    fn forget(&mut self, _: JournalSeq) {}

    fn sealed(&mut self, _: &Sealed) {}

    fn tidy(&mut self, segments: &mut Segments<D>, _: UnixTime) -> Result<Tidied, StoreError> {
        if self.work.is_some() {
            self.go_on(segments)?;
            return Ok(Tidied::Worked);
        }
        let oldest = segments.sealed().next().map(|sealed| sealed.number);
        if let Some(oldest) = oldest
            && segments.remove(oldest)?
        {
            return Ok(Tidied::Worked);
        }
        let Some(from) = worth_rewriting(segments) else { return Ok(Tidied::Nothing) };
        let last = from.last().and_then(|last| segments.get(*last)).map_or(0, Sealed::through);
        let rewrite = segments.rewrite(from[0]..=last)?;
        self.work = Some(Work { rewrite, from, done: JournalSeq::ZERO });
        Ok(Tidied::Worked)
    }

    fn answer(&mut self, _: &mut Segments<D>, _: &Query, _: UnixTime) -> Result<Answer, HistoryError> {
        Err(HistoryError::NotKept)
    }
}

/// The run of settled segments whose rewriting frees most, if it frees more than it keeps.
fn worth_rewriting<D: Disk>(segments: &Segments<D>) -> Option<Vec<u64>> {
    let settled: Vec<_> = segments.sealed().take_while(|sealed| sealed.last <= segments.settled()).collect();
    let mut best: Option<(u64, Vec<u64>)> = None;
    for start in 0..settled.len() {
        let (mut len, mut live) = (0, 0);
        for end in start..settled.len() {
            len += settled[end].len;
            live += segments.pending_in(settled[end].number).1;
            let freed = len.saturating_sub(2 * live);
            if live > RUN {
                break;
            }
            if freed >= WORTH && best.as_ref().is_none_or(|(most, _)| *most < freed) {
                best = Some((freed, settled[start..=end].iter().map(|sealed| sealed.number).collect()));
            }
        }
    }
    best.map(|(_, run)| run)
}

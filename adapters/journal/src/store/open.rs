//! Opening a store: what a survey found is made whole on the disk, and the log goes on behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use postrider_core::id::{JournalSeq, TenantId};
use postrider_core::journal::{self, Batch, Kind, RecordKey, SegmentHead};
use postrider_core::time::UnixTime;

use super::acked::{self, Acked};
use super::found::{Corrupt, Damage, OpenError, StoreError};
use super::keeper::{self, Keeper, Tidied};
use super::look::Look;
use super::lost::Lost;
use super::recover::{self, How, Survey};
use super::segments::{Location, Rewrite, Sealed, Segments, discard};
use super::snapshots::Snapshots;
use super::space::Space;
use super::writing::Writing;
use super::{Options, Recovery, Store, names};
use crate::history::{Answer, HistoryError, Query};
use crate::{Disk, File};

/// Repairs in a row: what is damaged again right after it was written anew will not get better.
const REPAIRS: usize = 3;

/// Bytes that are written as one batch, about.
const PIECE: usize = 1 << 20;

pub(super) fn open<D: Disk>(disk: D, options: Options, _wall: UnixTime) -> Result<Store<D>, OpenError> {
    let options = Options { segment_bytes: options.segment_bytes.clamp(4096, 1 << 30), ..options };
    let mut segments = Segments::new(disk, options.store);
    let mut lost = Vec::new();
    let (mut keeper, mut survey) = read(&mut segments, &options, How::ToWrite)?;
    for _ in 0..REPAIRS {
        if survey.damage.is_empty() {
            break;
        }
        if options.recovery == Recovery::Strict && survey.found.damaged_snapshots.is_empty() {
            return Err(OpenError::Corrupt(survey.damage));
        }
        if let Some(first) = survey.headless {
            return Err(OpenError::NoBeginning { first });
        }
        if options.recovery == Recovery::Strict {
            return Err(OpenError::Corrupt(survey.damage));
        }
        repair(&mut segments, &survey.damage)?;
        lost.append(&mut survey.damage);
        (keeper, survey) = read(&mut segments, &options, How::ToWrite)?;
    }
    if !survey.damage.is_empty() {
        return Err(OpenError::Corrupt(survey.damage));
    }
    if let Some(first) = survey.headless {
        return Err(OpenError::NoBeginning { first });
    }
    survey.leftovers.iter().for_each(|name| discard(segments.disk(), name));
    #[cfg(postrider_planted)]
    if postrider_core::planted::breaks(66) {
        (keeper, survey) = read(&mut segments, &options, How::ToLook)?;
    }
    let cut_at = segments.newest().cloned();
    if let Some(last) = cut_at.as_ref().filter(|_| !survey.tail.is_empty()) {
        match write_again(&mut segments, keeper.as_mut(), last, &survey.tail) {
            Ok(()) => {}
            Err(StoreError::Full) => (keeper, survey) = keep_as_it_is(&mut segments, &options)?,
            Err(error) => return Err(of(error)),
        }
    }
    if let Some(last) = cut_at.and_then(|last| segments.get(last.number)) {
        cut(segments.disk(), last);
    }
    let writing = Writing::behind(survey.found.last);
    survey.found.lost = lost;
    segments.settle(Snapshots::<D>::new(survey.kept.clone(), 0).settled());
    let snapshots = Snapshots::new(std::mem::take(&mut survey.kept), survey.last_snapshot);
    let known = acked::read(segments.disk(), segments.store());
    let mut acked = Acked::open(segments.disk(), segments.store());
    if writing.durable() > known {
        acked.tell(writing.durable());
        acked.sync();
    }
    let space = Space::new(options.budget);
    keeper.opened();
    let look = Look::of(segments, keeper, survey);
    Ok(Store { look, options, writing, snapshots, acked, space })
}

type Kept<D> = Box<dyn Keeper<D>>;

fn read<D: Disk>(segments: &mut Segments<D>, options: &Options, how: How) -> Result<(Kept<D>, Survey), OpenError> {
    segments.clear();
    let mut keeper = keeper::of(options);
    let survey = recover::survey(segments, keeper.as_mut(), options.store, how)?;
    Ok((keeper, survey))
}

/// Gives back what a segment has behind its end: zeros, a write that was not finished, or what was written again
/// elsewhere. Where that fails, or does not last, the next opening does it.
pub(super) fn cut<D: Disk>(disk: &D, last: &Sealed) {
    let file = disk.open(&names::segment(last.number));
    let _ = file.and_then(|file| if file.len()? > last.len { file.set_len(last.len) } else { Ok(()) });
}

/// Writes the batches at the end of the last segment again, to a segment of their own: it bears its name only once it
/// is durable, and from then on they are void where they were.
fn write_again<D: Disk>(
    segments: &mut Segments<D>,
    keeper: &mut dyn Keeper<D>,
    last: &Sealed,
    tail: &[Batch],
) -> Result<(), StoreError> {
    let head = SegmentHead::plain(segments.store(), last.through() + 1, last.chain);
    let first = tail.first().map_or(last.last, |batch| batch.first);
    let mut again = Rewrite::new(segments.disk(), head, first)?;
    let mut written = Vec::new();
    for batch in tail {
        let frames: Vec<_> = batch.records().map(|(_, frame)| frame).collect();
        match again.push(&frames) {
            Ok(places) => written.extend(places.into_iter().zip(frames)),
            Err(error) => {
                again.discard(segments);
                return Err(error);
            }
        }
    }
    let (events, sealed) = again.install(segments.disk(), tail.last().map_or(last.last, |batch| batch.last))?;
    keeper.sealed(last);
    for (place, frame) in &written {
        if let Ok((key, _)) = journal::peek(frame) {
            keeper.note(&key, frame, *place);
        }
    }
    keeper.sealed(&sealed);
    segments.push_with(sealed, events);
    for (_, frame) in &written {
        if let Ok((RecordKey { kind: Kind::Ended, event: Some(event), .. }, _)) = journal::peek(frame) {
            segments.ended(event);
        }
    }
    Ok(())
}

/// There is no room to write the end of the log again: it stays where it is, and is synced there.
fn keep_as_it_is<D: Disk>(
    segments: &mut Segments<D>,
    options: &Options,
) -> Result<(Box<dyn Keeper<D>>, Survey), OpenError> {
    let read = read(segments, options, How::ToLook)?;
    if let Some(last) = segments.newest() {
        let name = names::segment(last.number);
        let synced = segments.disk().open(&name).and_then(|file| file.sync());
        synced.map_err(|error| OpenError::io("syncing", &name, &error))?;
    }
    Ok(read)
}

/// Writes what was lost to its file, then every damaged segment anew without it. What is intact of all damaged segments
/// is in memory meanwhile, so that nothing is written before all of it was read.
fn repair<D: Disk>(segments: &mut Segments<D>, damage: &[Corrupt]) -> Result<(), OpenError> {
    let mut lost = Lost::read(segments.disk());
    damage.iter().for_each(|corrupt| lost.add(corrupt));
    lost.write(segments.disk()).map_err(of)?;
    let mut intact = Intact { segments: BTreeMap::new(), kept: BTreeMap::new() };
    damage.iter().for_each(|corrupt| _ = intact.segments.insert(corrupt.segment, Vec::new()));
    segments.clear();
    let store = segments.store();
    recover::survey(segments, &mut intact, store, How::ToLook)?;
    let Intact { segments: mut frames, kept } = intact;
    for sealed in kept.into_values() {
        let frames = frames.remove(&sealed.number).unwrap_or_default();
        let head = SegmentHead::compacted(store, sealed.number, sealed.covers, sealed.previous);
        write_intact(segments.disk(), head, &sealed, &frames).map_err(of)?;
    }
    // What is left of the list has no file: an empty one stands for all up to the next.
    for number in damage.iter().filter(|corrupt| corrupt.damage == Damage::Missing).map(|corrupt| corrupt.segment) {
        let before = segments.sealed().rev().find(|sealed| sealed.number < number).cloned();
        let after = segments.sealed().find(|sealed| sealed.number > number).map_or(number, |after| after.number - 1);
        let Some(before) = before else { continue };
        let covers = u32::try_from(after - number).unwrap_or(u32::MAX);
        let head = SegmentHead::compacted(store, number, covers, before.chain);
        write_intact(segments.disk(), head, &before, &[]).map_err(of)?;
    }
    Ok(())
}

fn write_intact<D: Disk>(disk: &D, head: SegmentHead, sealed: &Sealed, frames: &[Bytes]) -> Result<(), StoreError> {
    let mut again = Rewrite::new(disk, head, sealed.first)?;
    let (mut from, mut bytes) = (0, 0);
    for (at, frame) in frames.iter().enumerate() {
        bytes += frame.len();
        if bytes >= PIECE || at + 1 == frames.len() {
            again.push(&frames[from..=at])?;
            (from, bytes) = (at + 1, 0);
        }
    }
    again.install(disk, sealed.last).map(drop)
}

/// Collects what is intact of some segments.
struct Intact {
    segments: BTreeMap<u64, Vec<Bytes>>,
    kept: BTreeMap<u64, Sealed>,
}

impl<D: Disk> Keeper<D> for Intact {
    fn opened(&mut self) {}

    fn endpoint(&mut self, _: &Bytes) {}

    fn found(&mut self, _: &D, _: &SegmentHead, _: u64) -> Option<Sealed> {
        None
    }

    fn note(&mut self, _: &RecordKey, frame: &[u8], at: Location) {
        if let Some(frames) = self.segments.get_mut(&at.segment) {
            frames.push(Bytes::copy_from_slice(frame));
        }
    }

    fn forget(&mut self, _: JournalSeq) {}

    fn sealed(&mut self, segment: &Sealed) {
        if self.segments.contains_key(&segment.number) {
            self.kept.insert(segment.number, segment.clone());
        }
    }

    fn tidy(&mut self, _: &mut Segments<D>, _: UnixTime) -> Result<Tidied, StoreError> {
        Ok(Tidied::Nothing)
    }

    fn scrub(&mut self) {}

    fn tenants(&mut self, _: &mut Segments<D>) -> Result<BTreeSet<TenantId>, HistoryError> {
        Err(HistoryError::NotKept)
    }

    fn answer(&mut self, _: &mut Segments<D>, _: &Query, _: UnixTime) -> Result<Answer, HistoryError> {
        Err(HistoryError::NotKept)
    }
}

pub(crate) fn of(error: StoreError) -> OpenError {
    match error {
        StoreError::Broken { doing, kind } => OpenError::Io { doing, kind },
        StoreError::Full => OpenError::Io { doing: "writing".to_owned(), kind: io::ErrorKind::StorageFull },
        StoreError::OutOfOrder { .. } | StoreError::NotSettled => {
            OpenError::Io { doing: "writing what was read".to_owned(), kind: io::ErrorKind::InvalidData }
        }
    }
}

//! Compaction: which run of segments is worth rewriting, and the rewriting.
//!
//! Only segments that no opening reads again may lose records. One that openings still read can be rewritten too, with
//! every record at its place and only what was erased left out of them: that is what [`Compaction::scrub`] does, for a
//! directory that is kept offline.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, Chain, Kept, Kind, Record, RecordKey};

use super::marks::Cut;
use super::shelf::Shelf;
use super::survey::{Profile, Survey, View};
use super::tables::{Names, Place, Tables};
use super::walk::{Found, Walk};
use crate::store::StoreError;
use crate::store::segments::{Rewrite, Sealed, Segments};
use crate::{Disk, LogError};

/// A segment that may be rewritten.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    number: u64,
    total: u64,
    needed: u64,
    must: u64,
}

impl Candidate {
    /// At least half of it can go.
    const fn is_half_free(&self) -> bool {
        self.needed * 2 <= self.total && self.needed < self.total
    }
}

/// What is worth doing next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Remove the oldest segment: nothing in it is needed.
    Remove(u64),
    /// Rewrite these neighbours as one.
    Rewrite(Vec<u64>),
}

/// Chooses what gives back most.
///
/// A segment is rewritten when at least half of it can go, or when something in it was erased. Neighbours of which
/// the same is true go along. Small neighbours are joined as long as none of them is larger than the others together,
/// so that a record is copied at most once for each doubling of what it lies in.
pub(super) fn choose<D: Disk>(
    shelf: &Shelf<D>,
    segments: &Segments<D>,
    cut: &Cut,
    segment_bytes: u64,
) -> Option<Choice> {
    let runs = runs(shelf, segments, cut);
    let first = segments.sealed().next().map(|sealed| sealed.number);
    let oldest = runs.first().and_then(|run| run.first()).filter(|oldest| Some(oldest.number) == first);
    if let Some(oldest) = oldest
        && oldest.needed == 0
    {
        return Some(Choice::Remove(oldest.number));
    }
    let all = || runs.iter().flat_map(|run| (0..run.len()).map(move |at| (run, at)));
    let erased = all().filter(|(run, at)| run[*at].must > 0).max_by_key(|(run, at)| run[*at].must);
    let freed = |run: &[Candidate], at: usize| run[at].total - run[at].needed;
    let half = || all().filter(|(run, at)| run[*at].is_half_free()).max_by_key(|(run, at)| freed(run, *at));
    if let Some((run, at)) = erased.or_else(half) {
        return Some(Choice::Rewrite(extend(run, at, segment_bytes)));
    }
    runs.iter().find_map(|run| join(run, segment_bytes)).map(Choice::Rewrite)
}

/// The segments that may be rewritten, in runs of neighbours.
///
/// The newest sealed one with records as they were written stays: what is in the open one may yet be lost, and
/// something must say how far the log had come.
fn runs<D: Disk>(shelf: &Shelf<D>, segments: &Segments<D>, cut: &Cut) -> Vec<Vec<Candidate>> {
    let (mut runs, oldest) = (vec![Vec::new()], shelf.oldest());
    let newest = segments.sealed().rev().find(|sealed| !sealed.compacted && !sealed.is_empty());
    let before = newest.map_or(0, |sealed| sealed.number);
    for sealed in segments.sealed().take_while(|sealed| sealed.number < before) {
        let segment = shelf
            .sealed
            .get(&sealed.number)
            .filter(|segment| sealed.last <= segments.settled() && !segment.standing.stuck);
        let profile = segment.and_then(|segment| segment.standing.profile.as_ref());
        match profile {
            Some(profile) => {
                let needed = profile.needed(cut, oldest < sealed.last).min(profile.total);
                let Profile { total, must, .. } = *profile;
                let run = runs.last_mut().expect("there is one from the beginning");
                run.push(Candidate { number: sealed.number, total, needed, must });
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The candidate at `at` with the neighbours that are worth rewriting too, as long as all fits in one segment.
fn extend(run: &[Candidate], at: usize, segment_bytes: u64) -> Vec<u64> {
    let (mut from, mut to, mut needed) = (at, at + 1, run[at].needed);
    let worth = |other: &Candidate, needed: u64| {
        (other.is_half_free() || other.must > 0 || other.total == 0) && needed + other.needed <= segment_bytes
    };
    while to < run.len() && worth(&run[to], needed) {
        needed += run[to].needed;
        to += 1;
    }
    while from > 0 && worth(&run[from - 1], needed) {
        from -= 1;
        needed += run[from].needed;
    }
    run[from..to].iter().map(|candidate| candidate.number).collect()
}

/// Neighbours that fit in one segment and of which none is larger than the others together.
fn join(run: &[Candidate], segment_bytes: u64) -> Option<Vec<u64>> {
    for from in 0..run.len() {
        let (mut sum, mut largest) = (0, 0);
        let mut best = None;
        for (at, candidate) in run.iter().enumerate().skip(from) {
            sum += candidate.needed;
            largest = largest.max(candidate.needed);
            if sum > segment_bytes {
                break;
            }
            if at > from && largest * 2 <= sum {
                best = Some(at + 1);
            }
        }
        if let Some(to) = best {
            return Some(run[from..to].iter().map(|candidate| candidate.number).collect());
        }
    }
    None
}

/// What is kept of an event that is not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fate {
    payload: bool,
    answers: bool,
}

/// A rewriting on its way.
pub(super) struct Compaction<D: Disk> {
    run: Vec<u64>,
    cut: Cut,
    survey: Option<Survey>,
    fates: BTreeMap<JournalSeq, Fate>,
    /// Which of the run is being read or surveyed.
    at: usize,
    walk: Option<Walk>,
    rewrite: Option<Rewrite<D>>,
    tables: Option<Tables>,
    /// The first place of the run, and the chain of its first segment.
    first: JournalSeq,
    chain: Option<Chain>,
    /// The oldest event of which there was a record when this began.
    oldest: JournalSeq,
    /// Erasures whose records are left out.
    dropped: Vec<JournalSeq>,
    /// Every record stays, for openings still read them; only payloads and answers that were erased go.
    whole: bool,
}

/// What came of a piece of a compaction.
pub(super) enum Step {
    More,
    Done(Box<Done>),
}

/// What was made of a run.
pub(super) struct Done {
    pub(super) sealed: Sealed,
    pub(super) tables: Tables,
    pub(super) dropped: Vec<JournalSeq>,
    /// It stands in its place, but that may not last.
    pub(super) failure: Option<StoreError>,
}

/// Why a compaction cannot go on.
pub(super) enum Stop {
    /// What is there cannot be read: which segment, and why.
    Read(u64, LogError),
    /// The new segment cannot be made.
    Write(StoreError),
}

impl<D: Disk> Compaction<D> {
    pub(super) fn new(run: Vec<u64>, cut: Cut, oldest: JournalSeq) -> Self {
        let survey = run.first().map(|number| Survey::new(*number));
        Self {
            run,
            cut,
            survey,
            fates: BTreeMap::new(),
            at: 0,
            walk: None,
            rewrite: None,
            tables: None,
            first: JournalSeq::ZERO,
            chain: None,
            oldest,
            dropped: Vec::new(),
            whole: false,
        }
    }

    /// Rewrites one segment, settled or not, without what was erased and with everything else.
    pub(super) fn scrub(number: u64, cut: Cut) -> Self {
        Self { whole: true, ..Self::new(vec![number], cut, JournalSeq::ZERO) }
    }

    /// The segments that are rewritten.
    pub(super) fn run(&self) -> &[u64] {
        &self.run
    }

    /// Gives up.
    pub(super) fn discard(self, segments: &mut Segments<D>) {
        if let Some(rewrite) = self.rewrite {
            rewrite.discard(segments);
        }
    }

    /// Finds out what is kept; whether that is known now.
    pub(super) fn look(&mut self, view: &mut View<'_, D>) -> Result<bool, Stop> {
        let Some(survey) = &mut self.survey else { return Ok(true) };
        let number = survey.number();
        if !survey.step(view).map_err(|why| Stop::Read(number, why))? {
            return Ok(false);
        }
        for about in survey.refs() {
            #[cfg(postrider_planted)]
            if postrider_core::planted::breaks(71) && about.pending && !self.whole {
                continue;
            }
            let fate = if self.whole {
                Fate { payload: about.pending || !about.erased, answers: !about.erased }
            } else if about.pending {
                Fate { payload: true, answers: !about.erased }
            } else {
                let Some(ended) = about.ended.filter(|ended| !self.cut.is_gone(*ended)) else { continue };
                Fate { payload: !about.erased && !self.cut.has_no_payload(ended), answers: !about.erased }
            };
            self.fates.entry(about.event).and_modify(|known| known.payload &= fate.payload).or_insert(fate);
        }
        self.at += 1;
        self.survey = self.run.get(self.at).map(|number| Survey::new(*number));
        if self.survey.is_none() {
            self.at = 0;
        }
        Ok(self.survey.is_none())
    }

    /// Copies a piece, once it is known what is kept.
    pub(super) fn copy(
        &mut self,
        segments: &mut Segments<D>,
        shelf: &mut Shelf<D>,
        names: &mut Names,
    ) -> Result<Step, Stop> {
        if self.rewrite.is_none() {
            names.look_again();
            self.begin(segments)?;
            return Ok(Step::More);
        }
        let Some(number) = self.run.get(self.at).copied() else { return self.finish(segments) };
        let Some(walk) = &mut self.walk else {
            self.walk = segments.get(number).map(|sealed| Walk::new(segments, sealed));
            return if self.walk.is_some() { Ok(Step::More) } else { Err(Stop::Write(StoreError::NotSettled)) };
        };
        let found = walk.step(segments).map_err(|why| Stop::Read(number, why))?;
        if found.is_empty() {
            (self.at, self.walk) = (self.at + 1, None);
            return Ok(Step::More);
        }
        let kept = self.kept(number, found)?;
        for (_, _, record) in &kept {
            if let Record::Outcome(outcome) = record {
                shelf.look_for(segments.disk(), outcome.subscription, number, names);
            }
        }
        self.write(&kept, names)?;
        Ok(Step::More)
    }

    fn begin(&mut self, segments: &Segments<D>) -> Result<(), Stop> {
        let of = |number: Option<&u64>| number.and_then(|number| segments.get(*number)).cloned();
        let (Some(first), Some(last)) = (of(self.run.first()), of(self.run.last())) else {
            return Err(Stop::Write(StoreError::NotSettled));
        };
        self.rewrite = Some(segments.rewrite(first.number..=last.through(), self.whole).map_err(Stop::Write)?);
        (self.first, self.chain) = (first.first, Some(first.chain));
        Ok(())
    }

    /// What is kept of the records that were found in a segment: their places, frames and contents.
    fn kept(&mut self, number: u64, found: Vec<Found>) -> Result<Vec<(JournalSeq, Bytes, Record)>, Stop> {
        let mut kept = Vec::with_capacity(found.len());
        for found in found {
            let unsound = |why: journal::CodecError| {
                let place = format!("in segment {number} at byte {}", found.offset);
                Stop::Read(number, LogError::Damaged { place, why: why.to_string() })
            };
            let (key, _) = journal::peek(&found.frame).map_err(unsound)?;
            if let Some((frame, record)) = self.keep(key, found.frame.clone()).map_err(unsound)? {
                kept.push((found.seq, frame, record));
            }
        }
        Ok(kept)
    }

    fn write(&mut self, kept: &[(JournalSeq, Bytes, Record)], names: &Names) -> Result<(), Stop> {
        let (Some(rewrite), Some((first, ..))) = (&mut self.rewrite, kept.first()) else { return Ok(()) };
        let tables = self.tables.get_or_insert_with(|| Tables::new(*first));
        let frames: Vec<_> = kept.iter().map(|(_, frame, _)| frame.clone()).collect();
        let places = rewrite.push(&frames).map_err(Stop::Write)?;
        for ((seq, _, record), at) in kept.iter().zip(places) {
            tables.note(Place { seq: *seq, offset: at.offset, len: at.len }, record, names);
        }
        Ok(())
    }

    /// What is kept of a record.
    fn keep(&mut self, key: RecordKey, frame: Bytes) -> Result<Option<(Bytes, Record)>, journal::CodecError> {
        let read = |frame: &Bytes| journal::decode(&mut frame.clone()).map(|(_, record)| record);
        if self.whole {
            let fate = key.event.and_then(|event| self.fates.get(&event));
            let fate = fate.copied().unwrap_or(Fate { payload: true, answers: true });
            return Ok(Some(reduce(key.seq, read(&frame)?, frame, fate)));
        }
        match key.kind {
            Kind::Accepted | Kind::Kept | Kind::Outcome | Kind::Ended => {
                let Some(fate) = key.event.and_then(|event| self.fates.get(&event)) else { return Ok(None) };
                Ok(Some(reduce(key.seq, read(&frame)?, frame, *fate)))
            }
            Kind::Purged | Kind::Erased if self.oldest < key.seq => {
                let record = read(&frame)?;
                Ok(Some((frame, record)))
            }
            Kind::Purged | Kind::Erased => {
                self.dropped.push(key.seq);
                Ok(None)
            }
            Kind::Genesis
            | Kind::Opened
            | Kind::Endpoint
            | Kind::Removed
            | Kind::Queued
            | Kind::Mark
            | Kind::Cancelled
            | Kind::SnapshotBegin
            | Kind::Event
            | Kind::Pending
            | Kind::Remembered
            | Kind::SnapshotEnd
            | Kind::Health
            | Kind::Lane
            | Kind::Synced
            | Kind::Consent
            | Kind::KeyUse => Ok(None),
        }
    }

    fn finish(&mut self, segments: &mut Segments<D>) -> Result<Step, Stop> {
        let Some(rewrite) = self.rewrite.take() else { return Ok(Step::More) };
        let tables = self.tables.take().unwrap_or_else(|| Tables::new(self.first));
        let (sealed, failure) = match segments.replace(rewrite) {
            Ok(sealed) => (sealed, None),
            // It may stand in its place although its name may not last.
            Err(why) => match self.run.first().and_then(|number| segments.get(*number)) {
                Some(sealed) if Some(sealed.chain) != self.chain => (sealed.clone(), Some(why)),
                Some(_) | None => return Err(Stop::Write(why)),
            },
        };
        Ok(Step::Done(Box::new(Done { sealed, tables, dropped: std::mem::take(&mut self.dropped), failure })))
    }
}

/// A record without what its fate takes from it, and its frame.
fn reduce(seq: JournalSeq, record: Record, frame: Bytes, fate: Fate) -> (Bytes, Record) {
    let less = match record {
        Record::Accepted(mut accepted) if !fate.payload => {
            let payload_len = u32::try_from(accepted.payload.len()).expect("a record is shorter than 4 GiB");
            accepted.payload = Bytes::new();
            Record::Kept(Box::new(Kept { accepted: *accepted, payload_len }))
        }
        Record::Outcome(mut outcome) if !fate.answers && outcome.answer.is_some() => {
            outcome.answer = None;
            Record::Outcome(outcome)
        }
        whole => return (frame, whole),
    };
    let mut out = BytesMut::new();
    journal::encode(seq, &less, &mut out);
    (out.freeze(), less)
}

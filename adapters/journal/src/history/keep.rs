//! The keeper of history: takes note of records, tidies, and hands questions on.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::{JournalSeq, TenantId};
use postrider_core::journal::{self, Glance, Kind, Record, RecordKey, SegmentHead};
use postrider_core::time::UnixTime;

use super::compact::{self, Choice, Compaction, Done, Step, Stop};
use super::erasures::{Erasure, Erasures};
use super::file::{self, Head, Index, PAGE, Writing};
use super::marks::Marks;
use super::rows::{self, Rows, Table};
use super::shelf::{Segment, Shelf, Source};
use super::survey::{Group, Survey, View};
use super::tables::{Names, Place, Tables};
use super::walk::Walk;
use super::{Answer, HistoryError, Query, Retention};
use crate::store::StoreError;
use crate::store::keeper::{Keeper, Tidied};
use crate::store::segments::{Location, Sealed, Segments};
use crate::{Disk, LogError};

/// Bytes of an index that are written at once.
const PIECE: usize = 1024 * 1024;

/// Keeps what has ended for as long as it is to be kept, finds it again, and takes back its space afterwards.
pub(crate) struct History<D: Disk> {
    pub(super) retention: Retention,
    segment_bytes: u64,
    pub(super) marks: Marks,
    pub(super) names: Names,
    pub(super) erasures: Erasures,
    pub(super) shelf: Shelf<D>,
    /// Ends that were noted and may not be durable: the record, and the event.
    ended: VecDeque<(JournalSeq, JournalSeq)>,
    task: Option<Task<D>>,
    /// The store is being opened: what is read now is read again for its index later, when nobody waits.
    opening: bool,
    /// Indexes without segments have been removed.
    swept: bool,
    /// No index could be written; tried again when another segment has been sealed.
    unwritable: bool,
    /// Whether segments that are not settled are rewritten too where something in them was erased, and those of which
    /// that was tried.
    scrubbed: Option<BTreeSet<u64>>,
}

/// Work that takes more than one piece.
enum Task<D: Disk> {
    Write(u64, D::File, Writing),
    Survey(Survey),
    Compact(Box<Compaction<D>>),
    /// The tables begin with the first record that there is.
    Rebuild(u64, Walk, Option<Box<Tables>>),
}

impl<D: Disk> Task<D> {
    /// Reads a segment for its index.
    fn rebuild(segments: &Segments<D>, sealed: &Sealed) -> Self {
        Self::Rebuild(sealed.number, Walk::new(segments, sealed), None)
    }
}

impl<D: Disk> History<D> {
    /// Keeps as long as `retention` says, in segments of at most about `segment_bytes`.
    pub(crate) const fn new(retention: Retention, segment_bytes: u64) -> Self {
        Self {
            retention,
            segment_bytes,
            marks: Marks { payloads: UnixTime::EPOCH, attempts: UnixTime::EPOCH },
            names: Names::new(),
            erasures: Erasures::new(),
            shelf: Shelf::new(),
            ended: VecDeque::new(),
            task: None,
            opening: true,
            swept: false,
            unwritable: false,
            scrubbed: None,
        }
    }
}

impl<D: Disk> Keeper<D> for History<D> {
    fn found(&mut self, disk: &D, head: &SegmentHead, len: u64) -> Option<Sealed> {
        let file = disk.open(&file::name(head.number)).ok()?;
        let index = file::read_head(&file).ok()??;
        if !index.is_of(head, len) {
            return None;
        }
        let index = Arc::new(index);
        let mut rows = Index::new(index.clone(), file);
        let mut erasures = Vec::new();
        for at in 0..rows.count(Table::Erasures) {
            let row = rows.row(Table::Erasures, at).ok()?;
            let text = rows.text(row.u32(4)).ok()?;
            erasures.push((index.summary.seq(row.u32(0)), Erasure::from_text(&text)?));
        }
        #[cfg(postrider_planted)]
        erasures.retain(|_| !postrider_core::planted::breaks(72));
        erasures.into_iter().for_each(|(seq, erasure)| self.erasures.add(seq, erasure));
        self.marks.raise(index.marks);
        let sealed = index.sealed.clone();
        self.shelf.insert(sealed.clone(), Source::File(index));
        Some(sealed)
    }

    fn endpoint(&mut self, frame: &Bytes) {
        if let Ok((_, record)) = journal::decode(&mut frame.clone()) {
            self.names.learn(&record);
        }
    }

    fn opened(&mut self) {
        self.opening = false;
    }

    fn note(&mut self, key: &RecordKey, frame: &[u8], at: Location) {
        match key.kind {
            Kind::Endpoint | Kind::Purged | Kind::Erased => self.command(frame, at),
            Kind::Accepted | Kind::Kept | Kind::Outcome | Kind::Ended => {
                if !self.opening
                    && let Ok((seq, seen)) = journal::glance(frame)
                {
                    let room = self.segment_bytes;
                    let (_, tables) =
                        self.shelf.active.get_or_insert_with(|| (at.segment, Tables::with_room(seq, room)));
                    tables.glance(Place { seq, offset: at.offset, len: at.len }, &seen, &self.names);
                    if let Glance::Ended { event, .. } = seen {
                        self.ended.push_back((seq, event));
                    }
                }
            }
            Kind::Genesis
            | Kind::Opened
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
            | Kind::KeyUse => {}
        }
    }

    fn forget(&mut self, from: JournalSeq) {
        if let Some((_, tables)) = &mut self.shelf.active {
            tables.forget(from);
        }
        self.erasures.forget(from);
        self.ended.retain(|(seq, _)| *seq < from);
    }

    fn sealed(&mut self, segment: &Sealed) {
        let noted = self.shelf.active.take().filter(|(number, _)| *number == segment.number);
        self.unwritable = false;
        if let Some(known) = self.shelf.sealed.get_mut(&segment.number)
            && known.sealed.chain == segment.chain
        {
            // It was read at opening although there is an index of it.
            known.sealed = segment.clone();
            return;
        }
        let rows = match noted {
            Some((_, tables)) => Source::Memory(Box::new(tables)),
            None if self.opening => Source::missing(segment.first),
            None => Source::Memory(Box::new(Tables::new(segment.first))),
        };
        self.shelf.insert(segment.clone(), rows);
    }

    fn tidy(&mut self, segments: &mut Segments<D>, wall: UnixTime) -> Result<Tidied, StoreError> {
        self.settle_ends(segments);
        match self.task.take() {
            Some(task) => self.go_on(task, segments, wall),
            None => self.next(segments, wall),
        }
    }

    fn scrub(&mut self) {
        self.scrubbed = Some(BTreeSet::new());
    }

    fn answer(&mut self, segments: &mut Segments<D>, query: &Query, wall: UnixTime) -> Result<Answer, HistoryError> {
        let cut = self.marks.cut(&self.retention, wall);
        self.indexed(segments, |history, segments| history.ask(segments, query, &cut))
    }

    fn tenants(&mut self, segments: &mut Segments<D>) -> Result<BTreeSet<TenantId>, HistoryError> {
        self.indexed(segments, |history, segments| history.owners(segments))
    }
}

impl<D: Disk> History<D> {
    /// Takes note of a record that describes an endpoint or erases something.
    fn command(&mut self, frame: &[u8], at: Location) {
        let Ok((seq, record)) = journal::decode(&mut Bytes::copy_from_slice(frame)) else { return };
        self.names.learn(&record);
        let erasure = Erasure::of(&record);
        if self.opening {
            #[cfg(postrider_planted)]
            let erasure = erasure.filter(|_| !postrider_core::planted::breaks(72));
            erasure.into_iter().for_each(|erasure| self.erasures.add(seq, erasure));
            return;
        }
        let room = self.segment_bytes;
        let (_, tables) = self.shelf.active.get_or_insert_with(|| (at.segment, Tables::with_room(seq, room)));
        tables.note(Place { seq, offset: at.offset, len: at.len }, &record, &self.names);
        if let Some(erasure) = erasure {
            self.erasures.add_fresh(seq, erasure);
        }
    }

    /// Counts ends that have become durable with the segments in which something may be free now.
    fn settle_ends(&mut self, segments: &Segments<D>) {
        while let Some((_, event)) = self.ended.front().copied() {
            if segments.is_pending(event) {
                return;
            }
            self.ended.pop_front();
            let later = self.shelf.sealed.values_mut().rev().take_while(|segment| segment.sealed.last >= event);
            later.for_each(|segment| segment.standing.ended += 1);
        }
    }

    /// Chooses what to do, and does the first piece of it.
    fn next(&mut self, segments: &mut Segments<D>, wall: UnixTime) -> Result<Tidied, StoreError> {
        if !std::mem::replace(&mut self.swept, true) {
            self.sweep(segments);
            return Ok(Tidied::Worked);
        }
        if let Some(sealed) = self.shelf.missing().and_then(|number| segments.get(number)) {
            return self.go_on(Task::rebuild(segments, sealed), segments, wall);
        }
        if let Some((seq, erasure)) = self.erasures.next_fresh() {
            // What is not found now, because an index is damaged, is found by the survey after it was made again.
            let _ = self.suspect(segments, seq, &erasure);
            return Ok(Tidied::Worked);
        }
        let stale = |segment: &&Segment| !segment.standing.stuck && segment.standing.is_stale(wall);
        if let Some(segment) = self.shelf.sealed.values().find(stale) {
            return self.go_on(Task::Survey(Survey::new(segment.sealed.number)), segments, wall);
        }
        if let Some(trimmed) = self.trim(wall) {
            return Ok(trimmed);
        }
        let cut = self.marks.cut(&self.retention, wall);
        match compact::choose(&self.shelf, segments, &cut, self.segment_bytes) {
            Some(Choice::Remove(number)) => self.remove(segments, number),
            Some(Choice::Rewrite(run)) => {
                let compaction = Compaction::new(run, cut, self.shelf.oldest());
                self.go_on(Task::Compact(Box::new(compaction)), segments, wall)
            }
            None => match self.next_scrub() {
                Some(number) => self.go_on(Task::Compact(Box::new(Compaction::scrub(number, cut))), segments, wall),
                None => self.write_next(segments, wall),
            },
        }
    }

    /// A segment that is rewritten only because something in it was erased, although openings read it.
    fn next_scrub(&mut self) -> Option<u64> {
        let scrubbed = self.scrubbed.as_mut()?;
        let must = |segment: &&Segment| {
            let erased = segment.standing.profile.as_ref().is_some_and(|profile| profile.must > 0);
            erased && !segment.standing.stuck && !scrubbed.contains(&segment.sealed.number)
        };
        let number = self.shelf.sealed.values().find(must)?.sealed.number;
        scrubbed.insert(number);
        Some(number)
    }

    fn go_on(&mut self, task: Task<D>, segments: &mut Segments<D>, wall: UnixTime) -> Result<Tidied, StoreError> {
        match task {
            Task::Write(number, file, writing) => self.write_index(segments, number, file, writing),
            Task::Survey(survey) => self.survey(segments, survey, wall)?,
            Task::Compact(compaction) => self.compact(segments, compaction)?,
            Task::Rebuild(number, walk, tables) => self.rebuild(segments, number, walk, tables)?,
        }
        Ok(Tidied::Worked)
    }

    /// Removes indexes that belong to no segment.
    fn sweep(&self, segments: &mut Segments<D>) {
        for name in segments.disk().list().unwrap_or_default() {
            if file::number(&name).is_some_and(|number| !self.shelf.sealed.contains_key(&number)) {
                let _ = segments.disk().remove(&name);
                segments.changed();
            }
        }
    }

    /// Finds the segments in which there may be something to erase.
    fn suspect(&mut self, segments: &Segments<D>, seq: JournalSeq, erasure: &Erasure) -> Result<(), LogError> {
        let (disk, numbers) = (segments.disk(), self.shelf.numbers());
        let mut suspects = BTreeSet::new();
        for (at, number) in numbers.iter().copied().enumerate() {
            if self.shelf.summary(number).is_none_or(|summary| summary.oldest >= seq) {
                continue;
            }
            let Some(event) = &erasure.event else {
                if has_of(self.shelf.rows(disk, number)?, &erasure.tenant)? {
                    suspects.insert(number);
                }
                continue;
            };
            let (hash, mut before) = (rows::hash_event(&erasure.tenant, event), seq);
            loop {
                let rows = self.shelf.rows(disk, number)?;
                // What sends it again is filed under its name too.
                let Some(found) = rows::filed(rows, hash, before)? else { break };
                before = found;
                suspects.insert(number);
                self.with_answers(disk, &numbers[at..], before, &mut suspects)?;
            }
        }
        for number in suspects {
            if let Some(segment) = self.shelf.sealed.get_mut(&number) {
                segment.standing.suspect = true;
            }
        }
        Ok(())
    }

    /// Finds the segments among `numbers` with answers to an event's attempts.
    fn with_answers(
        &mut self,
        disk: &D,
        numbers: &[u64],
        event: JournalSeq,
        into: &mut BTreeSet<u64>,
    ) -> Result<(), LogError> {
        for number in numbers {
            let rows = self.shelf.rows(disk, *number)?;
            let (from, to) = rows::outcomes(rows, event)?;
            for at in from..to {
                if rows::outcome_row(rows, at)?.answer {
                    into.insert(*number);
                    break;
                }
            }
            if rows::ended(rows, event)?.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn survey(&mut self, segments: &Segments<D>, mut survey: Survey, wall: UnixTime) -> Result<(), StoreError> {
        let Self { shelf, erasures, .. } = self;
        match survey.step(&mut View { shelf, segments, erasures }) {
            Ok(false) => self.task = Some(Task::Survey(survey)),
            Ok(true) => {
                let profile = survey.profile(&self.shelf);
                if let Some(segment) = self.shelf.sealed.get_mut(&survey.number()) {
                    segment.standing.surveyed(profile, wall);
                }
            }
            Err(why) => return self.stop(segments, survey.number(), why),
        }
        Ok(())
    }

    /// Something could not be read. A damaged index is made again; a segment that cannot be read itself stays as it is
    /// until the store is opened again, which is told once.
    fn stop(&mut self, segments: &Segments<D>, number: u64, why: LogError) -> Result<(), StoreError> {
        if let Some(bad) = self.shelf.bad()
            && let Some(sealed) = segments.get(bad)
        {
            self.task = Some(Task::rebuild(segments, sealed));
            return Ok(());
        }
        if let Some(segment) = self.shelf.sealed.get_mut(&number) {
            segment.standing.stuck = true;
        }
        Err(match why {
            LogError::Io { doing, kind } => StoreError::Broken { doing, kind },
            LogError::Damaged { place, .. } => {
                StoreError::Broken { doing: format!("reading what is {place}"), kind: io::ErrorKind::InvalidData }
            }
        })
    }

    fn rebuild(
        &mut self,
        segments: &mut Segments<D>,
        number: u64,
        mut walk: Walk,
        mut tables: Option<Box<Tables>>,
    ) -> Result<(), StoreError> {
        if tables.is_none() {
            self.names.look_again();
        }
        let found = match walk.step(segments) {
            Ok(found) => found,
            // A store that is only looked at shows what is before the damage, and tells of the damage itself.
            Err(LogError::Damaged { .. }) if self.opening => Vec::new(),
            Err(why) => {
                self.shelf.close(number..=number);
                return self.stop(segments, number, why);
            }
        };
        if found.is_empty() {
            self.shelf.close(number..=number);
            if let Some(segment) = self.shelf.sealed.get_mut(&number) {
                let first = segment.sealed.first;
                segment.rows = Source::Memory(tables.unwrap_or_else(|| Box::new(Tables::new(first))));
                segment.standing.suspect = true;
            }
            return Ok(());
        }
        for found in found {
            let len = u32::try_from(found.frame.len()).expect("a record is shorter than 4 GiB");
            if let Ok((seq, record)) = journal::decode(&mut found.frame.clone()) {
                self.names.learn(&record);
                if let Record::Outcome(outcome) = &record {
                    self.shelf.look_for(segments.disk(), outcome.subscription, number, &mut self.names);
                }
                let tables = tables.get_or_insert_with(|| Box::new(Tables::new(seq)));
                tables.note(Place { seq, offset: found.offset, len }, &record, &self.names);
            }
        }
        self.task = Some(Task::Rebuild(number, walk, tables));
        Ok(())
    }

    /// Asks the indexes. Those that are missing are made before, one that turns out to be damaged is made again: an index
    /// is only a copy, and in memory then.
    fn indexed<T>(
        &mut self,
        segments: &mut Segments<D>,
        ask: impl Fn(&mut Self, &mut Segments<D>) -> Result<T, LogError>,
    ) -> Result<T, HistoryError> {
        while self.shelf.missing().is_some_and(|number| self.index_now(segments, number)) {}
        loop {
            match ask(self, segments) {
                Err(LogError::Damaged { .. }) if self.mend(segments) => {}
                answer => return answer.map_err(HistoryError::Failed),
            }
        }
    }

    /// Makes a damaged index again, for a question that cannot wait; whether one was made.
    fn mend(&mut self, segments: &mut Segments<D>) -> bool {
        self.shelf.bad().is_some_and(|bad| self.index_now(segments, bad))
    }

    /// Makes the index of a segment at once; whether that could be done.
    fn index_now(&mut self, segments: &mut Segments<D>, number: u64) -> bool {
        let Some(sealed) = segments.get(number) else { return false };
        let mut rebuild = Some(Task::rebuild(segments, sealed));
        let waiting = self.task.take();
        while let Some(Task::Rebuild(number, walk, tables)) = rebuild {
            if self.rebuild(segments, number, walk, tables).is_err() {
                break;
            }
            rebuild = self.task.take();
        }
        // What was being made of this segment would be thrown away.
        self.task = waiting.filter(|task| !matches!(task, Task::Rebuild(other, ..) if *other == number));
        let in_memory = |segment: &Segment| matches!(segment.rows, Source::Memory(_));
        self.shelf.sealed.get(&number).is_some_and(in_memory)
    }

    fn compact(&mut self, segments: &mut Segments<D>, mut compaction: Box<Compaction<D>>) -> Result<(), StoreError> {
        let Self { shelf, erasures, names, .. } = self;
        let step = match compaction.look(&mut View { shelf, segments, erasures }) {
            Ok(false) => Ok(Step::More),
            Ok(true) => compaction.copy(segments, shelf, names),
            Err(stop) => Err(stop),
        };
        match step {
            Ok(Step::More) => self.task = Some(Task::Compact(compaction)),
            Ok(Step::Done(done)) => {
                let failure = self.replaced(segments, compaction.run(), *done);
                return failure.map_or(Ok(()), Err);
            }
            Err(Stop::Read(number, why)) => {
                compaction.discard(segments);
                return self.stop(segments, number, why);
            }
            Err(Stop::Write(why)) => {
                compaction.discard(segments);
                return Err(why);
            }
        }
        Ok(())
    }

    /// A run was rewritten.
    fn replaced(&mut self, segments: &mut Segments<D>, run: &[u64], done: Done) -> Option<StoreError> {
        for number in run {
            #[cfg(postrider_planted)]
            if postrider_core::planted::breaks(70) && *number != done.sealed.number {
                continue;
            }
            self.shelf.sealed.remove(number);
            let _ = segments.disk().remove(&file::name(*number));
        }
        segments.changed();
        done.dropped.into_iter().for_each(|seq| self.erasures.remove(seq));
        self.shelf.insert(done.sealed, Source::Memory(Box::new(done.tables)));
        done.failure
    }

    fn remove(&mut self, segments: &mut Segments<D>, number: u64) -> Result<Tidied, StoreError> {
        let mut erased = Vec::new();
        let rows = self.shelf.rows(segments.disk(), number);
        if let Ok(rows) = rows {
            for at in 0..rows.count(Table::Erasures) {
                erased.extend(rows.row(Table::Erasures, at).ok().map(|row| rows.summary().seq(row.u32(0))));
            }
        }
        if !segments.remove(number)? {
            return Ok(Tidied::Nothing);
        }
        self.shelf.close(number..=number);
        self.shelf.sealed.remove(&number);
        let _ = segments.disk().remove(&file::name(number));
        segments.changed();
        erased.into_iter().for_each(|seq| self.erasures.remove(seq));
        Ok(Tidied::Worked)
    }

    /// Raises a mark when a budget is exceeded.
    fn trim(&mut self, wall: UnixTime) -> Option<Tidied> {
        let cut = self.marks.cut(&self.retention, wall);
        let profiles = || self.shelf.sealed.values().filter_map(|segment| segment.standing.profile.as_ref());
        let most = profiles().map(|profile| profile.ended).sum::<u64>();
        if most <= self.retention.attempt_bytes.min(self.retention.payload_bytes) {
            return None;
        }
        let groups: Vec<_> = profiles().flat_map(|profile| profile.kept(&cut)).collect();
        let attempts = exceeding(&groups, self.retention.attempt_bytes, |group| group.rest);
        let payloads = exceeding(&groups, self.retention.payload_bytes, |group| group.payloads);
        let (events, before) = match (attempts, payloads) {
            (Some((events, before)), _) => {
                self.marks.attempts = self.marks.attempts.max(before);
                (events, before)
            }
            (None, Some((events, before))) => {
                self.marks.payloads = self.marks.payloads.max(before);
                (events, before)
            }
            (None, None) => return None,
        };
        Some(Tidied::Trimmed { events, before })
    }

    /// Begins to write an index that is in memory only, the oldest first.
    fn write_next(&mut self, segments: &mut Segments<D>, wall: UnixTime) -> Result<Tidied, StoreError> {
        let in_memory = |segment: &&mut Segment| matches!(segment.rows, Source::Memory(_));
        let Some(segment) = self.shelf.sealed.values_mut().find(in_memory).filter(|_| !self.unwritable) else {
            return Ok(Tidied::Nothing);
        };
        let Source::Memory(tables) = &mut segment.rows else { return Ok(Tidied::Nothing) };
        tables.sort();
        let head = Head::new(segments.store(), segment.sealed.clone(), self.marks, tables);
        let (number, writing) = (segment.sealed.number, Writing::new(head));
        let aside = file::aside(number);
        let _ = segments.disk().remove(&aside);
        match segments.disk().create(&aside, writing.size()) {
            Ok(file) => self.go_on(Task::Write(number, file, writing), segments, wall),
            Err(_) => {
                self.unwritable = true;
                Ok(Tidied::Nothing)
            }
        }
    }

    fn write_index(&mut self, segments: &mut Segments<D>, number: u64, file: D::File, mut writing: Writing) {
        let Some(segment) = self.shelf.sealed.get_mut(&number) else { return };
        let Source::Memory(tables) = &segment.rows else { return };
        let (name, disk) = (file::name(number), segments.disk());
        let aside = file::aside(number);
        let done = match writing.step(&file, tables, (PIECE / PAGE) as u32) {
            Ok(false) => {
                self.task = Some(Task::Write(number, file, writing));
                return;
            }
            Ok(true) => disk.rename(&aside, &name),
            Err(error) => Err(error),
        };
        // It is only a copy: that it bears its name need not be durable, and without it, it stays in memory.
        match done {
            Ok(()) => segment.rows = Source::File(Arc::new(writing.into_head())),
            Err(_) => {
                let _ = disk.remove(&aside);
                self.unwritable = true;
            }
        }
        segments.changed();
    }
}

/// Whether there may be payloads or answers of a tenant.
fn has_of(rows: &mut dyn Rows, tenant: &TenantId) -> Result<bool, LogError> {
    if rows.summary().stray {
        return Ok(true);
    }
    let hash = rows::hash_tenant(tenant).to_be_bytes();
    for at in rows.lower(Table::Tenants, &hash)?..rows.count(Table::Tenants) {
        let row = rows.row(Table::Tenants, at)?;
        if row.0[..8] != hash {
            break;
        }
        if rows.text(row.u32(8))? == tenant.as_str() {
            return Ok(row.u32(12) > 0 || row.u32(16) > 0);
        }
    }
    Ok(false)
}

/// How many events must go so that the others fit the budget, the first ended first, and before when they ended.
fn exceeding(groups: &[Group], budget: u64, bytes: impl Fn(&Group) -> u64) -> Option<(u64, UnixTime)> {
    let mut left: u64 = groups.iter().map(&bytes).sum();
    if left <= budget {
        return None;
    }
    let mut groups: Vec<_> = groups.iter().filter(|group| bytes(group) > 0).collect();
    groups.sort_by_key(|group| group.ended);
    let (mut events, mut before) = (0, UnixTime::EPOCH);
    for group in groups {
        if left <= budget && group.ended >= before {
            break;
        }
        left -= bytes(group);
        events += group.events;
        before = UnixTime::from_millis(group.ended.as_millis().saturating_add(1));
    }
    Some((events, before))
}

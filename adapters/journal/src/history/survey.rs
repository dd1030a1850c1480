//! How much of a segment is still needed, and until when.

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::sender::REPLAYED;
use postrider_core::time::UnixTime;

use super::erasures::Erasures;
use super::marks::Cut;
use super::rows::{self, EventRow, OutcomeRow, Rows, Table};
use super::shelf::Shelf;
use crate::store::segments::Segments;
use crate::{Disk, LogError};

/// Events looked at in one piece of a survey, and events whose end is looked for.
const PIECE: usize = 8192;
const ENDS: usize = 1024;
/// Groups of events in a profile, at most about.
const GROUPS: usize = 64;
/// Bytes of the record that an event ended, with its checksum.
const ENDED: u64 = 36;
/// Bytes of the record of an erasure, about.
const ERASURE: u64 = 64;

/// What is known of how much of a sealed segment is needed.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// As the last survey found it.
    pub(super) profile: Option<Profile>,
    /// When that was.
    pub(super) at: UnixTime,
    /// Events that have ended since, of which there may be records here.
    pub(super) ended: u64,
    /// How many of these make another survey worth its while.
    pub(super) wait: u64,
    /// Something in it may have been erased.
    pub(super) suspect: bool,
    /// It cannot be read to its end, and stays as it is.
    pub(super) stuck: bool,
}

impl Standing {
    /// A survey found `profile`. One that finds hardly any pending event ended makes the next one wait longer.
    pub(super) fn surveyed(&mut self, profile: Profile, at: UnixTime) {
        let before = self.profile.as_ref().map(|profile| profile.pending);
        let pending = profile.pending;
        let fruitless = before.is_some_and(|before| pending > before - before / 16);
        self.wait = if fruitless { self.wait.saturating_mul(2) } else { (pending / 8).max(1) };
        (self.profile, self.at, self.ended, self.suspect) = (Some(profile), at, 0, false);
    }

    /// Whether another survey is worth its while.
    pub(super) fn is_stale(&self, wall: UnixTime) -> bool {
        const HOUR: core::time::Duration = core::time::Duration::from_secs(3600);
        let Some(profile) = &self.profile else { return true };
        let changed = profile.pending > 0 && self.ended > 0;
        self.suspect || changed && (self.ended >= self.wait || wall.saturating_since(self.at) >= HOUR)
    }
}

/// How many bytes of a segment are needed, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Bytes of the segment without its header; of a compacted one, of what is in its index.
    pub(super) total: u64,
    /// Events that records are about and that have not ended.
    pub(super) pending: u64,
    /// Bytes of these.
    held: u64,
    /// Bytes of records of erasures, about.
    erasures: u64,
    /// Bytes that must go, at least, because what is in them was erased.
    pub(super) must: u64,
    /// Bytes of the ended events, payloads included, as long as none of them is gone.
    pub(super) ended: u64,
    /// The ended events, the first ended first.
    groups: Vec<Group>,
}

/// Events that ended at about the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// When the last of them ended.
    pub(super) ended: UnixTime,
    /// How many were accepted in this segment.
    pub(super) events: u64,
    pub(super) payloads: u64,
    pub(super) rest: u64,
}

impl Profile {
    /// Bytes that are needed with that cut; whether erasures in it must stay known, too.
    pub(super) fn needed(&self, cut: &Cut, erasures: bool) -> u64 {
        // The first that ended is the first that goes, and hardly ever has any gone.
        let whole =
            self.groups.first().is_none_or(|first| !cut.is_gone(first.ended) && !cut.has_no_payload(first.ended));
        let kept = || self.kept(cut).map(|group| group.payloads + group.rest).sum::<u64>();
        let ended = if whole { self.ended } else { kept() };
        ended + self.held + if erasures { self.erasures } else { 0 }
    }

    /// The groups that are not gone, those without payloads as such.
    pub(super) fn kept(&self, cut: &Cut) -> impl Iterator<Item = Group> {
        let cut = *cut;
        self.groups.iter().filter(move |group| !cut.is_gone(group.ended)).map(move |group| {
            let payloads = if cut.has_no_payload(group.ended) { 0 } else { group.payloads };
            Group { payloads, ..*group }
        })
    }

    fn of(refs: &[Ref], erasures: u64, total: Option<u64>) -> Self {
        let mut profile = Self { erasures, ..Self::default() };
        let mut ended: Vec<&Ref> = Vec::new();
        let mut indexed = erasures;
        for about in refs {
            let payload = u64::from(about.payload);
            indexed += payload + about.rest;
            if about.pending {
                profile.pending += 1;
                profile.held += payload + about.rest;
                continue;
            }
            if about.erased {
                profile.must += payload + u64::from(about.answers);
            }
            ended.extend(about.ended.map(|_| about));
        }
        ended.sort_by_key(|about| about.ended);
        for some in ended.chunks(ended.len().div_ceil(GROUPS).max(1)) {
            let mut group = Group::default();
            for about in some {
                group.ended = about.ended.unwrap_or_default();
                group.events += u64::from(about.accepted);
                group.payloads += if about.erased { 0 } else { u64::from(about.payload) };
                group.rest += about.rest;
            }
            profile.ended += group.payloads + group.rest;
            profile.groups.push(group);
        }
        profile.total = total.unwrap_or(indexed);
        profile
    }
}

/// An event that records of a segment are about.
#[derive(Clone, Debug)]
pub(super) struct Ref {
    pub(super) event: JournalSeq,
    pub(super) pending: bool,
    /// When it ended; `None` for one that has not, and for one whose end is not known any more because it is gone.
    pub(super) ended: Option<UnixTime>,
    pub(super) erased: bool,
    /// It was accepted here.
    accepted: bool,
    /// There are answers here.
    answers: bool,
    payload: u32,
    rest: u64,
}

/// A survey of one sealed segment on its way.
pub(super) struct Survey {
    number: u64,
    /// The next row of each table.
    events: u32,
    outcomes: u32,
    ended: u32,
    refs: Vec<Ref>,
    merged: bool,
    /// Segments in which ends are still to be looked for, the next one last.
    places: Vec<u64>,
    /// The next one of those whose end is not known, and the row where it may be.
    unknown: Vec<usize>,
    at: usize,
    row: u32,
    tenant: Option<(u32, TenantId)>,
}

/// What a survey needs to see.
pub(super) struct View<'a, D: Disk> {
    pub(super) shelf: &'a mut Shelf<D>,
    pub(super) segments: &'a Segments<D>,
    pub(super) erasures: &'a Erasures,
}

impl Survey {
    pub(super) const fn new(number: u64) -> Self {
        Self {
            number,
            events: 0,
            outcomes: 0,
            ended: 0,
            refs: Vec::new(),
            merged: false,
            places: Vec::new(),
            unknown: Vec::new(),
            at: 0,
            row: 0,
            tenant: None,
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// What was found, by event; once the survey is done.
    pub(super) fn refs(&self) -> &[Ref] {
        &self.refs
    }

    /// How much is needed; once the survey is done.
    pub(super) fn profile<D: Disk>(&self, shelf: &Shelf<D>) -> Profile {
        let Some(segment) = shelf.sealed.get(&self.number) else { return Profile::default() };
        Profile::of(&self.refs, segment.erasures() * ERASURE, (!segment.sealed.compacted).then(|| segment.data()))
    }

    /// Does a piece; whether it was the last.
    pub(super) fn step<D: Disk>(&mut self, view: &mut View<'_, D>) -> Result<bool, LogError> {
        if !self.merged {
            for _ in 0..PIECE {
                if !self.merge(view)? {
                    self.prepare(view);
                    break;
                }
            }
            return Ok(self.merged && self.places.is_empty());
        }
        self.look_for_ends(view)?;
        Ok(self.places.is_empty())
    }

    /// Brings together what the tables say of the next event; whether there was one.
    fn merge<D: Disk>(&mut self, view: &mut View<'_, D>) -> Result<bool, LogError> {
        let rows = view.shelf.rows(view.segments.disk(), self.number)?;
        let event = peek(rows, Table::Events, self.events, |rows, row| rows.summary().seq(row.u32(0)))?;
        let outcome = peek(rows, Table::Outcomes, self.outcomes, |_, row| JournalSeq::new(row.u64(0)))?;
        let ended = peek(rows, Table::Ended, self.ended, |_, row| JournalSeq::new(row.u64(0)))?;
        let Some(next) = [event, outcome, ended].into_iter().flatten().min() else { return Ok(false) };
        let mut about = Ref {
            event: next,
            pending: view.segments.is_pending(next),
            ended: None,
            erased: false,
            accepted: false,
            answers: false,
            payload: 0,
            rest: 0,
        };
        let mut accepted = None;
        if event == Some(next) {
            let row = rows::event_row(rows, self.events)?;
            self.events += 1;
            (about.accepted, about.payload, about.rest) = (true, row.payload, u64::from(row.len - row.payload));
            accepted = Some(row);
        }
        while let Some(outcome) = next_outcome(rows, self.outcomes, next)? {
            self.outcomes += 1;
            about.rest += u64::from(outcome.len);
            about.answers |= outcome.answer;
        }
        if ended == Some(next) {
            about.ended = Some(UnixTime::from_millis(rows.row(Table::Ended, self.ended)?.u64(8)));
            about.rest += ENDED;
            self.ended += 1;
        }
        if (about.payload > 0 || about.answers) && view.erasures.may_cover(next) {
            about.erased = self.is_erased(view, &about, accepted)?;
        }
        self.refs.push(about);
        Ok(true)
    }

    /// Whether what is here of an event was erased. Of one that has gone, with the record that says whose it was, nobody
    /// can be told anything: what is left of it counts as erased as soon as something was that came later.
    fn is_erased<D: Disk>(
        &mut self,
        view: &mut View<'_, D>,
        about: &Ref,
        accepted: Option<EventRow>,
    ) -> Result<bool, LogError> {
        let (seq, here) = (about.event, accepted.is_some());
        let number = if here { Some(self.number) } else { view.shelf.holder(seq) };
        let Some(number) = number else { return Ok(!about.pending) };
        let rows = view.shelf.rows(view.segments.disk(), number)?;
        let row = match accepted {
            Some(row) => row,
            None => match rows::event(rows, seq)? {
                Some(row) => row,
                None => return Ok(!about.pending),
            },
        };
        let known = self.tenant.take().filter(|(text, _)| here && *text == row.tenant);
        let tenant = match known {
            Some((_, tenant)) => tenant,
            None => match TenantId::new(rows.text(row.tenant)?) {
                Ok(tenant) => tenant,
                Err(_) => return Ok(false),
            },
        };
        let id = EventId::new(rows.text(row.id)?);
        let mut erased = id.as_ref().is_ok_and(|id| view.erasures.covers(&tenant, id, seq));
        if id.is_ok_and(|id| id.as_str().starts_with(REPLAYED)) {
            for of in view.erasures.behind(&tenant, seq) {
                erased |= rows::is_filed(rows, rows::hash_event(&tenant, of), seq)?;
            }
        }
        self.tenant = here.then_some((row.tenant, tenant));
        Ok(erased)
    }

    /// All events are known; those that have ended elsewhere are still to be found.
    fn prepare<D: Disk>(&mut self, view: &View<'_, D>) {
        self.merged = true;
        let unknown = |about: &Ref| !about.pending && about.ended.is_none();
        self.unknown = (0..self.refs.len()).filter(|at| unknown(&self.refs[*at])).collect();
        if !self.unknown.is_empty() {
            self.places = view.shelf.numbers().into_iter().filter(|number| *number > self.number).rev().collect();
        }
    }

    fn look_for_ends<D: Disk>(&mut self, view: &mut View<'_, D>) -> Result<(), LogError> {
        let Some(place) = self.places.last().copied() else { return Ok(()) };
        let to = self.unknown.len().min(self.at + ENDS);
        let newest = self.unknown.last().map(|at| self.refs[*at].event);
        // A segment that was compacted meanwhile is looked at under the number of its run, before this one.
        let worth = view.shelf.summary(place).is_some_and(|summary| newest >= Some(summary.oldest));
        if worth {
            let rows = view.shelf.rows(view.segments.disk(), place)?;
            while self.at < to {
                let about = &mut self.refs[self.unknown[self.at]];
                self.row = seek(rows, Table::Ended, &about.event.get().to_be_bytes(), self.row)?;
                if self.row == rows.count(Table::Ended) {
                    self.at = self.unknown.len();
                    break;
                }
                let row = rows.row(Table::Ended, self.row)?;
                if row.u64(0) == about.event.get() {
                    about.ended = Some(UnixTime::from_millis(row.u64(8)));
                }
                self.at += 1;
            }
        }
        if !worth || self.at >= self.unknown.len() {
            self.places.pop();
            self.unknown.retain(|at| self.refs[*at].ended.is_none());
            (self.at, self.row) = (0, 0);
            if self.unknown.is_empty() {
                self.places.clear();
            }
        }
        Ok(())
    }
}

/// What `of` says of row `at`, if there is one.
fn peek(
    rows: &mut dyn Rows,
    table: Table,
    at: u32,
    of: impl Fn(&dyn Rows, &rows::Row) -> JournalSeq,
) -> Result<Option<JournalSeq>, LogError> {
    if at == rows.count(table) {
        return Ok(None);
    }
    let row = rows.row(table, at)?;
    Ok(Some(of(rows, &row)))
}

/// The outcome in row `at`, if it is one of that event.
fn next_outcome(rows: &mut dyn Rows, at: u32, event: JournalSeq) -> Result<Option<OutcomeRow>, LogError> {
    if at == rows.count(Table::Outcomes) {
        return Ok(None);
    }
    Ok(Some(rows::outcome_row(rows, at)?).filter(|row| row.event == event))
}

/// The first row from `from` on that is not below `key`, found in steps that grow: near is cheap.
fn seek(rows: &mut dyn Rows, table: Table, key: &[u8], from: u32) -> Result<u32, LogError> {
    let count = rows.count(table);
    let (mut low, mut step) = (from, 1);
    let mut high = loop {
        let at = low.saturating_add(step - 1);
        if at >= count {
            break count;
        }
        if rows.row(table, at)?.0[..key.len()] >= *key {
            break at;
        }
        low = at + 1;
        step = step.saturating_mul(2);
    };
    while low < high {
        let middle = low + (high - low) / 2;
        if rows.row(table, middle)?.0[..key.len()] < *key { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

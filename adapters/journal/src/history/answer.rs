//! Answers to questions, from the indexes of all segments.

use std::collections::{BTreeSet, BinaryHeap};

use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{self, Accepted, CodecError, Glance, Kind, OutcomeGlance, OutcomeRecord, Record};
use postrider_core::response::TransportError;
use postrider_core::signing::receipt::ReceiptCheck;
use postrider_core::time::UnixTime;

use super::keep::History;
use super::marks::Cut;
use super::rows::{self, EVENTS, Rows, Table};
use super::{Answer, AttemptHistory, Counts, End, EndedDelivery, EventHistory, PAGE, Paging, Place, Query, Since};
use crate::store::segments::{Segments, Window};
use crate::{Disk, LogError};

impl<D: Disk> History<D> {
    pub(super) fn ask(&mut self, segments: &mut Segments<D>, query: &Query, cut: &Cut) -> Result<Answer, LogError> {
        match query {
            Query::Event { tenant, event } => {
                Ok(Answer::Event(self.event(segments, tenant, event, cut)?.map(Box::new)))
            }
            Query::Endpoint { endpoint, ends, from, to, page } => {
                let ends = if ends.is_empty() { &End::ALL[..] } else { ends };
                let list = List { of: Of::Endpoint(endpoint), from: (*from).max(cut.attempts), to: *to, page };
                self.list(segments, &list, ends)
            }
            Query::Exhausted { tenant, from, to, page } => {
                let list = List { of: Of::Tenant(tenant), from: (*from).max(cut.attempts), to: *to, page };
                self.list(segments, &list, &[End::Exhausted])
            }
            Query::GivenUp { from, to, page } => {
                let list = List { of: Of::Everybody, from: (*from).max(cut.attempts), to: *to, page };
                self.list(segments, &list, &[End::Exhausted])
            }
            Query::Counts => Ok(Answer::Counts(self.counts(segments, cut)?)),
            Query::Since => Ok(Answer::Since(Since { payloads: cut.payloads, attempts: cut.attempts })),
        }
    }

    /// One event: O(number of segments), and a record for each attempt on the page.
    fn event(
        &mut self,
        segments: &mut Segments<D>,
        tenant: &TenantId,
        id: &EventId,
        cut: &Cut,
    ) -> Result<Option<EventHistory>, LogError> {
        let (numbers, hash) = (self.shelf.numbers(), rows::hash_event(tenant, id));
        for (at, number) in numbers.iter().enumerate().rev() {
            let mut before = JournalSeq::new(u64::MAX);
            loop {
                let rows = self.shelf.rows(segments.disk(), *number)?;
                let Some(row) = rows::named(rows, (tenant, id), hash, before)? else { break };
                let seq = rows.summary().seq(row.delta);
                let attempts = self.attempts(segments, &numbers[at..], seq)?;
                let kept = match attempts.ended {
                    Some(ended) => !cut.is_gone(ended),
                    // Where its end is not known any more, it was over so long ago that its record has gone.
                    None => segments.is_pending(seq),
                };
                if kept {
                    return self.whole(segments, (*number, u64::from(row.offset)), seq, attempts, cut).map(Some);
                }
                before = seq;
            }
        }
        Ok(None)
    }

    /// All that is known of the event whose accepted record is there.
    fn whole(
        &self,
        segments: &mut Segments<D>,
        (number, offset): (u64, u64),
        seq: JournalSeq,
        attempts: Attempts,
        cut: &Cut,
    ) -> Result<EventHistory, LogError> {
        let (accepted, payload_len) = match read(segments, number, offset)? {
            (_, Record::Accepted(accepted)) => (*accepted, None),
            (_, Record::Kept(kept)) => (kept.accepted, Some(kept.payload_len)),
            (_, other) => return Err(unexpected(number, offset, other.kind())),
        };
        let erased = self.erasures.has(&accepted, seq);
        let forgotten = erased || attempts.ended.is_some_and(|ended| cut.has_no_payload(ended));
        Ok(event_history(seq, accepted, payload_len, forgotten, attempts, erased))
    }

    /// The attempts of an event that was accepted in the first of these segments.
    fn attempts(
        &mut self,
        segments: &mut Segments<D>,
        numbers: &[u64],
        event: JournalSeq,
    ) -> Result<Attempts, LogError> {
        let mut attempts = Attempts::default();
        for number in numbers {
            if self.shelf.summary(*number).is_some_and(|summary| summary.oldest > event) {
                continue;
            }
            let rows = self.shelf.rows(segments.disk(), *number)?;
            let (from, to) = rows::outcomes(rows, event)?;
            let taken = to.min(from.saturating_add((PAGE - attempts.list.len()) as u32));
            attempts.more += u64::from(to - taken);
            for at in from..taken {
                let rows = self.shelf.rows(segments.disk(), *number)?;
                let offset = u64::from(rows::outcome_row(rows, at)?.offset);
                let (seq, outcome) = read_outcome(segments, *number, offset)?;
                let endpoint = rows::endpoint(rows, outcome.subscription)?;
                attempts.list.push(attempt(seq, endpoint, outcome));
            }
            attempts.ended = rows::ended(self.shelf.rows(segments.disk(), *number)?, event)?;
            if attempts.ended.is_some() {
                break;
            }
        }
        Ok(attempts)
    }

    /// A page of a list: a search for each end in each segment that has something of the page's time, and for each entry
    /// two rows and a record.
    fn list(&mut self, segments: &mut Segments<D>, list: &List<'_>, ends: &[End]) -> Result<Answer, LogError> {
        let mut reading = Reading { window: segments.window(), owner: None };
        let page = self.page(segments, list, ends, &mut reading);
        segments.give_back(reading.window);
        page
    }

    fn page(
        &mut self,
        segments: &mut Segments<D>,
        list: &List<'_>,
        ends: &[End],
        reading: &mut Reading,
    ) -> Result<Answer, LogError> {
        let mut ends = ends.to_vec();
        ends.sort_unstable();
        ends.dedup();
        let mut unopened = self.concerned(list, &ends);
        let mut heads = BinaryHeap::new();
        let limit = list.page.limit.clamp(1, PAGE);
        let mut items = Vec::with_capacity(limit.min(64));
        loop {
            // What is newest in a segment comes next at the earliest when all that is newer has been shown.
            while let Some((newest, number)) = unopened.last().copied()
                && heads.peek().is_none_or(|head: &Head| head.place.at <= newest)
            {
                unopened.pop();
                self.open(segments, list, &ends, number, &mut heads)?;
            }
            let Some(head) = heads.pop() else { return Ok(Answer::Deliveries { items, next: None }) };
            if items.len() == limit {
                return Ok(Answer::Deliveries { next: items.last().map(|item: &EndedDelivery| item.place), items });
            }
            let rows = self.shelf.rows(segments.disk(), head.segment)?;
            heads.extend(head.behind(rows, list.of.table())?);
            items.extend(self.delivery(segments, list, &head, reading)?);
        }
    }

    /// The segments that may have entries of a page, each with the time of its newest; that with the newest comes last.
    fn concerned(&self, list: &List<'_>, ends: &[End]) -> Vec<(UnixTime, u64)> {
        let to = list.page.after.map_or(list.to, |after| after.at.min(list.to));
        let active = self.shelf.active.as_ref().map(|(number, tables)| (*number, tables.summary()));
        let sealed = self.shelf.sealed.iter().map(|(number, segment)| (*number, segment.summary()));
        let concerned = sealed.chain(active).filter_map(|(number, summary)| {
            let (first, last) = summary.times.filter(|(first, last)| *last >= list.from && *first <= to)?;
            debug_assert!(first <= last, "times are in order");
            ends.iter().any(|end| summary.ends[*end as usize] > 0).then_some((last.min(to), number))
        });
        let mut concerned: Vec<_> = concerned.collect();
        concerned.sort_unstable();
        concerned
    }

    /// The newest entries in a segment.
    fn open(
        &mut self,
        segments: &Segments<D>,
        list: &List<'_>,
        ends: &[End],
        number: u64,
        into: &mut BinaryHeap<Head>,
    ) -> Result<(), LogError> {
        for end in ends {
            if summary_has(self.shelf.summary(number), *end) {
                let rows = self.shelf.rows(segments.disk(), number)?;
                match list.of.hash() {
                    Some(hash) => into.extend(list.head(rows, number, *end, hash)?),
                    None => list.heads(rows, number, *end, into)?,
                }
            }
        }
        Ok(())
    }

    /// The entry of a list at `head`; `None` when only the hash is the same.
    fn delivery(
        &mut self,
        segments: &mut Segments<D>,
        list: &List<'_>,
        head: &Head,
        reading: &mut Reading,
    ) -> Result<Option<EndedDelivery>, LogError> {
        let (seq, outcome) = glance(segments, &mut reading.window, head.segment, head.offset)?;
        let whose = (head.segment, outcome.subscription);
        let endpoint = match &reading.owner {
            Some((known, endpoint)) if *known == whose => endpoint.clone(),
            Some(_) | None => {
                let rows = self.shelf.rows(segments.disk(), head.segment)?;
                let endpoint = rows::endpoint(rows, outcome.subscription)?.filter(|endpoint| list.of.is(endpoint));
                reading.owner = Some((whose, endpoint.clone()));
                endpoint
            }
        };
        let (Some(endpoint), Some(end)) = (endpoint, End::of(outcome.then)) else { return Ok(None) };
        Ok(Some(EndedDelivery {
            place: Place { at: outcome.at, outcome: seq },
            event: self.id_of(segments, outcome.event)?,
            event_seq: outcome.event,
            endpoint,
            end,
            attempts: outcome.attempts,
            status: status(outcome.status),
            failure: failure(outcome.failure),
        }))
    }

    fn id_of(&mut self, segments: &Segments<D>, event: JournalSeq) -> Result<Option<EventId>, LogError> {
        let Some(number) = self.shelf.holder(event) else { return Ok(None) };
        let rows = self.shelf.rows(segments.disk(), number)?;
        let Some(row) = rows::event(rows, event)? else { return Ok(None) };
        Ok(EventId::new(rows.text(row.id)?).ok())
    }

    /// Whose events are in any segment.
    pub(super) fn owners(&mut self, segments: &Segments<D>) -> Result<BTreeSet<TenantId>, LogError> {
        let mut owners = BTreeSet::new();
        for number in self.shelf.numbers() {
            let rows = self.shelf.rows(segments.disk(), number)?;
            for at in 0..rows.count(Table::Tenants) {
                let text = rows.row(Table::Tenants, at)?.u32(8);
                owners.extend(TenantId::new(rows.text(text)?));
            }
        }
        Ok(owners)
    }

    fn counts(&mut self, segments: &Segments<D>, cut: &Cut) -> Result<Counts, LogError> {
        let mut counts = Counts::default();
        for number in self.shelf.numbers() {
            counts.outcomes += u64::from(self.shelf.rows(segments.disk(), number)?.count(Table::Outcomes));
            let Some(summary) = self.shelf.summary(number) else { continue };
            let Some((first, last)) = summary.times.filter(|(_, last)| *last >= cut.attempts) else { continue };
            let whole = first >= cut.attempts;
            let (ends, events) = (summary.ends, summary.events);
            debug_assert!(first <= last, "times are in order");
            let rows = self.shelf.rows(segments.disk(), number)?;
            for (end, count) in End::ALL.into_iter().zip(ends).filter(|(_, count)| *count > 0) {
                let count = if whole { count } else { since(rows, end as u8, cut.attempts)? };
                counts.ended[end as usize] += count;
            }
            counts.events += if whole || events == 0 { events } else { since(rows, EVENTS, cut.attempts)? };
        }
        let profiles = self.shelf.sealed.values().filter_map(|segment| segment.standing.profile.as_ref());
        counts.payload_bytes = profiles.flat_map(|profile| profile.kept(cut)).map(|group| group.payloads).sum();
        Ok(counts)
    }
}

/// How many of that end are in a segment that ended at or after `from`.
fn since(rows: &mut dyn Rows, end: u8, from: UnixTime) -> Result<u64, LogError> {
    let first = rows.lower(Table::Times, &rows::end_at(end, from).to_be_bytes())?;
    let behind = match end.checked_add(1) {
        Some(next) => rows.lower(Table::Times, &rows::end_at(next, UnixTime::EPOCH).to_be_bytes())?,
        None => rows.count(Table::Times),
    };
    Ok(u64::from(behind.saturating_sub(first)))
}

fn summary_has(summary: Option<&rows::Summary>, end: End) -> bool {
    summary.is_some_and(|summary| summary.ends[end as usize] > 0)
}

/// What is known of the attempts of an event.
#[derive(Default)]
struct Attempts {
    list: Vec<AttemptHistory>,
    more: u64,
    ended: Option<UnixTime>,
}

/// What the entries of one page share.
struct Reading {
    window: Window,
    /// Whose the subscription of the last entry is, if the list is about that endpoint: the segment that says so, and the
    /// subscription.
    owner: Option<((u64, u32), Option<EndpointKey>)>,
}

/// A list that is asked for.
struct List<'a> {
    of: Of<'a>,
    from: UnixTime,
    to: UnixTime,
    page: &'a Paging,
}

/// Whose deliveries are listed.
#[derive(Clone, Copy)]
enum Of<'a> {
    Endpoint(&'a EndpointKey),
    Tenant(&'a TenantId),
    Everybody,
}

impl Of<'_> {
    const fn table(self) -> Table {
        match self {
            Self::Endpoint(_) => Table::Closed,
            Self::Tenant(_) | Self::Everybody => Table::Exhausted,
        }
    }

    /// What its rows begin with; `None` when that may be anything.
    fn hash(self) -> Option<u64> {
        match self {
            Self::Endpoint(key) => Some(rows::hash_endpoint(key)),
            Self::Tenant(tenant) => Some(rows::hash_tenant(tenant)),
            Self::Everybody => None,
        }
    }

    fn is(self, endpoint: &EndpointKey) -> bool {
        match self {
            Self::Endpoint(key) => endpoint == key,
            Self::Tenant(tenant) => endpoint.tenant == *tenant,
            Self::Everybody => true,
        }
    }

    /// The end as it stands in the table.
    const fn end(self, end: End) -> u8 {
        match self {
            Self::Endpoint(_) => end as u8,
            Self::Tenant(_) | Self::Everybody => 0,
        }
    }
}

impl List<'_> {
    /// The newest entries of all whose deliveries ended so in a segment.
    fn heads(&self, rows: &mut dyn Rows, number: u64, end: End, into: &mut BinaryHeap<Head>) -> Result<(), LogError> {
        let (table, mut next) = (self.of.table(), Some(0));
        while let Some(from) = next {
            let at = rows.lower(table, &u64::to_be_bytes(from))?;
            if at == rows.count(table) {
                break;
            }
            let hash = rows.row(table, at)?.u64(0);
            into.extend(self.head(rows, number, end, hash)?);
            next = hash.checked_add(1);
        }
        Ok(())
    }

    /// The newest entry with that end in a segment of those whose rows begin so.
    fn head(&self, rows: &mut dyn Rows, number: u64, end: End, hash: u64) -> Result<Option<Head>, LogError> {
        let (table, hash, end) = (self.of.table(), hash.to_be_bytes(), self.of.end(end));
        let key = |at: UnixTime, delta: u32| {
            rows::row::<20>(&[&hash, &rows::end_at(end, at).to_be_bytes(), &delta.to_be_bytes()])
        };
        let mut behind = key(self.to, 0);
        if let Some(after) = self.page.after.filter(|after| after.at < self.to) {
            let delta = after.outcome.get().saturating_sub(rows.summary().base.get());
            behind = key(after.at, u32::try_from(delta).unwrap_or(u32::MAX));
        }
        let first = rows.lower(table, &key(self.from, 0))?;
        let at = rows.lower(table, &behind)?;
        Head { segment: number, first, row: at, place: Place { at: self.to, outcome: JournalSeq::ZERO }, offset: 0 }
            .behind(rows, table)
    }
}

/// The next entry of a run of entries, which are newer the further behind they stand.
#[derive(Debug)]
struct Head {
    place: Place,
    segment: u64,
    /// The run's first row, and the row of the entry.
    first: u32,
    row: u32,
    offset: u64,
}

impl Head {
    /// The entry after this one: the one that is next older.
    fn behind(&self, rows: &mut dyn Rows, table: Table) -> Result<Option<Self>, LogError> {
        if self.row <= self.first {
            return Ok(None);
        }
        let row = self.row - 1;
        let fields = rows.row(table, row)?;
        let place = Place { at: rows::time_of(fields.u64(8)), outcome: rows.summary().seq(fields.u32(16)) };
        Ok(Some(Self { place, segment: self.segment, first: self.first, row, offset: u64::from(fields.u32(20)) }))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Head {}

fn event_history(
    seq: JournalSeq,
    accepted: Accepted,
    kept: Option<u32>,
    forgotten: bool,
    attempts: Attempts,
    erased: bool,
) -> EventHistory {
    let Attempts { mut list, more, ended } = attempts;
    if erased {
        list.iter_mut().for_each(|attempt| attempt.answer = None);
    }
    let len = u32::try_from(accepted.payload.len()).expect("a record is shorter than 4 GiB");
    EventHistory {
        seq,
        tenant: accepted.tenant,
        event: accepted.id,
        event_type: accepted.event_type,
        time: accepted.time,
        accepted: accepted.at,
        ended,
        payload_len: kept.unwrap_or(len),
        payload: (kept.is_none() && !forgotten).then_some(accepted.payload),
        replay_of: accepted.replay.map(|replay| replay.of),
        erased,
        content_type: accepted.content_type,
        attempts: list,
        more,
    }
}

fn attempt(seq: JournalSeq, endpoint: Option<EndpointKey>, outcome: OutcomeRecord) -> AttemptHistory {
    AttemptHistory {
        seq,
        endpoint,
        number: outcome.attempts,
        at: outcome.at,
        elapsed: outcome.elapsed,
        status: status(outcome.status),
        failure: failure(outcome.failure),
        then: outcome.then,
        signed: outcome.signed,
        answer: outcome.answer,
        receipt: ReceiptCheck::from_wire(outcome.receipt).unwrap_or_default(),
    }
}

fn status(status: u16) -> Option<u16> {
    (status != 0).then_some(status)
}

fn failure((variant, detail): (u8, u8)) -> Option<TransportError> {
    ((variant, detail) != (0, 0)).then(|| TransportError::from_wire(variant, detail)).flatten()
}

fn read<D: Disk>(segments: &mut Segments<D>, segment: u64, offset: u64) -> Result<(JournalSeq, Record), LogError> {
    let (_, mut frame) = segments.frame(segment, offset)?;
    journal::decode(&mut frame).map_err(|why| unreadable(segment, offset, &why))
}

fn read_outcome<D: Disk>(
    segments: &mut Segments<D>,
    segment: u64,
    offset: u64,
) -> Result<(JournalSeq, OutcomeRecord), LogError> {
    match read(segments, segment, offset)? {
        (seq, Record::Outcome(outcome)) => Ok((seq, outcome)),
        (_, other) => Err(unexpected(segment, offset, other.kind())),
    }
}

/// What a list shows of an outcome.
fn glance<D: Disk>(
    segments: &mut Segments<D>,
    window: &mut Window,
    segment: u64,
    offset: u64,
) -> Result<(JournalSeq, OutcomeGlance), LogError> {
    let (_, frame) = segments.record(window, segment, offset)?;
    match journal::glance(frame) {
        Ok((seq, Glance::Outcome(outcome))) => Ok((seq, outcome)),
        Ok((_, Glance::Accepted(_) | Glance::Ended { .. } | Glance::Other)) => match journal::peek(frame) {
            Ok((key, _)) => Err(unexpected(segment, offset, key.kind)),
            Err(why) => Err(unreadable(segment, offset, &why)),
        },
        Err(why) => Err(unreadable(segment, offset, &why)),
    }
}

fn unreadable(segment: u64, offset: u64, why: &CodecError) -> LogError {
    LogError::Damaged { place: format!("in segment {segment} at byte {offset}"), why: why.to_string() }
}

fn unexpected(segment: u64, offset: u64, kind: Kind) -> LogError {
    LogError::Damaged {
        place: format!("in segment {segment} at byte {offset}"),
        why: format!("the index says otherwise than the record there, which is of kind {kind:?}"),
    }
}

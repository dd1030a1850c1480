//! The tables of an index: what a row of each looks like, and how rows are found.
//!
//! A row is a run of bytes of fixed width whose order as bytes is its order in the table, so that one search does for
//! all. Numbers are big-endian. Places of records are counted from the first record of the segment, offsets from the
//! beginning of its file.

use std::borrow::Cow;

use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::time::UnixTime;
use sha2::{Digest as _, Sha256};

use super::End;
use crate::LogError;

/// A table of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Table {
    /// Accepted and kept events, by place: [`EventRow`].
    Events = 0,
    /// The same by hash of tenant and id, then place.
    Names = 1,
    /// Outcomes by event, then place: [`OutcomeRow`].
    Outcomes = 2,
    /// Ends of events by event: event, time, place.
    Ended = 3,
    /// Outcomes that ended deliveries: hash of the endpoint, end, time, place; then the offset.
    Closed = 4,
    /// Outcomes that exhausted deliveries: hash of the tenant, time, place; then the offset.
    Exhausted = 5,
    /// When deliveries ended: end, time, place. [`EVENTS`] stands for an end where an event ended.
    Times = 6,
    /// Tenants by hash: hash, text, bytes of payloads, bytes of answers.
    Tenants = 7,
    /// Endpoints of subscriptions: number, text.
    Subscriptions = 8,
    /// Purged and erased: place, text.
    Erasures = 9,
}

/// Takes the place of an end in [`Table::Times`] where all of an event ended.
pub(super) const EVENTS: u8 = 0xFF;

impl Table {
    pub(super) const ALL: [Self; 10] = [
        Self::Events,
        Self::Names,
        Self::Outcomes,
        Self::Ended,
        Self::Closed,
        Self::Exhausted,
        Self::Times,
        Self::Tenants,
        Self::Subscriptions,
        Self::Erasures,
    ];

    /// Bytes of a row.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::Events | Self::Closed | Self::Exhausted => 24,
            Self::Outcomes | Self::Ended | Self::Tenants => 20,
            Self::Names | Self::Times => 12,
            Self::Subscriptions | Self::Erasures => 8,
        }
    }
}

/// A row, and zeros behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) [u8; 24]);

impl Row {
    /// Its bytes as numbers, in whose order rows are.
    #[inline]
    pub(super) fn words(&self) -> (u64, u64, u64) {
        (self.u64(0), self.u64(8), self.u64(16))
    }

    #[inline]
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut row = [0; 24];
        row[..bytes.len()].copy_from_slice(bytes);
        Self(row)
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(*self.0[at..].first_chunk().expect("rows have the fields of their table"))
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(*self.0[at..].first_chunk().expect("rows have the fields of their table"))
    }
}

/// Lays fields side by side.
pub(super) fn row<const N: usize>(fields: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    let mut at = 0;
    for field in fields {
        out[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    debug_assert_eq!(at, N, "the fields fill the row");
    out
}

/// An accepted event, or what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventRow {
    pub(super) delta: u32,
    pub(super) offset: u32,
    /// Bytes of the record, its checksum included.
    pub(super) len: u32,
    /// Bytes of the payload in it.
    pub(super) payload: u32,
    /// Its tenant's text.
    pub(super) tenant: u32,
    /// Its id's text.
    pub(super) id: u32,
}

impl EventRow {
    pub(super) fn encode(&self) -> [u8; 24] {
        let fields = [self.delta, self.offset, self.len, self.payload, self.tenant, self.id].map(u32::to_be_bytes);
        *fields.as_flattened().first_chunk().expect("six fields of four bytes")
    }

    fn decode(row: &Row) -> Self {
        Self {
            delta: row.u32(0),
            offset: row.u32(4),
            len: row.u32(8),
            payload: row.u32(12),
            tenant: row.u32(16),
            id: row.u32(20),
        }
    }
}

/// An outcome of a delivery of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutcomeRow {
    pub(super) event: JournalSeq,
    pub(super) delta: u32,
    pub(super) offset: u32,
    /// Bytes of the record, its checksum included.
    pub(super) len: u32,
    /// There is an answer in it.
    pub(super) answer: bool,
}

const ANSWER: u32 = 1 << 31;

impl OutcomeRow {
    pub(super) fn encode(&self) -> [u8; 20] {
        let len = self.len | if self.answer { ANSWER } else { 0 };
        row(&[
            &self.event.get().to_be_bytes(),
            &self.delta.to_be_bytes(),
            &self.offset.to_be_bytes(),
            &len.to_be_bytes(),
        ])
    }

    fn decode(row: &Row) -> Self {
        let len = row.u32(16);
        Self {
            event: JournalSeq::new(row.u64(0)),
            delta: row.u32(8),
            offset: row.u32(12),
            len: len & !ANSWER,
            answer: len & ANSWER != 0,
        }
    }
}

/// The order of a delivery's end among those of an endpoint: the end, then the time.
pub(super) const fn end_at(end: u8, at: UnixTime) -> u64 {
    (end as u64) << 56 | clip(at)
}

/// A time in 56 bits: enough for two million years.
const fn clip(at: UnixTime) -> u64 {
    const MOST: u64 = (1 << 56) - 1;
    if at.as_millis() < MOST { at.as_millis() } else { MOST }
}

/// The time in what [`end_at`] made.
pub(super) const fn time_of(end_at: u64) -> UnixTime {
    UnixTime::from_millis(end_at & ((1 << 56) - 1))
}

/// A name as tables are searched for it. Where it decides what is shown, the name itself is compared too.
pub(super) fn hash(parts: [&[u8]; 2]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    u64::from_be_bytes(*digest.finalize().first_chunk().expect("a SHA-256 has 32 bytes"))
}

pub(super) fn hash_event(tenant: &TenantId, id: &EventId) -> u64 {
    hash([tenant.as_str().as_bytes(), id.as_str().as_bytes()])
}

pub(super) fn hash_endpoint(key: &EndpointKey) -> u64 {
    hash([key.tenant.as_str().as_bytes(), key.id.as_str().as_bytes()])
}

pub(super) fn hash_tenant(tenant: &TenantId) -> u64 {
    hash([tenant.as_str().as_bytes(), b""])
}

/// An endpoint or an erased event as one text: the tenant, a NUL, the name within it. A tenant alone has no NUL.
pub(super) fn joined(tenant: &TenantId, name: &str) -> String {
    format!("{tenant}\0{name}")
}

/// What is known of a segment as a whole, so that most segments need not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// What places in rows are counted from.
    pub(super) base: JournalSeq,
    /// The last record.
    pub(super) last: JournalSeq,
    /// The oldest event that a record in it is about; the next one after `last` when there is none.
    pub(super) oldest: JournalSeq,
    /// Deliveries that ended, by [`End`].
    pub(super) ends: [u64; End::ALL.len()],
    /// Events that ended.
    pub(super) events: u64,
    /// When the first and the last of all these ended.
    pub(super) times: Option<(UnixTime, UnixTime)>,
    /// Bytes of payloads.
    pub(super) payloads: u64,
    /// An answer is kept of which nobody knows whose it is.
    pub(super) stray: bool,
}

impl Summary {
    pub(super) const fn new(base: JournalSeq) -> Self {
        Self {
            base,
            last: JournalSeq::new(base.get().saturating_sub(1)),
            oldest: JournalSeq::new(u64::MAX),
            ends: [0; End::ALL.len()],
            events: 0,
            times: None,
            payloads: 0,
            stray: false,
        }
    }

    pub(super) fn time(&mut self, at: UnixTime) {
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }

    /// The place that stands so in a row.
    pub(super) const fn seq(&self, delta: u32) -> JournalSeq {
        JournalSeq::new(self.base.get() + delta as u64)
    }

    /// How a place stands in a row; `None` when it cannot be in this segment.
    pub(super) fn delta(&self, seq: JournalSeq) -> Option<u32> {
        u32::try_from(seq.get().checked_sub(self.base.get())?).ok()
    }
}

/// The rows of one segment, in memory or in a file.
pub(super) trait Rows {
    fn summary(&self) -> &Summary;

    /// How many rows a table has.
    fn count(&self, table: Table) -> u32;

    /// Row `at`, which is below the count.
    fn row(&mut self, table: Table, at: u32) -> Result<Row, LogError>;

    /// The text at a place that a row named.
    fn text(&mut self, at: u32) -> Result<Cow<'_, str>, LogError>;

    /// The first row that is not below `key`; the count when all are.
    fn lower(&mut self, table: Table, key: &[u8]) -> Result<u32, LogError> {
        let (mut low, mut high) = (0, self.count(table));
        if table == Table::Names {
            // Hashes are spread evenly: nearly always the key lies within four deviations of where it is expected.
            let (expected, spread) = (expected(key, high), 2 * high.isqrt());
            for at in [expected.saturating_sub(spread), expected.saturating_add(spread)] {
                if low < at && at < high {
                    if self.row(table, at)?.0[..key.len()] < *key { low = at + 1 } else { high = at }
                }
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(table, middle)?.0[..key.len()] < *key { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

/// Where a key that begins with a hash is expected among `count` rows.
fn expected(key: &[u8], count: u32) -> u32 {
    let hash = key.first_chunk().map_or(0, |hash| u64::from_be_bytes(*hash));
    ((u128::from(hash) * u128::from(count)) >> 64) as u32
}

/// The event at a place.
pub(super) fn event(rows: &mut dyn Rows, seq: JournalSeq) -> Result<Option<EventRow>, LogError> {
    let Some(delta) = rows.summary().delta(seq) else { return Ok(None) };
    let at = rows.lower(Table::Events, &delta.to_be_bytes())?;
    if at == rows.count(Table::Events) {
        return Ok(None);
    }
    let row = EventRow::decode(&rows.row(Table::Events, at)?);
    Ok((row.delta == delta).then_some(row))
}

/// The event in row `at`.
pub(super) fn event_row(rows: &mut dyn Rows, at: u32) -> Result<EventRow, LogError> {
    Ok(EventRow::decode(&rows.row(Table::Events, at)?))
}

/// The outcome in row `at`.
pub(super) fn outcome_row(rows: &mut dyn Rows, at: u32) -> Result<OutcomeRow, LogError> {
    Ok(OutcomeRow::decode(&rows.row(Table::Outcomes, at)?))
}

/// The newest event of that name with a place below `before`.
pub(super) fn named(
    rows: &mut dyn Rows,
    (tenant, id): (&TenantId, &EventId),
    hash: u64,
    before: JournalSeq,
) -> Result<Option<EventRow>, LogError> {
    let most = before.get().saturating_sub(rows.summary().base.get()).min(u32::MAX.into()) as u32;
    let mut at = rows.lower(Table::Names, &row::<12>(&[&hash.to_be_bytes(), &most.to_be_bytes()]))?;
    while at > 0 {
        at -= 1;
        let name = rows.row(Table::Names, at)?;
        if name.u64(0) != hash {
            return Ok(None);
        }
        let seq = rows.summary().seq(name.u32(8));
        if let Some(event) = event(rows, seq)?
            && rows.text(event.id)? == id.as_str()
            && rows.text(event.tenant)? == tenant.as_str()
        {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

/// The newest event with a place below `before` that is filed under a hash: because it has that name, because it sends
/// again the one that has it, or, hardly ever, by chance.
pub(super) fn filed(rows: &mut dyn Rows, hash: u64, before: JournalSeq) -> Result<Option<JournalSeq>, LogError> {
    let most = before.get().saturating_sub(rows.summary().base.get()).min(u32::MAX.into()) as u32;
    let Some(at) = rows.lower(Table::Names, &row::<12>(&[&hash.to_be_bytes(), &most.to_be_bytes()]))?.checked_sub(1)
    else {
        return Ok(None);
    };
    let name = rows.row(Table::Names, at)?;
    Ok((name.u64(0) == hash).then(|| rows.summary().seq(name.u32(8))))
}

/// Whether the event at a place is filed under a hash.
pub(super) fn is_filed(rows: &mut dyn Rows, hash: u64, seq: JournalSeq) -> Result<bool, LogError> {
    Ok(filed(rows, hash, seq.next())? == Some(seq))
}

/// The rows of an event's outcomes: from, to.
pub(super) fn outcomes(rows: &mut dyn Rows, event: JournalSeq) -> Result<(u32, u32), LogError> {
    let from = rows.lower(Table::Outcomes, &event.get().to_be_bytes())?;
    let to = rows.lower(Table::Outcomes, &event.get().saturating_add(1).to_be_bytes())?;
    Ok((from, to))
}

/// When the event ended, if that is written here.
pub(super) fn ended(rows: &mut dyn Rows, event: JournalSeq) -> Result<Option<UnixTime>, LogError> {
    let at = rows.lower(Table::Ended, &event.get().to_be_bytes())?;
    if at == rows.count(Table::Ended) {
        return Ok(None);
    }
    let row = rows.row(Table::Ended, at)?;
    Ok((row.u64(0) == event.get()).then(|| UnixTime::from_millis(row.u64(8))))
}

/// Whose the subscription is.
pub(super) fn endpoint(rows: &mut dyn Rows, subscription: u32) -> Result<Option<EndpointKey>, LogError> {
    let at = rows.lower(Table::Subscriptions, &subscription.to_be_bytes())?;
    if at == rows.count(Table::Subscriptions) {
        return Ok(None);
    }
    let row = rows.row(Table::Subscriptions, at)?;
    if row.u32(0) != subscription {
        return Ok(None);
    }
    Ok(endpoint_key(&rows.text(row.u32(4))?))
}

/// The endpoint that a text names.
fn endpoint_key(text: &str) -> Option<EndpointKey> {
    let (tenant, id) = text.split_once('\0')?;
    Some(EndpointKey::new(id).ok()?.of(TenantId::new(tenant).ok()?))
}

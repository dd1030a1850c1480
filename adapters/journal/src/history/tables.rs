//! The index of one segment in memory: made record by record, and written to a file once the segment is sealed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use postrider_core::id::{EndpointKey, JournalSeq};
use postrider_core::journal::{AcceptedGlance, Glance, OutcomeGlance, RECORD_CRC, Record};
use postrider_core::time::UnixTime;

use super::End;
use super::rows::{self, EVENTS, EventRow, OutcomeRow, Row, Rows, Summary, Table, row};
use crate::LogError;

/// Whose subscriptions are: what outcomes do not say themselves. About 40 bytes for each subscription that was seen
/// since opening, and its endpoint's name.
#[derive(Debug)]
pub(super) struct Names {
    /// Where the text of each begins.
    places: BTreeMap<u32, u32>,
    /// Endpoints as [`joined`](rows::joined) texts, each behind its length.
    texts: Vec<u8>,
    /// Those that were looked for in vain.
    strangers: BTreeSet<u32>,
}

impl Names {
    pub(super) const fn new() -> Self {
        Self { places: BTreeMap::new(), texts: Vec::new(), strangers: BTreeSet::new() }
    }

    /// Learns from a record that describes an endpoint. What was learned stays, so that an outcome that comes after a
    /// removal has its name.
    pub(super) fn learn(&mut self, record: &Record) {
        let Record::Endpoint(endpoint) = record else { return };
        let retired = endpoint.retired.iter().map(|retired| retired.number);
        let mut numbers: Vec<_> = endpoint.subscription.into_iter().chain(retired).collect();
        numbers.retain(|number| !self.places.contains_key(number));
        if !numbers.is_empty() {
            self.add(&numbers, &endpoint.key);
        }
    }

    /// Whether a subscription should be looked for elsewhere: nobody has said whose it is, and that was not yet tried.
    pub(super) fn lacks(&self, subscription: u32) -> bool {
        !self.places.contains_key(&subscription) && !self.strangers.contains(&subscription)
    }

    /// Learns what was found when a subscription was looked for elsewhere.
    pub(super) fn found(&mut self, subscription: u32, endpoint: Option<&EndpointKey>) {
        match endpoint {
            Some(endpoint) => self.add(&[subscription], endpoint),
            None => {
                self.strangers.insert(subscription);
            }
        }
    }

    /// What was looked for in vain may be found now.
    pub(super) fn look_again(&mut self) {
        self.strangers.clear();
    }

    fn add(&mut self, numbers: &[u32], endpoint: &EndpointKey) {
        let text = rows::joined(&endpoint.tenant, endpoint.id.as_str());
        // Beyond 4 GiB of names the newest ones go without.
        let Ok(place) = u32::try_from(self.texts.len()) else { return };
        put(&mut self.texts, text.as_bytes());
        self.places.extend(numbers.iter().map(|number| (*number, place)));
    }

    /// The endpoint of a subscription, as a joined text.
    fn of(&self, subscription: u32) -> Option<&[u8]> {
        self.places.get(&subscription).map(|place| text_at(&self.texts, *place))
    }
}

/// Appends a text, behind its length.
fn put(texts: &mut Vec<u8>, text: &[u8]) {
    let len = u16::try_from(text.len()).expect("names are short");
    texts.extend_from_slice(&len.to_be_bytes());
    texts.extend_from_slice(text);
}

/// The text that was put at that place.
fn text_at(texts: &[u8], at: u32) -> &[u8] {
    let (len, rest) = texts[at as usize..].split_first_chunk().expect("a text is behind its length");
    &rest[..usize::from(u16::from_be_bytes(*len))]
}

/// The tenant of a joined text, and the name within it.
fn split(key: &[u8]) -> (&[u8], &[u8]) {
    match key.iter().position(|byte| *byte == 0) {
        Some(at) => (&key[..at], &key[at + 1..]),
        None => (key, b""),
    }
}

/// The tables of one segment.
#[derive(Debug)]
pub(super) struct Tables {
    summary: Summary,
    events: Vec<[u8; 24]>,
    names: Vec<[u8; 12]>,
    outcomes: Vec<[u8; 20]>,
    ended: Vec<[u8; 20]>,
    closed: Vec<[u8; 24]>,
    exhausted: Vec<[u8; 24]>,
    times: Vec<[u8; 12]>,
    tenants: Vec<[u8; 20]>,
    subscriptions: Vec<[u8; 8]>,
    erasures: Vec<[u8; 8]>,
    texts: Vec<u8>,
    tallies: BTreeMap<Box<[u8]>, Tally>,
    /// Where the texts of endpoints are.
    endpoints: BTreeMap<Box<[u8]>, u32>,
    /// The subscriptions that outcomes name.
    numbers: BTreeMap<u32, Owner>,
    /// Every table is in order.
    sorted: bool,
    /// How many rows were in order when they were last put so, of each table that `sort` puts in order.
    ordered: [usize; 6],
}

/// What is there of a tenant.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    text: u32,
    payloads: u64,
    answers: u64,
}

/// Whose a subscription is.
#[derive(Clone, Copy, Debug)]
struct Owner {
    text: u32,
    hash: u64,
    tenant: u64,
}

/// Bytes that the records of an event take in a segment, about; most take more.
const EVENT: u64 = 512;

/// Rows for which there is room from the beginning, at most: 16 MiB in all tables.
const MOST: usize = 1 << 17;

/// A record, as far as an index is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) seq: JournalSeq,
    pub(super) offset: u64,
    /// Bytes of the frame, behind the checksum.
    pub(super) len: u32,
}

impl Place {
    fn offset(&self) -> u32 {
        u32::try_from(self.offset).expect("a store keeps its segments below 4 GiB")
    }

    fn len(&self) -> u32 {
        self.len + RECORD_CRC as u32
    }
}

impl Tables {
    /// Of a segment whose first record is `base`.
    pub(super) fn new(base: JournalSeq) -> Self {
        Self {
            summary: Summary::new(base),
            events: Vec::new(),
            names: Vec::new(),
            outcomes: Vec::new(),
            ended: Vec::new(),
            closed: Vec::new(),
            exhausted: Vec::new(),
            times: Vec::new(),
            tenants: Vec::new(),
            subscriptions: Vec::new(),
            erasures: Vec::new(),
            texts: Vec::new(),
            tallies: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            numbers: BTreeMap::new(),
            sorted: true,
            ordered: [0; 6],
        }
    }

    /// The same, of a segment that will have so many bytes: with room for the events that they hold, so that no record
    /// has to wait until a table has moved. What is not used of it is never touched.
    pub(super) fn with_room(base: JournalSeq, bytes: u64) -> Self {
        let rows = usize::try_from(bytes / EVENT).unwrap_or(0).min(MOST);
        let mut tables = Self::new(base);
        tables.events.reserve_exact(rows);
        tables.names.reserve_exact(rows);
        tables.outcomes.reserve_exact(rows);
        tables.ended.reserve_exact(rows);
        tables.closed.reserve_exact(rows);
        tables.times.reserve_exact(2 * rows);
        tables
    }

    /// Takes note of a record; they come in order of places.
    pub(super) fn note(&mut self, place: Place, record: &Record, names: &Names) {
        self.glance(place, &Glance::of(record), names);
        let Some(delta) = self.summary.delta(place.seq) else { return };
        match record {
            Record::Purged { tenant, .. } => self.erasure(delta, tenant.as_str()),
            Record::Erased { tenant, event, .. } => self.erasure(delta, &rows::joined(tenant, event.as_str())),
            Record::Accepted(_)
            | Record::Kept(_)
            | Record::Outcome(_)
            | Record::Ended { .. }
            | Record::Genesis { .. }
            | Record::Opened { .. }
            | Record::Endpoint(_)
            | Record::Removed { .. }
            | Record::Queued { .. }
            | Record::Mark(_)
            | Record::Cancelled { .. }
            | Record::SnapshotBegin(_)
            | Record::Event(_)
            | Record::Pending { .. }
            | Record::Remembered(_)
            | Record::SnapshotEnd { .. }
            | Record::Lane { .. }
            | Record::Health(_)
            | Record::Synced { .. }
            | Record::Consent(_)
            | Record::KeyUse(_) => {}
        }
    }

    /// Takes note of what was seen of a record that is no erasure.
    pub(super) fn glance(&mut self, place: Place, seen: &Glance<'_>, names: &Names) {
        let delta = self.summary.delta(place.seq).expect("a segment spans fewer than 2^32 places, and they ascend");
        self.summary.last = place.seq;
        self.sorted = false;
        match seen {
            Glance::Accepted(accepted) => self.accepted(place, delta, accepted),
            Glance::Outcome(outcome) => self.outcome(place, delta, outcome, names),
            Glance::Ended { event, at } => {
                self.about(*event);
                self.summary.events += 1;
                self.time(EVENTS, *at, delta);
                let at = at.as_millis().to_be_bytes();
                self.ended.push(row(&[&event.get().to_be_bytes(), &at, &delta.to_be_bytes()]));
            }
            Glance::Other => {}
        }
    }

    fn accepted(&mut self, place: Place, delta: u32, accepted: &AcceptedGlance<'_>) {
        self.about(place.seq);
        let payload = u32::try_from(accepted.payload).expect("a record is shorter than 4 GiB");
        let tenant = self.tally(accepted.tenant, |tally| tally.payloads += u64::from(payload));
        self.summary.payloads += u64::from(payload);
        let id = self.put(accepted.id);
        let (offset, len) = (place.offset(), place.len());
        self.events.push(EventRow { delta, offset, len, payload, tenant, id }.encode());
        let hash = rows::hash([accepted.tenant, accepted.id]);
        self.names.push(row(&[&hash.to_be_bytes(), &delta.to_be_bytes()]));
        if let Some(of) = accepted.replay_of {
            // So that it is found when the event that it sends again is erased.
            let hash = rows::hash([accepted.tenant, of]);
            self.names.push(row(&[&hash.to_be_bytes(), &delta.to_be_bytes()]));
        }
    }

    fn outcome(&mut self, place: Place, delta: u32, outcome: &OutcomeGlance, names: &Names) {
        self.about(outcome.event);
        let (offset, len) = (place.offset(), place.len());
        let answer = outcome.answer.is_some();
        self.outcomes.push(OutcomeRow { event: outcome.event, delta, offset, len, answer }.encode());
        let end = End::of(outcome.then);
        if let Some(end) = end {
            self.summary.ends[end as usize] += 1;
            self.time(end as u8, outcome.at, delta);
        }
        let Some(owner) = self.subscribe(outcome.subscription, names) else {
            self.summary.stray |= answer;
            return;
        };
        if let Some(answer) = outcome.answer
            && let Some(key) = names.of(outcome.subscription)
        {
            self.tally(split(key).0, |tally| tally.answers += answer as u64);
        }
        let Some(end) = end else { return };
        let (delta, offset) = (delta.to_be_bytes(), offset.to_be_bytes());
        let key_at = rows::end_at(end as u8, outcome.at).to_be_bytes();
        self.closed.push(row(&[&owner.hash.to_be_bytes(), &key_at, &delta, &offset]));
        if end == End::Exhausted {
            let at = rows::end_at(0, outcome.at).to_be_bytes();
            self.exhausted.push(row(&[&owner.tenant.to_be_bytes(), &at, &delta, &offset]));
        }
    }

    fn erasure(&mut self, delta: u32, text: &str) {
        let text = self.put(text.as_bytes());
        self.erasures.push(row(&[&delta.to_be_bytes(), &text.to_be_bytes()]));
    }

    fn about(&mut self, event: JournalSeq) {
        self.summary.oldest = self.summary.oldest.min(event);
    }

    fn time(&mut self, end: u8, at: UnixTime, delta: u32) {
        self.summary.time(at);
        self.times.push(row(&[&rows::end_at(end, at).to_be_bytes(), &delta.to_be_bytes()]));
    }

    /// Counts something of a tenant, and says where its text is.
    fn tally(&mut self, tenant: &[u8], count: impl FnOnce(&mut Tally)) -> u32 {
        if let Some(tally) = self.tallies.get_mut(tenant) {
            count(tally);
            return tally.text;
        }
        let text = self.put(tenant);
        let mut tally = Tally { text, ..Tally::default() };
        count(&mut tally);
        self.tallies.insert(tenant.into(), tally);
        text
    }

    /// Whose a subscription is, if anybody has said so.
    fn subscribe(&mut self, number: u32, names: &Names) -> Option<Owner> {
        if let Some(owner) = self.numbers.get(&number) {
            return Some(*owner);
        }
        let key = names.of(number)?;
        let text = match self.endpoints.get(key) {
            Some(text) => *text,
            None => {
                let text = self.put(key);
                self.endpoints.insert(key.into(), text);
                text
            }
        };
        let (tenant, id) = split(key);
        let owner = Owner { text, hash: rows::hash([tenant, id]), tenant: rows::hash([tenant, b""]) };
        self.numbers.insert(number, owner);
        Some(owner)
    }

    fn put(&mut self, text: &[u8]) -> u32 {
        let at = u32::try_from(self.texts.len()).expect("the texts of a segment take less than the segment");
        put(&mut self.texts, text);
        at
    }

    /// Takes back every record from `from` on.
    pub(super) fn forget(&mut self, from: JournalSeq) {
        let Some(from) = self.summary.delta(from) else {
            *self = Self::new(self.summary.base);
            return;
        };
        let delta =
            |row: &[u8], at: usize| u32::from_be_bytes(*row[at..].first_chunk().expect("a delta is in the row"));
        let keep = |row: &[u8], at: usize| delta(row, at) < from;
        self.events.retain(|row| keep(row, 0));
        self.names.retain(|row| keep(row, 8));
        self.outcomes.retain(|row| keep(row, 8));
        self.ended.retain(|row| keep(row, 16));
        self.closed.retain(|row| keep(row, 16));
        self.exhausted.retain(|row| keep(row, 16));
        self.times.retain(|row| keep(row, 8));
        self.erasures.retain(|row| keep(row, 0));
        self.ordered = [0; 6];
        self.recount(from);
    }

    /// Makes the summary again, after rows have gone. Tallies of tenants may stay too high; they only say where to
    /// look.
    fn recount(&mut self, from: u32) {
        let mut summary = Summary::new(self.summary.base);
        summary.last = summary.last.max(self.summary.last.min(JournalSeq::new(summary.seq(from).get() - 1)));
        summary.stray = self.summary.stray;
        let first = |row: &[u8]| u64::from_be_bytes(*row.first_chunk().expect("rows begin with a number"));
        for row in &self.times {
            let key = first(row);
            summary.time(rows::time_of(key));
            match (key >> 56) as u8 {
                EVENTS => summary.events += 1,
                end => summary.ends[usize::from(end)] += 1,
            }
        }
        for row in &self.events {
            let row = Row::new(row);
            summary.oldest = summary.oldest.min(summary.seq(row.u32(0)));
            summary.payloads += u64::from(row.u32(12));
        }
        let about = self.outcomes.iter().chain(&self.ended).map(|row| JournalSeq::new(first(row)));
        summary.oldest = about.fold(summary.oldest, Ord::min);
        self.summary = summary;
    }

    /// Puts every table in order. What was in order already costs little.
    pub(super) fn sort(&mut self) {
        if std::mem::replace(&mut self.sorted, true) {
            return;
        }
        let [names, outcomes, ended, closed, exhausted, times] = &mut self.ordered;
        order(&mut self.names, names);
        order(&mut self.outcomes, outcomes);
        order(&mut self.ended, ended);
        order(&mut self.closed, closed);
        order(&mut self.exhausted, exhausted);
        // Of each kind of end the times ascend by themselves, more or less.
        self.times[*times..].sort_by_key(|row| row[0]);
        order(&mut self.times, times);
        let short = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
        self.tenants = self
            .tallies
            .iter()
            .map(|(tenant, tally)| {
                let hash = rows::hash([tenant, b""]).to_be_bytes();
                row(&[&hash, &tally.text.to_be_bytes(), &short(tally.payloads), &short(tally.answers)])
            })
            .collect();
        self.tenants.sort();
        self.subscriptions = self
            .numbers
            .iter()
            .map(|(number, owner)| row(&[&number.to_be_bytes(), &owner.text.to_be_bytes()]))
            .collect();
    }

    /// The bytes of a table, which was put in order.
    pub(super) fn bytes(&self, table: Table) -> &[u8] {
        debug_assert!(self.sorted, "tables are put in order before they are read");
        match table {
            Table::Events => self.events.as_flattened(),
            Table::Names => self.names.as_flattened(),
            Table::Outcomes => self.outcomes.as_flattened(),
            Table::Ended => self.ended.as_flattened(),
            Table::Closed => self.closed.as_flattened(),
            Table::Exhausted => self.exhausted.as_flattened(),
            Table::Times => self.times.as_flattened(),
            Table::Tenants => self.tenants.as_flattened(),
            Table::Subscriptions => self.subscriptions.as_flattened(),
            Table::Erasures => self.erasures.as_flattened(),
        }
    }

    /// How many erasures are noted.
    pub(super) const fn erasures(&self) -> u64 {
        self.erasures.len() as u64
    }

    pub(super) fn texts(&self) -> &[u8] {
        &self.texts
    }
}

impl Rows for Tables {
    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn count(&self, table: Table) -> u32 {
        u32::try_from(self.bytes(table).len() / table.width()).expect("a segment has fewer than 2^32 records")
    }

    fn row(&mut self, table: Table, at: u32) -> Result<Row, LogError> {
        debug_assert!(self.sorted, "tables are put in order before they are read");
        let at = at as usize;
        Ok(match table {
            Table::Events => wide(&self.events[at]),
            Table::Names => wide(&self.names[at]),
            Table::Outcomes => wide(&self.outcomes[at]),
            Table::Ended => wide(&self.ended[at]),
            Table::Closed => wide(&self.closed[at]),
            Table::Exhausted => wide(&self.exhausted[at]),
            Table::Times => wide(&self.times[at]),
            Table::Tenants => wide(&self.tenants[at]),
            Table::Subscriptions => wide(&self.subscriptions[at]),
            Table::Erasures => wide(&self.erasures[at]),
        })
    }

    fn text(&mut self, at: u32) -> Result<Cow<'_, str>, LogError> {
        Ok(Cow::Borrowed(str::from_utf8(text_at(&self.texts, at)).expect("texts were put in as such")))
    }

    fn lower(&mut self, table: Table, key: &[u8]) -> Result<u32, LogError> {
        debug_assert!(self.sorted, "tables are put in order before they are read");
        let at = match table {
            Table::Events => find(&self.events, key),
            Table::Names => find(&self.names, key),
            Table::Outcomes => find(&self.outcomes, key),
            Table::Ended => find(&self.ended, key),
            Table::Closed => find(&self.closed, key),
            Table::Exhausted => find(&self.exhausted, key),
            Table::Times => find(&self.times, key),
            Table::Tenants => find(&self.tenants, key),
            Table::Subscriptions => find(&self.subscriptions, key),
            Table::Erasures => find(&self.erasures, key),
        };
        Ok(u32::try_from(at).expect("a segment has fewer than 2^32 records"))
    }
}

/// A row with zeros behind it.
fn wide<const N: usize>(row: &[u8; N]) -> Row {
    Row::new(row)
}

/// Puts rows in order, of which the first `ordered` are so already: those behind them are, and then those among which they
/// belong.
fn order<const N: usize>(rows: &mut [[u8; N]], ordered: &mut usize) {
    let (old, new) = rows.split_at_mut(*ordered);
    new.sort_by_key(|row| wide(row).words());
    let Some(first) = new.first().map(|row| wide(row).words()) else { return };
    if old.last().is_some_and(|last| wide(last).words() > first) {
        let from = old.partition_point(|row| wide(row).words() <= first);
        // Two runs, each in order.
        rows[from..].sort_by_key(|row| wide(row).words());
    }
    *ordered = rows.len();
}

/// The first row that is not below `key`.
fn find<const N: usize>(rows: &[[u8; N]], key: &[u8]) -> usize {
    // A row is below a key where it is below the key with zeros behind it.
    let key = Row::new(key).words();
    rows.partition_point(|row| wide(row).words() < key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::order;

    fn parts() -> impl Strategy<Value = Vec<Vec<[u8; 12]>>> {
        prop::collection::vec(prop::collection::vec(any::<[u8; 12]>(), 0..40), 0..8)
    }

    proptest! {
        /// However often rows are put in order while they come, it is as if it had been done once, at the end.
        #[test]
        fn in_order_by_and_by_is_in_order(parts in parts(), low: u8) {
            let (mut rows, mut all, mut ordered) = (Vec::new(), Vec::new(), 0);
            for (number, part) in parts.into_iter().enumerate() {
                for mut row in part {
                    match number % 2 {
                        // Many have the same beginning.
                        0 => row.iter_mut().for_each(|byte| *byte &= low),
                        // And some belong behind all others.
                        _ => row[0] = 255,
                    }
                    rows.push(row);
                    all.push(row);
                }
                order(&mut rows, &mut ordered);
                all.sort_unstable();
                prop_assert_eq!((&rows, ordered), (&all, all.len()));
            }
        }
    }
}

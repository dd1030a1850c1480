//! What became of an event: readable while it lives and for a while afterwards.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::id::{EndpointId, EventId, JournalSeq};
use crate::response::TransportError;
use crate::table::{Chains, HashKey};
use crate::time::UnixTime;

/// How many deliveries of an event ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Delivered.
    pub delivered: u64,
    /// Given up after the last attempt of the schedule.
    pub exhausted: u64,
    /// Not to be tried again.
    pub refused: u64,
    /// Dropped because their endpoint is gone or removed, or the event was cancelled.
    pub discarded: u64,
    /// Expired before they could be delivered.
    pub expired: u64,
    /// Lost, because the payload could not be read back.
    pub lost: u64,
    /// Superseded by a newer event under the same ordering key.
    pub superseded: u64,
    /// Attempts made, over all deliveries.
    pub attempts: u64,
}

impl Tally {
    /// Deliveries that have ended.
    pub fn ended(&self) -> u64 {
        self.delivered + self.failed()
    }

    /// Deliveries that have ended without being delivered.
    pub fn failed(&self) -> u64 {
        self.exhausted + self.refused + self.discarded + self.expired + self.lost + self.superseded
    }

    /// Counts a delivery that has ended so; one that has not ended changes nothing. Attempts are counted apart.
    pub fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Delivered => self.delivered += 1,
            Fate::Exhausted => self.exhausted += 1,
            Fate::Refused => self.refused += 1,
            Fate::Discarded => self.discarded += 1,
            Fate::Expired => self.expired += 1,
            Fate::Lost => self.lost += 1,
            Fate::Superseded => self.superseded += 1,
            Fate::InFlight | Fate::Waiting { .. } => {}
        }
    }
}

/// What has become of a delivery so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a fate must show each")]
pub enum Fate {
    /// The receiver took it.
    Delivered,
    /// No attempt is left.
    Exhausted,
    /// It must not be tried again.
    Refused,
    /// Its endpoint is gone or removed, or the event was cancelled.
    Discarded,
    /// The event expired.
    Expired,
    /// The payload could not be read back.
    Lost,
    /// A newer event under the same ordering key took its place while the endpoint was down.
    Superseded,
    /// An attempt is under way.
    InFlight,
    /// It waits for an attempt.
    Waiting {
        /// How long still, from the last time that the machine was told; zero when only its endpoint holds it up.
        rest: Duration,
    },
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Exhausted => f.write_str("exhausted"),
            Self::Refused => f.write_str("refused"),
            Self::Discarded => f.write_str("discarded"),
            Self::Expired => f.write_str("expired"),
            Self::Lost => f.write_str("lost"),
            Self::Superseded => f.write_str("superseded"),
            Self::InFlight => f.write_str("in flight"),
            Self::Waiting { rest } if rest.is_zero() => f.write_str("waiting for its endpoint"),
            Self::Waiting { rest } => write!(f, "waiting {rest:.1?}"),
        }
    }
}

/// One delivery of an event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// The endpoint, of the event's tenant.
    pub endpoint: EndpointId,
    /// What has become of it.
    pub fate: Fate,
    /// Attempts made.
    pub attempts: u16,
    /// The last attempt's status, where there was a reply.
    pub status: Option<u16>,
    /// The last attempt's failure, where there was no reply.
    pub failure: Option<TransportError>,
    /// How long the last attempt took.
    pub elapsed: Duration,
}

impl DeliveryReport {
    /// A delivery without attempts, for those who know of it from elsewhere, such as the log's history. Its fields say
    /// the rest.
    pub fn new(endpoint: EndpointId, fate: Fate) -> Self {
        Self { endpoint, fate, attempts: 0, status: None, failure: None, elapsed: Duration::ZERO }
    }
}

impl fmt::Display for DeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.fate)?;
        match (&self.status, &self.failure) {
            (Some(status), _) => write!(f, ", {status} in {:.0?}", self.elapsed)?,
            (None, Some(failure)) => write!(f, ", {failure} after {:.0?}", self.elapsed)?,
            (None, None) => {}
        }
        if self.attempts > 0 { write!(f, ", attempt {}", self.attempts) } else { Ok(()) }
    }
}

/// What has become of an event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EventReport {
    /// The event.
    pub event: EventId,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// Whether all its deliveries have ended, durably.
    pub settled: bool,
    /// How its deliveries ended.
    pub tally: Tally,
    /// Deliveries one by one: at most [`REPORT_ENTRIES`](crate::limits::REPORT_ENTRIES) that have ended, and as many
    /// that have not.
    pub deliveries: Vec<DeliveryReport>,
}

impl EventReport {
    /// An event without deliveries that has not settled, for those who know of it from elsewhere, such as the log's
    /// history. Its fields say the rest.
    pub fn new(event: EventId, accepted: UnixTime) -> Self {
        Self { event, accepted, settled: false, tally: Tally::default(), deliveries: Vec::new() }
    }
}

impl fmt::Display for EventReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.deliveries.is_empty() {
            return write!(f, "{}: no deliveries", self.event);
        }
        for (i, delivery) in self.deliveries.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{delivery}")?;
        }
        let told = self.deliveries.len() as u64;
        let ended = self.tally.ended();
        if ended > told { write!(f, "\nand {} more", ended - told) } else { Ok(()) }
    }
}

/// Reports of events that have ended, the newest [`reports`](crate::limits::Limits::reports) of them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// A ring, once there are as many as are kept.
    kept: Vec<Kept>,
    oldest: usize,
    by_event: Chains,
    key: HashKey,
}

#[derive(Debug)]
struct Kept {
    tenant: u32,
    /// Of the tenant and the event: the text of its id lies elsewhere.
    hash: u64,
    /// The record that makes it true.
    ended: JournalSeq,
    report: EventReport,
    /// An event of the same name has ended since, and that one is found.
    is_stale: bool,
}

impl Shelf {
    pub(crate) fn new(key: HashKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Keeps a report; `ended` is the record that makes it true. Gives the tenant of the one that goes for it, which may
    /// be the same.
    pub(crate) fn put(&mut self, tenant: u32, ended: JournalSeq, report: EventReport, keep: usize) -> Option<u32> {
        if keep == 0 {
            return Some(tenant);
        }
        let hash = self.hash(tenant, &report.event);
        if let Some(before) = self.place(tenant, &report.event, hash) {
            self.by_event.remove(hash, before);
            self.kept[before as usize].is_stale = true;
        }
        let one = Kept { tenant, hash, ended, report, is_stale: false };
        let (at, gone) = if self.kept.len() < keep {
            self.kept.push(one);
            (self.kept.len() - 1, None)
        } else {
            let at = self.oldest;
            self.oldest = (at + 1) % self.kept.len();
            let old = &self.kept[at];
            if !old.is_stale {
                self.by_event.remove(old.hash, number(at));
            }
            (at, Some(core::mem::replace(&mut self.kept[at], one).tenant))
        };
        let kept = &self.kept;
        self.by_event.insert(hash, number(at), |at| kept[at as usize].hash);
        gone
    }

    /// The report of an ended event, marked settled once its end is durable.
    pub(crate) fn find(&self, tenant: u32, event: &EventId, durable: JournalSeq) -> Option<EventReport> {
        let one = &self.kept[self.place(tenant, event, self.hash(tenant, event))? as usize];
        Some(EventReport { settled: one.ended <= durable, ..one.report.clone() })
    }

    fn place(&self, tenant: u32, event: &EventId, hash: u64) -> Option<u32> {
        self.by_event.find(hash, |at| {
            let one = &self.kept[at as usize];
            one.hash == hash && one.tenant == tenant && one.report.event == *event
        })
    }

    fn hash(&self, tenant: u32, event: &EventId) -> u64 {
        self.key.hash(tenant, event.as_str().as_bytes())
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("fewer reports are kept than a table has places")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, VecDeque};
    use alloc::format;
    use proptest::prelude::*;

    /// As plainly as it can be said: what is kept in order, and the newest of each name.
    #[derive(Default)]
    struct Plain {
        order: VecDeque<(u32, EventId, JournalSeq)>,
        newest: BTreeMap<(u32, EventId), JournalSeq>,
    }

    impl Plain {
        fn put(&mut self, tenant: u32, event: &EventId, ended: JournalSeq, keep: usize) -> Option<u32> {
            self.order.push_back((tenant, event.clone(), ended));
            self.newest.insert((tenant, event.clone()), ended);
            let (tenant, event, ended) = (self.order.len() > keep).then(|| self.order.pop_front()).flatten()?;
            if self.newest.get(&(tenant, event.clone())) == Some(&ended) {
                self.newest.remove(&(tenant, event));
            }
            Some(tenant)
        }
    }

    proptest! {
        #[test]
        fn the_newest_reports_are_found_and_no_others(
            ends in prop::collection::vec((0..3_u32, 0..12_u8), 0..200),
            keep in 0..20_usize,
        ) {
            let (mut shelf, mut plain) = (Shelf::new(HashKey::default()), Plain::default());
            for (at, (tenant, name)) in ends.into_iter().enumerate() {
                let ended = JournalSeq::new(at as u64 + 1);
                let event = EventId::new(format!("e{name}")).expect("a name");
                let report = EventReport::new(event.clone(), UnixTime::from_millis(at as u64));
                prop_assert_eq!(shelf.put(tenant, ended, report, keep), plain.put(tenant, &event, ended, keep));
                for (tenant, name) in (0..3).flat_map(|tenant| (0..12).map(move |name| (tenant, name))) {
                    let event = EventId::new(format!("e{name}")).expect("a name");
                    let found = shelf.find(tenant, &event, ended);
                    let newest = plain.newest.get(&(tenant, event));
                    prop_assert_eq!(found.as_ref().map(|report| report.accepted.as_millis() + 1), newest.map(|seq| seq.get()));
                    prop_assert!(found.is_none_or(|report| report.settled));
                }
            }
        }
    }
}

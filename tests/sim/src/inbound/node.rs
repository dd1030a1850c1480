//! A receiver: a machine that may crash, its clocks, and what it has in hand.

use std::collections::{BTreeMap, BTreeSet};

use postrider_core::receiver::{DeliveryId, Receiver, ReceiverConfig};
use postrider_core::time::{Instant, Now, UnixTime};

use super::draw::EPOCH;
use crate::observe::SimTime;

/// A receiver.
#[derive(Debug)]
pub(super) struct Node {
    /// None while it is down.
    pub(super) machine: Option<Receiver>,
    /// How often it was started.
    pub(super) incarnation: u32,
    born: SimTime,
    /// What its wall clock is off, in milliseconds.
    pub(super) offset: i64,
    /// Exchanges without an answer, and the requests that began them.
    pub(super) exchanges: BTreeMap<u64, usize>,
    made: u64,
    /// Deliveries that its application has and that have not timed out, and the messages in them.
    pub(super) given: BTreeMap<DeliveryId, usize>,
    /// Those that have timed out.
    pub(super) overdue: BTreeMap<DeliveryId, usize>,
    /// Which message is in each delivery.
    pub(super) messages: BTreeMap<DeliveryId, usize>,
    /// The life of the store in which each delivery was granted: a store that crashes forgets who had what.
    pub(super) granted: BTreeMap<DeliveryId, u32>,
    /// Messages that have ended here, as far as it remembers.
    pub(super) settled: BTreeSet<usize>,
    /// Gaps that it told of: line and place.
    pub(super) gaps: BTreeSet<(String, u64)>,
}

impl Node {
    pub(super) fn new(config: ReceiverConfig, at: SimTime) -> Self {
        let mut node = Self {
            machine: None,
            incarnation: 0,
            born: at,
            offset: 0,
            exchanges: BTreeMap::new(),
            made: 0,
            given: BTreeMap::new(),
            overdue: BTreeMap::new(),
            messages: BTreeMap::new(),
            granted: BTreeMap::new(),
            settled: BTreeSet::new(),
            gaps: BTreeSet::new(),
        };
        node.start(config, at);
        node
    }

    /// Its clocks.
    pub(super) fn now(&self, at: SimTime) -> Now {
        let wall = i64::try_from(EPOCH + at.0 / 1_000_000).expect("not so late") + self.offset;
        Now {
            mono: Instant::from_nanos(1 + at.since(self.born)),
            wall: UnixTime::from_millis(u64::try_from(wall).unwrap_or(0)),
        }
    }

    pub(super) fn start(&mut self, config: ReceiverConfig, at: SimTime) {
        self.incarnation += 1;
        self.born = at;
        self.machine = Some(Receiver::new(config, self.now(at)));
    }

    /// Everything that it had in memory is lost. Says which requests get no answer, and what was with the application.
    pub(super) fn crash(&mut self) -> (Vec<usize>, Vec<usize>) {
        self.machine = None;
        self.messages.clear();
        self.granted.clear();
        self.settled.clear();
        self.gaps.clear();
        let given =
            std::mem::take(&mut self.given).into_values().chain(std::mem::take(&mut self.overdue).into_values());
        let given = given.collect();
        (std::mem::take(&mut self.exchanges).into_values().collect(), given)
    }

    /// A number for another exchange.
    pub(super) fn exchange(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

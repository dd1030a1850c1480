//! The world of the demonstration: what happens in it, and the books that its systems keep.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// What the shop sells.
pub(crate) const ITEMS: [&str; 4] = ["tea", "cups", "kettles", "spoons"];

/// Something that happened. Each kind is numbered from 1 by its source, and says when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    /// `order.placed`, by the shop.
    Placed { order: u64, item: usize, quantity: u64 },
    /// `payment.completed`, by the payment service.
    Paid { order: u64 },
    /// `stock.low`, by the inventory.
    Low { item: usize, left: i64 },
}

impl Fact {
    /// The dotted type of the event.
    pub(crate) fn event_type(&self) -> &'static str {
        match self {
            Self::Placed { .. } => "order.placed",
            Self::Paid { .. } => "payment.completed",
            Self::Low { .. } => "stock.low",
        }
    }

    /// The id of the event: the same fact is the same event, however often it is published.
    pub(crate) fn event_id(&self) -> String {
        match self {
            Self::Placed { order, .. } => format!("order-{order}-placed"),
            Self::Paid { order } => format!("order-{order}-paid"),
            Self::Low { item, .. } => format!("low-{}", ITEMS[*item % ITEMS.len()]),
        }
    }
}

/// A fact as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Which of its kind, from 1.
    pub(crate) n: u64,
    /// When it happened, in microseconds since the demonstration began.
    pub(crate) at: u64,
    /// What happened.
    pub(crate) fact: Fact,
}

/// The clock of the demonstration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Since it began.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Since it began, in microseconds.
    pub(crate) fn micros(self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long ago something happened.
    pub(crate) fn since(self, at: u64) -> Duration {
        Duration::from_micros(self.micros().saturating_sub(at))
    }
}

/// The orders that will be placed, in order.
pub(crate) fn orders(count: u64) -> impl Iterator<Item = Fact> {
    let chance = Chance::new(42);
    (1..=count).map(move |n| Fact::Placed {
        order: 1000 + n,
        item: usize::try_from(chance.below(ITEMS.len() as u64)).expect("there are few items"),
        quantity: 1 + chance.below(3),
    })
}

/// How much of each item there is at first: more than all orders together can take.
pub(crate) fn initial_stock(orders: u64) -> i64 {
    i64::try_from(orders.saturating_mul(3)).unwrap_or(i64::MAX / 4) + 100
}

/// Below this, the inventory tells the alert channel; about half way through the demonstration.
fn low_mark(orders: u64) -> i64 {
    initial_stock(orders) - i64::try_from(orders / 4).unwrap_or(0) - 1
}

/// What a system does with what it is told.
#[derive(Clone, Debug)]
pub(crate) enum Books {
    /// The inventory: its stock goes down by what is ordered.
    Stock { left: [i64; ITEMS.len()], low_mark: i64, low: Vec<Fact> },
    /// The shop: which orders are paid, and how often.
    Payments { paid: BTreeMap<u64, u32> },
    /// Anything else: what it has been told.
    Log { facts: u64 },
}

impl Books {
    /// An inventory for so many orders.
    pub(crate) fn stock(orders: u64) -> Self {
        Self::Stock { left: [initial_stock(orders); ITEMS.len()], low_mark: low_mark(orders), low: Vec::new() }
    }

    /// A shop that waits for payments.
    pub(crate) fn payments() -> Self {
        Self::Payments { paid: BTreeMap::new() }
    }

    /// A system that only takes note.
    pub(crate) fn log() -> Self {
        Self::Log { facts: 0 }
    }

    /// Takes a fact into account.
    pub(crate) fn apply(&mut self, fact: &Fact) {
        match (self, fact) {
            (Self::Stock { left, low_mark, low }, Fact::Placed { item, quantity, .. }) => {
                let Some(left) = left.get_mut(*item) else { return };
                let before = *left;
                *left -= i64::try_from(*quantity).unwrap_or(i64::MAX);
                if before >= *low_mark && *left < *low_mark {
                    low.push(Fact::Low { item: *item, left: *left });
                }
            }
            (Self::Payments { paid }, Fact::Paid { order }) => *paid.entry(*order).or_default() += 1,
            (Self::Log { facts }, _) => *facts += 1,
            (Self::Stock { .. } | Self::Payments { .. }, _) => {}
        }
    }

    /// Alerts that are to be sent and have not been taken yet.
    pub(crate) fn take_alerts(&mut self) -> Vec<Fact> {
        match self {
            Self::Stock { low, .. } => std::mem::take(low),
            Self::Payments { .. } | Self::Log { .. } => Vec::new(),
        }
    }
}

/// Puts facts of one source back into the order in which they happened, each once. What comes early waits for what is
/// missing; it never holds more than there are facts.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    applied: u64,
    highest: u64,
    early: BTreeMap<u64, Fact>,
    seen: HashSet<String>,
    /// Facts that came after later ones, and were put right.
    pub(crate) late: u64,
    /// Copies that were dropped.
    pub(crate) duplicates: u64,
}

impl Sequencer {
    /// Takes a fact under the id of its event; gives those whose turn it now is, in order. `None` for a copy.
    pub(crate) fn take(&mut self, id: &str, report: Report) -> Option<Vec<Fact>> {
        if !self.seen.insert(id.to_string()) {
            self.duplicates += 1;
            return None;
        }
        self.late += u64::from(report.n < self.highest);
        self.highest = self.highest.max(report.n);
        self.early.insert(report.n, report.fact);
        let mut due = Vec::new();
        while let Some(fact) = self.early.remove(&(self.applied + 1)) {
            self.applied += 1;
            due.push(fact);
        }
        Some(due)
    }

    /// Facts that were given out.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_network_does_each_fact_is_applied_once_and_in_order(
            (count, copies) in (1u64..40).prop_flat_map(|n| (Just(n), proptest::collection::vec(1..=n, 0..60))),
            keys in proptest::collection::vec(any::<u32>(), 100),
        ) {
            let mut arrivals: Vec<(u32, u64)> = (1..=count).chain(copies.iter().copied()).zip(keys).map(|(n, k)| (k, n)).collect();
            arrivals.sort_unstable();
            let mut sequencer = Sequencer::default();
            let mut out = Vec::new();
            for (_, n) in arrivals {
                let report = Report { n, at: 0, fact: Fact::Paid { order: n } };
                out.extend(sequencer.take(&n.to_string(), report).unwrap_or_default());
            }
            prop_assert_eq!(out, (1..=count).map(|order| Fact::Paid { order }).collect::<Vec<_>>());
            prop_assert_eq!(sequencer.duplicates, copies.len() as u64);
        }
    }

    #[test]
    fn facts_come_out_once_and_in_order() {
        let mut sequencer = Sequencer::default();
        let mut out = Vec::new();
        for n in [2, 1, 1, 5, 3, 2, 4] {
            let report = Report { n, at: 0, fact: Fact::Paid { order: n } };
            out.extend(sequencer.take(&n.to_string(), report).unwrap_or_default());
        }
        assert_eq!(out, (1..=5).map(|order| Fact::Paid { order }).collect::<Vec<_>>());
        assert_eq!((sequencer.applied(), sequencer.duplicates, sequencer.late), (5, 2, 3));
    }

    #[test]
    fn an_inventory_alerts_once_for_each_item() {
        let mut books = Books::stock(100);
        for _ in 0..100 {
            books.apply(&Fact::Placed { order: 1, item: 0, quantity: 3 });
        }
        assert_eq!(books.take_alerts().len(), 1);
        let Books::Stock { left, .. } = books else { panic!("it was an inventory") };
        assert_eq!(left[0], initial_stock(100) - 300);
    }
}

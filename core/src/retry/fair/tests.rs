//! Shares over any schedule of flows that come and go.

use super::*;
use crate::retry::Link;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use proptest::prelude::*;

#[derive(Clone, Copy, Default)]
struct Node {
    link: Link,
    balance: Balance,
    weight: u8,
    group: u32,
}

/// Flows, and how often one of them was looked at.
struct Slab {
    nodes: Vec<Node>,
    looked: Cell<u32>,
}

impl Slab {
    fn new(weights: &[u8]) -> Self {
        let nodes = weights.iter().map(|weight| Node { weight: *weight, ..Node::default() }).collect();
        Self { nodes, looked: Cell::new(0) }
    }
}

impl Links for Slab {
    fn link(&self, handle: u32) -> Link {
        self.looked.set(self.looked.get() + 1);
        self.nodes[handle as usize].link
    }
    fn link_mut(&mut self, handle: u32) -> &mut Link {
        self.looked.set(self.looked.get() + 1);
        &mut self.nodes[handle as usize].link
    }
}

impl Flows for Slab {
    fn balance(&self, handle: u32) -> Balance {
        self.nodes[handle as usize].balance
    }
    fn balance_mut(&mut self, handle: u32) -> &mut Balance {
        &mut self.nodes[handle as usize].balance
    }
    fn weight(&self, handle: u32) -> u8 {
        self.nodes[handle as usize].weight
    }
}

/// Groups, each with the ring of its flows.
struct Outer;

struct Tenants(Vec<(Node, Fair)>);

impl Links<Outer> for Tenants {
    fn link(&self, handle: u32) -> Link {
        self.0[handle as usize].0.link
    }
    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self.0[handle as usize].0.link
    }
}

impl Flows<Outer> for Tenants {
    fn balance(&self, handle: u32) -> Balance {
        self.0[handle as usize].0.balance
    }
    fn balance_mut(&mut self, handle: u32) -> &mut Balance {
        &mut self.0[handle as usize].0.balance
    }
}

impl Groups<Outer, ()> for Tenants {
    fn fair_mut(&mut self, group: u32) -> &mut Fair {
        &mut self.0[group as usize].1
    }
}

const FLOWS: u32 = 8;

fn quantum(quantum: u16) -> NonZeroU16 {
    NonZeroU16::new(quantum).unwrap()
}

#[test]
fn it_is_small() {
    assert!(size_of::<Fair>() <= 16 && size_of::<Tiers<Outer, ()>>() <= 16 && size_of::<Balance>() == 4);
}

#[test]
fn a_turn_is_a_quantum_times_the_weight() {
    let mut slab = Slab::new(&[1, 3, 0]);
    let mut fair: Fair = Fair::new(quantum(2));
    (0..3).for_each(|flow| fair.activate(&mut slab, flow));
    let served: Vec<_> = (0..20)
        .map(|_| {
            let flow = fair.next(&mut slab).unwrap();
            assert_eq!(fair.next(&mut slab), Some(flow), "asking changes nothing");
            fair.charge(&mut slab, flow, 1);
            flow
        })
        .collect();
    assert_eq!(served, [0, 0, 1, 1, 1, 1, 1, 1, 2, 2].repeat(2));
}

#[test]
fn what_was_taken_too_much_is_kept_back() {
    let mut slab = Slab::new(&[1, 1]);
    let mut fair: Fair = Fair::new(quantum(10));
    (0..2).for_each(|flow| fair.activate(&mut slab, flow));
    let mut taken = [0_u32; 2];
    let costs = [7, 3];
    for _ in 0..1000 {
        let flow = fair.next(&mut slab).unwrap() as usize;
        fair.charge(&mut slab, flow as u32, costs[flow]);
        taken[flow] += costs[flow];
    }
    assert!(taken[0].abs_diff(taken[1]) <= 20, "{taken:?}");
}

#[test]
fn coming_and_going_saves_up_nothing_and_forgives_nothing() {
    let mut slab = Slab::new(&[1, 1]);
    let mut fair: Fair = Fair::new(quantum(10));
    fair.activate(&mut slab, 0);
    fair.activate(&mut slab, 1);
    assert_eq!(fair.next(&mut slab), Some(0));
    fair.charge(&mut slab, 0, 3);
    fair.deactivate(&mut slab, 0);
    fair.deactivate(&mut slab, 0);
    assert_eq!(slab.balance(0), Balance(0), "seven were left");
    assert_eq!(fair.next(&mut slab), Some(1));
    fair.charge(&mut slab, 1, 9);
    fair.charge(&mut slab, 1, 9);
    fair.deactivate(&mut slab, 1);
    assert_eq!(slab.balance(1), Balance(-8));
    assert_eq!((fair.next(&mut slab), fair.is_empty(), fair.is_active()), (None, true, false));
    fair.activate(&mut slab, 1);
    fair.activate(&mut slab, 1);
    assert_eq!((fair.next(&mut slab), fair.len(), slab.balance(1)), (Some(1), 1, Balance(2)));
    fair.charge(&mut slab, 1, u32::MAX);
    assert_eq!(slab.balance(1), Balance(-8), "no more than a quantum counts");
    fair.charge(&mut slab, 1, u32::MAX);
    assert_eq!(slab.balance(1), Balance(-9), "and no more than the next turn makes up for");
    assert_eq!((fair.next(&mut slab), slab.balance(1)), (Some(1), Balance(1)));
    fair.charge(&mut slab, 1, 0);
    assert_eq!(slab.balance(1), Balance(0), "nothing is free");
}

#[test]
fn the_cost_does_not_grow_with_the_flows() {
    let work = |flows: usize| {
        let mut slab = Slab::new(&vec![1; flows]);
        let mut fair: Fair = Fair::new(quantum(1));
        // Every other one is stuck.
        (0..flows as u32).step_by(2).for_each(|flow| fair.activate(&mut slab, flow));
        slab.looked.set(0);
        for _ in 0..100 {
            let flow = fair.next(&mut slab).unwrap();
            fair.charge(&mut slab, flow, 1);
            fair.deactivate(&mut slab, flow);
            fair.activate(&mut slab, flow);
        }
        slab.looked.get()
    };
    assert_eq!(work(100), work(10_000));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Activate(u32),
    Deactivate(u32),
    Serve(u32),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // The first two flows are always active, so that they can be compared.
    let op = prop_oneof![
        2 => (2..FLOWS).prop_map(Op::Activate),
        1 => (2..FLOWS).prop_map(Op::Deactivate),
        8 => any::<u32>().prop_map(Op::Serve),
    ];
    prop::collection::vec(op, 0..400)
}

/// How much more, in quanta times both weights, the one was charged than the other over any stretch: the spread of their
/// difference.
#[derive(Default)]
struct Spread {
    difference: i64,
    lowest: i64,
    highest: i64,
}

impl Spread {
    fn add(&mut self, by: i64) {
        self.difference += by;
        self.lowest = self.lowest.min(self.difference);
        self.highest = self.highest.max(self.difference);
    }

    fn get(&self) -> i64 {
        self.highest - self.lowest
    }
}

proptest! {
    #[test]
    fn each_gets_its_share(
        ops in ops(),
        weights in prop::collection::vec(1..5_u8, FLOWS as usize),
        q in 1..20_u16,
        unit: bool,
    ) {
        let mut slab = Slab::new(&weights);
        let mut fair: Fair = Fair::new(quantum(q));
        fair.activate(&mut slab, 0);
        fair.activate(&mut slab, 1);
        let (v, w, mut spread) = (i64::from(weights[0]), i64::from(weights[1]), Spread::default());
        for op in ops {
            match op {
                Op::Activate(flow) => fair.activate(&mut slab, flow),
                Op::Deactivate(flow) => fair.deactivate(&mut slab, flow),
                Op::Serve(dice) => {
                    let flow = fair.next(&mut slab).expect("two are active");
                    let cost = if unit { 1 } else { dice % u32::from(q) + 1 };
                    fair.charge(&mut slab, flow, cost);
                    match flow {
                        0 => spread.add(i64::from(cost) * w),
                        1 => spread.add(-i64::from(cost) * v),
                        _ => {}
                    }
                }
            }
        }
        let quanta = if unit { v * w } else { v * w + w + v };
        prop_assert!(spread.get() <= quanta * i64::from(q), "{} quanta", spread.get() as f64 / f64::from(q));
    }

    /// Deactivated flows are never given, and every active one is given before another is given twice (with costs of 1
    /// and a quantum of 1, where a turn is one attempt).
    #[test]
    fn who_is_stuck_costs_the_others_nothing(ops in ops()) {
        let mut slab = Slab::new(&[1; FLOWS as usize]);
        let mut fair: Fair = Fair::new(NonZeroU16::MIN);
        let mut model = alloc::collections::VecDeque::new();
        for op in ops {
            match op {
                Op::Activate(flow) => {
                    fair.activate(&mut slab, flow);
                    if !model.contains(&flow) {
                        model.push_back(flow);
                    }
                }
                Op::Deactivate(flow) => {
                    fair.deactivate(&mut slab, flow);
                    model.retain(|other| *other != flow);
                }
                Op::Serve(_) => {
                    let flow = fair.next(&mut slab);
                    prop_assert_eq!(flow, model.pop_front());
                    if let Some(flow) = flow {
                        fair.charge(&mut slab, flow, 1);
                        model.push_back(flow);
                    }
                }
            }
            prop_assert_eq!(fair.len(), model.len());
        }
    }

    /// A tenant's share does not depend on how many endpoints it has, nor an endpoint's on other tenants'.
    #[test]
    fn tenants_then_endpoints(
        groups in prop::collection::vec(0..3_u32, FLOWS as usize - 4),
        ops in ops(),
        (outer, inner) in (1..5_u16, 1..5_u16),
    ) {
        let mut tenants = Tenants((0..3).map(|_| (Node::default(), Fair::new(quantum(inner)))).collect());
        let mut slab = Slab::new(&[1; FLOWS as usize]);
        // Two flows of each of the first two tenants are always active.
        for (flow, group) in [0, 1, 0, 1].into_iter().chain(groups).enumerate() {
            slab.nodes[flow].group = group;
        }
        let group = |slab: &Slab, flow: u32| slab.nodes[flow as usize].group;
        let mut tiers = Tiers::<Outer, ()>::new(quantum(outer));
        (0..4).for_each(|flow| tiers.activate(&mut tenants, &mut slab, flow % 2, flow));
        let (mut between, mut within) = (Spread::default(), Spread::default());
        for op in ops {
            match op {
                Op::Activate(flow) => {
                    let group = group(&slab, flow);
                    tiers.activate(&mut tenants, &mut slab, group, flow);
                }
                Op::Deactivate(flow) if flow >= 4 => {
                    let group = group(&slab, flow);
                    tiers.deactivate(&mut tenants, &mut slab, group, flow);
                }
                Op::Deactivate(_) => {}
                Op::Serve(_) => {
                    let found = tiers.next(&mut tenants, &mut slab).expect("four are active");
                    prop_assert_eq!(found.0, group(&slab, found.1));
                    tiers.charge(&mut tenants, &mut slab, found, 1);
                    between.add([1, -1, 0][found.0 as usize]);
                    within.add([1, 0, -1, 0].get(found.1 as usize).copied().unwrap_or(0));
                }
            }
            let active = (0..FLOWS).filter(|flow| !slab.link(*flow).is_free()).count();
            prop_assert_eq!(tenants.0.iter().map(|(_, fair)| fair.len()).sum::<usize>(), active);
            for (node, fair) in &tenants.0 {
                prop_assert_eq!(node.link.is_free(), fair.is_empty());
            }
        }
        prop_assert!(between.get() <= i64::from(outer) && within.get() <= i64::from(inner));
        prop_assert!(tiers.is_active());
    }
}

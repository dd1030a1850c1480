//! Whose turn it is, so that everybody gets a share.

use super::list::{Links, List};
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU16;

/// What a flow may still take before the others have their turn; below zero when it took more. 4 bytes, kept by the
/// caller beside the flow's [`Link`](super::Link). Every flow starts with the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance(i32);

/// A slab of flows: whoever takes turns with others.
///
/// `K` names the link, as for [`Links`].
pub trait Flows<K = ()>: Links<K> {
    /// The flow's balance.
    fn balance(&self, handle: u32) -> Balance;

    /// The flow's balance, to be changed by [`Fair`] alone.
    fn balance_mut(&mut self, handle: u32) -> &mut Balance;

    /// How many shares the flow has; 0 counts as 1. It may change at any time.
    fn weight(&self, _handle: u32) -> u8 {
        1
    }
}

/// A slab of groups that are flows among themselves and have flows of their own: tenants with their endpoints.
pub trait Groups<O, I>: Flows<O> {
    /// Those of the group's flows that can go on.
    fn fair_mut(&mut self, group: u32) -> &mut Fair<I>;

    /// Whether the group has no turns for now, whatever of its flows can go on; see [`Tiers::hold`].
    fn is_held(&self, _group: u32) -> bool {
        false
    }
}

/// Deficit round robin (Shreedhar and Varghese, 1995) over flows that lie in the caller's slab: 16 bytes, and 12 in each
/// flow.
///
/// Flows that can go on are *active*, and go round. In its turn a flow may take its quantum times its weight; it is paid
/// for when it is known what it took ([`charge`](Self::charge)), and what it took too much is kept back in its next turn.
/// A flow that cannot go on is taken out ([`deactivate`](Self::deactivate)): it costs the others nothing, however long it
/// is stuck, and what it has left of its turn is lost, so that nobody saves up.
///
/// **Shares.** Of any two flows that are active over the same stretch, with weights *v* and *w*, let one be charged *a*
/// and the other *b*. Then *a/v - b/w* is at most one quantum, when all costs are 1; and with costs up to the quantum, at
/// most 1 + 1/*v* + 1/*w* quanta. Nothing else matters: not how many others come and go, nor how many flows there are.
///
/// **Cost.** Every operation is O(1). For that a charge counts for at most a quantum: choose one that the dearest attempt
/// does not exceed.
///
/// ```
/// use core::num::NonZeroU16;
/// use postrider_core::retry::{Balance, Fair, Flows, Link, Links};
///
/// struct Slab(Vec<(Link, Balance)>);
///
/// impl Links for Slab {
///     fn link(&self, handle: u32) -> Link { self.0[handle as usize].0 }
///     fn link_mut(&mut self, handle: u32) -> &mut Link { &mut self.0[handle as usize].0 }
/// }
/// impl Flows for Slab {
///     fn balance(&self, handle: u32) -> Balance { self.0[handle as usize].1 }
///     fn balance_mut(&mut self, handle: u32) -> &mut Balance { &mut self.0[handle as usize].1 }
/// }
///
/// let mut slab = Slab(vec![Default::default(); 3]);
/// let mut fair: Fair = Fair::new(NonZeroU16::MIN);
/// (0..3).for_each(|flow| fair.activate(&mut slab, flow));
/// let mut served = Vec::new();
/// for _ in 0..6 {
///     let flow = fair.next(&mut slab).expect("three are active");
///     fair.charge(&mut slab, flow, 1);
///     served.push(flow);
/// }
/// assert_eq!(served, [0, 1, 2, 0, 1, 2]);
/// ```
pub struct Fair<K = ()> {
    ring: List<K>,
    quantum: NonZeroU16,
}

impl<K> Fair<K> {
    /// No active flows. The quantum is what a flow of weight 1 may take in a turn.
    pub const fn new(quantum: NonZeroU16) -> Self {
        Self { ring: List::new(), quantum }
    }

    /// The flow can go on: it comes after those that are active. Without effect when it is active.
    pub fn activate(&mut self, flows: &mut impl Flows<K>, flow: u32) {
        if flows.link(flow).is_free() {
            self.ring.push_back(flows, flow);
        }
    }

    /// The same, but it comes before those that are active: one whose turn was cut short.
    pub fn activate_first(&mut self, flows: &mut impl Flows<K>, flow: u32) {
        if flows.link(flow).is_free() {
            self.ring.push_front(flows, flow);
        }
    }

    /// The flow cannot go on. Without effect when it is not active.
    pub fn deactivate(&mut self, flows: &mut impl Flows<K>, flow: u32) {
        if !flows.link(flow).is_free() {
            self.ring.remove(flows, flow);
            let balance = flows.balance_mut(flow);
            balance.0 = balance.0.min(0);
        }
    }

    /// Whose turn it is; `None` when nobody is active. Asking again gives the same, until it is charged or taken out.
    pub fn next(&mut self, flows: &mut impl Flows<K>) -> Option<u32> {
        let flow = self.ring.front()?;
        if flows.balance(flow).0 <= 0 {
            let share = i32::from(self.quantum.get()) * i32::from(flows.weight(flow).max(1));
            flows.balance_mut(flow).0 += share;
        }
        Some(flow)
    }

    /// The flow took so much: at least 1, and no more than a quantum counts. When its share is used up the next one has
    /// its turn. For the flow that [`next`](Self::next) gave; also when it was taken out meanwhile.
    pub fn charge(&mut self, flows: &mut impl Flows<K>, flow: u32, cost: u32) {
        let quantum = i32::from(self.quantum.get());
        let cost = i32::try_from(cost).unwrap_or(i32::MAX).clamp(1, quantum);
        let balance = flows.balance_mut(flow);
        // One turn makes up for what one charge took too much, and so it must for two.
        balance.0 = (balance.0 - cost).max(1 - quantum);
        let is_used_up = balance.0 <= 0;
        if is_used_up && self.ring.len() > 1 && !flows.link(flow).is_free() {
            self.ring.remove(flows, flow);
            self.ring.push_back(flows, flow);
        }
    }

    /// Whether anybody can go on.
    pub const fn is_active(&self) -> bool {
        !self.ring.is_empty()
    }

    /// How many can go on.
    pub const fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nobody can go on.
    pub const fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

impl<K> fmt::Debug for Fair<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fair").field("ring", &self.ring).field("quantum", &self.quantum).finish()
    }
}

/// Deficit round robin over groups, and within each group over its flows: tenants, then their endpoints.
///
/// A group gets its share however many flows it has, and each flow its share of the group's, both as [`Fair`] says. A group
/// is active while one of its flows is, unless it is [held](Self::hold). 16 bytes, and one [`Fair`] in each group.
pub struct Tiers<O, I> {
    outer: Fair<O>,
    inner: PhantomData<fn() -> I>,
}

impl<O, I> Tiers<O, I> {
    /// No active flows. The quantum is what a group of weight 1 may take in a turn.
    pub const fn new(quantum: NonZeroU16) -> Self {
        Self { outer: Fair::new(quantum), inner: PhantomData }
    }

    /// A flow of the group can go on. Without effect when it is active.
    pub fn activate(&mut self, groups: &mut impl Groups<O, I>, flows: &mut impl Flows<I>, group: u32, flow: u32) {
        groups.fair_mut(group).activate(flows, flow);
        self.release(groups, group);
    }

    /// The same, but it comes before the group's other flows.
    pub fn activate_first(&mut self, groups: &mut impl Groups<O, I>, flows: &mut impl Flows<I>, group: u32, flow: u32) {
        groups.fair_mut(group).activate_first(flows, flow);
        self.release(groups, group);
    }

    /// The group has no turns from now on; its flows stay as they are. From now on [`Groups::is_held`] says so of it.
    pub fn hold(&mut self, groups: &mut impl Groups<O, I>, group: u32) {
        self.outer.deactivate(groups, group);
    }

    /// The group has turns again, when it is not held and one of its flows can go on.
    pub fn release(&mut self, groups: &mut impl Groups<O, I>, group: u32) {
        if !groups.is_held(group) && groups.fair_mut(group).is_active() {
            self.outer.activate(groups, group);
        }
    }

    /// A flow of the group cannot go on. Without effect when it is not active.
    pub fn deactivate(&mut self, groups: &mut impl Groups<O, I>, flows: &mut impl Flows<I>, group: u32, flow: u32) {
        let inner = groups.fair_mut(group);
        inner.deactivate(flows, flow);
        if inner.is_empty() {
            self.outer.deactivate(groups, group);
        }
    }

    /// Whose turn it is: the group and the flow; `None` when nobody is active.
    pub fn next(&mut self, groups: &mut impl Groups<O, I>, flows: &mut impl Flows<I>) -> Option<(u32, u32)> {
        let group = self.outer.next(groups)?;
        let flow = groups.fair_mut(group).next(flows).expect("a group is active while one of its flows is");
        Some((group, flow))
    }

    /// The flow of the group took so much, as for [`Fair::charge`].
    pub fn charge(
        &mut self,
        groups: &mut impl Groups<O, I>,
        flows: &mut impl Flows<I>,
        (group, flow): (u32, u32),
        cost: u32,
    ) {
        groups.fair_mut(group).charge(flows, flow, cost);
        self.outer.charge(groups, group, cost);
    }

    /// Whether anybody can go on.
    pub const fn is_active(&self) -> bool {
        self.outer.is_active()
    }
}

impl<O, I> fmt::Debug for Tiers<O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").field("outer", &self.outer).finish()
    }
}

#[cfg(test)]
mod tests;

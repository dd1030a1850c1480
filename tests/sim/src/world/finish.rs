//! The second half of a seed: faults end, and everything must come to its end.

use postrider_core::sender::Input;

use crate::observe::{Broken, SECOND, Seen, SimTime};
use crate::profile::Class;

use super::content::longest_wait;
use super::node::Looking;
use super::{Happening, Register, World};

/// Between two looks whether everything has ended.
const LOOK: u64 = 600 * SECOND;

/// What is given to draining beyond the longest wait.
const DRAIN: u64 = 4 * 3600 * SECOND;

impl World {
    /// Faults end: networks, disks, clocks and receivers are well from now on, and nothing is held back.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        for peer in &mut self.peers {
            peer.heal(self.now);
        }
        let longest = longest_wait(&self.places, self.profile.classes.has(Class::Hostile));
        let from = SimTime(self.now.0.max(self.profile.workload));
        self.until = from.after(longest.0).after(DRAIN);
        for node in 0..self.profile.nodes {
            self.heal_node(node);
        }
        self.see(&Seen::Healed { until: self.until });
        for endpoint in 0..self.profile.endpoints {
            self.schedule.at(self.now.after(2 * SECOND), Happening::Register { endpoint, how: Register::Again });
        }
        self.schedule.at(from.after(LOOK), Happening::Settle);
    }

    fn heal_node(&mut self, node: u32) {
        let owner = &mut self.nodes[node as usize];
        owner.disk.set_faults(|faults| {
            (faults.sync_fails, faults.write_fails, faults.dies, faults.capacity) = (None, None, None, None);
            faults.lies = false;
        });
        if owner.frozen.take().is_some() {
            owner.clock.thaw(self.now);
        }
        owner.clock.set_drift(self.now, 0);
        let by = owner.clock.error(self.now);
        if by != 0 {
            owner.clock.step(self.now, by);
            self.see(&Seen::Stepped { node, by });
        }
        let owner = &mut self.nodes[node as usize];
        if let Some(process) = &mut owner.up {
            process.credit = self.profile.credit;
            self.bounds.set_credit(node, self.profile.credit);
            self.fact(node, Input::Credit(self.profile.credit));
            self.tell_room(node);
        } else {
            owner.life += 1;
            let life = owner.life;
            self.schedule.at(self.now.after(1), Happening::Boot { node, life });
        }
    }

    /// Looks whether everything has ended.
    pub(super) fn settle(&mut self) {
        let quiet = self.nodes.iter().all(|node| node.up.as_ref().is_some_and(|process| process.is_quiet()));
        if !quiet && self.now < self.until {
            return self.schedule.at(self.now.after(LOOK), Happening::Settle);
        }
        self.over = true;
        self.sweep();
        for node in 0..self.profile.nodes {
            if let Err(broken) = self.is_at_rest(node) {
                return self.break_off(broken);
            }
        }
        self.read_at_end();
        self.compact_copies();
        let look = Looking::at(&self.nodes, &self.replays);
        let mut found = None;
        for judge in &mut self.cast.judges {
            let wrong = judge.end(self.now, &look).err();
            found = found.or(wrong);
        }
        if let Some(broken) = found {
            self.break_off(broken);
        }
    }

    /// Whether a node has nothing left to do, and knows it.
    fn is_at_rest(&self, node: u32) -> Result<(), Broken> {
        let Some(process) = &self.nodes[node as usize].up else {
            return Err(Broken::new(3, format!("node {node} is not up although everything is well")));
        };
        let sender = &process.sender;
        if !sender.is_settled() {
            let what = format!("node {node} has {} events that have not ended by {}", sender.events(), self.until);
            return Err(Broken::new(3, what));
        }
        let left = [sender.in_flight(), sender.pending(), sender.resident()];
        if left != [0; 3] {
            let what = format!("node {node} has ended everything and keeps attempts, deliveries, bytes: {left:?}");
            return Err(Broken::new(29, what));
        }
        if !process.is_quiet() {
            return Err(Broken::new(29, format!("node {node} has ended everything and does not rest")));
        }
        Ok(())
    }
}

//! From an event to the filters that match it.

mod entries;
mod ranges;
mod table;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use entries::Entry;
use table::{Found, Table};

use super::{Asked, Filter, Flat};

/// Bits of an entry that are the branch: there are at most 1,000.
const BRANCH: u32 = 16;

/// Many filters, found by what an event says. A filter is known by a number that the caller gives.
///
/// # How it works
///
/// Each branch of a filter waits at one of its conditions, the one that is likely to bring it up in vain least often.
/// The fields of an event are looked up in what is waited for, which gives the branches whose condition passes, or nearly
/// so; only these are asked whole. Exact strings and numbers wait in ordered maps, ranges in an interval tree, prefixes
/// and suffixes (the fixed ends of wildcards too) and networks by their lengths. What else there is (`exists`,
/// `anything-but`, wildcards without fixed ends, prefixes and suffixes whatever the case) is asked for each event that
/// has the field; and branches of which every condition allows the field to be absent, for every event.
///
/// This was chosen over two others. The automata of event-ruler and quamina merge all patterns into one machine: fast
/// for exact values, but wildcards multiply its states (event-ruler publishes a fall from 140,000 events a second to 100
/// as they get more complex), and taking a pattern out again is hard (quamina cannot, and rebuilds). The counting
/// algorithm of publish and subscribe systems counts up every filter of which any one condition passes, so that a value
/// common to all filters touches them all. Waiting at one condition touches no filter whose rarest condition fails, costs
/// one map entry for each, and goes in and out in O(log n).
///
/// # Cost
///
/// With N filters, for an event with K paths and V values of which some filter uses:
///
/// | call | cost |
/// | --- | --- |
/// | [`insert`](Self::insert), [`remove`](Self::remove) | O(log N) for each alternative of the condition waited at, and a look at the others |
/// | [`matches`](Self::matches) | O((K + V) log N) steps, each for every length of prefix, suffix or network in use at that path; and [`Filter::matches`] for each branch brought up |
///
/// So it does not grow with the filters that the event has nothing for. Which condition a branch waits at depends on what
/// was there when it was inserted, what matches does not.
///
/// # Memory
///
/// One map entry for each filter besides itself, and one for each value waited for, with its text. What is removed leaves
/// nothing behind but, at most, free places for paths.
#[derive(Clone, Default)]
pub struct FilterIndex {
    filters: BTreeMap<u32, Held>,
    /// Names of paths, as a tree; the first is the root.
    paths: Vec<Path>,
    /// Free places among the paths.
    free: Vec<u32>,
    /// Branches that wait at no field.
    always: BTreeSet<Entry>,
}

#[derive(Clone)]
struct Held {
    filter: Filter,
    waits: Waits,
}

/// At which of its clauses each branch waits, if at any.
#[derive(Clone)]
enum Waits {
    One(Option<u16>),
    Many(Box<[Option<u16>]>),
}

#[derive(Clone, Debug, Default)]
struct Path {
    parent: u32,
    name: Box<str>,
    members: BTreeMap<Box<str>, u32>,
    table: Option<Box<Table>>,
}

impl FilterIndex {
    /// An index without filters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a filter under its number, and returns the one that had the number before.
    pub fn insert(&mut self, number: u32, filter: &Filter) -> Option<Filter> {
        let before = self.remove(number);
        let mut branches = (0..filter.0.branches.len()).map(|branch| self.wait(filter, number, branch));
        let waits = match (branches.len(), branches.next()) {
            (1, Some(one)) => Waits::One(one),
            (_, first) => Waits::Many(first.into_iter().chain(branches).collect()),
        };
        self.filters.insert(number, Held { filter: filter.clone(), waits });
        before
    }

    /// Takes the filter with this number out again.
    pub fn remove(&mut self, number: u32) -> Option<Filter> {
        let Held { filter, waits } = self.filters.remove(&number)?;
        let waits = match &waits {
            Waits::One(one) => core::slice::from_ref(one),
            Waits::Many(many) => many,
        };
        for (branch, clause) in waits.iter().enumerate() {
            let entry = entry(number, branch);
            match clause {
                None => drop(self.always.remove(&entry)),
                Some(clause) => {
                    let clause = &filter.0.clauses[usize::from(*clause)];
                    let at = self.find(&clause.path).expect("a branch waits at a path");
                    let table = self.paths[at as usize].table.as_mut().expect("a branch waits in a table");
                    table.remove(clause, entry);
                    self.prune(at);
                }
            }
        }
        Some(filter)
    }

    /// The numbers of the filters that match the event, ascending.
    pub fn matches(&self, event: &Flat) -> Vec<u32> {
        self.matches_from(event, 0, usize::MAX)
    }

    /// The same, from a number on and at most so many: what was left out is found from behind the last one given. Only
    /// filters from that number on are asked, and none after the last.
    pub fn matches_from(&self, event: &Flat, first: u32, most: usize) -> Vec<u32> {
        let mut found = Found::default();
        if !self.paths.is_empty() {
            self.walk(0, event, 0, &mut found);
        }
        let mut brought = found.entries();
        if !self.always.is_empty() {
            brought.extend(&self.always);
            brought.sort_unstable();
        }
        let brought = &brought[brought.partition_point(|entry| number(*entry) < first)..];
        let mut matching = Vec::new();
        for branches in brought.chunk_by(|one, other| number(*one) == number(*other)) {
            if matching.len() == most {
                break;
            }
            let number = number(branches[0]);
            let mut asked = Asked::new(&self.filters[&number].filter);
            if branches.iter().any(|entry| asked.holds((entry & ((1 << BRANCH) - 1)) as usize, event)) {
                matching.push(number);
            }
        }
        matching
    }

    /// The filter with this number.
    pub fn get(&self, number: u32) -> Option<&Filter> {
        self.filters.get(&number).map(|held| &held.filter)
    }

    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there are no filters.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Lets a branch wait at its best clause, which is returned.
    fn wait(&mut self, filter: &Filter, number: u32, branch: usize) -> Option<u16> {
        let empty = Table::default();
        let entry = entry(number, branch);
        let cost = |at: u16| {
            let clause = &filter.0.clauses[usize::from(at)];
            let table = self.find(&clause.path).and_then(|at| self.paths[at as usize].table.as_deref());
            (!clause.absent).then(|| (table.unwrap_or(&empty).cost(clause), at))
        };
        let Some((_, best)) = filter.0.branches[branch].iter().copied().filter_map(cost).min() else {
            self.always.insert(entry);
            return None;
        };
        let clause = &filter.0.clauses[usize::from(best)];
        let at = self.make(&clause.path);
        self.paths[at as usize].table.get_or_insert_default().add(clause, entry);
        Some(best)
    }

    /// Looks up what the event has at and below a path. Deeper by one call for each name of a filter's path.
    fn walk<'a>(&'a self, at: u32, event: &'a Flat, path: u32, found: &mut Found<'a>) {
        let here = &self.paths[at as usize];
        if let Some(table) = &here.table {
            table.find(event.values(path).map(|(value, _)| value), found);
        }
        if event.width(path) <= here.members.len() {
            for member in event.members(path) {
                if let Some(below) = here.members.get(event.name(member)) {
                    self.walk(*below, event, member, found);
                }
            }
        } else {
            for (name, below) in &here.members {
                if let Some(member) = event.member(path, name) {
                    self.walk(*below, event, member, found);
                }
            }
        }
    }

    fn find(&self, path: &str) -> Option<u32> {
        self.paths.first()?;
        path.split('.').try_fold(0, |at, name| self.paths[at as usize].members.get(name).copied())
    }

    /// The path with this text, made if there is none yet.
    fn make(&mut self, path: &str) -> u32 {
        if self.paths.is_empty() {
            self.paths.push(Path::default());
        }
        path.split('.').fold(0, |parent, name| {
            if let Some(known) = self.paths[parent as usize].members.get(name) {
                return *known;
            }
            let made = Path { parent, name: name.into(), ..Path::default() };
            let at = match self.free.pop() {
                Some(at) => {
                    self.paths[at as usize] = made;
                    at
                }
                None => {
                    self.paths.push(made);
                    self.paths.len() as u32 - 1
                }
            };
            self.paths[parent as usize].members.insert(name.into(), at);
            at
        })
    }

    /// Drops a table and paths that nobody waits at any more.
    fn prune(&mut self, mut at: u32) {
        let path = &mut self.paths[at as usize];
        path.table.take_if(|table| table.is_empty());
        while at != 0 && self.paths[at as usize].table.is_none() && self.paths[at as usize].members.is_empty() {
            let Path { parent, name, .. } = core::mem::take(&mut self.paths[at as usize]);
            self.paths[parent as usize].members.remove(&name);
            self.free.push(at);
            at = parent;
        }
    }
}

impl fmt::Debug for FilterIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.paths.len() - self.free.len();
        f.debug_struct("FilterIndex").field("filters", &self.filters.len()).field("paths", &paths).finish()
    }
}

fn entry(number: u32, branch: usize) -> Entry {
    (u64::from(number) << BRANCH) | branch as u64
}

fn number(entry: Entry) -> u32 {
    (entry >> BRANCH) as u32
}

#[cfg(test)]
mod tests;

//! The same name and the same content are the same event; the same name with another content is refused.
//!
//! Invariant 14, for producers. A name is an event's id, or its tenant's idempotency key.

use std::collections::{BTreeMap, VecDeque};

use super::facts::Facts;
use super::pages::Pages;
use crate::observe::{Broken, Note, Refusal, Seen, SimTime, Submission, Told};
use crate::trace::Hasher;

/// What producers have submitted.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    ids: Pages<Entries>,
    keys: BTreeMap<(u32, u64), Entries>,
    /// Names in the order in which they are forgotten.
    order: VecDeque<(SimTime, Name, u64)>,
    calls: Pages<Asked>,
    /// By node: names that it may have taken in, and how far back it said that it no longer remembers.
    nodes: BTreeMap<u32, (u64, SimTime)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Id(u64),
    Key(u32, u64),
}

/// Submissions under a name, the oldest first: nearly all names are submitted once, and a day of them is kept.
#[derive(Debug)]
struct Entries {
    first: Entry,
    others: Vec<Entry>,
}

/// A submission under a name.
#[derive(Clone, Copy, Debug)]
struct Entry {
    call: u64,
    content: u64,
    at: SimTime,
    incarnation: u32,
    /// How many names the node may have taken in before.
    nth: u64,
    /// The node took it as new, and somebody knows.
    sure: bool,
}

/// A call that has no answer yet.
#[derive(Clone, Copy, Debug)]
struct Asked {
    node: u32,
    id: Name,
    key: Option<Name>,
    content: u64,
}

impl Repeats {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, at: SimTime, seen: &Seen<'_>) {
        if let Seen::Noted { node, note: Note::WindowShrunk(age), .. } = seen {
            // The age is by the node's own clock, which may go a little faster.
            let until = SimTime(at.0.saturating_sub(age - age / 10));
            let node = self.nodes.entry(*node).or_default();
            node.1 = node.1.max(until);
        }
    }

    /// `content` is a digest of type and payload.
    pub(super) fn submitted(
        &mut self,
        facts: &Facts,
        at: SimTime,
        call: u64,
        node: u32,
        (submission, content): (&Submission<'_>, u64),
    ) {
        let id = Name::Id(submission.event);
        let key = submission.idempotency.map(|key| Name::Key(submission.tenant, key));
        let content = digest(submission, content);
        self.calls.insert(call, Asked { node, id, key, content });
        let incarnation = facts.node(node).incarnation;
        for name in [Some(id), key].into_iter().flatten() {
            let nth = &mut self.nodes.entry(node).or_default().0;
            *nth += 1;
            let entry = Entry { call, content, at, incarnation, nth: *nth, sure: false };
            self.add(name, entry);
            self.order.push_back((at, name, call));
        }
        self.forget(facts, at);
    }

    pub(super) fn answered(&mut self, facts: &Facts, at: SimTime, call: u64, told: Told) -> Result<(), Broken> {
        let Some(asked) = self.calls.remove(call) else { return Ok(()) };
        let what = || format!("{:?}{}", asked.id, asked.key.map_or_else(String::new, |key| format!(" with {key:?}")));
        let names = || [Some(asked.id), asked.key].into_iter().flatten();
        let mut earlier = names().flat_map(|name| self.of(name)).filter(|entry| entry.call < call);
        match told {
            Told::Ok { fresh: true } => {
                let known = earlier.find(|entry| entry.sure && self.is_remembered(facts, at, asked.node, entry));
                if let Some(known) = known {
                    let since = known.at;
                    return Err(Broken::new(14, format!("{} was accepted at {since}, and now once more", what())));
                }
                drop(earlier);
                for name in names() {
                    let entries = self.of_mut(name).into_iter().flat_map(Entries::all_mut);
                    entries.filter(|entry| entry.call == call).for_each(|entry| entry.sure = true);
                }
            }
            Told::Ok { fresh: false } => {
                // Who is idle remembers for longer than the window, so an old name is not judged.
                let young = at.0 <= facts.rules().window;
                if young && !earlier.any(|entry| entry.content == asked.content) {
                    return Err(Broken::new(1, format!("{} is told to be a repeat, and was never submitted", what())));
                }
            }
            Told::Refused(refusal @ (Refusal::Conflict | Refusal::Unsettled)) => {
                let young = at.0 <= facts.rules().window;
                if young && earlier.all(|entry| entry.content == asked.content) {
                    let content = "no other content was ever submitted under that name";
                    return Err(Broken::new(14, format!("{} was refused as {refusal:?}, and {content}", what())));
                }
                drop(earlier);
                names().for_each(|name| self.drop_call(name, call));
            }
            Told::Refused(_) => {
                drop(earlier);
                names().for_each(|name| self.drop_call(name, call));
            }
            Told::Lost => {}
        }
        Ok(())
    }

    /// Whether a node must still know a name: within the window, and not crowded out.
    fn is_remembered(&self, facts: &Facts, at: SimTime, node: u32, entry: &Entry) -> bool {
        let known = facts.node(node);
        let rules = facts.rules();
        let (nth, shrunk) = self.nodes.get(&node).copied().unwrap_or_default();
        let steady = !rules.jumps || known.incarnation == entry.incarnation;
        let young = at.since(entry.at) < rules.window / 5 * 4;
        let kept = nth - entry.nth < rules.remembered && entry.at >= shrunk;
        steady && young && kept && !known.weak
    }

    fn of(&self, name: Name) -> impl Iterator<Item = &Entry> {
        let entries = match name {
            Name::Id(event) => self.ids.get(event),
            Name::Key(tenant, key) => self.keys.get(&(tenant, key)),
        };
        entries.into_iter().flat_map(|entries| std::iter::once(&entries.first).chain(&entries.others))
    }

    fn of_mut(&mut self, name: Name) -> Option<&mut Entries> {
        match name {
            Name::Id(event) => self.ids.get_mut(event),
            Name::Key(tenant, key) => self.keys.get_mut(&(tenant, key)),
        }
    }

    fn add(&mut self, name: Name, entry: Entry) {
        if let Some(entries) = self.of_mut(name) {
            return entries.others.push(entry);
        }
        let entries = Entries { first: entry, others: Vec::new() };
        match name {
            Name::Id(event) => self.ids.insert(event, entries),
            Name::Key(tenant, key) => _ = self.keys.insert((tenant, key), entries),
        }
    }

    /// A call is no submission under a name any more.
    fn drop_call(&mut self, name: Name, call: u64) {
        let Some(entries) = self.of_mut(name) else { return };
        if entries.first.call != call {
            return entries.others.retain(|entry| entry.call != call);
        }
        if entries.others.is_empty() {
            match name {
                Name::Id(event) => _ = self.ids.remove(event),
                Name::Key(tenant, key) => _ = self.keys.remove(&(tenant, key)),
            }
        } else {
            entries.first = entries.others.remove(0);
        }
    }

    fn forget(&mut self, facts: &Facts, at: SimTime) {
        let window = facts.rules().window;
        while let Some((since, name, call)) = self.order.front().copied()
            && at.since(since) > window
        {
            self.order.pop_front();
            self.drop_call(name, call);
        }
    }
}

impl Entries {
    fn all_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }
}

/// A number that two submissions share exactly when their contents are the same, but for one chance in 2^64.
fn digest(submission: &Submission<'_>, content: u64) -> u64 {
    let mut hasher = Hasher::default();
    hasher.number(submission.tenant.into());
    hasher.number(content);
    hasher.number(submission.expires.is_some().into());
    hasher.number(submission.expires.unwrap_or(0));
    let hash = hasher.finish();
    (hash >> 64) as u64 ^ hash as u64
}

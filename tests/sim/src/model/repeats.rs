//! The same name and the same content are the same event; the same name with another content is refused.
//!
//! Invariant 14, for producers. A name is an event's id, or its tenant's idempotency key.

use std::collections::{BTreeMap, VecDeque};

use super::facts::Facts;
use crate::observe::{Broken, Note, Refusal, Seen, SimTime, Submission, Told, Wish};
use crate::trace::Hasher;

/// What producers have submitted.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    names: BTreeMap<Name, Vec<Entry>>,
    /// Names in the order in which they are forgotten.
    order: VecDeque<(SimTime, Name, u64)>,
    calls: BTreeMap<u64, Asked>,
    /// By node: names that it may have taken in, and how far back it said that it no longer remembers.
    nodes: BTreeMap<u32, (u64, SimTime)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Id(u64),
    Key(u32, u64),
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
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { call, node, wish: Wish::Publish(submission), .. } => {
                self.submitted(facts, at, *call, *node, submission);
                Ok(())
            }
            Seen::Answered { call, told } => match self.calls.remove(call) {
                Some(asked) => self.answered(facts, at, *call, &asked, *told),
                None => Ok(()),
            },
            Seen::Noted { node, note: Note::WindowShrunk(age), .. } => {
                // The age is by the node's own clock, which may go a little faster.
                let until = SimTime(at.0.saturating_sub(age - age / 10));
                let node = self.nodes.entry(*node).or_default();
                node.1 = node.1.max(until);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn submitted(&mut self, facts: &Facts, at: SimTime, call: u64, node: u32, submission: &Submission<'_>) {
        let id = Name::Id(submission.event);
        let key = submission.idempotency.map(|key| Name::Key(submission.tenant, key));
        let content = digest(submission);
        self.calls.insert(call, Asked { node, id, key, content });
        let nth = &mut self.nodes.entry(node).or_default().0;
        let incarnation = facts.node(node).incarnation;
        for name in [Some(id), key].into_iter().flatten() {
            *nth += 1;
            let entry = Entry { call, content, at, incarnation, nth: *nth, sure: false };
            // Nearly all names are submitted once, and a day of them is kept.
            self.names.entry(name).or_insert_with(|| Vec::with_capacity(1)).push(entry);
            self.order.push_back((at, name, call));
        }
        self.forget(facts, at);
    }

    fn answered(&mut self, facts: &Facts, at: SimTime, call: u64, asked: &Asked, told: Told) -> Result<(), Broken> {
        let what = || format!("{:?}{}", asked.id, asked.key.map_or_else(String::new, |key| format!(" with {key:?}")));
        let before = |name: Name| {
            let entries = self.names.get(&name).map_or(&[][..], Vec::as_slice);
            entries.iter().filter(move |entry| entry.call < call)
        };
        let names = || [Some(asked.id), asked.key].into_iter().flatten();
        let mut earlier = names().flat_map(before);
        match told {
            Told::Ok { fresh: true } => {
                let known = earlier.find(|entry| entry.sure && self.is_remembered(facts, at, asked.node, entry));
                if let Some(known) = known {
                    let since = known.at;
                    return Err(Broken::new(14, format!("{} was accepted at {since}, and now once more", what())));
                }
                for name in names() {
                    let entries = self.names.get_mut(&name).into_iter().flatten();
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
                self.drop_call(call, asked);
            }
            Told::Refused(_) => self.drop_call(call, asked),
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

    fn drop_call(&mut self, call: u64, asked: &Asked) {
        for name in [Some(asked.id), asked.key].into_iter().flatten() {
            if let Some(entries) = self.names.get_mut(&name) {
                entries.retain(|entry| entry.call != call);
            }
        }
    }

    fn forget(&mut self, facts: &Facts, at: SimTime) {
        let window = facts.rules().window;
        while let Some((since, name, call)) = self.order.front().copied()
            && at.since(since) > window
        {
            self.order.pop_front();
            if let Some(entries) = self.names.get_mut(&name) {
                entries.retain(|entry| entry.call != call);
                if entries.is_empty() {
                    self.names.remove(&name);
                }
            }
        }
    }
}

/// A number that two submissions share exactly when their contents are the same, but for one chance in 2^64.
fn digest(submission: &Submission<'_>) -> u64 {
    let mut hasher = Hasher::default();
    hasher.number(submission.tenant.into());
    hasher.bytes(submission.event_type.as_bytes());
    hasher.bytes(submission.payload);
    hasher.number(submission.expires.is_some().into());
    hasher.number(submission.expires.unwrap_or(0));
    let hash = hasher.finish();
    (hash >> 64) as u64 ^ hash as u64
}

//! What is known of an event, an attempt, an endpoint, where it is to be held against what a node tells of them later.

use super::book::Book;
use crate::observe::{Came, Fate, Filter, SimTime, Spec};
use crate::trace::Hasher;

/// Bytes of an answer that are kept.
const ANSWER: usize = 1024;

/// An event.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) node: u32,
    pub(super) tenant: u32,
    /// Digests of its contents, and the lengths of their payloads: what was submitted and not refused.
    pub(super) contents: [Option<(u64, u64)>; 2],
    /// When it was submitted, by the node's wall clock, if that was only once.
    pub(super) accepted: Option<u64>,
    /// The first submission; 0 when there was none.
    pub(super) first: u64,
    pub(super) since: SimTime,
    /// The last submission that the node may have taken as new.
    pub(super) life: u64,
    /// Somebody was told that it is safe.
    pub(super) sure: bool,
    /// The node may have taken it as new more than once.
    pub(super) again: bool,
    pub(super) cancelled: bool,
    /// Wishes to forget it.
    pub(super) erased: Wished,
    /// The node told that all of it has ended: not before the first of these times of its wall clock and not after the
    /// second.
    pub(super) ended: Option<(u64, u64)>,
    /// The latest time that belongs to it.
    pub(super) latest: u64,
    /// Its last attempt.
    pub(super) last: u64,
}

/// Ticks of the last wish, and of the last one that was confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wished {
    pub(super) asked: u64,
    pub(super) sure: u64,
}

/// An attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) event: u64,
    pub(super) endpoint: u32,
    pub(super) number: u16,
    /// The attempt of this event before it; 0 for none.
    pub(super) before: u64,
    pub(super) node: u32,
    pub(super) incarnation: u32,
    /// When the node was told of its end.
    pub(super) tick: u64,
    pub(super) at: u64,
    pub(super) came: Came,
    /// The node did not wait for that, or gave it up.
    pub(super) late: bool,
    /// What the node told of it.
    pub(super) told: Option<Fate>,
    /// The digest of the answer, where it is kept.
    pub(super) answer: Option<u64>,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: u32,
    pub(super) tenant: u32,
    pub(super) patterns: Vec<String>,
    pub(super) filter: Option<Filter>,
    pub(super) keeps_answers: bool,
    /// When it was last removed, taken out of service or described in another way, if ever: what it got before may have
    /// lost its name. Nodes know the names of all that they know of their endpoints, and of what has happened since they
    /// came up.
    pub(super) renamed: Option<u64>,
    /// It was described in another way before, so that any further description may be another one.
    altered: bool,
    /// Attempts that ended a delivery.
    pub(super) closed: Closed,
}

/// Attempts by the order in which they were seen to end a delivery, which mostly is that of the times at which they ended.
#[derive(Debug, Default)]
pub(super) struct Closed {
    attempts: Book<u64>,
    latest: u64,
    mixed: bool,
}

impl Closed {
    /// One more, which ended at this time.
    pub(super) fn push(&mut self, attempt: u64, at: u64) {
        self.mixed |= at < self.latest;
        self.latest = at.max(self.latest);
        self.attempts.push(attempt);
    }

    /// The time at which one of them ended is another now.
    pub(super) fn moved(&mut self) {
        self.mixed = true;
    }

    /// Those that ended at or after the first time and before the second; `of` knows when each did.
    pub(super) fn within(&self, from: u64, to: u64, of: impl Fn(u64) -> Option<u64>) -> impl Iterator<Item = u64> {
        let is_before = |time: u64, attempt: &u64| of(*attempt).is_some_and(|at| at < time);
        let places = match self.mixed {
            true => 0..self.attempts.len(),
            false => {
                let point = |time| self.attempts.partition_point(|attempt| is_before(time, attempt));
                point(from)..point(to)
            }
        };
        let within = move |attempt: &u64| of(*attempt).is_some_and(|at| (from..to).contains(&at));
        places.map(|place| self.attempts[place]).filter(within)
    }
}

impl Place {
    /// An endpoint that is registered for the first time.
    pub(super) fn new(node: u32, spec: &Spec) -> Self {
        Self {
            node,
            tenant: spec.tenant,
            patterns: spec.patterns.clone(),
            filter: spec.filter,
            keeps_answers: spec.keeps_answers,
            renamed: None,
            altered: false,
            closed: Closed::default(),
        }
    }

    /// It is described, perhaps in another way.
    pub(super) fn put(&mut self, tick: u64, spec: &Spec) {
        self.altered |= self.patterns != spec.patterns || self.filter != spec.filter;
        if self.altered || self.keeps_answers != spec.keeps_answers {
            self.renamed = Some(tick);
        }
    }

    /// The digest of what is kept of an answer.
    pub(super) fn kept_of(&self, body: &[u8]) -> Option<u64> {
        (self.keeps_answers && !body.is_empty()).then(|| digest(&[&body[..body.len().min(ANSWER)]]))
    }
}

impl Story {
    /// Whether this is a type and a payload that it was submitted with.
    pub(super) fn is_content(&self, event_type: &str, payload: &[u8]) -> bool {
        let digest = digest(&[event_type.as_bytes(), payload]);
        self.contents.iter().flatten().any(|(other, _)| *other == digest)
    }

    /// Whether a payload that it was submitted with has so many bytes.
    pub(super) fn is_length(&self, len: u64) -> bool {
        self.contents.iter().flatten().any(|(_, other)| *other == len)
    }
}

impl Tried {
    /// Whether this is the digest of what must be kept of its answer.
    pub(super) fn is_answer(&self, kept: &[u8]) -> bool {
        self.answer == Some(digest(&[kept]))
    }
}

pub(super) fn digest(parts: &[&[u8]]) -> u64 {
    let mut hasher = Hasher::default();
    parts.iter().for_each(|part| hasher.bytes(part));
    let hash = hasher.finish();
    (hash >> 64) as u64 ^ hash as u64
}

/// Every number in `bytes` that stands between these.
pub(super) fn numbers<'a>(bytes: &'a [u8], before: &'a [u8], behind: u8) -> impl Iterator<Item = u64> + 'a {
    let begins = bytes.windows(before.len()).enumerate().filter(move |(_, window)| *window == before);
    begins.filter_map(move |(at, _)| {
        let rest = &bytes[at + before.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_whole = rest.get(digits) == Some(&behind);
        str::from_utf8(&rest[..digits]).ok().filter(|_| is_whole)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_order_or_not() {
        let mut times: Vec<u64> = (0..2000).map(|n| n / 3).collect();
        let mut closed = Closed::default();
        let all = |closed: &Closed, times: &[u64], from, to| {
            let of = |attempt: u64| times.get(attempt as usize).copied();
            let found: Vec<_> = closed.within(from, to, of).collect();
            let right = (0..times.len()).filter(|n| (from..to).contains(&times[*n])).map(|n| n as u64);
            assert!(right.eq(found), "{from} to {to}");
        };
        for (attempt, at) in (0..).zip(&times) {
            closed.push(attempt, *at);
        }
        for (from, to) in [(0, u64::MAX), (0, 0), (5, 5), (7, 400), (400, 7), (300, 10_000), (666, 667), (700, 800)] {
            all(&closed, &times, from, to);
        }
        times[3] = 650;
        closed.moved();
        all(&closed, &times, 640, 660);
        times.push(1);
        closed.push(2000, 1);
        all(&closed, &times, 0, 3);
    }
}

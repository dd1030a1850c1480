//! The search for a pattern that nearly names a type.

use alloc::collections::{BTreeSet, BinaryHeap};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound::{Excluded, Included, Unbounded};

use super::super::near::{self, Distance};
use super::super::{EventType, NearMiss, NearMissReason, Pattern};
use super::trie::{ROOT, Trie};

/// Nodes visited by one search. A visit looks at no more than a few dozen children.
const VISITS: usize = 1024;

/// Patterns compared by one search.
const COMPARED: usize = 64;

/// Exact children looked at on each side of where a segment would stand among them.
const SIBLINGS: usize = 8;

/// Places further off than this are not visited. Like the measures below, which set the order of visits, it belongs to
/// the search only.
const FARTHEST: u8 = 4;
/// How far off a segment in other case takes the search.
const OTHER_CASE: u8 = 1;
/// How far off it is to let a pattern skip segments that it does not skip.
const SKIPPED: u8 = 1;
/// How far off a part beyond the end of the type is.
const BEYOND: u8 = 1;
/// How far off a segment is that has nothing in common with the type's.
const DIFFERENT: u8 = 3;

/// Visits the tree from the root, always going on at the place that is least far from the type, and compares the
/// patterns that it meets.
pub(super) fn nearest(trie: &Trie, event_type: &str) -> Option<NearMiss> {
    let segments: Vec<&str> = event_type.split('.').take(near::SEGMENTS + 1).collect();
    if segments.len() > near::SEGMENTS {
        return None;
    }
    let mut search = Search { trie, segments, steps: Vec::new(), queue: BinaryHeap::new() };
    let (mut visited, mut compared) = (BTreeSet::new(), BTreeSet::new());
    let mut best: Option<(Distance, Pattern, NearMissReason)> = None;
    search.stride(None, "", ROOT, 0, 0);
    for _ in 0..VISITS {
        let Some(Reverse((far, step))) = search.queue.pop() else { break };
        let Step { node, taken, .. } = search.steps[step];
        if !visited.insert((node, taken)) {
            continue;
        }
        if trie.list(node).is_some() && compared.insert(node) {
            let pattern = search.pattern(step);
            if let Some((distance, why)) = near::compare(&pattern, event_type)
                && best.as_ref().is_none_or(|(least, ..)| distance < *least)
            {
                best = Some((distance, pattern, why));
            }
            if compared.len() == COMPARED {
                break;
            }
        }
        search.expand(far, step);
    }
    let (_, pattern, why) = best?;
    let event_type = EventType::new(event_type).expect("the type was checked before the search");
    Some(NearMiss { pattern, event_type, why })
}

/// A node reached after some segments of the type, and the way to it.
struct Step<'t> {
    before: Option<usize>,
    part: &'t str,
    node: u32,
    taken: usize,
}

struct Search<'t, 's> {
    trie: &'t Trie,
    segments: Vec<&'s str>,
    steps: Vec<Step<'t>>,
    /// The steps not yet visited, the least far and then the oldest first.
    queue: BinaryHeap<Reverse<(u8, usize)>>,
}

impl<'t> Search<'t, '_> {
    fn stride(&mut self, before: Option<usize>, part: &'t str, node: u32, taken: usize, far: u8) {
        if far <= FARTHEST {
            self.steps.push(Step { before, part, node, taken });
            self.queue.push(Reverse((far, self.steps.len() - 1)));
        }
    }

    /// Takes every stride that is worth it from here.
    fn expand(&mut self, far: u8, step: usize) {
        let Step { node, taken, part, .. } = self.steps[step];
        if let Some(deep) = self.trie.deep(node) {
            self.stride(Some(step), "**", deep, taken, far);
        }
        let Some(segment) = self.segments.get(taken).copied() else {
            return self.beyond(far, step);
        };
        if let Some(star) = self.trie.star(node) {
            self.stride(Some(step), "*", star, taken + 1, far);
            // As if the `*` were a `**`: it may take none, or all but one for each part that follows.
            self.stride(Some(step), "*", star, taken, far + SKIPPED);
            for more in taken + 2..=self.segments.len() {
                self.stride(Some(step), "*", star, more, far + SKIPPED);
            }
        }
        self.alike(far, step, segment);
        // A `**` takes any number of segments; at the root, a pattern may name the end of the type only.
        if part == "**" || node == ROOT {
            let skipped = if part == "**" { far } else { far + SKIPPED };
            for later in taken + 1..self.segments.len() {
                if let Some((part, child)) = self.trie.exact(node).get_key_value(self.segments[later]) {
                    self.stride(Some(step), part, *child, later + 1, skipped);
                }
            }
        }
    }

    /// Strides to the exact children that are the segment, or like it, or stand near it in order.
    fn alike(&mut self, far: u8, step: usize, segment: &str) {
        let Step { node, taken, .. } = self.steps[step];
        let children = self.trie.exact(node);
        let spelt = [segment.to_ascii_lowercase(), segment.to_ascii_uppercase(), capitalised(segment)];
        let spelt = spelt.iter().filter_map(|other| children.get_key_value(other.as_str()));
        let below = children.range::<str, _>((Unbounded, Excluded(segment))).rev().take(SIBLINGS);
        let above = children.range::<str, _>((Included(segment), Unbounded)).take(SIBLINGS + 1);
        let mut seen = BTreeSet::new();
        for (part, child) in children.get_key_value(segment).into_iter().chain(spelt).chain(below).chain(above) {
            if !seen.insert(*child) {
                continue;
            }
            let more = if **part == *segment {
                0
            } else if part.eq_ignore_ascii_case(segment) {
                OTHER_CASE
            } else {
                near::slip(part, segment).map_or(DIFFERENT, |edits| edits.min(2) as u8)
            };
            self.stride(Some(step), part, *child, taken + 1, far + more);
            if more == DIFFERENT {
                // The pattern may begin earlier than the type.
                self.stride(Some(step), part, *child, taken, far + more);
            }
        }
    }

    /// Strides where the type has ended: the pattern goes on.
    fn beyond(&mut self, far: u8, step: usize) {
        let Step { node, taken, .. } = self.steps[step];
        if let Some(star) = self.trie.star(node) {
            self.stride(Some(step), "*", star, taken, far + BEYOND);
        }
        for (part, child) in self.trie.exact(node).iter().take(SIBLINGS) {
            self.stride(Some(step), part, *child, taken, far + BEYOND);
        }
    }

    /// The pattern that ends at this step.
    fn pattern(&self, step: usize) -> Pattern {
        let way = core::iter::successors(Some(step), |step| self.steps[*step].before);
        let mut parts: Vec<&str> = way.map(|step| self.steps[step].part).collect();
        parts.pop();
        parts.reverse();
        Pattern::parse(&parts.join(".")).expect("the tree holds patterns")
    }
}

fn capitalised(segment: &str) -> String {
    let mut text = segment.to_ascii_lowercase();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

//! Patterns as a tree by segments.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::super::Pattern;
use super::list::Lists;

/// No node, or no list.
const NONE: u32 = u32::MAX;

/// The node that stands for no segments. It is never freed.
pub(super) const ROOT: u32 = 0;

/// A node stands for the beginning of patterns: the parts on the way to it from the root.
#[derive(Debug)]
struct Node {
    exact: BTreeMap<Box<str>, u32>,
    /// The child for `*`.
    star: u32,
    /// The child for `**`. In canonical patterns a `**` is followed by an exact segment or by nothing, so such a child
    /// has no `star` and no `deep` itself.
    deep: u32,
    /// The subscriptions whose pattern ends here. It has live numbers, or there is none.
    list: u32,
}

impl Node {
    const EMPTY: Self = Self { exact: BTreeMap::new(), star: NONE, deep: NONE, list: NONE };

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.star == NONE && self.deep == NONE && self.list == NONE
    }

    fn child(&self, part: &str) -> Option<u32> {
        match part {
            "*" => some(self.star),
            "**" => some(self.deep),
            exact => self.exact.get(exact).copied(),
        }
    }

    fn attach(&mut self, part: &str, child: u32) {
        match part {
            "*" => self.star = child,
            "**" => self.deep = child,
            exact => {
                self.exact.insert(exact.into(), child);
            }
        }
    }

    fn detach(&mut self, part: &str) {
        match part {
            "*" => self.star = NONE,
            "**" => self.deep = NONE,
            exact => {
                self.exact.remove(exact);
            }
        }
    }
}

/// The segments of a type: short ones, so each is found byte by byte.
#[derive(Clone)]
struct Segments<'t> {
    rest: Option<&'t str>,
}

impl Segments<'_> {
    const fn is_over(&self) -> bool {
        self.rest.is_none()
    }
}

impl<'t> Iterator for Segments<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let rest = self.rest?;
        let (segment, behind) = match rest.bytes().position(|byte| byte == b'.') {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        self.rest = behind;
        Some(segment)
    }
}

/// Nodes, of which there are seldom more than have room here.
#[derive(Default)]
struct Few {
    here: [u32; 6],
    len: usize,
    /// All of them, when there are more.
    many: Vec<u32>,
}

impl Few {
    fn push(&mut self, node: u32) {
        match self.here.get_mut(self.len) {
            Some(place) => *place = node,
            None => {
                if self.many.is_empty() {
                    self.many.extend(self.here);
                }
                self.many.push(node);
            }
        }
        self.len += 1;
    }

    fn as_slice(&self) -> &[u32] {
        if self.many.is_empty() { &self.here[..self.len] } else { &self.many }
    }

    fn as_mut_slice(&mut self) -> &mut [u32] {
        if self.many.is_empty() { &mut self.here[..self.len] } else { &mut self.many }
    }
}

/// The patterns of an index. Every node but the root leads to a list.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: Vec::from([Node::EMPTY]), free: Vec::new() }
    }
}

impl Trie {
    /// The list of this pattern, made if there is none. The caller pushes to it before anything else happens.
    pub(super) fn list_of(&mut self, pattern: &Pattern, lists: &mut Lists) -> u32 {
        let mut at = ROOT;
        for part in pattern.parts() {
            at = match self.node(at).child(part) {
                Some(child) => child,
                None => {
                    let child = self.alloc();
                    self.node_mut(at).attach(part, child);
                    child
                }
            };
        }
        let node = self.node_mut(at);
        if node.list == NONE {
            node.list = lists.alloc();
        }
        node.list
    }

    /// Removes a number from the list of this pattern, then the list if it is empty, then the nodes that lead nowhere.
    pub(super) fn remove(&mut self, pattern: &Pattern, number: u32, lists: &mut Lists) -> bool {
        let mut path = Vec::new();
        let mut at = ROOT;
        for part in pattern.parts() {
            let Some(child) = self.node(at).child(part) else { return false };
            path.push((at, part));
            at = child;
        }
        let list = self.node(at).list;
        if list == NONE || !lists[list].remove(number) {
            return false;
        }
        if lists[list].live() == 0 {
            lists.free(list);
            self.node_mut(at).list = NONE;
            self.prune(at, path);
        }
        true
    }

    /// The lists of all patterns that name this type, each once.
    ///
    /// All patterns are followed at once, a segment at a time. `fixed` are the nodes that stand for exactly the segments
    /// so far; being a tree, each is reached by one way only. `deep` are `**` nodes, ascending: once reached, they stand
    /// for every longer beginning too.
    pub(super) fn resolve(&self, event_type: &str) -> Vec<u32> {
        let (at, mut segments) = self.narrow(event_type);
        let Some(at) = at else { return Vec::new() };
        if segments.is_over() && self.deep(at).is_none() {
            return self.list(at).into_iter().collect();
        }
        let (mut fixed, mut deep) = (Few::default(), Few::default());
        fixed.push(at);
        self.deepen(&fixed, &mut deep);
        for segment in segments.by_ref() {
            let mut next = Few::default();
            for at in fixed.as_slice() {
                let node = self.node(*at);
                some(node.star).into_iter().for_each(|child| next.push(child));
                node.exact.get(segment).into_iter().for_each(|child| next.push(*child));
            }
            let behind = deep.as_slice().iter().filter_map(|at| self.node(*at).exact.get(segment));
            behind.for_each(|child| next.push(*child));
            fixed = next;
            self.deepen(&fixed, &mut deep);
        }
        fixed.as_slice().iter().chain(deep.as_slice()).filter_map(|at| self.list(*at)).collect()
    }

    /// Follows a type as far as there is one way to go, which is all of it for most: the node there, if there is one, and
    /// the segments behind it.
    fn narrow<'t>(&self, event_type: &'t str) -> (Option<u32>, Segments<'t>) {
        let (mut at, mut segments) = (ROOT, Segments { rest: Some(event_type) });
        loop {
            let node = self.node(at);
            let mut behind = segments.clone();
            let Some(segment) = behind.next().filter(|_| node.deep == NONE) else { return (Some(at), segments) };
            at = match (node.exact.get(segment), some(node.star)) {
                (Some(_), Some(_)) => return (Some(at), segments),
                (Some(child), None) => *child,
                (None, Some(star)) => star,
                (None, None) => return (None, behind),
            };
            segments = behind;
        }
    }

    /// Whether there are no patterns.
    pub(super) fn is_empty(&self) -> bool {
        self.node(ROOT).is_empty()
    }

    /// The list of the pattern that ends at this node.
    pub(super) fn list(&self, at: u32) -> Option<u32> {
        some(self.node(at).list)
    }

    /// The child for `*`.
    pub(super) fn star(&self, at: u32) -> Option<u32> {
        some(self.node(at).star)
    }

    /// The child for `**`.
    pub(super) fn deep(&self, at: u32) -> Option<u32> {
        some(self.node(at).deep)
    }

    /// The children for exact segments.
    pub(super) fn exact(&self, at: u32) -> &BTreeMap<Box<str>, u32> {
        &self.node(at).exact
    }

    /// How many nodes are in use, the root included.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Adds the `**` children of these nodes to the ascending set `deep`.
    fn deepen(&self, fixed: &Few, deep: &mut Few) {
        for child in fixed.as_slice().iter().filter_map(|at| self.deep(*at)) {
            if let Err(place) = deep.as_slice().binary_search(&child) {
                deep.push(child);
                deep.as_mut_slice()[place..].rotate_right(1);
            }
        }
    }

    fn alloc(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::EMPTY);
            u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes")
        })
    }

    /// Frees the node at the end of the path and those above it, as far as they lead nowhere.
    fn prune(&mut self, mut at: u32, mut path: Vec<(u32, &str)>) {
        while self.node(at).is_empty()
            && let Some((parent, part)) = path.pop()
        {
            self.free.push(at);
            self.node_mut(parent).detach(part);
            at = parent;
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }
}

fn some(id: u32) -> Option<u32> {
    (id != NONE).then_some(id)
}

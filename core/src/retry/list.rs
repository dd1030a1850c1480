//! Lists whose links lie in the caller's slab.

use core::fmt;
use core::marker::PhantomData;

/// What a node of a slab holds for one list or wheel that it may be in: 8 bytes.
///
/// A node is in at most one list or wheel by the same link, and knows whether it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    /// The link of a node that is nowhere. Every node starts with it.
    pub const FREE: Self = Self { prev: FREE, next: FREE };

    /// The largest handle that a node may have.
    pub const MAX_HANDLE: u32 = FREE - 1;

    /// Whether the node is nowhere.
    pub const fn is_free(self) -> bool {
        self.prev == FREE
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::FREE
    }
}

/// Stands for the end of a list.
const NIL: u32 = u32::MAX;

/// Stands in both fields of a node that is nowhere.
const FREE: u32 = NIL - 1;

/// A slab of nodes, each known by a handle and holding a [`Link`].
///
/// `K` names the link where a node has several, so that it can be in several lists at once: implement the trait once
/// for each, with an empty type of your own as its name. Handles are at most [`Link::MAX_HANDLE`]; for one that no
/// node has, an implementation may panic, because none is asked for that was not given.
pub trait Links<K = ()> {
    /// The node's link.
    fn link(&self, handle: u32) -> Link;

    /// The node's link, to be changed by the list alone.
    fn link_mut(&mut self, handle: u32) -> &mut Link;
}

/// A doubly linked list, first in first out, over nodes that lie in the caller's slab: 12 bytes, and no memory for an
/// entry. Each operation but [`iter`](Self::iter) is O(1).
///
/// Give one list the same slab every time. Pushing a node that is somewhere already by the same link, or removing one
/// that is nowhere, is a bug of the caller and panics; removing one that is in another list is not detected.
///
/// ```
/// use postrider_core::retry::{Link, Links, List};
///
/// struct Slab(Vec<Link>);
///
/// impl Links for Slab {
///     fn link(&self, handle: u32) -> Link { self.0[handle as usize] }
///     fn link_mut(&mut self, handle: u32) -> &mut Link { &mut self.0[handle as usize] }
/// }
///
/// let mut slab = Slab(vec![Link::FREE; 3]);
/// let mut list: List = List::new();
/// for handle in [2, 0, 1] {
///     list.push_back(&mut slab, handle);
/// }
/// list.remove(&mut slab, 0);
/// assert_eq!(list.pop_front(&mut slab), Some(2));
/// assert_eq!(list.iter(&slab).collect::<Vec<_>>(), [1]);
/// ```
pub struct List<K = ()> {
    ends: Ends,
    len: u32,
    links: PhantomData<fn() -> K>,
}

impl<K> List<K> {
    /// An empty list.
    pub const fn new() -> Self {
        Self { ends: Ends::EMPTY, len: 0, links: PhantomData }
    }

    /// Adds a node at the end.
    pub fn push_back(&mut self, nodes: &mut impl Links<K>, handle: u32) {
        self.ends.push_back(nodes, handle);
        self.len += 1;
    }

    /// Adds a node at the start, for one that was taken and is given back.
    pub fn push_front(&mut self, nodes: &mut impl Links<K>, handle: u32) {
        self.ends.push_front(nodes, handle);
        self.len += 1;
    }

    /// Takes the first node, if there is one.
    pub fn pop_front(&mut self, nodes: &mut impl Links<K>) -> Option<u32> {
        let handle = self.ends.pop_front(nodes)?;
        self.len -= 1;
        Some(handle)
    }

    /// Takes a node of this list from wherever in it it is.
    pub fn remove(&mut self, nodes: &mut impl Links<K>, handle: u32) {
        self.ends.unlink(nodes, handle);
        self.len -= 1;
    }

    /// The first node, if there is one.
    pub fn front(&self) -> Option<u32> {
        self.ends.front()
    }

    /// The node after `handle`, a node of this list; a way to walk the list while the slab is changed.
    pub fn after(&self, nodes: &impl Links<K>, handle: u32) -> Option<u32> {
        some(nodes.link(handle).next)
    }

    /// The nodes in order.
    pub fn iter<'a, N: Links<K>>(&self, nodes: &'a N) -> impl Iterator<Item = u32> + use<'a, N, K> {
        core::iter::successors(self.front(), |handle| some(nodes.link(*handle).next))
    }

    /// How many nodes it has.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no nodes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for List<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("front", &self.front()).field("len", &self.len).finish()
    }
}

/// The two ends of a list that does not know its length.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    head: u32,
    tail: u32,
}

impl Ends {
    pub(super) const EMPTY: Self = Self { head: NIL, tail: NIL };

    pub(super) fn push_back<K>(&mut self, nodes: &mut impl Links<K>, handle: u32) {
        let link = nodes.link_mut(handle);
        assert!(link.is_free(), "node {handle} is in a list already");
        *link = Link { prev: self.tail, next: NIL };
        match some(self.tail) {
            Some(tail) => nodes.link_mut(tail).next = handle,
            None => self.head = handle,
        }
        self.tail = handle;
    }

    fn push_front<K>(&mut self, nodes: &mut impl Links<K>, handle: u32) {
        let link = nodes.link_mut(handle);
        assert!(link.is_free(), "node {handle} is in a list already");
        *link = Link { prev: NIL, next: self.head };
        match some(self.head) {
            Some(head) => nodes.link_mut(head).prev = handle,
            None => self.tail = handle,
        }
        self.head = handle;
    }

    pub(super) fn pop_front<K>(&mut self, nodes: &mut impl Links<K>) -> Option<u32> {
        let handle = self.front()?;
        self.unlink(nodes, handle);
        Some(handle)
    }

    /// Takes a node out. The ends change only if the node is one of them, so for others any list's will do.
    pub(super) fn unlink<K>(&mut self, nodes: &mut impl Links<K>, handle: u32) {
        let link = core::mem::take(nodes.link_mut(handle));
        assert!(!link.is_free(), "node {handle} is in no list");
        match some(link.prev) {
            Some(prev) => nodes.link_mut(prev).next = link.next,
            None => self.head = link.next,
        }
        match some(link.next) {
            Some(next) => nodes.link_mut(next).prev = link.prev,
            None => self.tail = link.prev,
        }
    }

    pub(super) fn front(&self) -> Option<u32> {
        some(self.head)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// Whether the node is the first or the last.
    pub(super) const fn is_end(&self, handle: u32) -> bool {
        self.head == handle || self.tail == handle
    }
}

fn some(handle: u32) -> Option<u32> {
    (handle != NIL).then_some(handle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const NODES: u32 = 24;

    /// Nodes with two links: those of even and odd lists.
    struct Slab(Vec<[Link; 2]>);

    struct Even;
    struct Odd;

    impl Links<Even> for Slab {
        fn link(&self, handle: u32) -> Link {
            self.0[handle as usize][0]
        }
        fn link_mut(&mut self, handle: u32) -> &mut Link {
            &mut self.0[handle as usize][0]
        }
    }

    impl Links<Odd> for Slab {
        fn link(&self, handle: u32) -> Link {
            self.0[handle as usize][1]
        }
        fn link_mut(&mut self, handle: u32) -> &mut Link {
            &mut self.0[handle as usize][1]
        }
    }

    /// One list with the queue that it should equal.
    struct Pair<K> {
        list: List<K>,
        model: VecDeque<u32>,
    }

    impl<K> Pair<K>
    where
        Slab: Links<K>,
    {
        fn new() -> Self {
            Self { list: List::new(), model: VecDeque::new() }
        }

        fn step(&mut self, slab: &mut Slab, op: u8, handle: u32) {
            match (op % 4, Links::<K>::link(slab, handle).is_free()) {
                (0, _) => assert_eq!(self.list.pop_front(slab), self.model.pop_front()),
                (1, true) => {
                    self.list.push_front(slab, handle);
                    self.model.push_front(handle);
                }
                (_, true) => {
                    self.list.push_back(slab, handle);
                    self.model.push_back(handle);
                }
                (_, false) => {
                    self.list.remove(slab, handle);
                    self.model.retain(|other| *other != handle);
                }
            }
            self.check(slab);
        }

        fn check(&self, slab: &Slab) {
            assert!(self.list.iter(slab).eq(self.model.iter().copied()));
            assert_eq!((self.list.len(), self.list.is_empty()), (self.model.len(), self.model.is_empty()));
            assert_eq!(self.list.front(), self.model.front().copied());
            for handle in 0..NODES {
                let place = self.model.iter().position(|other| *other == handle);
                assert_eq!(Links::<K>::link(slab, handle).is_free(), place.is_none());
                if let Some(place) = place {
                    assert_eq!(self.list.after(slab, handle), self.model.get(place + 1).copied());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn lists_are_queues(ops in prop::collection::vec((any::<u8>(), 0..NODES), 0..200)) {
            let mut slab = Slab(vec![[Link::FREE; 2]; NODES as usize]);
            let (mut even, mut odd) = (Pair::<Even>::new(), Pair::<Odd>::new());
            for (op, handle) in ops {
                if op % 8 < 4 { even.step(&mut slab, op, handle) } else { odd.step(&mut slab, op, handle) }
            }
            even.check(&slab);
            odd.check(&slab);
        }
    }

    #[test]
    fn sizes() {
        assert_eq!((size_of::<Link>(), size_of::<List>()), (8, 12));
    }

    #[test]
    #[should_panic(expected = "node 1 is in a list already")]
    fn a_node_is_in_one_list() {
        let mut slab = Slab(vec![[Link::FREE; 2]; 2]);
        List::<Even>::new().push_back(&mut slab, 1);
        List::<Even>::new().push_back(&mut slab, 1);
    }
}

//! A place in the stream of subscriptions that want a type.

use alloc::boxed::Box;

use super::list::Lists;

/// Lists that a cursor holds without memory of its own on the heap.
const INLINE: usize = 4;

/// A place in the ascending stream of the subscriptions that want one event type, made by
/// [`Index::cursor`](super::Index::cursor) and advanced by [`Index::next`](super::Index::next).
///
/// It borrows nothing, so the index may change between two steps. It yields every subscription that is live from the
/// making of the cursor until the cursor passes its number, each once, and none at or above the high water. One that is
/// removed before its turn is left out.
///
/// It holds 12 bytes for each matching pattern, up to 4 of them inline.
#[derive(Clone, Debug)]
pub struct Cursor {
    at: Option<u32>,
    high_water: u32,
    legs: Legs,
}

impl Cursor {
    /// The number given last, or gone on after by [`Self::seek_after`].
    pub fn at(&self) -> Option<u32> {
        self.at
    }

    /// The numbers given are below this one.
    pub fn high_water(&self) -> u32 {
        self.high_water
    }

    /// Goes on after this number, whether or not it was ever given: for restoring a stream from the number noted last.
    /// O(k) now and O(k log n) at the next step, for k matching patterns.
    pub fn seek_after(&mut self, number: u32) {
        self.at = Some(number);
        self.legs.as_mut().iter_mut().for_each(|leg| leg.position = Leg::UNKNOWN);
    }

    pub(super) fn new(high_water: u32, lists: &[u32], all: &Lists) -> Self {
        let leg = |list: u32| Leg { list, generation: all[list].generation(), position: 0 };
        let legs = if lists.len() <= INLINE {
            let mut legs = [Leg::UNUSED; INLINE];
            legs.iter_mut().zip(lists).for_each(|(place, list)| *place = leg(*list));
            Legs::Inline { used: lists.len() as u8, legs }
        } else {
            Legs::Heap(lists.iter().map(|list| leg(*list)).collect())
        };
        Self { at: None, high_water, legs }
    }

    /// The next live number: the least that stands next in any of the lists. A step costs O(k) for k lists.
    pub(super) fn advance(&mut self, lists: &Lists) -> Option<u32> {
        let mut least = None;
        for leg in self.legs.as_mut() {
            if let Some(number) = leg.peek(self.at, lists)
                && number < self.high_water
                && least.is_none_or(|least| number < least)
            {
                least = Some(number);
            }
        }
        if least.is_some() {
            self.at = least;
        }
        least
    }
}

/// The place in one list. The position is good while the list has the same generation.
#[derive(Clone, Copy, Debug)]
struct Leg {
    list: u32,
    generation: u32,
    position: u32,
}

impl Leg {
    const UNUSED: Self = Self { list: 0, generation: 0, position: Self::UNKNOWN };

    /// The position must be searched by number.
    const UNKNOWN: u32 = u32::MAX;

    /// The first live number of the list above `at`.
    fn peek(&mut self, at: Option<u32>, lists: &Lists) -> Option<u32> {
        let list = &lists[self.list];
        let mut position = if self.position == Self::UNKNOWN || self.generation != list.generation() {
            list.after(at)
        } else {
            self.position as usize
        };
        // A known position is at most one number behind: it may still be at the number that was given last.
        if let Some(last) = at
            && list.get(position).is_some_and(|number| number <= last)
        {
            position += 1;
        }
        position = list.live_from(position);
        self.generation = list.generation();
        self.position = u32::try_from(position).unwrap_or(Self::UNKNOWN);
        list.get(position)
    }
}

#[derive(Clone, Debug)]
enum Legs {
    Inline { used: u8, legs: [Leg; INLINE] },
    Heap(Box<[Leg]>),
}

impl Legs {
    fn as_mut(&mut self) -> &mut [Leg] {
        match self {
            Self::Inline { used, legs } => &mut legs[..usize::from(*used)],
            Self::Heap(legs) => legs,
        }
    }
}

const _: () = {
    const fn send<T: Send + 'static>() {}
    send::<Cursor>();
    assert!(size_of::<Cursor>() <= 72, "a cursor is kept for each event in fan-out");
};

//! How far fan-outs have come, by what the records tell: 16 bytes each, until it is known which go on.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::matching::EventType;
use crate::sender::jobs::Begun;

/// Fan-outs that are not known to be finished, by the numbers of their events.
#[derive(Debug, Default)]
pub(super) struct Fans {
    fans: Vec<Fan>,
    types: Vec<EventType>,
    by_type: BTreeMap<EventType, u32>,
    /// Subscriptions beyond the mark that are accounted for, ascending, of events with more than one.
    skip: BTreeMap<u32, Vec<u32>>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Fan {
    event_type: u32,
    high_water: u32,
    /// The last subscription passed.
    through: u32,
    /// A subscription beyond it that is accounted for, or one of two marks.
    skip: u32,
}

/// Of `Fan::skip`: none is accounted for. No subscription has this number.
const NONE: u32 = 0;
/// Of `Fan::skip`: there are several.
const SEVERAL: u32 = u32::MAX;
/// Of `Fan::event_type`: the fan-out is finished.
const FINISHED: u32 = u32::MAX;

const FREE: Fan = Fan { event_type: FINISHED, high_water: 0, through: 0, skip: NONE };

impl Fans {
    /// An event is to be fanned out.
    pub(super) fn begin(&mut self, job: u32, event_type: &EventType, high_water: u32) {
        let event_type = self.number(event_type);
        let at = job as usize;
        if at >= self.fans.len() {
            self.fans.resize(at + 1, FREE);
        }
        self.fans[at] = Fan { event_type, high_water, ..FREE };
    }

    fn number(&mut self, event_type: &EventType) -> u32 {
        if let Some(number) = self.by_type.get(event_type) {
            return *number;
        }
        let number = u32::try_from(self.types.len()).expect("there are no more types than events");
        self.types.push(event_type.clone());
        self.by_type.insert(event_type.clone(), number);
        number
    }

    /// An event passes no further subscription.
    pub(super) fn finish(&mut self, job: u32) {
        if let Some(fan) = self.fans.get_mut(job as usize) {
            if fan.skip == SEVERAL {
                self.skip.remove(&job);
            }
            *fan = FREE;
        }
    }

    fn open(&mut self, job: u32) -> Option<&mut Fan> {
        self.fans.get_mut(job as usize).filter(|fan| fan.event_type != FINISHED)
    }

    /// Whether an event has passed a subscription.
    pub(super) fn has_passed(&mut self, job: u32, subscription: u32) -> bool {
        self.open(job).is_none_or(|fan| subscription <= fan.through)
    }

    /// An event has passed its subscriptions up to this one.
    pub(super) fn pass(&mut self, job: u32, through: u32) {
        let Some(fan) = self.open(job) else { return };
        fan.through = through.max(fan.through);
        let through = fan.through;
        if fan.skip == SEVERAL {
            self.skip.entry(job).or_default().retain(|number| *number > through);
        } else if fan.skip <= through {
            fan.skip = NONE;
        }
    }

    /// A subscription beyond the mark is accounted for.
    pub(super) fn skip(&mut self, job: u32, subscription: u32) {
        let Some(fan) = self.open(job).filter(|fan| subscription > fan.through && subscription != fan.skip) else {
            return;
        };
        if fan.skip == NONE {
            fan.skip = subscription;
            return;
        }
        let first = core::mem::replace(&mut fan.skip, SEVERAL);
        let several = self.skip.entry(job).or_default();
        several.extend((first != SEVERAL).then_some(first));
        if let Err(place) = several.binary_search(&subscription) {
            several.insert(place, subscription);
        }
    }

    /// The lowest high-water mark of those that are not finished.
    pub(super) fn lowest(&self) -> Option<u32> {
        self.fans.iter().filter(|fan| fan.event_type != FINISHED).map(|fan| fan.high_water).min()
    }

    /// Those that are not finished.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = u32> + '_ {
        let open = self.fans.iter().enumerate().filter(|(_, fan)| fan.event_type != FINISHED);
        open.map(|(at, _)| u32::try_from(at).expect("it is the number of an event"))
    }

    /// What is known of one that is not finished: the number of its type, and how far it has come. Forgets it.
    pub(super) fn take(&mut self, job: u32) -> Option<(u32, Begun)> {
        let fan = self.fans.get_mut(job as usize).filter(|fan| fan.event_type != FINISHED)?;
        let Fan { event_type, high_water, through, skip } = core::mem::replace(fan, FREE);
        let skip = match skip {
            NONE => Vec::new(),
            SEVERAL => self.skip.remove(&job).unwrap_or_default(),
            one => alloc::vec![one],
        };
        Some((event_type, Begun { high_water, through, skip, ..Begun::default() }))
    }

    /// The type with this number.
    pub(super) fn event_type(&self, number: u32) -> &EventType {
        &self.types[number as usize]
    }

    /// All types, by their numbers.
    pub(super) fn into_types(self) -> Vec<EventType> {
        self.types
    }
}

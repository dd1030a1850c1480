//! Content filters of a tenant's endpoints, and which of them an event passes.
//!
//! Subscriptions without a filter are found by type while the fan-out goes on. Those with one are asked together, when
//! the event is accepted, and again where the answer is not known any more: after a restart, and behind every
//! [`MATCHED`](crate::limits::MATCHED) that match. The answer is that of the moment of acceptance each time, because
//! retired subscriptions stay in the indexes as long as a fan-out may see them, and later ones have higher numbers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Sender;
use super::drain::Step;
use super::jobs::{Body, Work};
use super::tenants::Tenant;
use crate::event::Event;
use crate::id::EventId;
use crate::limits;
use crate::matching::filter::{FilterIndex, Flat, TYPE};
use crate::matching::{Cursor, EventType, Index, Reach, Subscription};

/// Where the id of an event stands for filters.
const ID: &str = "id";

/// Where the payload of an event stands for filters, when it is JSON.
const DATA: &str = "data";

/// Endpoints counted one by one whose filters an event does not pass.
const COUNTED: usize = 256;

/// Subscriptions with a filter: by their types alone, and by types and content together.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    types: Index,
    filters: FilterIndex,
}

/// Which subscriptions with a filter want an event, as far as is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Matched {
    /// Nobody has asked, or what is known has been passed.
    #[default]
    Unasked,
    /// None.
    Nobody,
    /// These, ascending.
    These {
        numbers: Box<[u32]>,
        /// There may be more behind the last.
        more: bool,
    },
}

impl Matched {
    /// The answer, where `most` were asked for and these came.
    fn of(numbers: Vec<u32>) -> Self {
        let more = numbers.len() == limits::MATCHED;
        if numbers.is_empty() { Self::Nobody } else { Self::These { numbers: numbers.into(), more } }
    }

    /// The first behind the last subscription passed.
    pub(crate) fn after(&self, through: u32) -> Option<u32> {
        match self {
            Self::Unasked | Self::Nobody => None,
            Self::These { numbers, .. } => numbers.get(numbers.partition_point(|number| *number <= through)).copied(),
        }
    }

    /// Whether who comes behind the last subscription passed is not known.
    fn is_open(&self, through: u32) -> bool {
        match self {
            Self::Unasked => true,
            Self::Nobody => false,
            Self::These { more, .. } => *more && self.after(through).is_none(),
        }
    }
}

impl Tenant {
    /// Lets events find a subscription.
    pub(crate) fn subscribe(&mut self, number: u32, wants: &Subscription) {
        match wants.filter() {
            None => self.index.insert(number, wants),
            Some(filter) => {
                let filtered = self.filtered.get_or_insert_default();
                filtered.types.insert(number, wants);
                filtered.filters.insert(number, &filter.for_types(wants));
            }
        }
    }

    /// Takes a subscription out again; `wants` is what it was let in with.
    pub(crate) fn unsubscribe(&mut self, number: u32, wants: &Subscription) {
        match (wants.filter(), &mut self.filtered) {
            (None, _) => _ = self.index.remove(number, wants),
            (Some(_), Some(filtered)) => {
                filtered.types.remove(number, wants);
                filtered.filters.remove(number);
                if filtered.filters.is_empty() {
                    self.filtered = None;
                }
            }
            (Some(_), None) => {}
        }
    }

    /// Whether a subscription with a filter may want an event of this type, as far as its type goes: one behind `through`
    /// and below `high_water`, without those of `skip`.
    pub(crate) fn may_match(&self, event_type: &EventType, high_water: u32, through: u32, skip: &[u32]) -> bool {
        self.filtered.as_ref().is_some_and(|filtered| {
            filtered.by_type(event_type, high_water, through).any(|number| skip.binary_search(&number).is_err())
        })
    }
}

impl Filtered {
    /// The subscriptions that want the type, whatever their filters say.
    fn by_type(&self, event_type: &EventType, high_water: u32, through: u32) -> impl Iterator<Item = u32> {
        let mut cursor = self.types.cursor(event_type.as_str(), high_water);
        cursor.seek_after(through);
        core::iter::from_fn(move || self.types.next(&mut cursor))
    }

    /// The first of those that want type and content, from behind `through` on.
    fn by_content(&self, content: &Flat, high_water: u32, through: u32) -> Vec<u32> {
        let mut numbers = self.filters.matches_from(content, through.saturating_add(1), limits::MATCHED);
        numbers.truncate(numbers.partition_point(|number| *number < high_water));
        numbers
    }
}

impl Work {
    /// The next subscription that wants the event, with or without a filter.
    pub(crate) fn next(&self, index: &Index, cursor: &mut Cursor) -> Option<u32> {
        let Some(filtered) = self.matched.after(self.through) else { return index.next(cursor) };
        let before = cursor.clone();
        match index.next(cursor) {
            Some(number) if number < filtered => Some(number),
            Some(_) | None => {
                *cursor = before;
                Some(filtered)
            }
        }
    }
}

/// An event as filters see it: its id and its type as texts, and under `data` its payload. A payload that was not
/// published as JSON has no fields there, and neither has one that is nested deeper than
/// [`EVENT_DEPTH`](crate::matching::filter::bounds::EVENT_DEPTH): a filter that asks for a value there does not match, one
/// that asks for the absence of one does.
pub(super) fn flat(id: &str, event_type: &EventType, json: Option<&str>) -> Flat {
    let head = Flat::new().with_text(ID, id).and_then(|flat| flat.with_text(TYPE, event_type.as_str()));
    let head = head.expect("two short texts are within the bound");
    let whole = json.and_then(|json| head.clone().with_json(DATA, json.as_bytes()).ok());
    whole.unwrap_or(head)
}

/// What filters have answered, where a trace of the machine is kept: they look into payloads, which a trace need not
/// hold.
#[derive(Debug, Default)]
pub(crate) enum Answers {
    /// Nobody keeps a trace.
    #[default]
    Unheard,
    /// These have been given and not been written down.
    Kept(Vec<Vec<u32>>),
    /// These were given when the trace was kept, and are given again; where there is none, filters are asked.
    Known(VecDeque<Vec<u32>>),
}

impl Answers {
    fn tell(&mut self, ask: impl FnOnce() -> Vec<u32>) -> Vec<u32> {
        match self {
            Self::Unheard => ask(),
            Self::Kept(kept) => {
                let answer = ask();
                kept.push(answer.clone());
                answer
            }
            Self::Known(known) => known.pop_front().unwrap_or_else(ask),
        }
    }

    /// Whether filters are not asked after a restart, which is a bug that is planted.
    fn ignores(&self) -> bool {
        #[cfg(postrider_planted)]
        return crate::planted::breaks(54);
        #[cfg(not(postrider_planted))]
        false
    }

    /// Whether there is nothing to write down.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !matches!(self, Self::Kept(kept) if !kept.is_empty())
    }

    /// Takes what has been given since the last time.
    pub(crate) fn take(&mut self) -> Vec<Vec<u32>> {
        match self {
            Self::Kept(kept) => core::mem::take(kept),
            Self::Unheard | Self::Known(_) => Vec::new(),
        }
    }

    /// Lets the next question have this answer.
    pub(crate) fn foretell(&mut self, answer: Vec<u32>) {
        match self {
            Self::Known(known) => known.push_back(answer),
            Self::Unheard | Self::Kept(_) => *self = Self::Known([answer].into()),
        }
    }
}

/// Which of a tenant's subscriptions with a filter an event is for.
pub(super) struct Wanted {
    pub(super) matched: Matched,
    /// How many endpoints that is.
    pub(super) reach: Reach,
}

impl Sender {
    /// Asks the filters of a tenant about an event that is about to be accepted. Nothing is asked where none is for its
    /// type.
    pub(super) fn ask_new(&mut self, tenant: Option<u32>, event: &Event, id: &EventId) -> Wanted {
        let nobody = Wanted { matched: Matched::Nobody, reach: Reach { at_least: 0, at_most: 0 } };
        let Some(filtered) = tenant.and_then(|tenant| self.tenants[tenant].filtered.as_ref()) else { return nobody };
        let by_type = filtered.types.count(event.event_type().as_str());
        if by_type.at_most == 0 {
            return nobody;
        }
        let matched = Matched::of(self.answers.tell(|| {
            let content = flat(id.as_str(), event.event_type(), event.payload().as_json());
            filtered.by_content(&content, self.next_subscription, 0)
        }));
        let reach = match &matched {
            Matched::Unasked | Matched::Nobody => nobody.reach,
            Matched::These { numbers, more } => {
                let live = numbers.iter().filter(|number| self.is_live(**number)).count();
                Reach { at_least: live, at_most: if *more { by_type.at_most } else { live } }
            }
        };
        Wanted { matched, reach }
    }

    /// For an event that nobody wants: the endpoints that want its type, whose filters refuse it.
    pub(super) fn refused_by_filters(&self, tenant: &Tenant, event_type: &EventType) -> Option<Reach> {
        let filtered = tenant.filtered.as_ref()?;
        let by_type = filtered.by_type(event_type, self.next_subscription, 0).filter(|number| self.is_live(*number));
        let live = by_type.take(COUNTED).count();
        let at_most = if live < COUNTED { live } else { filtered.types.count(event_type.as_str()).at_most };
        (live > 0).then_some(Reach { at_least: live, at_most })
    }

    /// Whether this is what an endpoint wants now.
    fn is_live(&self, subscription: u32) -> bool {
        let owner = self.subscriptions.get(&subscription).and_then(|at| self.endpoints.slab.get(*at));
        owner.is_some_and(|slot| slot.subscription == Some(subscription))
    }

    /// Asks the filters of the tenant about an event whose fan-out cannot go on without knowing. `None` when there is
    /// nothing to ask, or it was asked; otherwise its payload must come first.
    pub(super) fn ask_filters(&mut self, at: u32) -> Option<Step> {
        let job = &self.jobs.slab[at];
        let (tenant, work) = (&self.tenants[job.tenant], job.work()?);
        let filtered = tenant.filtered.as_ref().filter(|_| work.matched.is_open(work.through))?;
        let (event_type, high_water, through) = (work.event_type.as_ref()?, work.high_water, work.through);
        let matched = if !tenant.may_match(event_type, high_water, through, &work.skip) {
            Matched::Nobody
        } else if job.is_lost() || self.answers.ignores() {
            // Nobody will ever know what it said: whoever may have wanted it is told.
            Matched::of(filtered.by_type(event_type, high_water, through).take(limits::MATCHED).collect())
        } else if let Some(event) = job.prepared().filter(|_| job.body == Body::Here) {
            Matched::of(self.answers.tell(|| {
                let content = flat(event.id.as_str(), &event.event_type, event.payload.as_json());
                filtered.by_content(&content, high_water, through)
            }))
        } else {
            return Some(self.fetch_for_scan(at));
        };
        self.jobs.slab[at].work_mut().matched = matched;
        None
    }
}

//! Questions about what has ended, each with the answer that it has.
//!
//! A sender that writes to a directory keeps what became of events for a while after they have ended
//! ([`Retention`](postrider_journal::history::Retention)). These are asked of a sender's `history`:
//!
//! ```
//! use postrider_core::id::{EndpointKey, TenantId};
//! use postrider_driver::questions::{self, Question as _};
//! use postrider_journal::history::{End, Query};
//!
//! let acme = EndpointKey::new("acme").unwrap();
//! let failed = questions::deliveries(&acme).ended([End::Exhausted, End::Refused]).page(None, 50);
//! assert!(matches!(failed.query(), Query::Endpoint { ends, .. } if ends.len() == 2));
//!
//! let dead_letters = questions::exhausted(&TenantId::default());
//! assert!(matches!(dead_letters.query(), Query::Exhausted { .. }));
//! ```

use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::time::UnixTime;
use postrider_journal::LogError;
use postrider_journal::history::{
    Answer, Counts, End, EndedDelivery, EventHistory, HistoryError, Paging, Place, Query, Since,
};

use crate::error::Error;

/// A question whose answer has a type of its own.
pub trait Question: Send + 'static {
    /// What the answer is.
    type Answer: Send + 'static;

    /// The question as the log understands it.
    fn query(self) -> Query;

    /// What the log's answer says; `None` when it is the answer to another question.
    fn read(answer: Answer) -> Option<Self::Answer>;
}

/// Reads the answer to a question; for drivers.
pub fn read<Q: Question>(said: Result<Answer, Error>) -> Result<Q::Answer, Error> {
    let other = || LogError::Damaged {
        place: "in an answer about history".to_owned(),
        why: "it answers another question".to_owned(),
    };
    said.and_then(|answer| Q::read(answer).ok_or_else(|| HistoryError::Failed(other()).into()))
}

/// One event with all its deliveries and attempts, whether it has ended or not. The newest of this id.
pub fn event(tenant: &TenantId, event: &EventId) -> OneEvent {
    OneEvent { tenant: tenant.clone(), event: event.clone() }
}

/// Deliveries of an endpoint that have ended, the newest first; 100 on a page.
pub fn deliveries(endpoint: &EndpointKey) -> Deliveries {
    Deliveries { endpoint: endpoint.clone(), ends: Vec::new(), range: Range::default() }
}

/// Deliveries of a tenant that were given up (the dead letters), the newest first; 100 on a page.
pub fn exhausted(tenant: &TenantId) -> Exhausted {
    Exhausted { tenant: tenant.clone(), range: Range::default() }
}

/// How many deliveries are kept that ended in each way.
pub fn counts() -> CountAll {
    CountAll
}

/// How far back anything is kept.
pub fn since() -> SinceWhen {
    SinceWhen
}

/// See [`since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinceWhen;

impl Question for SinceWhen {
    type Answer = Since;

    fn query(self) -> Query {
        Query::Since
    }

    fn read(answer: Answer) -> Option<Since> {
        if let Answer::Since(since) = answer { Some(since) } else { None }
    }
}

/// See [`event`]. Answered with `None` when nothing is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneEvent {
    tenant: TenantId,
    event: EventId,
}

impl Question for OneEvent {
    type Answer = Option<Box<EventHistory>>;

    fn query(self) -> Query {
        Query::Event { tenant: self.tenant, event: self.event }
    }

    fn read(answer: Answer) -> Option<Self::Answer> {
        if let Answer::Event(found) = answer { Some(found) } else { None }
    }
}

/// See [`deliveries`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliveries {
    endpoint: EndpointKey,
    ends: Vec<End>,
    range: Range,
}

impl Deliveries {
    /// Only those that ended in one of these ways; without it, or with none of them, all.
    pub fn ended(mut self, ends: impl IntoIterator<Item = End>) -> Self {
        self.ends = ends.into_iter().collect();
        self
    }

    /// Only those that ended at or after `from` and before `to`.
    pub fn between(mut self, from: UnixTime, to: UnixTime) -> Self {
        self.range.between(from, to);
        self
    }

    /// Which page: `after` is [`EndedPage::next`] of the page before, `None` for the first. At most `limit` entries,
    /// and at most [`PAGE`](postrider_journal::history::PAGE).
    pub fn page(mut self, after: Option<Place>, limit: usize) -> Self {
        self.range.page = Paging { after, limit };
        self
    }
}

impl Question for Deliveries {
    type Answer = EndedPage;

    fn query(self) -> Query {
        let Range { from, to, page } = self.range;
        Query::Endpoint { endpoint: self.endpoint, ends: self.ends, from, to, page }
    }

    fn read(answer: Answer) -> Option<EndedPage> {
        EndedPage::read(answer)
    }
}

/// See [`exhausted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    tenant: TenantId,
    range: Range,
}

impl Exhausted {
    /// Only those that ended at or after `from` and before `to`.
    pub fn between(mut self, from: UnixTime, to: UnixTime) -> Self {
        self.range.between(from, to);
        self
    }

    /// Which page; see [`Deliveries::page`].
    pub fn page(mut self, after: Option<Place>, limit: usize) -> Self {
        self.range.page = Paging { after, limit };
        self
    }
}

impl Question for Exhausted {
    type Answer = EndedPage;

    fn query(self) -> Query {
        let Range { from, to, page } = self.range;
        Query::Exhausted { tenant: self.tenant, from, to, page }
    }

    fn read(answer: Answer) -> Option<EndedPage> {
        EndedPage::read(answer)
    }
}

/// See [`counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountAll;

impl Question for CountAll {
    type Answer = Counts;

    fn query(self) -> Query {
        Query::Counts
    }

    fn read(answer: Answer) -> Option<Counts> {
        if let Answer::Counts(counts) = answer { Some(counts) } else { None }
    }
}

/// A page of deliveries that have ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndedPage {
    /// What is on it, the newest first.
    pub items: Vec<EndedDelivery>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Place>,
}

impl EndedPage {
    fn read(answer: Answer) -> Option<Self> {
        if let Answer::Deliveries { items, next } = answer { Some(Self { items, next }) } else { None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    from: UnixTime,
    to: UnixTime,
    page: Paging,
}

impl Range {
    fn between(&mut self, from: UnixTime, to: UnixTime) {
        (self.from, self.to) = (from, to);
    }
}

impl Default for Range {
    fn default() -> Self {
        Self { from: UnixTime::EPOCH, to: UnixTime::from_millis(u64::MAX), page: Paging::default() }
    }
}

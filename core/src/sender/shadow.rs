//! Shadow evaluation: what another filter, schedule or breaker policy of an endpoint would have done with what a journal
//! tells, without doing it.
//!
//! A [`Shadow`] is told the records of a log in order, by whoever reads one, and keeps what it needs of them: of each event
//! that has not been told to have ended a few words, of each attempt at the endpoint its time and how it ended. It touches
//! nothing and no machine knows of it.
//!
//! **A filter** is asked about each event of the endpoint's tenant whose payload is there, as it would have been asked when
//! the event was accepted, and so is the one that the endpoint had then.
//!
//! **A schedule** is laid over each delivery that had an end. Its first attempt is the one that was made. A later one is
//! taken to end as the endpoint's newest attempt before that time did, whatever it was for; so the answer is as good as the
//! endpoint's attempts are many. Delays are taken without jitter, and `Retry-After` is not looked at.
//!
//! **A breaker** is told of the endpoint's attempts in order. What was attempted while it would have been open is held, and
//! the first attempt after that is its probe.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::filters::flat;
use crate::id::{EndpointKey, JournalSeq};
use crate::journal::{Accepted, EndpointRecord, OutcomeRecord, Record, Then};
use crate::matching::filter::{Filter, Language};
use crate::matching::{EventType, Subscription};
use crate::response::TransportError;
use crate::retry::{Admission, Breaker, BreakerPolicy, Schedule, Transition};
use crate::time::{Instant, UnixTime};

/// Examples kept of each kind, at most.
const EXAMPLES: usize = 10;

/// What is tried: each part that is given, by itself.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Proposal {
    /// Another filter, or, inside, none.
    pub filter: Option<Option<Filter>>,
    /// Another schedule.
    pub schedule: Option<Schedule>,
    /// Another rule by which a breaker opens.
    pub breaker: Option<BreakerPolicy>,
}

impl Proposal {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this filter; `None` lets everything pass.
    #[must_use]
    pub fn filter(self, filter: Option<Filter>) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// With this schedule.
    #[must_use]
    pub fn schedule(self, schedule: Schedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// With this rule.
    #[must_use]
    pub fn breaker(self, policy: BreakerPolicy) -> Self {
        Self { breaker: Some(policy), ..self }
    }
}

/// What would have been different. Its Display text is a few lines for a person.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Differences {
    /// By the filter, if one was proposed.
    pub filter: Option<FilterDifference>,
    /// By the schedule.
    pub schedule: Option<ScheduleDifference>,
    /// By the breaker.
    pub breaker: Option<BreakerDifference>,
}

/// Which events would have been selected.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FilterDifference {
    /// Events that were looked at.
    pub asked: u64,
    /// Events whose payload is not there.
    pub unknown: u64,
    /// Wanted then and wanted now.
    pub kept: u64,
    /// Wanted then, and not with the proposal.
    pub dropped: u64,
    /// Not wanted then, and wanted with the proposal.
    pub added: u64,
    /// Some of those that were dropped, the first ones.
    pub dropped_examples: Vec<String>,
    /// Some of those that were added, the first ones.
    pub added_examples: Vec<String>,
}

/// How deliveries would have gone.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ScheduleDifference {
    /// Deliveries with an end, delivered or given up.
    pub deliveries: u64,
    /// Attempts that they took.
    pub attempts: u64,
    /// Attempts that they would have taken.
    pub new_attempts: u64,
    /// Delivered both ways.
    pub delivered: u64,
    /// Delivered, and given up with the proposal.
    pub lost: u64,
    /// Given up, and delivered with the proposal.
    pub saved: u64,
    /// Of those delivered both ways, how long each took from its first attempt on, together.
    pub waited: Duration,
    /// The same with the proposal.
    pub new_waited: Duration,
}

/// What a breaker would have held.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BreakerDifference {
    /// Attempts that were made.
    pub attempts: u64,
    /// Times that it would have opened from being closed.
    pub opened: u64,
    /// Attempts that would have been held because it was open, and that failed.
    pub held_failures: u64,
    /// Attempts that would have been held, and that succeeded: deliveries that would have come later.
    pub held_successes: u64,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(filter) = &self.filter {
            let FilterDifference { asked, unknown, kept, dropped, added, .. } = filter;
            writeln!(f, "filter: of {asked} events {kept} stay, {dropped} are dropped, {added} are added")?;
            if *unknown > 0 {
                writeln!(f, "  {unknown} more have no payload any more")?;
            }
            for (word, examples) in [("dropped", &filter.dropped_examples), ("added", &filter.added_examples)] {
                examples.iter().try_for_each(|event| writeln!(f, "  {word}: {event}"))?;
            }
        }
        if let Some(ScheduleDifference {
            deliveries,
            attempts,
            new_attempts,
            delivered,
            lost,
            saved,
            waited,
            new_waited,
        }) = &self.schedule
        {
            writeln!(f, "schedule: {deliveries} deliveries took {attempts} attempts, and would take {new_attempts}")?;
            writeln!(f, "  {delivered} are delivered either way, {lost} would be given up, {saved} would be saved")?;
            writeln!(f, "  those delivered either way waited {waited:.0?} together, and would wait {new_waited:.0?}")?;
        }
        if let Some(BreakerDifference { attempts, opened, held_failures, held_successes }) = &self.breaker {
            writeln!(f, "breaker: over {attempts} attempts it would open {opened} times")?;
            writeln!(f, "  it would hold {held_failures} attempts that failed and {held_successes} that succeeded")?;
        }
        Ok(())
    }
}

/// The evaluation of one proposal for one endpoint.
///
/// It holds about 40 bytes for each attempt at the endpoint, and a few words for each event that was sent to it and has
/// not been told to have ended.
#[derive(Debug)]
pub struct Shadow {
    endpoint: EndpointKey,
    proposal: Proposal,
    /// What the endpoint wanted, while it was there and new events matched it.
    wants: Option<Subscription>,
    /// Its subscriptions, those of the past included.
    subscriptions: Vec<u32>,
    filter: FilterDifference,
    deliveries: BTreeMap<(JournalSeq, u32), Vec<Attempt>>,
    ended: Vec<(Vec<Attempt>, bool)>,
    /// Attempts of deliveries that something else has ended.
    others: Vec<Attempt>,
}

/// An attempt that says something of the endpoint.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: UnixTime,
    success: bool,
}

impl Shadow {
    /// Tries a proposal on an endpoint.
    pub fn new(endpoint: EndpointKey, proposal: Proposal) -> Self {
        Self {
            endpoint,
            proposal,
            wants: None,
            subscriptions: Vec::new(),
            filter: FilterDifference::default(),
            deliveries: BTreeMap::new(),
            ended: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Evaluates a proposal over the records of a log, in order; those of a snapshot, numbered 0, may come first.
    pub fn evaluate(
        endpoint: EndpointKey,
        proposal: Proposal,
        records: impl IntoIterator<Item = (JournalSeq, Record)>,
    ) -> Differences {
        let mut shadow = Self::new(endpoint, proposal);
        records.into_iter().for_each(|(seq, record)| shadow.record(seq, &record));
        shadow.differences()
    }

    /// Takes note of the next record.
    pub fn record(&mut self, seq: JournalSeq, record: &Record) {
        if let Record::Outcome(outcome) = record {
            self.outcome(outcome);
        } else if let Record::Accepted(accepted) = record {
            self.accepted(seq, accepted, true);
        } else if let Record::Kept(kept) = record {
            self.accepted(seq, &kept.accepted, false);
        } else if let Record::Endpoint(endpoint) = record
            && endpoint.key == self.endpoint
        {
            self.endpoint(endpoint);
        } else if let Record::Removed { endpoint, .. } = record
            && *endpoint == self.endpoint
        {
            self.wants = None;
        }
    }

    /// What would have been different.
    pub fn differences(self) -> Differences {
        let open = self.deliveries.into_values().flatten().chain(self.others);
        let mut line: Vec<_> = self.ended.iter().flat_map(|(attempts, _)| attempts).copied().chain(open).collect();
        line.sort_by_key(|attempt| attempt.at);
        Differences {
            filter: self.proposal.filter.as_ref().map(|_| self.filter),
            schedule: self.proposal.schedule.as_ref().map(|schedule| over_schedule(schedule, &self.ended, &line)),
            breaker: self.proposal.breaker.as_ref().map(|policy| over_breaker(policy, &line)),
        }
    }

    fn endpoint(&mut self, record: &EndpointRecord) {
        let numbers = record.subscription.into_iter().chain(record.retired.iter().map(|retired| retired.number));
        for number in numbers {
            if let Err(place) = self.subscriptions.binary_search(&number) {
                self.subscriptions.insert(place, number);
            }
        }
        self.wants = record.subscription.and_then(|_| {
            let wants = Subscription::parse(&record.patterns).ok()?;
            let Some(filter) = &record.filter else { return Some(wants) };
            let filter = Filter::read(Language::from_wire(filter.language)?, &filter.text).ok()?;
            Some(wants.with_filter(filter))
        });
    }

    fn accepted(&mut self, seq: JournalSeq, accepted: &Accepted, whole: bool) {
        let Some(proposed) = self.proposal.filter.as_ref().filter(|_| seq != JournalSeq::ZERO) else { return };
        let Some(wants) = self.wants.as_ref().filter(|_| accepted.tenant == self.endpoint.tenant) else { return };
        let Ok(event_type) = EventType::new(&accepted.event_type) else { return };
        if !wants.matches(event_type.as_str()) {
            return;
        }
        if !whole {
            self.filter.unknown += 1;
            return;
        }
        let json = accepted.content_type.is_none().then(|| core::str::from_utf8(&accepted.payload).ok()).flatten();
        let content = flat(accepted.id.as_str(), &event_type, json);
        let before = wants.wants(event_type.as_str(), &content);
        let now = proposed.as_ref().is_none_or(|filter| filter.matches(&content));
        let difference = &mut self.filter;
        difference.asked += 1;
        let (count, examples) = match (before, now) {
            (true, true) => {
                difference.kept += 1;
                return;
            }
            (false, false) => return,
            (true, false) => (&mut difference.dropped, &mut difference.dropped_examples),
            (false, true) => (&mut difference.added, &mut difference.added_examples),
        };
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(accepted.id.to_string());
        }
    }

    fn outcome(&mut self, outcome: &OutcomeRecord) {
        if self.subscriptions.binary_search(&outcome.subscription).is_err() {
            return;
        }
        let name = (outcome.event, outcome.subscription);
        if let Some(success) = success(outcome) {
            self.deliveries.entry(name).or_default().push(Attempt { at: outcome.at, success });
        }
        match outcome.then {
            Then::Retry(_) => {}
            Then::Delivered | Then::Exhausted => {
                let attempts = self.deliveries.remove(&name).unwrap_or_default();
                self.ended.push((attempts, outcome.then == Then::Delivered));
            }
            // Something else than the endpoint has ended it, so no schedule would have mattered.
            Then::Refused | Then::Discarded | Then::Expired | Then::Lost | Then::Superseded => {
                self.others.extend(self.deliveries.remove(&name).into_iter().flatten());
            }
        }
    }
}

/// Whether an attempt succeeded; `None` where it says nothing of the endpoint.
fn success(outcome: &OutcomeRecord) -> Option<bool> {
    if outcome.status != 0 {
        return Some((200..300).contains(&outcome.status));
    }
    let failure = TransportError::from_wire(outcome.failure.0, outcome.failure.1)?;
    let ours = matches!(failure, TransportError::Denied(_) | TransportError::Aborted);
    (!ours).then_some(false)
}

/// Lays a schedule over deliveries.
fn over_schedule(schedule: &Schedule, ended: &[(Vec<Attempt>, bool)], line: &[Attempt]) -> ScheduleDifference {
    let mut all = ScheduleDifference::default();
    let like = |at: UnixTime| line[..line.partition_point(|attempt| attempt.at <= at)].last();
    for (attempts, delivered) in ended {
        let (Some(first), Some(last)) = (attempts.first(), attempts.last()) else { continue };
        all.deliveries += 1;
        all.attempts += attempts.len() as u64;
        let (mut at, mut success, mut made) = (first.at, first.success, 1);
        while !success && let Some(delay) = schedule.delay(made) {
            at = at.saturating_add(delay);
            success = like(at).is_some_and(|attempt| attempt.success);
            made += 1;
        }
        all.new_attempts += u64::from(made);
        match (delivered, success) {
            (true, true) => {
                all.delivered += 1;
                all.waited += last.at.saturating_since(first.at);
                all.new_waited += at.saturating_since(first.at);
            }
            (true, false) => all.lost += 1,
            (false, true) => all.saved += 1,
            (false, false) => {}
        }
    }
    all
}

/// Tells a breaker of attempts.
fn over_breaker(policy: &BreakerPolicy, line: &[Attempt]) -> BreakerDifference {
    let mut all = BreakerDifference { attempts: line.len() as u64, ..BreakerDifference::default() };
    let Some(first) = line.first() else { return all };
    let mut breaker = Breaker::new();
    for Attempt { at, success } in line.iter().copied() {
        let now = Instant::ORIGIN.saturating_add(at.saturating_since(first.at));
        match breaker.admits(now) {
            Admission::Allow => {
                let opened: Option<Transition> = breaker.record(policy, now, success);
                all.opened += u64::from(opened.is_some());
            }
            Admission::Probe => {
                breaker.start_probe();
                breaker.record_probe(policy, now, success);
            }
            Admission::Hold(_) | Admission::Probing if success => all.held_successes += 1,
            Admission::Hold(_) | Admission::Probing => all.held_failures += 1,
        }
    }
    all
}

//! Endpoints from their records.

use crate::journal::{EndpointRecord, FilterRecord, RetiredRecord};
use crate::matching::Subscription;
use crate::matching::filter::{Filter, Language};
use crate::registration::lifecycle::{Cause, Reason, Rule};
use crate::registration::{self, Cidr, EndpointError, Policy, State};
use crate::sender::described::endpoint_of;

/// The endpoint of a record. The policy is not asked: it is asked at every attempt.
pub(super) fn config_of(record: &EndpointRecord) -> Result<registration::Config, EndpointError> {
    endpoint_of(record).config(&anywhere())
}

/// What an earlier subscription wanted.
pub(super) fn wanted_of(record: &RetiredRecord) -> Result<Subscription, EndpointError> {
    let wanted = Subscription::parse(record.patterns.lines()).unwrap_or_else(|_| Subscription::everything());
    let Some(FilterRecord { language, text }) = &record.filter else { return Ok(wanted) };
    let language = Language::from_wire(*language).ok_or(EndpointError::FilterLanguage(*language))?;
    Ok(wanted.with_filter(Filter::read(language, text).map_err(EndpointError::Filter)?))
}

/// A policy that lets every target stand. Embedding addresses stay refused, as always.
fn anywhere() -> Policy {
    let all = |network: &str| network.parse::<Cidr>().expect("a network of all addresses");
    let policy = Policy::default().allow_http();
    let policy = policy.allow(all("0.0.0.0/0")).expect("one network fits");
    policy.allow(all("::/0")).expect("two networks fit")
}

/// The state, and why it is that.
pub(super) fn state_of(record: &EndpointRecord) -> (State, Option<Reason>) {
    let since = record.state.since;
    let cause = record.cause.as_ref();
    let cause = cause.and_then(|of| Reason::from_wire(of.rule, (of.event, of.inputs), of.at, of.next));
    let state = match record.state.code {
        0 => State::Active,
        1 => State::Paused { since },
        3 => State::Gone { since },
        4 => State::Unverified { since },
        // An unknown state of a later format is safest as one in which nothing is sent and nothing is lost at once.
        _ => State::Disabled { since, cause: cause_of(cause.map(|reason| reason.rule)) },
    };
    (state, cause)
}

/// Why an endpoint is disabled; before records said so, only a command could do it.
fn cause_of(rule: Option<Rule>) -> Cause {
    match rule {
        Some(Rule::Failing) => Cause::Failing,
        Some(Rule::Declined) => Cause::NoConsent,
        Some(_) | None => Cause::Command,
    }
}

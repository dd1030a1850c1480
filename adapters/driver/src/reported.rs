//! The report of an event from what the log keeps of it.

use std::collections::BTreeMap;
use std::time::Duration;

use postrider_core::id::EndpointKey;
use postrider_core::journal::Then;
use postrider_core::limits;
use postrider_core::sender::{DeliveryReport, EventReport, Fate};
use postrider_journal::history::{AttemptHistory, EventHistory};

/// What [`Sender::report`](postrider_core::sender::Sender::report) said, or would have said, of this event.
///
/// Of an event with more than [`PAGE`](postrider_journal::history::PAGE) records only so many are counted. Deliveries
/// come in the order in which they ended. One whose endpoint is not known any more is counted and not listed.
pub(crate) fn report_of(history: &EventHistory) -> EventReport {
    let mut report = EventReport::new(history.event.clone(), history.accepted);
    report.settled = history.ended.is_some();
    let mut waiting = BTreeMap::new();
    for attempt in &history.attempts {
        let fate = fate_of(attempt.then);
        report.tally.count(&fate);
        report.tally.attempts += u64::from(attempt.status.is_some() || attempt.failure.is_some());
        let Some(endpoint) = &attempt.endpoint else { continue };
        if matches!(fate, Fate::Waiting { .. }) {
            waiting.insert(endpoint, attempt);
            continue;
        }
        waiting.remove(endpoint);
        if report.deliveries.len() < limits::REPORT_ENTRIES {
            report.deliveries.push(delivery_of(endpoint, attempt));
        }
    }
    let still = waiting.into_iter().take(limits::REPORT_ENTRIES);
    report.deliveries.extend(still.map(|(endpoint, attempt)| delivery_of(endpoint, attempt)));
    report
}

/// A delivery from its last record.
fn delivery_of(endpoint: &EndpointKey, last: &AttemptHistory) -> DeliveryReport {
    let mut report = DeliveryReport::new(endpoint.id.clone(), fate_of(last.then));
    (report.attempts, report.status, report.failure) = (last.number, last.status, last.failure);
    report.elapsed = last.elapsed;
    report
}

/// What has become of a delivery by an outcome.
pub(crate) fn fate_of(then: Then) -> Fate {
    match then {
        Then::Delivered => Fate::Delivered,
        Then::Retry(_) => Fate::Waiting { rest: Duration::ZERO },
        Then::Exhausted => Fate::Exhausted,
        Then::Refused => Fate::Refused,
        Then::Discarded => Fate::Discarded,
        Then::Expired => Fate::Expired,
        Then::Lost => Fate::Lost,
        Then::Superseded => Fate::Superseded,
    }
}

//! A delivery from its first attempt to what comes next.

use std::fmt;

use postrider_core::id::{EndpointKey, EventId};
use postrider_core::sender::{DeliveryExplanation, Fate};
use postrider_journal::history::{AttemptHistory, EventHistory};

use crate::reported::fate_of;

/// How a delivery stands, why, what would change it, and every attempt that was made.
///
/// `Display` says the attempts line by line, then how it stands, as
/// [`DeliveryExplanation`] says it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeliveryStory {
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// What has become of it so far.
    pub fate: Fate,
    /// What the machine says of it: the rule that holds it with its inputs, what is due, what would change it. `None` when
    /// the machine has forgotten it, which it does some time after the event has ended.
    pub now: Option<DeliveryExplanation>,
    /// Every attempt that the log's history keeps, the oldest first, and the end of the delivery where it came without one.
    /// Empty where the log keeps no history: then [`now`](Self::now) has their number and how the last one ended.
    pub attempts: Vec<AttemptHistory>,
    /// Records of the event that the history has not listed, because there are more than it lists at once
    /// ([`PAGE`](postrider_journal::history::PAGE)): the newest, some of which may be of this delivery.
    pub more: u64,
    /// Whether the log keeps history.
    pub is_kept: bool,
}

impl DeliveryStory {
    /// What the machine and the log's history say together; `None` when neither knows the delivery. `kept` is `None` where
    /// the log keeps no history.
    pub(crate) fn join(
        (endpoint, event): (EndpointKey, EventId),
        now: Option<DeliveryExplanation>,
        kept: Option<Option<Box<EventHistory>>>,
    ) -> Option<Self> {
        let is_kept = kept.is_some();
        let (mut attempts, more) = kept.flatten().map_or((Vec::new(), 0), |event| (event.attempts, event.more));
        attempts.retain(|made| made.endpoint.as_ref() == Some(&endpoint));
        let fate = match (&now, attempts.last()) {
            (Some(now), _) => now.fate,
            (None, Some(last)) => fate_of(last.then),
            (None, None) => return None,
        };
        Some(Self { event, endpoint, fate, now, attempts, more, is_kept })
    }
}

impl fmt::Display for DeliveryStory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for made in &self.attempts {
            writeln!(f, "{made}")?;
        }
        if self.more > 0 {
            writeln!(f, "and {} newer records of the event", self.more)?;
        }
        match &self.now {
            Some(now) => now.fmt(f),
            None => write!(f, "{} to {}: {}", self.event, self.endpoint.id, self.fate),
        }
    }
}

//! The durable inbox, as far as it needs no runtime: what came is kept before it is answered, and the application gets it
//! from there.
//!
//! **An inbox is a sender whose one endpoint is the application's handler.** A webhook that was verified is published to
//! it, as the bytes of its [stored form](Delivery::to_stored); what carries an attempt is not a socket but a call. So a
//! webhook is safe when its event is acknowledged, and everything that a sender knows how to do is there: recovery after
//! any end, a schedule of retries, ordering by key, dead letters, history, replays, and `postrider journal` to look into it.
//!
//! | the handler says | its attempt ends as | and then |
//! | --- | --- | --- |
//! | done, queued | 204, 202 | it is delivered |
//! | later | 500, with `Retry-After` where it says when | it is tried again; no other delivery waits for it |
//! | refuse, unsubscribed | [`Unwanted`](TransportError::Unwanted) | it is refused, and never tried again |
//! | nothing, because it panicked | 500 | it is tried again |
//! | nothing in its time | [`TimedOut`](TransportError::TimedOut) | it is tried again |
//!
//! Statuses and the few words with them are what history shows. `Retry-After` is honoured up to 24 h. 429, 502, 503 and
//! 504 are not said, because they would hold back everything else.
//!
//! **At least once.** A webhook that was stored is handed to the handler until it says that it is done with it, or the
//! schedule is at its end; in between the process may end as often as it likes. A handler whose call was cut off, or whose
//! answer was not written down before the end, gets it again.
//!
//! **By what a webhook is known.** By its id, where the signature covers it; else by the digest of what was signed. One
//! that is known already is stored already, for as long as the sender recognises repeats
//! ([`idempotency_window`](Limits::idempotency_window)).

mod attempt;
mod error;
mod event;
mod settings;
#[cfg(test)]
mod tests;

pub use attempt::{delivery, outcome, panicked, unreadable};
pub use error::{StoreError, stored};
pub use settings::Settings;

use postrider_core::id::{EndpointKey, TenantId};
use postrider_core::registration::EndpointView;
use postrider_core::sender::Sender;

#[cfg(doc)]
use postrider_core::{limits::Limits, receiver::Delivery, response::TransportError};

/// The id of an inbox's one endpoint, of the tenant `default`.
pub const APPLICATION: &str = "application";

/// Where that endpoint is: nowhere, by a name that no resolver may ever find (RFC 6761 section 6.4), so that a sender that
/// opens an inbox by mistake sends nothing to anybody.
pub const URL: &str = "https://application.invalid/";

/// An inbox's one endpoint, for questions and replays.
pub fn application() -> EndpointKey {
    EndpointKey::new(APPLICATION).expect("the name is visible ASCII")
}

/// Whether a log that tells of this endpoint is that of an inbox.
pub fn is_application(endpoint: &EndpointView) -> bool {
    endpoint.key == application() && endpoint.target.as_str() == URL
}

/// Whether a machine is an inbox, or is new and may become one.
pub fn may_be_inbox(machine: &Sender) -> bool {
    machine.endpoints(&TenantId::default(), None, 2).items.iter().all(is_application)
}

//! The two drivers behind one small interface, so that every command runs over either.

use std::fmt;
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::limits::Limits;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::secret::{KeyId, Secret};
use postrider_core::sender::{EventReport, Tally};
use postrider_driver::{Error, Heard, PublishError, Receipt, Registered};

/// Which driver carries the attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// tokio, hyper and rustls
    #[default]
    Tokio,
    /// threads, ureq-proto and rustls
    Blocking,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Blocking => "blocking",
        })
    }
}

/// A sender with something to carry its attempts. Commands return when their effect is durable, which for a sender that
/// keeps everything in memory is at once.
pub(crate) trait Driver: Sync {
    /// Registers an endpoint.
    fn put(&self, endpoint: Endpoint) -> Result<Registered, Error>;
    /// Publishes an event.
    fn publish(&self, event: Event) -> Result<Receipt, PublishError>;
    /// Adds a key to an endpoint.
    fn add_key(&self, endpoint: &EndpointKey, secret: &Secret) -> Result<(), Error>;
    /// Never signs with a key of an endpoint again.
    fn revoke_key(&self, endpoint: &EndpointKey, key: KeyId) -> Result<(), Error>;
    /// What has become of an event.
    fn report(&self, tenant: &TenantId, event: &EventId) -> Option<EventReport>;
    /// How deliveries to an endpoint ended.
    fn tally(&self, endpoint: &EndpointKey) -> Option<Tally>;
    /// Begins to listen to notices.
    fn notices(&self) -> Box<dyn Listen + '_>;
    /// Stops: what is in flight may end within `patience`.
    fn close(&self, patience: Duration);
}

/// Somebody who listens to a sender's notices.
pub(crate) trait Listen {
    /// What comes next; waits for it at most `timeout`.
    fn next_within(&mut self, timeout: Duration) -> Heard;
}

/// Opens a sender that keeps everything in memory.
pub(crate) fn open(kind: Kind, policy: Policy, limits: Limits, credit: Option<u32>) -> Result<Box<dyn Driver>, Error> {
    let _ = kind;
    crate::interim::open(policy, limits, credit)
}

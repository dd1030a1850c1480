//! The two drivers behind one small interface, so that every command runs over either.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{EndpointId, EndpointKey, EventId, TenantId};
use postrider_core::limits::Limits;
use postrider_core::registration::consent::Origin;
use postrider_core::registration::sync::Synced;
use postrider_core::registration::{Endpoint, EndpointView, Policy};
use postrider_core::secret::{KeyId, Secret};
use postrider_core::sender::{EventReport, Notice, Page, Stats, Tally};
use postrider_driver::replays::{One, Replayed, Retained};
use postrider_driver::{Error, FlightRecorder, Heard, PublishError, Receipt, Registered};
use tokio::runtime::Runtime;

use crate::exit::Refusal;
use crate::store::{self, Store};

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
    /// Makes the endpoints of a tenant equal to a list.
    fn sync(&self, tenant: &TenantId, revision: u64, endpoints: Vec<Endpoint>) -> Result<Synced, Error>;
    /// Publishes an event.
    fn publish(&self, event: Event) -> Result<Receipt, PublishError>;
    /// Publishes events in order, with the log's syncs shared.
    fn publish_all(&self, events: Vec<Event>) -> Vec<Result<Receipt, PublishError>>;
    /// Adds a key to an endpoint.
    fn add_key(&self, endpoint: &EndpointKey, secret: &Secret) -> Result<(), Error>;
    /// Never signs with a key of an endpoint again.
    fn revoke_key(&self, endpoint: &EndpointKey, key: KeyId) -> Result<(), Error>;
    /// What has become of an event.
    fn report(&self, tenant: &TenantId, event: &EventId) -> Option<EventReport>;
    /// Sends one event again.
    fn replay(&self, one: One) -> Result<Receipt, Error>;
    /// Sends everything again that is kept of this, or counts it.
    fn replay_all(&self, what: Retained, dry_run: bool) -> Result<Replayed, Error>;
    /// How deliveries to an endpoint ended.
    fn tally(&self, endpoint: &EndpointKey) -> Option<Tally>;
    /// The endpoints of a tenant.
    fn endpoints(&self, tenant: &TenantId) -> Vec<EndpointView>;
    /// Counters since the sender was opened; `None` when it has stopped.
    fn stats(&self) -> Option<Stats>;
    /// Begins to listen to notices.
    fn notices(&self) -> Result<Box<dyn Listen + '_>, Error>;
    /// Stops: what is in flight may end within `patience`. Fails if not everything could be written down.
    fn close(&self, patience: Duration) -> Result<(), Error>;
}

/// Somebody who listens to a sender's notices.
pub(crate) trait Listen {
    /// What comes next; waits for it at most `timeout`.
    fn next_within(&mut self, timeout: Duration) -> Heard;
}

/// What a sender is opened with.
pub(crate) struct Settings {
    /// Where requests may go.
    pub(crate) policy: Policy,
    /// What it may hold.
    pub(crate) limits: Limits,
    /// Attempts in flight, where that is not the driver's own number.
    pub(crate) credit: Option<u32>,
    /// Where the flight recorder writes.
    pub(crate) trace: Option<PathBuf>,
    /// The name under which consent is asked for.
    pub(crate) origin: Option<Origin>,
}

/// A builder with all settings; both drivers have the same ones.
macro_rules! configured {
    ($builder:expr, $settings:expr, $journal:expr) => {{
        let builder = $builder.policy($settings.policy).limits($settings.limits);
        let builder = $settings.credit.into_iter().fold(builder, |builder, credit| builder.concurrency(credit));
        let builder = $settings.origin.into_iter().fold(builder, |builder, origin| builder.origin(origin));
        let trace = $settings.trace.map(FlightRecorder::new);
        let builder = trace.into_iter().fold(builder, |builder, trace| builder.flight_recorder(trace));
        match $journal {
            None => builder,
            Some(journal) => {
                let builder = builder.takeover(journal.takeover).salvage(journal.salvage).on_opening(journal.teller());
                journal.vault.iter().fold(builder, |builder, vault| builder.vault(vault.clone()))
            }
        }
    }};
}

/// Opens a sender that keeps everything where `store` says.
pub(crate) fn open(kind: Kind, settings: Settings, store: &Store) -> Result<Box<dyn Driver>, Refusal> {
    let journal = store.settings()?;
    match kind {
        Kind::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Refusal::new)?;
            let builder = configured!(postrider::tokio::Sender::builder(), settings, &journal);
            let sender = runtime.block_on(async {
                match &journal {
                    None => builder.volatile(),
                    Some(journal) => builder.open(&journal.directory).await,
                }
            });
            Ok(Box::new(Tokio { sender: sender.map_err(store::refusal)?, runtime }))
        }
        Kind::Blocking => {
            let builder = configured!(postrider::blocking::Sender::builder(), settings, &journal);
            let sender = match &journal {
                None => builder.volatile(),
                Some(journal) => builder.open(&journal.directory),
            };
            Ok(Box::new(Blocking(sender.map_err(store::refusal)?)))
        }
    }
}

/// Endpoints asked for at once.
const PAGE: usize = 1000;

/// Everything on all pages; what there is when the sender stops meanwhile.
fn all_pages(page: impl Fn(Option<&EndpointId>) -> Result<Page<EndpointView>, Error>) -> Vec<EndpointView> {
    let mut all = Vec::new();
    let mut after = None;
    while let Ok(next) = page(after.as_ref()) {
        all.extend(next.items);
        after = next.next;
        if after.is_none() {
            break;
        }
    }
    all
}

struct Tokio {
    // Dropped before its runtime.
    sender: postrider::tokio::Sender,
    runtime: Runtime,
}

impl Driver for Tokio {
    fn put(&self, endpoint: Endpoint) -> Result<Registered, Error> {
        Ok(self.runtime.block_on(self.sender.put(endpoint))?)
    }

    fn sync(&self, tenant: &TenantId, revision: u64, endpoints: Vec<Endpoint>) -> Result<Synced, Error> {
        Ok(self.runtime.block_on(self.sender.sync(tenant, revision, endpoints))?.done.synced)
    }

    fn publish(&self, event: Event) -> Result<Receipt, PublishError> {
        self.runtime.block_on(self.sender.publish(event))
    }

    fn publish_all(&self, events: Vec<Event>) -> Vec<Result<Receipt, PublishError>> {
        self.runtime.block_on(self.sender.publish_all(events))
    }

    fn add_key(&self, endpoint: &EndpointKey, secret: &Secret) -> Result<(), Error> {
        self.runtime.block_on(self.sender.add_key(endpoint, secret.clone()))?;
        Ok(())
    }

    fn revoke_key(&self, endpoint: &EndpointKey, key: KeyId) -> Result<(), Error> {
        self.runtime.block_on(self.sender.revoke_key(endpoint, key))?;
        Ok(())
    }

    fn report(&self, tenant: &TenantId, event: &EventId) -> Option<EventReport> {
        self.runtime.block_on(self.sender.report(tenant, event)).ok().flatten()
    }

    fn replay(&self, one: One) -> Result<Receipt, Error> {
        self.runtime.block_on(self.sender.replay(one))
    }

    fn replay_all(&self, what: Retained, dry_run: bool) -> Result<Replayed, Error> {
        self.runtime.block_on(async {
            match dry_run {
                true => self.sender.replay_dry_run(what).await,
                false => self.sender.replay_all(what).await,
            }
        })
    }

    fn tally(&self, endpoint: &EndpointKey) -> Option<Tally> {
        self.runtime.block_on(self.sender.tally(endpoint)).ok().flatten()
    }

    fn endpoints(&self, tenant: &TenantId) -> Vec<EndpointView> {
        all_pages(|after| self.runtime.block_on(self.sender.endpoints(tenant, after, PAGE)))
    }

    fn stats(&self) -> Option<Stats> {
        self.runtime.block_on(self.sender.stats()).ok()
    }

    fn notices(&self) -> Result<Box<dyn Listen + '_>, Error> {
        let notices = self.runtime.block_on(self.sender.notices())?;
        Ok(Box::new(Streamed { notices, runtime: &self.runtime }))
    }

    fn close(&self, patience: Duration) -> Result<(), Error> {
        self.runtime.block_on(self.sender.close(patience))
    }
}

struct Streamed<'r> {
    notices: postrider::tokio::Notices,
    runtime: &'r Runtime,
}

impl Listen for Streamed<'_> {
    fn next_within(&mut self, timeout: Duration) -> Heard {
        if timeout.is_zero() {
            // A timer of tokio never ends before the next millisecond.
            let mut context = Context::from_waker(Waker::noop());
            return match pin!(self.notices.next()).poll(&mut context) {
                Poll::Ready(next) => heard(next),
                Poll::Pending => Heard::Nothing,
            };
        }
        let next = self.runtime.block_on(async { tokio::time::timeout(timeout, self.notices.next()).await });
        next.map_or(Heard::Nothing, heard)
    }
}

fn heard(next: Option<Result<Notice, postrider::tokio::Missed>>) -> Heard {
    match next {
        Some(Ok(notice)) => Heard::Notice(notice),
        Some(Err(missed)) => Heard::Missed(missed.0),
        None => Heard::Over,
    }
}

struct Blocking(postrider::blocking::Sender);

impl Driver for Blocking {
    fn put(&self, endpoint: Endpoint) -> Result<Registered, Error> {
        Ok(self.0.put(endpoint)?)
    }

    fn sync(&self, tenant: &TenantId, revision: u64, endpoints: Vec<Endpoint>) -> Result<Synced, Error> {
        Ok(self.0.sync(tenant, revision, endpoints)?.done.synced)
    }

    fn publish(&self, event: Event) -> Result<Receipt, PublishError> {
        self.0.publish(event)
    }

    fn publish_all(&self, events: Vec<Event>) -> Vec<Result<Receipt, PublishError>> {
        self.0.publish_all(events)
    }

    fn add_key(&self, endpoint: &EndpointKey, secret: &Secret) -> Result<(), Error> {
        self.0.add_key(endpoint, secret.clone())?;
        Ok(())
    }

    fn revoke_key(&self, endpoint: &EndpointKey, key: KeyId) -> Result<(), Error> {
        self.0.revoke_key(endpoint, key)?;
        Ok(())
    }

    fn report(&self, tenant: &TenantId, event: &EventId) -> Option<EventReport> {
        self.0.report(tenant, event).ok().flatten()
    }

    fn replay(&self, one: One) -> Result<Receipt, Error> {
        self.0.replay(one)
    }

    fn replay_all(&self, what: Retained, dry_run: bool) -> Result<Replayed, Error> {
        if dry_run { self.0.replay_dry_run(what) } else { self.0.replay_all(what) }
    }

    fn tally(&self, endpoint: &EndpointKey) -> Option<Tally> {
        self.0.tally(endpoint).ok().flatten()
    }

    fn endpoints(&self, tenant: &TenantId) -> Vec<EndpointView> {
        all_pages(|after| self.0.endpoints(tenant, after, PAGE))
    }

    fn stats(&self) -> Option<Stats> {
        self.0.stats().ok()
    }

    fn notices(&self) -> Result<Box<dyn Listen + '_>, Error> {
        Ok(Box::new(self.0.notices()?))
    }

    fn close(&self, patience: Duration) -> Result<(), Error> {
        self.0.close(patience)
    }
}

impl Listen for postrider::blocking::Notices {
    fn next_within(&mut self, timeout: Duration) -> Heard {
        Self::next_within(self, timeout)
    }
}

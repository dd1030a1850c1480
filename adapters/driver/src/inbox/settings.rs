//! What both drivers' inboxes are made with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::encoding::Encoding;
use postrider_core::limits::Limits;
use postrider_core::receiver::Delivery;
use postrider_core::registration::{Cidr, Endpoint, Ordering, Policy};
use postrider_core::retry::Schedule;
use postrider_core::sender::Config;

use super::{APPLICATION, URL};

/// Bytes of one stored webhook, when nothing else is said: a body of 1 MiB, which a receiver takes by default, has room in it
/// many times over.
const PAYLOAD: usize = 16 * 1024 * 1024;

/// Webhooks that are handled at once, when nothing else is said.
const CONCURRENCY: u16 = 64;

/// How the ordering key of a webhook is found.
pub(super) type OrderBy = Arc<dyn Fn(&Delivery) -> Option<String> + Send + Sync>;

/// What an inbox is made with.
#[derive(Clone)]
#[must_use = "settings do nothing until an inbox is made with them"]
pub struct Settings {
    schedule: Schedule,
    concurrency: u16,
    time_limit: Option<Duration>,
    ordering: Ordering,
    pub(super) order_by: OrderBy,
    pub(super) replays: bool,
    limits: Limits,
}

impl Settings {
    /// The usual ones: the schedule of senders, 64 at once, 20 s for each, in order by `postrider-key`.
    pub fn new() -> Self {
        let mut limits = Limits::default();
        limits.payload = PAYLOAD;
        Self {
            schedule: Schedule::default(),
            concurrency: CONCURRENCY,
            time_limit: None,
            ordering: Ordering::Strict,
            order_by: Arc::new(by_header),
            replays: false,
            limits,
        }
    }

    /// Sets the delays before the attempts; behind the last one it is a dead letter.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets how many webhooks are handled at once: 1 to 1024.
    pub fn concurrency(mut self, deliveries: u16) -> Self {
        self.concurrency = deliveries;
        self
    }

    /// Sets how long the handler may take for one: 1 ms to 60 s.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time_limit = Some(time);
        self
    }

    /// Sets by what key webhooks are handled one after the other. A key of more than 256 bytes counts by its digest, and an
    /// empty one as none.
    pub fn order_by(mut self, key: impl Fn(&Delivery) -> Option<String> + Send + Sync + 'static) -> Self {
        self.order_by = Arc::new(key);
        self
    }

    /// Sets what happens to those behind one that fails, under the same key.
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.ordering = ordering;
        self
    }

    /// Sets whether a webhook that its sender replays under the same id is stored again, once for each replay; see
    /// [`ReceiverConfig::replays`](postrider_core::receiver::ReceiverConfig::replays), which is to say the same.
    pub fn replays(mut self, accept: bool) -> Self {
        self.replays = accept;
        self
    }

    /// Sets what the inbox may hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What the inbox's sender is made with.
    pub fn config(&self) -> Config {
        Config::new().limits(self.limits.clone()).policy(policy())
    }

    /// The inbox's one endpoint.
    pub fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::new(APPLICATION, URL)
            .encoding(Encoding::Data)
            .retry(self.schedule.clone())
            .concurrency(self.concurrency)
            .ordering(self.ordering)
            .keep_answers(true)
            .no_breaker()
            .never_disable();
        self.time_limit.into_iter().fold(endpoint, Endpoint::timeout)
    }

    /// How many attempts may be in flight.
    pub fn credit(&self) -> u32 {
        self.concurrency.into()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("schedule", &self.schedule)
            .field("concurrency", &self.concurrency)
            .field("time_limit", &self.time_limit)
            .field("ordering", &self.ordering)
            .field("replays", &self.replays)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What a sender that orders by key says with every request.
fn by_header(delivery: &Delivery) -> Option<String> {
    delivery.headers().get("postrider-key")?.to_str().ok().map(Into::into)
}

/// A policy that lets an endpoint be where nothing is. Nothing is ever dialled: the one network listed is that for packets
/// which are thrown away (RFC 6666).
fn policy() -> Policy {
    let nowhere: Cidr = "100::/64".parse().expect("it is a network");
    Policy::default().allow(nowhere).expect("one network fits, and it has no IPv4 addresses in it")
}

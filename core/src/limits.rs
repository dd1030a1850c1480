//! Every number that bounds memory or work, with its reason. Each loop, queue and buffer of the core names one.

use core::time::Duration;

/// Effects handed out by one drain before `Wait(Ready)` gives the driver a turn. Small enough that sockets are read
/// between two drains of a million-endpoint fan-out, large enough that the loop's own cost disappears.
pub const DRAIN_BUDGET: u32 = 256;

/// Lazy records wait for company at most this long: in the machine while a drain has other things to do, and in the log,
/// which has written them, for their sync.
pub const LINGER: Duration = Duration::from_millis(5);

/// Lazy records wait for company until there are this many.
pub const LINGER_RECORDS: usize = 512;

/// Batches with gating records handed to the log and not acknowledged. More would only queue in the adapter.
pub const UNACKED_BATCHES: usize = 8;

/// Batches of lazy records handed to the log and not acknowledged; what comes meanwhile gathers in the next. So many
/// that each drain of a busy sender can hand out its own within the time that a sync lingers, so few that a log that
/// hangs is not given crumbs.
pub const LAZY_BATCHES: usize = 1024;

/// A payload that has not been used for this long leaves memory, and comes back from the log when its event is due.
pub const RESIDENT_FOR: Duration = Duration::from_secs(60);

/// Notices kept for a driver that does not drain; those beyond are folded into a count.
pub const NOTICES: usize = 1024;

/// Requests in a row that were signed and out of time, all in one direction and each signed later than the one before, after
/// which a receiver tells that the clocks differ.
pub const SKEW_REQUESTS: u32 = 5;

/// An attempt that the adapter has not reported this long after its deadline is ended by the core, and its slot is
/// freed at the latest this long after that.
pub const OVERDUE_GRACE: Duration = Duration::from_secs(5);

/// Longest event type, in bytes.
pub const EVENT_TYPE_BYTES: usize = 256;

/// Patterns in one subscription.
pub const PATTERNS: usize = 256;

/// Longest URL of an endpoint, in bytes.
pub const URL_BYTES: usize = 2048;

/// Custom headers of one endpoint, and the bytes of their names and values together.
pub const CUSTOM_HEADERS: usize = 32;
/// See [`CUSTOM_HEADERS`].
pub const CUSTOM_HEADER_BYTES: usize = 8 * 1024;

/// Keys in one endpoint's ring.
pub const RING_KEYS: usize = 10;

/// Bytes of a signing key where one is registered or minted (Standard Webhooks: 24 to 64).
pub const KEY_BYTES: core::ops::RangeInclusive<usize> = 24..=64;

/// Signatures looked at in one header when verifying.
pub const SIGNATURES: usize = 32;

/// Addresses tried within the one deadline of an attempt.
pub const ADDRESSES_TRIED: usize = 3;

/// Overlap of an old key after a rotation, when none is given.
pub const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Earlier subscriptions of one endpoint that are remembered while deliveries from their time wait.
pub const RETIRED: usize = 1024;

/// Subscriptions with a content filter that one fan-out knows ahead, 4 bytes each; behind them the filters are asked
/// again, about the rest.
pub const MATCHED: usize = 1024;

/// Dialects in which one endpoint's requests are signed at once.
pub const DIALECTS: usize = 8;

/// Steps in one retry schedule.
pub const SCHEDULE_STEPS: usize = 64;

/// Longest single delay of a retry schedule.
pub const SCHEDULE_DELAY: Duration = Duration::from_secs(30 * 24 * 3600);

/// A larger `Retry-After` is cut to this, with a notice.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 3600);

/// A throttled endpoint rests for the delivery's own delay, but not longer than this unless it asked for more.
pub const THROTTLE_CAP: Duration = Duration::from_secs(60);

/// The first of a strict lane that has no attempt left in its schedule is tried again after the last delay of it, and not
/// sooner than this.
pub const LANE_RETRY: Duration = Duration::from_secs(5 * 60);

/// Lanes in which nothing stands that are remembered, over all endpoints; the one that was so longest is forgotten first,
/// and its next event names none before it.
pub const LANES: usize = 1_000_000;
/// A breaker opens when of at least [`BREAKER_ATTEMPTS`] attempts within this time at least [`BREAKER_PERCENT`] per cent
/// failed.
pub const BREAKER_WINDOW: Duration = Duration::from_secs(5 * 60);

/// See [`BREAKER_WINDOW`].
pub const BREAKER_ATTEMPTS: u16 = 10;

/// See [`BREAKER_WINDOW`].
pub const BREAKER_PERCENT: u8 = 70;

/// How long an endpoint rests when its breaker first opens.
pub const BREAKER_OPEN: Duration = Duration::from_secs(30);

/// How long it rests at most: each failed probe doubles the rest up to this.
pub const BREAKER_LONGEST: Duration = Duration::from_secs(30 * 60);

/// An endpoint is disabled at a failed attempt, when its first failure since the last success is at least this old and
/// at least [`DISABLE_FAILURES`] attempts have failed since.
pub const DISABLE_AFTER: Duration = Duration::from_secs(120 * 3600);

/// See [`DISABLE_AFTER`].
pub const DISABLE_FAILURES: u32 = 5;

/// Of what starts while first attempts and retries both wait, retries are at most this share, in per cent.
pub const RETRY_PERCENT: u8 = 20;

/// Retries that were earned by first attempts and are kept for later, at most.
pub const RETRIES_KEPT: u16 = 10;

/// Attempts that an endpoint may have in flight, when it does not say otherwise.
pub const IN_FLIGHT: u16 = 8;

/// Deliveries of a disabled endpoint are held this long, then discarded.
pub const DISABLED_HOLD: Duration = Duration::from_secs(72 * 3600);

/// Matching subscriptions passed between two fan-out marks in the journal.
pub const MARK_EVERY: u32 = 4096;

/// Deliveries named one by one in the report of an event; the others are counted.
pub const REPORT_ENTRIES: usize = 64;

/// Bytes of an answer that an attempt's record keeps, where the endpoint asks for it.
pub const ANSWER_KEPT: usize = 1024;

/// Objects and arrays inside one another that an encoding other than JSON expresses, and that a pointer leads through:
/// as many as common JSON parsers read.
pub const NESTING: usize = 128;

/// Events that are read out of one request that carries several.
pub const EVENTS_IN_A_REQUEST: usize = 10_000;

/// A form has at most this many times the bytes of its payload, and [`FORM_BYTES`]: each value repeats the whole way to
/// it, so that a small payload could fill the memory.
pub const FORM_EXPANSION: usize = 16;
/// See [`FORM_EXPANSION`].
pub const FORM_BYTES: usize = 1024 * 1024;

/// Pointers that choose the parts of a thin payload, and the bytes of each.
pub const POINTERS: usize = 32;
/// See [`POINTERS`].
pub const POINTER_BYTES: usize = 256;

/// Longest source of CloudEvents that an endpoint may set, in bytes.
pub const SOURCE_BYTES: usize = 512;

/// Bodies of one event in different shapes that are kept for all its endpoints, besides the first. Beyond them each
/// attempt makes its own, so that an event costs memory for the shapes that are common and not for each endpoint's own.
pub const SHARED_BODIES: usize = 8;

/// One part of a snapshot, in bytes, at most.
pub const SNAPSHOT_PART: usize = 1024 * 1024;

/// Records asked for by one `Load`.
pub const LOAD_RECORDS: usize = 64;

/// What a machine may hold, chosen by whoever makes it. The defaults are those of a single mid-sized process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one payload.
    pub payload: usize,
    /// Events that are not yet ended.
    pub events: usize,
    /// Bytes of payloads kept in memory; beyond them, payloads that wait are read back when they are due.
    pub resident: usize,
    /// Deliveries that wait, over all endpoints.
    pub pending: usize,
    /// Endpoints, over all tenants.
    pub endpoints: usize,
    /// Bytes of records that may wait for the log before events are refused. At twice as many commands on endpoints and
    /// events are refused too, and nothing starts: what was started still ends, so a little more comes.
    pub unwritten: u64,
    /// Attempts in flight for all endpoints of one tenant together; at least 1 counts. Without a bound by default.
    pub tenant_in_flight: u32,
    /// Attempts in flight to one host and port, over all endpoints whose URLs name it; at least 1 counts. Without a
    /// bound by default.
    pub host_in_flight: u32,
    /// Events whose reports stay readable after they ended.
    pub reports: usize,
    /// How long a repeat of an event is recognised.
    pub idempotency_window: Duration,
    /// Names remembered for that, at most, of each tenant: one for an event, and one more where it has an idempotency
    /// key. The tenant's oldest are forgotten first, with a notice; so no tenant crowds out another's.
    pub idempotency_entries: usize,
    /// The same over all tenants, which bounds the memory; the oldest of all are forgotten first, with a notice.
    pub idempotency_total: usize,
    /// Bytes of records between two snapshots, at least; at least four times as many as the last snapshot has, too.
    pub snapshot_every: u64,
    /// Bytes of a response body that are kept.
    pub response_kept: usize,
    /// Bytes of a response body that are read before the connection is given up.
    pub response_read: usize,
    /// Bytes of a response head.
    pub response_head: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload: 256 * 1024,
            events: 1_000_000,
            resident: 256 * 1024 * 1024,
            pending: 10_000_000,
            endpoints: 10_000_000,
            unwritten: 64 * 1024 * 1024,
            tenant_in_flight: u32::MAX,
            host_in_flight: u32::MAX,
            reports: 4096,
            idempotency_window: Duration::from_secs(24 * 3600),
            idempotency_entries: 1_000_000,
            idempotency_total: 10_000_000,
            snapshot_every: 64 * 1024 * 1024,
            response_kept: 16 * 1024,
            response_read: 64 * 1024,
            response_head: 32 * 1024,
        }
    }
}

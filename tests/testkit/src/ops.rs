//! Everything that an application, a log, a network and two clocks can do to a sender, as values that proptest draws
//! and shrinks.

use std::time::Duration;

use postrider_core::limits::Limits;
use postrider_core::response::{Denial, Outcome, Phase, Reply, TransportError};
use postrider_core::sender::{Close, PersistFailure};
use proptest::prelude::*;

/// One thing done to a sender. Numbers name things modulo how many there are, so that every value means something.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Publish the event of this number; another variant has other content under the same id.
    Publish {
        /// Which of 12 ids.
        id: u8,
        /// Which of 3 types.
        kind: u8,
        /// Other content.
        variant: bool,
        /// Seconds after which it expires.
        expires: Option<u16>,
        /// An idempotency key besides the id.
        key: Option<u8>,
        /// One of 2 ordering keys.
        lane: Option<u8>,
    },
    /// Send an event again to an endpoint, under a fresh id.
    Replay {
        /// Which of 12 ids.
        id: u8,
        /// Which of 4 endpoints.
        endpoint: u8,
    },
    /// Register or change an endpoint.
    Put {
        /// Which of 4.
        endpoint: u8,
        /// Which of 5 subscriptions.
        wants: u8,
        /// Attempts at once.
        concurrency: u8,
        /// Which of 4 schedules, and four times which of 4 ways to be paced.
        schedule: u8,
        /// No lanes, lanes that skip what is exhausted, strict ones, and the second that keep the newest only.
        order: u8,
    },
    /// Pause an endpoint.
    Pause(u8),
    /// Resume an endpoint.
    Resume(u8),
    /// Disable an endpoint.
    Disable(u8),
    /// Remove an endpoint.
    Remove(u8),
    /// Add one of 4 keys to an endpoint.
    AddKey(u8, u8),
    /// Let a key of an endpoint expire in so many seconds.
    ExpireKey(u8, u8, u16),
    /// Revoke a key of an endpoint.
    RevokeKey(u8, u8),
    /// Change an endpoint over to one of 4 keys, with an overlap of so many seconds.
    RotateKey(u8, u8, u16),
    /// End the rotation of an endpoint.
    FinishRotation(u8),
    /// Ask the owner of an endpoint for consent from now on: 0 not at all, 1 by a challenge, 2 by CloudEvents' handshake.
    Ask(u8, u8),
    /// The owner of an endpoint that is being asked consents.
    Grant(u8),
    /// Make the endpoints of the first tenant equal to a list.
    Sync {
        /// The list's revision.
        revision: u8,
        /// Which of the first 3 endpoints are listed, by bits.
        listed: u8,
        /// Which of 5 subscriptions they have.
        wants: u8,
    },
    /// Cancel an event.
    Cancel(u8),
    /// Forget an event.
    Erase(u8),
    /// Forget the events of a tenant, of the other one if so said.
    Purge(bool),
    /// Both clocks go on by so many milliseconds.
    Tick(u32),
    /// The clocks jump, in milliseconds either way: the monotonic one, the wall clock.
    Jump(i32, i32),
    /// An open attempt ends.
    Complete(u8, End),
    /// An attempt that was reported is reported again.
    CompleteTwice(u8, End),
    /// An attempt is reported that the sender never made.
    CompleteUnknown(End),
    /// So many batches are acknowledged.
    Ack(u8),
    /// What is not acknowledged fails.
    Fail(PersistFailure),
    /// The log has this much room.
    Room(u32),
    /// The oldest request for records is answered.
    AnswerLoad(Loads),
    /// So many attempts can be carried.
    Credit(u8),
    /// So many outputs are taken.
    Drain(u8),
    /// Outputs are taken until the sender waits.
    DrainAll,
    /// Outputs are taken and acknowledged until the sender waits.
    Settle,
    /// The sender is told to close.
    Close(Close),
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// A reply with this status.
    Status(u16),
    /// A reply with this status and a `Retry-After` in seconds.
    Asked(u16, u16),
    /// Nothing came until the deadline.
    Timeout,
    /// The connection was closed.
    Closed,
    /// The policy refused the address.
    Denied,
}

/// How a request for records is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "records are there, or not now, or not any more")]
pub enum Loads {
    /// With the records.
    Ok,
    /// Not now.
    Unavailable,
    /// They are damaged.
    Corrupt,
}

/// What a run begins with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// The sender's limits.
    pub limits: Limits,
    /// The credit at the beginning.
    pub credit: u8,
}

impl End {
    /// The outcome that the sender is told.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Status(status) => Ok(Reply::new(status)),
            Self::Asked(status, secs) => Ok(Reply::new(status).header("retry-after", secs.to_string().as_bytes())),
            Self::Timeout => Err(TransportError::TimedOut(Phase::Head)),
            Self::Closed => Err(TransportError::Closed),
            Self::Denied => Err(TransportError::Denied(Denial::Address)),
        }
    }

    /// Whether the receiver took it.
    pub fn is_success(self) -> bool {
        match self {
            Self::Status(status) | Self::Asked(status, _) => (200..300).contains(&status),
            Self::Timeout | Self::Closed | Self::Denied => false,
        }
    }

    /// How long the receiver asked to be left alone.
    pub fn asked(self) -> Duration {
        match self {
            Self::Asked(_, secs) => Duration::from_secs(secs.into()),
            Self::Status(_) | Self::Timeout | Self::Closed | Self::Denied => Duration::ZERO,
        }
    }

    /// Whether it throttles the endpoint.
    pub fn throttles(self) -> bool {
        matches!(self, Self::Status(429 | 502 | 503 | 504) | Self::Asked(429 | 502 | 503 | 504, _))
    }
}

/// Any end of an attempt.
pub fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Status(204)),
        1 => Just(End::Status(200)),
        3 => Just(End::Status(500)),
        1 => Just(End::Status(302)),
        1 => Just(End::Status(410)),
        1 => Just(End::Status(429)),
        1 => (0..200_u16).prop_map(|secs| End::Asked(503, secs)),
        1 => (0..200_u16).prop_map(|secs| End::Asked(500, secs)),
        1 => Just(End::Timeout),
        1 => Just(End::Closed),
        1 => Just(End::Denied),
    ]
}

/// Any op.
pub fn op() -> impl Strategy<Value = Op> {
    let millis = || prop_oneof![Just(1), Just(5), Just(1000), Just(5000), Just(25_000), 0..400_000_u32];
    let jump = || prop_oneof![Just(0), -400_000_000..400_000_000_i32, -10_000..10_000_i32];
    prop_oneof![
        12 => publish(),
        3 => (0..12_u8, 0..4_u8).prop_map(|(id, endpoint)| Op::Replay { id, endpoint }),
        4 => put(),
        1 => (0..4_u8).prop_map(Op::Pause),
        2 => (0..4_u8).prop_map(Op::Resume),
        1 => (0..4_u8).prop_map(Op::Disable),
        1 => (0..4_u8).prop_map(Op::Remove),
        1 => (0..4_u8, 0..4_u8).prop_map(|(endpoint, key)| Op::AddKey(endpoint, key)),
        1 => (0..4_u8, 0..4_u8, 0..100_u16).prop_map(|(endpoint, key, secs)| Op::ExpireKey(endpoint, key, secs)),
        1 => (0..4_u8, 0..4_u8).prop_map(|(endpoint, key)| Op::RevokeKey(endpoint, key)),
        1 => (0..4_u8, 0..4_u8, 0..100_u16).prop_map(|(endpoint, key, secs)| Op::RotateKey(endpoint, key, secs)),
        1 => (0..4_u8).prop_map(Op::FinishRotation),
        1 => (0..4_u8, 0..3_u8).prop_map(|(endpoint, by)| Op::Ask(endpoint, by)),
        3 => any::<u8>().prop_map(Op::Grant),
        1 => (0..6_u8, 0..8_u8, 0..5_u8)
            .prop_map(|(revision, listed, wants)| Op::Sync { revision, listed, wants }),
        2 => (0..12_u8).prop_map(Op::Cancel),
        1 => (0..12_u8).prop_map(Op::Erase),
        1 => any::<bool>().prop_map(Op::Purge),
        6 => millis().prop_map(Op::Tick),
        2 => (jump(), jump()).prop_map(|(mono, wall)| Op::Jump(mono, wall)),
        12 => (any::<u8>(), end()).prop_map(|(nth, end)| Op::Complete(nth, end)),
        1 => (any::<u8>(), end()).prop_map(|(nth, end)| Op::CompleteTwice(nth, end)),
        1 => end().prop_map(Op::CompleteUnknown),
        5 => (0..4_u8).prop_map(Op::Ack),
        1 => prop_oneof![4 => Just(PersistFailure::Broken), 1 => Just(PersistFailure::Full)].prop_map(Op::Fail),
        1 => prop_oneof![Just(u32::MAX), 0..200_000_u32].prop_map(Op::Room),
        4 => prop_oneof![6 => Just(Loads::Ok), 1 => Just(Loads::Unavailable), 1 => Just(Loads::Corrupt)]
            .prop_map(Op::AnswerLoad),
        2 => (0..6_u8).prop_map(Op::Credit),
        4 => (0..6_u8).prop_map(Op::Drain),
        10 => Just(Op::DrainAll),
        12 => Just(Op::Settle),
    ]
}

fn put() -> impl Strategy<Value = Op> {
    (0..4_u8, 0..5_u8, 1..4_u8, prop_oneof![0..4_u8, 0..16_u8], 0..4_u8).prop_map(
        |(endpoint, wants, concurrency, schedule, order)| Op::Put { endpoint, wants, concurrency, schedule, order },
    )
}

fn publish() -> impl Strategy<Value = Op> {
    let expires = proptest::option::weighted(0.1, 0..120_u16);
    let key = proptest::option::weighted(0.2, 0..3_u8);
    let lane = proptest::option::weighted(0.5, 0..2_u8);
    (0..12_u8, 0..3_u8, proptest::bool::weighted(0.05), expires, key, lane)
        .prop_map(|(id, kind, variant, expires, key, lane)| Op::Publish { id, kind, variant, expires, key, lane })
}

/// Up to `most` ops.
pub fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..most)
}

/// Ops of which one in a while closes the sender.
pub fn ops_with_close(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let close = prop_oneof![Just(Close::Drain), Just(Close::Now)].prop_map(Op::Close);
    let fail = Just(Op::Fail(PersistFailure::Broken));
    proptest::collection::vec(prop_oneof![12 => op(), 1 => close, 2 => fail], 1..most)
}

/// What a run begins with; limits are small sometimes.
pub fn setup() -> impl Strategy<Value = Setup> {
    let events = prop_oneof![3 => Just(1000), 1 => Just(3)];
    let pending = prop_oneof![3 => Just(1000), 1 => 1..6_usize];
    let resident = prop_oneof![3 => Just(1 << 20), 1 => Just(60), 1 => Just(0)];
    let entries = prop_oneof![3 => Just(1000), 1 => 0..4_usize];
    // Bytes; a record has some 50, that of an endpoint 150.
    let every = prop_oneof![1 => Just(1 << 26), 1 => 100..3000_u64];
    let endpoints = prop_oneof![3 => Just(1000), 1 => Just(3)];
    let credit = prop_oneof![Just(64), 1..4_u8];
    let bound = || prop_oneof![4 => Just(u32::MAX), 1 => 1..4_u32];
    (events, pending, resident, entries, every, endpoints, credit, (bound(), bound())).prop_map(
        |(events, pending, resident, entries, every, endpoints, credit, (tenant, host))| {
            let mut limits = Limits::default();
            limits.events = events;
            limits.pending = pending;
            limits.resident = resident;
            limits.idempotency_entries = entries;
            limits.snapshot_every = every;
            limits.endpoints = endpoints;
            (limits.tenant_in_flight, limits.host_in_flight) = (tenant, host);
            Setup { limits, credit }
        },
    )
}

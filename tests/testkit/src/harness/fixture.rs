//! The few endpoints, events and keys that ops name by numbers.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::matching::filter::Language;
use postrider_core::registration::consent::ConsentBy;
use postrider_core::registration::{Endpoint, Ordering, State};
use postrider_core::retry::{BreakerPolicy, DisableRule, Rate};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, REPLAYED, Replay, ReplayAs, Sender, Wake};
use postrider_core::signing::Dialect;
use postrider_core::time::{Now, UnixTime};

use crate::MemoryLog;

const TYPES: [&str; 3] = ["order.paid", "order.shipped.late", "user.created"];

/// Patterns, and for each type whether they want it.
const WANTS: [(&[&str], [bool; 3]); 5] = [
    (&["**"], [true, true, true]),
    (&["order.**"], [true, true, false]),
    (&["order.paid"], [true, false, false]),
    (&["order.*", "user.**"], [true, false, true]),
    (&["user.created"], [false, false, true]),
];

/// Where all endpoints are.
pub(super) const HOST: &str = "hooks.test-postrider.com";

const SCHEDULES: [&[u64]; 4] = [&[0, 1, 2, 3600], &[0, 5], &[0, 0, 0], &[0]];

pub(super) fn wants(wants: u8, kind: u8) -> bool {
    WANTS[usize::from(wants)].1[usize::from(kind)]
}

pub(super) fn patterns(wants: u8) -> &'static [&'static str] {
    WANTS[usize::from(wants)].0
}

/// The last of the endpoints, and every fourth event, belong to another tenant.
pub(super) fn tenant(other: bool) -> TenantId {
    if other { TenantId::new("other").expect("a tenant") } else { TenantId::default() }
}

pub(super) fn is_other(endpoint: u8) -> bool {
    endpoint == 3
}

pub(super) fn key(at: u8) -> EndpointKey {
    EndpointKey::new(format!("e{at}")).expect("an endpoint").of(tenant(is_other(at)))
}

pub(super) fn place(key: &EndpointKey) -> u8 {
    key.id.as_str().as_bytes()[1] - b'0'
}

pub(super) fn secret(at: u8, key: u8) -> Secret {
    Secret::from_bytes([1 + key + at * 16; 32]).expect("32 bytes are a key")
}

pub(super) fn endpoint(at: u8, wants: u8, (concurrency, schedule, order): (u8, u8, u8), fresh: bool) -> Endpoint {
    let ordering = [Ordering::None, Ordering::SkipOnExhaust, Ordering::Strict, Ordering::SkipOnExhaust];
    let endpoint = Endpoint::new(key(at).id.as_str(), format!("https://{HOST}/in"))
        .tenant(key(at).tenant.as_str())
        .events(patterns(wants))
        .concurrency(concurrency.into())
        .ordering(ordering[usize::from(order)])
        .coalesce(order == 3)
        .schedule(SCHEDULES[usize::from(schedule % 4)].iter().map(|secs| Duration::from_secs(*secs)));
    let endpoint = paced(endpoint, schedule / 4);
    // Every event passes the filter, so that who wants what stays the same and is found in another way.
    let endpoint =
        if concurrency.is_multiple_of(2) { endpoint.filter(Language::EventBridge, ANY_ID) } else { endpoint };
    let endpoint =
        if schedule.is_multiple_of(2) { endpoint.sign([Dialect::Standard, Dialect::Github]) } else { endpoint };
    if fresh { endpoint.signing_key(secret(at, 0)) } else { endpoint }
}

/// The way to ask for consent that has this number.
pub(super) fn way(asks: u8) -> ConsentBy {
    ConsentBy::ALL[usize::from(asks) % ConsentBy::ALL.len()]
}

/// The number of a state, as the log has it; 5 for one that is not in the log.
pub(super) fn code(state: State) -> u8 {
    match state {
        State::Active => 0,
        State::Paused { .. } => 1,
        State::Disabled { .. } => 2,
        State::Gone { .. } => 3,
        State::Unverified { .. } => 4,
        State::Removed { .. } => 5,
    }
}

/// As usual; with a rate; with a breaker and a rule that act soon; with limits on waiting and age.
fn paced(endpoint: Endpoint, how: u8) -> Endpoint {
    let secs = Duration::from_secs;
    match how {
        1 => endpoint.rate(Rate::per_second(2).and_then(|rate| rate.with_burst(3)).expect("a rate")),
        2 => {
            let policy = BreakerPolicy::DEFAULT.with_rule(2, 50, secs(60));
            let policy = policy.and_then(|policy| policy.with_open(secs(1), secs(8))).expect("a policy");
            endpoint.breaker(policy).disable_after(DisableRule::new(secs(60), 3).expect("a rule"))
        }
        3 => endpoint.queue_limit(secs(10)).max_age(secs(100)),
        _ => endpoint,
    }
}

/// Whether deliveries to an endpoint that is put so may expire although their events do not.
pub(super) fn expires(schedule: u8) -> bool {
    schedule / 4 == 3
}

/// What every event says.
const ANY_ID: &str = r#"{"data": {"id": [{"numeric": [">=", 0]}]}}"#;

pub(super) fn event_id(id: u8) -> EventId {
    EventId::new(format!("ev{id}")).expect("an event")
}

pub(super) fn tenant_of(id: &EventId) -> TenantId {
    let name = id.as_str().strip_prefix(REPLAYED).and_then(|name| name.split_once('-'));
    let number: u8 = name.map_or_else(|| &id.as_str()[2..], |(of, _)| of).parse().expect("one of ours");
    tenant(is_other_event(number))
}

pub(super) fn is_other_event(id: u8) -> bool {
    id % 4 == 3
}

pub(super) fn event(id: u8, kind: u8, variant: bool) -> Event {
    let body = format!("{{\"id\":{id},\"variant\":{variant},\"pad\":\"{}\"}}", "x".repeat(usize::from(id)));
    let event = Event::json_bytes(TYPES[usize::from(kind)], Bytes::from(body)).expect("JSON");
    event.id(event_id(id).as_str()).tenant(tenant(is_other_event(id)).as_str())
}

/// The event of this number once more, to an endpoint.
pub(super) fn replay(id: u8, at: u8) -> Replay {
    Replay::new(event(id, 0, false), &format!("{id}-{at}"), event_id(id), key(at).id, ReplayAs::Fresh)
}

/// The name of an attempt that another sender made.
pub(super) fn foreign_attempt() -> AttemptId {
    static ATTEMPT: OnceLock<AttemptId> = OnceLock::new();
    *ATTEMPT.get_or_init(|| {
        let now = Now { mono: Default::default(), wall: UnixTime::from_secs(1) };
        let mut log = MemoryLog::new();
        let mut sender = Sender::new(Config::new(), Seed::from_bytes([0; 32]), now);
        sender.put(now, endpoint(0, 0, (1, 0, 0), true)).expect("an endpoint");
        sender.publish(now, event(0, 0, false)).expect("an event");
        // So often restarted that no sender under test is as old.
        for _ in 0..200 {
            let _ = first_attempt(&mut sender, &mut log, now);
            sender = log.restore(Config::new(), now).expect("its own log");
        }
        first_attempt(&mut sender, &mut log, now).expect("the event is still owed")
    })
}

fn first_attempt(sender: &mut Sender, log: &mut MemoryLog, now: Now) -> Option<AttemptId> {
    let mut found = None;
    loop {
        match sender.poll_output() {
            Output::Persist(batch) => {
                log.append(batch);
                let last = log.sync_one().map_or(JournalSeq::ZERO, |(last, _)| last);
                sender.handle(now, Input::Persisted(last));
            }
            Output::Transmit(transmit) => found = Some(transmit.attempt()),
            Output::Load(request) => {
                let result = log.load(&request);
                sender.handle(now, Input::Loaded { request: request.id(), result });
            }
            Output::Wait(Wake::Ready) => {}
            Output::Wait(_) => return found,
            Output::Snapshot(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
        }
    }
}

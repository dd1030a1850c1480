//! Sizes at which what is only sometimes so in small runs is always so.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::Record;
use postrider_core::limits::{self, Limits};
use postrider_core::registration::Endpoint;
use postrider_core::response::Reply;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Close, Config, Input, LoadError, LoadRequest, Notice, Output, Put, Sender, Transmit, Wake,
};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_testkit::MemoryLog;

/// A sender, its log, and what it has in flight.
struct Big {
    sender: Sender,
    config: Config,
    log: MemoryLog,
    now: Now,
    flying: Vec<Transmit>,
    notices: Vec<Notice>,
    marks: usize,
    most_flying: usize,
    most_pending: usize,
    most_resident: usize,
    loads: usize,
}

impl Big {
    fn new(limits: Limits) -> Self {
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_800_000_000) };
        let config = Config::new().limits(limits);
        Self {
            sender: Sender::new(config.clone(), Seed::from_bytes([3; 32]), now),
            config,
            log: MemoryLog::new(),
            now,
            flying: Vec::new(),
            notices: Vec::new(),
            marks: 0,
            most_flying: 0,
            most_pending: 0,
            most_resident: 0,
            loads: 0,
        }
    }

    fn put(&mut self, n: usize) {
        self.sender.put(self.now, endpoint(n, "**")).unwrap();
    }

    fn publish(&mut self, n: usize) {
        self.sender.publish(self.now, event(n)).unwrap();
    }

    fn drain(&mut self) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.append(batch);
                    let (last, records) = self.log.sync_one().unwrap();
                    self.marks += records.iter().filter(|(_, record)| matches!(record, Record::Mark(_))).count();
                    self.sender.handle(self.now, Input::Persisted(last));
                }
                Output::Load(request) => {
                    self.loads += request.records().len();
                    let result = self.log.load(&request);
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(part) => self.log.snapshot(&part),
                Output::Reclaim(watermark) => self.log.reclaim(watermark),
                Output::Transmit(transmit) => self.flying.push(transmit),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Abort(attempt) => panic!("nothing aborts {attempt}"),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => break,
            }
            self.most_flying = self.most_flying.max(self.sender.in_flight());
            self.most_pending = self.most_pending.max(self.sender.pending());
            self.most_resident = self.most_resident.max(self.sender.resident());
        }
    }

    /// Ends everything in flight, so often; gives whom it went to.
    fn deliver(&mut self, rounds: usize) -> Vec<(EventId, EndpointKey)> {
        let mut delivered = Vec::new();
        for _ in 0..rounds {
            self.now = self.now.advanced(Duration::from_millis(5));
            self.sender.handle(self.now, Input::Tick);
            self.drain();
            if self.flying.is_empty() && self.sender.is_settled() {
                break;
            }
            for transmit in std::mem::take(&mut self.flying) {
                delivered.push((transmit.event().clone(), transmit.endpoint().clone()));
                let (attempt, outcome) = (transmit.attempt(), Ok(Reply::new(204)));
                self.sender.handle(self.now, Input::Completed { attempt, outcome });
            }
        }
        delivered
    }

    /// Dies and comes back; nobody knows how what was in flight went.
    fn restart(&mut self) {
        self.log.cut(0);
        self.flying.clear();
        self.sender = self.log.restore(self.config.clone(), self.now).unwrap();
    }
}

fn endpoint(n: usize, pattern: &str) -> Endpoint {
    Endpoint::new(format!("e{n}"), "https://hooks.test-postrider.com/in")
        .events([pattern])
        .signing_key(Secret::from_bytes([7; 32]).unwrap())
        .no_breaker()
}

fn event(n: usize) -> Event {
    Event::json_bytes("order.paid", Bytes::from(vec![b'1'; 100])).unwrap().id(format!("ev{n}"))
}

fn key(n: usize) -> EndpointKey {
    EndpointKey::new(format!("e{n}")).unwrap()
}

/// With no memory for payloads, every one is read back, and not many are there at once.
#[test]
fn payloads_without_room_come_back_from_the_log() {
    let mut limits = Limits::default();
    limits.resident = 0;
    let mut big = Big::new(limits);
    (0..3).for_each(|n| big.put(n));
    big.sender.pause(big.now, &key(2)).unwrap();
    big.drain();
    for n in 0..1000 {
        big.publish(n);
        if n % 100 == 99 {
            big.drain();
        }
    }
    let mut delivered = big.deliver(5000);
    assert_eq!(delivered.len(), 2000, "two endpoints take everything, the third is paused");
    assert_eq!((big.sender.pending(), big.sender.resident(), big.sender.events()), (1000, 0, 1000));
    big.sender.resume(big.now, &key(2)).unwrap();
    delivered.extend(big.deliver(5000));
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!(delivered.len(), 3000);
    assert!(big.sender.is_settled() && big.sender.resident() == 0);
    assert!(big.loads >= 2000, "each payload came back for those that took it at once, and for the one that waited");
    // 256 asked for, the credit, and 100 of the last publishes that were not durable.
    assert!(big.most_resident <= (256 + 64 + 100) * 100, "{} bytes at once", big.most_resident);
}

/// A payload that nobody has used for a minute leaves memory, and the delivery is named when it comes back, when it cannot
/// be read for now, and when it is lost.
#[test]
fn payloads_that_are_not_used_leave_memory_and_come_back_when_due() {
    let mut big = Big::new(Limits::default());
    let hour = Duration::from_secs(3600);
    big.sender
        .put(big.now, endpoint(0, "**").timeout(Duration::from_secs(60)).schedule([Duration::ZERO, hour, hour]))
        .unwrap();
    big.drain();
    let fail = |big: &mut Big| {
        for transmit in std::mem::take(&mut big.flying) {
            let (attempt, outcome) = (transmit.attempt(), Ok(Reply::new(500)));
            big.sender.handle(big.now, Input::Completed { attempt, outcome });
        }
        big.drain();
    };
    let advance = |big: &mut Big, secs| {
        big.now = big.now.advanced(Duration::from_secs(secs));
        big.sender.handle(big.now, Input::Tick);
    };
    (0..3).for_each(|n| big.publish(n));
    big.drain();
    advance(&mut big, 62);
    big.drain();
    assert_eq!(big.sender.resident(), 300, "what is in flight is used");
    fail(&mut big);
    advance(&mut big, 59);
    big.drain();
    assert_eq!(big.sender.resident(), 300, "used a moment ago");
    advance(&mut big, 1);
    big.drain();
    assert_eq!((big.sender.resident(), big.sender.pending(), big.loads), (0, 3, 0));
    let id = |n: usize| EventId::new(format!("ev{n}")).unwrap();
    assert_eq!(
        big.sender.report(&TenantId::default(), &id(1)).unwrap().tally.attempts,
        1,
        "it can still be asked about"
    );

    // The retry is due, and the log has troubles.
    advance(&mut big, 4320);
    let ask = |big: &mut Big| {
        let mut asked = Vec::new();
        loop {
            match big.sender.poll_output() {
                Output::Load(request) => asked.push(request),
                Output::Persist(batch) => {
                    big.log.append(batch);
                    let (last, _) = big.log.sync_one().unwrap();
                    big.sender.handle(big.now, Input::Persisted(last));
                }
                Output::Wait(Wake::Ready) | Output::Notice(_) => {}
                Output::Wait(_) => return asked,
                output => panic!("{output:?}"),
            }
        }
    };
    let asked = ask(&mut big);
    assert_eq!(asked.iter().map(|request| request.records().len()).sum::<usize>(), 3);
    for request in asked {
        let result = Err(LoadError::Unavailable);
        big.sender.handle(big.now, Input::Loaded { request: request.id(), result });
    }
    big.drain();
    assert!(big.notices.iter().any(|notice| matches!(notice, Notice::LoadFailed { .. })));
    assert_eq!((big.sender.pending(), big.flying.len()), (3, 0));
    advance(&mut big, 59);
    assert!(ask(&mut big).is_empty());
    advance(&mut big, 1);
    for request in ask(&mut big) {
        let mut found = big.log.load(&request).unwrap();
        found.retain(|(_, record)| !matches!(record, Record::Accepted(accepted) if accepted.id == id(1)));
        big.sender.handle(big.now, Input::Loaded { request: request.id(), result: Ok(found) });
    }
    big.drain();
    let lost =
        |notice: &Notice| matches!(notice, Notice::Lost { endpoint, event } if *endpoint == key(0) && *event == id(1));
    assert!(big.notices.iter().any(lost), "{:?}", big.notices);
    assert_eq!(big.flying.iter().map(Transmit::number).collect::<Vec<_>>(), [2, 2]);
}

/// More payloads are wanted than may be under way at once: when there is room, everybody goes on who waits for that,
/// though those before them have ended.
#[test]
fn whoever_waits_for_a_payload_goes_on_when_there_is_room() {
    let mut limits = Limits::default();
    limits.resident = 0;
    let mut big = Big::new(limits);
    big.sender.put(big.now, endpoint(0, "**").concurrency(1024)).unwrap();
    big.sender.handle(big.now, Input::Credit(1024));
    big.drain();
    (0..600).for_each(|n| big.publish(n));
    let mut asked = Vec::new();
    // The log has nothing to say yet, and no time passes.
    let drain = |big: &mut Big, asked: &mut Vec<_>| loop {
        match big.sender.poll_output() {
            Output::Persist(batch) => {
                big.log.append(batch);
                let (last, _) = big.log.sync_one().unwrap();
                big.sender.handle(big.now, Input::Persisted(last));
            }
            Output::Load(request) => asked.push(request),
            Output::Wait(Wake::Ready) | Output::Notice(_) => {}
            Output::Wait(_) => break,
            output => panic!("{output:?}"),
        }
    };
    drain(&mut big, &mut asked);
    let records = |asked: &[LoadRequest]| asked.iter().map(|request| request.records().len()).sum::<usize>();
    assert_eq!(records(&asked), 256);
    for n in 256..500 {
        big.sender.cancel(big.now, &TenantId::default(), &EventId::new(format!("ev{n}")).unwrap()).unwrap();
    }
    drain(&mut big, &mut asked);
    for request in std::mem::take(&mut asked) {
        let result = Err(LoadError::Unavailable);
        big.sender.handle(big.now, Input::Loaded { request: request.id(), result });
    }
    drain(&mut big, &mut asked);
    assert_eq!(records(&asked), 100);
}

/// One event to 100,000 endpoints: as many attempts as the credit at once, nobody waits, and a restart in the middle
/// sends nothing again that is durably done.
#[test]
fn an_event_to_a_hundred_thousand_endpoints_is_one_job() {
    const ENDPOINTS: usize = 100_000;
    let mut big = Big::new(Limits::default());
    big.sender.handle(big.now, Input::Credit(1024));
    for n in 0..ENDPOINTS {
        big.put(n);
        if n % 1000 == 999 {
            big.drain();
        }
    }
    big.publish(0);
    let mut delivered = big.deliver(50);
    assert!(delivered.len() >= 40_000 && delivered.len() < ENDPOINTS, "{}", delivered.len());
    assert_eq!(big.most_pending, 0);
    big.now = big.now.advanced(Duration::from_secs(1));
    big.sender.handle(big.now, Input::Tick);
    big.drain();
    let before = delivered.len();
    big.restart();
    big.sender.handle(big.now, Input::Credit(1024));
    delivered.extend(big.deliver(500));
    assert!(big.sender.is_settled());
    assert_eq!((big.most_flying, big.most_pending), (1024, 0));
    assert!(big.marks >= ENDPOINTS / limits::MARK_EVERY as usize - 1, "progress is marked");
    let made = delivered.len();
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!((delivered.len(), made), (ENDPOINTS, ENDPOINTS), "{before} before the restart");
}

/// Wherever a log ends that has a mark, what the mark passed is done or named.
#[test]
fn a_crash_behind_a_mark_loses_nobody() {
    let endpoints = limits::MARK_EVERY as usize + 10;
    let mut big = Big::new(Limits::default());
    big.sender.handle(big.now, Input::Credit(u32::MAX));
    (0..endpoints).for_each(|n| {
        big.put(n);
        if n % 500 == 0 {
            big.drain();
        }
    });
    big.publish(0);
    big.drain();
    assert_eq!(big.flying.len(), endpoints);
    big.now = big.now.advanced(Duration::from_millis(5));
    big.sender.handle(big.now, Input::Tick);
    big.drain();
    assert_eq!(big.marks, 1);
    big.restart();
    big.sender.handle(big.now, Input::Credit(u32::MAX));
    assert_eq!(big.deliver(1000).len(), endpoints, "all of them were in flight, and nobody knows how they went");
    assert!(big.sender.is_settled());
}

/// More attempts in flight than one step of aborting looks at, retries among them.
#[test]
fn what_waits_behind_many_retries_in_flight_is_discarded() {
    let mut big = Big::new(Limits::default());
    let many = endpoint(0, "**").concurrency(200).schedule([Duration::ZERO; 3]);
    big.sender.put(big.now, many).unwrap();
    big.sender.handle(big.now, Input::Credit(1000));
    big.drain();
    (0..200).for_each(|n| big.publish(n));
    big.drain();
    for transmit in std::mem::take(&mut big.flying) {
        let outcome = Ok(Reply::new(500));
        big.sender.handle(big.now, Input::Completed { attempt: transmit.attempt(), outcome });
    }
    (200..300).for_each(|n| big.publish(n));
    big.drain();
    assert_eq!(big.flying.iter().filter(|transmit| transmit.number() == 2).count(), 200);
    assert_eq!(big.sender.pending(), 300);
    big.sender.remove(big.now, &key(0)).unwrap();
    let mut aborted = 0;
    loop {
        match big.sender.poll_output() {
            Output::Persist(batch) => big.sender.handle(big.now, Input::Persisted(batch.last())),
            Output::Abort(_) => aborted += 1,
            Output::Wait(Wake::Ready) | Output::Notice(_) => {}
            Output::Wait(_) => break,
            output => panic!("{output:?}"),
        }
    }
    assert_eq!(aborted, 200);
    assert_eq!(big.sender.pending(), 0);
}

/// An endpoint of a quiet tenant may change as often as it likes.
#[test]
fn changing_an_endpoint_while_nothing_waits_is_never_refused() {
    let mut big = Big::new(Limits::default());
    for n in 0..limits::RETIRED + 100 {
        let pattern = if n % 2 == 0 { "order.**" } else { "user.**" };
        let put = big.sender.put(big.now, endpoint(0, pattern)).unwrap();
        assert!(matches!(put, Put::Created(_) | Put::Updated(_)));
        big.drain();
    }
}

/// Notices that nobody reads are counted, not kept.
#[test]
fn unread_notices_are_folded() {
    let mut limits = Limits::default();
    limits.idempotency_entries = 0;
    let mut big = Big::new(limits);
    // Each of these raises a notice that older repeats are no longer recognised.
    (0..3000).for_each(|n| big.publish(n));
    big.drain();
    let shrunk = big.notices.iter().filter(|notice| matches!(notice, Notice::WindowShrunk { .. })).count();
    assert_eq!(shrunk, limits::NOTICES);
    assert!(big.notices.iter().any(|notice| matches!(notice, Notice::Folded(count) if *count >= 1976)));
}

/// An event that takes the place of a cancelled one in the tables still waits for its own record.
#[test]
fn a_reused_place_does_not_skip_the_log() {
    let mut big = Big::new(Limits::default());
    big.put(0);
    big.sender.handle(big.now, Input::Credit(0));
    big.publish(0);
    big.drain();
    big.sender.cancel(big.now, &TenantId::default(), &EventId::new("ev0").unwrap()).unwrap();
    big.drain();
    assert!(big.sender.is_settled());
    big.publish(1);
    big.sender.handle(big.now, Input::Credit(8));
    let mut durable = JournalSeq::ZERO;
    loop {
        match big.sender.poll_output() {
            Output::Persist(batch) => durable = batch.last(),
            Output::Transmit(transmit) => panic!("{transmit:?} before its record is durable"),
            Output::Wait(_) => break,
            Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
        }
    }
    big.sender.handle(big.now, Input::Persisted(durable));
    big.drain();
    assert_eq!(big.flying.len(), 1);
    big.sender.close(big.now, Close::Now);
}

/// A snapshot is taken in parts, and an endpoint is removed and made anew between two of them.
#[test]
fn an_endpoint_made_anew_during_a_snapshot_keeps_what_waits_for_it() {
    const ENDPOINTS: usize = 6000;
    let mut limits = Limits::default();
    limits.snapshot_every = 1_000_000;
    let mut big = Big::new(limits);
    (0..ENDPOINTS).for_each(|n| {
        big.sender.put(big.now, endpoint(n, "other")).unwrap();
    });
    // All is durable, and the first part of a snapshot is out.
    let part = loop {
        match big.sender.poll_output() {
            Output::Persist(batch) => {
                big.log.append(batch);
                let (last, _) = big.log.sync_one().unwrap();
                big.sender.handle(big.now, Input::Persisted(last));
            }
            Output::Snapshot(part) => break part,
            Output::Wait(wake) => assert_eq!(wake, Wake::Ready),
            output => panic!("{output:?}"),
        }
    };
    assert!(part.part() == 0 && !part.is_last());
    big.log.snapshot(&part);
    let last = ENDPOINTS - 1;
    big.sender.remove(big.now, &key(last)).unwrap();
    big.sender.put(big.now, endpoint(last, "order.**")).unwrap();
    big.sender.pause(big.now, &key(last)).unwrap();
    big.publish(0);
    big.drain();
    big.now = big.now.advanced(Duration::from_secs(1));
    big.sender.handle(big.now, Input::Tick);
    big.drain();
    assert_eq!(big.sender.pending(), 1);
    let kept = big.log.len();
    assert!(kept < 100, "the snapshot is complete, and {kept} records are left");
    big.restart();
    big.drain();
    assert_eq!((big.sender.pending(), big.sender.events()), (1, 1));
    big.sender.resume(big.now, &key(last)).unwrap();
    let delivered = big.deliver(10);
    assert_eq!(delivered, [(EventId::new("ev0").unwrap(), key(last))]);
}

//! How much memory does an event take that waits, and how fast does a machine come back from its records?
//!
//! Prints for each case the processor time that restoring took, the records a second, and the memory for each delivery
//! (the growth of the process, as Linux tells it). Payloads are away. Events are a million, or
//! what `-- EVENTS` says. `--window` lets repeats be recognised, which takes memory of its own.
//!
//! First it is counted by the allocator what one more pending delivery of an event costs, at most 48 bytes, and what an
//! event costs with its only one, at most 160.

use core::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{
    Accepted, Due, EndpointRecord, EventRecord, KeyRecord, Mark, Record, Remembered, SnapshotBegin, StateRecord,
    StoredKey,
};
use postrider_core::limits::Limits;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Restore, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

const WALL: UnixTime = UnixTime::from_secs(1_800_000_000);

fn main() {
    let told: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let events = told.iter().filter_map(|text| text.parse().ok()).next().unwrap_or(1_000_000);
    let window = told.iter().any(|text| text == "--window");
    let is = |name: &str| told.iter().any(|text| text == name);
    if is("--counted") {
        counted();
        counted_alone(events);
        return;
    }
    match (is("--snapshot"), is("--log"), if is("--tenfold") { 10 } else { 1 }) {
        (true, _, fan_out) => from_snapshot(events, fan_out, window),
        (false, true, fan_out) => from_log(events, fan_out, window),
        (false, false, _) => each_case(events, &told, window),
    }
}

/// Runs each case in a process of its own, so that none finds memory that another has left.
fn each_case(events: u64, told: &[String], window: bool) {
    println!("{events} events, repeats {}", if window { "recognised" } else { "not recognised" });
    let program = std::env::current_exe().expect("the running program has a path");
    for case in [&["--counted"][..], &["--snapshot"], &["--log"], &["--snapshot", "--tenfold"], &["--log", "--tenfold"]]
    {
        let status = std::process::Command::new(&program).args(case).args(told).status();
        assert!(status.is_ok_and(|status| status.success()), "{case:?} failed");
    }
}

/// What a delivery that waits for its time costs beyond its event, counted: what the machine holds with eight deliveries an
/// event, less what it holds with one, less what eight endpoints cost. Both numbers of deliveries are powers of two, where
/// the table that doubles as it grows is full; it holds room for as many more when it has just grown.
fn counted() {
    const EVENTS: u64 = 1 << 17;
    const MANY: u32 = 8;
    let beyond = |events| held(snapshot(events, MANY, false)) - held(snapshot(events, 1, false));
    let deliveries = EVENTS * u64::from(MANY - 1);
    let each = (beyond(EVENTS) - beyond(0)) as f64 / deliveries as f64;
    println!("counted: a pending delivery costs {each:.2} bytes beyond its event ({EVENTS} events with {MANY} each)");
    assert!(each <= 48.0, "it may cost 48 bytes at most");
}

/// What a machine holds, by the allocator's count, of events with one delivery each that waits.
fn counted_alone(events: u64) {
    for from in ["a snapshot", "the log"] {
        let count = |events| match from {
            "the log" => held(log(events, 1, false)),
            _ => held(snapshot(events, 1, false)),
        };
        let each = (count(events) - count(0)) as f64 / events as f64;
        println!("counted: an event with one pending delivery costs {each:.1} bytes, restored from {from}");
        assert!(each <= 160.0, "it may cost 160 bytes at most");
    }
}

/// Bytes that a machine has allocated once it is restored.
fn held(records: impl Iterator<Item = (JournalSeq, Record)>) -> i64 {
    let mut machine = None;
    let counted = allocation_counter::measure(|| {
        let mut limits = Limits::default();
        limits.events = 10_000_000;
        limits.pending = 100_000_000;
        let restore = records.fold(Restore::new(Config::new().limits(limits)), Restore::record);
        machine = restore.finish(Now { mono: Instant::ORIGIN, wall: WALL }).ok();
    });
    drop(machine.expect("the records are whole"));
    counted.bytes_current
}

/// A restart behind a snapshot: everything waits for its time.
fn from_snapshot(events: u64, fan_out: u32, window: bool) {
    measure("snapshot", events, fan_out, snapshot(events, fan_out, window));
}

/// The records of a snapshot in which everything waits for its time.
fn snapshot(events: u64, fan_out: u32, window: bool) -> impl Iterator<Item = (JournalSeq, Record)> {
    let due = Due { written: WALL, delay: Duration::from_secs(3600) };
    let begin = SnapshotBegin {
        since: JournalSeq::new(u64::MAX / 2),
        seed: Seed::from_bytes([7; 32]),
        incarnation: 1,
        next_subscription: fan_out + 1,
    };
    let endpoints = (1..=fan_out).map(endpoint);
    let all = (1..=events).map(event);
    let pending = (1..=events).flat_map(move |seq| {
        let event = JournalSeq::new(seq);
        (1..=fan_out).map(move |subscription| Record::Pending { event, subscription, attempts: 2, due, lane: None })
    });
    let remembered = (1..=if window { events } else { 0 }).map(known);
    let end = Record::SnapshotEnd { through: JournalSeq::new(u64::MAX / 2) };
    let records = core::iter::once(Record::SnapshotBegin(begin)).chain(endpoints).chain(all).chain(pending);
    records.chain(remembered).chain([end]).map(|record| (JournalSeq::ZERO, record))
}

/// A restart from the log alone: events were accepted, and their endpoint could not take them.
fn from_log(events: u64, fan_out: u32, window: bool) {
    measure("log", events, fan_out, log(events, fan_out, window));
}

/// The records of a log in which every delivery found its endpoint busy.
fn log(events: u64, fan_out: u32, window: bool) -> impl Iterator<Item = (JournalSeq, Record)> {
    let genesis = Record::Genesis { seed: Seed::from_bytes([7; 32]) };
    let endpoints = (1..=fan_out).map(endpoint);
    let first = u64::from(fan_out) + 2;
    let step = u64::from(fan_out) + 1;
    let log = (0..events).flat_map(move |n| {
        let event = JournalSeq::new(first + n * step);
        let accepted = Record::Accepted(Box::new(Accepted {
            high_water: fan_out + 1,
            payload: Bytes::from_static(b"{\"total\":4200}"),
            at: if window { WALL } else { UnixTime::EPOCH },
            ..accepted(n)
        }));
        core::iter::once(accepted).chain((1..=fan_out).map(move |subscription| Record::Queued {
            event,
            subscription,
            lane: None,
        }))
    });
    let records = core::iter::once(genesis).chain(endpoints).chain(log);
    (1..).map(JournalSeq::new).zip(records)
}

fn measure(from: &str, events: u64, fan_out: u32, records: impl Iterator<Item = (JournalSeq, Record)>) {
    let mut limits = Limits::default();
    limits.events = 10_000_000;
    limits.pending = 100_000_000;
    let now = Now { mono: Instant::ORIGIN, wall: WALL };
    let mut count = 0_u64;
    let (before, began) = (resident(), processor_time());
    let restore = records.inspect(|_| count += 1).fold(Restore::new(Config::new().limits(limits)), Restore::record);
    let mut sender = restore.finish(now).expect("the records are whole");
    let took = processor_time().saturating_sub(began);
    let deliveries = events * u64::from(fan_out);
    assert_eq!((sender.events() as u64, sender.pending() as u64), (events, deliveries));
    let rate = count as f64 / took.as_secs_f64() / 1e6;
    println!("from a {from}, fan-out {fan_out}: {count} records in {took:.2?} of one processor ({rate:.2} M/s)");
    let grown = resident().saturating_sub(before);
    settle(&mut sender, now);
    let settled = resident().saturating_sub(before);
    let each =
        |bytes: u64| format!("{:.0} MiB, {:.1} bytes a delivery", bytes as f64 / MIB, bytes as f64 / deliveries as f64);
    println!("    {}; after the first drain {}", each(grown), each(settled));
}

const MIB: f64 = 1024.0 * 1024.0;

/// Drives the machine until it waits; nothing may start.
fn settle(sender: &mut Sender, now: Now) {
    sender.handle(now, Input::Credit(1));
    loop {
        match sender.poll_output() {
            Output::Persist(batch) => sender.handle(now, Input::Persisted(batch.last())),
            Output::Wait(Wake::Ready) => {}
            Output::Wait(_) => return,
            // The log has nothing to say.
            Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) | Output::Notice(_) => {}
            output @ (Output::Transmit(_) | Output::Abort(_)) => panic!("{output:?} without a payload"),
        }
    }
}

/// What the process has used of processors, in steps of 10 ms: the machine that this runs on may have other things to do.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// Bytes of memory that the process has in use, as Linux says.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn accepted(n: u64) -> Accepted {
    Accepted {
        // As long as those that adapters mint.
        id: EventId::new(format!("msg_{n:022}")).expect("an id"),
        tenant: TenantId::default(),
        event_type: "order.paid".to_owned(),
        time: WALL,
        content_type: None,
        payload: Bytes::new(),
        key: None,
        idempotency: None,
        expires: None,
        digest: [0; 16],
        high_water: 0,
        at: WALL,
        replay: None,
    }
}

fn event(seq: u64) -> Record {
    Record::Event(Box::new(EventRecord {
        mark: Mark { event: JournalSeq::new(seq), through: 0, open: Vec::new() },
        passed_all: true,
        cancelled: false,
        accepted: Accepted { event_type: String::new(), ..accepted(seq) },
        payload_len: 0,
        done: Vec::new(),
    }))
}

fn known(seq: u64) -> Record {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&seq.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let Accepted { id, digest, at, tenant, .. } = accepted(seq);
    let tenant = Some(tenant);
    Record::Remembered(Box::new(Remembered { event: JournalSeq::new(seq), name, id, digest, at, tenant }))
}

fn endpoint(number: u32) -> Record {
    let mut key = [9; 24];
    key[..4].copy_from_slice(&number.to_le_bytes());
    let secret = Secret::from_bytes(key).expect("24 bytes");
    Record::Endpoint(Box::new(EndpointRecord {
        key: EndpointKey::new(format!("endpoint-{number}")).expect("a name"),
        url: format!("https://e{number}.example.com/hooks"),
        patterns: vec!["order.**".to_owned()],
        encoding: 0,
        schedule: vec![Duration::ZERO, Duration::from_secs(3600)],
        timeout: Duration::from_secs(20),
        concurrency: 8,
        headers: Vec::new(),
        keep_answers: false,
        keys: vec![KeyRecord { secret: StoredKey::Plain(secret), expires: None }],
        revoked: Vec::new(),
        state: StateRecord { code: 0, since: WALL },
        subscription: Some(number),
        retired: Vec::new(),
        at: WALL,
        thin: Vec::new(),
        source: None,
        order: 0,
        cause: None,
        consent: None,
        max_age: None,
        pacing: None,
        filter: None,
        sign: Vec::new(),
        receipts: false,
    }))
}

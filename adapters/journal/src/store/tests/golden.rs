//! The first format, in both directions: a directory that was written once and is committed is opened, read record for
//! record and gone on with, and what is written today by the same calls is that directory, byte for byte.
//!
//! The directory is `tests/golden/format-1` of this package. Its files never change: a release that cannot read them has
//! lost its users' journals, and one that writes others without `upgrade` has made a new format. A new format gets a
//! directory of its own beside it: raise [`FORMAT`](postrider_core::journal::FORMAT), let this file know both, and run
//!
//! ```text
//! POSTRIDER_GOLDEN=write cargo test -p postrider-journal --lib golden
//! ```
//!
//! which writes the directory of the newest format if there is none, and never touches one that is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use postrider_core::id::EndpointKey;
use postrider_core::journal::{
    Due, EndpointRecord, EventRecord, FORMAT, HeaderRecord, Kept, KeyRecord, Mark, OutcomeRecord, Remembered,
    RetiredRecord, SnapshotBegin, StateRecord, StoredKey, StoredValue, Then,
};
use postrider_core::secret::{KeyId, Secret};

use super::*;
use crate::StdDisk;
use crate::history::{Answer, Query, Retention};
use crate::store::Tidied;
use crate::store::snapshots::Part;

const WALL: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("format-{FORMAT}"))
}

fn settings() -> Options {
    let mut options = options(4096);
    options.retention = Retention::forever();
    options
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + secs)
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn endpoint() -> Record {
    let secret = Secret::from_bytes([9; 32]).unwrap();
    let header = |name: &str, value| HeaderRecord { name: name.to_owned(), value };
    Record::Endpoint(Box::new(EndpointRecord {
        key: EndpointKey::new("hooks").unwrap().of(tenant()),
        url: "https://example.com/hooks?a=1".to_owned(),
        patterns: vec!["order.*".to_owned(), "user.created".to_owned()],
        encoding: 1,
        schedule: vec![Duration::ZERO, Duration::from_secs(5), Duration::from_secs(300)],
        timeout: Duration::from_secs(20),
        concurrency: 8,
        headers: vec![
            header("x-shown", StoredValue::Open(Bytes::from_static(b"shown"))),
            header("x-sealed", StoredValue::Sealed(Bytes::from_static(&[7; 40]))),
        ],
        keep_answers: true,
        keys: vec![
            KeyRecord { secret: StoredKey::of(&secret), expires: None },
            KeyRecord {
                secret: StoredKey::Sealed { id: KeyId::from_bytes([8; 8]), bytes: Bytes::from_static(&[6; 72]) },
                expires: Some(at(86_400)),
            },
        ],
        revoked: vec![KeyId::from_bytes([4; 8])],
        state: StateRecord { code: 1, since: at(1) },
        subscription: Some(3),
        retired: vec![RetiredRecord { number: 2, at: 2, patterns: "**".to_owned(), filter: None }],
        at: at(1),
        thin: vec!["/data/id".to_owned()],
        source: Some("/shop".to_owned()),
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

fn event(n: u64) -> Record {
    Record::Accepted(Box::new(Accepted {
        id: EventId::new(format!("event-{n}")).unwrap(),
        tenant: tenant(),
        event_type: "order.paid".to_owned(),
        time: at(n),
        content_type: n.is_multiple_of(2).then(|| "text/plain".to_owned()),
        payload: Bytes::from(vec![(n % 251) as u8; 600]),
        key: n.is_multiple_of(3).then(|| "customer-1".into()),
        idempotency: n.is_multiple_of(5).then(|| format!("key-{n}").into()),
        expires: n.is_multiple_of(7).then(|| at(n + 3600)),
        digest: [n as u8; 16],
        high_water: 4,
        at: at(n),
        replay: None,
    }))
}

fn outcome(event: u64, then: Then) -> Record {
    Record::Outcome(OutcomeRecord {
        event: seq(event),
        subscription: 3,
        attempts: 1,
        at: at(event + 1),
        elapsed: Duration::from_micros(12_345),
        status: if then == Then::Delivered { 204 } else { 0 },
        failure: if then == Then::Delivered { (0, 0) } else { (3, 0) },
        then,
        signed: vec![KeyId::from_bytes([8; 8])],
        answer: (then == Then::Delivered).then(|| Bytes::from_static(b"thank you")),
        receipt: 0,
    })
}

/// Every batch of the log. All kinds of records are in it that a log can have.
fn batches() -> Vec<Vec<Record>> {
    let due = Due { written: at(9), delay: Duration::from_secs(5) };
    let name = || EventId::new("event-5").unwrap();
    let mut all = vec![
        vec![genesis(), Record::Opened { incarnation: 1, at: at(0) }, endpoint()],
        vec![event(4)],
        vec![event(5)],
        vec![
            outcome(4, Then::Delivered),
            Record::Ended { event: seq(4), at: at(6) },
            Record::Queued { event: seq(5), subscription: 3, lane: None },
            outcome(5, Then::Retry(due)),
            Record::Mark(Mark { event: seq(5), through: 2, open: vec![3, 4] }),
        ],
        vec![
            outcome(5, Then::Exhausted),
            Record::Cancelled { event: seq(5), at: at(11) },
            Record::Ended { event: seq(5), at: at(12) },
        ],
        vec![Record::Erased { tenant: tenant(), event: name(), at: at(13) }],
        vec![Record::Purged { tenant: TenantId::new("gone").unwrap(), at: at(14) }],
        vec![Record::Removed { endpoint: EndpointKey::new("old").unwrap().of(tenant()), at: at(15) }],
    ];
    let mut next = 1 + all.iter().map(Vec::len).sum::<usize>() as u64;
    for _ in 0..22 {
        let ends = [outcome(next, Then::Delivered), Record::Ended { event: seq(next), at: at(next + 1) }];
        let ends = ends.into_iter().filter(|_| !next.is_multiple_of(4));
        let batch: Vec<_> = [event(next)].into_iter().chain(ends).collect();
        next += batch.len() as u64;
        all.push(batch);
    }
    all
}

/// The records of a snapshot of what the store holds.
fn snapshot(store: &Store<StdDisk>) -> Vec<Record> {
    let since = store.durable();
    let seed = Seed::from_bytes([5; 32]);
    let mut all =
        vec![Record::SnapshotBegin(SnapshotBegin { since, seed, incarnation: 1, next_subscription: 5 }), endpoint()];
    for pending in store.look.segments.pending() {
        let Record::Accepted(accepted) = event(pending.get()) else { unreachable!("it is one") };
        let accepted = Accepted { payload: Bytes::new(), ..*accepted };
        let mark = Mark { event: pending, through: 2, open: vec![3] };
        let event = EventRecord { mark, passed_all: true, cancelled: false, accepted, payload_len: 600, done: vec![1] };
        all.push(Record::Event(Box::new(event)));
        let due = Due { written: at(20), delay: Duration::from_secs(300) };
        all.push(Record::Pending { event: pending, subscription: 3, attempts: 1, due, lane: None });
    }
    let (event, id) = (seq(4), EventId::new("event-4").unwrap());
    all.push(Record::Remembered(Box::new(Remembered {
        name: [2; 16],
        event,
        id,
        digest: [4; 16],
        at: at(4),
        tenant: Some(tenant()),
    })));
    all.push(Record::SnapshotEnd { through: since });
    all
}

fn take_snapshot(store: &mut Store<StdDisk>, number: u64) {
    let records = snapshot(store);
    let parts: Vec<_> = records.chunks(4).collect();
    for (at, part) in parts.iter().enumerate() {
        let mut bytes = BytesMut::new();
        part.iter().for_each(|record| journal::encode(JournalSeq::ZERO, record, &mut bytes));
        let is_last = at + 1 == parts.len();
        store.snapshot_part(&Part { number, part: at as u32, is_last, bytes: &bytes.freeze() });
    }
    store.reclaim_of(number);
}

/// Writes the directory: segments as they were appended and one that was rewritten, two snapshots, indexes, and how far
/// all is durable.
fn write_all(dir: &Path) {
    let mut store = Store::open(StdDisk::new(dir).unwrap(), settings(), WALL).unwrap();
    for (at, batch) in batches().into_iter().enumerate() {
        append(&mut store, &batch).unwrap();
        if at % 2 == 1 {
            store.sync().unwrap();
        }
        if [12, 20].contains(&at) {
            store.sync().unwrap();
            take_snapshot(&mut store, at as u64);
        }
    }
    store.sync().unwrap();
    while store.tidy(WALL).unwrap() != Tidied::Nothing {}
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())).map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

fn frame(seq: JournalSeq, record: &Record) -> Bytes {
    let mut bytes = BytesMut::new();
    journal::encode(seq, record, &mut bytes);
    bytes.freeze()
}

/// A copy of the committed directory, which may be written to.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&folder()) {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

#[test]
fn what_is_written_today_is_the_committed_directory_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path());
    let (golden, written) = (folder(), files(dir.path()));
    if std::env::var_os("POSTRIDER_GOLDEN").is_some_and(|wish| wish == "write") && !golden.exists() {
        fs::create_dir_all(&golden).unwrap();
        written.iter().for_each(|(name, bytes)| fs::write(golden.join(name), bytes).unwrap());
    }
    let committed = files(&golden);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&committed));
    for ending in [".seg", ".snap", ".idx", "acked"] {
        assert!(written.keys().any(|name| name.ends_with(ending)), "{ending} is there");
    }
    for (name, bytes) in &committed {
        let differs = bytes.iter().zip(&written[name]).position(|(was, is)| was != is);
        assert_eq!((differs, written[name].len()), (None, bytes.len()), "{name} is not what it was");
    }
}

#[test]
fn the_committed_directory_is_read_record_for_record() {
    let look = Store::look(StdDisk::existing(folder()).unwrap()).unwrap();
    assert_eq!((look.damage(), look.found().torn, look.gaps()), (&[][..], 0, &[][..]));
    assert!(look.segments().any(|segment| segment.compacted), "one was rewritten");
    let all: BTreeMap<_, _> = (1..).zip(batches().into_iter().flatten()).collect();
    let since = look.found().snapshot.map(|_| look.since.get()).unwrap();
    let mut read = BTreeMap::new();
    for (at, record) in look.all().map(Result::unwrap) {
        let written = match (&record, &all[&at.get()]) {
            // What was erased is left out when a segment is rewritten.
            (Record::Kept(_), Record::Accepted(whole)) => {
                let accepted = Accepted { payload: Bytes::new(), ..(**whole).clone() };
                Record::Kept(Box::new(Kept { accepted, payload_len: 600 }))
            }
            (_, written) => written.clone(),
        };
        assert_eq!(frame(at, &record), frame(at, &written), "record {at}");
        read.insert(at.get(), record.kind());
    }
    assert!((since + 1..=all.len() as u64).all(|at| read.contains_key(&at)), "{since}: {read:?}");
    assert!(read.values().any(|kind| *kind == journal::Kind::Kept));
    let snapshot = look.records().map(Result::unwrap).take_while(|(at, _)| *at == JournalSeq::ZERO);
    let kinds: Vec<_> = snapshot.map(|(_, record)| record.kind()).collect();
    for kind in [journal::Kind::Endpoint, journal::Kind::Event, journal::Kind::Pending, journal::Kind::Remembered] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

#[test]
fn a_sender_goes_on_in_the_committed_directory() {
    let dir = copy();
    let mut store = Store::open(StdDisk::existing(dir.path()).unwrap(), settings(), WALL).unwrap();
    let all: Vec<_> = batches().into_iter().flatten().collect();
    assert_eq!((store.durable().get(), store.format()), (all.len() as u64, FORMAT));
    let pending: Vec<_> = store.look.segments.pending().collect();
    assert_eq!(store.found().pending, pending.len() as u64);
    for (at, record) in store.load(&pending).unwrap() {
        assert_eq!(frame(at, &record), frame(at, &all[at.get() as usize - 1]));
    }
    let query = |n: u64| Query::Event { tenant: tenant(), event: EventId::new(format!("event-{n}")).unwrap() };
    for (n, payload) in [(4, true), (5, false)] {
        let Answer::Event(Some(event)) = store.history(&query(n), WALL).unwrap() else { panic!("event-{n}") };
        assert_eq!((event.payload.is_some(), event.payload_len, event.ended.is_some()), (payload, 600, true));
    }
    let last = append(&mut store, &[event(all.len() as u64 + 1)]).unwrap();
    assert_eq!(store.sync(), Ok(last));
    store.close().unwrap();
    let store = Store::open(StdDisk::existing(dir.path()).unwrap(), settings(), WALL).unwrap();
    assert_eq!((store.durable(), store.found().pending), (last, pending.len() as u64 + 1));
    assert_eq!(store.records().map(Result::unwrap).last().map(|(at, _)| at), Some(last));
}

//! A store, and what it is told.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{
    self, Accepted, Due, EndpointRecord, EventRecord, Mark, OutcomeRecord, Record, SnapshotBegin, StateRecord, Then,
};
use postrider_core::secret::KeyId;
use postrider_core::seed::Seed;
use postrider_core::time::UnixTime;

use super::super::fake::Fake;
use crate::history::{Answer, EventHistory, Query, Retention};
use crate::store::snapshots::Part;
use crate::store::writing::Frames;
use crate::store::{Options, Store, Tidied};

pub(super) fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(millis)
}

pub(super) fn tenant(n: u8) -> TenantId {
    TenantId::new(format!("tenant-{n}")).unwrap()
}

/// Subscription `n` is that of this endpoint; odd ones are of tenant 1, even ones of tenant 0.
pub(super) fn endpoint(n: u32) -> EndpointKey {
    EndpointKey::new(format!("endpoint-{n}")).unwrap().of(tenant((n % 2) as u8))
}

pub(super) struct Rig {
    pub(super) disk: Fake,
    pub(super) store: Option<Store<Fake>>,
    pub(super) options: Options,
    pub(super) now: u64,
    snapshots: u64,
    pub(super) pending: Vec<(JournalSeq, Accepted)>,
}

impl Rig {
    pub(super) fn new(segment_bytes: u64, retention: Retention) -> Self {
        let options = Options {
            segment_bytes,
            retention,
            reserve: 0,
            store: crate::store::StoreId::from_bytes([9; 16]),
            ..Options::default()
        };
        let disk = Fake::default();
        let store = Store::open(disk.clone(), options.clone(), at(0)).unwrap();
        let mut rig = Self { disk, store: Some(store), options, now: 1_000_000, snapshots: 0, pending: Vec::new() };
        rig.write(&[Record::Genesis { seed: Seed::from_bytes([1; 32]) }]);
        for number in 0..4 {
            rig.write(&[Record::Endpoint(Box::new(endpoint_record(number)))]);
        }
        rig
    }

    pub(super) fn store(&mut self) -> &mut Store<Fake> {
        self.store.as_mut().unwrap()
    }

    /// Appends one batch and makes it durable.
    pub(super) fn write(&mut self, records: &[Record]) -> JournalSeq {
        let last = self.append(records);
        self.store().sync().unwrap();
        last
    }

    pub(super) fn append(&mut self, records: &[Record]) -> JournalSeq {
        let first = self.store().last().next();
        let (mut bytes, mut last) = (BytesMut::new(), first);
        for (record, n) in records.iter().zip(first.get()..) {
            last = JournalSeq::new(n);
            journal::encode(last, record, &mut bytes);
            match record {
                Record::Accepted(accepted) => self.pending.push((last, (**accepted).clone())),
                Record::Ended { event, .. } => self.pending.retain(|(pending, _)| pending != event),
                _ => {}
            }
        }
        self.store().append_frames(&Frames { first, last, bytes: &bytes.freeze() }).unwrap();
        last
    }

    pub(super) fn accept(&mut self, owner: u8, id: &str, payload: &[u8]) -> JournalSeq {
        let accepted = accepted(owner, id, payload, self.now);
        self.write(&[Record::Accepted(Box::new(accepted))])
    }

    pub(super) fn end(&mut self, event: JournalSeq) {
        let at = at(self.now);
        self.write(&[Record::Ended { event, at }]);
    }

    /// A snapshot that stands for everything so far, and the mark that lets what is before the one before it go.
    pub(super) fn snapshot(&mut self) {
        self.snapshots += 1;
        let since = self.store().durable();
        let begin = SnapshotBegin { since, seed: Seed::from_bytes([1; 32]), incarnation: 1, next_subscription: 9 };
        let mut records = vec![Record::SnapshotBegin(begin)];
        records.extend((0..4).map(|number| Record::Endpoint(Box::new(endpoint_record(number)))));
        for (event, accepted) in &self.pending {
            let payload_len = accepted.payload.len() as u32;
            let accepted = Accepted { payload: Bytes::new(), ..accepted.clone() };
            let mark = Mark { event: *event, ..Mark::default() };
            let event = EventRecord { mark, passed_all: true, cancelled: false, accepted, payload_len, done: vec![] };
            records.push(Record::Event(Box::new(event)));
        }
        records.push(Record::SnapshotEnd { through: since });
        let mut bytes = BytesMut::new();
        records.iter().for_each(|record| journal::encode(JournalSeq::ZERO, record, &mut bytes));
        let (number, bytes) = (self.snapshots, bytes.freeze());
        self.store().snapshot_part(&Part { number, part: 0, is_last: true, bytes: &bytes });
        self.store().reclaim_of(number);
    }

    pub(super) fn tidy(&mut self) -> Tidied {
        let now = at(self.now);
        self.store().tidy(now).unwrap()
    }

    /// Tidies until there is nothing to do; how many pieces that took.
    pub(super) fn tidy_all(&mut self) -> usize {
        for pieces in 0..100_000 {
            if self.tidy() == Tidied::Nothing {
                return pieces;
            }
        }
        panic!("tidying comes to no end");
    }

    /// Nothing is held back: all segments but the newest two are sealed, and two snapshots stand for everything.
    pub(super) fn settle(&mut self) {
        for _ in 0..2 {
            self.write(&[Record::Opened { incarnation: 1, at: at(self.now) }]);
            self.reopen();
        }
        self.snapshot();
        self.snapshot();
    }

    pub(super) fn reopen(&mut self) {
        self.store = None;
        self.snapshots = 0;
        self.store = Some(Store::open(self.disk.clone(), self.options.clone(), at(self.now)).unwrap());
    }

    pub(super) fn ask(&mut self, query: &Query) -> Answer {
        let now = at(self.now);
        self.store().history(query, now).unwrap()
    }

    pub(super) fn event(&mut self, owner: u8, id: &str) -> Option<EventHistory> {
        let query = Query::Event { tenant: tenant(owner), event: EventId::new(id).unwrap() };
        match self.ask(&query) {
            Answer::Event(event) => event.map(|event| *event),
            other => panic!("{other:?}"),
        }
    }

    /// Bytes of all segments.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.bytes_of(".seg")
    }

    pub(super) fn bytes_of(&self, ending: &str) -> u64 {
        let files = self.disk.files();
        files.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Whether any segment has these bytes.
    pub(super) fn is_on_disk(&self, needle: &[u8]) -> bool {
        let files = self.disk.files();
        let mut segments = files.iter().filter(|(name, _)| name.ends_with(".seg"));
        segments.any(|(_, bytes)| bytes.windows(needle.len()).any(|window| window == needle))
    }
}

pub(super) fn retention(payloads: u64, attempts: u64) -> Retention {
    Retention {
        payloads: Duration::from_millis(payloads),
        attempts: Duration::from_millis(attempts),
        ..Retention::default()
    }
}

pub(super) fn accepted(owner: u8, id: &str, payload: &[u8], now: u64) -> Accepted {
    Accepted {
        id: EventId::new(id).unwrap(),
        tenant: tenant(owner),
        event_type: "order.paid".to_owned(),
        time: at(now),
        content_type: Some("text/plain".to_owned()),
        payload: Bytes::copy_from_slice(payload),
        key: None,
        idempotency: None,
        expires: None,
        digest: [3; 16],
        high_water: 4,
        at: at(now),
        replay: None,
    }
}

pub(super) fn outcome(event: JournalSeq, subscription: u32, attempts: u16, then: Then, now: u64) -> OutcomeRecord {
    OutcomeRecord {
        event,
        subscription,
        attempts,
        at: at(now),
        elapsed: Duration::from_millis(12),
        status: if then == Then::Delivered { 204 } else { 500 },
        failure: (0, 0),
        then,
        signed: vec![KeyId::from_bytes([7; 8])],
        answer: None,
        receipt: 0,
    }
}

pub(super) fn retry(now: u64) -> Then {
    Then::Retry(Due { written: at(now), delay: Duration::from_secs(5) })
}

pub(super) fn endpoint_record(number: u32) -> EndpointRecord {
    EndpointRecord {
        key: endpoint(number),
        url: "https://example.com/hooks".to_owned(),
        patterns: vec!["**".to_owned()],
        encoding: 0,
        schedule: vec![Duration::ZERO],
        timeout: Duration::from_secs(20),
        concurrency: 8,
        headers: Vec::new(),
        keep_answers: true,
        keys: Vec::new(),
        revoked: Vec::new(),
        state: StateRecord { code: 0, since: at(0) },
        subscription: Some(number),
        retired: Vec::new(),
        at: at(0),
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
    }
}

//! A store on a disk that forgets, breaks and fills up.

pub(crate) mod crash;
mod damage;
pub(crate) mod fake;
mod golden;
#[path = "../../history/tests/mod.rs"]
mod history;
mod work;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::journal::{self, Accepted, Record};
use postrider_core::seed::Seed;
use postrider_core::time::UnixTime;

use self::fake::Fake;
use super::writing::Frames;
use super::{Options, Recovery, Store, StoreError};

fn seq(n: u64) -> JournalSeq {
    JournalSeq::new(n)
}

fn options(segment_bytes: u64) -> Options {
    let mut options = Options { segment_bytes, reserve: 0, ..Options::default() };
    options.store = super::StoreId::from_bytes([7; 16]);
    // What has ended is forgotten at once.
    (options.retention.payloads, options.retention.attempts) = (Duration::ZERO, Duration::ZERO);
    options
}

fn open(disk: &Fake, options: &Options) -> Store<Fake> {
    Store::open(disk.clone(), options.clone(), UnixTime::EPOCH).unwrap()
}

fn salvaging(options: &Options) -> Options {
    Options { recovery: Recovery::Salvage, ..options.clone() }
}

/// An accepted event whose payload tells its place.
fn accepted(n: u64, len: usize) -> Record {
    Record::Accepted(Box::new(Accepted {
        id: EventId::new(format!("e{n}")).unwrap(),
        tenant: TenantId::default(),
        event_type: "order.paid".to_owned(),
        time: UnixTime::EPOCH,
        content_type: Some("text/plain".to_owned()),
        payload: Bytes::from(vec![(n % 251) as u8; len]),
        key: None,
        idempotency: None,
        expires: None,
        digest: [3; 16],
        high_water: 1,
        at: UnixTime::EPOCH,
        replay: None,
    }))
}

fn ended(event: u64) -> Record {
    Record::Ended { event: seq(event), at: UnixTime::EPOCH }
}

fn genesis() -> Record {
    Record::Genesis { seed: Seed::from_bytes([5; 32]) }
}

/// Appends records behind the last one, as one batch, and says what the last one is then.
fn append<D: crate::Disk>(store: &mut Store<D>, records: &[Record]) -> Result<JournalSeq, StoreError> {
    let first = store.last().next();
    write(store, first, records)
}

fn write<D: crate::Disk>(
    store: &mut Store<D>,
    first: JournalSeq,
    records: &[Record],
) -> Result<JournalSeq, StoreError> {
    let (mut bytes, mut at) = (BytesMut::new(), first);
    for record in records {
        journal::encode(at, record, &mut bytes);
        at = at.next();
    }
    let last = seq(at.get() - 1);
    store.append_frames(&Frames { first, last, bytes: &bytes.freeze() })?;
    Ok(last)
}

/// The places and kinds of the records that a machine would be restored from.
fn replay(store: &Store<Fake>) -> Vec<(u64, journal::Kind)> {
    store.records().map(|record| record.unwrap()).map(|(seq, record)| (seq.get(), record.kind())).collect()
}

//! The real journal as the store of nodes: the type that runs on files, on a disk that is made up.

use std::time::Duration;

use postrider_core::id::JournalSeq;
use postrider_core::journal::{Record, StoreId};
use postrider_core::sender::{LoadError, PersistBatch, SnapshotPart, Watermark};
use postrider_core::time::UnixTime;
use postrider_journal::history::{Answer, HistoryError, Query, Retention};
use postrider_journal::store::{OpenError, Recovery, StoreError, Tidied};
use postrider_journal::{Options, Store as Real};

use crate::disk::SimDisk;
use crate::observe::Kept;
use crate::profile::Profile;
use crate::store::{Failure, Opened, Store, Stores, Unopened};

/// Opens the real journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journals;

/// How a node of this profile opens its journal.
pub fn options(profile: &Profile, salvage: bool) -> Options {
    let mut options = Options::default();
    options.segment_bytes = profile.segment;
    options.recovery = if salvage { Recovery::Salvage } else { Recovery::Strict };
    options.retention = retention(profile.history);
    options.store = StoreId::from_bytes([7; 16]);
    options.reserve = 64 * 1024;
    options
}

fn retention(kept: Kept) -> Retention {
    let mut retention = Retention::default();
    retention.payloads = Duration::from_millis(kept.payloads);
    retention.attempts = Duration::from_millis(kept.attempts);
    retention.payload_bytes = kept.payload_bytes;
    retention.attempt_bytes = kept.attempt_bytes;
    retention
}

impl Stores for Journals {
    fn open(&mut self, disk: &SimDisk, profile: &Profile, wall: UnixTime, salvage: bool) -> Result<Opened, Unopened> {
        let store = Real::open(disk.clone(), options(profile, salvage), wall).map_err(|error| match error {
            OpenError::Corrupt(places) => {
                let lost = places.iter().flat_map(|place| &place.ids).map(|lost| lost.event.to_string());
                let why: Vec<_> = places.iter().map(ToString::to_string).collect();
                Unopened::Damaged(why.join("; "), lost.collect())
            }
            OpenError::Io { .. } => Unopened::Io(error.to_string()),
            _ => Unopened::Damaged(error.to_string(), Vec::new()),
        })?;
        let records = store.records().collect::<Result<Vec<_>, _>>();
        let records = records.map_err(|error| Unopened::Io(error.to_string()))?;
        let lost = store.found().lost.iter().flat_map(|place| &place.ids).map(|lost| lost.event.to_string()).collect();
        let missing = store.gaps().to_vec();
        Ok(Opened { store: Box::new(store), records, lost, missing })
    }

    fn compact(&mut self, disk: &SimDisk, profile: &Profile, wall: UnixTime) -> Result<bool, String> {
        let mut options = options(profile, false);
        options.retention = Retention::forever();
        let store = Real::open(disk.clone(), options, wall).map_err(|error| error.to_string())?;
        store.compact(|| wall).map_err(|error| error.to_string())?;
        Ok(true)
    }
}

impl Store for Real<SimDisk> {
    fn append(&mut self, batch: &PersistBatch) -> Result<(), Failure> {
        Self::append(self, batch).map_err(failure)
    }

    fn sync(&mut self) -> Result<JournalSeq, Failure> {
        Self::sync(self).map_err(failure)
    }

    fn load(&mut self, wanted: &[JournalSeq]) -> Result<Vec<(JournalSeq, Record)>, LoadError> {
        Self::load(self, wanted)
    }

    fn snapshot(&mut self, part: &SnapshotPart) {
        Self::snapshot(self, part);
    }

    fn reclaim(&mut self, mark: Watermark) {
        Self::reclaim(self, mark);
    }

    fn tidy(&mut self, wall: UnixTime) -> Result<Tidied, Failure> {
        Self::tidy(self, wall).map_err(failure)
    }

    fn history(&mut self, query: &Query, wall: UnixTime) -> Result<Answer, HistoryError> {
        Self::history(self, query, wall)
    }

    fn room(&mut self) -> Option<u64> {
        Self::room(self)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is turned into another")]
fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Full => Failure::Full,
        _ => Failure::Broken,
    }
}

//! The stores, behind what the work needs of them.

use std::path::Path;

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Record, StoreId};
use postrider_core::sender::{Output, PersistBatch};
use postrider_core::time::UnixTime;
use postrider_journal::{Options, StdDisk, Store};

/// Somebody's store.
pub trait Contender: Sized {
    /// Its name.
    const NAME: &'static str;

    /// Opens the store in a directory, and makes it if need be.
    fn open(dir: &Path) -> Self;

    /// Makes a batch durable.
    fn append(&mut self, batch: &PersistBatch);

    /// Takes whatever a machine wants to be kept. Filling a store need not be durable at each step.
    fn take(&mut self, output: &Output) {
        if let Output::Persist(batch) = output {
            self.append(batch);
        }
    }

    /// Gives every record that a machine is restored from.
    fn records(&mut self, each: &mut dyn FnMut((JournalSeq, Record)));
}

/// Our own.
pub struct Journal(Store<StdDisk>);

impl Contender for Journal {
    const NAME: &'static str = "journal";

    fn open(dir: &Path) -> Self {
        let disk = StdDisk::new(dir.join("journal")).expect("the directory opens");
        let mut options = Options::default();
        options.store = StoreId::from_bytes([7; 16]);
        Self(Store::open(disk, options, UnixTime::from_secs(1_795_246_000)).expect("the journal opens"))
    }

    fn append(&mut self, batch: &PersistBatch) {
        self.0.append(batch).expect("the journal writes");
        self.0.sync().expect("the journal syncs");
    }

    fn take(&mut self, output: &Output) {
        match output {
            Output::Persist(batch) => self.append(batch),
            Output::Snapshot(part) => self.0.snapshot(part),
            Output::Reclaim(mark) => self.0.reclaim(*mark),
            _ => {}
        }
    }

    fn records(&mut self, each: &mut dyn FnMut((JournalSeq, Record))) {
        self.0.records().for_each(|record| each(record.expect("a record")));
    }
}

/// redb, a copy-on-write B-tree.
pub struct Redb(redb::Database);

const TABLE: redb::TableDefinition<'static, u64, &[u8]> = redb::TableDefinition::new("records");

impl Contender for Redb {
    const NAME: &'static str = "redb";

    fn open(dir: &Path) -> Self {
        Self(redb::Database::create(dir.join("store.redb")).expect("redb opens"))
    }

    fn append(&mut self, batch: &PersistBatch) {
        let write = self.0.begin_write().expect("redb writes");
        {
            let mut table = write.open_table(TABLE).expect("redb has the table");
            for (key, frame) in batch.records() {
                table.insert(key.seq.get(), &frame[..]).expect("redb inserts");
            }
        }
        write.commit().expect("redb commits");
    }

    fn records(&mut self, each: &mut dyn FnMut((JournalSeq, Record))) {
        use redb::{ReadableDatabase, ReadableTable};
        let read = self.0.begin_read().expect("redb reads");
        let table = read.open_table(TABLE).expect("redb has the table");
        for row in table.iter().expect("redb iterates") {
            let (_, frame) = row.expect("redb reads a row");
            decode(Bytes::copy_from_slice(frame.value()), each);
        }
    }
}

/// fjall, a log-structured merge tree.
pub struct Fjall(fjall::Database, fjall::Keyspace);

impl Contender for Fjall {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path) -> Self {
        let database = fjall::Database::builder(dir.join("fjall")).open().expect("fjall opens");
        let keyspace = database.keyspace("records", fjall::KeyspaceCreateOptions::default).expect("fjall has a keyspace");
        Self(database, keyspace)
    }

    fn append(&mut self, batch: &PersistBatch) {
        let mut write = self.0.batch();
        for (key, frame) in batch.records() {
            write.insert(&self.1, key.seq.get().to_be_bytes(), &frame[..]);
        }
        write.commit().expect("fjall commits");
        self.0.persist(fjall::PersistMode::SyncAll).expect("fjall syncs");
    }

    fn records(&mut self, each: &mut dyn FnMut((JournalSeq, Record))) {
        for row in self.1.iter() {
            let (_, frame) = row.into_inner().expect("fjall reads a row");
            decode(Bytes::copy_from_slice(&frame), each);
        }
    }
}

/// SQLite, in WAL mode, synchronous FULL.
pub struct Sqlite(rusqlite::Connection);

impl Contender for Sqlite {
    const NAME: &'static str = "SQLite";

    fn open(dir: &Path) -> Self {
        let connection = rusqlite::Connection::open(dir.join("store.sqlite")).expect("SQLite opens");
        connection
            .execute_batch(
                "pragma journal_mode = wal; pragma synchronous = full;
                 create table if not exists records (seq integer primary key, frame blob not null);",
            )
            .expect("SQLite has the table");
        Self(connection)
    }

    fn append(&mut self, batch: &PersistBatch) {
        let write = self.0.transaction().expect("SQLite writes");
        {
            let mut insert =
                write.prepare_cached("insert into records (seq, frame) values (?, ?)").expect("SQLite prepares");
            for (key, frame) in batch.records() {
                insert.execute((key.seq.get() as i64, &frame[..])).expect("SQLite inserts");
            }
        }
        write.commit().expect("SQLite commits");
    }

    fn records(&mut self, each: &mut dyn FnMut((JournalSeq, Record))) {
        let mut select = self.0.prepare("select frame from records order by seq").expect("SQLite prepares");
        let mut rows = select.query(()).expect("SQLite selects");
        while let Some(row) = rows.next().expect("SQLite reads a row") {
            let frame = row.get_ref(0).expect("a column").as_blob().expect("a blob");
            decode(Bytes::copy_from_slice(frame), each);
        }
    }
}

fn decode(frame: Bytes, each: &mut dyn FnMut((JournalSeq, Record))) {
    Frames::new(frame).for_each(|record| each(record.expect("a record")));
}

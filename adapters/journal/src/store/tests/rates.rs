//! How fast a store on a real disk is: `cargo test --release -p postrider-journal --lib rates -- --ignored --nocapture`.

use std::time::Instant;

use super::*;
use crate::StdDisk;

const PAYLOAD: usize = 100;

fn store(dir: &std::path::Path) -> (Store<StdDisk>, Duration) {
    let options = Options { store: crate::store::StoreId::from_bytes([7; 16]), ..Options::default() };
    let start = Instant::now();
    let store = Store::open(StdDisk::new(dir).unwrap(), options, UnixTime::EPOCH).unwrap();
    (store, start.elapsed())
}

fn each<D: crate::Disk>(store: &mut Store<D>, batches: u64, records: u64, sync: bool) {
    for _ in 0..batches {
        let first = store.last().get() + 1;
        let all: Vec<_> = (first..first + records).map(|n| accepted(n, PAYLOAD)).collect();
        append(store, &all).unwrap();
        if sync {
            store.sync().unwrap();
        }
    }
}

#[test]
#[ignore = "measures"]
fn rates() {
    let dir = tempfile::Builder::new().tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    for (records, batches) in [(1, 2000), (64, 2000), (512, 400)] {
        let path = dir.path().join(records.to_string());
        let (mut store, _) = store(&path);
        append(&mut store, &[genesis()]).unwrap();
        store.sync().unwrap();
        let start = Instant::now();
        each(&mut store, batches, records, true);
        let time = start.elapsed();
        let rate = (batches * records) as f64 / time.as_secs_f64();
        println!("{records:4} records a batch, synced: {rate:9.0} records/s, {:?} a batch", time / batches as u32);
        let start = Instant::now();
        each(&mut store, batches * 4, records, false);
        let rate = (batches * 4 * records) as f64 / start.elapsed().as_secs_f64();
        println!("{records:4} records a batch, written: {rate:8.0} records/s");
    }
    for records in [1, 64] {
        let path = dir.path().join(format!("replay-{records}"));
        let (mut all, _) = store(&path);
        append(&mut all, &[genesis()]).unwrap();
        each(&mut all, 1_000_000 / records, records, false);
        all.close().unwrap();
        let bytes: u64 = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        for run in 0..2 {
            let (all, opened) = store(&path);
            let start = Instant::now();
            let count = all.records().filter(Result::is_ok).count();
            println!(
                "{records:4} records a batch, run {run}: {count} records, {} MiB, opened in {opened:?}, replayed in {:?}: {:.0} records/s in all",
                bytes >> 20,
                start.elapsed(),
                count as f64 / (opened + start.elapsed()).as_secs_f64()
            );
        }
    }
}

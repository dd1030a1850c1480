//! What does durability cost, and how long does it take to come back? The journal beside redb, fjall and SQLite.
//!
//! Each store gets the same records from the same machine: accepted events of 1 KiB in batches of 1 and of 64, each
//! batch durable before the next begins (redb with its default durability, fjall with `SyncAll`, SQLite in WAL mode with
//! `synchronous=FULL`). Then a store with a million pending deliveries is closed and opened again, and its records are
//! folded into a machine.
//!
//! `cargo run --release` in this directory prints two tables; `-- EVENTS PENDING` makes other numbers of them. Bytes are
//! what the process gave to write calls, and what the kernel counts as sent to the disk. Times depend on the disk.

mod contenders;
mod figures;
mod work;

use std::env;

use contenders::{Contender, Fjall, Journal, Redb, Sqlite};

fn main() {
    let mut numbers = env::args().skip(1).map(|number| number.parse().expect("a number"));
    let events = numbers.next().unwrap_or(20_000);
    let pending = numbers.next().unwrap_or(1_000_000);
    appending::<Journal>(events);
    appending::<Redb>(events);
    appending::<Fjall>(events);
    appending::<Sqlite>(events);
    println!();
    coming_back::<Journal>(pending);
    coming_back::<Redb>(pending);
    coming_back::<Fjall>(pending);
    coming_back::<Sqlite>(pending);
}

/// Appends events, batch by batch, each durable before the next.
fn appending<C: Contender>(events: usize) {
    for size in [1, 64] {
        // A batch of one waits for the disk each time: fewer of them say as much.
        let count = if size == 1 { events / 20 } else { events };
        let (beginning, batches) = work::batches(count, size);
        let payload = (count * work::PAYLOAD) as f64;
        let dir = tempfile::tempdir_in(".").expect("a directory here");
        let mut store = C::open(dir.path());
        beginning.iter().for_each(|batch| store.append(batch));
        let before = figures::Written::now();
        let begun = std::time::Instant::now();
        batches.iter().for_each(|batch| store.append(batch));
        let took = begun.elapsed();
        let written = figures::Written::now().since(before);
        println!(
            "{:8} batches of {size:2}: {:9.0} events/s, {:5.2} bytes given and {:5.2} sent to disk for each byte of payload",
            C::NAME,
            count as f64 / took.as_secs_f64(),
            written.given as f64 / payload,
            written.sent as f64 / payload,
        );
    }
}

/// Opens a store with pending deliveries, twice, and times the second time: the cache is warm then.
fn coming_back<C: Contender>(pending: usize) {
    let dir = tempfile::tempdir_in(".").expect("a directory here");
    let mut store = C::open(dir.path());
    work::fill(pending, |output| store.take(output));
    drop(store);
    let mut told = String::new();
    for _ in 0..2 {
        let begun = std::time::Instant::now();
        let mut store = C::open(dir.path());
        let opened = begun.elapsed();
        let (machine, records) = work::restore(|each| store.records(each));
        let took = begun.elapsed();
        assert_eq!(machine.events(), pending, "nothing was lost");
        told = format!(
            "{:8} {pending} pending: {:5.2} s ({:.2} s to open), {records} records, {:9.0} records/s",
            C::NAME,
            took.as_secs_f64(),
            opened.as_secs_f64(),
            records as f64 / took.as_secs_f64(),
        );
    }
    println!("{told}");
}

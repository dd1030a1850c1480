//! The work that every store does: records of a real machine.

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::JournalSeq;
use postrider_core::journal::Record;
use postrider_core::limits::Limits;
use postrider_core::registration::Endpoint;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, PersistBatch, Restore, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

/// Bytes of an event's payload.
pub const PAYLOAD: usize = 1024;

const NOW: Now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_795_246_000) };

fn config() -> Config {
    let mut limits = Limits::default();
    (limits.events, limits.pending, limits.unwritten) = (100_000_000, 100_000_000, u64::MAX / 4);
    limits.idempotency_entries = 100_000_000;
    Config::new().limits(limits)
}

/// A machine with one endpoint, which wants everything.
fn machine(mut take: impl FnMut(&Output)) -> Sender {
    let mut machine = Sender::new(config(), Seed::from_bytes([7; 32]), NOW);
    let endpoint = Endpoint::new("acme", "https://acme.example.com/").events(["order.**"]);
    let endpoint = endpoint.signing_key(Secret::from_bytes([7; 32]).expect("32 bytes"));
    machine.put(NOW, endpoint).expect("a good endpoint");
    drain(&mut machine, &mut take);
    machine
}

fn event(number: usize, size: usize) -> Event {
    let body = Bytes::from(vec![b'x'; size]);
    Event::raw("order.paid", "text/plain", body).expect("an event").id(format!("event-{number:010}"))
}

/// What a store begins with, and batches of accepted events.
pub fn batches(count: usize, size: usize) -> (Vec<PersistBatch>, Vec<PersistBatch>) {
    let (mut beginning, mut batches) = (Vec::new(), Vec::new());
    let mut machine = machine(|output| keep(output, &mut beginning));
    for first in (0..count).step_by(size) {
        (first..first + size).for_each(|number| {
            machine.publish(NOW, event(number, PAYLOAD)).expect("there is room");
        });
        drain(&mut machine, |output| keep(output, &mut batches));
    }
    (beginning, batches)
}

fn keep(output: &Output, batches: &mut Vec<PersistBatch>) {
    if let Output::Persist(batch) = output {
        batches.push(batch.clone());
    }
}

/// Acknowledges at once; nothing is sent, since there is no credit.
fn drain(machine: &mut Sender, mut see: impl FnMut(&Output)) {
    machine.handle(NOW, Input::Credit(0));
    loop {
        let output = machine.poll_output();
        see(&output);
        match output {
            Output::Persist(batch) => machine.handle(NOW, Input::Persisted(batch.last())),
            Output::Wait(Wake::Ready) => {}
            Output::Wait(_) => return,
            _ => {}
        }
    }
}

/// Makes a machine with so many pending deliveries, and shows everything that a log must take.
pub fn fill(pending: usize, mut take: impl FnMut(&Output)) {
    let mut machine = machine(&mut take);
    for number in 0..pending {
        machine.publish(NOW, event(number, 64)).expect("there is room");
        if number % 64 == 63 {
            drain(&mut machine, &mut take);
        }
    }
    drain(&mut machine, &mut take);
}

/// Folds records into a machine; says how many there were.
pub fn restore(records: impl FnOnce(&mut dyn FnMut((JournalSeq, Record)))) -> (Sender, u64) {
    let (mut restore, mut count) = (Some(Restore::new(config())), 0);
    records(&mut |record| {
        count += 1;
        restore = restore.take().map(|restore| restore.record(record));
    });
    (restore.expect("it is always put back").finish(NOW).expect("the records are whole"), count)
}

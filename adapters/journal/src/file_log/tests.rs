//! Real machines on real directories.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use super::*;
use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::limits::Limits;
use postrider_core::registration::Endpoint;
use postrider_core::response::Reply;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Restore, Sender as Machine};
use postrider_core::time::Now;

/// A machine with a log, and what the log says.
pub(crate) struct Node {
    pub(crate) machine: Machine,
    log: FileLog,
    tell: Sender<Input>,
    told: Receiver<Input>,
    rooms: Vec<u64>,
    /// What receivers answer; without it they do not.
    pub(crate) answer: Option<Bytes>,
}

pub(crate) fn open(dir: &Path, options: FileOptions) -> Node {
    let mut log = FileLog::open(dir, options).unwrap();
    let mut limits = Limits::default();
    limits.snapshot_every = 64 << 10;
    let config = Config::new().limits(limits);
    let machine = if log.found().last > JournalSeq::ZERO {
        let records = log.records().map(|record| record.unwrap());
        records.fold(Restore::new(config), Restore::record).finish(Now::default()).unwrap()
    } else {
        Machine::new(config, Seed::from_bytes([7; 32]), Now::default())
    };
    let (tell, told) = mpsc::channel();
    let room = tell.clone();
    log.attach(Arc::new(move |input| drop(room.send(input))));
    Node { machine, log, tell, told, rooms: Vec::new(), answer: None }
}

pub(crate) fn small() -> FileOptions {
    let mut options = FileOptions::default();
    (options.store.segment_bytes, options.store.reserve) = (64 << 10, 0);
    options
}

impl Node {
    /// Hands out everything that the machine wants, and feeds what the log says, until every record is durable.
    pub(crate) fn settle(&mut self) {
        loop {
            loop {
                match self.machine.poll_output() {
                    Output::Persist(batch) => {
                        let tell = self.tell.clone();
                        self.log.append(batch, Box::new(move |input| drop(tell.send(input))));
                    }
                    Output::Load(request) => {
                        let tell = self.tell.clone();
                        self.log.load(request, Box::new(move |input| drop(tell.send(input))));
                    }
                    Output::Snapshot(part) => self.log.snapshot(part),
                    Output::Reclaim(mark) => self.log.reclaim(mark),
                    Output::Transmit(transmit) => {
                        if let Some(answer) = self.answer.clone() {
                            let outcome = Ok(Reply::new(200).with_body(answer));
                            let _ = self.tell.send(Input::Completed { attempt: transmit.attempt(), outcome });
                        }
                    }
                    Output::Abort(_) | Output::Notice(_) => {}
                    Output::Wait(_) => break,
                }
            }
            for input in self.told.try_iter() {
                self.rooms.extend(match input {
                    Input::Room(room) => Some(room),
                    _ => None,
                });
                self.machine.handle(self.machine.now(), input);
            }
            if self.machine.durable() == self.machine.last_record() {
                return;
            }
            if let Ok(input) = self.told.recv_timeout(Duration::from_millis(20)) {
                self.machine.handle(self.machine.now(), input);
            }
        }
    }

    pub(crate) fn publish(&mut self, id: usize) -> JournalSeq {
        self.publish_of(id, vec![id as u8; 300])
    }

    pub(crate) fn publish_of(&mut self, id: usize, payload: Vec<u8>) -> JournalSeq {
        let event = Event::raw("order.paid", "text/plain", Bytes::from(payload)).unwrap();
        self.machine.publish(self.machine.now(), event.id(format!("e{id}"))).unwrap().seq
    }

    pub(crate) fn put(&mut self) {
        let endpoint = Endpoint::new("acme", "https://acme.com/").events(["order.**"]).keep_answers(true);
        let endpoint = endpoint.signing_key(Secret::from_bytes([7; 32]).unwrap());
        self.machine.put(self.machine.now(), endpoint).unwrap();
    }
}

#[test]
fn what_was_acknowledged_is_there_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("journal");
    let mut node = open(&dir, small());
    assert!(node.log.id() != StoreId::from_bytes([0; 16]));
    node.put();
    for id in 0..500 {
        node.publish(id);
        if id % 7 == 0 {
            node.settle();
        }
    }
    node.settle();
    let (last, id) = (node.machine.last_record(), node.log.id());
    drop(node);
    let mut again = open(&dir, small());
    assert_eq!((again.machine.durable(), again.machine.events(), again.log.id()), (last, 500, id));
    assert!(again.log.found().snapshot.is_some() && again.log.found().pending == 500);
    // The payloads come back, too.
    let event = again.publish(1000);
    again.settle();
    assert!(event > last);
    again.log.close().unwrap();
    assert!(open(&dir, small()).machine.events() == 501);
}

#[test]
fn one_sync_serves_all_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = open(dir.path(), FileOptions::default());
    node.put();
    node.settle();
    let start = Instant::now();
    let (count, mut batches) = (2000, 0);
    for id in 0..count {
        node.publish(id);
    }
    while node.machine.durable() < node.machine.last_record() {
        while let Output::Persist(batch) = node.machine.poll_output() {
            batches += 1;
            let tell = node.tell.clone();
            node.log.append(batch, Box::new(move |input| drop(tell.send(input))));
        }
        let input = node.told.recv().unwrap();
        node.machine.handle(node.machine.now(), input);
    }
    assert!(batches < 20, "{batches} batches for {count} records, {:?}", start.elapsed());
}

#[test]
fn another_process_waits_and_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = open(dir.path(), small());
    node.put();
    node.settle();
    assert!(matches!(FileLog::open(dir.path(), small()), Err(OpenError::Busy { process: Some(_) })));
    let path = dir.path().to_owned();
    let (told, heard) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let tell: Box<dyn FnMut(Waiting) + Send> = Box::new(move |waiting| told.send(waiting).unwrap());
        FileLog::open(path, FileOptions { takeover: Duration::from_secs(30), tell: Some(tell), ..small() })
    });
    assert_eq!(heard.recv().unwrap().process, Some(std::process::id()));
    let last = node.machine.last_record();
    drop(node);
    let taken = waiting.join().unwrap().unwrap();
    assert_eq!(taken.found().last, last);
}

#[test]
fn a_full_directory_says_so_and_goes_on_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = small();
    options.store.budget = Some(300 << 10);
    let mut node = open(dir.path(), options);
    node.put();
    node.settle();
    if let Ok(Input::Room(room)) = node.told.recv_timeout(Duration::from_secs(10)) {
        node.rooms.push(room);
        node.machine.handle(node.machine.now(), Input::Room(room));
    }
    assert!(node.rooms.first().is_some_and(|room| (100 << 10..300 << 10).contains(room)), "{:?}", node.rooms);
    let mut published = 0;
    for id in 0..2000 {
        let event = Event::raw("order.paid", "text/plain", Bytes::from(vec![1; 1000])).unwrap().id(format!("e{id}"));
        match node.machine.publish(node.machine.now(), event) {
            Ok(_) => published += 1,
            Err(_) => break,
        }
        node.settle();
    }
    assert!((100..300).contains(&published), "{published}");
    drop(node);
    let mut options = small();
    options.store.budget = Some(300 << 10);
    let again = open(dir.path(), options);
    assert_eq!(again.machine.events(), published);
}

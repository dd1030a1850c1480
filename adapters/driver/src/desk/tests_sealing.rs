//! What a vault keeps from the log, and gives back.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use postrider_core::sender::{LoadRequest, PersistBatch, SnapshotPart, Watermark};
use postrider_journal::seal::SealError;
use postrider_journal::{Done, MemoryLog};

use super::tests::{Bench, Carrier, acme, channel, paid};
use super::*;
use crate::facts::lock;

/// A log in memory that remembers every byte it was given.
#[derive(Clone)]
struct Tapped(MemoryLog, Arc<Mutex<Vec<Bytes>>>);

impl Tapped {
    fn new() -> Self {
        Self(MemoryLog::keeping(), Arc::default())
    }

    fn has(&self, canary: &[u8]) -> bool {
        lock(&self.1).iter().any(|bytes| bytes.windows(canary.len()).any(|window| window == canary))
    }

    fn open(&self, vault: Option<Vault>) -> Result<Bench, Error> {
        let desk = Desk::open_with(self.clone(), Config::new(), Restoring { vault, ..Restoring::default() })?;
        let mut bench = Bench { desk, carrier: Carrier::default() };
        bench.desk.handle(Input::Credit(8));
        bench.run();
        Ok(bench)
    }

    fn refuses(&self, vault: Option<Vault>) -> SealError {
        match self.open(vault) {
            Err(Error::Seal(why)) => why,
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
}

impl Log for Tapped {
    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn records(&mut self) -> Records<'_> {
        self.0.records()
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        lock(&self.1).push(batch.bytes().clone());
        self.0.append(batch, done);
    }

    fn load(&mut self, request: LoadRequest, done: Done) {
        self.0.load(request, done);
    }

    fn snapshot(&mut self, part: SnapshotPart) {
        lock(&self.1).push(part.bytes().clone());
        self.0.snapshot(part);
    }

    fn reclaim(&mut self, mark: Watermark) {
        self.0.reclaim(mark);
    }
}

const OWN: [u8; 32] = *b"CANARY that the endpoint brought";
const ADDED: [u8; 32] = *b"CANARY that was added afterwards";
const HEADER: &str = "Bearer CANARY-in-a-header";

fn vault(byte: u8) -> Vault {
    Vault::from_bytes(&[byte; 32])
}

fn secret(bytes: [u8; 32]) -> Secret {
    Secret::from_bytes(bytes).unwrap()
}

/// An endpoint with two keys and a secret header, one without anything of its own, and the secret minted for it.
fn fill(bench: &mut Bench) -> Secret {
    let own = acme().signing_key(secret(OWN)).secret_header("authorization", HEADER);
    let own = bench.put(own);
    let minted = bench.put(Endpoint::new("minted", "https://minted.com/").events(["nothing"]));
    let (reply, added) = channel();
    let key = EndpointKey::new("acme").unwrap();
    bench.desk.command(Command::AddKey(key, secret(ADDED)), reply);
    bench.run();
    own.try_recv().unwrap().unwrap();
    assert!(added.try_recv().unwrap().unwrap().changed);
    minted.try_recv().unwrap().unwrap().created().unwrap().clone()
}

/// Publishes one event and looks at what would be sent.
fn request(bench: &mut Bench, id: &str) -> (String, usize) {
    let _ = bench.publish(paid(id));
    bench.run();
    let transmit = bench.carrier.carried.pop().expect("an attempt was begun");
    let request = transmit.clear("93.184.215.14:443".parse().unwrap()).unwrap().request();
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    (header("authorization"), header("webhook-signature").split(' ').count())
}

fn keys(bench: &Bench) -> Vec<KeyId> {
    let named =
        |name: &str| bench.desk.read(|machine| machine.endpoint(&EndpointKey::new(name).unwrap())).unwrap().keys;
    named("acme").into_iter().chain(named("minted")).map(|(id, _)| id).collect()
}

#[test]
fn no_secret_is_in_the_log_and_all_come_back() {
    let log = Tapped::new();
    let mut bench = log.open(Some(vault(1))).unwrap();
    let minted = fill(&mut bench);
    let before = keys(&bench);
    assert_eq!(before.len(), 3);
    drop(bench);
    for canary in [&b"CANARY"[..], minted.expose()] {
        assert!(!log.has(canary), "{}", String::from_utf8_lossy(canary));
    }
    let mut bench = log.open(Some(vault(1))).unwrap();
    assert_eq!(keys(&bench), before);
    assert_eq!(request(&mut bench, "a"), (HEADER.to_owned(), 2));
    // The same content changes nothing, although it would be sealed otherwise.
    let again =
        bench.put(acme().signing_key(secret(ADDED)).signing_key(secret(OWN)).secret_header("authorization", HEADER));
    bench.run();
    assert!(matches!(again.try_recv().unwrap().unwrap().put(), Put::Unchanged(_)));
    assert!(!log.has(b"CANARY"));
}

#[test]
fn without_the_right_key_the_log_stays_closed_and_says_which() {
    let log = Tapped::new();
    fill(&mut log.open(Some(vault(1))).unwrap());
    let (right, wrong) = (vault(1).keys().next().unwrap(), vault(2).keys().next().unwrap());
    let SealError::NoVault { endpoint, sealed_with, .. } = log.refuses(None) else { panic!("another reason") };
    assert_eq!((endpoint.to_string().as_str(), sealed_with), ("acme", Some(right)));
    let error = log.refuses(Some(vault(2)));
    let said = error.to_string();
    assert!(matches!(error, SealError::OtherKey { sealed_with, .. } if sealed_with == right));
    assert!(said.contains("acme") && said.contains(&right.to_string()) && said.contains(&wrong.to_string()), "{said}");
    assert!(log.open(Some(vault(1))).is_ok(), "nothing was changed");
}

#[test]
fn a_vault_key_is_replaced_by_opening_once_with_both() {
    let log = Tapped::new();
    fill(&mut log.open(Some(vault(1))).unwrap());
    let before = keys(&log.open(Some(vault(2).or(vault(1)))).unwrap());
    let mut bench = log.open(Some(vault(2))).unwrap();
    assert_eq!(keys(&bench), before);
    assert_eq!(request(&mut bench, "a"), (HEADER.to_owned(), 2));
    assert!(matches!(log.refuses(Some(vault(1))), SealError::OtherKey { .. }));
}

#[test]
fn an_endpoint_that_was_removed_needs_no_key() {
    let log = Tapped::new();
    let mut bench = log.open(Some(vault(1))).unwrap();
    fill(&mut bench);
    for name in ["acme", "minted"] {
        let (reply, removed) = channel();
        bench.desk.command(Command::Remove(EndpointKey::new(name).unwrap()), reply);
        bench.run();
        assert!(removed.try_recv().unwrap().unwrap().changed);
    }
    assert!(log.open(Some(vault(2))).is_ok());
}

#[test]
fn what_was_plain_is_sealed_when_a_vault_comes() {
    let log = Tapped::new();
    fill(&mut log.open(None).unwrap());
    assert!(log.has(b"CANARY"), "without a vault the log holds them");
    let written = lock(&log.1).len();
    drop(log.open(Some(vault(1))).unwrap());
    let since = lock(&log.1).split_off(written);
    assert!(!since.is_empty() && !since.iter().any(|bytes| bytes.windows(6).any(|window| window == b"CANARY")));
    // From now on the plain ones are not looked at; a snapshot and the compaction after it drop them.
    assert_eq!(request(&mut log.open(Some(vault(1))).unwrap(), "a"), (HEADER.to_owned(), 2));
    assert!(matches!(log.refuses(None), SealError::NoVault { .. }));
}

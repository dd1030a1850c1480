//! Senders that write to a directory: closed, abandoned, opened again, opened twice, sealed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::sender::{EventReport, Fate};
use postrider_driver::{Error, Opening, SettledError, questions};
use postrider_journal::history::End;
use postrider_journal::seal::{SealError, Vault};
use postrider_journal::store::OpenError;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::builder::Builder;
use crate::fixture::{OK, Server, read_request, secret};
use crate::sender::Sender;

/// Nothing here takes this long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

fn builder() -> Builder {
    Sender::builder().policy(Policy::development()).takeover(Duration::from_millis(300))
}

fn event(id: &str) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": 1001 })).unwrap().id(id)
}

fn id(name: &str) -> EventId {
    EventId::new(name).unwrap()
}

fn acme() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

/// Tries again after 50 ms, three times.
fn patient(url: String) -> Endpoint {
    Endpoint::new("acme", url).signing_key(secret()).schedule([0, 50, 50, 50].map(Duration::from_millis))
}

async fn settled(sender: &Sender, name: &str) -> EventReport {
    timeout(LONG, sender.settled(&id(name))).await.unwrap().unwrap()
}

/// A server that answers 200 while the flag is set and closes the connection while it is not.
async fn shop() -> (Server, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(true));
    let is_open = Arc::clone(&open);
    let server = Server::start(move |mut stream, _| {
        let is_open = Arc::clone(&is_open);
        async move {
            while !read_request(&mut stream).await.0.is_empty() && is_open.load(Ordering::SeqCst) {
                stream.write_all(OK).await.unwrap();
            }
        }
    });
    (server.await, open)
}

#[tokio::test]
async fn a_sender_goes_on_where_it_was_closed() {
    let (dir, (server, _)) = (tempfile::tempdir().unwrap(), shop().await);
    let sender = builder().open(dir.path().join("made/for/it")).await.unwrap();
    sender.put(patient(server.url())).await.unwrap();
    sender.pause(&acme()).await.unwrap();
    let names: Vec<_> = (0..100).map(|n| format!("held-{n}")).collect();
    let receipts = sender.publish_all(names.iter().map(|name| event(name))).await;
    let receipts: Vec<_> = receipts.into_iter().map(Result::unwrap).collect();
    assert_eq!(receipts[0].to_string(), format!("accepted held-0, on disk at {}, 1 endpoint", receipts[0].seq()));
    sender.close(LONG).await.unwrap();

    let sender = builder().open(dir.path().join("made/for/it")).await.unwrap();
    assert!(!sender.put(patient(server.url())).await.unwrap().change().changed);
    for receipt in &receipts {
        let repeat = sender.publish(event(receipt.event().as_str())).await.unwrap();
        assert_eq!((repeat.seq(), repeat.is_fresh()), (receipt.seq(), false));
    }
    sender.resume(&acme()).await.unwrap();
    for name in &names {
        let report = settled(&sender, name).await;
        assert_eq!((report.deliveries[0].fate, report.tally.attempts), (Fate::Delivered, 1), "{report}");
    }
    sender.close(LONG).await.unwrap();
}

#[tokio::test]
async fn what_has_ended_is_read_after_a_restart() {
    let (dir, (server, open)) = (tempfile::tempdir().unwrap(), shop().await);
    let sender = builder().open(dir.path()).await.unwrap();
    sender.put(patient(server.url()).keep_answers(true)).await.unwrap();
    sender.publish(event("good")).await.unwrap();
    let good = settled(&sender, "good").await;
    open.store(false, Ordering::SeqCst);
    sender.publish(event("bad")).await.unwrap();
    let bad = settled(&sender, "bad").await;
    sender.close(LONG).await.unwrap();

    let (sender, tenant) = (builder().open(dir.path()).await.unwrap(), TenantId::default());
    for before in [&good, &bad] {
        let read = sender.report(&tenant, &before.event).await.unwrap().unwrap();
        assert_eq!((read.settled, read.tally, read.accepted), (true, before.tally, before.accepted), "{read}");
        assert_eq!(settled(&sender, before.event.as_str()).await, read);
    }
    assert_eq!(sender.settled(&id("unknown")).await, Err(SettledError::Unknown(id("unknown"))));
    let whole = sender.event_history(&id("good")).await.unwrap().unwrap();
    assert_eq!(whole.payload.as_deref(), Some(&br#"{"id":1001}"#[..]));
    assert_eq!((whole.attempts[0].status, whole.attempts[0].answer.as_deref()), (Some(200), Some(&b"ok"[..])));
    let delivered = sender.history(questions::deliveries(&acme()).ended([End::Delivered])).await.unwrap();
    assert_eq!(delivered.items[0].event, Some(id("good")));
    let dead = sender.history(questions::exhausted(&tenant).page(None, 10)).await.unwrap();
    assert_eq!((dead.items.len(), dead.items[0].attempts, dead.next), (1, 4, None));
    assert_eq!(sender.history(questions::counts()).await.unwrap().events, 2);

    // What is to be forgotten is at once.
    sender.erase(&tenant, &id("good")).await.unwrap();
    let erased = sender.event_history(&id("good")).await.unwrap().unwrap();
    assert_eq!((erased.payload, erased.attempts[0].answer.clone()), (None, None));
    assert!(sender.event_history(&id("bad")).await.unwrap().unwrap().payload.is_some());
    sender.purge(&tenant).await.unwrap();
    assert!(sender.event_history(&id("bad")).await.unwrap().unwrap().payload.is_none());
}

#[tokio::test]
async fn the_second_to_open_a_directory_takes_over_from_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = builder().open(dir.path()).await.unwrap();
    first.publish(event("a")).await.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let waits = builder().takeover(LONG).on_opening(move |opening| tell.send(opening).unwrap());
    let second = tokio::spawn(waits.open(dir.path().to_owned()));
    let (directory, process) = (dir.path().to_owned(), Some(std::process::id()));
    assert_eq!(timeout(LONG, told.recv()).await.unwrap(), Some(Opening::Unsealed { directory: directory.clone() }));
    let waiting = Opening::Waiting { directory, process, at_most: LONG };
    assert_eq!(timeout(LONG, told.recv()).await.unwrap(), Some(waiting));
    first.close(LONG).await.unwrap();
    let second = timeout(LONG, second).await.unwrap().unwrap().unwrap();
    assert!(!second.publish(event("a")).await.unwrap().is_fresh());
    second.close(LONG).await.unwrap();
    assert_eq!(told.recv().await, None, "each is told once");
}

#[tokio::test]
async fn a_directory_that_stays_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let _first = builder().open(dir.path()).await.unwrap();
    let began = Instant::now();
    let error = builder().open(dir.path()).await.unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(300));
    let Error::Directory(why) = &error else { panic!("{error}") };
    assert_eq!(why.why, OpenError::Busy { process: Some(std::process::id()) });
    let (said, place) = (error.to_string(), dir.path().display().to_string());
    assert!(said.contains(&place) && said.contains(&std::process::id().to_string()), "{said}");
}

/// The files as they stand while a sender is at work: what a killed process leaves behind. What says how far the log was
/// synced goes first, since the log may grow meanwhile.
fn copy(from: &Path, to: &Path) {
    let mut names: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_by_key(|name| name != "acked");
    for name in names {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[tokio::test]
async fn what_was_promised_survives_a_sender_that_is_never_closed() {
    let (dir, left, (server, _)) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), shop().await);
    let sender = builder().open(dir.path()).await.unwrap();
    sender.put(patient(server.url())).await.unwrap();
    sender.pause(&acme()).await.unwrap();
    for n in 0..50 {
        sender.publish(event(&format!("e{n}"))).await.unwrap();
    }
    copy(dir.path(), left.path());
    std::mem::forget(sender);

    let sender = builder().open(left.path()).await.unwrap();
    sender.resume(&acme()).await.unwrap();
    for n in 0..50 {
        assert!(!sender.publish(event(&format!("e{n}"))).await.unwrap().is_fresh());
        assert_eq!(settled(&sender, &format!("e{n}")).await.tally.delivered, 1);
    }
    sender.close(LONG).await.unwrap();
}

#[test]
fn a_runtime_that_goes_away_lets_go_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let fresh = runtime.block_on(async {
            let sender = builder().takeover(LONG).open(dir.path()).await.unwrap();
            let fresh = sender.publish(event("a")).await.unwrap().is_fresh();
            std::mem::forget(sender);
            fresh
        });
        assert_eq!(fresh, round == 0);
    }
}

#[tokio::test]
async fn a_sealed_directory_has_no_secret_and_needs_its_key() {
    let (dir, (server, _)) = (tempfile::tempdir().unwrap(), shop().await);
    let sealed = |byte| builder().vault(Vault::from_bytes(&[byte; 32]));
    let sender = sealed(1).open(dir.path()).await.unwrap();
    let endpoint = patient(server.url()).secret_header("authorization", "Bearer CANARY");
    sender.put(endpoint).await.unwrap();
    sender.close(LONG).await.unwrap();
    for entry in fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        let bytes = fs::read(entry.path()).unwrap();
        let has = |canary: &[u8]| bytes.windows(canary.len()).any(|window| window == canary);
        assert!(!has(b"CANARY") && !has(secret().expose()), "{:?}", entry.file_name());
    }
    let error = sealed(2).open(dir.path()).await.unwrap_err();
    assert!(matches!(&error, Error::Seal(SealError::OtherKey { .. })), "{error}");
    let both = Vault::from_bytes(&[2; 32]).or(Vault::from_bytes(&[1; 32]));
    builder().vault(both).open(dir.path()).await.unwrap().close(LONG).await.unwrap();
    let sender = sealed(2).open(dir.path()).await.unwrap();
    sender.publish(event("a")).await.unwrap();
    assert_eq!(settled(&sender, "a").await.tally.delivered, 1);
}

//! Sending again what has ended, over real sockets and from a real directory.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use postrider::core::sender::ReplayRefused;
use postrider::history::{End, Retention};
use postrider::replays::{self, ReplayError, Replayed};
use postrider::{Endpoint, EndpointKey, Error, Event, EventId, Policy, TenantId, blocking};

const LONG: Duration = Duration::from_secs(20);

/// A server on a port of its own that keeps the headers of every request.
struct Shop {
    url: String,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl Shop {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let (status, got) = (Arc::new(AtomicU16::new(204)), Arc::<Mutex<Vec<_>>>::default());
        let shop = Self { url, status: Arc::clone(&status), got: Arc::clone(&got) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, got) = (Arc::clone(&status), Arc::clone(&got));
                thread::spawn(move || serve(stream, &status, &got));
            }
        });
        shop
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<BTreeMap<String, String>> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

fn serve(stream: TcpStream, status: &AtomicU16, got: &Mutex<Vec<BTreeMap<String, String>>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
        loop {
            line.clear();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
        lines.read_exact(&mut body).ok()?;
        headers.insert("body".to_owned(), String::from_utf8(body).unwrap());
        got.lock().unwrap().push(headers);
        let status = status.load(Ordering::SeqCst);
        write!(&stream, "HTTP/1.1 {status} So it is\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn acme() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

fn id(id: &str) -> EventId {
    EventId::new(id).unwrap()
}

fn event(id: &str) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": id })).unwrap().id(id)
}

fn builder() -> blocking::Builder {
    blocking::Sender::builder().policy(Policy::development())
}

fn endpoint(name: &str, url: &str) -> Endpoint {
    let endpoint = Endpoint::new(name, url).events(["order.**"]).no_breaker();
    endpoint.schedule([Duration::ZERO, Duration::from_millis(1)])
}

/// A sender with these events, each of which has gone to `acme` and to `other`.
fn delivered(dir: &tempfile::TempDir, shop: &Shop, events: &[&str]) -> blocking::Sender {
    let sender = builder().open(dir.path()).unwrap();
    sender.put(endpoint("acme", &shop.url)).unwrap();
    sender.put(endpoint("other", &shop.url)).unwrap();
    for name in events {
        sender.publish(event(name)).unwrap();
        sender.settled_within(&id(name), LONG).unwrap();
    }
    sender
}

fn failure(told: Result<impl std::fmt::Debug, Error>) -> ReplayError {
    match told {
        Err(Error::Replay(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// One event goes once more to the endpoint that is named, before and after the sender is opened again.
#[test]
fn one_delivery_once_more() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::open());
    let sender = delivered(&dir, &shop, &["order-1"]);
    let first = shop.take();
    assert_eq!(first.len(), 2);
    let receipt = sender.replay(replays::one(&id("order-1"), &acme())).unwrap();
    sender.settled_within(receipt.event(), LONG).unwrap();
    let again = shop.take();
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0]["webhook-id"], &again[0]["body"]), (&"order-1".to_owned(), &first[0]["body"]));
    assert_eq!(again[0]["postrider-replay"], receipt.seq().to_string());
    sender.close(LONG).unwrap();

    let sender = builder().open(dir.path()).unwrap();
    let named = replays::one(&id("order-1"), &acme()).fresh_id().named("by-hand");
    let receipt = sender.replay(named.clone()).unwrap();
    assert!(!sender.replay(named).unwrap().is_fresh(), "the same name is a repeat");
    let report = sender.settled_within(receipt.event(), LONG).unwrap();
    assert_eq!(report.deliveries.len(), 1, "{report}");
    let again = shop.take();
    assert_eq!(again.len(), 1);
    assert_eq!((&*again[0]["webhook-id"], &*again[0]["postrider-replay-of"]), ("rpl_by-hand", "order-1"));
    assert_eq!(again[0]["body"], first[0]["body"]);
    let history = sender.event_history(receipt.event()).unwrap().unwrap();
    assert_eq!(history.replay_of, Some(id("order-1")));
    assert!(first.iter().all(|request| !request.contains_key("postrider-replay")));
}

/// What cannot be sent again is refused with the reason.
#[test]
fn what_is_not_kept_is_refused() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::open());
    let sender = delivered(&dir, &shop, &["order-1", "order-2"]);
    let once = |name: &str| sender.replay(replays::one(&id(name), &acme()));
    assert!(matches!(failure(once("order-9")), ReplayError::Unknown(event, _) if event == id("order-9")));
    sender.erase(&TenantId::default(), &id("order-2")).unwrap();
    assert!(matches!(failure(once("order-2")), ReplayError::Erased(_)));
    let nowhere = failure(sender.replay(replays::one(&id("order-1"), &EndpointKey::new("nowhere").unwrap())));
    assert!(matches!(nowhere, ReplayError::Refused(ReplayRefused::UnknownEndpoint(..))), "{nowhere}");
    assert!(matches!(failure(sender.replay(replays::one(&id("order-1"), &acme()).named("a.b"))), ReplayError::Name(_)));
    sender.close(LONG).unwrap();

    let mut retention = Retention::default();
    retention.payloads = Duration::from_millis(1);
    let sender = builder().retention(retention).open(dir.path()).unwrap();
    let ReplayError::Forgotten { since } = failure(sender.replay(replays::one(&id("order-1"), &acme()))) else {
        panic!("its payload is not kept");
    };
    let all = replays::retained(&acme()).from(since.saturating_sub(LONG));
    assert!(matches!(failure(sender.replay_all(all)), ReplayError::Forgotten { .. }));
    let volatile = blocking::Sender::volatile().unwrap().replay(replays::one(&id("order-1"), &acme()));
    assert!(matches!(volatile, Err(Error::History(_))), "{volatile:?}");
}

/// Everything that failed goes again: counted first, then sent, and under the same name only once.
#[test]
fn everything_of_an_endpoint_once_more() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::open());
    let good: Vec<_> = (0..5).map(|n| format!("good-{n}")).collect();
    let sender = delivered(&dir, &shop, &good.iter().map(String::as_str).collect::<Vec<_>>());
    // When both of its deliveries had ended, and before the next event came.
    let between = sender.event_history(&id("good-0")).unwrap().unwrap().ended.unwrap();
    shop.answers(500);
    let bad: Vec<_> = (0..100).map(|n| format!("bad-{n}")).collect();
    sender.publish_all(bad.iter().map(|name| event(name)));
    bad.iter().for_each(|name| drop(sender.settled_within(&id(name), LONG).unwrap()));
    shop.answers(204);
    shop.take();

    let dead = || replays::retained(&acme()).ended([End::Exhausted]);
    let told = sender.replay_dry_run(dead()).unwrap();
    assert_eq!(told.to_string(), "100 found (100 exhausted)");
    let all = sender.replay_dry_run(replays::retained(&acme())).unwrap();
    assert_eq!(all.to_string(), "105 found (5 delivered, 100 exhausted)");
    let until = sender.replay_dry_run(replays::retained(&acme()).to(between)).unwrap();
    assert!(until.all() <= 1, "{until}");
    assert!(shop.take().is_empty(), "counting sends nothing");

    let sent = sender.replay_all(dead().named("outage")).unwrap();
    assert_eq!((sent.made, sent.delivered, sent.all(), sent.cut), (100, 100, 100, false));
    let mut ids: Vec<_> = shop.take().into_iter().map(|request| request["webhook-id"].clone()).collect();
    ids.sort();
    let mut expected = bad;
    expected.sort();
    assert_eq!(ids, expected);
    sender.close(LONG).unwrap();

    let sender = builder().open(dir.path()).unwrap();
    let sent = sender.replay_all(dead().named("outage")).unwrap();
    assert_eq!((sent.made, sent.before), (0, 100), "what was sent again is no dead letter, and is not sent twice");
    assert!(shop.take().is_empty());
}

/// What waits is cancelled with the walk, and what is let out comes by the ramp: one first.
#[test]
fn a_walk_is_paced_and_can_be_cancelled() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::open());
    let names: Vec<_> = (0..200).map(|n| format!("order-{n}")).collect();
    let sender = delivered(&dir, &shop, &[]);
    sender.publish_all(names.iter().map(|name| event(name)));
    names.iter().for_each(|name| drop(sender.settled_within(&id(name), LONG).unwrap()));
    sender.pause(&acme()).unwrap();
    shop.take();
    let walking = thread::spawn({
        let sender = sender.clone();
        move || sender.replay_all(replays::retained(&acme()).named("all"))
    });
    while sender.stats().unwrap().accepted < 264 {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!(sender.stats().unwrap().accepted, 264, "at most 64 are open");
    assert!(matches!(failure(sender.replay_all(replays::retained(&acme()).named("all"))), ReplayError::UnderWay(_)));
    assert!(sender.cancel_replay("all").unwrap());
    let Replayed { made, cancelled, cut, .. } = walking.join().unwrap().unwrap();
    assert_eq!((made, cancelled, cut), (64, 64, true));
    assert!(!sender.cancel_replay("all").unwrap(), "it is over");
    sender.resume(&acme()).unwrap();
    assert!(shop.take().is_empty(), "nothing of it is sent any more");
    let rest = sender.replay_all(replays::retained(&acme()).named("all")).unwrap();
    assert_eq!((rest.before, rest.made), (64, 136), "what was cancelled stays so under this name");
    assert_eq!(shop.take().len(), 136);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_driver_does_the_same() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::open());
    let sender = postrider::tokio::Sender::builder().policy(Policy::development()).open(dir.path()).await.unwrap();
    sender.put(endpoint("acme", &shop.url)).await.unwrap();
    for name in ["order-1", "order-2"] {
        sender.publish(event(name)).await.unwrap();
        sender.settled(&id(name)).await.unwrap();
    }
    shop.take();
    let receipt = sender.replay(replays::one(&id("order-1"), &acme())).await.unwrap();
    sender.settled(receipt.event()).await.unwrap();
    assert_eq!(shop.take().len(), 1);
    let first = sender.event_history(&id("order-1")).await.unwrap().unwrap();
    let what = replays::retained(&acme()).from(first.accepted);
    assert_eq!(sender.replay_dry_run(what.clone()).await.unwrap().all(), 2);
    assert_eq!(sender.replay_all(what).await.unwrap().made, 2);
    assert_eq!(shop.take().len(), 2);
    assert!(!sender.cancel_replay("nothing").await.unwrap());
    sender.close(LONG).await.unwrap();
}

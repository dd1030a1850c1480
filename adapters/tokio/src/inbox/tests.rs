#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};

use http::{HeaderMap, HeaderValue, Method};
use postrider_core::receiver::{Processed, RequestHead};
use postrider_core::registration::Endpoint;
use postrider_core::retry::Schedule;
use postrider_core::secret::Secret;
use postrider_core::sender::Fate;
use postrider_core::signing::{Received, SigningKey, Verifier, standard};
use postrider_core::time::UnixTime;
use postrider_journal::MemoryLog;
use postrider_journal::history::End;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WALL: u64 = 1_700_000_000;

/// A webhook that was verified.
fn webhook(id: &str, body: &str) -> Delivery {
    let secret = Secret::parse(SECRET).unwrap();
    let signature = standard::sign([&SigningKey::from(&secret)], id, WALL, body.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::try_from(id).unwrap());
    headers.insert("webhook-timestamp", HeaderValue::from(WALL));
    headers.insert("webhook-signature", HeaderValue::try_from(signature).unwrap());
    let verifier: Verifier = standard::Verifier::new([&secret]).unwrap().into();
    let received = Received { method: "POST", url: "", headers: &headers, body: body.as_bytes() };
    let verified = verifier.verify(&received, UnixTime::from_secs(WALL)).unwrap();
    Delivery::from_verified(&verified, RequestHead::new(Method::POST, headers.clone()), 0)
}

fn id(name: &str) -> EventId {
    EventId::new(name).unwrap()
}

fn soon(attempts: usize) -> Schedule {
    Schedule::new(std::iter::repeat_n(Duration::from_millis(5), attempts)).unwrap()
}

/// Waits for the end of a webhook.
async fn settled(inbox: &Inbox, name: &str) -> EventReport {
    let name = id(name);
    timeout(Duration::from_secs(20), inbox.sender.settled(&name)).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_stored_is_handled_until_it_is_done() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = move |delivery: Delivery| {
        let call = counted.fetch_add(1, Atomic::SeqCst);
        async move {
            assert_eq!((delivery.webhook_id(), &delivery.body()[..]), ("msg_1", &b"{}"[..]));
            match call {
                0 => panic!("a planted panic"),
                1 => sleep(Duration::from_secs(60)).await,
                2 => return Processed::Later { after: None },
                _ => {}
            }
            Processed::Done
        }
    };
    let builder = Inbox::builder().schedule(soon(10)).time_limit(Duration::from_millis(50));
    let inbox = builder.with_log(MemoryLog::new(), handler).await.unwrap();
    inbox.store(&webhook("msg_1", "{}")).await.unwrap();
    let report = settled(&inbox, "msg_1").await;
    assert_eq!((report.deliveries[0].fate, report.deliveries[0].attempts), (Fate::Delivered, 4), "{report}");
    // It is known, and not handled again.
    inbox.store(&webhook("msg_1", "{}")).await.unwrap();
    inbox.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(calls.load(Atomic::SeqCst), 4);
    assert!(inbox.store(&webhook("msg_2", "{}")).await.is_err(), "it is closed");
}

#[tokio::test]
async fn what_was_stored_outlives_everything_but_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    // Calls begin, and none ends.
    let (began, mut begun) = mpsc::unbounded_channel();
    let handler = move |delivery: Delivery| {
        began.send(delivery.webhook_id().to_owned()).unwrap();
        std::future::pending::<()>()
    };
    let first = Inbox::builder().concurrency(2).open(dir.path(), handler).await.unwrap();
    for n in 0..20 {
        first.store(&webhook(&format!("msg_{n}"), "{}")).await.unwrap();
    }
    begun.recv().await.unwrap();
    let refused = Inbox::builder().takeover(Duration::ZERO).open(dir.path(), async |_| ()).await;
    assert!(matches!(refused, Err(Error::Directory(_))), "{refused:?}");
    drop(first);

    let (done, mut handled) = mpsc::unbounded_channel();
    let handler = move |delivery: Delivery| {
        let done = done.clone();
        async move { done.send(delivery.webhook_id().to_owned()).unwrap() }
    };
    let second = Inbox::builder().open(dir.path(), handler).await.unwrap();
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 20 {
        names.insert(timeout(Duration::from_secs(20), handled.recv()).await.unwrap().unwrap());
    }
    second.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let handler = move |delivery: Delivery| {
        let answer = match delivery.webhook_id() {
            "unwanted" => Processed::Refuse,
            _ if is_well.load(Atomic::SeqCst) => Processed::Done,
            _ => Processed::Later { after: None },
        };
        async move { answer }
    };
    let inbox = Inbox::builder().schedule(soon(2)).open(dir.path(), handler).await.unwrap();
    for name in ["dead", "unwanted"] {
        inbox.store(&webhook(name, "{}")).await.unwrap();
    }
    assert_eq!(settled(&inbox, "dead").await.deliveries[0].fate, Fate::Exhausted);
    let report = settled(&inbox, "unwanted").await;
    assert_eq!(report.deliveries[0].failure, Some(TransportError::Unwanted), "{report}");
    assert_eq!(report.deliveries[0].attempts, 1);
    let dead = inbox.dead(None, 10).await.unwrap();
    let named: Vec<_> = dead.items.iter().map(|item| (item.event.clone().unwrap(), item.end, item.status)).collect();
    assert_eq!(named, [(id("dead"), End::Exhausted, Some(500))]);
    let history = inbox.history(&id("dead")).await.unwrap().unwrap();
    assert_eq!(history.attempts.len(), 2);
    let kept = Delivery::from_stored(&history.payload.unwrap()).unwrap();
    assert_eq!((kept.webhook_id(), &kept.body()[..]), ("dead", &b"{}"[..]));

    well.store(true, Atomic::SeqCst);
    let told = inbox.replay_all(|all| all.ended([End::Exhausted])).await.unwrap();
    assert_eq!((told.made, told.delivered), (1, 1), "{told}");
    let receipt = inbox.replay(&id("unwanted")).await.unwrap();
    let report = inbox.sender.settled(receipt.event()).await.unwrap();
    assert_eq!(report.deliveries[0].fate, Fate::Refused);
    inbox.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn those_of_one_key_are_handled_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, fails) = (Arc::clone(&seen), Arc::new(AtomicUsize::new(3)));
    let handler = move |delivery: Delivery| {
        let (log, fails) = (Arc::clone(&log), Arc::clone(&fails));
        async move {
            // The first of one key fails for a while; another key does not wait for it.
            if delivery.webhook_id() == "a-0" && fails.fetch_sub(1, Atomic::SeqCst) > 1 {
                return Processed::Later { after: None };
            }
            sleep(Duration::from_millis(3)).await;
            log.lock().unwrap().push(delivery.webhook_id().to_owned());
            Processed::Done
        }
    };
    let key = |delivery: &Delivery| Some(delivery.webhook_id().split('-').next().unwrap().to_owned());
    let builder = Inbox::builder().schedule(soon(10)).order_by(key);
    let inbox = builder.with_log(MemoryLog::new(), handler).await.unwrap();
    for n in 0..5 {
        for key in ["a", "b"] {
            inbox.store(&webhook(&format!("{key}-{n}"), "{}")).await.unwrap();
        }
    }
    for key in ["a", "b"] {
        settled(&inbox, &format!("{key}-4")).await;
    }
    let seen = seen.lock().unwrap();
    for key in ["a", "b"] {
        let of_key: Vec<_> = seen.iter().filter(|name| name.starts_with(key)).cloned().collect();
        assert_eq!(of_key, [0, 1, 2, 3, 4].map(|n| format!("{key}-{n}")));
    }
}

#[tokio::test]
async fn closing_waits_for_calls_and_a_pause_begins_none() {
    let (gate, calls) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (wait, counted) = (Arc::clone(&gate), Arc::clone(&calls));
    let handler = move |_: Delivery| {
        let wait = Arc::clone(&wait);
        counted.fetch_add(1, Atomic::SeqCst);
        async move { wait.notified().await }
    };
    let inbox = Inbox::builder().with_log(MemoryLog::new(), handler).await.unwrap();
    inbox.pause().await.unwrap();
    inbox.store(&webhook("msg_1", "{}")).await.unwrap();
    sleep(Duration::from_millis(30)).await;
    assert_eq!(calls.load(Atomic::SeqCst), 0);
    inbox.resume().await.unwrap();
    while calls.load(Atomic::SeqCst) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let (closing, opening) = (inbox.clone(), Arc::clone(&gate));
    let closed = tokio::spawn(async move { closing.close(Duration::from_secs(20)).await });
    sleep(Duration::from_millis(30)).await;
    assert!(!closed.is_finished());
    opening.notify_one();
    timeout(Duration::from_secs(5), closed).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_senders_directory_is_no_inbox() {
    let dir = tempfile::tempdir().unwrap();
    let sender = Sender::open(dir.path()).await.unwrap();
    sender.put(Endpoint::new("acme", "https://acme.example.com/hooks")).await.unwrap();
    sender.close(Duration::from_secs(5)).await.unwrap();
    let refused = Inbox::open(dir.path(), async |_| ()).await;
    assert!(matches!(refused, Err(Error::NoInbox)), "{refused:?}");
}

/// A request with a webhook, as a server gets it.
fn request(id: &str, body: &'static str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let secs = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let key = SigningKey::from(&Secret::parse(SECRET).unwrap());
    let request = http::Request::post("/hooks?a=b").header("webhook-id", id).header("webhook-timestamp", secs);
    let request = request.header("webhook-signature", standard::sign([&key], id, secs, body.as_bytes()));
    request.body(http_body_util::Full::from(body)).unwrap()
}

#[tokio::test]
async fn a_receiver_answers_202_when_a_webhook_is_durable_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (done, mut handled) = mpsc::unbounded_channel();
    let handler = move |delivery: Delivery| {
        done.send((delivery.webhook_id().to_owned(), delivery.target().map(ToOwned::to_owned))).unwrap();
        async {}
    };
    let inbox = Inbox::builder().open(dir.path(), handler).await.unwrap();
    let config = || {
        let secret = Secret::parse(SECRET).unwrap();
        postrider_core::receiver::ReceiverConfig::new(standard::Verifier::new([&secret]).unwrap())
    };
    let hooks = crate::receiver::Receiver::builder(config()).inbox(&inbox);
    for _ in 0..2 {
        assert_eq!(hooks.answer(request("msg_1", "{}")).await.unwrap().status(), 202);
    }
    // Another receiver, which has seen nothing, has the same inbox.
    let other = crate::receiver::Receiver::builder(config()).inbox(&inbox);
    assert_eq!(other.answer(request("msg_1", "{}")).await.unwrap().status(), 202);
    assert_eq!(other.answer(request("msg_2", "{}")).await.unwrap().status(), 202);
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(timeout(Duration::from_secs(20), handled.recv()).await.unwrap().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["msg_1", "msg_2"].map(|id| (id.to_owned(), Some("/hooks?a=b".to_owned()))));
    inbox.close(Duration::from_secs(5)).await.unwrap();
    assert!(handled.try_recv().is_err(), "each is handled once");
    let answer = hooks.answer(request("msg_3", "{}")).await.unwrap();
    assert_eq!((answer.status(), answer.headers()["retry-after"].to_str().unwrap()), (503.try_into().unwrap(), "5"));
}

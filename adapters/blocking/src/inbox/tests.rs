#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread::{self, sleep};

use http::{HeaderMap, HeaderValue, Method};
use postrider_core::receiver::RequestHead;
use postrider_core::registration::Endpoint;
use postrider_core::response::TransportError;
use postrider_core::retry::Schedule;
use postrider_core::secret::Secret;
use postrider_core::sender::Fate;
use postrider_core::signing::{Received, SigningKey, Verifier, standard};
use postrider_core::time::UnixTime;
use postrider_journal::MemoryLog;
use postrider_journal::history::End;

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
fn settled(inbox: &Inbox, name: &str) -> EventReport {
    let report = inbox.sender.settled_within(&id(name), Duration::from_secs(20)).unwrap();
    assert!(report.settled, "{report}");
    report
}

#[test]
fn what_is_stored_is_handled_until_it_is_done() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = move |delivery: Delivery| {
        assert_eq!((delivery.webhook_id(), &delivery.body()[..]), ("msg_1", &b"{}"[..]));
        match counted.fetch_add(1, Atomic::SeqCst) {
            0 => panic!("a planted panic"),
            1 => Processed::Later { after: None },
            _ => Processed::Done,
        }
    };
    let inbox = Inbox::builder().schedule(soon(10)).with_log(MemoryLog::new(), handler).unwrap();
    inbox.store(&webhook("msg_1", "{}")).unwrap();
    let report = settled(&inbox, "msg_1");
    assert_eq!((report.deliveries[0].fate, report.deliveries[0].attempts), (Fate::Delivered, 3), "{report}");
    // It is known, and not handled again.
    inbox.store(&webhook("msg_1", "{}")).unwrap();
    inbox.close(Duration::from_secs(5)).unwrap();
    assert_eq!(calls.load(Atomic::SeqCst), 3);
    assert!(inbox.store(&webhook("msg_2", "{}")).is_err(), "it is closed");
}

#[test]
fn what_was_stored_outlives_everything_but_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    // Calls begin, and none ends until the test does.
    let (began, begun) = mpsc::channel();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let wait = Arc::clone(&gate);
    let handler = move |delivery: Delivery| {
        began.send(delivery.webhook_id().to_owned()).unwrap();
        drop(wait.1.wait_while(wait.0.lock().unwrap(), |open| !*open).unwrap());
    };
    let first = Inbox::builder().concurrency(2).open(dir.path(), handler).unwrap();
    for n in 0..20 {
        first.store(&webhook(&format!("msg_{n}"), "{}")).unwrap();
    }
    begun.recv().unwrap();
    let refused = Inbox::builder().takeover(Duration::ZERO).open(dir.path(), |_| ());
    assert!(matches!(refused, Err(Error::Directory(_))), "{refused:?}");
    drop(first);

    let (done, handled) = mpsc::channel();
    let handler = move |delivery: Delivery| done.send(delivery.webhook_id().to_owned()).unwrap();
    let second = Inbox::open(dir.path(), handler).unwrap();
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 20 {
        names.insert(handled.recv_timeout(Duration::from_secs(20)).unwrap());
    }
    second.close(Duration::from_secs(5)).unwrap();
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn dead_letters_are_listed_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let handler = move |delivery: Delivery| match delivery.webhook_id() {
        "unwanted" => Processed::Refuse,
        _ if is_well.load(Atomic::SeqCst) => Processed::Done,
        _ => Processed::Later { after: None },
    };
    let inbox = Inbox::builder().schedule(soon(2)).open(dir.path(), handler).unwrap();
    for name in ["dead", "unwanted"] {
        inbox.store(&webhook(name, "{}")).unwrap();
    }
    assert_eq!(settled(&inbox, "dead").deliveries[0].fate, Fate::Exhausted);
    let report = settled(&inbox, "unwanted");
    assert_eq!(report.deliveries[0].failure, Some(TransportError::Unwanted), "{report}");
    let dead = inbox.dead(None, 10).unwrap();
    let named: Vec<_> = dead.items.iter().map(|item| (item.event.clone().unwrap(), item.end, item.status)).collect();
    assert_eq!(named, [(id("dead"), End::Exhausted, Some(500))]);
    well.store(true, Atomic::SeqCst);
    let told = inbox.replay_all(|all| all.ended([End::Exhausted])).unwrap();
    assert_eq!((told.made, told.delivered), (1, 1), "{told}");
    inbox.close(Duration::from_secs(5)).unwrap();
}

#[test]
fn those_of_one_key_are_handled_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, fails) = (Arc::clone(&seen), AtomicUsize::new(3));
    let handler = move |delivery: Delivery| {
        // The first of one key fails for a while; another key does not wait for it.
        if delivery.webhook_id() == "a-0" && fails.fetch_sub(1, Atomic::SeqCst) > 1 {
            return Processed::Later { after: None };
        }
        sleep(Duration::from_millis(3));
        log.lock().unwrap().push(delivery.webhook_id().to_owned());
        Processed::Done
    };
    let key = |delivery: &Delivery| Some(delivery.webhook_id().split('-').next().unwrap().to_owned());
    let inbox = Inbox::builder().schedule(soon(10)).order_by(key).with_log(MemoryLog::new(), handler).unwrap();
    for n in 0..5 {
        for key in ["a", "b"] {
            inbox.store(&webhook(&format!("{key}-{n}"), "{}")).unwrap();
        }
    }
    for key in ["a", "b"] {
        settled(&inbox, &format!("{key}-4"));
    }
    let seen = seen.lock().unwrap();
    for key in ["a", "b"] {
        let of_key: Vec<_> = seen.iter().filter(|name| name.starts_with(key)).cloned().collect();
        assert_eq!(of_key, [0, 1, 2, 3, 4].map(|n| format!("{key}-{n}")));
    }
}

#[test]
fn closing_waits_for_calls() {
    let (open, gate) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let gate = Mutex::new(gate);
    let handler = move |_: Delivery| {
        began.send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
    };
    let inbox = Inbox::builder().with_log(MemoryLog::new(), handler).unwrap();
    inbox.store(&webhook("msg_1", "{}")).unwrap();
    begun.recv().unwrap();
    let closing = thread::spawn(move || inbox.close(Duration::from_secs(20)));
    sleep(Duration::from_millis(30));
    assert!(!closing.is_finished());
    open.send(()).unwrap();
    closing.join().unwrap().unwrap();
}

#[test]
fn a_senders_directory_is_no_inbox() {
    let dir = tempfile::tempdir().unwrap();
    let sender = Sender::open(dir.path()).unwrap();
    sender.put(Endpoint::new("acme", "https://acme.example.com/hooks")).unwrap();
    sender.close(Duration::from_secs(5)).unwrap();
    let refused = Inbox::open(dir.path(), |_| ());
    assert!(matches!(refused, Err(Error::NoInbox)), "{refused:?}");
}

/// Sends a webhook, and gives the head of the answer.
fn post(url: &str, id: &str, body: &str) -> String {
    let secs = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let key = SigningKey::from(&Secret::parse(SECRET).unwrap());
    let signature = standard::sign([&key], id, secs, body.as_bytes());
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/')).unwrap();
    write!(
        stream,
        "POST /hooks?a=b HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\nwebhook-id: {id}\r\n\
         webhook-timestamp: {secs}\r\nwebhook-signature: {signature}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_receiver_answers_202_when_a_webhook_is_durable_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (done, handled) = mpsc::channel();
    let handler = move |delivery: Delivery| {
        done.send((delivery.webhook_id().to_owned(), delivery.target().map(ToOwned::to_owned))).unwrap();
    };
    let inbox = Inbox::open(dir.path(), handler).unwrap();
    let bind = || {
        let secret = Secret::parse(SECRET).unwrap();
        let config = postrider_core::receiver::ReceiverConfig::new(standard::Verifier::new([&secret]).unwrap());
        crate::receiver::Receiver::builder(config).bind_inbox("127.0.0.1:0", &inbox).unwrap()
    };
    let (hooks, other) = (bind(), bind());
    // The other one, which has seen nothing, has the same inbox.
    for (to, id) in [(&hooks, "msg_1"), (&hooks, "msg_1"), (&other, "msg_1"), (&other, "msg_2")] {
        let answer = post(&to.url(), id, "{}");
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
    let mut seen = [0; 2].map(|_| handled.recv_timeout(Duration::from_secs(20)).unwrap());
    seen.sort();
    assert_eq!(seen, ["msg_1", "msg_2"].map(|id| (id.to_owned(), Some("/hooks?a=b".to_owned()))));
    inbox.close(Duration::from_secs(5)).unwrap();
    assert!(handled.try_recv().is_err(), "each is handled once");
    let answer = post(&hooks.url(), "msg_3", "{}");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5"), "{answer}");
}

//! Signed receipts between our senders and receivers, over real sockets: given, not given, and wrong.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use postrider::core::secret::Secret;
use postrider::core::sender::Notice;
use postrider::core::signing::receipt::{DeliveryReceipt, ReceiptCheck};
use postrider::core::signing::{SigningKey, standard};
use postrider::receiver::{Processed, ReceiverConfig};
use postrider::{Endpoint, EndpointKey, Event, EventId, Policy, blocking};

const LONG: Duration = Duration::from_secs(20);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn id(id: &str) -> EventId {
    EventId::new(id).unwrap()
}

fn event(id: &str) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": id })).unwrap().id(id)
}

fn acme(url: &str) -> Endpoint {
    Endpoint::new("acme", url).secret(SECRET).receipts(true)
}

/// Our receiver, which processes everything.
fn receiver(receipts: bool) -> blocking::receiver::Receiver {
    let verifier = standard::Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap();
    let config = ReceiverConfig::new(verifier).receipts(receipts);
    blocking::receiver::Receiver::bind("127.0.0.1:0", config, |_| Processed::Done).unwrap()
}

/// A server that answers 200 to everything, with the receipt for another event: nobody has looked at the body.
fn parked() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let receipt = DeliveryReceipt::sign(&SigningKey::from(Secret::parse(SECRET).unwrap()), "order-0", b"{}");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &receipt);
        }
    });
    url
}

fn answer(stream: TcpStream, receipt: &DeliveryReceipt) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().ok()?;
        }
    }
    lines.read_exact(&mut vec![0; length]).ok()?;
    let head =
        format!("HTTP/1.1 200 OK\r\nPostrider-Receipt: {receipt}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    (&stream).write_all(head.as_bytes()).ok()
}

#[test]
fn what_a_receiver_has_taken_is_shown_by_its_receipt() {
    let (giving, silent, parked) = (receiver(true), receiver(false), parked());
    let dir = tempfile::tempdir().unwrap();
    let sender = blocking::Sender::builder().policy(Policy::development()).open(dir.path()).unwrap();
    let notices = sender.notices().unwrap();
    let runs = [
        ("order-1", giving.url(), ReceiptCheck::Verified),
        ("order-2", silent.url(), ReceiptCheck::Missing),
        ("order-3", silent.url(), ReceiptCheck::Missing),
        ("order-4", parked, ReceiptCheck::Wrong),
        ("order-5", giving.url(), ReceiptCheck::Verified),
    ];
    for (name, url, check) in &runs {
        sender.put(acme(url)).unwrap();
        sender.publish(event(name)).unwrap();
        let report = sender.settled_within(&id(name), LONG).unwrap();
        assert_eq!(report.tally.delivered, 1, "{name}: the verdict stays: {report}");
        let attempts = sender.event_history(&id(name)).unwrap().unwrap().attempts;
        assert_eq!(attempts.iter().map(|attempt| attempt.receipt).collect::<Vec<_>>(), [*check], "{name}");
        assert!(attempts[0].to_string().ends_with(&format!("; {check}")), "{}", attempts[0]);
        let view = sender.endpoint(&EndpointKey::new("acme").unwrap()).unwrap().unwrap();
        assert_eq!((view.receipts, view.receipt), (true, *check));
    }
    sender.close(LONG).unwrap();
    let told = notices.filter_map(|heard| match heard.unwrap() {
        Notice::Receipt { event, check, .. } => Some((event.to_string(), check)),
        _ => None,
    });
    let expected =
        [("order-2", ReceiptCheck::Missing), ("order-4", ReceiptCheck::Wrong), ("order-5", ReceiptCheck::Verified)];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(name, check)| (name.to_owned(), check)));

    let sender = blocking::Sender::builder().policy(Policy::development()).open(dir.path()).unwrap();
    let kept = sender.event_history(&id("order-4")).unwrap().unwrap();
    assert_eq!(kept.attempts[0].receipt, ReceiptCheck::Wrong, "it is read back");
    sender.publish(event("order-6")).unwrap();
    sender.settled_within(&id("order-6"), LONG).unwrap();
    let again = sender.event_history(&id("order-6")).unwrap().unwrap();
    assert_eq!(again.attempts[0].receipt, ReceiptCheck::Verified, "the endpoint is asked after a restart too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_driver_does_the_same() {
    let (giving, silent) = (receiver(true), receiver(false));
    let dir = tempfile::tempdir().unwrap();
    let sender = postrider::tokio::Sender::builder().policy(Policy::development()).open(dir.path()).await.unwrap();
    for (name, url, check) in [
        ("order-1", giving.url(), ReceiptCheck::Verified),
        ("order-2", silent.url(), ReceiptCheck::Missing),
        ("order-3", parked(), ReceiptCheck::Wrong),
    ] {
        sender.put(acme(&url)).await.unwrap();
        sender.publish(event(name)).await.unwrap();
        sender.settled(&id(name)).await.unwrap();
        let history = sender.event_history(&id(name)).await.unwrap().unwrap();
        assert_eq!(history.attempts[0].receipt, check, "{name}");
    }
    sender.put(acme(&silent.url()).receipts(false)).await.unwrap();
    sender.publish(event("order-4")).await.unwrap();
    sender.settled(&id("order-4")).await.unwrap();
    let history = sender.event_history(&id("order-4")).await.unwrap().unwrap();
    assert_eq!(history.attempts[0].receipt, ReceiptCheck::NotAsked);
    sender.close(LONG).await.unwrap();
}

//! Which answers carry a receipt, and for what.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::bench::Bench;
use super::{BODY, SECRET, SOURCES, Source, signed, verifier};
use crate::receiver::*;
use crate::secret::Secret;
use crate::signing::receipt::{self, DeliveryReceipt};
use crate::signing::{Scheme, SigningKey, standard};

fn giving() -> Bench {
    Bench::with(config())
}

fn config() -> ReceiverConfig {
    ReceiverConfig::new(verifier()).receipts(true)
}

fn receipt_for(id: &str) -> Option<DeliveryReceipt> {
    let key = SigningKey::from(Secret::from_bytes(SECRET).unwrap());
    Some(DeliveryReceipt::sign(&key, id, BODY))
}

impl Bench {
    /// A request that comes whole, and its delivery, if there is one, which ends so.
    fn event(&mut self, exchange: u64, id: &str, result: Processed) {
        let before = self.deliveries.len();
        self.request(exchange, id);
        let _ = self.drain();
        if self.deliveries.len() > before {
            self.processed(result);
        }
    }

    /// Why each was answered as it was, and the receipt that it got. What the headers say is what the getter says.
    fn receipts(&mut self) -> Vec<(Reason, Option<DeliveryReceipt>)> {
        let _ = self.drain();
        let answers = self.answers.drain(..).map(|answer| {
            let lines: Vec<_> = answer.headers().filter(|(name, _)| *name == receipt::HEADER).collect();
            let line = answer.receipt().map(|receipt| HeaderValue::try_from(format!("{receipt}")).unwrap());
            assert_eq!(lines.iter().map(|(_, value)| value).collect::<Vec<_>>(), line.iter().collect::<Vec<_>>());
            assert!(answer.receipt().is_none() || answer.status().is_success());
            (answer.reason(), answer.receipt())
        });
        answers.collect()
    }
}

#[test]
fn what_was_processed_or_stored_has_a_receipt_now_and_again() {
    let mut bench = giving();
    bench.request(1, "a");
    bench.request(2, "a");
    assert!(bench.receipts().is_empty(), "both wait");
    bench.processed(Processed::Done);
    bench.request(3, "a");
    let (now, again) = ((Reason::Processed, receipt_for("a")), (Reason::Repeat, receipt_for("a")));
    assert_eq!(bench.receipts(), [now, now, again]);
    bench.event(4, "b", Processed::Queued);
    bench.request(5, "b");
    assert_eq!(bench.receipts(), [(Reason::Queued, receipt_for("b")); 2]);

    let mut bench = Bench::with(config().acknowledge(Acknowledge::Stored));
    for (exchange, id, result, given) in
        [(1, "c", Ok(()), receipt_for("c")), (2, "d", Err(NotStored::after(Duration::from_secs(1))), None)]
    {
        bench.request(exchange, id);
        assert!(bench.receipts().is_empty(), "it is not durable yet");
        let delivery = bench.deliveries.last().unwrap().id();
        bench.feed(RecvInput::Stored { delivery, result });
        assert_eq!(bench.receipts()[0].1, given);
    }
}

#[test]
fn without_success_there_is_none() {
    let mut bench = giving();
    for (exchange, id, result) in
        [(1, "a", Processed::Refuse), (3, "b", Processed::Unsubscribed), (5, "c", Processed::Later { after: None })]
    {
        bench.event(exchange, id, result);
        bench.request(exchange + 1, id);
    }
    let _ = bench.drain();
    bench.pass(Duration::from_secs(60));
    bench.feed(RecvInput::Credit(0));
    bench.request(7, "d");
    bench.feed(RecvInput::Credit(64));
    let mut unsigned = signed("e", bench.now.wall);
    unsigned.headers.insert(standard::ID, HeaderValue::from_static("f"));
    bench.head(8, unsigned);
    bench.body(8, BODY);
    bench.head(9, RequestHead::new(Method::GET, HeaderMap::new()));
    let answers = bench.receipts();
    assert_eq!(answers.len(), 9);
    assert!(answers.iter().all(|(_, receipt)| receipt.is_none()), "{answers:?}");
    let reasons: Vec<_> = answers.into_iter().map(|(reason, _)| reason).collect();
    for reason in [Reason::TimedOut, Reason::NoCredit, Reason::Unverified, Reason::Method, Reason::Unsubscribed] {
        assert!(reasons.contains(&reason), "{reason:?} in {reasons:?}");
    }
}

#[test]
fn none_is_given_unasked_nor_for_other_schemes() {
    let mut bench = Bench::with(ReceiverConfig::new(verifier()));
    bench.event(1, "a", Processed::Done);
    assert_eq!(bench.receipts(), [(Reason::Processed, None)]);
    for (scheme, key) in SOURCES {
        let source = Source { scheme, key };
        let mut bench = Bench::with(ReceiverConfig::new(source.verifier()).receipts(true));
        let (head, body) = source.request("a", None, bench.now.wall);
        bench.head(1, head);
        bench.feed(RecvInput::Body { exchange: ExchangeId::new(1), body });
        let _ = bench.drain();
        bench.processed(Processed::Done);
        assert_eq!(bench.receipts()[0].1.is_some(), scheme == Scheme::Standard, "{scheme:?}");
    }
}

/// A sender that encodes an event anew sends another body under the same id: each request has its own receipt, by the key
/// that signed it.
#[test]
fn a_receipt_is_for_the_request_that_is_answered() {
    const OTHER: &[u8] = b"{\"other\":1}";
    let [old, new] = [SECRET, [8; 32]].map(|bytes| Secret::from_bytes(bytes).unwrap());
    let verifier = standard::Verifier::new([&new, &old]).unwrap();
    let mut bench = Bench::with(ReceiverConfig::new(verifier).receipts(true));
    bench.event(1, "a", Processed::Done);
    let (wall, new) = (bench.now.wall, SigningKey::from(&new));
    let mut head = signed("a", wall);
    let signature = standard::sign([&new], "a", wall.as_secs(), OTHER);
    head.headers.insert(standard::SIGNATURE, HeaderValue::try_from(signature).unwrap());
    bench.head(2, head);
    bench.feed(RecvInput::Body { exchange: ExchangeId::new(2), body: Bytes::from_static(OTHER) });
    let second = DeliveryReceipt::sign(&new, "a", OTHER);
    assert_eq!(bench.receipts(), [(Reason::Processed, receipt_for("a")), (Reason::Repeat, Some(second))]);
}

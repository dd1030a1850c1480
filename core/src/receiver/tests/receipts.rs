//! Which answers carry a receipt, and for what.

use alloc::vec::Vec;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::{BODY, SECRET, SOURCES, Source, signed, verifier};
use crate::receiver::*;
use crate::secret::Secret;
use crate::signing::receipt::{self, DeliveryReceipt};
use crate::signing::{SigningKey, standard};
use crate::time::{Instant, UnixTime};

struct Bench {
    machine: Receiver,
    now: Now,
    deliveries: Vec<DeliveryId>,
    answers: Vec<Response>,
}

impl Bench {
    fn new(config: ReceiverConfig) -> Self {
        let now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_700_000_000) };
        Self { machine: Receiver::new(config, now), now, deliveries: Vec::new(), answers: Vec::new() }
    }

    /// A whole request, and what follows from it.
    fn request(&mut self, exchange: u64, head: RequestHead, body: &Bytes) {
        let exchange = ExchangeId::new(exchange);
        self.machine.handle(self.now, RecvInput::Head { exchange, head });
        self.machine.handle(self.now, RecvInput::Body { exchange, body: body.clone() });
        self.drain();
    }

    fn event(&mut self, exchange: u64, id: &str) {
        self.request(exchange, signed(id, self.now.wall), &Bytes::from_static(BODY));
    }

    /// The last delivery has ended.
    fn processed(&mut self, result: Processed) {
        let delivery = *self.deliveries.last().expect("there was one");
        self.machine.handle(self.now, RecvInput::Processed { delivery, result });
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let output = self.machine.poll_output();
            if let RecvOutput::Deliver(delivery) = output {
                self.deliveries.push(delivery.id());
            } else if let RecvOutput::Respond(response) = output {
                self.answers.push(response);
            } else if let RecvOutput::Wait(Wake::Input | Wake::At(_) | Wake::Closed) = output {
                return;
            }
        }
    }

    /// Why each was answered as it was, and the receipt that it got. What the headers say is what the getter says.
    fn answered(&mut self) -> Vec<(Reason, Option<DeliveryReceipt>)> {
        let answers = self.answers.drain(..).map(|answer| {
            let lines: Vec<_> = answer.headers().filter(|(name, _)| *name == receipt::HEADER).collect();
            let line = answer.receipt().map(|receipt| HeaderValue::try_from(alloc::format!("{receipt}")).unwrap());
            assert_eq!(lines.iter().map(|(_, value)| value).collect::<Vec<_>>(), line.iter().collect::<Vec<_>>());
            assert!(answer.receipt().is_none() || answer.status().is_success());
            (answer.reason(), answer.receipt())
        });
        answers.collect()
    }
}

fn config() -> ReceiverConfig {
    ReceiverConfig::new(verifier()).receipts(true)
}

fn receipt_for(id: &str) -> Option<DeliveryReceipt> {
    let key = SigningKey::from(Secret::from_bytes(SECRET).unwrap());
    Some(DeliveryReceipt::sign(&key, id, BODY))
}

#[test]
fn what_was_processed_or_stored_has_a_receipt_now_and_again() {
    let mut bench = Bench::new(config());
    bench.event(1, "a");
    bench.event(2, "a");
    assert!(bench.answered().is_empty(), "both wait");
    bench.processed(Processed::Done);
    bench.event(3, "a");
    let (now, again) = ((Reason::Processed, receipt_for("a")), (Reason::Repeat, receipt_for("a")));
    assert_eq!(bench.answered(), [now, now, again]);
    bench.event(4, "b");
    bench.processed(Processed::Queued);
    bench.event(5, "b");
    assert_eq!(bench.answered(), [(Reason::Queued, receipt_for("b")); 2]);
}

#[test]
fn no_other_answer_has_one() {
    let mut bench = Bench::new(config());
    for (exchange, id, result) in
        [(1, "a", Processed::Refuse), (3, "b", Processed::Unsubscribed), (5, "c", Processed::Later { after: None })]
    {
        bench.event(exchange, id);
        bench.processed(result);
        bench.event(exchange + 1, id);
    }
    bench.now = bench.now.advanced(core::time::Duration::from_secs(60));
    bench.machine.handle(bench.now, RecvInput::Tick);
    bench.drain();
    bench.machine.handle(bench.now, RecvInput::Credit(0));
    bench.event(7, "d");
    bench.machine.handle(bench.now, RecvInput::Credit(1));
    let mut unsigned = signed("e", bench.now.wall);
    unsigned.headers.insert(standard::ID, HeaderValue::from_static("f"));
    bench.request(8, unsigned, &Bytes::from_static(BODY));
    bench.machine.handle(
        bench.now,
        RecvInput::Head { exchange: ExchangeId::new(9), head: RequestHead::new(Method::GET, http::HeaderMap::new()) },
    );
    bench.drain();
    let answers = bench.answered();
    assert_eq!(answers.len(), 9);
    assert!(answers.iter().all(|(reason, receipt)| receipt.is_none() && *reason != Reason::Processed), "{answers:?}");
}

#[test]
fn none_is_given_unasked_nor_for_other_schemes() {
    let mut bench = Bench::new(ReceiverConfig::new(verifier()));
    bench.event(1, "a");
    bench.processed(Processed::Done);
    assert_eq!(bench.answered(), [(Reason::Processed, None)]);
    for (scheme, key) in SOURCES {
        let source = Source { scheme, key };
        let mut bench = Bench::new(ReceiverConfig::new(source.verifier()).receipts(true));
        let (head, body) = source.request("a", None, bench.now.wall);
        bench.request(1, head, &body);
        bench.processed(Processed::Done);
        let given = bench.answered()[0].1.is_some();
        assert_eq!(given, scheme == crate::signing::Scheme::Standard, "{scheme:?}");
    }
}

/// A sender that encodes an event anew sends another body under the same id: each request has its own receipt, by the key
/// that signed it.
#[test]
fn a_receipt_is_for_the_request_that_is_answered() {
    let [old, new] = [SECRET, [8; 32]].map(|bytes| Secret::from_bytes(bytes).unwrap());
    let verifier = standard::Verifier::new([&new, &old]).unwrap();
    let mut bench = Bench::new(ReceiverConfig::new(verifier).receipts(true));
    bench.event(1, "a");
    bench.processed(Processed::Done);
    let (other, wall) = (&b"{\"other\":1}"[..], bench.now.wall.as_secs());
    let mut head = signed("a", bench.now.wall);
    let signature = standard::sign([&SigningKey::from(&new)], "a", wall, other);
    head.headers.insert(standard::SIGNATURE, HeaderValue::try_from(signature).unwrap());
    bench.request(2, head, &Bytes::from_static(other));
    let second = DeliveryReceipt::sign(&SigningKey::from(&new), "a", other);
    assert_eq!(bench.answered(), [(Reason::Processed, receipt_for("a")), (Reason::Repeat, Some(second))]);
}

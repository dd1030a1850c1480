//! What a receiver of any signature scheme does with requests that somebody else made, as a fuzzer gives them.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider_core::receiver::{Delivery, ExchangeId, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead};
use postrider_core::signing::{Extent, Received, Scheme, Signed, Verifier};
use postrider_core::time::{Instant, Now, UnixTime};

use crate::signed::{Provider, SHARED, URL};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// Reads `data` as the choice of a scheme, the choice of a header, and two texts parted by a zero byte: one takes the
/// place of that header's value in a request that is rightly signed, the other that of its body.
///
/// # Panics
///
/// When verifying panics, when what is signed is refused, or when something is accepted that was not signed: that has
/// another digest than what was.
pub fn verify_any(data: &[u8]) {
    let (&scheme, rest) = data.split_first().unwrap_or((&0, &[]));
    let (&chosen, rest) = rest.split_first().unwrap_or((&0, &[]));
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    let (value, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let scheme = Scheme::ALL[usize::from(scheme) % Scheme::ALL.len()];
    let Some(provider) = Provider::new(scheme) else { return guess(scheme, value, body) };
    let (verifier, signed) = (provider.verifier(), provider.request("msg_1", body, NOW));
    let right = verify(verifier, &signed, None, &signed.body).expect("what is signed is accepted");
    let chosen = usize::from(chosen) % signed.headers.len();
    let verdict = verify(verifier, &signed, Some((chosen, value)), &signed.body);
    assert!(verdict.is_none_or(|digest| digest == right), "{scheme}: another {}", signed.headers[chosen].0);
    if scheme.facts().body != Extent::Nothing || scheme == Scheme::Custom {
        let verdict = verify(verifier, &signed, None, value);
        assert!(verdict.is_none_or(|digest| digest == right), "{scheme}: another body");
    }
}

/// The digest of what was signed, if the request is accepted with another value of a header and another body.
fn verify(verifier: &Verifier, signed: &Signed, other: Option<(usize, &[u8])>, body: &[u8]) -> Option<[u8; 32]> {
    let mut headers: Vec<(&str, &[u8])> =
        signed.headers.iter().map(|(name, value)| (&name[..], value.as_bytes())).collect();
    if let Some((n, value)) = other {
        headers[n].1 = value;
    }
    let received = Received { method: "POST", url: &signed.url, headers: &headers, body };
    match verifier.verify(&received, NOW) {
        Ok(verified) => {
            let _ = (verified.id(), verified.kind(), verified.order(), verified.payload());
            Some(verified.digest())
        }
        Err(error) => {
            let hints = error.hints(verifier, &received, &[SHARED], NOW);
            assert!(hints.iter().all(|hint| !hint.to_string().contains("MfKQ")), "a hint shows a secret");
            None
        }
    }
}

/// A scheme that cannot be signed here is only guessed at.
fn guess(scheme: Scheme, value: &[u8], body: &[u8]) {
    let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    let Ok(verifier) = Verifier::new(scheme, [key]) else { return };
    let name = "x-twilio-email-event-webhook-signature";
    let headers = [(name, value), ("x-twilio-email-event-webhook-timestamp", b"1700000000")];
    let received = Received { method: "POST", url: URL, headers: &headers[..], body };
    assert!(verifier.verify(&received, NOW).is_err(), "nobody guesses a signature");
}

/// The types that [`decode_any`] chooses from.
const TYPES: [&str; 8] = [
    "application/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/cloudevents+avro",
    "text/plain",
    "",
];

/// Reads `data` as the choice of a scheme, the choice of a content type, and a body; signs it, has a receiver accept it,
/// and asks the delivery for its events and for its value. A content type of none is that of CloudEvents in headers.
///
/// Returns how many events there are, `None` where they or their values cannot be read.
///
/// # Panics
///
/// When reading panics, or when the same request says something else the second time.
pub fn decode_any(data: &[u8]) -> Option<usize> {
    let (&scheme, rest) = data.split_first().unwrap_or((&0, &[]));
    let (&content_type, body) = rest.split_first().unwrap_or((&0, &[]));
    let provider = Provider::new(Scheme::ALL[usize::from(scheme) % Scheme::ALL.len()])?;
    let content_type = TYPES[usize::from(content_type) % TYPES.len()];
    let (delivery, again) = (deliver(&provider, content_type, body)?, deliver(&provider, content_type, body)?);
    let (value, events) = (delivery.value(), delivery.events());
    assert_eq!((&value, &events), (&again.value(), &again.events()), "a repeat says something else");
    for why in [value.err(), events.as_ref().err().cloned()].into_iter().flatten() {
        assert!(!why.to_string().is_empty());
    }
    let events = events.ok()?;
    let readable = events.iter().filter(|event| event.value().is_ok()).count();
    assert!(events.iter().all(|event| !event.id().is_empty()), "an event without an id");
    (readable == events.len()).then_some(readable)
}

/// What a receiver hands on of a request.
fn deliver(provider: &Provider, content_type: &str, body: &[u8]) -> Option<Delivery> {
    let now = Now { mono: Instant::ORIGIN, wall: NOW };
    let signed = provider.request("msg_1", body, NOW);
    let mut headers = HeaderMap::new();
    for (name, value) in &signed.headers {
        headers.append(HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"));
    }
    if content_type.is_empty() {
        headers.remove("content-type");
        for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "msg_1"), ("ce-source", "/s"), ("ce-type", "t")] {
            headers.append(name, HeaderValue::from_static(value));
        }
    } else {
        headers.insert("content-type", HeaderValue::try_from(content_type).expect("a value"));
    }
    let mut receiver = Receiver::new(ReceiverConfig::new(provider.verifier().clone()), now);
    let (exchange, head) = (ExchangeId::new(1), RequestHead::new(Method::POST, headers).target(signed.url));
    receiver.handle(now, RecvInput::Head { exchange, head });
    receiver.handle(now, RecvInput::Body { exchange, body: signed.body.into() });
    match receiver.poll_output() {
        RecvOutput::Deliver(delivery) => Some(delivery),
        // Twilio signs the fields of what is said to be a form, and here another type was signed.
        _ => None,
    }
}

//! Defects that were found in other systems, each as a test: `core/src/manual/field.rs` tells of them, and names the
//! tests elsewhere that are about the others.

use std::time::Duration;

use postrider_core::encoding::Encoding;
use postrider_core::event::Event;
use postrider_core::matching::filter::{Filter, Flat};
use postrider_core::receiver::{
    Delivery, ExchangeId, Processed, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead,
};
use postrider_core::registration::{Endpoint, Policy, Target};
use postrider_core::response::{Profile, Reply, Verdict, verdict};
use postrider_core::sender::Config;
use postrider_core::signing::{Received, Scheme, Signed, VerifyError};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_testkit::signed::Provider;
use postrider_testkit::{Answer, Sandbox};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Whether a time lies where an upward jitter of at most 20 % puts it.
fn is_jittered(at: Duration, base: Duration) -> bool {
    at >= base && at <= base.mul_f64(1.2)
}

/// A floor after 429 that was in a branch which no status reached. Here the endpoint rests as a whole, and after a failure
/// that is no throttle it does not.
#[test]
fn d2_a_throttle_holds_the_whole_endpoint() {
    for (status, rests) in [(429, true), (502, true), (503, true), (504, true), (500, false)] {
        let mut sandbox = Sandbox::new();
        sandbox.receiver("acme").schedule([Duration::ZERO, 5 * MINUTE]).answers([status, 204]);
        let first = sandbox.publish("order.paid", json!(1));
        let second = sandbox.publish("order.paid", json!(2));
        sandbox.advance(HOUR);
        let at = sandbox.schedule_of("acme", &second)[0];
        assert_eq!(at >= MINUTE, rests, "{status}: {at:?}");
        assert!(is_jittered(sandbox.schedule_of("acme", &first)[1], 5 * MINUTE), "{status}");
        sandbox.assert_delivered("acme", &second).attempts(1);
    }
}

/// A hint of an hour that was cut to twice the step of the schedule, and then undercut by a jitter that goes down.
#[test]
fn d3_no_attempt_is_earlier_than_the_hint() {
    for status in [400, 429, 500, 503] {
        let mut sandbox = Sandbox::new();
        let asks = Reply::new(status).header("retry-after", b"3600");
        sandbox.receiver("acme").answers([Answer::from(asks), 204.into()]);
        for number in 0..20 {
            let event = sandbox.publish("order.paid", json!(number));
            sandbox.advance(2 * HOUR);
            let attempts = sandbox.schedule_of("acme", &event);
            if number == 0 {
                assert!(is_jittered(attempts[1], HOUR), "{status}: {attempts:?}");
            }
        }
    }
}

/// A task for all endpoints that was done again as a whole, those included that had taken the event.
#[test]
fn d5_who_has_taken_an_event_is_not_sent_it_again() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("good").answers([204]);
    sandbox.receiver("bad").answers([500, 500, 500, 204]);
    let event = sandbox.publish("order.paid", json!(1));
    for _ in 0..3 {
        sandbox.advance(SECOND);
        sandbox.restart(SECOND);
    }
    sandbox.advance(24 * HOUR);
    sandbox.assert_delivered("bad", &event).attempts(4).signed();
    assert_eq!(sandbox.attempts_of("good", &event).len(), 1);
}

/// A filter that matched where a field was missing, a panic at an unknown operator, and numbers that fell together.
#[test]
fn d7_filters_mean_what_they_say() {
    let holds = |pattern: &str, event: &str| {
        Filter::eventbridge(pattern).unwrap().matches(&Flat::of(event.as_bytes()).unwrap())
    };
    assert!(!holds(r#"{"a": [1], "b": [2]}"#, r#"{"a": 1}"#), "a field that is missing does not match");
    assert!(holds(r#"{"b": [{"exists": false}]}"#, r#"{"a": 1}"#));
    assert!(!holds(r#"{"a": ["10"]}"#, r#"{"a": "0010"}"#), "texts are no numbers");
    assert!(!holds(r#"{"a": [9007199254740993]}"#, r#"{"a": 9007199254740992}"#), "nothing is rounded");
    let refused = Filter::eventbridge(r#"{"a": [{"$resembles": 1}]}"#).unwrap_err().to_string();
    assert!(refused.contains("/a"), "{refused}");
}

/// A form whose signature was made over the JSON that it came from, with its decimals lost.
#[test]
fn d9_a_form_is_signed_as_it_is_sent_and_keeps_its_digits() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").endpoint(|endpoint| endpoint.encoding(Encoding::Form));
    let text = r#"{"price": 12.50, "large": 9007199254740993, "small": 1e-9}"#;
    let event = sandbox.publish_event(Event::json_bytes("order.paid", text.into()).unwrap().id("one"));
    let delivered = sandbox.assert_delivered("acme", &event).attempts(1).signed();
    let body = String::from_utf8(delivered.attempt().request.body().to_vec()).unwrap();
    for field in ["data[price]=12.50", "data[large]=9007199254740993", "data[small]=1e-9"] {
        assert!(body.split('&').any(|found| found == field), "{field}: {body}");
    }
}

/// 304 and the like that counted as success, and requests into the private network.
#[test]
fn d12_what_is_no_success_is_none_and_no_request_goes_inside() {
    for status in (300..400).chain(100..200) {
        for profile in [Profile::StandardWebhooks, Profile::CloudEvents] {
            let ruling = verdict(&Ok(Reply::new(status)), profile, UnixTime::EPOCH);
            assert!(matches!(ruling.verdict, Verdict::Retry { .. }), "{status}: {ruling}");
        }
    }
    let mut sandbox = Sandbox::with(Config::new().policy(Policy::default()));
    for url in ["https://10.0.0.1/", "https://169.254.169.254/", "https://[::ffff:10.0.0.1]/", "https://localhost/"] {
        assert!(Target::parse(url, &Policy::default()).is_err(), "{url}");
        let put = sandbox.command(|sender, now| sender.put(now, Endpoint::new("inside", url)));
        assert!(put.is_err(), "{url}");
    }
}

/// A claim of 5 s on the work, and a timeout that could be set longer: a second request went out beside the first. Here
/// the next attempt is due only from the end of the one before, however long that takes.
#[test]
fn d13_no_second_attempt_beside_the_first() {
    let mut sandbox = Sandbox::new();
    let patient = |endpoint: Endpoint| endpoint.timeout(MINUTE);
    let setup = sandbox.receiver("acme").endpoint(patient).schedule([Duration::ZERO, SECOND]);
    setup.answers([Answer::Timeout, 204.into()]);
    let event = sandbox.publish("order.paid", json!(1));
    sandbox.advance(MINUTE - SECOND);
    assert_eq!(sandbox.attempts_of("acme", &event).len(), 1);
    sandbox.advance(MINUTE);
    let attempts = sandbox.schedule_of("acme", &event);
    assert!(attempts.len() == 2 && is_jittered(attempts[1] - MINUTE, SECOND), "{attempts:?}");
    sandbox.assert_delivered("acme", &event).attempts(2);
}

/// An attempt whose outcome was written after, and apart from, when the next is due, so that either could get lost. Here
/// both are one record: after a crash the next attempt has the next number and its own time.
#[test]
fn d14_an_outcome_and_what_follows_are_one_record() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").answers([500, 500, 204]);
    let event = sandbox.publish("order.paid", json!(1));
    sandbox.restart(SECOND);
    sandbox.advance(MINUTE);
    sandbox.restart(SECOND);
    sandbox.advance(HOUR);
    let numbers: Vec<u16> = sandbox.attempts_of("acme", &event).iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let attempts = sandbox.schedule_of("acme", &event);
    assert!(is_jittered(attempts[1], 5 * SECOND), "{attempts:?}");
    assert!(is_jittered(attempts[2] - attempts[1], 5 * MINUTE), "{attempts:?}");
    sandbox.assert_delivered("acme", &event).attempts(3);
}

fn noon() -> UnixTime {
    UnixTime::from_secs(1_700_000_000)
}

/// Seconds later, or earlier where they are negative.
fn shifted(seconds: i64) -> UnixTime {
    UnixTime::from_secs(1_700_000_000_u64.saturating_add_signed(seconds))
}

/// Whether a provider's request of noon is accepted when the receiver's clock shows that time.
fn is_accepted_at(provider: &Provider, request: &Signed, now: UnixTime) -> Result<(), VerifyError> {
    let headers = &request.headers[..];
    let received = Received { method: "POST", url: &request.url, headers, body: &request.body };
    provider.verifier().verify(&received, now).map(|_| ())
}

/// A timestamp from the future was accepted, however far. Here the tolerance goes both ways, in every scheme that signs a
/// time.
#[test]
fn d17_a_request_from_the_future_is_refused_as_one_from_the_past() {
    let mut timed = 0;
    for provider in Provider::all() {
        let Some(tolerance) = provider.scheme().facts().tolerance else { continue };
        let most = i64::try_from(tolerance.as_secs()).expect("some minutes");
        let request = provider.request("evt_1", b"{}", noon());
        let accepted = |seconds| is_accepted_at(&provider, &request, shifted(seconds)).is_ok();
        let name = provider.scheme().name();
        assert!(accepted(0) && accepted(most) && accepted(-most), "{name}: within {most} s");
        assert!(!accepted(most + 1) && !accepted(-most - 1), "{name}: beyond {most} s");
        timed += 1;
    }
    assert!(timed >= 8, "{timed} schemes sign a time");
}

/// A receiving machine, what it answers and what it gives the application.
struct Door {
    machine: Receiver,
    now: Now,
    given: Vec<Delivery>,
    answers: Vec<(ExchangeId, u16)>,
}

impl Door {
    fn of(provider: &Provider) -> Self {
        let now = Now { mono: Instant::from_millis(1000), wall: noon() };
        let config = ReceiverConfig::new(provider.verifier().clone());
        Self { machine: Receiver::new(config, now), now, given: Vec::new(), answers: Vec::new() }
    }

    fn request(&mut self, number: u64, request: &Signed) {
        let exchange = ExchangeId::new(number);
        let mut headers = http::HeaderMap::new();
        for (name, value) in &request.headers {
            headers.append(
                http::HeaderName::try_from(name).expect("a name"),
                http::HeaderValue::try_from(value).expect("a value"),
            );
        }
        let head = RequestHead::new(http::Method::POST, headers).target(&*request.url);
        self.machine.handle(self.now, RecvInput::Head { exchange, head });
        self.drain(&request.body);
    }

    fn processed(&mut self, at: usize, result: Processed) {
        let delivery = self.given[at].id();
        self.machine.handle(self.now, RecvInput::Processed { delivery, result });
        self.drain(b"");
    }

    fn drain(&mut self, body: &[u8]) {
        loop {
            match self.machine.poll_output() {
                RecvOutput::ReadBody { exchange, .. } => {
                    let body = bytes::Bytes::copy_from_slice(body);
                    self.machine.handle(self.now, RecvInput::Body { exchange, body });
                }
                RecvOutput::Deliver(delivery) => self.given.push(delivery),
                RecvOutput::Respond(answer) => self.answers.push((answer.exchange(), answer.status().as_u16())),
                RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                    panic!("nothing of this was asked for")
                }
                RecvOutput::Notice(_) => {}
                RecvOutput::Wait(_) => return,
            }
        }
    }

    fn answer(&self, number: u64) -> Option<u16> {
        let mut answers = self.answers.iter();
        answers.find(|(exchange, _)| *exchange == ExchangeId::new(number)).map(|(_, status)| *status)
    }
}

/// A transaction was held open for as long as somebody else took. Here what one application is at holds nothing but its own
/// claim, and that ends by itself.
#[test]
fn d18_who_is_slow_holds_nobody_else() {
    let provider = Provider::new(Scheme::Standard).expect("it has a key");
    let mut door = Door::of(&provider);
    door.request(1, &provider.request("evt_1", b"1", noon()));
    for number in 2..10 {
        door.request(number, &provider.request(&format!("evt_{number}"), b"2", noon()));
        let last = door.given.len() - 1;
        door.processed(last, Processed::Done);
        assert_eq!(door.answer(number), Some(204), "the first has not been processed, and that is no reason to wait");
    }
    assert_eq!(door.answer(1), None);
    door.now.mono = door.now.mono.saturating_add(HOUR);
    door.machine.handle(door.now, RecvInput::Tick);
    door.drain(b"");
    assert_eq!(door.answer(1), Some(503), "its sender is not kept for ever, and may try again");
    door.request(11, &provider.request("evt_1", b"1", noon()));
    assert_eq!(door.given.len(), 10, "nobody holds it any more, so it is given out again");
}

/// Malformed input raised whatever a library below raised, and binary bodies could not be signed. Here there is one error
/// for everything, and a body is bytes.
#[test]
fn d19_anything_malformed_is_our_error_and_any_bytes_can_be_signed() {
    let binary: Vec<u8> = (0..=255).collect();
    let nonsense: [&[u8]; 8] =
        [b"", b",", b"v1,", b"v1,\xff\xfe", b"=====", b"t=,v1=", &[b'9'; 40], b"\x00\x01 \xe2\x28\xa1"];
    for provider in Provider::all() {
        let name = provider.scheme().name();
        let request = provider.request("evt_1", &binary, noon());
        assert_eq!(is_accepted_at(&provider, &request, noon()), Ok(()), "{name}: any bytes");
        let is_read = |header: &str| {
            let mut without = request.clone();
            without.headers.retain(|(other, _)| other != header);
            is_accepted_at(&provider, &without, noon()).is_err()
        };
        for (at, (header, _)) in request.headers.iter().enumerate().filter(|(_, (header, _))| is_read(header)) {
            for value in nonsense {
                let mut headers: Vec<(&str, &[u8])> =
                    request.headers.iter().map(|(name, value)| (&name[..], value.as_bytes())).collect();
                headers[at].1 = value;
                let received =
                    Received { method: "POST", url: &request.url, headers: &headers[..], body: &request.body };
                let told: Result<_, VerifyError> = provider.verifier().verify(&received, noon());
                assert!(told.is_err(), "{name}: {header}: {}", value.escape_ascii());
            }
        }
    }
}

/// 200 was answered when a rule had failed, 500 to a wrong signature, and work began after an answer without anything kept.
/// Here the answer says what became of it, and a success only after the application said so.
#[test]
fn d20_an_answer_says_what_became_of_it() {
    let provider = Provider::new(Scheme::Standard).expect("it has a key");
    let mut door = Door::of(&provider);
    let mut forged = provider.request("evt_0", b"0", noon());
    forged.body.push(b' ');
    door.request(0, &forged);
    assert_eq!((door.answer(0), door.given.len()), (Some(401), 0), "a wrong signature is its sender's fault");
    let later = Processed::Later { after: None };
    let told =
        [(Processed::Done, 204), (Processed::Refuse, 400), (Processed::Unsubscribed, 410), (Processed::Queued, 202)];
    for (number, (result, status)) in (1..).zip(told.into_iter().chain([(later, 503)])) {
        door.request(number, &provider.request(&format!("evt_{number}"), b"1", noon()));
        assert_eq!(door.answer(number), None, "nothing is answered before it is known");
        let last = door.given.len() - 1;
        door.processed(last, result);
        assert_eq!(door.answer(number), Some(status));
    }
}

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EventId};
use postrider_core::receiver::{Delivery, Processed, RequestHead};
use postrider_core::response::{Outcome, TransportError};
use postrider_core::secret::Secret;
use postrider_core::sender::{Fate, Input, Transmit};
use postrider_core::signing::{Received, Scheme, Signer, SigningKey, Unsigned, Verifier, standard};
use postrider_core::time::UnixTime;
use postrider_journal::MemoryLog;

use super::*;
use crate::{Carry, Desk};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WALL: u64 = 1_700_000_000;

/// A delivery by Standard Webhooks, which signs the id.
fn signed(id: &str, body: &str, more: &[(&'static str, &str)], scope: u32) -> Delivery {
    let key = SigningKey::from(&Secret::parse(SECRET).unwrap());
    let signature = standard::sign([&key], id, WALL, body.as_bytes());
    let lines = [("webhook-id", id), ("webhook-timestamp", "1700000000"), ("webhook-signature", &signature)];
    let verifier: Verifier = standard::Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap().into();
    verified(&verifier, &[&lines[..], more].concat(), body, scope)
}

/// A delivery by GitHub's scheme, which signs the body alone.
fn unsigned_id(id: &str, body: &str) -> Delivery {
    let verifier = Verifier::github(["k"]).unwrap();
    let signer = Signer::new(Scheme::Github, "k").unwrap();
    let request = Unsigned { method: "POST", url: "", id: Some(id), headers: &[], body: body.as_bytes() };
    let signed = signer.sign(&request, UnixTime::from_secs(WALL)).unwrap();
    let lines: Vec<_> = signed.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    verified(&verifier, &lines, body, 0)
}

fn verified(verifier: &Verifier, lines: &[(&str, &str)], body: &str, scope: u32) -> Delivery {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let received = Received { method: "POST", url: "", headers: &headers, body: body.as_bytes() };
    let verified = verifier.verify(&received, UnixTime::from_secs(WALL)).unwrap();
    Delivery::from_verified(&verified, RequestHead::new(Method::POST, headers.clone()).target("/hooks"), scope)
}

fn id(event: &Event) -> String {
    event.event_id().unwrap().to_string()
}

#[test]
fn a_name_is_the_id_where_it_is_signed_and_a_digest_where_not() {
    let settings = Settings::new();
    let name = |delivery: &Delivery| id(&settings.event(delivery));
    assert_eq!(name(&signed("msg_1", "{}", &[], 0)), "msg_1");
    let made: Vec<_> = [
        signed("msg_1", "{}", &[], 7),
        signed("msg_1", "{}", &[], 8),
        signed("a.b", "{}", &[], 0),
        signed("sha256-0", "{}", &[], 0),
        signed("rpl_msg_1", "{}", &[], 0),
        signed("postrider_op_1", "{}", &[], 0),
        unsigned_id("msg_1", "{}"),
        unsigned_id("msg_1", "[]"),
    ]
    .iter()
    .map(name)
    .collect();
    assert!(made.iter().all(|name| name.starts_with("sha256-") && name.len() == 71), "{made:?}");
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len(), "{made:?}");
    // What is not signed makes no difference.
    assert_eq!(name(&unsigned_id("msg_2", "{}")), name(&unsigned_id("msg_1", "{}")));
}

#[test]
fn a_replay_has_a_name_of_its_own_only_where_replays_are_accepted() {
    let marked = |number| signed("msg_1", "{}", &[("postrider-replay", number)], 0);
    assert_eq!(id(&Settings::new().event(&marked("1"))), "msg_1");
    let settings = Settings::new().replays(true);
    let names = ["1", "2"].map(|number| id(&settings.event(&marked(number))));
    assert!(names[0] != names[1] && names.iter().all(|name| name.starts_with("sha256-")), "{names:?}");
    assert_eq!(id(&settings.event(&signed("msg_1", "{}", &[], 0))), "msg_1");
}

#[test]
fn an_event_says_what_the_webhook_says() {
    let settings = Settings::new();
    let typed = signed("msg_1", r#"{"type":"order.paid"}"#, &[("postrider-key", "order-1")], 0);
    assert_eq!(settings.event(&typed).event_type().as_str(), "order.paid");
    let odd = signed("msg_1", r#"{"type":"Order paid!"}"#, &[], 0);
    assert_eq!(settings.event(&odd).event_type().as_str(), "webhook.received");
    let long = "k".repeat(300);
    for key in ["", "k", &long] {
        let key = key.to_owned();
        let settings = Settings::new().order_by(move |_| Some(key.clone()));
        assert_eq!(settings.event(&typed).mistake(), None);
    }
    assert_eq!(settings.event(&typed).mistake(), None);
}

/// Takes attempts, and does nothing with them.
#[derive(Default)]
struct Hand(Vec<Transmit>);

impl Carry for Hand {
    fn transmit(&mut self, transmit: Transmit) {
        self.0.push(transmit);
    }

    fn abort(&mut self, _: AttemptId) {}
}

/// An inbox of which every attempt ends as this says, and what became of one webhook.
fn told(ends: &[fn() -> Outcome]) -> (Vec<String>, postrider_core::sender::EventReport) {
    let schedule = postrider_core::retry::Schedule::new(ends.iter().map(|_| Duration::ZERO)).unwrap();
    let settings = Settings::new().schedule(schedule);
    let mut desk = Desk::open(MemoryLog::new(), settings.config()).unwrap();
    assert!(desk.read(may_be_inbox));
    desk.handle(Input::Credit(settings.credit()));
    let (mut hand, facts) = (Hand::default(), desk.facts());
    desk.put(settings.endpoint(), Box::new(|put| drop(put.unwrap())));
    let (sender, answer) = mpsc::channel();
    let delivery = signed("msg_1", "{}", &[], 0);
    desk.publish(settings.event(&delivery), Box::new(move |published| sender.send(stored(published)).unwrap()));
    _ = desk.turn(&mut hand);
    answer.try_recv().unwrap().unwrap();
    // The same webhook, sent again with another time, is there already.
    let (sender, answer) = mpsc::channel();
    let again = signed("msg_1", "{}", &[("x-other", "1")], 0);
    desk.publish(settings.event(&again), Box::new(move |published| sender.send(stored(published)).unwrap()));
    answer.try_recv().unwrap().unwrap();

    let mut seen = Vec::new();
    for end in ends {
        while hand.0.is_empty() {
            _ = desk.turn(&mut hand);
            std::thread::sleep(Duration::from_millis(1));
        }
        let transmit = hand.0.remove(0);
        let got = super::delivery(&transmit).unwrap();
        seen.push(format!("{} {}", got.webhook_id(), got.path().unwrap()));
        facts.put(Input::Completed { attempt: transmit.attempt(), outcome: end() });
        _ = desk.turn(&mut hand);
    }
    let (sender, answer) = mpsc::channel();
    desk.settled(
        &TenantId::default(),
        &EventId::new("msg_1").unwrap(),
        Box::new(move |report| sender.send(report).unwrap()),
    );
    _ = desk.turn(&mut hand);
    assert!(desk.read(may_be_inbox));
    (seen, answer.try_recv().unwrap().unwrap())
}

#[test]
fn what_the_handler_says_becomes_of_its_webhook() {
    let later: fn() -> Outcome = || outcome(Processed::Later { after: None });
    let (seen, report) = told(&[later, panicked, || outcome(Processed::Done)]);
    assert_eq!(seen, ["msg_1 /hooks"; 3]);
    assert_eq!((report.deliveries[0].fate, report.deliveries[0].attempts), (Fate::Delivered, 3));
    let (_, report) = told(&[|| outcome(Processed::Queued)]);
    assert_eq!(report.deliveries[0].fate, Fate::Delivered);
    let (_, report) = told(&[later, panicked]);
    assert_eq!(report.deliveries[0].fate, Fate::Exhausted);
    for processed in [|| outcome(Processed::Refuse), || outcome(Processed::Unsubscribed)] {
        let (_, report) = told(&[processed]);
        assert_eq!(report.deliveries[0].failure, Some(TransportError::Unwanted), "{report}");
        assert_eq!(report.deliveries[0].fate, Fate::Refused);
    }
}

#[test]
fn a_wait_is_rounded_up() {
    let reply = outcome(Processed::Later { after: Some(Duration::from_millis(1001)) }).unwrap();
    assert_eq!((reply.status(), reply.hint(UnixTime::EPOCH).asked()), (500, Some(Duration::from_secs(2))));
}

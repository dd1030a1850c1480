//! What was signed and received, read again.

use super::*;
use alloc::vec;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::json;

use crate::encoding::tests::{any_json, any_text};
use crate::encoding::{Encoding, Message, Payload, Shape, cloudevents_batch, encode};
use crate::receiver::{ExchangeId, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead};
use crate::signing::{Signer, Unsigned, Verifier};
use crate::time::{Instant, Now};

const NOW: Now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_700_000_000) };
const ADYEN: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const CLOUD: &str = "application/cloudevents+json";

/// What the application gets of a request with these headers that is rightly signed.
fn deliver(scheme: Scheme, headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    let key = match scheme {
        Scheme::Standard => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        Scheme::AdyenNotification => ADYEN,
        Scheme::Braintree => "public:private",
        _ => "secret",
    };
    let unsigned = Unsigned { method: "POST", url: "https://example.com/", id: Some("msg_1"), headers, body };
    let signed = Signer::new(scheme, key).unwrap().sign(&unsigned, NOW.wall).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in &signed.headers {
        map.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let mut receiver = Receiver::new(ReceiverConfig::new(Verifier::new(scheme, [key]).unwrap()), NOW);
    let exchange = ExchangeId::new(1);
    receiver.handle(NOW, RecvInput::Head { exchange, head: RequestHead::new(Method::POST, map) });
    receiver.handle(NOW, RecvInput::Body { exchange, body: signed.body.into() });
    match receiver.poll_output() {
        RecvOutput::Deliver(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

fn standard(content_type: &str, body: impl AsRef<[u8]>) -> Delivery {
    deliver(Scheme::Standard, &[("content-type", content_type)], body.as_ref())
}

/// Id, type and time of each event, and its data.
fn told(delivery: &Delivery) -> Vec<(String, Option<String>, Option<u64>, Value)> {
    let event = |event: &ReceivedEvent| {
        let time = event.time().map(UnixTime::as_millis);
        (event.id().to_string(), event.kind().map(ToString::to_string), time, event.value().unwrap())
    };
    delivery.events().unwrap().iter().map(event).collect()
}

#[test]
fn an_envelope_is_opened_however_it_is_written() {
    let data = json!({ "a": "1", "b": ["x"] });
    let json = r#"{"type":"t.u","timestamp":"2023-11-14T22:13:20.500Z","data": {"a":"1","b":["x"]} ,"more":1}"#;
    let form = "type=t.u&timestamp=2023-11-14T22%3A13%3A20.500Z&data[a]=1&data[b][0]=x";
    let xml = "<event><type>t.u</type><timestamp>2023-11-14T22:13:20.500Z</timestamp><data type=\"object\"><a>1</a>\
               <b type=\"array\"><item>x</item></b></data></event>";
    let expected = vec![("msg_1".into(), Some("t.u".into()), Some(1_700_000_000_500), data)];
    for (content_type, body) in [
        ("application/json; charset=utf-8", json),
        ("application/vnd.x+json", json),
        ("application/x-www-form-urlencoded", form),
        ("text/xml", xml),
        ("application/vnd.x+xml", xml),
    ] {
        assert_eq!(told(&standard(content_type, body)), expected, "{content_type}");
    }
    let delivery = standard("application/json", json);
    let event = &delivery.events().unwrap()[0];
    assert_eq!(event.data(), r#"{"a":"1","b":["x"]}"#);
    assert!(delivery.body().as_ptr_range().contains(&event.data().as_ptr()), "it is not copied");
    assert!(!alloc::format!("{event:?}").contains("\"x\""));
}

#[test]
fn what_is_no_envelope_is_one_event_whole() {
    for body in [
        r#"{"type":"t","timestamp":"yesterday","data":1}"#,
        r#"{"type":"t","timestamp":"2023-11-14T22:13:20Z"}"#,
        r#"{"type":1,"timestamp":"2023-11-14T22:13:20Z","data":1}"#,
        r#"{"type":"t","timestamp":"2023-11-14T22:13:20Z","data":1,"data":2}"#,
        "[1,2]",
        "not JSON",
        "",
    ] {
        let delivery = standard("application/json", body);
        let [event] = &delivery.events().unwrap()[..] else { panic!("{body}") };
        assert_eq!((event.id(), event.time(), &event.data()[..]), ("msg_1", Some(NOW.wall), body.as_bytes()));
    }
    // Other schemes have payloads of their own, which are not opened.
    let body = br#"{"type":"t","timestamp":"2023-11-14T22:13:20Z","data":1}"#;
    let delivery = deliver(Scheme::Github, &[("x-github-event", "push")], body);
    let events = delivery.events().unwrap();
    assert_eq!((events[0].data(), events[0].kind()), (delivery.body(), Some("push")));
    assert_eq!((events[0].id(), events.len()), (&*delivery.dedup_key(), 1));
    assert!(events[0].id().starts_with("sha256:"), "an id that nobody signed does not tell");
}

#[test]
fn one_event_has_the_time_that_its_scheme_knows() {
    let body = br#"{"id":"evt_1","type":"charge.paid","created":1699999999}"#;
    let delivery = deliver(Scheme::Stripe, &[], body);
    let expected = ("evt_1".into(), Some("charge.paid".into()), Some(1_699_999_999_000), delivery.value().unwrap());
    assert_eq!(told(&delivery), [expected]);
    let event = |scheme, body: &str| deliver(scheme, &[], body.as_bytes()).events().unwrap().remove(0);
    assert_eq!(event(Scheme::Stripe, "{}").time(), Some(NOW.wall));
    assert_eq!(event(Scheme::Github, "{}").time(), None);
    let mailgun = event(Scheme::Mailgun, r#"{"event":"opened","timestamp":1529006854.329574}"#);
    assert_eq!((mailgun.kind(), mailgun.time()), (Some("opened"), Some(UnixTime::from_millis(1_529_006_854_329))));
}

#[test]
fn times_are_read_as_providers_write_them() {
    for (text, millis) in [
        ("0", Some(0)),
        ("1700000000", Some(1_700_000_000_000)),
        ("1700000000.5", Some(1_700_000_000_500)),
        ("1700000000.0129", Some(1_700_000_000_012)),
        ("1700000000123", Some(1_700_000_000_123)),
        ("99999999999", Some(99_999_999_999_000)),
        ("2018-05-23T08:14:28+02:00", Some(1_527_056_068_000)),
        ("18446744073709551616", None),
        ("-1", None),
        ("1.5.5", None),
        ("", None),
        (".", None),
        ("soon", None),
    ] {
        assert_eq!(time_of(text).map(UnixTime::as_millis), millis, "{text}");
    }
}

#[test]
fn batches_are_parted() {
    let line = r#"{"destination":"U","events":[{"type":"message","timestamp":1625665242211,"webhookEventId":"A"},
        {"type":"follow","timestamp":1625665242214,"webhookEventId":"B"},{"type":"unfollow"}]}"#;
    let delivery = deliver(Scheme::Line, &[], line.as_bytes());
    let shown: Vec<_> = told(&delivery).into_iter().map(|(id, kind, time, _)| (id, kind.unwrap(), time)).collect();
    assert_eq!(
        shown,
        [
            ("A".to_string(), "message".to_string(), Some(1_625_665_242_211)),
            ("B".to_string(), "follow".to_string(), Some(1_625_665_242_214)),
            (alloc::format!("{}#2", delivery.dedup_key()), "unfollow".to_string(), None),
        ]
    );
    assert_eq!(deliver(Scheme::Line, &[], br#"{"destination":"U","events":[]}"#).events(), Ok(vec![]));

    let meta =
        r#"{"object":"page","entry":[{"id":"9","time":1520383571,"changes":[]},{"id":"9","time":1520383571001}]}"#;
    let delivery = deliver(Scheme::Meta, &[], meta.as_bytes());
    let digest = delivery.dedup_key().into_owned();
    let item = |n: usize, time, value| (alloc::format!("{digest}#{n}"), Some("page".to_string()), Some(time), value);
    let first = item(0, 1_520_383_571_000, json!({ "id": "9", "time": 1_520_383_571, "changes": [] }));
    let second = item(1, 1_520_383_571_001, json!({ "id": "9", "time": 1_520_383_571_001_u64 }));
    assert_eq!(told(&delivery), [first, second]);

    let item = r#"{"NotificationRequestItem":{"eventCode":"AUTHORISATION","eventDate":"2018-05-23T08:14:28+02:00",
        "pspReference":"P","merchantAccountCode":"M","merchantReference":"R","amount":{"value":1,"currency":"EUR"},
        "success":"true"}}"#;
    let adyen = alloc::format!("{{\"live\":\"false\",\"notificationItems\":[{item},{item}]}}");
    let delivery = deliver(Scheme::AdyenNotification, &[], adyen.as_bytes());
    let events = delivery.events().unwrap();
    assert_eq!(events.len(), 2);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.id(), alloc::format!("{}#{n}", delivery.dedup_key()));
        assert_eq!(
            (event.kind(), event.time()),
            (Some("AUTHORISATION"), Some(UnixTime::from_millis(1_527_056_068_000)))
        );
        assert_eq!(event.value().unwrap()["pspReference"], "P");
    }
}

/// Its private keys are its own, so its table is asked about a delivery of somebody else.
#[test]
fn sendgrid_sends_an_array() {
    let body =
        br#"[{"event":"open","timestamp":1669651200,"sg_event_id":"E1"},{"event":"click","sg_event_id":"no id"}]"#;
    let delivery = deliver(Scheme::Github, &[], body);
    let batch = Batch::of(Scheme::Sendgrid).unwrap();
    let items = batch.items(delivery.payload()).unwrap();
    let item = |n: usize| delivery.item(batch, n, delivery.payload().slice_ref(items[n].as_bytes()));
    let first = item(0);
    assert_eq!((first.id(), first.kind(), items.len()), ("E1", Some("open"), 2));
    assert_eq!(first.time(), Some(UnixTime::from_secs(1_669_651_200)));
    assert_eq!(item(1).id(), alloc::format!("{}#1", delivery.dedup_key()));
}

#[test]
fn what_has_not_the_shape_of_a_batch_is_one_event() {
    for body in
        [&b"{}"[..], b"[]", b"no", b"\xff", br#"{"events":{}}"#, br#"{"events":[],"events":[{}]}"#, br#"{"events":[}"#]
    {
        assert_eq!(deliver(Scheme::Line, &[], body).events().unwrap()[0].data(), body);
    }
    let many = |n: usize| alloc::format!("{{\"events\":[0{}]}}", ",0".repeat(n - 1));
    let events = |n| deliver(Scheme::Line, &[], many(n).as_bytes()).events();
    assert_eq!(events(limits::EVENTS_IN_A_REQUEST).map(|events| events.len()), Ok(limits::EVENTS_IN_A_REQUEST));
    let most = limits::EVENTS_IN_A_REQUEST + 1;
    assert_eq!(events(most).err(), Some(DecodeError::TooMany { events: most }));
}

#[test]
fn cloudevents_are_read_in_every_mode() {
    let event = |id: &str| CloudEvent::new(id, "/shop", "order.paid").unwrap();
    let one = event("A").with("time", "2023-11-14T22:13:19Z").unwrap().with_data(CloudData::Json("{\"a\":1}".into()));
    let two = event("B").with("datacontenttype", "text/xml").unwrap().with_data(CloudData::Text("<a/>".into()));
    let batch = cloudevents_batch([&one, &two, &event("C")]);
    let delivery = standard(batch.content_type.to_str().unwrap(), &batch.body);
    let events = delivery.events().unwrap();
    let values: Vec<_> = events.iter().map(|event| (event.id(), event.source(), event.value())).collect();
    assert_eq!(values[0], ("A", Some("/shop"), Ok(json!({ "a": 1 }))));
    assert_eq!(values[1], ("B", Some("/shop"), Ok(json!({ "a": "" }))));
    assert!(matches!(values[2], ("C", _, Err(DecodeError::Json { .. }))), "it has no data");
    assert_eq!(events[0].time(), Some(UnixTime::from_secs(1_699_999_999)));
    assert_eq!((events[1].time(), events[1].kind()), (Some(NOW.wall), Some("order.paid")));
    assert_eq!(events[1].cloud_event(), Some(&two));

    let headers = |id| {
        let content = ("content-type", "application/json");
        [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/s"), ("ce-type", "t"), content]
    };
    for id in ["msg_1", "other"] {
        let delivery = deliver(Scheme::Standard, &headers(id), b"[1]");
        let [event] = &delivery.events().unwrap()[..] else { panic!("one event") };
        assert_eq!((event.id(), event.kind(), event.value()), ("msg_1", Some("t"), Ok(json!([1]))));
        assert_eq!(event.cloud_event().unwrap().attribute("id"), Some(&Attribute::from(id)));
    }
    for (content_type, body, why) in [
        (CLOUD, "{}", CloudEventError::Missing { name: "specversion" }),
        (CLOUD, "x", CloudEventError::Json),
        ("application/cloudevents+avro", "", CloudEventError::Format),
    ] {
        assert_eq!(standard(content_type, body).events().err(), Some(DecodeError::CloudEvents(why)));
    }
}

#[test]
fn values_are_read_by_their_type() {
    let value = |content_type, body: &str| standard(content_type, body).value();
    assert_eq!(value("text/xml; charset=utf-8", "<a>1</a>"), Ok(json!({ "a": "1" })));
    assert_eq!(value("application/x-www-form-urlencoded", "Body=a+b&n[0]=1"), Ok(json!({ "Body": "a b", "n": ["1"] })));
    assert_eq!(deliver(Scheme::Standard, &[], b"[1]").value(), Ok(json!([1])), "JSON where nothing is said");
    let said = "text/plain".into();
    assert_eq!(value("text/plain", "{}"), Err(DecodeError::MediaType { said }));
    let why = "EOF while parsing an object".into();
    let broken = value("application/json", "{\n\"a\":1").unwrap_err();
    assert_eq!(broken, DecodeError::Json { line: 2, column: 5, why });
    assert_eq!(broken.to_string(), "line 2, column 5 of the JSON: EOF while parsing an object");
    assert!(matches!(value("a/xml", "<a>"), Err(DecodeError::Xml(_))));
    assert!(matches!(value("application/x-www-form-urlencoded", "a["), Err(DecodeError::Form(_))));
    assert!(matches!(value("a/json", &"[".repeat(1_000_000)), Err(DecodeError::Json { column: 128, .. })));

    let xml = b"<notification><kind>check</kind><timestamp type=\"datetime\">2015</timestamp></notification>";
    let delivery = deliver(Scheme::Braintree, &[("content-type", "application/x-www-form-urlencoded")], xml);
    let inner = json!({ "kind": "check", "timestamp": { "@type": "datetime", "#text": "2015" } });
    assert_eq!(delivery.value(), Ok(json!({ "notification": inner })));
    assert_eq!(delivery.events().unwrap()[0].value(), delivery.value());
}

/// What texts are left of a value in a form: see the table of the room `encoding`.
fn as_form(value: Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value,
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(as_form).collect()),
        Value::Object(members) => {
            let is_array = members.keys().enumerate().all(|(n, name)| *name == n.to_string());
            let nothing = members.len() == 1 && members.get("") == Some(&Value::Null);
            match (nothing, is_array) {
                (true, _) => json!([]),
                (false, true) => members.into_iter().map(|(_, value)| as_form(value)).collect(),
                (false, false) => members.into_iter().map(|(name, value)| (name, as_form(value))).collect(),
            }
        }
    }
}

proptest! {
    /// The law: what a sender writes in whichever encoding is received as the same event with the same data.
    #[test]
    fn what_is_encoded_is_decoded(value in any_json(), event_type in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", millis in 0..4_000_000_000_000u64) {
        let (payload, time) = (Payload::json(&value).unwrap(), UnixTime::from_millis(millis));
        let message = Message::new("msg_1", &event_type, time, &payload);
        for encoding in [
            Encoding::Envelope,
            Encoding::Xml,
            Encoding::Form,
            Encoding::CloudEvents,
            Encoding::CloudEventsBinary,
            Encoding::CloudEventsBatch,
        ] {
            let sent = encode(&Shape::from(encoding), &message).unwrap();
            let mut headers = vec![("content-type", sent.content_type.to_str().unwrap())];
            headers.extend(sent.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())));
            let events = deliver(Scheme::Standard, &headers, &sent.body).events().unwrap();
            prop_assert_eq!(events.len(), 1);
            let expected = if encoding == Encoding::Form { as_form(value.clone()) } else { value.clone() };
            prop_assert_eq!(events[0].value(), Ok(expected), "{:?}", encoding);
            let told = (events[0].id(), events[0].kind(), events[0].time());
            prop_assert_eq!(told, ("msg_1", Some(&*event_type), Some(time)), "{:?}", encoding);
        }
        let sent = encode(&Shape::from(Encoding::Data), &message).unwrap();
        let delivery = standard(sent.content_type.to_str().unwrap(), &sent.body);
        prop_assert_eq!(delivery.value(), Ok(value));
    }

    /// No body of whichever type and scheme makes reading it panic, and each event has an id that repeats.
    #[test]
    fn no_body_makes_reading_panic(
        scheme in prop::sample::select(&[Scheme::Standard, Scheme::Line, Scheme::Meta, Scheme::Github, Scheme::Stripe]),
        content_type in prop::sample::select(&[CLOUD, "application/cloudevents-batch+json", "a/json", "a/xml", "x/x-www-form-urlencoded", "?"]),
        body in prop_oneof![
            any_text().prop_map(String::into_bytes),
            any_json().prop_map(|value| json!({ "events": [value], "entry": value, "data": value }).to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..40),
        ],
    ) {
        let read = || deliver(scheme, &[("content-type", content_type)], &body);
        let ids = |events: &[ReceivedEvent]| events.iter().map(|event| event.id().to_string()).collect::<Vec<_>>();
        let _ = read().value();
        if let Ok(events) = read().events() {
            for event in &events {
                let _ = event.value();
                prop_assert_ne!(event.id(), "");
            }
            prop_assert_eq!(ids(&events), ids(&read().events().unwrap()));
        }
    }
}

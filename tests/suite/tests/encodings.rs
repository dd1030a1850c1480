//! Encodings in the machine: what endpoints of each shape are sent, that bodies are shared, what is refused, and what the
//! journal keeps.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use bytes::{Bytes, BytesMut};
use postrider_core::encoding::{CloudData, CloudEvent, Encoding, decode_form};
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{Frames, Record};
use postrider_core::registration::{Endpoint, EndpointError};
use postrider_core::response::{Denial, Reply, TransportError};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Cleared, Config, Fate, Input, Output, Resolver, Restore, RestoreError, Sender, Transmit, Wake,
};
use postrider_core::signing::standard::Verifier;
use postrider_core::time::{Instant, Now, UnixTime};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn now() -> Now {
    Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_800_000_000) }
}

fn endpoint(encoding: Encoding) -> Endpoint {
    Endpoint::new(encoding.name(), "https://hooks.acme.com/hooks").secret(SECRET).encoding(encoding)
}

/// A sender whose log acknowledges at once, and what the log has.
struct Rig {
    sender: Sender,
    log: Vec<(JournalSeq, Record)>,
}

impl Rig {
    fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let sender = Sender::new(Config::new(), Seed::from_bytes([1; 32]), now());
        let mut rig = Self { sender, log: Vec::new() };
        for endpoint in endpoints {
            rig.sender.put(now(), endpoint).unwrap();
        }
        assert!(rig.drain().is_empty());
        rig
    }

    fn publish(&mut self, event: Event) -> Vec<Transmit> {
        self.sender.publish(now(), event).unwrap();
        self.drain()
    }

    fn drain(&mut self) -> Vec<Transmit> {
        let mut sent = Vec::new();
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.extend(Frames::new(batch.bytes().clone()).map(Result::unwrap));
                    self.sender.handle(now(), Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Wait(Wake::Ready) | Output::Notice(_) | Output::Abort(_) => {}
                Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) => panic!("nothing asks for this"),
                Output::Wait(_) => return sent,
            }
        }
    }

    fn fates(&self, id: &str) -> Vec<(String, Fate, Option<TransportError>)> {
        let report = self.sender.report(&TenantId::default(), &EventId::new(id).unwrap()).unwrap();
        let told = report.deliveries.iter();
        told.map(|delivery| (delivery.endpoint.as_str().to_string(), delivery.fate, delivery.failure)).collect()
    }
}

fn cleared(transmit: &Transmit) -> Cleared {
    transmit.clear_by(Resolver::Simulation).unwrap()
}

/// Both forms of a request, checked to say the same and to be signed as they are sent.
fn request(transmit: &Transmit) -> http::Request<Bytes> {
    let cleared = cleared(transmit);
    let request = cleared.request();
    let mut head = BytesMut::new();
    cleared.write_head(&mut head);
    let head = String::from_utf8(head.to_vec()).unwrap();
    for (name, value) in request.headers() {
        assert!(head.contains(&format!("\r\n{name}: {}\r\n", value.to_str().unwrap())), "{name}: {head}");
    }
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", request.body().len())));
    assert_eq!(request.body(), cleared.body());
    let verifier = Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap();
    verifier.verify(request.headers(), request.body(), now().wall).unwrap();
    request
}

#[test]
fn each_endpoint_is_sent_its_own_shape() {
    let mut rig = Rig::new(Encoding::ALL.map(endpoint));
    let event = Event::json_bytes("order.paid", Bytes::from_static(b"{\"id\": 7}")).unwrap().id("o1");
    let sent = rig.publish(event.expires(UnixTime::parse_rfc3339("2027-01-16T08:00:00Z").unwrap()));
    assert_eq!(sent.len(), Encoding::ALL.len());
    for transmit in sent {
        let encoding = Encoding::by_name(transmit.endpoint().id.as_str()).unwrap();
        let request = request(&transmit);
        let body = String::from_utf8_lossy(request.body()).into_owned();
        match encoding {
            Encoding::Xml => {
                assert!(body.contains("<data type=\"object\"><id type=\"number\">7</id></data>"), "{body}")
            }
            Encoding::Form => {
                let form = decode_form(request.body()).unwrap();
                let expected = r#"{"type":"order.paid","timestamp":"2027-01-15T08:00:00.000Z","data":{"id":"7"}}"#;
                assert_eq!(form.body(), expected);
            }
            Encoding::CloudEvents | Encoding::CloudEventsBatch | Encoding::CloudEventsBinary => {
                let events = CloudEvent::decode(request.headers(), request.body()).unwrap();
                let attributes: Vec<_> =
                    events[0].attributes().map(|(name, value)| format!("{name}={value}")).collect();
                for expected in [
                    "id=o1",
                    "source=/postrider/default",
                    "type=order.paid",
                    "time=2027-01-15T08:00:00.000Z",
                    "expirytime=2027-01-16T08:00:00.000Z",
                ] {
                    assert!(attributes.iter().any(|found| found == expected), "{expected}: {attributes:?}");
                }
                assert_eq!(events[0].data().map(CloudData::bytes).unwrap(), "{\"id\": 7}");
            }
            _ => assert!(body.contains("{\"id\": 7}"), "{body}"),
        }
    }
}

#[test]
fn endpoints_of_one_shape_share_one_body() {
    let many = (0..20).map(|n| {
        let endpoint = Endpoint::new(format!("e{n}"), "https://hooks.acme.com/hooks").secret(SECRET);
        if n % 2 == 0 { endpoint.encoding(Encoding::Xml) } else { endpoint.thin(["/id"]) }
    });
    let mut rig = Rig::new(many);
    let event = Event::json_bytes("a", Bytes::from_static(b"{\"id\":7,\"x\":1}")).unwrap().id("o1");
    let sent = rig.publish(event);
    let bodies: Vec<_> = sent.iter().map(|transmit| cleared(transmit).body().clone()).collect();
    let places: std::collections::BTreeSet<_> = bodies.iter().map(|body| body.as_ptr()).collect();
    assert_eq!((sent.len(), places.len()), (20, 2));
    assert!(bodies.iter().any(|body| body.ends_with(b"\"data\":{\"id\":7}}")));
}

/// A delivery that its encoding cannot express ends at once, with the reason; the others of the event do not notice.
#[test]
fn what_an_encoding_cannot_express_is_refused() {
    let thin = Endpoint::new("thin", "https://hooks.acme.com/hooks").secret(SECRET).thin(["/id"]);
    let mut rig = Rig::new(Encoding::ALL.map(endpoint).into_iter().chain([thin]));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let events = [
        (
            Event::raw("a", "text/csv", Bytes::from_static(b"1,2")).unwrap().id("csv"),
            &["xml", "form", "thin"][..],
            Denial::Unencodable,
        ),
        (Event::json_bytes("a", deep.into()).unwrap().id("deep"), &["xml", "form"], Denial::TooNested),
    ];
    for (event, refused, why) in events {
        let id = event.event_id().unwrap().as_str().to_string();
        for transmit in rig.publish(event) {
            let input = match transmit.clear("93.184.215.14:443".parse().unwrap()) {
                Ok(_) => Input::Completed { attempt: transmit.attempt(), outcome: Ok(Reply::new(200)) },
                Err(denied) => {
                    assert_eq!(transmit.clear_by(Resolver::Simulation).err(), Some(denied.clone()));
                    assert!(!denied.to_string().is_empty());
                    denied.into()
                }
            };
            rig.sender.handle(now(), input);
            assert!(rig.drain().is_empty(), "nothing is tried again");
        }
        for (endpoint, fate, failure) in rig.fates(&id) {
            let expected = match refused.contains(&&*endpoint) {
                true => (Fate::Refused, Some(TransportError::Denied(why))),
                false => (Fate::Delivered, None),
            };
            assert_eq!((fate, failure), expected, "{id}: {endpoint}");
        }
    }
    assert!(rig.sender.is_settled());
}

#[test]
fn the_journal_keeps_shapes() {
    let full = |encoding| endpoint(encoding).thin(["/id", "/a~1b"]).source("https://acme.example.com/x");
    for make in [&endpoint as &dyn Fn(Encoding) -> Endpoint, &full] {
        let mut rig = Rig::new(Encoding::ALL.map(make));
        let log = core::mem::take(&mut rig.log);
        let restored = log.into_iter().fold(Restore::new(Config::new()), Restore::record).finish(now()).unwrap();
        for encoding in Encoding::ALL {
            let key = EndpointKey::new(encoding.name()).unwrap();
            let (before, after) = (rig.sender.endpoint(&key).unwrap(), restored.endpoint(&key).unwrap());
            assert_eq!((before.shape.encoding, &before.shape), (encoding, &after.shape));
        }
        // Putting the same again changes nothing.
        let mut restored = restored;
        assert!(!restored.put(now(), make(Encoding::Xml)).unwrap().change().changed);
        assert!(restored.put(now(), endpoint(Encoding::Xml).thin(["/other"])).unwrap().change().changed);
    }
}

#[test]
fn an_encoding_of_a_later_version_is_told() {
    for wrong in [
        |record: &mut postrider_core::journal::EndpointRecord| record.encoding = 99,
        |record: &mut postrider_core::journal::EndpointRecord| record.thin = vec!["id".into()],
        |record: &mut postrider_core::journal::EndpointRecord| record.source = Some("a b".into()),
    ] {
        let log = Rig::new([endpoint(Encoding::Data)]).log.into_iter().map(|(seq, mut record)| {
            if let Record::Endpoint(endpoint) = &mut record {
                wrong(endpoint);
            }
            (seq, record)
        });
        let error = log.fold(Restore::new(Config::new()), Restore::record).finish(now()).unwrap_err();
        let RestoreError::Endpoint { why, .. } = &error else { panic!("{error}") };
        assert!(
            matches!(why, EndpointError::Encoding(99) | EndpointError::Thin(_) | EndpointError::Source(_)),
            "{why}"
        );
        assert!(error.to_string().contains("endpoint data: "), "{error}");
    }
}

#[test]
fn mistakes_are_told_when_an_endpoint_is_put() {
    let mut sender = Sender::new(Config::new(), Seed::from_bytes([1; 32]), now());
    for (endpoint, told) in [
        (endpoint(Encoding::Data).thin(["id"]), "thin: pointer 0 should begin with a slash"),
        (endpoint(Encoding::Data).thin(Vec::<String>::new()), "thin: there is no pointer"),
        (endpoint(Encoding::CloudEvents).source(""), "source: it is empty"),
    ] {
        let error = sender.put(now(), endpoint).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

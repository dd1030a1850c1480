//! Signing schemes in the machine: each dialect as the sender sends it, verified by our own verifier of its scheme, in both
//! forms of a request; several at once; what keys sign; what is refused; and what a journal keeps.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use bytes::{Bytes, BytesMut};
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, JournalSeq};
use postrider_core::journal::{Frames, Record};
use postrider_core::registration::{Endpoint, EndpointError, RingError};
use postrider_core::response::Reply;
use postrider_core::secret::{KeyId, Secret};
use postrider_core::seed::Seed;
use postrider_core::sender::{
    CommandError, Config, Input, Output, PutError, Resolver, Restore, Sender, Transmit, Wake,
};
use postrider_core::signing::{
    Custom, Dialect, DialectError, MessageKey, PrivateKey, Received, Scheme, Verified, Verifier, VerifyError,
};
use postrider_core::time::{Instant, Now, UnixTime};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl2TgbgVNB";
const URL: &str = "https://hooks.acme.com/hooks?to=a";

fn now() -> Now {
    Now { mono: Instant::ORIGIN, wall: UnixTime::from_millis(1_800_000_000_123) }
}

fn pair() -> PrivateKey {
    PrivateKey::from_seed(&[7; 32])
}

fn custom() -> Custom {
    let custom = Custom::sha512("X-Acme-Signature").base64().prefix("v1=").id_header("x-acme-id");
    let custom = custom.millis_header("x-acme-time").type_header("x-acme-type").base64_keys();
    custom.content("{id}.{timestamp}.{url}.{body}").unwrap()
}

fn all() -> Vec<Dialect> {
    Dialect::NAMED.into_iter().chain([Dialect::hmac(custom()).unwrap()]).collect()
}

/// A verifier of what a dialect's receiver is told.
fn verifier(dialect: &Dialect, secrets: &[&str]) -> Verifier {
    match dialect {
        Dialect::Hmac(custom) => {
            let bytes = secrets.iter().map(|text| text.trim_start_matches("whsec_"));
            Verifier::custom((**custom).clone(), bytes).unwrap()
        }
        Dialect::Svix => Verifier::new(Scheme::Standard, secrets).unwrap().accept_svix_names(true),
        named => Verifier::new(named.scheme(), secrets).unwrap(),
    }
}

struct Rig {
    sender: Sender,
    log: Vec<(JournalSeq, Record)>,
}

impl Rig {
    fn new(endpoint: Endpoint) -> Self {
        let sender = Sender::new(Config::new(), Seed::from_bytes([1; 32]), now());
        let mut rig = Self { sender, log: Vec::new() };
        rig.put(endpoint);
        rig
    }

    fn put(&mut self, endpoint: Endpoint) {
        self.sender.put(now(), endpoint).unwrap();
        assert!(self.drain().is_empty());
    }

    fn send(&mut self, id: &str) -> Transmit {
        let event = Event::json_bytes("order.paid", Bytes::from_static(b"{\"id\": 7}")).unwrap().id(id);
        self.sender.publish(now(), event).unwrap();
        let mut sent = self.drain();
        assert_eq!(sent.len(), 1);
        sent.pop().unwrap()
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

    fn done(&mut self, transmit: &Transmit) -> Vec<KeyId> {
        let outcome = Ok(Reply::new(204));
        self.sender.handle(now(), Input::Completed { attempt: transmit.attempt(), outcome });
        self.drain();
        let outcomes = self.log.iter().rev().filter_map(|(_, record)| match record {
            Record::Outcome(outcome) => Some(outcome.signed.clone()),
            _ => None,
        });
        outcomes.into_iter().next().unwrap()
    }

    fn restart(&mut self) {
        let restored = self.log.iter().cloned().fold(Restore::new(Config::new()), Restore::record).finish(now());
        self.sender = restored.unwrap();
        self.drain();
    }
}

fn endpoint() -> Endpoint {
    Endpoint::new("acme", URL)
}

/// The request, of which both forms say the same.
fn request(transmit: &Transmit) -> http::Request<Bytes> {
    let cleared = transmit.clear_by(Resolver::Simulation).unwrap();
    let request = cleared.request();
    let mut head = BytesMut::new();
    cleared.write_head(&mut head);
    let head = String::from_utf8(head.to_vec()).unwrap();
    for (name, value) in request.headers() {
        assert!(head.contains(&format!("\r\n{name}: {}\r\n", value.to_str().unwrap())), "{name}: {head}");
    }
    assert_eq!(head.matches("\r\n").count(), request.headers().len() + 4, "{head}");
    request
}

fn verify<'r>(verifier: &'r Verifier, request: &'r http::Request<Bytes>) -> Result<Verified<'r>, VerifyError> {
    let received = Received { method: "POST", url: URL, headers: request.headers(), body: request.body() };
    verifier.verify(&received, now().wall)
}

#[test]
fn each_dialect_is_verified_by_its_scheme() {
    for dialect in all() {
        let mut rig = Rig::new(endpoint().secret(OLD).sign([dialect.clone()]));
        let request = request(&rig.send("e1"));
        let good = verifier(&dialect, &[OLD]);
        let verified = verify(&good, &request).unwrap_or_else(|why| panic!("{dialect}: {why}"));
        assert_eq!(verified.body(), request.body());
        match dialect {
            // Their ids stand in bodies that are theirs.
            Dialect::Stripe | Dialect::Slack => {}
            _ => assert_eq!(verified.id().as_deref(), Some("e1"), "{dialect}"),
        }
        assert!(verify(&verifier(&dialect, &[NEW]), &request).is_err(), "{dialect}: with another key");
        let mut other = request.clone();
        *other.body_mut() = Bytes::from_static(b"{}");
        assert!(verify(&good, &other).is_err(), "{dialect}: another body");
        assert_eq!(request.headers()["webhook-id"], "e1");
        assert_eq!(request.headers()["webhook-timestamp"], "1800000000");
        let standard = request.headers().contains_key("webhook-signature");
        assert_eq!(standard, dialect == Dialect::Standard, "{dialect}");
    }
}

#[test]
fn all_dialects_may_sign_side_by_side() {
    let mut rig = Rig::new(endpoint().secret(OLD).sign(all()));
    for restarted in [false, true] {
        if restarted {
            rig.restart();
        }
        let transmit = rig.send(if restarted { "e2" } else { "e1" });
        let request = request(&transmit);
        for dialect in all() {
            verify(&verifier(&dialect, &[OLD]), &request).unwrap_or_else(|why| panic!("{dialect}: {why}"));
        }
        assert_eq!(rig.done(&transmit), [Secret::parse(OLD).unwrap().id()]);
        assert_eq!(request.headers()["x-github-event"], "order.paid");
        assert_eq!(request.headers()["x-acme-type"], "order.paid");
    }
    // A change holds for what is built once it is durable, also of an attempt that began before.
    let transmit = rig.send("e3");
    rig.put(endpoint().sign([Dialect::Slack]));
    let changed = request(&transmit);
    assert!(!changed.headers().contains_key("x-github-event") && changed.headers().contains_key("x-slack-signature"));
}

/// Where there is room for several signatures all active keys sign, elsewhere the newest.
#[test]
fn during_a_rotation_the_newest_signs_where_one_can() {
    let ids = |secrets: &[&str]| secrets.iter().map(|text| Secret::parse(text).unwrap().id()).collect::<Vec<_>>();
    for dialect in all() {
        let mut rig = Rig::new(endpoint().secret(OLD).sign([dialect.clone()]));
        rig.sender.add_key(now(), &EndpointKey::new("acme").unwrap(), &Secret::parse(NEW).unwrap()).unwrap();
        rig.drain();
        let transmit = rig.send("e1");
        let request = request(&transmit);
        let several =
            matches!(dialect, Dialect::Standard | Dialect::Svix | Dialect::Stripe | Dialect::MessageSignatures);
        verify(&verifier(&dialect, &[NEW]), &request).unwrap_or_else(|why| panic!("{dialect}: {why}"));
        assert_eq!(verify(&verifier(&dialect, &[OLD]), &request).is_ok(), several, "{dialect}");
        assert_eq!(rig.done(&transmit), ids(if several { &[NEW, OLD] } else { &[NEW] }), "{dialect}");
    }
}

#[test]
fn key_pairs_sign_where_they_can() {
    let public = pair().public();
    let whsk = pair().reveal();
    let both = [Dialect::Standard, Dialect::MessageSignatures];
    let mut rig = Rig::new(endpoint().secret(&whsk).sign(both));
    let standard = |keys: &[&str]| Verifier::new(Scheme::Standard, keys).unwrap();
    for round in 0..3 {
        if round == 1 {
            rig.restart();
        }
        if round == 2 {
            rig.sender.add_key(now(), &EndpointKey::new("acme").unwrap(), &Secret::parse(OLD).unwrap()).unwrap();
            rig.drain();
            verify(&standard(&[OLD]), &request(&rig.send("e"))).unwrap();
        }
        let transmit = rig.send(&format!("e{round}"));
        let request = request(&transmit);
        verify(&standard(&[&public.to_string()]), &request).unwrap();
        let message = Verifier::message_signatures([MessageKey::ed25519(public)]).unwrap();
        assert_eq!(verify(&message, &request).unwrap().key(), public.id());
        assert!(rig.done(&transmit).contains(&public.id()));
    }
    // Alone it cannot sign what needs a shared key.
    let sender = &mut rig.sender;
    let keyed = endpoint().secret(&whsk).sign([Dialect::Github]);
    let refused = sender.put(now(), keyed.clone()).unwrap_err();
    assert!(matches!(refused, PutError::Ring(_, RingError::NoShared)), "{refused}");
    sender.put(now(), keyed.secret(OLD)).unwrap();
    let old = Secret::parse(OLD).unwrap().id();
    let refused = sender.revoke_key(now(), &EndpointKey::new("acme").unwrap(), old).unwrap_err();
    assert_eq!(refused, CommandError::Ring(RingError::NoShared));
    let broken = endpoint().secret(whsk.replace("whsk_B", "whsk_C"));
    let refused = sender.put(now(), broken).unwrap_err();
    assert!(matches!(refused, PutError::Invalid(_, EndpointError::Pair(_))), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("BwcHBw"));
}

#[test]
fn what_cannot_be_sent_so_is_refused() {
    let refused = |endpoint: Endpoint| match Sender::new(Config::new(), Seed::from_bytes([1; 32]), now())
        .put(now(), endpoint.secret(OLD))
        .unwrap_err()
    {
        PutError::Invalid(_, EndpointError::Sign(why)) => why,
        other => panic!("{other}"),
    };
    let hmac = |header: &'static str| Dialect::hmac(Custom::sha256(header)).unwrap();
    for reserved in ["host", "content-type", "webhook-signature", "authorization", "signature", "ce-id", "date"] {
        let why = refused(endpoint().sign([hmac(reserved)]));
        assert_eq!(why, DialectError::Reserved { header: reserved.into() });
    }
    let why = refused(endpoint().header("x-sig", "mine").sign([hmac("X-Sig")]));
    assert_eq!(why.to_string(), "the header x-sig is among the endpoint's own headers; leave it out there");
    assert_eq!(refused(endpoint().sign([])), DialectError::None);
    let mut rig = Rig::new(endpoint().secret(OLD).sign([hmac("x-hub-signature-256")]));
    assert!(request(&rig.send("e1")).headers().contains_key("x-hub-signature-256"), "another scheme's may be used");
}

/// What a later version has written, and a journal from before there were schemes.
#[test]
fn a_journal_says_how_requests_are_signed() {
    let rig = Rig::new(endpoint().secret(OLD).sign(all()));
    let record = |rig: &Rig| {
        let endpoint = rig.log.iter().find_map(|(_, record)| match record {
            Record::Endpoint(endpoint) => Some(endpoint.clone()),
            _ => None,
        });
        endpoint.unwrap()
    };
    assert_eq!(record(&rig).sign.len(), all().len());
    assert!(record(&Rig::new(endpoint().secret(OLD))).sign.is_empty());
    let mut later = rig.log;
    for (_, record) in &mut later {
        if let Record::Endpoint(endpoint) = record {
            endpoint.sign[0].number = 200;
        }
    }
    let restored = later.into_iter().fold(Restore::new(Config::new()), Restore::record).finish(now());
    let why = restored.unwrap_err().to_string();
    assert!(why.contains("sign: scheme number 200 is not known to this version"), "{why}");
}

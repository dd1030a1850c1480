//! Secrets have no voice: whatever of core and of the drivers can be printed is printed here, with canaries in every place
//! where a secret or a payload can enter. What the command prints is judged by its own tests.
#![allow(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use postrider::journal::{Log, MemoryLog};
use postrider::{Error, Registered};
use postrider_core::encoding::{Encoding, Message, Payload, Shape, encode};
use postrider_core::event::Event;
use postrider_core::id::{EndpointId, EndpointKey, EventId, TenantId};
use postrider_core::journal::Frames;
use postrider_core::receiver::{ExchangeId, Processed, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead};
use postrider_core::registration::{CustomHeaders, Endpoint, Policy, Target};
use postrider_core::response::{Reply, TransportError};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Cleared, Close, Config, Input, LoadError, Output, Resolver, Restore, Sender, Transmit, Wake,
};
use postrider_core::signing::diagnose::diagnose;
use postrider_core::signing::{
    Custom, Dialect, PrivateKey, Received, Scheme, Signer, SigningKey, Unsigned, Verifier, standard,
};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_driver::Heard;
use postrider_testkit::Canaries;

const KEY: &[u8] = b"endpoint-key-canary-000000000001";
const SECOND_KEY: &[u8] = b"second-key-canary-000000-\xf0\xf1\xf2\xf3\xfe\xff";
const HEADER: &str = "Bearer secret-header-canary";
const TOKEN: &str = "query-token-canary";
const PAYLOAD: &str = "payload-canary-1";
const SEED: [u8; 32] = *b"seed-of-the-store-canary-0000001";
/// The seed of a key pair, `whsk_...` as text.
const PAIR: [u8; 32] = *b"seed-of-a-key-pair-canary-000001";
const BODY: &str = "response-body-canary";

fn canaries() -> Canaries {
    Canaries::new()
        .with("the endpoint's key", KEY)
        .with("the second key", SECOND_KEY)
        .with("the secret header", &HEADER[7..])
        .with("the token in the URL", TOKEN)
        .with("the payload", PAYLOAD)
        .with("the seed", SEED)
        .with("the response's body", BODY)
        .with("the key pair's seed", PAIR)
        // Schemes that take keys as text have this one as theirs.
        .with("the key as text", secret(KEY).reveal())
        .with("the key pair as text", pair().reveal())
}

fn pair() -> PrivateKey {
    PrivateKey::from_seed(&PAIR)
}

/// Every scheme that an endpoint can sign in, one that is described among them.
fn dialects() -> Vec<Dialect> {
    let custom = Custom::sha512("x-acme-signature").id_header("x-acme-id").timestamp_header("x-acme-time");
    let custom = custom.content("{id}.{timestamp}.{body}").unwrap();
    let all = Dialect::NAMED.into_iter().filter(|dialect| *dialect != Dialect::Svix);
    all.chain([Dialect::hmac(custom).unwrap()]).collect()
}

fn secret(key: &[u8]) -> Secret {
    Secret::from_bytes(key).unwrap()
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new("shop", format!("{url}?token={TOKEN}"))
        .secret(secret(KEY).reveal())
        .secret_header("authorization", HEADER)
        .events(["order.*"])
        .sign(dialects())
}

fn event(id: &str) -> Event {
    Event::json("order.paid", &serde_json::json!({ "card": PAYLOAD })).unwrap().id(id)
}

fn at(secs: u64) -> Now {
    Now {
        mono: Instant::ORIGIN.saturating_add(Duration::from_secs(secs)),
        wall: UnixTime::from_secs(1_700_000_000 + secs),
    }
}

/// Everything that comes out of a sender, printed; and the sender, at every step.
struct Watched {
    canaries: Canaries,
    machine: Sender,
    records: Vec<Bytes>,
    log: MemoryLog,
    transmits: Vec<Transmit>,
}

impl Watched {
    fn new() -> Self {
        let machine = Sender::new(config(), Seed::from_bytes(SEED), at(0));
        Self { canaries: canaries(), machine, records: Vec::new(), log: MemoryLog::new(), transmits: Vec::new() }
    }

    fn handle(&mut self, now: Now, input: Input) {
        self.canaries.assert_dull("a fact", &input);
        self.machine.handle(now, input);
        self.canaries.assert_dull("the sender after a fact", &self.machine);
        self.drain(now);
    }

    fn drain(&mut self, now: Now) {
        loop {
            let output = self.machine.poll_output();
            self.canaries.assert_dull("an effect", &output);
            self.canaries.assert_dull("the sender within a drain", &self.machine);
            match output {
                Output::Persist(batch) => {
                    for (key, _) in batch.records() {
                        self.canaries.assert_dull("a record's key", &key);
                    }
                    self.records.push(batch.bytes().clone());
                    self.log.append(batch.clone(), Box::new(|_| ()));
                    self.canaries.assert_dull("a log", &self.log);
                    self.machine.handle(now, Input::Persisted(batch.last()));
                }
                Output::Snapshot(part) => self.log.snapshot(part),
                Output::Notice(notice) => self.canaries.assert_mute("a notice", &notice),
                Output::Transmit(transmit) => self.transmits.push(transmit),
                Output::Load(load) => {
                    self.machine.handle(now, Input::Loaded { request: load.id(), result: Err(LoadError::Corrupt) });
                }
                Output::Wait(Wake::Ready) | Output::Reclaim(_) | Output::Abort(_) => {}
                Output::Wait(_) => return,
            }
        }
    }
}

fn config() -> Config {
    Config::new().policy(Policy::development())
}

fn key() -> EndpointKey {
    EndpointKey { tenant: TenantId::default(), id: EndpointId::new("shop").unwrap() }
}

#[test]
fn a_sender_shows_no_secret() {
    let mut watched = Watched::new();
    let canaries = canaries();
    watched.machine.put(at(0), endpoint("https://127.0.0.1/hook")).unwrap();
    watched.machine.publish(at(0), event("one")).unwrap();
    canaries.assert_dull("the sender before its first drain", &watched.machine);
    watched.drain(at(0));
    watched.machine.add_key(at(0), &key(), &secret(SECOND_KEY)).unwrap();
    watched.machine.add_key(at(0), &key(), &Secret::from(&pair())).unwrap();
    watched.drain(at(0));

    let transmit = watched.transmits.remove(0);
    let elsewhere = SocketAddr::from(([10, 0, 0, 1], 443));
    canaries.assert_mute("a denial", &transmit.clear(elsewhere).unwrap_err());
    canaries.assert_dull("vetted addresses", &transmit.vet(&[IpAddr::from([127, 0, 0, 1])]));
    canaries.assert_mute("the target", transmit.target());
    let here = SocketAddr::from(([127, 0, 0, 1], 443));
    for cleared in [transmit.clear(here).unwrap(), transmit.clear_by(Resolver::TrustedProxy).unwrap()] {
        // Made for the wire, with everything in them.
        assert!(canaries.find(&String::from_utf8_lossy(cleared.body())).is_some());
        let mut head = Vec::new();
        cleared.write_head(&mut head);
        assert!(canaries.find(&String::from_utf8_lossy(&head)).is_some());
        canaries.assert_dull("what is cleared", &cleared);
        canaries.assert_dull("the headers of a request", cleared.request().headers());
    }
    let reply = Reply::new(500).header("retry-after", b"1").with_body(Bytes::from_static(BODY.as_bytes()));
    watched.handle(at(1), Input::Completed { attempt: transmit.attempt(), outcome: Ok(reply) });

    let machine = &mut watched.machine;
    canaries.assert_dull("a view", &machine.endpoint(&key()));
    canaries.assert_dull("views", &machine.endpoints(&TenantId::default(), None, 9));
    canaries.assert_dull("a tally", &machine.endpoint_tally(&key()));
    canaries.assert_dull("statistics", &machine.stats());
    let explained = machine.explain(&event("two"), None, 9);
    canaries.assert_dull("an explanation", &explained);
    let delivery = machine.explain_delivery(&key(), &EventId::new("one").unwrap()).unwrap();
    canaries.assert_mute("a delivery explained", &delivery);
    canaries.assert_dull("a report", &machine.report(&TenantId::default(), &EventId::new("one").unwrap()));
    canaries.assert_dull("the configuration", &config());

    let conflict = Event::json("order.paid", &PAYLOAD).unwrap().id("one");
    let refused = machine.publish(at(1), conflict).unwrap_err();
    canaries.assert_mute("a refused event", &refused);
    let bad = endpoint("https://127.0.0.1/hook").header("bad header", HEADER);
    let refused = machine.put(at(1), bad).unwrap_err();
    canaries.assert_mute("a refused endpoint", &refused);
    let revoked = machine.revoke_key(at(1), &key(), secret(KEY).id()).unwrap();
    canaries.assert_dull("a change", &revoked);
    let again = machine.add_key(at(1), &key(), &secret(KEY)).unwrap_err();
    canaries.assert_mute("a refused key", &again);
    watched.drain(at(1));
    watched.machine.close(at(2), Close::Now);
    watched.drain(at(2));
    let refused = watched.machine.publish(at(2), event("three")).unwrap_err();
    canaries.assert_mute("an event after the end", &refused);
    panic_says_nothing(&canaries, Err(refused));

    records_show_no_secret(&canaries, &watched.records);
}

/// The journal, read back and printed record by record; and the machine that it makes.
fn records_show_no_secret(canaries: &Canaries, written: &[Bytes]) {
    let raw: Vec<u8> = written.concat();
    assert!(raw.windows(KEY.len()).any(|window| window == KEY), "the journal holds the key");
    let mut restore = Restore::new(config());
    let frames = Frames::new(raw.clone());
    canaries.assert_dull("a reader of frames", &frames);
    for frame in frames {
        let (seq, record) = frame.unwrap();
        canaries.assert_dull("a record", &record);
        canaries.assert_dull("the answer to a load", &[(seq, &record)]);
        restore = restore.record((seq, record));
        canaries.assert_dull("a sender in the making", &restore);
    }
    canaries.assert_dull("the sender restored", &restore.finish(at(9)).unwrap());

    // Damage is named, never shown: each byte flipped and the text cut there.
    for cut in 0..raw.len() {
        let mut bytes = raw[..=cut].to_vec();
        bytes[cut] ^= 0x40;
        let mut frames = Frames::new(bytes);
        if let Some(error) = frames.find_map(Result::err) {
            canaries.assert_mute("damage", &error);
        }
    }
}

/// What the panic says of an application that takes a refusal for impossible.
fn panic_says_nothing(canaries: &Canaries, refused: Result<(), impl Debug>) {
    let payload = catch_unwind(AssertUnwindSafe(|| refused.unwrap())).expect_err("it panics");
    let text = payload.downcast_ref::<String>().expect("a formatted message");
    canaries.assert_none_in("a panic", text);
}

#[test]
fn a_receiver_shows_no_secret() {
    let canaries = canaries();
    let verifier = standard::Verifier::new([&secret(KEY), &secret(SECOND_KEY)]).unwrap();
    canaries.assert_dull("a verifier", &verifier);
    let config = ReceiverConfig::new(verifier.clone());
    canaries.assert_dull("a receiver's configuration", &config);
    let mut receiver = Receiver::new(config, at(0));

    let (good, head, body) = signed(&secret(KEY), "one");
    let (_, wrong, _) = signed(&secret(b"nobodys-key-canary-0000000000001"), "two");
    canaries.assert_dull("what is verified", &verifier.verify(good.request().headers(), &body, at(0).wall));
    for (number, head) in [(1, head.clone()), (2, wrong), (3, head)] {
        let exchange = ExchangeId::new(number);
        let path = format!("/hooks?token={TOKEN}");
        let head = head.target(path).declared_length(body.len() as u64);
        canaries.assert_dull("a head", &head);
        for input in [RecvInput::Head { exchange, head }, RecvInput::Body { exchange, body: body.clone() }] {
            canaries.assert_dull("a receiver's fact", &input);
            receiver.handle(at(0), input);
            canaries.assert_dull("the receiver", &receiver);
        }
    }
    let mut delivered = 0;
    loop {
        let output = receiver.poll_output();
        canaries.assert_dull("a receiver's effect", &output);
        match output {
            RecvOutput::Deliver(delivery) => {
                assert!(String::from_utf8_lossy(delivery.body()).contains(PAYLOAD), "this is where it is asked for");
                delivered += 1;
                let result = Processed::Done;
                receiver.handle(at(0), RecvInput::Processed { delivery: delivery.id(), result });
            }
            RecvOutput::Respond(response) => canaries.assert_none_in("an answer", &format!("{:?}", response.body())),
            RecvOutput::Notice(notice) => canaries.assert_mute("a receiver's notice", &notice),
            RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                panic!("nothing of this was asked for")
            }
            RecvOutput::ReadBody { .. } => {}
            RecvOutput::Wait(_) => break,
        }
        canaries.assert_dull("the receiver within a drain", &receiver);
    }
    assert_eq!(delivered, 1);
    canaries.assert_dull("a receiver's statistics", &receiver.stats());
}

/// A request as a sender makes it: the attempt, its head and its body.
fn signed(secret: &Secret, id: &str) -> (Cleared, RequestHead, Bytes) {
    let mut machine = Sender::new(config(), Seed::from_bytes(SEED), at(0));
    let endpoint = Endpoint::new("shop", format!("https://127.0.0.1/?token={TOKEN}"));
    machine.put(at(0), endpoint.signing_key(secret.clone()).header("x-open", HEADER)).unwrap();
    machine.publish(at(0), event(id)).unwrap();
    loop {
        match machine.poll_output() {
            Output::Persist(batch) => machine.handle(at(0), Input::Persisted(batch.last())),
            Output::Transmit(transmit) => {
                let cleared = transmit.clear_by(Resolver::TrustedProxy).unwrap();
                let request = cleared.request();
                let head = RequestHead::new(request.method().clone(), request.headers().clone());
                let body = cleared.body().clone();
                return (cleared, head, body);
            }
            Output::Wait(_) => panic!("there is something to send"),
            Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
        }
    }
}

/// Keys of other schemes than Standard Webhooks, and of its asymmetric one: those who sign with them, those who verify, and
/// what goes wrong.
#[test]
fn other_schemes_show_no_secret() {
    let canaries = canaries();
    let (text, private) = (secret(KEY).reveal(), pair());
    canaries.assert_dull("a private key", &private);
    canaries.assert_dull("a secret that is a pair", &Secret::from(&private));
    canaries.assert_dull("its public half", &private.public());
    for bad in [
        private.reveal().replace("whsk_", "whsec_"),
        format!("{} ", private.reveal()),
        private.reveal()[..40].to_string(),
    ] {
        if let Err(error) = PrivateKey::parse(&bad) {
            canaries.assert_mute("a private key's error", &error);
        }
        if let Err(error) = Secret::parse(&bad) {
            canaries.assert_mute("a pair that is no shared key", &error);
        }
    }
    let message_of = |body: &'static [u8]| Unsigned {
        method: "POST",
        url: "https://shop.example.com/",
        id: Some("one"),
        headers: &[],
        body,
    };
    for scheme in Scheme::ALL {
        let signer = match Signer::new(scheme, &text) {
            Ok(signer) => signer,
            Err(error) => {
                canaries.assert_mute(&format!("a key that {scheme} does not take"), &error);
                continue;
            }
        };
        canaries.assert_dull(&format!("a signer of {scheme}"), &signer);
        let Ok(verifier) = Verifier::new(scheme, [&text[..]]) else { continue };
        canaries.assert_dull(&format!("a verifier of {scheme}"), &verifier);
        let signed = match signer.sign(&message_of(b"{}"), at(0).wall) {
            Ok(signed) => signed,
            Err(error) => {
                canaries.assert_mute(&format!("what {scheme} cannot sign"), &error);
                continue;
            }
        };
        let headers: Vec<(&str, &[u8])> =
            signed.headers.iter().map(|(name, value)| (&name[..], value.as_bytes())).collect();
        let received = Received { method: "POST", url: &signed.url, headers: &headers, body: b"{\"other\": 1}" };
        if let Err(error) = verifier.verify(&received, at(0).wall) {
            canaries.assert_mute(&format!("a refusal of {scheme}"), &error);
            for hint in error.hints(&verifier, &received, &[&text], at(0).wall) {
                canaries.assert_mute(&format!("a hint of {scheme}"), &hint);
            }
        }
    }
    for dialect in dialects() {
        canaries.assert_mute("a dialect", &dialect);
    }
}

#[test]
fn values_and_their_errors_show_no_secret() {
    let canaries = canaries();
    let revealed = secret(KEY).reveal();
    assert!(canaries.find(&revealed).is_some(), "this is where it is asked for");
    canaries.assert_dull("a secret", &secret(KEY));
    canaries.assert_dull("a signing key", &SigningKey::from(&secret(KEY)));
    canaries.assert_dull("a seed", &Seed::from_bytes(SEED));
    for bad in [
        format!("v1,{revealed}"),
        format!("{revealed} "),
        format!("{revealed}-_"),
        revealed.replace("whsec_", "whsk_"),
        revealed.replace('=', ""),
        format!("{revealed}{}", &revealed[6..]),
        revealed[..20].to_string(),
        String::from_utf8_lossy(KEY).into_owned(),
    ] {
        let error = Secret::parse(&bad).map(drop).unwrap_err();
        canaries.assert_mute("a secret's error", &error);
        let named = Endpoint::new("shop", "https://shop.example.com/").secret(&bad);
        canaries.assert_mute("a bad secret's endpoint", &named.check(&Policy::default()).unwrap_err());
        canaries.assert_dull("an endpoint with a bad secret", &named);
    }

    for url in [
        format!("https://shop.example.com/hook?token={TOKEN}"),
        format!("https://user:{TOKEN}@shop.example.com/"),
        format!("https://user:{TOKEN}/x@shop.example.com/"),
        format!("https://{TOKEN}@shop.example.com/"),
        format!("https://shop.example.com/#{TOKEN}"),
        format!("https://shop.example.com/?\\{TOKEN}"),
        format!("https://shop.example.com/? {TOKEN}"),
        format!("http://shop.example.com/?{TOKEN}"),
        format!("https:/shop.example.com/?{TOKEN}"),
        format!("https://10.0.0.1/?{TOKEN}"),
        format!("https://shop.example.com:x/?{TOKEN}"),
        format!("shop.example.com/?{TOKEN}"),
    ] {
        let endpoint = Endpoint::new("shop", &url);
        canaries.assert_dull(&format!("an endpoint of {url}"), &endpoint);
        match Target::parse(&url, &Policy::default()) {
            Ok(target) => canaries.assert_mute("a target", &target),
            Err(error) => canaries.assert_mute("a URL's error", &error),
        }
    }

    let mut headers = CustomHeaders::new();
    headers.insert_secret("authorization", HEADER).unwrap();
    headers.insert("x-open", HEADER).unwrap();
    canaries.assert_dull("custom headers", &headers);
    for (name, value) in [("host", HEADER), ("a b", HEADER), ("authorization", HEADER)] {
        canaries.assert_mute("a header's error", &headers.insert_secret(name, value).unwrap_err());
    }
    for value in [format!("{HEADER}\n"), format!("{HEADER} "), HEADER.repeat(400)] {
        canaries.assert_mute("a header value's error", &headers.insert_secret("x-other", &value).unwrap_err());
    }

    for text in [format!("{{\"{PAYLOAD}\": 01}}"), format!("[\"{PAYLOAD}\" {PAYLOAD}]"), format!("{PAYLOAD}\u{1}")] {
        canaries.assert_mute("a payload's error", &Payload::json_bytes(text.into()).unwrap_err());
    }
    let payload = Payload::raw("text/plain", Bytes::from_static(PAYLOAD.as_bytes())).unwrap();
    canaries.assert_dull("a payload", &payload);
    let message = Message::new("one", "a", UnixTime::EPOCH, &payload);
    for encoding in Encoding::ALL {
        canaries.assert_dull("a body", &encode(&Shape::from(encoding), &message));
    }
    canaries.assert_dull("an event", &event("one"));
    for error in [TransportError::TlsUntrusted, TransportError::Closed] {
        canaries.assert_mute("a failure of transport", &error);
    }

    let (cleared, _, body) = signed(&secret(KEY), "one");
    let verifier = standard::Verifier::new([&secret(SECOND_KEY)]).unwrap();
    let request = cleared.request();
    let error = verifier.verify(request.headers(), &body, at(0).wall).unwrap_err();
    canaries.assert_mute("a signature's error", &error);
    let texts = [secret(SECOND_KEY).reveal(), revealed];
    let causes = diagnose(&verifier, &[&texts[0], &texts[1]], request.headers(), &body, at(0).wall, &error);
    assert!(!causes.is_empty());
    causes.iter().for_each(|cause| canaries.assert_mute("a cause", cause));
}

#[test]
fn the_blocking_driver_shows_no_secret() {
    let builder = postrider::blocking::Sender::builder().policy(Policy::development());
    canaries().assert_dull("a builder", &builder);
    let sender = builder.volatile().unwrap();
    let registered = sender.put(brief("minted")).unwrap();
    let canaries = with_minted(&registered);
    canaries.assert_dull("a sender", &sender);
    let refused = sender.put(endpoint("nowhere")).unwrap_err();
    canaries.assert_mute("an endpoint refused", &refused);
    canaries.assert_mute("an error", &Error::from(refused.clone()));
    panic_says_nothing(&canaries, Err(refused));
    let notices = sender.notices().unwrap();
    canaries.assert_dull("a listener", &notices);
    let receipt = sender.publish(event("one")).unwrap();
    canaries.assert_mute("a receipt", &receipt);
    let refused = sender.publish(Event::json("order.paid", &PAYLOAD).unwrap().id("one")).unwrap_err();
    canaries.assert_mute("an event refused", &refused);
    canaries.assert_mute("a report", &sender.settled(receipt.event()).unwrap());
    loop {
        let heard = notices.next_within(Duration::from_millis(50));
        canaries.assert_dull("what is heard", &heard);
        if heard == Heard::Nothing {
            break;
        }
    }
    canaries.assert_dull("views", &sender.endpoints(&TenantId::default(), None, 9).unwrap());
    sender.close(Duration::from_secs(1)).unwrap();
    canaries.assert_mute("an event too late", &sender.publish(event("two")).unwrap_err());
}

#[tokio::test]
async fn the_tokio_driver_shows_no_secret() {
    let builder = postrider::tokio::Sender::builder().policy(Policy::development());
    canaries().assert_dull("a builder", &builder);
    let sender = builder.volatile().unwrap();
    let registered = sender.put(brief("minted")).await.unwrap();
    let canaries = with_minted(&registered);
    canaries.assert_dull("a sender", &sender);
    canaries.assert_mute("an endpoint refused", &sender.put(endpoint("nowhere")).await.unwrap_err());
    let mut notices = sender.notices().await.unwrap();
    canaries.assert_dull("a listener", &notices);
    let receipt = sender.publish(event("one")).await.unwrap();
    canaries.assert_mute("a receipt", &receipt);
    let refused = sender.publish(Event::json("order.paid", &PAYLOAD).unwrap().id("one")).await.unwrap_err();
    canaries.assert_mute("an event refused", &refused);
    canaries.assert_mute("a report", &sender.settled(receipt.event()).await.unwrap());
    canaries.assert_dull("views", &sender.endpoints(&TenantId::default(), None, 9).await.unwrap());
    sender.close(Duration::from_secs(1)).await.expect("it closes");
    while let Some(heard) = notices.next().await {
        canaries.assert_dull("what is heard", &heard);
    }
    canaries.assert_mute("an event too late", &sender.publish(event("two")).await.unwrap_err());
}

/// An endpoint at a port where nobody listens, tried once, whose secret the driver mints.
fn brief(name: &str) -> Endpoint {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Endpoint::new(name, format!("http://127.0.0.1:{port}/hook?token={TOKEN}"))
        .secret_header("authorization", HEADER)
        .schedule([Duration::ZERO])
}

/// All canaries, with the secret that was minted.
fn with_minted(registered: &Registered) -> Canaries {
    let canaries = canaries().with("the minted key", registered.created().unwrap().expose());
    canaries.assert_dull("what is registered", registered);
    canaries
}

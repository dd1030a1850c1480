//! What a delivery tells, scheme by scheme, and under which address its signature fits.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::receiver::*;
use crate::retry::Rate;
use crate::secret::Secret;
use crate::signing::{Custom, Extent, Scheme, Signer, SigningKey, Unsigned, standard};
use crate::time::{Instant, UnixTime};

const KEY: &str = "a secret";

fn start() -> Now {
    Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_700_000_000) }
}

/// A request that `signer` signs at a time, and the URL that it is sent to.
fn request(signer: &Signer, url: &str, id: &str, body: &str, wall: UnixTime) -> (RequestHead, Bytes, String) {
    let unsigned = Unsigned { method: "POST", url, id: Some(id), headers: &[], body: body.as_bytes() };
    let signed = signer.sign(&unsigned, wall).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in &signed.headers {
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    (RequestHead::new(Method::POST, headers), signed.body.into(), signed.url)
}

/// Everything that a machine says to a request; its deliveries are done.
fn take(
    machine: &mut Receiver,
    now: Now,
    head: RequestHead,
    body: &Bytes,
) -> (Vec<Delivery>, Response, Vec<RecvNotice>) {
    let exchange = ExchangeId::new(1);
    machine.handle(now, RecvInput::Head { exchange, head });
    let (mut deliveries, mut response, mut notices) = (Vec::new(), None, Vec::new());
    loop {
        match machine.poll_output() {
            RecvOutput::ReadBody { .. } => machine.handle(now, RecvInput::Body { exchange, body: body.clone() }),
            RecvOutput::Deliver(delivery) => {
                machine.handle(now, RecvInput::Processed { delivery: delivery.id(), result: Processed::Done });
                deliveries.push(delivery);
            }
            RecvOutput::Respond(answer) => response = Some(answer),
            RecvOutput::Notice(notice) => notices.push(notice),
            RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                panic!("nothing of this was asked for")
            }
            RecvOutput::Wait(_) => return (deliveries, response.expect("everybody is answered"), notices),
        }
    }
}

fn one(config: ReceiverConfig, head: RequestHead, body: &Bytes) -> Result<Delivery, (u16, String)> {
    let mut machine = Receiver::new(config, start());
    let (mut deliveries, response, notices) = take(&mut machine, start(), head, body);
    match deliveries.pop() {
        Some(delivery) => Ok(delivery),
        None => Err((response.status().as_u16(), notices.iter().map(|notice| format!("{notice}")).collect())),
    }
}

/// Every scheme that can be signed here, with a key that signs and one that verifies.
fn schemes() -> Vec<(Verifier, Signer)> {
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut schemes = Vec::new();
    for scheme in Scheme::ALL {
        let key = match scheme {
            Scheme::Custom | Scheme::Discord | Scheme::Sendgrid => continue,
            Scheme::Standard | Scheme::MessageSignatures => whsec,
            Scheme::AdyenNotification | Scheme::AdyenHeader => hex,
            Scheme::Braintree => "public:private",
            _ => KEY,
        };
        schemes.push((Verifier::new(scheme, [key]).unwrap(), Signer::new(scheme, key).unwrap()));
    }
    let custom = || {
        let custom = Custom::sha256("x-mac").id_header("x-id").type_header("x-type").timestamp_header("x-time");
        custom.content("{id}.{timestamp}.{url}.{body}").unwrap()
    };
    schemes.push((Verifier::custom(custom(), [KEY]).unwrap(), Signer::custom(custom(), KEY).unwrap()));
    schemes
}

fn body_for(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::AdyenNotification => {
            r#"{"notificationItems":[{"NotificationRequestItem":{"pspReference":"7914073381342284","merchantAccountCode":"m",
            "merchantReference":"r","amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true",
            "additionalData":{}}}]}"#
        }
        Scheme::Linear => r#"{"id":"evt_1","webhookTimestamp":1700000000000,"type":"t"}"#,
        _ => r#"{"id":"evt_1","type":"t","event":"e","timestamp":"1700000000"}"#,
    }
}

/// Each delivers once, and then knows it again, under every name that the same request can be given.
#[test]
fn every_scheme_delivers_once() {
    for (verifier, signer) in schemes() {
        let scheme = verifier.scheme();
        let (head, body, url) = request(&signer, "https://example.com/in?a=1", "id-1", body_for(scheme), start().wall);
        let config = ReceiverConfig::new(verifier).public_url(PublicUrl::exactly(&url).unwrap());
        let mut machine = Receiver::new(config, start());
        let (deliveries, response, notices) = take(&mut machine, start(), head.clone(), &body);
        assert_eq!((deliveries.len(), response.reason()), (1, Reason::Processed), "{scheme}: {notices:?}");
        let delivery = &deliveries[0];
        assert_eq!((delivery.scheme(), delivery.body()), (scheme, &body));
        assert_eq!(delivery.digest().is_none(), delivery.covered().id && delivery.event_id().is_some(), "{scheme}");
        assert!(delivery.event_id().is_none_or(|id| id == delivery.webhook_id()));
        assert!(delivery.dedup_key() == delivery.webhook_id() || delivery.dedup_key().starts_with("sha256:"));
        let (deliveries, response, _) = take(&mut machine, start(), head.clone(), &body);
        assert_eq!((deliveries.len(), response.reason()), (0, Reason::Repeat), "{scheme}");
        // What is not covered may be another, which makes nothing new of it.
        for name in
            ["x-github-delivery", "x-shopify-webhook-id", "linear-delivery", "x-gitlab-event-uuid", "webhook-id"]
        {
            let mut head = head.clone();
            if head.headers.contains_key(name) {
                head.headers.insert(name, HeaderValue::from_static("changed"));
                let (deliveries, response, _) = take(&mut machine, start(), head, &body);
                let answer = if delivery.covered().id { Reason::Unverified } else { Reason::Repeat };
                assert_eq!((deliveries.len(), response.reason()), (0, answer), "{scheme}");
            }
        }
    }
}

#[test]
fn a_delivery_tells_what_its_scheme_tells() {
    let tell = |scheme, body: &str| {
        let (verifier, signer) = schemes().into_iter().find(|(verifier, _)| verifier.scheme() == scheme).unwrap();
        let (mut head, body, url) = request(&signer, "https://example.com/in", "id-1", body, start().wall);
        head.headers.insert("x-github-event", HeaderValue::from_static("push"));
        head.headers.insert("x-type", HeaderValue::from_static("made"));
        let config = ReceiverConfig::new(verifier).public_url(PublicUrl::exactly(&url).unwrap());
        let delivery = one(config, head, &body).unwrap();
        let text = |text: Option<Cow<'_, str>>| text.map_or_else(|| String::from("-"), Into::into);
        let signed = delivery.timestamp().map_or(0, UnixTime::as_secs);
        format!(
            "{} {} {} {signed} {}",
            delivery.event_id().unwrap_or("-"),
            text(delivery.kind()),
            text(delivery.order()),
            delivery.covered().id
        )
    };
    let body = r#"{"id":"evt_1","type":"t.u","created":17,"event_ts":18}"#;
    assert_eq!(tell(Scheme::Standard, body), "id-1 t.u - 1700000000 true");
    assert_eq!(tell(Scheme::Stripe, body), "evt_1 t.u 17 1700000000 true");
    assert_eq!(tell(Scheme::Github, body), "id-1 push - 0 false");
    assert_eq!(tell(Scheme::Zoom, body), "- - 18 1700000000 false");
    assert_eq!(tell(Scheme::Custom, body), "id-1 made - 1700000000 true");
    assert_eq!(tell(Scheme::Stripe, "not JSON"), "- - - 1700000000 true");
}

#[test]
fn a_payload_that_is_not_the_body_is_delivered() {
    let signer = Signer::new(Scheme::Braintree, "public:private").unwrap();
    let (head, body, _) = request(&signer, "", "x", "<notification/>", start().wall);
    let delivery =
        one(ReceiverConfig::new(Verifier::braintree([("public", "private")]).unwrap()), head, &body).unwrap();
    assert!(delivery.payload().starts_with(b"<notification/>") && delivery.body().starts_with(b"bt_"));
    assert!(matches!(delivery.covered().body, Extent::Part(_)));
}

#[test]
fn the_url_is_put_together_as_it_says() {
    let signer = Signer::new(Scheme::Square, KEY).unwrap();
    let fits = |url: &str, public: Option<PublicUrl>, target: Option<&str>, host: &[&'static str]| {
        let (mut head, body, _) = request(&signer, url, "x", "{}", start().wall);
        for host in host {
            head.headers.append("host", HeaderValue::from_static(host));
        }
        head.headers.insert("x-forwarded-host", HeaderValue::from_static("evil.example"));
        if let Some(target) = target {
            head = head.target(target);
        }
        let mut config = ReceiverConfig::new(Verifier::square([KEY]).unwrap());
        config.public_url = public;
        one(config, head, &body).is_ok()
    };
    let base = |url| Some(PublicUrl::base(url).unwrap());
    let exactly = |url| Some(PublicUrl::exactly(url).unwrap());
    let (target, url) = (Some("/square?shop=1"), "https://example.com/in/square?shop=1");
    for given in ["https://example.com/in", "https://example.com/in/"] {
        assert!(fits(url, base(given), target, &["127.0.0.1:8080"]));
    }
    assert!(!fits(url, base("https://example.com"), target, &[]));
    assert!(fits(url, base("https://example.com/in"), Some("http://inner:1/square?shop=1"), &[]), "a whole URL");
    assert!(fits("https://example.com/", base("https://example.com"), None, &[]), "no target is the root");
    assert!(fits("https://example.com/?a", base("https://example.com"), Some("https://inner?a"), &[]));
    assert!(fits(url, exactly(url), Some("/elsewhere"), &[]));
    assert!(!fits(url, exactly("https://example.com/in/square"), target, &[]));
    let url = "https://example.com/square?shop=1";
    assert!(fits(url, None, target, &["example.com"]));
    assert!(fits(url, None, Some(url), &["inner"]), "what was asked for is a whole URL");
    assert!(!fits(url, None, target, &[]));
    assert!(!fits(url, None, target, &["example.com", "example.com"]), "which of them?");
    assert!(!fits(url, None, target, &["other.example"]));
}

#[test]
fn what_is_no_public_url_is_refused() {
    use PublicUrlError::*;
    let base = |url: &str| PublicUrl::base(url).map(drop);
    assert_eq!(base("https://example.com"), Ok(()));
    assert_eq!(base("http://127.0.0.1:8080/in/"), Ok(()));
    for bad in ["example.com", "/in", "ftp://example.com", "https://", "https:///in", "https://?a", ""] {
        assert_eq!(base(bad), Err(NotAbsolute), "{bad}");
    }
    assert_eq!(base("https://example.com/a b"), Err(NotPlain));
    assert_eq!(base("https://example.com/\u{e9}"), Err(NotPlain));
    assert_eq!(base("https://example.com/#a"), Err(Fragment));
    assert_eq!(base("https://example.com/?a=1"), Err(Query));
    assert_eq!(PublicUrl::exactly("https://example.com/?a=1").map(drop), Ok(()));
    assert_eq!(base(&format!("https://example.com/{}", "a".repeat(2048))), Err(TooLong { bytes: 2068 }));
    let shown = format!("{:?}", PublicUrl::exactly("https://example.com/in?token=canary").unwrap());
    assert!(shown.contains("example.com/in") && !shown.contains("canary"), "{shown}");
}

#[test]
fn senders_in_scopes_of_their_own_share_no_ids() {
    let secrets = [[1; 32], [2; 32], [3; 32]].map(|bytes| Secret::from_bytes(bytes).unwrap());
    let verifier = standard::Verifier::new(&secrets).unwrap();
    // The first two are one sender's, who rotates.
    let mut machine = Receiver::new(ReceiverConfig::new(verifier).scope(secrets[2].id(), 7), start());
    let mut send = |secret: &Secret| {
        let signer = Signer::standard(SigningKey::from(secret));
        let (head, body, _) = request(&signer, "", "id-1", "{}", start().wall);
        let (deliveries, response, _) = take(&mut machine, start(), head, &body);
        (deliveries.first().map(Delivery::scope), response.reason())
    };
    assert_eq!(send(&secrets[0]), (Some(0), Reason::Processed));
    assert_eq!(send(&secrets[1]), (None, Reason::Repeat));
    assert_eq!(send(&secrets[2]), (Some(7), Reason::Processed));
    assert_eq!(send(&secrets[2]), (None, Reason::Repeat));
}

#[test]
fn other_media_types_are_answered_415_before_they_are_read() {
    let config = ReceiverConfig::new(Verifier::github([KEY]).unwrap()).media_types(["application/json"]);
    let signer = Signer::new(Scheme::Github, KEY).unwrap();
    for (types, status) in [
        (&["application/json"][..], 204),
        (&["Application/JSON ; charset=utf-8"], 204),
        (&["application/json5"], 415),
        (&["text/plain"], 415),
        (&["application/json", "application/json"], 415),
        (&[], 415),
    ] {
        let (mut head, body, _) = request(&signer, "", "id-1", "{}", start().wall);
        head.headers.remove("content-type");
        for media_type in types {
            head.headers.append("content-type", HeaderValue::from_static(media_type));
        }
        let mut machine = Receiver::new(config.clone(), start());
        let (deliveries, response, _) = take(&mut machine, start(), head, &body);
        assert_eq!((response.status().as_u16(), deliveries.len()), (status, usize::from(status == 204)), "{types:?}");
        assert_eq!(machine.stats().refused.media_type, u64::from(status == 415));
    }
}

#[test]
fn new_events_above_the_rate_are_answered_429() {
    let mut config = ReceiverConfig::new(Verifier::github([KEY]).unwrap());
    config.limits.rate = Some(Rate::per_minute(30).unwrap().with_burst(2).unwrap());
    let mut machine = Receiver::new(config, start());
    let signer = Signer::new(Scheme::Github, KEY).unwrap();
    let mut send = |body: &str, now: Now| {
        let (head, body, _) = request(&signer, "", body, body, now.wall);
        let (_, response, _) = take(&mut machine, now, head, &body);
        (response.status().as_u16(), response.retry_after())
    };
    let done = (204, None);
    assert_eq!([send("a", start()), send("b", start()), send("a", start())], [done; 3], "a repeat is free");
    let later = start().advanced(Duration::from_millis(500));
    assert_eq!(send("c", later), (429, Some(Duration::from_millis(1500))));
    assert_eq!(send("c", start().advanced(Duration::from_secs(2))), done);
    assert_eq!(machine.stats().refused.over_rate, 1);
}

#[test]
fn clocks_that_differ_are_told() {
    let signer = Signer::new(Scheme::Slack, KEY).unwrap();
    let mut machine = Receiver::new(ReceiverConfig::new(Verifier::slack([KEY]).unwrap()), start());
    let mut send = |signer: &Signer, n: u64, ahead: u64| {
        let now = start().advanced(Duration::from_secs(n));
        let (head, body, _) =
            request(signer, "", "x", &format!("{n}"), now.wall.saturating_sub(Duration::from_secs(ahead)));
        let (_, response, notices) = take(&mut machine, now, head, &body);
        let notices = notices.into_iter().filter(|notice| matches!(notice, RecvNotice::ClockSkew { .. }));
        (response.status().as_u16(), notices.collect::<Vec<_>>())
    };
    let stranger = Signer::new(Scheme::Slack, "guessed").unwrap();
    for n in 0..20 {
        assert_eq!(send(&stranger, n, 400), (401, Vec::new()), "strangers tell nothing");
    }
    let told: Vec<_> = (20..25).flat_map(|n| send(&signer, n, 400).1).collect();
    let skew = ClockSkew::Ahead(Duration::from_secs(400));
    assert_eq!(told, [RecvNotice::ClockSkew { skew, requests: 5 }]);
    assert_eq!(
        format!("{}", told[0]),
        "5 signed requests in a row are too old: this receiver's clock seems to be 400s ahead of the sender's"
    );
    assert_eq!(send(&signer, 25, 10).0, 204, "and one in time ends it");
    let told: Vec<_> = (26..30).flat_map(|n| send(&signer, n, 400).1).collect();
    assert_eq!(told, []);
}

#[test]
fn outcomes_for_good_are_answered_again() {
    let signer = Signer::new(Scheme::Github, KEY).unwrap();
    for (result, reason, status) in [
        (Processed::Queued, Reason::Queued, 202),
        (Processed::Refuse, Reason::Refused, 400),
        (Processed::Unsubscribed, Reason::Unsubscribed, 410),
    ] {
        let mut machine = Receiver::new(ReceiverConfig::new(Verifier::github([KEY]).unwrap()), start());
        let mut answers = Vec::new();
        for number in 1..=2 {
            let exchange = ExchangeId::new(number);
            let (head, body, _) = request(&signer, "", "x", "{}", start().wall);
            machine.handle(start(), RecvInput::Head { exchange, head });
            machine.handle(start(), RecvInput::Body { exchange, body });
            loop {
                match machine.poll_output() {
                    RecvOutput::Deliver(delivery) => {
                        assert_eq!(number, 1, "it is delivered once");
                        machine.handle(start(), RecvInput::Processed { delivery: delivery.id(), result });
                    }
                    RecvOutput::Respond(response) => answers.push((response.reason(), response.status().as_u16())),
                    RecvOutput::ReadBody { .. } | RecvOutput::Notice(_) => {}
                    RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                        panic!("nothing of this was asked for")
                    }
                    RecvOutput::Wait(_) => break,
                }
            }
        }
        assert_eq!(answers, [(reason, status); 2]);
    }
}

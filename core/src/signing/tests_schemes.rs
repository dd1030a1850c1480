//! Laws that hold of every scheme that signs, and the hints that are found.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use proptest::prelude::*;

use super::diagnose::{Cause, Layout, Reading, Strings, UrlForm};
use super::*;
use crate::secret::Secret;
use crate::time::UnixTime;

pub(super) const NOW: u64 = 1_700_000_000;
const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(super) const URL: &str = "https://example.com/hook?a=1";
const HEX: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

fn custom() -> Custom {
    let named = Custom::sha512("x-acme-signature").base64().prefix("s=").id_header("x-acme-id");
    named.millis_header("x-acme-time").type_header("x-acme-type").content("{id}|{timestamp}|{url}|{body}").unwrap()
}

/// The key to sign with and the one to verify with.
pub(super) fn texts(scheme: Scheme) -> (&'static str, &'static str) {
    match scheme {
        Scheme::Standard | Scheme::MessageSignatures => (SHARED, SHARED),
        Scheme::Discord => (HEX, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
        Scheme::AdyenHeader | Scheme::AdyenNotification => (HEX, HEX),
        Scheme::Braintree => ("public:private", "public:private"),
        _ => ("whsec_some secret", "whsec_some secret"),
    }
}

/// Both sides of every scheme that signs.
pub(super) fn pairs() -> Vec<(Signer, Verifier)> {
    let mut pairs = vec![(Signer::custom(custom(), "k").unwrap(), Verifier::custom(custom(), ["k"]).unwrap())];
    for scheme in Scheme::ALL {
        let (signing, verifying) = texts(scheme);
        match (Signer::new(scheme, signing), Verifier::new(scheme, [verifying])) {
            (Ok(signer), Ok(verifier)) => pairs.push((signer, verifier)),
            (Err(VerifierError::NeedsMore | VerifierError::NeedsFeature { .. }), _) => {}
            other => panic!("{scheme}: {other:?}"),
        }
    }
    #[cfg(feature = "ed25519")]
    {
        let key = PrivateKey::from_seed(&[7; 32]);
        let public = key.public();
        let standard = Verifier::standard([public.to_string()]).unwrap();
        pairs.push((Signer::standard_pair(key.clone()), standard));
        let message = Verifier::message_signatures([MessageKey::ed25519(public).named("k")]).unwrap();
        pairs.push((Signer::message_pair(key).key_name("k"), message));
    }
    pairs
}

/// A body that the scheme signs, with any text in it.
fn body(scheme: Scheme, any: &[u8]) -> Vec<u8> {
    let text = serde_json::to_string(&String::from_utf8_lossy(any)).unwrap();
    match scheme {
        Scheme::Linear => format!(r#"{{"webhookTimestamp":{NOW}123,"x":{text}}}"#).into_bytes(),
        Scheme::Mailgun => format!(r#"{{"event":{text}}}"#).into_bytes(),
        Scheme::AdyenNotification => {
            let item = format!(r#"{{"pspReference":{text},"amount":{{"value":1,"currency":"EUR"}},"success":"true"}}"#);
            format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{item}}}]}}"#).into_bytes()
        }
        _ => any.to_vec(),
    }
}

fn sign(signer: &Signer, id: &str, any: &[u8]) -> Signed {
    let body = body(signer.scheme(), any);
    let headers = [("content-type", "application/json"), ("X-Acme-Signature", "to be replaced")];
    let request = Unsigned { method: "POST", url: URL, id: Some(id), headers: &headers, body: &body };
    signer.sign(&request, UnixTime::from_millis(NOW * 1000 + 123)).unwrap()
}

fn received<'r>(
    url: &'r str,
    headers: &'r Vec<(String, Vec<u8>)>,
    body: &'r [u8],
) -> Received<'r, Vec<(String, Vec<u8>)>> {
    Received { method: "POST", url, headers, body }
}

fn raw(headers: &[(String, String)]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect()
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_signed_verifies(id in "[!#-\\[\\]-~]{1,256}", any in prop::collection::vec(any::<u8>(), 0..300)) {
        for (signer, verifier) in pairs() {
            let signed = sign(&signer, &id, &any);
            let headers = raw(&signed.headers);
            let request = received(&signed.url, &headers, &signed.body);
            let verified = verifier.verify(&request, at(NOW));
            prop_assert!(verified.is_ok(), "{:?}: {verified:?}", signer);
            let verified = verified.unwrap();
            prop_assert_eq!(verified.body(), &signed.body[..]);
            prop_assert_eq!(verified.scheme(), signer.scheme());
            if signer.scheme() == Scheme::Braintree {
                prop_assert_eq!(verified.payload(), &any[..]);
            }
            if matches!(verified.scheme().facts().id.place, Place::Header(_)) || signer.scheme() == Scheme::Custom {
                let sent = headers.iter().any(|(_, value)| value == id.as_bytes());
                let found = verified.id();
                prop_assert_eq!(found.as_deref(), sent.then_some(&id[..]));
            }
            let compared = verified.scheme().facts().tolerance.is_some() || signer.scheme() == Scheme::Custom;
            prop_assert_eq!(verified.timestamp().map(UnixTime::as_secs), compared.then_some(NOW));
            let again = verifier.verify(&request, at(NOW)).unwrap();
            prop_assert_eq!(verified.digest(), again.digest());
        }
    }

    /// Whichever bit of the signature, the time, what is covered of the rest or the body is turned over, the request is
    /// refused; of what is not covered, the digest tells that it is the same request.
    #[test]
    fn no_signed_bit_can_be_changed(
        any in prop::collection::vec(any::<u8>(), 1..100),
        which: prop::sample::Index,
        place: prop::sample::Index,
        bit in 0u32..8,
    ) {
        for (signer, verifier) in pairs() {
            let verifier = verifier.any_time();
            let signed = sign(&signer, "msg_1", &any);
            let (mut url, mut headers, mut body) = (signed.url.clone(), raw(&signed.headers), signed.body.clone());
            let right = {
                let request = received(&url, &headers, &body);
                let verified = verifier.verify(&request, at(NOW)).unwrap();
                (verified.digest(), verified.covered())
            };
            let spare: &[&str] = match (right.1.id, verifier.scheme().facts().id.place) {
                (false, Place::Header(name)) => &[name, "content-type"],
                _ => &["content-type"],
            };
            headers.retain(|(name, _)| name != "X-Acme-Signature" && !spare.contains(&&name[..]));
            let chosen = which.index(headers.len() + 2);
            let bytes = if chosen < headers.len() {
                &mut headers[chosen].1
            } else if chosen == headers.len() && right.1.body == Extent::Whole && !body.is_empty() {
                &mut body
            } else if verifier.scheme().signs_url() || signer.scheme() == Scheme::Custom {
                // Letters of either case are one host to the sender, but not one text.
                let at = place.index(url.len());
                url = url.bytes().enumerate().map(|(n, b)| char::from(if n == at { b ^ 1 } else { b })).collect();
                let request = received(&url, &headers, &body);
                prop_assert!(verifier.verify(&request, at_now()).is_err(), "{:?} with {url}", signer);
                continue;
            } else {
                continue;
            };
            if bytes.is_empty() {
                continue;
            }
            let at = place.index(bytes.len());
            // Discord's digits may be of either case.
            let bit = if signer.scheme() == Scheme::Discord && bit == 5 { 4 } else { bit };
            bytes[at] ^= 1 << bit;
            let request = received(&url, &headers, &body);
            let got = verifier.verify(&request, at_now());
            prop_assert!(got.is_err(), "{:?}: {headers:?} {got:?}", signer);
        }
    }

    #[test]
    fn any_request_is_answered(
        names in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        value in prop_oneof![
            "[ -~]{0,80}",
            "(t|ts)=[0-9]{1,12}[,;] ?(v1|h1|v0)=[0-9a-f]{64}",
            "sig1=\\((\"@[a-z-]{1,12}\" ?){0,3}\\);created=[0-9]{1,12}",
            "sig1=:[A-Za-z0-9+/]{43}=:",
        ],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[\\[{\":,}\\]a-z0-9]{0,60}".prop_map(String::into_bytes),
            "bt_(signature|payload)=[a-z|&=]{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        let known: Vec<String> = pairs()
            .iter()
            .flat_map(|(signer, _)| sign(signer, "1", b"{}").headers)
            .map(|(name, _)| name)
            .chain(["x-twilio-email-event-webhook-signature".into(), "content-digest".into()])
            .collect();
        let headers: Vec<(String, Vec<u8>)> =
            names.iter().map(|index| (index.get(&known).clone(), value.clone().into_bytes())).collect();
        for (_, verifier) in pairs() {
            let request = received("not a url", &headers, &body);
            let error = verifier.verify(&request, at(NOW)).expect_err("nobody guesses a signature");
            prop_assert_eq!(error.wire_text(), VerifyError::BadId.wire_text());
            let _ = error.hints(&verifier, &request, &["whsec_AAAA", " x "], at(NOW));
        }
    }
}

fn at_now() -> UnixTime {
    at(NOW)
}

#[test]
fn forms_of_twilio_are_signed_field_by_field() {
    let signer = Signer::new(Scheme::Twilio, "12345").unwrap();
    let headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
    let request = Unsigned { method: "POST", url: URL, id: None, headers: &headers, body: b"b=2&a=%2B1+x&a=&b=2" };
    let signed = signer.sign(&request, at(NOW)).unwrap();
    assert_eq!(signed.url, URL);
    let verifier = Verifier::twilio(["12345"]).unwrap();
    let says = |url: &str, body: &[u8]| {
        let headers = raw(&signed.headers);
        verifier.verify(&received(url, &headers, body), at(NOW)).map(|_| ())
    };
    let no_match = Err(VerifyError::NoMatch { signatures: 1 });
    assert_eq!(says(URL, b"b=2&a=%2B1+x&a=&b=2"), Ok(()));
    assert_eq!(says(URL, b"a=&a=%2b1%20x&b=2"), Ok(()), "the same fields");
    assert_eq!(says("https://example.com:443/hook?a=1", b"a=&a=%2B1+x&b=2"), Ok(()));
    assert_eq!(says("https://example.com/hook?a=2", b"a=&a=%2B1+x&b=2"), no_match);
    assert_eq!(says(URL, b"a=&a=%2B1+x&b=3"), no_match);
    let headers = vec![("x-twilio-signature".to_string(), raw(&signed.headers)[1].1.clone())];
    let bare = verifier.verify(&received(URL, &headers, b"{}"), at(NOW)).unwrap_err();
    assert_eq!(bare, VerifyError::Field { field: "bodySHA256" }, "a body that nothing binds is not accepted");
    let sha256 =
        [&headers[..], &[("x-twilio-webhooks-signature-settings".into(), b"key=k,algorithm=HMAC_SHA256".into())]];
    let bare = verifier.verify(&received(URL, &sha256.concat(), b""), at(NOW)).unwrap_err();
    assert_eq!(bare, VerifyError::NoSignature { items: 1 }, "20 bytes are no HMAC-SHA256");
}

#[test]
fn message_signatures_must_cover_what_is_demanded() {
    let secret = Secret::parse(SHARED).unwrap();
    let request = Unsigned { method: "POST", url: URL, id: None, headers: &[("Host", "example.com")], body: b"{}" };
    let signed = |components: &[&'static str]| {
        let signer = Signer::message(&secret).components(components.iter().copied());
        signer.sign(&request, at(NOW)).unwrap()
    };
    let verifier = Verifier::message_signatures([MessageKey::shared(&secret)]).unwrap();
    let says = |verifier: &Verifier, components: &[&'static str], body: &[u8]| {
        let signed = signed(components);
        let headers = raw(&signed.headers);
        verifier.verify(&received(URL, &headers, body), at(NOW)).map(|verified| verified.covered().body)
    };
    let lacks = |component| Err(VerifyError::NotCovered { component });
    let all = ["@method", "@authority", "@path", "content-digest"];
    assert_eq!(says(&verifier, &all, b"{}"), Ok(Extent::Whole));
    assert_eq!(says(&verifier, &all, b"{} "), Err(VerifyError::BodyDigest { field: "content-digest" }));
    assert_eq!(says(&verifier, &all[..3], b"{}"), lacks("content-digest"));
    assert_eq!(says(&verifier, &all[1..], b"{}"), lacks("@method"));
    assert_eq!(says(&verifier, &["@method", "@authority", "content-digest"], b"{}"), lacks("@target-uri"));
    let lax = verifier.require(["host"]);
    assert_eq!(says(&lax, &["host"], b"anything"), Ok(Extent::Nothing));
    assert_eq!(says(&lax, &["@method"], b"{}"), lacks("host"));
    let named = Verifier::message_signatures([MessageKey::shared(&secret).named("mine")]).unwrap();
    assert_eq!(says(&named, &all, b"{}"), Err(VerifyError::NoMatch { signatures: 1 }), "nobody named a key");
}

#[test]
fn a_signature_that_is_void_or_has_no_time_is_refused() {
    let secret = Secret::parse(SHARED).unwrap();
    let verifier = Verifier::message_signatures([MessageKey::shared(&secret)]).unwrap().require([]);
    let says = |verifier: &Verifier, params: &str| {
        let base = format!("\"@method\": POST\n\"@signature-params\": (\"@method\"){params}");
        let key = keys::Key::new(Algorithm::HmacSha256, secret.expose()).unwrap();
        let mac = keys::Text::Base64.encode(&key.sign(&[base.as_bytes()]).unwrap());
        let headers = vec![
            ("Signature-Input".to_string(), format!("a=(\"@method\"){params}").into_bytes()),
            ("Signature".to_string(), format!("a=:{mac}:").into_bytes()),
        ];
        verifier.verify(&received(URL, &headers, b""), at(NOW)).map(|verified| verified.covered().time)
    };
    assert_eq!(says(&verifier, &format!(";created={NOW}")), Ok(true));
    assert_eq!(says(&verifier, &format!(";created={NOW};expires={NOW}")), Ok(true));
    let ago = Duration::from_secs(1);
    assert_eq!(says(&verifier, &format!(";created={NOW};expires={}", NOW - 1)), Err(VerifyError::Expired { ago }));
    assert_eq!(says(&verifier, ""), Err(VerifyError::Field { field: "created" }));
    assert_eq!(says(&verifier.clone().any_time(), ""), Ok(false));
    let other = VerifyError::NoMatch { signatures: 1 };
    assert_eq!(says(&verifier, &format!(";created={NOW};alg=\"hmac-sha256\"")), Ok(true));
    assert_eq!(says(&verifier, &format!(";created={NOW};alg=\"ed25519\"")), Err(other), "the algorithm is the key's");
    assert_eq!(says(&verifier, &format!(";created={NOW};alg=ed25519")), Err(other));
}

#[test]
fn the_old_header_of_github_counts_for_nothing_beside_the_new() {
    let verifier = Verifier::new(Scheme::GithubSha1, ["secret"]).unwrap();
    let signature = "sha1=b17e04cbb22afa8ffbff8796fc1894ed27badd9e";
    let mut headers = vec![("X-Hub-Signature".to_string(), signature.into())];
    assert!(verifier.verify(&received("", &headers, b"{\"a\": \"z\"}"), at(NOW)).is_ok());
    headers.push(("X-Hub-Signature-256".to_string(), b"sha256=".to_vec()));
    let error = verifier.verify(&received("", &headers, b"{\"a\": \"z\"}"), at(NOW)).unwrap_err();
    assert_eq!((error, error.status_hint()), (VerifyError::Downgrade { header: "x-hub-signature-256" }, 401));
}

#[test]
fn keys_are_counted_read_and_never_empty() {
    for scheme in Scheme::ALL {
        let none = Verifier::new(scheme, Vec::<&str>::new()).unwrap_err();
        let expected = if scheme == Scheme::Custom { VerifierError::NeedsMore } else { VerifierError::NoKeys };
        assert_eq!(none, expected, "{scheme}");
        let (_, text) = texts(scheme);
        let many = Verifier::new(scheme, vec![text; 11]);
        let refused = matches!(many, Err(VerifierError::TooManyKeys | VerifierError::NeedsMore));
        let unreadable = matches!(many, Err(VerifierError::Key { .. } | VerifierError::NeedsFeature { .. }));
        assert!(refused || unreadable, "{scheme}: {many:?}");
        for empty in ["", ":", "name:"] {
            if empty.is_empty() || scheme == Scheme::Braintree {
                assert!(Verifier::new(scheme, [empty]).is_err(), "{scheme} takes an empty key");
                assert!(Signer::new(scheme, empty).is_err(), "{scheme} signs with an empty key");
            }
        }
    }
    let short = Verifier::standard(["whsec_AAAA"]).unwrap_err();
    assert!(matches!(short, VerifierError::Key { index: 0, why: KeyError::Secret(_) }), "{short}");
    assert!(Verifier::standard_allow_size(1..=8, ["whsec_AAAA"]).is_ok());
    assert!(Verifier::standard_allow_size(4..=8, ["whsec_AAAA"]).is_err());
    let whole = Verifier::stripe(["whsec_AAAA"]).unwrap();
    assert!(!format!("{whole:?}").contains("AAAA"));
}

#[test]
fn hints_name_the_mistake() {
    let body = br#"{"b":1,"a":"x"}"#;
    let now = at(NOW);
    let hints = |verifier: &Verifier, signed: &Signed, url: &str, body: &[u8], secrets: &[&str], now: UnixTime| {
        let request = Received { method: "POST", url, headers: &signed.headers, body };
        let error = verifier.verify(&request, now).expect_err("only refusals are explained");
        error.hints(verifier, &request, secrets, now)
    };
    let request = Unsigned { method: "POST", url: URL, id: Some("1"), headers: &[], body };
    let by = |scheme, key: &str| Signer::new(scheme, key).unwrap().sign(&request, now).unwrap();
    let stripe = Verifier::stripe(["whsec_one"]).unwrap();

    let signed = by(Scheme::Stripe, "whsec_one");
    let off = |secs, ahead| Cause::ClockOff { by: Duration::from_secs(secs), ahead };
    assert_eq!(hints(&stripe, &signed, URL, body, &[], at(NOW + 900)), [off(900, false)]);
    assert_eq!(hints(&stripe, &signed, URL, body, &[], at(NOW - 900)), [off(900, true)]);
    let again = Cause::Reserialised { layout: Layout::Minified, sorted: false, strings: Strings::Same };
    assert_eq!(hints(&stripe, &signed, URL, br#"{ "b": 1, "a": "x" }"#, &[], now), [again]);
    assert_eq!(hints(&stripe, &signed, URL, br#"{ "b": 1, "a": "x" }"#, &[], at(NOW + 900)), [again, off(900, false)]);
    assert_eq!(hints(&stripe, &signed, URL, b"other", &["whsec_one"], at(NOW + 900)), [], "nothing is blamed in vain");

    let read = |reading| [Cause::KeyRead { secret: 0, reading }];
    let key = |signing: &str| hints(&stripe, &by(Scheme::Stripe, signing), URL, body, &["whsec_MfKQ9r8G\n"], now);
    assert_eq!(key("whsec_MfKQ9r8G"), read(Reading::Trimmed));
    assert_eq!(key("MfKQ9r8G"), read(Reading::Text));
    let other = hints(&stripe, &by(Scheme::Stripe, "whsec_two"), URL, body, &["whsec_one", "whsec_two"], now);
    assert!(matches!(other[..], [Cause::AnotherKey { secret: 1, .. }]), "{other:?}");

    let square = Verifier::square(["k"]).unwrap();
    let url = |url| hints(&square, &by(Scheme::Square, "k"), url, body, &[], now);
    let wrong = |form| [Cause::WrongUrl { form }];
    assert_eq!(url("http://example.com/hook?a=1"), wrong(UrlForm::Https));
    assert_eq!(url("https://example.com/hook/?a=1"), wrong(UrlForm::NoSlash));
    assert_eq!(url("https://example.com:443/hook?a=1"), wrong(UrlForm::NoPort));

    let scheme = |scheme| [Cause::OtherScheme { scheme }];
    assert_eq!(hints(&stripe, &by(Scheme::Slack, "k"), URL, body, &[], now), scheme(Scheme::Slack));
    assert_eq!(hints(&stripe, &by(Scheme::Standard, SHARED), URL, body, &[], now), scheme(Scheme::Standard));
    let bitbucket = Verifier::new(Scheme::Bitbucket, ["k"]).unwrap();
    assert_eq!(hints(&bitbucket, &by(Scheme::Intercom, "k"), URL, body, &[], now), scheme(Scheme::Intercom));
    let standard = Verifier::standard([SHARED]).unwrap();
    assert_eq!(hints(&standard, &by(Scheme::Github, "k"), URL, body, &[], now), scheme(Scheme::Github));
    assert_eq!(hints(&standard, &by(Scheme::Standard, SHARED), URL, b"{}\n", &[], now), []);
    #[cfg(feature = "ed25519")]
    {
        let pair = PrivateKey::from_seed(&[1; 32]);
        let signed = Signer::standard_pair(pair.clone()).sign(&request, now).unwrap();
        assert_eq!(hints(&standard, &signed, URL, body, &[], now), [Cause::KeyFamily { public: true }]);
        let public = Verifier::standard([pair.public().to_string()]).unwrap();
        let signed = by(Scheme::Standard, SHARED);
        assert_eq!(hints(&public, &signed, URL, body, &[], now), [Cause::KeyFamily { public: false }]);
    }
}

//! The published and collected vectors, and the laws of signing.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::Value;

use super::standard::{ID, SIGNATURE, TIMESTAMP, Verifier, VerifierError, VerifyError, sign};
use super::{Headers, SigningKey};
use crate::limits::{RING_KEYS, SIGNATURES};
use crate::secret::{Secret, SecretError};
use crate::signing;
use crate::time::UnixTime;

const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: u64 = 1_700_000_000;

fn secret(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from(Secret::from_bytes([byte; 32]).unwrap())
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

/// The three headers, signed by `key`.
fn signed(key: &SigningKey, id: &str, secs: u64, body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let signature = sign([key], id, secs, body);
    alloc::vec![(ID, id.into()), (TIMESTAMP, secs.to_string().into()), (SIGNATURE, signature.into())]
}

fn verifier() -> Verifier {
    Verifier::new([&secret(TEXT)]).unwrap()
}

mod vectors {
    use super::*;

    const FILE: &str = include_str!("../../../tests/vectors/signatures_standard_webhooks.json");

    #[derive(Default, Debug, PartialEq)]
    struct Counts {
        sign: usize,
        verify: usize,
        parse: usize,
        asymmetric: usize,
    }

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
    }

    fn body(input: &Value) -> Vec<u8> {
        STANDARD.decode(text(input, "body_b64")).unwrap()
    }

    /// Whether `got` is what the case expects, or one of what it allows.
    fn allowed(case: &Value, got: impl Fn(&Value) -> bool) -> bool {
        let also = case["also_ok"].as_array().map_or(&[][..], Vec::as_slice);
        core::iter::once(&case["expected"]).chain(also).any(got)
    }

    fn run_sign(case: &Value, input: &Value) {
        let key = SigningKey::from(secret(text(input, "secret")));
        let signature = sign([&key], text(input, "msg_id"), input["timestamp"].as_u64().unwrap(), &body(input));
        assert!(allowed(case, |e| e["signature"] == signature.as_str()), "{case}\n got {signature}");
    }

    fn run_verify(case: &Value, input: &Value) {
        let secrets = input["secrets"].as_array().unwrap().iter().map(|s| secret(s.as_str().unwrap()));
        let verifier = Verifier::new(secrets)
            .unwrap()
            .tolerance(Duration::from_secs(input["tolerance_s"].as_u64().unwrap()))
            .accept_svix_names(text(input, "header_family") == "svix-or-webhook");
        let headers: Vec<(&str, &str)> = input["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let (body, now) = (body(input), at(input["now"].as_u64().unwrap()));
        let got = verifier.verify(&headers, &body, now);
        let verdict = if got.is_ok() { "valid" } else { "invalid" };
        assert!(allowed(case, |e| e["verdict"] == verdict), "{case}\n got {got:?}");

        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(verifier.verify(&map, &body, now), got, "{case}: the same from a header map");
    }

    fn run_parse(case: &Value, input: &Value) {
        let given = text(input, "secret");
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let got = Secret::parse_any_size(given).map(|secret| hex(secret.expose()));
        let fits = |e: &Value| match &got {
            Ok(key) => e["ok"] == true && e["key_hex"] == key.as_str(),
            Err(_) => e["ok"] == false,
        };
        assert!(allowed(case, fits), "{case}\n got {got:?}");
        let usual = case["expected"]["spec_size_ok"] == true && got.is_ok();
        assert_eq!(Secret::parse(given).is_ok(), usual, "{case}: the size that the specification names");
    }

    /// The same through the verifier of every scheme.
    fn run_any(case: &Value, input: &Value) {
        let secrets = input["secrets"].as_array().unwrap().iter().map(|s| s.as_str().unwrap());
        let verifier = match signing::Verifier::standard(secrets) {
            Err(VerifierError::NeedsFeature { feature: "ed25519" }) if !cfg!(feature = "ed25519") => return,
            verifier => verifier.unwrap(),
        };
        let verifier = verifier
            .tolerance(Duration::from_secs(input["tolerance_s"].as_u64().unwrap()))
            .accept_svix_names(text(input, "header_family") == "svix-or-webhook");
        let pairs = input["headers"].as_array().unwrap();
        let headers: Vec<_> = pairs.iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
        let body = body(input);
        let received = signing::Received { method: "POST", url: "", headers: &headers, body: &body };
        let got = verifier.verify(&received, at(input["now"].as_u64().unwrap()));
        let verdict = if got.is_ok() { "valid" } else { "invalid" };
        assert!(allowed(case, |e| e["verdict"] == verdict), "{case}\n got {got:?}");
    }

    /// Whether a case is one of the asymmetric scheme. Its keys are refused by name where a shared key is needed.
    fn is_asymmetric(input: &Value) -> bool {
        let given = match text(input, "op") {
            "verify" => input["secrets"][0].as_str().unwrap(),
            _ => text(input, "secret"),
        };
        let expected = match given.get(..5) {
            Some("whsk_") => SecretError::PrivateKey,
            Some("whpk_") => SecretError::PublicKey,
            _ => return false,
        };
        assert_eq!(Secret::parse_any_size(given).err(), Some(expected));
        input["kind"] != "symmetric"
    }

    #[cfg(feature = "ed25519")]
    fn run_asymmetric(case: &Value, input: &Value) {
        use signing::{PrivateKey, PublicKey};
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        match (text(input, "op"), input["kind"].as_str()) {
            ("sign", _) => {
                let (key, mut out) = (PrivateKey::parse(text(input, "secret")).unwrap(), Vec::new());
                key.write_v1a(text(input, "msg_id"), input["timestamp"].as_u64().unwrap(), &body(input), &mut out);
                let signature = String::from_utf8(out).unwrap();
                assert!(allowed(case, |e| e["signature"] == signature.as_str()), "{case}\n got {signature}");
                assert_eq!(case["expected"]["public_key"], key.public().to_string(), "{case}");
                assert_eq!(key.reveal(), text(input, "secret"));
            }
            ("verify", _) => run_any(case, input),
            (_, Some("ed25519-secret")) => {
                let got = PrivateKey::parse(text(input, "secret")).map(|key| key.public().to_string());
                let fits =
                    |e: &Value| e["ok"] == got.is_ok() && (got.is_err() || e["public_key"] == *got.as_ref().unwrap());
                assert!(allowed(case, fits), "{case}\n got {got:?}");
                if let Some(seed) = case["expected"]["seed_hex"].as_str() {
                    let seed = signing::keys::from_hex(seed).unwrap();
                    let key = PrivateKey::from_seed(seed.as_slice().try_into().unwrap());
                    assert_eq!(key.reveal(), text(input, "secret"));
                }
            }
            (_, _) => {
                let got = PublicKey::parse(text(input, "secret")).map(|key| hex(&key.to_bytes()));
                let fits =
                    |e: &Value| e["ok"] == got.is_ok() && (got.is_err() || e["public_hex"] == *got.as_ref().unwrap());
                assert!(allowed(case, fits), "{case}\n got {got:?}");
            }
        }
    }

    #[cfg(not(feature = "ed25519"))]
    fn run_asymmetric(_: &Value, _: &Value) {}

    #[test]
    fn every_case_passes() {
        let cases: Vec<Value> = serde_json::from_str(FILE).unwrap();
        let mut counts = Counts::default();
        for case in &cases {
            let input = &case["input"];
            if is_asymmetric(input) {
                run_asymmetric(case, input);
                counts.asymmetric += 1;
                continue;
            }
            match text(input, "op") {
                "sign" => (run_sign(case, input), counts.sign += 1),
                "verify" => {
                    run_any(case, input);
                    (run_verify(case, input), counts.verify += 1)
                }
                "parse_secret" => (run_parse(case, input), counts.parse += 1),
                other => panic!("{other} is no operation of this file"),
            };
        }
        assert_eq!(counts, Counts { sign: 16, verify: 73, parse: 10, asymmetric: 18 });
    }
}

#[test]
fn the_order_of_checks_names_the_first_thing_wrong() {
    let good = signed(&SigningKey::from(secret(TEXT)), "msg_1", NOW, b"{}");
    let with = |name: &'static str, value: &[u8]| -> Vec<(&'static str, Vec<u8>)> {
        good.iter().map(|(n, v)| (*n, if *n == name { value.to_vec() } else { v.clone() })).collect()
    };
    let refused = |headers: &[(&'static str, Vec<u8>)]| verifier().verify(headers, b"{}", at(NOW)).unwrap_err();
    for header in [ID, TIMESTAMP, SIGNATURE] {
        let without: Vec<_> = good.iter().filter(|(name, _)| *name != header).cloned().collect();
        assert_eq!(refused(&without), VerifyError::Missing { header });
        let twice: Vec<_> = good.iter().chain(good.iter().filter(|(name, _)| *name == header)).cloned().collect();
        assert_eq!(refused(&twice), VerifyError::Duplicate { header });
    }
    for bad in [&b""[..], b"a b", b"a\t", b"a\xff", b"\xc3\xa9", &[b'a'; 257]] {
        assert_eq!(refused(&with(ID, bad)), VerifyError::BadId);
    }
    for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "9223372036854775808", "99999999999999999999"] {
        assert_eq!(refused(&with(TIMESTAMP, bad.as_bytes())), VerifyError::BadTimestamp, "{bad}");
    }
    assert!(matches!(refused(&with(TIMESTAMP, b"0")), VerifyError::TooOld { .. }));
    assert!(matches!(refused(&with(TIMESTAMP, b"9223372036854775807")), VerifyError::TooNew { .. }));
    assert_eq!(refused(&with(SIGNATURE, b"")), VerifyError::NoSignature { items: 0 });
    assert_eq!(refused(&with(SIGNATURE, b"v1,AAAA v2,x")), VerifyError::NoSignature { items: 2 });
    assert_eq!(refused(&with(ID, b"msg_2")), VerifyError::NoMatch { signatures: 1 });
    assert_eq!(refused(&with(ID, &[b'a'; 256])), VerifyError::NoMatch { signatures: 1 });
}

#[test]
fn tolerance_is_exact_on_both_sides() {
    let key = SigningKey::from(secret(TEXT));
    let headers = signed(&key, "a", NOW, b"");
    let says = |verifier: &Verifier, now: u64| verifier.verify(&headers, b"", at(now)).map(|_| ());
    let too_old = |age, tolerance| {
        Err(VerifyError::TooOld { age: Duration::from_secs(age), tolerance: Duration::from_secs(tolerance) })
    };
    let too_new = |lead, tolerance| {
        Err(VerifyError::TooNew { lead: Duration::from_secs(lead), tolerance: Duration::from_secs(tolerance) })
    };
    let usual = verifier();
    assert_eq!(says(&usual, NOW + 300), Ok(()));
    assert_eq!(says(&usual, NOW + 301), too_old(301, 300));
    assert_eq!(says(&usual, NOW - 300), Ok(()));
    assert_eq!(says(&usual, NOW - 301), too_new(301, 300));
    let sides = verifier().past_tolerance(Duration::from_secs(10)).future_tolerance(Duration::from_secs(2));
    assert_eq!(says(&sides, NOW + 10), Ok(()));
    assert_eq!(says(&sides, NOW + 11), too_old(11, 10));
    assert_eq!(says(&sides, NOW - 2), Ok(()));
    assert_eq!(says(&sides, NOW - 3), too_new(3, 2));
    let none = verifier().tolerance(Duration::ZERO);
    assert_eq!(says(&none, NOW), Ok(()));
    assert_eq!(says(&none, NOW + 1), too_old(1, 0));
    assert_eq!(says(&none, NOW - 1), too_new(1, 0));
    let late = none.verify(&headers, b"", UnixTime::from_millis(NOW * 1000 + 999));
    assert_eq!(late.map(|_| ()), Ok(()), "the same second");
}

#[test]
fn signatures_beyond_the_bound_are_not_looked_at() {
    let good = sign([&SigningKey::from(secret(TEXT))], "a", NOW, b"");
    let says = |before: &str, n: usize| {
        let list = format!("{}{good}", before.repeat(n));
        verifier().verify(&[(ID, "a"), (TIMESTAMP, "1700000000"), (SIGNATURE, &list)], b"", at(NOW)).map(|_| ())
    };
    let other = format!("{} ", sign([&key(1)], "a", NOW, b""));
    assert_eq!(says(&other, SIGNATURES - 1), Ok(()));
    assert_eq!(says(&other, SIGNATURES), Err(VerifyError::NoMatch { signatures: SIGNATURES }));
    assert_eq!(says("x ", SIGNATURES), Err(VerifyError::NoSignature { items: SIGNATURES }));
    assert_eq!(says(" ", 10 * SIGNATURES), Ok(()), "empty items count for nothing");
}

#[test]
fn a_ring_has_one_to_ten_keys_and_the_key_that_signed_is_named() {
    let ring: Vec<SigningKey> = (0..11).map(key).collect();
    assert_eq!(Verifier::new(Vec::<SigningKey>::new()).unwrap_err(), VerifierError::NoKeys);
    assert_eq!(Verifier::new(ring.clone()).unwrap_err(), VerifierError::TooManyKeys);
    let verifier = Verifier::new(ring[..RING_KEYS].to_vec()).unwrap();
    for signer in &ring[..RING_KEYS] {
        let headers = signed(signer, "a", NOW, b"b");
        assert_eq!(verifier.verify(&headers, b"b", at(NOW)).unwrap().key(), signer.id());
    }
    assert!(verifier.verify(&signed(&ring[10], "a", NOW, b"b"), b"b", at(NOW)).is_err());
    let both = sign([&ring[7], &ring[3]], "a", NOW, b"b");
    let headers = [(ID, "a"), (TIMESTAMP, "1700000000"), (SIGNATURE, &both)];
    assert_eq!(verifier.verify(&headers, b"b", at(NOW)).unwrap().key(), ring[3].id(), "the first of the ring");
}

#[test]
fn names_are_found_in_any_case_and_every_value_is_seen() {
    let pairs = [("Webhook-ID", "1"), ("x", "2"), ("webhook-id", "3")];
    let seen = |values: &mut dyn Iterator<Item = &[u8]>| values.flatten().copied().collect::<Vec<u8>>();
    assert_eq!(seen(&mut pairs.all(ID)), b"13");
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
    }
    assert_eq!(seen(&mut map.all(ID)), b"13");
}

#[test]
fn svix_names_win_only_when_complete_and_only_when_asked_for() {
    let key = SigningKey::from(secret(TEXT));
    let good = sign([&key], "a", NOW, b"");
    let webhook = [(ID, "a"), (TIMESTAMP, "1700000000"), (SIGNATURE, good.as_str())];
    let svix = [("svix-id", "a"), ("svix-timestamp", "1700000000"), ("svix-signature", "v1,")];
    let both = [webhook, svix].concat();
    let asked = verifier().accept_svix_names(true);
    assert!(verifier().verify(&both, b"", at(NOW)).is_ok());
    assert_eq!(asked.verify(&both, b"", at(NOW)).unwrap_err(), VerifyError::NoSignature { items: 1 });
    assert!(asked.verify(&both[..5], b"", at(NOW)).is_ok(), "an incomplete family is passed over");
    let missing = |header| VerifyError::Missing { header };
    assert_eq!(asked.verify(&svix[..2], b"", at(NOW)).unwrap_err(), missing("svix-signature"));
    assert_eq!(verifier().verify(&svix[..], b"", at(NOW)).unwrap_err(), missing(ID));
}

#[test]
fn the_sender_learns_a_status_and_nothing_else() {
    let errors = [
        (VerifyError::Missing { header: ID }, 400),
        (VerifyError::Duplicate { header: ID }, 400),
        (VerifyError::BadId, 400),
        (VerifyError::BadTimestamp, 400),
        (VerifyError::TooOld { age: Duration::MAX, tolerance: Duration::ZERO }, 401),
        (VerifyError::TooNew { lead: Duration::MAX, tolerance: Duration::ZERO }, 401),
        (VerifyError::NoSignature { items: 1 }, 401),
        (VerifyError::NoMatch { signatures: 1 }, 401),
    ];
    for (error, status) in errors {
        assert_eq!((error.status_hint(), error.wire_text()), (status, errors[0].0.wire_text()), "{error}");
    }
}

#[test]
fn nothing_shows_a_secret_or_a_body() {
    let secret = Secret::from_bytes(b"canary-canary-canary-canary-0123").unwrap();
    let hex: String = secret.expose().iter().map(|b| format!("{b:02x}")).collect();
    let numbers = format!("{:?}", secret.expose());
    let revealed = secret.reveal();
    let traces = ["canary", revealed.strip_prefix("whsec_").unwrap(), &hex, &hex.to_uppercase(), &numbers[1..30]];
    let key = SigningKey::from(&secret);
    let verifier = Verifier::new([key.clone()]).unwrap();
    let headers = signed(&key, "a", NOW, b"canary body");
    let verified = verifier.verify(&headers, b"canary body", at(NOW)).unwrap();
    let refusals = [(&headers[..], NOW + 999), (&headers[..], NOW), (&headers[1..], NOW)]
        .map(|(headers, now)| verifier.verify(headers, b"canary", at(now)).unwrap_err());
    let said = format!("{secret:?} {secret:#?} {key:?} {key:#?} {verifier:?} {verified:?} {refusals:?}");
    let said = refusals.iter().fold(said, |said, error| said + &error.to_string());
    for trace in traces {
        assert!(!said.contains(trace), "{trace} is in {said}");
    }
    assert!(said.contains(&secret.id().to_string()), "the key's name may be said");
}

prop_compose! {
    fn any_id()(id in "[!-~]{1,256}") -> String { id }
}

proptest! {
    #[test]
    fn what_is_signed_verifies(
        id in any_id(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        shared in prop::collection::vec(any::<u8>(), 24..=64),
        secs in 0..=i64::MAX.unsigned_abs() / 1000,
        others in 0u8..9,
        millis in 0u64..1000,
    ) {
        let secret = Secret::from_bytes(&shared).unwrap();
        let key = SigningKey::from(&secret);
        let ring = (0..others).map(self::key).chain([key.clone()]);
        let headers = signed(&key, &id, secs, &body);
        let now = UnixTime::from_millis(secs * 1000 + millis);
        let verifier = Verifier::new(ring).unwrap();
        let verified = verifier.verify(&headers, &body, now).unwrap();
        prop_assert_eq!(verified.id(), id);
        prop_assert_eq!(verified.body(), &body[..]);
        prop_assert_eq!(verified.timestamp(), at(secs));
        prop_assert_eq!(verified.key(), secret.id());
    }

    /// Whichever bit of the id, timestamp, signature or body is turned over, the request is refused.
    #[test]
    fn no_bit_can_be_changed(
        id in any_id(),
        body in prop::collection::vec(any::<u8>(), 1..100),
        part in 0usize..4,
        place: prop::sample::Index,
        bit in 0u32..8,
    ) {
        let key = key(7);
        let verifier = Verifier::new([key.clone()]).unwrap().tolerance(Duration::MAX);
        let (mut headers, mut body) = (signed(&key, &id, NOW, &body), body);
        prop_assert!(verifier.verify(&headers, &body, at(NOW)).is_ok());
        let bytes = if part == 3 { &mut body } else { &mut headers[part].1 };
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(verifier.verify(&headers, &body, at(NOW)).is_err());
    }

    #[test]
    fn any_headers_are_answered(
        headers in prop::collection::vec((
            prop::sample::select(alloc::vec![ID, TIMESTAMP, SIGNATURE, "svix-id", "svix-timestamp", "svix-signature"]),
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..100),
                "(v1,[A-Za-z0-9+/=]{0,44} ?){0,40}".prop_map(String::into_bytes),
                "[0-9]{0,22}|[!-~]{1,20}".prop_map(String::into_bytes),
            ],
        ), 0..7),
        now: u64,
    ) {
        let verifier = verifier().accept_svix_names(true).tolerance(Duration::MAX);
        let now = UnixTime::from_millis(now);
        let error = verifier.verify(&headers, b"{}", now).expect_err("nobody guesses a signature");
        let _ = super::diagnose::diagnose(&verifier, &[TEXT], &headers, b"{}", now, &error);
    }

    #[test]
    fn the_bytes_written_are_the_mac(id in any_id(), secs: u64, body in prop::collection::vec(any::<u8>(), 0..100)) {
        let key = key(9);
        let mut room = [0; SigningKey::V1_BYTES];
        let mut rest = &mut room[..];
        key.write_v1(&id, secs, &body, &mut rest);
        prop_assert!(rest.is_empty());
        let text = format!("v1,{}", STANDARD.encode(key.sign(&id, secs, &body)));
        prop_assert_eq!(&room[..], text.as_bytes());
        prop_assert_eq!(key.sign(&id, secs, &body), {
            let text = [format!("{id}.{secs}.").as_bytes(), &body].concat();
            let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&[9; 32]).unwrap();
            hmac::Mac::update(&mut mac, &text);
            <[u8; 32]>::from(hmac::Mac::finalize(mac).into_bytes())
        });
    }
}

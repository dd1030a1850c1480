//! The collected vectors of every dialect, through the public interface.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::keys::{Algorithm, Key};
use super::*;
use crate::secret::Secret;
use crate::time::UnixTime;

/// The project's copy of the cases.
fn cases() -> Vec<Value> {
    let own = include_str!("../../../tests/vectors/signatures_dialects.json");
    serde_json::from_str(own).unwrap()
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    STANDARD.decode(text(value, name)).unwrap()
}

fn from_hex(value: &Value, name: &str) -> Vec<u8> {
    keys::from_hex(text(value, name)).unwrap().to_vec()
}

fn secrets(input: &Value) -> Vec<&str> {
    input["secrets"].as_array().unwrap().iter().map(|secret| secret.as_str().unwrap()).collect()
}

/// The verifier that a case asks for. None where the scheme is not built in.
fn verifier(input: &Value) -> Option<Verifier> {
    let verifier = match text(input, "dialect") {
        "braintree" => Verifier::braintree(secrets(input).into_iter().map(|key| (text(input, "public_id"), key))),
        "http-message-signatures" => {
            let key = match text(input, "algorithm") {
                "hmac-sha256" => MessageKey::shared(&Secret::from_bytes_any_size(bytes(input, "key_b64")).unwrap()),
                #[cfg(feature = "ed25519")]
                _ => MessageKey::ed25519(PublicKey::from_bytes(&from_hex(input, "public_hex")).unwrap()),
                #[cfg(not(feature = "ed25519"))]
                _ => return None,
            };
            Verifier::message_signatures([key]).map(|verifier| verifier.require([]))
        }
        name => Verifier::new(name.parse().unwrap(), secrets(input)),
    };
    match verifier {
        Err(VerifierError::NeedsFeature { .. }) => None,
        Ok(verifier) => Some(match verifier.scheme().facts().tolerance {
            Some(_) => verifier.tolerance(Duration::from_secs(input["tolerance_s"].as_u64().unwrap())),
            None => verifier,
        }),
        Err(error) => panic!("{input}: {error}"),
    }
}

fn run_verify(case: &Value, input: &Value) -> bool {
    let Some(verifier) = verifier(input) else { return false };
    let pairs = input["headers"].as_array().unwrap();
    let headers: Vec<(&str, &str)> =
        pairs.iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
    let body = bytes(input, "body_b64");
    let url = input["url"].as_str().unwrap_or("https://example.com/");
    let received = Received { method: text(input, "method"), url, headers: &headers, body: &body };
    let now = UnixTime::from_secs(input["now"].as_u64().unwrap());
    let got = verifier.verify(&received, now);
    let verdict = if got.is_ok() { "valid" } else { "invalid" };
    let allowed = core::iter::once(&case["expected"]).chain(case["also_ok"].as_array().into_iter().flatten());
    assert!(allowed.into_iter().any(|expected| expected["verdict"] == verdict), "{case}\n got {got:?}");
    let named = |reason: &str| match reason {
        "missing_header" => matches!(got, Err(VerifyError::Missing { .. })),
        "too_old" => matches!(got, Err(VerifyError::TooOld { .. })),
        "too_new" => matches!(got, Err(VerifyError::TooNew { .. })),
        other => panic!("{other} is no reason of this file"),
    };
    assert!(case["expected"]["reason"].as_str().is_none_or(named), "{case}\n got {got:?}");
    if let Some(base) = case["expected"]["signature_base"].as_str() {
        let label = headers.iter().find(|(name, _)| *name == "Signature-Input").unwrap().1.split_once('=').unwrap().0;
        assert_eq!(message::signature_base(&received, label).as_deref(), Some(base));
    }
    true
}

fn run_primitive(case: &Value, input: &Value) -> bool {
    let hex = |bytes: &[u8]| keys::Text::Hex.encode(bytes);
    match text(input, "algorithm") {
        "hmac-sha256" => {
            let key = Key::new(Algorithm::HmacSha256, &from_hex(input, "key_hex")).unwrap();
            let mac = key.sign(&[&from_hex(input, "message_hex")]).unwrap();
            assert_eq!(case["expected"]["mac_hex"], hex(&mac), "{case}");
        }
        #[cfg(feature = "ed25519")]
        "ed25519" => {
            let seed: [u8; 32] = from_hex(input, "seed_hex").try_into().unwrap();
            let (pair, message) = (PrivateKey::from_seed(&seed), from_hex(input, "message_hex"));
            assert_eq!(case["expected"]["signature_hex"], hex(&pair.sign(&message)), "{case}");
            assert_eq!(text(input, "public_hex"), hex(&pair.public().to_bytes()));
            assert!(pair.public().verifies(&message, &pair.sign(&message)));
        }
        #[cfg(not(feature = "ed25519"))]
        "ed25519" => return false,
        "content-digest" => {
            let body = bytes(input, "body_b64");
            let header = match text(input, "hash") {
                "sha-256" => message::content_digest(&body),
                _ => message::content_digest_sha512(&body),
            };
            assert_eq!(case["expected"]["header"], header.as_str(), "{case}");
        }
        other => panic!("{other} is no algorithm of this file"),
    }
    true
}

#[test]
fn every_dialect_case_passes() {
    let (mut run, mut left) = (0, Vec::new());
    for case in &cases() {
        let input = &case["input"];
        let done = match text(input, "op") {
            "verify" => run_verify(case, input),
            "primitive" => run_primitive(case, input),
            other => panic!("{other} is no operation of this file"),
        };
        run += usize::from(done);
        left.extend((!done).then(|| text(case, "id").to_string()));
    }
    let without = |on: bool, count: usize| if on { 0 } else { count };
    let expected = without(cfg!(feature = "ed25519"), 11) + without(cfg!(feature = "p256"), 3);
    assert_eq!((run, left.len()), (149 - expected, expected), "{left:?}");
}

/// A row without a vector would be a guess.
#[test]
fn every_scheme_has_a_vector_that_is_accepted_and_one_that_is_not() {
    let cases = cases();
    for scheme in Scheme::ALL {
        if matches!(scheme, Scheme::Custom | Scheme::Standard) {
            continue;
        }
        for verdict in ["valid", "invalid"] {
            let has =
                |case: &&Value| case["input"]["dialect"] == scheme.name() && case["expected"]["verdict"] == verdict;
            assert!(cases.iter().any(|case| has(&case)), "{scheme} has no case that is {verdict}");
        }
    }
}

#[test]
fn schemes_are_found_by_name_and_say_what_they_are() {
    for scheme in Scheme::ALL {
        assert_eq!(scheme.name().parse(), Ok(scheme));
        let facts = scheme.facts();
        assert!(!facts.gap.is_empty() && !facts.gap.contains('\n') && !facts.source.is_empty(), "{scheme}");
        let whole = facts.body == Extent::Whole;
        for source in [facts.id, facts.time, facts.kind, facts.order] {
            let in_body = matches!(source.place, Place::Json(_));
            assert!(!in_body || !whole || source.covered, "{scheme}: the body is covered, so is what is in it");
            assert!(source.place != Place::Nowhere || !source.covered, "{scheme}");
        }
    }
    assert_eq!("standard".parse(), Ok(Scheme::Standard));
    let error = "strype".parse::<Scheme>().unwrap_err().to_string();
    assert!(error.contains("stripe, slack"), "{error}");
}

//! Standard Webhooks: signing, verifying, and reading keys.

use std::time::Duration;

use postrider_core::secret::Secret;
use postrider_core::signing::{PrivateKey, PublicKey, Received, SigningKey, Verifier, standard};
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

use super::hex;
use crate::case::Input;

/// Sizes of shared keys that are taken: cases give keys of every size, as receivers may that are told to.
const SIZES: std::ops::RangeInclusive<usize> = 1..=1024;

pub(super) fn sign(input: &Input) -> Result<Value, String> {
    let (secret, id, at, body) =
        (input.text("secret")?, input.text("msg_id")?, input.number("timestamp")?, input.bytes("body_b64")?);
    let scheme = match input.maybe_text("scheme")? {
        Some(scheme) => scheme,
        None if secret.starts_with("whsk_") => "v1a",
        None => "v1",
    };
    match scheme {
        "v1" => Ok(match Secret::parse_any_size(secret) {
            Ok(secret) => json!({ "signature": standard::sign([&SigningKey::new(&secret)], id, at, &body) }),
            Err(why) => json!({ "error": why.to_string() }),
        }),
        "v1a" => Ok(match PrivateKey::parse(secret) {
            Ok(key) => {
                let mut signature = Vec::new();
                key.write_v1a(id, at, &body, &mut signature);
                let signature = String::from_utf8_lossy(&signature);
                json!({ "signature": signature, "public_key": key.public().to_string() })
            }
            Err(why) => json!({ "error": why.to_string() }),
        }),
        other => Err(format!("the scheme `{other}` is not supported")),
    }
}

pub(super) fn verify(input: &Input) -> Result<Value, String> {
    let svix = match input.maybe_text("header_family")?.unwrap_or("webhook") {
        "webhook" => false,
        "svix-or-webhook" | "svix" => true,
        other => return Err(format!("the header family `{other}` is not supported")),
    };
    let verifier = match Verifier::standard_allow_size(SIZES, input.texts("secrets")?) {
        Ok(verifier) => verifier.accept_svix_names(svix),
        Err(why) => return Ok(json!({ "verdict": "invalid", "reason": why.to_string() })),
    };
    answer(verifier, input, "")
}

/// What a verifier says about the request of a case.
pub(super) fn answer(verifier: Verifier, input: &Input, url: &str) -> Result<Value, String> {
    let tolerance = input.maybe_number("tolerance_s")?.map(Duration::from_secs);
    let timed = verifier.scheme().facts().tolerance.is_some();
    let verifier = match tolerance.filter(|_| timed) {
        Some(tolerance) => verifier.tolerance(tolerance),
        None => verifier,
    };
    let (method, body, headers) =
        (input.maybe_text("method")?.unwrap_or("POST"), input.bytes("body_b64")?, input.headers()?);
    let received = Received { method, url, headers: &headers, body: &body };
    Ok(match verifier.verify(&received, UnixTime::from_secs(input.number("now")?)) {
        Ok(_) => json!({ "verdict": "valid" }),
        Err(why) => json!({ "verdict": "invalid", "reason": why.to_string() }),
    })
}

pub(super) fn parse_secret(input: &Input) -> Result<Value, String> {
    let given = input.text("secret")?;
    let refused = |why: String| json!({ "ok": false, "reason": why });
    match input.maybe_text("kind")?.unwrap_or("symmetric") {
        "symmetric" => Ok(match Secret::parse_any_size(given) {
            Ok(secret) => json!({
                "ok": true,
                "key_hex": hex(secret.expose()),
                "spec_size_ok": Secret::parse(given).is_ok(),
            }),
            Err(why) => refused(why.to_string()),
        }),
        "ed25519-secret" => Ok(match PrivateKey::parse(given) {
            // It shows its seed only in the text that it is written as: prefix, and base64 of seed and public key.
            Ok(key) => {
                let public = key.public();
                let seed = seed_of(&key.reveal()).ok_or("a key is written with its seed")?;
                json!({
                    "ok": true,
                    "public_key": public.to_string(),
                    "public_hex": hex(&public.to_bytes()),
                    "seed_hex": seed,
                })
            }
            Err(why) => refused(why.to_string()),
        }),
        "ed25519-public" => Ok(match PublicKey::parse(given) {
            Ok(key) => json!({ "ok": true, "public_hex": hex(&key.to_bytes()), "public_key": key.to_string() }),
            Err(why) => refused(why.to_string()),
        }),
        other => Err(format!("keys of kind `{other}` are not supported")),
    }
}

fn seed_of(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.strip_prefix("whsk_")?).ok()?;
    bytes.get(..32).map(hex)
}

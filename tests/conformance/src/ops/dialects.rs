//! The dialects of other senders, and the primitives below them.

use postrider_core::secret::Secret;
use postrider_core::signing::message::{content_digest, content_digest_sha512, signature_base};
use postrider_core::signing::{
    Custom, MessageKey, PrivateKey, PublicKey, Received, Scheme, Signer, Unsigned, Verifier, VerifierError,
};
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

use super::{hex, standard};
use crate::case::Input;

pub(super) fn verify(input: &Input) -> Result<Value, String> {
    let verifier = match input.text("dialect")? {
        "standard-webhooks" => return standard::verify(input),
        "braintree" => {
            let public = input.text("public_id")?;
            Verifier::braintree(input.texts("secrets")?.into_iter().map(|private| (public, private)))
        }
        "http-message-signatures" => message_verifier(input)?,
        name => {
            let scheme: Scheme = name.parse().map_err(|_| format!("the dialect `{name}` is not supported"))?;
            Verifier::new(scheme, input.texts("secrets")?)
        }
    };
    let verifier = match verifier {
        Ok(verifier) => verifier,
        Err(why @ VerifierError::NeedsFeature { .. }) => return Err(why.to_string()),
        Err(why) => return Ok(json!({ "verdict": "invalid", "reason": why.to_string() })),
    };
    let url = input.maybe_text("url")?.unwrap_or("https://example.com/");
    let mut told = standard::answer(verifier, input, url)?;
    if let Some(base) = base(input, url)? {
        told["signature_base"] = base.into();
    }
    Ok(told)
}

fn message_verifier(input: &Input) -> Result<Result<Verifier, VerifierError>, String> {
    let key = match input.text("algorithm")? {
        "hmac-sha256" => {
            let secret = Secret::from_bytes_any_size(input.bytes("key_b64")?);
            MessageKey::shared(&secret.map_err(|why| format!("`key_b64`: {why}"))?)
        }
        "ed25519" => {
            let key = PublicKey::from_bytes(&input.hex("public_hex")?);
            MessageKey::ed25519(key.map_err(|why| format!("`public_hex`: {why}"))?)
        }
        other => return Err(format!("the algorithm `{other}` is not supported")),
    };
    // The published examples cover what they like, and so may cases.
    Ok(Verifier::message_signatures([key]).map(|verifier| verifier.require([])))
}

/// The signature base of the first label that the request names.
fn base(input: &Input, url: &str) -> Result<Option<String>, String> {
    let (headers, body) = (input.headers()?, input.bytes("body_b64")?);
    let label = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("signature-input"));
    let label = label.and_then(|(_, value)| value.split_once('=')).map(|(label, _)| label.trim());
    let method = input.maybe_text("method")?.unwrap_or("POST");
    Ok(label.and_then(|label| signature_base(&Received { method, url, headers: &headers, body: &body }, label)))
}

pub(super) fn primitive(input: &Input) -> Result<Value, String> {
    match input.text("algorithm")? {
        "hmac-sha256" => mac(input, Custom::sha256("x-signature")),
        "hmac-sha512" => mac(input, Custom::sha512("x-signature")),
        "ed25519" => {
            let seed: [u8; 32] = input.hex("seed_hex")?.try_into().map_err(|_| "`seed_hex` has not 32 bytes")?;
            let (pair, message) = (PrivateKey::from_seed(&seed), input.hex("message_hex")?);
            if input.has("public_hex") && input.hex("public_hex")? != pair.public().to_bytes() {
                return Ok(json!({ "public_hex": hex(&pair.public().to_bytes()) }));
            }
            let signature = pair.sign(&message);
            if !pair.public().verifies(&message, &signature) {
                return Err("the signature does not verify".to_owned());
            }
            Ok(json!({ "signature_hex": hex(&signature) }))
        }
        "content-digest" => {
            let body = input.bytes("body_b64")?;
            match input.text("hash")? {
                "sha-256" => Ok(json!({ "header": content_digest(&body) })),
                "sha-512" => Ok(json!({ "header": content_digest_sha512(&body) })),
                other => Err(format!("the hash `{other}` is not supported")),
            }
        }
        other => Err(format!("the algorithm `{other}` is not supported")),
    }
}

/// The MAC of a message: the signature of a scheme that signs the body and nothing else.
fn mac(input: &Input, scheme: Custom) -> Result<Value, String> {
    let (key, body) = (input.hex("key_hex")?, input.hex("message_hex")?);
    let signer = Signer::custom(scheme.hex_keys(), &hex(&key)).map_err(|why| why.to_string())?;
    let request = Unsigned { method: "POST", url: "https://example.com/", id: None, headers: &[], body: &body };
    let signed = signer.sign(&request, UnixTime::EPOCH).map_err(|why| why.to_string())?;
    let mac = signed.headers.iter().find(|(name, _)| name == "x-signature").map(|(_, value)| value.clone());
    Ok(json!({ "mac_hex": mac.ok_or("nothing was signed")? }))
}

//! HTTP Message Signatures (RFC 9421) over requests, with `Content-Digest` (RFC 9530): the sender says what it covers.
//!
//! Of the algorithms of RFC 9421, section 3.3, these are built: `hmac-sha256`, and `ed25519` with the feature of that
//! name. Of the components all derived ones of requests and whole headers; the parameters `sf`, `key`, `bs`, `req` and
//! `tr` are not, and a signature that covers one of them counts for nothing.

mod base;
mod fields;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256, Sha512};

use self::fields::{Bare, Component, Input};
use super::error::{KeyError, VerifierError, VerifyError};
use super::keys::{self, Algorithm, Key, Listed};
use super::received::{Received, Window};
use super::rows::Name;
use super::scheme::{Extent, Scheme, Source};
use super::verified::{Signed, Told, Verified};
use super::{Headers, facts};
use crate::limits::{RING_KEYS, SIGNATURES};
use crate::secret::Secret;
use crate::time::UnixTime;

/// The header that says what is signed.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The header that carries the signatures.
pub const SIGNATURE: &str = "signature";
/// The header that carries digests of the body.
pub const CONTENT_DIGEST: &str = "content-digest";

const INPUT: Name<'static> = Name::fixed(SIGNATURE_INPUT);
const SIGNED: Name<'static> = Name::fixed(SIGNATURE);
const DIGEST: Name<'static> = Name::fixed(CONTENT_DIGEST);

/// A key that verifies message signatures, perhaps by the name that signatures call it by.
#[derive(Clone)]
pub struct MessageKey {
    key: Key,
    algorithm: Algorithm,
    name: Option<String>,
}

impl MessageKey {
    /// A shared key, for `hmac-sha256`.
    pub fn shared(secret: &Secret) -> Self {
        let key = Key::new(Algorithm::HmacSha256, secret.expose()).expect("a secret is not empty");
        Self { key, algorithm: Algorithm::HmacSha256, name: None }
    }

    /// The public half of a pair, for `ed25519`.
    #[cfg(feature = "ed25519")]
    pub fn ed25519(key: super::PublicKey) -> Self {
        let key = Key::new(Algorithm::Ed25519, &key.to_bytes()).expect("it is a public key");
        Self { key, algorithm: Algorithm::Ed25519, name: None }
    }

    /// The same key for signatures with this `keyid` only.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Reads `whsec_` and base64 of any size, or `whpk_` and base64.
    pub(super) fn read(text: &str) -> Result<Self, VerifierError> {
        let refused = |why| VerifierError::Key { index: 0, why };
        if text.starts_with("whpk_") {
            #[cfg(feature = "ed25519")]
            return Ok(Self::ed25519(super::PublicKey::parse(text).map_err(refused)?));
            #[cfg(not(feature = "ed25519"))]
            return Err(VerifierError::NeedsFeature { feature: "ed25519" });
        }
        Secret::parse_any_size(text).map(|secret| Self::shared(&secret)).map_err(|why| refused(KeyError::Secret(why)))
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageKey({}, {:?}, {:?})", self.key.id(), self.algorithm, self.name)
    }
}

/// What a verifier demands of message signatures.
#[derive(Clone)]
pub(super) struct Policy {
    keys: Vec<MessageKey>,
    /// The components that a signature must cover; without a list the method, the address, and the digest of a body.
    demanded: Option<Vec<&'static str>>,
}

impl Policy {
    pub(super) fn new(keys: impl IntoIterator<Item = MessageKey>) -> Result<Self, VerifierError> {
        let keys: Vec<_> = keys.into_iter().take(RING_KEYS + 1).collect();
        match keys.len() {
            0 => Err(VerifierError::NoKeys),
            1..=RING_KEYS => Ok(Self { keys, demanded: None }),
            _ => Err(VerifierError::TooManyKeys),
        }
    }

    /// The same with this one key.
    pub(super) fn with_key(&self, key: MessageKey) -> Self {
        Self { keys: alloc::vec![key], demanded: self.demanded.clone() }
    }

    pub(super) fn demand(&mut self, components: Vec<&'static str>) {
        self.demanded = Some(components);
    }

    /// Accepts the first signature that a known key made and that covers what is demanded.
    pub(super) fn check<'r, H: Headers + ?Sized>(
        &self,
        window: &Window,
        received: &Received<'r, H>,
        now: UnixTime,
    ) -> Result<Verified<'r>, VerifyError> {
        let input = text(received.one(INPUT)?, INPUT)?;
        let signature = text(received.one(SIGNED)?, SIGNED)?;
        let inputs = fields::inputs(input).ok_or(VerifyError::BadHeader { header: SIGNATURE_INPUT })?;
        let signatures = fields::bytes(signature).ok_or(VerifyError::BadHeader { header: SIGNATURE })?;
        let told = Told { id: received.id(Name::fixed("webhook-id"))?, ..Told::default() };
        let mut refused = VerifyError::NoSignature { items: signatures.len().min(SIGNATURES) };
        for (label, signature) in signatures.iter().take(SIGNATURES) {
            let Some(input) = inputs.iter().find(|input| input.label == *label) else { continue };
            match self.check_one(input, signature, window, received, now) {
                Ok((key, digest)) => return Ok(verified(input, received, told, key, digest)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Checks one signature: what it covers, its times, the digest of the body, and last the signature.
    fn check_one<H: Headers + ?Sized>(
        &self,
        input: &Input<'_>,
        signature: &[u8],
        window: &Window,
        received: &Received<'_, H>,
        now: UnixTime,
    ) -> Result<(crate::secret::KeyId, [u8; 32]), VerifyError> {
        self.demands(input, received.body.is_empty())?;
        match (integer(input, "created")?, *window == Window::OPEN) {
            (Some(created), _) => window.check(created, now)?,
            (None, true) => {}
            (None, false) => return Err(VerifyError::Field { field: "created" }),
        }
        if let Some(expires) = integer(input, "expires")?
            && expires < now.as_secs()
        {
            return Err(VerifyError::Expired { ago: core::time::Duration::from_secs(now.as_secs() - expires) });
        }
        if covers(input, CONTENT_DIGEST) {
            check_digest(received)?;
        }
        let base = base::base(input, received).ok_or(VerifyError::BadHeader { header: SIGNATURE_INPUT })?;
        let fits = |key: &&MessageKey| {
            let named = key.name.as_ref().is_none_or(|name| string(input, "keyid") == Some(name));
            let told = input.params.iter().any(|(name, _)| *name == "alg");
            let algorithm = !told || string(input, "alg") == alg_name(key.algorithm);
            let mut listed = Listed::new();
            listed.push_bytes(key.algorithm, signature);
            named && algorithm && listed.len() > 0 && key.key.signed(&[&base], &listed)
        };
        let mut fitting: Vec<_> = self.keys.iter().filter(fits).collect();
        fitting.truncate(1);
        let key = fitting.first().ok_or(VerifyError::NoMatch { signatures: 1 })?;
        Ok((key.key.id(), keys::digest(&[&base])))
    }

    fn demands(&self, input: &Input<'_>, no_body: bool) -> Result<(), VerifyError> {
        let usual: &[&str] = if no_body { &["@method"] } else { &["@method", CONTENT_DIGEST] };
        let demanded = self.demanded.as_deref().unwrap_or(usual);
        if let Some(component) = demanded.iter().find(|component| !covers(input, component)) {
            return Err(VerifyError::NotCovered { component });
        }
        let address = covers(input, "@target-uri") || (covers(input, "@authority") && covers_path(input));
        if self.demanded.is_none() && !address {
            return Err(VerifyError::NotCovered { component: "@target-uri" });
        }
        Ok(())
    }
}

/// The signature base of the signature with this label (RFC 9421, section 2.5), to compare with the other side's.
/// None when the headers carry no such signature, or when it covers what is not there or not supported.
pub fn signature_base<H: Headers + ?Sized>(received: &Received<'_, H>, label: &str) -> Option<String> {
    let inputs = fields::inputs(text(received.one(INPUT).ok()?, INPUT).ok()?)?;
    let input = inputs.iter().find(|input| input.label == label)?;
    String::from_utf8(base::base(input, received)?).ok()
}

/// The value of `Content-Digest` for a body, with SHA-256 (RFC 9530, section 2).
pub fn content_digest(body: &[u8]) -> String {
    alloc::format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// The same with SHA-512.
pub fn content_digest_sha512(body: &[u8]) -> String {
    alloc::format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(body)))
}

/// What signs messages.
#[derive(Clone)]
pub(super) enum MessageSigner {
    Shared(Key),
    #[cfg(feature = "ed25519")]
    Pair(super::PrivateKey),
}

impl MessageSigner {
    /// The headers that sign a request: what is covered, and the signature, both under this label.
    pub(super) fn sign<H: Headers + ?Sized>(
        &self,
        label: &str,
        name: Option<&str>,
        components: &[&str],
        received: &Received<'_, H>,
        created: UnixTime,
    ) -> Option<[(String, String); 2]> {
        let algorithm = match self {
            Self::Shared(_) => Algorithm::HmacSha256,
            #[cfg(feature = "ed25519")]
            Self::Pair(_) => Algorithm::Ed25519,
        };
        let mut params = alloc::vec![("created", Bare::Integer(i64::try_from(created.as_secs()).ok()?))];
        params.extend(name.map(|name| ("keyid", Bare::Text(name.into()))));
        params.extend(alg_name(algorithm).map(|alg| ("alg", Bare::Text(alg.into()))));
        let components = components.iter().map(|name| Component { name: (*name).into(), params: Vec::new() }).collect();
        let input = Input { label, components, params };
        let base = base::base(&input, received)?;
        let signature = match self {
            Self::Shared(key) => key.sign(&[&base])?,
            #[cfg(feature = "ed25519")]
            Self::Pair(key) => key.sign(&base).to_vec(),
        };
        Some([
            (SIGNATURE_INPUT.into(), alloc::format!("{label}={}", base::params(&input))),
            (SIGNATURE.into(), alloc::format!("{label}=:{}:", STANDARD.encode(signature))),
        ])
    }
}

fn verified<'r, H: ?Sized>(
    input: &Input<'_>,
    received: &Received<'r, H>,
    told: Told<'r>,
    key: crate::secret::KeyId,
    digest: [u8; 32],
) -> Verified<'r> {
    let mut facts = facts::MESSAGE_SIGNATURES;
    facts.id.covered = told.id.is_some() && covers(input, "webhook-id");
    facts.body = if covers(input, CONTENT_DIGEST) { Extent::Whole } else { Extent::Nothing };
    let created = integer(input, "created").ok().flatten();
    if created.is_none() {
        facts.time = Source::NONE;
    }
    Verified {
        scheme: Scheme::MessageSignatures,
        body: received.body,
        payload: None,
        key,
        time: created.map(UnixTime::from_secs),
        facts,
        told,
        signed: Signed::Hashed(digest),
    }
}

/// Whether the body has every digest that is told of it and known, and at least one.
fn check_digest<H: Headers + ?Sized>(received: &Received<'_, H>) -> Result<(), VerifyError> {
    let told = fields::bytes(text(received.one(DIGEST)?, DIGEST)?);
    let told = told.ok_or(VerifyError::BadHeader { header: CONTENT_DIGEST })?;
    let mut known = 0;
    for (name, digest) in told {
        let fits = match name {
            "sha-256" => Sha256::digest(received.body)[..] == digest[..],
            "sha-512" => Sha512::digest(received.body)[..] == digest[..],
            _ => continue,
        };
        if !fits {
            return Err(VerifyError::BodyDigest { field: CONTENT_DIGEST });
        }
        known += 1;
    }
    if known == 0 { Err(VerifyError::BodyDigest { field: CONTENT_DIGEST }) } else { Ok(()) }
}

fn text<'h>(value: &'h [u8], name: Name<'static>) -> Result<&'h str, VerifyError> {
    core::str::from_utf8(value).map_err(|_| VerifyError::BadHeader { header: name.said })
}

/// Whether a component is covered, and whole.
fn covers(input: &Input<'_>, name: &str) -> bool {
    input.components.iter().any(|component| component.name == name && component.params.is_empty())
}

fn covers_path(input: &Input<'_>) -> bool {
    covers(input, "@request-target") || covers(input, "@path")
}

/// A time among the parameters.
fn integer(input: &Input<'_>, name: &'static str) -> Result<Option<u64>, VerifyError> {
    match input.params.iter().find(|(other, _)| *other == name) {
        None => Ok(None),
        Some((_, Bare::Integer(number))) => u64::try_from(*number).map(Some).map_err(|_| VerifyError::BadTimestamp),
        Some((_, Bare::Text(_) | Bare::Other(_) | Bare::True)) => Err(VerifyError::BadTimestamp),
    }
}

fn string<'i>(input: &'i Input<'_>, name: &str) -> Option<&'i str> {
    match input.params.iter().find(|(other, _)| *other == name) {
        Some((_, Bare::Text(text))) => Some(text),
        None | Some((_, Bare::Integer(_) | Bare::Other(_) | Bare::True)) => None,
    }
}

/// The name of an algorithm (RFC 9421, section 6.2.2).
fn alg_name(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::HmacSha256 => Some("hmac-sha256"),
        Algorithm::Ed25519 => Some("ed25519"),
        Algorithm::HmacSha1 | Algorithm::HmacSha512 | Algorithm::EcdsaP256 => None,
    }
}

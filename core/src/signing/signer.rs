//! The other side: requests signed as each scheme signs them, for senders, and for tests of receivers.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::bodies::{adyen, braintree::Braintree, mailgun, twilio, twilio::Twilio};
use super::custom::Custom;
use super::error::{KeyError, VerifierError};
use super::keys::{Algorithm, Key, KeyText, Ring};
use super::message::{CONTENT_DIGEST, MessageSigner, SIGNATURE, SIGNATURE_INPUT, content_digest};
use super::received::{Received, visible};
use super::row::Material;
use super::rows::{self, Row};
use super::scheme::Family;
use super::{Scheme, SigningKey, standard};
use crate::secret::Secret;
use crate::time::UnixTime;

/// What a message signature covers unless told otherwise.
const COMPONENTS: [&str; 3] = ["@method", "@target-uri", CONTENT_DIGEST];

/// A request that is not signed yet.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is what a signer needs of a request, and callers make it")]
pub struct Unsigned<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The whole URL, as the receiver knows it.
    pub url: &'a str,
    /// The event's id. Schemes that send one in a header need it.
    pub id: Option<&'a str>,
    /// The headers that are sent anyway. Those that the scheme sets are set anew.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, or with Braintree and Mailgun what the body is made around.
    pub body: &'a [u8],
}

/// A signed request. These are the bytes that were signed, so these are the ones to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signed {
    /// The URL. Twilio's carries the digest of a body that is no form.
    pub url: String,
    /// Every header, the given ones first.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Signs requests of one scheme with one key.
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Standard(SigningKey),
    #[cfg(feature = "ed25519")]
    StandardPair(super::PrivateKey),
    Row(&'static Row<'static>, Key),
    #[cfg(feature = "ed25519")]
    Discord(super::PrivateKey),
    Custom(Custom, Key),
    Twilio(Twilio),
    Braintree(Braintree),
    Mailgun(Key),
    Adyen(Key),
    Token(String),
    Message(MessageSigner, Option<String>, Vec<&'static str>),
}

impl Signer {
    /// A signer of any scheme whose key is a text, written as [`Verifier::new`](super::Verifier::new) reads it, except
    /// where the verifier's is the public half of a pair: Standard Webhooks takes `whsk_` and base64 too, Discord the
    /// 32 bytes of the seed in hexadecimal digits, message signatures `whsk_` and base64. SendGrid's key never
    /// leaves SendGrid, and there is no signer of its scheme.
    pub fn new(scheme: Scheme, key: &str) -> Result<Self, VerifierError> {
        let refused = |why| VerifierError::Key { index: 0, why };
        let shared = |algorithm, form: KeyText| Key::new(algorithm, &form.read(key).map_err(refused)?);
        let kind = match scheme.family() {
            #[cfg(feature = "ed25519")]
            Family::Row(_) if scheme == Scheme::Discord => {
                let seed = KeyText::Hex.read(key).map_err(refused)?;
                let wanted = KeyError::Size { bytes: seed.len(), wanted: 32 };
                Kind::Discord(super::PrivateKey::from_seed(seed.as_slice().try_into().map_err(|_| refused(wanted))?))
            }
            #[cfg(not(feature = "ed25519"))]
            Family::Row(_) if scheme == Scheme::Discord => {
                return Err(VerifierError::NeedsFeature { feature: "ed25519" });
            }
            Family::Row(row) if row.algorithm == Algorithm::EcdsaP256 => return Err(VerifierError::NeedsMore),
            Family::Row(row) => Kind::Row(row, shared(row.algorithm, row.key)?),
            Family::Custom => return Err(VerifierError::NeedsMore),
            Family::Standard if key.starts_with("whsk_") => {
                #[cfg(feature = "ed25519")]
                return Ok(Self::standard_pair(super::PrivateKey::parse(key).map_err(refused)?));
                #[cfg(not(feature = "ed25519"))]
                return Err(VerifierError::NeedsFeature { feature: "ed25519" });
            }
            Family::Standard => {
                let secret = Secret::parse_any_size(key).map_err(|why| refused(KeyError::Secret(why)))?;
                return Ok(Self::standard(SigningKey::new(&secret)));
            }
            Family::Twilio => Kind::Twilio(Twilio::read([key])?),
            Family::Braintree => Kind::Braintree(Braintree::read([key])?),
            Family::Mailgun => Kind::Mailgun(shared(Algorithm::HmacSha256, KeyText::Whole)?),
            Family::Adyen => Kind::Adyen(shared(Algorithm::HmacSha256, KeyText::Hex)?),
            Family::Token if key.is_empty() => return Err(refused(KeyError::Empty)),
            Family::Token => Kind::Token(key.into()),
            Family::Message if key.starts_with("whsk_") => {
                #[cfg(feature = "ed25519")]
                return Ok(Self::message_pair(super::PrivateKey::parse(key).map_err(refused)?));
                #[cfg(not(feature = "ed25519"))]
                return Err(VerifierError::NeedsFeature { feature: "ed25519" });
            }
            Family::Message => {
                let secret = Secret::parse_any_size(key).map_err(|why| refused(KeyError::Secret(why)))?;
                return Ok(Self::message(&secret));
            }
        };
        Ok(Self { scheme, kind })
    }

    /// Standard Webhooks `v1`. For several keys at once see [`standard::sign`].
    pub fn standard(key: SigningKey) -> Self {
        Self { scheme: Scheme::Standard, kind: Kind::Standard(key) }
    }

    /// Standard Webhooks `v1a`.
    #[cfg(feature = "ed25519")]
    pub fn standard_pair(key: super::PrivateKey) -> Self {
        Self { scheme: Scheme::Standard, kind: Kind::StandardPair(key) }
    }

    /// A scheme that the caller has described.
    pub fn custom(scheme: Custom, key: &str) -> Result<Self, VerifierError> {
        scheme.check().map_err(VerifierError::Custom)?;
        let key = Ring::read(scheme.algorithm(), scheme.key(), [key])?.first().clone();
        Ok(Self { scheme: Scheme::Custom, kind: Kind::Custom(scheme, key) })
    }

    /// HTTP Message Signatures with `hmac-sha256`, over the method, the target URI and the digest of the body.
    pub fn message(secret: &Secret) -> Self {
        let key = Key::new(Algorithm::HmacSha256, secret.expose()).expect("a secret is not empty");
        let kind = Kind::Message(MessageSigner::Shared(key), None, COMPONENTS.to_vec());
        Self { scheme: Scheme::MessageSignatures, kind }
    }

    /// HTTP Message Signatures with `ed25519`, over the method, the target URI and the digest of the body.
    #[cfg(feature = "ed25519")]
    pub fn message_pair(key: super::PrivateKey) -> Self {
        let kind = Kind::Message(MessageSigner::Pair(key), None, COMPONENTS.to_vec());
        Self { scheme: Scheme::MessageSignatures, kind }
    }

    /// What message signatures call the key. Other schemes call it nothing.
    #[must_use]
    pub fn key_name(mut self, keyid: impl Into<String>) -> Self {
        if let Kind::Message(_, name, _) = &mut self.kind {
            *name = Some(keyid.into());
        }
        self
    }

    /// What message signatures cover, in place of the usual. Other schemes always cover the same.
    #[must_use]
    pub fn components(mut self, components: impl IntoIterator<Item = &'static str>) -> Self {
        if let Kind::Message(_, _, own) = &mut self.kind {
            *own = components.into_iter().collect();
        }
        self
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Signs a request at a time. What it returns is what was signed, and what must be sent.
    pub fn sign(&self, request: &Unsigned<'_>, at: UnixTime) -> Result<Signed, SignError> {
        let mut signed = Signed { url: request.url.into(), headers: Vec::new(), body: request.body.to_vec() };
        let given = request.headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        signed.headers.extend(given);
        if let Some(id) = request.id {
            visible(id.as_bytes()).ok_or(SignError::BadId)?;
        }
        let added = match &self.kind {
            Kind::Standard(key) => {
                let id = request.id.ok_or(SignError::NoId)?;
                standard_headers(id, at, standard::sign([key], id, at.as_secs(), request.body))
            }
            #[cfg(feature = "ed25519")]
            Kind::StandardPair(key) => {
                let (id, mut value) = (request.id.ok_or(SignError::NoId)?, Vec::new());
                key.write_v1a(id, at.as_secs(), request.body, &mut value);
                standard_headers(id, at, String::from_utf8(value).expect("base64 is ASCII"))
            }
            Kind::Row(row, key) => by_row(row, key, request, at)?,
            #[cfg(feature = "ed25519")]
            Kind::Discord(key) => {
                let stamp = alloc::format!("{}", at.as_secs());
                let signature = key.sign(&[stamp.as_bytes(), request.body].concat());
                let signature = super::keys::Text::Hex.encode(&signature);
                alloc::vec![("x-signature-timestamp".into(), stamp), ("x-signature-ed25519".into(), signature)]
            }
            Kind::Custom(custom, key) => by_row(&custom.row(), key, request, at)?,
            Kind::Twilio(keys) => {
                let (url, signature) = keys.sign(request.url, twilio::is_form(request.headers), request.body);
                signed.url = url;
                alloc::vec![(twilio::SIGNATURE.text.into(), signature)]
            }
            Kind::Braintree(keys) => {
                signed.body = keys.sign(request.body);
                alloc::vec![("content-type".into(), "application/x-www-form-urlencoded".into())]
            }
            Kind::Mailgun(key) => {
                let token = request.id.ok_or(SignError::NoId)?;
                let body = mailgun::sign(key, token, request.body, at);
                signed.body = body.ok_or(SignError::BadBody { wanted: "JSON, and an id without quotes" })?;
                Vec::new()
            }
            Kind::Adyen(key) => {
                let wanted = SignError::BadBody { wanted: "JSON with notificationItems" };
                signed.body = adyen::sign(key, request.body).ok_or(wanted)?;
                Vec::new()
            }
            Kind::Token(token) => alloc::vec![("x-gitlab-token".into(), token.clone())],
            Kind::Message(key, name, components) => {
                replace(&mut signed.headers, alloc::vec![(CONTENT_DIGEST.into(), content_digest(request.body))]);
                signed.headers.retain(|(name, _)| {
                    !name.eq_ignore_ascii_case(SIGNATURE) && !name.eq_ignore_ascii_case(SIGNATURE_INPUT)
                });
                let Signed { url, headers, body } = &signed;
                let request = Received { method: request.method, url, headers, body };
                key.sign("sig1", name.as_deref(), components, &request, at).ok_or(SignError::NoComponent)?.into()
            }
        };
        replace(&mut signed.headers, added);
        Ok(signed)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, ..)", self.scheme)
    }
}

fn standard_headers(id: &str, at: UnixTime, signature: String) -> Vec<(String, String)> {
    let stamp = alloc::format!("{}", at.as_secs());
    alloc::vec![
        (standard::ID.into(), id.into()),
        (standard::TIMESTAMP.into(), stamp),
        (standard::SIGNATURE.into(), signature),
    ]
}

fn by_row(row: &Row<'_>, key: &Key, request: &Unsigned<'_>, at: UnixTime) -> Result<Vec<(String, String)>, SignError> {
    if request.id.is_none() && row.content.contains(&rows::Part::Id) {
        return Err(SignError::NoId);
    }
    let material = Material { url: request.url, id: request.id, body: request.body };
    Ok(row.sign(&[key], &material, at).expect("a shared key signs"))
}

/// Sets headers anew.
fn replace(headers: &mut Vec<(String, String)>, added: Vec<(String, String)>) {
    headers.retain(|(name, _)| !added.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    headers.extend(added);
}

/// Why a request was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The scheme signs an id, and the request has none.
    NoId,
    /// The id is not 1 to 256 visible ASCII characters.
    BadId,
    /// The body is not what the scheme signs.
    BadBody {
        /// What it should be.
        wanted: &'static str,
    },
    /// A component that a message signature is to cover is not in the request.
    NoComponent,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId => f.write_str("this scheme signs the event's id, and the request has none"),
            Self::BadId => f.write_str("the event's id is not 1 to 256 visible ASCII characters"),
            Self::BadBody { wanted } => write!(f, "the body is not {wanted}, which this scheme signs"),
            Self::NoComponent => f.write_str("the request lacks a component that the signature is to cover"),
        }
    }
}

impl core::error::Error for SignError {}

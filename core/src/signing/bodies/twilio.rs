//! Twilio: the URL, and the fields of a form sorted by name; or the URL alone, which carries the digest of the body.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::super::error::{VerifierError, VerifyError};
use super::super::keys::{self, Algorithm, KeyText, Listed, Ring, Text};
use super::super::rows::Name;
use super::super::verified::{Signed, Told, Verified};
use super::super::{Extent, Headers, Received, Scheme};

pub(in super::super) const SIGNATURE: Name<'static> = Name::fixed("x-twilio-signature");
const SETTINGS: Name<'static> = Name::fixed("x-twilio-webhooks-signature-settings");
pub(in super::super) const BODY_DIGEST: &str = "bodySHA256";

/// The auth tokens, for either algorithm.
#[derive(Clone)]
pub(in super::super) struct Twilio {
    sha1: Ring,
    sha256: Ring,
}

impl Twilio {
    pub(in super::super) fn new(sha1: Ring, sha256: Ring) -> Self {
        Self { sha1, sha256 }
    }

    pub(in super::super) fn read<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, VerifierError> {
        let texts: Vec<T> = texts.into_iter().take(crate::limits::RING_KEYS + 1).collect();
        let ring = |algorithm| Ring::read(algorithm, KeyText::Whole, texts.iter().map(AsRef::as_ref));
        Ok(Self { sha1: ring(Algorithm::HmacSha1)?, sha256: ring(Algorithm::HmacSha256)? })
    }

    pub(in super::super) fn check<'r, H: Headers + ?Sized>(
        &self,
        received: &Received<'r, H>,
    ) -> Result<Verified<'r>, VerifyError> {
        let value = received.one(SIGNATURE)?;
        let (algorithm, ring) = match settings(received.at_most_one(SETTINGS)?)? {
            Algorithm::HmacSha256 => (Algorithm::HmacSha256, &self.sha256),
            Algorithm::HmacSha1 | Algorithm::HmacSha512 | Algorithm::Ed25519 | Algorithm::EcdsaP256 => {
                (Algorithm::HmacSha1, &self.sha1)
            }
        };
        let mut facts = *Scheme::Twilio.facts();
        if is_form(received.headers) {
            facts.body = Extent::Part("the names and values of the form, joined without marks");
        }
        let told = Told { id: received.id(Name::fixed("i-twilio-idempotency-token"))?, ..Told::default() };
        let mut listed = Listed::new();
        listed.push(algorithm, Text::Base64, value);
        if listed.len() == 0 {
            return Err(VerifyError::NoSignature { items: listed.items });
        }
        let fields = fields(received)?;
        let mut fits = None;
        for url in with_and_without_port(received.url) {
            let key = ring.signer(&[url.as_bytes(), fields.as_bytes()], &listed);
            if let (Some(key), None) = (key, &fits) {
                fits = Some((key, keys::digest(&[url.as_bytes(), fields.as_bytes()])));
            }
        }
        let (key, digest) = fits.ok_or(VerifyError::NoMatch { signatures: 1 })?;
        let signed = Signed::Hashed(digest);
        Ok(Verified {
            scheme: Scheme::Twilio,
            body: received.body,
            payload: None,
            key,
            time: None,
            facts,
            told,
            signed,
        })
    }

    /// The URL to send to and the signature's header. A body that is no form is bound to the URL by its digest.
    pub(in super::super) fn sign(&self, url: &str, is_form: bool, body: &[u8]) -> (String, String) {
        let mut url = String::from(url);
        let mut signed = sorted(body);
        if !is_form && !body.is_empty() {
            let mark = if url.contains('?') { '&' } else { '?' };
            url.push(mark);
            url.push_str(&alloc::format!("{BODY_DIGEST}={}", Text::Hex.encode(&Sha256::digest(body))));
        }
        if !is_form {
            signed.clear();
        }
        let mac = self.sha1.first().sign(&[url.as_bytes(), signed.as_bytes()]).expect("a shared key signs");
        (url, Text::Base64.encode(&mac))
    }
}

/// The algorithm that the settings name.
fn settings(value: Option<&[u8]>) -> Result<Algorithm, VerifyError> {
    let value = core::str::from_utf8(value.unwrap_or_default())
        .map_err(|_| VerifyError::BadHeader { header: SETTINGS.said })?;
    let named = value.split(',').find_map(|part| part.trim().strip_prefix("algorithm="));
    match named {
        None | Some("" | "HMAC_SHA1") => Ok(Algorithm::HmacSha1),
        Some("HMAC_SHA256") => Ok(Algorithm::HmacSha256),
        Some(_) => Err(VerifyError::BadHeader { header: SETTINGS.said }),
    }
}

/// Whether the body is a form.
pub(in super::super) fn is_form<H: Headers + ?Sized>(headers: &H) -> bool {
    let kind = headers.all("content-type").next().unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// What is signed behind the URL: a form's fields, or nothing when the URL carries the digest of the body.
fn fields<H: Headers + ?Sized>(received: &Received<'_, H>) -> Result<String, VerifyError> {
    if is_form(received.headers) {
        return Ok(sorted(received.body));
    }
    if !received.body.is_empty() {
        let query = received.url.split_once('?').map_or("", |(_, query)| query);
        let digest = super::field(query.as_bytes(), BODY_DIGEST)?;
        if digest != Text::Hex.encode(&Sha256::digest(received.body)) {
            return Err(VerifyError::BodyDigest { field: BODY_DIGEST });
        }
    }
    Ok(String::new())
}

/// Each name with its value, sorted; equal pairs once.
fn sorted(form: &[u8]) -> String {
    let pairs: BTreeSet<_> = form_urlencoded::parse(form).collect();
    pairs.iter().flat_map(|(name, value)| [&**name, &**value]).collect()
}

/// The URL without its port and with one: Twilio signs either, and does not say which.
fn with_and_without_port(url: &str) -> [String; 2] {
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let bracket = authority.rfind(']').unwrap_or(0).max(authority.rfind('@').unwrap_or(0));
    let port = authority[bracket..].find(':').map(|at| bracket + at);
    let host = port.map_or(authority, |port| &authority[..port]);
    let usual = if scheme == "http://" { ":80" } else { ":443" };
    let port = port.map_or(usual, |port| &authority[port..]);
    [alloc::format!("{scheme}{host}{path}"), alloc::format!("{scheme}{host}{port}{path}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_added_and_taken_away() {
        let both = |url| with_and_without_port(url);
        assert_eq!(both("https://h.example/x?y=:1"), ["https://h.example/x?y=:1", "https://h.example:443/x?y=:1"]);
        assert_eq!(both("http://h.example"), ["http://h.example", "http://h.example:80"]);
        assert_eq!(both("https://h:8443/x"), ["https://h/x", "https://h:8443/x"]);
        assert_eq!(both("https://u:p@[::1]:9/x"), ["https://u:p@[::1]/x", "https://u:p@[::1]:9/x"]);
    }
}

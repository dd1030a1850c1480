//! The usual mistakes of any scheme, tried by verifying again with one thing put right.

use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::super::keys::{Algorithm, Key, KeyText, Ring, from_base64, from_hex};
use super::super::rows::TABLE;
use super::super::{Headers, Received, Scheme, Verified, Verifier, VerifyError, standard};
use super::{Cause, JSON_BYTES, Node, Reading, UrlForm, diagnose, json_forms, plain_forms};
use crate::limits::RING_KEYS;
use crate::time::UnixTime;

/// The times that a request is verified again, at most: as it is, with 60 readings of 10 secrets, with 23 forms of the
/// body and with 6 of the URL.
pub const MAX_CHECKS: usize = 1 + 6 * RING_KEYS + 23 + 6;

impl VerifyError {
    /// Looks for the reasons why `verifier` refused this request so. Empty when none of the usual ones fits.
    ///
    /// For a person at a terminal or a log, never for the answer: that a hint was found tells a stranger what to try
    /// next. `secrets` are the texts as a person wrote them; the first 10 are looked at. Verifies the request again up
    /// to [`MAX_CHECKS`](super::MAX_CHECKS) times, and with Standard Webhooks up to [`MAX_TRIES`](super::MAX_TRIES)
    /// signatures more.
    pub fn hints<H: Headers + ?Sized>(
        &self,
        verifier: &Verifier,
        received: &Received<'_, H>,
        secrets: &[&str],
        now: UnixTime,
    ) -> Vec<Cause> {
        if let Some(own) = verifier.as_standard() {
            let causes = diagnose(&own, secrets, received.headers, received.body, now, self);
            let families = family(self, received).or_else(|| other_scheme(self, verifier.scheme(), received));
            return if causes.is_empty() { families.into_iter().collect() } else { causes };
        }
        if let Some(cause) = other_scheme(self, verifier.scheme(), received) {
            return alloc::vec![cause];
        }
        let timeless = verifier.clone().any_time();
        let mut causes: Vec<Cause> = search(&timeless, received, secrets, now).into_iter().flatten().collect();
        causes.extend(clock(self).filter(|_| !causes.is_empty() || timeless.verify(received, now).is_ok()));
        causes
    }
}

/// A cause that lies in the time alone.
fn clock(error: &VerifyError) -> Option<Cause> {
    match error {
        VerifyError::TooOld { age, .. } => Some(Cause::ClockOff { by: *age, ahead: false }),
        VerifyError::TooNew { lead, .. } => Some(Cause::ClockOff { by: *lead, ahead: true }),
        VerifyError::Expired { ago } => Some(Cause::ClockOff { by: *ago, ahead: false }),
        VerifyError::Missing { .. }
        | VerifyError::Duplicate { .. }
        | VerifyError::TooLong { .. }
        | VerifyError::BadHeader { .. }
        | VerifyError::Field { .. }
        | VerifyError::BadBody { .. }
        | VerifyError::BadId
        | VerifyError::BadTimestamp
        | VerifyError::Downgrade { .. }
        | VerifyError::NotCovered { .. }
        | VerifyError::BodyDigest { .. }
        | VerifyError::NoSignature { .. }
        | VerifyError::NoMatch { .. } => None,
    }
}

/// Signatures of Standard Webhooks by the other kind of key.
fn family<H: Headers + ?Sized>(error: &VerifyError, received: &Received<'_, H>) -> Option<Cause> {
    let VerifyError::NoSignature { .. } = error else { return None };
    let value = received.headers.all(standard::SIGNATURE).next()?;
    let has = |version: &[u8]| value.split(|b| *b == b' ').any(|item| item.starts_with(version));
    match (has(b"v1a,"), has(b"v1,")) {
        (true, false) => Some(Cause::KeyFamily { public: true }),
        (false, true) => Some(Cause::KeyFamily { public: false }),
        (true, true) | (false, false) => None,
    }
}

/// The scheme whose signature the request has, where it has none of the verifier's.
fn other_scheme<H: Headers + ?Sized>(error: &VerifyError, own: Scheme, received: &Received<'_, H>) -> Option<Cause> {
    match error {
        VerifyError::Missing { .. } | VerifyError::NoSignature { .. } | VerifyError::Downgrade { .. } => {}
        VerifyError::Duplicate { .. }
        | VerifyError::TooLong { .. }
        | VerifyError::BadHeader { .. }
        | VerifyError::Field { .. }
        | VerifyError::BadBody { .. }
        | VerifyError::BadId
        | VerifyError::BadTimestamp
        | VerifyError::TooOld { .. }
        | VerifyError::TooNew { .. }
        | VerifyError::Expired { .. }
        | VerifyError::NotCovered { .. }
        | VerifyError::BodyDigest { .. }
        | VerifyError::NoMatch { .. } => return None,
    }
    let standard = received.headers.all(standard::SIGNATURE).next().is_some();
    if standard && own != Scheme::Standard {
        return Some(Cause::OtherScheme { scheme: Scheme::Standard });
    }
    let others = TABLE.iter().filter(|row| row.scheme != own && row.has_signature(received));
    others.map(|row| Cause::OtherScheme { scheme: row.scheme }).next()
}

/// Verifies again with one thing put right, until it fits.
fn search<H: Headers + ?Sized>(
    verifier: &Verifier,
    received: &Received<'_, H>,
    secrets: &[&str],
    now: UnixTime,
) -> Option<Option<Cause>> {
    if verifier.verify(received, now).is_ok() {
        return Some(None);
    }
    for (n, text) in secrets.iter().take(RING_KEYS).enumerate() {
        for (other, reading) in readings(verifier, text) {
            if let Ok(verified) = other.verify(received, now) {
                return Some(Some(meant(n, reading, &verified)));
            }
        }
    }
    let text = core::str::from_utf8(received.body).ok().filter(|text| text.len() <= JSON_BYTES);
    let tree = text.and_then(Node::parse);
    let forms = plain_forms(received.body).into_iter().flatten().chain(tree.iter().flat_map(json_forms));
    for (cause, body) in forms.filter(|(_, form)| form != received.body) {
        if verifier.verify(&Received { body: &body, ..*received }, now).is_ok() {
            return Some(Some(cause));
        }
    }
    if !verifier.scheme().signs_url() && verifier.scheme() != Scheme::Custom {
        return None;
    }
    let fits = |(_, url): &(UrlForm, String)| verifier.verify(&Received { url, ..*received }, now).is_ok();
    let form = url_forms(received.url).into_iter().find(fits);
    form.map(|(form, _)| Some(Cause::WrongUrl { form }))
}

fn meant(secret: usize, reading: Option<Reading>, verified: &Verified<'_>) -> Cause {
    match reading {
        Some(reading) => Cause::KeyRead { secret, reading },
        None => Cause::AnotherKey { secret, key: verified.key() },
    }
}

/// The verifier with a given secret instead of its keys, read as the scheme reads it and in other ways.
fn readings(verifier: &Verifier, text: &str) -> Vec<(Verifier, Option<Reading>)> {
    let Some((algorithm, form)) = verifier.key_form() else {
        let other = Verifier::new(verifier.scheme(), [text.trim()]).ok().map(Verifier::any_time);
        return other.into_iter().map(|other| (other, None)).collect();
    };
    let trimmed = text.trim();
    let bare = trimmed.rsplit_once('_').map_or(trimmed, |(_, bare)| bare);
    let whole = |text: &str| Some(Zeroizing::new(text.as_bytes().to_vec()));
    let others = [
        (form.read(text).ok(), None),
        (form.read(trimmed).ok(), Some(Reading::Trimmed)),
        (whole(trimmed).filter(|_| form != KeyText::Whole), Some(Reading::TextWithPrefix)),
        (whole(bare).filter(|_| bare != trimmed), Some(Reading::Text)),
        (from_base64(bare), Some(Reading::Base64)),
        (from_hex(bare), Some(Reading::Hex)),
    ];
    let hmac = !matches!(algorithm, Algorithm::Ed25519 | Algorithm::EcdsaP256);
    let others = others.into_iter().filter(|(_, reading)| hmac || reading.is_none());
    let others = others.filter_map(|(key, reading)| Some((Key::new(algorithm, &key?).ok()?, reading)));
    others.filter_map(|(key, reading)| Some((verifier.with_ring(Ring::new(alloc::vec![key]).ok()?), reading))).collect()
}

/// The URL as a sender may have it instead.
fn url_forms(url: &str) -> Vec<(UrlForm, String)> {
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let query = query.map_or_else(String::new, |query| alloc::format!("?{query}"));
    let mut forms = Vec::new();
    forms.push(match path.strip_suffix('/') {
        Some(shorter) => (UrlForm::NoSlash, alloc::format!("{shorter}{query}")),
        None => (UrlForm::Slash, alloc::format!("{path}/{query}")),
    });
    forms.extend(url.strip_prefix("http://").map(|rest| (UrlForm::Https, alloc::format!("https://{rest}"))));
    forms.extend(url.strip_prefix("https://").map(|rest| (UrlForm::Http, alloc::format!("http://{rest}"))));
    forms.extend((!query.is_empty()).then(|| (UrlForm::NoQuery, path.into())));
    let end = path.find("://").map_or(0, |at| at + 3);
    let end = path[end..].find('/').map_or(path.len(), |at| end + at);
    let authority = path[..end].strip_suffix(":443").or_else(|| path[..end].strip_suffix(":80"));
    forms.extend(authority.map(|shorter| (UrlForm::NoPort, alloc::format!("{shorter}{}{query}", &path[end..]))));
    forms
}

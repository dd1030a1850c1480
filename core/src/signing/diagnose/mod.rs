//! Why a signature did not fit: the usual mistakes, tried one after the other.
//!
//! For a person at a command line, after [`Verifier::verify`] has refused. Nothing here makes a request acceptable, and
//! nothing that it returns contains a byte of a secret or of the body.
//!
//! What cannot be found: a body whose numbers were rewritten (`1.0` as `1`), one that is no longer JSON of the same
//! values, and two mistakes of the same kind at once.

mod headers;
mod hints;
mod json;
mod looks;
mod readings;
mod urls;

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

pub use self::headers::NameForm;
pub use self::hints::MAX_CHECKS;
use self::json::Node;
pub use self::json::{Layout, Strings};
use super::keys::from_hex;
use super::standard::{Claim, Listed, Verifier, VerifyError};
use super::{Headers, Scheme, SigningKey, key::Decimal};
use crate::limits::RING_KEYS;
use crate::secret::{KeyId, Secret};
use crate::time::UnixTime;

/// The signatures computed at most: two forms of the timestamp, each with the body as it is under every key and
/// reading of a secret (10 keys, 10 secrets as they should be read, 50 as they should not), and with 25 other forms of
/// the body under every key and secret.
pub const MAX_TRIES: usize = 2 * ((2 * RING_KEYS + 5 * RING_KEYS) + BODY_FORMS * 2 * RING_KEYS);

/// The other forms of a body: 7 plain ones and 18 of JSON.
const BODY_FORMS: usize = 25;

/// A longer body is not tried in other JSON forms.
pub const JSON_BYTES: usize = 256 * 1024;

/// A number of seconds this large (the year 5138) was meant as milliseconds.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// One reason why a request was refused. Where several were found together, all of them have to be put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The request has `svix-*` headers, and the verifier does not look at them.
    SvixNames,
    /// The headers are there under other names: something on the way, or in front of the verifier, wrote them anew.
    HeaderNames {
        /// How their names are written.
        form: NameForm,
    },
    /// The signature fits, but one of the two clocks is wrong, or the request is an old one.
    ClockOff {
        /// How far the timestamp lies from the receiver's clock.
        by: Duration,
        /// Whether it lies ahead.
        ahead: bool,
    },
    /// The timestamp is in milliseconds, where the scheme has seconds.
    Milliseconds,
    /// The timestamp is in seconds, where the scheme has milliseconds.
    Seconds,
    /// The signature fits another of the given secrets, which the verifier does not hold.
    AnotherKey {
        /// Which of the given secrets, counted from 0.
        secret: usize,
        /// Its key's name.
        key: KeyId,
    },
    /// The signature fits when the key is taken from the secret's text in a way that is not the specification's.
    SecretRead {
        /// Which of the given secrets, counted from 0.
        secret: usize,
        /// How the sender read it.
        reading: Reading,
    },
    /// The signature fits one of the given secrets read in a way that is not the scheme's.
    KeyRead {
        /// Which of the given secrets, counted from 0.
        secret: usize,
        /// How it was read when it fitted.
        reading: Reading,
    },
    /// The request is signed with the other kind of key.
    KeyFamily {
        /// Whether a public key is needed; otherwise a shared one.
        public: bool,
    },
    /// The request has the signature of another scheme.
    OtherScheme {
        /// Which.
        scheme: Scheme,
    },
    /// The signature fits another form of the URL: the receiver was told one that is not the sender's. Where several are
    /// found, all of them together are the sender's.
    WrongUrl {
        /// The form that fits.
        form: UrlForm,
    },
    /// The signature fits the body without the line break at its end, which was added on the way.
    FinalNewlineAdded,
    /// The signature fits the body with a line break at its end, which was lost on the way.
    FinalNewlineLost,
    /// The signature fits the body without the byte order mark at its start, which was added on the way.
    BomAdded,
    /// The signature fits the body with a byte order mark at its start, which was lost on the way.
    BomLost,
    /// The signature fits the body with LF where it has CRLF.
    LfBecameCrLf,
    /// The signature fits the body with CRLF where it has LF.
    CrLfBecameLf,
    /// The signature fits the same JSON written in another way: something parsed the body and wrote it again, here or
    /// at the sender after signing.
    Reserialised {
        /// The blanks of the form that was signed.
        layout: Layout,
        /// Whether the form that was signed has its keys sorted.
        sorted: bool,
        /// The strings of the form that was signed.
        strings: Strings,
    },
}

/// Wrong ways to get a key from a secret's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// The text without its prefix is the key; it was not decoded.
    Text,
    /// The text with its prefix is the key.
    TextWithPrefix,
    /// Base64 without its padding.
    Unpadded,
    /// Base64 in the URL-safe alphabet.
    UrlSafe,
    /// Hexadecimal digits.
    Hex,
    /// Base64 behind the prefix.
    Base64,
    /// As the scheme reads it, without the white space around it.
    Trimmed,
    /// As the scheme reads it, with a line break at its end.
    WithNewline,
    /// As the scheme reads it, behind the prefix that belongs to such keys.
    WithPrefix,
    /// The text as it stands is the key; it was not decoded.
    AsIs,
    /// Without the lines of PEM around it.
    Pem,
    /// With the halves before and behind its `:` exchanged.
    Swapped,
}

/// Other forms of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlForm {
    /// With `/` at the end of the path.
    Slash,
    /// Without `/` at the end of the path.
    NoSlash,
    /// With `http`, as before a proxy that ends TLS.
    Http,
    /// With `https`, as before a proxy that ends TLS.
    Https,
    /// Without the query.
    NoQuery,
    /// With the query that carries the digest of the body.
    DigestQuery,
    /// Without the port.
    NoPort,
    /// With the port that is usual for its scheme.
    UsualPort,
    /// With the host of the request's own `Host`.
    Host,
    /// With the host that a proxy has put into `X-Forwarded-Host`.
    ForwardedHost,
}

/// Looks for the reasons why `verifier` refused this request with `error`. Empty when none of the usual ones fits.
///
/// `secrets` are the texts as a person wrote them; the first 10 are looked at. Costs at most [`MAX_TRIES`] signatures
/// over the body and as many copies of it, one at a time.
pub fn diagnose(
    verifier: &Verifier,
    secrets: &[&str],
    headers: &(impl Headers + ?Sized),
    body: &[u8],
    now: UnixTime,
    error: &VerifyError,
) -> Vec<Cause> {
    let Ok(claim) = verifier.claim(headers) else {
        let svix = matches!(error, VerifyError::Missing { .. }) && headers.all("svix-id").next().is_some();
        return if svix { alloc::vec![Cause::SvixNames] } else { Vec::new() };
    };
    let listed = Listed::read(claim.signatures);
    let candidates = Candidates::new(verifier, secrets);
    let mut search = Search { claim: &claim, listed: &listed, tries: 0 };
    let found = if listed.is_empty() { None } else { search.run(&candidates, body) };
    let mut causes: Vec<Cause> = found.into_iter().flatten().flatten().collect();
    causes.extend(time_causes(verifier, claim.secs, now, found.is_some()));
    causes
}

/// What is wrong with the timestamp. That it is in milliseconds can be seen; that a clock is off is only worth saying
/// of a timestamp that was signed.
fn time_causes(verifier: &Verifier, secs: u64, now: UnixTime, signed: bool) -> impl Iterator<Item = Cause> {
    let millis = secs >= MILLISECONDS_FROM;
    let secs = if millis { secs / 1000 } else { secs };
    let off = match verifier.check_time(secs, now) {
        Err(VerifyError::TooOld { age, .. }) if signed => Some(Cause::ClockOff { by: age, ahead: false }),
        Err(VerifyError::TooNew { lead, .. }) if signed => Some(Cause::ClockOff { by: lead, ahead: true }),
        Ok(()) | Err(_) => None,
    };
    millis.then_some(Cause::Milliseconds).into_iter().chain(off)
}

/// The keys to try, each with what it would mean if it fitted.
struct Candidates {
    /// The verifier's keys, and the given secrets as they should be read.
    proper: Vec<(SigningKey, Option<Cause>)>,
    /// The given secrets as they should not be read.
    improper: Vec<(SigningKey, Option<Cause>)>,
}

impl Candidates {
    fn new(verifier: &Verifier, secrets: &[&str]) -> Self {
        let mut proper: Vec<_> = verifier.keys().iter().map(|key| (key.clone(), None)).collect();
        let mut improper = Vec::new();
        for (n, text) in secrets.iter().take(RING_KEYS).enumerate() {
            let trimmed = text.trim();
            let spaced = trimmed.len() != text.len();
            let text = trimmed.strip_prefix("v1,").unwrap_or(trimmed);
            if let Ok(secret) = Secret::parse_any_size(text) {
                let key = SigningKey::new(&secret);
                if proper.iter().all(|(known, _)| known.id() != key.id()) {
                    let cause = match spaced {
                        true => Cause::KeyRead { secret: n, reading: Reading::Trimmed },
                        false => Cause::AnotherKey { secret: n, key: key.id() },
                    };
                    proper.push((key, Some(cause)));
                }
            }
            improper.extend(
                misread(text).map(|(secret, reading)| {
                    (SigningKey::new(&secret), Some(Cause::SecretRead { secret: n, reading }))
                }),
            );
        }
        Self { proper, improper }
    }
}

/// The keys that come of reading a secret wrongly, at most 5.
fn misread(text: &str) -> impl Iterator<Item = (Secret, Reading)> {
    let bare = text.strip_prefix("whsec_").unwrap_or(text);
    let prefixed = bare.len() != text.len();
    let unpadded = bare.trim_end_matches('=');
    let decode = |engine: base64::engine::GeneralPurpose| {
        let mut key = Zeroizing::new(alloc::vec![0; unpadded.len()]);
        let len = engine.decode_slice(unpadded, &mut key).ok()?;
        key.truncate(len);
        Some(key)
    };
    [
        (Some(Zeroizing::new(bare.as_bytes().to_vec())), Reading::Text),
        (prefixed.then(|| Zeroizing::new(text.as_bytes().to_vec())), Reading::TextWithPrefix),
        (decode(STANDARD_NO_PAD).filter(|_| !unpadded.len().is_multiple_of(4)), Reading::Unpadded),
        (decode(URL_SAFE_NO_PAD).filter(|_| unpadded.contains(['-', '_'])), Reading::UrlSafe),
        (from_hex(bare), Reading::Hex),
    ]
    .into_iter()
    .filter_map(|(key, reading)| Some((Secret::from_bytes_any_size(&*key?).ok()?, reading)))
}

struct Search<'a> {
    claim: &'a Claim<'a>,
    listed: &'a Listed,
    tries: usize,
}

impl Search<'_> {
    /// The causes of the first combination that fits: one of the key, one of the body.
    fn run(&mut self, keys: &Candidates, body: &[u8]) -> Option<[Option<Cause>; 2]> {
        for keys in [&keys.proper, &keys.improper] {
            if let Some(cause) = self.fits(keys, body) {
                return Some([cause, None]);
            }
        }
        let plain = plain_forms(body);
        let tree = core::str::from_utf8(body).ok().filter(|text| text.len() <= JSON_BYTES).and_then(Node::parse);
        let forms = plain.into_iter().flatten().chain(tree.iter().flat_map(json_forms));
        for (cause, form) in forms.filter(|(_, form)| form != body) {
            if let Some(key) = self.fits(&keys.proper, &form) {
                return Some([key, Some(cause)]);
            }
        }
        None
    }

    /// What the first key that fits means; its timestamp may have been signed in seconds though sent in milliseconds.
    fn fits(&mut self, keys: &[(SigningKey, Option<Cause>)], body: &[u8]) -> Option<Option<Cause>> {
        let in_seconds = Decimal::new(self.claim.secs / 1000);
        let other = (self.claim.secs >= MILLISECONDS_FROM).then_some(in_seconds.as_bytes());
        for timestamp in core::iter::once(self.claim.timestamp).chain(other) {
            for (key, cause) in keys {
                self.tries += 1;
                debug_assert!(self.tries <= MAX_TRIES, "the forms are more than were counted");
                let key = core::slice::from_ref(key);
                if self.listed.key(key, self.claim.id.as_bytes(), timestamp, body).is_some() {
                    return Some(*cause);
                }
            }
        }
        None
    }
}

/// The body with other line breaks, and with or without a byte order mark: 7 forms at most.
fn plain_forms(body: &[u8]) -> [Option<(Cause, Vec<u8>)>; 7] {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let unmarked = body.strip_prefix(BOM);
    let shorter = body.strip_suffix(b"\r\n").or_else(|| body.strip_suffix(b"\n"));
    let mut lf = Vec::new();
    let mut crlf = Vec::new();
    for (at, &byte) in body.iter().enumerate() {
        if byte != b'\r' || body.get(at + 1) != Some(&b'\n') {
            lf.push(byte);
        }
        if byte == b'\n' && (at == 0 || body[at - 1] != b'\r') {
            crlf.push(b'\r');
        }
        crlf.push(byte);
    }
    [
        shorter.map(|shorter| (Cause::FinalNewlineAdded, shorter.to_vec())),
        Some((Cause::FinalNewlineLost, [body, b"\n"].concat())),
        Some((Cause::FinalNewlineLost, [body, b"\r\n"].concat())),
        Some((Cause::LfBecameCrLf, lf)),
        Some((Cause::CrLfBecameLf, crlf)),
        unmarked.map(|unmarked| (Cause::BomAdded, unmarked.to_vec())),
        unmarked.is_none().then(|| (Cause::BomLost, [BOM, body].concat())),
    ]
}

/// The same JSON written in other ways: 18 forms at most, made one at a time.
fn json_forms<'a>(tree: &'a Node<'_>) -> impl Iterator<Item = (Cause, Vec<u8>)> + 'a {
    Layout::ALL.into_iter().flat_map(move |layout| {
        [false, true].into_iter().flat_map(move |sorted| {
            Strings::ALL.into_iter().filter_map(move |strings| {
                let form = tree.write(layout, sorted, strings)?;
                Some((Cause::Reserialised { layout, sorted, strings }, form.into_bytes()))
            })
        })
    })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SvixNames => f.write_str(
                "the request carries `svix-*` headers instead of `webhook-*`; let the verifier accept those names",
            ),
            Self::HeaderNames { form } => {
                write!(f, "the request's headers are there {form}; give them to the verifier under their own names")
            }
            Self::ClockOff { by, ahead } => {
                let side = if *ahead { "ahead of" } else { "behind" };
                let secs = by.as_secs();
                write!(f, "the signature fits, but the timestamp is {secs} s {side} this receiver's clock")
            }
            Self::Milliseconds => f.write_str("the timestamp is in milliseconds; the sender must send seconds"),
            Self::Seconds => f.write_str("the timestamp is in seconds; the sender must send milliseconds"),
            Self::AnotherKey { secret, key } => {
                write!(f, "the signature was made with another key, {key}, which is given secret number {}", secret + 1)
            }
            Self::SecretRead { secret, reading } => {
                write!(f, "the sender read secret number {} {reading}; the key is its base64 decoded", secret + 1)
            }
            Self::KeyRead { secret, reading } => {
                write!(f, "the signature fits when secret number {} is read {reading}; give the key so", secret + 1)
            }
            Self::KeyFamily { public: true } => {
                f.write_str("the request is signed with `v1a`; the verifier needs the sender's public key (`whpk_`)")
            }
            Self::KeyFamily { public: false } => {
                f.write_str("the request is signed with `v1`; the verifier needs the shared key (`whsec_`)")
            }
            Self::OtherScheme { scheme } => {
                write!(f, "the request has a signature of the scheme {scheme}; verify it as such")
            }
            Self::WrongUrl { form } => {
                write!(f, "the signature fits the URL {form}; tell the verifier the URL as the sender has it")
            }
            Self::FinalNewlineAdded => {
                f.write_str("the body has a line break at its end that was not signed; verify the bytes as received")
            }
            Self::FinalNewlineLost => {
                f.write_str("the body lacks the line break at its end that was signed; verify the bytes as received")
            }
            Self::BomAdded => f.write_str(
                "the body has a byte order mark at its start that was not signed; verify the bytes as received",
            ),
            Self::BomLost => f.write_str(
                "the body lacks the byte order mark at its start that was signed; verify the bytes as received",
            ),
            Self::LfBecameCrLf => f.write_str("the body was signed with LF line breaks and now has CRLF"),
            Self::CrLfBecameLf => f.write_str("the body was signed with CRLF line breaks and now has LF"),
            Self::Reserialised { layout, sorted, strings } => {
                let order = if *sorted { " with sorted keys" } else { "" };
                write!(
                    f,
                    "the JSON was parsed and written again; what was signed is {layout}{order}{strings}; verify the \
                     bytes as received, before parsing"
                )
            }
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "as text without its prefix",
            Self::TextWithPrefix => "as text with its prefix",
            Self::Unpadded => "as base64 without padding",
            Self::UrlSafe => "as URL-safe base64",
            Self::Hex => "as hexadecimal digits",
            Self::Base64 => "as base64 behind its prefix",
            Self::Trimmed => "without the white space around it",
            Self::WithNewline => "with a line break at its end",
            Self::WithPrefix => "with its prefix, such as whsec_, before it",
            Self::AsIs => "as text, not decoded",
            Self::Pem => "without the lines of PEM around it",
            Self::Swapped => "with its two halves exchanged",
        })
    }
}

impl fmt::Display for UrlForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slash => "with a slash at its end",
            Self::NoSlash => "without the slash at its end",
            Self::Http => "with http",
            Self::Https => "with https",
            Self::NoQuery => "without its query",
            Self::DigestQuery => "with the query bodySHA256",
            Self::NoPort => "without its port",
            Self::UsualPort => "with its usual port written out",
            Self::Host => "with the host of the header Host",
            Self::ForwardedHost => "with the host of the header X-Forwarded-Host",
        })
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hints;

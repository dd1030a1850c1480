//! A secret's text read in other ways.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::super::keys::{Algorithm, KeyText, from_base64, from_hex};
use super::super::{Scheme, Verifier};
use super::Reading;
use crate::secret::Secret;

/// The ways that are tried of each secret, at most.
pub(super) const READINGS: usize = 13;

/// Prefixes that belong to keys whose text is the key, prefix and all.
const PREFIXES: [&str; 2] = ["whsec_", "lin_wh_"];

type Bytes = Zeroizing<Vec<u8>>;

/// The verifier with a given secret instead of its keys, read as the scheme reads it and in other ways.
pub(super) fn readings(verifier: &Verifier, text: &str) -> Vec<(Verifier, Option<Reading>)> {
    let Some((algorithm, form)) = verifier.key_form() else { return by_text(verifier, text) };
    let trimmed = text.trim();
    let keys = match algorithm {
        Algorithm::Ed25519 | Algorithm::EcdsaP256 => public(form, text),
        Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 => {
            let mut keys =
                alloc::vec![(form.read(text).ok(), None), (form.read(trimmed).ok(), Some(Reading::Trimmed)),];
            if form == KeyText::Whole {
                keys.push((whole(&[text, "\n"]), Some(Reading::WithNewline)));
                keys.extend(PREFIXES.map(|prefix| (whole(&[prefix, trimmed]), Some(Reading::WithPrefix))));
            }
            keys.extend(misread(trimmed, form == KeyText::Whole));
            keys
        }
    };
    with_keys(verifier, keys)
}

/// Where the scheme reads texts in a way of its own.
fn by_text(verifier: &Verifier, text: &str) -> Vec<(Verifier, Option<Reading>)> {
    let scheme = verifier.scheme();
    let trimmed = text.trim();
    let mut texts = alloc::vec![
        (Zeroizing::new(String::from(text)), None),
        (Zeroizing::new(trimmed.into()), Some(Reading::Trimmed)),
    ];
    if let (Scheme::Braintree, Some((name, key))) = (scheme, trimmed.split_once(':')) {
        let (name, key) = (name.trim(), key.trim());
        texts.push((Zeroizing::new(alloc::format!("{name}:{key}")), Some(Reading::Trimmed)));
        texts.push((Zeroizing::new(alloc::format!("{name}:{key}\n")), Some(Reading::WithNewline)));
        texts.push((Zeroizing::new(alloc::format!("{key}:{name}")), Some(Reading::Swapped)));
    }
    let read = |text: &str| match scheme {
        Scheme::Standard => Verifier::standard_allow_size(1..=usize::MAX, [text]),
        other => Verifier::new(other, [text]),
    };
    let mut all: Vec<_> =
        texts.iter().filter_map(|(text, reading)| Some((read(text).ok()?.any_time(), *reading))).collect();
    if scheme == Scheme::MessageSignatures {
        all.extend(with_keys(verifier, misread(trimmed, false)));
    }
    all
}

/// The public halves of pairs.
fn public(form: KeyText, text: &str) -> Vec<(Option<Bytes>, Option<Reading>)> {
    let trimmed = text.trim();
    let lines = trimmed.lines().filter(|line| !line.starts_with("-----"));
    let inner: String = lines.map(str::trim).collect();
    let base64 = from_base64(bare(trimmed)).filter(|_| form == KeyText::Hex);
    alloc::vec![
        (form.read(text).ok(), None),
        (form.read(trimmed).ok(), Some(Reading::Trimmed)),
        (form.read(&inner).ok(), Some(Reading::Pem)),
        (base64, Some(Reading::Base64)),
    ]
}

/// The keys that come of reading a shared one in ways that are not the scheme's.
fn misread(text: &str, is_whole: bool) -> Vec<(Option<Bytes>, Option<Reading>)> {
    let bare = bare(text);
    let prefixed = bare.len() != text.len();
    let unprefixed = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=');
    let decode = |engine: base64::engine::GeneralPurpose| engine.decode(unprefixed).ok().map(Zeroizing::new);
    alloc::vec![
        (whole(&[text]).filter(|_| !is_whole && prefixed), Some(Reading::TextWithPrefix)),
        (whole(&[text]).filter(|_| !is_whole && !prefixed), Some(Reading::AsIs)),
        (whole(&[bare]).filter(|_| prefixed), Some(Reading::Text)),
        (from_base64(bare), Some(Reading::Base64)),
        (from_hex(bare), Some(Reading::Hex)),
        (decode(STANDARD_NO_PAD).filter(|_| !unprefixed.len().is_multiple_of(4)), Some(Reading::Unpadded)),
        (decode(URL_SAFE_NO_PAD).filter(|_| unprefixed.contains(['-', '_'])), Some(Reading::UrlSafe)),
    ]
}

/// What stands behind the last `_`.
fn bare(text: &str) -> &str {
    text.rsplit_once('_').map_or(text, |(_, bare)| bare)
}

fn whole(parts: &[&str]) -> Option<Bytes> {
    Some(Zeroizing::new(parts.concat().into_bytes()))
}

fn with_keys(
    verifier: &Verifier,
    keys: impl IntoIterator<Item = (Option<Bytes>, Option<Reading>)>,
) -> Vec<(Verifier, Option<Reading>)> {
    let secrets = keys.into_iter().filter_map(|(key, reading)| {
        let secret = Secret::from_bytes_any_size(&*key?).ok()?;
        Some((verifier.with_key(&secret)?, reading))
    });
    secrets.collect()
}

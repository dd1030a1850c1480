//! The usual mistakes of any scheme, tried by verifying again with one thing put right.

use alloc::vec::Vec;

use super::super::rows::{Row, Stamp, Unit};
use super::super::{Headers, Received, Verifier, VerifyError, standard};
use super::headers::{Mended, NameForm, in_seconds};
use super::looks::other_scheme;
use super::readings::{READINGS, readings};
use super::urls::{URL_FORMS, url_forms};
use super::{BODY_FORMS, Cause, JSON_BYTES, MILLISECONDS_FROM, Node, diagnose, json_forms, plain_forms};
use crate::limits::RING_KEYS;
use crate::time::UnixTime;

/// The times that a request is verified again, at most: under 4 other names of its headers; twice under 28 other schemes
/// with 10 secrets; and with its time as it is and as it may have been meant, each as it is, with 13 readings of 10 secrets,
/// with 25 forms of the body and with 60 of the URL.
pub const MAX_CHECKS: usize = 4 + 2 * 28 * RING_KEYS + 2 * (1 + READINGS * RING_KEYS + BODY_FORMS + URL_FORMS);

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
        let mut headers = Mended { inner: received.headers, names: None, other: None };
        let stranger = other_scheme(self, verifier.scheme(), received, secrets, now);
        if let (Self::Missing { .. }, None) = (self, stranger) {
            for form in NameForm::ALL {
                headers.names = Some(form);
                let named = Cause::HeaderNames { form };
                match verifier.verify(&with(received, &headers), now) {
                    Ok(_) => return alloc::vec![named],
                    Err(error) if error == *self => {}
                    Err(error) => {
                        let mut causes = alloc::vec![named];
                        causes.extend(of_named(&error, verifier, received, headers, secrets, now));
                        return causes;
                    }
                }
            }
            headers.names = None;
        }
        of_named(self, verifier, received, headers, secrets, now)
    }
}

/// The request with these headers.
fn with<'r, H: Headers + ?Sized>(
    received: &Received<'r, H>,
    headers: &'r Mended<'r, H>,
) -> Received<'r, Mended<'r, H>> {
    Received { method: received.method, url: received.url, headers, body: received.body }
}

/// The causes beside the names of headers.
fn of_named<H: Headers + ?Sized>(
    error: &VerifyError,
    verifier: &Verifier,
    received: &Received<'_, H>,
    mut headers: Mended<'_, H>,
    secrets: &[&str],
    now: UnixTime,
) -> Vec<Cause> {
    {
        let received = with(received, &headers);
        if let Some(own) = verifier.as_standard() {
            let causes = diagnose(&own, secrets, &headers, received.body, now, error);
            // What a public key signed is looked for below.
            let svix = causes.first() == Some(&Cause::SvixNames);
            if !causes.is_empty() && (svix || !own.keys().is_empty()) {
                return causes;
            }
            if let Some(cause) = family(error, &received) {
                return alloc::vec![cause];
            }
        }
        if let Some(cause) = other_scheme(error, verifier.scheme(), &received, secrets, now) {
            return alloc::vec![cause];
        }
    }
    let timeless = verifier.clone().any_time();
    let mut found = search(&timeless, &with(received, &headers), secrets, now);
    if found.is_none()
        && let Some(row) = verifier.row()
        && let Some(meant) = in_seconds(&row, received)
    {
        headers.other = Some(meant);
        found = search(&timeless, &with(received, &headers), secrets, now);
    }
    let fits = found.is_some();
    let mut causes = found.unwrap_or_default();
    causes.extend(of_time(error, verifier, now, fits).into_iter().flatten());
    causes
}

/// What is wrong with the time. That its unit is another can be seen; that a clock is off is only worth saying of a time
/// that was signed.
fn of_time(error: &VerifyError, verifier: &Verifier, now: UnixTime, fits: bool) -> [Option<Cause>; 2] {
    let secs = match error {
        VerifyError::TooOld { age, .. } => now.as_secs().saturating_sub(age.as_secs()),
        VerifyError::TooNew { lead, .. } => now.as_secs().saturating_add(lead.as_secs()),
        VerifyError::Expired { ago } => return [None, fits.then_some(Cause::ClockOff { by: *ago, ahead: false })],
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
        | VerifyError::NoMatch { .. } => return [None, None],
    };
    let (unit, secs) = match secs {
        millis if millis >= MILLISECONDS_FROM => (Some(Cause::Milliseconds), millis / 1000),
        // What it was in seconds is lost with its last three digits, which is no reason to blame a clock too.
        short if short < MILLISECONDS_FROM / 1000 && verifier.row().is_some_and(|row| in_millis(&row)) => {
            return [Some(Cause::Seconds), None];
        }
        secs => (None, secs),
    };
    let off = match verifier.check_time(secs, now) {
        Err(VerifyError::TooOld { age, .. }) if fits => Some(Cause::ClockOff { by: age, ahead: false }),
        Err(VerifyError::TooNew { lead, .. }) if fits => Some(Cause::ClockOff { by: lead, ahead: true }),
        Ok(()) | Err(_) => None,
    };
    [unit, off]
}

/// Whether a scheme writes its times in milliseconds.
pub(super) fn in_millis(row: &Row<'_>) -> bool {
    match row.stamp {
        Stamp::Header(_, unit) | Stamp::Item(_, unit) | Stamp::Json(_, unit) => unit == Unit::Millis,
        Stamp::None => false,
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

/// Verifies again with one thing put right, until it fits.
fn search<H: Headers + ?Sized>(
    verifier: &Verifier,
    received: &Received<'_, H>,
    secrets: &[&str],
    now: UnixTime,
) -> Option<Vec<Cause>> {
    if verifier.verify(received, now).is_ok() {
        return Some(Vec::new());
    }
    for (secret, text) in secrets.iter().take(RING_KEYS).enumerate() {
        let readings = readings(verifier, text);
        debug_assert!(readings.len() <= READINGS, "the readings are more than were counted");
        for (other, reading) in readings {
            if let Ok(verified) = other.verify(received, now) {
                return Some(alloc::vec![match reading {
                    Some(reading) => Cause::KeyRead { secret, reading },
                    None => Cause::AnotherKey { secret, key: verified.key() },
                }]);
            }
        }
    }
    let text = core::str::from_utf8(received.body).ok().filter(|text| text.len() <= JSON_BYTES);
    let tree = text.and_then(Node::parse);
    let forms = plain_forms(received.body).into_iter().flatten().chain(tree.iter().flat_map(json_forms));
    for (cause, body) in forms.filter(|(_, form)| form != received.body) {
        if verifier.verify(&Received { body: &body, ..*received }, now).is_ok() {
            return Some(alloc::vec![cause]);
        }
    }
    let signs = verifier.scheme().signs_url() || verifier.row().is_some_and(|row| row.signs_url());
    let forms = if signs { url_forms(verifier.scheme(), received) } else { Vec::new() };
    debug_assert!(forms.len() <= URL_FORMS, "the forms are more than were counted");
    let (changes, _) =
        forms.into_iter().find(|(_, url)| verifier.verify(&Received { url, ..*received }, now).is_ok())?;
    Some(changes.into_iter().map(|form| Cause::WrongUrl { form }).collect())
}

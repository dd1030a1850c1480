//! Which scheme a request seems to be of.

use super::super::bodies::{braintree, field};
use super::super::message::{SIGNATURE, SIGNATURE_INPUT};
use super::super::rows;
use super::super::{Headers, Place, Received, Scheme, Verifier, VerifyError, bodies, pointer, standard};
use super::Cause;
use crate::limits::RING_KEYS;
use crate::time::UnixTime;

/// The scheme whose signature a request has, where it has none of the verifier's: best one that a given secret fits, else
/// the one whose other headers are there too.
pub(super) fn other_scheme<H: Headers + ?Sized>(
    error: &VerifyError,
    own: Scheme,
    received: &Received<'_, H>,
    secrets: &[&str],
    now: UnixTime,
) -> Option<Cause> {
    match error {
        VerifyError::Missing { .. }
        | VerifyError::NoSignature { .. }
        | VerifyError::Downgrade { .. }
        | VerifyError::Field { .. }
        | VerifyError::BadBody { .. } => {}
        VerifyError::Duplicate { .. }
        | VerifyError::TooLong { .. }
        | VerifyError::BadHeader { .. }
        | VerifyError::BadId
        | VerifyError::BadTimestamp
        | VerifyError::TooOld { .. }
        | VerifyError::TooNew { .. }
        | VerifyError::Expired { .. }
        | VerifyError::NotCovered { .. }
        | VerifyError::BodyDigest { .. }
        | VerifyError::NoMatch { .. } => return None,
    }
    let seen = Scheme::ALL.into_iter().filter(|scheme| *scheme != own && looks_like(*scheme, received));
    let best = seen.min_by_key(|scheme| (!fits(*scheme, received, secrets, now), strangeness(*scheme, received)));
    best.map(|scheme| Cause::OtherScheme { scheme })
}

/// Whether a request has what the signature of a scheme is carried in.
fn looks_like<H: Headers + ?Sized>(scheme: Scheme, received: &Received<'_, H>) -> bool {
    let has = |name| received.headers.all(name).next().is_some();
    let says = |at| pointer::find_text(received.body, at).is_some();
    match scheme {
        Scheme::Standard => has(standard::SIGNATURE) || has("svix-signature"),
        Scheme::Twilio => has(bodies::twilio::SIGNATURE.text),
        Scheme::GitlabToken => has("x-gitlab-token"),
        Scheme::MessageSignatures => has(SIGNATURE_INPUT) && has(SIGNATURE),
        Scheme::Braintree => field(received.body, braintree::SIGNATURE).is_ok(),
        Scheme::Mailgun => says("/signature/token") && says("/signature/signature"),
        Scheme::AdyenNotification => says("/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature"),
        Scheme::Custom => false,
        row => rows::of(row).is_some_and(|row| row.has_signature(received)),
    }
}

fn fits<H: Headers + ?Sized>(scheme: Scheme, received: &Received<'_, H>, secrets: &[&str], now: UnixTime) -> bool {
    secrets.iter().take(RING_KEYS).any(|text| {
        let verifier = Verifier::new(scheme, [text.trim()]).map(Verifier::any_time);
        verifier.is_ok_and(|verifier| verifier.verify(received, now).is_ok())
    })
}

/// How little else of a request speaks for a scheme: 0 when the header of its type or id is there, 2 when it should be.
fn strangeness<H: Headers + ?Sized>(scheme: Scheme, received: &Received<'_, H>) -> u8 {
    let facts = scheme.facts();
    let names = [facts.kind.place, facts.id.place].into_iter().filter_map(|place| match place {
        Place::Header(name) => Some(name),
        Place::Nowhere | Place::Json(_) => None,
    });
    let mut score = 1;
    for name in names {
        score = 2;
        if received.headers.all(name).next().is_some() {
            return 0;
        }
    }
    score
}

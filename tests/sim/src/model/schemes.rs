//! What each scheme beside Standard Webhooks puts into a request: computed here once more, by what its inventor says.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::base64;
use crate::observe::{Departure, Key, Scheme, Spec};

/// The header that tells whether a request is signed by a scheme.
pub(super) const fn header(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Github => "x-hub-signature-256",
        Scheme::Stripe => "stripe-signature",
        Scheme::Slack => "x-slack-signature",
        Scheme::Described => "x-sim-signature",
    }
}

/// Every scheme.
pub(super) const ALL: [Scheme; 4] = [Scheme::Github, Scheme::Stripe, Scheme::Slack, Scheme::Described];

/// Whether any scheme is wanted by an endpoint, or seen in a request.
pub(super) fn concern(spec: &Spec, departure: &Departure<'_>) -> bool {
    let is_header = |name: &str| name.starts_with(['x', 's']) && ALL.into_iter().any(|scheme| name == header(scheme));
    !spec.schemes.is_empty() || departure.headers.iter().any(|(name, _)| is_header(name))
}

/// Whether all keys sign, or one.
pub(super) const fn is_list(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Stripe)
}

/// The signatures of a request by this scheme; what does not belong to it is none.
pub(super) fn signatures<'a>(scheme: Scheme, departure: &Departure<'a>, seconds: &str) -> Vec<&'a str> {
    let value = departure.header(header(scheme)).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or("");
    let stamp = |name| departure.header(name) == Some(seconds.as_bytes());
    match scheme {
        Scheme::Github => value.strip_prefix("sha256=").into_iter().collect(),
        Scheme::Slack if !stamp("x-slack-request-timestamp") => Vec::new(),
        Scheme::Slack => value.strip_prefix("v0=").into_iter().collect(),
        Scheme::Described if !stamp("x-sim-time") => Vec::new(),
        Scheme::Described => [value].into(),
        Scheme::Stripe => {
            let (time, rest) = value.split_once(',').unwrap_or((value, ""));
            let items = rest.split(',').map(|item| item.strip_prefix("v1=").unwrap_or("not a v1"));
            if time.strip_prefix("t=") == Some(seconds) { items.collect() } else { Vec::new() }
        }
    }
}

/// What a key signs a request with.
pub(super) fn sign(scheme: Scheme, key: &Key, url: &str, id: &str, seconds: &str, body: &[u8]) -> String {
    let text = format!("whsec_{}", base64::encode(&key.secret));
    let parts: &[&[u8]] = match scheme {
        Scheme::Github => &[body],
        Scheme::Stripe => &[seconds.as_bytes(), b".", body],
        Scheme::Slack => &[b"v0:", seconds.as_bytes(), b":", body],
        Scheme::Described => &[id.as_bytes(), b"/", seconds.as_bytes(), b"/", url.as_bytes(), b"/", body],
    };
    let key = if scheme == Scheme::Described { &key.secret[..] } else { text.as_bytes() };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    parts.iter().for_each(|part| mac.update(part));
    let bytes = mac.finalize().into_bytes();
    if scheme == Scheme::Described {
        return base64::encode(&bytes);
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

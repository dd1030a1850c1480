//! Names that a custom header may not have.

/// Names that say how a request is framed, routed, read or signed, in order. The signature headers are those of every
/// scheme that the engine speaks or recognises, so that no endpoint's owner can put a signature of their own beside
/// ours.
const NAMES: [&str; 50] = [
    "accept-encoding",
    "connection",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "expect",
    "hmacsignature",
    "host",
    "http2-settings",
    "keep-alive",
    "linear-signature",
    "paddle-signature",
    "repr-digest",
    "signature",
    "signature-input",
    "stripe-signature",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "want-content-digest",
    "want-repr-digest",
    "workos-signature",
    "x-dropbox-signature",
    "x-gitea-signature",
    "x-gogs-signature",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-line-signature",
    "x-pagerduty-signature",
    "x-shopify-hmac-sha256",
    "x-signature",
    "x-signature-ed25519",
    "x-signature-timestamp",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-square-hmacsha256-signature",
    "x-square-signature",
    "x-twilio-email-event-webhook-signature",
    "x-twilio-email-event-webhook-timestamp",
    "x-twilio-signature",
    "x-twilio-webhooks-signature-settings",
    "x-webhook-signature",
    "x-zm-request-timestamp",
    "x-zm-signature",
];

/// What reserved names begin with: ours, those of both header families of Standard Webhooks, the attributes of
/// CloudEvents, and what is meant for a proxy.
const PREFIXES: [&str; 5] = ["ce-", "postrider-", "proxy-", "svix-", "webhook-"];

/// Names whose values are credentials, and so secret even where nobody says it.
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];

/// Whether a name, in lower case, belongs to the engine or to the HTTP library.
pub(super) fn is_reserved(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a scheme that an endpoint's owner describes may sign in this header, in lower case: also in one that another
/// scheme has, but in none that says how a request is framed, routed or read, and in none of ours.
pub(super) fn may_carry_signature(name: &str) -> bool {
    let of_a_scheme = name.starts_with("x-") || name.ends_with("-signature") || name == "hmacsignature";
    !is_credential(name)
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && (of_a_scheme || NAMES.binary_search(&name).is_err())
}

/// Whether the value of this header, in lower case, is a credential whatever its owner says.
pub(super) fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_can_be_searched() {
        assert!(NAMES.is_sorted_by(|a, b| a < b) && PREFIXES.is_sorted());
        let lower = |name: &&str| **name == *name.to_ascii_lowercase();
        assert!(NAMES.iter().chain(&PREFIXES).chain(&CREDENTIALS).all(lower));
        assert!(CREDENTIALS.iter().all(|name| !is_reserved(name)), "they may be set, as secrets");
    }
}

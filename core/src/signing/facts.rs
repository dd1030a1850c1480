//! What is known of the schemes that are no rows of the table.

use core::time::Duration;

use super::rows::{in_body, in_header, in_signed_header};
use super::scheme::{Extent, Facts, Source};

const USUAL: Duration = Duration::from_secs(300);

pub(super) const STANDARD: Facts<'static> = Facts {
    id: in_signed_header("webhook-id"),
    time: in_signed_header("webhook-timestamp"),
    kind: in_body("/type"),
    order: in_header("postrider-sequence"),
    body: Extent::Whole,
    tolerance: Some(USUAL),
    gap: "signs no type and no order: a header that tells them is anyone's word",
    source: "Standard Webhooks 1.0.0",
};

pub(super) const TWILIO: Facts<'static> = Facts {
    id: in_header("i-twilio-idempotency-token"),
    time: Source::NONE,
    kind: Source::NONE,
    order: Source::NONE,
    body: Extent::Whole,
    tolerance: None,
    gap: "signs no time, and joins the names and values of a form without a mark: a captured request is valid for ever, \
          under other boundaries of its fields; its digest bounds it",
    source: "https://www.twilio.com/docs/usage/security",
};

pub(super) const ADYEN_NOTIFICATION: Facts<'static> = Facts {
    // Several events may tell of one pspReference, so the digest of the eight members is what tells them apart.
    id: Source::NONE,
    time: Source { covered: false, ..in_body("/notificationItems/0/NotificationRequestItem/eventDate") },
    kind: in_body("/notificationItems/0/NotificationRequestItem/eventCode"),
    order: Source::NONE,
    body: Extent::Part(
        "pspReference, originalReference, merchantAccountCode, merchantReference, amount, eventCode and success of \
         each item",
    ),
    tolerance: None,
    gap: "signs eight fields and no time: the others may be changed, and a captured request is valid for ever; \
          deduplication bounds it",
    source: "https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures",
};

pub(super) const BRAINTREE: Facts<'static> = Facts {
    id: Source::NONE,
    time: Source::NONE,
    kind: Source::NONE,
    order: Source::NONE,
    body: Extent::Part("bt_payload"),
    tolerance: None,
    gap: "signs no time outside of the payload and HMACs with SHA-1: compare the payload's own timestamp",
    source: "https://developer.paypal.com/braintree/docs/guides/webhooks/parse",
};

pub(super) const MAILGUN: Facts<'static> = Facts {
    id: in_body("/signature/token"),
    time: in_body("/signature/timestamp"),
    kind: Source { covered: false, ..in_body("/event-data/event") },
    order: Source { covered: false, ..in_body("/event-data/timestamp") },
    body: Extent::Part("signature.timestamp and signature.token"),
    tolerance: Some(USUAL),
    gap: "does not sign the event: whoever sees one request may send any other under its token until it is too old",
    source: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
};

pub(super) const GITLAB_TOKEN: Facts<'static> = Facts {
    id: in_header("x-gitlab-event-uuid"),
    time: Source::NONE,
    kind: in_header("x-gitlab-event"),
    order: Source::NONE,
    body: Extent::Nothing,
    tolerance: None,
    gap: "signs nothing: whoever sees one request may send any other, for ever",
    source: "https://docs.gitlab.com/user/project/integrations/webhooks/",
};

pub(super) const MESSAGE_SIGNATURES: Facts<'static> = Facts {
    id: in_header("webhook-id"),
    time: in_signed_header("signature-input"),
    kind: Source::NONE,
    order: Source::NONE,
    body: Extent::Whole,
    tolerance: Some(USUAL),
    gap: "covers what the sender chose: a verifier demands method, address and digest unless told otherwise",
    source: "RFC 9421, RFC 9530",
};

/// Of a scheme that the caller describes, nothing is known before.
pub(super) const CUSTOM: Facts<'static> = Facts {
    id: Source::NONE,
    time: Source::NONE,
    kind: Source::NONE,
    order: Source::NONE,
    body: Extent::Nothing,
    tolerance: None,
    gap: "is as good as its description",
    source: "the description that the caller gives",
};

//! The table of schemes that differ in names and spelling only. A new one is a row with its source, and a vector.

use core::time::Duration;

use super::keys::{Algorithm, KeyText, Text};
use super::scheme::{Extent, Facts, Place, Scheme, Source};

/// A scheme whose signature is in a header and covers a text made of parts.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) scheme: Scheme,
    /// The header that carries the signature.
    pub(super) header: Name<'a>,
    /// How the header is written.
    pub(super) form: Form<'a>,
    /// How a signature in it is written.
    pub(super) text: Text,
    pub(super) algorithm: Algorithm,
    /// How the text of a key becomes the key.
    pub(super) key: KeyText,
    /// Where the signed time is.
    pub(super) stamp: Stamp<'a>,
    /// What is signed, one part after the other.
    pub(super) content: [Part<'a>; PARTS],
    /// Where this header is too, this scheme's signature counts for nothing.
    pub(super) never_with: Option<&'static str>,
    pub(super) facts: Facts<'a>,
    /// How errors call the header of the id.
    pub(super) id_said: &'static str,
}

/// The most parts of which a signed text is made.
pub(super) const PARTS: usize = 8;

/// The name of a header, and how errors call it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) said: &'static str,
}

impl Name<'static> {
    pub(super) const fn fixed(text: &'static str) -> Self {
        Self { text, said: text }
    }
}

/// How a signature's header is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// One signature behind a prefix, which may be empty.
    Plain(&'a str),
    /// `label=value` items parted by a separator. Items with the label are signatures, others are passed over.
    List { separator: &'static str, label: &'static str },
}

/// Where the time is that a signature covers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp<'a> {
    None,
    /// In a header of its own.
    Header(Name<'a>, Unit),
    /// In the item of the signature's header with this label.
    Item(&'static str, Unit),
    /// In the JSON body, which is read once the signature fits.
    Json(&'static str, Unit),
}

/// What a timestamp counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

/// A part of what is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// This text.
    Is(&'a str),
    /// The id as it stands in its header.
    Id,
    /// The time as it stands in its header.
    Time,
    /// The URL as the sender has it.
    Url,
    /// The body.
    Body,
}

impl Row<'_> {
    pub(super) fn signs_url(&self) -> bool {
        self.content.contains(&Part::Url)
    }
}

/// The row of a scheme, if it is one of the table.
pub(super) fn of(scheme: Scheme) -> Option<&'static Row<'static>> {
    TABLE.iter().find(|row| row.scheme == scheme)
}

/// A value from a header that no signature covers.
pub(super) const fn in_header(name: &'static str) -> Source<'static> {
    Source::bare(Place::Header(name))
}

/// A value from a header that the signature covers.
pub(super) const fn in_signed_header(name: &'static str) -> Source<'static> {
    Source::covered(Place::Header(name))
}

/// A value from a body that the signature covers.
pub(super) const fn in_body(pointer: &'static str) -> Source<'static> {
    Source::covered(Place::Json(pointer))
}

const fn parts<const N: usize>(given: [Part<'static>; N]) -> [Part<'static>; PARTS] {
    let mut all = [Part::Is(""); PARTS];
    let mut n = 0;
    while n < N {
        all[n] = given[n];
        n += 1;
    }
    all
}

const BODY: [Part<'static>; PARTS] = parts([Part::Body]);
const NONE: Source<'static> = Source::NONE;
pub(super) const REPLAYED: &str = "signs no time: a captured request is valid for ever; deduplication bounds it";

const fn facts(source: &'static str, gap: &'static str) -> Facts<'static> {
    Facts { id: NONE, time: NONE, kind: NONE, order: NONE, body: Extent::Whole, tolerance: None, gap, source }
}

const fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}

/// HMAC-SHA256 of the body under the key's text, in lower-case hexadecimal digits: what most rows begin with.
const fn hex(scheme: Scheme, header: &'static str, facts: Facts<'static>) -> Row<'static> {
    Row {
        scheme,
        header: Name::fixed(header),
        form: Form::Plain(""),
        text: Text::Hex,
        algorithm: Algorithm::HmacSha256,
        key: KeyText::Whole,
        stamp: Stamp::None,
        content: BODY,
        never_with: None,
        facts,
        id_said: match facts.id.place {
            Place::Header(name) => name,
            Place::Nowhere | Place::Json(_) => "",
        },
    }
}

/// The same in base64.
const fn base64(scheme: Scheme, header: &'static str, facts: Facts<'static>) -> Row<'static> {
    Row { text: Text::Base64, ..hex(scheme, header, facts) }
}

/// The table.
pub(super) static TABLE: [Row<'static>; 21] = [
    Row {
        form: Form::Plain("sha256="),
        ..hex(
            Scheme::Github,
            "x-hub-signature-256",
            Facts {
                id: in_header("x-github-delivery"),
                kind: in_header("x-github-event"),
                ..facts(
                    "https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries",
                    "signs no time and no id: a captured request is valid for ever, under any id; its digest bounds it",
                )
            },
        )
    },
    Row {
        form: Form::Plain("sha1="),
        algorithm: Algorithm::HmacSha1,
        never_with: Some("x-hub-signature-256"),
        ..hex(
            Scheme::GithubSha1,
            "x-hub-signature",
            Facts {
                id: in_header("x-github-delivery"),
                kind: in_header("x-github-event"),
                ..facts(
                    "https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers",
                    "HMAC with SHA-1; signs no time and no id: a captured request is valid for ever; its digest bounds it",
                )
            },
        )
    },
    Row {
        form: Form::Plain("sha256="),
        ..hex(
            Scheme::Meta,
            "x-hub-signature-256",
            Facts {
                time: in_body("/entry/0/time"),
                kind: in_body("/object"),
                ..facts("https://developers.facebook.com/docs/graph-api/webhooks/getting-started", REPLAYED)
            },
        )
    },
    Row {
        form: Form::List { separator: ",", label: "v1" },
        stamp: Stamp::Item("t", Unit::Seconds),
        content: parts([Part::Time, Part::Is("."), Part::Body]),
        ..hex(
            Scheme::Stripe,
            "stripe-signature",
            Facts {
                id: in_body("/id"),
                time: in_signed_header("stripe-signature"),
                kind: in_body("/type"),
                order: in_body("/created"),
                tolerance: secs(300),
                ..facts(
                    "https://docs.stripe.com/webhooks/signature",
                    "tells no order but a creation time in whole seconds",
                )
            },
        )
    },
    Row {
        form: Form::Plain("v0="),
        stamp: Stamp::Header(Name::fixed("x-slack-request-timestamp"), Unit::Seconds),
        content: parts([Part::Is("v0:"), Part::Time, Part::Is(":"), Part::Body]),
        ..hex(
            Scheme::Slack,
            "x-slack-signature",
            Facts {
                id: in_body("/event_id"),
                time: in_signed_header("x-slack-request-timestamp"),
                kind: in_body("/event/type"),
                order: in_body("/event_time"),
                tolerance: secs(300),
                ..facts(
                    "https://docs.slack.dev/authentication/verifying-requests-from-slack",
                    "slash commands have no id: their digest bounds a repeat inside the tolerance",
                )
            },
        )
    },
    base64(
        Scheme::Shopify,
        "x-shopify-hmac-sha256",
        Facts {
            id: in_header("x-shopify-webhook-id"),
            time: in_header("x-shopify-triggered-at"),
            kind: in_header("x-shopify-topic"),
            order: in_header("x-shopify-triggered-at"),
            ..facts(
                "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
                "signs no time, id, topic or shop: a captured request is valid for ever, under any of them; its digest \
             bounds it",
            )
        },
    ),
    Row {
        content: parts([Part::Url, Part::Body]),
        ..base64(
            Scheme::Square,
            "x-square-hmacsha256-signature",
            Facts {
                id: in_body("/event_id"),
                time: in_body("/created_at"),
                kind: in_body("/type"),
                ..facts(
                    "https://developer.squareup.com/docs/webhooks/step3validate",
                    "signs no time, and joins URL and body without a mark: the URL must be the caller's own, not the \
                 request's",
                )
            },
        )
    },
    Row {
        text: Text::AnyHex,
        algorithm: Algorithm::Ed25519,
        key: KeyText::Hex,
        stamp: Stamp::Header(Name::fixed("x-signature-timestamp"), Unit::Seconds),
        content: parts([Part::Time, Part::Body]),
        ..hex(
            Scheme::Discord,
            "x-signature-ed25519",
            Facts {
                id: in_body("/id"),
                time: in_signed_header("x-signature-timestamp"),
                kind: in_body("/type"),
                tolerance: secs(300),
                ..facts(
                    "https://discord.com/developers/docs/interactions/overview#setting-up-an-endpoint",
                    "joins time and body without a mark: digits may move between them, which no JSON body survives",
                )
            },
        )
    },
    Row {
        stamp: Stamp::Json("/webhookTimestamp", Unit::Millis),
        ..hex(
            Scheme::Linear,
            "linear-signature",
            Facts {
                id: in_header("linear-delivery"),
                time: in_body("/webhookTimestamp"),
                kind: in_body("/type"),
                order: in_body("/webhookTimestamp"),
                tolerance: secs(60),
                ..facts("https://linear.app/developers/webhooks", "signs no id: its digest bounds a repeat")
            },
        )
    },
    Row {
        form: Form::List { separator: ";", label: "h1" },
        stamp: Stamp::Item("ts", Unit::Seconds),
        content: parts([Part::Time, Part::Is(":"), Part::Body]),
        ..hex(
            Scheme::Paddle,
            "paddle-signature",
            Facts {
                id: in_body("/event_id"),
                time: in_signed_header("paddle-signature"),
                kind: in_body("/event_type"),
                order: in_body("/occurred_at"),
                tolerance: secs(5),
                ..facts(
                    "https://developer.paddle.com/webhooks/signature-verification",
                    "five seconds are little: a receiver whose clock is off needs a wider tolerance",
                )
            },
        )
    },
    base64(
        Scheme::Line,
        "x-line-signature",
        Facts {
            // A batch has no id of its own, and that of its first event tells nothing of the others.
            time: in_body("/events/0/timestamp"),
            kind: in_body("/events/0/type"),
            order: in_body("/events/0/timestamp"),
            ..facts("https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/", REPLAYED)
        },
    ),
    Row {
        algorithm: Algorithm::EcdsaP256,
        key: KeyText::Spki,
        stamp: Stamp::Header(Name::fixed("x-twilio-email-event-webhook-timestamp"), Unit::Seconds),
        content: parts([Part::Time, Part::Body]),
        ..base64(
            Scheme::Sendgrid,
            "x-twilio-email-event-webhook-signature",
            Facts {
                // A batch has no id of its own, and that of its first event tells nothing of the others.
                time: in_signed_header("x-twilio-email-event-webhook-timestamp"),
                kind: in_body("/0/event"),
                order: in_body("/0/timestamp"),
                ..facts(
                    "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
                    "its library compares no time: a captured request is valid for ever until a tolerance is set; \
                 deduplication bounds it",
                )
            },
        )
    },
    Row {
        key: KeyText::Hex,
        ..base64(
            Scheme::AdyenHeader,
            "hmacsignature",
            Facts {
                kind: in_body("/type"),
                ..facts("https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures", REPLAYED)
            },
        )
    },
    Row {
        form: Form::List { separator: ", ", label: "v1" },
        stamp: Stamp::Item("t", Unit::Millis),
        content: parts([Part::Time, Part::Is("."), Part::Body]),
        ..hex(
            Scheme::Workos,
            "workos-signature",
            Facts {
                id: in_body("/id"),
                time: in_signed_header("workos-signature"),
                kind: in_body("/event"),
                order: in_body("/created_at"),
                tolerance: secs(180),
                ..facts("https://workos.com/docs/events/data-syncing/webhooks", "tells no order but a creation time")
            },
        )
    },
    Row {
        form: Form::Plain("v0="),
        stamp: Stamp::Header(Name::fixed("x-zm-request-timestamp"), Unit::Seconds),
        content: parts([Part::Is("v0:"), Part::Time, Part::Is(":"), Part::Body]),
        ..hex(
            Scheme::Zoom,
            "x-zm-signature",
            Facts {
                time: in_signed_header("x-zm-request-timestamp"),
                kind: in_body("/event"),
                order: in_body("/event_ts"),
                tolerance: secs(300),
                ..facts(
                    "https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events",
                    "has no id: its digest bounds a repeat inside the tolerance",
                )
            },
        )
    },
    Row {
        form: Form::List { separator: ",", label: "v1" },
        ..hex(
            Scheme::Pagerduty,
            "x-pagerduty-signature",
            Facts {
                id: in_body("/event/id"),
                time: in_body("/event/occurred_at"),
                kind: in_body("/event/event_type"),
                order: in_body("/event/occurred_at"),
                ..facts("https://developer.pagerduty.com/docs/verifying-webhook-signatures", REPLAYED)
            },
        )
    },
    hex(
        Scheme::Dropbox,
        "x-dropbox-signature",
        facts("https://www.dropbox.com/developers/reference/webhooks", REPLAYED),
    ),
    hex(
        Scheme::Gitea,
        "x-gitea-signature",
        Facts {
            id: in_header("x-gitea-delivery"),
            kind: in_header("x-gitea-event"),
            ..facts(
                "https://docs.gitea.com/usage/webhooks",
                "signs no time and no id: a captured request is valid for ever, under any id; its digest bounds it",
            )
        },
    ),
    hex(
        Scheme::Lemonsqueezy,
        "x-signature",
        Facts {
            kind: in_body("/meta/event_name"),
            order: in_body("/data/attributes/updated_at"),
            ..facts("https://docs.lemonsqueezy.com/help/webhooks/signing-requests", REPLAYED)
        },
    ),
    Row {
        form: Form::Plain("sha1="),
        algorithm: Algorithm::HmacSha1,
        ..hex(
            Scheme::Intercom,
            "x-hub-signature",
            Facts {
                id: in_body("/id"),
                time: in_body("/created_at"),
                kind: in_body("/topic"),
                order: in_body("/created_at"),
                ..facts(
                    "https://developers.intercom.com/docs/webhooks/setting-up-webhooks#signed-notifications",
                    "HMAC with SHA-1; signs no time: a captured request is valid for ever; deduplication bounds it",
                )
            },
        )
    },
    Row {
        form: Form::Plain("sha256="),
        ..hex(
            Scheme::Bitbucket,
            "x-hub-signature",
            Facts {
                id: in_header("x-request-uuid"),
                kind: in_header("x-event-key"),
                ..facts(
                    "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
                    "signs no time and no id: a captured request is valid for ever, under any id; its digest bounds it",
                )
            },
        )
    },
];

//! The schemes by name, and what is known of each.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use super::keys::Algorithm;
use super::{facts, rows};

/// A way of signing webhooks.
///
/// Two schemes may read the same header and mean different things by it: a verifier is always of one scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Standard Webhooks 1.0.0, `v1` and `v1a`.
    Standard,
    /// GitHub.
    Github,
    /// GitHub's old header.
    GithubSha1,
    /// Meta: Facebook, Instagram, WhatsApp.
    Meta,
    /// Stripe.
    Stripe,
    /// Slack.
    Slack,
    /// Shopify.
    Shopify,
    /// Twilio.
    Twilio,
    /// Square.
    Square,
    /// Discord.
    Discord,
    /// Linear.
    Linear,
    /// Paddle Billing.
    Paddle,
    /// LINE.
    Line,
    /// Twilio SendGrid's event webhook.
    Sendgrid,
    /// Adyen's payment notifications, signed item by item.
    AdyenNotification,
    /// Adyen's banking and management webhooks, signed whole.
    AdyenHeader,
    /// WorkOS.
    Workos,
    /// Braintree.
    Braintree,
    /// Zoom.
    Zoom,
    /// PagerDuty.
    Pagerduty,
    /// Mailgun.
    Mailgun,
    /// Dropbox.
    Dropbox,
    /// Gitea, Forgejo, Gogs.
    Gitea,
    /// Lemon Squeezy.
    Lemonsqueezy,
    /// Intercom.
    Intercom,
    /// Bitbucket.
    Bitbucket,
    /// GitLab's bare token, which signs nothing.
    GitlabToken,
    /// HTTP Message Signatures (RFC 9421) with `Content-Digest` (RFC 9530).
    MessageSignatures,
    /// An HMAC that the caller has described ([`Custom`](super::Custom)).
    Custom,
}

impl Scheme {
    /// Every scheme, in the order of this page.
    pub const ALL: [Self; 29] = [
        Self::Standard,
        Self::Github,
        Self::GithubSha1,
        Self::Meta,
        Self::Stripe,
        Self::Slack,
        Self::Shopify,
        Self::Twilio,
        Self::Square,
        Self::Discord,
        Self::Linear,
        Self::Paddle,
        Self::Line,
        Self::Sendgrid,
        Self::AdyenNotification,
        Self::AdyenHeader,
        Self::Workos,
        Self::Braintree,
        Self::Zoom,
        Self::Pagerduty,
        Self::Mailgun,
        Self::Dropbox,
        Self::Gitea,
        Self::Lemonsqueezy,
        Self::Intercom,
        Self::Bitbucket,
        Self::GitlabToken,
        Self::MessageSignatures,
        Self::Custom,
    ];

    /// The name by which a person asks for it, such as `github`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard-webhooks",
            Self::Github => "github",
            Self::GithubSha1 => "github-sha1",
            Self::Meta => "meta",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
            Self::Shopify => "shopify",
            Self::Twilio => "twilio",
            Self::Square => "square",
            Self::Discord => "discord",
            Self::Linear => "linear",
            Self::Paddle => "paddle",
            Self::Line => "line",
            Self::Sendgrid => "sendgrid",
            Self::AdyenNotification => "adyen-notification",
            Self::AdyenHeader => "adyen-header",
            Self::Workos => "workos",
            Self::Braintree => "braintree",
            Self::Zoom => "zoom",
            Self::Pagerduty => "pagerduty",
            Self::Mailgun => "mailgun",
            Self::Dropbox => "dropbox",
            Self::Gitea => "gitea",
            Self::Lemonsqueezy => "lemonsqueezy",
            Self::Intercom => "intercom",
            Self::Bitbucket => "bitbucket",
            Self::GitlabToken => "gitlab",
            Self::MessageSignatures => "http-message-signatures",
            Self::Custom => "custom",
        }
    }

    /// What it is made of.
    pub(super) fn family(self) -> Family {
        match self {
            Self::Standard => Family::Standard,
            Self::Twilio => Family::Twilio,
            Self::AdyenNotification => Family::Adyen,
            Self::Braintree => Family::Braintree,
            Self::Mailgun => Family::Mailgun,
            Self::GitlabToken => Family::Token,
            Self::MessageSignatures => Family::Message,
            Self::Custom => Family::Custom,
            Self::Github
            | Self::GithubSha1
            | Self::Meta
            | Self::Stripe
            | Self::Slack
            | Self::Shopify
            | Self::Square
            | Self::Discord
            | Self::Linear
            | Self::Paddle
            | Self::Line
            | Self::Sendgrid
            | Self::AdyenHeader
            | Self::Workos
            | Self::Zoom
            | Self::Pagerduty
            | Self::Dropbox
            | Self::Gitea
            | Self::Lemonsqueezy
            | Self::Intercom
            | Self::Bitbucket => Family::Row(rows::of(self).expect("every scheme that is not built apart is a row")),
        }
    }

    /// What is known of it. That of [`Custom`](Self::Custom) is in its description, so here it has nothing.
    pub fn facts(self) -> &'static Facts<'static> {
        match self.family() {
            Family::Row(row) => &row.facts,
            Family::Standard => &facts::STANDARD,
            Family::Twilio => &facts::TWILIO,
            Family::Adyen => &facts::ADYEN_NOTIFICATION,
            Family::Braintree => &facts::BRAINTREE,
            Family::Mailgun => &facts::MAILGUN,
            Family::Token => &facts::GITLAB_TOKEN,
            Family::Message => &facts::MESSAGE_SIGNATURES,
            Family::Custom => &facts::CUSTOM,
        }
    }

    /// Whether a signature covers the whole address, so that a verifier must be told the URL as the sender has it.
    pub fn signs_url(self) -> bool {
        rows::of(self).is_some_and(rows::Row::signs_url) || matches!(self, Self::Twilio | Self::MessageSignatures)
    }

    /// What signs, where the scheme has only one way.
    pub fn algorithm(self) -> Option<Algorithm> {
        rows::of(self).map(|row| row.algorithm)
    }
}

/// How a scheme is built: as a row of the table, or apart.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Row(&'static rows::Row<'static>),
    Standard,
    Twilio,
    Adyen,
    Braintree,
    Mailgun,
    Token,
    Message,
    Custom,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheme {
    type Err = SchemeError;

    /// Finds the scheme of this [`name`](Self::name); `standard` is understood too.
    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let text = if text == "standard" { "standard-webhooks" } else { text };
        Self::ALL.into_iter().find(|scheme| scheme.name() == text).ok_or(SchemeError)
    }
}

/// The text is not the name of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemeError;

impl fmt::Display for SchemeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not the name of a signature scheme, which are ")?;
        for (n, scheme) in Scheme::ALL.into_iter().enumerate() {
            write!(f, "{}{scheme}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl core::error::Error for SchemeError {}

/// Where a scheme's requests carry what a receiver asks for, and what of it the signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// The event's id, the same whenever it is sent again.
    pub id: Source<'a>,
    /// When the request was signed, or else when the event happened.
    pub time: Source<'a>,
    /// The event's type.
    pub kind: Source<'a>,
    /// What tells which of two events is the later one.
    pub order: Source<'a>,
    /// How much of the body the signature covers.
    pub body: Extent,
    /// How far the signed time may lie from the receiver's clock unless told otherwise. None where nobody is told
    /// when a request was signed, or where the provider sends a request again with its old time.
    pub tolerance: Option<Duration>,
    /// What the scheme leaves open, in one line.
    pub gap: &'static str,
    /// Where the scheme is described.
    pub source: &'static str,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source<'a> {
    /// The place.
    pub place: Place<'a>,
    /// Whether the signature covers it. What it does not cover, anyone on the way may have changed.
    pub covered: bool,
}

/// A place in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place<'a> {
    /// The scheme has none.
    Nowhere,
    /// A header, by its name in lower case, or a part of it.
    Header(&'a str),
    /// A member of the JSON body, by its pointer (RFC 6901).
    Json(&'a str),
}

/// How much of the body a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// Every byte.
    Whole,
    /// The members of it that are named. The others, anyone on the way may have changed.
    Part(&'static str),
    /// Nothing.
    Nothing,
}

impl<'a> Source<'a> {
    /// The scheme has none.
    pub(super) const NONE: Self = Self { place: Place::Nowhere, covered: false };

    pub(super) const fn covered(place: Place<'a>) -> Self {
        Self { place, covered: true }
    }

    pub(super) const fn bare(place: Place<'a>) -> Self {
        Self { place, covered: false }
    }
}

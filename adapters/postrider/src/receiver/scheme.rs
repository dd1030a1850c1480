//! Verifiers by the name of who sends, each of one secret as the sender writes it.
//!
//! ```
//! use postrider::receiver::scheme;
//!
//! let verifier = scheme::stripe("whsec_0123456789abcdefghij")?;
//! # Ok::<(), postrider::Error>(())
//! ```
//!
//! While a secret is rotated there are two of them: [`Verifier`] takes any number, and has every scheme
//! ([`Scheme`]) and the tolerances.

use postrider_core::signing::{Scheme, Verifier, VerifierError};

macro_rules! schemes {
    ($($(#[$doc:meta])* $name:ident: $scheme:ident,)*) => {$(
        $(#[$doc])*
        pub fn $name(secret: impl AsRef<str>) -> Result<Verifier, VerifierError> {
            Verifier::new(Scheme::$scheme, [secret])
        }
    )*};
}

schemes! {
    /// Standard Webhooks, and whoever signs by them, Postrider among them: `whsec_` and base64, or `whpk_`.
    standard: Standard,
    /// GitHub: the webhook's secret.
    github: Github,
    /// Meta, with Facebook, Instagram and WhatsApp: the app secret.
    meta: Meta,
    /// Stripe: the endpoint's secret, `whsec_` and all.
    stripe: Stripe,
    /// Slack: the signing secret.
    slack: Slack,
    /// Shopify: the app's client secret.
    shopify: Shopify,
    /// Twilio: the auth token. It signs the URL; see `ReceiverConfig::public_url`.
    twilio: Twilio,
    /// Square: the subscription's signature key. It signs the URL; see `ReceiverConfig::public_url`.
    square: Square,
    /// Discord: the application's public key in hexadecimal digits.
    discord: Discord,
    /// Linear: the webhook's signing secret.
    linear: Linear,
    /// Paddle Billing: the destination's secret, `pdl_ntfset_` and all.
    paddle: Paddle,
    /// LINE: the channel secret.
    line: Line,
    /// Adyen's payment notifications: the HMAC key in hexadecimal digits.
    adyen_notification: AdyenNotification,
    /// Adyen's banking and management webhooks: the HMAC key in hexadecimal digits.
    adyen_header: AdyenHeader,
    /// WorkOS: the endpoint's secret.
    workos: Workos,
    /// Braintree: the public key, `:`, and the private key.
    braintree: Braintree,
    /// Zoom: the app's secret token.
    zoom: Zoom,
    /// PagerDuty: the subscription's secret.
    pagerduty: Pagerduty,
    /// Mailgun: the webhook signing key.
    mailgun: Mailgun,
    /// Dropbox: the app secret.
    dropbox: Dropbox,
    /// Gitea, Forgejo and Gogs: the webhook's secret.
    gitea: Gitea,
    /// Lemon Squeezy: the webhook's secret.
    lemonsqueezy: Lemonsqueezy,
    /// Intercom: the app's client secret.
    intercom: Intercom,
    /// Bitbucket: the webhook's secret.
    bitbucket: Bitbucket,
    /// GitLab's bare token, which signs nothing: whoever sees one request can send any other.
    gitlab_token: GitlabToken,
}

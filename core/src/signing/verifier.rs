//! One verifier for every scheme.

use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use hmac::digest::CtOutput;
use sha2::{Digest as _, Sha256};

use super::bodies::{adyen, braintree::Braintree, mailgun, twilio::Twilio};
use super::custom::Custom;
use super::error::{KeyError, VerifierError, VerifyError};
use super::keys::{self, Algorithm, Key, KeyText, Ring};
use super::message::{MessageKey, Policy};
use super::receipt::DeliveryReceipt;
use super::received::{Received, Window};
use super::rows::{Name, PARTS, Row};
use super::scheme::Family;
use super::verified::{Signed, Told, Verified};
use super::{Facts, Headers, Scheme, facts, standard};
use crate::limits::{KEY_BYTES, RING_KEYS};
use crate::secret::{KeyId, Secret};
use crate::time::UnixTime;

const TOKEN: Name<'static> = Name::fixed("x-gitlab-token");

/// Checks requests of one scheme against 1 to 10 keys ([`RING_KEYS`]).
///
/// It holds the scheme, the keys and the tolerances. Keys come only from here, never from a request. One verifier
/// serves any number of requests, from any thread. There is none without a scheme, since the same text can be a key of
/// two schemes and mean two things: `whsec_` is base64 to [`standard`](Self::standard) and plain text to
/// [`stripe`](Self::stripe).
///
/// ```
/// use postrider_core::signing::{Received, Verifier};
/// use postrider_core::time::UnixTime;
///
/// let verifier = Verifier::github(["It's a Secret to Everybody"])?;
/// let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
/// let headers = [("x-hub-signature-256", signature), ("x-github-delivery", "72d3162e")];
/// let received = Received { method: "POST", url: "/", headers: &headers, body: b"Hello, World!" };
/// let verified = verifier.verify(&received, UnixTime::from_secs(1_700_000_000))?;
/// assert_eq!(verified.body(), b"Hello, World!");
/// // Anyone could have changed the id, so it is not enough to tell a repeat.
/// assert_eq!((verified.id().as_deref(), verified.covered().id), (Some("72d3162e"), false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    scheme: Scheme,
    window: Window,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Standard(standard::Verifier),
    Row(&'static Row<'static>, Ring),
    Custom(Custom, Ring),
    Twilio(Twilio),
    Braintree(Braintree),
    Mailgun(Ring),
    Adyen(Ring),
    Token(Vec<(KeyId, CtOutput<Sha256>)>),
    Message(Policy),
}

/// Constructors of schemes that take nothing but the texts of keys.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident: $scheme:ident,)*) => {$(
        $(#[$doc])*
        pub fn $name<T: AsRef<str>>(keys: impl IntoIterator<Item = T>) -> Result<Self, VerifierError> {
            Self::new(Scheme::$scheme, keys)
        }
    )*};
}

impl Verifier {
    constructors! {
        /// GitHub. Keys are the webhook's secret as text.
        github: Github,
        /// Meta. Keys are the app secret as text.
        meta: Meta,
        /// Stripe. Keys are the endpoint's secret as text, `whsec_` and all.
        stripe: Stripe,
        /// Slack. Keys are the signing secret as text.
        slack: Slack,
        /// Shopify. Keys are the app's client secret as text.
        shopify: Shopify,
        /// Twilio. Keys are the auth token as text. The URL of a request must be the one that Twilio calls.
        twilio: Twilio,
        /// Square. Keys are the subscription's signature key as text. The URL of a request must be the subscription's.
        square: Square,
        /// Discord. Keys are the application's public key in hexadecimal digits. Needs the feature `ed25519`.
        discord: Discord,
        /// Linear. Keys are the webhook's signing secret as text.
        linear: Linear,
        /// Paddle Billing. Keys are the destination's secret as text, `pdl_ntfset_` and all.
        paddle: Paddle,
        /// SendGrid. Keys are the verification key, base64 as SendGrid shows it. Needs the feature `p256`.
        sendgrid: Sendgrid,
        /// Zoom. Keys are the app's secret token as text.
        zoom: Zoom,
        /// GitLab's bare token, which signs nothing: whoever sees one request can send any other. Named so that
        /// nobody takes it for a signature.
        gitlab_token: GitlabToken,
        /// Standard Webhooks: `whsec_` keys of 24 to 64 bytes for `v1`, `whpk_` keys for `v1a` (with the feature
        /// `ed25519`).
        standard: Standard,
    }

    /// Standard Webhooks, for a sender whose shared keys have another size: that many bytes, but never none.
    pub fn standard_allow_size<T: AsRef<str>>(
        sizes: RangeInclusive<usize>,
        keys: impl IntoIterator<Item = T>,
    ) -> Result<Self, VerifierError> {
        standard::Verifier::read(keys, &sizes).map(Self::from)
    }

    /// A verifier of any scheme that takes nothing but the texts of keys, written as the provider writes them.
    ///
    /// For [`Scheme::Braintree`] each is the public key, `:`, and the private key. For [`Scheme::MessageSignatures`]
    /// each is `whsec_` and base64 of any size, or `whpk_` and base64. [`Scheme::Custom`] needs
    /// [`custom`](Self::custom).
    pub fn new<T: AsRef<str>>(scheme: Scheme, keys: impl IntoIterator<Item = T>) -> Result<Self, VerifierError> {
        let kind = match scheme.family() {
            Family::Row(row) => Kind::Row(row, Ring::read(row.algorithm, row.key, keys)?),
            Family::Standard => return standard::Verifier::read(keys, &KEY_BYTES).map(Self::from),
            Family::Twilio => Kind::Twilio(Twilio::read(keys)?),
            Family::Braintree => Kind::Braintree(Braintree::read(keys)?),
            Family::Mailgun => Kind::Mailgun(Ring::read(Algorithm::HmacSha256, KeyText::Whole, keys)?),
            Family::Adyen => Kind::Adyen(Ring::read(Algorithm::HmacSha256, KeyText::Hex, keys)?),
            Family::Token => Kind::Token(tokens(keys)?),
            Family::Message => {
                let keys: Vec<_> =
                    keys.into_iter().map(|text| MessageKey::read(text.as_ref())).collect::<Result<_, _>>()?;
                Kind::Message(Policy::new(keys)?)
            }
            Family::Custom => return Err(VerifierError::NeedsMore),
        };
        Ok(Self::of(scheme, kind))
    }

    /// A scheme that the caller has described.
    pub fn custom<T: AsRef<str>>(scheme: Custom, keys: impl IntoIterator<Item = T>) -> Result<Self, VerifierError> {
        scheme.check().map_err(VerifierError::Custom)?;
        let ring = Ring::read(scheme.algorithm(), scheme.key(), keys)?;
        let window = Window::both(scheme.tolerance());
        Ok(Self { scheme: Scheme::Custom, window, kind: Kind::Custom(scheme, ring) })
    }

    /// Braintree, by pairs of a public and a private key.
    pub fn braintree<'k>(pairs: impl IntoIterator<Item = (&'k str, &'k str)>) -> Result<Self, VerifierError> {
        Self::new(Scheme::Braintree, pairs.into_iter().map(|(public, private)| alloc::format!("{public}:{private}")))
    }

    /// HTTP Message Signatures. A signature must cover the method, the address (the target URI, or authority and
    /// path) and the digest of a body, and carry its time; [`require`](Self::require) says otherwise.
    pub fn message_signatures(keys: impl IntoIterator<Item = MessageKey>) -> Result<Self, VerifierError> {
        Ok(Self::of(Scheme::MessageSignatures, Kind::Message(Policy::new(keys)?)))
    }

    fn of(scheme: Scheme, kind: Kind) -> Self {
        Self { scheme, window: Window::both(scheme.facts().tolerance), kind }
    }

    /// How far a signed time may lie from the receiver's clock, either way, compared in whole seconds. Zero means the
    /// same second, it does not turn the check off. Without it the scheme's own holds
    /// ([`Facts::tolerance`](super::Facts)). Schemes that sign no time have nothing to compare.
    #[must_use]
    pub fn tolerance(self, either_way: Duration) -> Self {
        self.past_tolerance(either_way).future_tolerance(either_way)
    }

    /// How old a signed time may be.
    #[must_use]
    pub fn past_tolerance(mut self, past: Duration) -> Self {
        self.window.past = Some(past);
        self
    }

    /// How far ahead a signed time may be.
    #[must_use]
    pub fn future_tolerance(mut self, future: Duration) -> Self {
        self.window.future = Some(future);
        self
    }

    /// Compares no time: a captured request is then valid for ever, and only deduplication bounds it. For providers
    /// that send a request again with its old time.
    #[must_use]
    pub fn any_time(mut self) -> Self {
        self.window = Window::OPEN;
        self
    }

    /// Whether Standard Webhooks may come under the names `svix-id`, `svix-timestamp` and `svix-signature` too. Where a
    /// request has all three, its `webhook-*` headers are not looked at. Off by default; other schemes have no such
    /// names.
    #[must_use]
    pub fn accept_svix_names(mut self, accept: bool) -> Self {
        if let Kind::Standard(verifier) = self.kind {
            self.kind = Kind::Standard(verifier.accept_svix_names(accept));
        }
        self
    }

    /// The components that a message signature must cover, in place of the usual ones. None at all accepts whatever
    /// the sender chose, even a signature that does not cover the body. Other schemes always cover the same.
    #[must_use]
    pub fn require(mut self, components: impl IntoIterator<Item = &'static str>) -> Self {
        if let Kind::Message(policy) = &mut self.kind {
            policy.demand(components.into_iter().collect());
        }
        self
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What is known of the scheme, or what the description of a custom one says. Message signatures cover what their sender
    /// chose: [`Verified::covered`] tells it of each.
    pub fn facts(&self) -> Facts<'_> {
        self.row().map_or_else(|| *self.scheme.facts(), |row| row.facts)
    }

    /// Whether it looks at the URL of a request.
    pub fn signs_url(&self) -> bool {
        self.row().map_or_else(|| self.scheme.signs_url(), |row| row.signs_url())
    }

    /// Checks a request that was received at `now`.
    ///
    /// Checked in this order: headers present, once each and of at most 8 KiB; the id, where a header carries it; the
    /// time; and then every listed signature, 32 at most ([`SIGNATURES`](crate::limits::SIGNATURES)), against every
    /// key, shared keys' in constant time and without stopping at the first that fits. Signatures of unknown versions
    /// are passed over. Where several keys fit, the first is named. What a body says of the time is read last.
    ///
    /// Accepting an HMAC in a header allocates nothing.
    pub fn verify<'r, H: Headers + ?Sized>(
        &'r self,
        received: &Received<'r, H>,
        now: UnixTime,
    ) -> Result<Verified<'r>, VerifyError> {
        match &self.kind {
            Kind::Standard(verifier) => standard(verifier, &self.window, received, now),
            Kind::Row(row, ring) => row.check(ring, &self.window, received, now),
            Kind::Custom(custom, ring) => custom.row().check(ring, &self.window, received, now),
            Kind::Twilio(keys) => keys.check(received),
            Kind::Braintree(keys) => keys.check(received),
            Kind::Mailgun(ring) => mailgun::check(ring, &self.window, received, now),
            Kind::Adyen(ring) => adyen::check(ring, received),
            Kind::Token(known) => token(known, received),
            Kind::Message(policy) => policy.check(&self.window, received, now),
        }
    }

    /// The receipt for a request that it has verified, with the key that it was signed with; see
    /// [`receipt`](super::receipt). None where that is no shared key of Standard Webhooks. It costs hashing the body again.
    pub fn receipt(&self, verified: &Verified<'_>) -> Option<DeliveryReceipt> {
        match &self.kind {
            Kind::Standard(verifier) => {
                let key = verifier.keys().iter().find(|key| key.id() == verified.key())?;
                Some(DeliveryReceipt::sign(key, verified.told.id?, verified.body()))
            }
            Kind::Row(..)
            | Kind::Custom(..)
            | Kind::Twilio(_)
            | Kind::Braintree(_)
            | Kind::Mailgun(_)
            | Kind::Adyen(_)
            | Kind::Token(_)
            | Kind::Message(_) => None,
        }
    }

    /// The keys, where the scheme has keys of one kind.
    pub(super) fn ring(&self) -> Option<&Ring> {
        match &self.kind {
            Kind::Row(_, ring) | Kind::Custom(_, ring) | Kind::Mailgun(ring) | Kind::Adyen(ring) => Some(ring),
            Kind::Standard(_) | Kind::Twilio(_) | Kind::Braintree(_) | Kind::Token(_) | Kind::Message(_) => None,
        }
    }

    /// The same with the bytes of this one key instead of its keys. None where keys are more than bytes, or these are no
    /// key of the scheme.
    pub(super) fn with_key(&self, secret: &Secret) -> Option<Self> {
        let ring = |algorithm| Ring::new(alloc::vec![Key::new(algorithm, secret.expose()).ok()?]).ok();
        let kind = match &self.kind {
            Kind::Row(row, _) => Kind::Row(row, ring(row.algorithm)?),
            Kind::Custom(custom, _) => Kind::Custom(custom.clone(), ring(custom.algorithm())?),
            Kind::Mailgun(_) => Kind::Mailgun(ring(Algorithm::HmacSha256)?),
            Kind::Adyen(_) => Kind::Adyen(ring(Algorithm::HmacSha256)?),
            Kind::Twilio(_) => Kind::Twilio(Twilio::new(ring(Algorithm::HmacSha1)?, ring(Algorithm::HmacSha256)?)),
            Kind::Token(_) => Kind::Token(alloc::vec![hashed(secret)]),
            Kind::Message(policy) => Kind::Message(policy.with_key(MessageKey::shared(secret))),
            Kind::Standard(_) | Kind::Braintree(_) => return None,
        };
        Some(Self { kind, ..self.clone() })
    }

    /// The row that describes the scheme, if one does.
    pub(super) fn row(&self) -> Option<Row<'_>> {
        match &self.kind {
            Kind::Row(row, _) => Some(**row),
            Kind::Custom(custom, _) => Some(custom.row()),
            Kind::Standard(_)
            | Kind::Twilio(_)
            | Kind::Braintree(_)
            | Kind::Mailgun(_)
            | Kind::Adyen(_)
            | Kind::Token(_)
            | Kind::Message(_) => None,
        }
    }

    /// Whether a time lies within the tolerances.
    pub(super) fn check_time(&self, secs: u64, now: UnixTime) -> Result<(), VerifyError> {
        self.window.check(secs, now)
    }

    /// The verifier of Standard Webhooks inside, if it is one.
    pub(super) fn as_standard(&self) -> Option<standard::Verifier> {
        match &self.kind {
            Kind::Standard(verifier) => {
                let mut verifier = verifier.clone();
                verifier.window = self.window;
                Some(verifier)
            }
            Kind::Row(..)
            | Kind::Custom(..)
            | Kind::Twilio(_)
            | Kind::Braintree(_)
            | Kind::Mailgun(_)
            | Kind::Adyen(_)
            | Kind::Token(_)
            | Kind::Message(_) => None,
        }
    }

    /// How the texts of keys are read, where each is one key.
    pub(super) fn key_form(&self) -> Option<(Algorithm, KeyText)> {
        match &self.kind {
            Kind::Row(row, _) => Some((row.algorithm, row.key)),
            Kind::Custom(custom, _) => Some((custom.algorithm(), custom.key())),
            Kind::Mailgun(_) | Kind::Twilio(_) | Kind::Token(_) => Some((Algorithm::HmacSha256, KeyText::Whole)),
            Kind::Adyen(_) => Some((Algorithm::HmacSha256, KeyText::Hex)),
            Kind::Standard(_) | Kind::Braintree(_) | Kind::Message(_) => None,
        }
    }
}

impl From<standard::Verifier> for Verifier {
    fn from(verifier: standard::Verifier) -> Self {
        Self { scheme: Scheme::Standard, window: verifier.window, kind: Kind::Standard(verifier) }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("scheme", &self.scheme).field("window", &self.window).finish_non_exhaustive()
    }
}

fn standard<'r, H: Headers + ?Sized>(
    verifier: &standard::Verifier,
    window: &Window,
    received: &Received<'r, H>,
    now: UnixTime,
) -> Result<Verified<'r>, VerifyError> {
    let (claim, key) = verifier.check_within(window, received.headers, received.body, now)?;
    let mut parts = [&b""[..]; PARTS];
    parts[..5].copy_from_slice(&[claim.id.as_bytes(), b".", claim.timestamp, b".", received.body]);
    Ok(Verified {
        scheme: Scheme::Standard,
        body: received.body,
        payload: None,
        key,
        time: Some(UnixTime::from_secs(claim.secs)),
        facts: facts::STANDARD,
        told: Told { id: Some(claim.id), kind: None, order: received.told_by(&standard::ORDER) },
        signed: Signed::Parts(parts),
    })
}

/// Compares tokens by their digests, in constant time.
fn token<'r, H: Headers + ?Sized>(
    known: &[(KeyId, CtOutput<Sha256>)],
    received: &Received<'r, H>,
) -> Result<Verified<'r>, VerifyError> {
    let given = CtOutput::<Sha256>::new(Sha256::digest(received.one(TOKEN)?));
    let facts = *Scheme::GitlabToken.facts();
    let id = received.id(Name::fixed("x-gitlab-event-uuid"))?;
    let mut key = None;
    for (id, token) in known {
        if given == *token && key.is_none() {
            key = Some(*id);
        }
    }
    Ok(Verified {
        scheme: Scheme::GitlabToken,
        body: received.body,
        payload: None,
        key: key.ok_or(VerifyError::NoMatch { signatures: 1 })?,
        time: None,
        facts,
        told: Told { id, kind: received.told("x-gitlab-event"), order: None },
        signed: Signed::Hashed(keys::digest(&[received.body])),
    })
}

fn tokens<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Vec<(KeyId, CtOutput<Sha256>)>, VerifierError> {
    let mut tokens = Vec::new();
    for (index, text) in texts.into_iter().take(RING_KEYS + 1).enumerate() {
        let text = text.as_ref().as_bytes();
        let secret =
            Secret::from_bytes_any_size(text).map_err(|_| VerifierError::Key { index, why: KeyError::Empty })?;
        tokens.push(hashed(&secret));
    }
    match tokens.len() {
        0 => Err(VerifierError::NoKeys),
        1..=RING_KEYS => Ok(tokens),
        _ => Err(VerifierError::TooManyKeys),
    }
}

fn hashed(token: &Secret) -> (KeyId, CtOutput<Sha256>) {
    (token.id(), CtOutput::new(Sha256::digest(token.expose())))
}

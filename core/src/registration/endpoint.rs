//! Endpoints as their owners describe them, and as the machine keeps them.

mod choices;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use super::consent::{Consent, ConsentBy};
use super::lifecycle::{Health, Reason};
use super::{AuthError, Circuit, CustomHeaders, HeaderError, Order, Ordering, Pacing, Policy, State, Target, UrlError};
use crate::encoding::{Encoding, Shape, Source, SourceError, Thin, ThinError};
use crate::id::{EndpointId, EndpointKey, IdError, TenantId};
use crate::limits;
use crate::matching::filter::{self, Filter, FilterError};
use crate::matching::{Pattern, PatternError, Subscription, SubscriptionError};
use crate::retry::{BreakerPolicyError, DisableRuleError, QueueLimitError, RateError, Schedule, ScheduleError};
use crate::secret::{KeyId, Secret, SecretError, SecretName};
#[cfg(feature = "ed25519")]
use crate::signing::PrivateKey;
use crate::signing::receipt::ReceiptCheck;
use crate::signing::{DialectError, Dialects, KeyError};
use crate::time::UnixTime;

/// Time for one attempt, over look-up, connection, request and response, when none is given. Standard Webhooks
/// recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(20);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A destination: where it is, what it wants, and how it wants it.
///
/// Filled like [`Event`](crate::event::Event): a mistake is kept and reported when the endpoint is put.
///
/// ```
/// use postrider_core::registration::Endpoint;
/// let acme = Endpoint::new("acme", "https://acme.example.com/hooks").events(["order.**"]).concurrency(4);
/// ```
#[derive(Clone)]
pub struct Endpoint {
    id: String,
    tenant: TenantId,
    url: String,
    secrets: Vec<Secret>,
    patterns: Option<Vec<String>>,
    filter: Option<Filter>,
    shape: Shape,
    schedule: Schedule,
    pub(super) max_attempts: Option<u16>,
    pub(super) max_age: Option<Duration>,
    pub(super) pacing: Pacing,
    timeout: Duration,
    concurrency: u16,
    headers: CustomHeaders,
    keep_answers: bool,
    order: Order,
    consent: Ask,
    dialects: Dialects,
    receipts: bool,
    mistake: Option<EndpointError>,
}

impl Endpoint {
    /// An endpoint with the caller's id for it and its URL. It wants every event until [`events`](Self::events) says
    /// otherwise, and it gets a fresh secret from the adapter unless [`secret`](Self::secret) gives one.
    pub fn new(id: impl AsRef<str>, url: impl AsRef<str>) -> Self {
        Self {
            id: id.as_ref().to_string(),
            tenant: TenantId::default(),
            url: url.as_ref().to_string(),
            secrets: Vec::new(),
            patterns: None,
            filter: None,
            shape: Shape::default(),
            schedule: Schedule::default(),
            max_attempts: None,
            max_age: None,
            pacing: Pacing::default(),
            timeout: TIMEOUT,
            concurrency: limits::IN_FLIGHT,
            headers: CustomHeaders::default(),
            keep_answers: false,
            order: Order::default(),
            consent: Ask::default(),
            dialects: Dialects::default(),
            receipts: false,
            mistake: None,
        }
    }

    /// Sets the tenant; without it the endpoint belongs to the tenant `default`.
    pub fn tenant(mut self, tenant: impl AsRef<str>) -> Self {
        match TenantId::new(tenant) {
            Ok(tenant) => self.tenant = tenant,
            Err(why) => self.note(EndpointError::Tenant(why)),
        }
        self
    }

    /// Sets what it wants: event types, in which a segment may be `*` (one segment) or `**` (any number).
    pub fn events(mut self, patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.patterns = Some(patterns.into_iter().map(|pattern| pattern.as_ref().to_string()).collect());
        self
    }

    /// Adds a secret: one that it shares with the sender, as `whsec_` and base64, or, where the feature `ed25519` is on,
    /// the private half of a key pair, as `whsk_` and base64. All of them sign.
    pub fn secret(mut self, secret: impl AsRef<str>) -> Self {
        #[cfg(feature = "ed25519")]
        if secret.as_ref().starts_with("whsk_") {
            match PrivateKey::parse(secret.as_ref()) {
                Ok(key) => self.secrets.push(Secret::from(&key)),
                Err(why) => self.note(EndpointError::Pair(why)),
            }
            return self;
        }
        match Secret::parse(secret.as_ref()) {
            Ok(secret) => self.secrets.push(secret),
            Err(why) => self.note(EndpointError::Secret(why)),
        }
        self
    }

    /// Adds a secret that is parsed already.
    pub fn signing_key(mut self, secret: Secret) -> Self {
        if limits::KEY_BYTES.contains(&secret.expose().len()) {
            self.secrets.push(secret);
        } else {
            self.note(EndpointError::Secret(SecretError::TooShort { bytes: secret.expose().len() }));
        }
        self
    }

    /// Sets how bodies are made; without it, the Standard Webhooks envelope.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.shape.encoding = encoding;
        self
    }

    /// Sends only the parts of payloads that these JSON Pointers choose, such as `/id`; see [`Thin`]. Events whose
    /// payloads are not JSON are refused.
    pub fn thin(mut self, pointers: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        match Thin::new(pointers) {
            Ok(thin) => self.shape.thin = Some(thin),
            Err(why) => self.note(EndpointError::Thin(why)),
        }
        self
    }

    /// Sets the source that CloudEvents name, a URI or a part of one; without it, `/postrider/` and the tenant. Other
    /// encodings have none.
    pub fn source(mut self, source: impl AsRef<str>) -> Self {
        match Source::new(source.as_ref()) {
            Ok(source) => self.shape.source = Some(source),
            Err(why) => self.note(EndpointError::Source(why)),
        }
        self
    }

    /// The shape as the journal says it; an encoding of a later version is a mistake.
    pub(crate) fn shape_of(mut self, encoding: u8, thin: &[String], source: Option<&str>) -> Self {
        match Encoding::from_wire(encoding) {
            Some(encoding) => self.shape.encoding = encoding,
            None => self.note(EndpointError::Encoding(encoding)),
        }
        let endpoint = if thin.is_empty() { self } else { self.thin(thin) };
        source.into_iter().fold(endpoint, Self::source)
    }

    /// Sets the delays before the attempts.
    pub fn schedule(self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.schedule_or(Schedule::new(delays))
    }

    pub(super) fn schedule_or(mut self, schedule: Result<Schedule, ScheduleError>) -> Self {
        match schedule {
            Ok(schedule) => self.schedule = schedule,
            Err(why) => self.note(EndpointError::Schedule(why)),
        }
        self
    }

    /// Sets the time for one attempt, over everything: 1 ms to 60 s, 20 s without it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many attempts may be in flight at once: 1 to 1024, 8 without it.
    pub fn concurrency(mut self, attempts: u16) -> Self {
        self.concurrency = attempts;
        self
    }

    /// Adds a header to every request.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        if let Err(why) = self.headers.insert(name.as_ref(), value.as_ref()) {
            self.note(EndpointError::Header(why));
        }
        self
    }

    /// Adds a header whose value is never printed.
    pub fn secret_header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        if let Err(why) = self.headers.insert_secret(name.as_ref(), value.as_ref()) {
            self.note(EndpointError::Header(why));
        }
        self
    }

    /// Sends `authorization: Bearer TOKEN` with every request, as a secret header.
    pub fn bearer(mut self, token: impl AsRef<str>) -> Self {
        if let Err(why) = self.headers.insert_bearer(token.as_ref()) {
            self.note(EndpointError::Auth(why));
        }
        self
    }

    /// Sends a user name and a password with every request, as basic credentials (RFC 7617) in a secret header.
    pub fn basic(mut self, name: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        if let Err(why) = self.headers.insert_basic(name.as_ref(), password.as_ref()) {
            self.note(EndpointError::Auth(why));
        }
        self
    }

    /// Sets how its owner is asked for consent; without it, not at all. Until it is given, events wait. By
    /// [`CloudEvents`](ConsentBy::CloudEvents) the sender needs a name to ask under; see
    /// [`Config::origin`](crate::sender::Config::origin).
    pub fn consent(mut self, by: ConsentBy) -> Self {
        self.consent.by = by;
        self
    }

    /// Asks for so many requests a minute, at least 1, where consent is asked for by
    /// [`CloudEvents`](ConsentBy::CloudEvents). What the owner grants may be less, and holds.
    pub fn consent_rate(mut self, per_minute: u32) -> Self {
        match NonZeroU32::new(per_minute) {
            Some(rate) => self.consent.rate = Some(rate),
            None => self.note(EndpointError::ConsentRate),
        }
        self
    }

    /// How consent is asked for, as the journal says it.
    pub(crate) fn consent_of(mut self, by: u8, rate: Option<u32>) -> Self {
        match ConsentBy::from_wire(by) {
            Some(by) => self.consent.by = by,
            None => self.note(EndpointError::Consent(by)),
        }
        rate.into_iter().fold(self, Self::consent_rate)
    }

    /// Whether the record of each attempt keeps the beginning of the answer, up to
    /// [`ANSWER_KEPT`](crate::limits::ANSWER_KEPT) bytes of its body, for whoever looks for the reason of a failure. Not
    /// kept without it: answers may hold what is not ours to store.
    pub fn keep_answers(mut self, keep: bool) -> Self {
        self.keep_answers = keep;
        self
    }

    /// Sets how events under one ordering key follow one another; without it, keys do not matter.
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.order.ordering = ordering;
        self
    }

    /// Whether only the newest event of each ordering key is kept while the endpoint is down, for receivers that want
    /// the last state and not the way to it. It needs an [`ordering`](Self::ordering).
    ///
    /// When an event comes under a key while the endpoint is paused, throttled or behind an open breaker, or while the first of that key's lane has
    /// failed and waits for its next attempt, those of the lane that are not in flight end as superseded, and the new one
    /// takes their place; where one of them waited for its next attempt, not before that is due.
    pub fn coalesce(mut self, coalesce: bool) -> Self {
        self.order.coalesce = coalesce;
        self
    }

    /// Both as the journal says them; a byte of a later version is a mistake.
    pub(crate) fn order_of(mut self, byte: u8) -> Self {
        match Order::from_wire(byte) {
            Some(order) => self.order = order,
            None => self.note(EndpointError::Order(byte)),
        }
        self
    }

    /// The same with the sealed form of the value, as it was read back.
    pub(crate) fn sealed_header(mut self, name: &str, value: &str, sealed: Bytes) -> Self {
        if let Err(why) = self.headers.insert_sealed(name, value, sealed) {
            self.note(EndpointError::Header(why));
        }
        self
    }

    /// Seals its secrets, for an adapter that keeps them from the journal: `seal` gets the name and the bytes of each
    /// and gives the form that the journal will hold, at most 65,535 bytes. What the endpoint does stays the same.
    pub fn seal_with<E>(mut self, mut seal: impl FnMut(SecretName<'_>, &[u8]) -> Result<Bytes, E>) -> Result<Self, E> {
        for secret in &mut self.secrets {
            let sealed = seal(SecretName::Key(secret.id()), secret.expose())?;
            *secret = secret.clone().with_sealed(sealed);
        }
        self.headers.seal_with(|name, value| seal(SecretName::Header(name.as_str()), value))?;
        Ok(self)
    }

    /// The caller's name for it, as given.
    pub fn name(&self) -> &str {
        &self.id
    }

    /// Whether it brings a secret of its own.
    pub fn has_secret(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Its name with its tenant, checked.
    pub fn key(&self) -> Result<EndpointKey, EndpointError> {
        let id = EndpointId::new(&self.id).map_err(EndpointError::Id)?;
        Ok(EndpointKey { tenant: self.tenant.clone(), id })
    }

    /// How its owner is asked for consent.
    pub fn consent_by(&self) -> ConsentBy {
        self.consent.by
    }

    /// Checks everything that can be checked without a machine: the same that `put` checks.
    pub fn check(&self, policy: &Policy) -> Result<(), EndpointError> {
        self.config(policy).map(drop)
    }

    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// The checked form.
    pub(crate) fn config(&self, policy: &Policy) -> Result<Config, EndpointError> {
        let key = self.key()?;
        if let Some(mistake) = &self.mistake {
            return Err(mistake.clone());
        }
        let target = Target::parse(&self.url, policy).map_err(EndpointError::Url)?;
        let subscription = match &self.patterns {
            None => Subscription::everything(),
            Some(patterns) => subscription(patterns)?,
        };
        let subscription = match &self.filter {
            None => subscription,
            Some(filter) => subscription.with_filter(filter.clone()),
        };
        if self.timeout < Duration::from_millis(1) || self.timeout > LONGEST_TIMEOUT {
            return Err(EndpointError::Timeout(self.timeout));
        }
        if !(1..=1024).contains(&self.concurrency) {
            return Err(EndpointError::Concurrency(self.concurrency));
        }
        if self.consent.rate.is_some() && self.consent.by != ConsentBy::CloudEvents {
            return Err(EndpointError::ConsentRate);
        }
        if self.secrets.len() > limits::RING_KEYS {
            return Err(EndpointError::TooManySecrets(self.secrets.len()));
        }
        if self.order.coalesce && !self.order.has_lanes() {
            return Err(EndpointError::CoalesceUnordered);
        }
        let mut schedule = self.schedule.clone();
        if let Some(attempts) = self.max_attempts {
            schedule = schedule.with_attempts(attempts).map_err(EndpointError::Schedule)?;
        }
        if let Some(age) = self.max_age {
            schedule = schedule.with_max_age(age).map_err(EndpointError::Schedule)?;
        }
        self.check_signature_headers()?;
        self.check_receipts()?;
        Ok(Config {
            key,
            target,
            subscription,
            shape: self.shape.clone(),
            schedule,
            pacing: self.pacing,
            timeout: self.timeout,
            concurrency: self.concurrency,
            headers: self.headers.clone(),
            keep_answers: self.keep_answers,
            order: self.order,
            consent: self.consent,
            dialects: self.dialects.clone(),
            receipts: self.receipts,
        })
    }

    pub(super) fn note(&mut self, mistake: EndpointError) {
        self.mistake.get_or_insert(mistake);
    }
}

impl fmt::Debug for Endpoint {
    /// Without secrets: of the URL, which nobody has checked yet, neither query nor fragment nor user information.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = self.url.split(['?', '#']).next().unwrap_or_default();
        let rest = if front.len() < self.url.len() { ".." } else { "" };
        let (user, place) = front.rsplit_once('@').map_or(("", front), |(_, place)| ("..@", place));
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("url", &format_args!("\"{user}{}{rest}\"", place.escape_debug()))
            .field("secrets", &self.secrets.iter().map(Secret::id).collect::<Vec<_>>())
            .field("patterns", &self.patterns)
            .field("filter", &self.filter)
            .field("shape", &self.shape)
            .field("schedule", &self.schedule)
            .field("max_attempts", &self.max_attempts)
            .field("max_age", &self.max_age)
            .field("pacing", &self.pacing)
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .field("headers", &self.headers)
            .field("keep_answers", &self.keep_answers)
            .field("order", &self.order)
            .field("consent", &self.consent)
            .field("dialects", &self.dialects)
            .field("receipts", &self.receipts)
            .field("mistake", &self.mistake)
            .finish()
    }
}

fn subscription(patterns: &[String]) -> Result<Subscription, EndpointError> {
    let parsed = patterns
        .iter()
        .map(|text| Pattern::parse(text).map_err(|why| EndpointError::Pattern { pattern: text.clone(), why }));
    Subscription::new(parsed.collect::<Result<Vec<_>, _>>()?).map_err(EndpointError::Subscription)
}

/// An endpoint whose every part has been checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) key: EndpointKey,
    pub(crate) target: Target,
    pub(crate) subscription: Subscription,
    pub(crate) shape: Shape,
    pub(crate) schedule: Schedule,
    pub(crate) pacing: Pacing,
    pub(crate) timeout: Duration,
    pub(crate) concurrency: u16,
    pub(crate) headers: CustomHeaders,
    pub(crate) keep_answers: bool,
    pub(crate) order: Order,
    pub(crate) dialects: Dialects,
    pub(crate) receipts: bool,
    pub(crate) consent: Ask,
}

/// How an endpoint's owner is to be asked for consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) by: ConsentBy,
    /// Requests a minute that are asked for.
    pub(crate) rate: Option<NonZeroU32>,
}

impl Ask {
    /// Whether deliveries may be made without asking.
    pub(crate) fn is_needless(self) -> bool {
        self.by == ConsentBy::None
    }
}

/// Why something is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// The id is no id.
    Id(IdError),
    /// The tenant is no tenant.
    Tenant(IdError),
    /// The URL is none that requests may go to.
    Url(UrlError),
    /// A pattern is no pattern.
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        why: PatternError,
    },
    /// The patterns make no subscription.
    Subscription(SubscriptionError),
    /// The content filter is none.
    Filter(FilterError),
    /// The language of the content filter, read back by its number, is not known here: a later version wrote it.
    FilterLanguage(u8),
    /// A secret is no secret.
    Secret(SecretError),
    /// A key pair is none.
    Pair(KeyError),
    /// It cannot be signed for so.
    Sign(DialectError),
    /// Receipts are asked for, but nothing is signed by which they could be given.
    Receipts,
    /// There are more secrets than an endpoint may have.
    TooManySecrets(usize),
    /// The delays are no schedule.
    Schedule(ScheduleError),
    /// The attempts in a unit of time are no rate.
    Rate(RateError),
    /// The numbers are no policy of a breaker.
    Breaker(BreakerPolicyError),
    /// The numbers are no rule to disable by.
    Disable(DisableRuleError),
    /// The time to wait for it is out of range.
    QueueLimit(QueueLimitError),
    /// The time for one attempt is out of range.
    Timeout(Duration),
    /// The number of attempts at once is out of range.
    Concurrency(u16),
    /// A header may not be set.
    Header(HeaderError),
    /// The credentials cannot be sent.
    Auth(AuthError),
    /// The encoding, read back by its number, is not known here: a later version wrote it.
    Encoding(u8),
    /// The order, read back by its byte, is not known here: a later version wrote it.
    Order(u8),
    /// Only the newest of each key is to be kept, but keys do not matter.
    CoalesceUnordered,
    /// The pointers choose no parts.
    Thin(ThinError),
    /// The source is none.
    Source(SourceError),
    /// The way to ask for consent, read back by its number, is not known here: a later version wrote it.
    Consent(u8),
    /// The rate that consent is asked for is 0, or consent is not asked for in a way that speaks of rates.
    ConsentRate,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(why) => write!(f, "id: {why}"),
            Self::Tenant(why) => write!(f, "tenant: {why}"),
            Self::Url(why) => write!(f, "url: {why}"),
            Self::Pattern { pattern, why } => write!(f, "events: {pattern:?}: {why}"),
            Self::Subscription(why) => write!(f, "events: {why}"),
            Self::Filter(why) => write!(f, "filter: it {why}"),
            Self::FilterLanguage(number) => {
                write!(
                    f,
                    "filter: language number {number} is not known to this version, 0 to {} are",
                    filter::Language::ALL.len() - 1
                )
            }
            Self::Secret(why) => write!(f, "secret: {why}"),
            Self::Pair(why) => write!(f, "secret: {why}"),
            Self::Sign(why) => write!(f, "sign: {why}"),
            Self::Receipts => f.write_str(
                "receipts: they are signed with the key of a Standard Webhooks signature; sign with `standard-webhooks` or \
                 `svix` too",
            ),
            Self::TooManySecrets(count) => {
                write!(f, "secrets: there are {count}, at most {} are allowed", limits::RING_KEYS)
            }
            Self::Schedule(why) => write!(f, "schedule: {why}"),
            Self::Rate(why) => write!(f, "rate: {why}"),
            Self::Breaker(why) => write!(f, "breaker: {why}"),
            Self::Disable(why) => write!(f, "disable: {why}"),
            Self::QueueLimit(why) => write!(f, "queue-limit: {why}"),
            Self::Timeout(timeout) => write!(f, "timeout: {timeout:?} is not within 1 ms to 60 s"),
            Self::Concurrency(attempts) => write!(f, "concurrency: {attempts} is not within 1 to 1024"),
            Self::Header(why) => write!(f, "headers: {why}"),
            Self::Auth(why) => write!(f, "authorization: {why}"),
            Self::Encoding(number) => {
                write!(
                    f,
                    "encoding: number {number} is not known to this version, 0 to {} are",
                    Encoding::ALL.len() - 1
                )
            }
            Self::Order(byte) => write!(f, "ordering: number {byte} is not known to this version"),
            Self::CoalesceUnordered => {
                f.write_str("coalesce: it needs an ordering; set ordering to strict or skip-on-exhaust")
            }
            Self::Thin(why) => write!(f, "thin: {why}"),
            Self::Source(why) => write!(f, "source: {why}"),
            Self::Consent(number) => write!(f, "consent: way number {number} is not known to this version, 0 to 2 are"),
            Self::ConsentRate => {
                f.write_str("consent_rate: only `cloudevents` asks for a rate, and for at least 1 a minute")
            }
        }
    }
}

impl core::error::Error for EndpointError {}

/// An endpoint as it can be shown; it has no secret in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointView {
    /// Its name.
    pub key: EndpointKey,
    /// Where it is; the query is left out when this is printed, not here.
    pub target: Target,
    /// What it wants.
    pub subscription: Subscription,
    /// What was decided about it.
    pub state: State,
    /// How it answers.
    pub health: Health,
    /// Why it is in its state: the rule, what happened, and what was due next. `None` while it is as it was registered.
    pub cause: Option<Reason>,
    /// Where the consent of its owner stands; `None` where it is not asked for.
    pub consent: Option<Consent>,
    /// The keys that sign, newest first, each with the time at which it expires.
    pub keys: Vec<(KeyId, Option<UnixTime>)>,
    /// Deliveries that wait, now or for a later time.
    pub pending: usize,
    /// Attempts in flight.
    pub in_flight: u16,
    /// Attempts that may be in flight at this moment.
    pub window: u16,
    /// How long it still rests: it said that it cannot keep up, or its breaker is open.
    pub throttled: Option<Duration>,
    /// Whether its breaker lets attempts start.
    pub circuit: Circuit,
    /// How long nothing starts for it while it is active, by its throttle, its breaker or its rate, whichever is longest.
    pub rests: Option<Duration>,
    /// Attempts that have failed since the last success, and how long ago the first of them did.
    pub failing: Option<(u32, Duration)>,
    /// How much it is given, and when it is left alone.
    pub pacing: Pacing,
    /// How its events are written.
    pub shape: Shape,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Whether attempts keep the beginning of the answer.
    pub keep_answers: bool,
    /// Delays before the attempts.
    pub schedule: Schedule,
    /// How events under one ordering key follow one another.
    pub order: Order,
    /// How its requests are signed.
    pub sign: Dialects,
    /// Whether it is asked for receipts.
    pub receipts: bool,
    /// What the last answer of success came to as to its receipt, since this process began.
    pub receipt: ReceiptCheck,
}

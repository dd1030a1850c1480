//! The validation handshake of CloudEvents webhooks: the question, the answer, the callback, and the answering side.
//!
//! Source: CloudEvents "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2, section 4 ("Abuse Protection").

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use http::{HeaderName, HeaderValue};

use super::Token;
use crate::limits;
use crate::signing::Headers;

const REQUEST_ORIGIN: &str = "webhook-request-origin";
const REQUEST_RATE: &str = "webhook-request-rate";
const REQUEST_CALLBACK: &str = "webhook-request-callback";
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// Lines of one header of a handshake that are looked at; an answer with more says nothing.
pub const HANDSHAKE_LINES: usize = 4;

/// A header line.
pub type Line = (HeaderName, HeaderValue);

/// The DNS name by which a sender names itself, such as `eventemitter.example.com`: the whole system, not one host
/// (section 4.1.2). At most 253 bytes of labels of letters, digits, `-` and `_`. Compared without regard to case.
#[derive(Clone)]
pub struct Origin(Box<str>);

/// The text is no DNS name: labels of 1 to 63 letters, digits, `-` and `_`, joined by dots, at most 253 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginError;

impl Origin {
    /// Checks the name.
    pub fn new(name: &str) -> Result<Self, OriginError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let label = |label: &str| matches!(label.len(), 1..=63) && label.bytes().all(allowed);
        if name.len() <= 253 && name.split('.').all(label) { Ok(Self(name.into())) } else { Err(OriginError) }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The line that every delivery carries once consent has been given, the same as in the question (section 4.1.2).
    pub fn line(&self) -> Line {
        let value = HeaderValue::from_str(&self.0).expect("letters, digits, dots, - and _ make a header value");
        (HeaderName::from_static(REQUEST_ORIGIN), value)
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Origin {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.0)
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin is no DNS name; write one such as `events.example.com`")
    }
}

impl core::error::Error for OriginError {}

/// The URL at which consent may be given later: a base of our own, `/`, and the token of the question.
///
/// `Debug` shows the base alone.
#[derive(Clone)]
pub struct Callback {
    base: Box<str>,
    value: HeaderValue,
}

/// Why a base cannot carry callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackError {
    /// It does not begin with `https://` and a host (section 4.1.3 demands HTTPS).
    NotHttps,
    /// It has a query, a fragment, user information, or a character other than visible ASCII.
    NotPlain,
    /// It would be longer than a URL may be, with its token.
    TooLong,
}

impl Callback {
    /// `base`, such as `https://hooks.example.com/confirm`, with a token as the last segment of its path.
    pub fn new(base: &str, token: &Token) -> Result<Self, CallbackError> {
        let base = base.strip_suffix('/').unwrap_or(base);
        let host = base.strip_prefix("https://").ok_or(CallbackError::NotHttps)?;
        if host.is_empty() || host.starts_with('/') {
            return Err(CallbackError::NotHttps);
        }
        if base.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#' | b'@' | b'\\')) {
            return Err(CallbackError::NotPlain);
        }
        let mut url = String::with_capacity(base.len() + 1 + token.expose().len());
        url.push_str(base);
        url.push('/');
        url.push_str(token.expose());
        if url.len() > limits::URL_BYTES {
            return Err(CallbackError::TooLong);
        }
        let mut value = HeaderValue::from_str(&url).expect("visible ASCII makes a header value");
        value.set_sensitive(true);
        Ok(Self { base: base.into(), value })
    }

    /// The token in the path of a request that came to the callback URL: its last segment, query left out.
    pub fn token_of(path: &str) -> &str {
        let path = path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback({}/..)", self.base)
    }
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttps => f.write_str("the callback URL must begin with `https://` and a host"),
            Self::NotPlain => {
                f.write_str("the callback URL must be visible ASCII without user information, query and fragment")
            }
            Self::TooLong => write!(f, "the callback URL with its token may have at most {} bytes", limits::URL_BYTES),
        }
    }
}

impl core::error::Error for CallbackError {}

/// The question: an `OPTIONS` request to the endpoint's own URL with these lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Question {
    /// Who asks.
    pub origin: Origin,
    /// Requests a minute that it would like to send, if it says so.
    pub rate: Option<NonZeroU32>,
    /// Where consent may be given later, if it may.
    pub callback: Option<Callback>,
}

impl Question {
    /// A question without a rate and a callback.
    pub const fn new(origin: Origin) -> Self {
        Self { origin, rate: None, callback: None }
    }

    /// The lines of the request, 1 to 3. Nothing else about the question is in it: it has no body.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::with_capacity(3);
        lines.push(self.origin.line());
        lines.extend(self.rate.map(|rate| (HeaderName::from_static(REQUEST_RATE), HeaderValue::from(rate.get()))));
        let callback = self.callback.as_ref();
        lines.extend(callback.map(|url| (HeaderName::from_static(REQUEST_CALLBACK), url.value.clone())));
        lines
    }

    /// What an answer's header lines mean. The status is not asked: a site that has never heard of webhooks answers
    /// `OPTIONS` too, so that consent is the header alone (section 4.2).
    ///
    /// Consent is a `WebHook-Allowed-Origin` that is `*` or the origin of the question; several lines must say the same.
    /// A rate that is neither `*` nor a positive number, or several different ones, takes the consent back. An answer
    /// without `WebHook-Allowed-Origin` refuses, or leaves it to the callback where one was offered.
    pub fn read(&self, headers: &(impl Headers + ?Sized)) -> Answer {
        match one(headers, ALLOWED_ORIGIN) {
            Said::Nothing if self.callback.is_some() => Answer::Later,
            Said::Nothing => Answer::Refused(Refusal::Silent),
            Said::One("*") => self.read_rate(headers),
            Said::One(name) if name.eq_ignore_ascii_case(self.origin.as_str()) => self.read_rate(headers),
            Said::One(_) | Said::Unclear => Answer::Refused(Refusal::OtherOrigin),
        }
    }

    fn read_rate(&self, headers: &(impl Headers + ?Sized)) -> Answer {
        match (read_rate(headers), self.rate) {
            (Ok(Some(rate)), _) => Answer::Granted(rate),
            (Ok(None), Some(asked)) => Answer::Granted(Rate::Unanswered(asked)),
            (Ok(None), None) => Answer::Granted(Rate::Unspoken),
            (Err(why), _) => Answer::Refused(why),
        }
    }
}

/// What a callback's header lines mean, where `asked` is the rate of the question: a `GET` or `POST` to the callback URL
/// gives consent at the rate that it names, or else at the rate that was asked for (section 4.1.3).
///
/// Other methods mean nothing, `HEAD` among them: a link may be looked at without being followed. Whether the token is
/// right is for [`Consent::called_back`](super::Consent::called_back) to say.
pub fn read_callback(method: &str, asked: Option<NonZeroU32>, headers: &(impl Headers + ?Sized)) -> Answer {
    if !matches!(method, "GET" | "POST") {
        return Answer::Refused(Refusal::Method);
    }
    match (read_rate(headers), asked) {
        (Ok(Some(rate)), _) => Answer::Granted(rate),
        (Ok(None), Some(asked)) => Answer::Granted(Rate::PerMinute(asked)),
        (Ok(None), None) => Answer::Granted(Rate::Unspoken),
        (Err(why), _) => Answer::Refused(why),
    }
}

/// What an answer to the question means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know what was said")]
pub enum Answer {
    /// It may be sent to, at this rate.
    Granted(Rate),
    /// It may be that the callback will be used.
    Later,
    /// It may not be sent to.
    Refused(Refusal),
}

/// The rate that was granted, in requests a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever paces must know each")]
pub enum Rate {
    /// `*`: there is no limit.
    Unlimited,
    /// This many.
    PerMinute(NonZeroU32),
    /// A rate was asked for and none was named, though section 4.2.2 demands one: the one asked for holds.
    Unanswered(NonZeroU32),
    /// None was asked for and none was named.
    Unspoken,
}

impl Rate {
    /// Requests a minute that may be sent at most; `None` where nobody limits them.
    pub const fn limit(self) -> Option<NonZeroU32> {
        match self {
            Self::Unlimited | Self::Unspoken => None,
            Self::PerMinute(rate) | Self::Unanswered(rate) => Some(rate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("any number of requests a minute"),
            Self::PerMinute(rate) => write!(f, "{rate} requests a minute"),
            Self::Unanswered(rate) => write!(f, "{rate} requests a minute, as asked for, since none was named"),
            Self::Unspoken => f.write_str("no rate was asked for or named"),
        }
    }
}

/// Why an answer is no consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know what was said")]
pub enum Refusal {
    /// There is no `WebHook-Allowed-Origin`.
    Silent,
    /// `WebHook-Allowed-Origin` names another sender, several, or nobody.
    OtherOrigin,
    /// `WebHook-Allowed-Rate` is neither `*` nor a positive number, or there are several different ones.
    BadRate,
    /// A callback came by a method other than `GET` and `POST`.
    Method,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the answer has no WebHook-Allowed-Origin",
            Self::OtherOrigin => "the answer's WebHook-Allowed-Origin does not name this sender",
            Self::BadRate => "the answer's WebHook-Allowed-Rate is neither `*` nor one positive number",
            Self::Method => "the callback was not called by GET or POST",
        })
    }
}

/// Whom a receiver lets send, and how much: what [`Doorkeeper::answer`] goes by.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Doorkeeper {
    /// Senders that may send. None of them: nobody.
    pub origins: Vec<Origin>,
    /// Whether every sender may.
    pub anyone: bool,
    /// Requests a minute that a sender may make at most; `None` lets it make any number.
    pub rate: Option<NonZeroU32>,
}

/// What a receiver answers to an `OPTIONS` request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reception {
    /// Whether it consents.
    pub granted: bool,
    /// The status: 200 with consent, 403 without. Senders do not read it.
    pub status: u16,
    /// The lines: `allow` always, the grant with consent only.
    pub lines: Vec<Line>,
}

impl Doorkeeper {
    /// Lets these senders send.
    pub fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        Self { origins: origins.into_iter().collect(), anyone: false, rate: None }
    }

    /// The answer to an `OPTIONS` request with these header lines (section 4.2).
    ///
    /// A sender that is let in is granted the smaller of the rate that it asks for and the one that we allow. It gets its
    /// own name back and never `*`. A rate that is no positive number is answered as if it had not been asked for.
    pub fn answer(&self, headers: &(impl Headers + ?Sized)) -> Reception {
        let allow = (http::header::ALLOW, HeaderValue::from_static("POST"));
        let asked = one(headers, REQUEST_ORIGIN);
        let origin = match asked {
            Said::One(name) => Origin::new(name).ok().filter(|name| self.anyone || self.origins.contains(name)),
            Said::Nothing | Said::Unclear => None,
        };
        let Some(origin) = origin else {
            return Reception { granted: false, status: 403, lines: [allow].into() };
        };
        let wish = match one(headers, REQUEST_RATE) {
            Said::One(text) => number(text),
            Said::Nothing | Said::Unclear => None,
        };
        let rate = [wish, self.rate].into_iter().flatten().min();
        let rate = rate.map_or(HeaderValue::from_static("*"), |rate| HeaderValue::from(rate.get()));
        let lines = [
            allow,
            (HeaderName::from_static(ALLOWED_ORIGIN), origin.line().1),
            (HeaderName::from_static(ALLOWED_RATE), rate),
        ];
        Reception { granted: true, status: 200, lines: lines.into() }
    }
}

/// What the lines of one header say.
enum Said<'a> {
    Nothing,
    /// They are all this, blanks around it aside.
    One(&'a str),
    /// They differ, are too many, or are no text.
    Unclear,
}

fn one<'a>(headers: &'a (impl Headers + ?Sized), name: &'static str) -> Said<'a> {
    let mut said = Said::Nothing;
    for (place, line) in headers.all(name).enumerate() {
        let Ok(text) = core::str::from_utf8(line) else { return Said::Unclear };
        let text = text.trim_matches([' ', '\t']);
        said = match said {
            Said::Nothing => Said::One(text),
            Said::One(before) if before.eq_ignore_ascii_case(text) && place < HANDSHAKE_LINES => Said::One(before),
            Said::One(_) | Said::Unclear => return Said::Unclear,
        };
    }
    said
}

fn read_rate(headers: &(impl Headers + ?Sized)) -> Result<Option<Rate>, Refusal> {
    match one(headers, ALLOWED_RATE) {
        Said::Nothing => Ok(None),
        Said::One("*") => Ok(Some(Rate::Unlimited)),
        Said::One(text) => number(text).map(|rate| Some(Rate::PerMinute(rate))).ok_or(Refusal::BadRate),
        Said::Unclear => Err(Refusal::BadRate),
    }
}

/// A positive number in decimal digits; one too large for us is as large as can be.
fn number(text: &str) -> Option<NonZeroU32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.bytes().map(|byte| u32::from(byte - b'0'));
    NonZeroU32::new(digits.fold(0, |value: u32, digit| value.saturating_mul(10).saturating_add(digit)))
}

//! Answers to the questions by which providers make sure that a receiver is who it says, and wants their webhooks.
//!
//! Pure functions: they take a request and give the whole [`Answer`]. Where the provider signs its question, the
//! function takes a [`Verified`], so that a question that is not signed is never answered. What is echoed is sent as
//! plain text that browsers must not take for anything else.
//!
//! ```
//! use postrider_core::signing::challenge;
//!
//! let answer = challenge::meta("hub.mode=subscribe&hub.verify_token=meatyhamhock&hub.challenge=1158201444", ["meatyhamhock"]);
//! assert_eq!(answer.unwrap().body, b"1158201444");
//! ```

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use hmac::digest::CtOutput;
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::keys::{Algorithm, Key, Text};
use super::received::decimal;
use super::{Headers, Scheme, Verified, Verifier, pointer};

/// Longest text that is echoed, in bytes.
pub const ECHO_BYTES: usize = 4096;

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn text(body: &str) -> Self {
        let headers = [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")];
        Self { status: 200, headers: headers.map(|(name, value)| (name, value.into())).into(), body: body.into() }
    }

    fn json(body: String) -> Self {
        let headers = alloc::vec![("content-type", "application/json".into())];
        Self { status: 200, headers, body: body.into_bytes() }
    }
}

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeError {
    /// A parameter of the query is missing, there twice, or too long to echo.
    Parameter {
        /// Its name.
        name: &'static str,
    },
    /// The token is none of those that the receiver agreed on.
    Token,
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { name } => {
                write!(f, "the query has no {name}, has it twice, or has more than {ECHO_BYTES} bytes of it")
            }
            Self::Token => f.write_str("hub.verify_token is none of the tokens that were agreed on"),
        }
    }
}

impl core::error::Error for ChallengeError {}

/// The answer to a question that was asked by a signed request: of [`slack`], [`zoom`] or [`discord`]. None for what is no
/// question. The verifier is the one that has verified it.
pub fn signed(verifier: &Verifier, verified: &Verified<'_>) -> Option<Answer> {
    match verified.scheme() {
        Scheme::Slack => slack(verified),
        Scheme::Zoom => zoom(verifier, verified),
        Scheme::Discord => discord(verified),
        _ => None,
    }
}

/// Whether a body reads like a question that [`signed`] answers, for whoever wants to verify no more than those. It may be
/// anybody's.
pub fn reads_like_one(scheme: Scheme, body: &[u8]) -> bool {
    let (at, says) = match scheme {
        Scheme::Slack => ("/type", "url_verification"),
        Scheme::Zoom => ("/event", "endpoint.url_validation"),
        Scheme::Discord => ("/type", "1"),
        _ => return false,
    };
    pointer::find_text(body, at).is_some_and(|said| said == says)
}

/// Slack's `url_verification`: the `challenge` as plain text. None for any other event.
///
/// Source: Slack, "url_verification event".
pub fn slack(verified: &Verified<'_>) -> Option<Answer> {
    let asked = member(verified, Scheme::Slack, "/type")? == "url_verification";
    let challenge = member(verified, Scheme::Slack, "/challenge")?;
    (asked && challenge.len() <= ECHO_BYTES).then(|| Answer::text(&challenge))
}

/// Zoom's `endpoint.url_validation`: the `plainToken` and its HMAC under the key that the question was signed with.
/// None for any other event.
///
/// Source: Zoom, "Validate your webhook endpoint".
pub fn zoom(verifier: &Verifier, verified: &Verified<'_>) -> Option<Answer> {
    let asked = member(verified, Scheme::Zoom, "/event")? == "endpoint.url_validation";
    let plain = member(verified, Scheme::Zoom, "/payload/plainToken")?;
    let key = verifier.ring()?.iter().find(|key| key.id() == verified.key())?;
    let encrypted = Text::Hex.encode(&key.sign(&[plain.as_bytes()])?);
    let plain = serde_json::to_string(&plain).ok().filter(|_| asked && plain.len() <= ECHO_BYTES)?;
    Some(Answer::json(alloc::format!(r#"{{"plainToken":{plain},"encryptedToken":"{encrypted}"}}"#)))
}

/// Discord's PING, which it also sends with a wrong signature to see it refused: a PONG. None for any other
/// interaction.
///
/// Source: Discord, "Interactions: setting up an endpoint".
pub fn discord(verified: &Verified<'_>) -> Option<Answer> {
    (member(verified, Scheme::Discord, "/type")? == "1").then(|| Answer::json(r#"{"type":1}"#.into()))
}

/// Meta's verification request, a GET with this query: `hub.challenge` as plain text, if `hub.verify_token` is one of
/// these tokens. They are compared in constant time; an empty one fits nothing.
///
/// Source: Meta, "Webhooks: getting started, verification requests".
pub fn meta<'t>(query: &str, tokens: impl IntoIterator<Item = &'t str>) -> Result<Answer, ChallengeError> {
    let digest = |token: &str| CtOutput::<Sha256>::new(Sha256::digest(token));
    if parameter(query, "hub.mode")? != "subscribe" {
        return Err(ChallengeError::Parameter { name: "hub.mode" });
    }
    let (given, challenge) = (parameter(query, "hub.verify_token")?, parameter(query, "hub.challenge")?);
    let given = digest(&given);
    let fits = tokens.into_iter().filter(|token| !token.is_empty()).filter(|token| digest(token) == given).count();
    if fits == 0 { Err(ChallengeError::Token) } else { Ok(Answer::text(&challenge)) }
}

/// What a WebSub hub asks a subscriber to confirm.
///
/// Source: WebSub (W3C), section 5.3.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSub<'q> {
    /// Whether to subscribe; otherwise to unsubscribe.
    pub subscribe: bool,
    /// The topic's URL.
    pub topic: Cow<'q, str>,
    /// How long the subscription would hold.
    pub lease: Option<Duration>,
    challenge: Cow<'q, str>,
}

impl WebSub<'_> {
    /// Yes, that was asked for.
    pub fn confirm(&self) -> Answer {
        Answer::text(&self.challenge)
    }

    /// No, nobody asked for that.
    pub fn deny(&self) -> Answer {
        Answer { status: 404, headers: Vec::new(), body: Vec::new() }
    }
}

/// Reads a WebSub hub's request for confirmation, a GET with this query. The caller compares the topic with what it
/// has asked for, and [confirms](WebSub::confirm) or [denies](WebSub::deny). A hub's own denial (`hub.mode=denied`) asks
/// nothing and is an error here.
pub fn websub(query: &str) -> Result<WebSub<'_>, ChallengeError> {
    let subscribe = match &*parameter(query, "hub.mode")? {
        "subscribe" => true,
        "unsubscribe" => false,
        _ => return Err(ChallengeError::Parameter { name: "hub.mode" }),
    };
    let (topic, challenge) = (parameter(query, "hub.topic")?, parameter(query, "hub.challenge")?);
    let lease = match parameter(query, "hub.lease_seconds") {
        Ok(lease) => decimal(lease.as_bytes()).map(Duration::from_secs),
        Err(_) if subscribe => return Err(ChallengeError::Parameter { name: "hub.lease_seconds" }),
        Err(_) => None,
    };
    Ok(WebSub { subscribe, topic, lease, challenge })
}

/// Twitter's challenge-response check, a GET with this query: the HMAC of `crc_token` under the app's consumer secret.
/// An empty secret answers nothing.
///
/// Source: X Developer Platform, "Account Activity API: challenge-response checks".
pub fn twitter_crc(query: &str, consumer_secret: &str) -> Result<Answer, ChallengeError> {
    let token = parameter(query, "crc_token")?;
    let key = Key::new(Algorithm::HmacSha256, consumer_secret.as_bytes()).map_err(|_| ChallengeError::Token)?;
    let mac = Text::Base64.encode(&key.sign(&[token.as_bytes()]).ok_or(ChallengeError::Token)?);
    Ok(Answer::json(alloc::format!(r#"{{"response_token":"sha256={mac}"}}"#)))
}

/// Whose CloudEvents a receiver consents to, and how many.
///
/// Source: CloudEvents, HTTP 1.1 Web Hooks, section 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    origins: Option<Vec<String>>,
    rate: Option<NonZeroU32>,
}

impl Consent {
    /// Consents to senders under these DNS names, compared without regard to ASCII case.
    pub fn to<T: Into<String>>(origins: impl IntoIterator<Item = T>) -> Self {
        Self { origins: Some(origins.into_iter().map(Into::into).collect()), rate: None }
    }

    /// Consents to every sender.
    pub fn to_anyone() -> Self {
        Self { origins: None, rate: None }
    }

    /// How many requests a minute are granted at most. Without it there is no limit.
    #[must_use]
    pub fn at_most(self, per_minute: NonZeroU32) -> Self {
        Self { rate: Some(per_minute), ..self }
    }

    /// The answer to an OPTIONS request with these headers. It consents where it has `webhook-allowed-origin`; its
    /// status says nothing. The rate granted is the smaller of what is asked for and what is allowed, `*` where there
    /// is neither.
    pub fn answer(&self, headers: &(impl Headers + ?Sized)) -> Answer {
        let mut answer = Answer { status: 200, headers: alloc::vec![("allow", "POST".into())], body: Vec::new() };
        let Some(origin) = only(headers, "webhook-request-origin").filter(|origin| self.includes(origin)) else {
            return answer;
        };
        let asked = only(headers, "webhook-request-rate").and_then(|rate| decimal(rate.as_bytes()));
        let asked = asked.filter(|rate| *rate > 0);
        let allowed = self.rate.map(|rate| u64::from(rate.get()));
        let granted = asked.into_iter().chain(allowed).min();
        let granted = granted.map_or_else(|| "*".into(), |rate| alloc::format!("{rate}"));
        answer.headers.push(("webhook-allowed-origin", origin.into()));
        answer.headers.push(("webhook-allowed-rate", granted));
        answer
    }

    fn includes(&self, origin: &str) -> bool {
        let sound = !origin.is_empty() && origin.len() <= 256 && origin.bytes().all(|b| b.is_ascii_graphic());
        sound && self.origins.as_ref().is_none_or(|known| known.iter().any(|known| known.eq_ignore_ascii_case(origin)))
    }
}

/// The only value of a header, as text.
fn only<'h>(headers: &'h (impl Headers + ?Sized), name: &str) -> Option<&'h str> {
    let mut values = headers.all(name);
    let value = values.next().and_then(|value| core::str::from_utf8(value).ok());
    value.filter(|_| values.next().is_none())
}

/// A member of a question that was verified as one of its scheme.
fn member<'r>(verified: &Verified<'r>, scheme: Scheme, at: &str) -> Option<Cow<'r, str>> {
    pointer::find_text(verified.body(), at).filter(|_| verified.scheme() == scheme)
}

/// The only parameter of a query with a name.
fn parameter<'q>(query: &'q str, name: &'static str) -> Result<Cow<'q, str>, ChallengeError> {
    let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value);
    match (found.next(), found.next()) {
        (Some(value), None) if !value.is_empty() && value.len() <= ECHO_BYTES => Ok(value),
        (None | Some(_), _) => Err(ChallengeError::Parameter { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::signed as signed_answer;
    use super::*;
    use crate::signing::{Received, Signer, Unsigned};
    use crate::time::UnixTime;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    /// What is made of a question that is signed.
    fn asked(
        scheme: Scheme,
        body: &str,
        answer: impl Fn(&Verifier, &Verified<'_>) -> Option<Answer>,
    ) -> Option<Answer> {
        let (signing, verifying) = match scheme {
            Scheme::Discord => (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            ),
            _ => ("secret", "secret"),
        };
        let request = Unsigned { method: "POST", url: "", id: None, headers: &[], body: body.as_bytes() };
        let signed = Signer::new(scheme, signing).unwrap().sign(&request, NOW).unwrap();
        let verifier = Verifier::new(scheme, ["other", verifying].into_iter().skip(usize::from(signing != "secret")));
        let verifier = verifier.unwrap();
        let received = Received { method: "POST", url: "", headers: &signed.headers, body: &signed.body };
        let verified = verifier.verify(&received, NOW).unwrap();
        let answer = answer(&verifier, &verified);
        assert_eq!(signed_answer(&verifier, &verified).is_some(), reads_like_one(scheme, body.as_bytes()), "{body}");
        answer
    }

    #[test]
    fn signed_questions_are_answered() {
        let of_slack = |body| asked(Scheme::Slack, body, |_, verified| slack(verified));
        let question = r#"{"token":"x","challenge":"3eZbr\u0077","type":"url_verification"}"#;
        assert_eq!(of_slack(question).unwrap().body, b"3eZbrw");
        assert_eq!(of_slack(r#"{"challenge":"3","type":"event_callback"}"#), None);
        assert_eq!(asked(Scheme::Zoom, question, |_, verified| slack(verified)), None, "another scheme's question");

        // The token and its HMAC under "secret", computed with OpenSSL.
        let question = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
        let body = asked(Scheme::Zoom, question, zoom).unwrap().body;
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
        assert_eq!(told["encryptedToken"], "72cef096bfd47c0b8664df30d07721641e4abd7e885ba432204260db477a9a3e");
        assert_eq!(asked(Scheme::Zoom, r#"{"event":"x","payload":{"plainToken":"q"}}"#, zoom), None);
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn a_ping_is_answered_with_a_pong() {
        let of_discord = |body| asked(Scheme::Discord, body, |_, verified| discord(verified));
        assert_eq!(of_discord(r#"{"type":1}"#).unwrap().body, br#"{"type":1}"#);
        assert_eq!(of_discord(r#"{"type":2}"#), None);
    }

    #[test]
    fn tokens_are_agreed_on() {
        let query = "hub.mode=subscribe&hub.challenge=11582&hub.verify_token=meaty%20ham";
        assert_eq!(meta(query, ["other", "meaty ham"]).unwrap().body, b"11582");
        assert_eq!(meta(query, ["meaty"]), Err(ChallengeError::Token));
        assert_eq!(meta(query, []), Err(ChallengeError::Token));
        for (name, query) in [
            ("hub.mode", "hub.challenge=1&hub.verify_token=t"),
            ("hub.mode", "hub.mode=x&hub.challenge=1&hub.verify_token=t"),
            ("hub.challenge", "hub.mode=subscribe&hub.verify_token=t"),
            ("hub.challenge", "hub.mode=subscribe&hub.verify_token=t&hub.challenge=1&hub.challenge=2"),
            ("hub.verify_token", "hub.mode=subscribe&hub.verify_token=&hub.challenge=1"),
        ] {
            assert_eq!(meta(query, ["t", ""]), Err(ChallengeError::Parameter { name }), "{query}");
        }
        let long = alloc::format!("hub.mode=subscribe&hub.verify_token=t&hub.challenge={}", "1".repeat(ECHO_BYTES + 1));
        assert_eq!(meta(&long, ["t"]), Err(ChallengeError::Parameter { name: "hub.challenge" }));
    }

    #[test]
    fn hubs_are_told_what_was_asked_for() {
        let asked =
            websub("hub.mode=subscribe&hub.topic=https%3A%2F%2Ft.example%2F&hub.challenge=c&hub.lease_seconds=60");
        let asked = asked.unwrap();
        assert_eq!((asked.subscribe, &*asked.topic), (true, "https://t.example/"));
        assert_eq!(asked.lease, Some(Duration::from_secs(60)));
        assert_eq!((asked.confirm().body, asked.deny().status), (b"c".to_vec(), 404));
        assert!(!websub("hub.mode=unsubscribe&hub.topic=t&hub.challenge=c").unwrap().subscribe);
        for query in ["hub.mode=denied&hub.topic=t", "hub.mode=subscribe&hub.topic=t&hub.challenge=c", ""] {
            assert!(websub(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_crc_is_answered() {
        // Computed with OpenSSL.
        let answer = twitter_crc("crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=1", "secret").unwrap();
        assert_eq!(answer.body, br#"{"response_token":"sha256=CCaF7JoinKrx7/LQHWSmMC3gluNLvmLge86rnkkUiTg="}"#);
        assert_eq!(twitter_crc("crc_token=x", ""), Err(ChallengeError::Token));
        assert_eq!(twitter_crc("x=1", "secret"), Err(ChallengeError::Parameter { name: "crc_token" }));
    }

    #[test]
    fn consent_is_a_header() {
        let consent = Consent::to(["eventemitter.example.com"]).at_most(NonZeroU32::new(100).unwrap());
        let answer = |consent: &Consent, headers: &[(&str, &str)]| {
            let headers = consent.answer(headers).headers;
            let get = |name| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
            assert_eq!(get("allow").as_deref(), Some("POST"));
            get("webhook-allowed-origin").zip(get("webhook-allowed-rate"))
        };
        let origin = ("WebHook-Request-Origin", "EventEmitter.example.com");
        let granted = |rate: &str| Some((String::from(origin.1), String::from(rate)));
        assert_eq!(answer(&consent, &[origin, ("WebHook-Request-Rate", "120")]), granted("100"));
        assert_eq!(answer(&consent, &[origin, ("WebHook-Request-Rate", "5")]), granted("5"));
        assert_eq!(answer(&consent, &[origin]), granted("100"));
        assert_eq!(answer(&consent, &[origin, ("WebHook-Request-Rate", "0")]), granted("100"));
        assert_eq!(answer(&Consent::to_anyone(), &[origin]), granted("*"));
        assert_eq!(answer(&Consent::to_anyone(), &[origin, ("webhook-request-rate", "7")]), granted("7"));
        assert_eq!(answer(&consent, &[("WebHook-Request-Origin", "evil.example")]), None);
        assert_eq!(answer(&consent, &[origin, origin]), None);
        assert_eq!(answer(&consent, &[]), None);
    }
}

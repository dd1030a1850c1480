//! The questions by which providers make sure of a receiver, answered from what it was told beforehand.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use postrider_core::registration::consent::Doorkeeper;
use postrider_core::signing::challenge::{self, Answer, ChallengeError};

/// What a receiver answers to requests that are asked without a signature and are no webhooks.
///
/// * A GET with `hub.mode` and `hub.verify_token`: Meta wants the [token](Self::verify_tokens) back that it was given.
/// * A GET with `hub.mode` and `hub.topic`: a WebSub hub wants to know whether a [topic](Self::topics) is subscribed to. It
///   is confirmed that a wanted one is to be subscribed to, and that any other is not to be any longer; nothing else is.
/// * A GET with `crc_token`: X, formerly Twitter, wants the HMAC under the app's [secret](Self::consumer_secrets).
/// * An OPTIONS: a sender of CloudEvents asks whether it [may send](Self::consent).
///
/// Without any of it no such request is answered. What Slack, Zoom and Discord ask is signed, and is answered by whoever has
/// the verifier ([`challenge::signed`]).
#[derive(Clone, Default)]
pub struct Challenges {
    tokens: Option<Vec<String>>,
    topics: Vec<String>,
    consumer: Vec<String>,
    door: Option<Doorkeeper>,
}

/// The answer to a question, as a response.
pub fn answered(answer: Answer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("an answer has a status");
    for (name, value) in answer.headers {
        let value = HeaderValue::try_from(value).expect("the headers of an answer are visible ASCII");
        response.headers_mut().insert(name, value);
    }
    response
}

/// Why a question is not answered as its sender would like: 404, or 403 to who asks to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unwanted {
    /// It is not asked as it should be, or its token is not known.
    Question(ChallengeError),
    /// A hub asks to subscribe to a topic that is not wanted.
    Topic,
    /// A hub asks to give up a topic that is wanted.
    Leaving,
    /// A sender asks to send, and may not.
    Consent,
}

impl Challenges {
    /// With the tokens that Meta may say; without any, it is told 404.
    #[must_use]
    pub fn verify_tokens<T: Into<String>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        self.tokens.get_or_insert_default().extend(tokens.into_iter().map(Into::into));
        self
    }

    /// With topics that are to be subscribed to at WebSub hubs.
    #[must_use]
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// With the consumer secrets of an app of X; the first of them answers.
    #[must_use]
    pub fn consumer_secrets<T: Into<String>>(mut self, secrets: impl IntoIterator<Item = T>) -> Self {
        self.consumer.extend(secrets.into_iter().map(Into::into));
        self
    }

    /// With consent to senders of CloudEvents.
    #[must_use]
    pub fn consent(mut self, door: Doorkeeper) -> Self {
        self.door = Some(door);
        self
    }

    /// The answer to a request for this target with these headers. `None`: it is no question that is answered here.
    pub fn answer(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
    ) -> Option<Result<Response<Bytes>, Unwanted>> {
        match *method {
            Method::GET => self.asked(target).map(|answer| answer.map(answered)),
            Method::OPTIONS => self.door.as_ref().map(|door| {
                let reception = door.answer(headers);
                if !reception.granted {
                    return Err(Unwanted::Consent);
                }
                let mut response = Response::new(Bytes::new());
                response.headers_mut().extend(reception.lines);
                Ok(response)
            }),
            _ => None,
        }
    }

    /// The answer to a question that is asked by a GET.
    fn asked(&self, target: &str) -> Option<Result<Answer, Unwanted>> {
        let (_, query) = target.split_once('?')?;
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        if has("hub.topic") && !self.topics.is_empty() {
            return Some(self.hub(query));
        }
        if let Some(tokens) = self.tokens.as_ref().filter(|_| has("hub.mode")) {
            return Some(challenge::meta(query, tokens.iter().map(String::as_str)).map_err(Unwanted::Question));
        }
        let secret = self.consumer.first().filter(|_| has("crc_token"))?;
        Some(challenge::twitter_crc(query, secret).map_err(Unwanted::Question))
    }

    fn hub(&self, query: &str) -> Result<Answer, Unwanted> {
        let asked = challenge::websub(query).map_err(Unwanted::Question)?;
        match (asked.subscribe, self.topics.iter().any(|topic| *topic == asked.topic)) {
            (true, true) | (false, false) => Ok(asked.confirm()),
            (true, false) => Err(Unwanted::Topic),
            (false, true) => Err(Unwanted::Leaving),
        }
    }
}

impl Unwanted {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Question(_) | Self::Topic | Self::Leaving => StatusCode::NOT_FOUND,
            Self::Consent => StatusCode::FORBIDDEN,
        }
    }

    /// What its sender is told.
    pub fn wire_text(self) -> &'static str {
        "nobody asked for this"
    }
}

impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Question(why) => why.fmt(f),
            Self::Topic => f.write_str("the topic is none of those that are subscribed to"),
            Self::Leaving => f.write_str("the topic is one that is to stay subscribed to"),
            Self::Consent => f.write_str("it asks for no consent that can be given"),
        }
    }
}

impl std::error::Error for Unwanted {}

impl fmt::Debug for Challenges {
    /// Without tokens and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("topics", &self.topics).field("door", &self.door).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use postrider_core::registration::consent::Origin;

    use super::*;

    fn get(challenges: &Challenges, query: &str) -> Option<Result<Vec<u8>, Unwanted>> {
        let answer = challenges.answer(&Method::GET, &format!("/hooks?{query}"), &HeaderMap::new());
        answer.map(|answer| answer.map(|answer| answer.into_body().to_vec()))
    }

    #[test]
    fn only_what_was_agreed_on_is_answered() {
        let meta = "hub.mode=subscribe&hub.challenge=1158&hub.verify_token=agreed";
        let none = Challenges::default();
        assert_eq!((get(&none, meta), get(&none, "crc_token=x"), get(&none, "")), (None, None, None));
        let agreed = Challenges::default().verify_tokens(["agreed"]).consumer_secrets(["secret"]);
        assert_eq!(get(&agreed, meta), Some(Ok(b"1158".to_vec())));
        let wrong = Some(Err(Unwanted::Question(ChallengeError::Token)));
        assert_eq!(get(&agreed, &meta.replace("agreed", "other")), wrong);
        assert_eq!(get(&Challenges::default().verify_tokens([""; 0]), meta), wrong, "it is asked, and nothing fits");
        assert!(get(&agreed, "crc_token=x").unwrap().is_ok());
        assert_eq!(get(&agreed, "page=1"), None);
        assert!(agreed.answer(&Method::POST, &format!("/?{meta}"), &HeaderMap::new()).is_none());
        assert!(!format!("{agreed:?}").contains("agreed") && !format!("{agreed:?}").contains("secret"));
    }

    #[test]
    fn hubs_hear_what_is_wanted() {
        let challenges = Challenges::default().topics(["https://t.example/"]);
        let hub = |mode: &str, topic: &str| {
            let rest = "hub.challenge=c&hub.lease_seconds=60";
            get(&challenges, &format!("hub.mode={mode}&hub.topic=https://{topic}.example/&{rest}")).unwrap()
        };
        assert_eq!((hub("subscribe", "t"), hub("unsubscribe", "x")), (Ok(b"c".to_vec()), Ok(b"c".to_vec())));
        assert_eq!(hub("subscribe", "x"), Err(Unwanted::Topic));
        assert_eq!(hub("unsubscribe", "t"), Err(Unwanted::Leaving), "anybody can have a hub ask this");
        assert_eq!(Unwanted::Leaving.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn consent_is_given_to_whom_it_is_meant_for() {
        let door = Doorkeeper::new([Origin::new("a.example").unwrap()]);
        let challenges = Challenges::default().consent(door);
        let ask = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-request-origin", origin.parse().unwrap());
            challenges.answer(&Method::OPTIONS, "/", &headers).unwrap()
        };
        let answer = ask("a.example").unwrap();
        assert_eq!(answer.headers()["webhook-allowed-origin"], "a.example");
        assert_eq!(ask("b.example").unwrap_err(), Unwanted::Consent);
        assert!(Challenges::default().answer(&Method::OPTIONS, "/", &HeaderMap::new()).is_none());
    }
}

//! What providers ask to make sure of a receiver, answered before the machine hears of it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::Full;
use postrider_core::receiver::ReceiverConfig;
use postrider_core::signing::{Received, Scheme, Verifier, challenge};
use postrider_driver::{Challenges, Clock, challenges};

/// What is answered.
pub(super) struct Questions {
    challenges: Challenges,
    /// Where its scheme signs questions. None of these signs the URL.
    verifier: Option<Verifier>,
    clock: Clock,
}

impl Questions {
    pub(super) fn new(config: &ReceiverConfig, challenges: Challenges) -> Self {
        let signs = matches!(config.verifier.scheme(), Scheme::Slack | Scheme::Zoom | Scheme::Discord);
        Self { challenges, verifier: signs.then(|| config.verifier.clone()), clock: Clock::start() }
    }

    /// The answer to a request without a signature, if it is a question.
    pub(super) fn unsigned(&self, method: &Method, target: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let answer = self.challenges.answer(method, target, headers)?;
        let answer = answer.unwrap_or_else(|why| {
            let mut denied = Response::new(Bytes::from_static(why.wire_text().as_bytes()));
            *denied.status_mut() = why.status();
            denied.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            denied
        });
        Some(answer.map(Full::new))
    }

    /// Whether a question may come with a signature.
    pub(super) fn are_signed(&self) -> bool {
        self.verifier.is_some()
    }

    /// The answer to a question that a known key signed.
    pub(super) fn signed(&self, headers: &HeaderMap, body: &[u8]) -> Option<Response<Full<Bytes>>> {
        let verifier = self.verifier.as_ref()?;
        if !challenge::reads_like_one(verifier.scheme(), body) {
            return None;
        }
        let received = Received { method: Method::POST.as_str(), url: "", headers, body };
        let verified = verifier.verify(&received, self.clock.now().wall).ok()?;
        let answer = challenge::signed(verifier, &verified)?;
        Some(challenges::answered(answer).map(Full::new))
    }
}

//! One request, from its head to its answer.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use postrider_core::receiver::{self as core, ExchangeId, RecvInput, RequestHead};
use postrider_driver::BodyTime;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::drive::{ASKS, Ask, Fact};
use super::questions::Questions;

/// What a sender is asked to wait, in seconds, when the receiver is closed.
const RETRY_SECS: u64 = 5;

/// How requests are treated before the machine hears of them.
pub(super) struct Manners {
    pub(super) body_time: BodyTime,
    pub(super) questions: Questions,
}

/// One request. Dropped without an answer it is given up, and the machine is told.
pub(super) struct Exchange {
    id: ExchangeId,
    facts: mpsc::UnboundedSender<Fact>,
    manners: Arc<Manners>,
    answered: bool,
}

/// Why there is no body.
enum Unread {
    TooLarge,
    TimedOut,
    Broken,
}

impl Exchange {
    pub(super) fn new(id: ExchangeId, facts: mpsc::UnboundedSender<Fact>, manners: Arc<Manners>) -> Self {
        Self { id, facts, manners, answered: true }
    }

    /// Does what it is asked to until there is an answer. `brought` is called with the body before the machine has it.
    pub(super) async fn answer<B>(mut self, request: Request<B>, brought: impl FnOnce(&Bytes)) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let (head, body) = request.into_parts();
        let (target, questions) = (head.uri.to_string(), &self.manners.questions);
        if let Some(answer) = questions.unsigned(&head.method, &target, &head.headers) {
            return answer;
        }
        let headers = questions.are_signed().then(|| head.headers.clone());
        let head = RequestHead::new(head.method, head.headers).target(target).declared_length(body.size_hint().lower());
        let (asks, mut asked) = mpsc::channel(ASKS);
        self.answered = false;
        self.tell(Fact::Head { exchange: self.id, head, asks });
        let mut unread = Some((body, brought));
        loop {
            let cap = match asked.recv().await {
                Some(Ask::Body { cap }) => cap,
                Some(Ask::Answer(answer)) => {
                    self.answered = true;
                    return response(&answer);
                }
                None => {
                    self.answered = true;
                    return closed();
                }
            };
            let (body, brought) = unread.take().expect("a body is asked for once");
            let read = read(body, cap, self.manners.body_time).await;
            match read {
                Ok(body) => {
                    let signed = |headers| self.manners.questions.signed(headers, &body);
                    if let Some(answer) = headers.as_ref().and_then(signed) {
                        return answer;
                    }
                    brought(&body);
                    self.tell(Fact::Read(RecvInput::Body { exchange: self.id, body }));
                }
                Err(Unread::TooLarge) => self.tell(Fact::Read(RecvInput::BodyTooLarge { exchange: self.id })),
                Err(Unread::TimedOut) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
                Err(Unread::Broken) => return text(StatusCode::BAD_REQUEST, "the body broke off"),
            }
        }
    }

    /// It fails when the loop has ended, and then `asked` has too.
    fn tell(&self, fact: Fact) {
        let _ = self.facts.send(fact);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.answered {
            self.tell(Fact::Dropped(self.id));
        }
    }
}

/// The bytes of a body, trailers left out, as long as there are no more than `cap`. They are in a place of their own,
/// none of them as well.
async fn read<B: Body>(body: B, cap: usize, time: BodyTime) -> Result<Bytes, Unread> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::with_capacity(1);
    let begun = Instant::now();
    loop {
        let time = time.until(bytes.len()).saturating_sub(begun.elapsed());
        let frame = timeout(time, body.frame()).await.map_err(|_| Unread::TimedOut)?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if data.remaining() > cap - bytes.len() {
            return Err(Unread::TooLarge);
        }
        bytes.put(data);
    }
}

fn response(answer: &core::Response) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body()));
    *response.status_mut() = answer.status();
    response.headers_mut().extend(answer.headers());
    response.extensions_mut().insert(answer.reason());
    response
}

fn closed() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "not now, try again later");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECS));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

//! Requests that each bring their own handler: what the layer stands on, and adapters of frameworks.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderName, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use postrider_core::receiver::{Delivery, Processed, Reason};
use tokio::sync::oneshot;

use super::Receiver;

/// Names the key by which a request was verified.
const KEY_USED: HeaderName = HeaderName::from_static("postrider-key-used");

/// A receiver whose deliveries are handled by what came with their requests: made by
/// [`Builder::gate`](super::Builder::gate).
///
/// A handle: clones are the same receiver.
#[derive(Clone)]
pub struct Gate {
    receiver: Receiver,
    guests: Arc<Guests>,
}

/// How the handler of a request ended: what the machine is told, and what is answered where that is more than the
/// machine's own answer.
#[derive(Debug)]
#[must_use = "the machine is to know how it ended"]
pub struct Ended<R> {
    processed: Processed,
    answer: Option<Response<R>>,
}

impl Gate {
    pub(super) fn new(make: impl FnOnce(Arc<Guests>) -> Receiver) -> Self {
        let guests = Arc::<Guests>::default();
        Self { receiver: make(Arc::clone(&guests)), guests }
    }

    /// The answer to a request, whose delivery, if it begins one, goes to `handler`, with the request's head as it came.
    ///
    /// The handler runs at most once, in a task of its own, and goes on when this future is dropped. One that panics is
    /// [`Processed::Later`]. It does not run for what is not verified, nor for a repeat: that gets the machine's answer,
    /// and if it joins a delivery in progress it waits for that one. What the handler answers goes to the request that
    /// it came with, unless the machine says otherwise meanwhile: after
    /// [`processing`](postrider_core::receiver::ReceiverLimits::processing) the answer is 503, whatever comes.
    ///
    /// The response's extensions hold the [`Reason`] for it, as those of [`Receiver::answer`] do. Until there is an answer
    /// the body is held here too.
    pub async fn answer<B, H, F, R>(&self, request: Request<B>, handler: H) -> Response<Either<R, Full<Bytes>>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        H: FnOnce(Delivery, Parts) -> F + Send + 'static,
        F: Future<Output = Ended<R>> + Send + 'static,
        R: Send + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let mut told = Request::new(body);
        *told.method_mut() = parts.method.clone();
        *told.uri_mut() = parts.uri.clone();
        // The delivery has them.
        *told.headers_mut() = std::mem::take(&mut parts.headers);
        let (answered, mut answer) = oneshot::channel();
        let run = |delivery: Delivery| -> Running {
            Box::pin(async move {
                parts.headers = delivery.headers().clone();
                let ended = handler(delivery, parts).await;
                if let Some(answer) = ended.answer {
                    // Nobody waits for it when the request was given up.
                    let _ = answered.send(answer);
                }
                ended.processed
            })
        };
        let mut seat = None;
        let said =
            self.receiver.exchange().answer(told, |body| seat = Some(Guests::seat(&self.guests, body, run))).await;
        drop(seat);
        match answer.try_recv() {
            Ok(answer) if answer.status().is_success() == said.status().is_success() => with_news(answer, &said),
            Ok(_) | Err(_) => said.map(Either::Right),
        }
    }

    /// Handlers that wait to be let in.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.guests.lock().waiting.len()
    }

    /// Closes, as [`Receiver::close`] does.
    pub async fn close(&self) {
        self.receiver.close().await;
    }
}

impl<R> Ended<R> {
    /// It ended so, and the machine's answer says enough.
    pub fn new(processed: Processed) -> Self {
        Self { processed, answer: None }
    }

    /// It ended so, and this is answered. It is sent only where it is a success exactly when the machine's answer is.
    pub fn answered(processed: Processed, answer: Response<R>) -> Self {
        Self { processed, answer: Some(answer) }
    }

    /// It ended as the status of this answer says:
    ///
    /// | status | |
    /// | --- | --- |
    /// | 202 | [`Queued`](Processed::Queued) |
    /// | any other 2xx | [`Done`](Processed::Done) |
    /// | 400, 422 | [`Refuse`](Processed::Refuse): the event itself is wrong, and will be when it comes again |
    /// | 410 | [`Unsubscribed`](Processed::Unsubscribed) |
    /// | anything else | [`Later`](Processed::Later), after its `Retry-After` if that is a number of seconds |
    ///
    /// So a 404 or 403 of a route that is not there yet loses no event.
    pub fn by_status(answer: Response<R>) -> Self {
        let processed = match answer.status() {
            StatusCode::ACCEPTED => Processed::Queued,
            status if status.is_success() => Processed::Done,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Processed::Refuse,
            StatusCode::GONE => Processed::Unsubscribed,
            _ => Processed::Later { after: retry_after(&answer) },
        };
        Self::answered(processed, answer)
    }

    /// The same answer, to something that ended otherwise.
    pub fn but(self, processed: Processed) -> Self {
        Self { processed, ..self }
    }

    /// How it ended.
    pub fn processed(&self) -> Processed {
        self.processed
    }
}

fn retry_after<R>(answer: &Response<R>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// The handler's answer, with what the machine adds to it.
fn with_news<R>(mut answer: Response<R>, said: &Response<Full<Bytes>>) -> Response<Either<R, Full<Bytes>>> {
    let asks_to_wait = matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    for name in [Some(KEY_USED), asks_to_wait.then_some(RETRY_AFTER)].into_iter().flatten() {
        if let Some(value) = said.headers().get(&name) {
            answer.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    if let Some(reason) = said.extensions().get::<Reason>() {
        answer.extensions_mut().insert(*reason);
    }
    answer.map(Either::Left)
}

/// A handler at work.
type Running = Pin<Box<dyn Future<Output = Processed> + Send>>;

/// Those who wait to be let in, by the address of their bodies: a delivery has the very bytes that its exchange brought,
/// and no two that are alive are in one place.
#[derive(Default)]
pub(super) struct Guests(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: HashMap<usize, Guest>,
    /// Those whose exchange is over while the machine still has their body: it may deliver it.
    left: Vec<usize>,
}

struct Guest {
    /// Held, so that no other comes to be in its place.
    body: Bytes,
    run: Box<dyn FnOnce(Delivery) -> Running + Send>,
}

/// One who waits, as long as his exchange does.
struct Seat {
    guests: Arc<Guests>,
    at: usize,
}

impl Guests {
    /// Lets the handler in that came with what is delivered.
    pub(super) fn run(&self, delivery: Delivery) -> Running {
        let guest = self.lock().waiting.remove(&address(delivery.body()));
        match guest {
            Some(guest) => (guest.run)(delivery),
            None => Box::pin(std::future::ready(Processed::Later { after: None })),
        }
    }

    fn seat(guests: &Arc<Self>, body: &Bytes, run: impl FnOnce(Delivery) -> Running + Send + 'static) -> Seat {
        let at = address(body);
        let mut state = guests.lock();
        state.sweep();
        state.waiting.insert(at, Guest { body: body.clone(), run: Box::new(run) });
        drop(state);
        Seat { guests: Arc::clone(guests), at }
    }

    /// Nothing under this lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets those who left and whose body nobody else has: the machine will never deliver it. At most as many have
    /// left as there are deliveries in the machine.
    fn sweep(&mut self) {
        let waiting = &mut self.waiting;
        self.left.retain(|at| match waiting.get(at) {
            Some(guest) if guest.body.is_unique() => {
                waiting.remove(at);
                false
            }
            Some(_) => true,
            None => false,
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.guests.lock();
        if state.waiting.contains_key(&self.at) {
            state.left.push(self.at);
            state.sweep();
        }
    }
}

fn address(body: &Bytes) -> usize {
    body.as_ptr().addr()
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

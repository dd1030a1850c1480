//! One sender's webhooks: its machine, and how its handlers run in it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
use postrider_core::signing::{Verifier, standard};
use postrider_tokio::receiver as tokio;
use postrider_tokio::receiver::{Challenges, Ended, Gate};

use crate::ending::{Ending, Why};
use crate::notice::{Notice, What};

/// Whose webhooks are received, and how. A verifier is one with the defaults, and so is a [`ReceiverConfig`].
#[derive(Debug)]
#[must_use = "a source is for `Builder::source`"]
pub struct Source(tokio::Builder);

/// Whoever is told of notices.
pub(crate) type Tell = Arc<dyn Fn(Notice) + Send + Sync>;

/// A source that is open.
pub(crate) struct Open {
    name: Arc<str>,
    gate: Gate,
    tell: Tell,
}

impl Source {
    /// What this configuration accepts.
    pub fn new(config: ReceiverConfig) -> Self {
        Self(tokio::Receiver::builder(config))
    }

    /// Sets how many handlers may run at once: at least 1, 64 without it. What comes beyond is answered 503.
    pub fn concurrency(self, handlers: u32) -> Self {
        Self(self.0.concurrency(handlers))
    }

    /// Sets how long the body of a request may take, 30 s without it; then the answer is 408.
    pub fn body_time(self, time: Duration) -> Self {
        Self(self.0.body_time(time))
    }

    /// Sets the least rate of a body after a time of grace: 1,024 bytes a second after 5 s without it. Who is slower is
    /// answered 408.
    pub fn body_rate(self, bytes_a_second: u32, grace: Duration) -> Self {
        Self(self.0.body_rate(bytes_a_second, grace))
    }

    /// Sets the store that events are claimed in before they are handled, so that an event is handled once by all receivers with
    /// the same store, and by this one before and after a restart. Without it what has been handled is remembered in memory.
    pub fn claims(self, store: impl tokio::ClaimStore) -> Self {
        Self(self.0.claims(store))
    }

    /// Sets which unsigned questions are answered: of Meta, WebSub hubs, X, and senders of CloudEvents. None without it.
    /// What Slack, Zoom and Discord ask is signed and always answered.
    pub fn challenges(self, challenges: Challenges) -> Self {
        Self(self.0.challenges(challenges))
    }

    pub(crate) fn open(self, name: &Arc<str>, tell: &Tell) -> Open {
        let (source, told) = (Arc::clone(name), Arc::clone(tell));
        let on_notice = move |notice| told(Notice { source: Arc::clone(&source), what: What::Machine(notice) });
        Open { name: Arc::clone(name), gate: self.0.on_notice(on_notice).gate(), tell: Arc::clone(tell) }
    }
}

impl From<ReceiverConfig> for Source {
    fn from(config: ReceiverConfig) -> Self {
        Self::new(config)
    }
}

impl From<Verifier> for Source {
    fn from(verifier: Verifier) -> Self {
        Self::new(ReceiverConfig::new(verifier))
    }
}

impl From<standard::Verifier> for Source {
    fn from(verifier: standard::Verifier) -> Self {
        Self::new(ReceiverConfig::new(verifier))
    }
}

impl Open {
    /// The answer to a request, whose delivery, if it begins one, goes to the handler.
    pub(crate) async fn answer<H, T, S>(self: Arc<Self>, request: Request, handler: H, state: S) -> Response
    where
        H: Handler<T, S>,
        S: Send + 'static,
    {
        let open = Arc::clone(&self);
        let handle = |delivery, parts| async move { open.handle(delivery, parts, handler, state).await };
        self.gate.answer(request, handle).await.map(Body::new)
    }

    pub(crate) async fn close(&self) {
        self.gate.close().await;
    }

    async fn handle<H, T, S>(&self, delivery: Delivery, mut parts: Parts, handler: H, state: S) -> Ended<Body>
    where
        H: Handler<T, S>,
    {
        let mut watch = Watch { open: self, webhook_id: delivery.webhook_id().into(), broke: true };
        let body = Body::from(delivery.body().clone());
        parts.extensions.insert(delivery);
        let response = handler.call(Request::from_parts(parts, body), state).await;
        watch.broke = false;
        let webhook_id = Arc::clone(&watch.webhook_id);
        let (ended, what) = judge(response, webhook_id);
        if let Some(what) = what {
            self.tell(what);
        }
        ended
    }

    /// Whoever listens is no reason to stop receiving.
    fn tell(&self, what: What) {
        let notice = Notice { source: Arc::clone(&self.name), what };
        let _ = catch_unwind(AssertUnwindSafe(|| (self.tell)(notice)));
    }
}

/// Tells of a handler that does not come to its end.
struct Watch<'a> {
    open: &'a Open,
    webhook_id: Arc<str>,
    broke: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.broke {
            self.open.tell(What::Broke { webhook_id: Arc::clone(&self.webhook_id) });
        }
    }
}

/// What a response of a handler means, and what is worth telling of it. Nothing but our own words refuses an event: a plain
/// 400 may be that of an extractor that failed.
fn judge(mut response: Response, webhook_id: Arc<str>) -> (Ended<Body>, Option<What>) {
    if let Some(Ending { processed, why }) = response.extensions_mut().remove() {
        let what = why.map(|why| match why {
            Why::Later(why) => What::Later { webhook_id, why },
            Why::Refused(why) => What::Refused { webhook_id, why },
            Why::NotOfType(why) => What::NotOfType { webhook_id, why },
        });
        return (Ended::new(processed), what);
    }
    let status = response.status();
    let ended = Ended::by_status(response.into_response());
    match ended.processed() {
        Processed::Done | Processed::Queued | Processed::Unsubscribed => (ended, None),
        Processed::Later { .. } => (ended, Some(What::Failed { webhook_id, status })),
        Processed::Refuse => (ended.but(Processed::Later { after: None }), Some(What::Failed { webhook_id, status })),
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("name", &self.name).finish_non_exhaustive()
    }
}

//! Receiving: a tower service that verifies, drops copies, and answers once the application is done.
//!
//! ```no_run
//! use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
//! use postrider_core::secret::Secret;
//! use postrider_core::signing::standard::Verifier;
//! use postrider_tokio::receiver::Receiver;
//!
//! # async fn store(body: &[u8]) -> std::io::Result<()> { Ok(()) }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let hooks = Receiver::new(ReceiverConfig::new(Verifier::new([&secret])?), async |delivery: Delivery| {
//!     match store(delivery.body()).await {
//!         Ok(()) => Processed::Done,
//!         Err(_) => Processed::Later { after: None },
//!     }
//! });
//! // axum: Router::new().route_service("/hooks", hooks.clone())
//! // hyper: TowerToHyperService::new(hooks.clone()), or service_fn(|request| hooks.answer(request))
//! hooks.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it runs
//! One task owns the machine of [`postrider_core::receiver`], which decides everything; signatures are checked there too.
//! Its loop, whole:
//!
//! ```text
//! loop {
//!     let wake = self.turn();                         // 1. effects are carried out
//!     if wake == Wake::Closed {
//!         return;
//!     }
//!     match until(self.clock, wake, facts).await {    // 2. something happens, or it is time
//!         Some(fact) => self.take(fact),
//!         None => self.feed(RecvInput::Tick),
//!     }
//! }
//! ```
//!
//! A request is a future on the task of its connection: it tells its head, reads its body when it is asked to, and waits
//! for its answer. Each delivery runs in a task of its own, so it goes on when the sender hangs up, and one that panics
//! is [`Later`]. One that outlives [`processing`] goes on as well, and keeps its place: never do more than
//! [`Builder::concurrency`] run at once.
//!
//! **The server's part.** Slow heads, idle connections and the number of connections are bounded by whoever accepts
//! them; [`Server`] does. The time and the least rate of bodies are bounded here.
//!
//! [`Later`]: postrider_core::receiver::Processed::Later
//! [`processing`]: postrider_core::receiver::ReceiverLimits::processing

mod drive;
mod exchange;
mod gate;
mod layer;
mod questions;
mod server;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_layer;
#[cfg(test)]
mod tests_server;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use postrider_core::receiver::{Acknowledge, Delivery, ExchangeId, Processed, ReceiverConfig, RecvNotice};
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

pub use gate::{Ended, Gate};
pub use layer::{Verify, VerifyLayer};
pub use postrider_driver::{Challenges, Handled};
pub use postrider_journal::claims::ClaimStore;
pub use server::Server;

use drive::{Drive, Fact, Tell};
use exchange::{Exchange, Manners};
use postrider_driver::BodyTime;
use questions::Questions;

use crate::inbox::Inbox;

/// Deliveries that run at once, at most, when nothing else is said.
const CONCURRENCY: u32 = 64;

/// Receives webhooks: a [`Service`] from requests to answers.
///
/// A handle: clones are the same receiver. When the last one is gone it closes, and answers what is in progress.
#[derive(Clone)]
pub struct Receiver(Arc<Handle>);

/// What a [`Receiver`] is made with; see [`Receiver::builder`].
#[must_use = "a builder makes a receiver only when it is told to"]
pub struct Builder {
    config: ReceiverConfig,
    concurrency: u32,
    body_time: BodyTime,
    claims: Option<Box<dyn ClaimStore>>,
    challenges: Challenges,
    tell: Tell,
}

/// The answer to one request, on its way. Dropping it gives the request up; a delivery that it began goes on.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Answering(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>);

struct Handle {
    facts: mpsc::UnboundedSender<Fact>,
    exchanges: AtomicU64,
    manners: Arc<Manners>,
}

impl Receiver {
    /// A receiver that hands what it has verified to `handler`. Like [`builder`](Self::builder) with its defaults.
    ///
    /// # Panics
    /// Outside a tokio runtime, as [`tokio::spawn`] does. The runtime needs its timers.
    pub fn new<H, F>(config: ReceiverConfig, handler: H) -> Self
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        Self::builder(config).handler(handler)
    }

    /// A receiver with more to say about it.
    pub fn builder(config: ReceiverConfig) -> Builder {
        Builder {
            config,
            concurrency: CONCURRENCY,
            body_time: BodyTime::default(),
            claims: None,
            challenges: Challenges::default(),
            tell: Box::new(drop),
        }
    }

    /// The answer to a request; what [`Service::call`] does, for frameworks without tower.
    ///
    /// The response's extensions hold the [`Reason`](postrider_core::receiver::Reason) for it, where the machine gave
    /// the answer. What the adapter says by itself is 408 to a body that does not come in its time, 400 to one that
    /// breaks off, and 503 once the receiver is closed; and it answers the questions of providers: those that Slack, Zoom
    /// and Discord sign, and [`Builder::challenges`].
    pub fn answer<B>(&self, request: Request<B>) -> Answering
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        Answering(Box::pin(self.exchange().answer(request, |_: &Bytes| {})))
    }

    /// Closes: new requests are answered 503 with `Retry-After`, those in progress as ever. Returns when the last
    /// delivery in progress has ended or timed out and every answer is with its request. Closing again waits for the
    /// same end; dropping the future does not stop the closing.
    pub async fn close(&self) {
        let (closed, end) = oneshot::channel();
        // Either fails when the loop has ended: it drops what it holds, and says so by that alone.
        let _ = self.0.facts.send(Fact::Close(Some(closed)));
        let _ = end.await;
    }

    /// The next exchange.
    fn exchange(&self) -> Exchange {
        let number = self.0.exchanges.fetch_add(1, Ordering::Relaxed);
        Exchange::new(ExchangeId::new(number), self.0.facts.clone(), Arc::clone(&self.0.manners))
    }
}

impl Builder {
    /// Sets how many deliveries may run at once: at least 1, 64 without it. What comes beyond is answered 503.
    pub fn concurrency(mut self, deliveries: u32) -> Self {
        self.concurrency = deliveries.max(1);
        self
    }

    /// Sets how long the body of a request may take from the moment when it is asked for, 30 s without it; then the
    /// answer is 408.
    pub fn body_time(mut self, time: Duration) -> Self {
        self.body_time = self.body_time.whole(time);
        self
    }

    /// Sets the least rate of a body: so many bytes a second, counted after `grace`; 1,024 after 5 s without it, and 0 for
    /// none. Who is slower is answered 408 before the whole time is over.
    pub fn body_rate(mut self, bytes_a_second: u32, grace: Duration) -> Self {
        self.body_time = self.body_time.rate(bytes_a_second, grace);
        self
    }

    /// Sets the store that events are claimed in before they are delivered, so that an event is delivered once by all
    /// receivers with the same store, and by this one before and after a restart:
    /// [`MemoryClaims`](postrider_journal::claims::MemoryClaims) within one process,
    /// [`FileClaims`](postrider_journal::claims::FileClaims) in a directory. How much it remembers is the store's own affair,
    /// besides what the receiver itself remembers. A claim lasts for as long as
    /// [`ReceiverConfig::claims`] says, and without it for twice
    /// [`processing`](postrider_core::receiver::ReceiverLimits::processing) and a minute: set it where events are held for
    /// their order for longer. While the store cannot be asked new events are answered 503.
    pub fn claims(mut self, store: impl ClaimStore) -> Self {
        self.claims = Some(Box::new(store));
        self
    }

    /// Sets which unsigned questions of providers are answered; none without it.
    pub fn challenges(mut self, challenges: Challenges) -> Self {
        self.challenges = challenges;
        self
    }

    /// Sets who is told what is worth telling, such as why a request was not accepted. It is called on the receiver's
    /// loop, so it must not wait. A panic in it is passed over.
    pub fn on_notice(mut self, tell: impl Fn(RecvNotice) + Send + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Makes the receiver. For `handler`, its answer and panics see [`Receiver::new`] and [`Handled`].
    pub fn handler<H, F>(self, handler: H) -> Receiver
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        self.start(handler, None)
    }

    /// Makes a receiver that stores what it has verified in an inbox, whose handler gets it from there: 202 leaves when the
    /// webhook is durable, and no other success leaves at all. It sets [`ReceiverConfig::acknowledge`].
    ///
    /// The receiver has a handle on the inbox of its own. To stop, close the receiver, then the inbox.
    ///
    /// # Panics
    /// Outside a tokio runtime, as [`tokio::spawn`] does. The runtime needs its timers.
    pub fn inbox(mut self, inbox: &Inbox) -> Receiver {
        let inbox = inbox.accepting(self.config.replays);
        self.config = self.config.acknowledge(Acknowledge::Stored);
        self.start(async |_| Processed::Later { after: None }, Some(inbox))
    }

    fn start<H, F>(self, handler: H, inbox: Option<Inbox>) -> Receiver
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        let (facts, heard) = mpsc::unbounded_channel();
        let claims = (self.claims, facts.clone());
        let questions = Questions::new(&self.config, self.challenges);
        let manners = Arc::new(Manners { body_time: self.body_time, questions });
        let drive = Drive::new(self.config, (handler, inbox), self.concurrency, self.tell, claims);
        tokio::spawn(drive.run(heard));
        Receiver(Arc::new(Handle { facts, exchanges: AtomicU64::new(1), manners }))
    }

    /// Makes a receiver without a handler: each request brings its own. Panics as [`handler`](Self::handler) does.
    pub fn gate(self) -> Gate {
        Gate::new(|guests| self.handler(move |delivery| guests.run(delivery)))
    }

    /// Makes a receiver that is a layer. Panics as [`handler`](Self::handler) does.
    pub fn layer(self) -> VerifyLayer {
        VerifyLayer::of(self.gate())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.facts.send(Fact::Close(None));
    }
}

impl<B> Service<Request<B>> for Receiver
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    /// Always ready: what is too much is answered 503.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.answer(request)
    }
}

impl Future for Answering {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("concurrency", &self.concurrency)
            .field("body_time", &self.body_time)
            .field("challenges", &self.challenges)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<Receiver>();
};

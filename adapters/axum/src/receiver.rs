//! Several sources, and their routes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::routing::{MethodRouter, any};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::notice::Notice;
use crate::source::{Open, Source, Tell};

/// Receives the webhooks of several sources, each with its own keys, limits and memory of what it has seen.
///
/// A handle: clones are the same receiver.
#[derive(Clone, Debug)]
pub struct Receiver(Arc<BTreeMap<Arc<str>, Arc<Open>>>);

/// What a [`Receiver`] is made with; see [`Receiver::builder`].
#[must_use = "a builder makes a receiver only when it is told to"]
pub struct Builder {
    sources: Vec<(Arc<str>, Source)>,
    tell: Tell,
}

/// Why there is no receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// It has no source.
    NoSource,
    /// Two of its sources have the same name.
    Twice(Arc<str>),
    /// There is no tokio runtime that it could run in.
    NoRuntime,
}

impl Receiver {
    /// Says what a receiver is to be made with.
    pub fn builder() -> Builder {
        Builder { sources: Vec::new(), tell: Arc::new(drop) }
    }

    /// A route to a source: what it has verified goes to `handler`, once. Every method comes here, so that the source can
    /// answer the questions of providers; what is neither that nor a POST is answered 405.
    ///
    /// The handler is one of axum, and takes a [`Webhook`](crate::Webhook) and whatever else extractors give. What they are
    /// given is the request that began the delivery, with the verified bytes as its body and the
    /// [`Delivery`](postrider_core::receiver::Delivery) in its extensions. How the handler ends decides what becomes of the
    /// event:
    ///
    /// | it returns | the event | answer |
    /// | --- | --- | --- |
    /// | [`Handled`](crate::Handled) | is done, repeats are not handled | 204, 202 |
    /// | [`Later`](crate::Later) | is free to come again | 503 with `Retry-After` |
    /// | [`Refuse`](crate::Refuse) | is refused, repeats too | 400 |
    /// | [`Rejection::Unsubscribed`](crate::Rejection::Unsubscribed) | is refused, repeats too | 410 |
    /// | any other answer with a status of 2xx | is done, repeats are not handled | that answer |
    /// | any other answer, that of a failing extractor too | is free to come again | that answer |
    /// | not: it panics, or its runtime ends | is free to come again | 503 with `Retry-After` |
    /// | not in [time] | is free, unless the handler ends well before it comes again | 503 with `Retry-After` |
    ///
    /// The handler goes on when its sender hangs up, and after its time. A repeat that comes meanwhile waits for the
    /// answer of the first.
    ///
    /// [time]: postrider_core::receiver::ReceiverLimits::processing
    ///
    /// # Panics
    /// If there is no such source. That is found when the route is made, as axum finds a route that is there twice, and
    /// the message names those that there are.
    #[track_caller]
    pub fn post<H, T, S>(&self, source: &str, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let Some(open) = self.0.get(source).map(Arc::clone) else {
            let known: Vec<&str> = self.sources().collect();
            panic!("there is no source `{source}`; there are: {}", known.join(", "));
        };
        any(async move |State(state): State<S>, request: Request| open.answer(request, handler, state).await)
    }

    /// The names of its sources, sorted.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// Closes: new requests are answered 503 with `Retry-After`, those in progress as ever. Returns when the last handler
    /// has ended or timed out. Closing again waits for the same end; dropping the future does not stop the closing.
    ///
    /// Call it after `axum::serve(..).with_graceful_shutdown(..)` has returned, for handlers whose senders hung up.
    pub async fn close(&self) {
        let mut closing = JoinSet::new();
        for open in self.0.values().map(Arc::clone) {
            closing.spawn(async move { open.close().await });
        }
        closing.join_all().await;
    }
}

impl Builder {
    /// Adds a source under a name of its own: a verifier, a configuration, or a [`Source`] with more to say.
    pub fn source(mut self, name: impl Into<Arc<str>>, source: impl Into<Source>) -> Self {
        self.sources.push((name.into(), source.into()));
        self
    }

    /// Sets who is told what is worth telling, such as why a request was not accepted or a handler wants an event later.
    /// It must not wait. A panic in it is passed over.
    pub fn on_notice(mut self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.tell = Arc::new(tell);
        self
    }

    /// Makes the receiver, inside of a tokio runtime with timers.
    pub fn build(self) -> Result<Receiver, BuildError> {
        Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        if self.sources.is_empty() {
            return Err(BuildError::NoSource);
        }
        let mut open = BTreeMap::new();
        for (name, source) in self.sources {
            if open.contains_key(&name) {
                return Err(BuildError::Twice(name));
            }
            let opened = source.open(&name, &self.tell);
            open.insert(name, Arc::new(opened));
        }
        Ok(Receiver(Arc::new(open)))
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSource => f.write_str("a receiver needs a source; add one with `source`"),
            Self::Twice(name) => write!(f, "there are two sources `{name}`; give each a name of its own"),
            Self::NoRuntime => f.write_str("a receiver is built inside of a tokio runtime; there is none here"),
        }
    }
}

impl std::error::Error for BuildError {}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("sources", &self.sources).finish_non_exhaustive()
    }
}

//! How a handler ends, and what that means.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use postrider_core::receiver::Processed;

/// What a sender is asked to wait, in seconds, where nothing better is known and there is no receiver to say it.
const SOON: u64 = 5;

/// A webhook that has been taken care of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the effect is there, or it is certain to come")]
pub enum Handled {
    /// It has had its effect, for good: 204, or what [`Success`](postrider_core::receiver::Success) says.
    #[default]
    Processed,
    /// It has been put where it will not be lost, and will have its effect later: 202.
    Queued,
}

/// A webhook that could not be taken care of now: 503 with `Retry-After`, and the event is free to come again.
///
/// Every error becomes one by `?`: what went wrong is kept for [`What::Later`](crate::What::Later), and never told the
/// sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Later {
    after: Option<Duration>,
    why: Option<Arc<str>>,
}

/// A webhook that is never wanted: 400, to its repeats too, and none of them is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    why: Arc<str>,
}

/// Why a webhook was not taken care of. Every error becomes [`Later`](Self::Later) by `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event that is not done is wanted again, or is not wanted")]
pub enum Rejection {
    /// Not now.
    Later(Later),
    /// Never.
    Refuse(Refuse),
    /// Nothing from this sender is wanted any more: 410, at which senders stop.
    Unsubscribed,
}

/// What a response stands for, in its extensions: so it is known from a plain one, as that of an extractor that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) processed: Processed,
    pub(crate) why: Option<Why>,
}

/// What is told the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Later(Arc<str>),
    Refused(Arc<str>),
    NotOfType(Arc<str>),
}

impl Later {
    /// As soon as the receiver finds right: in 5 s.
    pub fn soon() -> Self {
        Self::default()
    }

    /// Not before this time has passed; it is rounded up to whole seconds.
    pub fn after(time: Duration) -> Self {
        Self { after: Some(time), why: None }
    }

    /// For this reason, in words for a log. The sender is not told.
    #[must_use]
    pub fn because(self, why: impl fmt::Display) -> Self {
        Self { why: Some(why.to_string().into()), ..self }
    }
}

impl Refuse {
    /// For this reason, in words for a log. The sender is not told.
    pub fn because(why: impl fmt::Display) -> Self {
        Self { why: why.to_string().into() }
    }
}

impl<E: std::error::Error> From<E> for Later {
    fn from(error: E) -> Self {
        Self::soon().because(chain(&error))
    }
}

impl<E: std::error::Error> From<E> for Rejection {
    fn from(error: E) -> Self {
        Self::Later(error.into())
    }
}

impl From<Later> for Rejection {
    fn from(later: Later) -> Self {
        Self::Later(later)
    }
}

impl From<Refuse> for Rejection {
    fn from(refuse: Refuse) -> Self {
        Self::Refuse(refuse)
    }
}

/// An error and what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

impl Ending {
    pub(crate) fn response(self, status: StatusCode) -> Response {
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Handled {
    fn into_response(self) -> Response {
        let (processed, status) = match self {
            Self::Processed => (Processed::Done, StatusCode::NO_CONTENT),
            Self::Queued => (Processed::Queued, StatusCode::ACCEPTED),
        };
        Ending { processed, why: None }.response(status)
    }
}

impl IntoResponse for Later {
    fn into_response(self) -> Response {
        let seconds = self.after.map_or(SOON, |time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
        let ending = Ending { processed: Processed::Later { after: self.after }, why: self.why.map(Why::Later) };
        let mut response = ending.response(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        response
    }
}

impl IntoResponse for Refuse {
    fn into_response(self) -> Response {
        let ending = Ending { processed: Processed::Refuse, why: Some(Why::Refused(self.why)) };
        ending.response(StatusCode::BAD_REQUEST)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        match self {
            Self::Later(later) => later.into_response(),
            Self::Refuse(refuse) => refuse.into_response(),
            Self::Unsubscribed => Ending { processed: Processed::Unsubscribed, why: None }.response(StatusCode::GONE),
        }
    }
}

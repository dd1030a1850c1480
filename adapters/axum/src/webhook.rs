//! What a handler takes.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use postrider_core::receiver::{Delivery, Processed};
use serde::de::DeserializeOwned;

use crate::ending::{Ending, Why};

/// A webhook whose payload is JSON: an extractor, for handlers of [`Receiver::post`](crate::Receiver::post) and of routes
/// under a [`VerifyLayer`](postrider_tokio::receiver::VerifyLayer).
///
/// It derefs to the [`Delivery`]: `hook.webhook_id()`, `hook.dedup_key()`, `hook.kind()`, `hook.timestamp()`, `hook.key()`,
/// `hook.headers()`, `hook.body()`.
///
/// **A payload that is verified and is no `T`** is answered 400 and remembered as refused, so that repeats are too, and
/// told by [`What::NotOfType`](crate::What::NotOfType): it will be no `T` the next time either, and a sender that is told
/// 503 would send it until it gives up and take the endpoint for broken. Where that loses too much take
/// `Result<Webhook<T>, WebhookRejection>` and answer [`Later`](crate::Later), or a `T` that takes everything
/// (`serde_json::Value`), or [`RawWebhook`].
pub struct Webhook<T> {
    delivery: Delivery,
    data: T,
}

/// A webhook whose payload nobody has looked into: an extractor like [`Webhook`]. It derefs to the [`Delivery`] too.
#[derive(Clone, Debug)]
pub struct RawWebhook(Delivery);

/// Why there is no webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookRejection {
    /// Its payload is not what the handler takes: 400, remembered.
    NotOfType {
        /// What serde says of it.
        why: Arc<str>,
    },
    /// Nothing was verified: the handler is not one of [`Receiver::post`](crate::Receiver::post). 500.
    NotVerified,
}

impl<T> Webhook<T> {
    /// The payload.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The payload, to keep.
    pub fn into_data(self) -> T {
        self.data
    }

    /// What was verified.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Both.
    pub fn into_parts(self) -> (Delivery, T) {
        (self.delivery, self.data)
    }
}

impl RawWebhook {
    /// What was verified.
    pub fn delivery(&self) -> &Delivery {
        &self.0
    }

    /// What was verified, to keep.
    pub fn into_delivery(self) -> Delivery {
        self.0
    }
}

impl<T> Deref for Webhook<T> {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl Deref for RawWebhook {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.0
    }
}

impl<T, S> FromRequestParts<S> for Webhook<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = WebhookRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, WebhookRejection> {
        let RawWebhook(delivery) = RawWebhook::from_request_parts(parts, state).await?;
        let data = serde_json::from_slice(delivery.payload());
        let data = data.map_err(|why| WebhookRejection::NotOfType { why: why.to_string().into() })?;
        Ok(Self { delivery, data })
    }
}

impl<S> FromRequestParts<S> for RawWebhook
where
    S: Send + Sync,
{
    type Rejection = WebhookRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebhookRejection> {
        parts.extensions.get().cloned().map(Self).ok_or(WebhookRejection::NotVerified)
    }
}

impl IntoResponse for WebhookRejection {
    fn into_response(self) -> Response {
        match self {
            Self::NotOfType { why } => {
                let ending = Ending { processed: Processed::Refuse, why: Some(Why::NotOfType(why)) };
                ending.response(StatusCode::BAD_REQUEST)
            }
            Self::NotVerified => (StatusCode::INTERNAL_SERVER_ERROR, "nothing was verified here").into_response(),
        }
    }
}

impl fmt::Display for WebhookRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOfType { why } => write!(f, "the payload is not what the handler takes: {why}"),
            Self::NotVerified => f.write_str("nothing was verified: the handler must be given to `Receiver::post`"),
        }
    }
}

impl std::error::Error for WebhookRejection {}

impl<T> fmt::Debug for Webhook<T> {
    /// Without payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

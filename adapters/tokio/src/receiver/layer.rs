//! The receiver as a layer: what is verified goes on to the service below.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
use tower_layer::Layer;
use tower_service::Service;

use super::Receiver;
use super::gate::{Ended, Gate};

/// A layer that lets through what is verified and new, and answers everything else.
///
/// The service below gets the request with the verified bytes as its body, its headers and extensions as they came, and the
/// [`Delivery`] in the extensions. It is called at most once for each delivery, in a task of its own that goes on when the
/// sender hangs up. The status of its answer says how it ended ([`Ended::by_status`]); an error, a panic, and no answer within
/// [`processing`](postrider_core::receiver::ReceiverLimits::processing) leave the event free to come again, and are
/// answered 503 with `Retry-After`. Its answer is the answer to the request, headers, body and all. Repeats get the
/// machine's: one that comes meanwhile waits for it.
///
/// ```
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use postrider_core::receiver::{Delivery, ReceiverConfig};
/// use postrider_core::signing::Verifier;
/// use postrider_tokio::receiver::VerifyLayer;
/// use tower_layer::Layer;
///
/// # async fn store(body: &[u8]) -> std::io::Result<()> { Ok(()) }
/// # fn below() -> impl tower_service::Service<Request<Full<Bytes>>, Response = Response<String>, Error = std::io::Error,
/// #     Future = impl Future<Output = std::io::Result<Response<String>>> + Send> + Clone + Send + 'static {
/// #     #[derive(Clone)]
/// #     struct S;
/// #     impl tower_service::Service<Request<Full<Bytes>>> for S {
/// #         type Response = Response<String>;
/// #         type Error = std::io::Error;
/// #         type Future = std::future::Ready<std::io::Result<Response<String>>>;
/// #         fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
/// #             std::task::Poll::Ready(Ok(()))
/// #         }
/// #         fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future { std::future::ready(Ok(Response::default())) }
/// #     }
/// #     S
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let verify = VerifyLayer::new(ReceiverConfig::new(Verifier::github(["the secret"])?));
/// let service = verify.layer(below());
/// // axum: Router::new().route("/hooks", post(handler)).layer(verify.clone())
/// verify.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VerifyLayer {
    gate: Gate,
}

/// A service behind a [`VerifyLayer`].
#[derive(Clone)]
pub struct Verify<S> {
    gate: Gate,
    inner: S,
}

/// The answer to one request, on its way.
type Answering<R> = Pin<Box<dyn Future<Output = Result<Response<Either<R, Full<Bytes>>>, Infallible>> + Send>>;

impl VerifyLayer {
    /// A layer that lets through what this configuration accepts.
    ///
    /// # Panics
    /// Outside a tokio runtime, as [`Receiver::new`] does.
    pub fn new(config: ReceiverConfig) -> Self {
        Receiver::builder(config).layer()
    }

    pub(super) fn of(gate: Gate) -> Self {
        Self { gate }
    }

    /// Closes, as [`Receiver::close`] does.
    pub async fn close(&self) {
        self.gate.close().await;
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify { gate: self.gate.clone(), inner }
    }
}

impl<S, B, R> Service<Request<B>> for Verify<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    R: Send + 'static,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = Infallible;
    type Future = Answering<R>;

    /// Always ready: what is too much is answered 503, and the service below is waited for when it is called.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (gate, mut inner) = (self.gate.clone(), self.inner.clone());
        Box::pin(async move {
            let answer = gate.answer(request, |delivery: Delivery, mut head| async move {
                let body = Full::new(delivery.body().clone());
                head.extensions.insert(delivery);
                let request = Request::from_parts(head, body);
                let ready = poll_fn(|cx| inner.poll_ready(cx)).await.is_ok();
                let answer = if ready { inner.call(request).await.ok() } else { None };
                answer.map_or_else(|| Ended::new(Processed::Later { after: None }), Ended::by_status)
            });
            Ok(answer.await)
        })
    }
}

impl<S> fmt::Debug for Verify<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify").finish_non_exhaustive()
    }
}

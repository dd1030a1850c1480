//! A server that bounds what strangers can cost.

use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use crate::tasks::Lifeline;

/// After a connection could not be accepted, this long before the next: descriptors may be short.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a head, at most.
const HEAD_BYTES: u32 = 32 * 1024;

/// Requests in progress on one HTTP/2 connection, at most.
const STREAMS: u32 = 64;

/// How long a connection that is over may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a [`Receiver`](super::Receiver), or any service such as a router with one in it, over HTTP/1.1 and HTTP/2 without
/// TLS, and bounds what strangers can cost:
///
/// * At most [`connections`](Self::connections) are open; who comes then waits, in the system's queue.
/// * The first request of a connection must have come within [`head_time`](Self::head_time), each next within
///   [`idle_time`](Self::idle_time) after the last was answered: its whole head. Else the connection is closed, whether it is
///   silent or drips. What bodies may take is the receiver's to bound.
/// * A head has at most 32 KiB, and an HTTP/2 connection at most 64 requests in progress.
///
/// The answers of a receiver are a few bytes; a service with long ones bounds itself how long they may take to be written.
#[derive(Clone, Debug)]
#[must_use = "a server serves only when it is told to"]
pub struct Server {
    connections: usize,
    head_time: Duration,
    idle_time: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self { connections: 1024, head_time: Duration::from_secs(10), idle_time: Duration::from_secs(60) }
    }
}

impl Server {
    /// Sets how many connections may be open at once: at least 1, 1,024 without it.
    pub fn connections(self, connections: usize) -> Self {
        Self { connections: connections.clamp(1, Semaphore::MAX_PERMITS), ..self }
    }

    /// Sets how long a new connection may take to its first request, 10 s without it.
    pub fn head_time(self, time: Duration) -> Self {
        Self { head_time: time, ..self }
    }

    /// Sets how long a connection may take from an answer to its next request, 60 s without it.
    pub fn idle_time(self, time: Duration) -> Self {
        Self { idle_time: time, ..self }
    }

    /// Serves until `stop` is ready. Then nobody is let in any more, and it returns when the requests in progress are
    /// answered; whoever has deliveries that outlive their requests closes the receiver afterwards. Dropping the future
    /// cuts every connection.
    pub async fn serve<S, R>(self, listener: TcpListener, service: S, stop: impl Future<Output = ()>)
    where
        S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        R: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let (closing, closed) = watch::channel(false);
        let places = Arc::new(Semaphore::new(self.connections));
        let mut visits = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let entered = async {
                let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
                (accept(&listener).await, place)
            };
            let (stream, place) = select! {
                entered = entered => entered,
                () = &mut stop => break,
            };
            let visit = attend(stream, service.clone(), (self.head_time, self.idle_time), closed.clone());
            visits.spawn(async move {
                visit.await;
                drop(place);
            });
            while visits.try_join_next().is_some() {}
        }
        drop(listener);
        closing.send_replace(true);
        while visits.join_next().await.is_some() {}
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// One connection, until it is over, or has had no request for too long.
async fn attend<S, R>(stream: TcpStream, service: S, times: (Duration, Duration), mut closed: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    R: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    // It fails for a socket that is closed already, which the first read finds out.
    let _ = stream.set_nodelay(true);
    let (count, counted) = watch::channel(0);
    let count = Arc::new(count);
    let counting = service_fn(move |request| {
        let (mut service, work) = (service.clone(), Work::begin(&count));
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            let response = service.call(request).await?;
            Ok::<_, Infallible>(response.map(|body| Held { body: Box::pin(body), _work: work }))
        }
    });
    let lifeline = Lifeline::new();
    let mut server = auto::Builder::new(lifeline.spawner());
    server.http1().max_buf_size(HEAD_BYTES as usize);
    server.http2().max_concurrent_streams(STREAMS).max_header_list_size(HEAD_BYTES);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), counting));
    let mut resting = pin!(rested(counted, times));
    let closing = async {
        // It fails where the server was dropped, which cuts this as well.
        let _ = closed.wait_for(|closed| *closed).await;
    };
    let closes = select! {
        _ = connection.as_mut() => return,
        () = resting.as_mut() => false,
        () = closing => true,
    };
    connection.as_mut().graceful_shutdown();
    if closes {
        select! {
            _ = connection.as_mut() => return,
            () = resting => {}
        }
    }
    let _ = timeout(FAREWELL, connection).await;
}

/// Waits until there has been no request for too long: the first time the one time, then the other.
async fn rested(mut count: watch::Receiver<usize>, (first, next): (Duration, Duration)) {
    let mut time = first;
    loop {
        let changed = if *count.borrow_and_update() > 0 {
            count.changed().await
        } else {
            let Ok(changed) = timeout(time, count.changed()).await else { return };
            changed
        };
        if changed.is_err() {
            // The connection is over, and says so itself.
            return pending().await;
        }
        time = next;
    }
}

/// A request in progress, until its answer is written.
struct Work(Arc<watch::Sender<usize>>);

impl Work {
    fn begin(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The body of an answer, which is dropped when it is written.
struct Held<R> {
    body: Pin<Box<R>>,
    _work: Work,
}

impl<R: Body> Body for Held<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! One HTTP connection and one request at a time on it.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor as _;
use hyper_util::rt::TokioIo;
use postrider_core::response::{Phase, TransportError};
use postrider_core::sender::{Caps, Cleared};
use postrider_driver::{Framing, transport_error};
use tokio::sync::Notify;

use crate::tasks::Lifeline;
use crate::wire::{Progress, RequestBody, Wire};

/// Interim replies (1xx) that a receiver may send before its final one.
const INTERIM: u32 = 4;

/// Header lines of a response that hyper's HTTP/1.1 parser takes; more is [`TransportError::HeadTooLarge`].
const HEADER_LINES: usize = 512;

/// Bytes that hyper's parser takes beyond the cap of the head, so that it is the exact count of `Reply` that decides.
const HEAD_SLACK: usize = 4 * 1024;

/// How long a connection may take to be ready again after its response was read to the end.
const SETTLE: Duration = Duration::from_millis(20);

/// A connection that carries one request at a time; dropping it closes its socket.
///
/// HTTP/2 connections are not shared between requests either: an endpoint has few requests in flight, and a request
/// that fails then takes no other with it.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: Requests,
    progress: Arc<Progress>,
    end: End,
    _lifeline: Lifeline,
}

/// Where the response that was read last ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Where nobody doubts it.
    Plain,
    /// Behind its last chunk.
    Chunks,
    /// Readers may disagree.
    Doubtful,
}

#[derive(Debug)]
enum Requests {
    H1(http1::SendRequest<RequestBody>),
    H2(http2::SendRequest<RequestBody>),
}

/// Why there is no response head.
#[derive(Debug)]
pub(crate) enum SendError {
    /// hyper gave the request back: no byte of it was sent, as when the peer closed an idle connection.
    Unsent,
    /// The request was sent, or part of it.
    Failed(TransportError),
}

impl Connection {
    /// Begins to speak HTTP on a connected socket.
    pub(crate) async fn open(wire: Wire, caps: Caps) -> Result<Self, TransportError> {
        let lifeline = Lifeline::new();
        let spawner = lifeline.spawner();
        let progress = wire.progress();
        let requests = if wire.is_h2() {
            // What is larger by far resets the stream, what is a little larger is counted by `Reply`.
            let list = u32::try_from(caps.head.saturating_mul(4)).unwrap_or(u32::MAX);
            let mut builder = http2::Builder::new(spawner.clone());
            builder.max_header_list_size(list);
            let opened = builder.handshake(TokioIo::new(wire)).await;
            let (requests, connection) = opened.map_err(|error| failure(&error, Phase::Send))?;
            spawner.execute(connection);
            Requests::H2(requests)
        } else {
            let head = caps.head.saturating_add(HEAD_SLACK);
            let mut builder = http1::Builder::new();
            builder.max_headers(HEADER_LINES).max_header_size(head).max_buf_size(head.saturating_mul(2).max(64 * 1024));
            let opened = builder.handshake(TokioIo::new(wire)).await;
            let (requests, connection) = opened.map_err(|error| failure(&error, Phase::Send))?;
            spawner.execute(connection);
            Requests::H1(requests)
        };
        Ok(Self { requests, progress, end: End::Plain, _lifeline: lifeline })
    }

    /// Whether a request can be sent now, as far as is known: the peer has not closed the connection.
    pub(crate) fn is_open(&self) -> bool {
        match &self.requests {
            Requests::H1(requests) => requests.is_ready() && !requests.is_closed(),
            Requests::H2(requests) => requests.is_ready() && !requests.is_closed(),
        }
    }

    /// How far the request has got.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Sends the request and waits for the final response head.
    pub(crate) async fn send(&mut self, cleared: &Cleared) -> Result<Response<Incoming>, SendError> {
        let body = |bytes| RequestBody::new(bytes, Arc::clone(&self.progress));
        let response = match &mut self.requests {
            Requests::H1(requests) => {
                let mut request = cleared.request().map(body);
                let target = cleared.transmit().target();
                let host = HeaderValue::from_str(target.authority()).expect("an authority is visible ASCII");
                request.headers_mut().insert(HOST, host);
                *request.uri_mut() = Uri::try_from(target.path_and_query()).expect("the path of a URI is a URI");
                let interim = Interim::watch(&mut request);
                tokio::select! {
                    biased;
                    () = interim.too_many() => return Err(SendError::Failed(TransportError::MalformedHead)),
                    response = requests.try_send_request(request) => response,
                }
            }
            Requests::H2(requests) => requests.try_send_request(cleared.request().map(body)).await,
        };
        let response = response.map_err(|mut error| match error.take_message() {
            Some(_) => SendError::Unsent,
            None => SendError::Failed(failure(error.error(), self.progress.phase())),
        })?;
        self.end = self.end_of(&response)?;
        Ok(response)
    }

    /// What the head of a response says about its end. Over HTTP/2 frames say it.
    fn end_of(&self, response: &Response<Incoming>) -> Result<End, SendError> {
        if let Requests::H2(_) = self.requests {
            return Ok(End::Plain);
        }
        match Framing::of(response.version(), response.headers()) {
            Framing::Plain if response.headers().contains_key(TRANSFER_ENCODING) => Ok(End::Chunks),
            Framing::Plain => Ok(End::Plain),
            Framing::Doubtful => Ok(End::Doubtful),
            Framing::Broken => Err(SendError::Failed(TransportError::MalformedHead)),
        }
    }

    /// Whether the connection can take another request, after a response on it was read to its end.
    pub(crate) async fn settle(&mut self) -> bool {
        let sound = match self.end {
            End::Plain => true,
            End::Chunks => self.progress.saw_whole_chunks(),
            End::Doubtful => false,
        };
        if !sound {
            return false;
        }
        let ready = async {
            match &mut self.requests {
                Requests::H1(requests) => requests.ready().await,
                Requests::H2(requests) => requests.ready().await,
            }
        };
        matches!(tokio::time::timeout(SETTLE, ready).await, Ok(Ok(())))
    }
}

/// Counts interim replies: hyper skips them without end.
#[derive(Debug, Default)]
struct Interim {
    seen: AtomicU32,
    over: Notify,
}

impl Interim {
    fn watch(request: &mut Request<RequestBody>) -> Arc<Self> {
        let interim = Arc::new(Self::default());
        let counter = Arc::clone(&interim);
        hyper::ext::on_informational(request, move |_| {
            if counter.seen.fetch_add(1, Ordering::Relaxed) >= INTERIM {
                counter.over.notify_one();
            }
        });
        interim
    }

    async fn too_many(&self) {
        self.over.notified().await;
    }
}

/// What an error of hyper means for an attempt that was in this phase.
fn failure(error: &hyper::Error, phase: Phase) -> TransportError {
    if error.is_parse_too_large() {
        return TransportError::HeadTooLarge;
    }
    if error.is_parse() {
        return TransportError::MalformedHead;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return transport_error(error, phase);
        }
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return h2_failure(error, phase);
        }
        source = cause.source();
    }
    TransportError::Closed
}

/// What an error of HTTP/2 means: a peer that breaks the protocol sends no HTTP response, one that resets the stream
/// or says goodbye closes.
fn h2_failure(error: &h2::Error, phase: Phase) -> TransportError {
    match error.get_io() {
        Some(error) => transport_error(error, phase),
        None if error.is_library() => TransportError::MalformedHead,
        None => TransportError::Closed,
    }
}

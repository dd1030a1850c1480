//! The bytes of a connection, and how far a request has got on its way into them.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use postrider_core::response::Phase;
use postrider_driver::ChunkWatch;
use std::convert::Infallible;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How far the request on a connection has got. hyper does not say, so the request's body and the socket do: the body
/// marks that hyper has taken it, and the next flush that completes afterwards marks that it has left.
///
/// Over HTTP/2 the last bytes of a body may still wait for the peer's window when that flush completes, so that there
/// the phase may say [`Phase::Head`] a little early.
#[derive(Debug)]
pub(crate) struct Progress {
    mark: AtomicU8,
    /// Reads the response along with hyper, which is lenient about chunks and does not show them.
    watch: Mutex<ChunkWatch>,
}

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const SENT: u8 = 2;

impl Progress {
    /// What the attempt is doing now: [`Phase::Send`] until the request has left, [`Phase::Head`] afterwards.
    pub(crate) fn phase(&self) -> Phase {
        if self.mark.load(Ordering::Relaxed) == SENT { Phase::Head } else { Phase::Send }
    }

    /// Whether the response to the last request was one of chunks, as they should be, and has ended.
    pub(crate) fn saw_whole_chunks(&self) -> bool {
        self.watch().is_whole()
    }

    fn watch(&self) -> MutexGuard<'_, ChunkWatch> {
        // Nothing panics while it is held.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mark: u8) {
        self.mark.store(mark, Ordering::Relaxed);
    }

    fn flushed(&self) {
        // A failed exchange means that nothing was taken yet, or that it is marked already.
        let _ = self.mark.compare_exchange(TAKEN, SENT, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self { mark: AtomicU8::new(WAITING), watch: Mutex::new(ChunkWatch::of_response()) }
    }
}

/// The body of one request, given to hyper in one piece.
pub(crate) struct RequestBody {
    bytes: Bytes,
    progress: Arc<Progress>,
}

impl RequestBody {
    /// The body of the next request on the connection that `progress` belongs to.
    pub(crate) fn new(bytes: Bytes, progress: Arc<Progress>) -> Self {
        progress.set(if bytes.is_empty() { TAKEN } else { WAITING });
        *progress.watch() = ChunkWatch::of_response();
        Self { bytes, progress }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        self.progress.set(TAKEN);
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// A connected socket, with or without TLS, that marks when a request has left.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    progress: Arc<Progress>,
}

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, progress: Arc::default() }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Whether the peer chose HTTP/2 (ALPN `h2`, RFC 9113 section 3.2). Without TLS nobody is asked.
    pub(crate) fn is_h2(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before && !self.is_h2() {
            self.progress.watch().take(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        ready!(flushed)?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

//! One request and its response over an open connection, within caps and a deadline.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use postrider_core::response::{Phase, Reply, TransportError};
use postrider_core::sender::{Caps, Cleared};
use postrider_driver::{ChunkWatch, Framing, transport_error};
use ureq_proto::client::state::{RecvBody, RecvResponse};
use ureq_proto::client::{Call, RecvBodyResult, RecvResponseResult, SendRequestResult};
use ureq_proto::{BodyMode, Error};

use crate::connection::Connection;

/// Interim replies (1xx) that may come before the final one.
const INTERIM: usize = 4;

/// Bytes read at once.
const CHUNK: usize = 8 * 1024;

/// A body up to this size goes out together with the head, so that small requests are one packet.
const JOINED: usize = 16 * 1024;

/// How an exchange ended.
pub(crate) enum Exchanged {
    /// With a reply; and whether the connection may carry another request.
    Replied(Reply, bool),
    /// Without one.
    Failed(TransportError),
    /// The connection was gone before the peer could accept a byte of the request.
    Untouched(TransportError),
}

/// Sends a request and reads its response. Once the final head has been read it ends with the reply, whatever happens
/// to the body.
///
/// The request is written by the core and not by ureq-proto, which would log custom headers, secret ones included.
pub(crate) fn exchange(connection: &mut Connection, cleared: &Cleared, deadline: Instant) -> Exchanged {
    let caps = cleared.transmit().caps();
    let body = cleared.body();
    let mut head = Vec::with_capacity(1024 + if body.len() <= JOINED { body.len() } else { 0 });
    cleared.write_head(&mut head);
    let sent = if body.len() <= JOINED {
        head.extend_from_slice(body);
        connection.send(&[&head], deadline)
    } else {
        connection.send(&[&head, body], deadline)
    };
    let mut incoming = Incoming { connection, deadline, bytes: Vec::new(), read: 0, watch: None };
    match sent {
        Ok(()) => match incoming.head(caps) {
            Ok((reply, next, end)) => incoming.finish(reply, next, end, caps),
            Err(error) => Exchanged::Failed(error),
        },
        Err((error, 0)) => Exchanged::Untouched(transport_error(&error, Phase::Send)),
        // A receiver may answer and close before it has read everything.
        Err((error, _)) if error.kind() != io::ErrorKind::TimedOut => match incoming.head(caps) {
            Ok((reply, next, _)) => incoming.finish(reply, next, End::Doubtful, caps),
            Err(_) => Exchanged::Failed(transport_error(&error, Phase::Send)),
        },
        Err((error, _)) => Exchanged::Failed(transport_error(&error, Phase::Send)),
    }
}

/// What comes back.
struct Incoming<'a> {
    connection: &'a mut Connection,
    deadline: Instant,
    /// Read and not yet used.
    bytes: Vec<u8>,
    /// Bytes read since the head ended, with those that came along with it.
    read: usize,
    /// Sees every byte behind the head of a response in chunks.
    watch: Option<ChunkWatch>,
}

/// Where the body ends, as the head says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Where a length says, or with the connection.
    Plain,
    /// Behind the last chunk.
    Chunks,
    /// Readers may disagree.
    Doubtful,
}

impl Incoming<'_> {
    /// Reads the final head, skipping at most [`INTERIM`] others. Says where the body ends.
    fn head(&mut self, caps: Caps) -> Result<(Reply, RecvResponseResult, End), TransportError> {
        let mut call = awaiting();
        let mut interim = 0;
        let mut looked = 0;
        loop {
            // A head is looked at again only when a line of it has ended, so that dripping one costs the peer more
            // than us.
            if self.bytes[looked..].contains(&b'\n') {
                match call.try_response(&self.bytes, false).map_err(|error| head_error(&error))? {
                    (0, None) => {}
                    (used, None) => {
                        interim += 1;
                        if used > caps.head {
                            return Err(TransportError::HeadTooLarge);
                        }
                        if interim > INTERIM {
                            return Err(TransportError::MalformedHead);
                        }
                        self.bytes.drain(..used);
                        looked = 0;
                        continue;
                    }
                    (used, Some(response)) => {
                        self.bytes.drain(..used);
                        return final_head(call, &response, caps);
                    }
                }
            }
            if self.bytes.len() > caps.head {
                return Err(TransportError::HeadTooLarge);
            }
            looked = self.bytes.len();
            match self.fill(CHUNK) {
                Ok(0) if self.bytes.is_empty() => return Err(TransportError::Closed),
                // A whole line that is no status line has been seen above; this is one without an end.
                Ok(0) if b"HTTP/1.".iter().zip(&self.bytes).any(|(is, was)| is != was) => {
                    return Err(TransportError::MalformedHead);
                }
                Ok(0) => return Err(TransportError::Closed),
                Ok(_) => {}
                Err(error) => return Err(transport_error(&error, Phase::Head)),
            }
        }
    }

    /// Reads the body as far as it is of use, and says whether the connection may be used again.
    fn finish(mut self, reply: Reply, next: RecvResponseResult, end: End, caps: Caps) -> Exchanged {
        self.read = self.bytes.len();
        if end == End::Chunks {
            self.watch.insert(ChunkWatch::of_body()).take(&self.bytes);
        }
        let (close, body) = match next {
            RecvResponseResult::Cleanup(call) => (call.must_close_connection(), Vec::new()),
            RecvResponseResult::Redirect(call) => (call.must_close_connection(), Vec::new()),
            RecvResponseResult::RecvBody(call) => self.body(call, caps),
        };
        let sound = match (end, self.watch) {
            (End::Plain, _) => true,
            (End::Chunks, watch) => watch.is_some_and(|watch| watch.is_whole()),
            (End::Doubtful, _) => false,
        };
        let whole = !close && sound && self.bytes.is_empty();
        Exchanged::Replied(reply.with_body(Bytes::from(body)), whole)
    }

    /// Reads the body; `true` when the connection must be closed. It stops when the rest can be of no use: when as
    /// much was read as may be, or as much as is kept of a body after which the connection is closed anyway.
    fn body(&mut self, mut call: Call<RecvBody>, caps: Caps) -> (bool, Vec<u8>) {
        let closes = match call.body_mode() {
            BodyMode::CloseDelimited => true,
            BodyMode::LengthDelimited(length) => length > caps.read as u64,
            BodyMode::NoBody | BodyMode::Chunked => false,
        };
        let (mut kept, mut out) = (Vec::new(), [0; CHUNK]);
        loop {
            let Ok((used, made)) = call.read(&self.bytes, &mut out) else { return (true, kept) };
            self.bytes.drain(..used);
            let room = caps.kept - kept.len();
            kept.extend_from_slice(&out[..made.min(room)]);
            if !closes && call.can_proceed() {
                break;
            }
            if closes && kept.len() == caps.kept {
                return (true, kept);
            }
            if used == 0 && !matches!(self.fill(CHUNK.min(caps.read.saturating_sub(self.read))), Ok(1..)) {
                return (true, kept);
            }
        }
        let close = match call.proceed() {
            Some(RecvBodyResult::Cleanup(call)) => call.must_close_connection(),
            Some(RecvBodyResult::Redirect(call)) => call.must_close_connection(),
            None => true,
        };
        (close, kept)
    }

    /// Reads once more, onto what is there: at most this many bytes, and none of none.
    fn fill(&mut self, most: usize) -> io::Result<usize> {
        if most == 0 {
            return Ok(0);
        }
        let start = self.bytes.len();
        self.bytes.resize(start + most, 0);
        let read = self.connection.read(&mut self.bytes[start..], self.deadline);
        self.bytes.truncate(start + *read.as_ref().unwrap_or(&0));
        self.read += self.bytes.len() - start;
        if let Some(watch) = &mut self.watch {
            watch.take(&self.bytes[start..]);
        }
        read
    }
}

fn final_head(
    call: Call<RecvResponse>,
    response: &Response<()>,
    caps: Caps,
) -> Result<(Reply, RecvResponseResult, End), TransportError> {
    // Nobody asked for another protocol.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(TransportError::MalformedHead);
    }
    let reply = Reply::new(response.status().as_u16()).headers(response.headers());
    if reply.exceeds(caps.head) {
        return Err(TransportError::HeadTooLarge);
    }
    let end = match Framing::of(response.version(), response.headers()) {
        Framing::Plain if response.headers().contains_key(TRANSFER_ENCODING) => End::Chunks,
        Framing::Plain => End::Plain,
        Framing::Doubtful => End::Doubtful,
        Framing::Broken => return Err(TransportError::MalformedHead),
    };
    let next = call.proceed().expect("a final response was read");
    Ok((reply, next, end))
}

/// What ureq-proto needs to know of the request in order to read its response: that it was a POST.
fn awaiting() -> Call<RecvResponse> {
    let request = http::Request::post("/").header(CONTENT_LENGTH, 0).body(()).expect("constant parts");
    let mut call = Call::new(request).expect("a POST over HTTP/1.1").proceed();
    let mut unused = [0; 64];
    while !call.can_proceed() {
        call.write(&mut unused).expect("each line of the head fits");
    }
    match call.proceed() {
        Ok(Some(SendRequestResult::RecvResponse(call))) => call,
        Ok(Some(SendRequestResult::Await100(_) | SendRequestResult::SendBody(_)) | None) | Err(_) => {
            unreachable!("the head is written, and there is no body")
        }
    }
}

/// Too many header lines for the parser are too large a head; everything else is none.
fn head_error(error: &Error) -> TransportError {
    if matches!(error, Error::HttpParseTooManyHeaders) {
        TransportError::HeadTooLarge
    } else {
        TransportError::MalformedHead
    }
}

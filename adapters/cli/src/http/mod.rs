//! As much HTTP/1.1 as a receiver on loopback needs, over plain sockets: requests with a bounded head and body, and a
//! client for the demonstration. Not for the open internet: there is no TLS.

pub(crate) mod client;
mod read;
pub(crate) mod server;

use std::time::Duration;

/// Bytes of a head.
const HEAD: usize = 32 * 1024;
/// Lines of a head.
const FIELDS: usize = 128;
/// Bytes of a body.
const BODY: usize = 1024 * 1024;
/// Time for a whole head or a whole body, once it has begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two requests on a connection.
const IDLE: Duration = Duration::from_secs(60);
/// Connections that one server carries at once.
const CONNECTIONS: usize = 64;

/// Header lines in order, their names as they came.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// A request as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Such as `POST`.
    pub(crate) method: String,
    /// Such as `/hooks?a=b`.
    pub(crate) target: String,
    /// The header lines.
    pub(crate) headers: Headers,
    /// The body, without its framing.
    pub(crate) body: Vec<u8>,
}

/// A response to write, or one that was read.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// The status.
    pub(crate) status: u16,
    /// The header lines, `content-length` and `connection` aside.
    pub(crate) headers: Headers,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// A note of the handler for itself, given back to it when the answer was written; it is not sent.
    pub(crate) marked: bool,
}

impl Response {
    /// A response without a body.
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), marked: false }
    }

    /// The response with a header line.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The response with a body of plain text.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.body = format!("{text}\n").into_bytes();
        self.header("content-type", "text/plain; charset=utf-8")
    }
}

/// The value of a header that appears once; `None` when it is absent or repeated.
pub(crate) fn header<'h>(headers: &'h Headers, name: &str) -> Option<&'h [u8]> {
    let mut found = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice());
    found.next().filter(|_| found.next().is_none())
}

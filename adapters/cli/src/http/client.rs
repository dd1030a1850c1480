//! A client that keeps one connection to one address.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::read::{Conn, Fault, framing, owned, room};
use super::{Headers, Response};

/// Time for each part of an exchange, unless told otherwise.
const WAIT: Duration = Duration::from_secs(20);

/// A client of one server, for one thread.
pub(crate) struct Client {
    addr: SocketAddr,
    host: String,
    /// Until when everything must have happened, where that was told.
    deadline: Option<Instant>,
    conn: Option<Conn>,
}

impl Client {
    /// A client that connects when it is first used.
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, host: addr.to_string(), deadline: None, conn: None }
    }

    /// A client for one exchange with the server under a name, which must be over within this time.
    pub(crate) fn to(addr: SocketAddr, host: &str, within: Duration) -> Self {
        Self { addr, host: host.into(), deadline: Some(Instant::now() + within), conn: None }
    }

    /// The time that the next part may take.
    fn rest(&self) -> Duration {
        let rest = |deadline: Instant| deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.deadline.map_or(WAIT, rest)
    }

    /// Sends a request and reads its answer. A kept connection that turns out to be closed is replaced once.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &Headers, body: &[u8]) -> io::Result<Response> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.host).into_bytes();
        for (name, value) in headers {
            if ["host", "content-length", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
                continue;
            }
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
        }
        write!(request, "content-length: {}\r\n\r\n", body.len())?;
        request.extend_from_slice(body);
        if let Some(conn) = self.conn.take()
            && let Ok(response) = self.exchange(conn, &request)
        {
            return Ok(response);
        }
        let stream = TcpStream::connect_timeout(&self.addr, self.rest().min(Duration::from_secs(5)))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.rest()))?;
        self.exchange(Conn::new(stream), &request).map_err(|fault| {
            // A server that says nothing at all looks like one that has ended.
            let over = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
            if over { io::ErrorKind::TimedOut.into() } else { io::Error::other(fault.text()) }
        })
    }

    fn exchange(&mut self, mut conn: Conn, request: &[u8]) -> Result<Response, Fault> {
        conn.stream.write_all(request).map_err(|_| Fault::Broken)?;
        let (status, headers) = loop {
            let head = conn.head(self.rest(), self.rest())?;
            let mut fields = room();
            let mut parsed = httparse::Response::new(&mut fields);
            match parsed.parse(&head) {
                Ok(httparse::Status::Complete(_)) => {}
                Ok(httparse::Status::Partial) | Err(_) => return Err(Fault::Malformed("this is no HTTP response")),
            }
            let status = parsed.code.ok_or(Fault::Malformed("the response has no status"))?;
            // Interim answers say nothing of the final one.
            if status >= 200 {
                break (status, owned(parsed.headers));
            }
        };
        let bodiless = matches!(status, 204 | 304);
        let body = match framing(&headers)? {
            _ if bodiless => Vec::new(),
            Some(framing) => conn.body(framing, self.rest())?,
            // Its end is that of the connection (RFC 9112, section 6.3).
            None => {
                let body = conn.until_end(self.rest())?;
                return Ok(Response { status, headers, body, marked: false });
            }
        };
        let closes = super::header(&headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        if !closes {
            self.conn = Some(conn);
        }
        Ok(Response { status, headers, body, marked: false })
    }
}

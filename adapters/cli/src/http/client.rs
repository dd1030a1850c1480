//! A client that keeps one connection to one address.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::read::{Conn, Fault, framing, owned, room};
use super::{Headers, Response};

/// Time for a whole answer.
const WAIT: Duration = Duration::from_secs(20);

/// A client of one server, for one thread.
pub(crate) struct Client {
    addr: SocketAddr,
    conn: Option<Conn>,
}

impl Client {
    /// A client that connects when it is first used.
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, conn: None }
    }

    /// Sends a request and reads its answer. A kept connection that turns out to be closed is replaced once.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &Headers, body: &[u8]) -> io::Result<Response> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.addr).into_bytes();
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
        let stream = TcpStream::connect_timeout(&self.addr, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WAIT))?;
        self.exchange(Conn::new(stream), &request).map_err(|fault| io::Error::other(fault.text()))
    }

    fn exchange(&mut self, mut conn: Conn, request: &[u8]) -> Result<Response, Fault> {
        conn.stream.write_all(request).map_err(|_| Fault::Broken)?;
        let head = conn.head(WAIT, WAIT)?;
        let mut fields = room();
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) | Err(_) => return Err(Fault::Malformed("this is no HTTP response")),
        }
        let status = parsed.code.ok_or(Fault::Malformed("the response has no status"))?;
        let headers = owned(parsed.headers);
        let body = match framing(&headers)? {
            Some(framing) => conn.body(framing, WAIT)?,
            None => Vec::new(),
        };
        let closes = super::header(&headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        if !closes {
            self.conn = Some(conn);
        }
        Ok(Response { status, headers, body, marked: false })
    }
}

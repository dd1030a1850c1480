//! A server: one thread for each connection, at most 64 of them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub(crate) use super::read::Fault;
use super::read::{Conn, Framing, framing, owned, room};
use super::{CONNECTIONS, IDLE, PATIENCE, Request, Response};

/// What answers requests, on whichever thread they were read.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The answer to a request.
    fn answer(&self, request: Request, peer: SocketAddr) -> Response;

    /// Called when the answer has been written, or could not be.
    fn answered(&self, _response: &Response) {}

    /// Called with what was refused before it became a request.
    fn refused(&self, _peer: SocketAddr, _why: Fault) {}
}

/// Answers the requests that come to `listener` until the process ends.
///
/// At most 64 connections are open; others wait to be accepted. With more than half of them open, each is closed after
/// its answer, so that those who keep theirs for later do not shut out others.
pub(crate) fn serve(listener: TcpListener, handler: Arc<impl Handler>) {
    let open = Arc::new(Open::default());
    loop {
        open.enter();
        let accepted = listener.accept();
        let Ok((stream, peer)) = accepted else {
            // A connection that was gone already, or no descriptor left: others may come.
            open.leave();
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let (handler, within) = (handler.clone(), open.clone());
        let thread = thread::Builder::new().name("http".into()).stack_size(256 * 1024).spawn(move || {
            // The handler may panic, and then another connection may still come.
            let _place = Place(&within);
            converse(stream, peer, &*handler, &within);
        });
        if thread.is_err() {
            open.leave();
        }
    }
}

/// How many connections are open.
#[derive(Default)]
struct Open {
    count: Mutex<usize>,
    left: Condvar,
}

impl Open {
    /// Takes a place, as soon as there is one.
    fn enter(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |count: &mut usize| *count >= CONNECTIONS;
        *self.left.wait_while(count, full).unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// Gives a place back.
    fn leave(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.left.notify_one();
    }

    /// Whether there is room for connections that only wait for a further request. The place that waits to be taken by
    /// the next connection counts too.
    fn has_room(&self) -> bool {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) <= CONNECTIONS / 2
    }
}

/// A place that is given back when this is dropped.
struct Place<'o>(&'o Open);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The requests of one connection, one after the other.
fn converse(stream: TcpStream, peer: SocketAddr, handler: &impl Handler, open: &Open) {
    _ = stream.set_nodelay(true);
    _ = stream.set_write_timeout(Some(PATIENCE));
    let mut conn = Conn::new(stream);
    let mut idle = PATIENCE;
    loop {
        match request(&mut conn, idle) {
            Ok((request, keep)) => {
                let response = handler.answer(request, peer);
                let keep = keep && open.has_room();
                let written = write(&conn.stream, &response, keep);
                handler.answered(&response);
                if !keep || written.is_err() {
                    return;
                }
                idle = IDLE;
            }
            Err(fault) => {
                let Some(status) = fault.status() else { return };
                handler.refused(peer, fault);
                _ = write(&conn.stream, &Response::new(status).text(fault.text()), false);
                linger(&conn.stream);
                return;
            }
        }
    }
}

/// A request that begins within `idle`, and whether the connection goes on after it.
fn request(conn: &mut Conn, idle: Duration) -> Result<(Request, bool), Fault> {
    let head = conn.head(idle, PATIENCE)?;
    let mut fields = room();
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(&head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Fault::Malformed("the head is not HTTP/1.1")),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Fault::Malformed("the request line is not complete"));
    };
    let headers = owned(parsed.headers);
    let framing = framing(&headers)?.unwrap_or(Framing::Length(0));
    let says = |name: &'static str, what: &'static [u8]| {
        let lines = headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name));
        let mut items = lines.flat_map(|(_, value)| value.split(|byte| *byte == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(what))
    };
    let keep = version == 1 && !says("connection", b"close");
    if version == 1 && says("expect", b"100-continue") {
        (&conn.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Fault::Broken)?;
    }
    let (method, target) = (method.to_string(), target.to_string());
    let body = conn.body(framing, PATIENCE)?;
    Ok((Request { method, target, headers, body }, keep))
}

fn write(mut stream: &TcpStream, response: &Response, keep: bool) -> io::Result<()> {
    let mut out = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status)).into_bytes();
    for (name, value) in &response.headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    // These two carry no body and so no length (RFC 9110, section 8.6).
    let bodiless = matches!(response.status, 204 | 304);
    if !bodiless {
        write!(out, "content-length: {}\r\n", response.body.len())?;
    }
    out.extend_from_slice(if keep { b"\r\n" } else { b"connection: close\r\n\r\n" });
    if !bodiless {
        out.extend_from_slice(&response.body);
    }
    stream.write_all(&out)
}

/// Lets a peer that is still sending read the answer: closing with unread bytes would reset the connection.
fn linger(mut stream: &TcpStream) {
    _ = stream.shutdown(std::net::Shutdown::Write);
    _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut sink = [0; 8192];
    for _ in 0..64 {
        match io::Read::read(&mut stream, &mut sink) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

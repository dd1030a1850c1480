//! Reading messages within bounds of bytes and time.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{BODY, FIELDS, HEAD, Headers};

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer closed before a message began, or was idle for too long.
    Ended,
    /// The connection broke within a message.
    Broken,
    /// The peer was too slow.
    Slow,
    /// The head is larger than 32 KiB or has more than 128 lines.
    HeadTooLarge,
    /// The body is larger than 1 MiB.
    BodyTooLarge,
    /// What came is no HTTP/1.1 message, or its length cannot be told for certain.
    Malformed(&'static str),
    /// Its transfer coding is not `chunked`.
    Coding,
}

impl Fault {
    /// The status to answer with, where there is anybody to answer.
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Ended | Self::Broken => None,
            Self::Slow => Some(408),
            Self::HeadTooLarge => Some(431),
            Self::BodyTooLarge => Some(413),
            Self::Malformed(_) => Some(400),
            Self::Coding => Some(501),
        }
    }

    /// What was wrong, for a person.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Ended => "the connection ended",
            Self::Broken => "the connection broke within a request",
            Self::Slow => "the request did not come within 10 s",
            Self::HeadTooLarge => "the head is larger than 32 KiB or has more than 128 lines",
            Self::BodyTooLarge => "the body is larger than 1 MiB",
            Self::Malformed(what) => what,
            Self::Coding => "the transfer coding is not chunked",
        }
    }
}

/// A connection with what was read ahead.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    deadline: Instant,
    /// Whether the peer has said that nothing more comes.
    closed: bool,
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), deadline: Instant::now(), closed: false }
    }

    /// Everything up to and including the empty line that ends a head; `idle` is the time that may pass before its
    /// first byte, `patience` the time for the rest.
    pub(crate) fn head(&mut self, idle: Duration, patience: Duration) -> Result<Vec<u8>, Fault> {
        self.deadline = Instant::now() + idle;
        if self.buffer.is_empty() {
            self.fill()
                .map_err(|fault| if fault == Fault::Slow || fault == Fault::Broken { Fault::Ended } else { fault })?;
        }
        self.deadline = Instant::now() + patience;
        let mut searched = 0;
        loop {
            if let Some(end) = end_of_head(&self.buffer, searched) {
                if end > HEAD {
                    return Err(Fault::HeadTooLarge);
                }
                return Ok(self.buffer.drain(..end).collect());
            }
            if self.buffer.len() > HEAD {
                return Err(Fault::HeadTooLarge);
            }
            searched = self.buffer.len().saturating_sub(3);
            self.fill()?;
        }
    }

    /// The body, within `patience`.
    pub(crate) fn body(&mut self, framing: Framing, patience: Duration) -> Result<Vec<u8>, Fault> {
        self.deadline = Instant::now() + patience;
        match framing {
            Framing::Length(length) if length > BODY => Err(Fault::BodyTooLarge),
            Framing::Length(length) => self.take(length),
            Framing::Chunked => self.chunks(),
        }
    }

    /// Everything until the peer closes, within `patience`.
    pub(crate) fn until_end(&mut self, patience: Duration) -> Result<Vec<u8>, Fault> {
        self.deadline = Instant::now() + patience;
        loop {
            match self.fill() {
                Ok(()) if self.buffer.len() > BODY => return Err(Fault::BodyTooLarge),
                Ok(()) => {}
                // The peer closed: cleanly, since nothing else was announced.
                Err(Fault::Ended) => return Ok(Vec::new()),
                Err(Fault::Broken) if self.closed => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        // Framing may not cost more than what it frames: a few bytes for each chunk, and trailers within a head's room.
        let mut lines = 0;
        loop {
            let line = self.line()?;
            lines += line.len();
            let digits =
                line.iter().position(|byte| *byte == b';').map_or(&line[..], |at| &line[..at]).trim_ascii_end();
            let size = std::str::from_utf8(digits).ok().filter(|text| (1..=8).contains(&text.len()));
            let size = size.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let size = size.and_then(|text| usize::from_str_radix(text, 16).ok());
            let size = size.ok_or(Fault::Malformed("the size of a chunk is not a hexadecimal number"))?;
            if body.len() + size > BODY || lines > BODY {
                return Err(Fault::BodyTooLarge);
            }
            if size == 0 {
                break;
            }
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(Fault::Malformed("a chunk does not end in a line break"));
            }
        }
        let mut trailers = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(body);
            }
            trailers += line.len();
            if trailers > HEAD {
                return Err(Fault::HeadTooLarge);
            }
        }
    }

    /// A line without its CR LF.
    fn line(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > HEAD {
                return Err(Fault::HeadTooLarge);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads some more.
    fn fill(&mut self) -> Result<(), Fault> {
        let rest = self.deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(Fault::Slow);
        }
        self.stream.set_read_timeout(Some(rest)).map_err(|_| Fault::Broken)?;
        let mut chunk = [0; 8192];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.closed = true;
                    return Err(if self.buffer.is_empty() { Fault::Ended } else { Fault::Broken });
                }
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(if is_timeout(&error) { Fault::Slow } else { Fault::Broken }),
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4)
}

/// The lines of a head, owned.
pub(crate) fn owned(fields: &[httparse::Header<'_>]) -> Headers {
    fields.iter().map(|field| (field.name.to_string(), field.value.to_vec())).collect()
}

/// Room for the lines of a head.
pub(crate) fn room() -> [httparse::Header<'static>; FIELDS] {
    [httparse::EMPTY_HEADER; FIELDS]
}

/// How the length of the body is told (RFC 9112, section 6.3); `None` where nothing tells it. Two ways at once, or two
/// lengths, are how requests are smuggled, and refused.
pub(crate) fn framing(headers: &Headers) -> Result<Option<Framing>, Fault> {
    let all = |name: &'static str| headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name));
    let mut lengths = all("content-length").map(|(_, value)| value);
    let mut codings = all("transfer-encoding").map(|(_, value)| value);
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(None),
        (Some(length), None) => {
            let digits = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.filter(|text| !text.is_empty() && text.len() <= 12).and_then(|text| text.parse().ok());
            if lengths.next().is_some() {
                return Err(Fault::Malformed("there are two lengths"));
            }
            length.map(Framing::Length).map(Some).ok_or(Fault::Malformed("the length is not a plain decimal number"))
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(Some(Framing::Chunked))
        }
        (None, Some(_)) => Err(Fault::Coding),
        (Some(_), Some(_)) => Err(Fault::Malformed("there are a length and a transfer coding")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&str, &str)]) -> Result<Option<Framing>, Fault> {
        framing(&lines.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    #[test]
    fn the_length_of_a_body_is_told_in_one_way() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("Content-Length", "12")]), Ok(Some(Framing::Length(12))));
        assert_eq!(of(&[("Transfer-Encoding", "Chunked")]), Ok(Some(Framing::Chunked)));
        assert_eq!(of(&[("transfer-encoding", "gzip")]), Err(Fault::Coding));
        for bad in ["", "+1", "1 ", "0x1", "9999999999999"] {
            assert!(matches!(of(&[("content-length", bad)]), Err(Fault::Malformed(_))), "{bad:?}");
        }
        assert!(of(&[("content-length", "1"), ("content-length", "1")]).is_err());
        assert!(of(&[("content-length", "1"), ("transfer-encoding", "chunked")]).is_err());
        assert!(of(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]).is_err());
    }
}

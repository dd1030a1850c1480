//! HTTP/1.1 as bytes: what a head says, and what an answer looks like. Nothing here touches a socket.
//!
//! `ureq-proto` reads heads and bodies. It is lenient where two readers could take a message to end in two places, so
//! what frames a body is checked here first (RFC 9112 section 6.3): one `Content-Length` of digits only, or one
//! `Transfer-Encoding: chunked`, never both.

use std::time::SystemTime;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use postrider_core::receiver::Response;
use ureq_proto::Error;
use ureq_proto::server::state::RecvBody;
use ureq_proto::server::{RecvRequestResult, Reply};

use super::seen::Fault;

/// What tells a sender to go on with its body.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a sender is asked to wait, in seconds, when the receiver is closed.
const RETRY_SECS: u64 = 5;

/// The head of a request.
pub(super) struct Head {
    pub(super) request: Request<()>,
    /// What reads its body. `None`: it has none.
    pub(super) body: Option<Reply<RecvBody>>,
    /// The length that the body is declared to have; 0 when that is not known.
    pub(super) length: u64,
    /// Whether its sender waits to be told to go on.
    pub(super) expects: bool,
    /// Whether its sender may send another request after it.
    pub(super) keep: bool,
}

/// An answer that is ready to be written.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: &'static str,
}

/// What frames a body.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Nothing,
    Length(u64),
    Chunked,
}

impl Head {
    /// Reads a head; says how long it is. `None`: it is not whole yet.
    pub(super) fn read(input: &[u8]) -> Result<Option<(usize, Self)>, Fault> {
        let mut reply = Reply::new().map_err(|_| Fault::Malformed("it cannot be read"))?;
        let (used, request) = match reply.try_request(input) {
            Ok((used, Some(request))) => (used, request),
            Ok((_, None)) => return Ok(None),
            Err(Error::HttpParseTooManyHeaders) => return Err(Fault::HeadTooLarge),
            Err(_) => return Err(Fault::Malformed("its head is not one of HTTP/1.1")),
        };
        let framing = framing(request.version(), request.headers())?;
        if request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1 {
            return Err(Fault::Malformed("it does not name one host"));
        }
        let whole = "a head that was read can be gone on from";
        let reader = match reply.proceed().expect(whole) {
            RecvRequestResult::RecvBody(reader) => Some(reader),
            RecvRequestResult::Send100(reply) => Some(reply.accept(&mut [0; CONTINUE.len()]).expect("it fits").1),
            RecvRequestResult::ProvideResponse(_) => None,
        };
        let is_11 = request.version() == Version::HTTP_11;
        let (body, length) = match framing {
            Framing::Nothing => (None, 0),
            Framing::Length(length) => (reader, length),
            Framing::Chunked => (reader, 0),
        };
        let head = Self {
            length,
            expects: is_11 && body.is_some() && lists(request.headers(), &EXPECT, "100-continue"),
            // The body of another method is not read, so what follows it cannot be told from it.
            keep: is_11 && request.method() == Method::POST && !lists(request.headers(), &CONNECTION, "close"),
            body,
            request,
        };
        Ok(Some((used, head)))
    }
}

impl Answer {
    /// What the adapter says by itself.
    pub(super) fn text(status: StatusCode, body: &'static str) -> Self {
        let text = (http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Self { status, headers: Vec::from([text]), body }
    }

    /// What is said when the machine is closed.
    pub(super) fn closed() -> Self {
        let mut answer = Self::text(StatusCode::SERVICE_UNAVAILABLE, "not now, try again later");
        answer.headers.push((RETRY_AFTER, HeaderValue::from(RETRY_SECS)));
        answer
    }

    /// The bytes, to a request with this method.
    pub(super) fn write(&self, method: &Method, keep: bool) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut out = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_str()).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
        };
        line("date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
        for (name, value) in &self.headers {
            line(name.as_str(), value.as_bytes());
        }
        // A 204 has neither body nor length (RFC 9110 section 8.6).
        if self.status != StatusCode::NO_CONTENT {
            line("content-length", self.body.len().to_string().as_bytes());
        }
        if !keep {
            line("connection", b"close");
        }
        out.extend_from_slice(b"\r\n");
        if method != Method::HEAD {
            out.extend_from_slice(self.body.as_bytes());
        }
        out
    }
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        Self { status: response.status(), headers: response.headers().collect(), body: response.body() }
    }
}

/// Whether a head may end in these bytes. Only a hint about when to look.
pub(super) fn may_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

fn framing(version: Version, headers: &HeaderMap) -> Result<Framing, Fault> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(Framing::Nothing),
        (Some(_), Some(_)) => Err(Fault::Malformed("it has both a length and a transfer encoding")),
        (Some(length), None) => {
            let digits = length.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let length = digits.and_then(|digits| digits.parse().ok());
            match (length, lengths.next()) {
                (Some(length), None) => Ok(Framing::Length(length)),
                (None, None) => Err(Fault::Malformed("its length is not a number")),
                (_, Some(_)) => Err(Fault::Malformed("it has more than one length")),
            }
        }
        (None, Some(coding)) => {
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
            if chunked && version == Version::HTTP_11 {
                Ok(Framing::Chunked)
            } else {
                Err(Fault::Malformed("its transfer encoding is not chunked, once, in HTTP/1.1"))
            }
        }
    }
}

/// Whether a header is a list in which this token stands.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut items = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Result<(Framing, bool, bool), Fault> {
        let input = format!("POST / HTTP/1.1\r\nhost: test\r\n{fields}\r\nrest");
        let (used, head) = Head::read(input.as_bytes())?.expect("it is whole");
        assert_eq!(&input[used..], "rest");
        Ok((framing(Version::HTTP_11, head.request.headers())?, head.keep, head.expects))
    }

    #[test]
    fn a_body_has_one_end() {
        let framed = |fields: &str| read(fields).map(|(framing, ..)| framing);
        assert_eq!(framed(""), Ok(Framing::Nothing));
        assert_eq!(framed("content-length: 42\r\n"), Ok(Framing::Length(42)));
        assert_eq!(framed("transfer-encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for bad in [
            "content-length: 42\r\ncontent-length: 42\r\n",
            "content-length: 42, 42\r\n",
            "content-length: +42\r\n",
            "content-length: -1\r\n",
            "content-length: \r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length: 42\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 42\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding : chunked\r\n",
            "host: other\r\n",
            "a: b\r\n folded\r\n",
        ] {
            assert!(matches!(framed(bad), Err(Fault::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn it_waits_for_the_whole_head_and_no_longer_for_what_is_none() {
        let whole = b"POST /hooks HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n";
        for end in 0..whole.len() {
            assert!(Head::read(&whole[..end]).unwrap().is_none(), "{end}");
        }
        let (used, head) = Head::read(whole).unwrap().unwrap();
        assert_eq!((used, head.length, head.body.is_some(), head.keep), (whole.len(), 2, true, true));
        assert!(matches!(Head::read(b"\x16\x03\x01\x02\x00\x01\x00"), Err(Fault::Malformed(_))), "a TLS hello");
        let many = format!("POST / HTTP/1.1\r\nhost: test\r\n{}\r\n", "a: b\r\n".repeat(200));
        assert!(matches!(Head::read(many.as_bytes()), Err(Fault::HeadTooLarge)));
    }

    #[test]
    fn connections_are_kept_only_after_what_is_certain() {
        let kept = |head: &str| Head::read(head.as_bytes()).unwrap().unwrap().1.keep;
        assert!(kept("POST / HTTP/1.1\r\nhost: test\r\n\r\n"));
        assert!(!kept("POST / HTTP/1.1\r\nhost: test\r\nconnection: x, Close\r\n\r\n"));
        assert!(!kept("POST / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"));
        assert!(!kept("HEAD / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n"));
        assert_eq!(
            read("expect: 100-continue\r\n"),
            Ok((Framing::Nothing, true, false)),
            "there is no body to wait for"
        );
        assert_eq!(read("content-length: 1\r\nexpect: 100-Continue\r\n"), Ok((Framing::Length(1), true, true)));
    }

    #[test]
    fn an_answer_is_written() {
        let text = |answer: Answer, method, keep| String::from_utf8(answer.write(&method, keep)).unwrap();
        let closed = text(Answer::closed(), Method::POST, false);
        assert!(closed.starts_with("HTTP/1.1 503 Service Unavailable\r\ndate: "), "{closed}");
        assert!(
            closed.ends_with(
                "content-type: text/plain\r\nretry-after: 5\r\ncontent-length: 24\r\nconnection: close\r\n\r\n\
                 not now, try again later"
            ),
            "{closed}"
        );
        assert!(text(Answer::closed(), Method::HEAD, true).ends_with("content-length: 24\r\n\r\n"));
    }
}

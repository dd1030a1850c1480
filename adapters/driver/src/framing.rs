//! Whether a response says where it ends so that everybody would find the same place.
//!
//! HTTP libraries are lenient about framing, each in its own way, and a connection on which two readers would disagree
//! about where a response ends must not carry another request: what one takes for the end of a body another takes for the
//! head of a response (RFC 9112 section 11.1). Drivers therefore ask here, of the head and of the bytes of chunks, and
//! close the connection where there is a doubt. The reply stands all the same.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Version};

/// Bytes of the line that begins a chunk, at most; and of all trailer lines together.
const LINE: usize = 4 * 1024;

/// What a head says about where its body ends (RFC 9112 sections 6.1 to 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a reader can rely on it, or not on the connection, or not on the response"
)]
pub enum Framing {
    /// By a length, by the end of the connection, or by nothing but chunks.
    Plain,
    /// Readers may disagree: there are codings other than chunks, or chunks beside a length. The connection is closed
    /// afterwards.
    Doubtful,
    /// It contradicts itself: chunks that are not the last coding, or there twice, or in HTTP/1.0.
    Broken,
}

impl Framing {
    /// The framing of a final response head over HTTP/1.
    pub fn of(version: Version, headers: &HeaderMap) -> Self {
        let mut codings = Vec::new();
        for line in headers.get_all(TRANSFER_ENCODING) {
            codings.extend(line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
        }
        let chunks = codings.iter().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
        let last = codings.last().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        match (codings.len(), chunks) {
            (0, _) => Self::Plain,
            _ if version != Version::HTTP_11 => Self::Broken,
            (1, 1) if !headers.contains_key(CONTENT_LENGTH) => Self::Plain,
            (_, 0) => Self::Doubtful,
            (_, 1) if last => Self::Doubtful,
            (_, _) => Self::Broken,
        }
    }
}

/// Reads along with a library, and says whether what it took for chunks are chunks by the letter of RFC 9112 section 7.1.
///
/// Give it every byte of a response, in pieces of any size. It allocates nothing, never fails, and costs a few
/// nanoseconds a line; the data of chunks is passed over.
#[derive(Clone, Copy, Debug)]
pub struct ChunkWatch {
    state: State,
    /// Bytes of the line, or of all trailer lines.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Lines of a head. `interim` is known once the status line has gone by.
    Head { interim: bool, status_line: bool },
    /// The digits of a chunk's size so far.
    Size(u64),
    /// An extension of a chunk: what its last byte means for the next.
    Extension { size: u64, part: Part },
    /// The line feed behind a chunk's size.
    SizeEnd(u64),
    /// Bytes of a chunk that are still to come.
    Data(u64),
    /// The carriage return behind the data, then the line feed.
    DataEnd { returned: bool },
    /// The first byte of a trailer line, or of the empty line that ends the body.
    Trailer,
    /// A trailer's name.
    Name,
    /// A trailer's value.
    Value,
    /// The line feed behind a trailer.
    ValueEnd,
    /// The line feed of the empty line.
    LastEnd,
    /// The body has ended.
    Whole,
    /// It is no chunked body.
    Odd,
}

/// Where in an extension a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Behind a `;` or `=`, where a word must come.
    Begun,
    /// In a word, or behind one.
    Word,
    /// In a quoted text.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
}

impl ChunkWatch {
    /// A watch over a response from its first byte on. Interim heads are passed over.
    pub const fn of_response() -> Self {
        Self { state: State::Head { interim: false, status_line: true }, line: 0 }
    }

    /// A watch over a body, of which the head is known.
    pub const fn of_body() -> Self {
        Self { state: State::Size(0), line: 0 }
    }

    /// Takes the bytes that came next.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let State::Data(left) = self.state else {
                self.state = self.next(*first);
                bytes = &bytes[1..];
                continue;
            };
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[taken..];
            self.state = match left - taken as u64 {
                0 => State::DataEnd { returned: false },
                left => State::Data(left),
            };
        }
    }

    /// Whether the body was one of chunks, and has ended; and nothing has come behind it.
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    fn next(&mut self, byte: u8) -> State {
        self.line += 1;
        let state = match self.state {
            State::Head { interim, status_line } => return self.head(byte, interim, status_line),
            State::Size(size) => self.size(byte, size),
            State::Extension { size, part } => extension(byte, size, part),
            State::SizeEnd(size) if byte == b'\n' => {
                self.line = 0;
                if size == 0 { State::Trailer } else { State::Data(size) }
            }
            State::DataEnd { returned: false } if byte == b'\r' => State::DataEnd { returned: true },
            State::DataEnd { returned: true } if byte == b'\n' => {
                self.line = 0;
                State::Size(0)
            }
            State::Trailer if byte == b'\r' => State::LastEnd,
            State::Trailer if is_token(byte) => State::Name,
            State::Name if byte == b':' => State::Value,
            State::Name if is_token(byte) => State::Name,
            State::Value if byte == b'\r' => State::ValueEnd,
            State::Value if byte == b'\t' || (byte >= b' ' && byte != 0x7f) => State::Value,
            State::ValueEnd if byte == b'\n' => State::Trailer,
            State::LastEnd if byte == b'\n' => State::Whole,
            State::SizeEnd(_)
            | State::Data(_)
            | State::DataEnd { .. }
            | State::Trailer
            | State::Name
            | State::Value
            | State::ValueEnd
            | State::LastEnd
            | State::Whole
            | State::Odd => State::Odd,
        };
        if self.line > LINE { State::Odd } else { state }
    }

    /// Lines end as the libraries' parsers let them end, which decide what a head is: with a line feed.
    fn head(&mut self, byte: u8, interim: bool, status_line: bool) -> State {
        match byte {
            b'\r' => {
                self.line -= 1;
                self.state
            }
            // Empty lines before the status line are passed over.
            b'\n' if self.line == 1 && status_line => {
                self.line = 0;
                self.state
            }
            b'\n' if self.line == 1 => {
                self.line = 0;
                if interim { Self::of_response().state } else { State::Size(0) }
            }
            b'\n' => {
                self.line = 0;
                State::Head { interim, status_line: false }
            }
            // `HTTP/1.1 1..`: the first digit of the status.
            b'1' if status_line && self.line == 10 => State::Head { interim: true, status_line },
            _ => self.state,
        }
    }

    /// At least one digit, and at most 16.
    fn size(&self, byte: u8, size: u64) -> State {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if self.line <= 16 => State::Size(size << 4 | u64::from(digit)),
            (None, b';') if self.line > 1 => State::Extension { size, part: Part::Begun },
            (None, b'\r') if self.line > 1 => State::SizeEnd(size),
            _ => State::Odd,
        }
    }
}

/// Names and values are words or quoted texts; blanks around them are let pass.
fn extension(byte: u8, size: u64, part: Part) -> State {
    let part = match (part, byte) {
        (Part::Word, b'\r') => return State::SizeEnd(size),
        (Part::Quoted, b'\\') => Part::Escaped,
        (Part::Quoted, b'"') => Part::Word,
        (Part::Quoted | Part::Escaped, b'\t' | b' '..=b'~') => Part::Quoted,
        (Part::Begun, b'"') => Part::Quoted,
        (Part::Begun, b' ' | b'\t') => Part::Begun,
        (Part::Word, b';' | b'=') => Part::Begun,
        (Part::Word, b' ' | b'\t') => Part::Word,
        (Part::Begun | Part::Word, byte) if is_token(byte) => Part::Word,
        (Part::Begun | Part::Word | Part::Quoted | Part::Escaped, _) => return State::Odd,
    };
    State::Extension { size, part }
}

/// A byte of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framing(version: Version, lines: &[(&'static str, &str)]) -> Framing {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Framing::of(version, &headers)
    }

    #[test]
    fn a_head_is_plain_doubtful_or_broken() {
        const TE: &str = "transfer-encoding";
        let of = |codings: &str| framing(Version::HTTP_11, &[(TE, codings)]);
        assert_eq!(framing(Version::HTTP_11, &[]), Framing::Plain);
        assert_eq!(framing(Version::HTTP_10, &[("content-length", "2")]), Framing::Plain);
        for codings in ["chunked", "Chunked", " chunked\t"] {
            assert_eq!(of(codings), Framing::Plain, "{codings}");
        }
        for codings in ["gzip", "identity", "xchunked", "gzip, chunked", "", "chunked;a=b", ",chunked"] {
            assert_eq!(of(codings), Framing::Doubtful, "{codings}");
        }
        for codings in ["chunked, gzip", "chunked, chunked", "chunked,"] {
            assert_eq!(of(codings), Framing::Broken, "{codings}");
        }
        assert_eq!(framing(Version::HTTP_11, &[(TE, "chunked"), ("content-length", "3")]), Framing::Doubtful);
        assert_eq!(framing(Version::HTTP_11, &[(TE, "chunked"), (TE, "chunked")]), Framing::Broken);
        assert_eq!(framing(Version::HTTP_11, &[(TE, "gzip"), (TE, "chunked")]), Framing::Doubtful);
        assert_eq!(framing(Version::HTTP_10, &[(TE, "chunked")]), Framing::Broken);
    }

    fn is_whole(body: &[u8]) -> bool {
        let mut watch = ChunkWatch::of_body();
        watch.take(body);
        watch.is_whole()
    }

    #[test]
    fn chunks_are_those_of_the_rfc() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "0003\r\nabc\r\n2\r\nde\r\n000\r\n\r\n",
            "A\r\n0123456789\r\n0\r\n\r\n",
            "3;a=b;c=\"d\\\"e\"\r\nabc\r\n0;x\r\n\r\n",
            "3; a = b ;c\r\nabc\r\n0\r\nX-T: 1\r\nEmpty:\r\n\r\n",
        ] {
            assert!(is_whole(body.as_bytes()), "{body:?}");
        }
        for body in [
            "",
            "0\r\n",
            "0\r\n\r",
            "3\r\nabc\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabc\r\n0\n\r\n",
            "3\r\nabc\r\n0\r\n\n",
            "3g\r\nabc\r\n0\r\n\r\n",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
            "3;\r\nabc\r\n0\r\n\r\n",
            "3;a=\r\nabc\r\n0\r\n\r\n",
            "3;a=\"b\r\nabc\r\n0\r\n\r\n",
            "3;a=\x01\r\nabc\r\n0\r\n\r\n",
            "3;a=\nb\r\nabc\r\n0\r\n\r\n",
            "0\r\nX-T\r\n\r\n",
            "0\r\nX-T : a\r\n\r\n",
            "0\r\n X-T: a\r\n\r\n",
            "0\r\nX-T: a\r\n b\r\n\r\n",
            "0\r\n: a\r\n\r\n",
            "0\r\nX-T: a\0\r\n\r\n",
            "0\r\nX-T: a\n\r\n",
            "0\r\n\r\n ",
        ] {
            assert!(!is_whole(body.as_bytes()), "{body:?}");
        }
        assert!(!is_whole(format!("3;a={}\r\nabc\r\n0\r\n\r\n", "x".repeat(LINE)).as_bytes()));
        assert!(!is_whole(format!("0\r\n{}\r\n", "x: y\r\n".repeat(LINE / 6 + 1)).as_bytes()));
    }

    #[test]
    fn the_body_begins_behind_the_final_head() {
        let whole = |response: &str| {
            let mut watch = ChunkWatch::of_response();
            watch.take(response.as_bytes());
            watch.is_whole()
        };
        let (head, body) = ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n");
        assert!(whole(&format!("{head}{body}")));
        assert!(whole(&format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <1>\r\n\r\n{head}{body}")));
        assert!(whole(&format!("\r\n\n{}{body}", head.replace("\r\n", "\n"))));
        assert!(!whole(&format!("{head}{body}{head}{body}")), "two responses to one request");
        assert!(!whole(head));
    }

    proptest! {
        #[test]
        fn what_is_written_in_chunks_is_whole(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6)) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            body.extend(b"0\r\n\r\n");
            prop_assert!(is_whole(&body));
            prop_assert!(!is_whole(&body[..body.len() - 1]));
        }

        /// No bytes make it panic, and how they are cut makes no difference.
        #[test]
        fn pieces_make_no_difference(bytes in prop::collection::vec(prop_oneof![prop::sample::select(b"0123;=\"\\\r\n\n: aH/.".to_vec()), any::<u8>()], 0..80), head: bool) {
            let new = || if head { ChunkWatch::of_response() } else { ChunkWatch::of_body() };
            let (mut whole, mut pieces) = (new(), new());
            whole.take(&bytes);
            bytes.iter().for_each(|byte| pieces.take(&[*byte]));
            prop_assert_eq!(whole.state, pieces.state);
        }
    }
}

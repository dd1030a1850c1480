//! Deliveries as bytes, and back: what an inbox keeps of a webhook between its 2xx and the application.
//!
//! A stored delivery is text with the body at its end, so that a person finds in a journal what came:
//!
//! ```text
//! postrider-delivery/1                  what this is, and its version
//! delivery: 7                           its number in the machine that verified it
//! id: evt_1                             the event's id, where it has one
//! digest: 9f86..                        SHA-256 of what was signed, where the signature covers no id
//! scope: 0
//! signed: 1700000000000                 when it was signed, in Unix milliseconds, where the scheme signs a time
//! key: key_4f1d..                       the name of the key that signed it
//! scheme: github
//! covers: whole id time                 how much of the body (whole, part, nothing), and what else
//! kind: header x-github-event           where the event's type is: in a header, or (json) at a JSON Pointer
//! order: json /updated_at               where it says which of two events is the later one
//! late: yes                             a later event of its line had ended before
//! body: 27                              bytes of the body
//! payload: 20                           bytes of the payload, where it is not the body; it follows the body
//!
//! POST /hooks?a=1 HTTP/1.1              the request, as HTTP/1.1 writes it
//! content-type: application/json
//! x-github-event: push
//!
//! {"ref":"refs/heads/main"}
//! ```
//!
//! Every line ends with CR LF. In the values above the request, and in what was asked for, each byte that is no visible
//! ASCII character, and `\`, stands as `\` and two hexadecimal digits. Names of headers are in lower case; their values are
//! exactly what came, and so is the body.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Delivery, Digest, Places, Proof, Spot, Told};
use crate::receiver::claims::{Begun, digest_text};
use crate::receiver::contract::{DeliveryId, RequestHead};
use crate::secret::KeyId;
use crate::signing::{Covered, Extent, Place, Scheme, Verified};
use crate::time::UnixTime;

/// The media type of a stored delivery.
pub const STORED_TYPE: &str = "application/vnd.postrider.delivery";

/// The first line.
const FIRST: &str = "postrider-delivery/1";

/// Headers that are not stored, because their values are secrets that are worth something elsewhere: nobody has signed
/// them, and no application needs them of a request that was verified.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-gitlab-token"];

/// Why bytes are no stored delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredError {
    /// They do not begin as one: they are something else, or of a later version.
    Unknown,
    /// They end before it does.
    Short,
    /// What stands at this byte is not what may stand there.
    Malformed {
        /// The byte.
        at: usize,
    },
    /// This line is missing.
    Missing(&'static str),
    /// There are more bytes than it says.
    Long,
}

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "it is no stored delivery of this version, which begins with {FIRST:?}"),
            Self::Short => f.write_str("the stored delivery is cut off"),
            Self::Malformed { at } => write!(f, "the stored delivery is malformed at byte {at}"),
            Self::Missing(line) => write!(f, "the stored delivery has no line {line:?}"),
            Self::Long => f.write_str("bytes follow the stored delivery"),
        }
    }
}

impl core::error::Error for StoredError {}

impl Delivery {
    /// A delivery of what a verifier has verified, for whoever has no machine: nobody has looked whether it was seen before,
    /// and its [`id`](Self::id) names nothing. `head` is that of the request, and `scope` says whose event it is.
    pub fn from_verified(verified: &Verified<'_>, head: RequestHead, scope: u32) -> Self {
        let body = Bytes::copy_from_slice(verified.body());
        let proof = Proof::of(verified, scope, None);
        let places = Places { kind: verified.facts().kind.place.into(), order: verified.facts().order.place.into() };
        Self::new(Begun::new(DeliveryId(0), &proof.name), proof.seen, &Arc::new(places), body, head)
    }

    /// The delivery as bytes, to be kept until the application has processed it; [`from_stored`](Self::from_stored) is the
    /// way back. The form is text in front of the body, described in full in the source of this module.
    ///
    /// Nothing is lost but the headers `authorization`, `cookie`, `proxy-authorization` and `x-gitlab-token`, and those
    /// that are marked as [sensitive](HeaderValue::is_sensitive): they are secrets, the signature covers none of them, and
    /// a request that has been verified needs them no more. What was asked for is stored with its query.
    pub fn to_stored(&self) -> Bytes {
        let payload = self.told.payload.as_deref().unwrap_or_default();
        let mut out = Writer(Vec::with_capacity(4096 + self.told.body.len() + payload.len()));
        out.put([FIRST.as_bytes(), b"\r\n"]);
        out.line("delivery", self.told.id.0.to_string());
        self.told.event_id.iter().for_each(|id| out.line("id", escaped(id).as_bytes()));
        self.told.digest.iter().for_each(|digest| out.line("digest", hex(digest)));
        out.line("scope", self.told.scope.to_string());
        self.told.timestamp.iter().for_each(|at| out.line("signed", at.as_millis().to_string()));
        out.line("key", self.told.key.to_string());
        out.line("scheme", self.told.scheme.name());
        out.line("covers", covers(&self.told.covered));
        self.told.places.kind.written().iter().for_each(|place| out.line("kind", place));
        self.told.places.order.written().iter().for_each(|place| out.line("order", place));
        self.told.late.then(|| out.line("late", "yes"));
        out.line("body", self.told.body.len().to_string());
        self.told.payload.iter().for_each(|payload| out.line("payload", payload.len().to_string()));
        out.put([b"\r\n", self.told.head.method.as_str().as_bytes()]);
        self.told.head.target.iter().for_each(|target| out.put([b" ", escaped(target).as_bytes()]));
        out.put([b" HTTP/1.1\r\n"]);
        kept(&self.told.head.headers).for_each(|(name, value)| out.line(name.as_str(), value.as_bytes()));
        out.put([b"\r\n", &self.told.body[..], payload]);
        out.0.into()
    }

    /// The delivery that [`to_stored`](Self::to_stored) made these bytes of. The bodies share the memory of `stored`.
    ///
    /// Nothing is verified again: that was done before it was stored, and what guards the bytes since is whatever keeps
    /// them, such as the checksums of a journal. Its [`id`](Self::id) is that of the machine that verified it, and no
    /// machine waits for it.
    pub fn from_stored(stored: &Bytes) -> Result<Self, StoredError> {
        let mut lines = Lines { bytes: stored, at: 0 };
        if !stored.starts_with(FIRST.as_bytes()) || lines.next()?.1 != FIRST.as_bytes() {
            return Err(StoredError::Unknown);
        }
        let known = Known::read(&mut lines)?;
        let head = request(&mut lines)?;
        let rest = stored.len() - lines.at;
        let (body_len, payload_len) = (known.body.ok_or(StoredError::Missing("body"))?, known.payload);
        let wanted = body_len.checked_add(payload_len.unwrap_or_default()).ok_or(StoredError::Short)?;
        if rest != wanted {
            return Err(if rest < wanted { StoredError::Short } else { StoredError::Long });
        }
        let body = stored.slice(lines.at..lines.at + body_len);
        let payload = payload_len.map(|_| stored.slice(lines.at + body_len..));
        let scheme = known.scheme.ok_or(StoredError::Missing("scheme"))?;
        Ok(Self::of(Told {
            id: DeliveryId(known.delivery.ok_or(StoredError::Missing("delivery"))?),
            label: label(known.id.as_ref(), known.digest.as_ref()),
            event_id: known.id,
            digest: known.digest,
            scope: known.scope.ok_or(StoredError::Missing("scope"))?,
            timestamp: known.signed,
            key: known.key.ok_or(StoredError::Missing("key"))?,
            scheme,
            covered: known.covers.ok_or(StoredError::Missing("covers"))?.of(scheme),
            head: head.declared_length(body_len as u64),
            body,
            payload,
            places: Arc::new(Places { kind: known.kind, order: known.order }),
            late: known.late,
        }))
    }

    /// The method of its request, which is POST.
    pub fn method(&self) -> &Method {
        &self.told.head.method
    }

    /// What was asked for, path and query or a whole URL, where the adapter told it. A query may be secret.
    pub fn target(&self) -> Option<&str> {
        self.told.head.target.as_deref()
    }
}

/// Writes lines.
struct Writer(Vec<u8>);

impl Writer {
    fn put<const N: usize>(&mut self, parts: [&[u8]; N]) {
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
    }

    fn line(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.put([name.as_bytes(), b": ", value.as_ref(), b"\r\n"]);
    }
}

/// What a person calls it by.
fn label(id: Option<&Arc<str>>, digest: Option<&Digest>) -> Arc<str> {
    id.cloned().or_else(|| digest.map(|digest| digest_text(digest).into())).unwrap_or_else(|| Arc::from(""))
}

/// The headers that are stored.
fn kept(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers.iter().filter(|(name, value)| !value.is_sensitive() && !SECRET.contains(&name.as_str()))
}

impl Spot {
    /// As it is stored; nothing where there is no place.
    fn written(&self) -> Option<String> {
        match self.place() {
            Place::Nowhere => None,
            Place::Header(name) => Some(["header ", &escaped(name)].concat()),
            Place::Json(pointer) => Some(["json ", &escaped(pointer)].concat()),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, place) = text.split_once(' ')?;
        let place = unescaped(place)?.into_boxed_str();
        match kind {
            "header" => Some(Self::Header(place)),
            "json" => Some(Self::Json(place)),
            _ => None,
        }
    }
}

/// What is covered, with how much of the body by a word alone.
#[derive(Clone, Copy, Debug)]
struct Covers<'a> {
    body: &'a str,
    rest: [bool; 4],
}

/// The words for what else is covered, in order.
const ALSO: [&str; 4] = ["id", "time", "kind", "order"];

fn covers(covered: &Covered) -> String {
    let mut text = String::from(match covered.body {
        Extent::Whole => "whole",
        Extent::Part(_) => "part",
        Extent::Nothing => "nothing",
    });
    let also = [covered.id, covered.time, covered.kind, covered.order];
    ALSO.iter().zip(also).filter(|(_, is)| *is).for_each(|(word, _)| {
        text.push(' ');
        text.push_str(word);
    });
    text
}

impl<'a> Covers<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let body = words.next().filter(|word| ["whole", "part", "nothing"].contains(word))?;
        let mut rest = [false; 4];
        for word in words {
            let at = ALSO.iter().position(|known| *known == word)?;
            rest[at] = true;
        }
        Some(Self { body, rest })
    }

    fn of(self, scheme: Scheme) -> Covered {
        let body = match (self.body, scheme.facts().body) {
            ("whole", _) => Extent::Whole,
            ("nothing", _) => Extent::Nothing,
            (_, part @ Extent::Part(_)) => part,
            (_, Extent::Whole | Extent::Nothing) => Extent::Part("what its description names"),
        };
        let [id, time, kind, order] = self.rest;
        Covered { body, id, time, kind, order }
    }
}

/// What stands above the request.
#[derive(Debug)]
struct Known<'a> {
    delivery: Option<u64>,
    id: Option<Arc<str>>,
    digest: Option<Digest>,
    scope: Option<u32>,
    signed: Option<UnixTime>,
    key: Option<KeyId>,
    scheme: Option<Scheme>,
    covers: Option<Covers<'a>>,
    kind: Spot,
    order: Spot,
    late: bool,
    body: Option<usize>,
    payload: Option<usize>,
}

impl<'a> Known<'a> {
    /// Reads up to the empty line. A line that stands twice counts as it stands last.
    fn read(lines: &mut Lines<'a>) -> Result<Self, StoredError> {
        let mut known = Self {
            delivery: None,
            id: None,
            digest: None,
            scope: None,
            signed: None,
            key: None,
            scheme: None,
            covers: None,
            kind: Spot::Nowhere,
            order: Spot::Nowhere,
            late: false,
            body: None,
            payload: None,
        };
        loop {
            let (at, line) = lines.next()?;
            if line.is_empty() {
                return Ok(known);
            }
            let split = core::str::from_utf8(line).ok().and_then(|line| line.split_once(": "));
            split.and_then(|(name, value)| known.take(name, value)).ok_or(StoredError::Malformed { at })?;
        }
    }

    /// Takes a line; `None` when it is none of these.
    fn take(&mut self, name: &str, value: &'a str) -> Option<()> {
        match name {
            "delivery" => self.delivery = Some(value.parse().ok()?),
            "id" => self.id = Some(unescaped(value)?.into()),
            "digest" => self.digest = Some(digest(value)?),
            "scope" => self.scope = Some(value.parse().ok()?),
            "signed" => self.signed = Some(UnixTime::from_millis(value.parse().ok()?)),
            "key" => self.key = Some(value.parse().ok()?),
            "scheme" => self.scheme = Some(value.parse().ok()?),
            "covers" => self.covers = Some(Covers::read(value)?),
            "kind" => self.kind = Spot::read(value)?,
            "order" => self.order = Spot::read(value)?,
            "late" if value == "yes" => self.late = true,
            "body" => self.body = Some(value.parse().ok()?),
            "payload" => self.payload = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}

/// Reads the request line and the header lines, up to the empty line.
fn request(lines: &mut Lines<'_>) -> Result<RequestHead, StoredError> {
    let (at, line) = lines.next()?;
    let read = || {
        let line = core::str::from_utf8(line).ok()?.strip_suffix(" HTTP/1.1")?;
        let (method, target) = line.split_once(' ').map_or((line, None), |(method, target)| (method, Some(target)));
        let target = target.map_or(Some(None), |target| unescaped(target).map(Some))?;
        Some((Method::from_bytes(method.as_bytes()).ok()?, target))
    };
    let (method, target) = read().ok_or(StoredError::Malformed { at })?;
    let mut headers = HeaderMap::new();
    loop {
        let (at, line) = lines.next()?;
        if line.is_empty() {
            let head = RequestHead::new(method, headers);
            return Ok(target.into_iter().fold(head, |head, target| head.target(target)));
        }
        let mut add = || {
            let colon = line.windows(2).position(|pair| pair == b": ")?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = HeaderValue::from_bytes(&line[colon + 2..]).ok()?;
            headers.try_append(name, value).ok()
        };
        add().ok_or(StoredError::Malformed { at })?;
    }
}

/// Reads lines.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end, and where it stands.
    fn next(&mut self) -> Result<(usize, &'a [u8]), StoredError> {
        let at = self.at;
        let rest = &self.bytes[at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(StoredError::Short)?;
        self.at = at + end + 2;
        Ok((at, &rest[..end]))
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "\\{byte:02x}").expect("a string takes everything");
        }
    }
    Cow::Owned(out)
}

/// The inverse; `None` of what [`escaped`] never gives.
fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => from_hex(bytes.next()?)? << 4 | from_hex(bytes.next()?)?,
            byte if byte.is_ascii_graphic() => byte,
            _ => return None,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digest: &Digest) -> String {
    digest.iter().fold(String::with_capacity(64), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes everything");
        out
    })
}

fn digest(text: &str) -> Option<Digest> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = from_hex(pair[0])? << 4 | from_hex(pair[1])?;
    }
    Some(digest)
}

fn from_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! An attempt on its way out: it cannot become a request until the address about to be dialled is cleared.

use alloc::sync::Arc;
use bytes::{BufMut, Bytes};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use http::{HeaderName, HeaderValue, Method, Request};

use super::bodies::Bodies;
use super::contract::Input;
use super::lanes::Tag;
use super::signed::Signed;
use crate::encoding::{self, EncodeError, Encoded, Message, Payload, Shape};
use crate::id::{AttemptId, EndpointKey, EventId};
use crate::journal::ReplayRecord;
use crate::limits;
use crate::matching::EventType;
use crate::registration::consent::{Line, Origin};
use crate::registration::{AddressError, Config, KeyRing, Policy, Target, Vetted};
use crate::response::{Denial, TransportError};
use crate::signing::{Outgoing, standard};
use crate::time::{Instant, Now, UnixTime};

/// The `user-agent` of every request.
pub const USER_AGENT: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

/// An event as all its requests share it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: EventId,
    pub(crate) event_type: EventType,
    pub(crate) time: UnixTime,
    pub(crate) payload: Payload,
    /// Until when it is worth sending.
    expires: Option<UnixTime>,
    /// What it sends again.
    replayed: Option<Replayed>,
    bodies: Bodies,
}

impl Prepared {
    pub(crate) fn new(id: EventId, event_type: EventType, time: UnixTime, payload: Payload) -> Self {
        Self { id, event_type, time, payload, expires: None, replayed: None, bodies: Bodies::default() }
    }

    /// As one that is worth sending until then.
    pub(crate) const fn expires(mut self, expires: Option<UnixTime>) -> Self {
        self.expires = expires;
        self
    }

    /// As one that sends another again, under the id of that or naming it.
    pub(crate) fn replayed(mut self, replay: &ReplayRecord) -> Self {
        let named = if replay.keeps_id {
            self.id = replay.of.clone();
            None
        } else {
            Some(replay.of.clone())
        };
        self.replayed = Some(Replayed { number: replay.number, named });
        self
    }

    fn encoded(&self, shape: &Shape, endpoint: &Config) -> Result<Encoded, EncodeError> {
        self.bodies.get(shape, || {
            let message = Message::new(self.id.as_str(), self.event_type.as_str(), self.time, &self.payload);
            // An event is sent to endpoints of its own tenant alone.
            encoding::encode(shape, &message.tenant(endpoint.key.tenant.as_str()).expires(self.expires))
        })
    }
}

/// What the requests of a replay say of it.
#[derive(Debug)]
struct Replayed {
    number: u64,
    /// The event that it sends again, where it does not have its id.
    named: Option<EventId>,
}

/// Where and how an endpoint is reached; shared by its attempts, replaced when the endpoint changes.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) config: Config,
    /// What traces say in place of its endpoint's name.
    pub(crate) mark: u64,
    pub(crate) ring: KeyRing,
    pub(crate) policy: Arc<Policy>,
    pub(crate) caps: Caps,
    /// The name that every delivery carries, where consent is asked for under it.
    pub(crate) origin: Option<Origin>,
}

/// How much of a response an adapter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caps {
    /// Bytes of the response head. More is [`TransportError::HeadTooLarge`]; see [`Reply::exceeds`](crate::response::Reply::exceeds).
    pub head: usize,
    /// Bytes of the body that are kept with the reply.
    pub kept: usize,
    /// Bytes of the body that are read so that the connection can be used again; with more to come it is closed.
    pub read: usize,
}

impl Caps {
    pub(crate) fn of(limits: &limits::Limits) -> Self {
        Self { head: limits.response_head, kept: limits.response_kept, read: limits.response_read }
    }
}

/// One attempt: everything that an adapter needs to carry it, whichever thread it runs on.
///
/// The adapter resolves [`host`](Self::host), picks addresses with [`vet`](Self::vet), passes the very socket address
/// that it is about to dial to [`clear`](Self::clear), sends what that returns, and reports the attempt exactly once
/// with [`Input::Completed`]: with the reply, or with a [`TransportError`] at the latest when [`deadline`](Self::deadline)
/// passes.
///
/// There is no way around the check: nothing here can be sent, and what can be sent has no other source.
///
/// ```compile_fail,E0599
/// # fn carry(transmit: postrider_core::sender::Transmit) {
/// transmit.request(); // only `Cleared` has it
/// # }
/// ```
///
/// ```compile_fail,E0451
/// # fn carry(transmit: postrider_core::sender::Transmit, peer: ()) {
/// postrider_core::sender::Cleared { transmit, peer }; // its fields are private
/// # }
/// ```
#[must_use = "an attempt holds a slot until it is reported"]
#[derive(Clone)]
pub struct Transmit {
    pub(crate) attempt: AttemptId,
    pub(crate) number: u16,
    pub(crate) started: Now,
    pub(crate) deadline: Instant,
    pub(crate) wire: Arc<Wire>,
    pub(crate) event: Arc<Prepared>,
    /// Its place in a lane, where it has one.
    pub(crate) tag: Option<Tag>,
    /// Which keys signed it, for the record of how it ended.
    pub(crate) signed: Signed,
    pub(crate) purpose: Purposed,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever looks at attempts must know each")]
pub enum Purpose {
    /// It carries an event.
    Delivery,
    /// It asks for consent by a challenge: a `POST` of an event that nobody published.
    Challenge,
    /// It asks for consent by the handshake of CloudEvents: `OPTIONS`, without a body.
    Handshake,
}

/// The same with what it says.
#[derive(Clone, Debug)]
pub(crate) enum Purposed {
    Delivery,
    Challenge,
    Handshake(Arc<[Line]>),
}

impl Transmit {
    /// Which attempt this is; [`Input::Completed`] names it.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The how-manieth attempt of its delivery, counted from 1.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The endpoint that it goes to.
    pub fn endpoint(&self) -> &EndpointKey {
        &self.wire.config.key
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        match self.purpose {
            Purposed::Delivery => Purpose::Delivery,
            Purposed::Challenge => Purpose::Challenge,
            Purposed::Handshake(_) => Purpose::Handshake,
        }
    }

    /// The method of its request: `POST`, or `OPTIONS` for the handshake of CloudEvents.
    pub fn method(&self) -> Method {
        match self.purpose {
            Purposed::Delivery | Purposed::Challenge => Method::POST,
            Purposed::Handshake(_) => Method::OPTIONS,
        }
    }

    /// The event that it carries, by the id that it is sent under; of one that asks for consent, a name that no event has.
    pub fn event(&self) -> &EventId {
        &self.event.id
    }

    /// What tells the replay that it belongs to from every other one of its event, sent as `postrider-replay`; `None`
    /// where it sends nothing again.
    pub fn replay(&self) -> Option<u64> {
        self.event.replayed.as_ref().map(|replayed| replayed.number)
    }

    /// When the attempt must have ended, over look-up, connection, request and response, on the clock that was
    /// passed to the machine.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The clocks when the attempt began; the wall clock is what its `webhook-timestamp` says.
    pub fn started(&self) -> Now {
        self.started
    }

    /// Where it goes: host, port, and whether over TLS.
    pub fn target(&self) -> &Target {
        &self.wire.config.target
    }

    /// The host to resolve, without brackets; a literal address needs no look-up.
    pub fn host(&self) -> &str {
        self.wire.config.target.server_name()
    }

    /// The port to dial.
    pub fn port(&self) -> u16 {
        self.wire.config.target.port()
    }

    /// How much of the response to read.
    pub fn caps(&self) -> Caps {
        self.wire.caps
    }

    /// Of the addresses that the host resolved to, those that may be tried, in the same order: at most 3.
    ///
    /// Each must still be cleared when it is dialled.
    pub fn vet(&self, resolved: &[IpAddr]) -> Result<Vetted, Denied> {
        self.wire.policy.vet(self.target(), resolved).map_err(|why| self.denied(Reason::Address(why)))
    }

    /// Asks the policy about the socket address that is about to be dialled, and makes the body.
    ///
    /// Only what this returns can be sent; see the crate's `manual` for why the check stands here. Encoding happens on
    /// the calling thread, once for all endpoints that want the same. A payload that the endpoint's encoding cannot
    /// express is denied as well; nothing is dialled for it.
    pub fn clear(&self, addr: SocketAddr) -> Result<Cleared, Denied> {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(19) {
            return self.cleared(Peer::Address(addr));
        }
        self.wire.policy.check(self.target(), addr).map_err(|why| self.denied(Reason::Address(why)))?;
        self.cleared(Peer::Address(addr))
    }

    /// For transports that dial by themselves: a trusted proxy, a browser's `fetch`. The policy is not asked; the
    /// resolver named here answers for the check. Denied is only a payload that the endpoint's encoding cannot express.
    pub fn clear_by(&self, resolver: Resolver) -> Result<Cleared, Denied> {
        self.cleared(Peer::Other(resolver))
    }

    /// The body is made here, so that everything behind this is total.
    fn cleared(&self, peer: Peer) -> Result<Cleared, Denied> {
        let encoded = match self.purpose {
            Purposed::Delivery => self.event.encoded(&self.wire.config.shape, &self.wire.config).map(Some),
            // All of it, whichever parts of events are wanted: the token must be in it.
            Purposed::Challenge => {
                let shape = Shape { thin: None, ..self.wire.config.shape.clone() };
                self.event.encoded(&shape, &self.wire.config).map(Some)
            }
            Purposed::Handshake(_) => Ok(None),
        };
        let encoded = encoded.map_err(|why| self.denied(Reason::Payload(why)))?;
        Ok(Cleared { transmit: self.clone(), peer, encoded })
    }

    fn denied(&self, why: Reason) -> Denied {
        Denied { attempt: self.attempt, why }
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("attempt", &self.attempt)
            .field("number", &self.number)
            .field("event", &self.event.id)
            .field("endpoint", &self.wire.config.key)
            .field("host", &self.host())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

/// Who answers for the addresses that a transport dials by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolver {
    /// A forward proxy that keeps requests out of private networks.
    TrustedProxy,
    /// A sandbox, such as a browser, whose network is not ours to protect.
    Sandbox,
    /// A test without sockets.
    Simulation,
    /// Nobody, because nothing is dialled: the attempt is handed to an application in this process.
    Handler,
}

/// The policy refused an address, or the payload has no form in the endpoint's encoding. It converts into the fact that
/// ends the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    attempt: AttemptId,
    why: Reason,
}

/// Why an attempt is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The policy does not allow the address, or there is none.
    Address(AddressError),
    /// The payload cannot be expressed in the endpoint's encoding.
    Payload(EncodeError),
}

impl Denied {
    /// The attempt that it ends.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Which address and which rule refused it, or what is wrong with the payload.
    pub fn why(&self) -> &Reason {
        &self.why
    }

    /// The outcome of the attempt.
    pub fn error(&self) -> TransportError {
        TransportError::Denied(match &self.why {
            Reason::Address(AddressError::NoAddress) => Denial::NoAddress,
            Reason::Address(AddressError::OtherPort { .. }) => Denial::Port,
            Reason::Address(AddressError::NotListed { .. }) => Denial::Mixed,
            Reason::Address(AddressError::Cleartext) => Denial::Scheme,
            Reason::Address(
                AddressError::NotPublic { .. } | AddressError::OtherAddress { .. } | AddressError::Scoped { .. },
            ) => Denial::Address,
            Reason::Payload(EncodeError::NotJson | EncodeError::Malformed { .. }) => Denial::Unencodable,
            Reason::Payload(EncodeError::TooNested) => Denial::TooNested,
            Reason::Payload(EncodeError::TooLarge { .. }) => Denial::TooLarge,
        })
    }
}

impl From<Denied> for Input {
    fn from(denied: Denied) -> Self {
        Self::Completed { attempt: denied.attempt, outcome: Err(denied.error()) }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Reason::Address(why) => write!(f, "{why}"),
            Reason::Payload(why) => write!(f, "{why}"),
        }
    }
}

impl core::error::Error for Denied {}

#[derive(Clone, Copy, Debug)]
enum Peer {
    Address(SocketAddr),
    Other(Resolver),
}

/// An attempt whose address is cleared: the only thing that can be sent.
///
/// Its request is built when asked for, on the calling thread; keys are looked up at that moment, so that a revoked key
/// signs nothing any more. Both forms of the request come from one source and say the same.
#[derive(Clone)]
pub struct Cleared {
    transmit: Transmit,
    peer: Peer,
    /// None of a handshake, which has no body.
    encoded: Option<Encoded>,
}

impl Cleared {
    /// The attempt.
    pub fn transmit(&self) -> &Transmit {
        &self.transmit
    }

    /// The address that was cleared; `None` after [`Transmit::clear_by`].
    pub fn addr(&self) -> Option<SocketAddr> {
        match self.peer {
            Peer::Address(addr) => Some(addr),
            Peer::Other(_) => None,
        }
    }

    /// Who answers for the address, after [`Transmit::clear_by`].
    pub fn resolver(&self) -> Option<Resolver> {
        match self.peer {
            Peer::Address(_) => None,
            Peer::Other(resolver) => Some(resolver),
        }
    }

    /// The body; empty for a handshake.
    pub fn body(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.encoded.as_ref().map_or(&NONE, |encoded| &encoded.body)
    }

    /// The request for an HTTP client, by the attempt's [`method`](Transmit::method) and with an absolute URI; `host` and `content-length` are left to the client.
    /// The values of secret headers are marked as sensitive, so that no `Debug` shows them and HTTP/2 never indexes them.
    pub fn request(&self) -> Request<Bytes> {
        let mut request = Request::new(self.body().clone());
        *request.method_mut() = self.transmit.method();
        *request.uri_mut() = self.transmit.target().uri().clone();
        let headers = request.headers_mut();
        let of_body = self.encoded.as_ref().map_or(0, |encoded| encoded.headers().len());
        headers.reserve(8 + of_body + self.transmit.wire.config.headers.len());
        self.each_header(|name, value, secret| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("our own names and checked custom names");
            let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value));
            let mut value = value.expect("every value is visible ASCII or was checked when it was registered");
            value.set_sensitive(secret);
            headers.append(name, value);
        });
        request
    }

    /// Writes the head of an HTTP/1.1 request, up to and including the empty line; [`body`](Self::body) follows it.
    pub fn write_head(&self, out: &mut impl BufMut) {
        let target = self.transmit.target();
        let method = self.transmit.method();
        let line = [method.as_str(), " ", target.path_and_query(), " HTTP/1.1\r\nhost: ", target.authority(), "\r\n"];
        line.iter().for_each(|part| out.put_slice(part.as_bytes()));
        if self.encoded.is_some() {
            let mut length = Decimal::default();
            out.put_slice(b"content-length: ");
            out.put_slice(length.format(self.body().len() as u64));
            out.put_slice(b"\r\n");
        }
        self.each_header(|name, value, _| {
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value);
            out.put_slice(b"\r\n");
        });
        out.put_slice(b"\r\n");
    }

    /// The one source of headers, `host` and `content-length` aside: name, value, and whether the value is secret.
    fn each_header(&self, mut each: impl FnMut(&str, &[u8], bool)) {
        let Transmit { wire, event, number, started, tag, signed, purpose, .. } = &self.transmit;
        let (Some(encoded), Purposed::Delivery | Purposed::Challenge) = (&self.encoded, purpose) else {
            return self.each_header_of_handshake(each);
        };
        let at = started.wall;
        #[cfg(postrider_planted)]
        let at = if crate::planted::breaks(18) && *number > 1 { event.time } else { at };
        let mut decimal = Decimal::default();
        let mut put = |name: &str, value: &[u8]| each(name, value, false);
        put("content-type", encoded.content_type.as_bytes());
        encoded.headers().iter().for_each(|(name, value)| put(name.as_str(), value.as_bytes()));
        put("user-agent", USER_AGENT.as_bytes());
        put("accept-encoding", b"identity");
        put(standard::ID, event.id.as_str().as_bytes());
        put(standard::TIMESTAMP, decimal.format(at.as_secs()));
        let outgoing = Outgoing {
            url: wire.config.target.as_str(),
            id: event.id.as_str(),
            event_type: event.event_type.as_str(),
            at,
            body: &encoded.body,
            receipts: wire.config.receipts && matches!(purpose, Purposed::Delivery),
        };
        #[cfg(postrider_planted)]
        let mut put = |name: &str, value: &[u8]| {
            if !crate::planted::breaks(55) || *number == 1 || name == standard::SIGNATURE {
                put(name, value);
            }
        };
        signed.note(wire.ring.sign(started.wall, &outgoing, &mut put));
        put("postrider-attempt", decimal.format(u64::from(*number)));
        if let Some(Replayed { number, named }) = &event.replayed {
            put(standard::REPLAY, decimal.format(*number));
            named.iter().for_each(|of| put(standard::REPLAY_OF, of.as_str().as_bytes()));
        }
        if let Some(tag) = tag {
            tag.each_header(&mut put);
        }
        if let (Some(origin), Purposed::Delivery) = (&wire.origin, purpose) {
            let (name, value) = origin.line();
            put(name.as_str(), value.as_bytes());
        }
        for (name, value) in wire.config.headers.iter() {
            each(name.as_str(), value.as_bytes(), value.is_sensitive());
        }
    }

    /// Those of a handshake: nothing in it is signed, because there is nothing to sign.
    fn each_header_of_handshake(&self, mut each: impl FnMut(&str, &[u8], bool)) {
        each("user-agent", USER_AGENT.as_bytes(), false);
        each("accept-encoding", b"identity", false);
        let lines = match &self.transmit.purpose {
            Purposed::Handshake(lines) => lines.iter(),
            Purposed::Delivery | Purposed::Challenge => [].iter(),
        };
        let custom = self.transmit.wire.config.headers.iter();
        for (name, value) in lines.map(|(name, value)| (name, value)).chain(custom) {
            each(name.as_str(), value.as_bytes(), value.is_sensitive());
        }
    }
}

impl fmt::Debug for Cleared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleared").field("transmit", &self.transmit).field("peer", &self.peer).finish()
    }
}

/// Room for a decimal number, so that writing one allocates nothing.
#[derive(Default)]
pub(super) struct Decimal {
    digits: [u8; 20],
}

impl Decimal {
    pub(super) fn format(&mut self, mut value: u64) -> &[u8] {
        let mut begin = self.digits.len();
        loop {
            begin -= 1;
            self.digits[begin] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return &self.digits[begin..];
            }
        }
    }
}

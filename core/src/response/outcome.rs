//! Why an attempt brought no response, as a closed set of values.

use super::Reply;
use core::fmt;

/// How an attempt ended: with a response head, or without one.
///
/// A response whose head arrived is a [`Reply`] even when its body was cut afterwards.
pub type Outcome = Result<Reply, TransportError>;

/// Why an attempt ended without a response head.
///
/// An adapter maps the errors of its libraries to these; the core never sees an `io::Error` or a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportError {
    /// The attempt was not allowed to be made.
    Denied(Denial),
    /// The name does not exist.
    NameNotFound,
    /// The name could not be looked up: the resolver failed, timed out by itself, or was overloaded.
    NameFailed,
    /// The peer refused the connection.
    ConnectRefused,
    /// No route leads to the address.
    Unreachable,
    /// The connection could not be opened for another reason.
    ConnectFailed,
    /// The certificate leads to no trusted issuer, or is self-signed.
    TlsUntrusted,
    /// The certificate is for another name.
    TlsWrongName,
    /// The certificate has expired or is not yet valid.
    TlsExpired,
    /// The TLS handshake failed for another reason.
    TlsFailed,
    /// The connection broke while the request was written.
    SendFailed,
    /// The connection was closed or reset before a whole response head came.
    Closed,
    /// What came is not an HTTP response.
    MalformedHead,
    /// The response head is larger than `Limits::response_head`; see [`Reply::exceeds`].
    HeadTooLarge,
    /// The attempt's deadline passed in this phase. In [`Phase::Body`] the head had come, so an adapter reports a
    /// [`Reply`] instead; the variant is there for transports that give a response only as a whole.
    TimedOut(Phase),
    /// The adapter stopped the attempt because the core said so.
    Aborted,
    /// This machine ran out of sockets, files or memory before anything was sent, or the adapter has a bound of its own on
    /// what it carries at once, and there was no place within the attempt's time.
    LocalResources,
    /// What the attempt was handed to in this process, such as the handler behind an inbox, never wants the event. There is
    /// no peer then, and no status that it could have answered.
    Unwanted,
}

/// Why an attempt was not allowed to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the questions that are asked before a request may leave")]
pub enum Denial {
    /// The address about to be dialled is not allowed: it is not public, and no allow-list names it.
    Address,
    /// The name resolved to no address at all, so there was nothing to check.
    NoAddress,
    /// The port about to be dialled is not that of the endpoint's URL.
    Port,
    /// The endpoint's policy does not allow the URL's scheme.
    Scheme,
    /// The name resolved to addresses of which some are allowed and some are not.
    Mixed,
    /// The payload cannot be expressed in the endpoint's encoding, because it is not JSON.
    Unencodable,
    /// The same, because it has too many objects and arrays inside one another.
    TooNested,
    /// The same, because the body would be too large.
    TooLarge,
}

/// The part of an attempt in which it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the parts of one HTTP request, in order")]
pub enum Phase {
    /// Looking up the name, and clearing the address.
    Resolve,
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Writing the request.
    Send,
    /// Waiting for the response head.
    Head,
    /// Reading the response body.
    Body,
}

/// Whether the receiver may have got the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "nobody can know that a request without an answer arrived")]
pub enum Sent {
    /// No byte of the request left this machine.
    Nothing,
    /// Some or all of it left; the receiver may have acted on it.
    Maybe,
}

/// Who has to change something before a further attempt can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is nobody else")]
pub enum Fault {
    /// The receiver, its certificate or its DNS record.
    Receiver,
    /// The way there, or a resolver on it.
    Network,
    /// This machine or its user.
    Ours,
    /// Nobody: the policy works as it should.
    Policy,
}

impl TransportError {
    /// The phase in which the attempt ended. For [`Aborted`](Self::Aborted), which may come at any time, the one
    /// that attempts spend most of their time in.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Denied(_) | Self::NameNotFound | Self::NameFailed => Phase::Resolve,
            Self::ConnectRefused | Self::Unreachable | Self::ConnectFailed | Self::LocalResources => Phase::Connect,
            Self::TlsUntrusted | Self::TlsWrongName | Self::TlsExpired | Self::TlsFailed => Phase::Tls,
            Self::SendFailed => Phase::Send,
            Self::Closed | Self::MalformedHead | Self::HeadTooLarge | Self::Aborted | Self::Unwanted => Phase::Head,
            Self::TimedOut(phase) => phase,
        }
    }

    /// Whether the receiver may have got the request. It is then the `webhook-id` that makes a repeat harmless.
    pub const fn sent(self) -> Sent {
        match self.phase() {
            Phase::Resolve | Phase::Connect | Phase::Tls => Sent::Nothing,
            Phase::Send | Phase::Head | Phase::Body => Sent::Maybe,
        }
    }

    /// Who has to change something.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Denied(Denial::Address | Denial::Port | Denial::Scheme | Denial::Mixed) => Fault::Policy,
            Self::Denied(Denial::Unencodable | Denial::TooNested | Denial::TooLarge)
            | Self::Aborted
            | Self::LocalResources => Fault::Ours,
            Self::NameFailed | Self::Unreachable | Self::ConnectFailed | Self::SendFailed => Fault::Network,
            Self::TimedOut(Phase::Resolve | Phase::Connect) => Fault::Network,
            Self::Denied(Denial::NoAddress)
            | Self::NameNotFound
            | Self::ConnectRefused
            | Self::TlsUntrusted
            | Self::TlsWrongName
            | Self::TlsExpired
            | Self::TlsFailed
            | Self::Closed
            | Self::MalformedHead
            | Self::HeadTooLarge
            | Self::Unwanted
            | Self::TimedOut(Phase::Tls | Phase::Send | Phase::Head | Phase::Body) => Fault::Receiver,
        }
    }

    /// A short name that does not change between versions, for metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Denied(denial) => denial.code(),
            Self::NameNotFound => "name-not-found",
            Self::NameFailed => "name-failed",
            Self::ConnectRefused => "connect-refused",
            Self::Unreachable => "unreachable",
            Self::ConnectFailed => "connect-failed",
            Self::TlsUntrusted => "tls-untrusted",
            Self::TlsWrongName => "tls-wrong-name",
            Self::TlsExpired => "tls-expired",
            Self::TlsFailed => "tls-failed",
            Self::SendFailed => "send-failed",
            Self::Closed => "closed",
            Self::MalformedHead => "malformed-head",
            Self::HeadTooLarge => "head-too-large",
            Self::TimedOut(Phase::Resolve) => "timed-out-resolve",
            Self::TimedOut(Phase::Connect) => "timed-out-connect",
            Self::TimedOut(Phase::Tls) => "timed-out-tls",
            Self::TimedOut(Phase::Send) => "timed-out-send",
            Self::TimedOut(Phase::Head) => "timed-out-head",
            Self::TimedOut(Phase::Body) => "timed-out-body",
            Self::Aborted => "aborted",
            Self::LocalResources => "local-resources",
            Self::Unwanted => "unwanted",
        }
    }

    /// Two bytes for the journal: the variant, counted from 1, and its detail (0 when it has none). They do not
    /// change between versions.
    pub const fn to_wire(self) -> (u8, u8) {
        match self {
            Self::Denied(denial) => (1, denial.to_wire()),
            Self::NameNotFound => (2, 0),
            Self::NameFailed => (3, 0),
            Self::ConnectRefused => (4, 0),
            Self::Unreachable => (5, 0),
            Self::ConnectFailed => (6, 0),
            Self::TlsUntrusted => (7, 0),
            Self::TlsWrongName => (8, 0),
            Self::TlsExpired => (9, 0),
            Self::TlsFailed => (10, 0),
            Self::SendFailed => (11, 0),
            Self::Closed => (12, 0),
            Self::MalformedHead => (13, 0),
            Self::HeadTooLarge => (14, 0),
            Self::TimedOut(phase) => (15, phase.to_wire()),
            Self::Aborted => (16, 0),
            Self::LocalResources => (17, 0),
            Self::Unwanted => (18, 0),
        }
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for bytes that it never gives.
    pub const fn from_wire(variant: u8, detail: u8) -> Option<Self> {
        Some(match (variant, detail) {
            (1, denial) => match Denial::from_wire(denial) {
                Some(denial) => Self::Denied(denial),
                None => return None,
            },
            (2, 0) => Self::NameNotFound,
            (3, 0) => Self::NameFailed,
            (4, 0) => Self::ConnectRefused,
            (5, 0) => Self::Unreachable,
            (6, 0) => Self::ConnectFailed,
            (7, 0) => Self::TlsUntrusted,
            (8, 0) => Self::TlsWrongName,
            (9, 0) => Self::TlsExpired,
            (10, 0) => Self::TlsFailed,
            (11, 0) => Self::SendFailed,
            (12, 0) => Self::Closed,
            (13, 0) => Self::MalformedHead,
            (14, 0) => Self::HeadTooLarge,
            (15, phase) => match Phase::from_wire(phase) {
                Some(phase) => Self::TimedOut(phase),
                None => return None,
            },
            (16, 0) => Self::Aborted,
            (17, 0) => Self::LocalResources,
            (18, 0) => Self::Unwanted,
            _ => return None,
        })
    }
}

impl From<Denial> for TransportError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied(denial) => return denial.fmt(f),
            Self::NameNotFound => "the name does not exist",
            Self::NameFailed => "the name could not be looked up",
            Self::ConnectRefused => "the connection was refused",
            Self::Unreachable => "no route leads to the address",
            Self::ConnectFailed => "the connection could not be opened",
            Self::TlsUntrusted => "the certificate leads to no trusted issuer",
            Self::TlsWrongName => "the certificate is for another name",
            Self::TlsExpired => "the certificate has expired or is not yet valid",
            Self::TlsFailed => "the TLS handshake failed",
            Self::SendFailed => "the connection broke while the request was sent",
            Self::Closed => "the connection was closed before a response head came",
            Self::MalformedHead => "what came back is not an HTTP response",
            Self::HeadTooLarge => "the response head is too large",
            Self::TimedOut(phase) => return write!(f, "the deadline passed while {phase}"),
            Self::Aborted => "the attempt was stopped",
            Self::LocalResources => "this machine ran out of sockets, files or memory",
            Self::Unwanted => "the application refused the event for good",
        })
    }
}

impl core::error::Error for TransportError {}

impl Denial {
    const fn code(self) -> &'static str {
        match self {
            Self::Address => "denied-address",
            Self::NoAddress => "denied-no-address",
            Self::Port => "denied-port",
            Self::Scheme => "denied-scheme",
            Self::Mixed => "denied-mixed",
            Self::Unencodable => "denied-unencodable",
            Self::TooNested => "denied-too-nested",
            Self::TooLarge => "denied-too-large",
        }
    }

    const fn to_wire(self) -> u8 {
        match self {
            Self::Address => 1,
            Self::NoAddress => 2,
            Self::Port => 3,
            Self::Scheme => 4,
            Self::Mixed => 5,
            Self::Unencodable => 6,
            Self::TooNested => 7,
            Self::TooLarge => 8,
        }
    }

    const fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Address,
            2 => Self::NoAddress,
            3 => Self::Port,
            4 => Self::Scheme,
            5 => Self::Mixed,
            6 => Self::Unencodable,
            7 => Self::TooNested,
            8 => Self::TooLarge,
            _ => return None,
        })
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "the endpoint's policy does not allow the address",
            Self::NoAddress => "the name resolved to no address",
            Self::Port => "the port is not that of the endpoint's URL",
            Self::Scheme => "the endpoint's policy does not allow the scheme",
            Self::Mixed => "the endpoint's policy does not allow all addresses of the name",
            Self::Unencodable => "the payload is not JSON, which the endpoint's encoding is made of",
            Self::TooNested => "the payload is nested too deeply for the endpoint's encoding",
            Self::TooLarge => "the payload would be too large in the endpoint's encoding",
        })
    }
}

impl core::error::Error for Denial {}

impl Phase {
    const fn to_wire(self) -> u8 {
        match self {
            Self::Resolve => 1,
            Self::Connect => 2,
            Self::Tls => 3,
            Self::Send => 4,
            Self::Head => 5,
            Self::Body => 6,
        }
    }

    const fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Resolve,
            2 => Self::Connect,
            3 => Self::Tls,
            4 => Self::Send,
            5 => Self::Head,
            6 => Self::Body,
            _ => return None,
        })
    }
}

impl fmt::Display for Phase {
    /// What was being done, such as `waiting for the response head`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking up the name",
            Self::Connect => "connecting",
            Self::Tls => "negotiating TLS",
            Self::Send => "sending the request",
            Self::Head => "waiting for the response head",
            Self::Body => "reading the response body",
        })
    }
}

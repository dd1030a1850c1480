//! What a receiver tells whoever watches.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;
use postrider_core::receiver::{Reason, RecvNotice};
use postrider_core::signing::standard::VerifyError;

/// Something that a receiver has done or noticed. Its text is one line for a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Seen {
    /// A request was answered.
    Answered {
        /// Who sent it.
        peer: SocketAddr,
        /// The status of the answer.
        status: StatusCode,
        /// Why it is this answer. `None`: the receiver was closed already.
        reason: Option<Reason>,
        /// What was wrong with its signature, where that is the reason. The sender was not told.
        unverified: Option<VerifyError>,
        /// Whether the answer was written. If not, its sender has gone away.
        written: bool,
    },
    /// A connection sent what is no request, or not in its time. It was closed.
    Faulty {
        /// Who sent it.
        peer: SocketAddr,
        /// What was wrong.
        fault: Fault,
    },
    /// What the machine finds worth telling, but for what is in an answer already.
    Notice(RecvNotice),
}

/// What was wrong with what a connection sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not HTTP/1.1, or not clearly: answered 400. In words.
    Malformed(&'static str),
    /// The head has more than 32 KiB or 128 lines: answered 431.
    HeadTooLarge,
    /// The head did not come in its time: answered 408.
    HeadTimedOut,
    /// The body did not come in its time: answered 408.
    BodyTimedOut,
    /// The connection broke off within a request. There is nobody to answer.
    HungUp,
}

impl Fault {
    /// The status of the answer, if there is one.
    pub fn status(self) -> Option<StatusCode> {
        match self {
            Self::Malformed(_) => Some(StatusCode::BAD_REQUEST),
            Self::HeadTooLarge => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::HeadTimedOut | Self::BodyTimedOut => Some(StatusCode::REQUEST_TIMEOUT),
            Self::HungUp => None,
        }
    }

    /// What is wrong, in a few words without a full stop.
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed(_) => "the request is malformed",
            Self::HeadTooLarge => "the head is too long",
            Self::HeadTimedOut => "the head did not come in time",
            Self::BodyTimedOut => "the body did not come in time",
            Self::HungUp => "the connection broke off",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "{}: {what}", self.text()),
            Self::HeadTooLarge | Self::HeadTimedOut | Self::BodyTimedOut | Self::HungUp => f.write_str(self.text()),
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { peer, status, reason, unverified, written } => {
                write!(f, "{peer}: {}", status.as_u16())?;
                match (unverified, reason) {
                    (Some(why), _) => write!(f, ", {why}")?,
                    (None, Some(reason)) => write!(f, ", {reason:?}")?,
                    (None, None) => f.write_str(", Closed")?,
                }
                f.write_str(if *written { "" } else { ", not written" })
            }
            Self::Faulty { peer, fault } => match fault.status() {
                Some(status) => write!(f, "{peer}: {}, {fault}", status.as_u16()),
                None => write!(f, "{peer}: {fault}"),
            },
            Self::Notice(notice) => notice.fmt(f),
        }
    }
}

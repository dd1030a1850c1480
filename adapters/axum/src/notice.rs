//! What is told the owner of a receiver.

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use postrider_core::receiver::RecvNotice;

/// Something worth telling a person or a metric. Its text is one line for a log, without payload and secrets, but for what
/// the application's own errors say.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notice {
    /// The source that it is about.
    pub source: Arc<str>,
    /// What has happened.
    pub what: What,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// What the receiving machine finds worth telling, such as why a request was not accepted.
    Machine(RecvNotice),
    /// A handler wants an event later, and has said why.
    Later {
        /// The event.
        webhook_id: Arc<str>,
        /// Why.
        why: Arc<str>,
    },
    /// A handler has refused an event.
    Refused {
        /// The event.
        webhook_id: Arc<str>,
        /// Why.
        why: Arc<str>,
    },
    /// The payload of an event is not what its handler takes. It was refused.
    NotOfType {
        /// The event.
        webhook_id: Arc<str>,
        /// What serde says of it.
        why: Arc<str>,
    },
    /// A handler or one of its extractors has answered an error of its own. The event is free to come again.
    Failed {
        /// The event.
        webhook_id: Arc<str>,
        /// The status of the answer.
        status: StatusCode,
    },
    /// A handler has panicked or was dropped. The event is free to come again.
    Broke {
        /// The event.
        webhook_id: Arc<str>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        match &self.what {
            What::Machine(notice) => notice.fmt(f),
            What::Later { webhook_id, why } => write!(f, "{webhook_id}: wanted later: {why}"),
            What::Refused { webhook_id, why } => write!(f, "{webhook_id}: refused: {why}"),
            What::NotOfType { webhook_id, why } => {
                write!(f, "{webhook_id}: refused, its payload is not what the handler takes: {why}")
            }
            What::Failed { webhook_id, status } => write!(f, "{webhook_id}: not handled, {}", status.as_u16()),
            What::Broke { webhook_id } => write!(f, "{webhook_id}: its handler panicked or was dropped"),
        }
    }
}

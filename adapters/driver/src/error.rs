//! What can go wrong, one enum per command, and one for applications.

use std::fmt;
use std::sync::Arc;

use postrider_core::encoding::PayloadError;
use postrider_core::event::{Event, EventError};
use postrider_core::id::{EventId, IdError};
use postrider_core::matching::{PatternError, SubscriptionError, TypeError};
use postrider_core::registration::{CidrError, Endpoint, EndpointError, PolicyError, UrlError};
use postrider_core::retry::ScheduleError;
use postrider_core::secret::{KeyIdError, SecretError};
use postrider_core::sender::{self, Refused, RestoreError};
use postrider_core::signing::standard::VerifierError;
use postrider_journal::LogError;
use postrider_journal::history::HistoryError;
use postrider_journal::seal::{SealError, VaultError};

use crate::directory::DirectoryError;
use crate::mint::EntropyError;
use crate::replays::ReplayError;
use crate::tls::RootsError;

/// Why an event was not published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// It was not accepted. It comes back.
    Refused(Refused),
    /// No id could be minted for it. It comes back.
    Entropy(Box<Event>),
    /// The log failed, or the sender was stopped, before the event was safe. It may or may not be there when the store
    /// is opened again; publishing it again with the same id makes sure.
    NotDurable(EventId),
}

impl PublishError {
    /// The event, where it comes back.
    pub fn into_event(self) -> Option<Event> {
        match self {
            Self::Refused(refused) => Some(refused.into_event()),
            Self::Entropy(event) => Some(*event),
            Self::NotDurable(_) => None,
        }
    }

    /// Whether trying again later can help, without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refused) => refused.is_temporary(),
            Self::Entropy(_) | Self::NotDurable(_) => false,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Entropy(_) => write!(f, "no id could be minted for an event: {EntropyError}"),
            Self::NotDurable(event) => {
                write!(f, "{event}: the sender stopped before the event was safe; publish it again with the same id")
            }
        }
    }
}

impl std::error::Error for PublishError {}

/// Why an endpoint was not put.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PutError {
    /// It was refused. It comes back.
    Refused(sender::PutError),
    /// No secret could be minted for it, or none of its own sealed, for want of random bytes. It comes back.
    Entropy(Box<Endpoint>),
    /// The log failed, or the sender was stopped, before the endpoint was safe. It may or may not be so when the store
    /// is opened again.
    NotDurable,
}

impl PutError {
    /// The endpoint, where it comes back.
    pub fn into_endpoint(self) -> Option<Endpoint> {
        match self {
            Self::Refused(refused) => Some(refused.into_endpoint()),
            Self::Entropy(endpoint) => Some(*endpoint),
            Self::NotDurable => None,
        }
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Entropy(endpoint) => {
                write!(f, "endpoint {:?}: no secret could be minted or sealed: {EntropyError}", endpoint.name())
            }
            Self::NotDurable => f.write_str("the sender stopped before the endpoint was safe; put it again"),
        }
    }
}

impl std::error::Error for PutError {}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// It was refused.
    Refused(sender::CommandError),
    /// A key could not be sealed, for want of random bytes.
    Entropy,
    /// The log failed, or the sender was stopped, before its effect was safe. It may or may not be there when the store
    /// is opened again.
    NotDurable,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Entropy => write!(f, "a key could not be sealed: {EntropyError}"),
            Self::NotDurable => f.write_str("the sender stopped before the command's effect was safe; give it again"),
        }
    }
}

impl std::error::Error for CommandError {}

/// Why a list of endpoints was not applied. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncError {
    /// It was refused.
    Refused(sender::SyncRefused),
    /// A secret could not be minted or sealed, for want of random bytes.
    Entropy,
    /// The log failed, or the sender was stopped, before its effect was safe. It may or may not be there when the store
    /// is opened again; the same list can be given again.
    NotDurable,
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Entropy => write!(f, "a secret could not be minted or sealed: {EntropyError}"),
            Self::NotDurable => f.write_str("the sender stopped before the list's effect was safe; give it again"),
        }
    }
}

impl std::error::Error for SyncError {}

/// Why it cannot be said what became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettledError {
    /// No such event is known, or it ended so long ago that its report is gone.
    Unknown(EventId),
    /// It ended while it was waited for, but so many others did at once that its report is gone already.
    Forgotten(EventId),
    /// The sender stopped before it ended. What is durable goes on when the store is opened again.
    Closed(EventId),
    /// The sender does not know it any more, and the log's history could not be read.
    Unreadable {
        /// The event.
        event: EventId,
        /// Why not.
        why: HistoryError,
    },
}

impl fmt::Display for SettledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(event) => {
                write!(f, "{event}: no such event is known; its report may be gone, or its tenant be another")
            }
            Self::Forgotten(event) => {
                write!(f, "{event}: it has ended, and its report is gone; raise the limit `reports`")
            }
            Self::Closed(event) => write!(f, "{event}: the sender stopped before the event ended"),
            Self::Unreadable { event, why } => write!(f, "{event}: what became of it cannot be read: {why}"),
        }
    }
}

impl std::error::Error for SettledError {}

/// Anything that an application's use of Postrider can run into, so that `?` works everywhere.
///
/// Its `Debug` says the same as its `Display`, because that is what `main` prints.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// An event was not published.
    Publish(PublishError),
    /// An endpoint was not put.
    Put(PutError),
    /// A command was not carried out.
    Command(CommandError),
    /// A list of endpoints was not applied.
    Sync(SyncError),
    /// Something is not sent again.
    Replay(ReplayError),
    /// It cannot be said what became of an event.
    Settled(SettledError),
    /// Something is not an event.
    Event(EventError),
    /// Something is not a payload.
    Payload(PayloadError),
    /// Something is not an event type.
    Type(TypeError),
    /// Something is not an endpoint.
    Endpoint(EndpointError),
    /// Something is not a URL that requests may go to.
    Url(UrlError),
    /// Something is not a pattern of event types.
    Pattern(PatternError),
    /// Something is not a subscription.
    Subscription(SubscriptionError),
    /// Something is not a schedule.
    Schedule(ScheduleError),
    /// Something is not a name.
    Id(IdError),
    /// Something is not a secret.
    Secret(SecretError),
    /// Something is not the name of a key.
    KeyId(KeyIdError),
    /// A verifier cannot be made.
    Verifier(VerifierError),
    /// Something is not a network.
    Cidr(CidrError),
    /// A policy cannot be loosened that way.
    Policy(PolicyError),
    /// Something is not a root certificate.
    Roots(RootsError),
    /// The operating system gave no random bytes.
    Entropy(EntropyError),
    /// A log cannot be read.
    Log(LogError),
    /// Records make no machine.
    Restore(RestoreError),
    /// A directory cannot be opened.
    Directory(DirectoryError),
    /// A question about history has no answer.
    History(HistoryError),
    /// There is no vault key where it was said to be.
    Vault(VaultError),
    /// A secret cannot be sealed, or one in the log cannot be opened.
    Seal(SealError),
    /// The operating system did not do what was asked: start a thread, open a socket.
    Io(Arc<std::io::Error>),
    /// The log is that of a sender, and so of no [inbox](crate::inbox).
    NoInbox,
    /// The sender has stopped, and whatever was asked of it was not heard.
    Stopped,
}

impl Error {
    fn inner(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Publish(error) => error,
            Self::Put(error) => error,
            Self::Command(error) => error,
            Self::Sync(error) => error,
            Self::Replay(error) => error,
            Self::Settled(error) => error,
            Self::Event(error) => error,
            Self::Payload(error) => error,
            Self::Type(error) => error,
            Self::Endpoint(error) => error,
            Self::Url(error) => error,
            Self::Pattern(error) => error,
            Self::Subscription(error) => error,
            Self::Schedule(error) => error,
            Self::Id(error) => error,
            Self::Secret(error) => error,
            Self::KeyId(error) => error,
            Self::Verifier(error) => error,
            Self::Cidr(error) => error,
            Self::Policy(error) => error,
            Self::Roots(error) => error,
            Self::Entropy(error) => error,
            Self::Log(error) => error,
            Self::Restore(error) => error,
            Self::Directory(error) => error,
            Self::History(error) => error,
            Self::Vault(error) => error,
            Self::Seal(error) => error,
            Self::Io(error) => &**error,
            Self::NoInbox | Self::Stopped => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.inner(), self) {
            (Some(error), _) => write!(f, "{error}"),
            (None, Self::NoInbox) => f.write_str("this is the log of a sender and no inbox; open another directory"),
            (None, _) => f.write_str("the sender has stopped"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Display has said what the inner error says; what is behind that one comes next.
        self.inner().and_then(std::error::Error::source)
    }
}

macro_rules! from {
    ($($variant:ident($error:ty),)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    Publish(PublishError),
    Put(PutError),
    Command(CommandError),
    Sync(SyncError),
    Replay(ReplayError),
    Settled(SettledError),
    Event(EventError),
    Payload(PayloadError),
    Type(TypeError),
    Endpoint(EndpointError),
    Url(UrlError),
    Pattern(PatternError),
    Subscription(SubscriptionError),
    Schedule(ScheduleError),
    Id(IdError),
    Secret(SecretError),
    KeyId(KeyIdError),
    Verifier(VerifierError),
    Cidr(CidrError),
    Policy(PolicyError),
    Roots(RootsError),
    Entropy(EntropyError),
    Log(LogError),
    Restore(RestoreError),
    Directory(DirectoryError),
    History(HistoryError),
    Vault(VaultError),
    Seal(SealError),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Publish(PublishError::Refused(refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistaken() -> Result<(), Error> {
        Event::json("order..paid", &1)?;
        Ok(())
    }

    #[test]
    fn the_question_mark_works_and_main_prints_prose() {
        let error = mistaken().unwrap_err();
        assert!(matches!(error, Error::Event(_)));
        assert_eq!(format!("{error:?}"), format!("{error}"));
        assert!(format!("{error}").starts_with("the event's type "), "{error}");
        let error: Error = std::io::Error::from(std::io::ErrorKind::AddrInUse).into();
        assert!(matches!(error, Error::Io(_)));
    }

    #[test]
    fn what_was_refused_comes_back() {
        let event = Event::json("a", &1).unwrap().id("x");
        let error = PublishError::Refused(Refused::Overloaded(Box::new(event)));
        assert!(error.is_temporary());
        assert_eq!(error.into_event().unwrap().event_id().unwrap().as_str(), "x");
        let error = PutError::Entropy(Box::new(Endpoint::new("acme", "https://acme.example/")));
        assert_eq!(error.into_endpoint().unwrap().name(), "acme");
    }
}

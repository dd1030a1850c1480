//! Why a webhook is not stored.

use std::fmt;
use std::time::Duration;

use postrider_core::receiver::{NotStored, Processed};
use postrider_core::sender::Refused;

use crate::desk::Receipt;
use crate::error::PublishError;

/// What a sender is asked to wait when a disk is full, which takes somebody to change.
const FULL: Duration = Duration::from_secs(60);

/// Why a webhook is not stored, or not known to be. Whoever sent it has to send it again: it becomes
/// [`Processed::Later`].
#[derive(Clone, Debug)]
pub struct StoreError(PublishError);

impl StoreError {
    /// Why not, in the words of the inbox's sender.
    pub fn why(&self) -> &PublishError {
        &self.0
    }

    /// What its sender is to wait; a moment when nothing is said.
    pub fn after(&self) -> Option<Duration> {
        matches!(self.0, PublishError::Refused(Refused::Full(_))).then_some(FULL)
    }
}

impl From<StoreError> for Processed {
    fn from(error: StoreError) -> Self {
        Self::Later { after: error.after() }
    }
}

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        error.after().map_or_else(Self::default, Self::after)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the webhook is not stored: {}", self.0)
    }
}

impl std::error::Error for StoreError {}

/// Whether a webhook is stored, by what publishing it came to. It is too where there is another of its name, because that is
/// the same webhook, sent again: with another time and another signature.
pub fn stored(published: Result<Receipt, PublishError>) -> Result<(), StoreError> {
    match published {
        Ok(_) | Err(PublishError::Refused(Refused::Conflict(_))) => Ok(()),
        Err(why) => Err(StoreError(why)),
    }
}

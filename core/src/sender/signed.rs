//! Which keys signed a request: noted by the thread that builds it, read by the machine when the attempt ends.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

use crate::limits;
use crate::secret::KeyId;

/// The keys that signed the request of one attempt, newest first; none while there is no request. A clone is the same
/// note.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signed(Arc<Mutex<Ids>>);

/// As many as a ring holds, so that noting one takes no memory.
type Ids = [Option<KeyId>; limits::RING_KEYS];

impl Signed {
    /// Notes the keys of a request that was just built, in place of those of an earlier one.
    pub(crate) fn note(&self, ids: Ids) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().copied().collect()
    }
}

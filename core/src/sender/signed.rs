//! Which keys signed a request: noted by the thread that builds it, read by the machine when the attempt ends.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

use super::Sender;
use crate::id::AttemptId;
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

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().count()
    }

    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().copied().collect()
    }
}

impl Sender {
    /// How many keys have signed the request of an attempt.
    pub(super) fn signers(&self, attempt: AttemptId) -> u8 {
        let found = self.attempts.find(attempt, self.incarnation).and_then(|at| self.attempts.get(at));
        found.map_or(0, |attempt| attempt.signed.len() as u8)
    }

    /// Lets so many keys have signed an attempt whose request nobody builds, as its record will be as long.
    pub(super) fn feign_signers(&self, attempt: AttemptId, count: u8) {
        let found = self.attempts.find(attempt, self.incarnation).and_then(|at| self.attempts.get(at));
        let stand_in = |place| (place < usize::from(count)).then(|| KeyId::from_bytes([0; 8]));
        found.into_iter().for_each(|attempt| attempt.signed.note(core::array::from_fn(stand_in)));
    }
}

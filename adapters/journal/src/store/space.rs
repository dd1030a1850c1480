//! How much of its budget a store has used.

use super::segments::Segments;
use crate::{Disk, File};

/// Counts the bytes of all files again whenever one was made, cut or removed.
pub(super) struct Space {
    budget: Option<u64>,
    /// Bytes of all files, and the changes that were known then.
    used: Option<(u64, u64)>,
}

impl Space {
    pub(super) const fn new(budget: Option<u64>) -> Self {
        Self { budget, used: None }
    }

    /// Bytes that may still be made of files; `None` without a budget.
    pub(super) fn left<D: Disk>(&mut self, segments: &Segments<D>) -> Option<u64> {
        let budget = self.budget?;
        let changes = segments.changes();
        if self.used.is_none_or(|(_, known)| known != changes) {
            self.used = Some((used(segments.disk()), changes));
        }
        Some(budget.saturating_sub(self.used.map_or(0, |(used, _)| used)))
    }
}

/// Bytes of all files of a disk, as far as they can be told.
fn used<D: Disk>(disk: &D) -> u64 {
    let names = disk.list().unwrap_or_default();
    names.iter().filter_map(|name| disk.open(name).and_then(|file| file.len()).ok()).sum()
}

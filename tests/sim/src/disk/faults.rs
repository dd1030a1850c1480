//! What can go wrong with a disk.

/// What can go wrong from now on. Each `Option` counts operations down: 0 is the next one.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The next syncs fail that come after so many others, and drop what they should have made durable.
    pub sync_fails: Option<u64>,
    /// The write after so many others fails, and any beginning of it is written, up to where a sector ends.
    pub write_fails: Option<u64>,
    /// The power goes after so many further operations that change something.
    pub dies: Option<u64>,
    /// Bytes that the disk can hold.
    pub capacity: Option<u64>,
    /// Syncs succeed and make nothing durable.
    pub lies: bool,
    /// Sectors tear: of the bytes of one, any beginning is new.
    pub tears: bool,
}

impl Faults {
    pub(super) fn count_write(&mut self) -> bool {
        count_down(&mut self.write_fails)
    }

    pub(super) fn count_sync(&mut self) -> bool {
        count_down(&mut self.sync_fails)
    }
}

/// Counts down; true once, at the end.
fn count_down(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => {
            *left = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

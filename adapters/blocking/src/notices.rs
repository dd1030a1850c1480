//! Notices as an iterator.

use std::time::Duration;

use postrider_core::sender::Notice;
use postrider_driver::{Heard, Missed};

/// What is worth telling, in order: an iterator that blocks until there is something, and ends when the sender has.
///
/// At most 1,024 notices wait for whoever listens; those that do not fit are counted, and the count comes in their place
/// as [`Missed`]. Dropping it ends the listening.
#[derive(Debug)]
pub struct Notices(postrider_driver::Notices);

/// How long one wait for a notice lasts before the next begins.
const WAIT: Duration = Duration::from_secs(3600);

impl Notices {
    pub(crate) fn new(inner: postrider_driver::Notices) -> Self {
        Self(inner)
    }

    /// What comes next, after waiting at most `time` for it; [`Heard::Nothing`] if nothing came.
    pub fn next_within(&self, time: Duration) -> Heard {
        self.0.next_within(time)
    }
}

impl Iterator for Notices {
    type Item = Result<Notice, Missed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next_within(WAIT) {
                Heard::Notice(notice) => return Some(Ok(notice)),
                Heard::Missed(count) => return Some(Err(Missed(count))),
                Heard::Nothing => {}
                Heard::Over => return None,
            }
        }
    }
}

//! When a driver comes back: the end of every drain, for either machine.

use crate::time::Instant;

/// When to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a driver that does not wake loses time"]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Wake {
    /// At once: there is more to do, and this is the driver's turn to look at its sockets.
    Ready,
    /// At this time, which is later than every time the machine has been told, or when there is a fact or a command.
    At(Instant),
    /// When there is a fact or a command.
    Input,
    /// Never: the machine is closed or fenced.
    Closed,
}

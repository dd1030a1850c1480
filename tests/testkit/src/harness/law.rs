//! The laws by name, and what breaks one.

use std::fmt;

/// The laws that a run is judged by; see the first page of `postrider-core`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "there are ten laws, and what a crash must not break")]
pub enum Law {
    /// Nothing is lost or stuck.
    Drain,
    /// Wakes lie ahead, and polling at rest changes nothing.
    Progress,
    /// Nothing shows before its record is durable.
    Durability,
    /// No more attempts than the credit.
    Credit,
    /// Nothing is early.
    Time,
    /// The same calls have the same outputs.
    Determinism,
    /// Queues have the sizes that the limits say.
    Bounds,
    /// Work is paid for by calls, outputs and records.
    Cost,
    /// What consumed facts imply comes in the same drain.
    Fixpoint,
    /// After the end every call is inert.
    Terminal,
    /// What was acknowledged survives.
    Crash,
}

impl Law {
    /// All of them, L1 to L10 and then that of crashes.
    pub const ALL: [Self; 11] = [
        Self::Drain,
        Self::Progress,
        Self::Durability,
        Self::Credit,
        Self::Time,
        Self::Determinism,
        Self::Bounds,
        Self::Cost,
        Self::Fixpoint,
        Self::Terminal,
        Self::Crash,
    ];
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)
    }
}

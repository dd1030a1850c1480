//! What an attempt's outcome means.
//!
//! An adapter reports an [`Outcome`]: a [`Reply`], which is what is kept of a response, or a [`TransportError`].
//! [`verdict`] turns it into a [`Ruling`]: the [`Verdict`], the row of the table that decided, and the `Retry-After`
//! that the receiver sent. The status table is the only place where a status code is judged.
//!
//! The parts are usable alone: [`retry_after`] reads the header field, [`http_date`] reads and writes HTTP dates.
//!
//! ```
//! use core::time::Duration;
//! use postrider_core::response::{Profile, Reply, Verdict, verdict};
//! use postrider_core::time::UnixTime;
//!
//! let reply = Reply::new(503).header("Retry-After", b"30");
//! let ruling = verdict(&Ok(reply), Profile::StandardWebhooks, UnixTime::from_secs(1_795_246_000));
//! assert_eq!(ruling.verdict, Verdict::Throttled { not_before: Some(Duration::from_secs(30)) });
//! assert_eq!(ruling.to_string(), "503 says that the receiver is overloaded; it asked for 30 s");
//! ```

pub mod http_date;
mod outcome;
mod reply;
mod retry_after;
mod verdict;

#[cfg(test)]
mod tests;

pub use outcome::{Denial, Fault, Outcome, Phase, Sent, TransportError};
pub use reply::{RETRY_AFTER_LINES, Reply};
pub use retry_after::{Hint, retry_after};
pub use verdict::{Cause, Profile, RefusedWhy, Rule, Ruling, Verdict, verdict};

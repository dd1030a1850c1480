//! Postrider on plain threads: sender and receiver over ureq-proto and rustls.
//!
//! [`Sender`] delivers webhooks without an async runtime. One thread drives the machine of `postrider-core`, which
//! decides everything; each attempt in flight is carried by a thread of its own, within one deadline over look-up,
//! connection, TLS, request and response:
//!
//! ```text
//!   publish, put, ..  ──┐                      ┌──> thread ──> look up, clear, dial, TLS, POST, reply
//!                       ├──> drive thread ─────┼──> thread
//!   facts of the log ──>┤    (owns the desk)   └──> thread
//!   outcomes ──────────>┘
//! ```
//!
//! The drive thread's loop, whole:
//!
//! ```text
//! loop {
//!     let wake = desk.turn(crew);                            // 1. facts go in, effects are carried out
//!     if wake == Wake::Closed {
//!         return;
//!     }
//!     let idle = crew.tidy().map(|at| at.saturating_duration_since(Instant::now()));
//!     let sleep = clock.until(wake).into_iter().chain(idle).min();
//!     let first = self.wait(sleep);                          // 2. until it is due, or something is said
//!     for word in first.into_iter().chain(self.words.try_iter().take(WORDS)) {
//!         match word {
//!             Word::Facts => {}                              // 3. an attempt ended, or the log answered
//!             Word::Do(act) => act(desk),                    // 4. somebody asked for something
//!         }
//!     }
//! }
//! ```
//!
//! Redirects are never followed, nothing is decompressed, a connection is used again only for the same endpoint,
//! address and name, and only after a clean and complete response.

mod builder;
mod carry;
mod connection;
mod crew;
mod drive;
mod exchange;
pub mod inbox;
mod leash;
mod machine;
mod notices;
pub mod receiver;
mod sender;

pub use builder::Builder;
pub use machine::{MachineCommand, run_machine};
pub use notices::Notices;
pub use postrider_driver::Missed;
pub use sender::Sender;

// The words that a sender is used with.
pub use postrider_core::event::Event;
pub use postrider_core::limits::Limits;
pub use postrider_core::registration::{Endpoint, Policy};
pub use postrider_driver::tls::Roots;
pub use postrider_driver::{CommandError, Error, Heard, PublishError, PutError, Receipt, Registered, SettledError};

#[cfg(test)]
mod tests;

//! The flight recorder: every call that a machine gets and a digest of everything that it says, so that a run can be
//! run again.
//!
//! A machine is a pure function of its configuration, its records and its calls (law L6). A [`Recorder`] wraps one,
//! passes every call on, and writes it down as bytes that an adapter takes with [`Recorder::take`] and keeps, in a
//! bounded ring of files. A [`Replay`] makes the machine again from the same beginning, repeats the calls, and stops at
//! the first output that is not the one recorded.
//!
//! # What is in a trace
//!
//! The configuration; the seed, or the records that the machine was restored from; each call with its clocks; of each
//! output 32 bits of a checksum, which leaves out what the next paragraph replaces. Unless asked for
//! [`Detail::Everything`], payloads, kept answers, signing keys, secret header values and the queries of URLs are
//! replaced by stand-ins of the same length. Two equal values have equal stand-ins, so that a repeat stays a repeat, a
//! conflict a conflict, and a key that was revoked stays that key. Names (ids of events, endpoints, tenants and types)
//! and what endpoints want, content filters included, are kept. What filters answered is in the trace, because they look
//! into payloads.
//!
//! # Format
//!
//! `PSTRTRCE`, a version byte, then entries: a byte that tells the kind; for a call the clocks, as differences to those
//! of the call before in variable-length integers; then what the call was given. Records are written as the journal
//! writes them. A trace is read by the release that wrote it: it helps to find a mistake, it is not an archive.

mod call;
mod digest;
mod mask;
mod recorder;
mod reel;
mod replay;
mod tape;
#[cfg(test)]
mod tests;

pub(crate) use digest::mark;
pub use mask::Detail;
pub use recorder::{Recorder, RecorderRestore};
pub use replay::{Difference, Replay, Ruled, TraceError, View};

/// What a trace begins with.
const MAGIC: &[u8; 8] = b"PSTRTRCE";

/// The version of the format.
const VERSION: u8 = 3;

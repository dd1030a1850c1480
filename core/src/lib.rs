//! The webhook protocol, pure.
//!
//! This crate decides everything about sending and receiving webhooks and touches nothing: no socket, file, clock,
//! thread or random source.
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

extern crate alloc;
extern crate std;

// Ground floor: values that every room may use.
pub mod event;
pub mod id;
pub mod limits;
pub mod secret;
pub mod seed;
pub mod time;

// The rooms, each usable alone.
pub mod encoding;
pub mod journal;
pub mod matching;
pub mod registration;
pub mod response;
pub mod retry;
pub mod signing;

// The machines.
pub mod sender;

// Breaks of the laws, for the proof that the tests find them; in no build but the one that makes it.
#[cfg(postrider_planted)]
pub mod planted;

//! A world in one thread and one seed.
//!
//! Nodes run the real sending machine over the real journal; clock, network, name look-ups, disks, receivers, operators
//! and producers are made up, and everything that happens is a pure function of one `u64`. Judges who see only what a
//! user sees say at every step whether a promise was broken.

pub mod addresses;
pub mod clock;
pub mod disk;
pub mod heap;
pub mod journal;
pub mod model;
pub mod observe;
pub mod planted;
pub mod profile;
pub mod receiver;
pub mod rng;
pub mod run;
pub mod store;
pub mod trace;
pub mod world;

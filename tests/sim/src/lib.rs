//! A world in one thread and one seed.
//!
//! Nodes run the real sending machine over the real journal; clock, network, name look-ups, disks, receivers, operators
//! and producers are made up, and everything that happens is a pure function of one `u64`. Judges who see only what a
//! user sees say at every step whether a promise was broken.
//!
//! # Parts of your own
//!
//! A [`Cast`](world::Cast) says who plays, and each part can be another:
//!
//! * `stores`: a log of your own instead of the journal, as a [`Stores`](store::Stores). It gets a
//!   [`SimDisk`](disk::SimDisk), on which everything can go wrong that goes wrong with disks, or keeps its records
//!   elsewhere, as [`InMemory`](store::InMemory) does. The example `own_store` is one on the disk: one file, an append
//!   and a sync, and nothing that it acknowledged may be missing after any crash.
//! * `peers`: a handler of your own behind the receivers, as a [`Peer`](receiver::Peer). It gets each request that
//!   arrives, duplicates included, and says what it answers. The example `own_handler` books payments, and is asked
//!   afterwards whether it has booked each once.
//! * `judges`: a [`Judge`](observe::Judge) of your own, who sees all that a user sees.
//!
//! `cargo run --release -p postrider-sim --example own_store` and `--example own_handler` take a few seconds.

pub mod addresses;
pub mod clock;
pub mod crash;
pub mod disk;
pub mod heap;
pub mod inbound;
pub mod journal;
pub mod model;
pub mod observe;
pub mod planted;
pub mod profile;
pub mod receiver;
pub mod rng;
pub mod run;
mod sim_time;
pub mod store;
pub mod trace;
pub mod world;

//! The webhook protocol, pure.
//!
//! This crate decides everything about sending and receiving webhooks and touches nothing: no socket, file, clock,
//! thread or random source. A driver moves the bytes; any runtime will do.
//!
//! # The contract
//!
//! A machine has three verbs, and getters.
//!
//! * **Commands** are wishes and may be refused: [`publish`](sender::Sender::publish), [`put`](sender::Sender::put),
//!   and the others of [`sender::Sender`]. A refusal hands the value back.
//! * **Facts** have happened and cannot be refused: [`handle`](sender::Sender::handle). A stale one is counted and
//!   dropped.
//! * **Effects** are pulled: [`poll_output`](sender::Sender::poll_output), owned values without lifetimes.
//!
//! | law | |
//! | --- | --- |
//! | L1 drain | Call `poll_output` until `Wait`. Every interleaving of facts, commands and partial drains is legal; nothing is lost or stuck. |
//! | L2 progress | `Wait(At(t))` is later than every `now` seen. `Wait(Ready)` comes after at most 256 outputs while work remains. After `Wait(At)` and `Wait(Input)` polling again returns the same and changes nothing; after `Wait(Ready)` it goes on. |
//! | L3 durability | Nothing visible outside about a record leaves before the batch that holds it is acknowledged. |
//! | L4 credit | Attempts in flight never exceed the credit; each slot is freed exactly once. |
//! | L5 time | `mono` is held where it goes back, and that is counted. While a machine runs, due times are `mono` only; `wall` stamps, and is compared with absolute dates when an attempt would start. |
//! | L6 determinism | Same configuration, seed and calls give the same outputs, byte for byte, on every platform. |
//! | L7 bounds | Memory is a function of [`limits`] and the number of endpoints. |
//! | L8 cost | Each call costs O(log n) plus O(1) for each output and each record; an idle poll is O(1). A command that touches many deliveries leaves a cursor that later drains advance. |
//! | L9 fixpoint | Effects implied by consumed facts appear in the same drain. |
//! | L10 terminal | After fencing or a finished close every call is inert. |
//!
//! Each law is a property test. The [`manual`] says why they are so.
//!
//! # The loop
//!
//! Everything that a driver does, once. `log`, `net` and `clock` are the driver's own.
//!
//! ```
//! use postrider_core::sender::{Input, Output, Sender, Wake};
//! # use postrider_core::{id::*, journal::*, response::*, sender::*, time::*};
//! # trait Log { fn append(&mut self, _: PersistBatch); fn read(&mut self, _: LoadRequest);
//! #     fn snapshot(&mut self, _: SnapshotPart); fn forget(&mut self, _: Watermark); }
//! # trait Net { fn start(&mut self, _: Transmit); fn cancel(&mut self, _: AttemptId);
//! #     fn wait(&mut self, _: Wake) -> Vec<Input>; }
//! fn drive(sender: &mut Sender, log: &mut impl Log, net: &mut impl Net, clock: impl Fn() -> Now) {
//!     loop {
//!         // 1. Drain: pull effects and carry them out, until the machine says when to come back.
//!         let wake = loop {
//!             match sender.poll_output() {
//!                 Output::Persist(batch) => log.append(batch),       // later: Input::Persisted
//!                 Output::Load(request) => log.read(request),        // later: Input::Loaded
//!                 Output::Snapshot(part) => log.snapshot(part),
//!                 Output::Reclaim(mark) => log.forget(mark),
//!                 Output::Transmit(attempt) => net.start(attempt),   // vet, clear, send; later: Input::Completed
//!                 Output::Abort(attempt) => net.cancel(attempt),
//!                 Output::Notice(notice) => println!("{notice}"),
//!                 Output::Wait(wake) => break wake,
//!             }
//!         };
//!         if wake == Wake::Closed {
//!             return;
//!         }
//!         // 2. Sleep until then, or until something has happened, and say what.
//!         for fact in net.wait(wake) {
//!             sender.handle(clock(), fact);
//!         }
//!         // 3. Time has passed. Free when nothing is due.
//!         sender.handle(clock(), Input::Tick);
//!     }
//! }
//! ```
//!
//! # The rooms
//!
//! Ground floor, values that every room may use: [`time`], [`id`], [`event`], [`secret`], [`seed`], [`limits`].
//! Seven rooms, each usable alone: [`registration`], [`matching`], [`encoding`], [`signing`], [`response`], [`retry`],
//! [`journal`]. Two machines, which never import each other: [`sender`], [`receiver`].
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

extern crate alloc;
extern crate std;

// Ground floor.
mod digest;
pub mod event;
pub mod id;
pub mod limits;
pub mod secret;
pub mod seed;
mod table;
pub mod time;
pub mod wake;

// The rooms.
pub mod encoding;
pub mod journal;
pub mod matching;
pub mod registration;
pub mod response;
pub mod retry;
pub mod signing;

// The machines, and why they are so.
pub mod manual;
pub mod receiver;
pub mod sender;

// Breaks of the laws, for the proof that the tests find them; in no build but the one that makes it.
#[cfg(postrider_planted)]
pub mod planted;

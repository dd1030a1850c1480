//! Why the design is so: essays without code, kept beside the code that they explain.
//!
//! | page | question |
//! | --- | --- |
//! | [`contract`] | Why three verbs, why one poll, and what each law is for |
//! | [`durability`] | What waits for the disk, what a crash can repeat, and why a snapshot may be blurred |
//! | [`time`] | Why there are two clocks, what a deadline is, and why everything timed lies in a wheel |
//! | [`fanout`] | How one event reaches a million endpoints without a million entries |
//! | [`house`] | Why the rooms stand as they do |
//! | [`bounds`] | What each container holds at most, and what bounds it |
//! | [`field`] | What other systems have, and which test shows what is here |
//! | [`threat_model`] | Who may be hostile, and which module stands against it |
//!
//! What a thing does is said where it stands; these pages say why it does not do something else. Where one of them and
//! the code disagree, that is a bug of the page.

pub mod bounds;
pub mod contract;
pub mod durability;
pub mod fanout;
pub mod field;
pub mod house;
pub mod threat_model;
pub mod time;

//! Tests of your own with Postrider: a [`Sandbox`] in which time is virtual, proptest strategies ([`ops`]), and the laws
//! of the sending machine as functions ([`laws`]), for those who drive it by an adapter of their own, a suite that judges
//! such adapters ([`driver_suite()`]), a search for secrets in what is printed ([`Canaries`]), requests as the providers of all
//! schemes sign them ([`signed`]), and a simulated sender that shows whether a handler is idempotent ([`Rehearsal`]).
//!
//! ```
//! use std::time::Duration;
//!
//! use postrider_testkit::{Answer, Sandbox};
//! use serde_json::json;
//!
//! let mut sandbox = Sandbox::new();
//! sandbox.receiver("acme").events(["order.**"]).answers([500.into(), 500.into(), Answer::Timeout, 204.into()]);
//! let order = sandbox.publish("order.paid", json!({ "id": 1001 }));
//! sandbox.advance(Duration::from_secs(3 * 3600));
//! sandbox.assert_delivered("acme", &order).attempts(4).signed().json("/data/id", 1001);
//! ```

pub mod bytes;
mod canary;
pub mod damage;
pub mod driver_suite;
pub mod harness;
pub mod laws;
pub mod ledger;
mod log;
pub mod ops;
pub mod rehearsal;
mod sandbox;
pub mod schemes;
pub mod signed;

pub use canary::Canaries;
pub use driver_suite::driver_suite;
pub use log::MemoryLog;
pub use rehearsal::Rehearsal;
pub use sandbox::{Answer, Attempt, Delivered, ReceiverSetup, Sandbox};

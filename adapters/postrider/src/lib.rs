//! Webhooks that arrive: publish an event once, and every endpoint that asked for it gets a signed HTTP POST, again
//! until it answers.
//!
//! This is the crate that applications add. It gathers the parts: the protocol (`postrider-core`, here as [`core`]),
//! and a driver by feature: [`tokio`] (the default) or [`blocking`], with the same words.
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn example() -> Result<(), postrider::Error> {
//! use postrider::{Endpoint, Event, tokio::Sender};
//! use std::time::Duration;
//!
//! let sender = Sender::volatile()?;
//! let acme = sender.put(Endpoint::new("acme", "https://acme.example.com/hooks").events(["order.**"])).await?;
//! if let Some(secret) = acme.created() {
//!     println!("show this to the customer once: {}", secret.reveal());
//! }
//! let event = Event::json("order.paid", &serde_json::json!({ "id": 1001 }))?.id("order-1001-paid");
//! let receipt = sender.publish(event).await?;
//! println!("{receipt}");
//! println!("{}", sender.settled(receipt.event()).await?);
//! sender.close(Duration::from_secs(20)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Receiving starts at [`receiver`]. Whoever drives the machines in a runtime of his own needs [`core`] only; its first
//! page is the contract, and `examples/custom_runtime.rs` is a whole runtime in one file.

pub use postrider_core as core;
pub use postrider_core::event::{Event, EventError};
pub use postrider_core::id::{EndpointId, EndpointKey, EventId, TenantId};
pub use postrider_core::limits::Limits;
pub use postrider_core::registration::{Cidr, Endpoint, EndpointError, EndpointView, Policy, State};
pub use postrider_core::secret::{KeyId, Secret};
pub use postrider_core::sender::{DeliveryReport, EventReport, Explanation, Fate, Notice, Page, Stats, Tally};
pub use postrider_driver::tls::Roots;
pub use postrider_driver::{CommandError, Error, PublishError, PutError, Receipt, Registered, SettledError};
pub use postrider_journal as journal;

#[cfg(feature = "blocking")]
pub use postrider_blocking as blocking;
#[cfg(feature = "tokio")]
pub use postrider_tokio as tokio;

/// Receiving: verify who sent it, drop what was handled already, answer what the sender needs to hear.
///
/// [`standard::Verifier`](receiver::standard::Verifier) checks a signature and keeps no state. The receiving machine of
/// [`core::receiver`] adds limits and deduplication; the drivers put it on sockets.
pub mod receiver {
    pub use postrider_core::receiver::*;
    pub use postrider_core::signing::standard;
}

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "tokio", feature = "blocking"))]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

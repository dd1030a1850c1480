//! Webhooks that arrive: publish an event once, and every endpoint that asked for it gets a signed HTTP POST, again
//! until it answers.
//!
//! This is the crate that applications add. It gathers the parts: the protocol (`postrider-core`, here as [`core`]),
//! and a driver by feature: `tokio` (the default) or `blocking`, with the same words.
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn example() -> Result<(), postrider::Error> {
//! use postrider::{Endpoint, Event, tokio::Sender};
//! use std::time::Duration;
//!
//! let sender = Sender::open("./postrider").await?; // a directory: durable. Sender::volatile() is not, and says so
//! let acme = sender.put(Endpoint::new("acme", "https://acme.example.com/hooks").events(["order.**"])).await?;
//! if let Some(secret) = acme.created() {
//!     println!("show this to the customer once: {}", secret.reveal());
//! }
//! let event = Event::json("order.paid", &serde_json::json!({ "id": 1001 }))?.id("order-1001-paid");
//! let receipt = sender.publish(event).await?;
//! println!("{receipt}"); // accepted order-1001-paid, on disk at 4, 1 endpoint
//! println!("{}", sender.settled(receipt.event()).await?); // acme: delivered, 204 in 83 ms, attempt 1
//! sender.close(Duration::from_secs(20)).await?; // what is left pending is in the directory
//! # Ok(())
//! # }
//! ```
//!
//! # On disk
//! A receipt of a sender that writes to a directory means that the event is on disk: it is delivered although the process
//! is killed or the power fails, by whoever opens the directory next. Opening goes on where the last sender was; an event
//! that is published again under its id is a repeat, and changes nothing. One sender at a time has a directory; the
//! next one waits for it, as a new release waits for the old one.
//!
//! The directory also keeps what became of events, for a while ([`history`]), and seals the secrets of endpoints under
//! a key that the application gives ([`Vault`]). This runs:
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), postrider::Error> {
//! use postrider::{Endpoint, Event, Policy, Vault, history, tokio::Sender};
//! use std::time::Duration;
//!
//! # let dir = tempfile::tempdir()?;
//! # let (key, log) = (dir.path().join("vault.key"), dir.path().join("log"));
//! # std::fs::write(&key, "6d3c5b9a0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4\n")?;
//! # let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
//! let sender = Sender::builder()
//!     .policy(Policy::development())
//!     .vault(Vault::from_file(&key)?)
//!     .on_opening(|opening| eprintln!("postrider: {opening}"));
//! let first = sender.clone().open(&log).await?;
//! first.put(Endpoint::new("acme", format!("http://{nobody}/")).schedule([Duration::ZERO])).await?;
//! let receipt = first.publish(Event::json("order.paid", &1001)?.id("order-1001-paid")).await?;
//! assert!(receipt.to_string().starts_with("accepted order-1001-paid, on disk at "));
//! println!("{}", first.settled(receipt.event()).await?); // acme: exhausted, the connection was refused
//! first.close(Duration::from_secs(20)).await?;
//!
//! let second = sender.open(&log).await?;
//! let repeat = second.publish(Event::json("order.paid", &1001)?.id("order-1001-paid")).await?;
//! assert!(!repeat.is_fresh() && repeat.seq() == receipt.seq());
//! let dead = second.history(history::exhausted(&Default::default()).page(None, 50)).await?;
//! assert_eq!(dead.items[0].event.as_ref(), Some(receipt.event()));
//! second.close(Duration::from_secs(20)).await?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! # Further
//! Receiving starts at [`receiver`]. Whoever drives the machines in a runtime of his own needs [`core`] only; its first
//! page is the contract, and `examples/custom_runtime.rs` is a whole runtime in one file.

pub use postrider_core as core;
pub use postrider_core::event::{Event, EventError};
pub use postrider_core::id::{EndpointId, EndpointKey, EventId, TenantId};
pub use postrider_core::limits::Limits;
pub use postrider_core::registration::{Cidr, Circuit, Endpoint, EndpointError, EndpointView, Pacing, Policy, State};
pub use postrider_core::retry::{BreakerPolicy, DisableRule, Exponential, Factor, Rate, Schedule};
pub use postrider_core::secret::{KeyId, Secret};
pub use postrider_core::sender::{
    Because, DeliveryExplanation, DeliveryReport, EventReport, Explanation, Fate, Notice, Page, Stats, Tally,
};
pub use postrider_driver::tls::Roots;
pub use postrider_driver::{
    CommandError, Error, FlightRecorder, Opening, PublishError, PutError, Receipt, Registered, SettledError,
};
pub use postrider_journal as journal;
pub use postrider_journal::seal::Vault;

#[cfg(feature = "blocking")]
pub use postrider_blocking as blocking;
#[cfg(feature = "tokio")]
pub use postrider_tokio as tokio;

/// What has ended, for as long as a directory keeps it: questions for a sender's `history`, and their answers.
///
/// [`exhausted`](history::exhausted) asks for the dead letters of a tenant, [`deliveries`](history::deliveries) for what an
/// endpoint got and did not get, [`event`](history::event) for one event with every attempt, and
/// [`counts`](history::counts) for sums. [`Retention`](history::Retention) says how long there is an answer.
pub mod history {
    pub use postrider_driver::DeliveryStory;
    pub use postrider_driver::questions::{
        CountAll, Deliveries, EndedPage, Exhausted, OneEvent, Question, counts, deliveries, event, exhausted,
    };
    pub use postrider_journal::history::{
        AttemptHistory, Counts, End, EndedDelivery, EventHistory, HistoryError, Place, Retention,
    };
}

/// Sending again what has ended: one event, or everything that a directory keeps for an endpoint. See a sender's `replay`,
/// `replay_all`, `replay_dry_run` and `cancel_replay`.
pub mod replays {
    pub use postrider_core::sender::{REPLAYED, ReplayRefused};
    pub use postrider_driver::replays::*;
}

/// Receiving: verify who sent it, drop what was handled already, answer what the sender needs to hear.
///
/// [`standard::Verifier`](receiver::standard::Verifier) checks a signature and keeps no state. The receiving machine of
/// [`core::receiver`] adds limits and deduplication; the drivers put it on sockets.
pub mod receiver {
    pub use postrider_core::receiver::*;
    pub use postrider_core::signing::standard;
    pub use postrider_journal::claims::{ClaimOptions, ClaimStore, FileClaims, MemoryClaims};
}

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "tokio", feature = "blocking"))]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

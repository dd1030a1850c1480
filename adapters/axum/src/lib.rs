//! Receiving webhooks under axum: a handler gets what is verified, once, and how it ends decides what the sender is told.
//!
//! ```no_run
//! use axum::Router;
//! use axum::extract::State;
//! use postrider_axum::{Handled, Receiver, Refuse, Rejection, Webhook};
//! use postrider_core::signing::Verifier;
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     id: u64,
//!     total: u64,
//! }
//!
//! # #[derive(Clone)]
//! # struct Db;
//! # impl Db { async fn pay(&self, _: &str, _: u64) -> std::io::Result<()> { Ok(()) } }
//! async fn paid(hook: Webhook<Order>, State(db): State<Db>) -> Result<Handled, Rejection> {
//!     if hook.data().total == 0 {
//!         return Err(Refuse::because("an order of nothing").into()); // 400, and never again
//!     }
//!     db.pay(&hook.dedup_key(), hook.data().id).await?; // an error: 503 with Retry-After, and the event comes again
//!     Ok(Handled::Processed) // 204
//! }
//!
//! # async fn run(db: Db, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
//! let hooks = Receiver::builder()
//!     .source("stripe", Verifier::stripe([std::env::var("STRIPE_WEBHOOK_SECRET")?])?)
//!     .source("slack", Verifier::slack([std::env::var("SLACK_SIGNING_SECRET")?])?) // answers url_verification by itself
//!     .on_notice(|notice| eprintln!("{notice}"))
//!     .build()?;
//! let app = Router::new()
//!     .route("/hooks/stripe", hooks.post("stripe", paid))
//!     .route("/hooks/slack", hooks.post("slack", async |hook: Webhook<serde_json::Value>| println!("{}", hook.data())))
//!     .with_state(db);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).with_graceful_shutdown(stop).await?;
//! hooks.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What happens to a request
//! Each source has a [receiving machine](postrider_core::receiver) of its own. It checks the head, reads the body as far as
//! it may be long, verifies it, and looks whether the event has been seen. Only an event that is new begins a delivery:
//! the handler of that request then runs, with everything that came with it, in a task of its own. It goes on when the
//! sender hangs up, since what has begun to have an effect must be known to have ended. A repeat that comes meanwhile
//! waits for its answer, and one that comes afterwards is answered from memory; neither runs a handler.
//!
//! [`Receiver::post`] says what each way to end means. An event is never lost to an error: it is done only when the
//! handler says so, and refused only in so many words.
//!
//! **What is remembered is in memory**, for as long as the process, unless a source has a store of claims
//! ([`Source::claims`]). Either way an application whose effect must happen once deduplicates by [`dedup_key`](postrider_core::receiver::Delivery::dedup_key) in the transaction of that effect.
//!
//! **The server's part.** `axum::serve` bounds neither the number of connections nor the time of a head;
//! [`postrider_tokio::receiver::Server`] serves a router and does. The time and the least rate of bodies are bounded here.

mod ending;
mod notice;
mod receiver;
mod source;
mod webhook;

pub use ending::{Handled, Later, Refuse, Rejection};
pub use notice::{Notice, What};
pub use postrider_core::receiver::{Delivery, PublicUrl, ReceiverConfig, ReceiverLimits};
pub use postrider_tokio::receiver::Challenges;
pub use receiver::{BuildError, Builder, Receiver};
pub use source::Source;
pub use webhook::{RawWebhook, Webhook, WebhookRejection};

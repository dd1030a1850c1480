//! Postrider on tokio: the sender over hyper and rustls.
//!
//! ```no_run
//! use std::time::Duration;
//! use postrider_core::{event::Event, registration::Endpoint};
//! use postrider_driver::Error;
//! use postrider_tokio::Sender;
//!
//! # async fn run() -> Result<(), Error> {
//! let sender = Sender::open("./postrider").await?;
//! let acme = sender.put(Endpoint::new("acme", "https://acme.example.com/hooks").events(["order.*"])).await?;
//! if let Some(secret) = acme.created() {
//!     println!("give this to acme: {}", secret.reveal());
//! }
//! let event = Event::json("order.paid", &serde_json::json!({ "id": 1001 }))?.id("order-1001-paid");
//! let receipt = sender.publish(event).await?;
//! println!("{receipt}");
//! println!("{}", sender.settled(receipt.event()).await?);
//! sender.close(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Sender::open`] writes to a directory and goes on with what is in it; [`Sender::volatile`] keeps everything in memory.
//!
//! # How it runs
//! One task owns the machine, its log and everybody who waits, as a `postrider_driver::Desk`. Its loop, whole:
//!
//! ```text
//! loop {
//!     let wake = desk.turn(carrier);                // 1. facts go in, effects are carried out
//!     if wake == Wake::Closed {
//!         return;
//!     }
//!     tokio::select! {
//!         taken = commands.recv_many(&mut batch, BATCH), if open => {
//!             batch.drain(..).for_each(|command| command(desk)); // 2. somebody asked for something
//!             if taken == 0 {
//!                 open = false;                     // the last handle is gone
//!                 desk.close(Close::Now);
//!             }
//!         }
//!         () = woken.notified() => {}               // 3. an attempt ended, or the log answered
//!         () = carrier.rest(wake) => {}             // 4. it is time
//!     }
//! }
//! ```
//!
//! Each attempt is a task of its own; the machine's credit bounds how many there are. Its one deadline covers the
//! look-up, connecting, TLS, the request and the response. Every address is cleared by the endpoint's policy as it is
//! dialled, and again before an idle connection to it is used. Bodies are encoded and signed on the attempt's task.
//!
//! Connections carry one request at a time, HTTP/2 (by ALPN) included, and are kept for 60 s, at most two for each
//! endpoint. Redirects are not followed, nothing is decompressed, and a reply is final once its head is there.

mod builder;
mod carrier;
mod connection;
mod drive;
#[cfg(test)]
mod fixture;
pub mod inbox;
mod machine;
mod notices;
pub mod receiver;
mod sender;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_directory;
mod transport;
mod wire;

pub use builder::Builder;
pub use machine::{MachineCommand, run_machine};
pub use notices::Notices;
pub use postrider_driver::Missed;
pub use sender::Sender;

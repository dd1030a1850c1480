//! What every Postrider driver needs: clock, ids, look-ups, TLS, idle connections, waiting callers.
//!
//! The machine of `postrider-core` decides and touches nothing; a runtime (tokio, threads, an event loop) has sockets and
//! waits. Between them stands the [`Desk`]: it owns the machine, its clock and its log, and everybody who waits for an
//! answer. A runtime is then a loop of three lines around [`Desk::turn`], and a carrier of attempts ([`Carry`]):
//!
//! 1. `let wake = desk.turn(&mut carrier)`, with the desk locked if it is shared;
//! 2. sleep for `clock.until(wake)`, or until [`Facts`] wake it, or until somebody gave the desk a command;
//! 3. put what happened on sockets into [`Facts`], and begin again.
//!
//! Nothing here starts a runtime, and nothing but [`Resolver`] starts a thread.

mod claiming;
mod clock;
mod desk;
mod directory;
mod error;
mod facts;
mod flight;
mod framing;
mod handled;
mod idle;
pub mod mint;
mod opening;
mod places;
pub mod questions;
pub mod replays;
mod reported;
mod resolver;
mod story;
pub mod tls;
mod transport;

pub use claiming::Claiming;
pub use clock::Clock;
pub use desk::{
    Carry, Command, Desk, Heard, Missed, NOTICES, Notices, Receipt, Registered, Reply, Restoring, SyncReport, Waiting,
};
pub use directory::{Directory, DirectoryError};
pub use error::{CommandError, Error, PublishError, PutError, SettledError, SyncError};
pub use facts::{Facts, Waker};
pub use flight::{FLIGHT_BYTES, Flight, FlightRecorder, read_trace};
pub use framing::{ChunkWatch, Framing};
pub use handled::Handled;
pub use idle::{IDLE_IN_ALL, IDLE_PER_ENDPOINT, IDLE_TIME, Idle, PoolKey};
pub use opening::Opening;
pub use places::{Place, Placed, Places};
pub use resolver::{Looked, Resolver};
pub use story::DeliveryStory;
pub use transport::transport_error;

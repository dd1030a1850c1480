//! Receiving: a server on plain threads that verifies, drops copies, and answers once the application is done.
//!
//! ```no_run
//! use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
//! use postrider_core::secret::Secret;
//! use postrider_core::signing::standard::Verifier;
//! use postrider_blocking::receiver::Receiver;
//!
//! # fn store(body: &[u8]) -> std::io::Result<()> { Ok(()) }
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let config = ReceiverConfig::new(Verifier::new([&secret])?);
//! let hooks = Receiver::bind("127.0.0.1:8080", config, |delivery: Delivery| match store(delivery.body()) {
//!     Ok(()) => Processed::Done,
//!     Err(_) => Processed::Later { after: None },
//! })?;
//! println!("listening on {}", hooks.url());
//! # hooks.close(std::time::Duration::from_secs(10));
//! # Ok(())
//! # }
//! ```
//!
//! # How it runs
//! One thread owns the machine of [`postrider_core::receiver`], which decides everything; signatures are checked there too.
//! Each connection has a thread that reads requests and writes answers, each delivery one that runs the application:
//!
//! ```text
//!   door ──> connection ──head, body──> loop ──delivery──> hand
//!            connection <────answer──── loop <──done, or not──┘
//! ```
//!
//! A delivery goes on when its sender hangs up, and one that panics is [`Later`]. One that outlives [`processing`] goes on
//! as well, and keeps its place: never do more than [`Builder::concurrency`] run at once.
//!
//! # What a stranger can cost
//! At most [`Builder::connections`] are open; whoever comes then waits until one is over, and the one that has rested
//! longest between requests is closed for it. A head has 32 KiB and [`Builder::head_time`] as a whole, a body what the
//! machine allows and [`Builder::body_time`] as a whole. What could be read in two ways is answered 400, and after every
//! error the connection is closed. There is no TLS: put it behind a proxy that does it.
//!
//! [`Later`]: postrider_core::receiver::Processed::Later
//! [`processing`]: postrider_core::receiver::ReceiverLimits::processing

mod connection;
mod door;
mod drive;
mod hands;
mod http;
mod seen;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use postrider_core::receiver::{Delivery, ReceiverConfig};
use postrider_journal::claims::ClaimStore;

pub use postrider_driver::Handled;
pub use seen::{Fault, Seen};

use connection::Connection;
use door::{Door, Driven};
use drive::{Drive, Fact};

/// After a connection could not be accepted, this long before the next: descriptors may be short.
const PAUSE: Duration = Duration::from_millis(20);

/// How long waking the thread that accepts may take.
const WAKE_TIME: Duration = Duration::from_secs(1);

/// Receives webhooks on an address of its own. Dropping it closes it without waiting.
pub struct Receiver {
    address: SocketAddr,
    house: Arc<House>,
}

/// What a [`Receiver`] is made with; see [`Receiver::builder`].
#[must_use = "a builder makes a receiver only when it is told to"]
pub struct Builder {
    config: ReceiverConfig,
    concurrency: u32,
    connections: usize,
    times: Times,
    claims: Option<Box<dyn ClaimStore>>,
    watch: Watch,
}

/// What the threads of a receiver share.
struct House {
    facts: mpsc::Sender<Fact>,
    exchanges: AtomicU64,
    times: Times,
    door: Arc<Door>,
    watch: Arc<Watch>,
}

/// What a connection has time for, each as a whole.
#[derive(Clone, Copy, Debug)]
struct Times {
    head: Duration,
    body: Duration,
    idle: Duration,
}

/// Whoever watches.
struct Watch(Box<dyn Fn(Seen) + Send + Sync>);

impl Receiver {
    /// Listens on `address` (port 0: any free one) and hands what it has verified to `handler`. Like
    /// [`builder`](Self::builder) with its defaults.
    pub fn bind<H, R>(address: impl ToSocketAddrs, config: ReceiverConfig, handler: H) -> io::Result<Self>
    where
        H: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Handled,
    {
        Self::builder(config).bind(address, handler)
    }

    /// A receiver with more to say about it.
    pub fn builder(config: ReceiverConfig) -> Builder {
        let seconds = Duration::from_secs;
        let times = Times { head: seconds(10), body: seconds(30), idle: seconds(60) };
        Builder { config, concurrency: 64, connections: 64, times, claims: None, watch: Watch(Box::new(drop)) }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A URL that reaches it from this machine. It answers on every path.
    pub fn url(&self) -> String {
        format!("http://{}/", self.reachable())
    }

    /// Closes: nobody is let in any more, requests in progress are answered, new ones on open connections with 503.
    /// Returns when the last is answered, or after `time` with every connection cut; says whether nothing had to be.
    /// Deliveries that still run then go on, unheard. Closing again waits for the same end.
    pub fn close(&self, time: Duration) -> bool {
        self.begin_close();
        self.house.door.empty(time)
    }

    fn begin_close(&self) {
        if !self.house.door.close() {
            return;
        }
        // It fails when the loop has ended.
        let _ = self.house.facts.send(Fact::Close);
        // The thread that accepts finds out when it has accepted. This fails when it has ended.
        let _ = TcpStream::connect_timeout(&self.reachable(), WAKE_TIME);
    }

    /// An address that reaches it where it listens on all.
    fn reachable(&self) -> SocketAddr {
        let mut reachable = self.address;
        match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => reachable.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => reachable.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        reachable
    }
}

impl Builder {
    /// Sets how many deliveries may run at once: at least 1, 64 without it. What comes beyond is answered 503.
    pub fn concurrency(mut self, deliveries: u32) -> Self {
        self.concurrency = deliveries.max(1);
        self
    }

    /// Sets how many connections may be open at once: at least 1, 64 without it. Each is a thread.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets how long the head of a request may take from its first byte, and how long a new connection may take to begin
    /// one: 10 s without it. Then the answer is 408, or nothing where nothing has come.
    pub fn head_time(mut self, time: Duration) -> Self {
        self.times.head = time;
        self
    }

    /// Sets how long the body of a request may take from the moment when it is asked for, 30 s without it; then the
    /// answer is 408.
    pub fn body_time(mut self, time: Duration) -> Self {
        self.times.body = time;
        self
    }

    /// Sets how long a connection may rest between two requests, 60 s without it.
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.times.idle = time;
        self
    }

    /// Sets the store that events are claimed in before they are delivered, so that an event is delivered once by all
    /// receivers with the same store, and by this one before and after a restart:
    /// [`MemoryClaims`](postrider_journal::claims::MemoryClaims) within one process,
    /// [`FileClaims`](postrider_journal::claims::FileClaims) in a directory. How much it remembers is the store's own affair,
    /// besides what the receiver itself remembers. A claim lasts for as long as
    /// [`ReceiverConfig::claims`] says, and without it for twice
    /// [`processing`](postrider_core::receiver::ReceiverLimits::processing) and a minute: set it where events are held for
    /// their order for longer. While the store cannot be asked new events are answered 503.
    pub fn claims(mut self, store: impl ClaimStore) -> Self {
        self.claims = Some(Box::new(store));
        self
    }

    /// Sets who is told of every answer, with its exact reason, after it was written; and of what else is worth telling.
    /// It is called on the receiver's own threads, at times on several at once, which wait for it. A panic in it is
    /// passed over.
    pub fn watch(mut self, watch: impl Fn(Seen) + Send + Sync + 'static) -> Self {
        self.watch = Watch(Box::new(watch));
        self
    }

    /// Listens, as [`Receiver::bind`] does. Fails when the address cannot be had or a thread cannot be made.
    pub fn bind<H, R>(self, address: impl ToSocketAddrs, handler: H) -> io::Result<Receiver>
    where
        H: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Handled,
    {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (facts, heard) = mpsc::channel();
        let (door, watch) = (Arc::new(Door::new(self.connections)), Arc::new(self.watch));
        let handler = Box::new(move |delivery| handler(delivery).processed());
        let claims = (self.claims, facts.clone());
        let drive = Drive::new(self.config, handler, self.concurrency, Arc::clone(&watch), claims);
        let driven = Driven(Arc::clone(&door));
        spawn("postrider-receive", move || {
            let _driven = driven;
            drive.run(&heard);
        })?;
        let house = House { facts, exchanges: AtomicU64::new(1), times: self.times, door, watch };
        let receiver = Receiver { address, house: Arc::new(house) };
        let house = Arc::clone(&receiver.house);
        spawn("postrider-accept", move || accept(&listener, &house))?;
        Ok(receiver)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl Watch {
    /// Whoever watches is no reason to stop receiving.
    fn tell(&self, seen: Seen) {
        let _ = catch_unwind(AssertUnwindSafe(|| (self.0)(seen)));
    }
}

/// Lets connections in until the receiver closes.
fn accept(listener: &TcpListener, house: &Arc<House>) {
    loop {
        let Ok((stream, peer)) = listener.accept() else {
            if house.door.is_closing() {
                return;
            }
            thread::sleep(PAUSE);
            continue;
        };
        let Some(visit) = house.door.admit(stream) else { return };
        let house = Arc::clone(house);
        // Without a thread the connection is closed.
        let _ = spawn("postrider-connection", move || Connection::new(&house, &visit, peer).run());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop)
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("concurrency", &self.concurrency)
            .field("connections", &self.connections)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Receiver>();
};

//! The network between: a front for each receiver that passes requests on, some of them late, some of them twice.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::lock;
use crate::http::client::Client;
use crate::http::server::{Handler, serve};
use crate::http::{Request, Response};

/// One request in so many is sent twice.
pub(crate) const TWICE: u64 = 8;
/// One request in so many is held back, so that later ones overtake it.
pub(crate) const LATE: u64 = 6;
/// For how long, at most, in milliseconds.
pub(crate) const HELD_MS: u64 = 80;

/// What the network did to requests, over all fronts.
#[derive(Debug, Default)]
pub(crate) struct Mischief {
    /// Requests sent twice.
    pub(crate) twice: AtomicU64,
    /// Requests held back.
    pub(crate) late: AtomicU64,
    /// Second copies that are still under way.
    copies: AtomicU64,
}

impl Mischief {
    /// Whether no copy is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.copies.load(Ordering::SeqCst) == 0
    }
}

/// Opens a front for the receiver at `upstream`; returns its address.
pub(crate) fn front(upstream: SocketAddr, seed: u64, mischief: &Arc<Mischief>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let clients = Arc::new(Clients { upstream, idle: Mutex::new(Vec::new()) });
    let copies = copier(clients.clone(), mischief.clone());
    let front = Front { clients, copies: Mutex::new(copies), chance: Chance::new(seed), mischief: mischief.clone() };
    thread::Builder::new().name("front".into()).spawn(move || serve(listener, Arc::new(front)))?;
    Ok(addr)
}

struct Front {
    clients: Arc<Clients>,
    copies: Mutex<Sender<Copy>>,
    chance: Chance,
    mischief: Arc<Mischief>,
}

struct Copy {
    due: Instant,
    request: Request,
}

impl Handler for Front {
    fn answer(&self, request: Request, _peer: SocketAddr) -> Response {
        if self.chance.below(TWICE) == 0 {
            let due = Instant::now() + Duration::from_millis(self.chance.below(HELD_MS));
            self.mischief.copies.fetch_add(1, Ordering::SeqCst);
            self.mischief.twice.fetch_add(1, Ordering::Relaxed);
            if lock(&self.copies).send(Copy { due, request: request.clone() }).is_err() {
                self.mischief.copies.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if self.chance.below(LATE) == 0 {
            self.mischief.late.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1 + self.chance.below(HELD_MS)));
        }
        self.clients.pass_on(&request)
    }
}

/// Sends second copies when they are due, and throws their answers away, as a network does that delivers twice.
fn copier(clients: Arc<Clients>, mischief: Arc<Mischief>) -> Sender<Copy> {
    let (sender, receiver) = mpsc::channel::<Copy>();
    // The thread ends with the front, which holds the sender; where none can be started, nothing is sent twice.
    _ = thread::Builder::new().name("copies".into()).spawn(move || {
        for copy in receiver {
            thread::sleep(copy.due.saturating_duration_since(Instant::now()));
            clients.pass_on(&copy.request);
            mischief.copies.fetch_sub(1, Ordering::SeqCst);
        }
    });
    sender
}

/// Connections to one receiver that nobody uses at the moment.
struct Clients {
    upstream: SocketAddr,
    idle: Mutex<Vec<Client>>,
}

impl Clients {
    fn pass_on(&self, request: &Request) -> Response {
        let idle = lock(&self.idle).pop();
        let mut client = idle.unwrap_or_else(|| Client::new(self.upstream));
        match client.send(&request.method, &request.target, &request.headers, &request.body) {
            Ok(mut response) => {
                lock(&self.idle).push(client);
                response.headers.retain(|(name, _)| {
                    !["content-length", "connection", "transfer-encoding"]
                        .iter()
                        .any(|own| name.eq_ignore_ascii_case(own))
                });
                response
            }
            Err(_) => Response::new(502),
        }
    }
}

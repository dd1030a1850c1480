//! One attempt from the look-up to the reply.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use postrider_core::response::{Outcome, TransportError};
use postrider_core::sender::{Cleared, Transmit};
use postrider_driver::{Idle, Place, Places, PoolKey, Resolver};
use rustls::ClientConfig;

use crate::connection::Connection;
use crate::exchange::{Exchanged, exchange};
use crate::leash::Leash;

/// How often an attempt that waits for a place looks whether it has got one.
const LOOK: Duration = Duration::from_millis(10);

/// What all attempts share.
#[derive(Debug)]
pub(crate) struct Carriage {
    resolver: Resolver,
    places: Places,
    tls: Arc<ClientConfig>,
    idle: Mutex<Idle<Connection>>,
}

impl Carriage {
    /// A carriage that trusts what `tls` trusts. It speaks HTTP/1.1 only, and says so.
    pub(crate) fn new(resolver: Resolver, places: Places, mut tls: Arc<ClientConfig>) -> Self {
        Arc::make_mut(&mut tls).alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { resolver, places, tls, idle: Mutex::new(Idle::default()) }
    }

    /// Carries an attempt: blocks until its outcome is known, at the latest at `deadline` or soon after the leash was
    /// pulled.
    pub(crate) fn carry(&self, transmit: &Transmit, deadline: Instant, leash: &Arc<Leash>) -> Outcome {
        let outcome = self.attempt(transmit, deadline, leash);
        // A socket that was shut down looks like a peer that hung up, and a reply comes too late to matter.
        if leash.is_stopped() { Err(TransportError::Aborted) } else { outcome }
    }

    /// Closes the connections that have been idle for too long, and says when the next one will have been.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.idle().expire(now)
    }

    fn attempt(&self, transmit: &Transmit, deadline: Instant, leash: &Arc<Leash>) -> Outcome {
        let waiting = Arc::clone(leash);
        let done = Box::new(move |found| waiting.answer(found));
        self.resolver.resolve(transmit.host(), transmit.port(), deadline, done);
        let found = leash.await_answer(deadline)?;
        let vetted = transmit.vet(&found).map_err(|denied| denied.error())?;
        let addrs = vetted.as_slice();
        for addr in addrs {
            let Some(_place) = self.places.take(addr.ip()) else { continue };
            if let Some(outcome) = self.reuse(transmit, *addr, deadline, leash) {
                return outcome;
            }
        }
        let mut last = TransportError::ConnectFailed;
        for (tried, addr) in addrs.iter().enumerate() {
            // An address that does not answer, or has no place, leaves time for the others.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / u32::try_from(addrs.len() - tried).unwrap_or(1);
            let Some(_place) = self.place(*addr, now + share, leash)? else {
                last = TransportError::LocalResources;
                continue;
            };
            let cleared = transmit.clear(*addr).map_err(|denied| denied.error())?;
            match Connection::dial(*addr, now + share, leash) {
                Ok(connection) => return self.fresh(connection, &cleared, *addr, deadline, leash),
                Err(
                    error @ (TransportError::ConnectRefused
                    | TransportError::Unreachable
                    | TransportError::ConnectFailed
                    | TransportError::TimedOut(_)),
                ) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Waits for a place at an address; `None` when there is none in time.
    fn place(&self, addr: SocketAddr, until: Instant, leash: &Leash) -> Result<Option<Place>, TransportError> {
        let (give, given) = mpsc::sync_channel(1);
        self.places.ask(addr.ip(), Box::new(move |place| give.send(place).err().map(|unsent| unsent.0)));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match given.try_recv() {
                Ok(place) => return Ok(Some(place)),
                Err(_) if left.is_zero() => return Ok(None),
                Err(_) => leash.pause(left.min(LOOK))?,
            }
        }
    }

    /// Uses an idle connection, if there is one that still stands. `None` when there is not, or when it fell before
    /// the peer could accept a byte.
    fn reuse(&self, transmit: &Transmit, addr: SocketAddr, deadline: Instant, leash: &Leash) -> Option<Outcome> {
        let key = PoolKey::of(transmit, addr);
        loop {
            let mut connection = self.idle().take(&key, Instant::now())?;
            let cleared = match transmit.clear(addr) {
                Ok(cleared) => cleared,
                Err(denied) => return Some(Err(denied.error())),
            };
            if !connection.is_idle() {
                continue;
            }
            if let Err(aborted) = leash.hold(connection.socket()) {
                return Some(Err(aborted));
            }
            match exchange(&mut connection, &cleared, deadline) {
                Exchanged::Replied(reply, again) => {
                    self.keep(connection, transmit, addr, again, leash);
                    return Some(Ok(reply));
                }
                Exchanged::Failed(error) => return Some(Err(error)),
                Exchanged::Untouched(error @ TransportError::TimedOut(_)) => return Some(Err(error)),
                // It was closed between the look at it and the first byte: as if it had not been there.
                Exchanged::Untouched(_) => {}
            }
        }
    }

    fn fresh(
        &self,
        mut connection: Connection,
        cleared: &Cleared,
        addr: SocketAddr,
        deadline: Instant,
        leash: &Leash,
    ) -> Outcome {
        let transmit = cleared.transmit();
        leash.hold(connection.socket())?;
        if transmit.target().is_https() {
            connection = connection.secure(Arc::clone(&self.tls), transmit.host(), deadline)?;
        }
        match exchange(&mut connection, cleared, deadline) {
            Exchanged::Replied(reply, again) => {
                self.keep(connection, transmit, addr, again, leash);
                Ok(reply)
            }
            Exchanged::Failed(error) | Exchanged::Untouched(error) => Err(error),
        }
    }

    fn keep(&self, connection: Connection, transmit: &Transmit, addr: SocketAddr, again: bool, leash: &Leash) {
        if leash.release() && again {
            self.idle().put(PoolKey::of(transmit, addr), connection, Instant::now());
        }
    }

    /// Nothing under this lock can panic, so a poisoned one is as good as any.
    fn idle(&self) -> MutexGuard<'_, Idle<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

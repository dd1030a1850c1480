//! What the drive thread holds of an attempt under way: enough to stop it wherever it is.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postrider_core::response::{Phase, TransportError};

/// The addresses that a look-up found.
type Found = Result<Vec<IpAddr>, TransportError>;

/// One attempt, as seen by two threads: the one that carries it, and the one that may stop it.
#[derive(Debug, Default)]
pub(crate) struct Leash {
    hold: Mutex<Hold>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Hold {
    stopped: bool,
    /// What the carrying thread reads from and writes to at the moment.
    socket: Option<Arc<TcpStream>>,
    found: Option<Found>,
}

impl Leash {
    /// Stops the attempt: its thread returns from whatever it waits for. Stopping it again, or too late, does nothing.
    pub(crate) fn stop(&self) {
        let mut hold = self.lock();
        hold.stopped = true;
        if let Some(socket) = hold.socket.take() {
            // It fails only for a socket that is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Fails when the attempt was stopped.
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        if self.is_stopped() { Err(TransportError::Aborted) } else { Ok(()) }
    }

    /// From now on stopping shuts this socket down.
    pub(crate) fn hold(&self, socket: &Arc<TcpStream>) -> Result<(), TransportError> {
        let mut hold = self.lock();
        if hold.stopped {
            return Err(TransportError::Aborted);
        }
        hold.socket = Some(Arc::clone(socket));
        Ok(())
    }

    /// Stopping no longer shuts a socket down. Says whether the socket is unharmed.
    pub(crate) fn release(&self) -> bool {
        let mut hold = self.lock();
        hold.socket = None;
        !hold.stopped
    }

    /// Waits this long, or until the attempt is stopped.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), TransportError> {
        let hold = self.lock();
        let waited = self.changed.wait_timeout_while(hold, time, |hold| !hold.stopped);
        let (hold, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if hold.stopped { Err(TransportError::Aborted) } else { Ok(()) }
    }

    /// The answer to the attempt's look-up has come.
    pub(crate) fn answer(&self, found: Found) {
        self.lock().found = Some(found);
        self.changed.notify_all();
    }

    /// Waits for the answer, at most until the deadline. The look-up itself cannot be stopped; it is abandoned.
    pub(crate) fn await_answer(&self, deadline: Instant) -> Found {
        let time = deadline.saturating_duration_since(Instant::now());
        let pending = |hold: &mut Hold| !hold.stopped && hold.found.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), time, pending);
        let (mut hold, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if hold.stopped {
            return Err(TransportError::Aborted);
        }
        hold.found.take().unwrap_or(Err(TransportError::TimedOut(Phase::Resolve)))
    }

    /// Nothing under this lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

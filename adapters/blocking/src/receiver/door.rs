//! Who is connected: a bounded number, of which those that rest give way to those that come.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The connections of a receiver.
pub(super) struct Door {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    open: HashMap<u64, Guest>,
    made: u64,
    closing: bool,
    /// Whether the loop runs.
    driven: bool,
}

struct Guest {
    stream: Arc<TcpStream>,
    doing: Doing,
}

enum Doing {
    /// It is within a request.
    Working,
    /// Nothing has come of the next request, since then.
    Resting(Instant),
    /// It rested, and is about to find its stream at its end.
    Leaving,
}

/// One connection; no longer counted when it is dropped.
pub(super) struct Visit {
    door: Arc<Door>,
    number: u64,
    stream: Arc<TcpStream>,
}

/// Says that the loop has ended when it is dropped: after a panic too.
pub(super) struct Driven(pub(super) Arc<Door>);

impl Door {
    pub(super) fn new(most: usize) -> Self {
        let state = State { open: HashMap::new(), made: 0, closing: false, driven: true };
        Self { most, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Lets a connection in as soon as there is room: the one that has rested longest goes for it. `None` when the
    /// receiver closes.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream) -> Option<Visit> {
        let stream = Arc::new(stream);
        let mut state = self.lock();
        while state.open.len() >= self.most && !state.closing {
            state.make_room();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closing {
            return None;
        }
        state.made += 1;
        let number = state.made;
        state.open.insert(number, Guest { stream: Arc::clone(&stream), doing: Doing::Working });
        Some(Visit { door: Arc::clone(self), number, stream })
    }

    /// Lets nobody in any more, and whoever rests out. Says whether it was open.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        if std::mem::replace(&mut state.closing, true) {
            return false;
        }
        state.open.values_mut().filter(|guest| matches!(guest.doing, Doing::Resting(_))).for_each(Guest::dismiss);
        self.changed.notify_all();
        true
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Waits until everybody is gone and the loop has ended, at most this long. Then what is left is cut; says whether
    /// nothing was.
    pub(super) fn empty(&self, time: Duration) -> bool {
        let there = |state: &mut State| !state.open.is_empty() || state.driven;
        let waited = self.changed.wait_timeout_while(self.lock(), time, there);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for guest in state.open.values() {
            // It fails only for a socket that is closed already.
            let _ = guest.stream.shutdown(Shutdown::Both);
        }
        !there(&mut state)
    }

    /// Nothing under this lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Has the one that has rested longest leave, unless one does already.
    fn make_room(&mut self) {
        if self.open.values().any(|guest| matches!(guest.doing, Doing::Leaving)) {
            return;
        }
        let resting = self.open.values_mut().filter_map(|guest| match guest.doing {
            Doing::Resting(since) => Some((since, guest)),
            Doing::Working | Doing::Leaving => None,
        });
        if let Some((_, guest)) = resting.min_by_key(|(since, _)| *since) {
            guest.dismiss();
        }
    }
}

impl Guest {
    /// It still gets what has arrived, then the end of its stream.
    fn dismiss(&mut self) {
        self.doing = Doing::Leaving;
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

impl Visit {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// From now on nothing has come of the next request. Says whether it may wait for it.
    pub(super) fn rest(&self) -> bool {
        let mut state = self.door.lock();
        let closing = state.closing;
        if let Some(guest) = state.open.get_mut(&self.number) {
            guest.doing = Doing::Resting(Instant::now());
        }
        self.door.changed.notify_all();
        !closing
    }

    pub(super) fn is_closing(&self) -> bool {
        self.door.is_closing()
    }

    /// Something has come of it.
    pub(super) fn work(&self) {
        if let Some(guest) = self.door.lock().open.get_mut(&self.number) {
            guest.doing = Doing::Working;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.door.lock().open.remove(&self.number);
        self.door.changed.notify_all();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.lock().driven = false;
        self.0.changed.notify_all();
    }
}

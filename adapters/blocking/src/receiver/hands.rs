//! The threads that deliveries run on: made when there is work, at most as many as may run at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use postrider_core::receiver::{Delivery, DeliveryId, NotStored, Processed};

use super::drive::Fact;
use crate::inbox::Inbox;

/// What is done with a delivery.
pub(super) enum Handler {
    /// The application processes it.
    Process(Box<dyn Fn(Delivery) -> Processed + Send + Sync>),
    /// It is stored.
    Store(Inbox),
}

impl Handler {
    /// Does it, and says what is to be told.
    fn handle(&self, delivery: Delivery) -> Fact {
        let id = delivery.id();
        match self {
            Self::Process(process) => Fact::Processed(id, process(delivery)),
            Self::Store(inbox) => Fact::Stored(id, inbox.store(&delivery).map_err(Into::into)),
        }
    }

    /// What is to be told of one that was lost.
    fn lost(&self, delivery: DeliveryId) -> Fact {
        match self {
            Self::Process(_) => Fact::Processed(delivery, Processed::Later { after: None }),
            Self::Store(_) => Fact::Stored(delivery, Err(NotStored::default())),
        }
    }
}

/// Threads for deliveries. When it is dropped they end, each with what it is doing.
pub(super) struct Hands(Arc<Shared>);

struct Shared {
    handler: Handler,
    facts: Sender<Fact>,
    most: u32,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    deliveries: VecDeque<Delivery>,
    threads: u32,
    /// Threads that wait for a delivery.
    idle: usize,
    over: bool,
}

impl Hands {
    pub(super) fn new(handler: Handler, most: u32, facts: Sender<Fact>) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { handler, facts, most, state, work }))
    }

    /// Whether deliveries are stored.
    pub(super) fn store(&self) -> bool {
        matches!(self.0.handler, Handler::Store(_))
    }

    /// Has a delivery processed or stored, and reported once.
    pub(super) fn take(&self, delivery: Delivery) {
        let mut state = self.0.lock();
        state.deliveries.push_back(delivery);
        if state.idle >= state.deliveries.len() || state.threads >= self.0.most {
            self.0.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.0);
        if thread::Builder::new().name("postrider-handle".into()).spawn(move || shared.work()).is_err() {
            self.go_without();
        }
    }

    /// A thread could not be made. Others take the delivery, if there are any; else it is wanted later.
    fn go_without(&self) {
        let mut state = self.0.lock();
        state.threads -= 1;
        let stranded = if state.threads == 0 { std::mem::take(&mut state.deliveries) } else { VecDeque::new() };
        drop(state);
        for delivery in stranded {
            let _ = self.0.facts.send(self.0.handler.lost(delivery.id()));
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.work.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(delivery) = self.next() {
            let id = delivery.id();
            // Whatever a panic has left behind is the application's own.
            let fact = catch_unwind(AssertUnwindSafe(|| self.handler.handle(delivery)));
            // It fails when the machine is closed, and then nobody waits.
            let _ = self.facts.send(fact.unwrap_or_else(|_| self.handler.lost(id)));
        }
        self.lock().threads -= 1;
    }

    fn next(&self) -> Option<Delivery> {
        let mut state = self.lock();
        state.idle += 1;
        let wait = |state: &mut State| state.deliveries.is_empty() && !state.over;
        state = self.work.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.deliveries.pop_front()
    }

    /// Nothing under this lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where facts wait until the machine hears them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use postrider_core::sender::Input;
use postrider_journal::Done;

/// Wakes whoever runs the desk. Called from any thread, without a lock held; it must not block,
/// and must not own the desk, which owns it.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// A queue of facts for the machine, filled from any thread. A clone is the same queue.
///
/// It is bounded by what the machine has asked for: at most one fact for each request to the log and each attempt in
/// flight, and whatever the runtime itself puts in.
#[derive(Clone, Default)]
pub struct Facts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    queue: Mutex<VecDeque<Input>>,
    waker: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Facts {
    /// An empty queue that wakes nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact and wakes whoever runs the desk.
    pub fn put(&self, input: Input) {
        lock(&self.0.queue).push_back(input);
        self.wake();
    }

    /// Sets who is woken by facts from now on, instead of whoever was before; at once, if there are facts already.
    pub fn set_waker(&self, waker: Waker) {
        *lock(&self.0.waker) = Some(Arc::from(waker));
        if !self.is_empty() {
            self.wake();
        }
    }

    /// Wakes whoever runs the desk, without a fact: after a command, for instance.
    pub fn wake(&self) {
        let waker = lock(&self.0.waker).clone();
        if let Some(waker) = waker {
            waker();
        }
    }

    /// Whether no fact waits.
    pub fn is_empty(&self) -> bool {
        lock(&self.0.queue).is_empty()
    }

    /// Everything that waits, in the order in which it came.
    pub(crate) fn take(&self) -> VecDeque<Input> {
        std::mem::take(&mut *lock(&self.0.queue))
    }

    /// A way to answer one request. Dropped without being called, it answers with `otherwise`, so that a log that loses
    /// a request makes nobody wait for ever.
    pub(crate) fn answer(&self, otherwise: Input) -> Done {
        let mut answer = Answer { facts: self.clone(), otherwise: Some(otherwise) };
        Box::new(move |input| {
            answer.otherwise = None;
            answer.facts.put(input);
        })
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("waiting", &lock(&self.0.queue).len()).finish()
    }
}

struct Answer {
    facts: Facts,
    otherwise: Option<Input>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(input) = self.otherwise.take() {
            self.facts.put(input);
        }
    }
}

/// Nothing that holds one of this crate's locks can panic half-way through a change, so a poisoned one is sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counting(facts: &Facts) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let (counter, queue) = (count.clone(), facts.clone());
        facts.set_waker(Box::new(move || {
            // It may look at the queue: no lock is held.
            let _ = queue.is_empty();
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        count
    }

    #[test]
    fn a_fact_wakes_after_it_is_there() {
        let facts = Facts::new();
        let count = counting(&facts);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        facts.put(Input::Tick);
        facts.put(Input::Credit(3));
        assert_eq!(count.load(Ordering::SeqCst), 2);
        let taken = facts.take();
        assert!(matches!(taken[0], Input::Tick) && matches!(taken[1], Input::Credit(3)));
        assert!(facts.is_empty());
    }

    #[test]
    fn a_waker_that_comes_late_is_woken_at_once() {
        let facts = Facts::new();
        facts.put(Input::Tick);
        assert_eq!(counting(&facts).load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_request_is_answered_exactly_once() {
        let facts = Facts::new();
        facts.answer(Input::Credit(1))(Input::Tick);
        drop(facts.answer(Input::Credit(2)));
        let taken: Vec<_> = facts.take().into();
        assert!(matches!(taken[..], [Input::Tick, Input::Credit(2)]), "{taken:?}");
    }
}

//! Whoever listens to notices.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use postrider_core::sender::Notice;

use crate::facts::{Waker, lock};

/// Notices kept for one listener that does not read them; those beyond are counted.
pub const NOTICES: usize = 1024;

/// What a listener hears next.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A notice.
    Notice(Notice),
    /// At this place so many notices were not kept, because they were not read in time.
    Missed(u64),
    /// Nothing yet.
    Nothing,
    /// The sender has stopped: there will be no more.
    Over,
}

/// So many notices were not kept at this place, because they were not read in time. What a driver's own form of
/// [`Notices`] gives instead of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a count and nothing else")]
pub struct Missed(
    /// How many.
    pub u64,
);

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} notices were not read in time", self.0)
    }
}

impl std::error::Error for Missed {}

/// One listener's notices, in order. Dropping it ends the listening.
#[derive(Debug)]
pub struct Notices(Arc<Line>);

impl Notices {
    /// What comes next, without waiting.
    pub fn try_next(&self) -> Heard {
        lock(&self.0.state).next()
    }

    /// What comes next, after waiting at most `timeout` for it; [`Heard::Nothing`] if nothing came.
    pub fn next_within(&self, timeout: Duration) -> Heard {
        let start = Instant::now();
        let mut state = lock(&self.0.state);
        loop {
            let heard = state.next();
            let rest = timeout.saturating_sub(start.elapsed());
            if heard != Heard::Nothing || rest.is_zero() {
                return heard;
            }
            state = self.0.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sets what is called when there is something new to hear, instead of what was set before; at once, if there is
    /// already. It is called without a lock held and must not block.
    pub fn set_waker(&self, waker: Waker) {
        *lock(&self.0.waker) = Some(Arc::from(waker));
        if lock(&self.0.state).has_next() {
            self.0.wake();
        }
    }
}

/// What a listener has not read yet.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
    waker: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct State {
    /// At most `most` notices, and after a full run of them a count of those that did not fit.
    queue: VecDeque<Heard>,
    most: usize,
    over: bool,
}

impl State {
    fn next(&mut self) -> Heard {
        match self.queue.pop_front() {
            Some(heard) => heard,
            None if self.over => Heard::Over,
            None => Heard::Nothing,
        }
    }

    fn has_next(&self) -> bool {
        self.over || !self.queue.is_empty()
    }

    fn push(&mut self, notice: &Notice) {
        if self.queue.len() < self.most {
            self.queue.push_back(Heard::Notice(notice.clone()));
        } else if let Some(Heard::Missed(count)) = self.queue.back_mut() {
            *count += 1;
        } else {
            self.queue.push_back(Heard::Missed(1));
        }
    }
}

impl Line {
    fn wake(&self) {
        self.changed.notify_all();
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker();
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("waiting", &lock(&self.state).queue.len()).finish_non_exhaustive()
    }
}

/// Everybody who listens.
#[derive(Default)]
pub(super) struct Audience(Vec<Weak<Line>>);

impl Audience {
    pub(super) fn join(&mut self, most: usize) -> Notices {
        let state = State { most, ..State::default() };
        let line = Arc::new(Line { state: Mutex::new(state), ..Line::default() });
        self.0.retain(|other| other.strong_count() > 0);
        self.0.push(Arc::downgrade(&line));
        Notices(line)
    }

    pub(super) fn tell(&mut self, notice: &Notice) {
        self.0.retain(|line| {
            let Some(line) = line.upgrade() else { return false };
            lock(&line.state).push(notice);
            line.wake();
            true
        });
    }

    /// There will be no more.
    pub(super) fn end(&mut self) {
        for line in self.0.drain(..).filter_map(|line| line.upgrade()) {
            lock(&line.state).over = true;
            line.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(count: u64) -> Notice {
        Notice::Folded(count)
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_was() {
        let mut audience = Audience::default();
        let notices = audience.join(2);
        (1..=5).for_each(|n| audience.tell(&folded(n)));
        assert_eq!(notices.try_next(), Heard::Notice(folded(1)));
        assert_eq!(notices.try_next(), Heard::Notice(folded(2)));
        audience.tell(&folded(6));
        assert_eq!(notices.try_next(), Heard::Missed(3));
        assert_eq!(notices.try_next(), Heard::Notice(folded(6)));
        assert_eq!(notices.try_next(), Heard::Nothing);
        audience.tell(&folded(7));
        audience.end();
        assert_eq!(notices.try_next(), Heard::Notice(folded(7)));
        assert_eq!(notices.try_next(), Heard::Over);
        assert_eq!(notices.next_within(Duration::from_secs(3600)), Heard::Over);
    }

    #[test]
    fn a_listener_may_wait_and_may_leave() {
        let mut audience = Audience::default();
        let notices = audience.join(8);
        assert_eq!(notices.next_within(Duration::from_millis(1)), Heard::Nothing);
        let listener = std::thread::spawn(move || notices.next_within(Duration::from_secs(60)));
        audience.tell(&folded(1));
        assert_eq!(listener.join().unwrap(), Heard::Notice(folded(1)));
        audience.tell(&folded(2));
        assert!(audience.0.is_empty(), "whoever has left is forgotten");
    }
}

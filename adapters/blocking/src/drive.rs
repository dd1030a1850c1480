//! The drive thread: one thread owns the machine, and everything reaches it through one channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use postrider_core::sender::Wake;
use postrider_driver::{Carry, Clock, Desk, Waker};

use crate::crew::{Crew, Way};

/// What the drive thread is told. It borrows nothing, so it may come from any thread.
pub(crate) enum Word<D> {
    /// Facts have come.
    Facts,
    /// A command.
    Do(Box<dyn FnOnce(&mut D) + Send>),
}

/// Words heard in a row before the machine gets its turn.
const WORDS: usize = 1024;

/// A machine that can be driven, with its clock and its log.
pub(crate) trait Drive {
    /// The clock that the machine is told.
    fn clock(&self) -> Clock;

    /// Tells the machine what time it is and carries out what it wants; says when to come back.
    fn turn(&mut self, crew: &mut impl Carry) -> Wake;
}

impl Drive for Desk {
    fn clock(&self) -> Clock {
        self.clock()
    }

    fn turn(&mut self, crew: &mut impl Carry) -> Wake {
        self.turn(crew)
    }
}

/// The one channel of a drive thread.
pub(crate) struct Line<D> {
    tell: mpsc::Sender<Word<D>>,
    words: Receiver<Word<D>>,
    /// [`Word::Facts`] is in the channel, so another one is not needed.
    woken: Arc<AtomicBool>,
}

impl<D: Drive + 'static> Line<D> {
    pub(crate) fn new() -> Self {
        let (tell, words) = mpsc::channel();
        Self { tell, words, woken: Arc::default() }
    }

    /// Where words are said. Once the machine has been driven to its end, nobody hears them.
    pub(crate) fn tell(&self) -> mpsc::Sender<Word<D>> {
        self.tell.clone()
    }

    /// Announces facts, at most once for each turn.
    pub(crate) fn waker(&self) -> Waker {
        let (tell, woken) = (self.tell(), Arc::clone(&self.woken));
        Box::new(move || {
            if !woken.swap(true, Ordering::AcqRel) {
                // After the end there is nobody to wake.
                let _ = tell.send(Word::Facts);
            }
        })
    }

    /// Drives the machine until it is closed. This is the whole loop:
    ///
    /// 1. let the machine do what is to be done now;
    /// 2. sleep until it is due, or until something is said;
    /// 3. do what was said.
    pub(crate) fn drive<W: Way>(&self, desk: &mut D, crew: &mut Crew<W>) {
        let clock = desk.clock();
        loop {
            self.woken.store(false, Ordering::Release);
            let wake = desk.turn(crew);
            if wake == Wake::Closed {
                return;
            }
            let idle = crew.tidy().map(|at| at.saturating_duration_since(Instant::now()));
            let sleep = clock.until(wake).into_iter().chain(idle).min();
            let first = self.wait(sleep);
            for word in first.into_iter().chain(self.words.try_iter().take(WORDS)) {
                match word {
                    Word::Facts => {}
                    Word::Do(act) => act(desk),
                }
            }
        }
    }

    /// The next word; `None` when `sleep` is over.
    fn wait(&self, sleep: Option<Duration>) -> Option<Word<D>> {
        match sleep {
            Some(sleep) => match self.words.recv_timeout(sleep) {
                Ok(word) => Some(word),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => unreachable!("the line holds a sender itself"),
            },
            None => Some(self.words.recv().expect("the line holds a sender itself")),
        }
    }
}

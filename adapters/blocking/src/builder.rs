//! How a sender is made.

use std::sync::Arc;
use std::thread;

use postrider_core::limits::Limits;
use postrider_core::registration::Policy;
use postrider_core::sender::{Config, Input};
use postrider_driver::tls::{Roots, client_config};
use postrider_driver::{Clock, Desk, Error, Resolver};
use postrider_journal::{Log, MemoryLog};

use crate::carry::Carriage;
use crate::crew::{Crew, Tell};
use crate::drive::Line;
use crate::sender::{AtEnd, Ended, Handle, Sender};

/// Attempts in flight, at most, when nothing else is said. Each takes a thread.
const CONCURRENCY: u32 = 64;

/// What a [`Sender`] is made with; see [`Sender::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes a sender only when it is told to"]
pub struct Builder {
    config: Config,
    roots: Roots,
    resolver: Resolver,
    concurrency: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { config: Config::new(), roots: Roots::new(), resolver: Resolver::new(), concurrency: CONCURRENCY }
    }

    /// Sets where requests may go; without it, to public https targets only.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.config = self.config.policy(policy);
        self
    }

    /// Sets what the sender may hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config = self.config.limits(limits);
        self
    }

    /// Sets who vouches for receivers' certificates; without it, the authorities of the Mozilla programme.
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Sets who looks names up; without it, the operating system on 4 threads.
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets how many attempts may be in flight at once, over all endpoints: at least 1, 64 without it. Each is carried
    /// by a thread, which is made when it is needed and ends after 10 s without work.
    pub fn concurrency(mut self, attempts: u32) -> Self {
        self.concurrency = attempts.max(1);
        self
    }

    /// Makes a sender whose events die with the process.
    pub fn volatile(self) -> Result<Sender, Error> {
        self.with_log(MemoryLog::new())
    }

    /// Makes a sender that writes to `log`, and goes on with what is in it.
    pub fn with_log(mut self, log: impl Log) -> Result<Sender, Error> {
        let config = std::mem::take(&mut self.config);
        let mut desk = Desk::open(log, config)?;
        let (line, facts) = (Line::new(), desk.facts());
        facts.set_waker(line.waker());
        let words = line.tell();
        let mut crew = self.crew(desk.clock(), Box::new(move |input| facts.put(input)));
        desk.handle(Input::Credit(self.concurrency));
        let ended = Arc::new(Ended::default());
        let end = AtEnd(Arc::clone(&ended));
        thread::Builder::new().name("postrider-drive".into()).spawn(move || {
            line.drive(&mut desk, &mut crew);
            end.note(desk.read(|machine| machine.life()));
            // Nothing more is heard, attempts are stopped, everybody who waits is answered and the log is closed; then
            // whoever waits for the end is told.
            drop((line, crew, desk, end));
        })?;
        Ok(Sender(Arc::new(Handle { words, ended })))
    }

    pub(crate) fn crew(&self, clock: Clock, tell: Tell) -> Crew {
        let carriage = Carriage::new(self.resolver.clone(), client_config(self.roots.clone()));
        Crew::new(carriage, clock, tell, self.concurrency)
    }

    pub(crate) fn credit(&self) -> u32 {
        self.concurrency
    }
}

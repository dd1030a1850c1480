//! How a sender is made.

use std::io;
use std::sync::Arc;

use postrider_core::limits::Limits;
use postrider_core::registration::Policy;
use postrider_core::sender::{Config, Input};
use postrider_driver::tls::{Roots, client_config};
use postrider_driver::{Clock, Desk, Error, Resolver};
use postrider_journal::{Log, MemoryLog, Tell};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};

use crate::carrier::Carrier;
use crate::drive::{Command, drive};
use crate::sender::{End, Sender};
use crate::transport::Transport;

/// Attempts in flight, at most, when nothing else is said.
const CONCURRENCY: u32 = 1024;

/// Commands that wait for the loop, at most; whoever gives one more waits first.
pub(crate) const COMMANDS: usize = 1024;

/// What a [`Sender`] is made with; see [`Sender::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes a sender only when it is told to"]
pub struct Builder {
    config: Config,
    roots: Roots,
    resolver: Option<Resolver>,
    concurrency: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { config: Config::new(), roots: Roots::new(), resolver: None, concurrency: CONCURRENCY }
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
        self.resolver = Some(resolver);
        self
    }

    /// Sets how many attempts may be in flight at once, over all endpoints: at least 1, 1,024 without it. Each is a
    /// task and a socket.
    pub fn concurrency(mut self, attempts: u32) -> Self {
        self.concurrency = attempts.max(1);
        self
    }

    /// Makes a sender whose events die with the process. Like [`with_log`](Self::with_log) otherwise.
    pub fn volatile(self) -> Result<Sender, Error> {
        self.with_log(MemoryLog::new())
    }

    /// Makes a sender that writes to `log`, and goes on with what is in it.
    ///
    /// Called within a tokio runtime that has its timers and sockets enabled, and which the sender's tasks then run on;
    /// without a runtime the error is [`Error::Io`]. What is in the log is read by the calling thread: for a long one,
    /// call it within `tokio::task::spawn_blocking`.
    pub fn with_log(self, log: impl Log) -> Result<Sender, Error> {
        let runtime = Handle::try_current().map_err(|_| {
            io::Error::other("there is no tokio runtime here; call this from a task or after Runtime::enter")
        })?;
        let mut desk = Desk::open(log, self.config.clone())?;
        let (facts, woken) = (desk.facts(), Arc::new(Notify::new()));
        let waker = Arc::clone(&woken);
        facts.set_waker(Box::new(move || waker.notify_one()));
        let mut carrier = self.carrier(desk.clock(), Arc::new(move |fact| facts.put(fact)), &runtime);
        desk.handle(Input::Credit(self.concurrency));

        let (commands, mut waiting) = mpsc::channel::<Command<Desk>>(COMMANDS);
        let (ending, ended) = watch::channel(End::NotYet);
        let sender = Sender::new(commands, ended, runtime.clone());
        runtime.spawn(async move {
            drive(&mut desk, &mut carrier, &mut waiting, &woken).await;
            // Whatever was asked too late is answered by a desk that is closed.
            waiting.close();
            while let Some(command) = waiting.recv().await {
                command(&mut desk);
            }
            let end = End::of(desk.read(postrider_core::sender::Sender::life));
            // The sockets and the log are let go of before anybody is told.
            drop((carrier, desk));
            ending.send_replace(end);
        });
        Ok(sender)
    }

    pub(crate) fn carrier(&self, clock: Clock, tell: Tell, runtime: &Handle) -> Carrier {
        let resolver = self.resolver.clone().unwrap_or_default();
        let transport = Transport::new(clock, resolver, &client_config(self.roots.clone()));
        Carrier::new(transport, tell, runtime.clone())
    }

    pub(crate) fn credit(&self) -> u32 {
        self.concurrency
    }
}

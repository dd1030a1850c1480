//! How a sender is made.

use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::TenantId;
use postrider_core::limits::Limits;
use postrider_core::registration::Policy;
use postrider_core::registration::consent::{CallbackError, Origin};
use postrider_core::registration::quota::Quotas;
use postrider_core::sender::{Config, Input};
use postrider_driver::tls::{Roots, client_config};
use postrider_driver::{Clock, Desk, Directory, Error, FlightRecorder, Opening, Places, Resolver, Restoring};
use postrider_journal::history::Retention;
use postrider_journal::seal::Vault;
use postrider_journal::{Durability, Log, MemoryLog, Tell};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};

use crate::carrier::{Carrier, Way};
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
    directory: Directory,
    roots: Roots,
    resolver: Option<Resolver>,
    places: Places,
    concurrency: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::new(),
            directory: Directory::new(),
            roots: Roots::new(),
            resolver: None,
            places: Places::default(),
            concurrency: CONCURRENCY,
        }
    }

    /// Sets where requests may go; without it, to public https targets only.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.config = self.config.policy(policy);
        self
    }

    /// Sets whether tenants are told of their endpoints and deliveries by events of their own; see
    /// [`Config::operational_events`]. Without it they are not.
    pub fn operational_events(mut self, publish: bool) -> Self {
        self.config = self.config.operational_events(publish);
        self
    }

    /// Sets the same for one tenant; see [`Config::operational_events_of`].
    pub fn operational_events_of(mut self, tenant: TenantId, publish: bool) -> Self {
        self.config = self.config.operational_events_of(tenant, publish);
        self
    }

    /// Sets what the sender may hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config = self.config.limits(limits);
        self
    }

    /// Sets the name of the whole sending system, such as `events.example.com`, under which owners of endpoints are asked
    /// for consent by CloudEvents' handshake. Without it no such endpoint can be registered.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.config = self.config.origin(origin);
        self
    }

    /// Sets an `https` URL of the application's own at which these owners may give their consent later: `/` and a token
    /// are appended to it, and what comes there goes to [`Sender::called_back`]. Without it, no callback is offered.
    pub fn callback(mut self, base: &str) -> Result<Self, CallbackError> {
        self.config = self.config.callback(base)?;
        Ok(self)
    }

    /// Sets what each tenant may take up.
    pub fn quotas(mut self, quotas: Quotas) -> Self {
        self.config = self.config.quotas(quotas);
        self
    }

    /// Sets what one tenant may take up, in place of what each may.
    pub fn quotas_of(mut self, tenant: TenantId, quotas: Quotas) -> Self {
        self.config = self.config.quotas_of(tenant, quotas);
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

    /// Sets how many attempts may be at one resolved address at once, so that many host names behind one address share a
    /// bound; without it there is none but those of the machine, which knows endpoints, tenants and hosts by name. An attempt
    /// that finds no place waits for one, within its deadline; without one until then it ends as
    /// [`LocalResources`](postrider_core::response::TransportError::LocalResources), which says nothing of the endpoint,
    /// and is tried again. Those that wait count as in flight.
    pub fn concurrency_per_address(mut self, attempts: NonZeroU32) -> Self {
        self.places = Places::bounded(attempts);
        self
    }

    /// Sets what the secrets of endpoints are sealed with before they reach a log. Without it they stand there as they
    /// are, and whoever may read the files may sign.
    pub fn vault(mut self, vault: Vault) -> Self {
        self.directory = self.directory.vault(vault);
        self
    }

    /// Sets how long [`open`](Self::open) waits for another process that has the directory, as during a deploy; 30 s
    /// without it.
    pub fn takeover(mut self, at_most: Duration) -> Self {
        self.directory = self.directory.takeover(at_most);
        self
    }

    /// Sets how long a directory keeps what became of events after their end, and in how much room; without it, payloads
    /// for 7 days and attempts for 30.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.directory = self.directory.retention(retention);
        self
    }

    /// Sets whether a damaged directory is opened with everything in it that is intact. Without it, opening fails and
    /// names the damage. What is lost is told as [`Opening::Salvaged`].
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.directory = self.directory.salvage(salvage);
        self
    }

    /// Sets how many bytes a segment of a directory has; 64 MiB without it. Space comes back in pieces of about this size.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.directory = self.directory.segment_bytes(bytes);
        self
    }

    /// Sets how many bytes a directory may take. As they run out, nothing more is accepted, and what was accepted is
    /// still delivered. Without it, as many as the disk has.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.directory = self.directory.budget(bytes);
        self
    }

    /// Sets who is told what is worth hearing while a directory is opened: that another process is waited for, that
    /// secrets are not sealed, that something was lost. Without it nobody is; nothing is ever printed. It is called by the
    /// thread that opens.
    ///
    /// ```no_run
    /// let builder = postrider_tokio::Sender::builder().on_opening(|opening| eprintln!("postrider: {opening}"));
    /// ```
    pub fn on_opening(mut self, tell: impl Fn(Opening) + Send + Sync + 'static) -> Self {
        self.directory = self.directory.on_opening(tell);
        self
    }

    /// Sets the flight recorder: every call that the machine gets and a checksum of everything that it says is written
    /// down, so that `postrider replay-trace` can run it again. Where the files cannot be written, recording ends and
    /// nothing else.
    pub fn flight_recorder(mut self, recorder: FlightRecorder) -> Self {
        self.directory = self.directory.recorder(recorder);
        self
    }

    /// Makes a sender whose events die with the process. Like [`with_log`](Self::with_log) otherwise.
    pub fn volatile(self) -> Result<Sender, Error> {
        self.with_log(MemoryLog::new())
    }

    /// Makes a sender that writes to a directory, which is made if it does not exist, and goes on with what is in it.
    /// The files are opened and read on a thread for blocking work.
    ///
    /// One sender at a time has a directory; while another process has it, this waits, at most as long as
    /// [`takeover`](Self::takeover) says, and then fails with [`Error::Directory`]. Called within a tokio runtime as
    /// [`with_log`](Self::with_log) is.
    pub async fn open(self, directory: impl AsRef<Path>) -> Result<Sender, Error> {
        let runtime = runtime()?;
        let (settings, config, path) = (self.directory.clone(), self.config.clone(), directory.as_ref().to_owned());
        let opened = runtime.spawn_blocking(move || settings.open(&path, config)).await;
        // The runtime ends, or opening has panicked.
        let desk = opened.map_err(|error| io::Error::other(error.to_string()))??;
        Ok(self.start(desk, &runtime))
    }

    /// Makes a sender that writes to `log`, and goes on with what is in it. Of the settings for directories,
    /// [`vault`](Self::vault) and [`flight_recorder`](Self::flight_recorder) count.
    ///
    /// Called within a tokio runtime that has its timers and sockets enabled, and which the sender's tasks then run on;
    /// without a runtime the error is [`Error::Io`]. What is in the log is read by the calling thread: for a long one,
    /// call it within `tokio::task::spawn_blocking`.
    pub fn with_log(self, log: impl Log) -> Result<Sender, Error> {
        let runtime = runtime()?;
        let (vault, recorder) = (self.directory.sealing().cloned(), self.directory.recording().cloned());
        let restoring = Restoring { vault, recorder, ..Restoring::default() };
        let desk = Desk::open_with(log, self.config.clone(), restoring)?;
        Ok(self.start(desk, &runtime))
    }

    fn start(self, desk: Desk, runtime: &Handle) -> Sender {
        let way = self.transport(desk.clock());
        run(desk, way, self.concurrency, runtime)
    }

    pub(crate) fn carrier(&self, clock: Clock, tell: Tell, runtime: &Handle) -> Carrier<Transport> {
        Carrier::new(self.transport(clock), tell, runtime.clone())
    }

    fn transport(&self, clock: Clock) -> Transport {
        let resolver = self.resolver.clone().unwrap_or_default();
        Transport::new(clock, resolver, self.places.clone(), &client_config(self.roots.clone()))
    }

    pub(crate) fn credit(&self) -> u32 {
        self.concurrency
    }
}

/// Starts the task of a sender whose attempts are carried this way, at most so many at once.
pub(crate) fn run(mut desk: Desk, way: impl Way, credit: u32, runtime: &Handle) -> Sender {
    let (facts, woken) = (desk.facts(), Arc::new(Notify::new()));
    let waker = Arc::clone(&woken);
    facts.set_waker(Box::new(move || waker.notify_one()));
    let mut carrier = Carrier::new(way, Arc::new(move |fact| facts.put(fact)), runtime.clone());
    desk.handle(Input::Credit(credit));

    let (commands, mut waiting) = mpsc::channel::<Command<Desk>>(COMMANDS);
    let (ending, ended) = watch::channel(End::NotYet);
    let sender = Sender::new(commands, ended, runtime.clone());
    let threads = runtime.clone();
    runtime.spawn(async move {
        drive(&mut desk, &mut carrier, &mut waiting, &woken).await;
        // Whatever was asked too late is answered by a desk that is closed.
        waiting.close();
        while let Some(command) = waiting.recv().await {
            command(&mut desk);
        }
        let end = End::of(desk.read(postrider_core::sender::Sender::life));
        // The sockets and the log are let go of before anybody is told. A log on disk has a thread to end and files to
        // close; where the runtime ends first, it does so here.
        drop(carrier);
        match desk.durability() {
            Durability::Memory => drop(desk),
            Durability::Disk => drop(threads.spawn_blocking(move || drop(desk)).await),
        }
        ending.send_replace(end);
    });
    sender
}

/// The runtime that the calling task is of.
pub(crate) fn runtime() -> Result<Handle, Error> {
    let found = Handle::try_current();
    Ok(found.map_err(|_| {
        io::Error::other("there is no tokio runtime here; call this from a task or after Runtime::enter")
    })?)
}

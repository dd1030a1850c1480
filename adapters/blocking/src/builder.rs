//! How a sender is made.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::thread;
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
use postrider_journal::{Log, MemoryLog};

use crate::carry::Carriage;
use crate::crew::{Crew, Tell, Way};
use crate::drive::Line;
use crate::sender::{AtEnd, Ended, Handle, Sender};

/// Attempts in flight, at most, when nothing else is said. Each takes a thread.
const CONCURRENCY: u32 = 64;

/// What a [`Sender`] is made with; see [`Sender::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes a sender only when it is told to"]
pub struct Builder {
    config: Config,
    directory: Directory,
    roots: Roots,
    resolver: Resolver,
    places: Places,
    concurrency: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::new(),
            directory: Directory::new(),
            roots: Roots::new(),
            resolver: Resolver::new(),
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
        self.resolver = resolver;
        self
    }

    /// Sets how many attempts may be in flight at once, over all endpoints: at least 1, 64 without it. Each is carried
    /// by a thread, which is made when it is needed and ends after 10 s without work.
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
    /// let builder = postrider_blocking::Sender::builder().on_opening(|opening| eprintln!("postrider: {opening}"));
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

    /// Makes a sender whose events die with the process.
    pub fn volatile(self) -> Result<Sender, Error> {
        self.with_log(MemoryLog::new())
    }

    /// Makes a sender that writes to a directory, which is made if it does not exist, and goes on with what is in it.
    ///
    /// One sender at a time has a directory; while another process has it, this waits, at most as long as
    /// [`takeover`](Self::takeover) says, and then fails with [`Error::Directory`].
    pub fn open(self, directory: impl AsRef<Path>) -> Result<Sender, Error> {
        let desk = self.directory.open(directory.as_ref(), self.config.clone())?;
        self.start(desk)
    }

    /// Makes a sender that writes to `log`, and goes on with what is in it. Of the settings for directories,
    /// [`vault`](Self::vault) and [`flight_recorder`](Self::flight_recorder) count.
    pub fn with_log(self, log: impl Log) -> Result<Sender, Error> {
        let (vault, recorder) = (self.directory.sealing().cloned(), self.directory.recording().cloned());
        let restoring = Restoring { vault, recorder, ..Restoring::default() };
        let desk = Desk::open_with(log, self.config.clone(), restoring)?;
        self.start(desk)
    }

    fn start(self, desk: Desk) -> Result<Sender, Error> {
        run(desk, self.carriage(), self.concurrency)
    }

    pub(crate) fn crew(&self, clock: Clock, tell: Tell) -> Crew<Carriage> {
        Crew::new(self.carriage(), clock, tell, self.concurrency)
    }

    fn carriage(&self) -> Carriage {
        Carriage::new(self.resolver.clone(), self.places.clone(), client_config(self.roots.clone()))
    }

    pub(crate) fn credit(&self) -> u32 {
        self.concurrency
    }
}

/// Starts the thread of a sender whose attempts are carried this way, at most so many at once.
pub(crate) fn run(mut desk: Desk, way: impl Way, credit: u32) -> Result<Sender, Error> {
    let (line, facts) = (Line::new(), desk.facts());
    facts.set_waker(line.waker());
    let words = line.tell();
    let mut crew = Crew::new(way, desk.clock(), Box::new(move |input| facts.put(input)), credit);
    desk.handle(Input::Credit(credit));
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

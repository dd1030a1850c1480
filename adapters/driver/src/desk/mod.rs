//! The half of a driver that needs no runtime: the machine, its log, its clock, and everybody who waits.

mod answer;
mod asked;
mod inquiry;
mod making;
mod notices;
mod replaying;
mod sealing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_asking;
#[cfg(test)]
mod tests_sealing;
mod waiters;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::registration::Endpoint;
use postrider_core::registration::consent::ConsentReason;
use postrider_core::registration::sync::Synced;
use postrider_core::secret::{KeyId, Secret};
use postrider_core::sender::Life;
use postrider_core::sender::trace::Recorder;
use postrider_core::sender::{
    Called, Change, Close, Config, Input, LoadError, Notice, Output, PersistFailure, Put, PutError as NotPut, Sender,
    Transmit, Wake,
};
use postrider_core::time::UnixTime;
use postrider_journal::seal::Vault;
use postrider_journal::{Durability, Log, Records};

use crate::error::{CommandError, Error, PublishError, PutError, SyncError};
use crate::flight::{Flight, FlightRecorder};
use crate::{Clock, Facts, mint};
pub use answer::{Receipt, Registered, SyncReport};
use asked::Asked;
use making::Making;
use notices::Audience;
pub use notices::{Heard, Missed, NOTICES, Notices};
use replaying::Walks;
use sealing::Opener;
pub use waiters::Waiting;
use waiters::{Due, Waiters};

/// How somebody who waits is answered: called exactly once, when the answer is known or can no longer come.
///
/// It is called from within the desk's methods, on the thread that called them. The desk holds no lock of its own at
/// that moment, but a runtime that shares its desk holds that one: a reply hands the answer over and returns.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// Rounds of one turn in which facts came back at once, such as those of a log in memory. After them the runtime gets
/// its chance to look at its sockets, as after [`Wake::Ready`].
const ROUNDS: u32 = 64;

/// Whoever has sockets: carries attempts and frees them.
pub trait Carry {
    /// Takes an attempt, and reports it exactly once with [`Input::Completed`], through [`Facts`]. Returns at once.
    fn transmit(&mut self, transmit: Transmit);

    /// The attempt is over for the machine: its socket is to be closed soon. It is reported as any other, with
    /// `Err(Aborted)` unless it had ended; one that has been reported already is ignored.
    fn abort(&mut self, attempt: AttemptId);
}

/// A wish about an endpoint or an event, [`publish`](Desk::publish) and [`put`](Desk::put) aside. See the method of
/// [`Sender`] that bears its name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Hold deliveries back.
    Pause(EndpointKey),
    /// Let deliveries go on.
    Resume(EndpointKey),
    /// Take the endpoint out of service.
    Disable(EndpointKey),
    /// Forget the endpoint.
    Remove(EndpointKey),
    /// Sign with this key too.
    AddKey(EndpointKey, Secret),
    /// Let a key expire.
    ExpireKey(EndpointKey, KeyId, UnixTime),
    /// Never sign with a key again.
    RevokeKey(EndpointKey, KeyId),
    /// Change over to a key, with so much time in which the others sign too.
    RotateKey(EndpointKey, Secret, Duration),
    /// Sign with the newest key alone.
    FinishRotation(EndpointKey),
    /// Send nothing more for an event.
    Cancel(TenantId, EventId),
    /// Forget what a tenant's events have brought.
    Purge(TenantId),
    /// Forget what an event has brought.
    Erase(TenantId, EventId),
}

/// What there is to know about a log beside its records, to make a machine of them.
#[derive(Clone, Debug, Default)]
pub struct Restoring {
    /// What its secrets are sealed with.
    pub vault: Option<Vault>,
    /// Records that it is known to have lost, by the first and the last of them.
    pub missing: Vec<(JournalSeq, JournalSeq)>,
    /// Where everything that happens to the machine is written down, if it is.
    pub recorder: Option<FlightRecorder>,
}

/// A sending machine with its clock, its log, and everybody who waits for it.
///
/// A runtime calls [`turn`](Self::turn) again and again; between turns, anybody may give commands. Every reply is
/// called exactly once, whatever happens: with the answer, or with an error when the log has failed for good, when the
/// machine is closed, or when the desk is dropped.
pub struct Desk {
    machine: Recorder,
    /// Where its trace goes.
    flight: Option<Flight>,
    clock: Clock,
    log: Box<dyn Log>,
    /// When its log was opened, if there was something in it.
    opened: Option<UnixTime>,
    durability: Durability,
    /// What secrets are sealed with before the machine gets them.
    vault: Option<Vault>,
    facts: Facts,
    waiters: Waiters,
    asked: Asked,
    /// What is being sent again.
    walks: Walks,
    audience: Audience,
}

impl Desk {
    /// A desk for the store behind `log`: a new machine with a minted seed if it has no records, else the machine that
    /// they tell of. Secrets stay as they are; see [`open_with`](Self::open_with).
    pub fn open(log: impl Log, config: Config) -> Result<Self, Error> {
        Self::open_with(log, config, Restoring::default())
    }

    /// The same with a vault: the log gets secrets sealed, and what it has sealed is opened. What it has in another form
    /// than the vault would give it now (unsealed, or sealed with an older key) is written again at once.
    pub fn open_with(log: impl Log, config: Config, restoring: Restoring) -> Result<Self, Error> {
        let mut log: Box<dyn Log> = Box::new(log);
        let Restoring { vault, missing, recorder } = restoring;
        let clock = Clock::start();
        let mut records = log.records().peekable();
        let is_new = records.peek().is_none() && missing.is_empty();
        let mut making = Making::begin(config, recorder)?;
        let machine = if is_new {
            making.anew(mint::seed()?, clock.now())?
        } else {
            missing.into_iter().for_each(|(first, last)| making.missing(first, last));
            restored(&mut making, &mut records, vault.as_ref(), clock)?
        };
        drop(records);
        let mut desk = Self::assemble(machine, making.into_flight(), log, clock, vault);
        desk.opened = (!is_new).then(|| clock.now().wall);
        Ok(desk)
    }

    /// A desk for this very machine, whose records `log` has and whose time `clock` tells.
    pub fn for_machine(machine: Sender, log: impl Log, clock: Clock) -> Self {
        Self::assemble(Recorder::off(machine), None, Box::new(log), clock, None)
    }

    fn assemble(
        machine: Recorder,
        flight: Option<Flight>,
        mut log: Box<dyn Log>,
        clock: Clock,
        vault: Option<Vault>,
    ) -> Self {
        let facts = Facts::new();
        let told = facts.clone();
        log.attach(Arc::new(move |input| told.put(input)));
        Self {
            durability: log.durability(),
            machine,
            flight,
            clock,
            log,
            opened: None,
            vault,
            facts,
            waiters: Waiters::default(),
            asked: Asked::default(),
            walks: Walks::default(),
            audience: Audience::default(),
        }
    }

    /// Where facts for the machine are put, from any thread.
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// The clock that the machine is told.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What an acknowledgement of the log is worth.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Looks at the machine.
    pub fn read<T>(&self, look: impl FnOnce(&Sender) -> T) -> T {
        look(&self.machine)
    }

    /// Publishes an event, with a minted id if it has none. Replies when it is durable, at once for a repeat of an event
    /// that is; or with why not.
    ///
    /// An event that comes back in an error keeps the id that was minted for it, so that publishing it again is a
    /// repeat.
    pub fn publish(&mut self, mut event: Event, reply: Reply<Result<Receipt, PublishError>>) {
        if event.event_id().is_none() {
            event = match mint::event_id() {
                Ok(id) => event.id(id.as_str()),
                Err(_) => return reply(Err(PublishError::Entropy(Box::new(event)))),
            };
        }
        match self.machine.publish(self.clock.now(), event) {
            Ok(receipt) => self.waiters.publish(receipt, reply),
            Err(refused) => return reply(Err(PublishError::Refused(refused))),
        }
        self.answer_durable();
    }

    /// Registers an endpoint or makes it as described, with a minted secret if it is new and brings none. Replies when
    /// that is durable, or with why not. The minted secret is in the answer and nowhere else.
    pub fn put(&mut self, endpoint: Endpoint, reply: Reply<Result<Registered, PutError>>) {
        match self.put_or_mint(endpoint) {
            Ok((put, minted)) => self.waiters.put(put, minted, reply),
            Err(error) => return reply(Err(error)),
        }
        self.answer_durable();
    }

    /// Carries a command out. Replies when it is durable, or with why not.
    pub fn command(&mut self, command: Command, reply: Reply<Result<Change, CommandError>>) {
        let (machine, now) = (&mut self.machine, self.clock.now());
        let change = match command {
            Command::Pause(endpoint) => machine.pause(now, &endpoint),
            Command::Resume(endpoint) => machine.resume(now, &endpoint),
            Command::Disable(endpoint) => machine.disable(now, &endpoint),
            Command::Remove(endpoint) => machine.remove(now, &endpoint),
            Command::AddKey(endpoint, secret) => match sealing::seal_key(self.vault.as_ref(), &endpoint, secret) {
                Ok(secret) => machine.add_key(now, &endpoint, &secret),
                Err(_) => return reply(Err(CommandError::Entropy)),
            },
            Command::ExpireKey(endpoint, key, at) => machine.expire_key(now, &endpoint, key, at),
            Command::RevokeKey(endpoint, key) => machine.revoke_key(now, &endpoint, key),
            Command::RotateKey(endpoint, secret, overlap) => {
                match sealing::seal_key(self.vault.as_ref(), &endpoint, secret) {
                    Ok(secret) => machine.rotate_key(now, &endpoint, &secret, overlap),
                    Err(_) => return reply(Err(CommandError::Entropy)),
                }
            }
            Command::FinishRotation(endpoint) => machine.finish_rotation(now, &endpoint),
            Command::Cancel(tenant, event) => machine.cancel(now, &tenant, &event),
            Command::Purge(tenant) => machine.purge(now, &tenant),
            Command::Erase(tenant, event) => machine.erase(now, &tenant, &event),
        };
        match change {
            Ok(change) => self.waiters.command(change, reply),
            Err(refused) => return reply(Err(CommandError::Refused(refused))),
        }
        self.answer_durable();
    }

    /// Takes note of a request that came to a callback URL, by which the owner of an endpoint may give consent. Replies
    /// when what came of it is durable; see [`Sender::called_back`].
    pub fn called_back(&mut self, called: &Called, reply: Reply<Result<ConsentReason, CommandError>>) {
        match self.machine.called_back(self.clock.now(), called) {
            Ok(reason) => self.waiters.called(self.machine.last_record(), reason, reply),
            Err(refused) => return reply(Err(CommandError::Refused(refused))),
        }
        self.answer_durable();
    }

    /// Makes the endpoints of a tenant equal to a list, with minted secrets for those that are new and bring none. Replies
    /// when that is durable, or with why not; then nothing of it was done. The minted secrets are in the answer and
    /// nowhere else. See [`Sender::sync`]; [`Sender::sync_dry_run`] tells what a list would do.
    pub fn sync(
        &mut self,
        tenant: &TenantId,
        revision: u64,
        endpoints: Vec<Endpoint>,
        reply: Reply<Result<SyncReport, SyncError>>,
    ) {
        match self.sync_or_mint(tenant, revision, endpoints) {
            Ok(report) => self.waiters.sync(report, reply),
            Err(error) => return reply(Err(error)),
        }
        self.answer_durable();
    }

    /// Begins to listen: every notice from now on, at most [`NOTICES`] that have not been read.
    pub fn notices(&mut self) -> Notices {
        let notices = self.audience.join(NOTICES);
        if self.is_over() {
            self.audience.end();
        }
        notices
    }

    /// Tells the machine to close; what is left to do for that is done by further turns, until one says
    /// [`Wake::Closed`].
    pub fn close(&mut self, how: Close) {
        self.machine.close(self.clock.now(), how);
    }

    /// Tells the machine a fact directly, behind those that wait. Its effects come with the next turn.
    pub fn handle(&mut self, input: Input) {
        self.hear();
        self.machine.handle(self.clock.now(), input);
    }

    /// Tells the machine what has happened and what time it is, carries out what it wants, and answers everybody whose
    /// answer is known. Says when to come back: [`Clock::until`] says how long that is.
    ///
    /// Returns [`Wake::Ready`] when there is more to do and it is the runtime's turn to look at its sockets; the turn
    /// itself does a bounded amount of work. After [`Wake::Closed`] everybody has been answered, and further turns do
    /// nothing.
    pub fn turn(&mut self, carrier: &mut impl Carry) -> Wake {
        if !self.hear() {
            self.machine.handle(self.clock.now(), Input::Tick);
        }
        for _ in 0..ROUNDS {
            let wake = self.drain(carrier);
            // A log that answers within the call has put its facts here.
            let heard = wake != Wake::Ready && self.hear();
            self.answer();
            let acted = self.step_walks();
            self.keep_trace();
            if !heard && (!acted || wake == Wake::Ready) {
                return self.wake_for_walks(wake);
            }
        }
        Wake::Ready
    }

    /// Writes down what has happened. A trace with a hole is worth nothing, so an error ends it.
    fn keep_trace(&mut self) {
        let Some(trace) = self.machine.take() else { return };
        let written = self.flight.as_mut().is_some_and(|flight| flight.write(&trace).is_ok());
        if !written {
            self.machine.stop();
            self.flight = None;
        }
    }

    /// Tells the machine the facts that wait; whether there were any.
    fn hear(&mut self) -> bool {
        let facts = self.facts.take();
        if facts.is_empty() {
            return false;
        }
        let now = self.clock.now();
        for fact in facts {
            self.machine.handle(now, fact);
        }
        true
    }

    fn drain(&mut self, carrier: &mut impl Carry) -> Wake {
        loop {
            match self.machine.poll_output() {
                Output::Persist(batch) => {
                    let lost = Input::PersistFailed { from: batch.first(), why: PersistFailure::Broken };
                    self.log.append(batch, self.facts.answer(lost));
                }
                Output::Load(request) => {
                    let lost = Input::Loaded { request: request.id(), result: Err(LoadError::Unavailable) };
                    self.log.load(request, self.facts.answer(lost));
                }
                Output::Snapshot(part) => self.log.snapshot(part),
                Output::Reclaim(mark) => self.log.reclaim(mark),
                Output::Transmit(transmit) => carrier.transmit(transmit),
                Output::Abort(attempt) => carrier.abort(attempt),
                Output::Notice(notice) => self.told(notice),
                Output::Wait(wake) => return wake,
            }
        }
    }

    fn told(&mut self, notice: Notice) {
        if let Notice::Settled { tenant, event } = &notice {
            self.look_again(tenant, event);
            self.walk_on(tenant, event);
        }
        if let Notice::Folded(_) = &notice {
            self.waiters.check_until(self.machine.last_record());
            self.check_walks();
        }
        self.audience.tell(&notice);
    }

    fn answer(&mut self) {
        self.answer_durable();
        if self.waiters.take_check(self.machine.durable()) {
            for (tenant, event) in self.waiters.awaited() {
                self.look_again(&tenant, &event);
            }
        }
        self.hear_history();
        if self.is_over() {
            self.fail();
        }
    }

    /// Answers everybody that nothing more will come.
    fn fail(&mut self) {
        self.waiters.fail();
        self.fail_walks();
        self.asked.give_up().for_each(inquiry::ended);
        self.audience.end();
    }

    fn answer_durable(&mut self) {
        let durable = self.machine.durable();
        while let Some(due) = self.waiters.next_durable(durable) {
            match due {
                Due::Publish(receipt, reply) => reply(Ok(Receipt::new(receipt, self.durability))),
                Due::Put(put, minted, reply) => reply(Ok(Registered::new(put, minted))),
                Due::Command(change, reply) => reply(Ok(change)),
                Due::Called(reason, reply) => reply(Ok(reason)),
                Due::Sync(report, reply) => reply(Ok(report)),
                Due::Replay(receipt, _, reply) => reply(Ok(Receipt::new(receipt, self.durability))),
            }
        }
    }

    fn put_or_mint(&mut self, endpoint: Endpoint) -> Result<(Put, Option<Secret>), PutError> {
        let bare = match self.put_sealed(endpoint)? {
            Ok(put) => return Ok((put, None)),
            Err(NotPut::NoSecret(bare)) => bare,
            Err(refused) => return Err(PutError::Refused(refused)),
        };
        let Ok(secret) = mint::secret() else { return Err(PutError::Entropy(bare)) };
        match self.put_sealed(bare.clone().signing_key(secret.clone()))? {
            Ok(put) => Ok((put, Some(secret))),
            // What comes back is what was given: with the minted secret in it, nobody would ever be shown that.
            Err(NotPut::TooMany(_)) => Err(PutError::Refused(NotPut::TooMany(bare))),
            Err(NotPut::NoOrigin(_)) => Err(PutError::Refused(NotPut::NoOrigin(bare))),
            Err(NotPut::Quota(_, why)) => Err(PutError::Refused(NotPut::Quota(bare, why))),
            Err(refused) => Err(PutError::Refused(refused)),
        }
    }

    fn sync_or_mint(
        &mut self,
        tenant: &TenantId,
        revision: u64,
        mut endpoints: Vec<Endpoint>,
    ) -> Result<SyncReport, SyncError> {
        let mut minted = Vec::new();
        if let Synced::Plan(plan) =
            self.machine.sync_dry_run(tenant, revision, &endpoints).map_err(SyncError::Refused)?
        {
            for bare in plan.added.into_iter().filter(|added| added.needs_secret) {
                let secret = mint::secret().map_err(|_| SyncError::Entropy)?;
                let entry = endpoints[bare.place].clone();
                endpoints[bare.place] = entry.signing_key(secret.clone());
                minted.push((bare.id, secret));
            }
        }
        let sealed = endpoints.into_iter().map(|endpoint| sealing::seal_endpoint(self.vault.as_ref(), endpoint));
        let sealed: Vec<_> = sealed.collect::<Result<_, _>>().map_err(|_| SyncError::Entropy)?;
        let done = self.machine.sync(self.clock.now(), tenant, revision, &sealed).map_err(SyncError::Refused)?;
        Ok(SyncReport { done, minted })
    }

    /// Puts an endpoint whose secrets are sealed first.
    fn put_sealed(&mut self, endpoint: Endpoint) -> Result<Result<Put, NotPut>, PutError> {
        match sealing::seal_endpoint(self.vault.as_ref(), endpoint) {
            Ok(sealed) => Ok(self.machine.put(self.clock.now(), sealed)),
            Err(endpoint) => Err(PutError::Entropy(endpoint)),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.machine.life(), Life::Closed | Life::Fenced)
    }
}

impl Drop for Desk {
    /// Answers everybody who still waits.
    fn drop(&mut self) {
        self.keep_trace();
        self.fail();
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("life", &self.machine.life())
            .field("durable", &self.machine.durable())
            .field("durability", &self.durability)
            .field("facts", &self.facts)
            .field("waiters", &self.waiters)
            .field("asked", &self.asked.len())
            .field("walks", &self.walks)
            .finish_non_exhaustive()
    }
}

/// The machine that a log's records tell of, with their secrets opened.
fn restored(
    making: &mut Making,
    records: &mut dyn Iterator<Item = <Records<'_> as Iterator>::Item>,
    vault: Option<&Vault>,
    clock: Clock,
) -> Result<Recorder, Error> {
    let mut opener = Opener::new(vault);
    for record in records {
        let (seq, record) = record?;
        making.record((seq, opener.open(record)?))?;
    }
    let stale = opener.finish()?;
    let mut machine = making.finish(clock.now())?;
    for endpoint in &stale {
        // One that cannot be written now, because too many are, is when the log is opened the next time.
        let _ = machine.rewrite(clock.now(), endpoint);
    }
    Ok(machine)
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Desk>();
};

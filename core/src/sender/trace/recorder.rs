//! A machine whose calls are written down.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;
use core::ops::Deref;
use core::time::Duration;

use super::call::kind;
use super::digest::{self, Sum};
use super::mask::{Detail, Mask};
use super::tape::Tape;
use super::{MAGIC, VERSION};
use crate::event::Event;
use crate::id::{EndpointKey, EventId, JournalSeq, TenantId};
use crate::journal::Record;
use crate::journal::wire::Writer;
use crate::registration::Endpoint;
use crate::registration::consent::ConsentReason;
use crate::registration::sync::Synced;
use crate::secret::{KeyId, Secret};
use crate::seed::Seed;
use crate::sender::filters::Answers;
use crate::sender::{
    Called, Change, Close, CommandError, Config, Input, Output, Put, PutError, Receipt, Refused, Replay, ReplayRefused,
    Restore, RestoreError, Sender, SyncDone, SyncRefused,
};
use crate::time::{Now, UnixTime};

/// A [`Sender`] that writes down what happens to it, or, made by [`off`](Self::off), just a sender.
///
/// It has the verbs of a sender and is one for everything that only looks. Whoever drives it calls
/// [`take`](Self::take) from time to time and keeps the bytes in order.
///
/// ```
/// use postrider_core::sender::trace::{Detail, Recorder, Replay};
/// use postrider_core::sender::{Config, Input, Output};
/// use postrider_core::{seed::Seed, time::Now};
///
/// let (seed, salt) = (Seed::from_bytes([7; 32]), [1; 32]);
/// let mut machine = Recorder::new(Config::new(), seed, Now::default(), Detail::StandIns, salt);
/// machine.handle(Now::default(), Input::Credit(8));
/// while !matches!(machine.poll_output(), Output::Wait(_)) {}
/// let mut replay = Replay::new(machine.take().expect("it records"))?;
/// assert_eq!(replay.run()?, None, "no difference");
/// # Ok::<(), postrider_core::sender::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    machine: Sender,
    tape: Option<Running>,
}

#[derive(Debug)]
struct Running {
    tape: Tape,
    mask: Mask,
}

impl Deref for Recorder {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.machine
    }
}

impl Recorder {
    /// A machine of which nothing is written down.
    pub const fn off(machine: Sender) -> Self {
        Self { machine, tape: None }
    }

    /// A machine with an empty store; see [`Sender::new`]. The `salt` is random, and is kept nowhere: without it, the
    /// stand-ins of two traces have nothing in common.
    pub fn new(config: Config, seed: Seed, now: Now, detail: Detail, salt: [u8; 32]) -> Self {
        let mut running = Running::begin(&config, detail, salt);
        running.tape.call(kind::SEED, now).raw(&seed.to_bytes());
        Self::on(Sender::new(config, seed, now), running)
    }

    fn on(mut machine: Sender, running: Running) -> Self {
        machine.answers = Answers::Kept(Vec::new());
        Self { machine, tape: Some(running) }
    }

    /// Begins to make a machine of the records of a store; see [`Restore`].
    pub fn restore(config: Config, detail: Detail, salt: [u8; 32]) -> RecorderRestore {
        let running = Running::begin(&config, detail, salt);
        RecorderRestore { restore: Restore::new(config), running }
    }

    /// What has been written since the last time; `None` when nothing is written down at all.
    pub fn take(&mut self) -> Option<Bytes> {
        self.tape.as_mut().map(|running| running.tape.take())
    }

    /// Bytes that wait to be taken.
    pub fn untaken(&self) -> usize {
        self.tape.as_ref().map_or(0, |running| running.tape.len())
    }

    /// Stops writing down.
    pub fn stop(&mut self) {
        self.machine.answers = Answers::Unheard;
        self.tape = None;
    }

    /// See [`Sender::publish`].
    pub fn publish(&mut self, now: Now, event: Event) -> Result<Receipt, Refused> {
        let Some(running) = &mut self.tape else { return self.machine.publish(now, event) };
        let written = running.tape.publish(now, &event, &running.mask);
        let result = self.machine.publish(now, event);
        if written {
            running.answered(&mut self.machine);
            running.tape.digest(kind::RESULT, published(&result));
        }
        result
    }

    /// See [`Sender::replay`].
    pub fn replay(&mut self, now: Now, replay: Replay) -> Result<Receipt, ReplayRefused> {
        let Some(running) = &mut self.tape else { return self.machine.replay(now, replay) };
        let written = running.tape.replay(now, &replay, &running.mask);
        let result = self.machine.replay(now, replay);
        if written {
            running.tape.digest(kind::RESULT, replayed(&result));
        }
        result
    }

    /// See [`Sender::put`].
    pub fn put(&mut self, now: Now, endpoint: Endpoint) -> Result<Put, PutError> {
        let Some(running) = &mut self.tape else { return self.machine.put(now, endpoint) };
        let written = running.tape.put(now, &endpoint, &self.machine.policy, &mut running.mask);
        let result = self.machine.put(now, endpoint);
        if written {
            running.tape.digest(kind::RESULT, was_put(&result));
        }
        result
    }

    /// See [`Sender::pause`].
    pub fn pause(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(|running| running.tape.named(kind::PAUSE, now, endpoint), |machine| machine.pause(now, endpoint))
    }

    /// See [`Sender::resume`].
    pub fn resume(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(|running| running.tape.named(kind::RESUME, now, endpoint), |machine| machine.resume(now, endpoint))
    }

    /// See [`Sender::disable`].
    pub fn disable(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(
            |running| running.tape.named(kind::DISABLE, now, endpoint),
            |machine| machine.disable(now, endpoint),
        )
    }

    /// See [`Sender::remove`].
    pub fn remove(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(|running| running.tape.named(kind::REMOVE, now, endpoint), |machine| machine.remove(now, endpoint))
    }

    /// See [`Sender::add_key`].
    pub fn add_key(&mut self, now: Now, endpoint: &EndpointKey, secret: &Secret) -> Result<Change, CommandError> {
        self.command(
            |running| {
                let stand_in = running.mask.key(secret);
                let kind = if stand_in.is_pair() { kind::ADD_PAIR } else { kind::ADD_KEY };
                running.tape.endpoint(kind, now, endpoint).short(stand_in.expose());
            },
            |machine| machine.add_key(now, endpoint, secret),
        )
    }

    /// See [`Sender::expire_key`].
    pub fn expire_key(
        &mut self,
        now: Now,
        endpoint: &EndpointKey,
        key: KeyId,
        at: UnixTime,
    ) -> Result<Change, CommandError> {
        self.command(
            |running| {
                let id = running.mask.key_id(key).to_bytes();
                let mut w = running.tape.endpoint(kind::EXPIRE_KEY, now, endpoint);
                w.raw(&id);
                w.time(at);
            },
            |machine| machine.expire_key(now, endpoint, key, at),
        )
    }

    /// See [`Sender::revoke_key`].
    pub fn revoke_key(&mut self, now: Now, endpoint: &EndpointKey, key: KeyId) -> Result<Change, CommandError> {
        self.command(
            |running| {
                let id = running.mask.key_id(key).to_bytes();
                running.tape.endpoint(kind::REVOKE_KEY, now, endpoint).raw(&id);
            },
            |machine| machine.revoke_key(now, endpoint, key),
        )
    }

    /// See [`Sender::rotate_key`].
    pub fn rotate_key(
        &mut self,
        now: Now,
        endpoint: &EndpointKey,
        secret: &Secret,
        overlap: Duration,
    ) -> Result<Change, CommandError> {
        self.command(
            |running| {
                let stand_in = running.mask.key(secret);
                let mut w = running.tape.endpoint(kind::ROTATE_KEY, now, endpoint);
                w.short(stand_in.expose());
                w.duration(overlap);
            },
            |machine| machine.rotate_key(now, endpoint, secret, overlap),
        )
    }

    /// See [`Sender::finish_rotation`].
    pub fn finish_rotation(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(
            |running| running.tape.named(kind::FINISH_ROTATION, now, endpoint),
            |machine| machine.finish_rotation(now, endpoint),
        )
    }

    /// See [`Sender::called_back`]. The token is in the trace: it was good for one use, and the seed that it is made of is in
    /// every trace.
    pub fn called_back(&mut self, now: Now, called: &Called) -> Result<ConsentReason, CommandError> {
        let Some(running) = &mut self.tape else { return self.machine.called_back(now, called) };
        let (token, method, lines) = called.parts();
        let mut w = running.tape.call(kind::CALLED_BACK, now);
        w.text(token);
        w.text(method);
        w.many(lines, |w, (name, value)| {
            w.text(name);
            w.short(value);
        });
        let result = self.machine.called_back(now, called);
        running.tape.digest(kind::RESULT, called_back(&result));
        result
    }

    /// See [`Sender::sync`].
    pub fn sync(
        &mut self,
        now: Now,
        tenant: &TenantId,
        revision: u64,
        endpoints: &[Endpoint],
    ) -> Result<SyncDone, SyncRefused> {
        let Some(running) = &mut self.tape else { return self.machine.sync(now, tenant, revision, endpoints) };
        let written = running.tape.sync(now, (tenant, revision), endpoints, &self.machine.policy, &mut running.mask);
        let result = self.machine.sync(now, tenant, revision, endpoints);
        if written {
            running.tape.digest(kind::RESULT, synced(&result));
        }
        result
    }

    /// See [`Sender::rewrite`].
    pub fn rewrite(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(
            |running| running.tape.named(kind::REWRITE, now, endpoint),
            |machine| machine.rewrite(now, endpoint),
        )
    }

    /// See [`Sender::cancel`].
    pub fn cancel(&mut self, now: Now, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.command(
            |running| names(running.tape.call(kind::CANCEL, now), tenant, event),
            |machine| machine.cancel(now, tenant, event),
        )
    }

    /// See [`Sender::purge`].
    pub fn purge(&mut self, now: Now, tenant: &TenantId) -> Result<Change, CommandError> {
        self.command(
            |running| running.tape.call(kind::PURGE, now).text(tenant.as_str()),
            |machine| machine.purge(now, tenant),
        )
    }

    /// See [`Sender::erase`].
    pub fn erase(&mut self, now: Now, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.command(
            |running| names(running.tape.call(kind::ERASE, now), tenant, event),
            |machine| machine.erase(now, tenant, event),
        )
    }

    /// See [`Sender::close`].
    pub fn close(&mut self, now: Now, how: Close) {
        if let Some(running) = &mut self.tape {
            running.tape.call(kind::CLOSE, now).flag(how == Close::Now);
        }
        self.machine.close(now, how);
    }

    /// See [`Sender::handle`].
    pub fn handle(&mut self, now: Now, input: Input) {
        if let Some(running) = &mut self.tape {
            let signed = match &input {
                Input::Completed { attempt, outcome } => self.machine.signers(*attempt, outcome),
                _ => 0,
            };
            running.tape.input(now, &input, signed, &mut running.mask);
        }
        self.machine.handle(now, input);
        if let Some(running) = &mut self.tape {
            running.answered(&mut self.machine);
        }
    }

    /// See [`Sender::poll_output`].
    pub fn poll_output(&mut self) -> Output {
        let output = self.machine.poll_output();
        if let Some(running) = &mut self.tape {
            running.answered(&mut self.machine);
            running.tape.digest(kind::OUTPUT, digest::output(&output));
        }
        output
    }

    fn command(
        &mut self,
        write: impl FnOnce(&mut Running),
        carry_out: impl FnOnce(&mut Sender) -> Result<Change, CommandError>,
    ) -> Result<Change, CommandError> {
        let Some(running) = &mut self.tape else { return carry_out(&mut self.machine) };
        write(running);
        let result = carry_out(&mut self.machine);
        running.answered(&mut self.machine);
        running.tape.digest(kind::RESULT, changed(&result));
        result
    }
}

impl Running {
    fn begin(config: &Config, detail: Detail, salt: [u8; 32]) -> Self {
        let mut tape = Tape::default();
        tape.raw(MAGIC);
        tape.raw(&[VERSION]);
        tape.config(config);
        tape.identity(config);
        tape.quotas(config);
        Self { tape, mask: Mask::new(detail, salt) }
    }

    /// Writes down what filters have answered, where they were asked.
    #[inline]
    fn answered(&mut self, machine: &mut Sender) {
        if !machine.answers.is_empty() {
            self.write_answers(machine);
        }
    }

    #[cold]
    fn write_answers(&mut self, machine: &mut Sender) {
        self.tape.matched(&machine.answers.take());
    }
}

fn names(mut w: Writer<'_>, tenant: &TenantId, event: &EventId) {
    w.text(tenant.as_str());
    w.text(event.as_str());
}

// Digests of what commands return, without the names of keys.

/// What came of sending an event again.
pub(super) fn replayed(result: &Result<Receipt, ReplayRefused>) -> u32 {
    match result {
        Ok(receipt) => published(&Ok(receipt.clone())),
        Err(ReplayRefused::Refused(why)) => published(&Err(why.clone())),
        Err(ReplayRefused::UnknownEndpoint(..)) => Sum::new(17).u64(64).end(),
        Err(ReplayRefused::NotActive(..)) => Sum::new(17).u64(65).end(),
    }
}

pub(super) fn published(result: &Result<Receipt, Refused>) -> u32 {
    match result {
        Ok(receipt) => Sum::new(16).u64(receipt.fresh.into()).u64(receipt.seq.get()).end(),
        Err(refused) => Sum::new(17)
            .u64(match refused {
                Refused::Invalid(..) => 1,
                Refused::NoId(_) => 2,
                Refused::TooLarge(..) => 3,
                Refused::Expired(_) => 4,
                Refused::Conflict(_) => 5,
                Refused::Unsettled(_) => 6,
                Refused::Overloaded(_) => 7,
                Refused::Full(_) => 8,
                Refused::Closed(_) => 9,
                Refused::Fenced(_) => 10,
                Refused::Quota(..) => 11,
            })
            .end(),
    }
}

pub(super) fn was_put(result: &Result<Put, PutError>) -> u32 {
    match result {
        Ok(put) => {
            let how = match put {
                Put::Created(_) => 0,
                Put::Updated(_) => 1,
                Put::Unchanged(_) => 2,
            };
            Sum::new(18).u64(how).u64(put.change().seq.get()).end()
        }
        Err(error) => Sum::new(19)
            .u64(match error {
                PutError::Invalid(..) => 1,
                PutError::NoSecret(_) => 2,
                PutError::Ring(..) => 3,
                PutError::TooMany(_) => 4,
                PutError::TooManyChanges(_) => 5,
                PutError::Overloaded(_) => 6,
                PutError::Closed(_) => 7,
                PutError::Fenced(_) => 8,
                PutError::NoOrigin(_) => 9,
                PutError::Quota(..) => 10,
            })
            .end(),
    }
}

pub(super) fn synced(result: &Result<SyncDone, SyncRefused>) -> u32 {
    match result {
        Ok(done) => {
            let sum = Sum::new(23).u64(done.change.changed.into()).u64(done.change.seq.get());
            match &done.synced {
                Synced::Stale { applied } => sum.u64(*applied).end(),
                Synced::Plan(plan) => {
                    let parts = [plan.added.len(), plan.changed.len(), plan.removed.len(), plan.unchanged.len()];
                    parts.into_iter().fold(sum, |sum, count| sum.u64(count as u64)).end()
                }
            }
        }
        Err(_) => Sum::new(24).end(),
    }
}

pub(super) fn called_back(result: &Result<ConsentReason, CommandError>) -> u32 {
    let mut sum = Sum::new(22);
    match result {
        Ok(reason) => write!(sum, "{reason}"),
        Err(why) => write!(sum, "{why}"),
    }
    .expect("a sum takes everything");
    sum.end()
}

pub(super) fn changed(result: &Result<Change, CommandError>) -> u32 {
    match result {
        Ok(change) => Sum::new(20).u64(change.changed.into()).u64(change.seq.get()).end(),
        Err(_) => Sum::new(21).end(),
    }
}

/// A machine that is being made of its records, which are written down; see [`Restore`].
#[derive(Debug)]
pub struct RecorderRestore {
    restore: Restore,
    running: Running,
}

impl RecorderRestore {
    /// Adds the next record; see [`Restore::record`].
    pub fn record(mut self, (seq, record): (JournalSeq, Record)) -> Self {
        self.running.tape.raw(&[kind::RECORD]);
        let masked = self.running.mask.record(record.clone());
        self.running.tape.record(seq, &masked);
        Self { restore: self.restore.record((seq, record)), ..self }
    }

    /// Tells of records that the store has lost; see [`Restore::missing`].
    pub fn missing(mut self, first: JournalSeq, last: JournalSeq) -> Self {
        self.running.tape.raw(&[kind::MISSING]);
        let mut w = self.running.tape.w();
        w.seq(first);
        w.seq(last);
        Self { restore: self.restore.missing(first, last), ..self }
    }

    /// What has been written so far: a store of millions of records would not fit in memory twice.
    pub fn take(&mut self) -> Bytes {
        self.running.tape.take()
    }

    /// The machine; see [`Restore::finish`].
    pub fn finish(mut self, now: Now) -> Result<Recorder, RestoreError> {
        self.running.tape.plain(kind::RESTORED, now);
        Ok(Recorder::on(self.restore.finish(now)?, self.running))
    }
}

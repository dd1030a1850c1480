//! A trace, run again.

use alloc::format;
use alloc::string::{String, ToString};
use bytes::Bytes;
use core::fmt;

use super::call::{Call, kind};
use super::recorder::{called_back, changed, published, replayed, synced, was_put};
use super::reel::Reel;
use super::{MAGIC, VERSION, digest};
use crate::id::JournalSeq;
use crate::sender::{Input, Life, Restore, RestoreError, Sender, Stats};
use crate::time::Now;

/// Why a trace cannot be run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TraceError {
    /// It does not begin as a trace does.
    NoTrace,
    /// It was written by another release.
    Version {
        /// The version that it has.
        found: u8,
        /// The version that can be read.
        known: u8,
    },
    /// Its bytes are no entry.
    Damaged {
        /// Where, counted from its beginning.
        at: usize,
    },
    /// The machine that it begins with cannot be made.
    Restore(RestoreError),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTrace => write!(f, "this is no trace: a trace begins with {:?}", MAGIC.escape_ascii().to_string()),
            Self::Version { found, known } => {
                write!(f, "the trace has version {found}; this release reads {known}: use the one that wrote it")
            }
            Self::Damaged { at } => write!(f, "the trace is damaged at byte {at}"),
            Self::Restore(why) => write!(f, "the machine at the beginning of the trace cannot be made: {why}"),
        }
    }
}

impl core::error::Error for TraceError {}

/// A machine in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// The time that it was last told.
    pub now: Now,
    /// Where it is in its life.
    pub life: Life,
    /// The last record that exists.
    pub last_record: JournalSeq,
    /// The last record that is durable.
    pub durable: JournalSeq,
    /// Events that have not ended.
    pub events: usize,
    /// Deliveries that wait.
    pub pending: usize,
    /// Attempts in flight.
    pub in_flight: usize,
    /// Bytes of payloads in memory.
    pub resident: usize,
    /// Counters.
    pub stats: Stats,
}

impl View {
    fn of(machine: &Sender) -> Self {
        Self {
            now: machine.now(),
            life: machine.life(),
            last_record: machine.last_record(),
            durable: machine.durable(),
            events: machine.events(),
            pending: machine.pending(),
            in_flight: machine.in_flight(),
            resident: machine.resident(),
            stats: machine.stats(),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, life, last_record, durable, events, pending, in_flight, resident, stats } = self;
        writeln!(f, "  time {:?}, {}", now.mono, now.wall)?;
        writeln!(f, "  {life:?}, records {durable} of {last_record} durable, {resident} bytes of payloads in memory")?;
        writeln!(f, "  {events} events, {pending} deliveries wait, {in_flight} attempts in flight")?;
        write!(f, "  {stats:?}")
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a machine answers commands and is drained")]
pub enum Ruled {
    /// The answer to a command.
    Answer,
    /// An output of a drain.
    Output,
}

/// The first place at which a machine did something else than it did when the trace was recorded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Which entry, counted from 1.
    pub entry: u64,
    /// Where it begins, in bytes from the beginning of the trace.
    pub at: usize,
    /// What was compared.
    pub of: Ruled,
    /// The checksum that was recorded.
    pub recorded: u32,
    /// The checksum now.
    pub found: u32,
    /// The last call before it.
    pub call: String,
    /// What the machine said now.
    pub said: String,
    /// The machine before the last call.
    pub before: View,
    /// The machine now.
    pub after: View,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.of {
            Ruled::Answer => "the answer",
            Ruled::Output => "an output",
        };
        writeln!(f, "entry {} (byte {}): {what} differs from the one recorded", self.entry, self.at)?;
        writeln!(f, "after {}", self.call)?;
        writeln!(f, "now it is {} (checksum {:08x}, recorded {:08x})", self.said, self.found, self.recorded)?;
        write!(f, "before the call:\n{}\nnow:\n{}", self.before, self.after)
    }
}

/// A trace that is run again.
#[derive(Debug)]
pub struct Replay {
    machine: Sender,
    reel: Reel,
    entry: u64,
    calls: u64,
    outputs: u64,
    call: String,
    before: View,
    /// The answer to the last command.
    answer: Option<(u32, String)>,
}

impl Replay {
    /// Reads the beginning of a trace and makes the machine that it begins with.
    pub fn new(trace: impl Into<Bytes>) -> Result<Self, TraceError> {
        let trace = trace.into();
        if !trace.starts_with(MAGIC) {
            return Err(TraceError::NoTrace);
        }
        match trace.get(MAGIC.len()).copied() {
            Some(VERSION) => {}
            Some(found) => return Err(TraceError::Version { found, known: VERSION }),
            None => return Err(TraceError::NoTrace),
        }
        let mut reel = Reel::new(trace, MAGIC.len() + 1);
        let (machine, entry) = beginning(&mut reel)?;
        let before = View::of(&machine);
        let call = "the beginning".to_string();
        Ok(Self { machine, reel, entry, calls: 0, outputs: 0, call, before, answer: None })
    }

    /// The machine as it is at this moment.
    pub fn machine(&self) -> &Sender {
        &self.machine
    }

    /// Calls and outputs so far.
    pub fn progress(&self) -> (u64, u64) {
        (self.calls, self.outputs)
    }

    /// Runs to the end of the trace, or to the first difference.
    ///
    /// A trace that was cut off in the middle of an entry, as a process that is killed leaves it, ends there.
    pub fn run(&mut self) -> Result<Option<Difference>, TraceError> {
        while self.reel.peek().is_some() {
            if let Some(difference) = self.step()? {
                return Ok(Some(difference));
            }
        }
        Ok(None)
    }

    /// Takes the next entry; says how it differs, where it does. At the end nothing happens.
    pub fn step(&mut self) -> Result<Option<Difference>, TraceError> {
        if self.reel.peek().is_none() {
            return Ok(None);
        }
        let at = self.reel.at();
        self.entry += 1;
        Ok(match self.reel.kind()? {
            kind::RESULT => {
                let recorded = self.reel.digest()?;
                let answer = self.answer.take().ok_or(TraceError::Damaged { at })?;
                self.compare(at, Ruled::Answer, recorded, answer.0, || answer.1)
            }
            kind::OUTPUT => {
                let recorded = self.reel.digest()?;
                let output = self.machine.poll_output();
                self.outputs += 1;
                self.compare(at, Ruled::Output, recorded, digest::output(&output), || format!("{output:?}"))
            }
            kind::MATCHED => {
                self.machine.answers.foretell(self.reel.matched()?);
                None
            }
            of => {
                let now = self.reel.clocks()?;
                let call = self.reel.call(of)?;
                while self.reel.peek() == Some(kind::MATCHED) {
                    self.reel.kind()?;
                    self.entry += 1;
                    self.machine.answers.foretell(self.reel.matched()?);
                }
                self.before = View::of(&self.machine);
                self.call = described(&call);
                self.calls += 1;
                self.answer = self.carry_out(now, call);
                None
            }
        })
    }

    fn compare(
        &self,
        at: usize,
        of: Ruled,
        recorded: u32,
        found: u32,
        said: impl FnOnce() -> String,
    ) -> Option<Difference> {
        (recorded != found).then(|| Difference {
            entry: self.entry,
            at,
            of,
            recorded,
            found,
            call: self.call.clone(),
            said: said(),
            before: self.before,
            after: View::of(&self.machine),
        })
    }

    fn carry_out(&mut self, now: Now, call: Call) -> Option<(u32, String)> {
        let machine = &mut self.machine;
        let result = match call {
            Call::Publish(event) => {
                let result = machine.publish(now, event);
                let said = result.as_ref().map_or_else(ToString::to_string, |receipt| format!("{receipt:?}"));
                return Some((published(&result), said));
            }
            Call::Replay(replay) => {
                let result = machine.replay(now, replay);
                let said = result.as_ref().map_or_else(ToString::to_string, |receipt| format!("{receipt:?}"));
                return Some((replayed(&result), said));
            }
            Call::Put(endpoint) => {
                let result = machine.put(now, endpoint);
                let said = result.as_ref().map_or_else(ToString::to_string, |put| format!("{put:?}"));
                return Some((was_put(&result), said));
            }
            Call::Input(input) => {
                machine.handle(now, input);
                return None;
            }
            Call::Completed(attempt, outcome, signed) => {
                machine.feign_signers(attempt, signed);
                machine.handle(now, Input::Completed { attempt, outcome });
                return None;
            }
            Call::Close(how) => {
                machine.close(now, how);
                return None;
            }
            Call::Pause(endpoint) => machine.pause(now, &endpoint),
            Call::Resume(endpoint) => machine.resume(now, &endpoint),
            Call::Disable(endpoint) => machine.disable(now, &endpoint),
            Call::Remove(endpoint) => machine.remove(now, &endpoint),
            Call::AddKey(endpoint, secret) => machine.add_key(now, &endpoint, &secret),
            Call::ExpireKey(endpoint, key, at) => machine.expire_key(now, &endpoint, key, at),
            Call::RevokeKey(endpoint, key) => machine.revoke_key(now, &endpoint, key),
            Call::RotateKey(endpoint, secret, overlap) => machine.rotate_key(now, &endpoint, &secret, overlap),
            Call::FinishRotation(endpoint) => machine.finish_rotation(now, &endpoint),
            Call::Sync(tenant, revision, endpoints) => {
                let result = machine.sync(now, &tenant, revision, &endpoints);
                let said = result.as_ref().map_or_else(ToString::to_string, |done| format!("{done:?}"));
                return Some((synced(&result), said));
            }
            Call::CalledBack(called) => {
                let result = machine.called_back(now, &called);
                let said = result.as_ref().map_or_else(ToString::to_string, ToString::to_string);
                return Some((called_back(&result), said));
            }
            Call::Rewrite(endpoint) => machine.rewrite(now, &endpoint),
            Call::Cancel(tenant, event) => machine.cancel(now, &tenant, &event),
            Call::Purge(tenant) => machine.purge(now, &tenant),
            Call::Erase(tenant, event) => machine.erase(now, &tenant, &event),
        };
        let said = result.as_ref().map_or_else(ToString::to_string, |change| format!("{change:?}"));
        Some((changed(&result), said))
    }
}

/// What the trace begins with: the configuration, then a seed or the records of a store.
fn beginning(reel: &mut Reel) -> Result<(Sender, u64), TraceError> {
    let at = reel.at();
    if reel.kind()? != kind::CONFIG {
        return Err(TraceError::Damaged { at });
    }
    let mut config = reel.config()?;
    if reel.peek() == Some(kind::OPERATIONAL) {
        reel.kind()?;
        config = config.operational_events(true);
    }
    if reel.peek() == Some(kind::OPERATIONAL_OF) {
        reel.kind()?;
        config = reel.operational_of(config)?;
    }
    if reel.peek() == Some(kind::IDENTITY) {
        reel.kind()?;
        config = reel.identity(config)?;
    }
    if reel.peek() == Some(kind::QUOTAS) {
        reel.kind()?;
        config = reel.quotas(config)?;
    }
    if reel.peek() == Some(kind::SEED) {
        reel.kind()?;
        let now = reel.clocks()?;
        let seed = reel.seed()?;
        return Ok((Sender::new(config, seed, now), 2));
    }
    let (mut restore, mut entries) = (Restore::new(config), 2);
    loop {
        let at = reel.at();
        match reel.kind()? {
            kind::MISSING => {
                let (first, last) = reel.missing()?;
                restore = restore.missing(first, last);
            }
            kind::RECORD => restore = restore.record(reel.record()?),
            kind::RESTORED => {
                let now = reel.clocks()?;
                return restore.finish(now).map(|machine| (machine, entries)).map_err(TraceError::Restore);
            }
            _ => return Err(TraceError::Damaged { at }),
        }
        entries += 1;
    }
}

/// A call in a line.
fn described(call: &Call) -> String {
    match call {
        Call::Publish(event) => match event.event_id() {
            Some(id) => format!("publish {id}"),
            None => "publish without an id".to_string(),
        },
        Call::Put(endpoint) => format!("put {}", endpoint.name()),
        other => format!("{other:?}"),
    }
}

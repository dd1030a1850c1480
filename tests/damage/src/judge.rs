//! What came of a damage.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use bytes::BytesMut;
use postrider_core::id::EventId;
use postrider_core::journal::{self, Kind as Of};
use postrider_core::sender::{Config, LoadError, Output, Restore, Wake};
use postrider_core::time::{Now, UnixTime};
use postrider_journal::store::{Corrupt, OpenError, Recovery};
use postrider_journal::{Options, Store};

use crate::damage::{self, Damaged, Kind};
use crate::dice::Dice;
use crate::disk::{Acked, Disk};
use crate::footers;
use crate::world::{Truth, World, seq, snapshot_name};

/// What came of a case that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the table has a column for each")]
pub enum Verdict {
    /// Everything that was acknowledged is there.
    Harmless,
    /// The damage was told, and salvage named all that is lost.
    Found {
        /// Events that were named by what damage had made of their ids.
        misnamed: u32,
    },
    /// The damage was told, and there is nothing that salvage could begin with.
    Refused,
    /// A loss was not told, in the blind spot.
    Blind(Blind),
}

/// A loss that nothing intact speaks of; see [the crate](crate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the table has a column for each")]
pub enum Blind {
    /// Of what the last sync made durable.
    LastSync,
    /// Of what only the footers of later batches showed to be durable, which were damaged too.
    Footers,
    /// Of files at the end of the log that were cut off, replaced or taken away.
    CutOff,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the table has a column for each")]
pub enum Fault {
    /// Something acknowledged is gone and nothing says so.
    Silent,
    /// Something was handed out that was not written.
    Wrong,
    /// Damage was told where there is none.
    Alarm,
    /// An opening that should have succeeded did not, or did not last.
    Stuck,
    /// Something panicked.
    Panic,
}

/// A case that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What is wrong.
    pub fault: Fault,
    /// In words, with what was done.
    pub text: String,
}

impl Failure {
    pub(crate) fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.text)
    }
}

/// Damages a journal of this world and says what came of it.
pub(crate) fn judge(world: &World, kind: Kind, dice: &mut Dice) -> Result<Verdict, Failure> {
    let damaged = damage::damaged(world, kind, dice);
    let acked = world.stills[damaged.still].state.acked;
    let struck = damaged.disk.state().disk();
    let mut case = Case { world, truth: &world.truth, kind, damaged, struck, acked };
    case.crash_again(dice);
    case.judge(dice).map_err(|failure| {
        let Damaged { still, done, .. } = &case.damaged;
        let Acked { last, before } = acked;
        let text = format!("{}; {done} before operation {still}, acknowledged {last} after {before}", failure.text);
        Failure { text, ..failure }
    })
}

struct Case<'a> {
    world: &'a World,
    truth: &'a Truth,
    kind: Kind,
    damaged: Damaged,
    /// What was damaged, before anybody opened it.
    struck: Disk,
    acked: Acked,
}

/// What a store handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Handed {
    snapshot: Option<u64>,
    since: u64,
    records: BTreeSet<u64>,
    loaded: BTreeSet<u64>,
}

impl Handed {
    fn last(&self) -> u64 {
        self.records.last().copied().unwrap_or(0).max(self.since)
    }
}

impl Case<'_> {
    /// The power goes in recovery too.
    fn crash_again(&mut self, dice: &mut Dice) {
        let recovery = match self.kind == Kind::CrashSalvage {
            true => Recovery::Salvage,
            false if self.kind == Kind::CrashTwice => Recovery::Strict,
            false => return,
        };
        for _ in 0..dice.within(1, 3) {
            self.damaged.disk.stop_at(dice.below(14) as u64);
            let _ = self.open(recovery);
            let crashed = self.damaged.disk.state().crashed(dice);
            self.damaged.disk = crashed;
        }
    }

    fn open(&self, recovery: Recovery) -> Result<Store<Disk>, OpenError> {
        let mut options: Options = self.world.options.clone();
        options.recovery = recovery;
        Store::open(self.damaged.disk.clone(), options, UnixTime::EPOCH)
    }

    fn judge(&self, dice: &mut Dice) -> Result<Verdict, Failure> {
        if dice.once_in(8) {
            self.look()?;
        }
        let before = dice.once_in(8).then(|| self.damaged.disk.state().clone());
        let told = self.told();
        match self.open(Recovery::Strict) {
            Ok(mut store) => {
                let handed = self.read(&mut store, dice)?;
                let missing = self.missing(&store, &handed, &self.salvaged_before(&store, &handed));
                let blind = self.excuse(&missing, &handed, told)?;
                if blind.is_none() && self.kind != Kind::CrashSalvage {
                    self.count(&store, &handed)?;
                }
                drop(store);
                self.again(&handed, dice)?;
                Ok(blind.map_or(Verdict::Harmless, Verdict::Blind))
            }
            Err(OpenError::Corrupt(places)) if self.kind.is_crash() => {
                Err(Failure::new(Fault::Alarm, format!("after a crash: {}", OpenError::Corrupt(places))))
            }
            Err(OpenError::Corrupt(places)) if places.is_empty() => {
                Err(Failure::new(Fault::Alarm, "damage without a place"))
            }
            Err(OpenError::Corrupt(_)) => {
                if let Some(before) = before {
                    self.unchanged(&before)?;
                }
                self.salvage(told, dice)
            }
            Err(error @ OpenError::NoBeginning { .. }) => self.refused(&error),
            Err(error) => Err(Failure::new(Fault::Stuck, format!("opening: {error}"))),
        }
    }

    fn salvage(&self, told: u64, dice: &mut Dice) -> Result<Verdict, Failure> {
        let mut store = match self.open(Recovery::Salvage) {
            Ok(store) => store,
            Err(error @ OpenError::NoBeginning { .. }) => return self.refused(&error),
            Err(error) => return Err(Failure::new(Fault::Stuck, format!("salvaging: {error}"))),
        };
        let handed = self.read(&mut store, dice)?;
        let mut lost: Vec<_> = store.found().lost.iter().filter_map(range).collect();
        let ids = store.found().lost.iter().flat_map(|place| &place.ids);
        let known = |at: u64, id: &EventId| self.truth.events.get(&at).is_some_and(|known| known.id == *id);
        lost.extend(ids.filter(|id| known(id.seq.get(), &id.event)).map(|id| id.seq.get()..=id.seq.get()));
        lost.extend(self.salvaged_before(&store, &handed));
        lost.extend(self.open_end(&store, &handed));
        let missing = self.missing(&store, &handed, &lost);
        let blind = self.excuse(&missing, &handed, told)?;
        let misnamed = match self.kind == Kind::CrashSalvage {
            true => 0,
            false => self.named(&store, &handed, &lost)?,
        };
        drop(store);
        self.again(&handed, dice)?;
        Ok(blind.map_or(Verdict::Found { misnamed }, Verdict::Blind))
    }

    /// What is told when the end of the log is damaged and nothing is left that says how far it went: the place from
    /// which on it is gone, without numbers.
    fn open_end(&self, store: &Store<Disk>, handed: &Handed) -> Option<RangeInclusive<u64>> {
        let newest = self.newest();
        let at_end = |place: &&Corrupt| place.records.is_none() && place.segment >= newest;
        store.found().lost.iter().find(at_end).map(|_| handed.last() + 1..=u64::MAX)
    }

    /// The number of the newest segment.
    fn newest(&self) -> u64 {
        let names = self.damaged.disk.names();
        names.iter().filter_map(|name| name.strip_suffix(".seg")?.parse().ok()).max().unwrap_or(0)
    }

    /// What a salvage before this one, which a crash ended, wrote down as lost: an end without numbers too.
    fn salvaged_before(&self, store: &Store<Disk>, handed: &Handed) -> Vec<RangeInclusive<u64>> {
        if self.kind != Kind::CrashSalvage {
            return Vec::new();
        }
        let text = self.damaged.disk.content("lost.txt").map(|content| content.bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let newest = self.newest();
        let ranges = text.lines().filter_map(|line| {
            let mut words = line.strip_prefix("lost ")?.split(' ');
            match (words.next()?, words.next()?) {
                ("-", "-") => (words.next()?.parse::<u64>().ok()? >= newest).then(|| handed.last() + 1..=u64::MAX),
                (first, last) => Some(first.parse().ok()?..=last.parse().ok()?),
            }
        });
        ranges.chain(store.gaps().iter().map(|(first, last)| first.get()..=last.get())).collect()
    }

    /// Reads everything that a store hands out and compares it with what was written.
    fn read(&self, store: &mut Store<Disk>, dice: &mut Dice) -> Result<Handed, Failure> {
        let snapshot = store.found().snapshot;
        let known = snapshot.map(|number| {
            let wrong = || Failure::new(Fault::Wrong, format!("snapshot {number} was never written"));
            self.truth.snapshots.get(&number).ok_or_else(wrong)
        });
        let known = known.transpose()?;
        let mut handed = Handed { snapshot, since: known.map_or(0, |known| known.since), ..Handed::default() };
        let (mut rest, mut frame) = (known.map_or(&[][..], |known| &known.bytes), BytesMut::new());
        for record in store.records() {
            let (at, record) =
                record.map_err(|error| Failure::new(Fault::Stuck, format!("a record that is gone: {error}")))?;
            frame.clear();
            journal::encode(at, &record, &mut frame);
            if at.get() == 0 {
                rest = rest.strip_prefix(&frame[..]).ok_or_else(|| {
                    Failure::new(Fault::Wrong, "a record of the snapshot is not the one that was written")
                })?;
            } else {
                self.same(at.get(), &frame)?;
                if at.get() <= handed.last() {
                    return Err(Failure::new(Fault::Wrong, format!("record {at} comes too late")));
                }
                handed.records.insert(at.get());
            }
        }
        if !rest.is_empty() {
            return Err(Failure::new(Fault::Silent, "the snapshot has no end"));
        }
        let upto = handed.last().max(self.acked.last);
        let pending: Vec<_> = self.truth.pending(upto).collect();
        handed.loaded = self.load(store, &pending, dice)?;
        Ok(handed)
    }

    fn same(&self, at: u64, frame: &[u8]) -> Result<(), Failure> {
        let written = at.checked_sub(1).and_then(|at| self.truth.frames.get(at as usize));
        match written.is_some_and(|written| **written == *frame) {
            true => Ok(()),
            false => Err(Failure::new(Fault::Wrong, format!("record {at} is not the one that was written"))),
        }
    }

    /// Loads the events, one by one or together.
    fn load(&self, store: &mut Store<Disk>, events: &[u64], dice: &mut Dice) -> Result<BTreeSet<u64>, Failure> {
        let mut loaded = BTreeSet::new();
        for some in events.chunks(if dice.once_in(2) { 1 } else { 64 }) {
            let some: Vec<_> = some.iter().map(|at| seq(*at)).collect();
            let records = match store.load(&some) {
                Ok(records) => records,
                Err(LoadError::Corrupt) => continue,
                Err(error) => return Err(Failure::new(Fault::Stuck, format!("loading: {error:?}"))),
            };
            for (at, record) in records {
                let mut frame = BytesMut::new();
                journal::encode(at, &record, &mut frame);
                self.same(at.get(), &frame)?;
                loaded.insert(at.get());
            }
        }
        Ok(loaded)
    }

    /// What was acknowledged, is needed, was not handed out, and is not named as lost.
    fn missing(&self, store: &Store<Disk>, handed: &Handed, lost: &[RangeInclusive<u64>]) -> Vec<u64> {
        let named = |at: &u64| lost.iter().any(|range| range.contains(at));
        let records = (handed.since + 1..=self.acked.last).filter(|at| !handed.records.contains(at));
        let upto = handed.last().max(self.acked.last);
        let acked = self.truth.pending(upto).filter(|at| *at <= handed.last().max(self.acked.last));
        let payloads = acked.filter(|at| !handed.loaded.contains(at));
        // What is not in the gaps is not told to the machine.
        debug_assert!(store.gaps().iter().all(|(first, last)| first <= last));
        let all: BTreeSet<u64> = records.chain(payloads).filter(|at| !named(at)).collect();
        all.into_iter().collect()
    }

    /// The last record that something intact beside the log tells of.
    fn told(&self) -> u64 {
        let Damaged { whole, disk, .. } = &self.damaged;
        let acked = disk.content("acked").filter(|acked| whole.content("acked").is_some_and(|whole| whole == *acked));
        let bytes = acked.map(|acked| acked.bytes()).unwrap_or_default();
        bytes.get(8..16).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Whether what is missing without a word lies in the blind spot; `None` when nothing is missing.
    fn excuse(&self, missing: &[u64], handed: &Handed, told: u64) -> Result<Option<Blind>, Failure> {
        let Some(first) = missing.first() else { return Ok(None) };
        let shown = handed.snapshot.map_or(0, |number| self.truth.snapshots[&number].through);
        let silent = || {
            let text = format!("{missing:?} are gone, handed out up to {}, told {told} and {shown}", handed.last());
            Failure::new(Fault::Silent, text)
        };
        if self.kind.is_crash() || *first <= told.max(shown) {
            return Err(silent());
        }
        if *first > self.acked.before {
            return Ok(Some(Blind::LastSync));
        }
        if self.is_unshown(*first) {
            return Ok(Some(Blind::Footers));
        }
        let cut = self.damaged.cut.iter().any(|name| name.ends_with(".seg"));
        if cut && *first > handed.last() { Ok(Some(Blind::CutOff)) } else { Err(silent()) }
    }

    /// Whether flipped bits are why no footer shows any more that a record was durable. What `acked` and the snapshot
    /// tell does not reach it either. Then a record that was not written and one that was damaged are the same, as long
    /// as the damage has zeros around it, as a sector has that did not arrive.
    fn is_unshown(&self, at: u64) -> bool {
        let flipped = match self.kind {
            Kind::Flip2 | Kind::Flip3 | Kind::CrashFlip | Kind::CrashSalvage => true,
            Kind::Flip1
            | Kind::Truncated
            | Kind::Missing
            | Kind::Doubled
            | Kind::Renamed
            | Kind::Blank
            | Kind::Misplaced
            | Kind::Old
            | Kind::Crash
            | Kind::CrashSegment
            | Kind::CrashSnapshot
            | Kind::CrashCompaction
            | Kind::CrashTwice
            | Kind::CrashTruncated => false,
        };
        let written = self.world.stills[self.damaged.still].state.disk();
        let shown = |disk: &Disk| footers::shown(&written, disk);
        flipped && shown(&self.struck).zip(shown(&self.damaged.whole)).is_some_and(|(now, was)| now < at && at <= was)
    }

    /// Every lost event that the snapshot knows is named. Says how many were named wrongly.
    fn named(&self, store: &Store<Disk>, handed: &Handed, lost: &[RangeInclusive<u64>]) -> Result<u32, Failure> {
        let ids: Vec<_> = store.found().lost.iter().flat_map(|place| &place.ids).collect();
        let mut misnamed = 0;
        for id in &ids {
            let at = id.seq.get();
            let known = self.truth.events.get(&at);
            let named = known.is_some_and(|known| known.id == id.event && known.tenant == id.tenant);
            misnamed += u32::from(!named);
            // Behind the end nothing says which places are lost; what is left of a record there is named as it is.
            let gone = at > handed.last();
            if !lost.iter().any(|range| range.contains(&at)) && !gone {
                return Err(Failure::new(Fault::Wrong, format!("event {} is said to be lost at {at}", id.event)));
            }
        }
        let known = handed.snapshot.map_or(&[][..], |number| &self.truth.snapshots[&number].events);
        for at in known.iter().filter(|at| lost.iter().any(|range| range.contains(at))) {
            let event = &self.truth.events[at];
            if !ids.iter().any(|id| id.seq.get() == *at && id.event == event.id && id.tenant == event.tenant) {
                return Err(Failure::new(Fault::Silent, format!("lost event {} at {at} is not named", event.id)));
            }
        }
        Ok(misnamed)
    }

    /// A strict opening that found nothing has it all, no less and no more.
    fn count(&self, store: &Store<Disk>, handed: &Handed) -> Result<(), Failure> {
        let found = store.found();
        let pending = self.truth.pending(handed.last()).count() as u64;
        let whole = found.lost.is_empty() && store.gaps().is_empty() && found.last.get() == handed.last();
        let consecutive = handed.records.len() as u64 == handed.last() - handed.since;
        if whole && consecutive && found.pending == pending {
            return Ok(());
        }
        Err(Failure::new(Fault::Wrong, format!("{pending} events are pending up to {}: {found:?}", handed.last())))
    }

    /// Nothing to go on from: only when no snapshot is sound and the log's beginning is gone too.
    fn refused(&self, error: &OpenError) -> Result<Verdict, Failure> {
        let Damaged { whole, disk, .. } = &self.damaged;
        let intact = |name: &str| disk.content(name).is_some_and(|content| whole.content(name) == Some(content));
        let snapshots = self.truth.snapshots.keys().map(|number| snapshot_name(*number));
        let there: Vec<_> = snapshots.filter(|name| whole.content(name).is_some()).collect();
        let look = Store::look(whole.state().disk());
        let look = look.map_err(|error| Failure::new(Fault::Stuck, format!("nothing is damaged yet: {error}")))?;
        let beginning = look.segments().find(|segment| segment.first <= segment.last);
        let begins = beginning.is_some_and(|segment| intact(&format!("{:010}.seg", segment.number)));
        let excused = there.len() > 1 || !begins;
        if excused && !there.iter().any(|name| intact(name)) && !self.kind.is_crash() {
            return Ok(Verdict::Refused);
        }
        Err(Failure::new(Fault::Stuck, format!("refused although there is enough: {error}")))
    }

    /// Opening again finds nothing, and hands out the same.
    fn again(&self, handed: &Handed, dice: &mut Dice) -> Result<(), Failure> {
        let mut store = self
            .open(Recovery::Strict)
            .map_err(|error| Failure::new(Fault::Stuck, format!("opening again: {error}")))?;
        let again = self.read(&mut store, dice)?;
        if again != *handed || !store.found().lost.is_empty() || store.found().torn != 0 {
            let text = format!("opened again there is {again:?} instead of {handed:?}: {:?}", store.found());
            return Err(Failure::new(Fault::Stuck, text));
        }
        if dice.once_in(16) && store.gaps().is_empty() && again.last() > 0 {
            self.go_on(store, again.last())?;
        }
        Ok(())
    }

    /// A machine is restored, and what it writes is there at the next opening.
    fn go_on(&self, mut store: Store<Disk>, last: u64) -> Result<(), Failure> {
        let stuck = |text: String| Failure::new(Fault::Stuck, text);
        let restore = store.records().try_fold(Restore::new(Config::new()), |restore, record| {
            record.map(|record| restore.record(record)).map_err(|error| stuck(error.to_string()))
        })?;
        let restored = restore.finish(Now::default());
        let mut sender = restored.map_err(|error| stuck(format!("restoring: {error}")))?;
        loop {
            match sender.poll_output() {
                Output::Persist(batch) => {
                    store.append(&batch).map_err(|error| stuck(format!("going on: {error}")))?;
                }
                Output::Wait(Wake::Ready)
                | Output::Load(_)
                | Output::Snapshot(_)
                | Output::Reclaim(_)
                | Output::Transmit(_)
                | Output::Abort(_)
                | Output::Notice(_) => {}
                Output::Wait(_) => break,
            }
        }
        let durable = store.sync().map_err(|error| stuck(format!("going on: {error}")))?;
        drop(store);
        let store = self.open(Recovery::Strict).map_err(|error| stuck(format!("having gone on: {error}")))?;
        let found = store.found().last;
        if durable.get() <= last || found != durable {
            return Err(stuck(format!("went on from {last} to {durable}, and found {found}")));
        }
        Ok(())
    }

    /// A look at what is damaged gives nothing that was not written.
    fn look(&self) -> Result<(), Failure> {
        let Ok(look) = Store::look(self.damaged.disk.clone()) else { return Ok(()) };
        let mut frame = BytesMut::new();
        for (at, record) in look.all().flatten() {
            frame.clear();
            journal::encode(at, &record, &mut frame);
            if record.kind() != Of::Kept {
                self.same(at.get(), &frame)?;
            }
        }
        Ok(())
    }

    /// An opening that was refused changed nothing.
    fn unchanged(&self, before: &crate::disk::State) -> Result<(), Failure> {
        let before = before.disk();
        let names = self.damaged.disk.names();
        let same = |name: &str| self.damaged.disk.content(name) == before.content(name);
        match names == before.names() && names.iter().all(|name| same(name)) {
            true => Ok(()),
            false => Err(Failure::new(Fault::Wrong, "an opening that was refused changed something")),
        }
    }
}

fn range(place: &Corrupt) -> Option<RangeInclusive<u64>> {
    place.records.map(|(first, last)| first.get()..=last.get())
}

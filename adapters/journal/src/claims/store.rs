//! Claims as a file of a [`Disk`], without a thread and without a clock.

use std::io;
use std::time::Duration;

use postrider_core::receiver::ClaimToken;
use postrider_core::receiver::book::BookRecord;
use postrider_core::time::UnixTime;

use super::bytes::{self, Frame, Head};
use super::{
    BookLimits, Claim, ClaimBook, ClaimDamage, ClaimError, Claimed, ClaimsStats, Commit, OpenClaimsError, Release,
    unavailable,
};
use crate::store::{Recovery, names};
use crate::{Disk, File};

/// The file.
const NAME: &str = "claims.log";

/// Tokens that are set aside at once. So many that it is seldom, so few that they do not run out: 2^32 times.
const TOKENS: u64 = 1 << 32;

/// A frame of a new file has at least so many bytes.
const PIECE: usize = 256 << 10;

/// A file with fewer records is never written anew.
const SMALL: u64 = 1000;

/// Bytes of a key, of what is said, and of a line, at most.
const TEXT: usize = 1024;

/// After a failure the disk is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How a store of claims is opened and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimOptions {
    /// How much it remembers.
    pub limits: BookLimits,
    /// What damage leads to. Strict.
    pub recovery: Recovery,
    /// How long to wait for another process to let go of the directory. Not at all.
    pub takeover: Duration,
}

impl ClaimOptions {
    /// With these limits.
    #[must_use]
    pub fn limits(self, limits: BookLimits) -> Self {
        Self { limits, ..self }
    }

    /// With this answer to damage.
    #[must_use]
    pub fn recovery(self, recovery: Recovery) -> Self {
        Self { recovery, ..self }
    }

    /// With so long a wait for another process to let go of the directory.
    #[must_use]
    pub fn takeover(self, wait: Duration) -> Self {
        Self { takeover: wait, ..self }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimsFound {
    /// Events that have ended.
    pub events: usize,
    /// Lines whose last place is known.
    pub lines: usize,
    /// Bytes of writes that were not finished, and were not acknowledged.
    pub torn: u64,
    /// What [`Recovery::Salvage`] could not bring back.
    pub lost: Vec<ClaimDamage>,
}

/// Claims as a file of a disk, in which every event that is over is written down.
///
/// It does nothing but what a call asks for, and everything that it does to its files goes through [`Disk`] within that
/// call. [`FileClaims`](super::FileClaims) is one on a directory, with a thread of its own.
///
/// Operations are made first and written with the next [`write`](Self::write); they are durable with the next
/// [`sync`](Self::sync). What depends on others' being durable must wait for it: see [`Pending`].
///
/// **Files.** There is one, appended to. Opening, and whenever more than half of its records are of no use any more,
/// everything that is known is written aside to a new one, which is synced and takes its name, and the name is made
/// durable: so what was read of a file that nobody knows to be durable never counts, nothing is ever appended to a file that
/// a crash or a failure has left, and each operation on the disk may be the last one before a crash. That takes about
/// 150 bytes for each event, and as long as writing those takes.
///
/// **Claims in progress** are not written down: one process at a time has the file, so when it is opened again whoever held
/// them has gone, and their events are free. Under which ids they came is, without waiting for a sync; after a loss of
/// power an event that was claimed at that time can be taken for a repeat of another that somebody sends under its id.
/// Tokens are set aside, durably, before they are given, so none is given twice.
///
/// **When the disk fails** nothing is ever synced a second time; everything is written to a new file. Until that works,
/// claims and commits are answered [`ClaimError::Unavailable`], and what is committed is known to this process alone.
pub struct ClaimFile<D: Disk> {
    disk: D,
    book: ClaimBook,
    found: ClaimsFound,
    frame: Frame,
    /// The frame has what somebody waits for to be durable.
    gating: bool,
    writing: Writing<D::File>,
    /// The number of the newest file.
    number: u64,
    /// Tokens below this one may be given.
    set_aside: ClaimToken,
    /// A file with fewer records is never written anew, and this one not before it has so many.
    small: u64,
    many: u64,
}

enum Writing<F> {
    To(Open<F>),
    /// Why, and when a new file was last tried.
    Failed {
        why: String,
        tried: Option<UnixTime>,
    },
}

/// Why a new file could not be written.
struct Unwritten {
    doing: &'static str,
    error: io::Error,
    /// It may bear the name of the old one.
    named: bool,
}

struct Open<F> {
    file: F,
    /// Bytes written, and those of them that are durable.
    end: u64,
    durable: u64,
    records: u64,
    /// Something was written that somebody waits for.
    gating: bool,
}

/// What an answer must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "a file is written and then synced")]
pub enum Pending {
    /// The next [`ClaimFile::write`].
    Write,
    /// The next [`ClaimFile::sync`].
    Sync,
}

impl Pending {
    /// What this answer to a claim must wait for. That an event is over must not be told before it is so for good.
    pub const fn of(claimed: &Claimed) -> Self {
        match claimed {
            Claimed::Granted { .. } | Claimed::Held { .. } => Self::Write,
            Claimed::Over(_) => Self::Sync,
        }
    }
}

impl<D: Disk> ClaimFile<D> {
    /// Opens the claims on this disk, or begins them on an empty one. `now` is the time.
    ///
    /// # Errors
    ///
    /// [`OpenClaimsError`]; then what was there is still there.
    pub fn open(disk: D, options: &ClaimOptions, now: UnixTime) -> Result<Self, OpenClaimsError> {
        let io = |doing, error: &io::Error| OpenClaimsError::io(doing, NAME, error);
        let (mut book, mut found, mut number) = (ClaimBook::new(options.limits, now), ClaimsFound::default(), 0);
        if let Some(bytes) = read(&disk).map_err(|error| io("reading", &error))? {
            let scan = match bytes::read_head(&bytes) {
                Head::Sound(of) => {
                    number = of;
                    bytes::scan(&bytes, of)
                }
                Head::Newer(format) => return Err(OpenClaimsError::Newer { format, known: bytes::FORMAT }),
                Head::Damaged => bytes::Scan { damaged: vec![(0, bytes.len())], ..bytes::Scan::default() },
            };
            let place = |(from, to): &(usize, usize)| ClaimDamage { offset: *from as u64, bytes: (to - from) as u64 };
            let places: Vec<_> = scan.damaged.iter().map(place).collect();
            if !places.is_empty() && options.recovery == Recovery::Strict {
                return Err(OpenClaimsError::Damaged { places });
            }
            (found.lost, found.torn) = (places, scan.torn as u64);
            scan.records.into_iter().for_each(|record| book.apply(record));
            if !found.lost.is_empty() {
                // Among it may be how many tokens were given: fewer than one in a nanosecond.
                let next = ClaimToken::new(now.as_millis().saturating_mul(1 << 20));
                book.apply(BookRecord::Tokens { next });
            }
        }
        (found.events, found.lines) = (book.remembered(), book.lines());
        let mut this = Self {
            disk,
            set_aside: book.next_token(),
            book,
            found,
            frame: Frame::default(),
            gating: false,
            writing: Writing::Failed { why: String::new(), tried: None },
            number,
            small: SMALL,
            many: SMALL,
        };
        match this.anew() {
            Ok(open) => this.writing = Writing::To(open),
            Err(failed) => return Err(io(failed.doing, &failed.error)),
        }
        Ok(this)
    }

    /// Writes smaller files anew, too.
    #[cfg(test)]
    pub(super) const fn small(mut self, records: u64) -> Self {
        (self.small, self.many) = (records, records);
        self
    }

    /// What opening found.
    pub const fn found(&self) -> &ClaimsFound {
        &self.found
    }

    /// How much it knows.
    pub fn stats(&self) -> ClaimsStats {
        ClaimsStats::of(&self.book)
    }

    /// Claims an event. The answer must wait for what [`Pending::of`] says.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Unavailable`] while the disk fails, and for texts of more than 1,024 bytes.
    pub fn claim(&mut self, now: UnixTime, claim: &Claim) -> Result<Claimed, ClaimError> {
        self.write_anew(now)?;
        let texts = [Some(&claim.key), claim.said.as_ref(), claim.replay_of.as_ref(), claim.line.as_ref()];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT) {
            return Err(unavailable("a key or a line is longer than 1024 bytes"));
        }
        let claimed = self.book.claim(now, claim);
        self.note();
        let left = self.set_aside.get().saturating_sub(self.book.next_token().get());
        if left < TOKENS / 2 {
            self.set_aside = ClaimToken::new(self.set_aside.get().saturating_add(TOKENS));
            self.add(&BookRecord::Tokens { next: self.set_aside });
        }
        Ok(claimed)
    }

    /// Ends a claim for good. The answer must wait for [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// [`ClaimError`]; a place that is `Unavailable` for its length is not remembered, and its event is over.
    pub fn commit(&mut self, now: UnixTime, commit: &Commit) -> Result<(), ClaimError> {
        let fits = commit.place.as_ref().is_none_or(|(line, _)| line.len() <= TEXT);
        let committed = if fits {
            self.book.commit(now, commit)
        } else {
            let mut without = commit.clone();
            without.place = None;
            self.book.commit(now, &without).and_then(|()| Err(unavailable("a line is longer than 1024 bytes")))
        };
        self.note();
        let healthy = self.write_anew(now);
        committed.and(healthy)
    }

    /// Gives a claim back.
    pub fn release(&mut self, now: UnixTime, release: &Release) {
        self.book.release(now, release);
        self.note();
    }

    /// Writes what was made since the last time. After an error nothing that waits may be told, and claims that were
    /// granted since should be released.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Unavailable`] if neither the file nor a new one takes it.
    pub fn write(&mut self, now: UnixTime) -> Result<(), ClaimError> {
        if let Writing::To(open) = &mut self.writing {
            let (bytes, records) = self.frame.take(self.number, open.end, open.durable);
            if !bytes.is_empty() {
                match open.file.write_at(open.end, &bytes) {
                    Ok(()) => {
                        open.end += bytes.len() as u64;
                        open.records += records;
                        open.gating |= std::mem::take(&mut self.gating);
                    }
                    Err(error) => self.fail("writing", &error),
                }
            }
        }
        self.write_anew(now)
    }

    /// Makes durable what was written and is waited for.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Unavailable`] if neither the file nor a new one takes it.
    pub fn sync(&mut self, now: UnixTime) -> Result<(), ClaimError> {
        if let Writing::To(open) = &mut self.writing
            && open.gating
        {
            match open.file.sync() {
                Ok(()) => (open.durable, open.gating) = (open.end, false),
                Err(error) => self.fail("syncing", &error),
            }
        }
        self.write_anew(now)?;
        self.tidy();
        Ok(())
    }

    /// Writes the file anew if more than half of its records are of no use.
    fn tidy(&mut self) {
        let Writing::To(open) = &self.writing else { return };
        if open.records <= self.many {
            return;
        }
        let stats = self.stats();
        let live = (stats.held + stats.remembered + stats.lines) as u64;
        self.many = live.saturating_mul(2).max(self.small);
        if open.records <= self.many {
            return;
        }
        let records = open.records;
        match self.anew() {
            Ok(open) => self.writing = Writing::To(open),
            // The old one is still good.
            Err(failed) if !failed.named => self.many = records.saturating_add(live).saturating_add(self.small),
            Err(failed) => self.fail(failed.doing, &failed.error),
        }
    }

    /// Takes note of what the book changed.
    fn note(&mut self) {
        if let Some(record) = self.book.change() {
            self.add(&record);
        }
    }

    fn add(&mut self, record: &BookRecord) {
        // While the disk fails the book alone knows; it is written whole when that ends.
        if matches!(self.writing, Writing::To(_)) {
            self.gating |= record.is_gating();
            self.frame.add(record);
        }
    }

    fn fail(&mut self, doing: &str, error: &io::Error) {
        self.writing = Writing::Failed { why: format!("{doing} {NAME}: {}", error.kind()), tried: None };
    }

    /// After a failure writes everything to a new file, unless that failed a moment ago.
    fn write_anew(&mut self, now: UnixTime) -> Result<(), ClaimError> {
        match &self.writing {
            Writing::To(_) => return Ok(()),
            Writing::Failed { why, tried: Some(at) } if now.saturating_since(*at) < TRY_AGAIN => {
                return Err(unavailable(why));
            }
            Writing::Failed { .. } => {}
        }
        match self.anew() {
            Ok(open) => {
                self.writing = Writing::To(open);
                Ok(())
            }
            Err(failed) => {
                let why = format!("{} {NAME}: {}", failed.doing, failed.error.kind());
                let error = unavailable(&why);
                self.writing = Writing::Failed { why, tried: Some(now) };
                Err(error)
            }
        }
    }

    /// Writes everything that is known to a new file, which takes the place of the old one, durably.
    fn anew(&mut self) -> Result<Open<D::File>, Unwritten> {
        let failed = |doing| move |error| Unwritten { doing, error, named: false };
        // All of it is in the book.
        (self.frame, self.gating) = (Frame::default(), false);
        let aside = names::aside(NAME);
        match self.disk.remove(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removing a new")(error)),
            Ok(()) | Err(_) => {}
        }
        let number = self.number + 1;
        let set_aside = ClaimToken::new(self.book.next_token().get().saturating_add(TOKENS)).max(self.set_aside);
        let file = self.disk.create(&aside, 0).map_err(failed("making a new"))?;
        let mut open = Open { file, end: bytes::HEAD as u64, durable: 0, records: 0, gating: false };
        open.file.write_at(0, &bytes::head(number)).map_err(failed("writing a new"))?;
        let mut frame = Frame::default();
        let tokens = BookRecord::Tokens { next: set_aside };
        for record in [tokens].into_iter().chain(self.book.records()) {
            frame.add(&record);
            if frame.len() >= PIECE {
                open.append(&mut frame, number).map_err(failed("writing a new"))?;
            }
        }
        open.append(&mut frame, number).map_err(failed("writing a new"))?;
        open.file.sync().map_err(failed("syncing a new"))?;
        open.durable = open.end;
        let named = |error| Unwritten { doing: "naming a new", error, named: true };
        self.disk.rename(&aside, NAME).and_then(|()| self.disk.sync_dir()).map_err(named)?;
        (self.number, self.set_aside) = (number, set_aside);
        Ok(open)
    }
}

impl<D: Disk> std::fmt::Debug for ClaimFile<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClaimFile").field("found", &self.found).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<F: File> Open<F> {
    fn append(&mut self, frame: &mut Frame, number: u64) -> io::Result<()> {
        let (bytes, records) = frame.take(number, self.end, self.durable);
        if !bytes.is_empty() {
            self.file.write_at(self.end, &bytes)?;
        }
        self.end += bytes.len() as u64;
        self.records += records;
        Ok(())
    }
}

/// All bytes of the file; `None` if there is none.
fn read(disk: &impl Disk) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; len];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

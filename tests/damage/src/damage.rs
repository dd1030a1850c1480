//! What happens to a journal.

use std::fmt;
use std::sync::Arc;

use crate::dice::Dice;
use crate::disk::{Content, Disk, SECTOR};
use crate::world::World;

/// A kind of damage; each has a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the table has a row for each")]
pub enum Kind {
    /// One bit of one file.
    Flip1,
    /// Two bits, of any files.
    Flip2,
    /// Three bits, of any files.
    Flip3,
    /// A file is cut off anywhere.
    Truncated,
    /// A file is missing.
    Missing,
    /// A file is there a second time, under another name or in the place of another file.
    Doubled,
    /// A file bears the name of another, or two have changed names.
    Renamed,
    /// A sector reads as zeros.
    Blank,
    /// A sector holds what another one should.
    Misplaced,
    /// A file is what it was some time ago.
    Old,
    /// The power goes at any moment.
    Crash,
    /// The power goes while a segment is being made.
    CrashSegment,
    /// The power goes while a snapshot gets its name.
    CrashSnapshot,
    /// The power goes while segments are rewritten, replaced or removed.
    CrashCompaction,
    /// The power goes, and again while the journal is opened.
    CrashTwice,
    /// The power goes, and bits are flipped.
    CrashFlip,
    /// The power goes, and a file is cut off.
    CrashTruncated,
    /// Bits are flipped, and the power goes while that is being salvaged.
    CrashSalvage,
}

impl Kind {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::Flip1,
        Self::Flip2,
        Self::Flip3,
        Self::Truncated,
        Self::Missing,
        Self::Doubled,
        Self::Renamed,
        Self::Blank,
        Self::Misplaced,
        Self::Old,
        Self::Crash,
        Self::CrashSegment,
        Self::CrashSnapshot,
        Self::CrashCompaction,
        Self::CrashTwice,
        Self::CrashFlip,
        Self::CrashTruncated,
        Self::CrashSalvage,
    ];

    /// Whether nothing but what a loss of power may do was done: then every opening must succeed.
    pub(crate) const fn is_crash(self) -> bool {
        matches!(
            self,
            Self::Crash | Self::CrashSegment | Self::CrashSnapshot | Self::CrashCompaction | Self::CrashTwice
        )
    }

    /// How often it is drawn.
    const fn weight(self) -> usize {
        match self {
            Self::Flip1 | Self::Crash => 6,
            Self::Flip2 | Self::Flip3 | Self::Truncated => 4,
            Self::Missing
            | Self::Doubled
            | Self::Renamed
            | Self::Blank
            | Self::Misplaced
            | Self::Old
            | Self::CrashSegment
            | Self::CrashSnapshot
            | Self::CrashCompaction
            | Self::CrashTwice
            | Self::CrashFlip
            | Self::CrashTruncated
            | Self::CrashSalvage => 2,
        }
    }

    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut left = dice.below(Self::ALL.iter().map(|kind| kind.weight()).sum());
        for kind in Self::ALL {
            match left.checked_sub(kind.weight()) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        Self::Flip1
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Flip1 => "1 bit flipped",
            Self::Flip2 => "2 bits flipped",
            Self::Flip3 => "3 bits flipped",
            Self::Truncated => "file cut off",
            Self::Missing => "file missing",
            Self::Doubled => "file doubled",
            Self::Renamed => "file renamed over another",
            Self::Blank => "sector blank",
            Self::Misplaced => "sector misplaced",
            Self::Old => "file as it was before",
            Self::Crash => "crash, any sectors left",
            Self::CrashSegment => "crash, segment in the making",
            Self::CrashSnapshot => "crash, snapshot being named",
            Self::CrashCompaction => "crash, compaction",
            Self::CrashTwice => "crash, and one in recovery",
            Self::CrashFlip => "crash and flipped bits",
            Self::CrashTruncated => "crash and file cut off",
            Self::CrashSalvage => "flipped bits, crash in salvage",
        })
    }
}

/// A journal that something happened to.
#[derive(Clone, Debug)]
pub(crate) struct Damaged {
    pub(crate) still: usize,
    /// Before it was damaged, though after the crash.
    pub(crate) whole: Disk,
    pub(crate) disk: Disk,
    /// What was done.
    pub(crate) done: String,
    /// The files that were cut off, taken away or replaced.
    pub(crate) cut: Vec<Arc<str>>,
}

/// Does it.
pub(crate) fn damaged(world: &World, kind: Kind, dice: &mut Dice) -> Damaged {
    let at = moment(world, kind, dice);
    let still = &world.stills[at];
    let crashes = kind.is_crash() || matches!(kind, Kind::CrashFlip | Kind::CrashTruncated);
    let whole = if crashes { still.state.crashed(dice) } else { still.state.disk() };
    let disk = whole.state().disk();
    let mut hand = Hand { world, disk, done: Vec::new(), cut: Vec::new() };
    match kind {
        Kind::Flip1 => hand.flip(dice, 1),
        Kind::Flip2 => hand.flip(dice, 2),
        Kind::Flip3 => hand.flip(dice, 3),
        Kind::CrashFlip | Kind::CrashSalvage => {
            let bits = dice.within(1, 3);
            hand.flip(dice, bits);
        }
        Kind::Truncated | Kind::CrashTruncated => hand.truncate(dice),
        Kind::Missing => hand.take(dice),
        Kind::Doubled => hand.double(dice),
        Kind::Renamed => hand.rename(dice),
        Kind::Blank => hand.blank(dice),
        Kind::Misplaced => hand.misplace(dice),
        Kind::Old => hand.age(dice, at),
        Kind::Crash | Kind::CrashSegment | Kind::CrashSnapshot | Kind::CrashCompaction | Kind::CrashTwice => {}
    }
    let Hand { disk, done, cut, .. } = hand;
    Damaged { still: at, whole, disk, done: done.join(", "), cut }
}

/// The moment at which it happens.
fn moment(world: &World, kind: Kind, dice: &mut Dice) -> usize {
    let near = world.near(kind).and_then(|near| dice.pick(near).copied());
    // What follows an operation counts too: its effect may not be durable yet.
    let at = near.map(|at| at + dice.below(3));
    at.unwrap_or_else(|| dice.below(world.stills.len())).min(world.stills.len() - 1)
}

/// Does one kind of damage after the other.
struct Hand<'a> {
    world: &'a World,
    disk: Disk,
    done: Vec<String>,
    cut: Vec<Arc<str>>,
}

impl Hand<'_> {
    /// A file: each as likely, or each byte.
    fn file(&self, dice: &mut Dice) -> Option<(Arc<str>, Arc<Content>)> {
        let files: Vec<_> =
            self.disk.names().into_iter().filter_map(|name| Some((name.clone(), self.disk.content(&name)?))).collect();
        if dice.once_in(2) {
            return dice.pick(&files).cloned();
        }
        let mut left = dice.below(files.iter().map(|(_, content)| content.len()).sum());
        files.into_iter().find(|(_, content)| {
            let here = left < content.len();
            left = left.saturating_sub(content.len());
            here
        })
    }

    /// A byte of a file: most often one that was written.
    fn byte(content: &Content, dice: &mut Dice) -> usize {
        if dice.once_in(8) { dice.below(content.len()) } else { dice.below(content.written().max(1)) }
    }

    fn flip(&mut self, dice: &mut Dice, bits: usize) {
        for _ in 0..bits {
            let Some((name, content)) = self.file(dice).filter(|(_, content)| content.len() > 0) else { continue };
            let (at, bit) = (Self::byte(&content, dice), dice.below(8));
            let mut byte = [0];
            content.read(at, &mut byte);
            byte[0] ^= 1 << bit;
            let mut content = Content::clone(&content);
            content.write(at, &byte);
            self.disk.put(&name, content);
            self.done.push(format!("bit {bit} of byte {at} of {name} flipped"));
        }
    }

    fn truncate(&mut self, dice: &mut Dice) {
        let Some((name, content)) = self.file(dice) else { return };
        let (len, mut content) = (Self::byte(&content, dice), Content::clone(&content));
        content.set_len(len);
        self.disk.put(&name, content);
        self.done.push(format!("{name} cut off at {len}"));
        self.cut.push(name);
    }

    fn take(&mut self, dice: &mut Dice) {
        let Some((name, _)) = self.file(dice) else { return };
        self.disk.take(&name);
        self.done.push(format!("{name} taken away"));
        self.cut.push(name);
    }

    fn double(&mut self, dice: &mut Dice) {
        let (Some((from, content)), Some((over, _))) = (self.file(dice), self.file(dice)) else { return };
        let to = if dice.once_in(2) { over } else { other_name(&from, dice) };
        self.disk.put(&to, Content::clone(&content));
        self.done.push(format!("{from} copied to {to}"));
        self.cut.push(to);
    }

    fn rename(&mut self, dice: &mut Dice) {
        let (Some((from, here)), Some((to, there))) = (self.file(dice), self.file(dice)) else { return };
        let to = if dice.once_in(4) { other_name(&from, dice) } else { to };
        let back = dice.once_in(3) && self.disk.content(&to).is_some();
        self.disk.take(&from);
        self.disk.put(&to, Content::clone(&here));
        if back {
            self.disk.put(&from, Content::clone(&there));
        }
        self.done.push(format!("{from} renamed to {to}{}", if back { ", and back" } else { "" }));
        self.cut.extend([from, to]);
    }

    fn blank(&mut self, dice: &mut Dice) {
        let Some((name, content)) = self.file(dice).filter(|(_, content)| content.len() > 0) else { return };
        let at = Self::byte(&content, dice) / SECTOR * SECTOR;
        let mut changed = Content::clone(&content);
        changed.write(at, &vec![0; SECTOR.min(content.len() - at)]);
        self.disk.put(&name, changed);
        self.done.push(format!("sector at {at} of {name} blanked"));
    }

    fn misplace(&mut self, dice: &mut Dice) {
        let file = |dice: &mut Dice| self.file(dice).filter(|(_, content)| content.len() > 0);
        let (Some((from, source)), Some((to, content))) = (file(dice), file(dice)) else { return };
        let place = |content: &Content, dice: &mut Dice| Self::byte(content, dice) / SECTOR * SECTOR;
        let (at, onto) = (place(&source, dice), place(&content, dice));
        let mut sector = vec![0; SECTOR.min(content.len() - onto)];
        source.read(at, &mut sector);
        let mut content = Content::clone(&content);
        content.write(onto, &sector);
        self.disk.put(&to, content);
        self.done.push(format!("sector at {at} of {from} is also at {onto} of {to}"));
    }

    fn age(&mut self, dice: &mut Dice, now: usize) {
        let Some((name, content)) = self.file(dice) else { return };
        let then = dice.below(now + 1);
        let earlier = self.world.stills[then].state.content(&name).filter(|earlier| **earlier != *content);
        let Some(earlier) = earlier else { return };
        self.disk.put(&name, Content::clone(&earlier));
        self.done.push(format!("{name} as it was before operation {then}"));
        self.cut.push(name);
    }
}

/// A name that the store may take for one of its own.
fn other_name(name: &str, dice: &mut Dice) -> Arc<str> {
    let (digits, ending) = name.split_once('.').unwrap_or((name, "seg"));
    let number: u64 = digits.parse().unwrap_or(0);
    let number = number.saturating_add_signed([1, 1, 2, -1, 9][dice.below(5)]);
    Arc::from(format!("{number:010}.{ending}"))
}

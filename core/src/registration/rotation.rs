//! Rotations that can be finished: which key the receiver really uses.
//!
//! All active keys sign, so that the sender alone cannot know when a receiver has changed over to a new one. Our
//! receivers say it: they answer with `postrider-key-used`, the name of the key that verified. [`KeyUses`] counts what
//! they say, and [`RotationStatus`] tells from that whether the old key is safe to retire.
//!
//! A receiver that never says which key verified leaves the question open, and the overlap ends by time.
//!
//! ```
//! use core::time::Duration;
//! use postrider_core::registration::Draft;
//! use postrider_core::registration::rotation::{KeyUsed, KeyUses, Retire, RotationStatus};
//! use postrider_core::secret::Secret;
//! use postrider_core::time::UnixTime;
//!
//! let (old, new) = (Secret::from_bytes([1; 32])?, Secret::from_bytes([2; 32])?);
//! let mut ring = Draft::default();
//! ring.add(&old)?;
//! ring.rotate(&new, UnixTime::EPOCH, Duration::from_secs(24 * 3600))?;
//!
//! let mut uses = KeyUses::default();
//! let named = KeyUsed::read(&[("postrider-key-used", new.id().to_string())]);
//! for minute in 0..=60 {
//!     uses.observe(UnixTime::from_secs(minute * 60), &[new.id(), old.id()], named);
//! }
//! let status = RotationStatus::of(ring.keys(), &uses, UnixTime::from_secs(3600));
//! assert_eq!(status.old_key(), Retire::Safe);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::limits;
use crate::secret::KeyId;
use crate::signing::Headers;
use crate::time::UnixTime;

/// The header in which a receiver names the key that verified, as [`KeyId`] writes it.
pub const KEY_USED: &str = "postrider-key-used";

/// Lines of it that are looked at; an answer with more says nothing.
pub const KEY_USED_LINES: usize = 4;

/// Answers in a row that must name the newest key before an older one is safe to retire.
pub const ENOUGH: u64 = 3;

/// The time over which they must come: a receiver of several processes may not have changed all of them over.
pub const LONG_ENOUGH: Duration = Duration::from_secs(3600);

/// What an answer says about the key that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an answer says nothing, this, or nonsense")]
pub enum KeyUsed {
    /// Nothing.
    Unsaid,
    /// This key.
    Named(KeyId),
    /// What it says is not the name of one key.
    Unclear,
}

impl KeyUsed {
    /// Reads it from an answer's headers: one key's name, blanks around it aside. Of several lines each must say the
    /// same. At most [`KEY_USED_LINES`] lines are looked at, and of each no more than a name is long.
    pub fn read(headers: &(impl Headers + ?Sized)) -> Self {
        let mut said = Self::Unsaid;
        for (place, line) in headers.all(KEY_USED).enumerate() {
            let text = core::str::from_utf8(line.trim_ascii()).unwrap_or_default();
            let Ok(id) = text.parse() else { return Self::Unclear };
            if place >= KEY_USED_LINES || !matches!(said, Self::Unsaid) && said != Self::Named(id) {
                return Self::Unclear;
            }
            said = Self::Named(id);
        }
        said
    }
}

/// How often a key was named, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// How often.
    pub count: u64,
    /// The first time.
    pub since: UnixTime,
    /// The last time.
    pub last: UnixTime,
}

impl Use {
    /// So often, from the first time to the last.
    pub const fn new(count: u64, since: UnixTime, last: UnixTime) -> Self {
        Self { count, since, last }
    }

    fn again(self, wall: UnixTime) -> Self {
        Self { count: self.count.saturating_add(1), since: self.since.min(wall), last: self.last.max(wall) }
    }
}

/// What one endpoint's answers have said about its keys. Of at most as many keys as a ring holds; the one that was named
/// longest ago is forgotten for another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUses {
    keys: Vec<(KeyId, Use)>,
    /// The key that was named last, and how often in a row.
    run: Option<(KeyId, Use)>,
    unclear: u64,
}

impl KeyUses {
    /// Notes an answer that came at `wall` to a request that the keys `signed` had signed.
    ///
    /// A key that did not sign cannot have verified: such an answer is counted as [`unclear`](Self::unclear), and so is
    /// one that is [`Unclear`](KeyUsed::Unclear). Says whether anything changed.
    pub fn observe(&mut self, wall: UnixTime, signed: &[KeyId], used: KeyUsed) -> bool {
        let id = match used {
            KeyUsed::Unsaid => return false,
            KeyUsed::Named(id) if signed.contains(&id) => id,
            KeyUsed::Named(_) | KeyUsed::Unclear => {
                self.unclear = self.unclear.saturating_add(1);
                return true;
            }
        };
        let first = Use { count: 1, since: wall, last: wall };
        match self.keys.iter_mut().find(|(key, _)| *key == id) {
            Some((_, uses)) => *uses = uses.again(wall),
            None => {
                if self.keys.len() >= limits::RING_KEYS {
                    let oldest = self.keys.iter().enumerate().min_by_key(|(_, (_, uses))| uses.last);
                    let at = oldest.map_or(0, |(at, _)| at);
                    self.keys.remove(at);
                }
                self.keys.push((id, first));
            }
        }
        self.run = match self.run {
            Some((key, run)) if key == id => Some((key, run.again(wall))),
            Some(_) | None => Some((id, first)),
        };
        true
    }

    /// What was kept of it: the keys that were named, the key that was named last with how often in a row, and the count
    /// of [`unclear`](Self::unclear) answers. Of more keys than a ring holds the first are taken.
    pub fn restore(keys: impl IntoIterator<Item = (KeyId, Use)>, run: Option<(KeyId, Use)>, unclear: u64) -> Self {
        Self { keys: keys.into_iter().take(limits::RING_KEYS).collect(), run, unclear }
    }

    /// The key that was named last, and how often in a row.
    pub const fn run(&self) -> Option<(KeyId, Use)> {
        self.run
    }

    /// How often this key was named, if ever.
    pub fn of(&self, id: KeyId) -> Option<Use> {
        self.keys.iter().find(|(key, _)| *key == id).map(|(_, uses)| *uses)
    }

    /// Answers that named no key, several, or one that had not signed.
    pub const fn unclear(&self) -> u64 {
        self.unclear
    }

    /// The keys that were named, in no particular order, for the journal.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (KeyId, Use)> {
        self.keys.iter().copied()
    }
}

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a rotation must show each")]
pub enum Phase {
    /// No key signs.
    NoKey,
    /// One key signs.
    Settled(KeyId),
    /// Several keys sign.
    Overlap {
        /// The newest.
        newest: KeyId,
        /// When it alone is left, if the others are all to expire.
        until: Option<UnixTime>,
    },
}

/// A key of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The key.
    pub id: KeyId,
    /// When it expires.
    pub expires: Option<UnixTime>,
    /// Whether it signs.
    pub signs: bool,
    /// How often it was the one that verified, and since when.
    pub used: Option<Use>,
}

/// Whether the keys before the newest are safe to retire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know each answer")]
pub enum Retire {
    /// They are: the newest key was the one that verified, for long enough and without exception.
    Safe,
    /// There are none that sign.
    Nothing,
    /// No answer has named a key.
    Unknown,
    /// An older key was named last.
    StillUsed {
        /// The key.
        key: KeyId,
        /// When.
        last: UnixTime,
    },
    /// The newest key was named last, but not often enough or not for long enough.
    TooSoon {
        /// How often in a row.
        count: u64,
        /// Over which time.
        over: Duration,
    },
}

/// What is known of an endpoint's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationStatus {
    /// Where the rotation stands.
    pub phase: Phase,
    /// The keys of the ring, newest first.
    pub keys: Vec<KeyStatus>,
    /// Answers that named no key, several, or one that had not signed.
    pub unclear: u64,
    retire: Retire,
}

impl RotationStatus {
    /// The status at `wall` of a ring with these keys, newest first, as [`Draft::keys`](super::Draft::keys) and
    /// [`EndpointView::keys`](super::EndpointView::keys) have them.
    pub fn of(keys: impl IntoIterator<Item = (KeyId, Option<UnixTime>)>, uses: &KeyUses, wall: UnixTime) -> Self {
        let status = |(id, expires): (KeyId, Option<UnixTime>)| KeyStatus {
            id,
            expires,
            signs: expires.is_none_or(|at| wall < at),
            used: uses.of(id),
        };
        let keys: Vec<_> = keys.into_iter().map(status).collect();
        let mut signing = keys.iter().filter(|key| key.signs);
        let newest = signing.next();
        let older: Vec<_> = signing.collect();
        let phase = match newest {
            None => Phase::NoKey,
            Some(key) if older.is_empty() => Phase::Settled(key.id),
            Some(key) => {
                let ends: Option<Vec<_>> = older.iter().map(|key| key.expires).collect();
                Phase::Overlap { newest: key.id, until: ends.and_then(|ends| ends.into_iter().max()) }
            }
        };
        let retire = match (newest, uses.run) {
            (None, _) => Retire::Nothing,
            (Some(_), _) if older.is_empty() => Retire::Nothing,
            (Some(_), None) => Retire::Unknown,
            (Some(newest), Some((key, run))) if key == newest.id => {
                let over = run.last.saturating_since(run.since);
                if run.count >= ENOUGH && over >= LONG_ENOUGH {
                    Retire::Safe
                } else {
                    Retire::TooSoon { count: run.count, over }
                }
            }
            (Some(_), Some((key, run))) => Retire::StillUsed { key, last: run.last },
        };
        Self { phase, keys, unclear: uses.unclear, retire }
    }

    /// Whether the keys before the newest are safe to retire, and if not, why not.
    ///
    /// They are when the newest one was named by the last [`ENOUGH`] answers or more that named a key at all, over
    /// [`LONG_ENOUGH`] or more. One answer that names another key begins the count anew.
    pub const fn old_key(&self) -> Retire {
        self.retire
    }

    /// Whether the keys before the newest can be retired without an answer failing for it, as far as answers tell.
    pub fn is_old_key_safe_to_retire(&self) -> bool {
        self.retire == Retire::Safe
    }
}

impl fmt::Display for Retire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe => f.write_str("the old keys are safe to retire: the receiver uses the newest one"),
            Self::Nothing => f.write_str("there is no old key that signs"),
            Self::Unknown => f.write_str("the receiver has not said which key it uses"),
            Self::StillUsed { key, last } => write!(f, "the receiver still used {key} at {last}"),
            Self::TooSoon { count, over } => write!(
                f,
                "the receiver has used the newest key for its last {count} answers over {over:.0?}; \
                 {ENOUGH} over {LONG_ENOUGH:.0?} are needed"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    fn key(n: u8) -> KeyId {
        KeyId::from_bytes([n; 8])
    }

    fn at(minute: u64) -> UnixTime {
        UnixTime::from_secs(1_700_000_000 + minute * 60)
    }

    #[test]
    fn the_header_is_one_name_or_nothing() {
        let name = key(7).to_string();
        let read = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("Postrider-Key-Used", *line)).collect();
            KeyUsed::read(&lines)
        };
        assert_eq!((read(&[]), read(&[&name])), (KeyUsed::Unsaid, KeyUsed::Named(key(7))));
        let padded = alloc::format!(" {name}\t");
        assert_eq!(read(&[&padded, &name]), KeyUsed::Named(key(7)));
        let (long, upper, pair) = ("k".repeat(100_000), name.to_uppercase(), alloc::format!("{name}, {name}"));
        for bad in ["", "key_", &long, &upper, &pair] {
            assert_eq!(read(&[bad]), KeyUsed::Unclear);
            assert_eq!(read(&[&name, bad]), KeyUsed::Unclear);
        }
        assert_eq!(read(&[&name, &key(8).to_string()]), KeyUsed::Unclear);
        assert_eq!(read(&[name.as_str(); KEY_USED_LINES]), KeyUsed::Named(key(7)));
        assert_eq!(read(&[name.as_str(); KEY_USED_LINES + 1]), KeyUsed::Unclear);
    }

    #[test]
    fn an_old_key_is_retired_when_the_new_one_was_used_long_enough() {
        let ring = [(key(2), None), (key(1), Some(at(1440)))];
        let mut uses = KeyUses::default();
        let verdict = |uses: &KeyUses| RotationStatus::of(ring, uses, at(100));
        assert_eq!(verdict(&uses).old_key(), Retire::Unknown);
        let see = |uses: &mut KeyUses, minute, n| uses.observe(at(minute), &[key(2), key(1)], KeyUsed::Named(key(n)));
        see(&mut uses, 0, 2);
        see(&mut uses, 1, 1);
        assert_eq!(verdict(&uses).old_key(), Retire::StillUsed { key: key(1), last: at(1) });
        see(&mut uses, 2, 2);
        see(&mut uses, 62, 2);
        let soon = verdict(&uses);
        assert_eq!(soon.old_key(), Retire::TooSoon { count: 2, over: LONG_ENOUGH });
        assert!(!soon.is_old_key_safe_to_retire());
        see(&mut uses, 62, 2);
        let status = verdict(&uses);
        assert!(status.is_old_key_safe_to_retire());
        assert_eq!(status.phase, Phase::Overlap { newest: key(2), until: Some(at(1440)) });
        assert_eq!(status.keys[0].used, Some(Use { count: 4, since: at(0), last: at(62) }));
        assert_eq!(RotationStatus::of(ring, &uses, at(1440)).phase, Phase::Settled(key(2)));
        assert_eq!(RotationStatus::of(ring, &uses, at(1440)).old_key(), Retire::Nothing);
        assert_eq!(RotationStatus::of([], &uses, at(0)).phase, Phase::NoKey);
        let forever = [(key(2), None), (key(1), None)];
        let status = RotationStatus::of(forever, &uses, at(0));
        assert_eq!(status.phase, Phase::Overlap { newest: key(2), until: None });
    }

    #[test]
    fn a_key_that_did_not_sign_did_not_verify() {
        let mut uses = KeyUses::default();
        assert!(uses.observe(at(0), &[key(2)], KeyUsed::Named(key(1))));
        assert!(uses.observe(at(0), &[key(2)], KeyUsed::Unclear));
        assert!(!uses.observe(at(0), &[key(2)], KeyUsed::Unsaid));
        assert_eq!((uses.unclear(), uses.iter().count()), (2, 0));
    }

    proptest! {
        #[test]
        fn any_header_is_read(lines in prop::collection::vec("[ -~]{0,24}|key_[0-9a-f]{16}", 0..7)) {
            let pairs: Vec<(&str, String)> = lines.iter().map(|line| (KEY_USED, line.clone())).collect();
            if let KeyUsed::Named(id) = KeyUsed::read(&pairs) {
                prop_assert!(lines.iter().all(|line| line.trim() == id.to_string()));
            }
        }

        /// Counts are bounded, and safe to retire means that the newest key was the last one named.
        #[test]
        fn what_is_safe_was_seen(course in prop::collection::vec((0..14_u8, 0..40_u64), 0..80)) {
            let (mut uses, mut minute, mut named) = (KeyUses::default(), 0, Vec::new());
            let all: Vec<KeyId> = (0..14).map(key).collect();
            for (n, pass) in course {
                minute += pass;
                let n = if n < 8 { 0 } else { n };
                uses.observe(at(minute), &all, KeyUsed::Named(key(n)));
                named.push((n, minute));
                prop_assert!(uses.iter().len() <= limits::RING_KEYS);
                prop_assert_eq!(&KeyUses::restore(uses.iter(), uses.run(), uses.unclear()), &uses);
                let status = RotationStatus::of([(key(0), None), (key(9), None)], &uses, at(minute));
                let run: Vec<_> = named.iter().rev().take_while(|(n, _)| *n == 0).collect();
                let long = run.last().is_some_and(|(_, first)| minute - first >= 60);
                prop_assert_eq!(status.is_old_key_safe_to_retire(), long && run.len() as u64 >= ENOUGH);
            }
        }
    }
}

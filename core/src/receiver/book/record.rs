//! What a book must know when it is made again, as bytes.
//!
//! Each record has one encoding: its kind and version, one byte each, then its fields as in the
//! [journal](crate::journal)'s bodies. It knows neither its length nor whether it is whole; the file around it does.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::BytesMut;

use super::super::claim::{ClaimToken, Ending};
use super::VARIANTS;
use crate::journal::CodecError;
use crate::journal::wire::{Reader, Writer};
use crate::time::UnixTime;

const VERSION: u8 = 1;

const TOKENS: u8 = 1;
const OWED: u8 = 2;
const OVER: u8 = 3;
const SEEN: u8 = 4;
const PLACE: u8 = 5;

/// A change of a [`ClaimBook`](super::ClaimBook), as its store writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BookRecord {
    /// Tokens below this one may have been given, and none of them is given again.
    Tokens {
        /// The next.
        next: ClaimToken,
    },
    /// An event was claimed that has not ended: when the book is made again, it is owed.
    Owed(EventRecord),
    /// An event has ended for good.
    Over {
        /// The event.
        event: EventRecord,
        /// How.
        ending: Ending,
        /// Its line, and its place in that.
        place: Option<(Arc<str>, u64)>,
    },
    /// A repeat came for an event that was over.
    Seen {
        /// The key that it came under.
        key: Arc<str>,
        /// A key of the event.
        of: Arc<str>,
        /// When it was signed.
        signed: UnixTime,
    },
    /// The last place of a line.
    Place {
        /// The line.
        line: Arc<str>,
        /// The place.
        place: u64,
    },
}

/// An event of a [`BookRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRecord {
    /// The key of its newest claim.
    pub key: Arc<str>,
    /// What was said of it when it first came, where the signature does not cover that.
    pub said: Option<Arc<str>>,
    /// Whether what was said stands for this event.
    pub holds_said: bool,
    /// Other keys that are its own, at most [`VARIANTS`].
    pub others: Vec<Arc<str>>,
    /// What it is a replay of.
    pub replay_of: Option<Arc<str>>,
    /// When the newest request for it was signed.
    pub signed: UnixTime,
    /// Its newest claim.
    pub token: ClaimToken,
    /// When it ended; of one in progress, when its lease runs out.
    pub at: UnixTime,
}

/// Why bytes are no [`BookRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// A kind or version that this release does not know.
    Unknown {
        /// The kind.
        kind: u8,
        /// The version.
        version: u8,
    },
    /// An event that ended in a way that this release does not know.
    Ending {
        /// The byte of the ending.
        byte: u8,
    },
    /// Its fields are not what was written.
    Fields(CodecError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, version } => write!(f, "kind {kind} of version {version} is not known"),
            Self::Ending { byte } => write!(f, "the ending is {byte}, 1 to 4 are known"),
            Self::Fields(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for RecordError {}

impl From<CodecError> for RecordError {
    fn from(why: CodecError) -> Self {
        Self::Fields(why)
    }
}

impl BookRecord {
    /// Whether whoever caused it is to be answered only when it is durable. If another is lost, the worst that follows is
    /// that a request is taken for new that somebody has made to look like one.
    pub const fn is_gating(&self) -> bool {
        match self {
            Self::Tokens { .. } | Self::Over { .. } => true,
            Self::Owed(_) | Self::Seen { .. } | Self::Place { .. } => false,
        }
    }

    /// Appends its bytes. Texts of 64 KiB or more are cut: no receiver makes them.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut w = Writer::new(out);
        match self {
            Self::Tokens { next } => {
                head(&mut w, TOKENS);
                w.u64(next.get());
            }
            Self::Owed(event) => {
                head(&mut w, OWED);
                write_event(&mut w, event);
            }
            Self::Over { event, ending, place } => {
                head(&mut w, OVER);
                write_event(&mut w, event);
                w.u8(ending_byte(*ending));
                w.option(place.as_ref(), |w, (line, place)| {
                    text(w, line);
                    w.u64(*place);
                });
            }
            Self::Seen { key, of, signed } => {
                head(&mut w, SEEN);
                text(&mut w, key);
                text(&mut w, of);
                w.time(*signed);
            }
            Self::Place { line, place } => {
                head(&mut w, PLACE);
                text(&mut w, line);
                w.u64(*place);
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote. Total: arbitrary bytes give a record or an error, and take no more memory
    /// than some multiple of their own.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader::new(bytes, 0);
        let (kind, version) = (r.u8("kind")?, r.u8("version")?);
        if version != VERSION {
            return Err(RecordError::Unknown { kind, version });
        }
        let record = match kind {
            TOKENS => Self::Tokens { next: ClaimToken::new(r.u64("next")?) },
            OWED => Self::Owed(read_event(&mut r)?),
            OVER => {
                let event = read_event(&mut r)?;
                let ending = read_ending(r.u8("ending")?)?;
                let place = r.option("place", |r| Ok((r.shared("line")?, r.u64("place")?)))?;
                Self::Over { event, ending, place }
            }
            SEEN => Self::Seen { key: r.shared("key")?, of: r.shared("of")?, signed: r.time("signed")? },
            PLACE => Self::Place { line: r.shared("line")?, place: r.u64("place")? },
            kind => return Err(RecordError::Unknown { kind, version }),
        };
        r.end()?;
        Ok(record)
    }
}

fn head(w: &mut Writer<'_>, kind: u8) {
    w.u8(kind);
    w.u8(VERSION);
}

fn text(w: &mut Writer<'_>, text: &str) {
    w.text(&text[..text.floor_char_boundary(usize::from(u16::MAX))]);
}

fn write_event(w: &mut Writer<'_>, event: &EventRecord) {
    text(w, &event.key);
    w.option(event.said.as_deref(), |w, said| {
        text(w, said);
        w.flag(event.holds_said);
    });
    let others = &event.others[..event.others.len().min(VARIANTS)];
    w.few(others, VARIANTS as u16, |w, key| text(w, key));
    w.option(event.replay_of.as_deref(), text);
    w.time(event.signed);
    w.u64(event.token.get());
    w.time(event.at);
}

fn read_event(r: &mut Reader<'_>) -> Result<EventRecord, CodecError> {
    let key = r.shared("key")?;
    let said = r.option("said", |r| Ok((r.shared("said")?, r.flag("holds")?)))?;
    let (said, holds_said) = said.map_or((None, false), |(said, holds)| (Some(said), holds));
    let others = r.few("others", VARIANTS as u16, 2, |r| r.shared("other"))?;
    let replay_of = r.option("replay of", |r| r.shared("replay of"))?;
    let (signed, token, at) = (r.time("signed")?, ClaimToken::new(r.u64("token")?), r.time("at")?);
    Ok(EventRecord { key, said, holds_said, others, replay_of, signed, token, at })
}

const fn ending_byte(ending: Ending) -> u8 {
    match ending {
        Ending::Done => 1,
        Ending::Queued => 2,
        Ending::Refused => 3,
        Ending::Unsubscribed => 4,
    }
}

const fn read_ending(byte: u8) -> Result<Ending, RecordError> {
    match byte {
        1 => Ok(Ending::Done),
        2 => Ok(Ending::Queued),
        3 => Ok(Ending::Refused),
        4 => Ok(Ending::Unsubscribed),
        byte => Err(RecordError::Ending { byte }),
    }
}

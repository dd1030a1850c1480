//! A journal read whole: the newest snapshot that is sound, then the log.

use std::io;
use std::path::Path;

use postrider_core::id::JournalSeq;
use postrider_core::journal::Record;

use super::files::Files;
use super::state::State;
use super::walk::{self, Damage, Entry, Walked};
use crate::exit::Refusal;

/// What was read.
pub(crate) struct Journal<T> {
    /// The files.
    pub(crate) files: Files,
    /// What the records come to.
    pub(crate) state: State,
    /// How the log was.
    pub(crate) walked: Walked,
    /// The snapshot that the state stands on.
    pub(crate) snapshot: Option<String>,
    /// Snapshots that are not whole. One that is newer than the good one was not finished, or is damaged.
    pub(crate) bad_snapshots: Vec<Damage>,
    /// What the caller made of the records.
    pub(crate) own: T,
}

/// How much of the log is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Much {
    /// What the state needs.
    State,
    /// All of it.
    All,
}

/// Read so often, if files go while they are read.
const READS: usize = 10;

/// Reads a journal, whoever holds it. `each` gets every record, those of the snapshot first, whose numbers are 0, and the
/// state as it was before the record; when a file goes meanwhile everything is read anew into another `T`.
pub(crate) fn read<T: Default>(
    path: &Path,
    much: Much,
    each: impl Fn(&mut T, &State, &Entry<'_>, &Record),
) -> Result<Journal<T>, Refusal> {
    let mut tries = 0;
    loop {
        match once(Files::look(path)?, much, &each) {
            Ok(journal) => return Ok(journal),
            Err(why) if why.kind() == io::ErrorKind::NotFound && tries < READS => tries += 1,
            Err(why) => return Err(Refusal::new(format!("{}: {why}", path.display()))),
        }
    }
}

fn once<T: Default>(
    files: Files,
    much: Much,
    each: &impl Fn(&mut T, &State, &Entry<'_>, &Record),
) -> io::Result<Journal<T>> {
    let (mut state, mut own, mut snapshot, mut bad_snapshots) = (State::default(), T::default(), None, Vec::new());
    for candidate in files.snapshots.iter().rev() {
        let (mut its_state, mut its_own) = (State::default(), T::default());
        let sound = walk::snapshot(&files, candidate, |entry| {
            if let Some(record) = entry.record() {
                each(&mut its_own, &its_state, entry, &record);
                its_state.apply(JournalSeq::ZERO, &record);
            }
        })?;
        match sound {
            Ok(_) => {
                (state, own, snapshot) = (its_state, its_own, Some(candidate.name.clone()));
                break;
            }
            Err(damage) => bad_snapshots.push(damage),
        }
    }
    let since = state.since;
    let from = match much {
        Much::State => since.next(),
        Much::All => JournalSeq::ZERO,
    };
    let walked = walk::log(&files, from, |entry| {
        let Some(record) = entry.record() else { return };
        each(&mut own, &state, entry, &record);
        if entry.key.seq > since {
            state.apply(entry.key.seq, &record);
        } else if let Record::Endpoint(endpoint) = &record {
            // Its state is history; whose deliveries are named by its subscriptions is not.
            state.name(endpoint);
        }
    })?;
    Ok(Journal { files, state, walked, snapshot, bad_snapshots, own })
}

//! Questions that the indexes of a journal's segments answer, so that not the whole log is read for them.
//!
//! What is read is the newest snapshot, the log behind it, and of the segments before that what the indexes point at. A
//! segment that has no index yet, as the newest ones have none, or of which the index is damaged, is read whole.

use std::io;
use std::path::Path;

use postrider::journal::history::{Answer, HistoryError, Query};
use postrider::journal::store::{Look, OpenError};
use postrider::journal::{LogError, StdDisk, Store};

use super::words;
use crate::exit::{Refusal, complain};
use crate::store;

/// Looked at so often, if files go meanwhile.
const LOOKS: usize = 10;

/// Looks at a journal, whoever holds it, and asks; once more when a file goes meanwhile.
pub(crate) fn ask<T>(
    path: &Path,
    questions: impl Fn(&mut Look<StdDisk>) -> Result<T, HistoryError>,
) -> Result<T, Refusal> {
    let failed = |why: &dyn std::fmt::Display| Refusal::new(format!("{}: {why}", path.display()));
    let mut tries = 0;
    loop {
        let disk = StdDisk::existing(path).map_err(|why| failed(&why))?;
        let gone = match Store::look(disk) {
            Ok(mut look) => match questions(&mut look) {
                Err(HistoryError::Failed(LogError::Io { kind: io::ErrorKind::NotFound, doing })) => {
                    failed(&format_args!("{doing}: it has gone"))
                }
                answer => return answer.map_err(|why| failed(&why)),
            },
            Err(why @ OpenError::Io { kind: io::ErrorKind::NotFound, .. }) => store::unopened(path, &why, None),
            Err(why) => return Err(store::unopened(path, &why, None)),
        };
        if tries == LOOKS {
            return Err(gone);
        }
        tries += 1;
    }
}

/// Says that answers may lack something, if the journal is damaged.
pub(crate) fn warn(look: &Look<StdDisk>) {
    if let Some(first) = look.damage().first() {
        complain!("note: the journal is damaged, and what lies at it and behind it may be missing here: {first}");
    }
}

/// Asks one question.
pub(crate) fn one(look: &mut Look<StdDisk>, query: &Query) -> Result<Answer, HistoryError> {
    look.history(query, words::now())
}

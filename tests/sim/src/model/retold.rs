//! What a node tells of the attempts of an event: held against those that happened.

use std::collections::BTreeMap;

use super::history::History;
use super::recalled::{Read, wrong};
use super::story::{Story, Tried};
use crate::observe::{Broken, Came, Fate, Past, Try};

impl History {
    /// Every attempt happened, each that must be there is, and they come one after the other. Of an event that is over for
    /// longer than it is kept, by the latest that the wall clock showed, some may have gone and show where others are still
    /// there once the clock is set back.
    pub(super) fn tries(&self, read: &Read<'_>, story: &Story, past: &Past<'_>) -> Result<(), Broken> {
        let (event, kept) = (past.event, read.facts.rules().history.attempts);
        let must = past.ended.is_none_or(|ended| self.must_be_kept(read.facts, read.node, ended, kept));
        let whole = must && !story.again;
        let mut known: Vec<_> = self.tries_of(event).map(|(_, tried)| (tried, None)).collect();
        known.reverse();
        let pairs = pairs(&mut known, past.tries);
        let mut tracks = BTreeMap::<u32, (u16, bool)>::new();
        let mut before = 0;
        // Some of the attempts of a registration that is over have lost its name.
        let named = past.tries.iter().all(|row| row.endpoint.is_some());
        for (row, pair) in past.tries.iter().zip(pairs) {
            let what = || format!("e{event} is told with {row:?}");
            let sorted = row.at >= before || read.facts.node(read.node).stepped_back > 0;
            before = row.at;
            if !sorted || !is_verdict(row.result, row.fate) {
                return wrong(format!("{}: not in the order of time, or an end that does not follow", what()));
            }
            if row.result != Came::None {
                let Some(tried) = pair.map(|at| known[at].0) else {
                    return wrong(format!("{}, and no attempt ended so", what()));
                };
                if tried.told.is_some_and(|told| !tried.late && told != row.fate) {
                    return wrong(format!("{}, and the node had told {:?}", what(), tried.told));
                }
                self.answer(story, tried, row, past)?;
            }
            let Some(endpoint) = row.endpoint.filter(|_| named && whole) else { continue };
            let (last, over) = tracks.entry(endpoint).or_default();
            // A success may come after its attempt was given up and the next one has failed.
            let late = row.fate == Fate::Delivered && pair.is_some_and(|at| known[at].0.late);
            let follows = row.number == *last
                || (row.number == *last + 1 && row.result != Came::None)
                || (row.number < *last && late);
            if *over || !follows {
                return wrong(format!("{} after attempt {last} to it, over: {over}", what()));
            }
            (*last, *over) = (row.number, row.fate.is_final());
        }
        if !whole {
            return Ok(());
        }
        if let Some((endpoint, _)) = tracks.iter().find(|(_, (_, over))| past.ended.is_some() && !over) {
            return wrong(format!("e{event} is told to have ended, and its delivery to {endpoint} has not"));
        }
        let missing =
            known.iter().find(|(tried, used)| used.is_none() && past.more == 0 && self.is_safe(read.facts, tried));
        match missing {
            Some((tried, _)) => wrong(format!("e{event} is told without {tried:?}, which was safe")),
            None => Ok(()),
        }
    }

    fn answer(&self, story: &Story, tried: &Tried, row: &Try, past: &Past<'_>) -> Result<(), Broken> {
        let name = || format!("attempt {} of e{} to {}", row.number, past.event, tried.endpoint);
        match &row.answer {
            Some(_) if self.is_forgotten(story) => {
                Err(Broken::new(32, format!("{} was to be forgotten, and its answer is told", name())))
            }
            Some(answer) if !tried.is_answer(answer) => wrong(format!("{} is told with another answer", name())),
            None if tried.answer.is_some() && !tried.late && !story.cancelled && !self.may_be_forgotten(story) => {
                wrong(format!("{} is told without its answer", name()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Which attempt each row tells of. Rows with the name of an endpoint come first: one without it may be any of several, and
/// is the one that fits best of those that are left.
fn pairs(known: &mut [(&Tried, Option<How>)], rows: &[Try]) -> Vec<Option<usize>> {
    let mut pairs = vec![None; rows.len()];
    for named in [true, false] {
        for (row, pair) in rows.iter().zip(&mut pairs).filter(|(row, _)| row.endpoint.is_some() == named) {
            let fits = |(tried, used): &(&Tried, Option<How>), how: How| {
                let free = used.is_none_or(|used| tried.late && used == How::ByItself && how == How::Reported);
                let here = row.endpoint.is_none_or(|endpoint| tried.endpoint == endpoint);
                free && here && tried.explains(row.number, row.at, row.result) == Some(how)
            };
            let found = [How::Reported, How::ByItself].into_iter().find_map(|how| {
                let fitting = known.iter().enumerate().filter(|(_, entry)| fits(entry, how));
                fitting.min_by_key(|(_, (tried, _))| tried.strangeness(row)).map(|(at, _)| (at, how))
            });
            if let Some((at, how)) = found.filter(|_| row.result != Came::None) {
                (known[at].1, *pair) = (Some(how), Some(at));
            }
        }
    }
    pairs
}

/// How an attempt came to the end that is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As the node was told.
    Reported,
    /// The node gave it up by itself; if it succeeded after all, that may be told as well.
    ByItself,
}

impl Tried {
    /// How badly a row fits that may tell of this attempt: what the node told of it before, and its answer.
    fn strangeness(&self, row: &Try) -> (u8, bool) {
        let told = match self.told {
            Some(told) if told == row.fate => 0,
            None => 1,
            Some(_) => 2,
        };
        let same = match &row.answer {
            Some(answer) => self.is_answer(answer),
            None => self.answer.is_none(),
        };
        (told, !same)
    }

    /// Whether an attempt may be told so, and why. One that the node gave up, or that was under way when the node died, may
    /// have been ended by the node itself at any time.
    pub(super) fn explains(&self, number: u16, at: u64, result: Came) -> Option<How> {
        let by_itself = matches!(result, Came::Failed("timed-out-head" | "aborted"));
        match () {
            () if self.number != number => None,
            () if self.came == result && self.at == at => Some(How::Reported),
            () if by_itself && (self.late || self.came == Came::None) => Some(How::ByItself),
            () => None,
        }
    }
}

/// Whether a delivery may go on so after that.
pub(super) fn is_verdict(came: Came, fate: Fate) -> bool {
    match came {
        Came::Status(200..=299) => fate == Fate::Delivered,
        Came::Status(410) => fate == Fate::Discarded,
        Came::Status(_) => matches!(fate, Fate::Waiting(_) | Fate::Exhausted | Fate::Discarded),
        Came::Failed(_) => matches!(fate, Fate::Waiting(_) | Fate::Exhausted | Fate::Discarded | Fate::Refused),
        Came::None => matches!(fate, Fate::Discarded | Fate::Expired | Fate::Lost | Fate::Exhausted | Fate::Superseded),
    }
}

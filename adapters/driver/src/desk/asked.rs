//! Questions on their way to the log's history, and the answers on their way back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::sender::EventReport;
use postrider_journal::history::{Answer, HistoryError};
use postrider_journal::{Answered, LogError};

use super::Reply;
use super::replaying::Asking;
use crate::error::Error;
use crate::facts::{Facts, lock};
use crate::story::DeliveryStory;

/// Who asked, and what is made of the answer.
pub(super) enum Ask {
    /// What is to be sent again.
    Replay(Asking),
    /// The answer as it is.
    Query(Reply<Result<Answer, Error>>),
    /// The report of an event that the machine does not know.
    Report(TenantId, EventId, Reply<Result<Option<EventReport>, Error>>),
    /// How a delivery stands, with its attempts.
    Story(EndpointKey, EventId, Reply<Result<Option<DeliveryStory>, Error>>),
    /// The report, for those who wait for the event to settle.
    Settled(TenantId, EventId),
}

/// What the log said.
pub(super) type Said = Result<Answer, HistoryError>;

/// Questions that the log has not answered yet: as many as were asked of the desk.
#[derive(Default)]
pub(super) struct Asked {
    number: u64,
    open: BTreeMap<u64, Ask>,
    answers: Arc<Mutex<VecDeque<(u64, Said)>>>,
}

impl Asked {
    /// Keeps a question, and gives the way in which the log answers it. Dropped without being called, it answers that
    /// the log failed, so that nobody waits for ever.
    pub(super) fn ask(&mut self, ask: Ask, facts: &Facts) -> Answered {
        self.number += 1;
        self.open.insert(self.number, ask);
        let lost = LogError::Io { doing: "to answer a question".to_owned(), kind: std::io::ErrorKind::BrokenPipe };
        let mut way = Way {
            number: self.number,
            otherwise: Some(HistoryError::Failed(lost)),
            answers: Arc::clone(&self.answers),
            facts: facts.clone(),
        };
        Box::new(move |said| {
            way.otherwise = None;
            way.answer(said);
        })
    }

    /// The next answer that has come.
    pub(super) fn next(&mut self) -> Option<(Ask, Said)> {
        let (number, said) = lock(&self.answers).pop_front()?;
        let ask = self.open.remove(&number).expect("a question is answered once");
        Some((ask, said))
    }

    /// Every question that has not been answered: nothing comes any more.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Ask> + use<> {
        lock(&self.answers).clear();
        // What the log still says is about nothing from now on.
        self.answers = Arc::default();
        std::mem::take(&mut self.open).into_values()
    }

    /// Questions without an answer.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

struct Way {
    number: u64,
    otherwise: Option<HistoryError>,
    answers: Arc<Mutex<VecDeque<(u64, Said)>>>,
    facts: Facts,
}

impl Way {
    fn answer(&self, said: Said) {
        lock(&self.answers).push_back((self.number, said));
        self.facts.wake();
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(why) = self.otherwise.take() {
            self.answer(Err(why));
        }
    }
}

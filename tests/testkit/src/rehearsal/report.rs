//! What came of a run.

use std::fmt;
use std::time::Duration;

use super::story::Trouble;

/// What came of one run: what the handler was given, and how each event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub(super) ids: Vec<String>,
    pub(super) ends: Vec<End>,
    pub(super) handed: Vec<Handed>,
    pub(super) panics: Vec<String>,
    pub(super) told: Vec<(Duration, String)>,
}

/// How an event ended for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It was answered with a success.
    Acknowledged,
    /// It was answered that it is not wanted (400, 410).
    Refused,
    /// It was sent 50 times without either.
    GivenUp,
}

/// One call of the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handed {
    /// The id of the event.
    pub id: String,
    /// The attempt of the sender that brought it, counted from 1.
    pub attempt: u32,
    /// When, from the beginning of the run.
    pub at: Duration,
}

impl Report {
    /// Every call of the handler, in order.
    pub fn handed(&self) -> &[Handed] {
        &self.handed
    }

    /// How often the handler got an event.
    ///
    /// # Panics
    ///
    /// When there is no such event.
    #[track_caller]
    pub fn times(&self, id: &str) -> usize {
        let _ = self.place(id);
        self.handed.iter().filter(|handed| handed.id == id).count()
    }

    /// How an event ended.
    ///
    /// # Panics
    ///
    /// When there is no such event.
    #[track_caller]
    pub fn end(&self, id: &str) -> End {
        self.ends[self.place(id)]
    }

    /// What the handler said when it panicked by itself.
    pub fn panics(&self) -> &[String] {
        &self.panics
    }

    /// Asserts that no event was lost: each was handed to the handler and ended by its answer.
    ///
    /// # Panics
    ///
    /// When one was not.
    #[track_caller]
    pub fn assert_each_at_least_once(&self) -> &Self {
        if let Some(why) = self.is_incomplete() {
            panic!("{why}\n{self}");
        }
        self
    }

    /// Asserts that each event was handed to the handler once. No receiver that forgets can promise it: for runs whose faults
    /// are no crashes and no panics.
    ///
    /// # Panics
    ///
    /// When one was not.
    #[track_caller]
    pub fn assert_each_exactly_once(&self) -> &Self {
        self.assert_each_at_least_once();
        for id in &self.ids {
            let times = self.times(id);
            assert!(times == 1, "{id} was handed to the handler {times} times\n{self}");
        }
        self
    }

    /// Asserts that the handler got each event for the first time behind all events before it.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    pub fn assert_in_order(&self) -> &Self {
        let first = |id: &String| self.handed.iter().position(|handed| handed.id == *id);
        for pair in self.ids.windows(2) {
            let fits = first(&pair[1]).is_none_or(|second| first(&pair[0]).is_some_and(|one| one < second));
            assert!(fits, "{} was handed to the handler before {}\n{self}", pair[1], pair[0]);
        }
        self
    }

    /// What is missing, if something is.
    pub(super) fn is_incomplete(&self) -> Option<String> {
        for (id, end) in self.ids.iter().zip(&self.ends) {
            let panics = self.panics.last().map(|said| format!("; the handler panicked: {said}")).unwrap_or_default();
            match end {
                End::GivenUp => return Some(format!("{id} was never answered with a success{panics}")),
                End::Acknowledged | End::Refused if self.times(id) == 0 => {
                    return Some(format!("{id} was acknowledged and not handed to the handler"));
                }
                End::Acknowledged | End::Refused => {}
            }
        }
        None
    }

    #[track_caller]
    fn place(&self, id: &str) -> usize {
        self.ids.iter().position(|known| known == id).unwrap_or_else(|| panic!("there is no event {id}"))
    }
}

impl fmt::Display for Report {
    /// What happened, one line each, with the time from the beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, what) in &self.told {
            writeln!(f, "{:>9.3} s  {what}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

/// A run whose effect is not that of a run without faults, with the fewest events and troubles that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    pub(super) seed: u64,
    pub(super) why: String,
    pub(super) troubles: Vec<Trouble>,
    pub(super) report: Report,
}

impl Caught {
    /// The seed of the run in which it showed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is wrong.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The ids of the events that are left, in order.
    pub fn events(&self) -> &[String] {
        &self.report.ids
    }

    /// The troubles that are left. Their events are numbered by [`events`](Self::events).
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// The run with these events and troubles.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "with seed {}: {}", self.seed, self.why)?;
        writeln!(f, "the shortest story that shows it, of {} events:", self.events().len())?;
        for Trouble { event, attempt, fault, .. } in &self.troubles {
            writeln!(f, "  at attempt {attempt} of {}, {fault}", self.events()[*event])?;
        }
        write!(f, "{}", self.report)
    }
}

impl std::error::Error for Caught {}

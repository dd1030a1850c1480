//! What something may be, while nobody was told what became of a command.

use crate::observe::Told;

/// Everything that something may be, oldest first. What was asked for last is last.
#[derive(Debug)]
pub(super) struct Possible<T>(pub(super) Vec<(u64, T)>);

impl<T> Possible<T> {
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Whether something holds for all that is possible, and whether for any of it.
    pub(super) fn which(&self, holds: impl Fn(&T) -> bool) -> (bool, bool) {
        self.all().map(holds).fold((true, false), |(all, any), held| (all && held, any || held))
    }

    /// What it is, where only one thing is possible.
    pub(super) fn sure(&self) -> Option<&T> {
        match &self.0[..] {
            [(_, value)] => Some(value),
            _ => None,
        }
    }

    pub(super) fn ask(&mut self, call: u64, value: T) {
        self.0.push((call, value));
    }

    pub(super) fn answer(&mut self, call: u64, told: Told) {
        let Some(at) = self.0.iter().position(|(other, _)| *other == call) else { return };
        match told {
            Told::Ok { .. } => {
                self.0.drain(..at);
            }
            Told::Refused(_) if self.0.len() > 1 => {
                self.0.remove(at);
            }
            Told::Refused(_) | Told::Lost => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_was_told_stays_possible() {
        let mut state = Possible(vec![(0, 1)]);
        state.ask(5, 2);
        state.answer(5, Told::Lost);
        assert_eq!(state.sure(), None);
        state.ask(6, 3);
        state.answer(6, Told::Ok { fresh: true });
        assert_eq!(state.sure(), Some(&3));
    }
}

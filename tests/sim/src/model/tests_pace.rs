//! The judges of rates and of breakers find what they are for.

use super::tests::Stage;
use crate::observe::{Breaker, Death, Note, Pace, Rate, SECOND, Seen};

impl Stage {
    fn note(&mut self, note: Note<'_>) -> Result<(), u8> {
        let clocks = self.clocks();
        self.see(&Seen::Noted { node: 0, clocks, note })
    }
}

fn usual(pace: Pace) -> Stage {
    let mut stage = Stage::paced(pace);
    (1..9).for_each(|event| stage.accept(event));
    stage
}

#[test]
fn a_rate_is_kept_and_never_full_after_a_restart() {
    let rate = Some(Rate { count: 1, nanos: 10 * SECOND, burst: 2 });
    let mut stage = usual(Pace { rate, ..Pace::default() });
    assert_eq!([stage.start("e1", 1), stage.start("e2", 1)], [Ok(()), Ok(())]);
    stage.end(1, 204);
    stage.end(2, 204);
    assert_eq!(stage.start("e3", 1), Err(9), "the burst is used up");
    stage.wait(10);
    assert_eq!(stage.start("e3", 1), Ok(()));
    stage.wait(100);
    stage.restart(Death::Kill);
    assert_eq!(stage.start("e4", 1), Err(9), "it begins with nothing");
    stage.wait(10);
    assert_eq!(stage.start("e4", 1), Ok(()));
}

#[test]
fn a_breaker_opens_by_its_rule_and_lets_one_probe_through() {
    let (window, open) = (60 * SECOND, 30 * SECOND);
    let breaker = Some(Breaker { attempts: 2, percent: 50, window, open, longest: open });
    let mut stage = usual(Pace { breaker, ..Pace::default() });
    let until = stage.clocks().mono + open;
    let opened = |attempts, failures| Note::Opened { endpoint: 1, attempts, failures, until };
    assert_eq!(stage.note(opened(1, 1)), Err(23), "too few attempts");
    assert_eq!(stage.note(opened(2, 2)), Err(23), "none of them was seen");
    assert_eq!([stage.start("e1", 1), stage.start("e2", 1)], [Ok(()), Ok(())]);
    stage.end(1, 500);
    stage.end(2, 500);
    assert_eq!(stage.note(opened(2, 2)), Ok(()));
    stage.wait(29);
    assert_eq!(stage.start("e3", 1), Err(23), "it is open");
    stage.wait(1);
    assert_eq!([stage.start("e3", 1), stage.start("e4", 1)], [Ok(()), Err(23)], "one probe");
}

#[test]
fn who_is_disabled_has_failed_for_long_enough() {
    let mut stage = usual(Pace { disable: Some((3600 * SECOND, 1)), ..Pace::default() });
    let disabled = |age| Note::Disabled { endpoint: 1, failures: 1, age: age * SECOND };
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.end(1, 500);
    assert_eq!(stage.note(disabled(1800)), Err(23), "too early by what it says");
    assert_eq!(stage.note(disabled(3600)), Err(23), "too early by what was seen");
    stage.wait(3600);
    assert_eq!(stage.start("e1", 2), Ok(()));
    stage.end(2, 500);
    assert_eq!(stage.note(disabled(3600)), Ok(()));
    assert_eq!(stage.start("e2", 1), Err(23), "it is held");
}

#[test]
fn nothing_is_sent_that_is_too_old() {
    let mut stage = usual(Pace { max_age: Some(60 * SECOND), ..Pace::default() });
    stage.wait(50);
    assert_eq!(stage.start("e1", 1), Ok(()));
    stage.wait(20);
    assert_eq!(stage.start("e2", 1), Err(6));
}

//! The judges of rates and of breakers find what they are for.

use super::tests::{Stage, spec};
use crate::observe::{Ask, Breaker, Death, Note, Outcome, Pace, Place, Rate, SECOND, Seen, Spec, Told, Wish};

impl Stage {
    fn note(&mut self, note: Note<'_>) -> Result<(), u8> {
        let clocks = self.clocks();
        self.see(&Seen::Noted { node: 0, clocks, note })
    }
}

fn usual_of(spec: Spec) -> Stage {
    let mut stage = Stage::of(&spec);
    (1..9).for_each(|event| stage.accept(event));
    stage
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
    assert_eq!(stage.start("e4", 1), Ok(()));
    stage.wait(100);
    stage.restart(Death::Kill);
    assert_eq!(stage.start("e5", 1), Err(9), "it begins with nothing");
    stage.wait(10);
    assert_eq!(stage.start("e6", 1), Ok(()));
}

#[test]
fn a_breaker_opens_by_its_rule_and_lets_one_probe_through() {
    let (window, open) = (60 * SECOND, 30 * SECOND);
    let breaker = Some(Breaker { attempts: 2, percent: 50, window, open, longest: open });
    let stage = || usual(Pace { breaker, ..Pace::default() });
    let until = stage().clocks().mono + open;
    let opened = |attempts, failures| Note::Opened { endpoint: 1, attempts, failures, until };
    assert_eq!(stage().note(opened(1, 1)), Err(23), "too few attempts");
    assert_eq!(stage().note(opened(2, 2)), Err(23), "none of them was seen");
    let open = || {
        let mut stage = stage();
        assert_eq!([stage.start("e1", 1), stage.start("e2", 1)], [Ok(()), Ok(())]);
        stage.end(1, 500);
        stage.end(2, 500);
        assert_eq!(stage.note(opened(2, 2)), Ok(()));
        stage
    };
    let mut held = open();
    held.wait(29);
    assert_eq!(held.start("e3", 1), Err(23), "it is open");
    let mut probed = open();
    probed.wait(30);
    assert_eq!([probed.start("e3", 1), probed.start("e4", 1)], [Ok(()), Err(23)], "one probe");
}

#[test]
fn who_is_disabled_has_failed_for_long_enough() {
    let disabled = |age| Note::Disabled { endpoint: 1, failures: 1, age: age * SECOND };
    let failed = || {
        let mut stage = usual(Pace { disable: Some((3600 * SECOND, 1)), ..Pace::default() });
        assert_eq!(stage.start("e1", 1), Ok(()));
        stage.end(1, 500);
        stage
    };
    assert_eq!(failed().note(disabled(1800)), Err(23), "too early by what it says");
    assert_eq!(failed().note(disabled(3600)), Err(23), "too early by what was seen");
    let mut stage = failed();
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

#[test]
fn what_is_submitted_again_after_the_clock_went_back_is_no_older() {
    let mut stage = Stage::paced(Pace { max_age: Some(60 * SECOND), ..Pace::default() });
    stage.wait(100);
    stage.accept(1);
    stage.step_back(90);
    assert_eq!(stage.publish(1, b"{}", Told::Ok { fresh: false }), Ok(()));
    stage.wait(100);
    assert_eq!(stage.start("e1", 1), Ok(()), "by what the clock showed when it was first submitted it is 10 s old");
    stage.wait(60);
    assert_eq!(stage.start("e1", 2), Err(6));
}

#[test]
fn the_first_of_a_strict_lane_is_given_up_by_its_age_alone() {
    let given_up = |place, max_age| {
        let pace = Pace { max_age, ..Pace::default() };
        let mut stage = usual_of(Spec { place, pace, ..spec(1) });
        for number in 1..=3 {
            stage.wait(20);
            if stage.start("e1", number).is_err() {
                return Err(0);
            }
            stage.end(u64::from(number), 500);
        }
        stage.note(Note::Exhausted { endpoint: 1, event: 1, attempts: 3 })
    };
    assert_eq!(given_up(Place::Strict, Some(60 * SECOND)), Ok(()));
    assert_eq!(given_up(Place::Skip, Some(60 * SECOND)), Err(0), "its schedule has two attempts");
}

#[test]
fn who_was_disabled_by_its_rule_and_is_wanted_back_rests_no_more() {
    let rested = |disabled: bool| {
        let mut stage = usual(Pace { disable: Some((3600 * SECOND, 1)), ..Pace::default() });
        assert_eq!(stage.start("e1", 1), Ok(()));
        stage.end(1, 500);
        stage.wait(3600);
        assert_eq!(stage.start("e1", 2), Ok(()));
        let lines: &[(&str, &[u8])] = &[("retry-after", b"600")];
        let outcome = Outcome::Status { status: 503, lines, body: &[] };
        let clocks = stage.clocks();
        assert_eq!(stage.see(&Seen::Ended { attempt: 2, clocks, outcome }), Ok(()));
        if disabled {
            assert_eq!(stage.note(Note::Disabled { endpoint: 1, failures: 2, age: 3600 * SECOND }), Ok(()));
            assert_eq!(stage.ask(Wish::Resume(1), Told::Ok { fresh: true }), Ok(()));
        }
        stage.start("e2", 1)
    };
    assert_eq!(rested(false), Err(5));
    assert_eq!(rested(true), Ok(()));
}

#[test]
fn a_breaker_that_closes_begins_a_ramp_whatever_the_window_was() {
    let breaker =
        Some(Breaker { attempts: 2, percent: 50, window: 60 * SECOND, open: 10 * SECOND, longest: 10 * SECOND });
    let crowd = |recovers: bool| {
        let breaker = breaker.filter(|_| recovers);
        let pace = Pace { breaker, ..Pace::default() };
        let mut stage = usual_of(Spec { pace, concurrency: 4, ..spec(1) });
        let attempt = |stage: &mut Stage, event: &str, status| {
            assert_eq!(stage.start(event, 1), Ok(()));
            let last = stage.attempts();
            stage.end(last, status);
        };
        // The window is 1, and 2 after the success that closes the breaker; the ramp that begins then doubles.
        for event in ["e1", "e2"] {
            attempt(&mut stage, event, 503);
            stage.wait(11);
        }
        for event in ["e3", "e4", "e5"] {
            attempt(&mut stage, event, 200);
        }
        attempt(&mut stage, "e6", 503);
        stage.wait(11);
        [stage.start("e7", 1), stage.start("e8", 1), stage.start("e2", 2)]
    };
    assert_eq!(crowd(true), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(crowd(false), [Ok(()), Ok(()), Err(8)]);
}

#[test]
fn nothing_is_delivered_before_its_owner_has_consented() {
    let reply = |stage: &mut Stage, status, word| {
        let clocks = stage.clocks();
        assert_eq!(stage.see(&Seen::Replied { endpoint: 1, node: 0, clocks, status, word }), Ok(()));
    };
    let with = |ask, status, word| {
        let mut stage = usual_of(Spec { ask, ..spec(1) });
        reply(&mut stage, status, word);
        stage.start("e1", 1)
    };
    assert_eq!(with(Ask::Nobody, None, false), Ok(()));
    for (status, challenge, handshake) in [(200, Ok(()), Ok(())), (500, Err(23), Ok(())), (204, Ok(()), Ok(()))] {
        assert_eq!(with(Ask::Challenge, Some(status), true), challenge);
        assert_eq!(with(Ask::Handshake, Some(status), true), handshake);
        assert_eq!(with(Ask::Challenge, Some(status), false), Err(23), "a status is no consent");
        assert_eq!(with(Ask::Handshake, Some(status), false), Err(23), "a status is no consent");
    }
    let mut stage = usual_of(Spec { ask: Ask::Handshake, ..spec(1) });
    reply(&mut stage, Some(200), true);
    assert_eq!(stage.ask(Wish::Remove(1), Told::Ok { fresh: true }), Ok(()));
    assert_eq!(stage.ask(Wish::Put(&Spec { ask: Ask::Handshake, ..spec(1) }), Told::Ok { fresh: true }), Ok(()));
    stage.accept(20);
    assert_eq!(stage.start("e20", 1), Err(23), "what was consented to before a removal is void");
}

#[test]
fn nothing_waits_that_could_go() {
    let begun = || {
        let mut stage = usual(Pace::default());
        assert_eq!(stage.start("e1", 1), Ok(()));
        stage.end(1, 200);
        stage
    };
    let mut stage = begun();
    stage.wait(200);
    assert_eq!(stage.start("e2", 1), Err(6), "nothing was in its way since the first ended");
    let mut stage = begun();
    stage.wait(100);
    assert_eq!(stage.start("e2", 1), Ok(()), "it was accepted long ago, and the first has just ended");
    stage.wait(200);
    stage.end(2, 200);
    assert_eq!(stage.start("e3", 1), Ok(()), "the second was in flight");
    let mut stage = begun();
    stage.wait(200);
    assert_eq!(stage.ask(Wish::Resume(1), Told::Ok { fresh: false }), Ok(()));
    assert_eq!(stage.start("e2", 1), Ok(()), "somebody has just changed something");
    let mut stage = begun();
    stage.wait(200);
    stage.restart(Death::Kill);
    assert_eq!(stage.start("e2", 1), Ok(()), "the node has just come back");
    let mut stage = begun();
    assert_eq!(stage.start("e2", 1), Ok(()));
    stage.end(2, 503);
    assert_eq!(stage.note(Note::Retrying { endpoint: 1, event: 2, attempt: 1, delay: 11 * SECOND }), Ok(()));
    stage.wait(70);
    assert_eq!(stage.start("e3", 1), Ok(()));
    stage.end(3, 200);
    stage.wait(200);
    assert_eq!(stage.start("e2", 2), Err(6), "its delay is over, and the endpoint is well again");
    // Due in 11 s, or 12.6 by a slow clock, and then its node stands still for 500 s: it has 632.6 s.
    for (waits, told) in [(556, Ok(())), (570, Err(6))] {
        let mut stage = begun();
        assert_eq!(stage.start("e2", 1), Ok(()));
        stage.end(2, 503);
        assert_eq!(stage.note(Note::Retrying { endpoint: 1, event: 2, attempt: 1, delay: 11 * SECOND }), Ok(()));
        assert_eq!(stage.see(&Seen::Suspended { node: 0, nanos: 500 * SECOND }), Ok(()));
        stage.wait(70);
        assert_eq!(stage.start("e3", 1), Ok(()));
        stage.end(3, 200);
        stage.wait(waits);
        assert_eq!(stage.start("e2", 2), told, "after {waits} s");
    }
}

#[test]
fn a_clock_that_leaps_at_a_restart_makes_deliveries_older() {
    let expired = |behind| {
        let mut stage = Stage::paced(Pace { max_age: Some(600 * SECOND), ..Pace::default() });
        stage.wait(1000);
        stage.step_back(behind);
        stage.accept(1);
        stage.step_back(0);
        stage.restart(Death::Kill);
        stage.wait(50);
        stage.note(Note::Expired { endpoint: 1, event: 1 })
    };
    assert_eq!(expired(900), Ok(()), "by its node's clock it is 950 s old");
    assert_eq!(expired(100), Err(1), "by its node's clock it is 150 s old");
}

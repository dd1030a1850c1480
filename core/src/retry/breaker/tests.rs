//! The breaker beside a list of everything that ever ended.

use super::*;
use crate::time::UnixTime;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

const POLICY: BreakerPolicy = BreakerPolicy::DEFAULT;

const fn secs(secs: u64) -> Instant {
    Instant::from_millis(secs * 1000)
}

/// One that opened at this time.
fn opened(at: Instant) -> Breaker {
    let mut breaker = Breaker::new();
    while breaker.record(&POLICY, at, false).is_none() {}
    breaker
}

#[test]
fn it_is_small() {
    assert_eq!(size_of::<Breaker>(), 64);
    assert!(size_of::<BreakerPolicy>() <= 56 && size_of::<Transition>() <= 96 && size_of::<SavedBreaker>() <= 32);
}

#[test]
fn seventy_per_cent_of_at_least_ten_are_too_many() {
    // Three successes and six failures are too few, and the seventh failure opens.
    let mut breaker = Breaker::new();
    let ends = [true, false, false, true, false, false, false, true, false];
    assert!(ends.iter().all(|success| breaker.record(&POLICY, secs(1), *success).is_none()));
    let transition = breaker.record(&POLICY, secs(1), false).unwrap();
    let Transition::Opened { attempts: 10, failures: 7, open, until, .. } = transition else {
        panic!("{transition:?}");
    };
    assert_eq!((open, until), (Duration::from_secs(30), secs(31)));
    // Four successes of ten are enough to go on; then it takes until 70 % again.
    let mut breaker = Breaker::new();
    assert!((0..4).all(|_| breaker.record(&POLICY, secs(1), true).is_none()));
    assert!((0..9).all(|_| breaker.record(&POLICY, secs(1), false).is_none()));
    assert!(breaker.record(&POLICY, secs(1), false).is_some(), "10 of 14");
}

#[test]
fn a_success_never_opens() {
    let mut breaker = Breaker::new();
    let strict = POLICY.with_rule(10, 50, POLICY.window()).unwrap();
    assert!((0..9).all(|_| breaker.record(&strict, secs(1), false).is_none()));
    assert_eq!(breaker.record(&strict, secs(1), true), None, "9 of 10 failed, but this one did not");
    assert!(breaker.record(&strict, secs(1), false).is_some());
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let mut breaker = Breaker::new();
    assert!((0..9).all(|_| breaker.record(&POLICY, secs(29), false).is_none()));
    assert_eq!(breaker.counts(&POLICY, secs(299)), (9, 9));
    assert_eq!(breaker.counts(&POLICY, secs(300)), (0, 0), "the tenth from 0 to 30 s has left");
    assert_eq!(breaker.record(&POLICY, secs(300), false), None);
    let mut breaker = Breaker::new();
    assert!((0..9).all(|_| breaker.record(&POLICY, secs(29), false).is_none()));
    assert!(breaker.record(&POLICY, secs(299), false).is_some());
}

#[test]
fn each_probe_that_fails_doubles_the_time_up_to_the_longest() {
    let mut breaker = opened(secs(0));
    let mut now = secs(0);
    for expected in [60, 120, 240, 480, 960, 1800, 1800, 1800] {
        let Admission::Hold(until) = breaker.admits(now) else { panic!("it is open") };
        assert_eq!(breaker.admits(Instant::from_nanos(until.as_nanos() - 1)), Admission::Hold(until));
        assert_eq!(breaker.admits(until), Admission::Probe);
        breaker.start_probe();
        assert_eq!(breaker.admits(until), Admission::Probing, "one at a time");
        now = until.saturating_add(Duration::from_secs(20));
        let transition = breaker.record_probe(&POLICY, now, false).unwrap();
        let Transition::Reopened { open, until, .. } = transition else { panic!("{transition:?}") };
        assert_eq!((open, until), (Duration::from_secs(expected), now.saturating_add(open)));
        assert_eq!(transition.next_due(), Some(until));
    }
    breaker.failed_probes = u8::MAX;
    breaker.state = State::Probing;
    assert!(breaker.record_probe(&POLICY, Instant::LAST, false).is_some());
    assert_eq!(breaker.admits(Instant::LAST), Admission::Probe, "at the end of time it saturates");
}

#[test]
fn a_probe_that_succeeds_closes_and_starts_anew() {
    let mut breaker = opened(secs(0));
    breaker.start_probe();
    assert!(breaker.record_probe(&POLICY, secs(40), false).is_some());
    breaker.start_probe();
    let closed = breaker.record_probe(&POLICY, secs(200), true).unwrap();
    assert_eq!(closed, Transition::Closed { failed_probes: 1 });
    assert_eq!(closed.next_due(), None);
    assert_eq!(breaker, Breaker::new());
    assert!((0..9).all(|_| breaker.record(&POLICY, secs(200), false).is_none()), "the window is empty");
    assert_eq!(breaker.record(&POLICY, secs(200), false).unwrap().next_due(), Some(secs(230)), "and the time short");
}

#[test]
fn while_it_is_not_closed_only_the_probe_counts() {
    let mut breaker = opened(secs(0));
    let before = breaker;
    assert_eq!(breaker.record(&POLICY, secs(1), true), None);
    assert_eq!(breaker.record(&POLICY, secs(1), false), None);
    assert_eq!(breaker.record_probe(&POLICY, secs(1), true), None, "there is none");
    assert_eq!(breaker, before);
    breaker.start_probe();
    assert_eq!(breaker.record(&POLICY, secs(31), true), None);
    assert_eq!(breaker.admits(secs(31)), Admission::Probing);
    breaker.abandon_probe();
    assert_eq!(breaker.admits(secs(31)), Admission::Probe, "it came to nothing");
    breaker.start_probe();
    breaker.reset();
    assert_eq!(breaker.record_probe(&POLICY, secs(32), false), None, "it was reset meanwhile");
    breaker.start_probe();
    breaker.abandon_probe();
    assert_eq!(breaker, Breaker::new(), "a closed one has no probes");
}

#[test]
fn a_restart_keeps_it_open_for_what_is_left() {
    let now = |mono, wall| Now { mono: secs(mono), wall: UnixTime::from_secs(wall) };
    let mut breaker = opened(secs(100));
    breaker.start_probe();
    assert!(breaker.record_probe(&POLICY, secs(140), false).is_some());
    let saved = breaker.saved(now(140, 5000)).unwrap();
    assert_eq!((saved.until.delay, saved.failed_probes), (Duration::from_secs(60), 1));
    let left = |wall| Breaker::restore(saved, now(7, wall)).admits(secs(7));
    assert_eq!(left(5010), Admission::Hold(secs(57)));
    assert_eq!(left(5060), Admission::Probe);
    assert_eq!(left(9999), Admission::Probe);
    assert_eq!(left(0), Admission::Hold(secs(67)), "a clock that was set back holds for no longer than agreed");
    let mut restored = Breaker::restore(saved, now(7, 5060));
    restored.start_probe();
    let transition = restored.record_probe(&POLICY, secs(8), false).unwrap();
    assert_eq!(transition.next_due(), Some(secs(128)), "it goes on doubling");
    assert_eq!(Breaker::new().saved(now(1, 1)), None);
}

#[test]
fn a_probe_in_flight_is_made_again_after_a_restart() {
    let now = Now { mono: secs(31), wall: UnixTime::from_secs(31) };
    let mut breaker = opened(secs(1));
    breaker.start_probe();
    let saved = breaker.saved(now).unwrap();
    assert!(saved.until.delay.is_zero());
    assert_eq!(Breaker::restore(saved, now).admits(now.mono), Admission::Probe);
}

#[test]
fn many_attempts_keep_their_share() {
    let mut breaker = Breaker::new();
    for n in 0..1_000_000_u32 {
        assert_eq!(breaker.record(&POLICY, secs(1), n % 2 == 0), None);
    }
    let (failures, attempts) = breaker.counts(&POLICY, secs(1));
    assert!(attempts <= u32::from(u16::MAX) && (failures * 2).abs_diff(attempts) <= 32, "{failures} of {attempts}");
}

#[test]
fn another_policy_takes_effect_at_once() {
    let mut breaker = Breaker::new();
    assert!((0..9).all(|_| breaker.record(&POLICY, secs(10_000), false).is_none()));
    let short = POLICY.with_rule(9, 70, Duration::from_secs(10)).unwrap();
    assert_eq!(breaker.counts(&short, secs(10_000)), (0, 0), "a tenth is now a second, and the last began long ago");
    let long = POLICY.with_rule(9, 70, Duration::from_hours(24)).unwrap();
    assert!(breaker.record(&long, secs(10_001), false).is_some());
}

#[test]
fn reasons_are_one_plain_sentence_each() {
    let mut breaker = opened(secs(0));
    let mut probe = |success| {
        breaker.start_probe();
        breaker.record_probe(&POLICY, secs(9000), success).unwrap()
    };
    let (again, thrice, closed) = (probe(false), (probe(false), probe(false)).1, probe(true));
    assert_eq!(again.to_string(), "opened for 60s again: the probe failed");
    assert_eq!(thrice.to_string(), "opened for 240s again: the last 3 probes failed");
    assert_eq!(closed.to_string(), "closed: the probe succeeded, after 3 had failed");
    assert_eq!([again.name(), closed.name()], ["breaker.reopened", "breaker.closed"]);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let of = |attempts, percent, window| POLICY.with_rule(attempts, percent, Duration::from_secs(window)).unwrap_err();
    assert_eq!(of(0, 70, 300).to_string(), "the breaker's 0 attempts are not within 1 to 10000");
    assert_eq!(of(10_001, 70, 300), BreakerPolicyError::Attempts(10_001));
    assert_eq!(of(10, 0, 300), BreakerPolicyError::Percent(0));
    assert_eq!(of(10, 101, 300), BreakerPolicyError::Percent(101));
    assert_eq!(of(10, 70, 0).to_string(), "the breaker's window of 0ns is not within 1 s to 24 h");
    assert_eq!(of(10, 70, 86_401), BreakerPolicyError::Window(Duration::from_secs(86_401)));
    for (open, longest) in [(0, 1), (2, 1), (1, 86_401)] {
        let (open, longest) = (Duration::from_secs(open), Duration::from_secs(longest));
        assert_eq!(POLICY.with_open(open, longest), Err(BreakerPolicyError::Open { open, longest }));
    }
    let policy = POLICY.with_open(Duration::from_nanos(1), Duration::from_hours(24)).unwrap();
    assert_eq!(policy.open_for(u8::MAX), Duration::from_hours(24));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Time passes, or goes back.
    Wait(i64),
    Record(bool),
    StartProbe,
    RecordProbe(bool),
    Abandon,
    Restart {
        wall_step: i64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (-5_000..200_000_i64).prop_map(Op::Wait),
        8 => prop::bool::weighted(0.3).prop_map(Op::Record),
        2 => Just(Op::StartProbe),
        2 => any::<bool>().prop_map(Op::RecordProbe),
        1 => Just(Op::Abandon),
        1 => (-100_000..100_000_i64).prop_map(|wall_step| Op::Restart { wall_step }),
    ]
}

/// The same told naively: everything that ended while it was closed, by its tenth, and what state it is in.
#[derive(Default)]
struct Model {
    ended: Vec<(u64, bool)>,
    /// When it is half-open and how many probes failed, if it is not closed.
    open: Option<(u64, u32)>,
    probing: bool,
    latest: u64,
}

impl Model {
    const TENTH: u64 = 30_000;

    /// Gives whether it opened.
    fn record(&mut self, now: u64, success: bool) -> bool {
        if self.open.is_some() {
            return false;
        }
        self.latest = self.latest.max(now / Self::TENTH);
        self.ended.push((self.latest, success));
        let recent: Vec<_> = self.ended.iter().filter(|(tenth, _)| tenth + 10 > self.latest).collect();
        let failures = recent.iter().filter(|(_, success)| !success).count();
        let opens = !success && recent.len() >= 10 && failures * 10 >= recent.len() * 7;
        if opens {
            self.open = Some((now + 30_000, 0));
        }
        opens
    }

    /// Gives whether there was a probe.
    fn record_probe(&mut self, now: u64, success: bool) -> bool {
        if !core::mem::take(&mut self.probing) {
            return false;
        }
        let (_, failed) = self.open.expect("only an open one is probed");
        if success {
            *self = Self::default();
        } else {
            let open = (0..=failed).fold(30_000, |open, _| (open * 2).min(1_800_000));
            self.open = Some((now + open, failed + 1));
        }
        true
    }

    fn admits(&self, now: u64) -> Admission {
        match self.open {
            None => Admission::Allow,
            Some(_) if self.probing => Admission::Probing,
            Some((until, _)) if now < until => Admission::Hold(Instant::from_millis(until)),
            Some(_) => Admission::Probe,
        }
    }
}

proptest! {
    #[test]
    fn it_is_what_a_list_of_everything_says(ops in prop::collection::vec(op(), 0..400)) {
        let (mut breaker, mut model) = (Breaker::new(), Model::default());
        let (mut now, mut wall) = (1_000_000_u64, 1_000_000_000_u64);
        for op in ops {
            let at = Instant::from_millis(now);
            match op {
                Op::Wait(millis) => {
                    now = now.saturating_add_signed(millis);
                    wall = wall.saturating_add_signed(millis);
                }
                Op::Record(success) => {
                    let told = breaker.record(&POLICY, at, success);
                    prop_assert_eq!(told.is_some(), model.record(now, success));
                }
                Op::StartProbe => {
                    if breaker.admits(at) == Admission::Probe {
                        breaker.start_probe();
                        model.probing = true;
                    }
                }
                Op::RecordProbe(success) => {
                    let told = breaker.record_probe(&POLICY, at, success);
                    prop_assert_eq!(told.is_some(), model.record_probe(now, success));
                }
                Op::Abandon => {
                    breaker.abandon_probe();
                    model.probing = false;
                }
                Op::Restart { wall_step } => {
                    let saved = breaker.saved(Now { mono: at, wall: UnixTime::from_millis(wall) });
                    let written = wall;
                    wall = wall.saturating_add_signed(wall_step);
                    let open = model.open.map(|(until, failed)| {
                        let delay = until.saturating_sub(now);
                        (now + delay.saturating_sub(wall.saturating_sub(written)).min(delay), failed)
                    });
                    model = Model { open, ..Model::default() };
                    let here = Now { mono: at, wall: UnixTime::from_millis(wall) };
                    breaker = saved.map_or(Breaker::new(), |saved| Breaker::restore(saved, here));
                }
            }
            prop_assert_eq!(breaker.admits(Instant::from_millis(now)), model.admits(now));
        }
    }

    #[test]
    fn no_time_makes_it_panic(times in prop::collection::vec((any::<u64>(), any::<bool>()), 0..100)) {
        let mut breaker = Breaker::new();
        for (nanos, success) in times {
            let now = Instant::from_nanos(nanos);
            let _ = breaker.record(&POLICY, now, success);
            if breaker.admits(now) == Admission::Probe {
                breaker.start_probe();
                prop_assert!(breaker.record_probe(&POLICY, now, success).is_some());
            }
            let (failures, attempts) = breaker.counts(&POLICY, now);
            prop_assert!(failures <= attempts);
        }
    }
}

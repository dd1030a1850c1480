//! When to leave an endpoint alone, and when to ask it again.

use super::Deadline;
use crate::limits;
use crate::time::{Instant, Now};
use core::fmt;
use core::time::Duration;

/// Parts of the window. Attempts are counted by the part that they end in, and forgotten part by part.
const PARTS: usize = 10;

/// When a breaker opens, and for how long. One value serves all endpoints that share it.
///
/// The default: of at least 10 attempts in 5 min at least 70 % failed; open for 30 s, doubling up to 30 min.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    window: Duration,
    open: Duration,
    longest: Duration,
    attempts: u16,
    percent: u8,
}

/// Why a policy of breakers was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerPolicyError {
    /// The window is out of range.
    Window(Duration),
    /// The number of attempts is out of range.
    Attempts(u16),
    /// The share of failures is out of range.
    Percent(u8),
    /// The time for which it opens is zero, longer than the longest, or that is longer than a day.
    Open {
        /// How long it opens first.
        open: Duration,
        /// How long it opens at most.
        longest: Duration,
    },
}

/// The circuit breaker of one endpoint: a pure state machine of 64 bytes, told how attempts ended.
///
/// | is \ happens | a failure too many | its time is over | the probe starts | succeeds | fails | comes to nothing |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | closed | open | | | | | |
/// | open | | half-open | | | | |
/// | half-open | | | probing | | | |
/// | probing | | | | closed | open, twice as long | half-open |
///
/// It opens only when an attempt fails. *Half-open* is not a state of its own: it is open, when its time is over; so
/// nothing has to happen at that time. One probe is made at a time, with a delivery that waits. While it is not closed
/// only the probe counts: ordinary attempts that started before it opened are not looked at. When it closes it starts
/// with an empty window and the shortest time, and whoever owns it lets out what waits slowly
/// ([`Window::ramp`](super::Window::ramp)).
///
/// **What counts.** An answer that is a failure, throttling included, and a transport failure are failures. What says
/// nothing about the endpoint (an address refused by policy, a payload that cannot be expressed, an attempt that was
/// aborted) is not to be recorded, and ends a probe by [`abandon_probe`](Self::abandon_probe).
///
/// **The window** is the current tenth and the nine before it: the last 4.5 to 5 min by default. Tenths are multiples of
/// their length on the clock. From 65,535 attempts in one tenth on, its counts are halved together, which keeps their
/// share. A clock that goes back counts into the current tenth.
///
/// **The policy** is the caller's, and may be another one each time; it is looked at when something is recorded.
///
/// **Restart.** The window is not kept: a breaker that was closed starts empty. One that is not closed is kept by
/// [`saved`](Self::saved).
///
/// ```
/// use core::time::Duration;
/// use postrider_core::retry::{Admission, Breaker, BreakerPolicy};
/// use postrider_core::time::Instant;
///
/// let (policy, mut breaker, at) = (BreakerPolicy::default(), Breaker::new(), Instant::from_millis);
/// for n in 1..10 {
///     assert_eq!(breaker.record(&policy, at(n), false), None);
/// }
/// let opened = breaker.record(&policy, at(10), false).expect("the tenth failure of ten");
/// assert_eq!(opened.to_string(), "opened for 30s: 10 of 10 attempts in the last 300s failed, and 70 % of at least 10 are too many");
/// assert_eq!(breaker.admits(at(20)), Admission::Hold(at(30_010)));
///
/// assert_eq!(breaker.admits(at(30_010)), Admission::Probe);
/// breaker.start_probe();
/// assert_eq!(breaker.admits(at(30_010)), Admission::Probing);
/// assert!(breaker.record_probe(&policy, at(30_100), true).is_some());
/// assert_eq!(breaker.admits(at(30_100)), Admission::Allow);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// When the current part began.
    began: Instant,
    /// When it is half-open; kept where it is not closed.
    until: Instant,
    parts: [Part; PARTS],
    /// The current part.
    current: u8,
    /// Probes that failed since it was closed.
    failed_probes: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open,
    Probing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    attempts: u16,
    failures: u16,
}

/// What a breaker lets happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "whoever starts attempts must heed each")]
pub enum Admission {
    /// Any attempt.
    Allow,
    /// Nothing before this time.
    Hold(Instant),
    /// One attempt, the probe; say [`Breaker::start_probe`] when it starts.
    Probe,
    /// Nothing before the probe has ended.
    Probing,
}

/// What happened to a breaker, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transition {
    /// Too many attempts failed.
    #[non_exhaustive]
    Opened {
        /// Attempts in the window.
        attempts: u32,
        /// How many of them failed.
        failures: u32,
        /// The rule.
        policy: BreakerPolicy,
        /// For how long.
        open: Duration,
        /// When a probe may be made.
        until: Instant,
    },
    /// The probe failed.
    #[non_exhaustive]
    Reopened {
        /// How many have failed in a row, this one included; counted up to 255.
        failed_probes: u8,
        /// For how long.
        open: Duration,
        /// When the next probe may be made.
        until: Instant,
    },
    /// The probe succeeded.
    #[non_exhaustive]
    Closed {
        /// How many had failed before it; counted up to 255.
        failed_probes: u8,
    },
}

/// A breaker that is not closed, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data that is written down")]
pub struct SavedBreaker {
    /// When the next probe may be made.
    pub until: Deadline,
    /// Probes that failed since it was closed.
    pub failed_probes: u8,
}

impl BreakerPolicy {
    /// The default, for an associated constant.
    pub const DEFAULT: Self = Self {
        window: limits::BREAKER_WINDOW,
        open: limits::BREAKER_OPEN,
        longest: limits::BREAKER_LONGEST,
        attempts: limits::BREAKER_ATTEMPTS,
        percent: limits::BREAKER_PERCENT,
    };

    /// Sets the rule: of at least `attempts` attempts within `window`, `percent` per cent failed. The window is 1 s to
    /// 24 h, and there are 1 to 10,000 attempts, 1 to 100 per cent.
    pub fn with_rule(self, attempts: u16, percent: u8, window: Duration) -> Result<Self, BreakerPolicyError> {
        if !(1..=10_000).contains(&attempts) {
            return Err(BreakerPolicyError::Attempts(attempts));
        }
        if !(1..=100).contains(&percent) {
            return Err(BreakerPolicyError::Percent(percent));
        }
        if window < Duration::from_secs(1) || window > Duration::from_hours(24) {
            return Err(BreakerPolicyError::Window(window));
        }
        Ok(Self { attempts, percent, window, ..self })
    }

    /// Sets for how long it opens: first, and at most, doubling with each probe that fails. Above zero, at most 24 h.
    pub fn with_open(self, open: Duration, longest: Duration) -> Result<Self, BreakerPolicyError> {
        if open.is_zero() || open > longest || longest > Duration::from_hours(24) {
            return Err(BreakerPolicyError::Open { open, longest });
        }
        Ok(Self { open, longest, ..self })
    }

    /// The window.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How many attempts it takes, at least.
    pub const fn attempts(&self) -> u16 {
        self.attempts
    }

    /// How many per cent of them have to fail.
    pub const fn percent(&self) -> u8 {
        self.percent
    }

    /// For how long it opens first.
    pub const fn open(&self) -> Duration {
        self.open
    }

    /// For how long it opens at most.
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// For how long it opens after so many probes have failed.
    pub fn open_for(&self, failed_probes: u8) -> Duration {
        // A day in nanoseconds is below 2^47.
        let doubled = self.open.as_nanos() << failed_probes.min(64);
        Duration::from_nanos(u64::try_from(doubled.min(self.longest.as_nanos())).expect("at most a day"))
    }

    fn is_too_many(&self, failures: u32, attempts: u32) -> bool {
        attempts >= u32::from(self.attempts)
            && u64::from(failures) * 100 >= u64::from(attempts) * u64::from(self.percent)
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Breaker {
    /// A closed one, with an empty window.
    pub const fn new() -> Self {
        Self {
            began: Instant::ORIGIN,
            until: Instant::ORIGIN,
            parts: [Part { attempts: 0, failures: 0 }; PARTS],
            current: 0,
            failed_probes: 0,
            state: State::Closed,
        }
    }

    /// One that was written down: open for what is left of its time. A probe that was in flight is made again.
    pub fn restore(saved: SavedBreaker, now: Now) -> Self {
        Self { until: saved.until.resume(now), failed_probes: saved.failed_probes, state: State::Open, ..Self::new() }
    }

    /// An ordinary attempt ended. Says so when that opens it.
    pub fn record(&mut self, policy: &BreakerPolicy, now: Instant, success: bool) -> Option<Transition> {
        match self.state {
            State::Closed => {}
            State::Open | State::Probing => return None,
        }
        self.advance(policy, now);
        self.parts[usize::from(self.current)].count(success);
        let (failures, attempts) = self.sum();
        if success || !policy.is_too_many(failures, attempts) {
            return None;
        }
        let open = policy.open_for(0);
        self.state = State::Open;
        self.until = now.saturating_add(open);
        Some(Transition::Opened { attempts, failures, policy: *policy, open, until: self.until })
    }

    /// The probe starts. Without effect unless [`admits`](Self::admits) has said [`Admission::Probe`].
    pub fn start_probe(&mut self) {
        match self.state {
            State::Open => self.state = State::Probing,
            State::Closed | State::Probing => {}
        }
    }

    /// The probe ended. Without effect, and `None`, when there is none: the breaker was reset meanwhile.
    pub fn record_probe(&mut self, policy: &BreakerPolicy, now: Instant, success: bool) -> Option<Transition> {
        match self.state {
            State::Closed | State::Open => return None,
            State::Probing => {}
        }
        if success {
            let failed_probes = self.failed_probes;
            *self = Self::new();
            return Some(Transition::Closed { failed_probes });
        }
        self.failed_probes = self.failed_probes.saturating_add(1);
        let open = policy.open_for(self.failed_probes);
        self.state = State::Open;
        self.until = now.saturating_add(open);
        Some(Transition::Reopened { failed_probes: self.failed_probes, open, until: self.until })
    }

    /// The probe ended without saying anything about the endpoint: another one may be made at once.
    pub fn abandon_probe(&mut self) {
        match self.state {
            State::Probing => self.state = State::Open,
            State::Closed | State::Open => {}
        }
    }

    /// Closes it and forgets everything: somebody resumed the endpoint, or gave it another address.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// What may happen now.
    pub fn admits(&self, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Allow,
            State::Probing => Admission::Probing,
            State::Open if now < self.until => Admission::Hold(self.until),
            State::Open => Admission::Probe,
        }
    }

    /// Whether any attempt may be made.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether a probe is in flight.
    pub const fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing)
    }

    /// What to write down; `None` when it is closed. What it says changes with each
    /// [`Transition`], and not otherwise.
    pub fn saved(&self, now: Now) -> Option<SavedBreaker> {
        match self.state {
            State::Closed => None,
            State::Open | State::Probing => {
                Some(SavedBreaker { until: Deadline::new(now, self.until), failed_probes: self.failed_probes })
            }
        }
    }

    /// How many attempts the window has at `now`, and how many of them failed: `(failures, attempts)`.
    pub fn counts(&self, policy: &BreakerPolicy, now: Instant) -> (u32, u32) {
        let mut later = *self;
        later.advance(policy, now);
        later.sum()
    }

    fn sum(&self) -> (u32, u32) {
        self.parts.iter().fold((0, 0), |(failures, attempts), part| {
            (failures + u32::from(part.failures), attempts + u32::from(part.attempts))
        })
    }

    /// Makes the part of `now` the current one, and forgets those that have left the window.
    fn advance(&mut self, policy: &BreakerPolicy, now: Instant) {
        let length = policy.window.as_nanos() as u64 / PARTS as u64;
        let passed = now.as_nanos().saturating_sub(self.began.as_nanos());
        let parts = passed / length;
        if parts == 0 {
            return;
        }
        self.began = Instant::from_nanos(self.began.as_nanos() + parts * length);
        for _ in 0..parts.min(PARTS as u64) {
            self.current = (self.current + 1) % PARTS as u8;
            self.parts[usize::from(self.current)] = Part::default();
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Part {
    fn count(&mut self, success: bool) {
        if self.attempts == u16::MAX {
            self.attempts /= 2;
            self.failures /= 2;
        }
        self.attempts += 1;
        self.failures += u16::from(!success);
    }
}

impl Transition {
    /// When the next probe may be made, unless it was closed.
    pub const fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Opened { until, .. } | Self::Reopened { until, .. } => Some(*until),
            Self::Closed { .. } => None,
        }
    }

    /// The name of what happened: `breaker.opened`, `breaker.reopened` or `breaker.closed`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "breaker.opened",
            Self::Reopened { .. } => "breaker.reopened",
            Self::Closed { .. } => "breaker.closed",
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { attempts, failures, policy, open, until: _ } => write!(
                f,
                "opened for {open:?}: {failures} of {attempts} attempts in the last {:?} failed, and {} % of at least {} \
                 are too many",
                policy.window, policy.percent, policy.attempts
            ),
            Self::Reopened { failed_probes: 1, open, until: _ } => {
                write!(f, "opened for {open:?} again: the probe failed")
            }
            Self::Reopened { failed_probes, open, until: _ } => {
                write!(f, "opened for {open:?} again: the last {failed_probes} probes failed")
            }
            Self::Closed { failed_probes: 0 } => f.write_str("closed: the probe succeeded"),
            Self::Closed { failed_probes } => {
                write!(f, "closed: the probe succeeded, after {failed_probes} had failed")
            }
        }
    }
}

impl fmt::Display for BreakerPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => write!(f, "the breaker's window of {window:?} is not within 1 s to 24 h"),
            Self::Attempts(attempts) => write!(f, "the breaker's {attempts} attempts are not within 1 to 10000"),
            Self::Percent(percent) => write!(f, "the breaker's {percent} % of failures are not within 1 to 100"),
            Self::Open { open, longest } => write!(
                f,
                "the breaker opens for {open:?} and at most {longest:?}; the first must be above zero and at most the \
                 second, and that at most 24 h"
            ),
        }
    }
}

impl core::error::Error for BreakerPolicyError {}

#[cfg(test)]
mod tests;

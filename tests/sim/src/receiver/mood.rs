//! How receivers behave: one state machine for each kind of trouble.

use std::borrow::Cow;

use super::retry_after::{HINTS, Hint};
use super::{Answer, Wire};
use crate::observe::{SECOND, SimTime};
use crate::rng::Rng;

const MILLI: u64 = 1_000_000;

/// A kind of behaviour, and where it stands.
#[derive(Debug)]
pub(super) enum Mood {
    /// Answers 204 at once.
    Good,
    /// Answers 204 late, often too late.
    Slow {
        /// Nanoseconds, in the mean.
        mean: u64,
    },
    /// Lets its answer drip: head or body.
    Dripping,
    /// Takes the connection and says nothing, or nothing for a while.
    Silent {
        /// Of a million requests, so many are answered.
        answered: u32,
    },
    /// Up, then down, then up: a Markov chain.
    Flapping {
        /// Whether it is up.
        up: bool,
        /// Until when.
        until: SimTime,
        /// Nanoseconds for which it stays up, and down, in the mean.
        means: [u64; 2],
        /// How it is down.
        down: Down,
    },
    /// Answers with an error, of a million requests so many times.
    Failing {
        /// How often.
        millionths: u32,
        /// The status.
        status: u16,
    },
    /// Says that it cannot keep up.
    Throttling {
        /// How often, of a million requests.
        millionths: u32,
        /// The status.
        status: u16,
        /// How it says for how long.
        hint: Hint,
    },
    /// Good, until it answers 410 for a while.
    Gone {
        /// Requests until then.
        after: u64,
    },
    /// Answers with a redirection.
    Redirecting {
        /// The status.
        status: u16,
        /// Where to.
        location: &'static str,
    },
    /// Says 200 and loses the event, of a million times so many.
    Dropping {
        /// How often.
        millionths: u32,
    },
    /// Takes the event and says 500.
    Denying {
        /// How often, of a million requests.
        millionths: u32,
    },
    /// Closes the connection somewhere.
    Closing {
        /// How often, of a million requests.
        millionths: u32,
        /// Whether it had taken the event.
        taken: bool,
    },
    /// Sends what is no response, or none that HTTP knows.
    Malformed,
}

/// How a flapping receiver is down.
#[derive(Clone, Copy, Debug)]
pub(super) enum Down {
    Close,
    Silence,
    Status(u16),
}

/// What is done about one request.
#[derive(Debug)]
pub(super) struct Plan {
    /// The application takes the event.
    pub(super) take: bool,
    pub(super) delay: u64,
    /// `None` for what the receiving machine answers.
    pub(super) wire: Option<Wire>,
}

impl Plan {
    /// What everybody hopes for.
    pub(super) fn good(delay: u64) -> Self {
        Self { take: true, delay, wire: None }
    }

    fn refuse(delay: u64, wire: Wire) -> Self {
        Self { take: false, delay, wire: Some(wire) }
    }

    fn status(delay: u64, status: u16) -> Self {
        Self::refuse(delay, Wire::Answer(Answer::status(status)))
    }
}

impl Mood {
    /// One of them.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let often = *rng.pick(&[50_000, 300_000, 700_000, 1_000_000]);
        match rng.below(16) {
            0..=2 => Self::Good,
            3 => Self::Slow { mean: *rng.pick(&[2 * SECOND, 20 * SECOND, 60 * SECOND]) },
            4 => Self::Dripping,
            5 => Self::Silent { answered: *rng.pick(&[0, 300_000, 900_000]) },
            6 | 7 => Self::flapping(rng),
            8 => Self::Failing { millionths: often, status: *rng.pick(&[400, 401, 404, 408, 413, 500, 501, 505, 599]) },
            9 | 10 => {
                let status = *rng.pick(&[429, 502, 503, 504, 500, 404]);
                Self::Throttling { millionths: often, status, hint: *rng.pick(&HINTS) }
            }
            11 => Self::Gone { after: rng.below(200) },
            12 => Self::Redirecting {
                status: *rng.pick(&[300, 301, 302, 303, 304, 307, 308]),
                location: rng.pick::<&str>(&[
                    "http://127.0.0.1/",
                    "http://169.254.169.254/latest/meta-data/",
                    "https://[::ffff:10.0.0.1]/",
                    "/again",
                    "https://elsewhere.example/",
                ]),
            },
            13 => Self::Dropping { millionths: often },
            14 => match rng.below(2) {
                0 => Self::Denying { millionths: often.min(700_000) },
                _ => Self::Closing { millionths: often, taken: rng.once_in(2) },
            },
            _ => Self::Malformed,
        }
    }

    fn flapping(rng: &mut Rng) -> Self {
        let scales = [SECOND, 60 * SECOND, 3600 * SECOND, 86_400 * SECOND, 7 * 86_400 * SECOND];
        let means = [*rng.pick(&scales), *rng.pick(&scales)];
        let down = *rng.pick(&[Down::Close, Down::Silence, Down::Status(500), Down::Status(503), Down::Status(404)]);
        Self::Flapping { up: rng.once_in(2), until: SimTime(0), means, down }
    }

    /// What is done about the next request, which came at `at`; the receiver's wall clock shows `wall`.
    pub(super) fn plan(&mut self, rng: &mut Rng, at: SimTime, wall: u64) -> Plan {
        let soon = rng.about(30 * MILLI);
        match self {
            Self::Good => Plan::good(soon),
            Self::Slow { mean } => Plan::good(rng.about(*mean)),
            Self::Dripping if rng.once_in(3) => Plan::refuse(soon, Wire::DrippingHead),
            Self::Dripping => {
                let answer = Answer { body: 1 << 20, body_time: u64::MAX, ..Answer::status(200) };
                Plan { take: true, delay: soon, wire: Some(Wire::Answer(answer)) }
            }
            Self::Silent { answered } if rng.chance(*answered) => Plan::good(soon),
            Self::Silent { .. } => Plan::refuse(soon, Wire::Silence),
            Self::Flapping { up, until, means, down } => {
                while *until <= at {
                    *up = !*up;
                    let mean = means[usize::from(!*up)];
                    // From a second to a week; a long silence of ours is one step, not thousands.
                    let stay = rng.about(mean).clamp(SECOND, 7 * 86_400 * SECOND);
                    *until = SimTime(at.0 - at.since(*until).min(stay)).after(stay);
                }
                match *down {
                    _ if *up => Plan::good(soon),
                    Down::Close => Plan::refuse(soon, Wire::Close),
                    Down::Silence => Plan::refuse(soon, Wire::Silence),
                    Down::Status(status) => Plan::status(soon, status),
                }
            }
            Self::Failing { millionths, status } if rng.chance(*millionths) => Plan::status(soon, *status),
            Self::Throttling { millionths, status, hint } if rng.chance(*millionths) => {
                let headers = hint.lines(rng, wall);
                Plan::refuse(soon, Wire::Answer(Answer { headers, ..Answer::status(*status) }))
            }
            Self::Gone { after } => {
                *after = after.checked_sub(1).unwrap_or(1000);
                if *after < 2 { Plan::status(soon, 410) } else { Plan::good(soon) }
            }
            Self::Redirecting { status, location } => {
                let headers = vec![("location", Cow::Borrowed(*location))];
                Plan::refuse(soon, Wire::Answer(Answer { headers, ..Answer::status(*status) }))
            }
            Self::Dropping { millionths } if rng.chance(*millionths) => Plan::status(soon, 200),
            Self::Denying { millionths } if rng.chance(*millionths) => {
                Plan { take: true, delay: soon, wire: Some(Wire::Answer(Answer::status(500))) }
            }
            Self::Closing { millionths, taken } if rng.chance(*millionths) => {
                if *taken && rng.once_in(3) {
                    // In the middle of the body: the status has been said.
                    let answer = Answer { body: 4096, body_time: u64::MAX, ..Answer::status(200) };
                    return Plan { take: true, delay: soon, wire: Some(Wire::Answer(answer)) };
                }
                Plan { take: *taken, delay: soon, wire: Some(Wire::Close) }
            }
            Self::Malformed => match rng.below(4) {
                0 => Plan::refuse(soon, Wire::Garbage),
                1 => Plan::refuse(soon, Wire::HugeHead),
                2 => Plan::refuse(soon, Wire::DrippingHead),
                _ => Plan::status(soon, *rng.pick(&[1, 99, 102, 199, 600, 999, u16::MAX])),
            },
            Self::Failing { .. }
            | Self::Throttling { .. }
            | Self::Dropping { .. }
            | Self::Denying { .. }
            | Self::Closing { .. } => Plan::good(soon),
        }
    }

    /// Its name.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow { .. } => "slow",
            Self::Dripping => "dripping",
            Self::Silent { .. } => "silent",
            Self::Flapping { .. } => "flapping",
            Self::Failing { .. } => "failing",
            Self::Throttling { .. } => "throttling",
            Self::Gone { .. } => "gone",
            Self::Redirecting { .. } => "redirecting",
            Self::Dropping { .. } => "dropping",
            Self::Denying { .. } => "denying",
            Self::Closing { .. } => "closing",
            Self::Malformed => "malformed",
        }
    }
}

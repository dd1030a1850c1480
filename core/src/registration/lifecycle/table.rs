//! The tables of a life, row by row.

use core::time::Duration;

use super::{Admin, Cause, Event, Health, Life, Reason, Rule, Step};
use crate::limits;
use crate::retry::BreakerPolicy;
use crate::time::{Instant, Now};

/// What a step asks the machine to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever takes a step must carry out each")]
pub enum Effect {
    /// New events match it: give it a subscription.
    Match,
    /// New events do not match it: retire its subscription.
    Unmatch,
    /// Begin to ask for consent.
    Ask,
    /// Stop asking for consent: what is under way is ignored.
    StopAsking,
    /// Let out what waits, one attempt at first and twice as many after each success.
    Ramp,
    /// Let out what waits, as before the rest.
    Release,
    /// Start one attempt of what waits; it decides.
    Probe,
    /// Set the endpoint's timer to when the rest or the hold is over.
    Timer,
    /// Stop the endpoint's timer.
    NoTimer,
    /// Discard what waits.
    Discard,
    /// Abort what is in flight.
    Abort,
    /// Tell people.
    Tell,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever takes a step must know each")]
pub enum Answer {
    /// Something changed, or is to be done: there is something to record.
    Done,
    /// Nothing changed, and nothing is to be done.
    Unchanged,
    /// A command that does not fit.
    Refused,
}

/// A state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Unverified,
    Active,
    Paused,
    Disabled,
    Gone,
    Removed,
}

/// A state of health without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feels {
    Ok,
    Throttled,
    Open,
    HalfOpen,
}

/// An event about what was decided, without its data; `New` and `Again` are registering and resuming with consent,
/// `NewUnasked` and `AgainUnasked` without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    New,
    NewUnasked,
    Agreed,
    Declined,
    Withdrawn,
    Pause,
    Again,
    AgainUnasked,
    Disable,
    Failing,
    Gone,
    HoldOver,
    Remove,
}

/// An event about health, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Succeeded,
    Failed,
    Throttled,
    Tripped,
    RestOver,
}

/// Whether health stays or begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Same,
    Fresh,
}

/// What a row says to do.
enum Row<To> {
    /// Go there, do this, by this rule.
    Go(To, Keep, &'static [Effect], Rule),
    /// Stay, and do this.
    Stay(&'static [Effect], Rule),
    /// Nothing is different.
    Same(Rule),
    /// The command does not fit.
    No(Rule),
}

/// What was decided, by what is decided.
#[rustfmt::skip]
const fn decided(is: Is, deed: Deed) -> Row<Is> {
    use Effect::{Abort, Ask, Discard, Match, NoTimer, Ramp, StopAsking, Tell, Timer, Unmatch};
    use Keep::{Fresh, Same as Held};
    use Row::{Go, No, Same, Stay};
    match (is, deed) {
        (Is::Unverified, Deed::New)          => Go(Is::Active, Held, &[StopAsking, Ramp], Rule::RegisteredAgain),
        (Is::Unverified, Deed::NewUnasked)   => Same(Rule::AlreadyRegistered),
        (Is::Unverified, Deed::Agreed)       => Go(Is::Active, Held, &[Ramp, Tell], Rule::Agreed),
        (Is::Unverified, Deed::Declined)     => Go(Is::Disabled, Held, &[Unmatch, Timer, Tell], Rule::Declined),
        (Is::Unverified, Deed::Withdrawn)    => Stay(&[Ask], Rule::Withdrawn),
        (Is::Unverified, Deed::Pause)        => Go(Is::Paused, Held, &[], Rule::Paused),
        (Is::Unverified, Deed::Again)        => Go(Is::Active, Held, &[StopAsking, Ramp], Rule::Resumed),
        (Is::Unverified, Deed::AgainUnasked) => Same(Rule::NotPaused),
        (Is::Unverified, Deed::Disable)      => Go(Is::Disabled, Held, &[StopAsking, Unmatch, Timer], Rule::Disabled),
        (Is::Unverified, Deed::Failing)      => Same(Rule::NotActive),
        (Is::Unverified, Deed::Gone)         => Go(Is::Gone, Held, &[StopAsking, Unmatch, NoTimer, Abort, Discard, Tell], Rule::Gone),
        (Is::Unverified, Deed::HoldOver)     => Same(Rule::NotDisabled),
        (Is::Unverified, Deed::Remove)       => Go(Is::Removed, Held, &[StopAsking, Unmatch, NoTimer, Abort, Discard], Rule::Removed),

        (Is::Active, Deed::New)              => Same(Rule::AlreadyRegistered),
        (Is::Active, Deed::NewUnasked)       => Same(Rule::AlreadyRegistered),
        (Is::Active, Deed::Agreed)           => Same(Rule::NotAsked),
        (Is::Active, Deed::Declined)         => Same(Rule::NotAsked),
        (Is::Active, Deed::Withdrawn)        => Go(Is::Unverified, Held, &[Ask], Rule::Withdrawn),
        (Is::Active, Deed::Pause)            => Go(Is::Paused, Held, &[], Rule::Paused),
        (Is::Active, Deed::Again)            => Same(Rule::NotPaused),
        (Is::Active, Deed::AgainUnasked)     => Same(Rule::NotPaused),
        (Is::Active, Deed::Disable)          => Go(Is::Disabled, Held, &[Unmatch, Timer], Rule::Disabled),
        (Is::Active, Deed::Failing)          => Go(Is::Disabled, Held, &[Unmatch, Timer, Tell], Rule::Failing),
        (Is::Active, Deed::Gone)             => Go(Is::Gone, Held, &[Unmatch, NoTimer, Abort, Discard, Tell], Rule::Gone),
        (Is::Active, Deed::HoldOver)         => Same(Rule::NotDisabled),
        (Is::Active, Deed::Remove)           => Go(Is::Removed, Held, &[Unmatch, NoTimer, Abort, Discard], Rule::Removed),

        (Is::Paused, Deed::New)              => Same(Rule::AlreadyRegistered),
        (Is::Paused, Deed::NewUnasked)       => Same(Rule::AlreadyRegistered),
        (Is::Paused, Deed::Agreed)           => Same(Rule::StillPaused),
        (Is::Paused, Deed::Declined)         => Same(Rule::StillPaused),
        (Is::Paused, Deed::Withdrawn)        => Same(Rule::StillPaused),
        (Is::Paused, Deed::Pause)            => Same(Rule::AlreadyPaused),
        (Is::Paused, Deed::Again)            => Go(Is::Active, Held, &[StopAsking, Ramp], Rule::Resumed),
        (Is::Paused, Deed::AgainUnasked)     => Go(Is::Unverified, Held, &[Ask], Rule::ResumedUnverified),
        (Is::Paused, Deed::Disable)          => Go(Is::Disabled, Held, &[StopAsking, Unmatch, Timer], Rule::Disabled),
        (Is::Paused, Deed::Failing)          => Same(Rule::NotActive),
        (Is::Paused, Deed::Gone)             => Go(Is::Gone, Held, &[StopAsking, Unmatch, NoTimer, Abort, Discard, Tell], Rule::Gone),
        (Is::Paused, Deed::HoldOver)         => Same(Rule::NotDisabled),
        (Is::Paused, Deed::Remove)           => Go(Is::Removed, Held, &[StopAsking, Unmatch, NoTimer, Abort, Discard], Rule::Removed),

        (Is::Disabled, Deed::New)            => Same(Rule::AlreadyRegistered),
        (Is::Disabled, Deed::NewUnasked)     => Same(Rule::AlreadyRegistered),
        (Is::Disabled, Deed::Agreed)         => Same(Rule::NotAsked),
        (Is::Disabled, Deed::Declined)       => Same(Rule::NotAsked),
        (Is::Disabled, Deed::Withdrawn)      => Same(Rule::NotAsked),
        (Is::Disabled, Deed::Pause)          => No(Rule::ResumeFirst),
        (Is::Disabled, Deed::Again)          => Go(Is::Active, Fresh, &[Match, NoTimer, Ramp], Rule::Resumed),
        (Is::Disabled, Deed::AgainUnasked)   => Go(Is::Unverified, Fresh, &[Match, NoTimer, Ask], Rule::ResumedUnverified),
        (Is::Disabled, Deed::Disable)        => Same(Rule::AlreadyDisabled),
        (Is::Disabled, Deed::Failing)        => Same(Rule::NotActive),
        (Is::Disabled, Deed::Gone)           => Go(Is::Gone, Held, &[NoTimer, Abort, Discard, Tell], Rule::Gone),
        (Is::Disabled, Deed::HoldOver)       => Stay(&[Discard, Tell], Rule::HoldOver),
        (Is::Disabled, Deed::Remove)         => Go(Is::Removed, Held, &[NoTimer, Abort, Discard], Rule::Removed),

        (Is::Gone, Deed::New)                => Go(Is::Active, Fresh, &[Match, Ramp], Rule::RegisteredAgain),
        (Is::Gone, Deed::NewUnasked)         => Go(Is::Unverified, Fresh, &[Match, Ask], Rule::RegisteredUnverified),
        (Is::Gone, Deed::Agreed)             => Same(Rule::NotAsked),
        (Is::Gone, Deed::Declined)           => Same(Rule::NotAsked),
        (Is::Gone, Deed::Withdrawn)          => Same(Rule::NotAsked),
        (Is::Gone, Deed::Pause)              => No(Rule::RegisterFirst),
        (Is::Gone, Deed::Again)              => No(Rule::RegisterFirst),
        (Is::Gone, Deed::AgainUnasked)       => No(Rule::RegisterFirst),
        (Is::Gone, Deed::Disable)            => No(Rule::RegisterFirst),
        (Is::Gone, Deed::Failing)            => Same(Rule::NotActive),
        (Is::Gone, Deed::Gone)               => Same(Rule::AlreadyGone),
        (Is::Gone, Deed::HoldOver)           => Same(Rule::NotDisabled),
        (Is::Gone, Deed::Remove)             => Go(Is::Removed, Held, &[Abort, Discard], Rule::Removed),

        (Is::Removed, Deed::New)             => Go(Is::Active, Fresh, &[Match], Rule::Registered),
        (Is::Removed, Deed::NewUnasked)      => Go(Is::Unverified, Fresh, &[Match, Ask], Rule::RegisteredUnverified),
        (Is::Removed, Deed::Agreed)          => Same(Rule::NotAsked),
        (Is::Removed, Deed::Declined)        => Same(Rule::NotAsked),
        (Is::Removed, Deed::Withdrawn)       => Same(Rule::NotAsked),
        (Is::Removed, Deed::Pause)           => No(Rule::RegisterFirst),
        (Is::Removed, Deed::Again)           => No(Rule::RegisterFirst),
        (Is::Removed, Deed::AgainUnasked)    => No(Rule::RegisterFirst),
        (Is::Removed, Deed::Disable)         => No(Rule::RegisterFirst),
        (Is::Removed, Deed::Failing)         => Same(Rule::NotActive),
        (Is::Removed, Deed::Gone)            => Same(Rule::AlreadyRemoved),
        (Is::Removed, Deed::HoldOver)        => Same(Rule::NotDisabled),
        (Is::Removed, Deed::Remove)          => Same(Rule::AlreadyRemoved),
    }
}

/// How it feels, by how it answers.
#[rustfmt::skip]
const fn felt(feels: Feels, sign: Sign) -> Row<Feels> {
    use Effect::{Probe, Ramp, Release, Tell, Timer};
    use Keep::Same as Held;
    use Row::{Go, Same};
    match (feels, sign) {
        (Feels::Ok, Sign::Succeeded)        => Same(Rule::Well),
        (Feels::Ok, Sign::Failed)           => Same(Rule::FailureNoted),
        (Feels::Ok, Sign::Throttled)        => Go(Feels::Throttled, Held, &[Timer], Rule::Throttled),
        (Feels::Ok, Sign::Tripped)          => Go(Feels::Open, Held, &[Timer, Tell], Rule::Opened),
        (Feels::Ok, Sign::RestOver)         => Same(Rule::NotResting),

        (Feels::Throttled, Sign::Succeeded) => Same(Rule::StillResting),
        (Feels::Throttled, Sign::Failed)    => Same(Rule::StillResting),
        (Feels::Throttled, Sign::Throttled) => Go(Feels::Throttled, Held, &[Timer], Rule::Throttled),
        (Feels::Throttled, Sign::Tripped)   => Go(Feels::Open, Held, &[Timer, Tell], Rule::Opened),
        (Feels::Throttled, Sign::RestOver)  => Go(Feels::Ok, Held, &[Release], Rule::RestOver),

        (Feels::Open, Sign::Succeeded)      => Same(Rule::StillResting),
        (Feels::Open, Sign::Failed)         => Same(Rule::StillResting),
        (Feels::Open, Sign::Throttled)      => Go(Feels::Open, Held, &[Timer], Rule::Throttled),
        (Feels::Open, Sign::Tripped)        => Same(Rule::StillResting),
        (Feels::Open, Sign::RestOver)       => Go(Feels::HalfOpen, Held, &[Probe], Rule::Probed),

        (Feels::HalfOpen, Sign::Succeeded)  => Go(Feels::Ok, Held, &[Ramp, Tell], Rule::Recovered),
        (Feels::HalfOpen, Sign::Failed)     => Go(Feels::Open, Held, &[Timer, Tell], Rule::ProbeFailed),
        (Feels::HalfOpen, Sign::Throttled)  => Go(Feels::Open, Held, &[Timer, Tell], Rule::ProbeFailed),
        (Feels::HalfOpen, Sign::Tripped)    => Go(Feels::Open, Held, &[Timer, Tell], Rule::ProbeFailed),
        (Feels::HalfOpen, Sign::RestOver)   => Same(Rule::NotResting),
    }
}

pub(super) fn step(from: Life, now: Now, event: Event) -> Step {
    match kind(event) {
        Kind::Deed(deed) => decide(from, now, event, deed),
        Kind::Sign(sign) => feel(from, now, event, sign),
    }
}

/// Which of the two tables an event belongs to.
enum Kind {
    Deed(Deed),
    Sign(Sign),
}

fn kind(event: Event) -> Kind {
    match event {
        Event::Register { consent: true } => Kind::Deed(Deed::New),
        Event::Register { consent: false } => Kind::Deed(Deed::NewUnasked),
        Event::Agreed => Kind::Deed(Deed::Agreed),
        Event::Declined => Kind::Deed(Deed::Declined),
        Event::Withdrawn => Kind::Deed(Deed::Withdrawn),
        Event::Pause => Kind::Deed(Deed::Pause),
        Event::Resume { consent: true } => Kind::Deed(Deed::Again),
        Event::Resume { consent: false } => Kind::Deed(Deed::AgainUnasked),
        Event::Disable => Kind::Deed(Deed::Disable),
        Event::Failing { .. } => Kind::Deed(Deed::Failing),
        Event::Gone => Kind::Deed(Deed::Gone),
        Event::HoldOver => Kind::Deed(Deed::HoldOver),
        Event::Remove => Kind::Deed(Deed::Remove),
        Event::Succeeded => Kind::Sign(Sign::Succeeded),
        Event::Failed => Kind::Sign(Sign::Failed),
        Event::Throttled { .. } => Kind::Sign(Sign::Throttled),
        Event::Tripped { .. } => Kind::Sign(Sign::Tripped),
        Event::RestOver => Kind::Sign(Sign::RestOver),
    }
}

fn decide(from: Life, now: Now, event: Event, deed: Deed) -> Step {
    let is = match from.admin {
        Admin::Unverified { .. } => Is::Unverified,
        Admin::Active => Is::Active,
        Admin::Paused { .. } => Is::Paused,
        Admin::Disabled { .. } => Is::Disabled,
        Admin::Gone { .. } => Is::Gone,
        Admin::Removed { .. } => Is::Removed,
    };
    match decided(is, deed) {
        Row::Go(to, keep, effects, rule) => {
            let health = match keep {
                Keep::Same => from.health,
                Keep::Fresh => Health::Ok,
            };
            taken(Life { admin: arrive(to, now, rule), health }, now, event, effects, Answer::Done, rule)
        }
        Row::Stay(effects, rule) => taken(from, now, event, effects, Answer::Done, rule),
        Row::Same(rule) => taken(from, now, event, &[], Answer::Unchanged, rule),
        Row::No(rule) => taken(from, now, event, &[], Answer::Refused, rule),
    }
}

fn arrive(to: Is, now: Now, rule: Rule) -> Admin {
    let since = now.wall;
    match to {
        Is::Unverified => Admin::Unverified { since },
        Is::Active => Admin::Active,
        Is::Paused => Admin::Paused { since },
        Is::Disabled => {
            let cause = if rule == Rule::Failing {
                Cause::Failing
            } else if rule == Rule::Declined {
                Cause::NoConsent
            } else {
                Cause::Command
            };
            Admin::Disabled { since, cause }
        }
        Is::Gone => Admin::Gone { since },
        Is::Removed => Admin::Removed { since },
    }
}

fn feel(from: Life, now: Now, event: Event, sign: Sign) -> Step {
    let unchanged = |rule| taken(from, now, event, &[], Answer::Unchanged, rule);
    let active = match from.admin {
        Admin::Active => true,
        Admin::Unverified { .. } | Admin::Paused { .. } => false,
        Admin::Disabled { .. } | Admin::Gone { .. } | Admin::Removed { .. } => return unchanged(Rule::NotInService),
    };
    let (feels, until, times) = match from.health {
        Health::Ok => (Feels::Ok, Instant::ORIGIN, 0),
        Health::Throttled { until } => (Feels::Throttled, until, 0),
        Health::Open { until, times } => (Feels::Open, until, times),
        Health::HalfOpen { times } => (Feels::HalfOpen, Instant::ORIGIN, times),
    };
    if sign == Sign::RestOver && now.mono < until {
        return unchanged(Rule::StillResting);
    }
    match felt(feels, sign) {
        Row::Go(to, _, effects, rule) => {
            let health = rest(to, now, event, until, times, feels);
            let step = Life { health, ..from };
            if step == from {
                return unchanged(Rule::StillResting);
            }
            let effects = if active { effects } else { waiting(effects) };
            taken(step, now, event, effects, Answer::Done, rule)
        }
        Row::Stay(effects, rule) => taken(from, now, event, effects, Answer::Done, rule),
        Row::Same(rule) => unchanged(rule),
        Row::No(rule) => unchanged(rule),
    }
}

/// The data of the health arrived at. A rest is never shortened by another.
fn rest(to: Feels, now: Now, event: Event, until: Instant, times: u8, from: Feels) -> Health {
    let asked = if let Event::Throttled { rest } = event { rest.min(limits::RETRY_AFTER_CAP) } else { Duration::ZERO };
    let asked = now.mono.saturating_add(asked);
    match to {
        Feels::Ok => Health::Ok,
        Feels::Throttled => Health::Throttled { until: until.max(asked) },
        Feels::Open if from == Feels::Open => Health::Open { until: until.max(asked), times },
        Feels::Open => {
            let times = times.saturating_add(1);
            let until = until.max(asked).max(now.mono.saturating_add(open_rest(times)));
            Health::Open { until, times }
        }
        Feels::HalfOpen => Health::HalfOpen { times },
    }
}

/// How long a breaker that has opened so many times in a row stays open.
pub(super) fn open_rest(times: u8) -> Duration {
    BreakerPolicy::DEFAULT.open_for(times.saturating_sub(1))
}

/// What of a step's effects is done while the endpoint may not be sent to: nothing is let out.
fn waiting(effects: &'static [Effect]) -> &'static [Effect] {
    match effects {
        [Effect::Timer, ..] => &[Effect::Timer],
        _ => &[],
    }
}

fn taken(to: Life, now: Now, event: Event, effects: &'static [Effect], answer: Answer, rule: Rule) -> Step {
    let reason = Reason { rule, event, at: now.wall, next: to.due(now) };
    Step { to, effects, answer, reason }
}

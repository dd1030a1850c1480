//! How endpoints are paced, to and from their records; and their health, folded from what ended how.

use alloc::collections::BTreeMap;

use crate::id::JournalSeq;
use crate::journal::{
    BreakerRecord, DisableRecord, Due, HealthRecord, OutcomeRecord, PacingRecord, RateRecord, Setting, Then,
};
use crate::registration::{EndpointError, Pacing};
use crate::response::TransportError;
use crate::retry::{
    Breaker, BreakerPolicy, Deadline, DisableRule, Gcra, Per, QueueLimit, Rate, RateError, SavedBreaker, Streak,
};
use crate::sender::Sender;
use crate::sender::pace::tells;
use crate::time::UnixTime;

/// How an endpoint is paced, as it is written; `None` when it is as usual.
pub(in crate::sender) fn written(pacing: &Pacing) -> Option<PacingRecord> {
    let Pacing { rate, breaker, disable, queue } = pacing;
    let record = PacingRecord {
        rate: rate.map(|rate| RateRecord {
            count: rate.count(),
            burst: rate.burst(),
            seconds: match rate.per() {
                Per::Second => 1,
                Per::Minute => 60,
                Per::Hour => 3600,
            },
        }),
        breaker: setting(*breaker, BreakerPolicy::DEFAULT, |policy| BreakerRecord {
            attempts: policy.attempts(),
            percent: policy.percent(),
            window: policy.window(),
            open: policy.open(),
            longest: policy.longest(),
        }),
        disable: setting(*disable, DisableRule::DEFAULT, |rule| DisableRecord {
            age: rule.age(),
            failures: rule.failures(),
        }),
        queue: queue.map(QueueLimit::get),
    };
    (record != PacingRecord::default()).then_some(record)
}

fn setting<T: PartialEq, R>(wanted: Option<T>, usual: T, write: impl FnOnce(T) -> R) -> Setting<R> {
    match wanted {
        None => Setting::Off,
        Some(wanted) if wanted == usual => Setting::Usual,
        Some(wanted) => Setting::Given(write(wanted)),
    }
}

/// How the endpoint of a record is paced.
pub(in crate::sender) fn pacing_of(record: Option<&PacingRecord>) -> Result<Pacing, EndpointError> {
    let mut pacing = Pacing::default();
    let Some(PacingRecord { rate, breaker, disable, queue }) = record else { return Ok(pacing) };
    pacing.rate = rate.map(rate_of).transpose().map_err(EndpointError::Rate)?;
    match breaker {
        Setting::Usual => {}
        Setting::Off => pacing.breaker = None,
        Setting::Given(BreakerRecord { attempts, percent, window, open, longest }) => {
            let policy = BreakerPolicy::DEFAULT.with_rule(*attempts, *percent, *window);
            let policy = policy.and_then(|policy| policy.with_open(*open, *longest));
            pacing.breaker = Some(policy.map_err(EndpointError::Breaker)?);
        }
    }
    match disable {
        Setting::Usual => {}
        Setting::Off => pacing.disable = None,
        Setting::Given(DisableRecord { age, failures }) => {
            pacing.disable = Some(DisableRule::new(*age, *failures).map_err(EndpointError::Disable)?);
        }
    }
    pacing.queue = queue.map(QueueLimit::new).transpose().map_err(EndpointError::QueueLimit)?;
    Ok(pacing)
}

fn rate_of(record: RateRecord) -> Result<Rate, RateError> {
    let RateRecord { count, burst, seconds } = record;
    let per = match seconds {
        1 => Per::Second,
        60 => Per::Minute,
        3600 => Per::Hour,
        // Whatever it is in a later version, this is not faster.
        _ => Per::Hour,
    };
    Rate::new(count, per)?.with_burst(burst)
}

/// How endpoints answer, by their places.
#[derive(Debug, Default)]
pub(super) struct Healths(BTreeMap<u32, Health>);

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// Outcomes up to this record are counted.
    through: JournalSeq,
    failing: Option<(UnixTime, u32)>,
    breaker: Option<(Due, u8)>,
}

impl Healths {
    /// A record says how an endpoint answers. One from before what is known, as a snapshot shows it, is passed over. Says
    /// whether its breaker was open and is closed by it.
    pub(super) fn say(&mut self, at: u32, record: &HealthRecord) -> bool {
        let HealthRecord { endpoint: _, through, failing, breaker } = record;
        let known = self.0.entry(at).or_default();
        let is_news = *through >= known.through;
        let closes = is_news && known.breaker.is_some() && breaker.is_none();
        if is_news {
            *known = Health { through: *through, failing: *failing, breaker: *breaker };
        }
        closes
    }

    /// An attempt ended.
    pub(super) fn count(&mut self, at: u32, seq: JournalSeq, outcome: &OutcomeRecord) {
        let told = match TransportError::from_wire(outcome.failure.0, outcome.failure.1) {
            Some(failure) if outcome.status == 0 => tells(Err(failure)),
            // A status of 0 is what a receiver sent, where the delivery did not end without an attempt.
            _ => match outcome.then {
                Then::Delivered | Then::Retry(_) | Then::Exhausted | Then::Refused => tells(Ok(outcome.status)),
                Then::Discarded | Then::Expired | Then::Lost | Then::Superseded if outcome.status != 0 => {
                    tells(Ok(outcome.status))
                }
                Then::Discarded | Then::Expired | Then::Lost | Then::Superseded => None,
            },
        };
        match told {
            None => {}
            Some(true) => {
                if let Some(known) = self.0.get_mut(&at).filter(|known| seq > known.through) {
                    known.failing = None;
                }
            }
            Some(false) => {
                let known = self.0.entry(at).or_default();
                if seq > known.through {
                    let (first, count) = known.failing.unwrap_or((outcome.at, 0));
                    known.failing = Some((first, count.saturating_add(1)));
                }
            }
        }
    }

    /// Lets endpoints go on from how they answered, for the rest of their times. Rates begin with nothing: the process
    /// that died may have used all of them a moment before.
    pub(super) fn resume(self, sender: &mut Sender) {
        let now = sender.now;
        for (at, health) in self.0 {
            let Some(slot) = sender.endpoints.slab.get_mut(at).filter(|slot| !slot.removed) else { continue };
            if let Some((first, count)) = health.failing {
                slot.streak = Streak::restore(first, count, now);
            }
            let breaker = health.breaker.filter(|_| slot.wire.config.pacing.breaker.is_some());
            if let Some((Due { written, delay }, failed_probes)) = breaker {
                slot.breaker =
                    Breaker::restore(SavedBreaker { until: Deadline { written, delay }, failed_probes }, now);
            }
        }
        let limited: alloc::vec::Vec<_> = sender.endpoints.slab.iter().map(|(at, _)| at).collect();
        for at in limited {
            let slot = &mut sender.endpoints.slab[at];
            #[cfg(postrider_planted)]
            if crate::planted::breaks(44) {
                slot.rate = slot.wire.config.pacing.rate.map(|rate| alloc::boxed::Box::new(Gcra::full(rate)));
                continue;
            }
            slot.rate = slot.allowed_rate().map(|rate| alloc::boxed::Box::new(Gcra::empty(rate, now.mono)));
        }
    }
}

//! How an endpoint's pacing and its health are written.

use core::time::Duration;

use super::endpoint::{read_endpoint_key, write_endpoint_key};
use super::error::{CodecError, Why};
use super::record::Due;
use super::wire::{Reader, Writer};
use crate::id::{EndpointKey, JournalSeq};
use crate::time::UnixTime;

/// How an endpoint is paced, where that is not as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct PacingRecord {
    /// Its rate.
    pub rate: Option<RateRecord>,
    /// Its breaker's policy.
    pub breaker: Setting<BreakerRecord>,
    /// The rule by which it is disabled.
    pub disable: Setting<DisableRecord>,
    /// How long a delivery may wait for it.
    pub queue: Option<Duration>,
}

/// A setting that is the usual one, off, or given. Written as 0, 1, or 2 and the setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "plain data of a versioned format")]
pub enum Setting<T> {
    /// As whoever reads it thinks usual.
    #[default]
    Usual,
    /// Off.
    Off,
    /// This one.
    Given(T),
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct RateRecord {
    /// Attempts in a unit of time.
    pub count: u32,
    /// Attempts at once.
    pub burst: u32,
    /// Seconds in the unit of time.
    pub seconds: u16,
}

/// A breaker's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct BreakerRecord {
    /// Attempts that it takes, at least.
    pub attempts: u16,
    /// How many per cent of them have to fail.
    pub percent: u8,
    /// Within which time.
    pub window: Duration,
    /// For how long it opens first.
    pub open: Duration,
    /// For how long it opens at most.
    pub longest: Duration,
}

/// A rule by which an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct DisableRecord {
    /// How old the first failure must be.
    pub age: Duration,
    /// How many attempts must have failed.
    pub failures: u32,
}

/// How an endpoint answers: what of it survives a restart.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct HealthRecord {
    /// Which endpoint.
    pub endpoint: EndpointKey,
    /// Outcomes up to this record are counted here, and none behind it.
    pub through: JournalSeq,
    /// The first failure since the last success, and how many there were since; `None` without any.
    pub failing: Option<(UnixTime, u32)>,
    /// When the next probe may be made, and how many have failed, of a breaker that is not closed.
    pub breaker: Option<(Due, u8)>,
}

pub(super) fn write_pacing(pacing: &PacingRecord, w: &mut Writer<'_>) {
    let PacingRecord { rate, breaker, disable, queue } = pacing;
    w.option(*rate, |w, RateRecord { count, burst, seconds }| {
        w.u32(count);
        w.u32(burst);
        w.u16(seconds);
    });
    write_setting(*breaker, w, |w, BreakerRecord { attempts, percent, window, open, longest }| {
        w.u16(attempts);
        w.u8(percent);
        w.duration(window);
        w.duration(open);
        w.duration(longest);
    });
    write_setting(*disable, w, |w, DisableRecord { age, failures }| {
        w.duration(age);
        w.u32(failures);
    });
    w.option(*queue, Writer::duration);
}

pub(super) fn read_pacing(r: &mut Reader<'_>) -> Result<PacingRecord, CodecError> {
    Ok(PacingRecord {
        rate: r.option("rate", |r| {
            Ok(RateRecord { count: r.u32("rate")?, burst: r.u32("rate")?, seconds: r.u16("rate")? })
        })?,
        breaker: read_setting(r, "breaker", |r| {
            Ok(BreakerRecord {
                attempts: r.u16("breaker")?,
                percent: r.u8("breaker")?,
                window: r.duration("breaker")?,
                open: r.duration("breaker")?,
                longest: r.duration("breaker")?,
            })
        })?,
        disable: read_setting(r, "disable", |r| {
            Ok(DisableRecord { age: r.duration("disable")?, failures: r.u32("disable")? })
        })?,
        queue: r.option("queue", |r| r.duration("queue"))?,
    })
}

fn write_setting<T>(setting: Setting<T>, w: &mut Writer<'_>, write: impl FnOnce(&mut Writer<'_>, T)) {
    match setting {
        Setting::Usual => w.u8(0),
        Setting::Off => w.u8(1),
        Setting::Given(given) => {
            w.u8(2);
            write(w, given);
        }
    }
}

fn read_setting<T>(
    r: &mut Reader<'_>,
    field: &'static str,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<Setting<T>, CodecError> {
    let form = r.checked(|r| match r.u8(field)? {
        byte @ 0..=2 => Ok(Ok(byte)),
        byte => Ok(Err(Why::Setting { byte })),
    })?;
    match form {
        0 => Ok(Setting::Usual),
        1 => Ok(Setting::Off),
        _ => read(r).map(Setting::Given),
    }
}

pub(super) fn write_health(health: &HealthRecord, w: &mut Writer<'_>) {
    let HealthRecord { endpoint, through, failing, breaker } = health;
    write_endpoint_key(endpoint, w);
    w.seq(*through);
    w.option(*failing, |w, (first, count)| {
        w.time(first);
        w.u32(count);
    });
    w.option(*breaker, |w, (Due { written, delay }, failed_probes)| {
        w.time(written);
        w.duration(delay);
        w.u8(failed_probes);
    });
}

pub(super) fn read_health(r: &mut Reader<'_>) -> Result<HealthRecord, CodecError> {
    Ok(HealthRecord {
        endpoint: read_endpoint_key(r)?,
        through: r.seq("through")?,
        failing: r.option("failing", |r| Ok((r.time("failing")?, r.u32("failing")?)))?,
        breaker: r.option("breaker", |r| {
            let due = Due { written: r.time("breaker")?, delay: r.duration("breaker")? };
            Ok((due, r.u8("breaker")?))
        })?,
    })
}

//! Time as a parameter: the core reads no clock, it is told.
//!
//! There are two kinds of time, and they are always sampled together by the adapter, as a [`Now`]. [`Instant`] is
//! monotonic and decides when something is due; [`UnixTime`] is the wall clock, may jump either way, and only stamps
//! what leaves the process and is compared with absolute dates.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// A point on the adapter's monotonic clock, in nanoseconds since an origin that the adapter chose.
///
/// Unlike `std::time::Instant` it can be made, stored, compared and fuzzed without a clock. There is no sentinel for
/// "never": what has no time is an `Option` or its own variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the adapter's clock.
    pub const ORIGIN: Self = Self(0);

    /// The last there is, 584 years after the origin.
    pub const LAST: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `millis` milliseconds after the origin, saturating at the end of time (584 years).
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant, `by` later; saturates at the end of time.
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(by)))
    }

    /// This instant, `by` earlier; saturates at the origin.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(by)))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A point on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The time `millis` milliseconds after 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The time `secs` seconds after 1970, saturating.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down; what `webhook-timestamp` carries.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// This time, `by` later; saturates. Parts of a millisecond are dropped.
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This time, `by` earlier; saturates at 1970. Parts of a millisecond are dropped.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this time is; zero when it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 date and time such as `2026-11-21T07:26:00Z` or `2026-11-21T08:26:00.250+01:00`.
    ///
    /// A leap second (`:60`) is read as the first moment of the next minute, and digits after the third of the
    /// fraction are dropped. `None` for anything else, and for years before 1970.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        parse_rfc3339(text.as_bytes())
    }

    /// Writes the RFC 3339 form in UTC with milliseconds: `2026-11-21T07:26:00.000Z`.
    pub fn to_rfc3339(self) -> String {
        alloc::format!("{self}")
    }

    /// The same, where the year has four digits. Every event that is sent has a time in it: digits are set into a text
    /// that is as long as it will be.
    pub(crate) fn ascii(self) -> Option<[u8; 24]> {
        let (year, month, day) = civil_from_days(self.0 / 86_400_000);
        if year > 9999 {
            return None;
        }
        let millis = (self.0 % 86_400_000) as u32;
        let (year, month, day) = (year as u32, month as u32, day as u32);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut two = |at: usize, number: u32| {
            text[at] = b'0' + (number / 10) as u8;
            text[at + 1] = b'0' + (number % 10) as u8;
        };
        two(0, year / 100);
        two(2, year % 100);
        two(5, month);
        two(8, day);
        two(11, millis / 3_600_000);
        two(14, millis / 60_000 % 60);
        two(17, millis / 1000 % 60);
        two(20, millis % 1000 / 10);
        text[22] = b'0' + (millis % 10) as u8;
        Some(text)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.ascii() {
            return f.write_str(core::str::from_utf8(&text).expect("digits and signs of ASCII"));
        }
        let (year, month, day) = civil_from_days(self.0 / 86_400_000);
        let millis = self.0 % 86_400_000;
        let (secs, milli) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Both clocks, sampled together by the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two clocks, and adapters make one each time they call")]
pub struct Now {
    /// The monotonic clock: when things are due.
    pub mono: Instant,
    /// The wall clock: what stamps say.
    pub wall: UnixTime,
}

impl Now {
    /// Both clocks `by` later; what a virtual clock does.
    pub fn advanced(self, by: Duration) -> Self {
        Self { mono: self.mono.saturating_add(by), wall: self.wall.saturating_add(by) }
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; `None` when there is no such date or it is
/// before 1970. Months and days count from 1.
pub(crate) fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || year < 1970 {
        return None;
    }
    // March is made the first month, so that the leap day is the last day of the year.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (y / 400, y % 400);
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The (year, month, day) that is `days` days after 1970-01-01.
pub(crate) fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

fn parse_rfc3339(text: &[u8]) -> Option<UnixTime> {
    if text.len() < 20 || text.len() > 64 {
        return None;
    }
    let two = |at: usize| digits(text.get(at..at + 2)?);
    let mark = |at: usize, allowed: &[u8]| text.get(at).is_some_and(|b| allowed.contains(b));
    let shape = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":");
    if !shape {
        return None;
    }
    let days = days_from_civil(digits(text.get(..4)?)?, two(5)?, two(8)?)?;
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut millis = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000;
    let mut rest = &text[19..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 {
            return None;
        }
        for (digit, scale) in fraction[..len].iter().zip([100, 10, 1]) {
            millis += u64::from(digit - b'0') * scale;
        }
        rest = &fraction[len..];
    }
    match rest {
        b"Z" | b"z" => Some(UnixTime(millis)),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000;
            let utc = if *sign == b'+' { millis.checked_sub(offset)? } else { millis + offset };
            Some(UnixTime(utc))
        }
        _ => None,
    }
}

/// The value of a run of ASCII digits; `None` for anything else. At most 18 digits are given.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value: u64, b| b.is_ascii_digit().then(|| value * 10 + u64::from(b - b'0')))
}

fn saturating_nanos(by: Duration) -> u64 {
    u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_reads_what_it_writes() {
        for millis in [0, 1, 951_782_399_999, 951_868_800_000, 1_795_246_000_123, 4_107_542_400_000, 32_503_680_000_000]
        {
            let time = UnixTime::from_millis(millis);
            assert_eq!(UnixTime::parse_rfc3339(&time.to_rfc3339()), Some(time), "{time}");
        }
        assert_eq!(UnixTime::from_secs(951_782_400).to_rfc3339(), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn rfc3339_offsets_fractions_and_leap_seconds() {
        let at = |text| UnixTime::parse_rfc3339(text).map(UnixTime::as_millis);
        assert_eq!(at("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(at("1969-12-31T23:00:00-01:00"), None, "years before 1970 are not read");
        assert_eq!(at("1970-01-01t00:00:00.1239999z"), Some(123));
        assert_eq!(at("1970-01-01T00:00:60Z"), Some(60_000));
        for bad in [
            "",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}

//! HTTP dates: RFC 9110 section 5.6.7.

use crate::time::{UnixTime, civil_from_days, days_from_civil};
use alloc::format;
use alloc::string::String;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The last second that an IMF-fixdate can write: 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;

/// Days in 400 years, after which the calendar repeats.
const DAYS_OF_400_YEARS: u64 = 146_097;

/// Reads an HTTP-date in any of its three forms: `Sun, 06 Nov 1994 08:49:37 GMT`, the obsolete
/// `Sunday, 06-Nov-94 08:49:37 GMT`, and the obsolete `Sun Nov  6 08:49:37 1994`.
///
/// The grammar is taken strictly: case, spaces, the number of digits, `GMT`. The name of the day has to be one, but
/// nobody checks that it is the right one. Second 60 is read as the first moment of the next minute, and a date
/// before 1970 as 1970. Of a year with two digits the century is the latest that is not more than 50 years after
/// `now`; `now` serves for nothing else. `None` for anything else.
pub fn parse(text: &[u8], now: UnixTime) -> Option<UnixTime> {
    imf(text).or_else(|| asctime(text)).or_else(|| rfc850(text, now))
}

/// Writes the IMF-fixdate of a time: `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Parts of a second are dropped; a time after the year 9999, which the form cannot express, is written as its end.
pub fn format(time: UnixTime) -> String {
    let secs = time.as_secs().min(LAST);
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil_from_days(days);
    // 1970-01-01 was a Thursday, which is day 3.
    let name = &DAYS[(days as usize + 3) % 7][..3];
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// A date that the calendar may not have, as it was written.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    /// Since midnight; up to 86,400, because of leap seconds.
    second: u64,
}

impl Civil {
    fn time(&self) -> Option<UnixTime> {
        // Moved by 2000 years and back, so that dates before 1970 are checked by the same calendar.
        let days = days_from_civil(self.year + 2000, self.month, self.day)?;
        Some(match days.checked_sub(5 * DAYS_OF_400_YEARS) {
            Some(days) => UnixTime::from_secs(days * 86_400 + self.second),
            None => UnixTime::EPOCH,
        })
    }
}

/// `day-name "," SP day SP month SP year SP time-of-day SP "GMT"`
fn imf(text: &[u8]) -> Option<UnixTime> {
    let text: &[u8; 29] = text.try_into().ok()?;
    short_day(&text[..3])?;
    literal(&text[3..5], b", ")?;
    let day = number(&text[5..7])?;
    literal(&text[7..8], b" ")?;
    let month = month(&text[8..11])?;
    literal(&text[11..12], b" ")?;
    let year = number(&text[12..16])?;
    literal(&text[16..17], b" ")?;
    let second = time_of_day(&text[17..25])?;
    literal(&text[25..], b" GMT")?;
    Civil { year, month, day, second }.time()
}

/// `day-name SP month SP ( 2DIGIT / ( SP DIGIT )) SP time-of-day SP year`
fn asctime(text: &[u8]) -> Option<UnixTime> {
    let text: &[u8; 24] = text.try_into().ok()?;
    short_day(&text[..3])?;
    literal(&text[3..4], b" ")?;
    let month = month(&text[4..7])?;
    literal(&text[7..8], b" ")?;
    let day = number(if text[8] == b' ' { &text[9..10] } else { &text[8..10] })?;
    literal(&text[10..11], b" ")?;
    let second = time_of_day(&text[11..19])?;
    literal(&text[19..20], b" ")?;
    let year = number(&text[20..])?;
    Civil { year, month, day, second }.time()
}

/// `day-name-l "," SP day "-" month "-" 2DIGIT SP time-of-day SP "GMT"`
fn rfc850(text: &[u8], now: UnixTime) -> Option<UnixTime> {
    let name = DAYS.iter().find(|name| text.starts_with(name.as_bytes()))?;
    let text: &[u8; 24] = text[name.len()..].try_into().ok()?;
    literal(&text[..2], b", ")?;
    let day = number(&text[2..4])?;
    literal(&text[4..5], b"-")?;
    let month = month(&text[5..8])?;
    literal(&text[8..9], b"-")?;
    let year = number(&text[9..11])?;
    literal(&text[11..12], b" ")?;
    let second = time_of_day(&text[12..20])?;
    literal(&text[20..], b" GMT")?;

    let (this_year, this_month, today) = civil_from_days(now.as_secs() / 86_400);
    let latest = (this_year + 50, this_month, today, now.as_secs() % 86_400);
    let century = this_year - this_year % 100;
    [century + 100, century, century - 100]
        .into_iter()
        .map(|century| Civil { year: century + year, month, day, second })
        .filter(|date| (date.year, date.month, date.day, date.second) <= latest)
        .find_map(|date| date.time())
}

/// `hour ":" minute ":" second` as seconds since midnight.
fn time_of_day(text: &[u8]) -> Option<u64> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = text else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

fn short_day(text: &[u8]) -> Option<()> {
    DAYS.iter().any(|name| &name.as_bytes()[..3] == text).then_some(())
}

/// The month, counted from 1.
fn month(text: &[u8]) -> Option<u64> {
    MONTHS.iter().zip(1..).find_map(|(name, number)| (name.as_bytes() == text).then_some(number))
}

fn literal(text: &[u8], wanted: &[u8]) -> Option<()> {
    (text == wanted).then_some(())
}

/// The value of at most four digits, which are all there is.
fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    /// 2015-10-21T07:28:00Z, the RFC's favourite day.
    const NOW: UnixTime = UnixTime::from_secs(1_445_412_480);

    fn at(text: &str) -> Option<u64> {
        parse(text.as_bytes(), NOW).map(UnixTime::as_secs)
    }

    #[test]
    fn the_three_forms_of_the_rfc() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(at(text), Some(784_111_777), "{text}");
        }
        assert_eq!(format(UnixTime::from_millis(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(UnixTime::EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(UnixTime::from_millis(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_grammar_is_strict() {
        for text in [
            "",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun,  6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 8:49:370 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:00:61 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Tue, 29 Feb 1900 00:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Son Nov  6 08:49:37 1994",
        ] {
            assert_eq!(at(text), None, "{text:?}");
        }
        assert_eq!(at("Mon, 06 Nov 1994 08:49:37 GMT"), at("Sun, 06 Nov 1994 08:49:37 GMT"), "any day's name will do");
        assert_eq!(at("Sun Nov 06 08:49:37 1994"), at("Sun Nov  6 08:49:37 1994"), "two digits are as good");
    }

    #[test]
    fn leap_seconds_leap_days_and_times_before_1970() {
        assert_eq!(at("Sat, 31 Dec 2016 23:59:60 GMT"), at("Sun, 01 Jan 2017 00:00:00 GMT"));
        assert_eq!(at("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        for text in ["Wed, 31 Dec 1969 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Thu, 29 Feb 1968 00:00:00 GMT"]
        {
            assert_eq!(at(text), Some(0), "{text}");
        }
    }

    #[test]
    fn two_digits_mean_the_latest_year_not_more_than_50_years_ahead() {
        assert_eq!(at("Wednesday, 21-Oct-65 07:28:00 GMT"), at("Wed, 21 Oct 2065 07:28:00 GMT"));
        assert_eq!(at("Wednesday, 21-Oct-65 07:28:01 GMT"), Some(0), "one second too far: 1965");
        assert_eq!(at("Thursday, 31-Dec-99 23:59:59 GMT"), at("Fri, 31 Dec 1999 23:59:59 GMT"));
        let late = parse(b"Sun, 06 Nov 2099 08:49:37 GMT", NOW).unwrap();
        assert_eq!(
            parse(b"Sunday, 06-Nov-05 08:49:37 GMT", late),
            parse(b"Fri, 06 Nov 2105 08:49:37 GMT", NOW),
            "seen from 2099, 05 lies ahead"
        );
        assert_eq!(
            parse(b"Tuesday, 29-Feb-00 00:00:00 GMT", late),
            parse(b"Tue, 29 Feb 2000 00:00:00 GMT", NOW),
            "2100 has no such day"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(secs in 0..=LAST, now: u64) {
            let time = UnixTime::from_secs(secs);
            prop_assert_eq!(parse(format(time).as_bytes(), UnixTime::from_millis(now)), Some(time));
        }

        #[test]
        fn the_obsolete_forms_are_read_too(secs in 0..=LAST, ahead in 0..50 * 365 * 86_400_u64) {
            let time = UnixTime::from_secs(secs);
            let text = format(time);
            let (day, month, year, clock) = (&text[5..7], &text[8..11], &text[12..16], &text[17..25]);
            let name = DAYS.iter().find(|name| name.starts_with(&text[..3])).unwrap();
            let asctime = format!("{} {month} {:>2} {clock} {year}", &text[..3], day.trim_start_matches('0'));
            prop_assert_eq!(parse(asctime.as_bytes(), UnixTime::EPOCH), Some(time));
            let rfc850 = format!("{name}, {day}-{month}-{} {clock} GMT", &year[2..]);
            for now in [time.saturating_sub(Duration::from_secs(ahead)), time.saturating_add(Duration::from_secs(ahead))] {
                prop_assert_eq!(parse(rfc850.as_bytes(), now), Some(time));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            nearly in "(Sun|Sunday),? [0-9]{2}[ -](Feb|Nov)[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?",
            now: u64,
        ) {
            let now = UnixTime::from_millis(now);
            let _ = parse(&bytes, now);
            let _ = parse(nearly.as_bytes(), now);
        }
    }
}

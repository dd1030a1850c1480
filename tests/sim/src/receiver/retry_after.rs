//! What receivers write into `Retry-After`.

use std::borrow::Cow;

use crate::rng::Rng;

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// No such line.
    None,
    /// Seconds.
    Seconds,
    /// A date ahead.
    Date,
    /// A date ahead, with the date of the answer.
    Dated,
    /// A date that has passed.
    Past,
    /// A negative number.
    Negative,
    /// 10^18 seconds.
    Huge,
    /// More digits than any number has.
    Endless,
    /// Nothing that can be read.
    Garbage,
    /// Two lines.
    Two,
}

/// All kinds.
pub(super) const HINTS: [Hint; 10] = [
    Hint::None,
    Hint::Seconds,
    Hint::Date,
    Hint::Dated,
    Hint::Past,
    Hint::Negative,
    Hint::Huge,
    Hint::Endless,
    Hint::Garbage,
    Hint::Two,
];

impl Hint {
    /// Its header lines, in an answer at `wall` milliseconds since 1970 by the receiver's clock.
    pub(super) fn lines(self, rng: &mut Rng, wall: u64) -> Vec<(&'static str, Cow<'static, str>)> {
        let wait = *rng.pick(&[1, 5, 30, 120, 900, 7200, 200_000]);
        let now = wall / 1000;
        let line = |value: String| ("retry-after", Cow::Owned(value));
        match self {
            Self::None => Vec::new(),
            Self::Seconds => vec![line(wait.to_string())],
            Self::Date => vec![line(date(now + wait))],
            Self::Dated => vec![("date", Cow::Owned(date(now))), line(date(now + wait))],
            Self::Past => vec![line(date(now.saturating_sub(wait)))],
            Self::Negative => vec![line(format!("-{wait}"))],
            Self::Huge => vec![line("1000000000000000000".to_string())],
            Self::Endless => vec![line("9".repeat(40))],
            Self::Garbage => {
                let text =
                    *rng.pick(&["", "soon", "5 minutes", "1e3", "Tue, 99 Foo 2026 99:99:99 GMT", "\u{fffd}", "0x10"]);
                vec![("retry-after", Cow::Borrowed(text))]
            }
            Self::Two => vec![line(wait.to_string()), line("2".to_string())],
        }
    }
}

/// Seconds since 1970 as an HTTP date: RFC 9110, section 5.6.7.
fn date(secs: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut days, time) = (secs / 86_400, secs % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let leaps =
        |year: u64| u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)));
    let mut year = 1970;
    while days >= 365 + leaps(year) {
        days -= 365 + leaps(year);
        year += 1;
    }
    let mut month = 0;
    while days >= LENGTHS[month] + if month == 1 { leaps(year) } else { 0 } {
        days -= LENGTHS[month] + if month == 1 { leaps(year) } else { 0 };
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", days + 1, MONTHS[month])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_rfc() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date(1_767_225_599), "Wed, 31 Dec 2025 23:59:59 GMT");
    }

    #[test]
    fn every_kind_says_something_else() {
        let mut rng = Rng::new(1);
        let lines: Vec<_> = HINTS.map(|hint| hint.lines(&mut rng, 784_111_777_000)).into();
        for (at, one) in lines.iter().enumerate() {
            assert!(lines[at + 1..].iter().all(|other| other != one), "{one:?}");
        }
        assert!(lines[0].is_empty() && lines[9].len() == 2);
    }
}

//! `Retry-After`, read once more: RFC 9110, sections 5.6.7 and 10.2.3.

use crate::observe::SECOND;

/// No pause is longer than a day.
const CAP: u64 = 86_400 * SECOND;

/// Lines that are looked at.
const LINES: usize = 4;

/// Nanoseconds that a response asks for, at most a day; 0 when it asks for nothing. `wall` is when it came, in
/// milliseconds since 1970.
pub(super) fn asked(lines: &[(&str, &[u8])], wall: u64) -> u64 {
    let of = |name: &'static str| lines.iter().filter(move |(other, _)| *other == name).map(|(_, value)| trim(value));
    let from = of("date").find_map(date).unwrap_or(wall / 1000 * 1000);
    let wait = |value: &str| {
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            return Some(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(SECOND));
        }
        Some(date(value)?.saturating_sub(from).saturating_mul(1_000_000))
    };
    // A date counts from the whole second in which the answer came, so it is the less by up to one.
    let longest = of("retry-after").filter_map(wait).take(LINES).max().unwrap_or(0);
    let exact = of("date").find_map(date).is_some() || of("retry-after").all(|value| date(value).is_none());
    if exact { longest.min(CAP) } else { longest.saturating_sub(SECOND).min(CAP) }
}

fn trim(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or("").trim_matches([' ', '\t'])
}

/// An HTTP date in the form that is to be sent, in milliseconds since 1970; the receivers here send no other.
fn date(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = value.split_once(", ")?;
    let parts: Vec<_> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<i64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hour, minute, second] = clock[..] else { return None };
    // Days of the years before, the leap days among them, and of the months before, counted from March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let of = |value: &str| asked(&[("retry-after", value.as_bytes())], 784_111_777_000);
        assert_eq!(of("120"), 120 * SECOND);
        assert_eq!(of("1000000000000000000"), CAP);
        assert_eq!(of("99999999999999999999999999"), CAP);
        assert_eq!((of("-5"), of("soon"), of("")), (0, 0, 0));
        // RFC 9110's own example is this very second.
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), 59 * SECOND);
        assert_eq!(of("Sun, 06 Nov 1994 08:40:37 GMT"), 0);
        let both = [("date", &b"Sun, 06 Nov 1994 08:49:37 GMT"[..]), ("retry-after", b"Sun, 06 Nov 1994 08:50:37 GMT")];
        assert_eq!(asked(&both, 0), 60 * SECOND);
    }
}

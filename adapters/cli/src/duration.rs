//! Durations as people write them: `250ms`, `5s`, `1h30m`.

use std::time::Duration;

/// Units with their milliseconds, the longest name first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads one or more whole numbers, each with its unit (`ms`, `s`, `m`, `h`, `d`), larger units first.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut millis = 0u64;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(format!("the duration is empty; {LIKE}"));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(format!("{text:?} is no duration; {LIKE}"));
        }
        if unit.is_empty() {
            return Err(format!(
                "{text:?} has a number without a unit; write {number}s for seconds, {number}m for minutes"
            ));
        }
        let Some((_, each)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("{text:?} has the unit {unit:?}; ms, s, m, h and d are known"));
        };
        if *each >= last {
            return Err(format!("{text:?} has its units out of order; write larger units first, each once"));
        }
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*each));
        let sum = part.and_then(|part| millis.checked_add(part));
        millis = sum.ok_or_else(|| format!("{text:?} is too long"))?;
        last = *each;
        rest = tail;
    }
    Ok(Duration::from_millis(millis))
}

const LIKE: &str = "write it like 5s, 250ms or 1h30m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [("0s", 0), ("250ms", 250), ("5s", 5000), ("1h30m", 5_400_000), ("2d", 172_800_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        for (text, hint) in [
            ("", "write it like"),
            ("5", "write 5s for seconds"),
            ("5 s", "the unit \" s\""),
            ("-5s", "write it like"),
            ("1.5s", "the unit \".\""),
            ("5min", "ms, s, m, h and d"),
            ("5s1h", "larger units first"),
            ("1s1s", "each once"),
            ("99999999999999999999s", "too long"),
            ("s", "write it like"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}

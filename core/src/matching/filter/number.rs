//! Decimal numbers as they are written, compared exactly.

use alloc::boxed::Box;
use core::cmp::Ordering;

/// Digits kept in the head; 10^19 - 1 still fits in 64 bits.
const HEAD: usize = 19;

/// A decimal number in normal form: two are equal exactly when their values are (`300`, `3.0e2` and `300.00`). No
/// digit is lost. Exponents beyond 2^62 are held there, far outside of anything that a filter can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// -1, 0 or 1.
    sign: i8,
    /// The power of ten of the first digit; 0 for zero.
    exponent: i64,
    /// The first 19 digits, filled up with zeros: 10^18 to 10^19 - 1, or 0 for zero.
    head: u64,
    /// The digits behind, without zeros at the end.
    tail: Box<[u8]>,
}

impl Number {
    /// Reads a number in the grammar of JSON, which the caller has checked. O(digits).
    pub(super) fn read(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let at = text.find(['e', 'E']).unwrap_or(text.len());
        let (digits, power) = (&text[..at], text.get(at + 1..).map_or(0, exponent));
        let whole = digits.find('.').unwrap_or(digits.len());
        let mut first = None;
        let mut head = 0;
        let mut taken = 0;
        let mut rest = alloc::vec::Vec::new();
        for (at, digit) in digits.bytes().filter(|byte| *byte != b'.').enumerate() {
            if first.is_none() && digit == b'0' {
                continue;
            }
            first.get_or_insert(at);
            if taken < HEAD {
                head = head * 10 + u64::from(digit - b'0');
                taken += 1;
            } else {
                rest.push(digit);
            }
        }
        let Some(first) = first else { return Self { sign: 0, exponent: 0, head: 0, tail: Box::default() } };
        rest.truncate(rest.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1));
        let exponent = (whole as i64 - 1 - first as i64).saturating_add(power);
        let head = head * 10_u64.pow((HEAD - taken) as u32);
        Self { sign: if negative { -1 } else { 1 }, exponent, head, tail: rest.into() }
    }

    /// The power of ten of the first digit; 0 for zero.
    pub(super) fn magnitude(&self) -> i64 {
        self.exponent
    }

    /// A number that is never smaller for a larger value, for ordering roughly: the first 15 digits or so count, and
    /// powers of ten within 1,000.
    pub(super) fn rank(&self) -> u64 {
        const MIDDLE: u64 = 1 << 63;
        if self.sign == 0 {
            return MIDDLE;
        }
        let size = match self.exponent {
            ..-1000 => 0,
            -1000..=1000 => {
                let power = (self.exponent + 1001) as u64;
                (power << 52) | ((self.head - 1_000_000_000_000_000_000) >> 11)
            }
            1001.. => MIDDLE - 1,
        };
        if self.sign < 0 { MIDDLE - 1 - size } else { MIDDLE + size }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = || {
            let ours = (self.exponent, self.head, &self.tail);
            ours.cmp(&(other.exponent, other.head, &other.tail))
        };
        self.sign.cmp(&other.sign).then_with(|| if self.sign < 0 { size().reverse() } else { size() })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The value behind the `e`, held within 2^62.
fn exponent(text: &str) -> i64 {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let size = digits
        .bytes()
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(1 << 62));
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn order(a: &str, b: &str) -> Ordering {
        Number::read(a).cmp(&Number::read(b))
    }

    #[test]
    fn equal_values_are_equal_however_they_are_written() {
        for (a, b) in [
            ("300", "3.0e2"),
            ("300", "300.000"),
            ("0", "-0.0e9"),
            ("0.001", "1E-3"),
            ("-12.50", "-125e-1"),
            ("123456789012345678901234567890", "1.2345678901234567890123456789E+29"),
            ("1e99999999999999999999", "1e999999999999999999999"),
        ] {
            assert_eq!(Number::read(a), Number::read(b), "{a} {b}");
        }
    }

    #[test]
    fn nothing_collapses() {
        for (a, b) in [
            ("9007199254740992", "9007199254740993"),
            ("0.1", "0.1000000000000000055511151231257827"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("1234567890123456789", "1234567890123456789.0000001"),
            ("-1", "-0.999"),
            ("-1e400", "1e-400"),
            ("-1", "0"),
            ("0", "1e-999999999"),
            ("9", "10"),
        ] {
            assert_eq!(order(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(order(b, a), Ordering::Greater, "{a} {b}");
            assert!(Number::read(a).rank() <= Number::read(b).rank(), "{a} {b}");
        }
    }

    /// An integer of hundredths, which is compared by its own type.
    fn written(value: i128, zeros: usize, shift: i32) -> String {
        let places = (2 + shift).max(0) as usize;
        let sign = if value < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let fraction = format!("{fraction}{}", "0".repeat(zeros));
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{dot}{fraction}e{shift}")
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_values(
            a in prop_oneof![any::<i128>(), -1000_i128..1000], b in prop_oneof![any::<i128>(), -1000_i128..1000],
            zeros in 0_usize..30, shift in -2_i32..30,
        ) {
            let (one, other) = (Number::read(&written(a, 0, 0)), Number::read(&written(b, zeros, shift)));
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one == other, a == b);
            let kept = if a <= b { one.rank() <= other.rank() } else { one.rank() >= other.rank() };
            prop_assert!(kept);
        }
    }
}

//! What the files of a store are called.

/// What is being made, and does not count until it bears another name.
pub(crate) const ASIDE: &str = ".tmp";
/// Held by the process that uses the directory.
pub(crate) const LOCK: &str = "lock";
/// How far records were durable; see [`acked`](super::acked).
pub(crate) const ACKED: &str = "acked";
/// What salvage could not bring back; see [`lost`](super::lost).
pub(crate) const LOST: &str = "lost.txt";

/// Whether a file of this name holds what cannot be made again.
pub(crate) fn is_content(name: &str) -> bool {
    segment_number(name).is_some() || snapshot_number(name).is_some() || name == LOST
}

/// The name of a segment.
pub(crate) fn segment(number: u64) -> String {
    format!("{number:010}.seg")
}

/// The name of a snapshot.
pub(crate) fn snapshot(number: u64) -> String {
    format!("{number:010}.snap")
}

/// The name that a file bears while it is being made.
pub(crate) fn aside(name: &str) -> String {
    format!("{name}{ASIDE}")
}

/// The number of a segment, if this is the name of one.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    number(name, ".seg")
}

/// The number of a snapshot, if this is the name of one.
pub(crate) fn snapshot_number(name: &str) -> Option<u64> {
    number(name, ".snap")
}

fn number(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?;
    let plain = digits.len() >= 10 && digits.bytes().all(|digit| digit.is_ascii_digit());
    // 12 digits with leading zeros would be a second name of the same number.
    let number = plain.then(|| digits.parse().ok()).flatten().filter(|number| *number > 0)?;
    (format!("{number:010}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_number_are_one() {
        for n in [1, 9_999_999_999, 10_000_000_000, u64::MAX] {
            assert_eq!((segment_number(&segment(n)), snapshot_number(&snapshot(n))), (Some(n), Some(n)));
        }
        for other in ["1.seg", "0000000000.seg", "00000000001.seg", "0000000001.seg.tmp", "x000000001.seg", "lock"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}

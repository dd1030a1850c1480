//! The headers of a request that judges look at, found in one pass.

use std::fmt;

use crate::observe::Departure;

/// The first header of each name, if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks<'a> {
    pub(super) id: Option<&'a [u8]>,
    pub(super) timestamp: Option<&'a [u8]>,
    pub(super) signature: Option<&'a [u8]>,
    pub(super) attempt: Option<&'a [u8]>,
    pub(super) sequence: Option<&'a [u8]>,
    pub(super) previous: Option<&'a [u8]>,
    pub(super) replay: Option<&'a [u8]>,
    pub(super) replay_of: Option<&'a [u8]>,
}

impl<'a> Marks<'a> {
    pub(super) fn of(departure: &Departure<'a>) -> Self {
        let mut marks = Self::default();
        for (name, value) in departure.headers {
            let mark = match *name {
                "webhook-id" => &mut marks.id,
                "webhook-timestamp" => &mut marks.timestamp,
                "webhook-signature" => &mut marks.signature,
                "postrider-attempt" => &mut marks.attempt,
                "postrider-sequence" => &mut marks.sequence,
                "postrider-previous-sequence" => &mut marks.previous,
                "postrider-replay" => &mut marks.replay,
                "postrider-replay-of" => &mut marks.replay_of,
                _ => continue,
            };
            mark.get_or_insert(value);
        }
        marks
    }
}

/// The text of a header, if it is one.
pub(super) fn text(mark: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(mark?).ok()
}

/// A header that is shown where something is wrong with it.
pub(super) struct Shown<'a>(pub(super) Option<&'a [u8]>);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text(self.0).fmt(f)
    }
}

/// Writes a number behind what is there.
pub(super) fn write(number: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Clocks;

    #[test]
    fn the_first_of_each_name() {
        let headers: Vec<(&str, &[u8])> = vec![
            ("host", b"h"),
            ("webhook-id", b"e1"),
            ("webhook-id", b"e2"),
            ("postrider-previous-sequence", b"4"),
            ("postrider-sequence", b"5"),
            ("postrider-replay-of", b"e0"),
        ];
        let clocks = Clocks { mono: 0, wall: 0 };
        let address = std::net::IpAddr::from([8, 8, 8, 8]);
        let departure = Departure { attempt: 1, address, port: 443, clocks, headers: &headers, body: b"" };
        let marks = Marks::of(&departure);
        let all = [marks.id, marks.previous, marks.sequence, marks.replay_of, marks.replay, marks.signature];
        assert_eq!(all.map(text), [Some("e1"), Some("4"), Some("5"), Some("e0"), None, None]);
        for (name, _) in &headers {
            let known = all.contains(&departure.header(name)) || *name == "host";
            assert!(known, "{name}");
        }
    }

    #[test]
    fn numbers_as_everybody_writes_them() {
        for number in [0, 7, 10, 99, 100, 1_767_225_600, u64::MAX - 1, u64::MAX] {
            let mut text = b"x".to_vec();
            write(number, &mut text);
            assert_eq!(text, format!("x{number}").into_bytes());
        }
    }
}

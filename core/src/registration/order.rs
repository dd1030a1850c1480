//! How events under one ordering key follow one another.

use core::fmt;

/// How an endpoint gets events that carry an ordering key.
///
/// With the first, each goes as soon as it can. With the others the events of one key form a lane: they go in the order
/// in which they were accepted, at most one of them is in flight, and one that fails keeps the ones behind it waiting.
/// The two differ in what happens when the schedule of the first has no further attempt. Events without a key, and
/// events under another key, are not held up. The promise begins with events accepted after the option was set.
///
/// | the first of a lane is | strict | skip on exhaust |
/// | --- | --- | --- |
/// | delivered | the next goes | the next goes |
/// | refused, expired, lost, cancelled, superseded | the next goes | the next goes |
/// | out of attempts | it is tried on, with a notice each time | it is exhausted, the next goes |
///
/// Trying on means: after the last delay of the schedule again and again, and after
/// [`LANE_RETRY`](crate::limits::LANE_RETRY) where that is shorter, until one of the other rows holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows an endpoint must show each")]
pub enum Ordering {
    /// Keys do not matter.
    #[default]
    None,
    /// A later event never overtakes an earlier one that can still be delivered.
    Strict,
    /// A later event goes once an earlier one is exhausted.
    SkipOnExhaust,
}

impl Ordering {
    /// Every ordering.
    pub const ALL: [Self; 3] = [Self::None, Self::Strict, Self::SkipOnExhaust];

    /// Its name in endpoint files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Strict => "strict",
            Self::SkipOnExhaust => "skip-on-exhaust",
        }
    }

    /// The one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ordering| ordering.name() == name)
    }
}

impl fmt::Display for Ordering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an endpoint wants of events under one ordering key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// How they follow one another.
    pub ordering: Ordering,
    /// Whether only the newest is kept while the endpoint is down.
    pub coalesce: bool,
}

/// Of the byte in the journal: only the newest is kept.
const COALESCE: u8 = 4;

impl Order {
    /// Whether events with a key form lanes.
    pub const fn has_lanes(self) -> bool {
        !matches!(self.ordering, Ordering::None)
    }

    /// As the journal says it: 0 for the default.
    pub const fn to_wire(self) -> u8 {
        let ordering = match self.ordering {
            Ordering::None => 0,
            Ordering::Strict => 1,
            Ordering::SkipOnExhaust => 2,
        };
        if self.coalesce { ordering | COALESCE } else { ordering }
    }

    /// From the journal; `None` for what a later version wrote.
    pub const fn from_wire(byte: u8) -> Option<Self> {
        let ordering = match byte & !COALESCE {
            0 => Ordering::None,
            1 => Ordering::Strict,
            2 => Ordering::SkipOnExhaust,
            _ => return None,
        };
        Some(Self { ordering, coalesce: byte & COALESCE != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bytes_are_read_back() {
        for ordering in Ordering::ALL {
            assert_eq!(Ordering::parse(ordering.name()), Some(ordering));
            for coalesce in [false, true] {
                let order = Order { ordering, coalesce };
                assert_eq!(Order::from_wire(order.to_wire()), Some(order));
            }
        }
        assert_eq!((Ordering::parse("fifo"), Order::from_wire(3), Order::from_wire(8)), (None, None, None));
        assert_eq!(Order::default().to_wire(), 0, "a store without the option is written as it always was");
    }
}

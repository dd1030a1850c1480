//! How the last attempt of a delivery ended, in the one byte that a delivery has left for it.

use crate::response::{Denial, Phase, TransportError};

/// How an attempt ended: by a status or by a failure. Nothing is known before the first attempt, of statuses that hardly
/// any server sends (those of 300 that are not in use, and of 600 and more), and of what was read back from a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last(u8);

/// Failures, by their bytes from 1 on.
const FAILURES: [TransportError; 30] = [
    TransportError::NameNotFound,
    TransportError::NameFailed,
    TransportError::ConnectRefused,
    TransportError::Unreachable,
    TransportError::ConnectFailed,
    TransportError::TlsUntrusted,
    TransportError::TlsWrongName,
    TransportError::TlsExpired,
    TransportError::TlsFailed,
    TransportError::SendFailed,
    TransportError::Closed,
    TransportError::MalformedHead,
    TransportError::HeadTooLarge,
    TransportError::Aborted,
    TransportError::LocalResources,
    TransportError::TimedOut(Phase::Resolve),
    TransportError::TimedOut(Phase::Connect),
    TransportError::TimedOut(Phase::Tls),
    TransportError::TimedOut(Phase::Send),
    TransportError::TimedOut(Phase::Head),
    TransportError::TimedOut(Phase::Body),
    TransportError::Denied(Denial::Address),
    TransportError::Denied(Denial::NoAddress),
    TransportError::Denied(Denial::Port),
    TransportError::Denied(Denial::Scheme),
    TransportError::Denied(Denial::Mixed),
    TransportError::Denied(Denial::Unencodable),
    TransportError::Denied(Denial::TooNested),
    TransportError::Denied(Denial::TooLarge),
    TransportError::Unwanted,
];

/// The byte of status 300; 300 to 311 have bytes of their own, and all from 400 to 599 behind them.
const STATUS: u8 = 44;
const REDIRECTS: u8 = 12;

impl Last {
    /// As an outcome's record says it.
    pub(crate) fn of(status: u16, failure: (u8, u8)) -> Self {
        let code = match status {
            0 => FAILURES.iter().position(|known| known.to_wire() == failure).map(|at| at + 1),
            300..=311 => Some(usize::from(STATUS) + usize::from(status) - 300),
            400..=599 => Some(usize::from(STATUS + REDIRECTS) + usize::from(status) - 400),
            _ => None,
        };
        Self(code.and_then(|code| u8::try_from(code).ok()).unwrap_or_default())
    }

    /// What is known of it.
    pub(crate) fn outcome(self) -> Option<Result<u16, TransportError>> {
        match self.0.checked_sub(STATUS) {
            Some(at) if at < REDIRECTS => Some(Ok(300 + u16::from(at))),
            Some(at) => Some(Ok(400 + u16::from(at - REDIRECTS))),
            None => FAILURES.get(usize::from(self.0.checked_sub(1)?)).copied().map(Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_says_what_the_record_said() {
        assert_eq!(Last::default().outcome(), None);
        for status in 100..1000 {
            let told = Last::of(status, (0, 0)).outcome();
            let has_a_byte = (300..=311).contains(&status) || (400..=599).contains(&status);
            assert_eq!(told, has_a_byte.then_some(Ok(status)));
        }
        for wire in (0..=u8::MAX).flat_map(|variant| (0..=u8::MAX).map(move |detail| (variant, detail))) {
            let told = Last::of(0, wire).outcome();
            assert_eq!(told, TransportError::from_wire(wire.0, wire.1).map(Err), "{wire:?}");
        }
    }
}

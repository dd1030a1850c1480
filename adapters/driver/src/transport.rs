//! What errors of the operating system say about an attempt.

use std::io::{self, ErrorKind};

use postrider_core::response::{Phase, TransportError};

use crate::tls;

/// What an error in a phase says about its attempt. A TLS error inside it is looked at too.
///
/// The answer is never that nothing was sent once [`Phase::Send`] has begun: a TLS error or a lack of resources is then
/// a failed write, or a connection that was closed.
pub fn transport_error(error: &io::Error, phase: Phase) -> TransportError {
    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) {
        return TransportError::TimedOut(phase);
    }
    match phase {
        Phase::Send => return TransportError::SendFailed,
        Phase::Head if error.kind() == ErrorKind::InvalidData && tls_error(error).is_none() => {
            return TransportError::MalformedHead;
        }
        Phase::Head | Phase::Body => return TransportError::Closed,
        Phase::Resolve | Phase::Connect | Phase::Tls => {}
    }
    if let Some(tls) = tls_error(error) {
        return tls::transport_error(tls);
    }
    if is_lack_of_resources(error) {
        return TransportError::LocalResources;
    }
    match phase {
        Phase::Resolve => resolve_error(error),
        Phase::Connect => connect_error(error.kind()),
        Phase::Tls => TransportError::TlsFailed,
        Phase::Send => TransportError::SendFailed,
        Phase::Head | Phase::Body => TransportError::Closed,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn connect_error(kind: ErrorKind) -> TransportError {
    match kind {
        ErrorKind::ConnectionRefused => TransportError::ConnectRefused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            TransportError::Unreachable
        }
        _ => TransportError::ConnectFailed,
    }
}

/// What the C libraries call a name that does not exist, or has no address. Rust's standard library passes this text on
/// and drops the number that it stands for.
const NO_SUCH_NAME: [&str; 6] = [
    "Name or service not known",
    "No address associated with hostname",
    "nodename nor servname provided, or not known",
    "Name does not resolve",
    "Name has no usable address",
    "No such host is known",
];

fn resolve_error(error: &io::Error) -> TransportError {
    let text = error.to_string();
    if error.kind() == ErrorKind::NotFound || NO_SUCH_NAME.iter().any(|said| text.contains(said)) {
        TransportError::NameNotFound
    } else {
        TransportError::NameFailed
    }
}

/// Too many open files (of the process, of the system), no buffers.
#[cfg(windows)]
const LACK: [i32; 2] = [10024, 10055];
#[cfg(any(target_os = "linux", target_os = "android"))]
const LACK: [i32; 3] = [23, 24, 105];
#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
const LACK: [i32; 3] = [23, 24, 55];

fn is_lack_of_resources(error: &io::Error) -> bool {
    // No local port is left when an address is not available for connecting.
    matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse)
        || error.raw_os_error().is_some_and(|code| LACK.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::response::Sent;
    use rustls::CertificateError;

    const PHASES: [Phase; 6] = [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Send, Phase::Head, Phase::Body];

    #[test]
    fn connecting_fails_for_reasons_that_have_names() {
        let because = |kind: ErrorKind| transport_error(&kind.into(), Phase::Connect);
        assert_eq!(because(ErrorKind::ConnectionRefused), TransportError::ConnectRefused);
        assert_eq!(because(ErrorKind::HostUnreachable), TransportError::Unreachable);
        assert_eq!(because(ErrorKind::ConnectionReset), TransportError::ConnectFailed);
        assert_eq!(because(ErrorKind::AddrNotAvailable), TransportError::LocalResources);
        assert_eq!(
            transport_error(&io::Error::from_raw_os_error(LACK[1]), Phase::Connect),
            TransportError::LocalResources
        );
    }

    #[test]
    fn a_tls_error_is_found_inside() {
        let expired =
            || io::Error::new(ErrorKind::InvalidData, rustls::Error::InvalidCertificate(CertificateError::Expired));
        assert_eq!(transport_error(&expired(), Phase::Tls), TransportError::TlsExpired);
        assert_eq!(transport_error(&expired(), Phase::Head), TransportError::Closed);
        assert_eq!(transport_error(&ErrorKind::ConnectionReset.into(), Phase::Tls), TransportError::TlsFailed);
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_resolver_that_fails() {
        let because = |text: &str| transport_error(&io::Error::other(text), Phase::Resolve);
        let lookup = "failed to lookup address information: ";
        assert_eq!(because(&format!("{lookup}Name or service not known")), TransportError::NameNotFound);
        assert_eq!(because(&format!("{lookup}Temporary failure in name resolution")), TransportError::NameFailed);
    }

    #[test]
    fn what_comes_after_sending_began_never_says_that_nothing_was_sent() {
        let errors = [
            io::Error::from_raw_os_error(LACK[0]),
            ErrorKind::ConnectionRefused.into(),
            ErrorKind::InvalidData.into(),
            ErrorKind::TimedOut.into(),
            io::Error::new(ErrorKind::InvalidData, rustls::Error::DecryptError),
        ];
        for error in errors {
            for phase in PHASES {
                let said = transport_error(&error, phase);
                let expected = if phase < Phase::Send { Sent::Nothing } else { Sent::Maybe };
                assert_eq!(said.sent(), expected, "{error} in {phase:?} became {said}");
            }
        }
    }

    #[test]
    fn time_runs_out_in_every_phase() {
        for phase in PHASES {
            assert_eq!(transport_error(&ErrorKind::TimedOut.into(), phase), TransportError::TimedOut(phase));
            assert_eq!(transport_error(&ErrorKind::WouldBlock.into(), phase), TransportError::TimedOut(phase));
        }
    }
}

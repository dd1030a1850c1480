//! TLS as every driver speaks it: rustls with ring, TLS 1.2 and 1.3, the roots of the Mozilla programme.

use std::fmt;
use std::sync::Arc;

use postrider_core::response::TransportError;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// The certificate authorities that vouch for receivers.
///
/// The default is those of the Mozilla programme, as `webpki-roots` carries them; the operating system's own are not
/// asked. Others can be added, for receivers inside a company.
#[derive(Clone, Debug)]
pub struct Roots {
    store: RootCertStore,
}

impl Roots {
    /// The authorities of the Mozilla programme.
    pub fn new() -> Self {
        Self { store: RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() } }
    }

    /// Nobody: only what is added is trusted.
    pub fn none() -> Self {
        Self { store: RootCertStore::empty() }
    }

    /// Adds every certificate in a PEM text, of which there must be at least one. Other sections are passed over.
    pub fn pem(mut self, text: impl AsRef<[u8]>) -> Result<Self, RootsError> {
        let mut count = 0;
        for (at, read) in CertificateDer::pem_slice_iter(text.as_ref()).enumerate() {
            let certificate = read.map_err(|_| RootsError::NotPem { at })?;
            self.store.add(certificate).map_err(|_| RootsError::NotCertificate { at })?;
            count += 1;
        }
        if count == 0 { Err(RootsError::Nothing) } else { Ok(self) }
    }

    /// Adds a certificate in DER form.
    pub fn der(mut self, certificate: impl Into<Vec<u8>>) -> Result<Self, RootsError> {
        let certificate = CertificateDer::from(certificate.into());
        self.store.add(certificate).map_err(|_| RootsError::NotCertificate { at: 0 })?;
        Ok(self)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::new()
    }
}

/// Why something cannot be a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootsError {
    /// The text has no certificate in it.
    Nothing,
    /// A section of the text is not PEM.
    NotPem {
        /// Which, counted from 0.
        at: usize,
    },
    /// A certificate cannot be read, or is none that can vouch.
    NotCertificate {
        /// Which, counted from 0.
        at: usize,
    },
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("the text has no certificate; one begins with `-----BEGIN CERTIFICATE-----`"),
            Self::NotPem { at } => write!(f, "section {at} of the text is not PEM"),
            Self::NotCertificate { at } => write!(f, "certificate {at} cannot be read as a root certificate"),
        }
    }
}

impl std::error::Error for RootsError {}

/// How a driver speaks TLS to receivers: with these roots, without a certificate of its own, TLS 1.2 or later.
///
/// Which application protocols to offer (ALPN) is for the driver to set.
pub fn client_config(roots: Roots) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the cipher suites of TLS 1.2 and 1.3");
    Arc::new(config.with_root_certificates(roots.store).with_no_client_auth())
}

/// What an error of a handshake says about its attempt.
pub fn transport_error(error: &rustls::Error) -> TransportError {
    match error {
        rustls::Error::InvalidCertificate(why) => certificate_error(why),
        rustls::Error::NoCertificatesPresented => TransportError::TlsUntrusted,
        rustls::Error::FailedToGetRandomBytes | rustls::Error::FailedToGetCurrentTime => TransportError::LocalResources,
        _ => TransportError::TlsFailed,
    }
}

fn certificate_error(error: &CertificateError) -> TransportError {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TransportError::TlsExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TransportError::TlsWrongName
        }
        // `Other` is what a self-signed certificate comes to that calls itself an authority.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::Revoked
        | CertificateError::UnknownRevocationStatus
        | CertificateError::InvalidPurpose
        | CertificateError::InvalidPurposeContext { .. }
        | CertificateError::ApplicationVerificationFailure
        | CertificateError::Other(_) => TransportError::TlsUntrusted,
        _ => TransportError::TlsFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::KeyPair;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    type Outcome = Result<(), TransportError>;

    #[test]
    fn certificates_fail_for_reasons_that_have_names() {
        let because = |why| transport_error(&rustls::Error::InvalidCertificate(why));
        assert_eq!(because(CertificateError::UnknownIssuer), TransportError::TlsUntrusted);
        assert_eq!(because(CertificateError::NotValidForName), TransportError::TlsWrongName);
        assert_eq!(because(CertificateError::NotValidYet), TransportError::TlsExpired);
        assert_eq!(because(CertificateError::BadEncoding), TransportError::TlsFailed);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert_eq!(transport_error(&alert), TransportError::TlsFailed);
    }

    #[test]
    fn roots_are_mozillas_and_what_is_added() {
        assert!(Roots::new().len() > 50);
        assert!(Roots::none().is_empty());
        let made = rcgen::generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
        let pem = made.cert.pem();
        assert_eq!(Roots::none().pem(&pem).unwrap().len(), 1);
        assert_eq!(Roots::none().pem(format!("{pem}{pem}")).unwrap().len(), 2);
        assert_eq!(Roots::none().der(made.cert.der().to_vec()).unwrap().len(), 1);
        assert_eq!(Roots::none().pem("no certificate").err(), Some(RootsError::Nothing));
        assert_eq!(Roots::none().der([1, 2, 3]).err(), Some(RootsError::NotCertificate { at: 0 }));
        let damaged = pem.replace("-----END CERTIFICATE-----", "-----END NOTHING-----");
        assert_eq!(Roots::none().pem(damaged).err(), Some(RootsError::NotPem { at: 0 }));
    }

    /// Lets a client of `config` shake hands with a server that has a certificate for `receiver.example`, both in memory.
    fn shake_hands(config: &Arc<ClientConfig>, made: &rcgen::CertifiedKey<KeyPair>, name: &'static str) -> Outcome {
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut client = ClientConnection::new(config.clone(), ServerName::try_from(name).unwrap()).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets().map_err(|error| transport_error(&error))?;
        }
        Ok(())
    }

    #[test]
    fn a_receiver_is_trusted_by_its_root_and_its_name() {
        let made = rcgen::generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
        let trusting = client_config(Roots::none().pem(made.cert.pem()).unwrap());
        assert!(trusting.alpn_protocols.is_empty());
        assert_eq!(shake_hands(&trusting, &made, "receiver.example"), Ok(()));
        assert_eq!(shake_hands(&trusting, &made, "other.example"), Err(TransportError::TlsWrongName));
        let strict = client_config(Roots::new());
        assert_eq!(shake_hands(&strict, &made, "receiver.example"), Err(TransportError::TlsUntrusted));
    }
}

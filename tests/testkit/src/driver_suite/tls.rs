//! Certificates of the suite: one authority that drivers trust, and what it or nobody has signed.

use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Who signed a certificate, for whom, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Papers {
    /// For `127.0.0.1` and `localhost`, signed by the authority.
    Good,
    /// The same, signed by itself.
    SelfSigned,
    /// Signed by the authority for another name.
    OtherName,
    /// Good until the year 2001.
    Expired,
}

static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority of the driver suite");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("ring makes keys");
    CertifiedIssuer::self_signed(params, key).expect("ring signs")
});

/// The certificates that a driver is told to trust.
pub(super) fn roots() -> Vec<CertificateDer<'static>> {
    vec![AUTHORITY.der().clone()]
}

/// What a peer with such a certificate runs on.
pub(super) fn server(papers: Papers) -> Arc<ServerConfig> {
    let names = match papers {
        Papers::Good | Papers::SelfSigned | Papers::Expired => vec!["127.0.0.1".to_string(), "localhost".to_string()],
        Papers::OtherName => vec!["other.example".to_string()],
    };
    let mut params = CertificateParams::new(names).expect("these are names");
    if papers == Papers::Expired {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().expect("ring makes keys");
    let signed = match papers {
        Papers::SelfSigned => params.self_signed(&key),
        Papers::Good | Papers::OtherName | Papers::Expired => params.signed_by(&key, &*AUTHORITY),
    };
    let certificate = signed.expect("ring signs").der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("the key is that of the certificate"))
}

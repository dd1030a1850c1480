use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use postrider_core::id::EndpointKey;
use postrider_core::response::{Phase, TransportError};
use postrider_core::time::{Instant, Now, UnixTime};
use tokio_rustls::rustls;

#[derive(Clone, Copy)]
pub(crate) struct Clock(std::time::Instant);
impl Clock {
    pub(crate) fn start() -> Self { Self(std::time::Instant::now()) }
    pub(crate) fn now(&self) -> Now {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Now { mono: Instant::from_nanos(self.0.elapsed().as_nanos() as u64), wall: UnixTime::from_millis(wall.as_millis() as u64) }
    }
    pub(crate) fn std_deadline(&self, at: Instant) -> std::time::Instant { self.0 + std::time::Duration::from_nanos(at.as_nanos()) }
}
pub(crate) struct Resolver;
impl Resolver {
    pub(crate) fn resolve(&self, host: &str, port: u16, _: std::time::Instant, done: Box<dyn FnOnce(Result<Vec<IpAddr>, TransportError>) + Send>) {
        let host = host.to_string();
        std::thread::spawn(move || done((&*host, port).to_socket_addrs().map(|a| a.map(|a| a.ip()).collect()).map_err(|_| TransportError::NameNotFound)));
    }
}
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey(EndpointKey, SocketAddr, String);
impl PoolKey {
    pub(crate) fn new(endpoint: EndpointKey, addr: SocketAddr, name: &str) -> Self { Self(endpoint, addr, name.into()) }
}
pub(crate) struct Idle<C>(BTreeMap<PoolKey, Vec<C>>);
impl<C> Idle<C> {
    pub(crate) fn new() -> Self { Self(BTreeMap::new()) }
    pub(crate) fn take(&mut self, key: &PoolKey, _: std::time::Instant) -> Option<C> { self.0.get_mut(key)?.pop() }
    pub(crate) fn put(&mut self, key: PoolKey, c: C, _: std::time::Instant) { self.0.entry(key).or_default().push(c) }
}
pub(crate) fn transport_error(error: &io::Error, phase: Phase) -> TransportError {
    if let Some(e) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        return match e {
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => TransportError::TlsUntrusted,
            rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext{..}) => TransportError::TlsWrongName,
            _ => TransportError::TlsFailed,
        };
    }
    match (error.kind(), phase) {
        (io::ErrorKind::ConnectionRefused, _) => TransportError::ConnectRefused,
        (_, Phase::Connect) => TransportError::ConnectFailed,
        (_, Phase::Tls) => TransportError::TlsFailed,
        (_, Phase::Send) => TransportError::SendFailed,
        _ => TransportError::Closed,
    }
}
pub(crate) fn client_config(roots: rustls::RootCertStore) -> Arc<rustls::ClientConfig> {
    Arc::new(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth())
}

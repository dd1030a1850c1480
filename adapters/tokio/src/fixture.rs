//! Receivers for tests, on the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_core::event::Event;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Sender, Transmit, Wake};
use postrider_driver::Clock;
use postrider_driver::tls::Roots;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

/// A whole response.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server whose every connection runs `script` with the number of the connection, counted from 1.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<F>(script: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, accepted) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(script(stream, number));
            }
        });
        Self { addr, accepted, task }
    }

    /// Answers each connection's first request with `reply`, then closes.
    pub(crate) async fn replying(reply: impl Into<Vec<u8>>) -> Self {
        let reply = Arc::new(reply.into());
        Self::start(move |mut stream, _| {
            let reply = Arc::clone(&reply);
            async move {
                read_request(&mut stream).await;
                // The client may hang up in the middle.
                let _ = stream.write_all(&reply).await;
            }
        })
        .await
    }

    /// Answers every request with 200 and keeps its connections.
    pub(crate) async fn obliging() -> Self {
        Self::start(|mut stream, _| async move {
            while !read_request(&mut stream).await.0.is_empty() {
                stream.write_all(OK).await.unwrap();
            }
        })
        .await
    }

    /// Reads requests and never answers.
    pub(crate) async fn silent() -> Self {
        Self::start(|mut stream, _| async move { while !read_request(&mut stream).await.0.is_empty() {} }).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.addr)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request with a content-length; empty when the peer is gone.
pub(crate) async fn read_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let (start, length) = (end + 4, length.parse::<usize>().unwrap());
            while bytes.len() < start + length {
                assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the body was cut");
            }
            return (head, bytes.split_off(start));
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return (String::new(), Vec::new());
        }
    }
}

/// What endpoints of tests sign with.
pub(crate) fn secret() -> Secret {
    Secret::from_bytes([42; 32]).unwrap()
}

/// A self-signed certificate for `name`, as a server's configuration and as roots that trust it.
pub(crate) fn certificate(name: &str) -> (ServerConfig, Roots) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let roots = Roots::none().der(made.cert.der().to_vec()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, roots)
}

/// First attempts of a machine: of so many events to one endpoint.
pub(crate) fn attempts(clock: Clock, endpoint: Endpoint, count: usize) -> Vec<Transmit> {
    let config = Config::new().policy(Policy::development());
    let mut machine = Sender::new(config, Seed::from_bytes([1; 32]), clock.now());
    machine.handle(clock.now(), Input::Credit(u32::try_from(count).unwrap()));
    machine.put(clock.now(), endpoint).unwrap();
    for n in 0..count {
        let event = Event::json("order.paid", &1001).unwrap().id(format!("order-{n}"));
        machine.publish(clock.now(), event).unwrap();
    }
    let mut found = Vec::new();
    loop {
        match machine.poll_output() {
            Output::Persist(batch) => machine.handle(clock.now(), Input::Persisted(batch.last())),
            Output::Transmit(transmit) => found.push(transmit),
            Output::Wait(Wake::Ready) => {}
            Output::Wait(_) => return found,
            Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
        }
    }
}

/// A server that speaks HTTP/2 over TLS and answers 200 with the version and authority that it saw.
pub(crate) async fn h2_server(mut config: ServerConfig) -> Server {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                assert!(!request.headers().contains_key("host") && !request.headers().contains_key("connection"));
                let line = format!("{:?} {}", request.version(), request.uri());
                Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from(line))))
            });
            // Ends when the client hangs up.
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

//! Attempts against servers on the loopback interface, each of which misbehaves in its own way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_core::event::Event;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Outcome, Phase, TransportError};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Sender, Transmit, Wake};
use postrider_core::signing::standard::Verifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::Transport;
use crate::shim::{Clock, Resolver, client_config};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A transport with its clock, and a machine's worth of attempts.
struct Bench {
    clock: Clock,
    transport: Transport,
}

impl Bench {
    fn new() -> Self {
        Self::trusting(RootCertStore::empty())
    }

    fn trusting(roots: RootCertStore) -> Self {
        let clock = Clock::start();
        Self { clock, transport: Transport::new(clock, Resolver, &client_config(roots)) }
    }

    /// An attempt to deliver a small event to `url`.
    fn attempt(&self, url: &str, timeout: Duration) -> Transmit {
        let endpoint = Endpoint::new("acme", url).signing_key(secret()).timeout(timeout).header("x-custom", "yes");
        self.attempts(endpoint, 1).remove(0)
    }

    fn attempts(&self, endpoint: Endpoint, count: usize) -> Vec<Transmit> {
        let config = Config::new().policy(Policy::development());
        let mut machine = Sender::new(config, Seed::from_bytes([1; 32]), self.clock.now());
        machine.put(self.clock.now(), endpoint).unwrap();
        for n in 0..count {
            let event = Event::json("order.paid", &1001).unwrap().id(format!("order-{n}"));
            machine.publish(self.clock.now(), event).unwrap();
        }
        let mut found = Vec::new();
        loop {
            match machine.poll_output() {
                Output::Persist(batch) => machine.handle(self.clock.now(), Input::Persisted(batch.last())),
                Output::Transmit(transmit) => found.push(transmit),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => return found,
                Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
            }
        }
    }

    async fn post(&self, url: &str) -> Outcome {
        self.transport.carry(&self.attempt(url, Duration::from_secs(5))).await
    }
}

fn secret() -> Secret {
    Secret::from_bytes([42; 32]).unwrap()
}

/// A server whose every connection runs `script` with the number of the connection, counted from 1.
struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start<F>(script: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static) -> Self
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
    async fn replying(reply: impl Into<Vec<u8>>) -> Self {
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

    fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.addr)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request with a content-length; empty when the peer is gone.
async fn read_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
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

fn status(outcome: &Outcome) -> u16 {
    outcome.as_ref().expect("a reply").status()
}

#[tokio::test]
async fn a_request_arrives_signed_and_in_origin_form() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            seen.send(read_request(&mut stream).await).unwrap();
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let bench = Bench::new();
    let outcome = bench.post(&server.url()).await;
    assert_eq!(status(&outcome), 200);
    assert_eq!(outcome.unwrap().body().unwrap().as_ref(), b"ok");

    let (head, body) = requests.recv().await.unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /hook?a=b HTTP/1.1"));
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    assert_eq!(headers["host"], server.addr.to_string().as_str());
    assert_eq!(headers["x-custom"], "yes");
    assert_eq!(headers["accept-encoding"], "identity");
    assert_eq!(headers.get_all("host").iter().count(), 1);
    let verified = Verifier::new([secret()]).unwrap().verify(&headers, &body, bench.clock.now().wall).unwrap();
    assert_eq!(verified.id(), "order-0");
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(Bench::new().post(&format!("http://{addr}/")).await, Err(TransportError::ConnectRefused));
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let outcome = Bench::new().post("http://nothing.invalid/").await;
    let expected = [TransportError::NameNotFound, TransportError::NameFailed];
    assert!(outcome.as_ref().is_err_and(|error| expected.contains(error)), "{outcome:?}");
}

#[tokio::test]
async fn a_name_that_resolves_is_dialled() {
    let server = Server::replying(OK).await;
    let url = format!("http://localhost:{}/", server.addr.port());
    // `::1` may be tried first, and refuses.
    assert_eq!(status(&Bench::new().post(&url).await), 200);
}

#[tokio::test]
async fn a_hang_up_before_and_in_the_head() {
    for reply in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let server = Server::replying(reply).await;
        assert_eq!(Bench::new().post(&server.url()).await, Err(TransportError::Closed), "{reply:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    for reply in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"] {
        let server = Server::replying(reply).await;
        assert_eq!(Bench::new().post(&server.url()).await, Err(TransportError::MalformedHead), "{reply:?}");
    }
}

#[tokio::test]
async fn the_head_is_capped_where_the_count_says() {
    let line = format!("x-pad: {}\r\n", "p".repeat(1000));
    for (lines, fits) in [(31, true), (33, false), (400, false)] {
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n", line.repeat(lines));
        let server = Server::replying(reply).await;
        let outcome = Bench::new().post(&server.url()).await;
        match fits {
            true => assert_eq!(status(&outcome), 200, "{lines} lines"),
            false => assert_eq!(outcome, Err(TransportError::HeadTooLarge), "{lines} lines"),
        }
    }
}

#[tokio::test]
async fn a_head_without_end_is_too_large() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(format!("x-pad: {}\r\n", "p".repeat(500)).as_bytes()).await;
        }
    })
    .await;
    assert_eq!(Bench::new().post(&server.url()).await, Err(TransportError::HeadTooLarge));
}

#[tokio::test]
async fn a_few_interim_replies_are_skipped_and_many_are_not() {
    for (count, fits) in [(4, true), (5, false)] {
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count);
        let server = Server::replying([interim.as_bytes(), OK].concat()).await;
        let outcome = Bench::new().post(&server.url()).await;
        match fits {
            true => assert_eq!(status(&outcome), 200, "{count}"),
            false => assert_eq!(outcome, Err(TransportError::MalformedHead), "{count}"),
        }
    }
}

#[tokio::test]
async fn another_protocol_is_not_spoken() {
    let server = Server::replying("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await;
    assert_eq!(Bench::new().post(&server.url()).await, Err(TransportError::MalformedHead));
}

#[tokio::test]
async fn a_redirect_is_a_reply_and_nothing_else() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let host = stream.local_addr().unwrap();
        let reply = format!("HTTP/1.1 307 Moved\r\nlocation: http://{host}/next\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).await.unwrap();
        assert_eq!(read_request(&mut stream).await.0, "", "it was followed");
    })
    .await;
    let bench = Bench::new();
    assert_eq!(status(&bench.post(&server.url()).await), 307);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_came() {
    let body = b"\x1f\x8b\x08\x00not really";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    let server = Server::replying([head.as_bytes(), body].concat()).await;
    let reply = Bench::new().post(&server.url()).await.unwrap();
    assert_eq!(reply.body().unwrap().as_ref(), body);
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_the_caps() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(b"10\r\n0123456789abcdef\r\n").await;
        }
    })
    .await;
    let bench = Bench::new();
    let started = std::time::Instant::now();
    let reply = bench.post(&server.url()).await.unwrap();
    assert_eq!((reply.status(), reply.body().unwrap().len()), (202, 16 * 1024));
    assert!(started.elapsed() < Duration::from_secs(4), "the deadline ended it");
    assert_eq!(status(&bench.post(&server.url()).await), 202);
    assert_eq!(server.accepted(), 2, "its connection was used again");
}

#[tokio::test]
async fn a_dripping_body_ends_at_the_deadline_and_counts() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(b"x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let bench = Bench::new();
    let started = std::time::Instant::now();
    let reply = bench.transport.carry(&bench.attempt(&server.url(), Duration::from_millis(300))).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.body().is_some_and(|body| !body.is_empty() && body.len() < 100));
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_cut_body_counts() {
    let server = Server::replying("HTTP/1.1 204 No\r\n\r\n").await;
    assert_eq!(status(&Bench::new().post(&server.url()).await), 204);
    let server = Server::replying("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nshort").await;
    let reply = Bench::new().post(&server.url()).await.unwrap();
    assert_eq!(reply.body().unwrap().as_ref(), b"short");
}

#[tokio::test]
async fn silence_times_out_while_waiting_for_the_head() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let bench = Bench::new();
    let outcome = bench.transport.carry(&bench.attempt(&server.url(), Duration::from_millis(200))).await;
    assert_eq!(outcome, Err(TransportError::TimedOut(Phase::Head)));
}

#[tokio::test]
async fn a_receiver_that_does_not_read_times_out_while_sending() {
    let server = Server::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let bench = Bench::new();
    let endpoint = Endpoint::new("acme", server.url()).signing_key(secret()).timeout(Duration::from_millis(400));
    let mut limits = postrider_core::limits::Limits::default();
    limits.payload = 64 << 20;
    let config = Config::new().policy(Policy::development()).limits(limits);
    let mut machine = Sender::new(config, Seed::from_bytes([1; 32]), bench.clock.now());
    machine.put(bench.clock.now(), endpoint).unwrap();
    let event = Event::raw("big", "text/plain", Bytes::from(vec![b'x'; 32 << 20])).unwrap().id("big");
    machine.publish(bench.clock.now(), event).unwrap();
    let transmit = loop {
        match machine.poll_output() {
            Output::Persist(batch) => machine.handle(bench.clock.now(), Input::Persisted(batch.last())),
            Output::Transmit(transmit) => break transmit,
            other => assert!(!matches!(other, Output::Wait(Wake::Input)), "nothing was sent"),
        }
    };
    assert_eq!(bench.transport.carry(&transmit).await, Err(TransportError::TimedOut(Phase::Send)));
}

#[tokio::test]
async fn connections_are_kept_between_requests() {
    let server = Server::start(|mut stream, _| async move {
        while !read_request(&mut stream).await.0.is_empty() {
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let bench = Bench::new();
    for _ in 0..5 {
        assert_eq!(status(&bench.post(&server.url()).await), 200);
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn connections_are_not_kept_when_the_receiver_says_so() {
    for reply in ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nbody"] {
        let server = Server::replying(reply).await;
        let bench = Bench::new();
        for _ in 0..2 {
            assert_eq!(status(&bench.post(&server.url()).await), 200);
        }
        assert_eq!(server.accepted(), 2);
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_attempt() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let bench = Bench::new();
    for round in 1..=20 {
        assert_eq!(status(&bench.post(&server.url()).await), 200, "round {round}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(server.accepted(), round);
    }
}

#[tokio::test]
async fn a_reused_connection_that_swallows_the_request_fails_the_attempt() {
    // The receiver may have acted on the second request, so this attempt is over: the next one has another number.
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        read_request(&mut stream).await;
    })
    .await;
    let bench = Bench::new();
    assert_eq!(status(&bench.post(&server.url()).await), 200);
    assert_eq!(bench.post(&server.url()).await, Err(TransportError::Closed));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_dropped_attempt_frees_its_socket_at_once() {
    let (gone, mut hung_up) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let gone = gone.clone();
        async move {
            read_request(&mut stream).await;
            gone.send("read").unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
            gone.send("closed").unwrap();
        }
    })
    .await;
    let bench = Arc::new(Bench::new());
    let transmit = bench.attempt(&server.url(), Duration::from_secs(20));
    let task = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.transport.carry(&transmit).await }
    });
    assert_eq!(hung_up.recv().await, Some("read"));
    task.abort();
    let closed = tokio::time::timeout(Duration::from_millis(100), hung_up.recv()).await;
    assert_eq!(closed, Ok(Some("closed")));
}

/// A self-signed certificate for `name`, as a server's configuration and as roots that trust it.
fn certificate(name: &str) -> (ServerConfig, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, roots)
}

/// A server that speaks HTTP/2 over TLS and answers 200 with the version and authority that it saw.
async fn h2_server(mut config: ServerConfig) -> Server {
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

#[tokio::test]
async fn http2_over_tls_is_spoken_and_kept() {
    let (config, roots) = certificate("localhost");
    let server = h2_server(config).await;
    let bench = Bench::trusting(roots);
    let url = format!("https://localhost:{}/hook?a=b", server.addr.port());
    for _ in 0..3 {
        let reply = bench.post(&url).await.unwrap();
        assert_eq!(reply.body().unwrap(), format!("HTTP/2.0 {url}").as_bytes());
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn http1_over_tls_is_spoken_where_the_receiver_knows_nothing_else() {
    let (config, roots) = certificate("localhost");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(bytes[..read].starts_with(b"POST /hook HTTP/1.1\r\n"));
            stream.write_all(OK).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
    .await;
    let url = format!("https://localhost:{}/hook", server.addr.port());
    assert_eq!(status(&Bench::trusting(roots).post(&url).await), 200);
}

#[tokio::test]
async fn an_untrusted_certificate() {
    let server = h2_server(certificate("localhost").0).await;
    let url = format!("https://localhost:{}/", server.addr.port());
    let outcome = Bench::new().post(&url).await;
    assert_eq!(outcome, Err(TransportError::TlsUntrusted));
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let (config, roots) = certificate("other.example");
    let server = h2_server(config).await;
    let bench = Bench::trusting(roots);
    for host in ["localhost", "127.0.0.1"] {
        let outcome = bench.post(&format!("https://{host}:{}/", server.addr.port())).await;
        assert_eq!(outcome, Err(TransportError::TlsWrongName), "{host}");
    }
}

#[tokio::test]
async fn no_tls_where_tls_is_expected() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let _ = stream.read(&mut [0; 512]).await;
    })
    .await;
    let outcome = Bench::new().post(&format!("https://{}/", server.addr)).await;
    assert_eq!(outcome, Err(TransportError::TlsFailed));
    // And a handshake that does not go on.
    let server = Server::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let bench = Bench::new();
    let attempt = bench.attempt(&format!("https://{}/", server.addr), Duration::from_millis(200));
    assert_eq!(bench.transport.carry(&attempt).await, Err(TransportError::TimedOut(Phase::Tls)));
}

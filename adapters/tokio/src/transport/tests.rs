//! Attempts against servers on the loopback interface, each of which misbehaves in its own way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_core::event::Event;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Outcome, Phase, TransportError};
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Sender, Transmit, Wake};
use postrider_core::signing::standard::Verifier;
use postrider_driver::tls::{Roots, client_config};
use postrider_driver::{Clock, Places, Resolver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Transport;
use crate::fixture::{OK, Server, attempts, certificate, h2_server, read_request, secret};

/// A transport with its clock, and a machine's worth of attempts.
struct Bench {
    clock: Clock,
    transport: Transport,
}

impl Bench {
    fn new() -> Self {
        Self::trusting(Roots::none())
    }

    fn trusting(roots: Roots) -> Self {
        let clock = Clock::start();
        Self { clock, transport: Transport::new(clock, Resolver::new(), Places::default(), &client_config(roots)) }
    }

    /// An attempt to deliver a small event to `url`.
    fn attempt(&self, url: &str, timeout: Duration) -> Transmit {
        let endpoint = Endpoint::new("acme", url).signing_key(secret()).timeout(timeout).header("x-custom", "yes");
        attempts(self.clock, endpoint, 1).remove(0)
    }

    async fn post(&self, url: &str) -> Outcome {
        self.transport.carry(&self.attempt(url, Duration::from_secs(5))).await
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
    let server =
        Server::replying("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await;
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
    let server = Server::silent().await;
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
    let server = Server::obliging().await;
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
async fn connections_are_not_kept_when_their_framing_is_in_doubt() {
    for reply in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=\x01\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 \r\nno\r\n0\r\n\r\n",
    ] {
        let server = Server::start(move |mut stream, _| async move {
            while !read_request(&mut stream).await.0.is_empty() {
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        })
        .await;
        let bench = Bench::new();
        for _ in 0..2 {
            assert_eq!(bench.post(&server.url()).await.unwrap().body().unwrap().as_ref(), b"no", "{reply:?}");
        }
        assert_eq!(server.accepted(), 2, "{reply:?}");
    }
    let twice = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    let server = Server::replying(twice).await;
    assert_eq!(Bench::new().post(&server.url()).await, Err(TransportError::MalformedHead));
}

#[tokio::test]
async fn chunks_keep_a_connection() {
    let server = Server::start(|mut stream, _| async move {
        while !read_request(&mut stream).await.0.is_empty() {
            for piece in [
                "HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x",
                "=y\r\nok\r\n0\r\n",
                "t: r\r\n\r\n",
            ] {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(bench.post(&server.url()).await.unwrap().body().unwrap().as_ref(), b"ok");
    }
    assert_eq!(server.accepted(), 1);
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
    let closed = tokio::time::timeout(Duration::from_millis(500), hung_up.recv()).await;
    assert_eq!(closed, Ok(Some("closed")));
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
async fn the_head_is_capped_over_http2_too() {
    let (mut config, roots) = certificate("localhost");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |stream, number| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let service = service_fn(move |_| async move {
                let mut reply = hyper::Response::builder();
                for n in 0..if number == 1 { 30 } else { 40 } {
                    reply = reply.header(format!("x-pad-{n}"), "p".repeat(1000));
                }
                Ok::<_, std::convert::Infallible>(reply.body(Full::<Bytes>::default()).unwrap())
            });
            // Ends when the client hangs up.
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    let url = format!("https://localhost:{}/", server.addr.port());
    assert_eq!(status(&Bench::trusting(roots.clone()).post(&url).await), 200);
    assert_eq!(Bench::trusting(roots).post(&url).await, Err(TransportError::HeadTooLarge));
}

#[tokio::test]
async fn an_http2_receiver_that_goes_away_or_talks_nonsense() {
    // The preface of a server is its settings (RFC 9113, section 3.4); then GOAWAY, or a frame of the wrong size.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    const NONSENSE: &[u8] = &[0, 0, 1, 8, 0, 0, 0, 0, 0, 7];
    for (last, expected) in
        [(GOAWAY, TransportError::Closed), (NONSENSE, TransportError::MalformedHead), (b"", TransportError::Closed)]
    {
        let (mut config, roots) = certificate("localhost");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = Server::start(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                stream.write_all(SETTINGS).await.unwrap();
                stream.flush().await.unwrap();
                // Until the request's last frame: DATA with END_STREAM.
                let mut seen = Vec::new();
                while !seen.windows(9).any(|frame| frame[3..] == [0, 1, 0, 0, 0, 1]) {
                    assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
                }
                stream.write_all(last).await.unwrap();
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut seen).await;
            }
        })
        .await;
        let url = format!("https://localhost:{}/", server.addr.port());
        assert_eq!(Bench::trusting(roots).post(&url).await, Err(expected), "{last:?}");
    }
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
    // Nobody is trusted, or somebody else of the same name.
    for roots in [Roots::none(), certificate("localhost").1] {
        assert_eq!(Bench::trusting(roots).post(&url).await, Err(TransportError::TlsUntrusted));
    }
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

//! The transport alone: one machine makes an attempt, nothing drives it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Denial, Outcome, Phase, TransportError};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Sender, Transmit};
use postrider_core::signing::standard::Verifier;
use postrider_driver::tls::{Roots, client_config};
use postrider_driver::{Clock, Places, Resolver};

use super::{Peer, SECRET, SOON, blackhole, https, request, tls_peer, trust};
use crate::carry::Carriage;
use crate::leash::Leash;

/// A machine with one endpoint, a clock, and the transport.
struct Bench {
    clock: Clock,
    machine: Sender,
    carriage: Arc<Carriage>,
    made: usize,
}

impl Bench {
    fn new(url: &str, timeout: Duration) -> Self {
        Self::trusting(url, timeout, Roots::default())
    }

    fn trusting(url: &str, timeout: Duration, roots: Roots) -> Self {
        Self::with(url, timeout, Policy::development(), roots)
    }

    fn with(url: &str, timeout: Duration, policy: Policy, roots: Roots) -> Self {
        let clock = Clock::start();
        let config = Config::new().policy(policy);
        let mut machine = Sender::new(config, Seed::from_bytes([7; 32]), clock.now());
        let endpoint = Endpoint::new("peer", url).secret(SECRET).timeout(timeout).secret_header("x-token", "hush");
        machine.put(clock.now(), endpoint).unwrap();
        let carriage = Arc::new(Carriage::new(Resolver::new(), Places::default(), client_config(roots)));
        Self { clock, machine, carriage, made: 0 }
    }

    /// The next attempt, of an event of its own with `bytes` of payload.
    fn attempt(&mut self, bytes: usize) -> Transmit {
        let body = Bytes::from(vec![b'x'; bytes]);
        let event = Event::raw("order.paid", "text/plain", body).unwrap().id(format!("e{}", self.made));
        self.made += 1;
        self.machine.publish(self.clock.now(), event).unwrap();
        loop {
            match self.machine.poll_output() {
                Output::Persist(batch) => self.machine.handle(self.clock.now(), Input::Persisted(batch.last())),
                Output::Transmit(transmit) => return transmit,
                other => panic!("expected an attempt, got {other:?}"),
            }
        }
    }

    fn carry(&mut self, bytes: usize) -> Outcome {
        let transmit = self.attempt(bytes);
        self.carriage.carry(&transmit, self.clock.std_deadline(transmit.deadline()), &Arc::default())
    }
}

/// What an attempt comes to at a peer that answers so, and how long it takes.
fn outcome(answer: impl Into<Vec<u8>>) -> Outcome {
    let peer = Peer::answering(answer);
    Bench::new(&peer.url(), SOON).carry(10)
}

fn status(outcome: &Outcome) -> u16 {
    outcome.as_ref().unwrap().status()
}

fn body(outcome: &Outcome) -> &[u8] {
    outcome.as_ref().unwrap().body().unwrap()
}

#[test]
fn a_request_arrives_whole_and_signed() {
    for bytes in [0, 10, 200_000] {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let peer = Peer::new(move |mut stream| {
            tell.lock().unwrap().send(request(&mut stream).unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        });
        let mut bench = Bench::new(&peer.url(), SOON);
        let outcome = bench.carry(bytes);
        assert_eq!(status(&outcome), 204);
        let request = told.recv().unwrap();
        assert_eq!(request.line, "POST /hook?x=1 HTTP/1.1");
        assert_eq!(request.headers["host"], peer.addr.to_string());
        assert_eq!(request.headers["x-token"], "hush");
        assert_eq!(request.body.len(), bytes);
        let verifier = Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap();
        let now = bench.clock.now().wall;
        assert_eq!(verifier.verify(&request.headers, &request.body, now).unwrap().id(), "e0");
    }
}

#[test]
fn a_connection_is_used_again_after_a_clean_response() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 307 There\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
    ] {
        let peer = Peer::new(move |mut stream| {
            while request(&mut stream).is_some() {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut bench = Bench::new(&peer.url(), SOON);
        for _ in 0..3 {
            assert!(bench.carry(10).is_ok(), "{answer}");
        }
        assert_eq!(peer.accepted(), 1, "{answer}");
    }
}

#[test]
fn a_connection_is_not_used_again_when_there_is_a_doubt() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more",
        "HTTP/1.1 204 No Content\r\n\r\nsurprise",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a chunk\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nno colon\r\n\r\n",
    ] {
        let peer = Peer::new(
            move |mut stream| {
                while request(&mut stream).is_some() && stream.write_all(answer.as_bytes()).is_ok() {}
            },
        );
        let mut bench = Bench::new(&peer.url(), SOON);
        for _ in 0..2 {
            assert!(bench.carry(10).is_ok(), "{answer}");
        }
        assert_eq!(peer.accepted(), 2, "{answer}");
    }
}

#[test]
fn an_idle_connection_that_was_closed_costs_nothing() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut bench = Bench::new(&peer.url(), SOON);
    for n in 1..4 {
        assert_eq!(status(&bench.carry(10)), 200);
        assert_eq!(peer.accepted(), n);
        // The peer closes meanwhile.
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn replies_are_read_as_they_are() {
    let reply = outcome("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\x00");
    assert_eq!(body(&reply), b"\x1f\x0b\x08\x00", "nothing is decompressed");
    let reply =
        outcome("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: r\r\n\r\n");
    assert_eq!(body(&reply), b"abcde");
    let reply = outcome("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    assert_eq!(body(&reply), b"until the end");
    let reply = outcome("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut");
    assert_eq!((status(&reply), body(&reply)), (200, b"cut".as_slice()));
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n".repeat(2);
    assert_eq!(status(&outcome(format!("{interim}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))), 200);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Peer::answering("HTTP/1.1 200 OK\r\n\r\n");
    let reply = outcome(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url()));
    assert_eq!(status(&reply), 302);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(elsewhere.accepted(), 0);
}

#[test]
fn what_is_no_head_is_told_apart() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(33_000));
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000));
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    let interim = format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(5));
    for (answer, error) in [
        ("", TransportError::Closed),
        ("HTTP/1.1 200 OK\r\ncontent-le", TransportError::Closed),
        ("HTT", TransportError::Closed),
        ("SSH-2.0-OpenSSH_9.9\r\n", TransportError::MalformedHead),
        ("\x16\x03\x01", TransportError::MalformedHead),
        ("HTTP/1.1 OK\r\n\r\n", TransportError::MalformedHead),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", TransportError::MalformedHead),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", TransportError::MalformedHead),
        (&interim, TransportError::MalformedHead),
        (&large, TransportError::HeadTooLarge),
        (&endless, TransportError::HeadTooLarge),
        (&lines, TransportError::HeadTooLarge),
    ] {
        assert_eq!(outcome(answer), Err(error), "{:.40}", answer);
    }
}

#[test]
fn an_endless_body_is_left() {
    for framing in ["", "content-length: 99999999\r\n", "transfer-encoding: chunked\r\n"] {
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n");
        let peer = Peer::new(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(b"1000\r\n").is_ok() && stream.write_all(&[b'z'; 4096]).is_ok() {
                let _ = stream.write_all(b"\r\n");
            }
        });
        let mut bench = Bench::new(&peer.url(), Duration::from_secs(60));
        let (start, reply) = (Instant::now(), bench.carry(10));
        assert_eq!((status(&reply), body(&reply).len()), (200, 16 * 1024), "{framing}");
        assert!(start.elapsed() < SOON, "{framing}");
    }
}

#[test]
fn a_drip_does_not_move_the_deadline() {
    let drip = |start: &'static [u8], drop: &'static [u8]| {
        Peer::new(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(start);
            while stream.write_all(drop).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let time = Duration::from_millis(400);
    for (start, drop, expected) in [
        (b"HTTP/1.1 200 OK\r\n".as_slice(), b"a: b\r\n".as_slice(), Err(TransportError::TimedOut(Phase::Head))),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y", Err(TransportError::TimedOut(Phase::Head))),
        (b"HTTP/1.1 201 Made\r\ncontent-length: 9999\r\n\r\n", b".", Ok(201)),
        (b"HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n.\r\n", Ok(201)),
    ] {
        let peer = drip(start, drop);
        let mut bench = Bench::new(&peer.url(), time);
        let (began, reply) = (Instant::now(), bench.carry(10));
        let took = began.elapsed();
        assert_eq!(reply.map(|reply| reply.status()), expected);
        assert!(took >= time - Duration::from_millis(50) && took < time + Duration::from_millis(200), "{took:?}");
    }
}

#[test]
fn a_peer_that_does_not_read_ends_by_the_deadline() {
    let peer = Peer::new(|stream| {
        thread::sleep(SOON);
        drop(stream);
    });
    let mut bench = Bench::new(&peer.url(), Duration::from_millis(300));
    // More than the buffers of both sides take is more than a payload may have, so the connection's wait is for the head.
    assert_eq!(bench.carry(250_000), Err(TransportError::TimedOut(Phase::Head)));
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    let peer = Peer::new(|mut stream| {
        let mut some = [0; 100];
        stream.read_exact(&mut some).unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    assert_eq!(status(&Bench::new(&peer.url(), SOON).carry(10)), 413);
}

#[test]
fn errors_of_the_way_there() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    assert_eq!(Bench::new(&format!("http://{closed}/"), SOON).carry(10), Err(TransportError::ConnectRefused));
    let outcome = Bench::new("http://nowhere.invalid/", SOON).carry(10);
    assert!(matches!(outcome, Err(TransportError::NameNotFound | TransportError::NameFailed)), "{outcome:?}");
}

#[test]
fn connecting_ends_by_the_deadline() {
    let (_socket, _filled, addr) = blackhole();
    let mut bench = Bench::new(&format!("http://{addr}/"), Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(bench.carry(10), Err(TransportError::TimedOut(Phase::Connect)));
    assert!(start.elapsed() < Duration::from_millis(600));
}

/// Stops an attempt after a while; gives its outcome, and how long stopping took.
fn stop_after(bench: &mut Bench, time: Duration) -> (Outcome, Duration) {
    let transmit = bench.attempt(10);
    let (deadline, leash) = (bench.clock.std_deadline(transmit.deadline()), Arc::new(Leash::default()));
    let (carriage, held) = (Arc::clone(&bench.carriage), Arc::clone(&leash));
    let thread = thread::spawn(move || carriage.carry(&transmit, deadline, &held));
    thread::sleep(time);
    let start = Instant::now();
    leash.stop();
    (thread.join().unwrap(), start.elapsed())
}

#[test]
fn stopping_takes_less_than_100_ms() {
    let silent = Peer::new(|mut stream| {
        request(&mut stream);
        thread::sleep(SOON);
    });
    let (_socket, _filled, addr) = blackhole();
    for (url, after) in [(silent.url(), 200), (format!("http://{addr}/"), 10), (format!("http://{addr}/"), 200)] {
        let (outcome, took) = stop_after(&mut Bench::new(&url, SOON), Duration::from_millis(after));
        assert_eq!(outcome, Err(TransportError::Aborted), "{url}");
        assert!(took < Duration::from_millis(100), "{url}: {took:?}");
    }
}

#[test]
fn a_look_up_can_be_stopped_and_ends_by_the_deadline() {
    let leash = Arc::new(Leash::default());
    let start = Instant::now();
    let waiting = Arc::clone(&leash);
    let thread = thread::spawn(move || waiting.await_answer(start + SOON));
    thread::sleep(Duration::from_millis(50));
    leash.stop();
    assert_eq!(thread.join().unwrap(), Err(TransportError::Aborted));
    assert!(start.elapsed() < Duration::from_millis(150));
    let never = Leash::default().await_answer(Instant::now() + Duration::from_millis(20));
    assert_eq!(never, Err(TransportError::TimedOut(Phase::Resolve)));
}

#[test]
fn tls_with_a_trusted_certificate() {
    for host in ["localhost", "127.0.0.1"] {
        let (peer, root) = tls_peer(&[host]);
        let mut bench = Bench::trusting(&https(host, &peer), SOON, trust(&root));
        for bytes in [10, 200_000, 10] {
            assert_eq!(body(&bench.carry(bytes)), b"ok", "{host}");
        }
        assert_eq!(peer.accepted(), 1, "{host}");
    }
}

#[test]
fn tls_that_cannot_be_trusted() {
    let (peer, root) = tls_peer(&["localhost"]);
    let untrusting = &mut Bench::new(&https("localhost", &peer), SOON);
    assert_eq!(untrusting.carry(10), Err(TransportError::TlsUntrusted));
    let misled = &mut Bench::trusting(&https("127.0.0.1", &peer), SOON, trust(&root));
    assert_eq!(misled.carry(10), Err(TransportError::TlsWrongName));
    let plain = Peer::answering("HTTP/1.1 200 OK\r\n\r\n");
    let plain = Peer::new(move |mut stream| {
        let _ = (stream.write_all(b"HTTP/1.1 400 Plain\r\n\r\n"), &plain);
    });
    assert_eq!(Bench::new(&https("localhost", &plain), SOON).carry(10), Err(TransportError::TlsFailed));
}

#[test]
fn a_silent_tls_peer_ends_by_the_deadline() {
    let peer = Peer::new(|stream| {
        thread::sleep(SOON);
        drop(stream);
    });
    let mut bench = Bench::new(&https("127.0.0.1", &peer), Duration::from_millis(200));
    assert_eq!(bench.carry(10), Err(TransportError::TimedOut(Phase::Tls)));
}

/// A bench whose names lead to these addresses.
fn named(host: &str, port: u16, policy: Policy, addrs: &'static [[u8; 4]]) -> Bench {
    let mut bench = Bench::with(&format!("http://{host}:{port}/"), SOON, policy, Roots::default());
    let resolver = Resolver::by(|_, _| Ok(addrs.iter().map(|ip| (*ip).into()).collect()));
    bench.carriage = Arc::new(Carriage::new(resolver, Places::default(), client_config(Roots::default())));
    bench
}

#[test]
fn further_addresses_are_tried_when_one_does_not_answer() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\n\r\n");
    let addrs = &[[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 1]];
    let mut bench = named("hooks.acme.com", peer.addr.port(), Policy::development(), addrs);
    assert_eq!(status(&bench.carry(10)), 200);
    let addrs = &[[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4], [127, 0, 0, 1]];
    let mut bench = named("hooks.acme.com", peer.addr.port(), Policy::development(), addrs);
    assert_eq!(bench.carry(10), Err(TransportError::ConnectRefused), "three are tried");
}

#[test]
fn an_address_inside_is_never_dialled() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\n\r\n");
    let policy = Policy::default().allow_http();
    let mut bench = named("hooks.acme.com", peer.addr.port(), policy, &[[127, 0, 0, 1], [10, 0, 0, 1]]);
    assert_eq!(bench.carry(10), Err(TransportError::Denied(Denial::Address)));
    assert_eq!(peer.accepted(), 0);
}

#[test]
fn a_look_up_that_hangs_is_abandoned() {
    let look_up = |_: &str, _: u16| {
        thread::sleep(SOON);
        Ok(Vec::new())
    };
    let mut bench = Bench::new("http://localhost:1/", Duration::from_millis(200));
    bench.carriage = Arc::new(Carriage::new(Resolver::by(look_up), Places::default(), client_config(Roots::default())));
    assert_eq!(bench.carry(10), Err(TransportError::TimedOut(Phase::Resolve)));
    let (outcome, took) = stop_after(&mut bench, Duration::from_millis(50));
    assert_eq!(outcome, Err(TransportError::Aborted));
    assert!(took < Duration::from_millis(100), "{took:?}");
}

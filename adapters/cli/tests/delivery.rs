//! `deliver` and `listen` together, over loopback, with both drivers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use support::{DRIVERS, Files, Listener, OTHER, Ran, SECRET, endpoint, run};

const ALL: &str = "events = [\"**\"]";
const EVENT: &str =
    "{\"type\":\"order.paid\",\"id\":\"o1\",\"timestamp\":\"2026-11-21T07:26:00Z\",\"data\":{\"b\":1.0, \"a\":2}}\n";

/// Delivers to loopback.
fn deliver(driver: &str, endpoints: &str, events: &str, options: &[&str]) -> Ran {
    let files = Files::new();
    let endpoints = files.put("endpoints.toml", endpoints);
    let args = ["deliver", "--endpoints", &endpoints, "--driver", driver, "--allow", "127.0.0.0/8", "--allow-http"];
    run(&[&args[..], options].concat(), events.as_bytes())
}

#[test]
fn what_is_delivered_is_received() {
    for driver in DRIVERS {
        let listener = Listener::start(&["--secret", OTHER, "--secret", SECRET, "--once", "1", "--json"]);
        let ran = deliver(driver, &endpoint("a", &listener.url, ALL), EVENT, &["--json"]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{driver}");
        for expected in
            ["\"events\":1", "\"deliveries\":1", "\"delivered\":1", "\"attempts\":1", "\"endpoints\":{\"a\":{"]
        {
            assert!(ran.out.contains(expected), "{driver}: {expected}: {ran:?}");
        }
        let received = listener.finish();
        assert_eq!((received.code, received.err.as_str()), (Some(0), ""), "{driver}");
        // The body byte for byte, as a JSON text.
        let body =
            r#"{\"type\":\"order.paid\",\"timestamp\":\"2026-11-21T07:26:00.000Z\",\"data\":{\"b\":1.0, \"a\":2}}"#;
        for expected in [body, "\"id\":\"o1\"", "\"type\":\"order.paid\"", "\"postrider-attempt\":\"1\""] {
            assert!(received.out.contains(expected), "{driver}: {expected}: {received:?}");
        }
    }
}

/// One event to endpoints of several shapes, each with a listener of its own, which takes nothing that is not signed.
#[test]
fn each_endpoint_gets_its_encoding() {
    let shapes = [
        (
            "encoding = \"xml\"",
            r#"<data type=\"object\"><b type=\"number\">1.0</b><a type=\"number\">2</a></data></event>"#,
        ),
        ("encoding = \"form\"", r"type=order.paid&timestamp=2026-11-21T07%3A26%3A00.000Z&data[b]=1.0&data[a]=2"),
        (
            "encoding = \"cloudevents\"\nsource = \"/shop\"",
            r#"{\"specversion\":\"1.0\",\"id\":\"o1\",\"source\":\"/shop\",\"type\":\"order.paid\""#,
        ),
        ("encoding = \"cloudevents-binary\"", r#""ce-type":"order.paid""#),
        (
            "encoding = \"cloudevents-batch\"\nthin = [\"/a\"]",
            r#"\"datacontenttype\":\"application/json\",\"data\":{\"a\":2}}]"#,
        ),
        ("encoding = \"raw\"", r#"{\"b\":1.0, \"a\":2}"#),
    ];
    for driver in DRIVERS {
        let listeners = shapes.map(|_| Listener::start(&["--secret", SECRET, "--once", "1", "--json"]));
        let tables = shapes.iter().zip(&listeners).enumerate();
        let endpoints: String = tables
            .map(|(n, ((line, _), listener))| endpoint(&format!("e{n}"), &listener.url, &format!("{ALL}\n{line}")))
            .collect();
        let ran = deliver(driver, &endpoints, EVENT, &["--json"]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{driver}: {ran:?}");
        assert!(ran.out.contains("\"delivered\":6"), "{driver}: {ran:?}");
        for ((line, expected), listener) in shapes.iter().zip(listeners) {
            let received = listener.finish();
            assert_eq!((received.code, received.err.as_str()), (Some(0), ""), "{driver}: {line}: {received:?}");
            assert!(received.out.contains(expected), "{driver}: {line}: {received:?}");
        }
    }
}

/// What an encoding cannot express is refused at the first attempt, before anything is dialled, and told.
#[test]
fn what_has_no_form_is_refused() {
    let deep = format!("{{\"type\":\"a\",\"data\":{}{}}}\n", "[".repeat(200), "]".repeat(200));
    for driver in DRIVERS {
        let ran = deliver(
            driver,
            &endpoint("a", "http://127.0.0.1:1/", &format!("{ALL}\nencoding = \"xml\"")),
            &deep,
            &["--json"],
        );
        assert_eq!(ran.code, Some(1), "{driver}: {ran:?}");
        assert!(ran.out.contains("\"refused\":1") && ran.out.contains("\"attempts\":1"), "{driver}: {ran:?}");
    }
}

#[test]
fn many_events_reach_many_endpoints() {
    let events: String = (0..200).map(|n| format!("{{\"type\":\"order.paid\",\"data\":{n}}}\n")).collect();
    for driver in DRIVERS {
        let listeners: Vec<_> = (0..3).map(|_| Listener::start(&["--secret", SECRET, "--once", "200"])).collect();
        let tables = listeners.iter().enumerate();
        let endpoints: String = tables.map(|(n, listener)| endpoint(&format!("e{n}"), &listener.url, ALL)).collect();
        let ran = deliver(driver, &endpoints, &events, &["--concurrency", "16"]);
        assert_eq!(ran.code, Some(0), "{driver}: {ran:?}");
        assert!(
            ran.out.contains("600 deliveries in ") && ran.out.contains(": 600 delivered; 600 attempts\n"),
            "{ran:?}"
        );
        assert_eq!(ran.out.matches(": 200 delivered; 200 attempts\n").count(), 3, "{ran:?}");
        for listener in listeners {
            assert_eq!(listener.finish().out.lines().count(), 200, "{driver}");
        }
    }
}

#[test]
fn more_endpoints_than_a_report_names_are_counted_right() {
    let events = "{\"type\":\"a\"}\n".repeat(3);
    for driver in DRIVERS {
        let listener = Listener::start(&["--secret", SECRET, "--once", "240"]);
        let endpoints: String = (0..80).map(|n| endpoint(&format!("e{n}"), &listener.url, ALL)).collect();
        let ran = deliver(driver, &endpoints, &events, &["--concurrency", "8"]);
        assert_eq!(ran.code, Some(0), "{driver}: {ran:?}");
        assert_eq!(ran.out.matches(": 3 delivered; 3 attempts\n").count(), 80, "{driver}: {ran:?}");
        assert_eq!(listener.finish().code, Some(0));
    }
}

#[test]
fn what_is_not_delivered_is_listed_and_ends_in_1() {
    for driver in DRIVERS {
        let failing = Listener::start(&["--secret", SECRET, "--status", "500"]);
        let gone = Listener::start(&["--secret", SECRET, "--status", "410"]);
        let wrong = Listener::start(&["--secret", OTHER]);
        let fast = format!("{ALL}\nschedule = [\"0s\", \"20ms\", \"20ms\"]");
        let endpoints = [
            endpoint("failing", &failing.url, &fast),
            endpoint("gone", &gone.url, &fast),
            endpoint("wrong", &wrong.url, &fast),
        ];
        let ran = deliver(driver, &endpoints.concat(), EVENT, &["--json"]);
        assert_eq!(ran.code, Some(1), "{driver}: {ran:?}");
        for expected in [
            "not delivered: stdin:1: o1 to failing: exhausted, 500 in ",
            "not delivered: stdin:1: o1 to wrong: exhausted, 401 in ",
            "not delivered: stdin:1: o1 to gone: ",
            "note: gone: the endpoint answered 410 and is sent nothing more",
        ] {
            assert!(ran.err.contains(expected), "{driver}: {expected}: {ran:?}");
        }
        assert!(ran.out.contains("\"delivered\":0,\"deliveries\":3"), "{ran:?}");
        assert!(ran.out.contains("\"attempts\":7,"), "three, three and one: {ran:?}");
        assert!(ran.out.contains("\"failing\":{\"attempts\":3,"), "those before a retry count too: {ran:?}");
        let complaint = wrong.stop();
        assert!(complaint.contains("401, none of 1 signatures fits"), "{driver}: {complaint}");
        let lines = failing.stop();
        assert_eq!(lines, "", "what is accepted is no complaint, whatever the answer");
    }
}

#[test]
fn an_event_that_nobody_wants_is_named_with_its_near_miss() {
    for driver in DRIVERS {
        let table = endpoint("a", "http://127.0.0.1:9/", "events = [\"order.*\"]");
        let ran = deliver(driver, &table, "{\"type\":\"order.item.added\",\"id\":\"o1\"}\n", &[]);
        assert_eq!(ran.code, Some(0), "{driver}: {ran:?}");
        assert!(ran.err.contains("note: stdin:1: o1: no endpoint wants it; `order.*` stands for"), "{driver}: {ran:?}");
    }
}

/// A server that does the same with each connection, after the request's head.
fn peer(act: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let act = Arc::new(act);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = act.clone();
            thread::spawn(move || act(stream));
        }
    });
    url
}

fn read_some(stream: &mut TcpStream) {
    _ = stream.read(&mut [0; 4096]);
}

#[test]
fn hostile_and_absent_peers_cost_one_delivery_each() {
    let hangs_up = peer(|mut stream| {
        read_some(&mut stream);
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
    });
    let big_head = peer(|mut stream| {
        read_some(&mut stream);
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        for n in 0..2000 {
            if stream.write_all(format!("x-{n}: {}\r\n", "y".repeat(64)).as_bytes()).is_err() {
                return;
            }
        }
        _ = stream.write_all(b"\r\n");
    });
    let endless = peer(|mut stream| {
        read_some(&mut stream);
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let silent = peer(|mut stream| {
        read_some(&mut stream);
        thread::sleep(Duration::from_secs(30));
    });
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let untrusted = tls_peer();
    let once = format!("{ALL}\nschedule = [\"0s\"]\ntimeout = \"2s\"");
    let endpoints = [
        endpoint("hangs-up", &hangs_up, &once),
        endpoint("big-head", &big_head, &once),
        endpoint("endless", &endless, &once),
        endpoint("silent", &silent, &once),
        endpoint("closed", &closed, &once),
        endpoint("untrusted", &untrusted, &once),
        endpoint("nameless", "https://no-such-host.example.com/", &once),
    ];
    for driver in DRIVERS {
        let ran = deliver(driver, &endpoints.concat(), EVENT, &["--json"]);
        assert_eq!(ran.code, Some(1), "{driver}: {ran:?}");
        for (name, whys) in [
            ("hangs-up", &["closed before a response head came"][..]),
            ("big-head", &["the response head is too large"]),
            ("silent", &["the deadline passed while waiting for the response head"]),
            ("closed", &["the connection was refused"]),
            ("untrusted", &["the certificate leads to no trusted issuer"]),
            // Which of these depends on what there is of a resolver.
            ("nameless", &["the name does not exist", "the name could not be looked up", "while looking up the name"]),
        ] {
            let line = ran
                .err
                .lines()
                .find(|line| line.starts_with(&format!("not delivered: stdin:1: o1 to {name}: exhausted")));
            let line = line.unwrap_or_else(|| panic!("{driver}: {name}: {ran:?}"));
            assert!(whys.iter().any(|why| line.contains(why)), "{driver}: {line}");
        }
        // A final head decides, however its body goes on.
        assert!(!ran.err.contains("o1 to endless"), "{driver}: {ran:?}");
        assert!(ran.out.contains("\"delivered\":1,\"deliveries\":7"), "{driver}: {ran:?}");
    }
}

/// A TLS server whose certificate nobody knows.
fn tls_peer() -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let url = peer(move |mut stream| {
        let mut server = rustls::ServerConnection::new(config.clone()).unwrap();
        while server.is_handshaking() && server.complete_io(&mut stream).is_ok() {}
    });
    url.replace("http://", "https://")
}

#[test]
fn a_listener_refuses_what_is_no_webhook() {
    let listener = Listener::start(&["--secret", SECRET]);
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(listener.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        _ = stream.write_all(request);
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).split_ascii_whitespace().nth(1).unwrap_or("none").to_string()
    };
    let huge = [b"POST / HTTP/1.1\r\nx: ".as_slice(), &[b'y'; 40_000], b"\r\n\r\n"].concat();
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"[..], "405"),
        (b"POST / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", "413"),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", "501"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "400"),
        (b"nonsense\r\n\r\n", "400"),
        (&huge, "431"),
    ] {
        assert_eq!(ask(request), status, "{}", String::from_utf8_lossy(&request[..request.len().min(80)]));
    }
    let refusals = listener.stop();
    assert_eq!(refusals.lines().count(), 8, "{refusals}");
    assert!(refusals.lines().all(|line| line.starts_with("refused: 127.0.0.1:")), "{refusals}");
    assert!(refusals.contains("the header webhook-id is missing"), "{refusals}");
}

#[test]
fn without_a_secret_a_listener_warns_and_takes_anything() {
    let listener = Listener::start(&["--once", "1"]);
    let mut stream = TcpStream::connect(listener.addr()).unwrap();
    let chunked = b"POST / HTTP/1.1\r\nwebhook-id: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    stream.write_all(chunked).unwrap();
    let ran = listener.finish();
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "x (no type) 2 bytes\n"));
    assert!(ran.err.starts_with("warning: no --secret is given, so nothing is verified"), "{ran:?}");
}

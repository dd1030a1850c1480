//! `postrider listen --store DIR` and `postrider replay DIR`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use support::{Files, Listener, Ran, run};

const KEY: &str = "standard-webhooks:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECRET: &str = support::SECRET;

/// Signs a webhook with the command itself.
fn sign(id: &str, body: &str) -> Vec<String> {
    let ran = run(&["sign", "--secret", SECRET, "--id", id], body.as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.lines().map(str::to_owned).collect()
}

/// Sends a webhook, and gives the status of the answer.
fn post(listener: &Listener, id: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(listener.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let lines = sign(id, body).join("\r\n");
    let length = body.len();
    write!(
        stream,
        "POST /hooks?a=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Own: \t a  b\r\nAuthorization: canary\r\n\
         Content-Length: {length}\r\n{lines}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Waits until a file has so many lines, and gives them.
fn lines(path: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(Instant::now() < deadline, "{path} has only {text:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn replay(args: &[&str]) -> Ran {
    run(&[&["replay"], args].concat(), b"")
}

#[test]
fn what_was_answered_202_outlives_a_kill() {
    let files = Files::new();
    let (store, seen, gate) = (files.path("inbox"), files.path("seen"), files.path("gate"));
    // Until the gate is there, no command comes to a good end.
    let command = format!("test -e {gate} || exit 3; echo $POSTRIDER_ID >> {seen}");
    let retry = ["500ms"; 40].join(",");
    let args = ["--key", KEY, "--store", &store, "--exec", &command, "--retry", &retry];
    let listener = Listener::start(&args);
    for n in 0..5 {
        assert_eq!(post(&listener, &format!("msg_{n}"), "{\"type\":\"a.b\"}"), 202);
    }
    // Sent again, it is there already: one and the same, though it was signed at another time.
    assert_eq!(post(&listener, "msg_0", "{\"type\":\"a.b\"}"), 202);
    assert!(!Path::new(&seen).exists());
    // SIGKILL.
    listener.stop();

    fs::write(&gate, "").unwrap();
    let listener = Listener::start(&args);
    let mut handled = lines(&seen, 5);
    handled.sort();
    assert_eq!(handled, [0, 1, 2, 3, 4].map(|n| format!("msg_{n}")));
    assert_eq!(post(&listener, "msg_3", "{\"type\":\"a.b\"}"), 202);
    assert_eq!(post(&listener, "msg_5", "{\"type\":\"a.b\"}"), 202);
    assert_eq!(lines(&seen, 6)[5..], ["msg_5"]);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(lines(&seen, 6).len(), 6, "each was handled once");
    listener.stop();
}

#[test]
fn dead_letters_are_listed_and_sent_again_byte_for_byte() {
    let files = Files::new();
    let store = files.path("inbox");
    let args = ["--key", KEY, "--store", &store, "--exec", "exit 3", "--retry", "0s,10ms", "--json"];
    let listener = Listener::start(&args);
    let body = "{\"type\":\"order.paid\", \"n\":1.0}";
    assert_eq!(post(&listener, "msg_1", body), 202);
    let deadline = Instant::now() + Duration::from_secs(20);
    let dead = loop {
        let dead = run(&["journal", "dead", &store], b"");
        assert_eq!(dead.code, Some(0), "{dead:?}");
        if !dead.out.is_empty() {
            break dead.out;
        }
        assert!(Instant::now() < deadline, "it is no dead letter yet");
        thread::sleep(Duration::from_millis(20));
    };
    assert!(dead.contains("msg_1 to application: 2 attempts"), "{dead}");

    // The listener goes on meanwhile: an inbox is only read.
    let (addr, server) = support_server();
    let ran = replay(&[&store, "--forward", &format!("http://{addr}/base"), "--state", "exhausted"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("msg_1: msg_1 order.paid 30 bytes"), "{ran:?}");
    let seen = server.join().unwrap();
    assert!(seen.starts_with("POST /base?a=1 HTTP/1.1\r\n") && seen.ends_with(&format!("\r\n\r\n{body}")), "{seen:?}");
    assert!(seen.contains("webhook-id: msg_1\r\n") && seen.contains("x-own: a  b\r\n"), "{seen:?}");
    assert!(!seen.contains("canary"), "{seen:?}");
    listener.stop();

    let copy = files.path("copy");
    let command = format!("cat > {copy}; echo $POSTRIDER_TYPE $POSTRIDER_SCHEME >> {copy}");
    let ran = replay(&[&store, "--exec", &command, "--event", "msg_1", "--json"]);
    assert_eq!(ran.out, "{\"event\":\"msg_1\",\"sent\":true,\"type\":\"order.paid\",\"why\":null}\n", "{ran:?}");
    assert_eq!(fs::read_to_string(&copy).unwrap(), format!("{body}order.paid standard-webhooks\n"));
    let ran = replay(&[&store, "--exec", "exit 1"]);
    assert!(ran.code == Some(1) && ran.err.contains("failed: msg_1: the command ended with exit code 1"), "{ran:?}");
    for (args, found) in [
        (&["--state", "delivered"][..], "0 would be sent"),
        (&["--to", "2001-01-01T00:00:00Z"], "0 would be sent"),
        (&[], "1 would be sent"),
    ] {
        let ran = replay(&[&[&store, "--dry-run"][..], args].concat());
        assert!(ran.code == Some(0) && ran.err.starts_with(found), "{args:?}: {ran:?}");
    }
    let ran = replay(&[&store, "--exec", "true", "--event", "msg_9"]);
    assert!(ran.code == Some(1) && ran.err.contains("failed: msg_9: it is not kept any more"), "{ran:?}");
}

/// Takes one request and answers it.
fn support_server() -> (std::net::SocketAddr, thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"1.0}") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&bytes[..read]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8(seen).unwrap()
    });
    (addr, server)
}

#[test]
fn as_many_are_stored_as_were_asked_for_and_printed_by_whoever_comes_next() {
    let files = Files::new();
    let store = files.path("inbox");
    let listener = Listener::start(&["--key", KEY, "--store", &store, "--once", "2"]);
    assert_eq!([post(&listener, "msg_1", "{}"), post(&listener, "msg_2", "{}")], [202, 202]);
    let first = listener.finish();
    assert_eq!(first.code, Some(0), "{first:?}");
    let listener = Listener::start(&["--key", KEY, "--store", &store, "--once", "1"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !run(&["replay", &store, "--dry-run", "--state", "delivered"], b"").err.starts_with("2 would") {
        assert!(Instant::now() < deadline, "they are not handled");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(post(&listener, "msg_1", "{}"), 202);
    let printed = first.out + &listener.finish().out;
    for id in ["msg_1", "msg_2"] {
        assert_eq!(printed.lines().filter(|line| line.starts_with(id)).count(), 1, "{printed}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let files = Files::new();
    let store = files.path("inbox");
    for (args, why) in [
        (&["listen", "--store", &store][..], "error: --store: it keeps what is verified; give --secret or --key"),
        (&["listen", "--key", KEY, "--store", &store, "--timeout", "1m"], "error: --timeout: with --store"),
        (&["listen", "--key", KEY, "--store", &store, "--status", "200"], "error: the argument '--st"),
        (&["listen", "--key", KEY, "--retry", "1s"], "error: the following required arguments"),
        (&["replay", &store, "--dry-run"], "error: "),
        (&["replay", &store], "error: say where to, by --forward URL or --exec CMD; or --dry-run"),
        (&["replay", &store, "--endpoint", "a"], "error: the argument"),
        (&["replay", "--journal", &store], "error: the following required arguments"),
    ] {
        let ran = run(args, b"");
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.err.starts_with(why), "{args:?}: {ran:?}");
    }
}

//! `listen`: several schemes, providers' questions, passing on, and commands.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::{Files, Listener, OTHER, SECRET, run};

const BODY: &str = r#"{"id":"evt_1","type":"a.b"}"#;

/// What was answered: the status, the head in lower case, and the body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends a request and reads what is answered, for at most 30 s.
fn ask(addr: &str, method: &str, target: &str, headers: &[String], body: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    lines.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()));
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: {addr}\r\n{lines}{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() }
}

/// The header lines of a signed body.
fn sign(scheme: &str, secret: &str, body: &str) -> Vec<String> {
    let ran = run(
        &["sign", "--scheme", scheme, "--secret", secret, "--url", "https://hooks.example.com/in"],
        body.as_bytes(),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.lines().map(String::from).collect()
}

fn post(listener: &Listener, headers: &[String], body: &str) -> Answer {
    ask(listener.addr(), "POST", "/hook?a=1", headers, body)
}

/// A server on loopback that answers each request with these bytes and gives what it was sent.
fn target(answer: &'static str, count: usize) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let mut seen = Vec::new();
        for _ in 0..count {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
            while !String::from_utf8_lossy(&bytes).ends_with('}') {
                let read = stream.read(&mut chunk).unwrap();
                assert!(read > 0, "the request is cut");
                bytes.extend_from_slice(&chunk[..read]);
            }
            seen.push(String::from_utf8(bytes).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        seen
    });
    (addr, server)
}

#[test]
fn whichever_key_fits_is_taken() {
    let keys = ["--key", "github:one", "--key", "github:two", "--key", "stripe:whsec_s", "--key", "square:q"];
    let own = ["--secret", SECRET, "--url", "https://hooks.example.com/in", "--json", "--once", "4"];
    let listener = Listener::start(&[&keys[..], &own].concat());
    let answer = post(&listener, &sign("github", "three", BODY), BODY);
    assert_eq!((answer.status, answer.body.as_str()), (401, "the webhook was not accepted\n"));
    assert_eq!(post(&listener, &[], BODY).status, 400);
    assert_eq!(post(&listener, &sign("standard-webhooks", OTHER, BODY), BODY).status, 401);
    let signed = sign("square", "q", BODY);
    assert_eq!(post(&listener, &signed, BODY).status, 401, "the URL has a query that was not signed");
    assert_eq!(ask(listener.addr(), "POST", "/", &signed, BODY).status, 204);
    for (scheme, secret) in [("github", "two"), ("stripe", "whsec_s"), ("standard-webhooks", SECRET)] {
        let answer = post(&listener, &sign(scheme, secret, BODY), BODY);
        assert_eq!(answer.status, 204, "{scheme}: {answer:?}");
    }
    let ran = listener.finish();
    let lines: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schemes: Vec<_> = lines.iter().map(|line| line["scheme"].as_str().unwrap()).collect();
    assert_eq!(schemes, ["square", "github", "stripe", "standard-webhooks"]);
    assert_eq!((&lines[2]["id"], &lines[2]["type"]), (&"evt_1".into(), &"a.b".into()));
    assert!(lines[1]["id"].as_str().unwrap().starts_with("msg_"), "{lines:?}");
    for secret in ["one", "two", "whsec_s", SECRET] {
        assert!(!ran.err.contains(&format!("{secret}\"")) && !ran.err.contains("whsec_"), "{}", ran.err);
    }
}

#[test]
fn keys_are_refused_without_being_repeated() {
    for (args, why) in [
        (&["--key", "canary"][..], "error: --key number 1: write it as scheme:secret"),
        (&["--key", "github:k", "--key", "canary:1"], "error: --key number 2: no scheme has this name"),
        (&["--key", "custom:canary"], "error: --scheme: custom stands for"),
        (
            &["--key", "adyen-header:canary"],
            "error: --secret or --key of adyen-header: key number 1 is not hexadecimal",
        ),
        (
            &["--forward", "https://localhost/"],
            "error: invalid value 'https://localhost/' for '--forward <URL>': only http",
        ),
        (&["--forward", "http://localhost/", "--exec", "true"], "error: the argument"),
        (&["--json", "--pretty"], "error: the argument"),
    ] {
        let ran = run(&[&["listen"], args].concat(), b"");
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.err.starts_with(why) && !ran.err.contains("canary"), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_readable_view_has_everything_but_secrets() {
    let listener = Listener::start(&["--key", "gitlab:token-canary", "--pretty", "--once", "2"]);
    let token = "X-Gitlab-Token: token-canary".to_string();
    let event = "X-Gitlab-Event: Push Hook".to_string();
    assert_eq!(post(&listener, &[token.clone(), event], "{\"b\":1.0,\"a\":[\"\u{9b}2J\"]}").status, 204);
    let form = "Content-Type: application/x-www-form-urlencoded".to_string();
    assert_eq!(post(&listener, &[token, form], "x=1&y=2").status, 204);
    let out = listener.finish().out;
    assert!(out.starts_with("POST /hook?a=1 from 127.0.0.1:"), "{out}");
    for part in
        ["  scheme    gitlab\n", "  type      Push Hook\n", "  x-gitlab-token: (not shown)\n", "\n    \"b\": 1.0,\n"]
    {
        assert!(out.contains(part), "{part:?} in {out}");
    }
    assert!(out.contains("\n  x = 1\n  y = 2\n") && out.contains("\\u{9b}2J"), "{out}");
    assert!(!out.contains("token-canary") && !out.contains('\u{9b}'), "{out}");
}

#[test]
fn providers_questions_are_answered() {
    let keys =
        ["--key", "slack:s", "--key", "zoom:z", "--key", "meta:m", "--key", "twitter:t", "--verify-token", "agreed"];
    let discord = "--key=discord:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let listener = Listener::start(&[&keys[..], &[discord, "--topic", "https://t.example/"]].concat());
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let zoom = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8"}}"#;
    for (scheme, secret, body, wanted) in [
        ("slack", "s", r#"{"type":"url_verification","challenge":"3eZ"}"#, "3eZ"),
        ("zoom", "z", zoom, r#"{"plainToken":"qgg8","encryptedToken":""#),
        ("discord", seed, r#"{"type":1}"#, r#"{"type":1}"#),
    ] {
        let answer = post(&listener, &sign(scheme, secret, body), body);
        assert!(answer.status == 200 && answer.body.starts_with(wanted), "{scheme}: {answer:?}");
        let forged = post(&listener, &sign(scheme, seed.split_at(32).0.repeat(2).as_str(), body), body);
        assert_eq!(forged.status, 401, "{scheme}: {forged:?}");
    }
    let get = |query: &str| ask(listener.addr(), "GET", &format!("/hook?{query}"), &[], "");
    let meta = |token: &str| get(&format!("hub.mode=subscribe&hub.challenge=1158&hub.verify_token={token}"));
    assert_eq!((meta("agreed").body.as_str(), meta("agreed").status, meta("other").status), ("1158", 200, 404));
    let hub = |topic: &str| get(&format!("hub.mode=subscribe&hub.topic={topic}&hub.challenge=c&hub.lease_seconds=60"));
    assert_eq!((hub("https%3A%2F%2Ft.example%2F").body.as_str(), hub("https%3A%2F%2Fu.example%2F").status), ("c", 404));
    let crc = get("crc_token=x");
    assert!(crc.status == 200 && crc.body.starts_with(r#"{"response_token":"sha256="#), "{crc:?}");
    assert_eq!(get("a=b").status, 405);
    let origin = ["WebHook-Request-Origin: sender.example.com".to_string()];
    let asked = ask(listener.addr(), "OPTIONS", "/hook", &origin, "");
    assert!(asked.head.contains("webhook-allowed-origin: sender.example.com"), "{asked:?}");

    // Without a key of theirs nobody is answered.
    let other = Listener::start(&["--key", "github:g", "--verify-token", "agreed"]);
    let query = "/?hub.mode=subscribe&hub.challenge=1158&hub.verify_token=agreed";
    assert_eq!(ask(other.addr(), "GET", query, &[], "").status, 405);
}

#[test]
fn what_is_verified_is_passed_on() {
    let (addr, server) =
        target("HTTP/1.1 202 Accepted\r\nX-Own: yes\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes", 1);
    let url = format!("http://{addr}/base");
    let listener = Listener::start(&["--key", "github:k", "--forward", &url, "--once", "1"]);
    assert_eq!(post(&listener, &sign("github", "other", BODY), BODY).status, 401);
    let mut headers = sign("github", "k", BODY);
    headers.push("X-GitHub-Event: push".into());
    headers.push("TE: trailers".into());
    let answer = post(&listener, &headers, BODY);
    assert_eq!((answer.status, answer.body.as_str()), (202, "yes"));
    assert!(answer.head.contains("x-own: yes"), "{answer:?}");
    let seen = server.join().unwrap();
    assert!(seen[0].starts_with(&format!("POST /base?a=1 HTTP/1.1\r\nhost: {addr}\r\n")), "{seen:?}");
    assert!(
        seen[0].contains("X-GitHub-Event: push\r\n") && seen[0].contains("x-hub-signature-256: sha256="),
        "{seen:?}"
    );
    assert!(seen[0].ends_with(&format!("\r\n\r\n{BODY}")) && !seen[0].contains("trailers"), "{seen:?}");
    assert!(listener.finish().out.contains(" push 27 bytes, answered 202"));
}

#[test]
fn what_the_target_says_is_answered_and_its_silence_too() {
    let (addr, server) = target("HTTP/1.0 100 Continue\r\n\r\nHTTP/1.0 503 Busy\r\nRetry-After: 7\r\n\r\nbusy", 1);
    let listener = Listener::start(&["--forward", &format!("http://{addr}")]);
    // It answers with the end of the connection, as HTTP/1.0 does, so the server must not keep it open.
    let waiting = thread::spawn(move || server.join().unwrap());
    let answer = post(&listener, &[], BODY);
    assert_eq!((answer.status, answer.body.as_str()), (503, "busy"));
    assert!(answer.head.contains("retry-after: 7"), "{answer:?}");
    assert!(waiting.join().unwrap()[0].starts_with("POST /hook?a=1 HTTP/1.1\r\n"));
    assert_eq!(post(&listener, &[], BODY).status, 502, "nobody listens there any more");
    assert!(listener.stop().contains("502, not passed on"));

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let listener = Listener::start(&["--forward", &url, "--timeout", "300ms"]);
    let began = Instant::now();
    assert_eq!(post(&listener, &[], BODY).status, 504);
    assert!((Duration::from_millis(290)..Duration::from_secs(5)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[cfg(unix)]
#[test]
fn a_command_decides_by_its_exit_code() {
    let files = Files::new();
    let (seen, code) = (files.path("seen"), files.path("code"));
    let command = format!(
        "cat > {seen}; echo \"$POSTRIDER_SCHEME|$POSTRIDER_ID|$POSTRIDER_TYPE|$POSTRIDER_HEADER_X_GITHUB_EVENT|$POSTRIDER_TARGET\" >> {seen}; \
         echo heard; exit $(cat {code})"
    );
    let listener = Listener::start(&["--key", "github:k", "--exec", &command, "--status", "201", "--once", "1"]);
    let mut headers = sign("github", "k", BODY);
    headers.retain(|line| !line.starts_with("x-github-delivery"));
    headers.extend(["X-GitHub-Delivery: d1".into(), "X-GitHub-Event: push; rm -rf $HOME".into()]);
    for (says, status, head) in [("75", 503, "retry-after: 30"), ("3", 500, ""), ("0", 201, "")] {
        fs::write(&code, says).unwrap();
        let answer = post(&listener, &headers, BODY);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.head.contains(head), "{answer:?}");
        let wanted = format!("{BODY}github|d1|push; rm -rf $HOME|push; rm -rf $HOME|/hook?a=1\n");
        assert_eq!(fs::read_to_string(&seen).unwrap(), wanted);
    }
    let ran = listener.finish();
    assert_eq!(ran.out.lines().count(), 1, "only what ended well is accepted: {ran:?}");
    assert!(
        ran.err.contains("later: 127.0.0.1") && ran.err.contains("500, the command ended with exit code 3"),
        "{ran:?}"
    );
    assert!(ran.err.contains("heard\n"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_command_is_killed_at_the_deadline_and_bounded_in_number() {
    let files = Files::new();
    let late = files.path("late");
    // What the shell has started ends with it; a payload that nobody reads holds nothing up.
    let command = format!("sleep 3; touch {late}");
    let listener = Listener::start(&["--exec", &command, "--timeout", "500ms", "--concurrency", "1"]);
    let began = Instant::now();
    let large = "x".repeat(500_000);
    let (addr, body) = (listener.addr().to_string(), large.clone());
    let other = thread::spawn(move || ask(&addr, "POST", "/", &[], &body).status);
    let mut both = [post(&listener, &[], &large).status, other.join().unwrap()];
    both.sort_unstable();
    assert!(both == [500, 503] || both == [500, 500], "{both:?}");
    assert!(began.elapsed() < Duration::from_millis(2900), "{:?}", began.elapsed());
    thread::sleep(Duration::from_millis(3200).saturating_sub(began.elapsed()) + Duration::from_millis(300));
    assert!(fs::metadata(&late).is_err(), "the command lived on");
    assert!(listener.stop().contains("the command was killed at its deadline"));
}

//! What we sign, others verify: real payloads to twenty endpoints by both drivers, every request judged by two
//! independent libraries for Standard Webhooks and, for the scheme that its endpoint signs in besides, by what that scheme's
//! documentation says, in Python; the environment variable `POSTRIDER_PYTHON` names an interpreter.
//!
//! `POSTRIDER_EVENTS` may name a file of events, one JSON object a line; without it they are generated.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use postrider::{Endpoint, Event, EventReport, Policy, Secret};
use postrider_core::signing::Dialect;
use postrider_tests::capture::Capture;
use serde_json::value::RawValue;

const ENDPOINTS: usize = 20;
const GENERATED: usize = 40;

/// What endpoints sign in besides Standard Webhooks, in turns.
const BESIDES: [Dialect; 5] =
    [Dialect::Github, Dialect::Stripe, Dialect::Slack, Dialect::Shopify, Dialect::MessageSignatures];

#[derive(serde::Deserialize)]
struct Line {
    id: String,
    r#type: String,
    data: Box<RawValue>,
}

fn events() -> Vec<Event> {
    let Some(path) = std::env::var_os("POSTRIDER_EVENTS") else {
        println!("POSTRIDER_EVENTS is not set: the events are generated");
        return (0..GENERATED).map(generated).collect();
    };
    let text = std::fs::read_to_string(&path).expect("POSTRIDER_EVENTS names a file");
    let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).expect("an event a line"));
    lines
        .map(|line| {
            let data = Bytes::from(line.data.get().to_owned());
            Event::json_bytes(line.r#type, data).expect("a good event").id(line.id)
        })
        .collect()
}

/// An event with what is known to break signatures: escapes, other alphabets, numbers of every form, deep and empty.
fn generated(n: usize) -> Event {
    let text = "\u{e9}\u{4f60}\u{1f4ee} \" \\ / \u{7f}\u{2028}".repeat(n % 7);
    let data =
        serde_json::json!({ "n": n, "text": text, "big": u64::MAX, "small": 1e-9, "none": null, "deep": [[[{}]]] });
    Event::json(format!("generated.kind{}.made", n % 5), &data).expect("a good event").id(format!("generated-{n}"))
}

fn secret(n: usize) -> Secret {
    Secret::from_bytes([n as u8 + 1; 32]).expect("32 bytes")
}

fn endpoint(capture: &Capture, n: usize) -> Endpoint {
    let endpoint = Endpoint::new(format!("endpoint-{n}"), capture.url(&n.to_string())).signing_key(secret(n));
    endpoint.sign([Dialect::Standard, BESIDES[n % BESIDES.len()].clone()])
}

fn check(name: &str, events: usize, reports: &[EventReport], capture: &Capture) {
    let heard = &capture.heard();
    for report in reports {
        assert_eq!(report.tally.delivered, ENDPOINTS as u64, "{name}: {report}");
    }
    assert_eq!(heard.len(), events * ENDPOINTS, "{name}: each event came once to each endpoint");
    let Some(python) = std::env::var_os("POSTRIDER_PYTHON") else {
        println!("{name}: POSTRIDER_PYTHON is not set: {} requests were NOT judged independently", heard.len());
        return;
    };
    let mut lines = String::new();
    for request in heard {
        let n: usize = request.path.trim_start_matches('/').parse().expect("the path is the endpoint's number");
        let case = serde_json::json!({
            "secret": secret(n).reveal(),
            "headers": request.headers,
            "url": capture.url(&n.to_string()),
            "body": base64(&request.body),
        });
        writeln!(lines, "{case}").expect("a String takes everything");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/verify.py");
    let mut judge = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("POSTRIDER_PYTHON can be run");
    let mut input = judge.stdin.take().expect("it was piped");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).expect("the judge reads all"));
    let verdict = judge.wait_with_output().expect("the judge ends");
    writer.join().expect("the writer ends");
    let counts = String::from_utf8_lossy(&verdict.stdout).trim().to_owned();
    assert!(verdict.status.success(), "{name}: {counts}");
    println!("{name}: {counts}");
    let counts: serde_json::Value = serde_json::from_str(&counts).expect("the judge counts");
    assert_eq!(counts["standardwebhooks"], heard.len());
    assert_eq!(counts["svix"], heard.len());
    for scheme in &BESIDES {
        assert_eq!(counts[scheme.name()], heard.len() / BESIDES.len(), "{scheme}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tokio_driver_signs_is_accepted_by_independent_libraries() {
    let capture = Capture::start().expect("a free port");
    let sender = postrider::tokio::Sender::builder().policy(Policy::development()).volatile().expect("a sender");
    for n in 0..ENDPOINTS {
        sender.put(endpoint(&capture, n)).await.expect("a good endpoint");
    }
    let mut receipts = Vec::new();
    for receipt in sender.publish_all(events()).await {
        receipts.push(receipt.expect("it is accepted"));
    }
    let mut reports = Vec::new();
    for receipt in &receipts {
        reports.push(sender.settled(receipt.event()).await.expect("it ends"));
    }
    sender.close(Duration::from_secs(5)).await.expect("it closes");
    check("tokio", receipts.len(), &reports, &capture);
}

#[test]
fn what_the_blocking_driver_signs_is_accepted_by_independent_libraries() {
    let capture = Capture::start().expect("a free port");
    let sender = postrider::blocking::Sender::builder().policy(Policy::development()).volatile().expect("a sender");
    for n in 0..ENDPOINTS {
        sender.put(endpoint(&capture, n)).expect("a good endpoint");
    }
    let receipts: Vec<_> =
        sender.publish_all(events()).into_iter().map(|receipt| receipt.expect("it is accepted")).collect();
    let reports: Vec<_> = receipts
        .iter()
        .map(|receipt| sender.settled_within(receipt.event(), Duration::from_secs(60)).expect("it ends"))
        .collect();
    sender.close(Duration::from_secs(5)).expect("it closes");
    check("blocking", receipts.len(), &reports, &capture);
}

//! Bad input: refused before anything is sent, or named while everything else is delivered.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::{DRIVERS, Files, Listener, OTHER, SECRET, endpoint, run};

const ALL: &str = "events = [\"**\"]";
const EVENT: &str = "{\"type\":\"order.paid\",\"id\":\"o1\",\"data\":{\"n\":1}}\n";

/// A good endpoint with one line replaced, and what is said of it.
#[test]
fn a_bad_endpoint_file_is_2_before_anything_is_sent() {
    let good = endpoint("a", "https://hooks.example.com/x", ALL);
    let cases = [
        ("id = \"a\"", "id = \"a", ":2: this is not TOML: "),
        (ALL, "evnets = [\"**\"]", ":5: evnets: there is no such key; did you mean `events`?"),
        ("https://hooks.example.com/x", "hooks.example.com/x", ":3: url: the URL has no scheme"),
        ("https://hooks", "http://hooks", ":3: url: http is not allowed here"),
        ("https://hooks.example.com", "https://10.1.2.3", ":3: url: 10.1.2.3 is "),
        ("https://hooks.example.com", "https://127.0.0.1", ":3: url: 127.0.0.1 is loopback"),
        ("https://hooks.example.com", "https://localhost", "allow it with `--allow 127.0.0.0/8`"),
        (SECRET, "whsec_AAAA", ":4: secret: the secret's key has 3 bytes, at least 24 are needed"),
        ("\"whsec_", "\"v1,whsec_", ":4: secret: the secret begins with a signature version"),
        ("LaLaSw", "LaLa-_", ":4: secret: the secret has a `-` or `_` at byte "),
        ("\"**\"", "\"order..paid\"", ":5: events[0]: \"order..paid\""),
        ("id = \"a\"", "", ":1: id: the endpoint has none"),
        ("[[endpoint]]", "[endpoint]", ":1: endpoint: this is not a list; write [[endpoint]]"),
    ];
    let files = Files::new();
    let events = files.put("events.ndjson", EVENT);
    for (from, to, expected) in cases {
        let path = files.put("endpoints.toml", &good.replacen(from, to, 1));
        let ran = run(&["deliver", "--endpoints", &path, &events], b"");
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{to}: {ran:?}");
        assert!(ran.err.starts_with(&format!("error: {path}:")), "{to}: {ran:?}");
        assert!(ran.err.contains(expected), "{to}: {ran:?}");
        assert!(!ran.err.contains("MfKQ9r8G"), "{ran:?}");
    }
    let path = files.put("endpoints.toml", "");
    let ran = run(&["deliver", "--endpoints", &path, &events], b"");
    assert!(ran.code == Some(2) && ran.err.contains("there is no endpoint"), "{ran:?}");
}

#[test]
fn files_that_are_not_there_and_options_that_are_wrong_are_2() {
    let files = Files::new();
    let endpoints = files.put("endpoints.toml", &endpoint("a", "https://hooks.example.com/", ALL));
    for args in [
        &["deliver", "--endpoints", "/nowhere/e.toml"][..],
        &["deliver", "--endpoints", &endpoints, "/nowhere/e.ndjson"],
        &["deliver", "--endpoints", &endpoints, "--allow", "127.0.0.1/8"],
        &["deliver", "--endpoints", &endpoints, "--allow", "lan"],
        &["deliver", "--endpoints", &endpoints, "--driver", "carrier-pigeon"],
        &["deliver", "--endpoints", &endpoints, "--concurrency", "0"],
        &["deliver"],
        &["listen", "--secret", "short"],
        &["listen", "--status", "99"],
        &["listen", "--addr", "nowhere"],
        &["demo", "--events", "0"],
    ] {
        let ran = run(args, b"");
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
}

#[test]
fn bad_lines_are_named_and_the_others_delivered() {
    let lines = [
        r#"{"type":"order.paid","id":"o1","data":{"n":1}}"#,
        r#"nonsense"#,
        r#"{"type":"order..paid"}"#,
        r#"{"type":"order.paid","id":"a.b"}"#,
        r#"{"type":"order.paid","dat":1}"#,
        r#"{"type":"order.paid","id":"o1","data":{"n":2}}"#,
        r#"{"type":"order.paid","id":"o1","data":{"n":1}}"#,
        r#"{"specversion":"1.0","type":"order.paid","source":"/shop","id":"7"}"#,
    ];
    for driver in DRIVERS {
        let listener = Listener::start(&["--secret", SECRET, "--once", "2", "--json"]);
        let files = Files::new();
        let endpoints = files.put("endpoints.toml", &endpoint("a", &listener.url, ALL));
        let events = files.put("events.ndjson", &lines.join("\n"));
        let args = ["deliver", "--endpoints", &endpoints, &events, "--allow", "127.0.0.0/8", "--allow-http"];
        let ran = run(&[&args[..], &["--driver", driver, "--json"]].concat(), b"");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for expected in [
            ":2: this is not JSON at column ",
            ":3: type: has an empty segment at byte 6",
            ":4: id: has a '.' at byte 1",
            ":5: dat: there is no such key; did you mean `data`?",
            ":6: o1: another event with other content",
        ] {
            assert!(ran.err.contains(&format!("error: {events}{expected}")), "{expected}: {ran:?}");
        }
        let received = listener.finish();
        assert!(
            received.out.contains("\"id\":\"o1\"") && received.out.contains("\"id\":\"~2fshop~~7\""),
            "{received:?}"
        );
        assert!(ran.out.contains("\"delivered\":2") && ran.out.contains("\"bad_lines\":5"), "{ran:?}");
        assert!(ran.out.contains("\"repeats\":1"), "{ran:?}");
    }
}

#[test]
fn a_dry_run_says_who_would_get_what_and_why_not() {
    let files = Files::new();
    let tables = [
        endpoint("exact", "https://hooks.example.com/", "events = [\"order.paid\"]"),
        endpoint("near", "https://hooks.example.com/", "events = [\"order.*\"]"),
        endpoint("other", "https://hooks.example.com/", "events = [\"**\"]\ntenant = \"other\""),
    ];
    let endpoints = files.put("endpoints.toml", &tables.concat());
    let events = "{\"type\":\"order.paid\",\"id\":\"o1\"}\n{\"type\":\"order.item.added\",\"id\":\"o2\"}\n";
    let ran = run(&["deliver", "--endpoints", &endpoints, "--dry-run"], events.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("line 1: o1 order.paid: 2 endpoints\n  + exact: "), "{ran:?}");
    assert!(ran.out.contains("line 2: o2 order.item.added: 0 endpoints\n  - exact: "), "{ran:?}");
    assert!(ran.out.contains("`order.**` would match `order.item.added`"), "{ran:?}");
    assert!(!ran.out.contains("other:"), "another tenant's endpoint is nobody's business: {ran:?}");
    let ran = run(&["deliver", "--endpoints", &endpoints, "--dry-run", "--json"], events.as_bytes());
    let first = ran.out.lines().next().unwrap();
    assert!(first.contains("\"told\":2") && first.contains("\"line\":1"), "{first}");
}

/// The endpoints that a bad input would reach get nothing: the whole file is refused, with every fault it has.
#[test]
fn every_fault_of_a_file_is_told_at_once_and_nothing_is_sent() {
    // Under this secret it would complain of whatever came.
    let listener = Listener::start(&["--secret", OTHER]);
    let files = Files::new();
    let tables = [
        endpoint("good", &listener.url, ALL),
        endpoint("private", "https://192.168.0.1/", ALL),
        endpoint("typed", "https://hooks.example.com/", "events = [\"a..b\"]\ntimout = \"5s\""),
    ];
    let endpoints = files.put("endpoints.toml", &tables.concat());
    let args = ["deliver", "--endpoints", &endpoints, "--allow", "127.0.0.0/8", "--allow-http"];
    let ran = run(&args, EVENT.as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    for expected in
        [":8: url: 192.168.0.1 is ", ":15: events[0]: ", ":16: timout: there is no such key; did you mean `timeout`?"]
    {
        assert!(ran.err.contains(expected), "{expected}: {ran:?}");
    }
    assert_eq!(listener.stop(), "");
}

#[test]
fn an_address_that_is_taken_is_2() {
    let listener = Listener::start(&["--secret", SECRET]);
    let ran = run(&["listen", "--secret", SECRET, "--addr", listener.addr()], b"");
    assert!(ran.code == Some(2) && ran.err.starts_with("error: --addr: "), "{ran:?}");
}

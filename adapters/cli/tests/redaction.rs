//! The command repeats no secret and no payload, whether its input is good or bad, except where it was asked to.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use postrider_testkit::Canaries;
use support::{DRIVERS, Files, Listener, Ran, endpoint, run};

/// `shared-secret-canary-00000000001`, as it is written in files and arguments.
const KEY: &str = "whsec_c2hhcmVkLXNlY3JldC1jYW5hcnktMDAwMDAwMDAwMDE=";
const HEADER: &str = "bearer-value-canary";
const TOKEN: &str = "query-token-canary";
const PAYLOAD: &str = "payload-canary-1";

/// What nobody ever asks for.
fn secrets() -> Canaries {
    Canaries::new()
        .with("the secret", "shared-secret-canary-00000000001")
        .with("the secret's text", &KEY[6..])
        .with("the header", HEADER)
        .with("the token", TOKEN)
}

fn canaries() -> Canaries {
    secrets().with("the payload", PAYLOAD)
}

/// Runs it, and looks at both of its outputs.
fn quiet(args: &[&str], stdin: &str) -> Ran {
    let ran = run(args, stdin.as_bytes());
    canaries().assert_none_in(&format!("{args:?}, stdout"), &ran.out);
    canaries().assert_none_in(&format!("{args:?}, stderr"), &ran.err);
    ran
}

fn table(url: &str) -> String {
    let rest = format!("events = [\"**\"]\nschedule = [\"0s\"]\nheaders = {{ authorization = \"{HEADER}\" }}");
    endpoint("a", &format!("{url}?token={TOKEN}"), &rest).replace(support::SECRET, KEY)
}

#[test]
fn wrong_arguments_are_not_repeated_where_they_may_be_secret() {
    let line = format!("authorization {HEADER}");
    let glued = format!("--{KEY}");
    let bare = &KEY[6..];
    for args in [
        &["sign", KEY][..],
        &["sign", bare],
        &["sign", "--secret", KEY, KEY],
        &["sign", "--secret", KEY, "--timestamp", KEY],
        &["sign", &glued],
        &["sign", "--secret", "v1,", "--secret", KEY, "--id", "a.b"],
        &[KEY],
        &[bare],
        &["listen", KEY],
        &["listen", "--secret", &KEY[..20]],
        &["listen", "--secret", &KEY.replace('=', "")],
        &["listen", "--addr", KEY],
        &["verify", "--secret", KEY],
        &["verify", "--secret", KEY, "-H", &line],
        &["verify", "--secret", KEY, "-H", KEY],
        &["verify", KEY, "-H", "a: b"],
        &["deliver", "--endpoints", "/nowhere.toml", "-", KEY],
    ] {
        let ran = quiet(args, PAYLOAD);
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.err.starts_with("error: "), "{args:?}: {ran:?}");
    }
    // What cannot be a secret is repeated, because that helps.
    assert!(run(&["delivr"], b"").err.contains("'delivr'"));
    assert!(run(&["listen", "--status", "99"], b"").err.contains("'99'"));
}

#[test]
fn bad_files_are_described_and_not_repeated() {
    let files = Files::new();
    let good = table("https://hooks.example.com/x");
    let (secret, header) = (format!("secret = \"{KEY}\""), format!("{{ authorization = \"{HEADER}\" }}"));
    let cases = [
        (secret.clone(), format!("secret = \"{KEY}")),
        (secret.clone(), format!("secret = {KEY}")),
        (secret.clone(), format!("secret = '''{KEY}")),
        (secret.clone(), format!("secrets = \"{KEY}\"")),
        (secret.clone(), format!("secret = [\"{KEY}\"]")),
        (secret.clone(), format!("secret = \"{KEY}\"\nsecret = \"{KEY}\"")),
        (secret.clone(), format!("secret = \"{KEY}\\q\"")),
        (secret.clone(), format!("secrt = \"{KEY}\"")),
        (secret.clone(), format!("secret = \"v1,{KEY}\"")),
        (secret.clone(), format!("secret = \"{}\"", KEY.replace('=', "_"))),
        (secret, format!("secret = \"{} \"", KEY)),
        (header.clone(), format!("\"{HEADER}\"")),
        (header.clone(), format!("[\"{HEADER}\"]")),
        (header.clone(), format!("{{ host = \"{HEADER}\" }}")),
        (header.clone(), format!("{{ authorization = [\"{HEADER}\"] }}")),
        (header.clone(), format!("{{ authorization = \"{HEADER}\\n\" }}")),
        (header, format!("{{ authorization = {HEADER} }}")),
        ("https://hooks".into(), "http://hooks".into()),
        ("https://hooks.example.com".into(), "https://127.0.0.1".into()),
        ("https://hooks.example.com".into(), format!("https://user:{TOKEN}@hooks.example.com")),
        ("?token".into(), "?tok en".into()),
        ("?token".into(), "#token".into()),
    ];
    for (from, to) in cases {
        assert!(good.contains(&from), "{from}");
        let path = files.put("endpoints.toml", &good.replacen(&from, &to, 1));
        let ran = quiet(&["deliver", "--endpoints", &path], "");
        assert_eq!(ran.code, Some(2), "{to}: {ran:?}");
        assert!(ran.err.contains(&format!("{path}:")), "{to}: {ran:?}");
    }
}

#[test]
fn bad_lines_are_described_and_not_repeated() {
    let files = Files::new();
    let endpoints = files.put("endpoints.toml", &table("https://hooks.example.com/x"));
    let lines = [
        PAYLOAD.to_string(),
        format!("\"{PAYLOAD}\""),
        format!("{{\"type\":\"a\",\"data\":\"{PAYLOAD}}}"),
        format!("{{\"type\":\"a\",\"data\":{PAYLOAD}}}"),
        format!("{{\"type\":\"a\",\"dat\":\"{PAYLOAD}\"}}"),
        format!("{{\"type\":\"a..b\",\"data\":\"{PAYLOAD}\"}}"),
        format!("{{\"type\":\"a\",\"id\":[\"{PAYLOAD}\"]}}"),
        format!("{{\"type\":\"a\",\"data\":1,\"data\":\"{PAYLOAD}\"}}"),
        format!(
            "{{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"s\",\"id\":\"1\",\"data_base64\":\"{PAYLOAD}\"}}"
        ),
    ];
    let ran = quiet(&["deliver", "--endpoints", &endpoints, "--dry-run"], &lines.join("\n"));
    assert_eq!(ran.err.lines().count(), lines.len(), "{ran:?}");
    let good = format!("{{\"type\":\"order.paid\",\"id\":\"o1\",\"data\":\"{PAYLOAD}\"}}");
    for options in [&["--dry-run"][..], &["--dry-run", "--json"]] {
        let ran = quiet(&[&["deliver", "--endpoints", &endpoints], options].concat(), &good);
        assert!(ran.code == Some(0) && ran.out.contains("o1"), "{ran:?}");
    }
}

#[test]
fn a_delivery_is_told_of_and_not_shown() {
    let event = format!("{{\"type\":\"order.paid\",\"id\":\"o1\",\"data\":\"{PAYLOAD}\"}}\n");
    for driver in DRIVERS {
        for (status, json) in [("204", false), ("500", false), ("204", true)] {
            let listened: &[&str] = if json { &["--json"] } else { &[] };
            let listener = Listener::start(&[&["--secret", KEY, "--once", "1", "--status", status], listened].concat());
            let files = Files::new();
            let endpoints = files.put("endpoints.toml", &table(&listener.url));
            let args =
                ["deliver", "--endpoints", &endpoints, "--driver", driver, "--allow", "127.0.0.0/8", "--allow-http"];
            let ran = quiet(&[&args[..], listened].concat(), &event);
            assert_eq!(ran.code, Some(i32::from(status == "500")), "{ran:?}");
            let received = listener.finish();
            canaries().assert_none_in("a listener's stderr", &received.err);
            match json {
                // The payload was asked for here; the secrets were not.
                true => assert!(received.out.contains(PAYLOAD), "{received:?}"),
                false => canaries().assert_none_in("a listener's stdout", &received.out),
            }
            secrets().assert_none_in("a listener's stdout", &received.out);
        }
    }
    let files = Files::new();
    let endpoints = files.put("endpoints.toml", &table("http://127.0.0.1:9/"));
    let args = ["deliver", "--endpoints", &endpoints, "--allow", "127.0.0.0/8", "--allow-http"];
    let conflict = format!("{event}{}", event.replace("data\":", "key\":\"other\",\"data\":"));
    assert_eq!(quiet(&args, &conflict).code, Some(1));
}

#[test]
fn signing_and_verifying_show_neither_secret_nor_body() {
    let signed = quiet(&["sign", "--secret", KEY, "--id", "m1", "--timestamp", "1700000000"], PAYLOAD);
    assert_eq!(signed.code, Some(0));
    let headers: Vec<&str> = signed.out.lines().flat_map(|line| ["-H", line]).collect();
    let bearer = format!("authorization: {HEADER}");
    let changed = format!("{PAYLOAD}\n");
    let url_safe = KEY.replace('=', "_");
    for (options, body) in [
        (&["--secret", KEY, "--now", "1700000000"][..], PAYLOAD),
        (&["--secret", KEY, "--now", "1700000000", "--explain"], &changed),
        (&["--secret", KEY, "--now", "1800000000", "--explain"], PAYLOAD),
        (&["--secret", support::OTHER, "--also", KEY, "--now", "1700000000", "--explain"], PAYLOAD),
        (&["--secret", &url_safe, "--now", "1700000000", "--explain"], PAYLOAD),
        (&["--secret", KEY, "--now", "1700000000", "--explain"], "something else"),
    ] {
        quiet(&[&["verify", "-H", &bearer], options, &headers].concat(), body);
    }
}

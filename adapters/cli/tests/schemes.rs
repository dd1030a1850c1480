//! `sign` and `verify` of every scheme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use support::{Files, OTHER, Ran, SECRET, run};

const NOW: &str = "1700000000";
const URL: &str = "https://example.com/hook?a=1";
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const HEX: &str = "4449c5697b326919703bac031cae7f609d61b19deffd5a60ba844af492ec2cc4";
const ADYEN: &str = r#"{"notificationItems":[{"NotificationRequestItem":{"amount":{"value":1,"currency":"EUR"},"pspReference":"7","success":"true"}}]}"#;

/// A scheme with its keys, a body, and what is to be changed in the body that is sent.
struct Case {
    scheme: &'static str,
    signing: &'static str,
    verifying: &'static str,
    other: &'static str,
    body: &'static str,
    /// What of the body is signed, and another text for it. None where nothing of it is.
    change: Option<(&'static str, &'static str)>,
    options: &'static [&'static str],
}

const JSON: &str = r#"{"id":"evt_1","type":"a.b"}"#;

const fn case(scheme: &'static str) -> Case {
    Case {
        scheme,
        signing: "some secret",
        verifying: "some secret",
        other: "some other secret",
        body: JSON,
        change: Some(("a.b", "a.c")),
        options: &[],
    }
}

const fn keyed(scheme: &'static str, signing: &'static str, verifying: &'static str, other: &'static str) -> Case {
    Case { signing, verifying, other, ..case(scheme) }
}

const CASES: [Case; 29] = [
    keyed("standard-webhooks", SECRET, SECRET, OTHER),
    case("github"),
    case("github-sha1"),
    case("meta"),
    case("stripe"),
    case("slack"),
    case("shopify"),
    case("twilio"),
    Case {
        body: "b=2&a=1",
        change: Some(("b=2", "b=3")),
        options: &["-H", "content-type: application/x-www-form-urlencoded"],
        ..case("twilio")
    },
    case("square"),
    keyed("discord", SEED, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", PUBLIC),
    Case { body: r#"{"webhookTimestamp":1700000000123,"type":"a.b"}"#, ..case("linear") },
    case("paddle"),
    case("line"),
    Case { body: ADYEN, change: Some((r#""7""#, r#""8""#)), ..keyed("adyen-notification", HEX, HEX, SEED) },
    keyed("adyen-header", HEX, HEX, SEED),
    case("workos"),
    Case {
        body: "<notification/>",
        change: Some(("bt_payload=P", "bt_payload=Q")),
        ..keyed("braintree", "public:private", "public:private", "public:other")
    },
    case("zoom"),
    case("pagerduty"),
    Case { change: Some(("msg_1", "msg_2")), ..case("mailgun") },
    case("dropbox"),
    case("gitea"),
    case("lemonsqueezy"),
    case("intercom"),
    case("bitbucket"),
    Case { change: None, ..case("gitlab") },
    keyed("http-message-signatures", SECRET, SECRET, OTHER),
    keyed("http-message-signatures", WHSK, WHPK, OTHER),
];

/// The public half of another pair.
const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
/// A pair of Standard Webhooks.
const WHSK: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
const WHPK: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// A signed request as the command told it: the headers, the URL and the body.
struct Signed {
    headers: Vec<String>,
    url: String,
    body: String,
}

fn sign(case: &Case, files: &Files) -> Signed {
    let path = files.path("body");
    let fixed = ["sign", "--scheme", case.scheme, "--secret", case.signing, "--url", URL, "--method", "put"];
    let made = ["--id", "msg_1", "--timestamp", NOW, "--body-out", &path];
    let ran = run(&[&fixed, &made[..], case.options].concat(), case.body.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}: {ran:?}", case.scheme);
    let (urls, headers): (Vec<_>, Vec<_>) =
        ran.out.lines().map(String::from).partition(|line| line.starts_with("url: "));
    let url = urls.first().map_or(URL, |line| &line[5..]).to_string();
    Signed { headers, url, body: fs::read_to_string(path).unwrap() }
}

fn verify(scheme: &str, secret: &str, method: &str, signed: &Signed) -> Ran {
    let headers: Vec<&str> = signed.headers.iter().flat_map(|line| ["-H", line.as_str()]).collect();
    let fixed =
        ["verify", "--scheme", scheme, "--secret", secret, "--url", &signed.url, "--method", method, "--now", NOW];
    run(&[&fixed[..], &headers].concat(), signed.body.as_bytes())
}

#[test]
fn what_is_signed_in_any_scheme_is_valid_and_nothing_else() {
    let files = Files::new();
    for case in CASES {
        let name = case.scheme;
        let mut signed = sign(&case, &files);
        let says = |secret, method, signed: &Signed| verify(name, secret, method, signed).code;
        let ran = verify(name, case.verifying, "PUT", &signed);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert!(ran.out.starts_with("valid:") && ran.out.contains(" with key_"), "{name}: {ran:?}");
        assert_eq!(says(case.other, "PUT", &signed), Some(1), "{name}: another secret");
        let messages = name == "http-message-signatures";
        assert_eq!(says(case.verifying, "POST", &signed), Some(i32::from(messages)), "{name}: another method");
        let url = std::mem::replace(&mut signed.url, "https://example.com/other?a=1".into());
        let signs = messages || matches!(name, "twilio" | "square");
        assert_eq!(says(case.verifying, "PUT", &signed), Some(i32::from(signs)), "{name}: another URL");
        signed.url = url;
        if let Some((from, to)) = case.change {
            let changed = signed.body.replacen(from, to, 1);
            assert_ne!(changed, signed.body, "{name}");
            signed.body = changed;
            assert_eq!(says(case.verifying, "PUT", &signed), Some(1), "{name}: another body");
        }
    }
}

#[test]
fn what_a_scheme_changes_is_told() {
    let files = Files::new();
    let changed: Vec<&str> =
        CASES.iter().filter(|case| sign(case, &files).body != case.body).map(|it| it.scheme).collect();
    assert_eq!(changed, ["adyen-notification", "braintree", "mailgun"]);
    let changed: Vec<&str> =
        CASES.iter().filter(|case| sign(case, &files).url != URL).map(|case| case.scheme).collect();
    assert_eq!(changed, ["twilio"], "of a body that is no form");
    let ran = run(&["sign", "--scheme", "mailgun", "--secret", "k"], JSON.as_bytes());
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.err, "error: --scheme: mailgun signs inside of the body; say --body-out FILE\n");
}

#[test]
fn what_cannot_be_signed_or_verified_is_refused() {
    for (args, why) in [
        (
            &["sign", "--scheme", "sendgrid", "--secret", "k"][..],
            "--scheme: the key of sendgrid never leaves its provider",
        ),
        (&["sign", "--scheme", "custom", "--secret", "k"], "--scheme: custom stands for"),
        (&["verify", "--scheme", "custom", "--secret", "k", "-H", "a: b"], "--scheme: custom stands for"),
        (&["sign", "--scheme", "square", "--secret", "k"], "--url: square signs the URL"),
        (&["verify", "--scheme", "twilio", "--secret", "k", "-H", "a: b"], "--url: twilio signs the URL"),
        (&["sign", "--scheme", "github", "--secret", "k", "--secret", "l"], "--secret: one key signs this scheme"),
        (&["sign", "--scheme", "braintree", "--secret", "k"], "--secret: key number 1 is not a public name"),
        (&["sign", "--scheme", "adyen-header", "--secret", "xyz"], "--secret: key number 1 is not hexadecimal"),
        (&["verify", "--scheme", "github", "--secret", "k"], "--header: github signs in a header"),
        (&["sign", "--scheme", "stripe", "--secret", ""], "--secret: key number 1 is empty"),
    ] {
        let ran = run(args, b"{}");
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {ran:?}");
        assert!(ran.err.starts_with(&format!("error: {why}")), "{args:?}: {ran:?}");
    }
    let ran = run(&["sign", "--scheme", "githob", "--secret", "k"], b"");
    assert!(ran.code == Some(2) && ran.err.contains("github-sha1") && ran.err.contains("mailgun"), "{ran:?}");
    let none = run(&["verify", "--scheme", "mailgun", "--secret", "k"], b"{}");
    assert_eq!(none.code, Some(1), "its signature is in the body: {none:?}");
}

/// Both kinds of keys sign side by side, and either verifies.
#[test]
fn several_keys_sign_standard_webhooks() {
    let ran = run(&["sign", "--secret", SECRET, "--secret", WHSK, "--secret", OTHER, "--timestamp", NOW], b"{}");
    let headers: Vec<String> = ran.out.lines().map(String::from).collect();
    assert_eq!((headers.len(), headers[2].matches(['v']).count() >= 3), (3, true), "{ran:?}");
    let signed = Signed { headers, url: String::new(), body: "{}".into() };
    for secret in [SECRET, OTHER, WHPK] {
        let ran = verify("standard-webhooks", secret, "POST", &signed);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

fn explain(case: &Case, secret: &str, signed: &Signed, now: &str) -> String {
    let headers: Vec<&str> = signed.headers.iter().flat_map(|line| ["-H", line.as_str()]).collect();
    let fixed =
        ["verify", "--explain", "--scheme", case.scheme, "--secret", secret, "--url", &signed.url, "--now", now];
    let ran = run(&[&fixed[..], &["--method", "PUT"], &headers].concat(), signed.body.as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}: {ran:?}", case.scheme);
    assert!(ran.err.starts_with("invalid: ") && !ran.err.contains(secret.trim()), "{}: {ran:?}", case.scheme);
    ran.err
}

/// Of each scheme: a line break behind the key, a body that was changed, and a request of another scheme.
#[test]
fn the_cause_is_named_in_every_scheme() {
    let files = Files::new();
    for case in CASES {
        let name = case.scheme;
        let signed = sign(&case, &files);
        let said = explain(&case, &format!("{}\n", case.verifying), &signed, NOW);
        assert!(said.contains("without the white space around it; give the key so"), "{name}: {said}");
        let again =
            Signed { body: signed.body.replace(':', ": "), headers: signed.headers.clone(), url: signed.url.clone() };
        let covered =
            !matches!(name, "adyen-notification" | "braintree" | "mailgun" | "gitlab") && case.body.contains(':');
        if covered {
            let said = explain(&case, case.verifying, &again, NOW);
            assert!(said.contains("cause: the JSON was parsed and written again"), "{name}: {said}");
        }
        let strange = if name == "stripe" { &CASES[1] } else { &CASES[4] };
        let other = sign(strange, &files);
        let said = explain(&case, case.verifying, &other, NOW);
        let wanted = format!("cause: the request has a signature of the scheme {}; verify it as such", strange.scheme);
        assert!(said.contains(&wanted), "{name}: {said}");
    }
    let stripe = sign(&CASES[4], &files);
    let said = explain(&CASES[4], "some secret", &stripe, "1700000900");
    assert!(said.contains("cause: the signature fits, but the timestamp is 900 s behind"), "{said}");
}

/// SendGrid's published request. Nobody but SendGrid can sign one.
#[test]
fn sendgrid_is_verified() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/signatures_dialects.json");
    let all: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let case = all.as_array().unwrap().iter().find(|case| case["id"] == "sgd-001").unwrap();
    let (input, text) = (&case["input"], |value: &serde_json::Value| value.as_str().unwrap().to_string());
    let line = |pair: &serde_json::Value| format!("{}: {}", text(&pair[0]), text(&pair[1]));
    let headers = input["headers"].as_array().unwrap().iter().map(line).collect();
    let mut signed = Signed { headers, url: String::new(), body: text(&input["body_text"]) };
    let key = text(&input["secrets"][0]);
    let ran = verify("sendgrid", &key, "POST", &signed);
    assert!(ran.code == Some(0) && ran.out.contains("signed 2020-09-14T19:41:42.000Z by sendgrid"), "{ran:?}");
    signed.body.push(' ');
    assert_eq!(verify("sendgrid", &key, "POST", &signed).code, Some(1));
}

//! `sign` and `verify`.

mod support;

use support::{OTHER, Ran, SECRET, run};

const NOW: &str = "1700000000";

/// The header lines of a body.
fn sign(secret: &str, body: &[u8]) -> Vec<String> {
    let ran = run(&["sign", "--secret", secret, "--id", "msg_1", "--timestamp", NOW], body);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.lines().map(String::from).collect()
}

fn verify(options: &[&str], headers: &[String], body: &[u8]) -> Ran {
    let headers: Vec<&str> = headers.iter().flat_map(|line| ["-H", line.as_str()]).collect();
    run(&[&["verify"], options, &headers[..]].concat(), body)
}

#[test]
fn what_is_signed_is_valid() {
    let body = b"{\"a\": 1}\n";
    let headers = sign(SECRET, body);
    assert_eq!(headers[..2], ["webhook-id: msg_1", "webhook-timestamp: 1700000000"]);
    let ran = verify(&["--secret", SECRET, "--now", NOW], &headers, body);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("valid: msg_1, signed 2023-11-14T22:13:20.000Z with key_"), "{ran:?}");
    // RFC 3339 is as good, and any of several secrets.
    let ran = verify(&["--secret", OTHER, "--secret", SECRET, "--now", "2023-11-14T22:15:00Z"], &headers, body);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_fresh_id_and_the_present_time_are_the_defaults() {
    let signed = run(&["sign", "--secret", SECRET], b"x");
    let headers: Vec<String> = signed.out.lines().map(String::from).collect();
    assert!(headers[0].starts_with("webhook-id: msg_") && headers[0].len() == 38, "{headers:?}");
    assert_eq!(verify(&["--secret", SECRET], &headers, b"x").code, Some(0));
}

#[test]
fn the_tolerance_is_as_asked_for_and_300_s_by_default() {
    let headers = sign(SECRET, b"{}");
    for (options, now, code) in [
        (&[][..], "1700000300", 0),
        (&[], "1700000301", 1),
        (&[], "1699999699", 1),
        (&["--tolerance", "10"], "1700000010", 0),
        (&["--tolerance", "10"], "1700000011", 1),
        (&["--tolerance", "4000"], "1700004000", 0),
        (&["--tolerance", "ten"], NOW, 2),
    ] {
        let ran = verify(&[&["--secret", SECRET, "--now", now], options].concat(), &headers, b"{}");
        assert_eq!(ran.code, Some(code), "{options:?} at {now}: {ran:?}");
    }
}

#[test]
fn other_sizes_and_other_names_are_taken_only_when_asked_for() {
    let headers = sign(SECRET, b"{}");
    let short = verify(&["--secret", "whsec_AAAA", "--now", NOW], &headers, b"{}");
    assert_eq!(short.code, Some(2), "{short:?}");
    let short = verify(&["--secret", "whsec_AAAA", "--any-size", "--now", NOW], &headers, b"{}");
    assert_eq!(short.code, Some(1), "{short:?}");
    let svix: Vec<String> = headers.iter().map(|line| line.replace("webhook-", "svix-")).collect();
    assert_eq!(verify(&["--secret", SECRET, "--now", NOW], &svix, b"{}").code, Some(1));
    assert_eq!(verify(&["--secret", SECRET, "--now", NOW, "--svix"], &svix, b"{}").code, Some(0));
}

#[test]
fn a_body_that_was_changed_is_invalid() {
    let headers = sign(SECRET, b"{}");
    let ran = verify(&["--secret", SECRET, "--now", NOW], &headers, b"{ }");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("invalid: none of 1 signatures fits"), "{ran:?}");
    assert!(!ran.err.contains("cause"), "{ran:?}");
}

#[test]
fn the_cause_is_named() {
    let body = br#"{"b":1,"a":[1,2]}"#;
    let headers = sign(SECRET, body);
    let secret: &[&str] = &["--secret", SECRET];
    let cases: [(&[&str], &[u8], &str); 6] = [
        (&["--now", NOW], b"{\"b\":1,\"a\":[1,2]}\n", "a line break at its end that was not signed"),
        (&["--now", NOW], b"{\"b\": 1, \"a\": [1, 2]}", "the JSON was parsed and written again"),
        (&["--now", "1700004000"], body, "the timestamp is 4000 s behind this receiver's clock"),
        (&["--now", "1699990000"], body, "the timestamp is 10000 s ahead of this receiver's clock"),
        (&["--now", NOW], b"something else", "none of the usual ones fits"),
        (&["--now", "1700004000"], b"{\"b\":1,\"a\":[1,2]}\n", "a line break at its end that was not signed"),
    ];
    for (options, body, cause) in cases {
        let ran = verify(&[secret, &["--explain"], options].concat(), &headers, body);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(&format!("cause: {cause}")) || ran.err.contains(cause), "{cause}: {ran:?}");
    }
}

#[test]
fn another_key_and_another_reading_of_a_secret_are_named() {
    let headers = sign(OTHER, b"{}");
    let ran = verify(&["--secret", SECRET, "--now", NOW, "--explain", "--also", OTHER], &headers, b"{}");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("made with another key, key_") && ran.err.contains("secret number 2"), "{ran:?}");

    // The sender took the text for the key: the same as signing with the text's bytes.
    let text_as_key = "whsec_TWZLUTlyOEdLWXFyVHdqVVBEOElMUFpJbzJMYUxhU3c=";
    let headers = sign(text_as_key, b"{}");
    let ran = verify(&["--secret", SECRET, "--now", NOW, "--explain"], &headers, b"{}");
    assert!(ran.err.contains("read secret number 1 as text without its prefix"), "{ran:?}");

    // A secret in the URL-safe alphabet cannot be used, but it can be explained.
    let standard = "whsec_+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/";
    let url_safe = standard.replace('+', "-").replace("/", "_").replacen("whsec-", "whsec_", 1);
    let headers = sign(standard, b"{}");
    let refused = verify(&["--secret", &url_safe, "--now", NOW], &headers, b"{}");
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("URL-safe base64"), "{refused:?}");
    let ran = verify(&["--secret", &url_safe, "--now", NOW, "--explain"], &headers, b"{}");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("as URL-safe base64"), "{ran:?}");
}

#[test]
fn wrong_usage_is_2_and_quotes_no_secret() {
    for (secret, what) in [
        ("whsec_AAAA", "at least 24 are needed"),
        ("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with a signature version"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-", "URL-safe base64"),
        ("", "the secret is empty"),
    ] {
        let ran = run(&["sign", "--secret", secret], b"");
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.starts_with("error: --secret: ") && ran.err.contains(what), "{ran:?}");
        assert!(!ran.err.contains("MfKQ9r8G"), "{ran:?}");
    }
    for args in [
        &["sign", "--secret", SECRET, "--id", "a.b"][..],
        &["sign", "--secret", SECRET, "--timestamp", "-1"],
        &["sign"],
        &["verify", "--secret", SECRET],
        &["verify", "--secret", SECRET, "-H", "nonsense"],
        &["nonsense"],
    ] {
        assert_eq!(run(args, b"").code, Some(2), "{args:?}");
    }
}

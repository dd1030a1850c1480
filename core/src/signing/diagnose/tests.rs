use super::*;
use crate::signing::standard::sign;
use alloc::format;
use alloc::string::{String, ToString};

const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW: u64 = 1_700_000_000;

fn key(text: &str) -> SigningKey {
    SigningKey::from(Secret::parse(text).unwrap())
}

fn raw_key(bytes: &[u8]) -> SigningKey {
    SigningKey::from(Secret::from_bytes_any_size(bytes).unwrap())
}

/// What is found when `signed` was signed with `key` at `stamp`, and `body` arrives with the header `timestamp`.
fn found(key: &SigningKey, stamp: u64, signed: &[u8], timestamp: u64, body: &[u8], secrets: &[&str]) -> Vec<Cause> {
    let headers = [
        ("webhook-id", "msg_1".to_string()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", sign([key], "msg_1", stamp, signed)),
    ];
    let verifier = Verifier::new([&Secret::parse(TEXT).unwrap()]).unwrap();
    let now = UnixTime::from_secs(NOW);
    let error = verifier.verify(&headers, body, now).expect_err("only refusals are explained");
    diagnose(&verifier, secrets, &headers, body, now, &error)
}

fn body_cause(signed: &str, body: &str) -> Vec<Cause> {
    found(&key(TEXT), NOW, signed.as_bytes(), NOW, body.as_bytes(), &[TEXT])
}

#[test]
fn line_breaks() {
    assert_eq!(body_cause("{}", "{}\n"), [Cause::FinalNewlineAdded]);
    assert_eq!(body_cause("{}", "{}\r\n"), [Cause::FinalNewlineAdded]);
    assert_eq!(body_cause("{}\n", "{}"), [Cause::FinalNewlineLost]);
    assert_eq!(body_cause("{}\r\n", "{}"), [Cause::FinalNewlineLost]);
    assert_eq!(body_cause("a\nb\nc", "a\r\nb\r\nc"), [Cause::LfBecameCrLf]);
    assert_eq!(body_cause("a\r\nb\r\nc", "a\nb\nc"), [Cause::CrLfBecameLf]);
}

#[test]
fn json_written_again() {
    let rewritten = |layout, sorted, strings| [Cause::Reserialised { layout, sorted, strings }];
    let minified = "{\"b\":\"\u{e9}\",\"a\":[1,2.0]}";
    let indented = "{\n  \"b\": \"\u{e9}\",\n  \"a\": [\n    1,\n    2.0\n  ]\n}";
    let python = "{\"b\": \"\\u00e9\", \"a\": [1, 2.0]}";
    let sorted = "{\"a\":[1,2.0],\"b\":\"\u{e9}\"}";
    assert_eq!(body_cause(minified, indented), rewritten(Layout::Minified, false, Strings::Same));
    assert_eq!(body_cause(indented, minified), rewritten(Layout::Indented, false, Strings::Same));
    assert_eq!(body_cause(python, minified), rewritten(Layout::Spaced, false, Strings::Ascii));
    assert_eq!(body_cause(minified, python), rewritten(Layout::Minified, false, Strings::Plain));
    assert_eq!(body_cause(sorted, minified), rewritten(Layout::Minified, true, Strings::Same));
}

#[test]
fn the_secret_read_in_another_way() {
    let cause = |key: &SigningKey, text: &str| found(key, NOW, b"{}", NOW, b"{}", &[OTHER, text]);
    let read = |reading| [Cause::SecretRead { secret: 1, reading }];
    let bare = TEXT.strip_prefix("whsec_").unwrap();
    assert_eq!(cause(&raw_key(bare.as_bytes()), TEXT), read(Reading::Text));
    assert_eq!(cause(&raw_key(TEXT.as_bytes()), TEXT), read(Reading::TextWithPrefix));
    assert_eq!(cause(&raw_key(&[0xfb; 24]), "whsec_-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7"), read(Reading::UrlSafe));
    assert_eq!(cause(&raw_key(&[0xab; 24]), &"ab".repeat(24)), read(Reading::Hex));
    assert_eq!(cause(&raw_key(&[0; 25]), &format!("whsec_{}", "A".repeat(34))), read(Reading::Unpadded));
}

#[test]
fn another_key() {
    let other = Cause::AnotherKey { secret: 1, key: key(OTHER).id() };
    assert_eq!(found(&key(OTHER), NOW, b"{}", NOW, b"{}", &[TEXT, OTHER]), [other]);
    assert_eq!(found(&key(OTHER), NOW, b"{}", NOW, b"{}", &[TEXT, &format!("v1,{OTHER}")]), [other]);
    let trimmed = Cause::KeyRead { secret: 1, reading: Reading::Trimmed };
    assert_eq!(found(&key(OTHER), NOW, b"{}", NOW, b"{}", &[TEXT, &format!("{OTHER}\n")]), [trimmed]);
    assert_eq!(found(&key(OTHER), NOW, b"{}", NOW, b"{}\n", &[TEXT, OTHER]), [other, Cause::FinalNewlineAdded]);
}

#[test]
fn time() {
    let off = |secs, ahead| Cause::ClockOff { by: Duration::from_secs(secs), ahead };
    let at = |stamp, timestamp| found(&key(TEXT), stamp, b"{}", timestamp, b"{}", &[TEXT]);
    assert_eq!(at(NOW - 301, NOW - 301), [off(301, false)]);
    assert_eq!(at(NOW + 7200, NOW + 7200), [off(7200, true)]);
    assert_eq!(at(NOW * 1000 + 5, NOW * 1000 + 5), [Cause::Milliseconds]);
    assert_eq!(at(NOW, NOW * 1000 + 5), [Cause::Milliseconds], "signed in seconds, sent in milliseconds");
    let stale = (NOW - 1000) * 1000;
    assert_eq!(at(stale, stale), [Cause::Milliseconds, off(1000, false)]);
    assert_eq!(at(1, NOW * 1000), [Cause::Milliseconds], "plain to see even where nothing fits");
    assert_eq!(at(1, 2), [], "a clock is not blamed for a timestamp that was not signed");
}

#[test]
fn header_names() {
    let headers = [("svix-id", "a"), ("svix-timestamp", "1"), ("svix-signature", "v1,")];
    let verifier = Verifier::new([&Secret::parse(TEXT).unwrap()]).unwrap();
    let error = verifier.verify(&headers, b"", UnixTime::EPOCH).unwrap_err();
    assert_eq!(diagnose(&verifier, &[], &headers, b"", UnixTime::EPOCH, &error), [Cause::SvixNames]);
}

#[test]
fn the_search_is_bounded_and_says_nothing_secret() {
    let own: Vec<Secret> = (0..10).map(|n| Secret::from_bytes([n; 24]).unwrap()).collect();
    let texts: Vec<String> = (10..30).map(|n| Secret::from_bytes([n; 25]).unwrap().reveal()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let verifier = Verifier::new(&own).unwrap();
    let signature = sign([&key(TEXT)], "a", 0, b"");
    let claim =
        Claim { id: "a", timestamp: b"1700000000000", secs: 1_700_000_000_000, signatures: signature.as_bytes() };
    let listed = Listed::read(claim.signatures);
    let mut search = Search { claim: &claim, listed: &listed, tries: 0 };
    let body = "{\"b\": \"\\u00e9\u{e9}\",\r\n\"a\":\n1}\n";
    assert_eq!(search.run(&Candidates::new(&verifier, &texts), body.as_bytes()), None);
    assert!((500..=MAX_TRIES).contains(&search.tries), "{} of {MAX_TRIES}", search.tries);

    for cause in [body_cause("{}", "{}\n"), found(&raw_key(TEXT.as_bytes()), NOW, b"", NOW, b"", &[TEXT])].concat() {
        let said = format!("{cause} {cause:?}");
        assert!(!said.contains("MfKQ"), "{said}");
    }
}

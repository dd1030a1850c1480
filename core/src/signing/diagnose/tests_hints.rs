//! Each cause is found in each scheme to which it applies.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::signing::tests_schemes::{NOW, URL, pairs, texts};
use crate::signing::{Extent, Received, Signed, Signer, Unsigned, Verifier, keys::Text, keys::from_hex};

/// JSON that every scheme of the whole body signs.
const BODY: &str = "{\"webhookTimestamp\":1700000000123,\"b\":\"\u{e9}\",\n\"a\":[1,2]}";

/// A key of another owner, as a scheme writes it.
fn other(scheme: Scheme) -> String {
    match scheme {
        Scheme::Standard | Scheme::MessageSignatures => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into(),
        Scheme::Discord => "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c".into(),
        Scheme::AdyenHeader | Scheme::AdyenNotification => "00ff".repeat(16),
        Scheme::Braintree => "public:another".into(),
        _ => "another".into(),
    }
}

fn body(scheme: Scheme) -> String {
    match scheme {
        Scheme::AdyenNotification => {
            r#"{"notificationItems":[{"NotificationRequestItem":{"amount":{"value":1},"pspReference":"7"}}]}"#.into()
        }
        _ => BODY.into(),
    }
}

fn sign_at(signer: &Signer, at: UnixTime, body: &str) -> Signed {
    let headers = [("content-type", "application/json"), ("host", "example.com")];
    let request = Unsigned { method: "POST", url: URL, id: Some("msg_1"), headers: &headers, body: body.as_bytes() };
    signer.sign(&request, at).unwrap()
}

fn sign(signer: &Signer) -> Signed {
    sign_at(signer, UnixTime::from_millis(NOW * 1000 + 123), &body(signer.scheme()))
}

/// What is found; nothing where the request is accepted.
fn found(verifier: &Verifier, signed: &Signed, secrets: &[&str], now: u64) -> Vec<Cause> {
    let received = Received { method: "POST", url: &signed.url, headers: &signed.headers, body: &signed.body };
    let now = UnixTime::from_secs(now);
    match verifier.verify(&received, now) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let causes = error.hints(verifier, &received, secrets, now);
            for cause in &causes {
                let said = format!("{cause} {cause:?}");
                assert!(!said.contains("some secret") && !said.contains("MfKQ") && !said.contains("9d61"), "{said}");
            }
            causes
        }
    }
}

/// Every scheme that signs the whole body.
fn whole() -> impl Iterator<Item = (Signer, Verifier)> {
    let whole = |scheme: Scheme| scheme == Scheme::Custom || scheme.facts().body == Extent::Whole;
    pairs().into_iter().filter(move |(signer, _)| whole(signer.scheme()))
}

#[test]
fn what_became_of_the_body() {
    let crlf = BODY.replace('\n', "\r\n");
    let again = Cause::Reserialised { layout: Layout::Minified, sorted: false, strings: Strings::Same };
    let minified = BODY.replace('\n', "");
    let cases = [
        (BODY, format!("{BODY}\n"), Cause::FinalNewlineAdded),
        (&format!("{BODY}\n"), BODY.into(), Cause::FinalNewlineLost),
        (&format!("{BODY}\r\n"), BODY.into(), Cause::FinalNewlineLost),
        (BODY, crlf.clone(), Cause::LfBecameCrLf),
        (&crlf, BODY.into(), Cause::CrLfBecameLf),
        (BODY, format!("\u{feff}{BODY}"), Cause::BomAdded),
        (&format!("\u{feff}{BODY}"), BODY.into(), Cause::BomLost),
        (&minified, minified.replace(':', ": "), again),
    ];
    let mut count = 0;
    for (signer, verifier) in whole() {
        for (signed, arrived, cause) in &cases {
            // Linear's time is in the body, where a byte order mark hides it from whoever reads JSON.
            if (signer.scheme(), *cause) == (Scheme::Linear, Cause::BomLost) {
                continue;
            }
            let mut signed = sign_at(&signer, UnixTime::from_millis(NOW * 1000 + 123), signed);
            signed.body = arrived.clone().into_bytes();
            assert_eq!(found(&verifier, &signed, &[], NOW), [*cause], "{}", signer.scheme());
            count += 1;
        }
    }
    assert!(count > 180, "{count}");
}

#[test]
fn what_is_wrong_with_the_time() {
    let off = |secs, ahead| Cause::ClockOff { by: Duration::from_secs(secs), ahead };
    let mut count = 0;
    for (signer, verifier) in pairs() {
        let scheme = signer.scheme();
        if scheme != Scheme::Custom && scheme.facts().tolerance.is_none() {
            continue;
        }
        count += 1;
        let right = sign(&signer);
        assert_eq!(found(&verifier, &right, &[], NOW + 4000), [off(4000, false)], "{scheme}");
        assert_eq!(found(&verifier, &right, &[], NOW - 4000), [off(4000, true)], "{scheme}");
        let millis = verifier.row().is_some_and(|row| hints::in_millis(&row));
        let (at, unit) = match millis {
            true => (UnixTime::from_millis(NOW), Cause::Seconds),
            false => (UnixTime::from_secs(NOW * 1000 + 5), Cause::Milliseconds),
        };
        let wrong = sign_at(&signer, at, &BODY.replace("1700000000123", "1700000000"));
        assert_eq!(found(&verifier, &wrong, &[], NOW), [unit], "{scheme}");
        if !millis {
            assert_eq!(found(&verifier, &wrong, &[], NOW + 900), [unit, off(900, false)], "{scheme}");
        }
        // Signed in seconds, sent in milliseconds.
        let (short, long) = (format!("{NOW}"), format!("{NOW}005"));
        let mut sent = right.clone();
        sent.headers.iter_mut().for_each(|(_, value)| *value = value.replace(&short, &long));
        let other_text = millis || matches!(scheme, Scheme::Mailgun | Scheme::MessageSignatures | Scheme::Standard);
        if !other_text {
            assert_eq!(found(&verifier, &sent, &[], NOW), [Cause::Milliseconds], "{scheme}");
        }
    }
    assert!(count >= 9, "{count}");
}

#[test]
fn headers_under_other_names() {
    let mut count = 0;
    for (signer, verifier) in pairs() {
        let right = sign(&signer);
        let rename = |form: NameForm| {
            let mut signed = right.clone();
            for (name, _) in &mut signed.headers {
                *name = match form {
                    NameForm::Underscores => name.replace('-', "_"),
                    NameForm::Cgi => format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_")),
                    NameForm::NoX => name.strip_prefix("x-").unwrap_or(name).into(),
                    NameForm::X if name.starts_with("x-") => name.clone(),
                    NameForm::X => format!("X-{name}"),
                };
            }
            signed
        };
        for form in NameForm::ALL {
            let signed = rename(form);
            let received = Received { method: "POST", url: URL, headers: &signed.headers, body: &signed.body };
            let error = verifier.verify(&received, UnixTime::from_secs(NOW));
            if let Err(VerifyError::Missing { .. }) = error {
                let found = found(&verifier, &signed, &[], NOW);
                assert_eq!(found, [Cause::HeaderNames { form }], "{}", signer.scheme());
                count += 1;
            }
        }
        // Together with something else.
        let mut signed = rename(NameForm::Cgi);
        signed.body.push(b'\n');
        let found = found(&verifier, &signed, &[], NOW);
        if found.first() == Some(&Cause::HeaderNames { form: NameForm::Cgi })
            && signer.scheme().facts().body == Extent::Whole
        {
            assert_eq!(found[1..], [Cause::FinalNewlineAdded], "{}", signer.scheme());
        }
    }
    assert!(count > 60, "{count}");
}

/// What is found when a request is signed with one key, and the secret is given as this text.
fn of_secret(scheme: Scheme, signing: &str, given: &str) -> Vec<Cause> {
    let signed = sign(&Signer::new(scheme, signing).unwrap());
    let verifier = Verifier::new(scheme, [other(scheme)]).unwrap();
    found(&verifier, &signed, &["nothing", given], NOW)
}

#[test]
fn secrets_read_in_other_ways() {
    let read = |reading| [Cause::KeyRead { secret: 1, reading }];
    let mut count = 0;
    for (signer, _) in pairs().into_iter().filter(|(signer, _)| signer.scheme() != Scheme::Custom) {
        let scheme = signer.scheme();
        let (signing, verifying) = texts(scheme);
        assert_eq!(of_secret(scheme, signing, &format!(" {verifying}\n")), read(Reading::Trimmed), "{scheme}");
        let found = of_secret(scheme, signing, verifying);
        assert!(matches!(found[..], [Cause::AnotherKey { secret: 1, .. }]), "{scheme}: {found:?}");
        count += 1;
        if signing != "whsec_some secret" {
            continue;
        }
        let (plain, prefixed) = ("some secret", signing);
        for (signing, given, reading) in [
            (plain, prefixed, Reading::Text),
            (prefixed, plain, Reading::WithPrefix),
            ("some secret\n", plain, Reading::WithNewline),
            (plain, &STANDARD.encode(plain), Reading::Base64),
            (plain, &format!("whsec_{}", STANDARD.encode(plain)), Reading::Base64),
            (plain, &Text::Hex.encode(plain.as_bytes()), Reading::Hex),
            (plain, STANDARD.encode(plain).trim_end_matches('='), Reading::Unpadded),
            ("~~~some secret?>?", "fn5-c29tZSBzZWNyZXQ_Pj8", Reading::UrlSafe),
        ] {
            assert_eq!(of_secret(scheme, signing, given), read(reading), "{scheme}");
        }
    }
    assert!(count >= 26, "{count}");
}

#[test]
fn keys_that_are_no_text_read_as_such() {
    let read = |reading| [Cause::KeyRead { secret: 1, reading }];
    let hex = "9d61b19deffd5a60ba844af492ec2cc4";
    for scheme in [Scheme::AdyenHeader, Scheme::AdyenNotification] {
        let found = |signing: &str, given: &str| of_secret(scheme, signing, given);
        assert_eq!(found(&Text::Hex.encode(hex.as_bytes()), hex), read(Reading::AsIs));
        assert_eq!(found(hex, &STANDARD.encode(&*from_hex(hex).unwrap())), read(Reading::Base64));
    }
    let shared = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let of_text = |text: &str| format!("whsec_{}", STANDARD.encode(text));
    let message = |signing: &str| of_secret(Scheme::MessageSignatures, signing, shared);
    assert_eq!(message(&of_text(shared)), read(Reading::TextWithPrefix));
    assert_eq!(message(&of_text(&shared[6..])), read(Reading::Text));
    let braintree = |signing: &str, given: &str| of_secret(Scheme::Braintree, signing, given);
    assert_eq!(braintree("public:private", "private:public"), read(Reading::Swapped));
    assert_eq!(braintree("public:private", "public: private"), read(Reading::Trimmed));
    assert_eq!(braintree("public:private\n", "public:private"), read(Reading::WithNewline));
    #[cfg(feature = "ed25519")]
    {
        let (signing, verifying) = texts(Scheme::Discord);
        let base64 = STANDARD.encode(&*from_hex(verifying).unwrap());
        assert_eq!(of_secret(Scheme::Discord, signing, &base64), read(Reading::Base64));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{verifying}\n-----END PUBLIC KEY-----\n");
        assert_eq!(of_secret(Scheme::Discord, signing, &pem), read(Reading::Pem));
    }
}

#[test]
fn urls_that_are_not_the_senders() {
    let cases: [(&str, &[UrlForm]); 9] = [
        ("http://example.com/hook?a=1", &[UrlForm::Https]),
        ("https://example.com/hook/?a=1", &[UrlForm::NoSlash]),
        ("https://example.com:3000/hook?a=1", &[UrlForm::NoPort]),
        ("https://localhost/hook?a=1", &[UrlForm::Host]),
        ("http://localhost:3000/hook?a=1", &[UrlForm::Https, UrlForm::Host]),
        ("http://10.0.0.1/hook/?a=1", &[UrlForm::Https, UrlForm::Host, UrlForm::NoSlash]),
        ("http://example.com:80/hook?a=1", &[UrlForm::Https, UrlForm::NoPort]),
        ("https://example.com/another?a=1", &[]),
        ("example.com/hook?a=1", &[]),
    ];
    let mut count = 0;
    for (signer, verifier) in pairs() {
        let scheme = signer.scheme();
        if !scheme.signs_url() && scheme != Scheme::Custom {
            continue;
        }
        let right = sign(&signer);
        let (_, query) = right.url.split_once('?').unwrap();
        for (url, forms) in cases {
            // Twilio signs with or without a port.
            let forms = forms.iter().filter(|form| (scheme, **form) != (Scheme::Twilio, UrlForm::NoPort));
            let wanted: Vec<_> = forms.map(|form| Cause::WrongUrl { form: *form }).collect();
            let url = url.replace("a=1", query);
            let found = found(&verifier, &Signed { url: url.clone(), ..right.clone() }, &[], NOW);
            assert_eq!(found, wanted, "{scheme}: {url}");
        }
        count += 1;
    }
    assert!(count >= 4, "{count}");

    let verifier = Verifier::twilio(["whsec_some secret"]).unwrap();
    let signed = sign(&Signer::new(Scheme::Twilio, "whsec_some secret").unwrap());
    let lost = Signed { url: URL.into(), ..signed };
    assert_eq!(found(&verifier, &lost, &[], NOW), [Cause::WrongUrl { form: UrlForm::DigestQuery }]);

    let square = Signer::new(Scheme::Square, "k").unwrap();
    let at = |url: &str, told: &str, extra: &[(&str, &str)]| {
        let request = Unsigned { method: "POST", url, id: None, headers: extra, body: b"{}" };
        let signed = square.sign(&request, UnixTime::from_secs(NOW)).unwrap();
        found(&Verifier::square(["k"]).unwrap(), &Signed { url: told.into(), ..signed }, &[], NOW)
    };
    let wrong = |form| [Cause::WrongUrl { form }];
    assert_eq!(at("https://a.example/x", "https://a.example/x?b=1", &[]), wrong(UrlForm::NoQuery));
    assert_eq!(at("https://a.example/x/", "https://a.example/x", &[]), wrong(UrlForm::Slash));
    assert_eq!(at("http://a.example/x", "https://a.example/x", &[]), wrong(UrlForm::Http));
    assert_eq!(at("https://a.example:443/x", "https://a.example/x", &[]), wrong(UrlForm::UsualPort));
    let forwarded = [("X-Forwarded-Host", "b.example"), ("host", "backend:1")];
    assert_eq!(at("https://b.example/x", "https://backend:1/x", &forwarded), wrong(UrlForm::ForwardedHost));
}

#[test]
fn requests_of_other_schemes() {
    let mut count = 0;
    for (signer, _) in pairs().iter().filter(|(signer, _)| signer.scheme() != Scheme::Custom) {
        let signed = sign(signer);
        let (_, text) = texts(signer.scheme());
        for (_, verifier) in pairs().iter().filter(|(_, verifier)| verifier.scheme() != signer.scheme()) {
            let received = Received { method: "POST", url: &signed.url, headers: &signed.headers, body: &signed.body };
            if verifier.verify(&received, UnixTime::from_secs(NOW)).is_ok() {
                continue;
            }
            let wanted = [Cause::OtherScheme { scheme: signer.scheme() }];
            for secrets in [&[][..], &[text]] {
                let found = found(verifier, &signed, secrets, NOW);
                assert_eq!(found, wanted, "verified as {}", verifier.scheme());
            }
            count += 1;
        }
    }
    assert!(count > 600, "{count}");
}

/// A request that nothing explains costs no more than is promised, and nothing is blamed for it.
#[test]
fn nothing_is_blamed_in_vain() {
    for (signer, verifier) in pairs() {
        let mut signed = sign(&signer);
        if signer.scheme().facts().body != Extent::Whole {
            continue;
        }
        signed.body = b"{\"webhookTimestamp\":1700000000123,\"quite\":\"different\"}".to_vec();
        let secrets = [" whsec_a b\n", "zz", "00ff", "x"];
        assert_eq!(found(&verifier, &signed, &secrets, NOW), [], "{}", signer.scheme());
    }
}

use super::super::url::{HostFault, NameFault};
use super::super::{Class, classify};
use super::*;
use alloc::format;
use alloc::vec::Vec;
use proptest::prelude::*;
use serde_json::Value;

fn strict(url: &str) -> Result<Target, UrlError> {
    Target::parse(url, &Policy::default())
}

fn fault(url: &str) -> NameFault {
    match strict(url) {
        Err(UrlError::Name { fault, .. }) => fault,
        other => panic!("{url}: {other:?}"),
    }
}

/// The host in canonical form, which a refusal of the host names too.
fn canonical_host(result: &Result<Target, UrlError>) -> Option<String> {
    match result {
        Ok(target) => Some(match target.host() {
            Host::Domain(name) => name.into(),
            Host::Ip(ip) => ip.to_string(),
        }),
        Err(UrlError::Numeric { ip } | UrlError::Address { ip, .. }) => Some(ip.to_string()),
        Err(UrlError::Name { name, .. }) => Some(name.to_string()),
        Err(_) => None,
    }
}

#[test]
fn the_vectors_hold() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/vectors/urls_ssrf.json")).unwrap();
    let mut run = 0;
    for case in cases.iter().filter(|case| case["input"]["op"] == "check_url") {
        let url = case["input"]["url"].as_str().unwrap();
        let result = strict(url);
        let holds = |expected: &Value| {
            expected["verdict"] == if result.is_ok() { "allow" } else { "reject" }
                && expected["canonical_host"]
                    .as_str()
                    .is_none_or(|host| canonical_host(&result).as_deref() == Some(host))
        };
        let others = case["also_ok"].as_array().into_iter().flatten();
        assert!(core::iter::once(&case["expected"]).chain(others).any(holds), "{} {url:?}: {result:?}", case["id"]);
        run += 1;
    }
    assert!(run > 80, "only {run} cases were found");
}

#[test]
fn a_target_is_taken_apart() {
    let target = strict("HTTPS://Hooks.Example.COM:8443/a/../b c?token=t".replace(' ', "%20").as_str()).unwrap();
    assert_eq!(target.as_str(), "https://hooks.example.com:8443/b%20c?token=t");
    assert_eq!(target.host(), Host::Domain("hooks.example.com"));
    assert_eq!((target.server_name(), target.port()), ("hooks.example.com", 8443));
    assert_eq!((target.authority(), target.path_and_query()), ("hooks.example.com:8443", "/b%20c?token=t"));
    assert!(target.is_https());
    assert_eq!(
        format!("{target} {target:?}"),
        "https://hooks.example.com:8443/b%20c?.. \
        Target(https://hooks.example.com:8443/b%20c?..)"
    );

    let target = strict("https://[2606:4700:4700:0::1111]:443").unwrap();
    assert_eq!(target.host(), Host::Ip("2606:4700:4700::1111".parse().unwrap()));
    assert_eq!((target.server_name(), target.authority()), ("2606:4700:4700::1111", "[2606:4700:4700::1111]"));
    assert_eq!(
        (target.port(), target.path_and_query(), target.as_str()),
        (443, "/", "https://[2606:4700:4700::1111]/")
    );

    let target = strict("https://example.com.?x=1").unwrap();
    assert_eq!((target.server_name(), target.authority()), ("example.com", "example.com."));
    assert_eq!(target.path_and_query(), "/?x=1");

    let plain = Target::parse("http://127.0.0.1:80/", &Policy::development()).unwrap();
    assert_eq!((plain.is_https(), plain.port(), plain.authority()), (false, 80, "127.0.0.1"));
}

#[test]
fn permissions_open_what_they_name() {
    let dev = Policy::development();
    for url in [
        "http://localhost:8080/",
        "http://api.localhost/",
        "http://[::1]/",
        "http://127.8.9.1/",
        "http://a.com/",
        "https://intranet/",
        "https://db.internal./",
    ] {
        assert!(Target::parse(url, &dev).is_ok(), "{url}");
        assert!(strict(url).is_err(), "{url}");
    }
    for url in ["http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "http://0.0.0.0/"] {
        assert!(matches!(Target::parse(url, &dev), Err(UrlError::Address { .. })), "{url}");
    }
    let ip = "127.0.0.1".parse().unwrap();
    assert_eq!(Target::parse("http://127.1/", &dev), Err(UrlError::Numeric { ip }));
    assert_eq!(Target::parse("http://0x7f.0.0.1/", &dev), Err(UrlError::Numeric { ip }));
    let http = Policy::default().allow_http();
    assert!(Target::parse("http://example.com/", &http).is_ok());
    assert_eq!(Target::parse("http://localhost/", &http).unwrap_err(), strict("https://localhost/").unwrap_err());
}

#[test]
fn a_refusal_says_what_would_be_right() {
    for (url, text) in [
        (
            "http://example.com/",
            "http is not allowed here; use https, or allow http for this sender (`--allow-http`, \
            `Policy::development()`)",
        ),
        (
            "https://127.0.0.1/",
            "127.0.0.1 is loopback (127.0.0.0/8, RFC 1122), not a public address; allow it with \
            `--allow 127.0.0.0/8`, or use `Policy::development()` in tests",
        ),
        (
            "https://[::ffff:8.8.8.8]/",
            "::ffff:8.8.8.8 is IPv4-mapped (::ffff:0.0.0.0/96, RFC 4291), not a public \
            address; it carries an IPv4 address and is never dialled, so use the IPv4 address itself",
        ),
        (
            "https://localhost/",
            "the host name \"localhost\" is reserved for loopback; allow it with `--allow 127.0.0.0/8` \
            and `--allow ::1`, or use `Policy::development()` in tests",
        ),
        (
            "https://db.internal/",
            "the host name \"db.internal\" is reserved for a special use (\"internal\"); use a public \
            name, or allow the networks that it leads to (`--allow CIDR`, `Policy::allow`)",
        ),
        ("https://134744072/", "the URL's host is another spelling of the address 8.8.8.8; write it as 8.8.8.8"),
        ("https://example.com/a b", "the URL has a space (' ') at byte 21; percent-encode it or leave it out"),
        ("ftp://example.com/", "webhooks are not sent over \"ftp\"; the URL must begin with https://"),
    ] {
        assert_eq!(strict(url).unwrap_err().to_string(), text, "{url}");
    }
}

#[test]
fn each_rule_has_its_own_refusal() {
    for (url, error) in [
        ("", UrlError::Empty),
        ("example.com/hook", UrlError::NoScheme),
        ("//example.com/hook", UrlError::NoScheme),
        ("://example.com", UrlError::NoScheme),
        ("1https://example.com", UrlError::NoScheme),
        ("javascript:alert(1)", UrlError::Scheme { scheme: "javascript".into() }),
        ("localhost:8080/hook", UrlError::Scheme { scheme: "localhost".into() }),
        ("https:example.com", UrlError::Slashes),
        ("https:/example.com", UrlError::Slashes),
        ("https:///example.com", UrlError::NoHost),
        ("https://?x", UrlError::NoHost),
        ("https://:443/", UrlError::NoHost),
        ("https:\\\\example.com", UrlError::Backslash { at: 6 }),
        ("https://example.com\\@10.0.0.1/", UrlError::Backslash { at: 19 }),
        ("https://exam\tple.com/", UrlError::Character { at: 12, character: '\t' }),
        ("https://example.com/\u{85}", UrlError::Character { at: 20, character: '\u{85}' }),
        ("https://u:canary@example.com/", UrlError::UserInfo),
        ("https://@example.com/", UrlError::UserInfo),
        ("https://example.com/#", UrlError::Fragment),
        ("https://example.com#@x", UrlError::Fragment),
        ("https://256.1.1.1/", UrlError::Host { fault: HostFault::Ipv4 }),
        ("https://[fe80::1%25eth0]/", UrlError::Host { fault: HostFault::Ipv6 }),
        ("https://[::1/", UrlError::Host { fault: HostFault::Ipv6 }),
        ("https://a<b.com/", UrlError::Host { fault: HostFault::Domain }),
        ("https://example.com\u{ff0f}.evil.com/", UrlError::Host { fault: HostFault::Domain }),
        ("https://example.com:0/", UrlError::PortZero),
        ("https://example.com:65536/", UrlError::Port),
        ("https://example.com:x/", UrlError::Port),
    ] {
        assert_eq!(strict(url), Err(error), "{url:?}");
    }
    assert_eq!(fault("https://metadata./"), NameFault::SingleLabel);
    assert_eq!(fault("https://a..example.com/"), NameFault::EmptyLabel);
    assert_eq!(fault("https://.example.com/"), NameFault::EmptyLabel);
    assert_eq!(fault("https://example.com../"), NameFault::EmptyLabel);
    assert_eq!(fault("https://exa!mple.com/"), NameFault::Character { character: '!' });
    assert_eq!(fault("https://1.home.arpa/"), NameFault::SpecialUse { zone: "arpa" });
    assert_eq!(fault(&format!("https://{}.com/", "a".repeat(64))), NameFault::LabelTooLong { len: 64 });
    assert!(strict(&format!("https://{}.com/", "a".repeat(63))).is_ok());
    assert!(strict("https://my_hook-1.example.com/").is_ok());
}

#[test]
fn a_url_is_as_long_as_it_may_be() {
    let url = format!("https://example.com/{}", "a".repeat(limits::URL_BYTES - 20));
    assert!(strict(&url).is_ok());
    let too_long = UrlError::TooLong { len: limits::URL_BYTES + 1, max: limits::URL_BYTES };
    assert_eq!(strict(&format!("{url}a")), Err(too_long));
    // Percent-encoding triples it.
    let swells = format!("https://example.com/{}", "é".repeat(limits::URL_BYTES / 4));
    assert!(matches!(strict(&swells), Err(UrlError::TooLong { .. })));
}

#[test]
fn names_below_a_special_name_are_special_and_names_like_it_are_not() {
    for zone in ["localhost", "local", "internal", "home.arpa", "onion", "test", "example", "invalid", "alt"] {
        assert!(matches!(fault(&format!("https://a.{zone}/")), NameFault::SpecialUse { .. }), "{zone}");
        assert!(strict(&format!("https://{zone}.example.com/")).is_ok(), "{zone}");
        assert!(strict(&format!("https://not{zone}.com/")).is_ok(), "{zone}");
    }
}

/// URLs that are nearly right, so that the later rules are reached as well.
fn any_url() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "https?:/{0,3}[a-z0-9.:@%\\[\\]-]{0,20}[/?#\\\\]?.{0,12}",
        "https://[a-z0-9-]{1,8}\\.(com|test|example\\.org)(:[0-9]{1,5})?/[ -~]{0,20}",
        "https://[a-z]{1,5}\\.com/[!-~&&[^#\\\\]]{0,20}(\\?[!-~&&[^#\\\\]]{0,20})?",
        any::<u32>().prop_map(|ip| format!("https://{}/", core::net::Ipv4Addr::from(ip))),
        any::<u32>().prop_map(|ip| format!("https://{ip:#x}/")),
        any::<u128>().prop_map(|ip| format!("https://[{}]/", core::net::Ipv6Addr::from(ip))),
        any::<u128>().prop_map(|ip| format!("https://[{}]/", core::net::Ipv6Addr::from(ip >> 3 | 1 << 125))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn whatever_is_accepted_is_sound(text in any_url()) {
        let result = strict(&text);
        prop_assert!(result.as_ref().err().is_none_or(|error| !error.to_string().is_empty()));
        let Ok(target) = result else { return Ok(()) };
        if let Host::Ip(ip) = target.host() {
            prop_assert_eq!(classify(ip), Class::Public);
        }
        prop_assert!(target.is_https() && target.port() != 0 && target.as_str().len() <= limits::URL_BYTES);
        // It parses to itself, and its parts are those of the whole.
        prop_assert_eq!(strict(target.as_str()), Ok(target.clone()));
        prop_assert_eq!(format!("https://{}{}", target.authority(), target.path_and_query()), target.as_str());
        let url = ::url::Url::parse(target.as_str()).unwrap();
        prop_assert_eq!(url.port_or_known_default(), Some(target.port()));
        let host = url.host_str().unwrap();
        prop_assert_eq!(host.trim_matches(['[', ']']).trim_end_matches('.'), target.server_name());
        // HTTP clients see the same.
        prop_assert_eq!(target.uri().authority().map(http::uri::Authority::as_str), Some(target.authority()));
        prop_assert_eq!(target.uri().path_and_query().map(http::uri::PathAndQuery::as_str), Some(target.path_and_query()));
        prop_assert!(target.path_and_query().starts_with('/') && target.path_and_query().is_ascii());
    }

    /// Every path and query of visible characters can be sent: nothing is refused at the last step.
    #[test]
    fn every_visible_path_can_be_sent(rest in "[!-~&&[^#\\\\]]{0,60}") {
        prop_assert!(strict(&format!("https://example.com/{rest}")).is_ok(), "{}", rest);
    }

    #[test]
    fn development_accepts_all_that_the_default_accepts(text in any_url()) {
        if let Ok(target) = strict(&text) {
            prop_assert_eq!(Target::parse(&text, &Policy::development()), Ok(target));
        }
    }
}

use super::*;
use alloc::format;
use alloc::string::ToString;
use proptest::prelude::*;

fn target(url: &str, policy: &Policy) -> Target {
    Target::parse(url, policy).unwrap()
}

fn ips<const N: usize>(texts: [&str; N]) -> [IpAddr; N] {
    texts.map(|text| text.parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn block(text: &str) -> Block {
    match classify(ip(text)) {
        Class::NotPublic(block) => block,
        Class::Public => panic!("{text} is public"),
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_first_three_allowed_addresses_are_kept_in_order() {
    let policy = Policy::default();
    let target = target("https://example.com:8443/", &policy);
    let answers = ips(["10.0.0.1", "9.9.9.9", "9.9.9.9", "::1", "2606:4700::1", "8.8.8.8", "1.1.1.1"]);
    let vetted = policy.vet(&target, &answers).unwrap();
    assert_eq!(vetted.as_slice(), [addr("9.9.9.9:8443"), addr("[2606:4700::1]:8443"), addr("8.8.8.8:8443")]);
    assert_eq!(vetted.as_slice().len(), limits::ADDRESSES_TRIED);
    assert!(vetted.into_iter().all(|addr| policy.check(&target, *addr).is_ok()));
    assert!(!format!("{vetted:?}").contains("0.0.0.0"));
    assert!(format!("{:?}", policy.vet(&target, &answers[..2]).unwrap()).ends_with("Vetted([9.9.9.9:8443])"));
}

#[test]
fn when_none_is_allowed_the_first_is_named() {
    let policy = Policy::default();
    let target = target("https://example.com/", &policy);
    let error = policy.vet(&target, &ips(["169.254.169.254", "::1"])).unwrap_err();
    assert_eq!(error, AddressError::NotPublic { ip: ip("169.254.169.254"), block: block("169.254.169.254") });
    assert_eq!(
        error.to_string(),
        "169.254.169.254 is link local (169.254.0.0/16, RFC 3927), not a public address; use a public one, or allow \
         it (`--allow 169.254.169.254`, `Policy::allow`)"
    );
    assert_eq!(policy.vet(&target, &[]), Err(AddressError::NoAddress));
}

#[test]
fn every_address_of_a_special_name_must_be_listed() {
    let policy = Policy::development();
    let localhost = target("http://localhost:8080/", &policy);
    assert_eq!(policy.vet(&localhost, &ips(["::1", "127.0.0.1"])).unwrap().as_slice().len(), 2);
    for (answers, refused) in [(ips(["127.0.0.1", "8.8.8.8"]), "8.8.8.8"), (ips(["8.8.8.8", "127.0.0.1"]), "8.8.8.8")] {
        assert_eq!(policy.vet(&localhost, &answers), Err(AddressError::NotListed { ip: ip(refused) }));
    }
    let private = AddressError::NotPublic { ip: ip("10.0.0.1"), block: block("10.0.0.1") };
    assert_eq!(policy.vet(&localhost, &ips(["127.0.0.1", "10.0.0.1"])), Err(private));
    // An ordinary name may lead to listed and to public addresses, and the others are skipped.
    let ordinary = target("https://example.com/", &policy);
    let vetted = policy.vet(&ordinary, &ips(["127.0.0.1", "10.0.0.1", "8.8.8.8"])).unwrap();
    assert_eq!(vetted.as_slice(), [addr("127.0.0.1:443"), addr("8.8.8.8:443")]);
    // The list is taken away after the name was registered.
    let strict = Policy::default().allow_http();
    assert!(strict.vet(&localhost, &ips(["127.0.0.1"])).is_err());
    assert_eq!(strict.vet(&localhost, &ips(["8.8.8.8"])), Err(AddressError::NotListed { ip: ip("8.8.8.8") }));
}

#[test]
fn the_address_dialled_is_the_one_that_was_meant() {
    let policy = Policy::default();
    let name = target("https://example.com/", &policy);
    assert_eq!(policy.check(&name, addr("8.8.8.8:443")), Ok(()));
    assert_eq!(policy.check(&name, addr("8.8.8.8:22")), Err(AddressError::OtherPort { port: 22, expected: 443 }));
    assert!(matches!(policy.check(&name, addr("[::ffff:8.8.8.8]:443")), Err(AddressError::NotPublic { .. })));
    let scoped = SocketAddr::V6(core::net::SocketAddrV6::new("2606:4700::1".parse().unwrap(), 443, 0, 2));
    assert_eq!(policy.check(&name, scoped), Err(AddressError::Scoped { ip: ip("2606:4700::1") }));

    let literal = target("https://8.8.8.8/", &policy);
    assert_eq!(policy.check(&literal, addr("8.8.8.8:443")), Ok(()));
    let other = AddressError::OtherAddress { ip: ip("1.1.1.1"), literal: ip("8.8.8.8") };
    assert_eq!(policy.check(&literal, addr("1.1.1.1:443")), Err(other));
    assert_eq!(policy.vet(&literal, &ips(["1.1.1.1"])), Err(other));
}

#[test]
fn a_permission_that_was_taken_back_is_gone() {
    let loopback = target("http://127.0.0.1:9/", &Policy::development());
    assert_eq!(Policy::development().check(&loopback, addr("127.0.0.1:9")), Ok(()));
    assert_eq!(Policy::default().check(&loopback, addr("127.0.0.1:9")), Err(AddressError::Cleartext));
    let error = Policy::default().allow_http().check(&loopback, addr("127.0.0.1:9")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1 is loopback (127.0.0.0/8, RFC 1122), not a public address; allow it with `--allow 127.0.0.0/8`, \
         or use `Policy::development()` in tests"
    );
}

#[test]
fn the_list_is_bounded_and_never_reaches_into_ipv6_clothing() {
    let everything = Policy::default().allow("0.0.0.0/0".parse().unwrap()).unwrap().allow("::/0".parse().unwrap());
    let everything = everything.unwrap();
    let name = target("https://example.com/", &everything);
    for clothed in ["::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001:0:808:808::1"] {
        assert_eq!(
            everything.vet(&name, &ips([clothed])),
            Err(AddressError::NotPublic { ip: ip(clothed), block: block(clothed) })
        );
    }
    assert!(everything.vet(&name, &ips(["10.0.0.1", "fd00::1", "224.0.0.1"])).is_ok());
    for network in ["::ffff:10.0.0.0/104", "64:ff9b::/96", "2002::/16"] {
        let network = network.parse().unwrap();
        let error = Policy::default().allow(network).unwrap_err();
        assert_eq!(error, PolicyError::Embedding { network, block: block(&network.network().to_string()) });
    }

    let mut policy = Policy::default();
    for n in 0..Policy::MAX_NETWORKS {
        policy = policy.allow(format!("10.0.0.{n}").parse().unwrap()).unwrap();
    }
    assert_eq!(policy.clone().allow("10.0.0.0/32".parse().unwrap()), Ok(policy.clone()));
    assert_eq!(policy.allow("10.1.0.0/16".parse().unwrap()), Err(PolicyError::TooMany { max: 64 }));
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6((bits >> 3 | 1 << 125).into())),
        prop::sample::select(&["127.0.0.1", "::1", "10.0.0.1", "8.8.8.8", "2606:4700::1", "::ffff:1.1.1.1"][..])
            .prop_map(ip),
    ]
}

proptest! {
    /// What is vetted passes the check when it is dialled, under the default policy only public addresses do, and a
    /// policy that allows more refuses nothing that the default allows.
    #[test]
    fn vetting_and_checking_agree(answers in prop::collection::vec(any_ip(), 0..8)) {
        let policies = [Policy::default(), Policy::development()];
        let name = target("https://example.com/", &policies[0]);
        for policy in &policies {
            let allowed = answers.iter().filter(|ip| policy.check(&name, SocketAddr::new(**ip, 443)).is_ok()).count();
            match policy.vet(&name, &answers) {
                Ok(vetted) => {
                    let kept = vetted.as_slice();
                    prop_assert!(!kept.is_empty() && kept.len() <= allowed.min(limits::ADDRESSES_TRIED));
                    prop_assert!(kept.iter().all(|addr| policy.check(&name, *addr).is_ok()));
                    prop_assert!(kept.iter().all(|addr| answers.contains(&addr.ip())));
                }
                Err(error) => prop_assert!(allowed == 0, "{error}"),
            }
        }
        for ip in &answers {
            let addr = SocketAddr::new(*ip, 443);
            prop_assert_eq!(policies[0].check(&name, addr).is_ok(), classify(*ip).is_public());
            prop_assert!(policies[0].check(&name, addr).is_err() || policies[1].check(&name, addr).is_ok());
        }
    }
}

//! The match against a naive table: rows of text, the longest prefix wins.

use super::*;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::env;

/// Written down a second time, from the registries: a network, and whether it is public. The longest prefix decides.
const TABLE: &[(&str, bool)] = &[
    ("0.0.0.0/0", true),
    ("0.0.0.0/8", false),
    ("10.0.0.0/8", false),
    ("100.64.0.0/10", false),
    ("127.0.0.0/8", false),
    ("169.254.0.0/16", false),
    ("172.16.0.0/12", false),
    ("192.0.0.0/24", false),
    ("192.0.0.9/32", true),
    ("192.0.0.10/32", true),
    ("192.0.2.0/24", false),
    ("192.31.196.0/24", true),
    ("192.52.193.0/24", true),
    ("192.88.99.0/24", false),
    ("192.168.0.0/16", false),
    ("192.175.48.0/24", true),
    ("198.18.0.0/15", false),
    ("198.51.100.0/24", false),
    ("203.0.113.0/24", false),
    ("224.0.0.0/4", false),
    ("240.0.0.0/4", false),
    ("255.255.255.255/32", false),
    ("::/0", false),
    ("::/128", false),
    ("::1/128", false),
    ("::/96", false),
    ("::ffff:0:0/96", false),
    ("::ffff:0:0:0/96", false),
    ("64:ff9b::/96", false),
    ("64:ff9b:1::/48", false),
    ("100::/64", false),
    ("100:0:0:1::/64", false),
    ("2000::/3", true),
    ("2001::/23", false),
    ("2001::/32", false),
    ("2001:1::1/128", true),
    ("2001:1::2/128", true),
    ("2001:1::3/128", true),
    ("2001:2::/48", false),
    ("2001:3::/32", true),
    ("2001:4:112::/48", true),
    ("2001:10::/28", false),
    ("2001:20::/28", false),
    ("2001:30::/28", false),
    ("2001:db8::/32", false),
    ("2002::/16", false),
    ("2620:4f:8000::/48", true),
    ("3fff::/20", false),
    ("5f00::/16", false),
    ("fc00::/7", false),
    ("fe80::/10", false),
    ("fec0::/10", false),
    ("ff00::/8", false),
];

/// [`TABLE`], the longest prefixes first.
struct Naive(Vec<(Cidr, bool)>);

impl Naive {
    fn new() -> Self {
        let mut rows: Vec<(Cidr, bool)> = TABLE.iter().map(|(net, public)| (net.parse().unwrap(), *public)).collect();
        rows.sort_by_key(|(net, _)| core::cmp::Reverse(net.prefix()));
        Self(rows)
    }

    fn is_public(&self, ip: IpAddr) -> bool {
        self.0.iter().find(|(net, _)| net.contains(ip)).expect("both tables begin with all addresses").1
    }
}

fn neighbours(network: Cidr) -> [IpAddr; 4] {
    match (network.network(), network.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            [first.saturating_sub(1), first, last, last.saturating_add(1)].map(|bits| IpAddr::V4(bits.into()))
        }
        (first, last) => {
            let (IpAddr::V6(first), IpAddr::V6(last)) = (first, last) else { panic!("{network} has two families") };
            let (first, last) = (first.to_bits(), last.to_bits());
            [first.saturating_sub(1), first, last, last.saturating_add(1)].map(|bits| IpAddr::V6(bits.into()))
        }
    }
}

#[test]
fn every_edge_is_classed_as_in_the_table() {
    let naive = Naive::new();
    let edges = naive.0.iter().map(|(net, _)| *net).chain(ROWS.iter().map(|row| row.network));
    for ip in edges.flat_map(neighbours) {
        assert_eq!(classify(ip).is_public(), naive.is_public(ip), "{ip}");
    }
}

/// A row is named for an address only when the address is in the row's network, and every row is named for one.
#[test]
fn rows_are_named_for_their_own_addresses() {
    for row in ROWS {
        let outside = row.name.starts_with("outside");
        let named: Vec<IpAddr> = ROWS
            .iter()
            .flat_map(|row| neighbours(row.network))
            .filter(|ip| classify(*ip) == Class::NotPublic(Block(row)))
            .collect();
        assert!(!named.is_empty(), "{:?} is never named", Block(row));
        assert!(named.iter().all(|ip| row.network.contains(*ip) != outside), "{:?} {named:?}", Block(row));
    }
}

/// Between two neighbouring edges of the table the class does not change, so the table is asked once for each stretch and
/// the match for every address of a stride: a prime one by default, and with the variable set each of the 2^32.
#[test]
fn all_of_ipv4_agrees_with_the_table() {
    let naive = Naive::new();
    let stride = if env::var_os("POSTRIDER_LONG_TESTS").is_some_and(|value| value == "1") { 1 } else { 4099 };
    let mut edges = BTreeSet::from([u64::from(u32::MAX) + 1]);
    for (net, _) in &naive.0 {
        if let (IpAddr::V4(first), IpAddr::V4(last)) = (net.network(), net.last()) {
            edges.extend([u64::from(first.to_bits()), u64::from(last.to_bits()) + 1]);
        }
    }
    let edges: Vec<u64> = edges.into_iter().collect();
    let mut swept = 0;
    for stretch in edges.windows(2) {
        let address = |bits: u64| Ipv4Addr::from_bits(u32::try_from(bits).expect("the last edge is left out"));
        let public = naive.is_public(IpAddr::V4(address(stretch[0])));
        for bits in (stretch[0]..stretch[1]).step_by(stride) {
            assert!(v4(address(bits)).is_none() == public, "{}", address(bits));
            swept += 1;
        }
    }
    assert!(edges[0] == 0 && swept >= (1u64 << 32) / stride as u64, "{swept} addresses");
}

#[test]
fn every_ipv4_address_is_refused_in_every_ipv6_clothing() {
    for ip in [[8, 8, 8, 8], [127, 0, 0, 1], [10, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [255, 255, 255, 255]] {
        let (high, low) = (u16::from_be_bytes([ip[0], ip[1]]), u16::from_be_bytes([ip[2], ip[3]]));
        for clothed in [
            [0, 0, 0, 0, 0, 0xffff, high, low],
            [0, 0, 0, 0, 0xffff, 0, high, low],
            [0x64, 0xff9b, 0, 0, 0, 0, high, low],
            [0x64, 0xff9b, 1, 0, 0, 0, high, low],
            [0x2002, high, low, 0, 0, 0, 0, 1],
            [0x2001, 0, high, low, 0, 0, !high, !low],
        ] {
            let ip = IpAddr::V6(clothed.into());
            assert!(matches!(classify(ip), Class::NotPublic(block) if block.embeds_ipv4()), "{ip}");
        }
        // Of the compatible ones, the very first two have rows of their own.
        assert!(!classify(IpAddr::V6([0, 0, 0, 0, 0, 0, high, low].into())).is_public());
    }
}

#[test]
fn a_block_says_its_name_network_and_source() {
    let Class::NotPublic(block) = classify(IpAddr::V4(Ipv4Addr::LOCALHOST)) else { panic!("loopback is public") };
    assert_eq!(block.to_string(), "loopback (127.0.0.0/8, RFC 1122)");
    assert_eq!(format!("{block:?}"), "Block(loopback (127.0.0.0/8, RFC 1122))");
    assert!(block.is_loopback() && !block.embeds_ipv4() && block.name() == "loopback");
}

proptest! {
    #[test]
    fn any_ipv6_address_agrees_with_the_table(bits: u128, near in any::<prop::sample::Index>(), shift in 0u32..128) {
        let naive = Naive::new();
        let (network, _) = near.get(&naive.0);
        let first = match network.network() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        for bits in [bits, first ^ (bits >> shift), first ^ (1 << shift)] {
            let ip = IpAddr::V6(bits.into());
            prop_assert_eq!(classify(ip).is_public(), naive.is_public(ip), "{}", ip);
        }
    }
}

/// The cases of the shared vectors whose `op` is `classify_ip`.
#[test]
fn the_vectors_hold() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../../tests/vectors/urls_ssrf.json")).unwrap();
    let mut run = 0;
    for case in cases.iter().filter(|case| case["input"]["op"] == "classify_ip") {
        let ip = case["input"]["address"].as_str().unwrap().parse().unwrap();
        let class = if classify(ip).is_public() { "public" } else { "not_public" };
        let others = case["also_ok"].as_array().into_iter().flatten();
        let ok = core::iter::once(&case["expected"]).chain(others).any(|outcome| outcome["class"] == class);
        assert!(ok, "{} {ip}: {class}", case["id"]);
        run += 1;
    }
    assert!(run > 100, "only {run} cases were found");
}

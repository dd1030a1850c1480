//! Nothing private is dialled: invariant 26.
//!
//! The table is that of IANA's special-purpose address registries (IPv4 and IPv6, as of 2025): every block that is not
//! globally reachable, and those that only carry another address within. It was written from the registries, and a
//! longer prefix within a shorter one decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::facts::Scene;
use crate::observe::{Broken, Departure};

/// IPv4 blocks: network, prefix length, whether it can be reached by everybody.
const V4: [(Ipv4Addr, u32, bool); 27] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, false),
    (Ipv4Addr::new(10, 0, 0, 0), 8, false),
    (Ipv4Addr::new(100, 64, 0, 0), 10, false),
    (Ipv4Addr::new(127, 0, 0, 0), 8, false),
    (Ipv4Addr::new(169, 254, 0, 0), 16, false),
    (Ipv4Addr::new(172, 16, 0, 0), 12, false),
    (Ipv4Addr::new(192, 0, 0, 0), 24, false),
    (Ipv4Addr::new(192, 0, 0, 0), 29, false),
    (Ipv4Addr::new(192, 0, 0, 8), 32, false),
    (Ipv4Addr::new(192, 0, 0, 9), 32, true),
    (Ipv4Addr::new(192, 0, 0, 10), 32, true),
    (Ipv4Addr::new(192, 0, 0, 170), 32, false),
    (Ipv4Addr::new(192, 0, 0, 171), 32, false),
    (Ipv4Addr::new(192, 0, 2, 0), 24, false),
    (Ipv4Addr::new(192, 31, 196, 0), 24, true),
    (Ipv4Addr::new(192, 52, 193, 0), 24, true),
    (Ipv4Addr::new(192, 88, 99, 0), 24, false),
    (Ipv4Addr::new(192, 168, 0, 0), 16, false),
    (Ipv4Addr::new(192, 175, 48, 0), 24, true),
    (Ipv4Addr::new(198, 18, 0, 0), 15, false),
    (Ipv4Addr::new(198, 51, 100, 0), 24, false),
    (Ipv4Addr::new(203, 0, 113, 0), 24, false),
    (Ipv4Addr::new(224, 0, 0, 0), 4, false),
    (Ipv4Addr::new(240, 0, 0, 0), 4, false),
    (Ipv4Addr::new(255, 255, 255, 255), 32, false),
    (Ipv4Addr::new(233, 252, 0, 0), 24, false),
    (Ipv4Addr::new(192, 88, 99, 2), 32, false),
];

/// The same with masks in place of lengths, which none of these blocks has as 0.
const MASKED: [(u32, u32, bool); V4.len()] = {
    let mut masked = [(0, 0, false); V4.len()];
    let mut at = 0;
    while at < V4.len() {
        let (network, prefix, public) = V4[at];
        masked[at] = (network.to_bits(), u32::MAX << (32 - prefix), public);
        at += 1;
    }
    masked
};

/// IPv6 blocks. What is in none of them is global unicast only within `2000::/3`.
const V6: [(Ipv6Addr, u32, bool); 30] = [
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 0, false),
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, true),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96, false),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 128, false),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1), 128, false),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, false),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, false),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, false),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, false),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, false),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, false),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, false),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, false),
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128, true),
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128, true),
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128, true),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, false),
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32, true),
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48, true),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, false),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28, false),
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28, false),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, false),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, false),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, true),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, false),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, false),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, false),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, false),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, false),
];

/// Whether an address can be reached by everybody, and means the same for everybody.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let address = u32::from(address);
            let within = |(network, mask, _): &&(u32, u32, bool)| address & mask == *network;
            // Of blocks that hold an address the longer prefix has the larger mask.
            MASKED.iter().filter(within).max_by_key(|(_, mask, _)| *mask).is_none_or(|(_, _, public)| *public)
        }
        IpAddr::V6(address) => {
            let within = |(network, prefix, _): &&(Ipv6Addr, u32, bool)| {
                u128::from(address).checked_shr(128 - prefix) == u128::from(*network).checked_shr(128 - prefix)
            };
            V6.iter().filter(within).max_by_key(|(_, prefix, _)| *prefix).is_some_and(|(_, _, public)| *public)
        }
    }
}

/// Judges where a request goes, of an attempt or of nobody's.
pub(super) fn departed(scene: Option<&Scene<'_>>, departure: &Departure<'_>) -> Result<(), Broken> {
    let (address, port) = (departure.address, departure.port);
    if !is_public(address) {
        return Err(Broken::new(26, format!("attempt {} dialled {address}, which is not public", departure.attempt)));
    }
    let Some((open, endpoint)) = scene.and_then(|scene| Some((scene.open, scene.endpoint?))) else { return Ok(()) };
    let known = open.generation != endpoint.generation || endpoint.specs.all().any(|spec| spec.port == port);
    if known || endpoint.changed_since(open.tick) {
        return Ok(());
    }
    Err(Broken::new(
        26,
        format!("attempt {} dialled port {port}, which is not that of its endpoint", departure.attempt),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("192.0.0.9", true),
            ("192.0.0.11", false),
            ("192.175.48.1", true),
            ("172.15.255.255", true),
            ("172.31.255.255", false),
            ("233.252.0.1", false),
            ("2606:4700::1", true),
            ("2001:4:112::1", true),
            ("2001:db8::1", false),
            ("2001:200::1", true),
            ("2001::1", false),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::808:808", false),
            ("2002:808:808::1", false),
            ("4000::1", false),
            ("::1", false),
            ("fec0::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }
}

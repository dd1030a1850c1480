//! Which addresses are public: written from the IANA special-purpose registries, and from nothing of the core.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not public: address, and bits of the prefix (IANA IPv4 Special-Purpose Address Registry).
const V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Networks within 2000::/3 that are not public (IANA IPv6 Special-Purpose Address Registry). Nothing outside of
/// 2000::/3 is.
const V6: &[([u16; 8], u32)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xDB8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3FFF, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Addresses that nobody may ever dial.
pub const TRAPS: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(172, 31, 255, 255)),
    IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)),
    IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(255, 255, 255, 255)),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xFFFF, 0x0A00, 1)),
    IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0x0A00, 1)),
    IpAddr::V6(Ipv6Addr::new(0x64, 0xFF9B, 0, 0, 0, 0, 0x7F00, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2002, 0x7F00, 1, 0, 0, 0, 0, 0)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xFC00, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xFEC0, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1)),
];

/// Whether an address may be dialled.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let ip = u32::from(ip);
            V4.iter().all(|(network, bits)| (ip ^ u32::from_be_bytes(*network)) >> (32 - bits) != 0)
        }
        IpAddr::V6(ip) => {
            let number = u128::from(ip);
            let within =
                |network: [u16; 8], bits: u32| (number ^ u128::from(Ipv6Addr::from(network))) >> (128 - bits) == 0;
            within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3) && V6.iter().all(|(network, bits)| !within(*network, *bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_not_public_and_others_are() {
        assert!(TRAPS.iter().all(|ip| !is_public(*ip)));
        for public in ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:2800::1", "2a00::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}

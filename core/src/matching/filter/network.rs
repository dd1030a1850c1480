//! Ranges of addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of IPv4 or IPv6 addresses in the notation of RFC 4632 and RFC 4291: the addresses that share its first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    four: bool,
    len: u8,
    bits: u128,
}

impl Network {
    /// Reads `address/bits`.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let (address, len) = text.split_once('/').ok_or("an address and its bits, such as \"10.0.0.0/8\"")?;
        let one = Self::address(address).ok_or("an IPv4 or IPv6 address before the `/`")?;
        let digits = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
        match len.parse::<u8>() {
            Ok(len) if digits && len <= one.len => Ok(one.wider(len)),
            Ok(_) | Err(_) if one.four => Err("0 to 32 bits after the `/` of an IPv4 address"),
            Ok(_) | Err(_) => Err("0 to 128 bits after the `/` of an IPv6 address"),
        }
    }

    /// The one address that this text is, an IPv6 one in hexadecimal form only. One that maps an IPv4 address is that.
    pub(super) fn address(text: &str) -> Option<Self> {
        // The longest is 39 bytes; longer texts are not looked at.
        if text.len() > 39 {
            return None;
        }
        let address = if text.contains(':') {
            if text.contains('.') {
                return None;
            }
            let six: Ipv6Addr = text.parse().ok()?;
            six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4)
        } else {
            IpAddr::V4(text.parse::<Ipv4Addr>().ok()?)
        };
        Some(match address {
            IpAddr::V4(four) => Self { four: true, len: 32, bits: u128::from(four.to_bits()) << 96 },
            IpAddr::V6(six) => Self { four: false, len: 128, bits: six.to_bits() },
        })
    }

    /// Whether the other, which may be one address, lies inside.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.four == other.four && self.len <= other.len && other.wider(self.len).bits == self.bits
    }

    /// How many bits the addresses share.
    pub(super) fn len(&self) -> u8 {
        self.len
    }

    /// The network of so many bits around it, no more than it has.
    pub(super) fn wider(&self, len: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        Self { four: self.four, len, bits: self.bits & mask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_their_networks() {
        for (network, address, inside) in [
            ("10.0.0.0/22", "10.0.3.255", true),
            ("10.0.0.0/22", "10.0.4.0", false),
            ("10.1.2.3/8", "10.255.0.0", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("2001:db8::/32", "2001:DB8:ffff::", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "::1", true),
            ("::1/128", "0:0:0:0:0:0:0:1", true),
            ("10.0.0.0/8", "::ffff:a00:1", true),
            ("a00::/8", "10.0.0.0", false),
        ] {
            let address = Network::address(address).unwrap();
            assert_eq!(Network::read(network).unwrap().holds(&address), inside, "{network} {address:?}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["10.0.0.0", "foo", "10.0.0.256/8", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "/8"]
        {
            assert!(Network::read(text).is_err(), "{text}");
        }
        for text in ["", "10.0.0", "010.0.0.1", "10.0.0.1 ", "::ffff:10.0.0.1", "::g", "x"] {
            assert_eq!(Network::address(text), None, "{text}");
        }
    }
}

//! Networks in prefix notation (RFC 4632, RFC 4291 section 2.3).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A network: an address and how many of its leading bits count.
///
/// It is written `10.0.0.0/8` or `fd00::/8`; an address alone is the network of that one address. The bits behind the
/// prefix are zero, so that two equal networks are written alike. IPv4 and IPv6 are kept apart: `10.0.0.0/8` does
/// not contain `::ffff:10.0.0.1`, and `::/0` contains no IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a network was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CidrError {
    /// What stands before the `/` is not an IP address.
    Address,
    /// What stands behind the `/` is not a number in plain decimal digits.
    Prefix,
    /// The prefix is longer than the address.
    PrefixTooLong {
        /// The length of the address in bits: 32 or 128.
        max: u8,
    },
    /// Bits behind the prefix are set, so that it is not clear whether a network or one address is meant.
    HostBits {
        /// The network that the address is in.
        network: Cidr,
    },
}

impl Cidr {
    /// The network of the addresses whose first `prefix` bits are those of `network`.
    pub const fn new(network: IpAddr, prefix: u8) -> Result<Self, CidrError> {
        let max = width(network);
        if prefix > max {
            return Err(CidrError::PrefixTooLong { max });
        }
        let masked = Self { network: mask(network, prefix), prefix };
        let same = match (network, masked.network) {
            (IpAddr::V4(given), IpAddr::V4(masked)) => given.to_bits() == masked.to_bits(),
            (IpAddr::V6(given), IpAddr::V6(masked)) => given.to_bits() == masked.to_bits(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        };
        if same { Ok(masked) } else { Err(CidrError::HostBits { network: masked }) }
    }

    /// The network of one address.
    pub const fn host(ip: IpAddr) -> Self {
        Self { network: ip, prefix: width(ip) }
    }

    /// The first address.
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// How many leading bits count: at most 32 for IPv4, at most 128 for IPv6.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `ip` is in the network; never when it is of the other family.
    pub const fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, mask(ip, self.prefix)) {
            (IpAddr::V4(network), IpAddr::V4(masked)) => network.to_bits() == masked.to_bits(),
            (IpAddr::V6(network), IpAddr::V6(masked)) => network.to_bits() == masked.to_bits(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The last address.
    pub(super) const fn last(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() | !mask_v4(self.prefix))),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() | !mask_v6(self.prefix))),
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address.parse().map_err(|_| CidrError::Address)?;
        let Some(prefix) = prefix else { return Ok(Self::host(address)) };
        let plain = !prefix.is_empty()
            && prefix.bytes().all(|byte| byte.is_ascii_digit())
            && (prefix == "0" || !prefix.starts_with('0'));
        if !plain {
            return Err(CidrError::Prefix);
        }
        let prefix = prefix.parse().map_err(|_| CidrError::PrefixTooLong { max: width(address) })?;
        Self::new(address, prefix)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cidr({self})")
    }
}

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => {
                f.write_str("does not begin with an IP address; write a network as 10.0.0.0/8 or fd00::/8")
            }
            Self::Prefix => f.write_str("has no number behind the '/'; write a network as 10.0.0.0/8 or fd00::/8"),
            Self::PrefixTooLong { max } => {
                write!(f, "has a prefix longer than the address; /{max} is the longest for this address")
            }
            Self::HostBits { network } => {
                write!(f, "has bits set behind the prefix; write {network} for the network, or the address without '/'")
            }
        }
    }
}

impl core::error::Error for CidrError {}

const fn width(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `ip` with the bits behind `prefix` cleared. A prefix longer than the address clears none.
const fn mask(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask_v4(prefix))),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask_v6(prefix))),
    }
}

const fn mask_v4(prefix: u8) -> u32 {
    match 32u32.saturating_sub(prefix as u32) {
        32 => 0,
        zeros => u32::MAX << zeros,
    }
}

const fn mask_v6(prefix: u8) -> u128 {
    match 128u32.saturating_sub(prefix as u32) {
        128 => 0,
        zeros => u128::MAX << zeros,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        assert_eq!(cidr("10.0.0.0/8").to_string(), "10.0.0.0/8");
        assert_eq!(cidr("127.0.0.1"), cidr("127.0.0.1/32"));
        assert_eq!(cidr("::1"), cidr("::1/128"));
        assert_eq!(cidr("0:0::/0").to_string(), "::/0");
        assert_eq!("10.0.0.1/8".parse::<Cidr>(), Err(CidrError::HostBits { network: cidr("10.0.0.0/8") }));
        assert_eq!("fd00::1/8".parse::<Cidr>(), Err(CidrError::HostBits { network: cidr("fd00::/8") }));
        for text in ["", "/8", "10.0.0/8", "localhost", "010.0.0.0/8", "[::1]/128", " 10.0.0.0/8", "fe80::%1/10"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Address), "{text}");
        }
        for text in ["10.0.0.0/", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/-1", "10.0.0.0/8/8", "::/٣"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Prefix), "{text}");
        }
        for (text, max) in [("10.0.0.0/33", 32), ("::/129", 128), ("::/256", 128), ("0.0.0.0/99999999999999999999", 32)]
        {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::PrefixTooLong { max }), "{text}");
        }
    }

    #[test]
    fn families_are_kept_apart() {
        assert!(cidr("10.0.0.0/8").contains(ip("10.255.255.255")));
        assert!(!cidr("10.0.0.0/8").contains(ip("11.0.0.0")));
        assert!(!cidr("10.0.0.0/8").contains(ip("::ffff:10.0.0.1")));
        assert!(!cidr("0.0.0.0/0").contains(ip("::")));
        assert!(!cidr("::/0").contains(ip("0.0.0.0")));
        assert!(cidr("::/0").contains(ip("ff02::1")));
    }

    proptest! {
        #[test]
        fn display_parses_to_the_same(bits: u128, v6: bool, prefix in 0u8..=128) {
            let ip = if v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) };
            let prefix = prefix.min(width(ip));
            let network = match Cidr::new(ip, prefix) {
                Ok(network) => network,
                Err(CidrError::HostBits { network }) => network,
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            };
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(ip) && network.contains(network.network()) && network.contains(network.last()));
            prop_assert_eq!(network.prefix(), prefix);
        }

        #[test]
        fn membership_is_a_range(bits: u32, prefix in 0u8..=32, other: u32) {
            let network = Cidr::new(mask(IpAddr::V4(bits.into()), prefix), prefix).unwrap();
            let other = IpAddr::V4(other.into());
            prop_assert_eq!(network.contains(other), network.network() <= other && other <= network.last());
        }
    }
}

//! Which addresses are public: the special-purpose address registries of IANA as one match.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cidr;

/// Whether the whole Internet can mean the same by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "public or not: there is no third")]
pub enum Class {
    /// Plain global unicast.
    Public,
    /// It belongs to this block, from which no public service answers.
    NotPublic(Block),
}

impl Class {
    /// Whether it is [`Class::Public`].
    pub const fn is_public(self) -> bool {
        match self {
            Self::Public => true,
            Self::NotPublic(_) => false,
        }
    }
}

/// A row of the special-purpose address registries, displayed as `loopback (127.0.0.0/8, RFC 1122)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Block(&'static Row);

impl Block {
    /// What the block is for, in a few words: `loopback`.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether it is loopback, IPv4 or IPv6: what tests and development want to allow.
    pub const fn is_loopback(self) -> bool {
        matches!(self.0.kind, Kind::Loopback)
    }

    /// Whether its IPv6 addresses carry an IPv4 address within. Such an address may lead to that IPv4 address, so it is
    /// refused whatever is allowed.
    pub const fn embeds_ipv4(self) -> bool {
        matches!(self.0.kind, Kind::Embedding)
    }

    pub(super) const fn network(self) -> Cidr {
        self.0.network
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.0.name, self.0.network, self.0.source)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({self})")
    }
}

/// The class of an address, by the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190) as of
/// 2025: not public is what they call not globally reachable, and also multicast, reserved space, the addresses that
/// carry an IPv4 address within (mapped, compatible, translated, NAT64, 6to4, Teredo), identifiers that only look like
/// addresses (ORCHID and drone ids), and IPv6 outside of `2000::/3`.
///
/// It allocates nothing and takes a few nanoseconds. What it cannot see: a network's own NAT64 prefix (RFC 6052
/// section 2.2) within global unicast space.
pub const fn classify(ip: IpAddr) -> Class {
    let row = match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => v6(ip),
    };
    match row {
        Some(row) => Class::NotPublic(Block(row)),
        None => Class::Public,
    }
}

#[derive(PartialEq, Eq)]
struct Row {
    name: &'static str,
    network: Cidr,
    source: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Loopback,
    Embedding,
    Other,
}

/// The row that `ip` is in, the most specific one; none when it is public. Public islands within a block
/// (port control and TURN anycast, RFC 7723 and RFC 8155) stand before it.
const fn v4(ip: Ipv4Addr) -> Option<&'static Row> {
    Some(match ip.octets() {
        [0, ..] => &THIS_NETWORK,
        [10, ..] => &PRIVATE_10,
        [100, 64..=127, ..] => &SHARED,
        [127, ..] => &LOOPBACK_V4,
        [169, 254, ..] => &LINK_LOCAL_V4,
        [172, 16..=31, ..] => &PRIVATE_172,
        [192, 0, 0, 9 | 10] => return None,
        [192, 0, 0, _] => &PROTOCOL_V4,
        [192, 0, 2, _] => &TEST_NET_1,
        [192, 88, 99, _] => &RELAY_6TO4,
        [192, 168, ..] => &PRIVATE_192,
        [198, 18 | 19, ..] => &BENCHMARK_V4,
        [198, 51, 100, _] => &TEST_NET_2,
        [203, 0, 113, _] => &TEST_NET_3,
        [224..=239, ..] => &MULTICAST_V4,
        [255, 255, 255, 255] => &BROADCAST,
        [240..=255, ..] => &RESERVED_V4,
        _ => return None,
    })
}

/// As [`v4`]. The public islands are anycast and AMT (RFC 7723, 8155, 9665, 7450) and AS112 (RFC 7535).
const fn v6(ip: Ipv6Addr) -> Option<&'static Row> {
    Some(match ip.segments() {
        [0x2001, 1, 0, 0, 0, 0, 0, 1..=3] | [0x2001, 3, ..] | [0x2001, 4, 0x112, ..] => return None,
        [0x2001, 0, ..] => &TEREDO,
        [0x2001, 2, 0, ..] => &BENCHMARK_V6,
        [0x2001, 0x10..=0x1f, ..] => &ORCHID,
        [0x2001, 0x20..=0x2f, ..] => &ORCHID_V2,
        [0x2001, 0x30..=0x3f, ..] => &DRONE_IDS,
        [0x2001, 0..=0x1ff, ..] => &PROTOCOL_V6,
        [0x2001, 0xdb8, ..] => &DOCUMENTATION_2001,
        [0x2002, ..] => &SIX_TO_FOUR,
        [0x3fff, 0..=0xfff, ..] => &DOCUMENTATION_3FFF,
        [0x2000..=0x3fff, ..] => return None,
        [0, 0, 0, 0, 0, 0, 0, 0] => &UNSPECIFIED,
        [0, 0, 0, 0, 0, 0, 0, 1] => &LOOPBACK_V6,
        [0, 0, 0, 0, 0, 0, _, _] => &COMPATIBLE,
        [0, 0, 0, 0, 0, 0xffff, _, _] => &MAPPED,
        [0, 0, 0, 0, 0xffff, 0, _, _] => &TRANSLATED,
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => &NAT64,
        [0x64, 0xff9b, 1, ..] => &NAT64_LOCAL,
        [0x100, 0, 0, 0, ..] => &DISCARD,
        [0x100, 0, 0, 1, ..] => &DUMMY,
        [0x5f00, ..] => &SEGMENT_IDS,
        [0xfc00..=0xfdff, ..] => &UNIQUE_LOCAL,
        [0xfe80..=0xfebf, ..] => &LINK_LOCAL_V6,
        [0xfec0..=0xfeff, ..] => &SITE_LOCAL,
        [0xff00..=0xffff, ..] => &MULTICAST_V6,
        _ => &OUTSIDE,
    })
}

macro_rules! rows {
    ($($row:ident: $kind:ident $name:literal, $network:expr, $source:literal;)+) => {
        $(static $row: Row = Row { name: $name, network: $network, source: $source, kind: Kind::$kind };)+

        #[cfg(test)]
        static ROWS: &[&Row] = &[$(&$row),+];
    };
}

rows! {
    THIS_NETWORK: Other "this network", net4([0, 0, 0, 0], 8), "RFC 791";
    PRIVATE_10: Other "private use", net4([10, 0, 0, 0], 8), "RFC 1918";
    SHARED: Other "shared address space", net4([100, 64, 0, 0], 10), "RFC 6598";
    LOOPBACK_V4: Loopback "loopback", net4([127, 0, 0, 0], 8), "RFC 1122";
    LINK_LOCAL_V4: Other "link local", net4([169, 254, 0, 0], 16), "RFC 3927";
    PRIVATE_172: Other "private use", net4([172, 16, 0, 0], 12), "RFC 1918";
    PROTOCOL_V4: Other "IETF protocol assignments", net4([192, 0, 0, 0], 24), "RFC 6890";
    TEST_NET_1: Other "documentation", net4([192, 0, 2, 0], 24), "RFC 5737";
    RELAY_6TO4: Other "6to4 relay anycast", net4([192, 88, 99, 0], 24), "RFC 7526";
    PRIVATE_192: Other "private use", net4([192, 168, 0, 0], 16), "RFC 1918";
    BENCHMARK_V4: Other "benchmarking", net4([198, 18, 0, 0], 15), "RFC 2544";
    TEST_NET_2: Other "documentation", net4([198, 51, 100, 0], 24), "RFC 5737";
    TEST_NET_3: Other "documentation", net4([203, 0, 113, 0], 24), "RFC 5737";
    MULTICAST_V4: Other "multicast", net4([224, 0, 0, 0], 4), "RFC 5771";
    RESERVED_V4: Other "reserved", net4([240, 0, 0, 0], 4), "RFC 1112";
    BROADCAST: Other "limited broadcast", net4([255, 255, 255, 255], 32), "RFC 919";

    UNSPECIFIED: Other "unspecified", net6([0; 8], 128), "RFC 4291";
    LOOPBACK_V6: Loopback "loopback", net6([0, 0, 0, 0, 0, 0, 0, 1], 128), "RFC 4291";
    COMPATIBLE: Embedding "IPv4-compatible", net6([0; 8], 96), "RFC 4291";
    MAPPED: Embedding "IPv4-mapped", net6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "RFC 4291";
    TRANSLATED: Embedding "IPv4-translated", net6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "RFC 2765";
    NAT64: Embedding "NAT64", net6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "RFC 6052";
    NAT64_LOCAL: Embedding "local-use NAT64", net6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "RFC 8215";
    DISCARD: Other "discard only", net6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "RFC 6666";
    DUMMY: Other "dummy prefix", net6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), "RFC 9780";
    PROTOCOL_V6: Other "IETF protocol assignments", net6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "RFC 2928";
    TEREDO: Embedding "Teredo", net6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "RFC 4380";
    BENCHMARK_V6: Other "benchmarking", net6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "RFC 5180";
    ORCHID: Other "ORCHID", net6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), "RFC 4843";
    ORCHID_V2: Other "ORCHIDv2", net6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), "RFC 7343";
    DRONE_IDS: Other "drone remote ids", net6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28), "RFC 9374";
    DOCUMENTATION_2001: Other "documentation", net6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "RFC 3849";
    SIX_TO_FOUR: Embedding "6to4", net6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "RFC 3056";
    DOCUMENTATION_3FFF: Other "documentation", net6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "RFC 9637";
    SEGMENT_IDS: Other "SRv6 segment ids", net6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "RFC 9602";
    UNIQUE_LOCAL: Other "unique local", net6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "RFC 4193";
    LINK_LOCAL_V6: Other "link local", net6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "RFC 4291";
    SITE_LOCAL: Other "site local", net6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "RFC 3879";
    MULTICAST_V6: Other "multicast", net6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "RFC 4291";
    OUTSIDE: Other "outside of global unicast space", net6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3), "RFC 4291";
}

const fn net4(octets: [u8; 4], prefix: u8) -> Cidr {
    let [a, b, c, d] = octets;
    match Cidr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix) {
        Ok(network) => network,
        Err(_) => panic!("a row of the table above is no network; this is found when the crate is compiled"),
    }
}

const fn net6(segments: [u16; 8], prefix: u8) -> Cidr {
    let [a, b, c, d, e, f, g, h] = segments;
    match Cidr::new(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix) {
        Ok(network) => network,
        Err(_) => panic!("a row of the table above is no network; this is found when the crate is compiled"),
    }
}

#[cfg(test)]
mod tests;

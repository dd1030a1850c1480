//! Where a sender may connect to, asked twice: of a name's addresses, and of the very address about to be dialled.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{Block, Class, classify};
use super::{Cidr, Target};
use crate::limits;

/// What a sender may connect to.
///
/// The default is https to public addresses, on any port: a port number says nothing about who answers at a public
/// address, and TLS with the right name has to be spoken there before a byte of a delivery is sent. Loosening it takes
/// two kinds of permission:
///
/// * [`allow_http`](Self::allow_http) permits `http` URLs, to every address that the policy allows;
/// * [`allow`](Self::allow) adds a network to the allow-list. An address is then allowed when it is public or listed.
///   With a list, single-label and special-use names such as `localhost` may be registered too, and *every* address
///   of such a name must be listed, public ones included.
///
/// IPv6 addresses that carry an IPv4 address within (mapped, compatible, translated, NAT64, 6to4, Teredo) are refused
/// whatever is listed.
///
/// ```
/// use postrider_core::registration::{Policy, Target};
///
/// let inhouse = Policy::default().allow("10.20.0.0/16".parse()?)?;
/// assert!(Target::parse("https://10.20.0.7/hook", &inhouse).is_ok());
/// assert!(Target::parse("https://10.20.0.7/hook", &Policy::default()).is_err());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    http: bool,
    listed: Arc<[Cidr]>,
}

/// Why a policy cannot be loosened that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The allow-list is full.
    TooMany {
        /// How many networks it may have.
        max: usize,
    },
    /// Addresses of this network carry an IPv4 address within, and are refused whatever is listed.
    Embedding {
        /// The network.
        network: Cidr,
        /// The block that it is in.
        block: Block,
    },
}

/// Why an address is not connected to. It says nothing about what is there: the policy was asked before anything was
/// sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The address is not public, and not listed.
    NotPublic {
        /// The address.
        ip: IpAddr,
        /// The block that it is in.
        block: Block,
    },
    /// The name is single-label or special-use, and this address of it is not listed.
    NotListed {
        /// The address.
        ip: IpAddr,
    },
    /// The URL has an address for a host, and this is another one.
    OtherAddress {
        /// The address that was asked for.
        ip: IpAddr,
        /// The address in the URL.
        literal: IpAddr,
    },
    /// The port is not the URL's.
    OtherPort {
        /// The port that was asked for.
        port: u16,
        /// The URL's port.
        expected: u16,
    },
    /// The address has a scope id: it names an interface of this machine rather than a place in the network.
    Scoped {
        /// The address.
        ip: IpAddr,
    },
    /// The URL is http, and the policy does not allow that (any more).
    Cleartext,
    /// The name has no address.
    NoAddress,
}

/// The addresses of a target that may be tried, in the resolver's order: at least one and at most
/// [`limits::ADDRESSES_TRIED`], without repeats.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vetted {
    addrs: [SocketAddr; limits::ADDRESSES_TRIED],
    len: usize,
}

impl Policy {
    /// How many networks an allow-list may have: each is compared with each address dialled.
    pub const MAX_NETWORKS: usize = 64;

    /// For tests and development: http and loopback addresses (`127.0.0.0/8`, `::1`) are allowed too, and with them
    /// the name `localhost`.
    pub fn development() -> Self {
        Self::default()
            .allow_http()
            .allow(LOOPBACK_V4)
            .and_then(|policy| policy.allow(LOOPBACK_V6))
            .expect("two networks fit, and neither carries IPv4 addresses in IPv6")
    }

    /// Permits `http` URLs, to every address that the policy allows.
    pub fn allow_http(self) -> Self {
        Self { http: true, ..self }
    }

    /// Adds a network to the allow-list, which holds at most [`MAX_NETWORKS`](Self::MAX_NETWORKS). Listing one twice
    /// changes nothing.
    pub fn allow(self, network: Cidr) -> Result<Self, PolicyError> {
        if self.listed.contains(&network) {
            return Ok(self);
        }
        if self.listed.len() == Self::MAX_NETWORKS {
            return Err(PolicyError::TooMany { max: Self::MAX_NETWORKS });
        }
        match classify(network.network()) {
            Class::NotPublic(block) if block.embeds_ipv4() && classify(network.last()) == Class::NotPublic(block) => {
                Err(PolicyError::Embedding { network, block })
            }
            Class::Public | Class::NotPublic(_) => {
                let listed: Vec<Cidr> = self.listed.iter().copied().chain([network]).collect();
                Ok(Self { listed: listed.into(), ..self })
            }
        }
    }

    /// Chooses among the addresses that a name was resolved to, before any is dialled: the allowed ones in the order
    /// given, at most [`limits::ADDRESSES_TRIED`].
    ///
    /// Addresses that are not allowed are skipped; when none is left, the error names the first of them. For single-label
    /// and special-use names, one address that is not listed refuses all. For a target whose host is an address, pass
    /// that address.
    pub fn vet(&self, target: &Target, resolved: &[IpAddr]) -> Result<Vetted, AddressError> {
        let placeholder = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let mut vetted = Vetted { addrs: [placeholder; limits::ADDRESSES_TRIED], len: 0 };
        let mut refused = None;
        for ip in resolved {
            let addr = SocketAddr::new(*ip, target.port());
            match self.check(target, addr) {
                Ok(()) => vetted.push(addr),
                Err(error) if target.is_listed_only() => return Err(error),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        if vetted.len > 0 { Ok(vetted) } else { Err(refused.unwrap_or(AddressError::NoAddress)) }
    }

    /// Whether `addr` may be dialled for `target`. To be asked of the very socket address that is about to be dialled,
    /// for each connection anew: a name that was vetted before may lead elsewhere by now.
    pub fn check(&self, target: &Target, addr: SocketAddr) -> Result<(), AddressError> {
        let ip = addr.ip();
        if !target.is_https() && !self.http {
            return Err(AddressError::Cleartext);
        }
        if addr.port() != target.port() {
            return Err(AddressError::OtherPort { port: addr.port(), expected: target.port() });
        }
        if matches!(addr, SocketAddr::V6(v6) if v6.scope_id() != 0) {
            return Err(AddressError::Scoped { ip });
        }
        if let Some(literal) = target.literal().filter(|literal| *literal != ip) {
            return Err(AddressError::OtherAddress { ip, literal });
        }
        match self.judge(ip) {
            Ok(Standing::Listed) => Ok(()),
            Ok(Standing::Public) if target.is_listed_only() => Err(AddressError::NotListed { ip }),
            Ok(Standing::Public) => Ok(()),
            Err(block) => Err(AddressError::NotPublic { ip, block }),
        }
    }

    /// Whether `http` URLs are allowed.
    pub fn allows_http(&self) -> bool {
        self.http
    }

    /// The allow-list, in the order in which it was made.
    pub fn listed(&self) -> &[Cidr] {
        &self.listed
    }

    /// Why `ip` is allowed, or the block for which it is not.
    pub(super) fn judge(&self, ip: IpAddr) -> Result<Standing, Block> {
        let listed = self.listed.iter().any(|network| network.contains(ip));
        match classify(ip) {
            Class::NotPublic(block) if block.embeds_ipv4() || !listed => Err(block),
            Class::Public | Class::NotPublic(_) => Ok(if listed { Standing::Listed } else { Standing::Public }),
        }
    }
}

/// Why an address is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is in the allow-list.
    Listed,
    /// It is public, and not in the allow-list.
    Public,
}

impl Vetted {
    /// The addresses, never none.
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.addrs[..self.len]
    }

    fn push(&mut self, addr: SocketAddr) {
        if self.len < self.addrs.len() && !self.as_slice().contains(&addr) {
            self.addrs[self.len] = addr;
            self.len += 1;
        }
    }
}

impl<'a> IntoIterator for &'a Vetted {
    type Item = &'a SocketAddr;
    type IntoIter = core::slice::Iter<'a, SocketAddr>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

impl fmt::Debug for Vetted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vetted").field(&self.as_slice()).finish()
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { max } => write!(f, "the allow-list has {max} networks already; allow wider ones instead"),
            Self::Embedding { network, block } => write!(
                f,
                "{network} is {block}; its addresses carry an IPv4 address and are never dialled, so allow the IPv4 \
                 network itself"
            ),
        }
    }
}

impl core::error::Error for PolicyError {}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPublic { ip, block } => write_not_public(f, *ip, *block),
            Self::NotListed { ip } => {
                write!(f, "{ip} is not allowed for this name; each of its addresses must be in the allow-list (")?;
                write_allow(f, *ip)?;
                f.write_str(")")
            }
            Self::OtherAddress { ip, literal } => {
                write!(f, "{ip} is not the address in the URL; dial {literal}")
            }
            Self::OtherPort { port, expected } => write!(f, "{port} is not the URL's port; dial {expected}"),
            Self::Scoped { ip } => {
                write!(f, "{ip} has a scope id, so it leads to an interface of this machine; dial it without")
            }
            Self::Cleartext => f.write_str(CLEARTEXT),
            Self::NoAddress => f.write_str("the name has no address; at least one is needed"),
        }
    }
}

impl core::error::Error for AddressError {}

pub(super) const CLEARTEXT: &str =
    "http is not allowed here; use https, or allow http for this sender (`--allow-http`, `Policy::development()`)";

/// "127.0.0.1 is loopback (..), not public; ..", for registering and for dialling.
pub(super) fn write_not_public(f: &mut fmt::Formatter<'_>, ip: IpAddr, block: Block) -> fmt::Result {
    write!(f, "{ip} is {block}, not a public address; ")?;
    if block.embeds_ipv4() {
        return f.write_str("it carries an IPv4 address and is never dialled, so use the IPv4 address itself");
    }
    if block.is_loopback() {
        return write!(f, "allow it with `--allow {}`, or use `Policy::development()` in tests", block.network());
    }
    f.write_str("use a public one, or allow it (")?;
    write_allow(f, ip)?;
    f.write_str(")")
}

fn write_allow(f: &mut fmt::Formatter<'_>, ip: IpAddr) -> fmt::Result {
    write!(f, "`--allow {ip}`, `Policy::allow`")
}

const LOOPBACK_V4: Cidr = loopback(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
const LOOPBACK_V6: Cidr = loopback(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);

const fn loopback(ip: IpAddr, prefix: u8) -> Cidr {
    match Cidr::new(ip, prefix) {
        Ok(network) => network,
        Err(_) => panic!("this is found when the crate is compiled"),
    }
}

#[cfg(test)]
mod tests;

//! The URL of an endpoint, checked once and taken apart, ready to be used for every attempt.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;
use core::ops::Range;

use super::url::{self, UrlError};
use super::{Policy, Standing};
use crate::limits;

/// A URL that deliveries may be sent to, in the canonical form of the WHATWG URL standard: scheme and host in lower
/// case, international names in punycode, dot segments resolved, the default port left out.
///
/// Cloning it is cheap. `Debug` and `Display` leave the values of the query out, since tokens are put there.
#[derive(Clone)]
pub struct Target(Arc<Parts>);

/// The host of a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a host is a name or an address: RFC 3986 section 3.2.2")]
pub enum Host<'a> {
    /// A name of letters, digits, hyphens, underscores and dots, in lower case. It ends with a dot if the URL's does.
    Domain(&'a str),
    /// An address.
    Ip(IpAddr),
}

struct Parts {
    text: Box<str>,
    uri: http::Uri,
    https: bool,
    /// The host's place in `text`, without the brackets of an IPv6 address.
    host: Range<usize>,
    kind: Kind,
    authority: Range<usize>,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    /// A single-label or special-use name: every address of it must be listed.
    ListedOnly,
    Literal(IpAddr),
}

impl Target {
    /// Checks `url` and takes it apart.
    ///
    /// A target is an absolute URL of at most [`limits::URL_BYTES`], without user information, fragment, control
    /// character, space or backslash; with scheme `https` (or `http`, where `policy` allows it), with a port other
    /// than 0, and with a host that is
    ///
    /// * an address that `policy` allows, IPv4 only as four plain decimal numbers; or
    /// * a name of at least two labels that fits the limits of DNS (RFC 1035 section 2.3.4) and is not reserved for a
    ///   special use (RFC 6761, RFC 6762 appendix G); or, where `policy` has an allow-list, any name.
    ///
    /// The check is on the text alone. What a name leads to is checked for each attempt, by [`Policy::vet`] and
    /// [`Policy::check`].
    pub fn parse(url: &str, policy: &Policy) -> Result<Self, UrlError> {
        let (raw, url) = url::parse(url, policy)?;
        let kind = match url.host().ok_or(UrlError::NoHost)? {
            ::url::Host::Domain(name) if url::check_name(name, policy)? => Kind::ListedOnly,
            ::url::Host::Domain(_) => Kind::Name,
            ::url::Host::Ipv4(ip) => Kind::Literal(check_ip(IpAddr::V4(ip), raw.host == ip.to_string(), policy)?),
            // An IPv6 address may be spelled in many ways, but none reads as another address.
            ::url::Host::Ipv6(ip) => Kind::Literal(check_ip(IpAddr::V6(ip), true, policy)?),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(UrlError::PortZero)?;
        let text = url.as_str();
        if text.len() > limits::URL_BYTES {
            return Err(UrlError::TooLong { len: text.len(), max: limits::URL_BYTES });
        }
        let uri = text.parse().map_err(|_| UrlError::Request)?;
        let https = url.scheme() == "https";
        let authority = range(&url, ::url::Position::BeforeHost, ::url::Position::AfterPort);
        let mut host = range(&url, ::url::Position::BeforeHost, ::url::Position::AfterHost);
        if text[host.clone()].starts_with('[') {
            host = host.start + 1..host.end - 1;
        }
        Ok(Self(Arc::new(Parts { uri, https, host, kind, authority, port, text: String::from(url).into() })))
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.0.https
    }

    /// The host.
    pub fn host(&self) -> Host<'_> {
        match self.0.kind {
            Kind::Name | Kind::ListedOnly => Host::Domain(&self.0.text[self.0.host.clone()]),
            Kind::Literal(ip) => Host::Ip(ip),
        }
    }

    /// The host as text, for looking it up and for the certificate's name: a name without the final dot (RFC 6066
    /// section 3 has none), an IPv6 address without brackets.
    pub fn server_name(&self) -> &str {
        let host = &self.0.text[self.0.host.clone()];
        host.strip_suffix('.').unwrap_or(host)
    }

    /// The port to dial: the URL's, or 443 for https and 80 for http. Never 0.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The value of the `host` header: the host as in the URL, an IPv6 address in brackets, and the port if it is not
    /// the scheme's default (RFC 9110 section 7.2).
    pub fn authority(&self) -> &str {
        &self.0.text[self.0.authority.clone()]
    }

    /// The request target in origin form (RFC 9112 section 3.2.1): the path, at least `/`, and the query if there is
    /// one.
    pub fn path_and_query(&self) -> &str {
        &self.0.text[self.0.authority.end..]
    }

    /// The whole URL, for HTTP clients; cloning it copies no text.
    pub fn uri(&self) -> &http::Uri {
        &self.0.uri
    }

    /// The whole URL, query included. It is at most [`limits::URL_BYTES`] long and parses to the same target.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether every address must be listed, because the name is single-label or special-use.
    pub(super) fn is_listed_only(&self) -> bool {
        self.0.kind == Kind::ListedOnly
    }

    /// The address, if the host is one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.0.kind {
            Kind::Literal(ip) => Some(ip),
            Kind::Name | Kind::ListedOnly => None,
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.text.split_once('?') {
            Some((front, _)) => write!(f, "{front}?.."),
            None => f.write_str(&self.0.text),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// The address, if `policy` allows it. `plain` says whether it was written as it is printed.
fn check_ip(ip: IpAddr, plain: bool, policy: &Policy) -> Result<IpAddr, UrlError> {
    match policy.judge(ip) {
        Err(block) => Err(UrlError::Address { ip, block }),
        Ok(Standing::Listed | Standing::Public) if !plain => Err(UrlError::Numeric { ip }),
        Ok(Standing::Listed | Standing::Public) => Ok(ip),
    }
}

fn range(url: &::url::Url, from: ::url::Position, to: ::url::Position) -> Range<usize> {
    url[..from].len()..url[..to].len()
}

#[cfg(test)]
mod tests;

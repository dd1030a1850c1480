//! What makes a URL fit to be registered, and what to say when it is not.
//!
//! Parsers disagree about malformed URLs, and attackers live on the difference. So the text is checked first, for what
//! a lenient parser would repair in silence; then it is parsed by the WHATWG rules; then the host that came out.

use alloc::boxed::Box;
use core::fmt;
use core::net::IpAddr;

use super::Policy;
use super::address::Block;
use super::policy::{CLEARTEXT, write_not_public};
use crate::limits;

/// Why a URL was refused. No text of it contains the user information or the query of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It has no characters.
    Empty,
    /// It is too long, as given or once its characters are percent-encoded.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// It has a control character or a space.
    Character {
        /// The place of the character, in bytes from 0.
        at: usize,
        /// The character.
        character: char,
    },
    /// It has a backslash, which some parsers take for a slash and others do not.
    Backslash {
        /// The place of the backslash, in bytes from 0.
        at: usize,
    },
    /// It does not begin with a scheme.
    NoScheme,
    /// Its scheme is neither https nor http.
    Scheme {
        /// The scheme.
        scheme: Box<str>,
    },
    /// Its scheme is http, and the policy does not allow that.
    Cleartext,
    /// The scheme is not followed by `//`.
    Slashes,
    /// It has user information (`user:password@`).
    UserInfo,
    /// It has a fragment (`#..`).
    Fragment,
    /// It has no host.
    NoHost,
    /// Its host is neither an address nor a name.
    Host {
        /// What is wrong with it.
        fault: HostFault,
    },
    /// What follows the host's `:` is not a port number.
    Port,
    /// Its port is 0.
    PortZero,
    /// Its host is an IPv4 address that is not written as four plain decimal numbers.
    Numeric {
        /// The address.
        ip: IpAddr,
    },
    /// Its host is an address that the policy does not allow.
    Address {
        /// The address.
        ip: IpAddr,
        /// The block that it is in.
        block: Block,
    },
    /// Its host is a name that cannot be registered.
    Name {
        /// The name in canonical form.
        name: Box<str>,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// Its path or query cannot be put into an HTTP request.
    Request,
}

/// Why a host is neither an address nor a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostFault {
    /// It ends in a number and so claims to be an IPv4 address, but is none.
    Ipv4,
    /// It is in brackets, but no IPv6 address (or one with a zone).
    Ipv6,
    /// It is no domain name: a character is forbidden, or it is no valid international name.
    Domain,
}

/// Why a name cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// It has one label, so it means something on the local network only.
    SingleLabel,
    /// It is reserved for a special use.
    SpecialUse {
        /// The reserved name that it is or ends with.
        zone: &'static str,
    },
    /// It has a label without characters.
    EmptyLabel,
    /// It has a label of more than 63 characters.
    LabelTooLong {
        /// How many characters the label has.
        len: usize,
    },
    /// It has more than 253 characters, the final dot not counted.
    TooLong {
        /// How many characters it has.
        len: usize,
    },
    /// It has a character other than letters, digits, `-` and `_`.
    Character {
        /// The character.
        character: char,
    },
}

/// Longest label of a name, and longest name without its final dot (RFC 1035 section 2.3.4).
const LABEL: usize = 63;
const NAME: usize = 253;

/// Names that public DNS does not have or must not answer: the special-use domain names (RFC 6761 and the registry
/// that it made; `arpa` as a whole), `internal` (reserved by ICANN in 2024), and those in use on private networks
/// (RFC 6762 appendix G, and `localdomain`). Names below them are reserved too. `example.com`, `example.net` and
/// `example.org` are in that registry, but resolve.
const SPECIAL_USE: [&str; 15] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "test",
];

/// The text as it was given, in so far as the parsed form does not show it.
pub(super) struct Raw<'a> {
    /// The host as it was written.
    pub(super) host: &'a str,
}

/// Checks everything but the host, and parses.
pub(super) fn parse<'a>(text: &'a str, policy: &Policy) -> Result<(Raw<'a>, url::Url), UrlError> {
    check_characters(text)?;
    let (scheme, rest) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).ok_or(UrlError::NoScheme)?;
    let http = scheme.eq_ignore_ascii_case("http");
    if !http && !scheme.eq_ignore_ascii_case("https") {
        return Err(UrlError::Scheme { scheme: scheme.into() });
    }
    if http && !policy.allows_http() {
        return Err(UrlError::Cleartext);
    }
    let rest = rest.strip_prefix("//").ok_or(UrlError::Slashes)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    if authority.is_empty() {
        return Err(UrlError::NoHost);
    }
    let host = match authority.find(']') {
        Some(bracket) => &authority[..=bracket],
        None => authority.split(':').next().unwrap_or(authority),
    };
    let url = url::Url::parse(text).map_err(|error| fault(error, host))?;
    Ok((Raw { host }, url))
}

/// Checks a name in canonical form. Returns whether it is single-label or special-use, so that every address of it must
/// be in the policy's allow-list; without a list, such a name is refused.
pub(super) fn check_name(name: &str, policy: &Policy) -> Result<bool, UrlError> {
    let refuse = |fault| Err(UrlError::Name { name: name.into(), fault });
    let bare = name.strip_suffix('.').unwrap_or(name);
    for label in bare.split('.') {
        if label.is_empty() {
            return refuse(NameFault::EmptyLabel);
        }
        if label.len() > LABEL {
            return refuse(NameFault::LabelTooLong { len: label.len() });
        }
        if let Some(character) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
            return refuse(NameFault::Character { character });
        }
    }
    if bare.len() > NAME {
        return refuse(NameFault::TooLong { len: bare.len() });
    }
    let last = bare.rsplit('.').next().unwrap_or(bare);
    let fault = match SPECIAL_USE.into_iter().find(|zone| last.eq_ignore_ascii_case(zone)) {
        Some(zone) => NameFault::SpecialUse { zone },
        None if last.len() == bare.len() => NameFault::SingleLabel,
        None => return Ok(false),
    };
    if policy.listed().is_empty() { refuse(fault) } else { Ok(true) }
}

fn check_characters(text: &str) -> Result<(), UrlError> {
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    if text.len() > limits::URL_BYTES {
        return Err(UrlError::TooLong { len: text.len(), max: limits::URL_BYTES });
    }
    match text.char_indices().find(|(_, c)| c.is_control() || matches!(c, ' ' | '\\')) {
        Some((at, '\\')) => Err(UrlError::Backslash { at }),
        Some((at, character)) => Err(UrlError::Character { at, character }),
        None => Ok(()),
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn fault(error: url::ParseError, host: &str) -> UrlError {
    match error {
        url::ParseError::EmptyHost => UrlError::NoHost,
        url::ParseError::InvalidPort if host.is_empty() => UrlError::NoHost,
        url::ParseError::InvalidPort => UrlError::Port,
        url::ParseError::InvalidIpv4Address => UrlError::Host { fault: HostFault::Ipv4 },
        url::ParseError::InvalidIpv6Address => UrlError::Host { fault: HostFault::Ipv6 },
        // The scheme is known to be there, so that all others are about the host.
        _ => UrlError::Host { fault: HostFault::Domain },
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the URL is empty; write it as https://example.com/hook"),
            Self::TooLong { len, max } => write!(f, "the URL has {len} bytes, at most {max} are allowed"),
            Self::Character { at, character } => write!(
                f,
                "the URL has a {} ({character:?}) at byte {at}; percent-encode it or leave it out",
                if *character == ' ' { "space" } else { "control character" }
            ),
            Self::Backslash { at } => {
                write!(f, "the URL has a backslash at byte {at}; write '/', or %5C if it is meant")
            }
            Self::NoScheme => f.write_str("the URL has no scheme; write it as https://example.com/hook"),
            Self::Scheme { scheme } => {
                write!(f, "webhooks are not sent over {scheme:?}; the URL must begin with https://")
            }
            Self::Cleartext => f.write_str(CLEARTEXT),
            Self::Slashes => {
                f.write_str("the URL's scheme is not followed by '//'; write it as https://example.com/hook")
            }
            Self::UserInfo => f.write_str(
                "the URL has user information before an '@'; leave it out, and send credentials in a custom header",
            ),
            Self::Fragment => {
                f.write_str("the URL has a fragment ('#' and what follows), which is never sent; leave it out")
            }
            Self::NoHost => f.write_str("the URL has no host; write it as https://example.com/hook"),
            Self::Host { fault } => fault.fmt(f),
            Self::Port => f.write_str("the URL's port is not a number from 1 to 65535"),
            Self::PortZero => f.write_str("the URL's port is 0; ports are numbered from 1 to 65535"),
            Self::Numeric { ip } => {
                write!(f, "the URL's host is another spelling of the address {ip}; write it as {ip}")
            }
            Self::Address { ip, block } => write_not_public(f, *ip, *block),
            Self::Name { name, fault } => write!(f, "the host name {name:?} {fault}"),
            Self::Request => {
                f.write_str("the URL's path or query cannot be put into an HTTP request; percent-encode it")
            }
        }
    }
}

impl core::error::Error for UrlError {}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => {
                "the URL's host ends in a number but is no IPv4 address; write four decimal numbers from 0 to 255"
            }
            Self::Ipv6 => "the URL's host is no IPv6 address; write it in brackets and without a zone",
            Self::Domain => "the URL's host is no domain name; write it in letters, digits, hyphens and dots",
        })
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LISTED: &str =
            "use a public name, or allow the networks that it leads to (`--allow CIDR`, `Policy::allow`)";
        match self {
            Self::SingleLabel => write!(f, "has a single label, which only a local network knows; {LISTED}"),
            Self::SpecialUse { zone: "localhost" } => f.write_str(
                "is reserved for loopback; allow it with `--allow 127.0.0.0/8` and `--allow ::1`, or use \
                     `Policy::development()` in tests",
            ),
            Self::SpecialUse { zone } => write!(f, "is reserved for a special use ({zone:?}); {LISTED}"),
            Self::EmptyLabel => f.write_str("has an empty label; write one dot between two labels"),
            Self::LabelTooLong { len } => write!(f, "has a label of {len} characters, at most {LABEL} are allowed"),
            Self::TooLong { len } => write!(f, "has {len} characters, at most {NAME} are allowed"),
            Self::Character { character } => {
                write!(f, "has a {character:?}; letters, digits, hyphens and underscores are allowed")
            }
        }
    }
}

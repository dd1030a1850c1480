//! The address of a request as its sender knows it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

use http::HeaderMap;
use http::header::HOST;

use super::contract::RequestHead;
use crate::limits::URL_BYTES;

/// The address under which senders know the receiver, for schemes whose signature covers it
/// ([`Scheme::signs_url`](crate::signing::Scheme::signs_url)).
///
/// The URL that a signature is checked with is made in one of three ways:
/// * [`exactly`](Self::exactly): it is this text, whatever was asked for.
/// * [`base`](Self::base): it is the base, less one `/` at its end, followed by path and query as they were asked for. With
///   the base `https://example.com/in/` a request for `/square?shop=1` has the URL
///   `https://example.com/in/square?shop=1`.
/// * Without either: it is what was asked for, where that is a whole URL; else `https://`, what the only `Host` header
///   says, and path and query. Where there is no such header there is no URL, and the signature does not fit.
///
/// Nothing is decoded, sorted or put in another case on the way. No `Forwarded` or `X-Forwarded-*` header is looked at,
/// which anyone can send. `Host` anyone can send too: where the same key signs for several receivers, say which of them
/// this is, or a request to one is good at another. And where a scheme joins URL and body without a mark (Square), what
/// belongs to which is certain only under an exact URL.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: Box<str>,
    exact: bool,
}

/// Why a text is no public URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicUrlError {
    /// It does not begin with `https://` or `http://` and a host.
    NotAbsolute,
    /// It has a blank, a control character or one beyond ASCII: a URL on the wire has none.
    NotPlain,
    /// It has a fragment, which is never sent.
    Fragment,
    /// It is a base and has a query, behind which no path can come.
    Query,
    /// It has more than 2,048 bytes ([`URL_BYTES`]).
    TooLong {
        /// How many.
        bytes: usize,
    },
}

impl PublicUrl {
    /// The beginning of every URL: scheme and host, and the part of the path that a proxy takes away.
    pub fn base(url: &str) -> Result<Self, PublicUrlError> {
        check(url)?;
        if url.contains('?') {
            return Err(PublicUrlError::Query);
        }
        Ok(Self { text: url.strip_suffix('/').unwrap_or(url).into(), exact: false })
    }

    /// The only URL, query and all, exactly as the sender was told it.
    pub fn exactly(url: &str) -> Result<Self, PublicUrlError> {
        check(url)?;
        Ok(Self { text: url.into(), exact: true })
    }

    fn of(&self, target: &str) -> Cow<'_, str> {
        if self.exact { Cow::Borrowed(&self.text) } else { joined(&self.text, target).into() }
    }
}

/// The URL of a request; empty where it cannot be told.
pub(super) fn url<'u>(public: Option<&'u PublicUrl>, head: &'u RequestHead) -> Cow<'u, str> {
    let target = head.target.as_deref();
    match (public, target) {
        (Some(public), _) => public.of(target.unwrap_or("/")),
        (None, Some(target)) if behind_authority(target).is_some() => target.into(),
        (None, target) => host(&head.headers)
            .map(|host| joined(&format!("https://{host}"), target.unwrap_or("/")))
            .unwrap_or_default()
            .into(),
    }
}

/// Path and query of what was asked for, which may be a whole URL. The path may be empty.
pub(super) fn path_and_query(target: &str) -> &str {
    behind_authority(target).unwrap_or(target)
}

/// An empty path is that of the root (RFC 9110 section 4.2.3).
fn joined(base: &str, target: &str) -> String {
    let rest = path_and_query(target);
    let slash = if rest.starts_with('/') { "" } else { "/" };
    format!("{base}{slash}{rest}")
}

/// What stands behind scheme and authority.
fn behind_authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    Some(&rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..])
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    host.to_str().ok().filter(|host| !host.is_empty())
}

fn check(url: &str) -> Result<(), PublicUrlError> {
    let rest = behind_authority(url).ok_or(PublicUrlError::NotAbsolute)?;
    if url[..url.len() - rest.len()].ends_with("//") {
        Err(PublicUrlError::NotAbsolute)
    } else if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(PublicUrlError::NotPlain)
    } else if url.contains('#') {
        Err(PublicUrlError::Fragment)
    } else if url.len() > URL_BYTES {
        Err(PublicUrlError::TooLong { bytes: url.len() })
    } else {
        Ok(())
    }
}

impl fmt::Debug for PublicUrl {
    /// Without a query, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.split_once('?').map_or(&*self.text, |(text, _)| text);
        f.debug_struct("PublicUrl").field("url", &text).field("exact", &self.exact).finish()
    }
}

impl fmt::Display for PublicUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("a public URL begins with `https://` or `http://` and a host"),
            Self::NotPlain => f.write_str("a public URL has visible ASCII characters only; escape the others"),
            Self::Fragment => f.write_str("a public URL has no fragment, which is never sent"),
            Self::Query => f.write_str("the base of public URLs has no query; one with a query is exact"),
            Self::TooLong { bytes } => write!(f, "a public URL has at most {URL_BYTES} bytes, not {bytes}"),
        }
    }
}

impl core::error::Error for PublicUrlError {}

//! The URL as a sender may have it instead.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use super::super::bodies::twilio::BODY_DIGEST;
use super::super::keys::Text;
use super::super::{Headers, Received, Scheme};
use super::UrlForm;

/// The forms of a URL that are tried: 2 schemes, 5 hosts, 2 ends of the path, 3 queries.
pub(super) const URL_FORMS: usize = 2 * 5 * 2 * 3;

/// Every other form of a request's URL, the ones with the fewest changes first.
pub(super) fn url_forms<H: Headers + ?Sized>(
    scheme: Scheme,
    received: &Received<'_, H>,
) -> Vec<(Vec<UrlForm>, String)> {
    let url = received.url;
    let (rest, query) = url.split_once('?').map_or((url, None), |(rest, query)| (rest, Some(query)));
    let (protocol, rest) = rest.split_once("://").unwrap_or(("", rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let other = match protocol {
        "http" => Some((Some(UrlForm::Https), "https")),
        "https" => Some((Some(UrlForm::Http), "http")),
        _ => None,
    };
    let path_end = match path.strip_suffix('/') {
        Some(shorter) => (Some(UrlForm::NoSlash), Cow::Borrowed(shorter)),
        None => (Some(UrlForm::Slash), Cow::Owned(alloc::format!("{path}/"))),
    };
    let mut forms = Vec::new();
    for (protocol_form, protocol) in [Some((None, protocol)), other].into_iter().flatten() {
        for (host_form, host) in hosts(protocol, authority, received) {
            for (path_form, path) in [(None, Cow::Borrowed(path)), path_end.clone()] {
                for (query_form, query) in queries(scheme, query, received.body) {
                    let changes: Vec<_> =
                        [protocol_form, host_form, path_form, query_form].into_iter().flatten().collect();
                    forms.push((changes, alloc::format!("{protocol}://{host}{path}{query}")));
                }
            }
        }
    }
    forms.retain(|(changes, _)| !changes.is_empty());
    forms.sort_by_key(|(changes, _)| changes.len());
    forms
}

/// Host and port as they may be instead, with what is there.
fn hosts<'r, H: Headers + ?Sized>(
    protocol: &str,
    authority: &'r str,
    received: &Received<'r, H>,
) -> Vec<(Option<UrlForm>, Cow<'r, str>)> {
    let mut hosts = alloc::vec![(None, Cow::Borrowed(authority))];
    let end = authority.rfind(']').unwrap_or(0);
    match authority[end..].find(':') {
        Some(at) => hosts.push((Some(UrlForm::NoPort), authority[..end + at].into())),
        None => {
            let port = if protocol == "http" { 80 } else { 443 };
            hosts.push((Some(UrlForm::UsualPort), alloc::format!("{authority}:{port}").into()));
        }
    }
    for (form, name) in [(UrlForm::Host, "host"), (UrlForm::ForwardedHost, "x-forwarded-host")] {
        let value = received.headers.all(name).next().and_then(|value| core::str::from_utf8(value).ok());
        let value = value.map(str::trim).filter(|value| value.bytes().all(|b| b.is_ascii_graphic() && b != b'/'));
        if let Some(host) = value.filter(|host| !host.is_empty() && hosts.iter().all(|(_, known)| known != host)) {
            hosts.push((Some(form), host.into()));
        }
    }
    hosts
}

fn queries(scheme: Scheme, query: Option<&str>, body: &[u8]) -> Vec<(Option<UrlForm>, String)> {
    let mut queries = match query {
        Some(query) => alloc::vec![(None, alloc::format!("?{query}")), (Some(UrlForm::NoQuery), String::new())],
        None => alloc::vec![(None, String::new())],
    };
    if scheme == Scheme::Twilio && !query.unwrap_or("").contains(BODY_DIGEST) {
        let digest = Text::Hex.encode(&Sha256::digest(body));
        let front = query.map_or_else(String::new, |query| alloc::format!("{query}&"));
        queries.push((Some(UrlForm::DigestQuery), alloc::format!("?{front}{BODY_DIGEST}={digest}")));
    }
    queries
}

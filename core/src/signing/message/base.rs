//! The signature base (RFC 9421, section 2): what of a request is signed, line by line.

use alloc::string::String;
use alloc::vec::Vec;

use url::form_urlencoded;

use super::fields::{Bare, Component, Input, quote, write_params};
use crate::signing::{Headers, Received};

/// The text that a signature covers. None when a component of it is not there, appears twice, or is of a kind that is
/// not supported: of the parameters only `name` of `@query-param` is.
pub(super) fn base<H: Headers + ?Sized>(input: &Input<'_>, received: &Received<'_, H>) -> Option<Vec<u8>> {
    let mut base = Vec::new();
    for component in &input.components {
        base.extend_from_slice(identifier(component).as_bytes());
        base.extend_from_slice(b": ");
        base.extend_from_slice(&value(component, received)?);
        base.push(b'\n');
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(params(input).as_bytes());
    Some(base)
}

/// The value of `@signature-params`, and of the member of `Signature-Input`.
pub(super) fn params(input: &Input<'_>) -> String {
    let components: Vec<String> = input.components.iter().map(identifier).collect();
    let mut out = alloc::format!("({})", components.join(" "));
    write_params(&input.params, &mut out);
    out
}

fn identifier(component: &Component<'_>) -> String {
    let mut out = quote(&component.name);
    write_params(&component.params, &mut out);
    out
}

fn value<H: Headers + ?Sized>(component: &Component<'_>, received: &Received<'_, H>) -> Option<Vec<u8>> {
    let url = Parts::of(received.url);
    let name = &*component.name;
    if let ("@query-param", [("name", Bare::Text(wanted))]) = (name, &component.params[..]) {
        return query_param(url.query.unwrap_or(""), wanted).map(String::into_bytes);
    }
    if !component.params.is_empty() {
        return None;
    }
    Some(match name {
        "@method" => received.method.as_bytes().to_vec(),
        "@target-uri" => url.whole.as_bytes().to_vec(),
        "@authority" => url.authority().into_bytes(),
        "@scheme" => url.scheme.to_ascii_lowercase().into_bytes(),
        "@path" => url.path().as_bytes().to_vec(),
        "@query" => alloc::format!("?{}", url.query.unwrap_or("")).into_bytes(),
        "@request-target" => {
            let query = url.query.map_or_else(String::new, |query| alloc::format!("?{query}"));
            alloc::format!("{}{query}", url.path()).into_bytes()
        }
        name if name.starts_with('@') => return None,
        name => return header(name, received.headers),
    })
}

/// The values of a header's lines, trimmed and joined (section 2.1).
fn header<H: Headers + ?Sized>(name: &str, headers: &H) -> Option<Vec<u8>> {
    if name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let lines: Vec<&[u8]> = headers.all(name).map(<[u8]>::trim_ascii).collect();
    let sound = !lines.is_empty() && !lines.iter().any(|line| line.contains(&b'\n') || line.contains(&b'\r'));
    sound.then(|| lines.join(&b", "[..]))
}

/// The one value of a query parameter, percent-encoded (section 2.2.8).
fn query_param(query: &str, wanted: &str) -> Option<String> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| encode(name) == wanted);
    let (_, value) = found.next()?;
    found.next().is_none().then(|| encode(&value))
}

/// A URL taken apart, as it is written.
pub(super) struct Parts<'u> {
    whole: &'u str,
    scheme: &'u str,
    host: &'u str,
    path: &'u str,
    query: Option<&'u str>,
}

impl<'u> Parts<'u> {
    fn of(url: &'u str) -> Self {
        let (whole, _) = url.split_once('#').unwrap_or((url, ""));
        let (scheme, rest) = whole.split_once("://").unwrap_or(("", whole));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        Self { whole, scheme, host, path, query }
    }

    /// Host and port, in lower case and without the scheme's usual port (section 2.2.3).
    fn authority(&self) -> String {
        let usual = if self.scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
        self.host.strip_suffix(usual).unwrap_or(self.host).to_ascii_lowercase()
    }

    /// The path, which is never empty (section 2.2.6).
    fn path(&self) -> &'u str {
        if self.path.is_empty() { "/" } else { self.path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned as _;

    fn of(name: &str, params: &[(&'static str, &'static str)], url: &str) -> Option<String> {
        let headers = [("X-A", " 1 "), ("x-a", "2"), ("x-empty", ""), ("x-b", "a\nb")];
        let received = Received { method: "POST", url, headers: &headers, body: b"" };
        let params = params.iter().map(|(name, value)| (*name, Bare::Text((*value).into()))).collect();
        let component = Component { name: name.to_owned().into(), params };
        value(&component, &received).map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn components_are_those_of_the_rfc() {
        let url = "https://u@Example.com:443/path?param=value&a%20b=c+d&a%20b2=%E9#frag";
        let at = |name| of(name, &[], url).unwrap();
        assert_eq!(at("@method"), "POST");
        assert_eq!(at("@authority"), "example.com");
        assert_eq!(at("@scheme"), "https");
        assert_eq!(at("@path"), "/path");
        assert_eq!(at("@query"), "?param=value&a%20b=c+d&a%20b2=%E9");
        assert_eq!(at("@request-target"), "/path?param=value&a%20b=c+d&a%20b2=%E9");
        assert_eq!(at("@target-uri"), "https://u@Example.com:443/path?param=value&a%20b=c+d&a%20b2=%E9");
        assert_eq!(at("x-a"), "1, 2");
        assert_eq!(at("x-empty"), "");
        assert_eq!(of("@query-param", &[("name", "a%20b")], url).unwrap(), "c%20d");
        assert_eq!(of("@path", &[], "http://h:80?x").unwrap(), "/");
        assert_eq!(of("@query", &[], "http://h:80/").unwrap(), "?");
        assert_eq!(of("@authority", &[], "http://H:8080/").unwrap(), "h:8080");
    }

    #[test]
    fn what_cannot_be_signed_for_certain_is_refused() {
        let url = "https://h/?a=1&a=2";
        for name in ["@status", "@query-param", "@unknown", "x-none", "X-A", "x-b", ""] {
            assert_eq!(of(name, &[], url), None, "{name}");
        }
        assert_eq!(of("@query-param", &[("name", "a")], url), None);
        assert_eq!(of("x-a", &[("key", "a")], url), None);
    }
}

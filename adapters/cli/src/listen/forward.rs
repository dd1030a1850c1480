//! `--forward URL`: passing on what was accepted.

use std::io;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use crate::http::client::Client;
use crate::http::{Headers, Request, Response};

/// Lines that are about one connection and not about the message (RFC 9110, section 7.6.1).
const HOP: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where requests are passed on to.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    /// Host and port, as the URL has them.
    authority: String,
    /// Host and port, to look up.
    addr: String,
    /// The path; empty to take each request's own.
    path: String,
}

/// Reads the URL of `--forward`.
pub(crate) fn parse(url: &str) -> Result<Forward, String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err("only http:// is spoken here, as to a server on the same machine".into());
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let visible = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#');
    if authority.is_empty() || authority.contains(['@', '?']) || !visible {
        return Err("write it as http://HOST:PORT/PATH".into());
    }
    let port = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let addr = if port.is_some() { authority.to_owned() } else { format!("{authority}:80") };
    Ok(Forward { authority: authority.into(), addr, path: path.trim_end_matches('/').into() })
}

impl Forward {
    /// Sends the request on, and gives the answer as it came, without the lines of its connection.
    pub(crate) fn send(&self, request: &Request, deadline: Instant) -> io::Result<Response> {
        let own = if request.target.starts_with('/') { request.target.as_str() } else { "/" };
        let target = if self.path.is_empty() {
            own.to_owned()
        } else {
            let query = own.split_once('?').map_or_else(String::new, |(_, query)| {
                let mark = if self.path.contains('?') { '&' } else { '?' };
                format!("{mark}{query}")
            });
            format!("{}{query}", self.path)
        };
        let headers = without_hops(&request.headers);
        let mut refused = io::Error::other("the name has no address");
        for addr in self.addr.to_socket_addrs()?.take(3) {
            let within = deadline.saturating_duration_since(Instant::now());
            if within < Duration::from_millis(1) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match Client::to(addr, &self.authority, within).send(&request.method, &target, &headers, &request.body) {
                Ok(answer) => return Ok(Response { headers: without_hops(&answer.headers), ..answer }),
                // Another address is tried only where nothing can have been received at this one.
                Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => refused = why,
                Err(why) => return Err(why),
            }
        }
        Err(refused)
    }
}

/// The lines that are about the message.
fn without_hops(headers: &Headers) -> Headers {
    let named = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let named: Vec<String> = named
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(|item| String::from_utf8_lossy(item.trim_ascii()).to_ascii_lowercase())
        .collect();
    let stays = |name: &str| !HOP.contains(&name) && !named.iter().any(|other| other == name);
    headers.iter().filter(|(name, _)| stays(&name.to_ascii_lowercase())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let read = |url| parse(url).map(|it| (it.addr, it.path));
        assert_eq!(read("http://localhost:3000"), Ok(("localhost:3000".into(), String::new())));
        assert_eq!(read("http://[::1]:1/a/?b"), Ok(("[::1]:1".into(), "/a/?b".into())));
        assert_eq!(read("http://h/"), Ok(("h:80".into(), String::new())));
        for bad in ["https://h/", "h:1", "http://", "http://u@h/", "http://h/#a", "http://h/a b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_of_the_connection_stay_behind() {
        let headers = [("Connection", "close, X-Own"), ("x-own", "1"), ("TE", "x"), ("X-Kept", "2")];
        let headers: Headers = headers.map(|(name, value)| (name.into(), value.into())).into();
        assert_eq!(without_hops(&headers), [("X-Kept".to_string(), b"2".to_vec())]);
    }
}

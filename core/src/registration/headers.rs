//! Headers that an endpoint's owner adds to each of its requests.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use super::reserved::{is_credential, is_reserved};
use crate::limits;

/// The custom headers of one endpoint, in the order of their names, each name once.
///
/// There are at most [`limits::CUSTOM_HEADERS`], with at most [`limits::CUSTOM_HEADER_BYTES`] of names and values
/// together. None of them can change how the request is framed, routed or signed: such names are reserved, and no
/// value can end its line. Cloning is cheap.
///
/// `Debug` shows the names alone, `Display` and JSON the values that are no secrets. A value inserted with
/// [`insert_secret`](Self::insert_secret) is marked besides ([`HeaderValue::is_sensitive`]), so that HTTP libraries
/// neither print it nor put it into a compression table; so is each value of `authorization` and `cookie`, however it was
/// inserted. It may be [sealed](Self::seal_with), and then a journal holds its sealed form alone.
#[derive(Clone, Default)]
pub struct CustomHeaders(Arc<Vec<Header>>);

#[derive(Clone)]
struct Header {
    name: HeaderName,
    value: HeaderValue,
    /// The value as it may be written down.
    sealed: Option<Bytes>,
}

/// Why a custom header was refused. No text of it contains any of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty, too long, or has a character that names may not have (RFC 9110 section 5.1).
    Name,
    /// The name belongs to the engine or to the HTTP library.
    Reserved {
        /// The name.
        name: HeaderName,
    },
    /// There is a header of this name already.
    Duplicate {
        /// The name.
        name: HeaderName,
    },
    /// The value has a byte other than visible ASCII, space and tab.
    Value {
        /// The name.
        name: HeaderName,
        /// The place of the byte, counted from 0.
        at: usize,
    },
    /// The value begins or ends with a space or a tab, which receivers drop.
    Padded {
        /// The name.
        name: HeaderName,
    },
    /// There are as many headers as there may be.
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// Names and values together are too long.
    TooLarge {
        /// How many bytes they would have.
        len: usize,
        /// How many they may have.
        max: usize,
    },
}

impl CustomHeaders {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header. The set is unchanged when it is refused. A value of `authorization` or `cookie` is a secret.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        self.put(name, value, false, None)
    }

    /// Adds a header whose value is a secret, such as `authorization`.
    pub fn insert_secret(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        self.put(name, value, true, None)
    }

    /// Adds a secret header with the sealed form of its value, as it was read back from a journal.
    pub fn insert_sealed(&mut self, name: &str, value: &str, sealed: Bytes) -> Result<(), HeaderError> {
        self.put(name, value, true, Some(sealed))
    }

    /// Seals each secret value with `seal`, which gets its name and the value and gives its sealed form of at most
    /// 65,535 bytes. Forms that are there already are replaced; after an error they are as they were.
    pub fn seal_with<E>(&mut self, mut seal: impl FnMut(&HeaderName, &[u8]) -> Result<Bytes, E>) -> Result<(), E> {
        let mut headers = Vec::clone(&self.0);
        for header in headers.iter_mut().filter(|header| header.value.is_sensitive()) {
            header.sealed = Some(seal(&header.name, header.value.as_bytes())?);
        }
        self.0 = Arc::new(headers);
        Ok(())
    }

    /// The sealed form of a value, where there is one.
    pub fn sealed(&self, name: &HeaderName) -> Option<&Bytes> {
        self.0[self.position(name).ok()?].sealed.as_ref()
    }

    /// The headers, in the order of their names. [`HeaderValue::as_bytes`] is what goes on the wire.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|header| (&header.name, &header.value))
    }

    /// Whether there is a header of this name, so that a signature scheme with headers of its own can refuse them.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.position(name).is_ok()
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put(&mut self, name: &str, value: &str, secret: bool, sealed: Option<Bytes>) -> Result<(), HeaderError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Name)?;
        if is_reserved(name.as_str()) {
            return Err(HeaderError::Reserved { name });
        }
        let Err(place) = self.position(&name) else { return Err(HeaderError::Duplicate { name }) };
        if let Some(at) = value.bytes().position(|byte| !matches!(byte, b' '..=b'~' | b'\t')) {
            return Err(HeaderError::Value { name, at });
        }
        if value.trim_matches([' ', '\t']).len() != value.len() {
            return Err(HeaderError::Padded { name });
        }
        if self.len() == limits::CUSTOM_HEADERS {
            return Err(HeaderError::TooMany { max: limits::CUSTOM_HEADERS });
        }
        let held: usize = self.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let len = held + name.as_str().len() + value.len();
        if len > limits::CUSTOM_HEADER_BYTES {
            return Err(HeaderError::TooLarge { len, max: limits::CUSTOM_HEADER_BYTES });
        }
        let mut value = HeaderValue::from_str(value).expect("visible ASCII, space and tab make a header value");
        value.set_sensitive(secret || is_credential(name.as_str()));
        Arc::make_mut(&mut self.0).insert(place, Header { name, value, sealed });
        Ok(())
    }

    fn position(&self, name: &HeaderName) -> Result<usize, usize> {
        self.0.binary_search_by(|held| held.name.as_str().cmp(name.as_str()))
    }
}

impl PartialEq for CustomHeaders {
    /// Equal when they go onto the wire alike and the same values are secret, however they were sealed.
    fn eq(&self, other: &Self) -> bool {
        let same = |((name, value), (other_name, other_value)): ((&_, &HeaderValue), (&HeaderName, &HeaderValue))| {
            name == other_name && value == other_value && value.is_sensitive() == other_value.is_sensitive()
        };
        self.len() == other.len() && self.iter().zip(other.iter()).all(same)
    }
}

impl Eq for CustomHeaders {}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomHeaders")?;
        f.debug_list().entries(self.iter().map(|(name, _)| name.as_str())).finish()
    }
}

impl fmt::Display for CustomHeaders {
    /// One line for each header; a secret value is shown as `(secret)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.iter().enumerate() {
            f.write_str(if place > 0 { "\n" } else { "" })?;
            write!(f, "{name}: {}", shown(value).unwrap_or("(secret)"))?;
        }
        Ok(())
    }
}

impl Serialize for CustomHeaders {
    /// A map from names to values; a secret value is null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name.as_str(), shown(value))))
    }
}

/// A value, if it may be shown.
fn shown(value: &HeaderValue) -> Option<&str> {
    if value.is_sensitive() { None } else { value.to_str().ok() }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("a header has no valid name; letters, digits and !#$%&'*+-.^_`|~ are allowed"),
            Self::Reserved { name } => {
                write!(f, "the header {name} is set by the engine or the HTTP library; choose another name")
            }
            Self::Duplicate { name } => write!(f, "the header {name} is there already; give each name once"),
            Self::Value { name, at } => {
                write!(f, "the value of header {name} has a forbidden byte at {at}; write visible ASCII, space or tab")
            }
            Self::Padded { name } => {
                write!(f, "the value of header {name} begins or ends with a space or tab; leave it out")
            }
            Self::TooMany { max } => write!(f, "there are {max} custom headers already, at most {max} are allowed"),
            Self::TooLarge { len, max } => {
                write!(f, "the custom headers would have {len} bytes together, at most {max} are allowed")
            }
        }
    }
}

impl core::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec;
    use proptest::prelude::*;

    fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }

    #[test]
    fn headers_are_kept_in_the_order_of_their_names() {
        let (mut one, mut two) = (CustomHeaders::new(), CustomHeaders::new());
        one.insert("X-Team", "billing \t east").unwrap();
        one.insert("Accept", "").unwrap();
        two.insert("accept", "").unwrap();
        two.insert("x-team", "billing \t east").unwrap();
        assert_eq!(one, two);
        let pairs: Vec<_> = one.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(pairs, [("accept", &b""[..]), ("x-team", b"billing \t east")]);
        assert!(one.contains(&name("x-team")) && !one.contains(&name("x-tea")) && one.len() == 2);
        assert_eq!(one.insert("X-TEAM", "other"), Err(HeaderError::Duplicate { name: name("x-team") }));
        assert_eq!(one, two);
    }

    #[test]
    fn what_frames_routes_or_signs_a_request_is_reserved() {
        for reserved in [
            "Host",
            "content-length",
            "Content-Type",
            "transfer-encoding",
            "connection",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "keep-alive",
            "user-agent",
            "Proxy-Authorization",
            "proxy-connection",
            "webhook-id",
            "svix-id",
            "Postrider-Attempt",
            "WebHook-Request-Origin",
            "ce-id",
            "Signature",
            "content-encoding",
            "X-Hub-Signature-256",
            "Stripe-Signature",
            "X-Slack-Request-Timestamp",
            "Signature-Input",
            "postrider-key-used",
        ] {
            let error = CustomHeaders::new().insert(reserved, "x").unwrap_err();
            assert!(matches!(&error, HeaderError::Reserved { name } if reserved.eq_ignore_ascii_case(name.as_str())));
        }
    }

    #[test]
    fn a_name_is_a_token() {
        for bad in ["", " ", "a b", "a:", ":path", "a\r\nb", "é", "a\0", "a/b", "(a)"] {
            assert_eq!(CustomHeaders::new().insert(bad, "x"), Err(HeaderError::Name), "{bad:?}");
        }
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        for (bad, at) in [("a\r\nb", 1), ("\n", 0), ("ab\0", 2), ("a\u{7f}", 1), ("é", 0), ("\u{1b}[0m", 0)] {
            let error = CustomHeaders::new().insert("x-a", bad);
            assert_eq!(error, Err(HeaderError::Value { name: name("x-a"), at }), "{bad:?}");
        }
        for bad in [" a", "a ", "\ta", "a\t", " "] {
            let error = CustomHeaders::new().insert("x-a", bad);
            assert_eq!(error, Err(HeaderError::Padded { name: name("x-a") }), "{bad:?}");
        }
    }

    #[test]
    fn count_and_size_are_bounded() {
        let mut many = CustomHeaders::new();
        for n in 0..limits::CUSTOM_HEADERS {
            many.insert(&format!("x-{n}"), "v").unwrap();
        }
        assert_eq!(many.insert("x-more", "v"), Err(HeaderError::TooMany { max: limits::CUSTOM_HEADERS }));

        let mut large = CustomHeaders::new();
        large.insert("x-a", &"v".repeat(limits::CUSTOM_HEADER_BYTES - 7)).unwrap();
        let max = limits::CUSTOM_HEADER_BYTES;
        assert_eq!(large.insert("x-b", "vv"), Err(HeaderError::TooLarge { len: max + 1, max }));
        large.insert("x-b", "v").unwrap();
        assert_eq!(large.len(), 2);
    }

    #[test]
    fn a_secret_has_no_voice() {
        let (mut secret, mut open) = (CustomHeaders::new(), CustomHeaders::new());
        secret.insert_secret("x-token", "canary").unwrap();
        open.insert("x-token", "canary").unwrap();
        assert_ne!(secret, open);
        secret.insert("authorization", "Bearer canary").unwrap();
        secret.insert("x-open", "shown").unwrap();
        assert_eq!(format!("{secret:?}"), r#"CustomHeaders["authorization", "x-open", "x-token"]"#);
        assert_eq!(secret.to_string(), "authorization: (secret)\nx-open: shown\nx-token: (secret)");
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, r#"{"authorization":null,"x-open":"shown","x-token":null}"#);
        assert!(!format!("{:?}", secret.iter().collect::<Vec<_>>()).contains("canary"));
        let said: Vec<String> = vec![
            secret.insert_secret("authorization", "canary").unwrap_err().to_string(),
            format!("{:?}", secret.insert_secret("x-a", "canary\n").unwrap_err()),
            secret.insert_secret("x-a", "canary ").unwrap_err().to_string(),
        ];
        assert!(said.iter().all(|text| !text.contains("canary")), "{said:?}");
    }

    #[test]
    fn secret_values_are_sealed_and_stay_what_they_are() {
        let mut plain = CustomHeaders::new();
        plain.insert_secret("authorization", "Bearer canary").unwrap();
        plain.insert("x-open", "shown").unwrap();
        let mut sealed = plain.clone();
        sealed.seal_with(|name, value| Ok::<_, ()>([name.as_str().as_bytes(), &value[7..]].concat().into())).unwrap();
        assert_eq!(sealed, plain, "sealing changes no request");
        assert_eq!(sealed.sealed(&name("authorization")).unwrap(), "authorizationcanary");
        assert_eq!((sealed.sealed(&name("x-open")), plain.sealed(&name("authorization"))), (None, None));
        assert!(!format!("{sealed:?}").contains("canary"));

        assert_eq!(sealed.seal_with(|_, _| Err("no key")), Err("no key"));
        assert_eq!(sealed.sealed(&name("authorization")).unwrap(), "authorizationcanary");
        let mut again = CustomHeaders::new();
        again.insert_sealed("authorization", "Bearer canary", Bytes::from_static(b"box")).unwrap();
        assert!(again.iter().all(|(_, value)| value.is_sensitive()));
        assert_eq!(again.sealed(&name("authorization")).unwrap(), "box");
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_one_header_line(name in ".{0,12}", value in ".{0,24}") {
            let mut headers = CustomHeaders::new();
            if headers.insert(&name, &value).is_ok() {
                let (kept, bytes) = headers.iter().next().expect("one was inserted");
                prop_assert_eq!(kept.as_str(), name.to_ascii_lowercase());
                prop_assert_eq!(bytes.as_bytes(), value.as_bytes());
                prop_assert!(bytes.as_bytes().iter().all(|byte| *byte >= b' ' && *byte <= b'~' || *byte == b'\t'));
            } else {
                prop_assert!(headers.is_empty());
            }
        }
    }
}

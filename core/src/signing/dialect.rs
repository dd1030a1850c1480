//! How an endpoint's requests are signed: in one dialect, or in several at once while its receiver changes over.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::custom::Custom;
use super::message::{CONTENT_DIGEST, SIGNATURE as MESSAGE_SIGNATURE, SIGNATURE_INPUT};
use super::rows::{self, Form, Row, Stamp};
use super::scheme::Place;
use super::standard::{SIGNATURE, SVIX};
use super::{CustomError, Scheme};
use crate::limits;

/// A way of signing that an endpoint can choose.
///
/// | name | signs with | signatures at once | keys |
/// | --- | --- | --- | --- |
/// | `standard-webhooks` | Standard Webhooks `v1`, and `v1a` with key pairs | one for each key | shared, pairs |
/// | `svix` | the same under the older names `svix-id`, `svix-timestamp` and `svix-signature` | one for each key | shared, pairs |
/// | `github` | `x-hub-signature-256` | one | shared, as text |
/// | `stripe` | `stripe-signature` | one for each shared key | shared, as text |
/// | `slack` | `x-slack-signature` | one | shared, as text |
/// | `shopify` | `x-shopify-hmac-sha256` | one | shared, as text |
/// | `http-message-signatures` | RFC 9421 over method, address, `content-digest` and `webhook-id` | one for each key | shared, pairs |
/// | [`hmac`](Self::hmac) | an HMAC that is described | one | shared, as text or as bytes |
///
/// All keys of the ring that are active sign where a dialect has room for several signatures; where it has room for one,
/// the newest active shared key signs. A key "as text" is the text of the secret, `whsec_` and all, as the receivers of
/// these services take it; elsewhere it is the bytes behind that text.
///
/// Whatever the dialect, requests carry `webhook-id` and `webhook-timestamp`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// Standard Webhooks.
    Standard,
    /// Standard Webhooks under its older names.
    Svix,
    /// GitHub's.
    Github,
    /// Stripe's.
    Stripe,
    /// Slack's.
    Slack,
    /// Shopify's.
    Shopify,
    /// HTTP Message Signatures.
    MessageSignatures,
    /// An HMAC in a header, as described.
    Hmac(Box<Custom>),
}

impl Dialect {
    /// Those that need no description.
    pub const NAMED: [Self; 7] =
        [Self::Standard, Self::Svix, Self::Github, Self::Stripe, Self::Slack, Self::Shopify, Self::MessageSignatures];

    /// A dialect that is described.
    pub fn hmac(custom: Custom) -> Result<Self, CustomError> {
        custom.check()?;
        Ok(Self::Hmac(Box::new(custom)))
    }

    /// The name by which a person asks for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard-webhooks",
            Self::Svix => "svix",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
            Self::Shopify => "shopify",
            Self::MessageSignatures => "http-message-signatures",
            Self::Hmac(_) => "hmac",
        }
    }

    /// The dialect of this name, if it needs no description.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The scheme by which a receiver verifies it. Older names of Standard Webhooks must be
    /// [accepted](super::standard::Verifier::accept_svix_names).
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Standard | Self::Svix => Scheme::Standard,
            Self::Github => Scheme::Github,
            Self::Stripe => Scheme::Stripe,
            Self::Slack => Scheme::Slack,
            Self::Shopify => Scheme::Shopify,
            Self::MessageSignatures => Scheme::MessageSignatures,
            Self::Hmac(_) => Scheme::Custom,
        }
    }

    /// Whether only shared keys can sign it.
    pub const fn needs_shared_key(&self) -> bool {
        match self {
            Self::Standard | Self::Svix | Self::MessageSignatures => false,
            Self::Github | Self::Stripe | Self::Slack | Self::Shopify | Self::Hmac(_) => true,
        }
    }

    /// The headers that it sets, in lower case.
    pub fn headers(&self) -> Vec<String> {
        let names: Vec<&str> = match self {
            Self::Standard => [SIGNATURE].into(),
            Self::Svix => SVIX.each().into(),
            Self::MessageSignatures => [CONTENT_DIGEST, SIGNATURE_INPUT, MESSAGE_SIGNATURE].into(),
            Self::Github | Self::Stripe | Self::Slack | Self::Shopify | Self::Hmac(_) => {
                let row = self.row().expect("these are rows");
                let places = [row.facts.id.place, row.facts.kind.place];
                let told = places.into_iter().filter_map(|place| match place {
                    Place::Header(name) => Some(name),
                    Place::Nowhere | Place::Json(_) => None,
                });
                let stamp = match row.stamp {
                    Stamp::Header(name, _) => Some(name.text),
                    Stamp::None | Stamp::Item(..) | Stamp::Json(..) => None,
                };
                told.chain(stamp).chain([row.header.text]).collect()
            }
        };
        names.into_iter().map(str::to_ascii_lowercase).collect()
    }

    /// The row of the table that it is, if it is one.
    pub(super) fn row(&self) -> Option<Row<'_>> {
        match self {
            Self::Standard | Self::Svix | Self::MessageSignatures => None,
            Self::Github | Self::Stripe | Self::Slack | Self::Shopify => rows::of(self.scheme()).copied(),
            Self::Hmac(custom) => Some(custom.row()),
        }
    }

    /// What stands before the signature in a header that somebody has described.
    fn prefix(&self) -> &str {
        match self {
            Self::Hmac(custom) => match custom.row().form {
                Form::Plain(prefix) => prefix,
                Form::List { .. } => "",
            },
            Self::Standard
            | Self::Svix
            | Self::Github
            | Self::Stripe
            | Self::Slack
            | Self::Shopify
            | Self::MessageSignatures => "",
        }
    }

    /// Its number in the journal, and the parts of its description.
    pub fn to_wire(&self) -> (u8, Vec<String>) {
        match self {
            Self::Standard => (0, Vec::new()),
            Self::Svix => (1, Vec::new()),
            Self::Github => (2, Vec::new()),
            Self::Stripe => (3, Vec::new()),
            Self::Slack => (4, Vec::new()),
            Self::Shopify => (5, Vec::new()),
            Self::MessageSignatures => (6, Vec::new()),
            Self::Hmac(custom) => (7, custom.to_parts()),
        }
    }

    /// The dialect that [`to_wire`](Self::to_wire) told of; `None` where a later version wrote it.
    pub fn from_wire(number: u8, parts: &[String]) -> Option<Self> {
        match number {
            7 => Self::hmac(Custom::from_parts(parts)?).ok(),
            _ => Self::NAMED.into_iter().find(|named| named.to_wire().0 == number && parts.is_empty()),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hmac(custom) => write!(f, "hmac in {}", custom.row().header.text),
            named => f.write_str(named.name()),
        }
    }
}

/// The dialects in which one endpoint's requests are signed, at least one and at most 8
/// ([`DIALECTS`](limits::DIALECTS)). A clone shares them. The default is Standard Webhooks alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dialects(Option<Arc<[Dialect]>>);

impl Dialects {
    /// These dialects, in this order. No two may set the same header.
    pub fn new(dialects: impl IntoIterator<Item = Dialect>) -> Result<Self, DialectError> {
        let dialects: Vec<_> = dialects.into_iter().take(limits::DIALECTS + 1).collect();
        if dialects.is_empty() {
            return Err(DialectError::None);
        }
        if dialects.len() > limits::DIALECTS {
            return Err(DialectError::TooMany);
        }
        let mut seen: Vec<String> = Vec::new();
        for dialect in &dialects {
            if dialect.prefix().bytes().any(|byte| !matches!(byte, b' '..=b'~')) || dialect.prefix().starts_with(' ') {
                return Err(DialectError::Prefix);
            }
            let headers = dialect.headers();
            if let Some(header) = headers.iter().find(|header| seen.contains(header)) {
                return Err(DialectError::SameHeader { header: header.as_str().into() });
            }
            seen.extend(headers);
        }
        Ok(Self((dialects != [Dialect::Standard]).then(|| dialects.into())))
    }

    /// Whether it is Standard Webhooks alone.
    pub const fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// The dialects.
    pub fn as_slice(&self) -> &[Dialect] {
        const STANDARD: &[Dialect] = &[Dialect::Standard];
        self.0.as_deref().unwrap_or(STANDARD)
    }

    /// The first that only shared keys can sign.
    pub fn needs_shared_key(&self) -> Option<&Dialect> {
        self.as_slice().iter().find(|dialect| dialect.needs_shared_key())
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// Why dialects cannot sign together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialectError {
    /// There is none.
    None,
    /// There are more than an endpoint may have.
    TooMany,
    /// Two of them set one header.
    SameHeader {
        /// Which.
        header: Box<str>,
    },
    /// What is to stand before a signature has a byte other than visible ASCII and space, or begins with a space.
    Prefix,
    /// A described one sets a header that is not its to set.
    Reserved {
        /// Which.
        header: Box<str>,
    },
    /// One sets a header that the endpoint's owner has added.
    Custom {
        /// Which.
        header: Box<str>,
    },
    /// Its number, read back, is not known here, or its description is none: a later version wrote it.
    Unknown(u8),
}

impl fmt::Display for DialectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no scheme; name at least one, such as standard-webhooks"),
            Self::TooMany => write!(f, "there are too many schemes; at most {} are allowed", limits::DIALECTS),
            Self::SameHeader { header } => write!(f, "two schemes would set the header {header}; leave one out"),
            Self::Prefix => f.write_str("the prefix of a signature must be visible ASCII, and not begin with a space"),
            Self::Reserved { header } => {
                write!(f, "the header {header} belongs to the engine or to the HTTP library; name another")
            }
            Self::Custom { header } => {
                write!(f, "the header {header} is among the endpoint's own headers; leave it out there")
            }
            Self::Unknown(number) => write!(f, "scheme number {number} is not known to this version"),
        }
    }
}

impl core::error::Error for DialectError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    fn acme() -> Dialect {
        let custom = Custom::sha512("X-Acme-Signature").base64().prefix("v1=").id_header("x-acme-id");
        let custom = custom.millis_header("x-acme-time").type_header("x-acme-type").base64_keys();
        Dialect::hmac(custom.content("{id}.{timestamp}.{url}.{body}!").unwrap()).unwrap()
    }

    #[test]
    fn each_is_read_back_from_its_number() {
        let plain = Dialect::hmac(Custom::sha256("x-sig")).unwrap();
        for dialect in Dialect::NAMED.into_iter().chain([acme(), plain]) {
            let (number, parts) = dialect.to_wire();
            assert_eq!(Dialect::from_wire(number, &parts), Some(dialect));
        }
        assert_eq!(Dialect::from_wire(0, &["x".into()]), None);
        assert_eq!(Dialect::from_wire(7, &[]), None);
        assert_eq!(Dialect::from_wire(8, &[]), None);
        let (_, mut parts) = acme().to_wire();
        parts[0] = "not a name".into();
        assert_eq!(Dialect::from_wire(7, &parts), None);
    }

    #[test]
    fn names_are_those_of_the_schemes_where_they_are_the_same() {
        for dialect in Dialect::NAMED {
            assert_eq!(Dialect::by_name(dialect.name()), Some(dialect.clone()));
            if dialect != Dialect::Svix {
                assert_eq!(dialect.scheme().name(), dialect.name());
            }
        }
        assert_eq!(Dialect::by_name("hmac"), None);
        assert_eq!(acme().to_string(), "hmac in X-Acme-Signature");
    }

    #[test]
    fn what_cannot_stand_together_is_refused() {
        let all = Dialect::NAMED.into_iter().chain([acme()]);
        let all = Dialects::new(all).unwrap();
        assert_eq!(all.as_slice().len(), limits::DIALECTS);
        assert_eq!(all.needs_shared_key(), Some(&Dialect::Github));
        assert!(!all.is_default() && Dialects::new([Dialect::Standard]).unwrap() == Dialects::default());
        assert_eq!(Dialects::default().as_slice(), [Dialect::Standard]);
        assert_eq!(Dialects::new([]), Err(DialectError::None));
        assert_eq!(Dialects::new(vec![Dialect::Github; 9]), Err(DialectError::TooMany));
        let hub = |header| Dialect::hmac(Custom::sha256(header)).unwrap();
        let same = Dialects::new([Dialect::Github, hub("X-Hub-Signature-256")]).unwrap_err();
        assert_eq!(same, DialectError::SameHeader { header: "x-hub-signature-256".into() });
        let bent = Dialect::hmac(Custom::sha256("x").prefix("a\r\nb: ")).unwrap();
        assert_eq!(Dialects::new([bent]), Err(DialectError::Prefix));
        assert_eq!(format!("{:?}", Dialects::default()), "[Standard]");
    }
}

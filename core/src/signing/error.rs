//! Why a verifier cannot be made, and why a request was not accepted.

use core::fmt;
use core::time::Duration;

use super::custom::CustomError;
use crate::limits::RING_KEYS;
use crate::secret::SecretError;

/// Longest id, in bytes.
pub(super) const ID_BYTES: usize = 256;

/// Longest value of a header that is part of a signature, in bytes: room for 32 signatures of any scheme.
pub(super) const HEADER_BYTES: usize = 8 * 1024;

/// Why a request was not accepted. For the receiver's log; the sender is told [`status_hint`](Self::status_hint) and
/// [`wire_text`](Self::wire_text) only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header is absent.
    Missing {
        /// Its name.
        header: &'static str,
    },
    /// A header appears more than once, so that two readers could take two different values.
    Duplicate {
        /// Its name.
        header: &'static str,
    },
    /// A header of the signature is longer than 8 KiB.
    TooLong {
        /// Its name.
        header: &'static str,
    },
    /// A header is not written as its scheme writes it.
    BadHeader {
        /// Its name.
        header: &'static str,
    },
    /// What the signature needs is absent, or there twice: a part of a header, a form field or a member of the JSON.
    Field {
        /// Its label, name or JSON pointer.
        field: &'static str,
    },
    /// The body cannot be read as what the scheme signs.
    BadBody {
        /// What it should be.
        wanted: &'static str,
    },
    /// The id is not 1 to 256 visible ASCII characters.
    BadId,
    /// The timestamp is not a plain decimal number below 2^63.
    BadTimestamp,
    /// The timestamp is further back than is tolerated.
    TooOld {
        /// How far back it is, in whole seconds.
        age: Duration,
        /// How far back it may be.
        tolerance: Duration,
    },
    /// The timestamp is further ahead than is tolerated.
    TooNew {
        /// How far ahead it is, in whole seconds.
        lead: Duration,
        /// How far ahead it may be.
        tolerance: Duration,
    },
    /// The sender set a time after which the signature is void, and it has passed.
    Expired {
        /// How long ago, in whole seconds.
        ago: Duration,
    },
    /// The request also has the header of a better scheme, so a signature of the old one counts for nothing.
    Downgrade {
        /// The header of the better scheme.
        header: &'static str,
    },
    /// The signature does not cover what the verifier demands.
    NotCovered {
        /// The component that is not covered.
        component: &'static str,
    },
    /// The body is not the one whose digest was signed.
    BodyDigest {
        /// Where the signed digest is.
        field: &'static str,
    },
    /// Nothing in the signature header is a well-formed signature of the scheme.
    NoSignature {
        /// How many items were looked at.
        items: usize,
    },
    /// No signature was made over these bytes with a key of the verifier.
    NoMatch {
        /// How many well-formed signatures were compared.
        signatures: usize,
    },
}

impl VerifyError {
    /// The status to answer with: 400 for requests that lack something or are malformed, 401 for everything that
    /// concerns trust. Either makes a conforming sender try again.
    pub const fn status_hint(&self) -> u16 {
        match self {
            Self::Missing { .. }
            | Self::Duplicate { .. }
            | Self::TooLong { .. }
            | Self::BadHeader { .. }
            | Self::Field { .. }
            | Self::BadBody { .. }
            | Self::BadId
            | Self::BadTimestamp => 400,
            Self::TooOld { .. }
            | Self::TooNew { .. }
            | Self::Expired { .. }
            | Self::Downgrade { .. }
            | Self::NotCovered { .. }
            | Self::BodyDigest { .. }
            | Self::NoSignature { .. }
            | Self::NoMatch { .. } => 401,
        }
    }

    /// The one text for the answer's body, whatever was wrong, so that it helps nobody to try keys or times.
    pub const fn wire_text(&self) -> &'static str {
        "the webhook was not accepted"
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { header } => write!(f, "the header {header} is missing"),
            Self::Duplicate { header } => write!(f, "the header {header} appears more than once"),
            Self::TooLong { header } => write!(f, "the header {header} is longer than {HEADER_BYTES} bytes"),
            Self::BadHeader { header } => write!(f, "the header {header} is not written as its scheme writes it"),
            Self::Field { field } => write!(f, "the signature's part {field} is missing or appears more than once"),
            Self::BadBody { wanted } => write!(f, "the body is not {wanted}, which this scheme signs"),
            Self::BadId => write!(f, "the id header is not 1 to {ID_BYTES} visible ASCII characters"),
            Self::BadTimestamp => f.write_str(
                "the timestamp header is not a plain decimal number of seconds (no sign, leading zero, blank or fraction)",
            ),
            Self::TooOld { age, tolerance } => {
                write!(f, "the timestamp is {age:?} before this receiver's clock, at most {tolerance:?} is tolerated")
            }
            Self::TooNew { lead, tolerance } => {
                write!(f, "the timestamp is {lead:?} ahead of this receiver's clock, at most {tolerance:?} is tolerated")
            }
            Self::Expired { ago } => write!(f, "the signature expired {ago:?} ago by this receiver's clock"),
            Self::Downgrade { header } => {
                write!(f, "the request has the header {header} too, so its older signature is not looked at")
            }
            Self::NotCovered { component } => write!(f, "the signature does not cover {component}, which is demanded"),
            Self::BodyDigest { field } => write!(f, "the body is not the one whose digest is signed in {field}"),
            Self::NoSignature { items } => {
                write!(f, "none of the {items} items in the signature header is a signature of this scheme")
            }
            Self::NoMatch { signatures } => {
                write!(f, "none of {signatures} signatures fits what was received under a known key")
            }
        }
    }
}

impl core::error::Error for VerifyError {}

/// Keys that make no verifier or signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifierError {
    /// There is none, so nothing could ever be accepted.
    NoKeys,
    /// There are more than 10 ([`RING_KEYS`]).
    TooManyKeys,
    /// A key cannot be read.
    Key {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        why: KeyError,
    },
    /// The description of a custom scheme makes none.
    Custom(CustomError),
    /// The scheme takes more than texts of keys: it has a constructor of its own.
    NeedsMore,
    /// The scheme is not built in: the crate was built without this feature.
    NeedsFeature {
        /// The feature's name.
        feature: &'static str,
    },
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("a verifier needs at least one key"),
            Self::TooManyKeys => write!(f, "a verifier takes at most {RING_KEYS} keys"),
            Self::Key { index, why } => write!(f, "key number {} {why}", index + 1),
            Self::Custom(why) => why.fmt(f),
            Self::NeedsMore => {
                f.write_str("this scheme takes more than the texts of its keys; use its own constructor")
            }
            Self::NeedsFeature { feature } => {
                write!(f, "this scheme is not built in; build postrider-core with its feature `{feature}`")
            }
        }
    }
}

impl core::error::Error for VerifierError {}

/// Why the text of a key was refused. It never quotes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// There is nothing in it.
    Empty,
    /// It is no Standard Webhooks secret.
    Secret(SecretError),
    /// It is not hexadecimal digits, two for each byte.
    NotHex,
    /// It is not standard base64 with padding, after its prefix if it has one.
    NotBase64,
    /// It has another number of bytes than keys of this kind have.
    Size {
        /// How many it has.
        bytes: usize,
        /// How many it should have.
        wanted: usize,
    },
    /// A private key was given where a public key is needed.
    Private,
    /// A public key was given where a private key is needed.
    Public,
    /// A shared key (`whsec_`) was given where a key pair is needed.
    Shared,
    /// It is no point of the curve, or one of the few that sign for everything.
    NoPoint,
    /// The public half of a private key is not the one that belongs to it.
    Halves,
    /// It is not a public name and a private key with a `:` between.
    NoName,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Secret(why) => write!(f, "is refused: {why}"),
            Self::NotHex => f.write_str("is not hexadecimal digits, two for each byte"),
            Self::NotBase64 => f.write_str("is not standard base64 with padding after its prefix"),
            Self::Size { bytes, wanted } => write!(f, "has {bytes} bytes, keys of this kind have {wanted}"),
            Self::Private => f.write_str("is a private key, a public key is needed"),
            Self::Public => f.write_str("is a public key, a private key is needed"),
            Self::Shared => f.write_str("is a shared key (`whsec_`), one of a key pair is needed"),
            Self::NoPoint => f.write_str("is not a public key: no point of the curve, or a weak one"),
            Self::Halves => f.write_str("has a public half that does not belong to its private half"),
            Self::NoName => f.write_str("is not a public name and a private key with a `:` between"),
        }
    }
}

impl core::error::Error for KeyError {}

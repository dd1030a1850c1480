//! Signature schemes, sign and verify side by side.
//!
//! A [`Verifier`] checks requests of one [`Scheme`], of any of the 28 that are built in or of one that the caller
//! describes ([`Custom`]). It takes a [`Received`] request as it came and the time as a parameter, and hands the body
//! back inside a [`Verified`] that only verifying can make. A [`Signer`] makes such requests. What a scheme's requests
//! carry, and what of it their signature covers, is told by [`Scheme::facts`]. [`challenge`] answers the questions by
//! which providers make sure of a receiver. [`receipt`] is what a receiver gives for what it has. [`diagnose`] says why a signature did not fit.
//!
//! [`standard`] is the scheme of Postrider's own sender, with its keys made ready and written without allocating.
//! Schemes with key pairs are features: `ed25519` for Standard Webhooks `v1a`, Discord and message signatures, `p256`
//! for SendGrid. Without them these are refused by name.
//!
//! ```
//! use postrider_core::secret::Secret;
//! use postrider_core::signing::{SigningKey, standard};
//! use postrider_core::time::UnixTime;
//!
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let signature = standard::sign([&SigningKey::from(&secret)], "msg_1", 1_700_000_000, b"{}");
//! let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &signature)];
//!
//! let verifier = standard::Verifier::new([&secret])?;
//! let verified = verifier.verify(&headers, b"{}", UnixTime::from_secs(1_700_000_042))?;
//! assert_eq!((verified.id(), verified.body(), verified.key()), ("msg_1", &b"{}"[..], secret.id()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bodies;
mod custom;
mod dialect;
mod error;
mod facts;
mod headers;
mod key;
mod keys;
mod outgoing;
#[cfg(feature = "ed25519")]
mod pair;
mod pointer;
mod received;
mod row;
mod rows;
mod scheme;
mod signer;
mod verified;
mod verifier;

pub mod challenge;
pub mod diagnose;
pub mod message;
pub mod receipt;
pub mod standard;

pub use custom::{Custom, CustomError};
pub use dialect::{Dialect, DialectError, Dialects};
pub use error::{KeyError, VerifierError, VerifyError};
pub use headers::Headers;
use key::Decimal;
pub use key::SigningKey;
pub use keys::Algorithm;
pub use message::MessageKey;
pub(crate) use outgoing::{Made, Outgoing, ReadyKey, sign};
#[cfg(feature = "ed25519")]
pub use pair::{PrivateKey, PublicKey};
pub use received::Received;
pub use scheme::{Extent, Facts, Place, Scheme, SchemeError, Source};
pub use signer::{SignError, Signed, Signer, Unsigned};
pub use verified::{Covered, Verified};
pub use verifier::Verifier;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_dialects;
#[cfg(test)]
mod tests_schemes;

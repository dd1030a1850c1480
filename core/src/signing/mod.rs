//! Signature schemes, sign and verify side by side.
//!
//! | scheme | module | what is signed | with |
//! | --- | --- | --- | --- |
//! | Standard Webhooks `v1` | [`standard`] | id `.` timestamp `.` body | HMAC-SHA256 |
//!
//! A [`SigningKey`] is a shared key made ready; the same one signs and verifies. Verifying takes the body as bytes, the
//! time as a parameter, and hands the body back inside a value that only verifying can make. [`diagnose`] says why a
//! signature did not fit.
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

mod headers;
mod key;

pub mod diagnose;
pub mod standard;

pub use headers::Headers;
pub use key::SigningKey;

#[cfg(test)]
mod tests;

//! One signed request, for every verifier that is compared.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use postrider_core::secret::Secret;
use postrider_core::signing::{SigningKey, standard};
use postrider_core::time::UnixTime;

/// The key that all share.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request as its receiver has it.
pub struct Request {
    /// When it was signed: now, for verifiers that look at the clock by themselves.
    pub at: UnixTime,
    /// The three headers of Standard Webhooks, in a slice.
    pub pairs: [(&'static str, String); 3],
    /// The same in a map.
    pub map: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// With a body of this many bytes.
    ///
    /// # Panics
    ///
    /// When the clock stands before 1970.
    pub fn of(bytes: usize) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_secs();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", vec![b'x'; bytes]);
        let key = SigningKey::from(&Secret::parse(SECRET).expect("a secret"));
        let pairs = [
            (standard::ID, id.to_owned()),
            (standard::TIMESTAMP, at.to_string()),
            (standard::SIGNATURE, standard::sign([&key], id, at, &body)),
        ];
        let line = |(name, value): &(&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value).expect("visible ASCII"))
        };
        Self { at: UnixTime::from_secs(at), map: pairs.iter().map(line).collect(), pairs, body }
    }
}

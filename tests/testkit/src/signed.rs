//! Requests as the providers of all schemes sign them, for tests of receivers.
//!
//! ```
//! use postrider_core::signing::{Received, Scheme};
//! use postrider_core::time::UnixTime;
//! use postrider_testkit::signed::Provider;
//!
//! let (now, provider) = (UnixTime::from_secs(1_700_000_000), Provider::new(Scheme::Stripe).unwrap());
//! let request = provider.request("evt_1", br#"{"id":"evt_1","amount":1}"#, now);
//! let received =
//!     Received { method: "POST", url: &request.url, headers: &request.headers[..], body: &request.body };
//! assert!(provider.verifier().verify(&received, now).is_ok());
//! ```

use postrider_core::signing::{Custom, Scheme, Signed, Signer, Unsigned, Verifier};
use postrider_core::time::UnixTime;

/// The secret of schemes that share one, as Standard Webhooks writes it.
pub const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Where all requests go.
pub const URL: &str = "https://example.com/hook?a=1";

const HEX: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// The other half of [`HEX`], where it is the seed of a pair.
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// Somebody who signs as a scheme says, and whoever knows the key to that.
#[derive(Clone)]
pub struct Provider {
    scheme: Scheme,
    signer: Signer,
    verifier: Verifier,
}

impl Provider {
    /// With a key of its own, the same each time; `None` where none can be had: SendGrid keeps its private keys to itself,
    /// and a scheme whose feature is off is refused.
    pub fn new(scheme: Scheme) -> Option<Self> {
        if scheme == Scheme::Custom {
            let custom = Custom::sha256("x-sig").id_header("x-id").timestamp_header("x-time");
            let custom = custom.content("{id}.{timestamp}.{url}.{body}").ok()?;
            let (signer, verifier) = (Signer::custom(custom.clone(), "k").ok()?, Verifier::custom(custom, ["k"]).ok()?);
            return Some(Self { scheme, signer, verifier });
        }
        let (signing, verifying) = match scheme {
            Scheme::Standard | Scheme::MessageSignatures => (SHARED, SHARED),
            Scheme::Discord => (HEX, PUBLIC),
            Scheme::AdyenHeader | Scheme::AdyenNotification => (HEX, HEX),
            Scheme::Braintree => ("public:private", "public:private"),
            _ => ("secret", "secret"),
        };
        let (signer, verifier) = (Signer::new(scheme, signing).ok()?, Verifier::new(scheme, [verifying]).ok()?);
        Some(Self { scheme, signer, verifier })
    }

    /// Those of all schemes that can sign here.
    pub fn all() -> impl Iterator<Item = Self> {
        Scheme::ALL.into_iter().filter_map(Self::new)
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Who accepts what it signs.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// A request that it signs at that time, to [`URL`]. Linear, Mailgun and Adyen's notifications sign members of a body
    /// of a certain shape: theirs is another, with `body` as text in it.
    ///
    /// # Panics
    ///
    /// When there is something in `id` that no header takes.
    pub fn request(&self, id: &str, body: &[u8], at: UnixTime) -> Signed {
        let text = || String::from_utf8_lossy(body).into_owned();
        let shaped = match self.scheme {
            Scheme::Linear => {
                serde_json::json!({ "webhookTimestamp": at.as_millis(), "text": text() }).to_string().into_bytes()
            }
            Scheme::Mailgun => serde_json::json!({ "text": text() }).to_string().into_bytes(),
            Scheme::AdyenNotification => {
                let item = serde_json::json!({ "amount": { "value": 1 }, "merchantReference": text() });
                let items = serde_json::json!([{ "NotificationRequestItem": item }]);
                serde_json::json!({ "notificationItems": items }).to_string().into_bytes()
            }
            _ => body.to_vec(),
        };
        // What is no form is signed by its digest where forms are signed by their fields.
        let headers = [("content-type", "text/plain")];
        let request = Unsigned { method: "POST", url: URL, id: Some(id), headers: &headers, body: &shaped };
        self.signer.sign(&request, at).expect("bodies of these shapes can be signed")
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

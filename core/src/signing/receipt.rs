//! Receipts: an answer that shows that whoever gave it holds the key and has the event.
//!
//! A status shows that something answered; a proxy, a parked host or a page for everything answers 200 as well. A receiver
//! that gives receipts adds one header to its answer of success, `postrider-receipt: v1,` and base64 ([`HEADER`]):
//!
//! ```text
//! receipt key = SHA-256("postrider receipt 1\0" key)              the key's bytes, as `v1` signatures use them
//! receipt     = HMAC-SHA256(receipt key, id "." hex(SHA-256(body)))
//! ```
//!
//! The id is that of `webhook-id`, the digest is in lower case. It is always 64 characters behind the last `.`, so no two
//! pairs of an id and a body have the same text, whatever the id holds.
//!
//! **A receipt is never a signature, nor the reverse.** They are made with different keys. The key is not used for both
//! with something in front of the text, because what a key signs is in the hands of others: Standard Webhooks sign
//! `id.time.body`, but with the same key a described scheme may sign nothing but a body, and a body can be any text, that
//! of a receipt too. Nor is the receipt key an HMAC under the key, since then the signature of one particular body would
//! be the receipt key. As a digest of the key that begins with a text of its own, like the key's name
//! ([`KeyId`](crate::secret::KeyId)), it is nothing that signing ever gives away.
//!
//! **Whose receipts there are.** Shared keys make them, of requests that were verified as Standard Webhooks `v1`, under
//! either family of names. Who verified a `v1a` signature has the public half only and can sign nothing with it, so he
//! gives none.
//!
//! ```
//! use postrider_core::secret::Secret;
//! use postrider_core::signing::SigningKey;
//! use postrider_core::signing::receipt::{self, DeliveryReceipt, ReceiptCheck};
//!
//! let key = SigningKey::from(&Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?);
//! let given = DeliveryReceipt::sign(&key, "msg_1", b"{}").to_string();
//! let expected = [DeliveryReceipt::sign(&key, "msg_1", b"{}")];
//! assert_eq!(receipt::check(&expected, [given.as_bytes()]), ReceiptCheck::Verified);
//! assert_eq!(receipt::check(&expected, []), ReceiptCheck::Missing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::SigningKey;

/// The header of an answer that carries a receipt.
pub const HEADER: &str = "postrider-receipt";

/// Receipts of one answer that are looked at; more come from nobody who means well.
pub const LISTED: usize = 8;

/// What keeps the receipt keys apart from every other use of SHA-256 over a key.
const KEY_DOMAIN: &[u8] = b"postrider receipt 1\0";

/// What a receiver gives for one event and one body. `Display` writes it as it stands in the header: `v1,` and base64.
///
/// It is no secret. `==` takes the same time wherever two differ.
#[derive(Clone, Copy)]
pub struct DeliveryReceipt([u8; 32]);

impl DeliveryReceipt {
    /// The receipt that the holder of this key gives for an event's id and body. It costs hashing the body.
    pub fn sign(key: &SigningKey, id: &str, body: &[u8]) -> Self {
        Self::of(key, id, &BodyDigest::of(body))
    }

    /// The same of a body that is hashed already.
    pub(super) fn of(key: &SigningKey, id: &str, body: &BodyDigest) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.receipt[..]).expect("HMAC takes a key of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(&body.0);
        Self(mac.finalize().into_bytes().into())
    }

    /// Reads what `Display` writes.
    fn read(item: &[u8]) -> Option<Self> {
        let encoded = item.strip_prefix(b"v1,").filter(|encoded| encoded.len() == 44)?;
        let mut decoded = [0; 33];
        let len = STANDARD.decode_slice(encoded, &mut decoded).ok()?;
        (len == 32).then_some(decoded)?.first_chunk().copied().map(Self)
    }
}

impl PartialEq for DeliveryReceipt {
    fn eq(&self, other: &Self) -> bool {
        let output = |receipt: &Self| CtOutput::<Sha256>::new(receipt.0.into());
        output(self) == output(other)
    }
}

impl Eq for DeliveryReceipt {}

impl fmt::Display for DeliveryReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 44];
        let len = STANDARD.encode_slice(self.0, &mut text).expect("32 bytes are 44 characters of base64");
        write!(f, "v1,{}", core::str::from_utf8(&text[..len]).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for DeliveryReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveryReceipt({self})")
    }
}

/// SHA-256 of a body in lower-case digits, so that several keys need it only once.
pub(super) struct BodyDigest([u8; 64]);

impl BodyDigest {
    pub(super) fn of(body: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(Sha256::digest(body)) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self(text)
    }
}

/// The key that signs the receipts of whoever holds this one.
pub(super) fn key_of(key: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(Sha256::new().chain_update(KEY_DOMAIN).chain_update(key).finalize().into())
}

/// What an answer of success came to, as far as its receipt is concerned. It changes nothing about the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "nothing was expected, or it came, or it did not, or something else did")]
pub enum ReceiptCheck {
    /// No receipt was asked for, or the answer was none of success.
    #[default]
    NotAsked,
    /// It is the receipt for what was sent, by a key that has signed the request.
    Verified,
    /// The answer has none.
    Missing,
    /// The answer has one, and it is none for what was sent by a key that has signed the request.
    Wrong,
}

impl ReceiptCheck {
    /// All of them, in the order of their bytes.
    pub const ALL: [Self; 4] = [Self::NotAsked, Self::Verified, Self::Missing, Self::Wrong];

    /// A name that does not change between versions, for metrics and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAsked => "not-asked",
            Self::Verified => "verified",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }

    /// A byte for the journal. It does not change between versions.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::NotAsked => 0,
            Self::Verified => 1,
            Self::Missing => 2,
            Self::Wrong => 3,
        }
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for a byte that it never gives.
    pub fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

impl fmt::Display for ReceiptCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "no receipt was asked for",
            Self::Verified => "the receipt is verified",
            Self::Missing => "the answer has no receipt",
            Self::Wrong => "the receipt is wrong",
        })
    }
}

/// Looks for one of the `expected` receipts among the lines of an answer's [`HEADER`]. A line may list several, parted by
/// spaces; those of unknown versions fit nothing, and of all the first [`LISTED`] are looked at. Without any expected
/// receipt none was asked for.
pub fn check<'l>(expected: &[DeliveryReceipt], lines: impl IntoIterator<Item = &'l [u8]>) -> ReceiptCheck {
    if expected.is_empty() {
        return ReceiptCheck::NotAsked;
    }
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return ReceiptCheck::Missing;
    }
    let items = lines.flat_map(|line| line.split(|byte| *byte == b' ')).filter(|item| !item.is_empty());
    let mut fits = false;
    for given in items.take(LISTED).filter_map(DeliveryReceipt::read) {
        for expected in expected {
            fits |= given == *expected;
        }
    }
    if fits { ReceiptCheck::Verified } else { ReceiptCheck::Wrong }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;
    use crate::signing::{Custom, Received, Scheme, Signer, Unsigned, Verifier, VerifyError, standard};
    use crate::time::UnixTime;

    const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn key(number: u8) -> SigningKey {
        SigningKey::from(Secret::from_bytes([number; 32]).unwrap())
    }

    /// Computed with Python's `hmac` and `hashlib`, from the description above.
    #[test]
    fn a_receipt_is_what_the_description_says() {
        let key = SigningKey::from(Secret::parse(TEXT).unwrap());
        let receipt = DeliveryReceipt::sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", b"{\"test\": 2432232314}");
        assert_eq!(receipt.to_string(), "v1,+AOs+IHP5BUY6zHyhIh+xyKlpaBwrFhC4v9Rj0bFtIk=");
        assert_eq!(DeliveryReceipt::read(receipt.to_string().as_bytes()), Some(receipt));
        assert_eq!(format!("{receipt:?}"), format!("DeliveryReceipt({receipt})"));
    }

    #[test]
    fn an_answer_has_the_receipt_or_none_or_another() {
        let expected = [DeliveryReceipt::sign(&key(1), "a", b"{}"), DeliveryReceipt::sign(&key(2), "a", b"{}")];
        let looked = |lines: &[&str]| check(&expected, lines.iter().map(|line| line.as_bytes()));
        let of = |number, id, body: &[u8]| DeliveryReceipt::sign(&key(number), id, body).to_string();
        let (first, second, other) = (of(1, "a", b"{}"), of(2, "a", b"{}"), of(3, "a", b"{}"));
        assert_eq!([looked(&[&first]), looked(&[&second])], [ReceiptCheck::Verified; 2]);
        assert_eq!(looked(&["v2,AAAA", &format!("{other}  {second}")]), ReceiptCheck::Verified);
        assert_eq!(looked(&[]), ReceiptCheck::Missing);
        let upper = first.replacen("v1", "V1", 1);
        for wrong in ["", "v1,", &other, &of(1, "b", b"{}"), &of(1, "a", b"{ }"), &upper, &first[..46], &first[3..]] {
            assert_eq!(looked(&[wrong]), ReceiptCheck::Wrong, "{wrong}");
        }
        let many = [other.as_str(); LISTED];
        assert_eq!(looked(&[&many[1..], &[&first]].concat()), ReceiptCheck::Verified);
        assert_eq!(looked(&[&many[..], &[&first]].concat()), ReceiptCheck::Wrong, "a bounded number is looked at");
        assert_eq!(check(&[], [first.as_bytes()]), ReceiptCheck::NotAsked);
    }

    #[test]
    fn a_check_keeps_its_byte_and_its_name() {
        for check in ReceiptCheck::ALL {
            assert_eq!(ReceiptCheck::from_wire(check.to_wire()), Some(check));
        }
        assert_eq!(ReceiptCheck::ALL.map(ReceiptCheck::name), ["not-asked", "verified", "missing", "wrong"]);
        assert_eq!(ReceiptCheck::from_wire(4), None);
    }

    #[test]
    fn a_receipt_is_given_for_what_was_verified_with_a_shared_key() {
        let now = UnixTime::from_secs(1_700_000_000);
        let verifier = Verifier::standard(["whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", TEXT]).unwrap();
        let second = SigningKey::from(Secret::parse(TEXT).unwrap());
        let signature = standard::sign([&second], "a.b", now.as_secs(), b"{}");
        let headers =
            [("webhook-id", "a.b"), ("webhook-timestamp", "1700000000"), ("webhook-signature", signature.as_str())];
        let received = Received { method: "POST", url: "/", headers: &headers, body: b"{}" };
        let verified = verifier.verify(&received, now).unwrap();
        assert_eq!(verifier.receipt(&verified), Some(DeliveryReceipt::sign(&second, "a.b", b"{}")));
        let other = Verifier::standard(["whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="]).unwrap();
        assert_eq!(other.receipt(&verified), None, "it does not have the key");
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn who_has_only_the_public_half_gives_no_receipt() {
        use crate::signing::PrivateKey;
        let now = UnixTime::from_secs(1_700_000_000);
        let private = PrivateKey::from_seed(&[9; 32]);
        let verifier = standard::Verifier::from_public([private.public()]).unwrap();
        let verifier = Verifier::from(verifier);
        let mut signature = Vec::new();
        private.write_v1a("a", now.as_secs(), b"{}", &mut signature);
        let signature = alloc::string::String::from_utf8(signature).unwrap();
        let headers =
            [("webhook-id", "a"), ("webhook-timestamp", "1700000000"), ("webhook-signature", signature.as_str())];
        let received = Received { method: "POST", url: "/", headers: &headers, body: b"{}" };
        let verified = verifier.verify(&received, now).unwrap();
        assert_eq!(verifier.receipt(&verified), None);
    }

    /// The text that a receipt's key signs.
    fn text_of(id: &str, body: &[u8]) -> Vec<u8> {
        [id.as_bytes(), b".", &BodyDigest::of(body).0].concat()
    }

    fn accepts(verifier: &Verifier, headers: &[(&str, &str)], body: &[u8]) -> Result<(), VerifyError> {
        let received = Received { method: "POST", url: "/", headers, body };
        verifier.verify(&received, UnixTime::from_secs(1_700_000_000)).map(drop)
    }

    proptest! {
        /// No receipt passes for a signature of Standard Webhooks, however its text is cut into an id, a time and a body;
        /// and with a key that signs nothing but bodies, not for a signature of its own text either.
        #[test]
        fn a_receipt_is_no_signature(
            id in "[!-~]{1,24}(\\.1700000000)?(\\.[!-~]{1,8})?",
            body in proptest::collection::vec(any::<u8>(), 0..64),
            bytes in any::<[u8; 32]>(),
        ) {
            let secret = Secret::from_bytes(bytes).unwrap();
            let key = SigningKey::from(&secret);
            let receipt = DeliveryReceipt::sign(&key, &id, &body);
            let (text, value) = (text_of(&id, &body), receipt.to_string());
            let verifier = Verifier::from(standard::Verifier::new([&secret]).unwrap()).any_time();
            let dots: Vec<_> = (0..text.len()).filter(|at| text[*at] == b'.').collect();
            for (nth, first) in dots.iter().enumerate() {
                for second in &dots[nth + 1..] {
                    let (id, time) = (&text[..*first], &text[first + 1..*second]);
                    let id = core::str::from_utf8(id).unwrap();
                    let time = core::str::from_utf8(time).unwrap();
                    let headers = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", &*value)];
                    prop_assert!(accepts(&verifier, &headers, &text[second + 1..]).is_err());
                }
            }
            let headers =
                [("webhook-id", &*id), ("webhook-timestamp", "1700000000"), ("webhook-signature", &*value)];
            prop_assert!(accepts(&verifier, &headers, &body).is_err());

            let scheme = Custom::sha256("x-signature").base64_keys().base64();
            let bodies = Verifier::custom(scheme, [&secret.reveal()["whsec_".len()..]]).unwrap();
            prop_assert!(accepts(&bodies, &[("x-signature", &value[3..])], &text).is_err());
        }

        /// And no signature for a receipt: neither one of Standard Webhooks, nor one of a body that is the text of the
        /// receipt, nor one made with what signing the receipt key's own text gives.
        #[test]
        fn a_signature_is_no_receipt(
            id in "[!-~]{1,24}",
            body in proptest::collection::vec(any::<u8>(), 0..64),
            bytes in any::<[u8; 32]>(),
        ) {
            let secret = Secret::from_bytes(bytes).unwrap();
            let key = SigningKey::from(&secret);
            let expected = [DeliveryReceipt::sign(&key, &id, &body)];
            let text = text_of(&id, &body);
            let plain = |key: &[u8], text: &[u8]| {
                let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize();
                mac.into_bytes()
            };
            let oracle = plain(secret.expose(), KEY_DOMAIN);
            let macs = [plain(secret.expose(), &text), plain(&oracle, &text)];
            let macs = macs.map(|mac| format!("v1,{}", STANDARD.encode(mac)));
            for value in macs.into_iter().chain([
                standard::sign([&key], &id, 1_700_000_000, &body),
                standard::sign([&key], &id, 1_700_000_000, &text),
            ]) {
                prop_assert_eq!(check(&expected, [value.as_bytes()]), ReceiptCheck::Wrong);
            }
        }

        /// Different ids, bodies and keys have different receipts: where an id ends cannot be moved.
        #[test]
        fn a_receipt_is_for_one_id_and_one_body(
            (id, other) in ("[!-~]{1,12}", "[!-~]{1,12}"),
            (body, another) in ("[.-9]{0,12}", "[.-9]{0,12}"),
        ) {
            let one = DeliveryReceipt::sign(&key(1), &id, body.as_bytes());
            let two = DeliveryReceipt::sign(&key(1), &other, another.as_bytes());
            prop_assert_eq!(one == two, (&id, &body) == (&other, &another));
            prop_assert_ne!(one, DeliveryReceipt::sign(&key(2), &id, body.as_bytes()));
        }
    }

    /// Every scheme but Standard Webhooks, verified with a key that it reads.
    #[test]
    fn what_other_schemes_verify_has_no_receipt() {
        let now = UnixTime::from_secs(1_700_000_000);
        for scheme in [Scheme::Github, Scheme::Stripe, Scheme::Slack, Scheme::GitlabToken] {
            let unsigned =
                Unsigned { method: "POST", url: "https://example.com/", id: Some("a"), headers: &[], body: b"{}" };
            let signed = Signer::new(scheme, "a secret").unwrap().sign(&unsigned, now).unwrap();
            let headers: Vec<_> = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let received = Received { method: "POST", url: &signed.url, headers: &headers, body: &signed.body };
            let verifier = Verifier::new(scheme, ["a secret"]).unwrap();
            let verified = verifier.verify(&received, now).unwrap();
            assert_eq!(verifier.receipt(&verified), None, "{scheme:?}");
        }
    }
}

//! Invariant: whatever the headers and the body are, verifying never panics, and what it accepts carries a signature
//! that signing the same id, timestamp and body with the same key gives again.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use postrider_core::secret::Secret;
use postrider_core::signing::{SigningKey, standard};
use postrider_core::time::UnixTime;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    key: [u8; 24],
    id: &'a [u8],
    timestamp: &'a [u8],
    signature: &'a [u8],
    body: &'a [u8],
    now: u64,
    /// Replaces the signature by a right one, so that the other checks are reached.
    sign: bool,
}

fuzz_target!(|case: Case<'_>| {
    let secret = Secret::from_bytes(case.key).expect("24 bytes");
    let key = SigningKey::new(&secret);
    let verifier = standard::Verifier::new([&secret]).expect("one key");
    let text = |bytes| core::str::from_utf8(bytes).ok();
    let mut signature = case.signature.to_vec();
    if let (true, Some(id), Some(timestamp)) = (case.sign, text(case.id), text(case.timestamp)) {
        if let Ok(timestamp) = timestamp.parse::<u64>() {
            signature = standard::sign([&key], id, timestamp, case.body).into_bytes();
        }
    }
    let headers =
        [(standard::ID, case.id), (standard::TIMESTAMP, case.timestamp), (standard::SIGNATURE, &signature[..])];
    if let Ok(verified) = verifier.verify(&headers[..], case.body, UnixTime::from_secs(case.now)) {
        let again = standard::sign([&key], verified.id(), verified.timestamp().as_secs(), verified.body());
        let listed = core::str::from_utf8(&signature).expect("an accepted signature is text");
        assert!(listed.split(' ').any(|item| item == again));
    }
});

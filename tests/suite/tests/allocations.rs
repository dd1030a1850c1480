//! What accepting a request costs in allocations, counted by an allocator that counts.

use postrider_core::signing::{Custom, Received, Scheme, Signer, Unsigned, Verifier};
use postrider_core::time::UnixTime;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HEX: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const BODY: &[u8] = br#"{"type":"a.b","webhookTimestamp":1700000000000,"data":{"n":[1,2.5,null]}}"#;

/// The allocations of accepting a request.
fn count(signer: &Signer, verifier: &Verifier) -> u64 {
    let request = Unsigned { method: "POST", url: "https://example.com/", id: Some("msg_1"), headers: &[], body: BODY };
    let signed = signer.sign(&request, NOW).expect("it can be signed");
    let received = Received { method: "POST", url: &signed.url, headers: &signed.headers, body: &signed.body };
    let mut accepted = false;
    let counted = allocation_counter::measure(|| accepted = verifier.verify(&received, NOW).is_ok());
    assert!(accepted, "{signer:?}");
    counted.count_total
}

#[test]
fn accepting_an_hmac_in_a_header_allocates_nothing() {
    let custom =
        Custom::sha512("x-sig").timestamp_header("x-time").content("{timestamp}.{url}.{body}").expect("a scheme");
    let signer = Signer::custom(custom.clone(), "k").expect("a key");
    assert_eq!(count(&signer, &Verifier::custom(custom, ["k", "j"]).expect("two keys")), 0);
    let mut counted = 0;
    for scheme in Scheme::ALL {
        let key = match scheme {
            Scheme::Standard => SHARED,
            Scheme::AdyenHeader => HEX,
            // What is in the body is read, what is signed by a pair is put together, RFC 9421 makes a text to sign.
            Scheme::AdyenNotification | Scheme::Braintree | Scheme::Mailgun | Scheme::Twilio => continue,
            Scheme::Discord | Scheme::Sendgrid | Scheme::MessageSignatures | Scheme::Custom => continue,
            _ => "secret",
        };
        let signer = Signer::new(scheme, key).expect("a key");
        assert_eq!(count(&signer, &Verifier::new(scheme, [key]).expect("a key")), 0, "{scheme}");
        counted += 1;
    }
    assert_eq!(counted, 21);
}

/// The counter counts: a scheme that reads a form needs memory.
#[test]
fn the_counter_counts() {
    let (signer, verifier) = (Signer::new(Scheme::Twilio, "k"), Verifier::twilio(["k"]));
    assert!(count(&signer.expect("a key"), &verifier.expect("a key")) > 0);
}

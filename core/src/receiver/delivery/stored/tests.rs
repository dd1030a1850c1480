use alloc::boxed::Box;
use alloc::format;

use proptest::prelude::*;

use super::*;
use crate::secret::Secret;
use crate::signing::{Received, SigningKey, Verifier, standard};

const SECRET_TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn spot() -> impl Strategy<Value = Spot> {
    prop_oneof![
        Just(()).prop_map(|()| Spot::Nowhere),
        ".{0,20}".prop_map(|name| Spot::Header(name.into())),
        ".{0,20}".prop_map(|pointer| Spot::Json(pointer.into())),
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let value = prop::collection::vec(prop_oneof![0x20_u8..=0x7e, 0x80_u8..=0xff, Just(b'\t')], 0..30);
    prop::collection::vec(("[a-z][a-z-]{0,10}", value), 0..12).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(&value).unwrap());
        }
        headers
    })
}

prop_compose! {
    fn delivery()(
        ids in (any::<u64>(), proptest::option::of(".{1,40}"), proptest::option::of(any::<[u8; 32]>()), any::<u32>()),
        at in proptest::option::of(any::<u64>()),
        key: [u8; 8],
        scheme in prop::sample::select(&Scheme::ALL[..]),
        whole in 0..3_usize,
        also: [bool; 4],
        body: Vec<u8>,
        payload: Option<Vec<u8>>,
        headers in headers(),
        target in proptest::option::of(".{0,40}"),
        spots in (spot(), spot()),
        late: bool,
    ) -> Delivery {
        let (number, id, digest, scope) = ids;
        let [id_covered, time, kind, order] = also;
        let body_covered = Covers { body: ["whole", "part", "nothing"][whole], rest: also }.of(scheme).body;
        let id: Option<Arc<str>> = id.map(Arc::from);
        let head = RequestHead::new(Method::POST, headers).declared_length(body.len() as u64);
        Delivery::of(Told {
            id: DeliveryId(number),
            label: label(id.as_ref(), digest.as_ref()),
            event_id: id,
            digest,
            scope,
            timestamp: at.map(UnixTime::from_millis),
            key: KeyId::from_bytes(key),
            scheme,
            covered: Covered { body: body_covered, id: id_covered, time, kind, order },
            body: body.into(),
            payload: payload.map(Into::into),
            head: target.into_iter().fold(head, |head, target| head.target(target)),
            places: Arc::new(Places { kind: spots.0, order: spots.1 }),
            late,
        })
    }
}

/// Everything that a delivery tells.
fn told(delivery: &Delivery) -> impl PartialEq + fmt::Debug + use<> {
    let head = (delivery.method().clone(), delivery.target().map(String::from), delivery.headers().clone());
    let id = (delivery.id(), delivery.webhook_id().to_string(), delivery.event_id().map(String::from));
    let proof = (delivery.digest(), delivery.scope(), delivery.timestamp(), delivery.key(), delivery.scheme());
    let places = (delivery.told.places.kind.written(), delivery.told.places.order.written(), delivery.is_late());
    (id, proof, delivery.covered(), delivery.body().clone(), delivery.payload().clone(), head, places)
}

proptest! {
    #[test]
    fn what_was_stored_is_read_back(delivery in delivery()) {
        let stored = delivery.to_stored();
        let back = Delivery::from_stored(&stored).unwrap();
        prop_assert_eq!(told(&back), told(&delivery));
        prop_assert_eq!(back.to_stored(), stored);
    }

    #[test]
    fn what_is_cut_or_lengthened_is_no_delivery(delivery in delivery(), cut: prop::sample::Index) {
        let stored = delivery.to_stored();
        let cut = cut.index(stored.len());
        prop_assert!(Delivery::from_stored(&stored.slice(..cut)).is_err());
        let longer: Bytes = [&stored, &b"x"[..]].concat().into();
        prop_assert_eq!(Delivery::from_stored(&longer).unwrap_err(), StoredError::Long);
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes: Vec<u8>, delivery in delivery(), at: prop::sample::Index, with: u8) {
        _ = Delivery::from_stored(&bytes.clone().into());
        bytes.splice(0..0, b"postrider-delivery/1\r\n".iter().copied());
        _ = Delivery::from_stored(&bytes.into());
        let mut stored = delivery.to_stored().to_vec();
        let at = at.index(stored.len());
        stored[at] = with;
        if let Ok(read) = Delivery::from_stored(&stored.into()) {
            _ = (read.kind(), read.order(), read.dedup_key(), read.path(), format!("{read:?}"));
        }
    }
}

#[test]
fn a_verified_request_is_stored_without_its_secrets() {
    let secret = Secret::parse(SECRET_TEXT).unwrap();
    let body = br#"{"type":"order.paid"}"#;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (standard::ID, "msg_1".to_string()),
        (standard::TIMESTAMP, "1700000000".to_string()),
        (standard::SIGNATURE, standard::sign([&SigningKey::from(&secret)], "msg_1", 1_700_000_000, body)),
        ("authorization", "Bearer canary".to_string()),
        ("cookie", "canary".to_string()),
        ("x-own", "kept".to_string()),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
    }
    let mut marked = HeaderValue::from_static("canary");
    marked.set_sensitive(true);
    headers.insert("x-marked", marked);
    let verifier = Verifier::from(standard::Verifier::new([&secret]).unwrap());
    let received = Received { method: "POST", url: "", headers: &headers, body };
    let verified = verifier.verify(&received, UnixTime::from_secs(1_700_000_000)).unwrap();
    let head = RequestHead::new(Method::POST, headers.clone()).target("/hooks?a=b");
    let stored = Delivery::from_verified(&verified, head, 3).to_stored();
    let text = core::str::from_utf8(&stored).unwrap();
    assert!(!text.contains("canary"), "{text}");
    assert!(
        text.contains("\r\n\r\nPOST /hooks?a=b HTTP/1.1\r\n") && text.contains("covers: whole id time kind\r\n"),
        "{text}"
    );

    let back = Delivery::from_stored(&stored).unwrap();
    assert_eq!((back.webhook_id(), back.kind().as_deref(), back.scope()), ("msg_1", Some("order.paid"), 3));
    assert_eq!((back.path(), back.target(), &back.body()[..]), (Some("/hooks"), Some("/hooks?a=b"), &body[..]));
    // What is left of the request is still what was signed.
    let received = Received { method: "POST", url: "", headers: back.headers(), body: back.body() };
    assert!(verifier.verify(&received, UnixTime::from_secs(1_700_000_000)).is_ok());
}

#[test]
fn each_mistake_has_its_own_words() {
    let read = |text: &str| Delivery::from_stored(&Bytes::copy_from_slice(text.as_bytes())).unwrap_err();
    assert_eq!(read("postrider-delivery/2\r\n"), StoredError::Unknown);
    assert_eq!(read("{}"), StoredError::Unknown);
    assert_eq!(read("postrider-delivery/1\r\n"), StoredError::Short);
    assert_eq!(read("postrider-delivery/1\r\nnew: 1\r\n"), StoredError::Malformed { at: 22 });
    let without = "postrider-delivery/1\r\nbody: 0\r\n\r\nPOST HTTP/1.1\r\n\r\n";
    assert_eq!(read(without), StoredError::Missing("scheme"));
    let texts = [StoredError::Unknown, StoredError::Short, StoredError::Missing("key"), StoredError::Long];
    assert!(texts.iter().all(|error| !error.to_string().ends_with('.')));
    assert_eq!(StoredError::Malformed { at: 3 }.to_string(), "the stored delivery is malformed at byte 3");
    let _: Box<dyn core::error::Error> = Box::new(StoredError::Long);
}

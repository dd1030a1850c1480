//! What do signing and verifying cost beside the bare HMAC of the same bytes?

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use postrider_core::secret::Secret;
use postrider_core::signing::{PrivateKey, Received, Scheme, Signer, SigningKey, Unsigned, Verifier, standard};
use postrider_core::time::UnixTime;
use sha2::Sha256;

fn signing(c: &mut Criterion) {
    let mut group = c.benchmark_group("signing");
    let secret = Secret::from_bytes([9; 32]).expect("32 bytes");
    let key = SigningKey::new(&secret);
    let keyed = Hmac::<Sha256>::new_from_slice(&[9; 32]).expect("any length");
    let (id, timestamp) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_795_246_000);
    for size in [64, 1024, 65_536] {
        let body = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("hmac", size), |b| {
            let message = vec![b'x'; size + 40];
            b.iter(|| {
                let mut mac = keyed.clone();
                mac.update(core::hint::black_box(&message));
                mac.finalize()
            });
        });
        let mut out = BytesMut::with_capacity(64);
        group.bench_function(BenchmarkId::new("sign", size), |b| {
            b.iter(|| {
                out.clear();
                key.write_v1(id, timestamp, core::hint::black_box(&body), &mut out);
            });
        });
        let headers = [
            (standard::ID, id.to_string()),
            (standard::TIMESTAMP, timestamp.to_string()),
            (standard::SIGNATURE, standard::sign([&key], id, timestamp, &body)),
        ];
        let verifier = standard::Verifier::new([&secret]).expect("one key");
        group.bench_function(BenchmarkId::new("verify", size), |b| {
            b.iter(|| verifier.verify(&headers, core::hint::black_box(&body), UnixTime::from_secs(timestamp)).is_ok());
        });
    }
    group.finish();
}

/// What does accepting a request of 1 KiB cost, by scheme?
fn verifying(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let pair = PrivateKey::from_seed(&[7; 32]);
    let public = pair.public().to_string();
    let (now, body) = (UnixTime::from_secs(1_795_246_000), vec![b'x'; 1024]);
    let one = |scheme| Signer::new(scheme, secret).expect("a key");
    let cases = [
        ("v1", one(Scheme::Standard), Verifier::standard([secret])),
        ("v1a", Signer::standard_pair(pair), Verifier::standard([public])),
        ("stripe", one(Scheme::Stripe), Verifier::stripe([secret])),
        ("github", one(Scheme::Github), Verifier::github([secret])),
    ];
    group.throughput(Throughput::Bytes(body.len() as u64));
    for (name, signer, verifier) in cases {
        let verifier = verifier.expect("a key");
        let request =
            Unsigned { method: "POST", url: "https://example.com/", id: Some("msg_1"), headers: &[], body: &body };
        let signed = signer.sign(&request, now).expect("it can be signed");
        let headers: http::HeaderMap = signed
            .headers
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().expect("a name"), value.parse().expect("a value")))
            .collect();
        group.bench_function(BenchmarkId::new(name, body.len()), |b| {
            b.iter(|| {
                let body = core::hint::black_box(&signed.body);
                let received = Received { method: "POST", url: &signed.url, headers: &headers, body };
                assert!(verifier.verify(&received, now).is_ok());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, signing, verifying);
criterion_main!(benches);

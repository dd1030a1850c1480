//! What does accepting a request of Standard Webhooks cost, beside the bare HMAC of what is signed, and beside the crates
//! `standardwebhooks` and `svix`?
//!
//! `cargo bench` in this directory. All do the same work: find three headers, compare the time, hash, compare the signature.
//! The bare HMAC has a key that was made ready once and no headers; neither of the two crates makes its key ready, and both
//! ask the system for the time.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use postrider_bench_verify::{Request, SECRET};
use postrider_core::secret::Secret;
use postrider_core::signing::{Received, Verifier, standard};
use sha2::Sha256;

fn verify(c: &mut Criterion) {
    let secret = Secret::parse(SECRET).expect("a secret");
    for bytes in [64, 1024, 65_536] {
        let mut group = c.benchmark_group(format!("verify {bytes} bytes"));
        group.throughput(Throughput::Bytes(bytes as u64));
        let Request { at, pairs, map, body } = Request::of(bytes);

        let keyed = Hmac::<Sha256>::new_from_slice(&[9; 24]).expect("any length");
        let (id, time) = (pairs[0].1.as_bytes(), pairs[1].1.as_bytes());
        group.bench_function(BenchmarkId::from_parameter("hmac and sha2"), |b| {
            b.iter(|| {
                let mut mac = keyed.clone();
                for part in [id, b".", time, b".", black_box(&body)] {
                    mac.update(part);
                }
                mac.finalize()
            });
        });

        let own = standard::Verifier::new([&secret]).expect("one key");
        assert!(own.verify(&pairs, &body, at).is_ok());
        group.bench_function(BenchmarkId::from_parameter("postrider, pairs"), |b| {
            b.iter(|| own.verify(&pairs, black_box(&body), at).is_ok());
        });
        group.bench_function(BenchmarkId::from_parameter("postrider, HeaderMap"), |b| {
            b.iter(|| own.verify(&map, black_box(&body), at).is_ok());
        });

        let any = Verifier::standard([SECRET]).expect("one key");
        group.bench_function(BenchmarkId::from_parameter("postrider, any scheme, HeaderMap"), |b| {
            b.iter(|| {
                let received =
                    Received { method: "POST", url: "https://example.com/", headers: &map, body: black_box(&body) };
                any.verify(&received, at).is_ok()
            });
        });

        let theirs = standardwebhooks::Webhook::new(SECRET).expect("a secret");
        assert!(theirs.verify(&body, &map).is_ok());
        group.bench_function(BenchmarkId::from_parameter("standardwebhooks"), |b| {
            b.iter(|| theirs.verify(black_box(&body), &map).is_ok());
        });

        let theirs = svix::webhooks::Webhook::new(SECRET).expect("a secret");
        assert!(theirs.verify(&body, &map).is_ok());
        group.bench_function(BenchmarkId::from_parameter("svix"), |b| {
            b.iter(|| theirs.verify(black_box(&body), &map).is_ok());
        });
        group.finish();
    }
}

criterion_group!(benches, verify);
criterion_main!(benches);

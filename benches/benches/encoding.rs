//! What does it cost to write a payload of 1 KiB in each encoding, and thin?

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postrider_core::encoding::{Encoding, Message, Payload, Shape, Thin, encode};
use postrider_core::time::UnixTime;

/// An order with its lines, as JSON of about `size` bytes.
fn order(size: usize) -> Payload {
    let mut text = String::from(
        "{\"id\":\"ord_7\",\"total\":1034.50,\"customer\":{\"id\":\"cus_9\",\"name\":\"Zo\u{eb} & Co\"},\"lines\":[",
    );
    for number in 0.. {
        let line = format!("{{\"sku\":\"pen-{number}\",\"count\":{number},\"price\":2.50,\"gift\":false}}");
        if text.len() + line.len() + 3 > size && number > 0 {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&line);
    }
    text.push_str("]}");
    Payload::json_bytes(Bytes::from(text)).expect("it is JSON")
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encoding");
    let size = 1024;
    let payload = order(size);
    let message =
        Message::new("msg_p5jXN8AQM9LWM0D4loKWxJek", "order.paid", UnixTime::from_secs(1_795_246_000), &payload);
    group.throughput(Throughput::Bytes(payload.body().len() as u64));
    for encoding in Encoding::ALL {
        let shape = Shape::from(encoding);
        group.bench_function(BenchmarkId::new(encoding.name(), size), |b| {
            b.iter(|| encode(core::hint::black_box(&shape), &message));
        });
    }
    let thin = Shape::default().with_thin(Thin::new(["/id", "/customer/id"]).expect("two pointers"));
    group.bench_function(BenchmarkId::new("thin", size), |b| b.iter(|| encode(core::hint::black_box(&thin), &message)));
    group.finish();
}

criterion_group!(benches, encoding);
criterion_main!(benches);

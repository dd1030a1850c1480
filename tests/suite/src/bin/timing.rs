//! Whether the time of a refusal tells where a signature is wrong: in its first byte or in its last.
//!
//! `cargo run --release -p postrider-tests --bin timing` measures 10 million refusals of each of three schemes (another
//! number may be given), in random order and from the same memory, and compares the two kinds by Welch's t-test: over all
//! samples, and over the quickest 99, 95, 90, 75 and 50 % of both, since most of the slowest were interrupted. It fails if
//! any |t| is 4.5 or more. A quiet machine is a kindness: noise hides differences, and makes none.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::signing::{Received, Scheme};
use postrider_core::time::UnixTime;
use postrider_testkit::signed::Provider;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// What |t| must not reach: with it, chance would be to blame once in 100,000 times.
const BOUND: f64 = 4.5;

/// Samples that say how long a refusal usually takes.
const FIRST: usize = 100_000;

/// Samples laid out at once: they fit the second cache.
const BATCH: usize = 1024;

const QUICKEST: [f64; 6] = [1.0, 0.99, 0.95, 0.90, 0.75, 0.50];

/// A header with a signature, and how that is written behind what comes before it.
struct Place {
    scheme: Scheme,
    header: &'static str,
    before: &'static str,
    text: Text,
}

#[derive(Clone, Copy)]
enum Text {
    Base64,
    Hex,
}

/// A bare token is none of these: its hash is compared, and nobody chooses the first or the last byte of that.
const PLACES: [Place; 3] = [
    Place { scheme: Scheme::Standard, header: "webhook-signature", before: "v1,", text: Text::Base64 },
    Place { scheme: Scheme::Github, header: "x-hub-signature-256", before: "sha256=", text: Text::Hex },
    Place { scheme: Scheme::Stripe, header: "stripe-signature", before: "t=1700000000,v1=", text: Text::Hex },
];

/// A count, a mean, and the squares of what deviates from it (Welford).
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, sample: f64) {
        self.count += 1.0;
        let delta = sample - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (sample - self.mean);
    }

    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Welch's t of two sets of samples.
fn welch([one, other]: &[Moments; 2]) -> f64 {
    (one.mean - other.mean) / (one.error() + other.error()).sqrt()
}

/// The header's value with the signature wrong in its first and in its last byte.
fn wrong(place: &Place, value: &str) -> [Vec<u8>; 2] {
    let signature = value.strip_prefix(place.before).expect("it is written so");
    [true, false].map(|first| {
        let bend = |bytes: &mut [u8], bit: u8| {
            let at = if first { 0 } else { bytes.len() - 1 };
            bytes[at] ^= bit;
        };
        let text = match place.text {
            Text::Base64 => {
                let mut bytes = STANDARD.decode(signature).expect("it is base64");
                bend(&mut bytes, 1);
                STANDARD.encode(bytes)
            }
            Text::Hex => {
                let mut bytes = signature.as_bytes().to_vec();
                let at = if first { 0 } else { bytes.len() - 1 };
                // A digit for a digit and a letter for a letter: how these are read is no secret.
                bytes[at] = match bytes[at] {
                    b'a' => b'b',
                    b'b'..=b'f' => b'a',
                    digit => digit ^ 1,
                };
                String::from_utf8(bytes).expect("it is ASCII")
            }
        };
        format!("{}{text}", place.before).into_bytes()
    })
}

/// Measures refusals and prints what they took; the largest |t|. What is measured next is drawn and laid out beforehand,
/// a batch at a time, and counted afterwards, so that nothing but the bytes themselves differs while the clock runs.
fn measure(place: &Place, samples: usize) -> f64 {
    let provider = Provider::new(place.scheme).expect("a key of a shared kind");
    let signed = provider.request("msg_1", br#"{"type":"order.paid","data":{"id":1001}}"#, NOW);
    let headers: Vec<(&str, &str)> = signed.headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let at = headers.iter().position(|(name, _)| *name == place.header).expect("the scheme has that header");
    let wrong = wrong(place, headers[at].1);
    let len = wrong[0].len();
    let (mut kinds, mut times, mut bytes) = ([0_u8; BATCH], [0.0; BATCH], vec![0_u8; BATCH * len]);
    let mut draw = 0x9E37_79B9_7F4A_7C15_u64;
    let mut batch = |kinds: &mut [u8; BATCH], times: &mut [f64; BATCH]| {
        for (kind, bytes) in kinds.iter_mut().zip(bytes.chunks_exact_mut(len)) {
            // xorshift64: nothing that a processor predicts.
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            *kind = (draw >> 32 & 1) as u8;
            bytes.copy_from_slice(&wrong[usize::from(*kind)]);
        }
        let mut headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        for (time, value) in times.iter_mut().zip(bytes.chunks_exact(len)) {
            headers[at].1 = value;
            let received = Received { method: "POST", url: &signed.url, headers: &headers[..], body: &signed.body };
            fence(Ordering::SeqCst);
            let begun = Instant::now();
            let verdict = black_box(provider.verifier().verify(black_box(&received), NOW)).is_err();
            *time = begun.elapsed().as_nanos() as f64;
            assert!(verdict, "a wrong signature is refused");
        }
    };
    let mut first = Vec::with_capacity(FIRST + BATCH);
    while first.len() < FIRST {
        batch(&mut kinds, &mut times);
        first.extend(times);
    }
    first.sort_unstable_by(f64::total_cmp);
    let bound = |part: f64| first[(first.len() as f64 * part) as usize];
    let bounds = QUICKEST.map(|part| if part < 1.0 { bound(part) } else { f64::INFINITY });
    let mut moments = [[Moments::default(); 2]; QUICKEST.len()];
    for _ in 0..samples.div_ceil(BATCH) {
        batch(&mut kinds, &mut times);
        for (kind, time) in kinds.iter().zip(times) {
            for (bound, of) in bounds.iter().zip(&mut moments) {
                if time <= *bound {
                    of[usize::from(*kind)].add(time);
                }
            }
        }
    }
    let mut largest = 0.0_f64;
    for (part, of) in QUICKEST.into_iter().zip(&moments) {
        let t = welch(of);
        largest = largest.max(t.abs());
        println!(
            "{:<18} quickest {:>3.0} %: wrong first {:.2} ns, wrong last {:.2} ns, of {:.0} samples: t = {t:.2}",
            place.scheme.name(),
            part * 100.0,
            of[0].mean,
            of[1].mean,
            of[0].count + of[1].count,
        );
    }
    largest
}

fn main() -> ExitCode {
    let Ok(samples) = std::env::args().nth(1).map_or(Ok(10_000_000), |text| text.parse::<usize>()) else {
        eprintln!("usage: timing [SAMPLES]");
        return ExitCode::from(2);
    };
    let largest = PLACES.iter().map(|place| measure(place, samples)).fold(0.0, f64::max);
    println!("largest |t| {largest:.2}, to stay below {BOUND}");
    if largest < BOUND { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

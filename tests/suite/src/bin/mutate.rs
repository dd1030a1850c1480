//! Signs messages of every scheme, changes them, and fails if one is accepted that was not signed so.
//!
//! `cargo run --release -p postrider-tests --bin mutate` changes ten million; another number may be given, and a seed.

use std::process::ExitCode;
use std::time::Instant;

use postrider_tests::mutations;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Ok(messages), Ok(seed)) = (numbers.next().unwrap_or(Ok(10_000_000)), numbers.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: mutate [MESSAGES [SEED]]");
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    let tally = mutations::run(seed, messages);
    for forged in tally.forged.iter().take(10) {
        println!("{forged}");
    }
    println!("{tally}, in {:.1} s", begun.elapsed().as_secs_f64());
    if tally.forged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

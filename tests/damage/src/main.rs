//! Damages journals and prints what came of it.

use std::process::ExitCode;

use clap::Parser;
use postrider_damage::Cases;

/// Damages journals in memory, opens them, and compares what they hand out with what was written.
#[derive(Parser)]
struct Args {
    /// How many cases.
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// Which cases: the same number gives the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Does one case alone, and says what came of it.
    #[arg(long)]
    case: Option<u64>,
    /// Threads; as many as there are cores unless it is given.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all = Cases::new(args.seed);
    if let Some(number) = args.case {
        let (kind, judged) = all.case(number);
        return match judged {
            Ok(verdict) => {
                println!("case {number}, {kind}: {verdict:?}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("case {number}, {kind}: {failure}");
                ExitCode::FAILURE
            }
        };
    }
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let table = all.run(args.cases, threads, &|number| eprintln!("{number} of {} cases", args.cases));
    println!("{table}");
    if let Some((number, ..)) = table.failures().first() {
        println!("repeat it: cargo run --release -p postrider-damage -- --seed {} --case {number}", args.seed);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! `cargo run --release -p postrider-kill -- [--kills N] [--events N]`: see the library.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use postrider_kill::{Plan, build, run};

/// Kill `postrider deliver --journal` with SIGKILL again and again while it delivers; exit 0 only if nothing was lost and
/// nothing came again that was not in flight
#[derive(Parser)]
struct Args {
    /// Times that it is killed
    #[arg(long, value_name = "N", default_value_t = 200)]
    kills: u32,
    /// Events in its input
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
    /// Requests in flight at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
    /// How long the receiver thinks about a request, on average
    #[arg(long, value_name = "MS", default_value_t = 4)]
    thinking: u64,
    /// What carries the requests
    #[arg(long, value_name = "NAME", default_value = "tokio", value_parser = ["tokio", "blocking"])]
    driver: String,
    /// Decides the moments [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The command, instead of the one that is built
    #[arg(long, value_name = "PATH")]
    command: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match kill(args) {
        Ok(code) => code,
        Err(why) => {
            _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(2)
        }
    }
}

fn kill(args: Args) -> Result<ExitCode, String> {
    let command = args.command.map_or_else(build, Ok)?;
    let minted = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos().into();
    let mut plan = Plan::new(command, args.seed.unwrap_or_else(minted));
    (plan.kills, plan.events, plan.concurrency) = (args.kills, args.events, args.concurrency);
    (plan.driver, plan.thinking) = (args.driver, Duration::from_millis(args.thinking));
    let say = |text: &str| _ = writeln!(io::stdout(), "{text}");
    say(&format!(
        "seed {}: {} kills, {} events, {} requests in flight at most, {}",
        plan.seed, plan.kills, plan.events, plan.concurrency, plan.driver
    ));
    let live = io::stderr().is_terminal();
    let report = run(&plan, |kills, arrived| {
        if live {
            _ = write!(io::stderr(), "\r{kills} kills, {arrived} events arrived ");
        }
    })?;
    if live {
        _ = writeln!(io::stderr());
    }
    say(&report.to_string());
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

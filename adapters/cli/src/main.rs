//! The command postrider: deliver, receive, sign and verify webhooks, and a demonstration.
//!
//! Each command is a module with its arguments and a `run`. What they print for people goes to stderr, what they
//! print for programs to stdout. Exit codes: 0 everything went as asked, 1 something did not, 2 the arguments or the
//! input were wrong.

mod deliver;
mod demo;
mod driver;
mod dry_run;
mod duration;
mod endpoints;
mod events;
mod exit;
mod http;
mod journal;
mod listen;
mod replay;
mod replay_trace;
mod sign;
mod store;
mod suggest;
mod summary;
mod target;
mod top;
mod tracker;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Deliver, receive, sign and verify webhooks.
#[derive(Parser)]
#[command(name = "postrider", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Deliver(deliver::Args),
    Journal(journal::Args),
    Listen(listen::Args),
    Replay(replay::Args),
    ReplayTrace(replay_trace::Args),
    Sign(sign::Args),
    Top(top::Args),
    Verify(verify::Args),
}

fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| exit::usage(error));
    let result = match args.command {
        Command::Demo(args) => demo::run(&args),
        Command::Deliver(args) => deliver::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::ReplayTrace(args) => replay_trace::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    exit::code(result)
}

//! `postrider journal`: what is in a journal, for people and for programs.
//!
//! `inspect`, `verify`, `dump`, `show` and `dead` only read: they never take the lock, never write, and work while
//! another process holds the journal. `compact` and `upgrade` are its holder while they run. `backup` copies a journal
//! whoever holds it. None needs the key that secrets are sealed with, and none shows a secret: keys by their ids, URLs
//! without their queries, headers that were said to be secret without their values.
//!
//! `show`, `dead` and `inspect` ask the indexes of the segments; only `verify`, `dump` and `inspect --all` read the whole
//! log.

pub(crate) mod asking;
mod dead;
mod dump;
mod erased;
pub(crate) mod files;
mod inspect;
pub(crate) mod read;
mod shadow;
mod show;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod upkeep;
mod verify;
pub(crate) mod walk;
pub(crate) mod words;

use std::path::PathBuf;

use clap::Subcommand;

use crate::exit::{Exit, Refusal};

/// Look into a journal, check it, and keep it small
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
    /// Check every byte; exit 1 with file, place and records if something is not what was written
    Verify(Dir),
    Dump(dump::Args),
    Show(show::Args),
    Dead(dead::Args),
    Shadow(shadow::Args),
    /// Give space back: rewrite what has ended until nothing is left to do, and no byte of what was erased
    Compact(upkeep::Args),
    /// Write the newest format from now on; releases before this one then refuse the journal
    Upgrade(upkeep::Args),
    Backup(upkeep::Backup),
}

/// The directory, and how to answer.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Dir {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    match &args.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Show(args) => show::run(args),
        Command::Dead(args) => dead::run(args),
        Command::Shadow(args) => shadow::run(args),
        Command::Compact(args) => upkeep::compact(args),
        Command::Upgrade(args) => upkeep::upgrade(args),
        Command::Backup(args) => upkeep::backup(args),
    }
}

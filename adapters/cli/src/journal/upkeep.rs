//! `postrider journal compact`, `upgrade` and `backup`.

use std::path::PathBuf;

use crate::exit::{Exit, Refusal};

/// What upkeep needs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Wait so long for another process that holds it
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    takeover: u64,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Copy a journal, whoever holds it, into a directory that is empty or not there; the copy opens
#[derive(clap::Args)]
pub(crate) struct Backup {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Where the copy goes
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn compact(_: &Args) -> Result<Exit, Refusal> {
    Err(Refusal::new("not yet"))
}

pub(super) fn upgrade(_: &Args) -> Result<Exit, Refusal> {
    Err(Refusal::new("not yet"))
}

pub(super) fn backup(_: &Backup) -> Result<Exit, Refusal> {
    Err(Refusal::new("not yet"))
}

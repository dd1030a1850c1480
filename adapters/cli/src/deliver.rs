//! `postrider deliver`: events from a file to endpoints from a file, until every delivery has ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::dry_run;
use crate::endpoints;
use crate::events::Lines;
use crate::exit::{Exit, Refusal};
use crate::target::Allowed;

/// Deliver events, one JSON object a line, to endpoints; exit 0 all delivered, 1 some not (listed), 2 bad input
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The endpoints, as [[endpoint]] tables with id, url, secret, events
    #[arg(long, value_name = "FILE.toml")]
    endpoints: PathBuf,
    /// The events; - or nothing for stdin
    #[arg(value_name = "EVENTS.ndjson", default_value = "-")]
    events: PathBuf,
    #[command(flatten)]
    allowed: Allowed,
    /// Send nothing; say who would get what, and why not
    #[arg(long)]
    dry_run: bool,
    /// Print a summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let policy = args.allowed.policy()?;
    let entries = endpoints::read(&args.endpoints, &policy)?;
    let lines = open(&args.events)?;
    dry_run::run(&entries, policy, lines, args.json)
}

fn open(path: &Path) -> Result<Lines<Box<dyn BufRead>>, Refusal> {
    if path == Path::new("-") {
        return Ok(Lines::new("stdin", Box::new(BufReader::new(io::stdin()))));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|why| Refusal::new(format!("{name}: {why}")))?;
    Ok(Lines::new(name, Box::new(BufReader::new(file))))
}

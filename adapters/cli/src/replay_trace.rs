//! `postrider replay-trace`: a flight recorder's trace, run again.

use std::io::{self, Write as _};
use std::path::PathBuf;

use postrider_core::sender::trace::Replay;
use postrider_driver::read_trace;
use serde_json::json;

use crate::exit::{Exit, Refusal, complain};

/// Run a recorded trace again and stop at the first difference; exit 0 none, 1 one (shown), 2 no trace
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A trace: its first file, or the directory of a flight recorder, whose newest run is taken
    #[arg(value_name = "FILE")]
    trace: PathBuf,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let refusal = |why: &dyn std::fmt::Display| Refusal::new(format!("{}: {why}", args.trace.display()));
    let trace = read_trace(&args.trace).map_err(|why| refusal(&why))?;
    let mut replay = Replay::new(trace).map_err(|why| refusal(&why))?;
    let difference = replay.run().map_err(|why| refusal(&why))?;
    let (calls, outputs) = replay.progress();
    if args.json {
        let told = difference.as_ref().map(|difference| {
            json!({
                "entry": difference.entry,
                "byte": difference.at,
                "call": difference.call,
                "said": difference.said,
                "before": difference.before.to_string(),
                "after": difference.after.to_string(),
            })
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{}", json!({ "calls": calls, "outputs": outputs, "difference": told }))?;
    } else if let Some(difference) = &difference {
        complain!("{difference}");
    } else {
        complain!("{calls} calls, {outputs} outputs: no difference");
    }
    Ok(if difference.is_some() { Exit::Failed } else { Exit::Done })
}

//! Runs every vector file of a directory and says which cases fail.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: postrider-conformance DIR

Runs the cases of every *.json in DIR, except *_table.json, through Postrider's public interface. Prints a line for each
failing case and the counts at the end; exits with 1 when a case fails, or when there is none.";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let dir = match args.as_slice() {
        [only] if only == "--help" || only == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [dir] => Path::new(dir),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let report = match postrider_conformance::run(dir) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    if report.divergences > 0 {
        eprintln!("{} cases diverge as tests/conformance/divergences.json says", report.divergences);
    }
    // Whoever has stopped reading wants no more lines.
    let _ = write!(io::stdout().lock(), "{report}");
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

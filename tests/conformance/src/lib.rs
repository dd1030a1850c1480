//! Runs conformance vectors: files of cases, each an input and what must come of it, through Postrider's public
//! interface.
//!
//! ```text
//! cargo run -q -p postrider-conformance -- tests/vectors
//! ```
//!
//! [`run`] reads every `*.json` of a directory except `*_table.json`, which is documentation; other files are not
//! looked at. `tests/vectors/INDEX.md` describes the format.
//!
//! # Which operation a case is of
//! `op` in its `input` says so; an unknown one is a failed case. Where there is no `op`, the shape of the input decides:
//! `values` is a `Retry-After`, `pattern_text` an event pattern, `pattern` with `event_type` a pattern of types, `raw_b64`
//! an HTTP response, `url` a URL, `address` an address, `status` or `transport` an outcome. The name of the file decides
//! nothing. `verify` is of a dialect where there is a `dialect`, and of Standard Webhooks otherwise.
//!
//! # When a case passes
//! When what came of it is `expected` or one of `also_ok`. What is compared is what `expected` names, `reason` aside,
//! which is a hint. A case that is malformed, that panics, or that asks for what is not built in fails, with the reason.
//!
//! # HTTP responses
//! Each is served on loopback, byte for byte, to a sender of each driver, over its public interface: publish an event,
//! wait until it is settled, publish another. Compared are the status or the failure, the body that the attempt's record
//! keeps, and whether the second request came over the same connection, which it must not after a framing error or
//! where the case says `close`. A connection that a case lets close is kept open a second time, so that it could be used
//! again. What is seen and what a case says meet so:
//!
//! * `response`: a reply with this status and body. Interim replies and header lines cannot be seen from outside, and a
//!   driver may always close: these are not compared.
//! * `error`: the attempt failed without a reply, before its deadline. An error in the body comes after the final head, and
//!   by the contract the status then stands: a reply with this status, after which the connection is not used again, is
//!   the same verdict. An error is in the body where the head is sound by the letter and the reason is none about what
//!   heads say (a status line, a length, a coding).
//! * `need-more`: the attempt lasted until its deadline, and the connection was not used again.
//! * `request_method`: only `POST` is ever sent. Responses to `GET`, `PUT`, `PATCH`, `DELETE` and `OPTIONS` are framed
//!   alike (RFC 9112 section 6.3). Of a response to `HEAD` or `CONNECT` only the head is, so neither its body nor
//!   what becomes of the connection is compared.
//!
//! # Divergences
//! Where a library, or Postrider on purpose, decides otherwise than a case, `divergences.json` says so with the reason:
//! such a case passes as long as exactly that happens. The list may only shrink: an entry whose case has come to pass is a
//! failure that says so.

mod case;
mod divergences;
mod ops;
mod report;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use case::{Case, Op};
use divergences::Divergences;
pub use report::{Failure, Report};

/// Why there is nothing to run.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The directory cannot be read.
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// There is no vector file in it.
    NoVectors {
        /// In which directory.
        dir: PathBuf,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { dir, why } => write!(f, "the directory {} cannot be read: {why}", dir.display()),
            Self::NoVectors { dir } => {
                write!(f, "there is no vector file in {}: a *.json that is no *_table.json", dir.display())
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { why, .. } => Some(why),
            Self::NoVectors { .. } => None,
        }
    }
}

/// Runs the cases of every vector file in a directory. It takes less than half a minute: cases over sockets run side
/// by side.
pub fn run(dir: &Path) -> Result<Report, RunError> {
    let mut report = Report::default();
    let mut cases = Vec::new();
    for path in vector_files(dir)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let read = match fs::read(&path) {
            Ok(bytes) => case::read(&name, &bytes),
            Err(why) => vec![Err(Failure::of_file(&name, format!("the file cannot be read: {why}")))],
        };
        cases.extend(read);
    }
    let divergences = Divergences::of_the_project();
    let served: Vec<&Case> = cases.iter().flatten().filter(|case| case.op == Op::ParseResponse).collect();
    let mut seen = wire::run(&served);
    for case in &cases {
        match case {
            Err(failure) => report.failures.push(failure.clone()),
            Ok(case) => report.count(judge(case, &mut seen, &divergences)),
        }
    }
    Ok(report)
}

/// How a case came out: passed, passed because the list knows of it, or failed.
enum Verdict {
    Passed,
    Listed,
    Failed(Failure),
}

/// What came of a case, in one place or in several.
fn judge(case: &Case, seen: &mut BTreeMap<String, Vec<wire::Seen>>, divergences: &Divergences) -> Verdict {
    let told = if case.op == Op::ParseResponse {
        match seen.remove(&case.name()) {
            Some(seen) => seen.iter().map(|seen| (seen.driver(), seen.judge(case))).collect(),
            None => vec![("drivers", Err("it was not served".to_owned()))],
        }
    } else {
        vec![("core", decide(case))]
    };
    let (mut wrong, mut listed) = (Vec::new(), false);
    for (place, told) in told {
        let (passes, got) = match told {
            Ok(ops::Told { passes, got }) => (passes, got),
            Err(why) => (false, why),
        };
        let prefix = if place == "core" { String::new() } else { format!("{place}: ") };
        match (passes, divergences.find(place, &case.id)) {
            (true, None) => {}
            (false, Some(known)) if known.got == got => listed = true,
            (false, Some(known)) => {
                wrong.push(format!("{prefix}{got} (divergences.json says that it is {})", known.got));
            }
            (true, Some(_)) => wrong.push(format!("{prefix}{got}, which passes: remove it from divergences.json")),
            (false, None) => wrong.push(format!("{prefix}{got}")),
        }
    }
    match (wrong.is_empty(), listed) {
        (true, false) => Verdict::Passed,
        (true, true) => Verdict::Listed,
        (false, _) => Verdict::Failed(case.failure(wrong.join("; "))),
    }
}

/// Runs a case of the core. Nothing that a file holds may stop the run, so a panic is a failure of the case.
fn decide(case: &Case) -> Result<ops::Told, String> {
    catch_unwind(AssertUnwindSafe(|| ops::run(case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        Err(format!("a panic: {text}"))
    })
}

/// The vector files of a directory by name.
fn vector_files(dir: &Path) -> Result<Vec<PathBuf>, RunError> {
    let fail = |why| RunError::Directory { dir: dir.to_owned(), why };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && name.ends_with(".json") && !name.ends_with("_table.json") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(RunError::NoVectors { dir: dir.to_owned() }) } else { Ok(files) }
}

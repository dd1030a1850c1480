//! How a command ends, and how its errors look.

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Says something on stderr. Where nobody listens there, it is not said.
macro_rules! complain {
    ($($text:tt)*) => {
        _ = std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use complain;

/// How a command ended, when its arguments and its input were right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything went as asked: 0.
    Done,
    /// Something did not: 1. It has been said on stderr what.
    Failed,
}

/// Why a command did nothing: 2. Each fault is printed on a line of its own.
#[derive(Debug)]
pub(crate) struct Refusal(Vec<Fault>);

impl Refusal {
    /// A refusal for one reason, which is not in a file.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self(vec![Fault { place: None, key: None, what: what.to_string() }])
    }

    /// What is wrong, one by one.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &[Fault] {
        &self.0
    }

    /// Whether it is only that nobody reads our output any more.
    fn is_broken_pipe(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Fault>> for Refusal {
    fn from(faults: Vec<Fault>) -> Self {
        debug_assert!(!faults.is_empty(), "a refusal has a reason");
        Self(faults)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<io::Error> for Refusal {
    /// An error of stdin, stdout or stderr.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self(Vec::new()) } else { Self::new(error) }
    }
}

/// One thing that is wrong: `FILE:LINE: key: what; what would be right`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file and the line, counted from 1.
    pub(crate) place: Option<(String, u64)>,
    /// The key in that line.
    pub(crate) key: Option<String>,
    /// What is wrong, and what would be right.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = &self.place {
            write!(f, "{file}:{line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What stands for an argument that may be a secret in the wrong place.
const HIDDEN: &str = "(not shown)";
/// No command is longer.
const LONGEST_WORD: usize = 16;

/// Prints what is wrong with the arguments, or the help that they ask for, and ends the process. A word that may be a
/// secret in the wrong place is not repeated: the value of a header, anything that begins like a secret, and a long word
/// that stands where none is expected.
pub(crate) fn usage(mut error: clap::Error) -> ! {
    let of_header = text(&error, ContextKind::InvalidArg).is_some_and(|argument| argument.starts_with("--header"));
    let stray = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand] {
        let hide = text(&error, kind).is_some_and(|word| {
            let long = stray && !word.starts_with("--") && word.len() > LONGEST_WORD;
            long || word.contains("whsec_") || of_header && kind == ContextKind::InvalidValue
        });
        if hide {
            error.insert(kind, ContextValue::String(HIDDEN.into()));
            // It may say how to pass the word otherwise.
            error.remove(ContextKind::Suggested);
        }
    }
    error.exit()
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        Some(_) | None => None,
    }
}

/// Prints what has to be said and gives the code for the operating system.
pub(crate) fn code(result: Result<Exit, Refusal>) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Err(refusal) if refusal.is_broken_pipe() => ExitCode::from(1),
        Err(refusal) => {
            for fault in &refusal.0 {
                complain!("error: {fault}");
            }
            ExitCode::from(2)
        }
    }
}

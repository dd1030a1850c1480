//! Runs the built command.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const DRIVERS: [&str; 2] = ["tokio", "blocking"];

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn postrider(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command with this on stdin, for at most a minute.
pub(crate) fn run(args: &[&str], stdin: &[u8]) -> Ran {
    let mut child = postrider(args).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    // A command that refuses its arguments does not read.
    let writer = thread::spawn(move || _ = input.write_all(&bytes));
    let id = child.id();
    let (sender, done) = std::sync::mpsc::channel();
    let guard = thread::spawn(move || {
        if done.recv_timeout(Duration::from_secs(60)).is_err() {
            _ = Command::new("kill").arg(id.to_string()).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    _ = sender.send(());
    writer.join().unwrap();
    guard.join().unwrap();
    output.into()
}

/// A directory with files.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file and gives its path.
    pub(crate) fn put(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The path of a name that need not be there.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// An endpoint file's table.
pub(crate) fn endpoint(id: &str, url: &str, rest: &str) -> String {
    format!("[[endpoint]]\nid = \"{id}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{rest}\n")
}

/// A `postrider listen` that runs.
pub(crate) struct Listener {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Listener {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = postrider(&[&["listen"], args].concat()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let from = line.find("http://").unwrap_or_else(|| panic!("no URL in {line:?}"));
        let url = line[from..].trim_end_matches(['"', '}', '\n']).to_string();
        Self { child, out, url }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn addr(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// The rest of its output, once it has ended by itself, which it must within 20 s.
    pub(crate) fn finish(mut self) -> Ran {
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the listener does not end");
            thread::sleep(Duration::from_millis(10));
        };
        let mut ran = Ran { code: status.code(), out: String::new(), err: String::new() };
        self.out.read_to_string(&mut ran.out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut ran.err).unwrap();
        ran
    }

    /// Ends it, and gives what it said on stderr.
    pub(crate) fn stop(mut self) -> String {
        self.child.kill().unwrap();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        err
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

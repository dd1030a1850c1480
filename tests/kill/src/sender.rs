//! The real command as a process.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::journal::{Record, Then};
use postrider_journal::{StdDisk, Store};

use crate::Plan;
use crate::receiver::SECRET;

/// Builds the command with the profile that this was built with, and says where it is.
pub fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = process::Command::new(cargo);
    build.args(["build", "--quiet", "--package", "postrider-cli", "--bin", "postrider"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().map_err(|why| format!("cargo: {why}"))?;
    if !status.success() {
        return Err("the command could not be built".into());
    }
    let own = std::env::current_exe().map_err(|why| format!("the path of this program: {why}"))?;
    // A test lies in `deps`, one folder below.
    let name = format!("postrider{}", std::env::consts::EXE_SUFFIX);
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("there is no {name} beside {}; name it with --command", own.display()))
}

/// What is run again and again, and the files that it needs.
pub(crate) struct Command {
    program: PathBuf,
    args: Vec<String>,
    folder: tempfile::TempDir,
}

/// How a run ended that was to be killed.
pub(crate) enum End {
    /// It is dead since then.
    Killed(Instant),
    /// It had ended by itself, with this code.
    Ended(i32),
    /// The moment did not come; it has been killed.
    Hung,
}

/// A run that came to its end.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// A number of the summary.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        serde_json::from_str::<serde_json::Value>(&self.out).ok()?.get(name)?.as_u64()
    }
}

impl Command {
    /// The command for a plan, with its files written.
    pub(crate) fn new(plan: &Plan, url: String) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("postrider-kill-").tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut events = String::new();
        for n in 0..plan.events {
            let text = "x".repeat(200);
            writeln!(events, "{{\"type\":\"order.paid\",\"id\":\"e{n}\",\"data\":{{\"n\":{n},\"text\":\"{text}\"}}}}")
                .expect("a text can be written to");
        }
        fs::write(path("events.ndjson"), events)?;
        let concurrency = plan.concurrency;
        fs::write(
            path("endpoints.toml"),
            format!(
                "[[endpoint]]\nid = \"receiver\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nevents = [\"**\"]\n\
                 concurrency = {concurrency}\n"
            ),
        )?;
        let mut args: Vec<String> =
            ["deliver", "--json", "--allow-http", "--allow", "127.0.0.0/8"].map(Into::into).into();
        args.extend(["--driver".into(), plan.driver.clone(), "--concurrency".into(), concurrency.to_string()]);
        args.extend(["--journal".into(), path("journal"), "--endpoints".into(), path("endpoints.toml")]);
        args.push(path("events.ndjson"));
        Ok(Self { program: plan.command.clone(), args, folder })
    }

    /// Starts it.
    pub(crate) fn start(&self) -> io::Result<Running> {
        let said = self.folder.path().join("stderr");
        let mut command = process::Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&said)?);
        Ok(Running { child: command.spawn()?, started: Instant::now(), said })
    }

    /// Runs it to its end.
    pub(crate) fn finish(&self) -> Result<Finished, String> {
        self.wait(&self.args)
    }

    /// Lets it judge its journal.
    pub(crate) fn verify(&self) -> Result<Finished, String> {
        self.wait(&["journal".into(), "verify".into(), self.journal().display().to_string()])
    }

    /// The numbers of the events that the journal says were delivered. Nobody has it open.
    pub(crate) fn recorded(&self) -> Result<HashSet<u64>, String> {
        let Ok(disk) = StdDisk::existing(self.journal()) else { return Ok(HashSet::new()) };
        let look = Store::look(disk).map_err(|why| format!("the journal that a kill left: {why}"))?;
        let (mut numbers, mut delivered) = (HashMap::new(), HashSet::new());
        for record in look.all() {
            match record.map_err(|why| why.to_string())? {
                (seq, Record::Accepted(accepted)) => {
                    let number = accepted.id.as_str().strip_prefix('e').and_then(|number| number.parse::<u64>().ok());
                    numbers.insert(seq, number.ok_or("the journal has an event that is not in the input")?);
                }
                (_, Record::Outcome(outcome)) if outcome.then == Then::Delivered => {
                    delivered.extend(numbers.get(&outcome.event));
                }
                _ => {}
            }
        }
        Ok(delivered)
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn wait(&self, args: &[String]) -> Result<Finished, String> {
        let output = process::Command::new(&self.program).args(args).stdin(Stdio::null()).output();
        let output = output.map_err(|why| format!("{}: {why}", self.program.display()))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Finished { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
    }
}

/// A run under way. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    said: PathBuf,
}

impl Running {
    /// Kills it with SIGKILL at the moment of which `now` is told how long the run has run.
    pub(crate) fn kill_at(&mut self, now: impl Fn(Duration) -> bool, patience: Duration) -> io::Result<End> {
        loop {
            let running = self.started.elapsed();
            if now(running) || running > patience {
                self.child.kill()?;
                let status = self.child.wait()?;
                return Ok(match status.code() {
                    _ if running > patience => End::Hung,
                    Some(code) => End::Ended(code),
                    None => End::Killed(Instant::now()),
                });
            }
            if let Some(status) = self.child.try_wait()? {
                return Ok(End::Ended(status.code().unwrap_or(-1)));
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// What it said on stderr.
    pub(crate) fn said(&self) -> String {
        said(&self.said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The last lines of a file.
fn said(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = fs::File::open(path) {
        _ = file.take(64 * 1024).read_to_string(&mut text);
    }
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}

//! `--exec CMD`: a command for each webhook.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::show::Webhook;

/// The exit code that means "later" (`EX_TEMPFAIL` of sysexits).
pub(crate) const LATER: i32 = 75;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Later,
    /// With this code, or by a signal.
    Badly(Option<i32>),
    /// It was killed at its deadline.
    Overdue,
}

/// Runs the command in a shell, with the payload on its stdin and what is known of the webhook in its environment. What
/// it prints goes to our stderr.
pub(crate) fn run(command: &str, webhook: &Webhook<'_>, deadline: Instant) -> io::Result<Ended> {
    let mut shell = shell(command);
    shell.stdin(Stdio::piped()).stdout(io::stderr()).stderr(Stdio::inherit()).envs(environment(webhook));
    let mut child = shell.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let payload = webhook.payload.to_vec();
        // A command that does not read its stdin must not hold us; the pipe breaks at its end.
        let writer = thread::Builder::new().name("stdin".into()).spawn(move || _ = stdin.write_all(&payload));
        if let Err(why) = writer {
            kill(&mut child);
            return Err(why);
        }
    }
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(ended(status));
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            kill(&mut child);
            return Ok(Ended::Overdue);
        }
        thread::sleep(pause.min(rest));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn ended(status: ExitStatus) -> Ended {
    match status.code() {
        Some(0) => Ended::Well,
        Some(LATER) => Ended::Later,
        code => Ended::Badly(code),
    }
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut shell = Command::new("sh");
    // A group of its own, so that what the shell has started ends with it.
    shell.args(["-c", command]).process_group(0);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}

/// Ends the command, and on Unix everything in its group.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    {
        let group = format!("kill -s KILL -- -{}", child.id());
        _ = Command::new("sh").args(["-c", &group]).stderr(Stdio::null()).status();
    }
    _ = child.kill();
    _ = child.wait();
}

/// The variables of a webhook: what is known of it, and every header as `POSTRIDER_HEADER_` and its name in upper case
/// with `_` for whatever is no letter or digit. The lines of a header that appears more than once are joined by `, `.
fn environment(webhook: &Webhook<'_>) -> Vec<(String, OsString)> {
    let told = [
        ("SCHEME", webhook.scheme.map(Into::into)),
        ("KEY", webhook.key.map(|key| key.to_string())),
        ("ID", webhook.id.clone()),
        ("TYPE", webhook.kind.clone()),
        ("TIMESTAMP", webhook.secs.map(|secs| secs.to_string())),
        ("METHOD", Some(webhook.request.method.clone())),
        ("TARGET", Some(webhook.request.target.clone())),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((format!("POSTRIDER_{name}"), value?.into_bytes())));
    let mut all: Vec<(String, Vec<u8>)> = told.collect();
    let own = all.len();
    for (name, value) in &webhook.request.headers {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name = format!("POSTRIDER_HEADER_{}", name.chars().map(plain).collect::<String>());
        match all[own..].iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.extend_from_slice(b", ");
                known.extend_from_slice(value);
            }
            None => all.push((name, value.clone())),
        }
    }
    all.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// A value as the operating system takes it, which is without zero bytes.
#[cfg(unix)]
fn text(mut value: Vec<u8>) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    value.retain(|byte| *byte != 0);
    OsString::from_vec(value)
}

#[cfg(not(unix))]
fn text(mut value: Vec<u8>) -> OsString {
    value.retain(|byte| *byte != 0);
    String::from_utf8_lossy(&value).into_owned().into()
}

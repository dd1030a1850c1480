//! `postrider sign`: the headers that a body would be sent with.

use std::io::{self, Read, Write};
use std::time::SystemTime;

use postrider_core::id::EventId;
use postrider_core::secret::Secret;
use postrider_core::signing::{SigningKey, standard};
use postrider_core::time::UnixTime;
use postrider_driver::mint;

use crate::exit::{Exit, Refusal};

/// Sign a body from stdin (Standard Webhooks v1) and print its header lines
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shared secret, as whsec_ and base64 (repeatable: each of them signs)
    #[arg(long, required = true, value_name = "S")]
    secret: Vec<String>,
    /// The webhook-id [default: a fresh one]
    #[arg(long, value_name = "I")]
    id: Option<String>,
    /// The webhook-timestamp, as Unix seconds or RFC 3339 [default: now]
    #[arg(long, value_name = "T", value_parser = time)]
    timestamp: Option<UnixTime>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let mut keys = Vec::new();
    for secret in &args.secret {
        let secret = Secret::parse(secret).map_err(|why| Refusal::new(format!("--secret: {why}")))?;
        keys.push(SigningKey::from(&secret));
    }
    let id = match &args.id {
        Some(id) => EventId::new(id).map_err(|why| Refusal::new(format!("--id: {why}")))?,
        None => mint::event_id().map_err(Refusal::new)?,
    };
    let secs = args.timestamp.unwrap_or_else(now).as_secs();
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let signature = standard::sign(&keys, id.as_str(), secs, &body);
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {id}", standard::ID)?;
    writeln!(out, "{}: {secs}", standard::TIMESTAMP)?;
    writeln!(out, "{}: {signature}", standard::SIGNATURE)?;
    out.flush()?;
    Ok(Exit::Done)
}

/// The wall clock.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a time as Unix seconds or RFC 3339.
pub(crate) fn time(text: &str) -> Result<UnixTime, String> {
    let secs = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    secs.map(UnixTime::from_secs).or_else(|| UnixTime::parse_rfc3339(text)).ok_or_else(|| {
        "this is no time; write Unix seconds such as 1700000000, or RFC 3339 such as 2026-11-21T07:26:00Z".into()
    })
}

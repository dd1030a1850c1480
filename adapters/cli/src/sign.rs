//! `postrider sign`: the headers that a body would be sent with.

use std::io::{self, Read, Write};
use std::time::SystemTime;

use postrider_core::id::EventId;
use postrider_core::secret::Secret;
use postrider_core::signing::{Scheme, Signer, SigningKey, Unsigned, standard};
use postrider_core::time::UnixTime;
use postrider_driver::mint;

use crate::exit::{Exit, Refusal};

/// Sign a body from stdin (Standard Webhooks, or another scheme) and print its header lines
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shared secret, as whsec_ and base64 (repeatable: each of them signs)
    #[arg(long, required = true, value_name = "S")]
    secret: Vec<String>,
    /// The webhook-id [default: a fresh one]
    #[arg(long, value_name = "I")]
    id: Option<String>,
    /// The scheme: standard-webhooks, github, stripe, slack, shopify, http-message-signatures, and others that verify
    /// names; keys are then written as that scheme writes them, and one signs
    #[arg(long, value_name = "NAME", default_value_t = Scheme::Standard)]
    scheme: Scheme,
    /// The URL as the receiver knows it, for schemes that sign it
    #[arg(long, value_name = "U", default_value = "https://example.com/")]
    url: String,
    /// The webhook-timestamp, as Unix seconds or RFC 3339 [default: now]
    #[arg(long, value_name = "T", value_parser = time)]
    timestamp: Option<UnixTime>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    if args.scheme != Scheme::Standard {
        return other(args);
    }
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

/// The same in another scheme. What it signs besides the headers, where it changes the body or the URL, is told too.
fn other(args: &Args) -> Result<Exit, Refusal> {
    let [secret] = args.secret.as_slice() else { return Err(Refusal::new("--secret: one key signs this scheme")) };
    let signer = Signer::new(args.scheme, secret).map_err(|why| Refusal::new(format!("--secret: {why}")))?;
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let at = args.timestamp.unwrap_or_else(now);
    let request = Unsigned { method: "POST", url: &args.url, id: args.id.as_deref(), headers: &[], body: &body };
    let signed = signer.sign(&request, at).map_err(Refusal::new)?;
    if signed.body != body || signed.url != args.url {
        return Err(Refusal::new(format!(
            "--scheme: {} changes the body or the URL, which headers cannot show",
            args.scheme
        )));
    }
    let mut out = io::stdout().lock();
    for (name, value) in &signed.headers {
        writeln!(out, "{name}: {value}")?;
    }
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

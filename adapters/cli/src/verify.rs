//! `postrider verify`: whether a request was signed with a secret, and if not, why not.

use std::io::{self, Read, Write};
use std::time::Duration;

use postrider_core::secret::Secret;
use postrider_core::signing::diagnose::diagnose;
use postrider_core::signing::standard::{TOLERANCE, Verifier};
use postrider_core::signing::{self, Received, Scheme};
use postrider_core::time::UnixTime;
use postrider_driver::mint;

use crate::exit::{Exit, Refusal, complain};
use crate::sign::{now, time};

/// Verify a body from stdin against its headers (Standard Webhooks, or another scheme); exit 0 valid, 1 invalid, 2 usage
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shared secret, as whsec_ and base64 (repeatable: any of them may have signed)
    #[arg(long, required = true, value_name = "S")]
    secret: Vec<String>,
    /// A request header (repeatable)
    #[arg(short = 'H', long = "header", required = true, value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The receiver's clock, as Unix seconds or RFC 3339 [default: now]
    #[arg(long, value_name = "T", value_parser = time)]
    now: Option<UnixTime>,
    /// The scheme, such as github or stripe; keys are then written as that scheme writes them
    #[arg(long, value_name = "NAME", default_value_t = Scheme::Standard)]
    scheme: Scheme,
    /// The URL as the sender has it, for schemes that sign it
    #[arg(long, value_name = "U", default_value = "")]
    url: String,
    /// How far the timestamp may lie from that clock
    #[arg(long, value_name = "SECS", default_value_t = TOLERANCE.as_secs())]
    tolerance: u64,
    /// Accept secrets of fewer than 24 or more than 64 bytes
    #[arg(long)]
    any_size: bool,
    /// Accept svix-id, svix-timestamp and svix-signature too
    #[arg(long)]
    svix: bool,
    /// When it is invalid, try the usual causes and name the one that fits
    #[arg(long)]
    explain: bool,
    /// With --explain: another secret that may have signed, such as an older one (repeatable)
    #[arg(long, value_name = "S", requires = "explain")]
    also: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    if args.scheme != Scheme::Standard {
        return other(args);
    }
    let (verifier, complaint) = verifier(args)?;
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let now = args.now.unwrap_or_else(now);
    let error = match (verifier.verify(&args.headers, &body, now), &complaint) {
        (Ok(verified), None) => {
            let mut out = io::stdout().lock();
            writeln!(out, "valid: {}, signed {} with {}", verified.id(), verified.timestamp(), verified.key())?;
            out.flush()?;
            return Ok(Exit::Done);
        }
        // Nothing can fit the key that stands in for a secret that cannot be read.
        (Ok(_), Some(_)) => return Ok(Exit::Failed),
        (Err(error), _) => error,
    };
    match &complaint {
        Some(complaint) => complain!("invalid: {complaint}"),
        None => complain!("invalid: {error}"),
    }
    if args.explain {
        let secrets: Vec<&str> = args.secret.iter().chain(&args.also).map(String::as_str).collect();
        let causes = diagnose(&verifier, &secrets, &args.headers, &body, now, &error);
        for cause in &causes {
            complain!("cause: {cause}");
        }
        if causes.is_empty() {
            complain!("cause: none of the usual ones fits; another secret, or a body that was changed on the way");
        }
    }
    Ok(Exit::Failed)
}

/// The same of another scheme. Its tolerance is its own unless another is given.
fn other(args: &Args) -> Result<Exit, Refusal> {
    let verifier = signing::Verifier::new(args.scheme, &args.secret);
    let mut verifier = verifier.map_err(|why| Refusal::new(format!("--secret: {why}")))?;
    if args.tolerance != TOLERANCE.as_secs() {
        verifier = verifier.tolerance(Duration::from_secs(args.tolerance));
    }
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let received = Received { method: "POST", url: &args.url, headers: &args.headers, body: &body };
    match verifier.verify(&received, args.now.unwrap_or_else(now)) {
        Ok(verified) => {
            let mut out = io::stdout().lock();
            let id = verified.id().map_or_else(String::new, |id| format!(" {id},"));
            writeln!(out, "valid:{id} by {} with {}", args.scheme, verified.key())?;
            out.flush()?;
            Ok(Exit::Done)
        }
        Err(error) => {
            complain!("invalid: {error}");
            Ok(Exit::Failed)
        }
    }
}

/// The verifier, and what is wrong with the secrets where that is to be explained rather than refused.
fn verifier(args: &Args) -> Result<(Verifier, Option<String>), Refusal> {
    let mut secrets = Vec::new();
    let mut complaint = None;
    for text in &args.secret {
        let parsed = if args.any_size { Secret::parse_any_size(text) } else { Secret::parse(text) };
        match parsed {
            Ok(secret) => secrets.push(secret),
            Err(why) if args.explain => complaint = Some(format!("--secret: {why}")),
            Err(why) => return Err(Refusal::new(format!("--secret: {why}"))),
        }
    }
    if secrets.is_empty() {
        secrets.push(mint::secret().map_err(Refusal::new)?);
    } else {
        complaint = None;
    }
    let verifier = Verifier::new(&secrets).map_err(|why| Refusal::new(format!("--secret: {why}")))?;
    let verifier = verifier.tolerance(Duration::from_secs(args.tolerance)).accept_svix_names(args.svix);
    Ok((verifier, complaint))
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_string(), value.trim_matches([' ', '\t']).to_string()))
        }
        Some(_) | None => Err("write it as 'name: value'".into()),
    }
}

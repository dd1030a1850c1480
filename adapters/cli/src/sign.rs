//! `postrider sign`: the headers that a body would be sent with, and what of the request its scheme changes.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use postrider_core::id::EventId;
use postrider_core::secret::Secret;
use postrider_core::signing::{Scheme, Signed, Signer, SigningKey, Unsigned, VerifierError, standard};
use postrider_core::time::UnixTime;
use postrider_driver::mint;

use crate::exit::{Exit, Refusal};

/// Sign a body from stdin and print the header lines to send it with
///
/// Where the scheme changes the URL (Twilio, of a body that is no form), the last line is `url: ` and the URL to call.
/// Where it changes the body (adyen-notification, braintree, mailgun), --body-out says where to put the bytes to send.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The key, written as the scheme writes it; of standard-webhooks whsec_ or whsk_ and base64 (repeatable there: each
    /// of them signs)
    #[arg(long, required = true, value_name = "S")]
    secret: Vec<String>,
    /// The event's id, for schemes that send one [default: a fresh one]
    #[arg(long, value_name = "I")]
    id: Option<String>,
    /// The scheme: standard-webhooks, github, stripe, slack, shopify, twilio, http-message-signatures, and others that a
    /// wrong name lists
    #[arg(long, value_name = "NAME", default_value_t = Scheme::Standard)]
    scheme: Scheme,
    /// The URL as the receiver knows it; schemes that sign it need it
    #[arg(long, value_name = "U")]
    url: Option<String>,
    /// The method, for schemes that sign it
    #[arg(long, value_name = "M", default_value = "POST")]
    method: String,
    /// A header that is sent anyway (repeatable); with twilio, content-type says whether the body is a form
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// When it is signed, as Unix seconds or RFC 3339 [default: now]
    #[arg(long, value_name = "T", value_parser = time)]
    timestamp: Option<UnixTime>,
    /// Write the body to send to this file
    #[arg(long, value_name = "FILE")]
    body_out: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let signers = signers(args)?;
    let url = url(args.scheme, args.url.as_deref())?;
    let id = match &args.id {
        Some(id) if args.scheme == Scheme::Standard => {
            EventId::new(id).map_err(|why| Refusal::new(format!("--id: {why}")))?.as_str().to_owned()
        }
        Some(id) => id.clone(),
        None => mint::event_id().map_err(Refusal::new)?.as_str().to_owned(),
    };
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let method = args.method.to_ascii_uppercase();
    let headers: Vec<_> = args.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = Unsigned { method: &method, url, id: Some(&id), headers: &headers, body: &body };
    let signed = sign(&signers, &request, args.timestamp.unwrap_or_else(now))?;
    match &args.body_out {
        Some(path) => fs::write(path, &signed.body)
            .map_err(|why| Refusal::new(format!("--body-out: {}: {why}", path.display())))?,
        None if signed.body != body => {
            let scheme = args.scheme;
            return Err(Refusal::new(format!("--scheme: {scheme} signs inside of the body; say --body-out FILE")));
        }
        None => {}
    }
    let mut out = io::stdout().lock();
    for (name, value) in &signed.headers {
        writeln!(out, "{name}: {value}")?;
    }
    if signed.url != url {
        writeln!(out, "url: {}", signed.url)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// What signs: several keys with Standard Webhooks, otherwise one.
fn signers(args: &Args) -> Result<Vec<Signer>, Refusal> {
    let refused = |why: &dyn std::fmt::Display| Refusal::new(format!("--secret: {why}"));
    let made = |secret: &String| match args.scheme {
        Scheme::Custom => Err(undescribed()),
        Scheme::Sendgrid => {
            Err(Refusal::new("--scheme: the key of sendgrid never leaves its provider; verify knows it"))
        }
        Scheme::Standard if !secret.starts_with("whsk_") => {
            Secret::parse(secret).map(|secret| Signer::standard(SigningKey::from(&secret))).map_err(|why| refused(&why))
        }
        scheme => Signer::new(scheme, secret).map_err(|why: VerifierError| refused(&why)),
    };
    if args.secret.len() > 1 && args.scheme != Scheme::Standard {
        return Err(refused(&"one key signs this scheme"));
    }
    args.secret.iter().map(made).collect()
}

/// The request as the first signs it, with the signatures of the others behind its own.
fn sign(signers: &[Signer], request: &Unsigned<'_>, at: UnixTime) -> Result<Signed, Refusal> {
    let mut all = Vec::new();
    for signer in signers {
        all.push(signer.sign(request, at).map_err(Refusal::new)?);
    }
    let mut all = all.into_iter();
    let mut first = all.next().ok_or_else(|| Refusal::new("--secret: a key is needed"))?;
    for other in all {
        let is = |(name, _): &&(String, String)| name == standard::SIGNATURE;
        let more = other.headers.iter().find(is).map_or("", |(_, value)| value);
        for (_, value) in first.headers.iter_mut().filter(|(name, _)| name == standard::SIGNATURE) {
            value.push(' ');
            value.push_str(more);
        }
    }
    Ok(first)
}

/// The URL, which schemes that sign it cannot do without.
pub(crate) fn url(scheme: Scheme, given: Option<&str>) -> Result<&str, Refusal> {
    match given {
        None if scheme.signs_url() => Err(Refusal::new(format!("--url: {scheme} signs the URL; give it"))),
        given => Ok(given.unwrap_or("")),
    }
}

/// Why there is no `--scheme custom`.
pub(crate) fn undescribed() -> Refusal {
    Refusal::new("--scheme: custom stands for a scheme that a program describes; give one by its name")
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

/// Reads a header line.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_string(), value.trim_matches([' ', '\t']).to_string()))
        }
        Some(_) | None => Err("write it as 'name: value'".into()),
    }
}

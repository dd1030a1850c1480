//! `postrider verify`: whether a request was signed with a secret, and if not, why not.

use std::io::{self, Read, Write};
use std::time::Duration;

use postrider_core::signing::{PrivateKey, Received, Scheme, Verifier, VerifierError};
use postrider_core::time::UnixTime;
use postrider_driver::mint;

use crate::exit::{Exit, Refusal, complain};
use crate::sign::{header, now, time, undescribed, url};

/// Verify a body from stdin against its headers; exit 0 valid, 1 invalid, 2 usage
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The key, written as the scheme writes it; of standard-webhooks whsec_ or whpk_ and base64 (repeatable: any of them
    /// may have signed)
    #[arg(long, required = true, value_name = "S")]
    secret: Vec<String>,
    /// A request header (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The receiver's clock, as Unix seconds or RFC 3339 [default: now]
    #[arg(long, value_name = "T", value_parser = time)]
    now: Option<UnixTime>,
    /// The scheme, such as github or stripe; a wrong name lists them
    #[arg(long, value_name = "NAME", default_value_t = Scheme::Standard)]
    scheme: Scheme,
    /// The URL as the sender has it; schemes that sign it need it
    #[arg(long, value_name = "U")]
    url: Option<String>,
    /// The method, for schemes that sign it
    #[arg(long, value_name = "M", default_value = "POST")]
    method: String,
    /// How far the timestamp may lie from that clock [default: the scheme's own, often 300]
    #[arg(long, value_name = "SECS")]
    tolerance: Option<u64>,
    /// With standard-webhooks: accept secrets of fewer than 24 or more than 64 bytes
    #[arg(long)]
    any_size: bool,
    /// With standard-webhooks: accept svix-id, svix-timestamp and svix-signature too
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
    let (verifier, complaint) = verifier(args)?;
    let in_body = matches!(args.scheme, Scheme::AdyenNotification | Scheme::Braintree | Scheme::Mailgun);
    if args.headers.is_empty() && !in_body {
        return Err(Refusal::new(format!("--header: {} signs in a header; give the request's with -H", args.scheme)));
    }
    let url = url(args.scheme, args.url.as_deref())?;
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let now = args.now.unwrap_or_else(now);
    let method = args.method.to_ascii_uppercase();
    let received = Received { method: &method, url, headers: &args.headers, body: &body };
    let error = match (verifier.verify(&received, now), &complaint) {
        (Ok(verified), None) => {
            let mut out = io::stdout().lock();
            let id = verified.id().map_or_else(String::new, |id| format!(" {id},"));
            let scheme = if args.scheme == Scheme::Standard { String::new() } else { format!(" by {}", args.scheme) };
            let time = verified.timestamp().map_or_else(String::new, |time| format!(" {time}"));
            writeln!(out, "valid:{id} signed{time}{scheme} with {}", verified.key())?;
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
        let causes = error.hints(&verifier, &received, &secrets, now);
        for cause in &causes {
            complain!("cause: {cause}");
        }
        if causes.is_empty() {
            complain!("cause: none of the usual ones fits; another secret, or a body that was changed on the way");
        }
    }
    Ok(Exit::Failed)
}

/// The verifier, and what is wrong with the secrets where that is to be explained rather than refused. Then one that can
/// be read is enough.
fn verifier(args: &Args) -> Result<(Verifier, Option<String>), Refusal> {
    if args.scheme == Scheme::Custom {
        return Err(undescribed());
    }
    let all: Vec<&str> = args.secret.iter().map(String::as_str).collect();
    let (verifier, complaint) = match make(args, &all) {
        Ok(verifier) => (verifier, None),
        Err(why) if args.explain => {
            let readable: Vec<&str> = all.into_iter().filter(|text| make(args, &[text]).is_ok()).collect();
            match make(args, &readable) {
                Ok(verifier) => (verifier, None),
                Err(_) => {
                    let complaint = format!("--secret: {why}");
                    (stand_in(args.scheme)?.ok_or_else(|| Refusal::new(&complaint))?, Some(complaint))
                }
            }
        }
        Err(why) => return Err(Refusal::new(format!("--secret: {why}"))),
    };
    let verifier = match args.tolerance {
        Some(secs) => verifier.tolerance(Duration::from_secs(secs)),
        None => verifier,
    };
    Ok((verifier.accept_svix_names(args.svix), complaint))
}

fn make(args: &Args, texts: &[&str]) -> Result<Verifier, VerifierError> {
    match args.scheme {
        Scheme::Standard if args.any_size => Verifier::standard_allow_size(1..=usize::MAX, texts),
        scheme => Verifier::new(scheme, texts),
    }
}

/// A verifier that no request fits, where no secret can be read. None where such a key cannot be made.
fn stand_in(scheme: Scheme) -> Result<Option<Verifier>, Refusal> {
    let secret = mint::secret().map_err(Refusal::new)?;
    let hex: String = secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = match scheme {
        Scheme::Discord => {
            let seed = <[u8; 32]>::try_from(secret.expose()).map_err(|_| Refusal::new("a secret has 32 bytes"))?;
            let public = PrivateKey::from_seed(&seed).public().to_bytes();
            public.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        Scheme::Braintree => format!("nobody:{hex}"),
        Scheme::AdyenHeader | Scheme::AdyenNotification => hex,
        _ => secret.reveal(),
    };
    match Verifier::new(scheme, [text]) {
        Ok(verifier) => Ok(Some(verifier)),
        Err(VerifierError::Key { .. }) => Ok(None),
        Err(why) => Err(Refusal::new(why)),
    }
}

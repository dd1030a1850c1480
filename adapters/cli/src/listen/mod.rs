//! `postrider listen`: a receiver that verifies, answers, and prints what it accepted.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::registration::consent::{CHALLENGE_TYPE, Doorkeeper, Token};
use postrider_core::secret::Secret;
use postrider_core::signing::standard::{ID, TIMESTAMP, Verifier};
use serde::Deserialize;

use crate::exit::{Exit, Refusal, complain};
use crate::http::server::{Fault, Handler, serve};
use crate::http::{Headers, Request, Response, header};
use crate::sign::now;

/// Receive webhooks: print the URL, then a line for each that is accepted; refusals go to stderr. Who asks for consent,
/// by a challenge or by CloudEvents' handshake, is given it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// A shared secret, as whsec_ and base64 (repeatable: any of them may have signed); without one, nothing is verified
    #[arg(long, value_name = "S")]
    secret: Vec<String>,
    /// Exit after this many were accepted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    once: Option<u64>,
    /// Print a JSON object for each: id, type, timestamp, headers (postrider-*, ce-*), body (as text, or body_base64)
    #[arg(long)]
    json: bool,
    /// What to answer what is accepted
    #[arg(long, value_name = "CODE", default_value_t = 204, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
}

/// Runs it. Without `--once` it does not return.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let secrets: Result<Vec<Secret>, _> = args.secret.iter().map(|text| Secret::parse(text)).collect();
    let secrets = secrets.map_err(|why| Refusal::new(format!("--secret: {why}")))?;
    let verifier = match secrets.is_empty() {
        true => None,
        false => Some(Verifier::new(&secrets).map_err(|why| Refusal::new(format!("--secret: {why}")))?),
    };
    let listener = TcpListener::bind(args.addr).map_err(|why| Refusal::new(format!("--addr: {}: {why}", args.addr)))?;
    let url = format!("http://{}/", listener.local_addr()?);
    if verifier.is_none() {
        complain!("warning: no --secret is given, so nothing is verified: anybody may have sent what is printed");
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "listening": url }))?;
    } else {
        writeln!(out, "listening on {url}")?;
    }
    out.flush()?;
    drop(out);
    let count = Count { accepted: 0, answered: 0 };
    let printer = Printer { verifier, json: args.json, status: args.status, once: args.once, count: Mutex::new(count) };
    serve(listener, Arc::new(printer));
    Ok(Exit::Done)
}

struct Count {
    accepted: u64,
    answered: u64,
}

struct Printer {
    verifier: Option<Verifier>,
    json: bool,
    status: u16,
    once: Option<u64>,
    count: Mutex<Count>,
}

impl Handler for Printer {
    fn answer(&self, request: Request, peer: SocketAddr) -> Response {
        if request.method == "OPTIONS" {
            return consent(&request, peer);
        }
        if request.method != "POST" {
            complain!("refused: {peer}: 405, {} is not POST", request.method);
            return Response::new(405).header("allow", "POST").text("webhooks are sent with POST");
        }
        if let Some(verifier) = &self.verifier
            && let Err(why) = verifier.verify(&request.headers, &request.body, now())
        {
            complain!("refused: {peer}: {}, {why}", why.status_hint());
            return Response::new(why.status_hint()).text(why.wire_text());
        }
        if let Some(token) = challenge(&request) {
            complain!("consented: {peer}: its challenge was answered");
            return Response::new(200).text(&token);
        }
        // Held while printing, so that lines do not mix and exactly as many are printed as were asked for.
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if self.once.is_some_and(|once| count.accepted >= once) {
            return Response::new(503).header("retry-after", "1");
        }
        count.accepted += 1;
        let line = if self.json { json_line(&request) } else { plain_line(&request) };
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            // Nobody reads what is printed, so nobody has received anything.
            process::exit(1);
        }
        Response { marked: true, ..Response::new(self.status) }
    }

    /// The process ends only after the answers to what it accepted were written.
    fn answered(&self, response: &Response) {
        if !response.marked {
            return;
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.answered += 1;
        if self.once == Some(count.answered) {
            process::exit(0);
        }
    }

    fn refused(&self, peer: SocketAddr, why: Fault) {
        complain!("refused: {peer}: {}, {}", why.status().unwrap_or_default(), why.text());
    }
}

/// Whoever listens wants to be sent to: every sender that asks by the handshake of CloudEvents may, as often as it likes.
fn consent(request: &Request, peer: SocketAddr) -> Response {
    let mut door = Doorkeeper::default();
    door.anyone = true;
    let reception = door.answer(&request.headers);
    if reception.granted {
        complain!("consented: {peer}: it may send");
    } else {
        complain!("refused: {peer}: {}, it asks for no consent that can be given", reception.status);
    }
    let lines = reception.lines.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()));
    Response { headers: lines.collect(), ..Response::new(reception.status) }
}

/// The token of a challenge, which its sender wants back.
fn challenge(request: &Request) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
    let token = body["data"]["challenge"].as_str().filter(|_| body["type"] == CHALLENGE_TYPE)?;
    Token::new(token).is_ok().then(|| token.to_owned())
}

/// What is read of a body that is an envelope.
#[derive(Deserialize)]
struct Envelope {
    r#type: String,
}

fn event_type(request: &Request) -> Option<String> {
    serde_json::from_slice(&request.body).ok().map(|envelope: Envelope| envelope.r#type)
}

fn text<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
    header(headers, name).and_then(|value| std::str::from_utf8(value).ok())
}

fn plain_line(request: &Request) -> String {
    let id = text(&request.headers, ID).unwrap_or("(no id)");
    let event_type = event_type(request).unwrap_or_else(|| "(no type)".into());
    let attempt = text(&request.headers, "postrider-attempt").map(|n| format!(", attempt {n}")).unwrap_or_default();
    let bytes = request.body.len();
    // What is printed on a terminal comes from outside: nothing in it may steer the terminal.
    format!("{} {} {bytes} bytes{attempt}", id.escape_default(), event_type.escape_default())
}

fn json_line(request: &Request) -> String {
    let headers: serde_json::Map<String, serde_json::Value> = request
        .headers
        .iter()
        .filter(|(name, _)| ["postrider-", "ce-"].iter().any(|front| name.to_ascii_lowercase().starts_with(front)))
        .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into()))
        .collect();
    let mut line = serde_json::json!({
        "id": text(&request.headers, ID),
        "type": event_type(request),
        "timestamp": text(&request.headers, TIMESTAMP).and_then(|secs| secs.parse::<u64>().ok()),
        "headers": headers,
    });
    let (key, body) = match std::str::from_utf8(&request.body) {
        Ok(text) => ("body", text.to_string()),
        Err(_) => ("body_base64", STANDARD.encode(&request.body)),
    };
    line[key] = body.into();
    line.to_string()
}

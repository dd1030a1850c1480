//! `postrider listen`: a receiver that verifies, answers, and prints what it accepted, or hands it on.

mod exec;
pub(crate) mod forward;
mod keys;
mod places;
pub(crate) mod resend;
mod show;
mod stored;

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use postrider_core::registration::consent::{CHALLENGE_TYPE, Doorkeeper, Token};
use postrider_core::signing::receipt::{self, DeliveryReceipt};
use postrider_core::signing::{Received, Scheme, Verified};
use postrider_driver::challenges::{Challenges, Unwanted, answered};

use self::exec::Ended;
use self::forward::Forward;
use self::keys::{Keys, Known};
use self::places::Places;
use self::show::Webhook;
use self::stored::Stored;
use crate::duration;
use crate::exit::{Exit, Refusal, complain};
use crate::http::server::{Fault, Handler, serve};
use crate::http::{Request, Response};
use crate::sign::now;

/// When those should come again that are told "later", in seconds.
const AGAIN: &str = "30";

/// Receive webhooks: print the URL, then a line for each that is accepted; refusals go to stderr
///
/// Who asks whether we want to be sent to, is told so: by Postrider's challenge, by CloudEvents' handshake, and as far as
/// --scheme and --key say whose questions are answered, by Slack, Zoom, Discord, Meta (--verify-token), Twitter, and
/// WebSub hubs (--topic).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// A key of --scheme, written as the scheme writes it (repeatable: any of them may have signed); without any key,
    /// nothing is verified
    #[arg(long, value_name = "S")]
    secret: Vec<String>,
    /// The scheme of --secret
    #[arg(long, value_name = "NAME", default_value_t = Scheme::Standard)]
    scheme: Scheme,
    /// A scheme and a key of it (repeatable: whichever fits); twitter is understood too
    #[arg(long, value_name = "SCHEME:SECRET")]
    key: Vec<String>,
    /// The URL as senders have it, for schemes that sign it; a request's query is put behind it
    #[arg(long, value_name = "U")]
    url: Option<String>,
    /// A token that Meta was told (repeatable), for the question that it asks first
    #[arg(long, value_name = "T")]
    verify_token: Vec<String>,
    /// A topic that was subscribed to at a WebSub hub (repeatable), which is confirmed when the hub asks
    #[arg(long, value_name = "URL")]
    topic: Vec<String>,
    /// Exit after this many were accepted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    once: Option<u64>,
    /// Print a JSON object for each: id, type, timestamp, headers (postrider-*, ce-*), body (as text, or body_base64), and
    /// where it was verified scheme and key
    #[arg(long, conflicts_with = "pretty")]
    json: bool,
    /// Print each over several lines: what is known of it, its headers, and its body laid out
    #[arg(long)]
    pretty: bool,
    /// What to answer what is accepted
    #[arg(long, value_name = "CODE", default_value_t = 204, conflicts_with = "store", value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Give a signed receipt (postrider-receipt) with each answer of success to what a shared key of Standard Webhooks
    /// signed
    #[arg(long)]
    receipts: bool,
    /// Pass on what is accepted, with its headers, and answer what is answered there; 502 or 504 where nothing is. Without
    /// a path in the URL each request keeps its own
    #[arg(long, value_name = "URL", value_parser = forward::parse, conflicts_with_all = ["exec", "status"])]
    forward: Option<Forward>,
    /// Run this in a shell for each, with the payload on stdin and POSTRIDER_SCHEME, _KEY, _ID, _TYPE, _TIMESTAMP, _METHOD,
    /// _TARGET and POSTRIDER_HEADER_NAME in its environment: exit code 0 is answered with --status, 75 with 503 and
    /// Retry-After, any other, and being killed at the end of --timeout, with 500
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// How long --forward and --exec may take, waiting for their turn included
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration::parse)]
    timeout: Duration,
    /// How many --forward or --exec work on at once; who waits in vain is answered 503 with Retry-After
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Keep what is verified in this directory and answer 202 when it is on disk; then print it and hand it on from there,
    /// again by --retry until that ends well. After any end, run the same command again and it goes on where it was;
    /// `journal dead` lists what was given up, `replay DIR` sends it again. --once counts what was stored
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The waits before the attempts for one webhook, such as 0s,5s,5m; the last one made, it is given up. Without it, ten
    /// attempts over three days
    #[arg(long, value_name = "TIMES", value_delimiter = ',', requires = "store", value_parser = duration::parse)]
    retry: Vec<Duration>,
}

/// Runs it. Without `--once` it does not return.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let keys = Keys::read(args)?;
    if args.store.is_some() && keys.is_empty() {
        return Err(Refusal::new("--store: it keeps what is verified; give --secret or --key"));
    }
    let worker = worker(args);
    let stored = match &args.store {
        Some(directory) => Some(Stored::open(directory, worker.clone(), args)?),
        None => None,
    };
    let listener = TcpListener::bind(args.addr).map_err(|why| Refusal::new(format!("--addr: {}: {why}", args.addr)))?;
    let url = format!("http://{}/", listener.local_addr()?);
    if keys.is_empty() {
        complain!("warning: no --secret is given, so nothing is verified: anybody may have sent what is printed");
    }
    if let Some(scheme) = keys.lacks_url() {
        complain!("warning: {scheme} signs the URL, which is taken for the one that each request names; say --url");
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "listening": url }))?;
    } else {
        writeln!(out, "listening on {url}")?;
    }
    out.flush()?;
    drop(out);
    let receiver = Receiver {
        challenges: keys.challenges(),
        receipts: args.receipts,
        keys,
        worker,
        stored,
        once: args.once,
        places: Places::new(usize::from(args.concurrency)),
        count: Mutex::new(Count { taken: 0, answered: 0 }),
    };
    serve(listener, Arc::new(receiver));
    Ok(Exit::Done)
}

fn worker(args: &Args) -> Worker {
    let then = match (&args.forward, &args.exec) {
        (Some(forward), _) => Then::Forward(forward.clone()),
        (None, Some(command)) => Then::Exec(command.clone()),
        (None, None) => Then::Nothing,
    };
    let form = match (args.json, args.pretty) {
        (true, _) => Form::Json,
        (false, true) => Form::Pretty,
        (false, false) => Form::Plain,
    };
    Worker { then, form, status: args.status, timeout: args.timeout }
}

/// What happens to what was accepted.
#[derive(Clone)]
struct Worker {
    then: Then,
    form: Form,
    status: u16,
    timeout: Duration,
}

/// The same, besides being printed.
#[derive(Clone)]
enum Then {
    Nothing,
    Forward(Forward),
    Exec(String),
}

#[derive(Clone, Copy)]
enum Form {
    Plain,
    Json,
    Pretty,
}

struct Count {
    /// Accepted, or being worked on.
    taken: u64,
    answered: u64,
}

struct Receiver {
    keys: Keys,
    challenges: Challenges,
    receipts: bool,
    worker: Worker,
    /// Where webhooks are kept, if they are.
    stored: Option<Stored>,
    once: Option<u64>,
    places: Places,
    count: Mutex<Count>,
}

impl Handler for Receiver {
    fn answer(&self, request: Request, peer: SocketAddr) -> Response {
        if request.method == "OPTIONS" {
            return consent(&request, peer);
        }
        if let Some(answer) = self.asked(&request) {
            return match answer {
                Ok(answer) => consented(answer, peer),
                Err(why) => {
                    complain!("refused: {peer}: {}, {why}", why.status().as_u16());
                    Response::new(why.status().as_u16()).text(why.wire_text())
                }
            };
        }
        if request.method != "POST" {
            complain!("refused: {peer}: 405, {} is not POST", request.method);
            return Response::new(405).header("allow", "POST").text("webhooks are sent with POST");
        }
        if self.keys.is_empty() {
            return self.accept(&Webhook::unverified(&request), peer, None);
        }
        let url = self.keys.url(&request);
        let received = Received { method: &request.method, url: &url, headers: &request.headers, body: &request.body };
        match self.keys.verify(&received, now()) {
            Ok((known, verified)) => match known.asked(&verified) {
                Some(answer) => consented(answered(answer), peer),
                None => {
                    let receipt = if self.receipts { known.verifier.receipt(&verified) } else { None };
                    let webhook = Webhook::verified(&request, known.name, &verified);
                    with_receipt(self.accept(&webhook, peer, Some((known, &verified))), receipt)
                }
            },
            Err(why) => {
                complain!("refused: {peer}: {}, {why}", why.status_hint());
                Response::new(why.status_hint()).text(why.wire_text())
            }
        }
    }

    /// The process ends only after the answers to what it accepted were written.
    fn answered(&self, response: &Response) {
        if !response.marked {
            return;
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.answered += 1;
        if self.once == Some(count.answered) {
            if let Some(stored) = &self.stored {
                stored.close(self.worker.timeout);
            }
            process::exit(0);
        }
    }

    fn refused(&self, peer: SocketAddr, why: Fault) {
        complain!("refused: {peer}: {}, {}", why.status().unwrap_or_default(), why.text());
    }
}

impl Receiver {
    /// The answer to a question that is asked by a GET.
    fn asked(&self, request: &Request) -> Option<Result<http::Response<Bytes>, Unwanted>> {
        let get = request.method == "GET";
        get.then(|| self.challenges.answer(&Method::GET, &request.target, &HeaderMap::new()))?
    }

    /// What becomes of a webhook that nobody objects to.
    fn accept(&self, webhook: &Webhook<'_>, peer: SocketAddr, by: Option<(&Known, &Verified<'_>)>) -> Response {
        if let Some(token) = challenge(webhook.request) {
            complain!("consented: {peer}: its challenge was answered");
            return Response::new(200).text(&token);
        }
        // Exactly as many are accepted as were asked for.
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if self.once.is_some_and(|once| count.taken >= once) {
            return later();
        }
        count.taken += 1;
        drop(count);
        let response = match (&self.stored, by) {
            (Some(stored), Some((known, verified))) => stored.keep(webhook.request, known, verified, peer),
            (Some(_), None) | (None, _) => self.act(webhook, peer),
        };
        if response.marked {
            return response;
        }
        self.count.lock().unwrap_or_else(PoisonError::into_inner).taken -= 1;
        response
    }

    /// Hands a webhook on and prints it. The answer is marked if that went well.
    fn act(&self, webhook: &Webhook<'_>, peer: SocketAddr) -> Response {
        let deadline = Instant::now() + self.worker.timeout;
        let _place = match self.worker.then {
            Then::Nothing => None,
            Then::Forward(_) | Then::Exec(_) => {
                let Some(place) = self.places.take(deadline) else {
                    complain!("later: {peer}: too many are worked on");
                    return later();
                };
                Some(place)
            }
        };
        self.worker.work(webhook, &peer, deadline)
    }
}

impl Worker {
    /// Hands a webhook of `whom` on, and prints it if that went well; then the answer is marked.
    fn work(&self, webhook: &Webhook<'_>, whom: &dyn fmt::Display, deadline: Instant) -> Response {
        let response = self.hand_on(webhook, whom, deadline);
        let answered = match self.then {
            Then::Nothing => None,
            Then::Forward(_) | Then::Exec(_) => Some(response.status),
        };
        if answered.is_some_and(|status| status >= 300) {
            return response;
        }
        let line = match self.form {
            Form::Plain => webhook.plain(answered),
            Form::Json => webhook.json(answered),
            Form::Pretty => webhook.pretty(whom, answered),
        };
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            // Nobody reads what is printed, so nobody has received anything.
            process::exit(1);
        }
        Response { marked: true, ..response }
    }

    /// Hands a webhook on, where that is asked for. What does not end well is said.
    fn hand_on(&self, webhook: &Webhook<'_>, whom: &dyn fmt::Display, deadline: Instant) -> Response {
        match &self.then {
            Then::Nothing => Response::new(self.status),
            Then::Forward(to) => to.send(webhook.request, deadline).map_or_else(
                |why| {
                    let status = if why.kind() == io::ErrorKind::TimedOut { 504 } else { 502 };
                    complain!("failed: {whom}: {status}, not passed on: {why}");
                    Response::new(status).text("the webhook could not be passed on")
                },
                |response| {
                    if response.status >= 300 {
                        complain!("failed: {whom}: {}, as it was answered", response.status);
                    }
                    response
                },
            ),
            Then::Exec(command) => match exec::run(command, webhook, deadline) {
                Ok(Ended::Well) => Response::new(self.status),
                Ok(Ended::Later) => {
                    complain!("later: {whom}: the command asks for it by its exit code {}", exec::LATER);
                    later()
                }
                Ok(Ended::Badly(code)) => {
                    let code = code.map_or_else(|| "a signal".into(), |code| format!("exit code {code}"));
                    failed(whom, &format!("the command ended with {code}"))
                }
                Ok(Ended::Overdue) => failed(whom, "the command was killed at its deadline"),
                Err(why) => failed(whom, &format!("the command could not be run: {why}")),
            },
        }
    }
}

/// An answer with a receipt, where it says that the webhook was taken.
fn with_receipt(response: Response, receipt: Option<DeliveryReceipt>) -> Response {
    match receipt.filter(|_| response.marked && (200..300).contains(&response.status)) {
        Some(receipt) => response.header(receipt::HEADER, &receipt.to_string()),
        None => response,
    }
}

fn later() -> Response {
    Response::new(503).header("retry-after", AGAIN)
}

fn failed(whom: &dyn fmt::Display, why: &str) -> Response {
    complain!("failed: {whom}: 500, {why}");
    Response::new(500).text("the webhook could not be processed")
}

/// A provider's question that is answered.
fn consented(answer: http::Response<Bytes>, peer: SocketAddr) -> Response {
    let (head, body) = answer.into_parts();
    complain!("consented: {peer}: its question was answered");
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_owned())).collect();
    Response { headers, body: body.into(), ..Response::new(head.status.as_u16()) }
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

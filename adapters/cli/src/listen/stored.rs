//! `--store DIR`: what is verified is kept, and handed on from there.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider::blocking::inbox::Inbox;
use postrider_core::receiver::{Delivery, Processed, RequestHead};
use postrider_core::retry::Schedule;
use postrider_core::signing::{Scheme, Verified};

use super::keys::Known;
use super::show::Webhook;
use super::{Args, Worker, later};
use crate::exit::{Refusal, complain};
use crate::http::{Request, Response};
use crate::store;

/// How much longer the inbox waits for a webhook than what it is handed to may take, which ends it by itself.
const GRACE: Duration = Duration::from_secs(2);

/// The longest that a webhook may take there.
const LONGEST: Duration = Duration::from_secs(58);

/// A directory that keeps webhooks.
pub(super) struct Stored(Inbox);

impl Stored {
    /// Opens it, and begins to hand on what is in it.
    pub(super) fn open(directory: &Path, worker: Worker, args: &Args) -> Result<Self, Refusal> {
        if worker.timeout > LONGEST {
            return Err(Refusal::new(format!("--timeout: with --store it is at most {LONGEST:?}")));
        }
        let builder = Inbox::builder().concurrency(args.concurrency).time_limit(worker.timeout + GRACE);
        let builder = match args.retry.is_empty() {
            true => builder,
            false => {
                let schedule = Schedule::new(args.retry.iter().copied());
                builder.schedule(schedule.map_err(|why| Refusal::new(format!("--retry: {why}")))?)
            }
        };
        let place = directory.display().to_string();
        let handler = move |delivery: Delivery| work(&worker, &delivery, &place);
        builder.open(directory, handler).map(Self).map_err(store::refusal)
    }

    /// Keeps a webhook. The answer is marked if it is on disk.
    pub(super) fn keep(&self, request: &Request, known: &Known, verified: &Verified<'_>, peer: SocketAddr) -> Response {
        let delivery = Delivery::from_verified(verified, head(request), known.scope());
        match self.0.store(&delivery) {
            Ok(()) => Response { marked: true, ..Response::new(202) },
            Err(why) => {
                complain!("later: {peer}: {why}");
                later()
            }
        }
    }

    /// Lets what is being handed on come to its end, and nothing more.
    pub(super) fn close(&self, within: Duration) {
        if let Err(why) = self.0.close(within) {
            complain!("error: the directory does not have everything: {why}");
        }
    }
}

impl Known {
    /// Whose ids these are: those of one scheme have nothing to do with those of another.
    fn scope(&self) -> u32 {
        let at = Scheme::ALL.iter().position(|scheme| scheme.name() == self.name);
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
    }
}

/// Hands a stored webhook on.
fn work(worker: &Worker, delivery: &Delivery, place: &str) -> Processed {
    let request = request(delivery);
    let whom = format!("{place}, {}", delivery.webhook_id().escape_default());
    let response = worker.work(&Webhook::stored(&request, delivery), &whom, Instant::now() + worker.timeout);
    match response.status {
        _ if response.marked => Processed::Done,
        410 => Processed::Unsubscribed,
        _ => Processed::Later { after: retry_after(&response) },
    }
}

/// What an answer asks for, in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = crate::http::header(&response.headers, "retry-after")?;
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn head(request: &Request) -> RequestHead {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let method = request.method.parse().unwrap_or(Method::POST);
    RequestHead::new(method, headers).target(request.target.as_str()).declared_length(request.body.len() as u64)
}

/// The request as it came, its headers' names in lower case.
pub(crate) fn request(delivery: &Delivery) -> Request {
    let headers = delivery.headers().iter();
    Request {
        method: delivery.method().to_string(),
        target: delivery.target().unwrap_or("/").to_owned(),
        headers: headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        body: delivery.body().to_vec(),
    }
}

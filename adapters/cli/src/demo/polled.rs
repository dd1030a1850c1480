//! The same world without webhooks: each receiver asks its source every second, over sockets, what is new.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::lock;
use super::world::{Books, Clock, Report};
use crate::http::client::Client;
use crate::http::server::{Handler, serve};
use crate::http::{Request, Response};

/// Time between two questions.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// A source that can be asked: `GET /?after=N` gives the reports after the first N.
pub(crate) struct Source(Mutex<Vec<Report>>);

impl Source {
    /// Opens a source on a free port; returns it with its address.
    pub(crate) fn open() -> io::Result<(Arc<Self>, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let source = Arc::new(Self(Mutex::new(Vec::new())));
        let handler = source.clone();
        thread::Builder::new().name("source".into()).spawn(move || serve(listener, handler))?;
        Ok((source, addr))
    }

    /// Something has happened.
    pub(crate) fn add(&self, report: Report) {
        lock(&self.0).push(report);
    }
}

impl Handler for Source {
    fn answer(&self, request: Request, _peer: SocketAddr) -> Response {
        let after = request.target.split_once("after=").and_then(|(_, number)| number.parse::<usize>().ok());
        let Some(after) = after.filter(|_| request.method == "GET") else { return Response::new(400) };
        let body = {
            let reports = lock(&self.0);
            // A page, so that an answer stays within what a client reads.
            let rest = reports.get(after..).unwrap_or_default();
            serde_json::to_vec(&rest[..rest.len().min(PAGE)])
        };
        match body {
            Ok(body) => Response { body, ..Response::new(200).header("content-type", "application/json") },
            Err(_) => Response::new(500),
        }
    }
}

/// Reports in one answer, at most.
const PAGE: usize = 1000;

/// What a poller has noted.
pub(crate) struct Polled {
    /// Questions asked.
    pub(crate) requests: u64,
    /// Questions to which nothing was new.
    pub(crate) empty: u64,
    /// From happening to being seen.
    pub(crate) delays: Vec<Duration>,
    /// What became of the books.
    pub(crate) books: Books,
}

/// Asks `source` every second, the first time after `offset`, until `over` is set and nothing more is new.
pub(crate) fn poll(
    source: SocketAddr,
    offset: Duration,
    books: Books,
    clock: Clock,
    over: Arc<AtomicBool>,
) -> io::Result<JoinHandle<io::Result<Polled>>> {
    thread::Builder::new().name("poller".into()).spawn(move || {
        let mut client = Client::new(source);
        let mut polled = Polled { requests: 0, empty: 0, delays: Vec::new(), books };
        thread::sleep(offset);
        loop {
            let last = over.load(Ordering::SeqCst);
            loop {
                let target = format!("/?after={}", polled.delays.len());
                let response = client.send("GET", &target, &Vec::new(), b"")?;
                let reports: Vec<Report> = serde_json::from_slice(&response.body)?;
                polled.requests += 1;
                polled.empty += u64::from(reports.is_empty());
                for report in &reports {
                    polled.delays.push(clock.since(report.at));
                    polled.books.apply(&report.fact);
                }
                if reports.len() < PAGE {
                    break;
                }
            }
            if last {
                return Ok(polled);
            }
            thread::sleep(EVERY);
        }
    })
}

//! The receivers: each verifies, drops copies, puts late arrivals right, and has a mood.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::secret::Secret;
use postrider_core::signing::standard::Verifier;
use serde::Deserialize;

use super::lock;
use super::world::{Books, Clock, Fact, Report, Sequencer};
use crate::http::server::{Handler, serve};
use crate::http::{Request, Response};
use crate::sign::now;

/// How a receiver behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// It takes what comes.
    Steady,
    /// It answers 503 with `Retry-After: 1` for this long, from the first request on.
    FailsFor(Duration),
    /// It takes its time.
    Slow(Duration),
    /// It answers 410.
    Gone,
}

/// A receiver and what it has noted.
pub(crate) struct Receiver {
    mood: Mood,
    clock: Clock,
    first: OnceLock<Instant>,
    state: Mutex<State>,
}

struct State {
    verifier: Option<Verifier>,
    sequencer: Sequencer,
    books: Books,
    verified: u64,
    refused: u64,
    latencies: Vec<Duration>,
}

/// What a receiver has noted.
pub(crate) struct Noted {
    /// Requests whose signature fitted, copies included.
    pub(crate) verified: u64,
    /// Requests whose signature did not.
    pub(crate) refused: u64,
    /// Facts that were applied to its books.
    pub(crate) applied: u64,
    /// Copies dropped.
    pub(crate) duplicates: u64,
    /// Late arrivals put right.
    pub(crate) late: u64,
    /// From happening to the first acceptance, ascending.
    pub(crate) latencies: Vec<Duration>,
}

impl Receiver {
    /// Opens a receiver on a free port; returns it with its address.
    pub(crate) fn open(mood: Mood, books: Books, clock: Clock) -> io::Result<(Arc<Self>, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let state = State {
            verifier: None,
            sequencer: Sequencer::default(),
            books,
            verified: 0,
            refused: 0,
            latencies: Vec::new(),
        };
        let receiver = Arc::new(Self { mood, clock, first: OnceLock::new(), state: Mutex::new(state) });
        let handler = receiver.clone();
        thread::Builder::new().name("receiver".into()).spawn(move || serve(listener, handler))?;
        Ok((receiver, addr))
    }

    /// From now on it accepts what these keys signed, and nothing else.
    pub(crate) fn trust(&self, secrets: &[&Secret]) {
        let verifier = Verifier::new(secrets.iter().copied()).expect("there is a key, and there are few");
        lock(&self.state).verifier = Some(verifier);
    }

    /// Alerts that it wants sent.
    pub(crate) fn take_alerts(&self) -> Vec<Fact> {
        lock(&self.state).books.take_alerts()
    }

    /// How many facts it has applied.
    pub(crate) fn applied(&self) -> u64 {
        lock(&self.state).sequencer.applied()
    }

    /// What it has noted.
    pub(crate) fn noted(&self) -> Noted {
        let state = lock(&self.state);
        let mut latencies = state.latencies.clone();
        latencies.sort_unstable();
        Noted {
            verified: state.verified,
            refused: state.refused,
            applied: state.sequencer.applied(),
            duplicates: state.sequencer.duplicates,
            late: state.sequencer.late,
            latencies,
        }
    }

    /// A look at its books.
    pub(crate) fn books<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(&lock(&self.state).books)
    }
}

/// The body of a webhook.
#[derive(Deserialize)]
struct Envelope {
    data: Report,
}

impl Handler for Receiver {
    fn answer(&self, request: Request, _peer: SocketAddr) -> Response {
        match self.mood {
            Mood::Steady => {}
            Mood::FailsFor(time) => {
                if self.first.get_or_init(Instant::now).elapsed() < time {
                    return Response::new(503).header("retry-after", "1");
                }
            }
            Mood::Slow(by) => thread::sleep(by),
            Mood::Gone => return Response::new(410),
        }
        let mut state = lock(&self.state);
        let state = &mut *state;
        let verified = match &state.verifier {
            Some(verifier) => verifier.verify(&request.headers, &request.body, now()),
            None => return Response::new(503),
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(why) => {
                state.refused += 1;
                return Response::new(why.status_hint());
            }
        };
        state.verified += 1;
        let Ok(Envelope { data }) = serde_json::from_slice::<Envelope>(verified.body()) else {
            return Response::new(400);
        };
        let at = data.at;
        if let Some(due) = state.sequencer.take(verified.id(), data) {
            state.latencies.push(self.clock.since(at));
            due.iter().for_each(|fact| state.books.apply(fact));
        }
        Response::new(200)
    }
}

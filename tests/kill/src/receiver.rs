//! A receiver on loopback: a thread for each connection, every request verified and written into the book.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postrider_core::secret::Secret;
use postrider_core::signing::standard::Verifier;
use postrider_core::time::UnixTime;

use crate::book::Book;
use crate::chance::Chance;

/// What the sender signs with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Bytes of a head, and of a request: ours are far smaller.
const LARGEST: usize = 64 * 1024;
const FIELDS: usize = 32;

/// A receiver that listens until this is dropped.
pub(crate) struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    book: Book,
    thinking: Duration,
    seed: u64,
    verifier: Verifier,
    /// The newest connection.
    accepted: Mutex<Option<SocketAddr>>,
    open: AtomicUsize,
    stop: AtomicBool,
}

impl Receiver {
    /// Starts it.
    pub(crate) fn start(book: &Book, thinking: Duration, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let secret = Secret::parse(SECRET).expect("the constant is a secret");
        let shared = Arc::new(Shared {
            book: book.clone(),
            thinking,
            seed,
            verifier: Verifier::new([&secret]).expect("there is a key"),
            accepted: Mutex::default(),
            open: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        thread::Builder::new().name("receiver".into()).spawn(move || serve(&listener, &served))?;
        Ok(Self { addr, shared })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.addr)
    }

    /// Waits until every connection has ended, as those of a killed process do once everything is read.
    pub(crate) fn drain(&self, patience: Duration) -> Result<(), String> {
        let since = Instant::now();
        // One that the dead process had opened may still wait to be accepted: this one comes behind it.
        let last = TcpStream::connect(self.addr).and_then(|stream| stream.local_addr());
        let last = last.map_err(|why| format!("the receiver cannot be reached: {why}"))?;
        while *self.shared.accepted() != Some(last) || self.shared.open.load(Ordering::SeqCst) > 0 {
            if since.elapsed() > patience {
                return Err("connections of a killed process do not end".into());
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}

impl Shared {
    fn accepted(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let accepted = listener.accept();
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, peer)) = accepted else { continue };
        shared.open.fetch_add(1, Ordering::SeqCst);
        *shared.accepted() = Some(peer);
        let within = Arc::clone(shared);
        let spawned = thread::Builder::new().name("connection".into()).stack_size(256 * 1024).spawn(move || {
            converse(stream, &within, number);
            within.open.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            shared.book.fault("no thread could be started for a connection".into());
        }
    }
}

/// Answers the requests of one connection until it ends.
fn converse(mut stream: TcpStream, shared: &Shared, number: u64) {
    let chance = Chance::new(shared.seed ^ number.rotate_left(32));
    let mut buffer = Vec::new();
    while let Some(event) = request(&mut stream, &mut buffer, shared) {
        shared.book.arrived_one(event);
        thread::sleep(shared.thinking.mul_f64(chance.below(2000) as f64 / 1000.0));
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
        shared.book.answered(event);
    }
}

/// Reads a request and gives its event's number; `None` at the end of the connection, which may come at any place.
fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>, shared: &Shared) -> Option<u64> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(buffer) {
            Ok(httparse::Status::Complete(body_at)) => {
                let field = |name: &str| head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                let length =
                    field("content-length").and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
                let end = body_at + length.unwrap_or(0usize);
                if buffer.len() >= end {
                    let fields: Vec<_> = head.headers.iter().map(|field| (field.name, field.value)).collect();
                    let event = event(&fields, &buffer[body_at..end], &shared.verifier);
                    let event = event.map_err(|what| shared.book.fault(what)).ok();
                    buffer.drain(..end);
                    return event;
                }
            }
            Ok(httparse::Status::Partial) if buffer.len() < LARGEST => {}
            Ok(httparse::Status::Partial) | Err(_) => {
                shared.book.fault("what came is no request".into());
                return None;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
        }
    }
}

/// The number of the event that a request carries, if the request is genuine and says the same in its id and its body.
fn event(fields: &[(&str, &[u8])], body: &[u8], verifier: &Verifier) -> Result<u64, String> {
    let fields: Vec<(&str, &str)> =
        fields.iter().filter_map(|(name, value)| Some((*name, std::str::from_utf8(value).ok()?))).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    let named: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UnixTime::EPOCH.saturating_add(since);
    let verified = verifier.verify(&named[..], body, now).map_err(|why| format!("a request is not genuine: {why}"))?;
    let data: serde_json::Value = serde_json::from_slice(body).map_err(|why| format!("a body is not JSON: {why}"))?;
    let number = data["data"]["n"].as_u64().ok_or("a body has no number")?;
    match verified.id() == format!("e{number}") {
        true => Ok(number),
        false => Err(format!("{} arrived with the body of e{number}", verified.id())),
    }
}

//! Postrider on a runtime of your own: one thread, non-blocking sockets (`mio`), no async, nothing but `postrider-core`.
//!
//! It shows what a driver is. [`drive`] is the loop to copy, whatever moves your bytes: facts and commands in, effects
//! out until `Wait`, then sleep. [`Carrier`] is what is different for each runtime. Left out to keep it short: https, a
//! log (what is accepted dies with the process), and look-ups on other threads.
//!
//! Run it with `cargo run -p postrider --example custom_runtime -- http://127.0.0.1:8080/hook`.
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey};
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Outcome, Phase, Reply, TransportError as E};
use postrider_core::seed::Seed;
use postrider_core::sender::{Cleared, Close, Config, Input, LoadError, Notice, Output, Sender, Transmit, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

/// A wish of another thread, which wakes the loop after sending it, by a `mio::Waker` on any token that is not used here.
pub(crate) type Command = Box<dyn FnOnce(&mut Sender, Now) + Send>;
const IDLE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080/hook".into());
    let (clock, config) = (Clock(std::time::Instant::now()), Config::new().policy(Policy::development()));
    // In earnest, seed and secret come from the operating system's random source.
    let mut machine = Sender::new(config, Seed::from_bytes([7; 32]), clock.now());
    machine.put(clock.now(), Endpoint::new("shop", url).secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))?;
    let order = Event::json_bytes("order.paid", Bytes::from_static(br#"{"order":1001}"#))?.id("order-1001-paid");
    println!("accepted, {}", machine.publish(clock.now(), order)?.told);
    drive(machine, &clock, &channel().1, Poll::new()?, |machine, notice| {
        println!("{notice}");
        if let Notice::Settled { .. } = notice {
            machine.close(clock.now(), Close::Drain);
        }
    });
    Ok(())
}

/// Drives a machine until it is closed, and gives it back.
pub(crate) fn drive(
    mut machine: Sender,
    clock: &Clock,
    commands: &Receiver<Command>,
    poll: Poll,
    mut tell: impl FnMut(&mut Sender, Notice),
) -> Sender {
    let mut carrier = Carrier { poll, next: 0, flying: HashMap::new(), idle: Vec::new(), facts: Vec::new() };
    let mut events = Events::with_capacity(256);
    loop {
        // 1. Time, what has happened, and what is wished.
        machine.handle(clock.now(), Input::Tick);
        carrier.facts.drain(..).for_each(|fact| machine.handle(clock.now(), fact));
        commands.try_iter().for_each(|command| command(&mut machine, clock.now()));
        // 2. What is to be done.
        let wake = loop {
            match machine.poll_output() {
                // A log would write, and report from wherever it ends; here, memory is all the durability there is.
                Output::Persist(batch) => machine.handle(clock.now(), Input::Persisted(batch.last())),
                Output::Load(load) => {
                    machine.handle(clock.now(), Input::Loaded { request: load.id(), result: Err(LoadError::Corrupt) });
                }
                Output::Snapshot(_) | Output::Reclaim(_) => {}
                Output::Transmit(transmit) => carrier.start(&transmit),
                Output::Abort(attempt) => carrier.abort(attempt),
                Output::Notice(notice) => tell(&mut machine, notice),
                Output::Wait(wake) => break wake,
            }
        };
        // 3. Sleep until something is due or happens; not at all when facts have come up meanwhile.
        let until = match wake {
            Wake::Closed => return machine,
            Wake::At(at) if carrier.facts.is_empty() => Some(at),
            Wake::Input if carrier.facts.is_empty() => None,
            Wake::Ready | Wake::At(_) | Wake::Input => Some(Instant::ORIGIN),
        };
        let until = until.into_iter().chain(carrier.wake()).min();
        match carrier.poll.poll(&mut events, until.map(|at| at.saturating_since(clock.now().mono))) {
            Ok(()) => events.iter().for_each(|event| carrier.ready(event.token(), clock.now().mono)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "the poll is our own"),
        }
        carrier.expire(clock.now().mono);
    }
}

/// Both clocks; the monotonic one counts from this moment.
pub(crate) struct Clock(pub(crate) std::time::Instant);

impl Clock {
    fn now(&self) -> Now {
        let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Now { mono: Instant::ORIGIN.saturating_add(self.0.elapsed()), wall: UnixTime::EPOCH.saturating_add(unix) }
    }
}

/// Carries attempts over sockets, and gathers the facts that end them: exactly one for each.
struct Carrier {
    poll: Poll,
    next: usize,
    flying: HashMap<Token, Exchange>,
    /// Connections that can be used again, each for its endpoint and address only; the oldest first.
    idle: Vec<(Instant, EndpointKey, SocketAddr, TcpStream)>,
    facts: Vec<Input>,
}

impl Carrier {
    fn start(&mut self, transmit: &Transmit) {
        // Where the host is a name, this blocks: have a thread look it up instead, within the deadline.
        let found = (transmit.host(), transmit.port()).to_socket_addrs();
        match found.map(|found| transmit.vet(&found.map(|addr| addr.ip()).collect::<Vec<IpAddr>>())) {
            _ if transmit.target().is_https() => self.end(transmit.attempt(), Err(E::TlsFailed)),
            Err(_) => self.end(transmit.attempt(), Err(E::NameFailed)),
            Ok(Err(denied)) => self.facts.push(denied.into()),
            Ok(Ok(vetted)) => self.dial(transmit, vetted.into_iter().copied().collect(), E::ConnectFailed),
        }
    }

    /// Connects to the first address that lets us; each is cleared just before.
    fn dial(&mut self, transmit: &Transmit, mut addrs: VecDeque<SocketAddr>, mut why: E) {
        while let Some(addr) = addrs.pop_front() {
            let cleared = match transmit.clear(addr) {
                Ok(cleared) => cleared,
                Err(denied) => return self.facts.push(denied.into()),
            };
            let token = Token(self.next);
            self.next += 1;
            let stream = self.reusable(transmit.endpoint(), addr).map_or_else(|| TcpStream::connect(addr), Ok);
            let both = Interest::READABLE | Interest::WRITABLE;
            match stream.and_then(|mut s| self.poll.registry().register(&mut s, token, both).map(|()| s)) {
                Ok(stream) => return drop(self.flying.insert(token, Exchange::new(cleared, addrs, stream))),
                Err(error) => why = connect_error(&error),
            }
        }
        self.end(transmit.attempt(), Err(why));
    }

    /// An idle connection on which nothing has happened: no end, no byte that nobody asked for.
    fn reusable(&mut self, endpoint: &EndpointKey, addr: SocketAddr) -> Option<TcpStream> {
        let at = self.idle.iter().rposition(|(_, key, peer, _)| key == endpoint && *peer == addr)?;
        let mut stream = self.idle.remove(at).3;
        stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock).then_some(stream)
    }

    /// A socket can be read or written: its attempt goes on.
    fn ready(&mut self, token: Token, now: Instant) {
        let Some(mut exchange) = self.flying.remove(&token) else { return };
        let transmit = exchange.cleared.transmit().clone();
        match exchange.advance() {
            Ok(None) => drop(self.flying.insert(token, exchange)),
            Ok(Some(reuse)) => {
                let key = transmit.endpoint();
                let room = self.idle.iter().filter(|(_, other, ..)| other == key).count() < 2;
                let quiet = reuse && room && self.poll.registry().deregister(&mut exchange.stream).is_ok();
                if let Some(addr) = exchange.cleared.addr().filter(|_| quiet) {
                    self.idle.push((now, key.clone(), addr, exchange.stream));
                }
                let reply = exchange.reply.expect("it ends well with a reply only").with_body(exchange.buf.into());
                self.end(transmit.attempt(), Ok(reply.cut_body(transmit.caps().kept)));
            }
            Err(why) if exchange.phase == Phase::Connect => self.dial(&transmit, exchange.addrs, why),
            Err(why) => self.end(transmit.attempt(), Err(why)),
        }
    }

    /// When the next deadline passes. A runtime for very many attempts at once would keep them in order.
    fn wake(&self) -> Option<Instant> {
        let idle = self.idle.first().map(|(since, ..)| since.saturating_add(IDLE));
        self.flying.values().map(|exchange| exchange.cleared.transmit().deadline()).chain(idle).min()
    }

    /// One deadline holds over everything. When the head has come by then, its status is the outcome all the same.
    fn expire(&mut self, now: Instant) {
        self.idle.retain(|(since, ..)| since.saturating_add(IDLE) > now);
        for (_, late) in self.flying.extract_if(|_, exchange| exchange.cleared.transmit().deadline() <= now) {
            let outcome = late.reply.ok_or(E::TimedOut(late.phase));
            self.facts.push(Input::Completed { attempt: late.cleared.transmit().attempt(), outcome });
        }
    }

    /// Dropping the exchange closes its socket. One that is not there has been reported already.
    fn abort(&mut self, attempt: AttemptId) {
        if self.flying.extract_if(|_, exchange| exchange.cleared.transmit().attempt() == attempt).next().is_some() {
            self.end(attempt, Err(E::Aborted));
        }
    }

    fn end(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.facts.push(Input::Completed { attempt, outcome });
    }
}

/// One attempt on its connection. It holds at most the request, one response head and `caps().read` of a body.
struct Exchange {
    cleared: Cleared,
    /// Other addresses, not tried yet.
    addrs: VecDeque<SocketAddr>,
    stream: TcpStream,
    phase: Phase,
    out: BytesMut,
    buf: Vec<u8>,
    interim: u32,
    reply: Option<Reply>,
    /// How long the body is, where the head told it and the connection can be used afterwards.
    body: Option<usize>,
}

impl Exchange {
    fn new(cleared: Cleared, addrs: VecDeque<SocketAddr>, stream: TcpStream) -> Self {
        let (phase, out, buf) = (Phase::Connect, BytesMut::new(), Vec::new());
        Self { cleared, addrs, stream, phase, out, buf, interim: 0, reply: None, body: None }
    }

    /// Goes on until the socket would block. `Some` is the end, and says whether the connection may be used again.
    fn advance(&mut self) -> Result<Option<bool>, E> {
        if self.phase == Phase::Connect {
            match self.stream.take_error().and_then(|error| error.map_or_else(|| self.stream.peer_addr(), Err)) {
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(None),
                Err(error) => return Err(connect_error(&error)),
                Ok(_) => self.phase = Phase::Send,
            }
            self.cleared.write_head(&mut self.out);
            self.out.put_slice(self.cleared.body());
        }
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => self.out.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(_) => return Err(E::SendFailed),
            }
        }
        self.phase = self.phase.max(Phase::Head);
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(count @ 1..) => self.buf.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // The status decides, wherever the body is cut.
                Ok(0) | Err(_) => return self.reply.as_ref().map(|_| Some(false)).ok_or(E::Closed),
            }
            if let Some(reuse) = self.judge()? {
                return Ok(Some(reuse));
            }
        }
    }

    /// Whether what has been read is enough.
    fn judge(&mut self) -> Result<Option<bool>, E> {
        let caps = self.cleared.transmit().caps();
        while self.reply.is_none() {
            let mut lines = [httparse::EMPTY_HEADER; 256];
            let mut head = httparse::Response::new(&mut lines);
            let len = match head.parse(&self.buf) {
                Ok(httparse::Status::Complete(len)) => len,
                Ok(httparse::Status::Partial) if self.buf.len() <= caps.head => return Ok(None),
                Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(E::HeadTooLarge),
                Err(_) => return Err(E::MalformedHead),
            };
            let status = head.code.expect("a complete head has a status");
            let reply = Reply::new(status).headers(head.headers.iter().map(|line| (line.name, line.value)));
            match status {
                _ if reply.exceeds(caps.head) => return Err(E::HeadTooLarge),
                101 => return Err(E::MalformedHead),
                0..200 if self.interim == 4 => return Err(E::MalformedHead),
                0..200 => self.interim += 1,
                200.. => {
                    self.body = body_length(&head).filter(|length| *length <= caps.read);
                    (self.phase, self.reply) = (Phase::Body, Some(reply));
                }
            }
            self.buf.drain(..len);
        }
        // After more bytes than were announced, nobody knows what the next ones mean.
        let more = self.body.is_some_and(|length| self.buf.len() < length);
        Ok((!more).then_some(self.body == Some(self.buf.len())))
    }
}

/// How long the body is, where one plain `content-length` says so and the connection stays open after it.
fn body_length(head: &httparse::Response<'_, '_>) -> Option<usize> {
    let all =
        |name| head.headers.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value);
    let closes = all("connection").any(|value| value.to_ascii_lowercase().windows(5).any(|word| word == b"close"));
    if closes || head.version != Some(1) || all("transfer-encoding").next().is_some() {
        return None;
    }
    let mut lengths = all("content-length");
    match (lengths.next(), lengths.next()) {
        (None, None) if matches!(head.code, Some(204 | 304)) => Some(0),
        (Some(digits), None) if digits.iter().all(u8::is_ascii_digit) => str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

fn connect_error(error: &std::io::Error) -> E {
    if error.kind() == ErrorKind::ConnectionRefused { E::ConnectRefused } else { E::ConnectFailed }
}

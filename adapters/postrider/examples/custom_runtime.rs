//! Postrider on a runtime of your own: one thread, non-blocking sockets (`mio`), no async, nothing but `postrider-core`.
//!
//! It shows what a driver is. [`drive`] is the loop to copy, whatever moves your bytes: commands and facts in, effects
//! out until `Wait`, then sleep. [`Carrier`] is the part that is different for each runtime. Left out to keep it short:
//! https, a log (what is accepted dies with the process), and look-ups that do not block the loop.
//!
//! ```text
//! cargo run -p postrider --example custom_runtime -- http://127.0.0.1:8080/hook
//! ```
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mio::{Events, Interest, Poll, Registry, Token, net::TcpStream};
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey};
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Outcome, Phase, Reply, TransportError};
use postrider_core::seed::Seed;
use postrider_core::sender::{Cleared, Close, Config, Input, LoadError, Notice, Output, Sender, Transmit, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

/// A wish of another thread; after sending one, that thread wakes the loop with a `mio::Waker` on [`WAKER`].
pub(crate) type Command = Box<dyn FnOnce(&mut Sender, Now) + Send>;
pub(crate) const WAKER: Token = Token(0);
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
        if let Notice::Settled { tenant, event } = notice {
            println!("{}", machine.report(&tenant, &event).expect("it has just been settled"));
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
    mut poll: Poll,
    mut tell: impl FnMut(&mut Sender, Notice),
) -> Sender {
    let registry = poll.registry().try_clone().expect("a poll has a registry to clone");
    let mut carrier = Carrier { registry, next: 1, flying: HashMap::new(), idle: Vec::new(), facts: Vec::new() };
    let mut events = Events::with_capacity(256);
    loop {
        // 1. Time, wishes, and what has happened.
        machine.handle(clock.now(), Input::Tick);
        commands.try_iter().for_each(|command| command(&mut machine, clock.now()));
        carrier.facts.drain(..).for_each(|fact| machine.handle(clock.now(), fact));
        // 2. What is to be done.
        let wake = loop {
            match machine.poll_output() {
                // A log would write, and report from wherever it ends; here, memory is all the durability there is.
                Output::Persist(batch) => machine.handle(clock.now(), Input::Persisted(batch.last())),
                Output::Load(request) => {
                    let result = Err(LoadError::Corrupt);
                    machine.handle(clock.now(), Input::Loaded { request: request.id(), result });
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
            Wake::Ready => Some(Instant::ORIGIN),
            Wake::At(at) => Some(at),
            Wake::Input => None,
        };
        let until = if carrier.facts.is_empty() { until } else { Some(Instant::ORIGIN) };
        let now = clock.now().mono;
        let timeout = [until, carrier.wake()].into_iter().flatten().min().map(|at| at.saturating_since(now));
        match poll.poll(&mut events, timeout) {
            Ok(()) => events.iter().for_each(|event| carrier.ready(event.token(), clock.now().mono)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "the poll is our own"),
        }
        carrier.expire(clock.now().mono);
    }
}

/// Both clocks. The monotonic one counts from here on.
pub(crate) struct Clock(pub(crate) std::time::Instant);

impl Clock {
    fn now(&self) -> Now {
        let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Now { mono: Instant::ORIGIN.saturating_add(self.0.elapsed()), wall: UnixTime::EPOCH.saturating_add(unix) }
    }
}

/// Carries attempts over sockets, and gathers the facts that end them: exactly one for each.
struct Carrier {
    registry: Registry,
    next: usize,
    flying: HashMap<Token, Exchange>,
    /// Connections that can be used again, each for its endpoint and address only, the oldest first.
    idle: Vec<(Instant, EndpointKey, SocketAddr, TcpStream)>,
    facts: Vec<Input>,
}

impl Carrier {
    fn start(&mut self, transmit: &Transmit) {
        if transmit.target().is_https() {
            return self.end(transmit.attempt(), Err(TransportError::TlsFailed));
        }
        // This blocks for a host that is a name: have a thread look it up instead, within the deadline.
        let Ok(found) = (transmit.host(), transmit.port()).to_socket_addrs() else {
            return self.end(transmit.attempt(), Err(TransportError::NameFailed));
        };
        match transmit.vet(&found.map(|addr| addr.ip()).collect::<Vec<IpAddr>>()) {
            Ok(vetted) => self.dial(transmit, vetted.into_iter().copied().collect(), TransportError::ConnectFailed),
            Err(denied) => self.facts.push(denied.into()),
        }
    }

    /// Connects to the first address that lets us; each is cleared just before.
    fn dial(&mut self, transmit: &Transmit, mut rest: VecDeque<SocketAddr>, mut why: TransportError) {
        while let Some(addr) = rest.pop_front() {
            let cleared = match transmit.clear(addr) {
                Ok(cleared) => cleared,
                Err(denied) => return self.facts.push(denied.into()),
            };
            let (token, both) = (Token(self.next), Interest::READABLE | Interest::WRITABLE);
            self.next += 1;
            let stream = self.reusable(transmit.endpoint(), addr).map_or_else(|| TcpStream::connect(addr), Ok);
            match stream.and_then(|mut s| self.registry.register(&mut s, token, both).map(|()| s)) {
                Ok(stream) => return drop(self.flying.insert(token, Exchange::new(cleared, rest, stream))),
                Err(error) => why = connect_error(&error),
            }
        }
        self.end(transmit.attempt(), Err(why));
    }

    /// An idle connection on which nothing has happened: no end, no byte that nobody asked for.
    fn reusable(&mut self, endpoint: &EndpointKey, addr: SocketAddr) -> Option<TcpStream> {
        while let Some(at) = self.idle.iter().rposition(|(_, key, peer, _)| key == endpoint && *peer == addr) {
            let (.., mut stream) = self.idle.remove(at);
            if stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
        None
    }

    /// A socket can be read or written: its attempt goes on.
    fn ready(&mut self, token: Token, now: Instant) {
        let Some(mut exchange) = self.flying.remove(&token) else { return };
        let transmit = exchange.cleared.transmit().clone();
        match exchange.advance() {
            Ok(None) => drop(self.flying.insert(token, exchange)),
            Ok(Some(reuse)) => {
                let Exchange { cleared, mut stream, reply, buf, .. } = exchange;
                let reply = reply.expect("an exchange that has ended well has a reply");
                self.end(transmit.attempt(), Ok(reply.with_body(buf.into()).cut_body(transmit.caps().kept)));
                let held = self.idle.iter().filter(|(_, key, ..)| key == transmit.endpoint()).count();
                if let (Some(addr), true, 0..2, Ok(())) =
                    (cleared.addr(), reuse, held, self.registry.deregister(&mut stream))
                {
                    self.idle.push((now, transmit.endpoint().clone(), addr, stream));
                }
            }
            Err(why) if exchange.phase == Phase::Connect => self.dial(&transmit, exchange.rest, why),
            Err(why) => self.end(transmit.attempt(), Err(why)),
        }
    }

    /// When the next deadline passes. A runtime for many attempts at once would keep them in order.
    fn wake(&self) -> Option<Instant> {
        let idle = self.idle.first().map(|(since, ..)| since.saturating_add(IDLE));
        self.flying.values().map(|exchange| exchange.cleared.transmit().deadline()).chain(idle).min()
    }

    /// One deadline holds over everything. When the head has come by then, its status is the outcome all the same.
    fn expire(&mut self, now: Instant) {
        self.idle.retain(|(since, ..)| since.saturating_add(IDLE) > now);
        for (_, late) in self.flying.extract_if(|_, exchange| exchange.cleared.transmit().deadline() <= now) {
            let outcome = late.reply.ok_or(TransportError::TimedOut(late.phase));
            self.facts.push(Input::Completed { attempt: late.cleared.transmit().attempt(), outcome });
        }
    }

    /// Dropping the exchange closes its socket. One that is not there has been reported already.
    fn abort(&mut self, attempt: AttemptId) {
        let at = self.flying.iter().find(|(_, exchange)| exchange.cleared.transmit().attempt() == attempt);
        if let Some(token) = at.map(|(token, _)| *token) {
            self.flying.remove(&token);
            self.end(attempt, Err(TransportError::Aborted));
        }
    }

    fn end(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.facts.push(Input::Completed { attempt, outcome });
    }
}

/// One attempt on its connection. It holds at most the request, one response head and `caps().read` of a body.
struct Exchange {
    cleared: Cleared,
    rest: VecDeque<SocketAddr>,
    stream: TcpStream,
    phase: Phase,
    out: BytesMut,
    buf: Vec<u8>,
    interim: u32,
    reply: Option<Reply>,
    /// The length of the body where the head told it, and the connection may be used after it.
    body: Option<usize>,
}

impl Exchange {
    fn new(cleared: Cleared, rest: VecDeque<SocketAddr>, stream: TcpStream) -> Self {
        let (phase, out, buf) = (Phase::Connect, BytesMut::new(), Vec::new());
        Self { cleared, rest, stream, phase, out, buf, interim: 0, reply: None, body: None }
    }

    /// Goes on until the socket would block. `Some` is the end, and says whether the connection may be used again.
    fn advance(&mut self) -> Result<Option<bool>, TransportError> {
        if self.phase == Phase::Connect {
            match self.stream.take_error().and_then(|error| error.map_or_else(|| self.stream.peer_addr(), Err)) {
                Ok(_) => self.phase = Phase::Send,
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(None),
                Err(error) => return Err(connect_error(&error)),
            }
            self.stream.set_nodelay(true).map_err(|_| TransportError::SendFailed)?;
            self.cleared.write_head(&mut self.out);
            self.out.put_slice(self.cleared.body());
        }
        while self.phase == Phase::Send {
            match self.stream.write(&self.out) {
                Ok(count) => self.out.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(TransportError::SendFailed),
            }
            self.phase = if self.out.is_empty() { Phase::Head } else { Phase::Send };
        }
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(count @ 1..) => self.buf.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // The status decides, wherever the body is cut.
                Ok(0) | Err(_) => return self.reply.as_ref().map(|_| Some(false)).ok_or(TransportError::Closed),
            }
            if let Some(reuse) = self.judge()? {
                return Ok(Some(reuse));
            }
        }
    }

    /// Whether what has been read is enough.
    fn judge(&mut self) -> Result<Option<bool>, TransportError> {
        let caps = self.cleared.transmit().caps();
        while self.reply.is_none() {
            let mut lines = [httparse::EMPTY_HEADER; 256];
            let mut head = httparse::Response::new(&mut lines);
            let len = match head.parse(&self.buf) {
                Ok(httparse::Status::Complete(len)) => len,
                Ok(httparse::Status::Partial) if self.buf.len() <= caps.head => return Ok(None),
                Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                    return Err(TransportError::HeadTooLarge);
                }
                Err(_) => return Err(TransportError::MalformedHead),
            };
            let status = head.code.expect("a complete head has a status");
            let reply = Reply::new(status).headers(head.headers.iter().map(|line| (line.name, line.value)));
            self.interim += u32::from(status < 200);
            if reply.exceeds(caps.head) {
                return Err(TransportError::HeadTooLarge);
            } else if self.interim > 4 || status == 101 {
                return Err(TransportError::MalformedHead);
            } else if status >= 200 {
                self.body = body_length(&head).filter(|length| *length <= caps.read);
                (self.phase, self.reply) = (Phase::Body, Some(reply));
            }
            self.buf.drain(..len);
        }
        Ok(match self.body {
            Some(length) if self.buf.len() < length => None,
            // With more bytes than were announced, nobody knows what the next ones mean.
            Some(length) => Some(self.buf.len() == length),
            None => Some(false),
        })
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

fn connect_error(error: &std::io::Error) -> TransportError {
    match error.kind() {
        ErrorKind::ConnectionRefused => TransportError::ConnectRefused,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => TransportError::Unreachable,
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => TransportError::LocalResources,
        _ => TransportError::ConnectFailed,
    }
}

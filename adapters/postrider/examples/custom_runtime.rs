//! Postrider on a runtime of your own: one thread, non-blocking sockets (`mio`), no async.
//!
//! It shows what a driver is. [`drive`] is the loop to copy, whatever moves your bytes; [`Carrier`] is what is different
//! for each runtime. Clock, idle connections and names of errors come from `postrider-driver`, the toolbox of all drivers.
//! Left out to keep it short: https, a log (what is accepted dies with the process), and look-ups on other threads.
//!
//! Run it with `cargo run -p postrider --example custom_runtime -- http://127.0.0.1:8080/hook`.
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use postrider_core::event::Event;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Outcome, Phase, Reply, TransportError as E};
use postrider_core::sender::{Cleared, Close, Config, Input, LoadError, Notice, Output, Sender, Transmit, Wake};
use postrider_core::time::{Instant, Now};
use postrider_driver::{Clock, Idle, PoolKey, mint, transport_error};

/// A wish of another thread, which wakes the loop after sending it, by a `mio::Waker` on any token that is not used here.
pub(crate) type Command = Box<dyn FnOnce(&mut Sender, Now) + Send>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080/hook".into());
    let clock = Clock::start();
    let mut machine = Sender::new(Config::new().policy(Policy::development()), mint::seed()?, clock.now());
    machine.put(clock.now(), Endpoint::new("shop", url).signing_key(mint::secret()?))?;
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
    let mut carrier = Carrier { poll, next: 0, flying: HashMap::new(), idle: Idle::new(), facts: Vec::new() };
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
                Output::Abort(attempt) => carrier.give_up(|one| one.attempt() == attempt, |_| Err(E::Aborted)),
                Output::Notice(notice) => tell(&mut machine, notice),
                Output::Wait(Wake::Closed) => return machine,
                Output::Wait(wake) => break wake,
            }
        };
        // 3. Sleep until something is due or happens.
        let sleep = [wake, carrier.wake(clock)].into_iter().filter_map(|wake| clock.until(wake)).min();
        match carrier.poll.poll(&mut events, sleep) {
            Ok(()) => events.iter().for_each(|event| carrier.ready(event.token())),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "the poll is our own"),
        }
        // Once a head has come, its status is the outcome, whatever the deadline has cut off.
        carrier.give_up(|one| one.deadline() <= clock.now().mono, |late| late.reply.ok_or(E::TimedOut(late.phase)));
    }
}

/// Carries attempts over sockets, and gathers the facts that end them: exactly one for each.
struct Carrier {
    poll: Poll,
    next: usize,
    flying: HashMap<Token, Exchange>,
    idle: Idle<TcpStream>,
    facts: Vec<Input>,
}

impl Carrier {
    fn start(&mut self, transmit: &Transmit) {
        // Where the host is a name, this blocks: have a thread look it up instead, within the deadline.
        let found = (transmit.host(), transmit.port()).to_socket_addrs();
        match found.map(|found| transmit.vet(&found.map(|addr| addr.ip()).collect::<Vec<IpAddr>>())) {
            _ if transmit.target().is_https() => self.end(transmit, Err(E::TlsFailed)),
            Err(error) => self.end(transmit, Err(transport_error(&error, Phase::Resolve))),
            Ok(Err(denied)) => self.facts.push(denied.into()),
            Ok(Ok(vetted)) => self.dial(transmit, vetted.into_iter().copied().collect(), E::ConnectFailed),
        }
    }

    /// Connects to the first address that lets us; each is cleared just before.
    fn dial(&mut self, transmit: &Transmit, mut addrs: VecDeque<SocketAddr>, mut why: E) {
        while let Some(addr) = addrs.pop_front() {
            let Ok(cleared) = transmit.clear(addr).map_err(|why| self.facts.push(why.into())) else { return };
            let token = Token(self.next);
            self.next += 1;
            // An idle connection serves where nothing has happened on it: no end, no byte that nobody asked for.
            let idle = self.idle.take(&PoolKey::of(transmit, addr), std::time::Instant::now());
            let idle = idle.filter(|mut it| it.read(&mut [0]).is_err_and(|why| why.kind() == ErrorKind::WouldBlock));
            let stream = idle.map_or_else(|| TcpStream::connect(addr), Ok);
            let both = Interest::READABLE | Interest::WRITABLE;
            match stream.and_then(|mut s| self.poll.registry().register(&mut s, token, both).map(|()| s)) {
                Ok(stream) => return drop(self.flying.insert(token, Exchange::new(cleared, addrs, stream))),
                Err(error) => why = transport_error(&error, Phase::Connect),
            }
        }
        self.end(transmit, Err(why));
    }

    /// A socket can be read or written: its attempt goes on.
    fn ready(&mut self, token: Token) {
        let Some(mut exchange) = self.flying.remove(&token) else { return };
        let transmit = exchange.cleared.transmit().clone();
        match exchange.advance() {
            Ok(None) => drop(self.flying.insert(token, exchange)),
            Ok(Some(reply)) => {
                let Exchange { cleared, mut stream, buf, length, .. } = exchange;
                // With fewer bytes than announced there are more to come, and nobody knows what surplus ones mean.
                let kept = length == Some(buf.len()) && self.poll.registry().deregister(&mut stream).is_ok();
                if let Some(addr) = cleared.addr().filter(|_| kept) {
                    self.idle.put(PoolKey::of(&transmit, addr), stream, std::time::Instant::now());
                }
                self.end(&transmit, Ok(reply.with_body(buf.into()).cut_body(transmit.caps().kept)));
            }
            Err(why) if exchange.phase == Phase::Connect => self.dial(&transmit, exchange.untried, why),
            Err(why) => self.end(&transmit, Err(why)),
        }
    }

    /// When it needs a turn, though no socket does. A runtime for very many attempts at once would keep them in order.
    fn wake(&mut self, clock: &Clock) -> Wake {
        let told = (!self.facts.is_empty()).then_some(Instant::ORIGIN);
        let idle = self.idle.expire(std::time::Instant::now()).map(|at| clock.instant(at));
        let flying = self.flying.values().map(|exchange| exchange.cleared.transmit().deadline());
        flying.chain(idle).chain(told).min().map_or(Wake::Input, Wake::At)
    }

    /// Ends attempts, and closes their sockets.
    fn give_up(&mut self, which: impl Fn(&Transmit) -> bool, how: impl Fn(Exchange) -> Outcome) {
        for (_, exchange) in self.flying.extract_if(|_, exchange| which(exchange.cleared.transmit())) {
            let attempt = exchange.cleared.transmit().attempt();
            self.facts.push(Input::Completed { attempt, outcome: how(exchange) });
        }
    }

    fn end(&mut self, transmit: &Transmit, outcome: Outcome) {
        self.facts.push(Input::Completed { attempt: transmit.attempt(), outcome });
    }
}

/// One attempt on its connection. It holds at most the request, one response head and `caps().read` of a body.
struct Exchange {
    cleared: Cleared,
    untried: VecDeque<SocketAddr>,
    stream: TcpStream,
    phase: Phase,
    out: BytesMut,
    buf: Vec<u8>,
    interim: u32,
    reply: Option<Reply>,
    /// How long the body is, where it is read to its end.
    length: Option<usize>,
}

impl Exchange {
    fn new(cleared: Cleared, untried: VecDeque<SocketAddr>, stream: TcpStream) -> Self {
        let (phase, mut out, buf) = (Phase::Connect, BytesMut::new(), Vec::new());
        cleared.write_head(&mut out);
        out.put_slice(cleared.body());
        Self { cleared, untried, stream, phase, out, buf, interim: 0, reply: None, length: None }
    }

    /// Goes on until the socket would block, or to the end: a reply with its body in `buf`.
    fn advance(&mut self) -> Result<Option<Reply>, E> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => self.out.advance(count),
                Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(None),
                Err(why) => return Err(transport_error(&why, self.phase)),
            }
            self.phase = if self.out.is_empty() { Phase::Head } else { Phase::Send };
        }
        let mut piece = [0; 16 * 1024];
        while !self.is_whole()? {
            match self.stream.read(&mut piece) {
                Ok(count @ 1..) => self.buf.extend_from_slice(&piece[..count]),
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(None),
                // The status decides, wherever the body is cut.
                Ok(0) | Err(_) => break,
            }
        }
        self.reply.take().map(Some).ok_or(E::Closed)
    }

    /// Whether what has been read is enough: a final head, and its body where that can be told and is not too long.
    fn is_whole(&mut self) -> Result<bool, E> {
        let caps = self.cleared.transmit().caps();
        while self.reply.is_none() {
            let mut lines = [httparse::EMPTY_HEADER; 256];
            let mut head = httparse::Response::new(&mut lines);
            let bytes = match head.parse(&self.buf) {
                Ok(httparse::Status::Complete(bytes)) => bytes,
                Ok(httparse::Status::Partial) if self.buf.len() <= caps.head => return Ok(false),
                Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(E::HeadTooLarge),
                Err(_) => return Err(E::MalformedHead),
            };
            let status = head.code.expect("a complete head has a status");
            let reply = Reply::new(status).headers(head.headers.iter().map(|line| (line.name, line.value)));
            self.length = body_length(&head, caps.read);
            match status {
                _ if reply.exceeds(caps.head) => return Err(E::HeadTooLarge),
                100 | 102..200 if self.interim < 4 => self.interim += 1,
                0..200 => return Err(E::MalformedHead),
                200.. => self.reply = Some(reply),
            }
            self.buf.drain(..bytes);
        }
        Ok(self.length.is_none_or(|length| self.buf.len() >= length))
    }
}

/// How long the body is, where one `content-length` of at most `most` says so and the connection can be used again.
fn body_length(head: &httparse::Response<'_, '_>, most: usize) -> Option<usize> {
    let mut length = (head.code == Some(204)).then_some(0);
    for line in head.headers.iter() {
        match line.name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_none() && line.value.iter().all(u8::is_ascii_digit) => {
                length = Some(str::from_utf8(line.value).ok()?.parse().ok()?);
            }
            "content-length" | "transfer-encoding" | "connection" => return None,
            _ => {}
        }
    }
    length.filter(|length| *length <= most && head.version == Some(1))
}

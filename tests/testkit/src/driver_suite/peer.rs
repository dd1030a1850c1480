//! Peers: listeners on loopback that speak by a script of raw bytes and note what they see.
//!
//! Each is bounded: it takes at most [`CONNECTIONS`], waits at most [`PATIENCE`] for a byte, and stops when dropped.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

const CONNECTIONS: usize = 128;
const PATIENCE: Duration = Duration::from_secs(4);
const REQUEST_BYTES: usize = 1024 * 1024;

/// A whole request as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Which connection it came on, counted from 0.
    pub(super) connection: usize,
    /// When its last byte had come.
    pub(super) at: Instant,
    /// The request line.
    pub(super) line: String,
    /// Header lines, names as they came.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Every value of a header.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let named: Vec<_> = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).collect();
        named.into_iter().map(|(_, value)| value.as_slice())
    }

    /// The value of a header that must be there once.
    pub(super) fn one(&self, name: &str) -> Result<&[u8], String> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(format!("the header {name} is missing: {self:?}")),
            (Some(_), Some(_)) => Err(format!("the header {name} is there more than once: {self:?}")),
        }
    }
}

/// What a peer has seen so far.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Connections accepted.
    pub(super) connections: usize,
    pub(super) requests: Vec<Request>,
    /// Requests read and not answered.
    pub(super) busy: usize,
    pub(super) most_busy: usize,
    /// Bytes that the peer could write before the other side closed, in the longest of its answers.
    pub(super) written: usize,
    /// When the other side was seen to close.
    pub(super) closed: Vec<Instant>,
}

/// What a peer has seen, for whoever waits for it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

impl Seen {
    pub(super) fn now(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so; whether it was in time.
    pub(super) fn wait(&self, limit: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.now(), limit, |state| !is_so(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.now());
        self.changed.notify_all();
    }
}

/// A listener on a free port of 127.0.0.1.
pub(super) struct Peer {
    addr: SocketAddr,
    scheme: &'static str,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
}

impl Peer {
    /// One that runs `script` on a thread for each connection, and closes it afterwards.
    pub(super) fn start(script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::wrapped("http", |tcp| Ok(Box::new(tcp)), script)
    }

    /// One that speaks TLS below its script.
    pub(super) fn tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let wrap = move |tcp| {
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            Ok(Box::new(StreamOwned::new(tls, tcp)) as Box<dyn Wire>)
        };
        Self::wrapped("https", wrap, script)
    }

    /// One that answers every request with the same bytes and keeps its connections.
    pub(super) fn answering(bytes: &'static [u8]) -> Self {
        Self::start(move |conn| {
            loop {
                conn.request()?;
                conn.answer(bytes)?;
            }
        })
    }

    /// One that answers every request with these bytes and then closes the connection.
    pub(super) fn closing(bytes: Vec<u8>) -> Self {
        Self::start(move |conn| {
            conn.request()?;
            conn.answer(&bytes)
        })
    }

    fn wrapped(
        scheme: &'static str,
        wrap: impl Fn(TcpStream) -> io::Result<Box<dyn Wire>> + Send + Sync + 'static,
        script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let peer = Self { addr, scheme, seen: Arc::clone(&seen), stop: Arc::clone(&stop) };
        let both = Arc::new((wrap, script));
        thread::spawn(move || {
            for (number, tcp) in listener.incoming().take(CONNECTIONS).enumerate() {
                let Ok(tcp) = tcp else { break };
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                seen.change(|state| state.connections += 1);
                let (seen, both) = (Arc::clone(&seen), Arc::clone(&both));
                thread::spawn(move || {
                    if let Ok(mut conn) = Conn::new(number, tcp, seen, &both.0) {
                        // It ends by an error whenever the other side closes; what matters has been noted.
                        let _ = (both.1)(&mut conn);
                        if !conn.reset {
                            let _ = conn.tcp.shutdown(Shutdown::Both);
                        }
                    }
                });
            }
        });
        peer
    }

    pub(super) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Where to send to.
    pub(super) fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.addr)
    }

    /// The same, by the name `localhost`.
    pub(super) fn named_url(&self) -> String {
        format!("{}://localhost:{}/hook", self.scheme, self.port())
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Only to wake it. When that fails, it has ended.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_millis(100));
    }
}

/// What bytes go over.
pub(super) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One connection of a peer, for its script.
pub(super) struct Conn {
    /// Which one, counted from 0.
    pub(super) number: usize,
    tcp: TcpStream,
    wire: Box<dyn Wire>,
    seen: Arc<Seen>,
    busy: bool,
    /// It ends by a reset.
    reset: bool,
    /// What has been read and not been asked for.
    buf: Vec<u8>,
}

impl Conn {
    fn new(
        number: usize,
        tcp: TcpStream,
        seen: Arc<Seen>,
        wrap: impl Fn(TcpStream) -> io::Result<Box<dyn Wire>>,
    ) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        // So that what the peer could write says what the other side has read.
        SockRef::from(&tcp).set_send_buffer_size(16 * 1024)?;
        let wire = wrap(tcp.try_clone()?)?;
        Ok(Self { number, tcp, wire, seen, busy: false, reset: false, buf: Vec::new() })
    }

    /// What the whole peer has seen.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Reads a whole request and notes it; an error when none comes.
    pub(super) fn request(&mut self) -> io::Result<()> {
        let request = loop {
            if let Some(request) = self.parse()? {
                break request;
            }
            let mut piece = [0; 16 * 1024];
            let count = self.wire.read(&mut piece)?;
            if count == 0 {
                self.seen.change(|state| state.closed.push(Instant::now()));
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buf.extend_from_slice(&piece[..count]);
        };
        self.busy = true;
        self.seen.change(|state| {
            state.busy += 1;
            state.most_busy = state.most_busy.max(state.busy);
            state.requests.push(request);
        });
        Ok(())
    }

    /// The request at the front of what has been read.
    fn parse(&mut self) -> io::Result<Option<Request>> {
        let mut lines = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut lines);
        let httparse::Status::Complete(len) = head.parse(&self.buf).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let length = head.headers.iter().find(|line| line.name.eq_ignore_ascii_case("content-length"));
        let length: usize = length
            .and_then(|line| str::from_utf8(line.value).ok()?.parse().ok())
            .filter(|length| *length <= REQUEST_BYTES)
            .ok_or_else(|| io::Error::other("a request needs a content-length"))?;
        if self.buf.len() < len + length {
            return Ok(None);
        }
        let end = self.buf.windows(2).position(|two| two == b"\r\n").unwrap_or(len);
        let request = Request {
            connection: self.number,
            at: Instant::now(),
            line: String::from_utf8_lossy(&self.buf[..end]).into_owned(),
            headers: head.headers.iter().map(|line| (line.name.to_string(), line.value.to_vec())).collect(),
            body: self.buf[len..len + length].to_vec(),
        };
        self.buf.drain(..len + length);
        Ok(Some(request))
    }

    /// Writes the answer to a request.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.idle();
        self.write(bytes)
    }

    /// Writes, with no answer meant.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    /// Writes byte by byte.
    pub(super) fn drip(&mut self, bytes: &[u8], every: Duration) -> io::Result<()> {
        for byte in bytes {
            thread::sleep(every);
            self.write(std::slice::from_ref(byte))?;
        }
        Ok(())
    }

    /// Writes the same again and again until the other side closes, `most` bytes are written, or `limit` has passed,
    /// and notes how much could be written.
    pub(super) fn flood(&mut self, bytes: &[u8], most: usize, limit: Duration) -> io::Result<()> {
        self.tcp.set_write_timeout(Some(limit))?;
        let (start, mut written) = (Instant::now(), 0);
        while written < most && start.elapsed() < limit {
            match self.wire.write(bytes) {
                Ok(count) => written += count,
                Err(_) => break,
            }
        }
        self.seen.change(|state| state.written = state.written.max(written));
        Ok(())
    }

    /// Waits until the other side closes, and notes it; whether it did in time. What comes until then is not looked at.
    pub(super) fn hold(&mut self, limit: Duration) -> io::Result<bool> {
        let start = Instant::now();
        loop {
            let Some(rest) = limit.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) else {
                return Ok(false);
            };
            self.tcp.set_read_timeout(Some(rest))?;
            match self.wire.read(&mut [0; 4096]) {
                Ok(1..) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(false);
                }
                Ok(0) | Err(_) => break,
            }
        }
        self.seen.change(|state| state.closed.push(Instant::now()));
        Ok(true)
    }

    /// Ends the connection with a reset instead of an orderly end, once the script is over.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO))?;
        self.reset = true;
        Ok(())
    }

    fn idle(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.seen.change(|state| state.busy -= 1);
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.idle();
    }
}

/// A port of 127.0.0.1 on which connections are refused, for as long as this lives.
pub(super) struct Refusing(SocketAddr, #[expect(dead_code, reason = "it keeps the port")] Socket);

impl Refusing {
    pub(super) fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let addr = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("an IPv4 socket has one"))?;
        Ok(Self(addr, socket))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.0)
    }
}

/// A listener that never accepts and whose backlog is full, so that connecting to it takes for ever.
pub(super) struct Deaf(SocketAddr, #[expect(dead_code, reason = "they fill the backlog")] Vec<Socket>);

impl Deaf {
    pub(super) fn new() -> io::Result<Self> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(0)?;
        let addr = listener.local_addr()?;
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            filler.set_nonblocking(true)?;
            // It is never finished for those that find the backlog full.
            let _ = filler.connect(&addr);
            sockets.push(filler);
        }
        let addr = addr.as_socket().ok_or_else(|| io::Error::other("an IPv4 socket has one"))?;
        Ok(Self(addr, sockets))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.0)
    }
}

//! One connection, plain or over TLS, on which every read and write ends by a deadline.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_core::response::{Phase, TransportError};
use postrider_driver::transport_error;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, Socket, Type};

use crate::leash::Leash;

/// How long a connection attempt goes on before it is seen whether it was stopped.
const SLICE: Duration = Duration::from_millis(50);

/// How long a connection attempt that outlasts its first slice rests between two looks at it.
const REST: Duration = Duration::from_millis(15);

/// An open connection. It can rest in a pool and serve another attempt.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<TcpStream>,
    tls: Option<Box<ClientConnection>>,
}

impl Connection {
    /// Dials `addr`, which must have been cleared, until `deadline` or until the attempt is stopped.
    pub(crate) fn dial(addr: SocketAddr, deadline: Instant, leash: &Leash) -> Result<Self, TransportError> {
        let fail = |error: io::Error| transport_error(&error, Phase::Connect);
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP)).map_err(fail)?;
        leash.check()?;
        let left = left(deadline).map_err(fail)?;
        match socket.connect_timeout(&addr.into(), left.min(SLICE)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => await_connected(&socket, deadline, leash)?,
            Err(error) => return Err(fail(error)),
        }
        socket.set_tcp_nodelay(true).map_err(fail)?;
        Ok(Self { socket: Arc::new(socket.into()), tls: None })
    }

    /// Negotiates TLS under `name`, the target's host.
    pub(crate) fn secure(
        mut self,
        config: Arc<ClientConfig>,
        name: &str,
        deadline: Instant,
    ) -> Result<Self, TransportError> {
        // A host that a certificate cannot name.
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TransportError::TlsWrongName)?;
        let mut tls = Box::new(ClientConnection::new(config, name).map_err(|_| TransportError::TlsFailed)?);
        let mut timed = Timed { socket: &self.socket, deadline, sent: 0 };
        while tls.is_handshaking() {
            tls.complete_io(&mut timed).map_err(|error| transport_error(&error, Phase::Tls))?;
        }
        self.tls = Some(tls);
        Ok(self)
    }

    /// The socket, for whoever may have to shut it down.
    pub(crate) fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Writes all the parts one after the other. On failure says how many bytes the peer's side has accepted, TLS
    /// records included.
    pub(crate) fn send(&mut self, parts: &[&[u8]], deadline: Instant) -> Result<(), (io::Error, usize)> {
        let mut timed = Timed { socket: &self.socket, deadline, sent: 0 };
        let written = match &mut self.tls {
            None => parts.iter().try_for_each(|part| timed.write_all(part)),
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut timed);
                parts.iter().try_for_each(|part| stream.write_all(part)).and_then(|()| stream.flush())
            }
        };
        written.map_err(|error| (error, timed.sent))
    }

    /// Reads what is there, or waits for it until `deadline`. 0 is the end, also of a TLS connection that was cut.
    pub(crate) fn read(&mut self, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut timed = Timed { socket: &self.socket, deadline, sent: 0 };
        let read = match &mut self.tls {
            None => timed.read(into),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut timed).read(into),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    /// Whether the connection may carry another request: the peer has neither closed it nor sent anything unasked.
    pub(crate) fn is_idle(&mut self) -> bool {
        let clean = self.tls.as_mut().is_none_or(|tls| {
            tls.process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
        });
        clean && matches!(self.peek(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn peek(&self) -> io::Result<usize> {
        self.socket.set_nonblocking(true)?;
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false)?;
        peeked
    }
}

/// Waits for a connection attempt that is under way. The standard library cannot wait for that, so it is looked at
/// every now and then.
fn await_connected(socket: &Socket, deadline: Instant, leash: &Leash) -> Result<(), TransportError> {
    let fail = |error: io::Error| transport_error(&error, Phase::Connect);
    loop {
        if let Some(error) = socket.take_error().map_err(fail)? {
            return Err(fail(error));
        }
        if socket.peer_addr().is_ok() {
            return Ok(());
        }
        let left = left(deadline).map_err(fail)?;
        leash.pause(left.min(REST))?;
    }
}

/// A socket whose every read and write is given what is left until the deadline, so that a peer that drips bytes
/// gains nothing.
struct Timed<'a> {
    socket: &'a TcpStream,
    deadline: Instant,
    sent: usize,
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(left(self.deadline)?))?;
            match self.socket.read(into) {
                Err(error) if is_pause(&error) => {}
                read => return read,
            }
        }
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.set_write_timeout(Some(left(self.deadline)?))?;
            match self.socket.write(bytes) {
                Err(error) if is_pause(&error) => {}
                Ok(sent) => {
                    self.sent += sent;
                    return Ok(sent);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a call ended for no reason but time, or a signal: then the deadline decides.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// What is left, never zero.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

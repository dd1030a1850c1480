//! A driver with a thread for each attempt, to try the suite on: right as it is, and wrong in one way when told so.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::{AttemptId, EndpointKey};
use postrider_core::response::{Phase, Reply, TransportError as E};
use postrider_core::sender::{Input, Output, Resolver, Sender, Transmit, Wake};
use postrider_core::time::{Instant as Mono, Now};
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Command, Session, rig};

/// What the driver gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    ReportsTwice,
    ForgetsToReport,
    ClockGoesBack,
    ReturnsEarly,
    CommandsWait,
    Oversleeps,
    NeverSleeps,
    IgnoresCredit,
    IgnoresAborts,
    DialsWhatIsDenied,
    SharesConnections,
    KeepsDirtyConnections,
    KeepsClosingConnections,
    DeadlineForEachRead,
    ReadsAnyHead,
    ReadsAnyBody,
    CutBodyIsFailure,
    TakesAnyInterim,
    FollowsRedirects,
    AsksForGzip,
    AnySortOfTrust,
}

enum Word {
    Command(Command),
    Ended(AttemptId, Result<Reply, E>),
}

/// Drives the session's machine with this fault.
pub(super) fn drive(session: Session, fault: Fault) -> Sender {
    let Session { mut machine, commands, roots } = session;
    let (tell, words) = channel();
    let forward = tell.clone();
    thread::spawn(move || {
        while let Ok(command) = commands.recv() {
            if fault == Fault::CommandsWait {
                thread::sleep(Duration::from_millis(180));
            }
            if forward.send(Word::Command(command)).is_err() {
                return;
            }
        }
    });
    let start = Instant::now();
    let mut turns = 0_u64;
    let mut now = move || {
        turns += 1;
        let back = if fault == Fault::ClockGoesBack && turns.is_multiple_of(2) {
            Duration::from_micros(50)
        } else {
            Duration::ZERO
        };
        Now { mono: Mono::ORIGIN.saturating_add(start.elapsed().saturating_sub(back)), wall: rig::wall() }
    };
    let shop = Arc::new(Shop { start, fault, tls: client(roots), idle: Mutex::default() });
    let mut flying: HashMap<AttemptId, Arc<Mutex<Option<TcpStream>>>> = HashMap::new();
    loop {
        machine.handle(now(), Input::Tick);
        if fault == Fault::IgnoresCredit {
            machine.handle(now(), Input::Credit(64));
        }
        let wake = loop {
            match machine.poll_output() {
                Output::Persist(batch) => machine.handle(now(), Input::Persisted(batch.last())),
                Output::Load(_) | Output::Snapshot(_) | Output::Reclaim(_) | Output::Notice(_) => {}
                Output::Transmit(transmit) => {
                    let handle = Arc::new(Mutex::new(None));
                    flying.insert(transmit.attempt(), Arc::clone(&handle));
                    let (shop, tell) = (Arc::clone(&shop), tell.clone());
                    thread::spawn(move || {
                        let ended = shop.carry(&transmit, &handle);
                        let _ = tell.send(Word::Ended(transmit.attempt(), ended));
                    });
                }
                Output::Abort(_) if fault == Fault::IgnoresAborts => {}
                Output::Abort(attempt) => {
                    if let Some(handle) = flying.remove(&attempt) {
                        handle.lock().unwrap().take().map(|tcp| tcp.shutdown(Shutdown::Both));
                        machine.handle(now(), Input::Completed { attempt, outcome: Err(E::Aborted) });
                    }
                }
                Output::Wait(wake) => break wake,
            }
        };
        let far = Duration::from_secs(3600);
        let sleep = match wake {
            Wake::Closed => break,
            _ if fault == Fault::NeverSleeps => Duration::from_millis(20),
            Wake::Ready => Duration::ZERO,
            Wake::At(_) if fault == Fault::Oversleeps => far,
            Wake::At(at) => at.saturating_since(now().mono) + Duration::from_micros(100),
            Wake::Input => far,
        };
        match words.recv_timeout(sleep) {
            Ok(Word::Command(command)) => {
                command(&mut machine, now());
                if fault == Fault::ReturnsEarly && machine.life() != postrider_core::sender::Life::Running {
                    break;
                }
            }
            Ok(Word::Ended(attempt, outcome)) => {
                if flying.remove(&attempt).is_some() && fault != Fault::ForgetsToReport {
                    machine.handle(now(), Input::Completed { attempt, outcome: outcome.clone() });
                    if fault == Fault::ReportsTwice {
                        machine.handle(now(), Input::Completed { attempt, outcome });
                    }
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    shop.idle.lock().unwrap().clear();
    for handle in flying.into_values() {
        handle.lock().unwrap().take().map(|tcp| tcp.shutdown(Shutdown::Both));
    }
    machine
}

fn client(roots: Vec<rustls::pki_types::CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(store).with_no_client_auth())
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(piece),
            Self::Tls(tls) => tls.read(piece),
        }
    }

    /// Nothing has come since it was last used.
    fn is_clean(&self) -> bool {
        let tcp = self.tcp();
        tcp.set_nonblocking(true).unwrap();
        let quiet = tcp.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        tcp.set_nonblocking(false).unwrap();
        quiet
    }
}

type Handle = Mutex<Option<TcpStream>>;

struct Shop {
    start: Instant,
    fault: Fault,
    tls: Arc<ClientConfig>,
    idle: Mutex<Vec<(EndpointKey, SocketAddr, Stream)>>,
}

impl Shop {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn rest(&self, transmit: &Transmit) -> Option<Duration> {
        let end = self.start + transmit.deadline().saturating_since(Mono::ORIGIN);
        end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
    }

    fn carry(&self, transmit: &Transmit, handle: &Handle) -> Result<Reply, E> {
        let found = (transmit.host(), transmit.port()).to_socket_addrs().map_err(|_| E::NameFailed)?;
        let found: Vec<IpAddr> = found.map(|addr| addr.ip()).collect();
        let addrs: Vec<SocketAddr> = if self.has(Fault::DialsWhatIsDenied) {
            found.iter().map(|ip| SocketAddr::new(*ip, transmit.port())).collect()
        } else {
            transmit.vet(&found).map_err(|denied| denied.error())?.into_iter().copied().collect()
        };
        let mut last = E::ConnectFailed;
        for addr in addrs {
            let cleared = match transmit.clear(addr) {
                Err(_) if self.has(Fault::DialsWhatIsDenied) => transmit.clear_by(Resolver::Simulation),
                cleared => cleared,
            };
            let cleared = cleared.map_err(|denied| denied.error())?;
            let mut stream = match self.connection(transmit, addr) {
                Ok(stream) => stream,
                Err(why) => {
                    last = why;
                    continue;
                }
            };
            *handle.lock().unwrap() = Some(stream.tcp().try_clone().unwrap());
            self.handshake(transmit, &mut stream)?;
            let mut head = bytes::BytesMut::new();
            cleared.write_head(&mut head);
            if self.has(Fault::AsksForGzip) {
                let text = String::from_utf8(head.to_vec()).unwrap().replace("identity", "gzip");
                head = bytes::BytesMut::from(text.as_bytes());
            }
            head.extend_from_slice(cleared.body());
            stream.write(&head).map_err(|_| E::SendFailed)?;
            let (reply, reuse, location) = self.answer(transmit, &mut stream)?;
            if let (true, Some(location)) = (self.has(Fault::FollowsRedirects), location) {
                let _ = TcpStream::connect(location.trim_start_matches("http://").split('/').next().unwrap());
                thread::sleep(Duration::from_millis(30));
            }
            *handle.lock().unwrap() = None;
            if reuse {
                self.idle.lock().unwrap().push((transmit.endpoint().clone(), addr, stream));
            }
            return Ok(reply);
        }
        Err(last)
    }

    fn connection(&self, transmit: &Transmit, addr: SocketAddr) -> Result<Stream, E> {
        let mut idle = self.idle.lock().unwrap();
        let same = |key: &EndpointKey| key == transmit.endpoint() || self.has(Fault::SharesConnections);
        while let Some(at) = idle.iter().position(|(key, peer, _)| same(key) && *peer == addr) {
            let (.., stream) = idle.swap_remove(at);
            if stream.is_clean() || self.has(Fault::KeepsDirtyConnections) {
                return Ok(stream);
            }
        }
        drop(idle);
        let rest = self.rest(transmit).ok_or(E::TimedOut(Phase::Connect))?;
        let tcp = TcpStream::connect_timeout(&addr, rest).map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused => E::ConnectRefused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => E::TimedOut(Phase::Connect),
            _ => E::ConnectFailed,
        })?;
        tcp.set_nodelay(true).unwrap();
        if !transmit.target().is_https() {
            return Ok(Stream::Plain(tcp));
        }
        let name = if self.has(Fault::AnySortOfTrust) { "other.example" } else { transmit.host() };
        let name = rustls::pki_types::ServerName::try_from(name.to_string()).map_err(|_| E::TlsFailed)?;
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).map_err(|_| E::TlsFailed)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(tls, tcp))))
    }

    fn handshake(&self, transmit: &Transmit, stream: &mut Stream) -> Result<(), E> {
        let Stream::Tls(tls) = stream else { return Ok(()) };
        while tls.conn.is_handshaking() {
            let rest = self.rest(transmit).ok_or(E::TimedOut(Phase::Tls))?;
            tls.sock.set_read_timeout(Some(rest)).unwrap();
            let StreamOwned { conn, sock } = &mut **tls;
            if let Err(error) = conn.complete_io(sock) {
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    return Err(E::TimedOut(Phase::Tls));
                }
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
                return Err(match cause {
                    Some(rustls::Error::InvalidCertificate(why)) => match why {
                        CertificateError::UnknownIssuer => E::TlsUntrusted,
                        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                            E::TlsWrongName
                        }
                        CertificateError::Expired | CertificateError::ExpiredContext { .. } => E::TlsExpired,
                        _ => E::TlsFailed,
                    },
                    _ => E::TlsFailed,
                });
            }
        }
        Ok(())
    }

    /// The reply, whether the connection may be used again, and where the reply leads.
    fn answer(&self, transmit: &Transmit, stream: &mut Stream) -> Result<(Reply, bool, Option<String>), E> {
        let (caps, mut buf, mut interim) = (transmit.caps(), Vec::new(), 0);
        let mut more = |buf: &mut Vec<u8>, phase: Phase| {
            let full = Duration::from_millis(300);
            let rest = if self.has(Fault::DeadlineForEachRead) { Some(full) } else { self.rest(transmit) };
            stream.tcp().set_read_timeout(Some(rest.ok_or(E::TimedOut(phase))?)).unwrap();
            let mut piece = [0; 16 * 1024];
            match stream.read(&mut piece) {
                Ok(0) => Err(E::Closed),
                Ok(count) => {
                    buf.extend_from_slice(&piece[..count]);
                    Ok(())
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    Err(E::TimedOut(phase))
                }
                Err(_) => Err(E::Closed),
            }
        };
        loop {
            let mut lines = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut lines);
            let len = match head.parse(&buf) {
                Ok(httparse::Status::Complete(len)) => len,
                Ok(httparse::Status::Partial) if buf.len() <= caps.head || self.has(Fault::ReadsAnyHead) => {
                    more(&mut buf, Phase::Head)?;
                    continue;
                }
                Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(E::HeadTooLarge),
                Err(_) => return Err(E::MalformedHead),
            };
            let status = head.code.unwrap();
            if status < 200 {
                interim += 1;
                if interim > 4 && !self.has(Fault::TakesAnyInterim) {
                    return Err(E::MalformedHead);
                }
                buf.drain(..len);
                continue;
            }
            let reply = Reply::new(status).headers(head.headers.iter().map(|line| (line.name, line.value)));
            if reply.exceeds(caps.head) && !self.has(Fault::ReadsAnyHead) {
                return Err(E::HeadTooLarge);
            }
            let all = |name| head.headers.iter().filter(move |line| line.name.eq_ignore_ascii_case(name));
            let text = |name| all(name).next().map(|line| String::from_utf8_lossy(line.value).into_owned());
            let location = text("location");
            let closes = text("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let closes = (closes && !self.has(Fault::KeepsClosingConnections)) || head.version == Some(0);
            let length = match all("content-length").count() {
                0 if status == 204 => Some(0),
                1 => text("content-length").and_then(|digits| digits.parse::<usize>().ok()),
                _ => None,
            };
            let wanted = if self.has(Fault::ReadsAnyBody) { Some(usize::MAX) } else { length };
            buf.drain(..len);
            let Some(length) = wanted.filter(|length| *length <= caps.read || self.has(Fault::ReadsAnyBody)) else {
                return Ok((reply, false, location));
            };
            while buf.len() < length {
                match more(&mut buf, Phase::Body) {
                    Ok(()) => {}
                    Err(why) if self.has(Fault::CutBodyIsFailure) => return Err(why),
                    Err(_) => return Ok((reply, false, location)),
                }
            }
            let clean = buf.len() == length || self.has(Fault::KeepsDirtyConnections);
            return Ok((reply, clean && !closes, location));
        }
    }
}

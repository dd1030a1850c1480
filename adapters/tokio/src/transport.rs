//! Carrying one attempt: from a name to a reply, within one deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use postrider_core::response::{Outcome, Phase, Reply, TransportError};
use postrider_core::sender::{Caps, Cleared, Transmit};
use postrider_driver::{Clock, Idle, Place, Places, PoolKey, Resolver, transport_error};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::connection::{Connection, SendError};
use crate::wire::{Progress, Stream, Wire};

/// What attempts share: name look-ups, TLS, idle connections.
pub(crate) struct Transport {
    clock: Clock,
    resolver: Resolver,
    places: Places,
    tls: TlsConnector,
    idle: Mutex<Idle<Connection>>,
}

impl Transport {
    /// A transport that trusts as `tls` does, and speaks HTTP/2 where the receiver prefers it.
    pub(crate) fn new(clock: Clock, resolver: Resolver, places: Places, tls: &Arc<ClientConfig>) -> Self {
        let mut tls = ClientConfig::clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { clock, resolver, places, tls: TlsConnector::from(Arc::new(tls)), idle: Mutex::new(Idle::new()) }
    }

    /// Carries an attempt to its end, at its deadline at the latest. When this future is dropped, its socket closes.
    ///
    /// From the moment the final head is read the outcome is that reply: a body that is cut, drips or does not end only
    /// costs the connection.
    pub(crate) async fn carry(&self, transmit: &Transmit) -> Outcome {
        let deadline = Instant::from_std(self.clock.std_deadline(transmit.deadline()));
        let mut state = State::new(Phase::Resolve);
        match timeout_at(deadline, self.exchange(transmit, deadline, &mut state)).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => state.outcome(),
        }
    }

    /// Closes connections that have been idle too long, and says when the next one will have been.
    pub(crate) fn expire(&self) -> Option<std::time::Instant> {
        self.idle().expire(std::time::Instant::now())
    }

    /// The clock that deadlines are on.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    async fn exchange(&self, transmit: &Transmit, deadline: Instant, state: &mut State) -> Result<(), TransportError> {
        let resolved = self.look_up(transmit, deadline).await?;
        let vetted = transmit.vet(&resolved).map_err(|denied| denied.error())?;
        let vetted = vetted.as_slice();
        for addr in vetted {
            let cleared = transmit.clear(*addr).map_err(|denied| denied.error())?;
            let Some(_place) = self.places.take(addr.ip()) else { continue };
            let Some(connection) = self.take_idle(transmit, *addr) else { continue };
            match self.request(connection, &cleared, *addr, state).await {
                Ok(()) => return Ok(()),
                Err(SendError::Failed(error)) => return Err(error),
                // The receiver had closed it: this attempt goes on over a connection of its own.
                Err(SendError::Unsent) => break,
            }
        }
        state.phase = Phase::Connect;
        state.progress = None;
        let Dialled { stream, cleared, addr, place: _place } = self.dial(transmit, vetted, deadline).await?;
        state.phase = Phase::Tls;
        let wire = Wire::new(self.secure(transmit, stream).await?);
        state.phase = Phase::Send;
        let connection = Connection::open(wire, transmit.caps()).await?;
        self.request(connection, &cleared, addr, state).await.map_err(|error| match error {
            SendError::Failed(error) => error,
            SendError::Unsent => TransportError::Closed,
        })
    }

    async fn look_up(&self, transmit: &Transmit, deadline: Instant) -> Result<Vec<IpAddr>, TransportError> {
        let (done, answer) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| {
            // Nobody waits any more when the deadline has passed or the attempt was aborted.
            let _ = done.send(result);
        });
        self.resolver.resolve(transmit.host(), transmit.port(), deadline.into_std(), done);
        answer.await.unwrap_or(Err(TransportError::NameFailed))
    }

    /// Connects to the first address that answers, each cleared as it is dialled. All but the last get an equal share of
    /// the time that is left, so that one that drops everything, or has no place, does not cost the attempt.
    async fn dial(
        &self,
        transmit: &Transmit,
        vetted: &[SocketAddr],
        deadline: Instant,
    ) -> Result<Dialled, TransportError> {
        let mut last = TransportError::ConnectFailed;
        for (tried, addr) in vetted.iter().enumerate() {
            let now = Instant::now();
            let left = u32::try_from(vetted.len() - tried).expect("at most three addresses are vetted");
            let share = now + deadline.saturating_duration_since(now) / left;
            let Ok(place) = timeout_at(share, self.place(*addr)).await else {
                last = TransportError::LocalResources;
                continue;
            };
            let cleared = transmit.clear(*addr).map_err(|denied| denied.error())?;
            last = match timeout_at(share, TcpStream::connect(*addr)).await {
                Ok(Ok(stream)) => {
                    // Only latency depends on it.
                    let _ = stream.set_nodelay(true);
                    return Ok(Dialled { stream, cleared, addr: *addr, place });
                }
                Ok(Err(error)) => transport_error(&error, Phase::Connect),
                Err(_) => TransportError::TimedOut(Phase::Connect),
            };
            if last == TransportError::LocalResources {
                break;
            }
        }
        Err(last)
    }

    /// Waits for a place at an address.
    async fn place(&self, addr: SocketAddr) -> Place {
        let (give, given) = tokio::sync::oneshot::channel();
        self.places.ask(addr.ip(), Box::new(move |place| give.send(place).err()));
        given.await.expect("whoever is asked for a place gives one in the end")
    }

    async fn secure(&self, transmit: &Transmit, stream: TcpStream) -> Result<Stream, TransportError> {
        if !transmit.target().is_https() {
            return Ok(Stream::Plain(stream));
        }
        let name = ServerName::try_from(transmit.host().to_owned()).map_err(|_| TransportError::TlsWrongName)?;
        match self.tls.connect(name, stream).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => Err(transport_error(&error, Phase::Tls)),
        }
    }

    /// One request and its response on this connection, which is kept for the next when all was read.
    async fn request(
        &self,
        mut connection: Connection,
        cleared: &Cleared,
        addr: SocketAddr,
        state: &mut State,
    ) -> Result<(), SendError> {
        state.phase = Phase::Send;
        state.progress = Some(connection.progress());
        let response = connection.send(cleared).await?;
        let clean = state.read(response, cleared.transmit().caps()).await.map_err(SendError::Failed)?;
        if clean && connection.settle().await {
            let key = PoolKey::of(cleared.transmit(), addr);
            self.idle().put(key, connection, std::time::Instant::now());
        }
        Ok(())
    }

    fn take_idle(&self, transmit: &Transmit, addr: SocketAddr) -> Option<Connection> {
        let key = PoolKey::of(transmit, addr);
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.take(&key, std::time::Instant::now())).find(Connection::is_open)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open socket, and the right to have it.
struct Dialled {
    stream: TcpStream,
    cleared: Cleared,
    addr: SocketAddr,
    place: Place,
}

/// How far an attempt has got: what is left of it when its deadline passes.
struct State {
    phase: Phase,
    progress: Option<Arc<Progress>>,
    reply: Option<Reply>,
    kept: BytesMut,
}

impl State {
    fn new(phase: Phase) -> Self {
        Self { phase, progress: None, reply: None, kept: BytesMut::new() }
    }

    /// The reply when there is one, and otherwise what was under way when time ran out.
    fn outcome(self) -> Outcome {
        match (self.reply, self.phase, self.progress) {
            (Some(reply), ..) if self.kept.is_empty() => Ok(reply),
            (Some(reply), ..) => Ok(reply.with_body(self.kept.freeze())),
            (None, Phase::Send, Some(progress)) => Err(TransportError::TimedOut(progress.phase())),
            (None, phase, _) => Err(TransportError::TimedOut(phase)),
        }
    }

    /// Takes the head, then the body up to the caps, and says whether all of it was read.
    async fn read(&mut self, response: Response<Incoming>, caps: Caps) -> Result<bool, TransportError> {
        let (head, mut body) = response.into_parts();
        if head.status.is_informational() {
            // 101: nobody asked for another protocol.
            return Err(TransportError::MalformedHead);
        }
        let reply = Reply::new(head.status.as_u16()).headers(&head.headers);
        if reply.exceeds(caps.head) {
            return Err(TransportError::HeadTooLarge);
        }
        self.reply = Some(reply);
        self.phase = Phase::Body;
        let mut read = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Ok(false) };
            let Some(data) = frame.data_ref() else { continue };
            let room = caps.kept.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&data[..data.len().min(room)]);
            read = read.saturating_add(data.len());
            if read > caps.read {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;

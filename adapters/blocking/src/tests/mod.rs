//! Peers on the loopback interface, for the tests of this package.

mod directory;
mod sender;
mod transport;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use postrider_driver::tls::Roots;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const SOON: Duration = Duration::from_secs(5);

/// A request as a peer saw it.
struct Request {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A peer that serves each connection by a function, on a thread of its own, and counts connections.
struct Peer {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Peer {
    fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&accepted), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { addr, accepted }
    }

    /// Reads one request, writes `answer`, closes.
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |mut stream| {
            if request(&mut stream).is_some() {
                let _ = stream.write_all(&answer);
            }
        })
    }

    fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.addr)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn request(stream: &mut impl Read) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let mut body = vec![0; headers["content-length"].to_str().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body })
}

/// An address at which connecting takes for ever: nobody accepts, and the queue is full.
fn blackhole() -> (socket2::Socket, Vec<TcpStream>, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let fill = |_| TcpStream::connect_timeout(&addr, Duration::from_millis(100)).ok();
    let filled = (0..8).map_while(fill).collect();
    (socket, filled, addr)
}

/// A TLS peer with a fresh certificate for `names` that answers every request with 200; and its certificate.
fn tls_peer(names: &[&str]) -> (Peer, Vec<u8>) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let peer = Peer::new(move |stream| {
        let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, stream);
        while request(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
    });
    (peer, made.cert.der().to_vec())
}

fn https(host: &str, peer: &Peer) -> String {
    format!("https://{host}:{}/hook", peer.addr.port())
}

fn trust(root: &[u8]) -> Roots {
    Roots::none().der(root).unwrap()
}

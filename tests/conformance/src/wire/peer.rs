//! A listener on loopback that answers each endpoint's first request with the bytes of its script, and notes over which
//! connection the second comes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::Script;

/// How long a connection may live, whatever happens on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two pieces of a response.
const PAUSE: Duration = Duration::from_millis(1);

/// Bytes of a request, at most.
const REQUEST: usize = 64 * 1024;

/// What the second request is answered with.
const DONE: &[u8] = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

/// The listener. It ends when it is dropped.
pub(super) struct Peer {
    addr: SocketAddr,
    noted: Arc<Mutex<Vec<Note>>>,
    runtime: Option<Runtime>,
}

/// What is known of the requests of one endpoint.
#[derive(Clone, Debug, Default)]
struct Note {
    /// The connection of the first.
    first: Option<usize>,
    /// The second came over it too.
    reused: bool,
}

impl Peer {
    pub(super) fn start(scripts: Arc<Vec<Script>>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let addr = listener.local_addr()?;
        let noted = Arc::new(Mutex::new(vec![Note::default(); scripts.len()]));
        let notes = Arc::clone(&noted);
        runtime.spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let (scripts, notes) = (Arc::clone(&scripts), Arc::clone(&notes));
                tokio::spawn(async move {
                    // A driver may hang up at any time, and one that waits too long is left.
                    let _ = timeout(PATIENCE, converse(stream, number, &scripts, &notes)).await;
                });
                number += 1;
            }
        });
        Ok(Self { addr, noted, runtime: Some(runtime) })
    }

    /// The URL that script `n` is served at.
    pub(super) fn url(&self, n: usize) -> String {
        format!("http://{}/{n}", self.addr)
    }

    /// Whether the second request for a script came over the connection of the first.
    pub(super) fn was_reused(&self, n: usize) -> bool {
        lock(&self.noted)[n].reused
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn converse(
    mut stream: TcpStream,
    number: usize,
    scripts: &[Script],
    notes: &Mutex<Vec<Note>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let place = request(&mut stream, &mut bytes).await?;
        let script = scripts.get(place).ok_or(io::ErrorKind::InvalidData)?;
        let is_first = {
            let mut notes = lock(notes);
            let note = &mut notes[place];
            let is_first = note.first.is_none();
            note.reused |= note.first == Some(number);
            note.first = note.first.or(Some(number));
            is_first
        };
        if !is_first {
            stream.write_all(DONE).await?;
            return stream.shutdown().await;
        }
        for (at, piece) in script.pieces.iter().enumerate() {
            if at > 0 {
                sleep(PAUSE).await;
            }
            stream.write_all(piece).await?;
            stream.flush().await?;
        }
        if script.eof {
            stream.shutdown().await?;
        }
    }
}

/// Reads a whole request, and says which script it asks for.
async fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let odd = || io::Error::from(io::ErrorKind::InvalidData);
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let whole = end + 4 + length.unwrap_or_default().min(REQUEST);
            if bytes.len() >= whole {
                bytes.drain(..whole);
                let path = head.split(' ').nth(1).and_then(|path| path.strip_prefix('/'));
                return path.and_then(|path| path.parse().ok()).ok_or_else(odd);
            }
        }
        if bytes.len() > 2 * REQUEST {
            return Err(odd());
        }
        if stream.read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn lock(notes: &Mutex<Vec<Note>>) -> MutexGuard<'_, Vec<Note>> {
    // Nobody panics while holding it.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

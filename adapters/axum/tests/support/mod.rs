//! A server on a free port, and senders over plain sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use postrider_axum::{Notice, Receiver, Source};
use postrider_core::receiver::ReceiverConfig;
use postrider_core::signing::{Scheme, Signer, Unsigned, Verifier};
use postrider_core::time::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What was told the owner, as text.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

pub(crate) fn config() -> ReceiverConfig {
    ReceiverConfig::new(Verifier::standard([SECRET]).unwrap())
}

/// A receiver with the source `shop`, and what it tells.
pub(crate) fn shop(source: impl Into<Source>) -> (Receiver, Heard) {
    let heard = Heard::default();
    let told = Arc::clone(&heard);
    let tell = move |notice: Notice| told.lock().unwrap().push(notice.to_string());
    (Receiver::builder().source("shop", source).on_notice(tell).build().unwrap(), heard)
}

/// Serves it on a free port.
pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

/// A request of the Standard Webhooks, signed now.
pub(crate) fn signed(path: &str, id: &str, body: &str) -> String {
    request(path, Scheme::Standard, SECRET, Some(id), body)
}

/// A request as the provider of a scheme signs it, now.
pub(crate) fn request(path: &str, scheme: Scheme, secret: &str, id: Option<&str>, body: &str) -> String {
    let unsigned = Unsigned { method: "POST", url: "", id, headers: &[], body: body.as_bytes() };
    let now = UnixTime::from_secs(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let signed = Signer::new(scheme, secret).unwrap().sign(&unsigned, now).unwrap();
    let headers: String = signed.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

pub(crate) async fn send(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer comes").unwrap();
    String::from_utf8(answer).unwrap()
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head ends").1
}

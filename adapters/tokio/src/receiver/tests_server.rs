//! The bounded server, and senders that are slow on purpose.

use std::net::SocketAddr;
use std::time::Instant as StdInstant;

use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::tests::{PATIENCE, config, head, rest, send, signed, status, unix_secs};
use super::*;

const SHORT: Duration = Duration::from_millis(200);

/// Serves on a free port, until the sender is dropped.
async fn serve(server: Server, receiver: &Receiver) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { drop(stopped.await) };
    (addr, stop, tokio::spawn(server.serve(listener, receiver.clone(), stopped)))
}

/// Sends a byte every now and then until the connection is over; says after how long, and what came.
async fn drip(stream: &mut TcpStream, every: Duration) -> (Duration, String) {
    let (start, mut answer) = (StdInstant::now(), Vec::new());
    let (mut read, mut write) = stream.split();
    let dripping = async {
        while write.write_all(b"x").await.is_ok() {
            sleep(every).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // A connection that is cut with bytes on their way is reset.
        read = timeout(PATIENCE, read.read_to_end(&mut answer)) => drop(read.expect("it is over")),
        () = dripping => {}
    }
    (start.elapsed(), String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_body_that_drips_is_cut_long_before_its_time() {
    let receiver = Receiver::builder(config()).body_rate(1000, 3 * SHORT).handler(async |_| {});
    let (addr, _stop, _) = serve(Server::default(), &receiver).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{}\r\n", head("msg_1", unix_secs(), &"x".repeat(1000))).as_bytes()).await.unwrap();
    let (time, answer) = drip(&mut stream, Duration::from_millis(10)).await;
    assert_eq!(status(&answer), 408);
    assert!((2 * SHORT..PATIENCE / 2).contains(&time), "{time:?}");
    // Who sends fast enough has the time that it takes.
    let body = "x".repeat(1000);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{}\r\n", head("msg_2", unix_secs(), &body)).as_bytes()).await.unwrap();
    for part in body.as_bytes().chunks(250) {
        stream.write_all(part).await.unwrap();
        sleep(SHORT / 2).await;
    }
    assert_eq!(status(&rest(&mut stream).await), 204);
}

#[tokio::test]
async fn who_sends_no_request_in_time_is_cut() {
    let receiver = Receiver::new(config(), async |_| {});
    let (addr, _stop, _) = serve(Server::default().head_time(SHORT).idle_time(SHORT), &receiver).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "POST /hooks HTTP/1.1\r\nhost: test\r\na: "] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let start = StdInstant::now();
        if beginning.ends_with(' ') {
            let (time, _) = drip(&mut stream, Duration::from_millis(10)).await;
            assert!(time < PATIENCE / 2, "{time:?}");
            continue;
        }
        // A reset is an end as well.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it is closed");
        assert!((SHORT / 2..PATIENCE / 2).contains(&start.elapsed()), "{beginning}: {:?}", start.elapsed());
    }
    // After an answer too.
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = signed("msg_1", "{}").replace("connection: close\r\n", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert_eq!(status(&answer), 204);
}

#[tokio::test]
async fn no_more_connections_are_open_than_was_agreed() {
    let receiver = Receiver::new(config(), async |_| {});
    let (addr, _stop, _) = serve(Server::default().connections(1).head_time(SHORT), &receiver).await;
    let silent = TcpStream::connect(addr).await.unwrap();
    sleep(SHORT / 4).await;
    let start = StdInstant::now();
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204, "when the silent one is cut");
    assert!(start.elapsed() > SHORT / 2, "{:?}", start.elapsed());
    drop(silent);
}

#[tokio::test]
async fn http2_is_spoken_and_a_request_in_progress_is_no_rest() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let receiver = Receiver::new(config(), {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        move |_| {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            async move {
                begun.notify_one();
                go.notified().await;
            }
        }
    });
    let (addr, stop, serving) = serve(Server::default().head_time(SHORT).idle_time(SHORT), &receiver).await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let text = signed("msg_1", "{}");
    let mut request = Request::post(format!("http://{addr}/hooks"));
    for line in text.lines().filter(|line| line.starts_with("webhook-")) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let answer = tokio::spawn(client.send_request(request.body(Full::<Bytes>::from("{}")).unwrap()));
    timeout(PATIENCE, begun.notified()).await.unwrap();
    sleep(2 * SHORT).await;
    drop(stop);
    sleep(SHORT / 4).await;
    assert!(!answer.is_finished() && !serving.is_finished(), "it waits for what is in progress");
    assert!(TcpStream::connect(addr).await.is_err(), "and lets nobody in");
    go.notify_one();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), 204);
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    timeout(PATIENCE, serving).await.unwrap().unwrap();
    let _ = timeout(PATIENCE, connection).await.expect("the connection is over");
}

#[tokio::test]
async fn stopping_does_not_wait_for_who_sends_nothing() {
    let receiver = Receiver::new(config(), async |_| {});
    let (addr, stop, serving) = serve(Server::default().head_time(SHORT).idle_time(SHORT), &receiver).await;
    let silent = TcpStream::connect(addr).await.unwrap();
    let mut dripping = TcpStream::connect(addr).await.unwrap();
    dripping.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
    sleep(SHORT / 4).await;
    drop(stop);
    timeout(PATIENCE, serving).await.expect("it returns").unwrap();
    drop((silent, dripping));
}

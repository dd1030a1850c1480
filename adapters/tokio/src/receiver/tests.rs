use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::Instant as StdInstant;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use postrider_core::receiver::{Claim, Claimed, Commit, Processed, ReceiverLimits, Release};
use postrider_core::secret::Secret;
use postrider_core::signing::{SigningKey, standard};
use postrider_journal::claims::{ClaimDone, ClaimOptions, FileClaims};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> ReceiverConfig {
    ReceiverConfig::new(standard::Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap())
}

fn unix_secs() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The head of a request that closes its connection, without the empty line, signed at `secs`.
fn head(id: &str, secs: u64, body: &str) -> String {
    let key = SigningKey::from(&Secret::parse(SECRET).unwrap());
    let signature = standard::sign([&key], id, secs, body.as_bytes());
    format!(
        "POST /hooks HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\nwebhook-id: {id}\r\n\
         webhook-timestamp: {secs}\r\nwebhook-signature: {signature}\r\n",
        body.len()
    )
}

fn signed(id: &str, body: &str) -> String {
    format!("{}\r\n{body}", head(id, unix_secs(), body))
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer comes").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn send(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

/// Serves plain hyper on a free port.
async fn serve(receiver: &Receiver) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(receiver.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

/// A receiver that counts its deliveries.
fn counting(config: ReceiverConfig) -> (Receiver, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let receiver = Receiver::new(config, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    });
    (receiver, count)
}

#[tokio::test]
async fn a_delivery_is_answered_204_and_its_repeat_is_not_delivered() {
    let (receiver, count) = counting(config());
    let addr = serve(&receiver).await;
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(status(&send(addr, &signed("msg_2", "{}")).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn it_deduplicates_over_a_restart_and_over_receivers_of_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let receiver = |claims: FileClaims| {
        let counted = Arc::clone(&count);
        Receiver::builder(config()).claims(claims).handler(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {}
        })
    };
    let claims = FileClaims::open(dir.path(), &ClaimOptions::default()).unwrap();
    let (one, two) = (receiver(claims.clone()), receiver(claims));
    assert_eq!(status(&send(serve(&one).await, &signed("msg_1", "{}")).await), 204);
    assert_eq!(status(&send(serve(&two).await, &signed("msg_1", "{}")).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    one.close().await;
    two.close().await;
    // Each loop lets go of the store when it ends.
    let claims = FileClaims::open(dir.path(), &ClaimOptions::default().takeover(PATIENCE)).unwrap();
    let addr = serve(&receiver(claims)).await;
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(status(&send(addr, &signed("msg_2", "{}")).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// A store that says nothing.
struct Mute;

impl ClaimStore for Mute {
    fn claim(&mut self, _: Claim, _: ClaimDone<Claimed>) {}

    fn commit(&mut self, _: Commit, _: ClaimDone<()>) {}

    fn release(&mut self, _: Release) {}
}

#[tokio::test]
async fn what_cannot_be_claimed_is_answered_503_and_told() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let receiver = Receiver::builder(config())
        .claims(Mute)
        .on_notice(move |notice| told.lock().unwrap().push(notice.to_string()))
        .handler(|_| async { Processed::Done });
    let answer = send(serve(&receiver).await, &signed("msg_1", "{}")).await;
    assert!(status(&answer) == 503 && answer.contains("retry-after: "), "{answer}");
    let heard = heard.lock().unwrap();
    assert!(matches!(&heard[..], [told] if told.contains("it gave no answer")), "{heard:?}");
}

#[tokio::test]
async fn what_was_wrong_is_told_the_owner_and_not_the_sender() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let receiver = Receiver::builder(config())
        .on_notice(move |notice| told.lock().unwrap().push(notice.to_string()))
        .handler(|_| async {});
    let addr = serve(&receiver).await;
    let forged = format!("{}\r\n{{ }}", head("msg_1", unix_secs(), "{}").replace("length: 2", "length: 3"));
    let stale = format!("{}\r\n{{}}", head("msg_1", unix_secs() - 1000, "{}"));
    let (forged, stale) = (send(addr, &forged).await, send(addr, &stale).await);
    let bare = send(addr, "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!((status(&forged), status(&stale), status(&bare)), (401, 401, 400));
    for answer in [forged, stale, bare] {
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, "the webhook was not accepted");
    }
    receiver.close().await;
    let heard = heard.lock().unwrap();
    assert!(heard[0].contains("none of 1 signatures fits"), "{heard:?}");
    assert!(heard[1].contains("before this receiver's clock"), "{heard:?}");
    assert!(heard[2].contains("webhook-id is missing"), "{heard:?}");
}

#[tokio::test]
async fn what_is_wanted_later_comes_again_and_what_is_refused_does_not() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let receiver = Receiver::new(config(), move |delivery| {
        let turn = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match (delivery.webhook_id(), turn) {
                ("msg_1", 0) => Err(Processed::Later { after: Some(Duration::from_millis(1500)) }),
                ("msg_1", 1) => panic!("planted"),
                ("msg_1", _) => Ok(()),
                _ => Err(Processed::Refuse),
            }
        }
    });
    let addr = serve(&receiver).await;
    let later = send(addr, &signed("msg_1", "{}")).await;
    assert_eq!(status(&later), 503);
    assert!(later.contains("retry-after: 2\r\n"), "{later}");
    let panicked = send(addr, &signed("msg_1", "{}")).await;
    assert_eq!(status(&panicked), 503);
    assert!(panicked.contains("retry-after: 5\r\n"), "{panicked}");
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(status(&send(addr, &signed("msg_2", "{}")).await), 400);
    assert_eq!(status(&send(addr, &signed("msg_2", "{}")).await), 400);
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_body_is_read_only_as_far_as_it_may_be_long() {
    let mut limits = ReceiverLimits::default();
    limits.body = 10;
    let (receiver, count) = counting(config().limits(limits));
    let addr = serve(&receiver).await;
    // Declared too long: answered before a byte of it is sent, and without being asked to go on.
    let expecting = format!("{}expect: 100-continue\r\n\r\n", head("msg_1", unix_secs(), "01234567890"));
    assert!(send(addr, &expecting).await.starts_with("HTTP/1.1 413"));
    // Not declared: answered when there are too many.
    let chunked = head("msg_1", unix_secs(), "").replace("content-length: 0", "transfer-encoding: chunked");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{chunked}\r\n6\r\n012345\r\n5\r\n67890").as_bytes()).await.unwrap();
    assert_eq!(status(&rest(&mut stream).await), 413);
    // As long as it may be: asked for, and delivered.
    let expecting = format!("{}expect: 100-continue\r\n\r\n", head("msg_1", unix_secs(), "0123456789"));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(expecting.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"0123456789").await.unwrap();
    assert_eq!(status(&rest(&mut stream).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_slow_body_is_cut_and_its_exchange_given_up() {
    let mut limits = ReceiverLimits::default();
    limits.exchanges = 1;
    let receiver =
        Receiver::builder(config().limits(limits)).body_time(Duration::from_millis(100)).handler(async |_| {});
    let addr = serve(&receiver).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{}\r\n{{", head("msg_1", unix_secs(), "{}")).as_bytes()).await.unwrap();
    assert_eq!(status(&rest(&mut stream).await), 408);
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204, "its place is free");
}

#[tokio::test]
async fn a_body_that_breaks_off_frees_its_exchange() {
    let mut limits = ReceiverLimits::default();
    limits.exchanges = 1;
    let (receiver, count) = counting(config().limits(limits));
    let addr = serve(&receiver).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{}\r\n{{", head("msg_1", unix_secs(), "{}")).as_bytes()).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    drop(stream);
    let start = StdInstant::now();
    while status(&send(addr, &signed("msg_1", "{}")).await) != 204 {
        assert!(start.elapsed() < PATIENCE, "its place is not free");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_delivery_outlives_its_request() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let count = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::new(config(), {
        let (begun, go, count) = (Arc::clone(&begun), Arc::clone(&go), Arc::clone(&count));
        move |_| {
            let (begun, go, count) = (Arc::clone(&begun), Arc::clone(&go), Arc::clone(&count));
            async move {
                begun.notify_one();
                go.notified().await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let addr = serve(&receiver).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(signed("msg_1", "{}").as_bytes()).await.unwrap();
    timeout(PATIENCE, begun.notified()).await.unwrap();
    drop(stream);
    sleep(Duration::from_millis(20)).await;
    go.notify_one();
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1, "the repeat waited for it, or was answered from memory");
}

#[tokio::test]
async fn overdue_deliveries_keep_their_place() {
    let mut limits = ReceiverLimits::default();
    limits.processing = Duration::from_millis(500);
    let go = Arc::new(Notify::new());
    let receiver = Receiver::builder(config().limits(limits)).concurrency(1).handler({
        let go = Arc::clone(&go);
        move |_| {
            let go = Arc::clone(&go);
            async move { go.notified().await }
        }
    });
    let addr = serve(&receiver).await;
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 503, "it has timed out");
    let start = StdInstant::now();
    assert_eq!(status(&send(addr, &signed("msg_2", "{}")).await), 503, "and still runs");
    assert!(start.elapsed() < Duration::from_millis(500), "so nothing else is begun");
    go.notify_one();
    let start = StdInstant::now();
    while status(&send(addr, &signed("msg_1", "{}")).await) != 204 {
        assert!(start.elapsed() < PATIENCE, "it ended late, and counts");
    }
    go.notify_one();
    assert_eq!(status(&send(addr, &signed("msg_2", "{}")).await), 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_delivered_at_once_than_was_agreed() {
    let (running, most, go) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let receiver = Receiver::builder(config()).concurrency(8).handler({
        let (running, most, go) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&go));
        move |_| {
            let (running, most, go) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&go));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                go.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
            }
        }
    });
    let addr = serve(&receiver).await;
    let mut sends = JoinSet::new();
    for n in 0..50 {
        sends.spawn(async move { status(&send(addr, &signed(&format!("msg_{n}"), "{}")).await) });
    }
    for _ in 0..42 {
        assert_eq!(sends.join_next().await.unwrap().unwrap(), 503);
    }
    go.add_permits(8);
    assert_eq!(sends.join_all().await, [204; 8]);
    assert_eq!(most.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn closing_answers_what_is_in_progress() {
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
    let addr = serve(&receiver).await;
    let sent = tokio::spawn(async move { send(addr, &signed("msg_1", "{}")).await });
    timeout(PATIENCE, begun.notified()).await.unwrap();
    let closing = tokio::spawn({
        let receiver = receiver.clone();
        async move { receiver.close().await }
    });
    sleep(Duration::from_millis(20)).await;
    let refused = send(addr, &signed("msg_2", "{}")).await;
    assert_eq!(status(&refused), 503);
    assert!(!closing.is_finished() && !sent.is_finished());
    go.notify_one();
    assert_eq!(status(&sent.await.unwrap()), 204);
    timeout(PATIENCE, closing).await.unwrap().unwrap();
    // Closed: the adapter answers by itself.
    let refused = send(addr, &signed("msg_2", "{}")).await;
    assert_eq!(status(&refused), 503);
    assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
    timeout(PATIENCE, receiver.close()).await.expect("closing again returns");
}

#[tokio::test]
async fn it_is_a_route_under_axum() {
    let (receiver, count) = counting(config());
    let router: axum::Router = axum::Router::new().route_service("/hooks", receiver.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
    assert_eq!(status(&send(addr, &signed("msg_1", "{}").replace("POST /hooks", "POST /else")).await), 404);
    let get = send(addr, "GET /hooks HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    assert_eq!(status(&get), 405);
    assert!(get.contains("allow: POST\r\n"), "{get}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn it_is_a_function_under_hyper() {
    let (receiver, _) = counting(config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request| receiver.answer(request));
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 204);
}

#[tokio::test]
async fn the_last_handle_closes_it_and_requests_still_end() {
    let (receiver, count) = counting(config());
    let body = "{}";
    let request = |id: &str| {
        let (secs, key) = (unix_secs(), SigningKey::from(&Secret::parse(SECRET).unwrap()));
        let signature = standard::sign([&key], id, secs, body.as_bytes());
        let builder = Request::post("/").header(standard::ID, id).header(standard::TIMESTAMP, secs);
        builder.header(standard::SIGNATURE, signature).body(Full::<Bytes>::from(body)).unwrap()
    };
    let dropped = receiver.answer(request("msg_1"));
    drop(dropped);
    let mut answering = receiver.answer(request("msg_2"));
    // Its head is told, then the last handle goes.
    std::future::poll_fn(|cx| {
        assert!(Pin::new(&mut answering).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(receiver);
    let response = timeout(PATIENCE, answering).await.unwrap().unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.extensions().get(), Some(&postrider_core::receiver::Reason::Processed));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let start = StdInstant::now();
    while Arc::strong_count(&count) > 1 {
        assert!(start.elapsed() < PATIENCE, "its task still has the handler");
        sleep(Duration::from_millis(5)).await;
    }
}

//! The layer, and the gate below it.

use std::sync::atomic::AtomicUsize;

use axum::extract::Extension;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::post;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use postrider_core::receiver::{Processed, Reason};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower_layer::Layer;

use super::tests::{PATIENCE, config, send, signed, status};
use super::*;

/// Answers what the path says, and counts.
async fn answer(uri: http::Uri, Extension(delivery): Extension<Delivery>, body: Bytes) -> impl IntoResponse {
    assert_eq!((delivery.body(), delivery.path()), (&body, Some(uri.path())));
    let count: &AtomicUsize = &COUNT;
    count.fetch_add(1, Ordering::SeqCst);
    let status: u16 = uri.path()[1..].parse().unwrap();
    assert_ne!(status, 555, "planted");
    let mut headers = HeaderMap::new();
    headers.insert("x-own", "yes".parse().unwrap());
    if status == 429 {
        headers.insert("retry-after", "7".parse().unwrap());
    }
    (StatusCode::from_u16(status).unwrap(), headers, "my own")
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn the_status_below_is_the_answer_and_decides() {
    let verify = VerifyLayer::new(config());
    let router: axum::Router = axum::Router::new().route("/{status}", post(answer)).layer(verify.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    // What the first and the second request with an event are answered, and how often the service was called.
    for (code, first, second, calls) in [
        (200, 200, 204, 1),
        (202, 202, 202, 1),
        (400, 400, 400, 1),
        (422, 422, 400, 1),
        (410, 410, 410, 1),
        (404, 404, 404, 2),
        (429, 429, 429, 2),
        (500, 500, 500, 2),
        (302, 302, 302, 2),
        (555, 503, 503, 2),
    ] {
        COUNT.store(0, Ordering::SeqCst);
        let request = signed(&format!("msg_{code}"), "{}").replace("/hooks", &format!("/{code}"));
        let answers = [send(addr, &request).await, send(addr, &request).await];
        let told = (status(&answers[0]), status(&answers[1]), COUNT.load(Ordering::SeqCst));
        assert_eq!(told, (first, second, calls), "{code}: {answers:?}");
        let own = answers[0].contains("x-own: yes\r\n") && answers[0].ends_with("\r\n\r\nmy own");
        assert_eq!(own, code != 555, "{answers:?}");
        assert_eq!(answers[0].contains("retry-after: 7\r\n"), code == 429, "{answers:?}");
        assert!(answers[0].contains("postrider-key-used: "), "{answers:?}");
    }
    // What is not verified does not come through.
    COUNT.store(0, Ordering::SeqCst);
    let forged = signed("msg_1", "{}").replace("/hooks", "/200").replace("\r\n\r\n{}", "\r\n\r\n[]");
    assert_eq!(status(&send(addr, &forged).await), 401);
    assert_eq!(COUNT.load(Ordering::SeqCst), 0);
    verify.close().await;
    assert_eq!(status(&send(addr, &signed("msg_1", "{}")).await), 503);
}

/// A service of plain tower that fails, or is not ready.
#[derive(Clone)]
struct Broken {
    ready: bool,
}

impl Service<Request<Full<Bytes>>> for Broken {
    type Response = Response<Full<Bytes>>;
    type Error = std::io::Error;
    type Future = std::future::Ready<std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(if self.ready { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) })
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        assert!(self.ready, "a service is called only when it is ready");
        std::future::ready(Err(std::io::ErrorKind::Other.into()))
    }
}

#[tokio::test]
async fn an_error_below_leaves_the_event_free_under_hyper_too() {
    for ready in [true, false] {
        let service = TowerToHyperService::new(VerifyLayer::new(config()).layer(Broken { ready }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
            }
        });
        for _ in 0..2 {
            let answer = send(addr, &signed("msg_1", "{}")).await;
            assert!(status(&answer) == 503 && answer.contains("retry-after: 5\r\n"), "{answer}");
        }
    }
}

fn request(id: &str, body: &'static str) -> Request<Full<Bytes>> {
    let text = signed(id, body);
    let mut request = Request::post("/hooks");
    for line in text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.extension(id.len()).body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn each_request_brings_its_own_handler_and_what_came_with_it() {
    let gate = Receiver::builder(config()).gate();
    let ran = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(Notify::new());
    let mut waiting = Vec::new();
    for (n, id) in ["a", "bb", "ccc", "ccc", "dddd"].into_iter().enumerate() {
        let (gate, ran, go) = (gate.clone(), Arc::clone(&ran), Arc::clone(&go));
        let request = request(id, if n % 2 == 0 { "" } else { "{}" });
        waiting.push(tokio::spawn(async move {
            let handler = move |delivery: Delivery, head: http::request::Parts| async move {
                ran.fetch_add(1, Ordering::SeqCst);
                assert_eq!(head.extensions.get(), Some(&delivery.webhook_id().len()), "another's extensions");
                assert_eq!(head.headers["webhook-id"], delivery.webhook_id());
                go.notified().await;
                Ended::answered(Processed::Done, Response::new(Full::from(delivery.webhook_id().to_owned())))
            };
            gate.answer(request, handler).await
        }));
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ran.load(Ordering::SeqCst), 4, "the repeat waits for the first");
    // One of them hangs up, and its handler goes on.
    waiting.remove(1).abort();
    sleep(Duration::from_millis(20)).await;
    go.notify_waiters();
    let mut told = Vec::new();
    for answer in waiting {
        let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
        let reason = answer.extensions().get::<Reason>().copied();
        assert_eq!(reason, Some(Reason::Processed));
        let (status, body) = (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes());
        told.push((status, String::from_utf8(body.to_vec()).unwrap()));
    }
    let own = |id: &str| (200, id.to_owned());
    assert_eq!(told, [own("a"), own("ccc"), (204, String::new()), own("dddd")], "the repeat has the machine's");
    let repeat = gate.answer(request("bb", "{}"), |_, _| async { Ended::<Full<Bytes>>::new(Processed::Refuse) }).await;
    assert_eq!(repeat.status(), 204, "what was hung up on is done");
    assert_eq!(gate.waiting(), 0, "nobody is left behind");
}

#[tokio::test]
async fn an_answer_that_the_machine_does_not_share_is_not_sent() {
    let gate = Receiver::builder(config()).gate();
    for (processed, wanted) in [(Processed::Refuse, 400), (Processed::Done, 200)] {
        let handler =
            move |_, _| async move { Ended::answered(processed, Response::new(Full::<Bytes>::from("my own"))) };
        let id = format!("msg_{wanted}");
        assert_eq!(gate.answer(request(&id, "{}"), handler).await.status(), wanted);
    }
}

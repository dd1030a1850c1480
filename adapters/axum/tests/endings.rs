//! How handlers end, and what becomes of the event, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use postrider_axum::{Handled, Later, RawWebhook, Refuse, Rejection, Source, Webhook, WebhookRejection};
use postrider_core::receiver::ReceiverLimits;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use support::*;

type Count = Arc<AtomicUsize>;

#[derive(Deserialize)]
struct Order {
    then: String,
}

/// Does what the event says, and counts.
async fn act(hook: Webhook<Order>, State(count): State<Count>) -> Result<Handled, Rejection> {
    let turn = count.fetch_add(1, Ordering::SeqCst);
    assert_eq!(hook.body(), hook.payload());
    match hook.data().then.as_str() {
        "process" => Ok(Handled::Processed),
        "queue" => Ok(Handled::Queued),
        "later" => Err(Later::after(Duration::from_millis(1500)).because("the shop is closed").into()),
        "fail once" if turn > 0 => Ok(Handled::Processed),
        "fail once" => Ok("x".parse::<u64>().map(|_| Handled::Processed)?),
        "panic once" if turn > 0 => Ok(Handled::Processed),
        "panic once" => panic!("planted"),
        "refuse" => Err(Refuse::because("an order of naught").into()),
        "unsubscribe" => Err(Rejection::Unsubscribed),
        other => panic!("unknown: {other}"),
    }
}

#[tokio::test]
async fn how_it_ends_decides_what_is_answered_and_whether_it_comes_again() {
    let (hooks, heard) = shop(config());
    // What the first and the second request with an event are answered, and how often the handler has run for them.
    for (then, first, second, runs) in [
        ("process", 204, 204, 1),
        ("queue", 202, 202, 1),
        ("later", 503, 503, 2),
        ("fail once", 503, 204, 2),
        ("panic once", 503, 204, 2),
        ("refuse", 400, 400, 1),
        ("unsubscribe", 410, 410, 1),
    ] {
        let count = Count::default();
        let app = Router::new().route("/hooks", hooks.post("shop", act)).with_state(Arc::clone(&count));
        let addr = serve(app).await;
        let id = then.replace(' ', "_");
        let request = signed("/hooks", &id, &format!(r#"{{"then":"{then}"}}"#));
        let answers = [send(addr, &request).await, send(addr, &request).await];
        let told = (status(&answers[0]), status(&answers[1]), count.load(Ordering::SeqCst));
        assert_eq!(told, (first, second, runs), "{then}: {answers:?}");
        let retry_after =
            answers[0].contains(if then == "later" { "retry-after: 2\r\n" } else { "retry-after: 5\r\n" });
        assert_eq!(retry_after, first == 503, "{then}: {answers:?}");
        assert!(answers[0].contains("postrider-key-used: "), "{answers:?}");
        assert!(!answers[0].contains("naught") && !answers[0].contains("invalid"), "{answers:?}");
    }
    let heard = heard.lock().unwrap();
    for wanted in [
        "shop: later: wanted later: the shop is closed",
        "shop: fail_once: wanted later: invalid digit found in string",
        "shop: panic_once: its handler panicked or was dropped",
        "shop: refuse: refused: an order of naught",
    ] {
        assert!(heard.iter().any(|told| told == wanted), "{wanted}: {heard:?}");
    }
}

#[tokio::test]
async fn what_is_no_t_is_refused_and_told() {
    let (hooks, heard) = shop(config());
    let count = Count::default();
    let app = Router::new().route("/hooks", hooks.post("shop", act));
    let app = app.route("/lenient", hooks.post("shop", lenient)).with_state(Arc::clone(&count));
    let addr = serve(app).await;
    for (id, body) in [("msg_1", r#"{"than":"x"}"#), ("msg_2", "then=x"), ("msg_3", "")] {
        for _ in 0..2 {
            assert_eq!(status(&send(addr, &signed("/hooks", id, body)).await), 400, "{body}");
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let told = heard.lock().unwrap().clone();
    assert_eq!(told.len(), 3, "once each: {told:?}");
    assert!(told[0].contains("msg_1: refused, its payload is not what the handler takes: missing field `then`"));
    // Unless the handler says otherwise.
    let request = signed("/lenient", "msg_4", "then=x");
    assert_eq!(status(&send(addr, &request).await), 503);
    assert_eq!(status(&send(addr, &request).await), 503);

    async fn lenient(hook: Result<Webhook<Order>, WebhookRejection>) -> Result<Handled, Later> {
        Ok(hook.map(|_| Handled::Processed)?)
    }
}

#[tokio::test]
async fn plain_answers_are_sent_and_only_success_is_remembered() {
    let (hooks, heard) = shop(config());
    let count = Count::default();
    let app = Router::new().route("/hooks/{status}", hooks.post("shop", plain)).with_state(Arc::clone(&count));
    let addr = serve(app).await;
    for (code, first, second, runs) in
        [(201, 201, 204, 1), (202, 202, 202, 1), (400, 400, 400, 2), (429, 429, 429, 2), (500, 500, 500, 2)]
    {
        count.store(0, Ordering::SeqCst);
        let request = signed(&format!("/hooks/{code}"), &format!("msg_{code}"), "{}");
        let answers = [send(addr, &request).await, send(addr, &request).await];
        let told = (status(&answers[0]), status(&answers[1]), count.load(Ordering::SeqCst));
        assert_eq!(told, (first, second, runs), "{answers:?}");
        assert!(answers[0].contains("x-own: yes\r\n") && body(&answers[0]) == "my own", "{answers:?}");
        assert_eq!(answers[0].contains("retry-after: 7\r\n"), code == 429, "{answers:?}");
    }
    assert!(heard.lock().unwrap().iter().any(|told| told == "shop: msg_500: not handled, 500"));

    async fn plain(Path(code): Path<u16>, State(count): State<Count>, hook: RawWebhook) -> Response {
        count.fetch_add(1, Ordering::SeqCst);
        assert_eq!(&hook.body()[..], b"{}");
        let mut answer = (StatusCode::from_u16(code).unwrap(), [("x-own", "yes")], "my own").into_response();
        if code == 429 {
            answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        }
        answer
    }
}

#[tokio::test]
async fn extractors_get_the_request_and_one_that_fails_leaves_the_event_free() {
    #[derive(Deserialize)]
    struct Page {
        page: u32,
    }
    async fn all(
        hook: Webhook<serde_json::Value>,
        Query(page): Query<Page>,
        headers: HeaderMap,
        body: String,
    ) -> Result<Handled, Refuse> {
        let same = body.as_bytes() == hook.body() && headers["webhook-id"] == hook.webhook_id();
        if same && page.page == 7 && &headers == hook.headers() {
            Ok(Handled::Processed)
        } else {
            Err(Refuse::because("it is not the request"))
        }
    }
    let (hooks, _) = shop(config());
    let addr = serve(Router::new().route("/hooks", hooks.post("shop", all))).await;
    let wrong = send(addr, &signed("/hooks?page=x", "msg_1", "[1]")).await;
    assert!(status(&wrong) == 400 && body(&wrong).contains("query string"), "the rejection's own: {wrong}");
    assert_eq!(status(&send(addr, &signed("/hooks?page=7", "msg_1", "[1]")).await), 204);
}

#[tokio::test]
async fn a_handler_that_takes_too_long_leaves_the_event_free_and_ends_all_the_same() {
    let mut limits = ReceiverLimits::default();
    limits.processing = Duration::from_millis(100);
    let (hooks, heard) = shop(config().limits(limits));
    let (count, go) = (Count::default(), Arc::new(Notify::new()));
    let slow = {
        let (count, go) = (Arc::clone(&count), Arc::clone(&go));
        async move |_: RawWebhook| {
            count.fetch_add(1, Ordering::SeqCst);
            go.notified().await;
            Handled::Processed
        }
    };
    let addr = serve(Router::new().route("/hooks", hooks.post("shop", slow))).await;
    let request = signed("/hooks", "msg_1", "{}");
    assert_eq!(status(&send(addr, &request).await), 503, "in time");
    assert_eq!(status(&send(addr, &request).await), 503, "it came again");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert!(heard.lock().unwrap()[0].contains("not ended in time"));
    go.notify_waiters();
    let mut tries = 0;
    while status(&send(addr, &request).await) != 204 {
        tries += 1;
        assert!(tries < 50, "that it ended late counts");
    }
}

#[tokio::test]
async fn repeats_join_and_a_handler_outlives_its_sender() {
    let (hooks, _) = shop(config());
    let (count, begun, go) = (Count::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (count, begun, go) = (Arc::clone(&count), Arc::clone(&begun), Arc::clone(&go));
        async move |_: RawWebhook| {
            count.fetch_add(1, Ordering::SeqCst);
            begun.notify_one();
            go.notified().await;
            (StatusCode::CREATED, "made")
        }
    };
    let addr = serve(Router::new().route("/hooks", hooks.post("shop", slow))).await;
    for body in ["{}", ""] {
        count.store(0, Ordering::SeqCst);
        let request = signed("/hooks", &format!("msg_{}", body.len()), body);
        let mut first = TcpStream::connect(addr).await.unwrap();
        first.write_all(request.as_bytes()).await.unwrap();
        timeout(PATIENCE, begun.notified()).await.unwrap();
        drop(first);
        let repeats = (0..4).map(|_| {
            let request = request.clone();
            tokio::spawn(async move { send(addr, &request).await })
        });
        let repeats: Vec<_> = repeats.into_iter().collect();
        sleep(Duration::from_millis(50)).await;
        go.notify_one();
        for repeat in repeats {
            assert_eq!(status(&repeat.await.unwrap()), 204, "the machine's answer");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "once: {body:?}");
    }
}

#[tokio::test]
async fn a_webhook_comes_only_from_what_was_verified() {
    async fn taken(_: RawWebhook) {}
    let addr = serve(Router::new().route("/hooks", post(taken))).await;
    let answer = send(addr, &signed("/hooks", "msg_1", "{}")).await;
    assert_eq!((status(&answer), body(&answer)), (500, "nothing was verified here"));
}

#[tokio::test]
async fn no_more_run_at_once_than_was_agreed() {
    let (hooks, _) = shop(Source::new(config()).concurrency(1));
    let go = Arc::new(Notify::new());
    let (begun, wait) = (Arc::new(Notify::new()), Arc::clone(&go));
    let told = Arc::clone(&begun);
    let slow = async move |_: RawWebhook| {
        told.notify_one();
        wait.notified().await;
    };
    let addr = serve(Router::new().route("/hooks", hooks.post("shop", slow))).await;
    let first = tokio::spawn(async move { send(addr, &signed("/hooks", "msg_1", "{}")).await });
    timeout(PATIENCE, begun.notified()).await.unwrap();
    assert_eq!(status(&send(addr, &signed("/hooks", "msg_2", "{}")).await), 503);
    go.notify_one();
    assert_eq!(status(&first.await.unwrap()), 200);
}

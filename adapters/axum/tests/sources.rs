//! Several sources on one router, the questions of providers, and the end, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use postrider_axum::{BuildError, Challenges, Handled, RawWebhook, Receiver, ReceiverConfig, Source};
use postrider_core::registration::consent::{Doorkeeper, Origin};
use postrider_core::signing::{Scheme, Verifier};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use support::*;

type Seen = Arc<Mutex<Vec<String>>>;

async fn note(hook: RawWebhook, State(seen): State<Seen>) -> Handled {
    seen.lock().unwrap().push(format!("{} {}", hook.scheme(), hook.kind().unwrap_or_default()));
    Handled::Processed
}

#[tokio::test]
async fn each_source_has_its_own_keys_and_memory() {
    let seen = Seen::default();
    let hooks = Receiver::builder()
        .source("stripe", Verifier::stripe(["s"]).unwrap())
        .source("github", ReceiverConfig::new(Verifier::github(["g"]).unwrap()))
        .source("a", Verifier::standard([SECRET]).unwrap())
        .source("b", Source::new(config()))
        .build()
        .unwrap();
    assert_eq!(hooks.sources().collect::<Vec<_>>(), ["a", "b", "github", "stripe"]);
    let mut app = Router::new();
    for name in ["stripe", "github", "a", "b"] {
        app = app.route(&format!("/hooks/{name}"), hooks.post(name, note));
    }
    let addr = serve(app.with_state(Arc::clone(&seen))).await;
    let stripe = r#"{"id":"evt_1","type":"invoice.paid"}"#;
    let as_stripe = |path: &str| request(path, Scheme::Stripe, "s", None, stripe);
    assert_eq!(status(&send(addr, &as_stripe("/hooks/stripe")).await), 204);
    assert_eq!(status(&send(addr, &as_stripe("/hooks/stripe")).await), 204);
    assert_eq!(status(&send(addr, &as_stripe("/hooks/github")).await), 400, "its headers are missing");
    let github = request("/hooks/github", Scheme::Github, "g", None, "{}")
        .replace("connection", "x-github-event: push\r\nconnection");
    assert_eq!(status(&send(addr, &github).await), 204);
    let other = request("/hooks/github", Scheme::Github, "other", None, "{ }");
    assert_eq!(status(&send(addr, &other).await), 401);
    // The same event at two sources is two.
    assert_eq!(status(&send(addr, &signed("/hooks/a", "msg_1", "{}")).await), 204);
    assert_eq!(status(&send(addr, &signed("/hooks/b", "msg_1", "{}")).await), 204);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen[..2], ["stripe invoice.paid", "github push"]);
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test]
async fn providers_questions_are_answered_by_the_source() {
    let seen = Seen::default();
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let private = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let door = Doorkeeper::new([Origin::new("sender.example.com").unwrap()]);
    let asked = Challenges::default().verify_tokens(["agreed"]).topics(["https://t.example/"]).consent(door);
    let meta = ReceiverConfig::new(Verifier::meta(["m"]).unwrap());
    let hooks = Receiver::builder()
        .source("slack", Verifier::slack(["s"]).unwrap())
        .source("zoom", Verifier::zoom(["z"]).unwrap())
        .source("discord", Verifier::discord([public]).unwrap())
        .source("meta", Source::new(meta).challenges(asked))
        .build()
        .unwrap();
    let mut app = Router::new();
    for name in ["slack", "zoom", "discord", "meta"] {
        app = app.route(&format!("/{name}"), hooks.post(name, note));
    }
    let addr = serve(app.with_state(Arc::clone(&seen))).await;
    let zoom = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8"}}"#;
    let slack = r#"{"type":"url_verification","challenge":"3eZ"}"#;
    for (path, scheme, secret, question, wanted) in [
        ("/slack", Scheme::Slack, "s", slack, "3eZ"),
        ("/zoom", Scheme::Zoom, "z", zoom, r#"{"plainToken":"qgg8","encryptedToken":""#),
        ("/discord", Scheme::Discord, private, r#"{"type":1}"#, r#"{"type":1}"#),
    ] {
        // The same question again is answered again: it is no event.
        for _ in 0..2 {
            let answer = send(addr, &request(path, scheme, secret, None, question)).await;
            assert!(status(&answer) == 200 && body(&answer).starts_with(wanted), "{path}: {answer}");
        }
        let forged = &"0".repeat(64);
        assert_eq!(status(&send(addr, &request(path, scheme, forged, None, question)).await), 401, "{path}");
        assert!(seen.lock().unwrap().is_empty(), "{path}: a question is no event");
        let event = request(path, scheme, secret, None, r#"{"type":"2","event":"meeting.started"}"#);
        assert_eq!(status(&send(addr, &event).await), 204, "{path}");
        assert_eq!(seen.lock().unwrap().drain(..).count(), 1, "{path}");
    }
    let get = async |query: &str| {
        send(addr, &format!("GET /meta?{query} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")).await
    };
    let meta = get("hub.mode=subscribe&hub.challenge=1158&hub.verify_token=agreed").await;
    assert_eq!((status(&meta), body(&meta)), (200, "1158"));
    assert_eq!(status(&get("hub.mode=subscribe&hub.challenge=1158&hub.verify_token=other").await), 404);
    let hub = "hub.mode=subscribe&hub.challenge=c&hub.lease_seconds=60&hub.topic=https://";
    assert_eq!(body(&get(&format!("{hub}t.example/")).await), "c");
    assert_eq!(status(&get(&format!("{hub}u.example/")).await), 404);
    let plain = get("page=1").await;
    assert!(status(&plain) == 405 && plain.contains("allow: POST\r\n"), "{plain}");
    let options = async |origin: &str| {
        let head = "OPTIONS /meta HTTP/1.1\r\nhost: t\r\nconnection: close\r\nwebhook-request-origin: ";
        send(addr, &format!("{head}{origin}\r\n\r\n")).await
    };
    let consent = options("sender.example.com").await;
    assert!(status(&consent) == 200 && consent.contains("webhook-allowed-origin: sender.example.com\r\n"), "{consent}");
    assert_eq!(status(&options("other.example.com").await), 403);
}

#[tokio::test]
async fn other_methods_of_a_route_can_be_the_applications() {
    let (hooks, _) = shop(config());
    let route = hooks.post("shop", async |_: RawWebhook| Handled::Queued).merge(get(async || "a page"));
    let addr = serve(Router::new().route("/hooks", route)).await;
    let page = send(addr, "GET /hooks HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await;
    assert_eq!((status(&page), body(&page)), (200, "a page"));
    assert_eq!(status(&send(addr, &signed("/hooks", "msg_1", "{}")).await), 202);
    assert_eq!(status(&send(addr, &signed("/hooks", "msg_1", "{}").replace("POST", "PUT")).await), 405);
}

#[tokio::test]
async fn what_is_said_wrongly_is_found_at_the_start() {
    assert_eq!(Receiver::builder().build().unwrap_err(), BuildError::NoSource);
    let twice = Receiver::builder().source("a", config()).source("a", config()).build();
    assert_eq!(twice.unwrap_err().to_string(), "there are two sources `a`; give each a name of its own");
    let (hooks, _) = shop(config());
    let route = tokio::spawn(async move { hooks.post::<_, _, ()>("shpo", async |_: RawWebhook| Handled::Processed) });
    let panic = route.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "there is no source `shpo`; there are: shop");
}

#[test]
fn a_runtime_is_needed() {
    assert_eq!(Receiver::builder().source("a", config()).build().unwrap_err(), BuildError::NoRuntime);
}

#[tokio::test]
async fn closing_answers_what_is_in_progress() {
    let (hooks, _) = shop(config());
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (Arc::clone(&begun), Arc::clone(&go));
    let slow = async move |_: RawWebhook| {
        told.notify_one();
        wait.notified().await;
        Handled::Processed
    };
    let app = Router::new().route("/hooks", hooks.post("shop", slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        axum::serve(listener, app).with_graceful_shutdown(stopped).await
    });
    let first = tokio::spawn(async move { send(addr, &signed("/hooks", "msg_1", "{}")).await });
    timeout(PATIENCE, begun.notified()).await.unwrap();
    let closing = tokio::spawn({
        let hooks = hooks.clone();
        async move { hooks.close().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let refused = send(addr, &signed("/hooks", "msg_2", "{}")).await;
    assert!(status(&refused) == 503 && refused.contains("retry-after: 5\r\n"), "{refused}");
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!closing.is_finished() && !serving.is_finished() && !first.is_finished());
    go.notify_one();
    assert_eq!(status(&first.await.unwrap()), 204);
    timeout(PATIENCE, closing).await.unwrap().unwrap();
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
    timeout(PATIENCE, hooks.close()).await.expect("closing again returns");
}

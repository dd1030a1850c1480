//! A shop that is told by its payment provider what was paid: `cargo run -p postrider-axum --example shop`.
//!
//! It listens on 127.0.0.1:3000 and takes what is signed with the secret below by the Standard Webhooks, as
//! `postrider deliver` sends it, with a payload such as `{"type":"order.paid","data":{"id":1001}}`; GET /payments shows
//! what came of it.
//!
//! Ctrl-C lets it finish what it has begun.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use postrider_axum::{Handled, Receiver, Refuse, Rejection, Webhook};
use postrider_core::signing::Verifier;
use serde::Deserialize;

/// For trying it out. A real one comes from the environment.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the provider sends.
#[derive(Deserialize)]
struct Paid {
    data: Order,
}

#[derive(Deserialize)]
struct Order {
    id: u64,
}

/// A database of sorts. What has had its effect is kept with the effect, since the receiver forgets it when it ends.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    seen: BTreeSet<String>,
    payments: BTreeMap<u64, u32>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hooks = Receiver::builder()
        .source("payments", Verifier::standard([SECRET])?)
        .on_notice(|notice| eprintln!("{notice}"))
        .build()?;
    let app = Router::new()
        .route("/hooks/payments", hooks.post("payments", paid))
        .route("/payments", get(payments))
        .with_state(Shop::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}/hooks/payments", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    hooks.close().await;
    Ok(())
}

/// An order is paid, once.
async fn paid(hook: Webhook<Paid>, State(shop): State<Shop>) -> Result<Handled, Rejection> {
    let order = hook.data().data.id;
    if order == 0 {
        return Err(Refuse::because("there is no order 0").into());
    }
    let mut books = shop.0.lock().unwrap_or_else(PoisonError::into_inner);
    if books.seen.insert(hook.dedup_key().into_owned()) {
        *books.payments.entry(order).or_default() += 1;
        println!("order {order} is paid, says {}", hook.webhook_id());
    }
    Ok(Handled::Processed)
}

async fn payments(State(shop): State<Shop>) -> Json<BTreeMap<u64, u32>> {
    Json(shop.0.lock().unwrap_or_else(PoisonError::into_inner).payments.clone())
}

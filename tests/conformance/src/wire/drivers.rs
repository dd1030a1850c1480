//! A sender of each driver, over its public interface.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use postrider::journal::{Log as _, MemoryLog};
use postrider::{Endpoint, Event, EventId, EventReport, Policy};
use postrider_core::journal::Record;
use serde_json::json;

use super::peer::Peer;
use super::{Ended, Exchange, Script};

/// Attempts of one sender at once.
const TOGETHER: u32 = 128;

/// Threads that speak to the blocking sender.
const HANDS: usize = 64;

/// How long beyond its own time an attempt may take until it counts as hung.
const SLACK: Duration = Duration::from_secs(8);

/// How long the second request may take.
const AGAIN: Duration = Duration::from_secs(2);

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(2);

/// How an attempt ended as its report says, without the body, and how long it took.
type Told = (Ended, Duration);

/// Runs all scripts through the sender of a driver.
pub(super) fn run(driver: &str, peer: &Peer, scripts: &[Script]) -> Result<Vec<Exchange>, String> {
    let log = MemoryLog::keeping();
    let told = match driver {
        "tokio" => tokio(peer, scripts, log.clone())?,
        _ => blocking(peer, scripts, log.clone())?,
    };
    let mut bodies = bodies(log)?;
    let exchange = |(place, (ended, took)): (usize, Told)| {
        let ended = match ended {
            Ended::Reply { status, .. } => {
                Ended::Reply { status, body: bodies.remove(first(place).as_str()).unwrap_or_default() }
            }
            other => other,
        };
        Exchange { ended, took, reused: peer.was_reused(place) }
    };
    Ok(told.into_iter().enumerate().map(exchange).collect())
}

/// The ids of the events of a script.
fn first(place: usize) -> String {
    format!("first-{place}")
}

fn endpoint(peer: &Peer, place: usize, script: &Script) -> Endpoint {
    Endpoint::new(format!("script-{place}"), peer.url(place))
        .events([format!("script.n{place}")])
        .schedule([Duration::ZERO])
        .timeout(script.timeout)
        .keep_answers(true)
}

fn event(place: usize, id: String) -> Result<Event, String> {
    let event = Event::json(format!("script.n{place}"), &json!({ "script": place }));
    Ok(event.map_err(|why| why.to_string())?.id(id))
}

fn id(text: String) -> Result<EventId, String> {
    EventId::new(text).map_err(|why| why.to_string())
}

/// What the report of an event with one delivery and one attempt says.
fn told(report: &EventReport) -> Told {
    match report.deliveries.as_slice() {
        [delivery] if report.settled => {
            let ended = match (delivery.status, delivery.failure) {
                (Some(status), _) => Ended::Reply { status, body: Vec::new() },
                (None, Some(failure)) => Ended::Failed(failure),
                (None, None) => Ended::Odd(delivery.to_string()),
            };
            (ended, delivery.elapsed)
        }
        _ => (Ended::Odd(format!("it has not ended: {report}")), Duration::ZERO),
    }
}

fn odd(why: impl ToString) -> Told {
    (Ended::Odd(why.to_string()), Duration::ZERO)
}

/// Whether the endpoint takes another request now: it does not after a status that closes or holds it.
fn takes_more(told: &Told) -> bool {
    match told.0 {
        Ended::Reply { status, .. } => ![410, 429, 502, 503, 504].contains(&status),
        Ended::Failed(_) => true,
        Ended::Odd(_) => false,
    }
}

fn tokio(peer: &Peer, scripts: &[Script], log: MemoryLog) -> Result<Vec<Told>, String> {
    use ::tokio::time::timeout;
    let runtime = ::tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|why| why.to_string())?;
    let done = runtime.block_on(async {
        let settings = postrider::tokio::Sender::builder().policy(Policy::development()).concurrency(TOGETHER);
        let sender = settings.with_log(log).map_err(|why| why.to_string())?;
        let run = |place: usize, script: &Script| {
            let (sender, endpoint, limit) = (sender.clone(), endpoint(peer, place, script), script.timeout + SLACK);
            async move {
                let one = async |id: String, limit: Duration| -> Result<Told, String> {
                    let receipt = sender.publish(event(place, id)?).await.map_err(|why| why.to_string())?;
                    let settled = timeout(limit, sender.settled(receipt.event())).await;
                    let report = settled.map_err(|_| format!("it has not ended within {limit:?}"))?;
                    Ok(told(&report.map_err(|why| why.to_string())?))
                };
                if let Err(why) = sender.put(endpoint).await {
                    return odd(why);
                }
                let told = one(first(place), limit).await.unwrap_or_else(odd);
                if takes_more(&told) {
                    // What counts is where its request goes, and the peer sees that.
                    let _ = one(format!("second-{place}"), AGAIN).await;
                }
                told
            }
        };
        let running: Vec<_> =
            scripts.iter().enumerate().map(|(place, script)| ::tokio::spawn(run(place, script))).collect();
        let mut all = Vec::new();
        for task in running {
            all.push(task.await.unwrap_or_else(odd));
        }
        sender.close(CLOSING).await.map_err(|why| why.to_string())?;
        Ok(all)
    });
    runtime.shutdown_background();
    done
}

fn blocking(peer: &Peer, scripts: &[Script], log: MemoryLog) -> Result<Vec<Told>, String> {
    let settings = postrider::blocking::Sender::builder().policy(Policy::development()).concurrency(TOGETHER);
    let sender = settings.with_log(log).map_err(|why| why.to_string())?;
    let one = |place: usize, name: String, limit: Duration| -> Result<Told, String> {
        let id = id(name.clone())?;
        sender.publish(event(place, name)?).map_err(|why| why.to_string())?;
        Ok(told(&sender.settled_within(&id, limit).map_err(|why| why.to_string())?))
    };
    let run = |place: usize| {
        let script = &scripts[place];
        if let Err(why) = sender.put(endpoint(peer, place, script)) {
            return odd(why);
        }
        let told = one(place, first(place), script.timeout + SLACK).unwrap_or_else(odd);
        if takes_more(&told) {
            let _ = one(place, format!("second-{place}"), AGAIN);
        }
        told
    };
    let (next, all) = (AtomicUsize::new(0), Mutex::new(vec![odd("it was not run"); scripts.len()]));
    thread::scope(|scope| {
        for _ in 0..HANDS.min(scripts.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= scripts.len() {
                        return;
                    }
                    let told = run(place);
                    all.lock().unwrap_or_else(PoisonError::into_inner)[place] = told;
                }
            });
        }
    });
    sender.close(CLOSING).map_err(|why| why.to_string())?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What was kept of the answers, by the id of the event.
fn bodies(mut log: MemoryLog) -> Result<HashMap<Arc<str>, Vec<u8>>, String> {
    let (mut ids, mut bodies) = (HashMap::new(), HashMap::new());
    for record in log.records() {
        match record.map_err(|why| why.to_string())? {
            (seq, Record::Accepted(accepted)) => {
                ids.insert(seq, Arc::<str>::from(accepted.id.as_str()));
            }
            (_, Record::Outcome(outcome)) => {
                if let (Some(id), Some(answer)) = (ids.get(&outcome.event), outcome.answer) {
                    bodies.insert(Arc::clone(id), answer.to_vec());
                }
            }
            _ => {}
        }
    }
    Ok(bodies)
}

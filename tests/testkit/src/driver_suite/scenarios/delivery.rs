//! Honest peers: what is sent, how often, and over which connections.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use postrider_core::sender::{Fate, USER_AGENT};
use postrider_core::signing::standard::Verifier;

use crate::driver_suite::peer::Peer;
use crate::driver_suite::rig::{self, Rig, endpoint};
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("request-is-exact", request_is_exact),
    Scenario::new("large-body-arrives-whole", large_body_arrives_whole),
    Scenario::new("retry-then-delivered", retry_then_delivered).alone(),
    Scenario::new("response-byte-by-byte", response_byte_by_byte),
    Scenario::new("many-events-many-ends", many_events_many_ends),
];

pub(super) const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
pub(super) const FAILED: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// Header lines of the request in this scenario. `connection` may be there too.
const LINES: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "user-agent",
    "accept-encoding",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "postrider-attempt",
    "x-shop",
    "connection",
];

fn request_is_exact(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(NO_CONTENT);
    let url = format!("http://127.0.0.1:{}/hooks/in%20box?tenant=a%2Fb&x", peer.port());
    rig.put(endpoint("exact", &url).header("x-shop", "one, two"))?;
    rig.publish("exact", "exact")?;
    let delivery = rig.delivered("exact")?;
    ensure!(delivery.status == Some(204), "the status must be 204: {delivery}");
    ensure!(delivery.attempts == 1, "one attempt is enough: {delivery}");

    let seen = peer.seen().now();
    let [request] = seen.requests.as_slice() else {
        return Err(format!("one request must arrive, not {}", seen.requests.len()));
    };
    let line = "POST /hooks/in%20box?tenant=a%2Fb&x HTTP/1.1";
    ensure!(request.line == line, "the request line must be {line:?}, not {:?}", request.line);
    let text = |name: &str| request.one(name).map(|value| String::from_utf8_lossy(value).into_owned());
    for (name, value) in [
        ("host", format!("127.0.0.1:{}", peer.port())),
        ("content-length", request.body.len().to_string()),
        ("content-type", "application/json".to_string()),
        ("user-agent", USER_AGENT.to_string()),
        ("accept-encoding", "identity".to_string()),
        ("webhook-id", "exact".to_string()),
        ("postrider-attempt", "1".to_string()),
        ("x-shop", "one, two".to_string()),
    ] {
        let is = text(name)?;
        ensure!(is == value, "the header {name} must be {value:?}, not {is:?}");
    }
    let names: BTreeSet<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let foreign: Vec<_> = names.iter().filter(|name| !LINES.contains(&name.as_str())).collect();
    ensure!(foreign.is_empty(), "the driver adds headers: {foreign:?}");

    let verifier = Verifier::new([&rig::secret()]).map_err(|why| why.to_string())?;
    let verified = verifier.verify(&request.headers, &request.body, rig::wall()).map_err(|why| why.to_string())?;
    let skew = rig::wall().as_secs().abs_diff(verified.timestamp().as_secs());
    ensure!(skew <= 3, "the timestamp is {skew} s from the real time: is `wall` the real time?");
    let body: serde_json::Value = serde_json::from_slice(&request.body).map_err(|why| why.to_string())?;
    ensure!(body["type"] == "suite.exact", "the body must be the envelope: {body}");
    ensure!(body["data"]["text"] == "Grüße, \"world\"", "the body must carry the data: {body}");
    Ok(String::new())
}

/// The peer does not read for a while, so that a write is likely to be accepted in part.
fn large_body_arrives_whole(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        thread::sleep(Duration::from_millis(150));
        conn.request()?;
        conn.answer(NO_CONTENT)
    });
    rig.put(endpoint("large", &peer.url()))?;
    let data: Vec<u32> = (0..36_000).collect();
    let event = postrider_core::event::Event::json("suite.large", &data).map_err(|why| why.to_string())?.id("large");
    rig.ask(move |machine, now| machine.publish(now, event).map(drop).map_err(|why| why.to_string()))??;
    rig.delivered("large")?;
    let seen = peer.seen().now();
    let request = seen.requests.first().ok_or("the request must arrive")?;
    let body: serde_json::Value = serde_json::from_slice(&request.body).map_err(|why| why.to_string())?;
    ensure!(body["data"] == serde_json::json!(data), "the body came mangled");
    Ok(format!("{} bytes", request.body.len()))
}

/// Only the driver's own timer makes the second attempt: nobody speaks to it meanwhile.
fn retry_then_delivered(rig: &mut Rig) -> Outcome {
    let delay = Duration::from_millis(120);
    let peer = Peer::start(|conn| {
        loop {
            conn.request()?;
            let first = conn.seen().now().requests.len() == 1;
            conn.answer(if first { FAILED } else { NO_CONTENT })?;
        }
    });
    rig.put(endpoint("again", &peer.url()).schedule([Duration::ZERO, delay]))?;
    rig.publish("again", "again")?;
    let came = peer.seen().wait(delay * 2 + rig::SLACK, |state| state.requests.len() == 2);
    ensure!(came, "the second attempt did not come: does the driver sleep beyond `Wake::At`?");
    let delivery = rig.delivered("again")?;
    ensure!(delivery.attempts == 2, "two attempts make it: {delivery}");
    let seen = peer.seen().now();
    let [first, second] = seen.requests.as_slice() else {
        return Err(format!("two requests must arrive, not {}", seen.requests.len()));
    };
    let gap = second.at.saturating_duration_since(first.at);
    ensure!(gap >= delay, "the second attempt came after {gap:?}, before its delay of {delay:?}");
    ensure!(first.one("webhook-id")? == second.one("webhook-id")?, "both attempts must carry the same id");
    ensure!(first.body == second.body, "both attempts must carry the same body");
    ensure!(second.one("postrider-attempt")? == b"2", "the second attempt must say so");
    Ok(format!("delay {delay:?}, seen after {gap:.0?}"))
}

fn response_byte_by_byte(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        loop {
            conn.request()?;
            conn.answer(b"")?;
            conn.drip(OK, Duration::from_millis(2))?;
        }
    });
    rig.put(endpoint("bytes", &peer.url()))?;
    for id in ["bytes-1", "bytes-2"] {
        rig.publish(id, "bytes")?;
        rig.delivered(id)?;
    }
    let connections = peer.seen().now().connections;
    ensure!(connections == 1, "a response that comes slowly is no reason for {connections} connections");
    Ok(String::new())
}

/// Every kind of end at once. Each attempt is counted where it starts, where it arrives and where it ends.
fn many_events_many_ends(rig: &mut Rig) -> Outcome {
    const EVENTS: usize = 12;
    let peer = Peer::start(|conn| {
        loop {
            conn.request()?;
            let turn = conn.seen().now().requests.len();
            match turn % 5 {
                0 => conn.answer(FAILED)?,
                1 => return conn.answer(b"HTTP/1.1 200 OK\r\ncont"),
                2 => conn.answer(OK)?,
                3 => return Ok(()),
                _ => drop(conn.hold(Duration::from_secs(1))?),
            }
        }
    });
    let schedule = [0, 10, 10, 10, 10, 10, 10, 10].map(Duration::from_millis);
    let patient = endpoint("many", &peer.url()).schedule(schedule).timeout(Duration::from_millis(120)).concurrency(8);
    rig.put(patient)?;
    let ids: Vec<String> = (0..EVENTS).map(|n| format!("many-{n}")).collect();
    for id in &ids {
        rig.publish(id, "many")?;
    }
    let mut attempts = 0;
    for id in &ids {
        let delivery = rig.settled(id)?;
        let over = matches!(delivery.fate, Fate::Delivered | Fate::Exhausted);
        ensure!(over, "{id} must be delivered or exhausted: {delivery}");
        attempts += u64::from(delivery.attempts);
    }
    let (stats, arrived) = (rig.stats()?, peer.seen().now().requests.len());
    ensure!(stats.attempts == attempts, "{} attempts were started and {attempts} have ended", stats.attempts);
    ensure!(stats.attempts >= arrived as u64, "{arrived} requests came of {} attempts", stats.attempts);
    Ok(format!("{attempts} attempts, {arrived} requests, {} delivered", stats.tally.delivered))
}

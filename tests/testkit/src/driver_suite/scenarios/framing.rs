//! Where one response ends and the next begins: when a connection may be used again.

use std::thread;
use std::time::Duration;

use postrider_core::response::TransportError;
use postrider_core::sender::Fate;

use super::delivery::{NO_CONTENT, OK};
use crate::driver_suite::peer::Peer;
use crate::driver_suite::rig::{Rig, endpoint};
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("connection-is-used-again", connection_is_used_again),
    Scenario::new("connection-close-is-honoured", connection_close_is_honoured),
    Scenario::new("no-reuse-between-endpoints", no_reuse_between_endpoints),
    Scenario::new("no-reuse-after-surplus-bytes", no_reuse_after_surplus_bytes),
    Scenario::new("no-reuse-after-unasked-response", no_reuse_after_unasked_response),
    Scenario::new("no-reuse-after-bad-length", no_reuse_after_bad_length),
    Scenario::new("idle-connection-closed-by-peer", idle_connection_closed_by_peer),
    Scenario::new("chunked-response", chunked_response),
];

/// Delivers two events one after the other, and says on which connection each came.
fn two(rig: &Rig, name: &str, peer: &Peer) -> Result<(usize, usize), String> {
    rig.put(endpoint(name, &peer.url()))?;
    for n in 1..=2 {
        let id = format!("{name}-{n}");
        rig.publish(&id, name)?;
        rig.delivered(&id)?;
    }
    let seen = peer.seen().now();
    match seen.requests.as_slice() {
        [first, second] => Ok((first.connection, second.connection)),
        other => Err(format!("{name}: two requests must arrive, not {}", other.len())),
    }
}

fn connection_is_used_again(rig: &mut Rig) -> Outcome {
    for (name, response) in [("with-length", OK), ("no-content", NO_CONTENT)] {
        let peer = Peer::answering(response);
        let on = two(rig, name, &peer)?;
        ensure!(on == (0, 0), "{name}: both requests must come on one connection, not on {on:?}");
    }
    Ok(String::new())
}

fn connection_close_is_honoured(rig: &mut Rig) -> Outcome {
    for (name, response) in [
        ("close", &b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 2\r\n\r\nok"[..]),
        ("http-1-0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ] {
        let peer = Peer::answering(response);
        let on = two(rig, name, &peer)?;
        ensure!(on == (0, 1), "{name}: each request must come on a connection of its own, not on {on:?}");
        let closed = peer.seen().wait(Duration::from_millis(500), |state| state.closed.len() == 2);
        ensure!(closed, "{name}: the driver must close the connections that it does not keep");
    }
    Ok(String::new())
}

fn no_reuse_between_endpoints(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(OK);
    for name in ["mine", "yours"] {
        rig.send(name, &peer.url())?;
        rig.delivered(name)?;
    }
    let connections = peer.seen().now().connections;
    ensure!(connections == 2, "two endpoints must not share a connection, but there was {connections}");
    Ok(String::new())
}

/// A second response right behind the first, before anything was asked. Whoever used the connection again would take
/// it for the answer to the next request.
fn no_reuse_after_surplus_bytes(rig: &mut Rig) -> Outcome {
    let peer =
        Peer::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let on = two(rig, "surplus", &peer)?;
    ensure!(on == (0, 1), "a connection with unread bytes was used again: requests came on {on:?}");
    Ok(String::new())
}

/// The same, while the connection is idle.
fn no_reuse_after_unasked_response(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        loop {
            conn.request()?;
            conn.answer(OK)?;
            if conn.number == 0 {
                thread::sleep(Duration::from_millis(60));
                conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            }
        }
    });
    rig.put(endpoint("unasked", &peer.url()))?;
    rig.publish("unasked-1", "unasked")?;
    rig.delivered("unasked-1")?;
    thread::sleep(Duration::from_millis(250));
    rig.publish("unasked-2", "unasked")?;
    rig.delivered("unasked-2")?;
    let seen = peer.seen().now();
    let on: Vec<usize> = seen.requests.iter().map(|request| request.connection).collect();
    ensure!(on == [0, 1], "a response that nobody asked for was taken for an answer: requests came on {on:?}");
    Ok(String::new())
}

/// Nobody knows where these end. The status may count, or the head may be refused; the connection is over either way.
fn no_reuse_after_bad_length(rig: &mut Rig) -> Outcome {
    for (name, lines) in [
        ("two-lengths", "content-length: 2\r\ncontent-length: 3"),
        ("negative", "content-length: -2"),
        ("huge", "content-length: 99999999999999999999999"),
        ("words", "content-length: two"),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nok");
        let peer = Peer::start(move |conn| {
            conn.request()?;
            conn.answer(response.as_bytes())?;
            conn.request()
        });
        // At most this long, where a driver waits for bytes that never come.
        rig.put(endpoint(name, &peer.url()).timeout(Duration::from_millis(250)))?;
        for n in 1..=2 {
            let delivery = rig.deliver(&format!("{name}-{n}"), name)?;
            let fair = delivery.fate == Fate::Delivered || delivery.failure == Some(TransportError::MalformedHead);
            ensure!(fair, "{name}: the status counts or the head is malformed: {delivery}");
        }
        let connections = peer.seen().now().connections;
        ensure!(connections == 2, "{name}: a connection of which nobody knows the state was used again");
    }
    Ok(String::new())
}

/// The peer closes while the connection is idle; that must not cost the delivery.
fn idle_connection_closed_by_peer(rig: &mut Rig) -> Outcome {
    let peer = Peer::closing(OK.to_vec());
    rig.put(endpoint("idle", &peer.url()).schedule([Duration::ZERO, Duration::from_millis(10)]))?;
    rig.publish("idle-1", "idle")?;
    rig.delivered("idle-1")?;
    thread::sleep(Duration::from_millis(100));
    rig.publish("idle-2", "idle")?;
    let delivery = rig.delivered("idle-2")?;
    Ok(format!("delivered at attempt {}", delivery.attempts))
}

/// Reuse is allowed and not asked for, but whatever follows must be answered rightly.
fn chunked_response(rig: &mut Rig) -> Outcome {
    let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\nyes\r\n0\r\n\r\n";
    let peer = Peer::answering(whole);
    let on = two(rig, "chunked", &peer)?;
    for (name, chunks) in [
        ("bad-size", "zz\r\nok\r\n0\r\n\r\n"),
        ("cut-short", "5\r\nok"),
        ("no-end", "2\r\nok\r\n"),
        ("huge-size", "fffffffffffffffff\r\nok"),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let peer = Peer::closing(response.into_bytes());
        rig.send(name, &peer.url())?;
        rig.delivered(name)?;
    }
    Ok(if on == (0, 0) { "used again".to_string() } else { "not used again, which is allowed".to_string() })
}

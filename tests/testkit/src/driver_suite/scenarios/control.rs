//! What the machine says must happen: aborts, credit, commands, close.

use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::EndpointKey;
use postrider_core::sender::{Close, Fate, Input, Sender};

use super::delivery::NO_CONTENT;
use crate::driver_suite::peer::{Deaf, Peer};
use crate::driver_suite::rig::{Rig, SLACK, endpoint};
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("commands-wake-the-driver", commands_wake_the_driver).alone(),
    Scenario::new("abort-closes-the-socket", abort_closes_the_socket).alone(),
    Scenario::new("abort-while-connecting", abort_while_connecting).alone(),
    Scenario::new("abort-in-the-body", abort_in_the_body).alone(),
    Scenario::new("credit-is-respected", credit_is_respected).alone(),
    Scenario::new("close-drain-lets-finish", close_drain_lets_finish).alone(),
    Scenario::new("close-now-ends-at-once", close_now_ends_at_once).alone(),
];

/// Within this time the driver must have carried out a command or an abort.
const PROMPT: Duration = Duration::from_millis(100);

/// A peer that reads requests and keeps whoever sent them waiting.
fn holding() -> Peer {
    Peer::start(|conn| {
        conn.request()?;
        conn.hold(Duration::from_secs(2)).map(drop)
    })
}

fn commands_wake_the_driver(rig: &mut Rig) -> Outcome {
    let mut waits = Vec::new();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(60));
        let start = Instant::now();
        rig.ask(|_, _| ())?;
        waits.push(start.elapsed());
    }
    waits.sort();
    let middle = waits[waits.len() / 2];
    ensure!(middle <= PROMPT, "commands wait for {middle:?}; at most {PROMPT:?} is allowed");
    Ok(format!("{middle:.1?}"))
}

/// Removes an endpoint while an attempt of it is in flight, and says when.
fn remove(rig: &Rig, name: &str) -> Result<Instant, String> {
    let key = EndpointKey::new(name).map_err(|why| why.to_string())?;
    let remove = move |machine: &mut Sender, now| machine.remove(now, &key).map(|_| Instant::now());
    rig.ask(remove)?.map_err(|why| why.to_string())
}

/// The peer must see the end soon, and the slot must be free. Says how soon.
fn ends_soon(rig: &Rig, peer: &Peer, removed: Instant) -> Outcome {
    peer.seen().wait(PROMPT + SLACK, |state| !state.closed.is_empty());
    let Some(closed) = peer.seen().now().closed.first().copied() else {
        return Err(format!("the peer saw no end within {:?} after the abort", PROMPT + SLACK));
    };
    rig.quiet(PROMPT)?;
    Ok(format!("peer saw the end after {:.1?}", closed.saturating_duration_since(removed)))
}

fn abort_closes_the_socket(rig: &mut Rig) -> Outcome {
    let peer = holding();
    rig.send("gone", &peer.url())?;
    ensure!(peer.seen().wait(Duration::from_secs(1), |state| state.busy == 1), "the request must arrive");
    let note = ends_soon(rig, &peer, remove(rig, "gone")?)?;
    let fate = rig.settled("gone")?.fate;
    ensure!(fate == Fate::Discarded, "the delivery must be discarded, not {fate}");
    Ok(note)
}

fn abort_while_connecting(rig: &mut Rig) -> Outcome {
    let deaf = Deaf::new().map_err(|why| why.to_string())?;
    rig.send("deaf", &deaf.url())?;
    thread::sleep(Duration::from_millis(50));
    let removed = remove(rig, "deaf")?;
    rig.quiet(PROMPT + SLACK)?;
    Ok(format!("reported after {:.1?}", removed.elapsed()))
}

fn abort_in_the_body(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.request()?;
        conn.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc")?;
        conn.hold(Duration::from_secs(2)).map(drop)
    });
    rig.send("body", &peer.url())?;
    ensure!(peer.seen().wait(Duration::from_secs(1), |state| state.requests.len() == 1), "the request must arrive");
    thread::sleep(Duration::from_millis(50));
    ends_soon(rig, &peer, remove(rig, "body")?)
}

/// One event for eight endpoints, carried three at a time.
fn credit_is_respected(rig: &mut Rig) -> Outcome {
    const CREDIT: u32 = 3;
    let peer = Peer::start(|conn| {
        loop {
            conn.request()?;
            thread::sleep(Duration::from_millis(120));
            conn.answer(NO_CONTENT)?;
        }
    });
    rig.ask(|machine, now| machine.handle(now, Input::Credit(CREDIT)))?;
    for n in 0..8 {
        rig.put(endpoint(&format!("one-of-eight-{n}"), &peer.url()).events(["suite.eight"]))?;
    }
    rig.publish("eight", "eight")?;
    let all = peer.seen().wait(Duration::from_secs(3), |state| state.requests.len() == 8 && state.busy == 0);
    let most = peer.seen().now().most_busy;
    let came = peer.seen().now().requests.len();
    ensure!(all, "8 requests must come and be answered, not {came}");
    ensure!(most <= CREDIT as usize, "{most} requests were in flight at once with a credit of {CREDIT}");
    ensure!(most > 1, "the driver carries one request at a time, though it has a credit of {CREDIT}");
    thread::sleep(Duration::from_millis(50));
    let report = rig.report("eight")?;
    ensure!(report.tally.delivered == 8, "all 8 must be delivered: {report}");
    Ok(format!("at most {most} at once"))
}

fn close_drain_lets_finish(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.request()?;
        thread::sleep(Duration::from_millis(300));
        conn.answer(NO_CONTENT)?;
        conn.hold(Duration::from_secs(1)).map(drop)
    });
    rig.send("last", &peer.url())?;
    ensure!(peer.seen().wait(Duration::from_secs(1), |state| state.busy == 1), "the request must arrive");
    rig.close(Close::Drain)?;
    let closed = Instant::now();
    let machine = rig.returned(Duration::from_millis(300) + SLACK * 2)?;
    let delivered = machine.stats().tally.delivered;
    ensure!(delivered == 1, "the attempt in flight must be let finish: {:?}", machine.stats());
    Ok(format!("returned after {:.0?}", closed.elapsed()))
}

fn close_now_ends_at_once(rig: &mut Rig) -> Outcome {
    let peer = holding();
    rig.send("cut", &peer.url())?;
    ensure!(peer.seen().wait(Duration::from_secs(1), |state| state.busy == 1), "the request must arrive");
    rig.close(Close::Now)?;
    let closed = Instant::now();
    let delivered = rig.returned(SLACK * 2)?.stats().tally.delivered;
    let took = closed.elapsed();
    ensure!(delivered == 0, "nothing was delivered, and that must not be claimed");
    let end = peer.seen().wait(SLACK, |state| !state.closed.is_empty());
    ensure!(end, "the driver returned and left a socket open");
    Ok(format!("returned after {took:.0?}"))
}

//! One deadline over everything, and sleep between. In these nobody wakes the driver while time is measured.

use std::thread;
use std::time::Duration;

use postrider_core::response::{Phase, TransportError};
use postrider_core::sender::{DeliveryReport, Fate};

use super::delivery::FAILED;
use crate::driver_suite::peer::{Deaf, Peer};
use crate::driver_suite::rig::{Rig, SLACK, endpoint};
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("deadline-silent-peer", silent_peer).alone(),
    Scenario::new("deadline-dripping-head", dripping_head).alone(),
    Scenario::new("deadline-dripping-interim", dripping_interim).alone(),
    Scenario::new("deadline-dripping-body", dripping_body).alone(),
    Scenario::new("deadline-never-accepts", never_accepts).alone(),
    Scenario::new("idle-sleeps", idle_sleeps).alone(),
];

const TIMEOUT: Duration = Duration::from_millis(300);

/// One attempt at a peer that costs all the time there is. Asks once, afterwards: what the driver has not noticed by
/// itself by then is too late.
fn at_the_deadline(rig: &Rig, url: &str) -> Result<DeliveryReport, String> {
    rig.put(endpoint("late", url).timeout(TIMEOUT))?;
    rig.publish("late", "late")?;
    thread::sleep(TIMEOUT + SLACK);
    let delivery = rig.now_settled("late")?;
    let elapsed = delivery.elapsed;
    ensure!(elapsed <= TIMEOUT + SLACK, "it took {elapsed:?} with a deadline of {TIMEOUT:?}");
    Ok(delivery)
}

/// The attempt must fail by its deadline, in one of these phases.
fn times_out(rig: &Rig, url: &str, phases: &[Phase]) -> Outcome {
    let DeliveryReport { failure, elapsed, .. } = at_the_deadline(rig, url)?;
    let fair = matches!(failure, Some(TransportError::TimedOut(phase)) if phases.contains(&phase));
    ensure!(fair, "it must fail as TimedOut in one of {phases:?}, not {failure:?}");
    ensure!(elapsed >= TIMEOUT, "it gave up after {elapsed:?}, before its deadline of {TIMEOUT:?}");
    Ok(format!("{elapsed:.0?} of {TIMEOUT:?}"))
}

fn silent_peer(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.request()?;
        conn.hold(Duration::from_secs(2)).map(drop)
    });
    let note = times_out(rig, &peer.url(), &[Phase::Head])?;
    ensure!(!peer.seen().now().closed.is_empty(), "the connection must be closed at the deadline");
    Ok(note)
}

fn dripping_head(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.request()?;
        conn.drip(b"HTTP/1.1 200 OK\r\n", Duration::from_millis(5))?;
        conn.drip(&[b'a'; 100], Duration::from_millis(20))
    });
    times_out(rig, &peer.url(), &[Phase::Head])
}

/// Interim responses are no reason to wait longer.
fn dripping_interim(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.request()?;
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(90));
            conn.write(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        }
        conn.hold(Duration::from_secs(2)).map(drop)
    });
    times_out(rig, &peer.url(), &[Phase::Head])
}

/// The head has come, so the status decides, at the deadline at the latest.
fn dripping_body(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.request()?;
        conn.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
        conn.drip(&[b'a'; 100], Duration::from_millis(20))
    });
    let delivery = at_the_deadline(rig, &peer.url())?;
    ensure!(delivery.fate == Fate::Delivered, "the head said 200: {delivery}");
    Ok(format!("{:.0?} of {TIMEOUT:?}", delivery.elapsed))
}

fn never_accepts(rig: &mut Rig) -> Outcome {
    let deaf = Deaf::new().map_err(|why| why.to_string())?;
    times_out(rig, &deaf.url(), &[Phase::Connect])
}

/// A retry is an hour away and a connection is idle. Nothing is to be done, so nothing should be.
fn idle_sleeps(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(FAILED);
    rig.put(endpoint("far", &peer.url()).schedule([Duration::ZERO, Duration::from_secs(3600)]))?;
    rig.publish("far", "far")?;
    ensure!(peer.seen().wait(Duration::from_secs(1), |state| state.requests.len() == 1), "the request must arrive");
    thread::sleep(Duration::from_millis(150));
    let before = rig.stats()?.waits;
    let time = Duration::from_secs(2);
    thread::sleep(time);
    // Asking is a turn of its own, and what it found out is told before the next sleep.
    let turns = (rig.stats()?.waits - before).saturating_sub(2);
    ensure!(turns <= 4, "the driver came by {turns} times in {time:?}, though there was nothing to do");
    Ok(format!("{turns} turns in {time:?}"))
}

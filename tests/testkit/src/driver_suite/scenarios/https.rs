//! TLS: nothing is sent to whoever cannot prove the name.

use std::time::Duration;

use postrider_core::response::{Phase, TransportError};

use super::delivery::OK;
use crate::driver_suite::peer::Peer;
use crate::driver_suite::rig::{Rig, endpoint};
use crate::driver_suite::tls::{Papers, server};
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("tls-good-certificate", good_certificate).tls(),
    Scenario::new("tls-untrusted", untrusted).tls(),
    Scenario::new("tls-wrong-name", wrong_name).tls(),
    Scenario::new("tls-expired", expired).tls(),
    Scenario::new("tls-silent-handshake", silent_handshake).tls().alone(),
    Scenario::new("https-to-a-plain-peer", https_to_a_plain_peer),
];

fn peer(papers: Papers) -> Peer {
    Peer::tls(server(papers), |conn| {
        loop {
            conn.request()?;
            conn.answer(OK)?;
        }
    })
}

fn good_certificate(rig: &mut Rig) -> Outcome {
    let peer = peer(Papers::Good);
    for (name, url) in [("address", peer.url()), ("name", peer.named_url())] {
        rig.put(endpoint(name, &url))?;
        for n in 1..=2 {
            let id = format!("{name}-{n}");
            rig.publish(&id, name)?;
            rig.delivered(&id)?;
        }
    }
    let seen = peer.seen().now();
    let on: Vec<usize> = seen.requests.iter().map(|request| request.connection).collect();
    let reused = matches!(on.as_slice(), [a, b, c, d] if a == b && c == d && a != c);
    ensure!(reused, "each endpoint must keep its own connection: requests came on {on:?}");
    Ok(String::new())
}

fn refused(rig: &Rig, papers: Papers, expected: TransportError) -> Outcome {
    let peer = peer(papers);
    rig.send("refused", &peer.url())?;
    let why = rig.failed("refused")?;
    ensure!(why == expected, "it must fail as {expected:?}, not {why:?}");
    let sent = peer.seen().now().requests.len();
    ensure!(sent == 0, "a request was sent to a peer that could not prove its name");
    Ok(String::new())
}

fn untrusted(rig: &mut Rig) -> Outcome {
    refused(rig, Papers::SelfSigned, TransportError::TlsUntrusted)
}

fn wrong_name(rig: &mut Rig) -> Outcome {
    refused(rig, Papers::OtherName, TransportError::TlsWrongName)
}

fn expired(rig: &mut Rig) -> Outcome {
    refused(rig, Papers::Expired, TransportError::TlsExpired)
}

fn silent_handshake(rig: &mut Rig) -> Outcome {
    let timeout = Duration::from_millis(250);
    let peer = Peer::start(|conn| conn.hold(Duration::from_secs(2)).map(drop));
    let url = peer.url().replace("http:", "https:");
    rig.put(endpoint("silent", &url).timeout(timeout))?;
    rig.publish("silent", "silent")?;
    let why = rig.failed("silent")?;
    let expected = TransportError::TimedOut(Phase::Tls);
    ensure!(why == expected, "it must fail as {expected:?}, not {why:?}");
    Ok(String::new())
}

/// Also judged of drivers without TLS: they must say that it failed, and send nothing in clear.
fn https_to_a_plain_peer(rig: &mut Rig) -> Outcome {
    let peer = Peer::start(|conn| {
        conn.write(OK)?;
        conn.request()
    });
    rig.send("plain", &peer.url().replace("http:", "https:"))?;
    let why = rig.failed("plain")?;
    ensure!(why == TransportError::TlsFailed, "it must fail as TlsFailed, not {why:?}");
    let sent = peer.seen().now().requests.len();
    ensure!(sent == 0, "a request to https was sent in clear");
    Ok(String::new())
}

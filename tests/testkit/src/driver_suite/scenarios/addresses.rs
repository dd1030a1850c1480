//! What may be dialled: every address is asked about, and nothing else is connected to.

use std::net::{IpAddr, ToSocketAddrs};

use postrider_core::registration::{Cidr, Policy, Target};
use postrider_core::response::{Denial, TransportError};
use postrider_core::sender::Fate;

use super::delivery::NO_CONTENT;
use crate::driver_suite::peer::{Peer, Refusing};
use crate::driver_suite::rig::Rig;
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("name-is-looked-up", name_is_looked_up),
    Scenario::new("name-under-allow-list", name_under_allow_list).policy(loopback_v4_only),
    Scenario::new("denied-is-not-dialled", denied_is_not_dialled).policy(nothing_on_loopback),
    Scenario::new("connection-refused", connection_refused),
    Scenario::new("unknown-name", unknown_name),
];

fn network(first: [u8; 4], prefix: u8) -> Cidr {
    Cidr::new(IpAddr::from(first), prefix).expect("these are networks")
}

fn loopback_v4_only() -> Policy {
    Policy::default().allow_http().allow(network([127, 0, 0, 0], 8)).expect("one network fits")
}

/// A list that makes `localhost` a name that may be registered, and allows none of its addresses.
fn nothing_on_loopback() -> Policy {
    Policy::default().allow_http().allow(network([10, 77, 0, 0], 16)).expect("one network fits")
}

/// The peer listens on 127.0.0.1 only; where the name has `::1` too, that one refuses and the next is tried.
fn name_is_looked_up(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(NO_CONTENT);
    rig.send("name", &peer.named_url())?;
    rig.delivered("name")?;
    let seen = peer.seen().now();
    let host = seen.requests.first().ok_or("the request must arrive")?.one("host")?;
    let expected = format!("localhost:{}", peer.port());
    ensure!(host == expected.as_bytes(), "the host must be {expected}, not {}", host.escape_ascii());
    Ok(String::new())
}

/// With a list every address of such a name must be in it. What that means for this machine's `localhost`, the policy
/// itself says.
fn name_under_allow_list(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(NO_CONTENT);
    let (policy, url) = (loopback_v4_only(), peer.named_url());
    let found = ("localhost", peer.port()).to_socket_addrs().map_err(|why| format!("no localhost here: {why}"))?;
    let found: Vec<IpAddr> = found.map(|addr| addr.ip()).collect();
    let target = Target::parse(&url, &policy).map_err(|why| why.to_string())?;
    rig.send("listed", &url)?;
    let delivery = rig.settled("listed")?;
    let connections = peer.seen().now().connections;
    if policy.vet(&target, &found).is_ok() {
        ensure!(delivery.fate == Fate::Delivered, "{found:?} are all allowed: {delivery}");
    } else {
        ensure!(delivery.fate == Fate::Refused, "of {found:?} some are not allowed: {delivery}");
        ensure!(connections == 0, "an address was dialled that is not allowed");
    }
    Ok(format!("localhost is {found:?}: {}", delivery.fate))
}

fn denied_is_not_dialled(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(NO_CONTENT);
    rig.send("denied", &peer.named_url())?;
    let delivery = rig.settled("denied")?;
    ensure!(delivery.fate == Fate::Refused, "what is denied is refused for good: {delivery}");
    let denied = delivery.failure == Some(TransportError::Denied(Denial::Address));
    ensure!(denied, "it must be reported as `Denied` says, not as {:?}", delivery.failure);
    let connections = peer.seen().now().connections;
    ensure!(connections == 0, "an address was dialled that is not allowed");
    Ok(String::new())
}

fn connection_refused(rig: &mut Rig) -> Outcome {
    let port = Refusing::new().map_err(|why| why.to_string())?;
    rig.send("refused", &port.url())?;
    let why = rig.failed("refused")?;
    ensure!(why == TransportError::ConnectRefused, "it must fail as ConnectRefused, not {why:?}");
    Ok(String::new())
}

/// `invalid` has no names, by RFC 6761; machines without a resolver cannot know.
fn unknown_name(rig: &mut Rig) -> Outcome {
    rig.send("unknown", "http://nobody.invalid/hook")?;
    let why = rig.failed("unknown")?;
    let fair = matches!(
        why,
        TransportError::NameNotFound
            | TransportError::NameFailed
            | TransportError::TimedOut(_)
            | TransportError::Denied(_)
    );
    ensure!(fair, "it must fail as NameNotFound or NameFailed, not {why:?}");
    Ok(format!("{why:?}"))
}

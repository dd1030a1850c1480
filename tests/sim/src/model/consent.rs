//! Nothing is delivered to whom nobody has asked: invariant 23, for endpoints whose owners are to consent first.
//!
//! What consent is, `endpoints` knows: it reads every reply. A removal voids it, and so does nothing else that is done here.

use super::facts::Facts;
use crate::observe::{Ask, Broken, Seen};

/// Judges whether who gets something wanted it.
pub(super) fn see(facts: &Facts, seen: &Seen<'_>) -> Result<(), Broken> {
    let Seen::Started { attempt, .. } = seen else { return Ok(()) };
    let Some(open) = facts.attempt(*attempt).filter(|open| !facts.node(open.node).weak) else { return Ok(()) };
    let Some(endpoint) = facts.endpoints.get(open.endpoint) else { return Ok(()) };
    let asked = endpoint.specs.all().all(|spec| spec.ask != Ask::Nobody);
    if !asked || endpoint.consented > endpoint.removed {
        return Ok(());
    }
    let name = format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
    Err(Broken::new(23, format!("{name}: its owner has not consented")))
}

//! Nothing is delivered to whom nobody has asked: invariant 23, for endpoints whose owners are to consent first.
//!
//! What consent is, `endpoints` knows: it reads every reply. A removal voids it, and so does nothing else that is done here.

use super::facts::Scene;
use crate::observe::{Ask, Broken};

/// Judges whether who gets something wanted it.
pub(super) fn started(scene: &Scene<'_>) -> Result<(), Broken> {
    let Some(endpoint) = scene.endpoint.filter(|_| !scene.node.weak) else { return Ok(()) };
    let asked = endpoint.specs.all().all(|spec| spec.ask != Ask::Nobody);
    if !asked || endpoint.consented > endpoint.removed {
        return Ok(());
    }
    let open = scene.open;
    let name = format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
    Err(Broken::new(23, format!("{name}: its owner has not consented")))
}

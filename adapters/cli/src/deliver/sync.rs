//! `--sync`: the endpoint file is what a tenant's endpoints are, at a revision.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use postrider_core::id::{EndpointId, TenantId};
use postrider_core::registration::Endpoint;
use postrider_core::registration::sync::{Plan, Synced};

use crate::driver::Driver;
use crate::endpoints::Entry;
use crate::exit::{Refusal, complain};

/// The endpoints of the file by their tenants, in its order.
pub(crate) fn by_tenant(entries: &[Entry]) -> BTreeMap<TenantId, Vec<Endpoint>> {
    let mut lists: BTreeMap<TenantId, Vec<Endpoint>> = BTreeMap::new();
    for entry in entries {
        lists.entry(entry.key.tenant.clone()).or_default().push(entry.endpoint.clone());
    }
    lists
}

/// Makes the endpoints of every tenant in the file equal to it, and says what that changed.
pub(super) fn apply(driver: &dyn Driver, entries: &[Entry], revision: u64) -> Result<(), Refusal> {
    for (tenant, list) in by_tenant(entries) {
        let synced = driver.sync(&tenant, revision, list).map_err(Refusal::new)?;
        complain!("{}", told(&tenant, revision, &synced)?);
    }
    Ok(())
}

/// What a list did, or would do, in a line; or that it is too old.
pub(crate) fn told(tenant: &TenantId, revision: u64, synced: &Synced) -> Result<String, Refusal> {
    match synced {
        Synced::Plan(plan) => Ok(format!("sync: tenant {tenant} at revision {revision}: {}", named(plan))),
        Synced::Stale { applied } => Err(Refusal::new(format!(
            "--sync: revision {revision} is older than {applied}, which was applied to tenant {tenant} before"
        ))),
    }
}

/// Names in one line, of each kind at most.
const NAMED: usize = 20;

fn named(plan: &Plan) -> String {
    let mut text = plan.to_string();
    let added: Vec<_> = plan.added.iter().map(|entry| &entry.id).collect();
    let changed: Vec<_> = plan.changed.iter().map(|entry| &entry.id).collect();
    let removed: Vec<_> = plan.removed.iter().collect();
    for (sign, names) in [('+', added), ('~', changed), ('-', removed)] {
        names.iter().take(NAMED).for_each(|name: &&EndpointId| write!(text, " {sign}{name}").expect("a string grows"));
        if names.len() > NAMED {
            text.push_str(" ..");
        }
    }
    text
}

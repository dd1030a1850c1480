//! Events that a node makes itself, to tell a tenant of its endpoints and deliveries: only of what is the tenant's, never of
//! one another, and each id always the same.

use std::collections::BTreeMap;

use super::facts::{MADE, Scene, event_number, is_made};
use crate::observe::{Broken, Departure, SECOND};

const DAY: u64 = 24 * 3600 * SECOND;

/// Events of that kind that are remembered, the newest.
const REMEMBERED: usize = 4096;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Operational {
    /// What each has said, by its number.
    said: BTreeMap<u64, Vec<u8>>,
    /// The highest number of an event that anybody has submitted.
    highest: Option<u64>,
}

impl Operational {
    pub(super) fn submitted(&mut self, event: u64) {
        self.highest = self.highest.max(Some(event));
    }

    pub(super) fn departed(&mut self, scene: &Scene<'_>, departure: &Departure<'_>) -> Result<(), Broken> {
        let Scene { facts, open, node, .. } = *scene;
        if !is_made(open.event) {
            return Ok(());
        }
        let data = data(departure.body);
        let fail = |what: &str| Err(Broken::new(2, format!("{what}: {}", String::from_utf8_lossy(departure.body))));
        // Where names are forgotten early, the same may be told once more.
        let sure = !node.weak && facts.rules().window >= DAY;
        if let Some(about) = member(data, "event") {
            if about.starts_with(MADE) {
                return fail("a node tells of what it told");
            }
            let known = event_number(about).is_some_and(|number| Some(number) <= self.highest);
            if !known {
                return fail("a node tells of an event that nobody submitted");
            }
        }
        let about = member(data, "endpoint").and_then(|name| name.strip_prefix('p')?.parse().ok());
        let tenant = |number: u32| {
            facts.endpoints.get(number).and_then(|endpoint| endpoint.specs.all().next()).map(|spec| spec.tenant)
        };
        let theirs = about.and_then(tenant);
        if theirs.is_none() || theirs != tenant(open.endpoint) {
            return fail("a node tells of what is not the tenant's");
        }
        match self.said.get(&open.event) {
            Some(before) if before != data && sure => return fail("a node has told something else under the same id"),
            Some(_) => {}
            None => {
                self.said.insert(open.event, data.to_vec());
                while self.said.len() > REMEMBERED {
                    self.said.pop_first();
                }
            }
        }
        Ok(())
    }
}

/// The data, with the envelope around it or without.
fn data(body: &[u8]) -> &[u8] {
    let at = body.windows(8).position(|eight| eight == b",\"data\":");
    at.map_or(body, |at| body[at + 8..].strip_suffix(b"}").unwrap_or(body))
}

/// The text of a member of an object of texts and numbers.
fn member<'a>(data: &'a [u8], name: &str) -> Option<&'a str> {
    let data = std::str::from_utf8(data).ok()?;
    let begin = format!("\"{name}\":\"");
    let at = data.find(&begin)? + begin.len();
    data[at..].split('"').next()
}

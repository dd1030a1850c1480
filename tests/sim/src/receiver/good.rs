//! The receiver that does what everybody hopes for.

use super::{Peer, Reaction, Request};
use crate::observe::{Key, SimTime};

/// Answers 204 after 20 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Good;

impl Peer for Good {
    fn request(&mut self, _at: SimTime, _request: &Request<'_>) -> Reaction {
        Reaction::status(204, 20_000_000)
    }

    fn keys(&mut self, _at: SimTime, _keys: &[Key]) {}

    fn heal(&mut self, _at: SimTime) {}

    fn kind(&self) -> &'static str {
        "good"
    }
}

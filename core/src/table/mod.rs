//! What the machines keep by name, in memory: entries that keep their place, and chains that find them by a hash.

mod chains;
mod slab;

pub(crate) use chains::{Chains, HashKey, Marked, mix, rest_of};
pub(crate) use slab::Slab;

//! Endpoints: URL, address policy, key ring, lifecycle.

mod address;
mod cidr;

pub use address::{Block, Class, classify};
pub use cidr::{Cidr, CidrError};

//! Endpoints: URL, address policy, key ring, lifecycle.

mod address;
mod cidr;
mod headers;

pub use address::{Block, Class, classify};
pub use cidr::{Cidr, CidrError};
pub use headers::{CustomHeaders, HeaderError};

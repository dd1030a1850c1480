//! Endpoints: URL, address policy, key ring, lifecycle.

mod address;
mod cidr;
mod headers;
mod policy;
mod target;
mod url;

pub use address::{Block, Class, classify};
pub use cidr::{Cidr, CidrError};
pub use headers::{CustomHeaders, HeaderError};
pub use policy::{AddressError, Policy, PolicyError, Vetted};
pub use target::{Host, Target};
pub use url::{HostFault, NameFault, UrlError};

use policy::Standing;

//! Endpoints: URL, address policy, key ring, lifecycle.

mod address;
mod auth;
mod cidr;
pub mod consent;
pub mod lifecycle;
mod endpoint;
mod headers;
mod policy;
mod reserved;
mod ring;
mod target;
mod url;

pub use address::{Block, Class, classify};
pub use auth::{AuthError, CREDENTIAL_BYTES};
pub use cidr::{Cidr, CidrError};
pub use endpoint::{Endpoint, EndpointError, EndpointView, State};
pub use headers::{CustomHeaders, HeaderError};
pub use policy::{AddressError, Policy, PolicyError, Vetted};
pub use ring::{KeyRing, RingError};
pub use target::{Host, Target};
pub use url::{HostFault, NameFault, UrlError};

pub(crate) use endpoint::Config;
pub(crate) use ring::Draft;

use policy::Standing;

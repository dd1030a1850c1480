//! Endpoints: URL, address policy, key ring, lifecycle.
//!
//! | what | where |
//! | --- | --- |
//! | an endpoint as its owner describes it | [`Endpoint`] |
//! | where requests may go | [`Target`], [`Policy`], [`classify`] |
//! | the keys that sign, and changing over to others | [`Draft`], [`KeyRing`], [`rotation`] |
//! | how much it is given, and when it is left alone | [`Pacing`] |
//! | headers and credentials of its own | [`CustomHeaders`] |
//! | how events under one ordering key follow one another | [`Order`] |
//! | what was decided about it, and how it answers | [`lifecycle`] |
//! | whether its owner agreed to be sent to | [`consent`] |
//! | making a tenant's endpoints equal to a list | [`sync`] |
//! | what a tenant may take up | [`quota`] |

mod address;
mod auth;
mod cidr;
pub mod consent;
mod endpoint;
mod headers;
pub mod lifecycle;
mod order;
mod pacing;
mod policy;
pub mod quota;
mod reserved;
mod ring;
pub mod rotation;
pub mod sync;
mod target;
mod url;

pub use address::{Block, Class, classify};
pub use auth::{AuthError, CREDENTIAL_BYTES};
pub use cidr::{Cidr, CidrError};
pub use endpoint::{Endpoint, EndpointError, EndpointView};
pub use headers::{CustomHeaders, HeaderError};
pub use lifecycle::Admin as State;
pub use order::{Order, Ordering};
pub use pacing::{Circuit, Pacing};
pub use policy::{AddressError, Policy, PolicyError, Vetted};
pub use ring::{Draft, KeyRing, LONGEST_OVERLAP, RingError};
pub use target::{Host, Target};
pub use url::{HostFault, NameFault, UrlError};

pub(crate) use endpoint::{Ask, Config};

use policy::Standing;

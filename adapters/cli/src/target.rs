//! Where requests may go, as the command line says it.

use clap::Args;
use postrider_core::registration::{Cidr, Policy};

use crate::exit::Refusal;

/// Permissions that several commands take.
#[derive(Args, Clone, Debug)]
pub(crate) struct Allowed {
    /// Allow targets in this network, such as 127.0.0.0/8 (repeatable); others must be public
    #[arg(long, value_name = "CIDR")]
    allow: Vec<Cidr>,
    /// Allow http targets, not only https
    #[arg(long)]
    allow_http: bool,
}

impl Allowed {
    /// The policy that permits this and nothing else.
    pub(crate) fn policy(&self) -> Result<Policy, Refusal> {
        let policy = if self.allow_http { Policy::default().allow_http() } else { Policy::default() };
        self.allow.iter().try_fold(policy, |policy, network| {
            policy.allow(*network).map_err(|why| Refusal::new(format!("--allow: {why}")))
        })
    }
}

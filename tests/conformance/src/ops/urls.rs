//! URLs of endpoints, and the addresses behind them.

use std::net::IpAddr;

use postrider_core::registration::{Class, Host, Policy, Target, UrlError, classify};
use serde_json::{Value, json};

use crate::case::Input;

pub(super) fn check_url(input: &Input) -> Result<Value, String> {
    let checked = Target::parse(input.text("url")?, &Policy::default());
    let mut told = match &checked {
        Ok(_) => json!({ "verdict": "allow" }),
        Err(why) => json!({ "verdict": "reject", "reason": why.to_string() }),
    };
    if let Some(host) = canonical_host(&checked) {
        told["canonical_host"] = host.into();
    }
    Ok(told)
}

/// The host in canonical form, which a refusal of the host names too.
fn canonical_host(checked: &Result<Target, UrlError>) -> Option<String> {
    match checked {
        Ok(target) => Some(match target.host() {
            Host::Domain(name) => name.to_owned(),
            Host::Ip(ip) => ip.to_string(),
        }),
        Err(UrlError::Numeric { ip } | UrlError::Address { ip, .. }) => Some(ip.to_string()),
        Err(UrlError::Name { name, .. }) => Some(name.to_string()),
        Err(_) => None,
    }
}

pub(super) fn classify_ip(input: &Input) -> Result<Value, String> {
    let address: IpAddr = input.text("address")?.parse().map_err(|_| "`address` is no IP address")?;
    Ok(match classify(address) {
        Class::Public => json!({ "class": "public" }),
        Class::NotPublic(block) => json!({ "class": "not_public", "reason": block.to_string() }),
    })
}

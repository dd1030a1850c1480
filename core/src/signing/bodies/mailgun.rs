//! Mailgun: a time, a token and their HMAC as members of the JSON body. The event itself is not signed.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::error::VerifyError;
use super::super::key::Decimal;
use super::super::keys::{self, Algorithm, Key, Listed, Ring, Text};
use super::super::pointer;
use super::super::received::{Window, time, visible};
use super::super::rows::Unit;
use super::super::verified::{Signed, Told, Verified};
use super::super::{Received, Scheme};
use crate::time::UnixTime;

pub(in super::super) fn check<'r, H: ?Sized>(
    ring: &Ring,
    window: &Window,
    received: &Received<'r, H>,
    now: UnixTime,
) -> Result<Verified<'r>, VerifyError> {
    let text = |field| pointer::find_text(received.body, field).ok_or(VerifyError::Field { field });
    let (stamp, token) = (text("/signature/timestamp")?, text("/signature/token")?);
    let signature = text("/signature/signature")?;
    visible(token.as_bytes()).ok_or(VerifyError::BadId)?;
    let at = time(stamp.as_bytes(), Unit::Seconds)?;
    window.check(at.as_secs(), now)?;
    let mut listed = Listed::new();
    listed.push(Algorithm::HmacSha256, Text::Hex, signature.as_bytes());
    if listed.len() == 0 {
        return Err(VerifyError::NoSignature { items: listed.items });
    }
    let parts = [stamp.as_bytes(), token.as_bytes()];
    let key = ring.signer(&parts, &listed).ok_or(VerifyError::NoMatch { signatures: 1 })?;
    Ok(Verified {
        scheme: Scheme::Mailgun,
        body: received.body,
        payload: None,
        key,
        time: Some(at),
        facts: *Scheme::Mailgun.facts(),
        told: Told::default(),
        signed: Signed::Hashed(keys::digest(&parts)),
    })
}

/// The body around an event, which is JSON, under a token of visible ASCII without `"` and `\`.
pub(in super::super) fn sign(key: &Key, token: &str, event: &[u8], at: UnixTime) -> Option<Vec<u8>> {
    let event: &serde_json::value::RawValue = serde_json::from_slice(event).ok()?;
    let plain = visible(token.as_bytes()).filter(|token| !token.contains(['"', '\\']))?;
    let stamp = Decimal::new(at.as_secs());
    let mac = Text::Hex.encode(&key.sign(&[stamp.as_bytes(), plain.as_bytes()])?);
    let stamp = String::from_utf8_lossy(stamp.as_bytes());
    let head = alloc::format!(r#"{{"signature":{{"timestamp":"{stamp}","token":"{plain}","signature":"{mac}"}}"#);
    Some(alloc::format!(r#"{head},"event-data":{event}}}"#).into_bytes())
}

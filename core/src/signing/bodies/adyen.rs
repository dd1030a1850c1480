//! Adyen's payment notifications: each item of the JSON body carries the HMAC of eight of its members.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::error::VerifyError;
use super::super::keys::{self, Algorithm, Key, Listed, Ring, Text};
use super::super::pointer;
use super::super::verified::{Signed, Told, Verified};
use super::super::{Received, Scheme};
use crate::limits::SIGNATURES;

const ITEMS: &str = "notificationItems";

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow, rename = "notificationItems")]
    items: Vec<Boxed<'b>>,
}

#[derive(Deserialize)]
struct Boxed<'b> {
    #[serde(borrow, rename = "NotificationRequestItem")]
    item: Item<'b>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'b> {
    #[serde(borrow)]
    psp_reference: Option<&'b RawValue>,
    #[serde(borrow)]
    original_reference: Option<&'b RawValue>,
    #[serde(borrow)]
    merchant_account_code: Option<&'b RawValue>,
    #[serde(borrow)]
    merchant_reference: Option<&'b RawValue>,
    #[serde(borrow)]
    amount: Amount<'b>,
    #[serde(borrow)]
    event_code: Option<&'b RawValue>,
    #[serde(borrow)]
    success: Option<&'b RawValue>,
    #[serde(borrow, default)]
    additional_data: Option<Additional<'b>>,
}

#[derive(Deserialize)]
struct Amount<'b> {
    #[serde(borrow)]
    value: Option<&'b RawValue>,
    #[serde(borrow)]
    currency: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct Additional<'b> {
    #[serde(borrow, rename = "hmacSignature")]
    signature: Option<&'b RawValue>,
}

impl Item<'_> {
    /// What is signed: the eight members joined by `:`. One that is absent is empty.
    fn signed(&self) -> Option<String> {
        let members = [
            self.psp_reference,
            self.original_reference,
            self.merchant_account_code,
            self.merchant_reference,
            self.amount.value,
            self.amount.currency,
            self.event_code,
            self.success,
        ];
        let texts = members.map(|member| member.map_or(Some(Cow::Borrowed("")), |raw| pointer::text(raw.get())));
        let mut joined = String::new();
        for (n, text) in texts.into_iter().enumerate() {
            joined.push_str(if n > 0 { ":" } else { "" });
            joined.push_str(&text?);
        }
        Some(joined)
    }
}

/// Accepts when every item fits. The first item's key is named.
pub(in super::super) fn check<'r, H: ?Sized>(
    ring: &Ring,
    received: &Received<'r, H>,
) -> Result<Verified<'r>, VerifyError> {
    let wanted = VerifyError::BadBody { wanted: "JSON with 1 to 32 notificationItems" };
    let body: Body<'_> = serde_json::from_slice(received.body).map_err(|_| wanted)?;
    if body.items.is_empty() || body.items.len() > SIGNATURES {
        return Err(wanted);
    }
    let (mut key, mut all) = (None, String::new());
    for Boxed { item } in &body.items {
        let field = "additionalData.hmacSignature";
        let signature = item.additional_data.as_ref().and_then(|data| pointer::text(data.signature?.get()));
        let signature = signature.ok_or(VerifyError::Field { field })?;
        let mut listed = Listed::new();
        listed.push(Algorithm::HmacSha256, Text::Base64, signature.as_bytes());
        if listed.len() == 0 {
            return Err(VerifyError::NoSignature { items: 1 });
        }
        let signed = item.signed().ok_or(wanted)?;
        let signer = ring.signer(&[signed.as_bytes()], &listed).ok_or(VerifyError::NoMatch { signatures: 1 })?;
        key = key.or(Some(signer));
        all.push_str(if all.is_empty() { "" } else { "\n" });
        all.push_str(&signed);
    }
    Ok(Verified {
        scheme: Scheme::AdyenNotification,
        body: received.body,
        payload: None,
        key: key.ok_or(wanted)?,
        time: None,
        facts: *Scheme::AdyenNotification.facts(),
        told: Told::default(),
        signed: Signed::Hashed(keys::digest(&[all.as_bytes()])),
    })
}

/// The same body with a signature in each item. None when it is not such a body.
pub(in super::super) fn sign(key: &Key, body: &[u8]) -> Option<Vec<u8>> {
    let mut tree: serde_json::Value = serde_json::from_slice(body).ok()?;
    for boxed in tree.get_mut(ITEMS)?.as_array_mut()? {
        let item = boxed.get_mut("NotificationRequestItem")?.as_object_mut()?;
        let text = serde_json::to_string(item).ok()?;
        let signed = serde_json::from_str::<Item<'_>>(&text).ok()?.signed()?;
        let signature = Text::Base64.encode(&key.sign(&[signed.as_bytes()])?);
        let data = item.entry("additionalData").or_insert_with(|| serde_json::json!({}));
        data.as_object_mut()?.insert("hmacSignature".into(), signature.into());
    }
    serde_json::to_vec(&tree).ok()
}

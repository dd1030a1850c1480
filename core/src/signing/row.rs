//! Checking and signing by a row of the table.

use alloc::string::String;
use alloc::vec::Vec;

use super::Headers;
use super::error::VerifyError;
use super::key::Decimal;
use super::keys::{Key, Listed, Ring};
use super::pointer;
use super::received::{Received, Window, time};
use super::rows::{Form, Name, PARTS, Part, Row, Stamp, Unit};
use super::scheme::Place;
use super::verified::{Signed, Told, Verified};
use crate::time::UnixTime;

impl<'r> Row<'r> {
    /// Checks a request: headers, id, time, signatures, in this order, and last a time that is in the body.
    pub(super) fn check<H: Headers + ?Sized>(
        &self,
        ring: &Ring,
        window: &Window,
        received: &Received<'r, H>,
        now: UnixTime,
    ) -> Result<Verified<'r>, VerifyError> {
        let value = received.one(self.header)?;
        if let Some(header) = self.never_with
            && received.headers.all(header).next().is_some()
        {
            return Err(VerifyError::Downgrade { header });
        }
        let stamp = match self.stamp {
            Stamp::Header(name, unit) => Some((received.one(name)?, unit)),
            Stamp::Item(label, unit) => Some((self.item(value, label)?, unit)),
            Stamp::None | Stamp::Json(..) => None,
        };
        let told = self.told(received)?;
        let mut signed_at = None;
        if let Some((text, unit)) = stamp {
            let at = time(text, unit)?;
            window.check(at.as_secs(), now)?;
            signed_at = Some(at);
        }
        let listed = self.listed(value);
        if listed.len() == 0 {
            return Err(VerifyError::NoSignature { items: listed.items });
        }
        let parts = self.parts(received, stamp.map_or(b"", |(text, _)| text), told.id.unwrap_or(""));
        let key = ring.signer(&parts, &listed).ok_or(VerifyError::NoMatch { signatures: listed.len() })?;
        if let Stamp::Json(field, unit) = self.stamp {
            let text = pointer::find_text(received.body, field).ok_or(VerifyError::Field { field })?;
            let at = time(text.as_bytes(), unit)?;
            window.check(at.as_secs(), now)?;
            signed_at = Some(at);
        }
        Ok(Verified {
            scheme: self.scheme,
            body: received.body,
            payload: None,
            key,
            time: signed_at,
            facts: self.facts,
            told,
            signed: Signed::Parts(parts),
        })
    }

    /// Whether a request has a signature that is written as this scheme writes it.
    pub(super) fn has_signature<H: Headers + ?Sized>(&self, received: &Received<'_, H>) -> bool {
        received.headers.all(self.header.text).next().is_some_and(|value| self.listed(value).len() > 0)
    }

    /// The value of the signature's header, and the timestamp's if it has one of its own, for a request that is signed:
    /// by each of the keys where the header is a list, otherwise by the first. None without a key that signs.
    pub(super) fn sign(&self, keys: &[&Key], outgoing: &Material<'_>, at: UnixTime) -> Option<Vec<(String, String)>> {
        let number = |unit| match unit {
            Unit::Seconds => Decimal::new(at.as_secs()),
            Unit::Millis => Decimal::new(at.as_millis()),
        };
        let stamp = match self.stamp {
            Stamp::Header(_, unit) | Stamp::Item(_, unit) => Some(number(unit)),
            Stamp::None | Stamp::Json(..) => None,
        };
        let stamp = stamp.as_ref().map_or(&b""[..], Decimal::as_bytes);
        let parts = self.content.map(|part| outgoing.part(part, stamp));
        let sign = |key: &&Key| Some(self.text.encode(&key.sign(&parts)?));
        let signature = sign(keys.first()?)?;
        let stamp = core::str::from_utf8(stamp).expect("digits are ASCII");
        let mut headers = Vec::new();
        if let (Place::Header(name), Some(id)) = (self.facts.id.place, outgoing.id) {
            headers.push((name.into(), id.into()));
        }
        if let Stamp::Header(name, _) = self.stamp {
            headers.push((name.text.into(), stamp.into()));
        }
        let mut value = match (self.form, self.stamp) {
            (Form::Plain(prefix), _) => alloc::format!("{prefix}{signature}"),
            (Form::List { separator, label }, Stamp::Item(t, _)) => {
                alloc::format!("{t}={stamp}{separator}{label}={signature}")
            }
            (Form::List { label, .. }, Stamp::None | Stamp::Header(..) | Stamp::Json(..)) => {
                alloc::format!("{label}={signature}")
            }
        };
        if let Form::List { separator, label } = self.form {
            for signature in keys[1..].iter().filter_map(sign) {
                value.extend([separator, label, "=", &signature]);
            }
        }
        headers.push((self.header.text.into(), value));
        Some(headers)
    }

    /// The only item with a label.
    fn item(&self, value: &'r [u8], label: &'static str) -> Result<&'r [u8], VerifyError> {
        let Form::List { separator, .. } = self.form else {
            return Err(VerifyError::Field { field: label });
        };
        let mut found = items(value, separator).filter_map(|item| labelled(item, label));
        let (first, second) = (found.next(), found.next());
        first.filter(|_| second.is_none()).ok_or(VerifyError::Field { field: label })
    }

    fn listed(&self, value: &[u8]) -> Listed {
        let mut listed = Listed::new();
        match self.form {
            Form::Plain(prefix) => {
                if let Some(item) = value.strip_prefix(prefix.as_bytes()) {
                    listed.push(self.algorithm, self.text, item);
                }
            }
            Form::List { separator, label } => {
                for item in items(value, separator).filter_map(|item| labelled(item, label)) {
                    listed.push(self.algorithm, self.text, item);
                }
            }
        }
        listed
    }

    fn told<H: Headers + ?Sized>(&self, received: &Received<'r, H>) -> Result<Told<'r>, VerifyError> {
        let id = match self.facts.id.place {
            Place::Header(name) => {
                let said = self.id_said;
                let id = received.id(Name { text: name, said })?;
                if id.is_none() && self.content.contains(&Part::Id) {
                    return Err(VerifyError::Missing { header: said });
                }
                id
            }
            Place::Nowhere | Place::Json(_) => None,
        };
        let header = |place| match place {
            Place::Header(name) => received.told(name),
            Place::Nowhere | Place::Json(_) => None,
        };
        Ok(Told { id, kind: header(self.facts.kind.place), order: header(self.facts.order.place) })
    }

    fn parts<H: ?Sized>(&self, received: &Received<'r, H>, stamp: &'r [u8], id: &'r str) -> [&'r [u8]; PARTS] {
        let request = Material { url: received.url, id: Some(id), body: received.body };
        self.content.map(|part| request.part(part, stamp))
    }
}

/// The parts of a request that a signature may cover.
pub(super) struct Material<'a> {
    pub(super) url: &'a str,
    pub(super) id: Option<&'a str>,
    pub(super) body: &'a [u8],
}

impl<'a> Material<'a> {
    fn part(&self, part: Part<'a>, stamp: &'a [u8]) -> &'a [u8] {
        match part {
            Part::Is(text) => text.as_bytes(),
            Part::Id => self.id.unwrap_or("").as_bytes(),
            Part::Time => stamp,
            Part::Url => self.url.as_bytes(),
            Part::Body => self.body,
        }
    }
}

/// The items of a list.
fn items<'v>(value: &'v [u8], separator: &'static str) -> impl Iterator<Item = &'v [u8]> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let value = rest?;
        let end = value.windows(separator.len()).position(|window| window == separator.as_bytes());
        let item = end.map_or(value, |end| &value[..end]);
        rest = end.map(|end| &value[end + separator.len()..]);
        Some(item)
    })
}

/// What stands behind `label=`.
fn labelled<'v>(item: &'v [u8], label: &str) -> Option<&'v [u8]> {
    item.strip_prefix(label.as_bytes())?.strip_prefix(b"=")
}

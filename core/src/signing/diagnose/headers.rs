//! Headers as they may have been meant: under their own names, with another timestamp.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::super::rows::{Form, Row, Stamp, Unit};
use super::super::{Headers, Received};
use super::MILLISECONDS_FROM;
use crate::signing::received::decimal;

/// Other ways to write the names of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameForm {
    /// With `_` for every `-`.
    Underscores,
    /// As CGI and its heirs hand them on: `HTTP_` and the name with `_` for every `-`.
    Cgi,
    /// Without the `X-` at their start.
    NoX,
    /// With `X-` at their start.
    X,
}

impl NameForm {
    pub(super) const ALL: [Self; 4] = [Self::Underscores, Self::Cgi, Self::NoX, Self::X];

    /// A name in lower case, written so.
    fn of(self, name: &str) -> Option<String> {
        match self {
            Self::Underscores => Some(name.replace('-', "_")),
            Self::Cgi => Some(alloc::format!("http_{}", name.replace('-', "_"))),
            Self::NoX => name.strip_prefix("x-").map(Into::into),
            Self::X => (!name.starts_with("x-")).then(|| alloc::format!("x-{name}")),
        }
    }
}

impl fmt::Display for NameForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Underscores => "with `_` for `-` in their names",
            Self::Cgi => "under the names of CGI (`HTTP_...`)",
            Self::NoX => "without the `X-` of their names",
            Self::X => "with `X-` before their names",
        })
    }
}

/// Headers with something put right.
pub(super) struct Mended<'h, H: ?Sized> {
    pub(super) inner: &'h H,
    /// How names are written of headers that are not there under their own.
    pub(super) names: Option<NameForm>,
    /// A header with another value.
    pub(super) other: Option<(String, Vec<u8>)>,
}

impl<H: Headers + ?Sized> Headers for Mended<'_, H> {
    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let mut found: Vec<&'a [u8]> = match &self.other {
            Some((other, value)) if other.eq_ignore_ascii_case(name) => alloc::vec![&value[..]],
            Some(_) | None => self.inner.all(name).collect(),
        };
        if found.is_empty()
            && let Some(name) = self.names.and_then(|form| form.of(name))
        {
            found = self.inner.all(&name).collect();
        }
        found.into_iter()
    }
}

/// The header that carries the timestamp, with the seconds that were meant where it has milliseconds.
pub(super) fn in_seconds<H: Headers + ?Sized>(row: &Row<'_>, received: &Received<'_, H>) -> Option<(String, Vec<u8>)> {
    let meant = |text: &[u8]| {
        let millis = decimal(text).filter(|number| *number >= MILLISECONDS_FROM)?;
        Some(alloc::format!("{}", millis / 1000).into_bytes())
    };
    match (row.stamp, row.form) {
        (Stamp::Header(name, Unit::Seconds), _) => {
            Some((name.text.into(), meant(received.headers.all(name.text).next()?)?))
        }
        (Stamp::Item(label, Unit::Seconds), Form::List { separator, .. }) => {
            let value = core::str::from_utf8(received.headers.all(row.header.text).next()?).ok()?;
            let mut changed = false;
            let items = value.split(separator).map(|item| {
                let old = item.strip_prefix(label).and_then(|rest| rest.strip_prefix('='));
                match old.and_then(|old| meant(old.as_bytes())) {
                    Some(new) => {
                        changed = true;
                        alloc::format!("{label}={}", String::from_utf8_lossy(&new))
                    }
                    None => item.into(),
                }
            });
            let value = items.collect::<Vec<String>>().join(separator);
            changed.then(|| (row.header.text.into(), value.into_bytes()))
        }
        (Stamp::Item(..), Form::Plain(_)) | (Stamp::None | Stamp::Json(..), _) => None,
        (Stamp::Header(_, Unit::Millis) | Stamp::Item(_, Unit::Millis), _) => None,
    }
}

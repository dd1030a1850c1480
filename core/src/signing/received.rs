//! A request as it was received, and what is read from it on the way to a verdict.

use alloc::borrow::Cow;
use core::time::Duration;

use http::HeaderName;

use super::Headers;
use super::error::{HEADER_BYTES, ID_BYTES, VerifyError};
use super::pointer;
use super::rows::{Name, Unit};
use super::scheme::Place;
use crate::time::UnixTime;

/// A request as it was received: borrowed, and exactly as it came.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is what a verifier needs of a request, and callers make it")]
pub struct Received<'r, H: ?Sized> {
    /// The method, in upper case as HTTP has it.
    pub method: &'r str,
    /// The whole URL as the sender has it, with scheme and host: behind a proxy, the address that the sender was
    /// given. Schemes that do not sign it ([`Scheme::signs_url`](super::Scheme::signs_url)) do not look at it.
    pub url: &'r str,
    /// The headers.
    pub headers: &'r H,
    /// The body's bytes, before anything has parsed or changed them.
    pub body: &'r [u8],
}

impl<H: ?Sized> Clone for Received<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ?Sized> Copy for Received<'_, H> {}

impl<'r, H: Headers + ?Sized> Received<'r, H> {
    /// The only value of a header.
    pub(super) fn one(&self, name: Name<'_>) -> Result<&'r [u8], VerifyError> {
        self.at_most_one(name)?.ok_or(VerifyError::Missing { header: name.said })
    }

    /// The only value of a header, if it has one. It has a bound.
    pub(super) fn at_most_one(&self, name: Name<'_>) -> Result<Option<&'r [u8]>, VerifyError> {
        let mut values = self.headers.all(name.text);
        let value = values.next();
        if values.next().is_some() {
            return Err(VerifyError::Duplicate { header: name.said });
        }
        match value {
            Some(value) if value.len() > HEADER_BYTES => Err(VerifyError::TooLong { header: name.said }),
            Some(_) | None => Ok(value),
        }
    }

    /// The id in a header, if there is one: once, and 1 to 256 visible ASCII characters.
    pub(super) fn id(&self, name: Name<'_>) -> Result<Option<&'r str>, VerifyError> {
        self.at_most_one(name)?.map(|id| visible(id).ok_or(VerifyError::BadId)).transpose()
    }

    /// The value of a header that is only told on: text, once.
    pub(super) fn told(&self, name: &str) -> Option<&'r str> {
        Self::only(self.headers.all(name))
    }

    /// The same of a name that is made ready.
    pub(super) fn told_by(&self, name: &'static HeaderName) -> Option<&'r str> {
        Self::only(self.headers.named(name))
    }

    fn only(mut values: impl Iterator<Item = &'r [u8]>) -> Option<&'r str> {
        let value = values.next()?;
        if values.next().is_some() || value.len() > HEADER_BYTES {
            return None;
        }
        core::str::from_utf8(value).ok()
    }
}

impl Place<'_> {
    /// What a request that was verified tells in this place, as a [`Verified`](super::Verified) does.
    pub(crate) fn read<'r, H: Headers + ?Sized>(self, headers: &'r H, body: &'r [u8]) -> Option<Cow<'r, str>> {
        match self {
            Self::Nowhere => None,
            Self::Header(name) => Received { method: "", url: "", headers, body }.told(name).map(Cow::Borrowed),
            Self::Json(pointer) => pointer::find_text(body, pointer),
        }
    }

    /// What stands in this place of a JSON text, whatever it is, as it is written.
    pub(crate) fn part(self, json: &[u8]) -> Option<&str> {
        match self {
            Self::Nowhere | Self::Header(_) => None,
            Self::Json(pointer) => pointer::find(json, pointer),
        }
    }
}

/// An id of 1 to 256 visible ASCII characters.
pub(super) fn visible(id: &[u8]) -> Option<&str> {
    let fits = !id.is_empty() && id.len() <= ID_BYTES && id.iter().all(u8::is_ascii_graphic);
    core::str::from_utf8(id).ok().filter(|_| fits)
}

/// A decimal number below 2^63, without sign, leading zero or anything else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let plain = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= 19;
    if !plain {
        return None;
    }
    let number =
        text.iter().try_fold(0u64, |number, b| b.is_ascii_digit().then(|| number * 10 + u64::from(b - b'0')))?;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}

/// A timestamp.
pub(super) fn time(text: &[u8], unit: Unit) -> Result<UnixTime, VerifyError> {
    let number = decimal(text).ok_or(VerifyError::BadTimestamp)?;
    Ok(match unit {
        Unit::Seconds => UnixTime::from_secs(number),
        Unit::Millis => UnixTime::from_millis(number),
    })
}

/// How far a timestamp may lie from the receiver's clock, compared in whole seconds. Either side may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) past: Option<Duration>,
    pub(super) future: Option<Duration>,
}

impl Window {
    pub(super) const OPEN: Self = Self { past: None, future: None };

    pub(super) const fn both(either_way: Option<Duration>) -> Self {
        Self { past: either_way, future: either_way }
    }

    pub(super) fn check(&self, secs: u64, now: UnixTime) -> Result<(), VerifyError> {
        let age = Duration::from_secs(now.as_secs().saturating_sub(secs));
        let lead = Duration::from_secs(secs.saturating_sub(now.as_secs()));
        match self {
            Self { past: Some(tolerance), .. } if age > *tolerance => {
                Err(VerifyError::TooOld { age, tolerance: *tolerance })
            }
            Self { future: Some(tolerance), .. } if lead > *tolerance => {
                Err(VerifyError::TooNew { lead, tolerance: *tolerance })
            }
            Self { .. } => Ok(()),
        }
    }
}

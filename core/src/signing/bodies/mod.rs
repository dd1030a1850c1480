//! Schemes whose signature needs the body to be read: forms and JSON. Each says what it signs.

pub(super) mod adyen;
pub(super) mod braintree;
pub(super) mod mailgun;
pub(super) mod twilio;

use alloc::borrow::Cow;

use url::form_urlencoded;

use super::error::VerifyError;

/// The only field of a form with this name.
pub(super) fn field<'b>(form: &'b [u8], name: &'static str) -> Result<Cow<'b, str>, VerifyError> {
    let mut found = form_urlencoded::parse(form).filter(|(key, _)| key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Ok(value),
        (None | Some(_), _) => Err(VerifyError::Field { field: name }),
    }
}

//! What an endpoint chooses, as the journal says it.

use alloc::vec::Vec;

use crate::journal::{DialectRecord, EndpointRecord, FilterRecord};
use crate::matching::Subscription;
use crate::registration::Endpoint;
use crate::signing::Dialects;

/// The filter of a subscription.
pub(super) fn filter_record(subscription: &Subscription) -> Option<FilterRecord> {
    let filter = subscription.filter()?;
    Some(FilterRecord { language: filter.language().to_wire(), text: filter.as_str().into() })
}

/// The dialects that an endpoint's requests are signed in, where it has chosen any.
pub(super) fn dialect_records(dialects: &Dialects) -> Vec<DialectRecord> {
    let chosen = dialects.as_slice().iter().filter(|_| !dialects.is_default());
    let record = |(number, parts)| DialectRecord { number, parts };
    chosen.map(|dialect| record(dialect.to_wire())).collect()
}

/// An endpoint with the choices of a record.
pub(super) fn with_choices(endpoint: Endpoint, record: &EndpointRecord) -> Endpoint {
    let filter = record.filter.as_ref().map(|FilterRecord { language, text }| (*language, text.as_str()));
    let dialects = record.sign.iter().map(|DialectRecord { number, parts }| (*number, parts.as_slice()));
    endpoint.filter_of(filter).sign_of(dialects)
}

//! What an endpoint's owner described, as the journal and a trace say it, and back: the one place that knows each option.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use core::num::NonZeroU32;

use super::restore::{pacing_of, written};
use crate::encoding::Thin;
use crate::journal::{AskRecord, DialectRecord, EndpointRecord, FilterRecord, HeaderRecord, StateRecord, StoredValue};
use crate::matching::Subscription;
use crate::registration::{Ask, Config, Endpoint};
use crate::signing::Dialects;
use crate::time::UnixTime;

/// A record of what is described, without keys and history: active since 1970, and never subscribed.
pub(super) fn described(config: &Config) -> EndpointRecord {
    let headers = config.headers.iter().map(|(name, value)| HeaderRecord {
        name: name.as_str().to_string(),
        value: StoredValue::of(value, config.headers.sealed(name)),
    });
    EndpointRecord {
        key: config.key.clone(),
        url: config.target.as_str().to_string(),
        patterns: config.subscription.patterns().iter().map(ToString::to_string).collect(),
        encoding: config.shape.encoding.to_wire(),
        schedule: config.schedule.delays().to_vec(),
        timeout: config.timeout,
        concurrency: config.concurrency,
        headers: headers.collect(),
        keep_answers: config.keep_answers,
        keys: Vec::new(),
        revoked: Vec::new(),
        state: StateRecord { code: 0, since: UnixTime::EPOCH },
        subscription: None,
        retired: Vec::new(),
        at: UnixTime::EPOCH,
        order: config.order.to_wire(),
        thin: config.shape.thin.iter().flat_map(Thin::pointers).map(ToString::to_string).collect(),
        source: config.shape.source.as_ref().map(|source| source.as_str().to_string()),
        cause: None,
        consent: ask_record(config.consent),
        max_age: config.schedule.max_age(),
        pacing: written(&config.pacing).map(Box::new),
        filter: filter_record(&config.subscription),
        sign: dialect_records(&config.dialects),
        receipts: config.receipts,
    }
}

/// The endpoint that a record describes, without keys.
pub(super) fn endpoint_of(record: &EndpointRecord) -> Endpoint {
    let filter = record.filter.as_ref().map(|FilterRecord { language, text }| (*language, text.as_str()));
    let dialects = record.sign.iter().map(|DialectRecord { number, parts }| (*number, parts.as_slice()));
    let mut endpoint = Endpoint::new(record.key.id.as_str(), &record.url)
        .tenant(record.key.tenant.as_str())
        .events(&record.patterns)
        .schedule(record.schedule.iter().copied())
        .timeout(record.timeout)
        .concurrency(record.concurrency)
        .keep_answers(record.keep_answers)
        .receipts(record.receipts)
        .order_of(record.order)
        .shape_of(record.encoding, &record.thin, record.source.as_deref())
        .paced(pacing_of(record.pacing.as_deref()))
        .filter_of(filter)
        .sign_of(dialects);
    if let Some(age) = record.max_age {
        endpoint = endpoint.max_age(age);
    }
    if let Some(AskRecord { by, rate }) = record.consent {
        endpoint = endpoint.consent_of(by, rate);
    }
    let text = |value: &Bytes| core::str::from_utf8(value).map(ToString::to_string).unwrap_or_default();
    for HeaderRecord { name, value } in &record.headers {
        endpoint = match value {
            StoredValue::Open(value) => endpoint.header(name, text(value)),
            StoredValue::Secret { value, sealed: None } => endpoint.secret_header(name, text(value)),
            StoredValue::Secret { value, sealed: Some(sealed) } => {
                endpoint.sealed_header(name, &text(value), sealed.clone())
            }
            // Restoring has refused the record before, and a trace has none.
            StoredValue::Sealed(_) => endpoint,
        };
    }
    endpoint
}

/// The filter of a subscription.
pub(super) fn filter_record(subscription: &Subscription) -> Option<FilterRecord> {
    let filter = subscription.filter()?;
    Some(FilterRecord { language: filter.language().to_wire(), text: filter.as_str().into() })
}

/// The dialects that an endpoint's requests are signed in, where it has chosen any.
fn dialect_records(dialects: &Dialects) -> Vec<DialectRecord> {
    let chosen = dialects.as_slice().iter().filter(|_| !dialects.is_default());
    let record = |(number, parts)| DialectRecord { number, parts };
    chosen.map(|dialect| record(dialect.to_wire())).collect()
}

fn ask_record(ask: Ask) -> Option<AskRecord> {
    let Ask { by, rate } = ask;
    (!ask.is_needless()).then(|| AskRecord { by: by.to_wire(), rate: rate.map(NonZeroU32::get) })
}

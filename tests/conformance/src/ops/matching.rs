//! Patterns over the content of events, and over their types.

use postrider_core::matching::filter::{Filter, Flat};
use postrider_core::matching::{Pattern, validate_type};
use serde_json::{Value, json};

use crate::case::Input;

pub(super) fn event_pattern(input: &Input) -> Result<Value, String> {
    let filter = match Filter::eventbridge(input.text("pattern_text")?) {
        Ok(filter) => filter,
        Err(why) => return Ok(json!({ "error": true, "reason": why.to_string() })),
    };
    let Some(event) = input.maybe_text("event_text")? else { return Ok(json!({ "error": false })) };
    Ok(match Flat::of(event.as_bytes()) {
        Ok(event) => json!({ "matches": filter.matches(&event) }),
        Err(why) => json!({ "error": true, "reason": why.to_string() }),
    })
}

pub(super) fn event_type_pattern(input: &Input) -> Result<Value, String> {
    let event_type = input.text("event_type")?;
    Ok(match Pattern::parse(input.text("pattern")?) {
        Ok(pattern) => json!({ "matches": pattern.matches(event_type) }),
        Err(why) => json!({ "error": true, "reason": why.to_string() }),
    })
}

pub(super) fn event_type(input: &Input) -> Result<Value, String> {
    Ok(match validate_type(input.text("name")?) {
        Ok(()) => json!({ "valid": true }),
        Err(why) => json!({ "valid": false, "reason": why.to_string() }),
    })
}

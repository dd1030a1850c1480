//! The conformance cases for event types and patterns, and the rooms' parts against one another.

use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    id: String,
    input: Input,
    expected: Expected,
    #[serde(default)]
    also_ok: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Input {
    MatchEventType { pattern: String, event_type: String },
    ValidateEventType { name: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Expected {
    Matches { matches: bool },
    Error { error: bool },
    Valid { valid: bool },
}

/// Cases whose expected value breaks the grammar that the cases themselves are written for. `etv-098` calls `a` with a
/// line feed after it valid, as an expression ending in `$` does in some languages; a line feed is no character of a
/// segment.
const AGAINST_THE_GRAMMAR: [&str; 1] = ["etv-098"];

#[test]
fn every_conformance_case_holds() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/vectors/event_type_patterns.json")).unwrap();
    assert_eq!(cases.len(), 160);
    for Case { id, input, expected, also_ok } in cases {
        let actual = match &input {
            Input::ValidateEventType { name } => Expected::Valid { valid: validate_type(name).is_ok() },
            Input::MatchEventType { pattern, event_type } => match Pattern::parse(pattern) {
                Ok(pattern) => Expected::Matches { matches: pattern.matches(event_type) },
                Err(_) => Expected::Error { error: true },
            },
        };
        let holds = actual == expected || also_ok.contains(&actual);
        assert_eq!(holds, !AGAINST_THE_GRAMMAR.contains(&&*id), "{id}: {actual:?}, expected {expected:?}");
    }
}

proptest! {
    /// Every text gets an answer: no input makes the public functions panic, and what is accepted is in the grammar.
    #[test]
    fn no_text_panics(text in "[a-c*.#é\\n]{0,12}", event_type in "[a-c*.\\n]{0,12}") {
        let pattern = Pattern::parse(&text);
        prop_assert_eq!(validate_type(&text).is_ok(), pattern.is_ok() && !text.contains('*'));
        let Ok(pattern) = pattern else { return Ok(()) };
        let matches = pattern.matches(&event_type);
        prop_assert!(!matches || validate_type(&event_type).is_ok());

        let subscription = Subscription::new([pattern]).unwrap();
        let explained = subscription.explain(&event_type);
        let matched = match explained {
            Explained::Matched { .. } => true,
            Explained::Missed { .. } | Explained::Invalid(_) => false,
        };
        prop_assert_eq!(matched, matches);
    }
}

//! The conformance cases for event patterns, and the filter's parts against one another.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

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
struct Input {
    pattern_text: String,
    #[serde(default)]
    event_text: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Expected {
    Matches { matches: bool },
    Error { error: bool },
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../tests/vectors/event_patterns.json")).unwrap();
    assert_eq!(cases.len(), 586);
    cases
}

#[test]
fn every_conformance_case_holds() {
    let mut wrong = Vec::new();
    for Case { id, input, expected, also_ok } in cases() {
        let event = || Flat::of(input.event_text.as_ref().unwrap().as_bytes()).unwrap();
        let actual = match Filter::eventbridge(&input.pattern_text) {
            Ok(_) if input.event_text.is_none() => Expected::Error { error: false },
            Ok(filter) => Expected::Matches { matches: filter.matches(&event()) },
            Err(_) => Expected::Error { error: true },
        };
        if actual != expected && !also_ok.contains(&actual) {
            wrong.push(alloc::format!("{id}: {actual:?}, expected {expected:?}: {}", input.pattern_text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

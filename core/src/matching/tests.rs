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

#[test]
fn the_index_agrees_with_every_conformance_case() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/vectors/event_type_patterns.json")).unwrap();
    let mut index = Index::new();
    let mut all = Vec::new();
    for case in &cases {
        if let Input::MatchEventType { pattern, .. } = &case.input
            && let Ok(subscription) = Subscription::parse([pattern])
        {
            index.insert(all.len() as u32, &subscription);
            all.push(subscription);
        }
    }
    for case in &cases {
        if let Input::MatchEventType { event_type, .. } = &case.input {
            let mut cursor = index.cursor(event_type, u32::MAX);
            let found: Vec<u32> = core::iter::from_fn(|| index.next(&mut cursor)).collect();
            let wanted: Vec<u32> = (0..all.len() as u32).filter(|n| all[*n as usize].matches(event_type)).collect();
            assert_eq!(found, wanted, "{event_type}");
        }
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
            Explained::Missed { .. } | Explained::Filtered { .. } | Explained::Invalid(_) => false,
        };
        prop_assert_eq!(matched, matches);

        let mut index = Index::new();
        index.insert(0, &subscription);
        prop_assert_eq!(index.count(&event_type).exact(), Some(usize::from(matches)));
        if !matches && let Some(near) = index.near_miss(&event_type) {
            prop_assert!(subscription.patterns().contains(&near.pattern));
        }
    }
}

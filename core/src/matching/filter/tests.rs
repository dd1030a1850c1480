//! The conformance cases for event patterns, and the filter's parts against one another.

use alloc::string::{String, ToString};
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

fn filter(text: &str) -> Filter {
    Filter::eventbridge(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

fn event(text: &str) -> Flat {
    Flat::of(text.as_bytes()).unwrap_or_else(|error| panic!("{text} {error}"))
}

fn holds(pattern: &str, text: &str) -> bool {
    filter(pattern).matches(&event(text))
}

#[test]
fn the_index_agrees_with_every_conformance_case() {
    let mut index = FilterIndex::new();
    let mut all = Vec::new();
    for case in cases() {
        if let Ok(filter) = Filter::eventbridge(&case.input.pattern_text) {
            index.insert(all.len() as u32, &filter);
            all.push(filter);
        }
    }
    for case in cases() {
        if let Some(text) = case.input.event_text {
            let event = event(&text);
            let wanted: Vec<u32> = (0..all.len() as u32).filter(|at| all[*at as usize].matches(&event)).collect();
            assert_eq!(index.matches(&event), wanted, "{}", case.id);
        }
    }
}

#[test]
fn numbers_lose_nothing() {
    let cases = [
        (r#"{"a": [9007199254740993]}"#, r#"{"a": 9007199254740993}"#, true),
        (r#"{"a": [9007199254740993]}"#, r#"{"a": 9007199254740992}"#, false),
        (r#"{"a": [9007199254740993]}"#, r#"{"a": 9007199254740993.0}"#, true),
        (r#"{"a": [{"numeric": [">", 9007199254740992]}]}"#, r#"{"a": 9007199254740993}"#, true),
        (r#"{"a": [{"numeric": ["=", 0.1]}]}"#, r#"{"a": 0.1000000000000000000000000001}"#, false),
        (r#"{"a": [{"anything-but": 123456789012345678901}]}"#, r#"{"a": 123456789012345678902}"#, true),
        (r#"{"a": [{"anything-but": 123456789012345678901}]}"#, r#"{"a": 1.23456789012345678901e20}"#, false),
        (r#"{"a": [{"numeric": [">", 1e308]}]}"#, r#"{"a": 1e999999999999999999999}"#, true),
    ];
    for (pattern, event, matches) in cases {
        assert_eq!(holds(pattern, event), matches, "{pattern} {event}");
    }
}

#[test]
fn one_element_of_an_array_matches_all_of_its_fields() {
    let cases = [
        (r#"{"a": {"b": [1], "c": [2]}}"#, r#"{"a": [{"b": 1, "c": 3}, {"b": 4, "c": 2}]}"#, false),
        (r#"{"a": {"b": [1], "c": [2]}}"#, r#"{"a": [{"b": 1, "c": 3}, {"b": [4, 1], "c": 2}]}"#, true),
        (r#"{"a": {"b": [1]}, "d": {"c": [2]}}"#, r#"{"a": [{"b": 0}, {"b": 1}], "d": [{"c": 2}, {"c": 1}]}"#, true),
        (r#"{"a": {"b": {"x": [1]}, "c": {"x": [2]}}}"#, r#"{"a": [{"b": [{"x": 1}]}, {"c": [{"x": 2}]}]}"#, false),
        (
            r#"{"a": {"b": {"x": [1], "y": [2]}, "c": {"x": [2]}}}"#,
            r#"{"a": [{"b": [{"x": 1, "y": 0}, {"x": 1, "y": 2}], "c": [{"x": 3}, {"x": 2}]}, {"c": {"x": 2}}]}"#,
            true,
        ),
        (r#"{"a": {"b": [1], "c": [{"exists": false}]}}"#, r#"{"a": [{"b": 1, "c": 0}, {"b": 1}]}"#, true),
        (r#"{"a": {"b": [1], "c": [{"exists": false}]}}"#, r#"{"a": [{"b": 1, "c": 0}, {"b": 2}]}"#, false),
        (r#"{"a": [1], "a.b": [2]}"#, r#"{"a": [[1, {"b": 3}], [{"b": 2}]]}"#, false),
        (r#"{"a": [1], "a.b": [2]}"#, r#"{"a": [[1, {"b": 3}, {"b": 2}], [1]]}"#, true),
        // A member that is named twice makes two arrays, of which each gives an element.
        (r#"{"a": {"b": [1], "c": [2]}}"#, r#"{"a": [{"b": 1}, {}], "a": [{}, {"c": 2}]}"#, true),
        (r#"{"a": [1], "b": [2]}"#, r#"{"a": 0, "a": 1, "b": 2, "b": 3}"#, true),
    ];
    for (pattern, event, matches) in cases {
        assert_eq!(holds(pattern, event), matches, "{pattern} {event}");
    }
}

#[test]
fn faults_are_told_with_their_place_and_cure() {
    let cases = [
        ("", "is not JSON at byte 0 (at the top); expected a value"),
        ("[1]", "has an array at the top; expected an object with at least one field"),
        ("{}", "has an empty object at the top; expected an object with at least one field"),
        (r#"{"a": [1]} x"#, "is not JSON at byte 11 (at the top); expected the end of the text"),
        (
            r#"{"a": {"b": "x"}}"#,
            "has a string at \"/a/b\"; expected an array of values and tests, or an object of further fields",
        ),
        (r#"{"a": []}"#, "has an empty array at \"/a\"; expected an array with at least one value or test"),
        (
            r#"{"a": ["x", {"contains": "y"}]}"#,
            "has an unknown name \"contains\" at \"/a/1/contains\"; expected exactly, prefix, suffix, \
             equals-ignore-case, wildcard, anything-but, numeric, exists or cidr",
        ),
        (
            r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
            "has a second name at \"/a/0/suffix\"; expected an object with one test",
        ),
        (r#"{"a/b": [{"numeric": [">", "5"]}]}"#, "has a string at \"/a~1b/0/numeric/1\"; expected a number"),
        (
            r#"{"a": [{"numeric": [">", 5, "<", 3]}]}"#,
            "has an empty range at \"/a/0/numeric\"; expected a lower bound below the upper one",
        ),
        (
            r#"{"a": [{"numeric": ["<", 5, ">", 3]}]}"#,
            "has more at \"/a/0/numeric/2\"; expected the end of the array, since only > and >= take a second \
             comparison",
        ),
        (
            r#"{"a": [{"numeric": ["=", 1e400]}]}"#,
            "has the number 1e400 at \"/a/0/numeric/1\"; expected one that is 0 or between 1e-324 and 1e309 in size",
        ),
        (
            r#"{"a": [{"anything-but": ["x", 1]}]}"#,
            "has a number at \"/a/0/anything-but/1\"; expected strings only, as the first",
        ),
        (
            r#"{"a": [{"wildcard": "a**"}]}"#,
            "has a fault at byte 1 of the wildcard at \"/a/0/wildcard\"; expected one `*`, which stands for any number \
             of characters",
        ),
        (
            r#"{"a": [{"cidr": "10.0.0.0/33"}]}"#,
            "has no range of addresses at \"/a/0/cidr\"; expected 0 to 32 bits after the `/` of an IPv4 address",
        ),
        (r#"{"$or": [{"a": [1]}]}"#, "has an array of one at \"/$or\"; expected an array of at least two objects"),
        (
            r#"{"$or": [{"numeric": [1]}, {"a": [1]}]}"#,
            "has the test \"numeric\" as a field at \"/$or/0/numeric\"; expected a test inside an array of a field",
        ),
    ];
    for (text, sentence) in cases {
        assert_eq!(Filter::eventbridge(text).unwrap_err().to_string(), sentence, "{text}");
    }
}

#[test]
fn its_size_is_bounded() {
    let nested = |depth: usize| [r#"{"a":"#.repeat(depth), "[1]".into(), "}".repeat(depth)].concat();
    assert!(Filter::eventbridge(&nested(63)).is_ok());
    assert!(Filter::eventbridge(&nested(64)).unwrap_err().to_string().starts_with("has more than 64 objects"));
    let deep = alloc::format!(r#"{{"{}": [1]}}"#, ["a"; 65].join("."));
    assert!(Filter::eventbridge(&deep).unwrap_err().to_string().starts_with("has more than 64 names in one path"));

    let many = |count: usize| alloc::format!(r#"{{"a": [{}]}}"#, ["1"; 300][..count].join(","));
    assert!(Filter::eventbridge(&many(256)).is_ok());
    assert!(Filter::eventbridge(&many(257)).unwrap_err().to_string().starts_with("has more than 256 alternatives"));

    let or = r#""$or": [{"a": [1]}, {"b": [1]}, {"c": [1]}, {"d": [1]}]"#;
    let ors = |count: usize| alloc::format!("{{{}}}", [or; 9][..count].join(","));
    assert!(Filter::eventbridge(&ors(4)).is_ok());
    let error = Filter::eventbridge(&ors(5)).unwrap_err().to_string();
    assert!(error.starts_with("has more than 1000 branches"), "{error}");

    let fields = |count: usize| {
        let fields: Vec<String> = (0..count).map(|at| alloc::format!("\"f{at}\": [1]")).collect();
        alloc::format!("{{{}}}", fields.join(","))
    };
    assert!(Filter::eventbridge(&fields(256)).is_ok());
    assert!(Filter::eventbridge(&fields(257)).unwrap_err().to_string().starts_with("has more than 256 conditions"));

    let long = alloc::format!(r#"{{"a": ["{}"]}}"#, "x".repeat(bounds::FILTER_BYTES));
    assert_eq!(Filter::eventbridge(&long), Err(FilterError::TooLong { len: long.len(), max: bounds::FILTER_BYTES }));
    assert!(Filter::eventbridge(&"[".repeat(10_000)).is_err() && Filter::cloudevents(&"[".repeat(10_000)).is_err());
}

#[test]
fn repetitions_in_an_event_cannot_hold_it_up() {
    // As many independent choices as fit, of which the last condition allows none.
    let names: Vec<String> = (0..40).map(|at| alloc::format!("k{at:02}")).collect();
    let fields: Vec<String> = names.iter().map(|name| alloc::format!("\"{name}\": [1]")).collect();
    let pattern = alloc::format!(r#"{{"a": {{{}, "z": [2]}}}}"#, fields.join(","));
    let arrays: Vec<String> = (0..40)
        .map(|skip| {
            let element = |part: usize| {
                let some = names.iter().enumerate().filter(|(at, _)| (at + skip) % 2 == part);
                let some: Vec<String> = some.map(|(_, name)| alloc::format!("\"{name}\":1")).collect();
                alloc::format!("{{{},\"z\":1}}", some.join(","))
            };
            alloc::format!("\"a\":[{},{}]", element(0), element(1))
        })
        .collect();
    let text = alloc::format!("{{{},\"a\":[{{\"z\":2}}]}}", arrays.join(","));
    assert!(filter(&pattern).matches(&event(&text)), "found though there are many choices");
    let text = alloc::format!("{{{}}}", arrays.join(","));
    assert!(!filter(&pattern).matches(&event(&text)));
}

#[test]
fn cloudevents_filters_hold_as_the_specification_says() {
    let event = Flat::new()
        .with_text("type", "com.github.push")
        .and_then(|event| event.with_text("subject", "https://github.com/cloudevents/spec"))
        .and_then(|event| event.with_text("id", "myId"))
        .unwrap();
    let cases = [
        ("[]", true),
        (r#"{"exact": {"type": "com.github.push"}}"#, true),
        (r#"{"exact": {"type": "com.github.Push"}}"#, false),
        (r#"{"exact": {"type": "com.github.push", "subject": "https://github.com/cloudevents/spec"}}"#, true),
        (r#"{"exact": {"type": "com.github.push", "subject": "x"}}"#, false),
        (r#"{"exact": {"myext": "customext"}}"#, false),
        (r#"{"prefix": {"type": "com.github.", "subject": "https://github.com/cloudevents"}}"#, true),
        (r#"{"prefix": {"type": "github"}}"#, false),
        (r#"{"prefix": {"myext": "custom"}}"#, false),
        (r#"{"suffix": {"type": ".push", "subject": "/cloudevents/spec"}}"#, true),
        (r#"{"suffix": {"type": ".created"}}"#, false),
        (r#"{"all": [{"exact": {"type": "com.github.push"}}, {"prefix": {"id": "my"}}]}"#, true),
        (r#"{"all": [{"exact": {"type": "com.github.push"}}, {"exact": {"subject": "x"}}]}"#, false),
        (r#"{"any": [{"exact": {"type": "x"}}, {"suffix": {"id": "Id"}}]}"#, true),
        (r#"{"any": [{"exact": {"type": "x"}}, {"exact": {"type": "y"}}]}"#, false),
        (r#"{"not": {"exact": {"type": "com.github.push"}}}"#, false),
        (r#"{"not": {"exact": {"type": "x"}}}"#, true),
        (r#"{"not": {"exact": {"myext": "x"}}}"#, true),
        (r#"{"not": {"not": {"prefix": {"id": "my"}}}}"#, true),
        (r#"{"not": {"exact": {"type": "com.github.push", "id": "other"}}}"#, true),
        (r#"{"not": {"any": [{"exact": {"type": "x"}}, {"exact": {"id": "y"}}]}}"#, true),
        (r#"[{"exact": {"id": "myId"}}, {"prefix": {"type": "com."}}]"#, true),
        (r#"[{"exact": {"id": "myId"}}, {"prefix": {"type": "org."}}]"#, false),
    ];
    for (text, matches) in cases {
        assert_eq!(Filter::cloudevents(text).unwrap().matches(&event), matches, "{text}");
    }
}

#[test]
fn what_is_no_filter_of_cloudevents_is_refused() {
    for text in [
        "{}",
        r#"{"exact": {}}"#,
        r#"{"exact": {"type": ""}}"#,
        r#"{"exact": {"": "x"}}"#,
        r#"{"exact": {"type": 1}}"#,
        r#"{"exact": {"data.x": "y"}}"#,
        r#"{"exact": {"type": "x"}, "prefix": {"type": "y"}}"#,
        r#"{"all": []}"#,
        r#"{"any": {"exact": {"type": "x"}}}"#,
        r#"{"not": [{"exact": {"type": "x"}}]}"#,
        r#"{"sql": "TRUE"}"#,
        r#"[{"exact": {"type": "x"}}, []]"#,
    ] {
        assert!(Filter::cloudevents(text).is_err(), "{text}");
    }
    assert_eq!(
        Filter::cloudevents(r#"[{"all": [{"sql": "TRUE"}]}]"#).unwrap_err().to_string(),
        "has an unknown name \"sql\" at \"/0/all/0/sql\"; expected exact, prefix, suffix, all, any or not"
    );
    let many: Vec<String> = (0..600).map(|at| alloc::format!(r#"{{"exact":{{"a":"{at}"}}}}"#)).collect();
    assert!(Filter::cloudevents(&alloc::format!(r#"{{"any":[{}]}}"#, many.join(","))).is_ok(), "one long list");
    let one = r#"{"any":[{"exact":{"a":"1"}},{"exact":{"b":"1"}},{"exact":{"c":"1"}},{"exact":{"d":"1"}}]}"#;
    let error = Filter::cloudevents(&alloc::format!("[{}]", [one; 5].join(","))).unwrap_err();
    assert!(error.to_string().starts_with("has more than 1000 branches"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn patterns_mean_what_they_say(
        pattern in strategy::pattern(), events in prop::collection::vec(strategy::json(), 1..4),
    ) {
        let filter = filter(&pattern.to_string());
        for json in events {
            let text = json.to_string();
            prop_assert_eq!(filter.matches(&event(&text)), naive::matches(&pattern, &json), "{}", text);
        }
    }

    #[test]
    fn dialects_mean_what_they_say(
        dialect in strategy::dialect(),
        attributes in prop::collection::btree_map(
            prop::sample::select(&["a", "b", "c"][..]), prop::sample::select(&["a", "ab", "ba", "aba", "b", "A"][..]), 0..4,
        ),
    ) {
        let filter = Filter::cloudevents(&dialect.to_string()).unwrap();
        let event = attributes.iter().fold(Flat::new(), |event, (name, value)| event.with_text(name, value).unwrap());
        prop_assert_eq!(filter.matches(&event), naive::dialect(&dialect, &attributes));
    }

    /// Every text gets an answer.
    #[test]
    fn no_text_panics(
        text in r#"([\[\]{}:,]|"(a|b|\$or|prefix|suffix|wildcard|anything-but|numeric|exists|cidr|any|not|exact|<|=|\*|)"|[0-9e.-]{1,3}|true|null| ){0,16}"#,
        bytes in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        let filters = [Filter::eventbridge(&text), Filter::cloudevents(&text)];
        let events = [Flat::of(text.as_bytes()), Flat::of(&bytes), Flat::new().with_json("a", text.as_bytes())];
        for filter in filters.into_iter().flatten() {
            prop_assert_eq!(&Filter::read(filter.language(), filter.as_str()).unwrap(), &filter);
            for event in events.iter().flatten() {
                let mut index = FilterIndex::new();
                index.insert(7, &filter);
                prop_assert_eq!(index.matches(event) == [7], filter.matches(event));
            }
        }
    }
}

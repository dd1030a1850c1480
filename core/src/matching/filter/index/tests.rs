use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::super::Subscription;
use super::super::strategy;
use super::*;

fn of(texts: &[&str]) -> FilterIndex {
    let mut index = FilterIndex::new();
    for (number, text) in (0..).zip(texts) {
        index.insert(number, &Filter::eventbridge(text).unwrap());
    }
    index
}

fn matches(index: &FilterIndex, event: &str) -> Vec<u32> {
    index.matches(&Flat::of(event.as_bytes()).unwrap())
}

#[test]
fn each_kind_of_condition_is_found() {
    let index = of(&[
        r#"{"a": ["x"]}"#,
        r#"{"a": [{"equals-ignore-case": "X"}]}"#,
        r#"{"a": [{"equals-ignore-case": "É"}]}"#,
        r#"{"a": [{"prefix": "ex"}]}"#,
        r#"{"a": [{"suffix": "ex"}]}"#,
        r#"{"a": [{"prefix": ""}]}"#,
        r#"{"a": [{"prefix": {"equals-ignore-case": "X"}}]}"#,
        r#"{"a": [{"wildcard": "*x*"}]}"#,
        r#"{"a": [{"wildcard": "e*x"}]}"#,
        r#"{"a": [{"wildcard": "*x"}]}"#,
        r#"{"a": [{"anything-but": "x"}]}"#,
        r#"{"a": [{"exists": true}]}"#,
        r#"{"a": [{"exists": false}]}"#,
        r#"{"a": [7]}"#,
        r#"{"a": [{"numeric": [">", 5, "<", 10]}]}"#,
        r#"{"a": [{"numeric": [">=", 7]}]}"#,
        r#"{"a": [{"numeric": ["<", 7]}]}"#,
        r#"{"a": [{"cidr": "10.0.0.0/8"}]}"#,
        r#"{"a": [{"cidr": "0.0.0.0/0"}]}"#,
        r#"{"a": ["0::1"]}"#,
        r#"{"a": [null, true]}"#,
        r#"{"b": ["x"], "$or": [{"a": ["x"]}, {"c": [{"exists": false}]}]}"#,
    ]);
    for (event, wanted) in [
        (r#"{"a": "x"}"#, &[0, 1, 5, 6, 7, 9, 11][..]),
        (r#"{"a": "ex"}"#, &[3, 4, 5, 7, 8, 9, 10, 11]),
        (r#"{"a": "é"}"#, &[2, 5, 10, 11]),
        (r#"{"a": "X1"}"#, &[5, 6, 10, 11]),
        (r#"{"a": 7.0}"#, &[10, 11, 13, 14, 15]),
        (r#"{"a": -7}"#, &[10, 11, 16]),
        (r#"{"a": [6, null]}"#, &[10, 11, 14, 16, 20]),
        (r#"{"a": "10.1.2.3"}"#, &[5, 10, 11, 17, 18]),
        (r#"{"a": "::1"}"#, &[5, 10, 11, 19]),
        (r#"{"b": "x"}"#, &[12, 21]),
        (r#"{"b": "x", "c": 1, "a": "x"}"#, &[0, 1, 5, 6, 7, 9, 11, 21]),
        (r#"{}"#, &[12]),
    ] {
        assert_eq!(matches(&index, event), expected(&index, event, wanted), "{event}");
    }
}

/// What a scan gives, which is what was expected.
fn expected(index: &FilterIndex, event: &str, wanted: &[u32]) -> Vec<u32> {
    let event = Flat::of(event.as_bytes()).unwrap();
    let all: Vec<u32> =
        index.filters.iter().filter(|(_, held)| held.filter.matches(&event)).map(|(number, _)| *number).collect();
    assert_eq!(all, wanted);
    all
}

#[test]
fn a_common_value_brings_up_few() {
    let mut index = FilterIndex::new();
    for number in 0..1000 {
        let text = alloc::format!(r#"{{"type": ["order.paid"], "customer": ["c{number}"]}}"#);
        index.insert(number, &Filter::eventbridge(&text).unwrap());
    }
    let event = Flat::of(br#"{"type": "order.paid", "customer": "c77"}"#).unwrap();
    let mut found = Found::default();
    index.walk(0, &event, 0, &mut found);
    assert!(found.entries().len() <= 2, "one by its customer, and perhaps one that waits at the type");
    assert_eq!(index.matches(&event), [77]);
}

#[test]
fn numbers_that_differ_little_are_told_apart() {
    let index = of(&[
        r#"{"a": [9007199254740992]}"#,
        r#"{"a": [9007199254740993]}"#,
        r#"{"a": [{"numeric": [">", 9007199254740992, "<=", 9007199254740993]}]}"#,
        r#"{"a": [{"numeric": ["<", 0.30000000000000004]}]}"#,
    ]);
    assert_eq!(matches(&index, r#"{"a": 9007199254740992}"#), [0]);
    assert_eq!(matches(&index, r#"{"a": 9007199254740993}"#), [1, 2]);
    assert_eq!(matches(&index, r#"{"a": 9007199254740992.0000000001}"#), [2]);
    assert_eq!(matches(&index, r#"{"a": 0.3000000000000000399999}"#), [3]);
}

/// Filters for certain types wait at the type or at the content, whatever is rarer, and agree with the subscriptions.
#[test]
fn types_are_conditions_too() {
    let types = ["order.paid", "order.*", "order.**", "**.paid", "**", "user.made"]
        .map(|pattern| Subscription::parse([pattern, "never.sent"]).unwrap());
    let contents = [
        r#"{"data": {"a": ["x"]}}"#,
        r#"{"data": {"a": [{"exists": false}]}}"#,
        r#"{"$or": [{"data": {"a": ["y"]}}, {"zone": [1]}]}"#,
    ];
    let mut index = FilterIndex::new();
    let mut all = Vec::new();
    for (types, content) in types.iter().flat_map(|types| contents.map(|content| (types, content))) {
        let filter = Filter::eventbridge(content).unwrap();
        let narrowed = filter.for_types(types);
        assert!(narrowed != filter && narrowed.for_types(types) == narrowed);
        index.insert(all.len() as u32, &narrowed.for_types(&Subscription::everything()).for_types(types));
        all.push(types.clone().with_filter(filter));
    }
    for event_type in ["order.paid", "order", "order.item.paid", "user.made", "paid", "a..b"] {
        for content in [r#"{"a": "x"}"#, r#"{"a": "y"}"#, "{}"] {
            let event = Flat::new().with_text("type", event_type).unwrap();
            let event = event.with_json("data", content.as_bytes()).unwrap();
            let wanted: Vec<u32> =
                (0..all.len() as u32).filter(|at| all[*at as usize].wants(event_type, &event)).collect();
            assert_eq!(index.matches(&event), wanted, "{event_type} {content}");
        }
    }
    let mut many = FilterIndex::new();
    for number in 0..1000_u32 {
        let kind = Subscription::parse([alloc::format!("kind{number}.*")]).unwrap();
        many.insert(number, &Filter::eventbridge(r#"{"data": {"a": [{"exists": true}]}}"#).unwrap().for_types(&kind));
    }
    let event = Flat::new().with_text("type", "kind77.made").unwrap().with_json("data", br#"{"a": 1}"#).unwrap();
    let mut found = Found::default();
    many.walk(0, &event, 0, &mut found);
    assert!(found.entries().len() <= 50, "those that wait at the type stay asleep");
    assert_eq!(many.matches(&event), [77]);
}

#[test]
fn a_number_holds_one_filter() {
    let mut index = of(&[r#"{"a": ["x"]}"#]);
    let other = Filter::eventbridge(r#"{"a.b": [1]}"#).unwrap();
    assert_eq!(index.insert(0, &other).unwrap().as_str(), r#"{"a": ["x"]}"#);
    assert_eq!((index.len(), index.get(0), index.get(1)), (1, Some(&other), None));
    assert_eq!((matches(&index, r#"{"a": "x"}"#).len(), matches(&index, r#"{"a": {"b": 1}}"#)), (0, [0].into()));
    assert_eq!((index.remove(0), index.remove(0)), (Some(other), None));
    assert!(index.is_empty() && index.always.is_empty());
    assert_eq!(alloc::format!("{index:?}"), "FilterIndex { filters: 0, paths: 1 }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever goes in and out, it gives what a fresh index gives and what asking each filter gives; and once all are
    /// out nothing is left.
    #[test]
    fn it_gives_what_a_scan_gives(
        filters in prop::collection::vec((0_u32..20, prop::option::weighted(0.8, strategy::filter())), 1..60),
        events in prop::collection::vec(strategy::event(), 1..12),
    ) {
        let mut index = FilterIndex::new();
        let mut model: BTreeMap<u32, Filter> = BTreeMap::new();
        for (number, filter) in &filters {
            match filter {
                Some(filter) => prop_assert_eq!(index.insert(*number, filter), model.insert(*number, filter.clone())),
                None => prop_assert_eq!(index.remove(*number), model.remove(number)),
            }
        }
        let mut fresh = FilterIndex::new();
        for (number, filter) in &model {
            fresh.insert(*number, filter);
        }
        for event in &events {
            let event = Flat::of(event.as_bytes()).unwrap();
            let scan: Vec<u32> =
                model.iter().filter(|(_, filter)| filter.matches(&event)).map(|(number, _)| *number).collect();
            prop_assert_eq!(&index.matches(&event), &scan);
            prop_assert_eq!(&fresh.matches(&event), &scan);
        }
        for (number, filter) in model {
            prop_assert_eq!(index.remove(number), Some(filter));
        }
        prop_assert!(index.is_empty() && index.always.is_empty());
        prop_assert!(index.paths.len() <= index.free.len() + 1, "only the root is left");
        prop_assert!(index.paths.iter().all(|path| path.table.is_none() && path.members.is_empty()));
    }
}

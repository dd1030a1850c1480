//! The project's vectors, and what the runner does with what is none.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::fs;
use std::path::{Path, PathBuf};

use postrider_conformance::{RunError, run};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

#[test]
fn every_case_passes() {
    let report = run(&vectors()).unwrap();
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.passed > 1500, "only {} cases were found", report.passed);
}

/// Every divergence is of a case that exists, so that none is left behind when a case goes.
#[test]
fn every_divergence_is_of_a_case() {
    let list: Vec<serde_json::Value> = serde_json::from_str(include_str!("../divergences.json")).unwrap();
    let mut text = String::new();
    for entry in fs::read_dir(vectors()).unwrap() {
        text += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    for entry in list {
        assert!(text.contains(&format!("\"id\": {}", entry["id"])), "there is no case {}", entry["id"]);
    }
}

/// A file with these cases, run.
fn report_of(cases: &str) -> postrider_conformance::Report {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cases.json"), cases).unwrap();
    run(dir.path()).unwrap()
}

#[test]
fn a_directory_without_vectors_is_an_error() {
    assert!(matches!(run(Path::new("no/such/directory")), Err(RunError::Directory { .. })));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a_table.json"), "[]").unwrap();
    fs::write(dir.path().join("INDEX.md"), "").unwrap();
    assert!(matches!(run(dir.path()), Err(RunError::NoVectors { .. })));
}

#[test]
fn what_is_no_case_fails_with_a_reason() {
    for (cases, id, why) in [
        ("{}", "-", "no array"),
        ("[", "-", "no JSON"),
        ("[1]", "#0", "no object `input`"),
        (r#"[{"id": "a", "input": {"op": "sing"}, "expected": {}}]"#, "a", "`sing` is no known op"),
        (r#"[{"id": "a", "input": {"op": 1}, "expected": {}}]"#, "a", "`op` is no text"),
        (r#"[{"id": "a", "input": {"x": 1}, "expected": {}}]"#, "a", "no known shape"),
        (r#"[{"id": "a", "input": {"op": "detect_mode"}}]"#, "a", "no `expected`"),
        (r#"[{"id": "a", "input": {"op": "sign"}, "expected": {"signature": ""}}]"#, "a", "no `secret`"),
        (
            r#"[{"id": "a", "input": {"op": "verify", "dialect": "nobody"}, "expected": {"verdict": "valid"}}]"#,
            "a",
            "`nobody` is not supported",
        ),
        (
            r#"[{"id": "a", "input": {"op": "parse_response", "raw_b64": "%"}, "expected": {"outcome": "response"}}]"#,
            "a",
            "`raw_b64` is no base64",
        ),
    ] {
        let report = report_of(cases);
        assert_eq!((report.passed, report.failures.len()), (0, 1), "{cases}: {report}");
        let failure = &report.failures[0];
        assert!(failure.file == "cases.json" && failure.id == id && failure.got.contains(why), "{failure}");
    }
}

#[test]
fn the_shape_decides_where_there_is_no_op() {
    let report = report_of(
        r#"[
            {"id": "a", "input": {"values": ["120"], "now": 1445412480}, "expected": {"delay_s": 120}},
            {"id": "b", "input": {"pattern_text": "{\"a\": [1]}", "event_text": "{\"a\": 1}"}, "expected": {"matches": true}},
            {"id": "c", "input": {"pattern": "a.*", "event_type": "a.b"}, "expected": {"matches": true}},
            {"id": "d", "input": {"url": "https://example.com/"}, "expected": {"verdict": "allow"}},
            {"id": "e", "input": {"address": "127.0.0.1"}, "expected": {"class": "not_public"}},
            {"id": "f", "input": {"status": 200}, "expected": {"standard_webhooks": "delivered", "cloudevents": "delivered"}},
            {"id": "g", "input": {"values": ["120"], "now": 1445412480}, "expected": {"ignore": true}, "also_ok": [{"delay_s": 120}]},
            {"id": "h", "input": {"address": "127.0.0.1"}, "expected": {"class": "public"}}
        ]"#,
    );
    assert_eq!((report.passed, report.failures.len()), (7, 1), "{report}");
    let line = report.failures[0].to_string();
    assert!(line.starts_with("cases.json h: expected {\"class\":\"public\"}, got {\"class\":\"not_public\""), "{line}");
}

/// A response whose framing is wrong is judged by both drivers.
#[test]
fn a_response_is_served_to_both_drivers() {
    let report = report_of(
        r#"[{"id": "a", "input": {"op": "parse_response", "request_method": "POST", "eof_after": false,
            "raw_b64": "SFRUUC8xLjEgMjAxIENyZWF0ZWQNCkNvbnRlbnQtTGVuZ3RoOiAyDQoNCm9r"},
            "expected": {"outcome": "response", "status": 200, "body_b64": "b2s="}}]"#,
    );
    assert_eq!((report.passed, report.failures.len()), (0, 1), "{report}");
    let got = &report.failures[0].got;
    let text = "response, status 201, body_b64 \"b2s=\", and the connection was used again";
    assert_eq!(*got, format!("tokio: {text}; blocking: {text}"));
}

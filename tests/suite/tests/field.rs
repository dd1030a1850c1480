//! The manual's page about the field names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of the page, each with the title above it.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let (mut title, mut rows) = (String::new(), Vec::new());
    for line in page.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim) {
        if let Some(text) = line.strip_prefix("# ") {
            title = text.to_string();
        } else if let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            let cells: Vec<String> = cells.split(" | ").map(str::to_string).collect();
            if !["row", "defect"].contains(&cells[0].as_str()) && !cells[0].starts_with("---") {
                rows.push((title.clone(), cells));
            }
        }
    }
    rows
}

/// Whether a file has a test of this name: a function behind `#[test]`, or a row of a macro that makes such functions.
fn has_test(path: &Path, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        function.is_some_and(|rest| rest.split('(').next() == Some(name))
    };
    let is_marked = |at: usize| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    };
    let macro_row =
        text.contains("#[test] fn $name()") && lines.iter().any(|line| line.starts_with(&format!("{name}: ")));
    macro_row || lines.iter().enumerate().any(|(at, line)| is_it(line) && is_marked(at))
}

#[test]
fn every_row_names_a_test_that_exists_or_says_why_not() {
    let page = fs::read_to_string(root().join("core/src/manual/field.rs")).expect("the page is there");
    let mut wrong = Vec::new();
    let mut titles = BTreeSet::new();
    let rows = rows(&page);
    for (title, cells) in &rows {
        titles.insert(title.split(' ').next().unwrap_or_default().to_string());
        let [row, _, shown] = cells.as_slice() else {
            wrong.push(format!("{title}: {cells:?} has not three cells"));
            continue;
        };
        let named: Vec<(&str, &str)> =
            shown.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::")).collect();
        for (file, test) in &named {
            if !has_test(&root().join(file), test) {
                wrong.push(format!("{title}, {row}: there is no test {file}::{test}"));
            }
        }
        let says_why = |part: &str| part.trim().strip_prefix("no").is_some_and(|why| why.len() > " (not built)".len());
        if named.is_empty() && !shown.split([';', '.']).any(says_why) {
            wrong.push(format!("{title}, {row}: it names no test and does not say why"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows.len() > 80, "only {} rows were found", rows.len());
    for section in 1..=12 {
        assert!(titles.contains(&format!("1.{section}")), "there is no section 1.{section}");
    }
    let defects: Vec<&str> =
        rows.iter().filter_map(|(_, cells)| cells[0].split_once(':')).map(|(number, _)| number).collect();
    assert_eq!(
        defects,
        ["D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D12", "D13", "D14", "D17", "D18", "D19", "D20"]
    );
}

/// The search finds what is there, and nothing else.
#[test]
fn tests_are_told_from_other_functions() {
    let here = root().join("tests/suite/tests/field.rs");
    assert!(has_test(&here, "tests_are_told_from_other_functions"));
    assert!(!has_test(&here, "has_test"), "it is no test");
    assert!(!has_test(&here, "tests_are_told"), "a name is whole");
    assert!(!has_test(&root().join("no/such/file.rs"), "a"));
    assert!(has_test(&root().join("core/src/response/tests.rs"), "row_success"));
}

//! The pattern language of Amazon EventBridge, as event-ruler 2.0.1 reads it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::FilterError;
use super::bounds::{ALTERNATIVES, FILTER_DEPTH};
use super::clause::{Bound, Bounds, But, Clause, Test, by_names, sorted};
use super::draft::Draft;
use super::json::Kind;
use super::network::Network;
use super::number::Number;
use super::text::{Folded, GlobFault, Globbed, Wildcard};

/// The conditions of one branch by their paths: a later one replaces an earlier.
type Branch = BTreeMap<Box<str>, u16>;

const FIELDS: &str = "an object with at least one field";
const FIELD: &str = "an array of values and tests, or an object of further fields";
const TEST: &str = "an object with one test";
const ALTERNATIVE: &str = "a string, number, true, false, null or an object with one test";
const TESTS: &str = "exactly, prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists or cidr";
const END: &str = "a string or an object with equals-ignore-case";
const NEGATIVE: &str =
    "a string, a number, an array of either, or an object with prefix, suffix, equals-ignore-case or wildcard";
const NUMERIC: &str = "an array of a comparison and a number, or of two comparisons and numbers";
const OR: &str = "an array of at least two objects";

/// Names that stand for tests, now or later, and so not for fields inside `$or`.
const RESERVED: [&str; 24] = [
    "<",
    "<=",
    "=",
    ">",
    ">=",
    "anything-but",
    "cidr",
    "date-after",
    "date-before",
    "date-on-or-after",
    "date-on-or-before",
    "equals-ignore-case",
    "exactly",
    "exists",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
    "not-equals-ignore-case",
    "not-wildcard",
    "numeric",
    "prefix",
    "regex",
    "suffix",
    "wildcard",
];

/// Reads a pattern into the draft and gives its branches.
pub(super) fn read(draft: &mut Draft<'_>) -> Result<Vec<Box<[u16]>>, FilterError> {
    let mut branches = Vec::from([Branch::new()]);
    object(draft, &mut branches, "", false)?;
    draft.end()?;
    let mut ordered = Vec::with_capacity(branches.len());
    for branch in branches {
        let mut clauses: Vec<u16> = branch.into_values().collect();
        clauses.sort_by(|one, other| {
            let path = |clause: &u16| &*draft.clauses[usize::from(*clause)].path;
            by_names(path(one), path(other))
        });
        ordered.push(clauses.into_boxed_slice());
    }
    Ok(ordered)
}

/// An object of fields, all of which must match, below the path.
fn object(draft: &mut Draft<'_>, branches: &mut Vec<Branch>, path: &str, inside_or: bool) -> Result<(), FilterError> {
    draft.members(FIELDS, |draft, name| {
        if name == "$or" {
            return or(draft, branches, path);
        }
        if inside_or && RESERVED.binary_search(&name.as_str()).is_ok() {
            return Err(FilterError::Reserved { path: draft.here(), name: name.into() });
        }
        let joined = if path.is_empty() { name } else { [path, &name].join(".") };
        match draft.kind()? {
            Kind::Object => object(draft, branches, &joined, inside_or),
            Kind::Array => field(draft, branches, joined),
            kind @ (Kind::Text | Kind::Number | Kind::True | Kind::False | Kind::Null) => {
                Err(draft.expected(FIELD, kind.name()))
            }
        }
    })
}

/// Each of the objects makes branches of its own out of those before.
fn or(draft: &mut Draft<'_>, branches: &mut Vec<Branch>, path: &str) -> Result<(), FilterError> {
    let before = mem::take(branches);
    let mut objects = 0;
    draft.items(OR, |draft, at| {
        objects = at + 1;
        let mut forked = before.clone();
        object(draft, &mut forked, path, true)?;
        branches.append(&mut forked);
        draft.bounded(branches.iter().map(Branch::len))
    })?;
    if objects < 2 {
        return Err(draft.expected(OR, "an array of one"));
    }
    Ok(())
}

/// The list of one field.
fn field(draft: &mut Draft<'_>, branches: &mut [Branch], path: String) -> Result<(), FilterError> {
    if path.split('.').nth(FILTER_DEPTH).is_some() {
        return Err(draft.too_many("names in one path", FILTER_DEPTH));
    }
    let mut clause = Clause { path: path.into(), absent: false, texts: Box::default(), tests: Box::default() };
    let (mut texts, mut tests) = (Vec::new(), Vec::new());
    draft.items("an array with at least one value or test", |draft, _| {
        match draft.kind()? {
            Kind::Object => clause.absent |= test(draft, &mut texts, &mut tests)?,
            Kind::Text => {
                let text = draft.text(ALTERNATIVE)?;
                tests.extend(Network::address(&text).map(|one| Test::Network(one.into())));
                texts.push(text.into());
            }
            Kind::Number => tests.push(Test::Number(Number::read(draft.number(ALTERNATIVE)?).into())),
            kind @ Kind::True => draft.word(kind).map(|()| tests.push(Test::True))?,
            kind @ Kind::False => draft.word(kind).map(|()| tests.push(Test::False))?,
            kind @ Kind::Null => draft.word(kind).map(|()| tests.push(Test::Null))?,
            kind @ Kind::Array => return Err(draft.expected(ALTERNATIVE, kind.name())),
        }
        if tests.len() > ALTERNATIVES {
            return Err(draft.too_many("alternatives besides strings", ALTERNATIVES));
        }
        Ok(())
    })?;
    (clause.texts, clause.tests) = (sorted(texts), tests.into());
    let path = clause.path.clone();
    let number = draft.keep(clause)?;
    for branch in &mut *branches {
        branch.insert(path.clone(), number);
    }
    draft.bounded(branches.iter().map(Branch::len))
}

/// An object with one test. Returns whether it is that the field is absent.
fn test(draft: &mut Draft<'_>, texts: &mut Vec<Box<str>>, tests: &mut Vec<Test>) -> Result<bool, FilterError> {
    draft.single(TEST, |draft, name| {
        let found = match name.as_str() {
            "exists" => match draft.kind()? {
                kind @ Kind::True => draft.word(kind).map(|()| Test::Exists)?,
                kind @ Kind::False => return draft.word(kind).map(|()| true),
                kind @ (Kind::Object | Kind::Array | Kind::Text | Kind::Number | Kind::Null) => {
                    return Err(draft.expected("true or false", kind.name()));
                }
            },
            "exactly" => {
                texts.push(draft.text("a string")?.into());
                return Ok(false);
            }
            "prefix" if draft.kind()? == Kind::Object => Test::FoldedPrefix(ignoring_case(draft)?),
            "prefix" => Test::Prefix(draft.text(END)?.into()),
            "suffix" if draft.kind()? == Kind::Object => Test::FoldedSuffix(ignoring_case(draft)?),
            "suffix" => Test::Suffix(draft.text(END)?.into()),
            "equals-ignore-case" => Test::Folded(Folded::new(&draft.text("a string")?)),
            "wildcard" => match wildcard(draft)? {
                Globbed::Wildcard(wildcard) => Test::Wildcard(wildcard.into()),
                Globbed::Plain(text) => {
                    texts.push(text.into());
                    return Ok(false);
                }
            },
            "anything-but" => Test::But(but(draft)?.into()),
            "numeric" => numeric(draft)?,
            "cidr" => {
                let text = draft.text("a string such as \"10.0.0.0/8\"")?;
                let network = Network::read(&text);
                Test::Network(network.map_err(|expected| FilterError::Network { path: draft.here(), expected })?.into())
            }
            _ => return Err(FilterError::Unknown { path: draft.here(), name: name.into(), expected: TESTS }),
        };
        tests.push(found);
        Ok(false)
    })
}

fn ignoring_case(draft: &mut Draft<'_>) -> Result<Folded, FilterError> {
    const EXPECTED: &str = "equals-ignore-case";
    draft.single("an object with equals-ignore-case only", |draft, name| {
        if name != EXPECTED {
            return Err(FilterError::Unknown { path: draft.here(), name: name.into(), expected: EXPECTED });
        }
        Ok(Folded::new(&draft.text("a string")?))
    })
}

fn wildcard(draft: &mut Draft<'_>) -> Result<Globbed, FilterError> {
    let text = draft.text("a string")?;
    Wildcard::read(&text).map_err(|fault| {
        let (at, expected) = match fault {
            GlobFault::Stars(at) => (at, "one `*`, which stands for any number of characters"),
            GlobFault::Escape(at) => (at, "`\\*` or `\\\\` where a backslash stands"),
        };
        FilterError::Wildcard { path: draft.here(), at, expected }
    })
}

/// What is behind `anything-but`.
fn but(draft: &mut Draft<'_>) -> Result<But, FilterError> {
    if draft.kind()? == Kind::Object {
        return draft.single("an object with prefix, suffix, equals-ignore-case or wildcard", nested);
    }
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    one_or_more(draft, "an array with at least one string or number", |draft| {
        match (draft.kind()?, numbers.is_empty(), texts.is_empty()) {
            (Kind::Number, _, true) => numbers.push(Test::Number(comparable(draft)?.into())),
            (Kind::Number, _, false) => return Err(draft.expected("strings only, as the first", "a number")),
            (Kind::Text, true, _) => texts.push(draft.text(NEGATIVE)?.into()),
            (Kind::Text, false, _) => return Err(draft.expected("numbers only, as the first", "a string")),
            (kind @ (Kind::Object | Kind::Array | Kind::True | Kind::False | Kind::Null), _, _) => {
                return Err(draft.expected(NEGATIVE, kind.name()));
            }
        }
        Ok(numbers.len())
    })?;
    Ok(But { texts: sorted(texts), tests: numbers.into() })
}

/// The test that `anything-but` turns around, with one string or several.
fn nested(draft: &mut Draft<'_>, name: String) -> Result<But, FilterError> {
    let (mut texts, mut tests) = (Vec::new(), Vec::new());
    one_or_more(draft, "an array with at least one string", |draft| {
        let test = match name.as_str() {
            "prefix" => Test::Prefix(some_text(draft)?),
            "suffix" => Test::Suffix(some_text(draft)?),
            "equals-ignore-case" => Test::Folded(Folded::new(&draft.text("a string")?)),
            "wildcard" => match wildcard(draft)? {
                Globbed::Wildcard(wildcard) => Test::Wildcard(wildcard.into()),
                Globbed::Plain(text) => {
                    texts.push(text.into());
                    return Ok(tests.len());
                }
            },
            _ => {
                let expected = "prefix, suffix, equals-ignore-case or wildcard";
                return Err(FilterError::Unknown { path: draft.here(), name: name.as_str().into(), expected });
            }
        };
        tests.push(test);
        Ok(tests.len())
    })?;
    Ok(But { texts: sorted(texts), tests: tests.into() })
}

/// One value, or an array of such. `read` tells how many tests there are now.
fn one_or_more(
    draft: &mut Draft<'_>,
    expected: &'static str,
    mut read: impl FnMut(&mut Draft<'_>) -> Result<usize, FilterError>,
) -> Result<(), FilterError> {
    if draft.kind()? != Kind::Array {
        return read(draft).map(drop);
    }
    draft.items(expected, |draft, _| {
        if read(draft)? > ALTERNATIVES {
            return Err(draft.too_many("alternatives", ALTERNATIVES));
        }
        Ok(())
    })
}

fn some_text(draft: &mut Draft<'_>) -> Result<Box<str>, FilterError> {
    let text = draft.text("a string")?;
    if text.is_empty() {
        return Err(draft.expected("a string of at least one character", "an empty one"));
    }
    Ok(text.into())
}

/// A number within the reach of what other systems can compare.
fn comparable(draft: &mut Draft<'_>) -> Result<Number, FilterError> {
    let text = draft.number("a number")?;
    let number = Number::read(text);
    if !(-324..=308).contains(&number.magnitude()) {
        return Err(FilterError::Number { path: draft.here(), number: text.into() });
    }
    Ok(number)
}

/// A comparison or two.
fn numeric(draft: &mut Draft<'_>) -> Result<Test, FilterError> {
    let mut operators: Vec<String> = Vec::new();
    let mut numbers: Vec<Number> = Vec::new();
    draft.items(NUMERIC, |draft, at| {
        match at {
            0 | 2 => {
                let operator = draft.text("one of = < <= > >=")?;
                let right: &[&str] = if at == 0 { &["=", "<", "<=", ">", ">="] } else { &["<", "<="] };
                if at == 2 && !matches!(operators[0].as_str(), ">" | ">=") {
                    let expected = "the end of the array, since only > and >= take a second comparison";
                    return Err(draft.expected(expected, "more"));
                }
                if !right.contains(&operator.as_str()) {
                    let expected = if at == 0 { "= < <= > or >=" } else { "< or <=" };
                    return Err(FilterError::Unknown { path: draft.here(), name: operator.into(), expected });
                }
                operators.push(operator);
            }
            1 | 3 => numbers.push(comparable(draft)?),
            _ => return Err(draft.expected("at most two comparisons", "more")),
        }
        Ok(())
    })?;
    if numbers.len() < operators.len() {
        return Err(draft.expected("a number after each comparison", "none"));
    }
    let mut bounds = Bounds { low: None, high: None };
    for (operator, at) in operators.iter().zip(numbers) {
        let inside = operator.len() == 2;
        match operator.as_str() {
            "=" => return Ok(Test::Number(at.into())),
            ">" | ">=" => bounds.low = Some(Bound { at, inside }),
            _ => bounds.high = Some(Bound { at, inside }),
        }
    }
    if let (Some(low), Some(high)) = (&bounds.low, &bounds.high)
        && low.at >= high.at
    {
        return Err(FilterError::EmptyRange { path: draft.here() });
    }
    Ok(Test::Within(bounds.into()))
}

//! The filter dialects that every implementation of the CloudEvents Subscriptions API has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::FilterError;
use super::clause::{But, Clause, Test, by_names};
use super::draft::Draft;
use super::json::Kind;

/// Alternatives, each of which is a list of conditions that must all hold.
type Branches = Vec<Vec<u16>>;

const DIALECTS: &str = "exact, prefix, suffix, all, any or not";
const EXPRESSION: &str = "an object with one dialect";
const ATTRIBUTES: &str = "an object of attribute names and strings";

/// Reads the `filters` of a subscription, or one filter, into the draft and gives its branches.
pub(super) fn read(draft: &mut Draft<'_>) -> Result<Vec<Box<[u16]>>, FilterError> {
    let branches = if draft.empty_array()? {
        [Vec::new()].into()
    } else if draft.kind()? == Kind::Array {
        list(draft, "an array of filters", false, false)?
    } else {
        expression(draft, false)?
    };
    draft.end()?;
    let ordered = branches.into_iter().map(|mut branch| {
        branch.sort_by(|one, other| {
            let path = |clause: &u16| &*draft.clauses[usize::from(*clause)].path;
            by_names(path(one), path(other)).then(one.cmp(other))
        });
        branch.dedup();
        branch.into_boxed_slice()
    });
    Ok(ordered.collect())
}

/// One filter, or its opposite.
fn expression(draft: &mut Draft<'_>, negated: bool) -> Result<Branches, FilterError> {
    draft.single(EXPRESSION, |draft, dialect| match dialect.as_str() {
        "exact" | "prefix" | "suffix" => attributes(draft, &dialect, negated),
        "all" => list(draft, "an array of at least one filter", negated, negated),
        "any" => list(draft, "an array of at least one filter", negated, !negated),
        "not" => expression(draft, !negated),
        _ => Err(FilterError::Unknown { path: draft.here(), name: dialect.into(), expected: DIALECTS }),
    })
}

/// Several filters (or their opposites), of which one must hold if `any`, or else all.
fn list(draft: &mut Draft<'_>, expected: &'static str, negated: bool, any: bool) -> Result<Branches, FilterError> {
    let mut sum: Option<Branches> = None;
    draft.items(expected, |draft, _| {
        let next = expression(draft, negated)?;
        sum = Some(match sum.take() {
            None => next,
            Some(sum) if any => either(draft, sum, next)?,
            Some(sum) => both(draft, &sum, &next)?,
        });
        Ok(())
    })?;
    Ok(sum.expect("a list has an item, or is refused"))
}

/// Conditions on attributes, all of which must hold; or, negated, one of which must fail.
fn attributes(draft: &mut Draft<'_>, dialect: &str, negated: bool) -> Result<Branches, FilterError> {
    let mut sum: Branches = if negated { Vec::new() } else { [Vec::new()].into() };
    draft.members(ATTRIBUTES, |draft, name| {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            let expected = "an attribute's name, of small letters and digits";
            return Err(FilterError::Unknown { path: draft.here(), name: name.into(), expected });
        }
        let value: Box<str> = draft.text("a string")?.into();
        if value.is_empty() {
            return Err(draft.expected("a string of at least one character", "an empty one"));
        }
        let (texts, tests): (Box<[_]>, Box<[_]>) = match dialect {
            "exact" => ([value].into(), Box::default()),
            "prefix" => (Box::default(), [Test::Prefix(value)].into()),
            _ => (Box::default(), [Test::Suffix(value)].into()),
        };
        let path = name.into();
        if negated {
            let tests = [Test::But(But { texts, tests }.into())].into();
            let clause = draft.keep(Clause { path, absent: true, texts: Box::default(), tests })?;
            sum = either(draft, core::mem::take(&mut sum), [[clause].into()].into())?;
        } else {
            let clause = draft.keep(Clause { path, absent: false, texts, tests })?;
            sum[0].push(clause);
        }
        Ok(())
    })?;
    draft.bounded(sum.iter().map(Vec::len))?;
    Ok(sum)
}

/// The alternatives of both. Single conditions on the same attribute become one condition; no other branch has it yet.
fn either(draft: &mut Draft<'_>, mut sum: Branches, more: Branches) -> Result<Branches, FilterError> {
    for branch in more {
        let clause = |number: u16| &draft.clauses[usize::from(number)];
        let into = match branch[..] {
            [added] => sum.iter().find_map(|other| match other[..] {
                [one] if clause(one).joins(clause(added)) => Some((one, added)),
                _ => None,
            }),
            _ => None,
        };
        match into {
            Some((one, added)) => {
                let added = draft.clauses[usize::from(added)].clone();
                draft.clauses[usize::from(one)].join(added);
            }
            None => sum.push(branch),
        }
    }
    draft.bounded(sum.iter().map(Vec::len))?;
    Ok(sum)
}

/// Each alternative of the one with each of the other.
fn both(draft: &Draft<'_>, one: &Branches, other: &Branches) -> Result<Branches, FilterError> {
    draft.bounded(one.iter().flat_map(|one| other.iter().map(|other| one.len() + other.len())))?;
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| [&one[..], other].concat()));
    Ok(pairs.collect())
}

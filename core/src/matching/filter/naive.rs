//! What filters mean, word for word, for holding the real thing against: it reads trees and no text, compares numbers
//! as integers, and tries every choice of array elements.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::strategy::{Dialect, Json, Pattern, Wanted};

/// A value, its path, and which element of which array it is in.
struct Leaf<'a> {
    path: String,
    value: &'a Json,
    elements: Vec<(usize, usize)>,
}

type Branch<'a> = BTreeMap<Vec<String>, &'a [Wanted]>;

pub(super) fn matches(pattern: &Pattern, event: &Json) -> bool {
    let mut leaves = Vec::new();
    flatten(event, "", &[], &mut 0, &mut leaves);
    let mut branches = Vec::from([Branch::new()]);
    branch(pattern, "", &mut branches);
    branches.iter().any(|branch| {
        let conditions: Vec<_> = branch.iter().map(|(path, wanted)| (path.join("."), *wanted)).collect();
        choose(&conditions, &leaves, &[])
    })
}

/// Attributes by their names.
pub(super) fn dialect(filter: &Dialect, attributes: &BTreeMap<&str, &str>) -> bool {
    match filter {
        Dialect::Of(name, of) => of.iter().all(|(attribute, wanted)| {
            attributes.get(attribute).is_some_and(|found| match *name {
                "exact" => found == wanted,
                "prefix" => found.starts_with(wanted),
                _ => found.ends_with(wanted),
            })
        }),
        Dialect::All(of) => of.iter().all(|one| dialect(one, attributes)),
        Dialect::Any(of) => of.iter().any(|one| dialect(one, attributes)),
        Dialect::Not(of) => !dialect(of, attributes),
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

fn flatten<'a>(json: &'a Json, path: &str, elements: &[(usize, usize)], arrays: &mut usize, out: &mut Vec<Leaf<'a>>) {
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                flatten(value, &joined(path, name), elements, arrays, out);
            }
        }
        Json::Array(items) => {
            *arrays += 1;
            let array = *arrays;
            for (at, item) in items.iter().enumerate() {
                match item {
                    Json::Object(_) | Json::Array(_) => {
                        flatten(item, path, &[elements, &[(array, at)]].concat(), arrays, out);
                    }
                    Json::Text(_) | Json::Number(_) | Json::Word(_) => flatten(item, path, elements, arrays, out),
                }
            }
        }
        Json::Text(_) | Json::Number(_) | Json::Word(_) => {
            out.push(Leaf { path: path.into(), value: json, elements: elements.into() });
        }
    }
}

fn branch<'a>(pattern: &'a Pattern, path: &str, branches: &mut Vec<Branch<'a>>) {
    match pattern {
        Pattern::Fields(fields) => {
            for (name, value) in fields {
                let below = if name == "$or" { path.into() } else { joined(path, name) };
                branch(value, &below, branches);
            }
        }
        Pattern::Or(objects) => {
            let before = core::mem::take(branches);
            for object in objects {
                let mut forked = before.clone();
                branch(object, path, &mut forked);
                branches.extend(forked);
            }
        }
        Pattern::List(wanted) => {
            let names: Vec<String> = path.split('.').map(Into::into).collect();
            for branch in branches {
                branch.insert(names.clone(), wanted);
            }
        }
    }
}

fn choose(conditions: &[(String, &[Wanted])], leaves: &[Leaf<'_>], chosen: &[(usize, usize)]) -> bool {
    let Some(((path, wanted), rest)) = conditions.split_first() else { return true };
    let fits = |leaf: &&Leaf<'_>| {
        leaf.path == *path
            && leaf.elements.iter().all(|(array, at)| chosen.iter().all(|(other, to)| array != other || at == to))
    };
    let absent = wanted.iter().any(|wanted| matches!(wanted, Wanted::Exists(false)));
    if absent && !leaves.iter().any(|leaf| fits(&leaf)) && choose(rest, leaves, chosen) {
        return true;
    }
    leaves.iter().filter(fits).any(|leaf| {
        wanted.iter().any(|wanted| passes(wanted, leaf.value))
            && choose(rest, leaves, &[chosen, &leaf.elements].concat())
    })
}

fn passes(wanted: &Wanted, found: &Json) -> bool {
    let text = |test: &dyn Fn(&str) -> bool| matches!(found, Json::Text(found) if test(found));
    let number = |test: &dyn Fn(i128) -> bool| matches!(found, Json::Number(found) if test(tenths(found)));
    let small = |text: &str| text.to_ascii_lowercase();
    match wanted {
        Wanted::Text(wanted) => text(&|found| {
            let address = |text: &str| text.parse::<IpAddr>().ok();
            found == *wanted || (address(found).is_some() && address(found) == address(wanted))
        }),
        Wanted::Exactly(wanted) => text(&|found| found == *wanted),
        Wanted::Number(wanted) => number(&|found| found == tenths(wanted)),
        Wanted::Word(wanted) => matches!(found, Json::Word(found) if found == wanted),
        Wanted::Prefix(wanted) => text(&|found| found.starts_with(wanted)),
        Wanted::Suffix(wanted) => text(&|found| found.ends_with(wanted)),
        Wanted::IgnoreCase(wanted) => text(&|found| small(found) == small(wanted)),
        Wanted::PrefixIgnoreCase(wanted) => text(&|found| small(found).starts_with(&small(wanted))),
        Wanted::SuffixIgnoreCase(wanted) => text(&|found| small(found).ends_with(&small(wanted))),
        Wanted::Wildcard(wanted) => text(&|found| wildcard(wanted.as_bytes(), found.as_bytes())),
        Wanted::Numeric(op, at) => number(&|found| compares(found, op, at)),
        Wanted::Between(low, at, high, to) => number(&|found| compares(found, low, at) && compares(found, high, to)),
        Wanted::Exists(exists) => *exists,
        Wanted::Cidr(wanted) => text(&|found| network(wanted, found)),
        Wanted::But(texts) => !text(&|found| texts.contains(&found)),
        Wanted::ButNumbers(numbers) => !number(&|found| numbers.iter().any(|one| tenths(one) == found)),
        Wanted::ButAny(test, texts) => !texts.iter().any(|one| {
            let positive = match *test {
                "prefix" => Wanted::Prefix(one),
                "suffix" => Wanted::Suffix(one),
                "wildcard" => Wanted::Wildcard(one),
                _ => Wanted::IgnoreCase(one),
            };
            passes(&positive, found)
        }),
    }
}

/// The numbers used here have one decimal at most.
fn tenths(text: &str) -> i128 {
    match text {
        "10e-1" => 10,
        "1e2" => 1000,
        other => match other.split_once('.') {
            Some((whole, tenth)) if whole.starts_with('-') => {
                whole.parse::<i128>().unwrap() * 10 - tenth.parse::<i128>().unwrap()
            }
            Some((whole, tenth)) => whole.parse::<i128>().unwrap() * 10 + tenth.parse::<i128>().unwrap(),
            None => other.parse::<i128>().unwrap() * 10,
        },
    }
}

fn compares(found: i128, op: &str, at: &str) -> bool {
    match op {
        "=" => found == tenths(at),
        "<" => found < tenths(at),
        "<=" => found <= tenths(at),
        ">" => found > tenths(at),
        _ => found >= tenths(at),
    }
}

fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| wildcard(rest, &text[taken..])),
        ([b'\\', wanted, rest @ ..] | [wanted, rest @ ..], [found, after @ ..]) => {
            wanted == found && wildcard(rest, after)
        }
        (_, []) => false,
    }
}

fn network(wanted: &str, found: &str) -> bool {
    let (base, bits) = wanted.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match (base.parse().unwrap(), found.parse()) {
        (IpAddr::V4(base), Ok(IpAddr::V4(found))) => {
            (0..bits).all(|bit| (base.to_bits() ^ found.to_bits()) & (1 << (31 - bit)) == 0)
        }
        (IpAddr::V6(base), Ok(IpAddr::V6(found))) => {
            (0..bits).all(|bit| (base.to_bits() ^ found.to_bits()) & (1 << (127 - bit)) == 0)
        }
        (_, _) => false,
    }
}

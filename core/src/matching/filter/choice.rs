//! Whether the conditions of a branch hold together: for one choice of an element from each array.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::bounds::TANGLED_STEPS;
use super::clause::Clause;
use super::flat::{Flat, NONE, ROOT};

/// What an event has for one condition, which is asked once however many branches have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hits {
    /// Nothing: it fails whatever is chosen.
    Never,
    /// It holds whatever is chosen.
    Always,
    /// It depends on what is chosen.
    Sometimes(Box<Places>),
}

/// Where a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The deepest path of the event on the way to the field.
    path: u32,
    /// The places of values that pass, ascending, each once, none of them the root.
    passing: Vec<u32>,
    /// The places of all values, where the field may be absent as well.
    present: Option<Vec<u32>>,
}

impl Hits {
    pub(super) fn of(clause: &Clause, flat: &Flat) -> Self {
        let (path, whole) = flat.find(&clause.path);
        let mut passing = Vec::new();
        let mut present = Vec::new();
        for (value, place) in flat.values(path).take_while(|_| whole) {
            if clause.passes(value) {
                if place == ROOT {
                    return Self::Always;
                }
                passing.push(place);
            }
            present.push(place);
        }
        if present.is_empty() && clause.absent {
            return Self::Always;
        }
        // A value at the root is present whatever is chosen.
        let may_lack = clause.absent && !present.contains(&ROOT);
        if passing.is_empty() && !may_lack {
            return Self::Never;
        }
        let present = may_lack.then(|| distinct(present));
        Self::Sometimes(Places { path, passing: distinct(passing), present }.into())
    }
}

/// Whether there is a choice for which all hold. They stand in the order of their paths' names, in which also the
/// absence of a field is judged: by what the conditions before have chosen.
pub(super) fn together(hits: &[&Hits], flat: &Flat) -> bool {
    let mut depending = Vec::new();
    for hits in hits {
        match hits {
            Hits::Never => return false,
            Hits::Always => {}
            Hits::Sometimes(places) => depending.push(&**places),
        }
    }
    if flat.tangled {
        return tangled(flat, &depending, &mut Vec::new(), &mut { TANGLED_STEPS });
    }
    clean(flat, &depending)
}

/// One pass. In an event without repetitions the arrays that matter to a path lie inside one another, so a choice is one
/// place, the deepest; those that can still matter are as many as there are places.
fn clean(flat: &Flat, depending: &[&Places]) -> bool {
    let mut chosen = Vec::from([ROOT]);
    for places in depending {
        // What was chosen in arrays that lie elsewhere matters to none of the conditions left.
        chosen = distinct(chosen.into_iter().map(|place| relevant(flat, place, places.path)).collect());
        let mut next = Vec::new();
        let within = |list: &[u32], place: u32| line(flat, place).any(|above| list.binary_search(&above).is_ok());
        next.extend(places.passing.iter().copied().filter(|place| within(&chosen, *place)));
        next.extend(chosen.iter().copied().filter(|place| within(&places.passing, *place)));
        if let Some(present) = &places.present {
            let inside = |place: u32| {
                let end = flat.places[place as usize].end;
                present.get(present.partition_point(|other| *other < place)).is_some_and(|other| *other < end)
            };
            next.extend(chosen.iter().copied().filter(|place| !within(present, *place) && !inside(*place)));
        }
        chosen = distinct(next);
        if chosen.is_empty() {
            return false;
        }
    }
    true
}

/// The place or the nearest around it that is in an array on the way to the path.
fn relevant(flat: &Flat, place: u32, path: u32) -> u32 {
    let on_the_way = |array: u32| {
        let depth = flat.paths[array as usize].depth;
        let mut at = path;
        while flat.paths[at as usize].depth > depth {
            at = flat.paths[at as usize].parent;
        }
        at == array
    };
    line(flat, place).find(|at| *at == ROOT || on_the_way(flat.places[*at as usize].path)).unwrap_or(ROOT)
}

/// A place and those around it, without the root unless it is the root itself.
fn line(flat: &Flat, place: u32) -> impl Iterator<Item = u32> {
    core::iter::successors(Some(place), |at| (*at != ROOT).then(|| flat.places[*at as usize].parent))
}

/// One choice after another, each tried at most once for each way to come to it, within the bound of steps. Deeper by
/// one call for each condition, of which a branch has at most 256.
fn tangled(flat: &Flat, depending: &[&Places], chosen: &mut Vec<u32>, steps: &mut usize) -> bool {
    let Some((places, rest)) = depending.split_first() else { return true };
    let fits = |place: u32, chosen: &[u32], steps: &mut usize| {
        *steps = steps.saturating_sub(1 + chosen.len());
        *steps > 0 && chosen.iter().all(|other| consistent(flat, *other, place))
    };
    if let Some(present) = &places.present
        && !present.iter().any(|place| fits(*place, chosen, steps))
        && *steps > 0
        && tangled(flat, rest, chosen, steps)
    {
        return true;
    }
    for place in &places.passing {
        if fits(*place, chosen, steps) {
            chosen.push(*place);
            if tangled(flat, rest, chosen, steps) {
                return true;
            }
            chosen.pop();
        }
    }
    false
}

/// Whether both can be chosen: they lie in one another, or part in different arrays.
fn consistent(flat: &Flat, one: u32, other: u32) -> bool {
    let place = |at: u32| &flat.places[at as usize];
    let (mut one, mut other) = (one, other);
    let (mut below_one, mut below_other) = (NONE, NONE);
    while one != other {
        // Of two, the later is never around the earlier.
        if one > other {
            (below_one, one) = (one, place(one).parent);
        } else {
            (below_other, other) = (other, place(other).parent);
        }
    }
    below_one == NONE || below_other == NONE || place(below_one).array != place(below_other).array
}

fn distinct(mut places: Vec<u32>) -> Vec<u32> {
    places.sort_unstable();
    places.dedup();
    places
}

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;

use super::table::{CHAIN, Queue, Table};
use super::*;
use crate::time::UnixTime;

const WINDOW: Duration = Duration::from_secs(60);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A replay of an id, or the event itself, signed at that second.
fn named(id: &str, replay: Option<u64>, signed: u64) -> Name {
    Name::new((0, Some(id.into())), None, replay, UnixTime::from_secs(signed))
}

fn claim(claims: &mut Claims, name: Name) -> DeliveryId {
    claims.claim(name, (0, at(30_000)), (at(0), WINDOW)).delivery
}

/// Whoever signs can make as many ids as he likes meet in one chain: here, all replays of one event.
#[test]
fn ids_that_meet_are_all_known_and_all_forgotten() {
    let mut claims = Claims::default();
    let replays = 3 * CHAIN as u64;
    let ending = |signed: u64| if signed.is_multiple_of(2) { Ending::Done } else { Ending::Queued };
    let all = || core::iter::once(None).chain((0..replays).map(Some));
    let find = |claims: &mut Claims, replay, signed| claims.find(&named("a", replay, signed), true, (at(0), WINDOW));
    for (signed, replay) in (1..).zip(all()) {
        assert_eq!(find(&mut claims, replay, signed), Known::Free, "{replay:?} is signed later than all before");
        let delivery = claim(&mut claims, named("a", replay, signed));
        assert_eq!(find(&mut claims, replay, signed), Known::InProgress(delivery));
        assert_eq!(
            claims.commit(delivery, ending(signed), at(0)),
            Ended::InTime(Waiters { first: Some(0), others: Vec::new() })
        );
    }
    for (signed, replay) in (1..).zip(all()) {
        assert_eq!(find(&mut claims, replay, 0), Known::Over(ending(signed)), "{replay:?}");
    }
    assert_eq!(
        find(&mut claims, Some(replays), replays + 1),
        Known::Over(ending(replays + 1)),
        "signed no later than the newest"
    );
    assert_eq!(find(&mut claims, Some(replays), replays + 2), Known::Free);
    while claims.remembered() > 0 {
        assert_eq!(claims.forget(at(60_000), WINDOW, 1000).count(), 0);
    }
    assert!(all().all(|replay| claims.find(&named("a", replay, 0), true, (at(0), WINDOW)) == Known::Free));
    assert!(claims.table.is_bare());
}

#[test]
fn many_ids_are_told_apart() {
    let mut claims = Claims::default();
    let ids: Vec<_> = (0..2000).map(|n| format!("evt_{n}")).collect();
    let deliveries: Vec<_> = ids.iter().map(|id| claim(&mut claims, named(id, None, 1))).collect();
    for (id, delivery) in ids.iter().zip(deliveries) {
        assert_eq!(claims.find(&named(id, None, 1), true, (at(0), WINDOW)), Known::InProgress(delivery));
        assert_eq!(claims.find(&named(&format!("{id}\0"), None, 1), true, (at(0), WINDOW)), Known::Free);
        let other = Name::new((1, Some(id.as_str().into())), None, None, UnixTime::EPOCH);
        assert_eq!(claims.find(&other, true, (at(0), WINDOW)), Known::Free, "another's");
        assert!(claims.is_in_progress(delivery));
        claims.abort(delivery, at(1));
        assert!(!claims.is_in_progress(delivery));
    }
    assert!(claims.table.is_bare());
}

proptest! {
    /// Whatever is put where: a queue is in the order of times, and of numbers where they are the same.
    #[test]
    fn queues_are_in_order(ops in prop::collection::vec((0..20_u64, 0..4_usize, 0..6_u64), 0..200)) {
        let queues = [Queue::Going, Queue::Held, Queue::Ended];
        let (mut table, mut sets) = (Table::default(), [(); 3].map(|()| BTreeSet::new()));
        for (number, queue, time) in ops {
            let there = table.find(DeliveryId(number));
            for set in &mut sets {
                set.retain(|(_, other)| *other != number);
            }
            match (there, queues.get(queue)) {
                (Some(there), Some(to)) => table.move_to(there, *to, at(time)),
                (Some(there), None) => drop(table.remove(there)),
                (None, _) => drop(table.insert(number, named("a", None, 0), 0, at(time))),
            }
            let queue = if there.is_none() { 0 } else { queue };
            sets.get_mut(queue).map(|set| set.insert((at(time), number)));
            for (queue, set) in queues.iter().zip(&sets) {
                prop_assert_eq!(table.len(*queue), set.len());
                prop_assert_eq!(table.first(*queue).map(|first| table[first].key()), set.first().copied());
                prop_assert!(table.in_order(*queue).eq(set.iter().copied()));
            }
        }
    }
}

//! The ring against a model: a list of keys with their ends, and a set of the revoked.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn key(n: u8) -> Secret {
    Secret::from_bytes([n; 32]).unwrap()
}

fn at(hour: u64) -> UnixTime {
    UnixTime::from_secs(1_700_000_000 + hour * 3600)
}

#[test]
fn a_rotation_overlaps_and_ends() {
    let mut draft = Draft::default();
    draft.add(&key(1)).unwrap();
    assert_eq!(draft.rotate(&key(2), at(0), limits::ROTATION_OVERLAP), Ok(true));
    assert_eq!(draft.active(at(23)), [key(2).id(), key(1).id()], "both sign, the newest first");
    assert_eq!(draft.active(at(24)), [key(2).id()]);
    assert_eq!(draft.rotate(&key(2), at(12), limits::ROTATION_OVERLAP), Ok(false), "the overlap is not begun anew");
    assert_eq!(draft.active(at(24)), [key(2).id()]);
    assert_eq!((draft.finish(at(13)), draft.finish(at(13))), (Ok(true), Ok(false)));
    assert_eq!(draft.active(at(13)), [key(2).id()]);

    assert_eq!(draft.rotate(&key(1), at(14), HOUR), Ok(true), "an earlier key may come back");
    assert_eq!(draft.active(at(14)), [key(1).id(), key(2).id()]);
    draft.revoke(key(2).id()).unwrap();
    assert_eq!(draft.rotate(&key(2), at(14), HOUR), Err(RingError::Revoked(key(2).id())));
    assert_eq!(draft.rotate(&key(3), at(14), Duration::ZERO), Ok(true));
    assert_eq!(draft.active(at(14)), [key(3).id()]);

    let long = LONGEST_OVERLAP + Duration::from_secs(1);
    assert_eq!(draft.rotate(&key(4), at(14), long), Err(RingError::Overlap(long)));
    assert_eq!(RingError::Overlap(long).to_string(), "an overlap of 604801s is too long; at most 604800s is allowed");
}

#[test]
fn a_full_ring_refuses_and_one_with_expired_keys_does_not() {
    let mut draft = Draft::default();
    for n in 0..10 {
        draft.add(&key(n)).unwrap();
    }
    assert_eq!(draft.rotate(&key(10), at(0), HOUR), Err(RingError::Full));
    assert_eq!(draft.active(at(0)).len(), 10, "a refusal changes nothing");
    draft.expire(key(0).id(), at(1)).unwrap();
    assert_eq!(draft.rotate(&key(10), at(1), HOUR), Ok(true));
    assert_eq!((draft.active(at(1)).len(), draft.active(at(2))), (10, alloc::vec![key(10).id()]));
}

#[test]
fn a_newest_key_that_is_to_expire_cannot_sign_alone() {
    let mut draft = Draft::default();
    assert_eq!(draft.finish(at(0)), Ok(false));
    draft.add(&key(1)).unwrap();
    draft.add(&key(2)).unwrap();
    draft.expire(key(2).id(), at(1)).unwrap();
    assert_eq!(draft.finish(at(1)), Err(RingError::Ends(key(2).id())));
    assert_eq!(draft.active(at(1)), [key(1).id()]);
}

#[test]
fn a_ring_never_runs_out_of_keys() {
    let mut draft = Draft::default();
    assert_eq!(draft.replace(&[key(1), key(2)]), Ok(true));
    assert_eq!(draft.expire(key(1).id(), at(20)), Ok(true));
    assert_eq!(draft.expire(key(2).id(), at(10)), Err(RingError::Last(key(2).id())));
    assert_eq!(draft.revoke(key(2).id()), Err(RingError::Last(key(2).id())));
    assert_eq!(draft.revoke(key(1).id()), Ok(true));
}

#[derive(Clone, Debug)]
enum Act {
    Add(u8),
    Rotate(u8, u64),
    Finish,
    Expire(u8, u64),
    Revoke(u8),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..14_u8).prop_map(Act::Add),
        (0..14_u8, 0..170_u64).prop_map(|(n, hours)| Act::Rotate(n, hours)),
        Just(Act::Finish),
        (0..14_u8, 0..400_u64).prop_map(|(n, hour)| Act::Expire(n, hour)),
        (0..14_u8).prop_map(Act::Revoke),
        (0..12_u64).prop_map(Act::Pass),
    ]
}

proptest! {
    /// Any order of commands gives the model's active set; a revoked key never signs again; one key signs without end.
    #[test]
    fn any_order_of_commands_gives_the_models_active_set(course in prop::collection::vec(acts(), 0..60)) {
        let mut draft = Draft::default();
        let ring = KeyRing::default();
        let mut model: BTreeMap<KeyId, Option<UnixTime>> = BTreeMap::new();
        let (mut revoked, mut hour) = (Vec::new(), 0);
        for act in course {
            let wall = at(hour);
            let before = draft.clone();
            let done = match act {
                Act::Add(n) => draft.add(&key(n)).inspect(|_| { model.insert(key(n).id(), None); }),
                Act::Rotate(n, hours) => {
                    let done = draft.rotate(&key(n), wall, HOUR * hours as u32);
                    if done == Ok(true) {
                        let ends = at(hour + hours);
                        model.values_mut().for_each(|at| *at = Some(at.map_or(ends, |at| at.min(ends))));
                        model.insert(key(n).id(), None);
                    }
                    done
                }
                Act::Finish => {
                    let newest = draft.keys().next().map(|(id, _)| id);
                    draft.finish(wall).inspect(|_| {
                        let others = model.iter_mut().filter(|(id, _)| Some(**id) != newest);
                        others.for_each(|(_, at)| *at = Some(at.map_or(wall, |at| at.min(wall))));
                    })
                }
                Act::Expire(n, to) => draft.expire(key(n).id(), at(to)).inspect(|_| { model.insert(key(n).id(), Some(at(to))); }),
                Act::Revoke(n) => draft.revoke(key(n).id()).inspect(|_| {
                    model.remove(&key(n).id());
                    revoked.push(key(n).id());
                }),
                Act::Pass(hours) => { hour += hours; continue }
            };
            if done != Ok(true) {
                prop_assert!(draft.keys().eq(before.keys()), "what changes nothing changes nothing");
            }
            let lasting = draft.keys().any(|(_, expires)| expires.is_none());
            prop_assert_eq!(lasting, draft.keys().len() > 0);
            ring.publish(&draft, &Dialects::default());
            let mut active = draft.active(wall);
            prop_assert_eq!(&active, &ring.active(wall));
            prop_assert!(active.len() <= limits::RING_KEYS && revoked.iter().all(|id| !active.contains(id)));
            active.sort();
            let expected: Vec<_> =
                model.iter().filter(|(_, at)| at.is_none_or(|at| wall < at)).map(|(id, _)| *id).collect();
            prop_assert_eq!(active, expected);
        }
    }
}

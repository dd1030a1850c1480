//! Every request is signed by every key that is active, and by no other: invariant 12.
//!
//! The signature is computed here once more, by the specification: HMAC-SHA256 over id, timestamp and body.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::base64;
use super::facts::{REPLAYED, Scene, is_made};
use super::marks::{Marks, Shown, write};
use super::pages::Pages;
use super::schemes;
use crate::observe::{Broken, Departure, Key, Replay, Scheme, Seen, Spec, Told, Wish};

/// The rings of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Keys {
    rings: BTreeMap<u32, BTreeMap<u32, Entry>>,
    /// Endpoints whose last rotation was finished, so that one key signs, until somebody wants something else of their
    /// keys.
    finished: BTreeSet<u32>,
    calls: Pages<Call>,
    scratch: Vec<u8>,
}

/// A key of a ring, as far as it is known.
#[derive(Debug)]
struct Entry {
    key: Key,
    mac: Hmac<Sha256>,
    /// It signs for sure, until it expires.
    must: bool,
    /// It may sign, until it expires.
    may: bool,
    /// It signs no attempt that starts at or after this time, in milliseconds; sure when the last command is.
    expires: Option<u64>,
    /// The last call that meant it.
    touched: u64,
}

#[derive(Debug)]
struct Call {
    endpoint: u32,
    /// What was known of each key that it means: whether it signed for sure, and until when.
    before: Vec<(u32, bool, Option<u64>)>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// These are all there are.
    Exactly(Vec<u32>),
    Add,
    Expire(u32, u64),
    Revoke(u32),
    /// This one, and the others until then.
    Rotate(u32, u64),
    /// The newest alone, whichever that is.
    Finish,
    Remove,
}

impl Keys {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        if let Seen::Asked { call, wish, clocks, .. } = seen {
            self.asked(*call, clocks.wall, wish);
        }
    }

    fn asked(&mut self, call: u64, wall: u64, wish: &Wish<'_>) {
        let (endpoint, what, keys) = match wish {
            Wish::Put(spec) if spec.keys.is_empty() => return,
            Wish::Put(spec) => {
                let numbers = spec.keys.iter().map(|key| key.number).collect();
                (spec.endpoint, What::Exactly(numbers), &spec.keys[..])
            }
            Wish::AddKey(endpoint, key) => (*endpoint, What::Add, std::slice::from_ref(key)),
            Wish::ExpireKey(endpoint, key, at) => (*endpoint, What::Expire(key.number, *at), &[][..]),
            Wish::RevokeKey(endpoint, key) => (*endpoint, What::Revoke(key.number), &[][..]),
            Wish::RotateKey(endpoint, key, overlap) => {
                (*endpoint, What::Rotate(key.number, wall.saturating_add(*overlap)), std::slice::from_ref(key))
            }
            Wish::FinishRotation(endpoint) => (*endpoint, What::Finish, &[][..]),
            Wish::Remove(endpoint) => (*endpoint, What::Remove, &[][..]),
            Wish::Publish(_)
            | Wish::Pause(_)
            | Wish::Resume(_)
            | Wish::Disable(_)
            | Wish::Cancel { .. }
            | Wish::Purge(_)
            | Wish::Erase { .. }
            | Wish::Close(_) => return,
        };
        self.finished.remove(&endpoint);
        let ring = self.rings.entry(endpoint).or_default();
        for key in keys {
            ring.entry(key.number).or_insert_with(|| Entry::new(key)).may = true;
        }
        let mut before = Vec::new();
        for (number, entry) in ring.iter_mut() {
            let (meant, stays) = match &what {
                What::Exactly(all) => (true, all.contains(number)),
                What::Add => (keys.iter().any(|key| key.number == *number), true),
                What::Expire(key, _) | What::Revoke(key) => (key == number, false),
                What::Rotate(key, _) => (true, key == number),
                What::Finish | What::Remove => (true, false),
            };
            if meant {
                before.push((*number, entry.must, entry.expires));
                // Until there is an answer it may be so or so.
                entry.must &= stays && entry.expires.is_none();
                entry.expires = None;
                entry.touched = call;
            }
        }
        self.calls.insert(call, Call { endpoint, before, what });
    }

    pub(super) fn answered(&mut self, call: u64, told: Told) {
        let Some(known) = self.calls.remove(call) else { return };
        let Some(ring) = self.rings.get_mut(&known.endpoint) else { return };
        if matches!((told, &known.what), (Told::Ok { .. }, What::Finish))
            && self.calls.iter().all(|(_, other)| other.endpoint != known.endpoint)
        {
            self.finished.insert(known.endpoint);
        }
        let ours = ring.iter_mut().filter(|(_, entry)| entry.touched == call);
        match told {
            Told::Ok { .. } => {
                for (number, entry) in ours {
                    let before = known.before.iter().find(|(other, ..)| other == number);
                    (entry.must, entry.may) = match &known.what {
                        What::Exactly(all) if all.contains(number) => (true, true),
                        What::Exactly(_) | What::Revoke(_) | What::Remove => (false, false),
                        What::Add | What::Expire(..) => (true, true),
                        What::Rotate(key, _) if key == number => (true, true),
                        // Those that signed go on until then, and earlier ones do not begin again.
                        What::Rotate(..) => (before.is_some_and(|(_, must, _)| *must), true),
                        // One of them is the newest.
                        What::Finish => (false, entry.may),
                    };
                    entry.expires = match known.what {
                        What::Expire(_, at) => Some(at),
                        What::Rotate(key, _) if key == *number => None,
                        What::Rotate(_, at) => {
                            Some(before.and_then(|(_, _, expires)| *expires).map_or(at, |earlier| earlier.min(at)))
                        }
                        What::Finish => None,
                        What::Exactly(_) | What::Add | What::Revoke(_) | What::Remove => None,
                    };
                }
            }
            Told::Refused(_) => {
                for (number, entry) in ours {
                    let known = known.before.iter().find(|(other, ..)| other == number);
                    (entry.must, entry.expires) = known.map_or((false, None), |(_, must, expires)| (*must, *expires));
                }
            }
            // What it means for the keys stays open.
            Told::Lost => {}
        }
    }

    pub(super) fn departed(
        &mut self,
        scene: &Scene<'_>,
        departure: &Departure<'_>,
        marks: &Marks<'_>,
    ) -> Result<(), Broken> {
        let Scene { facts, open, node, endpoint, .. } = *scene;
        if is_made(open.event) {
            return Ok(());
        }
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        let fail = |what: String| Err(Broken::new(12, format!("{}: {what}", name())));
        // What has to stand in the headers: "e12.1767225600.1", written once into bytes that are kept.
        let expected = &mut self.scratch;
        expected.clear();
        let (prefix, id) = match facts.replay(open.event) {
            Some(Replay { of, keeps_id: true, .. }) => ("e", *of),
            Some(_) => (REPLAYED, open.event),
            None => ("e", open.event),
        };
        expected.extend_from_slice(prefix.as_bytes());
        write(id, expected);
        let id = expected.len();
        expected.push(b'.');
        write(open.started.wall / 1000, expected);
        let signed = expected.len();
        expected.push(b'.');
        write(open.number.into(), expected);
        let (id, seconds, number) = (&expected[..id], &expected[id + 1..signed], &expected[signed + 1..]);
        if marks.id != Some(id) {
            return fail(format!("its id is {:?}", Shown(marks.id)));
        }
        if marks.timestamp != Some(seconds) {
            let (began, says) = (open.started.wall / 1000, Shown(marks.timestamp));
            return fail(format!("it began at {began}, and says {says:?}"));
        }
        if marks.attempt != Some(number) {
            return fail(format!("it says that it is number {:?}", Shown(marks.attempt)));
        }
        let same = endpoint.is_some_and(|known| known.generation == open.generation);
        let Some(ring) = self.rings.get_mut(&open.endpoint).filter(|_| same) else { return Ok(()) };
        if node.weak {
            return Ok(());
        }
        let signatures = marks.signature.unwrap_or_default();
        let mut left = Vec::with_capacity(4);
        if signatures.contains(&b' ') {
            left.extend(signatures.split(|byte| *byte == b' ').filter(|one| !one.is_empty()));
        } else if !signatures.is_empty() {
            left.push(signatures);
        }
        let count = left.len();
        for (number, entry) in ring.iter_mut().filter(|(_, entry)| entry.may) {
            let expired = entry.expires.is_some_and(|at| open.started.wall >= at);
            let mut mac = entry.mac.clone();
            // The id, a full stop, the timestamp, a full stop, the body.
            mac.update(&expected[..=signed]);
            mac.update(departure.body);
            let signature = mac.finalize().into_bytes();
            let is_it = |one: &&[u8]| one.strip_prefix(b"v1,").is_some_and(|text| base64::is_of(text, &signature));
            let found = left.iter().position(is_it);
            match found {
                Some(_) if expired => return fail(format!("key {number} has expired, and signed it")),
                Some(at) => {
                    left.swap_remove(at);
                }
                None if entry.must && !expired && entry.expires.is_none_or(|at| node.latest < at) => {
                    return fail(format!("key {number} is active, and did not sign it"));
                }
                None => {}
            }
        }
        if count > 1 && self.finished.contains(&open.endpoint) {
            return fail(format!("the rotation was finished, and {count} keys sign"));
        }
        if !left.is_empty() {
            return fail(format!("{} signatures are by no active key", left.len()));
        }
        let known = endpoint.filter(|known| !known.changed_since(open.tick));
        if let Some(spec) = known.and_then(|known| known.specs.sure()).filter(|spec| schemes::concern(spec, departure))
        {
            let ring = Ring { keys: ring, started: open.started.wall, latest: node.latest };
            let text = |bytes| std::str::from_utf8(bytes).expect("letters, digits and a low line");
            for scheme in schemes::ALL {
                let signed = ring.check(scheme, spec, departure, (text(id), text(seconds)));
                signed.map_err(|what| Broken::new(12, format!("{}: {what}", name())))?;
            }
        }
        Ok(())
    }
}

/// The keys of a ring at an attempt.
struct Ring<'a> {
    keys: &'a BTreeMap<u32, Entry>,
    started: u64,
    latest: u64,
}

impl Ring<'_> {
    /// Whether a request is signed by a scheme where its endpoint wants that, and only there: by every active key, or by
    /// the newest, which is the one with the highest number.
    fn check(&self, scheme: Scheme, spec: &Spec, departure: &Departure<'_>, of: (&str, &str)) -> Result<(), String> {
        let header = schemes::header(scheme);
        if !spec.schemes.contains(&scheme) {
            let unwanted = departure.header(header).is_some();
            return if unwanted { Err(format!("nobody has chosen the scheme of {header}")) } else { Ok(()) };
        }
        let port = if spec.port == 443 { String::new() } else { format!(":{}", spec.port) };
        let url = format!("https://{}{port}/hook", spec.host);
        let mut left = schemes::signatures(scheme, departure, of.1);
        let given = left.len();
        for entry in self.keys.values().rev().filter(|entry| entry.may) {
            let signature = schemes::sign(scheme, &entry.key, &url, of.0, of.1, departure.body);
            let expired = entry.expires.is_some_and(|at| self.started >= at);
            let must = entry.must && !expired && entry.expires.is_none_or(|at| self.latest < at);
            match left.iter().position(|one| *one == signature) {
                Some(_) if expired => return Err(format!("key {} has expired, and signed {header}", entry.key.number)),
                Some(at) => {
                    left.swap_remove(at);
                    if !schemes::is_list(scheme) {
                        break;
                    }
                }
                None if must => return Err(format!("key {} is active, and did not sign {header}", entry.key.number)),
                None => {}
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{} of {given} in {header} are by no active key", left.len()))
        }
    }
}

impl Entry {
    fn new(key: &Key) -> Self {
        let mac = Hmac::new_from_slice(&key.secret).expect("a key of any length will do");
        Self { key: *key, mac, must: false, may: false, expires: None, touched: 0 }
    }
}

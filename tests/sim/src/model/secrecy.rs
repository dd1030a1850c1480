//! No secret is in anything that is shown: invariant 27.
//!
//! Looked for are the keys, plain, in base64 (at each of its three alignments) and in hexadecimal, in everything that a
//! node tells and in one request of sixteen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::base64;
use crate::observe::{Broken, Departure, Key, Note, Seen, Wish};

/// The beginning of a disguise by which it is looked up.
const HEAD: usize = 8;

/// One request in so many is searched.
const SEARCHED: u64 = 16;

/// What must not be seen.
#[derive(Debug, Default)]
pub(super) struct Secrecy {
    /// By their beginnings: the whole of each, and whose it is.
    canaries: BTreeMap<[u8; HEAD], Vec<(Vec<u8>, u32)>>,
    /// One bit for each pair of bytes with which any of them begins; most places of a text need no look at more.
    pairs: Vec<u64>,
}

impl Secrecy {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { wish: Wish::Put(spec), .. } => spec.keys.iter().for_each(|key| self.add(key)),
            Seen::Asked { wish: Wish::AddKey(_, key), .. } => self.add(key),
            Seen::Noted { note: Note::Other(text), .. } => return self.search("a notice", text.as_bytes()),
            Seen::Refused { why, .. } => return self.search("what is said of a damaged log", why.as_bytes()),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn departed(&self, departure: &Departure<'_>) -> Result<(), Broken> {
        if !departure.attempt.is_multiple_of(SEARCHED) {
            return Ok(());
        }
        for (name, value) in departure.headers {
            self.search(name, value)?;
        }
        self.search("a body", departure.body)
    }

    /// Searches a text of any kind.
    pub(super) fn search(&self, place: &str, text: &[u8]) -> Result<(), Broken> {
        if self.canaries.is_empty() {
            return Ok(());
        }
        for (at, head) in text.windows(HEAD).enumerate().filter(|(_, head)| self.may_begin(head[0], head[1])) {
            let head = <&[u8; HEAD]>::try_from(head).expect("windows have that length");
            let known = self.canaries.get(head).into_iter().flatten();
            if let Some((_, key)) = known.into_iter().find(|(whole, _)| text[at..].starts_with(whole)) {
                return Err(Broken::new(27, format!("key {key} can be read in {place}")));
            }
        }
        Ok(())
    }

    fn may_begin(&self, first: u8, second: u8) -> bool {
        self.pairs[usize::from(first) << 2 | usize::from(second >> 6)] >> (second & 63) & 1 == 1
    }

    fn add(&mut self, key: &Key) {
        self.pairs.resize(1024, 0);
        let mut hex = String::new();
        key.secret.iter().for_each(|byte| write!(hex, "{byte:02x}").expect("a string takes everything"));
        let mut disguises = vec![key.secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for skip in 0..3 {
            let text = base64::encode(&key.secret[skip..]);
            // The last letters depend on what follows.
            disguises.push(text.as_bytes()[..text.len() / 4 * 4 - 4].to_vec());
        }
        for disguise in disguises {
            let head: [u8; HEAD] = *disguise.first_chunk().expect("a key is longer than that");
            self.pairs[usize::from(head[0]) << 2 | usize::from(head[1] >> 6)] |= 1 << (head[1] & 63);
            let known = self.canaries.entry(head).or_default();
            if known.iter().all(|(other, _)| *other != disguise) {
                known.push((disguise, key.number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disguise_is_seen_through() {
        let key = Key { number: 7, secret: std::array::from_fn(|i| (i * 37 + 11) as u8) };
        let mut secrecy = Secrecy::default();
        secrecy.add(&key);
        let around = |bytes: &[u8]| [b"before ", bytes, b" behind"].concat();
        let hex: String = key.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let shifted: Vec<_> = (0..3).map(|n| base64::encode(&[&[9; 3][..n], &key.secret].concat())).collect();
        for text in [hex.clone(), hex.to_uppercase()].iter().chain(&shifted) {
            assert!(secrecy.search("it", &around(text.as_bytes())).is_err(), "{text}");
        }
        assert!(secrecy.search("it", &around(&key.secret)).is_err());
        assert!(secrecy.search("it", &around(&key.secret[1..])).is_ok());
    }
}

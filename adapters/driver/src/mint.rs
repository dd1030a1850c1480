//! What must not be guessed, from the operating system's random source.

use std::fmt;

use postrider_core::id::EventId;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use zeroize::Zeroizing;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntropyError;

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no random bytes")
    }
}

impl std::error::Error for EntropyError {}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Symbols of an id: 62^22 is more than 2^130.
const SYMBOLS: usize = 22;

/// An event id that nobody has: `msg_` and 22 characters of `0-9A-Za-z`, which is 130 random bits.
pub fn event_id() -> Result<EventId, EntropyError> {
    let mut text = String::with_capacity(4 + SYMBOLS);
    text.push_str("msg_");
    while text.len() < 4 + SYMBOLS {
        let mut bytes = [0; 32];
        fill(&mut bytes)?;
        // 6 bits are one of 64; the two that have no symbol are drawn again, so that each symbol is equally likely.
        let symbols = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        text.extend(symbols.take(4 + SYMBOLS - text.len()).map(|symbol| char::from(*symbol)));
    }
    Ok(EventId::new(text).expect("26 letters, digits and one '_' are an id"))
}

/// A signing key of 32 random bytes.
pub fn secret() -> Result<Secret, EntropyError> {
    let mut key = Zeroizing::new([0; 32]);
    fill(&mut *key)?;
    Ok(Secret::from_bytes(key.as_slice()).expect("32 bytes are within 24 to 64"))
}

/// The seed of a new store.
pub fn seed() -> Result<Seed, EntropyError> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(Seed::from_bytes(bytes))
}

/// What makes the stand-ins of one trace unlike those of another.
pub(crate) fn salt() -> Result<[u8; 32], EntropyError> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> Result<(), EntropyError> {
    getrandom::fill(bytes).map_err(|_| EntropyError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_of_one_form_and_differ() {
        let ids: BTreeSet<_> = (0..1000).map(|_| event_id().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in &ids {
            let symbols = id.as_str().strip_prefix("msg_").unwrap();
            assert_eq!(symbols.len(), SYMBOLS);
            assert!(symbols.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
        // 22,000 symbols: each of the 62 is there about 355 times.
        let mut counts = [0_u32; 128];
        ids.iter().flat_map(|id| id.as_str()[4..].bytes()).for_each(|byte| counts[usize::from(byte)] += 1);
        for symbol in ALPHABET {
            let count = counts[usize::from(*symbol)];
            assert!((200..550).contains(&count), "{} came {count} times", char::from(*symbol));
        }
    }

    #[test]
    fn secrets_and_seeds_differ() {
        let (a, b) = (secret().unwrap(), secret().unwrap());
        assert_eq!(a.expose().len(), 32);
        assert!(!a.same_as(&b));
        assert_ne!(seed().unwrap().to_bytes(), seed().unwrap().to_bytes());
    }
}

//! What happened, as 128 bits: two runs of a seed must agree on them.

use bytes::BytesMut;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, Record};

use crate::observe::{Outcome, Recalled, Seen, SimTime, Told};

/// A fast hash that is the same everywhere; not made to withstand an adversary.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    low: u64,
    high: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { low: 0x243F_6A88_85A3_08D3, high: 0x1319_8A2E_0370_7344 }
    }
}

impl Hasher {
    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.pair(number, 0);
    }

    /// Takes numbers in, two at a time, and how many there are.
    fn numbers(&mut self, numbers: &[u64]) {
        let (pairs, last) = numbers.as_chunks::<2>();
        pairs.iter().for_each(|[one, other]| self.pair(*one, *other));
        self.pair(last.first().copied().unwrap_or(0), numbers.len() as u64);
    }

    /// Takes bytes in, and how many there are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("8 bytes"));
        let (pairs, rest) = bytes.as_chunks::<16>();
        pairs.iter().for_each(|pair| self.pair(word(&pair[..8]), word(&pair[8..])));
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        self.pair(word(&last[..8]), word(&last[8..]) ^ (bytes.len() as u64).rotate_right(8));
    }

    fn pair(&mut self, one: u64, other: u64) {
        let product = u128::from(self.low ^ one) * u128::from(self.high ^ other);
        let [lower, upper] = [product, product >> 64].map(|half| (half & u128::from(u64::MAX)) as u64);
        // What went in stays in one half, whatever the product is.
        self.low = (lower ^ one).wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.high = upper.rotate_left(23) ^ other.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ self.low;
    }

    /// The hash of everything so far.
    pub fn finish(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

/// A digest of records and their places, for comparing what was recovered.
pub fn digest_of(records: &[(JournalSeq, Record)]) -> u128 {
    let mut hash = Hasher::default();
    let mut bytes = BytesMut::new();
    for (seq, record) in records {
        bytes.clear();
        journal::encode(*seq, record, &mut bytes);
        hash.bytes(&bytes);
    }
    hash.finish()
}

/// The hash of everything that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    hash: Hasher,
}

impl Trace {
    /// The hash so far.
    pub fn finish(&self) -> u128 {
        self.hash.finish()
    }

    /// Takes a mark in that is no observation: which event of the world came at which time.
    pub fn mark(&mut self, at: SimTime, what: u64) {
        self.hash.number(at.0 ^ what.rotate_left(48));
    }

    /// Takes in what was seen.
    pub fn see(&mut self, at: SimTime, seen: &Seen<'_>) {
        let hash = &mut self.hash;
        let mut all = |numbers: &[u64]| hash.numbers(numbers);
        match seen {
            Seen::Began(rules) => all(&[1, rules.seed, u64::from(rules.credit), rules.window]),
            Seen::Asked { call, node, clocks, .. } => all(&[2, *call, u64::from(*node), clocks.mono, clocks.wall]),
            Seen::Answered { call, told } => {
                let told = match told {
                    Told::Ok { fresh } => u64::from(*fresh),
                    Told::Refused(why) => 16 + *why as u64,
                    Told::Lost => 2,
                };
                all(&[3, *call, told]);
            }
            Seen::Started { attempt, node, clocks, endpoint, event, number, .. } => {
                all(&[4, *attempt, u64::from(*node), clocks.mono, u64::from(*endpoint), u64::from(*number)]);
                hash.bytes(event.as_bytes());
            }
            Seen::Departed(departure) => {
                all(&[5, departure.attempt, departure.clocks.mono, u64::from(departure.port)]);
                departure.headers.iter().for_each(|(_, value)| hash.bytes(value));
                hash.bytes(departure.body);
            }
            Seen::Arrived { attempt, took, status } => {
                all(&[6, *attempt, u64::from(*took), u64::from(status.unwrap_or(0))]);
            }
            Seen::Ended { attempt, clocks, outcome } => {
                let outcome = match outcome {
                    Outcome::Status { status, .. } => u64::from(*status),
                    Outcome::Failed { why, .. } => 1 << 16 | u64::from(why.as_bytes()[0]) | (why.len() as u64) << 8,
                };
                all(&[7, *attempt, clocks.mono, outcome]);
            }
            Seen::Aborted { attempt } => all(&[8, *attempt]),
            Seen::Noted { node, clocks, .. } => all(&[9, u64::from(*node), clocks.mono]),
            Seen::Settled { node, report, event } => {
                all(&[10, u64::from(*node), report.map_or(0, |report| 1 + report.tally.iter().sum::<u64>())]);
                hash.bytes(event.as_bytes());
            }
            Seen::Trimmed { node, before } => all(&[19, u64::from(*node), *before]),
            Seen::Read { node, clocks, recalled, .. } => {
                let told = match recalled {
                    Recalled::Event(None) => 0,
                    Recalled::Event(Some(past)) => 1 + past.tries.len() as u64,
                    Recalled::Page { items, .. } => items.len() as u64,
                    Recalled::Counts(ended) => ended.iter().sum(),
                    Recalled::Failed(why) => why.len() as u64,
                };
                all(&[18, u64::from(*node), clocks.wall, told]);
            }
            Seen::Died { node, how } => all(&[11, u64::from(*node), *how as u64]),
            Seen::Restarted { node, clocks, lost } => {
                all(&[12, u64::from(*node), clocks.mono, clocks.wall, lost.len() as u64]);
            }
            Seen::Refused { node, why, lost, .. } => {
                all(&[13, u64::from(*node), lost.len() as u64]);
                hash.bytes(why.as_bytes());
            }
            Seen::Stepped { node, by } => all(&[14, u64::from(*node), by.unsigned_abs()]),
            Seen::Suspended { node, nanos } => all(&[15, u64::from(*node), *nanos]),
            Seen::Damaged { node } => all(&[16, u64::from(*node)]),
            Seen::Inquired { attempt, endpoint, clocks, .. } => all(&[20, *attempt, u64::from(*endpoint), clocks.mono]),
            Seen::Replied { endpoint, clocks, status, word, .. } => {
                all(&[21, u64::from(*endpoint), clocks.mono, u64::from(status.unwrap_or(0)), u64::from(*word)]);
            }
            Seen::Healed { until } => all(&[17, until.0]),
        }
        hash.number(at.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> u128 {
        let mut hasher = Hasher::default();
        hasher.bytes(bytes);
        hasher.finish()
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let all = [b"".as_slice(), b"\0", b"\0\0", b"12345678", b"12345679", b"123456780", b"02345678"];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(hash(one), hash(other));
            }
        }
    }
}

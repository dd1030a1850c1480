//! Checks that need the world itself: what a judge from outside cannot see.

use std::collections::VecDeque;

use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, Glance, Kind, Record};
use postrider_core::sender::PersistBatch;

use crate::observe::{Broken, Judge, Look, Seen, SimTime, Wish};
use crate::profile::Profile;
use crate::trace::Hasher;

use super::node::number;

/// Where a canary begins in a text, in any of the forms in which secrets get printed.
pub(super) fn canary(text: &[u8]) -> Option<usize> {
    // As it is, in base64, in hex, and as a list of numbers.
    const FORMS: [&[u8]; 4] = [
        b"canary~secret~~",
        b"Y2FuYXJ5fnNlY3JldH5+",
        b"63616e6172797e7365637265747e7e",
        b"99, 97, 110, 97, 114, 121, 126",
    ];
    let begins = |byte: u8| matches!(byte, b'c' | b'Y' | b'6' | b'9');
    debug_assert!(FORMS.iter().all(|form| begins(form[0])), "no form is passed over");
    let mut rest = text.iter().enumerate().filter(|(_, byte)| begins(**byte));
    rest.find_map(|(at, _)| FORMS.iter().any(|form| text[at..].starts_with(form)).then_some(at))
}

/// The records that a node has made, by hashes of their bytes: what is recovered must be a prefix of them, and hold
/// everything that was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// The number of the first in `hashes`.
    first: u64,
    hashes: VecDeque<u64>,
    /// The places of the records by which events were accepted, in order, and the events: a log may name what it lost by
    /// place alone.
    accepted: Vec<(u64, u64)>,
    acknowledged: u64,
    damaged: bool,
}

impl Prefix {
    /// Bytes were changed that were durable: from now on records may be missing, loudly.
    pub(super) fn damage(&mut self) {
        self.damaged = true;
    }

    fn last(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }

    fn hash(&self, seq: u64) -> Option<u64> {
        let at = seq.checked_sub(self.first + 1)?;
        self.hashes.get(usize::try_from(at).ok()?).copied()
    }

    /// A machine gave records to its log, for the first time or again.
    pub(super) fn issued(&mut self, batch: &PersistBatch) -> Result<(), Broken> {
        let next = batch.first().get();
        if next > self.last() + 1 && !self.damaged {
            return Err(Broken::new(17, format!("record {next} is issued after record {}", self.last())));
        }
        if self.damaged && next > self.last() + 1 {
            self.hashes.clear();
            self.first = next - 1;
        }
        let mut rest = &batch.bytes()[..];
        for next in next..=batch.last().get() {
            let (key, len) = journal::peek(rest).map_err(|error| {
                Broken::new(17, format!("record {next} cannot be read where it is issued: {error}"))
            })?;
            let (frame, behind) = rest.split_at(len);
            rest = behind;
            if key.seq.get() != next {
                return Err(Broken::new(17, format!("record {} stands in the place of {next}", key.seq)));
            }
            let event = match (key.kind == Kind::Accepted).then(|| journal::glance(frame)) {
                Some(Ok((_, Glance::Accepted(accepted)))) => str::from_utf8(accepted.id).ok().and_then(number),
                Some(_) | None => None,
            };
            self.file(next, event);
            let hash = hash_of(frame);
            match self.hash(next) {
                Some(before) if before != hash => {
                    return Err(Broken::new(17, format!("record {next} is issued again with another content")));
                }
                Some(_) => {}
                None => self.hashes.push_back(hash),
            }
        }
        if !rest.is_empty() {
            return Err(Broken::new(17, format!("{} bytes are behind record {} of a batch", rest.len(), batch.last())));
        }
        Ok(())
    }

    /// Remembers which event a record accepts, if it accepts one.
    fn file(&mut self, seq: u64, event: Option<u64>) {
        let is_next = self.accepted.last().is_none_or(|(last, _)| *last < seq);
        let at = if is_next { self.accepted.len() } else { self.accepted.partition_point(|(other, _)| *other < seq) };
        // Behind a damaged end places are used again.
        if self.accepted.get(at).is_some_and(|(other, _)| *other == seq) {
            self.accepted.remove(at);
        }
        if let Some(event) = event {
            self.accepted.insert(at, (seq, event));
        }
    }

    /// A log said that everything up to this record is durable.
    pub(super) fn acknowledged(&mut self, seq: JournalSeq) -> Result<(), Broken> {
        if seq.get() > self.last() {
            return Err(Broken::new(17, format!("record {seq} is acknowledged, the last one made is {}", self.last())));
        }
        self.acknowledged = self.acknowledged.max(seq.get());
        Ok(())
    }

    /// The events whose accepted records are in these runs, first and last.
    pub(super) fn accepted(&self, runs: &[(JournalSeq, JournalSeq)]) -> Vec<u64> {
        let within = |&(first, last): &(JournalSeq, JournalSeq)| {
            let from = self.accepted.partition_point(|(seq, _)| *seq < first.get());
            self.accepted[from..].iter().take_while(move |(seq, _)| *seq <= last.get())
        };
        runs.iter().flat_map(within).map(|(_, number)| *number).collect()
    }

    /// The log need not keep what is before this record.
    pub(super) fn reclaim(&mut self, needed: JournalSeq) {
        while self.first + 1 < needed.get() && self.hashes.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// These are the records that a store gave when it was opened. With `loose`, some may be missing.
    pub(super) fn recovered(&mut self, records: &[(JournalSeq, Record)], loose: bool) -> Result<(), Broken> {
        self.damaged |= loose;
        let mut bytes = bytes::BytesMut::new();
        let mut last = None;
        let mut through = 0;
        for (seq, record) in records {
            let seq = seq.get();
            match record {
                Record::SnapshotBegin(begin) => through = begin.since.get(),
                _ if seq == 0 => {}
                _ => {
                    if !loose && last.unwrap_or(through) + 1 != seq && last.is_some() {
                        return Err(Broken::new(17, format!("after record {last:?} comes {seq}")));
                    }
                    bytes.clear();
                    journal::encode(JournalSeq::new(seq), record, &mut bytes);
                    if self.hash(seq).is_some_and(|hash| hash != hash_of(&bytes)) {
                        return Err(Broken::new(17, format!("record {seq} is not what it was")));
                    }
                    last = Some(seq);
                }
            }
        }
        let last = last.unwrap_or(0).max(through);
        if last < self.acknowledged && !loose {
            let what = format!("records up to {} were acknowledged, recovered are those to {last}", self.acknowledged);
            return Err(Broken::new(17, what));
        }
        if last > self.last() && !loose {
            return Err(Broken::new(17, format!("record {last} is recovered, the last one made is {}", self.last())));
        }
        let keep = usize::try_from(last.saturating_sub(self.first)).expect("a count");
        self.hashes.truncate(keep);
        if loose {
            self.acknowledged = self.acknowledged.min(last);
        }
        Ok(())
    }
}

fn hash_of(frame: &[u8]) -> u64 {
    let mut hash = Hasher::default();
    hash.bytes(frame);
    (hash.finish() >> 64) as u64 ^ hash.finish() as u64
}

/// Attempts in flight: no more than the adapter can carry, and no more to an endpoint than it wants at once.
#[derive(Debug)]
pub(super) struct Bounds {
    nodes: Vec<Carried>,
    /// Attempts in flight by endpoint, and how many it may have: what it wants now, and what it wanted before that.
    endpoints: Vec<Wanted>,
    /// Node, endpoint, of the attempts in flight; by their numbers, from `first` on.
    attempts: VecDeque<Option<(u32, u32)>>,
    first: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    in_flight: u64,
    credit: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    in_flight: u64,
    wants: u64,
    wanted: u64,
}

impl Bounds {
    pub(super) fn new(profile: &Profile) -> Self {
        let nodes = vec![Carried { in_flight: 0, credit: u64::from(profile.credit) }; profile.nodes as usize];
        let endpoints = vec![Wanted::default(); profile.endpoints as usize];
        Self { nodes, endpoints, attempts: VecDeque::new(), first: 1 }
    }

    /// An adapter said how many attempts it can carry.
    pub(super) fn set_credit(&mut self, node: u32, credit: u32) {
        self.nodes[node as usize].credit = u64::from(credit);
    }

    fn started(&mut self, attempt: u64, node: u32, endpoint: u32) -> Result<(), Broken> {
        debug_assert_eq!(attempt, self.first + self.attempts.len() as u64);
        self.attempts.push_back(Some((node, endpoint)));
        let carried = &mut self.nodes[node as usize];
        carried.in_flight += 1;
        if carried.in_flight > carried.credit {
            let what =
                format!("node {node} has {} attempts in flight, {} were allowed", carried.in_flight, carried.credit);
            return Err(Broken::new(8, what));
        }
        let wanted = &mut self.endpoints[endpoint as usize];
        wanted.in_flight += 1;
        let most = wanted.wants.max(wanted.wanted);
        if wanted.in_flight > most {
            let what = format!("endpoint {endpoint} has {} attempts in flight, it wants {most}", wanted.in_flight);
            return Err(Broken::new(8, what));
        }
        Ok(())
    }

    fn ended(&mut self, attempt: u64) {
        let at = usize::try_from(attempt - self.first).expect("an attempt that was started");
        if let Some((node, endpoint)) = self.attempts.get_mut(at).and_then(Option::take) {
            self.nodes[node as usize].in_flight -= 1;
            self.endpoints[endpoint as usize].in_flight -= 1;
        }
        while self.attempts.front().is_some_and(Option::is_none) {
            self.attempts.pop_front();
            self.first += 1;
        }
    }

    fn died(&mut self, node: u32) {
        for attempt in &mut self.attempts {
            if let Some((_, endpoint)) = attempt.take_if(|(other, _)| *other == node) {
                self.nodes[node as usize].in_flight -= 1;
                self.endpoints[endpoint as usize].in_flight -= 1;
            }
        }
    }
}

impl Judge for Bounds {
    fn see(&mut self, _at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { wish: Wish::Put(spec), .. } => {
                let wanted = &mut self.endpoints[spec.endpoint as usize];
                wanted.wanted = wanted.wants.max(wanted.in_flight);
                wanted.wants = u64::from(spec.concurrency);
            }
            Seen::Started { attempt, node, endpoint, .. } => return self.started(*attempt, *node, *endpoint),
            Seen::Ended { attempt, .. } => self.ended(*attempt),
            Seen::Died { node, .. } => self.died(*node),
            Seen::Began(_)
            | Seen::Asked { .. }
            | Seen::Answered { .. }
            | Seen::Departed(_)
            | Seen::Arrived { .. }
            | Seen::Aborted { .. }
            | Seen::Noted { .. }
            | Seen::Settled { .. }
            | Seen::Trimmed { .. }
            | Seen::Read { .. }
            | Seen::Restarted { .. }
            | Seen::Refused { .. }
            | Seen::Stepped { .. }
            | Seen::Suspended { .. }
            | Seen::Inquired { .. }
            | Seen::Replied { .. }
            | Seen::Damaged { .. }
            | Seen::Healed { .. } => {}
        }
        Ok(())
    }

    fn sweep(&mut self, _at: SimTime, look: &dyn Look) -> Result<(), Broken> {
        for (node, carried) in (0..).zip(&self.nodes) {
            let held = look.in_flight(node);
            if look.is_up(node) && held < carried.in_flight.min(carried.credit) && held + 64 < carried.in_flight {
                let what = format!("node {node} knows of {held} attempts in flight, and has {}", carried.in_flight);
                return Err(Broken::new(8, what));
            }
        }
        Ok(())
    }

    fn end(&mut self, _at: SimTime, _look: &dyn Look) -> Result<(), Broken> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_found_in_each_form() {
        let secret = super::super::content::CANARY;
        assert_eq!(canary(secret), Some(0));
        assert_eq!(canary(format!("x{secret:?}").as_bytes()), Some(2));
        assert!(canary(b"whsec_Y2FuYXJ5fnNlY3JldH5+AAAA").is_some());
        assert!(canary(b"nothing to see, canary or not").is_none());
    }

    #[test]
    fn what_was_accepted_where() {
        let mut prefix = Prefix::default();
        for (seq, event) in
            [(1, Some(10)), (2, None), (4, Some(11)), (5, Some(12)), (3, Some(13)), (4, None), (5, Some(14))]
        {
            prefix.file(seq, event);
        }
        let within = |first, last| prefix.accepted(&[(JournalSeq::new(first), JournalSeq::new(last))]);
        assert_eq!((within(1, 5), within(2, 4), within(4, 4)), (vec![10, 13, 14], vec![13], vec![]));
    }
}

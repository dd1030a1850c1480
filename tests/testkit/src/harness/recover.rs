//! How a run ends: by healing, after which nothing may be owed, or by a crash, after which it goes on.

use std::time::Duration;

use postrider_core::id::JournalSeq;
use postrider_core::journal::Then;
use postrider_core::sender::{Life, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

use super::{Endpoint, Harness, Law, fixture};
use crate::ledger::Incarnate;
use crate::ops::{End, Loads, Op};

/// Rounds in which everything must have ended once nothing stands against it.
const ROUNDS: usize = 2000;

impl Harness {
    /// The process dies and comes back. Of the batches that are not acknowledged the first `survive` have reached the
    /// disk; the wall clock has moved by `wall` milliseconds, and the monotonic one begins anew.
    pub fn crash(&mut self, survive: usize, wall: i32) {
        for (seq, record) in self.log.cut(survive) {
            self.ledger.note(seq, &record);
        }
        let died = Now { mono: self.sender.now().mono, wall: self.now.wall };
        let wall = self.now.wall.as_millis().saturating_add_signed(wall.into());
        self.now = Now { mono: Instant::from_millis(500_000_000), wall: UnixTime::from_millis(wall) };
        match self.log.restore(self.config.clone(), self.now) {
            Ok(sender) => self.sender = sender,
            Err(error) => return self.violate(Law::Crash, format!("the log cannot be restored: {error}")),
        }
        self.latest = self.now.mono;
        self.credit = 64;
        self.full = false;
        self.open.clear();
        self.loads.clear();
        self.due.clear();
        self.rest.clear();
        self.waits = None;
        self.since_wait = 0;
        self.restarted = true;
        self.opened = self.sender.last_record();
        self.recall_events(died);
        self.recall_endpoints();
    }

    /// What is not durable has never been.
    fn recall_events(&mut self, died: Now) {
        let durable = self.log.durable();
        self.events.retain(|seq, _| *seq <= durable);
        self.cancelled.clear();
        self.latest_of = self.events.iter().map(|(seq, event)| (event.id.clone(), *seq)).collect();
        self.first_after_restore.clear();
        let now = self.now;
        for (seq, event) in &mut self.events {
            // A record says when it was accepted by the wall clock, and a snapshot how long before it was taken, so the
            // wall clock's lowest point in between is the oldest that the event may look.
            let by_wall = now.wall.saturating_since(event.lowest);
            let lived = died.mono.saturating_since(event.accepted.mono);
            let age = by_wall.max(lived + now.wall.saturating_since(died.wall));
            event.accepted.mono = now.mono.saturating_sub(age);
            let numbers = event.matched.iter().map(|to| ((*seq, to.clone()), self.ledger.attempts(*seq, to) + 1));
            self.first_after_restore.extend(numbers);
        }
    }

    fn recall_endpoints(&mut self) {
        self.endpoints.clear();
        self.synced = self.ledger.synced.get(&fixture::tenant(false)).copied();
        self.registered = self.ledger.registered().map(|(key, number)| (fixture::place(key), number)).collect();
        for at in 0..4 {
            let key = fixture::key(at);
            let state = self.sender.endpoint(&key).map(|view| fixture::code(view.state));
            let number = self.ledger.alive.get(&key).copied();
            let entry =
                number.and_then(|number| Some((number, self.ledger.endpoints.get(&(key.clone(), number))?.clone())));
            let code = entry.as_ref().map(|(_, entry)| entry.code);
            if state != code {
                self.violate(Law::Crash, format!("{key} is restored in state {state:?}, the log says {code:?}"));
            }
            let Some((number, entry)) = entry else { continue };
            let wants = (0..5).find(|wants| fixture::patterns(*wants) == entry.patterns).expect("one of ours");
            let revoked = (0..4).filter(|key| entry.revoked.contains(&fixture::secret(at, *key).id())).collect();
            let known = Endpoint {
                number,
                wants,
                state: entry.code,
                asks: entry.asks,
                consented: entry.consented,
                last: JournalSeq::ZERO,
                revoked,
                ordered: None,
            };
            self.endpoints.insert(at, known);
        }
    }

    /// Lets everything go well from now on: the log takes everything, receivers answer 204, time passes. A sender that
    /// has ended is restarted.
    pub fn heal(&mut self) {
        self.now.mono = self.latest.max(self.now.mono);
        if self.sender.life() != Life::Running {
            self.crash(usize::MAX, 0);
        }
        self.apply(&Op::Room(u32::MAX));
        self.apply(&Op::Credit(64));
        for at in 0..4 {
            if self.endpoints.get(&at).is_some_and(|known| known.asks != 0) {
                self.apply(&Op::Ask(at, 0));
            }
            if self.endpoints.get(&at).is_some_and(|known| matches!(known.state, 1 | 2)) {
                self.apply(&Op::Resume(at));
            }
        }
        for _ in 0..ROUNDS {
            self.apply(&Op::Settle);
            let idle = self.open.is_empty() && self.loads.is_empty() && self.log.waiting() == 0;
            if idle && self.sender.is_settled() && self.ledger.events.values().all(|event| event.ended) {
                return;
            }
            while !self.loads.is_empty() {
                self.apply(&Op::AnswerLoad(Loads::Ok));
            }
            while !self.open.is_empty() {
                self.apply(&Op::Complete(0, End::Status(204)));
            }
            self.apply(&Op::DrainAll);
            let ahead = match self.waits {
                Some(Wake::At(at)) => at.saturating_since(self.now.mono),
                Some(Wake::Ready | Wake::Input | Wake::Closed) | None => Duration::ZERO,
            };
            let millis = ahead.as_micros().div_ceil(1000).min(u128::from(u32::MAX));
            self.apply(&Op::Tick(u32::try_from(millis).expect("it was cut to that")));
        }
        self.violate(
            Law::Drain,
            format!("not settled after {ROUNDS} rounds, {} events are left", self.sender.events()),
        );
    }

    /// After healing: every delivery has ended, with a reason that is true, and all slots are free.
    pub fn judge(&mut self) {
        let mut found: Vec<_> = self.ledger.faults.iter().map(|fault| (Law::Drain, fault.clone())).collect();
        for (seq, event) in &self.events {
            match self.ledger.events.get(seq) {
                None => found.push((Law::Drain, format!("{}: its record is not durable", event.id))),
                Some(told) if !told.ended => found.push((Law::Drain, format!("{}: it has not ended", event.id))),
                Some(_) => {
                    let faults = event.matched.iter().filter_map(|to| self.judge_delivery(*seq, to));
                    found.extend(faults.map(|what| (Law::Drain, format!("{}: {what}", event.id))));
                    let others = self.ledger.events[seq].ends.keys().filter(|to| !event.matched.contains(*to));
                    found.extend(others.map(|to| (Law::Drain, format!("{} to {}: not owed", event.id, to.0))));
                }
            }
        }
        if self.sender.in_flight() != 0 {
            found.push((Law::Credit, format!("{} slots are still taken", self.sender.in_flight())));
        }
        if self.sender.pending() != 0 {
            found.push((Law::Drain, format!("{} deliveries still wait", self.sender.pending())));
        }
        if self.sender.resident() != 0 {
            found.push((Law::Bounds, format!("{} bytes of payloads are still there", self.sender.resident())));
        }
        let work = self.outputs + self.calls + self.sender.last_record().get() + 4 * self.sender.stats().attempts;
        let steps = self.sender.stats().steps;
        if !self.restarted && steps > 4 * work {
            found.push((Law::Cost, format!("{steps} steps for {work} calls, outputs and records")));
        }
        found.into_iter().for_each(|(law, what)| self.violate(law, what));
    }

    /// What is wrong about the end of a delivery.
    fn judge_delivery(&self, seq: JournalSeq, to: &Incarnate) -> Option<String> {
        let event = &self.ledger.events[&seq];
        let entry = self.ledger.endpoints.get(to)?;
        let excused = entry.removed || entry.was_gone || event.cancelled;
        let taken = self.taken.contains(&(seq, to.clone()));
        let is_true = match event.ends.get(to) {
            None => excused,
            Some(Then::Delivered) => taken,
            Some(Then::Discarded) => excused || entry.was_disabled,
            Some(Then::Expired) => event.expires || self.impatient.contains(&fixture::place(&to.0)),
            Some(Then::Lost) => self.loads_corrupt,
            Some(Then::Exhausted | Then::Refused | Then::Superseded) => true,
            Some(Then::Retry(_)) => false,
        };
        (!is_true).then(|| format!("to {} it ended as {:?}", to.0, event.ends.get(to)))
    }
}

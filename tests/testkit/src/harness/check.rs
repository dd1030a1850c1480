//! What is watched while a run goes on.

use std::fmt::Write as _;
use std::ops::Bound;
use std::time::Duration;

use bytes::BytesMut;
use postrider_core::id::{EventId, JournalSeq};
use postrider_core::journal::Then;
use postrider_core::limits;
use postrider_core::registration::lifecycle::Rule;
use postrider_core::registration::{Circuit, State};
use postrider_core::sender::{Fate, Life, Notice, Output, Purpose, Resolver, Stats, Transmit, Wake};
use postrider_core::signing::standard::Verifier;

use super::{Before, Event, Harness, Law, Open, fixture};
use crate::ledger::{Accepted, Incarnate};
use crate::ops::{End, Op};

/// Repeats are surely recognised for this time, where there are few events.
const REMEMBERED: Duration = Duration::from_secs(20 * 3600);

impl Harness {
    pub(super) fn publish(
        &mut self,
        id: u8,
        kind: u8,
        variant: bool,
        (expires, key, lane): (Option<u16>, Option<u8>, Option<u8>),
    ) {
        let mut event = fixture::event(id, kind, variant);
        if let Some(lane) = lane {
            event = event.key(format!("o{lane}"));
        }
        if let Some(secs) = expires {
            event = event.expires(self.now.wall.saturating_add(Duration::from_secs(secs.into())));
        }
        if let Some(key) = key {
            event = event.idempotency_key(format!("k{key}"));
        }
        let (event_id, tenant) = (fixture::event_id(id), fixture::tenant(fixture::is_other_event(id)));
        let Ok(receipt) = self.sender.publish(self.now, event) else { return };
        if !receipt.fresh {
            if self.events.get(&receipt.seq).is_none_or(|known| known.id != receipt.event) {
                self.violate(Law::Crash, format!("{event_id} repeats {}, which nobody knows", receipt.event));
            }
            return;
        }
        if let Some(known) = self.latest_of.get(&event_id).and_then(|seq| self.events.get(seq)) {
            let age = self.sender.now().mono.saturating_since(known.accepted.mono);
            if self.config.limits.idempotency_entries >= 1000 && age < REMEMBERED {
                self.violate(Law::Crash, format!("{event_id} was accepted again {age:?} after the first"));
            }
        }
        let endpoints = self.endpoints.iter().filter(|(at, known)| {
            let key = fixture::key(**at);
            // It answered 410, or has failed for too long.
            let gone = || self.sender.endpoint(&key).is_some_and(|view| !view.state.matches());
            key.tenant == tenant && matches!(known.state, 0 | 1 | 4) && fixture::wants(known.wants, kind) && !gone()
        });
        let matched = endpoints.map(|(at, known)| (fixture::key(*at), known.number)).collect();
        let accepted = self.sender.now();
        self.events.insert(
            receipt.seq,
            Event { id: event_id.clone(), replay_of: None, matched, accepted, lowest: accepted.wall, expires, lane },
        );
        self.latest_of.insert(event_id, receipt.seq);
    }

    /// A replay is owed to its endpoint alone, whatever that wants.
    pub(super) fn replay(&mut self, id: u8, at: u8) {
        let replay = fixture::replay(id, at);
        let (of, name) = (replay.of().clone(), replay.event().event_id().cloned().expect("it has a name"));
        let number = self.endpoints.get(&at).map(|known| known.number);
        let Ok(receipt) = self.sender.replay(self.now, replay) else { return };
        if !receipt.fresh {
            if self.events.get(&receipt.seq).is_none_or(|known| known.id != receipt.event) {
                self.violate(Law::Crash, format!("{name} repeats {}, which nobody knows", receipt.event));
            }
            return;
        }
        let Some(number) = number else {
            return self.violate(Law::Drain, format!("{name} is for an endpoint that was removed"));
        };
        let (accepted, matched) = (self.sender.now(), [(fixture::key(at), number)].into());
        let replay_of = Some(of);
        let event =
            Event { id: name.clone(), replay_of, matched, accepted, lowest: accepted.wall, expires: None, lane: None };
        self.events.insert(receipt.seq, event);
        self.latest_of.insert(name, receipt.seq);
    }

    /// Notes when the next attempt may begin at the earliest, if this end is a failure.
    pub(super) fn expect_due(&mut self, open: &Open, end: End) {
        let (event, key) = (open.transmit.event(), open.transmit.endpoint().clone());
        let Some(seq) = self.latest_of.get(event).copied() else { return };
        let now = self.latest.max(self.now.mono);
        self.due.remove(&(seq, key.clone()));
        let in_time = now < open.transmit.deadline().saturating_add(limits::OVERDUE_GRACE);
        if !in_time || open.aborted || end.is_success() {
            return;
        }
        let number = open.transmit.number();
        let schedule = self.sender.schedule(event, &key).unwrap_or_default();
        if let Some(delay) = schedule.get(usize::from(number)) {
            self.due.insert((seq, key), (number, now.saturating_add((*delay).max(end.asked()))));
        }
    }

    /// Notes how long an endpoint rests that has just throttled.
    pub(super) fn expect_rest(&mut self, open: &Open, end: End) {
        let key = open.transmit.endpoint();
        let active = matches!(self.sender.endpoint(key).map(|view| view.state), Some(State::Active));
        if active && end.throttles() && !open.aborted {
            let until = self.sender.now().mono.saturating_add(end.asked());
            let rest = self.rest.entry(key.clone()).or_insert(until);
            *rest = until.max(*rest);
        }
    }

    pub(super) fn transmitted(&mut self, transmit: Transmit) {
        let (id, key, number) = (transmit.event().clone(), transmit.endpoint().clone(), transmit.number());
        let name = format!("attempt {number} of {id} to {key}");
        let to = self.incarnate(&key);
        let (credit, flying) = (self.credit as usize, self.sender.in_flight());
        if flying > credit {
            self.violate(Law::Credit, format!("{name}: {flying} attempts in flight, the credit is {credit}"));
        }
        if transmit.purpose() != Purpose::Delivery {
            let asked = self.endpoints.get(&fixture::place(&key)).filter(|known| known.asks != 0);
            if asked.is_none_or(|known| known.number != to.1) {
                self.violate(Law::Drain, format!("{name}: its owner is asked, and need not be"));
            }
            return self.open.push_back(Open { transmit, to, aborted: false });
        }
        match self.latest_of.get(&id).copied() {
            Some(seq) => self.transmitted_of(seq, &to, &transmit, &name),
            None => self.violate(Law::Drain, format!("{name}: nobody published it")),
        }
        let durable = self.log.durable();
        match self.endpoints.get(&fixture::place(&key)) {
            None => self.violate(Law::Drain, format!("{name}: the endpoint was removed")),
            Some(known) if known.asks != 0 && !known.consented => {
                self.violate(Law::Drain, format!("{name}: its owner has not consented"));
            }
            Some(known) if known.state != 0 => self.violate(Law::Drain, format!("{name}: the endpoint is held")),
            Some(known) if known.last > durable => {
                self.violate(Law::Durability, format!("{name}: the endpoint's last change is not durable"));
            }
            Some(_) => {}
        }
        let started = transmit.started().mono;
        if let Some(until) = self.rest.get(&key).copied().filter(|until| started < *until) {
            self.violate(Law::Time, format!("{name}: the endpoint rests until {until:?}, and it is {started:?}"));
        }
        self.check_lane(&transmit, &to, &name);
        self.check_keys(&transmit, &name);
        self.open.push_back(Open { transmit, to, aborted: false });
    }

    fn transmitted_of(&mut self, seq: JournalSeq, to: &Incarnate, transmit: &Transmit, name: &str) {
        let (number, started) = (transmit.number(), transmit.started());
        let durable = self.log.durable();
        let event = &self.events[&seq];
        let expires = event.expires.map(|secs| event.accepted.wall.saturating_add(Duration::from_secs(secs.into())));
        let matched = event.matched.contains(to);
        if !matched {
            self.violate(Law::Drain, format!("{name}: the endpoint did not want it when it was accepted"));
        }
        if seq > durable {
            self.violate(Law::Durability, format!("{name}: its record {seq} is not durable, {durable} is the last"));
        }
        if expires.is_some_and(|expires| started.wall >= expires) {
            self.violate(Law::Time, format!("{name}: it has expired"));
        }
        let due = self.due.remove(&(seq, to.0.clone()));
        if let Some((_, due)) = due.filter(|(failed, due)| failed + 1 == number && started.mono < *due) {
            self.violate(Law::Time, format!("{name}: due at {due:?}, started at {:?}", started.mono));
        }
        if let Some(end) = self.ledger.end(seq, to) {
            self.violate(Law::Crash, format!("{name}: it has ended, durably: {end:?}"));
        }
        if self.ledger.events.get(&seq).is_some_and(|event| event.cancelled) {
            self.violate(Law::Drain, format!("{name}: it was cancelled, durably"));
        }
        let expected = self.first_after_restore.remove(&(seq, to.clone()));
        if let Some(expected) = expected.filter(|expected| *expected != number) {
            self.violate(Law::Crash, format!("{name}: the first after a restart, expected number {expected}"));
        }
    }

    /// Of a lane, one at a time, and whoever was accepted first has ended.
    fn check_lane(&mut self, transmit: &Transmit, to: &Incarnate, name: &str) {
        let since = self.endpoints.get(&fixture::place(&to.0)).and_then(|known| known.ordered);
        let seq = self.latest_of.get(transmit.event()).copied();
        let (Some(since), Some(seq)) = (since, seq.filter(|seq| since.is_some_and(|since| *seq > since))) else {
            return;
        };
        let Some(lane) = self.events.get(&seq).and_then(|event| event.lane) else { return };
        let same = |event: &Event| event.lane == Some(lane) && event.matched.contains(to);
        let of_tenant = |event: &Event| fixture::tenant_of(&event.id) == to.0.tenant;
        let mut wrong = Vec::new();
        for open in self.open.iter().filter(|open| !open.aborted && open.to == *to) {
            let other = self.latest_of.get(open.transmit.event()).filter(|other| **other > since);
            if other.and_then(|other| self.events.get(other)).is_some_and(same) {
                wrong.push(format!("{name}: {} of its lane is in flight", open.transmit.event()));
            }
        }
        let first = (Bound::Excluded(since), Bound::Excluded(seq));
        for (other, event) in self.events.range(first).filter(|(_, event)| same(event) && of_tenant(event)) {
            let Some(report) = self.sender.report(&to.0.tenant, &event.id) else { continue };
            let row = report.deliveries.iter().find(|delivery| delivery.endpoint == to.0.id);
            let open = row.is_none_or(|row| matches!(row.fate, Fate::InFlight | Fate::Waiting { .. }));
            let settled = report.settled || self.ledger.events.get(other).is_some_and(|event| event.ended);
            // What was cancelled ends by a chore.
            if open && !settled && self.latest_of.get(&event.id) == Some(other) && !self.cancelled.contains(other) {
                wrong.push(format!("{name}: {} is before it in its lane: {row:?}", event.id));
            }
        }
        wrong.into_iter().for_each(|what| self.violate(Law::Drain, what));
    }

    fn check_keys(&mut self, transmit: &Transmit, name: &str) {
        let at = fixture::place(transmit.endpoint());
        let request = transmit.clear_by(Resolver::Simulation).expect("envelopes hold any payload").request();
        let revoked = self.endpoints.get(&at).map(|known| known.revoked.clone()).unwrap_or_default();
        for key in revoked {
            let verifier = Verifier::new([&fixture::secret(at, key)]).expect("one key is enough");
            let accepted = verifier.verify(request.headers(), request.body(), transmit.started().wall);
            if accepted.is_ok() {
                self.violate(Law::Crash, format!("{name}: signed with key {key}, which was revoked"));
            }
        }
    }

    /// No notice before the record that makes it true.
    pub(super) fn noticed(&mut self, notice: &Notice) {
        let of = |id: &EventId| self.ledger.events.values().filter(move |event| event.id == *id).collect::<Vec<_>>();
        let outcome = |id, key, attempts| {
            let has = |event: &&Accepted| event.outcomes.iter().any(|((to, _), n)| to == key && *n == attempts);
            of(id).iter().any(has)
        };
        let end = |id, key, wanted: Then| {
            let has = |event: &&Accepted| event.ends.iter().any(|((to, _), then)| to == key && *then == wanted);
            of(id).iter().any(has)
        };
        let is_true = match notice {
            Notice::Settled { event, .. } => of(event).iter().any(|event| event.ended),
            Notice::Retrying { endpoint, event, attempt, .. } => outcome(event, endpoint, *attempt),
            Notice::Exhausted { endpoint, event, .. } => end(event, endpoint, Then::Exhausted),
            Notice::Refused { endpoint, event, .. } => end(event, endpoint, Then::Refused),
            Notice::Expired { endpoint, event, .. } => end(event, endpoint, Then::Expired),
            Notice::Lost { endpoint, event } => end(event, endpoint, Then::Lost),
            Notice::Superseded { endpoint, event } => end(event, endpoint, Then::Superseded),
            Notice::LaneBlocked { endpoint, event, attempts, .. } => outcome(event, endpoint, *attempts),
            Notice::Disabled { endpoint, .. } => {
                self.ledger.endpoints.iter().any(|((key, _), entry)| key == endpoint && entry.was_disabled)
            }
            Notice::Endpoint { endpoint, reason } if reason.rule == Rule::Gone => {
                self.ledger.endpoints.iter().any(|((key, _), entry)| key == endpoint && entry.was_gone)
            }
            _ => true,
        };
        if !is_true {
            self.violate(Law::Durability, format!("told before it was durable: {notice}"));
        }
    }

    pub(super) fn at_rest(&mut self, wake: Wake) {
        match wake {
            Wake::Ready => return,
            Wake::At(at) if at <= self.sender.now().mono => {
                self.violate(Law::Progress, format!("a wake at {at:?}, which is past"));
            }
            Wake::Closed if !matches!(self.sender.life(), Life::Closed | Life::Fenced) => {
                self.violate(Law::Terminal, "closed, and yet alive");
            }
            Wake::At(_) | Wake::Input | Wake::Closed => {}
        }
        self.waits = Some(wake);
        if self.thorough {
            self.poll_again(wake);
        }
        self.check_handed_out();
        self.check_fixpoint();
    }

    /// At rest no record stays behind, unless so many batches are out already.
    fn check_handed_out(&mut self) {
        let over = matches!(self.sender.life(), Life::Closed | Life::Fenced);
        let (made, given) = (self.sender.last_record(), self.log.last());
        if !over && !self.full && made != given && self.log.waiting() < limits::UNACKED_BATCHES {
            self.violate(Law::Fixpoint, format!("at rest, records up to {made} are made and up to {given} handed out"));
        }
    }

    /// Polling at rest gives the same, changes nothing and does no work.
    fn poll_again(&mut self, wake: Wake) {
        let (before, steps) = (self.state_text(), self.sender.stats().steps);
        let again = self.sender.poll_output();
        if !matches!(again, Output::Wait(same) if same == wake) {
            self.violate(Law::Progress, format!("polled again at rest: {again:?} after {wake:?}"));
        }
        if self.state_text() != before {
            self.violate(Law::Progress, format!("polling again at {wake:?} changed something"));
        }
        let steps = self.sender.stats().steps - steps;
        if steps > 1 {
            self.violate(Law::Cost, format!("an idle poll took {steps} steps"));
        }
    }

    /// Everything that can be seen of the sender, but for the counts of waits and steps.
    fn state_text(&self) -> String {
        let Stats { waits, steps, .. } = self.sender.stats();
        let text = format!("{:?}", self.sender);
        text.replace(&format!("waits: {waits}"), "").replace(&format!("steps: {steps}"), "")
    }

    /// Whether an event may have to wait for others under its key: until an earlier one has ended for the endpoint, and
    /// until its own turn to be fanned out has come.
    fn may_wait_in_lane(&self, seq: JournalSeq, event: &Event, to: &Incarnate) -> bool {
        let same = |other: &Event| other.lane.is_some() && other.lane == event.lane;
        let flies = self.open.iter().any(|open| {
            let other = self.latest_of.get(open.transmit.event()).and_then(|other| self.events.get(other));
            open.to == *to && other.is_some_and(same)
        });
        let open = |(_, other): (&JournalSeq, &Event)| {
            let tenant = fixture::tenant_of(&other.id);
            let report = self.sender.report(&tenant, &other.id).filter(|report| !report.settled);
            same(other) && tenant == to.0.tenant && report.is_some()
        };
        event.lane.is_some() && (flies || self.events.range(..seq).any(open))
    }

    /// After a drain, nothing waits that could go on.
    fn check_fixpoint(&mut self) {
        let sender = &self.sender;
        let free = sender.in_flight() < self.credit as usize;
        if sender.life() != Life::Running || self.loads_failed || !self.loads.is_empty() || !free {
            return;
        }
        if self.opened > self.log.durable() {
            return;
        }
        let place = sender.pending() + sender.in_flight() < self.config.limits.pending;
        let durable = self.log.durable();
        let mut found = Vec::new();
        for (seq, event) in self.events.iter().filter(|(seq, _)| **seq <= durable) {
            let over = self.ledger.events.get(seq).is_none_or(|event| event.ended || event.cancelled);
            let Some(report) = sender.report(&fixture::tenant_of(&event.id), &event.id).filter(|_| !over) else {
                continue;
            };
            if self.latest_of[&event.id] != *seq || self.cancelled.contains(seq) {
                continue;
            }
            // What ended before a restart is not in the report any more.
            let open = |to: &&Incarnate| {
                self.ledger.end(*seq, to).is_none() && self.can_start(to) && !self.may_wait_in_lane(*seq, event, to)
            };
            for to in event.matched.iter().filter(open) {
                let fate = report.deliveries.iter().find(|delivery| delivery.endpoint == to.0.id);
                match fate.map(|delivery| delivery.fate) {
                    Some(Fate::Waiting { rest }) if rest.is_zero() => {
                        found.push(format!("{} to {} could start and waits", event.id, to.0));
                    }
                    None if place => found.push(format!("{} to {} could start and was not reached", event.id, to.0)),
                    _ => {}
                }
            }
        }
        found.into_iter().for_each(|what| self.violate(Law::Fixpoint, what));
    }

    fn can_start(&self, to: &Incarnate) -> bool {
        let known = self.endpoints.get(&fixture::place(&to.0)).filter(|known| known.number == to.1);
        let settled = known.is_some_and(|known| known.last <= self.log.durable() && known.state == 0);
        let view = self.sender.endpoint(&to.0);
        let limits = &self.config.limits;
        let of_tenant = self.sender.tenant_in_flight(&to.0.tenant) < limits.tenant_in_flight;
        let of_host = self.sender.host_in_flight(fixture::HOST, 443) < limits.host_in_flight;
        settled
            && of_tenant
            && of_host
            && view.is_some_and(|view| {
                view.state == State::Active
                    && view.rests.is_none()
                    && matches!(view.circuit, Circuit::Closed | Circuit::HalfOpen)
                    && view.in_flight < view.window
            })
    }

    pub(super) fn after(&mut self, op: &Op, before: &Before) {
        let (life, stats) = (self.sender.life(), self.sender.stats());
        if matches!(before.life, Life::Closed | Life::Fenced) {
            let still = before.stats;
            let same = { stats.tally == still.tally && stats.stale == still.stale && stats.accepted == still.accepted };
            if life != before.life || self.sizes() != before.sizes || !same {
                self.violate(Law::Terminal, format!("{op:?} had an effect after the end"));
            }
        }
        let mono = self.sender.now().mono;
        if mono < before.mono {
            self.violate(Law::Time, "the monotonic clock went back inside");
        }
        if let (Op::Jump(..), Life::Running) = (op, before.life) {
            let back = u64::from(self.now.mono < before.mono);
            if stats.clock_regressions != before.stats.clock_regressions + back {
                self.violate(Law::Time, "a regression of the clock was not counted once");
            }
        }
        self.check_bounds();
    }

    fn check_bounds(&mut self) {
        let (sender, limits) = (&self.sender, &self.config.limits);
        let mono = sender.now().mono;
        let asked: usize = self.loads.iter().map(|request| request.records().len()).sum();
        let live = self
            .open
            .iter()
            .filter(|open| !open.aborted && mono < open.transmit.deadline().saturating_add(limits::OVERDUE_GRACE));
        let (live, flying) = (live.count(), sender.in_flight());
        let sizes = [
            ("events", sender.events(), limits.events),
            ("deliveries that wait", sender.pending(), limits.pending),
            ("payloads asked for", asked, 256),
        ];
        for (what, found, most) in sizes {
            if found > most {
                self.violate(Law::Bounds, format!("{found} {what}, at most {most} are allowed"));
            }
        }
        if flying < live && self.sender.life() == Life::Running && self.aborts_unseen() == 0 {
            self.violate(Law::Credit, format!("{live} attempts are under way, {flying} are counted"));
        }
    }

    /// After a drain that was cut short, aborts may not have been seen that the sender has counted.
    fn aborts_unseen(&self) -> usize {
        usize::from(self.waits.is_none())
    }

    pub(super) fn write_down(&mut self, output: &Output) {
        let Some(trace) = &mut self.trace else { return };
        let _ = writeln!(trace, "{output:?}");
        match output {
            Output::Persist(batch) => {
                let _ = writeln!(trace, "{:?}", batch.bytes());
            }
            Output::Snapshot(part) => {
                let _ = writeln!(trace, "{:?}", part.bytes());
            }
            Output::Transmit(transmit) => {
                let cleared = transmit.clear_by(Resolver::Simulation).expect("envelopes hold any payload");
                let mut head = BytesMut::new();
                cleared.write_head(&mut head);
                let _ = writeln!(trace, "{head:?}{:?}", cleared.body());
            }
            Output::Load(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) | Output::Wait(_) => {}
        }
    }
}

//! The driver's part for attempts, and the network between it and the receivers.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use postrider_core::id::AttemptId;
use postrider_core::limits;
use postrider_core::registration::lifecycle::Rule;
use postrider_core::response::{Phase, Reply, TransportError};
use postrider_core::retry::Transition;
use postrider_core::sender::{Input, Notice, Purpose, Transmit};

use crate::addresses;
use crate::clock::NodeClock;
use crate::observe::{Broken, Departure, Note, Outcome, Seen, SimTime};
use crate::profile::Class;
use crate::receiver::{Answer, Reaction, Request, Wire};

use super::flight::Step;
use super::node::number;
use super::{Happening, World};

/// Bytes of a response body that are read.
const READ: u64 = 64 * 1024;

/// Headers of a request that are looked at.
const HEADERS: usize = 32;

/// Nanoseconds within which even a slow adapter comes to an attempt that was given up: a machine counts on 5 s.
const ABORTED: u64 = 4_000_000_000;

/// What the number of an inquiry has that no attempt's has.
const ASK: u64 = 1 << 63;

/// Where a header line's name begins and ends in a request's head, and where its value ends.
pub(super) type Mark = (u32, u32, u32);

/// A header's name and value, borrowed from the bytes of a request.
type Line<'a> = (&'a str, &'a [u8]);

/// Whether a request begins with a method that there is.
fn methods(first: &[u8]) -> bool {
    first.starts_with(b"POST /") || first.starts_with(b"OPTIONS /")
}

/// Reads a request head, and marks where its lines are; `None` for one that nobody would take for HTTP/1.1.
fn mark(head: &[u8], marks: &mut Vec<Mark>) -> Option<()> {
    marks.clear();
    u32::try_from(head.len()).ok()?;
    let text = head.strip_suffix(b"\r\n\r\n")?;
    let mut ends = memchr::memchr_iter(b'\n', text).chain([text.len()]);
    let first = ends.next()?;
    if !methods(&text[..first]) || !text[..first].ends_with(b" HTTP/1.1\r") {
        return None;
    }
    // No place lies beyond the end of the head.
    let place = |at: usize| at as u32;
    let mut begin = first + 1;
    for end in ends {
        let whole = &text[begin..end];
        let line = whole.strip_suffix(b"\r").unwrap_or(whole);
        let colon = memchr::memchr(b':', line)?;
        marks.push((place(begin), place(begin + colon), place(begin + line.len())));
        begin = end + 1;
    }
    Some(())
}

/// The lines of a head by their marks; `None` where there are too many, or one is none.
fn lines<'l, 'a>(head: &'a [u8], marks: &[Mark], lines: &'l mut [Line<'a>; HEADERS]) -> Option<&'l [Line<'a>]> {
    // Nearly all heads are text throughout, and so is then every part.
    let text = str::from_utf8(head).ok();
    for (line, (begin, colon, end)) in lines.iter_mut().zip(marks) {
        let [begin, colon, end] = [*begin, *colon, *end].map(|at| at as usize);
        let name = match text {
            Some(text) => text.get(begin..colon)?,
            None => str::from_utf8(head.get(begin..colon)?).ok()?,
        };
        *line = (name, head.get(colon + 2..end)?);
    }
    lines.get(..marks.len())
}

/// Lines that are still to be read.
const fn no_lines<'a>() -> [Line<'a>; HEADERS] {
    [("", &[]); HEADERS]
}

impl World {
    /// A machine handed out an attempt.
    pub(super) fn take_off(&mut self, node: u32, transmit: Transmit) {
        self.counts.attempts += 1;
        let endpoint = number(transmit.endpoint().id.as_str()).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        if self.places.get(endpoint as usize).is_none_or(|place| place.node != node) {
            return self.break_off(Broken::new(2, format!("an attempt for {}, who is nobody", transmit.endpoint())));
        }
        let clocks = self.clocks(node);
        let number = match transmit.purpose() {
            Purpose::Delivery => {
                self.attempts += 1;
                let time = transmit.deadline().saturating_since(transmit.started().mono);
                // What is sent again under the id of another is known by its mark.
                let replay = transmit.replay().and_then(|mark| self.replays.marked(node, mark));
                self.see(&Seen::Started {
                    attempt: self.attempts,
                    node,
                    clocks,
                    endpoint,
                    event: replay.as_ref().unwrap_or_else(|| transmit.event()).as_str(),
                    number: transmit.number(),
                    time: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
                });
                self.attempts
            }
            Purpose::Challenge | Purpose::Handshake => {
                self.asks += 1;
                let attempt = ASK | self.asks;
                self.see(&Seen::Inquired { attempt, node, clocks, endpoint });
                attempt
            }
        };
        let life = self.nodes[node as usize].life;
        let (slot, turn) = self.flights.take(node, life, number, endpoint, transmit);
        let mut took = self.streams.network.about(self.profile.latency / 4);
        if self.network_fault(Class::Delay) {
            took += self.streams.network.below(10_000_000_000);
        }
        self.next_step(slot, turn, took, Step::Resolve);
    }

    fn next_step(&mut self, slot: u32, turn: u32, after: u64, step: Step) {
        self.schedule.at(self.now.after(after), Happening::Flight { slot, turn, step });
    }

    /// An attempt comes to its next step, if it still exists.
    pub(super) fn fly(&mut self, slot: u32, turn: u32, step: Step) {
        let Some(flight) = self.flights.find(slot, turn) else { return };
        match step {
            Step::Arrive => return self.arrive(slot, turn),
            Step::Resolve | Step::Depart | Step::Report if flight.over => return,
            Step::Resolve | Step::Depart | Step::Report => {}
        }
        match step {
            Step::Resolve => self.resolve(slot, turn),
            Step::Depart => self.depart(slot, turn),
            Step::Report => self.report(slot, turn),
            Step::Arrive => {}
        }
    }

    /// The name has been looked up.
    fn resolve(&mut self, slot: u32, turn: u32) {
        let addresses = match self.look_up(slot, turn) {
            Ok(addresses) => addresses,
            Err(Some(why)) => return self.fail(slot, turn, 0, why),
            Err(None) => return self.time_out(slot, turn, Phase::Resolve),
        };
        let Some(flight) = self.flights.find(slot, turn) else { return };
        let transmit = flight.transmit.as_ref().expect("an attempt that is not over");
        let vetted = match transmit.vet(&addresses) {
            Ok(vetted) => vetted,
            Err(denied) => {
                let why = denied.error();
                return self.fail(slot, turn, 0, why);
            }
        };
        flight.address = vetted.as_slice().first().copied();
        if self.network_fault(Class::Refused) {
            let why = *self.streams.network.pick(&[
                Some(TransportError::ConnectRefused),
                Some(TransportError::Unreachable),
                Some(TransportError::ConnectFailed),
                Some(TransportError::TlsFailed),
                Some(TransportError::TlsExpired),
                Some(TransportError::LocalResources),
                None,
            ]);
            let after = self.streams.network.about(self.profile.latency);
            return match why {
                Some(why) => self.fail(slot, turn, after, why),
                None => self.time_out(slot, turn, Phase::Connect),
            };
        }
        let after = self.streams.network.about(self.profile.latency);
        self.next_step(slot, turn, after, Step::Depart);
    }

    /// What a look-up gives; an error of none is a look-up that never ends.
    fn look_up(&mut self, slot: u32, turn: u32) -> Result<Vec<IpAddr>, Option<TransportError>> {
        if self.network_fault(Class::DnsFails) {
            return match self.streams.network.below(4) {
                0 => Err(Some(TransportError::NameNotFound)),
                1 => Err(Some(TransportError::NameFailed)),
                2 => Ok(Vec::new()),
                _ => Err(None),
            };
        }
        let endpoint = self.flights.find(slot, turn).map_or(0, |flight| flight.endpoint);
        let [_, _, high, low] = endpoint.to_be_bytes();
        let public = IpAddr::V4(Ipv4Addr::new(93, 184, high, low));
        if self.network_fault(Class::DnsLies) {
            let mut addresses = vec![*self.streams.network.pick(addresses::TRAPS)];
            match self.streams.network.below(3) {
                0 => addresses.push(public),
                1 => addresses.insert(0, public),
                _ => {}
            }
            return Ok(addresses);
        }
        Ok(vec![public])
    }

    /// The connection stands: the request is made and leaves.
    fn depart(&mut self, slot: u32, turn: u32) {
        let rebound = self.network_fault(Class::Rebind);
        let trap = *self.streams.network.pick(addresses::TRAPS);
        let Some(flight) = self.flights.find(slot, turn) else { return };
        let transmit = flight.transmit.as_ref().expect("an attempt that is not over");
        let vetted = flight.address.expect("it has been looked up");
        let address = if rebound { SocketAddr::new(trap, vetted.port()) } else { vetted };
        let cleared = match transmit.clear(address) {
            Ok(cleared) => cleared,
            Err(denied) => {
                let why = denied.error();
                return self.fail(slot, turn, 0, why);
            }
        };
        if !addresses::is_public(address.ip()) {
            return self.break_off(Broken::new(26, format!("{address} was cleared, and it is not public")));
        }
        flight.head.clear();
        cleared.write_head(&mut flight.head);
        flight.body = cleared.body().clone();
        flight.sent = true;
        flight.arriving = true;
        let (head, body) = (std::mem::take(&mut flight.head), flight.body.clone());
        let mut marks = std::mem::take(&mut flight.marks);
        let (node, attempt) = (flight.node, flight.number);
        let mut room = no_lines();
        match mark(&head, &mut marks).and_then(|()| lines(&head, &marks, &mut room)) {
            Some(headers) => {
                let seen = Seen::Departed(Departure {
                    attempt,
                    address: address.ip(),
                    port: address.port(),
                    clocks: self.clocks(node),
                    headers,
                    body: &body,
                });
                self.see(&seen);
            }
            None => self.break_off(Broken::new(2, format!("no request head: {}", head.escape_ascii()))),
        }
        let flight = self.flights.find(slot, turn).expect("it has not ended");
        (flight.head, flight.marks) = (head, marks);
        self.travel(slot, turn);
    }

    /// The request is on its way, or gets lost on it.
    fn travel(&mut self, slot: u32, turn: u32) {
        let mut after = self.streams.network.about(self.profile.latency);
        if self.network_fault(Class::Delay) {
            after += self.streams.network.below(60_000_000_000);
        }
        if self.network_fault(Class::Loss) {
            self.time_out(slot, turn, Phase::Head);
            // What got lost was the request, or all of its answer.
            if self.streams.network.once_in(2) {
                self.flights.find(slot, turn).expect("it has not ended").arriving = false;
                return;
            }
        } else if self.network_fault(Class::Reset) {
            let why = *self.streams.network.pick(&[TransportError::SendFailed, TransportError::Closed]);
            let reset = self.streams.network.about(self.profile.latency);
            self.fail(slot, turn, reset, why);
            if self.streams.network.once_in(2) {
                self.flights.find(slot, turn).expect("it has not ended").arriving = false;
                return;
            }
        } else {
            self.expect_by_deadline(slot, turn, after);
        }
        self.next_step(slot, turn, after, Step::Arrive);
    }

    /// When the request would arrive at or after the deadline only, the adapter gives up before.
    fn expect_by_deadline(&mut self, slot: u32, turn: u32, after: u64) {
        if self.deadline(slot, turn) <= self.now.after(after) {
            self.time_out(slot, turn, Phase::Head);
        }
    }

    /// When an attempt's time is up, in the world's time.
    fn deadline(&mut self, slot: u32, turn: u32) -> SimTime {
        let Some(flight) = self.flights.find(slot, turn) else { return self.now };
        let Some(transmit) = &flight.transmit else { return self.now };
        let clock: &NodeClock = &self.nodes[flight.node as usize].clock;
        clock.when(transmit.deadline().as_nanos())
    }

    /// A receiver has the whole request.
    fn arrive(&mut self, slot: u32, turn: u32) {
        let Some(flight) = self.flights.find(slot, turn) else { return };
        flight.arriving = false;
        let (endpoint, attempt) = (flight.endpoint, flight.number);
        let (head, body) = (std::mem::take(&mut flight.head), flight.body.clone());
        let marks = std::mem::take(&mut flight.marks);
        let mut room = no_lines();
        let headers = lines(&head, &marks, &mut room).expect("it was read when it left");
        let wall = NodeClock::truth(self.now);
        let request = Request { endpoint, wall, headers, body: &body };
        let is_ask = attempt & ASK != 0;
        let reaction = match is_ask {
            true => self.peers[endpoint as usize].consent(self.now, &request),
            false => self.peers[endpoint as usize].request(self.now, &request),
        };
        self.counts.arrived += 1;
        let status = match &reaction.wire {
            Wire::Answer(answer) => Some(answer.status),
            Wire::Silence | Wire::Close | Wire::Garbage | Wire::DrippingHead | Wire::HugeHead => None,
        };
        if !is_ask {
            self.see(&Seen::Arrived { attempt, took: reaction.took, status });
        }
        if let Some(what) = &reaction.complaint {
            self.break_off(Broken::new(12, format!("the receiver of endpoint {endpoint} complains: {what}")));
        }
        if !matches!(&reaction.wire, Wire::Answer(answer) if answer.status == 204) {
            self.injected.count(Class::Hostile);
        }
        if let Some(flight) = self.flights.find(slot, turn) {
            (flight.head, flight.marks) = (head, marks);
            flight.word = (is_ask && reaction.took).then(|| token(&body));
            if !flight.over {
                self.react(slot, turn, reaction);
            }
            self.flights.release(slot);
        }
    }

    /// What comes back to the adapter, and when.
    fn react(&mut self, slot: u32, turn: u32, reaction: Reaction) {
        let back = self.streams.network.about(self.profile.latency);
        let after = reaction.delay.saturating_add(back);
        let answer = match reaction.wire {
            Wire::Answer(answer) => answer,
            Wire::Silence | Wire::DrippingHead => return self.time_out(slot, turn, Phase::Head),
            Wire::Close => return self.fail_by_deadline(slot, turn, after, TransportError::Closed),
            Wire::Garbage => return self.fail_by_deadline(slot, turn, after, TransportError::MalformedHead),
            Wire::HugeHead => return self.fail_by_deadline(slot, turn, after, TransportError::HeadTooLarge),
        };
        let deadline = self.deadline(slot, turn);
        if self.now.after(after) >= deadline {
            return self.time_out(slot, turn, Phase::Head);
        }
        // The body is read as far as it is read at all, and as long as there is time.
        let body = if answer.body > READ { answer.body_time.min(1_000_000_000) } else { answer.body_time };
        let at = self.now.after(after).after(body).min(deadline);
        self.land(slot, turn, at, Ok(answer));
    }

    fn fail_by_deadline(&mut self, slot: u32, turn: u32, after: u64, why: TransportError) {
        if self.now.after(after) >= self.deadline(slot, turn) {
            return self.time_out(slot, turn, Phase::Head);
        }
        self.fail(slot, turn, after, why);
    }

    fn fail(&mut self, slot: u32, turn: u32, after: u64, why: TransportError) {
        self.land(slot, turn, self.now.after(after), Err(why));
    }

    fn time_out(&mut self, slot: u32, turn: u32, phase: Phase) {
        let at = self.deadline(slot, turn);
        self.land(slot, turn, at, Err(TransportError::TimedOut(phase)));
    }

    /// The adapter will know by then; one that is slow reports later, and even after the deadline.
    fn land(&mut self, slot: u32, turn: u32, at: SimTime, outcome: Result<Answer, TransportError>) {
        let Some(flight) = self.flights.find(slot, turn) else { return };
        flight.outcome = outcome;
        let mut at = at.max(self.now);
        if self.network_fault(Class::Tardy) {
            let late = self.streams.network.below(9_000_000_000);
            at = at.max(self.deadline(slot, turn)).after(late);
        }
        if let Some(flight) = self.flights.find(slot, turn) {
            flight.due = Some(at);
        }
        self.schedule.at(at, Happening::Flight { slot, turn, step: Step::Report });
    }

    /// The machine gave an attempt up; the adapter closes the socket and says so. One that is slow may have its end in
    /// hand already, and reports that when it comes to it.
    pub(super) fn abort(&mut self, node: u32, attempt: AttemptId) {
        let life = self.nodes[node as usize].life;
        let Some((slot, turn)) = self.flights.of(node, life, attempt) else { return };
        let flight = self.flights.find(slot, turn).expect("it was just found");
        let (attempt, due) = (flight.number, flight.due);
        if attempt & ASK == 0 {
            self.see(&Seen::Aborted { attempt });
        }
        let soon = due.is_some_and(|due| due <= self.now.after(ABORTED));
        if soon && self.classes_now(Class::Tardy) && self.streams.network.once_in(2) {
            return;
        }
        self.flights.find(slot, turn).expect("it was just found").outcome = Err(TransportError::Aborted);
        self.next_step(slot, turn, 100_000, Step::Report);
    }

    /// The adapter reports an attempt.
    fn report(&mut self, slot: u32, turn: u32) {
        let flight = self.flights.find(slot, turn).expect("it was just looked at");
        flight.over = true;
        let (node, id, attempt, sent, endpoint) = (flight.node, flight.id, flight.number, flight.sent, flight.endpoint);
        let outcome = std::mem::replace(&mut flight.outcome, Err(TransportError::Aborted));
        let word = flight.word.take();
        self.flights.release(slot);
        let clocks = self.clocks(node);
        if attempt & ASK != 0 {
            return self.replied(node, id, endpoint, word, outcome);
        }
        let body = outcome.as_ref().map_or_else(|_| Bytes::new(), |answer| self.body_of(endpoint, attempt, answer));
        match &outcome {
            Ok(answer) => {
                let lines: Vec<_> = answer.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                let outcome = Outcome::Status { status: answer.status, lines: &lines, body: &body };
                self.see(&Seen::Ended { attempt, clocks, outcome });
            }
            Err(why) => {
                let denied = matches!(why, TransportError::Denied(_));
                let outcome = Outcome::Failed { why: why.code(), denied, sent };
                self.see(&Seen::Ended { attempt, clocks, outcome });
            }
        }
        let outcome = outcome.map(|answer| {
            let reply = Reply::new(answer.status);
            let reply = answer.headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value.as_bytes()));
            if body.is_empty() { reply } else { reply.with_body(body) }
        });
        self.fact(node, Input::Completed { attempt: id, outcome });
    }

    /// The adapter reports how an inquiry ended. Who consents says so whatever the status of the answer is.
    fn replied(
        &mut self,
        node: u32,
        id: AttemptId,
        endpoint: u32,
        word: Option<Bytes>,
        outcome: Result<Answer, TransportError>,
    ) {
        let (clocks, status) = (self.clocks(node), outcome.as_ref().ok().map(|answer| answer.status));
        let word = word.filter(|_| status.is_some());
        self.see(&Seen::Replied { endpoint, node, clocks, status, word: word.is_some() });
        let outcome = outcome.map(|answer| match word {
            None => Reply::new(answer.status),
            Some(token) if token.is_empty() => Reply::new(answer.status).header("webhook-allowed-origin", b"*"),
            Some(token) => Reply::new(answer.status).with_body(token),
        });
        self.fact(node, Input::Completed { attempt: id, outcome });
    }

    /// What the adapter read of a body. Where it is kept, it says whose it is, and every so often it is too long for that.
    fn body_of(&self, endpoint: u32, attempt: u64, answer: &Answer) -> Bytes {
        if self.places[endpoint as usize].spec.keeps_answers {
            let long = if attempt.is_multiple_of(16) { limits::ANSWER_KEPT } else { 0 };
            return format!("answer~{attempt}~{}", "x".repeat(long)).into();
        }
        if answer.body > 0 { Bytes::from_static(b"an answer") } else { Bytes::new() }
    }

    /// A machine told something.
    pub(super) fn notice(&mut self, node: u32, notice: &Notice) {
        let clocks = self.clocks(node);
        let numbers = |endpoint: &postrider_core::id::EndpointKey, event: &postrider_core::id::EventId| {
            let endpoint = number(endpoint.id.as_str()).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
            (endpoint, number(event.as_str()).unwrap_or(u64::MAX))
        };
        let only = |endpoint: &postrider_core::id::EndpointKey| {
            number(endpoint.id.as_str()).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX)
        };
        let nanos = |duration: &std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let text;
        let note = match notice {
            Notice::Settled { tenant, event } => return self.settled(node, tenant, event),
            Notice::Retrying { endpoint, event, attempt, delay, .. } => {
                let (endpoint, event) = numbers(endpoint, event);
                Note::Retrying { endpoint, event, attempt: *attempt, delay: nanos(delay) }
            }
            Notice::Exhausted { endpoint, event, attempts, .. } => {
                let (endpoint, event) = numbers(endpoint, event);
                Note::Exhausted { endpoint, event, attempts: *attempts }
            }
            Notice::Refused { endpoint, event, .. } => {
                let (endpoint, event) = numbers(endpoint, event);
                Note::Refused { endpoint, event }
            }
            Notice::Expired { endpoint, event, .. } => {
                let (endpoint, event) = numbers(endpoint, event);
                Note::Expired { endpoint, event }
            }
            Notice::Lost { endpoint, event } => {
                let (endpoint, event) = numbers(endpoint, event);
                Note::Lost { endpoint, event }
            }
            Notice::Superseded { endpoint, event } => {
                let (endpoint, event) = numbers(endpoint, event);
                Note::Superseded { endpoint, event }
            }
            Notice::Endpoint { endpoint, reason } if reason.rule == Rule::Gone => Note::Gone(only(endpoint)),
            Notice::Endpoint { endpoint, reason } if reason.rule == Rule::HoldOver => Note::HoldEnded(only(endpoint)),
            Notice::Breaker { endpoint, change } => circuit(only(endpoint), change),
            Notice::Disabled { endpoint, reason } => {
                Note::Disabled { endpoint: only(endpoint), failures: reason.failures, age: nanos(&reason.age) }
            }
            Notice::WindowShrunk { age, .. } => Note::WindowShrunk(nanos(age)),
            Notice::HistoryTrimmed { before, .. } => Note::Trimmed(before.as_millis()),
            other => {
                text = other.to_string();
                Note::Other(&text)
            }
        };
        self.scratch.clear();
        write!(self.scratch, "{notice:?}").expect("a string takes everything");
        if let Some(where_) = super::checks::canary(self.scratch.as_bytes()) {
            let what = format!("a notice shows a secret at byte {where_}: {}", self.scratch);
            return self.break_off(Broken::new(27, what));
        }
        self.see(&Seen::Noted { node, clocks, note });
    }
}

/// The token in the body of a challenge; nothing where there is none.
fn token(body: &Bytes) -> Bytes {
    let name = b"\"challenge\":\"";
    let Some(at) = body.windows(name.len()).position(|window| window == name) else { return Bytes::new() };
    let begin = at + name.len();
    let end = body[begin..].iter().position(|byte| *byte == b'"').map_or(body.len(), |at| begin + at);
    body.slice(begin..end)
}

fn circuit(endpoint: u32, change: &Transition) -> Note<'static> {
    match change {
        Transition::Opened { attempts, failures, until, .. } => {
            Note::Opened { endpoint, attempts: *attempts, failures: *failures, until: until.as_nanos() }
        }
        Transition::Reopened { until, .. } => Note::Reopened { endpoint, until: until.as_nanos() },
        _ => Note::Recovered(endpoint),
    }
}

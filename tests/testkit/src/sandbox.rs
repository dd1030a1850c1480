//! A sender with virtual time and programmable receivers, in one thread and without sockets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, EventId};
use postrider_core::registration::Endpoint;
use postrider_core::response::{Outcome, Phase, Reply, TransportError};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Notice, Output, Resolver, Sender, Transmit, Wake};
use postrider_core::signing::standard::Verifier;
use postrider_core::time::{Instant, Now, UnixTime};

use crate::MemoryLog;

/// What a programmed receiver does with a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// Replies with this, at once.
    Reply(Reply),
    /// Says nothing until the attempt's deadline has passed.
    Timeout,
    /// Fails on the way, at once.
    Fails(TransportError),
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self::Reply(Reply::new(status))
    }
}

impl From<i32> for Answer {
    /// # Panics
    /// When the number is no status.
    fn from(status: i32) -> Self {
        Self::from(u16::try_from(status).expect("a status is a small positive number"))
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<TransportError> for Answer {
    fn from(error: TransportError) -> Self {
        Self::Fails(error)
    }
}

/// An attempt as the receiver saw it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Where it went.
    pub endpoint: EndpointKey,
    /// What it carried.
    pub event: EventId,
    /// The how-manieth of its delivery, counted from 1.
    pub number: u16,
    /// When it began.
    pub started: Now,
    /// The request, signed.
    pub request: Request<Bytes>,
    /// Whether the receiver's own check of the signature, made when the request came, accepted it.
    pub signed: bool,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Receiver {
    key: EndpointKey,
    endpoint: Endpoint,
    secret: Secret,
    answers: Vec<Answer>,
    asked: usize,
}

/// A real [`Sender`] with a log in memory, virtual time, and receivers that do as they are told and check signatures.
///
/// Nothing happens but in its methods, and the same calls have the same results: there is no clock and no thread.
/// Waiting costs nothing, so a week of retries passes in the time that its few requests take to be signed and checked:
/// far below 10 ms. With `cargo run --release -p postrider-tests --example week` on two shared cores of a cloud machine, the
/// default schedule's 10 attempts took 0.04 ms, and 58 attempts over a week 0.2 ms (medians of 21 runs).
///
/// It begins at 2027-01-15T08:00:00Z. Its methods panic when a test has made a mistake, and say which.
#[derive(Debug)]
pub struct Sandbox {
    sender: Sender,
    config: Config,
    log: MemoryLog,
    now: Now,
    wake: Wake,
    receivers: BTreeMap<String, Receiver>,
    /// Attempts that end later than they began.
    flying: Vec<(Instant, AttemptId, usize, Outcome)>,
    attempts: Vec<Attempt>,
    published: BTreeMap<EventId, Now>,
    notices: Vec<Notice>,
}

impl Sandbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::with(Config::new())
    }

    /// An empty one with limits or a policy of your own.
    pub fn with(config: Config) -> Self {
        let now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(config.clone(), Seed::from_bytes([42; 32]), now);
        let mut sandbox = Self {
            sender,
            config,
            log: MemoryLog::new(),
            now,
            wake: Wake::Ready,
            receivers: BTreeMap::new(),
            flying: Vec::new(),
            attempts: Vec::new(),
            published: BTreeMap::new(),
            notices: Vec::new(),
        };
        sandbox.drain();
        sandbox
    }

    /// Registers an endpoint of this name, with a receiver behind it that wants everything and answers 204; the methods
    /// of what is returned change that. For a name that exists, goes on with that one.
    pub fn receiver(&mut self, name: &str) -> ReceiverSetup<'_> {
        if !self.receivers.contains_key(name) {
            let mut key = [0x5a; 32];
            for (place, byte) in key.iter_mut().zip(name.bytes()) {
                *place ^= byte;
            }
            let secret = Secret::from_bytes(key).expect("32 bytes are a key");
            let endpoint = Endpoint::new(name, "https://receiver.test-postrider.com/hooks").signing_key(secret.clone());
            let receiver = Receiver {
                key: endpoint.key().expect("the name of a receiver is an endpoint id"),
                endpoint,
                secret,
                answers: vec![Answer::from(204_u16)],
                asked: 0,
            };
            self.receivers.insert(name.to_string(), receiver);
        }
        let mut setup = ReceiverSetup { sandbox: self, name: name.to_string() };
        setup.put(|endpoint| endpoint);
        setup
    }

    /// Publishes an event with JSON data, under an id of its own, which it returns.
    pub fn publish(&mut self, event_type: &str, data: serde_json::Value) -> EventId {
        let event = Event::json(event_type, &data).expect("an event type and JSON data");
        self.publish_event(event.id(format!("evt_{}", self.published.len() + 1)))
    }

    /// Publishes an event, which must have an id.
    pub fn publish_event(&mut self, event: Event) -> EventId {
        let receipt = self.sender.publish(self.now, event).expect("the event is accepted");
        self.published.entry(receipt.event.clone()).or_insert(self.now);
        self.drain();
        receipt.event
    }

    /// Gives a command to the sender, and carries out what follows.
    pub fn command<T>(&mut self, command: impl FnOnce(&mut Sender, Now) -> T) -> T {
        let result = command(&mut self.sender, self.now);
        self.drain();
        result
    }

    /// Lets time pass. It jumps from one moment at which something happens to the next.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now.advanced(by);
        loop {
            let wake = match self.wake {
                Wake::At(at) => Some(at),
                Wake::Ready | Wake::Input | Wake::Closed => None,
            };
            let next = self.flying.iter().map(|(at, ..)| *at).chain(wake).min();
            let Some(next) = next.filter(|next| *next <= end.mono) else { break };
            self.now = self.now.advanced(next.saturating_since(self.now.mono));
            self.land();
            self.sender.handle(self.now, Input::Tick);
            self.drain();
        }
        self.now = end;
        self.sender.handle(self.now, Input::Tick);
        self.drain();
    }

    /// The process dies and comes back `after` so long: attempts under way are lost, and what the log has is restored.
    pub fn restart(&mut self, after: Duration) {
        self.log.cut(0);
        self.flying.clear();
        self.now = self.now.advanced(after);
        self.sender = self.log.restore(self.config.clone(), self.now).expect("its own log can be restored");
        self.drain();
    }

    /// Asserts that a receiver has accepted an event; what is returned asserts more. Panics with the history of this
    /// delivery.
    #[track_caller]
    pub fn assert_delivered(&self, receiver: &str, event: &EventId) -> Delivered<'_> {
        let attempts = self.attempts_of(receiver, event);
        let delivered = |attempt: &&Attempt| matches!(&attempt.outcome, Some(Ok(reply)) if reply.status() / 100 == 2);
        let history = self.history(receiver, event);
        let Some(last) = attempts.iter().copied().find(delivered) else {
            panic!("{event} was not delivered to {receiver}\n{history}");
        };
        Delivered { last, attempts, history }
    }

    /// Asserts that a receiver has not accepted an event. Panics with the history of this delivery.
    #[track_caller]
    pub fn assert_not_delivered(&self, receiver: &str, event: &EventId) {
        let attempts = self.attempts_of(receiver, event);
        let delivered = |attempt: &&Attempt| matches!(&attempt.outcome, Some(Ok(reply)) if reply.status() / 100 == 2);
        if attempts.iter().any(delivered) {
            panic!("{event} was delivered to {receiver}\n{}", self.history(receiver, event));
        }
    }

    /// How long after its publication each attempt of an event to a receiver began.
    pub fn schedule_of(&self, receiver: &str, event: &EventId) -> Vec<Duration> {
        let published = self.published.get(event).expect("the event was published here").mono;
        let attempts = self.attempts_of(receiver, event).into_iter();
        attempts.map(|attempt| attempt.started.mono.saturating_since(published)).collect()
    }

    /// The attempts of an event to a receiver, in order.
    pub fn attempts_of(&self, receiver: &str, event: &EventId) -> Vec<&Attempt> {
        let mine = |attempt: &&Attempt| attempt.endpoint.id.as_str() == receiver && attempt.event == *event;
        self.attempts.iter().filter(mine).collect()
    }

    /// The sender, to be asked.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The virtual time.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Everything that the sender thought worth telling.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn drain(&mut self) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.append(batch);
                    let (last, _) = self.log.sync_one().expect("it was just appended");
                    self.sender.handle(self.now, Input::Persisted(last));
                }
                Output::Load(request) => {
                    let result = self.log.load(&request);
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(part) => self.log.snapshot(&part),
                Output::Reclaim(watermark) => self.log.reclaim(watermark),
                Output::Transmit(transmit) => self.carry(&transmit),
                Output::Abort(attempt) => self.abort(attempt),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(wake) => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    fn carry(&mut self, transmit: &Transmit) {
        let name = transmit.endpoint().id.as_str();
        let receiver = self.receivers.get_mut(name).expect("every endpoint of a sandbox has a receiver");
        let request = match transmit.clear_by(Resolver::Simulation) {
            Ok(cleared) => cleared.request(),
            // The endpoint's encoding cannot express the payload: nothing is sent, and the receiver is not asked.
            Err(denied) => return self.sender.handle(self.now, denied.into()),
        };
        let verifier = Verifier::new([&receiver.secret]).expect("one key is enough");
        let signed = verifier.verify(request.headers(), request.body(), self.now.wall).is_ok();
        let answer = receiver.answers[receiver.asked.min(receiver.answers.len() - 1)].clone();
        receiver.asked += 1;
        let at = self.attempts.len();
        self.attempts.push(Attempt {
            endpoint: transmit.endpoint().clone(),
            event: transmit.event().clone(),
            number: transmit.number(),
            started: transmit.started(),
            request,
            signed,
            outcome: None,
        });
        let (ends, outcome) = match answer {
            Answer::Reply(reply) => (self.now.mono, Ok(reply)),
            Answer::Fails(error) => (self.now.mono, Err(error)),
            Answer::Timeout => (transmit.deadline(), Err(TransportError::TimedOut(Phase::Head))),
        };
        self.flying.push((ends, transmit.attempt(), at, outcome));
        self.land();
    }

    /// Ends the attempts whose time has come.
    fn land(&mut self) {
        while let Some(at) = self.flying.iter().position(|(ends, ..)| *ends <= self.now.mono) {
            let (_, attempt, at, outcome) = self.flying.remove(at);
            self.attempts[at].outcome = Some(outcome.clone());
            self.sender.handle(self.now, Input::Completed { attempt, outcome });
        }
    }

    fn abort(&mut self, attempt: AttemptId) {
        for flight in self.flying.iter_mut().filter(|flight| flight.1 == attempt) {
            (flight.0, flight.3) = (self.now.mono, Err(TransportError::Aborted));
        }
        self.land();
    }

    fn history(&self, receiver: &str, event: &EventId) -> String {
        let mut text = format!("history of {event} to {receiver}:");
        if !self.receivers.contains_key(receiver) {
            text.push_str("\n  there is no such receiver");
        }
        let published = self.published.get(event).map(|now| now.mono);
        if published.is_none() {
            text.push_str("\n  the event was not published");
        }
        for attempt in self.attempts_of(receiver, event) {
            let after = attempt.started.mono.saturating_since(published.unwrap_or_default());
            let _ = write!(text, "\n  attempt {} after {after:.1?}: ", attempt.number);
            let _ = match &attempt.outcome {
                None => write!(text, "under way"),
                Some(Ok(reply)) => write!(text, "{}", reply.status()),
                Some(Err(error)) => write!(text, "{error}"),
            };
        }
        let tenant = postrider_core::id::TenantId::default();
        let report = self.sender.report(&tenant, event);
        let deliveries = report.iter().flat_map(|report| &report.deliveries);
        for delivery in deliveries.filter(|delivery| delivery.endpoint.as_str() == receiver) {
            let _ = write!(text, "\n  now: {delivery}");
        }
        text
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Changes a receiver; each method acts at once.
#[derive(Debug)]
pub struct ReceiverSetup<'a> {
    sandbox: &'a mut Sandbox,
    name: String,
}

impl ReceiverSetup<'_> {
    /// What it wants.
    pub fn events<'p>(mut self, patterns: impl IntoIterator<Item = &'p str>) -> Self {
        self.put(|endpoint| endpoint.events(patterns));
        self
    }

    /// The delays before its attempts.
    pub fn schedule(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.put(|endpoint| endpoint.schedule(delays));
        self
    }

    /// Attempts that it takes at once.
    pub fn concurrency(mut self, attempts: u16) -> Self {
        self.put(|endpoint| endpoint.concurrency(attempts));
        self
    }

    /// Everything else about its endpoint. The id stays.
    pub fn endpoint(mut self, change: impl FnOnce(Endpoint) -> Endpoint) -> Self {
        self.put(change);
        self
    }

    /// How it answers one request after the other; the last answer repeats.
    ///
    /// # Panics
    /// When there are no answers.
    pub fn answers<A: Into<Answer>>(self, answers: impl IntoIterator<Item = A>) -> Self {
        let receiver = self.sandbox.receivers.get_mut(&self.name).expect("it was made first");
        receiver.answers = answers.into_iter().map(Into::into).collect();
        receiver.asked = 0;
        assert!(!receiver.answers.is_empty(), "a receiver needs an answer");
        self
    }

    fn put(&mut self, change: impl FnOnce(Endpoint) -> Endpoint) {
        let receiver = self.sandbox.receivers.get_mut(&self.name).expect("it was made first");
        receiver.endpoint = change(receiver.endpoint.clone());
        let endpoint = receiver.endpoint.clone();
        assert_eq!(endpoint.key().as_ref(), Ok(&receiver.key), "the name of a receiver stays");
        self.sandbox.command(|sender, now| sender.put(now, endpoint)).expect("the endpoint is described correctly");
    }
}

/// A delivery that was made; its methods assert more about it, and panic with its history.
#[derive(Debug)]

pub struct Delivered<'a> {
    last: &'a Attempt,
    attempts: Vec<&'a Attempt>,
    history: String,
}

impl Delivered<'_> {
    /// It took this many attempts.
    #[track_caller]
    pub fn attempts(self, expected: u16) -> Self {
        let made = self.last.number;
        assert!(made == expected, "it took {made} attempts, not {expected}\n{}", self.history);
        self
    }

    /// Each of its requests was signed with the receiver's secret.
    #[track_caller]
    pub fn signed(self) -> Self {
        for attempt in &self.attempts {
            assert!(attempt.signed, "attempt {} was not signed as it should be\n{}", attempt.number, self.history);
        }
        self
    }

    /// At this JSON pointer, the body has this value.
    #[track_caller]
    pub fn json(self, pointer: &str, expected: impl Into<serde_json::Value>) -> Self {
        let expected = expected.into();
        let body: Option<serde_json::Value> = serde_json::from_slice(self.last.request.body()).ok();
        let found = body.as_ref().and_then(|body| body.pointer(pointer));
        assert!(found == Some(&expected), "at {pointer} stands {found:?}, not {expected}\n{}", self.history);
        self
    }

    /// The attempt that delivered it.
    pub fn attempt(&self) -> &Attempt {
        self.last
    }
}

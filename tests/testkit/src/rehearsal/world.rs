//! The sender, the way to the receiver and the way back, and the handler behind it, in virtual time.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider_core::receiver::{
    Delivery, DeliveryId, ExchangeId, NotStored, Processed, Receiver, ReceiverConfig, RecvInput, RecvOutput,
    RequestHead, Response,
};
use postrider_core::signing::{Scheme, Verifier};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_core::wake::Wake;

use super::report::{End, Handed, Report};
use super::story::{Fault, Trouble};
use crate::signed::Provider;

/// Tells which attempt a request is. The signature does not cover it, and nothing but the report reads it.
const MARK: &str = "postrider-rehearsal";

const BEGINNING: Now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_800_000_000) };
/// Between the first requests of two events.
const PACE: Duration = Duration::from_millis(50);
/// From the sender to the receiver, and back.
const WAY: Duration = Duration::from_millis(10);
/// What the handler takes until its answer is known.
const WORK: Duration = Duration::from_millis(100);
/// After this the sender takes an attempt for failed.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The sender's wait after its first failed attempt; it doubles up to the longest.
const RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// After this many attempts an event is given up.
const ATTEMPTS: u32 = 50;
/// What the sender takes to start again, and how long before a crash its acknowledgements are not kept.
const RESTART: Duration = Duration::from_secs(1);

pub(super) struct World<'a, H> {
    provider: &'a Provider,
    events: &'a [(String, Bytes)],
    in_order: bool,
    config: fn(Verifier) -> ReceiverConfig,
    troubles: &'a [Trouble],
    handler: H,
    now: Now,
    /// What will happen, in its order.
    ahead: BTreeMap<(Instant, u64), Happening>,
    happenings: u64,
    sender: Vec<Owed>,
    sender_lives: u32,
    receiver: Receiver,
    receiver_lives: u32,
    exchanges: BTreeMap<ExchangeId, Request>,
    next_exchange: u64,
    /// Troubles of the receiver that have been.
    over: BTreeSet<(usize, u32, Fault)>,
    report: Report,
}

/// What the sender knows of an event.
#[derive(Clone, Copy, Default)]
struct Owed {
    attempts: u32,
    /// The attempt whose answer it waits for.
    waiting: Option<u32>,
    /// When it ended, and how.
    end: Option<(Instant, End)>,
    sends_at: Option<Instant>,
}

/// A request on its way.
#[derive(Clone)]
struct Request {
    event: usize,
    attempt: u32,
    /// The sender's life in which it was sent; nobody hears the answer to a copy.
    life: Option<u32>,
    head: RequestHead,
    body: Bytes,
}

enum Happening {
    Send(usize),
    Arrive(Request),
    Finish { life: u32, result: RecvInput },
    Answer { event: usize, attempt: u32, life: u32, answer: Option<(u16, Option<Duration>)> },
    SenderCrash,
    ReceiverCrash(u32),
    Tick,
}

impl<'a, H: FnMut(&Delivery) -> Processed> World<'a, H> {
    pub(super) fn new(
        provider: &'a Provider,
        events: &'a [(String, Bytes)],
        in_order: bool,
        config: fn(Verifier) -> ReceiverConfig,
        troubles: &'a [Trouble],
        handler: H,
    ) -> Self {
        let ids = events.iter().map(|(id, _)| id.clone()).collect();
        let ends = vec![End::GivenUp; events.len()];
        Self {
            provider,
            events,
            in_order,
            config,
            troubles,
            handler,
            now: BEGINNING,
            ahead: BTreeMap::new(),
            happenings: 0,
            sender: vec![Owed::default(); events.len()],
            sender_lives: 0,
            receiver: Receiver::new(config(provider.verifier().clone()), BEGINNING),
            receiver_lives: 0,
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            over: BTreeSet::new(),
            report: Report { ids, ends, handed: Vec::new(), panics: Vec::new(), told: Vec::new() },
        }
    }

    /// Plays until nothing is on its way and nobody waits for anything.
    pub(super) fn run(mut self) -> Report {
        self.send_all(Duration::ZERO);
        while let Some(((at, _), happening)) = self.ahead.pop_first() {
            self.now = self.now.advanced(at.saturating_since(self.now.mono));
            match happening {
                // Time alone changes nothing any more once everything else has happened.
                Happening::Tick
                    if self.ahead.values().all(|next| matches!(next, Happening::Tick)) && self.is_quiet() => {}
                Happening::Tick => self.feed(RecvInput::Tick),
                Happening::Send(event) => self.send(event),
                Happening::Arrive(request) => self.arrive(request),
                Happening::Finish { life, result } if life == self.receiver_lives => self.feed(result),
                Happening::Finish { .. } => {}
                Happening::Answer { event, attempt, life, answer } => self.answered(event, attempt, life, answer),
                Happening::SenderCrash => self.sender_crash(),
                Happening::ReceiverCrash(life) if life == self.receiver_lives => self.receiver_crash(),
                Happening::ReceiverCrash(_) => {}
            }
        }
        for (end, owed) in self.report.ends.iter_mut().zip(&self.sender) {
            *end = owed.end.map_or(End::GivenUp, |(_, end)| end);
        }
        self.report
    }

    /// Whether nobody waits for the receiver.
    fn is_quiet(&self) -> bool {
        self.receiver.in_progress() == 0 && self.exchanges.is_empty()
    }

    fn at(&mut self, after: Duration, happening: Happening) {
        self.happenings += 1;
        self.ahead.insert((self.now.mono.saturating_add(after), self.happenings), happening);
    }

    fn tell(&mut self, what: String) {
        self.report.told.push((self.now.mono.saturating_since(BEGINNING.mono), what));
    }

    fn id(&self, event: usize) -> &str {
        &self.events[event].0
    }

    fn trouble(&self, event: usize, attempt: u32, fault: Fault) -> Option<Duration> {
        let is = |trouble: &&Trouble| (trouble.event, trouble.attempt, trouble.fault) == (event, attempt, fault);
        self.troubles.iter().find(is).map(|trouble| trouble.by)
    }

    /// The same for what happens only once, to whichever copy comes first.
    fn trouble_once(&mut self, event: usize, attempt: u32, fault: Fault) -> bool {
        self.trouble(event, attempt, fault).is_some() && self.over.insert((event, attempt, fault))
    }
}

/// The sender.
impl<H: FnMut(&Delivery) -> Processed> World<'_, H> {
    /// Sends everything that has not ended, or in order the first of that.
    fn send_all(&mut self, after: Duration) {
        let open: Vec<usize> = (0..self.events.len()).filter(|event| self.sender[*event].end.is_none()).collect();
        for (n, event) in open.into_iter().take(if self.in_order { 1 } else { usize::MAX }).enumerate() {
            self.send_later(event, after + PACE * n as u32);
        }
    }

    fn send_later(&mut self, event: usize, after: Duration) {
        self.sender[event].sends_at = Some(self.now.mono.saturating_add(after));
        self.at(after, Happening::Send(event));
    }

    fn send(&mut self, event: usize) {
        let owed = &mut self.sender[event];
        let is_due = owed.sends_at == Some(self.now.mono) && owed.end.is_none() && owed.waiting.is_none();
        if !is_due {
            return;
        }
        owed.sends_at = None;
        if owed.attempts == ATTEMPTS {
            owed.end = Some((self.now.mono, End::GivenUp));
            self.tell(format!("{} is given up", self.id(event)));
            return self.next_in_order();
        }
        owed.attempts += 1;
        let attempt = owed.attempts;
        owed.waiting = Some(attempt);
        let life = self.sender_lives;
        let request = self.request(event, attempt, Some(life));
        let late = self.trouble(event, attempt, Fault::Delay).unwrap_or_default();
        self.tell(format!("{} is sent, attempt {attempt}", self.id(event)));
        if let Some(by) = self.trouble(event, attempt, Fault::Duplicate) {
            self.at(WAY + late + by, Happening::Arrive(Request { life: None, ..request.clone() }));
        }
        if self.trouble(event, attempt, Fault::RequestLost).is_some() {
            self.tell(format!("{} is lost on the way, attempt {attempt}", self.id(event)));
        } else {
            self.at(WAY + late, Happening::Arrive(request));
        }
        if let Some(by) = self.trouble(event, attempt, Fault::SenderCrash) {
            self.at(by, Happening::SenderCrash);
        }
        self.at(TIMEOUT, Happening::Answer { event, attempt, life, answer: None });
    }

    fn request(&self, event: usize, attempt: u32, life: Option<u32>) -> Request {
        let (id, body) = &self.events[event];
        let signed = self.provider.request(id, body, self.now.wall);
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            let name = HeaderName::try_from(name).expect("headers of schemes have names");
            headers.append(name, HeaderValue::try_from(value).expect("what was signed can be sent"));
        };
        for (name, value) in &signed.headers {
            // The fixture's own word, where the scheme has none; no signature covers it.
            let is_any = name == "content-type" && value == "text/plain";
            add(name, if is_any { "application/json" } else { value });
        }
        if self.provider.scheme() == Scheme::Standard {
            add("postrider-key", "rehearsal");
            add("postrider-sequence", &(event + 1).to_string());
            if event > 0 {
                add("postrider-previous-sequence", &event.to_string());
            }
        }
        add(MARK, &format!("{event} {attempt}"));
        let head = RequestHead::new(Method::POST, headers).target(signed.url);
        Request { event, attempt, life, head, body: signed.body.into() }
    }

    /// An answer, or that there is none in time.
    fn answered(&mut self, event: usize, attempt: u32, life: u32, answer: Option<(u16, Option<Duration>)>) {
        if life != self.sender_lives || self.sender[event].waiting != Some(attempt) {
            return;
        }
        self.sender[event].waiting = None;
        let wait = match answer {
            Some((status, _)) if (200..300).contains(&status) => return self.end(event, End::Acknowledged, status),
            Some((status @ (400 | 410), _)) => return self.end(event, End::Refused, status),
            Some((status, wait)) => {
                self.tell(format!("{} is answered {status}, attempt {attempt}", self.id(event)));
                wait
            }
            None => {
                self.tell(format!("{} has no answer, attempt {attempt}", self.id(event)));
                None
            }
        };
        let own = RETRY.saturating_mul(1 << (attempt - 1).min(10)).min(LONGEST_RETRY);
        self.send_later(event, wait.unwrap_or_default().max(own));
    }

    fn end(&mut self, event: usize, end: End, status: u16) {
        self.sender[event].end = Some((self.now.mono, end));
        self.tell(format!("{} is answered {status}: it is over", self.id(event)));
        self.next_in_order();
    }

    fn next_in_order(&mut self) {
        if self.in_order {
            self.send_all(PACE);
        }
    }

    fn sender_crash(&mut self) {
        self.sender_lives += 1;
        self.tell("the sender crashes".to_owned());
        for owed in &mut self.sender {
            owed.waiting = None;
            owed.sends_at = None;
            let kept = |(at, _): &(Instant, End)| self.now.mono.saturating_since(*at) >= RESTART;
            owed.end = owed.end.filter(kept);
        }
        self.send_all(RESTART);
    }
}

/// The receiver, and the handler behind it.
impl<H: FnMut(&Delivery) -> Processed> World<'_, H> {
    fn arrive(&mut self, request: Request) {
        let (event, attempt) = (request.event, request.attempt);
        self.next_exchange += 1;
        let exchange = ExchangeId::new(self.next_exchange);
        if request.life.is_none() {
            self.tell(format!("{} arrives once more, attempt {attempt}", self.id(event)));
        }
        let (head, body) = (request.head.clone(), request.body.clone());
        self.exchanges.insert(exchange, request);
        if self.trouble_once(event, attempt, Fault::ReceiverCrash) {
            return self.receiver_crash();
        }
        self.receiver.handle(self.now, RecvInput::Head { exchange, head });
        self.feed(RecvInput::Body { exchange, body });
    }

    /// Tells the machine a fact, and does what it asks for.
    fn feed(&mut self, input: RecvInput) {
        self.receiver.handle(self.now, input);
        loop {
            match self.receiver.poll_output() {
                // The body is at hand, and comes right behind the head.
                RecvOutput::ReadBody { .. } | RecvOutput::Notice(_) => {}
                RecvOutput::Deliver(delivery) => self.hand(&delivery, false),
                RecvOutput::Store(delivery) => self.hand(&delivery, true),
                RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                    panic!("a rehearsal has no store of claims: leave `ReceiverConfig::claims` out")
                }
                RecvOutput::Respond(response) => self.respond(&response),
                RecvOutput::Wait(Wake::Ready) => {}
                RecvOutput::Wait(Wake::At(at)) => {
                    let is_set =
                        self.ahead.iter().any(|((due, _), next)| matches!(next, Happening::Tick) && *due == at);
                    if !is_set {
                        self.at(at.saturating_since(self.now.mono), Happening::Tick);
                    }
                    return;
                }
                RecvOutput::Wait(Wake::Input | Wake::Closed) => return,
            }
        }
    }

    fn hand(&mut self, delivery: &Delivery, to_store: bool) {
        let mark = delivery.headers().get(MARK).and_then(|mark| mark.to_str().ok()).unwrap_or_default();
        let (event, attempt) = mark.split_once(' ').expect("every request has a mark");
        let event: usize = event.parse().expect("a number");
        let attempt: u32 = attempt.parse().expect("a number");
        let (id, at) = (self.id(event).to_owned(), self.now.mono.saturating_since(BEGINNING.mono));
        self.tell(format!("{id} is handed to the handler, attempt {attempt}"));
        self.report.handed.push(Handed { id, attempt, at });
        let handler = &mut self.handler;
        let mut result = catch_unwind(AssertUnwindSafe(|| handler(delivery))).unwrap_or_else(|panic| {
            self.report.panics.push(said(&*panic));
            Processed::Later { after: None }
        });
        if self.trouble_once(event, attempt, Fault::Panic) {
            self.tell("the handler panics behind its effect".to_owned());
            result = Processed::Later { after: None };
        }
        if self.trouble_once(event, attempt, Fault::CrashBeforeAnswer) {
            self.at(WORK / 2, Happening::ReceiverCrash(self.receiver_lives));
        }
        let result = ended(delivery.id(), result, to_store);
        self.at(WORK, Happening::Finish { life: self.receiver_lives, result });
    }

    fn respond(&mut self, response: &Response) {
        let Some(request) = self.exchanges.remove(&response.exchange()) else { return };
        let (event, attempt) = (request.event, request.attempt);
        let Some(life) = request.life else { return };
        if self.trouble(event, attempt, Fault::AnswerLost).is_some() {
            return self.tell(format!("the answer to {} is lost, attempt {attempt}", self.id(event)));
        }
        let answer = Some((response.status().as_u16(), response.retry_after()));
        self.at(WAY, Happening::Answer { event, attempt, life, answer });
    }

    /// A new machine that has seen nothing. Whoever waits for an answer sees the connection break.
    fn receiver_crash(&mut self) {
        self.receiver_lives += 1;
        self.tell("the receiver crashes".to_owned());
        self.receiver = Receiver::new((self.config)(self.provider.verifier().clone()), self.now);
        for (_, Request { event, attempt, life, .. }) in std::mem::take(&mut self.exchanges) {
            if let Some(life) = life {
                self.at(WAY, Happening::Answer { event, attempt, life, answer: None });
            }
        }
    }
}

/// The fact that a handler's result is. One that stands for a store has stored, or has not.
fn ended(delivery: DeliveryId, result: Processed, to_store: bool) -> RecvInput {
    let stored = match result {
        Processed::Later { after } => Err(after.map_or_else(NotStored::default, NotStored::after)),
        Processed::Done | Processed::Queued | Processed::Refuse | Processed::Unsubscribed => Ok(()),
    };
    if to_store { RecvInput::Stored { delivery, result: stored } } else { RecvInput::Processed { delivery, result } }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("something that is no text").to_owned()
}

//! What happens, one thing after the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider_core::receiver::{
    ClaimError, DeliveryId, ExchangeId, NotStored, Processed, RecvInput, RecvNotice, RecvOutput, RequestHead,
};
use postrider_core::signing::Extent;
use postrider_core::time::UnixTime;
use postrider_core::wake::Wake;

use super::draw::{EPOCH, FAULTS, Setting, body};
use super::judge::{Judge, Message};
use super::node::Node;
use super::shop::Shop;
use crate::observe::{SECOND, SimTime};
use crate::rng::Rng;

/// Nanoseconds after which a sender gives an attempt up.
const PATIENCE: u64 = 20 * SECOND;

/// Nanoseconds between two attempts, at most.
const BACKOFF: u64 = 30 * SECOND;

/// When nothing may be left to do.
const END: u64 = FAULTS + 3600 * SECOND;

/// Lines of the story that are kept.
const STORY: usize = 400;

/// What came of a seed.
#[derive(Debug)]
pub struct Verdict {
    /// Which.
    pub seed: u64,
    /// When what was broken.
    pub broken: Option<(SimTime, String)>,
    /// Of all that happened.
    pub hash: u64,
    /// The end of the story.
    pub story: Vec<String>,
    /// What was counted.
    pub counts: Counts,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Crashes of receivers and stores.
    pub crashes: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Late deliveries.
    pub late: u64,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.requests += other.requests;
        self.deliveries += other.deliveries;
        self.crashes += other.crashes;
        self.gaps += other.gaps;
        self.late += other.late;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, requests, deliveries, crashes, gaps, late } = self;
        write!(
            f,
            "{messages} messages, {requests} requests, {deliveries} deliveries, {crashes} crashes, {gaps} gaps, {late} late"
        )
    }
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A message comes into being.
    Message(usize),
    /// Its sender tries again.
    Attempt(usize),
    /// A request arrives, with its head; then its body.
    Arrive(usize),
    Body {
        request: usize,
        node: usize,
        incarnation: u32,
        exchange: u64,
    },
    /// A sender has waited long enough, or has an answer.
    GiveUp(usize),
    Answer {
        request: usize,
        ends: bool,
    },
    /// It is time at a node.
    Tick {
        node: usize,
        incarnation: u32,
    },
    /// The application, or the inbox, is done.
    Ended {
        node: usize,
        incarnation: u32,
        delivery: DeliveryId,
    },
    /// A call of the store of claims arrives, or its answer.
    Called {
        node: usize,
        incarnation: u32,
        call: usize,
    },
    Told {
        node: usize,
        incarnation: u32,
        shop: u32,
        call: usize,
        upto: usize,
    },
    Crash,
    Start(usize),
    ShopCrash,
    Clocks,
    Attack,
}

#[derive(Clone, Debug)]
struct Request {
    /// The message in it; none where nobody signed what is in it.
    message: Option<usize>,
    head: RequestHead,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    open: bool,
}

/// A call of the store of claims.
#[derive(Debug)]
struct Call {
    wish: RecvOutput,
    /// The message that it is about, where it has left the machine.
    message: Option<usize>,
    answer: Option<RecvInput>,
}

struct World {
    setting: Setting,
    rng: Rng,
    now: SimTime,
    queue: BinaryHeap<Reverse<(SimTime, u64, What)>>,
    made: u64,
    nodes: Vec<Node>,
    shop: Shop,
    judge: Judge,
    requests: Vec<Request>,
    /// Calls of the store, and the answers to them.
    calls: Vec<Call>,
    hash: u64,
    story: VecDeque<String>,
    counts: Counts,
}

/// Runs a seed.
pub fn run(seed: u64) -> Verdict {
    let mut world = World::new(seed);
    let broken = world.live().err().map(|what| (world.now, what));
    world.counts.messages = world.judge.messages.len() as u64;
    Verdict { seed, broken, hash: world.hash, story: world.story.into(), counts: world.counts }
}

impl World {
    fn new(seed: u64) -> Self {
        let setting = Setting::draw(seed);
        let nodes = (0..setting.nodes).map(|_| Node::new(setting.config(), SimTime(0))).collect();
        let mut world = Self {
            judge: Judge::new(&setting),
            rng: Rng::part(seed, "inbound world"),
            now: SimTime(0),
            queue: BinaryHeap::new(),
            made: 0,
            nodes,
            shop: Shop::new(UnixTime::from_millis(EPOCH)),
            requests: Vec::new(),
            calls: Vec::new(),
            hash: 0xCBF2_9CE4_8422_2325,
            story: VecDeque::new(),
            counts: Counts::default(),
            setting,
        };
        world.tell(format!("{:?}", world.setting));
        world.at(SimTime(1), What::Message(0));
        for (mean, what) in [
            (world.setting.crashes, What::Crash),
            (if world.setting.claims { world.setting.shop_crashes } else { 0 }, What::ShopCrash),
            (if world.setting.clocks { 100 * SECOND } else { 0 }, What::Clocks),
            (if world.setting.attacker { 10 * SECOND } else { 0 }, What::Attack),
        ] {
            if mean > 0 {
                world.later(mean, what);
            }
        }
        world
    }

    fn live(&mut self) -> Result<(), String> {
        while let Some(Reverse((at, _, what))) = self.queue.pop() {
            if at.0 > END {
                break;
            }
            self.now = at;
            self.tell(format!("{what:?}"));
            self.happen(what)?;
        }
        self.judge.finish()?;
        for at in 0..self.nodes.len() {
            let Some(machine) = &mut self.nodes[at].machine else { return Err(format!("node {at} is down")) };
            if (machine.exchanges(), machine.in_progress()) != (0, 0) {
                return Err(format!("node {at} is not done: {machine:?}"));
            }
        }
        Ok(())
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Message(number) => self.message(number),
            What::Attempt(message) => self.attempt(message),
            What::Arrive(request) => return self.arrive(request),
            What::Body { request, node, incarnation, exchange } => {
                let body = self.requests[request].body.clone();
                let input = RecvInput::Body { exchange: ExchangeId::new(exchange), body };
                return self.feed_if(node, incarnation, input);
            }
            What::GiveUp(request) => self.give_up(request),
            What::Answer { request, ends } => self.answer(request, ends),
            What::Tick { node, incarnation } => return self.feed_if(node, incarnation, RecvInput::Tick),
            What::Ended { node, incarnation, delivery } => return self.ended(node, incarnation, delivery),
            What::Called { node, incarnation, call } => self.called(node, incarnation, call),
            What::Told { node, incarnation, shop, call, upto } => {
                return self.told(node, incarnation, shop, call, upto);
            }
            What::Crash => self.crash(),
            What::Start(node) => {
                self.nodes[node].start(self.setting.config(), self.now);
            }
            What::ShopCrash => {
                self.counts.crashes += 1;
                self.shop.crash(self.wall());
                self.again(self.setting.shop_crashes, What::ShopCrash);
            }
            What::Clocks => {
                let off = i64::try_from(self.rng.below(1_200_000)).expect("it fits") - 600_000;
                let node = self.rng.index(self.nodes.len());
                self.nodes[node].offset = if self.faults() && self.rng.once_in(2) { off } else { 0 };
                if self.faults() {
                    self.later(100 * SECOND, What::Clocks);
                } else {
                    self.nodes.iter_mut().for_each(|node| node.offset = 0);
                }
            }
            What::Attack => self.attack(),
        }
        Ok(())
    }
}

/// Senders.
impl World {
    fn message(&mut self, number: usize) {
        let line = self.rng.below(self.setting.lines);
        let at = self.judge.messages.iter().filter(|other| other.line == line).count() as u64 + 1;
        self.judge.messages.push(Message { line, at, ..Message::default() });
        self.attempt(number);
        if number + 1 < self.setting.messages {
            self.later(self.setting.gap, What::Message(number + 1));
        }
    }

    fn attempt(&mut self, number: usize) {
        let message = &mut self.judge.messages[number];
        if message.over {
            return;
        }
        message.attempts += 1;
        let body = body(number, message.line, message.at);
        let at = UnixTime::from_millis(EPOCH + self.now.0 / 1_000_000);
        let signed = self.setting.provider.request(&format!("evt_{number}"), &body, at);
        self.judge.messages[number].bodies.insert(signed.body.clone());
        let request = self.request(Some(number), (&signed.url, signed.headers), signed.body.into());
        self.at(self.now.after(PATIENCE), What::GiveUp(request));
        self.send(request);
    }

    fn request(&mut self, message: Option<usize>, (url, headers): (&str, Vec<(String, String)>), body: Bytes) -> usize {
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            let name = HeaderName::try_from(name.to_ascii_lowercase()).expect("a header's name");
            map.append(name, HeaderValue::try_from(value).expect("a header's value"));
        }
        let head = RequestHead::new(Method::POST, map).target(url);
        self.requests.push(Request { message, head, url: url.into(), headers, body, open: true });
        self.requests.len() - 1
    }

    fn send(&mut self, request: usize) {
        let copies = 1 + u64::from(self.faults() && self.rng.chance(self.setting.doubled));
        for _ in 0..copies {
            if !(self.faults() && self.rng.chance(self.setting.loss)) {
                self.later(self.setting.latency, What::Arrive(request));
            }
        }
    }

    fn give_up(&mut self, request: usize) {
        if self.requests[request].open {
            self.requests[request].open = false;
            self.retry(request);
        }
    }

    fn answer(&mut self, request: usize, ends: bool) {
        if !std::mem::replace(&mut self.requests[request].open, false) {
            return;
        }
        match self.requests[request].message {
            Some(message) if ends => self.judge.messages[message].over = true,
            Some(_) => self.retry(request),
            None => {}
        }
    }

    fn retry(&mut self, request: usize) {
        let Some(message) = self.requests[request].message else { return };
        let tried = self.judge.messages[message].attempts.min(5);
        let delay = self.rng.about(SECOND << tried).min(BACKOFF);
        self.at(self.now.after(delay), What::Attempt(message));
    }

    /// Somebody sends what he has captured, as it is or changed.
    fn attack(&mut self) {
        self.again(10 * SECOND, What::Attack);
        let captured = self.rng.index(self.requests.len());
        let Request { message, mut headers, body, url, .. } = self.requests[captured].clone();
        if message.is_none() {
            return;
        }
        let over = message.is_some_and(|message| self.judge.messages[message].over);
        let (mut body, mut message) = (body.to_vec(), message);
        let covers_id = self.setting.provider.verifier().facts().id.covered;
        match self.rng.below(3) {
            0 => {}
            // An id that is not signed can be changed. Where the content has ended and is remembered nothing may come of it.
            1 if covers_id || over && self.setting.remembers() && self.setting.dedupes() => {
                let other = format!("evt_{}", self.rng.index(self.judge.messages.len()));
                let own = format!("evt_{}", message.unwrap_or(0));
                for (_, value) in headers.iter_mut().filter(|(_, value)| *value == own && own != other) {
                    value.clone_from(&other);
                    // Where the id is signed, nobody signed this.
                    message = message.filter(|_| !covers_id);
                }
            }
            1 => {}
            // What nobody signs can be changed.
            _ if self.setting.provider.verifier().facts().body != Extent::Whole => {}
            _ => {
                let at = self.rng.index(body.len());
                body[at] ^= 1;
                message = None;
            }
        }
        let request = self.request(message, (&url, headers), body.into());
        self.requests[request].open = false;
        self.send(request);
    }
}

/// Receivers.
impl World {
    fn arrive(&mut self, request: usize) -> Result<(), String> {
        self.counts.requests += 1;
        let at = self.rng.index(self.nodes.len());
        let node = &mut self.nodes[at];
        if node.machine.is_none() {
            return Ok(());
        }
        let (exchange, incarnation) = (node.exchange(), node.incarnation);
        node.exchanges.insert(exchange, request);
        let delay = self.rng.about(self.setting.latency / 2 + 1);
        self.at(self.now.after(delay), What::Body { request, node: at, incarnation, exchange });
        let head = self.requests[request].head.clone();
        self.feed(at, RecvInput::Head { exchange: ExchangeId::new(exchange), head })
    }

    fn feed_if(&mut self, node: usize, incarnation: u32, input: RecvInput) -> Result<(), String> {
        if self.nodes[node].machine.is_some() && self.nodes[node].incarnation == incarnation {
            return self.feed(node, input);
        }
        Ok(())
    }

    fn feed(&mut self, at: usize, input: RecvInput) -> Result<(), String> {
        let now = self.nodes[at].now(self.now);
        if let Some(machine) = &mut self.nodes[at].machine {
            machine.handle(now, input);
        }
        self.drain(at)
    }

    fn drain(&mut self, at: usize) -> Result<(), String> {
        let now = self.nodes[at].now(self.now);
        loop {
            let Some(machine) = &mut self.nodes[at].machine else { return Ok(()) };
            match machine.poll_output() {
                RecvOutput::ReadBody { .. } => {}
                RecvOutput::Deliver(delivery) => self.deliver(at, &delivery, false)?,
                RecvOutput::Store(delivery) => self.deliver(at, &delivery, true)?,
                RecvOutput::Respond(response) => {
                    let exchange = response.exchange().get();
                    let request = self.nodes[at].exchanges.remove(&exchange).ok_or("an exchange is answered twice")?;
                    let message = self.requests[request].message;
                    self.tell(format!("node {at} answers {message:?}: {:?}", response.reason()));
                    // A store that does not answer in the time that processing may take is not waited for.
                    if let Some(known) = message.map(|message| &mut self.judge.messages[message]) {
                        known.excused |=
                            known.asked.is_some_and(|asked| self.now.since(asked) >= self.setting.processing());
                    }
                    let ends = self.judge.answered(message, &response)?;
                    if !(self.faults() && self.rng.chance(self.setting.loss)) {
                        self.later(self.setting.latency, What::Answer { request, ends });
                    }
                }
                RecvOutput::Notice(notice) => self.notice(at, notice),
                wish @ (RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_)) => {
                    self.tell(format!("node {at} wishes {wish:?}"));
                    let message = match &wish {
                        RecvOutput::Commit(commit) => self.nodes[at].messages.get(&commit.delivery).copied(),
                        _ => None,
                    };
                    if let Some(message) = message {
                        self.judge.messages[message].asked = Some(self.now);
                    }
                    self.calls.push(Call { wish, message, answer: None });
                    let (call, incarnation) = (self.calls.len() - 1, self.nodes[at].incarnation);
                    self.later(self.setting.latency, What::Called { node: at, incarnation, call });
                }
                RecvOutput::Wait(Wake::Ready) => {}
                RecvOutput::Wait(Wake::At(wake)) => {
                    let delay = wake.saturating_since(now.mono).as_nanos();
                    let delay = u64::try_from(delay).map_err(|_| "a wake is too far away")?;
                    let incarnation = self.nodes[at].incarnation;
                    self.at(self.now.after(delay), What::Tick { node: at, incarnation });
                    return Ok(());
                }
                RecvOutput::Wait(Wake::Input | Wake::Closed) => return Ok(()),
            }
        }
    }

    fn notice(&mut self, at: usize, notice: RecvNotice) {
        self.tell(format!("node {at} notes {notice}"));
        let node = &mut self.nodes[at];
        match notice {
            RecvNotice::TimedOut { delivery, .. } => {
                // What ends after its time is over for its machine before the store says so.
                if let Some(message) = node.messages.get(&delivery) {
                    self.judge.messages[*message].excused = true;
                }
                if let Some(message) = node.given.remove(&delivery) {
                    node.overdue.insert(delivery, message);
                }
            }
            RecvNotice::NotClaimed { delivery, ended: true, .. } => {
                if let Some(message) = node.messages.get(&delivery) {
                    self.judge.messages[*message].excused = true;
                }
            }
            RecvNotice::Gap { line, place, .. } => {
                self.counts.gaps += 1;
                node.gaps.insert((line.trim_start_matches("0/line/").to_owned(), place));
            }
            _ => {}
        }
    }

    fn deliver(&mut self, at: usize, delivery: &postrider_core::receiver::Delivery, store: bool) -> Result<(), String> {
        self.counts.deliveries += 1;
        self.counts.late += u64::from(delivery.is_late());
        self.tell(format!("node {at} delivers {}, late: {}", delivery.webhook_id(), delivery.is_late()));
        let message = self.judge.delivered(&self.nodes[at], delivery, (store, self.shop.incarnation))?;
        let node = &mut self.nodes[at];
        node.given.insert(delivery.id(), message);
        node.messages.insert(delivery.id(), message);
        let incarnation = node.incarnation;
        self.later(self.setting.work, What::Ended { node: at, incarnation, delivery: delivery.id() });
        Ok(())
    }

    /// The application has done what it was given, or the inbox has made it durable.
    fn ended(&mut self, at: usize, incarnation: u32, delivery: DeliveryId) -> Result<(), String> {
        let node = &mut self.nodes[at];
        if node.machine.is_none() || node.incarnation != incarnation {
            return Ok(());
        }
        let given = node.given.remove(&delivery).or_else(|| node.overdue.remove(&delivery));
        let message = given.ok_or("a delivery ends twice")?;
        let later = self.faults() && self.rng.chance(self.setting.later);
        let draw = if self.faults() { self.rng.below(100) } else { 50 };
        let result = match draw {
            _ if later => Processed::Later { after: None },
            0..2 => Processed::Refuse,
            2 => Processed::Unsubscribed,
            3..8 => Processed::Queued,
            _ => Processed::Done,
        };
        let ended = !matches!(result, Processed::Later { .. });
        let known = &mut self.judge.messages[message];
        if ended {
            match result {
                Processed::Refuse if !self.setting.stored => known.refused = true,
                Processed::Unsubscribed if !self.setting.stored => known.unsubscribed = true,
                _ => known.effects += 1,
            }
            known.ended = true;
        }
        let stale = self.nodes[at].machine.as_ref().map(|machine| machine.stats().stale);
        let input = if self.setting.stored {
            RecvInput::Stored { delivery, result: if ended { Ok(()) } else { Err(NotStored::default()) } }
        } else {
            RecvInput::Processed { delivery, result }
        };
        let now = self.nodes[at].now(self.now);
        if let Some(machine) = &mut self.nodes[at].machine {
            machine.handle(now, input);
            if ended && Some(machine.stats().stale) == stale {
                self.nodes[at].settled.insert(message);
            }
        }
        self.drain(at)
    }

    fn crash(&mut self) {
        self.again(self.setting.crashes, What::Crash);
        let at = self.rng.index(self.nodes.len());
        if self.nodes[at].machine.is_none() {
            return;
        }
        self.counts.crashes += 1;
        let (_, given) = self.nodes[at].crash();
        // Some had their effect, and nobody was told.
        for message in given {
            if self.rng.once_in(2) {
                self.judge.messages[message].effects += 1;
            }
        }
        let down = self.rng.about(5 * SECOND);
        self.at(self.now.after(down), What::Start(at));
    }
}

/// The store of claims.
impl World {
    fn called(&mut self, node: usize, incarnation: u32, call: usize) {
        let wall = self.wall();
        let failed = || ClaimError::Unavailable { why: "made up".into() };
        let fails = self.faults() && self.rng.chance(self.setting.shop_fails);
        // One that fails may have been done all the same.
        let done = !fails || self.rng.once_in(2);
        let (input, upto) = match &self.calls[call].wish {
            RecvOutput::Claim(claim) => {
                let (claimed, upto) = if done {
                    let (claimed, upto) = self.shop.claim(wall, claim);
                    (Ok(claimed), upto)
                } else {
                    (Err(failed()), 0)
                };
                let result = if fails { Err(failed()) } else { claimed };
                (RecvInput::Claimed { delivery: claim.delivery, result }, upto)
            }
            RecvOutput::Commit(commit) => {
                let (result, upto) = if done { self.shop.commit(wall, commit) } else { (Err(failed()), 0) };
                if let Some(message) = self.calls[call].message.filter(|_| result.is_ok()) {
                    self.judge.messages[message].noted = true;
                }
                let result = if fails { Err(failed()) } else { result };
                (RecvInput::Committed { delivery: commit.delivery, result }, upto)
            }
            RecvOutput::Release(release) => {
                if done {
                    self.shop.release(wall, release);
                }
                return;
            }
            other => unreachable!("{other:?} is no wish"),
        };
        self.calls[call].answer = Some(input);
        let shop = self.shop.incarnation;
        self.later(self.setting.latency, What::Told { node, incarnation, shop, call, upto });
    }

    fn told(&mut self, node: usize, incarnation: u32, shop: u32, call: usize, upto: usize) -> Result<(), String> {
        let lost = shop != self.shop.incarnation;
        if !lost {
            self.shop.sync(upto);
        }
        let Some(input) = self.calls[call].answer.take() else { return Err("a call is answered twice".into()) };
        let failed = ClaimError::Unavailable { why: "it has crashed".into() };
        let input = match input {
            RecvInput::Claimed { delivery, .. } if lost => RecvInput::Claimed { delivery, result: Err(failed) },
            RecvInput::Committed { delivery, .. } if lost => RecvInput::Committed { delivery, result: Err(failed) },
            other => other,
        };
        if let (RecvInput::Committed { result, .. }, Some(message)) = (&input, self.calls[call].message) {
            let known = &mut self.judge.messages[message];
            known.committed |= result.is_ok();
            known.excused |= result.is_err();
        }
        if let RecvInput::Claimed { delivery, .. } = &input
            && self.nodes[node].incarnation == incarnation
        {
            self.nodes[node].granted.insert(*delivery, shop);
        }
        self.feed_if(node, incarnation, input)
    }
}

/// Time, and the story.
impl World {
    fn faults(&self) -> bool {
        self.now.0 < FAULTS
    }

    fn wall(&self) -> UnixTime {
        UnixTime::from_millis(EPOCH + self.now.0 / 1_000_000)
    }

    fn at(&mut self, at: SimTime, what: What) {
        self.made += 1;
        self.queue.push(Reverse((at, self.made, what)));
    }

    /// After about so many nanoseconds.
    fn later(&mut self, mean: u64, what: What) {
        let delay = self.rng.about(mean);
        self.at(self.now.after(delay), what);
    }

    /// The same, as long as there are faults.
    fn again(&mut self, mean: u64, what: What) {
        if self.faults() {
            self.later(mean, what);
        }
    }

    fn tell(&mut self, line: String) {
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        if self.story.len() == STORY {
            self.story.pop_front();
        }
        self.story.push_back(format!("{} {line}", self.now));
    }
}

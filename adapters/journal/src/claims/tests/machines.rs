//! Two receivers share one store, requests go to either, and the world stops at any point: an event is not delivered again
//! once its end was acknowledged, and a sender that sends it until it is told of success has it processed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::bytes::Bytes;
use postrider_core::receiver::{
    DeliveryId, ExchangeId, Processed, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead,
};
use postrider_core::secret::Secret;
use postrider_core::signing::{SigningKey, standard};
use postrider_core::time::{Instant, Now};
use postrider_core::wake::Wake;
use proptest::prelude::*;

use super::*;

const EVENTS: usize = 5;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LEASE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Op {
    /// The sender of an event tries one of the receivers.
    Send(usize, usize),
    /// The application of a receiver ends one of its deliveries.
    Process(usize, prop::sample::Index, Option<Processed>),
    /// The store writes, syncs and answers.
    Flush,
    /// A receiver is gone without a word, and another takes its place.
    Kill(usize),
    /// The power fails, so many operations of the disk from now.
    PowerLoss(u64, u64),
    Time(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let result = prop_oneof![
        4 => Just(Some(Processed::Done)),
        1 => Just(Some(Processed::Queued)),
        1 => Just(Some(Processed::Later { after: None })),
        1 => Just(None),
    ];
    let op = prop_oneof![
        6 => (0..EVENTS, 0..2_usize).prop_map(|(event, to)| Op::Send(event, to)),
        5 => (0..2_usize, any::<prop::sample::Index>(), result).prop_map(|(at, which, how)| Op::Process(at, which, how)),
        6 => Just(Op::Flush),
        1 => (0..2_usize).prop_map(Op::Kill),
        1 => (0..12_u64, any::<u64>()).prop_map(|(after, dice)| Op::PowerLoss(after, dice)),
        1 => (0..50_u64).prop_map(Op::Time),
    ];
    prop::collection::vec(op, 0..150)
}

struct Machine {
    receiver: Receiver,
    /// Tells answers to this one from answers to the one before it.
    life: u64,
    sent: BTreeMap<ExchangeId, usize>,
    deliveries: Vec<(DeliveryId, usize)>,
}

struct World {
    disk: Fake,
    file: ClaimFile<Fake>,
    machines: Vec<Machine>,
    now: Now,
    lives: u64,
    /// What the store will say to which receiver, once it has written or synced.
    answers: Vec<(Pending, usize, u64, RecvInput)>,
    /// Granted since the store wrote last.
    granted: Vec<(Claim, ClaimToken)>,
    /// Events whose commit the store will have acknowledged with the next sync, and those whose commit it has.
    committing: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
    processed: BTreeSet<usize>,
    /// Events whose sender was told of success.
    told: BTreeSet<usize>,
    /// Who got an event last, in which life, as which delivery, and until when it may take.
    with: BTreeMap<usize, (usize, u64, DeliveryId, Instant)>,
}

impl World {
    fn new() -> Self {
        let disk = Fake::default();
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_700_000_000) };
        let mut world = Self {
            file: ClaimFile::open(disk.clone(), &ClaimOptions::default(), now.wall).unwrap().small(3),
            disk,
            machines: Vec::new(),
            now,
            lives: 0,
            answers: Vec::new(),
            granted: Vec::new(),
            committing: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            processed: BTreeSet::new(),
            told: BTreeSet::new(),
            with: BTreeMap::new(),
        };
        (0..2).for_each(|_| {
            let machine = world.machine();
            world.machines.push(machine);
        });
        world
    }

    fn machine(&mut self) -> Machine {
        let verifier = standard::Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap();
        self.lives += 1;
        Machine {
            receiver: Receiver::new(ReceiverConfig::new(verifier).claims(LEASE), self.now),
            life: self.lives,
            sent: BTreeMap::new(),
            deliveries: Vec::new(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send(event, to) => self.send(event, to),
            Op::Process(at, which, how) => {
                let deliveries = &mut self.machines[at].deliveries;
                if !deliveries.is_empty() {
                    let (delivery, event) = deliveries.swap_remove(which.index(deliveries.len()));
                    self.process(at, delivery, event, how);
                }
            }
            Op::Flush => self.flush(),
            Op::Kill(at) => self.machines[at] = self.machine(),
            Op::PowerLoss(after, seed) => {
                self.disk.stop_at(self.disk.ops() + after);
                self.flush();
                self.disk = self.disk.crashed(&mut dice(seed));
                self.file =
                    ClaimFile::open(self.disk.clone(), &ClaimOptions::default(), self.now.wall).unwrap().small(3);
                self.answers.clear();
                self.granted.clear();
                self.committing.clear();
                (0..2).for_each(|at| self.machines[at] = self.machine());
            }
            Op::Time(seconds) => {
                self.now = self.now.advanced(Duration::from_secs(seconds));
                (0..2).for_each(|at| self.feed(at, RecvInput::Tick));
            }
        }
    }

    fn send(&mut self, event: usize, to: usize) {
        let (id, at, key) = (format!("e{event}"), self.now.wall.as_secs(), Secret::parse(SECRET).unwrap());
        let mut headers = http::HeaderMap::new();
        headers.insert(standard::ID, id.parse().unwrap());
        headers.insert(standard::TIMESTAMP, at.into());
        let signature = standard::sign([&SigningKey::from(&key)], &id, at, b"{}");
        headers.insert(standard::SIGNATURE, signature.parse().unwrap());
        self.lives += 1;
        let exchange = ExchangeId::new(self.lives);
        self.machines[to].sent.insert(exchange, event);
        self.feed(to, RecvInput::Head { exchange, head: RequestHead::new(http::Method::POST, headers) });
    }

    /// `None`: the application never says how it ended.
    fn process(&mut self, at: usize, delivery: DeliveryId, event: usize, how: Option<Processed>) {
        if let Some(result) = how {
            if matches!(result, Processed::Done | Processed::Queued) {
                self.processed.insert(event);
            }
            self.feed(at, RecvInput::Processed { delivery, result });
        }
    }

    fn feed(&mut self, at: usize, input: RecvInput) {
        self.machines[at].receiver.handle(self.now, input);
        loop {
            match self.machines[at].receiver.poll_output() {
                RecvOutput::ReadBody { exchange, .. } => {
                    let body = RecvInput::Body { exchange, body: Bytes::from_static(b"{}") };
                    self.machines[at].receiver.handle(self.now, body);
                }
                RecvOutput::Deliver(delivery) => {
                    let event = delivery.webhook_id()[1..].parse().unwrap();
                    assert!(!self.acknowledged.contains(&event), "event {event} is delivered again");
                    if let Some((before, life, of, until)) = self.with.get(&event) {
                        let has = self.machines[*before].life == *life && *until > self.now.mono;
                        let has = has && self.machines[*before].deliveries.iter().any(|(delivery, _)| delivery == of);
                        assert!(!has, "event {event} is delivered while another has it");
                    }
                    let until = self.now.mono.saturating_add(Duration::from_secs(30));
                    self.with.insert(event, (at, self.machines[at].life, delivery.id(), until));
                    self.machines[at].deliveries.push((delivery.id(), event));
                }
                RecvOutput::Respond(response) => {
                    let event = self.machines[at].sent.remove(&response.exchange()).unwrap();
                    if response.status().is_success() {
                        assert!(self.processed.contains(&event), "event {event} is lost");
                        self.told.insert(event);
                    }
                }
                RecvOutput::Claim(claim) => self.claim(at, &claim),
                RecvOutput::Commit(commit) => {
                    let event = commit.key.rsplit_once("/e").unwrap().1.parse().unwrap();
                    let result = self.file.commit(self.now.wall, &commit);
                    if result.is_ok() {
                        self.committing.insert(event);
                    }
                    let input = RecvInput::Committed { delivery: commit.delivery, result };
                    self.answers.push((Pending::Sync, at, self.machines[at].life, input));
                }
                RecvOutput::Release(release) => self.file.release(self.now.wall, &release),
                RecvOutput::Store(_) => unreachable!("it is not asked to"),
                RecvOutput::Notice(_) | RecvOutput::Wait(Wake::Ready) => {}
                RecvOutput::Wait(_) => return,
            }
        }
    }

    fn claim(&mut self, at: usize, claim: &Claim) {
        let result = self.file.claim(self.now.wall, claim);
        self.granted.extend(result.iter().filter_map(token).map(|token| (claim.clone(), token)));
        let pending = result.as_ref().map_or(Pending::Write, Pending::of);
        let input = RecvInput::Claimed { delivery: claim.delivery, result };
        self.answers.push((pending, at, self.machines[at].life, input));
    }

    /// As the thread of a store does.
    fn flush(&mut self) {
        let answers = std::mem::take(&mut self.answers);
        let (granted, committing) = (std::mem::take(&mut self.granted), std::mem::take(&mut self.committing));
        let written = self.file.write(self.now.wall);
        if written.is_err() {
            for (claim, token) in granted {
                self.file.release(self.now.wall, &claim.release(token));
            }
        }
        let synced = written.clone().and_then(|()| self.file.sync(self.now.wall));
        if synced.is_ok() {
            self.acknowledged.extend(committing);
        }
        for (pending, at, life, input) in answers {
            let done = if pending == Pending::Write { &written } else { &synced };
            let input = match (done, input) {
                (Ok(()), input) => input,
                (Err(why), RecvInput::Claimed { delivery, .. }) => {
                    RecvInput::Claimed { delivery, result: Err(why.clone()) }
                }
                (Err(why), RecvInput::Committed { delivery, .. }) => {
                    RecvInput::Committed { delivery, result: Err(why.clone()) }
                }
                (Err(_), other) => other,
            };
            if self.machines[at].life == life {
                self.feed(at, input);
            }
        }
    }

    /// Every sender goes on until it is told of success.
    fn settle(&mut self) {
        for round in 0..40 {
            for event in (0..EVENTS).filter(|event| !self.told.contains(event)).collect::<Vec<_>>() {
                self.send(event, (round + event) % 2);
            }
            for _ in 0..4 {
                self.flush();
                for at in 0..2 {
                    for (delivery, event) in std::mem::take(&mut self.machines[at].deliveries) {
                        self.process(at, delivery, event, Some(Processed::Done));
                    }
                }
            }
            if self.told.len() == EVENTS {
                return;
            }
            self.step(Op::Time(20));
        }
        panic!("only {:?} were told of success", self.told);
    }
}

proptest! {
    #[test]
    fn two_receivers_deliver_once_and_lose_nothing(ops in ops()) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.step(op));
        world.settle();
        prop_assert_eq!(world.processed.len(), EVENTS);
    }
}

//! Signed content is delivered once and never lost, whoever sends it again under whatever id.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use crate::receiver::*;
use crate::signing::{Custom, Scheme, Signer, Unsigned};
use crate::time::{Instant, UnixTime};

const KEY: &str = "a secret";
const EVENTS: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// The sender sends an event, for the first time or again.
    Send(usize),
    /// Somebody sends again what he has captured, under the id of a captured event or under one that nobody has.
    Attack { capture: usize, id: usize },
    /// The application ends a delivery, the newest first.
    Processed { nth: usize, result: Processed },
    /// Seconds pass.
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let result = prop_oneof![
        3 => Just(Processed::Done),
        3 => Just(Processed::Later { after: None }),
        1 => Just(Processed::Queued),
    ];
    prop_oneof![
        5 => (0..EVENTS).prop_map(Op::Send),
        5 => (any::<usize>(), 0..EVENTS * 2).prop_map(|(capture, id)| Op::Attack { capture, id }),
        5 => (0..4_usize, result).prop_map(|(nth, result)| Op::Processed { nth, result }),
        2 => prop_oneof![0..20_u64, 30..40_u64].prop_map(Op::Pass),
    ]
}

/// A request: its headers without the id, and its body.
type Capture = (Vec<(String, String)>, Bytes);

struct World {
    signer: Signer,
    id_header: &'static str,
    machine: Receiver,
    now: Now,
    exchange: u64,
    /// Exchanges of the sender's own, and their events.
    own: BTreeMap<ExchangeId, usize>,
    captured: Vec<Capture>,
    /// Events that have been on the wire.
    shown: BTreeSet<usize>,
    deliveries: Vec<(DeliveryId, [u8; 32], usize)>,
    in_progress: BTreeSet<[u8; 32]>,
    over: BTreeSet<[u8; 32]>,
    fulfilled: BTreeSet<usize>,
    answers: Vec<(usize, u16)>,
}

impl World {
    /// Of GitHub, where an event is the same whenever it is sent, or of a scheme that signs the time, where it is not.
    fn new(timed: bool) -> Self {
        let custom = || {
            let custom = Custom::sha256("x-signature").id_header("x-id").timestamp_header("x-time");
            custom.content("{timestamp}.{body}").unwrap()
        };
        let (verifier, signer) = if timed {
            (Verifier::custom(custom(), [KEY]).unwrap().any_time(), Signer::custom(custom(), KEY).unwrap())
        } else {
            (Verifier::github([KEY]).unwrap(), Signer::new(Scheme::Github, KEY).unwrap())
        };
        let now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_700_000_000) };
        Self {
            signer,
            id_header: if timed { "x-id" } else { "x-github-delivery" },
            machine: Receiver::new(ReceiverConfig::new(verifier), now),
            now,
            exchange: 0,
            own: BTreeMap::new(),
            captured: Vec::new(),
            shown: BTreeSet::new(),
            deliveries: Vec::new(),
            in_progress: BTreeSet::new(),
            over: BTreeSet::new(),
            fulfilled: BTreeSet::new(),
            answers: Vec::new(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send(event) => {
                let body = event.to_string();
                let id = format!("id-{event}");
                let unsigned = Unsigned { method: "POST", url: "", id: Some(&id), headers: &[], body: body.as_bytes() };
                let signed = self.signer.sign(&unsigned, self.now.wall).unwrap();
                let headers = signed.headers.into_iter().filter(|(name, _)| name != self.id_header).collect();
                let capture: Capture = (headers, signed.body.into());
                self.shown.insert(event);
                let exchange = self.send(&capture, &id);
                self.captured.push(capture);
                self.own.insert(exchange, event);
            }
            Op::Attack { capture, id } => {
                if self.captured.is_empty() || id < EVENTS && !self.shown.contains(&id) {
                    return;
                }
                let capture = self.captured[capture % self.captured.len()].clone();
                self.send(&capture, &format!("id-{id}"));
            }
            Op::Processed { nth, result } => self.processed(nth, result),
            Op::Pass(secs) => {
                self.now = self.now.advanced(Duration::from_secs(secs));
                self.machine.handle(self.now, RecvInput::Tick);
            }
        }
        self.drain();
    }

    fn send(&mut self, (headers, body): &Capture, id: &str) -> ExchangeId {
        self.exchange += 1;
        let exchange = ExchangeId::new(self.exchange);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        map.append(self.id_header, HeaderValue::try_from(id).unwrap());
        let head = RequestHead::new(Method::POST, map);
        self.machine.handle(self.now, RecvInput::Head { exchange, head });
        self.machine.handle(self.now, RecvInput::Body { exchange, body: body.clone() });
        exchange
    }

    fn processed(&mut self, nth: usize, result: Processed) {
        let Some((delivery, digest, event)) = self.deliveries.iter().rev().nth(nth).copied() else { return };
        let stale = self.machine.stats().stale;
        self.machine.handle(self.now, RecvInput::Processed { delivery, result });
        if self.machine.stats().stale > stale {
            return;
        }
        self.in_progress.remove(&digest);
        if !matches!(result, Processed::Later { .. }) {
            assert!(self.over.insert(digest), "it ended for good twice");
            self.fulfilled.insert(event);
        }
    }

    fn drain(&mut self) {
        loop {
            match self.machine.poll_output() {
                RecvOutput::Deliver(delivery) => {
                    let digest = delivery.digest().expect("no id is covered");
                    assert!(!delivery.covered().id && delivery.event_id().is_some());
                    assert!(!self.over.contains(&digest), "it was over and came again");
                    assert!(self.in_progress.insert(digest), "it is in progress already");
                    let event = core::str::from_utf8(delivery.body()).unwrap().parse().unwrap();
                    self.deliveries.push((delivery.id(), digest, event));
                }
                RecvOutput::Notice(RecvNotice::TimedOut { delivery, .. }) => {
                    let timed_out = self.deliveries.iter().find(|(id, ..)| *id == delivery).unwrap();
                    self.in_progress.remove(&timed_out.1);
                }
                RecvOutput::Respond(response) => {
                    if let Some(event) = self.own.remove(&response.exchange()) {
                        let status = response.status();
                        assert!(!status.is_success() || self.fulfilled.contains(&event), "event {event} is lost");
                        self.answers.push((event, status.as_u16()));
                    }
                }
                RecvOutput::ReadBody { .. } | RecvOutput::Notice(_) => {}
                RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                    panic!("nothing of this was asked for")
                }
                RecvOutput::Wait(_) => return,
            }
        }
    }

    /// The sender tries again until it has succeeded, and so it does.
    fn finish(mut self) {
        self.step(Op::Pass(30));
        for event in 0..EVENTS {
            self.answers.clear();
            self.step(Op::Send(event));
            self.step(Op::Processed { nth: 0, result: Processed::Done });
            assert!(self.in_progress.is_empty(), "only the newest is in progress");
            assert!(matches!(self.answers[..], [(of, 204 | 202)] if of == event), "{:?}", self.answers);
            assert!(self.fulfilled.contains(&event));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// No content is delivered twice inside of the window but after a failure, and whatever the sender was told to have
    /// succeeded has been processed: although anyone sends again what was captured, under any id that was seen.
    #[test]
    fn signed_content_is_processed_once_and_never_lost(
        timed in any::<bool>(),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let mut world = World::new(timed);
        ops.into_iter().for_each(|op| world.step(op));
        world.finish();
    }
}

fn statuses(ops: &[Op], timed: bool) -> (Vec<(usize, u16)>, usize) {
    let mut world = World::new(timed);
    ops.iter().for_each(|op| world.step(*op));
    (world.answers, world.deliveries.len())
}

const DONE: Op = Op::Processed { nth: 0, result: Processed::Done };
const LATER: Op = Op::Processed { nth: 0, result: Processed::Later { after: None } };

#[test]
fn captured_content_is_a_repeat_under_any_id() {
    let attack = Op::Attack { capture: 0, id: 7 };
    assert_eq!(statuses(&[Op::Send(0), attack, DONE, attack, Op::Send(0)], false), ([(0, 204), (0, 204)].into(), 1));
}

#[test]
fn an_event_that_is_signed_anew_is_a_repeat_by_its_id() {
    let ops = [Op::Send(0), Op::Pass(1), Op::Send(0), DONE, Op::Pass(1), Op::Send(0)];
    assert_eq!(statuses(&ops, true), ([(0, 204); 3].into(), 1));
    // What came as a repeat has been seen, so it is nothing new under another id either.
    for capture in 0..3 {
        let ops = [&ops[..], &[Op::Attack { capture, id: 9 }]].concat();
        assert_eq!(statuses(&ops, true).1, 1, "{capture}");
    }
}

#[test]
fn a_failed_event_cannot_be_lost_to_another_under_its_id() {
    let ops = [
        Op::Send(0),
        LATER,
        Op::Send(1),
        LATER,
        // The content of the first under the id of the second, and it is done.
        Op::Attack { capture: 0, id: 1 },
        DONE,
        Op::Send(1),
        DONE,
        Op::Send(0),
    ];
    assert_eq!(statuses(&ops, false), ([(0, 503), (1, 503), (1, 204), (0, 204)].into(), 4));
}

//! A machine and its driver, for tests that say what happens.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::{BODY, signed, verifier};
use crate::receiver::*;
use crate::time::{Instant, UnixTime};

/// A machine and its driver, with everything that it said.
pub(super) struct Bench {
    pub(super) machine: Receiver,
    pub(super) now: Now,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) answers: Vec<Response>,
    pub(super) reads: Vec<ExchangeId>,
    pub(super) notices: Vec<RecvNotice>,
    /// What the store of claims is asked and told.
    pub(super) wishes: Vec<RecvOutput>,
}

impl Bench {
    pub(super) fn new(change: impl FnOnce(&mut ReceiverLimits)) -> Self {
        let mut limits = ReceiverLimits::default();
        change(&mut limits);
        Self::with(ReceiverConfig::new(verifier()).limits(limits))
    }

    pub(super) fn with(config: ReceiverConfig) -> Self {
        let now = Now { mono: Instant::from_millis(1000), wall: UnixTime::from_secs(1_700_000_000) };
        Self {
            machine: Receiver::new(config, now),
            now,
            deliveries: Vec::new(),
            answers: Vec::new(),
            reads: Vec::new(),
            notices: Vec::new(),
            wishes: Vec::new(),
        }
    }

    pub(super) fn feed(&mut self, input: RecvInput) {
        self.machine.handle(self.now, input);
    }

    pub(super) fn head(&mut self, exchange: u64, head: RequestHead) {
        self.feed(RecvInput::Head { exchange: ExchangeId::new(exchange), head });
    }

    /// A whole signed request.
    pub(super) fn request(&mut self, exchange: u64, id: &str) {
        self.head(exchange, signed(id, self.now.wall));
        self.body(exchange, BODY);
    }

    pub(super) fn body(&mut self, exchange: u64, body: &'static [u8]) {
        self.feed(RecvInput::Body { exchange: ExchangeId::new(exchange), body: Bytes::from_static(body) });
    }

    /// The last delivery has ended.
    pub(super) fn processed(&mut self, result: Processed) {
        let delivery = self.deliveries.last().expect("there was one").id();
        self.feed(RecvInput::Processed { delivery, result });
    }

    pub(super) fn pass(&mut self, by: Duration) {
        self.now = self.now.advanced(by);
        self.feed(RecvInput::Tick);
    }

    pub(super) fn drain(&mut self) -> Wake {
        loop {
            match self.machine.poll_output() {
                RecvOutput::Wait(Wake::Ready) => {}
                RecvOutput::Wait(wake) => return wake,
                RecvOutput::ReadBody { exchange, cap } => {
                    assert_eq!(cap, self.machine.config.limits.body);
                    self.reads.push(exchange);
                }
                RecvOutput::Deliver(delivery) | RecvOutput::Store(delivery) => self.deliveries.push(delivery),
                wish @ (RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_)) => {
                    self.wishes.push(wish)
                }
                RecvOutput::Respond(response) => self.answers.push(response),
                RecvOutput::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// What was answered since the last call.
    pub(super) fn answered(&mut self) -> Vec<(u64, u16, Reason)> {
        let _ = self.drain();
        self.answers
            .drain(..)
            .map(|answer| (answer.exchange().get(), answer.status().as_u16(), answer.reason()))
            .collect()
    }
}

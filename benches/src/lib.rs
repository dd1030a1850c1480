//! What Postrider costs, question by question: one file in `benches/` for each question.
//!
//! This crate holds what they share: a machine with many endpoints, and the shortest driver there can be, which
//! acknowledges records at once and answers attempts as the bench says.

use bytes::BytesMut;
use core::net::SocketAddr;
use core::time::Duration;
use postrider_core::event::Event;
use postrider_core::limits::Limits;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::Reply;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::trace::{Detail, Recorder};
use postrider_core::sender::{Config, Input, Output, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

/// A public address that is never dialled.
const ADDRESS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(93, 184, 215, 14)), 443);

/// A machine under a virtual clock.
#[derive(Debug)]
pub struct Bench {
    /// The machine.
    pub sender: Recorder,
    /// The clock.
    pub now: Now,
    head: BytesMut,
}

/// What is done with an attempt before it is answered with 204.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// Nothing: the cost of the machine alone.
    Nothing,
    /// Its address is cleared and its head written, signature included.
    Head,
}

impl Bench {
    /// A machine with this many endpoints, which all want `order.**`.
    pub fn with_endpoints(count: u32) -> Self {
        Self::make(count, |config, seed, now| Recorder::off(Sender::new(config, seed, now)))
    }

    /// The same, with the flight recorder on. What it writes is dropped by [`publish`](Self::publish), as a disk that
    /// costs nothing would take it.
    pub fn recording(count: u32) -> Self {
        Self::make(count, |config, seed, now| Recorder::new(config, seed, now, Detail::StandIns, [7; 32]))
    }

    fn make(count: u32, new: impl FnOnce(Config, Seed, Now) -> Recorder) -> Self {
        let mut limits = Limits::default();
        limits.endpoints = 10_000_000;
        let config = Config::new().limits(limits).policy(Policy::default());
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_795_246_000) };
        let mut bench = Self { sender: new(config, Seed::from_bytes([7; 32]), now), now, head: BytesMut::new() };
        bench.sender.handle(now, Input::Credit(1024));
        for number in 0..count {
            let mut key = [9; 24];
            key[..4].copy_from_slice(&number.to_le_bytes());
            let endpoint = Endpoint::new(format!("endpoint-{number}"), format!("https://e{number}.example.com/hooks"))
                .events(["order.**"])
                .signing_key(Secret::from_bytes(key).expect("24 bytes"));
            bench.sender.put(now, endpoint).expect("a good endpoint");
            if number % 1024 == 0 {
                bench.settle(Carry::Nothing);
            }
        }
        bench.settle(Carry::Nothing);
        bench
    }

    /// Publishes an event with a payload of `size` bytes.
    pub fn publish(&mut self, id: u64, size: usize) {
        self.sender.take();
        let data = "x".repeat(size.saturating_sub(2));
        let event = Event::json("order.paid", &data).expect("a string is JSON").id(format!("event-{id}"));
        self.sender.publish(self.now, event).expect("there is room");
    }

    /// Drives the machine until nothing is left to do now, and counts the attempts.
    pub fn settle(&mut self, carry: Carry) -> u64 {
        let mut attempts = 0;
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => self.sender.handle(self.now, Input::Persisted(batch.last())),
                Output::Transmit(transmit) => {
                    attempts += 1;
                    if carry == Carry::Head {
                        let cleared = transmit.clear(ADDRESS).expect("a public address");
                        self.head.clear();
                        cleared.write_head(&mut self.head);
                        core::hint::black_box((&self.head, cleared.body()));
                    }
                    let (attempt, outcome) = (transmit.attempt(), Ok(Reply::new(204)));
                    self.sender.handle(self.now, Input::Completed { attempt, outcome });
                }
                Output::Wait(Wake::Ready)
                | Output::Notice(_)
                | Output::Snapshot(_)
                | Output::Reclaim(_)
                | Output::Abort(_)
                | Output::Load(_) => {}
                Output::Wait(Wake::At(at)) if self.sender.is_settled() && at < self.now.mono.saturating_add(LINGER) => {
                    self.now = self.now.advanced(LINGER);
                    self.sender.handle(self.now, Input::Tick);
                }
                Output::Wait(Wake::At(_) | Wake::Input | Wake::Closed) => return attempts,
            }
        }
    }
}

/// A little more than lazy records wait for company.
const LINGER: Duration = Duration::from_millis(6);

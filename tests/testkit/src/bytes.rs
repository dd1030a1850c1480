//! Runs from bytes, for fuzzers: every byte string is one.

use postrider_core::limits::Limits;
use postrider_core::sender::{Close, PersistFailure};

use crate::ops::{End, Loads, Op, Setup};

/// Ops in one run, at most; the bytes behind them are left.
const OPS: usize = 400;

/// Reads what a run begins with, and what is done in it. Bytes that are missing at the end count as 0.
pub fn run(bytes: &[u8]) -> (Setup, Vec<Op>) {
    let mut input = Input(bytes);
    let setup = setup(&mut input);
    let mut ops = Vec::new();
    while !input.0.is_empty() && ops.len() < OPS {
        ops.push(op(&mut input));
    }
    (setup, ops)
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn long(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }
}

fn setup(input: &mut Input<'_>) -> Setup {
    let mut limits = Limits::default();
    let small = input.byte();
    let pick = |bit: u8, usual, tight| if small & (1 << bit) == 0 { usual } else { tight };
    limits.events = pick(0, 1000, 3);
    limits.pending = pick(1, 1000, 4);
    limits.resident = pick(2, 1 << 20, 0);
    limits.idempotency_entries = pick(3, 1000, 2);
    limits.endpoints = pick(4, 1000, 3);
    limits.snapshot_every = if small & 32 == 0 { 1 << 26 } else { 500 };
    Setup { limits, credit: input.byte() % 65 }
}

/// Bits that had no meaning before there were ordering keys say what they are.
fn publish(input: &mut Input<'_>) -> Op {
    let (id, kind, bits) = (input.byte() % 12, input.byte() % 3, input.byte());
    Op::Publish {
        id,
        kind,
        variant: bits % 8 == 1,
        expires: (input.byte() % 8 == 1).then(|| input.short()),
        key: (input.byte() % 4 == 1).then(|| input.byte() % 4),
        lane: (bits & 16 != 0).then_some(bits >> 5 & 1),
    }
}

fn put(input: &mut Input<'_>) -> Op {
    let (endpoint, wants, concurrency, bits) = (input.byte() % 4, input.byte() % 5, 1 + input.byte() % 3, input.byte());
    Op::Put { endpoint, wants, concurrency, schedule: bits % 4, order: bits >> 2 & 3 }
}

fn op(input: &mut Input<'_>) -> Op {
    match input.byte() % 26 {
        0..=3 => publish(input),
        4 | 5 => put(input),
        6 => Op::Pause(input.byte() % 4),
        7 => Op::Resume(input.byte() % 4),
        8 => Op::Disable(input.byte() % 4),
        9 => Op::Remove(input.byte() % 4),
        10 => match input.byte() % 8 {
            0 => Op::AddKey(input.byte() % 4, input.byte() % 4),
            1 => Op::ExpireKey(input.byte() % 4, input.byte() % 4, input.short() % 100),
            2 => Op::RevokeKey(input.byte() % 4, input.byte() % 4),
            3 => Op::RotateKey(input.byte() % 4, input.byte() % 4, input.short() % 100),
            4 => Op::FinishRotation(input.byte() % 4),
            5 => Op::Ask(input.byte() % 4, input.byte() % 3),
            6 => Op::Grant(input.byte()),
            _ => Op::Sync { revision: input.byte() % 6, listed: input.byte() % 8, wants: input.byte() % 5 },
        },
        11 => match input.byte() {
            id @ 0..=127 => Op::Cancel(id % 12),
            id @ 128..=239 => Op::Erase(id % 12),
            other @ 240..=247 => Op::Purge(other % 2 == 1),
            _ => Op::Replay { id: input.byte() % 12, endpoint: input.byte() % 4 },
        },
        12 => Op::Tick(input.long() % 400_000),
        13 => Op::Jump((input.long() % 800_000) as i32 - 400_000, (input.long() % 800_000_000) as i32 - 400_000_000),
        14 | 15 => Op::Complete(input.byte(), end(input)),
        16 => Op::CompleteTwice(input.byte(), end(input)),
        17 => Op::CompleteUnknown(end(input)),
        18 => Op::Ack(input.byte() % 10),
        19 => Op::Fail(if input.flag() { PersistFailure::Broken } else { PersistFailure::Full }),
        20 => Op::Room(input.long() % 1_000_000),
        21 => Op::AnswerLoad(match input.byte() % 8 {
            0 => Loads::Corrupt,
            1 => Loads::Unavailable,
            _ => Loads::Ok,
        }),
        22 => Op::Credit(input.byte() % 65),
        23 => Op::Drain(input.byte()),
        24 => match input.byte() {
            0 => Op::Close(if input.flag() { Close::Drain } else { Close::Now }),
            _ => Op::DrainAll,
        },
        _ => Op::Settle,
    }
}

fn end(input: &mut Input<'_>) -> End {
    match input.byte() % 8 {
        0..=2 => End::Status(204),
        3 => End::Status(100 + input.short() % 500),
        4 => End::Asked([429, 502, 503, 500][usize::from(input.byte() % 4)], input.short()),
        5 => End::Timeout,
        6 => End::Closed,
        _ => End::Denied,
    }
}

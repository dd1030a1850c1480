//! Damages journals a million times and shows that no loss is silent and no wrong byte is handed out.
//!
//! A case is a function of a seed and a number: it takes a world, a journal that a real sender wrote
//! through the real store, at one moment of its life, and does one [kind](Kind) of harm to it. Then the journal is
//! opened, and what is handed out is compared with what was written: snapshots, records, and the payloads of pending
//! events, byte for byte.
//!
//! * A strict opening succeeds and has everything that was acknowledged, or it says where the journal is damaged.
//! * After a mere loss of power it succeeds.
//! * A salvaging opening succeeds and names every acknowledged record that it does not hand out, by place, and by id
//!   every event that the snapshot in use knows. Where the damage goes on to the end of the newest file, nothing may be
//!   left that says how many records there were: then it is the byte from which on all is gone that is told. Only where
//!   no snapshot is sound and the log does not go back to the beginning there is nothing to go on from, and it says so.
//! * Nothing that either hands out differs from what was written.
//! * After either, a strict opening succeeds and hands out the same again.
//!
//! # The blind spot
//!
//! The end of a log cannot prove by itself that it was longer. What speaks of it is the file `acked`, the newest
//! snapshot, and what is written behind. A loss that is not told is counted apart, and not as silent, only when **all**
//! of this holds, which takes two failures at once: each lost record is behind what `acked` tells (because `acked` was
//! damaged too, or because the power went before it was on the disk), behind what the snapshot in use may show, and
//! became durable with the very last sync ([`Blind::LastSync`]), or was shown to be durable by footers of later batches
//! alone, all of which flipped bits have hit as well ([`Blind::Footers`]), or was in a file at the end of the log that
//! was cut off, replaced or taken away ([`Blind::CutOff`]).

mod damage;
mod dice;
mod disk;
mod footers;
mod judge;
mod table;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub use self::damage::Kind;
pub use self::judge::{Blind, Failure, Fault, Verdict};
pub use self::table::Table;

use self::dice::Dice;
use self::world::World;

/// Worlds that cases are drawn from.
pub const WORLDS: u64 = 48;

/// The worlds of a seed, each made when it is first asked for.
#[derive(Debug)]
pub struct Cases {
    seed: u64,
    worlds: Vec<OnceLock<World>>,
}

impl Cases {
    /// The cases of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, worlds: (0..WORLDS).map(|_| OnceLock::new()).collect() }
    }

    /// Does one case: what was done, and what came of it.
    pub fn case(&self, number: u64) -> (Kind, Result<Verdict, Failure>) {
        let mut dice = Dice::new(&[self.seed, 2, number]);
        let kind = Kind::draw(&mut dice);
        let world = self.world(kind, &mut dice);
        let judged = catch_unwind(AssertUnwindSafe(|| judge::judge(world, kind, &mut dice)));
        let judged = judged.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Failure::new(Fault::Panic, text.unwrap_or_default()))
        });
        (kind, judged)
    }

    /// Does the cases from 0 on, on so many threads. `tell` is called now and then with how many are done.
    pub fn run(&self, cases: u64, threads: usize, tell: &(dyn Fn(u64) + Sync)) -> Table {
        let (started, next) = (Instant::now(), AtomicU64::new(0));
        let mut table = Table::default();
        std::thread::scope(|scope| {
            let work = || {
                let mut table = Table::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cases {
                        return table;
                    }
                    let (kind, judged) = self.case(number);
                    table.add(number, kind, judged);
                    if number.is_multiple_of(cases.div_ceil(20)) {
                        tell(number);
                    }
                }
            };
            let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                table.merge(thread.join().expect("a case that panics is caught"));
            }
        });
        table.took(started.elapsed());
        table
    }

    /// A world in which this kind of damage can happen.
    fn world(&self, kind: Kind, dice: &mut Dice) -> &World {
        let mut world = self.get(dice);
        for _ in 0..8 {
            if world.near(kind).is_none_or(|near| !near.is_empty()) {
                break;
            }
            world = self.get(dice);
        }
        world
    }

    fn get(&self, dice: &mut Dice) -> &World {
        let at = dice.below(self.worlds.len());
        self.worlds[at].get_or_init(|| World::new(self.seed, at as u64))
    }
}

//! Deliberate breaks, to be switched on one at a time by whoever proves that the tests would find them: 1 to 10 break
//! the law of that number, 11 to 59 and from 80 on other promises of this crate, and 60 to 79 those of a log, which asks
//! here too.
//!
//! This module and every line that asks it exist only under `--cfg postrider_planted`, which no shipped build sets.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

static BREAK: AtomicU8 = AtomicU8::new(0);
static NOISE: AtomicU64 = AtomicU64::new(0);

/// Switches this break on from now on, and no other; 0 none.
pub fn set(number: u8) {
    BREAK.store(number, Ordering::Relaxed);
}

/// Whether this break is switched on.
pub fn breaks(number: u8) -> bool {
    BREAK.load(Ordering::Relaxed) == number
}

/// A number that is another one each time: what determinism forbids.
pub(crate) fn noise() -> u64 {
    NOISE.fetch_add(1, Ordering::Relaxed)
}

//! One deliberate break for each law, to be switched on by whoever proves that the tests would find it.
//!
//! This module and every line that asks it exist only under `--cfg postrider_planted`, which no shipped build sets.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

static LAW: AtomicU8 = AtomicU8::new(0);
static NOISE: AtomicU64 = AtomicU64::new(0);

/// Breaks this law from now on, and no other; 0 breaks none.
pub fn set(law: u8) {
    LAW.store(law, Ordering::Relaxed);
}

/// Whether this law is to be broken.
pub(crate) fn breaks(law: u8) -> bool {
    LAW.load(Ordering::Relaxed) == law
}

/// A number that is another one each time: what determinism forbids.
pub(crate) fn noise() -> u64 {
    NOISE.fetch_add(1, Ordering::Relaxed)
}

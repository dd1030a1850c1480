//! Invariant: whatever is done to a sender, and however often it crashes in between, every law of the contract but that
//! of determinism holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider_testkit::{bytes, laws};

fuzz_target!(|data: &[u8]| {
    let (setup, ops) = bytes::run(data);
    if let Err(violation) = laws::all(&setup, &ops) {
        panic!("{violation:?}");
    }
    let half = ops.len() / 2;
    let runs = [(ops[..half].to_vec(), 1, 0), (ops[half..].to_vec(), 0, 60_000)];
    if let Err(violation) = laws::crash(&setup, &runs) {
        panic!("{violation:?}");
    }
});

//! Invariant: whatever a signed request of any scheme and type carries, reading its events and its value never panics, and a
//! repeat of it says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    postrider_testkit::schemes::decode_any(data);
});

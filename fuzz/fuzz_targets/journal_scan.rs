//! Arbitrary bytes behind a header never panic a reader; what it finds in a file it finds in each longer one that
//! begins so; and what it finds, written again, is what it read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| postrider_testkit::damage::scan(data));

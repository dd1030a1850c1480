//! Whatever takes the place of a header or of the body of a rightly signed request of any scheme, verifying never
//! panics, and what it accepts is what was signed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| postrider_testkit::schemes::verify_any(data));

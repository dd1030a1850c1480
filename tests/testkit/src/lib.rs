//! Tests of your own with Postrider: strategies, laws, a sandbox, and a suite that judges drivers.

pub mod driver_suite;

pub use driver_suite::driver_suite;

//! Postrider on plain threads: sender and receiver over ureq-proto and rustls.

pub mod receiver;

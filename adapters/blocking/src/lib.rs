//! Postrider on plain threads: sender and receiver over ureq-proto and rustls.
#![cfg_attr(not(test), expect(dead_code, reason = "the sender comes next"))]

mod carry;
mod connection;
mod exchange;
mod leash;

#[cfg(test)]
mod tests;

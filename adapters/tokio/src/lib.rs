//! Postrider on tokio: sender and receiver over hyper and rustls.
#![allow(dead_code)]

mod connection;
mod shim;
mod tasks;
mod transport;
mod wire;

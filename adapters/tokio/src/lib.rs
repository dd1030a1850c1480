//! Postrider on tokio: sender and receiver over hyper and rustls.

pub mod receiver;

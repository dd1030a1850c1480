//! Postrider's laws as properties, and its tests over real sockets.

pub mod capture;
pub mod mutations;

//! The kernel: sockets, deadlines, and the connections kept between exchanges.

pub mod connect;
pub mod deadline;
pub mod delivery;
pub mod handover;
pub mod listen;
#[cfg(any(test, fuzzing))]
pub mod memory;
pub mod pool;
pub mod splice;
pub mod stream;

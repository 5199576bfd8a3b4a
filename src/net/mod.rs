//! The kernel: sockets, deadlines, and the connections kept between exchanges.

pub mod connect;
pub mod deadline;
pub mod delivery;
pub mod descriptors;
pub mod freed;
pub mod hand_off;
pub mod holder;
pub mod interfaces;
pub mod keep_alive;
pub mod lease;
pub mod limiter;
pub mod listen;
#[cfg(any(test, fuzzing))]
pub mod memory;
pub mod mux;
pub mod mux_stream;
#[cfg(test)]
mod mux_tests;
pub mod pool;
#[cfg(test)]
mod pool_simulation;
#[cfg(test)]
mod pool_tests;
mod registered;
mod resting;
pub mod shared;
pub mod shelf;
pub mod socket;
pub mod socket_file;
pub mod splice;
pub mod splice_line;
pub mod stream;
mod stream_tasks;
pub mod tls;
mod turn;
pub mod upgrade_socket;
pub mod wall_clock;
pub mod writable;

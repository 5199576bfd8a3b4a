//! The kernel: sockets, deadlines, and the connections kept between exchanges.

pub mod connect;
pub mod deadline;
pub mod listen;
pub mod pool;
pub mod stream;

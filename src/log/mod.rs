//! The access log of all workers and the error log, each written by a dedicated thread that nothing
//! waits for.

pub mod access_log;
pub mod access_logger;
pub mod error_log;
pub mod log_writer;
pub mod once_per_second;
mod output;
pub mod queue;
pub mod target;
mod writer;

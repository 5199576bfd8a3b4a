//! Sends spans to a collector, by OTLP over HTTP with protobuf, from a thread that nothing waits for.

pub mod collector;
pub mod exporter;
mod http;
mod partial;
pub mod queue;

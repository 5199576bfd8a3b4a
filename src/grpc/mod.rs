//! gRPC on the wire: calls, messages on a stream, statuses, and the health service (gRPC over HTTP/2,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

pub mod call;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod health;
pub mod message;
mod protobuf;
pub mod status;

//! gRPC on the wire: messages on a stream, and the health service (gRPC over HTTP/2,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod health;
pub mod message;
mod protobuf;

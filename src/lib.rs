//! Evener balances HTTP/1.1 over endpoints: prefix routing, per-core runtimes, strict on the wire.
//!
//! The walk of one request, from room to room:
//!
//! 1. [`worker`] accepts a connection and hands it to [`session`], which reads the
//!    [`proxy_protocol`] header if there is to be one; `session::tcp` passes on what is no HTTP.
//! 2. `session::h1` waits until there is something to read, holding no buffer, then leases one
//!    and reads until [`http::h1::scan`] says the head is whole. [`http::h1::framing`] says how long the
//!    body is, or names the [`reject::Reject`]; [`route`] names the route.
//! 3. `session::exchange` asks [`balance`] for an endpoint; `session::attempt` leases a
//!    connection from [`net::pool`] or opens one, and the head [`http::h1::encode`] wrote leaves in
//!    one write with the body bytes that were there already.
//! 4. The upload runs while the answer is awaited: [`relay`].
//! 5. The head of the answer is read by the same pure code, rewritten, and leaves in one write
//!    with the first bytes of its body; [`relay`] moves the rest.
//! 6. [`http::h1::persistence`] has said whether each connection may carry another exchange.
//! 7. `session::record` tells the counters and the endpoint's health how it went.
//!
//! Whatever goes wrong on the way is a [`fault::Fault`]; what follows from it is decided there.

pub mod access_log;
pub mod address;
mod admin;
pub mod app_protocol;
pub mod balance;
pub mod buffer;
pub mod calendar;
mod checks;
pub mod config;
pub mod control;
#[cfg(test)]
mod corpus;
pub mod decimal;
pub mod demo;
pub mod discovery;
pub mod drain;
pub mod ejection_reason;
mod evener;
pub mod fault;
pub mod filters;
pub mod grpc;
pub mod hash;
pub mod http;
pub mod id;
pub mod log;
pub mod metrics;
pub mod net;
pub mod plan;
pub mod proxy_protocol;
#[cfg(any(test, fuzzing))]
mod random;
pub mod reject;
pub mod relay;
pub mod route;
pub mod session;
pub mod shed;
pub mod termination;
pub mod tls_fault;
pub mod tls_hello;
pub mod upstream;
pub mod worker;

pub use config::Config;
pub use config::builder::{ConfigBuilder, RelayBuilder, RouteBuilder, UpstreamBuilder};
pub use config::errors::ConfigErrors;
pub use control::StartError;
pub use evener::{Evener, EvenerHandle, RunError};
pub use filters::calls::{
    ClientRequest, ClientResponse, EndpointAttempt, EndpointResponse, ExchangeEnd, NewConnection,
    RouteChoice,
};
pub use filters::chain::Chain;
pub use filters::reply::{HeaderError, LocalReply};
pub use filters::{ConnectionVerdict, Filters, Verdict};
pub use http::message::edits::{EditName, Edits, Value};
pub use serde_json::json;

//! A load balancer for HTTP/1.1, HTTP/2, TLS and TCP that can be embedded: with decisions of your own in code, and
//! with everything that the program `evener` has (reloads, drains, upgrades, health checks, metrics).
//!
//! # A first program
//!
//! [`Evener`] runs a [`Config`]: as a process, with signals and an error log ([`Evener::run`]), or within one
//! ([`Evener::start`]).
//!
//! ```no_run
#![doc = include_str!("../tools/examples/prefix.rs")]
//! ```
//!
//! # Configurations
//!
//! There is one language and one validation, wherever a configuration comes from: [`Config::from_words`] takes the
//! flags of the program, [`Config::from_yaml`] the text of a configuration file, and [`Config::builder`] the same keys
//! in code. All mistakes come back at once, as [`ConfigErrors`]; those of a builder name what was built, as in
//! `upstream app: policy: …`. The keys are described in `docs/configuration.md`.
//!
//! # Filters
//!
//! [`Filters`] is a trait with a call at each turn of a request's way, each of which may edit the head, answer the
//! request, or send it elsewhere. It is known at compile time: nothing is boxed, and a call that is not overridden costs
//! nothing. The rules of the configuration are such filters themselves, and use nothing that the trait has not; yours
//! come after them.
//!
//! ```no_run
#![doc = include_str!("../tools/examples/canary.rs")]
//! ```
//!
//! What a filter does cannot break a message. It edits a head by [`Edits`]: names of headers that frame a message or
//! belong to a connection are refused, and so are values that would end a line ([`HeaderError`]). A body is not theirs.
//! The guide with more examples, and the corresponding names of Pingora, is `docs/library.md`.
//!
//! # Where to look
//!
//! | for | look at |
//! |---|---|
//! | what a filter sees | [`ClientRequest`], [`RouteChoice`], [`EndpointAttempt`], [`EndpointResponse`], [`ClientResponse`], [`ExchangeEnd`], [`ExchangeRecord`] |
//! | what a filter decides | [`Verdict`], [`LocalReply`], [`ConnectionVerdict`], [`Edits`] |
//! | several filters | [`Chain`] |
//! | what is in force | [`plan::Plan`], [`plan::Route`], [`upstream::Upstream`], [`upstream::endpoint::Endpoint`] |
//! | heads of messages | [`http::message::head`] |
//!
//! Modules that are not listed here are public for the tests and benchmarks of this crate alone, and may change at any
//! time.

#[doc(hidden)]
pub mod access_log;
pub mod address;
#[doc(hidden)]
pub mod admin;
mod admin_client;
#[doc(hidden)]
pub mod app_protocol;
#[doc(hidden)]
pub mod balance;
#[doc(hidden)]
pub mod buffer;
#[doc(hidden)]
pub mod calendar;
mod checks;
pub mod config;
#[doc(hidden)]
pub mod control;
#[cfg(test)]
mod corpus;
#[doc(hidden)]
pub mod decimal;
#[doc(hidden)]
pub mod demo;
#[doc(hidden)]
pub mod discovery;
#[doc(hidden)]
pub mod drain;
#[doc(hidden)]
pub mod ejection_reason;
mod evener;
#[doc(hidden)]
pub mod fault;
pub mod filters;
#[doc(hidden)]
pub mod grpc;
#[doc(hidden)]
pub mod hash;
pub mod http;
pub mod id;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod otlp;
#[doc(hidden)]
pub mod placement;
pub mod plan;
#[doc(hidden)]
pub mod proxy_protocol;
#[cfg(any(test, fuzzing))]
mod random;
#[doc(hidden)]
pub mod reject;
#[doc(hidden)]
pub mod relay;
#[doc(hidden)]
pub mod route;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod shed;
#[doc(hidden)]
pub mod termination;
#[doc(hidden)]
pub mod tls_fault;
#[doc(hidden)]
pub mod tls_hello;
#[doc(hidden)]
pub mod top;
#[doc(hidden)]
pub mod trace;
pub mod upstream;
#[doc(hidden)]
pub mod worker;

pub use access_log::{Protocol, Timers};
pub use config::Config;
pub use config::builder::{ConfigBuilder, RelayBuilder, RouteBuilder, UpstreamBuilder};
pub use config::errors::ConfigErrors;
pub use control::StartError;
pub use evener::{Evener, EvenerHandle, RunError};
pub use filters::calls::{
    ClientRequest, ClientResponse, EndpointAttempt, EndpointResponse, ExchangeEnd, NewConnection,
    ReplyTo, RouteChoice,
};
pub use filters::chain::Chain;
pub use filters::exchange_record::ExchangeRecord;
pub use filters::reply::LocalReply;
pub use filters::{ConnectionVerdict, Filters, Verdict};
pub use http::message::edits::{EditName, Edits, HeaderError, Value};
pub use serde_json::json;
pub use termination::Termination;
pub use upstream::custom_policy::{CustomPolicy, PolicyCandidate};
pub use upstream::custom_source::CustomSource;

//! Whole sessions in memory, on a clock that stands still while anybody has work to do.
//!
//! Two kinds: peers that speak HTTP/1.1 by a script ([`script`]), and a [`world`] in which clients and
//! endpoints of either protocol choose their steps at random. The same script, or the same seed, gives the
//! same outcome.

mod choices;
mod client_h1;
mod client_h2;
mod endpoint_h1;
mod endpoint_h2;
mod frames;
mod invariants;
mod ledger;
mod messages;
mod pipe;
mod plan;
mod plans;
pub mod script;
mod shared;
pub mod world;

//! TLS: sessions over any connection, what a listener shows its clients, and what an endpoint has to
//! show.

pub mod aead;
pub mod certificate;
pub mod certificates;
pub mod client;
pub mod client_certificate;
pub mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod handshake;
pub mod info;
pub mod pem;
pub mod provider;
pub mod record;
pub mod record_layer;
#[cfg(any(test, fuzzing))]
pub mod record_layer_fuzz;
#[cfg(test)]
mod record_layer_tests;
#[cfg(test)]
mod samples;
pub mod server;
pub mod session;
pub mod stream;
#[cfg(test)]
mod stream_tests;
pub mod tickets;
mod unbuffered;
pub mod watched_file;

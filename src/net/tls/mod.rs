//! TLS: sessions over any connection, what a listener shows its clients, and what an endpoint has to
//! show.

pub mod failure;
pub mod handshake;
pub mod info;
pub mod provider;
pub mod session;
pub mod stream;

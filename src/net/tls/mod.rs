//! TLS: sessions over any connection, what a listener shows its clients, and what an endpoint has to
//! show.

pub mod failure;
pub mod provider;

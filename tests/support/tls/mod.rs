//! TLS for tests: certificates made in memory, clients and scripted origins that speak it, and the TCP
//! connections below them for everything that a well-behaved peer would not do.
//!
//! ```text
//! let identity = Authority::shared().issue(&["example.com", "127.0.0.1"]);
//! let files = identity.files(); // for --cert and --key
//! let mut client = TlsOptions::trusting(Authority::shared()).connect(address, "example.com");
//! client.get("/");
//! assert_eq!(client.response().text(), "hello");
//! ```

// Not every test of TLS is written yet.
#![allow(dead_code, unused_imports)]

mod authority;
mod client;
mod origin;
mod proxy;
mod raw;
mod stream;

pub use authority::{Authority, Files, Identity, Validity};
pub use client::{TlsClient, TlsOptions};
pub use origin::{TlsConn, TlsOrigin, TlsServer};
pub use proxy::TlsProxy;
pub use raw::{ALERT, DATA, HANDSHAKE, RawTls};
pub use stream::{Handshake, TlsStream};

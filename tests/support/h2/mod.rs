//! HTTP/2 for tests: peers that say exactly what a test makes them say, frame by frame, and well-behaved ones
//! over the `h2` crate. Neither shares code with what they judge.
//!
//! ```text
//! let mut client = RawClient::connect(proxy.address); // preface and SETTINGS exchanged
//! client.request(1, &get("/"), true);
//! assert_eq!(client.expect_answer(1, 200).text(), "hello");
//! client.send(Frame::window_update(0, 0));
//! client.expect_goaway(error::PROTOCOL_ERROR);
//!
//! run(async {
//!     let client = H2Client::connect(proxy.address).await;
//!     assert_eq!(client.get("/").await.text(), "hello");
//! });
//! ```

// Not every test of HTTP/2 is written yet.
#![allow(dead_code, unused_imports)]

mod body;
mod client;
mod exchange;
mod fields;
mod frame;
mod huffman;
mod origin;
mod paused;
mod raw;
mod raw_client;
mod raw_origin;
mod static_table;
mod tls_stream;

pub use body::{Body, collect, send_body, send_data};
pub use client::{H2Answer, H2Client};
pub use exchange::{H2Exchange, response};
pub use fields::{Decoder, Fields, block, integer, literal, value_of};
pub use frame::{Frame, error, flag, kind, setting};
pub use origin::H2Origin;
pub use paused::PausedPeer;
pub use raw::{Message, RawPeer};
pub use raw_client::{PREFACE, RawClient, get, post};
pub use raw_origin::RawOrigin;
pub use tls_stream::AsyncTls;

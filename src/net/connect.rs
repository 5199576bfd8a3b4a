//! Opening a connection to an endpoint.

use std::io;

use tokio::net::{TcpStream, UnixStream};

#[cfg(any(test, fuzzing))]
use super::memory;
use super::socket::Socket;
use super::stream::Stream;
use crate::address::Address;

/// Connects to `address`; the caller holds the deadline.
pub async fn connect(address: &Address) -> io::Result<Stream> {
    #[cfg(any(test, fuzzing))]
    match memory::dial(address) {
        Some(Some(dialled)) => {
            // Time for the other side to change its mind.
            tokio::task::yield_now().await;
            return dialled.map(|memory| Stream::Plain(Socket::Memory(memory)));
        }
        Some(None) => std::future::pending().await,
        None => {}
    }
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(*address).await?;
            // A connection to a free port of this machine may be given that very port, and so
            // reach itself (simultaneous open, RFC 9293 §3.5).
            if address.ip().is_loopback() && stream.local_addr()? == *address {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(Stream::tcp(stream))
        }
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(|stream| Stream::Plain(Socket::Unix(stream)))
        }
    }
}

//! Opening a connection to an endpoint.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::stream::Stream;
use crate::address::Address;

/// Connects to `address`; the caller holds the deadline.
pub async fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => TcpStream::connect(*address).await.map(Stream::tcp),
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

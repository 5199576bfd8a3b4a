//! Opening a connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

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
            refuse_oneself(&stream, *address)?;
            Ok(Stream::tcp(stream))
        }
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(|stream| Stream::Plain(Socket::Unix(stream)))
        }
    }
}

/// Whether connections are accepted at `address`; the caller holds the deadline. What the endpoint's kernel says to SYN is
/// the answer; it is not acknowledged but reset (`TCP_QUICKACK` in tcp(7), `SO_LINGER` in socket(7)). So there is no
/// connection for the endpoint to accept and to close, and none in `TIME_WAIT` here: that takes half the time.
pub async fn probe(address: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_quickack(false)?;
    socket.set_linger(Some(Duration::ZERO))?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
    refuse_oneself(&stream, address)
}

/// A connection to a free port of this machine may be given that very port, and so reach itself (simultaneous open,
/// RFC 9293 §3.5).
fn refuse_oneself(stream: &TcpStream, address: SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() && stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

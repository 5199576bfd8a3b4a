//! Listening sockets: one per worker and address, sharing the port (`SO_REUSEPORT`, socket(7)).

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::{SocketAddrAny, SocketFlags, accept_with, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::keep_alive;
use super::socket::Socket as Connection;
use super::socket_file::SocketFile;
use super::stream::Stream;
use crate::address::Address;

/// Connections that may wait to be accepted, per socket; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Sockets bound to one address, one for each worker, not yet registered with a runtime.
pub struct Bound {
    /// The address, with the port the kernel chose if 0 was asked for.
    pub address: Address,
    /// One per worker.
    pub sockets: Vec<Socket>,
    /// The file of a Unix socket.
    pub file: Option<SocketFile>,
}

/// Binds `address` once for each of `workers`.
///
/// Fails with `AddrInUse` if another socket has it, even if that is of a process with `SO_REUSEPORT`:
/// two balancers on one port by mistake would each get half of the connections.
pub fn bind(address: &Address, workers: usize) -> io::Result<Bound> {
    match address {
        Address::Tcp(address) => {
            // The first socket does not share its port until it listens: only so does it find out
            // that the port is taken, and so does any other process from then on.
            let first = tcp_socket(&SockAddr::from(*address))?;
            first.bind(&SockAddr::from(*address))?;
            first.listen(BACKLOG)?;
            first.set_reuse_port(true)?;
            let bound = first.local_addr()?;
            let mut sockets = vec![first];
            while sockets.len() < workers {
                let socket = tcp_socket(&bound)?;
                socket.set_reuse_port(true)?;
                socket.bind(&bound)?;
                socket.listen(BACKLOG)?;
                sockets.push(socket);
            }
            let address = bound.as_socket().unwrap_or(*address);
            Ok(Bound { address: Address::Tcp(address), sockets, file: None })
        }
        Address::Unix(path) => {
            let bind = || UnixListener::bind(path);
            let (listener, file) = SocketFile::create(path, Type::STREAM, bind)?;
            let socket = Socket::from(listener);
            let sockets: io::Result<Vec<Socket>> =
                (0..workers).map(|_| socket.try_clone()).collect();
            let address = Address::Unix(path.clone());
            Ok(Bound { address, sockets: sockets?, file: Some(file) })
        }
    }
}

/// Whether `address` could be listened at, without listening there or creating a file: nobody is kept from it.
pub fn try_bind(address: &Address) -> io::Result<()> {
    match address {
        Address::Tcp(address) => {
            let address = SockAddr::from(*address);
            tcp_socket(&address)?.bind(&address)
        }
        Address::Unix(path) => SocketFile::may_be_created(path, Type::STREAM),
    }
}

/// More sockets at an address that `first` is bound to, for workers of which there are more than
/// there were.
pub fn bind_more(first: &Socket, count: usize) -> io::Result<Vec<Socket>> {
    let address = first.local_addr()?;
    let another = |_| {
        // One without SO_REUSEPORT, as systemd opens it, is shared by all workers.
        if address.domain() == Domain::UNIX || !first.reuse_port()? {
            return first.try_clone();
        }
        let socket = tcp_socket(&address)?;
        socket.set_reuse_port(true)?;
        match socket.bind(&address) {
            Ok(()) => socket.listen(BACKLOG).map(|()| socket),
            // The port is shared among sockets of one user only (socket(7)).
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => first.try_clone(),
            Err(error) => Err(error),
        }
    };
    (0..count).map(another).collect()
}

fn tcp_socket(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(address.domain(), Type::STREAM, Some(Protocol::TCP))?;
    // What it accepts inherits it, without a call for each.
    socket.set_tcp_nodelay(true)?;
    if address.domain() == Domain::IPV6 {
        // `[::]` and `0.0.0.0` are two listeners, as in nginx: what is said is what is bound.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// A listening socket registered with this thread's runtime.
pub enum ListeningSocket {
    /// Of TCP connections.
    Tcp(AsyncFd<TcpListener>),
    /// Of unix connections.
    Unix(AsyncFd<UnixListener>),
}

/// The address of a client; over a unix socket it has none.
pub type Peer = Option<IpAddr>;

impl ListeningSocket {
    /// Registers a bound socket.
    pub fn register(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            watch(socket.into()).map(Self::Unix)
        } else {
            // Here, since another process or a service manager may have opened it.
            keep_alive::enable(&SockRef::from(&socket))?;
            watch(socket.into()).map(Self::Tcp)
        }
    }

    /// The same socket, once more.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.get_ref().as_fd().try_clone_to_owned(),
            Self::Unix(listener) => listener.get_ref().as_fd().try_clone_to_owned(),
        }
    }

    /// Closes it, and returns the connections that the kernel had accepted for it, of which the
    /// reactor may not have told: closing alone would reset them.
    pub fn close(self) -> Vec<Incoming> {
        match self {
            Self::Tcp(listener) => {
                let listener = listener.into_inner();
                std::iter::from_fn(|| accept_tcp(&listener).ok()).collect()
            }
            Self::Unix(listener) => {
                let listener = listener.into_inner();
                std::iter::from_fn(|| accept_unix(&listener).ok()).collect()
            }
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(listener) => listener.async_io(Interest::READABLE, accept_tcp).await,
            Self::Unix(listener) => listener.async_io(Interest::READABLE, accept_unix).await,
        }
    }
}

#[expect(
    deprecated,
    reason = "unsound for what may change its descriptor while it is watched: listeners do not"
)]
fn watch<T: AsRawFd>(listener: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}

/// How connections are accepted: without a further call for each.
const ACCEPTED: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

fn accept_tcp(listener: &TcpListener) -> io::Result<Incoming> {
    let (descriptor, address) = acceptfrom_with(listener, ACCEPTED)?;
    let address = address.and_then(|address: SocketAddrAny| SocketAddr::try_from(address).ok());
    Ok(Incoming::Tcp(descriptor.into(), address.map(|address| address.ip())))
}

fn accept_unix(listener: &UnixListener) -> io::Result<Incoming> {
    Ok(Incoming::Unix(accept_with(listener, ACCEPTED)?.into()))
}

/// A connection that has been accepted and that no runtime knows yet, so that it can go to any thread.
#[derive(Debug)]
pub enum Incoming {
    /// Over TCP, from there.
    Tcp(TcpStream, Peer),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Incoming {
    /// Registers it with this thread's runtime.
    pub fn register(self) -> io::Result<(Stream, Peer)> {
        let (socket, peer) = match self {
            Self::Tcp(stream, peer) => {
                (tokio::net::TcpStream::from_std(stream).map(Connection::Tcp), peer)
            }
            Self::Unix(stream) => {
                (tokio::net::UnixStream::from_std(stream).map(Connection::Unix), None)
            }
        };
        Ok((Stream::Plain(socket?), peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_closes_returns_what_was_waiting_before_the_reactor_knows() {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let Bound { address, mut sockets, .. } = bind(&any, 1).unwrap();
        let Address::Tcp(address) = address else { panic!("not TCP") };
        let listener = ListeningSocket::register(sockets.remove(0)).unwrap();
        let _clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        assert_eq!(listener.close().len(), 3);
        assert!(TcpStream::connect(address).is_err());
    }

    /// A connection as the listener accepts it, and its client.
    async fn accepted() -> (Incoming, TcpStream) {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let Bound { address, mut sockets, .. } = bind(&any, 1).unwrap();
        let Address::Tcp(address) = address else { panic!("not TCP") };
        let listener = ListeningSocket::register(sockets.remove(0)).unwrap();
        let client = TcpStream::connect(address).unwrap();
        (listener.accept().await.unwrap(), client)
    }

    #[tokio::test]
    async fn what_is_accepted_waits_for_no_acknowledgement() {
        let (Incoming::Tcp(stream, _), _client) = accepted().await else { panic!("not TCP") };
        assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
    }

    #[tokio::test]
    async fn what_is_accepted_probes_a_silent_peer() {
        let (Incoming::Tcp(stream, _), _client) = accepted().await else { panic!("not TCP") };
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), keep_alive::IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), keep_alive::INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), keep_alive::PROBES);
    }
}

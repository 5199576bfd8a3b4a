//! Listening sockets: one per worker and address, sharing the port (`SO_REUSEPORT`, socket(7)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener as StdUnixListener;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

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
            let bind = || StdUnixListener::bind(path);
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
    Tcp(TcpListener),
    /// Of unix connections.
    Unix(UnixListener),
}

/// The address of a client; over a unix socket it has none.
pub type Peer = Option<std::net::IpAddr>;

impl ListeningSocket {
    /// Registers a bound socket.
    pub fn register(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            UnixListener::from_std(socket.into()).map(Self::Unix)
        } else {
            // Here, since another process or a service manager may have opened it.
            keep_alive::enable(&SockRef::from(&socket))?;
            TcpListener::from_std(socket.into()).map(Self::Tcp)
        }
    }

    /// The same socket, once more.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener) => listener.as_fd().try_clone_to_owned(),
        }
    }

    /// Closes it, and returns the connections that the kernel had accepted for it, of which the
    /// reactor may not have told: closing alone would reset them.
    pub fn close(self) -> Vec<(Stream, Peer)> {
        let mut waiting = Vec::new();
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return waiting };
                while let Ok((stream, peer)) = listener.accept() {
                    let registered = stream.set_nonblocking(true);
                    if let Ok(stream) = registered.and_then(|()| TcpStream::from_std(stream)) {
                        waiting.push((Stream::Plain(Connection::Tcp(stream)), Some(peer.ip())));
                    }
                }
            }
            Self::Unix(listener) => {
                let Ok(listener) = listener.into_std() else { return waiting };
                while let Ok((stream, _)) = listener.accept() {
                    let registered = stream.set_nonblocking(true);
                    if let Ok(stream) = registered.and_then(|()| UnixStream::from_std(stream)) {
                        waiting.push((Stream::Plain(Connection::Unix(stream)), None));
                    }
                }
            }
        }
        waiting
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Plain(Connection::Tcp(stream)), Some(peer.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Plain(Connection::Unix(stream)), None))
            }
        }
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
        let _clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        assert_eq!(listener.close().len(), 3);
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    /// A connection as the listener accepts it, and its client.
    async fn accepted() -> (TcpStream, std::net::TcpStream) {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let Bound { address, mut sockets, .. } = bind(&any, 1).unwrap();
        let Address::Tcp(address) = address else { panic!("not TCP") };
        let listener = ListeningSocket::register(sockets.remove(0)).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (Stream::Plain(Connection::Tcp(stream)), _) = listener.accept().await.unwrap() else {
            panic!("not TCP")
        };
        (stream, client)
    }

    #[tokio::test]
    async fn what_is_accepted_waits_for_no_acknowledgement() {
        let (stream, _client) = accepted().await;
        assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
    }

    #[tokio::test]
    async fn what_is_accepted_probes_a_silent_peer() {
        let (stream, _client) = accepted().await;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), keep_alive::IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), keep_alive::INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), keep_alive::PROBES);
    }
}

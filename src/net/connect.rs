//! Opening a connection to an endpoint.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::connect_unspec;
use socket2::{Domain, Protocol, Socket as Socket2, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::yield_now;

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
            yield_now().await;
            return dialled.map(|memory| Stream::Plain(Socket::Memory(memory)));
        }
        Some(None) => std::future::pending().await,
        None => {}
    }
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(*address).await?;
            refuse_oneself(|| stream.local_addr().map(Some), *address)?;
            Ok(Stream::tcp(stream))
        }
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(|stream| Stream::Plain(Socket::Unix(stream)))
        }
    }
}

/// How many sockets of IPv4, and of IPv6, wait for the next probe: more than are under way where endpoints answer.
pub const SPARE_PROBES_MAX: usize = 128;

/// Asks endpoints whether they accept connections. What the endpoint's kernel says to SYN is the answer; it is not
/// acknowledged but reset (`TCP_QUICKACK` in tcp(7)). So there is no connection for the endpoint to accept and to close, and
/// none in `TIME_WAIT` here: that takes half the time. The socket then serves for the next probe (`AF_UNSPEC` in
/// connect(2)): to open and close one takes a third of what is left.
#[derive(Default)]
pub struct Prober {
    v4: RefCell<Vec<Socket2>>,
    v6: RefCell<Vec<Socket2>>,
}

impl Prober {
    /// Whether connections are accepted at `address`; the caller holds the deadline.
    pub async fn probe(&self, address: SocketAddr) -> io::Result<()> {
        let spares = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let spare = spares.borrow_mut().pop_if(|_| leaves_no_trace(address));
        let mut socket = spare.map_or_else(|| probe_socket(address), Ok)?;
        // Forgotten with each connection.
        socket.set_tcp_quickack(false)?;
        if is_under_way(socket.connect(&address.into()))? {
            // Endpoints nearby have answered once the other probes that are due are under way: they need no reactor.
            yield_now().await;
            while is_under_way(socket.connect(&address.into()))? {
                let watched = TcpStream::from_std(socket.into())?;
                watched.writable().await?;
                socket = watched.into_std()?.into();
            }
        }
        refuse_oneself(|| socket.local_addr().map(|own| own.as_socket()), address)?;
        let mut spares = spares.borrow_mut();
        let has_room = spares.len() < SPARE_PROBES_MAX && leaves_no_trace(address);
        // Where that is not possible, as in some sandboxes, it is closed, which has the same effect on the endpoint.
        if has_room && connect_unspec(&socket).is_ok() {
            spares.push(socket);
        }
        Ok(())
    }
}

/// Whether a socket that was connected to this address can be to any other one. One of IPv6 stays with the interface of
/// a link-local address (`sin6_scope_id` in ipv6(7)), and with IPv4 after an address that stands for one of that.
fn leaves_no_trace(address: SocketAddr) -> bool {
    match address {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(address) => {
            address.scope_id() == 0 && address.ip().to_ipv4_mapped().is_none()
        }
    }
}

/// One that is reset if it is closed during a probe (`SO_LINGER` in socket(7)).
fn probe_socket(address: SocketAddr) -> io::Result<Socket2> {
    let domain = Domain::for_address(address);
    let socket = Socket2::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

/// Whether the answer to SYN is still to come.
fn is_under_way(connected: io::Result<()>) -> io::Result<bool> {
    match connected.as_ref().map_err(Errno::from_io_error) {
        Err(Some(Errno::INPROGRESS | Errno::ALREADY)) => Ok(true),
        _ => connected.map(|()| false),
    }
}

/// A connection to a free port of this machine may be given that very port, and so reach itself (simultaneous open,
/// RFC 9293 §3.5).
fn refuse_oneself(
    own: impl FnOnce() -> io::Result<Option<SocketAddr>>,
    address: SocketAddr,
) -> io::Result<()> {
    if address.ip().is_loopback() && own()? == Some(address) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::pin::pin;

    use super::*;
    use crate::net::deadline::Timer;

    #[tokio::test]
    async fn one_socket_asks_one_endpoint_after_the_other_and_none_sees_a_connection() {
        let prober = Prober::default();
        let listening = ["127.0.0.1:0", "127.0.0.2:0"].map(|own| TcpListener::bind(own).unwrap());
        // Bound, so that nobody else gets its port, and not listening.
        let silent = Socket2::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let gone = silent.local_addr().unwrap().as_socket().unwrap();
        for _ in 0..3 {
            for listener in &listening {
                prober.probe(listener.local_addr().unwrap()).await.unwrap();
                assert_eq!(prober.v4.borrow().len(), 1);
            }
            let refused = prober.probe(gone).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        for listener in listening {
            listener.set_nonblocking(true).unwrap();
            let seen = listener.accept().map(|(_, from)| from);
            assert_eq!(seen.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[tokio::test]
    async fn a_probe_of_an_ipv4_mapped_address_leaves_those_of_ipv6_alone() {
        let prober = Prober::default();
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let mapped = format!("[::ffff:127.0.0.1]:{}", v4.local_addr().unwrap().port());
        let v6 = TcpListener::bind("[::1]:0").unwrap();
        for _ in 0..3 {
            for address in [mapped.parse().unwrap(), v6.local_addr().unwrap()] {
                let probing = pin!(prober.probe(address));
                let answered = Timer::new().within(Duration::from_secs(5), probing).await;
                assert!(matches!(answered, Ok(Ok(()))), "{address}: {answered:?}");
            }
        }
        assert_eq!((prober.v4.borrow().len(), prober.v6.borrow().len()), (0, 1));
    }

    #[test]
    fn a_link_local_address_is_not_asked_over_a_socket_that_others_use() {
        let asked = ["127.0.0.1:1", "[::1]:1", "[2001:db8::1]:1", "[fe80::1%2]:1"];
        let asked = asked.map(|address| leaves_no_trace(address.parse().unwrap()));
        assert_eq!(asked, [true, true, true, false]);
    }

    #[tokio::test]
    async fn an_endpoint_that_says_nothing_is_waited_for() {
        let prober = Prober::default();
        let listener = Socket2::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        // The only one that the backlog has room for.
        let first = std::net::TcpStream::connect(address).unwrap();
        let mut asked = pin!(prober.probe(address));
        let waited = Timer::new().within(Duration::from_millis(50), asked.as_mut()).await;
        assert!(waited.is_err());
        // Now there is room for another one, when the kernel asks again after a second.
        let _accepted = listener.accept().unwrap();
        asked.await.unwrap();
        drop(first);
    }
}

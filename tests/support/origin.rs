//! An origin that does exactly what a test scripts, including protocol violations.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::wire::Wire;
use super::{Ending, HANG, Rendezvous};

pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    stopped: Arc<AtomicBool>,
    /// Reserves the port of an origin that refuses connections.
    reserved: Option<Socket>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
}

/// One connection to an origin, over TCP or over TLS as a [`super::tls::TlsConn`].
pub struct Conn<S = TcpStream> {
    pub stream: S,
    /// The index of this connection to the origin, from 0.
    pub index: usize,
    seen: Arc<Seen>,
    held: Vec<u8>,
}

impl Origin {
    /// Serves every connection with `serve`, each on its own thread.
    pub fn start(serve: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), serve)
    }

    /// Like [`Origin::start`], at a given address: to bring back a stopped origin.
    pub fn start_at(address: SocketAddr, serve: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        Self::serving(TcpListener::bind(address).expect("bind"), serve)
    }

    /// One that has refused connections serves them from now on, at the same address.
    pub fn recovers(mut self, serve: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        let socket = self.reserved.take().expect("one that refuses");
        socket.listen(128).expect("listen");
        Self::serving(socket.into(), serve)
    }

    /// One that accepts from this listener.
    pub fn serving(listener: TcpListener, serve: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("an address");
        let (seen, stopped) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (serve, ours, ended) = (Arc::new(serve), Arc::clone(&seen), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_read_timeout(Some(HANG)).expect("timeout");
                stream.set_nodelay(true).expect("nodelay");
                ours.open.lock().expect("lock").extend(stream.try_clone());
                let index = ours.connections.fetch_add(1, Ordering::SeqCst);
                let conn = Conn { stream, index, seen: Arc::clone(&ours), held: Vec::new() };
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(conn));
            }
        });
        Self { address, seen, stopped, reserved: None }
    }

    /// Answers every request with the same bytes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |conn| conn.answer_all(&answer))
    }

    /// Answers 200 with its name.
    pub fn named(name: &str) -> Self {
        Self::answering(ok(name))
    }

    /// Answers with the `count` bytes after the request's headers, whatever those say.
    pub fn echoing(count: usize) -> Self {
        Self::start(move |mut conn| {
            while conn.head().is_some() {
                let Some(bytes) = conn.bytes(count) else { return };
                conn.send([&ok_head(count)[..], &bytes].concat());
            }
        })
    }

    /// Answers one request with `text`, then waits for the end of its connection and meets whoever
    /// waits for that.
    pub fn left(text: &'static str) -> (Self, Rendezvous) {
        let ended = Rendezvous::default();
        let ours = ended.clone();
        let origin = Self::start(move |mut conn| {
            conn.head();
            conn.send(ok(text));
            assert!(conn.head().is_none());
            ours.wait();
        });
        (origin, ended)
    }

    /// Refuses every connection, on a port that stays reserved meanwhile.
    pub fn refusing() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        let address = socket.local_addr().expect("an address").as_socket().expect("IPv4");
        Self { address, seen: Arc::default(), stopped: Arc::default(), reserved: Some(socket) }
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The headers of all requests so far, with their request lines.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().expect("lock").clone()
    }

    /// Stops listening and closes every connection, like a killed process.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for stream in self.seen.open.lock().expect("lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.stop_accepting();
    }

    /// Stops listening, and goes on to serve the connections there are.
    pub fn stop_accepting(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then drops the listener.
        let _ = TcpStream::connect(self.address);
        super::eventually("the origin stops", || TcpStream::connect(self.address).is_err());
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// A 200 response with this body.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The headers of a 200 response with this Content-Length, and with a Date so that none is added.
pub fn ok_head(length: usize) -> Vec<u8> {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
    format!("HTTP/1.1 200 OK\r\n{date}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

impl Conn {
    /// The same connection with something on top of TCP.
    pub fn over<S>(self, wrap: impl FnOnce(TcpStream) -> io::Result<S>) -> io::Result<Conn<S>> {
        let Self { stream, index, seen, held } = self;
        Ok(Conn { stream: wrap(stream)?, index, seen, held })
    }
}

impl<S: Wire> Conn<S> {
    /// The other end of a connection that was opened from here.
    pub fn of(stream: S) -> Self {
        Self { stream, index: 0, seen: Arc::default(), held: Vec::new() }
    }

    /// Reads the headers of the next request, including the empty line; `None` if none comes.
    pub fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.held.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
        self.held.drain(..end);
        self.seen.heads.lock().expect("lock").push(head.clone());
        Some(head)
    }

    /// Reads a line including its end; empty if none comes.
    pub fn line(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = self.held.iter().position(|byte| *byte == b'\n') {
                return self.held.drain(..=at).collect();
            }
            if self.more().is_none() {
                return Vec::new();
            }
        }
    }

    /// Reads the next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.held.len() < count {
            self.more()?;
        }
        Some(self.held.drain(..count).collect())
    }

    /// Reads everything until the proxy stops sending.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more().is_some() {}
        std::mem::take(&mut self.held)
    }

    /// Reads until the proxy stops sending; whether that was a reset.
    pub fn ends_by_reset(&mut self) -> bool {
        let mut waste = [0; 4096];
        loop {
            match self.stream.read(&mut waste) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = vec![0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.held.extend_from_slice(&bytes[..count]);
                Some(())
            }
        }
    }

    /// Sends bytes and ignores errors.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Closes the connection. Dropping does not, since [`Origin::stop`] keeps a duplicate of it.
    pub fn close(mut self) {
        self.stream.close_notify();
        let _ = self.stream.tcp().shutdown(Shutdown::Both);
    }

    /// Resets the connection.
    pub fn reset(self) {
        socket2::SockRef::from(self.stream.tcp())
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("linger");
        // The duplicate kept for `stop` must not keep it open.
        let ours = self.stream.tcp().peer_addr().ok();
        self.seen.open.lock().expect("lock").retain(|open| open.peer_addr().ok() != ours);
    }

    /// Closes or resets the connection.
    pub fn leave(self, ending: Ending) {
        match ending {
            Ending::Close => self.close(),
            Ending::Reset => self.reset(),
        }
    }

    /// Sends `start`, then `piece` repeatedly until the connection breaks.
    pub fn send_without_end(&mut self, start: &str, piece: &str) {
        self.send(start);
        while self.stream.write_all(piece.as_bytes()).is_ok() {}
    }
}

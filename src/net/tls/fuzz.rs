//! The fuzz target of this room: sessions with a scripted peer, for whom rustls speaks through its other
//! interface.

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::kx_group::X25519;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::handshake::{HandshakeTurns, accept, connect};
use super::provider::provider;
use super::session::HANDSHAKE_BYTES_MAX;
use super::stream::TlsStream;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::net::memory::Memory;
use crate::net::socket::Socket;

/// Longer scripts find nothing that shorter ones do not, but take longer.
const SCRIPT_BYTES_MAX: usize = 256;

/// The most plaintext each way, in bytes.
const PLAIN_BYTES_MAX: usize = 300_000;

/// What the connection holds each way: less and more than a record, and more than a block.
const CAPACITIES: [usize; 4] = [700, 5000, 30_000, 1 << 20];

/// How many bytes come at a time while neither side does anything else.
const SEGMENTS: [usize; 4] = [3, 100, 1400, usize::MAX];

/// So many key updates in a row are nothing odd (rustls refuses more).
const KEY_UPDATES_MAX: usize = 32;

/// What each side writes is this from its offset on, so that bytes in the wrong place are seen.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..=250).cycle().take(PLAIN_BYTES_MAX + BUFFER_BYTES).collect());

/// The configurations of both sides for TLS 1.2 and 1.3.
pub(super) static CONFIGS: LazyLock<[(Arc<ServerConfig>, Arc<ClientConfig>); 2]> =
    LazyLock::new(|| [&TLS12, &TLS13].map(configs));

fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("made");
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let key = PrivateKeyDer::try_from(key).expect("a key");
    // The cheapest there is: what is agreed on makes no difference here.
    let cheap = CryptoProvider { kx_groups: vec![X25519], ..CryptoProvider::clone(&provider()) };
    let cheap = Arc::new(cheap);
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&cheap))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    let mut client = ClientConfig::builder_with_provider(cheap)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    server.enable_secret_extraction = true;
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// A session whose peer, and whose user, do what `data` says: its first byte chooses sides, version, and
/// how much the connection holds; then come pairs of an act ([`World::act`]) and how much of it. What
/// arrives is what was sent, in order; all of it has arrived where an end is reported; nothing fails
/// without a reason; nothing goes on forever; and a session that rests holds no block.
pub fn tls_session(data: &[u8]) {
    let data = &data[..data.len().min(SCRIPT_BYTES_MAX)];
    let Some((choices, script)) = data.split_first() else { return };
    let mut world = World::new(*choices);
    for act in script.chunks(2) {
        world.act(act[0], act.get(1).map_or(0, |much| usize::from(*much)));
    }
    world.settle(SEGMENTS[usize::from(*choices >> 4) % SEGMENTS.len()]);
    world.check();
}

type Shaking = Pin<Box<dyn Future<Output = Option<TlsStream>>>>;

enum Ours {
    Shaking(Shaking),
    Open(Box<TlsStream>),
    /// Closed, or of no use any more.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InOrder,
    Broken,
}

struct World {
    ours: Ours,
    /// Plaintext that our side wants to be written, of which so much was taken.
    wanted: usize,
    taken: usize,
    received: usize,
    ending: Option<End>,
    wants_shutdown: bool,
    is_shut: bool,
    peer: Peer,
    segment: usize,
    /// Whether what came was not what the peer has sent, so that anything may fail.
    is_tampered: bool,
}

struct Peer {
    session: Connection,
    socket: Option<Memory>,
    /// Ciphertext that has not been sent.
    queue: Vec<u8>,
    written: usize,
    received: usize,
    ending: Option<End>,
    has_said_goodbye: bool,
    /// Its direction was ended or reset before all that it had to say was sent.
    is_cut: bool,
    has_failed: bool,
    key_updates: usize,
}

impl World {
    fn new(choices: u8) -> Self {
        let (server, client) = CONFIGS[usize::from(choices & 1)].clone();
        let (ours, theirs) = Memory::pair(CAPACITIES[usize::from(choices >> 2) % 4]);
        let name: ServerName<'static> = "a.example".try_into().expect("a name");
        let ours = Socket::Memory(ours);
        let (shaking, session): (Shaking, Connection) = if choices & 2 == 0 {
            let session = ClientConnection::new(client, name).expect("a session");
            (Box::pin(accepting(ours, server)), session.into())
        } else {
            let session = ServerConnection::new(server).expect("a session");
            let connecting = async { connect(ours, client, name).await.ok().map(|open| open.0) };
            (Box::pin(connecting), session.into())
        };
        Self {
            ours: Ours::Shaking(shaking),
            wanted: 0,
            taken: 0,
            received: 0,
            ending: None,
            wants_shutdown: false,
            is_shut: false,
            peer: Peer::new(session, theirs),
            segment: usize::MAX,
            is_tampered: false,
        }
    }

    /// Does one thing: each of the sides writes, reads, ends its direction or goes away; the peer updates
    /// its keys; what is on its way is changed or added to; or both go on until neither can.
    fn act(&mut self, act: u8, much: usize) {
        // Debug builds of rustls assert that no alert follows a close_notify, and nobody can keep theirs
        // back: in release builds there is one, which nobody reads.
        let is_odd = match act % 16 {
            1 | 8..=10 => self.wants_shutdown,
            11 => self.is_tampered,
            5 => self.peer.session.is_handshaking(),
            _ => false,
        };
        if is_odd {
            return;
        }
        let count = if much < 128 { much } else { (much - 127) * 511 };
        let peer = &mut self.peer;
        match act % 16 {
            0 => peer.write(count),
            1 => self.wanted = (self.wanted + count).min(PLAIN_BYTES_MAX),
            2 => peer.send(count),
            3 => self.go_on(count),
            4 => self.let_peer_read(count),
            5 => peer.say_goodbye(),
            6 => peer.leave(false),
            7 => peer.leave(true),
            8 => self.is_tampered |= !peer.update_keys(),
            9 => self.is_tampered |= peer.corrupt(count),
            10 => {
                peer.queue.extend_from_slice(&PATTERN[much..much + much % 40]);
                self.is_tampered = true;
            }
            11 => self.wants_shutdown = true,
            12 => self.look(),
            13 => self.settle(SEGMENTS[much % SEGMENTS.len()]),
            14 => self.ours = Ours::Gone,
            _ => self.segment = count.max(1),
        }
        self.go_on(0);
    }

    /// Whether our side may fail.
    fn is_excused(&self) -> bool {
        let Peer { is_cut, has_said_goodbye, has_failed, .. } = self.peer;
        self.is_tampered || is_cut || has_failed || has_said_goodbye
    }

    /// Our side does what it can now; what it reads comes after so many bytes that it has already.
    fn go_on(&mut self, held: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Ours::Shaking(shaking) = &mut self.ours
            && let Poll::Ready(shaken) = shaking.as_mut().poll(&mut cx)
        {
            assert!(shaken.is_some() || self.is_excused(), "a handshake failed");
            self.ours = shaken.map_or(Ours::Gone, |stream| Ours::Open(Box::new(stream)));
        }
        self.write(&mut cx);
        self.read(&mut cx, held);
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let Ours::Open(stream) = &self.ours else { return };
        let written = if self.is_shut {
            return;
        } else if self.taken < self.wanted {
            stream.poll_write(cx, &PATTERN[self.taken..self.wanted])
        } else if self.wants_shutdown {
            stream.poll_shutdown(cx).map_ok(|()| 0)
        } else {
            return;
        };
        match written {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => {
                assert_eq!(self.taken, self.wanted, "nothing was taken");
                self.is_shut = true;
            }
            Poll::Ready(Ok(count)) => self.taken += count,
            Poll::Ready(Err(error)) => {
                assert!(self.is_excused(), "a write failed: {error}");
                stream.set_reset_on_close(true);
                self.ours = Ours::Gone;
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, held: usize) {
        let Ours::Open(stream) = &self.ours else { return };
        if self.ending.is_some() {
            return;
        }
        let mut buffer = Buffer::new();
        buffer.append_read(&PATTERN[..held.min(BUFFER_BYTES - 1)]);
        let before = buffer.len();
        match stream.poll_read(cx, &mut buffer) {
            Poll::Pending => assert_eq!(buffer.len(), before),
            Poll::Ready(Ok(0)) => {
                assert!(self.peer.has_said_goodbye, "an end that was not said");
                assert_eq!(self.received, self.peer.written, "an end too early");
                self.ending = Some(End::InOrder);
            }
            Poll::Ready(Ok(count)) => {
                let read = &buffer.filled()[before..];
                assert_eq!(read.len(), count);
                assert!(PATTERN[self.received..].starts_with(read), "not what was sent");
                self.received += count;
                assert!(self.received <= self.peer.written, "more than was sent");
                assert_eq!(buffer.append(b"\r\n"), 2, "the room after it was used");
            }
            Poll::Ready(Err(error)) => {
                assert!(self.is_tampered || self.peer.is_cut, "a read failed: {error}");
                self.ending = Some(End::Broken);
            }
        }
    }

    /// Looks at our side as at a connection in a pool.
    fn look(&self) {
        let Ours::Open(stream) = &self.ours else { return };
        let _ = (stream.is_quiet(), stream.unasked());
    }

    fn let_peer_read(&mut self, count: usize) {
        let excused = self.is_tampered || matches!(self.ours, Ours::Gone);
        self.peer.read(count.max(1), excused);
        let Peer { received, ending, .. } = self.peer;
        assert!(received <= self.wanted, "the peer got more than was written");
        if ending == Some(End::InOrder) {
            let is_gone = matches!(self.ours, Ours::Gone);
            assert!(self.is_shut || self.wants_shutdown || is_gone, "an end that was not said");
            assert_eq!(received, self.taken, "what the peer got seems whole");
        }
    }

    /// Lets both sides go on until neither can.
    fn settle(&mut self, segment: usize) {
        let (mut before, mut rounds, mut idle) = (None, 0, 0);
        loop {
            self.let_peer_read(BUFFER_BYTES);
            // Bytes that drip are tried at the beginning; megabytes of them take too long.
            let size = if rounds < 500 { segment.min(self.segment) } else { usize::MAX };
            self.peer.send(size);
            self.go_on(0);
            let now = self.progress();
            // A handshake yields without anything to show for it.
            idle = if before == Some(now) { idle + 1 } else { 0 };
            if idle > 3 {
                return;
            }
            before = Some(now);
            rounds += 1;
            assert!(rounds < 100_000, "it goes on forever");
        }
    }

    /// What changes as long as anything goes on. What the peer has read of a record is of no use to it before
    /// it has all, and shows in nothing but what is on its way.
    fn progress(&self) -> [usize; 8] {
        let carried = match &self.ours {
            Ours::Open(stream) => usize::try_from(stream.carried()).expect("few"),
            Ours::Shaking(_) => usize::MAX,
            Ours::Gone => usize::MAX - 1,
        };
        let Peer { received, queue, ending, socket, .. } = &self.peer;
        let ends = usize::from(self.ending.is_some()) + usize::from(ending.is_some());
        let [up, down] = socket.as_ref().map_or([0; 2], Memory::on_the_way);
        [self.taken, self.received, *received, queue.len(), carried, ends, up, down]
    }

    /// What must be true once nothing happens any more.
    fn check(&self) {
        let Ours::Open(stream) = &self.ours else {
            let is_stuck = matches!(self.ours, Ours::Shaking(_)) && !self.is_excused();
            return assert!(!is_stuck, "a handshake that does not end");
        };
        assert!(!stream.session().holds_block(), "{:?}", stream.session());
        assert!(stream.session().partial().len() <= HANDSHAKE_BYTES_MAX);
        // The last message of a client goes with the first that it writes.
        let is_silent = self.wanted == 0 && !self.wants_shutdown;
        let is_waiting = is_silent && self.peer.session.is_handshaking();
        if self.is_tampered || self.peer.is_cut || is_waiting {
            return;
        }
        assert_eq!(self.received, self.peer.written, "not all has come");
        assert_eq!(
            (self.taken, self.peer.received),
            (self.wanted, self.wanted),
            "not all was sent"
        );
        assert_eq!(self.ending, self.peer.has_said_goodbye.then_some(End::InOrder));
        assert_eq!(self.peer.ending, self.wants_shutdown.then_some(End::InOrder));
    }
}

async fn accepting(socket: Socket, config: Arc<ServerConfig>) -> Option<TlsStream> {
    let (early, turns) = (Buffer::new(), HandshakeTurns::default());
    accept(socket, &early, config, &turns).await.ok().map(|open| open.0)
}

impl Peer {
    fn new(session: Connection, socket: Memory) -> Self {
        Self {
            session,
            socket: Some(socket),
            queue: Vec::new(),
            written: 0,
            received: 0,
            ending: None,
            has_said_goodbye: false,
            is_cut: false,
            has_failed: false,
            key_updates: 0,
        }
    }

    fn write(&mut self, count: usize) {
        if self.has_said_goodbye || self.has_failed {
            return;
        }
        let count = count.min(PLAIN_BYTES_MAX - self.written);
        let bytes = &PATTERN[self.written..self.written + count];
        let count = self.session.writer().write(bytes).expect("written");
        self.written += count;
        if count > 0 {
            self.key_updates = 0;
        }
        self.say();
    }

    /// Queues what TLS has to say.
    fn say(&mut self) {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.queue).expect("queued");
        }
    }

    fn say_goodbye(&mut self) {
        self.session.send_close_notify();
        self.has_said_goodbye = true;
        self.say();
    }

    /// Sends so much of what is queued as the connection holds.
    fn send(&mut self, count: usize) {
        self.say();
        let cx = Context::from_waker(Waker::noop());
        let Some(socket) = &self.socket else { return };
        let count = count.min(self.queue.len());
        if count == 0 {
            return;
        }
        match socket.poll_write(&cx, &self.queue[..count]) {
            Poll::Ready(Ok(sent)) => drop(self.queue.drain(..sent)),
            Poll::Ready(Err(_)) => self.queue.clear(),
            Poll::Pending => {}
        }
    }

    /// Ends its direction, or the connection by a reset.
    fn leave(&mut self, by_reset: bool) {
        let is_whole = self.has_said_goodbye && self.queue.is_empty();
        self.is_cut |= by_reset || !is_whole;
        match &self.socket {
            Some(socket) if !by_reset => socket.shutdown(),
            Some(socket) => socket.set_reset_on_close(true),
            None => {}
        }
        if by_reset {
            self.socket = None;
        }
    }

    /// Returns false if it does so too often.
    fn update_keys(&mut self) -> bool {
        if !self.has_said_goodbye && self.session.refresh_traffic_keys().is_ok() {
            self.key_updates += 1;
            self.say();
        }
        self.key_updates <= KEY_UPDATES_MAX
    }

    /// Changes a bit on the way, if something is.
    fn corrupt(&mut self, at: usize) -> bool {
        let length = self.queue.len().max(1);
        self.queue.get_mut(at % length).map(|byte| *byte ^= 1 << (at % 8)).is_some()
    }

    /// Reads up to so many bytes that have come.
    fn read(&mut self, count: usize, excused: bool) {
        let mut room = vec![0; count];
        let Some(socket) = &self.socket else { return };
        let read = match socket.try_read(&mut room) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return self.ending = self.ending.or(Some(End::Broken)),
        };
        let mut come = &room[..read];
        loop {
            let taken = self.session.read_tls(&mut come).expect("room");
            if let Err(error) = self.session.process_new_packets() {
                let fine = excused || self.is_cut || self.has_failed;
                assert!(fine, "the peer failed: {error}");
                self.has_failed = true;
            }
            self.take();
            if taken == 0 || come.is_empty() {
                break;
            }
        }
        self.say();
    }

    fn take(&mut self) {
        let mut room = [0; 4096];
        while self.ending.is_none() {
            match self.session.reader().read(&mut room) {
                Ok(0) => self.ending = Some(End::InOrder),
                Ok(count) => {
                    let is_ours = PATTERN[self.received..].starts_with(&room[..count]);
                    assert!(is_ours, "the peer got something else");
                    self.received += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.ending = Some(End::Broken),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tls_session() {
        crate::corpus::replay("tls_session", 1000, super::tls_session);
    }
}

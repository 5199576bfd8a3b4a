//! One TLS session without its transport: ciphertext and plaintext in and out.
//!
//! rustls speaks the protocol, over its unbuffered interface: between two calls a session that rests
//! holds its keys, the bytes of a record that has not come whole, and what is to be sent with the next
//! write. Everything else is in blocks that are leased while they are needed.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use crate::buffer::{BUFFER_BYTES, Buffer};

/// The most plaintext of a record (RFC 8446 §5.1), in bytes.
const RECORD_BYTES_MAX: usize = 1 << 14;

/// The most that a record adds to its plaintext, in bytes: header, explicit nonce, content type, tag.
const RECORD_OVERHEAD_MAX: usize = 32;

/// What the protocol itself may put before a record of ours, in bytes: a key update.
const CONTROL_BYTES_MAX: usize = 128;

/// Room for a `close_notify` and a key update before it, in bytes.
const GOODBYE_BYTES_MAX: usize = 2 * CONTROL_BYTES_MAX;

/// What may have come of a message that is not whole, in bytes: long chains of certificates fit. Messages
/// after the handshake, and records, are smaller.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

/// One TLS session.
pub struct TlsSession {
    connection: Connection,
    /// What has come of a record or a handshake message that is not whole.
    partial: Vec<u8>,
    /// What was decrypted and has not been read.
    plain: Buffer,
    /// Records of the protocol itself, encrypted, that have not been put into `out`.
    queued: Vec<u8>,
    /// Whether rustls waits to hear that what is queued goes out.
    is_telling: bool,
    /// What is being sent.
    out: Buffer,
    /// How many bytes of plaintext are in `out`, which are not known to be taken before all of it is.
    owed: usize,
    ending: PeerEnd,
    has_said_goodbye: bool,
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// How far the peer's direction has come.
#[derive(Clone, Debug)]
enum PeerEnd {
    Open,
    /// With `close_notify`: nothing was cut off.
    InOrder,
    /// By the end of the connection alone: something may have been.
    Truncated,
    Failed(Error),
}

/// How much there is to read.
#[derive(Clone, Debug, PartialEq)]
pub enum Readable {
    /// So many bytes have been read.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The peer has ended its direction.
    End,
    /// The connection has ended without a `close_notify` (RFC 8446 §6.1): what came may not be all.
    Truncated,
    /// The peer broke the protocol, or gave it up.
    Failed(Error),
}

/// What a step has come to.
enum Step {
    /// Plaintext.
    Read,
    Again,
    NeedsMore,
    Failed(Error),
}

impl TlsSession {
    /// Of a client that has connected.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::new(Connection::Server(UnbufferedServerConnection::new(config)?)))
    }

    /// With a server that is to show that it is `name`.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        let mut session = Self::new(Connection::Client(connection));
        session.advance(&mut [], None);
        Ok(session)
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            partial: Vec::new(),
            plain: Buffer::new(),
            queued: Vec::new(),
            is_telling: false,
            out: Buffer::new(),
            owed: 0,
            ending: PeerEnd::Open,
            has_said_goodbye: false,
        }
    }

    /// What was agreed on.
    pub fn agreed(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    /// Whether no plaintext can go either way yet.
    pub fn is_handshaking(&self) -> bool {
        self.agreed().is_handshaking()
    }

    /// What has come of a message that is not whole: during a handshake, all of what was not understood
    /// yet.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Whether there is plaintext to read without more ciphertext, or an end to be told of.
    pub fn is_readable(&self) -> bool {
        !self.plain.is_empty() || !matches!(self.ending, PeerEnd::Open)
    }

    /// Moves plaintext that is there already to `into`, or says what there is instead.
    pub fn read(&mut self, into: &mut Buffer) -> Readable {
        if !self.plain.is_empty() {
            let count = into.append_read(self.plain.filled());
            self.plain.consume(count);
            return Readable::Bytes(count);
        }
        self.peek()
    }

    /// What [`TlsSession::read`] would come to.
    pub fn peek(&self) -> Readable {
        match &self.ending {
            _ if !self.plain.is_empty() => Readable::Bytes(self.plain.len()),
            PeerEnd::Open => Readable::Nothing,
            PeerEnd::InOrder => Readable::End,
            PeerEnd::Truncated => Readable::Truncated,
            PeerEnd::Failed(error) => Readable::Failed(error.clone()),
        }
    }

    /// Whether what is being sent would be cut by an end now.
    pub fn is_sending(&self) -> bool {
        self.owed > 0 || !self.out.is_empty()
    }

    /// Whether a block is leased.
    #[cfg(any(test, fuzzing))]
    pub fn holds_block(&self) -> bool {
        self.plain.holds_block() || self.out.holds_block()
    }

    /// Puts what has come of a record before in front of what is to be received now: as much as fits a block.
    pub fn begin_receiving(&mut self) -> Buffer {
        self.begin_receiving_up_to(BUFFER_BYTES)
    }

    /// The same, of about so many bytes of plaintext, or a record: what has no room would have to be kept here.
    pub fn begin_receiving_up_to(&mut self, bytes: usize) -> Buffer {
        let mut incoming = Buffer::new();
        let most = bytes.max(RECORD_BYTES_MAX) + 2 * RECORD_OVERHEAD_MAX;
        incoming.begin_with_room(most.max(self.partial.len()));
        incoming.append(&self.partial);
        incoming
    }

    /// Keeps what has been received, to look at it later.
    pub fn keep(&mut self, incoming: &Buffer) {
        self.partial = incoming.filled().to_vec();
    }

    /// Decrypts what has been received, into `into` as far as there is room. What comes after the
    /// peer's end is not looked at.
    pub fn receive(&mut self, mut incoming: Buffer, into: Option<&mut Buffer>) {
        if !matches!(self.ending, PeerEnd::Open) {
            return self.partial.clear();
        }
        let consumed = self.advance(incoming.filled_mut(), into);
        let rest = incoming.filled().get(consumed..).unwrap_or_default();
        self.partial = if matches!(self.ending, PeerEnd::Open) { rest.into() } else { Vec::new() };
        if self.partial.len() > HANDSHAKE_BYTES_MAX {
            self.partial = Vec::new();
            self.fail(Error::General("a handshake message is too long".to_owned()));
        }
    }

    /// The connection has ended.
    pub fn receive_end(&mut self) {
        if matches!(self.ending, PeerEnd::Open) {
            self.ending = PeerEnd::Truncated;
        }
    }

    /// Goes on with `incoming` as far as it gets; returns how many bytes of it are of no use any more.
    fn advance(&mut self, incoming: &mut [u8], mut into: Option<&mut Buffer>) -> usize {
        let mut consumed = 0;
        loop {
            let (discard, step) = self.step(&mut incoming[consumed..], into.as_deref_mut());
            consumed += discard;
            match step {
                // Nothing is left to look at, and nothing to be said.
                Step::Read if consumed == incoming.len() && !self.has_to_say() => {
                    return consumed;
                }
                Step::Read | Step::Again => {}
                Step::NeedsMore => return consumed,
                Step::Failed(error) => {
                    // What the peer is told of it, and not a step more: what it sent would fail again.
                    while self.agreed().wants_write()
                        && let (0, Step::Again) = self.step(&mut incoming[consumed..], None)
                    {
                    }
                    self.fail(error);
                    return consumed;
                }
            }
        }
    }

    /// Whether the protocol has something to say of its own.
    fn has_to_say(&self) -> bool {
        self.is_telling || self.agreed().wants_write()
    }

    fn fail(&mut self, error: Error) {
        self.ending = PeerEnd::Failed(error);
    }

    fn step(&mut self, incoming: &mut [u8], into: Option<&mut Buffer>) -> (usize, Step) {
        let Self { connection, plain, queued, is_telling, ending, .. } = self;
        // What has no room waits, and what comes after it must wait behind it.
        let into = into.filter(|_| plain.is_empty());
        let mut sink = Sink { into, plain, queued, is_telling, ending };
        match connection {
            Connection::Server(connection) => sink.take(connection.process_tls_records(incoming)),
            Connection::Client(connection) => sink.take(connection.process_tls_records(incoming)),
        }
    }

    /// Whether something must be sent now: what only follows a handshake of TLS 1.3, tickets and answers
    /// to key updates, can wait for the next write, and so can the last message of a client's handshake.
    /// In TLS 1.2 the peer waits for it.
    pub fn must_send(&self) -> bool {
        let can_wait = self.agreed().protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && !self.is_handshaking()
            && !self.has_said_goodbye
            && !matches!(self.ending, PeerEnd::Failed(_));
        !self.out.is_empty() || !self.queued.is_empty() && !can_wait
    }

    /// Whether the peer must be told something now, and nothing that was written is being sent.
    pub fn must_tell(&self) -> bool {
        self.out.is_empty() && self.must_send()
    }

    /// What is to be sent; [`TlsSession::sent`] says how much of it was.
    pub fn outgoing(&mut self) -> &[u8] {
        if self.out.is_empty() && !self.queued.is_empty() {
            self.out.begin_at_front();
            let count = self.out.append(&self.queued);
            self.queued.drain(..count);
            self.queued.shrink_to_fit();
        }
        self.out.filled()
    }

    /// So many bytes of that have been sent.
    pub fn sent(&mut self, count: usize) {
        self.out.consume(count);
    }

    /// Encrypts as much of `bytes` as fits a block, unless what was encrypted before has not been sent.
    /// Nothing follows a fatal alert (RFC 8446 §6.2).
    pub fn seal(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.owed > 0 || bytes.is_empty() {
            return Ok(());
        }
        if let PeerEnd::Failed(error) = &self.ending {
            return Err(error.clone());
        }
        // The protocol goes first, if it has something to say.
        if self.has_to_say() {
            self.resume();
        }
        let _ = self.outgoing();
        debug_assert!(self.queued.is_empty(), "what was encrypted first goes first");
        self.out.begin_at_front();
        let room = self.out.rest_mut();
        let taken = fitting(bytes.len(), room.len());
        let status = match &mut self.connection {
            Connection::Server(connection) => {
                encrypt(connection.process_tls_records(&mut self.partial), &bytes[..taken], room)
            }
            Connection::Client(connection) => {
                encrypt(connection.process_tls_records(&mut self.partial), &bytes[..taken], room)
            }
        };
        match status {
            Ok(count) => self.out.fill(count),
            Err(error) => {
                self.out.release();
                return Err(error);
            }
        }
        self.owed = taken;
        Ok(())
    }

    /// How many bytes of plaintext have been sent since this was last asked. Records are longer than what
    /// is in them: no more are owed than there are bytes of them left.
    pub fn settle(&mut self) -> usize {
        let left = self.owed.min(self.out.len());
        std::mem::replace(&mut self.owed, left) - left
    }

    /// Ends our direction: a `close_notify` is to be sent, once, unless the session has failed.
    pub fn say_goodbye(&mut self) {
        let has_failed = matches!(self.ending, PeerEnd::Failed(_));
        if self.has_said_goodbye || has_failed || self.is_handshaking() {
            return;
        }
        self.has_said_goodbye = true;
        self.resume();
        let mut room = [0; GOODBYE_BYTES_MAX];
        let written = match &mut self.connection {
            Connection::Server(connection) => {
                goodbye(connection.process_tls_records(&mut self.partial), &mut room)
            }
            Connection::Client(connection) => {
                goodbye(connection.process_tls_records(&mut self.partial), &mut room)
            }
        };
        self.queued.extend_from_slice(&room[..written]);
    }

    /// Lets the protocol say what it has to say before anything else does. rustls counts on seeing the
    /// beginning of a message that is not whole again, each time.
    fn resume(&mut self) {
        let mut partial = std::mem::take(&mut self.partial);
        let consumed = self.advance(&mut partial, None);
        partial.drain(..consumed);
        self.partial = partial;
    }
}

/// Where what comes out of rustls goes.
struct Sink<'a> {
    into: Option<&'a mut Buffer>,
    plain: &'a mut Buffer,
    queued: &'a mut Vec<u8>,
    is_telling: &'a mut bool,
    ending: &'a mut PeerEnd,
}

impl Sink<'_> {
    /// Takes what a step has come to; returns how many bytes of its input are of no use any more.
    fn take<D>(&mut self, status: UnbufferedStatus<'_, '_, D>) -> (usize, Step) {
        let UnbufferedStatus { mut discard, state } = status;
        let step = match state {
            Err(error) => Step::Failed(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut step = Step::Read;
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            self.deliver(record.payload);
                        }
                        Err(error) => step = Step::Failed(error),
                    }
                }
                step
            }
            Ok(ConnectionState::EncodeTlsData(mut encoder)) => {
                let start = self.queued.len();
                let mut written = Err(EncodeError::AlreadyEncoded);
                for _ in 0..2 {
                    written = encoder.encode(&mut self.queued[start..]);
                    let Err(EncodeError::InsufficientSize(size)) = &written else { break };
                    self.queued.resize(start + size.required_size, 0);
                }
                self.queued.truncate(start + written.unwrap_or(0));
                *self.is_telling = true;
                Step::Again
            }
            Ok(ConnectionState::TransmitTlsData(transmission)) => {
                // It is queued, and whether it waits is decided there.
                transmission.done();
                *self.is_telling = false;
                Step::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                *self.ending = PeerEnd::InOrder;
                Step::Again
            }
            // Early data is not accepted.
            Ok(_) => Step::NeedsMore,
        };
        (discard, step)
    }

    fn deliver(&mut self, plaintext: &[u8]) {
        let taken = self.into.as_mut().map_or(0, |into| into.append_read(plaintext));
        if taken < plaintext.len() {
            self.into = None;
            // What is received at a time is no more than a block.
            self.plain.append(&plaintext[taken..]);
        }
    }
}

/// How much of `count` bytes fits so much room once it is encrypted, with some to spare for what the
/// protocol itself may put before it.
fn fitting(count: usize, room: usize) -> usize {
    let room = room.saturating_sub(CONTROL_BYTES_MAX);
    let records = room / (RECORD_BYTES_MAX + RECORD_OVERHEAD_MAX);
    let rest = room % (RECORD_BYTES_MAX + RECORD_OVERHEAD_MAX);
    count.min(records * RECORD_BYTES_MAX + rest.saturating_sub(RECORD_OVERHEAD_MAX))
}

fn encrypt<D>(
    status: UnbufferedStatus<'_, '_, D>,
    bytes: &[u8],
    room: &mut [u8],
) -> Result<usize, Error> {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
        return Err(status.state.err().unwrap_or(Error::HandshakeNotComplete));
    };
    traffic.encrypt(bytes, room).map_err(|error| match error {
        EncryptError::EncryptExhausted => Error::EncryptError,
        EncryptError::InsufficientSize(InsufficientSizeError { .. }) => {
            Error::General("a record does not fit".to_owned())
        }
    })
}

fn goodbye<D>(status: UnbufferedStatus<'_, '_, D>, room: &mut [u8]) -> usize {
    match status.state {
        // Without it the peer takes what came for cut, which is the safe mistake.
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            traffic.queue_close_notify(room).unwrap_or(0)
        }
        _ => 0,
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partial, plain, queued, out, ending, .. } = self;
        f.debug_struct("TlsSession")
            .field("partial", &partial.len())
            .field("plain", &plain.len())
            .field("queued", &queued.len())
            .field("out", &out.len())
            .field("ending", ending)
            .finish_non_exhaustive()
    }
}

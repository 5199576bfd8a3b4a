//! One TLS session without its transport: ciphertext and plaintext in and out.
//!
//! rustls shakes hands, over its unbuffered interface, and speaks TLS 1.2; what follows a handshake of TLS
//! 1.3 is [`RecordLayer`]. Between two calls a session that rests holds its keys, the bytes of a record that has
//! not come whole, and what is to be sent with the next write. Everything else is in blocks that are leased
//! while they are needed.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use super::record::{RECORD_BYTES_MAX, alert_of};
use super::record_layer::{Content, RecordLayer};
use super::unbuffered::{PeerEnd, Rustls, Step, StepSink, bytes_of_record, deliver};
use crate::buffer::{BUFFER_BYTES, Buffer};

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
    protocol: Protocol,
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
    /// How much of `partial` rustls has taken in as whole records.
    taken_in: usize,
    /// Whether rustls only shakes hands, if that comes to TLS 1.3.
    leaves_rustls: bool,
}

enum Protocol {
    Rustls(Rustls),
    RecordLayer(Box<RecordLayer>),
    /// It could not be gone on with.
    Lost,
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

impl TlsSession {
    /// Of a client that has connected.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let leaves_rustls = config.enable_secret_extraction;
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Rustls::Server(Box::new(connection)), leaves_rustls))
    }

    /// With a server that is to show that it is `name`.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let leaves_rustls = config.enable_secret_extraction;
        let connection = UnbufferedClientConnection::new(config, name)?;
        let mut session = Self::new(Rustls::Client(Box::new(connection)), leaves_rustls);
        session.advance(&mut [], None);
        Ok(session)
    }

    fn new(rustls: Rustls, leaves_rustls: bool) -> Self {
        Self {
            protocol: Protocol::Rustls(rustls),
            partial: Vec::new(),
            plain: Buffer::new(),
            queued: Vec::new(),
            is_telling: false,
            out: Buffer::new(),
            owed: 0,
            ending: PeerEnd::Open,
            has_said_goodbye: false,
            taken_in: 0,
            leaves_rustls,
        }
    }

    /// What was agreed on; `None` once rustls has been left.
    pub fn agreed(&self) -> Option<&CommonState> {
        match &self.protocol {
            Protocol::Rustls(rustls) => Some(rustls.agreed()),
            Protocol::RecordLayer(_) | Protocol::Lost => None,
        }
    }

    /// Whether no plaintext can go either way yet.
    pub fn is_handshaking(&self) -> bool {
        self.agreed().is_some_and(CommonState::is_handshaking)
    }

    /// Goes on with [`RecordLayer`] after a handshake of TLS 1.3, if the configuration has
    /// `enable_secret_extraction`. Nothing more is said of what was agreed on.
    pub fn leave_rustls(&mut self) {
        if !self.waits_to_leave() {
            self.leaves_rustls &= self.is_handshaking();
            return;
        }
        self.leaves_rustls = false;
        // No message spans the end of a handshake: rustls has none of which it has seen a part.
        if self.taken_in == 0 && !self.has_to_say() {
            match std::mem::replace(&mut self.protocol, Protocol::Lost) {
                Protocol::Rustls(rustls) => match rustls.into_record_layer() {
                    Ok(layer) => self.protocol = Protocol::RecordLayer(Box::new(layer)),
                    Err(error) => return self.fail(error),
                },
                other => self.protocol = other,
            }
        }
        let incoming = self.begin_receiving();
        self.receive(incoming, None);
    }

    /// Whether rustls has done what it is to do. It must not see what follows: it would owe the answer to a key
    /// update, which it does not give away with its keys.
    fn waits_to_leave(&self) -> bool {
        self.leaves_rustls
            && matches!(self.protocol, Protocol::Rustls(_))
            && matches!(self.ending, PeerEnd::Open)
            && self.is_of_tls13()
            && !self.is_handshaking()
    }

    fn is_of_tls13(&self) -> bool {
        match &self.protocol {
            Protocol::Rustls(rustls) => {
                rustls.agreed().protocol_version() == Some(ProtocolVersion::TLSv1_3)
            }
            Protocol::RecordLayer(_) | Protocol::Lost => true,
        }
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

    /// What goes on without rustls, if it does.
    #[cfg(any(test, fuzzing))]
    pub(super) fn take_record_layer(&mut self) -> Option<RecordLayer> {
        match std::mem::replace(&mut self.protocol, Protocol::Lost) {
            Protocol::RecordLayer(layer) => Some(*layer),
            Protocol::Rustls(_) | Protocol::Lost => None,
        }
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
        let consumed = match &self.protocol {
            Protocol::RecordLayer(_) => self.open(incoming.filled_mut(), into),
            Protocol::Rustls(_) if self.leaves_rustls => self.shake(incoming.filled_mut()),
            Protocol::Rustls(_) | Protocol::Lost => self.advance(incoming.filled_mut(), into),
        };
        let rest = incoming.filled().get(consumed..).unwrap_or_default();
        self.partial = if matches!(self.ending, PeerEnd::Open) { rest.into() } else { Vec::new() };
        // What follows a handshake is a block at most, and is looked at next.
        if self.partial.len() > HANDSHAKE_BYTES_MAX && !self.waits_to_leave() {
            self.partial = Vec::new();
            self.fail(Error::General("a handshake message is too long".to_owned()));
        }
    }

    /// Goes on with a handshake, record by record, and no further.
    fn shake(&mut self, incoming: &mut [u8]) -> usize {
        let (mut consumed, mut whole) = (0, self.taken_in);
        while matches!(self.ending, PeerEnd::Open) && !self.waits_to_leave() {
            let next = whole + bytes_of_record(incoming.get(whole..).unwrap_or_default());
            let end = next.min(incoming.len());
            consumed += self.advance(&mut incoming[consumed..end], None);
            if next > incoming.len() || end == whole {
                break;
            }
            whole = next;
        }
        self.taken_in = whole.saturating_sub(consumed);
        consumed
    }

    /// Opens the records of `incoming` that have come whole; returns how many bytes they were.
    fn open(&mut self, incoming: &mut [u8], mut into: Option<&mut Buffer>) -> usize {
        let Self { protocol: Protocol::RecordLayer(layer), plain, .. } = self else { return 0 };
        let held_block = into.as_ref().is_some_and(|into| into.holds_block());
        let mut consumed = 0;
        let failed = loop {
            // What has no room waits, and what comes after it must wait behind it.
            let room = into.as_deref_mut().filter(|_| plain.is_empty());
            let opened = match layer.open(&mut incoming[consumed..], room) {
                Ok(Some(opened)) => opened,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            consumed += opened.bytes;
            match opened.content {
                Content::Placed | Content::Control => {}
                Content::Plain(bytes) => deliver(bytes, into.as_deref_mut(), plain),
                Content::End => {
                    self.ending = PeerEnd::InOrder;
                    break None;
                }
            }
        };
        if let Some(into) = into.filter(|_| !held_block) {
            into.release();
        }
        if let Some(error) = failed {
            self.tell(&error);
            self.fail(error);
        }
        consumed
    }

    /// Tells the peer what is wrong with it, unless it knows, or has been told that nothing follows.
    fn tell(&mut self, error: &Error) {
        if let (false, Some(alert)) = (self.has_said_goodbye, alert_of(error)) {
            self.queue_alert(alert);
        }
    }

    fn queue_alert(&mut self, description: AlertDescription) {
        let mut room = [0; GOODBYE_BYTES_MAX];
        if let Protocol::RecordLayer(layer) = &mut self.protocol {
            // Without it the peer takes what came for cut, which is the safe mistake.
            let count = layer.seal_alert(description, &mut room).unwrap_or(0);
            self.queued.extend_from_slice(&room[..count]);
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
                    while self.agreed().is_some_and(CommonState::wants_write)
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
        self.is_telling || self.agreed().is_some_and(CommonState::wants_write)
    }

    fn fail(&mut self, error: Error) {
        self.ending = PeerEnd::Failed(error);
    }

    fn step(&mut self, incoming: &mut [u8], into: Option<&mut Buffer>) -> (usize, Step) {
        let Self { protocol, plain, queued, is_telling, ending, .. } = self;
        let Protocol::Rustls(rustls) = protocol else { return (0, Step::NeedsMore) };
        // What has no room waits, and what comes after it must wait behind it.
        let into = into.filter(|_| plain.is_empty());
        rustls.step(incoming, &mut StepSink { into, plain, queued, is_telling, ending })
    }

    /// Whether something must be sent now: what only follows a handshake of TLS 1.3, tickets and answers
    /// to key updates, can wait for the next write, and so can the last message of a client's handshake.
    /// In TLS 1.2 the peer waits for it.
    pub fn must_send(&self) -> bool {
        let can_wait = self.is_of_tls13()
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
    /// Nothing follows an alert that ends our direction (RFC 8446 §6).
    pub fn seal(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.owed > 0 || bytes.is_empty() {
            return Ok(());
        }
        if let PeerEnd::Failed(error) = &self.ending {
            return Err(error.clone());
        } else if self.has_said_goodbye {
            return Err(Error::EncryptError);
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
        let status = match &mut self.protocol {
            Protocol::RecordLayer(layer) => layer.seal(&bytes[..taken], room),
            Protocol::Rustls(rustls) => rustls.encrypt(&mut self.partial, &bytes[..taken], room),
            Protocol::Lost => Err(Error::EncryptError),
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
        match &mut self.protocol {
            Protocol::Rustls(rustls) => {
                let mut room = [0; GOODBYE_BYTES_MAX];
                let count = rustls.say_goodbye(&mut self.partial, &mut room);
                self.queued.extend_from_slice(&room[..count]);
            }
            Protocol::RecordLayer(_) => self.queue_alert(AlertDescription::CloseNotify),
            Protocol::Lost => {}
        }
    }

    /// Lets the protocol say what it has to say before anything else does. rustls counts on seeing the
    /// beginning of a message that is not whole again, each time.
    fn resume(&mut self) {
        if !matches!(self.protocol, Protocol::Rustls(_)) {
            return;
        }
        let mut partial = std::mem::take(&mut self.partial);
        let consumed = self.advance(&mut partial, None);
        partial.drain(..consumed);
        self.partial = partial;
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

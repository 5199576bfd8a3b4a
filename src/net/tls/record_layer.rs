//! What follows a handshake of TLS 1.3: records, alerts, key updates and tickets (RFC 8446 §4.6, §5, §6).
//!
//! rustls shakes hands; then it gives up its keys, and only makes their successors and keeps tickets. What
//! is sealed here goes from the caller's bytes into a block, and what is opened from one block into
//! another, without an allocation or a copy for each record. TLS 1.2 stays with rustls.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets,
    HandshakeType, InvalidMessage, PeerMisbehaved, SupportedCipherSuite,
};

use super::record::{RECORD_BYTES_MAX, Record, RecordKey};
use crate::buffer::Buffer;

/// The longest message after a handshake, in bytes: there are only tickets and key updates.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// How many key updates may come without a byte of plaintext between them, as in `BoringSSL` and rustls.
const KEY_UPDATES_MAX: u8 = 32;

/// How many tickets may come without a byte of plaintext between them: servers send two, or a few more.
const TICKETS_MAX: u8 = 32;

/// How many empty records may come in a row, as in `BoringSSL` and rustls.
const EMPTY_RECORDS_MAX: u8 = 32;

/// The levels of alerts, of which only the second ever meant anything (§6).
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// How many alerts may come that mean nothing, as in `BoringSSL` and rustls.
const WARNINGS_MAX: u8 = 4;

/// The keys of both directions, and what is needed to go on with them.
pub struct RecordLayer {
    kernel: Kernel,
    sealing: RecordKey,
    opening: RecordKey,
    /// How many records a key may seal (§5.5).
    sealed_max: u64,
    /// Whether the peer has asked for another key of ours.
    owes_update: bool,
    /// What has come of a message that is not whole.
    message: Vec<u8>,
    key_updates: u8,
    tickets: u8,
    empty_records: u8,
    warnings: u8,
}

/// What is left of rustls.
enum Kernel {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

/// A record that was opened.
#[derive(Debug)]
pub struct Opened<'a> {
    /// How many bytes it was.
    pub bytes: usize,
    /// What was in it.
    pub content: Content<'a>,
}

/// What there is in a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Plaintext, which has been put into the buffer that was given.
    Placed,
    /// Plaintext.
    Plain(&'a [u8]),
    /// Something for the protocol, which is done.
    Control,
    /// The end of the peer's direction: `close_notify`.
    End,
}

impl RecordLayer {
    /// Takes over from a connection of TLS 1.3 to a client, whose handshake is done and all of whose records
    /// have been taken.
    pub fn server(connection: UnbufferedServerConnection) -> Result<Self, Error> {
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Self::new(Kernel::Server(kernel), &secrets, suite)
    }

    /// The same, to a server.
    pub fn client(connection: UnbufferedClientConnection) -> Result<Self, Error> {
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Self::new(Kernel::Client(kernel), &secrets, suite)
    }

    fn new(
        kernel: Kernel,
        secrets: &ExtractedSecrets,
        suite: SupportedCipherSuite,
    ) -> Result<Self, Error> {
        let SupportedCipherSuite::Tls13(suite) = suite else {
            return Err(Error::General("not TLS 1.3".to_owned()));
        };
        let key = |(sequence, secrets): &(u64, ConnectionTrafficSecrets)| {
            RecordKey::new((*sequence, secrets))
        };
        Ok(Self {
            kernel,
            sealing: key(&secrets.tx)?,
            opening: key(&secrets.rx)?,
            sealed_max: suite.common.confidentiality_limit,
            owes_update: false,
            message: Vec::new(),
            key_updates: 0,
            tickets: 0,
            empty_records: 0,
            warnings: 0,
        })
    }

    /// Has a key seal no more than so many records, at least two, of which the last one replaces it; returns
    /// how many it might seal before.
    #[cfg(any(test, fuzzing))]
    pub(super) fn limit(&mut self, sealed_max: u64) -> u64 {
        std::mem::replace(&mut self.sealed_max, sealed_max)
    }

    /// Makes a record of any content in `wire`, with so much padding.
    #[cfg(any(test, fuzzing))]
    pub(super) fn forge(&mut self, kind: u8, content: &[u8], padding: usize, wire: &mut Vec<u8>) {
        let inner = [content, &[kind], &vec![0; padding][..]].concat();
        let (last, plain) = inner.split_last().expect("a type at least");
        let mut room = vec![0; plain.len() + super::record::RECORD_OVERHEAD_BYTES];
        let made = self.sealing.seal(ContentType::from(*last), plain, &mut room);
        wire.extend_from_slice(&room[..made.expect("a record")]);
    }

    /// Changes the key for what is sealed, having told the peer so or not.
    #[cfg(any(test, fuzzing))]
    pub(super) fn skip_key(&mut self) {
        let (sequence, secrets) = self.kernel.next_sealing().expect("TLS 1.3");
        self.sealing = RecordKey::new((sequence, &secrets)).expect("a key");
    }

    /// Opens the first record of `incoming`, if it is all there; plaintext goes into `into` if it has room
    /// for all of it. After an error there is nothing more to be opened.
    pub fn open<'a>(
        &mut self,
        incoming: &'a mut [u8],
        into: Option<&mut Buffer>,
    ) -> Result<Option<Opened<'a>>, Error> {
        let Some(record) = Record::first(incoming)? else { return Ok(None) };
        let bytes = record.bytes();
        let inner = record.inner_bytes();
        if let Some(buffer) = into
            && has_room(buffer, inner)
        {
            let room = &mut buffer.rest_mut()[..inner];
            let (kind, count) = self.opening.open_into(record, room)?;
            if kind == ContentType::ApplicationData {
                self.count_plain(count)?;
                buffer.fill(count);
                return Ok(Some(Opened { bytes, content: Content::Placed }));
            }
            let content = self.control(kind, &buffer.rest_mut()[..count])?;
            return Ok(Some(Opened { bytes, content }));
        }
        let (kind, plain) = self.opening.open(record)?;
        if kind == ContentType::ApplicationData {
            self.count_plain(plain.len())?;
            return Ok(Some(Opened { bytes, content: Content::Plain(plain) }));
        }
        let content = self.control(kind, plain)?;
        Ok(Some(Opened { bytes, content }))
    }

    /// Notes that a record of plaintext has come.
    fn count_plain(&mut self, count: usize) -> Result<(), Error> {
        if !self.message.is_empty() {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        if count > 0 {
            (self.key_updates, self.tickets, self.empty_records) = (0, 0, 0);
            return Ok(());
        }
        self.empty_records += 1;
        if self.empty_records > EMPTY_RECORDS_MAX {
            return Err(PeerMisbehaved::TooManyEmptyFragments.into());
        }
        Ok(())
    }

    fn control(&mut self, kind: ContentType, content: &[u8]) -> Result<Content<'static>, Error> {
        match kind {
            ContentType::Handshake if content.is_empty() => {
                Err(InvalidMessage::InvalidEmptyPayload.into())
            }
            ContentType::Handshake => {
                self.take_messages(content)?;
                Ok(Content::Control)
            }
            ContentType::Alert => {
                // What it gives up for counts, wherever that comes.
                let taken = self.take_alert(content)?;
                if !self.message.is_empty() {
                    return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
                }
                Ok(taken)
            }
            _ if !self.message.is_empty() => {
                Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into())
            }
            ContentType::ChangeCipherSpec => {
                Err(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into())
            }
            got_type => {
                let expect_types = vec![ContentType::ApplicationData, ContentType::Handshake];
                Err(Error::InappropriateMessage { expect_types, got_type })
            }
        }
    }

    /// An alert is a record (§5.1), and all but two end the connection (§6).
    fn take_alert(&mut self, content: &[u8]) -> Result<Content<'static>, Error> {
        let [level, description] = match content {
            [level, description] => [*level, *description],
            [] | [_] => return Err(InvalidMessage::MessageTooShort.into()),
            _ => return Err(InvalidMessage::TrailingData("AlertMessagePayload").into()),
        };
        match (level, AlertDescription::from(description)) {
            (level, _) if !matches!(level, WARNING | FATAL) => {
                Err(InvalidMessage::UnexpectedMessage("AlertLevel").into())
            }
            (_, AlertDescription::CloseNotify) => Ok(Content::End),
            (WARNING, AlertDescription::UserCanceled) => {
                self.warnings += 1;
                if self.warnings > WARNINGS_MAX {
                    return Err(PeerMisbehaved::TooManyWarningAlertsReceived.into());
                }
                Ok(Content::Control)
            }
            (_, description) => Err(Error::AlertReceived(description)),
        }
    }

    /// Takes what has come of messages, which may be parts of a record, or more than one (§5.1).
    fn take_messages(&mut self, content: &[u8]) -> Result<(), Error> {
        let mut all = std::mem::take(&mut self.message);
        all.extend_from_slice(content);
        let mut consumed = 0;
        while let Some((head, after)) = all[consumed..].split_first_chunk::<4>() {
            let kind = HandshakeType::from(head[0]);
            self.kernel.expects(kind)?;
            let most = if kind == HandshakeType::KeyUpdate { 1 } else { MESSAGE_BYTES_MAX };
            let count = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            if count > most {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let Some((body, following)) = after.split_at_checked(count) else { break };
            if kind == HandshakeType::KeyUpdate {
                self.take_key_update(body, following)?;
            } else {
                self.take_ticket(body)?;
            }
            consumed += head.len() + count;
        }
        all.drain(..consumed);
        // What has come of a message is kept as it is: its pieces may be as small as a byte.
        if !all.is_empty() {
            self.message = all;
        }
        Ok(())
    }

    /// Keeps a ticket, unless the server does nothing but send more of them.
    fn take_ticket(&mut self, body: &[u8]) -> Result<(), Error> {
        self.tickets += 1;
        if self.tickets > TICKETS_MAX {
            let expect_types = vec![HandshakeType::KeyUpdate];
            let got_type = HandshakeType::NewSessionTicket;
            return Err(Error::InappropriateHandshakeMessage { expect_types, got_type });
        }
        self.kernel.take_ticket(body)
    }

    /// The peer's next record has another key; ours, too, if it asks for that (§4.6.3).
    fn take_key_update(&mut self, body: &[u8], following: &[u8]) -> Result<(), Error> {
        // No message spans a change of keys (§5.1).
        if !following.is_empty() {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        self.key_updates += 1;
        if self.key_updates > KEY_UPDATES_MAX {
            return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
        }
        match body {
            [0] => {}
            // However often it asks before something is written, one answer will do.
            [1] => self.owes_update = true,
            [] => return Err(InvalidMessage::MessageTooShort.into()),
            _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
        }
        let (sequence, secrets) = self.kernel.next_opening()?;
        self.opening = RecordKey::new((sequence, &secrets))?;
        Ok(())
    }

    /// Makes records of `plain` in `room`, and says how many bytes these have.
    pub fn seal(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, Error> {
        let mut used = 0;
        for piece in plain.chunks(RECORD_BYTES_MAX) {
            used += self.seal_record(ContentType::ApplicationData, piece, &mut room[used..])?;
        }
        Ok(used)
    }

    /// Makes a record of an alert in `room`, as [`RecordLayer::seal`].
    pub fn seal_alert(
        &mut self,
        description: AlertDescription,
        room: &mut [u8],
    ) -> Result<usize, Error> {
        let is_error = description != AlertDescription::CloseNotify;
        let level = if is_error { FATAL } else { WARNING };
        self.seal_record(ContentType::Alert, &[level, u8::from(description)], room)
    }

    /// A change of keys goes first if the peer has asked for one, or this key has sealed all that it may but the
    /// record that says so.
    fn seal_record(
        &mut self,
        kind: ContentType,
        plain: &[u8],
        room: &mut [u8],
    ) -> Result<usize, Error> {
        let mut used = 0;
        if self.owes_update || self.sealing.sequence().saturating_add(1) >= self.sealed_max {
            used = self.update_key(room)?;
        }
        Ok(used + self.sealing.seal(kind, plain, &mut room[used..])?)
    }

    /// Says that our next record has another key, and asks for none of the peer's.
    fn update_key(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        let message = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, 0];
        let used = self.sealing.seal(ContentType::Handshake, &message, room)?;
        let (sequence, secrets) = self.kernel.next_sealing()?;
        self.sealing = RecordKey::new((sequence, &secrets))?;
        self.owes_update = false;
        Ok(used)
    }
}

/// Whether so many bytes can be put after what the buffer holds, of which all but the last would be read: a
/// record has at least its type besides.
fn has_room(buffer: &mut Buffer, inner: usize) -> bool {
    buffer.spare_mut().len() + 1 >= inner && buffer.rest_mut().len() >= inner
}

impl Kernel {
    /// Refuses the messages that nobody may send after a handshake, or not to us: nothing that was not offered,
    /// such as a request for a certificate (§4.6.2).
    fn expects(&self, kind: HandshakeType) -> Result<(), Error> {
        let expected: &[HandshakeType] = match self {
            Self::Server(_) => &[HandshakeType::KeyUpdate],
            Self::Client(_) => &[HandshakeType::KeyUpdate, HandshakeType::NewSessionTicket],
        };
        if expected.contains(&kind) {
            return Ok(());
        }
        let expect_types = expected.to_vec();
        Err(Error::InappropriateHandshakeMessage { expect_types, got_type: kind })
    }

    fn take_ticket(&mut self, body: &[u8]) -> Result<(), Error> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Client(kernel) => kernel.handle_new_session_ticket(body),
        }
    }

    fn next_opening(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Server(kernel) => kernel.update_rx_secret(),
            Self::Client(kernel) => kernel.update_rx_secret(),
        }
    }

    fn next_sealing(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Server(kernel) => kernel.update_tx_secret(),
            Self::Client(kernel) => kernel.update_tx_secret(),
        }
    }
}

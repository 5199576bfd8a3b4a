//! What rustls says step by step, over its unbuffered interface.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{CommonState, Error};

use super::record_layer::RecordLayer;
use crate::buffer::Buffer;

/// A connection as rustls has it.
pub(super) enum Rustls {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// How far the peer's direction has come.
#[derive(Clone, Debug)]
pub(super) enum PeerEnd {
    Open,
    /// With `close_notify`: nothing was cut off.
    InOrder,
    /// By the end of the connection alone: something may have been.
    Truncated,
    Failed(Error),
}

/// How many bytes the first record of `bytes` is, as far as its header says; what has come of that if it has
/// not come whole, and one byte more.
pub(super) fn bytes_of_record(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, high, low, ..] => 5 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => bytes.len() + 1,
    }
}

/// What a step has come to.
pub(super) enum Step {
    /// Plaintext.
    Read,
    Again,
    NeedsMore,
    Failed(Error),
}

/// Where what comes out of rustls goes.
pub(super) struct StepSink<'a> {
    pub(super) into: Option<&'a mut Buffer>,
    /// What has no room there.
    pub(super) plain: &'a mut Buffer,
    pub(super) queued: &'a mut Vec<u8>,
    pub(super) is_telling: &'a mut bool,
    pub(super) ending: &'a mut PeerEnd,
}

impl Rustls {
    /// What was agreed on.
    pub(super) fn agreed(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection) => connection,
        }
    }

    /// Does a step with `incoming`; returns how many bytes of it are of no use any more.
    pub(super) fn step(&mut self, incoming: &mut [u8], sink: &mut StepSink<'_>) -> (usize, Step) {
        match self {
            Self::Server(connection) => sink.take(connection.process_tls_records(incoming)),
            Self::Client(connection) => sink.take(connection.process_tls_records(incoming)),
        }
    }

    /// Encrypts `bytes` into `room`; says how many bytes that has come to.
    pub(super) fn encrypt(
        &mut self,
        partial: &mut [u8],
        bytes: &[u8],
        room: &mut [u8],
    ) -> Result<usize, Error> {
        match self {
            Self::Server(connection) => {
                encrypt(connection.process_tls_records(partial), bytes, room)
            }
            Self::Client(connection) => {
                encrypt(connection.process_tls_records(partial), bytes, room)
            }
        }
    }

    /// Puts a `close_notify` into `room`; says how many bytes that has come to.
    pub(super) fn say_goodbye(&mut self, partial: &mut [u8], room: &mut [u8]) -> usize {
        match self {
            Self::Server(connection) => goodbye(connection.process_tls_records(partial), room),
            Self::Client(connection) => goodbye(connection.process_tls_records(partial), room),
        }
    }

    /// Gives up the keys.
    pub(super) fn into_record_layer(self) -> Result<RecordLayer, Error> {
        match self {
            Self::Server(connection) => RecordLayer::server(*connection),
            Self::Client(connection) => RecordLayer::client(*connection),
        }
    }
}

impl StepSink<'_> {
    /// Takes what a step has come to; returns how many bytes of its input are of no use any more.
    pub(super) fn take<D>(&mut self, status: UnbufferedStatus<'_, '_, D>) -> (usize, Step) {
        let UnbufferedStatus { mut discard, state } = status;
        let step = match state {
            Err(error) => Step::Failed(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut step = Step::Read;
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            deliver(record.payload, self.into.as_deref_mut(), self.plain);
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
}

/// Puts plaintext into `into` as far as there is room, and into `plain` what is left.
pub(super) fn deliver(plaintext: &[u8], into: Option<&mut Buffer>, plain: &mut Buffer) {
    let into = into.filter(|_| plain.is_empty());
    let taken = into.map_or(0, |into| into.append_read(plaintext));
    if taken < plaintext.len() {
        // What is received at a time is no more than a block.
        plain.append(&plaintext[taken..]);
    }
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

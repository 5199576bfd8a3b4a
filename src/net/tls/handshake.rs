//! Handshakes, with clients and with endpoints. The caller holds the deadline.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error, ServerConfig};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::failure::fault_of;
use super::info::TlsInfo;
use super::session::{Readable, TlsSession};
use super::stream::TlsStream;
use crate::buffer::Buffer;
use crate::net::socket::Socket;
use crate::tls_fault::TlsFault;

/// Whose turn it is on a worker to do what a handshake costs: tens of microseconds, milliseconds with
/// RSA. There is one step for each round of the worker's loop, so that a flood of handshakes does not
/// starve those who are being served; the others wait in line, in the order in which they came, as long
/// as their deadlines let them.
#[derive(Debug)]
pub struct HandshakeTurns(Semaphore);

impl Default for HandshakeTurns {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl HandshakeTurns {
    async fn take(&self, work: impl FnOnce()) {
        // It is never closed; if it were, nobody would have to wait.
        let _turn = self.0.acquire().await;
        work();
        // Only after the reactor has been asked for news of the others.
        yield_now().await;
    }
}

/// Why there is no session.
#[derive(Debug)]
pub enum HandshakeError {
    /// The connection broke.
    Broken(io::Error),
    /// TLS failed, and what rustls says of it, if it was rustls.
    Failed(TlsFault, Option<Error>),
}

/// A handshake with a client that failed.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: HandshakeError,
    /// The connection, if there still is one; the client has been told, as far as TLS has a word for it.
    pub stream: Option<TlsStream>,
}

/// Shakes hands with a client. `early` is what has come from it already.
pub async fn accept(
    socket: Socket,
    early: &Buffer,
    config: Arc<ServerConfig>,
    turns: &HandshakeTurns,
) -> Result<(TlsStream, TlsInfo), Refused> {
    let session = match TlsSession::server(config) {
        Ok(session) => session,
        Err(error) => return Err(Refused { error: error.into(), stream: None }),
    };
    let stream = TlsStream::new(socket, session);
    stream.keep(early);
    match shake(&stream, Some(turns)).await {
        Ok(()) => {
            let info = TlsInfo::of(stream.session().agreed(), None);
            Ok((stream, info))
        }
        Err(error) => Err(Refused { error, stream: Some(stream) }),
    }
}

/// Shakes hands with a server that is to show that it is `name`.
pub async fn connect(
    socket: Socket,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<(TlsStream, TlsInfo), HandshakeError> {
    let stream = TlsStream::new(socket, TlsSession::client(config, name)?);
    match shake(&stream, None).await {
        Ok(()) => {
            let info = TlsInfo::of(stream.session().agreed(), None);
            Ok((stream, info))
        }
        Err(error) => Err(error),
    }
}

async fn shake(stream: &TlsStream, turns: Option<&HandshakeTurns>) -> Result<(), HandshakeError> {
    let mut has_come = !stream.session().partial().is_empty();
    loop {
        poll_fn(|cx| stream.poll_send(cx)).await.map_err(HandshakeError::Broken)?;
        match stream.session().peek() {
            Readable::Failed(error) => return Err(error.into()),
            Readable::Truncated | Readable::End => {
                return Err(HandshakeError::Failed(TlsFault::Closed, None));
            }
            Readable::Bytes(_) | Readable::Nothing => {}
        }
        if !stream.session().is_handshaking() {
            return Ok(());
        }
        if !std::mem::take(&mut has_come) {
            poll_fn(|cx| stream.poll_gather(cx)).await.map_err(HandshakeError::Broken)?;
        }
        if is_http(&stream.session()) {
            return Err(HandshakeError::Failed(TlsFault::PlainHttp, None));
        }
        match turns {
            Some(turns) => turns.take(|| stream.proceed()).await,
            None => stream.proceed(),
        }
    }
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> Self {
        Self::Failed(fault_of(&error), Some(error))
    }
}

/// Whether what has come is a request in plain text: it begins with the letters of a method. A record of
/// TLS begins with a byte that is no letter (RFC 8446 §5.1).
fn is_http(session: &TlsSession) -> bool {
    let bytes = session.partial();
    let has_begun = session.agreed().protocol_version().is_some();
    !has_begun && bytes.len() >= 5 && bytes[..3].iter().all(u8::is_ascii_uppercase)
}

//! Handshakes, with clients and with endpoints. The caller holds the deadline.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, CommonState, Error, ServerConfig};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::client_certificate::ClientCertificate;
use super::failure::{fault_of, is_plain_http};
use super::info::TlsInfo;
use super::session::{Readable, TlsSession};
use super::stream::TlsStream;
use crate::buffer::Buffer;
use crate::net::socket::Socket;
use crate::tls_fault::TlsFault;
use crate::tls_hello::{HelloReader, Opening};

/// The bytes before the content of a record (RFC 8446 §5.1): less tells nothing.
const RECORD_HEADER_BYTES: usize = 5;

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
pub struct RefusedHandshake {
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
) -> Result<(TlsStream, TlsInfo), RefusedHandshake> {
    let session = match TlsSession::server(config) {
        Ok(session) => session,
        Err(error) => return Err(RefusedHandshake { error: error.into(), stream: None }),
    };
    let stream = TlsStream::new(socket, session);
    stream.keep(early);
    let shaken = async {
        let server_name = read_hello(&stream).await?;
        shake(&stream, Some(turns)).await?;
        Ok(server_name)
    };
    match shaken.await {
        Ok(server_name) => {
            let info = client_info(stream.session().agreed(), server_name);
            stream.leave_rustls();
            // The client had the last word, and gets none back before its request, which it may hold
            // until this is acknowledged: tickets leave with the first response.
            if !stream.session().is_readable() {
                stream.socket().acknowledge();
            }
            Ok((stream, info))
        }
        Err(error) => Err(RefusedHandshake { error, stream: Some(stream) }),
    }
}

/// Receives the first message, and returns the name in it. rustls gets it once it is whole: what drips
/// costs nothing more until then.
async fn read_hello(stream: &TlsStream) -> Result<Option<Box<str>>, HandshakeError> {
    let mut reader = HelloReader::default();
    loop {
        match reader.read(stream.session().partial()) {
            Ok(Some(Opening::Hello(hello))) => {
                return Ok(hello.server_name.map(|name| name.as_str().into()));
            }
            // Not before it would be a whole header of a record: a letter alone could be noise.
            Ok(Some(Opening::NotTls)) if is_all_there(stream) => {
                if is_plain_http(stream.session().partial()) {
                    return Err(HandshakeError::Failed(TlsFault::PlainHttp, None));
                }
                // rustls finds the words for the client, if there are any.
                return Ok(None);
            }
            Err(_) => return Ok(None),
            Ok(_) => {}
        }
        gather(stream).await?;
    }
}

fn client_info(agreed: Option<&CommonState>, server_name: Option<Box<str>>) -> TlsInfo {
    let shown = agreed.and_then(CommonState::peer_certificates).and_then(<[_]>::first);
    let client = shown.and_then(ClientCertificate::read);
    TlsInfo { server_name, client, ..TlsInfo::of(agreed) }
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
            let info = TlsInfo::of(stream.session().agreed());
            stream.leave_rustls();
            Ok((stream, info))
        }
        Err(error) => Err(error),
    }
}

async fn shake(stream: &TlsStream, turns: Option<&HandshakeTurns>) -> Result<(), HandshakeError> {
    let mut has_come = !stream.session().partial().is_empty();
    loop {
        let sent = poll_fn(|cx| stream.poll_send(cx)).await;
        // What the peer did wrong says more than that it is gone.
        match stream.session().peek() {
            Readable::Failed(error) => return Err(error.into()),
            Readable::Truncated | Readable::End => {
                return Err(HandshakeError::Failed(TlsFault::Closed, None));
            }
            Readable::Bytes(_) | Readable::Nothing => sent.map_err(HandshakeError::Broken)?,
        }
        if !stream.session().is_handshaking() {
            return Ok(());
        }
        if !std::mem::take(&mut has_come) {
            gather(stream).await?;
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

fn is_all_there(stream: &TlsStream) -> bool {
    stream.session().partial().len() >= RECORD_HEADER_BYTES
}

/// Receives more; the end of the connection is an error.
async fn gather(stream: &TlsStream) -> Result<(), HandshakeError> {
    poll_fn(|cx| stream.poll_gather(cx)).await.map_err(HandshakeError::Broken)?;
    match stream.session().peek() {
        Readable::Truncated => Err(HandshakeError::Failed(TlsFault::Closed, None)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{JoinSet, LocalSet};

    use super::*;

    /// Two steps in a row would keep the rest of the worker waiting for both.
    #[tokio::test]
    async fn between_two_steps_of_handshakes_everybody_else_has_a_turn() {
        let (turns, seen) = (Rc::new(HandshakeTurns::default()), Rc::new(RefCell::new(Vec::new())));
        let note = |what| {
            let seen = Rc::clone(&seen);
            move || seen.borrow_mut().push(what)
        };
        let (mut steps, local) = (JoinSet::new(), LocalSet::new());
        for _ in 0..20 {
            let (turns, step) = (Rc::clone(&turns), note("step"));
            steps.spawn_local_on(async move { turns.take(step).await }, &local);
        }
        let other = note("other");
        local.spawn_local(async move {
            loop {
                other();
                yield_now().await;
            }
        });
        local.run_until(async { while steps.join_next().await.is_some() {} }).await;
        let seen = seen.borrow();
        assert_eq!(seen.iter().filter(|what| **what == "step").count(), 20);
        assert!(!seen.windows(2).any(|pair| pair == ["step", "step"]), "{seen:?}");
    }
}

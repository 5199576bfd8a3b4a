//! TLS over a blocking TCP connection, for either side.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, Connection, HandshakeKind, ProtocolVersion};

use crate::support::wire::Wire;

pub struct TlsStream {
    pub session: Connection,
    /// The connection below; whatever is done here happens without TLS.
    pub tcp: TcpStream,
    /// What ended TLS with an error: an alert of the peer, or something it sent.
    pub error: Option<rustls::Error>,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    pub version: ProtocolVersion,
    pub cipher: CipherSuite,
    pub alpn: Option<String>,
    /// The name a client asked for; known to servers only.
    pub sni: Option<String>,
    /// Whether a session was resumed, so that no certificate was shown.
    pub resumed: bool,
    /// The peer's certificate and its chain.
    pub peer: Vec<CertificateDer<'static>>,
}

impl TlsStream {
    /// Shakes hands. An error is what rustls or the connection says.
    pub fn new(session: impl Into<Connection>, tcp: TcpStream) -> io::Result<Self> {
        let mut session = session.into();
        let mut socket = &tcp;
        session.complete_io(&mut socket)?;
        Ok(Self { session, tcp, error: None })
    }

    pub fn handshake(&self) -> Handshake {
        let session = &self.session;
        Handshake {
            version: session.protocol_version().expect("a version"),
            cipher: session.negotiated_cipher_suite().expect("a cipher").suite(),
            alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            sni: match session {
                Connection::Client(_) => None,
                Connection::Server(server) => server.server_name().map(str::to_owned),
            },
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            peer: session.peer_certificates().unwrap_or_default().to_vec(),
        }
    }

    /// Sends what TLS has to say.
    pub fn flush_records(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }

    /// Ends the sending direction of the connection below without a word of TLS: a truncation.
    pub fn truncate(&mut self) {
        self.tcp.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Reads more of what the peer sends.
    fn receive(&mut self) -> io::Result<()> {
        self.flush_records()?;
        self.session.read_tls(&mut self.tcp)?;
        if let Err(error) = self.session.process_new_packets() {
            self.error = Some(error.clone());
            // The alert that says so.
            let _ = self.flush_records();
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        self.flush_records()
    }
}

impl Read for TlsStream {
    /// Ends with 0 after the peer's `close_notify`, and with [`ErrorKind::UnexpectedEof`] without one.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.receive()?,
                read => return read,
            }
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.session.writer().write(bytes)?;
        self.flush_records()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_records()
    }
}

impl Wire for TlsStream {
    fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn close_notify(&mut self) {
        self.session.send_close_notify();
        let _ = self.flush_records();
    }
}

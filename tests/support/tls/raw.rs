//! A client that seals its records itself, with the keys of a handshake that rustls has done: for records
//! that rustls would not write.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

use super::client::TlsClient;
use crate::support::Client;
use crate::support::wire::Wire;

/// Types of records (RFC 8446 §5.1).
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;

const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
const EXPLICIT_BYTES: usize = 8;

/// A connection with TLS, record by record. What is written to it goes into records of application data;
/// tickets are skipped when it is read.
pub struct RawTls {
    /// The connection below.
    pub tcp: TcpStream,
    is_13: bool,
    tx: Keys,
    rx: Keys,
    held: Vec<u8>,
    /// Level and description of each alert that has come.
    pub alerts: Vec<[u8; 2]>,
}

struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    next: u64,
}

impl Keys {
    fn new((next, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("another cipher");
        };
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("a key");
        let iv = iv.as_ref().try_into().expect("12 bytes");
        Self { key: LessSafeKey::new(key), iv, next }
    }

    /// The number of the next record.
    fn number(&mut self) -> [u8; 8] {
        self.next += 1;
        (self.next - 1).to_be_bytes()
    }

    /// The nonce of a record of TLS 1.3 (RFC 8446 §5.3).
    fn nonce(&self, number: [u8; 8]) -> Nonce {
        let mut nonce = self.iv;
        for (byte, counted) in nonce[4..].iter_mut().zip(number) {
            *byte ^= counted;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// The same of TLS 1.2 (RFC 5288 §3).
    fn explicit_nonce(&self, explicit: &[u8]) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].copy_from_slice(explicit);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What of a record of TLS 1.2 is authenticated besides its content (RFC 5246 §6.2.3.3).
fn authenticated(number: [u8; 8], kind: u8, length: usize) -> Vec<u8> {
    [&number[..], &header(kind, length)].concat()
}

fn header(kind: u8, length: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = u16::try_from(length).expect("a length").to_be_bytes();
    [kind, 3, 3, high, low]
}

impl TlsClient {
    /// Goes on without rustls.
    pub fn raw(self) -> Client<RawTls> {
        Client::over(RawTls::new(self))
    }
}

impl RawTls {
    fn new(client: TlsClient) -> Self {
        let session = client.stream.session;
        let is_13 = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let secrets = session.dangerous_extract_secrets().expect("secrets");
        let (tx, rx) = (Keys::new(secrets.tx), Keys::new(secrets.rx));
        Self { tcp: client.stream.tcp, is_13, tx, rx, held: Vec::new(), alerts: Vec::new() }
    }

    /// A record of this type and content, sealed, to be sent next.
    pub fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let number = self.tx.number();
        let mut sealed = content.to_vec();
        if self.is_13 {
            sealed.push(kind);
            let header = header(DATA, sealed.len() + TAG_BYTES);
            let nonce = self.tx.nonce(number);
            self.tx.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
            return [&header[..], &sealed].concat();
        }
        let nonce = self.tx.explicit_nonce(&number);
        let aad = Aad::from(authenticated(number, kind, content.len()));
        self.tx.key.seal_in_place_append_tag(nonce, aad, &mut sealed).unwrap();
        let header = header(kind, EXPLICIT_BYTES + sealed.len());
        [&header[..], &number, &sealed].concat()
    }

    /// Sends such a record.
    pub fn send(&mut self, kind: u8, content: &[u8]) {
        let record = self.seal(kind, content);
        self.tcp.write_all(&record).expect("send");
    }

    /// Opens the next record of the server: its type and its content.
    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; HEADER_BYTES];
        self.tcp.read_exact(&mut header)?;
        let mut sealed = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        self.tcp.read_exact(&mut sealed)?;
        let number = self.rx.number();
        if self.is_13 {
            let nonce = self.rx.nonce(number);
            let opened = self.rx.key.open_in_place(nonce, Aad::from(header), &mut sealed);
            let (kind, content) = opened.expect("sealed").split_last().expect("a type");
            return Ok((*kind, content.to_vec()));
        }
        let nonce = self.rx.explicit_nonce(&sealed[..EXPLICIT_BYTES]);
        let length = sealed.len() - EXPLICIT_BYTES - TAG_BYTES;
        let aad = Aad::from(authenticated(number, header[0], length));
        let opened = self.rx.key.open_in_place(nonce, aad, &mut sealed[EXPLICIT_BYTES..]);
        Ok((header[0], opened.expect("sealed").to_vec()))
    }
}

impl Read for RawTls {
    /// Ends with 0 after a `close_notify`, and with [`ErrorKind::UnexpectedEof`] after a fatal alert.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            match self.receive()? {
                (ALERT, alert) => {
                    self.alerts.push(alert.try_into().expect("an alert"));
                    match self.alerts.last() {
                        Some([_, 0]) => return Ok(0),
                        Some([2, _]) => return Err(ErrorKind::UnexpectedEof.into()),
                        _ => {}
                    }
                }
                (DATA, content) => self.held = content,
                _ => {}
            }
        }
        let count = self.held.len().min(bytes.len());
        bytes[..count].copy_from_slice(&self.held[..count]);
        self.held.drain(..count);
        Ok(count)
    }
}

impl Write for RawTls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(1 << 14);
        let record = self.seal(DATA, &bytes[..count]);
        self.tcp.write_all(&record)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for RawTls {
    fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn close_notify(&mut self) {
        self.send(ALERT, &[1, 0]);
    }
}

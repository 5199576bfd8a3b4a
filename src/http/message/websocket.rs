//! The opening handshake of a WebSocket (RFC 6455 §4): the key of a client, and what proves that a server
//! has read it. HTTP/2 has neither (RFC 8441 §5).

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::field::{self, Name};
use super::head::{Fields, RequestHead};

/// What is random about a key, in bytes.
pub const NONCE_BYTES: usize = 16;

const KEY_BYTES: usize = 24;
const ACCEPT_BYTES: usize = 28;

/// What a server appends to a key before it hashes it (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What Sec-WebSocket-Key says: 16 bytes in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

/// What Sec-WebSocket-Accept says to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept([u8; ACCEPT_BYTES]);

impl Key {
    /// The key that stands for these bytes.
    pub fn of(nonce: [u8; NONCE_BYTES]) -> Self {
        let mut key = [0; KEY_BYTES];
        base64(&nonce, &mut key);
        Self(key)
    }

    /// That of a request, if it has one, and only one, that stands for 16 bytes.
    pub fn read(fields: &Fields<'_, '_>) -> Option<Self> {
        let key: [u8; KEY_BYTES] = only(fields, "sec-websocket-key")?.try_into().ok()?;
        let (digits, padding) = key.split_at(KEY_BYTES - 2);
        let is_key = padding == b"==" && digits.iter().all(|digit| BASE64.contains(digit));
        is_key.then_some(Self(key))
    }

    /// As it is written.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// What a server says that has read it.
    pub fn accept(&self) -> Accept {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[&self.0, GUID].concat());
        let mut accept = [0; ACCEPT_BYTES];
        base64(hash.as_ref(), &mut accept);
        Accept(accept)
    }
}

impl Accept {
    /// As it is written.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// Whether a response says it, once.
    pub fn is_in(&self, fields: &Fields<'_, '_>) -> bool {
        only(fields, "sec-websocket-accept") == Some(&self.0)
    }
}

/// Whether a request of HTTP/1.1 asks for a WebSocket.
pub fn is_asked_for(head: &RequestHead<'_, '_>) -> bool {
    head.method == "GET" && is_named(&head.fields)
}

/// Whether Upgrade names it, maybe among others.
pub fn is_named(fields: &Fields<'_, '_>) -> bool {
    let mut protocols = fields.values(Name::Upgrade).flat_map(field::list);
    protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// The value of the only field of this name.
fn only<'b>(fields: &Fields<'_, 'b>, name: &str) -> Option<&'b [u8]> {
    let is_other = |known: &Name| *known == Name::Other;
    let mut values = fields.iter().filter(|(known, written, _)| {
        is_other(known) && written.eq_ignore_ascii_case(name.as_bytes())
    });
    let (.., value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// Writes `bytes` in base64 to `out`, which has the room (RFC 4648 §4).
fn base64(bytes: &[u8], out: &mut [u8]) {
    for (three, four) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for (place, digit) in four.iter_mut().enumerate() {
            let index = bits >> (18 - 6 * place) & 63;
            *digit = if place > three.len() { b'=' } else { BASE64[index] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    fn with_head<T>(fields: &str, read: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut storage = Storage::new();
        read(&parse::request(bytes.as_bytes(), &LIMITS, &mut storage).unwrap())
    }

    /// The examples of RFC 6455 §1.3 and §4.1.
    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        let nonce = std::array::from_fn(|at| u8::try_from(at).unwrap() + 1);
        assert_eq!(Key::of(nonce).text(), b"AQIDBAUGBwgJCgsMDQ4PEA==");
        let key = Key(*b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(key.accept().text(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_there_once_and_stands_for_16_bytes() {
        let rows = [
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", true),
            ("", false),
            ("Sec-WebSocket-Key:\r\n", false),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", false),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n", false),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZS_ub25jZQ==\r\n", false),
            (
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                false,
            ),
        ];
        for (fields, is_key) in rows {
            assert_eq!(
                with_head(fields, |head| Key::read(&head.fields)).is_some(),
                is_key,
                "{fields}"
            );
        }
    }

    #[test]
    fn an_accept_is_there_once_and_belongs_to_the_key() {
        let accept = Key(*b"dGhlIHNhbXBsZSBub25jZQ==").accept();
        let field = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let rows = [
            (field.to_owned(), true),
            (String::new(), false),
            (field.repeat(2), false),
            (field.replace("s3p", "S3p"), false),
        ];
        for (fields, is_in) in rows {
            assert_eq!(with_head(&fields, |head| accept.is_in(&head.fields)), is_in, "{fields}");
        }
    }
}

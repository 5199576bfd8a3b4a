//! The first message of a TLS connection, read without terminating TLS: which server its client asks for.
//!
//! A ClientHello (RFC 8446 §4.1.2) comes in one handshake message, in one or more records, in any number
//! of segments. Only the outer one of Encrypted Client Hello can be read, and its name is that of the
//! server in front, which is the one to connect to (RFC 9849).

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod message;
mod name;

pub use message::Hello;
pub use name::{NAME_BYTES_MAX, NoName, ServerName};

use crate::reject::Reject;

/// The most bytes that a ClientHello may take, the headers of its records included: as many as nginx and
/// HAProxy read by default. With post-quantum key shares it takes some 2 KiB.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

/// The most bytes a record may contain (RFC 8446 §5.1).
const FRAGMENT_BYTES_MAX: usize = 1 << 14;

/// The number of bytes before a record's content: type, version, length (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;

/// The number of bytes before a message's content: type, length (RFC 8446 §4).
const MESSAGE_HEADER_BYTES: usize = 4;

/// The record type of handshake messages, and the first byte of every version since SSL 3.0.
const HANDSHAKE: [u8; 2] = [22, 3];

const CLIENT_HELLO: u8 = 1;

/// Whether these could be the first bytes of a TLS connection, and are no HTTP in plain text.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&HANDSHAKE)
}

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// With a ClientHello.
    Hello(Hello),
    /// Not with a handshake of SSL 3.0 or later.
    NotTls,
}

/// Reads the beginning of one connection as it comes. The whole of it costs time in proportion to its
/// length, however many records and segments it comes in.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Where the next record begins.
    next: usize,
    /// How many bytes of the message the records before that have.
    held: usize,
}

impl HelloReader {
    /// Reads all that has come so far: `bytes` begin as in the call before.
    ///
    /// Returns `None` while more bytes are needed. What cannot become a ClientHello is rejected as soon as
    /// its record or message header shows that, everything else once the message is complete. It makes
    /// no difference where the bytes are split, and nothing after the message is inspected.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Opening>, Reject> {
        loop {
            let rest = &bytes[self.next..];
            if !rest.iter().zip(&HANDSHAKE).all(|(byte, expected)| byte == expected) {
                return if self.next == 0 {
                    Ok(Some(Opening::NotTls))
                } else {
                    Err(Reject::ClientHello)
                };
            }
            let Some((header, content)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
                return Ok(None);
            };
            let length = fragment_bytes(*header);
            // An empty one is forbidden (RFC 8446 §5.1), and would let a client send records without end.
            if length == 0 || length > FRAGMENT_BYTES_MAX {
                return Err(Reject::ClientHello);
            }
            let available = length.min(content.len());
            let come = &bytes[..self.next + RECORD_HEADER_BYTES + available];
            if let Some(whole) = message_bytes(come)? {
                let missing = whole - self.held;
                if self.next + RECORD_HEADER_BYTES + missing > HELLO_BYTES_MAX {
                    return Err(Reject::ClientHelloTooLarge);
                }
                if available >= missing {
                    return self.message(come, missing).map(Some);
                }
            }
            if available < length {
                return Ok(None);
            }
            self.held += length;
            self.next += RECORD_HEADER_BYTES + length;
        }
    }

    /// Reads the message, of which the last record has this many bytes.
    fn message(&self, come: &[u8], last: usize) -> Result<Opening, Reject> {
        if self.next == 0 {
            let start = RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES;
            return message::read(&come[start..RECORD_HEADER_BYTES + last]).map(Opening::Hello);
        }
        let mut whole = Vec::with_capacity(self.held + last);
        let come = &come[..self.next + RECORD_HEADER_BYTES + last];
        fragments(come).for_each(|fragment| whole.extend_from_slice(fragment));
        message::read(&whole[MESSAGE_HEADER_BYTES..]).map(Opening::Hello)
    }
}

fn fragment_bytes([_, _, _, high, low]: [u8; RECORD_HEADER_BYTES]) -> usize {
    usize::from(u16::from_be_bytes([high, low]))
}

/// The contents of the records, the last of which may be incomplete.
fn fragments(mut records: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (header, content) = records.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        let (fragment, rest) = content.split_at(fragment_bytes(*header).min(content.len()));
        records = rest;
        #[cfg(test)]
        STEPS.set(STEPS.get() + 1);
        Some(fragment)
    })
}

/// The length of the message with its header, once that has come.
fn message_bytes(records: &[u8]) -> Result<Option<usize>, Reject> {
    let mut header = fragments(records).flatten().copied();
    match header.next() {
        None => return Ok(None),
        Some(CLIENT_HELLO) => {}
        Some(_) => return Err(Reject::ClientHello),
    }
    let [Some(high), Some(middle), Some(low)] = [(); 3].map(|()| header.next()) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, high, middle, low]);
    Ok(Some(MESSAGE_HEADER_BYTES + length as usize))
}

#[cfg(test)]
thread_local! {
    /// How many records have been walked through.
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::{EchGreaseConfig, EchMode};
    use rustls::crypto::aws_lc_rs::{default_provider, hpke, kx_group};
    use rustls::crypto::hpke::Hpke;
    use rustls::pki_types::ServerName as AskedName;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    type Read = Result<Option<Opening>, Reject>;

    const MALFORMED: Read = Err(Reject::ClientHello);
    const TOO_LARGE: Read = Err(Reject::ClientHelloTooLarge);
    const BAD_NAME: Read = Err(Reject::ServerName);

    // Building hellos.

    /// A vector: its length in `N` bytes, then its content.
    fn vector<const N: usize>(content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - N..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector::<2>(content)].concat()
    }

    /// The extension `server_name` with these names and their types.
    fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
        let entry = |(kind, name): &(u8, &[u8])| [&[*kind], &vector::<2>(name)[..]].concat();
        extension(0, &vector::<2>(&names.iter().flat_map(entry).collect::<Vec<_>>()))
    }

    fn body(after_random: &[&[u8]]) -> Vec<u8> {
        [&[3, 3][..], &[7; 32], &after_random.concat()].concat()
    }

    /// A body with these extensions.
    fn with(extensions: &[u8]) -> Vec<u8> {
        body(&[&[0], b"\0\x02\x13\x01", &[1, 0], &vector::<2>(extensions)])
    }

    fn message(body: &[u8]) -> Vec<u8> {
        [&[CLIENT_HELLO], &vector::<3>(body)[..]].concat()
    }

    fn record(fragment: &[u8]) -> Vec<u8> {
        [&[22, 3, 1], &vector::<2>(fragment)[..]].concat()
    }

    /// The message in records of so many bytes each.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(record).collect()
    }

    // Reading them.

    fn read(bytes: &[u8]) -> Read {
        HelloReader::default().read(bytes)
    }

    fn hello(name: Option<&str>) -> Opening {
        let server_name = name.map(|name| ServerName::read(name.as_bytes()).unwrap());
        Opening::Hello(Hello { server_name })
    }

    /// Asserts that this is what is read once the last byte has come and not before, whatever follows.
    fn reads_as(bytes: &[u8], expected: &Read) {
        let mut reader = HelloReader::default();
        for cut in 0..bytes.len() {
            assert_eq!(reader.read(&bytes[..cut]), Ok(None), "{}", bytes[..cut].escape_ascii());
        }
        assert_eq!(reader.read(bytes), *expected, "{}", bytes.escape_ascii());
        for after in [&[0; 3][..], b"\x14\x03\x03\0\x01\x01", &record(&[1; 20])] {
            assert_eq!(read(&[bytes, after].concat()), *expected, "{}", bytes.escape_ascii());
        }
    }

    /// Asserts what a hello with this body is read as, in one record and in many.
    fn body_reads_as(body: &[u8], expected: &Read) {
        for size in [1 << 14, 50, 3, 1] {
            reads_as(&records(&message(body), size), expected);
        }
    }

    #[test]
    fn the_name_of_a_host_is_read() {
        for (extensions, name) in [
            (vec![], None),
            (names(&[(0, b"A.Example.com")]), Some("a.example.com")),
            ([extension(16, b"\0\x03\x02h2"), names(&[(0, b"b")])].concat(), Some("b")),
            ([names(&[(0, b"b")]), extension(0xfe0d, &[9; 300])].concat(), Some("b")),
            (names(&[(7, b"b.example"), (0, b"a.example"), (7, b"\0")]), Some("a.example")),
            (names(&[(7, b"b.example")]), None),
            (names(&[(0, b"192.0.2.7")]), None),
            (names(&[(0, b"2001:db8::1")]), None),
        ] {
            body_reads_as(&with(&extensions), &Ok(Some(hello(name))));
        }
    }

    #[test]
    fn lengths_may_be_the_least_and_the_most_allowed() {
        let name = &vector::<2>(&names(&[(0, b"a")]))[..];
        for (before, extensions, server_name) in [
            (&[&[32][..], &[1; 32], b"\0\x02\x13\x01\x01\0"].concat(), name, Some("a")),
            (&[&[0][..], b"\0\x04\x13\x01\x13\x02\x01\0"].concat(), name, Some("a")),
            (&[&b"\0\0\x02\x13\x01"[..], &vector::<1>(&[0; 255])].concat(), name, Some("a")),
            // Older versions have no extensions, or none in them.
            (&b"\0\0\x02\x13\x01\x01\0".to_vec(), &[], None),
            (&b"\0\0\x02\x13\x01\x01\0".to_vec(), &[0, 0], None),
        ] {
            body_reads_as(&body(&[before, extensions]), &Ok(Some(hello(server_name))));
        }
    }

    #[test]
    fn a_length_that_is_not_allowed_or_not_true_is_refused() {
        let name = vector::<2>(&names(&[(0, b"a")]));
        let (usual, after) = (&b"\0\0\x02\x13\x01\x01\0"[..], &b"\0\x02\x13\x01\x01\0"[..]);
        let bodies: [&[&[u8]]; 13] = [
            &[],
            &[&[33], &[1; 33], after, &name],
            &[&[32], &[1; 31]],
            &[b"\0\0\0\x01\0", &name],
            &[b"\0\0\x03\x13\x01\x13\x01\0", &name],
            &[b"\0\xff\xff\x13\x01"],
            &[b"\0\0\x02\x13\x01"],
            &[b"\0\0\x02\x13\x01\0", &name],
            &[b"\0\0\x02\x13\x01\x02\0"],
            &[usual, &[0]],
            &[usual, &[0, 1]],
            &[usual, &name, &[0]],
            &[usual, &name[..name.len() - 1]],
        ];
        for after_random in bodies {
            body_reads_as(&body(after_random), &MALFORMED);
        }
        for cut in 0..34 {
            body_reads_as(&body(&[])[..cut], &MALFORMED);
        }
        for extensions in [&[0][..], &[0; 3], b"\0\x10\0\x01", b"\0\x10\0\x02a", b"\0\x10\0\0\0"] {
            body_reads_as(&with(extensions), &MALFORMED);
        }
    }

    #[test]
    fn a_list_of_names_that_breaks_its_rules_is_refused() {
        let name = names(&[(0, b"a.example")]);
        for extensions in [
            [&name[..], &name].concat(),
            [&names(&[(0, b"192.0.2.7")])[..], &name].concat(),
            names(&[(0, b"a.example"), (0, b"a.example")]),
            names(&[(0, b"a.example"), (7, b""), (0, b"b.example")]),
            names(&[(0, b"")]),
            names(&[(7, b"")]),
            names(&[]),
            extension(0, b""),
            extension(0, b"\0"),
            extension(0, b"\0\x01\0"),
            extension(0, b"\0\x04\0\0\x02a"),
            extension(0, b"\0\x04\0\0\x01a\0"),
            extension(0, b"\0\x05\0\0\x01a"),
            extension(0, b"\0\x05\0\0\x01a\0"),
        ] {
            body_reads_as(&with(&extensions), &MALFORMED);
        }
    }

    #[test]
    fn a_name_that_no_host_has_is_refused() {
        let long = "a.".repeat(127);
        for name in [&b"a."[..], b".", b"a..b", b"a b", b"a\0", b"*.a", b"a:1", long.as_bytes()] {
            body_reads_as(&with(&names(&[(0, name)])), &BAD_NAME);
        }
    }

    #[test]
    fn a_hello_may_take_so_many_bytes_and_no_more() {
        let padded = |bytes: usize| {
            let name = names(&[(0, b"a")]);
            let around = message(&with(&[&name[..], &extension(21, b"")].concat())).len();
            message(&with(&[name, extension(21, &vec![0; bytes - around])].concat()))
        };
        for size in [1 << 14, 5000, 40, 1] {
            let headers = |bytes: usize| RECORD_HEADER_BYTES * bytes.div_ceil(size);
            let fits = |bytes: &usize| bytes + headers(*bytes) <= HELLO_BYTES_MAX;
            let most = (100..=HELLO_BYTES_MAX).rev().find(fits).unwrap();
            assert_eq!(read(&records(&padded(most), size)), Ok(Some(hello(Some("a")))), "{size}");
            assert_eq!(read(&records(&padded(most + 1), size)), TOO_LARGE, "{size}");
        }
        // As soon as its length is known.
        reads_as(&[&record(&[1; 1 << 14])[..5], &[1, 0, 0x40, 0]].concat(), &TOO_LARGE);
        reads_as(&[&record(&[1; 4])[..5], &[1, 0xff, 0xff, 0xff]].concat(), &TOO_LARGE);
    }

    #[test]
    fn the_cost_does_not_grow_faster_than_the_hello() {
        let steps = |padding: usize| {
            let bytes = records(&message(&with(&extension(21, &vec![0; padding]))), 1);
            STEPS.set(0);
            reads_as(&bytes, &Ok(Some(hello(None))));
            STEPS.get()
        };
        let (one, two) = (steps(1200), steps(2400));
        assert!(two <= 2 * one, "{one} and {two} steps");
    }

    #[test]
    fn what_is_no_handshake_is_not_tls() {
        for bytes in [
            &b"G"[..],
            b"\0",
            b"\x16\x02",
            b"\x16\x04",
            b"\x16\xfe",
            b"\x14\x03\x03\0\x01\x01",
            b"\x15\x03\x01\0\x02\x01\0",
            b"\x17\x03\x03\0\x01\0",
            b"SSH-2.0-x\r\n",
            // SSL 2.0, in both lengths of its header.
            b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10",
            b"\0\x2e\0\x01\x03\x01",
        ] {
            assert_eq!(read(bytes), Ok(Some(Opening::NotTls)), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn records_that_cannot_contain_a_hello_are_refused() {
        let whole = message(&with(&names(&[(0, b"a")])));
        let start = record(&whole[..20]);
        for bytes in [
            &b"\x16\x03\x01\0\0"[..],
            b"\x16\x03\x01\x40\x01",
            b"\x16\x03\x01\xff\xff",
            // Other messages: HelloRequest, ServerHello, Finished.
            b"\x16\x03\x01\0\x04\0",
            b"\x16\x03\x01\0\x04\x02",
            b"\x16\x03\x01\0\x01\x14",
            &[&start[..], b"\x16\x03\x01\0\0"].concat(),
            &[&start[..], b"\x16\x02"].concat(),
            &[&start[..], b"\x14"].concat(),
            &[&start[..], b"\x15"].concat(),
            &[&start[..], b"\x17"].concat(),
            &[&start[..], b"G"].concat(),
        ] {
            reads_as(bytes, &MALFORMED);
        }
    }

    // Clients of others.

    /// The first bytes that a client sends which asks for `name`.
    fn first_flight(config: ClientConfig, name: &'static str) -> Vec<u8> {
        let name = AskedName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn config(post_quantum: bool) -> ClientConfig {
        let mut provider = default_provider();
        if !post_quantum {
            provider.kx_groups = vec![kx_group::X25519];
        }
        ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    }

    #[test]
    fn the_hellos_of_rustls_are_read() {
        let with_alpn = |mut config: ClientConfig| {
            config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
            config
        };
        let in_fragments = |mut config: ClientConfig, size| {
            config.max_fragment_size = Some(size);
            config
        };
        let nameless = |mut config: ClientConfig| {
            config.enable_sni = false;
            config
        };
        for (config, name, read_as) in [
            (config(false), "a.example.com", Some("a.example.com")),
            (with_alpn(config(false)), "A.example.COM", Some("a.example.com")),
            (with_alpn(config(true)), "b.example.com", Some("b.example.com")),
            (in_fragments(config(true), 32), "b.example.com", Some("b.example.com")),
            (in_fragments(config(true), 1000), "b.example.com", Some("b.example.com")),
            (nameless(config(true)), "a.example.com", None),
            (config(false), "192.0.2.7", None),
            (config(false), "2001:db8::1", None),
        ] {
            let bytes = first_flight(config, name);
            reads_as(&bytes, &Ok(Some(hello(read_as))));
        }
        assert!(first_flight(config(true), "a.example.com").len() > 1400);
    }

    #[test]
    fn of_an_encrypted_hello_the_outer_name_is_read() {
        let suite = hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
        let (key, _) = suite.generate_key_pair().unwrap();
        let grease = EchMode::from(EchGreaseConfig::new(suite, key));
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_ech(grease)
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let bytes = first_flight(config, "outer.example.com");
        assert!(bytes.windows(2).any(|pair| pair == [0xfe, 0x0d]));
        reads_as(&bytes, &Ok(Some(hello(Some("outer.example.com")))));
    }
}

//! The fuzz target of this room; see CONTRIBUTING.md. Its reference is the server of rustls.

use rustls::server::Acceptor;

use super::{HELLO_BYTES_MAX, HelloReader, Opening, RECORD_HEADER_BYTES, fragments};
use crate::reject::Reject;

type Read = Result<Option<Opening>, Reject>;

/// The beginning of a connection is read the same however its bytes are split into segments and records,
/// nothing after the hello makes a difference, and the reference finds the same name in it.
pub fn tls_hello(data: &[u8]) {
    let data = &data[..data.len().min(HELLO_BYTES_MAX + 32)];
    let whole = read(data);
    let mut reader = HelloReader::default();
    let mut prefixes = (0..=data.len()).map(|end| (end, reader.read(&data[..end])));
    match prefixes.find(|(_, found)| *found != Ok(None)) {
        None => assert_eq!(whole, Ok(None)),
        Some((end, found)) => {
            assert_eq!(found, whole, "after {end} bytes");
            let followed = [&data[..end], &data[..data.len() / 2]].concat();
            assert_eq!(read(&followed), whole, "followed by something else");
            if let Ok(Some(Opening::Hello(_))) = whole {
                let message: Vec<u8> = fragments(&data[..end]).flatten().copied().collect();
                for size in [1, 4, 5, 1000, 1 << 14] {
                    in_records_of(size, &message, &whole);
                }
            }
        }
    }
    compare(data, &whole);
}

fn read(data: &[u8]) -> Read {
    HelloReader::default().read(data)
}

/// The same message in records of another size is the same hello, unless it takes too many bytes.
fn in_records_of(size: usize, message: &[u8], whole: &Read) {
    let fragments = message.chunks(size);
    let wire_bytes = message.len() + RECORD_HEADER_BYTES * fragments.len();
    let record = |fragment: &[u8]| {
        let [.., high, low] = fragment.len().to_be_bytes();
        [&[22, 3, 1, high, low], fragment].concat()
    };
    let again = read(&fragments.flat_map(record).collect::<Vec<u8>>());
    if wire_bytes > HELLO_BYTES_MAX {
        assert_eq!(again, Err(Reject::ClientHelloTooLarge), "in records of {size} bytes");
    } else {
        assert_eq!(again, *whole, "in records of {size} bytes");
    }
}

/// What the reference accepts is TLS and whole for us too, and unless we are stricter, it asks for the
/// same name.
fn compare(data: &[u8], whole: &Read) {
    let Ok(expected) = reference_read(data) else { return };
    match whole {
        Ok(Some(Opening::Hello(hello))) => {
            let name = hello.server_name.as_ref().map(|name| name.as_str().to_owned());
            assert_eq!(name, expected);
        }
        Ok(None | Some(Opening::NotTls)) => panic!("{whole:?}, but asks for {expected:?}"),
        Err(Reject::ServerName) => {
            // It drops a trailing dot.
            let message = fragments(data).flatten().map(u8::to_ascii_lowercase);
            let dotted = expected.map(|name| format!("{}.", name.trim_end_matches('.')));
            let is_there = dotted.is_some_and(|dotted| {
                memchr::memmem::find(&message.collect::<Vec<u8>>(), dotted.as_bytes()).is_some()
            });
            assert!(is_there, "refused");
        }
        Err(_) => {}
    }
}

/// The name that the reference reads, in lower case, if it accepts the hello.
fn reference_read(mut data: &[u8]) -> Result<Option<String>, NotAccepted> {
    let mut acceptor = Acceptor::default();
    loop {
        if let Some(accepted) = acceptor.accept().map_err(|_| NotAccepted)? {
            return Ok(accepted.client_hello().server_name().map(str::to_ascii_lowercase));
        }
        if data.is_empty() || acceptor.read_tls(&mut data).is_err() {
            return Err(NotAccepted);
        }
    }
}

/// The reference refuses it or waits for more.
struct NotAccepted;

#[cfg(test)]
mod tests {
    #[test]
    fn tls_hello() {
        crate::corpus::replay("tls_hello", 20_000, super::tls_hello);
    }
}

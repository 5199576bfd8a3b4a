//! The fuzz target of this room; see CONTRIBUTING.md. Its reference is the crate `proxy-header`.

use std::net::{IpAddr, SocketAddr};

use proxy_header::{ParseConfig, Protocol, ProxyHeader};

use super::header::as_ipv6;
use super::{BLOCK_BYTES_MAX, Header, LINE_BYTES_MAX, Version, read, write};
use crate::buffer::Buffer;

const INPUT_BYTES_MAX: usize = BLOCK_BYTES_MAX + 32;

/// A header is read the same however its bytes are split, takes exactly its own bytes, and means the
/// same to the reference; what we write is read back unchanged by both.
pub fn proxy_protocol(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let whole = read(data);
    let mut prefixes = (0..=data.len()).map(|end| (end, read(&data[..end])));
    match prefixes.find(|(_, found)| *found != Ok(None)) {
        None => assert_eq!(whole, Ok(None)),
        Some((end, found)) => {
            assert_eq!(found, whole, "after {end} bytes");
            if let Ok(Some((_, length))) = found {
                assert_eq!(length, end);
            }
        }
    }
    if let Ok(Some((header, length))) = whole {
        assert_eq!(reference_read(data), Some((header, length)));
        round_trips(header);
    } else if whole.is_err() {
        check_refusal(data);
    }
    arbitrary_header(data).into_iter().for_each(round_trips);
}

/// What the reference reads. A family that must be ignored is hidden from it, since it does not.
fn reference_read(data: &[u8]) -> Option<(Header, usize)> {
    let mut data = data.to_vec();
    if data.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x20") {
        data[13] = 0;
    }
    let (theirs, length) = ProxyHeader::parse(&data, ParseConfig::default()).ok()?;
    let header = theirs.proxied_address().map_or(Header::Local, |ends| Header::Proxied {
        source: ends.source,
        destination: ends.destination,
    });
    Some((header, length))
}

/// We accept whatever the reference would have written itself, except datagrams and TLVs.
fn check_refusal(data: &[u8]) {
    let Ok((theirs, length)) = ProxyHeader::parse(data, ParseConfig::default()) else { return };
    let is_stream = theirs.proxied_address().is_none_or(|ends| ends.protocol == Protocol::Stream);
    let mut again = [0; LINE_BYTES_MAX];
    let written =
        [ProxyHeader::encode_to_slice_v1, ProxyHeader::encode_to_slice_v2].map(|encode| {
            encode(&theirs, &mut again).is_ok_and(|count| again[..count] == data[..length])
        });
    let is_bare = theirs.tlvs().next().is_none();
    assert!(!(is_stream && is_bare && written.contains(&true)), "refused: {theirs:?}");
}

/// A header with addresses from arbitrary bytes, of either family or mixed.
fn arbitrary_header(data: &[u8]) -> Option<Header> {
    let (&[kind, a, b, c, d], rest) = data.split_first_chunk()?;
    let (first, second) = (*rest.first_chunk::<16>()?, *rest.last_chunk::<16>()?);
    let ip = |is_ipv6: bool, bytes: [u8; 16]| match bytes {
        [a, b, c, d, ..] if !is_ipv6 => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(bytes),
    };
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(Header::Proxied {
        source: SocketAddr::new(ip(kind & 1 != 0, first), from),
        destination: SocketAddr::new(ip(kind & 2 != 0, second), to),
    })
}

/// A written header is read back by us and by the reference, whatever follows it.
fn round_trips(header: Header) {
    for version in [Version::V1, Version::V2] {
        let mut out = Buffer::new();
        write(version, header, &mut out);
        let length = out.len();
        out.append(b"\r\n\0 ");
        let expected = Some((in_one_family(header), length));
        assert_eq!(read(out.filled()), Ok(expected), "{version:?}");
        assert_eq!(reference_read(out.filled()), expected, "{version:?}");
    }
}

fn in_one_family(header: Header) -> Header {
    match header {
        Header::Proxied { source, destination } if source.is_ipv4() != destination.is_ipv4() => {
            let wide = |end: SocketAddr| SocketAddr::new(as_ipv6(end.ip()).into(), end.port());
            Header::Proxied { source: wide(source), destination: wide(destination) }
        }
        _ => header,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn proxy_protocol() {
        crate::corpus::replay("proxy_protocol", 20_000, super::proxy_protocol);
    }
}

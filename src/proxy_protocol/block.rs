//! Version 2: a binary block (§2.2).

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::header::{Header, as_ipv6};
use crate::reject::Reject;

/// The most bytes after the first 16 of a block: addresses and TLVs. The format allows 65535, but Unix
/// addresses take 216 bytes, and TLVs about a TLS client are rarely longer than its certificate.
pub const BLOCK_BYTES_MAX: usize = 4096;

/// The bytes every block begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The number of bytes before the addresses: signature, command, family, length.
const PREFIX_BYTES: usize = SIGNATURE.len() + 4;

// Version 2, combined with a command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

// Address families combined with a stream transport; datagrams cannot occur on a TCP connection.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX: u8 = 0x31;

/// Two paths of 108 bytes.
const UNIX_BYTES: usize = 216;

/// The type of the TLV with a checksum (§2.2.3).
const CRC32C: u8 = 0x03;

/// The parsed addresses of a block, and the TLVs after them.
type Addresses<'a> = Option<(Header, &'a [u8])>;

/// Like [`super::read`], for `bytes` that match [`SIGNATURE`] as far as they go.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Reject> {
    let &[command, ref rest @ ..] = bytes.get(SIGNATURE.len()..).unwrap_or_default() else {
        return Ok(None);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(Reject::ProxyHeader);
    }
    let &[family, ref rest @ ..] = rest else { return Ok(None) };
    let addresses: fn(&[u8]) -> Addresses<'_> = match (command, family) {
        // The rest of the block must be discarded, including its family (§2.2).
        (LOCAL, _) | (_, UNSPECIFIED) => |_| Some((Header::Local, &[])),
        (_, TCP4) => addresses::<4>,
        (_, TCP6) => addresses::<16>,
        (_, UNIX) => |block| Some((Header::Local, block.get(UNIX_BYTES..)?)),
        _ => return Err(Reject::ProxyHeader),
    };
    let &[high, low, ..] = rest else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BLOCK_BYTES_MAX {
        return Err(Reject::ProxyHeader);
    }
    let Some(whole) = bytes.get(..PREFIX_BYTES + length) else { return Ok(None) };
    let (header, tlvs) = addresses(&whole[PREFIX_BYTES..]).ok_or(Reject::ProxyHeader)?;
    check_tlvs(whole, tlvs)?;
    Ok(Some((header, whole.len())))
}

/// Parses two addresses of `N` bytes, then two ports.
fn addresses<const N: usize>(block: &[u8]) -> Addresses<'_>
where
    IpAddr: From<[u8; N]>,
{
    let (&source, rest) = block.split_first_chunk::<N>()?;
    let (&destination, rest) = rest.split_first_chunk::<N>()?;
    let (&[a, b, c, d], tlvs) = rest.split_first_chunk::<4>()?;
    let source = SocketAddr::new(source.into(), u16::from_be_bytes([a, b]));
    let destination = SocketAddr::new(destination.into(), u16::from_be_bytes([c, d]));
    Some((Header::Proxied { source, destination }, tlvs))
}

/// Checks the TLVs, each `type (1 byte), length (2), value` (§2.2). Only a checksum's value is checked,
/// and there may be at most one. `tlvs` is the end of `whole`.
fn check_tlvs(whole: &[u8], mut tlvs: &[u8]) -> Result<(), Reject> {
    let mut checksum = None;
    while !tlvs.is_empty() {
        let &[kind, high, low, ref rest @ ..] = tlvs else { return Err(Reject::ProxyHeader) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = rest.split_at_checked(length).ok_or(Reject::ProxyHeader)?;
        if kind == CRC32C {
            let value = value.try_into().map_err(|_| Reject::ProxyHeader)?;
            let offset = whole.len() - rest.len();
            if checksum.replace((offset, u32::from_be_bytes(value))).is_some() {
                return Err(Reject::ProxyHeader);
            }
        }
        tlvs = after;
    }
    match checksum {
        Some((offset, sum)) if sum != crc32c([&whole[..offset], &[0; 4], &whole[offset + 4..]]) => {
            Err(Reject::ProxyHeader)
        }
        _ => Ok(()),
    }
}

/// The CRC-32C checksum of RFC 4960, Appendix B. Computed bit by bit, since blocks are short and
/// checksums rare. The checksum of a header is computed with its own value set to zero (§2.2.3).
fn crc32c(parts: [&[u8]; 3]) -> u32 {
    let bit = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    let byte = |sum: u32, &byte: &u8| (0..8).fold(sum ^ u32::from(byte), bit);
    !parts.into_iter().flatten().fold(!0, byte)
}

/// Writes a block.
pub(super) fn write(header: Header, out: &mut impl Write) -> io::Result<()> {
    out.write_all(SIGNATURE)?;
    let Header::Proxied { source, destination } = header else {
        return out.write_all(&[LOCAL, UNSPECIFIED, 0, 0]);
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.write_all(&[PROXY, TCP4, 0, 12])?;
            out.write_all(&source.octets())?;
            out.write_all(&destination.octets())?;
        }
        (source, destination) => {
            out.write_all(&[PROXY, TCP6, 0, 36])?;
            out.write_all(&as_ipv6(source).octets())?;
            out.write_all(&as_ipv6(destination).octets())?;
        }
    }
    out.write_all(&source.port().to_be_bytes())?;
    out.write_all(&destination.port().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn checksums() {
        // From RFC 3720, Appendix B.4, and the usual check value.
        for (byte, sum) in [(0x00, 0x8a91_36aa), (0xff, 0x62a8_ab43)] {
            assert_eq!(crc32c([&[byte; 20], &[], &[byte; 12]]), sum);
        }
        assert_eq!(crc32c([b"1234", b"56", b"789"]), 0xe306_9283);
    }
}

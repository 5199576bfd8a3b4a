//! Version 1: a line of text (§2.1).

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::header::{Header, agree, as_ipv6};
use crate::reject::Reject;

/// The longest line including its CRLF, in bytes (§2.1).
pub const LINE_BYTES_MAX: usize = 107;

const TCP4: &[u8] = b"PROXY TCP4 ";
const TCP6: &[u8] = b"PROXY TCP6 ";

/// The ways a line may begin.
const LINES: [&[u8]; 4] = [TCP4, TCP6, b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r\n"];

/// Like [`super::read`], for a line.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Reject> {
    if !LINES.iter().any(|opening| agree(bytes, opening)) {
        return Err(Reject::ProxyHeader);
    }
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    if end + 2 > LINE_BYTES_MAX {
        return Err(Reject::ProxyHeader);
    }
    match bytes[end..] {
        [b'\r', b'\n', ..] => {
            let header = line(&bytes[..end]).ok_or(Reject::ProxyHeader)?;
            Ok(Some((header, end + 2)))
        }
        [] | [b'\r'] => Ok(None),
        _ => Err(Reject::ProxyHeader),
    }
}

/// Parses a line without its CRLF. After UNKNOWN the rest of the line is ignored (§2.1).
fn line(line: &[u8]) -> Option<Header> {
    if let Some(words) = line.strip_prefix(TCP4) {
        ends::<Ipv4Addr>(words)
    } else if let Some(words) = line.strip_prefix(TCP6) {
        ends::<Ipv6Addr>(words)
    } else {
        Some(Header::Local)
    }
}

/// Parses `source SP destination SP source port SP destination port`. An IPv6 address may end in dotted
/// decimal, which §2.1 does not mention but `inet_ntop` and therefore many senders write.
fn ends<A: FromStr + Into<IpAddr>>(words: &[u8]) -> Option<Header> {
    let mut words = str::from_utf8(words).ok()?.split(' ');
    let source: A = words.next()?.parse().ok()?;
    let destination: A = words.next()?.parse().ok()?;
    let source = SocketAddr::new(source.into(), port(words.next()?)?);
    let destination = SocketAddr::new(destination.into(), port(words.next()?)?);
    words.next().is_none().then_some(Header::Proxied { source, destination })
}

/// Parses decimal digits without sign or leading zeros, up to 65535.
fn port(word: &str) -> Option<u16> {
    let is_plain = matches!(word.as_bytes(), b"0" | [b'1'..=b'9', ..]);
    if is_plain { word.parse().ok() } else { None }
}

/// Writes a line.
pub(super) fn write(header: Header, out: &mut impl Write) -> io::Result<()> {
    let Header::Proxied { source, destination } = header else {
        return out.write_all(b"PROXY UNKNOWN\r\n");
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            write!(out, "PROXY TCP4 {source} {destination}")?;
        }
        (source, destination) => {
            out.write_all(b"PROXY TCP6 ")?;
            write_groups(source, out)?;
            out.write_all(b" ")?;
            write_groups(destination, out)?;
        }
    }
    write!(out, " {} {}\r\n", source.port(), destination.port())
}

/// Writes an address in groups of hexadecimal digits, the only form that §2.1 allows.
fn write_groups(ip: IpAddr, out: &mut impl Write) -> io::Result<()> {
    match (as_ipv6(ip), as_ipv6(ip).segments()) {
        (_, [0, 0, 0, 0, 0, 0xffff, high, low]) => write!(out, "::ffff:{high:x}:{low:x}"),
        (ip, _) => write!(out, "{ip}"),
    }
}

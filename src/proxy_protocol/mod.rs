//! The PROXY protocol: the client after a connection that another proxy opened.
//!
//! Both versions of <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt> (below: the
//! specification), read and written: the line of version 1 (§2.1) and the block of version 2
//! (§2.2). Whether a connection begins with a header is configured, never guessed (§2), and a
//! connection with a header carries one client's requests only.

mod block;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod header;
mod line;

pub use block::BLOCK_BYTES_MAX;
pub use header::{Header, Version};
pub use line::LINE_BYTES_MAX;

use crate::buffer::Buffer;
use crate::reject::Reject;

/// Reads a header of either version at the start of `bytes`, and returns it with its length in bytes.
///
/// Returns `None` while more bytes are needed. Bytes that cannot become a header are rejected at the
/// first one that differs, a bad address or TLV once its line or block is complete. It makes no
/// difference where the bytes are split, and nothing after the header is inspected.
pub fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Reject> {
    if header::agree(bytes, block::SIGNATURE) { block::read(bytes) } else { line::read(bytes) }
}

/// Writes a header to `out`, which must be empty or nearly so: a header comes first on a connection.
///
/// If the addresses are of different families, the IPv4 one is written as IPv6 (`::ffff:0:0/96`). Zones
/// and flow labels are not written.
pub fn write(version: Version, header: Header, out: &mut Buffer) {
    let mut spare = out.spare_mut();
    let room = spare.len();
    // Always fits: a header takes at most 107 bytes, and an empty buffer has 64 KiB.
    let _ = match version {
        Version::V1 => line::write(header, &mut spare),
        Version::V2 => block::write(header, &mut spare),
    };
    let used = room - spare.len();
    out.fill(used);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    // Command and family.
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const UNSPECIFIED: u8 = 0x00;
    const TCP4: u8 = 0x11;
    const TCP6: u8 = 0x21;
    const UNIX: u8 = 0x31;

    const REFUSED: Result<Option<(Header, usize)>, Reject> = Err(Reject::ProxyHeader);

    fn proxied(source: &str, destination: &str) -> Header {
        let ends = (source.parse(), destination.parse());
        Header::Proxied { source: ends.0.unwrap(), destination: ends.1.unwrap() }
    }

    /// A block with these bytes after its signature and its length filled in.
    fn block(command: u8, family: u8, rest: &[&[u8]]) -> Vec<u8> {
        let rest = rest.concat();
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, &rest].concat()
    }

    fn written(version: Version, header: Header) -> Vec<u8> {
        let mut out = Buffer::new();
        write(version, header, &mut out);
        out.filled().to_vec()
    }

    /// Asserts that the header is read once complete and not before, whatever follows it.
    fn reads_as(bytes: &[u8], header: Header) {
        for cut in 0..bytes.len() {
            let shown = bytes[..cut].escape_ascii();
            assert_eq!(read(&bytes[..cut]), Ok(None), "{shown}");
        }
        for after in [&b""[..], b"\r\n", b"GET / HTTP/1.1\r\n", &[0; 5000]] {
            let found = read(&[bytes, after].concat());
            assert_eq!(found, Ok(Some((header, bytes.len()))), "{}", bytes.escape_ascii());
        }
    }

    /// Asserts that only the last byte is refused, with or without more bytes after it.
    fn refused_at_the_last_byte(bytes: &[u8]) {
        let shown = bytes.escape_ascii();
        assert_eq!(read(&bytes[..bytes.len() - 1]), Ok(None), "{shown}");
        assert_eq!(read(bytes), REFUSED, "{shown}");
        assert_eq!(read(&[bytes, b" \r\n"].concat()), REFUSED, "{shown}");
    }

    #[test]
    fn lines() {
        let ffff = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let [long, longest] = [("TCP6", 104), ("UNKNOWN", 107)].map(|(protocol, length)| {
            let line = format!("PROXY {protocol} {ffff} {ffff} 65535 65535\r\n");
            assert_eq!(line.len(), length);
            line
        });
        let full = format!("[{ffff}]:65535");
        let rows = [
            (
                "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
                proxied("192.168.0.1:56324", "192.168.0.11:443"),
            ),
            (
                "PROXY TCP4 0.0.0.0 255.255.255.255 0 1\r\n",
                proxied("0.0.0.0:0", "255.255.255.255:1"),
            ),
            ("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", proxied("[2001:db8::1]:1", "[::1]:2")),
            ("PROXY TCP6 :: 0:0:0:0:0:0:0:00ff 1 2\r\n", proxied("[::]:1", "[::ff]:2")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", proxied("[::ffff:c000:207]:1", "[::1]:2")),
            (&long, proxied(&full, &full)),
            (&longest, Header::Local),
            ("PROXY UNKNOWN\r\n", Header::Local),
            ("PROXY UNKNOWN \r\n", Header::Local),
            ("PROXY UNKNOWN TCP4 \0  \u{e9} 1\r\n", Header::Local),
        ];
        for (bytes, header) in rows {
            reads_as(bytes.as_bytes(), header);
        }
    }

    #[test]
    fn lines_that_are_refused_once_complete() {
        for words in [
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 2 3",
            "TCP4 1.2.3.4 1.2.3.4 1 2 ",
            "TCP4  1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4  1.2.3.4 1 2",
            "TCP4 1.2.3.4\t1.2.3.4 1 2",
            "TCP4 1.2.3.4 1.2.3.4 1 ",
            "TCP4 1.2.3.4 1.2.3.4 01 2",
            "TCP4 1.2.3.4 1.2.3.4 00 2",
            "TCP4 1.2.3.4 1.2.3.4 +1 2",
            "TCP4 1.2.3.4 1.2.3.4 -1 2",
            "TCP4 1.2.3.4 1.2.3.4 1 65536",
            "TCP4 1.2.3.4 1.2.3.4 1 0x2",
            "TCP4 1.2.3.04 1.2.3.4 1 2",
            "TCP4 1.2.3 1.2.3.4 1 2",
            "TCP4 1.2.3.256 1.2.3.4 1 2",
            "TCP4 ::1 ::1 1 2",
            "TCP4 1.2.3.4 ::ffff:1.2.3.4 1 2",
            "TCP6 1.2.3.4 ::1 1 2",
            "TCP6 ::1 fe80::1%eth0 1 2",
            "TCP6 ::1 [::1] 1 2",
            "TCP6 ::1 1::2::3 1 2",
            "TCP6 ::1 00001::1 1 2",
            "TCP6 ::1 1:2:3:4:5:6:7 1 2",
            "TCP6 ::1 \u{ff11}:: 1 2",
        ] {
            refused_at_the_last_byte(format!("PROXY {words}\r\n").as_bytes());
        }
    }

    #[test]
    fn an_impossible_header_is_refused_at_the_first_byte_that_differs() {
        let too_long = format!("PROXY UNKNOWN {}", "f".repeat(LINE_BYTES_MAX - 2 - 14 + 1));
        for bytes in [
            "G",
            "p",
            "PROXY\t",
            "PROXY  ",
            "PROXY TCP5",
            "PROXY TCP4\r",
            "PROXY UD",
            "PROXY UNKNOWN:",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN\r ",
            "PROXY UNKNOWN a\rb",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "\n",
            "\r\n\r\n\0\r\nQUIT\r",
            &too_long,
        ] {
            refused_at_the_last_byte(bytes.as_bytes());
        }
    }

    #[test]
    fn blocks() {
        let v4 = proxied("192.0.2.7:1", "198.51.100.9:443");
        let v4_bytes = [192, 0, 2, 7, 198, 51, 100, 9, 0, 1, 1, 187];
        let v6 = proxied("[2001:db8::1]:65535", "[::ffff:192.0.2.7]:0");
        let mut v6_bytes = [0; 36];
        v6_bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6_bytes[15] = 1;
        v6_bytes[26..34].copy_from_slice(&[255, 255, 192, 0, 2, 7, 255, 255]);
        let tlvs: &[u8] = b"\x02\0\x01a\x04\0\0\xea\0\x02\0\x01";
        let most = [0xff; BLOCK_BYTES_MAX];
        let padding = [&[4, 15, 241][..], &[0; 4081]].concat();
        let rows: [(u8, u8, &[&[u8]], Header); 15] = [
            (PROXY, TCP4, &[&v4_bytes], v4),
            (PROXY, TCP4, &[&v4_bytes, tlvs], v4),
            (PROXY, TCP4, &[&v4_bytes, &padding], v4),
            (PROXY, TCP6, &[&v6_bytes], v6),
            (PROXY, TCP6, &[&v6_bytes, tlvs], v6),
            (PROXY, UNIX, &[&[b'/'; 216]], Header::Local),
            (PROXY, UNIX, &[&[b'/'; 216], tlvs], Header::Local),
            (PROXY, UNSPECIFIED, &[], Header::Local),
            (PROXY, UNSPECIFIED, &[&v4_bytes], Header::Local),
            (LOCAL, UNSPECIFIED, &[], Header::Local),
            (LOCAL, UNSPECIFIED, &[&most], Header::Local),
            (LOCAL, TCP4, &[], Header::Local),
            (LOCAL, TCP4, &[&v4_bytes, tlvs], Header::Local),
            (LOCAL, TCP6, &[b"\x02"], Header::Local),
            (LOCAL, 0xff, &[], Header::Local),
        ];
        for (command, family, rest, header) in rows {
            reads_as(&block(command, family, rest), header);
        }
    }

    #[test]
    fn blocks_that_are_refused() {
        let refused_commands = [0x01, 0x11, 0x22, 0x2f, 0x31, b'P'];
        for command in refused_commands {
            refused_at_the_last_byte(&[SIGNATURE, &[command]].concat());
        }
        let refused_families = [0x01, 0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x32, 0x41, 0xff];
        for family in refused_families {
            refused_at_the_last_byte(&[SIGNATURE, &[PROXY, family]].concat());
        }
        let [high, low] = u16::try_from(BLOCK_BYTES_MAX + 1).unwrap().to_be_bytes();
        for (command, family) in [(PROXY, TCP4), (PROXY, UNSPECIFIED), (LOCAL, UNSPECIFIED)] {
            refused_at_the_last_byte(&[SIGNATURE, &[command, family, high, low]].concat());
        }
        for (family, short) in [(TCP4, 11), (TCP6, 35), (UNIX, 215), (TCP6, 12), (TCP4, 0)] {
            refused_at_the_last_byte(&block(PROXY, family, &[&vec![0; short]]));
        }
        for tlvs in [
            &b"\x04"[..],
            b"\x04\0",
            b"\x04\0\x01",
            b"\x04\0\0\x04\0\x02a",
            b"\x04\xff\xff",
            b"\x03\0\x03abc",
            b"\x03\0\x05abcde",
        ] {
            refused_at_the_last_byte(&block(PROXY, TCP4, &[&[0; 12], tlvs]));
            refused_at_the_last_byte(&block(PROXY, UNIX, &[&[0; 216], tlvs]));
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let ends = [192, 0, 2, 7, 198, 51, 100, 9, 0, 1, 1, 187];
        let sealed = |sum: u32, after: &[u8]| {
            let sum = sum.to_be_bytes();
            block(PROXY, TCP4, &[&ends, b"\x02\0\x01a", b"\x03\0\x04", &sum, after])
        };
        let good = 0xaa07_be78;
        reads_as(&sealed(good, b"\x04\0\0"), proxied("192.0.2.7:1", "198.51.100.9:443"));
        refused_at_the_last_byte(&sealed(good ^ 1, b"\x04\0\0"));
        refused_at_the_last_byte(&sealed(good, b"\x05\0\0"));
        // Each of these two is correct if the other is not set to zero.
        refused_at_the_last_byte(&sealed(0x71f0_4558, b"\x03\0\x04\0\0\0\0"));
        refused_at_the_last_byte(&sealed(0, b"\x03\0\x04\x71\xf0\x45\x58"));
    }

    #[test]
    fn headers_are_written() {
        let v4 = proxied("192.0.2.7:1", "198.51.100.9:443");
        let v6 = proxied("[2001:db8::1]:65535", "[::1]:0");
        let mixed = proxied("192.0.2.7:1", "[2001:db8::1]:2");
        let rows = [
            (v4, "PROXY TCP4 192.0.2.7 198.51.100.9 1 443\r\n"),
            (v6, "PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"),
            (mixed, "PROXY TCP6 ::ffff:c000:207 2001:db8::1 1 2\r\n"),
            (Header::Local, "PROXY UNKNOWN\r\n"),
        ];
        for (header, line) in rows {
            assert_eq!(written(Version::V1, header), line.as_bytes());
        }
        let far = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
        let near = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07";
        let rows: [(Header, &[&[u8]]); 4] = [
            (v4, &[b"\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x09\0\x01\x01\xbb"]),
            (v6, &[b"\x21\x21\0\x24", far, near, b"\xff\xff\0\0"]),
            (mixed, &[b"\x21\x21\0\x24", mapped, far, b"\0\x01\0\x02"]),
            (Header::Local, &[b"\x20\0\0\0"]),
        ];
        for (header, parts) in rows {
            let expected = [b"\r\n\r\n\0\r\nQUIT\n", &parts.concat()[..]].concat();
            assert_eq!(written(Version::V2, header), expected);
        }
    }
}

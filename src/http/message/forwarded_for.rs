//! X-Forwarded-For: whom the proxies that are trusted say a request is from.

use std::net::{IpAddr, SocketAddr};

/// How many hops are looked at: more than any chain of proxies has, where a list may have thousands of members.
pub const HOPS_MAX: usize = 32;

/// The longest way to write an address is in brackets and with a port.
const MEMBER_BYTES_MAX: usize = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535".len();

/// The client of a request that came from the trusted `connection`, with these values of the field.
///
/// Each proxy appends the address that it got the request from, so the list is read from its end: as
/// long as an address is that of a trusted proxy, the one which that proxy wrote is believed, too. A member
/// that is no address, such as `unknown` (RFC 7239 §6.2), ends the search: the client is the proxy that
/// wrote it.
pub fn client<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    connection: Option<IpAddr>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    // The last values and so the last members, whatever there is before them.
    let mut last: [&[u8]; HOPS_MAX] = [b""; HOPS_MAX];
    let mut count = 0;
    for value in values {
        last[count % HOPS_MAX] = value;
        count += 1;
    }
    let newest_first = (0..count).rev().take(HOPS_MAX).map(|at| last[at % HOPS_MAX]);
    let members = newest_first.flat_map(|value| value.rsplit(|byte| *byte == b','));
    let members = members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty());
    let mut client = connection;
    for member in members.take(HOPS_MAX) {
        let Some(address) = address(member) else { break };
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// An address as proxies write it: with or without a port, and one of IPv6 with or without brackets.
fn address(member: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(member).ok().filter(|text| text.len() <= MEMBER_BYTES_MAX)?;
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(with_port).or_else(bare)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request from 10.0.0.1, if all of 10.0.0.0/8 and `fd00::/8` are trusted.
    fn found(values: &[&str]) -> String {
        let trusted = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.octets()[0] == 0xfd,
        };
        let values = values.iter().map(|value| value.as_bytes());
        client(values, Some([10, 0, 0, 1].into()), trusted).unwrap().to_string()
    }

    #[test]
    fn the_list_is_read_from_its_end_past_trusted_hops() {
        let rows: &[(&[&str], &str)] = &[
            (&[], "10.0.0.1"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1, 10.0.0.2,10.0.0.3"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (&["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
            (&["192.0.2.1, fd00::1"], "192.0.2.1"),
        ];
        for (values, expected) in rows {
            assert_eq!(found(values), *expected, "{values:?}");
        }
    }

    #[test]
    fn addresses_are_read_however_they_are_written() {
        let rows = [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:65535", "192.0.2.1"),
            (" \t192.0.2.1\t ", "192.0.2.1"),
            ("192.0.2.1,,  ,", "192.0.2.1"),
        ];
        for (value, expected) in rows {
            assert_eq!(found(&[value]), expected, "{value:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_who_wrote_it() {
        let odd = [
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "[::1",
            "::1]",
            "[192.0.2.1]",
            "fe80::1%eth0",
            "for=192.0.2.1",
            "\"192.0.2.1\"",
            "192.0.2.1 x",
            "0x7f.1",
            "\u{ff}",
        ];
        for odd in odd {
            assert_eq!(found(&[&format!("6.6.6.6, {odd}")]), "10.0.0.1", "{odd}");
            assert_eq!(found(&[&format!("6.6.6.6, {odd}, 10.0.0.7")]), "10.0.0.7", "{odd}");
        }
    }

    #[test]
    fn any_bytes_are_read_and_no_more_hops_than_allowed() {
        let hops = |count: usize| format!("192.0.2.1{}", ", 10.0.0.5".repeat(count));
        assert_eq!(found(&[&hops(HOPS_MAX - 1)]), "192.0.2.1");
        assert_eq!(found(&[&hops(HOPS_MAX)]), "10.0.0.5");
        assert_eq!(found(&["192.0.2.1"; 3 * HOPS_MAX]), "192.0.2.1");
        assert_eq!(found(&[&",".repeat(60_000)]), "10.0.0.1");
        // Pieces of addresses in every order.
        let pieces =
            ["10.0.0.2", ",", "[", "]", ":", "80", "::1", " ", "unknown", "\0", "192.0.2.1"];
        let mut state: usize = 1;
        for _ in 0..20_000 {
            let mut value = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value.push_str(pieces[(state >> 33) % pieces.len()]);
            }
            let found: IpAddr = found(&[&value]).parse().unwrap();
            let mut members = value.split(',').map(|member| address(member.trim().as_bytes()));
            let is_named = members.any(|member| member == Some(found));
            assert!(is_named || found.to_string() == "10.0.0.1", "{value} {found}");
        }
    }
}

//! The contents of a header, in either version.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The version of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// A binary block.
    V2,
}

/// What a header says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header {
    /// It was opened on behalf of a client's TCP connection.
    Proxied {
        /// The address of that client.
        source: SocketAddr,
        /// The address at which the client's connection was accepted.
        destination: SocketAddr,
    },
    /// Only the connection's own addresses are known: UNKNOWN, LOCAL, an unspecified family, or Unix
    /// sockets, whose paths mean nothing on another machine.
    Local,
}

/// Whether one of `bytes` and `opening` is a prefix of the other.
pub(super) fn agree(bytes: &[u8], opening: &[u8]) -> bool {
    bytes.iter().zip(opening).all(|(byte, expected)| byte == expected)
}

/// An address as IPv6; an IPv4 address is mapped into `::ffff:0:0/96`.
pub(super) fn as_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

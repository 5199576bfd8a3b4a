//! What a header says, in whichever version.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What a header looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// A binary block.
    V2,
}

/// What a header says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header {
    /// It was opened on behalf of another TCP connection.
    Proxied {
        /// Who opened that one.
        source: SocketAddr,
        /// Where that one was accepted.
        destination: SocketAddr,
    },
    /// Its own addresses are all there is to know: UNKNOWN, LOCAL, a family without a name, or
    /// unix sockets, whose paths mean nothing on another machine.
    Local,
}

/// Whether `bytes` begin with `opening`, or are its beginning.
pub(super) fn agree(bytes: &[u8], opening: &[u8]) -> bool {
    bytes.iter().zip(opening).all(|(byte, expected)| byte == expected)
}

/// An address of either family as one of IPv6: `::ffff:0:0/96` is IPv4.
pub(super) fn as_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

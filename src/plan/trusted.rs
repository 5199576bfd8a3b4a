//! Whose word about earlier hops is believed.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::net::listen::Peer;

/// Whose word about earlier hops is believed.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// Clients with an address in one of these.
    pub networks: Vec<IpNet>,
    /// Clients that come over a unix socket.
    pub unix: bool,
}

impl Trusted {
    /// Whether `peer` is among them.
    pub fn contains(&self, peer: Peer) -> bool {
        let holds = |address: IpAddr| self.networks.iter().any(|net| net.contains(&address));
        peer.map_or(self.unix, |address| holds(address.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_goes_by_network_and_sees_through_mapped_addresses() {
        let trusted = Trusted { networks: vec!["10.0.0.0/8".parse().unwrap()], unix: false };
        let rows = [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false)];
        for (address, expected) in rows {
            assert_eq!(trusted.contains(Some(address.parse().unwrap())), expected, "{address}");
        }
        assert!(!trusted.contains(None));
    }
}

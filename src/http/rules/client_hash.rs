//! Hashes of clients for tables that they may fill: with a secret, and cheap.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::hash::mix;

/// A hash of clients: of an address of IPv4, or a /64 network of IPv6, which is what one client has. Those without an
/// address (a Unix socket) are one client.
///
/// Two clients meet with a probability of 2^-64 for whoever does not know its numbers: it is the multiply-add-shift of
/// Dietzfelbinger (*Universal hashing and k-wise independent random variables via integer arithmetic without primes*,
/// 1996), and what it makes of neighbours is mixed. It takes 20 instructions, and the hash of the standard
/// library 200.
#[derive(Debug)]
pub(super) struct ClientHash {
    factor: u128,
    addend: u128,
}

impl ClientHash {
    /// With numbers that follow from this secret.
    pub(super) fn new(secret: &RandomState) -> Self {
        let [a, b, c, d] = [0_u8, 1, 2, 3].map(|nth| u128::from(secret.hash_one(nth)));
        Self { factor: a << 64 | b, addend: c << 64 | d }
    }

    /// The hash of a client.
    pub(super) fn of(&self, client: Option<IpAddr>) -> u64 {
        let product = self.factor.wrapping_mul(network(client).into());
        mix(high(product.wrapping_add(self.addend)))
    }
}

/// The network of a client: one that is reserved (RFC 4291 §2.4), and so nobody's, if that is none of IPv6.
fn network(client: Option<IpAddr>) -> u64 {
    match client.map(|address| address.to_canonical()) {
        None => 2 << 32,
        Some(IpAddr::V4(address)) => 1 << 32 | u64::from(address.to_bits()),
        Some(IpAddr::V6(address)) => high(address.to_bits()),
    }
}

fn high(number: u128) -> u64 {
    u64::try_from(number >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn neighbours_spread_over_small_tables() {
        for _ in 0..20 {
            let hash = ClientHash::new(&RandomState::new());
            let v4 = (0..256).map(|low| Ipv4Addr::from_bits(0xc000_0200 + low).into());
            let network = |nth: u128| Ipv6Addr::from_bits((0x2001_0db8_0000_0000 + nth) << 64);
            let v6 = (0..256).map(|nth| network(nth).into());
            for clients in [v4.collect::<Vec<IpAddr>>(), v6.collect()] {
                let places: HashSet<u64> =
                    clients.iter().map(|of| hash.of(Some(*of)) % 256).collect();
                // Of as many places as there are clients, 63 % are taken on average, and hardly ever less than half.
                assert!(places.len() > 128, "{}", places.len());
            }
        }
    }

    #[test]
    fn clients_are_apart_and_addresses_of_one_client_are_not() {
        let hash = ClientHash::new(&RandomState::new());
        let of = |text: &str| hash.of(text.parse().ok());
        let apart = ["unix", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "::1"];
        assert_eq!(apart.map(of).into_iter().collect::<HashSet<_>>().len(), apart.len());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(
            of("192.0.2.1"),
            ClientHash::new(&RandomState::new()).of("192.0.2.1".parse().ok())
        );
    }
}

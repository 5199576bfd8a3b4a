//! Which clients a route serves, by their networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks, as sorted ranges of addresses that do not touch: a look-up takes as many steps as the number of
/// ranges has bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    /// Of IPv4 as the addresses of IPv6 that it is mapped to (RFC 4291 §2.5.5.2).
    ranges: Box<[(u128, u128)]>,
}

impl NetworkSet {
    /// The set of these networks. Those of IPv4-mapped addresses are the networks of IPv4.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let range = |network: IpNet| (number(network.network()), number(network.broadcast()));
        let mut ranges: Vec<_> = networks.into_iter().map(range).collect();
        ranges.sort_unstable();
        let mut apart: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match apart.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => apart.push((first, last)),
            }
        }
        Self { ranges: apart.into() }
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.holds(number(address))
    }

    fn holds(&self, address: u128) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after.checked_sub(1).is_some_and(|at| address <= self.ranges[at].1)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Which clients are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// If there are any, only clients in one of these.
    allowed: Option<NetworkSet>,
    /// None in one of these, even if they are in the others.
    denied: NetworkSet,
    /// As they are written, to be shown.
    written: [Box<[IpNet]>; 2],
}

impl Access {
    /// Serves clients in one of the networks that are allowed (all if there are none) and in none of those that are
    /// denied.
    pub fn new(allowed: Vec<IpNet>, denied: Vec<IpNet>) -> Self {
        let set = (!allowed.is_empty()).then(|| NetworkSet::new(allowed.iter().copied()));
        let denied_set = NetworkSet::new(denied.iter().copied());
        Self { allowed: set, denied: denied_set, written: [allowed.into(), denied.into()] }
    }

    /// Whether this client is served. One without an address (a Unix socket) is in no network.
    pub fn admits(&self, client: Option<IpAddr>) -> bool {
        match client {
            None => self.allowed.is_none(),
            Some(client) => {
                let client = number(client);
                let is_allowed = self.allowed.as_ref().is_none_or(|set| set.holds(client));
                is_allowed && !self.denied.holds(client)
            }
        }
    }

    /// Whether it is in one of the networks that are denied.
    pub fn denies(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.denied.contains(client))
    }

    /// The networks that are allowed, and those that are denied.
    pub fn written(&self) -> (&[IpNet], &[IpNet]) {
        (&self.written[0], &self.written[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ipv6(last: u16) -> IpAddr {
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into()
    }

    #[test]
    fn a_set_holds_what_one_of_its_networks_holds() {
        let random = |place| crate::hash::nth(1, place);
        let byte = |number: u64, at: u32| (number >> (8 * at)).to_le_bytes()[0];
        for round in 0..200 {
            let count = random(round) % 20;
            let network = |nth| {
                let number = random(1000 * (round + 1) + nth);
                let (low, high, length) = (byte(number, 1), byte(number, 2), byte(number, 3));
                let (address, length) = if number % 2 == 0 {
                    (IpAddr::from([10, 0, high & 3, low]), 22 + length % 11)
                } else {
                    (ipv6(u16::from_le_bytes([low, high])), 112 + length % 17)
                };
                IpNet::new(address, length).unwrap()
            };
            let networks: Vec<IpNet> = (0..count).map(network).collect();
            let set = NetworkSet::new(networks.iter().copied());
            for nth in 0..200 {
                let number = random(1_000_000 + 1000 * round + nth);
                let (low, high) = (byte(number, 1), byte(number, 2));
                let address = match number % 2 {
                    0 => IpAddr::from([10, 0, high & 3, low]),
                    _ => ipv6(u16::from_le_bytes([low, high])),
                };
                let expected = networks.iter().any(|network| network.contains(&address));
                assert_eq!(set.contains(address), expected, "{networks:?} {address}");
            }
        }
    }

    #[test]
    fn the_ends_of_all_addresses() {
        let all = NetworkSet::new(networks(&["::/0"]));
        let none = NetworkSet::new([]);
        for address in ["::", "0.0.0.0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            let address = address.parse().unwrap();
            assert!(all.contains(address) && !none.contains(address));
        }
        let ipv4 = NetworkSet::new(networks(&["0.0.0.0/0"]));
        assert!(ipv4.contains([255; 4].into()) && !ipv4.contains(IpAddr::from([0_u8; 16])));
        let mapped = NetworkSet::new(networks(&["::ffff:10.0.0.0/104"]));
        assert!(mapped.contains([10, 1, 2, 3].into()) && !mapped.contains([11, 1, 2, 3].into()));
    }

    #[test]
    fn deny_wins_and_allow_refuses_everybody_else() {
        let rows = [
            (&[][..], &[][..], "10.0.0.1", true),
            (&["10.0.0.0/8"], &[], "10.0.0.1", true),
            (&["10.0.0.0/8"], &[], "11.0.0.1", false),
            (&["10.0.0.0/8"], &[], "::ffff:10.0.0.1", true),
            (&[], &["10.0.0.0/8"], "10.0.0.1", false),
            (&[], &["10.0.0.0/8"], "11.0.0.1", true),
            (&["10.0.0.0/8"], &["10.0.0.1/32"], "10.0.0.1", false),
            (&["10.0.0.1/32"], &["10.0.0.0/8"], "10.0.0.1", false),
        ];
        for (allowed, denied, client, expected) in rows {
            let access = Access::new(networks(allowed), networks(denied));
            assert_eq!(access.admits(client.parse().ok()), expected, "{allowed:?} {denied:?}");
        }
        let unix = |allowed: &[&str]| Access::new(networks(allowed), networks(&["0.0.0.0/0"]));
        assert!(unix(&[]).admits(None) && !unix(&["::/0", "0.0.0.0/0"]).admits(None));
    }
}

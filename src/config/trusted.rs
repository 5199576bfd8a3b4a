//! Whose word is believed about clients, from flags and file.

use std::net::IpAddr;

use ipnet::IpNet;

use super::mistake::Mistakes;
use super::sources::Sources;
use crate::plan::trusted::Trusted;

/// An IPv4-mapped network as the IPv4 network that it maps: addresses are looked up in that form.
fn canonical(network: IpNet) -> IpNet {
    let address = network.addr().to_canonical();
    match network.prefix_len().checked_sub(96) {
        Some(length) if address != network.addr() => IpNet::new(address, length).unwrap_or(network),
        _ => network,
    }
}

/// Parses a network, or the address of one client.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(canonical)
}

/// Whose word is believed.
pub(super) fn of(sources: &Sources, mistakes: &mut Mistakes) -> Trusted {
    let mut trusted = Trusted::default();
    for (nth, text) in sources.flags.trusted.iter().enumerate() {
        match network(text) {
            _ if text == "unix" => trusted.unix = true,
            Some(network) => trusted.networks.push(network),
            None => {
                let what = format!(
                    "invalid value {text:?}: expected a network such as 10.0.0.0/8, or unix"
                );
                mistakes.add(&sources.nth_place("trusted", nth), what);
            }
        }
    }
    trusted
}

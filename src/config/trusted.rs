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

/// Whose word is believed.
pub(super) fn of(sources: &Sources, mistakes: &mut Mistakes) -> Trusted {
    let mut trusted = Trusted::default();
    for (nth, text) in sources.flags.trusted.iter().enumerate() {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            _ if text == "unix" => trusted.unix = true,
            Ok(network) => trusted.networks.push(canonical(network)),
            Err(_) => {
                let what = format!(
                    "invalid value {text:?}: expected a network such as 10.0.0.0/8, or unix"
                );
                mistakes.add(&sources.nth_place("trusted", nth), what);
            }
        }
    }
    trusted
}

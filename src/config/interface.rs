//! The network interfaces that addresses name: `fe80::1%eth0` is another machine on each of them (RFC 4007 §11).

use std::fs;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

/// Where Linux shows its interfaces.
const INTERFACES: &str = "/sys/class/net";

/// Parses `[ADDRESS%INTERFACE]:PORT`, where the interface has a name; one with a number is an address already.
pub(super) fn with_zone(text: &str) -> Option<Result<SocketAddr, String>> {
    let (inside, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    let (address, name) = inside.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let port: u16 = port.parse().ok()?;
    Some(
        index(name)
            .map(|index| SocketAddrV6::new(address, port, 0, index).into())
            .map_err(|what| format!("{text:?}: {what}")),
    )
}

/// The number of an interface.
fn index(name: &str) -> Result<u32, String> {
    let is_plain = !name.is_empty() && !name.contains(['/', '.']);
    let read =
        || fs::read_to_string(format!("{INTERFACES}/{name}/ifindex")).ok()?.trim().parse().ok();
    is_plain.then(read).flatten().ok_or_else(|| {
        let mut known: Vec<String> = fs::read_dir(INTERFACES)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        known.sort();
        format!("there is no interface {name:?}: expected one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_known_by_its_name() {
        let found = with_zone("[fe80::1%lo]:80").unwrap().unwrap();
        let SocketAddr::V6(found) = found else { panic!("{found}") };
        assert_eq!((found.scope_id(), found.port()), (1, 80));
        for other in ["[::1]:80", "fe80::1%lo:80", "[fe80::1%lo]", "127.0.0.1:80"] {
            assert_eq!(with_zone(other), None, "{other}");
        }
        for wrong in ["nothing0", "../lo", ""] {
            let told = with_zone(&format!("[fe80::1%{wrong}]:80")).unwrap().unwrap_err();
            assert!(told.contains("there is no interface"), "{told}");
        }
    }
}

//! The addresses of this machine.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of this machine as the kernel says (`proc_net(5)`) when it is first asked: they come and go, so it
/// is to be kept for one look at a configuration, whose thousand endpoints need not read a thousand times.
#[derive(Debug, Default)]
pub struct LocalAddresses {
    v4: OnceCell<HashSet<Ipv4Addr>>,
    v6: OnceCell<HashSet<Ipv6Addr>>,
}

impl LocalAddresses {
    /// Whether a connection to this address stays on this machine.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let v4 = || local_v4(&read("/proc/net/fib_trie")).collect();
        let v6 = || local_v6(&read("/proc/net/if_inet6")).collect();
        ip.is_loopback()
            || match ip {
                IpAddr::V4(ip) => self.v4.get_or_init(v4).contains(&ip),
                IpAddr::V6(ip) => self.v6.get_or_init(v6).contains(&ip),
            }
    }
}

/// The addresses of a `fib_trie`: a line `|-- ADDRESS`, and one `/32 host LOCAL` after it.
fn local_v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut last = None;
    trie.lines().map(str::trim).filter_map(move |line| match line.strip_prefix("|-- ") {
        Some(address) => {
            last = address.parse().ok();
            None
        }
        None => last.filter(|_| line == "/32 host LOCAL"),
    })
}

/// Those of an `if_inet6`: 32 hexadecimal digits begin each line.
fn local_v6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    let digits = table.lines().filter_map(|line| line.split(' ').next());
    digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok()).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_calls_local_is_found() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    Local:\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        \
                    /32 link BROADCAST\n     |-- 10.0.0.6\n        /32 host LOCAL\n";
        let expected: [Ipv4Addr; 2] = ["10.0.0.5".parse().unwrap(), "10.0.0.6".parse().unwrap()];
        assert!(local_v4(trie).eq(expected));
        let table = "fe80000000000000021a4afffe000001 02 40 20 80     eth0\nodd\n";
        let expected: Ipv6Addr = "fe80::21a:4aff:fe00:1".parse().unwrap();
        assert!(local_v6(table).eq([expected]));
        let ours = LocalAddresses::default();
        assert!(ours.contains(Ipv4Addr::LOCALHOST.into()));
        assert!(!ours.contains(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}

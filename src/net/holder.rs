//! Who listens at an address, as the kernel says (`proc_net(5)`, `proc_pid_fd(5)`).

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::address::Address;

/// How many descriptors of a process are looked at, from the lowest on: listeners are opened first.
const DESCRIPTORS_MAX: usize = 4096;

/// The state of a TCP socket that listens.
const LISTENING: &str = "0A";

/// The flags of a Unix socket that listens (`__SO_ACCEPTCON`).
const ACCEPTS: &str = "00010000";

/// A process that listens somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The name of its program's file.
    pub program: String,
    /// Its command line, as far as this user may see it.
    pub words: Vec<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program.escape_debug(), self.pid)
    }
}

/// The process that listens at an address, or at one that overlaps with it. `None` if there is none, or if it is one
/// whose descriptors this user may not see.
pub fn of(address: &Address) -> Option<Holder> {
    let inode = match address {
        Address::Tcp(wanted) => ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .find_map(|table| listener(BufReader::new(File::open(table).ok()?), *wanted))?,
        Address::Unix(path) => {
            unix_listener(BufReader::new(File::open("/proc/net/unix").ok()?), path)?
        }
    };
    let link = OsString::from(format!("socket:[{inode}]"));
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))
    });
    let holds = |folder: &PathBuf| {
        let descriptors = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        descriptors
            .take(DESCRIPTORS_MAX)
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|found| found == *link))
    };
    let mut holders = processes.filter(|(_, folder)| holds(folder));
    holders.next().map(|(pid, folder)| Holder {
        pid,
        program: program(&folder),
        words: words(&folder),
    })
}

/// The command line of a process (`proc_pid_cmdline(5)`).
fn words(folder: &Path) -> Vec<String> {
    let bytes = fs::read(folder.join("cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The name of the file that a process runs. A package may have replaced it since.
fn program(folder: &Path) -> String {
    let found = fs::read_link(folder.join("exe")).unwrap_or_default();
    let name = found.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.or_else(|| fs::read_to_string(folder.join("comm")).ok()).unwrap_or_default();
    name.trim_end().trim_end_matches(" (deleted)").to_owned()
}

/// The inode of the first socket in a table of TCP sockets that listens where `wanted` is, or overlaps with it.
/// Listeners are at the head of the table.
fn listener(table: impl BufRead, wanted: SocketAddr) -> Option<u64> {
    let lines = table.lines().skip(1).map_while(Result::ok);
    lines
        .map_while(|line| {
            let mut words = line.split_ascii_whitespace();
            let local = words.nth(1).and_then(socket_address);
            let is_listener = words.nth(1) == Some(LISTENING);
            is_listener.then(|| (local, words.nth(5).and_then(|inode| inode.parse().ok())))
        })
        .find_map(|(local, inode)| local.filter(|local| overlap(*local, wanted)).and(inode))
}

/// Whether a listener of one keeps another process from listening at the other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |ip: IpAddr| ip.is_unspecified();
    // A listener of `::` may take IPv4 as well.
    let is_all = |ip: IpAddr| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let (of, with) = (one.ip(), other.ip());
    let same_family = of.is_ipv4() == with.is_ipv4();
    one.port() == other.port()
        && (of == with || is_all(of) || same_family && (is_any(of) || is_any(with)))
}

/// `0100007F:1F90`: words of four bytes, each in the order of this machine, and the port.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..ip.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match *bytes {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::V6(<[u8; 16]>::try_from(bytes).ok()?.into()),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The inode of the socket in the kernel's table of Unix sockets that listens at this path: those that it has accepted
/// have the path too.
fn unix_listener(table: impl BufRead, path: &Path) -> Option<u64> {
    table.lines().skip(1).map_while(Result::ok).find_map(|line| {
        let (head, bound) = line.split_once('/')?;
        let words: Vec<&str> = head.split_ascii_whitespace().collect();
        let is_there = path.to_str()?.strip_prefix('/')? == bound;
        let is_listener = words.get(3) == Some(&ACCEPTS);
        words.get(6)?.parse().ok().filter(|_| is_there && is_listener)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        for wanted in [address, any] {
            assert_eq!(of(&Address::Tcp(wanted)).unwrap().pid, std::process::id());
        }
        let socket = TcpListener::bind("[::1]:0").unwrap();
        let found = of(&Address::Tcp(socket.local_addr().unwrap())).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(found.program.starts_with("evener-"), "{found}");
        let path = std::env::temp_dir().join(format!("evener-holder-{}", std::process::id()));
        let socket = UnixListener::bind(&path).unwrap();
        assert_eq!(of(&Address::Unix(path.clone())).unwrap().pid, std::process::id());
        drop(socket);
        assert_eq!(of(&Address::Unix(path.clone())), None);
        fs::remove_file(path).unwrap();
    }

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1
   3: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
";

    #[cfg(target_endian = "little")]
    #[test]
    fn listeners_that_overlap_are_found_and_connections_are_not() {
        let find = |wanted: &str| listener(TABLE.as_bytes(), wanted.parse().unwrap());
        assert_eq!(find("127.0.0.1:8080"), Some(11));
        assert_eq!(find("0.0.0.0:8080"), Some(11));
        assert_eq!(find("10.0.0.1:8080"), None);
        assert_eq!(find("10.0.0.1:80"), Some(12));
        assert_eq!(find("[::]:80"), None);
        // The table is read up to the first connection.
        assert_eq!(find("127.0.0.1:8081"), None);
    }

    #[test]
    fn the_connections_of_a_unix_socket_are_not_its_listener() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00000000 0001 03 21 /run/a.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22 /run/a.sock.old\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 23 /run/a.sock\n";
        let find = |path: &str| unix_listener(table.as_bytes(), Path::new(path));
        assert_eq!(find("/run/a.sock"), Some(23));
        assert_eq!(find("/run/b.sock"), None);
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in
            ["", ":", "0100007F", "0100007F:", "0100007:1F90", "zz00007F:1F90", "é100007F:1"]
        {
            assert_eq!(socket_address(text), None, "{text}");
        }
    }
}

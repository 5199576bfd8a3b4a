//! Requests that the demo sends itself, so that its page has something to show.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

/// What is asked for, one group after another. Those to `/auth` come in pairs, sent as one, so that whoever
/// asks in between still meets its two origins in turn.
const GROUPS: [&[&str]; 6] = [
    &["/auth", "/auth"],
    &["/task"],
    &["/auth?bytes=8k", "/auth?bytes=8k"],
    &["/task?delay=15ms"],
    &["/auth?delay=4ms", "/auth?delay=4ms"],
    &["/nope"],
];

/// The limit for each read and write, and the pause after an error.
const IO_TIMEOUT: Duration = Duration::from_secs(2);

/// The most of the responses of one connection that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Sends so many requests per second to a balancer, on a thread of its own, until the process exits.
pub(super) fn start(address: SocketAddr, rate: NonZeroU16) -> io::Result<()> {
    let work = move || {
        loop {
            // The balancer may be draining, or an endpoint slow: the demo shows that, and goes on.
            if visit(address, rate).is_err() {
                thread::sleep(IO_TIMEOUT);
            }
        }
    };
    thread::Builder::new().name("traffic".to_owned()).spawn(work)?;
    Ok(())
}

/// One connection: every group once, then what was answered.
fn visit(address: SocketAddr, rate: NonZeroU16) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, IO_TIMEOUT)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    for (index, group) in GROUPS.iter().enumerate() {
        let is_last = index + 1 == GROUPS.len();
        stream.write_all(requests(group, is_last).as_bytes())?;
        let pause = Duration::from_secs(1) * u32::try_from(group.len()).unwrap_or(1);
        thread::sleep(pause / u32::from(rate.get()));
    }
    io::copy(&mut stream.take(ANSWER_BYTES_MAX), &mut io::sink())?;
    Ok(())
}

/// The text of a group's requests; the last of a connection asks for its end.
fn requests(paths: &[&str], is_last: bool) -> String {
    let ends = if is_last { "Connection: close\r\n" } else { "" };
    let one = |path: &&str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{ends}\r\n");
    paths.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_request_of_a_connection_ends_it() {
        assert_eq!(
            requests(&["/a", "/a"], false),
            "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2)
        );
        assert!(requests(&["/b"], true).contains("Connection: close\r\n"));
        assert_eq!(GROUPS[GROUPS.len() - 1].len(), 1, "nothing follows a request that ends it");
    }

    #[test]
    fn auth_is_asked_in_pairs() {
        let of_auth = GROUPS.iter().filter(|group| group[0].starts_with("/auth"));
        assert!(of_auth.clone().count() > 1 && of_auth.clone().all(|group| group.len() == 2));
    }
}

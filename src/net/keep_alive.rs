//! TCP keepalive: finds out that a silent peer is gone. A peer that is switched off, or behind a NAT
//! that has forgotten it, says nothing, and would be waited for as long as one that is idle.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long nothing is heard of a peer before it is asked.
pub const IDLE: Duration = Duration::from_secs(60);

/// Between two probes.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How many remain unanswered before the connection is taken to be broken.
pub const PROBES: u32 = 3;

/// Has a TCP socket probe its peer. What a listening socket accepts inherits it (tcp(7)), so that
/// connections of clients cost no call each.
pub fn enable(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(PROBES))
}

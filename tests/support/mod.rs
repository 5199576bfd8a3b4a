//! The parts of every test: a [`Proxy`], a raw [`Client`] and a scripted [`Origin`].

pub mod admin;
pub mod bodies;
pub mod chain;
pub mod client;
pub mod closing;
pub mod collector;
pub mod discovered;
pub mod dns;
pub mod filters;
pub mod grpc;
pub mod h2;
pub mod library;
pub mod logged;
pub mod origin;
pub mod paused;
pub mod process;
pub mod proxy;
pub mod rendezvous;
pub mod strict;
pub mod tls;
pub mod websocket;
pub mod wire;
pub mod wrapping;

pub use admin::Admin;
pub use client::{Client, Response};
pub use origin::{Conn, Origin};
pub use process::Process;
pub use proxy::Proxy;
pub use rendezvous::Rendezvous;
pub use strict::CheckVerdict;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longer than anything a test waits for: turns a hang into a failure.
pub const HANG: Duration = Duration::from_secs(20);

/// How a peer ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Close,
    Reset,
}

impl Ending {
    pub const BOTH: [Self; 2] = [Self::Close, Self::Reset];
}

/// Waits until a condition holds that another thread or process brings about.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < HANG, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `count` bytes without a repeating pattern, so that a lost or moved block is noticed.
pub fn filler(count: usize) -> Vec<u8> {
    (0..count).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect()
}

/// A number that no other caller in this process gets.
fn unique() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// An address that nobody else has, for a process that is told where to listen. A port that was free a moment ago
/// need not be: whatever another test starts at that moment holds its listener until it is another program.
pub fn own_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let port = 10_000 + u16::try_from(unique() % 10_000).expect("a port");
    SocketAddr::from(([127, 77, high, low], port))
}

/// A unique path for a temporary file.
pub fn temporary(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    folder.join(format!("{}-{}-{name}", std::process::id(), unique()))
}

/// An environment without any variables, for a configuration file.
pub fn no_environment(_: &str) -> Result<String, std::env::VarError> {
    Err(std::env::VarError::NotPresent)
}

/// A unique path for a socket, with no file at it; short, since `sun_path` has 108 bytes.
pub fn socket_path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{name}-{}-{}", std::process::id(), unique()));
    let _ = std::fs::remove_file(&path);
    path
}

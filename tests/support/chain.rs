//! A balancer that is upgraded several times: each process takes over from the one before.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::origin::ok;
use super::tls::Files;
use super::{Client, Conn, Origin, Process, eventually, socket_path};

/// The running balancer, and the arguments for its successors.
pub struct Chain {
    pub words: Vec<String>,
    pub running: Process,
    pub address: SocketAddr,
}

impl Chain {
    pub fn start(origins: &[&Origin], more: &[&str]) -> Self {
        Self::listening("--listen", origins, more)
    }

    /// Like [`Chain::start`], with a listener for TLS that shows this certificate.
    pub fn tls(origins: &[&Origin], files: &Files, more: &[&str]) -> Self {
        let shown = ["--cert", &files.cert, "--key", &files.key];
        Self::listening("--listen-tls", origins, &[&shown, more].concat())
    }

    fn listening(flag: &str, origins: &[&Origin], more: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("up{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let meeting = socket_path(&name).display().to_string();
        let addresses: Vec<_> = origins.iter().map(|o| o.address.to_string()).collect();
        let route = format!("/={}", addresses.join(","));
        let mut words: Vec<String> =
            [flag, "127.0.0.1:0", "--route", &route, "--upgrade-sock", &meeting]
                .map(str::to_owned)
                .to_vec();
        words.extend(more.iter().map(ToString::to_string));
        let running = launch(&words, &["--threads", "2"]);
        let address = running.address();
        Self { words, running, address }
    }

    /// Starts a successor with these additional flags and hands over to it; returns the old process.
    pub fn upgrade(&mut self, more: &[&str]) -> Process {
        self.running.signal("QUIT");
        let next = launch(&self.words, &[&["-u"], more].concat());
        let old = std::mem::replace(&mut self.running, next);
        eventually("the successor has taken over", || old.says("handed over; what still runs"));
        old
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }
}

pub fn launch(words: &[String], more: &[&str]) -> Process {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Process::start(&words)
}

pub fn text(client: &mut Client) -> String {
    client.get("/");
    client.response().text()
}

/// Answers every request with the index of its connection.
pub fn counting() -> Origin {
    Origin::start(|mut conn: Conn| {
        while conn.head().is_some() {
            let index = conn.index.to_string();
            conn.send(ok(&index));
        }
    })
}

/// Sends GET over a Unix socket and returns everything that comes back.
pub fn ask_unix(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

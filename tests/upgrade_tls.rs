//! Reloads with other certificates and upgrades, under TLS clients of every kind: nothing is refused, cut
//! or lost. `tools/upgrade --tls` does the same for longer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::chain::Chain;
use crate::support::origin::{ok, ok_head};
use crate::support::tls::{Authority, Identity, TlsOptions};
use crate::support::{Conn, Origin, eventually, filler};

const ECHO: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

/// More than all buffers on the way hold.
const LONG: usize = 16 << 20;

/// Reloads and upgrades.
const STEPS: usize = 8;

fn serve(mut conn: Conn) {
    while let Some(head) = conn.head() {
        if head.contains("Upgrade: echo") {
            conn.send(SWITCH);
            while let Some(message) = conn.bytes(8) {
                conn.send(message);
            }
            return;
        }
        if head.starts_with("GET /long ") {
            conn.send([ok_head(LONG), filler(LONG)].concat());
        } else {
            conn.send(ok("hello"));
        }
    }
}

fn options() -> TlsOptions {
    TlsOptions::trusting(Authority::shared()).resuming()
}

/// Requests on one connection until it is told to close, and then on the next, or each on its own.
fn requests(address: SocketAddr, kept: bool, stopping: &AtomicBool) -> usize {
    let (options, mut count) = (options(), 0);
    while !stopping.load(Ordering::SeqCst) {
        let mut client = options.connect(address, "localhost");
        loop {
            client.get("/");
            let response = client.response();
            assert_eq!((response.status, response.text().as_str()), (200, "hello"));
            count += 1;
            if !kept || response.field("connection") == Some("close") {
                break;
            }
            if stopping.load(Ordering::SeqCst) {
                break;
            }
        }
        client.close();
    }
    count
}

/// Messages through one tunnel.
fn messages(address: SocketAddr, stopping: &AtomicBool) -> usize {
    let mut client = options().connect(address, "localhost");
    assert_eq!(client.ask(ECHO).status, 101);
    let mut count = 0_usize;
    while !stopping.load(Ordering::SeqCst) {
        client.send(count.to_be_bytes());
        assert_eq!(client.exactly(8), count.to_be_bytes());
        count += 1;
    }
    count
}

/// Puts another certificate in place and has it loaded; new clients are shown it.
fn renew(chain: &Chain, renewed: &Identity, reloads: usize) {
    chain.running.signal("HUP");
    let said = || chain.running.count("reloaded") > reloads;
    eventually("it has reloaded", said);
    let shown = options().connect(chain.address, "localhost").certificate();
    assert_eq!(shown, *renewed.certificate());
}

#[test]
fn nothing_is_lost_while_certificates_and_processes_change() {
    let origin = Origin::start(serve);
    let names = &["localhost"];
    let files = Authority::shared().issue(names).files();
    let more = ["--check", "off", "--drain-timeout", "1m"];
    let mut chain = Chain::tls(&[&origin], &files, &more);
    let (address, stopping) = (chain.address, Arc::new(AtomicBool::new(false)));
    let kinds = [(0, false), (1, false), (2, true), (3, true), (4, true)];
    let clients = kinds.map(|(kind, kept)| {
        let stopping = Arc::clone(&stopping);
        thread::spawn(move || match kind {
            4 => messages(address, &stopping),
            _ => requests(address, kept, &stopping),
        })
    });
    let mut download = options().connect(address, "localhost");
    download.get("/long");
    let mut downloaded = download.exactly(ok_head(LONG).len());
    downloaded.clear();
    let (mut old, mut reloads) = (Vec::new(), 0);
    for step in 0..STEPS {
        let renewed = Authority::shared().issue(names);
        files.replace(&renewed);
        if step % 4 == 3 {
            old.push(chain.upgrade(&["--threads", "2"]));
            reloads = 0;
        } else {
            renew(&chain, &renewed, reloads);
            reloads += 1;
        }
        downloaded.extend(download.exactly(LONG / STEPS));
    }
    assert!(downloaded == filler(LONG));
    download.close();
    stopping.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.join().expect("nothing lost") > 0);
    }
    for process in old {
        assert_eq!(process.end().0, Some(0));
    }
}
